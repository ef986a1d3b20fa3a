//! Items that older writers leave: other words, and fewer attributes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::older_items::older_items;
use crate::support::{Store, ago, portal, whole};

async fn get(store: &Store, path: &str) -> Value {
    let router = portal(store.clone()).heartbeat_interval(Duration::from_secs(10)).router();
    let (_, _, body) = whole(&router, &format!("/api/workflow/{path}")).await;
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn an_item_of_each_kind_of_writer_is_shown() {
    let (store, items) = (Store::default(), older_items());
    for place in [2, 0, 4, 1, 3] {
        store.put(items[place].session, &items[place].item).await;
    }
    let list = get(&store, "recent").await;
    let listed: Vec<_> = list.as_array().unwrap().iter().map(|row| &row["sessionId"]).collect();
    assert_eq!(listed, items.iter().map(|it| it.session).collect::<Vec<_>>(), "the newest first");
    for (older, row) in items.iter().zip(list.as_array().unwrap()) {
        let session = older.session;
        let workflow = get(&store, &format!("{session}/status")).await;
        let of_all = (&workflow["overallStatus"], &workflow["createdAt"], &workflow["stalled"]);
        let expected = (&json!(older.status), &json!(older.created_at), &json!(false));
        assert_eq!(of_all, expected, "{session}");
        assert_eq!((&row["status"], &row["createdAt"], &row["stalled"]), expected, "{session}");
        let agents = workflow["agents"].as_object().unwrap();
        assert_eq!(agents.len(), 4, "{session}");
        for (name, status) in older.agents {
            assert_eq!(agents[name]["status"], status, "{session}: {name}");
            assert_eq!(row["agents"][name], status, "{session}: {name}");
            let written = &older.item[name];
            assert_eq!(agents[name]["startedAt"].is_string(), written["startedAt"].is_string());
            assert_eq!(agents[name]["completedAt"].is_string(), written["completedAt"].is_string());
            assert_eq!(agents[name]["duration"], written["duration"], "{session}: {name}");
        }
    }
}

#[tokio::test]
async fn an_agent_is_shown_whatever_its_word() {
    let store = Store::default();
    for (word, shown) in [
        ("loading", "in-progress"),
        ("completed", "success"),
        ("warning", "warning"),
        ("info", "info"),
        ("stopped", "stopped"),
    ] {
        let item = json!({
            "overallStatus": "processing", "lastUpdated": "2025-12-24T10:00:05.000Z",
            "pdfAdapter": {
                "status": word, "activity": "Reading", "startedAt": "2025-12-24T10:00:00.000Z",
                "completedAt": "2025-12-24T10:00:05.000Z", "duration": 5,
                "tokenUsage": { "totalTokens": 1_200 },
            },
            "tradeMatching": { "status": "pending", "activity": "Waiting" },
        });
        store.put("s", &item).await;
        let workflow = get(&store, "s/status").await;
        assert_eq!(workflow["agents"].as_object().unwrap().len(), 2, "{word}");
        let agent = &workflow["agents"]["pdfAdapter"];
        assert_eq!(agent["status"], shown);
        assert_eq!(agent["activity"], "Reading (Tokens: 1,200)", "{word}");
        assert_eq!(agent["startedAt"], "2025-12-24T10:00:00.000Z", "{word}");
        assert_eq!(agent["duration"], 5, "{word}");
        let list = get(&store, "recent").await;
        assert_eq!(list[0]["agents"], json!({ "pdfAdapter": shown, "tradeMatching": "pending" }));
    }
}

#[tokio::test]
async fn a_workflow_without_a_heartbeat_has_not_stalled() {
    let store = Store::default();
    let old = ago(Duration::from_secs(3_600));
    for (word, revision, shown, stalled) in [
        ("processing", 0, "processing", false),
        ("processing", 3, "processing", true),
        ("pending", 0, "pending", false),
        ("pending", 3, "pending", false),
        ("archived", 3, "archived", false),
    ] {
        let mut item = json!({ "overallStatus": word, "createdAt": old, "lastUpdated": old });
        if revision > 0 {
            item["revision"] = json!(revision);
        }
        store.put("s", &item).await;
        let workflow = get(&store, "s/status").await;
        assert_eq!(
            (&workflow["overallStatus"], &workflow["stalled"]),
            (&json!(shown), &json!(stalled))
        );
        let list = get(&store, "recent").await;
        assert_eq!((&list[0]["status"], &list[0]["stalled"]), (&json!(shown), &json!(stalled)));
        let (_, _, metrics) = whole(&portal(store.clone()).router(), "/api/workflow/metrics").await;
        let sample = format!("\nagent_status_workflows_stalled {}\n", u8::from(stalled));
        assert!(metrics.contains(&sample), "{word} {revision}: {metrics}");
    }
}

#[tokio::test]
async fn a_time_that_is_not_there_is_not_made_up() {
    let store = Store::default();
    let (early, late) = ("2025-12-24T10:00:00.000Z", "2025-12-24T11:00:00.000Z");
    let shown = async |item: &Value| {
        store.put("s", item).await;
        let (workflow, list) = (get(&store, "s/status").await, get(&store, "recent").await);
        assert_eq!(workflow["createdAt"], list[0]["createdAt"]);
        (
            workflow["createdAt"].clone(),
            workflow["lastUpdated"].clone(),
            workflow["attributes"].clone(),
        )
    };
    let none = json!({});
    let with_last = shown(&json!({ "lastUpdated": late })).await;
    assert_eq!(with_last, (Value::Null, json!(late), none.clone()));
    let other_name = shown(&json!({ "created_at": early, "lastUpdated": late })).await;
    assert_eq!(other_name, (json!(early), json!(late), none.clone()));
    // Existing clients have a string here.
    assert_eq!(shown(&json!({ "createdAt": early })).await, (json!(early), json!(""), none));
}

#[tokio::test]
async fn undeclared_agents_of_old_items_are_ordered_by_their_end() {
    let store = Store::default();
    let done = |at: &str| json!({ "status": "success", "completedAt": at });
    let item = json!({
        "overallStatus": "processing",
        "a": done("2025-12-24T10:09:00.000Z"), "b": done("2025-12-24T10:01:00.000Z"),
        "c": { "status": "in-progress", "startedAt": "2025-12-24T10:05:00.000Z" },
    });
    store.put("s", &item).await;
    let router = portal(store).router();
    let (_, _, body) = whole(&router, "/api/workflow/s/status").await;
    let places: Vec<_> =
        ["b", "c", "a"].map(|name| body.find(&format!(r#""{name}":{{"#)).unwrap()).into();
    assert!(places.is_sorted(), "{body}");
}

#[tokio::test]
async fn the_sub_steps_of_an_agent_are_passed_on() {
    let store = Store::default();
    let shown = async |sub_steps: Value| {
        let agent = json!({ "status": "in-progress", "subSteps": sub_steps });
        store.put("s", &json!({ "overallStatus": "processing", "pdfAdapter": agent })).await;
        get(&store, "s/status").await["agents"]["pdfAdapter"]["subSteps"].take()
    };
    let steps = json!([
        { "title": "Read", "status": "success", "description": "3 pages" },
        { "title": "<b>Split</b>", "status": "loading", "pages": [1, 2.5], "more": { "a": "b" } },
        {},
    ]);
    assert_eq!(shown(steps.clone()).await, steps);
    // Readers take the names of each: what is no map has none.
    let mixed = json!(["Read", { "title": "Split" }, 3, [{ "title": "no step" }]]);
    assert_eq!(shown(mixed).await, json!([{ "title": "Split" }]));
    for other in [json!([]), json!("Read"), json!({ "title": "Read" }), json!(3)] {
        assert_eq!(shown(other).await, json!([]));
    }
}

#[tokio::test]
async fn the_sub_steps_stay_when_a_recorder_goes_on_with_the_agent() {
    use tower_agent_status::StatusTracker;
    use tower_agent_status::status::{AgentReport, AgentState};
    let store = Store::default();
    let steps = json!([{ "title": "Read", "status": "success" }]);
    let agent = json!({ "status": "in-progress", "subSteps": steps });
    store.put("s", &json!({ "overallStatus": "processing", "pdfAdapter": agent })).await;
    let tracker = StatusTracker::builder(store.memory.clone()).start().unwrap();
    let report = AgentReport::new(AgentState::Success);
    tracker.update_agent_status("s", "pdfAdapter", report).unwrap();
    tracker.shutdown(Duration::from_secs(5)).await.unwrap();
    let agent = get(&store, "s/status").await["agents"]["pdfAdapter"].take();
    assert_eq!((&agent["status"], &agent["subSteps"]), (&json!("success"), &steps));
}
