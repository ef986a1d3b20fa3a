//! A workflow whose every change is saved: what the recorder takes for a write, without that of the
//! store.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer, Service};
use tower_agent_status::{StatusLayer, StatusTracker};

use crate::calls::{chat, runtime, tracker};
use crate::{Row, Runner, Way};

const AGENTS: [&str; 4] = ["pdfAdapter", "tradeExtraction", "tradeMatching", "exceptionManagement"];
const RECORDED: &str = "StatusTracker, store in memory";

pub fn row() -> Row {
    Row {
        name: "workflow, 4 agents",
        unit: "write",
        // One after each call, and one at the end.
        units: AGENTS.len() as u64 + 1,
        runs: 200,
        peer: RECORDED,
        ways: vec![Way::new("bare", bare), Way::new(RECORDED, recorded)],
    }
}

/// Answers at once. Not the agent of `calls`: if this row uses it too, the compiler inlines it
/// differently there, and a call without a session has 221 instructions for 162.
#[derive(Clone)]
struct Agent(Bytes);

impl Service<Request<()>> for Agent {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Ok(()).into()
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(Full::new(self.0.clone()))))
    }
}

async fn call<S, B>(client: &mut S)
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body,
    B::Error: std::fmt::Debug,
{
    let response = client.call(Request::new(())).await.expect("an answer");
    std::hint::black_box(response.into_body().collect().await.expect("a body"));
}

fn bare() -> Runner {
    let (runtime, mut agent) = (runtime(), Agent(chat()));
    Box::new(move |times| {
        runtime.block_on(async {
            for _ in 0..times * AGENTS.len() as u64 {
                call(&mut agent).await;
            }
        });
        None
    })
}

fn recorded() -> Runner {
    let runtime = runtime();
    let tracker = tracker(&runtime);
    let agent = Agent(chat());
    let mut workflows = 0_u64;
    Box::new(move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                workflows += 1;
                workflow(&tracker, &agent, &format!("session-corr_{workflows:x}")).await;
            }
        });
        None
    })
}

async fn workflow(tracker: &StatusTracker, agent: &Agent, session_id: &str) {
    let workflow = tracker.workflow(session_id).correlation_id("corr_abc123");
    let calls = async {
        for name in AGENTS {
            call(&mut StatusLayer::new(tracker, name).layer(agent.clone())).await;
            tracker.flush().await.expect("a write");
        }
        Ok::<_, Infallible>(())
    };
    workflow.run(calls).await.expect("all agents answer");
    tracker.flush().await.expect("a write");
}
