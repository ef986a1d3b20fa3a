//! Discovery of a table, and the errors and warnings when it fails.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Config, Credentials, ProvideCredentials};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType, TimeToLiveSpecification,
};
use futures_util::future::join_all;
use tower_agent_status::status::{Change, Item, Precondition, Value, schema};
use tower_agent_status::store::{
    DynamoDbStore, StatusReader, StatusStore, StoreErrorKind, WriteOutcome,
};

use crate::contract::{change, first, id, no_revision, revision};
use crate::script::{Script, Step};
use crate::warnings::Warnings;

const TABLE: &str = "status";

/// Creates a table with these keys (names and types; the first is the partition key) and this
/// TTL attribute.
async fn create(client: &Client, keys: &[(&str, ScalarAttributeType)], ttl: Option<&str>) {
    let mut create =
        client.create_table().table_name(TABLE).billing_mode(BillingMode::PayPerRequest);
    for (index, (name, kind)) in keys.iter().enumerate() {
        let role = if index == 0 { KeyType::Hash } else { KeyType::Range };
        let definition =
            AttributeDefinition::builder().attribute_name(*name).attribute_type(kind.clone());
        let key = KeySchemaElement::builder().attribute_name(*name).key_type(role);
        create = create
            .attribute_definitions(definition.build().unwrap())
            .key_schema(key.build().unwrap());
    }
    create.send().await.unwrap();
    if let Some(name) = ttl {
        let ttl = TimeToLiveSpecification::builder().attribute_name(name).enabled(true);
        client
            .update_time_to_live()
            .table_name(TABLE)
            .time_to_live_specification(ttl.build().unwrap())
            .send()
            .await
            .unwrap();
    }
}

/// A store with a table of its own, whose requests follow a script.
async fn scripted(key: &str, ttl: Option<&str>) -> (DynamoDbStore, Script) {
    let script = Script::default();
    let client = script.client(1);
    create(&client, &[(key, ScalarAttributeType::S)], ttl).await;
    script.log();
    (DynamoDbStore::new(client, TABLE), script)
}

/// An item as it is in the table.
async fn raw(store: &DynamoDbStore, key: &str, id: &str) -> HashMap<String, AttributeValue> {
    let get = store.client().get_item().table_name(store.table_name());
    let answer = get.key(key, AttributeValue::S(id.into())).send().await.unwrap();
    answer.item.unwrap()
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

const EXPIRY: u64 = 1_774_346_400;

#[tokio::test]
async fn a_table_with_other_names_needs_no_settings() {
    let warnings = Warnings::watch();
    let (store, script) = scripted("processing_id", Some("ttl")).await;
    store.discover().await.unwrap();
    assert_eq!(script.log(), ["DescribeTable", "DescribeTimeToLive"]);
    store.write(&first("s"), Precondition::Absent).await.unwrap();
    assert_eq!(script.log(), ["UpdateItem"]);

    let raw = raw(&store, "processing_id", "s").await;
    let expected = HashMap::from([
        ("processing_id".to_owned(), text("s")),
        ("sessionId".to_owned(), text("s")),
        ("ttl".to_owned(), number(EXPIRY)),
        ("revision".to_owned(), number(1)),
        ("overallStatus".to_owned(), text("processing")),
        ("createdAt".to_owned(), text("2025-12-24T10:00:00.000Z")),
    ]);
    assert_eq!(raw, expected);

    let item = store.get(&id("s")).await.unwrap().unwrap();
    assert_eq!(item.get(schema::SESSION_ID), Some(&Value::from("s")));
    assert_eq!(item.get(schema::EXPIRES_AT), Some(&Value::Integer(EXPIRY)));
    assert_eq!(item.get("processing_id"), None);
    assert_eq!(item.get("ttl"), None);

    for (name, is_reserved) in
        [("processing_id", true), ("ttl", true), ("expiresAt", false), ("pdfAdapter", false)]
    {
        assert_eq!(store.is_reserved(name), is_reserved, "{name}");
    }
    assert_eq!(warnings.take(), Vec::<String>::new());
}

#[tokio::test]
async fn attributes_that_the_table_uses_are_rejected() {
    let (store, _) = scripted("processing_id", Some("ttl")).await;
    for name in ["processing_id", "ttl"] {
        let mut set = change("s", 1, Item::new());
        set.set.insert(name, "x");
        let mut remove = change("s", 1, Item::new());
        remove.remove = vec![name.to_owned()];
        for change in [set, remove] {
            let error = store.write(&change, Precondition::Absent).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Permanent);
            assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
        }
    }
}

