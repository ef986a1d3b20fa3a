//! [`TokenUsage`]: how many tokens were used, each figure absent until it is known.

/// The tokens a call, an agent or a workflow has used.
///
/// The figures follow the OpenTelemetry GenAI conventions whatever the provider
/// reports: **input includes cached tokens and output includes reasoning tokens**,
/// and the parts are kept beside them. A figure that was not reported is `None`,
/// which is not the same as a reported `Some(0)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TokenUsage {
    /// Tokens the model read, those served from or written to a cache included.
    pub input_tokens: Option<u64>,
    /// Tokens the model wrote, reasoning included.
    pub output_tokens: Option<u64>,
    /// The provider's own total, or the sum of input and output where it gives none.
    pub total_tokens: Option<u64>,
    /// The part of the input that was read from a cache.
    pub cache_read_input_tokens: Option<u64>,
    /// The part of the input that was written to a cache.
    pub cache_write_input_tokens: Option<u64>,
    /// The part of the output that was reasoning.
    pub reasoning_tokens: Option<u64>,
}

impl TokenUsage {
    /// A usage of `input` and `output` tokens, with their sum as the total.
    #[must_use]
    pub fn new(input: u64, output: u64) -> Self {
        Self {
            input_tokens: Some(input),
            output_tokens: Some(output),
            total_tokens: Some(input.saturating_add(output)),
            ..Self::default()
        }
    }

    /// Whether no figure at all is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// The sum, figure by figure; unknown and unknown stays unknown, and a sum that
    /// would overflow stays at the largest number.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut figures = self.figures();
        for (figure, other) in figures.iter_mut().zip(other.figures()) {
            *figure = match (*figure, other) {
                (Some(a), Some(b)) => Some(a.saturating_add(b)),
                (known, None) | (None, known) => known,
            };
        }
        Self::from_figures(figures)
    }

    /// What has to be added to `earlier` to reach this usage.
    pub(crate) fn since(&self, earlier: &Self) -> TokenDelta {
        let mut delta = TokenDelta::default();
        for (delta, (now, before)) in
            delta.0.iter_mut().zip(self.figures().into_iter().zip(earlier.figures()))
        {
            *delta = match (now, before) {
                (None, None) => None,
                // A figure that is gone again takes back what it gave.
                (now, before) => Some(signed(now).saturating_sub(signed(before))),
            };
        }
        delta
    }

    /// This usage with a difference added.
    pub(crate) fn plus_delta(&self, delta: &TokenDelta) -> Self {
        let mut figures = self.figures();
        for (figure, delta) in figures.iter_mut().zip(delta.0) {
            if let Some(delta) = delta {
                *figure = Some(figure.unwrap_or(0).saturating_add_signed(delta));
            }
        }
        Self::from_figures(figures)
    }

    /// In the order of their names in the schema.
    pub(super) fn figures(&self) -> [Option<u64>; 6] {
        [
            self.input_tokens,
            self.output_tokens,
            self.total_tokens,
            self.cache_read_input_tokens,
            self.cache_write_input_tokens,
            self.reasoning_tokens,
        ]
    }

    pub(super) fn from_figures(figures: [Option<u64>; 6]) -> Self {
        let [input, output, total, cache_read, cache_write, reasoning] = figures;
        Self {
            input_tokens: input,
            output_tokens: output,
            total_tokens: total,
            cache_read_input_tokens: cache_read,
            cache_write_input_tokens: cache_write,
            reasoning_tokens: reasoning,
        }
    }
}

fn signed(figure: Option<u64>) -> i64 {
    i64::try_from(figure.unwrap_or(0)).unwrap_or(i64::MAX)
}

/// A difference between two usages. A figure can go down: some streams correct
/// themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenDelta([Option<i64>; 6]);

impl TokenDelta {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        let mut sum = *self;
        for (sum, other) in sum.0.iter_mut().zip(other.0) {
            *sum = match (*sum, other) {
                (Some(a), Some(b)) => Some(a.saturating_add(b)),
                (known, None) | (None, known) => known,
            };
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_is_not_zero() {
        let unknown = TokenUsage::default();
        assert!(unknown.plus(&unknown).is_unknown());
        let zero = TokenUsage::new(0, 0);
        assert_eq!(unknown.plus(&zero), zero);
        assert!(!zero.is_unknown());
    }

    #[test]
    fn a_sum_stays_at_the_largest_number() {
        let most = TokenUsage::new(u64::MAX, u64::MAX);
        assert_eq!(most.plus(&TokenUsage::new(1, 1)), most);
    }

    #[test]
    fn a_difference_leads_from_one_usage_to_the_other() {
        let before =
            TokenUsage { input_tokens: Some(9), output_tokens: Some(4), ..Default::default() };
        let after =
            TokenUsage { input_tokens: Some(7), total_tokens: Some(7), ..Default::default() };
        let reached = before.plus_delta(&after.since(&before));
        assert_eq!(reached.input_tokens, Some(7));
        assert_eq!(
            reached.output_tokens,
            Some(0),
            "a figure that was shown does not become unknown"
        );
        assert_eq!(reached.total_tokens, Some(7));
        assert_eq!(reached.reasoning_tokens, None);
        assert!(after.since(&after).plus(&TokenDelta::default()) != TokenDelta::default());
        assert!(TokenUsage::default().since(&TokenUsage::default()).is_empty());
    }
}
