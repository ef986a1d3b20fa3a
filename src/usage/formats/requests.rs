//! What a request implies about the response, and the response headers that report usage.

use super::Accounting::{self, CacheBesideInput, Included, InputExcludesCache};
use super::TokenType::{self, CacheRead, CacheWrite, Input, Output};

use self::PathPattern::{Contains, Suffix};

/// What the method and the path of a request imply about the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::usage) enum RequestFlag {
    /// Its counts are not of tokens used by a call of a model: they were only counted, or are
    /// stored.
    NoUsage,
    /// The `bytes` of a frame are an agent's text, not an event of a model.
    AgentText,
    /// A stream may have several calls of a model, each with its `metadata`.
    MultipleCalls,
    /// The request asks for something that is stored.
    Get,
}

/// What a path is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::usage) enum PathPattern {
    Suffix(&'static str),
    Contains(&'static str),
}

/// The paths of requests that imply something.
#[rustfmt::skip]
pub(in crate::usage) const REQUEST_PATHS: &[(PathPattern, RequestFlag)] = &[
    (Suffix("/count_tokens"),            RequestFlag::NoUsage),
    (Suffix("/count-tokens"),            RequestFlag::NoUsage),
    (Suffix("/count-tokens:rawPredict"), RequestFlag::NoUsage),
    (Suffix(":countTokens"),             RequestFlag::NoUsage),
    (Suffix("/responses/input_tokens"),  RequestFlag::NoUsage),
    (Contains("/cachedContents"),        RequestFlag::NoUsage),
    (Contains("/agents/"),               RequestFlag::AgentText),
    (Contains("/harness"),               RequestFlag::MultipleCalls),
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
