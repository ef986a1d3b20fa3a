//! The files of `examples/deploy` use only metrics, attributes and requests that the code
//! has.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[path = "store/script.rs"]
#[allow(dead_code, reason = "the tests of the store use all of it")]
mod script;

use std::collections::BTreeSet;
use std::fs;

use aws_sdk_dynamodb::types::AttributeValue;
use script::{Script, Step};
use serde_json::{Value as Json, json};
use tower::ServiceExt as _;
use tower_agent_status::SessionId;
use tower_agent_status::metrics;
use tower_agent_status::portal::{Portal, STALLED_WORKFLOWS, WAITING_WORKFLOWS};
use tower_agent_status::status::{Change, Item, ItemVersion, OverallStatus, Precondition, schema};
use tower_agent_status::store::{DynamoDbStore, MemoryStore, StatusReader, StatusStore};

fn file(name: &str) -> String {
    let path = format!("{}/examples/deploy/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A metric's name as an exporter for Prometheus shows it.
fn shown(name: &str) -> String {
    name.replace('.', "_")
}

fn known_metrics() -> BTreeSet<String> {
    [
        metrics::INFERENCE_DURATION,
        metrics::OPERATION_DURATION,
        metrics::TIME_TO_FIRST_CHUNK,
        metrics::INPUT_TOKENS,
        metrics::OUTPUT_TOKENS,
        metrics::CACHE_READ_TOKENS,
        metrics::CACHE_WRITE_TOKENS,
        metrics::REASONING_TOKENS,
        metrics::INPUT_TOKENS_PER_CALL,
        metrics::OUTPUT_TOKENS_PER_CALL,
        metrics::WORKFLOW_DURATION,
        metrics::CALLS,
        metrics::TOKENS,
        metrics::AGENT_TIME_TO_FIRST_CHUNK,
        metrics::COST,
        metrics::UNPRICED_CALLS,
        metrics::COST_IGNORED,
        metrics::BUDGET_EXCEEDED,
        metrics::WRITES,
        metrics::WRITE_DURATION,
        metrics::WRITE_RETRIES,
        metrics::SESSIONS_DIRTY,
        metrics::AGENTS_WAITING,
        metrics::WEBHOOK_REQUESTS,
        metrics::WEBHOOK_DROPPED,
        metrics::WEBHOOK_PENDING,
        metrics::LOST,
        STALLED_WORKFLOWS,
        WAITING_WORKFLOWS,
    ]
    .into_iter()
    .map(shown)
    .collect()
}

/// How the names of this crate's metrics begin.
const OUR_PREFIXES: [&str; 3] = ["agent_status_", "gen_ai_client_", "gen_ai_invoke_agent_"];

/// The words of a text that have the prefix of this crate's metrics.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_word(c));
    let is_ours = |word: &&str| OUR_PREFIXES.iter().any(|prefix| word.starts_with(prefix));
    words
        .filter(is_ours)
        // The suffixes of a histogram's series, and the prefix that a pattern matches.
        .map(|word| {
            let suffixes = ["_sum", "_count", "_bucket"];
            let name = suffixes.iter().find_map(|suffix| word.strip_suffix(suffix));
            name.unwrap_or(word).trim_end_matches('_').to_owned()
        })
        .filter(|word| !OUR_PREFIXES.contains(&&*format!("{word}_")))
        .collect()
}

#[test]
fn no_metric_is_named_that_the_code_does_not_have() {
    let known = known_metrics();
    for name in ["monitoring.yaml", "collector.yaml", "rules.yml", "rules_test.yml", "grafana.json"]
    {
        let used = metrics_in(&file(name));
        assert!(!used.is_empty(), "{name}");
        let unknown: Vec<_> = used.difference(&known).collect();
        assert!(unknown.is_empty(), "{name} has unknown metrics {unknown:?}");
    }
}

#[test]
fn every_metric_is_brought_to_the_dashboard() {
    for name in ["monitoring.yaml", "collector.yaml", "grafana.json"] {
        let used = metrics_in(&file(name));
        let missing: Vec<_> = known_metrics().difference(&used).cloned().collect();
        assert!(missing.is_empty(), "{name} lacks {missing:?}");
    }
}

#[tokio::test]
async fn the_portal_is_scraped_where_it_tells() {
    let router = Portal::new(MemoryStore::new()).router();
    for name in ["collector.yaml", "prometheus.yml"] {
        let text = file(name);
        let paths: Vec<_> = text.split("metrics_path: ").skip(1).collect();
        let [path] = paths[..] else { panic!("{name} has {} paths", paths.len()) };
        let path = path.lines().next().unwrap();
        let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), http::StatusCode::OK, "{name}: {path}");
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let exported = metrics_in(std::str::from_utf8(&body).unwrap());
        assert_eq!(
            exported,
            BTreeSet::from([STALLED_WORKFLOWS, WAITING_WORKFLOWS].map(str::to_owned)),
            "{name}"
        );
    }
}

