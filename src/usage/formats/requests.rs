//! What a request implies about the response, and the response headers that report usage.

use super::Accounting::{self, CacheBesideInput, Included, InputExcludesCache};
use super::TokenType::{self, CacheRead, CacheWrite, Input, Output};
use crate::usage::response_info::ModelSource;

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
    /// The path names the model; see [`MODEL_PATHS`].
    NamesModel,
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
    (Suffix("/count-tokens"),                 RequestFlag::NamesModel),
    (Suffix("/count-tokens:rawPredict"),      RequestFlag::NoUsage),
    (Suffix(":countTokens"),                  RequestFlag::NoUsage),
    (Suffix(":countTokens"),                  RequestFlag::NamesModel),
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
    (Suffix(":generateContent"),              RequestFlag::NamesModel),
    (Suffix(":streamGenerateContent"),        RequestFlag::Model),
    (Suffix(":streamGenerateContent"),        RequestFlag::NamesModel),
    (Suffix(":embedContent"),                 RequestFlag::NamesModel),
    (Suffix(":batchEmbedContents"),           RequestFlag::NamesModel),
    (Suffix(":predict"),                      RequestFlag::NamesModel),
    (Suffix(":rawPredict"),                   RequestFlag::Model),
    (Suffix(":rawPredict"),                   RequestFlag::NamesModel),
    (Suffix(":streamRawPredict"),             RequestFlag::Model),
    (Suffix(":streamRawPredict"),             RequestFlag::NamesModel),
    (Suffix("/converse"),                     RequestFlag::Model),
    (Suffix("/converse"),                     RequestFlag::NamesModel),
    (Suffix("/converse-stream"),              RequestFlag::Model),
    (Suffix("/converse-stream"),              RequestFlag::NamesModel),
    (Suffix("/invoke"),                       RequestFlag::Model),
    (Suffix("/invoke"),                       RequestFlag::NamesModel),
    (Suffix("/invoke-with-response-stream"),  RequestFlag::Model),
    (Suffix("/invoke-with-response-stream"),  RequestFlag::NamesModel),
    (Contains("/openai/deployments/"),        RequestFlag::NamesModel),
];

/// Where a path with [`RequestFlag::NamesModel`] has the name: between the last of the first text and,
/// after that, the last of the second one; and what the name is.
///
/// A model of Bedrock may be an ARN, with slashes and colons: it ends at the operation.
#[rustfmt::skip]
pub(in crate::usage) const MODEL_PATHS: &[(&str, u8, ModelSource)] = &[
    ("/model/",              b'/', ModelSource::Path),
    ("/models/",             b':', ModelSource::Path),
    ("/openai/deployments/", b'/', ModelSource::Deployment),
];

/// What a header of a response tells of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::usage) enum HeadField {
    /// The provider's id of the request.
    RequestId,
    /// How long to wait before another try, in seconds or until a date.
    RetryAfter,
    /// The same in milliseconds, which is more exact.
    RetryAfterMillis,
    /// When the response was sent.
    Date,
    /// How many requests and tokens are left of the rate limit.
    RemainingRequests,
    RemainingTokens,
}

