//! `list`.

use std::time::Duration;

use serde_json::json;
use tower_agent_status::StatusTracker;

use crate::support::{File, HOUR, SECOND, agent, ago, item, with};

#[tokio::test]
async fn the_newest_come_first_up_to_the_limit() {
    let file = File::new("list");
    file.put("done", with(item("completed", 2 * HOUR), "pdfAdapter", agent("success"))).await;
    file.put("bad", item("failed", HOUR)).await;
    file.put("running", item("processing", 10 * SECOND)).await;
    file.put("silent", item("processing", 3 * HOUR)).await;

    let output = file.run(["list"]).assert_code(0);
    assert_eq!(output.err, "");
    let rows: Vec<Vec<&str>> =
        output.out.lines().map(|line| line.split_whitespace().take(2).collect()).collect();
    let expected = [
        ["SESSION", "STATUS"],
        ["running", "processing"],
        ["bad", "failed"],
        ["done", "completed"],
        ["silent", "stalled"],
    ];
    assert_eq!(rows, expected);
    assert!(output.out.contains("2,000"), "{}", output.out);

    let output = file.run(["list", "--limit", "2"]).assert_code(0);
    assert_eq!(output.out.lines().count(), 3);
}

#[tokio::test]
async fn as_json_each_has_its_status_and_times() {
    let file = File::new("list-json");
    assert_eq!(file.run(["list", "--json"]).assert_code(0).json(), json!([]));
    assert_eq!(file.run(["list"]).assert_code(0).out, "no workflows\n");
    file.put("s", with(item("completed", HOUR), "pdfAdapter", agent("success"))).await;
    // As other writers store it.
    let theirs =
        json!({ "createdAt": "2025-12-24T10:00:00.123456+00:00Z", "lastUpdated": "never" });
    file.put("t", theirs).await;
    let found = file.run(["list", "--json"]).assert_code(0).json();
    let created = &found[0]["createdAt"];
    assert!(created.as_str().unwrap().starts_with(&ago(HOUR)[..13]), "{created}");
    let expected = json!([
        { "sessionId": "s", "status": "completed", "createdAt": created, "lastUpdated": created,
          "stalled": false, "waiting": false, "totalTokens": 2000 },
        { "sessionId": "t", "status": "pending", "createdAt": "2025-12-24T10:00:00.123Z",
          "lastUpdated": null, "stalled": false, "waiting": false, "totalTokens": 0 },
    ]);
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_status_is_searched_beyond_the_limit() {
    let file = File::new("list-status");
    for n in 0..30_u32 {
        let status = if n % 10 == 9 { "failed" } else { "completed" };
        file.put(&format!("s{n}"), item(status, SECOND * (n + 1))).await;
    }
    let ids = |arguments: &[&str]| -> Vec<String> {
        let found = file.run(arguments).assert_code(0).json();
        found
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["sessionId"].as_str().unwrap().into())
            .collect()
    };
    let failed = ["list", "--json", "--limit", "2", "--status", "failed"];
    assert_eq!(ids(&failed), ["s9", "s19"]);
    let both = ["list", "--json", "--status", "failed", "--status", "completed", "--limit", "100"];
    assert_eq!(ids(&both).len(), 30);
    assert!(ids(&["list", "--json", "--status", "stalled"]).is_empty());
    let impatient = ["list", "--json", "--status", "stalled", "--heartbeat", "0s"];
    assert!(ids(&impatient).is_empty(), "a finished workflow does not stall");
}

#[tokio::test]
async fn a_workflow_that_waits_has_not_stalled() {
    let file = File::new("list-waiting");
    let mut waits = agent("in-progress");
    waits["waitingFor"] = "input".into();
    file.put("waits", with(item("processing", HOUR), "pdfAdapter", waits)).await;
    file.put("gone", item("processing", 2 * HOUR)).await;
    let output = file.run(["list"]).assert_code(0);
    let rows: Vec<Vec<&str>> =
        output.out.lines().skip(1).map(|line| line.split_whitespace().take(2).collect()).collect();
    assert_eq!(rows, [["waits", "waiting"], ["gone", "stalled"]]);
    for (status, id) in [("waiting", "waits"), ("stalled", "gone")] {
        let found = file.run(["list", "--json", "--status", status]).assert_code(0).json();
        let [row] = &found.as_array().unwrap()[..] else { panic!("{found}") };
        assert_eq!((&row["sessionId"], &row[status]), (&json!(id), &json!(true)));
    }
}

