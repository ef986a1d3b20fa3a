//! The overview: `GET /api/workflow/overview`, and as events of `GET /api/workflow/events`.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Instant, advance, sleep};
use tower_agent_status::store::StatusReader as _;

use crate::stream::Stream;
use crate::support::{Store, ago, completed, portal, processing, whole};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// An agent that took so many seconds and ended `before` now.
fn done(seconds: u64, before: Duration) -> Value {
    json!({
        "status": "success", "startedAt": ago(before + SECOND * u32::try_from(seconds).unwrap()),
        "completedAt": ago(before), "tokenUsage": { "totalTokens": 100 }, "costUsd": 0.25,
        "model": "gpt-4o-mini",
    })
}

fn failed_agent(error: &str, before: Duration) -> Value {
    json!({
        "status": "error", "startedAt": ago(before + SECOND), "completedAt": ago(before),
        "error": error, "errorType": "http_500",
    })
}

fn workflow(status: &str, created: Duration, updated: Duration) -> Value {
    let mut item = json!({
        "overallStatus": status, "createdAt": ago(created), "lastUpdated": ago(updated),
        "revision": 1,
    });
    if ["completed", "failed"].contains(&status) {
        item["completedAt"] = ago(updated).into();
    }
    item
}

async fn overview(store: &Store) -> Value {
    let (status, headers, body) =
        whole(&portal(store.clone()).router(), "/api/workflow/overview").await;
    assert_eq!((status, &headers["cache-control"]), (StatusCode::OK, &"no-store".parse().unwrap()));
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn it_tells_what_all_are_doing() {
    let store = Store::default();
    let mut running = workflow("processing", SECOND * 9, SECOND);
    running["documentId"] = json!("FAB_1");
    running["pdfAdapter"] = done(2, SECOND * 7);
    let started = ago(SECOND * 7);
    running["tradeMatching"] =
        json!({ "status": "in-progress", "activity": "Matching", "startedAt": started });
    store.put("running", &running).await;
    let mut waiting = workflow("processing", HOUR * 3, HOUR * 2);
    waiting["tradeMatching"] = json!({ "status": "in-progress", "waitingFor": "input" });
    store.put("waiting", &waiting).await;
    store.put("stalled", &workflow("processing", SECOND * 200, SECOND * 150)).await;
    let mut failed = workflow("failed", HOUR * 2, HOUR * 2 - SECOND * 9);
    failed["error"] = json!("the workflow has failed");
    failed["pdfAdapter"] = failed_agent("the second error", HOUR * 2 - SECOND * 8);
    failed["tradeMatching"] = failed_agent("the first error", HOUR * 2 - SECOND * 6);
    failed["tradeMatching"]["completedAt"] = json!(ago(HOUR * 2));
    store.put("failed", &failed).await;
    store.put("failed-long-ago", &workflow("failed", HOUR * 50, HOUR * 49)).await;
    for n in 1..=20_u64 {
        let mut item = workflow("completed", HOUR * 5, HOUR * 4);
        item["pdfAdapter"] = done(n, HOUR * 4);
        store.put(&format!("completed-{n:02}"), &item).await;
    }
    let (_, _, body) = whole(&portal(store.clone()).router(), "/api/workflow/overview").await;
    let names = [
        "workflows",
        "oldest",
        "partial",
        "truncated",
        "unindexed",
        "counts",
        "running",
        "problems",
        "problemCount",
        "hours",
        "agents",
    ];
    // Workflows have agents, too.
    let place = |name: &str| {
        body.rfind(&format!("\"{name}\":"))
            .filter(|_| name == "agents")
            .or_else(|| body.find(&format!("\"{name}\":")))
            .unwrap()
    };
    let places: Vec<_> = names.iter().map(|name| place(name)).collect();
    assert!(places.is_sorted(), "{body}");

    let overview = overview(&store).await;
    assert_eq!(overview["workflows"], 25);
    assert_eq!(
        [&overview["partial"], &overview["truncated"], &overview["unindexed"]],
        [&json!(false), &json!(false), &json!(false)]
    );
    let counts = json!({
        "pending": 0, "initializing": 0, "processing": 1, "waiting": 1, "stalled": 1,
        "completed": 20, "failed": 2, "other": 0,
    });
    assert_eq!(overview["counts"], counts);
    // The oldest first, with what their agents do.
    let running = overview["running"].as_array().unwrap();
    assert_eq!([&running[0]["sessionId"], &running[1]["sessionId"]], ["waiting", "running"]);
    assert_eq!(
        running[1]["agents"]["tradeMatching"],
        json!({
            "status": "in-progress", "startedAt": started, "completedAt": null,
            "waitingFor": null, "activity": "Matching",
        })
    );
    assert_eq!(running[1]["attributes"], json!({ "documentId": "FAB_1" }));
    assert_eq!(running[0]["agents"]["tradeMatching"]["waitingFor"], "input");
    // The newest first, with the error that came first.
    let problems = overview["problems"].as_array().unwrap();
    assert_eq!(overview["problemCount"], 2);
    assert_eq!(problems[0]["workflow"]["sessionId"], "stalled");
    assert_eq!(problems[0]["error"], Value::Null);
    assert_eq!(problems[1]["workflow"]["sessionId"], "failed");
    assert_eq!(
        [&problems[1]["agent"], &problems[1]["errorType"], &problems[1]["error"]],
        ["tradeMatching", "http_500", "the first error"]
    );
    assert_eq!(problems[1]["endedAt"], failed["completedAt"]);
    // Twenty-four hours. The workflows began in some of them.
    let hours = overview["hours"].as_array().unwrap();
    assert_eq!(hours.len(), 24);
    let sum = |name: &str| hours.iter().map(|hour| hour[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!([sum("workflows"), sum("failed"), sum("totalTokens")], [24, 1, 2_100]);
    let costs = hours.iter().filter_map(|hour| hour["totalCostUsd"].as_f64());
    assert!((costs.sum::<f64>() - 5.25).abs() < 1e-9);
    let agents = &overview["agents"];
    assert_eq!(
        agents.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["pdfAdapter", "tradeMatching"]
    );
    assert_eq!(
        agents["pdfAdapter"],
        json!({
            "running": 0, "succeeded": 21, "errors": 1, "medianDuration": 10.0, "p95Duration": 19.0,
        })
    );
    assert_eq!(
        agents["tradeMatching"],
        json!({
            "running": 2, "succeeded": 0, "errors": 1, "medianDuration": null, "p95Duration": null,
        })
    );
}

#[tokio::test]
async fn an_empty_store_has_an_overview() {
    let overview = overview(&Store::default()).await;
    assert_eq!(overview["workflows"], 0);
    assert_eq!(overview["oldest"], Value::Null);
    assert_eq!(overview["running"], json!([]));
    assert_eq!(overview["hours"].as_array().unwrap().len(), 24);
}

#[tokio::test]
async fn a_store_that_fails_has_none() {
    let store = Store::default();
    store.fails(true);
    let (status, _, body) = whole(&portal(store).router(), "/api/workflow/overview").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(body.contains("cannot be read right now"), "{body}");
}

#[tokio::test]
async fn more_than_the_newest_are_left_out_and_hours_before_them() {
    let store = Store::default();
    for n in 0..520_u32 {
        store.put(&format!("s{n:03}"), &workflow("completed", SECOND * n, SECOND)).await;
    }
    let overview = overview(&store).await;
    assert_eq!([&overview["workflows"], &overview["partial"]], [&json!(500), &json!(true)]);
    // The oldest of them began within the last two hours.
    assert!(overview["hours"].as_array().unwrap().len() <= 2);
}

#[tokio::test(start_paused = true)]
async fn one_read_serves_all_watchers_and_none_is_made_without_them() {
    let store = Store::default();
    for n in 0..10 {
        store.put(&format!("s{n}"), &processing(1)).await;
    }
    let router = portal(store.clone()).poll_interval(SECOND / 2).router();
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = Stream::open(&router, "overview=true").await;
        assert_eq!(stream.event("overview").await["workflows"], 10);
        streams.push(stream);
    }
    let (first, start) = (store.reads(), Instant::now());
    sleep(SECOND * 60).await;
    let reads = store.reads();
    // Ten seconds have twenty polls. One of those reads the whole list, and the others the newest
    // ten and those that are running.
    let polls = reads.lists - first.lists;
    assert!((116..=121).contains(&polls), "{polls} polls");
    let batches = reads.batches - first.batches;
    assert!((110..=115).contains(&batches), "{batches} batches");
    assert_eq!(reads.keys - first.keys, 10 * batches);
    assert_eq!(start.elapsed(), SECOND * 60);
    // What has not changed is not sent again.
    for stream in &mut streams {
        for _ in 0..4 {
            assert_eq!(stream.next().await.unwrap(), (":".into(), "live".into()));
        }
    }
    drop(streams);
    sleep(SECOND).await;
    let reads = store.reads();
    advance(SECOND * 600).await;
    sleep(SECOND).await;
    assert_eq!(store.reads(), reads);
    // Somebody watches again.
    let mut stream = Stream::open(&router, "overview=true").await;
    assert_eq!(stream.event("overview").await["workflows"], 10);
}

#[tokio::test(start_paused = true)]
async fn changes_appear_at_the_next_poll() {
    let store = Store::default();
    store.put("a", &processing(1)).await;
    let router = portal(store.clone()).poll_interval(SECOND / 2).router();
    let mut stream = Stream::open(&router, "overview=true").await;
    assert_eq!(stream.event("overview").await["workflows"], 1);
    let soon = async |stream: &mut Stream| {
        let start = Instant::now();
        let overview = stream.event("overview").await;
        assert!(start.elapsed() <= SECOND / 2, "{:?}", start.elapsed());
        overview
    };
    store.put("a", &processing(2)).await;
    let changed = soon(&mut stream).await;
    assert_eq!(changed["running"][0]["agents"]["pdfAdapter"]["activity"], "Extracting page 2");
    let mut new = processing(1);
    new["createdAt"] = ago(SECOND).into();
    store.put("b", &new).await;
    assert_eq!(soon(&mut stream).await["counts"]["processing"], 2);
    // More of them than a poll lists.
    new["createdAt"] = ago(Duration::ZERO).into();
    for n in 0..30 {
        store.put(&format!("c{n}"), &new).await;
    }
    assert_eq!(soon(&mut stream).await["counts"]["processing"], 32);
    store.put("a", &completed(3)).await;
    let changed = soon(&mut stream).await;
    assert_eq!([&changed["counts"]["completed"], &changed["counts"]["processing"]], [1, 31]);
    // One that has gone leaves with the next whole list.
    store.memory.delete(&crate::support::id("b")).await.unwrap();
    sleep(SECOND * 10).await;
    assert_eq!(stream.event("overview").await["counts"]["processing"], 30);
}
