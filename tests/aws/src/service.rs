//! A service on a local socket that answers by a script.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The answer to one request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A body of known length.
    Whole { status: u16, headers: Vec<(&'static str, String)>, body: Bytes },
    /// A body in chunks, with the way it ends.
    Pieces { content_type: &'static str, pieces: Vec<Bytes>, then: Then },
    /// No answer at all.
    Silence,
    /// The service closes the connection.
    Close,
}

/// How a chunked body ends.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    /// It ends properly.
    End,
    /// The connection closes before the end.
    Close,
    /// It never ends.
    Silence,
}

impl Answer {
    /// An answer with a status and JSON.
    pub fn json(status: u16, body: impl ToString) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self::Whole { status, headers, body: body.to_string().into() }
    }

    /// An error in the format of AWS.
    pub fn error(status: u16, kind: &str, message: &str) -> Self {
        Self::json(status, serde_json::json!({"message": message})).with("x-amzn-errortype", kind)
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Whole { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

/// A request as received, without what differs each time.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The service. It ends with the runtime.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    count: watch::Receiver<usize>,
}

impl Service {
    /// Starts a service that gives these answers in turn, and repeats the last one.
    pub async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (sender, count) = watch::channel(0);
        let (log, answers) = (Arc::clone(&asked), Arc::new(answers));
        let service = move |request: Request<Incoming>| {
            let (log, answers, sender) = (Arc::clone(&log), Arc::clone(&answers), sender.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let target = head.uri.to_string();
                let asked =
                    Asked { method: head.method, target, headers: lasting(head.headers), body };
                let so_far = {
                    let mut log = log.lock().unwrap();
                    log.push(asked);
                    log.len()
                };
                sender.send_replace(so_far);
                let answer = answers.get(so_far - 1).or(answers.last()).unwrap();
                respond(answer.clone()).await
            }
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let connection = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(service.clone()));
                // Clients may disconnect at any time.
                tokio::spawn(async move { _ = connection.await });
            }
        });
        Self { address, asked, count }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces the address of this service in a text.
    pub fn anonymous(&self, text: &str) -> String {
        text.replace(&self.address.to_string(), "<service>")
    }

    /// Waits until this many requests have arrived.
    pub async fn asked_times(&self, times: usize) {
        self.count.clone().wait_for(|count| *count >= times).await.unwrap();
    }

    /// The requests received so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// Removes the headers that differ each time.
fn lasting(mut headers: HeaderMap) -> HeaderMap {
    for name in ["amz-sdk-invocation-id", "amz-sdk-request", "authorization", "host", "x-amz-date"]
    {
        headers.remove(name);
    }
    headers
}

type Answered = UnsyncBoxBody<Bytes, &'static str>;

async fn respond(answer: Answer) -> Result<Response<Answered>, &'static str> {
    // A fixed date, so that two answers are the same.
    let response = Response::builder().header("date", "Wed, 24 Dec 2025 10:00:00 GMT");
    let response = response.header("x-amzn-requestid", "5f1e2f5a-0000-4000-8000-000000000000");
    Ok(match answer {
        Answer::Whole { status, headers, body } => {
            let response = response.status(status);
            let add =
                |response: http::response::Builder, (name, value)| response.header(name, value);
            let response = headers.into_iter().fold(response, add);
            response
                .body(Full::new(body).map_err(|error: Infallible| match error {}).boxed_unsync())
        }
        Answer::Pieces { content_type, pieces, then } => {
            let pieces = pieces.into_iter();
            let body = Pieces { pieces, then, is_sent: false };
            response.header("content-type", content_type).body(body.boxed_unsync())
        }
        Answer::Silence => std::future::pending().await,
        Answer::Close => return Err("scripted close"),
    }
    .unwrap())
}

struct Pieces {
    pieces: std::vec::IntoIter<Bytes>,
    then: Then,
    is_sent: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        match (self.pieces.next(), self.then) {
            (Some(piece), _) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            (None, Then::End) => Poll::Ready(None),
            (None, Then::Close) if !self.is_sent => {
                // Pending makes the server flush the chunks before the error.
                self.is_sent = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            (None, Then::Close) => Poll::Ready(Some(Err("scripted close"))),
            (None, Then::Silence) => Poll::Pending,
        }
    }
}
