//! `table`: creates and checks the table.

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

use super::failure::{Failure, NEGATIVE, ignore_broken_pipe};
use super::lines::now;
use super::store::StoreArgs;
use super::text::escaped;

/// Create or check the table.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  tower-agent-status table create
  tower-agent-status table check --write")]
pub(crate) enum Table {
    /// Create the table, billed on demand, with time to live and an index of the newest
    /// sessions
    ///
    /// STATUS_TABLE_KEY sets the name of the partition key (default `sessionId`), and
    /// STATUS_TABLE_TTL that of the time-to-live attribute (default `expiresAt`). An existing
    /// table is left unchanged, and differences are reported.
    #[command(after_help = "Example:
  STATUS_TABLE_NAME=agent-status AWS_REGION=eu-west-1 tower-agent-status table create")]
    Create {
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Check whether the table is set up as needed, and print how to fix what is not
    ///
    /// Exits with 0 if everything is in order, and with 1 otherwise.
    #[command(after_help = "Example:
  tower-agent-status table check --write")]
    Check {
        #[command(flatten)]
        store: StoreArgs,

        /// Also write, read and delete a test session, to check the role's permissions
        #[arg(long)]
        write: bool,
    },
}

impl Table {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let mut findings = Findings { is_in_order: true };
        match self {
            Self::Create { store: args } => {
                let is_new_file = args.is_file_missing();
                let store = args.open_without_discovery().await?;
                let name = args.name(&store);
                match store.describe_table().await {
                    // Opening a new file creates its table.
                    Ok(_) if is_new_file => findings.ok(&format!("created {name}"))?,
                    Ok(_) => {
                        findings.ok(&format!("{name} already exists and is left unchanged"))?;
                    }
                    Err(error) if error.is_table_not_found() => {
                        store.create_table().await?;
                        findings.ok(&format!("created {name}"))?;
                    }
                    // A role may be allowed to create the table but not to describe it.
                    Err(error) if error.is_access_denied() => {
                        store.create_table().await?;
                        findings.ok(&format!("{name} was created or already exists"))?;
                    }
                    Err(error) => return Err(error.into()),
                }
                if let Ok(report) = store.describe_table().await {
                    findings.table(&store, &report, args.is_embedded())?;
                }
                // Differences of an existing table do not make `create` fail.
                Ok(ExitCode::SUCCESS)
            }
            Self::Check { store: args, write } => {
                args.refuse_missing_file()?;
                let store = match write {
                    true => args.open_without_discovery().await?,
                    false => args.open_to_check().await?,
                };
                let report = store.describe_table().await?;
                findings.ok(&format!("{} exists", args.name(&store)))?;
                findings.table(&store, &report, args.is_embedded())?;
                if write {
                    test_access(&store, &mut findings).await?;
                }
                Ok(if findings.is_in_order { ExitCode::SUCCESS } else { ExitCode::from(NEGATIVE) })
            }
        }
    }
}

/// Prints one line per finding.
struct Findings {
    is_in_order: bool,
}

impl Findings {
    /// The exit code must be right even if nobody reads the output.
    fn print(word: &StyledObject<&str>, what: &str) -> io::Result<()> {
        ignore_broken_pipe(writeln!(io::stdout().lock(), "{word}  {}", escaped(what)))
    }

    fn ok(&mut self, what: &str) -> io::Result<()> {
        Self::print(&style("ok     ").green(), what)
    }

    fn differs(&mut self, what: &str, remedy: &str) -> io::Result<()> {
        self.is_in_order = false;
        Self::print(&style("differs").yellow(), what)?;
        Self::print(&style("       "), &format!("to fix it: {remedy}"))
    }

    fn unknown(&mut self, what: &str) -> io::Result<()> {
        Self::print(&style("unknown").dim(), what)
    }

    fn failed(&mut self, what: &str) -> io::Result<()> {
        self.is_in_order = false;
        Self::print(&style("failed ").red(), what)
    }

