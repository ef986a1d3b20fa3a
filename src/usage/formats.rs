//! What is known of the formats, as data: where usage, errors and end markers are.
//!
//! A new provider is a row or two here and a fixture in the tests. A path is written
//! as `choices[].error`: keys joined by dots, `[]` for every element of an array.

use self::Action::{self as A, Direct, Error, Figure, Text, Usage, Word as W};
use self::Field::{Audio, CacheRead, CacheWrite, Input, Output, Reasoning, ToolInput, Total};
use self::Op::{Add, Count, Fill, Max, Set};

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
    Usage(Place),
    /// A figure in such an object.
    Figure(Field, Op, Kin),
    /// A figure that stands elsewhere; it belongs to the usage of this place.
    Direct(Field, Op, Place),
    /// A word that says what this document is or how it ended; see [`WORDS`].
    Word(Word),
    /// A text about an error. Of several the one with the highest rank is kept.
    Text(TextKind, u8),
    /// An error, unless null, false or empty: an object with keys as in [`ERROR`], or a text.
    Error,
    /// A boolean that says something.
    Flag(Flag),
    /// The key's presence, with something in it, says something.
    Sign(Sign),
    /// A text in base64 that is a document of its own.
    Nested,
}

/// One of the figures of a usage, in a provider's own terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
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
pub(super) enum Op {
    /// It replaces what was there.
    Set,
    /// It counts only where nothing better is known: another spelling, a poorer source.
    Fill,
    /// It is added.
    Add,
    /// The larger one stays.
    Max,
    /// Any value at all adds one.
    Count,
}

/// What a key's spelling tells about its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kin {
    /// Nothing: the part is within its parent.
    Within = 0,
    /// An input that does not include cached tokens, should they be beside it.
    Bare = 1,
    /// A part that stands beside the input. Included or not, the input's spelling and the total tell.
    Beside = 2,
    /// Reasoning that is never included in the output.
    Apart = 4,
}

/// Where a usage was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
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
    Last,
    /// Each of its figures replaces the earlier one's; so do all usages that follow.
    Override,
    /// Both count: one per call of a model.
    Sum,
}

const fn last(rank: u8, format: Format) -> Place {
    Place { rank, merge: Merge::Last, format }
}

const fn each(rank: u8, format: Format) -> Place {
    Place { rank, merge: Merge::Override, format }
}

const fn sum(rank: u8, format: Format) -> Place {
    Place { rank, merge: Merge::Sum, format }
}

