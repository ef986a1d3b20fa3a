//! What a request implies about the response, and the response headers that report usage.

use super::Accounting::{self, CacheBesideInput, Included, InputExcludesCache};
use super::TokenType::{self, CacheRead, CacheWrite, Input, Output};

use self::PathPattern::{Contains, Suffix, Under};

/// What the method and the path of a request imply about the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::usage) enum RequestFlag {
    /// Its counts are not of tokens used by a call of a model: they were only counted, or are
    /// stored.
    NoUsage,
    /// A file that is downloaded: what its rows report is of other calls.
    Download,
    /// The results of a batch: its rows tell the tokens of the batch, and their errors are not this
    /// call's.
    Results,
    /// The `bytes` of a frame are an agent's text, not an event of a model.
    AgentText,
    /// A stream may have several calls of a model, each with its `metadata`.
    MultipleCalls,
    /// All tokens are input: no text is generated.
    InputOnly,
    /// It asks a model to generate something.
    Model,
    /// It asks an agent runtime to run an agent.
    AgentRuntime,
    /// It asks for something that is stored, or for a stream that may stay idle.
    Get,
    /// The response has no body.
    Head,
    /// It asks for a tunnel.
    Connect,
    /// The response is a service's own, which may say nothing.
    MayBeEmpty,
}

impl RequestFlag {
    /// Its bit in a set of flags.
    pub(in crate::usage) const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// What a path is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::usage) enum PathPattern {
    Suffix(&'static str),
    Contains(&'static str),
    /// The second somewhere behind the first.
    Under(&'static str, &'static str),
}

/// The paths of requests that imply something. A suffix has five bytes at least.
#[rustfmt::skip]
pub(in crate::usage) const REQUEST_PATHS: &[(PathPattern, RequestFlag)] = &[
    (Suffix("/invocations"),                  RequestFlag::AgentRuntime),
    (Suffix("/count_tokens"),                 RequestFlag::NoUsage),
    (Suffix("/count-tokens"),                 RequestFlag::NoUsage),
    (Suffix("/count-tokens:rawPredict"),      RequestFlag::NoUsage),
    (Suffix(":countTokens"),                  RequestFlag::NoUsage),
    (Suffix("/responses/input_tokens"),       RequestFlag::NoUsage),
    (Contains("/cachedContents"),             RequestFlag::NoUsage),
    // Stored, and counted when they were made. The tokens of a run's steps are the run's.
    (Contains("/chat/completions/"),          RequestFlag::NoUsage),
    (Under("/runs/", "/steps"),               RequestFlag::NoUsage),
    (Under("/files/", "/content"),            RequestFlag::Download),
    (Under("/files/", ":download"),           RequestFlag::Download),
    (Under("/batches/", "/results"),          RequestFlag::Results),
    (Contains("/agents/"),                    RequestFlag::AgentText),
    (Contains("/harness"),                    RequestFlag::MultipleCalls),
    (Suffix("/rerank"),                       RequestFlag::InputOnly),
    (Suffix("/embeddings"),                   RequestFlag::InputOnly),
    (Suffix("/embeddings"),                   RequestFlag::Model),
    (Suffix("/completions"),                  RequestFlag::Model),
    (Suffix("/messages"),                     RequestFlag::Model),
    (Suffix("/responses"),                    RequestFlag::Model),
    (Suffix("/chat"),                         RequestFlag::Model),
    (Suffix("/generate"),                     RequestFlag::Model),
    (Suffix("/v1/images/generations"),        RequestFlag::Model),
    (Suffix(":generateContent"),              RequestFlag::Model),
    (Suffix(":streamGenerateContent"),        RequestFlag::Model),
    (Suffix(":rawPredict"),                   RequestFlag::Model),
    (Suffix(":streamRawPredict"),             RequestFlag::Model),
    (Suffix("/converse"),                     RequestFlag::Model),
    (Suffix("/converse-stream"),              RequestFlag::Model),
    (Suffix("/invoke"),                       RequestFlag::Model),
    (Suffix("/invoke-with-response-stream"),  RequestFlag::Model),
];

/// Response headers that report usage, for models whose bodies do not.
pub(in crate::usage) const USAGE_HEADERS: &[(&str, TokenType, Accounting)] = &[
    ("x-amzn-bedrock-input-token-count", Input, InputExcludesCache),
    ("x-amzn-bedrock-output-token-count", Output, Included),
    ("x-amzn-bedrock-cache-read-input-token-count", CacheRead, CacheBesideInput),
    ("x-amzn-bedrock-cache-write-input-token-count", CacheWrite, CacheBesideInput),
    // TGI.
    ("x-prompt-tokens", Input, Included),
    ("x-generated-tokens", Output, Included),
];

/// The header by which Lambda reports that a function failed, in a response of status 200.
pub(in crate::usage) const FUNCTION_ERROR_HEADER: &str = "x-amz-function-error";

/// The lengths of the names of these headers, as bits.
const HEADER_LENGTHS: u64 = {
    let (mut lengths, mut i) = (1 << FUNCTION_ERROR_HEADER.len(), 0);
    while i < USAGE_HEADERS.len() {
        lengths |= 1 << USAGE_HEADERS[i].0.len();
        i += 1;
    }
    lengths
};

/// Whether a header whose name has this length may be one of these.
#[inline(always)]
pub(in crate::usage) fn may_be_reporting_header(len: usize) -> bool {
    len < 64 && HEADER_LENGTHS >> len & 1 != 0
}
