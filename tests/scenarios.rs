//! Runs the example program without delays in every scenario: four agents over real
//! sockets, and the item that ends up in the store.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]

#[path = "layer/support/contract.rs"]
mod contract;

#[path = "../examples/orchestrator/agents.rs"]
mod agents;
#[path = "../examples/orchestrator/orchestrator.rs"]
mod orchestrator;
#[path = "../examples/orchestrator/scenario.rs"]
mod scenario;
#[path = "../examples/orchestrator/tracking.rs"]
mod tracking;

use std::time::Duration;

use bytes::Bytes;
use clap::ValueEnum as _;
use http_body_util::Full;
use serde_json::{Value, json};
use tower::{BoxError, service_fn};
use tower_agent_status::SessionId;
use tower_agent_status::status::{self, Change, Item};
use tower_agent_status::store::{DynamoDbStore, MemoryStore, StatusReader, StatusStore};

use agents::{Agents, Pace};
use orchestrator::{Document, Settlement};
use scenario::Scenario;

const SESSION: &str = "session-corr_abc123";
const NAMES: [&str; 4] = ["pdfAdapter", "tradeExtraction", "tradeMatching", "exceptionManagement"];

fn document() -> Document {
    Document {
        id: "FAB_26933659".to_owned(),
        source_type: "BANK".to_owned(),
        correlation_id: "corr_abc123".to_owned(),
    }
}

/// Runs a scenario without delays and reads the item back.
async fn run<S>(scenario: Scenario, store: S) -> (Result<Settlement, BoxError>, Value)
where
    S: StatusStore + StatusReader + Clone,
{
    let agents = Agents::start(scenario, Pace(0.0)).await.unwrap();
    let tracker = tracking::tracker(store.clone()).start().unwrap();
    let orchestrator = tracking::orchestrator(&tracker, &agents, tracking::hyper_client());
    let document = document();
    let workflow = tracking::workflow(&tracker, SESSION, &document);
    let result = workflow.run(orchestrator.process(&document)).await;
    tracker.shutdown(Duration::from_secs(10)).await.unwrap();
    (result, saved(&store, SESSION).await)
}

/// The item of a session as JSON, checked against what its readers expect.
async fn saved(store: &impl StatusReader, session: &str) -> Value {
    let item =
        store.get(&SessionId::new(session).unwrap()).await.unwrap().expect("the item is saved");
    contract::assert_contract(&item);
    serde_json::to_value(item).unwrap()
}

/// Runs a scenario on each store and checks what must hold on all of them.
async fn run_on_each_store(scenario: Scenario) -> Vec<(Result<Settlement, BoxError>, Value)> {
    let runs = vec![
        run(scenario, MemoryStore::new()).await,
        run(scenario, DynamoDbStore::embedded_in_memory().unwrap()).await,
    ];
    for (result, item) in &runs {
        assert_eq!(scenario.differences(item), Vec::<String>::new());
        assert_eq!(item["sessionId"], SESSION);
        assert_eq!(item["correlationId"], "corr_abc123");
        assert_eq!(item["documentId"], "FAB_26933659");
        assert_eq!(item["sourceType"], "BANK");
        // The item has the error that the orchestrator returned.
        let error = result.as_ref().err().map(ToString::to_string);
        assert_eq!(item.get("error").map(|error| error.as_str().unwrap().to_owned()), error);
    }
    runs
}

#[tokio::test]
async fn matched_leaves_exception_management_pending() {
    for (result, item) in run_on_each_store(Scenario::Matched).await {
        assert_eq!(result.unwrap(), Settlement::Matched);
        assert_eq!(item["overallStatus"], "completed");
        let pending = json!({ "status": "pending", "activity": "No exceptions" });
        assert_eq!(item["exceptionManagement"], pending);
        let pdf = &item["pdfAdapter"];
        assert_eq!(pdf["activity"], "Text extraction complete");
        assert_eq!(pdf["calls"], 1);
        assert_eq!(
            pdf["tokenUsage"],
            json!({ "inputTokens": 11_251, "outputTokens": 1_402, "totalTokens": 12_653 })
        );
        // Two model calls in one stream; input includes the cached tokens.
        let extraction = &item["tradeExtraction"]["tokenUsage"];
        assert_eq!(extraction["inputTokens"], 2_100 + 2_650);
        assert_eq!(extraction["outputTokens"], 180 + 420);
        assert_eq!(extraction["totalTokens"], 2_280 + 3_070);
        assert_eq!(extraction["cacheReadInputTokens"], 1_800);
        // This answer is compressed.
        assert_eq!(item["tradeMatching"]["tokenUsage"]["totalTokens"], 3_360);
        assert_eq!(item["totalTokenUsage"]["totalTokens"], 12_653 + 5_350 + 3_360);
    }
}

#[tokio::test]
async fn review_calls_all_four() {
    for (result, item) in run_on_each_store(Scenario::Review).await {
        assert_eq!(result.unwrap(), Settlement::SentToReview);
        assert_eq!(item["overallStatus"], "completed");
        for name in NAMES {
            assert_eq!(item[name]["status"], "success", "{name}");
        }
    }
}

#[tokio::test]
async fn an_agent_that_answers_500_is_an_error() {
    for (_, item) in run_on_each_store(Scenario::AgentError).await {
        assert_eq!(item["overallStatus"], "failed");
        let extraction = &item["tradeExtraction"];
        assert_eq!(extraction["errorType"], "http_500");
        assert_eq!(extraction["error"], "The extraction model could not be loaded");
        assert_eq!(extraction["activity"], "Trade extraction failed");
        assert!(extraction.get("tokenUsage").is_none(), "unknown usage is absent, not zero");
        assert_eq!(item["tradeMatching"]["status"], "pending");
    }
}