    fn table(
        &mut self,
        store: &DynamoDbStore,
        report: &TableDescription,
        is_embedded: bool,
    ) -> io::Result<()> {
        let table = store.table_name();
        let key = &report.partition_key;
        self.ok(&format!("the partition key is `{key}` of type S, and there is no sort key"))?;
        if let Some(state) = &report.transition {
            self.unknown(&format!("the table is {state}, so this may still change"))?;
        }
        if is_embedded {
            return self.recent_index(table, report);
        }
        match report.is_on_demand {
            true => self.ok("the table is billed on demand")?,
            false => self.differs(
                "the table has provisioned capacity: writes beyond it are throttled and delayed",
                &format!(
                    "aws dynamodb update-table --table-name {table} --billing-mode PAY_PER_REQUEST"
                ),
            )?,
        }
        match &report.time_to_live {
            TimeToLive::On(name) => self.ok(&format!("items expire by `{name}`"))?,
            TimeToLive::Off => self.differs(
                "items never expire: time to live is off",
                &format!(
                    "aws dynamodb update-time-to-live --table-name {table} \
                     --time-to-live-specification Enabled=true,AttributeName={}",
                    report.ttl_attribute
                ),
            )?,
            TimeToLive::Unknown(why) => self.unknown(&format!(
                "whether items expire: {why}; allow `dynamodb:DescribeTimeToLive` on the table"
            ))?,
            _ => {}
        }
        self.recent_index(table, report)
    }

    fn recent_index(&mut self, table: &str, report: &TableDescription) -> io::Result<()> {
        let (day, time) = (schema::CREATED_DAY, schema::CREATED_AT);
        match &report.recent_index {
            RecentIndex::Ready(name) => {
                self.ok(&format!("the index `{name}` lists the newest sessions"))
            }
            RecentIndex::InTransition(name) => self.unknown(&format!(
                "the index `{name}` of the newest sessions is being created or deleted"
            )),
            RecentIndex::Missing => self.differs(
                "there is no index of the newest sessions: listing them scans the table",
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

/// Writes, reads and deletes a test session.
async fn test_access(store: &DynamoDbStore, findings: &mut Findings) -> Result<(), Failure> {
    let id = format!("tower-agent-status-check-{:016x}", fastrand::u64(..));
    let id = SessionId::new(id).map_err(|error| Failure::Negative(error.to_string()))?;
    let change = test_session(&id);
    match store.write(&change, Precondition::Absent).await {
        Ok(WriteOutcome::Applied) => findings.ok(&format!("wrote the test session `{id}`"))?,
        Ok(WriteOutcome::Conflict(_)) => {
            findings.failed(&format!("cannot write `{id}`: it already exists"))?;
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
    let read_back = match store.get(&id).await {
        Ok(Some(item)) if is_stored(&change, &item) => findings.ok("it reads back as written"),
        Ok(Some(_)) => findings.failed("it reads back differently from what was written"),
        Ok(None) => findings.failed("it does not read back: the table returned no item"),
        Err(error) => findings.failed(&error.to_string()),
    };
    read_back?;
    match store.get_many(std::slice::from_ref(&id)).await {
        Ok(_) => findings.ok("several sessions can be read in one batch")?,
        Err(error) => findings.failed(&error.to_string())?,
    }
    match store.recent(1).await {
        Ok(_) => findings.ok("the newest sessions can be listed")?,
        Err(error) => findings.failed(&error.to_string())?,
    }
    // Cleans up whatever happened before.
    match store.delete(&id).await {
        Ok(_) => findings.ok("deleted the test session")?,
        Err(error) => findings.failed(&format!(
            "{error}; `{id}` was left behind, and expires within an hour if time to live is on"
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

fn is_stored(change: &Change, item: &Item) -> bool {
    // An integer may read back as a float.
    let is_same = |name: &str, value: &Value| match (value.as_u64(), item.get(name)) {
        (Some(number), Some(found)) => found.as_u64() == Some(number),
        (_, found) => found == Some(value),
    };
    change.set.iter().all(|(name, value)| is_same(name, value))
}
