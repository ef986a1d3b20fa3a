//! [`AgentMetrics`]: the metrics of an agent's calls, nothing at all without the feature
//! `metrics`.

use std::time::Duration;

use crate::agent::Agent;
use crate::status::{CallError, TokenUsage};

#[cfg(feature = "metrics")]
use super::metrics::{CallMetrics, OTHER_AGENTS};

/// The metrics of one agent's calls. A clone is the same.
#[derive(Clone, Debug)]
pub(crate) struct AgentMetrics {
    #[cfg(feature = "metrics")]
    calls: std::sync::Arc<CallMetrics>,
}

impl AgentMetrics {
    pub(crate) const IS_ENABLED: bool = cfg!(feature = "metrics");

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
                LazyLock::new(|| Arc::new(CallMetrics::new(&OTHER_AGENTS.into())));
            Self { calls: Arc::clone(&OTHERS) }
        }
        #[cfg(not(feature = "metrics"))]
        Self {}
    }

    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, clippy::unused_self))]
    pub(super) fn first_chunk(&self, elapsed: Duration) {
        #[cfg(feature = "metrics")]
        self.calls.first_chunk(elapsed);
    }

    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, clippy::unused_self))]
    pub(super) fn finish(
        &self,
        elapsed: Duration,
        error: Option<&CallError>,
        usage: Option<&TokenUsage>,
    ) {
        #[cfg(feature = "metrics")]
        self.calls.finish(elapsed, error, usage);
    }
}
