//! Figures in a provider's own terms, and their way to a [`TokenUsage`].

use super::formats::{Field, Kin, Op};
use crate::status::TokenUsage;

/// The figures of one usage object, as they were reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    values: [u64; 8],
    known: u8,
    kin: u8,
}

/// The input was reported under a name that leaves cached tokens out.
const BARE: u8 = Kin::Bare as u8;
/// Cached tokens were reported beside the input.
const BESIDE: u8 = Kin::Beside as u8;
/// Reasoning was reported under a name that is never part of the output.
const APART: u8 = Kin::Apart as u8;
/// The figures are in this crate's terms already.
const NORMALISED: u8 = 8;

impl Figures {
    pub(super) const NONE: Self = Self { values: [0; 8], known: 0, kin: 0 };

    /// The figure, if it was reported.
    pub(super) fn get(&self, field: Field) -> Option<u64> {
        (self.known & bit(field) != 0).then(|| self.values[field as usize])
    }

    fn put(&mut self, field: Field, value: u64) {
        self.values[field as usize] = value;
        self.known |= bit(field);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known == 0
    }

    /// Takes a number in.
    #[inline]
    pub(super) fn take(&mut self, field: Field, op: Op, kin: Kin, value: u64) {
        let new = match op {
            Op::Set => value,
            Op::Fill if self.known & bit(field) != 0 => return,
            op => self.joined(field, op, value),
        };
        self.put(field, new);
        if kin != Kin::Within {
            self.kin |= kin as u8;
        } else if field == Field::Input {
            self.kin &= !BARE;
        }
    }

    /// What becomes of a figure that is joined by another.
    #[inline(never)]
    fn joined(&self, field: Field, op: Op, value: u64) -> u64 {
        // What is not known is zero.
        let old = self.values[field as usize];
        match op {
            Op::Set | Op::Fill => value,
            Op::Max => old.max(value),
            Op::Add => old.saturating_add(value),
            Op::Count => old.saturating_add(1),
        }
    }

    /// Replaces the figures that the other one has.
    pub(super) fn override_by(&mut self, other: &Self) {
        for (i, value) in other.values.iter().enumerate() {
            if other.known & (1 << i) != 0 {
                self.values[i] = *value;
            }
        }
        self.known |= other.known;
        self.kin |= other.kin;
    }

    /// Adds a second usage, each understood by itself first.
    pub(super) fn add(&mut self, other: &Self) {
        let sum = match (self.normalised(), other.normalised()) {
            (Some(a), Some(b)) => a.saturating_add(&b),
            (Some(a), None) => a,
            (None, Some(b)) => b,
            (None, None) => return,
        };
        *self = Self::from_normalised(&sum);
    }

    fn from_normalised(usage: &TokenUsage) -> Self {
        let mut figures = Self::default();
        for (field, value) in [
            (Field::Input, usage.input_tokens),
            (Field::Output, usage.output_tokens),
            (Field::Total, usage.total_tokens),
            (Field::CacheRead, usage.cache_read_input_tokens),
            (Field::CacheWrite, usage.cache_write_input_tokens),
            (Field::Reasoning, usage.reasoning_tokens),
        ] {
            if let Some(value) = value {
                figures.put(field, value);
            }
        }
        // The parts are within by now, and no arithmetic may put them in again.
        figures.kin = NORMALISED;
        figures
    }

    /// What a [`TokenUsage`] means by these figures; nothing if neither input, output nor total is known.
    ///
    /// Once one of the three is known, the others are numbers too: providers leave out what is
    /// zero (Gemini an output, embeddings theirs), and a total alone is an input.
    #[inline(always)]
    pub(super) fn normalised(&self) -> Option<TokenUsage> {
        let cache_read = self.get(Field::CacheRead);
        let cache_write = self.get(Field::CacheWrite);
        let reasoning = self.get(Field::Reasoning);
        let total = self.get(Field::Total);
        let (mut input, mut output) = match (self.get(Field::Input), self.get(Field::Output)) {
            (None, None) if reasoning.is_none() => (total?, 0),
            (input, output) => (input.unwrap_or(0), output.unwrap_or(0)),
        };
        if self.kin & NORMALISED == 0 {
            let apart = self.kin & APART != 0;
            let tools = self.get(Field::ToolInput).unwrap_or(0);
            let cached = cache_read.unwrap_or(0).saturating_add(cache_write.unwrap_or(0));
            let thought = reasoning.unwrap_or(0);
            let audio = self.get(Field::Audio).unwrap_or(0);
            let plain = input.saturating_add(output);
            // Whether the total is what the two add up to with this much on top, and not without.
            let explains = |more: u64| {
                more > 0 && total != Some(plain) && total == Some(plain.saturating_add(more))
            };

            let cached_beside = self.kin & BESIDE != 0
                && match total {
                    Some(total) if total == plain => false,
                    Some(_) if explains(cached) => true,
                    _ => self.kin & BARE != 0,
                };
            if cached_beside {
                input = input.saturating_add(cached);
            }
            if !apart && explains(audio) {
                input = input.saturating_add(audio);
            }
            input = input.saturating_add(tools);
            if apart || explains(thought) {
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

const fn bit(field: Field) -> u8 {
    1 << field as u8
}
