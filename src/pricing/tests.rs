//! The rules, each with sums computed by hand.

use proptest::prelude::*;

use super::*;
use crate::status::{Cost, TokenUsage};

/// Prices in whole nanodollars, so that sums can be followed.
const LIST: &str = r#"{
    "sample_spec": { "input_cost_per_token": "explained here", "litellm_provider": "one of …" },
    "_comment": ["what is not an object", 1, null],
    "plain": { "input_cost_per_token": 1e-9, "output_cost_per_token": 10e-9 },
    "cached": {
        "input_cost_per_token": 100e-9, "output_cost_per_token": 1000e-9,
        "cache_read_input_token_cost": 10e-9, "cache_creation_input_token_cost": 125e-9,
        "cache_creation_input_token_cost_above_1hr": 200e-9,
        "litellm_provider": "anthropic", "supports_vision": true, "max_tokens": "many", "notes": {}
    },
    "long": {
        "input_cost_per_token": 1e-9, "output_cost_per_token": 10e-9,
        "input_cost_per_token_above_200k_tokens": 2e-9,
        "output_cost_per_token_above_200k_tokens": 15e-9,
        "input_cost_per_token_priority": 3e-9,
        "input_cost_per_token_above_200k_tokens_priority": 5e-9,
        "output_cost_per_token_flex": 4e-9
    },
    "batch": {
        "input_cost_per_token": 3e-9, "output_cost_per_token": 10e-9,
        "input_cost_per_token_batches": 1e-9, "output_cost_per_token_batches": 4e-9
    },
    "reasoning": {
        "input_cost_per_token": 1e-9, "output_cost_per_token": 10e-9,
        "output_cost_per_reasoning_token": 30e-9
    },
    "tiered": {
        "tiered_pricing": [
            { "range": [32000.0, 128000.0], "input_cost_per_token": 2e-9, "output_cost_per_token": 20e-9 },
            { "range": [0, 32000.0], "input_cost_per_token": 1e-9, "output_cost_per_token": 10e-9,
              "cache_read_input_token_cost": 5e-10 },
            { "max_results_range": [0, 25], "input_cost_per_query": 0.005 }
        ]
    },
    "embedding": { "input_cost_per_token": 2e-9, "mode": "embedding" },
    "images": { "input_cost_per_token": 5e-9, "output_cost_per_image_token": 40e-9 },
    "free": { "input_cost_per_token": 0, "output_cost_per_token": 0.0 },
    "by the second": { "input_cost_per_second": 0.01 },
    "nothing": { "input_cost_per_token": null },
    "searching": {
        "input_cost_per_token": 0, "output_cost_per_token": 0, "input_cost_per_request": 0.005,
        "search_context_cost_per_query": {
            "search_context_size_low": 0.01, "search_context_size_medium": 0.02,
            "search_context_size_high": 0.03
        }
    },
    "gemini/per-prompt": {
        "input_cost_per_token": 0, "output_cost_per_token": 0, "search_context_cost_per_query": 0.035,
        "litellm_provider": "gemini"
    },
    "gemini/per-query": {
        "input_cost_per_token": 0, "output_cost_per_token": 0, "search_context_cost_per_query": 0.014,
        "litellm_provider": "gemini", "web_search_billing_unit": "per_query"
    },
    "xai/long": {
        "input_cost_per_token": 1e-9, "output_cost_per_token": 0,
        "input_cost_per_token_above_200k_tokens": 2e-9, "litellm_provider": "xai"
    },
    "fireworks_ai/halves": {
        "input_cost_per_token": 10e-9, "output_cost_per_token": 0, "litellm_provider": "fireworks_ai"
    },
    "latest": { "alias_of": "plain" },
    "lost": { "alias_of": "nowhere", "input_cost_per_token": 7e-9, "output_cost_per_token": 0 },
    "named": { "input_cost_per_token": 9e-9, "output_cost_per_token": 0, "aliases": ["other", "plain"] }
}"#;

fn prices() -> Prices {
    Prices::from_json(LIST).unwrap()
}

