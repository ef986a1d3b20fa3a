//! `GET /api/workflow/metrics`: the gauges of stalled and of waiting workflows.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tower_agent_status::portal::{Portal, STALLED_WORKFLOWS, WAITING_WORKFLOWS};

use crate::support::{Store, ago, portal, whole};

const SECOND: Duration = Duration::from_secs(1);

/// A workflow with this status, creation time and last update.
fn workflow(overall_status: &str, created: Duration, heard_of: Duration) -> Value {
    json!({
        "overallStatus": overall_status, "createdAt": ago(created), "lastUpdated": ago(heard_of),
        "revision": 1,
    })
}

/// The value of the gauge of stalled workflows, if it is present.
async fn gauge<R: tower_agent_status::store::StatusReader>(
    portal: Portal<R>,
    query: &str,
) -> Option<String> {
    gauges(portal, query).await.0
}

/// The same, and the value of the gauge of waiting workflows.
async fn gauges<R: tower_agent_status::store::StatusReader>(
    portal: Portal<R>,
    query: &str,
) -> (Option<String>, String) {
    let path = format!("/api/workflow/metrics{query}");
    let (status, headers, body) = whole(&portal.router(), &path).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(headers["cache-control"], "no-store");
    let lines: Vec<_> = body.lines().collect();
    let [help, kind, sample, waiting_help, waiting_kind, waiting] = lines[..] else {
        panic!("{body}")
    };
    assert!(waiting_help.starts_with(&format!("# HELP {WAITING_WORKFLOWS} ")), "{waiting_help}");
    assert_eq!(waiting_kind, format!("# TYPE {WAITING_WORKFLOWS} gauge"));
    let waiting = waiting.strip_prefix(WAITING_WORKFLOWS).unwrap().trim().to_owned();
    assert!(help.starts_with(&format!("# HELP {STALLED_WORKFLOWS} ")), "{help}");
    assert_eq!(kind, format!("# TYPE {STALLED_WORKFLOWS} gauge"));
    let stalled = match sample.split_once(' ') {
        Some((STALLED_WORKFLOWS, number)) => Some(number.to_owned()),
        _ => {
            assert!(sample.starts_with("# Unknown"), "{sample}");
            None
        }
    };
    (stalled, waiting)
}

#[tokio::test]
async fn unfinished_workflows_without_heartbeats_are_counted() {
    let store = Store::default();
    assert_eq!(gauge(portal(store.clone()), "").await.as_deref(), Some("0"));
    store.put("done", &workflow("completed", 900 * SECOND, 800 * SECOND)).await;
    store.put("failed", &workflow("failed", 900 * SECOND, 800 * SECOND)).await;
    store.put("alive", &workflow("processing", 900 * SECOND, 60 * SECOND)).await;
    assert_eq!(gauge(portal(store.clone()), "").await.as_deref(), Some("0"));
    store.put("gone", &workflow("processing", 900 * SECOND, 100 * SECOND)).await;
    store.put("never begun", &workflow("initializing", 900 * SECOND, 900 * SECOND)).await;
    assert_eq!(gauge(portal(store.clone()), "").await.as_deref(), Some("2"));
    let patient = portal(store.clone()).heartbeat_interval(60 * SECOND);
    assert_eq!(gauge(patient, "").await.as_deref(), Some("1"), "three heartbeats were missed");
}

#[tokio::test]
async fn workflows_that_wait_are_counted_and_have_not_stalled() {
    let store = Store::default();
    let mut waits = workflow("processing", 900 * SECOND, 800 * SECOND);
    waits["pdfAdapter"] = json!({ "status": "in-progress", "waitingFor": "task" });
    store.put("waits", &waits).await;
    store.put("gone", &workflow("processing", 900 * SECOND, 800 * SECOND)).await;
    assert_eq!(gauges(portal(store.clone()), "").await, (Some("1".to_owned()), "1".to_owned()));
    waits["overallStatus"] = json!("failed");
    store.put("waits", &waits).await;
    assert_eq!(gauges(portal(store.clone()), "").await, (Some("1".to_owned()), "0".to_owned()));
}

#[tokio::test]
async fn only_the_newest_are_counted() {
    let store = Store::default();
    store.put("old", &workflow("processing", 900 * SECOND, 900 * SECOND)).await;
    store.put("newer", &workflow("completed", 200 * SECOND, 200 * SECOND)).await;
    store.put("newest", &workflow("completed", 100 * SECOND, 100 * SECOND)).await;
    assert_eq!(gauge(portal(store.clone()), "?limit=3").await.as_deref(), Some("1"));
    assert_eq!(gauge(portal(store.clone()), "?limit=2").await.as_deref(), Some("0"));
    // A cached longer list is cut to the limit.
    let router = portal(store.clone()).poll_interval(60 * SECOND).router();
    let (_, _, all) = whole(&router, "/api/workflow/metrics?limit=10").await;
    let (_, _, two) = whole(&router, "/api/workflow/metrics?limit=2").await;
    let stalled = |count: u32| format!("\n{STALLED_WORKFLOWS} {count}\n");
    assert!(all.contains(&stalled(1)) && two.contains(&stalled(0)), "{all}{two}");
    assert_eq!(store.reads().lists, 3);
}

#[tokio::test]
async fn an_uncertain_zero_is_absent() {
    let store = Store::default();
    store.put("old", &workflow("processing", 900 * SECOND, 900 * SECOND)).await;
    store.put("a", &workflow("processing", 80 * SECOND, SECOND)).await;
    store.put("b", &workflow("processing", 10 * SECOND, SECOND)).await;
    // The two newest are too recent to have stalled.
    assert_eq!(gauge(portal(store.clone()), "?limit=2").await, None);
    let hasty = portal(store.clone()).heartbeat_interval(20 * SECOND);
    assert_eq!(gauge(hasty, "?limit=2").await.as_deref(), Some("0"));

    let store = Store::default();
    store.truncates();
    assert_eq!(gauge(portal(store.clone()), "").await, None);
    store.put("gone", &workflow("processing", 900 * SECOND, 900 * SECOND)).await;
    assert_eq!(gauge(portal(store.clone()), "").await.as_deref(), Some("1"), "at least");
}

#[tokio::test]
async fn a_failure_has_no_gauge() {
    let store = Store::default();
    store.fails(true);
    let (status, _, body) = whole(&portal(store).router(), "/api/workflow/metrics").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!body.contains(STALLED_WORKFLOWS), "{body}");
}

#[tokio::test]
async fn at_most_ten_thousand_are_read() {
    let router = portal(Store::default()).router();
    for limit in ["0", "10001", "all", ""] {
        let path = format!("/api/workflow/metrics?limit={limit}");
        let (status, _, body) = whole(&router, &path).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{limit}");
        assert_eq!(body, r#"{"detail":"`limit` must be a whole number from 1 to 10000"}"#);
    }
    assert_eq!(whole(&router, "/api/workflow/metrics?limit=10000").await.0, StatusCode::OK);
}
