//! The tables of results, in Markdown.

use std::fmt::Write as _;

use loopback::figures::{median, number};

use crate::measure::Calls;
use crate::way::{KINDS, Kind};

/// A measurement of each way, once a round.
pub struct Row {
    name: &'static str,
    values: [Vec<f64>; KINDS.len()],
}

impl Row {
    pub fn new(name: &'static str) -> Self {
        Self { name, values: Default::default() }
    }

    pub fn add(&mut self, kind: Kind, value: f64) {
        self.values[kind as usize].push(value);
    }

    fn of(&self, kind: Kind) -> &[f64] {
        &self.values[kind as usize]
    }

    /// What a way adds to its base.
    fn added(&self, kind: Kind) -> f64 {
        self.compared(kind, |own, base| own - base)
    }

    /// The same, unless a quarter of the rounds have the opposite sign.
    fn certain(&self, kind: Kind) -> Option<f64> {
        let added = self.added(kind);
        let pairs = self.of(kind).iter().zip(self.of(kind.base()));
        let opposite = pairs.filter(|(own, base)| (*own - *base) * added < 0.0).count();
        (4 * opposite < self.of(kind).len()).then_some(added)
    }

    /// The median of all rounds.
    fn compared(&self, kind: Kind, compare: impl Fn(f64, f64) -> f64) -> f64 {
        let pairs = self.of(kind).iter().zip(self.of(kind.base()));
        median(&pairs.map(|(own, base)| compare(*own, *base)).collect::<Vec<_>>())
    }
}

/// All measurements, with what each way adds to the client alone, and the ratio of the two.
pub fn details(calls: &Calls, memory: &Row) -> String {
    let cases = [&calls.whole, &calls.fast, &calls.paused];
    let rows = cases.into_iter().flat_map(|case| [&case.first, &case.end, &case.processor]);
    let rows: Vec<_> = rows.chain([memory]).collect();
    let mut text = String::new();
    for (heading, base) in [
        (
            "| hyper's client | alone | by hand | nginx | the layer, store in memory | the layer, store of 5 ms |",
            Kind::Bare,
        ),
        (
            "| a client of the AWS SDK | alone | an interceptor | the layer, store of 5 ms |",
            Kind::Sdk,
        ),
    ] {
        let ways = || KINDS.into_iter().filter(move |kind| kind.base() == base);
        let _ = writeln!(text, "{heading}\n| --- |{}", " ---: |".repeat(ways().count()));
        for row in &rows {
            let _ = write!(text, "| {} |", row.name);
            for kind in ways() {
                let _ = if kind == base {
                    write!(text, " {} |", number(median(row.of(kind))))
                } else {
                    let ratio = row.compared(kind, |own, base| own / base);
                    write!(text, " {} ({ratio:.2}×) |", signed(row.added(kind)))
                };
            }
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

/// What most readers want to know.
pub fn summary(calls: &Calls, memory: &Row) -> String {
    let mut text = String::from(
        "| added to the client, by | first byte of a stream | end of 500 events | CPU time of a call | CPU time of 500 events | memory of an open stream |\n\
         | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (name, kind) in [
        ("the layer", Kind::LayerSlowStore),
        ("by hand: buffer the response, parse it, write to a map", Kind::ByHand),
        ("nginx as a bare gateway, which records nothing", Kind::Nginx),
        ("the layer, in the AWS SDK", Kind::SdkLayer),
        ("an interceptor of the AWS SDK, without tokens of streams", Kind::Interceptor),
    ] {
        let _ = write!(text, "| {name} |");
        let times =
            [&calls.paused.first, &calls.fast.end, &calls.whole.processor, &calls.fast.processor];
        for row in times {
            let _ = write!(text, " {} |", row.certain(kind).map_or("≈ 0".to_owned(), time));
        }
        let memory = memory.certain(kind).map_or("≈ 0".to_owned(), |kb| format!("{kb:.0} KB"));
        let _ = writeln!(text, " {memory} |");
    }
    text
}

fn signed(value: f64) -> String {
    if value < 0.0 { number(value) } else { format!("+{}", number(value)) }
}

/// A number of microseconds.
fn time(micros: f64) -> String {
    if micros.abs() < 1e3 { format!("{micros:.0} µs") } else { format!("{:.1} ms", micros / 1e3) }
}