/// The cost in nanodollars, and whether it is complete.
fn cost(
    model: &str,
    usage: TokenUsage,
    set: impl FnOnce(&mut Call<'_>),
) -> Result<(u128, bool), Unpriced> {
    let models = [model];
    let mut call = Call { models: &models, usage: Some(usage), ..Call::default() };
    set(&mut call);
    let CallCost { cost, complete, .. } = prices().cost(&call)?;
    assert_eq!(cost.as_femto_usd() % 1_000_000, 0, "{cost} is not in whole nanodollars");
    Ok((cost.as_femto_usd() / 1_000_000, complete))
}

fn tokens(input: u64, output: u64) -> TokenUsage {
    TokenUsage::new(input, output)
}

#[test]
fn input_and_output_have_a_price() {
    assert_eq!(cost("plain", tokens(1000, 20), |_| {}), Ok((1200, true)));
    assert_eq!(cost("plain", tokens(0, 0), |_| {}), Ok((0, true)));
    assert_eq!(cost("free", tokens(1000, 20), |_| {}), Ok((0, true)));
}

#[test]
fn cached_input_counts_once() {
    let mut usage = tokens(1000, 0);
    usage.cache_read_input_tokens = Some(600);
    usage.cache_write_input_tokens = Some(300);
    // 100 × 100 + 600 × 10 + 300 × 125
    assert_eq!(cost("cached", usage, |_| {}), Ok((53_500, true)));
    // Without prices of their own they cost as much as other input.
    assert_eq!(cost("plain", usage, |_| {}), Ok((1000, true)));
    // More than there is of input.
    usage.cache_read_input_tokens = Some(2000);
    assert_eq!(cost("cached", usage, |_| {}), Ok((57_500, true)));
}

#[test]
fn writes_of_an_hour_have_a_price() {
    let mut usage = tokens(1000, 0);
    usage.cache_write_input_tokens = Some(300);
    let hour = |call: &mut Call<'_>| {
        call.cache_write_5m_input_tokens = Some(100);
        call.cache_write_1h_input_tokens = Some(200);
    };
    // 700 × 100 + 100 × 125 + 200 × 200
    assert_eq!(cost("cached", usage, hour), Ok((122_500, true)));
    // Only the parts are known.
    usage.cache_write_input_tokens = None;
    assert_eq!(cost("cached", usage, hour), Ok((122_500, true)));
    // A part is no more than the whole.
    usage.cache_write_input_tokens = Some(50);
    assert_eq!(cost("cached", usage, hour), Ok((950 * 100 + 50 * 200, true)));
    // Without a price, at least that of other writes.
    assert_eq!(cost("plain", usage, hour), Ok((1000, false)));
}

#[test]
fn a_long_request_has_another_price_for_all_its_tokens() {
    assert_eq!(cost("long", tokens(200_000, 10), |_| {}), Ok((200_100, true)));
    assert_eq!(cost("long", tokens(200_001, 10), |_| {}), Ok((400_152, true)));
    // Cached input is part of the length.
    let mut usage = tokens(200_001, 10);
    usage.cache_read_input_tokens = Some(200_000);
    assert_eq!(cost("long", usage, |_| {}), Ok((400_152, true)));
    // xAI's longer price begins with the length itself.
    assert_eq!(cost("xai/long", tokens(199_999, 0), |_| {}), Ok((199_999, true)));
    assert_eq!(cost("xai/long", tokens(200_000, 0), |_| {}), Ok((400_000, true)));
}

#[test]
fn a_service_tier_has_prices_also_with_a_length() {
    let tier = |name| move |call: &mut Call<'_>| call.service_tier = Some(name);
    assert_eq!(cost("long", tokens(1000, 10), tier("priority")), Ok((3100, true)));
    assert_eq!(cost("long", tokens(200_001, 10), tier("priority")), Ok((1_000_155, true)));
    assert_eq!(cost("long", tokens(1000, 10), tier("flex")), Ok((1040, true)));
    assert_eq!(cost("long", tokens(1000, 10), tier("default")), Ok((1100, true)));
    assert_eq!(cost("long", tokens(1000, 10), tier("ON_DEMAND_PRIORITY")), Ok((3100, true)));
}

#[test]
fn a_batch_has_its_own_prices_or_half() {
    let batch = |call: &mut Call<'_>| call.service_tier = Some("batch");
    assert_eq!(cost("batch", tokens(1000, 10), batch), Ok((1040, true)));
    assert_eq!(cost("plain", tokens(1000, 10), batch), Ok((550, true)));
    assert_eq!(cost("long", tokens(400_000, 10), batch), Ok((400_075, true)));
    let mut usage = tokens(1000, 0);
    usage.cache_read_input_tokens = Some(600);
    usage.cache_write_input_tokens = Some(200);
    // 200 × 50 + 600 × 5 + 200 × 62.5
    assert_eq!(cost("cached", usage, batch), Ok((25_500, true)));
    assert_eq!(cost("batch", usage, batch), Ok((200 + 600 + 200, true)));
}

