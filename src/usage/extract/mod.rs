//! Collects what a response reveals: token counts, errors, its format and its end.
//!
//! The [`Extractor`] is the [`Visitor`] of the JSON scanner: it is called for each value on a known
//! path, with the [`Action`] that the tables of [`formats`] attach to it. Its state
//! has two parts:
//!
//! - [`Extracted`] is what holds for the whole response. It is small and `Copy`, so that an event
//!   stream can note it before a frame and [roll back](Extractor::roll_back) to it if the frame's
//!   checksum is wrong.
//! - The rest belongs to the document at hand: the usage object being read, error texts, and signs
//!   that mean something only together. [`Extractor::end_document`] draws the conclusions and
//!   clears it. A document that reports no error leaves nothing behind but [`Extracted`].
//!
//! Where several usage objects appear, their [`UsageSource`] decides: a higher rank replaces a lower
//! one, and those of equal rank are merged as the source says.
//!
//! Nothing is allocated unless a text on an error's path appears; its length is bounded.

mod counts;
mod error_text;

pub(super) use self::counts::TokenCounts;
pub(super) use self::error_text::ReportedError;

use self::error_text::ErrorTexts;
use super::formats::{
    self, Accounting, Action, CountOp, Effect, ErrorPart, Flag, Format, Marker, Merge, TokenType,
    UsageSource, WordField,
};
use super::json::Visitor;

/// The rank of a text that takes the place of an error object.
const ERROR_TEXT_RANK: u8 = 4;

/// What was learned from a response so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Extractor {
    extracted: Extracted,
    error: Option<Box<ReportedError>>,
    /// The status says that the response is an error.
    is_error_status: bool,
    /// The response is a stream of events.
    pub(super) is_stream: bool,
    /// Something changed that makes an event different from those before it. Cleared before the
    /// event that is checked.
    pub(super) changed: bool,
    /// The counts of the usage object at hand.
    current: TokenCounts,
    document: Document,
    texts: Option<Box<ErrorTexts>>,
}

/// What holds for the whole response.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extracted {
    counts: TokenCounts,
    /// Where the counts were found.
    source: Option<UsageSource>,
    format: Option<Format>,
    /// The format if usage is found and nothing else names one.
    suggested_format: Option<Format>,
    /// A stream of this format ends with a marker.
    pub(super) expects_end_marker: bool,
    /// The model has finished. Usage may follow.
    pub(super) model_finished: bool,
    /// The end marker was read.
    pub(super) ended: bool,
}

impl Extracted {
    pub(super) fn counts(&self) -> &TokenCounts {
        &self.counts
    }

    /// The name of the format, if it is known.
    pub(super) fn format(&self) -> Option<&'static str> {
        let by_source = self.source.map(|source| source.format);
        let by_source = by_source.filter(|format| *format != Format::Unspecified);
        let suggested = self.suggested_format.filter(|_| self.source.is_some());
        self.format.or(by_source).or(suggested).and_then(Format::name)
    }

    /// Whether the response is of a known format.
    pub(super) fn is_recognized(&self) -> bool {
        self.format.is_some() || self.source.is_some()
    }

    #[inline]
    fn set_format(&mut self, format: Format) {
        self.format.get_or_insert(format);
    }
}

/// Signs in the document at hand, which are judged at its end.
#[derive(Clone, Copy, Debug, Default)]
struct Document {
    /// It reports a failure.
    failed: bool,
    /// The code of the failure, if the document gives none.
    code: Option<&'static str>,
    /// It reports a failure if the response is of a known format.
    fails_if_recognized: bool,
    ends_stream: bool,
    /// The value of `done`, and whether `created_at` is beside it: together they are Ollama's.
    done: Option<bool>,
    created_at: bool,
}

impl Extractor {
    #[inline]
    pub(super) fn new(is_error_status: bool) -> Self {
        Self { is_error_status, ..Self::default() }
    }

    pub(super) fn extracted(&self) -> &Extracted {
        &self.extracted
    }

    /// The failure that the response reported, or the text that goes with its error status.
    pub(super) fn error(&self) -> Option<&ReportedError> {
        self.error.as_deref()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.extracted.ended
    }

