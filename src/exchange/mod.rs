//! One exchange: a request and its response, from the start to its one outcome.
//!
//! A client's call to an agent and a server's response to its caller pass through the same
//! states. They differ only in their [`Observer`], which learns what happens.
//!
//! ```text
//!  begin ──▶ Pending ──────── answered(head) ──▶ ResponseObserver ── last byte ──▶ finish
//!              │ failed(error) ──▶ finish              │ error, end marker ──────▶ finish
//!              └ drop ───────────▶ dropped             └ drop ───────────────────▶ finish
//! ```
//!
//! Each state is a value that the next step consumes, and dropping it is a step too. So every
//! exchange has exactly one outcome, however it ends. [`ExchangeFuture`] carries a [`Pending`]
//! up to the head of the response, and [`ExchangeBody`] a [`ResponseObserver`] to the end of
//! its body. Both pass everything on as it is: bytes, frames, trailers, size hints and errors.
//!
//! A response that upgrades the connection (101, or 2xx to CONNECT) has no end that could be seen:
//! the connection is handed over outside of the body. Its exchange ends when the body is dropped,
//! which a client can delay for as long as it uses the connection.
//!
//! A poll takes the exchange out of its future or body, and puts it back if it goes on. So a poll
//! that panics drops it, and the exchange ends at once: whatever catches the panic may keep the
//! future around for longer.
//!
//! | file | what it has |
//! | --- | --- |
//! | `future` | an exchange up to the head of its response, and what a client's response type must do |
//! | `body` | an exchange up to the end of its body |
//! | `response_observer` | feeds the chunks of a body, and its trailers, to the usage reader and the observer |
//! | `slices` | the bytes of a chunk, without consuming it |
//! | `state` | what both carry, and the phase that decides how a drop ends it |
//! | `error_display` | how errors are put into words |

mod body;
mod error_display;
mod future;
mod response_observer;
mod slices;
mod state;

use std::fmt;

use http::{HeaderMap, Method, StatusCode};

pub(crate) use self::body::ExchangeBody;
pub use self::error_display::{DefaultErrorDisplay, ErrorDisplay, WithSources};
pub(crate) use self::future::ExchangeFuture;
#[cfg(any(feature = "aws", feature = "reqwest", feature = "reqwest012"))]
pub(crate) use self::future::ObservableResponse;
pub(crate) use self::response_observer::ResponseObserver;

use self::state::ExchangeState;
use crate::status::{CallError, Outcome, Task, TokenUsage};
use crate::usage::{RequestHint, UsageReader};

/// Learns what happens to an exchange.
///
/// [`finish`](Self::finish) and [`dropped`](Self::dropped) are the two ways in which an
/// exchange ends; exactly one of them is called, once, and nothing after it.
pub trait Observer: Sized {
    /// Whether the exchange ends at a stream's own end marker (`[DONE]`, `message_stop`),
    /// whatever comes after it.
    const ENDS_AT_MARKER: bool;

    /// Whether the exchange ends once the announced `content-length` has passed, even if nobody
    /// polls the body again.
    const ENDS_AT_CONTENT_LENGTH: bool;

    /// Polls the inner future or body in what surrounds this exchange, such as its span.
    /// `None` is an exchange that nobody observes: one function for both, so that `poll` is
    /// compiled into one place.
    fn poll_in<T>(observer: Option<&Self>, poll: impl FnOnce() -> T) -> T;

    /// The head of the response has arrived.
    fn response(&mut self, status: StatusCode, headers: &mut HeaderMap);

    /// A chunk of the body has arrived.
    fn chunk(&mut self, _is_stream: impl FnOnce() -> bool) {}

    /// The tokens used so far, from the reader of the response.
    fn progress(&mut self, _usage: &TokenUsage, _response: &UsageReader) {}

    /// The exchange has ended. The response may belong to a task, which need not have ended with it.
    /// `response` has read the response, if there was one, and knows what that says of tokens and all else.
    fn finish(&mut self, outcome: Outcome, task: Option<Box<Task>>, response: Option<&UsageReader>);

    /// Nobody waits for the response any more.
    fn dropped(&mut self);
}

/// An exchange that waits for the head of its response.
pub struct Pending<O: Observer>(Box<ExchangeState<O>>);

impl<O: Observer> Pending<O> {
    /// An exchange begins. `path` is the path of its request, without a query, if that may
    /// say something about the response.
    #[inline]
    pub(crate) fn new(observer: O, method: &Method, path: Option<&str>) -> Self {
        let hint = match path {
            Some(path) => RequestHint::of(method, path),
            None => RequestHint::of_any_content(method),
        };
        Self(ExchangeState::new(observer, hint))
    }

    /// Polls the inner future in what surrounds this exchange, if there is one.
    #[inline]
    fn poll_in<T>(pending: Option<&Self>, poll: impl FnOnce() -> T) -> T {
        O::poll_in(pending.map(|pending| &pending.0.observer), poll)
    }

    /// The head of the response has arrived.
    pub(crate) fn answered(
        mut self,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) -> ResponseObserver<O> {
        self.0.answered(status, headers);
        ResponseObserver::new(self.0)
    }

    /// The exchange failed before there was a response.
    fn failed(mut self, error: CallError) {
        self.0.failed(error);
    }
}

impl<O: Observer> fmt::Debug for Pending<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}
