//! `GET /api/workflow/{sessionId}/status`, byte for byte.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tower_agent_status::portal;

use crate::support::{Store, ago, portal, processing, whole};
use crate::warnings::Warnings;

#[tokio::test]
async fn a_workflow_in_every_state_of_its_agents() {
    let store = Store::default();
    let item = json!({
        "correlationId": "corr_abc123", "documentId": "FAB_26933659", "pages": 3,
        "overallStatus": "failed", "error": "matching failed", "revision": 6,
        "writers": { "3f9c": 17 }, "expiresAt": 1_774_346_400, "createdDay": "2025-12-24",
        "createdAt": "2025-12-24T10:00:00.000Z", "lastUpdated": "2025-12-24T10:00:29.000Z",
        "completedAt": "2025-12-24T10:00:28.000Z",
        "previousRun": {
            "overallStatus": "completed", "createdAt": "2025-12-23T10:00:00.000Z",
            "completedAt": "2025-12-23T10:00:12.000Z",
            "totalTokenUsage": { "inputTokens": 1_000, "outputTokens": 234, "totalTokens": 1_234 },
        },
        "pdfAdapter": {
            "status": "success", "activity": "Text extraction complete", "calls": 2,
            "startedAt": "2025-12-24T10:00:00.000Z", "completedAt": "2025-12-24T10:00:17.900Z",
            "lastUpdated": "2025-12-24T10:00:17.900Z", "duration": 17.9,
            "tokenUsage": {
                "inputTokens": 12_000, "outputTokens": 2_169, "totalTokens": 14_169,
                "cacheReadInputTokens": 1_800, "reasoningTokens": 60,
            },
        },
        "tradeMatching": {
            "status": "error", "activity": "Matching failed", "calls": 1,
            "error": "HTTP 500: no \"model\"", "errorType": "http_500",
            "startedAt": "2025-12-24T10:00:18.000Z", "completedAt": "2025-12-24T10:00:29.000Z",
            "lastUpdated": "2025-12-24T10:00:29.000Z", "duration": 11.0,
        },
        "zLast": { "status": "in-progress", "activity": "Working", "startedAt": "2025-12-24T10:00:01.000Z" },
        "aFirst": { "status": "pending", "activity": "" },
    });
    store.put("session-corr_abc123", &item).await;
    let router = portal(store).router();
    let (status, headers, body) = whole(&router, "/api/workflow/session-corr_abc123/status").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["cache-control"], "no-store");
    let expected = concat!(
        r#"{"sessionId":"session-corr_abc123","overallStatus":"failed","lastUpdated":"2025-12-24T10:00:29.000Z","agents":{"#,
        // Declared agents in order, then the others by start time.
        r#""pdfAdapter":{"status":"success","activity":"Text extraction complete (Tokens: 14,169)","#,
        r#""startedAt":"2025-12-24T10:00:00.000Z","completedAt":"2025-12-24T10:00:17.900Z","duration":17,"error":null,"subSteps":[],"#,
        r#""errorType":null,"tokenUsage":{"cacheReadInputTokens":1800,"inputTokens":12000,"outputTokens":2169,"reasoningTokens":60,"totalTokens":14169},"#,
        r#""calls":2,"lastUpdated":"2025-12-24T10:00:17.900Z","waitingFor":null,"taskId":null},"#,
        r#""tradeMatching":{"status":"error","activity":"Matching failed","#,
        r#""startedAt":"2025-12-24T10:00:18.000Z","completedAt":"2025-12-24T10:00:29.000Z","duration":11,"error":"HTTP 500: no \"model\"","subSteps":[],"#,
        r#""errorType":"http_500","tokenUsage":null,"calls":1,"lastUpdated":"2025-12-24T10:00:29.000Z","waitingFor":null,"taskId":null},"#,
        r#""zLast":{"status":"in-progress","activity":"Working","startedAt":"2025-12-24T10:00:01.000Z","completedAt":null,"duration":null,"error":null,"subSteps":[],"#,
        r#""errorType":null,"tokenUsage":null,"calls":0,"lastUpdated":"2025-12-24T10:00:01.000Z","waitingFor":null,"taskId":null},"#,
        r#""aFirst":{"status":"pending","activity":"","startedAt":null,"completedAt":null,"duration":null,"error":null,"subSteps":[],"#,
        r#""errorType":null,"tokenUsage":null,"calls":0,"lastUpdated":null,"waitingFor":null,"taskId":null}},"#,
        r#""error":"matching failed","createdAt":"2025-12-24T10:00:00.000Z","correlationId":"corr_abc123","#,
        r#""attributes":{"documentId":"FAB_26933659","pages":3},"#,
        r#""totalTokenUsage":{"cacheReadInputTokens":1800,"inputTokens":12000,"outputTokens":2169,"reasoningTokens":60,"totalTokens":14169},"stalled":false,"waiting":false,"unfinishedTasks":[],"completedAt":"2025-12-24T10:00:28.000Z","#,
        r#""previousRun":{"overallStatus":"completed","createdAt":"2025-12-23T10:00:00.000Z","completedAt":"2025-12-23T10:00:12.000Z","error":null,"#,
        r#""totalTokenUsage":{"inputTokens":1000,"outputTokens":234,"totalTokens":1234}}}"#,
    );
    assert_eq!(body, expected);
}