/// `src/telemetry/metrics.rs` defines the labels, with their results and reasons.
#[test]
fn labels_and_their_values_are_those_of_the_code() {
    let source =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/telemetry/metrics.rs"))
            .unwrap();
    let labels = [
        "gen_ai.agent.name",
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.response.model",
        "token_type",
        "error.type",
        "outcome",
        "result",
        "reason",
        "limit",
    ];
    let values = [
        "applied", "conflict", "success", "error", "full", "closed", "unsaved", "expired", "usd",
        "tokens",
    ];
    for name in labels.iter().chain(&values) {
        assert!(source.contains(&format!("`{name}`")), "the source has no {name}");
    }
    // The labels in braces and the dimensions are among them.
    let shown: BTreeSet<_> = labels.into_iter().map(shown).collect();
    let rules = file("rules.yml");
    for (file, text) in [("rules.yml", rules), ("grafana.json", file("grafana.json"))] {
        for group in text.split("by (").skip(1) {
            let names = group.split(')').next().unwrap().split(", ");
            // The scraper's job, and the bucket of a histogram.
            for name in names.filter(|name| !["job", "le"].contains(name)) {
                assert!(shown.contains(name), "{file} groups by {name}");
            }
        }
        for legend in text.split("{{").skip(1) {
            let name = legend.split("}}").next().unwrap().trim();
            let is_template = name.starts_with('$');
            assert!(is_template || shown.contains(name), "{file} shows {name}");
        }
    }
    let collector = file("collector.yaml");
    for group in collector.split("dimensions: [").skip(1) {
        let names = group.split("]\n").next().unwrap();
        let names = names.split(['[', ']', ',']).map(str::trim).filter(|name| !name.is_empty());
        for name in names {
            assert!(shown.contains(name), "collector.yaml has the dimension {name}");
        }
    }
}

/// The text between two others.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    text.split(start).skip(1).map(|rest| rest.split(end).next().unwrap()).collect()
}

/// Whether an event matches a pattern of EventBridge: of values, `anything-but` and `exists`.
fn matches(pattern: &Json, event: Option<&Json>) -> bool {
    match pattern {
        Json::Object(fields) => fields
            .iter()
            .all(|(name, pattern)| matches(pattern, event.and_then(|event| event.get(name)))),
        Json::Array(any) => any.iter().any(|one| match (one, event) {
            (Json::Object(rule), event) if rule.contains_key("exists") => {
                rule["exists"] == event.is_some()
            }
            (Json::Object(rule), event) => {
                let not = rule["anything-but"].as_array().unwrap();
                event.is_some_and(|event| !not.contains(event))
            }
            (value, event) => event == Some(value),
        }),
        other => panic!("{other} is no pattern"),
    }
}

#[test]
fn the_pipe_passes_on_what_has_failed_and_nothing_else() {
    let text = file("notify.yaml");
    let patterns: Vec<Json> = between(&text, "- Pattern: '", "'\n")
        .into_iter()
        .map(|pattern| serde_json::from_str(pattern).unwrap())
        .collect();
    assert_eq!(patterns.len(), 2);
    let passes = |old: Option<&str>, new: Option<&str>| {
        let image = |status: Option<&str>| match status {
            None => Json::Null,
            // An item of an older writer.
            Some("") => json!({ "sessionId": { "S": "s" } }),
            Some(status) => {
                json!({ "sessionId": { "S": "s" }, (schema::OVERALL_STATUS): { "S": status } })
            }
        };
        let mut event = json!({ "dynamodb": { "OldImage": image(old), "NewImage": image(new) } });
        let images = event["dynamodb"].as_object_mut().unwrap();
        images.retain(|_, image| !image.is_null());
        patterns.iter().filter(|pattern| matches(pattern, Some(&event))).count()
    };
    let failed = OverallStatus::Failed.as_str();
    let others = ["initializing", "processing", "completed", "pending"];
    for old in others {
        assert_eq!(passes(Some(old), Some(failed)), 1, "{old}");
        assert_eq!(passes(Some(failed), Some(old)), 0, "{old}");
    }
    assert_eq!((passes(None, Some(failed)), passes(Some(""), Some(failed))), (1, 1));
    assert_eq!((passes(Some(failed), Some(failed)), passes(Some(failed), None)), (0, 0));
    assert_eq!((passes(None, Some("processing")), passes(None, Some(""))), (0, 0));
    // The event has attributes of the item, under their names.
    let names = between(&text, "<$.dynamodb.NewImage.", ".S>");
    for name in &names {
        assert!(
            text.contains(&format!("\"{name}\": \"<$.dynamodb.NewImage.{name}.S>\"")),
            "{name}"
        );
        assert!(schema_names().contains(name), "{name}");
    }
    assert_eq!(names.len(), 5);
}

fn schema_names() -> [&'static str; 5] {
    let (id, status, error) = (schema::SESSION_ID, schema::OVERALL_STATUS, schema::ERROR);
    [id, status, error, schema::CREATED_AT, schema::LAST_UPDATED]
}

#[test]
fn the_panels_of_the_dashboard_have_a_place_and_a_query() {
    let dashboard: Json = serde_json::from_str(&file("grafana.json")).unwrap();
    let (mut taken, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title}");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{title} overlaps at {x}, {y}");
            }
        }
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            assert!(!metrics_in(target["expr"].as_str().unwrap()).is_empty(), "{title}: {target}");
        }
    }
}

