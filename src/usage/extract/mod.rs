//! Collects what a response reveals: token counts, errors, its format, its task and its end.
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
//! | file | what it has |
//! | --- | --- |
//! | `counts` | token counts, and their conversion to a [`TokenUsage`](crate::status::TokenUsage) |
//! | `document` | signs in the document at hand, and what follows from them |
//! | `scopes` | the words that mean something in a task only, and its id |
//! | `error_text` | the texts that explain a failure |
//! | `quoted` | a document that is a text in another one |
//! | `steps` | what a tracer learns, if there is one |
//!
//! Where several usage objects appear, their [`UsageSource`] decides: a higher rank replaces a lower
//! one, and those of equal rank are merged as the source says.
//!
//! Nothing is allocated unless a text on an error's path appears; its length is bounded.

mod counts;
mod document;
mod error_text;
mod quoted;
mod scopes;
mod steps;

pub(super) use self::counts::TokenCounts;
pub(super) use self::error_text::ReportedError;

use self::document::{Document, Sign};
use self::error_text::{ERROR_TEXT_RANK, ErrorTexts, Saying};
use self::quoted::QuotedDocument;
use self::scopes::{ScopeSign, Scopes, TaskStatus};
use super::formats::{
    self, Accounting, Action, CountOp, Effect, ErrorPart, Flag, Format, IdField, Marker, Merge,
    RequestFlag, Status, TokenType, UsageSource, WordField,
};
use super::json::{ID_BLOCK, Visitor};
use super::response_head::RequestHint;
use super::rpc_status::GrpcStatus;
use super::trace::{FailureEffect, FailureSign, StatusPlace, Tracer, UsageEffect};
use crate::status::Task;

/// The rank of the text of an answer, where nothing else explains its failure.
const RESPONSE_TEXT_RANK: u8 = 20;
/// The rank of a text that is all of the data of an error's event.
const PLAIN_TEXT_RANK: u8 = 25;
/// The rank of an error in a list without texts of its own.
const LISTED_TEXT_RANK: u8 = 40;

/// What a word for the status of a task begins with in A2A 1.0.
const TASK_STATE: &[u8] = b"task_state_";

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
    scopes: Scopes,
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
    /// There was a document that is more than a sign of life.
    has_content: bool,
    /// There were choices, and one of them was not empty.
    has_choices: bool,
    has_choice: bool,
    /// There were scores: a reranking generates nothing.
    has_scores: bool,
}

impl Extracted {
    pub(super) fn counts(&self) -> &TokenCounts {
        &self.counts
    }

    /// Whether a total is the input: nothing was generated.
    pub(super) fn has_input_only(&self) -> bool {
        self.has_scores || self.suggested_format == Some(Format::OpenAiEmbeddings)
    }

    /// The name of the format, if it is known.
    #[inline]
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

    /// Whether there was no document, or none that is more than a sign of life.
    pub(super) fn has_no_content(&self) -> bool {
        !self.has_content && self.source.is_none()
    }

    /// Whether there were choices, but none that has anything in it.
    pub(super) fn has_no_choice(&self) -> bool {
        let has_output = || self.counts.get(TokenType::Output).is_some_and(|tokens| tokens > 0);
        self.has_choices && !self.has_choice && !has_output()
    }

    /// How these counts join those that are known, or why they do not.
    #[inline]
    fn merge_by(&self, current: &TokenCounts, source: UsageSource) -> Result<Merge, UsageEffect> {
        match self.source.filter(|earlier| earlier.rank >= source.rank) {
            None => Ok(Merge::Replace),
            Some(earlier) if earlier.rank > source.rank => Err(UsageEffect::IgnoredOutranked),
            // Zeros that come later are a placeholder.
            Some(_) if current.is_zero() && !self.counts.is_zero() => {
                Err(UsageEffect::IgnoredZeros)
            }
            // Once one source merges field by field, so do all that follow it.
            Some(UsageSource { merge: Merge::PerField, .. }) => Ok(Merge::PerField),
            Some(_) => Ok(source.merge),
        }
    }

