//! [`ExchangeBody`]: an exchange from the head of its response to the end of the body.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use super::error_display::{DefaultErrorDisplay, ErrorDisplay};
use super::{Observer, ResponseObserver};
use crate::usage::End;

/// A response body that is observed as it passes.
///
/// Every frame, the trailers, the size hint and the errors are the inner body's.
#[pin_project]
pub struct ExchangeBody<B, O: Observer, D = DefaultErrorDisplay> {
    // The inner body is dropped first: calls that are made in it end as what they are, and
    // then the exchange around them.
    #[pin]
    inner: B,
    observer: Option<ResponseObserver<O>>,
    error_display: PhantomData<fn() -> D>,
}

impl<B: Body, O: Observer, D> ExchangeBody<B, O, D> {
    /// Observes the body of a response, if there is an observer.
    #[inline]
    pub(crate) fn new(inner: B, mut observer: Option<ResponseObserver<O>>) -> Self {
        // An empty body, as of HEAD or of status 204, may never be polled.
        if let Some(response) = &mut observer
            && response.ends_without_body(is_over(&inner))
        {
            response.is_over_at_once(inner.is_end_stream());
        }
        let observer = observer.filter(|response| !response.is_over());
        Self { inner, observer, error_display: PhantomData }
    }
}

impl<B, O: Observer, D> ExchangeBody<B, O, D> {
    /// The inner body.
    pub fn get_ref(&self) -> &B {
        &self.inner
    }

    /// The inner body. The exchange ends here, as it does when a body is dropped.
    pub fn into_inner(self) -> B {
        self.inner
    }
}

/// An empty body of no exchange, for layers that answer in place of a service.
impl<B: Default, O: Observer, D> Default for ExchangeBody<B, O, D> {
    fn default() -> Self {
        Self { inner: B::default(), observer: None, error_display: PhantomData }
    }
}

