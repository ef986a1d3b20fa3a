//! [`Extracted`]: what holds for the whole response.

use super::{Stated, TokenCounts};
use crate::usage::formats::{Format, Merge, TokenType, UsageSource};
use crate::usage::trace::UsageEffect;

/// What holds for the whole response.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::usage) struct Extracted {
    pub(super) counts: TokenCounts,
    /// Where the counts were found.
    pub(super) source: Option<UsageSource>,
    pub(super) format: Option<Format>,
    /// How much the answer has said of itself.
    pub(super) stated: Stated,
    /// The format if usage is found and nothing else names one.
    pub(super) suggested_format: Option<Format>,
    /// A stream of this format ends with a marker.
    pub(in crate::usage) expects_end_marker: bool,
    /// The model has finished. Usage may follow.
    pub(in crate::usage) model_finished: bool,
    /// The end marker was read.
    pub(in crate::usage) ended: bool,
    /// There was a document that is more than a sign of life.
    pub(super) has_content: bool,
    /// There were choices, and one of them was not empty.
    pub(super) has_choices: bool,
    pub(super) has_choice: bool,
    /// There were scores: a reranking generates nothing.
    pub(super) has_scores: bool,
}

impl Extracted {
    pub(in crate::usage) fn counts(&self) -> &TokenCounts {
        &self.counts
    }

    /// Whether a total is the input: nothing was generated.
    pub(in crate::usage) fn has_input_only(&self) -> bool {
        self.has_scores || self.suggested_format == Some(Format::OpenAiEmbeddings)
    }

    /// How much of what the answer says of itself counts.
    #[inline]
    pub(in crate::usage) fn stated(&self) -> &Stated {
        &self.stated
    }

    /// The name of the format, if it is known.
    #[inline]
    pub(in crate::usage) fn format(&self) -> Option<&'static str> {
        let by_source = self.source.map(|source| source.format);
        let by_source = by_source.filter(|format| *format != Format::Unspecified);
        let suggested = self.suggested_format.filter(|_| self.source.is_some());
        self.format.or(by_source).or(suggested).and_then(Format::name)
    }

    /// Whether the response is of this format, as far as anything says so.
    pub(super) fn has_format(&self, format: Format) -> bool {
        self.format.or(self.suggested_format) == Some(format)
    }

    /// Whether the response is of a known format.
    pub(in crate::usage) fn is_recognized(&self) -> bool {
        self.format.is_some() || self.source.is_some()
    }

    /// Whether there was no document, or none that is more than a sign of life.
    pub(in crate::usage) fn has_no_content(&self) -> bool {
        !self.has_content && self.source.is_none()
    }

    /// Whether there were choices, but none that has anything in it.
    pub(in crate::usage) fn has_no_choice(&self) -> bool {
        let has_output = || self.counts.get(TokenType::Output).is_some_and(|tokens| tokens > 0);
        self.has_choices && !self.has_choice && !has_output()
    }

    /// Whether there is content, and no end of it is to come.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.has_content && !self.expects_end_marker && (self.has_choice || !self.has_choices)
    }

    /// How these counts join those that are known, or why they do not.
    #[inline]
    pub(super) fn merge_by(
        &self,
        current: &TokenCounts,
        source: UsageSource,
    ) -> Result<Merge, UsageEffect> {
        match self.source.filter(|earlier| earlier.rank >= source.rank) {
            None => Ok(Merge::Replace),
            Some(earlier) if earlier.rank > source.rank => Err(UsageEffect::IgnoredOutranked),
            // Zeros that come later are a placeholder.
            Some(_) if current.is_zero() && !self.counts.is_zero() => {
                Err(UsageEffect::IgnoredZeros)
            }
            // Once one source merges field by field, so do all that follow it.
            Some(UsageSource { merge: Merge::PerField, .. }) => Ok(Merge::PerField),
            Some(_) => Ok(source.merge),
        }
    }

    #[inline]
    pub(super) fn set_format(&mut self, format: Format) {
        self.format.get_or_insert(format);
    }
}
