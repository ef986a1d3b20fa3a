//! [`StatusLayer`]: what is put into an agent's client stack.

use http::HeaderName;
use tower_layer::Layer;

use super::tracking::Tracking;
use crate::agent::InvalidName;
use crate::client::StatusService;
use crate::client::Target;
use crate::session::{RequestHead, SessionLookup};
use crate::tracker::StatusTracker;

/// Tracks every call that passes through an agent's HTTP client, or through a client that
/// calls many agents.
///
/// See the [crate docs](crate) for what it does to a call, and for where it belongs in a
/// stack.
///
/// ```
/// # use tower_agent_status::{StatusLayer, StatusTracker};
/// # fn example<C>(tracker: &StatusTracker, hyper_client: C) {
/// let client = tower::ServiceBuilder::new()
///     .layer(StatusLayer::new(tracker, "pdfAdapter"))
///     .service(hyper_client);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StatusLayer {
    tracking: Tracking,
}

impl StatusLayer {
    /// A layer for the client of this agent. An agent that was not
    /// [declared](crate::StatusTrackerBuilder::agent) is added, with plain texts.
    ///
    /// # Panics
    ///
    /// If the name cannot be used; see [`try_new`](Self::try_new) and [`InvalidName`].
    #[must_use]
    pub fn new(tracker: &StatusTracker, agent: &str) -> Self {
        named(Self::try_new(tracker, agent))
    }

    /// A layer for the client of this agent, like [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// If the name cannot be used.
    pub fn try_new(tracker: &StatusTracker, agent: &str) -> Result<Self, InvalidName> {
        let mut tracking = Tracking::new(tracker);
        tracking.set_agent(agent)?;
        Ok(Self { tracking })
    }

    /// A layer for a client that calls many agents. Which one a call is for, the first of
    /// these says; if none does, the call passes untouched.
    ///
    /// 1. An [`Agent`](crate::Agent) among the request's extensions. One that was not
    ///    declared shows in the sessions that call it, with the texts it brings.
    /// 2. The rules of [`agent_for`](Self::agent_for), in the order in which they were
    ///    added.
    /// 3. The closure of [`agent_from`](Self::agent_from).
    /// 4. The agent that the layer was made for, if it was made by [`new`](Self::new).
    ///
    /// ```
    /// # use tower_agent_status::{Agent, StatusLayer, StatusTracker, Target};
    /// # fn example(tracker: &StatusTracker) -> StatusLayer {
    /// let layer = StatusLayer::per_request(tracker)
    ///     .agent_for(Target::host("pdf.internal"), "pdfAdapter")
    ///     .agent_for(Target::path("/agents/matching"), "tradeMatching");
    ///
    /// let mut request = http::Request::new(());
    /// request.extensions_mut().insert(Agent::new("tradeExtraction"));
    /// # layer
    /// # }
    /// ```
    #[must_use]
    pub fn per_request(tracker: &StatusTracker) -> Self {
        Self { tracking: Tracking::new(tracker) }
    }

    /// Requests that go there are calls of this agent, which is added like the agent of
    /// [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// If the name cannot be used; see [`try_agent_for`](Self::try_agent_for).
    #[must_use]
    pub fn agent_for(self, target: Target, agent: &str) -> Self {
        named(self.try_agent_for(target, agent))
    }

    /// Requests that go there are calls of this agent, like [`agent_for`](Self::agent_for).
    ///
    /// # Errors
    ///
    /// If the name cannot be used.
    pub fn try_agent_for(mut self, target: Target, agent: &str) -> Result<Self, InvalidName> {
        self.tracking.add_rule(target, agent)?;
        Ok(self)
    }

    /// Takes the agent's name from the head of the request. A name that was not declared
    /// shows in the sessions that call it; one that cannot be used, or for which a session
    /// has [no room](StatusTracker::MAX_AGENTS), leaves the call untracked, and the first is
    /// logged.
    ///
    /// The closure runs in the path of the call: it should neither wait nor compute much.
    #[must_use]
    pub fn agent_from(
        mut self,
        from: impl Fn(RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.tracking.set_agent_from(from);
        self
    }

    /// Takes the session from a header, where neither the request's extensions nor a
    /// [scope](crate::Workflow::scope) name one. The header's value is the session id.
    #[must_use]
    pub fn session_header(self, name: HeaderName) -> Self {
        self.session_header_with(name, str::to_owned)
    }

    /// Takes the session from a header, like [`session_header`](Self::session_header),
    /// with a rule that makes the session id of the header's value:
    ///
    /// ```
    /// # use tower_agent_status::StatusLayer;
    /// # fn example(layer: StatusLayer) -> StatusLayer {
    /// layer.session_header_with(
    ///     http::HeaderName::from_static("x-correlation-id"),
    ///     |correlation_id| format!("session-{correlation_id}"),
    /// )
    /// # }
    /// ```
    #[must_use]
    pub fn session_header_with(
        mut self,
        name: HeaderName,
        to_session_id: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        self.tracking.set_source(SessionLookup::from_header(name, to_session_id));
        self
    }

    /// Takes the session from the head of the request, where neither its extensions nor a
    /// [scope](crate::Workflow::scope) name one. `None` leaves the call untracked.
    ///
    /// The closure runs in the path of the call: it should neither wait nor compute much.
    #[must_use]
    pub fn session_from(
        mut self,
        from: impl Fn(RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.tracking.set_source(SessionLookup::from_fn(from));
        self
    }

    #[cfg(feature = "reqwest")]
    pub(crate) fn into_tracking(self) -> Tracking {
        self.tracking
    }
}

fn named(layer: Result<StatusLayer, InvalidName>) -> StatusLayer {
    match layer {
        Ok(layer) => layer,
        #[expect(clippy::panic, reason = "a bad name is a mistake in the program")]
        Err(error) => panic!("StatusLayer: {error}"),
    }
}

impl<S> Layer<S> for StatusLayer {
    type Service = StatusService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        StatusService::new(inner, self.tracking.clone())
    }
}
