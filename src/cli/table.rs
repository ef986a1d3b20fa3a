//! `table`: makes the table, and says what it is like.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use console::{StyledObject, style};
use tower_agent_status::SessionId;
use tower_agent_status::status::{Change, Item, Precondition, Value, WorkflowStatus, schema};
use tower_agent_status::store::{
    DynamoDbStore, RecentIndex, StatusReader as _, StatusStore as _, TableDescription, TimeToLive,
    WriteOutcome,
};

use super::failure::{Failure, NO, unless_unread};
use super::lines::now;
use super::store::StoreArgs;
use super::text::plain;

/// Make the table, or check it.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  tower-agent-status table create
  tower-agent-status table check --write")]
pub(crate) enum Table {
    /// Make the table: on demand, with time to live and the index of the newest sessions
    ///
    /// The key is called as STATUS_TABLE_KEY says, or `sessionId`, and the time-to-live
    /// attribute as STATUS_TABLE_TTL says, or `expiresAt`. A table that is there already
    /// is left as it is; what it lacks is said.
    #[command(after_help = "Example:
  STATUS_TABLE_NAME=agent-status AWS_REGION=eu-west-1 tower-agent-status table create")]
    Create {
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Check the table: say what differs from what the items need, and how to mend it
    ///
    /// Ends with 0 if all is well, and 1 if anything differs or failed.
    #[command(after_help = "Example:
  tower-agent-status table check --write")]
    Check {
        #[command(flatten)]
        store: StoreArgs,

        /// Write, read and delete a session as well, as a proof that this role may
        #[arg(long)]
        write: bool,
    },
}

impl Table {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let mut findings = Findings { is_well: true };
        match self {
            Self::Create { store: args } => {
                let is_made = args.is_file_missing();
                let store = args.open_unasked().await?;
                let name = args.name(&store);
                match store.describe_table().await {
                    // Opened, a file has its table.
                    Ok(_) if is_made => findings.ok(&format!("{name} is created"))?,
                    Ok(_) => {
                        findings.ok(&format!("{name} is there already: it is left as it is"))?;
                    }
                    Err(error) if error.is_missing_table() => {
                        store.create_table().await?;
                        findings.ok(&format!("{name} is created"))?;
                    }
                    // Whoever may create it need not be allowed to look at it.
                    Err(error) if error.is_denied() => {
                        store.create_table().await?;
                        findings.ok(&format!("{name} is created, or was there"))?;
                    }
                    Err(error) => return Err(error.into()),
                }
                if let Ok(report) = store.describe_table().await {
                    findings.table(&store, &report, args.is_embedded())?;
                }
                // What it lacks it lacked before: what was asked for is done.
                Ok(ExitCode::SUCCESS)
            }
            Self::Check { store: args, write } => {
                args.refuse_missing_file()?;
                let store = args.open_unasked().await?;
                let report = store.describe_table().await?;
                findings.ok(&format!("{} is there", args.name(&store)))?;
                findings.table(&store, &report, args.is_embedded())?;
                if write {
                    try_it(&store, &mut findings).await?;
                }
                Ok(if findings.is_well { ExitCode::SUCCESS } else { ExitCode::from(NO) })
            }
        }
    }
}

/// What was found, a line each.
struct Findings {
    is_well: bool,
}

impl Findings {
    /// Whether all is well is for the exit code to say, whoever reads this.
    fn say(word: &StyledObject<&str>, what: &str) -> io::Result<()> {
        unless_unread(writeln!(io::stdout().lock(), "{word}  {}", plain(what)))
    }

    fn ok(&mut self, what: &str) -> io::Result<()> {
        Self::say(&style("ok     ").green(), what)
    }

    fn differs(&mut self, what: &str, remedy: &str) -> io::Result<()> {
        self.is_well = false;
        Self::say(&style("differs").yellow(), what)?;
        Self::say(&style("       "), &format!("to mend it: {remedy}"))
    }

    fn unknown(&mut self, what: &str) -> io::Result<()> {
        Self::say(&style("unknown").dim(), what)
    }

    fn failed(&mut self, what: &str) -> io::Result<()> {
        self.is_well = false;
        Self::say(&style("failed ").red(), what)
    }

    fn table(
        &mut self,
        store: &DynamoDbStore,
        report: &TableDescription,
        is_embedded: bool,
    ) -> io::Result<()> {
        let table = store.table();
        let key = &report.partition_key;
        self.ok(&format!("its partition key is `{key}`, of type S, and it has no sort key"))?;
        if let Some(state) = &report.transition {
            self.unknown(&format!("it is {state}: it may change yet"))?;
        }
        if is_embedded {
            return self.recent_index(table, report);
        }
        match report.is_on_demand {
            true => self.ok("it is billed on demand")?,
            false => self.differs(
                "it has provisioned capacity: more than that is throttled, and written later",
                &format!(
                    "aws dynamodb update-table --table-name {table} --billing-mode PAY_PER_REQUEST"
                ),
            )?,
        }
        match &report.time_to_live {
            TimeToLive::On(name) => self.ok(&format!("its items expire by `{name}`"))?,
            TimeToLive::Off => self.differs(
                "its items never expire: time to live is off",
                &format!(
                    "aws dynamodb update-time-to-live --table-name {table} \
                     --time-to-live-specification Enabled=true,AttributeName={}",
                    report.ttl_attribute
                ),
            )?,
            TimeToLive::Unknown(why) => self.unknown(&format!(
                "whether its items expire: {why}; allow `dynamodb:DescribeTimeToLive` on the table"
            ))?,
            _ => {}
        }
        self.recent_index(table, report)
    }

