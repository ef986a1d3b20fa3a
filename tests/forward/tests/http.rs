//! What passes through the forwarder, and how.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forward_clients::agent::{RecordingAgent, listen};
use forward_clients::raw::{Raw, exchange, status};
use forward_clients::{AGENT, Forwarder, SESSION, in_time, until};
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, mpsc};
use tower_agent_status::forward::Forward;
use tower_agent_status::status::AgentState;

type Frames = mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>;

/// A body that a test sends frame by frame.
fn piped() -> (Frames, BoxBody<Bytes, std::io::Error>) {
    let (sender, mut frames) = mpsc::channel(1);
    let stream = futures_util::stream::poll_fn(move |cx| frames.poll_recv(cx));
    (sender, BodyExt::boxed(StreamBody::new(stream)))
}

fn data(text: &'static str) -> Result<Frame<Bytes>, std::io::Error> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// An agent over HTTP/1.1 and HTTP/2 with this handler.
async fn agent<F, R>(answer: F) -> String
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<BoxBody<Bytes, std::io::Error>>> + Send + 'static,
{
    let address = listen(move |stream| {
        let answer = answer.clone();
        async move {
            let service = service_fn(move |request| {
                let response = answer(request);
                async { Ok::<_, std::convert::Infallible>(response.await) }
            });
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
        }
    })
    .await;
    format!("http://{address}")
}

fn client<B>(version: Version) -> Client<HttpConnector, B>
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let mut builder = Client::builder(TokioExecutor::new());
    builder.http2_only(version == Version::HTTP_2).build(connector)
}

#[tokio::test]
async fn both_directions_stream_at_once_and_trailers_pass() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        // Echoes each frame as it comes.
        let url = agent(|request: Request<Incoming>| async {
            let response = Response::builder().header("trailer", "x-sum");
            response
                .body(BodyExt::boxed(request.into_body().map_err(std::io::Error::other)))
                .unwrap()
        })
        .await;
        let forwarder = Forwarder::start(&url).await;
        let (sender, body) = piped();
        let request = Request::post(forwarder.url())
            .header("te", "trailers")
            .header("trailer", "x-sum")
            .body(body)
            .unwrap();
        let response = in_time(client(version).request(request)).await.unwrap();
        assert_eq!(response.version(), version);
        let mut body = response.into_body();
        for text in ["one", "two", "three"] {
            // Only once the one before has come back.
            sender.send(data(text)).await.unwrap();
            let frame = in_time(body.frame()).await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), text);
            assert_eq!(forwarder.agent().unwrap().state, AgentState::InProgress);
        }
        let trailers =
            http::HeaderMap::from_iter([("x-sum".parse().unwrap(), "3".parse().unwrap())]);
        sender.send(Ok(Frame::trailers(trailers))).await.unwrap();
        drop(sender);
        let frame = in_time(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_trailers().unwrap()["x-sum"], "3");
        assert!(in_time(body.frame()).await.is_none());
        assert_eq!(forwarder.outcome().await, None);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_agent_back() {
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let url = agent(move |_| {
        let count = Arc::clone(&count);
        async move {
            let (sender, body) = piped();
            tokio::spawn(async move {
                let frame = Bytes::from(vec![b'x'; 64 << 10]);
                while sender.send(Ok(Frame::data(frame.clone()))).await.is_ok() {
                    count.fetch_add(frame.len(), std::sync::atomic::Ordering::Relaxed);
                }
            });
            Response::new(body)
        }
    })
    .await;
    let forwarder = Forwarder::start(&url).await;
    let mut raw = Raw::connect(forwarder.address).await;
    raw.send(format!("GET /{AGENT}/~{SESSION}/ HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    raw.until("\r\n\r\n").await;
    // It stands still, with the buffers of two connections full.
    let mut last = usize::MAX;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = sent.load(std::sync::atomic::Ordering::Relaxed);
        assert!(now < 64 << 20, "the agent has sent {now} bytes");
        if std::mem::replace(&mut last, now) == now {
            break;
        }
    }
    drop(raw);
    assert_eq!(forwarder.outcome().await.as_deref(), Some("cancelled"));
}

#[tokio::test]
async fn a_websocket_passes_and_its_agent_is_in_progress_while_it_lasts() {
    let address = listen(|mut stream| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"));
        assert!(head.contains("sec-websocket-key: abc") && head.contains("get /chat?x=1 http/1.1"));
        let accepted = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
            upgrade: websocket\r\nsec-websocket-accept: def\r\n\r\nfirst";
        stream.write_all(accepted.as_bytes()).await.unwrap();
        let mut word = [0; 4];
        while stream.read_exact(&mut word).await.is_ok() {
            stream.write_all(&word).await.unwrap();
        }
    })
    .await;
    let forwarder = Forwarder::start(&format!("http://{address}")).await;
    let mut raw = Raw::connect(forwarder.address).await;
    raw.send(format!(
        "GET /{AGENT}/~{SESSION}/chat?x=1 HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive, Upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-key: abc\r\n\r\n"
    ))
    .await;
    let head = raw.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    for header in ["connection: upgrade", "upgrade: websocket", "sec-websocket-accept: def"] {
        assert!(head.contains(header), "{head}");
    }
    assert_eq!(raw.until("first").await, "first");
    for _ in 0..3 {
        raw.send("ping").await;
        assert_eq!(raw.until("ping").await, "ping");
        assert_eq!(forwarder.agent().unwrap().state, AgentState::InProgress);
    }
    drop(raw);
    assert_eq!(forwarder.outcome().await, None);
}