/// Where things are in an answer, or in one event of it.
#[rustfmt::skip]
pub(super) const ROOT: &[Row] = &[
    // The usage object most formats have.
    ("usage",                                Usage(last(20, Format::Unnamed))),
    ("response.usage",                       Usage(last(20, Format::OpenAiResponses))),
    ("message.usage",                        Usage(each(20, Format::Anthropic))),
    ("delta.usage",                          Usage(last(20, Format::CohereV2))),
    ("interaction.usage",                    Usage(last(20, Format::GeminiInteractions))),
    ("x_groq.usage",                         Usage(last(10, Format::OpenAiChat))),
    // Cohere v1, and its other endpoints.
    ("meta",                                 Usage(last(20, Format::CohereV1))),
    ("response.meta",                        Usage(last(20, Format::CohereV1))),
    // Gemini; Cloud Code wraps it.
    ("usageMetadata",                        Usage(last(20, Format::Gemini))),
    ("response.usageMetadata",               Usage(last(20, Format::Gemini))),
    // Agents: their own JSON, Strands' events (one per call of a model) and summaries, AG-UI, A2A.
    ("token_usage",                          Usage(last(25, Format::AgentCore))),
    ("event.metadata.usage",                 Usage(sum(30, Format::Strands))),
    ("metadata.usage",                       Usage(last(20, Format::BedrockConverse))),
    ("accumulated_usage",                    Usage(last(21, Format::Strands))),
    ("metrics.accumulated_usage",            Usage(last(21, Format::Strands))),
    ("metrics.agent_invocations[].usage",    Usage(last(22, Format::Strands))),
    ("result.accumulated_usage",             Usage(last(21, Format::Strands))),
    ("result.metrics.accumulated_usage",     Usage(last(21, Format::Strands))),
    ("result.metrics.agent_invocations[].usage", Usage(last(22, Format::Strands))),
    ("usage[]",                              Usage(sum(20, Format::AgUi))),
    ("result.metadata.usage",                Usage(last(20, Format::A2a))),
    ("result.status.message.metadata.usage", Usage(last(19, Format::A2a))),
    ("message.metadata.usage",               Usage(last(20, Format::A2a))),
    // Bedrock: metrics beside what the model itself reports, and agents' traces (one per call of a model).
    ("amazon-bedrock-invocationMetrics",     Usage(last(15, Format::BedrockInvoke))),
    ("trace.preProcessingTrace.modelInvocationOutput.metadata.usage",       Usage(sum(20, Format::BedrockAgent))),
    ("trace.routingClassifierTrace.modelInvocationOutput.metadata.usage",   Usage(sum(20, Format::BedrockAgent))),
    ("trace.orchestrationTrace.modelInvocationOutput.metadata.usage",       Usage(sum(20, Format::BedrockAgent))),
    ("trace.customOrchestrationTrace.modelInvocationOutput.metadata.usage", Usage(sum(20, Format::BedrockAgent))),
    ("trace.postProcessingTrace.modelInvocationOutput.metadata.usage",      Usage(sum(20, Format::BedrockAgent))),
    // Figures outside any usage object.
    ("prompt_eval_count",                    Direct(Input, Set, each(20, Format::Ollama))),
    ("eval_count",                           Direct(Output, Set, each(20, Format::Ollama))),
    ("prompt_token_count",                   Direct(Input, Set, each(20, Format::BedrockInvoke))),
    ("generation_token_count",               Direct(Output, Set, each(20, Format::BedrockInvoke))),
    ("inputTextTokenCount",                  Direct(Input, Set, each(20, Format::BedrockInvoke))),
    ("totalOutputTextTokenCount",            Direct(Output, Set, each(20, Format::BedrockInvoke))),
    ("results[].tokenCount",                 Direct(Output, Add, each(20, Format::BedrockInvoke))),
    // Later chunks say 0 for the input.
    ("results[].input_token_count",          Direct(Input, Max, each(20, Format::Watsonx))),
    ("results[].generated_token_count",      Direct(Output, Set, each(20, Format::Watsonx))),
    ("num_tokens_prompt_total",              Direct(Input, Set, each(20, Format::AlephAlpha))),
    ("num_tokens_generated",                 Direct(Output, Set, each(20, Format::AlephAlpha))),
    ("details.generated_tokens",             Direct(Output, Set, each(20, Format::Tgi))),
    ("details.prefill[]",                    Direct(Input, Count, each(20, Format::Tgi))),
    ("metrics.input_token_count",            Direct(Input, Set, each(20, Format::Replicate))),
    ("metrics.output_token_count",           Direct(Output, Set, each(20, Format::Replicate))),
    // What it is and how it ended.
    ("type",                                 W(Word::Type)),
    ("object",                               W(Word::Object)),
    ("status",                               W(Word::Status)),
    ("response.status",                      W(Word::ResponseStatus)),
    ("event_type",                           W(Word::EventType)),
    ("finish_reason",                        W(Word::CohereFinish)),
    ("delta.finish_reason",                  W(Word::CohereFinish)),
    ("choices",                              A::Sign(Sign::Choices)),
    ("choices[].finish_reason",              W(Word::ChatFinish)),
    ("candidates",                           A::Sign(Sign::Candidates)),
    ("candidates[].finishReason",            A::Sign(Sign::Finish)),
    ("promptFeedback.blockReason",           A::Sign(Sign::Finish)),
    ("response.candidates",                  A::Sign(Sign::Candidates)),
    ("response.candidates[].finishReason",   A::Sign(Sign::Finish)),
    ("response.promptFeedback.blockReason",  A::Sign(Sign::Finish)),
    ("results[].stop_reason",                W(Word::WatsonxStop)),
    ("stopReason",                           W(Word::ConverseStop)),
    ("created_at",                           A::Sign(Sign::CreatedAt)),
    ("done",                                 A::Flag(Flag::Done)),
    ("result.status.state",                  W(Word::TaskState)),
    ("jsonrpc",                              A::Sign(Sign::JsonRpc)),
    // Errors.
    ("error",                                Error),
    ("response.error",                       Error),
    ("last_error",                           Error),
    ("choices[].error",                      Error),
    ("delta.error",                          Text(TextKind::Message, 4)),
    ("success",                              A::Flag(Flag::Success)),
    ("result.isError",                       A::Flag(Flag::IsError)),
    ("error_type",                           Text(TextKind::Code, 2)),
    ("code",                                 Text(TextKind::Code, 1)),
    ("message",                              Text(TextKind::Message, 3)),
    ("Message",                              Text(TextKind::Message, 3)),
    ("detail",                               Text(TextKind::Message, 2)),
    ("detail[].msg",                         Text(TextKind::Message, 2)),
    ("errors[].message",                     Text(TextKind::Message, 2)),
    ("result.content[].text",                Text(TextKind::Message, 1)),
    ("result.status.message.parts[].text",   Text(TextKind::Message, 1)),
];

