//! Who may call: the token, the host, and no web page. And the routes for orchestrators.

use std::time::Duration;

use forward_clients::agent::RecordingAgent;
use forward_clients::raw::{exchange, status};
use forward_clients::{AGENT, ANY_PORT, Forwarder, SESSION, until};
use serde_json::{Value as Json, json};
use tower_agent_status::forward::{BindError, Forward, InvalidUpstream};
use tower_agent_status::status::OverallStatus;
use tower_agent_status::store::{MemoryStore, StatusReader as _};
use tower_agent_status::{SessionId, StatusTracker};

const TOKEN: &str = "hunter2/hunter2";

async fn guarded() -> (RecordingAgent, Forwarder) {
    let agent = RecordingAgent::start().await;
    let forwarder = Forwarder::start_with(&agent.url(), |forward| {
        forward.token(TOKEN).allow_host("Forwarder.internal")
    })
    .await;
    (agent, forwarder)
}

async fn get(forwarder: &Forwarder, path: &str, headers: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
    exchange(forwarder.address, request).await
}

#[tokio::test]
async fn a_token_is_in_the_header_or_in_the_path_and_is_not_passed_on() {
    let (agent, forwarder) = guarded().await;
    let header = |token: &str| format!("host: localhost\r\nX-Agent-Status-Token: {token}\r\n");
    let none = "host: localhost\r\n".to_owned();
    for (path, headers, expected) in [
        ("/pdfAdapter/x", header(TOKEN), 200),
        ("/hunter2%2Fhunter2/pdfAdapter/x", none.clone(), 200),
        ("/hunter2%2fhunter2/pdfAdapter/~s/x", none.clone(), 200),
        ("/pdfAdapter/x", none.clone(), 401),
        ("/", none.clone(), 401),
        ("/unknown", none.clone(), 401),
        ("/hunter2/pdfAdapter/x", none.clone(), 401),
        ("/hunter2%252Fhunter2/pdfAdapter/x", none.clone(), 401),
        ("/pdfAdapter/x", header("hunter3"), 401),
        ("/pdfAdapter/x", header(""), 401),
        ("/pdfAdapter/x", format!("{}x-agent-status-token: {TOKEN}\r\n", header(TOKEN)), 401),
        // A wrong header is not made good by the path.
        ("/hunter2%2Fhunter2/pdfAdapter/x", header("hunter3"), 401),
        ("/-/workflows/s", none.clone(), 401),
        ("/-/health", none, 200),
    ] {
        let response = get(&forwarder, path, &headers).await;
        assert_eq!(status(&response), expected, "{path} {headers}");
        assert!(!response.contains("hunter"), "{response}");
    }
    for request in agent.take() {
        assert!(request.starts_with("GET /x ") && !request.contains("hunter"), "{request}");
    }
}

#[tokio::test]
async fn only_known_hosts_may_be_named() {
    let (_agent, guarded) = guarded().await;
    let agent = RecordingAgent::start().await;
    let open = Forwarder::start(&agent.url()).await;
    for (host, with_token, without) in [
        ("localhost", 200, 200),
        ("127.0.0.1:1", 200, 200),
        ("[::1]", 200, 200),
        ("forwarder.internal:8090", 200, 421),
        ("10.0.0.1", 200, 421),
        ("example.com", 421, 421),
        ("x.forwarder.internal", 421, 421),
        ("", 421, 421),
    ] {
        let headers = format!("host: {host}\r\nx-agent-status-token: {TOKEN}\r\n");
        assert_eq!(status(&get(&guarded, "/pdfAdapter/x", &headers).await), with_token, "{host}");
        assert_eq!(status(&get(&open, "/pdfAdapter/x", &headers).await), without, "{host}");
    }
    let twice = "host: localhost\r\nhost: localhost\r\n";
    assert_eq!(status(&get(&open, "/pdfAdapter/x", twice).await), 400);
    assert_eq!(status(&get(&open, "/pdfAdapter/x", "").await), 400);
}

#[tokio::test]
async fn a_web_page_is_no_client_on_any_route() {
    let (agent, forwarder) = guarded().await;
    for header in [
        "origin: http://localhost",
        "origin: null",
        "origin: ",
        "sec-fetch-site: cross-site",
        "sec-fetch-site: same-site",
        "sec-fetch-site: same-origin",
    ] {
        let headers = format!("host: localhost\r\nx-agent-status-token: {TOKEN}\r\n{header}\r\n");
        for path in ["/pdfAdapter/x", "/-/workflows/s", "/-/health", "/"] {
            assert_eq!(status(&get(&forwarder, path, &headers).await), 403, "{path} {header}");
        }
    }
    assert!(agent.take().is_empty());
    let typed =
        format!("host: localhost\r\nx-agent-status-token: {TOKEN}\r\nsec-fetch-site: none\r\n");
    assert_eq!(status(&get(&forwarder, "/pdfAdapter/x", &typed).await), 200);
}

