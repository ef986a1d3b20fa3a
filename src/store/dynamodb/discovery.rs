//! Discovery: asking the table for the names of its key and its time-to-live attribute.
//!
//! ```text
//! DescribeTable       ─▶ the key, which must be one string; the indexes
//! DescribeTimeToLive  ─▶ the attribute, unless it holds something else in a status item
//! ```
//!
//! A definite answer that the table is unusable is a [`SetupError`]. A table that cannot be
//! reached now is asked again later. A role without the permission, or an endpoint without the
//! operation, leaves the settings in force, with a warning.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{KeyType, ScalarAttributeType, TableDescription, TableStatus};
use tokio::time::timeout;
use tracing::warn;

use super::error::{RequestError, RequestErrorKind, SetupError, and};
use super::index::Indexes;
use super::layout::{AttributeNames, TableLayout, TableSettings, enabled_ttl};
use super::remedy::{Outage, remedy};
use crate::status::{ErrorMessage, schema};
use crate::store::StoreErrorKind;

/// How long discovery may take. It delays the start of a service, or its first write.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the layout of a table is unknown.
#[derive(Clone, Debug)]
pub(super) enum DiscoveryError {
    /// The table cannot be used.
    Unusable(SetupError),
    /// The table could not be described now.
    Unavailable(StoreErrorKind, String),
}

/// Asks the table for its layout. `settings` apply where the table cannot tell.
pub(super) async fn discover(
    client: &Client,
    table: &str,
    settings: &TableSettings,
) -> Result<TableLayout, DiscoveryError> {
    timeout(DISCOVERY_TIMEOUT, describe(client, table, settings)).await.unwrap_or_else(|_| {
        Err(DiscoveryError::Unavailable(
            StoreErrorKind::Unavailable,
            format!(
                "DynamoDB table `{table}` in {} did not respond within {DISCOVERY_TIMEOUT:?}{}",
                region(client),
                and(remedy(RequestErrorKind::Unavailable(Outage::NoResponse)))
            ),
        ))
    })
}

async fn describe(
    client: &Client,
    table: &str,
    settings: &TableSettings,
) -> Result<TableLayout, DiscoveryError> {
    let output = match client.describe_table().table_name(table).send().await {
        Ok(output) => output,
        Err(error) => {
            let error = RequestError::from_sdk(&error);
            if !matches!(
                error.kind,
                RequestErrorKind::AccessDenied | RequestErrorKind::UnsupportedOperation
            ) {
                return Err(describe_failed(client, table, error));
            }
            warn!(
                table,
                key = settings.names.key,
                ttl = settings.names.ttl,
                shards = settings.recent_shards,
                error = %error.message,
                "cannot discover the table's key and TTL attribute: using the settings; allow \
                 `dynamodb:DescribeTable`, or check STATUS_TABLE_KEY and STATUS_TABLE_TTL"
            );
            return Ok(TableLayout::assumed(settings));
        }
    };
    let described = output.table().ok_or_else(|| {
        let text = format!("DynamoDB returned no description of table `{table}`");
        DiscoveryError::Unavailable(StoreErrorKind::Unavailable, text)
    })?;
    let key = usable_key(client, table, described).map_err(DiscoveryError::Unusable)?;
    let settings = &settings.names;
    if key != settings.key && settings.key != schema::SESSION_ID {
        warn!(
            table,
            key,
            setting = settings.key,
            "the table's key differs from the setting: using the table's"
        );
    }
    let ttl = match client.describe_time_to_live().table_name(table).send().await {
        Ok(output) => enabled_ttl(&output),
        Err(error) => match RequestError::from_sdk(&error) {
            RequestError { kind: RequestErrorKind::UnsupportedOperation, .. } => None,
            RequestError { kind: RequestErrorKind::AccessDenied, message } => {
                warn!(
                    table,
                    ttl = settings.ttl,
                    error = %message,
                    "cannot discover the table's TTL attribute: using the settings; allow \
                     `dynamodb:DescribeTimeToLive`, or check STATUS_TABLE_TTL"
                );
                None
            }
            error => return Err(describe_failed(client, table, error)),
        },
    };
    let ttl = ttl.unwrap_or_else(|| settings.ttl.clone());
    // Writing the expiry there would overwrite the key or another attribute.
    let is_taken = ttl == key || (ttl != schema::EXPIRES_AT && schema::is_reserved(&ttl));
    if is_taken {
        warn!(
            table,
            ttl,
            "the table's TTL attribute holds something else in a status item: items of this \
             table will not expire"
        );
    }
    let ttl = if is_taken { schema::EXPIRES_AT.to_owned() } else { ttl };
    let indexes = Indexes::of(described, &[&key, &ttl]);
    Ok(TableLayout::new(AttributeNames { key, ttl }, indexes))
}