#[test]
fn reasoning_is_part_of_the_output() {
    let mut usage = tokens(0, 100);
    usage.reasoning_tokens = Some(40);
    assert_eq!(cost("reasoning", usage, |_| {}), Ok((60 * 10 + 40 * 30, true)));
    assert_eq!(cost("plain", usage, |_| {}), Ok((1000, true)));
    usage.reasoning_tokens = Some(400);
    assert_eq!(cost("reasoning", usage, |_| {}), Ok((3000, true)));
}

#[test]
fn tables_by_length_hold_for_the_whole_request() {
    assert_eq!(cost("tiered", tokens(32_000, 1), |_| {}), Ok((32_010, true)));
    assert_eq!(cost("tiered", tokens(32_001, 1), |_| {}), Ok((64_022, true)));
    assert_eq!(cost("tiered", tokens(999_999, 1), |_| {}), Ok((2_000_018, true)));
    let mut usage = tokens(1000, 0);
    usage.cache_read_input_tokens = Some(1000);
    assert_eq!(cost("tiered", usage, |_| {}), Ok((500, true)));
}

#[test]
fn requests_have_fees() {
    let searches = |count, size| {
        move |call: &mut Call<'_>| {
            call.web_searches = count;
            call.search_context_size = size;
        }
    };
    let millions = |count: u128| Ok((count * 1_000_000, true));
    assert_eq!(cost("searching", tokens(1, 1), |_| {}), millions(5));
    assert_eq!(cost("searching", tokens(1, 1), searches(3, None)), millions(5 + 60));
    let high = SearchContextSize::from_name("high");
    assert_eq!(cost("searching", tokens(1, 1), searches(3, high)), millions(5 + 90));
    assert_eq!(cost("gemini/per-prompt", tokens(1, 1), searches(3, None)), millions(35));
    assert_eq!(cost("gemini/per-prompt", tokens(1, 1), searches(0, None)), millions(0));
    assert_eq!(cost("gemini/per-query", tokens(1, 1), searches(3, None)), millions(42));
    // What has no price is missing.
    assert_eq!(cost("plain", tokens(1, 1), searches(3, None)), Ok((11, false)));
    assert_eq!(cost("plain", tokens(1, 1), |call| call.other_paid_requests = 1), Ok((11, false)));
}

#[test]
fn some_models_lack_a_price() {
    assert_eq!(
        cost("embedding", TokenUsage { output_tokens: None, ..tokens(10, 0) }, |_| {}),
        Ok((20, true))
    );
    assert_eq!(cost("embedding", tokens(10, 5), |_| {}), Ok((20, false)));
    assert_eq!(cost("images", tokens(10, 5), |_| {}), Ok((250, true)));
    let mut usage = tokens(10, 0);
    usage.cache_read_input_tokens = Some(4);
    assert_eq!(cost("fireworks_ai/halves", usage, |_| {}), Ok((80, true)));
}

#[test]
fn a_part_of_the_usage_gives_a_part_of_the_cost() {
    let mut usage = TokenUsage { input_tokens: Some(10), ..TokenUsage::default() };
    assert_eq!(cost("plain", usage, |_| {}), Ok((10, false)));
    usage.total_tokens = Some(10);
    assert_eq!(cost("plain", usage, |_| {}), Ok((10, true)));
    usage = TokenUsage { output_tokens: Some(10), ..TokenUsage::default() };
    assert_eq!(cost("plain", usage, |_| {}), Ok((100, false)));
}

#[test]
fn what_has_no_cost_says_why() {
    let total = TokenUsage { total_tokens: Some(10), ..TokenUsage::default() };
    assert_eq!(cost("plain", total, |_| {}), Err(Unpriced::TotalOnly));
    assert_eq!(cost("plain", TokenUsage::default(), |_| {}), Err(Unpriced::NoUsage));
    assert_eq!(cost("plain", tokens(1, 1), |call| call.usage = None), Err(Unpriced::NoUsage));
    assert_eq!(cost("", tokens(1, 1), |_| {}), Err(Unpriced::NoModel));
    assert_eq!(cost("plain", tokens(1, 1), |call| call.models = &[]), Err(Unpriced::NoModel));
    assert_eq!(cost("plai", tokens(1, 1), |_| {}), Err(Unpriced::UnknownModel));
    assert_eq!(cost("sample_spec", tokens(1, 1), |_| {}), Err(Unpriced::UnknownModel));
    assert_eq!(cost("by the second", tokens(1, 1), |_| {}), Err(Unpriced::NoTokenPrice));
    assert_eq!(cost("nothing", tokens(1, 1), |_| {}), Err(Unpriced::NoTokenPrice));
}

