//! [`CallKind`]: what follows from a request and the settings of its agent.

use std::sync::Arc;

use super::CallTarget;
use super::operation::Operation;
use super::provider::{Provider, ProviderName};
use crate::agent::Agent;
use crate::usage::RequestHint;

/// What follows from a request and the settings of its agent, before there is a response.
#[derive(Debug)]
pub(super) struct CallKind {
    pub(super) agent: Arc<str>,
    /// `None` if the path of the request does not show it.
    pub(super) operation: Option<Operation>,
    pub(super) provider: Option<ProviderName>,
    pub(super) request_model: Option<Box<str>>,
    pub(super) span_name: String,
}

impl CallKind {
    #[cold]
    pub(super) fn of(agent: &Agent, target: &CallTarget<'_>) -> Self {
        let by_request = Provider::of_request(target.host, target.path).map(ProviderName::Known);
        let by_agent = || agent.provider_name().cloned().map(ProviderName::Other);
        let hint = RequestHint::of(target.method, target.path);
        let request_model: Option<Box<str>> = hint.path_model().map(Box::from);
        let operation = Operation::of_request(target.method, target.path);
        let shown = operation.unwrap_or(Operation::InvokeAgent);
        Self {
            agent: Arc::clone(agent.shared_name()),
            operation,
            provider: by_request.or_else(by_agent),
            span_name: span_name(shown, agent.name(), request_model.as_deref()),
            request_model,
        }
    }

    /// The operation as far as the request shows it.
    pub(super) fn operation(&self) -> Operation {
        self.operation.unwrap_or(Operation::InvokeAgent)
    }

    /// The name that the span has for an operation that only the response shows.
    pub(super) fn span_name_for(&self, operation: Operation) -> String {
        span_name(operation, &self.agent, self.request_model.as_deref())
    }
}

/// The name of a span: the operation, and the agent or the requested model.
fn span_name(operation: Operation, agent: &str, request_model: Option<&str>) -> String {
    let of = match operation {
        Operation::InvokeAgent => Some(agent),
        // Ids would make the names too many.
        Operation::FetchResponse => None,
        _ => request_model,
    };
    of.map_or_else(|| operation.name().to_owned(), |of| format!("{} {of}", operation.name()))
}
