//! Filling in: attributes are added to the items that a scan finds, while the table is written.
//!
//! An item is updated only if what was read of it is as it was. So a writer that is faster wins, and
//! an item that is gone is not created again.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use tokio::time::{Instant, sleep};

use super::DynamoDbStore;
use super::error::{RequestError, RequestErrorKind, SetupError};

/// How many items are updated side by side.
pub(super) const UPDATES_AT_ONCE: usize = 16;
/// How often a request is repeated that is throttled or gets no answer.
const MAX_TRIES: u32 = 12;

pub(super) type Attributes = HashMap<String, AttributeValue>;

/// A scan that reads some attributes of each item.
#[derive(Clone, Debug)]
pub(super) struct FillScan<'a> {
    /// The names of the key and of the attributes, each once.
    pub(super) attributes: &'a [String],
    /// Whether every write before is to be seen, at twice the cost.
    pub(super) is_consistent: bool,
    /// In how many parts the table is scanned.
    pub(super) segments: i32,
    /// How many items a page has at most, beside its 1 MB.
    pub(super) page_limit: Option<i32>,
}

/// A page of such a scan.
pub(super) struct Page {
    pub(super) items: Vec<Attributes>,
    /// Where the next page starts.
    pub(super) next: Option<Attributes>,
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
            .client()
            .scan()
            .table_name(self.table_name())
            .projection_expression(aliases.join(","))
            .set_expression_attribute_names(Some(names))
            .consistent_read(scan.is_consistent)
            .set_limit(scan.page_limit)
            .set_exclusive_start_key(start);
        if scan.segments > 1 {
            request = request.segment(segment).total_segments(scan.segments);
        }
        let output = request.send().await.map_err(|error| RequestError::from_sdk(&error))?;
        Ok(Page {
            items: output.items.unwrap_or_default(),
            next: output.last_evaluated_key.filter(|key| !key.is_empty()),
        })
    }

    /// Adds attributes to an item. Returns `false` if it has changed or is gone. An update whose answer
    /// is lost finds its own change when it is repeated, and so counts as one that came too late.
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
            self.client()
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

    /// Repeats a request that is throttled, gets no answer, or meets another change of the table.
    pub(super) async fn retried<T, F>(&self, request: impl Fn() -> F) -> Result<T, RequestError>
    where
        F: Future<Output = Result<T, RequestError>>,
    {
        let mut tries = 0;
        loop {
            let error = match request().await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            tries += 1;
            let is_passing = matches!(
                error.kind,
                RequestErrorKind::Throttled
                    | RequestErrorKind::Unavailable
                    | RequestErrorKind::ResourceInUse
            );
            if !is_passing || tries == MAX_TRIES {
                return Err(error);
            }
            sleep(Duration::from_millis(50) * 2_u32.pow(tries.min(8))).await;
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
            _ => SetupError::new(failed("repeat the command to go on from here")),
        }
    }
}

/// Spreads updates over time.
#[derive(Debug)]
pub(super) struct Pace {
    /// The time that a write unit takes.
    unit: Duration,
    next: Instant,
}

impl Pace {
    /// So many write units in a second, or as many as the table takes.
    pub(super) fn new(units_per_second: Option<u32>) -> Self {
        let unit =
            units_per_second.map_or(Duration::ZERO, |units| Duration::from_secs(1) / units.max(1));
        Self { unit, next: Instant::now() }
    }

    /// When an update of so many write units may start.
    pub(super) fn take(&mut self, units: u64) -> Instant {
        // What was not used before is not made up for by a burst.
        let start = self.next.max(Instant::now());
        self.next = start + self.unit.saturating_mul(u32::try_from(units).unwrap_or(u32::MAX));
        start
    }
}
