//! Where each format keeps its usage, its errors and its end markers.
//!
//! A path is written as `choices[].error`: keys joined by dots, and `[]` for each element of an
//! array. The root itself may also be an array of documents. Usage and error objects have the same
//! keys wherever they are, so these are listed once, in [`USAGE`] and [`ERROR`].

use super::Accounting::{CacheBesideInput, Included, InputExcludesCache, OutputExcludesReasoning};
use super::Action::{
    self as A, Base64Document, Count, Error, ErrorText, StandaloneCount, Usage, Word,
};
use super::CountOp::{Add, Increment, Max, Set, SetIfAbsent};
use super::TokenType::{Audio, CacheRead, CacheWrite, Input, Output, Reasoning, ToolInput, Total};
use super::{ErrorPart, Flag, Format, Marker, Merge, Row, UsageSource, WordField};

const fn replace(rank: u8, format: Format) -> UsageSource {
    UsageSource { rank, merge: Merge::Replace, format }
}

const fn per_field(rank: u8, format: Format) -> UsageSource {
    UsageSource { rank, merge: Merge::PerField, format }
}

const fn sum(rank: u8, format: Format) -> UsageSource {
    UsageSource { rank, merge: Merge::Sum, format }
}

/// The paths of a document: a whole body, or one event of a stream.
#[rustfmt::skip]
pub(in crate::usage) const ROOT: &[Row] = &[
    // The usage object most formats have.
    ("usage",                                Usage(replace(20, Format::Unspecified))),
    ("response.usage",                       Usage(replace(20, Format::OpenAiResponses))),
    ("message.usage",                        Usage(per_field(20, Format::Anthropic))),
    ("delta.usage",                          Usage(replace(20, Format::CohereV2))),
    ("interaction.usage",                    Usage(replace(20, Format::GeminiInteractions))),
    ("x_groq.usage",                         Usage(replace(10, Format::OpenAiChat))),
    // Cohere v1, and its other endpoints.
    ("meta",                                 Usage(replace(20, Format::CohereV1))),
    ("response.meta",                        Usage(replace(20, Format::CohereV1))),
    // Gemini; Cloud Code wraps it.
    ("usageMetadata",                        Usage(replace(20, Format::Gemini))),
    ("response.usageMetadata",               Usage(replace(20, Format::Gemini))),
    // Agents: their own JSON, Strands' events (one per call of a model) and summaries, AG-UI, A2A.
    ("token_usage",                          Usage(replace(25, Format::AgentCore))),
    ("event.metadata.usage",                 Usage(sum(30, Format::Strands))),
    ("metadata.usage",                       Usage(replace(20, Format::BedrockConverse))),
    ("accumulated_usage",                    Usage(replace(21, Format::Strands))),
    ("metrics.accumulated_usage",            Usage(replace(21, Format::Strands))),
    ("metrics.agent_invocations[].usage",    Usage(replace(22, Format::Strands))),
    ("result.accumulated_usage",             Usage(replace(21, Format::Strands))),
    ("result.metrics.accumulated_usage",     Usage(replace(21, Format::Strands))),
    ("result.metrics.agent_invocations[].usage", Usage(replace(22, Format::Strands))),
    ("usage[]",                              Usage(sum(20, Format::AgUi))),
    ("result.metadata.usage",                Usage(replace(20, Format::A2a))),
    ("result.status.message.metadata.usage", Usage(replace(19, Format::A2a))),
    ("message.metadata.usage",               Usage(replace(20, Format::A2a))),
    // Bedrock: metrics beside what the model itself reports, and agents' traces (one per call of a model).
    ("amazon-bedrock-invocationMetrics",     Usage(replace(15, Format::BedrockInvoke))),
    ("trace.preProcessingTrace.modelInvocationOutput.metadata.usage",       Usage(sum(20, Format::BedrockAgent))),
    ("trace.routingClassifierTrace.modelInvocationOutput.metadata.usage",   Usage(sum(20, Format::BedrockAgent))),
    ("trace.orchestrationTrace.modelInvocationOutput.metadata.usage",       Usage(sum(20, Format::BedrockAgent))),
    ("trace.customOrchestrationTrace.modelInvocationOutput.metadata.usage", Usage(sum(20, Format::BedrockAgent))),
    ("trace.postProcessingTrace.modelInvocationOutput.metadata.usage",      Usage(sum(20, Format::BedrockAgent))),
    // Counts outside of any usage object.
    ("prompt_eval_count",                    StandaloneCount(Input, Set, per_field(20, Format::Ollama))),
    ("eval_count",                           StandaloneCount(Output, Set, per_field(20, Format::Ollama))),
    ("prompt_token_count",                   StandaloneCount(Input, Set, per_field(20, Format::BedrockInvoke))),
    ("generation_token_count",               StandaloneCount(Output, Set, per_field(20, Format::BedrockInvoke))),
    ("inputTextTokenCount",                  StandaloneCount(Input, Set, per_field(20, Format::BedrockInvoke))),
    ("totalOutputTextTokenCount",            StandaloneCount(Output, Set, per_field(20, Format::BedrockInvoke))),
    ("results[].tokenCount",                 StandaloneCount(Output, Add, per_field(20, Format::BedrockInvoke))),
    // Later chunks report an input of zero.
    ("results[].input_token_count",          StandaloneCount(Input, Max, per_field(20, Format::Watsonx))),
    ("results[].generated_token_count",      StandaloneCount(Output, Set, per_field(20, Format::Watsonx))),
    ("num_tokens_prompt_total",              StandaloneCount(Input, Set, per_field(20, Format::AlephAlpha))),
    ("num_tokens_generated",                 StandaloneCount(Output, Set, per_field(20, Format::AlephAlpha))),
    ("details.generated_tokens",             StandaloneCount(Output, Set, per_field(20, Format::Tgi))),
    ("details.prefill[]",                    StandaloneCount(Input, Increment, per_field(20, Format::Tgi))),
    ("metrics.input_token_count",            StandaloneCount(Input, Set, per_field(20, Format::Replicate))),
    ("metrics.output_token_count",           StandaloneCount(Output, Set, per_field(20, Format::Replicate))),
    // The format, the type of the event, and how the model ended.
    ("type",                                 Word(WordField::Type)),
    ("object",                               Word(WordField::Object)),
    ("status",                               Word(WordField::Status)),
    ("response.status",                      Word(WordField::ResponseStatus)),
    ("event_type",                           Word(WordField::EventType)),
    ("finish_reason",                        Word(WordField::CohereFinish)),
    ("delta.finish_reason",                  Word(WordField::CohereFinish)),
    ("choices",                              A::Marker(Marker::Choices)),
    ("choices[].finish_reason",              Word(WordField::ChatFinish)),
    ("candidates",                           A::Marker(Marker::Candidates)),
    ("candidates[].finishReason",            A::Marker(Marker::Finish)),
    ("promptFeedback.blockReason",           A::Marker(Marker::Finish)),
    ("response.candidates",                  A::Marker(Marker::Candidates)),
    ("response.candidates[].finishReason",   A::Marker(Marker::Finish)),
    ("response.promptFeedback.blockReason",  A::Marker(Marker::Finish)),
    ("results[].stop_reason",                Word(WordField::WatsonxStop)),
    ("stopReason",                           Word(WordField::ConverseStop)),
    ("created_at",                           A::Marker(Marker::CreatedAt)),
    ("done",                                 A::Flag(Flag::Done)),
    ("result.status.state",                  Word(WordField::TaskState)),
    ("jsonrpc",                              A::Marker(Marker::JsonRpc)),
    // Errors.
    ("error",                                Error),
    ("response.error",                       Error),
    ("last_error",                           Error),
    ("choices[].error",                      Error),
    ("delta.error",                          ErrorText(ErrorPart::Message, 4)),
    ("success",                              A::Flag(Flag::Success)),
    ("result.isError",                       A::Flag(Flag::IsError)),
    ("error_type",                           ErrorText(ErrorPart::Code, 2)),
    ("code",                                 ErrorText(ErrorPart::Code, 1)),
    ("message",                              ErrorText(ErrorPart::Message, 3)),
    ("Message",                              ErrorText(ErrorPart::Message, 3)),
    ("detail",                               ErrorText(ErrorPart::Message, 2)),
    ("detail[].msg",                         ErrorText(ErrorPart::Message, 2)),
    ("errors[].message",                     ErrorText(ErrorPart::Message, 2)),
    ("result.content[].text",                ErrorText(ErrorPart::Message, 1)),
    ("result.status.message.parts[].text",   ErrorText(ErrorPart::Message, 1)),
];

