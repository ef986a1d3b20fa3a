//! Tables and items of other writers, in an embedded DynamoDB engine.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use http::StatusCode;
use serde_json::Value as Json;
use tower_agent_status::store::DynamoDbStore;

use crate::support::{portal, whole};

const TABLE: &str = "status";

/// A store on a table with this partition key.
pub(crate) async fn table(key: &str) -> DynamoDbStore {
    let client = DynamoDbStore::embedded_client().unwrap();
    let definition =
        AttributeDefinition::builder().attribute_name(key).attribute_type(ScalarAttributeType::S);
    let schema = KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash);
    client
        .create_table()
        .table_name(TABLE)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(definition.build().unwrap())
        .key_schema(schema.build().unwrap())
        .send()
        .await
        .unwrap();
    DynamoDbStore::new(client, TABLE)
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: &str) -> AttributeValue {
    AttributeValue::N(number.to_owned())
}

fn map<const N: usize>(entries: [(&str, AttributeValue); N]) -> AttributeValue {
    AttributeValue::M(attributes(entries))
}

fn attributes<const N: usize>(
    entries: [(&str, AttributeValue); N],
) -> HashMap<String, AttributeValue> {
    entries.map(|(name, value)| (name.to_owned(), value)).into()
}

fn usage(input: &str, output: &str, total: &str) -> AttributeValue {
    map([
        ("inputTokens", number(input)),
        ("outputTokens", number(output)),
        ("totalTokens", number(total)),
    ])
}

/// An item of the Python helper: each agent's map is overwritten as a whole, so the end wipes
/// the start; times have both an offset and a `Z`; agents start with zeros; and the total stays
/// zero.
fn of_the_python_helper(key: &str) -> HashMap<String, AttributeValue> {
    attributes([
        (key, text("session-1")),
        ("overallStatus", text("processing")),
        ("createdAt", text("2025-12-24T11:15:00.000001+00:00Z")),
        ("lastUpdated", text("2025-12-24T11:15:30.5+00:00Z")),
        ("totalTokenUsage", usage("0", "0", "0")),
        ("documentId", text("FAB_26933659")),
        (
            "pdfAdapter",
            map([
                ("status", text("success")),
                ("activity", text("Extracted text from PDF document")),
                ("completedAt", text("2025-12-24T11:15:17.123456+00:00Z")),
                ("duration", number("17")),
                ("tokenUsage", usage("12000", "2169", "14169")),
            ]),
        ),
        (
            "tradeMatching",
            map([
                ("status", text("pending")),
                ("activity", text("Waiting for extraction")),
                ("tokenUsage", usage("0", "0", "0")),
            ]),
        ),
        (
            "exceptionManagement",
            map([("status", text("error")), ("error", text("boom")), ("duration", number("2.75"))]),
        ),
        // Attributes unknown to this crate.
        ("retries", AttributeValue::L(vec![number("1"), number("2")])),
        ("isTest", AttributeValue::Bool(true)),
        ("nothing", AttributeValue::Null(true)),
        ("metadata", map([("status", text("archived")), ("owner", text("ops"))])),
        ("raw", AttributeValue::B(b"\x00\xff".to_vec().into())),
    ])
}

const EXPECTED: &str = concat!(
    r#"{"sessionId":"session-1","overallStatus":"processing","lastUpdated":"2025-12-24T11:15:30.500Z","agents":{"#,
    r#""pdfAdapter":{"status":"success","activity":"Extracted text from PDF document (Tokens: 14,169)","startedAt":null,"completedAt":"2025-12-24T11:15:17.123Z","duration":17,"error":null,"subSteps":[],"#,
    r#""errorType":null,"tokenUsage":{"inputTokens":12000,"outputTokens":2169,"totalTokens":14169},"calls":0,"lastUpdated":"2025-12-24T11:15:17.123Z","waitingFor":null,"taskId":null},"#,
    r#""tradeMatching":{"status":"pending","activity":"Waiting for extraction","startedAt":null,"completedAt":null,"duration":null,"error":null,"subSteps":[],"#,
    r#""errorType":null,"tokenUsage":null,"calls":0,"lastUpdated":null,"waitingFor":null,"taskId":null},"#,
    r#""exceptionManagement":{"status":"error","activity":"","startedAt":null,"completedAt":null,"duration":2,"error":"boom","subSteps":[],"#,
    r#""errorType":"agent","tokenUsage":null,"calls":0,"lastUpdated":null,"waitingFor":null,"taskId":null}},"#,
    r#""error":null,"createdAt":"2025-12-24T11:15:00.000Z","correlationId":null,"attributes":{"documentId":"FAB_26933659"},"#,
    r#""totalTokenUsage":{"inputTokens":12000,"outputTokens":2169,"totalTokens":14169},"stalled":false,"waiting":false,"unfinishedTasks":[],"completedAt":null,"previousRun":null}"#,
);