#[tokio::test]
async fn what_cannot_be_bound_is_an_error_with_a_remedy() {
    let tracker = StatusTracker::builder(MemoryStore::new()).start().unwrap();
    let forward = || Forward::new(&tracker).agent(AGENT, "http://agent.example");
    let error = Forward::new(&tracker).bind(ANY_PORT).await.unwrap_err();
    assert!(matches!(error, BindError::NoAgents));
    let anywhere = ([0, 0, 0, 0], 0).into();
    assert!(matches!(forward().bind(anywhere).await.unwrap_err(), BindError::NoToken(_)));
    for token in ["", "a b", "ü", &"x".repeat(1025)] {
        let error = forward().token(token).bind(ANY_PORT).await.unwrap_err();
        assert!(matches!(error, BindError::UnusableToken), "{token}");
    }
    for name in ["-", ".", ".."] {
        let error = forward().agent(name, "http://agent.example").bind(ANY_PORT).await.unwrap_err();
        assert!(matches!(error, BindError::ReservedName(_)), "{name}");
    }
    for name in ["", "sessionId", "a\nb"] {
        let error = forward().agent(name, "http://agent.example").bind(ANY_PORT).await.unwrap_err();
        assert!(matches!(error, BindError::Agent(_)), "{name}");
    }
    let error = forward().agent(AGENT, "http://b.example").bind(ANY_PORT).await.unwrap_err();
    assert_eq!(error.to_string(), "the agent `pdfAdapter` was added twice; rename or remove one");
    let error = forward().agent("b", "https://u:p@b.example").bind(ANY_PORT).await.unwrap_err();
    assert!(matches!(error, BindError::Upstream { error: InvalidUpstream::UserInfo, .. }));
    let taken = std::net::TcpListener::bind(ANY_PORT).unwrap();
    let error = forward().bind(taken.local_addr().unwrap()).await.unwrap_err();
    assert!(matches!(error, BindError::Listen { .. }));
    let _bound = forward().token("x").bind(anywhere).await.unwrap();
}

/// A request to the routes for orchestrators: its status, and its body.
async fn tell(forwarder: &Forwarder, line: &str, headers: &str, body: &str) -> (u16, Json) {
    let request = format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\nx-agent-status-token: {TOKEN}\r\n{headers}\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let response = exchange(forwarder.address, request).await;
    let body = response.split_once("\r\n\r\n").unwrap().1;
    (status(&response), serde_json::from_str(body).unwrap_or_else(|_| panic!("{response}")))
}

const IS_JSON: &str = "content-type: application/json; charset=utf-8\r\n";

#[tokio::test]
async fn an_orchestrator_says_when_it_begins_and_ends() {
    let (_agent, forwarder) = guarded().await;
    let status = async |session: &str| {
        forwarder.tracker.flush().await.unwrap();
        forwarder.store.status(session).unwrap()
    };
    let body = r#"{"correlationId":"corr_1","attributes":{"documentId":"FAB_1","pages":12,"tags":["a",{"b":-1.5}]}}"#;
    let (code, told) = tell(&forwarder, "PUT /-/workflows/s%2F1", IS_JSON, body).await;
    assert_eq!((code, told), (201, json!({"sessionId": "s/1", "overallStatus": "initializing"})));
    assert_eq!(status("s/1").await.correlation_id.as_deref(), Some("corr_1"));
    let body = r#"{"attributes":{"documentId":"FAB_2"}}"#;
    assert_eq!(tell(&forwarder, "PUT /-/workflows/s%2F1", IS_JSON, body).await.0, 200);
    assert_eq!(status("s/1").await.attributes["documentId"].as_str(), Some("FAB_2"));
    let item = forwarder.store.get(&SessionId::new("s/1").unwrap()).await.unwrap().unwrap();
    let item = serde_json::to_value(item).unwrap();
    assert_eq!(item["pages"], json!(12));
    assert_eq!(item["tags"], json!(["a", {"b": -1.5}]));
    let (code, told) = tell(&forwarder, "POST /-/workflows/s%2F1/complete", IS_JSON, "").await;
    assert_eq!((code, &told["overallStatus"]), (200, &json!("completed")));
    // It has finished, and is run again.
    let again = r#"{"newRun": true}"#;
    assert_eq!(tell(&forwarder, "PUT /-/workflows/s%2F1", IS_JSON, again).await.0, 201);
    let body = r#"{"error": "no trades: see https://x.example/?key=hunter2"}"#;
    let (code, told) = tell(&forwarder, "POST /-/workflows/s%2F1/fail", IS_JSON, body).await;
    assert_eq!((code, &told["overallStatus"]), (200, &json!("failed")));
    let error = status("s/1").await.error.unwrap().to_string();
    assert!(error.starts_with("no trades") && !error.contains("hunter2"), "{error}");

    // A session that is known from its calls, and one that is not.
    get(
        &forwarder,
        "/pdfAdapter/~called/x",
        &format!("host: localhost\r\nx-agent-status-token: {TOKEN}\r\n"),
    )
    .await;
    assert_eq!(tell(&forwarder, "POST /-/workflows/called/complete", IS_JSON, "{}").await.0, 200);
    assert_eq!(status("called").await.overall_status, OverallStatus::Completed);
    assert_eq!(tell(&forwarder, "POST /-/workflows/unknown/complete", IS_JSON, "{}").await.0, 404);
}