/// A `chunk` frame of Bedrock's `InvokeModelWithResponseStream`.
pub(in crate::usage) const CHUNK: &[Row] =
    &[("bytes", Base64Document), ("message", ErrorText(ErrorPart::Message, 3))];

/// A `metadata` frame of `ConverseStream` and its like.
pub(in crate::usage) const METADATA: &[Row] = &[("usage", Usage(sum(20, Format::BedrockConverse)))];

/// The counts of usage objects.
#[rustfmt::skip]
pub(in crate::usage) const USAGE: &[Row] = &[
    // OpenAI's chat and embeddings, and the many that follow them.
    ("prompt_tokens",                             Count(Input, Set, Included)),
    ("completion_tokens",                         Count(Output, Set, Included)),
    ("total_tokens",                              Count(Total, Set, Included)),
    ("prompt_tokens_details.cached_tokens",       Count(CacheRead, Set, Included)),
    ("prompt_tokens_details.cache_write_tokens",  Count(CacheWrite, Set, Included)),
    ("prompt_tokens_details.audio_tokens",        Count(Audio, Set, Included)),
    ("prompt_token_details.cached_tokens",        Count(CacheRead, SetIfAbsent, Included)),
    ("prompt_cache_hit_tokens",                   Count(CacheRead, SetIfAbsent, Included)),
    ("cached_tokens",                             Count(CacheRead, SetIfAbsent, Included)),
    ("num_cached_tokens",                         Count(CacheRead, SetIfAbsent, Included)),
    ("completion_tokens_details.reasoning_tokens", Count(Reasoning, Set, Included)),
    ("reasoning_tokens",                          Count(Reasoning, SetIfAbsent, Included)),
    // OpenAI's Responses and images; Anthropic, which does not include cached tokens in the input.
    ("input_tokens",                              Count(Input, Set, InputExcludesCache)),
    ("output_tokens",                             Count(Output, Set, Included)),
    ("input_tokens_details.cached_tokens",        Count(CacheRead, Set, Included)),
    ("input_tokens_details.cache_write_tokens",   Count(CacheWrite, Set, Included)),
    ("output_tokens_details.reasoning_tokens",    Count(Reasoning, Set, Included)),
    ("cache_read_input_tokens",                   Count(CacheRead, Set, CacheBesideInput)),
    ("cache_creation_input_tokens",               Count(CacheWrite, Set, CacheBesideInput)),
    ("output_tokens_details.thinking_tokens",     Count(Reasoning, Set, Included)),
    // Bedrock Converse and its metrics, Strands, AG-UI. (`cacheDetails[].inputTokens` is no input.)
    ("inputTokens",                               Count(Input, Set, InputExcludesCache)),
    ("outputTokens",                              Count(Output, Set, Included)),
    ("totalTokens",                               Count(Total, Set, Included)),
    ("cacheReadInputTokens",                      Count(CacheRead, Set, CacheBesideInput)),
    ("cacheWriteInputTokens",                     Count(CacheWrite, Set, CacheBesideInput)),
    ("inputTokenCount",                           Count(Input, Set, InputExcludesCache)),
    ("outputTokenCount",                          Count(Output, Set, Included)),
    ("cacheReadInputTokenCount",                  Count(CacheRead, SetIfAbsent, CacheBesideInput)),
    ("cacheWriteInputTokenCount",                 Count(CacheWrite, SetIfAbsent, CacheBesideInput)),
    ("cachedInputTokens",                         Count(CacheRead, Set, Included)),
    ("reasoningTokens",                           Count(Reasoning, Set, Included)),
    // Gemini: generateContent, Live, Interactions.
    ("promptTokenCount",                          Count(Input, Set, Included)),
    ("candidatesTokenCount",                      Count(Output, Set, Included)),
    ("responseTokenCount",                        Count(Output, SetIfAbsent, Included)),
    ("totalTokenCount",                           Count(Total, Set, Included)),
    ("cachedContentTokenCount",                   Count(CacheRead, Set, Included)),
    ("thoughtsTokenCount",                        Count(Reasoning, Set, OutputExcludesReasoning)),
    ("toolUsePromptTokenCount",                   Count(ToolInput, Set, Included)),
    ("total_input_tokens",                        Count(Input, Set, Included)),
    ("total_output_tokens",                       Count(Output, Set, Included)),
    ("total_cached_tokens",                       Count(CacheRead, Set, Included)),
    ("total_thought_tokens",                      Count(Reasoning, Set, OutputExcludesReasoning)),
    ("total_tool_use_tokens",                     Count(ToolInput, Set, Included)),
    // Cohere: the tokens that were used, rather than those that are billed.
    ("tokens.input_tokens",                       Count(Input, Set, Included)),
    ("tokens.output_tokens",                      Count(Output, Set, Included)),
    ("tokens.reasoning_tokens",                   Count(Reasoning, Set, Included)),
    ("billed_units.input_tokens",                 Count(Input, SetIfAbsent, Included)),
    ("billed_units.output_tokens",                Count(Output, SetIfAbsent, Included)),
    ("billed_units.total_tokens",                 Count(Total, SetIfAbsent, Included)),
    // OpenAI's transcriptions: what the object counts.
    ("type",                                      Word(WordField::UsageType)),
];

/// The texts of error objects.
#[rustfmt::skip]
pub(in crate::usage) const ERROR: &[Row] = &[
    ("message",    ErrorText(ErrorPart::Message, 5)),
    ("code",       ErrorText(ErrorPart::Code, 4)),
    ("type",       ErrorText(ErrorPart::Code, 3)),
    ("status",     ErrorText(ErrorPart::Code, 1)),
];
