//! Costs, models, attempts and budgets in `list`, `show` and `watch`.

use serde_json::{Value as Json, json};

use crate::support::{File, HOUR, SECOND, agent, item, with};

fn at(second: u32) -> String {
    format!("2025-12-24T10:00:{second:02}.000Z")
}

/// A workflow of one agent that was called twice, of two models.
fn expensive(status: &str) -> Json {
    let mut retried = agent("success");
    retried["calls"] = 12.into();
    retried["startedAt"] = at(0).into();
    retried["completedAt"] = at(5).into();
    retried["model"] = "gpt-4o-mini".into();
    retried["finishReason"] = "length".into();
    retried["timeToFirstChunk"] = 0.25.into();
    retried["costUsd"] = 0.512_345_6.into();
    retried["unpricedCalls"] = 1.into();
    retried["models"] = json!({
        "gpt-4o": { "totalTokens": 800, "unpricedCalls": 1 },
        "gpt-4o-mini": { "totalTokens": 1_200, "costUsd": 0.512_345_6 },
    });
    retried["attempts"] = json!([
        { "by": "a", "startedAt": at(0), "duration": 0.4, "status": "error",
          "errorType": "http_429", "requestId": "req_\u{1b}[31m", "retryAfter": 2.0 },
        { "by": "a", "startedAt": at(2), "duration": 3.0, "status": "success",
          "model": "gpt-4o-mini", "tokenUsage": { "totalTokens": 1_204 } },
    ]);
    let mut item = with(item(status, HOUR), "pdfAdapter", retried);
    item["budgetUsd"] = 0.5.into();
    item["budgetTokens"] = 10_000.into();
    item["budgetExceededAt"] = at(7).into();
    item["traceId"] = "0af7651916cd43dd8448eb211c80319c".into();
    let mut cheap = agent("success");
    cheap["finishReason"] = "stop".into();
    cheap["costUsd"] = 0.000_012_345.into();
    with(item, "tradeMatching", cheap)
}

#[tokio::test]
async fn a_list_has_a_column_only_if_something_has_a_cost() {
    let file = File::new("costs-list");
    file.put("free", with(item("completed", 2 * HOUR), "pdfAdapter", agent("success"))).await;
    let before = file.run(["list"]).assert_code(0).out;
    assert!(before.lines().next().unwrap().ends_with("TOKENS"), "{before}");
    let row = file.run(["list", "--json"]).assert_code(0).json();
    assert_eq!((row[0].get("totalCostUsd"), row[0].get("unpricedCalls")), (None, None));

    file.put("expensive", expensive("completed")).await;
    let after = file.run(["list"]).assert_code(0).out;
    let lines: Vec<_> = after.lines().collect();
    assert!(lines[0].ends_with("TOKENS          COST"), "{after}");
    assert!(
        lines[1].starts_with("expensive ") && lines[1].ends_with("4,000       ≥ $0.51"),
        "{after}"
    );
    assert!(lines[2].starts_with("free ") && lines[2].ends_with(" 2,000"), "{after}");
    let rows = file.run(["list", "--json"]).assert_code(0).json();
    assert_eq!(
        (&rows[0]["totalCostUsd"], &rows[0]["unpricedCalls"]),
        (&json!(0.512_357_945), &json!(1))
    );
}

#[tokio::test]
async fn csv_has_exact_costs_and_no_formulas() {
    let file = File::new("costs-csv");
    let head = "session,correlation_id,status,created,updated,duration,input_tokens,output_tokens,total_tokens,cost_usd,unpriced_calls,error\r\n";
    assert_eq!(file.run(["list", "--csv"]).assert_code(0).out, head);
    let mut costs = expensive("failed");
    costs["correlationId"] = "=HYPERLINK(\"http://x\",\"y\")".into();
    costs["error"] = "-no model\r\n, or \u{1b}[2Jso".into();
    costs["createdAt"] = at(0).into();
    costs["completedAt"] = at(9).into();
    costs["lastUpdated"] = at(30).into();
    file.put("@expensive", costs).await;
    let mut theirs = json!({ "overallStatus": "archived" });
    theirs["createdAt"] = "2025-12-23T10:00:00Z".into();
    file.put("theirs", theirs).await;
    let output = file.run(["list", "--csv"]).assert_code(0);
    let expected = [
        "'@expensive,\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\",failed,2025-12-24T10:00:00.000Z,2025-12-24T10:00:30.000Z,9.000,3000,1000,4000,0.512357945,1,\"'-no model , or [2Jso\"\r\n",
        "theirs,,archived,2025-12-23T10:00:00.000Z,,,,,,,0,\r\n",
    ];
    assert_eq!(output.out, format!("{head}{}", expected.concat()));
    file.run(["list", "--csv", "--json"]).assert_code(2).assert_stderr(&["--json"]);
}

