//! Models, costs and budgets of calls through the layer.

use std::collections::BTreeMap;
use std::convert::Infallible;

use ::metrics::set_default_local_recorder;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_agent_status::pricing::Prices;
use tower_agent_status::status::{
    AgentReport, AgentState, AgentStatus, Cost, Item, TokenUsage, Value, WorkflowStatus,
};
use tower_agent_status::store::{DynamoDbStore, MemoryStore, StatusReader as _};
use tower_agent_status::{Agent, StatusLayer, StatusTracker, WorkflowError, metrics};

use crate::support::spans::Spans;
use crate::support::{AGENT, SESSION, builder, id, of_session, stored, ticking_clock};
use crate::warnings::Warnings;

const PRICES: &str = r#"{
    "gpt-4o": { "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05,
        "cache_read_input_token_cost": 1.25e-06, "litellm_provider": "openai" },
    "gpt-4o-mini": { "input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07,
        "litellm_provider": "openai" }
}"#;

fn prices() -> Prices {
    Prices::from_json(PRICES).unwrap()
}

fn tracker() -> (StatusTracker, MemoryStore) {
    let store = MemoryStore::new();
    (builder(store.clone()).prices(prices()).start().unwrap(), store)
}

/// A chat answer of a model.
fn chat(model: &str, input: u64, output: u64, more: &str) -> String {
    format!(
        r#"{{"id":"c-1","object":"chat.completion","model":"{model}","choices":[{{"index":0,
            "message":{{"role":"assistant","content":"yes"}},"finish_reason":"length"}}],
            "usage":{{"prompt_tokens":{input},"completion_tokens":{output},
            "total_tokens":{}{more}}}}}"#,
        input + output
    )
}

/// Makes a call of an agent whose answer is this JSON text.
async fn call(tracker: &StatusTracker, agent: &str, path: &str, body: String) {
    let service = service_fn(|_: Request<()>| {
        let response = Response::builder()
            .header("content-type", "application/json")
            .header("x-request-id", "req-1")
            .body(Full::new(Bytes::from(body.clone())));
        async move { Ok::<_, Infallible>(response.unwrap()) }
    });
    let client = StatusLayer::new(tracker, agent).layer(service);
    let request = Request::post(path).body(()).unwrap();
    let response = client.oneshot(of_session(SESSION, request)).await.unwrap();
    response.into_body().collect().await.unwrap();
}

async fn status(tracker: &StatusTracker, store: &MemoryStore) -> WorkflowStatus {
    stored(tracker, store, SESSION).await;
    store.status(SESSION).unwrap()
}

fn cost(text: &str) -> Option<Cost> {
    Some(text.parse().unwrap())
}

#[tokio::test]
async fn a_call_has_its_model_its_reason_and_its_exact_cost() {
    let (tracker, store) = tracker();
    let cached = r#","prompt_tokens_details":{"cached_tokens":800}"#;
    call(&tracker, AGENT, "/v1/chat/completions", chat("gpt-4o-2024-08-06", 1000, 100, cached))
        .await;
    let status = status(&tracker, &store).await;
    let agent = status.agent(AGENT).unwrap();
    assert_eq!(agent.model.as_deref(), Some("gpt-4o-2024-08-06"));
    assert_eq!(agent.finish_reason.as_deref(), Some("length"));
    assert!(!agent.stopped_normally());
    assert_eq!(agent.time_to_first_chunk, None, "it was no stream");
    assert_eq!((agent.cost().usd, agent.cost().unpriced_calls), (cost("0.0025"), 0));
    assert_eq!(status.total_cost(), agent.cost());
    assert!(agent.models().is_empty(), "there is only one");

    let item = store.get(&id(SESSION)).await.unwrap().unwrap();
    assert_eq!(item.get("totalCostUsd"), Some(&Value::from("0.0025".parse::<Cost>().unwrap())));
    assert_eq!(item.get("unpricedCalls"), None);
}

