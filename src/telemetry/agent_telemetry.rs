//! [`AgentTelemetry`]: what the telemetry of an agent's calls keeps from one to the next.

use std::sync::{Arc, OnceLock};

use http::Method;

use super::kind::CallKind;
use super::{AgentMetrics, CallTarget};
use crate::agent::Agent;

/// The metrics of an agent's calls, and the kind of most of them.
#[derive(Debug)]
pub(crate) struct AgentTelemetry {
    metrics: AgentMetrics,
    /// `None` for an agent that a request brought: it has no other calls.
    first: Option<OnceLock<KnownRequest>>,
}

/// The first request of an agent, and the kind of its call. Most agents have one URL, so that all others
/// are like it. To compare them takes 120 instructions, and to find out again what follows 2,900. Only
/// the first is kept: the memory is bounded, and no call waits for a lock.
#[derive(Debug)]
struct KnownRequest {
    method: Method,
    host: Option<Box<str>>,
    path: Box<str>,
    kind: Arc<CallKind>,
}

impl AgentTelemetry {
    /// Of an agent that was declared.
    pub(crate) fn new(agent: &Agent) -> Self {
        Self { metrics: AgentMetrics::new(agent), first: Some(OnceLock::new()) }
    }

    /// Of an agent that was not declared.
    pub(crate) fn of_undeclared() -> Self {
        Self { metrics: AgentMetrics::of_undeclared(), first: None }
    }

    pub(super) fn metrics(&self) -> &AgentMetrics {
        &self.metrics
    }

    /// The kind of a call of this agent.
    pub(super) fn kind_of(&self, agent: &Agent, target: &CallTarget<'_>) -> Arc<CallKind> {
        let kind = || Arc::new(CallKind::of(agent, target));
        let Some(first) = &self.first else { return kind() };
        let first = first.get_or_init(|| KnownRequest::new(target, kind()));
        if first.is_like(target) { Arc::clone(&first.kind) } else { kind() }
    }
}

impl KnownRequest {
    fn new(target: &CallTarget<'_>, kind: Arc<CallKind>) -> Self {
        let (method, host) = (target.method.clone(), target.host.map(Box::from));
        Self { method, host, path: target.path.into(), kind }
    }

    /// Whether a request is of the same kind: nothing else that it has matters.
    fn is_like(&self, target: &CallTarget<'_>) -> bool {
        *self.path == *target.path
            && self.host.as_deref() == target.host
            && self.method == target.method
    }
}
