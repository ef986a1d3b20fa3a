//! Requests that are made to be read in two ways: they are refused, or the agent receives one request
//! that can be read in one way alone. Nothing reaches an address that was not named.

use forward_clients::agent::RecordingAgent;
use forward_clients::raw::{Raw, exchange, status};
use forward_clients::{AGENT, Forwarder, SESSION};

/// What the forwarder makes of some bytes: its status, and the requests that reach the agent.
async fn result(bytes: &[u8]) -> (u16, Vec<String>) {
    let agent = RecordingAgent::start().await;
    let forwarder = Forwarder::start(&agent.url()).await;
    let response = exchange(forwarder.address, bytes).await;
    let status = if response.is_empty() { 0 } else { status(&response) };
    (status, agent.take())
}

#[track_caller]
fn assert_one(name: &str, requests: &[String], expected: &str) {
    assert_eq!(requests.len(), 1, "{name}: {requests:?}");
    let lower = requests[0].to_lowercase();
    assert!(requests[0].starts_with(expected), "{name}: {requests:?}");
    let lengths = lower.matches("content-length:").count();
    let chunked = lower.matches("transfer-encoding:").count();
    assert!(lengths + chunked <= 1, "{name}: {requests:?}");
    assert_eq!(lower.matches("\r\nhost:").count(), 1, "{name}: {requests:?}");
    let head = requests[0].split("\r\n\r\n").next().unwrap();
    assert!(!head.replace("\r\n", "").contains(['\r', '\n']), "{name}: {requests:?}");
}

