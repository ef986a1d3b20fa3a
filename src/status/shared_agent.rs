//! [`SharedAgent`]: an agent of a document, which copies of the document share.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::AgentStatus;

/// An agent of a document. Copies of the document share it until one of them changes it.
///
/// The first change of a shared agent copies it, which allocates. Further changes only check that there
/// is a copy, which takes no atomic operation.
#[derive(Debug)]
pub(crate) struct SharedAgent {
    /// The agent as it was when it was last shared.
    shared: Arc<AgentStatus>,
    /// The agent as it is now, if it may have changed since.
    own: Option<Box<AgentStatus>>,
}

impl SharedAgent {
    pub(crate) fn new(agent: impl Into<Arc<AgentStatus>>) -> Self {
        Self { shared: agent.into(), own: None }
    }

    /// Shares the agent, as it is now, and returns it for another document. With `keeps_own`, the next
    /// change here does not have to copy it.
    pub(crate) fn share(&mut self, keeps_own: bool) -> Self {
        match self.own.take() {
            Some(own) if keeps_own => {
                if *own != *self.shared {
                    self.shared = Arc::new(AgentStatus::clone(&own));
                }
                self.own = Some(own);
            }
            Some(own) => self.shared = Arc::new(*own),
            None => {}
        }
        Self { shared: Arc::clone(&self.shared), own: None }
    }

    /// Whether the two are one agent, which neither has changed.
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        self.own.is_none() && other.own.is_none() && Arc::ptr_eq(&self.shared, &other.shared)
    }

    #[cold]
    fn copy(shared: &AgentStatus) -> Box<AgentStatus> {
        Box::new(shared.clone())
    }
}

impl Clone for SharedAgent {
    fn clone(&self) -> Self {
        match &self.own {
            Some(own) => Self::new(AgentStatus::clone(own)),
            None => Self { shared: Arc::clone(&self.shared), own: None },
        }
    }
}

impl Deref for SharedAgent {
    type Target = AgentStatus;

    #[inline]
    fn deref(&self) -> &AgentStatus {
        self.own.as_deref().unwrap_or(&self.shared)
    }
}

impl DerefMut for SharedAgent {
    #[inline]
    fn deref_mut(&mut self) -> &mut AgentStatus {
        self.own.get_or_insert_with(|| Self::copy(&self.shared))
    }
}

impl PartialEq for SharedAgent {
    fn eq(&self, other: &Self) -> bool {
        self.is_shared_with(other) || **self == **other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_by_no_copy_from_before() {
        let mut agent = SharedAgent::new(AgentStatus::pending("Waiting".into()));
        for keeps_own in [false, true, false] {
            let before = agent.clone();
            let calls = agent.calls;
            agent.calls += 1;
            assert_eq!((before.calls, agent.calls), (calls, calls + 1));
            assert_eq!((&agent, agent == before), (&agent.clone(), false));
            let shared = agent.share(keeps_own);
            assert!(shared.own.is_none() && Arc::ptr_eq(&shared.shared, &agent.shared));
            assert_eq!((shared.calls, agent.calls), (calls + 1, calls + 1));
            assert_eq!(agent.own.is_some(), keeps_own);
        }
    }
}
