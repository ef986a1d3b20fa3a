//! `show`.

use serde_json::json;

use crate::support::{File, HOUR, SECOND, agent, item, with};

#[tokio::test]
async fn a_workflow_is_shown_with_its_agents() {
    let file = File::new("show");
    let mut failed = agent("error");
    failed["error"] = "the model is gone".into();
    failed["errorType"] = "http_500".into();
    failed["calls"] = 3.into();
    let workflow = with(item("failed", HOUR), "tradeExtraction", failed);
    let workflow = with(workflow, "pdfAdapter", agent("success"));
    let workflow = with(workflow, "documentId", "FAB_1".into());
    let workflow = with(workflow, "error", "extraction failed".into());
    file.put("s", with(workflow, "tradeMatching", json!({ "status": "pending" }))).await;

    let output = file.run(["show", "s"]).assert_code(0);
    let expected = [
        "s  ",
        "failed",
        "error           extraction failed",
        "documentId      FAB_1",
        "3,000 in, 1,000 out",
        "✔ pdfAdapter",
        "✘ tradeExtraction",
        "http_500: the model is gone",
        "1,500 in, 500 out, 3 calls",
        "· tradeMatching",
    ];
    for part in expected {
        assert!(output.out.contains(part), "no `{part}` in\n{}", output.out);
    }
    // A pipe is not a terminal.
    assert!(!output.out.contains('\u{1b}'), "{}", output.out);
}

#[tokio::test]
async fn as_json_it_is_the_item_in_a_readable_order() {
    let file = File::new("show-json");
    let workflow = with(item("processing", 2 * SECOND), "pdfAdapter", agent("in-progress"));
    file.put("s", workflow.clone()).await;
    let output = file.run(["show", "s", "--json"]).assert_code(0);
    let mut expected = workflow;
    expected["sessionId"] = "s".into();
    assert_eq!(output.json(), expected);
    let names: Vec<_> = output
        .out
        .lines()
        .filter(|line| line.starts_with("  \""))
        .map(|line| line.split('"').nth(1).unwrap())
        .collect();
    let order = [
        "sessionId",
        "overallStatus",
        "createdAt",
        "createdDay",
        "lastUpdated",
        "pdfAdapter",
        "revision",
    ];
    assert_eq!(names, order);
}

#[tokio::test]
async fn a_workflow_without_heartbeats_is_stalled() {
    let file = File::new("show-stalled");
    file.put("s", item("processing", 600 * SECOND)).await;
    let output = file.run(["show", "s"]).assert_code(0);
    assert!(output.out.contains("no heartbeat for 10 m"), "{}", output.out);
    let output = file.run(["show", "s", "--heartbeat", "1h"]).assert_code(0);
    assert!(!output.out.contains("stalled"), "{}", output.out);
}

#[tokio::test]
async fn an_agent_that_waits_is_shown_with_its_task() {
    let file = File::new("show-waiting");
    let mut workflow = item("processing", 600 * SECOND);
    let waits_for =
        [("input", Some("t1\u{1b}[31m")), ("task", Some("resp_1")), ("authorization", None)];
    for (what, id) in waits_for {
        let mut waits = agent("in-progress");
        waits["waitingFor"] = what.into();
        if let Some(id) = id {
            waits["taskId"] = id.into();
        }
        workflow = with(workflow, &format!("agent-{what}"), waits);
    }
    file.put("s", with(workflow, "unfinishedTasks", json!(["t1", "resp_1"]))).await;
    let output = file.run(["show", "s"]).assert_code(0);
    let expected = [
        "waiting ",
        "◷ agent-input",
        "waiting for input, task t1\\u{1b}[31m\n",
        "waiting for task resp_1\n",
        "waiting for authorization\n",
    ];
    for part in expected {
        assert!(output.out.contains(part), "no `{part}` in\n{}", output.out);
    }
    assert!(!output.out.contains("stalled"), "{}", output.out);
    let json = file.run(["show", "s", "--json"]).assert_code(0).json();
    assert_eq!(json["unfinishedTasks"], json!(["t1", "resp_1"]));
}

#[test]
fn an_unknown_session_is_a_negative_result() {
    let file = File::new("show-unknown");
    let output = file.run(["show", "nobody", "--json"]).assert_code(1);
    assert_eq!(output.out, "");
    output.assert_stderr(&["no session `nobody`", "tower-agent-status list"]);
    file.run(["show", ""]).assert_code(1);
    file.run(["show", &"x".repeat(5000)]).assert_code(1);
}

#[tokio::test]
async fn the_run_before_and_the_end_are_shown() {
    let file = File::new("show-runs");
    let at = |second: u32| format!("2025-12-24T10:00:{second:02}.000Z");
    let mut workflow = item("completed", HOUR);
    workflow["createdAt"] = at(20).into();
    // Token counts arrived late.
    workflow["completedAt"] = at(27).into();
    workflow["lastUpdated"] = at(59).into();
    let previous = json!({
        "overallStatus": "failed", "createdAt": at(0), "completedAt": at(12), "error": "no model",
        "totalTokenUsage": { "inputTokens": 1_000, "outputTokens": 234, "totalTokens": 1_234 },
    });
    file.put("again", with(workflow.clone(), "previousRun", previous)).await;
    let output = file.run(["show", "again"]).assert_code(0);
    let expected = [
        "completed        7.0 s",
        "createdAt       2025-12-24T10:00:20.000Z\n",
        "completedAt     2025-12-24T10:00:27.000Z\n",
        "previous run    failed 2025-12-24T10:00:12.000Z, after 12.0 s, 1,234 tokens: no model\n",
    ];
    for part in expected {
        assert!(output.out.contains(part), "no `{part}` in\n{}", output.out);
    }
    assert!(file.run(["list"]).assert_code(0).out.contains("7.0 s"));

    let nothing = json!({ "inputTokens": 0, "outputTokens": 0, "totalTokens": 0 });
    let open =
        json!({ "overallStatus": "processing", "createdAt": at(0), "totalTokenUsage": nothing });
    file.put("open", with(item("processing", SECOND), "previousRun", open)).await;
    let output = file.run(["show", "open"]).assert_code(0);
    let expected = "previous run    processing, started 2025-12-24T10:00:00.000Z\n";
    assert!(output.out.contains(expected), "{}", output.out);
    assert!(!output.out.contains("completedAt"), "{}", output.out);

    file.put("first", workflow).await;
    let output = file.run(["show", "first"]).assert_code(0);
    assert!(!output.out.contains("previous run"), "{}", output.out);
}
