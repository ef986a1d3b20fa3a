//! The rules, each with sums computed by hand.

mod lists;
mod matching;

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
    "nightly": {
        "input_cost_per_token": 4e-9, "output_cost_per_token": 10e-9,
        "output_cost_per_reasoning_token": 12e-9, "cache_creation_input_token_cost": 5e-9,
        "off_peak_pricing": {
            "input_cost_per_token": 2e-9, "output_cost_per_token": 6e-9, "hours_utc": "16:30-00:30"
        }
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
) -> Result<(u128, bool), UnpricedReason> {
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
fn some_hours_have_prices() {
    let mut usage = tokens(100, 50);
    usage.cache_read_input_tokens = Some(10);
    usage.cache_write_input_tokens = Some(20);
    usage.reasoning_tokens = Some(30);
    let at = |time: &str| {
        let at = time.parse().ok();
        move |call: &mut Call<'_>| call.at = at
    };
    // (70 + 10) × 4 + 20 × 5 + 20 × 10 + 30 × 12
    assert_eq!(cost("nightly", usage, |_| {}), Ok((980, true)));
    assert_eq!(cost("nightly", usage, at("2026-11-26T12:00:00Z")), Ok((980, true)));
    // (70 + 10) × 2 + 20 × 5 + 20 × 6 + 30 × 12
    assert_eq!(cost("nightly", usage, at("2026-11-26T20:00:00Z")), Ok((740, true)));
    let batch = |call: &mut Call<'_>| {
        at("2026-11-26T20:00:00Z")(call);
        call.service_tier = Some("batch");
    };
    assert_eq!(cost("nightly", usage, batch), Ok((490, true)));
}

#[test]
fn requests_have_fees() {
    let searches = |count, size| {
        move |call: &mut Call<'_>| {
            call.web_search_requests = count;
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
    assert_eq!(cost("plain", total, |_| {}), Err(UnpricedReason::TotalOnly));
    assert_eq!(cost("plain", TokenUsage::default(), |_| {}), Err(UnpricedReason::NoUsage));
    assert_eq!(cost("plain", tokens(1, 1), |call| call.usage = None), Err(UnpricedReason::NoUsage));
    assert_eq!(cost("", tokens(1, 1), |_| {}), Err(UnpricedReason::NoModel));
    assert_eq!(cost("plain", tokens(1, 1), |call| call.models = &[]), Err(UnpricedReason::NoModel));
    assert_eq!(cost("plai", tokens(1, 1), |_| {}), Err(UnpricedReason::UnknownModel));
    assert_eq!(cost("sample_spec", tokens(1, 1), |_| {}), Err(UnpricedReason::UnknownModel));
    assert_eq!(cost("by the second", tokens(1, 1), |_| {}), Err(UnpricedReason::NoTokenPrice));
    assert_eq!(cost("nothing", tokens(1, 1), |_| {}), Err(UnpricedReason::NoTokenPrice));
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
            web_search_requests: searches,
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
