//! `Portal::visible`: each user sees only what is theirs, on every route.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::stream::Stream;
use crate::support::{Store, ago, ask, completed, portal, processing};

/// In a long attribute, which no list shows: the decision has it all the same.
fn owned_by(owner: &str, mut item: Value) -> Value {
    item["tenants"] = json!(format!("{owner},support,{}", "x".repeat(400)));
    item["documentId"] = json!("FAB_1");
    item
}

/// Shows each tenant, whom a header names, their own.
fn tenants(store: &Store) -> Router {
    portal(store.clone())
        .poll_interval(Duration::from_millis(500))
        .visible(|request, workflow| {
            let tenant = request.headers.get("tenant").and_then(|name| name.to_str().ok());
            let tenants = workflow.attributes.get("tenants").and_then(|names| names.as_str());
            let mut tenants = tenants.unwrap_or_default().split(',');
            tenant.is_some_and(|tenant| tenants.any(|name| name == tenant))
        })
        .router()
}

async fn response(router: &Router, path: &str, tenant: &str) -> (StatusCode, String) {
    let request = Request::get(path).header("tenant", tenant).body(Body::empty()).unwrap();
    let (head, body) = ask(router, request).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, String::from_utf8(body.to_vec()).unwrap())
}

async fn found(router: &Router, path: &str, tenant: &str) -> Value {
    let (status, body) = response(router, path, tenant).await;
    assert_eq!(status, StatusCode::OK, "{path}");
    serde_json::from_str(&body).unwrap()
}

async fn scene() -> (Store, Router) {
    let store = Store::default();
    store.put("of-a", &owned_by("a", processing(1))).await;
    store.put("of-b", &owned_by("b", processing(1))).await;
    let mut stalled = owned_by("b", processing(1));
    stalled["lastUpdated"] = ago(Duration::from_secs(600)).into();
    store.put("stalled-of-b", &stalled).await;
    store.put("of-nobody", &processing(1)).await;
    let router = tenants(&store);
    (store, router)
}

#[tokio::test(start_paused = true)]
async fn every_route_shows_a_user_only_their_own() {
    let (_, router) = scene().await;
    // A session of another is one that does not exist.
    let path = |session: &str| format!("/api/workflow/{session}/status");
    let own = found(&router, &path("of-a"), "a").await;
    assert_eq!(own["overallStatus"], "processing");
    let (_, others) = response(&router, &path("of-b"), "a").await;
    let (_, unknown) = response(&router, &path("none"), "a").await;
    assert_eq!(others.replace("of-b", "none"), unknown);

    let ids = |list: &Value| -> Vec<String> {
        let id = |entry: &Value| entry["sessionId"].as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(id).collect()
    };
    // Even where those of others are newer than the limit.
    assert_eq!(ids(&found(&router, "/api/workflow/recent?limit=1", "a").await), ["of-a"]);
    let all = ids(&found(&router, "/api/workflow/recent", "support").await);
    assert_eq!(all, ["of-a", "of-b", "stalled-of-b"]);
    assert_eq!(ids(&found(&router, "/api/workflow/recent", "c").await), [""; 0]);

    let overview = found(&router, "/api/workflow/overview", "a").await;
    assert_eq!([&overview["workflows"], &overview["problemCount"]], [1, 0]);
    assert_eq!(ids(&overview["running"]), ["of-a"]);
    assert_eq!(found(&router, "/api/workflow/overview", "b").await["problemCount"], 1);

    let query = "/api/workflow/search?attribute=documentId&value=FAB_1";
    let searched = found(&router, query, "a").await;
    assert_eq!(
        (ids(&searched["workflows"]), &searched["searched"]),
        (vec!["of-a".into()], &Value::Null)
    );
    let query = "/api/workflow/search?attribute=sessionId&value=of-b";
    let searched = found(&router, query, "a").await;
    assert_eq!((ids(&searched["workflows"]), &searched["searched"]), (vec![], &Value::Null));

    for (tenant, gauge) in [("a", 0), ("b", 1), ("c", 0)] {
        let (_, text) = response(&router, "/api/workflow/metrics", tenant).await;
        let line = format!("agent_status_workflows_stalled {gauge}");
        assert!(text.lines().any(|found| found == line), "{tenant}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn streams_follow_who_may_see_what() {
    let (store, router) = scene().await;
    let query = "session=of-a&session=of-b&overview=true";
    let mut stream = Stream::open_as(&router, query, "a").await;
    let mut found = Vec::new();
    for _ in 0..3 {
        let (name, data) = stream.next().await.unwrap();
        found.push((name, serde_json::from_str::<Value>(&data).unwrap()));
    }
    let of = |found: &[(String, Value)], id: &str| {
        let workflow = found.iter().rev().find(|(_, data)| data["sessionId"] == id);
        workflow.map(|(_, data)| data["overallStatus"].as_str().unwrap().to_owned())
    };
    assert_eq!(of(&found, "of-a").unwrap(), "processing");
    assert_eq!(of(&found, "of-b").unwrap(), "pending");
    let overview = found.iter().find(|(name, _)| name == "overview").unwrap();
    assert_eq!(overview.1["workflows"], 1);

    // It is handed to the tenant, who then sees it; and the other goes.
    store.put("of-b", &owned_by("a", processing(2))).await;
    store.put("of-a", &owned_by("b", processing(2))).await;
    let mut found = Vec::new();
    while of(&found, "of-a").is_none() || of(&found, "of-b").is_none() {
        let (name, data) = stream.next().await.unwrap();
        assert_ne!(name, ":");
        found.push((name, serde_json::from_str::<Value>(&data).unwrap()));
    }
    assert_eq!(of(&found, "of-a").unwrap(), "pending");
    assert_eq!(of(&found, "of-b").unwrap(), "processing");
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_one_workflow_does_not_tell_that_it_has_ended() {
    let (store, router) = scene().await;
    let request = |session: &str| {
        let path = format!("/api/workflow/{session}/events");
        Request::get(path).header("tenant", "a").body(Body::empty()).unwrap()
    };
    let mut others = ask(&router, request("of-b")).await.into_body();
    let own = ask(&router, request("of-a")).await.into_body();
    let mut next = async || {
        let frame = others.frame().await.unwrap().unwrap().into_data().unwrap();
        String::from_utf8(frame.to_vec()).unwrap()
    };
    assert_eq!(next().await, ": live\n\n");
    assert!(next().await.contains(r#""overallStatus":"pending""#));
    store.put("of-a", &owned_by("a", completed(2))).await;
    store.put("of-b", &owned_by("b", completed(2))).await;
    let own = own.collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&own).contains(r#""overallStatus":"completed""#));
    // It stays open, as that of a session that does not exist.
    assert_eq!(next().await, ": live\n\n");
    assert_eq!(next().await, ": live\n\n");
}
