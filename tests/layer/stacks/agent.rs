//! An agent that plays a script over a real socket, in step with its caller: a piece is
//! sent once the caller has read all that was sent before, and the body's end too. So the
//! pieces arrive as they were sent, and nothing depends on who is faster.

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

/// What an agent does with a request.
#[derive(Clone, Copy)]
pub(crate) enum Does {
    Answers(Reply),
    /// Nobody listens at its port.
    RefusesConnections,
    /// The request is read, and then the connection (HTTP/1.1) or the stream (HTTP/2) reset.
    Resets,
    /// The request is read, and that is all.
    NeverAnswers,
    /// The same, and the clock goes on to the next time that somebody waits for.
    LetsTimePass,
}

#[derive(Clone, Copy)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) framing: Framing,
    pub(crate) steps: &'static [Step],
}

/// How the end of a body is known.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Framing {
    /// By its length, sent at once; on HTTP/2 the last piece says that it is the last.
    Whole,
    /// By its length, sent piece by piece; on HTTP/2 the end is told after the last piece.
    Sized,
    /// By an end that is told: chunked on HTTP/1.1.
    Streamed,
}

/// A step of a body.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Data(&'static [u8]),
    Trailers,
    /// The connection (HTTP/1.1) or the stream (HTTP/2) is reset.
    Reset,
    /// Nothing more is sent, until the caller is gone.
    Stalls,
    /// The same, and the clock goes on to the next time that somebody waits for.
    LetsTimePass,
}

/// What has reached an agent of one request.
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
    /// Told when a request has come that is not answered.
    waits: Notify,
    /// How many bytes of the bodies the caller has read.
    read: watch::Sender<usize>,
}

impl ScriptedAgent {
    /// An agent that does so with the first request, the next one and so on; the last
    /// step is repeated.
    pub(crate) async fn start(version: Version, script: &'static [Does]) -> Self {
        let read = watch::Sender::new(0);
        let shared = Shared { script, asked: Mutex::default(), waits: Notify::new(), read };
        let shared = Arc::new(shared);
        if let Does::RefusesConnections = script[0] {
            // A port that nobody listens on any more.
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
                // Whatever closes it closes it with a reset.
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

    /// The requests that have come since this was last asked. The script starts again.
    pub(crate) fn take_asked(&self) -> Vec<Asked> {
        self.shared.read.send_replace(0);
        std::mem::take(&mut self.shared.asked.lock().unwrap())
    }

    /// Waits until a request has come that is not answered.
    pub(crate) async fn is_asked(&self) {
        self.shared.waits.notified().await;
    }

    /// The caller has read so many bytes.
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
        Does::RefusesConnections => unreachable!("nobody listens"),
        Does::Resets => Err("reset, as it is told".into()),
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
        // No room: a frame is sent when the one before it was taken.
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
    // What earlier answers sent may have been read, or not.
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
            Step::Reset => Err("reset, as it is told".into()),
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

/// A body that is played.
struct Played {
    frames: mpsc::Receiver<Result<Frame<Bytes>, BoxError>>,
    /// How many bytes are still to come, if that is known.
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

/// The time after which a client gives up that is told to. It is not waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
