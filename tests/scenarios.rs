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

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use clap::ValueEnum as _;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tower::{BoxError, Service as _, ServiceBuilder, ServiceExt as _, service_fn};
use tower_agent_status::pricing::Prices;
use tower_agent_status::status::{self, Change, Item};
use tower_agent_status::store::{DynamoDbStore, MemoryStore, StatusReader, StatusStore};
use tower_agent_status::{SessionId, StatusLayer};

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
    let of_digits = |text: String| text.replace('.', "").trim_matches('0').len().div_ceil(2);
    match value {
        status::Value::String(text) => text.len(),
        status::Value::Integer(number) => 1 + of_digits(number.to_string()),
        status::Value::Float(number) => 1 + of_digits(number.to_string()),
        status::Value::Decimal(number) => 1 + of_digits(number.to_string()),
        status::Value::Map(map) => 3 + map.len() + size_of_all(map),
        status::Value::List(list) => 3 + list.len() + list.iter().map(size).sum::<usize>(),
        other => panic!("no size is known for {other:?}"),
    }
}

fn size_of_all(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + size(value)).sum()
}

/// How the four agents of a run answer.
#[derive(Clone, Copy)]
struct Answers {
    /// The path of each request, and the model that is in its answer.
    path: &'static str,
    model: Option<&'static str>,
    /// Whether each tells apart what it has read from caches and written to them.
    cached: bool,
    /// How long the caller waits after a 429, with which each of its first calls ends.
    retry: Option<Duration>,
}

const MODEL: &str = "claude-sonnet-4-20250514";
/// The ARN of an inference profile of Bedrock, encoded as in the path of a request.
const ARN_PATH: &str = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile\
                        %2Fus.anthropic.claude-sonnet-4-20250514-v1%3A0/converse";
const ARN: &str = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/\
                   us.anthropic.claude-sonnet-4-20250514-v1:0";
const ONE_CALL: Answers =
    Answers { path: "/v1/messages", model: Some(MODEL), cached: false, retry: None };

/// A run of the example's agents, one after the other, and its writes. Time is paused, and each call
/// takes some seconds of it.
async fn priced_run(answers: Answers) -> Vec<Change> {
    let prices = Prices::from_json(
        r#"{
            "claude-sonnet-4-20250514": {
                "litellm_provider": "anthropic", "mode": "chat",
                "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05,
                "cache_read_input_token_cost": 3e-07, "cache_creation_input_token_cost": 3.75e-06
            },
            "us.anthropic.claude-sonnet-4-20250514-v1:0": {
                "litellm_provider": "bedrock_converse", "mode": "chat",
                "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05
            }
        }"#,
    );
    let store = MemoryStore::new();
    let began = tokio::time::Instant::now();
    let day = SystemTime::UNIX_EPOCH + Duration::from_millis(1_766_570_400_123);
    let tracker = tracking::tracker(store.clone())
        .prices(prices.unwrap())
        .clock(move || day + began.elapsed())
        .start()
        .unwrap();
    let workflow = tracking::workflow(&tracker, SESSION, &document());
    let calls = async {
        for (n, name) in NAMES.into_iter().enumerate() {
            let failures = Arc::new(AtomicUsize::new(usize::from(answers.retry.is_some())));
            let mut agent = ServiceBuilder::new().layer(StatusLayer::new(&tracker, name)).service(
                service_fn(move |_: http::Request<Full<Bytes>>| {
                    let fails = failures.swap(0, Ordering::Relaxed) > 0;
                    async move { Ok::<_, BoxError>(answer(n, answers, fails).await) }
                }),
            );
            loop {
                let request = http::Request::post(answers.path).body(Full::default()).unwrap();
                let response = agent.ready().await?.call(request).await?;
                let is_ok = response.status().is_success();
                response.into_body().collect().await?;
                match answers.retry {
                    Some(wait) if !is_ok => tokio::time::sleep(wait).await,
                    _ => break,
                }
            }
        }
        Ok::<_, BoxError>(())
    };
    workflow.run(calls).await.unwrap();
    tracker.shutdown(Duration::from_secs(10)).await.unwrap();
    store.history()
}

