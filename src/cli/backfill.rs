//! `table backfill`: adds what lists need, and an expiry, to the items of older writers.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use indicatif::{HumanBytes, HumanCount};
use tower_agent_status::store::{BackfillCounts, BackfillPlan, BackfillReport, TimeToLive};

use super::confirm::is_continuation_confirmed;
use super::failure::{Failure, NEGATIVE, ignore_broken_pipe, note};
use super::store::StoreArgs;
use super::text::escaped;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The minimum time between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Add what lists need, and an expiry, to the items of older writers, while services run
///
/// Adds `createdDay`, the attributes of sharded indexes, `createdAt` where an item spells it
/// `created_at`, and an expiry: 90 days after creation, but at least 30 days from now. Items older
/// than 90 days get no expiry unless you set `--expire-after`. Items that a tracker has written never
/// do. Only missing attributes are added, and only if the item has not changed since it was read.
///
/// A run reads up to 64 MB of the table, and then prints the command to continue with. It can be
/// stopped at any time.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  tower-agent-status table backfill --dry-run
  tower-agent-status table backfill --yes
  tower-agent-status table backfill --yes --max-pages 10000 --expire-after 60")]
pub(crate) struct Backfill {
    #[command(flatten)]
    store: StoreArgs,

    /// Report what the items lack and what they would get, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,

    /// Start at the position that an earlier run printed
    #[arg(long, value_name = "POSITION", value_parser = decoded)]
    from: Option<String>,

    /// Maximum number of 1 MB pages of the table to read
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = value_parser!(u32).range(1..))]
    max_pages: u32,

    /// Maximum number of write units per second [default: 1000; no limit with `--embedded`]
    #[arg(long, value_name = "UNITS", value_parser = value_parser!(u32).range(1..))]
    rate: Option<u32>,

    /// Let items expire this many days after their creation, but at least 30 days from now
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = value_parser!(u32).range(1..=10_950))]
    retention: u32,

    /// Let items that are older than that, or of unknown age, expire this many days from now
    #[arg(long, value_name = "DAYS", value_parser = days_ahead)]
    expire_after: Option<u32>,

    /// Give no item an expiry
    #[arg(long, conflicts_with = "expire_after")]
    no_expiry: bool,
}