#[tokio::test]
async fn an_error_inside_a_200_is_an_error() {
    for (_, item) in run_on_each_store(Scenario::ErrorIn200).await {
        let extraction = &item["tradeExtraction"];
        assert_eq!(extraction["errorType"], "agent");
        assert_eq!(extraction["error"], "No trade was found in the text of the document");
        assert!(extraction.get("tokenUsage").is_none());
    }
}

#[tokio::test]
async fn a_stream_that_is_abandoned_is_cancelled_and_keeps_the_tokens_seen() {
    for (_, item) in run_on_each_store(Scenario::Abandoned).await {
        let extraction = &item["tradeExtraction"];
        assert_eq!(extraction["errorType"], "cancelled");
        assert_eq!(extraction["tokenUsage"]["totalTokens"], 2_280, "the first call of the model");
        assert_eq!(item["tradeMatching"]["status"], "pending");
    }
}

/// The writes of a run in which each agent starts as soon as the previous one has ended.
///
/// Each call is delayed until everything known at its start is written, and only these
/// flushes cause writes, so the result does not depend on the machine's speed. The tests
/// under paused time show that the batch delay leads to the same writes.
async fn writes(scenario: Scenario) -> Vec<Change> {
    let store = MemoryStore::new();
    let agents = Agents::start(scenario, Pace(0.0)).await.unwrap();
    let tracker = tracking::tracker(store.clone()).batch_delay(Duration::MAX).start().unwrap();
    let client = tracking::hyper_client();
    let held_up = {
        let tracker = tracker.clone();
        service_fn(move |request: http::Request<Full<Bytes>>| {
            let (tracker, client) = (tracker.clone(), client.clone());
            async move {
                tracker.flush().await.unwrap();
                client.request(request).await
            }
        })
    };
    let orchestrator = tracking::orchestrator(&tracker, &agents, held_up);
    let document = document();
    let workflow = tracking::workflow(&tracker, SESSION, &document);
    workflow.run(orchestrator.process(&document)).await.unwrap();
    tracker.shutdown(Duration::from_secs(10)).await.unwrap();
    store.history()
}

#[tokio::test]
async fn four_agents_are_five_writes_and_three_are_four() {
    assert_eq!(writes(Scenario::Review).await.len(), 5);
    assert_eq!(writes(Scenario::Matched).await.len(), 4);
}

/// The size of a value in bytes, as DynamoDB's documentation defines it.
fn size(value: &status::Value) -> usize {
    let of_digits = |text: String| text.trim_matches(['0', '.']).replace('.', "").len().div_ceil(2);
    match value {
        status::Value::String(text) => text.len(),
        status::Value::Integer(number) => 1 + of_digits(number.to_string()),
        status::Value::Float(number) => 1 + of_digits(number.to_string()),
        status::Value::Map(map) => 3 + map.len() + size_of_all(map),
        other => panic!("no size is known for {other:?}"),
    }
}

fn size_of_all(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + size(value)).sum()
}

/// docs/scale.md calculates with these sizes.
#[tokio::test]
async fn the_writes_are_as_large_as_the_page_on_scale_says() {
    let page = include_str!("../docs/scale.md");
    let (mut item, mut rows, mut all) = (Item::new(), 0, 0);
    item.insert("sessionId", SESSION);
    for (n, change) in writes(Scenario::Review).await.iter().enumerate() {
        let before = if n == 0 { 0 } else { size_of_all(&item) };
        change.apply(&mut item);
        let after = size_of_all(&item);
        let units = before.max(after).div_ceil(1024);
        let start = format!("| {} | ", n + 1);
        let row = page.lines().find(|line| line.starts_with(&start)).expect("a row for each write");
        let columns: Vec<_> = row.split('|').map(str::trim).collect();
        println!("write {}: {after} bytes, {units} units; {row}", n + 1);
        let documented: usize = columns[3].replace(',', "").parse().expect("a number of bytes");
        // The agents' durations differ by a few digits from run to run.
        assert!(after.abs_diff(documented) <= 20, "{after} bytes: {row}");
        assert_eq!(columns[4], units.to_string(), "{row}");
        (rows, all) = (rows + 1, all + units);
    }
    assert_eq!(rows, 5);
    assert!(page.contains(&format!("{all} write units")), "{all} in all");
}

/// Items of sessions that run at the same time are not mixed up.
#[tokio::test]
async fn all_scenarios_at_once_on_one_store() {
    let store = DynamoDbStore::embedded_in_memory().unwrap();
    let tracker = tracking::tracker(store.clone()).start().unwrap();
    let runs = Scenario::value_variants().iter().map(|&scenario| {
        let tracker = &tracker;
        async move {
            let agents = Agents::start(scenario, Pace(0.01)).await.unwrap();
            let orchestrator = tracking::orchestrator(tracker, &agents, tracking::hyper_client());
            let document = document();
            let session = format!("session-{scenario:?}");
            let workflow = tracking::workflow(tracker, &session, &document);
            // The result does not matter here: the item has it.
            let _ = workflow.run(orchestrator.process(&document)).await;
            (scenario, session)
        }
    });
    let runs = futures_util::future::join_all(runs).await;
    tracker.shutdown(Duration::from_secs(10)).await.unwrap();
    for (scenario, session) in runs {
        let item = saved(&store, &session).await;
        assert_eq!(scenario.differences(&item), Vec::<String>::new(), "{scenario:?}");
    }
}
