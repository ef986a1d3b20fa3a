//! Token counts in a provider's own terms, and their conversion to a [`TokenUsage`].
//!
//! In a [`TokenUsage`] the input includes cached tokens and the output includes reasoning, as the
//! GenAI conventions of OpenTelemetry have it. Providers differ: OpenAI counts cached tokens within
//! `prompt_tokens`, Anthropic beside `input_tokens`, and some proxies translate the names of one
//! into those of the other and leave the numbers alone. So the counts are kept as reported, with the
//! [`Accounting`] that their names imply, and are converted only when all of an object was read:
//!
//! 1. Where there is a total, it decides whether a part is included: input and output either add up
//!    to it, or do so only with the part.
//! 2. Else the names decide.
//! 3. Tokens of tool results are never included in the input, nor is reasoning in the output under
//!    Gemini's names; these are always added.
//!
//! A count that was not reported stays absent, except that one of input and output implies the
//! other, as zero: providers leave zeros out. All sums saturate.

use crate::status::TokenUsage;
use crate::usage::formats::{Accounting, CountOp, TokenType};

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
        let new = match op {
            CountOp::Set => value,
            CountOp::SetIfAbsent if self.present & bit(token) != 0 => return,
            op => self.combine(token, op, value),
        };
        self.put(token, new);
        if accounting != Accounting::Included {
            self.accounting |= accounting as u8;
        } else if token == TokenType::Input {
            self.accounting &= !INPUT_EXCLUDES_CACHE;
        }
    }

    /// The count after a number joins it.
    #[inline(never)]
    fn combine(&self, token: TokenType, op: CountOp, value: u64) -> u64 {
        // A value that is not present is zero.
        let old = self.values[token as usize];
        match op {
            CountOp::Set | CountOp::SetIfAbsent => value,
            CountOp::Max => old.max(value),
            CountOp::Add => old.saturating_add(value),
            CountOp::Increment => old.saturating_add(1),
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
        let sum = match (self.normalized(), other.normalized()) {
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
    /// A total alone is an input: that of embeddings.
    #[inline(always)]
    pub(in crate::usage) fn normalized(&self) -> Option<TokenUsage> {
        let cache_read = self.get(TokenType::CacheRead);
        let cache_write = self.get(TokenType::CacheWrite);
        let reasoning = self.get(TokenType::Reasoning);
        let total = self.get(TokenType::Total);
        let (mut input, mut output) =
            match (self.get(TokenType::Input), self.get(TokenType::Output)) {
                (None, None) if reasoning.is_none() => (total?, 0),
                (input, output) => (input.unwrap_or(0), output.unwrap_or(0)),
            };
        if self.accounting & NORMALIZED == 0 {
            let excludes_reasoning = self.accounting & OUTPUT_EXCLUDES_REASONING != 0;
            let tools = self.get(TokenType::ToolInput).unwrap_or(0);
            let cached = cache_read.unwrap_or(0).saturating_add(cache_write.unwrap_or(0));
            let thought = reasoning.unwrap_or(0);
            let audio = self.get(TokenType::Audio).unwrap_or(0);
            let plain = input.saturating_add(output);
            // Whether input and output add up to the total with this much on top, and not without.
            let explains = |more: u64| {
                more > 0 && total != Some(plain) && total == Some(plain.saturating_add(more))
            };

            let add_cached = self.accounting & CACHE_BESIDE_INPUT != 0
                && match total {
                    Some(total) if total == plain => false,
                    Some(_) if explains(cached) => true,
                    _ => self.accounting & INPUT_EXCLUDES_CACHE != 0,
                };
            if add_cached {
                input = input.saturating_add(cached);
            }
            if !excludes_reasoning && explains(audio) {
                input = input.saturating_add(audio);
            }
            input = input.saturating_add(tools);
            if excludes_reasoning || explains(thought) {
                output = output.saturating_add(thought);
            }
        }
        let mut usage = TokenUsage::new(input, output);
        if let Some(total) = total {
            usage.total_tokens = Some(total);
        }
        usage.cache_read_input_tokens = cache_read;
        usage.cache_write_input_tokens = cache_write;
        usage.reasoning_tokens = reasoning;
        Some(usage)
    }
}

const fn bit(token: TokenType) -> u8 {
    1 << token as u8
}
