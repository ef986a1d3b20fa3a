//! Rust clients that accept only a base URL: genai and ollama-rs.

use forward_clients::agent::{RecordingAgent, listen};
use forward_clients::{Forwarder, in_time};
use futures_util::StreamExt as _;
use genai::adapter::AdapterKind;
use genai::chat::{ChatMessage, ChatRequest, ChatStreamEvent};
use genai::resolver::{AuthData, Endpoint, ServiceTargetResolver};
use genai::{Client, ModelIden, ServiceTarget};
use ollama_rs::Ollama;
use ollama_rs::generation::chat::{ChatMessage as OllamaMessage, request::ChatMessageRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower_agent_status::status::TokenUsage;

const COMPLETION: &str = r#"{"id":"1","object":"chat.completion","model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"three trades"},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}"#;
const CHUNKS: &str = "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"three trades\"}}]}\n\n\
    data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3,\"total_tokens\":15}}\n\n\
    data: [DONE]\n\n";
const OLLAMA: &str = r#"{"model":"llama3.2","created_at":"2026-11-01T00:00:00Z","message":{"role":"assistant","content":"three trades"},"done":true,"done_reason":"stop","total_duration":1,"load_duration":1,"prompt_eval_count":12,"prompt_eval_duration":1,"eval_count":3,"eval_duration":1}"#;
const OLLAMA_PART: &str = r#"{"model":"llama3.2","created_at":"2026-11-01T00:00:00Z","message":{"role":"assistant","content":"three "},"done":false}"#;
const ERROR: &str = r#"{"error":{"message":"no such model","type":"invalid_request_error"}}"#;

fn response(status: &str, content_type: &str, body: &str) -> &'static str {
    let length = body.len();
    let response = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    Box::leak(response.into_boxed_str())
}

/// A forwarder to an agent with one answer.
async fn forwarder(status: &str, content_type: &str, body: &str) -> (RecordingAgent, Forwarder) {
    let agent = RecordingAgent::answering(response(status, content_type, body)).await;
    let forwarder = Forwarder::start(&agent.url()).await;
    (agent, forwarder)
}

/// A forwarder to an agent that begins its answer and does not end it.
async fn forwarder_to_endless(content_type: &'static str, part: &'static str) -> Forwarder {
    let address = listen(move |mut stream| async move {
        let mut request = vec![0; 64 << 10];
        let _ = stream.read(&mut request).await;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n\
             {:x}\r\n{part}\r\n",
            part.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // Until the forwarder leaves.
        while stream.read(&mut request).await.is_ok_and(|bytes| bytes > 0) {}
    })
    .await;
    Forwarder::start(&format!("http://{address}")).await
}

fn genai_client(forwarder: &Forwarder) -> Client {
    let url = format!("{}/v1/", forwarder.url());
    let resolver = move |target: ServiceTarget| -> Result<ServiceTarget, genai::resolver::Error> {
        Ok(ServiceTarget {
            endpoint: Endpoint::from_owned(url.clone()),
            auth: AuthData::from_single("sk"),
            model: ModelIden::new(AdapterKind::OpenAI, target.model.model_name),
        })
    };
    let resolver = ServiceTargetResolver::from_resolver_fn(resolver);
    Client::builder().with_service_target_resolver(resolver).build().unwrap()
}

fn question() -> ChatRequest {
    ChatRequest::new(vec![ChatMessage::user("how many?")])
}

#[tokio::test]
async fn genai_without_a_stream() {
    let (agent, forwarder) = forwarder("200 OK", "application/json", COMPLETION).await;
    let client = genai_client(&forwarder);
    let answer = client.exec_chat("gpt-4o-mini", question(), None).await.unwrap();
    assert_eq!(answer.first_text(), Some("three trades"));
    let ended = forwarder.ended().await;
    assert_eq!((ended.token_usage(), ended.error), (Some(TokenUsage::new(12, 3)), None));
    let request = agent.take().remove(0);
    assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{request}");
}

