//! `table`: creates and checks the table.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Subcommand, value_parser};
use console::{StyledObject, style};
use tower_agent_status::SessionId;
use tower_agent_status::status::{Change, Item, Precondition, Value, WorkflowStatus, schema};
use tower_agent_status::store::{
    DynamoDbStore, IndexStatus, ListRequest, StatusReader as _, StatusStore as _, TableDescription,
    TimeToLive, WriteOutcome,
};

use super::backfill::Backfill;
use super::check;
use super::failure::{Failure, NEGATIVE, ignore_broken_pipe};
use super::lines::now;
use super::reshard::Reshard;
use super::store::StoreArgs;
use super::text::escaped;

/// Create, check or change the table, and give older items what lists need.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  tower-agent-status table create
  tower-agent-status table check --write
  tower-agent-status table backfill --dry-run")]
pub(crate) enum Table {
    /// Create the table, billed on demand, with time to live and an index of the newest
    /// sessions
    ///
    /// STATUS_TABLE_KEY sets the name of the partition key (default `sessionId`), and
    /// STATUS_TABLE_TTL that of the time-to-live attribute (default `expiresAt`). An existing
    /// table is left unchanged, and differences are reported.
    #[command(after_help = "Example:
  STATUS_TABLE_NAME=agent-status AWS_REGION=eu-west-1 tower-agent-status table create
  tower-agent-status table create --recent-shards 16 --search documentId")]
    Create {
        #[command(flatten)]
        store: StoreArgs,

        /// Over how many partitions the index of the newest sessions spreads those of a day: one
        /// takes 1,000 new sessions a second [default: STATUS_TABLE_RECENT_SHARDS, or 1]
        #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=256))]
        recent_shards: Option<u16>,

        /// Also create an index of this attribute, such as `documentId`; may be repeated
        /// [default: STATUS_TABLE_SEARCH]
        #[arg(long, value_name = "ATTRIBUTE")]
        search: Vec<String>,
    },
    /// Check whether the table is set up as needed, and print how to fix what is not
    ///
    /// Samples up to 4,000 items from all over the table. Exits with 0 if everything is in order,
    /// and with 1 otherwise.
    #[command(after_help = "Example:
  tower-agent-status table check --write")]
    Check {
        #[command(flatten)]
        store: StoreArgs,

        /// Also write, read and delete a test session, to check the role's permissions
        #[arg(long)]
        write: bool,
    },
    Reshard(Reshard),
    Backfill(Backfill),
}

impl Table {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let mut findings = Findings { is_in_order: true };
        match self {
            Self::Create { store: args, recent_shards, search } => {
                if args.is_embedded() && (recent_shards.is_some() || !search.is_empty()) {
                    return Err(Failure::Unusable(
                        "an embedded store has one index with one shard: use --recent-shards and \
                         --search with a DynamoDB table"
                            .to_owned(),
                    ));
                }
                let is_new_file = args.is_file_missing();
                let mut store = args.open_without_discovery().await?;
                if let Some(shards) = recent_shards {
                    store = store.recent_shards(shards);
                }
                store = search.iter().fold(store, DynamoDbStore::search_attribute);
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
                    findings.wanted(&store, &report, recent_shards, &search)?;
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
                check::items(&store, &args, &mut findings).await?;
                if write {
                    test_access(&store, &mut findings).await?;
                }
                Ok(if findings.is_in_order { ExitCode::SUCCESS } else { ExitCode::from(NEGATIVE) })
            }
            Self::Reshard(reshard) => reshard.run().await,
            Self::Backfill(backfill) => backfill.run().await,
        }
    }
}

/// Prints one line per finding.
pub(crate) struct Findings {
    is_in_order: bool,
}

impl Findings {
    /// The exit code must be right even if nobody reads the output.
    fn print(word: &StyledObject<&str>, what: &str) -> io::Result<()> {
        ignore_broken_pipe(writeln!(io::stdout().lock(), "{word}  {}", escaped(what)))
    }

    pub(crate) fn ok(&mut self, what: &str) -> io::Result<()> {
        Self::print(&style("ok     ").green(), what)
    }

