//! Each way a call of an AWS SDK client can end, over real sockets: the caller sees what it
//! would see without the layer, and the item has the outcome.

use std::time::Duration;

use aws_clients::clients::{AGENT, Clients, SESSION, describe, http_client, layer, tracker};
use aws_clients::frames::{EVENT_STREAM, chunk, event, exception};
use aws_clients::service::{Answer, Service, Then};
use aws_sdk_bedrockagentcore::config::{Config, StalledStreamProtectionConfig};
use aws_sdk_bedrockagentcore::operation::invoke_agent_runtime::builders::InvokeAgentRuntimeFluentBuilder;
use aws_sdk_bedrockruntime::primitives::Blob;
use aws_sdk_bedrockruntime::types::{ContentBlock, ConversationRole, Message};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::timeout::TimeoutConfig;
use bytes::Bytes;
use serde_json::json;
use tower_agent_status::status::{AgentState, AgentStatus, TokenUsage};
use tower_agent_status::{Layer, SessionId};

const MODEL: &str = "anthropic.claude-sonnet-4-20250514-v1:0";
const ARN: &str = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/pdf_adapter-x1";

/// Makes a call without the layer and with it, and returns the agent's status after the
/// latter. Both must send the same, and both callers must see the same.
async fn call(answers: Vec<Answer>, ask: impl AsyncFn(&Clients) -> String) -> AgentStatus {
    let untimed = TimeoutConfig::disabled();
    let (agent, [bare, tracked]) = call_with(answers, &untimed, ask).await;
    assert_eq!(tracked.asked(), bare.asked());
    agent
}

/// The same, but also returns the services that were called without the layer and with it.
async fn call_with(
    answers: Vec<Answer>,
    timeouts: &TimeoutConfig,
    ask: impl AsyncFn(&Clients) -> String,
) -> (AgentStatus, [Service; 2]) {
    let bare = Service::start(answers.clone()).await;
    let seen = ask(&Clients::new(&bare.url(), &http_client(), timeouts)).await;

    let service = Service::start(answers).await;
    let (tracker, store) = tracker();
    let tracked = SharedHttpClient::new(layer(&tracker).layer(http_client()));
    let clients = Clients::new(&service.url(), &tracked, timeouts);
    let session = SessionId::new(SESSION).unwrap();
    let seen_of_tracked = session.scope(ask(&clients)).await;

    assert_eq!(service.anonymous(&seen_of_tracked), bare.anonymous(&seen));
    tracker.flush().await.unwrap();
    let status = store.status(SESSION).unwrap();
    (status.agent(AGENT).unwrap().clone(), [bare, service])
}

#[track_caller]
fn assert_success(agent: &AgentStatus, calls: u64, usage: Option<TokenUsage>) {
    assert_eq!((agent.state, &agent.error), (AgentState::Success, &None));
    assert_eq!(agent.calls, calls);
    assert_eq!(agent.token_usage(), usage);
}

#[track_caller]
fn assert_error(
    agent: &AgentStatus,
    calls: u64,
    class: &str,
    text: &str,
    usage: Option<TokenUsage>,
) {
    let error = agent.error.as_ref().unwrap();
    assert_eq!(error.class, class, "{error}");
    assert!(error.message.as_str().contains(text), "{error}");
    assert_eq!((agent.state, agent.calls), (AgentState::Error, calls));
    assert_eq!(agent.token_usage(), usage);
}

fn usage(input: u64, output: u64) -> Option<TokenUsage> {
    Some(TokenUsage::new(input, output))
}

fn prompt() -> Message {
    let content = ContentBlock::Text("What does the trade say?".to_owned());
    Message::builder().role(ConversationRole::User).content(content).build().unwrap()
}

async fn converse(clients: &Clients) -> String {
    let asked = clients.bedrock.converse().model_id(MODEL).messages(prompt());
    match asked.send().await {
        Ok(output) => format!("{output:?}"),
        Err(error) => describe(&error),
    }
}

/// Reads at most this many events of a Converse stream.
async fn converse_stream(clients: &Clients, most: usize) -> String {
    let asked = clients.bedrock.converse_stream().model_id(MODEL).messages(prompt());
    let mut output = match asked.send().await {
        Ok(output) => output,
        Err(error) => return describe(&error),
    };
    let mut seen = Vec::new();
    while seen.len() < most {
        match output.stream.recv().await {
            Ok(Some(event)) => seen.push(format!("{event:?}")),
            Ok(None) => {
                seen.push("end".to_owned());
                break;
            }
            Err(error) => {
                seen.push(format!("{error:?}"));
                break;
            }
        }
    }
    seen.join("\n")
}

