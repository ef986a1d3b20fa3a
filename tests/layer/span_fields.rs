//! The fields that a call's span has by the conventions: names, providers, models and reasons.

use http::Method;
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{Agent, StatusTracker};
use tracing::Level;

use crate::support::model::{
    AGENT_ANSWER, CHAT, CONVERSE, GEMINI, MESSAGE, Model, QUEUED, REFUSED, STORED,
};
use crate::support::spans::{Seen, Spans};
use crate::support::{AGENT, SESSION, builder};

/// The agent whose settings name a provider.
const HOSTED: &str = "hosted";

fn tracker() -> StatusTracker {
    let hosted = Agent::new(HOSTED).provider("acme");
    builder(MemoryStore::new()).agent(hosted).start().unwrap()
}

/// The span of a call.
async fn span_of(model: Model, agent: &str, method: Method, uri: &str) -> Seen {
    let (spans, _listening) = Spans::listen();
    model.call(&tracker(), agent, SESSION, (method, uri)).await;
    spans.call()
}

fn has(seen: &Seen, expected: &[(&str, &str)], absent: &[&str]) {
    for (name, value) in expected {
        let found = seen.fields.get(name).map(String::as_str);
        assert_eq!(found, Some(*value), "{name} of {:?}", seen.fields);
    }
    for name in absent {
        assert!(!seen.fields.contains_key(name), "{name} of {:?}", seen.fields);
    }
}

#[tokio::test]
async fn a_call_of_a_model_has_its_operation_provider_model_and_reasons() {
    let seen =
        span_of(CHAT, AGENT, Method::POST, "https://api.openai.com/v1/chat/completions").await;
    let expected = [
        ("otel.name", "chat"),
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.agent.name", AGENT),
        ("gen_ai.response.model", "gpt-4o-2024-08-06"),
        ("gen_ai.response.id", "chatcmpl-1"),
        ("gen_ai.response.finish_reasons", r#"["length", "stop"]"#),
        ("openai.response.service_tier", "default"),
        ("server.address", "api.openai.com"),
        ("server.port", "443"),
    ];
    has(&seen, &expected, &["gen_ai.request.model", "aws.request_id", "error.type"]);

    let uri =
        "http://bedrock-runtime.eu-west-1.amazonaws.com:8080/model/anthropic.claude%3A0/converse";
    let seen = span_of(CONVERSE, AGENT, Method::POST, uri).await;
    let expected = [
        ("otel.name", "chat anthropic.claude:0"),
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "aws.bedrock"),
        ("gen_ai.request.model", "anthropic.claude:0"),
        ("gen_ai.response.finish_reasons", r#"["end_turn"]"#),
        ("aws.request_id", "req-1"),
        ("server.port", "8080"),
    ];
    has(&seen, &expected, &["gen_ai.response.model", "gen_ai.response.id"]);

    let uri = "https://gateway.example/v1beta/models/gemini-pro:generateContent";
    let seen = span_of(GEMINI, AGENT, Method::POST, uri).await;
    let expected = [
        ("otel.name", "generate_content gemini-pro"),
        ("gen_ai.provider.name", "gcp.gemini"),
        ("gen_ai.request.model", "gemini-pro"),
        ("gen_ai.response.model", "gemini-2.5-pro"),
        ("gen_ai.response.id", "g1"),
    ];
    has(&seen, &expected, &[]);

    let uri = "https://x.openai.azure.com/openai/deployments/mine/chat/completions?api-version=1";
    let seen = span_of(CHAT, AGENT, Method::POST, uri).await;
    let expected = [
        ("otel.name", "chat mine"),
        ("gen_ai.provider.name", "azure.ai.openai"),
        ("gen_ai.request.model", "mine"),
    ];
    has(&seen, &expected, &["openai.response.service_tier"]);
}

#[tokio::test]
async fn where_the_path_says_nothing_the_format_shows_the_operation() {
    let seen = span_of(MESSAGE, AGENT, Method::POST, "http://localhost/proxy").await;
    let expected = [
        ("otel.name", "chat"),
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "anthropic"),
        ("gen_ai.response.model", "claude-sonnet-4-5"),
        ("server.port", "80"),
    ];
    has(&seen, &expected, &[]);

    let seen = span_of(AGENT_ANSWER, AGENT, Method::POST, "/").await;
    let expected =
        [("otel.name", "invoke_agent pdfAdapter"), ("gen_ai.operation.name", "invoke_agent")];
    has(&seen, &expected, &["gen_ai.provider.name", "server.address", "server.port"]);
}

