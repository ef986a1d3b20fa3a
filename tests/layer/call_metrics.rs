//! The metrics of calls by the conventions: which instruments, which labels, and how many of them.

use std::collections::BTreeMap;

use ::metrics::set_default_local_recorder;
use http::Method;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tower::{Layer as _, ServiceExt as _};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{Agent, StatusLayer, StatusTracker, metrics};

use crate::support::model::{AGENT_ANSWER, CHAT, CONVERSE, Model, QUEUED, REFUSED, STORED};
use crate::support::{AGENT, SESSION, builder, of_session};

/// What was recorded since the last call, under a name and its labels but that of the agent: a
/// count, or each value of a histogram. Times are left out.
fn taken(seen: &Snapshotter) -> BTreeMap<String, Vec<f64>> {
    let mut taken = BTreeMap::new();
    for (key, unit, _, value) in seen.snapshot().into_vec() {
        if !key.key().name().starts_with("gen_ai.") && key.key().name() != metrics::TOKENS {
            continue;
        }
        let mut values = match value {
            DebugValue::Counter(count) => vec![count as f64],
            DebugValue::Histogram(values) => values.iter().map(|value| value.0).collect(),
            DebugValue::Gauge(_) => continue,
        };
        if unit == Some(::metrics::Unit::Seconds) {
            values.fill(0.0);
        }
        let labels = key.key().labels().filter(|label| label.value() != AGENT);
        let mut labels: Vec<_> =
            labels.map(|label| format!("{}={}", label.key(), label.value())).collect();
        labels.sort_unstable();
        taken.insert(format!("{}{{{}}}", key.key().name(), labels.join(",")), values);
    }
    taken
}

fn is(taken: &BTreeMap<String, Vec<f64>>, expected: &[(&str, &[f64])]) {
    let expected: BTreeMap<_, _> =
        expected.iter().map(|(name, values)| ((*name).to_owned(), values.to_vec())).collect();
    assert_eq!(*taken, expected);
}

fn tracker() -> StatusTracker {
    builder(MemoryStore::new()).start().unwrap()
}

const COMPLETIONS: &str = "https://api.openai.com/v1/chat/completions";

#[tokio::test]
async fn a_failed_call_of_a_model_counts_with_zero() {
    let recorder = DebuggingRecorder::new();
    let _listening = set_default_local_recorder(&recorder);
    let seen = recorder.snapshotter();
    REFUSED.call(&tracker(), AGENT, SESSION, (Method::POST, COMPLETIONS)).await;
    let labels = "gen_ai.operation.name=chat,gen_ai.provider.name=openai";
    let counter = |name| format!("{name}{{{labels},gen_ai.token.modality=unknown}}");
    let histogram = |name| format!("{name}{{error.type=http_429,{labels}}}");
    let expected = [
        counter(metrics::INPUT_TOKENS),
        counter(metrics::OUTPUT_TOKENS),
        counter(metrics::CACHE_READ_TOKENS),
        counter(metrics::CACHE_WRITE_TOKENS),
        counter(metrics::REASONING_TOKENS),
        histogram(metrics::INPUT_TOKENS_PER_CALL),
        histogram(metrics::OUTPUT_TOKENS_PER_CALL),
        histogram(metrics::INFERENCE_DURATION),
    ];
    assert_eq!(taken(&seen), expected.map(|name| (name, vec![0.0])).into());
}

#[tokio::test]
async fn models_are_labels_as_requests_and_responses_name_them() {
    let recorder = DebuggingRecorder::new();
    let _listening = set_default_local_recorder(&recorder);
    let seen = recorder.snapshotter();
    let tracker = tracker();
    CHAT.call(&tracker, AGENT, SESSION, (Method::POST, COMPLETIONS)).await;
    CONVERSE.call(&tracker, AGENT, SESSION, (Method::POST, "/model/titan/converse")).await;
    let taken = taken(&seen);
    let chat = "gen_ai.operation.name=chat,gen_ai.provider.name=openai,gen_ai.response.model=gpt-4o-2024-08-06";
    let converse =
        "gen_ai.operation.name=chat,gen_ai.provider.name=aws.bedrock,gen_ai.request.model=titan";
    for (labels, input, output) in [(chat, 9.0, 3.0), (converse, 5.0, 2.0)] {
        let counter = |name| &taken[&format!("{name}{{{labels},gen_ai.token.modality=unknown}}")];
        assert_eq!(*counter(metrics::INPUT_TOKENS), [input]);
        assert_eq!(*counter(metrics::OUTPUT_TOKENS), [output]);
        let per_call = format!("{}{{{labels}}}", metrics::INPUT_TOKENS_PER_CALL);
        assert_eq!(taken[&per_call], [input]);
        assert!(taken.contains_key(&format!("{}{{{labels}}}", metrics::INFERENCE_DURATION)));
    }
}

