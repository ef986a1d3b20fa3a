//! `table backfill`, and what `table check` and `list` say before it.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tower_agent_status::store::StatusReader as _;

use crate::server::Server;
use crate::support::{File, Finished, HOUR, SECOND, ago, command, id, item, with};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// As older writers leave it.
fn old(created: Duration) -> Json {
    let time = ago(created);
    json!({ "overallStatus": "processing", "createdAt": time, "lastUpdated": time })
}

async fn stored(file: &File, session: &str) -> Json {
    serde_json::to_value(file.store.get(&id(session)).await.unwrap().unwrap()).unwrap()
}

#[track_caller]
fn assert_has(output: &str, parts: &[&str]) {
    for part in parts {
        assert!(output.contains(part), "no `{part}` in\n{output}");
    }
}

#[tokio::test]
async fn old_items_are_reported_and_filled_in() {
    let file = File::new("backfill 1");
    file.put("ours", with(item("completed", HOUR), "expiresAt", 9_999_999_999_u64.into())).await;
    file.put("theirs", old(HOUR)).await;
    file.put("spelled", json!({ "overallStatus": "completed", "created_at": ago(DAY) })).await;
    file.put("past", old(100 * DAY)).await;
    file.put("undated", json!({ "overallStatus": "pending" })).await;
    file.put("settings", json!({ "theme": "dark" })).await;
    let before = stored(&file, "theirs").await;

    let output = file.run(["table", "check"]).assert_code(1);
    let command = format!("table backfill --embedded '{}'", file.path().display());
    assert_has(
        &output.out,
        &[
            "differs  of the 6 items: 3 missing from the index, so that lists can miss \
             them, 1 with `created_at` instead of `createdAt`, 3 without `createdDay`, 2 without an expiry\n",
            &format!("to fix it: tower-agent-status {command}\n"),
            "note     of the 6 items: 2 without an expiry, and older than 90 days",
            "note     of the 6 items: 1 without a readable creation time",
            "note     of the 6 items: 1 without `overallStatus`",
        ],
    );

    let output = file.run(["table", "backfill", "--dry-run"]).assert_code(0);
    assert_has(
        &output.out,
        &[
            "The table has 6 items (",
            "), as of up to six hours ago. This run reads up to 64.00 MiB: about 1 read units.\n",
            "6 items read.\n",
            "           3  missing from the index",
            "           1  with `created_at` instead of `createdAt`\n",
            "           3  without `createdDay`\n",
            "           4  without an expiry\n",
            "           2  of these older than 90 days or of unknown age: they get none without \
             --expire-after DAYS\n",
            "           1  without a readable creation time",
            "           1  without `overallStatus`",
            "Would fill in 3 of them, for about 6 write units.\n",
            "Would expire, by month:\n",
            "This was the end of the table.\n",
        ],
    );
    assert_eq!(stored(&file, "theirs").await, before, "nothing is written");

    file.run(["table", "backfill"]).assert_code(2).assert_stderr(&["use `--yes`"]);
    assert_eq!(stored(&file, "theirs").await, before);
    let output = file.run(["table", "backfill", "--yes"]).assert_code(0);
    let expected =
        ["if each item lacks something.", "Filled in 3 of them, for about 6 write units."];
    assert_has(&output.out, &expected);
    let mut after = stored(&file, "theirs").await;
    assert_eq!(after["createdDay"], before["createdAt"].as_str().unwrap()[..10]);
    let attributes = after.as_object_mut().unwrap();
    assert!(attributes.remove("expiresAt").unwrap().is_u64());
    attributes.remove("createdDay");
    assert_eq!(after, before, "nothing else is");

    let output = file.run(["table", "check"]).assert_code(0);
    assert_has(&output.out, &["ok       none of the 6 items needs a backfill\n"]);
    assert_eq!(stored(&file, "past").await["expiresAt"], Json::Null);
    let forced = ["table", "backfill", "--yes", "--expire-after", "30"];
    let output = file.run(forced).assert_code(0);
    assert_has(&output.out, &["Filled in 2 of them"]);
    assert!(stored(&file, "past").await["expiresAt"].is_u64());
}

