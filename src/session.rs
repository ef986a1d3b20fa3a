//! [`SessionId`], and the ways in which a request tells its session: an extension, the
//! surrounding scope, a header or a closure.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::str::FromStr;
use std::sync::Arc;

use http::uri::Authority;
use http::{Extensions, HeaderMap, HeaderName, Method};

/// The name of one run of an orchestrator, and the key of its item in the table.
///
/// As an extension of a request it says for which session the call is made:
///
/// ```
/// # use tower_agent_status::SessionId;
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(SessionId::new("session-corr_abc123")?);
/// # Ok::<(), tower_agent_status::InvalidSessionId>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// The longest id, in bytes of UTF-8: what DynamoDB allows a partition key.
    pub const MAX_BYTES: usize = 2048;

    /// Checks an id.
    ///
    /// # Errors
    ///
    /// If it is empty, longer than [`MAX_BYTES`](Self::MAX_BYTES), or has a control
    /// character in it.
    pub fn new(id: impl AsRef<str>) -> Result<Self, InvalidSessionId> {
        let id = id.as_ref();
        if id.is_empty() {
            Err(InvalidSessionId::Empty)
        } else if id.len() > Self::MAX_BYTES {
            let start = id.chars().take(32).collect();
            Err(InvalidSessionId::TooLong { start, bytes: id.len() })
        } else if id.chars().any(char::is_control) {
            Err(InvalidSessionId::ControlCharacter(id.chars().take(64).collect()))
        } else {
            Ok(Self(id.into()))
        }
    }

    /// A new id, that no other run has: `session-` and 32 random hexadecimal digits.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("session-{}", random_digits()).into())
    }

    /// The session of the surrounding [`Workflow::run`](crate::Workflow::run) or
    /// [`Workflow::scope`](crate::Workflow::scope).
    ///
    /// A task started with `tokio::spawn` does not inherit it: give it the scope with
    /// [`in_scope`](Self::in_scope).
    #[must_use]
    pub fn current() -> Option<Self> {
        SCOPE.try_with(Option::clone).ok().flatten()
    }

    /// Makes this the session of every call that `future` makes.
    ///
    /// ```
    /// # use tower_agent_status::SessionId;
    /// # async fn work() {}
    /// # async fn example() {
    /// if let Some(session) = SessionId::current() {
    ///     tokio::spawn(session.in_scope(work()));
    /// }
    /// # }
    /// ```
    pub fn in_scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        SCOPE.scope(Some(self.clone()), future)
    }

    /// Makes this the session of every call that `poll` makes, for futures and bodies
    /// that are polled by hand.
    pub(crate) fn enter<T>(&self, poll: impl FnOnce() -> T) -> T {
        SCOPE.sync_scope(Some(self.clone()), poll)
    }

    /// Makes the calls of `future` calls of no session, whatever surrounds it.
    pub(crate) fn outside_scopes<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
        SCOPE.scope(None, future)
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn shared(&self) -> &Arc<str> {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl AsRef<str> for SessionId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for SessionId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Self::new(id)
    }
}

impl TryFrom<&str> for SessionId {
    type Error = InvalidSessionId;

    fn try_from(id: &str) -> Result<Self, Self::Error> {
        Self::new(id)
    }
}

impl TryFrom<String> for SessionId {
    type Error = InvalidSessionId;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        Self::new(id)
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.as_str().to_owned()
    }
}

impl From<&SessionId> for String {
    fn from(id: &SessionId) -> Self {
        id.as_str().to_owned()
    }
}

/// 32 hexadecimal digits that differ from process to process and from time to time.
pub(crate) fn random_digits() -> String {
    // The standard library seeds this from the operating system's randomness.
    let random = || RandomState::new().hash_one(0_u8);
    format!("{:016x}{:016x}", random(), random())
}

/// A session id that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSessionId {
    /// The id is empty.
    #[error("the session id is empty; it is the key of the table and needs 1 to {max} bytes", max = SessionId::MAX_BYTES)]
    Empty,
    /// The id is too long for a key.
    #[error("the session id `{start}…` has {bytes} bytes; a key of the table has at most {max}", max = SessionId::MAX_BYTES)]
    TooLong {
        /// How the id begins.
        start: String,
        /// How long it is, in bytes.
        bytes: usize,
    },
    /// The id has a control character in it.
    #[error("the session id {0:?} has a control character; take it out")]
    ControlCharacter(String),
}

tokio::task_local! {
    /// The session of the calls made inside; `None` is one that could not be tracked.
    static SCOPE: Option<SessionId>;
}