#[tokio::test]
async fn targets_that_name_another_host_are_refused() {
    let victim = RecordingAgent::start().await;
    for (line, host, expected) in [
        ("GET http://VICTIM/pdfAdapter/x", "VICTIM", 400),
        ("GET http://VICTIM/pdfAdapter/x", "localhost", 400),
        ("GET http://localhost/pdfAdapter/x", "localhost", 400),
        ("CONNECT VICTIM", "VICTIM", 405),
        ("CONNECT localhost:80", "localhost", 405),
        ("GET /pdfAdapter/x", "VICTIM.example", 421),
        ("GET /pdfAdapter/x", "localhost@example.com", 421),
        ("GET //VICTIM/x", "localhost", 404),
        ("GET /http://VICTIM/x", "localhost", 404),
        ("GET /http:%2F%2FVICTIM/x", "localhost", 404),
        ("OPTIONS *", "localhost", 400),
        ("GET /", "localhost", 404),
        ("GET /unknown/x", "localhost", 404),
        ("GET /pdfadapter/x", "localhost", 404),
        ("GET /pdfAdapter%2Fx", "localhost", 404),
        ("GET /%70dfAdapter%00/x", "localhost", 404),
        ("GET /%ff/x", "localhost", 400),
        ("GET /pdfAdapter/../x", "localhost", 400),
        ("GET /pdfAdapter/~s/../../x", "localhost", 400),
        ("GET /pdfAdapter/%2e%2E/x", "localhost", 400),
        ("GET /pdfAdapter/a%2f..%2fx", "localhost", 400),
        ("GET /pdfAdapter/a%5c..%5cx", "localhost", 400),
        ("GET /pdfAdapter/..;/x", "localhost", 400),
        ("GET /./pdfAdapter/x", "localhost", 404),
    ] {
        let victim_at = victim.address.to_string();
        let line = line.replace("VICTIM", &victim_at);
        let host = host.replace("VICTIM", &victim_at);
        let request = format!("{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let (status, requests) = result(request.as_bytes()).await;
        assert_eq!((status, requests), (expected, vec![]), "{line} {host}");
    }
    assert_eq!(victim.connections(), 0);
}

#[tokio::test]
async fn paths_are_passed_on_as_they_are() {
    for (path, expected) in [
        ("//victim.example/x", "//victim.example/x"),
        ("/a%2Fb", "/a%2Fb"),
        ("/a%252e%252e", "/a%252e%252e"),
        ("/a%0d%0ahost:%20x", "/a%0d%0ahost:%20x"),
        ("/x?y=http://victim.example/../", "/x?y=http://victim.example/../"),
        ("/x?a=b?c=%zz", "/x?a=b?c=%zz"),
        ("/;a=b", "/;a=b"),
    ] {
        let get =
            format!("GET /{AGENT}{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let (status, requests) = result(get.as_bytes()).await;
        assert_eq!(status, 200, "{path}");
        assert_one(path, &requests, &format!("GET {expected} HTTP/1.1\r\n"));
    }
}

#[tokio::test]
async fn bodies_have_one_end() {
    let post = |rest: &str| {
        format!("POST /pdfAdapter/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{rest}")
    };
    // Refused, or passed on as one request.
    for (name, rest, refused, body) in [
        (
            "length, then chunked",
            "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            None,
            Some("abc"),
        ),
        (
            "chunked, then length",
            "transfer-encoding: chunked\r\ncontent-length: 30\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            None,
            Some("abc"),
        ),
        (
            "chunked, and a hidden request",
            "content-length: 60\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /pdfAdapter/hidden HTTP/1.1\r\nhost: localhost\r\n\r\n",
            None,
            None,
        ),
        ("two lengths", "content-length: 3\r\ncontent-length: 4\r\n\r\nabcd", Some(400), None),
        ("a list of lengths", "content-length: 3, 4\r\n\r\nabcd", Some(400), None),
        ("a length with a sign", "content-length: +3\r\n\r\nabc", Some(400), None),
        ("a negative length", "content-length: -3\r\n\r\nabc", Some(400), None),
        (
            "a length too large",
            "content-length: 99999999999999999999999\r\n\r\nabc",
            Some(400),
            None,
        ),
        ("another coding", "transfer-encoding: gzip\r\n\r\nabc", Some(400), None),
        (
            "chunked is not last",
            "transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
            Some(400),
            None,
        ),
        (
            "chunk extensions",
            "transfer-encoding: chunked\r\n\r\n3;a=\"b;c\"\r\nabc\r\n0;d\r\n\r\n",
            None,
            Some("abc"),
        ),
        ("a space before the colon", "content-length : 3\r\n\r\nabc", Some(400), None),
        ("an obsolete fold", "x: a\r\n b\r\n\r\n", Some(400), None),
        ("a null in a header", "x: a\0b\r\n\r\n", Some(400), None),
        (
            "length named by connection",
            "connection: content-length\r\ncontent-length: 3\r\n\r\nabc",
            None,
            Some("abc"),
        ),
    ] {
        let (status, requests) = result(post(rest).as_bytes()).await;
        match refused {
            Some(refused) => assert_eq!((status, requests), (refused, vec![]), "{name}"),
            None => {
                assert_one(name, &requests, "POST /x HTTP/1.1\r\n");
                assert!(!requests[0].contains("hidden"), "{name}: {requests:?}");
                assert!(requests[0].contains(body.unwrap_or("POST")), "{name}: {requests:?}");
                assert!(!requests[0].contains(";a"), "{name}: {requests:?}");
            }
        }
    }
    // Chunks that do not add up: nothing whole reaches the agent.
    for (name, chunks) in [
        ("no number", "x\r\nabc\r\n0\r\n\r\n"),
        ("a sign", "+3\r\nabc\r\n0\r\n\r\n"),
        ("a number too large", "fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
        ("a chunk too short", "2\r\nabc\r\n0\r\n\r\n"),
        ("cut off", "5\r\nab"),
    ] {
        let request = post(&format!("transfer-encoding: chunked\r\n\r\n{chunks}"));
        let agent = RecordingAgent::start().await;
        let forwarder = Forwarder::start(&agent.url()).await;
        let mut raw = Raw::connect(forwarder.address).await;
        raw.send(request).await;
        tokio::io::AsyncWriteExt::shutdown(&mut raw.stream).await.unwrap();
        let response = raw.rest().await;
        assert!(!response.contains(" 200 "), "{name}: {response}");
        let whole: Vec<_> =
            agent.take().into_iter().filter(|request| !request.starts_with("incomplete")).collect();
        assert!(whole.is_empty(), "{name}: {whole:?}");
    }
}

#[tokio::test]
async fn a_bare_line_feed_does_not_reach_the_agent() {
    let request = b"POST /pdfAdapter/x HTTP/1.1\nhost: localhost\nconnection: close\ncontent-length: 3\n\nabc";
    let (status, requests) = result(request).await;
    if status == 200 {
        assert_one("bare LF", &requests, "POST /x HTTP/1.1\r\n");
    } else {
        assert_eq!((status, requests), (400, vec![]));
    }
}

#[tokio::test]
async fn heads_have_a_limit() {
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let large = format!("x: {}\r\n", "a".repeat(70 << 10));
    for (name, headers) in [("many", many), ("large", large)] {
        let get = format!(
            "GET /pdfAdapter/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n"
        );
        let (status, requests) = result(get.as_bytes()).await;
        assert_eq!((status, requests), (431, vec![]), "{name}");
    }
    let long =
        format!("GET /pdfAdapter/{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(70 << 10));
    let (status, requests) = result(long.as_bytes()).await;
    assert!([400, 414, 431].contains(&status) && requests.is_empty(), "{status}");
}

#[tokio::test]
async fn http2_without_tls_is_not_reached_by_an_upgrade() {
    let get = "GET /pdfAdapter/x HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade, http2-settings\r\n\
        upgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n";
    let agent = RecordingAgent::start().await;
    let forwarder = Forwarder::start(&agent.url()).await;
    let mut raw = Raw::connect(forwarder.address).await;
    raw.send(get).await;
    assert_eq!(status(&raw.until("ok").await), 200);
    let request = agent.take().remove(0).to_lowercase();
    assert!(!request.contains("upgrade") && !request.contains("http2-settings"), "{request}");
}

#[tokio::test]
async fn requests_that_follow_each_other_stay_apart() {
    let agent = RecordingAgent::start().await;
    let forwarder = Forwarder::start(&agent.url()).await;
    let one = "POST /pdfAdapter/1 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\nabc";
    let two = "GET /pdfAdapter/2 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let response = exchange(forwarder.address, format!("{one}{two}")).await;
    assert_eq!(response.matches("HTTP/1.1 200 OK").count(), 2, "{response}");
    let requests = agent.take();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].starts_with("POST /1") && requests[0].ends_with("\r\n\r\nabc"));
    assert!(requests[1].starts_with("GET /2"));
}

#[tokio::test]
async fn a_response_with_a_length_and_chunks_is_passed_on_whole() {
    for head in [
        "content-length: 3\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 30",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n");
        let agent = RecordingAgent::answering(answer.leak()).await;
        let forwarder = Forwarder::start(&agent.url()).await;
        let mut raw = Raw::connect(forwarder.address).await;
        let get = format!(
            "GET /{AGENT}/~{SESSION}/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        );
        raw.send(get).await;
        let response = raw.rest().await;
        assert!(response.ends_with("\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n"), "{response}");
        assert!(!response.to_lowercase().contains("content-length"), "{response}");
        assert_eq!(forwarder.outcome().await, None);
    }
}
