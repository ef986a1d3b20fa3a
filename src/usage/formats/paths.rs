//! Where each format keeps its usage, its errors, its end markers, its model and its id.
//!
//! # Paths
//!
//! A path is written as `choices[].error`, with keys joined by dots:
//!
//! | part | stands for |
//! | --- | --- |
//! | `key` | this key |
//! | `key[]` | each element of an array at this key |
//! | `*` | any key that has no row of its own |
//! | `*-input`, `*embedding*` | any such key with this end, or with this in it |
//! | `key{}` | an object at this key: it has the keys of its action's [`Shape`](super::Shape), while a text or anything else there is left to the row without the braces |
//!
//! The root itself may also be an array of documents.
//!
//! Objects that hold content (a tool's arguments, a document, the messages of a conversation) are
//! on no path, so that nothing in them is usage or an error.
//!
//! # Ranks of usage
//!
//! Of usage in several places the highest rank counts, before and after it in the document or the
//! stream:
//!
//! | rank | of |
//! | --- | --- |
//! | 30 | events of an agent, one for each call of a model |
//! | 25 | an agent's own figures at the root |
//! | 22, 21 | sums beside the figures of the last step |
//! | 20 | the place that the format documents |
//! | 19 to 15 | the same in an envelope, in a choice or a message; metrics beside what the model reports |
//! | 10 | copies of what is elsewhere |
//!
//! # Ranks of texts
//!
//! Of the texts of an error the highest rank that says something stays. An error that is a text has 200.
//! The texts in an error's object have 120 to 100, those beside it 90 to 78, in the same order; the
//! answer's own text has 30 or less. A lower rank stands for a text that is less often about the error.

use super::Accounting::Included;
use super::Action::{
    self as A, Base64Document, Code, Count, Envelope, Error, ErrorText, Flag, Id, Info,
    ListedError, Response, StandaloneCount, Task, Usage, WebSearches, Word,
};
use super::CountOp::{Add, Increment, Max, Set};
use super::ErrorPart::{self, Message};
use super::TokenType::{CacheRead, CacheWrite, Input, Output, Reasoning, Total};
use super::{
    CodeField, Flag as F, Format, IdField, InfoField, Marker, Merge, Row, UsageSource, WordField,
};

pub(super) const fn replace(rank: u8, format: Format) -> UsageSource {
    UsageSource { rank, merge: Merge::Replace, format }
}

const fn per_field(rank: u8, format: Format) -> UsageSource {
    UsageSource { rank, merge: Merge::PerField, format }
}

const fn sum(rank: u8, format: Format) -> UsageSource {
    UsageSource { rank, merge: Merge::Sum, format }
}

const fn sum_of_events(rank: u8, format: Format) -> UsageSource {
    UsageSource { rank, merge: Merge::SumOfEvents, format }
}

/// A marker.
pub(super) const fn marker(marker: Marker) -> A {
    A::Marker(marker)
}

