//! Which entry the names of a model have.

use super::*;

/// Names and providers as in LiteLLM's list.
const NAMES: [(&str, &str); 32] = [
    ("gpt-4o", "openai"),
    ("gpt-4o-2024-05-13", "openai"),
    ("azure/gpt-4o", "azure"),
    ("azure/eu/gpt-4o", "azure"),
    ("azure_ai/grok-4", "azure_ai"),
    ("ft:gpt-4o-2024-08-06", "openai"),
    ("claude-sonnet-4-20250514", "anthropic"),
    ("claude-sonnet-4-5", "anthropic"),
    ("anthropic.claude-sonnet-4-20250514-v1:0", "bedrock_converse"),
    ("eu.anthropic.claude-sonnet-4-20250514-v1:0", "bedrock_converse"),
    ("anthropic.claude-v2", "bedrock"),
    ("bedrock/eu-central-1/anthropic.claude-v2", "bedrock"),
    ("us-gov.anthropic.claude-haiku-4-5-v1:0", "bedrock_converse"),
    ("anthropic.claude-haiku-4-5-v1:0", "bedrock_converse"),
    ("amazon.nova-pro-v1:0", "bedrock_converse"),
    ("vertex_ai/claude-sonnet-4@20250514", "vertex_ai-anthropic_models"),
    ("vertex_ai/claude-sonnet-4", "vertex_ai-anthropic_models"),
    ("gemini-2.5-flash", "vertex_ai-language-models"),
    ("gemini/gemini-2.5-flash", "gemini"),
    ("gemini/gemini-2.0-flash", "gemini"),
    ("groq/openai/gpt-oss-20b", "groq"),
    ("together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo", "together_ai"),
    ("fireworks_ai/accounts/fireworks/models/kimi-k2", "fireworks_ai"),
    ("xai/grok-4", "xai"),
    ("mistral/mistral-large-latest", "mistral"),
    ("deepseek/deepseek-chat", "deepseek"),
    ("deepseek-chat", "deepseek"),
    ("openrouter/openai/gpt-4o", "openrouter"),
    ("gpt-4", "openai"),
    ("perplexity/sonar", "perplexity"),
    ("perplexity/perplexity/sonar", "perplexity"),
    ("acme_cloud/own-model", "acme_cloud"),
];

