//! Bodies of a client's responses: those that no call belongs to, and the moment at which a
//! call ends by trailers, by a body that knows its end, or by a panic.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, Full};
use tower::{Layer, Service, service_fn};
use tower_agent_status::status::{AgentState, AgentStatus, TokenUsage};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{StatusBody, StatusLayer, StatusTracker, WithSources};

use crate::support::scripted::{Scripted, Step, trailers};
use crate::support::{AGENT, SESSION, builder, of_session};

const ANSWER: &str = r#"{"usage": {"input_tokens": 5, "output_tokens": 2}}"#;

/// tower-http's `TimeoutLayer` and `CorsLayer` answer in place of a service with a body by
/// `Default`, and so do tonic's interceptors. tonic asks it of the service's response body:
/// `impl Service for InterceptedService<S, I> where S: Service<.., Response = Response<B>>,
/// B: Default`. It would be a heavy dependency for this one bound.
#[expect(dead_code, reason = "it has only to compile")]
fn bodies_have_a_default(layer: StatusLayer) {
    fn intercepted<S, B>(_: S)
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        B: Body + Default,
    {
    }

    let grpc = || {
        service_fn(async |_: Request<_>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        })
    };
    intercepted(layer.layer(grpc()));
    intercepted(layer.error_sources().layer(grpc()));
    fn check<B: Body + Default>() {}
    check::<StatusBody<Empty<Bytes>>>();
    check::<StatusBody<axum::body::Body, WithSources>>();
}

#[tokio::test]
async fn a_body_by_default_is_empty_and_of_no_call() {
    let body = StatusBody::<Full<Bytes>>::default();
    assert!(format!("{body:?}").contains("is_observed: false"), "{body:?}");
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
    assert_eq!(body.collect().await.unwrap().to_bytes(), "");
    let body = StatusBody::<String>::default();
    assert_eq!(body.into_inner(), "");
}

/// Calls an agent that answers with this body.
fn answer<B: Body + Clone>(tracker: &StatusTracker, body: B) -> Pin<Box<StatusBody<B>>> {
    let mut service = StatusLayer::new(tracker, AGENT).layer(service_fn(|_: Request<()>| {
        let response = Response::builder().header("content-type", "application/json");
        std::future::ready(response.body(body.clone()))
    }));
    let mut call = Box::pin(service.call(of_session(SESSION, Request::new(()))));
    let Poll::Ready(response) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("the agent answers at once")
    };
    Box::pin(response.unwrap().into_body())
}

fn poll<B: Body>(body: &mut Pin<Box<B>>) -> Option<Result<Frame<B::Data>, B::Error>> {
    match body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(frame) => frame,
        Poll::Pending => panic!("the body is ready"),
    }
}

fn tracker() -> StatusTracker {
    builder(MemoryStore::new()).start().unwrap()
}

fn look(tracker: &StatusTracker) -> AgentStatus {
    tracker.status(SESSION).unwrap().agent(AGENT).unwrap().clone()
}

#[track_caller]
fn assert_success(agent: &AgentStatus) {
    assert_eq!((agent.state, agent.calls, &agent.error), (AgentState::Success, 1, &None));
    assert_eq!(agent.token_usage(), Some(TokenUsage::new(5, 2)));
}

#[tokio::test]
async fn trailers_are_passed_on_and_end_the_call() {
    let tracker = tracker();
    let steps = [Step::Data(ANSWER), Step::Trailers];
    let mut body = answer(&tracker, Scripted::chunked(&steps));
    assert_eq!(poll(&mut body).unwrap().unwrap().into_data().unwrap(), ANSWER);
    assert_eq!(look(&tracker).state, AgentState::InProgress);
    assert_eq!(poll(&mut body).unwrap().unwrap().into_trailers().unwrap(), trailers());
    let ended = look(&tracker);
    assert_success(&ended);
    drop(body);
    assert_eq!(look(&tracker), ended);
}

/// A body that knows its end without knowing its length, as one of HTTP/2 does, or its length
/// without knowing its end.
#[derive(Clone)]
struct Known {
    pieces: VecDeque<&'static str>,
    end: bool,
    length: bool,
}

impl Body for Known {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.end && self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            true => SizeHint::with_exact(self.pieces.iter().map(|piece| piece.len() as u64).sum()),
            false => SizeHint::default(),
        }
    }
}

#[tokio::test]
async fn the_last_frame_of_a_body_that_knows_its_end_ends_the_call() {
    for (end, length) in [(true, false), (false, true)] {
        let tracker = tracker();
        let (first, second) = ANSWER.split_at(20);
        let mut body = answer(&tracker, Known { pieces: [first, second].into(), end, length });
        poll(&mut body).unwrap().unwrap();
        assert_eq!(look(&tracker).state, AgentState::InProgress);
        poll(&mut body).unwrap().unwrap();
        let ended = look(&tracker);
        assert_success(&ended);
        drop(body);
        assert_eq!(look(&tracker), ended);

        // One that is at its end from the start is never polled.
        let tracker = self::tracker();
        let body = answer(&tracker, Known { pieces: VecDeque::new(), end, length });
        assert_eq!((look(&tracker).state, look(&tracker).calls), (AgentState::Success, 1));
        drop(body);
    }
}

#[tokio::test]
async fn a_future_that_panics_and_is_held_has_ended_its_call() {
    let tracker = tracker();
    let inner = service_fn(|_: Request<()>| async {
        if true {
            panic!("the service panics, as the test wants it");
        }
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    let mut service = StatusLayer::new(&tracker, AGENT).layer(inner);
    let mut future = Box::pin(service.call(of_session(SESSION, Request::new(()))));
    assert_eq!(look(&tracker).state, AgentState::InProgress);
    let mut cx = Context::from_waker(Waker::noop());
    let polled = AssertUnwindSafe(|| future.as_mut().poll(&mut cx).is_ready());
    catch_unwind(polled).unwrap_err();
    let ended = look(&tracker);
    assert_eq!((ended.state, ended.calls), (AgentState::Error, 1));
    let error = ended.error.as_ref().unwrap();
    assert_eq!((&*error.class, error.message.as_str()), ("panic", "the call panicked"));
    drop(future);
    assert_eq!(look(&tracker), ended);
}

#[tokio::test]
async fn a_body_that_panics_and_is_held_has_ended_its_call() {
    let tracker = tracker();
    let mut body = answer(&tracker, Scripted::chunked(&[Step::Data("{\"usage\":"), Step::Panic]));
    poll(&mut body).unwrap().unwrap();
    assert_eq!(look(&tracker).state, AgentState::InProgress);
    catch_unwind(AssertUnwindSafe(|| poll(&mut body).is_some())).unwrap_err();
    let ended = look(&tracker);
    assert_eq!((ended.state, ended.calls), (AgentState::Error, 1));
    // What comes after it belongs to no call.
    assert!(poll(&mut body).is_none());
    drop(body);
    assert_eq!(look(&tracker), ended);
}
