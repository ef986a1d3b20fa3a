//! Mocked agents: real servers on sockets of this machine.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tower::BoxError;

/// The HTTP client of an orchestrator.
pub(crate) type HttpClient = Client<HttpConnector, Full<Bytes>>;
/// The body of an agent's answer.
pub(crate) type AgentBody = BoxBody<Bytes, Infallible>;

pub(crate) fn client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build(connector())
}

/// A client that speaks HTTP/2 with prior knowledge.
pub(crate) fn http2_client() -> HttpClient {
    Client::builder(TokioExecutor::new()).http2_only(true).build(connector())
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    // Small chunks must not wait for acknowledgements.
    connector.set_nodelay(true);
    connector
}

/// An agent that speaks valid HTTP. It ends with the runtime.
#[derive(Clone)]
pub(crate) struct MockAgent {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl MockAgent {
    /// Starts an agent on HTTP/1.1 with this handler.
    pub(crate) async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<AgentBody>> + Send + 'static,
    {
        Self::serve(false, answer).await
    }

    /// Starts an agent on HTTP/2 with this handler.
    pub(crate) async fn start_http2<F, R>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<AgentBody>> + Send + 'static,
    {
        Self::serve(true, answer).await
    }

    async fn serve<F, R>(http2: bool, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<AgentBody>> + Send + 'static,
    {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&sent));
        let service = move |request| {
            let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
            async move {
                let mut response = answer(request).await;
                response.headers_mut().insert(header::DATE, date());
                Ok::<_, Infallible>(response.map(|inner| Recorded { inner, log }))
            }
        };
        let address = serve(http2, |_| {}, service).await;
        Self { address, sent }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The bytes of all bodies sent since the last call.
    pub(crate) fn take_sent(&self) -> Vec<u8> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }
}

/// A fixed date, so that two answers are the same.
pub(crate) fn date() -> HeaderValue {
    HeaderValue::from_static("Wed, 24 Dec 2025 10:00:00 GMT")
}

/// Serves HTTP/1.1 or HTTP/2 on a free port, with `set_up` called for each connection. The
/// server ends with the runtime.
pub(crate) async fn serve<F, R, B, E>(
    http2: bool,
    set_up: impl Fn(&TcpStream) + Send + 'static,
    service: F,
) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Small chunks must not wait for acknowledgements.
            stream.set_nodelay(true).unwrap();
            set_up(&stream);
            let (io, service) = (TokioIo::new(stream), service_fn(service.clone()));
            tokio::spawn(async move {
                // Clients may disconnect at any time.
                if http2 {
                    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(io, service).await;
                } else {
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server.serve_connection(io, service).await;
                }
            });
        }
    });
    address
}

/// Records the data of a body as it is sent.
struct Recorded {
    inner: AgentBody,
    log: Arc<Mutex<Vec<u8>>>,
}

impl Body for Recorded {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.log.lock().unwrap().extend_from_slice(data);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A body of known length.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> AgentBody {
    Full::new(bytes.into()).boxed()
}

/// A body that a test sends frame by frame. It ends when the sender is gone, and the
/// sender is [closed](mpsc::Sender::closed) when the body is dropped.
pub(crate) fn piped() -> (mpsc::Sender<Frame<Bytes>>, AgentBody) {
    // With a capacity of one, a frame is sent once the one before it was taken.
    let (sender, receiver) = mpsc::channel(1);
    (sender, Piped(receiver).boxed())
}

struct Piped(mpsc::Receiver<Frame<Bytes>>);

impl Body for Piped {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

pub(crate) fn data(text: impl Into<Bytes>) -> Frame<Bytes> {
    Frame::data(text.into())
}

/// An agent that sends raw bytes and closes or resets its connections as its script does. It
/// ends with the runtime.
pub(crate) async fn raw_agent<F, R>(answer: F) -> String
where
    F: Fn(Connection) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(Connection { stream }));
        }
    });
    format!("http://{address}/invocations")
}

/// The agent's end of a connection.
pub(crate) struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Reads a request without a body.
    pub(crate) async fn request(&mut self) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.unwrap());
        }
    }

    pub(crate) async fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Reads exactly these bytes.
    pub(crate) async fn expect(&mut self, bytes: &str) {
        let mut read = vec![0; bytes.len()];
        self.stream.read_exact(&mut read).await.unwrap();
        assert_eq!(read, bytes.as_bytes());
    }

    /// Resets the connection, as when the process is killed. Bytes that the client has not
    /// read yet may be lost.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Everything that a caller receives.
#[derive(Debug, PartialEq)]
pub(crate) struct Received {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
    /// The error in place of the body's end, with its causes.
    pub(crate) error: Option<String>,
}

/// Reads a response to its end.
pub(crate) async fn receive<B>(response: Response<B>) -> Received
where
    B: Body<Data = Bytes, Error: std::error::Error>,
{
    receive_and(response, |_| {}).await
}

/// Reads a response to its end, and reports the number of bytes after each chunk.
pub(crate) async fn receive_and<B>(response: Response<B>, report: impl Fn(usize)) -> Received
where
    B: Body<Data = Bytes, Error: std::error::Error>,
{
    let (head, body) = response.into_parts();
    let mut body = Box::pin(body);
    let mut received = Received {
        status: head.status,
        version: head.version,
        headers: head.headers,
        body: Vec::new(),
        trailers: None,
        error: None,
    };
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => {
                received.body.extend_from_slice(&data);
                report(received.body.len());
            }
            Ok(Err(frame)) => received.trailers = frame.into_trailers().ok(),
            Err(error) => {
                received.error = Some(chain(&error));
                break;
            }
        }
    }
    received
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
