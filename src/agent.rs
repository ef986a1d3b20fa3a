//! [`Agent`]: a named step of a workflow, and what is shown beside each of its states.

use std::sync::Arc;

use crate::status::{Activities, schema};

/// A named step of a workflow.
///
/// Its name is an attribute of the table's items; readers look for it there. As an
/// extension of a request it says whose call that is, where
/// [one client calls many agents](crate::StatusLayer::per_request).
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
}

impl Agent {
    /// The longest name, in bytes of UTF-8.
    pub const MAX_NAME_BYTES: usize = 255;

    /// An agent of this name, with plain texts.
    ///
    /// The name is checked where the agent is put to use:
    /// [`StatusTrackerBuilder::start`](crate::StatusTrackerBuilder::start),
    /// [`StatusLayer::new`](crate::StatusLayer::new).
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into().into(), activities: Arc::default() }
    }

    /// What is shown until the first call; `Waiting` unless set.
    #[must_use]
    pub fn pending(mut self, activity: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.activities).pending = activity.into().into();
        self
    }

    /// What is shown while a call is in flight; `In progress` unless set.
    #[must_use]
    pub fn in_progress(mut self, activity: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.activities).in_progress = activity.into().into();
        self
    }

    /// What is shown after a success; `Complete` unless set.
    #[must_use]
    pub fn success(mut self, activity: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.activities).success = activity.into().into();
        self
    }

    /// What is shown after a failure; `Failed` unless set.
    #[must_use]
    pub fn error(mut self, activity: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.activities).error = activity.into().into();
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

    pub(crate) fn activities(&self) -> &Arc<Activities> {
        &self.activities
    }
}

/// A name that an agent, or an attribute of a workflow, cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// The name is empty.
    #[error("a name is empty; give it 1 to {max} bytes", max = Agent::MAX_NAME_BYTES)]
    Empty,
    /// The name is too long.
    #[error("the name `{start}…` has {bytes} bytes; at most {max} are allowed", max = Agent::MAX_NAME_BYTES)]
    TooLong {
        /// How the name begins.
        start: String,
        /// How long it is, in bytes.
        bytes: usize,
    },
    /// The name has a control character in it.
    #[error("the name {0:?} has a control character; take it out")]
    ControlCharacter(String),
    /// The item has an attribute of that name already.
    #[error("the name `{0}` is taken: every item has an attribute of that name; choose another")]
    Reserved(String),
    /// The table keeps its key or its time to live there.
    #[error("the name `{0}` is taken: the table keeps its key or expiry there; choose another")]
    ReservedByStore(String),
    /// Two agents, or an agent and an attribute, have the same name.
    #[error("the name `{0}` is given twice; each agent and each attribute needs its own")]
    Duplicate(String),
}

/// Whether an agent or an attribute may have this name, as far as the name itself tells.
pub(crate) fn check_name(name: &str) -> Result<(), InvalidName> {
    if name.is_empty() {
        Err(InvalidName::Empty)
    } else if name.len() > Agent::MAX_NAME_BYTES {
        let start = name.chars().take(32).collect();
        Err(InvalidName::TooLong { start, bytes: name.len() })
    } else if name.chars().any(char::is_control) {
        Err(InvalidName::ControlCharacter(name.to_owned()))
    } else if schema::RESERVED.contains(&name) {
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
        for name in schema::RESERVED {
            assert_eq!(check_name(name), Err(InvalidName::Reserved(name.to_owned())));
        }
        assert_eq!(check_name(""), Err(InvalidName::Empty));
        assert!(matches!(
            check_name(&"x".repeat(256)),
            Err(InvalidName::TooLong { bytes: 256, .. })
        ));
        assert!(matches!(check_name("a\nb"), Err(InvalidName::ControlCharacter(_))));
        for name in ["pdfAdapter", "status", "agent", "x y", "é", &"x".repeat(255)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }
}
