//! One call, from its start to its one outcome.
//!
//! A call is a value that moves: it is born in the service's `call`, lives in the response
//! future until the head arrives, and as an [`Answer`] in the body until that ends. Each
//! step takes the value, and dropping it is an outcome too, so there is exactly one.

use std::fmt::Display;

use bytes::Buf;
use http::response::Parts;

use crate::agent::Agent;
use crate::session::{RequestHead, SessionId};
use crate::status::{CallError, Outcome};
use crate::tracker::{Hub, TrackedCall};
use crate::usage::{End, Head, PathHint, Progress, UsageReader};

use std::sync::Arc;

/// A call that waits for the head of its response.
pub(crate) struct Call {
    /// Taken by whichever step comes first.
    tracked: Option<TrackedCall>,
    path: PathHint,
}

impl Call {
    /// A call of this agent starts; `None` if there is no room for its session.
    pub(crate) fn start(
        hub: &Arc<Hub>,
        session: &SessionId,
        agent: &Agent,
        request: RequestHead<'_>,
    ) -> Option<Self> {
        let path = PathHint::new(request.uri.path());
        let tracked = hub.session(session)?.start_call(agent);
        Some(Self { tracked: Some(tracked), path })
    }

    /// The head of the response has arrived.
    pub(crate) fn answered(mut self, head: &Parts) -> Option<Answer> {
        let tracked = self.tracked.take()?;
        let header = |name: &str| head.headers.get(name)?.to_str().ok();
        let status = head.status.as_u16();
        let reader = UsageReader::new(&Head { status, path: self.path, header: &header });
        Some(Answer { open: Some(Open { tracked, reader }) })
    }

    /// The call failed before there was a response.
    pub(crate) fn failed(mut self, error: &dyn Display) {
        if let Some(tracked) = self.tracked.take() {
            tracked.end(Outcome::Error(CallError::transport(error)), None);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(tracked) = self.tracked.take() {
            let error = if std::thread::panicking() {
                CallError::new("panic", "the call panicked")
            } else {
                CallError::new("cancelled", "the caller gave up before the agent answered")
            };
            tracked.end(Outcome::Error(error), None);
        }
    }
}

/// A call whose response is being read.
pub(crate) struct Answer {
    /// Gone once the outcome is told; what comes after it changes nothing.
    open: Option<Open>,
}

struct Open {
    tracked: TrackedCall,
    reader: UsageReader,
}

impl Answer {
    /// Whether the outcome is told.
    pub(crate) fn is_over(&self) -> bool {
        self.open.is_none()
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
        if progress == Progress::Ended {
            self.end(End::Complete);
        } else if let Some(usage) = open.reader.usage() {
            open.tracked.progress(&usage);
        }
    }

    /// The body has ended.
    pub(crate) fn end(&mut self, end: End<'_>) {
        if let Some(Open { tracked, mut reader }) = self.open.take() {
            let reading = reader.finish(end);
            tracked.end(reading.outcome, reading.usage);
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
