//! [`WebhookCounts`]: the counts of notifications and requests.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counts of a webhook's notifications and requests since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookCounts {
    /// The number of notifications that the receiver accepted.
    pub delivered: u64,
    /// The number of requests that the receiver did not accept. A notification can count several times.
    pub failed: u64,
    /// The number of notifications dropped because the queue was full. Most are found again when it has
    /// room; each counts once.
    pub dropped_full: u64,
    /// The number of notifications dropped because they were not accepted within a day.
    pub dropped_expired: u64,
    /// The number of notifications in the queue, including those in flight.
    pub pending: u64,
}

/// The counters behind it.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    delivered: AtomicU64,
    failed: AtomicU64,
    dropped_full: AtomicU64,
    dropped_expired: AtomicU64,
    pending: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> WebhookCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WebhookCounts {
            delivered: read(&self.delivered),
            failed: read(&self.failed),
            dropped_full: read(&self.dropped_full),
            dropped_expired: read(&self.dropped_expired),
            pending: read(&self.pending),
        }
    }

    pub(super) fn queued(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.report_pending();
    }

    /// The receiver has accepted a notification.
    pub(super) fn delivered(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        crate::telemetry::metrics::webhook_request("success");
        self.left_queue();
    }

    /// The receiver has not accepted one.
    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        crate::telemetry::metrics::webhook_request("error");
    }

    /// The queue was full.
    pub(super) fn found_full(&self) {
        self.dropped_full.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        crate::telemetry::metrics::webhook_dropped("full");
    }

    /// A notification in the queue was not accepted for too long.
    pub(super) fn expired(&self) {
        self.dropped_expired.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        crate::telemetry::metrics::webhook_dropped("expired");
        self.left_queue();
    }

    fn left_queue(&self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
        self.report_pending();
    }

    fn report_pending(&self) {
        #[cfg(feature = "metrics")]
        crate::telemetry::metrics::webhook_pending(self.pending.load(Ordering::Relaxed));
    }
}
