//! [`Tracking`]: the one door through which the calls of every kind of client come.

use std::sync::Arc;

use http::Method;

use super::agent_selector::AgentSelector;
use super::call::{ClientCall, PricedBy};
use super::ownership::{self, Mark};
use super::request::OutgoingRequest;
use super::target::{Target, port_of};
use crate::agent::InvalidName;
use crate::exchange::Pending;
use crate::session::{RequestHead, SessionLocation, SessionLookup};
use crate::status::SessionId;
use crate::telemetry::CallTarget;
use crate::tracker::{Session, StatusTracker, TrackedCall};

/// How the calls of a client are tracked; nothing if the layer is disabled.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracking {
    active: Option<Arc<Active>>,
}

#[derive(Clone, Debug)]
struct Active {
    tracker: StatusTracker,
    mark: Mark,
    agents: AgentSelector,
    sessions: SessionLookup,
}

/// Why a call passes untracked, for the log.
type Reason = &'static str;

impl Tracking {
    /// Tracks calls, for the agents that requests bring until one is set.
    pub(super) fn new(tracker: &StatusTracker) -> Self {
        let active = Active {
            tracker: tracker.clone(),
            mark: Mark::new(tracker.shared().number()),
            agents: AgentSelector::default(),
            sessions: SessionLookup::default(),
        };
        Self { active: Some(Arc::new(active)) }
    }

    /// Tracks nothing.
    pub(super) fn disabled() -> Self {
        Self::default()
    }

    /// Whether calls may be tracked at all.
    #[cfg(any(feature = "reqwest", feature = "reqwest012"))]
    pub(super) fn is_enabled(&self) -> bool {
        self.active.is_some()
    }

    fn active_mut(&mut self) -> Option<&mut Active> {
        self.active.as_mut().map(Arc::make_mut)
    }

    /// Sets the agent of requests that nothing else yields one for.
    pub(super) fn set_agent(&mut self, agent: &str) -> Result<(), InvalidName> {
        if let Some(active) = self.active_mut() {
            active.agents.default = Some(active.tracker.shared().registry.get_or_declare(agent)?);
        }
        Ok(())
    }

    /// Sets the agent of requests to this target.
    pub(super) fn add_rule(&mut self, target: Target, agent: &str) -> Result<(), InvalidName> {
        if let Some(active) = self.active_mut() {
            active
                .agents
                .rules
                .push((target, active.tracker.shared().registry.get_or_declare(agent)?));
        }
        Ok(())
    }

    /// Sets the closure that yields the agent from a request's head.
    pub(super) fn set_agent_from(
        &mut self,
        from: impl Fn(RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) {
        if let Some(active) = self.active_mut() {
            active.agents.from = Some(Arc::new(from));
        }
    }

    /// Sets where to look if neither the request's extensions nor a scope yield a session.
    pub(super) fn set_sessions(&mut self, sessions: SessionLookup) {
        if let Some(active) = self.active_mut() {
            active.sessions = sessions;
        }
    }

    /// Begins a call, if there are a session and an agent for its request and no layer around
    /// tracks it already.
    ///
    /// The request then carries this tracker's mark, so that no layer further in begins the call
    /// again.
    #[inline]
    pub(super) fn begin(&self, request: &mut impl OutgoingRequest) -> Option<Pending<ClientCall>> {
        let Some(active) = &self.active else {
            return untracked("the layer is disabled");
        };
        match active.session(request) {
            Ok(session) => active.begin(request, session).map_or_else(untracked, Some),
            Err(reason) => untracked(reason),
        }
    }

    /// Removes this tracker's mark from a request's extensions.
    #[cfg(any(feature = "reqwest", feature = "reqwest012"))]
    pub(super) fn release(&self, extensions: &mut http::Extensions) {
        if let Some(active) = &self.active {
            ownership::release(extensions, active.tracker.shared().number());
        }
    }
}

/// Logs why a call passes untracked.
#[inline]
fn untracked<T>(reason: Reason) -> Option<T> {
    tracing::trace!(target: "tower_agent_status", reason, "call passes untracked");
    None
}

impl Active {
    /// The session of a request.
    #[inline]
    fn session(&self, request: &impl OutgoingRequest) -> Result<Arc<Session>, Reason> {
        let shared = self.tracker.shared();
        let named = if request.has_no_extensions() {
            None
        } else if ownership::is_owned(request, shared.number()) {
            return Err("tracked by an outer layer");
        } else {
            request.extension()
        };
        let session = match self.sessions.locate(named, |scope| shared.session_of(scope)) {
            None => return Err("no session"),
            Some(SessionLocation::Scope(session)) => session,
            Some(SessionLocation::Extension(id)) => shared.session(id),
            Some(SessionLocation::Head) => shared.session(&self.session_in_head(request.head())?),
        };
        session.ok_or("no room for its session, or the tracker was shut down")
    }

    #[inline(never)]
    fn session_in_head(&self, head: RequestHead<'_>) -> Result<SessionId, Reason> {
        match self.sessions.in_head(head) {
            Ok(session) => session.ok_or("no session"),
            Err(error) => {
                self.tracker.shared().warnings.session.warn(&error, "call not tracked");
                Err("invalid session id")
            }
        }
    }

    /// Kept out of line, so that a call without a session costs next to nothing.
    #[inline(never)]
    fn begin(
        &self,
        request: &mut impl OutgoingRequest,
        session: Arc<Session>,
    ) -> Result<Pending<ClientCall>, Reason> {
        let shared = self.tracker.shared();
        let named = if request.has_no_extensions() { None } else { request.extension() };
        let agent = match self.agents.select(&shared.registry, named, &|| request.head()) {
            Ok(agent) => agent.ok_or("no agent")?,
            Err(error) => {
                shared.warnings.agent.warn(&error, "agent not tracked");
                return Err("invalid agent name");
            }
        };
        let is_get = request.method() == Method::GET;
        let tracked = TrackedCall::start(&self.tracker, session, agent.agent(), is_get)
            .ok_or("its session has no room for another agent")?;
        let priced = match shared.costs.are_known() {
            true => Some(Box::new(PricedBy::new(agent.agent(), request.head()))),
            false => None,
        };
        let call = ClientCall::new(tracked, is_get, priced, |telemetry, tracked| {
            let target = || {
                let RequestHead { method, scheme, host, port, path, .. } = request.head();
                CallTarget { method, host, port: port.or_else(|| port_of(scheme?)), path }
            };
            let (session, level) = (tracked.session_id(), shared.span_level());
            telemetry.start(agent.agent(), agent.telemetry(), session, level, &target);
        });
        let pending = Pending::new(call, request.method(), Some(request.path()));
        self.mark.leave_on(request);
        Ok(pending)
    }
}
