//! Token counts in a provider's own terms, and their conversion to a [`TokenUsage`].
//!
//! In a [`TokenUsage`] the input includes cached tokens and the output includes reasoning, as the
//! GenAI conventions of OpenTelemetry have it. Providers differ: OpenAI counts cached tokens within
//! `prompt_tokens`, Anthropic beside `input_tokens`, and some proxies translate the names of one
//! into those of the other and leave the numbers alone. So the counts are kept as reported, with the
//! [`Accounting`] that their names imply, and are converted only when all of an object was read:
//!
//! 1. Where there is a total, it decides whether a part is included: input and output either add up
//!    to it, or do so only with the part. A part that is larger than its whole is not included.
//! 2. Else the names decide.
//! 3. Tokens of tool results are never included in the input, nor is reasoning in the output under
//!    Gemini's names; these are always added. Vercel's gateway includes reasoning in the total neither.
//!
//! Of input and output, one implies the other: as what is left of the total, or as zero, since
//! providers leave zeros out. A total alone implies neither, unless nothing was generated. A total
//! below the sum of both is replaced by the sum. Of two spellings of a count, a zero says less than
//! another number. A part that is larger than its whole is kept as it was reported. All sums saturate.

use super::{
    CACHE_BESIDE_INPUT, INPUT_EXCLUDES_CACHE, NORMALIZED, OUTPUT_EXCLUDES_REASONING,
    TOTAL_EXCLUDES_REASONING, TokenCounts,
};
use crate::status::TokenUsage;
use crate::usage::formats::TokenType;
use crate::usage::trace::TokenRule;

impl TokenCounts {
    /// Adds the counts of another usage object. Each is converted by itself first, since their names
    /// may imply different things.
    pub(in crate::usage::extract) fn add(&mut self, other: &Self) {
        let sum = match (self.normalized(|| false), other.normalized(|| false)) {
            (Some(a), Some(b)) => a.saturating_add(&b),
            (Some(a), None) => a,
            (None, Some(b)) => b,
            (None, None) => return,
        };
        *self = Self::from_normalized(&sum);
    }

    fn from_normalized(usage: &TokenUsage) -> Self {
        let mut counts = Self::default();
        for (token, value) in [
            (TokenType::Input, usage.input_tokens),
            (TokenType::Output, usage.output_tokens),
            (TokenType::Total, usage.total_tokens),
            (TokenType::CacheRead, usage.cache_read_input_tokens),
            (TokenType::CacheWrite, usage.cache_write_input_tokens),
            (TokenType::Reasoning, usage.reasoning_tokens),
        ] {
            if let Some(value) = value {
                counts.put(token, value);
            }
        }
        counts.accounting = NORMALIZED;
        counts
    }

    /// The same in terms of a [`TokenUsage`], if any of input, output, reasoning and total is known.
    ///
    /// If `total_is_input`, a total alone is the input: that of embeddings.
    #[inline(always)]
    pub(in crate::usage) fn normalized(
        &self,
        total_is_input: impl FnOnce() -> bool,
    ) -> Option<TokenUsage> {
        self.normalized_by(total_is_input, &mut |_| {})
    }

    /// The same, and each rule by which it is so.
    #[inline(always)]
    pub(in crate::usage) fn normalized_by(
        &self,
        total_is_input: impl FnOnce() -> bool,
        note: &mut impl FnMut(TokenRule),
    ) -> Option<TokenUsage> {
        let total = self.get(TokenType::Total);
        let (input, mut output) = match (self.get(TokenType::Input), self.get(TokenType::Output)) {
            (Some(input), Some(output)) if self.accounting & NORMALIZED != 0 => {
                note(TokenRule::Summed);
                (Some(input), Some(output))
            }
            (Some(input), Some(output)) => {
                let (input, output) = self.both(input, output, note);
                (Some(input), Some(output))
            }
            (input, output) => self.one_or_none(input, output, total_is_input(), note)?,
        };
        let sum = input.unwrap_or(0).saturating_add(output.unwrap_or(0));
        let mut all = total.unwrap_or(0).max(sum);
        match total {
            Some(total) if total < sum => note(TokenRule::TotalRaised),
            Some(_) => {}
            None => note(TokenRule::TotalIsSum),
        }
        if self.accounting & TOTAL_EXCLUDES_REASONING != 0 && total.is_some() {
            note(TokenRule::ReasoningAddedToTotal);
            let thought = self.get(TokenType::Reasoning).unwrap_or(0);
            output = output.map(|output| output.saturating_add(thought));
            all = all.saturating_add(thought);
        }
        // Made in one piece, so that none of it is copied.
        Some(TokenUsage {
            input_tokens: input,
            output_tokens: output,
            total_tokens: Some(all),
            cache_read_input_tokens: self.get(TokenType::CacheRead),
            cache_write_input_tokens: self.get(TokenType::CacheWrite),
            reasoning_tokens: self.get(TokenType::Reasoning),
            cache_write_5m_input_tokens: None,
            cache_write_1h_input_tokens: None,
        })
    }