#[tokio::test]
async fn a_long_list_is_complete() {
    let file = File::new("list-long");
    for n in 0..250_u32 {
        file.put(&format!("s{n:03}"), item("completed", SECOND * (n + 1))).await;
    }
    let output = file.run(["list", "--limit", "10000"]).assert_code(0);
    let ids: Vec<_> = output.out.lines().skip(1).map(|line| &line[..4]).collect();
    let expected: Vec<_> = (0..250).map(|n| format!("s{n:03}")).collect();
    assert_eq!(ids, expected);
}

#[test]
fn invalid_arguments_are_rejected() {
    let file = File::new("list-usage");
    for arguments in
        [["--limit", "0"], ["--limit", "10001"], ["--status", "green"], ["--heartbeat", "7"]]
    {
        file.run(["list", arguments[0], arguments[1]])
            .assert_code(2)
            .assert_stderr(&[arguments[0]]);
    }
}

#[tokio::test]
async fn a_session_that_runs_again_is_sorted_by_its_new_run() {
    let file = File::new("list-again");
    file.put("again", item("failed", 30 * HOUR)).await;
    file.put("newer", item("completed", HOUR)).await;
    file.put("older", item("completed", 40 * HOUR)).await;
    let sessions = async || {
        let found = file.run(["list", "--json"]).assert_code(0).json();
        let ids = found.as_array().unwrap().iter().map(|row| row["sessionId"].clone());
        serde_json::Value::from_iter(ids)
    };
    assert_eq!(sessions().await, json!(["newer", "again", "older"]));
    let tracker = StatusTracker::builder(file.store.clone()).start().unwrap();
    tracker.workflow("again").new_run().start().unwrap().complete();
    tracker.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_eq!(sessions().await, json!(["again", "newer", "older"]));
}

#[tokio::test]
async fn a_workflow_is_found_by_an_attribute() {
    let file = File::new("list-attribute");
    for n in 0..130_u32 {
        let status = if n % 2 == 0 { "completed" } else { "failed" };
        let document = format!("FAB_{}", n % 40);
        let created = HOUR + SECOND * n;
        file.put(&format!("s{n}"), with(item(status, created), "documentId", document.into()))
            .await;
    }
    file.put("old", with(item("failed", 30 * HOUR), "documentId", "FAB_1".into())).await;
    file.put("other", with(item("failed", HOUR), "sourceType", "FAB_1".into())).await;
    let find = |arguments: &[&str]| {
        let all = ["list", "--attribute", "documentId=FAB_1"].iter().chain(arguments);
        file.run(all.copied()).assert_code(0)
    };
    let ids = |arguments: &[&str]| -> Vec<String> {
        let found = find(&[arguments, &["--json"]].concat()).json();
        let ids = found.as_array().unwrap().iter().map(|row| row["sessionId"].as_str().unwrap());
        ids.map(str::to_owned).collect()
    };
    assert_eq!(ids(&[]), ["s1", "s41", "s81", "s121", "old"]);
    assert_eq!(ids(&["--since", "2d"]), ["s1", "s41", "s81", "s121", "old"]);
    assert_eq!(ids(&["--since", "2h"]), ["s1", "s41", "s81", "s121"]);
    assert_eq!(ids(&["--status", "completed"]), [""; 0]);
    assert_eq!(ids(&["--status", "failed", "--limit", "2"]), ["s1", "s41"]);

    // How far it looked, and what that took.
    find(&[]).assert_stderr(&["Searched all 132 workflows, for ", " read units."]);
    find(&["--since", "2h"]).assert_stderr(&["Searched all 131 workflows, for "]);
    let cut = find(&["--since", "2h", "--limit", "2"]);
    cut.assert_stderr(&["Searched the newest 100 workflows, back to ", "There may be more"]);
    let csv = find(&["--csv", "--since", "2h"]);
    assert_eq!(csv.out.lines().count(), 5);
    assert!(csv.out.starts_with("session,"), "{}", csv.out);
    let none = file.run(["list", "--attribute", "documentId=FAB_99"]).assert_code(0);
    assert_eq!(none.out, "no workflows\n");
}

#[tokio::test]
async fn a_list_goes_back_as_far_as_asked_for() {
    let file = File::new("list-since");
    file.put("new", item("completed", HOUR)).await;
    file.put("old", item("completed", 3 * HOUR)).await;
    let found = file.run(["list", "--json", "--since", "2h"]).assert_code(0);
    assert_eq!(found.json().as_array().unwrap().len(), 1);
    assert_eq!(found.err, "");
}

#[test]
fn an_attribute_has_a_name_and_a_value() {
    let file = File::new("list-attribute-usage");
    for text in ["documentId", "=FAB_1", "documentId="] {
        file.run(["list", "--attribute", text])
            .assert_code(2)
            .assert_stderr(&["--attribute", "documentId=FAB_26933659"]);
    }
    file.run(["list", "--since", "yesterday"]).assert_code(2).assert_stderr(&["--since", "12h"]);
}
