//! [`ErrorChain`]: an error with its sources.

use std::error::Error;
use std::{fmt, io, iter};

use super::{error, timeout};

/// How many sources are searched for a time-out. A chain may be endless.
const MAX_SOURCES: usize = 100;

/// Displays an error and its [sources](Error::source), separated by colons.
pub(crate) struct ErrorChain<'a>(pub(crate) &'a (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl ErrorChain<'_> {
    /// Whether the error or one of its sources is a time-out, by its type or by its own text.
    pub(crate) fn is_timeout(&self) -> bool {
        let chain = iter::successors(Some(self.0), |error| cause(*error));
        chain.take(MAX_SOURCES).any(|error| {
            let kind = error.downcast_ref().map(io::Error::kind);
            kind == Some(io::ErrorKind::TimedOut) || timeout::is_named_in(&error::head(error))
        })
    }
}

/// The next error of a chain. An I/O error displays the error that it wraps, and leaves it out of
/// its sources.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{CallError, ErrorMessage};

    type BoxError = Box<dyn Error + Send + Sync>;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Caused(String, #[source] BoxError);

    fn caused(text: &str, source: impl Into<BoxError>) -> Caused {
        Caused(text.to_owned(), source.into())
    }

    fn is_timeout(error: impl Error + 'static) -> bool {
        ErrorChain(&error).is_timeout()
    }

    #[test]
    fn a_timeout_counts_wherever_it_is_among_the_sources() {
        let timed_out = || io::Error::new(io::ErrorKind::TimedOut, "no answer");
        assert!(is_timeout(timed_out()));
        assert!(is_timeout(caused("client error", timed_out())));
        assert!(is_timeout(caused("client error", caused("connect", timed_out()))));
        assert!(is_timeout(caused("client error", io::Error::other(timed_out()))));
        assert!(is_timeout(caused("transport error", "Timeout expired")));
        assert!(!is_timeout(caused("client error", io::Error::other("connection refused"))));
        assert!(!is_timeout(caused("https://timeout/", io::Error::from(io::ErrorKind::NotFound))));
    }

    #[test]
    fn a_timeout_behind_a_long_text_counts() {
        let long = "x".repeat(ErrorMessage::MAX_BYTES * 20);
        let error = caused(&long, "deadline has elapsed");
        assert!(!CallError::timeout(&ErrorChain(&error)).message.as_str().contains("deadline"));
        assert!(is_timeout(error));
    }

    #[test]
    fn an_endless_chain_ends() {
        #[derive(Debug)]
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("again")
            }
        }
        impl Error for Endless {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&Endless)
            }
        }
        assert!(!is_timeout(Endless));
    }
}
