//! [`WorkflowLayer`]: the layer for the orchestrator's own server.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use tower_layer::Layer;

use super::config::WorkflowConfig;
use super::service::WorkflowService;
use crate::session::{RequestHead, SessionLookup, header_text};
use crate::status::{Cost, SessionId, Value};
use crate::tracker::{NewRunPolicy, StatusTracker};
use crate::workflow::{WorkflowError, check_attribute};

/// Opens a workflow for each request to an orchestrator's server, and finishes it with the
/// response.
///
/// The [module docs](crate::server) describe which requests open a workflow, how its session is
/// chosen, and how it ends.
#[derive(Clone, Debug)]
pub struct WorkflowLayer {
    /// `None` if the layer is disabled.
    config: Option<Arc<WorkflowConfig>>,
}

impl WorkflowLayer {
    /// Creates a layer that opens a workflow, in a new session, for each request whose method is
    /// not safe, and returns the session id in the response header `x-workflow-session-id`.
    #[must_use]
    pub fn new(tracker: &StatusTracker) -> Self {
        Self { config: Some(Arc::new(WorkflowConfig::new(tracker))) }
    }

    /// Creates a layer that opens no workflow, so that the same stack works with and without
    /// tracking. All settings are accepted and have no effect.
    #[must_use]
    pub fn disabled() -> Self {
        Self { config: None }
    }

    fn set(mut self, set: impl FnOnce(&mut WorkflowConfig)) -> Self {
        if let Some(config) = &mut self.config {
            set(Arc::make_mut(config));
        }
        self
    }

    /// Takes the session id from this header, if the request's extensions have none.
    ///
    /// A blank value counts as missing. One that is not visible ASCII does too, and the first time a
    /// warning is logged.
    ///
    /// # Security
    ///
    /// Anyone who can send the header chooses the session. With the id of another workflow, a
    /// request ends that workflow with its own response, changes its attributes and correlation
    /// id, and adds calls to its agents; if that is finished, it begins a
    /// [new run](Self::new_run_after), and only the end, the error and the tokens of the previous one
    /// are kept. Ids need not be guessed: the portal lists them, and responses
    /// [carry them](Self::response_header).
    ///
    /// Use it where every client may do so, such as behind a service that sets the header itself.
    /// Otherwise say with [`may_name_session`](Self::may_name_session) which sessions a request
    /// may name, or let a layer outside of this one find out, and put a
    /// [`SessionId`](crate::SessionId) into the extensions.
    #[must_use]
    pub fn session_header(self, name: HeaderName) -> Self {
        self.session_header_with(name, str::to_owned)
    }

    /// Takes the session id from this header, like [`session_header`](Self::session_header), and
    /// maps the header's value to the id.
    #[must_use]
    pub fn session_header_with(
        self,
        name: HeaderName,
        to_session_id: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        self.set(|config| config.source = SessionLookup::from_header(name, to_session_id))
    }

