//! [`Budget`]: the limits on what a workflow may use.

use super::{Cost, Timestamp, WorkflowStatus};

/// The limits on what a workflow may use. No call is refused if it exceeds one: that is logged, counted
/// and recorded here, once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// The limit on the total cost of its calls.
    pub usd: Option<Cost>,
    /// The limit on the sum of its agents' [`total_tokens`](super::TokenUsage::total_tokens).
    pub tokens: Option<u64>,
    /// When the workflow was first found to exceed a limit.
    pub exceeded_at: Option<Timestamp>,
}

impl Budget {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes the limits that another process has set, unless there are some here, and the earlier
    /// time at which one was exceeded.
    pub(super) fn merge(&mut self, other: &Self) {
        if (self.usd, self.tokens) == (None, None) {
            (self.usd, self.tokens) = (other.usd, other.tokens);
        }
        self.exceeded_at = match (self.exceeded_at, other.exceeded_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (known, None) | (None, known) => known,
        };
    }
}

/// A limit that a workflow has exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    Usd { used: Cost, limit: Cost },
    Tokens { used: u64, limit: u64 },
}

impl Excess {
    /// The value of a label.
    #[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "only metrics have labels"))]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Usd { .. } => "usd",
            Self::Tokens { .. } => "tokens",
        }
    }
}

impl WorkflowStatus {
    /// The first limit that the workflow has exceeded.
    pub(super) fn excess(&self) -> Option<Excess> {
        let budget = self.budget.as_deref()?;
        if let Some(limit) = budget.usd
            && let Some(used) = self.total_cost().usd
            && used > limit
        {
            return Some(Excess::Usd { used, limit });
        }
        let limit = budget.tokens?;
        let used = self.total_token_usage().total_tokens.unwrap_or(0);
        (used > limit).then_some(Excess::Tokens { used, limit })
    }
}