impl<B, O, D> Body for ExchangeBody<B, O, D>
where
    B: Body,
    O: Observer,
    D: ErrorDisplay<B::Error>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        match this.observer.take() {
            None => this.inner.poll_frame(cx),
            Some(observer) => poll_observed::<_, _, D>(this.inner, observer, this.observer, cx),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Whether no more data comes. On HTTP/2 a body may learn of its end some time after the last
/// byte of its announced length.
fn is_over(body: &impl Body) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

/// What polling a body gives.
type Polled<B> = Poll<Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>>;

/// Polls a body and shows the observer what comes. Kept out of line, so that the body of an
/// untracked call stays small.
#[inline(never)]
fn poll_observed<B: Body, O: Observer, D: ErrorDisplay<B::Error>>(
    mut inner: Pin<&mut B>,
    mut observer: ResponseObserver<O>,
    slot: &mut Option<ResponseObserver<O>>,
    cx: &mut Context<'_>,
) -> Polled<B> {
    // One value from here to the end, which need not be copied.
    let polled = observer.poll_in(|| inner.as_mut().poll_frame(cx));
    match &polled {
        Poll::Pending => {}
        Poll::Ready(Some(Ok(frame))) => {
            if let Some(data) = frame.data_ref() {
                // A caller that knows the length may not poll again.
                let mut is_last = is_over(&*inner);
                if is_last && observer.is_rpc() {
                    is_last = observer.is_last_of_rpc(inner.is_end_stream());
                }
                observer.data(data, is_last);
            } else if let Some(trailers) = frame.trailers_ref() {
                observer.trailers(trailers);
            }
        }
        Poll::Ready(Some(Err(error))) if D::is_timeout(error) => {
            observer.end(End::TimedOut(&D::display(error)));
        }
        Poll::Ready(Some(Err(error))) => observer.end(End::Failed(&D::display(error))),
        Poll::Ready(None) => observer.complete(),
    }
    if !observer.is_over() {
        *slot = Some(observer);
    }
    polled
}

impl<B, O: Observer, D> fmt::Debug for ExchangeBody<B, O, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeBody").field("is_observed", &self.observer.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
    use http_body_util::StreamBody;

    use super::*;
    use crate::exchange::Pending;
    use crate::status::{Outcome, Task};
    use crate::usage::UsageReader;

    /// Notes what it observes.
    struct Notes<'a>(&'a RefCell<Vec<String>>);

    impl Notes<'_> {
        fn note(&self, note: impl Into<String>) {
            self.0.borrow_mut().push(note.into());
        }
    }

    impl Observer for Notes<'_> {
        const ENDS_AT_MARKER: bool = false;
        const ENDS_AT_CONTENT_LENGTH: bool = false;

        fn poll_in<T>(_: Option<&Self>, poll: impl FnOnce() -> T) -> T {
            poll()
        }

        fn response(&mut self, status: StatusCode, _: &mut HeaderMap) {
            self.note(status.as_str());
        }

        fn finish(
            &mut self,
            outcome: Outcome,
            _: Option<Box<Task>>,
            response: Option<&UsageReader>,
        ) {
            let model = response.and_then(|response| response.info().model);
            self.0.borrow_mut().extend(model.map(Into::into));
            self.note(format!("{outcome:?}"));
        }

        fn dropped(&mut self) {
            self.note("dropped");
        }
    }

    #[test]
    fn what_the_response_says_of_itself_comes_with_the_outcome() {
        let answer = br#"{"model":"m-1","usage":{"input_tokens":1,"output_tokens":1}}"#;
        for (chunks, status) in [(1, 200), (3, 200), (3, 500)] {
            let pieces = answer.chunks(answer.len().div_ceil(chunks));
            let frames = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
            let inner = StreamBody::new(futures_util::stream::iter(frames));
            let notes = RefCell::default();
            let path = Some("/model/m-2/invoke");
            let pending = Pending::new(Notes(&notes), &Method::POST, path);
            let mut head = Response::builder().header("content-type", "application/json");
            let status = StatusCode::from_u16(status).unwrap();
            let observer = pending.answered(status, head.headers_mut().unwrap());
            let mut body = Box::pin(ExchangeBody::<_, _>::new(inner, Some(observer)));
            let mut cx = Context::from_waker(std::task::Waker::noop());
            while let Poll::Ready(Some(_)) = body.as_mut().poll_frame(&mut cx) {}
            drop(body);
            let seen = notes.into_inner();
            assert_eq!((seen.len(), &*seen[1]), (3, "m-1"), "{seen:?}");
        }
        // Nobody has read the body: the path names the model that was asked.
        let notes = RefCell::default();
        let pending = Pending::new(Notes(&notes), &Method::POST, Some("/model/m-2/invoke"));
        drop(pending.answered(StatusCode::OK, &mut HeaderMap::new()));
        assert_eq!(notes.into_inner()[1], "m-2");
    }

    #[test]
    fn trailers_are_read_before_the_outcome_and_passed_on() {
        for (code, outcome) in [("0", "Success"), ("14", "grpc_unavailable")] {
            let trailers =
                [(HeaderName::from_static("grpc-status"), HeaderValue::from_static(code))];
            let trailers = HeaderMap::from_iter(trailers);
            let frames = [Frame::data(Bytes::from_static(b"x")), Frame::trailers(trailers.clone())];
            let frames = frames.map(Ok::<_, Infallible>);
            let inner = StreamBody::new(futures_util::stream::iter(frames));
            let notes = RefCell::default();
            let pending = Pending::new(Notes(&notes), &Method::POST, None);
            let mut head = Response::builder().header("content-type", "application/grpc");
            let head = head.headers_mut().unwrap();
            let observer = pending.answered(StatusCode::OK, head);
            let mut body = Box::pin(ExchangeBody::<_, _>::new(inner, Some(observer)));
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let mut passed = None;
            while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut cx) {
                passed = frame.into_trailers().ok();
            }
            drop(body);
            assert_eq!(passed, Some(trailers));
            let seen = notes.into_inner();
            assert_eq!((seen.len(), &*seen[0]), (2, "200"), "{seen:?}");
            assert!(seen[1].contains(outcome), "{seen:?}");
        }
    }
}
