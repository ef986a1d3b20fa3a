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

    let told = file.run(["show", "s"]).assert_code(0);
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
        assert!(told.out.contains(part), "no `{part}` in\n{}", told.out);
    }
    // A pipe is no terminal.
    assert!(!told.out.contains('\u{1b}'), "{}", told.out);
}

#[tokio::test]
async fn as_json_it_is_the_item_in_an_order_for_people() {
    let file = File::new("show-json");
    let workflow = with(item("processing", 2 * SECOND), "pdfAdapter", agent("in-progress"));
    file.put("s", workflow.clone()).await;
    let told = file.run(["show", "s", "--json"]).assert_code(0);
    let mut expected = workflow;
    expected["sessionId"] = "s".into();
    assert_eq!(told.json(), expected);
    let names: Vec<_> = told
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
async fn one_that_nobody_works_on_is_said_to_be_stalled() {
    let file = File::new("show-stalled");
    file.put("s", item("processing", 600 * SECOND)).await;
    let told = file.run(["show", "s"]).assert_code(0);
    assert!(told.out.contains("no heartbeat for 10 m"), "{}", told.out);
    let told = file.run(["show", "s", "--heartbeat", "1h"]).assert_code(0);
    assert!(!told.out.contains("stalled"), "{}", told.out);
}

#[test]
fn one_that_is_not_there_is_a_no() {
    let file = File::new("show-unknown");
    let told = file.run(["show", "nobody", "--json"]).assert_code(1);
    assert_eq!(told.out, "");
    told.assert_says(&["no session `nobody`", "tower-agent-status list"]);
    file.run(["show", ""]).assert_code(1);
    file.run(["show", &"x".repeat(5000)]).assert_code(1);
}