    /// Adds what is not included in input and output to them.
    #[inline(always)]
    fn both(
        &self,
        mut input: u64,
        mut output: u64,
        note: &mut impl FnMut(TokenRule),
    ) -> (u64, u64) {
        let total = self.get(TokenType::Total);
        let plain = input.saturating_add(output);
        // Whether input and output add up to the total with this much on top, and not without.
        let explains = |more: u64| {
            more > 0 && total != Some(plain) && total == Some(plain.saturating_add(more))
        };
        let cached = self.cached();
        let (add_cached, rule) = match total {
            _ if self.accounting & CACHE_BESIDE_INPUT == 0 => {
                (false, TokenRule::CacheInInputByName)
            }
            // More than the input cannot be a part of it.
            Some(total) if total == plain && cached <= input => {
                (false, TokenRule::CacheInInputByTotal)
            }
            Some(_) if explains(cached) => (true, TokenRule::CacheAddedByTotal),
            _ if self.accounting & INPUT_EXCLUDES_CACHE != 0 => (true, TokenRule::CacheAddedByName),
            _ => (false, TokenRule::CacheInInputByName),
        };
        if cached > 0 {
            note(rule);
        }
        if add_cached {
            input = input.saturating_add(cached);
        }
        let excludes_reasoning = self.accounting & OUTPUT_EXCLUDES_REASONING != 0;
        if !excludes_reasoning && explains(self.get(TokenType::Audio).unwrap_or(0)) {
            note(TokenRule::AudioAdded);
            input = input.saturating_add(self.get(TokenType::Audio).unwrap_or(0));
        }
        let tools = self.get(TokenType::ToolInput).unwrap_or(0);
        if tools > 0 {
            note(TokenRule::ToolInputAdded);
        }
        input = input.saturating_add(tools);
        let thought = self.get(TokenType::Reasoning).unwrap_or(0);
        let nearly = || {
            // Relays estimate, and are off by a token or two.
            let with_thought = plain.saturating_add(thought);
            thought > output
                && total.is_some_and(|total| total > plain && total.abs_diff(with_thought) <= 2)
        };
        let add_reasoning = excludes_reasoning || explains(thought) || nearly();
        if thought > 0 {
            note(match (excludes_reasoning, add_reasoning) {
                (true, _) => TokenRule::ReasoningAddedByName,
                (false, true) => TokenRule::ReasoningAddedByTotal,
                (false, false) => TokenRule::ReasoningInOutput,
            });
        }
        if add_reasoning {
            output = output.saturating_add(thought);
        }
        (input, output)
    }

