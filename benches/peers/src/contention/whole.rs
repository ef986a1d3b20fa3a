//! Whole calls and whole reports on several threads at once; the hand-off is a part of each.
//!
//! An explicit report looks up its session and its agent by their names, which it copies. So
//! it is compared with a channel whose messages hold such copies. A call also handles its
//! request and observes its answer. Each is two hand-offs: a start and an end.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use http::{Request, Response};
use tokio::sync::mpsc;
use tower::{Layer, Service};
use tower_agent_status::status::{AgentReport, AgentState};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{SessionId, StatusLayer, StatusTracker};

use super::{HANDOFFS, consumer, on_threads};
use crate::{Row, Runner, Way};

/// The message of a channel, as large as what the tracker receives.
struct Message {
    _session: Arc<str>,
    _agent: Arc<str>,
    _payload: [u64; 12],
}

const CHANNEL: &str = "tokio mpsc try_send, names copied";
const SESSION: &str = "session-corr_abc123";
const AGENT: &str = "pdfAdapter";
/// Capacity for the messages of two producers in a round and its warm-up.
const ROOM: usize = 3 * HANDOFFS as usize;

pub fn rows() -> [Row; 2] {
    [("whole calls, 1 thread", 1), ("whole calls, 2 threads", 2)].map(|(name, threads)| Row {
        name,
        unit: "hand-off",
        units: 2 * threads as u64,
        runs: HANDOFFS / 6,
        peer: CHANNEL,
        ways: vec![
            Way::new(CHANNEL, move || channel(threads)),
            Way::new("reports to one session", move || reports(threads, false)),
            Way::new("reports to a session for each thread", move || reports(threads, true)),
            Way::new("calls of one session", move || calls(threads, false)),
            Way::new("calls of a session for each thread", move || calls(threads, true)),
        ],
    })
}

/// A producer, and its consumer on another thread, which ends when the producer is dropped.
struct Pair<T> {
    producer: Option<T>,
    consumer: Option<JoinHandle<()>>,
}

impl<T> Drop for Pair<T> {
    fn drop(&mut self) {
        drop(self.producer.take());
        self.consumer.take().expect("one consumer").join().expect("it ends");
    }
}

fn runner<T: Sync + 'static>(
    threads: usize,
    producer: T,
    produce: impl Fn(&T, usize, u64) + Sync + 'static,
    consume: impl Future<Output = ()> + Send + 'static,
) -> Runner {
    let pair = Pair { producer: Some(producer), consumer: Some(consumer(consume)) };
    Box::new(move |times| {
        let producer = pair.producer.as_ref().expect("there until the end");
        on_threads(threads, |thread, times| produce(producer, thread, times), times);
        None
    })
}

fn channel(threads: usize) -> Runner {
    let (sender, mut receiver) = mpsc::channel::<Message>(ROOM);
    let consume = async move {
        while let Some(message) = receiver.recv().await {
            std::hint::black_box(message);
        }
    };
    let produce = |sender: &mpsc::Sender<Message>, _, times| {
        for _ in 0..2 * times {
            let (_session, _agent) = (SESSION.into(), AGENT.into());
            let message = Message { _session, _agent, _payload: [1; 12] };
            assert!(sender.try_send(message).is_ok(), "there is room");
        }
    };
    runner(threads, sender, produce, consume)
}

/// The session of a thread.
fn session(thread: usize, is_apart: bool) -> String {
    if is_apart { format!("{SESSION}-{thread}") } else { SESSION.to_owned() }
}

/// An agent starts and ends, in explicit reports.
fn reports(threads: usize, is_apart: bool) -> Runner {
    let (tracker, recorder) =
        StatusTracker::builder(MemoryStore::new()).build().expect("a tracker");
    let produce = move |tracker: &StatusTracker, thread, times| {
        let session = session(thread, is_apart);
        for _ in 0..times {
            for state in [AgentState::InProgress, AgentState::Success] {
                let report = AgentReport::new(state);
                tracker.update_agent_status(&session, AGENT, report).expect("a report");
            }
        }
    };
    runner(threads, tracker, produce, recorder)
}

/// Answers at once, with an empty body.
#[derive(Clone)]
struct Nothing;

impl Service<Request<()>> for Nothing {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Ok(()).into()
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(String::new())))
    }
}

fn calls(threads: usize, is_apart: bool) -> Runner {
    let (tracker, recorder) =
        StatusTracker::builder(MemoryStore::new()).build().expect("a tracker");
    let produce = move |tracker: &StatusTracker, thread, times| {
        let session = SessionId::new(session(thread, is_apart)).expect("an id");
        let mut service = StatusLayer::new(tracker, AGENT).layer(Nothing);
        let calls = session.scope(async move {
            for _ in 0..times {
                let _ = std::hint::black_box(service.call(Request::new(())).await);
            }
        });
        let calls = std::pin::pin!(calls);
        assert!(calls.poll(&mut Context::from_waker(std::task::Waker::noop())).is_ready());
    };
    runner(threads, tracker, produce, recorder)
}
