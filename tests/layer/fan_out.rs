//! Concurrent calls, and the places where a scope gets lost: what is recorded there, and how
//! to carry the session along.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, FuturesUnordered, StreamExt as _};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::sync::{Barrier, mpsc};
use tokio::task::JoinSet;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt as _};
use tower_agent_status::status::{AgentState, OverallStatus, TokenUsage, WorkflowStatus};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{SessionId, StatusLayer, StatusService, StatusTracker, Workflow};

use crate::support::agent::{
    AgentBody, HttpClient, MockAgent, client, data, piped, receive, whole,
};
use crate::support::{
    AGENT, SESSION, assert_contract_of_history, builder, id, of_session, stored, ticking_clock,
};

const ANSWER: &str = "{\"success\": true, \"token_usage\": {\"input_tokens\": 5, \"output_tokens\": 2, \"total_tokens\": 7}}";
const REFUSAL: &str = "{\"success\": false, \"error\": \"max iterations\"}";

struct Stack {
    tracker: StatusTracker,
    store: MemoryStore,
    client: StatusService<HttpClient>,
    agent: MockAgent,
}

impl Stack {
    /// An agent that answers no call before this many have arrived. Calls to `/bad` fail.
    async fn new(at_once: usize) -> Self {
        let all = Arc::new(Barrier::new(at_once));
        let agent = MockAgent::start(move |request: Request<_>| {
            let all = Arc::clone(&all);
            async move {
                all.wait().await;
                let body = if request.uri().path() == "/bad" { REFUSAL } else { ANSWER };
                answer(whole(body))
            }
        });
        Self::of(agent.await)
    }

    fn of(agent: MockAgent) -> Self {
        let store = MemoryStore::new();
        let tracker = builder(store.clone()).clock(ticking_clock()).start().unwrap();
        let client = StatusLayer::new(&tracker, AGENT).layer(client());
        Self { tracker, store, client, agent }
    }

    /// A call without a session of its own, read to its end. It starts when it is first
    /// polled.
    fn call(&self, path: &str) -> impl Future<Output = ()> + Send + use<> {
        call(self.client.clone(), Request::get(self.agent.url(path)))
    }

    fn workflow(&self) -> Workflow {
        self.tracker.workflow(SESSION).start().unwrap()
    }

    /// The item stored in the end, after these calls.
    async fn assert_calls(&self, calls: u64) -> WorkflowStatus {
        let item = stored(&self.tracker, &self.store, SESSION).await;
        assert_contract_of_history(&self.store);
        let status = WorkflowStatus::from_item(&id(SESSION), &item);
        assert_eq!(status.agent(AGENT).unwrap().calls, calls);
        status
    }
}

fn answer(body: AgentBody) -> Response<AgentBody> {
    Response::builder().header("content-type", "application/json").body(body).unwrap()
}

async fn call<S, B>(client: S, request: http::request::Builder)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Data = Bytes, Error: std::error::Error>,
{
    let request = request.body(Full::default()).unwrap();
    receive(client.oneshot(request).await.unwrap()).await;
}

#[tokio::test]
async fn calls_of_futures_unordered_are_one_group_of_the_session() {
    let stack = Stack::new(8).await;
    let run: Result<(), Infallible> = stack
        .workflow()
        .run(async {
            let mut calls: FuturesUnordered<_> = (0..7).map(|_| stack.call("/good")).collect();
            calls.push(stack.call("/bad"));
            while calls.next().await.is_some() {}
            Ok(())
        })
        .await;
    run.unwrap();
    let status = stack.assert_calls(8).await;
    let agent = status.agent(AGENT).unwrap();
    assert_eq!(agent.state, AgentState::Error, "one of the overlapping calls failed");
    assert_eq!(agent.token_usage(), Some(TokenUsage::new(35, 14)));
    assert_eq!(status.total_token_usage(), TokenUsage::new(35, 14));
    assert_eq!(status.overall_status, OverallStatus::Completed);
}

#[tokio::test]
async fn calls_of_two_agents_at_once_are_two_groups_whose_tokens_add_up() {
    let stack = Stack::new(2).await;
    let other = StatusLayer::new(&stack.tracker, "tradeExtraction").layer(client());
    let other = call(other, Request::get(stack.agent.url("/good")));
    let workflow = stack.workflow();
    workflow.scope(async { tokio::join!(stack.call("/good"), other) }).await;
    let status = stack.assert_calls(1).await;
    assert_eq!(status.agent("tradeExtraction").unwrap().calls, 1);
    assert_eq!(status.total_token_usage(), TokenUsage::new(10, 4));
}

#[tokio::test]
async fn tasks_of_a_join_set_lose_the_scope_and_in_scope_gives_it_back() {
    let stack = Stack::new(3).await;
    let workflow = stack.workflow();
    workflow
        .scope(async {
            let mut lost: JoinSet<()> = (0..3).map(|_| stack.call("/good")).collect();
            while let Some(ended) = lost.join_next().await {
                ended.unwrap();
            }
            stack.assert_calls(0).await;

            let session = SessionId::current().unwrap();
            let calls = (0..3).map(|_| session.scope(stack.call("/good")));
            let mut kept: JoinSet<()> = calls.collect();
            while let Some(ended) = kept.join_next().await {
                ended.unwrap();
            }
        })
        .await;
    let status = stack.assert_calls(3).await;
    assert_eq!(status.total_token_usage(), TokenUsage::new(15, 6));
}