/// The answer of an agent, after some seconds.
async fn answer(n: usize, answers: Answers, fails: bool) -> http::Response<Full<Bytes>> {
    let [first, second] = scenario::EXTRACTION_TOKENS;
    let extraction = (first.0 + second.0, first.1 + second.1);
    let tokens =
        [scenario::PDF_TOKENS, extraction, scenario::MATCHING_TOKENS, scenario::EXCEPTION_TOKENS];
    let (input, output) = tokens[n];
    let response = http::Response::builder()
        .header("content-type", "application/json")
        .header("request-id", format!("req_011CQdhBPAnpsCKbXqq9VR{n}{}", u8::from(fails)));
    if fails {
        tokio::time::sleep(Duration::from_millis(187)).await;
        let body = json!({ "type": "error", "error": {
            "type": "rate_limit_error", "message": "Too many requests, please wait",
        } });
        let response = response.status(429).header("retry-after", "2");
        return response.body(Full::from(body.to_string())).unwrap();
    }
    let millis = [13_724, 9_381, 12_167, 8_539][n];
    tokio::time::sleep(Duration::from_millis(millis)).await;
    let body = if let Some(model) = answers.model {
        let mut usage = json!({ "input_tokens": input, "output_tokens": output });
        if answers.cached {
            let (read, written) = (input / 3, input / 4);
            usage["input_tokens"] = (input - read - written).into();
            usage["cache_read_input_tokens"] = read.into();
            usage["cache_creation_input_tokens"] = written.into();
            let written = json!({
                "ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0,
            });
            usage["cache_creation"] = written;
        }
        json!({
            "id": "msg_01XFDUDYJgAACzvnptvVoYEL", "type": "message", "role": "assistant",
            "model": model, "content": [{ "type": "text", "text": "Done" }],
            "stop_reason": "end_turn", "usage": usage,
        })
    } else {
        let message = json!({ "role": "assistant", "content": [{ "text": "Done" }] });
        let total = input + output;
        json!({
            "output": { "message": message }, "stopReason": "end_turn",
            "usage": { "inputTokens": input, "outputTokens": output, "totalTokens": total },
            "metrics": { "latencyMs": millis },
        })
    };
    response.body(Full::from(body.to_string())).unwrap()
}

/// What a run takes.
#[derive(Debug, PartialEq)]
struct Account {
    /// The bytes of the item after each write, and the write units that it takes.
    writes: Vec<(usize, usize)>,
    /// How many writes change an attribute of the index.
    of_index: usize,
    item: Item,
}

impl Account {
    fn of(changes: &[Change]) -> Self {
        let (mut item, mut writes, mut of_index) = (Item::new(), Vec::new(), 0);
        item.insert("sessionId", SESSION);
        for change in changes {
            let before = if writes.is_empty() { 0 } else { size_of_all(&item) };
            let key =
                |item: &Item| [item.get("createdDay").cloned(), item.get("createdAt").cloned()];
            let of_before = key(&item);
            change.apply(&mut item);
            of_index += usize::from(of_before != key(&item));
            let after = size_of_all(&item);
            writes.push((after, before.max(after).div_ceil(1024)));
        }
        Self { writes, of_index, item }
    }

    fn units(&self) -> usize {
        self.writes.iter().map(|(_, units)| units).sum()
    }

    fn bytes(&self) -> usize {
        self.writes.last().unwrap().0
    }

    /// How many bytes the attributes of this name take, wherever they are.
    fn bytes_of(&self, name: &str) -> usize {
        fn within(item: &Item, name: &str) -> usize {
            let sizes = item.iter().map(|(of, value)| match value {
                _ if of == name => of.len() + 1 + size(value),
                status::Value::Map(map) => within(map, name),
                _ => 0,
            });
            sizes.sum()
        }
        within(&self.item, name)
    }
}

