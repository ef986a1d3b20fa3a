//! The least that a layer must do that keeps what the crate promises of a call.
//!
//! It marks the request, so that of nested layers the outermost owns the call; reads the time of day
//! when the call starts and when it ends, and changes shared state under a lock each time; and it has
//! a body of its own, which sees the last frame pass. [`Floor::reading`] also reads the response, with
//! the crate's own reader. What the layer takes beyond that goes into the session, the agent and
//! everything that is recorded of a call.

use std::hint::black_box;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tower::Service;
use tower_agent_status::usage::{End, RequestHint, ResponseHead, UsageReader};

/// When the last call started and ended.
type Times = Arc<Mutex<[Option<SystemTime>; 2]>>;

/// What a request carries that a layer has seen.
#[derive(Clone)]
struct Mark;

pub struct Floor<S> {
    inner: S,
    times: Times,
    reads: bool,
}

impl<S> Floor<S> {
    /// A layer that does not look at the response.
    pub fn new(inner: S) -> Self {
        Self { inner, times: Times::default(), reads: false }
    }

    /// A layer that reads the response, if that comes in one chunk.
    pub fn reading(inner: S) -> Self {
        Self { reads: true, ..Self::new(inner) }
    }
}

impl<S, B, R> Service<Request<B>> for Floor<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Unpin,
{
    type Response = Response<FloorBody<R>>;
    type Error = S::Error;
    type Future = FloorFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        note(&self.times, 0);
        request.extensions_mut().insert(Mark);
        let hint = self.reads.then(|| RequestHint::new(request.method(), request.uri().path()));
        FloorFuture { inner: self.inner.call(request), times: Arc::clone(&self.times), hint }
    }
}

/// Notes the start of a call, or its end.
fn note(times: &Times, which: usize) {
    let now = SystemTime::now();
    times.lock().expect("no panic")[which] = Some(now);
}

pub struct FloorFuture<F> {
    inner: F,
    times: Times,
    hint: Option<RequestHint>,
}

impl<F, R, E> Future for FloorFuture<F>
where
    F: Future<Output = Result<Response<R>, E>> + Unpin,
{
    type Output = Result<Response<FloorBody<R>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(Pin::new(&mut self.inner).poll(cx));
        Poll::Ready(response.map(|response| {
            let (status, headers) = (response.status(), response.headers());
            let head = self.hint.take().map(|hint| ResponseHead::new(status, headers, hint));
            response.map(|inner| FloorBody { inner, times: Some(Arc::clone(&self.times)), head })
        }))
    }
}

pub struct FloorBody<B> {
    inner: B,
    times: Option<Times>,
    head: Option<ResponseHead>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for FloorBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && self.inner.is_end_stream()
            && let Some(times) = self.times.take()
        {
            if let (Some(head), Some(data)) = (self.head.take(), frame.data_ref()) {
                let mut reader = UsageReader::new(head);
                reader.feed(data);
                black_box(reader.finish(End::Complete));
            }
            note(&times, 1);
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
