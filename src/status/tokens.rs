//! [`TokenUsage`]: token counts, each absent until it is known.

/// The number of counts in a usage.
pub(super) const COUNTS: usize = 8;

/// The tokens used by a call, an agent or a workflow.
///
/// The counts follow the OpenTelemetry GenAI conventions, whatever the provider reports:
/// **input includes cached tokens, and output includes reasoning tokens**. The parts are
/// given separately as well. A count that was not reported is `None`; a reported zero is
/// `Some(0)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TokenUsage {
    /// Tokens the model read, including those read from or written to a cache.
    pub input_tokens: Option<u64>,
    /// Tokens the model wrote, including reasoning.
    pub output_tokens: Option<u64>,
    /// The provider's own total, or the sum of input and output if it reports none.
    pub total_tokens: Option<u64>,
    /// The part of the input that was read from a cache.
    pub cache_read_input_tokens: Option<u64>,
    /// The part of the input that was written to a cache.
    pub cache_write_input_tokens: Option<u64>,
    /// The part of the output that was reasoning.
    pub reasoning_tokens: Option<u64>,
    /// The part of what was written to a cache that is kept for five minutes, where the provider
    /// tells it apart: it costs less than what is kept for longer.
    pub cache_write_5m_input_tokens: Option<u64>,
    /// The part of what was written to a cache that is kept for an hour.
    pub cache_write_1h_input_tokens: Option<u64>,
}

impl TokenUsage {
    /// Creates a usage of `input` and `output` tokens, with their sum as the total.
    #[must_use]
    pub fn new(input: u64, output: u64) -> Self {
        Self {
            input_tokens: Some(input),
            output_tokens: Some(output),
            total_tokens: Some(input.saturating_add(output)),
            ..Self::default()
        }
    }

    /// Returns `true` if no count is known. A usage with a reported zero is not empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds two usages, count by count.
    ///
    /// A count that neither has stays absent. A sum saturates at [`u64::MAX`].
    #[must_use]
    pub fn saturating_add(&self, other: &Self) -> Self {
        let mut counts = self.counts();
        for (count, other) in counts.iter_mut().zip(other.counts()) {
            *count = match (*count, other) {
                (Some(a), Some(b)) => Some(a.saturating_add(b)),
                (known, None) | (None, known) => known,
            };
        }
        Self::from_counts(counts)
    }

    /// The larger of the two, count by count.
    pub(crate) fn max(&self, other: &Self) -> Self {
        let mut counts = self.counts();
        for (count, other) in counts.iter_mut().zip(other.counts()) {
            // A count that is known is larger than none.
            *count = (*count).max(other);
        }
        Self::from_counts(counts)
    }

    /// What this usage has that `earlier`, which is no larger, does not.
    pub(crate) fn saturating_sub(&self, earlier: &Self) -> Self {
        let mut counts = self.counts();
        for (count, earlier) in counts.iter_mut().zip(earlier.counts()) {
            *count = count.map(|count| count.saturating_sub(earlier.unwrap_or(0)));
        }
        Self::from_counts(counts)
    }

    /// The delta that leads from nothing to this usage.
    #[inline]
    pub(crate) fn as_delta(&self) -> TokenDelta {
        let mut delta = TokenDelta::default();
        for (n, count) in self.counts().into_iter().enumerate() {
            if count.is_some() {
                delta.known |= 1 << n;
                delta.counts[n] = signed(count);
            }
        }
        delta
    }

    /// The delta that leads from `earlier` to this usage.
    pub(crate) fn delta_from(&self, earlier: &Self) -> TokenDelta {
        let mut delta = TokenDelta::default();
        let (now, before) = (self.counts(), earlier.counts());
        for n in 0..COUNTS {
            // A count that is absent now takes back what it added before.
            if now[n].is_some() || before[n].is_some() {
                delta.known |= 1 << n;
                delta.counts[n] = signed(now[n]).saturating_sub(signed(before[n]));
            }
        }
        delta
    }

    /// Adds a delta.
    pub(crate) fn add(&mut self, delta: &TokenDelta) {
        let counts = [
            &mut self.input_tokens,
            &mut self.output_tokens,
            &mut self.total_tokens,
            &mut self.cache_read_input_tokens,
            &mut self.cache_write_input_tokens,
            &mut self.reasoning_tokens,
            &mut self.cache_write_5m_input_tokens,
            &mut self.cache_write_1h_input_tokens,
        ];
        for (n, count) in counts.into_iter().enumerate() {
            if delta.known & 1 << n != 0 {
                *count = Some(count.unwrap_or(0).saturating_add_signed(delta.counts[n]));
            }
        }
    }

