//! One call, from its start to its one outcome.
//!
//! A call is a value that moves: it is born in the service's `call`, lives in the response
//! future until the head arrives, and as an [`Answer`] in the body until that ends. Each
//! step takes the value, and dropping it is an outcome too, so there is exactly one.

use std::fmt::Display;
use std::sync::Arc;

use bytes::Buf;
use http::{Extensions, HeaderMap, StatusCode};
use tracing::span::Entered;

use crate::agent::{Agent, InvalidName};
use crate::observe::Observer;
use crate::session::{RequestHead, SessionSource};
use crate::status::{CallError, Outcome, TokenUsage};
use crate::tracker::{StatusTracker, TrackedCall};
use crate::usage::{End, Head, PathHint, Progress, UsageReader};

/// Whose calls a client makes: what every kind of client stack needs to start one.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    tracker: StatusTracker,
    agent: Arc<Agent>,
    /// Where to look when neither the request's extensions nor a scope name a session.
    pub(crate) source: SessionSource,
}

impl Caller {
    pub(crate) fn new(tracker: &StatusTracker, agent: &str) -> Result<Self, InvalidName> {
        let agent = tracker.hub().agent(agent)?;
        Ok(Self { tracker: tracker.clone(), agent, source: SessionSource::default() })
    }

    /// A call starts, if its request names a session and no layer around has started it.
    /// The request of a call that starts is to be [marked](Self::mark).
    pub(crate) fn start(&self, request: RequestHead<'_>) -> Option<Call> {
        let hub = self.tracker.hub();
        if request.extensions.get::<Owned>().is_some_and(|mark| mark.is_by(self.mark_of())) {
            return None;
        }
        let session = match self.source.resolve(request) {
            Ok(session) => session?,
            Err(error) => {
                hub.warn_of_invalid_session(&error);
                return None;
            }
        };
        let tracked = hub.session(&session)?;
        let observer = Observer::new(request, &self.agent, &session);
        let tracked = tracked.start_call(&self.agent, &self.tracker);
        Some(Call { open: Some((tracked, observer)), path: PathHint::new(request.path) })
    }

    /// Marks a request, so that no layer further in starts its call again.
    pub(crate) fn mark(&self, extensions: &mut Extensions) {
        let around = extensions.remove::<Owned>().map(Box::new);
        extensions.insert(Owned { tracker: self.mark_of(), around });
    }

    /// Takes this layer's mark off again.
    #[cfg(feature = "reqwest")]
    pub(crate) fn unmark(&self, extensions: &mut Extensions) {
        if let Some(around) = extensions.remove::<Owned>().and_then(|mark| mark.around) {
            extensions.insert(*around);
        }
    }

    fn mark_of(&self) -> usize {
        Arc::as_ptr(self.tracker.hub()).addr()
    }
}

/// Marks a request whose call a layer has started: of nested layers of one tracker the
/// outermost owns the call. Layers of several trackers may be nested in any order.
#[derive(Clone)]
struct Owned {
    tracker: usize,
    around: Option<Box<Self>>,
}

impl Owned {
    fn is_by(&self, tracker: usize) -> bool {
        self.tracker == tracker || self.around.as_ref().is_some_and(|mark| mark.is_by(tracker))
    }
}

/// A call that waits for the head of its response.
pub(crate) struct Call {
    /// Taken by whichever step comes first.
    open: Option<(TrackedCall, Observer)>,
    path: PathHint,
}

impl Call {
    /// Makes what happens until the guard is dropped part of the call's span.
    pub(crate) fn enter(&self) -> Option<Entered<'_>> {
        self.open.as_ref().map(|(_, observer)| observer.enter())
    }

    /// Runs a future as part of the call's span.
    #[cfg(feature = "reqwest")]
    pub(crate) async fn around<F: Future>(&self, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| {
            let _entered = self.enter();
            future.as_mut().poll(cx)
        })
        .await
    }

    /// The head of the response has arrived.
    pub(crate) fn answered(mut self, status: StatusCode, headers: &HeaderMap) -> Option<Answer> {
        let (tracked, observer) = self.open.take()?;
        let header = |name: &str| headers.get(name)?.to_str().ok();
        let status = status.as_u16();
        observer.answered(status);
        let reader = UsageReader::new(&Head { status, path: self.path, header: &header });
        Some(Answer { open: Some(Open { tracked, observer, reader }) })
    }

    /// The call failed before there was a response.
    pub(crate) fn failed(mut self, error: &dyn Display) {
        if let Some((tracked, observer)) = self.open.take() {
            end(tracked, observer, Outcome::Error(CallError::transport(error)), None);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some((tracked, observer)) = self.open.take() {
            let error = if std::thread::panicking() {
                CallError::new("panic", "the call panicked")
            } else {
                CallError::new("cancelled", "the caller gave up before the agent answered")
            };
            end(tracked, observer, Outcome::Error(error), None);
        }
    }
}

/// The one outcome, told to the table and to those who watch.
fn end(tracked: TrackedCall, observer: Observer, outcome: Outcome, usage: Option<TokenUsage>) {
    observer.ended(&outcome, usage.as_ref());
    tracked.end(outcome, usage);
}

/// A call whose response is being read.
pub(crate) struct Answer {
    /// Gone once the outcome is told; what comes after it changes nothing.
    open: Option<Open>,
}

struct Open {
    tracked: TrackedCall,
    observer: Observer,
    reader: UsageReader,
}

impl Answer {
    /// Whether the outcome is told.
    pub(crate) fn is_over(&self) -> bool {
        self.open.is_none()
    }

    /// Makes what happens until the guard is dropped part of the call's span.
    pub(crate) fn enter(&self) -> Option<Entered<'_>> {
        self.open.as_ref().map(|open| open.observer.enter())
    }

    /// A piece of the body has passed.
    pub(crate) fn data(&mut self, data: &impl Buf) {
        let Some(open) = &mut self.open else { return };
        let mut progress = Progress::More;
        let shown = for_each_slice(data, |slice| {
            if progress == Progress::More {
                progress = open.reader.feed(slice);
            }
        });
        if shown < data.remaining() {
            open.reader.skip_rest();
        }
        open.observer.chunk(|| open.reader.is_stream());
        if progress == Progress::Ended {
            self.end(End::Complete);
        } else if let Some(usage) = open.reader.usage() {
            open.tracked.progress(&usage);
        }
    }

    /// The body has ended.
    pub(crate) fn end(&mut self, how: End<'_>) {
        if let Some(Open { tracked, observer, mut reader }) = self.open.take() {
            let reading = reader.finish(how);
            end(tracked, observer, reading.outcome, reading.usage);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.end(End::Dropped);
    }
}

/// Shows the bytes of a buffer without consuming them; how many could be shown.
///
/// A [`Buf`] gives its first slice by reference, and several through
/// [`chunks_vectored`](Buf::chunks_vectored), if it implements that. One in more pieces
/// than fit here is shown as far as they go.
fn for_each_slice(data: &impl Buf, mut show: impl FnMut(&[u8])) -> usize {
    const SLICES: usize = 16;
    let first = data.chunk();
    if first.len() == data.remaining() {
        show(first);
        return first.len();
    }
    let mut slices = [std::io::IoSlice::new(&[]); SLICES];
    let filled = data.chunks_vectored(&mut slices);
    slices[..filled].iter().for_each(|slice| show(slice));
    slices[..filled].iter().map(|slice| slice.len()).sum()
}
