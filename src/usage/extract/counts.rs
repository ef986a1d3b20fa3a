//! TokenCounts in a provider's own terms, and their way to a [`TokenUsage`].

use crate::status::TokenUsage;
use crate::usage::formats::{Accounting, CountOp, TokenType};

/// The figures of one usage object, as they were reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::usage) struct TokenCounts {
    values: [u64; 8],
    present: u8,
    accounting: u8,
}

/// The input was reported under a name that leaves cached tokens out.
const INPUT_EXCLUDES_CACHE: u8 = Accounting::InputExcludesCache as u8;
/// Cached tokens were reported beside the input.
const CACHE_BESIDE_INPUT: u8 = Accounting::CacheBesideInput as u8;
/// Reasoning was reported under a name that is never part of the output.
const OUTPUT_EXCLUDES_REASONING: u8 = Accounting::OutputExcludesReasoning as u8;
/// The figures are in this crate's terms already.
const NORMALIZED: u8 = 8;

impl TokenCounts {
    pub(in crate::usage) const NONE: Self = Self { values: [0; 8], present: 0, accounting: 0 };

    /// The figure, if it was reported.
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

    /// Takes a number in.
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

    /// What becomes of a figure that is joined by another.
    #[inline(never)]
    fn combine(&self, token: TokenType, op: CountOp, value: u64) -> u64 {
        // What is not present is zero.
        let old = self.values[token as usize];
        match op {
            CountOp::Set | CountOp::SetIfAbsent => value,
            CountOp::Max => old.max(value),
            CountOp::Add => old.saturating_add(value),
            CountOp::Increment => old.saturating_add(1),
        }
    }

    /// Replaces the figures that the other one has.
    pub(super) fn override_by(&mut self, other: &Self) {
        for (i, value) in other.values.iter().enumerate() {
            if other.present & (1 << i) != 0 {
                self.values[i] = *value;
            }
        }
        self.present |= other.present;
        self.accounting |= other.accounting;
    }

    /// Adds a second usage, each understood by itself first.
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
        // The parts are within by now, and no arithmetic may put them in again.
        counts.accounting = NORMALIZED;
        counts
    }

    /// What a [`TokenUsage`] means by these figures; nothing if neither input, output nor total is present.
    ///
    /// Once one of the three is present, the others are numbers too: providers leave out what is
    /// zero (Gemini an output, embeddings theirs), and a total alone is an input.
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
            // Whether the total is what the two add up to with this much on top, and not without.
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
