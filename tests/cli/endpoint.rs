//! Every command over HTTP, against the endpoint in `STATUS_TEST_ENDPOINT`.

use std::io::Write as _;
use std::process::Command;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use tower_agent_status::store::DynamoDbStore;

use crate::support::{Finished, HOUR, SECOND, agent, ago, command, item, put, with};

#[tokio::test]
async fn a_table_from_creation_to_its_last_session() {
    let Ok(url) = std::env::var("STATUS_TEST_ENDPOINT") else {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: the command over HTTP, since STATUS_TEST_ENDPOINT is not set"
        );
        return;
    };
    let table = format!("cli-test-{}", std::process::id());
    let run = |arguments: &[&str]| {
        let mut command: Command = command();
        command
            .args(arguments)
            .env("STATUS_TABLE_NAME", &table)
            .env("STATUS_TABLE_KEY", "processing_id")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_ENDPOINT_URL_DYNAMODB", &url);
        Finished::of(command.output().unwrap())
    };
    run(&["table", "check"]).assert_code(2).assert_stderr(&["does not exist", "table create"]);
    let create = ["table", "create", "--recent-shards", "4", "--search", "documentId"];
    let output = run(&create).assert_code(0);
    assert!(output.out.contains("created"), "{}", output.out);
    assert!(output.out.contains("the newest sessions, in 4 shards"), "{}", output.out);
    assert!(output.out.contains("finds sessions by `documentId`"), "{}", output.out);
    let output = run(&["table", "create"]).assert_code(0);
    assert!(output.out.contains("already exists"), "{}", output.out);
    let output = run(&["table", "check", "--write"]);
    // Not every emulator supports time to live. Everything else must be in order.
    let differs: Vec<_> = output.out.lines().filter(|line| !line.starts_with("ok ")).collect();
    let expires =
        differs.iter().all(|line| line.contains("expire") || line.contains("time-to-live"));
    assert!(expires, "{output:#?}");
    assert_eq!(output.code, Some(i32::from(!differs.is_empty())), "{output:#?}");
    assert!(output.out.contains("the partition key is `processing_id`"), "{}", output.out);
    assert!(output.out.contains("the index `recent`"), "{}", output.out);
    assert!(output.out.contains("deleted the test session"), "{}", output.out);

    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(&url);
    let client = Client::from_conf(config.build());
    let store = DynamoDbStore::new(client.clone(), &table);
    put(&store, "load-1", item("completed", 2 * HOUR)).await;
    put(&store, "load-2", with(item("failed", HOUR), "pdfAdapter", agent("success"))).await;
    put(&store, "other", item("processing", SECOND)).await;

    let assert_listed = || {
        let list = run(&["list", "--json"]).assert_code(0).json();
        let ids: Vec<_> = list.as_array().unwrap().iter().map(|row| &row["sessionId"]).collect();
        assert_eq!(ids, ["other", "load-2", "load-1"]);
    };
    assert_listed();
    reshard(&run);
    assert_listed();
    backfill(&run, &client, &table).await;
    assert_listed();
    let shown = run(&["show", "load-2", "--json"]).assert_code(0).json();
    assert_eq!(shown["pdfAdapter"]["tokenUsage"]["totalTokens"], 2000);
    assert_eq!(shown["sessionId"], "load-2");
    end(&run, &store).await;
    run(&["watch", "load-1"]).assert_code(0);
    run(&["watch", "load-2"]).assert_code(1);
    let output = run(&["delete", "--prefix", "load-", "--yes"]).assert_code(0);
    assert_eq!(output.out, "2 sessions deleted\n");
    run(&["delete", "other", "--yes"]).assert_code(0);
    assert_eq!(run(&["list"]).assert_code(0).out, "no workflows\n");
    client.delete_table().table_name(&table).send().await.unwrap();
}

/// An end by id, and of all that are stalled.
async fn end(run: &impl Fn(&[&str]) -> Finished, store: &DynamoDbStore) {
    put(store, "stalled-1", item("processing", 25 * HOUR)).await;
    put(store, "stalled-2", with(item("processing", 2 * HOUR), "a", agent("in-progress"))).await;
    let all = ["end", "--stalled", "--failed", "--reason", "gone", "--by", "ops"];
    let output = run(&[&all[..], &["--dry-run"]].concat()).assert_code(0);
    let expected = "stalled-1  processing, no heartbeat for 1 d 01 h\n1 session would be ended\n";
    assert_eq!(output.out, expected);
    assert_eq!(run(&all).assert_code(0).out, "1 session ended as failed\n");
    let by_id = ["end", "stalled-2", "--completed", "--reason", "gone", "--by", "ops"];
    assert_eq!(run(&by_id).assert_code(0).out, "1 session ended as completed\n");
    for (session, result) in [("stalled-1", "failed"), ("stalled-2", "completed")] {
        let shown = run(&["show", session, "--json"]).assert_code(0).json();
        assert_eq!((&shown["overallStatus"], &shown["endedBy"]), (&result.into(), &"ops".into()));
        run(&["delete", session, "--yes"]).assert_code(0);
    }
    run(&["end", "other", "--failed", "--reason", "gone", "--by", "ops"]).assert_code(1);
}

/// A session of an older writer.
async fn backfill(run: &impl Fn(&[&str]) -> Finished, client: &Client, table: &str) {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let time = ago(24 * HOUR);
    let put = client.put_item().table_name(table).item("processing_id", text("theirs"));
    let put = put.item("overallStatus", text("processing")).item("created_at", text(&time));
    put.item("lastUpdated", text(&time)).send().await.unwrap();
    let output = run(&["table", "check"]).assert_code(1);
    let expected = "differs  of the 4 items: 1 missing from the index, so that lists can miss \
                    them, 1 with `created_at` instead of `createdAt`, 1 without `createdDay`";
    assert!(output.out.contains(expected), "{}", output.out);
    let output = run(&["table", "backfill", "--dry-run"]).assert_code(0);
    assert!(output.out.contains("Would fill in 1 of them"), "{}", output.out);
    let output = run(&["table", "backfill", "--yes"]).assert_code(0);
    assert!(output.out.contains("Filled in 1 of them"), "{}", output.out);
    let output = run(&["table", "check"]);
    let expected = "ok       none of the 4 items needs a backfill";
    assert!(output.out.contains(expected), "{}", output.out);
    run(&["delete", "theirs", "--yes"]).assert_code(0);
}

/// Another number of shards. One of the emulators adds no index to a table that is billed on demand.
fn reshard(run: &impl Fn(&[&str]) -> Finished) {
    let output = run(&["table", "reshard", "2", "--dry-run"]).assert_code(0);
    let expected = "Creates the index `recent-2` with 2 shards in place of `recent`.\n";
    assert!(output.out.starts_with(expected), "{}", output.out);
    let output = run(&["table", "reshard", "2"]).assert_code(2);
    assert!(output.err.contains("use `--yes`"), "{}", output.err);
    let output = run(&["table", "reshard", "2", "--yes", "--no-wait"]);
    if output.err.contains("create.provisionedThroughput") {
        return;
    }
    let output = output.assert_code(0);
    assert!(output.out.ends_with("has 2 shards.\n"), "{output:#?}");
    assert!(output.err.contains("Scan 2 of 2: 3 items read, 0 filled in"), "{}", output.err);
    let output = run(&["table", "check"]);
    let expected = "`recent-2` lists the newest sessions, in 2 shards";
    assert!(output.out.contains(expected), "{output:#?}");
    let output = run(&["table", "reshard", "2"]).assert_code(0);
    assert_eq!(output.out, "The index of the newest sessions has 2 shards already.\n");
}