    /// Notes that the stream's end marker was read.
    pub(super) fn end_stream(&mut self) {
        self.extracted.ended = true;
    }

    /// Ends a document, or an event, and draws the conclusions.
    pub(super) fn end_document(&mut self) {
        let document = std::mem::take(&mut self.document);
        let extracted = &mut self.extracted;
        if let (Some(done), true) = (document.done, document.created_at) {
            extracted.set_format(Format::Ollama);
            extracted.expects_end_marker = true;
            extracted.ended |= done;
        }
        extracted.ended |= document.ends_stream;
        let by_status = document.fails_if_recognized && extracted.format.is_some();
        let failed = document.failed || by_status;
        let is_better = match &self.error {
            None => failed || self.is_error_status,
            // A failure that a document reports outranks a text that only goes with a status.
            Some(error) => failed && !error.reported,
        };
        if is_better {
            let texts = self.texts.get_or_insert_default();
            let code = document.code.or(by_status.then_some("failed"));
            let error = texts.take(failed, code);
            if failed || error.message.is_some() || error.code.is_some() {
                self.error = Some(Box::new(error));
            }
        } else if let Some(texts) = &mut self.texts {
            texts.clear();
        }
        self.current = TokenCounts::NONE;
    }

    /// Forgets the document at hand, and returns to what was known before it.
    pub(super) fn roll_back(&mut self, to: Extracted) {
        self.extracted = to;
        self.document = Document::default();
        self.current = TokenCounts::NONE;
        if let Some(texts) = &mut self.texts {
            texts.clear();
        }
    }

    /// Makes the document at hand a failure, with this code unless it has a better one.
    pub(super) fn fail(&mut self, code: &'static str) {
        self.changed = true;
        self.document.failed = true;
        self.document.code.get_or_insert(code);
    }

    /// Sets an error text from outside of any document. It outranks all of the document's own.
    pub(super) fn set_error_text(&mut self, part: ErrorPart, text: &[u8]) {
        let texts = self.texts.get_or_insert_default();
        texts.begin(part, u8::MAX);
        texts.push(part, text);
    }

    #[inline(never)]
    pub(super) fn apply(&mut self, effect: Effect) {
        // All events of a stream name their format; that alone makes none worth reading.
        self.changed |= !matches!(
            effect,
            Effect::SetFormat(_) | Effect::SuggestFormat(_) | Effect::StartStream(_)
        );
        match effect {
            Effect::SetFormat(format) => self.extracted.set_format(format),
            Effect::SuggestFormat(format) => self.extracted.suggested_format = Some(format),
            Effect::StartStream(format) => {
                self.extracted.set_format(format);
                self.extracted.expects_end_marker = true;
            }
            Effect::EndStream => self.document.ends_stream = true,
            Effect::FinishModel => self.extracted.model_finished = true,
            Effect::Fail(code) => self.fail(code),
            Effect::FailStream(code) => {
                self.document.ends_stream = true;
                self.fail(code);
            }
            Effect::FailIfRecognized => self.document.fails_if_recognized = true,
            Effect::DiscardUsage => self.current.discard(),
        }
    }

    /// Ends a usage object, and merges its counts with those found before.
    #[inline(never)]
    fn end_usage(&mut self, source: UsageSource) {
        let current = std::mem::replace(&mut self.current, TokenCounts::NONE);
        if current.is_empty() || current.is_discarded() {
            return;
        }
        let extracted = &mut self.extracted;
        let earlier = extracted.source.filter(|earlier| earlier.rank >= source.rank);
        let merge = match earlier {
            None => Merge::Replace,
            Some(earlier) if earlier.rank > source.rank => return,
            // Once one source merges field by field, so do all that follow it.
            Some(UsageSource { merge: Merge::PerField, .. }) => Merge::PerField,
            Some(_) => source.merge,
        };
        match merge {
            Merge::Replace => extracted.counts = current,
            Merge::PerField => extracted.counts.override_by(&current),
            Merge::Sum => extracted.counts.add(&current),
        }
        let merge = earlier.map_or(source.merge, |_| merge);
        extracted.source = Some(UsageSource { merge, ..source });
    }

