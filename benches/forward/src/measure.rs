//! The measurements. In each, the ways take turns.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use loopback::Result;
use loopback::figures::median;
use loopback::process::Process;

use crate::answers::{EVENTS, LARGE};
use crate::client::Client;
use crate::report::{Row, print};
use crate::way::{KINDS, Kind, Way};

const CONNECTIONS: usize = 64;
const OPEN_STREAMS: usize = 1_000;

/// How often, and for how long.
pub struct Rounds {
    rounds: usize,
    calls: usize,
    load: Duration,
}

impl Rounds {
    pub fn full() -> Self {
        Self { rounds: 9, calls: 1_000, load: Duration::from_secs(2) }
    }

    pub fn quick() -> Self {
        Self { rounds: 2, calls: 100, load: Duration::from_millis(300) }
    }
}

/// Measures everything or one part, and prints a table.
pub async fn all(rounds: Rounds, part: &str) -> Result<()> {
    let is_wanted = |name: &str| part.is_empty() || part == name;
    let (_agent, agent) = Process::start_self(&["agent"]).await?;
    let mut ways = Vec::new();
    for kind in KINDS {
        ways.push(Way::start(kind, agent).await?);
    }
    let mut rows = Vec::new();
    if is_wanted("calls") {
        rows.extend(calls(&ways, &rounds).await?);
    }
    if is_wanted("load") {
        rows.extend(load(&ways, &rounds).await?);
    }
    drop(ways);
    if is_wanted("memory") {
        // In processes that have done nothing before.
        rows.push(memory(agent).await?);
    }
    print(&rows);
    Ok(())
}

/// One call after the other, on a connection that is kept.
async fn calls(ways: &[Way], rounds: &Rounds) -> Result<Vec<Row>> {
    let mut first_byte = Row::new("first byte of a stream, µs");
    let mut small = Row::new("response of 2 KB, µs");
    let mut slow = Row::new("the same, 99th percentile, µs");
    let mut stream = Row::new("stream of 5,000 events, ms");
    let mut stream_time = Row::new("the same, CPU time of the proxy per event, µs");
    let mut large = Row::new("1 GiB, ms");
    for round in 0..=rounds.rounds {
        for way in ways {
            let mut client = Client::connect(way.address, &way.path(0, "/small")).await?;
            let mut times = Vec::new();
            for _ in 0..rounds.calls {
                times.push(client.call().await?.end.as_secs_f64() * 1e6);
            }
            // Whose other events come a while later, as those of a model do.
            let mut client = Client::connect(way.address, &way.path(0, "/slow")).await?;
            let mut firsts = Vec::new();
            for _ in 0..rounds.calls / 5 {
                firsts.push(client.call().await?.first_byte.as_secs_f64() * 1e6);
            }
            let mut client = Client::connect(way.address, &way.path(0, "/stream")).await?;
            let mut ends = Vec::new();
            let before = processor_time(way)?;
            let streams = rounds.calls / 50;
            for _ in 0..streams {
                ends.push(client.call().await?.end.as_secs_f64() * 1e3);
            }
            let spent = processor_time(way)? - before;
            let mut client = Client::connect(way.address, &way.path(0, "/large")).await?;
            let whole = client.call().await?.end;
            // The first round warms up.
            if round > 0 {
                times.sort_by(f64::total_cmp);
                small.add(way.kind, times[times.len() / 2]);
                slow.add(way.kind, times[times.len() * 99 / 100]);
                first_byte.add(way.kind, median(&firsts));
                stream.add(way.kind, median(&ends));
                stream_time.add(way.kind, spent.as_secs_f64() * 1e6 / (streams * EVENTS) as f64);
                large.add(way.kind, whole.as_secs_f64() * 1e3 * (1 << 30) as f64 / LARGE as f64);
            }
        }
    }
    Ok(vec![first_byte, small, slow, stream, stream_time, large])
}

/// As many calls as there can be, of 2 KB each, on 64 connections.
async fn load(ways: &[Way], rounds: &Rounds) -> Result<Vec<Row>> {
    let mut rate = Row::rate("requests per second, 64 connections");
    let mut time = Row::new("the same, CPU time of the proxy per request, µs");
    for round in 0..=rounds.rounds {
        for way in ways {
            let before = processor_time(way)?;
            let started = Instant::now();
            let end = started + rounds.load;
            let clients = (0..CONNECTIONS).map(|n| {
                let (address, path) = (way.address, way.path(n, "/small"));
                tokio::spawn(async move {
                    let mut client = Client::connect(address, &path).await?;
                    let mut calls = 0_u32;
                    while Instant::now() < end {
                        client.call().await?;
                        calls += 1;
                    }
                    Ok::<_, Box<dyn std::error::Error + Send + Sync>>(calls)
                })
            });
            let mut calls = 0;
            for client in try_join_all(clients).await? {
                calls += client?;
            }
            if round > 0 {
                rate.add(way.kind, f64::from(calls) / started.elapsed().as_secs_f64());
                let spent = processor_time(way)? - before;
                time.add(way.kind, spent.as_secs_f64() * 1e6 / f64::from(calls));
            }
        }
    }
    Ok(vec![rate, time])
}

/// What 1,000 open streams take, beyond what the proxy takes without them.
async fn memory(agent: std::net::SocketAddr) -> Result<Row> {
    let mut row = Row::new("memory of each of 1,000 open streams, KB");
    for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Direct) {
        let way = Way::start(kind, agent).await?;
        let proxy = way.proxy.as_ref().ok_or("no proxy")?;
        Client::connect(way.address, &way.path(0, "/small")).await?.call().await?;
        let before = proxy.memory()?;
        let mut streams = Vec::new();
        for n in 0..OPEN_STREAMS {
            let client = Client::connect(way.address, &way.path(n, "/open")).await?;
            streams.push(client.open().await?);
        }
        let bytes = proxy.memory()?.saturating_sub(before);
        row.add(kind, bytes as f64 / 1e3 / OPEN_STREAMS as f64);
    }
    Ok(row)
}

fn processor_time(way: &Way) -> Result<Duration> {
    way.proxy.as_ref().map_or(Ok(Duration::ZERO), Process::processor_time)
}
