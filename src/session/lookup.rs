//! [`SessionLookup`]: how a layer finds the session of a request.

use std::fmt;
use std::sync::Arc;

use http::HeaderName;

use super::RequestHead;
use crate::status::{InvalidSessionId, SessionId};
use crate::tracker::Scope;

type FromHead = dyn Fn(RequestHead<'_>) -> Result<Option<String>, UnreadableHeader> + Send + Sync;

/// A header that names something, in bytes that are not visible ASCII.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value of the header `{0}` is not visible ASCII")]
pub(crate) struct UnreadableHeader(HeaderName);

/// The session in the head of a request cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LookupError {
    #[error(transparent)]
    Invalid(#[from] InvalidSessionId),
    #[error(transparent)]
    Unreadable(#[from] UnreadableHeader),
}

/// The text of a header. A blank one counts as missing: it names nothing.
pub(crate) fn header_text<'a>(
    head: RequestHead<'a>,
    name: &HeaderName,
) -> Result<Option<&'a str>, UnreadableHeader> {
    let Some(value) = head.headers.get(name) else { return Ok(None) };
    let text = value.to_str().map_err(|_| UnreadableHeader(name.clone()))?;
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

/// Where a layer looks if neither the request's extensions nor a scope yield a session.
#[derive(Clone, Default)]
pub(crate) struct SessionLookup(Option<Arc<FromHead>>);

impl SessionLookup {
    pub(crate) fn from_fn(
        from: impl Fn(RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(move |head| Ok(from(head)))))
    }

    pub(crate) fn from_header(
        name: HeaderName,
        to_session_id: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let from = move |head: RequestHead<'_>| Ok(header_text(head, &name)?.map(&to_session_id));
        Self(Some(Arc::new(from)))
    }

    /// Where the session of an outgoing request is found; `None` if nowhere. `extension` is the
    /// one among its extensions, and `in_scope` is run on the current scope.
    #[inline]
    pub(crate) fn locate<'a, T>(
        &self,
        extension: Option<&'a SessionId>,
        in_scope: impl FnOnce(&Scope) -> T,
    ) -> Option<SessionLocation<'a, T>> {
        if let Some(id) = extension {
            return Some(SessionLocation::Extension(id));
        }
        match Scope::with_current(in_scope) {
            Some(scope) => Some(SessionLocation::Scope(scope)),
            None => self.0.is_some().then_some(SessionLocation::Head),
        }
    }

    /// The session that an incoming request brings. The scope around the server is not the
    /// request's own, and does not count.
    pub(crate) fn incoming(&self, head: RequestHead<'_>) -> Result<Option<SessionId>, LookupError> {
        match head.extensions.get::<SessionId>() {
            Some(session) => Ok(Some(session.clone())),
            None => self.in_head(head),
        }
    }

    /// The session in the head of a request; `Ok(None)` if there is none.
    pub(crate) fn in_head(&self, head: RequestHead<'_>) -> Result<Option<SessionId>, LookupError> {
        let Some(from) = &self.0 else { return Ok(None) };
        Ok(from(head)?.map(SessionId::new).transpose()?)
    }
}

/// Where the session of a request was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionLocation<'a, T> {
    /// In its extensions.
    Extension(&'a SessionId),
    /// In the current scope.
    Scope(T),
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
        let locate = |request: &http::Request<()>| {
            source.locate(request.extensions().get(), |scope| scope.id().clone()).map(|location| {
                match location {
                    SessionLocation::Extension(id) => format!("extension {id}"),
                    SessionLocation::Scope(id) => format!("scope {id}"),
                    SessionLocation::Head => "head".to_owned(),
                }
            })
        };
        assert_eq!(locate(&request).unwrap(), "head");
        let in_head = source.in_head(RequestHead::new(&request)).unwrap();
        assert_eq!(in_head, Some(id("session-h")));
        let scoped = id("s").scope(async { locate(&request) }).await;
        assert_eq!(scoped.unwrap(), "scope s");
        request.extensions_mut().insert(id("e"));
        let both = id("s").scope(async { locate(&request) }).await;
        assert_eq!(both.unwrap(), "extension e");
        assert_eq!(source.in_head(RequestHead::new(&http::Request::new(()))).unwrap(), None);
        assert_eq!(SessionLookup::default().locate(None, |_| ()), None);
    }

    #[test]
    fn a_blank_header_names_no_session_and_one_that_is_unreadable_is_an_error() {
        let source = SessionLookup::from_header(HeaderName::from_static("x-id"), |id| {
            format!("session-{id}")
        });
        let find = |value: &[u8]| {
            let request = http::Request::builder().header("x-id", value).body(()).unwrap();
            let found = source.in_head(RequestHead::new(&request));
            found.map_err(|error| error.to_string())
        };
        for blank in [&b""[..], b" ", b" \t "] {
            assert_eq!(find(blank), Ok(None), "{blank:?}");
        }
        assert_eq!(find(b"a"), Ok(Some(SessionId::new("session-a").unwrap())));
        let error = find("corr_ä".as_bytes()).unwrap_err();
        assert_eq!(error, "the value of the header `x-id` is not visible ASCII");
    }
}
