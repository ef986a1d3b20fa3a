//! [`Urls`]: the base URLs of the agents of a forwarder.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::MAX_SESSION_BYTES;
use crate::SessionId;
use crate::listener::Token;

/// What must be encoded in a segment of a path: all but the unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The base URLs of a forwarder's agents. Cheap to clone.
#[derive(Clone)]
pub struct Urls {
    shared: Arc<Shared>,
}

struct Shared {
    address: SocketAddr,
    agents: BTreeSet<String>,
    token: Option<Token>,
}

/// Why there is no URL for an agent and a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The forwarder has no agent of that name.
    #[error("the forwarder has no agent `{0}`; add it with `Forward::agent`")]
    UnknownAgent(String),
    /// The session's id is too long.
    #[error("the session id has {bytes} bytes; the limit in a URL is {MAX_SESSION_BYTES}")]
    SessionTooLong {
        /// Its length, in bytes.
        bytes: usize,
    },
}

impl Urls {
    pub(super) fn new(
        address: SocketAddr,
        agents: impl Iterator<Item = String>,
        token: Option<Token>,
    ) -> Self {
        Self { shared: Arc::new(Shared { address, agents: agents.collect(), token }) }
    }

    /// Returns the base URL of an agent for the calls of a session, without a slash at its end:
    /// `http://127.0.0.1:8090/pdfAdapter/~session-corr_abc123`.
    ///
    /// If the forwarder has a [token](super::Forward::token), the URL contains it, so keep the URL
    /// secret. If the forwarder listens on all addresses, the URL is that of loopback.
    ///
    /// # Errors
    ///
    /// If the forwarder has no such agent, or the session's id is longer than
    /// [`MAX_SESSION_BYTES`].
    pub fn url(&self, agent: &str, session: &SessionId) -> Result<String, UrlError> {
        let Shared { agents, token, .. } = &*self.shared;
        if !agents.contains(agent) {
            return Err(UrlError::UnknownAgent(agent.to_owned()));
        }
        let session = session.as_str();
        if session.len() > MAX_SESSION_BYTES {
            return Err(UrlError::SessionTooLong { bytes: session.len() });
        }
        let mut url = self.root();
        let token = token.as_ref().map(Token::as_str);
        for segment in token.into_iter().chain([agent]) {
            url.push('/');
            url.extend(utf8_percent_encode(segment, RESERVED));
        }
        url.push_str("/~");
        url.extend(utf8_percent_encode(session, RESERVED));
        Ok(url)
    }

    /// Returns the URL of the forwarder itself, without a slash at its end and without a token.
    #[must_use]
    pub fn root(&self) -> String {
        let mut address = self.shared.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{address}")
    }
}

impl fmt::Debug for Urls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Urls")
            .field("address", &self.shared.address)
            .field("agents", &self.shared.agents)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sessions_are_encoded() {
        let urls = |address: &str, token: Option<&str>| {
            let agents = ["pdfAdapter", "a b/ü"].map(str::to_owned);
            Urls::new(address.parse().unwrap(), agents.into_iter(), token.map(Token::new))
        };
        let id = |id: &str| SessionId::new(id).unwrap();
        let plain = urls("127.0.0.1:80", None);
        assert_eq!(
            plain.url("pdfAdapter", &id("corr_1~2.3")).unwrap(),
            "http://127.0.0.1:80/pdfAdapter/~corr_1~2.3"
        );
        assert_eq!(
            plain.url("a b/ü", &id("é/%?#")).unwrap(),
            "http://127.0.0.1:80/a%20b%2F%C3%BC/~%C3%A9%2F%25%3F%23"
        );
        let open = urls("0.0.0.0:80", Some("s3/cret"));
        assert_eq!(
            open.url("pdfAdapter", &id("s")).unwrap(),
            "http://127.0.0.1:80/s3%2Fcret/pdfAdapter/~s"
        );
        assert!(!format!("{open:?} {}", open.root()).contains("cret"));
        assert_eq!(urls("[::]:80", None).root(), "http://[::1]:80");
        let unknown = plain.url("other", &id("s")).unwrap_err();
        assert_eq!(unknown, UrlError::UnknownAgent("other".to_owned()));
        plain.url("pdfAdapter", &id(&"s".repeat(256))).unwrap();
        let long = plain.url("pdfAdapter", &id(&"s".repeat(257))).unwrap_err();
        assert_eq!(long, UrlError::SessionTooLong { bytes: 257 });
    }
}
