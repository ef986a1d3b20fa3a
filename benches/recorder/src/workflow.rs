//! The workflow: four agents, one after another.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, Empty};
use tower::{Layer, Service};
use tower_agent_status::store::StatusStore;
use tower_agent_status::{StatusLayer, StatusTracker};

use crate::agents::{AGENTS, Agent, Answers, Pace, SLOW, Spent, chat, declared};
use crate::stores::{Counted, Counts};

/// Calls the agents and reads their answers.
async fn process<S, B>(clients: [S; 4]) -> Result<(), S::Error>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>>,
    B: Body,
    B::Error: std::fmt::Debug,
{
    for mut client in clients {
        let request = Request::post("https://agents.example/invocations");
        let request = request.body(Empty::new()).expect("a request");
        std::future::poll_fn(|cx| client.poll_ready(cx)).await?;
        let body = client.call(request).await?.into_body();
        std::hint::black_box(body.collect().await.expect("an answer"));
    }
    Ok(())
}

/// Runs the workflow without status. Returns its time, without that of its agents.
pub async fn bare(answer: &Bytes, pace: Pace) -> Duration {
    let spent = Spent::default();
    let answers = if pace == Pace::Slow { Answers::After(SLOW) } else { Answers::AtOnce };
    let agent = Agent { answer: answer.clone(), spent: spent.clone(), answers };
    let clients = AGENTS.map(|_| agent.clone());
    let start = Instant::now();
    process(clients).await.expect("all agents answer");
    start.elapsed() - spent.total()
}

/// A tracker, with the counts of its store.
pub struct Tracked {
    tracker: StatusTracker,
    counts: Counts,
    answer: Bytes,
}

impl Tracked {
    pub fn new(store: impl StatusStore) -> Self {
        let (store, counts) = Counted::new(store);
        let tracker = StatusTracker::builder(store).agents(declared());
        Self { tracker: tracker.start().expect("a tracker"), counts, answer: chat() }
    }

    pub fn writes(&self) -> u64 {
        self.counts.writes()
    }

    /// Runs the workflow with status. Returns its time, without that of its agents and of the
    /// last write.
    pub async fn run(&self, session_id: &str, pace: Pace) -> Duration {
        let saves = self.counts.of(session_id);
        let spent = Spent::default();
        let mut writes = 0;
        let clients = AGENTS.map(|name| {
            // The start of the first agent is in one write with that of the workflow. The start
            // of each later agent is in one write with the end of the agent before.
            writes += 1;
            let answers = match pace {
                Pace::AtOnce => Answers::AtOnce,
                Pace::Slow => Answers::AfterWrites(saves.clone(), writes),
            };
            let agent = Agent { answer: self.answer.clone(), spent: spent.clone(), answers };
            StatusLayer::new(&self.tracker, name).layer(agent)
        });
        let start = Instant::now();
        let workflow = self
            .tracker
            .workflow(session_id)
            .correlation_id("corr_abc123")
            .attribute("documentId", "FAB_26933659")
            .attribute("sourceType", "BANK");
        workflow.run(process(clients)).await.expect("all agents answer");
        let time = start.elapsed() - spent.total();
        match pace {
            // The number of writes is not known in advance.
            Pace::AtOnce => self.tracker.flush().await.expect("a table"),
            Pace::Slow => saves.reach(writes + 1).await,
        }
        self.counts.forget(session_id);
        time
    }
}