    fn recent_index(&mut self, table: &str, report: &TableDescription) -> io::Result<()> {
        let (day, time) = (schema::CREATED_DAY, schema::CREATED_AT);
        match &report.recent_index {
            RecentIndex::Ready(name) => {
                self.ok(&format!("its index `{name}` finds the newest sessions"))
            }
            RecentIndex::InTransition(name) => self.unknown(&format!(
                "its index `{name}` of the newest sessions is being made or deleted"
            )),
            RecentIndex::Missing => self.differs(
                "it has no index of the newest sessions: to list them, the table is scanned",
                &format!(
                    "aws dynamodb update-table --table-name {table} --attribute-definitions \
                     AttributeName={day},AttributeType=S AttributeName={time},AttributeType=S \
                     --global-secondary-index-updates '[{{\"Create\":{{\"IndexName\":\"recent\",\
                     \"KeySchema\":[{{\"AttributeName\":\"{day}\",\"KeyType\":\"HASH\"}},\
                     {{\"AttributeName\":\"{time}\",\"KeyType\":\"RANGE\"}}],\
                     \"Projection\":{{\"ProjectionType\":\"KEYS_ONLY\"}}}}}}]'"
                ),
            ),
            _ => Ok(()),
        }
    }
}

/// Writes, reads and deletes a session that is nobody's.
async fn try_it(store: &DynamoDbStore, findings: &mut Findings) -> Result<(), Failure> {
    let id = format!("tower-agent-status-check-{:016x}", fastrand::u64(..));
    let id = SessionId::new(id).map_err(|error| Failure::No(error.to_string()))?;
    let change = test_session(&id);
    match store.write(&change, Precondition::Absent).await {
        Ok(WriteOutcome::Applied) => findings.ok(&format!("a test session was written: `{id}`"))?,
        Ok(WriteOutcome::Conflict(_)) => {
            findings.failed(&format!("`{id}` was not written: it is there already"))?;
            return Ok(());
        }
        Ok(other) => {
            findings.failed(&format!("`{id}` was not written: {other:?}"))?;
            return Ok(());
        }
        Err(error) if error.may_have_been_applied() => findings.failed(&error.to_string())?,
        Err(error) => {
            findings.failed(&error.to_string())?;
            return Ok(());
        }
    }
    let told = match store.get(&id).await {
        Ok(Some(item)) if is_there(&change, &item) => {
            findings.ok("it reads back as it was written")
        }
        Ok(Some(_)) => findings.failed("it reads back otherwise than it was written"),
        Ok(None) => {
            findings.failed("it does not read back: the table answers that it is not there")
        }
        Err(error) => findings.failed(&error.to_string()),
    };
    told?;
    match store.get_many(std::slice::from_ref(&id)).await {
        Ok(_) => findings.ok("several sessions can be read at once")?,
        Err(error) => findings.failed(&error.to_string())?,
    }
    match store.recent(1).await {
        Ok(_) => findings.ok("the newest sessions can be listed")?,
        Err(error) => findings.failed(&error.to_string())?,
    }
    // Whatever became of the rest, nothing is left behind.
    match store.delete(&id).await {
        Ok(_) => findings.ok("it was deleted")?,
        Err(error) => findings.failed(&format!(
            "{error}; `{id}` is still there, and expires within the hour where time to live is on"
        ))?,
    }
    Ok(())
}

fn test_session(id: &SessionId) -> Change {
    let mut item = Item::new();
    item.insert(schema::CREATED_AT, now().to_string());
    item.insert(schema::OVERALL_STATUS, "completed");
    item.insert(schema::REVISION, 1);
    let mut item = WorkflowStatus::from_item(id, &item).to_item();
    let an_hour = Duration::from_secs(60 * 60);
    let expires_at = now().saturating_add(an_hour).as_secs();
    item.insert(schema::EXPIRES_AT, u64::try_from(expires_at).unwrap_or(0));
    Change::new(id.clone(), item, Vec::new())
}

fn is_there(change: &Change, item: &Item) -> bool {
    // A whole number may read back as one of another kind.
    let is_same = |name: &str, value: &Value| match (value.as_u64(), item.get(name)) {
        (Some(number), Some(found)) => found.as_u64() == Some(number),
        (_, found) => found == Some(value),
    };
    change.set.iter().all(|(name, value)| is_same(name, value))
}
