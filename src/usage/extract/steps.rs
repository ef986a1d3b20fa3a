//! What a [`Tracer`] learns from the extractor, if there is one.
//!
//! An extractor without one looks for it once per usage object, failure, or document with more than
//! usage in it, and never for a key. Paths become texts for a tracer alone.

use super::document::Sign;
use super::error_text::ReportedError;
use super::{Extracted, Extractor, StatusWord, TokenCounts};
use crate::usage::formats::{
    Accounting, Action, CountOp, Effect, Format, Merge, TokenType, UsageSource, Word, WordField,
    effects, path_of,
};
use crate::usage::trace::{FailureEffect, FailureSign, Tracer, UsageEffect};

impl Extractor {
    /// Writes a trace from here on.
    pub(in crate::usage) fn enable_trace(&mut self) {
        self.rare().tracer = Some(Box::default());
    }

    #[inline]
    pub(in crate::usage) fn tracer(&mut self) -> Option<&mut Tracer> {
        self.rare.as_mut()?.tracer.as_deref_mut()
    }

    /// What is reported next is at the end of this path of the tables.
    #[cold]
    pub(super) fn trace_action(&mut self, action: Action) {
        if let Some(tracer) = self.tracer() {
            tracer.at(path_of(action).to_owned());
        }
    }

    /// The value at hand says that there is a failure.
    #[cold]
    pub(super) fn trace_sign(&mut self, sign: fn(Box<str>) -> FailureSign) {
        if let Some(tracer) = self.tracer() {
            tracer.sign_here(sign);
        }
    }

    /// A word is about to be read, which is there.
    #[cold]
    pub(super) fn trace_word_at(&mut self, field: WordField, word: Word<'_>, path: String) {
        let Some(tracer) = self.tracer() else { return };
        tracer.at(path);
        let text = word.as_bytes();
        if !matches!(field, WordField::Status | WordField::Success) {
            return effects(field, word, |effect| self.trace_effect(effect, text));
        }
        let status = StatusWord::new(field, text);
        effects(field, status.word(), |effect| self.trace_effect(effect, text));
    }

    /// The word at hand is about to have this effect.
    #[cold]
    pub(super) fn trace_effect(&mut self, effect: &Effect, word: &[u8]) {
        let is_list = self.document.has(Sign::List);
        let Some(tracer) = self.tracer() else { return };
        match *effect {
            Effect::EndStream => tracer.end_marker_here(Some(word)),
            Effect::Fail(_) => tracer.word_is_failure(word),
            Effect::FailStream(_) => {
                tracer.end_marker_here(Some(word));
                tracer.word_is_failure(word);
            }
            Effect::NoSuccess if !is_list => tracer.sign_here(FailureSign::NoSuccess),
            Effect::Status(status) => tracer.status(status, word),
            _ => {}
        }
    }

    /// A usage object is about to end, which is there.
    #[cold]
    pub(super) fn trace_usage_object(&mut self, source: UsageSource, path: String) {
        if source.format == Format::BedrockInvoke
            && let Some(tracer) = self.tracer()
        {
            tracer.at(path.clone());
            tracer.end_marker_here(None);
        }
        self.trace_usage(source, path);
    }

    /// The counts at hand are about to be used.
    #[cold]
    pub(super) fn trace_usage(&mut self, source: UsageSource, path: String) {
        let counts = self.current;
        let Some(tracer) = self.tracer() else { return };
        tracer.end_usage(path);
        if counts.is_empty() {
            tracer.usage(source.format, &counts, UsageEffect::Empty);
        } else if counts.is_discarded() {
            tracer.usage(source.format, &counts, UsageEffect::IgnoredNotTokens);
        } else if source.merge != Merge::SumOfEvents {
            self.trace_merge(&counts, source);
        }
    }

    /// Counts are about to be merged with those that are known.
    #[cold]
    pub(super) fn trace_merge(&mut self, counts: &TokenCounts, source: UsageSource) {
        let Extracted { source: known, counts: earlier, .. } = self.extracted;
        let merge = self.extracted.merge_by(counts, source);
        let Some(tracer) = self.tracer() else { return };
        let effect = match merge {
            Err(effect) => effect,
            Ok(Merge::Replace | Merge::SumOfEvents) => match known {
                None => UsageEffect::Counted,
                Some(known) if known.rank < source.rank => UsageEffect::Outranked,
                Some(_) => UsageEffect::Replaced,
            },
            Ok(Merge::PerField) => UsageEffect::Merged,
            Ok(Merge::Sum) => UsageEffect::Added,
        };
        tracer.usage(source.format, counts, effect);
        if effect == UsageEffect::Added {
            for counts in [&earlier, counts] {
                counts.normalized_by(|| false, &mut |rule| tracer.note_rule(rule));
            }
        }
    }

    /// A count that stands outside of any usage object is about to be taken.
    #[cold]
    pub(super) fn trace_count(&mut self, token: TokenType, source: UsageSource, value: u64) {
        let known = self.extracted.source;
        let Some(tracer) = self.tracer() else { return };
        let mut counts = TokenCounts::NONE;
        counts.apply(token, CountOp::Set, Accounting::Included, value);
        let effect = match known {
            None => UsageEffect::Counted,
            Some(known) if known.rank > source.rank => UsageEffect::IgnoredOutranked,
            Some(known) if known.rank < source.rank => UsageEffect::Outranked,
            Some(_) => UsageEffect::Merged,
        };
        tracer.end_count();
        tracer.usage(source.format, &counts, effect);
    }

    /// A failure is known that is no document's.
    #[cold]
    pub(super) fn trace_failure(&mut self, sign: FailureSign) {
        let Some(rare) = &mut self.rare else { return };
        if let Some(tracer) = &mut rare.tracer {
            tracer.sign(sign);
            tracer.failure(rare.error.as_ref(), FailureEffect::Reported);
        }
    }
}

/// What becomes of a failure, or of the texts of a document that may explain a status.
pub(super) fn failure_effect(error: &ReportedError) -> FailureEffect {
    if error.reported { FailureEffect::Reported } else { FailureEffect::Explains }
}
