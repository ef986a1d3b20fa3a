//! The formats, as data: where they keep usage and errors, and what ends them.
//!
//! | file | holds |
//! | --- | --- |
//! | `paths` | the paths of usage, errors and end markers in a document |
//! | `words` | what certain values mean, such as `"type": "message_stop"` |
//! | `requests` | what the path of a request implies, and the headers that report usage |
//! | `compiled` | lookups over these tables, built by the compiler |
//!
//! A new provider takes a row or two in these tables, and an answer in the tests. A document is never
//! assigned to a format before it is read: all rows apply to each, and keys decide.

mod compiled;
mod paths;
mod requests;
mod words;

pub(super) use self::compiled::{effects, may_match_request_path};
pub(super) use self::paths::{CHUNK, ERROR, METADATA, ROOT, USAGE};
pub(super) use self::requests::{
    MIN_USAGE_HEADER, PathPattern, REQUEST_PATHS, RequestFlag, USAGE_HEADERS,
};
pub(super) use self::words::{EVENT_TYPES, WORDS};

/// A path, and what to do with the value at its end.
pub(super) type Row = (&'static str, Action);

/// What to do with the value at the end of a path.
// With a tag of its own, instead of one hidden in its parts, a chat answer takes 85 instructions fewer
// (1.8 %).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Action {
    /// Nothing: the path only leads to others.
    None,
    /// A usage object, with counts as in [`USAGE`].
    Usage(UsageSource),
    /// A count in a usage object.
    Count(TokenType, CountOp, Accounting),
    /// A count outside of any usage object.
    StandaloneCount(TokenType, CountOp, UsageSource),
    /// A text that identifies the format or the event; see [`WORDS`].
    Word(WordField),
    /// A text that explains an error, with its rank: of several the highest stays.
    ErrorText(ErrorPart, u8),
    /// An error unless it is null, false or empty: an object with texts as in [`ERROR`], or a text.
    Error,
    /// A boolean.
    Flag(Flag),
    /// A key that means something if its value is not null.
    Marker(Marker),
    /// A document as a text in base64.
    Base64Document,
}

/// What a count counts, in a provider's own terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenType {
    Input,
    Output,
    Total,
    CacheRead,
    CacheWrite,
    Reasoning,
    /// Tokens of tool results, which no provider includes in the input.
    ToolInput,
    /// Tokens of audio, which some providers include in the input.
    Audio,
}

/// How a number changes its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CountOp {
    /// It replaces the count.
    Set,
    /// It applies only if there is no count yet: for other spellings and poorer sources.
    SetIfAbsent,
    /// It is added.
    Add,
    /// The larger of both stays.
    Max,
    /// Any value adds one.
    Increment,
}

/// What the name of a count implies about the counts beside it.
///
/// The values are bits, which [`TokenCounts`](super::extract::TokenCounts) collects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accounting {
    /// The count is included in the input or output that it is part of.
    Included = 0,
    /// An input that does not include the cached tokens, if these are reported beside it.
    InputExcludesCache = 1,
    /// Cached tokens that may or may not be included; the input's name and the total decide.
    CacheBesideInput = 2,
    /// Reasoning that is not included in the output.
    OutputExcludesReasoning = 4,
}

/// Where usage was found, and how it relates to usage found elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UsageSource {
    /// Usage of a higher rank replaces usage of a lower rank, before and after it.
    pub(super) rank: u8,
    /// How it joins earlier usage of the same rank.
    pub(super) merge: Merge,
    /// The format of the response, unless something else identifies it.
    pub(super) format: Format,
}

/// How a usage object joins earlier ones of the same rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merge {
    /// It replaces them: the latest has the running total.
    Replace,
    /// Each of its counts replaces the earlier one, and so do those of all that follow.
    PerField,
    /// They add up: there is one for each call of a model.
    Sum,
}

/// What a text says about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorPart {
    Message,
    Code,
}

/// A field whose values are looked up in [`WORDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordField {
    Type,
    Object,
    Status,
    ResponseStatus,
    EventType,
    CohereFinish,
    ChatFinish,
    WatsonxStop,
    ConverseStop,
    TaskState,
    /// What a usage object counts.
    UsageType,
}

/// What a boolean means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    Done,
    Success,
    IsError,
}

/// What the presence of a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Choices,
    Candidates,
    Finish,
    CreatedAt,
    JsonRpc,
}

/// What follows from a value of a [`WordField`], or from the type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The response is of this format.
    SetFormat(Format),
    /// The response is of this format if usage is found and nothing else identifies it.
    SuggestFormat(Format),
    /// The response is a stream of this format, which ends with a marker.
    StartStream(Format),
    /// The stream ends with this event.
    EndStream,
    /// The model has finished. Usage may follow.
    FinishModel,
    /// The agent failed, with this code unless the document has a better one.
    Fail(&'static str),
    /// The stream ends with this event, and the agent failed.
    FailStream(&'static str),
    /// The agent failed if the response is of a known format.
    FailIfRecognized,
    /// The usage object at hand counts something other than tokens.
    DiscardUsage,
}

/// What a value is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Exact(&'static str),
    Not(&'static str),
    Prefix(&'static str),
}

/// The format of a response, as [`Reading::format`](super::Reading::format) reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Not known from the path of the usage object alone.
    Unspecified,
    OpenAiChat,
    OpenAiCompletions,
    OpenAiResponses,
    OpenAiEmbeddings,
    OpenAiImages,
    OpenAiAssistants,
    Anthropic,
    BedrockConverse,
    BedrockInvoke,
    BedrockAgent,
    Gemini,
    GeminiInteractions,
    CohereV1,
    CohereV2,
    Ollama,
    Watsonx,
    Tgi,
    AlephAlpha,
    Replicate,
    AgentCore,
    Strands,
    AgUi,
    A2a,
    JsonRpc,
}

impl Format {
    pub(super) const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Unspecified => return None,
            Self::OpenAiChat => "openai.chat_completions",
            Self::OpenAiCompletions => "openai.completions",
            Self::OpenAiResponses => "openai.responses",
            Self::OpenAiEmbeddings => "openai.embeddings",
            Self::OpenAiImages => "openai.images",
            Self::OpenAiAssistants => "openai.assistants_run",
            Self::Anthropic => "anthropic.messages",
            Self::BedrockConverse => "bedrock.converse",
            Self::BedrockInvoke => "bedrock.invoke_model",
            Self::BedrockAgent => "bedrock.invoke_agent",
            Self::Gemini => "gemini.generate_content",
            Self::GeminiInteractions => "gemini.interactions",
            Self::CohereV1 => "cohere.v1",
            Self::CohereV2 => "cohere.v2.chat",
            Self::Ollama => "ollama.native",
            Self::Watsonx => "watsonx.text",
            Self::Tgi => "tgi.generate",
            Self::AlephAlpha => "aleph_alpha.complete",
            Self::Replicate => "replicate.prediction",
            Self::AgentCore => "agentcore",
            Self::Strands => "strands",
            Self::AgUi => "ag_ui",
            Self::A2a => "a2a",
            Self::JsonRpc => "json_rpc",
        })
    }
}
