//! Calls over sockets. In each round, the ways take turns.

use std::net::SocketAddr;
use std::time::Duration;

use loopback::Result;
use loopback::figures::median;
use loopback::process::{Process, own_processor_time};

use crate::answers::{Case, Cases};
use crate::report::Row;
use crate::way::{KINDS, Kind, Way};

/// How often.
#[derive(Clone, Copy)]
pub struct Rounds {
    pub rounds: usize,
    /// Workflows in a turn with whole responses; a twentieth as many have fast streams, and one has
    /// streams with pauses.
    pub workflows: usize,
    /// How often the memory is measured.
    pub memory: usize,
}

impl Rounds {
    pub const FULL: Self = Self { rounds: 25, workflows: 100, memory: 3 };
    pub const QUICK: Self = Self { rounds: 3, workflows: 20, memory: 1 };
}

/// What calls take: medians of a turn.
struct Turn {
    first: f64,
    end: f64,
    processor: f64,
}

/// What the calls of a case take in each turn, in µs.
pub struct Measured {
    /// To the first byte of the body.
    pub first: Row,
    /// To the end of the body.
    pub end: Row,
    /// Of the application and the proxy, with the start and the end of the workflows, and the writes.
    pub processor: Row,
}

impl Measured {
    fn new(first: &'static str) -> Self {
        Self {
            first: Row::new(first),
            end: Row::new("to its end, µs"),
            processor: Row::new("CPU time, µs"),
        }
    }

    fn add(&mut self, kind: Kind, turn: &Turn) {
        self.first.add(kind, turn.first);
        self.end.add(kind, turn.end);
        self.processor.add(kind, turn.processor);
    }
}

pub struct Calls {
    pub whole: Measured,
    pub fast: Measured,
    pub paused: Measured,
}

pub async fn calls(agent: SocketAddr, rounds: Rounds) -> Result<Calls> {
    let cases = Cases::new();
    let mut ways = Vec::new();
    for kind in KINDS {
        ways.push(Way::start(kind, agent).await?);
    }
    let mut calls = Calls {
        whole: Measured::new("2 KB of JSON: to the first byte, µs"),
        fast: Measured::new("500 events, as fast as can be: to the first byte, µs"),
        paused: Measured::new("10 events, 5 ms apart: to the first byte, µs"),
    };
    for round in 0..=rounds.rounds {
        for way in &ways {
            let whole = turn(way, &cases.whole, round, rounds.workflows).await?;
            let fast = turn(way, &cases.fast, round, rounds.workflows.div_ceil(20)).await?;
            let paused = turn(way, &cases.paused, round, 1).await?;
            // The first round warms up.
            if round > 0 {
                calls.whole.add(way.kind, &whole);
                calls.fast.add(way.kind, &fast);
                calls.paused.add(way.kind, &paused);
            }
        }
    }
    Ok(calls)
}

/// Runs workflows, one after the other, and checks what was recorded of each.
async fn turn(way: &Way, case: &Case, round: usize, workflows: usize) -> Result<Turn> {
    let sessions = (0..workflows).map(|n| format!("session-{}-{round}-{n}", case.name));
    let sessions: Vec<_> = sessions.collect();
    let (mut firsts, mut ends) = (Vec::new(), Vec::new());
    let before = processor_time(way)?;
    for session in &sessions {
        let times = way.workflows.run(session, case).await;
        for times in times.map_err(|error| format!("{:?}: {error}", way.kind))? {
            firsts.push(times.first.as_secs_f64() * 1e6);
            ends.push(times.end.as_secs_f64() * 1e6);
        }
    }
    way.workflows.flush().await?;
    let spent = processor_time(way)? - before;
    for session in &sessions {
        let tokens = way.workflows.tokens(session);
        if tokens != way.kind.recorded_tokens(case.is_stream) {
            return Err(format!("{:?} has recorded these tokens: {tokens:?}", way.kind).into());
        }
    }
    let processor = spent.as_secs_f64() * 1e6 / ends.len() as f64;
    Ok(Turn { first: median(&firsts), end: median(&ends), processor })
}

/// Of this process and the proxy.
fn processor_time(way: &Way) -> Result<Duration> {
    let proxy = way.proxy.as_ref().map_or(Ok(Duration::ZERO), Process::processor_time)?;
    Ok(own_processor_time()? + proxy)
}