#[tokio::test]
async fn an_agent_that_is_called_in_several_ways_has_the_fields_of_each() {
    let (spans, _listening) = Spans::listen();
    let tracker = tracker();
    let model_a = "https://gateway.example/model/a/converse";
    let model_b = "https://gateway.example/model/b/converse";
    let other_host = "https://api.openai.com/model/a/converse";
    let bare = "/model/a/converse";
    let calls = [
        (Method::POST, model_a, "chat a", "aws.bedrock"),
        (Method::POST, model_b, "chat b", "aws.bedrock"),
        (Method::POST, other_host, "chat a", "openai"),
        (Method::POST, bare, "chat a", "aws.bedrock"),
        (Method::GET, model_a, "invoke_agent pdfAdapter", "aws.bedrock"),
        (Method::POST, model_a, "chat a", "aws.bedrock"),
    ];
    for (method, uri, ..) in calls.clone() {
        // What the response is does not matter.
        Model::json("{}").call(&tracker, AGENT, SESSION, (method, uri)).await;
    }
    let seen = spans.by_name("invoke_agent");
    assert_eq!(seen.len(), calls.len());
    for (seen, (method, _, name, provider)) in seen.iter().zip(&calls) {
        let method = method.as_str();
        let expected = [
            ("otel.name", *name),
            ("gen_ai.provider.name", provider),
            ("http.request.method", method),
        ];
        has(seen, &expected, &[]);
    }
}

#[tokio::test]
async fn the_agents_own_provider_counts_unless_the_request_names_one() {
    for (model, uri, provider) in [
        (AGENT_ANSWER, "http://localhost/", "acme"),
        // Many serve OpenAI's format.
        (CHAT, "http://localhost/v1/chat/completions", "acme"),
        (CHAT, "https://api.groq.com/openai/v1/chat/completions", "groq"),
        (CONVERSE, "http://localhost/model/m/converse", "aws.bedrock"),
    ] {
        let seen = span_of(model, HOSTED, Method::POST, uri).await;
        has(&seen, &[("gen_ai.provider.name", provider)], &[]);
    }
}

#[tokio::test]
async fn a_stored_response_has_the_tokens_that_nobody_was_told_before() {
    let (spans, _listening) = Spans::listen();
    let tracker = tracker();
    let create = (Method::POST, "https://api.openai.com/v1/responses");
    let fetch = (Method::GET, "https://api.openai.com/v1/responses/resp_1");
    QUEUED.call(&tracker, AGENT, SESSION, create).await;
    STORED.call(&tracker, AGENT, SESSION, fetch.clone()).await;
    STORED.call(&tracker, AGENT, SESSION, fetch).await;
    let calls = spans.by_name("invoke_agent");
    let [created, first, second] = &calls[..] else { panic!("{calls:?}") };
    has(created, &[("otel.name", "chat")], &["gen_ai.usage.input_tokens"]);
    let expected = [
        ("otel.name", "fetch_response"),
        ("gen_ai.operation.name", "fetch_response"),
        ("gen_ai.response.id", "resp_1"),
        ("gen_ai.usage.input_tokens", "8"),
    ];
    has(first, &expected, &[]);
    assert_ne!(second.fields.get("gen_ai.usage.input_tokens").map(String::as_str), Some("8"));
}

#[tokio::test]
async fn a_model_that_fails_on_the_way_has_the_reason_error() {
    let cut = r#"{"id": "msg_1", "type": "message", "model": "claude-sonnet-4-5", "content": ["#;
    let uri = "https://api.anthropic.com/v1/messages";
    let seen = span_of(Model::json(cut), AGENT, Method::POST, uri).await;
    let expected = [
        ("error.type", "incomplete"),
        ("gen_ai.response.finish_reasons", r#"["error"]"#),
        ("gen_ai.response.model", "claude-sonnet-4-5"),
    ];
    has(&seen, &expected, &[]);

    let seen = span_of(REFUSED, AGENT, Method::POST, uri).await;
    let expected =
        [("otel.name", "chat"), ("gen_ai.provider.name", "anthropic"), ("error.type", "http_429")];
    has(&seen, &expected, &["gen_ai.response.finish_reasons"]);
}

#[tokio::test]
async fn the_level_of_the_spans_can_be_set() {
    for level in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
        let (spans, _listening) = Spans::listen();
        let tracker = builder(MemoryStore::new()).span_level(level).start().unwrap();
        let workflow = tracker.workflow(SESSION).start().unwrap();
        CHAT.call(&tracker, AGENT, SESSION, (Method::POST, "/")).await;
        workflow.complete();
        for name in ["invoke_agent", "invoke_workflow"] {
            let [seen] = &spans.by_name(name)[..] else { panic!("{name} at {level}") };
            assert_eq!((&*seen.level, &*seen.target), (level.as_str(), "tower_agent_status"));
        }
    }
}

#[tokio::test]
async fn a_level_that_nobody_wants_is_not_recorded() {
    use tracing_subscriber::layer::SubscriberExt as _;

    let spans = Spans::default();
    let filter = tracing_subscriber::filter::LevelFilter::INFO;
    let subscriber = tracing_subscriber::registry().with(spans.clone()).with(filter);
    let _listening = tracing::subscriber::set_default(subscriber);
    let tracker = builder(MemoryStore::new()).span_level(Level::DEBUG).start().unwrap();
    let workflow = tracker.workflow(SESSION).start().unwrap();
    CHAT.call(&tracker, AGENT, SESSION, (Method::POST, "/")).await;
    workflow.complete();
    assert_eq!(spans.by_name("invoke_agent").len() + spans.by_name("invoke_workflow").len(), 0);
}
