//! [`Scope`]: the session that the calls of a future belong to, as a task-local.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::session::Session;
use crate::status::SessionId;

tokio::task_local! {
    /// The session of the calls made inside; `None` inside a workflow that could not start.
    static SCOPE: Option<Scope>;
}

/// The session that the calls of a future belong to.
///
/// It caches the session in memory, so that the tracker need not look it up at every call.
#[derive(Clone)]
pub(crate) struct Scope {
    id: SessionId,
    /// The session in memory, and the number of the tracker it belongs to: the first that
    /// looked it up.
    cached: OnceLock<(u64, Arc<Session>)>,
}

impl Scope {
    pub(crate) fn new(id: SessionId) -> Self {
        Self { id, cached: OnceLock::new() }
    }

    pub(crate) fn id(&self) -> &SessionId {
        &self.id
    }

    /// The session in memory, if it is cached for this tracker.
    #[inline]
    pub(super) fn cached(&self, tracker: u64) -> Option<Arc<Session>> {
        let (by, session) = self.cached.get()?;
        // Only the first of several trackers caches its session; the others look it up each
        // time.
        (*by == tracker).then(|| Arc::clone(session))
    }

    /// Caches the session for this tracker, unless one is cached already.
    pub(super) fn cache(&self, tracker: u64, session: Arc<Session>) {
        self.cached.get_or_init(|| (tracker, session));
    }

    /// Runs a future in this scope.
    pub(crate) fn around<F: Future>(self, future: F) -> impl Future<Output = F::Output> + use<F> {
        SCOPE.scope(Some(self), future)
    }

    /// Runs a closure in this scope, for futures and bodies that are polled one by one.
    pub(crate) fn enter<T>(&self, poll: impl FnOnce() -> T) -> T {
        SCOPE.sync_scope(Some(self.clone()), poll)
    }

    /// Runs a future in no scope, even inside another one.
    pub(crate) fn outside<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
        SCOPE.scope(None, future)
    }

    /// Does something with the current scope, if there is one.
    #[inline]
    pub(crate) fn with_current<T>(with: impl FnOnce(&Self) -> T) -> Option<T> {
        SCOPE.try_with(|scope| scope.as_ref().map(with)).ok().flatten()
    }
}

impl SessionId {
    /// The session of the surrounding [`Workflow::run`](crate::Workflow::run) or
    /// [`Workflow::scope`](crate::Workflow::scope).
    ///
    /// A task started with `tokio::spawn` does not inherit it: give it the scope with
    /// [`scope`](Self::scope).
    #[must_use]
    pub fn current() -> Option<Self> {
        Scope::with_current(|scope| scope.id().clone())
    }

    /// Makes this the session of every call that `future` makes.
    ///
    /// ```
    /// # use tower_agent_status::SessionId;
    /// # async fn work() {}
    /// # async fn example() {
    /// if let Some(session) = SessionId::current() {
    ///     tokio::spawn(session.scope(work()));
    /// }
    /// # }
    /// ```
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        Scope::new(self.clone()).around(future)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scope").field(&self.id).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Ledger, Timestamp};
    use crate::tracker::session::SessionState;

    #[test]
    fn a_session_is_cached_for_one_tracker() {
        let session = |id| {
            let id = SessionId::new(id).unwrap();
            let ledger = Ledger::new(id.clone(), Timestamp::from_millis(0));
            Arc::new(Session::new(id, SessionState::new(ledger)))
        };
        let scope = Scope::new(SessionId::new("s").unwrap());
        assert!(scope.cached(1).is_none());
        let first = session("s");
        scope.cache(1, Arc::clone(&first));
        scope.cache(2, session("s"));
        assert!(scope.cached(1).is_some_and(|cached| Arc::ptr_eq(&cached, &first)));
        assert!(scope.cached(2).is_none());
        let copy = scope.clone();
        assert!(scope.cached(1).is_some());
        assert!(copy.cached(1).is_some_and(|cached| Arc::ptr_eq(&cached, &first)));
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