#[tokio::test]
async fn what_a_response_reports_goes_first_if_it_can_be() {
    let watched = Warnings::watch();
    for (reported, expected) in
        [("0.5", "0.5"), ("0", "0"), ("10000", "10000"), ("10000.01", "0.00035"), ("-1", "0.00035")]
    {
        let (tracker, store) = tracker();
        let body = chat("gpt-4o", 100, 10, &format!(r#","cost":{reported}"#));
        call(&tracker, AGENT, "/", body).await;
        let status = status(&tracker, &store).await;
        assert_eq!(status.total_cost().usd, cost(expected), "{reported}");
        let warned = watched.take().iter().any(|warning| warning.contains("ignored"));
        assert_eq!(warned, expected == "0.00035", "{reported}");
    }
}

#[tokio::test]
async fn without_a_price_list_nothing_is_said_of_costs() {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    call(&tracker, AGENT, "/", chat("gpt-4o", 100, 10, r#","cost":0.5"#)).await;
    let item = stored(&tracker, &store, SESSION).await;
    assert_eq!((item.get("totalCostUsd"), item.get("unpricedCalls")), (None, None));
    // With an empty one, what responses report is.
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).prices(Prices::default()).start().unwrap();
    call(&tracker, AGENT, "/", chat("gpt-4o", 100, 10, r#","cost":0.5"#)).await;
    assert_eq!(status(&tracker, &store).await.total_cost().to_string(), "$0.5");
}

#[tokio::test]
async fn a_call_without_a_price_is_counted_and_its_model_named_once() {
    let watched = Warnings::watch();
    let (tracker, store) = tracker();
    for _ in 0..2 {
        call(&tracker, AGENT, "/", chat("gpt-9", 100, 10, "")).await;
    }
    call(&tracker, AGENT, "/", chat("gpt-4o", 100, 10, "")).await;
    let total_only = r#"{"object":"chat.completion","model":"gpt-4o","usage":{"total_tokens":7}}"#;
    call(&tracker, AGENT, "/", total_only.to_owned()).await;
    let status = status(&tracker, &store).await;
    assert_eq!(status.total_cost().to_string(), "≥ $0.00035");
    assert_eq!(status.total_cost().unpriced_calls, 3);
    let warnings: Vec<_> =
        watched.take().into_iter().filter(|warning| warning.contains("has no cost")).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains(r#"model="gpt-9""#), "{warnings:?}");
    assert!(warnings[0].contains("unknown_model"), "{warnings:?}");
    assert!(warnings[1].contains("total_only"), "{warnings:?}");
}

#[tokio::test]
async fn an_agent_that_is_no_model_lacks_no_price() {
    let (tracker, store) = tracker();
    call(&tracker, AGENT, "/", r#"{"success":true}"#.to_owned()).await;
    assert!(status(&tracker, &store).await.total_cost().is_empty());
    // A model that has answered and reports no tokens does.
    call(&tracker, AGENT, "/", r#"{"object":"chat.completion","model":"gpt-4o"}"#.to_owned()).await;
    let status = status(&tracker, &store).await;
    assert_eq!(status.total_cost().unpriced_calls, 1);
    assert_eq!(status.total_cost().to_string(), "unknown");
}

#[tokio::test]
async fn tokens_and_costs_are_told_apart_by_model_once_there_are_two() {
    let (tracker, store) = tracker();
    call(&tracker, AGENT, "/", chat("gpt-4o", 1000, 0, "")).await;
    call(&tracker, AGENT, "/", chat("gpt-4o", 1000, 0, "")).await;
    assert!(status(&tracker, &store).await.agent(AGENT).unwrap().models().is_empty());
    call(&tracker, AGENT, "/", chat("gpt-4o-mini", 1000, 0, "")).await;
    let no_model = r#"{"token_usage":{"input_tokens":5,"output_tokens":0}}"#;
    call(&tracker, AGENT, "/", no_model.to_owned()).await;
    let status = status(&tracker, &store).await;
    let agent = status.agent(AGENT).unwrap();
    let shares: Vec<_> = agent
        .models()
        .iter()
        .map(|share| (&*share.model, share.token_usage.unwrap().input_tokens, share.cost.usd))
        .collect();
    let expected =
        [("gpt-4o", Some(2000), cost("0.005")), ("gpt-4o-mini", Some(1000), cost("0.00015"))];
    assert_eq!(shares, expected);
    assert_eq!(agent.model.as_deref(), Some("gpt-4o-mini"), "the last that was named");
    assert_eq!(agent.token_usage().unwrap().input_tokens, Some(3005));
    assert_eq!(agent.cost().to_string(), "≥ $0.00515");
}

#[tokio::test]
async fn the_model_is_that_of_the_response_or_the_path_or_the_declaration() {
    let store = MemoryStore::new();
    let declared = Agent::new("declared").model("gpt-4o-mini");
    let tracker = builder(store.clone()).agent(declared).prices(prices()).start().unwrap();
    let anonymous = r#"{"token_usage":{"input_tokens":1000,"output_tokens":0}}"#;
    call(&tracker, "declared", "/", anonymous.to_owned()).await;
    call(&tracker, AGENT, "/model/gpt-4o/invoke", anonymous.to_owned()).await;
    call(&tracker, "both", "/model/gpt-4o/invoke", chat("gpt-4o-mini", 1000, 0, "")).await;
    let status = status(&tracker, &store).await;
    let of = |name: &str| {
        let agent: &AgentStatus = status.agent(name).unwrap();
        (agent.model.as_deref().map(str::to_owned), agent.cost().usd)
    };
    assert_eq!(of("declared"), (Some("gpt-4o-mini".to_owned()), cost("0.00015")));
    assert_eq!(of(AGENT), (Some("gpt-4o".to_owned()), cost("0.0025")));
    assert_eq!(of("both"), (Some("gpt-4o-mini".to_owned()), cost("0.00015")));
}

#[tokio::test]
async fn a_report_has_the_price_of_its_model_unless_it_says_what_it_cost() {
    let (tracker, store) = tracker();
    let success = || AgentReport::new(AgentState::Success).token_usage(TokenUsage::new(1000, 0));
    for (agent, report) in [
        ("a", success().model("gpt-4o")),
        ("b", success().model("gpt-4o").cost("0.75".parse().unwrap())),
        ("c", success()),
    ] {
        tracker.update_agent_status(SESSION, agent, report).unwrap();
    }
    let status = status(&tracker, &store).await;
    let of = |name: &str| status.agent(name).unwrap().cost().to_string();
    assert_eq!([of("a"), of("b"), of("c")], ["$0.0025", "$0.75", "unknown"]);
}

#[tokio::test]
async fn a_budget_is_warned_of_once_and_noted_in_the_item() {
    for in_usd in [true, false] {
        let watched = Warnings::watch();
        let (tracker, store) = tracker();
        let workflow = tracker.workflow(SESSION);
        let workflow =
            if in_usd { workflow.budget_usd(0.004) } else { workflow.budget_tokens(1500) };
        let workflow = workflow.start().unwrap();
        for call_number in 1..=4 {
            call(&tracker, AGENT, "/", chat("gpt-4o", 1000, 0, "")).await;
            let budget = status(&tracker, &store).await.budget.unwrap();
            assert_eq!(budget.exceeded_at.is_some(), call_number > 1, "{call_number}");
            let warnings = watched.take();
            assert_eq!(warnings.len(), usize::from(call_number == 2), "{warnings:?}");
            assert!(warnings.iter().all(|warning| warning.contains("its calls go on")));
        }
        workflow.complete();
        let item = stored(&tracker, &store, SESSION).await;
        assert_eq!(item.get("budgetUsd").is_some(), in_usd);
        assert_eq!(item.get("budgetTokens").is_some(), !in_usd);
        assert!(item.get("budgetExceededAt").is_some());
    }
}

#[tokio::test]
async fn a_budget_that_is_no_amount_is_refused_by_name() {
    let (tracker, _) = tracker();
    for usd in [-1.0, f64::NAN, f64::INFINITY, 1e30] {
        let error = tracker.workflow(SESSION).budget_usd(usd).start().unwrap_err();
        assert!(matches!(&error, WorkflowError::Budget { .. }), "{error}");
        assert!(error.to_string().contains("budget"), "{error}");
    }
}

#[tokio::test]
async fn a_previous_run_keeps_its_cost_and_a_new_one_begins_at_nothing() {
    let (tracker, store) = tracker();
    let workflow = tracker.workflow(SESSION).budget_usd(0.001).trace_id(&"a".repeat(32));
    let workflow = workflow.start().unwrap();
    call(&tracker, AGENT, "/", chat("gpt-4o", 1000, 0, "")).await;
    call(&tracker, AGENT, "/", chat("gpt-9", 1000, 0, "")).await;
    workflow.complete();
    status(&tracker, &store).await;
    let _workflow = tracker.workflow(SESSION).new_run().start().unwrap();
    let status = status(&tracker, &store).await;
    assert!(status.total_cost().is_empty());
    assert_eq!((&status.trace_id, &status.budget), (&None, &None));
    assert_eq!(status.previous_run.unwrap().total_cost.to_string(), "≥ $0.0025");
}

#[tokio::test]
async fn exact_decimals_survive_the_table() {
    let store = DynamoDbStore::embedded_in_memory().unwrap();
    // 38 digits, 15 of them decimals; one more than a float holds; and a float's.
    for text in [
        "99999999999999999999999.999999999999999",
        "0.123456789012345",
        "1.000000000000001",
        "0.0025",
        "7",
    ] {
        let exact: Cost = text.parse().unwrap();
        let tracker = builder(store.clone()).prices(prices()).start().unwrap();
        let session = format!("session-{text}");
        let report = AgentReport::new(AgentState::Success).cost(exact);
        tracker.update_agent_status(&session, AGENT, report).unwrap();
        let item: Item = stored(&tracker, &store, &session).await;
        assert_eq!(item.get("totalCostUsd").and_then(Value::as_cost), Some(exact), "{text}");
        let read = WorkflowStatus::from_item(&id(&session), &item);
        assert_eq!(read.agent(AGENT).unwrap().cost().usd, Some(exact), "{text}");
    }
}

#[tokio::test]
async fn costs_are_on_the_span_and_in_the_metrics() {
    let recorder = DebuggingRecorder::new();
    let _listening = set_default_local_recorder(&recorder);
    let seen = recorder.snapshotter();
    let (spans, _guard) = Spans::listen();
    let (tracker, _) = tracker();
    let workflow = tracker.workflow(SESSION).budget_usd(0.001).start().unwrap();
    call(&tracker, AGENT, "/", chat("gpt-4o", 1000, 100, "")).await;
    call(&tracker, AGENT, "/", chat("gpt-9", 1000, 100, "")).await;
    call(&tracker, AGENT, "/", chat("gpt-4o", 1000, 100, r#","cost":-1"#)).await;
    workflow.complete();

    let costs: Vec<_> = spans
        .by_name("invoke_agent")
        .iter()
        .map(|span| span.fields.get("agent_status.cost_usd").cloned())
        .collect();
    assert_eq!(costs, [Some("0.0035".to_owned()), None, Some("0.0035".to_owned())]);
    let mut values = BTreeMap::<_, Vec<f64>>::new();
    for (key, _, _, value) in seen.snapshot().into_vec() {
        let of_key = match value {
            DebugValue::Counter(count) => vec![count as f64],
            DebugValue::Histogram(all) => all.iter().map(|value| value.0).collect(),
            DebugValue::Gauge(_) => continue,
        };
        values.entry(key.key().name().to_owned()).or_default().extend(of_key);
    }
    assert_eq!(values[metrics::COST], [0.0035, 0.0035]);
    assert_eq!(values[metrics::UNPRICED_CALLS], [1.0]);
    assert_eq!(values[metrics::COST_IGNORED], [1.0]);
    assert_eq!(values[metrics::BUDGET_EXCEEDED], [1.0]);
}

#[tokio::test]
async fn an_answer_that_is_fetched_again_costs_once() {
    let (tracker, store) = tracker();
    let background = |status: &str, usage: &str| {
        format!(
            r#"{{"id":"resp_1","object":"response","status":"{status}","model":"gpt-4o"{usage}}}"#
        )
    };
    let used = r#","usage":{"input_tokens":1000,"output_tokens":100,"total_tokens":1100}"#;
    call(&tracker, AGENT, "/v1/responses", background("queued", "")).await;
    assert!(status(&tracker, &store).await.total_cost().is_empty(), "nothing is missing yet");
    for _ in 0..3 {
        call(&tracker, AGENT, "/v1/responses", background("completed", used)).await;
    }
    assert_eq!(status(&tracker, &store).await.total_cost().to_string(), "$0.0035");
}

#[tokio::test]
async fn a_stream_has_a_time_to_its_first_chunk() {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).clock(ticking_clock()).start().unwrap();
    let service = service_fn(async |_: Request<()>| {
        let event = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
        let response = Response::builder().header("content-type", "text/event-stream");
        Ok::<_, Infallible>(response.body(Full::new(Bytes::from_static(event.as_bytes()))).unwrap())
    });
    let client = StatusLayer::new(&tracker, AGENT).layer(service);
    let request = of_session(SESSION, Request::post("/").body(()).unwrap());
    client.oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    let status = status(&tracker, &store).await;
    // The clock advances with each reading of it: at the start, and at the first chunk.
    let time = status.agent(AGENT).unwrap().time_to_first_chunk.unwrap();
    assert!(time.as_millis() >= 1, "{time:?}");
    let item = store.get(&id(SESSION)).await.unwrap().unwrap();
    let agent = item.get(AGENT).and_then(Value::as_map).unwrap();
    assert_eq!(agent.get("timeToFirstChunk"), Some(&Value::Float(time.as_secs_f64())));
}
