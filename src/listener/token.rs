//! [`Token`]: the secret that the clients of a server must send.

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq as _;

/// The secret that the clients of a server must send.
#[derive(Clone)]
pub(crate) struct Token(Arc<str>);

impl Token {
    pub(crate) fn new(token: impl Into<String>) -> Self {
        Self(token.into().into())
    }

    /// Whether a client can send it in a header.
    pub(crate) fn is_sendable(&self) -> bool {
        (1..=1024).contains(&self.0.len()) && self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }

    /// Compares in constant time. An empty token equals nothing: its server is closed, not open.
    pub(crate) fn equals(&self, given: &[u8]) -> bool {
        !given.is_empty() && bool::from(given.ct_eq(self.0.as_bytes()))
    }

    #[cfg(feature = "forward")]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Access to the logs must not give access to the server.
        f.write_str("Token(…)")
    }
}