fn list() -> Prices {
    let entry = |(name, provider): (&str, &str)| {
        format!(r#""{name}": {{"input_cost_per_token": 1, "litellm_provider": "{provider}"}}"#)
    };
    Prices::from_json(format!("{{{}}}", NAMES.map(entry).join(", "))).unwrap()
}

#[test]
fn each_name_has_its_own_entry() {
    let list = list();
    for (name, provider) in NAMES {
        assert_eq!(list.entry_name(&[name], None), Some(name));
        if name != "deepseek-chat" {
            assert_eq!(list.entry_name(&[name], Some(provider)), Some(name), "{provider}");
        }
    }
}

#[test]
fn documented_steps_find_an_entry() {
    let list = list();
    for (model, provider, expected) in [
        // The provider chooses.
        ("gpt-4o", None, "gpt-4o"),
        ("gpt-4o", Some("openai"), "gpt-4o"),
        ("gpt-4o", Some("azure"), "azure/gpt-4o"),
        ("gpt-4o", Some("azure.ai.openai"), "azure/gpt-4o"),
        ("eu/gpt-4o", Some("azure"), "azure/eu/gpt-4o"),
        ("grok-4", Some("azure"), "azure_ai/grok-4"),
        ("gpt-4", Some("azure"), "gpt-4"),
        ("gemini-2.5-flash", None, "gemini-2.5-flash"),
        ("gemini-2.5-flash", Some("gcp.gemini"), "gemini/gemini-2.5-flash"),
        ("gemini-2.5-flash", Some("gcp.vertex_ai"), "gemini-2.5-flash"),
        ("deepseek-chat", Some("deepseek"), "deepseek/deepseek-chat"),
        ("own-model", Some("Acme-Cloud"), "acme_cloud/own-model"),
        // Prefixes of providers, gateways and vendors.
        ("openai/gpt-4o", None, "gpt-4o"),
        ("openai/gpt-4o", Some("openrouter"), "openrouter/openai/gpt-4o"),
        ("openai/gpt-4", Some("openrouter"), "gpt-4"),
        ("openai/gpt-oss-20b", Some("groq"), "groq/openai/gpt-oss-20b"),
        ("azure/gpt-4o", Some("openai"), "azure/gpt-4o"),
        ("anthropic/claude-sonnet-4-5", None, "claude-sonnet-4-5"),
        ("google/gemini-2.0-flash", None, "gemini/gemini-2.0-flash"),
        ("x-ai/grok-4", None, "xai/grok-4"),
        ("mistralai/mistral-large-latest", None, "mistral/mistral-large-latest"),
        ("openrouter/x-ai/grok-4", None, "xai/grok-4"),
        (
            "meta-llama/Llama-3.3-70B-Instruct-Turbo",
            Some("together"),
            "together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo",
        ),
        (
            "accounts/fireworks/models/kimi-k2",
            None,
            "fireworks_ai/accounts/fireworks/models/kimi-k2",
        ),
        ("sonar", Some("perplexity"), "perplexity/sonar"),
        ("perplexity/sonar", Some("perplexity"), "perplexity/sonar"),
        // Bedrock.
        (
            "us.anthropic.claude-sonnet-4-20250514-v1:0",
            None,
            "anthropic.claude-sonnet-4-20250514-v1:0",
        ),
        (
            "eu.anthropic.claude-sonnet-4-20250514-v1:0",
            None,
            "eu.anthropic.claude-sonnet-4-20250514-v1:0",
        ),
        ("apac.amazon.nova-pro-v1:0", Some("aws.bedrock"), "amazon.nova-pro-v1:0"),
        ("bedrock/converse/global.amazon.nova-pro-v1:0", None, "amazon.nova-pro-v1:0"),
        ("amazon.nova-pro-v1:0:24k", None, "amazon.nova-pro-v1:0"),
        ("anthropic.claude-v2:0:18k", None, "anthropic.claude-v2"),
        ("us-gov.anthropic.claude-haiku-4-5-v1:0", None, "us-gov.anthropic.claude-haiku-4-5-v1:0"),
        (
            "bedrock/eu-central-1/anthropic.claude-v2",
            None,
            "bedrock/eu-central-1/anthropic.claude-v2",
        ),
        ("us.amazon.nova-pro-v1%3A0", Some("bedrock"), "amazon.nova-pro-v1:0"),
        (
            "arn%3aaws%3Abedrock%3Aeu-central-1%3A%3Afoundation-model%2Fanthropic.claude-v2",
            None,
            "bedrock/eu-central-1/anthropic.claude-v2",
        ),
        ("bedrock/us-east-1/anthropic.claude-v2", None, "anthropic.claude-v2"),
        (
            "arn:aws:bedrock:eu-central-1::foundation-model/anthropic.claude-v2",
            Some("bedrock"),
            "bedrock/eu-central-1/anthropic.claude-v2",
        ),
        (
            "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-20250514-v1:0",
            None,
            "eu.anthropic.claude-sonnet-4-20250514-v1:0",
        ),
        // Google.
        ("models/gemini-2.0-flash", None, "gemini/gemini-2.0-flash"),
        ("claude-sonnet-4@20250514", None, "vertex_ai/claude-sonnet-4@20250514"),
        ("claude-sonnet-4@default", None, "vertex_ai/claude-sonnet-4"),
        (
            "projects/p/locations/us-east5/publishers/anthropic/models/claude-sonnet-4@20250514",
            None,
            "vertex_ai/claude-sonnet-4@20250514",
        ),
        ("gemini-2.0-flash-001", Some("gemini"), "gemini/gemini-2.0-flash"),
        // Dates and tuned models.
        ("gpt-4o-2024-05-13", Some("azure"), "gpt-4o-2024-05-13"),
        ("gpt-4o-2024-11-20", None, "gpt-4o"),
        ("gpt-4o-2024-11-20", Some("azure"), "azure/gpt-4o"),
        ("claude-sonnet-4-5-20250929", Some("anthropic"), "claude-sonnet-4-5"),
        ("ft:gpt-4o-2024-08-06:acme::AbC1", Some("openai"), "ft:gpt-4o-2024-08-06"),
    ] {
        assert_eq!(list.entry_name(&[model], provider), Some(expected), "{model} {provider:?}");
    }
}

#[test]
fn another_model_is_not_taken() {
    let list = list();
    for (model, provider) in [
        ("gpt-4o-mini", None),
        ("gpt-4o-", None),
        ("gpt-4o%", None),
        ("gpt-4o%20", None),
        ("gpt-4o%+1", None),
        ("GPT-4o", None),
        ("gpt-4-0613", None),
        ("gpt-4.1", Some("openai")),
        ("someone/gpt-4o", None),
        ("sonar", None),
        ("sonar", Some("groq")),
        ("grok-4", Some("xai-fork")),
        ("gemini-2.0-flash-exp:free", Some("openrouter")),
        ("claude-sonnet-4-5-v2:0", None),
        ("us-gov.anthropic.claude-sonnet-4-20250514-v1:0", Some("bedrock")),
        ("us-gov.amazon.nova-pro-v1:0", None),
        (
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3",
            Some("bedrock"),
        ),
        ("amazon.nova-pro-v2:0", None),
        ("ft:gpt-4o:acme::AbC1", None),
        ("nova-pro-v1:0", Some("bedrock")),
        ("/", None),
        ("//", Some("/")),
        ("", Some("")),
    ] {
        assert_eq!(list.entry_name(&[model], provider), None, "{model} {provider:?}");
    }
}

#[test]
fn the_first_name_that_is_exact_goes_first() {
    let list = list();
    // The body of Bedrock's InvokeModel has Anthropic's name, and the path has Bedrock's.
    let models = ["claude-sonnet-4-20250514", "eu.anthropic.claude-sonnet-4-20250514-v1:0"];
    let bedrock = Some("aws.bedrock");
    assert_eq!(
        list.entry_name(&models, bedrock),
        Some("eu.anthropic.claude-sonnet-4-20250514-v1:0")
    );
    assert_eq!(list.entry_name(&models, None), Some("claude-sonnet-4-20250514"));
    // A name of one's own for a deployment.
    assert_eq!(
        list.entry_name(&["gpt-4o-2024-05-13", "our-deployment"], None),
        Some("gpt-4o-2024-05-13")
    );
    assert_eq!(list.entry_name(&["", "gpt-4o"], None), Some("gpt-4o"));
}
