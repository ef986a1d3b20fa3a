//! [`Provider`]: who serves a model or an agent, the values of `gen_ai.provider.name`.
//!
//! The table follows <https://github.com/open-telemetry/semantic-conventions-genai>. Providers that are
//! not in its list have custom names, which it allows.

use std::sync::Arc;

/// Who serves a model or an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Provider {
    Anthropic,
    AwsBedrock,
    AzureAiInference,
    AzureOpenAi,
    Cerebras,
    Cohere,
    DashScope,
    DeepSeek,
    FireworksAi,
    Gemini,
    Groq,
    MistralAi,
    MoonshotAi,
    OpenAi,
    OpenRouter,
    Perplexity,
    TogetherAi,
    VertexAi,
    WatsonxAi,
    XAi,
}

impl Provider {
    /// Its `gen_ai.provider.name`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::AwsBedrock => "aws.bedrock",
            Self::AzureAiInference => "azure.ai.inference",
            Self::AzureOpenAi => "azure.ai.openai",
            Self::Cohere => "cohere",
            Self::DeepSeek => "deepseek",
            Self::Gemini => "gcp.gemini",
            Self::Groq => "groq",
            Self::MistralAi => "mistral_ai",
            Self::MoonshotAi => "moonshot_ai",
            Self::OpenAi => "openai",
            Self::Perplexity => "perplexity",
            Self::VertexAi => "gcp.vertex_ai",
            Self::WatsonxAi => "ibm.watsonx.ai",
            Self::XAi => "x_ai",
            // Not in the list of the conventions.
            Self::Cerebras => "cerebras",
            Self::DashScope => "dashscope",
            Self::FireworksAi => "fireworks_ai",
            Self::OpenRouter => "openrouter",
            Self::TogetherAi => "together_ai",
        }
    }

    /// The provider that a request identifies by its host, or by a path that only one provider has. The
    /// host may have a port; the path has no query.
    pub(crate) fn of_request(host: Option<&str>, path: &str) -> Option<Self> {
        host.and_then(|host| Self::of_host(host, path)).or_else(|| Self::of_path(path))
    }

    /// The provider that a format originates from, by its name in
    /// [`Reading::format`](crate::usage::Reading::format). Others may use the format too, OpenAI's above
    /// all, so the request and the agent's settings outrank it.
    pub(crate) fn of_format(format: &str) -> Option<Self> {
        let family = format.split_once('.').map_or(format, |(family, _)| family);
        Some(match family {
            "openai" => Self::OpenAi,
            "anthropic" => Self::Anthropic,
            "bedrock" => Self::AwsBedrock,
            "gemini" => Self::Gemini,
            "vertex" => Self::VertexAi,
            "cohere" => Self::Cohere,
            "watsonx" => Self::WatsonxAi,
            "mistral" => Self::MistralAi,
            "dashscope" => Self::DashScope,
            _ => return None,
        })
    }

    fn of_host(host: &str, path: &str) -> Option<Self> {
        let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let domain = |domain: &str| is_in_domain(host, domain);
        let known = HOSTS.iter().find(|(name, _)| domain(name)).map(|(_, provider)| *provider);
        if known.is_some() {
            return known;
        }
        let is_aws = ["amazonaws.com", "amazonaws.com.cn", "api.aws"].into_iter().any(domain);
        if is_aws && host.split('.').any(|label| begins_with(label, "bedrock")) {
            return Some(Self::AwsBedrock);
        }
        let is_google = domain("googleapis.com");
        if is_google && host.split('.').any(|label| ends_with(label, "aiplatform")) {
            return Some(Self::VertexAi);
        }
        // One host of Azure serves the models of OpenAI and of others.
        let is_azure =
            ["services.ai.azure.com", "cognitiveservices.azure.com"].into_iter().any(domain);
        is_azure.then(|| match path.split('/').nth(1) {
            Some("openai") => Self::AzureOpenAi,
            Some("anthropic") => Self::Anthropic,
            _ => Self::AzureAiInference,
        })
    }

    fn of_path(path: &str) -> Option<Self> {
        let path = path.trim_end_matches('/');
        if path.contains("/openai/deployments/") {
            return Some(Self::AzureOpenAi);
        }
        if path.contains("/publishers/") && path.contains("/locations/") {
            return Some(Self::VertexAi);
        }
        let last = path.rsplit('/').next()?;
        let is_bedrock = match last {
            "converse" | "converse-stream" | "invoke" | "invoke-with-response-stream" => {
                path.contains("/model/")
            }
            "invocations" => path.starts_with("/runtimes/"),
            _ => false,
        };
        let is_gemini = || {
            let operation = last.rsplit_once(':').map(|(_, operation)| operation);
            let operations =
                ["generateContent", "streamGenerateContent", "embedContent", "batchEmbedContents"];
            path.contains("/models/") && operation.is_some_and(|name| operations.contains(&name))
        };
        match is_bedrock {
            true => Some(Self::AwsBedrock),
            false => is_gemini().then_some(Self::Gemini),
        }
    }
}