#[tokio::test]
async fn a_spawned_task_loses_the_scope_and_the_workflows_own_scope_gives_it_back() {
    let stack = Stack::new(1).await;
    let workflow = stack.workflow();
    workflow
        .scope(async {
            tokio::spawn(stack.call("/good")).await.unwrap();
            stack.assert_calls(0).await;
            // The handle can be cloned into the task.
            let (workflow, call) = (workflow.clone(), stack.call("/good"));
            tokio::spawn(async move { workflow.scope(call).await }).await.unwrap();
        })
        .await;
    stack.assert_calls(1).await;
}

#[tokio::test]
async fn a_blocking_task_loses_the_scope_and_an_extension_takes_its_place() {
    let stack = Stack::new(1).await;
    let blocking = |request: http::request::Builder| {
        let (client, runtime) = (stack.client.clone(), tokio::runtime::Handle::current());
        tokio::task::spawn_blocking(move || runtime.block_on(call(client, request)))
    };
    let request = || Request::get(stack.agent.url("/good"));
    let workflow = stack.workflow();
    workflow
        .scope(async {
            blocking(request()).await.unwrap();
            stack.assert_calls(0).await;
            let session = SessionId::current().unwrap();
            blocking(request().extension(session)).await.unwrap();
        })
        .await;
    stack.assert_calls(1).await;
}

#[tokio::test]
async fn a_layer_inside_a_buffer_sees_no_scope_and_takes_an_extension() {
    let stack = Stack::new(1).await;
    let layer = StatusLayer::new(&stack.tracker, AGENT);
    let request = || Request::get(stack.agent.url("/good"));
    let workflow = stack.workflow();
    workflow
        .scope(async {
            // This is so even if the buffer, with its task, is created in the scope.
            let inside = ServiceBuilder::new().buffer(4).layer(layer.clone()).service(client());
            call(inside.clone(), request()).await;
            stack.assert_calls(0).await;
            let session = SessionId::current().unwrap();
            call(inside, request().extension(session)).await;
            stack.assert_calls(1).await;

            let outside = ServiceBuilder::new().layer(layer).buffer(4).service(client());
            call(outside, request()).await;
        })
        .await;
    stack.assert_calls(2).await;
}

#[tokio::test]
async fn calls_that_a_stream_makes_after_its_run_returned_have_no_scope_unless_it_is_given() {
    let stack = Stack::new(1).await;
    let run = || {
        let calls = stream::iter(["/good", "/good"]).then(|path| stack.call(path));
        stack.workflow().run(async { Ok::<_, Infallible>(calls) })
    };
    // The stream makes its calls when it is polled, which is after `run` has returned.
    run().await.unwrap().collect::<Vec<_>>().await;
    stack.assert_calls(0).await;

    let calls = run().await.unwrap();
    id(SESSION).scope(calls.collect::<Vec<_>>()).await;
    let status = stack.assert_calls(2).await;
    assert_eq!(status.overall_status, OverallStatus::Completed);
    assert_eq!(status.agent(AGENT).unwrap().state, AgentState::Success);
    assert_eq!(status.total_token_usage(), TokenUsage::new(10, 4));
}

#[tokio::test]
async fn a_body_that_is_read_after_its_run_returned_ends_its_call_late_and_right() {
    let (calls, mut senders) = mpsc::channel(1);
    let agent = MockAgent::start(move |_| {
        let calls = calls.clone();
        async move {
            let (sender, body) = piped();
            calls.send(sender).await.unwrap();
            answer(body)
        }
    });
    let stack = Stack::of(agent.await);
    let request = Request::get(stack.agent.url("/")).body(Full::<Bytes>::default()).unwrap();
    let answered = async { Ok::<_, BoxError>(stack.client.clone().oneshot(request).await?) };
    let response = stack.workflow().run(answered).await.unwrap();

    // The end of the run ended the agent, since its call had not ended yet.
    let status = stack.assert_calls(0).await;
    assert_eq!(status.overall_status, OverallStatus::Completed);
    let error = status.agent(AGENT).unwrap().error.clone().unwrap();
    assert_eq!(error.class, "workflow_ended");

    // The body carries its session, wherever it is read.
    let sender = senders.recv().await.unwrap();
    let read = tokio::spawn(id("another").scope(response.into_body().collect()));
    for piece in [&ANSWER[..30], &ANSWER[30..]] {
        sender.send(data(piece)).await.unwrap();
    }
    drop(sender);
    assert_eq!(read.await.unwrap().unwrap().to_bytes(), ANSWER);
    let status = stack.assert_calls(1).await;
    let agent = status.agent(AGENT).unwrap();
    assert_eq!((agent.state, agent.error.as_ref()), (AgentState::Success, None));
    assert_eq!(status.total_token_usage(), TokenUsage::new(5, 2));
    assert_eq!(status.overall_status, OverallStatus::Completed);
    assert_eq!(stack.tracker.status("another"), None);
}

#[tokio::test]
async fn an_extension_names_the_session_where_there_is_no_scope_at_all() {
    let stack = Stack::new(2).await;
    let one = |session| {
        let request = Request::get(stack.agent.url("/good")).body(Full::default()).unwrap();
        let call = stack.client.clone().oneshot(of_session(session, request));
        tokio::spawn(async { receive(call.await.unwrap()).await })
    };
    let (a, b) = tokio::join!(one(SESSION), one("other"));
    a.unwrap();
    b.unwrap();
    stack.assert_calls(1).await;
    assert_eq!(stack.store.status("other").unwrap().agent(AGENT).unwrap().calls, 1);
}