async fn invoke_model(clients: &Clients) -> String {
    let asked = clients.bedrock.invoke_model().model_id(MODEL).body(Blob::new("{}"));
    match asked.send().await {
        Ok(output) => format!("{output:?} {:?}", String::from_utf8_lossy(output.body().as_ref())),
        Err(error) => describe(&error),
    }
}

async fn invoke_model_stream(clients: &Clients) -> String {
    let asked = clients.bedrock.invoke_model_with_response_stream().model_id(MODEL);
    let mut output = match asked.body(Blob::new("{}")).send().await {
        Ok(output) => output,
        Err(error) => return describe(&error),
    };
    let mut seen = Vec::new();
    loop {
        match output.body.recv().await {
            Ok(Some(event)) => seen.push(format!("{event:?}")),
            Ok(None) => return seen.join("\n"),
            Err(error) => return format!("{seen:?} {error:?}"),
        }
    }
}

fn invoke_agent_runtime(clients: &Clients) -> InvokeAgentRuntimeFluentBuilder {
    clients
        .agentcore
        .invoke_agent_runtime()
        .agent_runtime_arn(ARN)
        // Without this, the SDK generates a new one for each call.
        .runtime_session_id("c0ffee00-0000-4000-8000-000000000000-0")
        .payload(Blob::new("{\"prompt\": \"?\"}").into_inner().into())
}

/// Reads at most this many bytes of an agent's answer.
async fn invoke_agent(clients: &Clients, most: usize) -> String {
    let mut output = match invoke_agent_runtime(clients).send().await {
        Ok(output) => output,
        Err(error) => return describe(&error),
    };
    let mut seen = format!("{:?} {:?} ", output.content_type, output.status_code);
    let mut read = Vec::new();
    while read.len() < most {
        match output.response.try_next().await {
            Ok(Some(bytes)) => read.extend_from_slice(&bytes),
            Ok(None) => break,
            Err(error) => {
                // The types of the inner errors are those of the inner client.
                seen.push_str(&format!("{error:?} "));
                break;
            }
        }
    }
    seen + &String::from_utf8_lossy(&read)
}

const WHOLE: usize = usize::MAX;

