//! The memory of a live session, in bytes requested from the allocator.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty, Full};
use recorder_bench::agents::{AGENTS, Agent, Answers, Spent, chat, declared};
use recorder_bench::memory::{self, Counting};
use recorder_bench::stores::Nowhere;
use tower::{Layer as _, Service};
use tower_agent_status::{StatusBody, StatusLayer, StatusTracker, Workflow};

#[global_allocator]
static COUNTING: Counting = Counting;

const SESSIONS: usize = 10_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let tracker = StatusTracker::builder(Nowhere).agents(declared()).start().expect("a tracker");
    // One-off allocations for the first session are not counted, nor are these lists.
    let answer = chat();
    let first = open(&tracker, SESSIONS);
    call(&tracker, &first, AGENTS[0], &answer).await;
    tracker.flush().await.expect("a store");
    let mut workflows = Vec::with_capacity(SESSIONS);
    let mut answers = Vec::with_capacity(SESSIONS);
    let mut documents = Vec::with_capacity(SESSIONS);

    let before = memory::live();
    println!("{:<46} {:>12}", "of 10,000 live sessions", "bytes each");
    let show = |what: &str, before: usize| {
        let bytes = memory::live().saturating_sub(before);
        println!("  {what:<44} {:>12}", bytes / SESSIONS);
    };
    workflows.extend((0..SESSIONS).map(|n| open(&tracker, n)));
    tracker.flush().await.expect("a store");
    show("opened", before);
    for agent in AGENTS {
        for workflow in &workflows {
            call(&tracker, workflow, agent, &answer).await;
        }
        tracker.flush().await.expect("a store");
    }
    show("after a call of each of four agents", before);
    for workflow in &workflows {
        answers.push(start(&tracker, workflow, AGENTS[0], &answer).await);
    }
    tracker.flush().await.expect("a store");
    show("while the answer to one call is on its way", before);
    answers.clear();
    tracker.flush().await.expect("a store");
    let alone = memory::live();
    documents.extend(workflows.iter().map(Workflow::status));
    show("the document itself, for comparison", alone);
    documents.clear();
    workflows.drain(..).for_each(|workflow| workflow.complete());
    tracker.flush().await.expect("a store");
    show("completed and saved", before);
}

fn open(tracker: &StatusTracker, n: usize) -> Workflow {
    tracker
        .workflow(format!("session-corr_{n:012}"))
        .correlation_id(format!("corr_{n:012}"))
        .attribute("documentId", "FAB_26933659")
        .attribute("sourceType", "BANK")
        .start()
        .expect("a workflow")
}

/// Makes a call up to the head of its answer.
async fn start(
    tracker: &StatusTracker,
    workflow: &Workflow,
    agent: &str,
    answer: &Bytes,
) -> StatusBody<Full<Bytes>> {
    let inner = Agent { answer: answer.clone(), spent: Spent::default(), answers: Answers::AtOnce };
    let mut client = StatusLayer::new(tracker, agent).layer(inner);
    let request = Request::post("https://agents.example/invocations").body(Empty::new());
    let response = workflow.scope(async { client.call(request.expect("a request")).await });
    response.await.expect("an answer").into_body()
}

async fn call(tracker: &StatusTracker, workflow: &Workflow, agent: &str, answer: &Bytes) {
    start(tracker, workflow, agent, answer).await.collect().await.expect("a body");
}
