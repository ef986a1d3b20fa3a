//! What was found in an answer so far: figures, failures, and how far it came.

mod counts;
mod error_text;

pub(super) use self::counts::TokenCounts;
pub(super) use self::error_text::ReportedError;

use self::error_text::ErrorTexts;
use super::formats::{
    Accounting, Action, CountOp, Effect, ErrorPart, Flag, Format, Marker, Merge, TokenType,
    UsageSource, WordField, candidates,
};
use super::json::Visitor;

/// The rank of a text that stands for an error by itself.
const ERROR_TEXT_RANK: u8 = 4;

/// What was found in an answer so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Extractor {
    counts: CountPair,
    /// Where those that count were found.
    source: Option<UsageSource>,
    texts: Option<Box<ErrorTexts>>,
    error: Option<Box<ReportedError>>,
    format: Option<Format>,
    /// What it may be, if there is usage.
    suggested_format: Option<Format>,
    document: Document,
    /// Something was told since this was last cleared, beyond what is the same each time.
    pub(super) changed: bool,
    /// The answer is a stream of events.
    pub(super) is_stream: bool,
    /// The status says that the answer is an error.
    is_error_status: bool,
    /// The stream is of a kind that says when it is over.
    pub(super) expects_end_marker: bool,
    /// The model said that it is done.
    pub(super) model_finished: bool,
    /// The stream said that it is over.
    pub(super) ended: bool,
}

/// The figures that count, and those of the usage object at hand. They change places, since to move
/// what was written a moment ago takes longer.
#[derive(Clone, Debug)]
struct CountPair {
    slots: [TokenCounts; 2],
    /// The number of those that count.
    merged: bool,
}

impl Default for CountPair {
    #[inline]
    fn default() -> Self {
        Self { slots: [TokenCounts::NONE; 2], merged: false }
    }
}

impl CountPair {
    #[inline]
    fn merged(&mut self) -> &mut TokenCounts {
        &mut self.slots[usize::from(self.merged)]
    }

    /// Those of the usage object at hand.
    #[inline]
    fn current(&mut self) -> &mut TokenCounts {
        &mut self.slots[usize::from(!self.merged)]
    }
}

/// What the document at hand says, which is judged at its end.
#[derive(Clone, Copy, Debug, Default)]
struct Document {
    failed: bool,
    code: Option<&'static str>,
    fails_if_error: bool,
    ends_stream: bool,
    done: Option<bool>,
    created_at: bool,
}

impl Extractor {
    #[inline]
    pub(super) fn new(is_error_status: bool) -> Self {
        Self { is_error_status, ..Self::default() }
    }

    pub(super) fn counts(&self) -> &TokenCounts {
        &self.counts.slots[usize::from(self.counts.merged)]
    }

    pub(super) fn error(&self) -> Option<&ReportedError> {
        self.error.as_deref()
    }

    pub(super) fn format(&self) -> Option<&'static str> {
        let found =
            self.source.map(|source| source.format).filter(|format| *format != Format::Unspecified);
        let suggested = self.suggested_format.filter(|_| self.source.is_some());
        self.format.or(found).or(suggested).and_then(Format::name)
    }

    /// Whether it is known what this answer is.
    pub(super) fn is_recognised(&self) -> bool {
        self.format.is_some() || self.source.is_some()
    }

    /// A document, or an event, ends.
    pub(super) fn end_document(&mut self) {
        let document = std::mem::take(&mut self.document);
        if let (Some(done), true) = (document.done, document.created_at) {
            self.set_format(Format::Ollama);
            self.expects_end_marker = true;
            self.ended |= done;
        }
        self.ended |= document.ends_stream;
        let told = document.fails_if_error && self.format.is_some();
        let fails = document.failed || told;
        let better = match &self.error {
            None => fails || self.is_error_status,
            // What an answer reports by itself is more than what goes with a status.
            Some(error) => fails && !error.reported,
        };
        if better {
            let texts = self.texts.get_or_insert_default();
            let code = document.code.or(told.then_some("failed"));
            let error = texts.take(fails, code);
            if fails || error.message.is_some() || error.code.is_some() {
                self.error = Some(Box::new(error));
            }
        } else if let Some(texts) = &mut self.texts {
            texts.clear();
        }
        *self.counts.current() = TokenCounts::NONE;
    }

    /// The document at hand is a failure, with this code unless it tells a better one.
    pub(super) fn fail(&mut self, code: &'static str) {
        self.changed = true;
        self.document.failed = true;
        self.document.code.get_or_insert(code);
    }

    /// A text from outside any document.
    pub(super) fn set_error_text(&mut self, kind: ErrorPart, text: &[u8]) {
        let texts = self.texts.get_or_insert_default();
        texts.begin(kind, u8::MAX);
        texts.push(kind, text);
    }

    #[inline]
    fn set_format(&mut self, format: Format) {
        self.format.get_or_insert(format);
    }

    #[inline(never)]
    pub(super) fn apply(&mut self, effect: Effect) {
        self.changed |= !matches!(
            effect,
            Effect::SetFormat(_) | Effect::SuggestFormat(_) | Effect::StartStream(_)
        );
        match effect {
            Effect::SetFormat(format) => self.set_format(format),
            Effect::SuggestFormat(format) => self.suggested_format = Some(format),
            Effect::StartStream(format) => {
                self.set_format(format);
                self.expects_end_marker = true;
            }
            Effect::EndStream => self.document.ends_stream = true,
            Effect::FinishModel => self.model_finished = true,
            Effect::Fail(code) => self.fail(code),
            Effect::FailStream(code) => {
                self.document.ends_stream = true;
                self.fail(code);
            }
            Effect::FailIfError => self.document.fails_if_error = true,
        }
    }

    #[inline(never)]
    fn end_usage(&mut self, source: UsageSource) {
        if self.counts.current().is_empty() {
            return;
        }
        let earlier = self.source.filter(|earlier| earlier.rank >= source.rank);
        let merge = match earlier {
            None => Merge::Replace,
            Some(earlier) if earlier.rank > source.rank => {
                *self.counts.current() = TokenCounts::NONE;
                return;
            }
            Some(UsageSource { merge: Merge::PerField, .. }) => Merge::PerField,
            Some(_) => source.merge,
        };
        if merge == Merge::Replace {
            self.counts.merged = !self.counts.merged;
        } else {
            let current = *self.counts.current();
            match merge {
                Merge::Sum => self.counts.merged().add(&current),
                _ => self.counts.merged().override_by(&current),
            }
        }
        *self.counts.current() = TokenCounts::NONE;
        self.source =
            Some(UsageSource { merge: earlier.map_or(source.merge, |_| merge), ..source });
    }

    /// A figure that stands outside any usage object.
    fn count_standalone(&mut self, token: TokenType, op: CountOp, source: UsageSource, value: u64) {
        self.changed = true;
        match self.source {
            Some(earlier) if earlier.rank > source.rank => return,
            Some(earlier) if earlier.rank == source.rank => {}
            _ => {
                *self.counts.merged() = TokenCounts::NONE;
                self.source = Some(source);
            }
        }
        self.counts.merged().apply(token, op, Accounting::Included, value);
    }
}

