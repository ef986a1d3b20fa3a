//! [`ReadUnits`]: what the requests of a list or of a search took.

use std::sync::{Mutex, PoisonError};

use aws_sdk_dynamodb::types::ConsumedCapacity;

/// The sum of the read units that the table says its answers took.
#[derive(Debug)]
pub(super) struct ReadUnits(Mutex<Option<f64>>);

impl Default for ReadUnits {
    fn default() -> Self {
        Self(Mutex::new(Some(0.0)))
    }
}

impl ReadUnits {
    /// Adds what an answer says. An answer that does not say makes the sum unknown: some endpoints
    /// count nothing.
    pub(super) fn add(&self, capacity: Option<&ConsumedCapacity>) {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let units = capacity.and_then(|capacity| capacity.capacity_units);
        *sum = sum.zip(units).map(|(sum, units)| sum + units);
    }

    pub(super) fn sum(&self) -> Option<f64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
