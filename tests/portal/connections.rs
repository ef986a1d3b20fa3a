//! The limits on the connections of the portal's own server: their number, and how long each may
//! wait.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower_agent_status::portal::Portal;

use crate::serving::LOOPBACK;
use crate::support::{Store, portal, processing};
use crate::warnings::Warnings;

/// A request whose head does not end.
const HALF: &str = "GET / HTTP/1.1\r\nhost: localhost\r\nx: ";

const STREAM: &str = "GET /api/workflow/s/events HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Serves a portal until the end of the test.
pub(crate) async fn serve(portal: Portal<Store>) -> SocketAddr {
    let server = portal.bind(LOOPBACK).await.unwrap();
    let address = server.local_addr();
    tokio::spawn(server.serve());
    address
}

/// Connects, and sends something.
pub(crate) async fn send(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Reads until the server closes the connection, even if it resets it.
pub(crate) async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(600), stream.read_to_end(&mut bytes));
    assert!(read.await.is_ok(), "the connection stays open");
    String::from_utf8(bytes).unwrap()
}

/// Reads up to a text.
pub(crate) async fn until(stream: &mut TcpStream, text: &str) -> String {
    let mut read = String::new();
    let reading = async {
        while !read.contains(text) {
            read.push(char::from(stream.read_u8().await.unwrap()));
        }
    };
    let end = tokio::time::timeout(Duration::from_secs(600), reading).await;
    assert!(end.is_ok(), "{text:?} does not come: {read:?}");
    read
}

/// Requests a path with a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    rest(send(address, &request).await).await
}

#[track_caller]
pub(crate) fn assert_status(response: &str, status: u16) {
    assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {response}");
}

#[tokio::test]
async fn half_sent_requests_make_room_for_others() {
    let warnings = Warnings::watch();
    let address = serve(portal(Store::default()).max_connections(20)).await;
    let mut halves = Vec::new();
    for n in 0..300 {
        halves.push(send(address, HALF).await);
        if n % 50 == 0 {
            assert_status(&get(address, "/api/workflow/recent").await, 200);
        }
    }
    assert_status(&get(address, "/api/workflow/recent").await, 200);
    // Those that have waited longest were closed for later ones, without a response.
    for half in halves.drain(..200) {
        assert_eq!(rest(half).await, "");
    }
    let warnings = warnings.take();
    assert!(
        matches!(&*warnings, [line] if line.contains("max_connections=20")),
        "it is logged once: {warnings:?}"
    );
}

#[tokio::test]
async fn nothing_is_logged_while_there_is_room() {
    let warnings = Warnings::watch();
    let address = serve(portal(Store::default()).max_connections(2)).await;
    let waiting = send(address, HALF).await;
    assert_status(&get(address, "/api/workflow/recent").await, 200);
    assert_eq!(warnings.take(), [""; 0]);
    drop(waiting);
}

#[tokio::test]
async fn a_connection_that_was_used_can_make_room_too() {
    let address = serve(portal(Store::default()).max_connections(1)).await;
    let mut first = send(address, "GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    until(&mut first, "\r\n\r\n").await;
    assert_status(&get(address, "/").await, 200);
    assert_eq!(rest(first).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_head_must_arrive_in_time() {
    let address = serve(portal(Store::default())).await;
    for sent in ["", "G", HALF] {
        let stream = send(address, sent).await;
        let since = Instant::now();
        assert_eq!(rest(stream).await, "");
        assert!(since.elapsed() >= Duration::from_secs(75), "{sent:?}: {:?}", since.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed() {
    let address = serve(portal(Store::default())).await;
    let mut stream = send(address, "GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    until(&mut stream, "\r\n\r\n").await;
    let since = Instant::now();
    assert_eq!(rest(stream).await, "");
    assert!(since.elapsed() >= Duration::from_secs(75), "{:?}", since.elapsed());
}

#[tokio::test]
async fn streams_stay_and_further_connections_are_refused() {
    let store = Store::default();
    store.put("s", &processing(1)).await;
    let portal = portal(store.clone()).max_connections(2).poll_interval(Duration::from_millis(10));
    let address = serve(portal).await;
    let mut streams = [send(address, STREAM).await, send(address, STREAM).await];
    for stream in &mut streams {
        until(stream, "Extracting page 1").await;
    }
    let refused = get(address, "/").await;
    assert_status(&refused, 503);
    assert!(refused.contains("\r\nretry-after: 5\r\n"), "{refused}");
    let detail = r#"{"detail":"the portal has too many connections; try again later"}"#;
    assert!(refused.ends_with(detail), "{refused}");
    // The streams go on.
    store.put("s", &processing(2)).await;
    for stream in &mut streams {
        until(stream, "Extracting page 2").await;
    }
    // And leave room as they end.
    drop(streams);
    for tries in 0.. {
        let response = get(address, "/").await;
        if response.starts_with("HTTP/1.1 200 ") {
            break;
        }
        assert!(tries < 10_000, "{response}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_are_limited_too() {
    // While a task is busy, the clock stands still, and no refusal times out.
    tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    let store = Store::default();
    store.put("s", &processing(1)).await;
    let address = serve(portal(store).max_connections(1)).await;
    let mut watcher = send(address, STREAM).await;
    until(&mut watcher, "data: ").await;
    let mut halves = Vec::new();
    for _ in 0..16 {
        halves.push(send(address, HALF).await);
    }
    assert_eq!(get(address, "/").await, "", "closed without a response");
    drop(halves.pop());
    for tries in 0.. {
        let response = get(address, "/").await;
        if response.starts_with("HTTP/1.1 503 ") {
            break;
        }
        assert!(tries < 10_000, "{response}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_closed() {
    let store = Store::default();
    let mut item = processing(1);
    // More than the socket buffers hold.
    for n in 0..200 {
        item[format!("attribute{n}")] = "x".repeat(50_000).into();
    }
    store.put("s", &item).await;
    let portal = portal(store).max_connections(1).poll_interval(Duration::from_secs(3_600));
    let address = serve(portal).await;
    let mut stalled = send(address, STREAM).await;
    until(&mut stalled, "data: ").await;
    let since = Instant::now();
    assert_status(&get(address, "/").await, 503);
    while !get(address, "/").await.starts_with("HTTP/1.1 200 ") {
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(since.elapsed() < Duration::from_secs(600), "the connection is held");
    }
    assert!(since.elapsed() >= Duration::from_secs(59), "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_large_head_is_rejected() {
    let address = serve(portal(Store::default())).await;
    let with = |bytes: usize| {
        let filler = "x".repeat(bytes);
        format!("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx: {filler}\r\n\r\n")
    };
    assert_status(&rest(send(address, &with(30_000)).await).await, 200);
    // Just as much as is read: what is unread when a connection closes resets it.
    assert_status(&rest(send(address, &with(40_000)[..32 << 10]).await).await, 431);
    let many = "x: y\r\n".repeat(101);
    let many = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{many}\r\n");
    assert_status(&rest(send(address, &many).await).await, 431);
}

#[tokio::test]
async fn http2_is_not_spoken() {
    let address = serve(portal(Store::default())).await;
    // What a client sends first if it knows that a server speaks it.
    let response = rest(send(address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await).await;
    assert!(!response.contains("200"), "{response}");
    let upgrade = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade, http2-settings, close\r\n\
        upgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n";
    assert_status(&rest(send(address, upgrade).await).await, 200);
}
