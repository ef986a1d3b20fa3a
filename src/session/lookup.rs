//! [`SessionLookup`]: where a layer looks for the session of a request.

use std::fmt;
use std::sync::Arc;

use http::{Extensions, HeaderName};

use super::RequestHead;
use crate::status::{InvalidSessionId, SessionId};
use crate::tracker::Scope;

type FromHead = dyn Fn(RequestHead<'_>) -> Option<String> + Send + Sync;

/// Where a layer looks when neither the request's extensions nor a scope name a session.
#[derive(Clone, Default)]
pub(crate) struct SessionLookup(Option<Arc<FromHead>>);

impl SessionLookup {
    pub(crate) fn from_fn(
        from: impl Fn(RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(from)))
    }

    pub(crate) fn from_header(
        name: HeaderName,
        to_session_id: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        Self::from_fn(move |head| Some(to_session_id(head.headers.get(&name)?.to_str().ok()?)))
    }

    /// Where the session of a request that is sent is named; `None` if nowhere.
    #[inline]
    pub(crate) fn look(&self, extensions: &Extensions) -> Option<SessionLocation> {
        if !extensions.is_empty() && extensions.get::<SessionId>().is_some() {
            return Some(SessionLocation::Extension);
        }
        if Scope::is_entered() {
            return Some(SessionLocation::Scope);
        }
        self.is_set().then_some(SessionLocation::Head)
    }

    /// Whether there is a place to look.
    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// The session that a received request names itself. What surrounds its server has
    /// nothing to do with it.
    pub(crate) fn received(
        &self,
        head: RequestHead<'_>,
    ) -> Result<Option<SessionId>, InvalidSessionId> {
        match head.extensions.get::<SessionId>() {
            Some(session) => Ok(Some(session.clone())),
            None => self.in_head(head),
        }
    }

    /// The session that the head of a request names; `Ok(None)` if it names none.
    pub(crate) fn in_head(
        &self,
        head: RequestHead<'_>,
    ) -> Result<Option<SessionId>, InvalidSessionId> {
        self.0.as_ref().and_then(|from| from(head)).map(SessionId::new).transpose()
    }
}

/// Where the session of a request is named. It is told first, and resolved later: most
/// requests that are not tracked are told by that there is no such place, before their head
/// is taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionLocation {
    /// Among its extensions.
    Extension,
    /// By the surrounding scope.
    Scope,
    /// In its head, if anywhere.
    Head,
}

impl fmt::Debug for SessionLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "SessionLookup(set)" } else { "SessionLookup(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_request_wins_over_the_scope_and_the_scope_over_the_header() {
        let source = SessionLookup::from_header(HeaderName::from_static("x-id"), |id| {
            format!("session-{id}")
        });
        let id = |id: &str| SessionId::new(id).unwrap();
        let mut request = http::Request::builder().header("x-id", "h").body(()).unwrap();
        let look = |request: &http::Request<()>| source.look(request.extensions());
        assert_eq!(look(&request), Some(SessionLocation::Head));
        let in_head = source.in_head(RequestHead::new(&request)).unwrap();
        assert_eq!(in_head, Some(id("session-h")));
        let scoped = id("scope").scope(async { look(&request) }).await;
        assert_eq!(scoped, Some(SessionLocation::Scope));
        request.extensions_mut().insert(id("extension"));
        let both = id("scope").scope(async { look(&request) }).await;
        assert_eq!(both, Some(SessionLocation::Extension));
        assert_eq!(source.in_head(RequestHead::new(&http::Request::new(()))).unwrap(), None);
        assert_eq!(SessionLookup::default().look(&Extensions::new()), None);
    }
}
