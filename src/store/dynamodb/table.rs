//! The table: asking it what its key and its expiry are called, and making it.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, TableDescription, TableStatus, TimeToLiveSpecification,
};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::describe::{expiry_of, recent_index};
use super::error::{CREDENTIALS_REMEDY, Fault, Meaning, SetupError};
use crate::status::schema;
use crate::store::StoreErrorKind;

/// How long asking the table may take. It happens while a service starts, or before the
/// first write; a table that is slower than this is asked again later.
pub(super) const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a new table may take to become active: usually it is seconds.
const CREATION_TIMEOUT: Duration = Duration::from_secs(60);

/// What the index of the newest sessions is called in a table that is made here.
pub(in crate::store) const RECENT_INDEX: &str = "recent";

/// What a table calls the two attributes whose names it decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The partition key, which holds the session id.
    pub(super) key: String,
    /// The time-to-live attribute.
    pub(super) expiry: String,
}

impl Default for Names {
    fn default() -> Self {
        Self { key: schema::SESSION_ID.to_owned(), expiry: schema::EXPIRES_AT.to_owned() }
    }
}

impl Names {
    /// Whether the table keeps something of its own under this name, where the
    /// document would keep something else.
    pub(super) fn is_reserved(&self, name: &str) -> bool {
        (name == self.key && name != schema::SESSION_ID)
            || (name == self.expiry && name != schema::EXPIRES_AT)
    }
}

/// What a table has told of itself.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) names: Names,
    /// The index by which the newest sessions are found.
    pub(super) recent_index: Option<String>,
}

/// Why it is not known what the table is like.
#[derive(Clone, Debug)]
pub(super) enum Unknown {
    /// It is known that it cannot be used.
    Unusable(SetupError),
    /// It could not be asked now.
    Unanswered(StoreErrorKind, String),
}

/// Asks the table for its key and its expiry; `settings` are what to go by where the
/// asking is not allowed.
pub(super) async fn discover(
    client: &Client,
    table: &str,
    settings: &Names,
) -> Result<Known, Unknown> {
    timeout(DISCOVERY_TIMEOUT, ask(client, table, settings)).await.unwrap_or_else(|_| {
        Err(Unknown::Unanswered(
            StoreErrorKind::Unavailable,
            format!("DynamoDB table `{table}` did not answer within {DISCOVERY_TIMEOUT:?}"),
        ))
    })
}

async fn ask(client: &Client, table: &str, settings: &Names) -> Result<Known, Unknown> {
    let (key, recent_index) = match client.describe_table().table_name(table).send().await {
        Ok(answer) => {
            let described = answer.table().ok_or_else(|| {
                let text = format!("DynamoDB described table `{table}` with an empty answer");
                Unknown::Unanswered(StoreErrorKind::Unavailable, text)
            })?;
            let key = usable_key(client, table, described).map_err(Unknown::Unusable)?;
            (key, recent_index(described).ready())
        }
        Err(error) => {
            let fault = Fault::of(&error);
            if !matches!(fault.meaning, Meaning::Denied | Meaning::Unsupported) {
                return Err(no_description(client, table, fault));
            }
            warn!(
                table,
                key = settings.key,
                expiry = settings.expiry,
                error = %fault.text,
                "cannot ask the table for its key and time-to-live (`dynamodb:DescribeTable`): \
                 going by the settings"
            );
            return Ok(Known { names: settings.clone(), recent_index: None });
        }
    };
    if key != settings.key && settings.key != schema::SESSION_ID {
        warn!(table, key, setting = settings.key, "the table's key is not the one set: using it");
    }
    let expiry = match client.describe_time_to_live().table_name(table).send().await {
        Ok(answer) => expiry_of(&answer),
        Err(error) => match Fault::of(&error) {
            Fault { meaning: Meaning::Unsupported, .. } => None,
            Fault { meaning: Meaning::Denied, text } => {
                warn!(
                    table,
                    expiry = settings.expiry,
                    error = %text,
                    "cannot ask the table for its time-to-live (`dynamodb:DescribeTimeToLive`): \
                     going by the settings"
                );
                None
            }
            fault => return Err(no_description(client, table, fault)),
        },
    };
    let expiry = expiry.unwrap_or_else(|| settings.expiry.clone());
    let is_taken = expiry == key
        || (expiry != schema::EXPIRES_AT && schema::RESERVED.contains(&expiry.as_str()));
    if is_taken {
        warn!(
            table,
            expiry,
            "the table's time-to-live is on an attribute that holds something else: items of \
             this table will not expire"
        );
        let names = Names { key, expiry: schema::EXPIRES_AT.to_owned() };
        return Ok(Known { names, recent_index });
    }
    Ok(Known { names: Names { key, expiry }, recent_index })
}

