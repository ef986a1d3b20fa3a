//! [`StatusLayer`]: the layer for an agent's client stack.

use std::marker::PhantomData;

use http::HeaderName;
use tower_layer::Layer;

use super::service::StatusService;
use super::target::Target;
use super::tracking::Tracking;
use crate::agent::InvalidName;
use crate::exchange::{DefaultErrorDisplay, WithSources};
use crate::session::{RequestHead, SessionLookup};
use crate::tracker::StatusTracker;

/// Tracks every call that passes through an agent's HTTP client, or through a client that calls
/// several agents.
///
/// See the [crate docs](crate) for what it does to a call, and for where it belongs in a stack.
/// Of several layers of one tracker around a call, only the outermost tracks it. Layers of two
/// trackers both do: if those save to one store, its tokens count twice.
///
/// ```
/// # use tower_agent_status::{StatusLayer, StatusTracker};
/// # fn example<C>(tracker: &StatusTracker, hyper_client: C) {
/// let client = tower::ServiceBuilder::new()
///     .layer(StatusLayer::new(tracker, "pdfAdapter"))
///     .service(hyper_client);
/// # }
/// ```
///
/// The type parameter `D` selects how errors are formatted; see
/// [`error_sources`](Self::error_sources).
#[derive(Clone, Debug)]
pub struct StatusLayer<D = DefaultErrorDisplay> {
    tracking: Tracking,
    error_display: PhantomData<fn() -> D>,
}

impl StatusLayer {
    /// Creates a layer for the client of one agent.
    ///
    /// An agent that was not [declared](crate::StatusTrackerBuilder::agent) is declared now, with
    /// default texts.
    ///
    /// # Panics
    ///
    /// If the agent cannot have that name; see [`InvalidName`]. [`try_new`](Self::try_new)
    /// returns the error instead.
    #[must_use]
    pub fn new(tracker: &StatusTracker, agent: &str) -> Self {
        unwrap(Self::try_new(tracker, agent))
    }

    /// Creates a layer for the client of one agent, like [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// If the agent cannot have that name.
    pub fn try_new(tracker: &StatusTracker, agent: &str) -> Result<Self, InvalidName> {
        let mut tracking = Tracking::new(tracker);
        tracking.set_agent(agent)?;
        Ok(Self::from_tracking(tracking))
    }

    /// Creates a layer for a client that calls several agents.
    ///
    /// The first of these to yield an agent wins. If none does, the call passes untracked.
    ///
    /// 1. An [`Agent`](crate::Agent) in the request's extensions. If it was not declared, only
    ///    the sessions that call it show it, with its own texts.
    /// 2. The rules of [`agent_for`](Self::agent_for), in the order in which they were added.
    /// 3. The closure of [`agent_from`](Self::agent_from).
    /// 4. The agent of [`new`](Self::new), if the layer was created by that.
    ///
    /// ```
    /// # use tower_agent_status::{Agent, StatusLayer, StatusTracker, Target};
    /// # fn example(tracker: &StatusTracker) -> StatusLayer {
    /// let layer = StatusLayer::per_request(tracker)
    ///     .agent_for(Target::host("pdf.internal"), "pdfAdapter")
    ///     .agent_for(Target::path_prefix("/agents/matching"), "tradeMatching");
    ///
    /// let mut request = http::Request::new(());
    /// request.extensions_mut().insert(Agent::new("tradeExtraction"));
    /// # layer
    /// # }
    /// ```
    #[must_use]
    pub fn per_request(tracker: &StatusTracker) -> Self {
        Self::from_tracking(Tracking::new(tracker))
    }

    /// Creates a layer that tracks nothing, so that the same stack works with and without tracking.
    ///
    /// A stack has the same type with any `StatusLayer`. With `tower::util::option_layer` it
    /// would not, since the layer changes the type of the response body. All settings are
    /// accepted and have no effect.
    ///
    /// ```
    /// # use tower_agent_status::{StatusLayer, StatusTracker};
    /// fn layer(tracker: Option<&StatusTracker>) -> StatusLayer {
    ///     match tracker {
    ///         Some(tracker) => StatusLayer::new(tracker, "pdfAdapter"),
    ///         None => StatusLayer::disabled(),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn disabled() -> Self {
        Self::from_tracking(Tracking::disabled())
    }
}

