//! `GET /api/workflow/search`.

use http::StatusCode;
use serde_json::{Value, json};
use tower_agent_status::portal::Portal;
use tower_agent_status::status::{Change, Item, Precondition};
use tower_agent_status::store::{DynamoDbStore, StatusReader, StatusStore as _};

use crate::support::{Store, id, portal, whole};
use crate::table::table;

async fn search<R: StatusReader>(portal: Portal<R>, query: &str) -> Value {
    let path = format!("/api/workflow/search?{query}");
    let (status, headers, body) = whole(&portal.router(), &path).await;
    assert_eq!((status, &headers["cache-control"]), (StatusCode::OK, &"no-store".parse().unwrap()));
    serde_json::from_str(&body).unwrap()
}

fn sessions(found: &Value) -> Vec<&str> {
    let found = found["workflows"].as_array().unwrap();
    found.iter().map(|entry| entry["sessionId"].as_str().unwrap()).collect()
}

/// Workflows, the oldest first, one for each second.
async fn fill(store: &Store, workflows: u32) {
    for n in 0..workflows {
        let time = format!("2025-12-24T{:02}:{:02}:{:02}.000Z", n / 3600, n / 60 % 60, n % 60);
        let item = json!({
            "overallStatus": "completed", "createdAt": time, "lastUpdated": time,
            "documentId": format!("FAB_{}", n / 2), "pages": n % 7, "correlationId": "all",
        });
        store.put(&format!("s{n:04}"), &item).await;
    }
}

#[tokio::test]
async fn without_an_index_the_newest_are_looked_at() {
    let store = Store::default();
    fill(&store, 100).await;
    let found = search(portal(store.clone()), "attribute=documentId&value=FAB_7").await;
    assert_eq!(sessions(&found), ["s0015", "s0014"]);
    assert_eq!(found["workflows"][0]["attributes"], json!({ "documentId": "FAB_7", "pages": 1 }));
    assert_eq!(
        [&found["attribute"], &found["value"], &found["oldest"]],
        ["documentId", "FAB_7", "2025-12-24T00:00:00.000Z"]
    );
    assert_eq!(
        [&found["indexed"], &found["searched"], &found["complete"], &found["readUnits"]],
        [&json!(false), &json!(100), &json!(true), &Value::Null]
    );
    // The whole value, with its case; a number as text.
    for (query, expected) in [
        ("attribute=documentId&value=FAB", 0),
        ("attribute=documentId&value=fab_7", 0),
        ("attribute=pages&value=3", 14),
        ("attribute=correlationId&value=all", 100),
        ("attribute=nothing&value=x", 0),
    ] {
        assert_eq!(
            sessions(&search(portal(store.clone()), query).await).len(),
            expected,
            "{query}"
        );
    }
    assert_eq!(store.reads().lists, 6);
}

#[tokio::test]
async fn it_looks_at_two_thousand_at_most() {
    let store = Store::default();
    fill(&store, 2_100).await;
    let found = search(portal(store.clone()), "attribute=documentId&value=FAB_50").await;
    assert_eq!(sessions(&found), ["s0101", "s0100"]);
    assert_eq!(found["complete"], false);
    assert_eq!(
        [&found["searched"], &found["oldest"]],
        [&json!(2_000), &json!("2025-12-24T00:01:40.000Z")]
    );
    let found = search(portal(store.clone()), "attribute=documentId&value=FAB_49").await;
    assert_eq!(sessions(&found), [""; 0]);
    let found = search(portal(store), "attribute=correlationId&value=all").await;
    assert_eq!(sessions(&found).len(), 500);
}

#[tokio::test]
async fn a_session_is_found_by_its_key() {
    let store = Store::default();
    fill(&store, 3).await;
    let found = search(portal(store.clone()), "attribute=sessionId&value=s0001").await;
    assert_eq!((sessions(&found), &found["indexed"]), (vec!["s0001"], &json!(true)));
    let long = "x".repeat(3_000);
    for value in ["s9999", &long] {
        let found =
            search(portal(store.clone()), &format!("attribute=sessionId&value={value}")).await;
        assert_eq!(sessions(&found), [""; 0]);
    }
    let reads = store.reads();
    assert_eq!((reads.lists, reads.gets), (0, 2));
}

#[tokio::test]
async fn an_index_is_asked_at_once_and_the_cost_is_told() {
    for has_index in [true, false] {
        let table = match has_index {
            true => {
                let client = DynamoDbStore::embedded_client().unwrap();
                let table = DynamoDbStore::new(client, "status").search_attribute("documentId");
                table.create_table().await.unwrap();
                table
            }
            false => table("sessionId").await,
        };
        for n in 0..30_u64 {
            let mut item = Item::new();
            item.insert("createdAt", format!("2025-12-24T10:00:{n:02}.000Z"));
            item.insert("overallStatus", "completed");
            item.insert("revision", 1_u64);
            item.insert("documentId", format!("FAB_{}", n % 10));
            let change = Change::new(id(&format!("s{n:02}")), item, Vec::new());
            table.write(&change, Precondition::Absent).await.unwrap();
        }
        let found = search(portal(table), "attribute=documentId&value=FAB_3").await;
        assert_eq!(sessions(&found), ["s23", "s13", "s03"]);
        assert_eq!(found["indexed"], has_index);
        assert_eq!(found["searched"], if has_index { 3 } else { 30 });
        assert_eq!(found["complete"], true);
        // Half a unit for a query and for each of three items, or for a page of up to 4 KiB.
        assert_eq!(found["readUnits"], if has_index { 2.0 } else { 0.5 });
    }
}

#[tokio::test]
async fn what_to_search_for_must_be_said() {
    let router = portal(Store::default()).router();
    for (query, detail) in [
        ("", "name the attribute to search: `attribute=documentId`"),
        ("attribute=&value=x", "name the attribute to search: `attribute=documentId`"),
        ("attribute=documentId", "say which value to search for: `value=FAB_1`"),
        ("attribute=documentId&value=", "say which value to search for: `value=FAB_1`"),
    ] {
        let (status, _, body) = whole(&router, &format!("/api/workflow/search?{query}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        assert_eq!(body, json!({ "detail": detail }).to_string(), "{query}");
    }
    let store = Store::default();
    store.fails(true);
    let path = "/api/workflow/search?attribute=documentId&value=x";
    let (status, _, body) = whole(&portal(store).router(), path).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!body.contains("secrets"), "{body}");
}