/// The partition key, if session ids fit it.
pub(super) fn usable_key(
    client: &Client,
    table: &str,
    described: &TableDescription,
) -> Result<String, SetupError> {
    if described.table_status() == Some(&TableStatus::Deleting) {
        return Err(missing(client, table, "is being deleted"));
    }
    let type_of = |name: &str| {
        described
            .attribute_definitions()
            .iter()
            .find(|definition| definition.attribute_name() == name)
            .map_or("?", |definition| definition.attribute_type().as_str())
    };
    let keys = described.key_schema();
    let unusable = |what: &str| {
        let has: Vec<_> = keys
            .iter()
            .map(|key| {
                let role =
                    if *key.key_type() == KeyType::Hash { "partition key" } else { "sort key" };
                let name = key.attribute_name();
                format!("{role} `{name}` of type {}", type_of(name))
            })
            .collect();
        SetupError::new(format!(
            "DynamoDB table `{table}` cannot hold sessions: it has {}, and {what}. Expected is a \
             partition key of type S (string), such as `sessionId`, and no sort key: name another \
             table (STATUS_TABLE_NAME), or create one with {}",
            has.join(" and "),
            create_command("another-name"),
        ))
    };
    match keys {
        [key] if type_of(key.attribute_name()) != ScalarAttributeType::S.as_str() => {
            Err(unusable("a session id is a string"))
        }
        [key]
            if key.attribute_name() != schema::SESSION_ID
                && schema::RESERVED.contains(&key.attribute_name()) =>
        {
            Err(unusable("that attribute holds something else in a status item"))
        }
        [key] => Ok(key.attribute_name().to_owned()),
        _ => Err(unusable("a session has nothing for a sort key")),
    }
}

pub(super) fn no_description(client: &Client, table: &str, fault: Fault) -> Unknown {
    let Fault { meaning, text } = fault;
    let kind = match meaning {
        Meaning::NoTable => return Unknown::Unusable(missing(client, table, "does not exist")),
        Meaning::NoCredentials => {
            return Unknown::Unusable(SetupError::new(format!(
                "cannot use DynamoDB table `{table}`: {text}{CREDENTIALS_REMEDY}"
            )));
        }
        Meaning::Throttled => StoreErrorKind::Throttled,
        Meaning::Unavailable | Meaning::InUse => StoreErrorKind::Unavailable,
        Meaning::Denied
        | Meaning::Unsupported
        | Meaning::TooLarge
        | Meaning::WrongKey
        | Meaning::Refused => {
            return Unknown::Unusable(SetupError::new(format!(
                "DynamoDB cannot describe table `{table}`: {text}; check the table's name \
                 (STATUS_TABLE_NAME) and the region"
            )));
        }
    };
    Unknown::Unanswered(
        kind,
        format!(
            "cannot ask DynamoDB table `{table}` for its key; check the network, AWS_REGION and \
             AWS_ENDPOINT_URL_DYNAMODB: {text}"
        ),
    )
}

fn missing(client: &Client, table: &str, what: &str) -> SetupError {
    let region = client.config().region().map_or("no region", |region| region.as_ref());
    SetupError::missing_table(format!(
        "DynamoDB table `{table}` {what} in {region}: check STATUS_TABLE_NAME, AWS_REGION and the \
         account, or create it with `DynamoDbStore::create_table`, `tower-agent-status table \
         create` or {}",
        create_command(table),
    ))
}

fn create_command(table: &str) -> String {
    format!(
        "`aws dynamodb create-table --table-name {table} --billing-mode PAY_PER_REQUEST \
         --attribute-definitions AttributeName=sessionId,AttributeType=S \
         --key-schema AttributeName=sessionId,KeyType=HASH`"
    )
}