/// The paths of a document: a whole body, or one event of a stream. Those of [`RESPONSE`] are added.
#[rustfmt::skip]
pub(super) const ROOT: &[Row] = &[
    // The usage object most formats have.
    ("usage",                                Usage(replace(20, Format::Unspecified))),
    ("usage[]",                              Usage(sum(20, Format::AgUi))),
    ("message.usage",                        Usage(per_field(20, Format::Anthropic))),
    ("delta.usage",                          Usage(replace(20, Format::CohereV2))),
    ("metadata.usage",                       Usage(replace(20, Format::BedrockConverse))),
    ("metadata{}",                           Envelope),
    // Groq, in the last chunk of a stream, with or without `usage` beside it.
    ("x_groq.usage",                         Usage(replace(10, Format::OpenAiChat))),
    ("usageMetadata",                        Usage(sum_of_events(20, Format::Gemini))),
    // Agents: their own JSON, and Strands' events (one per call of a model).
    ("token_usage",                          Usage(replace(25, Format::AgentCore))),
    ("event.metadata.usage",                 Usage(sum(30, Format::Strands))),
    // Bedrock: metrics beside what the model itself reports, a speech session, and agents' traces
    // (one per call of a model).
    ("amazon-bedrock-invocationMetrics",     Usage(replace(15, Format::BedrockInvoke))),
    ("event.usageEvent",                     Usage(replace(20, Format::NovaSonic))),
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
    ("details",                              ErrorText(Message, 87)),
    ("details.generated_tokens",             StandaloneCount(Output, Set, per_field(20, Format::Tgi))),
    ("details.prefill[]",                    StandaloneCount(Input, Increment, per_field(20, Format::Tgi))),
    ("tokens_evaluated",                     StandaloneCount(Input, Set, per_field(20, Format::LlamaCpp))),
    ("tokens_predicted",                     StandaloneCount(Output, Set, per_field(20, Format::LlamaCpp))),
    // Counts that are usage only if something beside them says so: Letta, KoboldCpp.
    ("prompt_tokens",                        Count(Input, Set, Included)),
    ("completion_tokens",                    Count(Output, Set, Included)),
    ("cached_input_tokens",                  Count(CacheRead, Set, Included)),
    ("cache_write_tokens",                   Count(CacheWrite, Set, Included)),
    ("reasoning_tokens",                     Count(Reasoning, Set, Included)),
    ("results[].prompt_tokens",              Count(Input, Max, Included)),
    ("results[].completion_tokens",          Count(Output, Add, Included)),
    ("results[].finish_reason",              Word(WordField::KoboldFinish)),
    ("results[].relevance_score",            marker(Marker::Score)),
    ("message_type",                         Word(WordField::Event)),
    ("workflow_run_id",                      marker(Marker::WorkflowRunId)),
    // The format, the type of the event, and how the model ended.
    ("type",                                 Word(WordField::Type)),
    ("event",                                Word(WordField::Event)),
    ("event_type",                           Word(WordField::EventType)),
    ("finish_reason",                        Word(WordField::CohereFinish)),
    ("delta.finish_reason",                  Word(WordField::CohereFinish)),
    ("choices",                              marker(Marker::Choices)),
    ("choices[]",                            marker(Marker::Choice)),
    ("choices[].finish_reason",              Word(WordField::ChatFinish)),
    // Moonshot's streams: https://github.com/earendil-works/pi/issues/2017
    ("choices[].usage",                      Usage(replace(19, Format::OpenAiChat))),
    // OpenRouter, where the provider of a choice failed.
    ("choices[].error",                      Error),
    ("output{}",                             Envelope),
    ("output.finish_reason",                 Word(WordField::DashScopeFinish)),
    ("output.choices[].finish_reason",       Word(WordField::DashScopeFinish)),
    ("results[].stop_reason",                Word(WordField::WatsonxStop)),
    ("stopReason",                           Word(WordField::ConverseStop)),
    // Anthropic and Letta; Anthropic's streams; Ollama; the AI SDK; TGI; models of Bedrock by AI21,
    // Aleph Alpha, Amazon, Cohere and Mistral; Strands.
    ("stop_reason",                          Word(WordField::Finish)),
    ("delta.stop_reason",                    Word(WordField::Finish)),
    ("done_reason",                          Word(WordField::Finish)),
    ("finishReason",                         Word(WordField::Finish)),
    ("details.finish_reason",                Word(WordField::Finish)),
    ("completions[].finish_reason",          Word(WordField::Finish)),
    ("completions[].finishReason.reason",    Word(WordField::Finish)),
    ("completionReason",                     Word(WordField::Finish)),
    ("results[].completionReason",           Word(WordField::Finish)),
    ("generations[].finish_reason",          Word(WordField::Finish)),
    ("response.finish_reason",               Word(WordField::Finish)),
    ("response.generations[].finish_reason", Word(WordField::Finish)),
    ("outputs[].stop_reason",                Word(WordField::Finish)),
    ("event.messageStop.stopReason",         Word(WordField::Finish)),
    ("messageStop.stopReason",               Word(WordField::Finish)),
    // The model that answered. Of an agent that calls several the first one.
    ("model",                                Info(InfoField::Model)),
    ("response.model",                       Info(InfoField::Model)),
    ("message.model",                        Info(InfoField::Model)),
    ("interaction.model",                    Info(InfoField::Model)),
    // Gemini, also as Cloud Code wraps it; watsonx; Aleph Alpha.
    ("modelVersion",                         Info(InfoField::Model)),
    ("response.modelVersion",                Info(InfoField::Model)),
    ("model_id",                             Info(InfoField::Model)),
    ("model_version",                        Info(InfoField::Model)),
    // Bedrock: the model that a prompt router has chosen, and those of an agent's traces.
    // https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_PromptRouterTrace.html
    ("trace.promptRouter.invokedModelId",    Info(InfoField::Model)),
    ("trace.preProcessingTrace.modelInvocationInput.foundationModel",       Info(InfoField::Model)),
    ("trace.routingClassifierTrace.modelInvocationInput.foundationModel",   Info(InfoField::Model)),
    ("trace.orchestrationTrace.modelInvocationInput.foundationModel",       Info(InfoField::Model)),
    ("trace.customOrchestrationTrace.modelInvocationInput.foundationModel", Info(InfoField::Model)),
    ("trace.postProcessingTrace.modelInvocationInput.foundationModel",      Info(InfoField::Model)),
    // The id of the answer, not of what is in it: items, messages, calls of tools.
    ("id",                                   Id(IdField::AnswerId)),
    ("response.id",                          Id(IdField::AnswerId)),
    ("interaction.id",                       Id(IdField::AnswerId)),
    ("message.id",                           Info(InfoField::ResponseId)),
    ("responseId",                           Info(InfoField::ResponseId)),
    ("response.responseId",                  Info(InfoField::ResponseId)),
    ("response_id",                          Info(InfoField::ResponseId)),
    ("response.response_id",                 Info(InfoField::ResponseId)),
    // The tier that served it; Bedrock Converse has it in an object.
    // https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ServiceTier.html
    ("service_tier",                         Info(InfoField::ServiceTier)),
    ("response.service_tier",                Info(InfoField::ServiceTier)),
    ("interaction.service_tier",             Info(InfoField::ServiceTier)),
    ("serviceTier.type",                     Info(InfoField::ServiceTier)),
    // OpenAI's Responses.
    ("tool_usage.web_search.num_requests",   WebSearches),
    ("response.tool_usage.web_search.num_requests", WebSearches),
    ("author",                               marker(Marker::Author)),
    ("invocationId",                         marker(Marker::InvocationId)),
    ("invocation_id",                        marker(Marker::InvocationId)),
    ("partial",                              Flag(F::Partial)),
    ("created_at",                           marker(Marker::CreatedAt)),
    ("done",                                 Flag(F::Done)),
    ("jsonrpc",                              marker(Marker::JsonRpc)),
    // Objects that may be whole answers in themselves.
    ("result",                               Response),
    // The results of Anthropic's batches: a row for each call of a model.
    ("result.message.usage",                 Usage(sum(20, Format::Anthropic))),
    ("result.message",                       ErrorText(Message, 90)),
    ("result.message{}",                     Envelope),
    ("data",                                 Response),
    ("response",                             Response),
    ("interaction",                          Task),
    ("task",                                 Task),
    ("statusUpdate",                         Task),
    ("result.task",                          Task),
    ("result.statusUpdate",                  Task),
    // Errors.
    // A list alone is the answer (GraphQL without data); beside data its errors are of parts:
    // https://spec.graphql.org/draft/#sec-Response-Format
    ("error[]",                              ListedError),
    ("errors[]",                             ListedError),
    ("errors.data[].message",                ErrorText(Message, 40)),
    ("errors.data[].code",                   ErrorText(ErrorPart::Code, 1)),
    ("error",                                Error),
    ("delta.error",                          ErrorText(Message, 90)),
    ("message",                              ErrorText(Message, 90)),
    ("message{}",                            Envelope),
    ("Message",                              ErrorText(Message, 90)),
    ("detail",                               ErrorText(Message, 88)),
    // Coze; FastAPI's list of what is invalid; Bedrock's agents.
    ("detail.logid",                         marker(Marker::LogId)),
    ("detail[].msg",                         ErrorText(Message, 88)),
    ("trace.failureTrace",                   marker(Marker::Failure)),
    ("trace.failureTrace.failureReason",     ErrorText(Message, 81)),
    // Claude Code: the text is in `result`, or the subtype says what it is.
    ("is_error",                             Flag(F::IsError)),
    ("subtype",                              ErrorText(Message, 10)),
    ("content",                              ErrorText(Message, 21)),
    ("statusCode",                           Code(CodeField::HttpStatus)),
];

