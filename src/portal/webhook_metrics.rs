//! [`WebhookMetrics`]: the metrics of a webhook, after the gauges.

#[cfg(feature = "webhook")]
use crate::webhook::{RunningWebhook, WebhookCounts};

/// The webhook of a portal, if it has one.
#[derive(Clone, Debug, Default)]
pub(super) struct WebhookMetrics {
    #[cfg(feature = "webhook")]
    counters: Option<crate::webhook::SharedCounters>,
}

impl WebhookMetrics {
    #[cfg(feature = "webhook")]
    pub(super) fn of(webhook: &RunningWebhook) -> Self {
        Self { counters: Some(webhook.counters()) }
    }

    /// Renders them in the text format of Prometheus, under the names of
    /// [`metrics`](mod@crate::metrics). Empty without a webhook.
    #[cfg(feature = "webhook")]
    pub(super) fn exposition(&self) -> String {
        let Some(counters) = &self.counters else { return String::new() };
        let WebhookCounts { delivered, failed, dropped_full, dropped_expired, pending, .. } =
            counters.read();
        format!(
            "# HELP agent_status_webhook_requests Requests of a webhook, by result.\n\
             # TYPE agent_status_webhook_requests counter\n\
             agent_status_webhook_requests{{result=\"success\"}} {delivered}\n\
             agent_status_webhook_requests{{result=\"error\"}} {failed}\n\
             # HELP agent_status_webhook_dropped Notifications of a webhook that were dropped, by \
             reason.\n\
             # TYPE agent_status_webhook_dropped counter\n\
             agent_status_webhook_dropped{{reason=\"full\"}} {dropped_full}\n\
             agent_status_webhook_dropped{{reason=\"expired\"}} {dropped_expired}\n\
             # HELP agent_status_webhook_pending Notifications in the queue of a webhook.\n\
             # TYPE agent_status_webhook_pending gauge\n\
             agent_status_webhook_pending {pending}\n"
        )
    }

    #[cfg(not(feature = "webhook"))]
    pub(super) fn exposition(&self) -> &'static str {
        ""
    }
}
