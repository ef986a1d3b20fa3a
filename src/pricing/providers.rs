//! [`Provider`]: who serves a model, by the names that responses, conventions and lists have for it.

/// Who serves a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Provider<'a> {
    /// How the list's names for its models may begin, before a slash.
    pub(super) prefixes: &'a [&'a str],
    /// LiteLLM's `litellm_provider` of its models whose names begin with no prefix.
    pub(super) owner: &'a str,
}

/// The names of providers, in lower case and with underscores, then the prefixes and the owner in
/// LiteLLM's list. The names are those of LiteLLM, of OpenTelemetry's `gen_ai.provider.name`, and of
/// vendors in the names of models at gateways.
const PROVIDERS: &[(&[&str], &[&str], &str)] = &[
    (&["openai"], &["openai"], "openai"),
    (
        &["azure", "azure.ai.openai", "azure_openai", "az.ai.openai"],
        &["azure", "azure_ai"],
        "azure",
    ),
    (&["azure_ai", "azure.ai.inference", "az.ai.inference"], &["azure_ai", "azure"], "azure"),
    (&["anthropic"], &["anthropic"], "anthropic"),
    (
        &["bedrock", "aws.bedrock", "aws_bedrock", "amazon_bedrock", "bedrock_converse"],
        &["bedrock"],
        "bedrock",
    ),
    (&["bedrock_mantle"], &["bedrock_mantle"], "bedrock_mantle"),
    (
        &["vertex_ai", "gcp.vertex_ai", "vertex", "vertexai", "google_vertex", "vertex_ai_beta"],
        &["vertex_ai"],
        "vertex_ai",
    ),
    (
        &["gemini", "gcp.gemini", "gcp.gen_ai", "google", "google_ai_studio", "google_genai"],
        &["gemini"],
        "gemini",
    ),
    (&["cohere", "cohere_chat"], &["cohere"], "cohere"),
    (&["mistral", "mistral_ai", "mistralai"], &["mistral"], "mistral"),
    (&["xai", "x_ai"], &["xai"], "xai"),
    (&["deepseek", "deepseek_ai"], &["deepseek"], "deepseek"),
    (&["groq"], &["groq"], "groq"),
    (&["perplexity", "perplexity_ai"], &["perplexity"], "perplexity"),
    (&["cerebras"], &["cerebras"], "cerebras"),
    (&["together", "together_ai", "togetherai"], &["together_ai"], "together_ai"),
    (&["fireworks", "fireworks_ai"], &["fireworks_ai"], "fireworks_ai"),
    (&["watsonx", "ibm.watsonx.ai"], &["watsonx"], "watsonx"),
    (&["moonshot", "moonshot_ai", "moonshotai"], &["moonshot"], "moonshot"),
    (&["dashscope", "alibaba", "alibaba_cloud"], &["dashscope"], "dashscope"),
    (&["zai", "z_ai"], &["zai"], "zai"),
    (&["github_copilot", "copilot"], &["github_copilot"], "github_copilot"),
    (&["vercel", "vercel_ai_gateway"], &["vercel_ai_gateway"], "vercel_ai_gateway"),
    (&["openrouter"], &["openrouter"], "openrouter"),
    (&["ai21"], &["ai21"], "ai21"),
    (&["voyage", "voyageai", "voyage_ai"], &["voyage"], "voyage"),
    (&["minimax"], &["minimax"], "minimax"),
];

impl Provider<'static> {
    /// The provider of this name, if it is one of the known ones.
    pub(super) fn known(name: &str) -> Option<Self> {
        PROVIDERS.iter().find_map(|(names, prefixes, owner)| {
            let is_name = names.iter().any(|known| same(known, name));
            is_name.then_some(Self { prefixes, owner })
        })
    }
}

/// Whether two names are the same but for upper case and hyphens, where the first has neither.
fn same(known: &str, name: &str) -> bool {
    known.len() == name.len()
        && known.bytes().zip(name.bytes()).all(|(known, given)| {
            known == given.to_ascii_lowercase() || known == b'_' && given == b'-'
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_have_several_names() {
        for (name, owner) in [
            ("openai", "openai"),
            ("OpenAI", "openai"),
            ("azure.ai.openai", "azure"),
            ("aws.bedrock", "bedrock"),
            ("bedrock-mantle", "bedrock_mantle"),
            ("gcp.vertex_ai", "vertex_ai"),
            ("x-ai", "xai"),
            ("deepseek-ai", "deepseek"),
        ] {
            assert_eq!(Provider::known(name).map(|provider| provider.owner), Some(owner), "{name}");
        }
        assert_eq!(Provider::known("openai2"), None);
        assert_eq!(Provider::known(""), None);
    }
}
