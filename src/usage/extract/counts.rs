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

use crate::status::TokenUsage;
use crate::usage::formats::{Accounting, CountOp, TokenType};
use crate::usage::trace::TokenRule;

/// The counts of one usage object, as they were reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::usage) struct TokenCounts {
    values: [u64; 8],
    /// A bit for each value that was reported.
    present: u8,
    /// The [`Accounting`] of all that were reported, as bits.
    accounting: u8,
}

const INPUT_EXCLUDES_CACHE: u8 = Accounting::InputExcludesCache as u8;
const CACHE_BESIDE_INPUT: u8 = Accounting::CacheBesideInput as u8;
const OUTPUT_EXCLUDES_REASONING: u8 = Accounting::OutputExcludesReasoning as u8;
const TOTAL_EXCLUDES_REASONING: u8 = Accounting::TotalExcludesReasoning as u8;
/// The counts are those of a [`TokenUsage`]: nothing is left to add.
const NORMALIZED: u8 = 8;
/// The object counts something other than tokens.
const DISCARDED: u8 = 16;

impl TokenCounts {
    pub(in crate::usage) const NONE: Self = Self { values: [0; 8], present: 0, accounting: 0 };

    /// The count, if it was reported.
    pub(in crate::usage) fn get(&self, token: TokenType) -> Option<u64> {
        (self.present & bit(token) != 0).then(|| self.values[token as usize])
    }

    fn put(&mut self, token: TokenType, value: u64) {
        self.values[token as usize] = value;
        self.present |= bit(token);
    }

    pub(in crate::usage) fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// Whether all that was reported is zero.
    pub(super) fn is_zero(&self) -> bool {
        self.values == [0; 8]
    }

    /// Notes that neither the output nor the total includes reasoning.
    pub(super) fn exclude_reasoning_from_total(&mut self) {
        self.accounting |= TOTAL_EXCLUDES_REASONING;
    }

    /// Drops the object's numbers at its end, wherever in the object the reason is.
    pub(super) fn discard(&mut self) {
        self.accounting |= DISCARDED;
    }

    pub(super) fn is_discarded(&self) -> bool {
        self.accounting & DISCARDED != 0
    }

    /// Takes a number.
    #[inline]
    pub(in crate::usage) fn apply(
        &mut self,
        token: TokenType,
        op: CountOp,
        accounting: Accounting,
        value: u64,
    ) {
        if self.present & bit(token) == 0 && op != CountOp::Increment {
            self.put(token, value);
            self.accounting |= accounting as u8;
        } else {
            self.apply_again(token, op, accounting, value);
        }
    }

    /// Takes a number for a count that may be there.
    #[inline(never)]
    fn apply_again(&mut self, token: TokenType, op: CountOp, accounting: Accounting, value: u64) {
        let old = self.values[token as usize];
        let new = match op {
            // Of two spellings of a count, a zero says less.
            CountOp::Set | CountOp::SetIfAbsent if value == 0 => return,
            CountOp::SetIfAbsent if old != 0 => return,
            CountOp::Set | CountOp::SetIfAbsent => value,
            CountOp::Max => old.max(value),
            CountOp::Add => old.saturating_add(value),
            CountOp::Increment => old.saturating_add(1),
        };
        self.put(token, new);
        if accounting != Accounting::Included {
            self.accounting |= accounting as u8;
        } else if token == TokenType::Input {
            self.accounting &= !INPUT_EXCLUDES_CACHE;
        }
    }

    /// Replaces each count that the other one has.
    pub(super) fn override_by(&mut self, other: &Self) {
        for (i, value) in other.values.iter().enumerate() {
            if other.present & (1 << i) != 0 {
                self.values[i] = *value;
            }
        }
        self.present |= other.present;
        self.accounting |= other.accounting;
    }

    /// Adds the counts of another usage object. Each is converted by itself first, since their names
    /// may imply different things.
    pub(super) fn add(&mut self, other: &Self) {
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
        let mut usage = match (self.get(TokenType::Input), self.get(TokenType::Output)) {
            (Some(input), Some(output)) if self.accounting & NORMALIZED != 0 => {
                note(TokenRule::Summed);
                TokenUsage::new(input, output)
            }
            (Some(input), Some(output)) => self.both(input, output, note),
            (input, output) => self.one_or_none(input, output, total_is_input(), note)?,
        };
        if let Some(total) = total {
            let sum = usage.total_tokens.unwrap_or(0);
            if total < sum {
                note(TokenRule::TotalRaised);
            }
            usage.total_tokens = Some(total.max(sum));
        } else {
            note(TokenRule::TotalIsSum);
        }
        if self.accounting & TOTAL_EXCLUDES_REASONING != 0 && total.is_some() {
            note(TokenRule::ReasoningAddedToTotal);
            self.exclude_reasoning(&mut usage);
        }
        usage.cache_read_input_tokens = self.get(TokenType::CacheRead);
        usage.cache_write_input_tokens = self.get(TokenType::CacheWrite);
        usage.reasoning_tokens = self.get(TokenType::Reasoning);
        Some(usage)
    }

    /// Adds what is not included in input and output to them.
    #[inline(always)]
    fn both(
        &self,
        mut input: u64,
        mut output: u64,
        note: &mut impl FnMut(TokenRule),
    ) -> TokenUsage {
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
        TokenUsage::new(input, output)
    }

    /// Fills in what is missing of input and output, if anything follows for it.
    #[cold]
    fn one_or_none(
        &self,
        input: Option<u64>,
        output: Option<u64>,
        total_is_input: bool,
        note: &mut impl FnMut(TokenRule),
    ) -> Option<TokenUsage> {
        let total = self.get(TokenType::Total);
        let thought = self.get(TokenType::Reasoning);
        let (input, output) = match (input, output, total) {
            (None, None, Some(total)) if total_is_input => {
                note(TokenRule::TotalIsInput);
                (total, 0)
            }
            (None, None, Some(_)) => {
                note(TokenRule::OnlyTotal);
                return Some(TokenUsage::default());
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
                return Some(TokenUsage::new(input, total.saturating_sub(input)));
            }
            (None, Some(output), Some(total)) => {
                let excludes = self.accounting & OUTPUT_EXCLUDES_REASONING != 0;
                let thought = thought.filter(|_| excludes).unwrap_or(0);
                let output = output.saturating_add(thought);
                note(TokenRule::InputFromTotal);
                return Some(TokenUsage::new(total.saturating_sub(output), output));
            }
            (Some(input), Some(output), _) => (input, output),
        };
        Some(self.both(input, output, note))
    }

    /// Adds reasoning to the output and to the total.
    #[cold]
    fn exclude_reasoning(&self, usage: &mut TokenUsage) {
        let thought = self.get(TokenType::Reasoning).unwrap_or(0);
        for tokens in [&mut usage.output_tokens, &mut usage.total_tokens] {
            *tokens = tokens.map(|tokens| tokens.saturating_add(thought));
        }
    }

    fn cached(&self) -> u64 {
        let read = self.get(TokenType::CacheRead).unwrap_or(0);
        read.saturating_add(self.get(TokenType::CacheWrite).unwrap_or(0))
    }
}

const fn bit(token: TokenType) -> u8 {
    1 << token as u8
}
