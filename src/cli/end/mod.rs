//! `end`: ends sessions that nobody will finish.
//!
//! ```text
//! ids ──────── read each ─────────┐
//! --stalled ── scan ── read those ┴─▶ decide ─▶ list, ask ─▶ read, decide, write ─▶ done
//!              that may be stalled                           ▲           │ changed
//!                                                            └───────────┘
//! ```

mod criteria;
mod identity;
mod write;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::HumanCount;
use tower_agent_status::SessionId;
use tower_agent_status::status::{ManualEnd, OverallStatus, WorkflowStatus};
use tower_agent_status::store::{DynamoDbStore, StatusReader as _};

use self::criteria::{Criteria, Decision, describe, why_alive};
use self::write::Outcome;
use super::args::{Heartbeat, duration, nonblank_text, session_id};
use super::bulk::{LISTED, counted, progress};
use super::confirm::is_confirmed;
use super::failure::{Failure, NEGATIVE, ignore_broken_pipe, note};
use super::lines::now;
use super::store::StoreArgs;
use super::text::{escaped, time, truncated};

/// The default of `--older-than`. It is long, since a session that no process holds open has no
/// heartbeat between two calls.
const DEFAULT_OLDER_THAN: Duration = Duration::from_secs(24 * 60 * 60);

/// How many items are read at once.
const READ_BATCH: usize = 100;

/// End sessions that nobody will finish, because their process has died.
///
/// An end is final: the workflow is failed or completed, agents in progress end as errors, and
/// `endedBy` and `endReason` say who ended it and why. A process that comes back finds a finished
/// session; the tokens of its calls still count. Each write is conditional: a session that changes
/// in the meantime is read again.
///
/// A session that was updated within three heartbeats is alive and is never ended. `--stalled` leaves
/// alone the sessions of older writers, which send no heartbeats, and sessions that wait for a task or
/// for input. You can end those by id.
///
/// Asks for confirmation if there are several sessions. Exits with 1 if a given session is alive, does
/// not exist or had another end, or if a session could not be ended.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("result").required(true).args(["failed", "completed"]),
    after_help = "Examples:
  tower-agent-status end session-corr_abc123 --failed --reason 'the host was replaced'
  tower-agent-status end --stalled --older-than 2d --failed --reason 'clean-up' --dry-run
  tower-agent-status end --stalled --failed --reason 'clean-up' --by nightly-job --yes"
)]
pub(crate) struct End {
    /// Session ids; alternatively, use `--stalled`
    #[arg(value_name = "SESSION", required_unless_present = "stalled", value_parser = session_id)]
    sessions: Vec<SessionId>,

    /// End all stalled sessions; scans the table
    #[arg(long, conflicts_with = "sessions")]
    stalled: bool,

    /// End them as failed
    #[arg(long)]
    failed: bool,

    /// End them as completed
    #[arg(long)]
    completed: bool,

    /// Why they are ended; at most 500 bytes are kept, and what looks like a secret is masked
    #[arg(long, value_name = "TEXT", value_parser = nonblank_text)]
    reason: String,

    /// Who ends them, instead of the user and host of this process
    #[arg(long, value_name = "NAME", value_parser = nonblank_text)]
    by: Option<String>,

    /// End only stalled sessions whose last update is longer ago than this; at least three
    /// heartbeats [default: 1d]
    #[arg(long, value_name = "DURATION", requires = "stalled", conflicts_with = "sessions", value_parser = duration)]
    older_than: Option<Duration>,

    /// Maximum number of 1 MB pages of the table to scan
    #[arg(long, value_name = "N", requires = "stalled", conflicts_with = "sessions", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    max_pages: u32,

    /// List the sessions that would be ended, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// End them without asking for confirmation
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    heartbeat: Heartbeat,
}

/// The sessions to end.
#[derive(Default)]
struct Selection {
    found: Vec<Session>,
    /// A given session is alive, does not exist, or has ended in another way.
    is_negative: bool,
}

