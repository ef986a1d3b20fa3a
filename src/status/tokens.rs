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
        self.zip(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (known, None) | (None, known) => known,
        })
    }

    /// Combines two usages figure by figure.
    pub(crate) fn zip(
        &self,
        other: &Self,
        combine: impl Fn(Option<u64>, Option<u64>) -> Option<u64>,
    ) -> Self {
        Self {
            input_tokens: combine(self.input_tokens, other.input_tokens),
            output_tokens: combine(self.output_tokens, other.output_tokens),
            total_tokens: combine(self.total_tokens, other.total_tokens),
            cache_read_input_tokens: combine(
                self.cache_read_input_tokens,
                other.cache_read_input_tokens,
            ),
            cache_write_input_tokens: combine(
                self.cache_write_input_tokens,
                other.cache_write_input_tokens,
            ),
            reasoning_tokens: combine(self.reasoning_tokens, other.reasoning_tokens),
        }
    }
}
