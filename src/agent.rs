//! [`Agent`]: a named step of a workflow, with a text for each of its states.

use std::sync::Arc;

use crate::status::{
    Activities, AgentStatus, MAX_ACTIVITY_BYTES, MAX_MODEL_BYTES, activity, schema,
};

/// A named step of a workflow.
///
/// The name is an attribute of the table's items, where readers look for it. In the extensions of
/// a request, an `Agent` selects the agent of the call, if
/// [one client calls several](crate::StatusLayer::per_request).
///
/// ```
/// use tower_agent_status::Agent;
///
/// let agent = Agent::new("pdfAdapter")
///     .pending("Waiting for upload")
///     .in_progress("Extracting text from PDF document")
///     .success("Text extraction complete")
///     .error("Text extraction failed");
/// assert_eq!(agent.name(), "pdfAdapter");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    name: Arc<str>,
    activities: Arc<Activities>,
    provider: Option<Arc<str>>,
}

impl Agent {
    /// The longest name, in bytes of UTF-8.
    pub const MAX_NAME_BYTES: usize = 255;
    /// The longest text for a state, in bytes of UTF-8. A longer one is cut, and ends in `…`, so
    /// that the agents of a session fit into an item.
    pub const MAX_TEXT_BYTES: usize = MAX_ACTIVITY_BYTES;
    /// The longest name of a model, in bytes of UTF-8.
    pub const MAX_MODEL_BYTES: usize = MAX_MODEL_BYTES;

    /// Creates an agent with default texts.
    ///
    /// The name is checked where the agent is used:
    /// [`StatusTrackerBuilder::start`](crate::StatusTrackerBuilder::start) and
    /// [`StatusLayer::new`](crate::StatusLayer::new).
    pub fn new(name: impl Into<String>) -> Self {
        let (name, activities) = (name.into().into(), Arc::default());
        Self { name, activities, provider: None }
    }

    /// Sets the text shown until the first call. The default is `Waiting`. This and the other
    /// texts have at most [`MAX_TEXT_BYTES`](Self::MAX_TEXT_BYTES) bytes.
    #[must_use]
    pub fn pending(mut self, text: impl Into<String>) -> Self {
        let pending = AgentStatus::pending(activity(text));
        Arc::make_mut(&mut self.activities).pending = Arc::new(pending);
        self
    }

    /// Sets the text shown while a call is in flight. The default is `In progress`.
    #[must_use]
    pub fn in_progress(mut self, text: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.activities).in_progress = activity(text);
        self
    }

    /// Sets the text shown after a success. The default is `Complete`.
    #[must_use]
    pub fn success(mut self, text: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.activities).success = activity(text);
        self
    }

    /// Sets the text shown after a failure. The default is `Failed`.
    #[must_use]
    pub fn error(mut self, text: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.activities).error = activity(text);
        self
    }

    /// Declares the model that the agent uses, for an agent whose responses do not name one. A name in a
    /// response, or in the path of a request, takes precedence. It has at most
    /// [`MAX_MODEL_BYTES`](Self::MAX_MODEL_BYTES) bytes; a longer name is left out, since a part of it
    /// would name another model.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        let fits = (1..=Self::MAX_MODEL_BYTES).contains(&name.len());
        Arc::make_mut(&mut self.activities).model = fits.then(|| name.into());
        self
    }

    /// Sets the provider that serves the agent, for the traces and metrics of its calls:
    /// `gen_ai.provider.name`.
    ///
    /// It is used if the request does not show the provider. A known host (`api.openai.com`) or path
    /// (`/model/…/converse`) outranks it, and it outranks the format of the response. Use
    /// [OpenTelemetry's name](https://github.com/open-telemetry/semantic-conventions-genai) for the
    /// provider if there is one, such as `openai` or `aws.bedrock`, and any other name if there is none.
    /// An empty name is ignored.
    #[must_use]
    pub fn provider(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.provider = if name.is_empty() { None } else { Some(name.into()) };
        self
    }

    /// The agent's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn shared_model(&self) -> Option<&Arc<str>> {
        self.activities.model.as_ref()
    }

    pub(crate) fn provider_name(&self) -> Option<&Arc<str>> {
        self.provider.as_ref()
    }

    pub(crate) fn activities(&self) -> &Arc<Activities> {
        &self.activities
    }
}

/// A name that an agent, or an attribute of a workflow, cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// The name is empty.
    #[error("the name is empty; use 1 to {max} bytes", max = Agent::MAX_NAME_BYTES)]
    Empty,
    /// The name is too long.
    #[error("the name `{start}…` has {bytes} bytes; the limit is {max}", max = Agent::MAX_NAME_BYTES)]
    TooLong {
        /// How the name begins.
        start: String,
        /// Its length, in bytes.
        bytes: usize,
    },
    /// The name has a control character in it.
    #[error("the name {0:?} contains a control character; remove it")]
    ControlCharacter(String),
    /// Every item already has an attribute of that name.
    #[error("the name `{0}` is reserved: every item has an attribute of that name; choose another")]
    Reserved(String),
    /// The store uses that attribute itself, for its key, its time to live or an index.
    #[error(
        "the name `{0}` is reserved: the table uses that attribute for its key, its expiry or an index; choose another name"
    )]
    ReservedByStore(String),
    /// Two agents, or an agent and an attribute, have the same name.
    #[error("the name `{0}` is used twice; each agent and each attribute needs its own")]
    Duplicate(String),
}

/// Checks that an agent or an attribute can have this name, by the name alone.
pub(crate) fn check_name(name: &str) -> Result<(), InvalidName> {
    if name.is_empty() {
        Err(InvalidName::Empty)
    } else if name.len() > Agent::MAX_NAME_BYTES {
        let start = name.chars().take(32).collect();
        Err(InvalidName::TooLong { start, bytes: name.len() })
    } else if name.chars().any(char::is_control) {
        Err(InvalidName::ControlCharacter(name.to_owned()))
    } else if schema::is_reserved(name) {
        Err(InvalidName::Reserved(name.to_owned()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_collide_or_do_not_fit_are_refused() {
        for name in schema::RESERVED.into_iter().chain(["createdShard16"]) {
            assert_eq!(check_name(name), Err(InvalidName::Reserved(name.to_owned())));
        }
        assert_eq!(check_name(""), Err(InvalidName::Empty));
        assert!(matches!(
            check_name(&"x".repeat(256)),
            Err(InvalidName::TooLong { bytes: 256, .. })
        ));
        assert!(matches!(check_name("a\nb"), Err(InvalidName::ControlCharacter(_))));
        for name in ["pdfAdapter", "createdShard", "status", "agent", "x y", "é", &"x".repeat(255)]
        {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }
}