impl Backfill {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        self.store.refuse_missing_file()?;
        let store = match self.dry_run {
            true => self.store.open_to_check().await?,
            false => self.store.open_without_discovery().await?,
        };
        let mut plan = store.plan_backfill().await?;
        plan.from.clone_from(&self.from);
        plan.max_pages = self.max_pages;
        plan.retention = DAY * self.retention;
        plan.expire_after = self.expire_after.map(|days| DAY * days);
        if self.no_expiry {
            plan.ttl_attribute = None;
        }
        if self.rate.is_some() || self.store.is_embedded() {
            plan.write_units_per_second = self.rate;
        }
        let mut out = io::stdout().lock();
        ignore_broken_pipe(writeln!(out, "{}", escaped_lines(&self.summary(&plan))))?;
        drop(out);
        if !self.dry_run && !self.yes && !is_continuation_confirmed()? {
            return Ok(ExitCode::from(NEGATIVE));
        }
        let mut last = BackfillReport::default();
        let mut printed_at = Instant::now();
        let progress = |report: &BackfillReport| {
            if printed_at.elapsed() >= PROGRESS_INTERVAL {
                printed_at = Instant::now();
                note(&self.step(report));
            }
            last = report.clone();
        };
        let ended = tokio::select! {
            ended = async {
                match self.dry_run {
                    true => store.preview_backfill(&plan, progress).await,
                    false => store.backfill(&plan, progress).await,
                }
            } => Some(ended),
            Ok(()) = tokio::signal::ctrl_c() => None,
        };
        let report = match ended {
            Some(Ok(report)) => report,
            stopped => {
                // Items that were filled in are skipped by the next run, so nothing is done twice.
                let from = last.next.as_ref().or(self.from.as_ref());
                note(&format!("{}. {}", self.step(&last), self.continuation(from)));
                return match stopped {
                    Some(Err(error)) => Err(error.into()),
                    _ => Ok(ExitCode::from(NEGATIVE)),
                };
            }
        };
        let mut out = io::stdout().lock();
        ignore_broken_pipe(write!(out, "{}", escaped_lines(&self.result(&report))))?;
        Ok(ExitCode::SUCCESS)
    }

    /// What the run is going to do, and what it costs.
    fn summary(&self, plan: &BackfillPlan) -> String {
        let mut text = format!(
            "The table has {} items ({}), as of up to six hours ago. This run reads up to {}: about \
             {} read units",
            HumanCount(plan.item_count),
            match plan.table_size_bytes {
                0 if plan.item_count > 0 => "unknown size".to_owned(),
                bytes => HumanBytes(bytes).to_string(),
            },
            HumanBytes(u64::from(plan.max_pages) << 20),
            HumanCount(plan.read_units()),
        );
        if self.dry_run {
            text += ".";
        } else {
            let units = HumanCount(plan.write_units());
            let _ = write!(text, ", and about {units} write units if each item lacks something.");
        }
        if self.no_expiry {
            return text;
        }
        match (&plan.time_to_live, &plan.ttl_attribute) {
            (TimeToLive::Unknown(why), _) => {
                let _ = write!(
                    text,
                    "\nNo item gets an expiry, since the time-to-live attribute is not known: {why}"
                );
            }
            (TimeToLive::On(name), None) => {
                let _ = write!(
                    text,
                    "\nNo item gets an expiry: the table's time-to-live attribute `{name}` holds \
                     something else."
                );
            }
            (TimeToLive::Off, Some(name)) => {
                let check = self.store.command("table check");
                let _ = write!(
                    text,
                    "\nTime to live is off. The expiry is written to `{name}`, and takes effect once \
                     time to live is on; `{check}` says how. Use --no-expiry to write none."
                );
            }
            _ => {}
        }
        text
    }

    fn step(&self, report: &BackfillReport) -> String {
        let read = HumanCount(report.read);
        let filled = HumanCount(report.filled);
        let filled = match self.dry_run {
            true => format!("{filled} of them lack something"),
            false => format!("{filled} of them filled in"),
        };
        let from = report.next.as_deref().map(|next| format!("; now at --from {}", encoded(next)));
        format!("{read} items read, {filled}{}", from.unwrap_or_default())
    }

    /// The command to continue with.
    fn continuation(&self, from: Option<&String>) -> String {
        let mut name = "table backfill".to_owned();
        let mut option = |option: std::fmt::Arguments<'_>| {
            let _ = write!(name, " {option}");
        };
        if let Some(from) = from {
            option(format_args!("--from {}", encoded(from)));
        }
        if self.max_pages != 64 {
            option(format_args!("--max-pages {}", self.max_pages));
        }
        if let Some(rate) = self.rate {
            option(format_args!("--rate {rate}"));
        }
        if self.retention != 90 {
            option(format_args!("--retention {}", self.retention));
        }
        if let Some(days) = self.expire_after {
            option(format_args!("--expire-after {days}"));
        }
        for (is_set, flag) in
            [(self.no_expiry, "--no-expiry"), (self.dry_run, "--dry-run"), (self.yes, "--yes")]
        {
            if is_set {
                option(format_args!("{flag}"));
            }
        }
        format!("Continue with: {}", self.store.command(&name))
    }

    fn result(&self, report: &BackfillReport) -> String {
        let mut text = format!("{} items read.\n", HumanCount(report.read));
        for (count, what) in self.findings(report) {
            if count > 0 {
                let _ = writeln!(text, "{:>12}  {what}", HumanCount(count).to_string());
            }
        }
        let units = HumanCount(report.write_units);
        let filled = HumanCount(report.filled);
        let _ = match self.dry_run {
            true => {
                writeln!(text, "Would fill in {filled} of them, for about {units} write units.")
            }
            false => writeln!(text, "Filled in {filled} of them, for about {units} write units."),
        };
        if report.skipped > 0 {
            let skipped = HumanCount(report.skipped);
            let _ = writeln!(
                text,
                "Skipped {skipped}, which were changed or deleted in the meantime. Another run fills \
                 them in."
            );
        }
        if let Some((session, why)) = &report.rejection {
            let rejected = HumanCount(report.rejected);
            let _ = writeln!(text, "The table rejected {rejected}, such as `{session}`: {why}");
        }
        if !report.expiring.is_empty() {
            let verb = if self.dry_run { "Would expire" } else { "Expire" };
            let _ = writeln!(text, "{verb}, by month:");
            for (month, count) in &report.expiring {
                let _ = writeln!(text, "{:>12}  {month}", HumanCount(*count).to_string());
            }
        }
        match &report.next {
            Some(_) => {
                let _ =
                    writeln!(text, "There is more. {}", self.continuation(report.next.as_ref()));
            }
            None => text += "This was the end of the table.\n",
        }
        text
    }

    /// The counts of a report, with what each says of the items.
    fn findings(&self, report: &BackfillReport) -> Vec<(u64, String)> {
        let counts = &report.counts;
        let left_without_expiry = match self.expire_after {
            Some(_) => 0,
            None => counts.left_without_expiry,
        };
        let age = format!(
            "of these older than {} days or of unknown age: they get none without --expire-after DAYS",
            self.retention
        );
        let added = added(counts, counts.expiry);
        let others = [
            (counts.expired, EXPIRED.to_owned()),
            (counts.not_in_seconds, NOT_IN_SECONDS.to_owned()),
            (counts.undated, format!("{UNDATED}: they cannot be added to the index")),
            (
                counts.kept,
                "with a `revision` and no expiry, which was removed to keep them: they get none"
                    .to_owned(),
            ),
            (counts.unusable, format!("{WRONG_TYPE}: left as they are")),
            (counts.not_sessions, format!("{NOT_SESSIONS}: left alone")),
        ];
        let added = added.map(|(count, what)| (count, what.to_owned()));
        added.into_iter().chain([(left_without_expiry, age)]).chain(others).collect()
    }
}

