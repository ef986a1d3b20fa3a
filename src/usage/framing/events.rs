//! Events one after another, most of which need not be read: what SSE and JSON lines share.
//!
//! The events of a stream differ in little more than the text that the model wrote. So whole events
//! are first shown to an [`EventFilter`], which skips those that are known to change nothing, and
//! only the others are read:
//!
//! ```text
//! loop over a piece:
//!     in the middle of an event that is too long to buffer?  read on
//!     skip what the filter knows
//!     the next event is whole?   read it; if it changed nothing, teach it to the filter
//!     it is cut by the piece?    buffer it, up to 1 KiB, until the next piece completes it
//! ```
//!
//! Buffering never delays the end of a stream: an event that might be the last one is read at once
//! (see [`EventReader::may_be_last`]). Nor does it change what is read: the tests cut each format at
//! every byte and compare. Each byte is compared or read once, and copied once more where a piece
//! cuts its event.

use crate::usage::extract::Extractor;
use crate::usage::skip::{EventFilter, MAX_EVENT};

/// What a protocol knows about its events.
pub(super) trait EventReader {
    /// Whether the next byte begins an event.
    fn is_between_events(&self) -> bool;

    /// Reads on, at the most to the end of an event, and returns how many bytes it read.
    fn read(&mut self, bytes: &[u8], extractor: &mut Extractor) -> usize;

    /// The end of the input: concludes the last event, even if its own end is missing.
    fn finish(&mut self, extractor: &mut Extractor);

    /// Where the event ends that these bytes begin with. There is no end in the first `searched`.
    fn event_end(bytes: &[u8], searched: usize) -> Option<usize>;

    /// Whether an event that begins so might end the stream without the end that
    /// [`event_end`](Self::event_end) looks for.
    fn may_be_last(bytes: &[u8]) -> bool;

    /// Where the JSON object begins in the event that was just read, if there is exactly one and it
    /// was read to its end.
    fn object_start(&self, event: &[u8]) -> Option<usize>;
}

/// Events that are read or skipped. Both parts are kept elsewhere, so that a reader has nothing to
/// drop.
#[derive(Debug)]
pub(super) struct Events<'a, R> {
    pub(super) reader: &'a mut R,
    /// There from the first event that may repeat, or that a piece cuts.
    pub(super) filter: &'a mut Option<Box<EventFilter>>,
}

impl<R: EventReader> Events<'_, R> {
    #[inline]
    pub(super) fn feed(&mut self, mut bytes: &[u8], extractor: &mut Extractor) {
        while !bytes.is_empty() && !extractor.has_ended() {
            let read = if self.has_buffered() {
                self.resume_buffered(bytes, extractor)
            } else if !self.reader.is_between_events() {
                self.reader.read(bytes, extractor)
            } else {
                let filter = self.filter.as_deref_mut();
                let (skipped, is_cut) = filter.map_or((0, false), |filter| filter.skip(bytes));
                match &bytes[skipped..] {
                    [] => skipped,
                    rest => skipped + self.read_event(rest, is_cut, extractor),
                }
            };
            bytes = &bytes[read..];
        }
    }

    pub(super) fn finish(&mut self, extractor: &mut Extractor) {
        if self.has_buffered() {
            self.read_buffered(extractor);
        }
        self.reader.finish(extractor);
    }

    #[inline]
    fn has_buffered(&self) -> bool {
        self.filter.as_deref().is_some_and(EventFilter::has_buffered)
    }

    fn filter(&mut self) -> &mut EventFilter {
        self.filter.get_or_insert_with(|| Box::new(EventFilter::new()))
    }

    /// Reads an event that the filter does not skip, or buffers it; returns how many bytes it used.
    /// If it `is_cut`, its end is known not to be there.
    fn read_event(&mut self, bytes: &[u8], is_cut: bool, extractor: &mut Extractor) -> usize {
        let window = &bytes[..bytes.len().min(MAX_EVENT)];
        match if is_cut { None } else { R::event_end(window, 0) } {
            Some(end) => {
                self.read_whole(&bytes[..end], extractor);
                end
            }
            None if bytes.len() < MAX_EVENT && !R::may_be_last(bytes) => {
                self.filter().buffer(bytes).1.len()
            }
            None => self.reader.read(bytes, extractor),
        }
    }

    /// Reads an event that is whole, and teaches it to the filter if it changed nothing.
    fn read_whole(&mut self, event: &[u8], extractor: &mut Extractor) {
        extractor.changed = false;
        self.read_all(event, extractor);
        if !extractor.changed
            && !extractor.has_ended()
            && let Some(json) = self.reader.object_start(event)
        {
            self.filter().learn(event, json);
        }
    }

    /// Goes on with a buffered event; returns how many of these bytes it used.
    fn resume_buffered(&mut self, bytes: &[u8], extractor: &mut Extractor) -> usize {
        let Some(filter) = self.filter.as_deref_mut() else { return 0 };
        let (before, event) = filter.buffer(bytes);
        let used = event.len() - before;
        if let Some(end) = filter.skip_buffered() {
            return end.saturating_sub(before);
        }
        let event = filter.buffered();
        match R::event_end(event, before) {
            Some(end) => {
                let (event, _) = filter.take_buffered();
                self.read_whole(&event[..end], extractor);
                end.saturating_sub(before)
            }
            None if event.len() < MAX_EVENT && !R::may_be_last(event) => used,
            None => {
                self.read_buffered(extractor);
                used
            }
        }
    }

    /// Reads what is buffered, though its event is not whole.
    #[cold]
    fn read_buffered(&mut self, extractor: &mut Extractor) {
        if let Some(filter) = self.filter.as_deref_mut() {
            let (event, len) = filter.take_buffered();
            self.read_all(&event[..len], extractor);
        }
    }

    fn read_all(&mut self, mut bytes: &[u8], extractor: &mut Extractor) {
        while !bytes.is_empty() && !extractor.has_ended() {
            let read = self.reader.read(bytes, extractor);
            bytes = &bytes[read..];
        }
    }
}