    /// The counts, in the order of [`schema::TOKEN_COUNTS`](super::schema::TOKEN_COUNTS).
    pub(super) fn counts(&self) -> [Option<u64>; COUNTS] {
        [
            self.input_tokens,
            self.output_tokens,
            self.total_tokens,
            self.cache_read_input_tokens,
            self.cache_write_input_tokens,
            self.reasoning_tokens,
            self.cache_write_5m_input_tokens,
            self.cache_write_1h_input_tokens,
        ]
    }

    pub(super) fn from_counts(counts: [Option<u64>; COUNTS]) -> Self {
        let [input, output, total, cache_read, cache_write, reasoning, cache_5m, cache_1h] = counts;
        Self {
            input_tokens: input,
            output_tokens: output,
            total_tokens: total,
            cache_read_input_tokens: cache_read,
            cache_write_input_tokens: cache_write,
            reasoning_tokens: reasoning,
            cache_write_5m_input_tokens: cache_5m,
            cache_write_1h_input_tokens: cache_1h,
        }
    }
}

pub(super) fn signed(count: Option<u64>) -> i64 {
    i64::try_from(count.unwrap_or(0)).unwrap_or(i64::MAX)
}

/// The difference between two usages. A count can go down: some streams correct their
/// earlier counts. Most calls report three of the counts, so the others are only looked at where they
/// are known: `counts[n]` is zero where bit `n` of `known` is not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenDelta {
    pub(super) known: u8,
    pub(super) counts: [i64; COUNTS],
}

impl TokenDelta {
    pub(crate) fn is_empty(&self) -> bool {
        self.known == 0
    }

    /// How many tokens it adds in all; 0 if the total is not known.
    pub(crate) fn total(&self) -> i64 {
        self.counts[2]
    }

    /// The delta that undoes this one.
    pub(crate) fn negated(&self) -> Self {
        Self { known: self.known, counts: self.counts.map(i64::saturating_neg) }
    }

    /// The same without its decreases.
    pub(crate) fn increases(mut self) -> Self {
        for n in 0..COUNTS {
            if self.counts[n] < 0 {
                self.known &= !(1 << n);
                self.counts[n] = 0;
            }
        }
        self
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.known |= other.known;
        for n in 0..COUNTS {
            if other.known & 1 << n != 0 {
                self.counts[n] = self.counts[n].saturating_add(other.counts[n]);
            }
        }
    }
}

/// The tokens that a call has used since it last reported any.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NewTokens<'a> {
    /// It has used none, or does not say.
    None,
    /// It has reported none before.
    All(&'a TokenUsage),
    /// It has reported some before.
    Rest(&'a TokenDelta),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_is_not_zero() {
        let unknown = TokenUsage::default();
        assert!(unknown.saturating_add(&unknown).is_empty());
        let zero = TokenUsage::new(0, 0);
        assert_eq!(unknown.saturating_add(&zero), zero);
        assert!(!zero.is_empty());
    }

    #[test]
    fn a_sum_saturates() {
        let most = TokenUsage::new(u64::MAX, u64::MAX);
        assert_eq!(most.saturating_add(&TokenUsage::new(1, 1)), most);
    }

    #[test]
    fn a_delta_leads_from_one_usage_to_the_other() {
        let before =
            TokenUsage { input_tokens: Some(9), output_tokens: Some(4), ..Default::default() };
        let after =
            TokenUsage { input_tokens: Some(7), total_tokens: Some(7), ..Default::default() };
        let mut reached = before;
        reached.add(&after.delta_from(&before));
        assert_eq!(reached.input_tokens, Some(7));
        assert_eq!(
            reached.output_tokens,
            Some(0),
            "a count that was known does not become unknown"
        );
        assert_eq!(reached.total_tokens, Some(7));
        assert_eq!(reached.reasoning_tokens, None);
        let mut sum = after.delta_from(&after);
        sum.add(&TokenDelta::default());
        assert!(sum != TokenDelta::default());
        assert!(TokenUsage::default().delta_from(&TokenUsage::default()).is_empty());
    }
}
