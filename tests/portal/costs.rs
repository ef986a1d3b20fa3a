//! Models, costs, attempts and budgets in the JSON.

use serde_json::{Value, json};

use crate::support::{Store, portal, whole};

async fn get(store: &Store, path: &str) -> Value {
    let (_, _, body) =
        whole(&portal(store.clone()).router(), &format!("/api/workflow/{path}")).await;
    serde_json::from_str(&body).unwrap()
}

fn at(second: u32) -> String {
    format!("2025-12-24T10:00:{second:02}.000Z")
}

fn item() -> Value {
    json!({
        "overallStatus": "completed", "createdAt": at(0), "lastUpdated": at(9), "revision": 6,
        "totalCostUsd": 0.512_345_6, "unpricedCalls": 1, "traceId": "0af7651916cd43dd8448eb211c80319c",
        "budgetUsd": 0.5, "budgetTokens": 1_000, "budgetExceededAt": at(7),
        "previousRun": { "overallStatus": "completed", "createdAt": at(0), "totalCostUsd": 0.25 },
        "pdfAdapter": {
            "status": "success", "activity": "Read", "calls": 2, "startedAt": at(0),
            "completedAt": at(5), "duration": 5.0,
            "model": "gpt-4o-mini", "finishReason": "length", "timeToFirstChunk": 0.25,
            "costUsd": 0.512_345_6, "unpricedCalls": 1,
            "tokenUsage": { "inputTokens": 1_000, "outputTokens": 204, "totalTokens": 1_204 },
            "models": {
                "gpt-4o": { "totalTokens": 4, "unpricedCalls": 1 },
                "gpt-4o-mini": { "totalTokens": 1_200, "costUsd": 0.000_075 },
            },
            "attempts": [
                { "by": "a", "startedAt": at(0), "duration": 0.4, "status": "error",
                  "errorType": "http_429", "requestId": "req_1", "retryAfter": 2.0 },
                { "by": "a", "startedAt": at(2), "duration": 2.1, "status": "success",
                  "model": "gpt-4o-mini", "tokenUsage": { "totalTokens": 1_204 } },
            ],
        },
        "tradeMatching": {
            "status": "success", "activity": "Matched", "finishReason": "end_turn", "calls": 1,
            "costUsd": 0.0,
        },
    })
}

#[tokio::test]
async fn what_is_known_of_an_agents_calls_is_appended() {
    let store = Store::default();
    store.put("s", &item()).await;
    let shown = get(&store, "s/status").await;
    let agent = &shown["agents"]["pdfAdapter"];
    assert_eq!(agent["activity"], "Read (Tokens: 1,204)");
    let expected = [
        ("model", json!("gpt-4o-mini")),
        ("finishReason", json!("length")),
        ("stoppedNormally", json!(false)),
        ("timeToFirstChunk", json!(0.25)),
        ("costUsd", json!(0.512_345_6)),
        ("unpricedCalls", json!(1)),
        ("cost", json!({ "short": "≥ $0.51", "exact": "≥ $0.5123456" })),
        (
            "models",
            json!({
                "gpt-4o": { "totalTokens": 4, "unpricedCalls": 1,
                            "cost": { "short": "unknown", "exact": "unknown" } },
                "gpt-4o-mini": { "totalTokens": 1_200, "costUsd": 0.000_075,
                                 "cost": { "short": "$0.000075", "exact": "$0.000075" } },
            }),
        ),
        (
            "attempts",
            json!([
                { "startedAt": at(0), "duration": 0.4, "status": "error", "errorType": "http_429",
                  "requestId": "req_1", "retryAfter": 2.0 },
                { "startedAt": at(2), "duration": 2.1, "status": "success", "model": "gpt-4o-mini",
                  "tokenUsage": { "totalTokens": 1_204 } },
            ]),
        ),
    ];
    for (name, value) in expected {
        assert_eq!(agent[name], value, "{name}");
    }
    // A normal stop, and a cost that is known to be zero.
    let other = &shown["agents"]["tradeMatching"];
    assert_eq!(
        (&other["finishReason"], &other["stoppedNormally"]),
        (&json!("end_turn"), &json!(true))
    );
    assert_eq!((&other["costUsd"], &other["cost"]["short"]), (&json!(0.0), &json!("$0")));
    assert_eq!(other.get("attempts"), None);
}