struct Session {
    id: SessionId,
    /// Its state, to be printed.
    text: String,
}

impl End {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let criteria = self.criteria()?;
        let store = match self.dry_run {
            true => self.store.open().await?,
            false => self.store.open_to_write().await?,
        };
        let place = self.store.name(&store);
        let Selection { found, is_negative } = match self.stalled {
            true => self.stalled(&store, &criteria).await?,
            false => self.by_id(&store, &criteria, &place).await?,
        };
        if found.is_empty() {
            note("Nothing to end.");
            return Ok(ExitCode::from(u8::from(is_negative) * NEGATIVE));
        }
        if self.dry_run {
            return print_preview(&found)
                .map(|()| ExitCode::from(u8::from(is_negative) * NEGATIVE));
        }
        let by = identity::name(self.by.as_deref())?;
        let end = match self.failed {
            true => ManualEnd::failed(&by, &self.reason),
            false => ManualEnd::completed(&by, &self.reason),
        };
        if found.len() > 1 && !self.yes && !self.is_end_confirmed(&found, &place)? {
            return Err(Failure::Negative("cancelled; nothing was ended".to_owned()));
        }
        let is_failed = self.end_all(&store, &found, &end, &criteria).await?;
        Ok(ExitCode::from(u8::from(is_failed || is_negative) * NEGATIVE))
    }

    fn criteria(&self) -> Result<Criteria, Failure> {
        let mut criteria = Criteria { heartbeat: self.heartbeat.heartbeat, stalled_for: None };
        let limit = criteria.stall_limit();
        if self.stalled {
            criteria.stalled_for = Some(self.older_than.unwrap_or(DEFAULT_OLDER_THAN));
        }
        match self.older_than {
            Some(age) if age < limit => Err(Failure::Unusable(format!(
                "`--older-than` is shorter than three heartbeats ({}), within which a session is \
                 alive: use a longer time, or set the interval of your processes with `--heartbeat`",
                time(limit),
            ))),
            _ => Ok(criteria),
        }
    }

    /// The status that the sessions get.
    fn result(&self) -> OverallStatus {
        if self.failed { OverallStatus::Failed } else { OverallStatus::Completed }
    }

    async fn by_id(
        &self,
        store: &DynamoDbStore,
        criteria: &Criteria,
        place: &str,
    ) -> Result<Selection, Failure> {
        let mut selection = Selection::default();
        for (at, id) in self.sessions.iter().enumerate() {
            if self.sessions[..at].contains(id) {
                continue;
            }
            let Some(item) = store.get(id).await? else {
                note(&format!("No session `{id}` in {place}."));
                selection.is_negative = true;
                continue;
            };
            let status = WorkflowStatus::from_item(id, &item);
            match criteria.decide(&status, now()) {
                Decision::End => {
                    if status.revision == 0 {
                        note(&format!(
                            "The writer of `{id}` sends no heartbeats, so nobody can tell whether it \
                             still runs. If it does, it may open the session again."
                        ));
                    }
                    let text = describe(&status, criteria, now());
                    selection.found.push(Session { id: id.clone(), text });
                }
                Decision::Finished => {
                    note(&format!("`{id}` is {} already.", status.overall_status));
                    selection.is_negative |= status.overall_status != self.result();
                }
                Decision::Alive => {
                    note(&why_alive(&status, criteria, now()));
                    selection.is_negative = true;
                }
            }
        }
        Ok(selection)
    }

    async fn stalled(
        &self,
        store: &DynamoDbStore,
        criteria: &Criteria,
    ) -> Result<Selection, Failure> {
        let pages = usize::try_from(self.max_pages).unwrap_or(usize::MAX);
        let scanned = store.sessions_with_prefix("", pages).await?;
        if scanned.truncated {
            note(&format!(
                "Only the first {pages} MB of the table were scanned, so there may be more stalled \
                 sessions: raise `--max-pages`."
            ));
        }
        // The scan has a part of each item only, without the revision and the agents.
        let may_be_stalled = scanned.items.into_iter().filter_map(|(id, item)| {
            let status = WorkflowStatus::from_item(&id, &item);
            criteria.may_be_stalled(&status, now()).then_some(id)
        });
        let ids: Vec<_> = may_be_stalled.collect();
        let mut found = Vec::new();
        for ids in ids.chunks(READ_BATCH) {
            let items = store.get_many(ids).await?;
            for (id, item) in ids.iter().zip(items) {
                let Some(item) = item else { continue };
                let status = WorkflowStatus::from_item(id, &item);
                if criteria.decide(&status, now()) == Decision::End {
                    let text = describe(&status, criteria, now());
                    found.push(Session { id: id.clone(), text });
                }
            }
        }
        Ok(Selection { found, is_negative: false })
    }

    fn is_end_confirmed(&self, found: &[Session], place: &str) -> Result<bool, Failure> {
        let sessions = counted(found.len());
        if !io::stdin().is_terminal() {
            return Err(Failure::Unusable(format!(
                "cannot ask whether to end {sessions}, since standard input is not a terminal: use \
                 `--dry-run` to list them, and `--yes` to end them without confirmation"
            )));
        }
        let mut out = io::stderr().lock();
        for Session { id, text } in found.iter().take(LISTED) {
            writeln!(out, "  {}  {text}", truncated(&escaped(id.as_str()), 120))?;
        }
        if found.len() > LISTED {
            let more = HumanCount((found.len() - LISTED) as u64);
            writeln!(out, "  and {more} more; `--dry-run` lists all")?;
        }
        drop(out);
        let question = format!("End {sessions} in {} as {}?", escaped(place), self.result());
        Ok(is_confirmed(&question)?)
    }

    /// Ends the sessions one by one, and returns whether any was not ended that should have been.
    /// Goes on after an error that only concerns one session.
    async fn end_all(
        &self,
        store: &DynamoDbStore,
        found: &[Session],
        end: &ManualEnd,
        criteria: &Criteria,
    ) -> Result<bool, Failure> {
        let bar = progress(found.len());
        let (mut ended, mut is_failed) = (0, false);
        for Session { id, .. } in found {
            let outcome = write::end(store, id, end, criteria, now).await;
            let left_alone = match outcome {
                Ok(Outcome::Ended) => None,
                Ok(Outcome::Deleted) => Some("was deleted in the meantime".to_owned()),
                Ok(Outcome::Finished(status)) => {
                    Some(format!("has ended as {status} in the meantime"))
                }
                Ok(Outcome::Alive) if self.stalled => {
                    Some("is no longer stalled, so it was left alone".to_owned())
                }
                Ok(Outcome::Alive) => Some("is alive again, so it was left alone".to_owned()),
                Ok(Outcome::KeepsChanging) => {
                    Some("changed before every attempt, so it was left alone".to_owned())
                }
                Err(error) => {
                    is_failed = true;
                    let unsure = match error.may_have_been_applied() {
                        true => "may or may not have been ended (check with `show`)",
                        false => "was not ended",
                    };
                    bar.suspend(|| note(&format!("`{id}` {unsure}: {error}")));
                    if !error.is_retryable() {
                        break;
                    }
                    bar.inc(1);
                    continue;
                }
            };
            match left_alone {
                None => ended += 1,
                Some(text) => {
                    // With `--stalled`, a session that is no longer stalled was not asked for.
                    is_failed |= !self.stalled;
                    bar.suspend(|| note(&format!("`{id}` {text}.")));
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        let line = format!("{} ended as {}", counted(ended), self.result());
        // The exit code must be right even if nobody reads the output.
        ignore_broken_pipe(writeln!(io::stdout().lock(), "{line}"))?;
        Ok(is_failed)
    }
}

/// Prints what would be ended.
fn print_preview(found: &[Session]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for Session { id, text } in found {
        writeln!(out, "{}  {text}", escaped(id.as_str()))?;
    }
    writeln!(out, "{} would be ended", counted(found.len()))?;
    Ok(())
}