/// The response headers that tell something of the call. Of several that tell the same, the first one of
/// this table counts.
#[rustfmt::skip]
pub(in crate::usage) const INFO_HEADERS: &[(&str, HeadField)] = &[
    // Anthropic: https://docs.claude.com/en/api/errors#request-id
    ("request-id",                             HeadField::RequestId),
    // AWS: https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html
    ("x-amzn-requestid",                       HeadField::RequestId),
    // OpenAI and the many that follow it: https://platform.openai.com/docs/api-reference/debugging-requests
    ("x-request-id",                           HeadField::RequestId),
    // Azure's gateway, where `x-request-id` is missing.
    ("apim-request-id",                        HeadField::RequestId),
    ("x-ms-request-id",                        HeadField::RequestId),
    // Read only beside `retry-after`.
    ("retry-after-ms",                         HeadField::RetryAfterMillis),
    ("retry-after",                            HeadField::RetryAfter),
    ("date",                                   HeadField::Date),
    // OpenAI, Azure, Groq, xAI: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
    ("x-ratelimit-remaining-requests",         HeadField::RemainingRequests),
    ("x-ratelimit-remaining-tokens",           HeadField::RemainingTokens),
    // Anthropic: https://docs.claude.com/en/api/rate-limits#response-headers
    ("anthropic-ratelimit-requests-remaining", HeadField::RemainingRequests),
    ("anthropic-ratelimit-tokens-remaining",   HeadField::RemainingTokens),
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

/// What a header of a response tells, by the tables above.
#[derive(Clone, Copy, Debug)]
pub(in crate::usage) enum HeaderAction {
    Count(TokenType, Accounting),
    FunctionError,
    /// The number is the row of the table: a lower one outranks others.
    Info(HeadField, u8),
}

#[derive(Clone, Copy)]
struct Header {
    name: &'static str,
    action: HeaderAction,
    /// The next header whose name has the same length, if there is one.
    next: u8,
}

const NO_HEADER: u8 = u8::MAX;
const HEADER_COUNT: usize = 1 + USAGE_HEADERS.len() + INFO_HEADERS.len();
const FIRST_LETTERS: usize = 32;
/// No name is as long as this.
const MAX_NAME: usize = 64;

/// The headers of all tables, by the lengths of their names.
struct Headers {
    headers: [Header; HEADER_COUNT],
    count: usize,
    /// The first header whose name has this length.
    of_len: [u8; MAX_NAME],
    /// By the last bits of a first letter, the lengths of the names that begin with it, as bits.
    of_letter: [u64; FIRST_LETTERS],
    /// The lengths of all names, as bits.
    lens: u64,
}

static HEADERS: Headers = {
    let none = Header { name: "", action: HeaderAction::FunctionError, next: NO_HEADER };
    let mut all = Headers {
        headers: [none; HEADER_COUNT],
        count: 0,
        of_len: [NO_HEADER; MAX_NAME],
        of_letter: [0; FIRST_LETTERS],
        lens: 0,
    };
    all.add(FUNCTION_ERROR_HEADER, HeaderAction::FunctionError);
    let mut i = 0;
    while i < USAGE_HEADERS.len() {
        let (name, token, accounting) = USAGE_HEADERS[i];
        all.add(name, HeaderAction::Count(token, accounting));
        i += 1;
    }
    let mut i = 0;
    while i < INFO_HEADERS.len() {
        let (name, field) = INFO_HEADERS[i];
        // These say nothing alone, and `content-length` is as long as one of them.
        if !matches!(field, HeadField::Date | HeadField::RetryAfterMillis) {
            all.add(name, HeaderAction::Info(field, i as u8));
        }
        i += 1;
    }
    all
};

impl Headers {
    const fn add(&mut self, name: &'static str, action: HeaderAction) {
        let (len, letter) = (name.len(), name.as_bytes()[0] as usize % FIRST_LETTERS);
        self.headers[self.count] = Header { name, action, next: self.of_len[len] };
        self.of_len[len] = self.count as u8;
        self.of_letter[letter] |= 1 << len;
        self.lens |= 1 << len;
        self.count += 1;
    }
}

/// Whether a header with a name like this may be in a table.
#[inline(always)]
pub(in crate::usage) fn may_be_reporting_header(name: &str) -> bool {
    let len = name.len();
    len < MAX_NAME && HEADERS.lens >> len & 1 != 0 && {
        let first = name.as_bytes().first().copied().unwrap_or_default();
        HEADERS.of_letter[usize::from(first) % FIRST_LETTERS] >> len & 1 != 0
    }
}

/// What a header tells, if it is in a table.
#[inline]
pub(in crate::usage) fn header_action(name: &str) -> Option<HeaderAction> {
    let mut at = HEADERS.of_len.get(name.len()).copied()?;
    while let Some(header) = HEADERS.headers.get(usize::from(at)) {
        if header.name == name {
            return Some(header.action);
        }
        at = header.next;
    }
    None
}