const UNKNOWN: &str = concat!(
    r#"{"sessionId":"nobody","overallStatus":"pending","lastUpdated":"","agents":{"#,
    r#""pdfAdapter":{"status":"pending","activity":"Waiting for upload","startedAt":null,"completedAt":null,"duration":null,"error":null,"subSteps":[],"errorType":null,"tokenUsage":null,"calls":0,"lastUpdated":null,"waitingFor":null,"taskId":null},"#,
    r#""tradeMatching":{"status":"pending","activity":"Waiting for extraction","startedAt":null,"completedAt":null,"duration":null,"error":null,"subSteps":[],"errorType":null,"tokenUsage":null,"calls":0,"lastUpdated":null,"waitingFor":null,"taskId":null}},"#,
    r#""error":null,"createdAt":null,"correlationId":null,"attributes":{},"totalTokenUsage":{"inputTokens":0,"outputTokens":0,"totalTokens":0},"stalled":false,"waiting":false,"unfinishedTasks":[],"completedAt":null,"previousRun":null}"#,
);

#[tokio::test]
async fn an_unknown_session_is_pending() {
    let store = Store::default();
    let (status, _, body) =
        whole(&portal(store.clone()).router(), "/api/workflow/nobody/status").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, UNKNOWN));

    // Without declared agents there are none.
    let (_, _, body) = whole(&portal::router(store), "/api/workflow/nobody/status").await;
    let status: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&status["overallStatus"], &status["agents"]), (&json!("pending"), &json!({})));
}

