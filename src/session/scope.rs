//! [`Scope`]: the session of what a future does.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use super::SessionId;

tokio::task_local! {
    /// The session of the calls made inside; `None` is one that could not be tracked.
    static SCOPE: Option<Scope>;
}

/// The session of the calls that a future makes, by surrounding it.
///
/// A tracker keeps with it what it knows of the session, so that it need not look that up
/// by the id at every call.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    id: SessionId,
    /// What the first tracker that asked keeps here, and that tracker's number.
    kept: OnceLock<(u64, Arc<dyn Any + Send + Sync>)>,
}

impl Scope {
    pub(crate) fn new(id: SessionId) -> Self {
        Self { id, kept: OnceLock::new() }
    }

    pub(crate) fn id(&self) -> &SessionId {
        &self.id
    }

    /// What the tracker of that number keeps here.
    #[inline]
    pub(crate) fn kept<T: Any + Send + Sync>(&self, tracker: u64) -> Option<Arc<T>> {
        let (by, kept) = self.kept.get()?;
        // Of several trackers the others do without.
        (*by == tracker).then(|| Arc::clone(kept).downcast().ok()).flatten()
    }

    /// Keeps that for the tracker of that number, if it is the first.
    pub(crate) fn keep<T: Any + Send + Sync>(&self, tracker: u64, kept: Arc<T>) {
        self.kept.get_or_init(|| (tracker, kept));
    }

    /// Makes this the scope of a future.
    pub(crate) fn around<F: Future>(self, future: F) -> impl Future<Output = F::Output> + use<F> {
        SCOPE.scope(Some(self), future)
    }

    /// Makes this the scope of what `poll` does, for futures and bodies that are polled by
    /// hand.
    pub(crate) fn enter<T>(&self, poll: impl FnOnce() -> T) -> T {
        SCOPE.sync_scope(Some(self.clone()), poll)
    }

    /// Makes the calls of `future` calls of no session, whatever surrounds it.
    pub(crate) fn outside<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
        SCOPE.scope(None, future)
    }

    /// Whether there is a scope around.
    #[inline]
    pub(crate) fn is_entered() -> bool {
        Self::with_current(|_| ()).is_some()
    }

    /// Does something with the scope around, if there is one.
    #[inline]
    pub(crate) fn with_current<T>(with: impl FnOnce(&Self) -> T) -> Option<T> {
        SCOPE.try_with(|scope| scope.as_ref().map(with)).ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tracker_keeps_is_its_own() {
        let scope = Scope::new(SessionId::new("s").unwrap());
        assert_eq!(scope.kept::<u8>(1), None);
        scope.keep(1, Arc::new(7_u8));
        scope.keep(2, Arc::new(8_u8));
        assert_eq!(scope.kept::<u8>(1).as_deref(), Some(&7));
        assert_eq!(scope.kept::<u8>(2), None);
        let copy = scope.clone();
        assert_eq!(
            (copy.kept::<u8>(1), scope.kept::<u8>(1)),
            (Some(Arc::new(7)), Some(Arc::new(7)))
        );
    }

    #[tokio::test]
    async fn a_spawned_task_needs_the_scope_given() {
        let session = SessionId::new("s").unwrap();
        session
            .scope(async {
                let bare = tokio::spawn(async { SessionId::current() });
                assert_eq!(bare.await.unwrap(), None);
                let session = SessionId::current().unwrap();
                let given = tokio::spawn(session.scope(async { SessionId::current() }));
                assert_eq!(given.await.unwrap(), Some(session));
            })
            .await;
    }
}