    /// Takes the session id from the head of the request, if its extensions have none. With
    /// `None` the session is new.
    ///
    /// Anyone who can send such a head chooses the session, as with
    /// [`session_header`](Self::session_header).
    #[must_use]
    pub fn session_from(
        self,
        from: impl Fn(RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.set(|config| config.source = SessionLookup::from_fn(from))
    }

    /// Says which sessions a request may name, in [its header](Self::session_header) or
    /// [elsewhere in its head](Self::session_from). By default it may name any.
    ///
    /// If the closure returns `false`, the request is served in a new session, as if it had named
    /// none, and the first time a warning is logged. A session among the request's extensions is
    /// not checked: only the program can put it there.
    ///
    /// # Examples
    ///
    /// Sessions whose ids begin with the tenant that authentication has found:
    ///
    /// ```
    /// use http::HeaderName;
    /// use tower_agent_status::server::WorkflowLayer;
    ///
    /// #[derive(Clone)]
    /// struct Tenant(String);
    ///
    /// # let layer = WorkflowLayer::disabled();
    /// layer
    ///     .session_header(HeaderName::from_static("x-session-id"))
    ///     .may_name_session(|head, session| {
    ///         let tenant = head.extensions.get::<Tenant>();
    ///         let rest = tenant.and_then(|Tenant(name)| session.as_str().strip_prefix(&**name));
    ///         rest.is_some_and(|rest| rest.starts_with('/'))
    ///     });
    /// ```
    #[must_use]
    pub fn may_name_session(
        self,
        may: impl Fn(RequestHead<'_>, &SessionId) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.set(|config| config.may_name = Some(Arc::new(may)))
    }

    /// Sets how long a session must have been finished for a request to start a new run, like
    /// [`WorkflowBuilder::new_run_after`](crate::WorkflowBuilder::new_run_after). `None` means never.
    /// Default: 60 seconds.
    ///
    /// A request in a session that finished less long ago joins it, since it may be a message that is
    /// delivered twice: its calls are recorded, and its end is not. With `None` that goes for all
    /// requests in a finished session, and the first time a warning is logged.
    #[must_use]
    pub fn new_run_after(self, finished_for: impl Into<Option<Duration>>) -> Self {
        let new_run = finished_for.into().map_or(NewRunPolicy::Never, NewRunPolicy::After);
        self.set(|config| config.new_run = new_run)
    }

    /// Starts a new run with each request, whether the session has finished or not, like
    /// [`WorkflowBuilder::new_run`](crate::WorkflowBuilder::new_run).
    ///
    /// A request in a session that another request is still working on ends the tracking of that
    /// one. Anyone who can [name a session](Self::session_header) replaces what was recorded of it.
    #[must_use]
    pub fn new_run(self) -> Self {
        self.set(|config| config.new_run = NewRunPolicy::Always)
    }

    /// Takes the correlation id from this header.
    ///
    /// A blank value counts as missing. One that is not visible ASCII does too, and the first time a
    /// warning is logged.
    #[must_use]
    pub fn correlation_header(self, name: HeaderName) -> Self {
        let from = self.text_of(name);
        self.correlation_from(from)
    }

    /// Takes the correlation id from the head of the request.
    ///
    /// If only the body has it, the handler can [set](crate::Workflow::set_correlation_id) it.
    #[must_use]
    pub fn correlation_from(
        self,
        from: impl Fn(RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.set(|config| config.correlation = Some(Arc::new(from)))
    }

    /// Sets an attribute of each workflow.
    ///
    /// # Panics
    ///
    /// If no item can have that attribute; see [`WorkflowError`].
    #[must_use]
    pub fn attribute(self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        self.assert_attribute(name, &value);
        self.attribute_from(name, move |_| Some(value.clone()))
    }

    /// Takes an attribute from this header, if the request has it.
    ///
    /// A blank value counts as missing. One that is not visible ASCII does too, and the first time a
    /// warning is logged.
    ///
    /// # Panics
    ///
    /// If the name is invalid; see [`InvalidName`](crate::InvalidName).
    #[must_use]
    pub fn attribute_header(self, name: &str, header: HeaderName) -> Self {
        let from = self.text_of(header);
        self.attribute_from(name, move |head| from(head).map(Value::String))
    }

    /// Reads the text of a header.
    fn text_of(
        &self,
        name: HeaderName,
    ) -> impl Fn(RequestHead<'_>) -> Option<String> + Send + Sync + 'static {
        let tracker = self.config.as_ref().map(|config| config.tracker.clone());
        move |head| {
            let shared = tracker.as_ref()?.shared();
            let text = header_text(head, &name).unwrap_or_else(|error| {
                shared.warnings.header.warn(&error, "left out of the workflow");
                None
            });
            text.map(str::to_owned)
        }
    }

    /// Takes an attribute from the head of the request. A value that no item can have is left
    /// out, and the first time a warning is logged.
    ///
    /// If only the body has it, the handler can [set](crate::Workflow::set_attribute) it.
    ///
    /// # Panics
    ///
    /// If the name is invalid; see [`InvalidName`](crate::InvalidName).
    #[must_use]
    pub fn attribute_from(
        self,
        name: &str,
        from: impl Fn(RequestHead<'_>) -> Option<Value> + Send + Sync + 'static,
    ) -> Self {
        self.assert_attribute(name, &Value::Integer(0));
        let name = name.to_owned();
        self.set(|config| config.attributes.push((name, Arc::new(from))))
    }

    fn assert_attribute(&self, name: &str, value: &Value) {
        let Some(config) = &self.config else { return };
        let checked: Result<(), WorkflowError> = check_attribute(&config.tracker, name, value);
        if let Err(error) = checked {
            #[expect(clippy::panic, reason = "a bad name is a mistake in the program")]
            {
                panic!("WorkflowLayer: {error}");
            }
        }
    }

    /// Sets how long the item of each workflow is kept after its creation, like
    /// [`WorkflowBuilder::retention`](crate::WorkflowBuilder::retention). The default is the
    /// [tracker's](crate::StatusTrackerBuilder::retention).
    #[must_use]
    pub fn retention(self, retention: Duration) -> Self {
        self.set(|config| config.retention = Some(retention))
    }

    /// Sets the limit on the total cost of each workflow, in US dollars, like
    /// [`WorkflowBuilder::budget_usd`](crate::WorkflowBuilder::budget_usd).
    ///
    /// # Panics
    ///
    /// If the amount is negative or not finite.
    #[must_use]
    pub fn budget_usd(self, usd: f64) -> Self {
        if let (Some(_), Err(why)) = (&self.config, Cost::from_f64(usd)) {
            #[expect(clippy::panic, reason = "a bad budget is a mistake in the program")]
            {
                panic!("WorkflowLayer: {}", WorkflowError::Budget { usd: usd.to_string(), why });
            }
        }
        self.set(|config| config.budget_usd = Some(usd))
    }

    /// Sets the limit on the total tokens of each workflow, like
    /// [`WorkflowBuilder::budget_tokens`](crate::WorkflowBuilder::budget_tokens).
    #[must_use]
    pub fn budget_tokens(self, tokens: u64) -> Self {
        self.set(|config| config.budget_tokens = Some(tokens))
    }

    /// Opens a workflow only for requests that match, instead of those whose method is not safe.
    #[must_use]
    pub fn filter(self, opens: impl Fn(RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.set(|config| config.filter = Arc::new(opens))
    }

    /// Sets the response header that carries the session id; `None` adds no header. A header of
    /// that name that the handler has set is kept.
    #[must_use]
    pub fn response_header(self, name: impl Into<Option<HeaderName>>) -> Self {
        self.set(|config| config.response_header = name.into())
    }
}

impl<S> Layer<S> for WorkflowLayer {
    type Service = WorkflowService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WorkflowService::new(inner, self.config.clone())
    }
}
