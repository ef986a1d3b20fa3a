//! A slow agent: it takes two seconds to the head, and one to each chunk.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::time::sleep;
use tower::Service;

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The agent's answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timed {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) pieces: &'static [&'static str],
}

impl Service<Request<()>> for Timed {
    type Response = Response<Body>;
    type Error = &'static str;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        Ok(()).into()
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let Self { status, content_type, pieces } = *self;
        tracing::info_span!("in_call").in_scope(|| {});
        Box::pin(async move {
            sleep(Duration::from_secs(2)).await;
            tracing::info_span!("in_future").in_scope(|| {});
            if status == 0 {
                return Err("connection reset");
            }
            let body = stream::unfold(pieces.iter(), |mut pieces| async {
                let piece = pieces.next()?;
                sleep(Duration::from_secs(1)).await;
                tracing::info_span!("in_body").in_scope(|| {});
                Some((Ok(Frame::data(Bytes::from_static(piece.as_bytes()))), pieces))
            });
            let response = Response::builder().status(status).header("content-type", content_type);
            Ok(response.body(StreamBody::new(body).boxed_unsync()).unwrap())
        })
    }
}

/// A whole JSON answer with usage.
pub(crate) const JSON: Timed = Timed {
    status: 200,
    content_type: "application/json",
    pieces: &[
        r#"{"id": "msg", "type": "message", "role": "assistant", "content": [], "#,
        r#""usage": {"input_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 4, "output_tokens": 2}}"#,
    ],
};

/// A stream with usage and its end marker.
pub(crate) const SSE: Timed = Timed {
    status: 200,
    content_type: "text/event-stream",
    pieces: &[
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"completion_tokens_details\":{\"reasoning_tokens\":1}}}\n\n",
        "data: [DONE]\n\n",
    ],
};

/// An error.
pub(crate) const FAILS: Timed = Timed {
    status: 500,
    content_type: "application/json",
    pieces: &[r#"{"error": {"message": "out of patience"}}"#],
};

/// A connection that closes before the head.
pub(crate) const RESET: Timed = Timed { status: 0, content_type: "", pieces: &[] };
