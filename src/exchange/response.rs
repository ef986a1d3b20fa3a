//! [`ResponseObserver`]: a response that is being read, and to whom it is told what it says.

use bytes::Buf;
use http::{HeaderMap, StatusCode};
use tracing::span::Entered;

use crate::client::call::ClientCall;
use crate::status::{Outcome, TokenUsage};
use crate::usage::{End, PathHint, Progress, ResponseHead, UsageReader};

/// To whom it is told what an answer says.
pub(crate) trait Observer {
    /// Whether the answer is over at its own end marker, whatever comes after it.
    const ENDS_AT_MARKER: bool;

    /// Makes what happens until the guard is dropped part of the call, if there is one.
    fn enter(&self) -> Option<Entered<'_>> {
        None
    }

    /// A piece of the answer has arrived.
    fn chunk(&mut self, _is_stream: impl FnOnce() -> bool) {}

    /// The tokens used so far.
    fn progress(&mut self, _usage: &TokenUsage) {}

    /// The answer has ended, and used these tokens in all. Nothing is told after it.
    fn end(&mut self, outcome: Outcome, usage: Option<TokenUsage>);
}

/// A response that is being read: that of a call, or one that a server gives.
pub(crate) struct ResponseObserver<T: Observer = ClientCall> {
    /// Gone once the outcome is told; what comes after it changes nothing.
    open: Option<Box<Open<T>>>,
}

/// What goes from step to step, in the one box of a call: futures and bodies are moved
/// often, and most are of no call.
pub(super) struct Open<T> {
    pub(super) told: T,
    pub(super) path: PathHint,
    /// There from the head until the body is read.
    announced: Option<ResponseHead>,
    /// There if the body comes in pieces. Most come in one, for which no reader is kept.
    reader: Option<UsageReader>,
}

impl<T> Open<T> {
    #[inline]
    pub(super) fn new(told: T, path: PathHint) -> Box<Self> {
        // Most of it is empty, and is not copied into a place that is there already.
        let open = Box::new_uninit();
        Box::write(open, Self { told, path, announced: None, reader: None })
    }

    /// The head of the answer is there.
    pub(super) fn begin(&mut self, status: StatusCode, headers: &HeaderMap) {
        let announced = self.announced.insert(ResponseHead::new(status.as_u16(), self.path));
        for (name, value) in headers {
            announced.show(name.as_str(), value.as_bytes());
        }
    }

    /// What reads on, and to whom it is told what that finds.
    fn reader(&mut self) -> Option<(&mut UsageReader, &mut T)> {
        if let Some(announced) = self.announced.take() {
            self.reader = Some(UsageReader::of(announced));
        }
        Some((self.reader.as_mut()?, &mut self.told))
    }
}

impl<T: Observer> ResponseObserver<T> {
    pub(crate) fn new(told: T, status: StatusCode, headers: &HeaderMap, path: PathHint) -> Self {
        let mut open = Open::new(told, path);
        open.begin(status, headers);
        Self::of(open)
    }

    /// The answer whose head was the last step.
    pub(super) fn of(open: Box<Open<T>>) -> Self {
        Self { open: Some(open) }
    }

    /// Whether the outcome is told.
    pub(crate) fn is_over(&self) -> bool {
        self.open.is_none()
    }

    /// Makes what happens until the guard is dropped part of what is told.
    pub(crate) fn enter(&self) -> Option<Entered<'_>> {
        self.open.as_ref().and_then(|open| open.told.enter())
    }

    /// A piece of the body has passed. The last one ends it.
    pub(crate) fn data(&mut self, data: &impl Buf, is_last: bool) {
        if is_last {
            return self.last(data);
        }
        let Some(open) = self.open.as_deref_mut() else { return };
        let Some((reader, told)) = open.reader() else { return };
        let progress = feed::<T>(reader, data);
        told.chunk(|| reader.is_stream());
        if progress == Progress::Ended && T::ENDS_AT_MARKER {
            self.end(End::Complete);
        } else if let Some(usage) = reader.usage() {
            told.progress(&usage);
        }
    }

    /// The last piece of the body has passed.
    fn last(&mut self, data: &impl Buf) {
        let Some(mut open) = self.open.take() else { return };
        let Open { told, announced, reader, .. } = &mut *open;
        let mut tell = |reader: &mut UsageReader| {
            feed::<T>(reader, data);
            told.chunk(|| reader.is_stream());
            told.end(reader.classify(End::Complete).0, reader.usage());
        };
        match (announced.take(), reader) {
            (Some(announced), _) => tell(&mut UsageReader::of(announced)),
            (None, Some(reader)) => tell(reader),
            (None, None) => {}
        }
    }

    /// The body has ended.
    pub(crate) fn end(&mut self, how: End<'_>) {
        let Some(mut open) = self.open.take() else { return };
        if let Some((reader, told)) = open.reader() {
            told.end(reader.classify(how).0, reader.usage());
        }
    }
}

/// Shows a piece to a reader.
fn feed<T: Observer>(reader: &mut UsageReader, data: &impl Buf) -> Progress {
    let mut progress = Progress::More;
    let shown = for_each_slice(data, |slice| {
        if progress == Progress::More || !T::ENDS_AT_MARKER {
            progress = reader.feed(slice);
        }
    });
    if shown < data.remaining() {
        reader.skip_rest();
    }
    progress
}

impl<T: Observer> Drop for ResponseObserver<T> {
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