    /// Fills in what is missing of input and output, if anything follows for it.
    #[cold]
    fn one_or_none(
        &self,
        input: Option<u64>,
        output: Option<u64>,
        total_is_input: bool,
        note: &mut impl FnMut(TokenRule),
    ) -> Option<(Option<u64>, Option<u64>)> {
        let total = self.get(TokenType::Total);
        let thought = self.get(TokenType::Reasoning);
        let (input, output) = match (input, output, total) {
            (None, None, Some(total)) if total_is_input => {
                note(TokenRule::TotalIsInput);
                (total, 0)
            }
            (None, None, Some(_)) => {
                note(TokenRule::OnlyTotal);
                return Some((None, None));
            }
            (None, None, None) => (0, thought.map(|_| 0)?),
            (Some(input), None, None) => {
                note(TokenRule::NoOutput);
                (input, 0)
            }
            (None, Some(output), None) => {
                note(TokenRule::NoInput);
                (0, output)
            }
            // What is left of the total includes all that is not told apart.
            (Some(input), None, Some(total)) => {
                let tools = self.get(TokenType::ToolInput).unwrap_or(0);
                let mut input = input.saturating_add(tools);
                let with_cached = input.saturating_add(self.cached());
                let beside = CACHE_BESIDE_INPUT | INPUT_EXCLUDES_CACHE;
                let mut rule = TokenRule::CacheInInputByName;
                if self.accounting & beside == beside && total >= with_cached && total != input {
                    input = with_cached;
                    rule = TokenRule::CacheAddedByName;
                }
                if self.cached() > 0 {
                    note(rule);
                }
                note(TokenRule::OutputFromTotal);
                return Some((Some(input), Some(total.saturating_sub(input))));
            }
            (None, Some(output), Some(total)) => {
                let excludes = self.accounting & OUTPUT_EXCLUDES_REASONING != 0;
                let thought = thought.filter(|_| excludes).unwrap_or(0);
                let output = output.saturating_add(thought);
                note(TokenRule::InputFromTotal);
                return Some((Some(total.saturating_sub(output)), Some(output)));
            }
            (Some(input), Some(output), _) => (input, output),
        };
        let (input, output) = self.both(input, output, note);
        Some((Some(input), Some(output)))
    }

