//! Readiness is that of the inner service, and a call is one inner call.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service};
use tower_agent_status::status::AgentState;
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{
    StatusBody, StatusFuture, StatusLayer, StatusService, StatusTracker, Workflow,
};
use tower_test::mock::{Handle, Mock, Spawn, spawn_layer};

use crate::support::agent::HttpClient;
use crate::support::{AGENT, SESSION, builder, id, of_session, stored, ticking_clock};

type Agent = Mock<Request<()>, Response<String>>;

struct Stack {
    service: Spawn<StatusService<Agent>>,
    agent: Handle<Request<()>, Response<String>>,
    tracker: StatusTracker,
    store: MemoryStore,
}

fn stack() -> Stack {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).clock(ticking_clock()).start().unwrap();
    let (service, agent) = spawn_layer(StatusLayer::new(&tracker, AGENT));
    Stack { service, agent, tracker, store }
}

fn request() -> Request<()> {
    of_session(SESSION, Request::new(()))
}

#[tokio::test]
async fn the_layer_is_pending_while_the_inner_service_is() {
    let mut stack = stack();
    stack.agent.allow(0);
    assert_pending!(stack.service.poll_ready());
    assert!(!stack.service.is_woken());
    stack.agent.allow(1);
    assert!(stack.service.is_woken(), "the caller's waker is registered");
    assert_ready_ok!(stack.service.poll_ready());
}

#[tokio::test]
async fn an_error_of_readiness_reaches_the_caller_and_is_no_call() {
    let mut stack = stack();
    stack.agent.send_error(Told(7));
    let error = assert_ready_err!(stack.service.poll_ready());
    assert_eq!(error.downcast_ref(), Some(&Told(7)));
    assert_eq!(stack.tracker.status(SESSION), None);
}

#[tokio::test]
async fn nothing_starts_before_the_call() {
    let mut stack = stack();
    stack.agent.allow(1);
    // Not even within a session.
    id(SESSION)
        .scope(async {
            for _ in 0..3 {
                assert_ready_ok!(stack.service.poll_ready());
            }
        })
        .await;
    stack.tracker.flush().await.unwrap();
    assert_eq!(stack.tracker.status(SESSION), None);
    assert_eq!(stack.store.history(), []);
    // The service is ready, but never called.
    drop(stack.service);
    stack.tracker.flush().await.unwrap();
    assert_eq!(stack.store.history(), []);
}

#[tokio::test]
async fn a_call_is_exactly_one_inner_call() {
    let mut stack = stack();
    stack.agent.allow(2);
    assert_ready_ok!(stack.service.poll_ready());
    let mut response = task::spawn(stack.service.call(request()));
    // `call` makes the inner call, not the first poll of the future.
    let (_, reply) = assert_ready!(task::spawn(()).enter(|_, _| stack.agent.poll_request()))
        .expect("the inner service is called");
    assert_pending!(response.poll());
    assert_pending!(task::spawn(()).enter(|_, _| stack.agent.poll_request()));
    reply.send_response(Response::new("hello".to_owned()));
    let response = assert_ready_ok!(response.poll());
    assert_eq!(response.body().get_ref(), "hello");
    assert_pending!(task::spawn(()).enter(|_, _| stack.agent.poll_request()));
}

#[tokio::test]
async fn the_callers_error_is_the_inner_services_own() {
    let mut stack = stack();
    stack.agent.allow(1);
    assert_ready_ok!(stack.service.poll_ready());
    let mut response = task::spawn(stack.service.call(request()));
    let (_, reply) = stack.agent.next_request().await.unwrap();
    reply.send_error(Told(42));
    let error = assert_ready_err!(response.poll());
    assert_eq!(error.downcast_ref(), Some(&Told(42)));

    let agent = stack.tracker.status(SESSION).unwrap().agent(AGENT).unwrap().clone();
    assert_eq!(agent.state, AgentState::Error);
    assert_eq!(agent.calls, 1);
    let error = agent.error.unwrap();
    assert_eq!((&*error.class, error.message.as_str()), ("transport", "scripted failure: 42"));
    stored(&stack.tracker, &stack.store, SESSION).await;
}

#[tokio::test]
async fn a_clone_does_not_inherit_readiness_and_is_called_on_its_own() {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).clock(ticking_clock()).start().unwrap();
    let mut service = Layer::layer(&StatusLayer::new(&tracker, AGENT), Strict::default());
    let mut cx = Context::from_waker(Waker::noop());

    assert_ready_ok!(service.poll_ready(&mut cx));
    let mut clone = service.clone();
    assert!(!clone.get_ref().is_ready);
    // `call` uses the service that was polled ready, not a clone.
    drop(assert_ready_ok!(task::spawn(service.call(request())).poll()));
    assert_ready_ok!(clone.poll_ready(&mut cx));
    drop(assert_ready_ok!(task::spawn(clone.call(request())).poll()));

    // Both calls belong to the same agent.
    stored(&tracker, &store, SESSION).await;
    let agent = tracker.status(SESSION).unwrap().agent(AGENT).unwrap().clone();
    assert_eq!((agent.state, agent.calls), (AgentState::Success, 2));
}

/// A service that must be polled ready before each call, and whose clones are not ready.
#[derive(Default)]
struct Strict {
    is_ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<()>> for Strict {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called without being ready");
        ready(Ok(Response::new(String::new())))
    }
}

#[tokio::test]
async fn the_inner_service_can_be_reached_and_taken_back() {
    let store = MemoryStore::new();
    let tracker = builder(store).start().unwrap();
    let mut service = Layer::layer(&StatusLayer::new(&tracker, AGENT), 7_u8);
    *service.get_mut() += 1;
    assert_eq!(*service.get_ref(), 8);
    assert_eq!(service.into_inner(), 8);
}

/// Callers move these types between threads, alone and within their own types.
#[test]
fn what_the_layer_is_made_of_can_be_sent_and_shared() {
    fn is_sent_and_shared<T: Send + Sync + Unpin + fmt::Debug + 'static>() {}
    is_sent_and_shared::<StatusLayer>();
    is_sent_and_shared::<StatusTracker>();
    is_sent_and_shared::<Workflow>();
    is_sent_and_shared::<StatusService<HttpClient>>();
    is_sent_and_shared::<StatusBody<hyper::body::Incoming>>();
    is_sent_and_shared::<StatusFuture<Ready<()>>>();
}

#[derive(Debug, PartialEq)]
struct Told(u8);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scripted failure: {}", self.0)
    }
}

impl std::error::Error for Told {}
