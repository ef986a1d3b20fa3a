//! What is known of the formats, as data: where usage, errors and end markers are.
//!
//! A new provider is a row or two here and a fixture in the tests. A path is written
//! as `choices[].error`: keys joined by dots, `[]` for every element of an array.

mod compiled;
mod paths;
mod requests;
mod words;

pub(super) use self::compiled::{effects, may_match_request_path};
pub(super) use self::paths::{CHUNK, ERROR, METADATA, ROOT, USAGE};
pub(super) use self::requests::{
    MIN_USAGE_HEADER, PathFlag, PathPattern, REQUEST_PATHS, USAGE_HEADERS,
};
pub(super) use self::words::{EVENT_TYPES, WORDS};

/// A path and what is done with the value at its end.
pub(super) type Row = (&'static str, Action);

/// What is done with the value at the end of a path.
///
/// It is looked at for each value, and read at once where it is a byte of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Action {
    /// Nothing: the path only leads on.
    None,
    /// An object of figures (or, with `[]`, each of several), whose keys are in [`USAGE`].
    Usage(UsageSource),
    /// A figure in such an object.
    Count(TokenType, CountOp, Accounting),
    /// A figure that stands elsewhere; it belongs to the usage of this place.
    StandaloneCount(TokenType, CountOp, UsageSource),
    /// A word that says what this document is or how it ended; see [`WORDS`].
    Word(WordField),
    /// A text about an error. Of several the one with the highest rank is kept.
    ErrorText(ErrorPart, u8),
    /// An error, unless null, false or empty: an object with keys as in [`ERROR`], or a text.
    Error,
    /// A boolean that says something.
    Flag(Flag),
    /// The key's presence, with something in it, says something.
    Marker(Marker),
    /// A text in base64 that is a document of its own.
    Base64Document,
}

/// One of the figures of a usage, in a provider's own terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenType {
    Input,
    Output,
    Total,
    CacheRead,
    CacheWrite,
    Reasoning,
    /// Tokens of tool results, which are input and are never counted within it.
    ToolInput,
    /// Tokens of audio; whether they are counted within the input, the total tells.
    Audio,
}

/// How a number changes its figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CountOp {
    /// It replaces what was there.
    Set,
    /// It counts only where nothing better is known: another spelling, a poorer source.
    SetIfAbsent,
    /// It is added.
    Add,
    /// The larger one stays.
    Max,
    /// Any value at all adds one.
    Increment,
}

/// What a key's spelling tells about its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accounting {
    /// Nothing: the part is within its parent.
    Included = 0,
    /// An input that does not include cached tokens, should they be beside it.
    InputExcludesCache = 1,
    /// A part that stands beside the input. Included or not, the input's spelling and the total tell.
    CacheBesideInput = 2,
    /// Reasoning that is never included in the output.
    OutputExcludesReasoning = 4,
}

/// Where a usage was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UsageSource {
    /// A usage of a higher rank replaces one of a lower rank, which is not read thereafter.
    pub(super) rank: u8,
    /// How it joins an earlier one of the same rank.
    pub(super) merge: Merge,
    /// The format this place speaks for, unless something else tells.
    pub(super) format: Format,
}

/// How a usage object joins an earlier one of the same rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merge {
    /// It replaces the earlier one as a whole.
    Replace,
    /// Each of its figures replaces the earlier one's; so do all usages that follow.
    PerField,
    /// Both count: one per call of a model.
    Sum,
}

/// A kind of text about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorPart {
    Message,
    Code,
}

/// A place of a word.
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
}

/// A boolean that says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    Done,
    Success,
    IsError,
}

/// Something whose presence says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Choices,
    Candidates,
    Finish,
    CreatedAt,
    JsonRpc,
}

/// What a word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// This format is spoken.
    SetFormat(Format),
    /// This format is spoken, if there is usage.
    SuggestFormat(Format),
    /// This format is spoken, as a stream that says when it is over.
    StartStream(Format),
    /// The stream is over.
    EndStream,
    /// The model is done, though figures may follow.
    FinishModel,
    /// The agent failed; the code to give where the answer gives none.
    Fail(&'static str),
    /// The stream is over, and the agent failed.
    FailStream(&'static str),
    /// The agent failed, if the response is of a known format.
    FailIfRecognized,
}

/// How the text of a word is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Exact(&'static str),
    Not(&'static str),
    Prefix(&'static str),
}

/// A format, for the reader of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A usage object whose place alone does not tell the format; its keys do.
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