#[tokio::test]
async fn show_has_costs_models_attempts_and_the_budget() {
    let file = File::new("costs-show");
    let previous = json!({
        "overallStatus": "completed", "createdAt": at(0), "completedAt": at(4), "totalCostUsd": 0.25,
    });
    file.put("s", with(expensive("completed"), "previousRun", previous)).await;
    let output = file.run(["show", "s"]).assert_code(0);
    let expected = [
        "cost            ≥ $0.512357945 (the cost of 1 call is not known in full)\n",
        "budget          $0.5, 10,000 tokens; exceeded at 2025-12-24T10:00:07.000Z\n",
        "traceId         0af7651916cd43dd8448eb211c80319c\n",
        "previous run    completed 2025-12-24T10:00:04.000Z, after 4.0 s, $0.25\n",
        "✔ pdfAdapter          It is success                         5.0 s   2,000 tokens     ≥ $0.51\n",
        "  gpt-4o-mini, stopped: length, first token after 0.2 s\n",
        "1,500 in, 500 out, 12 calls, ≥ $0.5123456 (the cost of 1 call is not known in full)\n",
        "  gpt-4o                                         800 tokens     unknown\n",
        "  gpt-4o-mini                                  1,200 tokens       $0.51\n",
        "  ✘ attempt 11  2025-12-24T10:00:00.000Z    0.4 s  http_429, retry after 2.0 s, request req_\\u{1b}[31m\n",
        "  ✔ attempt 12  2025-12-24T10:00:02.000Z    3.0 s  gpt-4o-mini, 1,204 tokens\n",
        "$0.0000123\n",
    ];
    for part in expected {
        assert!(output.out.contains(part), "no `{part}` in\n{}", output.out);
    }
    // A normal stop is not worth a word.
    assert_eq!(output.out.matches("stopped").count(), 1, "{}", output.out);

    file.put("free", with(item("completed", HOUR), "pdfAdapter", agent("success"))).await;
    let output = file.run(["show", "free"]).assert_code(0);
    for word in ["cost", "budget", "traceId", "attempt", "$"] {
        assert!(!output.out.contains(word), "`{word}` in\n{}", output.out);
    }
}

#[tokio::test]
async fn watch_has_costs_and_the_model() {
    let file = File::new("costs-watch");
    file.put("s", expensive("completed")).await;
    let output = file.run(["watch", "s"]).assert_code(0);
    let lines: Vec<_> = output.out.lines().collect();
    // Behind the word for the state, a line is as wide as on a wide terminal without its symbol.
    let widths: Vec<_> = lines
        .iter()
        .map(|line| line.split("gpt-").next().unwrap().trim_end().chars().count())
        .collect();
    assert_eq!(widths, [13 + 90, 13 + 90, 13 + 90 + 1], "{}", output.out);
    assert!(lines[0].ends_with("2,000 tokens     ≥ $0.51    gpt-4o-mini"), "{}", output.out);
    assert!(lines[1].ends_with("2,000 tokens  $0.0000123"), "{}", output.out);
    assert!(lines[2].ends_with("4,000 tokens     ≥ $0.51"), "{}", output.out);

    file.put("running", with(item("processing", SECOND), "pdfAdapter", agent("in-progress"))).await;
    let output = file.run(["watch", "running", "--timeout", "300ms"]).assert_code(3);
    assert!(!output.out.contains('$'), "{}", output.out);
}
