//! [`TokenCounts`]: the counts of a usage object as its provider reports them.

mod normalize;

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
}

const fn bit(token: TokenType) -> u8 {
    1 << token as u8
}
