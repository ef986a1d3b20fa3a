//! [`AgentMetrics`]: the metrics of an agent's calls, nothing at all without the feature
//! `metrics`.

use std::time::Duration;

use super::operation::Operation;
use super::provider::ProviderName;
use crate::agent::Agent;
use crate::status::{CallError, TokenUsage, TotalCost};

#[cfg(feature = "metrics")]
use super::call_metrics::CallMetrics;
#[cfg(feature = "metrics")]
use super::metrics;

/// The metrics of one agent's calls. A clone is the same.
#[derive(Clone, Debug)]
pub(crate) struct AgentMetrics {
    #[cfg(feature = "metrics")]
    calls: std::sync::Arc<CallMetrics>,
}

/// An ended call, as the metrics record it.
#[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "nobody reads it"))]
pub(super) struct EndedCall<'a> {
    pub(super) operation: Operation,
    pub(super) provider: Option<&'a ProviderName>,
    pub(super) request_model: Option<&'a str>,
    pub(super) response_model: Option<&'a str>,
    pub(super) error: Option<&'a CallError>,
    pub(super) usage: Option<&'a TokenUsage>,
    pub(super) cost: Option<&'a TotalCost>,
    pub(super) elapsed: Duration,
    /// When the first chunk of a stream arrived.
    pub(super) first_chunk: Option<Duration>,
}

impl AgentMetrics {
    /// The metrics of an agent that was declared.
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables))]
    pub(crate) fn new(agent: &Agent) -> Self {
        Self {
            #[cfg(feature = "metrics")]
            calls: std::sync::Arc::new(CallMetrics::new(agent.shared_name())),
        }
    }

    /// The metrics of all agents that were not declared. Requests may name any number of them,
    /// and a label must not have any number of values.
    pub(crate) fn of_undeclared() -> Self {
        #[cfg(feature = "metrics")]
        {
            use std::sync::{Arc, LazyLock};

            static OTHERS: LazyLock<Arc<CallMetrics>> =
                LazyLock::new(|| Arc::new(CallMetrics::of_undeclared()));
            Self { calls: Arc::clone(&OTHERS) }
        }
        #[cfg(not(feature = "metrics"))]
        Self {}
    }

    /// Whether a metrics recorder is installed.
    #[inline]
    pub(super) fn are_recorded() -> bool {
        #[cfg(feature = "metrics")]
        return metrics::is_recorded();
        #[cfg(not(feature = "metrics"))]
        false
    }

    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, clippy::unused_self))]
    pub(super) fn ended(&self, call: &EndedCall<'_>) {
        #[cfg(feature = "metrics")]
        self.calls.ended(call);
    }
}
