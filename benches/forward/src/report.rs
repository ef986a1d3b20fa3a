//! The table of results.

use std::io::Write as _;

use loopback::figures::{median, number};

use crate::way::{KINDS, Kind};

/// A measurement of each way, once a round.
pub struct Row {
    name: &'static str,
    is_rate: bool,
    values: [Vec<f64>; KINDS.len()],
}

impl Row {
    pub fn new(name: &'static str) -> Self {
        Self { name, is_rate: false, values: Default::default() }
    }

    /// A measurement that should be high.
    pub fn rate(name: &'static str) -> Self {
        Self { is_rate: true, ..Self::new(name) }
    }

    pub fn add(&mut self, kind: Kind, value: f64) {
        self.values[kind as usize].push(value);
    }

    fn of(&self, kind: Kind) -> &[f64] {
        &self.values[kind as usize]
    }
}

/// Prints the medians as a table, and the ratio to nginx: the median of those of all rounds.
pub fn print(rows: &[Row]) {
    let mut lines = String::from(
        "| | directly | nginx | forwarder | forwarder ÷ nginx | not recorded ÷ nginx |\n\
         | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in rows {
        let ratio = |kind| {
            let pairs = row.of(kind).iter().zip(row.of(Kind::Nginx));
            // A rate the other way round, so that less is better everywhere.
            let ratios =
                pairs.map(|(own, nginx)| if row.is_rate { nginx / own } else { own / nginx });
            median(&ratios.collect::<Vec<_>>())
        };
        let direct = match median(row.of(Kind::Direct)) {
            none if none.is_nan() || none == 0.0 => String::new(),
            direct => number(direct),
        };
        lines.push_str(&format!(
            "| {} | {direct} | {} | {} | {:.2}× | {:.2}× |\n",
            row.name,
            number(median(row.of(Kind::Nginx))),
            number(median(row.of(Kind::Forwarder))),
            ratio(Kind::Forwarder),
            ratio(Kind::Unrecorded),
        ));
    }
    let _ = std::io::stdout().write_all(lines.as_bytes());
}