#[tokio::test]
async fn an_item_of_another_writer_gets_its_session_id() {
    let (store, _) = scripted("processing_id", Some("ttl")).await;
    let put = store.client().put_item().table_name(TABLE);
    put.item("processing_id", text("s"))
        .item("ok", AttributeValue::Bool(true))
        .send()
        .await
        .unwrap();
    let item = store.get(&id("s")).await.unwrap().unwrap();
    assert_eq!(item.get(schema::SESSION_ID), Some(&Value::from("s")));
    let written = store.write(&change("s", 1, Item::new()), no_revision()).await.unwrap();
    assert_eq!(written, WriteOutcome::Applied);
    let raw = raw(&store, "processing_id", "s").await;
    assert_eq!(raw.get("sessionId"), Some(&text("s")));
    assert_eq!(raw.get("ok"), Some(&AttributeValue::Bool(true)), "what others wrote is kept");
}

#[tokio::test]
async fn without_time_to_live_the_setting_applies() {
    let (store, _) = scripted("sessionId", None).await;
    store.write(&first("s"), Precondition::Absent).await.unwrap();
    assert_eq!(raw(&store, "sessionId", "s").await.get("expiresAt"), Some(&number(EXPIRY)));

    let store = store.ttl_attribute("ttl");
    store.write(&first("t"), Precondition::Absent).await.unwrap();
    let raw = raw(&store, "sessionId", "t").await;
    assert_eq!((raw.get("ttl"), raw.get("expiresAt")), (Some(&number(EXPIRY)), None));
}

#[tokio::test]
async fn the_table_takes_precedence_over_the_settings() {
    let warnings = Warnings::watch();
    let (store, _) = scripted("sessionId", Some("expiresAt")).await;
    let store = store.partition_key("processing_id").ttl_attribute("ttl");
    store.write(&first("s"), Precondition::Absent).await.unwrap();
    let raw = raw(&store, "sessionId", "s").await;
    assert_eq!((raw.get("ttl"), raw.get("expiresAt")), (None, Some(&number(EXPIRY))));
    let warnings = warnings.take();
    assert!(matches!(&*warnings, [one] if one.contains("processing_id")), "{warnings:?}");
}

#[tokio::test]
async fn a_ttl_attribute_that_holds_something_else_is_not_overwritten() {
    let warnings = Warnings::watch();
    let (store, _) = scripted("sessionId", Some("lastUpdated")).await;
    let mut change = first("s");
    change.set.insert("lastUpdated", "2025-12-24T10:00:00.000Z");
    store.write(&change, Precondition::Absent).await.unwrap();
    let raw = raw(&store, "sessionId", "s").await;
    assert_eq!(raw.get("lastUpdated"), Some(&text("2025-12-24T10:00:00.000Z")));
    assert_eq!(raw.get("expiresAt"), Some(&number(EXPIRY)));
    let warnings = warnings.take();
    assert!(matches!(&*warnings, [one] if one.contains("will not expire")), "{warnings:?}");
}

