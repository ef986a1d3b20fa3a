//! Whole calls and whole reports of several threads at once, of which the hand-off is a part.
//!
//! A report by hand looks up its session and its agent by their names, of which it makes
//! copies, and so is set against a channel whose messages hold such copies. A call has its
//! request, its mark and what reads its answer. Each is two hand-offs: a start and an end.

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

/// What would travel through a channel: as large as what the tracker is told.
struct Message {
    _session: Arc<str>,
    _agent: Arc<str>,
    _told: [u64; 12],
}

const CHANNEL: &str = "tokio mpsc try_send, names copied";
const SESSION: &str = "session-corr_abc123";
const AGENT: &str = "pdfAdapter";
/// Room for what two producers hand over in a round and in what comes before it.
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

/// What is told, and to whom on a thread of its own, who ends when there is nobody left to
/// tell.
struct Listened<T> {
    teller: Option<T>,
    listener: Option<JoinHandle<()>>,
}

impl<T> Drop for Listened<T> {
    fn drop(&mut self) {
        drop(self.teller.take());
        self.listener.take().expect("one listener").join().expect("it ends");
    }
}

fn runner<T: Sync + 'static>(
    threads: usize,
    teller: T,
    tell: impl Fn(&T, usize, u64) + Sync + 'static,
    listen: impl Future<Output = ()> + Send + 'static,
) -> Runner {
    let listened = Listened { teller: Some(teller), listener: Some(consumer(listen)) };
    Box::new(move |times| {
        let teller = listened.teller.as_ref().expect("there until the end");
        on_threads(threads, |thread, times| tell(teller, thread, times), times);
        None
    })
}

fn channel(threads: usize) -> Runner {
    let (sender, mut receiver) = mpsc::channel::<Message>(ROOM);
    let listen = async move {
        while let Some(message) = receiver.recv().await {
            std::hint::black_box(message);
        }
    };
    let tell = |sender: &mpsc::Sender<Message>, _, times| {
        for _ in 0..2 * times {
            let (_session, _agent) = (SESSION.into(), AGENT.into());
            let message = Message { _session, _agent, _told: [1; 12] };
            assert!(sender.try_send(message).is_ok(), "there is room");
        }
    };
    runner(threads, sender, tell, listen)
}

/// The session that a thread works on.
fn session(thread: usize, is_apart: bool) -> String {
    if is_apart { format!("{SESSION}-{thread}") } else { SESSION.to_owned() }
}

/// An agent starts and ends, told by hand.
fn reports(threads: usize, is_apart: bool) -> Runner {
    let (tracker, recorder) =
        StatusTracker::builder(MemoryStore::new()).build().expect("a tracker");
    let tell = move |tracker: &StatusTracker, thread, times| {
        let session = session(thread, is_apart);
        for _ in 0..times {
            for state in [AgentState::InProgress, AgentState::Success] {
                let report = AgentReport::new(state);
                tracker.update_agent_status(&session, AGENT, report).expect("a report");
            }
        }
    };
    runner(threads, tracker, tell, recorder)
}

/// Answers at once, with a body that is over.
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
    let tell = move |tracker: &StatusTracker, thread, times| {
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
    runner(threads, tracker, tell, recorder)
}