/// A `chunk` frame of Bedrock's `InvokeModelWithResponseStream`.
pub(super) const CHUNK: &[Row] =
    &[("bytes", Action::Nested), ("message", Text(TextKind::Message, 3))];

/// A `metadata` frame of `ConverseStream` and its like.
pub(super) const METADATA: &[Row] = &[("usage", Usage(sum(20, Format::BedrockConverse)))];

/// What may be in a usage object, whoever wrote it.
#[rustfmt::skip]
pub(super) const USAGE: &[Row] = &[
    // OpenAI chat, embeddings, and all that speak it.
    ("prompt_tokens",                             Figure(Input, Set, Kin::Within)),
    ("completion_tokens",                         Figure(Output, Set, Kin::Within)),
    ("total_tokens",                              Figure(Total, Set, Kin::Within)),
    ("prompt_tokens_details.cached_tokens",       Figure(CacheRead, Set, Kin::Within)),
    ("prompt_tokens_details.cache_write_tokens",  Figure(CacheWrite, Set, Kin::Within)),
    ("prompt_tokens_details.audio_tokens",        Figure(Audio, Set, Kin::Within)),
    ("prompt_token_details.cached_tokens",        Figure(CacheRead, Fill, Kin::Within)),
    ("prompt_cache_hit_tokens",                   Figure(CacheRead, Fill, Kin::Within)),
    ("cached_tokens",                             Figure(CacheRead, Fill, Kin::Within)),
    ("num_cached_tokens",                         Figure(CacheRead, Fill, Kin::Within)),
    ("completion_tokens_details.reasoning_tokens", Figure(Reasoning, Set, Kin::Within)),
    ("reasoning_tokens",                          Figure(Reasoning, Fill, Kin::Within)),
    // OpenAI Responses and images; Anthropic, where cached tokens stand beside the input.
    ("input_tokens",                              Figure(Input, Set, Kin::Bare)),
    ("output_tokens",                             Figure(Output, Set, Kin::Within)),
    ("input_tokens_details.cached_tokens",        Figure(CacheRead, Set, Kin::Within)),
    ("input_tokens_details.cache_write_tokens",   Figure(CacheWrite, Set, Kin::Within)),
    ("output_tokens_details.reasoning_tokens",    Figure(Reasoning, Set, Kin::Within)),
    ("cache_read_input_tokens",                   Figure(CacheRead, Set, Kin::Beside)),
    ("cache_creation_input_tokens",               Figure(CacheWrite, Set, Kin::Beside)),
    ("output_tokens_details.thinking_tokens",     Figure(Reasoning, Set, Kin::Within)),
    // Bedrock Converse, its metrics, Strands; AG-UI. (`cacheDetails[].inputTokens` is none.)
    ("inputTokens",                               Figure(Input, Set, Kin::Bare)),
    ("outputTokens",                              Figure(Output, Set, Kin::Within)),
    ("totalTokens",                               Figure(Total, Set, Kin::Within)),
    ("cacheReadInputTokens",                      Figure(CacheRead, Set, Kin::Beside)),
    ("cacheWriteInputTokens",                     Figure(CacheWrite, Set, Kin::Beside)),
    ("inputTokenCount",                           Figure(Input, Set, Kin::Bare)),
    ("outputTokenCount",                          Figure(Output, Set, Kin::Within)),
    ("cacheReadInputTokenCount",                  Figure(CacheRead, Fill, Kin::Beside)),
    ("cacheWriteInputTokenCount",                 Figure(CacheWrite, Fill, Kin::Beside)),
    ("cachedInputTokens",                         Figure(CacheRead, Set, Kin::Within)),
    ("reasoningTokens",                           Figure(Reasoning, Set, Kin::Within)),
    // Gemini: generateContent, Live, Interactions.
    ("promptTokenCount",                          Figure(Input, Set, Kin::Within)),
    ("candidatesTokenCount",                      Figure(Output, Set, Kin::Within)),
    ("responseTokenCount",                        Figure(Output, Fill, Kin::Within)),
    ("totalTokenCount",                           Figure(Total, Set, Kin::Within)),
    ("cachedContentTokenCount",                   Figure(CacheRead, Set, Kin::Within)),
    ("thoughtsTokenCount",                        Figure(Reasoning, Set, Kin::Apart)),
    ("toolUsePromptTokenCount",                   Figure(ToolInput, Set, Kin::Within)),
    ("total_input_tokens",                        Figure(Input, Set, Kin::Within)),
    ("total_output_tokens",                       Figure(Output, Set, Kin::Within)),
    ("total_cached_tokens",                       Figure(CacheRead, Set, Kin::Within)),
    ("total_thought_tokens",                      Figure(Reasoning, Set, Kin::Apart)),
    ("total_tool_use_tokens",                     Figure(ToolInput, Set, Kin::Within)),
    // Cohere: what ran rather than what is billed.
    ("tokens.input_tokens",                       Figure(Input, Set, Kin::Within)),
    ("tokens.output_tokens",                      Figure(Output, Set, Kin::Within)),
    ("tokens.reasoning_tokens",                   Figure(Reasoning, Set, Kin::Within)),
    ("billed_units.input_tokens",                 Figure(Input, Fill, Kin::Within)),
    ("billed_units.output_tokens",                Figure(Output, Fill, Kin::Within)),
];