    /// Takes a count that stands outside of any usage object.
    fn standalone_count(&mut self, token: TokenType, op: CountOp, source: UsageSource, value: u64) {
        self.changed = true;
        let extracted = &mut self.extracted;
        match extracted.source {
            Some(earlier) if earlier.rank > source.rank => return,
            Some(earlier) if earlier.rank == source.rank => {}
            _ => {
                extracted.counts = TokenCounts::NONE;
                extracted.source = Some(source);
            }
        }
        extracted.counts.apply(token, op, Accounting::Included, value);
    }
}

impl Visitor for Extractor {
    #[inline]
    fn begin_object(&mut self, action: Action) {
        match action {
            Action::Usage(_) => self.current = TokenCounts::NONE,
            Action::Error => self.document.failed = true,
            _ => return,
        }
        self.changed = true;
    }

    #[inline]
    fn end_object(&mut self, action: Action) {
        if let Action::Usage(source) = action {
            self.end_usage(source);
            // Bedrock adds its own metrics to the last event of a stream, and only there.
            if source.format == Format::BedrockInvoke {
                self.document.ends_stream = true;
            }
        }
    }

    #[inline]
    fn count(&mut self, token: TokenType, op: CountOp, accounting: Accounting, value: u64) {
        self.changed = true;
        self.current.apply(token, op, accounting, value);
    }

    #[inline]
    fn number(&mut self, action: Action, value: Option<u64>) {
        match (action, value) {
            (Action::Marker(_) | Action::StandaloneCount(_, CountOp::Increment, _), _) => {
                self.present(action);
            }
            (Action::StandaloneCount(token, op, source), Some(value)) => {
                self.standalone_count(token, op, source, value);
            }
            (_, Some(_)) => self.changed = true,
            (_, None) => {}
        }
    }

    #[inline]
    fn word(&mut self, field: WordField, word: Option<&[u8]>) {
        // A word longer than any known one is equal to none.
        formats::effects(field, word.unwrap_or(b"?"), |effect| self.apply(effect));
    }

    #[inline]
    fn boolean(&mut self, action: Action, value: bool) {
        // Each event of Ollama's says that it is not the last.
        self.changed |= value || !matches!(action, Action::Flag(Flag::Done));
        match action {
            Action::Flag(Flag::Done) => self.document.done = Some(value),
            Action::Flag(Flag::Success) if !value => self.document.failed = true,
            Action::Flag(Flag::IsError) if value => self.fail("isError"),
            Action::Error if value => self.document.failed = true,
            Action::Marker(_) => self.present(action),
            _ => {}
        }
    }

    #[inline]
    fn present(&mut self, action: Action) {
        match action {
            Action::StandaloneCount(token, op @ CountOp::Increment, source) => {
                self.standalone_count(token, op, source, 1);
            }
            Action::Marker(Marker::Choices) => {
                self.extracted.set_format(Format::OpenAiChat);
                self.extracted.expects_end_marker |= self.is_stream;
            }
            Action::Marker(Marker::Candidates) => {
                self.extracted.set_format(Format::Gemini);
                self.extracted.expects_end_marker |= self.is_stream;
            }
            Action::Marker(Marker::Finish) => {
                self.changed = true;
                self.extracted.model_finished = true;
            }
            Action::Marker(Marker::CreatedAt) => self.document.created_at = true,
            Action::Marker(Marker::JsonRpc) => {
                self.extracted.suggested_format = Some(Format::JsonRpc);
            }
            _ => {}
        }
    }

    #[inline]
    fn begin_text(&mut self, action: Action) {
        let (part, rank) = match action {
            Action::ErrorText(part, rank) => (part, rank),
            Action::Error => (ErrorPart::Message, ERROR_TEXT_RANK),
            _ => return,
        };
        self.changed = true;
        self.texts.get_or_insert_default().begin(part, rank);
    }

    #[inline]
    fn text(&mut self, action: Action, piece: &[u8]) {
        let part = match action {
            Action::ErrorText(part, _) => part,
            // An empty text is no error.
            Action::Error if piece.is_empty() => return,
            Action::Error => {
                self.document.failed = true;
                ErrorPart::Message
            }
            _ => return,
        };
        self.texts.get_or_insert_default().push(part, piece);
    }
}
