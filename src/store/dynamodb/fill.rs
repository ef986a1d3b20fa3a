//! Filling in: adds attributes to the items that a scan finds, while other processes write.
//!
//! An item is updated only if the attributes that were read have not changed. So a faster writer wins,
//! and a deleted item is not created again.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, ConsumedCapacity, ReturnConsumedCapacity};
use tokio::time::{Instant, sleep};

use super::DynamoDbStore;
use super::error::{RequestError, RequestErrorKind, SetupError};

/// How many items are updated side by side.
pub(super) const UPDATES_AT_ONCE: usize = 16;
/// The maximum number of attempts of a request that is throttled or gets no answer.
const MAX_ATTEMPTS: u32 = 12;

pub(super) type Attributes = HashMap<String, AttributeValue>;

/// A scan that reads some attributes of each item.
#[derive(Clone, Debug)]
pub(super) struct FillScan<'a> {
    /// The names of the key and of the attributes, without duplicates.
    pub(super) attributes: &'a [String],
    /// Whether the reads are strongly consistent, at twice the cost.
    pub(super) is_consistent: bool,
    /// The number of segments of a parallel scan.
    pub(super) segments: i32,
    /// The maximum number of items per page; a page also ends at 1 MB.
    pub(super) page_limit: Option<i32>,
}

/// A page of such a scan.
pub(super) struct Page {
    pub(super) items: Vec<Attributes>,
    /// Where the next page starts.
    pub(super) next: Option<Attributes>,
    /// What it took.
    pub(super) capacity: Option<ConsumedCapacity>,
}

/// Attributes for an item, and what was read of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fill {
    pub(super) id: String,
    pub(super) set: Vec<(String, AttributeValue)>,
    /// With `None`, the item has no such attribute.
    pub(super) unchanged: Vec<(String, Option<AttributeValue>)>,
}

impl DynamoDbStore {
    pub(super) async fn scan_for_fill(
        &self,
        scan: &FillScan<'_>,
        segment: i32,
        start: Option<Attributes>,
    ) -> Result<Page, RequestError> {
        let alias = |n: usize| format!("#{n}");
        let aliases = (0..scan.attributes.len()).map(alias).collect::<Vec<_>>();
        let names = aliases.iter().cloned().zip(scan.attributes.iter().cloned()).collect();
        let mut request = self
            .requests()
            .scan()
            .table_name(self.table_name())
            .projection_expression(aliases.join(","))
            .set_expression_attribute_names(Some(names))
            .consistent_read(scan.is_consistent)
            .set_limit(scan.page_limit)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .set_exclusive_start_key(start);
        if scan.segments > 1 {
            request = request.segment(segment).total_segments(scan.segments);
        }
        let output = request.send().await.map_err(|error| RequestError::from_sdk(&error))?;
        Ok(Page {
            items: output.items.unwrap_or_default(),
            next: output.last_evaluated_key.filter(|key| !key.is_empty()),
            capacity: output.consumed_capacity,
        })
    }

    /// Adds attributes to an item. Returns `false` if it has changed or was deleted. That includes an
    /// update whose answer was lost: its retry finds the item changed.
    pub(super) async fn fill_in(&self, key: &str, fill: &Fill) -> Result<bool, RequestError> {
        let mut names = HashMap::from([("#k".to_owned(), key.to_owned())]);
        let mut values = HashMap::new();
        let mut conditions = vec!["attribute_exists(#k)".to_owned()];
        for (n, (name, value)) in fill.unchanged.iter().enumerate() {
            names.insert(format!("#u{n}"), name.clone());
            conditions.push(match value {
                None => format!("attribute_not_exists(#u{n})"),
                Some(value) => {
                    values.insert(format!(":u{n}"), value.clone());
                    format!("#u{n} = :u{n}")
                }
            });
        }
        let mut sets = Vec::new();
        for (n, (name, value)) in fill.set.iter().enumerate() {
            names.insert(format!("#s{n}"), name.clone());
            values.insert(format!(":s{n}"), value.clone());
            sets.push(format!("#s{n} = :s{n}"));
        }
        let (update, condition) = (format!("SET {}", sets.join(", ")), conditions.join(" AND "));
        let updated = self.retried(|| async {
            self.requests()
                .update_item()
                .table_name(self.table_name())
                .key(key, AttributeValue::S(fill.id.clone()))
                .update_expression(&update)
                .condition_expression(&condition)
                .set_expression_attribute_names(Some(names.clone()))
                .set_expression_attribute_values(Some(values.clone()))
                .send()
                .await
                .map(|_| true)
                .or_else(|error| match error.as_service_error() {
                    Some(error) if error.is_conditional_check_failed_exception() => Ok(false),
                    _ => Err(RequestError::from_sdk(&error)),
                })
        });
        updated.await
    }

    /// Retries a request that is throttled, gets no answer, or is refused while the table is updated.
    pub(super) async fn retried<T, F>(&self, request: impl Fn() -> F) -> Result<T, RequestError>
    where
        F: Future<Output = Result<T, RequestError>>,
    {
        let mut attempts = 0;
        loop {
            let error = match request().await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            attempts += 1;
            let is_transient = matches!(
                error.kind,
                RequestErrorKind::Throttled
                    | RequestErrorKind::Unavailable(_)
                    | RequestErrorKind::ResourceInUse
            );
            if !is_transient || attempts == MAX_ATTEMPTS {
                return Err(error);
            }
            sleep(Duration::from_millis(50) * 2_u32.pow(attempts.min(8))).await;
        }
    }

    /// The error of a long run (`reshard`, `backfill`) in which a request failed.
    pub(super) fn fill_failed(
        &self,
        run: &str,
        operation: &str,
        error: &RequestError,
    ) -> SetupError {
        let (table, message) = (self.table_name(), &error.message);
        let failed =
            |remedy: &str| format!("cannot {run} DynamoDB table `{table}`: {message}; {remedy}");
        match error.kind {
            RequestErrorKind::AccessDenied => {
                SetupError::denied(failed(&format!("allow `dynamodb:{operation}` on the table")))
            }
            _ => SetupError::new(failed("repeat the command to continue")),
        }
    }
}

/// Limits the rate of updates.
#[derive(Debug)]
pub(super) struct Pace {
    /// The time that a write unit takes.
    unit: Duration,
    next: Instant,
}

impl Pace {
    /// A limit in write units per second; `None` for no limit.
    pub(super) fn new(units_per_second: Option<u32>) -> Self {
        let unit =
            units_per_second.map_or(Duration::ZERO, |units| Duration::from_secs(1) / units.max(1));
        Self { unit, next: Instant::now() }
    }

    /// When an update of so many write units may start.
    pub(super) fn take(&mut self, units: u64) -> Instant {
        // Time that was not used does not allow for a burst later.
        let start = self.next.max(Instant::now());
        self.next = start + self.unit.saturating_mul(u32::try_from(units).unwrap_or(u32::MAX));
        start
    }
}