#[tokio::test]
async fn an_agent_that_is_no_model_has_counters_of_its_own() {
    let recorder = DebuggingRecorder::new();
    let _listening = set_default_local_recorder(&recorder);
    let seen = recorder.snapshotter();
    let tracker = tracker();
    AGENT_ANSWER.call(&tracker, AGENT, SESSION, (Method::POST, "/invocations")).await;
    let values: &[(&str, &[f64])] = &[
        ("agent_status.tokens{gen_ai.operation.name=invoke_agent,token_type=input}", &[3.0]),
        ("agent_status.tokens{gen_ai.operation.name=invoke_agent,token_type=output}", &[4.0]),
        ("gen_ai.client.operation.duration{gen_ai.operation.name=invoke_agent}", &[0.0]),
    ];
    is(&taken(&seen), values);

    let embeddings = r#"{"object": "list", "model": "e", "data": [{"object": "embedding"}],
        "usage": {"prompt_tokens": 6, "total_tokens": 6}}"#;
    let request = (Method::POST, "https://api.openai.com/v1/embeddings");
    Model::json(embeddings).call(&tracker, AGENT, SESSION, request).await;
    let taken = taken(&seen);
    let tokens = "agent_status.tokens{gen_ai.operation.name=embeddings,token_type=input}";
    assert_eq!(taken[tokens], [6.0]);
    let inference: Vec<_> = taken.keys().filter(|name| name.contains("client.inference")).collect();
    assert!(inference.is_empty(), "{inference:?}");
}

#[tokio::test]
async fn tokens_of_a_background_response_count_once() {
    let recorder = DebuggingRecorder::new();
    let _listening = set_default_local_recorder(&recorder);
    let seen = recorder.snapshotter();
    let tracker = tracker();
    let create = (Method::POST, "https://api.openai.com/v1/responses");
    let fetch = || (Method::GET, "https://api.openai.com/v1/responses/resp_1");
    QUEUED.call(&tracker, AGENT, SESSION, create).await;
    STORED.call(&tracker, AGENT, SESSION, fetch()).await;
    STORED.call(&tracker, AGENT, SESSION, fetch()).await;
    let taken = taken(&seen);
    let of = |name: &str| -> Vec<(&str, f64)> {
        let rows = taken.iter().filter(|(key, _)| key.starts_with(&format!("{name}{{")));
        rows.map(|(key, values)| {
            let operation = key.split("gen_ai.operation.name=").nth(1).unwrap();
            (operation.split(',').next().unwrap(), values.iter().sum())
        })
        .collect()
    };
    assert_eq!(of(metrics::INPUT_TOKENS), [("chat", 0.0), ("fetch_response", 8.0)]);
    assert_eq!(of(metrics::OUTPUT_TOKENS), [("chat", 0.0), ("fetch_response", 6.0)]);
    assert_eq!(of(metrics::OPERATION_DURATION), [("fetch_response", 0.0)]);
    let histogram = format!("{}{{", metrics::INPUT_TOKENS_PER_CALL);
    let polled =
        taken.iter().find(|(key, _)| key.starts_with(&histogram) && key.contains("fetch_response"));
    assert_eq!(polled.unwrap().1, &[8.0], "the second poll has nothing new");
}

/// The distinct values of a label.
fn values_of(seen: &Snapshotter, label: &str) -> Vec<String> {
    let mut values: Vec<_> = seen
        .snapshot()
        .into_vec()
        .iter()
        .flat_map(|(key, ..)| {
            key.key().labels().map(|it| (it.key().to_owned(), it.value().to_owned()))
        })
        .filter(|(name, _)| name == label)
        .map(|(_, value)| value)
        .collect();
    values.sort_unstable();
    values.dedup();
    values
}

#[tokio::test]
async fn only_so_many_models_of_an_agent_become_labels() {
    let recorder = DebuggingRecorder::new();
    let _listening = set_default_local_recorder(&recorder);
    let seen = recorder.snapshotter();
    let tracker = tracker();
    for model in 0..2 * metrics::MAX_MODELS {
        let uri = format!("/model/m{model}/converse");
        CONVERSE.call(&tracker, AGENT, SESSION, (Method::POST, &uri)).await;
    }
    CONVERSE.call(&tracker, AGENT, SESSION, (Method::POST, "/model/m0/converse")).await;
    let values = values_of(&seen, "gen_ai.request.model");
    assert_eq!(values.len(), metrics::MAX_MODELS + 1);
    assert!(
        values.contains(&metrics::OTHER_MODELS.to_owned()) && values.contains(&"m31".to_owned())
    );
}

#[tokio::test]
async fn providers_of_undeclared_agents_do_not_become_labels() {
    let recorder = DebuggingRecorder::new();
    let _listening = set_default_local_recorder(&recorder);
    let seen = recorder.snapshotter();
    let tracker = tracker();
    let layer = StatusLayer::per_request(&tracker);
    for n in 0..9 {
        let uri = if n == 0 { COMPLETIONS } else { "/" };
        let mut request = http::Request::post(uri).body(()).unwrap();
        request.extensions_mut().insert(Agent::new(format!("a{n}")).provider(format!("p{n}")));
        layer.layer(CHAT).oneshot(of_session(SESSION, request)).await.unwrap();
    }
    assert_eq!(values_of(&seen, "gen_ai.provider.name"), ["_OTHER", "openai"]);
    assert_eq!(values_of(&seen, "gen_ai.agent.name"), [metrics::OTHER_AGENTS]);
}