#[tokio::test]
async fn a_ttl_attribute_that_is_the_key_is_not_used() {
    const DESCRIBED: &str = r#"{"TimeToLiveDescription":{"TimeToLiveStatus":"ENABLED","AttributeName":"processing_id"}}"#;
    let warnings = Warnings::watch();
    let (store, script) = scripted("processing_id", None).await;
    script.always("DescribeTimeToLive", Step::Answer(200, DESCRIBED));
    store.write(&first("s"), Precondition::Absent).await.unwrap();
    let raw = raw(&store, "processing_id", "s").await;
    assert_eq!(raw.get("processing_id"), Some(&text("s")));
    assert_eq!(raw.get("expiresAt"), Some(&number(EXPIRY)));
    let warnings = warnings.take();
    assert!(matches!(&*warnings, [one] if one.contains("will not expire")), "{warnings:?}");
}

#[tokio::test]
async fn a_table_that_is_being_deleted_is_missing() {
    for (status, is_usable) in
        [("DELETING", false), ("ACTIVE", true), ("UPDATING", true), ("CREATING", true)]
    {
        let (store, script) = scripted("sessionId", None).await;
        let described = serde_json::json!({ "Table": {
            "TableName": TABLE,
            "TableStatus": status,
            "KeySchema": [{ "AttributeName": "sessionId", "KeyType": "HASH" }],
            "AttributeDefinitions": [{ "AttributeName": "sessionId", "AttributeType": "S" }],
        }});
        let described = Box::leak(described.to_string().into_boxed_str());
        script.always("DescribeTable", Step::Answer(200, described));
        let discovered = store.discover().await;
        assert_eq!(discovered.is_ok(), is_usable, "{status}: {discovered:?}");
        if let Err(error) = discovered {
            assert!(error.is_table_not_found(), "{error}");
            assert!(error.to_string().contains("is being deleted"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_table_that_cannot_be_used_is_one_clear_error() {
    use ScalarAttributeType::{B, N, S};
    type Keys<'a> = &'a [(&'a str, ScalarAttributeType)];
    let session = "sessionId";
    let table: [(Keys<'_>, &[&str]); 5] = [
        (&[], &["does not exist", "create it", "STATUS_TABLE_NAME", "AWS_REGION"]),
        (&[(session, S), ("at", N)], &["sort key `at` of type N", "no sort key"]),
        (&[(session, N)], &["partition key `sessionId` of type N", "S (string)"]),
        (&[("id", B)], &["partition key `id` of type B", "S (string)"]),
        (&[("createdAt", S)], &["partition key `createdAt`", "holds something else"]),
    ];
    for (keys, expected) in table {
        let warnings = Warnings::watch();
        let client = DynamoDbStore::embedded_client().unwrap();
        if !keys.is_empty() {
            create(&client, keys, None).await;
        }
        let store = DynamoDbStore::new(client, TABLE);
        let error = store.discover().await.unwrap_err();
        assert_eq!(error.is_table_not_found(), keys.is_empty());
        let text = error.to_string();
        for part in expected.iter().chain(&["`status`"]) {
            assert!(text.contains(part), "{keys:?}: {text}");
        }
        assert!(text.len() < 800, "{text}");

        // The same where it is a write that finds out.
        let error = store.write(&first("s"), Precondition::Absent).await.unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (StoreErrorKind::Permanent, text));
        assert!(!error.may_have_been_applied());
        assert_eq!(warnings.take(), Vec::<String>::new(), "an error is not a warning too");
    }
}

#[tokio::test]
async fn an_invalid_table_name_is_an_error() {
    let client = DynamoDbStore::embedded_client().unwrap();
    for name in ["", "ab", "my table"] {
        let error = DynamoDbStore::new(client.clone(), name).discover().await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&format!("`{name}`")) && text.contains("STATUS_TABLE_NAME"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn invalid_settings_are_an_error() {
    let (store, script) = scripted("sessionId", None).await;
    for store in [
        store.clone().partition_key(""),
        store.clone().partition_key("createdAt"),
        store.clone().partition_key("ttl").ttl_attribute("ttl"),
        store.clone().ttl_attribute("sessionId"),
    ] {
        store.discover().await.unwrap_err();
        store.create_table().await.unwrap_err();
    }
    assert_eq!(script.log(), Vec::<String>::new());
}

#[tokio::test]
async fn a_table_is_discovered_once() {
    let (store, script) = scripted("processing_id", Some("ttl")).await;
    let ids: Vec<_> = (0..50).map(|number| format!("s{number}")).collect();
    let writes = ids.iter().map(|id| {
        let store = store.clone();
        async move { store.write(&first(id), Precondition::Absent).await.unwrap() }
    });
    join_all(writes).await;
    store.discover().await.unwrap();
    store.get(&id("s0")).await.unwrap();
    assert_eq!(script.count("DescribeTable"), 1);
    assert_eq!(script.count("DescribeTimeToLive"), 1);
    assert_eq!(script.count("UpdateItem"), 50);
}

#[tokio::test]
async fn without_permission_to_describe_the_settings_apply() {
    let warnings = Warnings::watch();
    let (store, script) = scripted("processing_id", Some("ttl")).await;
    script.always("DescribeTable", Step::refuse("AccessDeniedException"));
    let told = store.clone().partition_key("processing_id").ttl_attribute("ttl");
    told.discover().await.unwrap();
    assert!(told.is_reserved("processing_id"));
    told.write(&first("s"), Precondition::Absent).await.unwrap();
    told.write(&change("s", 2, Item::new()), revision(1)).await.unwrap();
    assert_eq!(raw(&told, "processing_id", "s").await.get("ttl"), Some(&number(EXPIRY)));
    assert_eq!(script.count("DescribeTable"), 1);
    let lines = warnings.take();
    let [line] = &*lines else { panic!("{lines:?}") };
    for part in ["dynamodb:DescribeTable", "processing_id", "AccessDeniedException", TABLE] {
        assert!(line.contains(part), "{line}");
    }

    // With wrong settings, each request fails with the possible causes.
    let error = store.write(&first("s"), Precondition::Absent).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Permanent);
    for part in ["`sessionId`", "STATUS_TABLE_KEY", "dynamodb:DescribeTable", "`status`"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn without_permission_to_describe_the_time_to_live_the_setting_applies() {
    let warnings = Warnings::watch();
    let (store, script) = scripted("processing_id", Some("ttl")).await;
    script.always("DescribeTimeToLive", Step::refuse("AccessDeniedException"));
    store.write(&first("s"), Precondition::Absent).await.unwrap();
    let raw = raw(&store, "processing_id", "s").await;
    assert_eq!((raw.get("ttl"), raw.get("expiresAt")), (None, Some(&number(EXPIRY))));
    assert_eq!(warnings.take().len(), 1);
}

#[tokio::test]
async fn an_endpoint_may_not_support_time_to_live() {
    let warnings = Warnings::watch();
    let script = Script::default();
    for operation in ["UpdateTimeToLive", "DescribeTimeToLive"] {
        script.always(operation, Step::refuse("UnknownOperationException"));
    }
    let store = DynamoDbStore::new(script.client(1), TABLE);
    store.create_table().await.unwrap();
    store.write(&first("s"), Precondition::Absent).await.unwrap();
    assert_eq!(raw(&store, "sessionId", "s").await.get("expiresAt"), Some(&number(EXPIRY)));
    assert_eq!(warnings.take(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_table_that_does_not_respond_is_a_warning_and_asked_again_before_the_first_write() {
    let unanswered = [
        Step::ConnectionRefused,
        Step::Reset,
        Step::Hang,
        Step::Answer(503, ""),
        Step::refuse("ThrottlingException"),
    ];
    for step in unanswered {
        let warnings = Warnings::watch();
        let (store, script) = scripted("processing_id", Some("ttl")).await;
        script.always("DescribeTable", step.clone());
        let begun = tokio::time::Instant::now();
        store.discover().await.unwrap();
        assert!(begun.elapsed() <= Duration::from_secs(5), "{step:?}");
        let lines = warnings.take();
        let [line] = &*lines else { panic!("{step:?}: {lines:?}") };
        assert!(line.contains(TABLE) && line.contains("again before"), "{line}");

        // Still down: a write fails, says so, and was surely not applied.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let error = store.write(&first("s"), Precondition::Absent).await.unwrap_err();
        let is_throttled = matches!(step, Step::Refuse(..));
        assert_eq!(error.kind() == StoreErrorKind::Throttled, is_throttled, "{step:?}: {error}");
        assert!(error.is_retryable() && !error.may_have_been_applied(), "{step:?}: {error}");
        assert_eq!(script.count("DescribeTable"), 2, "{step:?}");
        assert_eq!(script.count("UpdateItem"), 0, "{step:?}");

        script.heal();
        tokio::time::sleep(Duration::from_secs(2)).await;
        store.write(&first("s"), Precondition::Absent).await.unwrap();
        assert_eq!(raw(&store, "processing_id", "s").await.get("ttl"), Some(&number(EXPIRY)));
        assert_eq!(script.count("DescribeTable"), 3, "{step:?}");
        assert_eq!(warnings.take(), Vec::<String>::new(), "said once");
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_share_one_discovery() {
    let (store, script) = scripted("processing_id", Some("ttl")).await;
    script.always("DescribeTable", Step::Hang);
    let begun = tokio::time::Instant::now();
    let changes: Vec<_> = (0..100).map(|number| first(&format!("s{number}"))).collect();
    let write = |change: &Change| {
        let (store, change) = (store.clone(), change.clone());
        async move { store.write(&change, Precondition::Absent).await }
    };
    let outcomes = join_all(changes.iter().map(write)).await;
    assert!(outcomes.iter().all(Result::is_err));
    assert_eq!(script.count("DescribeTable"), 1);
    assert!(begun.elapsed() <= Duration::from_secs(5));

    // A request right after them shares its result too.
    store.get(&id("s")).await.unwrap_err();
    assert_eq!(script.count("DescribeTable"), 1);
    script.heal();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let outcomes = join_all(changes.iter().map(write)).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(script.count("DescribeTable"), 2);
}

#[tokio::test]
async fn missing_credentials_are_an_error() {
    #[derive(Debug)]
    struct NoCredentials;
    impl ProvideCredentials for NoCredentials {
        fn provide_credentials<'a>(
            &'a self,
        ) -> aws_credential_types::provider::future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            use aws_credential_types::provider::error::CredentialsError;
            let none = CredentialsError::not_loaded("none of the providers has any");
            aws_credential_types::provider::future::ProvideCredentials::ready(
                Err::<Credentials, _>(none),
            )
        }
    }
    let engine = DynamoDbStore::embedded_client().unwrap();
    let config = Config::builder()
        .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::v2026_01_12())
        .region(aws_sdk_dynamodb::config::Region::from_static("eu-west-1"))
        .credentials_provider(NoCredentials)
        .http_client(engine.config().http_client().unwrap());
    let store = DynamoDbStore::new(Client::from_conf(config.build()), TABLE);
    let text = store.discover().await.unwrap_err().to_string();
    for part in ["`status`", "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "role"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(text.matches("AWS_ACCESS_KEY_ID").count(), 1, "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_table_is_created_once_and_awaited() {
    const CREATING: &str = r#"{"Table":{"TableName":"status","TableStatus":"CREATING"}}"#;
    let script = Script::default();
    let store = DynamoDbStore::new(script.client(1), TABLE);
    store.discover().await.unwrap_err();
    script.log();
    let later = [Step::refuse("ResourceNotFoundException"), Step::Answer(200, CREATING)];
    script.next("DescribeTable", later);
    store.create_table().await.unwrap();
    let log = script.log();
    assert_eq!(&log[..4], ["CreateTable", "DescribeTable", "DescribeTable", "DescribeTable"]);
    assert_eq!(&log[4..], ["UpdateTimeToLive", "DescribeTable", "DescribeTimeToLive"]);
    store.write(&first("s"), Precondition::Absent).await.unwrap();

    store.create_table().await.unwrap();
    assert!(store.get(&id("s")).await.unwrap().is_some());
    let ttl = store.client().describe_time_to_live().table_name(TABLE).send().await.unwrap();
    let ttl = ttl.time_to_live_description().unwrap();
    assert_eq!(ttl.attribute_name(), Some("expiresAt"));
}

#[tokio::test]
async fn an_existing_table_is_left_as_it_is() {
    let (store, script) = scripted("processing_id", None).await;
    store.create_table().await.unwrap();
    assert_eq!(script.count("UpdateTimeToLive"), 0);
    assert!(store.is_reserved("processing_id"));

    let client = DynamoDbStore::embedded_client().unwrap();
    let keys = [("sessionId", ScalarAttributeType::S), ("at", ScalarAttributeType::N)];
    create(&client, &keys, None).await;
    let error = DynamoDbStore::new(client, TABLE).create_table().await.unwrap_err();
    assert!(error.to_string().contains("sort key `at`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_table_to_become_active_ends() {
    const CREATING: &str = r#"{"Table":{"TableName":"status","TableStatus":"CREATING"}}"#;
    let script = Script::default();
    script.always("DescribeTable", Step::Answer(200, CREATING));
    let store = DynamoDbStore::new(script.client(1), TABLE);
    let begun = tokio::time::Instant::now();
    let error = store.create_table().await.unwrap_err().to_string();
    assert!(error.contains("`status`") && error.contains("CREATING"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(70));
}

#[tokio::test(start_paused = true)]
async fn a_new_table_that_is_not_visible_is_waited_for_and_any_other_error_ends_it() {
    let not_found = || Step::refuse("ResourceNotFoundException");
    let script = Script::default();
    script.next("DescribeTable", [not_found(), not_found()]);
    DynamoDbStore::new(script.client(1), TABLE).create_table().await.unwrap();
    let script = Script::default();
    script.next("DescribeTable", [Step::refuse("ValidationException")]);
    let error = DynamoDbStore::new(script.client(1), TABLE).create_table().await.unwrap_err();
    assert!(error.to_string().contains("cannot check the status"), "{error}");
}

#[tokio::test]
async fn a_session_id_among_the_attributes_is_written_unless_it_is_the_key() {
    for key in [schema::SESSION_ID, "processing_id"] {
        let (store, _) = scripted(key, None).await;
        let mut item = Item::new();
        item.insert(schema::SESSION_ID, "s");
        let change = change("s", 1, item);
        store.write(&change, Precondition::Absent).await.unwrap();
        let raw = raw(&store, key, "s").await;
        assert_eq!(raw.get(schema::SESSION_ID), Some(&text("s")), "in a table with key {key}");
    }
}

#[tokio::test]
async fn an_error_for_lack_of_permission_names_the_permission() {
    let script = Script::default();
    script.always("CreateTable", Step::refuse("AccessDeniedException"));
    let store = DynamoDbStore::new(script.client(1), TABLE);
    let error = store.create_table().await.unwrap_err().to_string();
    assert!(error.contains("`dynamodb:CreateTable`") && error.contains("`status`"), "{error}");
}

#[tokio::test]
async fn debug_output_has_the_table_and_no_credentials() {
    let (store, _) = scripted("processing_id", Some("ttl")).await;
    store.discover().await.unwrap();
    let shown = format!("{store:?}");
    assert!(shown.contains("status") && shown.contains("processing_id"), "{shown}");
    assert!(shown.len() < 200, "{shown}");
}

#[test]
fn a_store_can_be_shared_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<DynamoDbStore>();
}
