//! A thousand clients that watch a hundred workflows over TCP, and five that watch the overview.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::connections::{assert_status, get};
use crate::support::{Store, completed, portal, processing};

const SESSIONS: usize = 100;
const WATCHERS: u64 = 1_000;
const REVISIONS: u64 = 5;
const BOARDS: usize = 5;

/// Watches a session to its end, and returns the number of events and the last status.
async fn watch(address: SocketAddr, session: String, all: Arc<Barrier>) -> (usize, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /api/workflow/{session}/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let (mut events, mut last) = (0, String::new());
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(data) = line.strip_prefix("data: ") {
            let status: Value = serde_json::from_str(data).unwrap();
            assert_eq!(status["sessionId"], session);
            last = status["overallStatus"].as_str().unwrap().to_owned();
            events += 1;
            if events == 1 {
                all.wait().await;
            }
        }
    }
    (events, last)
}

/// Watches the overview until all sessions have completed, and returns the number of events.
async fn watch_overview(address: SocketAddr, all: Arc<Barrier>) -> usize {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /api/workflow/events?overview=true HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut events = 0;
    loop {
        let line = lines.next_line().await.unwrap().unwrap();
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let overview: Value = serde_json::from_str(data).unwrap();
        assert_eq!(overview["workflows"], SESSIONS);
        events += 1;
        if events == 1 {
            all.wait().await;
        }
        if overview["counts"]["completed"] == SESSIONS {
            return events;
        }
    }
}

/// Reads a number of this process from a file in `/proc/self`.
fn proc_value(file: &str, line: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).ok()?;
    let rest = text.lines().find_map(|found| found.strip_prefix(line))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The memory of this process, in KiB.
fn memory() -> Option<u64> {
    proc_value("status", "VmRSS:")
}

/// The number of watchers that the limit of open files allows: each needs two, one per end.
fn watchers() -> usize {
    let files = proc_value("limits", "Max open files").unwrap_or(3 * WATCHERS);
    let watchers = usize::try_from(WATCHERS.min(files / 3)).unwrap();
    if files / 3 < WATCHERS {
        println!("{watchers} watchers, since this process may open {files} files (ulimit -n)");
    }
    watchers
}

#[tokio::test]
async fn no_watcher_misses_the_end() {
    let store = Store::default();
    for session in 0..SESSIONS {
        store.put(&format!("s{session}"), &processing(1)).await;
    }
    let server = portal(store.clone()).bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = server.local_addr();
    tokio::spawn(server.serve());
    let before = memory();
    let mut watchers = JoinSet::new();
    let number = self::watchers();
    let all = Arc::new(Barrier::new(number + BOARDS + 1));
    let mut boards = JoinSet::new();
    for _ in 0..BOARDS {
        boards.spawn(watch_overview(address, Arc::clone(&all)));
    }
    for n in 0..number {
        watchers.spawn(watch(address, format!("s{}", n % SESSIONS), Arc::clone(&all)));
    }
    all.wait().await;
    let (start, first) = (Instant::now(), store.reads());
    for revision in 2..REVISIONS {
        for session in 0..SESSIONS {
            store.put(&format!("s{session}"), &processing(revision)).await;
        }
        let batches = store.reads().batches;
        // Those of the workflows and those of the overview.
        while store.reads().batches < batches + 4 {
            tokio::task::yield_now().await;
        }
    }
    let (seconds, reads, after) = (start.elapsed().as_secs_f64(), store.reads(), memory());
    // Others are answered while all of them watch.
    for path in ["/", "/api/workflow/s0/status", "/api/workflow/recent", "/api/workflow/metrics"] {
        assert_status(&get(address, path).await, 200);
    }
    for session in 0..SESSIONS {
        store.put(&format!("s{session}"), &completed(REVISIONS)).await;
    }
    let (mut ended, mut events) = (0, 0);
    while let Some(watcher) = watchers.join_next().await {
        let (seen, last) = watcher.unwrap();
        assert_eq!(last, "completed");
        assert!(seen >= 2, "{seen} events");
        ended += 1;
        events += seen;
    }
    assert_eq!(ended, number);
    let mut overviews = 0;
    while let Some(seen) = boards.join_next().await {
        overviews += seen.unwrap();
    }
    assert!(overviews >= 2 * BOARDS, "{overviews} events");
    assert_eq!(reads.gets, 0);
    let batches = reads.batches - first.batches;
    let lists = reads.lists - first.lists;
    // Two reads per second for all who watch a workflow, give or take one at each end; two and two
    // lists for all boards; and not one per watcher.
    #[expect(clippy::cast_precision_loss)]
    let (a_second, most) = (|reads: usize| reads as f64 / seconds, 2.0 * seconds + 2.0);
    assert!(a_second(batches) <= 2.0 * most / seconds, "{batches} reads in {seconds} s");
    assert!(a_second(lists) <= most / seconds, "{lists} lists in {seconds} s");
    assert_eq!(reads.keys - first.keys, batches * SESSIONS);
    let grown = after.zip(before).map_or(0, |(after, before)| after.saturating_sub(before));
    println!(
        "{number} watchers of {SESSIONS} sessions and {BOARDS} of the overview: {:.1} reads a \
         second of {SESSIONS} items each and {:.1} lists, {events} events and {overviews} \
         overviews, {} KiB for each watcher with both ends of its connection",
        a_second(batches),
        a_second(lists),
        grown / number as u64
    );
}