/// Makes the table, unless it is there, and waits until it can be used.
pub(super) async fn create(client: &Client, table: &str, names: &Names) -> Result<(), SetupError> {
    let failed = |what: &str, fault: Fault| {
        let permission = match fault.meaning {
            Meaning::Denied => format!("; allow `dynamodb:{what}`, or have the table created"),
            Meaning::NoCredentials => CREDENTIALS_REMEDY.to_owned(),
            _ => String::new(),
        };
        let text = fault.text;
        SetupError::new(format!("cannot create DynamoDB table `{table}`: {text}{permission}"))
    };
    let incomplete = |error| SetupError::new(format!("cannot create a table: {error}"));

    let text = |name: &str| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .map_err(incomplete)
    };
    let key = |name: &str, role: KeyType| {
        KeySchemaElement::builder().attribute_name(name).key_type(role).build().map_err(incomplete)
    };
    // Keys alone do not change after the first write, so that the later ones cost
    // nothing here.
    let recent = GlobalSecondaryIndex::builder()
        .index_name(RECENT_INDEX)
        .key_schema(key(schema::CREATED_DAY, KeyType::Hash)?)
        .key_schema(key(schema::CREATED_AT, KeyType::Range)?)
        .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build())
        .build()
        .map_err(incomplete)?;
    let created = client
        .create_table()
        .table_name(table)
        .attribute_definitions(text(&names.key)?)
        .attribute_definitions(text(schema::CREATED_DAY)?)
        .attribute_definitions(text(schema::CREATED_AT)?)
        .key_schema(key(&names.key, KeyType::Hash)?)
        .global_secondary_indexes(recent)
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await;
    let is_new = match created {
        Ok(_) => true,
        Err(error) => match Fault::of(&error) {
            Fault { meaning: Meaning::InUse, .. } => false,
            fault => return Err(failed("CreateTable", fault)),
        },
    };
    wait_until_active(client, table).await?;
    if !is_new {
        // A table that was there is left as it is. In particular its time-to-live is not
        // switched on: that would delete what its owner may have meant to keep.
        return Ok(());
    }

    let expiry = TimeToLiveSpecification::builder()
        .attribute_name(&names.expiry)
        .enabled(true)
        .build()
        .map_err(incomplete)?;
    let enabled = client
        .update_time_to_live()
        .table_name(table)
        .time_to_live_specification(expiry)
        .send()
        .await;
    match enabled.map_err(|error| Fault::of(&error)) {
        Ok(_) => Ok(()),
        Err(Fault { meaning: Meaning::Unsupported, text }) => {
            debug!(table, error = %text, "this endpoint has no time-to-live: items do not expire");
            Ok(())
        }
        Err(fault) => Err(failed("UpdateTimeToLive", fault)),
    }
}

async fn wait_until_active(client: &Client, table: &str) -> Result<(), SetupError> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(100);
    loop {
        let said = match client.describe_table().table_name(table).send().await {
            Ok(answer) => match answer.table().and_then(TableDescription::table_status) {
                Some(TableStatus::Active | TableStatus::Updating) => return Ok(()),
                Some(status) => format!("its status is {status}"),
                None => "it has no status".to_owned(),
            },
            // Right after its creation a table may not be known everywhere.
            Err(error) if is_not_found(&error) => "it is not found yet".to_owned(),
            Err(error) => match Fault::of(&error) {
                Fault { meaning: Meaning::Throttled | Meaning::Unavailable, text } => {
                    text.to_string()
                }
                // Whoever may create it and not look at it has to take it as it is.
                Fault { meaning: Meaning::Denied, .. } => return Ok(()),
                fault => {
                    let text = fault.text;
                    return Err(SetupError::new(format!(
                        "cannot tell whether DynamoDB table `{table}` can be used: {text}"
                    )));
                }
            },
        };
        if begun.elapsed() >= CREATION_TIMEOUT {
            return Err(SetupError::new(format!(
                "DynamoDB table `{table}` is not active after {CREATION_TIMEOUT:?}: {said}; try \
                 again later"
            )));
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

fn is_not_found(error: &aws_sdk_dynamodb::error::SdkError<DescribeTableError>) -> bool {
    error.as_service_error().is_some_and(DescribeTableError::is_resource_not_found_exception)
}
