//! [`Status`]: the service that a [`StatusLayer`](crate::StatusLayer) makes.

use std::fmt::Display;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::agent::Agent;
use crate::body::StatusBody;
use crate::call::Call;
use crate::future::ResponseFuture;
use crate::session::{RequestHead, SessionSource};
use crate::tracker::StatusTracker;

/// Tracks the calls of one agent. Made by [`StatusLayer`](crate::StatusLayer).
#[derive(Clone, Debug)]
pub struct Status<S> {
    inner: S,
    tracker: StatusTracker,
    agent: Arc<Agent>,
    source: SessionSource,
}

impl<S> Status<S> {
    pub(crate) fn new(
        inner: S,
        tracker: StatusTracker,
        agent: Arc<Agent>,
        source: SessionSource,
    ) -> Self {
        Self { inner, tracker, agent, source }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// Starts a call, if the request has a session and no layer around has started it.
    fn start<B>(&self, request: &mut Request<B>) -> Option<Call> {
        let hub = self.tracker.hub();
        let tracker = Arc::as_ptr(hub).addr();
        if request.extensions().get::<Owned>().is_some_and(|mark| mark.is_by(tracker)) {
            return None;
        }
        let head = RequestHead::new(request);
        let session = match self.source.resolve(head) {
            Ok(session) => session?,
            Err(error) => {
                hub.warn_of_invalid_session(&error);
                return None;
            }
        };
        let call = Call::start(hub, &session, &self.agent, head)?;
        let extensions = request.extensions_mut();
        let around = extensions.remove::<Owned>().map(Box::new);
        extensions.insert(Owned { tracker, around });
        Some(call)
    }
}

/// Marks a request whose call a layer has started: of nested layers of one tracker the
/// outermost owns the call. Layers of several trackers may be nested in any order.
#[derive(Clone)]
struct Owned {
    tracker: usize,
    around: Option<Box<Self>>,
}

impl Owned {
    fn is_by(&self, tracker: usize) -> bool {
        self.tracker == tracker || self.around.as_ref().is_some_and(|mark| mark.is_by(tracker))
    }
}

impl<S, B, R> Service<Request<B>> for Status<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Display,
    R: Body,
{
    type Response = Response<StatusBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Nothing starts here: `call` may never come.
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The call is born first, so that a panic inside is recorded too.
        let call = self.start(&mut request);
        ResponseFuture::new(self.inner.call(request), call)
    }
}
