//! Creating the table: on demand, with its time-to-live and its indexes.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, TableDescription, TableStatus, TimeToLiveSpecification,
};
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::error::{RequestError, RequestErrorKind, SetupError, and};
use super::index::{RECENT_INDEX, Shards};
use super::layout::TableSettings;
use super::remedy::remedy;
use crate::status::schema;

/// How long a new table may take to become active. Usually it takes seconds.
const CREATION_TIMEOUT: Duration = Duration::from_secs(60);

/// Creates the table unless it exists, and waits until it is active.
pub(super) async fn create(
    client: &Client,
    table: &str,
    settings: &TableSettings,
) -> Result<(), SetupError> {
    let names = &settings.names;
    let failed = |operation: &str, error: RequestError| {
        let remedy = match error.kind {
            RequestErrorKind::AccessDenied => {
                format!("; allow `dynamodb:{operation}`, or have the table created by another role")
            }
            kind => and(remedy(kind)),
        };
        let message = error.message;
        SetupError::new(format!("cannot create DynamoDB table `{table}`: {message}{remedy}"))
    };
    let schema = TableSchema::of(settings)
        .map_err(|error| SetupError::new(format!("cannot create a table: {error}")))?;
    let created = client
        .create_table()
        .table_name(table)
        .set_attribute_definitions(Some(schema.attributes))
        .key_schema(schema.key)
        .set_global_secondary_indexes(Some(schema.indexes))
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await;
    let is_new = match created {
        Ok(_) => true,
        Err(error) => match RequestError::from_sdk(&error) {
            RequestError { kind: RequestErrorKind::ResourceInUse, .. } => false,
            error => return Err(failed("CreateTable", error)),
        },
    };
    wait_until_active(client, table).await?;
    if !is_new {
        // An existing table is left as it is. Enabling its time-to-live could delete items that
        // its owner meant to keep.
        return Ok(());
    }

    let ttl = TimeToLiveSpecification::builder()
        .attribute_name(&names.ttl)
        .enabled(true)
        .build()
        .map_err(|error| SetupError::new(format!("cannot create a table: {error}")))?;
    let enabled =
        client.update_time_to_live().table_name(table).time_to_live_specification(ttl).send().await;
    match enabled.map_err(|error| RequestError::from_sdk(&error)) {
        Ok(_) => Ok(()),
        Err(RequestError { kind: RequestErrorKind::UnsupportedOperation, message }) => {
            debug!(table, error = %message, "the endpoint has no time-to-live: items do not expire");
            Ok(())
        }
        Err(error) => Err(failed("UpdateTimeToLive", error)),
    }
}

/// The keys of a table and of its indexes.
struct TableSchema {
    attributes: Vec<AttributeDefinition>,
    key: KeySchemaElement,
    indexes: Vec<GlobalSecondaryIndex>,
}

impl TableSchema {
    fn of(settings: &TableSettings) -> Result<Self, BuildError> {
        let shards = Shards::new(settings.recent_shards).unwrap_or(Shards::ONE);
        let recent = (RECENT_INDEX.to_owned(), shards.attribute());
        let search = settings.search.iter().map(|name| (search_index_name(name), name.clone()));
        let indexes: Vec<_> = std::iter::once(recent).chain(search).collect();
        let mut attributes = vec![&*settings.names.key, schema::CREATED_AT];
        attributes.extend(indexes.iter().map(|(_, attribute)| &**attribute));
        Ok(Self {
            attributes: attributes.into_iter().map(string).collect::<Result<_, _>>()?,
            key: key(&settings.names.key, KeyType::Hash)?,
            indexes: indexes
                .iter()
                .map(|(name, attribute)| {
                    GlobalSecondaryIndex::builder()
                        .index_name(name)
                        .set_key_schema(Some(index_keys(attribute)?))
                        .projection(keys_only())
                        .build()
                })
                .collect::<Result<_, _>>()?,
        })
    }
}

/// The name of the index of an attribute. The name of an index has fewer characters to choose from.
fn search_index_name(attribute: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if attribute.len() <= 200 && attribute.chars().all(is_plain) {
        return format!("by-{attribute}");
    }
    let plain: String = attribute.chars().filter(|c| is_plain(*c)).take(200).collect();
    format!("by-{plain}-{:08x}", crc32fast::hash(attribute.as_bytes()))
}

/// The definition of an attribute that holds strings.
pub(super) fn string(name: &str) -> Result<AttributeDefinition, BuildError> {
    AttributeDefinition::builder()
        .attribute_name(name)
        .attribute_type(ScalarAttributeType::S)
        .build()
}

fn key(name: &str, role: KeyType) -> Result<KeySchemaElement, BuildError> {
    KeySchemaElement::builder().attribute_name(name).key_type(role).build()
}

/// The keys of an index of sessions by an attribute, newest last.
pub(super) fn index_keys(attribute: &str) -> Result<Vec<KeySchemaElement>, BuildError> {
    Ok(vec![key(attribute, KeyType::Hash)?, key(schema::CREATED_AT, KeyType::Range)?])
}

/// Only the keys: they do not change after the first write, so later writes cost nothing in an
/// index.
pub(super) fn keys_only() -> Projection {
    Projection::builder().projection_type(ProjectionType::KeysOnly).build()
}

async fn wait_until_active(client: &Client, table: &str) -> Result<(), SetupError> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(100);
    loop {
        let state = match client.describe_table().table_name(table).send().await {
            Ok(output) => match output.table().and_then(TableDescription::table_status) {
                Some(TableStatus::Active | TableStatus::Updating) => return Ok(()),
                Some(status) => format!("its status is {status}"),
                None => "it has no status".to_owned(),
            },
            // A table may not be visible at once after its creation.
            Err(error) if is_not_found(&error) => "it was not found".to_owned(),
            Err(error) => match RequestError::from_sdk(&error) {
                RequestError {
                    kind: RequestErrorKind::Throttled | RequestErrorKind::Unavailable(_),
                    message,
                } => message.to_string(),
                // A role that may create the table but not describe it cannot wait for it.
                RequestError { kind: RequestErrorKind::AccessDenied, .. } => return Ok(()),
                error => {
                    let message = error.message;
                    return Err(SetupError::new(format!(
                        "cannot check the status of DynamoDB table `{table}`: {message}"
                    )));
                }
            },
        };
        if started.elapsed() >= CREATION_TIMEOUT {
            return Err(SetupError::new(format!(
                "DynamoDB table `{table}` is not active after {CREATION_TIMEOUT:?}: {state}; try \
                 again later"
            )));
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

fn is_not_found(error: &SdkError<DescribeTableError>) -> bool {
    error.as_service_error().is_some_and(DescribeTableError::is_resource_not_found_exception)
}