/// What is said of items to which nothing can be added, here and by `table check`.
pub(crate) const UNDATED: &str = "without a readable creation time";
pub(crate) const WRONG_TYPE: &str = "with a `createdDay`, shard or expiry of the wrong type";
pub(crate) const EXPIRED: &str =
    "with an expiry that has passed: the table deletes them once time to live is on";
pub(crate) const NOT_IN_SECONDS: &str =
    "with an expiry over a thousand years ahead, which is not in seconds: they never expire";
pub(crate) const NOT_SESSIONS: &str = "without `overallStatus`, which are not sessions";

/// The counts of what a backfill adds, with what each says of the items.
pub(crate) fn added(counts: &BackfillCounts, expiry: u64) -> [(u64, &'static str); 5] {
    [
        (counts.unindexed, "missing from the index, so that lists can miss them"),
        (counts.created_at, "with `created_at` instead of `createdAt`"),
        (counts.created_day, "without `createdDay`"),
        (counts.created_shard, "without the attribute of a sharded index"),
        (expiry, "without an expiry"),
    ]
}

/// Parses a number of days that is enough for an expiry.
fn days_ahead(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(days @ 30..=10_950) => Ok(days),
        Ok(0..30) => Err("no item may expire in less than 30 days: use 30 or more".to_owned()),
        _ => Err("expected a number of days from 30 to 10950".to_owned()),
    }
}

/// Percent-encodes a position in the table, so that it needs no quoting in a shell.
fn encoded(position: &str) -> String {
    let mut text = String::with_capacity(position.len());
    for (at, byte) in position.bytes().enumerate() {
        match byte {
            // A leading hyphen would make it an option.
            b'-' if at > 0 => text.push('-'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' => text.push(char::from(byte)),
            byte => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

fn decoded(text: &str) -> Result<String, &'static str> {
    const EXPECTED: &str = "expected a position that an earlier run has printed";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = digit(rest.next()).zip(digit(rest.next())).ok_or(EXPECTED)?;
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| EXPECTED)?);
    }
    let position = String::from_utf8(bytes).map_err(|_| EXPECTED)?;
    if position.is_empty() { Err(EXPECTED) } else { Ok(position) }
}

/// Escapes each line on its own.
fn escaped_lines(text: &str) -> String {
    text.split('\n').map(escaped).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_a_word_of_a_shell() {
        for (position, word) in [
            ("session-corr_abc.123", "session-corr_abc.123"),
            ("a b'$%", "a%20b%27%24%25"),
            ("-x-\u{1b}ü", "%2Dx-%1B%C3%BC"),
        ] {
            assert_eq!(encoded(position), word);
            assert_eq!(decoded(word).as_deref(), Ok(position));
        }
        for text in ["", "%", "%4", "%zz", "%+1", "%FF"] {
            assert!(decoded(text).is_err(), "{text}");
        }
    }
}
