//! The agent behind all ways of a bench.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::Result;

/// What the agent sends.
#[derive(Clone, Debug)]
pub struct Answer {
    pub content_type: &'static str,
    pub chunks: Vec<Bytes>,
    pub pace: Pace,
}

/// How the chunks of an answer are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As a body of known length.
    Whole,
    /// As a stream, as fast as it can be. Each chunk is sent before there is another one.
    Fast,
    /// As a stream, with a pause before each chunk but the first.
    Paused(Duration),
    /// As a stream that stays open behind its last chunk.
    Open,
}

/// The answers, by their paths.
pub type Answers = HashMap<String, Answer>;

/// Serves on a free port, and prints its address.
pub async fn serve(answers: Answers) -> Result<()> {
    let answers = answers.into_iter().map(|(path, answer)| (path, Arc::new(answer)));
    let answers: Arc<HashMap<_, _>> = Arc::new(answers.collect());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answers = Arc::clone(&answers);
        tokio::spawn(async move {
            let service = service_fn(|request| respond(&answers, request));
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn respond(
    answers: &HashMap<String, Arc<Answer>>,
    request: Request<Incoming>,
) -> Result<Response<StreamBody<impl Stream<Item = Result<Frame<Bytes>, Infallible>> + use<>>>> {
    let answer = answers.get(request.uri().path()).cloned();
    // The prompt.
    let _ = request.into_body().collect().await;
    let Some(answer) = answer else {
        let nothing = Answer { content_type: "text/plain", chunks: Vec::new(), pace: Pace::Whole };
        let response = Response::builder().status(StatusCode::NOT_FOUND);
        return Ok(response.body(StreamBody::new(frames(Arc::new(nothing))))?);
    };
    let mut response = Response::builder().header("content-type", answer.content_type);
    if answer.pace == Pace::Whole {
        let length: usize = answer.chunks.iter().map(Bytes::len).sum();
        response = response.header("content-length", length);
    }
    Ok(response.body(StreamBody::new(frames(answer)))?)
}

fn frames(answer: Arc<Answer>) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
    stream::unfold((answer, 0), |(answer, sent)| async move {
        match (answer.pace, answer.chunks.get(sent)) {
            (Pace::Open, None) => std::future::pending().await,
            (_, None) => return None,
            (Pace::Whole, Some(_)) => {}
            (Pace::Fast | Pace::Open, Some(_)) => tokio::task::yield_now().await,
            (Pace::Paused(_), Some(_)) if sent == 0 => {}
            (Pace::Paused(pause), Some(_)) => tokio::time::sleep(pause).await,
        }
        let frame = Frame::data(answer.chunks[sent].clone());
        Some((Ok(frame), (answer, sent + 1)))
    })
}
