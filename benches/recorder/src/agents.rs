//! The agents, which are services in this process.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use tower::Service;
use tower_agent_status::Agent as Declared;

use crate::stores::Saves;

pub const AGENTS: [&str; 4] =
    ["pdfAdapter", "tradeExtraction", "tradeMatching", "exceptionManagement"];

/// The agents with the texts that a portal shows.
pub fn declared() -> [Declared; 4] {
    AGENTS.map(|name| {
        Declared::new(name)
            .pending("Waiting for the agents before it")
            .in_progress("Working on the document")
            .success("The work is done")
            .error("The work failed")
    })
}

/// The time that agents took, which is no cost of the status.
#[derive(Clone, Default)]
pub struct Spent(Arc<AtomicU64>);

impl Spent {
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    fn add(&self, time: Duration) {
        self.0.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }
}

/// An agent in one workflow.
#[derive(Clone)]
pub struct Agent {
    pub answer: Bytes,
    pub spent: Spent,
    pub answers: Answers,
}

/// When an agent answers.
#[derive(Clone)]
pub enum Answers {
    AtOnce,
    After(Duration),
    /// Once this many writes of its workflow were applied.
    AfterWrites(Saves, u64),
}

/// How the agents of a workflow answer.
#[derive(Clone, Copy, PartialEq)]
pub enum Pace {
    AtOnce,
    /// Like agents that take longer than a write: they wait for the write if there is one, else
    /// for [`SLOW`].
    Slow,
}

/// The time of a write, including the batch delay.
pub const SLOW: Duration = Duration::from_millis(7);

impl Service<Request<Empty<Bytes>>> for Agent {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Ok(()).into()
    }

    fn call(&mut self, _: Request<Empty<Bytes>>) -> Self::Future {
        let start = Instant::now();
        let Self { answer, spent, answers } = self.clone();
        Box::pin(async move {
            match answers {
                Answers::AtOnce => {}
                Answers::After(time) => tokio::time::sleep(time).await,
                Answers::AfterWrites(saves, writes) => saves.reach(writes).await,
            }
            let response = Response::builder().header("content-type", "application/json");
            let response = response.body(Full::new(answer)).expect("a response");
            spent.add(start.elapsed());
            Ok(response)
        })
    }
}

/// A chat answer of about 2 KB, with its usage.
pub fn chat() -> Bytes {
    let text = "The trade was matched against the confirmation of the counterparty. ".repeat(24);
    format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1766570400,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":1500,"completion_tokens":500,"total_tokens":2000}}}}"#
    )
    .into()
}
