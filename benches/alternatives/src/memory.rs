//! The memory of streams that are open, each in a process that has done nothing before.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use loopback::process::{Process, own_memory};
use loopback::{Result, nginx};

use crate::answers::{Cases, answers};
use crate::report::Row;
use crate::transport::{Arrived, sockets};
use crate::way::{BATCH_DELAY, KINDS, Kind, Way, workflows};
use crate::workflows::Workflows;

const STREAMS: usize = 1_000;

/// Per stream, in KB: of the application and the proxy.
pub async fn open_streams(agent: SocketAddr, rounds: usize) -> Result<Row> {
    let mut row = Row::new("memory of each of 1,000 open streams, KB");
    for _ in 0..rounds {
        for kind in KINDS {
            let proxy = match kind {
                Kind::Nginx => Some(nginx::start(agent).await?),
                _ => None,
            };
            let address = proxy.as_ref().map_or(agent, |(_, address)| *address);
            let before = match &proxy {
                Some((proxy, address)) => {
                    let way = Way::start(Kind::Bare, *address).await?;
                    way.workflows.run("session-first", &Cases::new().whole).await?;
                    proxy.memory()?
                }
                None => 0,
            };
            let arguments = ["hold", &format!("{kind:?}"), &address.to_string()];
            let (_application, mut bytes) = Process::start_self::<u64>(&arguments).await?;
            if let Some((proxy, _)) = &proxy {
                bytes += proxy.memory()?.saturating_sub(before);
            }
            row.add(kind, bytes as f64 / 1e3 / STREAMS as f64);
        }
    }
    Ok(row)
}

/// Opens streams, prints what they take, and holds them until the process is killed.
pub async fn hold(kind: Kind, address: SocketAddr) -> Result<()> {
    let cases = Cases::new();
    let path = match kind.base() {
        Kind::Sdk => format!("/model/{}/converse-stream", cases.open.name),
        _ => format!("/{}", cases.open.name),
    };
    let chunks = answers()?.remove(&path).ok_or("no such path")?.chunks;
    let arrived = Arrived::default();
    let transport = sockets().counted(&arrived);
    let workflows: Arc<dyn Workflows> =
        workflows(kind, transport, format!("http://{address}"), BATCH_DELAY)?.into();
    workflows.run("session-first", &cases.whole).await?;
    workflows.flush().await?;
    let (case, before) = (Arc::new(cases.open), own_memory()?);
    arrived.store(0, Ordering::Relaxed);
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..STREAMS {
        let (workflows, case) = (Arc::clone(&workflows), Arc::clone(&case));
        calls.spawn(async move { workflows.run(&format!("session-{n}"), &case).await });
    }
    let expected = STREAMS * chunks.iter().map(Bytes::len).sum::<usize>();
    while arrived.load(Ordering::Relaxed) < expected {
        tokio::select! {
            Some(ended) = calls.join_next() => {
                ended??;
                return Err("a stream has ended".into());
            }
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
    }
    workflows.flush().await?;
    writeln!(std::io::stdout(), "{}", own_memory()?.saturating_sub(before))?;
    std::future::pending().await
}