    pub(crate) fn differs(&mut self, what: &str, remedy: &str) -> io::Result<()> {
        self.is_in_order = false;
        Self::print(&style("differs").yellow(), what)?;
        Self::print(&style("       "), &format!("to fix it: {remedy}"))
    }

    pub(crate) fn unknown(&mut self, what: &str) -> io::Result<()> {
        Self::print(&style("unknown").dim(), what)
    }

    /// Something to know that needs no action.
    pub(crate) fn notice(&mut self, what: &str) -> io::Result<()> {
        Self::print(&style("note   ").dim(), what)
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
            return self.indexes(table, report);
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
            TimeToLive::Unknown(why) => self.unknown(&format!("whether items expire: {why}"))?,
            _ => {}
        }
        self.indexes(table, report)
    }

    fn indexes(&mut self, table: &str, report: &TableDescription) -> io::Result<()> {
        match &*report.recent_indexes {
            [] => self.differs(
                "there is no index of the newest sessions: listing them scans the table",
                &create_index(table, "recent", schema::CREATED_DAY),
            )?,
            [first, others @ ..] => {
                let (name, shards) = (&first.name, first.shards);
                let shards = match shards {
                    1 => String::new(),
                    shards => format!(", in {shards} shards"),
                };
                match first.status {
                    IndexStatus::Active => {
                        self.ok(&format!("the index `{name}` lists the newest sessions{shards}"))?;
                    }
                    _ => self.unknown(&format!(
                        "the index `{name}` of the newest sessions{shards} is being created or \
                         deleted"
                    ))?,
                }
                for other in others {
                    let (name, shards) = (&other.name, other.shards);
                    self.differs(
                        &format!("there is another index of the newest sessions, `{name}`"),
                        &format!(
                            "tower-agent-status table reshard {shards}, which it was made for; or \
                             reshard {} to delete it",
                            first.shards
                        ),
                    )?;
                }
            }
        }
        for index in &report.search_indexes {
            let (name, attribute) = (&index.name, &index.attribute);
            match index.status {
                IndexStatus::Active => {
                    self.ok(&format!("the index `{name}` finds sessions by `{attribute}`"))?;
                }
                _ => self.unknown(&format!(
                    "the index `{name}` of `{attribute}` is being created or deleted"
                ))?,
            }
        }
        Ok(())
    }

    /// What `create` was to create, and an existing table does not have.
    fn wanted(
        &mut self,
        store: &DynamoDbStore,
        report: &TableDescription,
        shards: Option<u16>,
        search: &[String],
    ) -> io::Result<()> {
        if let (Some(shards), Some(index)) = (shards, report.recent_indexes.first())
            && index.shards != shards
        {
            self.differs(
                &format!(
                    "the index of the newest sessions has {} shards, not {shards}",
                    index.shards
                ),
                &format!("tower-agent-status table reshard {shards}"),
            )?;
        }
        for attribute in search {
            if !report.search_indexes.iter().any(|index| index.attribute == *attribute) {
                self.differs(
                    &format!("there is no index of `{attribute}`"),
                    &create_index(store.table_name(), &format!("by-{attribute}"), attribute),
                )?;
            }
        }
        Ok(())
    }
}

/// The command that adds an index of sessions by an attribute.
fn create_index(table: &str, name: &str, attribute: &str) -> String {
    let time = schema::CREATED_AT;
    format!(
        "aws dynamodb update-table --table-name {table} --attribute-definitions \
         AttributeName={attribute},AttributeType=S AttributeName={time},AttributeType=S \
         --global-secondary-index-updates '[{{\"Create\":{{\"IndexName\":\"{name}\",\
         \"KeySchema\":[{{\"AttributeName\":\"{attribute}\",\"KeyType\":\"HASH\"}},\
         {{\"AttributeName\":\"{time}\",\"KeyType\":\"RANGE\"}}],\
         \"Projection\":{{\"ProjectionType\":\"KEYS_ONLY\"}}}}}}]'"
    )
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
    let request = ListRequest::new(1).attributes([schema::OVERALL_STATUS]);
    match store.list(&request, |_, _| ()).await {
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
