//! `delete`: removes sessions from the table.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use indicatif::HumanCount;
use tower_agent_status::SessionId;
use tower_agent_status::status::{Item, WorkflowStatus};
use tower_agent_status::store::{DynamoDbStore, StatusReader as _};

use super::args::{Heartbeat, duration, session_id};
use super::bulk::{LISTED, counted, progress};
use super::confirm::is_confirmed;
use super::failure::{Failure, NEGATIVE, ignore_broken_pipe, note};
use super::lines::{known, now};
use super::store::StoreArgs;
use super::text::{escaped, truncated};

/// Delete sessions by id or by prefix.
///
/// Lists the sessions and asks for confirmation. With `--prefix` the table is scanned, and
/// the sessions found by that scan are deleted. A session whose workflow is still running is
/// written again by its process. Exits with 1 if a given session does not exist or could not
/// be deleted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tower-agent-status delete session-corr_abc123 session-corr_def456
  tower-agent-status delete --prefix load-test- --older-than 7d
  tower-agent-status delete --prefix demo- --embedded agent-status-demo.db --yes")]
pub(crate) struct Delete {
    /// Session ids; alternatively, use `--prefix`
    #[arg(value_name = "SESSION", required_unless_present = "prefix", value_parser = session_id)]
    sessions: Vec<SessionId>,

    /// Delete all sessions whose ids start with this prefix
    #[arg(long, value_name = "PREFIX", conflicts_with = "sessions", value_parser = NonEmptyStringValueParser::new())]
    prefix: Option<String>,

    /// Delete only sessions created longer ago than this; sessions without a creation time
    /// are left alone
    #[arg(long, value_name = "DURATION", requires = "prefix", conflicts_with = "sessions", value_parser = duration)]
    older_than: Option<Duration>,

    /// Maximum number of 1 MB pages of the table to scan
    #[arg(long, value_name = "N", requires = "prefix", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    max_pages: u32,

    /// Delete without asking for confirmation
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    heartbeat: Heartbeat,
}

impl Delete {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        if !self.yes && !io::stdin().is_terminal() {
            return Err(Failure::Unusable(
                "cannot ask for confirmation, since standard input is not a terminal: use \
                 `--yes` to delete without confirmation"
                    .to_owned(),
            ));
        }
        let store = self.store.open_to_write().await?;
        let place = self.store.name(&store);
        let (found, missing) = match &self.prefix {
            Some(prefix) => (self.by_prefix(&store, prefix).await?, Vec::new()),
            None => self.by_id(&store).await?,
        };
        for id in &missing {
            note(&format!("No session `{id}` in {place}."));
        }
        if found.is_empty() {
            note("Nothing to delete.");
            return Ok(if missing.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(NEGATIVE)
            });
        }
        if !self.yes && !is_deletion_confirmed(&found, &place)? {
            return Err(Failure::Negative("cancelled; nothing was deleted".to_owned()));
        }
        let failed = delete_all(&store, &found).await?;
        Ok(ExitCode::from(if failed || !missing.is_empty() { NEGATIVE } else { 0 }))
    }

    /// The given sessions, split into those that exist and those that do not.
    async fn by_id(
        &self,
        store: &DynamoDbStore,
    ) -> Result<(Vec<Session>, Vec<SessionId>), Failure> {
        let mut ids = Vec::new();
        for id in &self.sessions {
            if !ids.contains(id) {
                ids.push(id.clone());
            }
        }
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        // One by one, since only such a read is consistent: a session that has just been written
        // is not missing.
        for id in ids {
            match store.get(&id).await? {
                Some(item) => found.push(self.session(id, &item)),
                None => missing.push(id),
            }
        }
        Ok((found, missing))
    }

    async fn by_prefix(
        &self,
        store: &DynamoDbStore,
        prefix: &str,
    ) -> Result<Vec<Session>, Failure> {
        let pages = usize::try_from(self.max_pages).unwrap_or(usize::MAX);
        let found = store.sessions_with_prefix(prefix, pages).await?;
        if found.truncated {
            note(&format!(
                "Only the first {pages} MB of the table were scanned, so there may be more \
                 matching sessions: raise `--max-pages`."
            ));
        }
        let is_old = |id: &SessionId, item: &Item| {
            let Some(age) = self.older_than else { return true };
            known(WorkflowStatus::from_item(id, item).created_at)
                .is_some_and(|created| now().duration_since(created) > age)
        };
        let sessions = found.items.into_iter().filter_map(|(id, item)| {
            // The scan filters by prefix already. Deleting is final, so this checks again.
            (id.as_str().starts_with(prefix) && is_old(&id, &item)).then(|| self.session(id, &item))
        });
        Ok(sessions.collect())
    }

    fn session(&self, id: SessionId, item: &Item) -> Session {
        let status = WorkflowStatus::from_item(&id, item);
        let state = match status.overall_status.is_finished()
            || status.is_stalled(now(), self.heartbeat.heartbeat)
        {
            true => State::Over,
            // Writers that keep no revision have no heartbeat to tell.
            false if status.revision == 0 => State::Unknown,
            false => State::Live,
        };
        Session { id, state }
    }
}

struct Session {
    id: SessionId,
    state: State,
}

/// Whether a workflow goes on.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Over,
    Live,
    Unknown,
}

fn is_deletion_confirmed(found: &[Session], place: &str) -> Result<bool, Failure> {
    let mut out = io::stderr().lock();
    for Session { id, state } in found.iter().take(LISTED) {
        let state = match state {
            State::Over => "",
            State::Live => "  (still running)",
            State::Unknown => "  (not finished)",
        };
        writeln!(out, "  {}{state}", truncated(&escaped(id.as_str()), 120))?;
    }
    if found.len() > LISTED {
        let live = found.iter().filter(|session| session.state == State::Live).count();
        let more = HumanCount((found.len() - LISTED) as u64);
        writeln!(out, "  and {more} more; {live} in total are still running")?;
    }
    drop(out);
    let question = format!("Delete {} from {}?", counted(found.len()), escaped(place));
    Ok(is_confirmed(&question)?)
}

/// Deletes the sessions one by one and returns whether any failed. Goes on after an error
/// that only concerns one session.
async fn delete_all(store: &DynamoDbStore, found: &[Session]) -> Result<bool, Failure> {
    let bar = progress(found.len());
    let (mut deleted, mut is_failed) = (0, false);
    for Session { id, .. } in found {
        match store.delete(id).await {
            Ok(was_there) => deleted += usize::from(was_there),
            Err(error) => {
                is_failed = true;
                bar.suspend(|| note(&format!("`{id}` was not deleted: {error}")));
                if !error.is_retryable() {
                    break;
                }
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    // The exit code must be right even if nobody reads the output.
    ignore_broken_pipe(writeln!(io::stdout().lock(), "{} deleted", counted(deleted)))?;
    Ok(is_failed)
}
