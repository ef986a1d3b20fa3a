//! Collects what a response reveals: token counts, errors, its format, its task and its end.
//!
//! The [`Extractor`] is the [`Visitor`](super::json::Visitor) of the JSON scanner: it is called for each value on a known
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
//! | file | what it has |
//! | --- | --- |
//! | `extracted` | what holds for the whole response |
//! | `visitor` | what each value on a known path does |
//! | `conclusions` | what follows from a document, once all of it was read |
//! | `merge` | how usage objects join those found before |
//! | `counts` | token counts as they are reported; `counts/normalize`: their conversion to a [`TokenUsage`](crate::status::TokenUsage) |
//! | `usage_parts` | figures that few usage objects have: a cost, how long a cache is kept |
//! | `document` | signs in the document at hand, and what follows from them |
//! | `info` | what the answer says of itself beside its usage: its model, its id, why it stopped |
//! | `scopes` | the words that mean something in a task only, and its id |
//! | `error_text` | the texts that explain a failure |
//! | `quoted` | a document that is a text in another one |
//! | `steps` | what a tracer learns, if there is one |
//!
//! Where several usage objects appear, their [`UsageSource`] decides: a higher rank replaces a lower
//! one, and those of equal rank are merged as the source says. Zeros never replace other figures.
//!
//! Nothing is allocated for an answer of usage, a format and an id of up to 40 bytes. The texts of
//! errors, longer ids, objects that wrap an answer, tasks, ADK's events and quoted documents take a
//! few allocations, whose sizes are bounded.

mod conclusions;
mod counts;
mod document;
mod error_text;
mod extracted;
mod info;
mod merge;
mod quoted;
mod scopes;
mod steps;
mod usage_parts;
mod visitor;

pub(super) use self::counts::TokenCounts;
pub(super) use self::error_text::ReportedError;
pub(super) use self::extracted::Extracted;
pub(super) use self::usage_parts::UsageParts;

use self::document::{Document, Sign};
use self::error_text::{ErrorTexts, Saying};
use self::info::{InfoTexts, RareTexts, Stated};
use self::quoted::QuotedDocument;
use self::scopes::{ScopeSign, Scopes, StatusWord, TaskStatus};
use super::formats::{
    self, Action, Effect, ErrorPart, Format, Marker, RequestFlag, UsageSource, Word, WordField,
};
use super::response_head::RequestFlags;
use super::rpc_status::GrpcStatus;
use super::trace::{FailureSign, StatusPlace, Tracer};
use crate::status::Task;

/// The rank of the text of an answer, where nothing else explains its failure.
const RESPONSE_TEXT_RANK: u8 = 20;
/// The rank of a text that is all of the data of an error's event.
const PLAIN_TEXT_RANK: u8 = 25;
/// The rank of an error in a list without texts of its own.
const LISTED_TEXT_RANK: u8 = 40;

/// What was learned from a response so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Extractor {
    extracted: Extracted,
    /// The status says that the response is an error.
    is_error_status: bool,
    /// A document may be a text in another one.
    reads_quoted: bool,
    /// The response is a model's, whose events may come as one list.
    reads_list: bool,
    /// The response is a stream of events.
    pub(super) is_stream: bool,
    /// Something changed that makes an event different from those before it. Cleared before the
    /// event that is checked.
    pub(super) changed: bool,
    document: Document,
    /// The counts of the usage object at hand.
    current: TokenCounts,
    /// What else it tells.
    current_parts: Option<UsageParts>,
    /// What else the usage objects tell whose counts were extracted. Few have any of it, so that it is no
    /// part of what is copied for each frame.
    parts: Option<UsageParts>,
    /// Whether it has changed since it was noted.
    parts_changed: bool,
    scopes: Scopes,
    info: InfoTexts,
    rare: Option<Box<Rare>>,
}

/// What most responses do not have.
#[derive(Clone, Debug, Default)]
struct Rare {
    error: Option<ReportedError>,
    /// The task that the response belongs to, as the last document tells it.
    task: Option<TaskStatus>,
    texts: ErrorTexts,
    /// Counts that are merged once it is known whether their document is the event of a call.
    pending: Option<(TokenCounts, UsageSource)>,
    quoted: Option<Box<QuotedDocument>>,
    tracer: Option<Box<Tracer>>,
    info: RareTexts,
}

impl Rare {
    #[cold]
    fn task(&self) -> Option<Task> {
        let task = self.task.as_ref()?;
        let waiting_for = task.waiting_for();
        (task.id.is_some() || waiting_for.is_some())
            .then(|| Task { id: task.id.clone(), waiting_for })
    }
}

impl Extractor {
    #[inline]
    pub(super) fn new(is_error_status: bool, hint: RequestFlags, is_stream: bool) -> Self {
        Self {
            is_error_status,
            is_stream,
            reads_quoted: hint.has(RequestFlag::AgentRuntime),
            reads_list: hint.has(RequestFlag::Model),
            ..Self::default()
        }
    }