/// The paths of an object that may say how an agent's task ended. Those of [`ENVELOPE`] are added.
#[rustfmt::skip]
pub(super) const RESPONSE: &[Row] = &[
    // A task: what it is, which, and where it stands.
    ("object",                               Word(WordField::Object)),
    ("kind",                                 Word(WordField::Kind)),
    ("type",                                 Word(WordField::AnswerType)),
    ("status",                               Word(WordField::Status)),
    ("status.state",                         Word(WordField::Status)),
    ("status.message.parts[].text",          ErrorText(Message, 30)),
    ("status.message.metadata.usage",        Usage(replace(17, Format::A2a))),
    ("processing_status",                    Word(WordField::Status)),
    ("id",                                   Id(IdField::Id)),
    ("run_id",                               Id(IdField::RunId)),
    ("task_id",                              Id(IdField::TaskId)),
    ("taskId",                               Id(IdField::TaskId)),
    ("urls.get",                             marker(Marker::UrlsGet)),
    // OpenAI's Responses and runs.
    ("incomplete_details.reason",            Word(WordField::Finish)),
    ("final",                                Flag(F::Final)),
    // Gemini; Cloud Code wraps it.
    ("candidates",                           marker(Marker::Candidates)),
    ("candidates[].finishReason",            Word(WordField::GeminiFinish)),
    ("candidates[].finishMessage",           ErrorText(Message, 60)),
    ("promptFeedback.blockReason",           marker(Marker::Finish)),
    // SGLang.
    ("meta_info",                            Usage(replace(18, Format::SgLang))),
    ("meta_info.finish_reason.type",         Word(WordField::SglangFinish)),
    ("meta_info.finish_reason.message",      ErrorText(Message, 90)),
    // A count that is usage only if something beside it says so: Dify.
    ("total_tokens",                         Count(Total, Set, Included)),
    // Errors, and the texts that explain them.
    ("error",                                Error),
    // What LangGraph returns for a run that failed, if it was waited for.
    ("__error__",                            Error),
    // OpenAI's runs; Coze, which has one in every event, of code 0 unless it failed.
    ("last_error",                           Error),
    ("lastError",                            Error),
    ("success",                              Word(WordField::Success)),
    ("ok",                                   Flag(F::Ok)),
    ("isError",                              Flag(F::IsError)),
    ("content[].text",                       ErrorText(Message, 30)),
    ("error_type",                           ErrorText(ErrorPart::Code, 2)),
    ("errorType",                            ErrorText(ErrorPart::Code, 2)),
    ("code",                                 Code(CodeField::Code)),
    ("error_code",                           Code(CodeField::ErrorCode)),
    ("errorCode",                            Code(CodeField::EventErrorCode)),
    // MiniMax answers with status 200: https://github.com/MiniMax-AI/MiniMax-M2.5/issues/18
    ("base_resp.status_code",                Code(CodeField::StatusCode)),
    ("base_resp.status_msg",                 ErrorText(Message, 82)),
    ("message",                              ErrorText(Message, 90)),
    ("message{}",                            Envelope),
    ("msg",                                  ErrorText(Message, 89)),
    ("detail",                               ErrorText(Message, 88)),
    ("details",                              ErrorText(Message, 87)),
    ("error_message",                        ErrorText(ErrorPart::ErrorMessage, 86)),
    ("errorMessage",                         ErrorText(ErrorPart::ErrorMessage, 85)),
    ("errorText",                            ErrorText(ErrorPart::ErrorMessage, 84)),
    ("error_msg",                            ErrorText(ErrorPart::ErrorMessage, 83)),
    ("status_msg",                           ErrorText(Message, 82)),
    ("failureReason",                        ErrorText(Message, 81)),
    ("ErrorDetails",                         ErrorText(Message, 80)),
    ("reason",                               ErrorText(Message, 79)),
    ("description",                          ErrorText(Message, 78)),
];

