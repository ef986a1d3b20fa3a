//! How an error is put into words: by itself, or with its sources.
//!
//! Many clients name only in an error's sources what has failed: `client error (Connect)` of
//! hyper-util, `transport error` of tonic, and further down `connection refused` or `deadline
//! has elapsed`. The sources decide the class (`timeout`) and belong in the message. Each source is
//! asked on its own, however long the texts before it are. But the
//! layer asks of errors only that they implement [`Display`](fmt::Display), and no bound covers
//! both the errors that implement [`Error`] and the boxed one of tower's own layers, which does
//! not. So the choice is a type, [`ErrorDisplay`].

use std::any::Any;
use std::error::Error;
use std::fmt::{self, Display};
use std::io;

use crate::status::ErrorChain;

/// Formats errors of type `E` for the recorded message.
pub trait ErrorDisplay<E> {
    /// Returns the error in a displayable form.
    fn display(error: &E) -> impl Display + '_;

    /// Returns whether the error or one of its sources is a time-out. If not, the text that is
    /// displayed may still say so.
    fn is_timeout(error: &E) -> bool {
        let _ = error;
        false
    }
}

/// Shows an error by its own [`Display`](fmt::Display). Of the errors whose type is known here
/// it shows the sources, too: `Box<dyn Error + Send + Sync>`, which tower calls `BoxError`,
/// `std::io::Error`, and those of reqwest and reqwest-middleware.
#[derive(Clone, Copy, Debug)]
pub struct DefaultErrorDisplay;

/// Shows an error with its [sources](Error::source). See
/// [`StatusLayer::error_sources`](crate::StatusLayer::error_sources).
#[derive(Clone, Copy, Debug)]
pub struct WithSources;

impl<E: Display + 'static> ErrorDisplay<E> for DefaultErrorDisplay {
    fn display(error: &E) -> impl Display + '_ {
        match as_error(error) {
            Some(error) => Shown::WithSources(ErrorChain(error)),
            None => Shown::Itself(error),
        }
    }

    fn is_timeout(error: &E) -> bool {
        as_error(error).is_some_and(|error| ErrorChain(error).is_timeout())
    }
}

impl<E: Error + 'static> ErrorDisplay<E> for WithSources {
    fn display(error: &E) -> impl Display + '_ {
        ErrorChain(error)
    }

    fn is_timeout(error: &E) -> bool {
        ErrorChain(error).is_timeout()
    }
}

/// The error, if its type is one that is known to have sources.
fn as_error<E: 'static>(error: &E) -> Option<&(dyn Error + 'static)> {
    let error: &dyn Any = error;
    #[cfg(feature = "reqwest")]
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        return Some(error);
    }
    #[cfg(feature = "reqwest")]
    if let Some(error) = error.downcast_ref::<reqwest_middleware::Error>() {
        return Some(error);
    }
    #[cfg(feature = "reqwest012")]
    if let Some(error) = error.downcast_ref::<reqwest012::Error>() {
        return Some(error);
    }
    #[cfg(feature = "reqwest012")]
    if let Some(error) = error.downcast_ref::<reqwest_middleware04::Error>() {
        return Some(error);
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return Some(error);
    }
    error.downcast_ref::<Box<dyn Error + Send + Sync>>().map(|error| &**error as _)
}

enum Shown<'a, E> {
    Itself(&'a E),
    WithSources(ErrorChain<'a>),
}

impl<E: Display> Display for Shown<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Itself(error) => error.fmt(f),
            Self::WithSources(chain) => chain.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("client error (Connect)")]
    struct Outer(#[source] std::io::Error);

    fn outer() -> Outer {
        Outer(std::io::Error::other("connection refused"))
    }

    #[test]
    fn sources_are_shown_where_they_are_asked_for() {
        assert_eq!(DefaultErrorDisplay::display(&outer()).to_string(), "client error (Connect)");
        let with_sources = "client error (Connect): connection refused";
        assert_eq!(WithSources::display(&outer()).to_string(), with_sources);
    }

    #[test]
    fn a_boxed_error_is_known_by_its_type() {
        let boxed: Box<dyn Error + Send + Sync> = outer().into();
        let with_sources = "client error (Connect): connection refused";
        assert_eq!(DefaultErrorDisplay::display(&boxed).to_string(), with_sources);
    }
}
