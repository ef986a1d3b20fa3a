//! Faults of real connections, through the SDK's own HTTP client.

use std::net::SocketAddr;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower_agent_status::status::Precondition;
use tower_agent_status::store::{DynamoDbStore, StatusStore, StoreError, StoreErrorKind};

use crate::contract::first;

fn store(address: SocketAddr) -> DynamoDbStore {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("eu-west-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(format!("http://{address}"))
        .retry_config(RetryConfig::disabled());
    DynamoDbStore::new(Client::from_conf(config.build()), "status")
}

/// Reads one request and returns the name of its operation; `None` at the end.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let header = |name| {
            head.lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|value| value.trim().to_owned())
        };
        let length: usize = header("content-length:").unwrap().parse().unwrap();
        if body.len() >= length {
            let target = header("x-amz-target:").unwrap();
            return Some(target.rsplit('.').next().unwrap().to_owned());
        }
    }
}

async fn answer(stream: &mut TcpStream, body: &str) {
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
}

/// A table that can be described, and whose server responds to a write like this and then
/// closes the connection.
async fn written_to(instead_of_an_answer: &'static str) -> StoreError {
    const TABLE: &str = r#"{"Table":{"TableStatus":"ACTIVE","KeySchema":[{"AttributeName":"sessionId","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"sessionId","AttributeType":"S"}]}}"#;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let store = store(listener.local_addr().unwrap());
    let server = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            while let Some(operation) = request(&mut stream).await {
                match operation.as_str() {
                    "describetable" => answer(&mut stream, TABLE).await,
                    "describetimetolive" => answer(&mut stream, "{}").await,
                    _ => {
                        stream.write_all(instead_of_an_answer.as_bytes()).await.unwrap();
                        return;
                    }
                }
            }
        }
    };
    let change = first("s");
    let (outcome, ()) = tokio::join!(store.write(&change, Precondition::Absent), server);
    outcome.unwrap_err()
}

#[tokio::test]
async fn a_write_over_a_connection_that_breaks_off_is_ambiguous() {
    let broken = [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{",
        "what is this?\r\n\r\n",
    ];
    for broken in broken {
        let error = written_to(broken).await;
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{broken:?}: {error}");
        assert!(error.may_have_been_applied(), "{broken:?}: {error}");
        assert!(error.to_string().contains("`status`"), "{broken:?}: {error}");
    }
}

#[tokio::test]
async fn a_write_over_a_refused_connection_is_not_ambiguous() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let store = store(address);
    // Without permission to describe the table, the write is the first to be refused.
    let error = store.write(&first("s"), Precondition::Absent).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(!error.may_have_been_applied());
    assert!(error.to_string().to_lowercase().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_write_to_a_server_that_is_gone_is_not_ambiguous() {
    const DENIED: &str = r#"{"__type":"AccessDeniedException","message":"no"}"#;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let store = store(listener.local_addr().unwrap());
    let server = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await.unwrap();
        let length = DENIED.len();
        let answer = format!(
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{DENIED}"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        // Both the connection and the listener end here.
    };
    let (discovered, ()) = tokio::join!(store.discover(), server);
    discovered.unwrap();
    let error = store.write(&first("s"), Precondition::Absent).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(!error.may_have_been_applied(), "{error}");
}