/// The paths of an object that says something only if it is a task: of A2A, or an interaction of
/// Gemini's. Those of [`ENVELOPE`] are added.
#[rustfmt::skip]
pub(super) const TASK: &[Row] = &[
    ("kind",                                 Word(WordField::Kind)),
    ("object",                               Word(WordField::Object)),
    ("status",                               Word(WordField::Status)),
    ("status.state",                         Word(WordField::Status)),
    ("status.message.parts[].text",          ErrorText(Message, 30)),
    ("status.message.metadata.usage",        Usage(replace(17, Format::A2a))),
    ("error.message",                        ErrorText(Message, 107)),
    ("error.code",                           ErrorText(ErrorPart::Code, 3)),
    ("id",                                   Id(IdField::Id)),
    ("taskId",                               Id(IdField::TaskId)),
    ("final",                                Flag(F::Final)),
];

/// The paths of usage in an object that wraps an answer. No counts outside of a usage object are here:
/// reports about usage are full of such. The rows at the end are the keys of the wrappers themselves.
#[rustfmt::skip]
pub(super) const ENVELOPE: &[Row] = &[
    ("usage",                                Usage(replace(18, Format::Unspecified))),
    ("usage[]",                              Usage(sum(18, Format::Unspecified))),
    ("usageMetadata",                        Usage(sum_of_events(18, Format::Gemini))),
    ("usage_metadata",                       Usage(sum_of_events(18, Format::LangChain))),
    ("adk_usage_metadata",                   Usage(replace(18, Format::Adk))),
    // Of the messages that an agent returns the last one counts: earlier ones may be the conversation's.
    ("messages[].usage_metadata",            Usage(replace(16, Format::LangChain))),
    ("usage_details",                        Usage(replace(18, Format::Unspecified))),
    ("usageDetails",                         Usage(replace(18, Format::Unspecified))),
    ("token_usage",                          Usage(replace(19, Format::AgentCore))),
    ("token_usage[]",                        Usage(sum(19, Format::Unspecified))),
    ("tokenUsage",                           Usage(replace(19, Format::Unspecified))),
    ("tokenUsage[]",                         Usage(sum(19, Format::Unspecified))),
    // Sums, beside the figures of the last step.
    ("totalUsage",                           Usage(replace(21, Format::AiSdk))),
    ("total_usage",                          Usage(replace(21, Format::Unspecified))),
    ("accumulated_usage",                    Usage(replace(21, Format::Strands))),
    ("metrics",                              Usage(replace(17, Format::Unspecified))),
    ("meta",                                 Usage(replace(20, Format::CohereV1))),
    ("meta_info",                            Usage(replace(18, Format::SgLang))),
    ("predictions[].embeddings.statistics.token_count",
                                             StandaloneCount(Input, Add, per_field(15, Format::VertexPredict))),
    ("choices[].usage",                      Usage(replace(17, Format::OpenAiChat))),
    ("result",                               Envelope),
    ("data",                                 Envelope),
    ("output",                               Envelope),
    ("payload",                              Envelope),
    ("response",                             Envelope),
    ("message",                              Envelope),
    ("metadata",                             Envelope),
    ("step",                                 Envelope),
    ("body",                                 Envelope),
    ("answer",                               Envelope),
    ("chunk",                                Envelope),
    ("completion",                           Envelope),
    ("generation",                           Envelope),
    ("info",                                 Envelope),
    ("interaction",                          Envelope),
    ("item",                                 Envelope),
    ("raw",                                  Envelope),
    ("run",                                  Envelope),
    ("update",                               Envelope),
    ("value",                                Envelope),
    ("values",                               Envelope),
    ("chatResponse",                         Envelope),
    ("chat_response",                        Envelope),
    ("llmOutput",                            Envelope),
    ("llm_output",                           Envelope),
    ("messageMetadata",                      Envelope),
    ("message_metadata",                     Envelope),
    ("modelOutput",                          Envelope),
    ("model_output",                         Envelope),
    ("rawResponse",                          Envelope),
    ("raw_response",                         Envelope),
    ("responseMetadata",                     Envelope),
    ("response_metadata",                    Envelope),
];

