//! Which agent a request is for.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::agent::{Agent, InvalidName};
use crate::client::Target;
use crate::session::RequestHead;
use crate::tracker::Shared;

type FromHead = dyn Fn(RequestHead<'_>) -> Option<String> + Send + Sync;

/// Chooses the agent of a request, by the first of these that answers: the request's
/// extension, the rules in their order, the closure, and the agent of the client.
#[derive(Clone, Default)]
pub(crate) struct AgentSelector {
    pub(crate) rules: Vec<(Target, Arc<Agent>)>,
    pub(crate) from: Option<Arc<FromHead>>,
    pub(crate) default: Option<Arc<Agent>>,
}

impl AgentSelector {
    /// The agent; `Ok(None)` if nothing names one.
    #[inline]
    pub(crate) fn choose<'a>(
        &self,
        shared: &Shared,
        named: Option<&Agent>,
        head: &dyn Fn() -> RequestHead<'a>,
    ) -> Result<Option<Cow<'_, Arc<Agent>>>, InvalidName> {
        if let Some(agent) = named {
            return shared.named_agent(agent).map(|agent| Some(Cow::Owned(agent)));
        }
        if self.rules.is_empty() && self.from.is_none() {
            return Ok(self.default.as_ref().map(Cow::Borrowed));
        }
        let head = head();
        if let Some((_, agent)) = self.rules.iter().find(|(target, _)| target.is_of(head)) {
            return Ok(Some(Cow::Borrowed(agent)));
        }
        if let Some(name) = self.from.as_ref().and_then(|from| from(head)) {
            return shared.named_agent(&Agent::new(name)).map(|agent| Some(Cow::Owned(agent)));
        }
        Ok(self.default.as_ref().map(Cow::Borrowed))
    }
}

impl fmt::Debug for AgentSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentSelector")
            .field("rules", &self.rules)
            .field("default", &self.default)
            .finish_non_exhaustive()
    }
}