#[tokio::test]
async fn a_run_prints_the_command_that_goes_on() {
    let file = File::new("backfill-next");
    for n in 0..9 {
        // Each three fill a page.
        let large = with(old(HOUR), "text", "x".repeat(350_000).into());
        file.put(&format!("s {n}"), large).await;
    }
    let mut arguments: Vec<String> =
        ["table", "backfill", "--yes", "--no-expiry", "--max-pages", "1"].map(Into::into).into();
    let mut runs = 0;
    loop {
        let output = file.run(&arguments).assert_code(0);
        runs += 1;
        let Some((_, next)) = output.out.split_once("There is more. Continue with: ") else {
            break;
        };
        let hint = format!(" --max-pages 1 --no-expiry --yes --embedded {}", file.path().display());
        assert!(next.trim_end().ends_with(&hint), "{next}");
        assert!(next.contains("table backfill --from s%20"), "{next}");
        arguments = next.split_whitespace().skip(1).map(Into::into).collect();
        let embedded = arguments.iter().position(|word| word == "--embedded").unwrap();
        arguments.truncate(embedded);
    }
    assert!((3..=5).contains(&runs), "{runs}");
    for n in 0..9 {
        let item = stored(&file, &format!("s {n}")).await;
        assert!(item["createdDay"].is_string() && item["expiresAt"].is_null(), "s {n}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_run_that_is_interrupted_says_how_to_go_on() {
    let file = File::new("backfill-interrupted");
    for n in 0..20 {
        file.put(&format!("s{n:02}"), old(HOUR)).await;
    }
    let mut run = file.command(["table", "backfill", "--yes", "--rate", "1"]);
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Until it writes.
    let is_filled = || async {
        let plan = file.store.plan_backfill().await.unwrap();
        file.store.sample_backfill(&plan).await.unwrap().counts.unindexed < 20
    };
    while !is_filled().await {
        tokio::task::yield_now().await;
    }
    let id = run.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = Finished::of(run.wait_with_output().unwrap()).assert_code(1);
    let next = format!(
        "Continue with: tower-agent-status table backfill --rate 1 --yes --embedded {}\n",
        file.path().display()
    );
    assert!(output.err.ends_with(&next), "{output:#?}");
    file.run(["table", "backfill", "--yes"]).assert_code(0);
    file.run(["table", "check"]).assert_code(0);
}

#[test]
fn what_cannot_be_is_refused() {
    let file = File::new("backfill-usage");
    for (option, value, message) in [
        ("--expire-after", "29", "no item may expire in less than 30 days: use 30 or more"),
        ("--expire-after", "x", "expected a number of days"),
        ("--retention", "0", "--retention"),
        ("--max-pages", "0", "--max-pages"),
        ("--rate", "0", "--rate"),
        ("--from", "%zz", "expected a position that an earlier run has printed"),
    ] {
        let output = file.run(["table", "backfill", "--yes", option, value]).assert_code(2);
        output.assert_stderr(&[message]);
    }
    let mut missing = command();
    missing.args(["table", "backfill", "--yes", "--embedded", "/nonexistent/file.db"]);
    let output = Finished::of(missing.output().unwrap()).assert_code(2);
    output.assert_stderr(&["there is no file"]);
}

#[test]
fn a_role_or_an_endpoint_that_lacks_something_is_told_so() {
    let server = Server::start();
    server.refuse("Scan", "AccessDeniedException", "no");
    let output = server.run(&["table", "check"]).assert_code(0);
    let expected = ["unknown  whether the items lack attributes", "allow `dynamodb:Scan`"];
    assert_has(&output.out, &expected);
    let output = server.run(&["table", "backfill", "--yes"]).assert_code(2);
    output.assert_stderr(&["cannot backfill DynamoDB table `status`", "allow `dynamodb:Scan`"]);

    let server = Server::start();
    let item = json!({
        "sessionId": { "S": "s" }, "overallStatus": { "S": "pending" },
        "createdAt": { "S": ago(SECOND) },
    });
    server.respond("Scan", json!({ "Items": [item] }));
    server.refuse("UpdateItem", "AccessDeniedException", "no");
    let output = server.run(&["table", "backfill", "--yes"]).assert_code(2);
    output
        .assert_stderr(&["allow `dynamodb:UpdateItem`", "Continue with: tower-agent-status table"]);

    // An endpoint without time to live. The table itself is in order.
    server.respond("Scan", json!({ "Items": [] }));
    server.refuse("DescribeTimeToLive", "UnknownOperationException", "what?");
    let output = server.run(&["table", "check"]).assert_code(0);
    assert_has(&output.out, &["unknown  whether items expire: UnknownOperationException: what?\n"]);
    let output = server.run(&["table", "backfill", "--dry-run"]).assert_code(0);
    assert_has(
        &output.out,
        &["No item gets an expiry, since the time-to-live attribute is not known: Unknown"],
    );
    let off = json!({ "TimeToLiveDescription": { "TimeToLiveStatus": "DISABLED" } });
    server.respond("DescribeTimeToLive", off);
    let output = server.run(&["table", "backfill", "--dry-run"]).assert_code(0);
    assert_has(&output.out, &["Time to live is off. The expiry is written to `expiresAt`"]);
}

#[tokio::test]
async fn a_list_of_a_large_table_names_the_remedy() {
    let file = File::new("backfill-list");
    for n in 0..4_u32 {
        let large = with(item("completed", HOUR), "text", "x".repeat(350_000).into());
        file.put(&format!("ours-{n}"), large).await;
    }
    file.put("theirs", old(SECOND)).await;
    let output = file.run(["list", "--limit", "2"]).assert_code(0);
    let remedy =
        format!("`tower-agent-status table backfill --embedded {}`", file.path().display());
    output
        .assert_stderr(&["are missing from the index, so newer ones may be missing here", &remedy]);
    file.run(["table", "backfill", "--yes"]).assert_code(0);
    let output = file.run(["list", "--limit", "2"]).assert_code(0);
    assert_eq!(output.err, "");
    assert!(output.out.lines().nth(1).unwrap().starts_with("theirs"), "{}", output.out);
}