    fn cached(&self) -> u64 {
        let read = self.get(TokenType::CacheRead).unwrap_or(0);
        read.saturating_add(self.get(TokenType::CacheWrite).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::formats::{Accounting, CountOp};

    use crate::usage::formats::Accounting::{
        CacheBesideInput, Included, InputExcludesCache, OutputExcludesReasoning,
        TotalExcludesReasoning,
    };
    use TokenType::{Audio, CacheRead, CacheWrite, Input, Output, Reasoning, ToolInput, Total};

    fn counts(reported: &[(TokenType, Accounting, u64)]) -> TokenCounts {
        let mut counts = TokenCounts::NONE;
        for (token, accounting, value) in reported {
            counts.apply(*token, CountOp::Set, *accounting, *value);
        }
        counts
    }

    /// Input, output and total.
    fn figures(counts: &TokenCounts) -> Option<[Option<u64>; 3]> {
        let usage = counts.normalized(|| false)?;
        Some([usage.input_tokens, usage.output_tokens, usage.total_tokens])
    }

    #[test]
    fn the_total_decides_what_is_included_and_else_the_names_do() {
        let beside = (CacheRead, CacheBesideInput, 20);
        let (input, excluding) = ((Input, Included, 10), (Input, InputExcludesCache, 10));
        let (output, thought) = ((Output, Included, 5), (Reasoning, Included, 20));
        let less_thought = |value| (Reasoning, Included, value);
        let total = |value| (Total, Included, value);
        for (reported, expected) in [
            // What was read from a cache.
            (&[input, output, beside, total(35)][..], [30, 5, 35]),
            (&[input, output, beside, total(36)], [10, 5, 36]),
            (&[excluding, output, beside, total(36)], [30, 5, 36]),
            (&[excluding, output, beside], [30, 5, 35]),
            (&[excluding, output, (CacheRead, Included, 20)], [10, 5, 15]),
            (&[excluding, output, (CacheRead, CacheBesideInput, 9), total(15)], [10, 5, 15]),
            // The last name of the input counts.
            (&[excluding, input, output, beside], [10, 5, 15]),
            // Audio, unless reasoning may be what is missing.
            (&[input, output, (Audio, Included, 4), total(19)], [14, 5, 19]),
            (&[input, output, (Audio, Included, 4), total(18)], [10, 5, 18]),
            (
                &[
                    input,
                    output,
                    (Audio, Included, 4),
                    (Reasoning, OutputExcludesReasoning, 3),
                    total(19),
                ],
                [10, 8, 19],
            ),
            // Reasoning. Estimates are two off at most, and only for more than the output.
            (&[input, output, thought, total(35)], [10, 25, 35]),
            (&[input, output, thought, total(33)], [10, 25, 35]),
            (&[input, output, thought, total(37)], [10, 25, 37]),
            (&[input, output, thought, total(32)], [10, 5, 32]),
            (&[input, output, thought, total(38)], [10, 5, 38]),
            (&[input, output, less_thought(4), total(18)], [10, 5, 18]),
            (&[input, output, less_thought(4), total(19)], [10, 9, 19]),
            (&[input, (Output, Included, 0), less_thought(1), total(10)], [10, 0, 10]),
            (&[(Reasoning, OutputExcludesReasoning, 7)], [0, 7, 7]),
            (&[less_thought(7)], [0, 0, 0]),
            (&[input, output, (Reasoning, TotalExcludesReasoning, 3), total(15)], [10, 8, 18]),
            // Without a total, nothing says so.
            (&[input, output, (Reasoning, TotalExcludesReasoning, 3)], [10, 5, 15]),
            (
                &[(Input, Included, u64::MAX), output, less_thought(2), total(u64::MAX)],
                [u64::MAX, 5, u64::MAX],
            ),
        ] {
            assert_eq!(figures(&counts(reported)), Some(expected.map(Some)), "{reported:?}");
        }
        assert_eq!(figures(&counts(&[])), None);
        assert_eq!(figures(&counts(&[beside])), None);
    }

    #[test]
    fn what_is_left_of_the_total_is_the_other_one() {
        let (beside, total) = ((CacheRead, CacheBesideInput, 20), |value| (Total, Included, value));
        let (input, excluding) = ((Input, Included, 10), (Input, InputExcludesCache, 10));
        for (reported, expected) in [
            (&[input, total(20)][..], [10, 10, 20]),
            (&[input, (ToolInput, Included, 3), total(20)], [13, 7, 20]),
            (&[excluding, beside, total(40)], [30, 10, 40]),
            (&[excluding, beside, total(30)], [30, 0, 30]),
            // Too little for what is in the cache.
            (&[excluding, beside, total(29)], [10, 19, 29]),
            (&[input, beside, total(40)], [10, 30, 40]),
            (&[excluding, (CacheRead, Included, 20), total(40)], [10, 30, 40]),
            (&[excluding, beside, (CacheWrite, CacheBesideInput, 5), total(40)], [35, 5, 40]),
            (&[(Output, Included, 5), (Reasoning, Included, 3), total(20)], [15, 5, 20]),
            (
                &[(Output, Included, 5), (Reasoning, OutputExcludesReasoning, 3), total(20)],
                [12, 8, 20],
            ),
        ] {
            assert_eq!(figures(&counts(reported)), Some(expected.map(Some)), "{reported:?}");
        }
    }

    #[test]
    fn of_two_spellings_a_zero_says_less_and_one_may_give_way() {
        for (first, op, second, expected) in [
            (10, CountOp::Set, 12, 12),
            (10, CountOp::Set, 0, 10),
            (0, CountOp::Set, 12, 12),
            (10, CountOp::SetIfAbsent, 12, 10),
            (10, CountOp::SetIfAbsent, 0, 10),
            (0, CountOp::SetIfAbsent, 12, 12),
            (10, CountOp::Max, 7, 10),
            (10, CountOp::Max, 12, 12),
            (10, CountOp::Add, 12, 22),
            (10, CountOp::Increment, 12, 11),
        ] {
            let mut counts = counts(&[(Input, Included, first)]);
            counts.apply(Input, op, Included, second);
            assert_eq!(counts.get(Input), Some(expected), "{first}, {op:?} {second}");
        }
    }

    #[test]
    fn counts_that_override_others_bring_their_names_with_them() {
        let mut first = counts(&[(Input, Included, 10), (Output, Included, 1)]);
        first.override_by(&counts(&[
            (Output, Included, 5),
            (Reasoning, OutputExcludesReasoning, 3),
        ]));
        assert_eq!(figures(&first), Some([Some(10), Some(8), Some(18)]));
    }

    #[test]
    fn a_sum_is_not_converted_once_more() {
        let mut sum = counts(&[
            (Input, Included, 10),
            (Output, Included, 5),
            (Total, Included, 30),
            (Reasoning, Included, 20),
            (CacheWrite, Included, 2),
        ]);
        let other = counts(&[
            (Input, Included, 10),
            (Output, Included, 5),
            (Total, Included, 20),
            (CacheWrite, Included, 3),
        ]);
        sum.add(&other);
        // The total is what input, output and reasoning add up to, which says nothing here.
        assert_eq!(figures(&sum), Some([Some(20), Some(10), Some(50)]));
        assert_eq!(sum.get(Reasoning), Some(20));
        assert_eq!(sum.get(CacheWrite), Some(5));
    }
}
