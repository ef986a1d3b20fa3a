//! What follows from a document, once all of it was read.

use super::document::{Document, Sign};
use super::quoted::QuotedDocument;
use super::scopes::TaskStatus;
use super::steps;
use super::{Extracted, Extractor, Rare, TokenCounts, UsageParts};
use crate::usage::formats::{Format, Status};
use crate::usage::json::Visitor as _;
use crate::usage::trace::{FailureEffect, FailureSign};

impl Extractor {
    /// Ends a document, or an event, and draws the conclusions. The bits are of the
    /// [`KeySet`](crate::usage::formats::KeySet)s that have all of its keys.
    #[inline]
    pub(in crate::usage) fn end_document(&mut self, key_sets: u8) {
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
    pub(super) fn end_unusual_document(&mut self, key_sets: u8) {
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
        self.current_parts = None;
    }

    /// Whether a document that is a list is a stream of events in one document, as Gemini's API sends
    /// it. The errors in any other list are those of its elements: rows that were checked, log
    /// entries, trades that failed.
    #[cold]
    pub(super) fn has_streamed_list(&self) -> bool {
        self.reads_list || self.extracted.format == Some(Format::Gemini)
    }

    /// Ends a document that reports a failure, or that may explain an error status.
    #[cold]
    pub(super) fn end_error(&mut self, failed: bool) {
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
    pub(super) fn end_quoted(&mut self, quoted: QuotedDocument) {
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
    pub(super) fn set_task(&mut self, mut task: TaskStatus, is_final: bool) {
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
    pub(in crate::usage) fn roll_back(&mut self, to: Extracted, parts: Option<UsageParts>) {
        self.extracted = to;
        if std::mem::take(&mut self.parts_changed) {
            self.parts = parts;
        }
        self.document = Document::default();
        self.scopes.clear();
        self.current = TokenCounts::NONE;
        self.current_parts = None;
        if let Some(rare) = &mut self.rare {
            rare.pending = None;
            rare.texts.clear();
            if let Some(tracer) = &mut rare.tracer {
                tracer.roll_back();
            }
        }
    }

    /// Forgets everything but the failure that a whole document reported.
    pub(in crate::usage) fn keep_only_error(&mut self) {
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
}