/// The first eight bytes of a word, zero-padded.
#[inline]
fn head(word: &[u8]) -> u64 {
    if let Some(eight) = word.first_chunk() {
        return u64::from_le_bytes(*eight);
    }
    match (word.first_chunk(), word.last_chunk()) {
        // Two fours, which may overlap.
        (Some(first), Some(last)) => {
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            u64::from(first) | u64::from(last) << (8 * (word.len() - 4))
        }
        _ => word.iter().rev().fold(0, |head, byte| head << 8 | u64::from(*byte)),
    }
}

impl Visitor for Extractor {
    #[inline]
    fn begin_object(&mut self, action: Action) {
        match action {
            Action::Usage(_) => *self.counts.current() = TokenCounts::NONE,
            Action::Error => self.document.failed = true,
            _ => return,
        }
        self.changed = true;
    }

    #[inline]
    fn end_object(&mut self, action: Action) {
        if let Action::Usage(source) = action {
            self.end_usage(source);
            // Bedrock's own metrics are in the last event of all.
            if source.format == Format::BedrockInvoke {
                self.document.ends_stream = true;
            }
        }
    }

    #[inline]
    fn count(&mut self, token: TokenType, op: CountOp, accounting: Accounting, value: u64) {
        self.changed = true;
        self.counts.current().apply(token, op, accounting, value);
    }

    #[inline]
    fn number(&mut self, action: Action, value: Option<u64>) {
        match (action, value) {
            (Action::Marker(_) | Action::StandaloneCount(_, CountOp::Increment, _), _) => {
                self.present(action);
            }
            (Action::StandaloneCount(token, op, source), Some(value)) => {
                self.count_standalone(token, op, source, value);
            }
            (_, Some(_)) => self.changed = true,
            (_, None) => {}
        }
    }

    #[inline]
    fn word(&mut self, field: WordField, word: Option<&[u8]>) {
        let word = word.unwrap_or(b"?");
        let prefix = [head(word), head(word.get(8..).unwrap_or_default())];
        for compiled in candidates(field, word) {
            if compiled.matches(prefix, word) {
                self.apply(compiled.effect);
            }
        }
    }

    #[inline]
    fn boolean(&mut self, action: Action, value: bool) {
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
                self.count_standalone(token, op, source, 1);
            }
            Action::Marker(Marker::Choices) => {
                self.set_format(Format::OpenAiChat);
                self.expects_end_marker |= self.is_stream;
            }
            Action::Marker(Marker::Candidates) => {
                self.set_format(Format::Gemini);
                self.expects_end_marker |= self.is_stream;
            }
            Action::Marker(Marker::Finish) => {
                self.changed = true;
                self.model_finished = true;
            }
            Action::Marker(Marker::CreatedAt) => self.document.created_at = true,
            Action::Marker(Marker::JsonRpc) => self.suggested_format = Some(Format::JsonRpc),
            _ => {}
        }
    }

    #[inline]
    fn begin_text(&mut self, action: Action) {
        let (kind, rank) = match action {
            Action::ErrorText(kind, rank) => (kind, rank),
            Action::Error => (ErrorPart::Message, ERROR_TEXT_RANK),
            _ => return,
        };
        self.changed = true;
        self.texts.get_or_insert_default().begin(kind, rank);
    }

    #[inline]
    fn text(&mut self, action: Action, piece: &[u8]) {
        let kind = match action {
            Action::ErrorText(kind, _) => kind,
            // An empty text is no error.
            Action::Error if piece.is_empty() => return,
            Action::Error => {
                self.document.failed = true;
                ErrorPart::Message
            }
            _ => return,
        };
        self.texts.get_or_insert_default().push(kind, piece);
    }
}