    #[inline]
    fn set_format(&mut self, format: Format) {
        self.format.get_or_insert(format);
    }
}

impl Extractor {
    #[inline]
    pub(super) fn new(is_error_status: bool, hint: RequestHint) -> Self {
        Self {
            is_error_status,
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

    /// What the response says of its task.
    #[inline]
    pub(super) fn task(&self) -> Option<Task> {
        let task = self.rare.as_ref()?.task.as_ref()?;
        let waiting_for = task.waiting_for();
        (task.id.is_some() || waiting_for.is_some())
            .then(|| Task { id: task.id.clone(), waiting_for })
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

    /// Ends a document, or an event, and draws the conclusions. The bits are of the
    /// [`KeySet`](formats::KeySet)s that have all of its keys.
    #[inline]
    pub(super) fn end_document(&mut self, key_sets: u8) {
        let has_nothing_else = self.rare.is_none() && self.scopes.is_plain();
        if has_nothing_else && self.document.is_plain() && !self.is_error_status {
            self.extracted.has_content = true;
            self.scopes.clear();
            if !self.current.is_empty() {
                self.current = TokenCounts::NONE;
            }
        } else {
            self.end_unusual_document(key_sets);
        }
    }

    /// Ends a document with more than usage in it.
    #[inline(never)]
    fn end_unusual_document(&mut self, key_sets: u8) {
        if let Some(quoted) = self.rare.as_mut().and_then(|rare| rare.quoted.take()) {
            self.end_quoted(*quoted);
        }
        if let Some(source) = self.document.confirmed_source() {
            self.trace_usage(source, String::new());
            self.end_usage(source);
        }
        self.end_event_usage();
        self.end_text();
        let mut document = std::mem::take(&mut self.document);
        let extracted = &mut self.extracted;
        document.end_stream(extracted);
        if document.ends_by_done()
            && let Some(tracer) = self.tracer()
        {
            tracer.end_marker(Some("done".to_owned()), Some(b"true"));
        }
        let (task, failure) = self.scopes.finish(key_sets, document.has(Sign::Rpc));
        // The words of a list are those of its elements.
        if !document.has(Sign::List) {
            if let Some(code) = failure {
                document.set(Sign::Failed);
                self.rare().texts.set_default_code(code);
                let of_task = task.as_ref().is_some_and(|task| task.has_code(code));
                if let Some(tracer) = self.tracer() {
                    tracer.status_is_failure(code, of_task);
                }
            }
            if let Some(task) = task.filter(|_| !document.has(Sign::Step)) {
                self.set_task(task, document.has(Sign::Final));
            }
        }
        if document.has(Sign::List) && document.has(Sign::Failed) {
            let fails = document.has(Sign::FailedEvent) || self.has_streamed_list();
            document.set_to(Sign::Failed, fails);
            if !fails && let Some(tracer) = self.tracer() {
                tracer.ignore_signs(FailureEffect::IgnoredInList);
            }
        }
        let has_failed = document.has(Sign::Failed);
        document.classify_codes(key_sets);
        if document.has(Sign::Failed)
            && !has_failed
            && let Some(tracer) = self.tracer()
        {
            tracer.sign(FailureSign::Code);
        }
        let failed = document.has(Sign::Failed) && !document.has(Sign::Step);
        if failed || self.is_error_status {
            self.end_error(failed);
        } else if let Some(rare) = &mut self.rare {
            rare.texts.clear();
        }
        if let Some(tracer) = self.tracer() {
            tracer.end_document();
        }
        self.current = TokenCounts::NONE;
    }

    /// Whether a document that is a list is a stream of events in one document, as Gemini's API sends
    /// it. The errors in any other list are those of its elements: rows that were checked, log
    /// entries, trades that failed.
    #[cold]
    fn has_streamed_list(&self) -> bool {
        self.reads_list || self.extracted.format == Some(Format::Gemini)
    }

    /// Ends a document that reports a failure, or that may explain an error status.
    #[cold]
    fn end_error(&mut self, failed: bool) {
        // A failure that a document reports outranks a text that only goes with a status.
        let rare = self.rare.get_or_insert_default();
        if rare.error.as_ref().is_none_or(|error| failed && !error.reported) {
            let error = rare.texts.take(failed);
            if failed || error.message.is_some() || error.code.is_some() {
                self.changed = true;
                if let Some(tracer) = &mut rare.tracer {
                    tracer.failure(Some(&error), steps::failure_effect(&error));
                }
                rare.error = Some(error);
            }
        } else if failed && let Some(tracer) = &mut rare.tracer {
            tracer.failure(Some(&rare.texts.clone().take(true)), FailureEffect::IgnoredLater);
        }
        rare.texts.clear();
    }

    /// Ends a document that is a text in the one at hand. Its text was asked for, and may look like
    /// an error: only its figures count, and that it reports no success.
    #[cold]
    fn end_quoted(&mut self, quoted: QuotedDocument) {
        let Some((extracted, failure, inner)) = quoted.finish() else { return };
        let path = match (self.tracer(), inner) {
            (Some(tracer), Some(inner)) => tracer.take_over(*inner, failure.is_some()),
            _ => Box::default(),
        };
        if let Some(source) = extracted.source {
            self.current = extracted.counts;
            self.trace_usage(source, path.into());
            self.end_usage(source);
        }
        if let Some(failure) = failure
            && self.error().is_none()
        {
            let rare = self.rare();
            if let Some(tracer) = &mut rare.tracer {
                tracer.failure(Some(&failure), FailureEffect::Reported);
            }
            rare.error = Some(failure);
            self.changed = true;
        }
    }

    /// Notes where the task stands.
    #[cold]
    fn set_task(&mut self, mut task: TaskStatus, is_final: bool) {
        self.changed = true;
        match task.status {
            // The stream of a task ends by itself once the task has ended or waits for somebody.
            Some(Status::Waiting(crate::status::WaitingFor::Task))
                if self.is_stream && !is_final =>
            {
                self.extracted.expects_end_marker = true;
                self.extracted.model_finished = false;
            }
            _ => self.extracted.model_finished |= self.is_stream,
        }
        let rare = self.rare.get_or_insert_default();
        if let Some(known) = &rare.task {
            task.id = task.id.or_else(|| known.id.clone());
        }
        let status = task.status;
        rare.task = Some(task);
        if self.is_traced() {
            let task = self.task();
            if let Some(tracer) = self.tracer() {
                tracer.task(status, task);
            }
        }
    }

    /// Forgets the document at hand, and returns to what was known before it.
    pub(super) fn roll_back(&mut self, to: Extracted) {
        self.extracted = to;
        self.document = Document::default();
        self.scopes.clear();
        self.current = TokenCounts::NONE;
        if let Some(rare) = &mut self.rare {
            rare.pending = None;
            rare.texts.clear();
            if let Some(tracer) = &mut rare.tracer {
                tracer.roll_back();
            }
        }
    }

    /// Forgets everything but the failure that a whole document reported.
    pub(super) fn keep_only_error(&mut self) {
        let rare = self.rare.take();
        let Self { is_error_status, reads_quoted, reads_list, .. } = *self;
        *self = Self { is_error_status, reads_quoted, reads_list, ..Self::default() };
        let Some(Rare { error, mut tracer, .. }) = rare.map(|rare| *rare) else { return };
        if let Some(tracer) = &mut tracer {
            tracer.keep_only_failures();
        }
        if error.is_some() || tracer.is_some() {
            *self.rare() = Rare { error, tracer, ..Rare::default() };
        }
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
    pub(super) fn apply(&mut self, effect: Effect) {
        match effect {
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
        }
        self.changed = true;
    }

    /// A word that names a status, in any spelling.
    #[cold]
    fn status_word(&mut self, field: WordField, word: &[u8]) {
        let normalized = normalized(word);
        let mut word = normalized.get(..word.len()).unwrap_or(&normalized);
        if field == WordField::Status {
            let scope = self.scopes.innermost();
            scope.set(ScopeSign::Status);
            scope.status = None;
            if let Some(state) = word.strip_prefix(TASK_STATE) {
                scope.set(ScopeSign::Task);
                self.extracted.set_format(Format::A2a);
                word = state;
            }
        }
        formats::effects(field, word, |effect| self.apply(effect));
    }

    /// Ends a usage object, and merges its counts with those found before.
    #[inline(never)]
    fn end_usage(&mut self, source: UsageSource) {
        // Bedrock adds its own metrics to the last event of a stream, and only there.
        if source.format == Format::BedrockInvoke {
            self.document.set(Sign::EndsStream);
        }
        let current = std::mem::replace(&mut self.current, TokenCounts::NONE);
        if current.is_empty() || current.is_discarded() {
            return;
        }
        if source.merge == Merge::SumOfEvents {
            // Whether its document is an event of a call is known at the end of both.
            self.end_event_usage();
            self.rare().pending = Some((current, source));
            if let Some(tracer) = self.tracer() {
                tracer.defer_usage();
            }
            return;
        }
        self.merge(current, source);
    }

    /// Merges the counts of an event that may be one call of a model.
    fn end_event_usage(&mut self) {
        let pending = self.rare.as_mut().and_then(|rare| rare.pending.take());
        let Some((counts, source)) = pending else { return };
        if let Some(tracer) = self.tracer() {
            tracer.resume_usage();
        }
        let merge = match self.document.has_invocation() {
            false => Some(Merge::Replace),
            true if self.document.has(Sign::Partial) => None,
            true => {
                self.extracted.set_format(Format::Adk);
                Some(Merge::Sum)
            }
        };
        if let Some(merge) = merge {
            let source = UsageSource { merge, ..source };
            self.trace_merge(&counts, source);
            self.merge(counts, source);
        } else if let Some(tracer) = self.tracer() {
            tracer.usage(source.format, &counts, UsageEffect::IgnoredPartial);
        }
        if let Some(tracer) = self.tracer() {
            tracer.resume_usage();
        }
    }

    #[inline]
    fn merge(&mut self, current: TokenCounts, source: UsageSource) {
        let extracted = &mut self.extracted;
        let earlier = extracted.source.filter(|earlier| earlier.rank >= source.rank);
        let Ok(merge) = extracted.merge_by(&current, source) else { return };
        match merge {
            Merge::Replace | Merge::SumOfEvents => extracted.counts = current,
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

    /// Counts an element of an array.
    #[inline(never)]
    fn count_element(&mut self, token: TokenType, source: UsageSource) {
        let op = CountOp::Increment;
        if self.is_traced() {
            self.trace_action(Action::StandaloneCount(token, op, source));
            self.trace_count(token, source, 1);
        }
        self.standalone_count(token, op, source, 1);
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

    /// An object begins that is no usage.
    #[inline(never)]
    fn begin_other_object(&mut self, action: Action) {
        match action {
            Action::Error | Action::ListedError => {
                self.changed = true;
                self.end_text();
                self.document.begin_error(action == Action::ListedError);
            }
            Action::Response | Action::Task => {
                self.end_text();
                self.scopes.begin();
            }
            Action::Word(WordField::Status) => {
                self.scopes.innermost().set(ScopeSign::StatusObject);
            }
            _ => {}
        }
    }

    /// An object ends that is no usage.
    #[inline(never)]
    fn end_other_object(&mut self, action: Action, key_sets: u8) {
        match action {
            Action::Response | Action::Task => {
                self.end_text();
                self.document.note_result(key_sets);
                if let Some(code) = self.scopes.end(key_sets)
                    && !self.document.has(Sign::List)
                {
                    if let Some(tracer) = self.tracer() {
                        tracer.status_is_failure(code, false);
                    }
                    self.fail(code);
                }
            }
            Action::Error | Action::ListedError => {
                self.end_text();
                self.document.end_error();
            }
            _ => {}
        }
    }
}

/// A word in small letters, with `_` for `-`, as far as any known one is long.
fn normalized(word: &[u8]) -> [u8; 40] {
    let mut normalized = [0; 40];
    for (to, byte) in normalized.iter_mut().zip(word) {
        *to = if *byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
    }
    normalized
}

impl Visitor for Extractor {
    #[inline(always)]
    fn is_traced(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.tracer.is_some())
    }

    #[cold]
    fn trace_word(&mut self, field: WordField, word: Option<&[u8]>, path: String) {
        self.trace_word_at(field, word.unwrap_or(b"?"), path);
    }

    #[cold]
    fn trace_value(&mut self, _: Action, path: String) {
        if let Some(tracer) = self.tracer() {
            tracer.at(path);
        }
    }

    #[cold]
    fn trace_end(&mut self, action: Action, path: String) {
        if let Action::Usage(source) = action {
            self.trace_usage_object(source, path);
        }
    }

    #[inline]
    fn begin_object(&mut self, action: Action) {
        match action {
            Action::Usage(_) => {
                self.changed = true;
                if !self.current.is_empty() {
                    self.current = TokenCounts::NONE;
                }
            }
            Action::Marker(_) => self.present(action),
            action => self.begin_other_object(action),
        }
    }

    #[inline]
    fn end_object(&mut self, action: Action, key_sets: u8) {
        if let Action::Usage(source) = action {
            self.end_usage(source);
        } else {
            self.end_other_object(action, key_sets);
        }
    }

    fn begin_list(&mut self) {
        self.document.set(Sign::List);
    }

    #[inline]
    fn count(&mut self, token: TokenType, op: CountOp, accounting: Accounting, value: u64) {
        self.changed = true;
        self.current.apply(token, op, accounting, value);
    }

    #[inline]
    fn number(&mut self, action: Action, value: Option<u64>) {
        match (action, value) {
            (Action::Marker(_), _) => self.present(action),
            (Action::StandaloneCount(token, op, source), Some(value)) => {
                if self.is_traced() {
                    self.trace_count(token, source, value);
                }
                self.standalone_count(token, op, source, value);
            }
            (Action::Code(field), value) => self.document.numeric_code(field, value),
            (Action::Id(field), Some(value)) => self.scopes.set_number_id(field, value),
            (Action::Response, _) => self.document.set(Sign::Result),
            _ => {}
        }
    }

    #[inline]
    fn word(&mut self, field: WordField, word: Option<&[u8]>) {
        // A word longer than any known one is equal to none.
        let word = word.unwrap_or(b"?");
        if matches!(field, WordField::Status | WordField::Success) {
            self.status_word(field, word);
        } else {
            formats::effects(field, word, |effect| self.apply(effect));
        }
    }

    #[inline]
    fn id(&mut self, field: IdField, bytes: &[u8; ID_BLOCK], len: usize) {
        self.scopes.set_id(field, bytes, len);
    }

    #[inline]
    fn boolean(&mut self, action: Action, value: bool) {
        match action {
            // Each event of Ollama's says that it is not the last.
            Action::Flag(Flag::Done) => {
                self.changed |= value;
                self.document.set(Sign::HasDone);
                self.document.set_to(Sign::Done, value);
            }
            Action::Flag(Flag::Ok) if !value => {
                self.trace_effect(Effect::NoSuccess, b"false");
                self.fail_without_success();
            }
            Action::Flag(Flag::IsError) if value => {
                self.trace_sign(FailureSign::Flag);
                self.fail("isError");
            }
            Action::Flag(Flag::Partial) => self.document.set_to(Sign::Partial, value),
            Action::Flag(Flag::Final) => self.document.set_to(Sign::Final, value),
            Action::Word(WordField::Success) if !value => {
                self.trace_effect(Effect::NoSuccess, b"false");
                self.fail_by_success();
            }
            Action::Error if value => {
                self.trace_sign(FailureSign::Flag);
                self.changed = true;
                self.document.set(Sign::Failed);
            }
            Action::Response => self.document.set(Sign::Result),
            Action::Marker(_) => {
                self.changed = true;
                self.present(action);
            }
            _ => {}
        }
    }

    #[inline]
    fn present(&mut self, action: Action) {
        let marker = match action {
            Action::Marker(marker) => marker,
            Action::StandaloneCount(token, CountOp::Increment, source) => {
                return self.count_element(token, source);
            }
            // A list.
            Action::Response => {
                self.document.set(Sign::Result);
                return;
            }
            _ => return,
        };
        match marker {
            Marker::Choices => {
                self.extracted.set_format(Format::OpenAiChat);
                self.extracted.expects_end_marker |= self.is_stream;
                self.extracted.has_choices = true;
            }
            Marker::Choice => self.extracted.has_choice = true,
            Marker::Candidates => {
                self.extracted.set_format(Format::Gemini);
                self.extracted.expects_end_marker |= self.is_stream;
            }
            Marker::Finish => {
                self.changed = true;
                self.extracted.model_finished = true;
            }
            Marker::CreatedAt => self.document.set(Sign::CreatedAt),
            Marker::JsonRpc => {
                self.document.set(Sign::Rpc);
                self.extracted.suggested_format = Some(Format::JsonRpc);
            }
            Marker::Failure => self.fail_by_marker(),
            Marker::MarketCost => self.current.exclude_reasoning_from_total(),
            Marker::Score => self.extracted.has_scores = true,
            Marker::UrlsGet => {
                self.scopes.innermost().set(ScopeSign::TaskWithStatus);
                self.extracted.set_format(Format::Replicate);
            }
            Marker::Author => self.document.set(Sign::Author),
            Marker::InvocationId => self.document.set(Sign::InvocationId),
            Marker::LogId => self.document.set(Sign::LogId),
            Marker::WorkflowRunId => self.document.confirmed_format = Some(Format::Dify),
            Marker::ResultFinish => self.document.confirmed_format = Some(Format::KoboldCpp),
        }
    }

    #[inline]
    fn begin_text(&mut self, action: Action) {
        let message = ErrorPart::Message;
        match action {
            Action::ErrorText(part, rank) => self.begin_error_text(part, rank, Saying::Part(part)),
            Action::Code(field) => {
                self.begin_error_text(ErrorPart::Code, field.rank(), Saying::Code(field));
            }
            Action::Error => self.begin_error_text(message, ERROR_TEXT_RANK, Saying::Error),
            Action::ListedError => {
                self.begin_error_text(message, LISTED_TEXT_RANK, Saying::ListedError);
            }
            Action::Response => {
                self.document.set(Sign::Result);
                self.begin_error_text(message, RESPONSE_TEXT_RANK, Saying::Nothing);
            }
            Action::Id(field) => return self.scopes.begin_id(field),
            // The document is a text.
            Action::None if self.document.has(Sign::ErrorEvent) => self.begin_plain_text(),
            Action::None if self.reads_quoted => {
                let quoted = QuotedDocument::new(self.is_traced());
                self.rare().quoted = Some(Box::new(quoted));
                return;
            }
            _ => return,
        }
        if let Some(tracer) = self.tracer() {
            tracer.begin_text();
        }
    }

    #[inline]
    fn text(&mut self, action: Action, piece: &[u8]) {
        match action {
            Action::ErrorText(part, _) => self.error_text(part, piece),
            Action::Code(_) => self.error_text(ErrorPart::Code, piece),
            Action::Error | Action::ListedError | Action::Response => {
                self.error_text(ErrorPart::Message, piece);
            }
            Action::Id(field) => self.scopes.push_id(field, piece),
            Action::None if self.document.has(Sign::ErrorEvent) => self.push_plain_text(piece),
            Action::None => {
                if let Some(quoted) = self.rare.as_mut().and_then(|rare| rare.quoted.as_mut()) {
                    quoted.feed(piece);
                }
            }
            _ => {}
        }
    }
}
