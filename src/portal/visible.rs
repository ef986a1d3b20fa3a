//! [`Viewer`]: a request, with access to all workflows or to some.

use std::fmt;
use std::sync::Arc;

use http::request::Parts;

use super::listed::Listed;
use crate::status::WorkflowStatus;

/// Decides whether a request may see a workflow.
#[derive(Clone)]
pub(super) struct Visible(Arc<Decision>);

type Decision = dyn Fn(&Parts, &WorkflowStatus) -> bool + Send + Sync;

impl Visible {
    pub(super) fn new(
        decision: impl Fn(&Parts, &WorkflowStatus) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(decision))
    }
}

impl fmt::Debug for Visible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Visible")
    }
}

/// Who asks, for as long as the answer takes.
#[derive(Clone, Debug)]
pub(super) struct Viewer(Option<Arc<(Visible, Parts)>>);

impl Viewer {
    pub(super) fn new(visible: Option<&Visible>, parts: Parts) -> Self {
        Self(visible.map(|visible| Arc::new((visible.clone(), parts))))
    }

    /// Whether nothing is hidden from anyone.
    pub(super) fn sees_all(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn sees_listed(&self, listed: &Listed) -> bool {
        self.sees(&listed.status)
    }

    pub(super) fn sees(&self, status: &WorkflowStatus) -> bool {
        self.0.as_deref().is_none_or(|(Visible(decide), parts)| decide(parts, status))
    }
}
