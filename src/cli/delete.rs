//! `delete`: takes sessions out of the table.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tower_agent_status::SessionId;
use tower_agent_status::status::{Item, WorkflowStatus, schema};
use tower_agent_status::store::{DynamoDbStore, StatusReader as _};

use super::args::{Heartbeat, duration, session_id};
use super::failure::{Failure, NO, note, unless_unread};
use super::lines::{now, time_of};
use super::store::StoreArgs;
use super::text::{plain, shortened};

/// How many sessions are named before it is asked whether to delete them.
const NAMED: usize = 10;

/// Delete sessions: those named, or those whose ids begin so.
///
/// It names what it will delete, and asks first. By `--prefix` the table is scanned, and
/// what is deleted is what was found then. A session that is being worked on is written
/// anew by whoever works on it. Ends with 1 if a session that was named was not there, or
/// could not be deleted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tower-agent-status delete session-corr_abc123 session-corr_def456
  tower-agent-status delete --prefix load-test- --older-than 7d
  tower-agent-status delete --prefix demo- --embedded agent-status-demo.db --yes")]
pub(crate) struct Delete {
    /// The sessions' ids; or give `--prefix`
    #[arg(value_name = "SESSION", required_unless_present = "prefix", value_parser = session_id)]
    sessions: Vec<SessionId>,

    /// In place of ids: all sessions whose ids begin so
    #[arg(long, value_name = "P", conflicts_with = "sessions", value_parser = NonEmptyStringValueParser::new())]
    prefix: Option<String>,

    /// Of those only the ones that were created longer ago than this; those that do not
    /// say when stay
    #[arg(long, value_name = "TIME", requires = "prefix", conflicts_with = "sessions", value_parser = duration)]
    older_than: Option<Duration>,

    /// How many pages of 1 MB of the table to scan at most
    #[arg(long, value_name = "N", requires = "prefix", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    max_pages: u32,

    /// Do not ask
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
                "nobody is there to be asked, since standard input is not a terminal: give \
                 `--yes` to delete without being asked"
                    .to_owned(),
            ));
        }
        let store = self.store.open().await?;
        let place = self.store.name(&store);
        let (found, missing) = match &self.prefix {
            Some(prefix) => (self.with_prefix(&store, prefix).await?, Vec::new()),
            None => self.named(&store).await?,
        };
        for id in &missing {
            note(&format!("There is no session `{id}` in {place}."));
        }
        if found.is_empty() {
            note("Nothing is deleted.");
            return Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(NO) });
        }
        if !self.yes && !self.is_confirmed(&found, &place)? {
            return Err(Failure::No("nothing is deleted".to_owned()));
        }
        let failed = delete_all(&store, &found).await?;
        Ok(ExitCode::from(if failed || !missing.is_empty() { NO } else { 0 }))
    }

    /// The sessions named, and those among them that are not there.
    async fn named(
        &self,
        store: &DynamoDbStore,
    ) -> Result<(Vec<Session>, Vec<SessionId>), Failure> {
        let mut ids = Vec::new();
        for id in &self.sessions {
            if !ids.contains(id) {
                ids.push(id.clone());
            }
        }
        let items = store.get_many(&ids).await?;
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for (id, item) in ids.into_iter().zip(items) {
            match item {
                Some(item) => found.push(self.session(id, &item)),
                None => missing.push(id),
            }
        }
        Ok((found, missing))
    }

    async fn with_prefix(
        &self,
        store: &DynamoDbStore,
        prefix: &str,
    ) -> Result<Vec<Session>, Failure> {
        let pages = usize::try_from(self.max_pages).unwrap_or(usize::MAX);
        let found = store.sessions_with_prefix(prefix, pages).await?;
        if found.truncated {
            note(&format!(
                "The table is larger than the {pages} MB that were looked through, so more such \
                 sessions may be there: raise `--max-pages`."
            ));
        }
        let is_old = |item: &Item| {
            let Some(age) = self.older_than else { return true };
            time_of(item, schema::CREATED_AT)
                .is_some_and(|created| now().duration_since(created) > age)
        };
        let sessions = found.items.into_iter().filter_map(|(id, item)| {
            // The table was asked for these only; it is what was named that counts.
            (id.as_str().starts_with(prefix) && is_old(&item)).then(|| self.session(id, &item))
        });
        Ok(sessions.collect())
    }

    fn session(&self, id: SessionId, item: &Item) -> Session {
        let status = WorkflowStatus::from_item(&id, item);
        let is_live = !status.overall_status.is_finished()
            && !status.is_stalled(now(), self.heartbeat.heartbeat);
        Session { id, is_live }
    }

    fn is_confirmed(&self, found: &[Session], place: &str) -> Result<bool, Failure> {
        let mut out = io::stderr().lock();
        for Session { id, is_live } in found.iter().take(NAMED) {
            let state = if *is_live { "  (being worked on)" } else { "" };
            writeln!(out, "  {}{state}", shortened(&plain(id.as_str()), 120))?;
        }
        if found.len() > NAMED {
            let live = found.iter().filter(|session| session.is_live).count();
            let more = HumanCount((found.len() - NAMED) as u64);
            writeln!(out, "  and {more} more; {live} of all are being worked on")?;
        }
        write!(out, "Delete {} from {}? [y/N] ", counted(found.len()), plain(place))?;
        out.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }
}

struct Session {
    id: SessionId,
    is_live: bool,
}

fn counted(sessions: usize) -> String {
    match sessions {
        1 => "1 session".to_owned(),
        n => format!("{} sessions", HumanCount(n as u64)),
    }
}

/// Deletes them one by one, and goes on after a failure unless the next would fail too;
/// whether any failed.
async fn delete_all(store: &DynamoDbStore, found: &[Session]) -> Result<bool, Failure> {
    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    // On a terminal only.
    let bar = ProgressBar::new(found.len() as u64).with_style(style);
    let (mut deleted, mut is_failed) = (0, false);
    for Session { id, .. } in found {
        match store.delete(id).await {
            Ok(was_there) => deleted += usize::from(was_there),
            Err(error) => {
                is_failed = true;
                bar.suspend(|| note(&format!("`{id}` is not deleted: {error}")));
                if !error.is_retryable() {
                    break;
                }
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    // Whether all went well is for the exit code to say, whoever reads this.
    unless_unread(writeln!(io::stdout().lock(), "{} deleted", counted(deleted)))?;
    Ok(is_failed)
}
