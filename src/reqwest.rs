//! [`StatusMiddleware`]: the same tracking in a reqwest-middleware client.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::reqwest::{Body, Request, Response, ResponseBuilderExt};
use ::reqwest_middleware::{Middleware, Next};
use bytes::Bytes;
use http::Extensions;
use http_body::{Body as _, Frame, SizeHint};

use crate::agent::InvalidName;
use crate::body;
use crate::call::{Answer, Caller};
use crate::layer::StatusLayer;
use crate::session::RequestHead;
use crate::tracker::StatusTracker;
use crate::usage::End;

/// Tracks every call of an agent's `reqwest_middleware` client.
///
/// It is to such a client what [`StatusLayer`](crate::StatusLayer) is to a tower stack,
/// with the same meaning of success, error and cancelled. The caller gets a
/// [`reqwest::Response`](::reqwest::Response) with its URL, extensions, version, remote
/// address and content length. What a layer can be told, the middleware can be made from:
/// `StatusMiddleware::from(StatusLayer::new(..).session_header(..))`.
///
/// The session of a request is looked for in its extensions
/// (`.with_extension(session_id)`, or for all of a client's requests
/// `ClientBuilder::with_init(Extension(session_id))`), in the surrounding
/// [scope](crate::Workflow::scope), and where the layer was told to.
///
/// Middleware runs in the order it was attached: attached after a retry middleware, every
/// attempt is a call; attached before it, only the last answer is seen.
///
/// ```
/// # use tower_agent_status::{StatusMiddleware, StatusTracker};
/// # fn example(tracker: &StatusTracker) -> reqwest_middleware::ClientWithMiddleware {
/// reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
///     .with(StatusMiddleware::new(tracker, "pdfAdapter"))
///     .build()
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StatusMiddleware {
    caller: Caller,
}

impl StatusMiddleware {
    /// A middleware for the client of this agent. An agent that was not
    /// [declared](crate::StatusTrackerBuilder::agent) is added, with plain texts.
    ///
    /// # Panics
    ///
    /// If the name cannot be used; see [`try_new`](Self::try_new) and [`InvalidName`].
    #[must_use]
    pub fn new(tracker: &StatusTracker, agent: &str) -> Self {
        StatusLayer::new(tracker, agent).into()
    }

    /// A middleware for the client of this agent, like [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// If the name cannot be used.
    pub fn try_new(tracker: &StatusTracker, agent: &str) -> Result<Self, InvalidName> {
        StatusLayer::try_new(tracker, agent).map(Self::from)
    }
}

impl From<StatusLayer> for StatusMiddleware {
    fn from(layer: StatusLayer) -> Self {
        Self { caller: layer.into_caller() }
    }
}

#[async_trait::async_trait]
impl Middleware for StatusMiddleware {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let call = self.caller.start(RequestHead {
            method: request.method(),
            host: request.url().host_str(),
            path: request.url().path(),
            headers: request.headers(),
            extensions,
        });
        let Some(call) = call else { return next.run(request, extensions).await };
        let marked = Marked::new(&self.caller, extensions);
        let result = call.around(next.run(request, marked.extensions)).await;
        drop(marked);
        match result {
            Ok(response) => Ok(match call.answered(response.status(), response.headers()) {
                Some(answer) => with_answer(response, answer),
                None => response,
            }),
            Err(error) => {
                call.failed(&Chain(&error));
                Err(error)
            }
        }
    }
}

/// The extensions of a request with the mark of this call in them, until this is dropped:
/// a retry middleware around this one gives the same extensions to each attempt.
struct Marked<'a> {
    caller: &'a Caller,
    extensions: &'a mut Extensions,
}

impl<'a> Marked<'a> {
    fn new(caller: &'a Caller, extensions: &'a mut Extensions) -> Self {
        caller.mark(extensions);
        Self { caller, extensions }
    }
}

impl Drop for Marked<'_> {
    fn drop(&mut self) {
        self.caller.unmark(self.extensions);
    }
}

/// The response with its body looked at as it passes.
fn with_answer(response: Response, answer: Answer) -> Response {
    let url = response.url().clone();
    let mut response = http::Response::<Body>::from(response);
    // A `reqwest::Response` keeps its URL beside the parts of an `http::Response`, and
    // loses it on the way through one. It is taken up again from an extension, which only
    // the builder can make.
    if let Ok(with_url) = http::Response::builder().url(url).body(()) {
        response.extensions_mut().extend(with_url.into_parts().0.extensions);
    }
    response.map(|body| Body::wrap(Looked::new(body, answer))).into()
}

/// A [`StatusBody`](crate::StatusBody) that tells an error with its causes.
struct Looked {
    inner: Body,
    answer: Option<Answer>,
}

impl Looked {
    fn new(inner: Body, mut answer: Answer) -> Self {
        if inner.is_end_stream() {
            answer.end(End::Complete);
        }
        Self { inner, answer: Some(answer) }
    }
}

impl http_body::Body for Looked {
    type Data = Bytes;
    type Error = ::reqwest::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ::reqwest::Error>>> {
        let Self { inner, answer } = &mut *self;
        body::poll_frame(Pin::new(inner), answer, cx, |error, tell| tell(&Chain(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An error with its causes: reqwest says the cause of a failure only there.
struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
