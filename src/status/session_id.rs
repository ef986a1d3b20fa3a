//! [`SessionId`]: the key of an item.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The id of one run of an orchestrator, and the key of its item in the table.
///
/// As an extension of a request, it sets the session of the call:
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
    /// The maximum length of an id, in bytes of UTF-8: DynamoDB's limit for a partition key.
    pub const MAX_BYTES: usize = 2048;

    /// Creates an id from a text.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is empty, is longer than [`MAX_BYTES`](Self::MAX_BYTES), or
    /// contains a control character.
    pub fn new(id: impl AsRef<str>) -> Result<Self, InvalidSessionId> {
        let id = id.as_ref();
        Self::check_length(id)?;
        if id.chars().any(char::is_control) {
            Err(InvalidSessionId::ControlCharacter(id.chars().take(64).collect()))
        } else {
            Ok(Self(id.into()))
        }
    }

    /// Creates an id from the key of an existing item.
    ///
    /// Older writers may have stored ids that [`new`](Self::new) rejects: a key may contain
    /// control characters.
    ///
    /// # Errors
    ///
    /// Returns an error if no item can have such a key: it is empty, or longer than
    /// [`MAX_BYTES`](Self::MAX_BYTES).
    pub fn from_key(key: impl AsRef<str>) -> Result<Self, InvalidSessionId> {
        let key = key.as_ref();
        Self::check_length(key).map(|()| Self(key.into()))
    }

    fn check_length(id: &str) -> Result<(), InvalidSessionId> {
        if id.is_empty() {
            Err(InvalidSessionId::Empty)
        } else if id.len() > Self::MAX_BYTES {
            let start = id.chars().take(32).collect();
            Err(InvalidSessionId::TooLong { start, bytes: id.len() })
        } else {
            Ok(())
        }
    }

    /// Creates a new id: `session-` and 128 random bits as hexadecimal digits, so that no other
    /// run has it.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("session-{}", random_digits()).into())
    }

    /// Returns the id as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
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

impl PartialEq<str> for SessionId {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for SessionId {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
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

/// Returns 128 random bits as 32 hexadecimal digits.
fn random_digits() -> String {
    format!("{:032x}", u128::from_ne_bytes(random_bytes()))
}

/// Returns 48 random bits as eight characters: an item that a thousand processes write has two of the
/// same id once in half a billion times.
pub(crate) fn random_writer_id() -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = u64::from_ne_bytes(random_bytes());
    (0..8).map(|i| char::from(DIGITS[(bits >> (6 * i)) as usize % DIGITS.len()])).collect()
}

fn random_bytes<const LEN: usize>() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    // Each time from the operating system: a generator kept in memory would repeat itself in
    // every copy of a process, as after a restored snapshot. It fails only where the system
    // has no source of randomness, and there a weak id is better than a panic.
    if getrandom::fill(&mut bytes).is_err() {
        bytes.fill_with(|| fastrand::u8(..));
    }
    bytes
}

/// The error returned for a text that cannot be a session id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSessionId {
    /// The id is empty.
    #[error("the session id is empty; as the key of its item it must have 1 to {max} bytes", max = SessionId::MAX_BYTES)]
    Empty,
    /// The id is longer than a key may be.
    #[error("the session id `{start}…` has {bytes} bytes; as the key of its item it may have at most {max}", max = SessionId::MAX_BYTES)]
    TooLong {
        /// The beginning of the id.
        start: String,
        /// The length of the id, in bytes.
        bytes: usize,
    },
    /// The id contains a control character.
    #[error("the session id {0:?} contains a control character; remove it")]
    ControlCharacter(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_cannot_be_keys_are_rejected() {
        assert_eq!(SessionId::new(""), Err(InvalidSessionId::Empty));
        assert!(SessionId::new("x".repeat(2048)).is_ok());
        let error = SessionId::new("é".repeat(1025)).unwrap_err();
        assert!(matches!(error, InvalidSessionId::TooLong { bytes: 2050, .. }));
        assert!(error.to_string().contains("2048"), "{error}");
        assert!(matches!(SessionId::new("a\u{0}"), Err(InvalidSessionId::ControlCharacter(_))));
    }

    #[test]
    fn a_stored_key_may_contain_control_characters() {
        assert_eq!(SessionId::from_key("a\u{0}").unwrap().as_str(), "a\u{0}");
        assert_eq!(SessionId::from_key(""), Err(InvalidSessionId::Empty));
        assert!(SessionId::from_key("x".repeat(2048)).is_ok());
        assert!(SessionId::from_key("x".repeat(2049)).is_err());
    }
}