impl<D> StatusLayer<D> {
    fn from_tracking(tracking: Tracking) -> Self {
        Self { tracking, error_display: PhantomData }
    }

    /// Assigns requests to this target to an agent, which is declared as in
    /// [`new`](StatusLayer::new).
    ///
    /// # Panics
    ///
    /// If the agent cannot have that name. [`try_agent_for`](Self::try_agent_for) returns the
    /// error instead.
    #[must_use]
    pub fn agent_for(self, target: Target, agent: &str) -> Self {
        unwrap(self.try_agent_for(target, agent))
    }

    /// Assigns requests to this target to an agent, like [`agent_for`](Self::agent_for).
    ///
    /// # Errors
    ///
    /// If the agent cannot have that name.
    pub fn try_agent_for(mut self, target: Target, agent: &str) -> Result<Self, InvalidName> {
        self.tracking.add_rule(target, agent)?;
        Ok(self)
    }

    /// Takes the agent's name from the head of the request.
    ///
    /// An agent that was not declared shows only in the sessions that call it. If it cannot have
    /// that name, or its session has [no room](StatusTracker::MAX_AGENTS) for it, the call passes
    /// untracked, and the first time a warning is logged.
    ///
    /// The closure runs on the path of the call: it should neither block nor compute much.
    #[must_use]
    pub fn agent_from(
        mut self,
        from: impl Fn(RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.tracking.set_agent_from(from);
        self
    }

    /// Takes the session id from this header, if neither the request's extensions nor a
    /// [scope](crate::Workflow::scope) yield a session.
    ///
    /// A blank value counts as missing: the call is not tracked. Nor is it with one that is not
    /// visible ASCII, and the first time a warning is logged.
    #[must_use]
    pub fn session_header(self, name: HeaderName) -> Self {
        self.session_header_with(name, str::to_owned)
    }

    /// Takes the session id from this header, like [`session_header`](Self::session_header),
    /// and maps the header's value to the id:
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
        self.tracking.set_sessions(SessionLookup::from_header(name, to_session_id));
        self
    }

    /// Takes the session id from the head of the request, if neither its extensions nor a
    /// [scope](crate::Workflow::scope) yield a session. With `None` the call passes untracked.
    ///
    /// The closure runs on the path of the call: it should neither block nor compute much.
    #[must_use]
    pub fn session_from(
        mut self,
        from: impl Fn(RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.tracking.set_sessions(SessionLookup::from_fn(from));
        self
    }

    /// Records an error with its [sources](std::error::Error::source), separated by colons.
    ///
    /// Many clients report what failed only in an error's sources. With this setting,
    /// hyper-util's `client error (Connect)`, for example, becomes `client error (Connect): tcp
    /// connect error: Connection refused`. The sources are also used to classify the error, for
    /// example as `timeout`.
    ///
    /// The errors of the service and of its response body must implement
    /// [`Error`](std::error::Error). This is not needed for the `BoxError` of tower's own
    /// layers, nor for the errors of reqwest, reqwest-middleware and the AWS SDK: the layer
    /// recognizes these and always records their sources.
    ///
    /// ```
    /// # use tower_agent_status::{StatusLayer, StatusTracker};
    /// # fn example<C>(tracker: &StatusTracker, hyper_client: C) {
    /// let client = tower::ServiceBuilder::new()
    ///     .layer(StatusLayer::new(tracker, "pdfAdapter").error_sources())
    ///     .service(hyper_client);
    /// # }
    /// ```
    #[must_use]
    pub fn error_sources(self) -> StatusLayer<WithSources> {
        StatusLayer::from_tracking(self.tracking)
    }

    #[cfg(any(feature = "reqwest", feature = "reqwest012"))]
    pub(super) fn into_tracking(self) -> Tracking {
        self.tracking
    }
}

fn unwrap<D>(layer: Result<StatusLayer<D>, InvalidName>) -> StatusLayer<D> {
    match layer {
        Ok(layer) => layer,
        #[expect(clippy::panic, reason = "a bad name is a mistake in the program")]
        Err(error) => panic!("StatusLayer: {error}"),
    }
}

impl<S, D> Layer<S> for StatusLayer<D> {
    type Service = StatusService<S, D>;

    fn layer(&self, inner: S) -> Self::Service {
        StatusService::new(inner, self.tracking.clone())
    }
}