/// The columns of the first row of the page on scale that begins with this one.
fn row(first: &str) -> Vec<&'static str> {
    let page = include_str!("../docs/scale.md");
    let start = format!("| {first} |");
    let row = page.lines().map(str::trim).find(|line| line.starts_with(&start));
    let row = row.unwrap_or_else(|| panic!("the page has no row for `{first}`"));
    row.trim_matches('|').split('|').map(str::trim).collect()
}

/// Numbers of bytes differ a little from run to run: zeros at the end of a number take none.
fn assert_is_about(bytes: usize, documented: &str) {
    let number: usize = documented.replace(',', "").parse().unwrap();
    assert!(bytes.abs_diff(number) <= 8, "{bytes} bytes, and the page has {documented}");
}

/// docs/scale.md calculates with these sizes.
#[tokio::test(start_paused = true)]
async fn the_writes_are_as_large_as_the_page_on_scale_says() {
    let account = Account::of(&priced_run(ONE_CALL).await);
    for (n, (bytes, units)) in account.writes.iter().enumerate() {
        println!("write {}: {bytes} bytes, {units} units", n + 1);
    }
    for name in NAMES {
        let agent = account.item.get(name).and_then(status::Value::as_map).unwrap();
        assert_eq!(agent.get("model").and_then(status::Value::as_str), Some(MODEL), "{name}");
        for attribute in ["finishReason", "costUsd", "tokenUsage"] {
            assert!(agent.get(attribute).is_some(), "{name} has no {attribute}");
        }
    }
    assert_eq!(account.writes.len(), 5);
    assert!(account.units() + account.of_index <= 9, "{account:?}");
    for (n, (bytes, units)) in account.writes.iter().enumerate() {
        let columns = row(&(n + 1).to_string());
        assert_is_about(*bytes, columns[2]);
        assert_eq!(columns[3], units.to_string(), "write {}", n + 1);
    }
    let page = include_str!("../docs/scale.md");
    let units = account.units();
    assert!(page.contains(&format!("costs five writes and {units} write units")), "{units} units");
    assert_eq!(account.of_index, 1, "as the page says");
}

/// What docs/scale.md says of other runs: longer names of models, more counts, retries.
#[tokio::test(start_paused = true)]
async fn other_runs_take_what_the_page_on_scale_says() {
    let arn = Answers { path: ARN_PATH, model: None, ..ONE_CALL };
    let cached = Answers { cached: true, ..ONE_CALL };
    let retried = Answers { retry: Some(Duration::from_secs(2)), ..ONE_CALL };
    let at_once = Answers { retry: Some(Duration::ZERO), ..ONE_CALL };
    let both = Answers { retry: Some(Duration::from_secs(2)), ..arn };
    for (answers, what) in [
        (ONE_CALL, "as above"),
        (cached, "all counts of Anthropic's API, those of its caches included"),
        (arn, "ARNs of Bedrock's inference profiles as models, of 99 bytes"),
        (at_once, "a 429 before each answer, and a retry at once"),
        (retried, "a 429 before each answer, and a retry after two seconds"),
        (both, "such ARNs, and such retries after two seconds"),
    ] {
        let account = Account::of(&priced_run(answers).await);
        println!("{what}: {} writes, {:?}", account.writes.len(), account.writes);
        for name in ["model", "finishReason", "tokenUsage", "costUsd", "attempts"] {
            println!("    {name}: {} bytes", account.bytes_of(name));
        }
        for name in NAMES {
            let agent = account.item.get(name).and_then(status::Value::as_map).unwrap();
            let model = agent.get("model").and_then(status::Value::as_str);
            assert_eq!(model, Some(if answers.model.is_some() { MODEL } else { ARN }));
            assert!(agent.get("costUsd").is_some(), "{name} has no cost");
            assert_eq!(agent.get("attempts").is_some(), answers.retry.is_some());
        }
        let columns = row(what);
        assert_eq!(columns[1], account.writes.len().to_string(), "{what}");
        assert_is_about(account.bytes(), columns[2]);
        assert_eq!(columns[3], (account.units() + account.of_index).to_string(), "{what}");
    }
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