#[test]
fn a_reported_cost_goes_first() {
    let reported = Cost::from_reported("0.000012").ok();
    assert_eq!(
        cost("plain", tokens(1, 1), |call| call.reported_cost = reported),
        Ok((12_000, true))
    );
    let call = Call { reported_cost: reported, ..Call::default() };
    let cost = Prices::default().cost(&call).unwrap();
    assert_eq!((cost.cost.to_string().as_str(), cost.source), ("0.000012", CostSource::Reported));
}

#[test]
fn aliases_have_the_entry_of_their_owner() {
    assert_eq!(cost("latest", tokens(1, 1), |_| {}), Ok((11, true)));
    assert_eq!(cost("other", tokens(1, 0), |_| {}), Ok((9, true)));
    assert_eq!(cost("plain", tokens(1, 0), |_| {}), Ok((1, true)), "a name keeps its own prices");
    assert_eq!(cost("lost", tokens(1, 0), |_| {}), Ok((7, true)));
}

#[test]
fn sums_saturate() {
    let list = r#"{"dear": {"input_cost_per_token": 10000, "output_cost_per_token": 1e-15}}"#;
    let models = ["dear"];
    let call = Call { models: &models, usage: Some(tokens(u64::MAX, u64::MAX)), ..Call::default() };
    assert_eq!(Prices::from_json(list).unwrap().cost(&call).unwrap().cost, Cost::MAX);
}

mod lists {
    use super::*;

    fn fault(json: &str) -> String {
        Prices::from_json(json).unwrap_err().to_string()
    }