fn converse_answer() -> Answer {
    Answer::json(
        200,
        json!({
            "metrics": {"latencyMs": 551},
            "output": {"message": {"role": "assistant", "content": [{"text": "It says: buy."}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 30, "outputTokens": 12, "totalTokens": 42},
        }),
    )
}

fn start_of_converse_stream() -> Vec<Bytes> {
    let text = |text: &str| {
        event("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"text": text}}))
    };
    vec![event("messageStart", &json!({"role": "assistant"})), text("It says"), text(": buy.")]
}

fn converse_events() -> Vec<Bytes> {
    let mut events = start_of_converse_stream();
    events.push(event("contentBlockStop", &json!({"contentBlockIndex": 0})));
    events.push(event("messageStop", &json!({"stopReason": "end_turn"})));
    events.push(event(
        "metadata",
        &json!({
            "metrics": {"latencyMs": 551},
            "usage": {"inputTokens": 30, "outputTokens": 12, "totalTokens": 42},
        }),
    ));
    events
}

fn streamed(pieces: Vec<Bytes>, then: Then) -> Vec<Answer> {
    vec![Answer::Pieces { content_type: EVENT_STREAM, pieces, then }]
}

fn throttled() -> Answer {
    Answer::error(429, "ThrottlingException", "Too many requests, please wait before trying again.")
}

#[tokio::test]
async fn converse_is_a_success_with_its_tokens() {
    let agent = call(vec![converse_answer()], converse).await;
    assert_success(&agent, 1, usage(30, 12));
}

#[tokio::test]
async fn each_attempt_of_the_sdk_is_a_call() {
    let agent = call(vec![throttled(), throttled(), converse_answer()], converse).await;
    assert_success(&agent, 3, usage(30, 12));
}

#[tokio::test]
async fn a_modelled_error_is_told_by_its_status_and_message() {
    let agent = call(vec![throttled()], converse).await;
    assert_error(&agent, 3, "http_429", "Too many requests", None);
    let refused = Answer::error(400, "ValidationException", "The model id is invalid.");
    let agent = call(vec![refused.clone()], converse).await;
    assert_error(&agent, 1, "http_400", "The model id is invalid.", None);
    let agent = call(vec![refused], async |clients| converse_stream(clients, WHOLE).await).await;
    assert_error(&agent, 1, "http_400", "The model id is invalid.", None);
}

#[tokio::test]
async fn a_converse_stream_is_a_success_with_its_tokens() {
    let whole: Vec<u8> = converse_events().concat();
    // The same events, with their frames cut anywhere.
    for pieces in [
        converse_events(),
        whole.chunks(7).map(Bytes::copy_from_slice).collect(),
        vec![whole.clone().into()],
    ] {
        let ask = async |clients: &Clients| converse_stream(clients, WHOLE).await;
        let agent = call(streamed(pieces, Then::End), ask).await;
        assert_success(&agent, 1, usage(30, 12));
    }
}

#[tokio::test]
async fn an_exception_within_a_stream_is_the_agents_error() {
    let mut pieces = start_of_converse_stream();
    pieces.push(exception("modelStreamErrorException", "The model stopped."));
    let ask = async |clients: &Clients| converse_stream(clients, WHOLE).await;
    let agent = call(streamed(pieces, Then::End), ask).await;
    assert_error(&agent, 1, "agent", "The model stopped.", None);
}

#[tokio::test]
async fn a_stream_that_ends_before_its_last_event_is_incomplete() {
    let ask = async |clients: &Clients| converse_stream(clients, WHOLE).await;
    let agent = call(streamed(start_of_converse_stream(), Then::End), ask).await;
    assert_error(&agent, 1, "incomplete", "", None);
}

#[tokio::test]
async fn a_stream_whose_connection_ends_is_a_failure_of_the_transport() {
    let ask = async |clients: &Clients| converse_stream(clients, WHOLE).await;
    let agent = call(streamed(start_of_converse_stream(), Then::Close), ask).await;
    assert_error(&agent, 1, "transport", "", None);
}

#[tokio::test]
async fn a_stream_that_the_caller_drops_is_cancelled() {
    let ask = async |clients: &Clients| converse_stream(clients, 2).await;
    let agent = call(streamed(start_of_converse_stream(), Then::Silence), ask).await;
    assert_error(&agent, 1, "cancelled", "", None);
}

#[tokio::test]
async fn a_frame_with_a_wrong_checksum_is_the_callers_error_as_without_the_layer() {
    let mut pieces = converse_events();
    let mut broken = pieces[2].to_vec();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    pieces[2] = broken.into();
    let ask = async |clients: &Clients| converse_stream(clients, WHOLE).await;
    let agent = call(streamed(pieces, Then::End), ask).await;
    // The caller stops reading at the error.
    assert_error(&agent, 1, "cancelled", "", None);
}

#[tokio::test]
async fn invoke_model_tells_its_tokens_in_the_body_or_in_headers() {
    let body = json!({
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "It says: buy."}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 20, "output_tokens": 12},
    });
    let of_anthropic = Answer::json(200, body)
        .with("x-amzn-bedrock-input-token-count", "10")
        .with("x-amzn-bedrock-output-token-count", "12");
    let agent = call(vec![of_anthropic], invoke_model).await;
    let tokens = agent.token_usage().unwrap();
    assert_eq!((tokens.input_tokens, tokens.output_tokens), (Some(30), Some(12)));
    assert_eq!(tokens.cache_read_input_tokens, Some(20));

    let of_others = Answer::json(200, json!({"outputs": [{"text": "It says: buy."}]}))
        .with("x-amzn-bedrock-input-token-count", "30")
        .with("x-amzn-bedrock-output-token-count", "12");
    let agent = call(vec![of_others], invoke_model).await;
    assert_success(&agent, 1, usage(30, 12));
}

#[tokio::test]
async fn a_stream_of_invoke_model_is_a_success_with_its_tokens() {
    let pieces = vec![
        chunk(
            &json!({"type": "message_start", "message": {"type": "message", "role": "assistant", "usage": {"input_tokens": 30, "output_tokens": 1}}}),
        ),
        chunk(
            &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "It says: buy."}}),
        ),
        chunk(
            &json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 12}}),
        ),
        chunk(
            &json!({"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 30, "outputTokenCount": 12, "invocationLatency": 1077, "firstByteLatency": 603}}),
        ),
    ];
    let agent = call(streamed(pieces, Then::End), invoke_model_stream).await;
    assert_success(&agent, 1, usage(30, 12));
}

fn agent_answer() -> serde_json::Value {
    json!({
        "success": true,
        "text": "It says: buy.",
        "token_usage": {"input_tokens": 30, "output_tokens": 12, "total_tokens": 42},
    })
}

#[tokio::test]
async fn an_agent_answers_in_json() {
    let ask = async |clients: &Clients| invoke_agent(clients, WHOLE).await;
    let agent = call(vec![Answer::json(200, agent_answer())], ask).await;
    assert_success(&agent, 1, usage(30, 12));

    let failed = json!({"success": false, "error": "no such document", "error_type": "KeyError"});
    let agent = call(vec![Answer::json(200, failed)], ask).await;
    assert_error(&agent, 1, "agent", "no such document", None);

    let failed = Answer::error(424, "RuntimeClientError", "Received error (500) from runtime.");
    let agent = call(vec![failed], ask).await;
    assert_error(&agent, 1, "http_424", "Received error (500)", None);
}

