//! The [`Extractor`] as the [`Visitor`] of the JSON scanner: what each value on a known path does.

use super::document::Sign;
use super::error_text::{ERROR_TEXT_RANK, Saying};
use super::quoted::QuotedDocument;
use super::scopes::ScopeSign;
use super::{Extractor, LISTED_TEXT_RANK, RESPONSE_TEXT_RANK, TokenCounts};
use crate::usage::formats;
use crate::usage::formats::{
    Accounting, Action, CountOp, Effect, ErrorPart, Flag, Format, IdField, InfoField, Marker,
    TokenType, UsagePart, Word, WordField,
};
use crate::usage::json::{TEXT_BLOCK, Visitor};
use crate::usage::trace::FailureSign;

impl Extractor {
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
                self.scopes.begin(action == Action::Task);
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

impl Visitor for Extractor {
    #[inline(always)]
    fn is_traced(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.tracer.is_some())
    }

    #[cold]
    fn trace_word(&mut self, field: WordField, word: Word<'_>, path: String) {
        self.trace_word_at(field, word, path);
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
                if !self.current.is_empty() || self.current_parts.is_some() {
                    self.current_parts = None;
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
        self.begin_info_list();
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
            (Action::WebSearches, Some(value)) => {
                self.parts_mut().set_web_searches(value);
            }
            // Gemini's, if it was asked for enumerations as numbers.
            (Action::Word(field), Some(value)) if field.is_finish_reason() => {
                self.add_reason_number(value);
            }
            (Action::Response, _) => self.document.set(Sign::Result),
            _ => {}
        }
    }

    #[inline]
    fn word(&mut self, field: WordField, word: Word<'_>) {
        if matches!(field, WordField::Status | WordField::Success) {
            self.status_word(field, word);
        } else if field.is_finish_reason() {
            let mut is_reason = true;
            formats::effects(field, word, |effect| match effect {
                Effect::NoReason => is_reason = false,
                effect => self.apply(effect),
            });
            if is_reason {
                self.add_reason(word);
            }
        } else {
            formats::effects(field, word, |effect| self.apply(effect));
        }
    }

    #[inline]
    fn id(&mut self, field: IdField, bytes: &[u8; TEXT_BLOCK], len: usize) {
        self.scopes.set_id(field, bytes, len);
        if field == IdField::AnswerId {
            self.set_info(InfoField::ResponseId, bytes, len);
        }
    }

    #[inline]
    fn info(&mut self, field: InfoField, bytes: &[u8; TEXT_BLOCK], len: usize) {
        self.set_info(field, bytes, len);
    }

    #[cold]
    fn cost(&mut self, cost: Option<(u64, u8)>) {
        self.changed = true;
        let parts = self.current_parts();
        match cost {
            Some((digits, places)) => parts.set_cost(digits, places),
            None => parts.set_impossible_cost(),
        }
    }

    #[cold]
    fn part(&mut self, part: UsagePart, value: u64) {
        self.changed = true;
        self.current_parts().set(part, value);
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
                self.trace_effect(&Effect::NoSuccess, b"false");
                self.fail_without_success();
            }
            Action::Flag(Flag::IsError) if value => {
                self.trace_sign(FailureSign::Flag);
                self.fail("isError");
            }
            Action::Flag(Flag::Partial) => self.document.set_to(Sign::Partial, value),
            Action::Flag(Flag::Final) => self.document.set_to(Sign::Final, value),
            Action::Word(WordField::Success) if !value => {
                self.trace_effect(&Effect::NoSuccess, b"false");
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
                self.extracted.stated.is_rpc = true;
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
            Marker::CachePart => self.current_parts().end_listed(),
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
            Action::Id(field) => {
                if field == IdField::AnswerId {
                    self.begin_info();
                }
                return self.scopes.begin_id(field);
            }
            Action::Info(_) => return self.begin_info(),
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
            Action::Id(field) => {
                if field == IdField::AnswerId {
                    self.push_info(piece);
                }
                self.scopes.push_id(field, piece);
            }
            Action::Info(_) => self.push_info(piece),
            Action::None if self.document.has(Sign::ErrorEvent) => self.push_plain_text(piece),
            Action::None => {
                if let Some(quoted) = self.rare.as_mut().and_then(|rare| rare.quoted.as_mut()) {
                    quoted.feed(piece);
                }
            }
            _ => {}
        }
    }

    #[cold]
    fn end_text(&mut self, action: Action) {
        match action {
            Action::Info(field) => self.end_info(field),
            Action::Id(IdField::AnswerId) => self.end_info(InfoField::ResponseId),
            _ => {}
        }
    }
}
