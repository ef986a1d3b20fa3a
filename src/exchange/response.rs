//! [`ResponseObserver`]: reads a response as it passes, and tells its [`Observer`] what it says.

use bytes::Buf;
use http::{HeaderMap, StatusCode, header};

use super::Observer;
use crate::usage::{End, PathHint, Progress, ResponseHead, UsageReader};

/// A response that is being read.
pub(crate) struct ResponseObserver<O: Observer> {
    /// Gone once the outcome is known; what comes after it changes nothing.
    state: Option<Box<State<O>>>,
}

/// What an exchange takes from step to step.
pub(super) struct State<O> {
    pub(super) observer: O,
    path: PathHint,
    /// There from the head until the body is read.
    head: Option<ResponseHead>,
    /// There if the body comes in several chunks. Most come in one, for which no reader is kept.
    reader: Option<UsageReader>,
    /// How much of the announced length is still to come, where the exchange ends there.
    content_length: Option<u64>,
}

impl<O: Observer> State<O> {
    #[inline]
    pub(super) fn new(observer: O, path: PathHint) -> Box<Self> {
        // Most of it is empty, and is not copied into a place that is there already.
        let state = Box::new_uninit();
        Box::write(state, Self { observer, path, head: None, reader: None, content_length: None })
    }

    /// The head of the response is there.
    pub(super) fn answered(&mut self, status: StatusCode, headers: &mut HeaderMap) {
        self.observer.response(status, headers);
        let head = self.head.insert(ResponseHead::new(status.as_u16(), self.path));
        for (name, value) in &*headers {
            head.show(name.as_str(), value.as_bytes());
        }
        if O::ENDS_AT_CONTENT_LENGTH {
            let length = headers.get(header::CONTENT_LENGTH);
            self.content_length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        }
    }

    /// The reader, made when it is first needed, and whom it tells what it finds.
    fn reader(&mut self) -> Option<(&mut UsageReader, &mut O)> {
        if let Some(head) = self.head.take() {
            self.reader = Some(UsageReader::of(head));
        }
        Some((self.reader.as_mut()?, &mut self.observer))
    }
}

impl<O: Observer> ResponseObserver<O> {
    /// The response whose head was the last step.
    pub(super) fn new(state: Box<State<O>>) -> Self {
        Self { state: Some(state) }
    }

    /// Whether the outcome is known.
    pub(super) fn is_over(&self) -> bool {
        self.state.is_none()
    }

    /// Whether all that was announced has passed, where the exchange ends there.
    pub(super) fn has_passed_content_length(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.content_length == Some(0))
    }

    /// Polls the inner body in what surrounds this exchange.
    #[inline]
    pub(super) fn poll_in<T>(&self, poll: impl FnOnce() -> T) -> T {
        match &self.state {
            Some(state) => state.observer.poll_in(poll),
            None => poll(),
        }
    }

    /// A chunk of the body has passed. The last one ends the exchange.
    pub(crate) fn data(&mut self, data: &impl Buf, is_last: bool) {
        let Some(state) = self.state.as_deref_mut() else { return };
        let mut is_last = is_last;
        if O::ENDS_AT_CONTENT_LENGTH
            && let Some(left) = &mut state.content_length
        {
            *left = left.saturating_sub(data.remaining() as u64);
            is_last |= *left == 0;
        }
        if is_last {
            return self.last(data);
        }
        let Some((reader, observer)) = state.reader() else { return };
        let progress = feed::<O>(reader, data);
        observer.chunk(|| reader.is_stream());
        if progress == Progress::Ended && O::ENDS_AT_MARKER {
            self.complete();
        } else if let Some(usage) = reader.usage() {
            observer.progress(&usage);
        }
    }

    /// The last chunk of the body has passed. Usage that comes with it is told with the end
    /// only.
    fn last(&mut self, data: &impl Buf) {
        let Some(mut state) = self.state.take() else { return };
        let State { observer, head, reader, .. } = &mut *state;
        let mut finish = |reader: &mut UsageReader| {
            feed::<O>(reader, data);
            observer.chunk(|| reader.is_stream());
            observer.finish(reader.classify(End::Complete).0, reader.usage());
        };
        match (head.take(), reader) {
            // The whole body in one chunk: its reader need not be kept.
            (Some(head), _) => finish(&mut UsageReader::of(head)),
            (None, Some(reader)) => finish(reader),
            (None, None) => {}
        }
    }

    /// The trailers have passed; nothing comes after them.
    pub(super) fn trailers(&mut self, trailers: &HeaderMap) {
        if let Some(state) = self.state.as_deref_mut() {
            state.observer.trailers(trailers);
        }
        self.complete();
    }

    /// All of the body has passed.
    pub(crate) fn complete(&mut self) {
        self.end(End::Complete);
    }

    /// The body has ended.
    pub(super) fn end(&mut self, end: End<'_>) {
        let Some(mut state) = self.state.take() else { return };
        if let Some((reader, observer)) = state.reader() {
            observer.finish(reader.classify(end).0, reader.usage());
        }
    }
}

/// Feeds a chunk to a reader.
fn feed<O: Observer>(reader: &mut UsageReader, data: &impl Buf) -> Progress {
    let mut progress = Progress::More;
    let shown = for_each_slice(data, |slice| {
        if progress == Progress::More || !O::ENDS_AT_MARKER {
            progress = reader.feed(slice);
        }
    });
    if shown < data.remaining() {
        reader.skip_rest();
    }
    progress
}

impl<O: Observer> Drop for ResponseObserver<O> {
    fn drop(&mut self) {
        self.end(End::Dropped);
    }
}

/// Shows the bytes of a buffer without consuming them, and returns how many it could show.
///
/// A [`Buf`] gives its first slice by reference, and several through
/// [`chunks_vectored`](Buf::chunks_vectored), if it implements that. One in more pieces than
/// fit here is shown as far as they go.
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
