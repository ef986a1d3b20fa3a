//! The hand-off to the recorder, under contention: two events, against two messages into a
//! channel.
//!
//! Nothing public hands over and does nothing else. A report by hand comes nearest: it looks
//! up its session and its agent by their names, of which it makes copies, and so is set
//! against a channel whose messages hold such copies. The calls are whole calls, with their
//! request, their mark and what reads their answer.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::sync::mpsc;
use tower::{Layer, Service};
use tower_agent_status::status::{AgentReport, AgentState};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{SessionId, StatusLayer, StatusTracker};

use crate::{Row, Runner, Way};

/// What would travel through a channel: as large as what the tracker is told.
struct Message {
    _session: Arc<str>,
    _agent: Arc<str>,
    _told: [u64; 12],
}

const CHANNEL: &str = "tokio mpsc try_send";
const SESSION: &str = "session-corr_abc123";
const AGENT: &str = "pdfAdapter";

pub fn rows() -> Vec<Row> {
    [("hand-off, 1 thread", 1), ("hand-off, 2 threads", 2)]
        .map(|(name, threads)| Row {
            name,
            unit: "hand-off",
            units: 2 * threads as u64,
            runs: 100_000,
            peer: CHANNEL,
            ways: vec![
                Way::new(CHANNEL, move || channel(threads, false)),
                Way::new("tokio mpsc try_send, names copied", move || channel(threads, true)),
                Way::new("reports to one session", move || reports(threads, false)),
                Way::new("reports to a session for each thread", move || reports(threads, true)),
                Way::new("calls of one session", move || calls(threads, false)),
                Way::new("calls of a session for each thread", move || calls(threads, true)),
            ],
        })
        .into()
}

/// Runs on so many threads at once, each as often as asked.
fn on_threads(
    threads: usize,
    run: impl Fn(usize, u64) + Send + Sync + 'static,
    kept: impl Sized + 'static,
) -> Runner {
    let run = Arc::new(run);
    Box::new(move |times| {
        let _kept = &kept;
        if threads == 1 {
            return run(0, times);
        }
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let run = Arc::clone(&run);
                scope.spawn(move || run(thread, times));
            }
        });
    })
}

/// Somebody takes what was handed over, as fast as it comes, on a thread of its own. It
/// ends with this.
struct Background {
    is_over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Background {
    fn run(future: impl Future<Output = ()> + Send + 'static) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let over = async {
                    while !flag.load(Ordering::Relaxed) {
                        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                    }
                };
                tokio::select! {
                    () = future => {}
                    () = over => {}
                }
            });
        });
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().expect("one thread").join();
    }
}

fn channel(threads: usize, copies: bool) -> Runner {
    let (sender, mut receiver) = mpsc::channel::<Message>(1024);
    let consumer = Background::run(async move {
        while let Some(message) = receiver.recv().await {
            std::hint::black_box(message);
        }
    });
    let names: [Arc<str>; 2] = [SESSION.into(), AGENT.into()];
    let run = move |_, times| {
        for _ in 0..2 * times {
            let [session, agent] =
                if copies { [SESSION.into(), AGENT.into()] } else { names.clone() };
            let message = Message { _session: session, _agent: agent, _told: [1; 12] };
            // A full channel refuses, which is the cheaper way for it.
            let _ = std::hint::black_box(sender.try_send(message));
        }
    };
    on_threads(threads, run, consumer)
}

/// An agent starts and ends, told by hand.
fn reports(threads: usize, is_apart: bool) -> Runner {
    let (tracker, recorder) =
        StatusTracker::builder(MemoryStore::new()).build().expect("a tracker");
    let recorder = Background::run(recorder);
    let run = move |thread: usize, times: u64| {
        let session = if is_apart { format!("{SESSION}-{thread}") } else { SESSION.to_owned() };
        for _ in 0..times {
            for state in [AgentState::InProgress, AgentState::Success] {
                let report = AgentReport::new(state);
                tracker.update_agent_status(&session, AGENT, report).expect("a report");
            }
        }
    };
    on_threads(threads, run, recorder)
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
    let recorder = Background::run(recorder);
    let service = StatusLayer::new(&tracker, AGENT).layer(Nothing);
    let run = move |thread: usize, times: u64| {
        let session = if is_apart { thread } else { 0 };
        let session = SessionId::new(format!("session-{session}")).expect("an id");
        let mut service = service.clone();
        let calls = session.in_scope(async move {
            for _ in 0..times {
                let _ = std::hint::black_box(service.call(Request::new(())).await);
            }
        });
        let calls = std::pin::pin!(calls);
        assert!(calls.poll(&mut Context::from_waker(std::task::Waker::noop())).is_ready());
    };
    on_threads(threads, run, recorder)
}
