//! An hour's load through the whole stack, with faults. Requests come in and calls to agents
//! go out over sockets. The table is the embedded engine in a file, behind a connection with
//! seeded faults.
//!
//! ```text
//! SOAK=3600 cargo test --release --test soak -- --nocapture
//! ```
//!
//! runs as many workflows as one a second would be in an hour, without the pauses. Meanwhile
//! the memory and the file handles of the process are sampled, and must not grow. Without
//! `SOAK`, only a few workflows run, as a smoke test. `SEED=K` replays the faults of a run,
//! but not which workflows they hit.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[path = "../examples/orchestrator/agents.rs"]
mod agents;
#[path = "../examples/orchestrator/orchestrator.rs"]
mod orchestrator;
#[path = "../examples/orchestrator/scenario.rs"]
mod scenario;
#[path = "store/script.rs"]
#[allow(dead_code, reason = "only the seeded faults are used here")]
mod script;
#[path = "../examples/service/server.rs"]
mod server;
#[path = "../examples/orchestrator/tracking.rs"]
#[allow(dead_code, reason = "here the layer opens the workflows")]
mod tracking;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use clap::ValueEnum as _;
use futures_util::stream::{self, StreamExt as _};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower_agent_status::SessionId;
use tower_agent_status::StatusTracker;
use tower_agent_status::store::{DynamoDbStore, StatusReader as _};

use agents::{Agents, Pace};
use scenario::Scenario;
use script::Script;

/// How many workflows run by default.
const A_FEW: usize = 40;
/// With at least this many workflows, the second half must not hold more than the first.
const LONG_RUN: usize = 1_000;
/// How many workflows run at once.
const AT_ONCE: usize = 16;
/// The agents' pace. A workflow takes some 0.2 s: if it took no time, it would be saved in
/// one write.
const PACE: Pace = Pace(0.05);
/// How many of a hundred requests to the table meet a fault.
const FAULTS: u8 = 3;
/// How often the process is sampled.
const SAMPLES: usize = 24;
/// The memory that an allocator may retain, in bytes.
const SLACK: u64 = 6 << 20;

/// An orchestrator behind its own server. Its agents follow one scenario.
struct Service {
    scenario: Scenario,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Service {
    async fn start(tracker: &StatusTracker, scenario: Scenario) -> Self {
        let agents = Agents::start(scenario, PACE).await.unwrap();
        let orchestrator = tracking::orchestrator(tracker, &agents, tracking::hyper_client());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let tracker = tracker.clone();
        let ended = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            server::serve(listener, &tracker, orchestrator, stopped, Duration::ZERO).await.unwrap();
            drop(agents);
        });
        Self { scenario, address, stop, ended }
    }
}

/// The resources that the process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// Resident memory, in bytes.
    resident: u64,
    /// Open files, sockets, and other descriptors.
    handles: usize,
    /// Each thread costs memory. A write to a file occupies one while it runs.
    threads: usize,
}

impl Held {
    /// `None` where the system does not report them.
    fn now() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        Some(Self {
            resident: field("VmRSS:")?.strip_suffix(" kB")?.parse::<u64>().ok()? << 10,
            handles: std::fs::read_dir("/proc/self/fd").ok()?.count(),
            threads: field("Threads:")?.parse().ok()?,
        })
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn correlation_id(n: usize) -> String {
    format!("soak-{n:06}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_of_workflows_leaves_every_item_right_and_nothing_behind() {
    let workflows = number("SOAK").map_or(A_FEW, |n| usize::try_from(n).unwrap());
    let seed = number("SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("SOAK={workflows} SEED={seed} cargo test --test soak");

    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("soak-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let table = DynamoDbStore::embedded(folder.join("status.db")).unwrap();
    let script = Script::default();
    script.by_seed(seed, FAULTS);
    let store = DynamoDbStore::new(script.in_front_of(table.client(), 2), table.table_name());
    let tracker = tracking::tracker(store).start().unwrap();
    let mut services = Vec::new();
    for scenario in Scenario::value_variants() {
        services.push(Service::start(&tracker, *scenario).await);
    }

    let client = tracking::hyper_client();
    let mut under_way = stream::iter(0..workflows)
        .map(|n| {
            let request = request(services[n % services.len()].address, n);
            let client = client.clone();
            async move {
                let response = client.request(request).await.unwrap();
                response.into_body().collect().await.unwrap();
            }
        })
        .buffer_unordered(AT_ONCE);
    let (mut ended, mut asked, mut samples) = (0, 0, Vec::new());
    while let Some(()) = under_way.next().await {
        ended += 1;
        if ended % workflows.div_ceil(SAMPLES) == 0 {
            asked += script.log().len();
            if let Some(held) = Held::now() {
                let Held { resident, handles, threads } = held;
                println!(
                    "{ended:>6} workflows, {asked:>6} requests to the table, {:>6} KiB, \
                     {handles:>3} handles, {threads:>2} threads",
                    resident >> 10
                );
                samples.push(held);
            }
        }
    }
    drop(under_way);

    for service in &mut services {
        let (stop, _) = oneshot::channel();
        std::mem::replace(&mut service.stop, stop).send(()).unwrap();
    }
    drop(client);
    let mut scenarios = Vec::new();
    for service in services {
        scenarios.push(service.scenario);
        service.ended.await.unwrap();
    }
    script.heal();
    tracker.shutdown(Duration::from_secs(120)).await.unwrap();

    let ids: Vec<_> = (0..workflows)
        .map(|n| SessionId::new(format!("session-{}", correlation_id(n))).unwrap())
        .collect();
    let items = table.get_many(&ids).await.unwrap();
    let mut wrong = Vec::new();
    for (n, (id, item)) in ids.iter().zip(items).enumerate() {
        let Some(item) = item else {
            wrong.push(format!("{id} is not there"));
            continue;
        };
        let item = serde_json::to_value(&item).unwrap();
        let differences = scenarios[n % scenarios.len()].differences(&item);
        wrong.extend(differences.into_iter().map(|what| format!("{id}: {what}")));
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(wrong.is_empty(), "SEED={seed}: {} are wrong:\n{}", wrong.len(), wrong.join("\n"));

    if samples.is_empty() {
        println!("skipped: this system does not report what a process holds");
    } else if workflows >= LONG_RUN {
        let (before, after) = samples.split_at(samples.len() / 2);
        let most = |samples: &[Held]| {
            let resident = samples.iter().map(|held| held.resident).max().unwrap();
            (resident, samples.iter().map(|held| held.handles).max().unwrap())
        };
        let (before, after) = (most(before), most(after));
        assert!(after.0 <= before.0 + SLACK, "memory grows: {} B, then {} B", before.0, after.0);
        // The connection pools of the agents may each hold one more or less.
        assert!(after.1 <= before.1 + AT_ONCE, "handles: {}, then {}", before.1, after.1);
    }
}

fn request(address: SocketAddr, n: usize) -> Request<Full<Bytes>> {
    let accept = if n.is_multiple_of(2) { "application/json" } else { "text/event-stream" };
    Request::post(format!("http://{address}/invocations"))
        .header("x-amzn-bedrock-agentcore-runtime-custom-correlation-id", correlation_id(n))
        .header("accept", accept)
        .body(Full::from(format!(r#"{{"document_id": "FAB_{n}"}}"#)))
        .unwrap()
}