/// What may be in an error object.
#[rustfmt::skip]
pub(super) const ERROR: &[Row] = &[
    ("message",    Text(TextKind::Message, 5)),
    ("code",       Text(TextKind::Code, 4)),
    ("type",       Text(TextKind::Code, 3)),
    ("status",     Text(TextKind::Code, 1)),
];

/// A kind of text about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextKind {
    Message,
    Code,
}

/// A place of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
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
pub(super) enum Sign {
    Choices,
    Candidates,
    Finish,
    CreatedAt,
    JsonRpc,
}

/// What a word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// This format is spoken.
    Is(Format),
    /// This format is spoken, if there is usage.
    MayBe(Format),
    /// This format is spoken, as a stream that says when it is over.
    Opens(Format),
    /// The stream is over.
    Ends,
    /// The model is done, though figures may follow.
    Finishes,
    /// The agent failed; the code to give where the answer gives none.
    Fails(&'static str),
    /// The stream is over, and the agent failed.
    EndsFailed(&'static str),
    /// The agent failed if an error is told beside it.
    Failed,
}

/// How the text of a word is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Is(&'static str),
    Not(&'static str),
    Starts(&'static str),
}

use Match::{Is, Not, Starts};

/// The words, their places, and what they mean. All that match count.
#[rustfmt::skip]
pub(super) const WORDS: &[(Word, Match, Meaning)] = &[
    (Word::Type, Is("message"),              Meaning::Is(Format::Anthropic)),
    (Word::Type, Is("message_start"),        Meaning::Opens(Format::Anthropic)),
    (Word::Type, Is("message_stop"),         Meaning::Ends),
    (Word::Type, Starts("response."),        Meaning::Opens(Format::OpenAiResponses)),
    (Word::Type, Is("response.completed"),   Meaning::Ends),
    (Word::Type, Is("response.incomplete"),  Meaning::Ends),
    (Word::Type, Is("response.failed"),      Meaning::EndsFailed("failed")),
    (Word::Type, Starts("image_generation."), Meaning::Is(Format::OpenAiImages)),
    (Word::Type, Starts("image_edit."),      Meaning::Is(Format::OpenAiImages)),
    (Word::Type, Is("transcript.text.done"), Meaning::Finishes),
    (Word::Type, Is("message-start"),        Meaning::Opens(Format::CohereV2)),
    (Word::Type, Is("message-end"),          Meaning::Ends),
    (Word::Type, Is("RUN_STARTED"),          Meaning::Opens(Format::AgUi)),
    (Word::Type, Is("RUN_FINISHED"),         Meaning::Ends),
    (Word::Type, Is("RUN_ERROR"),            Meaning::EndsFailed("RUN_ERROR")),
    (Word::Type, Is("error"),                Meaning::Fails("error")),
    (Word::Object, Starts("chat.completion"), Meaning::Is(Format::OpenAiChat)),
    (Word::Object, Is("text_completion"),    Meaning::Is(Format::OpenAiCompletions)),
    (Word::Object, Is("response"),           Meaning::Is(Format::OpenAiResponses)),
    (Word::Object, Starts("thread.run"),     Meaning::Is(Format::OpenAiAssistants)),
    (Word::Object, Is("interaction"),        Meaning::Is(Format::GeminiInteractions)),
    (Word::Object, Is("list"),               Meaning::MayBe(Format::OpenAiEmbeddings)),
    (Word::Status, Is("failed"),             Meaning::Failed),
    (Word::ResponseStatus, Is("failed"),     Meaning::Failed),
    (Word::EventType, Is("stream-start"),    Meaning::Opens(Format::CohereV1)),
    (Word::EventType, Is("stream-end"),      Meaning::Ends),
    (Word::EventType, Is("interaction.created"), Meaning::Opens(Format::GeminiInteractions)),
    (Word::EventType, Is("interaction.completed"), Meaning::Finishes),
    (Word::CohereFinish, Starts("ERROR"),    Meaning::Fails("finish_reason=ERROR")),
    (Word::ChatFinish, Starts(""),           Meaning::Finishes),
    (Word::ChatFinish, Is("error"),          Meaning::Fails("finish_reason=error")),
    (Word::WatsonxStop, Starts(""),          Meaning::Opens(Format::Watsonx)),
    (Word::WatsonxStop, Not("not_finished"), Meaning::Finishes),
    (Word::ConverseStop, Starts(""),         Meaning::Is(Format::BedrockConverse)),
    (Word::TaskState, Is("failed"),          Meaning::Fails("failed")),
    (Word::TaskState, Is("rejected"),        Meaning::Fails("rejected")),
    (Word::TaskState, Starts(""),            Meaning::Is(Format::A2a)),
];

/// A format, for the reader of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A usage object whose place alone does not tell the format; its keys do.
    Unnamed,
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
            Self::Unnamed => return None,
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

/// A word of [`WORDS`], compiled: its first two words of eight bytes, zero-padded, which are all of
/// most, and which of their bytes are compared.
#[derive(Clone, Copy)]
pub(super) struct Known {
    heads: [u64; 2],
    masks: [u64; 2],
    pattern: Match,
    pub(super) meaning: Meaning,
}

impl Known {
    const fn new(pattern: Match, meaning: Meaning) -> Self {
        let (text, whole) = match pattern {
            Is(text) => (text.as_bytes(), true),
            Starts(text) => (text.as_bytes(), false),
            Not(_) => (b"".as_slice(), false),
        };
        let (mut heads, mut masks, mut i) = ([0; 2], [0; 2], 0);
        while i < 16 && (i < text.len() || whole) {
            masks[i / 8] |= 0xff << (8 * (i % 8));
            if i < text.len() {
                heads[i / 8] |= (text[i] as u64) << (8 * (i % 8));
            }
            i += 1;
        }
        Self { heads, masks, pattern, meaning }
    }

    /// Whether the word, which begins with these, compares so.
    #[inline]
    pub(super) fn applies(&self, heads: [u64; 2], word: &[u8]) -> bool {
        heads[0] & self.masks[0] == self.heads[0]
            && heads[1] & self.masks[1] == self.heads[1]
            && match self.pattern {
                Is(text) if text.len() <= 16 => word.len() == text.len(),
                Is(text) => word == text.as_bytes(),
                Not(text) => word != text.as_bytes(),
                Starts(text) => text.len() <= 16 || word.starts_with(text.as_bytes()),
            }
    }
}

/// The words of one place that may be this one.
#[inline]
pub(super) fn words(place: Word, word: &[u8]) -> impl Iterator<Item = &'static Known> {
    let place = &PLACES[place as usize];
    let first = word.first().map_or(0, |byte| usize::from(*byte) % FIRSTS);
    let mut left = place.may_begin[first];
    std::iter::from_fn(move || {
        let known = place.words.get(left.trailing_zeros() as usize)?;
        left &= left - 1;
        Some(known)
    })
}

/// The words of a place, compiled.
#[derive(Clone, Copy)]
struct Words {
    words: &'static [Known],
    /// By the last bits of a first byte, a bit for each word that may begin so.
    may_begin: [u32; FIRSTS],
}

/// Letters, upper or lower case, have this many last bits.
const FIRSTS: usize = 32;

static KNOWN: [Known; WORDS.len()] = {
    let mut known = [Known::new(WORDS[0].1, WORDS[0].2); WORDS.len()];
    let mut i = 0;
    while i < WORDS.len() {
        known[i] = Known::new(WORDS[i].1, WORDS[i].2);
        i += 1;
    }
    known
};

const PLACE_COUNT: usize = Word::TaskState as usize + 1;

static PLACES: [Words; PLACE_COUNT] = {
    let mut places = [Words { words: &[], may_begin: [0; FIRSTS] }; PLACE_COUNT];
    let mut i = 0;
    while i < WORDS.len() {
        let place = &mut places[WORDS[i].0 as usize];
        let number = place.words.len();
        assert!(number < 32, "a place has more words than there are bits");
        let start = i - number;
        assert!(
            WORDS[start].0 as usize == WORDS[i].0 as usize,
            "the words of a place stand together"
        );
        place.words = KNOWN.split_at(i + 1).0.split_at(start).1;
        let text = match WORDS[i].1 {
            Is(text) | Starts(text) => text.as_bytes(),
            Not(_) => b"",
        };
        let mut first = 0;
        while first < FIRSTS {
            if text.is_empty() || text[0] as usize % FIRSTS == first {
                place.may_begin[first] |= 1 << number;
            }
            first += 1;
        }
        i += 1;
    }
    places
};

/// What the path of a request says of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathSays {
    /// The tokens it speaks of were not used by a call of a model: they were counted, are stored,
    /// or belong to a service that is billed in other units.
    NoUsage,
    /// The `bytes` of a frame are an agent's text, not a model's event.
    AgentText,
    /// There may be several calls of a model, each with its `metadata`.
    ManyCalls,
}