#[tokio::test]
async fn genai_with_a_stream() {
    let (_agent, forwarder) = forwarder("200 OK", "text/event-stream", CHUNKS).await;
    let client = genai_client(&forwarder);
    let mut stream = client.exec_chat_stream("gpt-4o-mini", question(), None).await.unwrap().stream;
    let mut text = String::new();
    while let Some(event) = in_time(stream.next()).await {
        if let ChatStreamEvent::Chunk(chunk) = event.unwrap() {
            text.push_str(&chunk.content);
        }
    }
    assert_eq!(text, "three trades");
    let ended = forwarder.ended().await;
    assert_eq!((ended.token_usage(), ended.error), (Some(TokenUsage::new(12, 3)), None));
}

#[tokio::test]
async fn genai_with_an_error() {
    let (_agent, forwarder) = forwarder("404 Not Found", "application/json", ERROR).await;
    let client = genai_client(&forwarder);
    let error = client.exec_chat("unknown", question(), None).await.unwrap_err();
    assert!(error.to_string().contains("no such model"), "{error}");
    assert_eq!(forwarder.outcome().await.as_deref(), Some("http_404"));
}

#[tokio::test]
async fn genai_that_leaves() {
    let forwarder =
        forwarder_to_endless("text/event-stream", &CHUNKS[..=CHUNKS.find("\n\n").unwrap() + 1])
            .await;
    let client = genai_client(&forwarder);
    let mut stream = client.exec_chat_stream("gpt-4o-mini", question(), None).await.unwrap().stream;
    while !matches!(in_time(stream.next()).await, Some(Ok(ChatStreamEvent::Chunk(_)))) {}
    drop(stream);
    assert_eq!(forwarder.outcome().await.as_deref(), Some("cancelled"));
}

fn ollama(forwarder: &Forwarder) -> Ollama {
    // It joins its paths to the URL as it is.
    Ollama::try_new(format!("{}/", forwarder.url())).unwrap()
}

fn ollama_question() -> ChatMessageRequest {
    ChatMessageRequest::new("llama3.2".to_owned(), vec![OllamaMessage::user("how many?".into())])
}

#[tokio::test]
async fn ollama_without_a_stream() {
    let (agent, forwarder) = forwarder("200 OK", "application/json", OLLAMA).await;
    let answer = ollama(&forwarder).send_chat_messages(ollama_question()).await.unwrap();
    assert_eq!(answer.message.content, "three trades");
    let ended = forwarder.ended().await;
    assert_eq!((ended.token_usage(), ended.error), (Some(TokenUsage::new(12, 3)), None));
    assert!(agent.take()[0].starts_with("POST /api/chat HTTP/1.1\r\n"));
}

#[tokio::test]
async fn ollama_with_a_stream() {
    let lines = format!("{OLLAMA_PART}\n{OLLAMA}\n");
    let (_agent, forwarder) = forwarder("200 OK", "application/x-ndjson", &lines).await;
    let mut stream = ollama(&forwarder).send_chat_messages_stream(ollama_question()).await.unwrap();
    let mut text = String::new();
    while let Some(part) = in_time(stream.next()).await {
        text.push_str(&part.unwrap().message.content);
    }
    assert_eq!(text, "three three trades");
    let ended = forwarder.ended().await;
    assert_eq!((ended.token_usage(), ended.error), (Some(TokenUsage::new(12, 3)), None));
}

#[tokio::test]
async fn ollama_that_leaves() {
    let line = Box::leak(format!("{OLLAMA_PART}\n").into_boxed_str());
    let forwarder = forwarder_to_endless("application/x-ndjson", line).await;
    let mut stream = ollama(&forwarder).send_chat_messages_stream(ollama_question()).await.unwrap();
    assert!(in_time(stream.next()).await.unwrap().is_ok());
    drop(stream);
    assert_eq!(forwarder.outcome().await.as_deref(), Some("cancelled"));
}