    #[test]
    fn a_price_that_is_none_is_named() {
        for (entry, expected) in [
            (
                r#"{"input_cost_per_token": -1e-9}"#,
                "negative: `input_cost_per_token` of `gpt-4o` is -1e-9",
            ),
            (
                r#"{"input_cost_per_token": "1e-9"}"#,
                "not a number: `input_cost_per_token` of `gpt-4o` is \"1e-9\"",
            ),
            (
                r#"{"output_cost_per_token_flex": true}"#,
                "not a number: `output_cost_per_token_flex` of `gpt-4o` is true",
            ),
            (
                r#"{"input_cost_per_token": [1]}"#,
                "not a number: `input_cost_per_token` of `gpt-4o` is [1]",
            ),
            (
                r#"{"input_cost_per_token": 1e4000}"#,
                "more than 10,000 USD: `input_cost_per_token` of `gpt-4o` is 1e4000",
            ),
            (
                r#"{"search_context_cost_per_query": {"search_context_size_low": -1}}"#,
                "negative: `search_context_cost_per_query.search_context_size_low` of `gpt-4o` is -1",
            ),
            (
                r#"{"search_context_cost_per_query": "free"}"#,
                "not a number: `search_context_cost_per_query` of `gpt-4o` is \"free\"",
            ),
            (
                r#"{"tiered_pricing": [{"range": [0, 1], "output_cost_per_token": "?"}]}"#,
                "not a number: `tiered_pricing[0].output_cost_per_token` of `gpt-4o` is \"?\"",
            ),
        ] {
            let json = format!(r#"{{"gpt-4": {{"input_cost_per_token": 1}}, "gpt-4o": {entry}}}"#);
            assert_eq!(fault(&json), format!("the price list has a price that is {expected}"));
        }
        let json = format!(r#"{{"a": {{"input_cost_per_token": "{}"}}}}"#, "é".repeat(1000));
        assert!(fault(&json).len() < 200);
        let error = Prices::from_json(r#"{"a": {"input_cost_per_request": "?"}}"#).unwrap_err();
        assert_eq!((error.entry(), error.field()), (Some("a"), Some("input_cost_per_request")));
    }

    #[test]
    fn what_is_not_used_may_be_anything() {
        for value in ["-1", "\"text\"", "null", "{}", "[[]]", "true", "1e999"] {
            let json = format!(
                r#"{{"a": {{"input_cost_per_token": 1, "output_cost_per_second": {value}, "x": {value},
                    "aliases": {value}, "alias_of": {value}, "mode": {value}, "litellm_provider": {value},
                    "tiered_pricing": {value}, "web_search_billing_unit": {value}}}, "b": {value}}}"#
            );
            let prices =
                Prices::from_json(&json).unwrap_or_else(|error| panic!("{value}: {error}"));
            assert_eq!(prices.entry_name(&["a"], None), Some("a"), "{value}");
        }
    }

    #[test]
    fn what_is_not_a_list_is_refused() {
        for json in ["", "{", "{\"a\"}", "nonsense", "{} {}"] {
            assert!(fault(json).starts_with("the price list is not JSON: "), "{json}");
        }
        for json in ["[]", "1", "null", "\"{}\""] {
            assert_eq!(
                fault(json),
                "the price list is not a JSON object that maps models to their prices"
            );
        }
        assert!(
            Prices::from_json(b"{\"a\xff\": {}}").unwrap_err().to_string().contains("not JSON")
        );
        let deep = "[".repeat(1_000_000);
        assert!(fault(&format!(r#"{{"a": {{"x": {deep}"#)).contains("not JSON"));
        let large = format!("{{}}{}", " ".repeat(32_000_000));
        assert_eq!(fault(&large), "the price list is larger than 32 MB");
        assert!(Prices::from_json(&large[..32_000_000]).unwrap().is_empty());
        assert_eq!(Prices::from_json("\u{feff}{\"a\": {}}").unwrap().len(), 1);
    }

    #[test]
    fn a_file_is_named() {
        let folder = std::env::temp_dir().join(format!("prices-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("prices.json");
        let error = Prices::from_file(&path).unwrap_err();
        let name = path.display();
        assert!(
            error.to_string().starts_with(&format!("the price list {name} cannot be read: ")),
            "{error}"
        );
        assert_eq!(error.file(), Some(&*path));
        std::fs::write(&path, r#"{"a": {"input_cost_per_token": -1}}"#).unwrap();
        assert_eq!(
            Prices::from_file(&path).unwrap_err().to_string(),
            format!(
                "the price list {name} has a price that is negative: `input_cost_per_token` of `a` is -1"
            )
        );
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(40_000_000).unwrap();
        assert_eq!(
            Prices::from_file(&path).unwrap_err().to_string(),
            format!("the price list {name} is larger than 32 MB")
        );
        assert!(Prices::from_file(&folder).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn the_list_of_the_examples_has_all_prices() {
    let text = include_str!("../../examples/orchestrator/prices.json");
    let prices = Prices::from_json(text).unwrap();
    let list: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap();
    let date = list["sample_spec"]["date"].as_str().unwrap();
    assert_eq!(date.len(), "2026-11-26".len());
    assert_eq!(prices.len(), list.len() - 1);
    for model in list.keys().filter(|model| *model != "sample_spec") {
        let models = [&**model];
        let call = Call { models: &models, usage: Some(tokens(1000, 0)), ..Call::default() };
        let cost = prices.cost(&call).unwrap();
        assert!(cost.complete && !cost.cost.is_zero(), "{model}");
        assert!(cost.cost < Cost::from_reported("0.01").unwrap(), "{model}");
    }
}

mod matching {
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
            (
                "us-gov.anthropic.claude-haiku-4-5-v1:0",
                None,
                "us-gov.anthropic.claude-haiku-4-5-v1:0",
            ),
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
}

proptest! {
    /// No name, tier or count panics, and a cost is never more than if all tokens had the dearest
    /// price.
    #[test]
    fn any_call_has_a_cost_or_a_reason(
        model in "(bedrock/|openai/|us\\.|arn:|models/)?(long|cached|tiered|reasoning|.*)(-2024-08-06|@x|:0|-v1:0)?",
        provider in proptest::option::of("azure|bedrock|.*"),
        tier in proptest::option::of("priority|flex|batch|.*"),
        counts in proptest::array::uniform6(proptest::option::of(prop_oneof![0..400_000_u64, any::<u64>()])),
        searches in any::<u64>(),
    ) {
        let mut usage = TokenUsage::default();
        [
            usage.input_tokens, usage.output_tokens, usage.total_tokens,
            usage.cache_read_input_tokens, usage.cache_write_input_tokens, usage.reasoning_tokens,
        ] = counts;
        let models = [&*model];
        let call = Call {
            models: &models,
            provider: provider.as_deref(),
            usage: Some(usage),
            cache_write_1h_input_tokens: counts[4].map(|count| count / 2),
            service_tier: tier.as_deref(),
            web_searches: searches,
            ..Call::default()
        };
        if let Ok(cost) = prices().cost(&call) {
            let tokens = counts.iter().flatten().map(|count| u128::from(*count)).sum::<u128>();
            // The dearest token is 1,000 nanodollars, and the dearest search 0.035 USD.
            let most = tokens * 1_000_000_000 + u128::from(searches) * 35_000_000_000_000 + 5_000_000_000_000;
            prop_assert!(cost.cost.as_femto_usd() <= most, "{}", cost.cost);
        }
    }
}