/// How the text of a path is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathMatch {
    Ends(&'static str),
    Contains(&'static str),
}

use PathMatch::{Contains, Ends};

/// Paths of requests that tell something of the answer.
#[rustfmt::skip]
pub(super) const PATHS: &[(PathMatch, PathSays)] = &[
    (Ends("/count_tokens"),             PathSays::NoUsage),
    (Ends("/count-tokens"),             PathSays::NoUsage),
    (Ends("/count-tokens:rawPredict"),  PathSays::NoUsage),
    (Ends(":countTokens"),              PathSays::NoUsage),
    (Ends("/responses/input_tokens"),   PathSays::NoUsage),
    (Ends("/rerank"),                   PathSays::NoUsage),
    (Ends("/audio/transcriptions"),     PathSays::NoUsage),
    (Ends("/audio/translations"),       PathSays::NoUsage),
    (Contains("/cachedContents"),       PathSays::NoUsage),
    (Contains("/agents/"),              PathSays::AgentText),
    (Contains("/harness"),              PathSays::ManyCalls),
];

/// The first eight bytes of each [`Contains`].
pub(super) const BEGINNINGS: [u64; count_paths(false)] = {
    let (mut words, mut filled, mut i) = ([0; count_paths(false)], 0, 0);
    while i < PATHS.len() {
        if let Contains(part) = PATHS[i].0 {
            assert!(part.as_bytes()[0] == b'/', "what a path contains begins with a slash");
            words[filled] = const_word(part.as_bytes(), 0, 8);
            filled += 1;
        }
        i += 1;
    }
    words
};

/// The last seven bytes of each [`Ends`].
pub(super) const ENDS: [u64; count_paths(true)] = {
    let (mut words, mut filled, mut i) = ([0; count_paths(true)], 0, 0);
    while i < PATHS.len() {
        if let Ends(part) = PATHS[i].0 {
            words[filled] = const_word(part.as_bytes(), part.len() - 7, 7);
            filled += 1;
        }
        i += 1;
    }
    words
};

const fn count_paths(of_ends: bool) -> usize {
    let (mut count, mut i) = (0, 0);
    while i < PATHS.len() {
        count += (matches!(PATHS[i].0, Ends(_)) == of_ends) as usize;
        i += 1;
    }
    count
}

const fn const_word(bytes: &[u8], from: usize, len: usize) -> u64 {
    let (mut word, mut i) = (0, 0);
    while i < len {
        word |= (bytes[from + i] as u64) << (8 * i);
        i += 1;
    }
    word
}

/// Response headers that report usage, for models whose answers do not.
pub(super) const HEADERS: &[(&str, Field, Kin)] = &[
    ("x-amzn-bedrock-input-token-count", Input, Kin::Bare),
    ("x-amzn-bedrock-output-token-count", Output, Kin::Within),
    ("x-amzn-bedrock-cache-read-input-token-count", CacheRead, Kin::Beside),
    ("x-amzn-bedrock-cache-write-input-token-count", CacheWrite, Kin::Beside),
];

/// What the type of a frame in an AWS event stream says.
#[rustfmt::skip]
pub(super) const FRAMES: &[(&str, Meaning)] = &[
    ("messageStart",      Meaning::Opens(Format::BedrockConverse)),
    ("contentBlockDelta", Meaning::Opens(Format::BedrockConverse)),
    ("messageStop",       Meaning::Finishes),
    ("metadata",          Meaning::Ends),
    ("trace",             Meaning::Is(Format::BedrockAgent)),
];