#[test]
fn the_table_has_the_attributes_of_the_items() {
    let table = file("table.yaml");
    let (day, shard) = (schema::CREATED_DAY, schema::CREATED_SHARD);
    for (part, count) in [
        (format!("{{ AttributeName: {}, KeyType: HASH }}", schema::SESSION_ID), 1),
        (format!("[HasOneShard, {day}, !Sub \"{shard}${{RecentShards}}\"]"), 2),
        (format!("{{ AttributeName: {}, KeyType: RANGE }}", schema::CREATED_AT), 2),
        (format!("{{ AttributeName: {}, Enabled: true }}", schema::EXPIRES_AT), 1),
    ] {
        assert_eq!(table.matches(&part).count(), count, "{part}");
    }
}

/// The actions of a policy of `table.yaml`.
fn actions(policy: &str) -> BTreeSet<String> {
    let table = file("table.yaml");
    let policy = table.split(&format!("  {policy}:\n")).nth(1).unwrap();
    let policy = policy.split("\n\n").next().unwrap();
    let lists = policy.split("Action: [").skip(1).map(|rest| rest.split(']').next().unwrap());
    let actions = lists.flat_map(|list| list.split(", "));
    actions.map(|action| action.strip_prefix("dynamodb:").unwrap().to_owned()).collect()
}

/// The operations requested since the last call.
fn asked(script: &Script) -> BTreeSet<String> {
    script.log().into_iter().collect()
}

#[tokio::test]
async fn the_policies_allow_what_is_asked_for_and_no_more() {
    let script = Script::default();
    let made = DynamoDbStore::new(script.client(1), "status");
    made.create_table().await.unwrap();
    script.log();

    let writer = DynamoDbStore::new(made.client().clone(), "status");
    let mut item = Item::new();
    item.insert(schema::REVISION, 1);
    let change = Change::new(id("s"), item, Vec::new());
    writer.discover().await.unwrap();
    writer.write(&change, Precondition::Absent).await.unwrap();
    // After a conflict without the item, the item is read.
    script.next("UpdateItem", [Step::WithoutItem]);
    writer.write(&change, Precondition::Absent).await.unwrap();
    assert_eq!(asked(&script), actions("WriterPolicy"));

    let reader = DynamoDbStore::new(made.client().clone(), "status");
    reader.discover().await.unwrap();
    reader.get(&id("s")).await.unwrap();
    reader.get_many(&[id("s")]).await.unwrap();
    reader.recent(1).await.unwrap();
    reader.sessions_with_prefix("s", 1).await.unwrap();
    assert_eq!(asked(&script), actions("ReaderPolicy"));

    let mut plan = reader.plan_reshard(4).await.unwrap();
    plan.wait = std::time::Duration::ZERO;
    let day = Change::new(id("s"), item_of_a_day(), Vec::new());
    writer.write(&day, Precondition::Version(ItemVersion::new(Some(1), None))).await.unwrap();
    script.log();
    reader.plan_reshard(4).await.unwrap();
    reader.reshard(&plan, |_| ()).await.unwrap();
    // As an older writer leaves it.
    let old = [("overallStatus", "pending"), ("createdAt", "2025-12-24T10:00:00.000Z")];
    let put = made.client().put_item().table_name("status");
    let put = put.item("sessionId", AttributeValue::S("old".to_owned()));
    let put = old
        .into_iter()
        .fold(put, |put, (name, text)| put.item(name, AttributeValue::S(text.to_owned())));
    put.send().await.unwrap();
    let resharded = asked(&script).into_iter().filter(|operation| operation != "PutItem");
    let plan = reader.plan_backfill().await.unwrap();
    reader.sample_backfill(&plan).await.unwrap();
    reader.preview_backfill(&plan, |_| ()).await.unwrap();
    assert_eq!(reader.backfill(&plan, |_| ()).await.unwrap().filled, 1);
    let backfilled = asked(&script);
    let needed = ["DescribeTable", "DescribeTimeToLive", "Scan", "UpdateItem"];
    assert_eq!(backfilled, BTreeSet::from(needed.map(str::to_owned)));
    let both: BTreeSet<_> = resharded.chain(backfilled).collect();
    assert_eq!(both, actions("OperatorPolicy"));
}

fn item_of_a_day() -> Item {
    let mut item = Item::new();
    item.insert(schema::REVISION, 2);
    item.insert(schema::CREATED_DAY, "2025-12-24");
    item.insert(schema::CREATED_AT, "2025-12-24T10:00:00.000Z");
    item
}

#[test]
fn the_check_sees_what_it_looks_for() {
    let text = "rate(agent_status_writes{}[5m]) gen_ai_client_operation_duration_sum gen_ai_client_operation_duration_bucket ^agent_status_.* agent_status:x";
    let expected = ["agent_status_writes", "gen_ai_client_operation_duration"].map(str::to_owned);
    assert_eq!(metrics_in(text), BTreeSet::from(expected));
}

/// The session ID `name`.
fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}