#[tokio::test]
async fn the_workflow_has_its_cost_its_budget_and_its_trace() {
    let store = Store::default();
    store.put("s", &item()).await;
    let shown = get(&store, "s/status").await;
    let expected = [
        ("totalCostUsd", json!(0.512_345_6)),
        ("unpricedCalls", json!(1)),
        ("totalCost", json!({ "short": "≥ $0.51", "exact": "≥ $0.5123456" })),
        ("traceId", json!("0af7651916cd43dd8448eb211c80319c")),
        ("budgetUsd", json!(0.5)),
        ("budgetTokens", json!(1_000)),
        ("budgetExceededAt", json!(at(7))),
        ("budget", json!({ "short": "$0.50", "exact": "$0.5" })),
    ];
    for (name, value) in expected {
        assert_eq!(shown[name], value, "{name}");
    }
    let run = &shown["previousRun"];
    assert_eq!(run["totalCost"], json!({ "short": "$0.25", "exact": "$0.25" }));
    assert_eq!((&run["totalCostUsd"], run.get("unpricedCalls")), (&json!(0.25), None));

    let list = get(&store, "recent").await;
    assert_eq!(list[0]["totalCost"], shown["totalCost"]);
    assert_eq!(
        (&list[0]["totalCostUsd"], &list[0]["unpricedCalls"]),
        (&json!(0.512_345_6), &json!(1))
    );
    assert_eq!(list[0]["agents"], json!({ "pdfAdapter": "success", "tradeMatching": "success" }));
}

#[tokio::test]
async fn attempts_are_the_sub_steps_unless_an_older_writer_has_noted_some() {
    let store = Store::default();
    let mut item = item();
    let steps = async |item: &Value| {
        store.put("s", item).await;
        get(&store, "s/status").await["agents"]["pdfAdapter"]["subSteps"].take()
    };
    let failed = |number: u32| json!({ "title": format!("Attempt {number}"), "status": "error", "description": "http_429 after 0.4 s; retry after 2 s" });
    let ok = |number: u32| json!({ "title": format!("Attempt {number}"), "status": "success", "description": "gpt-4o-mini, 1,204 tokens, 2.1 s" });
    assert_eq!(steps(&item).await, json!([failed(1), ok(2)]));
    // Of more than eight, only the last are kept.
    item["pdfAdapter"]["calls"] = json!(12);
    assert_eq!(steps(&item).await, json!([failed(11), ok(12)]));
    item["pdfAdapter"]["subSteps"] = json!([]);
    assert_eq!(steps(&item).await, json!([failed(11), ok(12)]));
    item["pdfAdapter"]["attempts"] = json!([
        { "startedAt": at(0), "duration": 61.26, "status": "error", "errorType": "timeout" },
        { "startedAt": "2025-12-24T10:01:05.000Z", "duration": 0.0, "status": "success" },
    ]);
    let bare = json!([
        { "title": "Attempt 11", "status": "error", "description": "timeout after 61.3 s" },
        { "title": "Attempt 12", "status": "success", "description": "0.0 s" },
    ]);
    assert_eq!(steps(&item).await, bare);
    let noted = json!([{ "title": "Read", "status": "completed", "description": "3 pages" }]);
    item["pdfAdapter"]["subSteps"] = noted.clone();
    assert_eq!(steps(&item).await, noted);
}

#[tokio::test]
async fn without_any_of_it_nothing_is_added() {
    let store = Store::default();
    let item = json!({
        "overallStatus": "completed", "createdAt": at(0), "lastUpdated": at(9),
        "pdfAdapter": { "status": "success", "tokenUsage": { "totalTokens": 5 } },
    });
    store.put("s", &item).await;
    let shown = get(&store, "s/status").await;
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let agent = names(&shown["agents"]["pdfAdapter"]);
    for name in
        ["model", "finishReason", "stoppedNormally", "cost", "costUsd", "models", "attempts"]
    {
        assert!(!agent.iter().any(|known| known == name), "{agent:?}");
    }
    let list = get(&store, "recent").await;
    for names in [names(&shown), names(&list[0])] {
        let new = ["totalCost", "totalCostUsd", "unpricedCalls", "traceId", "budget", "budgetUsd"];
        assert!(!names.iter().any(|name| new.contains(&name.as_str())), "{names:?}");
    }
}
