//! The keys of usage objects, in the notation of [`paths`](super::paths).

use super::Accounting::{CacheBesideInput, Included, InputExcludesCache, OutputExcludesReasoning};
use super::Action::{Cost, Count, Info, Part, Usage, WebSearches, Word};
use super::CountOp::{Add, Set, SetIfAbsent};
use super::TokenType::{Audio, CacheRead, CacheWrite, Input, Output, Reasoning, ToolInput, Total};
use super::paths::{marker, replace};
use super::{CostUnit, Format, InfoField, Marker, Row, UsagePart, WordField};

/// The counts of usage objects.
#[rustfmt::skip]
pub(super) const USAGE: &[Row] = &[
    // OpenAI's chat and embeddings, and the many that follow them.
    ("prompt_tokens",                             Count(Input, Set, Included)),
    ("completion_tokens",                         Count(Output, Set, Included)),
    ("total_tokens",                              Count(Total, Set, Included)),
    // The parts of the input that were written to the cache, in the spellings of DashScope
    // (https://github.com/dashscope/dashscope-sdk-java/issues/214), LiteLLM and new-api.
    ("prompt_tokens_details.cached_tokens",       Count(CacheRead, Set, Included)),
    ("prompt_tokens_details.cache_write_tokens",  Count(CacheWrite, Set, Included)),
    ("prompt_tokens_details.cache_creation_tokens",       Count(CacheWrite, SetIfAbsent, Included)),
    ("prompt_tokens_details.cache_creation_input_tokens", Count(CacheWrite, SetIfAbsent, Included)),
    ("prompt_tokens_details.cached_creation_tokens",      Count(CacheWrite, SetIfAbsent, Included)),
    ("prompt_tokens_details.audio_tokens",        Count(Audio, Set, Included)),
    ("prompt_token_details.cached_tokens",        Count(CacheRead, SetIfAbsent, Included)),
    ("prompt_cache_hit_tokens",                   Count(CacheRead, SetIfAbsent, Included)),
    ("cached_tokens",                             Count(CacheRead, SetIfAbsent, Included)),
    ("num_cached_tokens",                         Count(CacheRead, SetIfAbsent, Included)),
    ("cached_input_tokens",                       Count(CacheRead, SetIfAbsent, Included)),
    ("cache_read_tokens",                         Count(CacheRead, SetIfAbsent, Included)),
    ("cache_write_tokens",                        Count(CacheWrite, SetIfAbsent, Included)),
    ("cache_creation_tokens",                     Count(CacheWrite, SetIfAbsent, Included)),
    ("completion_tokens_details.reasoning_tokens", Count(Reasoning, Set, Included)),
    ("reasoning_tokens",                          Count(Reasoning, SetIfAbsent, Included)),
    ("reasoning_output_tokens",                   Count(Reasoning, SetIfAbsent, Included)),
    // Vercel's gateway: reasoning is in neither `completion_tokens` nor `total_tokens`.
    ("market_cost",                               marker(Marker::MarketCost)),
    // OpenAI's Responses and images; Anthropic, which does not include cached tokens in the input:
    // https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching
    ("input_tokens",                              Count(Input, SetIfAbsent, InputExcludesCache)),
    ("output_tokens",                             Count(Output, SetIfAbsent, Included)),
    ("input_tokens_details.cached_tokens",        Count(CacheRead, SetIfAbsent, Included)),
    ("input_tokens_details.cache_write_tokens",   Count(CacheWrite, SetIfAbsent, Included)),
    ("input_tokens_details.cache_creation_tokens",       Count(CacheWrite, SetIfAbsent, Included)),
    ("input_tokens_details.cache_creation_input_tokens", Count(CacheWrite, SetIfAbsent, Included)),
    ("input_tokens_details.cached_creation_tokens",      Count(CacheWrite, SetIfAbsent, Included)),
    ("output_tokens_details.reasoning_tokens",    Count(Reasoning, SetIfAbsent, Included)),
    ("cache_read_input_tokens",                   Count(CacheRead, SetIfAbsent, CacheBesideInput)),
    ("cache_creation_input_tokens",               Count(CacheWrite, SetIfAbsent, CacheBesideInput)),
    ("output_tokens_details.thinking_tokens",     Count(Reasoning, SetIfAbsent, Included)),
    // LangChain.
    ("input_token_details.cache_read",            Count(CacheRead, SetIfAbsent, Included)),
    ("input_token_details.cache_creation",        Count(CacheWrite, SetIfAbsent, Included)),
    ("output_token_details.reasoning",            Count(Reasoning, SetIfAbsent, Included)),
    // Bedrock Converse and its metrics, Strands, AG-UI. (`cacheDetails[].inputTokens` is no input.)
    ("inputTokens",                               Count(Input, SetIfAbsent, InputExcludesCache)),
    ("outputTokens",                              Count(Output, SetIfAbsent, Included)),
    ("totalTokens",                               Count(Total, Set, Included)),
    ("cacheReadInputTokens",                      Count(CacheRead, SetIfAbsent, CacheBesideInput)),
    ("cacheWriteInputTokens",                     Count(CacheWrite, SetIfAbsent, CacheBesideInput)),
    ("inputTokenCount",                           Count(Input, SetIfAbsent, InputExcludesCache)),
    ("outputTokenCount",                          Count(Output, SetIfAbsent, Included)),
    ("cacheReadInputTokenCount",                  Count(CacheRead, SetIfAbsent, CacheBesideInput)),
    ("cacheWriteInputTokenCount",                 Count(CacheWrite, SetIfAbsent, CacheBesideInput)),
    ("cachedInputTokenCount",                     Count(CacheRead, SetIfAbsent, Included)),
    ("reasoningTokenCount",                       Count(Reasoning, SetIfAbsent, Included)),
    ("cachedInputTokens",                         Count(CacheRead, SetIfAbsent, Included)),
    ("reasoningTokens",                           Count(Reasoning, SetIfAbsent, Included)),
    ("totalInputTokens",                          Count(Input, SetIfAbsent, Included)),
    ("totalOutputTokens",                         Count(Output, SetIfAbsent, Included)),
    // The AI SDK: its older names, and its newer ones with parts.
    ("promptTokens",                              Count(Input, Set, Included)),
    ("completionTokens",                          Count(Output, Set, Included)),
    ("promptTokensDetails.cachedTokens",          Count(CacheRead, SetIfAbsent, Included)),
    ("completionTokensDetails.reasoningTokens",   Count(Reasoning, SetIfAbsent, Included)),
    ("inputTokens.total",                         Count(Input, SetIfAbsent, Included)),
    ("inputTokens.cacheRead",                     Count(CacheRead, SetIfAbsent, Included)),
    ("inputTokens.cacheWrite",                    Count(CacheWrite, SetIfAbsent, Included)),
    ("outputTokens.total",                        Count(Output, SetIfAbsent, Included)),
    ("outputTokens.reasoning",                    Count(Reasoning, SetIfAbsent, Included)),
    ("inputTokenDetails.cacheReadTokens",         Count(CacheRead, SetIfAbsent, Included)),
    ("inputTokenDetails.cacheWriteTokens",        Count(CacheWrite, SetIfAbsent, Included)),
    ("inputTokenDetails.cachedTokens",            Count(CacheRead, SetIfAbsent, Included)),
    ("outputTokenDetails.reasoningTokens",        Count(Reasoning, SetIfAbsent, Included)),
    ("request_tokens",                            Count(Input, SetIfAbsent, Included)),
    ("response_tokens",                           Count(Output, SetIfAbsent, Included)),
    // Agent Framework, Replicate.
    ("input_token_count",                         Count(Input, SetIfAbsent, Included)),
    ("output_token_count",                        Count(Output, SetIfAbsent, Included)),
    ("total_token_count",                         Count(Total, SetIfAbsent, Included)),
    // Gemini: generateContent, Live, Interactions; the same in Python's spelling.
    ("promptTokenCount",                          Count(Input, Set, Included)),
    ("candidatesTokenCount",                      Count(Output, Set, Included)),
    ("responseTokenCount",                        Count(Output, SetIfAbsent, Included)),
    ("totalTokenCount",                           Count(Total, Set, Included)),
    ("cachedContentTokenCount",                   Count(CacheRead, Set, Included)),
    ("thoughtsTokenCount",                        Count(Reasoning, Set, OutputExcludesReasoning)),
    ("toolUsePromptTokenCount",                   Count(ToolInput, Set, Included)),
    ("prompt_token_count",                        Count(Input, Set, Included)),
    ("candidates_token_count",                    Count(Output, Set, Included)),
    ("cached_content_token_count",                Count(CacheRead, Set, Included)),
    ("thoughts_token_count",                      Count(Reasoning, Set, OutputExcludesReasoning)),
    ("tool_use_prompt_token_count",               Count(ToolInput, Set, Included)),
    ("total_input_tokens",                        Count(Input, Set, Included)),
    ("total_output_tokens",                       Count(Output, Set, Included)),
    ("total_cached_tokens",                       Count(CacheRead, Set, Included)),
    ("total_thought_tokens",                      Count(Reasoning, Set, OutputExcludesReasoning)),
    ("total_tool_use_tokens",                     Count(ToolInput, Set, Included)),
    // Mistral's conversations.
    ("connector_tokens",                          Count(ToolInput, Set, Included)),
    // Cohere: the tokens that were used, rather than those that are billed.
    ("tokens.input_tokens",                       Count(Input, Set, Included)),
    ("tokens.output_tokens",                      Count(Output, Set, Included)),
    ("tokens.reasoning_tokens",                   Count(Reasoning, Set, Included)),
    ("billed_units.input_tokens",                 Count(Input, SetIfAbsent, Included)),
    ("billed_units.output_tokens",                Count(Output, SetIfAbsent, Included)),
    ("billed_units.total_tokens",                 Count(Total, SetIfAbsent, Included)),
    // Azure's Content Understanding: a key for each model, such as `gpt-4.1-input`.
    ("tokens.*-input",                            Count(Input, Add, Included)),
    ("tokens.*-output",                           Count(Output, Add, Included)),
    ("tokens.*embedding*",                        Count(Input, Add, Included)),
    // DashScope's applications: an object for each model.
    ("models[].input_tokens",                     Count(Input, Add, Included)),
    ("models[].output_tokens",                    Count(Output, Add, Included)),
    // Coze.
    ("input_count",                               Count(Input, SetIfAbsent, Included)),
    ("output_count",                              Count(Output, SetIfAbsent, Included)),
    ("token_count",                               Count(Total, SetIfAbsent, Included)),
    // Strands' metrics: all calls of the agent's life, and those of each run.
    ("accumulated_usage",                         Usage(replace(21, Format::Strands))),
    ("agent_invocations[].usage",                 Usage(replace(22, Format::Strands))),
    // What was written to a cache, by how long it is kept: Anthropic, LiteLLM, Bedrock Converse.
    // https://docs.claude.com/en/docs/build-with-claude/prompt-caching
    // https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CacheDetail.html
    ("cache_creation.ephemeral_5m_input_tokens",  Part(UsagePart::CacheWrite5m)),
    ("cache_creation.ephemeral_1h_input_tokens",  Part(UsagePart::CacheWrite1h)),
    ("prompt_tokens_details.cache_creation_token_details.ephemeral_5m_input_tokens",
                                                  Part(UsagePart::CacheWrite5m)),
    ("prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens",
                                                  Part(UsagePart::CacheWrite1h)),
    ("cacheDetails[]",                            marker(Marker::CachePart)),
    ("cacheDetails[].inputTokens",                Part(UsagePart::Listed)),
    ("cacheDetails[].ttl",                        Word(WordField::CacheTtl)),
    // What the call has cost, in US dollars: OpenRouter and Vercel's gateway; Perplexity; DeepInfra; xAI.
    // https://openrouter.ai/docs/use-cases/usage-accounting
    // https://docs.perplexity.ai/api-reference/chat-completions-post
    // https://docs.x.ai/developers/cost-tracking
    ("cost",                                      Cost(CostUnit::Dollar)),
    ("cost.total_cost",                           Cost(CostUnit::Dollar)),
    ("estimated_cost",                            Cost(CostUnit::Dollar)),
    ("cost_in_usd_ticks",                         Cost(CostUnit::Tick)),
    // Web searches, which are billed by number: Anthropic and OpenRouter; Perplexity; xAI.
    ("server_tool_use.web_search_requests",       WebSearches),
    ("num_search_queries",                        WebSearches),
    ("server_side_tool_usage_details.web_search_calls", WebSearches),
    // Anthropic, Perplexity; Gemini.
    ("service_tier",                              Info(InfoField::ServiceTier)),
    ("serviceTier",                               Info(InfoField::ServiceTier)),
    // AG-UI: an object for each model.
    ("model",                                     Info(InfoField::Model)),
    // OpenAI's transcriptions: what the object counts.
    ("type",                                      Word(WordField::UsageType)),
];
