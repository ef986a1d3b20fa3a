//! A thousand streams at once. Some clients leave, and some agents break off. Every outcome is right, and neither memory nor descriptors grow from one round to the next.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use forward_clients::agent::listen;
use forward_clients::memory::{Counting, allocated};
use forward_clients::raw::Raw;
use forward_clients::{AGENT, ANY_PORT, in_time, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tower_agent_status::StatusTracker;
use tower_agent_status::forward::Forward;
use tower_agent_status::status::{AgentState, AgentStatus, Change, Precondition, TokenUsage};
use tower_agent_status::store::{StatusStore, StoreError, WriteOutcome};

const STREAMS: usize = 1_000;
const ROUNDS: usize = 3;
/// A session keeps its last eight calls: after as many, it needs no more memory.
const CALLS_BEFORE: usize = 8;
/// The events of a stream after its first one.
const EVENTS: usize = 20;
const LAST: &str =
    "data: {\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n";

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Keeps nothing. A store in memory would grow.
struct Nowhere;

impl StatusStore for Nowhere {
    async fn write(&self, _: &Change, _: Precondition) -> Result<WriteOutcome, StoreError> {
        Ok(WriteOutcome::Applied)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Ends,
    ClientLeaves,
    AgentBreaks,
}

/// 5 % of the clients leave, and 3 % of the agents break off.
fn fate(stream: usize) -> Fate {
    match stream % 100 {
        3 | 23 | 43 | 63 | 83 => Fate::ClientLeaves,
        10 | 50 | 90 => Fate::AgentBreaks,
        _ => Fate::Ends,
    }
}

fn event(stream: usize, n: usize) -> String {
    format!("data: {{\"stream\":{stream},\"n\":{n}}}\n\n")
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// What the agents of a round wait for, and how many of them have seen their client leave.
struct Agents {
    go_on: watch::Receiver<usize>,
    left: AtomicUsize,
}

/// Answers with a stream for each request. It stops after the first event, until the round goes on.
async fn serve(mut stream: TcpStream, agents: Arc<Agents>) {
    let mut head = Vec::new();
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap().trim_start_matches('/');
        let (round, number) = path.split_once('/').unwrap();
        let (round, number): (usize, usize) = (round.parse().unwrap(), number.parse().unwrap());
        if round == 0 {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
            continue;
        }
        let begin = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let begin = format!("{begin}{}", chunk(&event(number, 0)));
        stream.write_all(begin.as_bytes()).await.unwrap();
        if fate(number) == Fate::ClientLeaves {
            // The agent is silent, and must be left all the same.
            assert!(stream.read_u8().await.is_err());
            agents.left.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut go_on = agents.go_on.clone();
        go_on.wait_for(|now| *now >= round).await.unwrap();
        for n in 1..=EVENTS {
            if fate(number) == Fate::AgentBreaks && n == EVENTS / 2 {
                return;
            }
            stream.write_all(chunk(&event(number, n)).as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        let end = format!("{}0\r\n\r\n", chunk(LAST));
        stream.write_all(end.as_bytes()).await.unwrap();
    }
}

/// Opens a stream and reads its first event.
async fn open(forwarder: SocketAddr, round: usize, number: usize) -> Raw {
    let mut raw = Raw::connect(forwarder).await;
    let path = format!("/{AGENT}/~{}/{round}/{number}", session(round, number));
    raw.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    raw.until(&format!("{}\r\n", event(number, 0))).await;
    raw
}

/// Makes short calls for some sessions on one connection.
async fn call_before(forwarder: SocketAddr, numbers: impl Iterator<Item = usize>) {
    let mut raw = Raw::connect(forwarder).await;
    for number in numbers {
        let path = format!("/{AGENT}/~{}/0/{number}", session(0, number));
        for _ in 0..CALLS_BEFORE {
            raw.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
            raw.until("\r\n\r\n{}").await;
        }
    }
}

/// The same sessions in each round, so that memory has nothing else to keep. Another stream has each, so
/// that its outcome changes.
fn session(round: usize, number: usize) -> String {
    format!("session-{}", (number + 7 * round) % STREAMS)
}

/// Reads the rest of a stream.
async fn finish(mut raw: Raw, number: usize) {
    let last = if fate(number) == Fate::Ends { EVENTS } else { EVENTS / 2 - 1 };
    let mut expected = String::new();
    for n in 1..=last {
        expected.push_str(&event(number, n));
    }
    if fate(number) == Fate::Ends {
        expected.push_str(LAST);
        let read = dechunked(&raw.until("0\r\n\r\n").await);
        assert_eq!(read, (expected, true), "{number}");
    } else {
        assert_eq!(dechunked(&raw.rest().await), (expected, false), "{number}");
    }
}

/// The data of some chunks, and whether the last one is among them.
fn dechunked(mut chunks: &str) -> (String, bool) {
    let mut data = String::new();
    while let Some((size, rest)) = chunks.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        data.push_str(&rest[..size]);
        if size == 0 {
            return (data, true);
        }
        chunks = &rest[size + 2..];
    }
    (data, false)
}

fn assert_outcome(agent: &AgentStatus, round: usize, number: usize) {
    let class = agent.error.as_ref().map(|error| &*error.class);
    match fate(number) {
        Fate::Ends => assert_eq!((class, agent.state), (None, AgentState::Success), "{number}"),
        Fate::ClientLeaves => assert_eq!(class, Some("cancelled"), "{number}"),
        Fate::AgentBreaks => assert_eq!(class, Some("transport"), "{number}"),
    }
    assert_eq!(agent.calls, u64::try_from(CALLS_BEFORE + round).unwrap());
    // The tokens of all rounds in which the session's stream came to its end.
    let before = (1..=round)
        .filter(|earlier| fate((number + 7 * (round - earlier)) % STREAMS) == Fate::Ends);
    let ended = u64::try_from(before.count()).unwrap();
    let tokens = (ended > 0).then(|| TokenUsage::new(12 * ended, 3 * ended));
    assert_eq!(agent.token_usage(), tokens, "{number}");
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams() {
    raise_descriptor_limit();
    let (go_on, waiting) = watch::channel(0);
    let agents = Arc::new(Agents { go_on: waiting, left: AtomicUsize::new(0) });
    let shared = Arc::clone(&agents);
    let address = listen(move |stream| serve(stream, Arc::clone(&shared))).await;
    let tracker = StatusTracker::builder(Nowhere).start().unwrap();
    let server = Forward::new(&tracker)
        .agent(AGENT, format!("http://{address}"))
        .bind(ANY_PORT)
        .await
        .unwrap();
    let forwarder = server.local_addr();
    tokio::spawn(server.serve());
    let runtime = tokio::runtime::Handle::current().metrics();
    let before = (descriptors(), runtime.num_alive_tasks());
    let calls = (0..50).map(|first| call_before(forwarder, (first..STREAMS).step_by(50)));
    futures_util::future::join_all(calls).await;
    let mut measured = Vec::new();
    for round in 1..=ROUNDS {
        // No more at once than the backlog of a listener holds.
        let opening = Arc::new(Semaphore::new(100));
        let streams: Vec<_> = (0..STREAMS)
            .map(|number| {
                let opening = Arc::clone(&opening);
                tokio::spawn(async move {
                    let _permit = opening.acquire().await.unwrap();
                    open(forwarder, round, number).await
                })
            })
            .collect();
        let mut open = Vec::new();
        for stream in streams {
            open.push(in_time(stream).await.unwrap());
        }
        // Two for the forwarder, and one each for the client and the agent.
        measured.push((descriptors() - before.0, allocated()));
        for (number, _) in open.iter().enumerate() {
            let status = tracker.status(&session(round, number)).unwrap();
            assert_eq!(status.agent(AGENT).unwrap().state, AgentState::InProgress);
        }

        let mut finishing = Vec::new();
        for (number, raw) in open.into_iter().enumerate() {
            if fate(number) == Fate::ClientLeaves {
                drop(raw);
            } else {
                finishing.push(tokio::spawn(finish(raw, number)));
            }
        }
        let left = round * STREAMS * 5 / 100;
        until(|| (agents.left.load(Ordering::Relaxed) == left).then_some(())).await;
        go_on.send_replace(round);
        for stream in finishing {
            in_time(stream).await.unwrap();
        }
        for number in 0..STREAMS {
            let agent = until(|| {
                let status = tracker.status(&session(round, number))?;
                let agent = status.agent(AGENT)?.clone();
                (agent.state != AgentState::InProgress).then_some(agent)
            })
            .await;
            assert_outcome(&agent, round, number);
        }
        // The forwarder keeps idle connections to agents for some seconds.
        until(|| (before == (descriptors(), runtime.num_alive_tasks())).then_some(())).await;
    }
    println!("descriptors and bytes of memory in each round: {measured:?}");
    assert!(measured.iter().all(|(descriptors, _)| *descriptors == 4 * STREAMS), "{measured:?}");
    // In the first round, lists and buffers that stay have reached their size.
    let ((_, second), (_, last)) = (measured[1], measured[ROUNDS - 1]);
    assert!(last < second + 100 * STREAMS, "memory grows: {measured:?}");
    tracker.flush().await.unwrap();
}

/// Four descriptors for each stream are more than many systems give a process at first.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(20_000, |maximum| maximum.min(20_000));
    assert!(wanted > 6_000, "the process may not open enough files: {wanted}");
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).unwrap();
}