#[tokio::test]
async fn an_upgrade_that_nobody_asked_for_is_an_error() {
    let agent = RecordingAgent::answering(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    )
    .await;
    let forwarder = Forwarder::start(&agent.url()).await;
    let get = format!("GET /{AGENT}/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert_eq!(status(&exchange(forwarder.address, get).await), 502);
}

#[tokio::test]
async fn a_client_may_wait_for_100_continue() {
    let agent = RecordingAgent::start().await;
    let forwarder = Forwarder::start(&agent.url()).await;
    let mut raw = Raw::connect(forwarder.address).await;
    raw.send(format!(
        "POST /{AGENT}/x HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\
         connection: close\r\n\r\n"
    ))
    .await;
    assert_eq!(raw.until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    raw.send("body").await;
    assert_eq!(status(&raw.rest().await), 200);
    assert!(agent.take()[0].ends_with("\r\n\r\nbody"));
}

#[tokio::test]
async fn other_informational_responses_are_dropped() {
    let agent = RecordingAgent::answering(
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n\
         HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    let forwarder = Forwarder::start(&agent.url()).await;
    let get = format!("GET /{AGENT}/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let response = exchange(forwarder.address, get).await;
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("ok"), "{response}");
    assert!(!response.contains("link"), "{response}");
}

#[tokio::test]
async fn a_redirect_is_passed_on_and_not_followed() {
    let agent = RecordingAgent::answering(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://elsewhere.example/x\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let forwarder = Forwarder::start(&agent.url()).await;
    let get = format!("GET /{AGENT}/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let response = exchange(forwarder.address, get).await;
    assert_eq!(status(&response), 307);
    assert!(response.contains("location: http://elsewhere.example/x\r\n"), "{response}");
    assert_eq!(agent.take().len(), 1);
}

#[tokio::test]
async fn an_agent_that_cannot_be_reached_is_a_502_without_the_query() {
    // Nothing listens on this port any more.
    let gone = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let forwarder = Forwarder::start(&format!("http://{gone}")).await;
    let path = format!("/{AGENT}/~{SESSION}/v1?api-key=hunter2");
    let get = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer hunter3\r\nconnection: close\r\n\r\n"
    );
    let response = exchange(forwarder.address, get).await;
    assert_eq!(status(&response), 502);
    assert!(response.contains("content-type: application/json"), "{response}");
    assert!(response.contains("bad_gateway") && response.contains("refused"), "{response}");
    assert!(response.contains(AGENT) && !response.contains("hunter"), "{response}");
    assert_eq!(forwarder.outcome().await.as_deref(), Some("transport"));
}

#[tokio::test]
async fn an_agent_that_does_not_respond_in_time_is_a_504() {
    let url = agent(|_| std::future::pending()).await;
    let forwarder =
        Forwarder::start_with(&url, |forward| forward.response_timeout(Duration::from_millis(50)))
            .await;
    let get = format!(
        "GET /{AGENT}/~{SESSION}/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    );
    let response = exchange(forwarder.address, get).await;
    assert_eq!(status(&response), 504);
    assert!(response.contains("gateway_timeout"), "{response}");
    assert_eq!(forwarder.outcome().await.as_deref(), Some("timeout"));
}

#[tokio::test]
async fn a_stack_of_ones_own_may_fail_with_anything() {
    let agent = RecordingAgent::start().await;
    let forwarder = Forwarder::build(|tracker| {
        let stack = tower::service_fn(|request: Request<_>| async move {
            let _: Request<tower_agent_status::forward::RequestBody> = request;
            Err::<Response<Empty<Bytes>>, _>("error for url (https://x.example/?key=hunter2)")
        });
        Forward::new(tracker).agent_service(AGENT, agent.url(), stack)
    })
    .await;
    let get = format!("GET /{AGENT}/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let response = exchange(forwarder.address, get).await;
    assert_eq!(status(&response), 502);
    assert!(response.contains("x.example") && !response.contains("hunter2"), "{response}");
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_call() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let (asked, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (ask, drop_) = (Arc::clone(&asked), Arc::clone(&dropped));
        let url = agent(move |_| {
            let (ask, drop_) = (Arc::clone(&ask), Arc::clone(&drop_));
            async move {
                struct OnDrop(Arc<Notify>);
                impl Drop for OnDrop {
                    fn drop(&mut self) {
                        self.0.notify_one();
                    }
                }
                let _guard = OnDrop(drop_);
                ask.notify_one();
                std::future::pending().await
            }
        })
        .await;
        let forwarder = Forwarder::start(&url).await;
        let client = client::<Full<Bytes>>(version);
        let request = Request::post(forwarder.url()).body(Full::from("x")).unwrap();
        tokio::select! {
            _ = client.request(request) => panic!("the agent does not answer"),
            () = asked.notified() => {}
        }
        drop(client);
        assert_eq!(forwarder.outcome().await.as_deref(), Some("cancelled"));
        in_time(dropped.notified()).await;
    }
}

#[tokio::test]
async fn an_agent_that_breaks_off_ends_the_response_without_an_end() {
    let (frames, body) = piped();
    let body = std::sync::Mutex::new(Some(body));
    let body = Arc::new(body);
    let url = agent(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async { Response::new(body) }
    })
    .await;
    let forwarder = Forwarder::start(&url).await;
    let mut raw = Raw::connect(forwarder.address).await;
    raw.send(format!("GET /{AGENT}/~{SESSION}/ HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    frames.send(data("part")).await.unwrap();
    raw.until("part").await;
    frames.send(Err(std::io::Error::other("scripted"))).await.unwrap();
    let rest = raw.rest().await;
    assert!(!rest.contains("0\r\n\r\n"), "{rest:?}");
    assert_eq!(forwarder.outcome().await.as_deref(), Some("transport"));
}

#[tokio::test]
async fn responses_have_the_client_s_version_and_no_header_of_the_connection() {
    let agent = RecordingAgent::answering(
        "HTTP/1.0 200 OK\r\nconnection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=1\r\n\
         proxy-connection: close\r\nx-kept: 1\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    let forwarder = Forwarder::start(&agent.url()).await;
    let mut raw = Raw::connect(forwarder.address).await;
    for _ in 0..2 {
        raw.send(format!("GET /{AGENT}/ HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        let response = raw.until("ok").await;
        assert_eq!(response, "HTTP/1.1 200 OK\r\nx-kept: 1\r\ncontent-length: 2\r\n\r\nok");
    }
    let old = format!("GET /{AGENT}/ HTTP/1.0\r\n\r\n");
    let response = exchange(forwarder.address, old).await;
    assert!(response.contains("200 OK") && response.ends_with("ok"), "{response}");
    assert!(agent.take().iter().all(|request| request.starts_with("GET / HTTP/1.1\r\n")));
}

#[tokio::test]
async fn a_session_is_optional_and_its_header_is_not_passed_on() {
    let agent = RecordingAgent::start().await;
    let forwarder = Forwarder::start(&format!("{}/base/", agent.url())).await;
    for (path, header, expected) in [
        (format!("/{AGENT}/v1/x?y=%20z"), String::new(), "GET /base/v1/x?y=%20z HTTP/1.1\r\n"),
        (
            format!("/{AGENT}"),
            format!("X-Workflow-Session-Id: {SESSION}\r\n"),
            "GET /base HTTP/1.1\r\n",
        ),
        (format!("/{AGENT}/~{SESSION}"), String::new(), "GET /base HTTP/1.1\r\n"),
        (
            format!("/{AGENT}/%7e{SESSION}/a%2Fb//c"),
            String::new(),
            "GET /base/a%2Fb//c HTTP/1.1\r\n",
        ),
    ] {
        let get =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{header}connection: close\r\n\r\n");
        assert_eq!(status(&exchange(forwarder.address, get).await), 200);
        let request = agent.take().remove(0);
        assert!(request.starts_with(expected), "{request}");
        assert!(!request.to_lowercase().contains("session-id"), "{request}");
        assert!(request.contains(&format!("host: {}\r\n", agent.address)), "{request}");
    }
    assert_eq!(forwarder.ended().await.calls, 3);
}

#[tokio::test]
async fn calls_in_flight_may_end_at_the_shutdown() {
    let (frames, body) = piped();
    let body = Arc::new(std::sync::Mutex::new(Some(body)));
    let url = agent(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async { Response::new(body) }
    })
    .await;
    let mut forwarder = Forwarder::start(&url).await;
    let mut raw = Raw::connect(forwarder.address).await;
    raw.send(format!("GET /{AGENT}/~{SESSION}/ HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    frames.send(data("one")).await.unwrap();
    raw.until("one").await;
    forwarder.stop();
    until(|| std::net::TcpStream::connect(forwarder.address).is_err().then_some(())).await;
    frames.send(data("two")).await.unwrap();
    raw.until("two").await;
    drop(frames);
    assert!(raw.rest().await.ends_with("0\r\n\r\n"));
    in_time(&mut forwarder.served).await.unwrap();
    assert_eq!(forwarder.outcome().await, None);
}

#[tokio::test]
async fn calls_that_do_not_end_are_cut_off_at_the_shutdown() {
    let url = agent(|_| std::future::pending()).await;
    let mut forwarder =
        Forwarder::start_with(&url, |forward| forward.shutdown_timeout(Duration::from_millis(50)))
            .await;
    let mut raw = Raw::connect(forwarder.address).await;
    raw.send(format!("GET /{AGENT}/~{SESSION}/ HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    until(|| forwarder.agent()).await;
    forwarder.stop();
    in_time(&mut forwarder.served).await.unwrap();
    assert_eq!(raw.rest().await, "");
    assert_eq!(forwarder.outcome().await.as_deref(), Some("cancelled"));
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let agent = RecordingAgent::start().await;
    let forwarder = Forwarder::start(&agent.url()).await;
    let mut unused = Raw::connect(forwarder.address).await;
    let mut used = Raw::connect(forwarder.address).await;
    used.send(format!("GET /{AGENT}/ HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    used.until("ok").await;
    let mut half = Raw::connect(forwarder.address).await;
    half.send("GET / HTTP/1.1\r\nx: ").await;
    // HTTP/2: the preface, and an empty frame of settings.
    let mut http2 = Raw::connect(forwarder.address).await;
    http2.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    tokio::task::yield_now().await;
    tokio::time::pause();
    let since = tokio::time::Instant::now();
    for raw in [&mut unused, &mut used, &mut half, &mut http2] {
        let end = async { while raw.stream.read_u8().await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(600), end).await.unwrap();
    }
    assert!(since.elapsed() < Duration::from_secs(300), "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_loop_ends() {
    // The address is known only once the forwarder is bound, so two of them call each other.
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let second = port.local_addr().unwrap();
    drop(port);
    let first = Forwarder::start(&format!("http://{second}/{AGENT}")).await;
    let server = Forward::new(&first.tracker)
        .agent(AGENT, format!("http://{}/{AGENT}", first.address))
        .bind(second)
        .await
        .unwrap();
    tokio::spawn(server.serve());
    let get = format!("GET /{AGENT}/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let response = exchange(first.address, get).await;
    assert_eq!(status(&response), StatusCode::LOOP_DETECTED.as_u16());
}
