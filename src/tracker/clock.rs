//! [`Clock`]: where the time of day comes from.

use std::sync::Arc;
use std::time::SystemTime;

use crate::status::Timestamp;

/// Where the time of day comes from.
#[derive(Clone)]
pub(crate) enum Clock {
    System,
    Given(Arc<dyn Fn() -> SystemTime + Send + Sync>),
}

impl Clock {
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::System => SystemTime::now(),
            Self::Given(clock) => clock(),
        }
        .into()
    }
}