/// A `chunk` frame of Bedrock's `InvokeModelWithResponseStream`.
pub(super) const CHUNK: &[Row] = &[("bytes", Base64Document), ("message", ErrorText(Message, 90))];

/// A `metadata` frame of `ConverseStream` and its like.
#[rustfmt::skip]
pub(super) const METADATA: &[Row] = &[
    ("usage",                                Usage(sum(20, Format::BedrockConverse))),
    ("trace.promptRouter.invokedModelId",    Info(InfoField::Model)),
    ("serviceTier.type",                     Info(InfoField::ServiceTier)),
];

/// The last frame of a Lambda function's response stream.
pub(super) const COMPLETION: &[Row] =
    &[("ErrorCode", Code(CodeField::InvokeError)), ("ErrorDetails", ErrorText(Message, 250))];

/// The texts of error objects.
#[rustfmt::skip]
pub(super) const ERROR: &[Row] = &[
    ("message",       ErrorText(Message, 120)),
    ("msg",           ErrorText(Message, 119)),
    ("detail",        ErrorText(Message, 118)),
    ("details",       ErrorText(Message, 117)),
    ("error_message", ErrorText(Message, 116)),
    ("errorMessage",  ErrorText(Message, 115)),
    ("errorText",     ErrorText(Message, 114)),
    ("error_msg",     ErrorText(Message, 113)),
    ("status_msg",    ErrorText(Message, 112)),
    ("failureReason", ErrorText(Message, 111)),
    ("ErrorDetails",  ErrorText(Message, 110)),
    ("reason",        ErrorText(Message, 109)),
    ("description",   ErrorText(Message, 108)),
    ("error",         ErrorText(Message, 107)),
    ("error.message", ErrorText(Message, 106)),
    ("error.code",    ErrorText(ErrorPart::Code, 3)),
    ("data.message",  ErrorText(Message, 105)),
    ("code",          ErrorText(ErrorPart::Code, 5)),
    ("type",          ErrorText(ErrorPart::Code, 4)),
    ("status",        ErrorText(ErrorPart::Code, 2)),
    ("param",         A::None),
    ("*",             ErrorText(Message, 100)),
];