#[tokio::test]
async fn the_reason_of_a_failure_appears_only_in_the_log() {
    let warnings = Warnings::watch();
    let store = Store::default();
    store.fails(true);
    let (status, headers, body) =
        whole(&portal(store).router(), "/api/workflow/session-7%0Aforged/status").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(body, r#"{"detail":"the status store cannot be read right now; try again later"}"#);
    let warnings = warnings.take();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for part in ["table-of-secrets", r"session-7\nforged"] {
        assert!(warnings[0].contains(part), "{warnings:?}");
    }
}

#[tokio::test]
async fn three_missed_heartbeats_are_stalled() {
    let store = Store::default();
    let router = portal(store.clone()).heartbeat_interval(Duration::from_secs(10)).router();
    let is_stalled = async |overall: &str, silence: u64| {
        let time = ago(Duration::from_secs(silence));
        let item = json!({
            "overallStatus": overall, "createdAt": time, "lastUpdated": time, "revision": 1,
        });
        store.put("s", &item).await;
        let (_, _, body) = whole(&router, "/api/workflow/s/status").await;
        serde_json::from_str::<Value>(&body).unwrap()["stalled"].as_bool().unwrap()
    };
    assert!(is_stalled("processing", 31).await);
    assert!(is_stalled("initializing", 31).await);
    assert!(!is_stalled("processing", 20).await);
    // A finished workflow needs no heartbeat.
    assert!(!is_stalled("completed", 31).await);
    assert!(!is_stalled("failed", 31).await);
}

#[tokio::test]
async fn what_an_agent_waits_for_is_shown_and_its_workflow_is_not_stalled() {
    let store = Store::default();
    let router = portal(store.clone()).router();
    let old = ago(Duration::from_secs(3_600));
    let item = json!({
        "overallStatus": "processing", "createdAt": old, "lastUpdated": old, "revision": 1,
        "unfinishedTasks": ["resp_1", "t1"],
        "pdfAdapter": { "status": "in-progress", "waitingFor": "input", "taskId": "t1" },
        "tradeMatching": { "status": "success" },
    });
    store.put("s", &item).await;
    let status = async || -> Value {
        let (_, _, body) = whole(&router, "/api/workflow/s/status").await;
        serde_json::from_str(&body).unwrap()
    };
    let shown = status().await;
    let agent = &shown["agents"]["pdfAdapter"];
    assert_eq!((&agent["waitingFor"], &agent["taskId"]), (&json!("input"), &json!("t1")));
    assert_eq!((&shown["waiting"], &shown["stalled"]), (&json!(true), &json!(false)));
    assert_eq!(shown["unfinishedTasks"], json!(["resp_1", "t1"]));
    let (_, _, list) = whole(&router, "/api/workflow/recent").await;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!((&list[0]["waiting"], &list[0]["stalled"]), (&json!(true), &json!(false)));

    // The process of another agent's call has died.
    let mut item = item;
    item["tradeMatching"]["status"] = json!("in-progress");
    store.put("s", &item).await;
    let shown = status().await;
    assert_eq!((&shown["waiting"], &shown["stalled"]), (&json!(false), &json!(true)));
}

#[tokio::test]
async fn tokens_are_shown_once_known() {
    let store = Store::default();
    let router = portal(store.clone()).router();
    let agent = async |agent: Value| {
        store.put("s", &json!({ "overallStatus": "processing", "pdfAdapter": agent })).await;
        let (_, _, body) = whole(&router, "/api/workflow/s/status").await;
        let status: Value = serde_json::from_str(&body).unwrap();
        let agent = &status["agents"]["pdfAdapter"];
        (agent["activity"].as_str().unwrap().to_owned(), agent["tokenUsage"].clone())
    };
    let zeros = json!({ "inputTokens": 0, "outputTokens": 0, "totalTokens": 0 });
    let some = json!({ "inputTokens": 1_000_000, "outputTokens": 1, "totalTokens": 1_000_001 });
    let table = [
        ("in-progress", "Reading", Some(&some), "Reading (Tokens: 1,000,001)", &some),
        // Another writer has appended the tokens already.
        ("success", "Read (Tokens: 1,000,001)", Some(&some), "Read (Tokens: 1,000,001)", &some),
        ("success", "Read", None, "Read", &Value::Null),
        // A reported zero is a zero; that of an agent that never ran is absent.
        ("success", "Read", Some(&zeros), "Read", &zeros),
        ("pending", "Waiting", Some(&zeros), "Waiting", &Value::Null),
        // A pending agent without an activity has its declared text.
        ("pending", "", None, "Waiting for upload", &Value::Null),
        ("error", "", None, "", &Value::Null),
    ];
    for (status, activity, usage, expected, expected_usage) in table {
        let mut item = json!({ "status": status, "activity": activity });
        if let Some(usage) = usage {
            item["tokenUsage"] = usage.clone();
        }
        let (activity, usage) = agent(item).await;
        assert_eq!((activity.as_str(), &usage), (expected, expected_usage));
    }
}

#[tokio::test]
async fn of_the_previous_run_is_shown_what_is_known() {
    let store = Store::default();
    let router = portal(store.clone()).router();
    let shown = async |run: &Value| {
        store.put("s", &json!({ "overallStatus": "processing", "previousRun": run })).await;
        let (_, _, body) = whole(&router, "/api/workflow/s/status").await;
        serde_json::from_str::<Value>(&body).unwrap()["previousRun"].take()
    };
    let (start, end) = ("2025-12-24T10:00:00.000Z", "2025-12-24T10:00:12.000Z");
    let none = json!({ "inputTokens": 0, "outputTokens": 0, "totalTokens": 0 });
    let failed = json!({
        "overallStatus": "failed", "createdAt": start, "completedAt": end,
        "error": "no \"model\"", "totalTokenUsage": { "totalTokens": 1_234 },
    });
    assert_eq!(shown(&failed).await, failed);
    // It was replaced before it had ended.
    let open = json!({ "overallStatus": "archived", "createdAt": start, "totalTokenUsage": none });
    let mut expected = open.clone();
    expected["completedAt"] = Value::Null;
    expected["error"] = Value::Null;
    assert_eq!(shown(&open).await, expected);
    let expected = json!({
        "overallStatus": "pending", "createdAt": null, "completedAt": null, "error": null,
        "totalTokenUsage": none,
    });
    assert_eq!(shown(&json!({})).await, expected);
    assert_eq!(shown(&json!("another type")).await, Value::Null);
}

#[tokio::test]
async fn an_agent_declared_twice_has_the_later_text() {
    use tower_agent_status::{Agent, portal::Portal};
    let agent = |name: &str, text: &str| Agent::new(name).pending(text);
    let portal = Portal::new(Store::default()).agents([
        agent("one", "first"),
        agent("two", "x"),
        agent("one", "second"),
    ]);
    let (_, _, body) = whole(&portal.router(), "/api/workflow/s/status").await;
    assert_eq!(body.matches(r#""one":"#).count(), 1, "{body}");
    assert!(body.contains("second") && !body.contains("first"), "{body}");
    assert!(body.find(r#""one":"#) < body.find(r#""two":"#), "it keeps its place: {body}");
}

#[tokio::test]
async fn a_trace_has_an_address_at_the_end_if_the_host_says_where() {
    let store = Store::default();
    let mut item = processing(1);
    item["traceId"] = json!("0af7651916cd43dd8448eb211c80319c");
    store.put("traced", &item).await;
    store.put("untraced", &processing(1)).await;
    let path = "/api/workflow/traced/status";
    let (_, _, without) = whole(&portal(store.clone()).router(), path).await;
    let with = portal(store).trace_url("https://traces.example/t/{traceId}").unwrap().router();
    let (_, _, body) = whole(&with, path).await;
    let end = r#","traceUrl":"https://traces.example/t/0af7651916cd43dd8448eb211c80319c"}"#;
    assert_eq!(body, without.strip_suffix('}').unwrap().to_owned() + end);
    let (_, _, body) = whole(&with, "/api/workflow/untraced/status").await;
    assert!(!body.contains("traceUrl"), "{body}");
}
