//! [`TokenUsage`]: how many tokens were used, each figure absent until it is known.

/// How many figures there are.
const FIGURES: usize = 6;

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
    pub fn saturating_add(&self, other: &Self) -> Self {
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
    pub(crate) fn delta_from(&self, earlier: &Self) -> TokenDelta {
        let mut delta = TokenDelta::default();
        let (now, before) = (self.figures(), earlier.figures());
        for n in 0..FIGURES {
            // A figure that is gone again takes back what it gave.
            if now[n].is_some() || before[n].is_some() {
                delta.known[n] = true;
                delta.figures[n] = signed(now[n]).saturating_sub(signed(before[n]));
            }
        }
        delta
    }

    /// Adds a difference.
    pub(crate) fn add(&mut self, delta: &TokenDelta) {
        let figures = [
            &mut self.input_tokens,
            &mut self.output_tokens,
            &mut self.total_tokens,
            &mut self.cache_read_input_tokens,
            &mut self.cache_write_input_tokens,
            &mut self.reasoning_tokens,
        ];
        for (n, figure) in figures.into_iter().enumerate() {
            if delta.known[n] {
                *figure = Some(figure.unwrap_or(0).saturating_add_signed(delta.figures[n]));
            }
        }
    }

    /// In the order of their names in the schema.
    pub(super) fn figures(&self) -> [Option<u64>; FIGURES] {
        [
            self.input_tokens,
            self.output_tokens,
            self.total_tokens,
            self.cache_read_input_tokens,
            self.cache_write_input_tokens,
            self.reasoning_tokens,
        ]
    }

    pub(super) fn from_figures(figures: [Option<u64>; FIGURES]) -> Self {
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
/// themselves. One that is not known is zero here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenDelta {
    known: [bool; FIGURES],
    figures: [i64; FIGURES],
}

impl TokenDelta {
    pub(crate) fn is_empty(&self) -> bool {
        self.known == [false; FIGURES]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for n in 0..FIGURES {
            if other.known[n] {
                self.known[n] = true;
                self.figures[n] = self.figures[n].saturating_add(other.figures[n]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_is_not_zero() {
        let unknown = TokenUsage::default();
        assert!(unknown.saturating_add(&unknown).is_unknown());
        let zero = TokenUsage::new(0, 0);
        assert_eq!(unknown.saturating_add(&zero), zero);
        assert!(!zero.is_unknown());
    }

    #[test]
    fn a_sum_stays_at_the_largest_number() {
        let most = TokenUsage::new(u64::MAX, u64::MAX);
        assert_eq!(most.saturating_add(&TokenUsage::new(1, 1)), most);
    }

    #[test]
    fn a_difference_leads_from_one_usage_to_the_other() {
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
            "a figure that was shown does not become unknown"
        );
        assert_eq!(reached.total_tokens, Some(7));
        assert_eq!(reached.reasoning_tokens, None);
        let mut sum = after.delta_from(&after);
        sum.add(&TokenDelta::default());
        assert!(sum != TokenDelta::default());
        assert!(TokenUsage::default().delta_from(&TokenUsage::default()).is_empty());
    }
}
