//! One call, from its start to its one outcome.
//!
//! A call is a value that moves: it is born in the service's `call`, lives in the response
//! future until the head arrives, and as an [`ResponseObserver`] in the body until that ends. Each
//! step takes the value, and dropping it is an outcome too, so there is exactly one.
//!
//! What is not needed is not done. A request is first [looked](Tracking::look) at for a session;
//! one that has none goes on as it came. The head of one that is tracked is taken apart
//! only where a closure, a rule or a subscriber asks for it. All of a call is in one box,
//! which is what moves, and usage that comes with the last piece of a body is told with its
//! end only.

pub(crate) mod body;
#[cfg(any(feature = "aws", feature = "reqwest"))]
pub(crate) mod error_chain;
pub(crate) mod future;
mod response;

use std::fmt::Display;

use http::{HeaderMap, StatusCode};
use tracing::span::Entered;

pub(crate) use self::response::{Observer, ResponseObserver};

use self::response::Open;
use crate::client::call::ClientCall;
use crate::status::{CallError, Outcome};
use crate::usage::{End, PathHint};

/// A call that waits for the head of its response.
pub(crate) struct Call {
    /// Taken by whichever step comes first.
    open: Option<Box<Open<ClientCall>>>,
}

impl Call {
    #[inline]
    pub(crate) fn new(told: ClientCall, path: PathHint) -> Self {
        Self { open: Some(Open::new(told, path)) }
    }

    /// Makes what happens until the guard is dropped part of the call.
    #[inline]
    pub(crate) fn enter(&self) -> Option<Entered<'_>> {
        self.open.as_ref()?.told.enter()
    }

    /// Runs a future as part of the call.
    #[cfg(any(feature = "aws", feature = "reqwest"))]
    pub(crate) async fn around<F: Future>(&self, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| {
            let _entered = self.enter();
            future.as_mut().poll(cx)
        })
        .await
    }

    /// The head of the response has arrived.
    pub(crate) fn answered(
        mut self,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<ResponseObserver> {
        let mut open = self.open.take()?;
        open.told.answered(status);
        let is_head = open.told.is_head;
        open.begin(status, headers);
        let mut answer = ResponseObserver::of(open);
        // These have no body, whatever a layer further in makes of it.
        if is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            answer.end(End::Complete);
        }
        Some(answer)
    }

    /// The call failed before there was a response.
    pub(crate) fn failed(mut self, error: &dyn Display) {
        if let Some(mut open) = self.open.take() {
            open.told.tell(Outcome::Error(CallError::transport(error)), None);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(mut open) = self.open.take() {
            let error = if std::thread::panicking() {
                CallError::new("panic", "the call panicked")
            } else {
                CallError::new("cancelled", "the caller gave up before the agent answered")
            };
            open.told.tell(Outcome::Error(error), None);
        }
    }
}

/// Polls what is being tracked. If that panics, `tracked` is dropped at once: who catches
/// the panic may keep the rest until it is over, and it would then seem to be given up.
#[inline]
pub(crate) fn poll_tracked<T, P>(tracked: &mut Option<T>, poll: impl FnOnce(Option<&T>) -> P) -> P {
    let ends_by_panic = EndsByPanic(tracked);
    let polled = poll(ends_by_panic.0.as_ref());
    std::mem::forget(ends_by_panic);
    polled
}

/// Dropped by a panic only.
struct EndsByPanic<'a, T>(&'a mut Option<T>);

impl<T> Drop for EndsByPanic<'_, T> {
    fn drop(&mut self) {
        *self.0 = None;
    }
}
