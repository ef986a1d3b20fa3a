//! What a request's path implies about the response, and the response headers that report usage.

use super::Accounting::{self, CacheBesideInput, Included, InputExcludesCache};
use super::TokenType::{self, CacheRead, CacheWrite, Input, Output};

use self::PathPattern::{Contains, Suffix};

/// What the path of a request implies about the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::usage) enum PathFlag {
    /// Its counts are not of tokens used by a call of a model: they were only counted, or are
    /// stored.
    NoUsage,
    /// The `bytes` of a frame are an agent's text, not an event of a model.
    AgentText,
    /// A stream may have several calls of a model, each with its `metadata`.
    MultipleCalls,
}

/// What a path is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::usage) enum PathPattern {
    Suffix(&'static str),
    Contains(&'static str),
}

/// The paths of requests that imply something.
#[rustfmt::skip]
pub(in crate::usage) const REQUEST_PATHS: &[(PathPattern, PathFlag)] = &[
    (Suffix("/count_tokens"),            PathFlag::NoUsage),
    (Suffix("/count-tokens"),            PathFlag::NoUsage),
    (Suffix("/count-tokens:rawPredict"), PathFlag::NoUsage),
    (Suffix(":countTokens"),             PathFlag::NoUsage),
    (Suffix("/responses/input_tokens"),  PathFlag::NoUsage),
    (Contains("/cachedContents"),        PathFlag::NoUsage),
    (Contains("/agents/"),               PathFlag::AgentText),
    (Contains("/harness"),               PathFlag::MultipleCalls),
];

/// Response headers that report usage, for models whose bodies do not.
pub(in crate::usage) const USAGE_HEADERS: &[(&str, TokenType, Accounting)] = &[
    ("x-amzn-bedrock-input-token-count", Input, InputExcludesCache),
    ("x-amzn-bedrock-output-token-count", Output, Included),
    ("x-amzn-bedrock-cache-read-input-token-count", CacheRead, CacheBesideInput),
    ("x-amzn-bedrock-cache-write-input-token-count", CacheWrite, CacheBesideInput),
];

/// The length of the shortest name in [`USAGE_HEADERS`].
pub(in crate::usage) const MIN_USAGE_HEADER: usize = {
    let (mut min, mut i) = (usize::MAX, 0);
    while i < USAGE_HEADERS.len() {
        if USAGE_HEADERS[i].0.len() < min {
            min = USAGE_HEADERS[i].0.len();
        }
        i += 1;
    }
    min
};