/// Asks the table for its indexes again.
pub(super) async fn indexes(
    client: &Client,
    table: &str,
    names: &AttributeNames,
) -> Result<Indexes, RequestError> {
    let describe = client.describe_table().table_name(table).send();
    match timeout(DISCOVERY_TIMEOUT, describe).await {
        Ok(Ok(output)) => {
            let described = output.table().map(|it| Indexes::of(it, &[&names.key, &names.ttl]));
            Ok(described.unwrap_or_default())
        }
        Ok(Err(error)) => Err(RequestError::from_sdk(&error)),
        Err(_) => {
            let message = format!("no response within {DISCOVERY_TIMEOUT:?}");
            Err(RequestError {
                kind: RequestErrorKind::Unavailable(Outage::NoResponse),
                message: ErrorMessage::new(message),
            })
        }
    }
}

/// Returns the name of the partition key, if it can hold session ids.
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
            "DynamoDB table `{table}` cannot hold sessions: it has {}, and {what}. It needs a \
             partition key of type S (string), such as `sessionId`, and no sort key: use another \
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
                && schema::is_reserved(key.attribute_name()) =>
        {
            Err(unusable("that attribute holds something else in a status item"))
        }
        [key] => Ok(key.attribute_name().to_owned()),
        _ => Err(unusable("a session has no value for a sort key")),
    }
}

/// The error of a failed `DescribeTable` or `DescribeTimeToLive`.
pub(super) fn describe_failed(client: &Client, table: &str, error: RequestError) -> DiscoveryError {
    let RequestError { kind, message } = error;
    let remedy = and(remedy(kind));
    let region = region(client);
    let store_kind = match kind {
        RequestErrorKind::TableNotFound => {
            return DiscoveryError::Unusable(missing(client, table, "does not exist"));
        }
        RequestErrorKind::Credentials(_) => {
            return DiscoveryError::Unusable(SetupError::new(format!(
                "cannot use DynamoDB table `{table}` in {region}: {message}{remedy}"
            )));
        }
        RequestErrorKind::Throttled => StoreErrorKind::Throttled,
        RequestErrorKind::Unavailable(_) | RequestErrorKind::ResourceInUse => {
            StoreErrorKind::Unavailable
        }
        RequestErrorKind::AccessDenied
        | RequestErrorKind::UnsupportedOperation
        | RequestErrorKind::ItemTooLarge
        | RequestErrorKind::KeyMismatch
        | RequestErrorKind::Rejected => {
            return DiscoveryError::Unusable(SetupError::new(format!(
                "cannot describe DynamoDB table `{table}`: {message}; check the table's name \
                 (STATUS_TABLE_NAME) and the region"
            )));
        }
    };
    DiscoveryError::Unavailable(
        store_kind,
        format!("cannot describe DynamoDB table `{table}` in {region}: {message}{remedy}"),
    )
}

fn region(client: &Client) -> &str {
    client.config().region().map_or("no region", |region| region.as_ref())
}

fn missing(client: &Client, table: &str, what: &str) -> SetupError {
    let region = region(client);
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