/// A request without its body, for closures that tell its session or its agent.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RequestHead<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The host of the request's URI, where it names one.
    pub host: Option<&'a str>,
    /// The port of the request's URI, where it names one.
    pub port: Option<u16>,
    /// The path of the request's URI, without the query.
    pub path: &'a str,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The request's extensions.
    pub extensions: &'a Extensions,
}

impl<'a> RequestHead<'a> {
    /// The head of a request.
    pub fn new<B>(request: &'a http::Request<B>) -> Self {
        let authority = request.uri().authority();
        let (host, port) = authority.map_or((None, None), host_and_port);
        Self {
            method: request.method(),
            host,
            port,
            path: request.uri().path(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }
}

/// Nearly every authority is a host and nothing else, which is seen sooner than it is taken
/// apart.
fn host_and_port(authority: &Authority) -> (Option<&str>, Option<u16>) {
    if authority.as_str().bytes().any(|byte| matches!(byte, b'@' | b':' | b'[')) {
        (Some(authority.host()), authority.port_u16())
    } else {
        (Some(authority.as_str()), None)
    }
}

type FromHead = dyn Fn(RequestHead<'_>) -> Option<String> + Send + Sync;

/// Where a layer looks when neither the request's extensions nor a scope name a session.
#[derive(Clone, Default)]
pub(crate) struct SessionSource(Option<Arc<FromHead>>);

impl SessionSource {
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

    /// Looks for the session of a request that is sent, without its head; `None` if
    /// nothing names one.
    pub(crate) fn look(&self, extensions: &Extensions) -> Option<Named> {
        let session = extensions.get::<SessionId>().cloned().or_else(SessionId::current);
        match session {
            Some(session) => Some(Named::Session(session)),
            None => self.0.is_some().then_some(Named::InHead),
        }
    }

    /// The session that was looked for; `Ok(None)` if the head names none either.
    pub(crate) fn resolve<'a>(
        &self,
        named: Named,
        head: impl FnOnce() -> RequestHead<'a>,
    ) -> Result<Option<SessionId>, InvalidSessionId> {
        match named {
            Named::Session(session) => Ok(Some(session)),
            Named::InHead => self.in_head(head()),
        }
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

    fn in_head(&self, head: RequestHead<'_>) -> Result<Option<SessionId>, InvalidSessionId> {
        self.0.as_ref().and_then(|from| from(head)).map(SessionId::new).transpose()
    }
}

/// Where the session of a request is named. Most requests that are not tracked are told by
/// that there is no such place, before their head is taken apart.
pub(crate) enum Named {
    /// In its extensions, or by the surrounding scope.
    Session(SessionId),
    /// In its head, if anywhere.
    InHead,
}

impl fmt::Debug for SessionSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "SessionSource(set)" } else { "SessionSource(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_no_keys_are_refused() {
        assert_eq!(SessionId::new(""), Err(InvalidSessionId::Empty));
        assert!(SessionId::new("x".repeat(2048)).is_ok());
        let error = SessionId::new("é".repeat(1025)).unwrap_err();
        assert!(matches!(error, InvalidSessionId::TooLong { bytes: 2050, .. }));
        assert!(error.to_string().contains("2048"), "{error}");
        assert!(matches!(SessionId::new("a\u{0}"), Err(InvalidSessionId::ControlCharacter(_))));
    }

    #[tokio::test]
    async fn the_request_wins_over_the_scope_and_the_scope_over_the_header() {
        let source = SessionSource::from_header(HeaderName::from_static("x-id"), |id| {
            format!("session-{id}")
        });
        let id = |id: &str| SessionId::new(id).unwrap();
        let mut request = http::Request::builder().header("x-id", "h").body(()).unwrap();
        let resolve = |request: &http::Request<()>| {
            let named = source.look(request.extensions()).unwrap();
            let head = || RequestHead::new(request);
            source.resolve(named, head).unwrap().map(|id| id.to_string())
        };
        assert_eq!(resolve(&request).unwrap(), "session-h");
        let scoped = id("scope").in_scope(async { resolve(&request) }).await;
        assert_eq!(scoped.unwrap(), "scope");
        request.extensions_mut().insert(id("extension"));
        let both = id("scope").in_scope(async { resolve(&request) }).await;
        assert_eq!(both.unwrap(), "extension");
        assert_eq!(resolve(&http::Request::new(())), None);
    }

    #[tokio::test]
    async fn a_spawned_task_needs_the_scope_given() {
        let session = SessionId::new("s").unwrap();
        session
            .in_scope(async {
                let bare = tokio::spawn(async { SessionId::current() });
                assert_eq!(bare.await.unwrap(), None);
                let session = SessionId::current().unwrap();
                let given = tokio::spawn(session.in_scope(async { SessionId::current() }));
                assert_eq!(given.await.unwrap(), Some(session));
            })
            .await;
    }
}