/// The domains of providers, each with all its subdomains.
const HOSTS: &[(&str, Provider)] = &[
    ("api.openai.com", Provider::OpenAi),
    ("openai.azure.com", Provider::AzureOpenAi),
    ("openai.azure.us", Provider::AzureOpenAi),
    ("models.ai.azure.com", Provider::AzureAiInference),
    ("inference.ai.azure.com", Provider::AzureAiInference),
    ("models.github.ai", Provider::AzureAiInference),
    ("api.anthropic.com", Provider::Anthropic),
    ("generativelanguage.googleapis.com", Provider::Gemini),
    ("api.mistral.ai", Provider::MistralAi),
    ("codestral.mistral.ai", Provider::MistralAi),
    ("api.cohere.com", Provider::Cohere),
    ("api.cohere.ai", Provider::Cohere),
    ("api.deepseek.com", Provider::DeepSeek),
    ("api.groq.com", Provider::Groq),
    ("api.x.ai", Provider::XAi),
    ("api.perplexity.ai", Provider::Perplexity),
    ("api.moonshot.ai", Provider::MoonshotAi),
    ("api.moonshot.cn", Provider::MoonshotAi),
    ("ml.cloud.ibm.com", Provider::WatsonxAi),
    ("openrouter.ai", Provider::OpenRouter),
    ("api.together.ai", Provider::TogetherAi),
    ("api.together.xyz", Provider::TogetherAi),
    ("api.fireworks.ai", Provider::FireworksAi),
    ("api.cerebras.ai", Provider::Cerebras),
    ("dashscope.aliyuncs.com", Provider::DashScope),
    ("dashscope-intl.aliyuncs.com", Provider::DashScope),
    ("dashscope-us.aliyuncs.com", Provider::DashScope),
];

/// Whether a host is this domain or is in it. Case does not matter.
fn is_in_domain(host: &str, domain: &str) -> bool {
    ends_with(host, domain)
        && (host.len() == domain.len() || host.as_bytes()[host.len() - domain.len() - 1] == b'.')
}

fn ends_with(text: &str, end: &str) -> bool {
    let (text, end) = (text.as_bytes(), end.as_bytes());
    text.len() >= end.len() && text[text.len() - end.len()..].eq_ignore_ascii_case(end)
}

fn begins_with(text: &str, start: &str) -> bool {
    text.as_bytes().get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start.as_bytes()))
}

/// A provider's name: of a known one, or as an agent's settings have it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ProviderName {
    Known(Provider),
    Other(Arc<str>),
}

impl ProviderName {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Known(provider) => provider.name(),
            Self::Other(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_known_by_its_host() {
        for (host, provider) in [
            ("api.openai.com", "openai"),
            ("eu.api.openai.com:443", "openai"),
            ("API.OpenAI.com", "openai"),
            ("contoso.openai.azure.com", "azure.ai.openai"),
            ("api.anthropic.com", "anthropic"),
            ("bedrock-runtime.eu-west-1.amazonaws.com", "aws.bedrock"),
            ("bedrock-runtime-fips.us-east-1.amazonaws.com", "aws.bedrock"),
            ("vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com", "aws.bedrock"),
            ("bedrock-agentcore.eu-west-1.amazonaws.com", "aws.bedrock"),
            ("bedrock-mantle.us-east-1.api.aws", "aws.bedrock"),
            ("generativelanguage.googleapis.com", "gcp.gemini"),
            ("aiplatform.googleapis.com", "gcp.vertex_ai"),
            ("europe-west1-aiplatform.googleapis.com", "gcp.vertex_ai"),
            ("us-south.ml.cloud.ibm.com", "ibm.watsonx.ai"),
            ("api.x.ai", "x_ai"),
            ("api.mistral.ai", "mistral_ai"),
            ("openrouter.ai", "openrouter"),
        ] {
            let known = Provider::of_request(Some(host), "/");
            assert_eq!(known.map(Provider::name), Some(provider), "{host}");
        }
        for host in [
            "",
            ":",
            ".",
            "xapi.openai.com",
            "api.openai.com.example",
            "s3.amazonaws.com",
            "é.aws",
            "x.ai",
        ] {
            assert_eq!(Provider::of_request(Some(host), "/"), None, "{host}");
        }
    }

    #[test]
    fn one_host_of_azure_has_several_providers() {
        let host = Some("contoso.services.ai.azure.com");
        for (path, provider) in [
            ("/openai/v1/responses", Provider::AzureOpenAi),
            ("/anthropic/v1/messages", Provider::Anthropic),
            ("/models/chat/completions", Provider::AzureAiInference),
            ("", Provider::AzureAiInference),
        ] {
            assert_eq!(Provider::of_request(host, path), Some(provider), "{path}");
        }
    }

    #[test]
    fn behind_a_gateway_a_path_may_name_the_provider() {
        for (path, provider) in [
            ("/proxy/openai/deployments/gpt/chat/completions", Some(Provider::AzureOpenAi)),
            ("/model/anthropic.claude-sonnet-4-5/converse-stream/", Some(Provider::AwsBedrock)),
            ("/runtimes/arn%3Aaws%3Ax/invocations", Some(Provider::AwsBedrock)),
            ("/v1beta/models/gemini-2.5-pro:generateContent", Some(Provider::Gemini)),
            (
                "/v1/projects/p/locations/l/publishers/google/models/m:generateContent",
                Some(Provider::VertexAi),
            ),
            ("/invocations", None),
            ("/converse", None),
            ("/v1/chat/completions", None),
            ("/v1/messages", None),
            ("", None),
        ] {
            assert_eq!(Provider::of_request(Some("gateway.internal"), path), provider, "{path}");
            assert_eq!(Provider::of_request(None, path), provider, "{path}");
        }
    }

    #[test]
    fn a_format_is_a_providers_own() {
        for (format, provider) in [
            ("openai.chat_completions", Some(Provider::OpenAi)),
            ("anthropic.messages", Some(Provider::Anthropic)),
            ("bedrock.converse", Some(Provider::AwsBedrock)),
            ("gemini.generate_content", Some(Provider::Gemini)),
            ("cohere.v2.chat", Some(Provider::Cohere)),
            ("dashscope", Some(Provider::DashScope)),
            ("a2a", None),
            ("tgi.generate", None),
            ("", None),
        ] {
            assert_eq!(Provider::of_format(format), provider, "{format}");
        }
    }
}