#[tokio::test]
async fn what_an_orchestrator_may_not_say_is_refused() {
    let (_agent, forwarder) = guarded().await;
    let long = "x".repeat(257);
    let large = format!(r#"{{"attributes":{{"a":"{}"}}}}"#, "x".repeat(5_000));
    let huge = format!(r#"{{"attributes":{{"a":"{}"}}}}"#, "x".repeat(300_000));
    for (line, headers, body, expected) in [
        ("PUT /-/workflows/s", "", "{}", 415),
        ("PUT /-/workflows/s", "content-type: text/plain\r\n", "{}", 415),
        ("POST /-/workflows/s/complete", "", "", 415),
        ("PUT /-/workflows/s", IS_JSON, "[]", 400),
        ("PUT /-/workflows/s", IS_JSON, "{", 400),
        ("PUT /-/workflows/s", IS_JSON, r#"{"correlation_id": "x"}"#, 400),
        ("PUT /-/workflows/s", IS_JSON, r#"{"correlationId": 1}"#, 400),
        ("PUT /-/workflows/s", IS_JSON, r#"{"attributes": []}"#, 400),
        ("PUT /-/workflows/s", IS_JSON, r#"{"attributes": {"a": true}}"#, 400),
        ("PUT /-/workflows/s", IS_JSON, r#"{"attributes": {"sessionId": "x"}}"#, 400),
        ("PUT /-/workflows/s", IS_JSON, &large, 400),
        ("PUT /-/workflows/s", IS_JSON, &huge, 413),
        ("PUT /-/workflows/s", IS_JSON, r#"{"newRun": 1}"#, 400),
        ("POST /-/workflows/s/fail", IS_JSON, "{}", 400),
        ("POST /-/workflows/s/complete", IS_JSON, r#"{"x": 1}"#, 400),
        ("POST /-/workflows/s", IS_JSON, "{}", 405),
        ("GET /-/workflows/s", IS_JSON, "", 405),
        ("PUT /-/workflows/s/complete", IS_JSON, "{}", 405),
        ("POST /-/workflows/s/other", IS_JSON, "{}", 404),
        ("POST /-/workflows/s/complete/", IS_JSON, "{}", 404),
        ("PUT /-/workflows/", IS_JSON, "{}", 400),
        ("PUT /-/workflows/%0a", IS_JSON, "{}", 400),
        (&format!("PUT /-/workflows/{long}"), IS_JSON, "{}", 400),
        ("PUT /-/x", IS_JSON, "{}", 404),
    ] {
        let (code, told) = tell(&forwarder, line, headers, body).await;
        assert_eq!(code, expected, "{line} {headers} {:.50}: {told}", body);
        assert!(told["error"]["message"].is_string());
    }
    assert!(forwarder.tracker.status("s").is_none());
    // Without a token there is no such route.
    let agent = RecordingAgent::start().await;
    let open = Forwarder::start(&agent.url()).await;
    let (code, told) = tell(&open, "PUT /-/workflows/s", IS_JSON, "{}").await;
    assert_eq!(code, 403, "{told}");
    assert!(open.tracker.status("s").is_none());
}

#[tokio::test]
async fn a_workflow_without_calls_fails_once_its_orchestrator_is_gone() {
    let agent = RecordingAgent::start().await;
    let forwarder = Forwarder::start_with(&agent.url(), |forward| {
        forward.token(TOKEN).workflow_timeout(Duration::from_secs(60))
    })
    .await;
    let put = format!("PUT /-/workflows/{SESSION}");
    assert_eq!(tell(&forwarder, &put, IS_JSON, "{}").await.0, 201);
    assert_eq!(
        forwarder.tracker.status(SESSION).unwrap().overall_status,
        OverallStatus::Initializing
    );
    tokio::time::pause();
    let since = tokio::time::Instant::now();
    let status = until(|| {
        let status = forwarder.store.status(SESSION)?;
        status.overall_status.is_finished().then_some(status)
    })
    .await;
    assert_eq!(status.overall_status, OverallStatus::Failed);
    let error = status.error.unwrap().to_string();
    assert_eq!(error, "no call for 60 s, and the workflow was neither completed nor failed");
    let took = since.elapsed();
    assert!((Duration::from_secs(60)..Duration::from_secs(70)).contains(&took), "{took:?}");
}
