//! Creating the table: on demand, with its time-to-live and the index of the newest sessions.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, TableDescription, TableStatus, TimeToLiveSpecification,
};
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::error::{CREDENTIALS_REMEDY, RequestError, RequestErrorKind, SetupError};
use super::layout::AttributeNames;
use crate::status::schema;

/// How long a new table may take to become active. Usually it takes seconds.
const CREATION_TIMEOUT: Duration = Duration::from_secs(60);

/// The name of the index of the newest sessions in a table that is created here.
pub(in crate::store) const RECENT_INDEX: &str = "recent";

/// Creates the table unless it exists, and waits until it is active.
pub(super) async fn create(
    client: &Client,
    table: &str,
    names: &AttributeNames,
) -> Result<(), SetupError> {
    let failed = |operation: &str, error: RequestError| {
        let remedy = match error.kind {
            RequestErrorKind::AccessDenied => {
                format!("; allow `dynamodb:{operation}`, or have the table created by another role")
            }
            RequestErrorKind::NoCredentials => CREDENTIALS_REMEDY.to_owned(),
            _ => String::new(),
        };
        let message = error.message;
        SetupError::new(format!("cannot create DynamoDB table `{table}`: {message}{remedy}"))
    };
    let incomplete = |error| SetupError::new(format!("cannot create a table: {error}"));

    let string = |name: &str| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .map_err(incomplete)
    };
    let key = |name: &str, role: KeyType| {
        KeySchemaElement::builder().attribute_name(name).key_type(role).build().map_err(incomplete)
    };
    // Projects keys only: they do not change after the first write, so later writes cost
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
        .attribute_definitions(string(&names.key)?)
        .attribute_definitions(string(schema::CREATED_DAY)?)
        .attribute_definitions(string(schema::CREATED_AT)?)
        .key_schema(key(&names.key, KeyType::Hash)?)
        .global_secondary_indexes(recent)
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
        .map_err(incomplete)?;
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
                    kind: RequestErrorKind::Throttled | RequestErrorKind::Unavailable,
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