    pub(super) fn extracted(&self) -> &Extracted {
        &self.extracted
    }

    /// The failure that the response reported, or the text that goes with its error status.
    #[inline]
    pub(super) fn error(&self) -> Option<&ReportedError> {
        self.rare.as_ref()?.error.as_ref()
    }

    #[inline]
    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    #[cold]
    fn current_parts(&mut self) -> &mut UsageParts {
        self.current_parts.get_or_insert_default()
    }

    /// What the usage objects tell besides their counts, to be changed.
    #[cold]
    fn parts_mut(&mut self) -> &mut UsageParts {
        self.parts_changed = true;
        self.parts.get_or_insert_default()
    }

    /// What the usage objects tell besides their counts.
    #[inline]
    pub(super) fn parts(&self) -> Option<&UsageParts> {
        self.parts.as_ref()
    }

    /// Notes the same, if it has changed since it was noted.
    #[inline]
    pub(super) fn note_parts(&mut self, noted: &mut Option<UsageParts>) {
        if self.parts_changed {
            *noted = self.parts;
            self.parts_changed = false;
        }
    }

    /// The same as it was noted.
    #[cold]
    pub(super) fn noted_parts<'a>(
        &'a self,
        noted: &'a Option<UsageParts>,
    ) -> Option<&'a UsageParts> {
        if self.parts_changed { noted.as_ref() } else { self.parts() }
    }

    /// What the response says of its task.
    #[inline(always)]
    pub(super) fn task(&self) -> Option<Task> {
        self.rare.as_ref()?.task()
    }

    /// Whether there is an answer, which reports no failure and has no task, and is not the beginning
    /// of a stream.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.rare.is_none() && self.extracted.is_plain()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.extracted.ended
    }

    /// Notes that the stream's end marker was read.
    pub(super) fn end_stream(&mut self) {
        self.extracted.ended = true;
    }

    /// Notes that the stream's end marker was read, which is this text.
    pub(super) fn end_stream_by(&mut self, marker: &'static str) {
        self.end_stream();
        if let Some(tracer) = self.tracer() {
            tracer.end_marker(None, Some(marker.as_bytes()));
        }
    }

    /// Takes back that the end marker was read; returns whether it was.
    pub(super) fn take_end(&mut self) -> bool {
        std::mem::take(&mut self.extracted.ended)
    }

    /// Notes that there is content that is not read as a document.
    pub(super) fn note_content(&mut self) {
        self.extracted.has_content = true;
    }

    /// Notes that the event at hand carries nothing.
    pub(super) fn mark_ping(&mut self) {
        self.document.set(Sign::Ping);
    }

    /// Ends a message of a stream that has an end of its own, which no message takes the place of.
    pub(super) fn end_message(&mut self, key_sets: u8) {
        self.end_document(key_sets);
        if self.take_end() {
            self.extracted.model_finished = true;
        }
    }

    /// Ends the stream with a document that may report an error, whose code may have a class of
    /// its own.
    pub(super) fn end_stream_with(
        &mut self,
        key_sets: u8,
        class: fn(&str) -> Option<&'static str>,
    ) {
        let is_first = !self.error().is_some_and(|error| error.reported);
        self.end_document(key_sets);
        self.end_stream();
        let error = self.rare.as_mut().and_then(|rare| rare.error.as_mut());
        if let Some(error) = error.filter(|error| is_first && error.reported) {
            error.class = error.code.as_deref().and_then(class);
        }
    }

    /// Ends the call with the status that the protocol tells. A failure outranks what messages
    /// report.
    #[cold]
    pub(super) fn end_call(&mut self, status: GrpcStatus, place: StatusPlace) {
        if let Some(error) = status.into_error() {
            self.rare().error = Some(error);
            self.trace_failure(FailureSign::ProtocolStatus(place));
        }
        self.end_stream();
    }

    /// Makes the call a failure whatever its documents say. Their texts explain it.
    pub(super) fn fail_call(&mut self) {
        let none = ReportedError { code: None, message: None, reported: true, class: None };
        self.rare().error.get_or_insert(none).reported = true;
        self.trace_failure(FailureSign::Header);
    }

    /// Makes the event at hand a failure, whatever its document is.
    pub(super) fn fail_event(&mut self, code: &'static str) {
        self.document.set(Sign::FailedEvent);
        if let Some(tracer) = self.tracer() {
            tracer.sign(FailureSign::Event);
        }
        self.fail(code);
    }

    /// Makes the document at hand a failure, with this code unless it has a better one.
    fn fail(&mut self, code: &'static str) {
        self.changed = true;
        self.document.set(Sign::Failed);
        self.rare().texts.set_default_code(code);
    }

    /// Sets an error text from outside of any document. It outranks all of the document's own.
    pub(super) fn set_error_text(&mut self, part: ErrorPart, text: &[u8]) {
        let texts = &mut self.rare().texts;
        texts.begin(part, u8::MAX, Saying::Nothing);
        texts.push(part, text);
    }

    /// If the document at hand is a text, it is that of an error.
    pub(super) fn take_root_text(&mut self) {
        self.document.set(Sign::ErrorEvent);
    }

    /// Begins a document that is no JSON, and is the text of an error.
    pub(super) fn begin_plain_text(&mut self) {
        self.begin_error_text(ErrorPart::Message, PLAIN_TEXT_RANK, Saying::Nothing);
    }

    /// Takes a piece of the document that is no JSON.
    pub(super) fn push_plain_text(&mut self, piece: &[u8]) {
        self.error_text(ErrorPart::Message, piece);
    }

    #[inline(never)]
    pub(super) fn apply(&mut self, effect: &Effect) {
        match *effect {
            // All events of a stream name their format; that alone makes none worth reading.
            Effect::SetFormat(format) => return self.extracted.set_format(format),
            Effect::SuggestFormat(format) => {
                self.extracted.suggested_format = Some(format);
                return;
            }
            Effect::StartStream(format) => {
                self.extracted.set_format(format);
                self.extracted.expects_end_marker = true;
                return;
            }
            Effect::ExpectEnd(format) => {
                self.extracted.suggested_format.get_or_insert(format);
                self.extracted.expects_end_marker |= self.is_stream;
                return;
            }
            Effect::Ping => return self.document.set(Sign::Ping),
            Effect::Step => return self.document.set(Sign::Step),
            Effect::EndStream => self.document.set(Sign::EndsStream),
            Effect::FinishModel => self.extracted.model_finished = true,
            Effect::Fail(code) => self.fail(code),
            Effect::NoSuccess => self.fail_by_success(),
            Effect::FailStream(code) => {
                self.document.set(Sign::EndsStream);
                self.fail(code);
            }
            Effect::Task => self.scopes.innermost().set(ScopeSign::Task),
            Effect::TaskOfA2a => self.scopes.innermost().set(ScopeSign::TaskOfA2a),
            Effect::Status(status) => self.scopes.innermost().status = Some(status),
            Effect::ConfirmUsage(format) => self.document.confirmed_format = Some(format),
            Effect::DiscardUsage => self.current.discard(),
            Effect::CachePart(part) => self.current_parts().set_lifetime(part),
            Effect::NoReason => return,
        }
        self.changed = true;
    }

    /// A word that names a status, in any spelling.
    #[cold]
    fn status_word(&mut self, field: WordField, word: Word<'_>) {
        let status = StatusWord::new(field, word.as_bytes());
        if field == WordField::Status {
            let scope = self.scopes.innermost();
            scope.set(ScopeSign::Status);
            scope.status = None;
            if status.is_of_a2a {
                scope.set(ScopeSign::Task);
                self.extracted.set_format(Format::A2a);
            }
        }
        formats::effects(field, status.word(), |effect| self.apply(effect));
    }

    /// A text begins that may be that of an error.
    #[inline(never)]
    fn begin_error_text(&mut self, part: ErrorPart, rank: u8, saying: Saying) {
        self.end_text();
        self.rare().texts.begin(part, rank, saying);
    }

    /// The text at hand ends, if there is one.
    fn end_text(&mut self) {
        if let Some(rare) = &mut self.rare
            && let Some(saying) = rare.texts.end_text()
        {
            let has_failed = self.document.has(Sign::Failed);
            if self.document.told(saying) {
                self.scopes.innermost().set(ScopeSign::ErrorText);
            }
            if self.document.has(Sign::Failed)
                && !has_failed
                && let Some(tracer) = &mut rare.tracer
            {
                tracer.text_is_error();
            }
        }
    }

    /// A piece of a text that may be that of an error.
    #[inline(never)]
    fn error_text(&mut self, part: ErrorPart, piece: &[u8]) {
        self.rare().texts.push(part, piece);
    }

    /// There is something that only a failure has.
    #[cold]
    #[inline(never)]
    fn fail_by_marker(&mut self) {
        self.trace_action(Action::Marker(Marker::Failure));
        self.trace_sign(FailureSign::Present);
        self.fail("failed");
    }

    /// The answer says that there was no success. Of a text that is quoted, this alone counts.
    fn fail_by_success(&mut self) {
        self.document.set(Sign::NoSuccess);
        self.fail_without_success();
    }

    /// The answer is no success. What the elements of a list say of themselves is no matter.
    fn fail_without_success(&mut self) {
        if !self.document.has(Sign::List) {
            self.changed = true;
            self.document.set(Sign::Failed);
        }
    }
}
