//! An agent that plays a script over a real socket, in step with its caller: each chunk, and
//! the end of the body, is sent only once the caller has read everything before it. So chunks
//! arrive as they were sent, and no result depends on timing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, Version, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::sync::{Notify, mpsc, watch};
use tower::BoxError;

use crate::support::agent::{date, serve};
use crate::support::scripted::trailers;

/// How an agent handles a request.
#[derive(Clone, Copy)]
pub(crate) enum Does {
    Answers(Reply),
    /// Nothing listens on its port.
    RefusesConnections,
    /// Reads the request, then resets the connection (HTTP/1.1) or the stream (HTTP/2).
    Resets,
    /// Reads the request and never answers.
    NeverAnswers,
    /// Never answers either, and pauses the clock, which then advances to the next timer.
    LetsTimePass,
}

#[derive(Clone, Copy)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) framing: Framing,
    pub(crate) steps: &'static [Step],
}

/// How the receiver learns where a body ends.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Framing {
    /// By its length, sent at once; on HTTP/2 the last frame has the end-of-stream flag.
    Whole,
    /// By its length, sent in chunks; on HTTP/2 end-of-stream follows the last chunk.
    Sized,
    /// By an explicit end: chunked encoding on HTTP/1.1.
    Streamed,
}

/// A step of a body.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Data(&'static [u8]),
    Trailers,
    /// Resets the connection (HTTP/1.1) or the stream (HTTP/2).
    Reset,
    /// Sends nothing more until the caller is gone.
    Stalls,
    /// Stalls, and pauses the clock, which then advances to the next timer.
    LetsTimePass,
}

/// A request as it reached the agent.
#[derive(Debug, PartialEq)]
pub(crate) struct Asked {
    method: Method,
    uri: String,
    version: Version,
    headers: http::HeaderMap,
    body: Bytes,
}

/// A running agent.
pub(crate) struct ScriptedAgent {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    script: &'static [Does],
    asked: Mutex<Vec<Asked>>,
    /// Notified of each request that will not be answered.
    waits: Notify,
    /// How many bytes of the bodies the caller has read.
    read: watch::Sender<usize>,
}

impl ScriptedAgent {
    /// Starts an agent that handles one request after another by the script, repeating its last
    /// entry.
    pub(crate) async fn start(version: Version, script: &'static [Does]) -> Self {
        let read = watch::Sender::new(0);
        let shared = Shared { script, asked: Mutex::default(), waits: Notify::new(), read };
        let shared = Arc::new(shared);
        if let Does::RefusesConnections = script[0] {
            // Nothing listens on this port any more.
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            return Self { url, shared };
        }
        let resets = script.iter().any(|does| match does {
            Does::Answers(reply) => reply.steps.iter().any(|step| matches!(step, Step::Reset)),
            does => matches!(does, Does::Resets),
        });
        let set_up = move |stream: &tokio::net::TcpStream| {
            if resets {
                // However the connection is closed, it is reset.
                stream.set_zero_linger().unwrap();
            }
        };
        let service = {
            let shared = Arc::clone(&shared);
            move |request| answer(Arc::clone(&shared), request)
        };
        let address = serve(version == Version::HTTP_2, set_up, service).await;
        Self { url: format!("http://{address}"), shared }
    }

    /// Returns the requests received since the last call, and restarts the script.
    pub(crate) fn take_asked(&self) -> Vec<Asked> {
        self.shared.read.send_replace(0);
        std::mem::take(&mut self.shared.asked.lock().unwrap())
    }

    /// Waits for a request that will not be answered.
    pub(crate) async fn is_asked(&self) {
        self.shared.waits.notified().await;
    }

    /// Reports that the caller has read this many more bytes.
    pub(crate) fn was_read(&self, bytes: usize) {
        self.shared.read.send_modify(|read| *read += bytes);
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<Bytes, BoxError>>, BoxError> {
    let (head, body) = request.into_parts();
    let asked = Asked {
        method: head.method,
        uri: head.uri.to_string(),
        version: head.version,
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
    };
    let attempt = {
        let mut all = shared.asked.lock().unwrap();
        all.push(asked);
        all.len() - 1
    };
    match shared.script[attempt.min(shared.script.len() - 1)] {
        Does::Answers(reply) => Ok(respond(reply, &shared.read)),
        Does::RefusesConnections => unreachable!("nothing listens"),
        Does::Resets => Err("scripted reset".into()),
        Does::NeverAnswers => {
            shared.waits.notify_one();
            std::future::pending().await
        }
        Does::LetsTimePass => {
            tokio::time::pause();
            std::future::pending().await
        }
    }
}

fn respond(reply: Reply, read: &watch::Sender<usize>) -> Response<UnsyncBoxBody<Bytes, BoxError>> {
    let data = reply.steps.iter().filter_map(|step| match step {
        Step::Data(data) => Some(*data),
        _ => None,
    });
    let body = if reply.framing == Framing::Whole {
        Full::from(data.collect::<Vec<_>>().concat()).map_err(Into::into).boxed_unsync()
    } else {
        let left = (reply.framing == Framing::Sized).then(|| data.map(<[u8]>::len).sum());
        // With a capacity of one, a frame is sent once the one before it was taken.
        let (sender, frames) = mpsc::channel(1);
        tokio::spawn(play(reply.steps, read.subscribe(), sender));
        Played { frames, left }.boxed_unsync()
    };
    let mut response = Response::builder().status(reply.status).header(header::DATE, date());
    for (name, value) in reply.headers {
        response = response.header(*name, *value);
    }
    response.body(body).unwrap()
}

async fn play(
    steps: &'static [Step],
    mut read: watch::Receiver<usize>,
    sender: mpsc::Sender<Result<Frame<Bytes>, BoxError>>,
) {
    // Earlier answers may not have been read to their end.
    let mut sent = *read.borrow_and_update();
    for step in steps {
        tokio::select! {
            _ = read.wait_for(|read| *read >= sent) => {}
            () = sender.closed() => return,
        }
        let frame = match step {
            Step::Data(data) => {
                sent += data.len();
                Ok(Frame::data(Bytes::from_static(data)))
            }
            Step::Trailers => Ok(Frame::trailers(trailers())),
            Step::Reset => Err("scripted reset".into()),
            Step::Stalls => return sender.closed().await,
            Step::LetsTimePass => {
                tokio::time::pause();
                return sender.closed().await;
            }
        };
        if sender.send(frame).await.is_err() {
            return;
        }
    }
    tokio::select! {
        _ = read.wait_for(|read| *read >= sent) => {}
        () = sender.closed() => {}
    }
}

/// A body that plays its steps.
struct Played {
    frames: mpsc::Receiver<Result<Frame<Bytes>, BoxError>>,
    /// The number of bytes still to come, if known.
    left: Option<usize>,
}

impl Body for Played {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = std::task::ready!(self.frames.poll_recv(cx));
        if let (Some(Ok(frame)), Some(left)) = (&frame, &mut self.left)
            && let Some(data) = frame.data_ref()
        {
            *left -= data.len();
        }
        std::task::Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::new, |left| SizeHint::with_exact(left as u64))
    }
}

/// The timeout of a client that has one. The clock is paused, so no test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