#[tokio::test]
async fn an_item_of_the_python_helper_is_read_with_any_key_name() {
    for key in ["sessionId", "processing_id"] {
        let store = table(key).await;
        let put = store.client().put_item().table_name(TABLE);
        put.set_item(Some(of_the_python_helper(key))).send().await.unwrap();
        let router = portal(store).router();
        let (status, _, body) = whole(&router, "/api/workflow/session-1/status").await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, EXPECTED), "{key}");
        let (status, _, body) = whole(&router, "/api/workflow/recent").await;
        let entry = concat!(
            r#"[{"sessionId":"session-1","status":"processing","createdAt":"2025-12-24T11:15:00.000Z","lastUpdated":"2025-12-24T11:15:30.500Z","#,
            r#""correlationId":null,"stalled":false,"totalTokens":14169,"#,
            r#""agents":{"pdfAdapter":"success","tradeMatching":"pending","exceptionManagement":"error"},"waiting":false}]"#,
        );
        assert_eq!((status, body.as_str()), (StatusCode::OK, entry), "{key}");
        let (status, _, body) = whole(&router, "/api/workflow/nobody/status").await;
        let unknown: Json = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &unknown["overallStatus"]), (StatusCode::OK, &"pending".into()));
    }
}

#[tokio::test]
async fn an_item_with_only_its_key_is_shown() {
    let store = table("processing_id").await;
    let put = store.client().put_item().table_name(TABLE);
    put.item("processing_id", text("bare")).send().await.unwrap();
    let (status, _, body) = whole(&portal(store).router(), "/api/workflow/bare/status").await;
    assert_eq!(status, StatusCode::OK);
    let bare: Json = serde_json::from_str(&body).unwrap();
    assert_eq!(bare["overallStatus"], "pending");
    assert_eq!((&bare["createdAt"], &bare["lastUpdated"]), (&Json::Null, &"".into()));
    assert_eq!(bare["agents"]["pdfAdapter"]["activity"], "Waiting for upload");
}

#[tokio::test]
async fn a_missing_table_is_a_failure_and_not_a_pending_workflow() {
    let client = DynamoDbStore::embedded_client().unwrap();
    let router = portal(DynamoDbStore::new(client, TABLE)).router();
    for path in ["/api/workflow/s/status", "/api/workflow/recent"] {
        let (status, _, body) = whole(&router, path).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(
            body,
            r#"{"detail":"the status store cannot be read right now; try again later"}"#
        );
    }
}

#[tokio::test]
async fn hostile_session_ids_reach_the_table_unchanged() {
    let store = table("processing_id").await;
    let long = "x".repeat(2_048);
    let ids =
        ["a/b", "../../etc", "\"' OR 1=1", "<script>alert(1)</script>", "é\u{202e}\n\0", &long];
    for id in ids {
        let put = store.client().put_item().table_name(TABLE).item("processing_id", text(id));
        put.item("overallStatus", text("completed")).send().await.unwrap();
    }
    let router = portal(store).router();
    for id in ids {
        let encoded: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let (status, _, body) = whole(&router, &format!("/api/workflow/{encoded}/status")).await;
        let found: Json = serde_json::from_str(&body).unwrap();
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            (&found["sessionId"], &found["overallStatus"]),
            (&id.into(), &"completed".into())
        );
    }
    // No table can have a key of that length, so the workflow is unknown.
    let path = format!("/api/workflow/{}/status", "x".repeat(60_000));
    let (status, _, body) = whole(&router, &path).await;
    let unknown: Json = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &unknown["overallStatus"]), (StatusCode::OK, &"pending".into()));
}
