//! How usage objects, and counts outside of any, join those found before.

use super::document::Sign;
use super::{Extractor, TokenCounts};
use crate::usage::formats::{Accounting, Action, CountOp, Format, Merge, TokenType, UsageSource};
use crate::usage::json::Visitor as _;
use crate::usage::trace::UsageEffect;

impl Extractor {
    /// Ends a usage object, and merges its counts with those found before.
    #[inline(never)]
    pub(super) fn end_usage(&mut self, source: UsageSource) {
        // Bedrock adds its own metrics to the last event of a stream, and only there.
        if source.format == Format::BedrockInvoke {
            self.document.set(Sign::EndsStream);
        }
        if self.current_parts.is_some() {
            return self.end_usage_with_parts(source);
        }
        if self.current.is_empty() || self.current.is_discarded() {
            self.current = TokenCounts::NONE;
        } else if self.extracted.source.is_none() && source.merge != Merge::SumOfEvents {
            // Nearly every usage object is the first one, and is not moved through the stack.
            self.extracted.counts = self.current;
            self.extracted.source = Some(source);
            self.current = TokenCounts::NONE;
        } else {
            self.end_further_usage(source);
        }
    }

    /// Ends a usage object that has more than counts.
    #[inline(never)]
    fn end_usage_with_parts(&mut self, source: UsageSource) {
        if let Some(parts) = &mut self.current_parts {
            parts.end_listed();
        }
        if !self.current.is_empty() && !self.current.is_discarded() {
            return self.end_further_usage(source);
        }
        // It may still tell what an image has cost.
        self.current = TokenCounts::NONE;
        let parts = self.current_parts.take().filter(|_| self.extracted.source.is_none());
        if let Some(parts) = parts {
            self.parts_mut().join(&parts, Merge::PerField);
        }
    }

    #[inline(never)]
    fn end_further_usage(&mut self, source: UsageSource) {
        let current = std::mem::replace(&mut self.current, TokenCounts::NONE);
        if source.merge != Merge::SumOfEvents {
            return self.merge(&current, source);
        }
        // Whether its document is an event of a call is known at the end of both.
        self.end_event_usage();
        self.rare().pending = Some((current, source));
        if let Some(tracer) = self.tracer() {
            tracer.defer_usage();
        }
    }

    /// Merges the counts of an event that may be one call of a model.
    pub(super) fn end_event_usage(&mut self) {
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
            self.merge(&counts, source);
        } else if let Some(tracer) = self.tracer() {
            tracer.usage(source.format, &counts, UsageEffect::IgnoredPartial);
        }
        if let Some(tracer) = self.tracer() {
            tracer.resume_usage();
        }
    }

    pub(super) fn merge(&mut self, current: &TokenCounts, source: UsageSource) {
        let extracted = &mut self.extracted;
        let earlier = extracted.source.filter(|earlier| earlier.rank >= source.rank);
        let parts = self.current_parts.take();
        let Ok(merge) = extracted.merge_by(current, source) else { return };
        match merge {
            Merge::Replace | Merge::SumOfEvents => extracted.counts = *current,
            Merge::PerField => extracted.counts.override_by(current),
            Merge::Sum => extracted.counts.add(current),
        }
        let joined = merge;
        let merge = earlier.map_or(source.merge, |_| merge);
        extracted.source = Some(UsageSource { merge, ..source });
        if parts.is_some() || self.parts.is_some() {
            self.parts_mut().join(&parts.unwrap_or_default(), joined);
        }
    }

    /// Takes a count that stands outside of any usage object.
    pub(super) fn standalone_count(
        &mut self,
        token: TokenType,
        op: CountOp,
        source: UsageSource,
        value: u64,
    ) {
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

    /// Counts an element of an array.
    #[inline(never)]
    pub(super) fn count_element(&mut self, token: TokenType, source: UsageSource) {
        let op = CountOp::Increment;
        if self.is_traced() {
            self.trace_action(Action::StandaloneCount(token, op, source));
            self.trace_count(token, source, 1);
        }
        self.standalone_count(token, op, source, 1);
    }
}
