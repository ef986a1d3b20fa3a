//! [`StatusLayer`]: what is put into an agent's client stack.

use http::HeaderName;
use tower_layer::Layer;

use crate::agent::InvalidName;
use crate::call::Caller;
use crate::service::Status;
use crate::session::{RequestHead, SessionSource};
use crate::tracker::StatusTracker;

/// Tracks every call that passes through an agent's HTTP client.
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
    caller: Caller,
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
        match Self::try_new(tracker, agent) {
            Ok(layer) => layer,
            #[expect(clippy::panic, reason = "a bad name is a mistake in the program")]
            Err(error) => panic!("StatusLayer: {error}"),
        }
    }

    /// A layer for the client of this agent, like [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// If the name cannot be used.
    pub fn try_new(tracker: &StatusTracker, agent: &str) -> Result<Self, InvalidName> {
        Ok(Self { caller: Caller::new(tracker, agent)? })
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
        self.caller.source = SessionSource::from_header(name, to_session_id);
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
        self.caller.source = SessionSource::from_fn(from);
        self
    }

    #[cfg(feature = "reqwest")]
    pub(crate) fn into_caller(self) -> Caller {
        self.caller
    }
}

impl<S> Layer<S> for StatusLayer {
    type Service = Status<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Status::new(inner, self.caller.clone())
    }
}
