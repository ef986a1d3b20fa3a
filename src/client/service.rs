//! [`StatusService`]: the service that a [`StatusLayer`](crate::StatusLayer) makes.

use std::fmt::Display;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::tracking::Tracking;
use crate::exchange::Call;
use crate::exchange::body::StatusBody;
use crate::exchange::future::StatusFuture;
use crate::session::RequestHead;

/// Tracks the calls of one agent. Made by [`StatusLayer`](crate::StatusLayer).
#[derive(Clone, Debug)]
pub struct StatusService<S> {
    pub(crate) inner: S,
    pub(crate) tracking: Tracking,
}

impl<S> StatusService<S> {
    pub(crate) fn new(inner: S, tracking: Tracking) -> Self {
        Self { inner, tracking }
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
}

impl<S, B, R> Service<Request<B>> for StatusService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Display,
    R: Body,
{
    type Response = Response<StatusBody<R>>;
    type Error = S::Error;
    type Future = StatusFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Nothing starts here: `call` may never come.
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Some(named) = self.tracking.look(request.extensions()) else {
            return StatusFuture::new(self.inner.call(request), None);
        };
        // The call is born first, so that a panic inside is recorded too.
        let head = || RequestHead::new(&request);
        let (extensions, path) = (request.extensions(), request.uri().path());
        let call = self.tracking.start(named, extensions, request.method(), path, &head);
        if call.is_some() {
            self.tracking.mark(request.extensions_mut());
        }
        let inner = {
            let _entered = call.as_ref().map(Call::enter);
            self.inner.call(request)
        };
        StatusFuture::new(inner, call)
    }
}
