//! [`AgentSelector`]: which agent a request is for.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::Target;
use crate::agent::{Agent, InvalidName};
use crate::session::RequestHead;
use crate::tracker::{RegisteredAgent, Registry};

type FromHead = dyn Fn(RequestHead<'_>) -> Option<String> + Send + Sync;

/// Selects the agent of a request. The first of these to yield one wins: the request's
/// extension, the rules in order, the closure, and the agent of the client.
#[derive(Clone, Default)]
pub(super) struct AgentSelector {
    pub(super) rules: Vec<(Target, Arc<RegisteredAgent>)>,
    pub(super) from: Option<Arc<FromHead>>,
    pub(super) default: Option<Arc<RegisteredAgent>>,
}

impl AgentSelector {
    /// The agent of a request; `Ok(None)` if nothing yields one.
    // Most clients have one agent: what others need is out of line.
    #[inline(always)]
    pub(super) fn select<'a>(
        &self,
        registry: &Registry,
        named: Option<&Agent>,
        head: &dyn Fn() -> RequestHead<'a>,
    ) -> Result<Option<Cow<'_, Arc<RegisteredAgent>>>, InvalidName> {
        if named.is_none() && self.rules.is_empty() && self.from.is_none() {
            return Ok(self.default.as_ref().map(Cow::Borrowed));
        }
        self.select_by_request(registry, named, head)
    }

    #[inline(never)]
    fn select_by_request<'a>(
        &self,
        registry: &Registry,
        named: Option<&Agent>,
        head: &dyn Fn() -> RequestHead<'a>,
    ) -> Result<Option<Cow<'_, Arc<RegisteredAgent>>>, InvalidName> {
        if let Some(agent) = named {
            return registry.resolve(agent).map(|agent| Some(Cow::Owned(agent)));
        }
        let head = head();
        if let Some((_, agent)) = self.rules.iter().find(|(target, _)| target.matches(head)) {
            return Ok(Some(Cow::Borrowed(agent)));
        }
        if let Some(name) = self.from.as_ref().and_then(|from| from(head)) {
            return registry.resolve(&Agent::new(name)).map(|agent| Some(Cow::Owned(agent)));
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