fn agent_events() -> Vec<Bytes> {
    let data = |data: serde_json::Value| Bytes::from(format!("data: {data}\n\n"));
    vec![
        data(json!({"event": {"messageStart": {"role": "assistant"}}})),
        data(json!({"event": {"contentBlockDelta": {"delta": {"text": "It says: buy."}}}})),
        data(json!({"event": {"messageStop": {"stopReason": "end_turn"}}})),
        data(
            json!({"event": {"metadata": {"usage": {"inputTokens": 30, "outputTokens": 12, "totalTokens": 42}}}}),
        ),
    ]
}

fn agent_stream(pieces: Vec<Bytes>, then: Then) -> Vec<Answer> {
    vec![Answer::Pieces { content_type: "text/event-stream", pieces, then }]
}

#[tokio::test]
async fn an_agent_answers_in_server_sent_events() {
    let ask = async |clients: &Clients| invoke_agent(clients, WHOLE).await;
    let agent = call(agent_stream(agent_events(), Then::End), ask).await;
    assert_success(&agent, 1, usage(30, 12));

    let agent = call(agent_stream(agent_events(), Then::Close), ask).await;
    assert_error(&agent, 1, "transport", "", usage(30, 12));

    let ask = async |clients: &Clients| invoke_agent(clients, 1).await;
    let agent = call(agent_stream(agent_events()[..1].to_vec(), Then::Silence), ask).await;
    assert_error(&agent, 1, "cancelled", "", None);
}

#[tokio::test]
async fn a_stream_that_the_sdk_gives_up_as_stalled_is_cancelled() {
    let ask = async |clients: &Clients| {
        let protection =
            StalledStreamProtectionConfig::enabled().grace_period(Duration::from_millis(1)).build();
        let settings = Config::builder().stalled_stream_protection(protection);
        let asked = invoke_agent_runtime(clients).customize();
        let output = asked.config_override(settings).send().await.unwrap();
        format!("{:?}", output.response.collect().await.unwrap_err())
    };
    let pieces = agent_events()[..1].to_vec();
    let agent = call(agent_stream(pieces, Then::Silence), ask).await;
    assert_error(&agent, 1, "cancelled", "", None);
}

#[tokio::test]
async fn a_connection_that_ends_is_a_failure_of_the_transport() {
    let agent = call(vec![Answer::Close], converse).await;
    assert_error(&agent, 3, "transport", "connection closed", None);
    let agent = call(vec![Answer::Close, converse_answer()], converse).await;
    assert_success(&agent, 2, usage(30, 12));
}

#[tokio::test]
async fn nobody_who_listens_is_a_failure_of_the_transport() {
    let (tracker, store) = tracker();
    let tracked = SharedHttpClient::new(layer(&tracker).layer(http_client()));
    // Nothing listens on port 1 of this machine.
    let url = "http://127.0.0.1:1";
    let bare = converse(&Clients::new(url, &http_client(), &TimeoutConfig::disabled())).await;
    let clients = Clients::new(url, &tracked, &TimeoutConfig::disabled());
    let session = SessionId::new(SESSION).unwrap();
    assert_eq!(session.scope(converse(&clients)).await, bare);
    tracker.flush().await.unwrap();
    let status = store.status(SESSION).unwrap();
    assert_error(status.agent(AGENT).unwrap(), 3, "transport", "refused", None);
}

#[tokio::test]
async fn a_time_out_of_the_connector_is_a_timeout() {
    let timeouts = TimeoutConfig::builder().read_timeout(Duration::from_millis(1)).build();
    // So short that some attempts may not reach the service.
    let (agent, _) = call_with(vec![Answer::Silence], &timeouts, converse).await;
    assert_error(&agent, 3, "timeout", "timeout: ", None);
}

#[tokio::test]
async fn a_call_that_its_caller_gives_up_is_cancelled() {
    let service = Service::start(vec![Answer::Silence]).await;
    let (tracker, store) = tracker();
    let tracked = SharedHttpClient::new(layer(&tracker).layer(http_client()));
    let clients = Clients::new(&service.url(), &tracked, &TimeoutConfig::disabled());
    let session = SessionId::new(SESSION).unwrap();
    tokio::select! {
        seen = session.scope(converse(&clients)) => panic!("{seen}"),
        () = service.asked_times(1) => {}
    }
    tracker.flush().await.unwrap();
    let status = store.status(SESSION).unwrap();
    assert_error(status.agent(AGENT).unwrap(), 1, "cancelled", "", None);
}
