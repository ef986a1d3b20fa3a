//! The portal under attack: half-sent requests, idle streams, lists over large items, and watchers,
//! all at once. Others go on being answered.
//!
//! ```text
//! SOAK=1 cargo test --release --test portal attack -- --nocapture
//! ```
//!
//! opens 5,000 streams, or as many as the limit of open files allows. Without `SOAK` there are fewer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tower_agent_status::SessionId;
use tower_agent_status::portal::Portal;
use tower_agent_status::status::Item;
use tower_agent_status::store::{ListRequest, RecentItems, StatusReader, StoreError};

use crate::connections::{assert_status, get, send, serve, until};
use crate::support::{Store, ago, completed, portal, processing, whole};

const SESSIONS: usize = 100;
const HALF_SENT: usize = 300;
/// Attributes of 4,096 bytes: an item of some 150 KB.
const LARGE: usize = 37;

/// Raises the limit of open files as far as it goes, and returns it.
fn open_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap())
}

/// The number of streams. Both ends of each are in this process, and so are those of other tests.
fn streams() -> usize {
    let (wanted, files) =
        (if std::env::var_os("SOAK").is_some() { 5_000 } else { 500 }, open_files());
    let number = wanted.min(files / 3);
    println!("{number} streams; this process may open {files} files");
    number
}

/// The memory of this process, in KiB, and its descriptors; `None` where they are not reported.
fn held() -> Option<(usize, usize)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident = resident.trim().strip_suffix(" kB")?.parse().ok()?;
    Some((resident, std::fs::read_dir("/proc/self/fd").ok()?.count()))
}

/// Somebody else's requests.
async fn assert_others_are_answered(address: std::net::SocketAddr) {
    for path in ["/", "/api/workflow/s0/status", "/api/workflow/recent", "/api/workflow/metrics"] {
        assert_status(&get(address, path).await, 200);
    }
    let events = "GET /api/workflow/s1/events HTTP/1.1\r\nhost: localhost\r\n\r\n";
    until(&mut send(address, events).await, "data: ").await;
}

#[tokio::test]
async fn others_are_answered_during_all_of_it() {
    let store = Store::default();
    for n in 0..SESSIONS {
        store.put(&format!("s{n}"), &processing(1)).await;
        let mut large = completed(1);
        for n in 0..LARGE {
            large[format!("attribute{n}")] = "x".repeat(4_096).into();
        }
        store.put(&format!("large{n}"), &large).await;
    }
    let streams = streams();
    let address = serve(portal(store.clone()).max_connections(HALF_SENT + streams)).await;
    let before = held();

    let mut half_sent = Vec::new();
    for _ in 0..HALF_SENT {
        half_sent.push(send(address, "GET / HTTP/1.1\r\nhost: localhost\r\nx: ").await);
    }
    assert_others_are_answered(address).await;

    let mut watchers: Vec<TcpStream> = Vec::new();
    for n in 0..streams {
        let request = format!(
            "GET /api/workflow/s{}/events HTTP/1.1\r\nhost: localhost\r\n\r\n",
            n % SESSIONS
        );
        watchers.push(send(address, &request).await);
    }
    for watcher in &mut watchers {
        until(watcher, "Extracting page 1").await;
    }
    if let Some(((before, free), (now, used))) = before.zip(held()) {
        println!(
            "{} KiB and {} descriptors for {HALF_SENT} half-sent requests and {streams} streams, \
             with both ends of each",
            now.saturating_sub(before),
            used.saturating_sub(free)
        );
    }
    // They take the places of half-sent requests, and of no stream.
    assert_others_are_answered(address).await;

    let mut lists = JoinSet::new();
    for n in 0..32 {
        let path = if n % 2 == 0 { "recent?limit=500" } else { "metrics?limit=10000" };
        lists.spawn(async move { get(address, &format!("/api/workflow/{path}")).await });
    }
    assert_others_are_answered(address).await;
    while let Some(list) = lists.join_next().await {
        assert_status(&list.unwrap(), 200);
    }

    // No watcher misses the end, each of which is a change for all of its session at once.
    for n in 0..SESSIONS {
        store.put(&format!("s{n}"), &completed(2)).await;
    }
    assert_others_are_answered(address).await;
    for watcher in &mut watchers {
        until(watcher, r#""overallStatus":"completed""#).await;
    }
}

/// A store of workflows with large items. It makes each as it is read.
#[derive(Clone, Debug, Default)]
struct Large(Arc<AtomicUsize>);

impl Large {
    fn item(n: usize) -> Item {
        let time = ago(std::time::Duration::from_secs(n as u64));
        let mut item = Item::new();
        item.insert("overallStatus", "processing");
        item.insert("revision", 1);
        item.insert("createdAt", &*time);
        item.insert("lastUpdated", &*time);
        for n in 0..LARGE {
            item.insert(&*format!("attribute{n}"), "x".repeat(4_096));
        }
        item
    }
}

impl StatusReader for Large {
    async fn get(&self, _: &SessionId) -> Result<Option<Item>, StoreError> {
        Ok(None)
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Item>>, StoreError> {
        Ok(vec![None; ids.len()])
    }

    async fn list<T: Send>(
        &self,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<RecentItems<T>, StoreError> {
        let items = (0..request.limit).map(|n| {
            let id = SessionId::new(format!("s{n}")).unwrap();
            let value = map(&id, Self::item(n));
            (id, value)
        });
        self.0.fetch_add(request.limit, Ordering::SeqCst);
        Ok(RecentItems::new(items.collect(), false))
    }

    async fn delete(&self, _: &SessionId) -> Result<bool, StoreError> {
        Ok(false)
    }
}

#[tokio::test]
async fn a_list_keeps_little_of_large_items() {
    /// What an item has at least that nothing is left out of, in KiB.
    const ITEM: usize = LARGE * 4;
    let store = Large::default();
    let router = Portal::new(store.clone()).router();
    let before = held();
    let workflows = 2_000;
    let path = format!("/api/workflow/metrics?limit={workflows}");
    let (status, _, body) = whole(&router, &path).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert!(body.contains("agent_status_workflows_stalled 1910"), "{body}");
    let (status, _, body) = whole(&router, "/api/workflow/recent?limit=500").await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.len() < 500 * 400, "{} bytes", body.len());
    assert_eq!(store.0.load(Ordering::SeqCst), workflows + 500);
    let Some(((before, _), (after, _))) = before.zip(held()) else {
        return println!("skipped: this system does not report memory");
    };
    let kept = after.saturating_sub(before);
    println!("{kept} KiB more after lists over {} KiB", (workflows + 500) * ITEM);
    // Other tests run meanwhile.
    assert!(kept < workflows * ITEM / 2, "{kept} KiB stay");
}

#[tokio::test]
async fn large_items_are_read_in_batches_for_events() {
    let store = Store::default();
    let address = serve(portal(store.clone())).await;
    let mut watchers = Vec::new();
    for n in 0..250 {
        store.put(&format!("s{n}"), &json!({ "overallStatus": "processing" })).await;
        let request = format!("GET /api/workflow/s{n}/events HTTP/1.1\r\nhost: localhost\r\n\r\n");
        watchers.push(send(address, &request).await);
    }
    for watcher in &mut watchers {
        until(watcher, "data: ").await;
    }
    // All are read from now on, as fast as this test asks.
    let first = store.reads();
    while store.reads().keys < first.keys + 500 {
        tokio::task::yield_now().await;
    }
    assert!(store.largest_batch() <= 100, "{}", store.largest_batch());
}
