//! [`Tracking`]: what every kind of client stack needs to start a call.

use std::sync::Arc;

use http::{Extensions, Method};

use super::call::ClientCall;
use super::ownership::CarriesOwner;
use crate::agent::InvalidName;
use crate::client::Target;
use crate::client::agent_selector::AgentSelector;
use crate::exchange::Call;
use crate::session::{RequestHead, SessionLocation, SessionLookup};
use crate::status::SessionId;
use crate::telemetry::CallTelemetry;
use crate::tracker::{Scope, Session, StatusTracker, TrackedCall};
use crate::usage::PathHint;

/// Whose calls a client makes: what every kind of client stack needs to start one.
#[derive(Clone, Debug)]
pub(crate) struct Tracking {
    tracker: StatusTracker,
    agents: Arc<AgentSelector>,
    source: SessionLookup,
}

impl Tracking {
    /// The caller of the agents that its requests name.
    pub(crate) fn new(tracker: &StatusTracker) -> Self {
        let (agents, source) = (Arc::default(), SessionLookup::default());
        Self { tracker: tracker.clone(), agents, source }
    }

    /// Makes this the agent of requests that name none.
    pub(crate) fn set_agent(&mut self, agent: &str) -> Result<(), InvalidName> {
        let agent = self.tracker.shared().agent(agent)?;
        Arc::make_mut(&mut self.agents).default = Some(agent);
        Ok(())
    }

    /// Makes this the agent of requests that go there.
    pub(crate) fn add_rule(&mut self, target: Target, agent: &str) -> Result<(), InvalidName> {
        let agent = self.tracker.shared().agent(agent)?;
        Arc::make_mut(&mut self.agents).rules.push((target, agent));
        Ok(())
    }

    /// Has the head of a request name its agent.
    pub(crate) fn set_agent_from(
        &mut self,
        from: impl Fn(RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) {
        Arc::make_mut(&mut self.agents).from = Some(Arc::new(from));
    }

    /// Where to look when neither the request's extensions nor a scope name a session.
    pub(crate) fn set_source(&mut self, source: SessionLookup) {
        self.source = source;
    }

    /// Where the session of a request is named, if no mark on it says that a layer around
    /// has started its call. Without one there is nothing to [start](Self::start).
    #[inline]
    pub(crate) fn look(&self, extensions: &Extensions) -> Option<SessionLocation> {
        let named = self.source.look(extensions)?;
        (extensions.is_empty() || !self.has_marked(extensions)).then_some(named)
    }

    /// A call starts, if its request names a session and an agent. The request of a call that
    /// starts is to be [marked](Self::mark). Its head is taken apart where somebody asks for it.
    pub(crate) fn start<'a>(
        &self,
        named: SessionLocation,
        extensions: &Extensions,
        method: &Method,
        path: &str,
        head: &dyn Fn() -> RequestHead<'a>,
    ) -> Option<Call> {
        let shared = self.tracker.shared();
        let session = self.session(named, extensions, head)?;
        let asked = if extensions.is_empty() { None } else { extensions.get() };
        let agent = match self.agents.choose(shared, asked, head) {
            Ok(agent) => agent?,
            Err(error) => {
                shared.warn_of_invalid_agent(&error);
                return None;
            }
        };
        let tracked = TrackedCall::start(&self.tracker, session, &agent)?;
        let is_head = *method == Method::HEAD;
        let watch = |session: &_| CallTelemetry::new(head, &agent, session);
        Some(Call::new(ClientCall::new(tracked, watch, is_head), PathHint::of(path)))
    }

    fn session<'a>(
        &self,
        named: SessionLocation,
        extensions: &Extensions,
        head: &dyn Fn() -> RequestHead<'a>,
    ) -> Option<Arc<Session>> {
        let shared = self.tracker.shared();
        match named {
            SessionLocation::Scope => Scope::with_current(|scope| shared.session_of(scope))?,
            SessionLocation::Extension => shared.session(extensions.get::<SessionId>()?),
            SessionLocation::Head => match self.source.in_head(head()) {
                Ok(session) => shared.session(&session?),
                Err(error) => {
                    shared.warn_of_invalid_session(&error);
                    None
                }
            },
        }
    }

    /// Marks the request of a call, so that no layer further in starts it again.
    pub(crate) fn mark(&self, request: &mut impl CarriesOwner) {
        request.mark(self.number());
    }

    /// Whether a layer of this tracker, which is around then, has marked a request.
    pub(crate) fn has_marked(&self, request: &impl CarriesOwner) -> bool {
        request.is_marked(self.number())
    }

    /// Takes this layer's mark off again.
    #[cfg(feature = "reqwest")]
    pub(crate) fn unmark(&self, extensions: &mut Extensions) {
        super::ownership::unmark(extensions, self.number());
    }

    fn number(&self) -> u64 {
        self.tracker.shared().number()
    }
}
