//! [`FailedWrites`]: what has gone wrong with a session's writes, and how long to back off.

use std::time::Duration;

use crate::status::ErrorMessage;
use crate::store::StoreError;
use crate::tracker::Session;

/// The first failure of a session backs off up to this long, and each further one up to twice as
/// long as the one before.
const BACKOFF_BASE: Duration = Duration::from_millis(50);
/// The longest backoff, and so how soon writing resumes after an outage.
const BACKOFF_CAP: Duration = Duration::from_secs(5);
/// The backoff after a permanent failure: somebody may have granted the permission or created the
/// table by then.
const PERMANENT_BACKOFF: Duration = Duration::from_secs(60);

/// The failed writes of a session since the last that was applied.
#[derive(Default)]
pub(super) struct FailedWrites {
    pub(super) failures: u32,
    pub(super) conflicts: u32,
    pub(super) is_permanent: bool,
    pub(super) error: Option<ErrorMessage>,
}

impl FailedWrites {
    /// Whether the last write was not applied.
    #[cfg(feature = "metrics")]
    pub(super) fn is_retrying(&self) -> bool {
        self.failures > 0 || self.conflicts > 0
    }

    /// Records a failure, logs it if it is the first of an outage, and returns the backoff.
    pub(super) fn record(
        &mut self,
        session: &Session,
        error: &StoreError,
        outage: &mut bool,
    ) -> Duration {
        let is_first = match error.is_retryable() {
            true => !std::mem::replace(outage, true),
            false => !self.is_permanent,
        };
        self.failures += 1;
        self.is_permanent = !error.is_retryable();
        let message = ErrorMessage::new(error);
        let (session_id, failures) = (&session.id, self.failures);
        if !is_first {
            tracing::debug!(%session_id, failures, error = %message, "status still not saved");
        } else if self.is_permanent {
            tracing::error!(%session_id, error = %message, "status cannot be saved");
        } else {
            tracing::warn!(%session_id, error = %message, "status not saved; trying again");
        }
        self.error = Some(message);
        if self.is_permanent { PERMANENT_BACKOFF } else { backoff(self.failures) }
    }
}

/// Exponential backoff with full jitter: anything up to a bound that doubles.
pub(super) fn backoff(failures: u32) -> Duration {
    let bound = BACKOFF_BASE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    bound.min(BACKOFF_CAP).mul_f64(fastrand::f64())
}
