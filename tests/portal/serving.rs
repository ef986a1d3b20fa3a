//! The portal's own server, and access control.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tower_agent_status::portal::{Portal, ServeError};
use tower_agent_status::store::MemoryStore;

use crate::events::Events;
use crate::support::{Store, ask, get, portal, processing, whole};

pub(crate) const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

#[tokio::test]
async fn every_response_has_security_headers() {
    let store = Store::default();
    let router = portal(store).token("secret").router();
    for (path, status) in [
        ("/", StatusCode::OK),
        ("/api/workflow/s/status", StatusCode::UNAUTHORIZED),
        ("/api/workflow/recent?limit=0", StatusCode::UNAUTHORIZED),
    ] {
        let (found, headers, _) = whole(&router, path).await;
        assert_eq!(found, status, "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
    }
}

#[tokio::test]
async fn a_token_opens_every_route_and_nothing_else_does() {
    let store = Store::default();
    let router = portal(store.clone()).token("s3cret").router();
    let paths = [
        "/api/workflow/s/status",
        "/api/workflow/recent",
        "/api/workflow/metrics",
        "/api/workflow/s/events",
    ];
    let given = [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer "),
        Some("Bearer s3cre"),
        Some("Bearer s3crets"),
        // Another scheme, of the same length.
        Some("Digest s3cret"),
        Some("Bearer-s3cret"),
        Some("Bearer S3CRET"),
        Some("Bearer S3cret"),
        Some("Bearer s3creT"),
        Some("Basic s3cret"),
        Some("s3cret"),
    ];
    for path in paths {
        let ask = async |authorization: Option<&str>| {
            let mut request = Request::get(path);
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            ask(&router, request.body(Body::empty()).unwrap()).await
        };
        for given in given {
            let refused = ask(given).await;
            assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{path} {given:?}");
            assert_eq!(refused.headers()["www-authenticate"], "Bearer");
        }
        for given in ["Bearer s3cret", "bearer s3cret", "Bearer  s3cret "] {
            assert_eq!(ask(Some(given)).await.status(), StatusCode::OK, "{path} {given:?}");
        }
    }
    // Rejected requests do not reach the store.
    assert_eq!(store.reads().gets, 3);
    // The page has no data, and prompts for the token.
    assert_eq!(whole(&router, "/").await.0, StatusCode::OK);
    let (_, _, body) = whole(&router, paths[0]).await;
    assert!(!body.contains("s3cret") && body.starts_with(r#"{"detail":"#), "{body}");
}

#[tokio::test]
async fn other_addresses_need_a_token() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let address = address.parse().unwrap();
        let error = portal(Store::default()).bind(address).await.unwrap_err();
        assert!(matches!(error, ServeError::NoToken(found) if found == address), "{error}");
        let text = error.to_string();
        assert!(text.contains(&address.to_string()) && text.contains("token"), "{text}");
    }
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let server = portal(Store::default()).token("secret").bind(everywhere).await.unwrap();
    assert_ne!(server.local_addr().port(), 0);
    for token in ["", " ", "a b", "a\n", "é", &"x".repeat(1_025)] {
        let error = portal(Store::default()).token(token).bind(LOOPBACK).await.unwrap_err();
        assert!(matches!(error, ServeError::UnusableToken), "{token:?}: {error}");
        // A mounted router accepts nobody.
        let router = portal(Store::default()).token(token).router();
        let mut request = get("/api/workflow/recent");
        request.headers_mut().insert("authorization", "Bearer ".parse().unwrap());
        assert_eq!(ask(&router, request).await.status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_token_is_not_shown() {
    let portal = Portal::new(MemoryStore::new()).token("s3cret");
    let shown = format!("{portal:?}");
    assert!(shown.contains("has_token: true") && !shown.contains("s3cret"), "{shown}");
    let server = format!("{:?}", portal.bind(LOOPBACK).await.unwrap());
    assert!(!server.contains("s3cret"), "{server}");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let server = portal(Store::default()).bind(LOOPBACK).await.unwrap();
    let error = portal(Store::default()).bind(server.local_addr()).await.unwrap_err();
    assert!(error.to_string().contains(&server.local_addr().to_string()), "{error}");
}

/// Sends raw bytes, and reads until the server closes the connection.
async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn without_a_token_foreign_hosts_are_rejected() {
    let open = portal(Store::default()).bind(LOOPBACK).await.unwrap();
    let closed = portal(Store::default()).token("secret").bind(LOOPBACK).await.unwrap();
    let (open_at, closed_at) = (open.local_addr(), closed.local_addr());
    tokio::spawn(open.serve());
    tokio::spawn(closed.serve());
    let status = async |address, host: &str| {
        let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        raw(address, request.as_bytes()).await.split(' ').nth(1).unwrap().to_owned()
    };
    for host in ["127.0.0.1", "localhost:8080", "[::1]:1", "status.localhost"] {
        assert_eq!(status(open_at, host).await, "200", "{host}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example:80", "192.0.2.1"] {
        assert_eq!(status(open_at, host).await, "421", "{host}");
        assert_eq!(status(closed_at, host).await, "200", "{host}");
    }
    // As they come over a socket; a table of the rules is beside the code.
    for (request, expected) in [
        (&b"GET / HTTP/1.1\r\nhost: \xff\r\nconnection: close\r\n\r\n"[..], "421"),
        (b"GET / HTTP/1.1\r\nhost: user@localhost\r\nconnection: close\r\n\r\n", "421"),
        (
            b"GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
            "421",
        ),
        (
            b"GET / HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
            "400",
        ),
        (b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
        (b"GET / HTTP/1.0\r\n\r\n", "200"),
    ] {
        let response = raw(open_at, request).await;
        let text = String::from_utf8_lossy(request);
        assert_eq!(response.split(' ').nth(1), Some(expected), "{text}: {response}");
    }
}

#[tokio::test]
async fn it_serves_until_shutdown() {
    let store = Store::default();
    store.put("s", &processing(1)).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let server = portal(store).with_graceful_shutdown(async { drop(stopped.await) });
    let server = server.bind(LOOPBACK).await.unwrap();
    let (address, url) = (server.local_addr(), server.url());
    assert_eq!(url, format!("http://{address}/"));
    let serving = tokio::spawn(server.serve());

    let client = reqwest::Client::new();
    let page = client.get(&url).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(client.post(&url).send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    let mut events = client.get(format!("{url}api/workflow/s/events")).send().await.unwrap();
    let mut received = String::new();
    while !received.contains("data: ") {
        let piece = events.chunk().await.unwrap().unwrap();
        received.push_str(std::str::from_utf8(&piece).unwrap());
    }
    drop(stop);
    // The stream ends cleanly, and then the server.
    while let Some(piece) = events.chunk().await.unwrap() {
        received.push_str(std::str::from_utf8(&piece).unwrap());
    }
    assert!(received.ends_with("\n\n"), "{received}");
    serving.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_block_shutdown() {
    let store = Store::default();
    let mut item = processing(1);
    // More than the socket buffers hold.
    for n in 0..200 {
        item[format!("attribute{n}")] = "x".repeat(50_000).into();
    }
    store.put("s", &item).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let server = portal(store).with_graceful_shutdown(async { drop(stopped.await) });
    let server = server.bind(LOOPBACK).await.unwrap();
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let serving = tokio::spawn(server.serve());
    let request = "GET /api/workflow/s/events HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_u8().await.unwrap();
    drop(stop);
    let end = tokio::time::timeout(Duration::from_secs(60), serving).await;
    end.expect("the server waits forever").unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_after_shutdown_ends_at_once() {
    let store = Store::default();
    store.put("s", &processing(1)).await;
    let router = portal(store).with_graceful_shutdown(std::future::ready(())).router();
    let mut events = Events::of(&router, "s").await;
    while events.next().await != crate::events::Piece::End {}
}
