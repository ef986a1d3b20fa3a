//! The costs of this crate against those of LiteLLM, for each model of LiteLLM's list.
//!
//! `.ci/prices` computes LiteLLM's, and sets `STATUS_PRICES` to the folder that has them and the list.

#![expect(clippy::unwrap_used, reason = "tests")]

mod differences;
mod recorded;
#[path = "../corpus/rows.rs"]
mod rows;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use differences::{Case, explain};
use serde_json::Value as Json;
use tower_agent_status::pricing::{Call, Prices, UnpricedReason};
use tower_agent_status::status::TokenUsage;

const FOLDER: &str = "STATUS_PRICES_COMPARISON";
/// When `.ci/prices.py` has calls end: on a Wednesday, 2026-11-25 at 02:30 UTC.
const BILLED_AT: Duration = Duration::from_secs(1_795_573_800);

#[test]
fn costs_are_those_of_litellm() {
    let Ok(folder) = std::env::var(FOLDER).map(PathBuf::from) else {
        return println!("skipped: the comparison with LiteLLM, since {FOLDER} is not set");
    };
    let prices = Prices::from_file(folder.join("list.json")).unwrap();
    let list = read(&folder.join("list.json")).remove(0);
    let mut lines = fs::read_to_string(folder.join("grid.jsonl")).unwrap();
    lines.truncate(lines.trim_end().len());
    let mut lines = lines.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    let head = lines.next().unwrap();

    let (mut compared, mut equal) = (0, 0);
    let mut explained = BTreeMap::<_, (usize, String)>::new();
    let mut unexplained = Vec::new();
    for line in lines {
        let model = line["model"].as_str().unwrap();
        let name = prices.entry_name(&[model], line["provider"].as_str()).unwrap();
        let entry = owner(&list, name);
        assert!(line["error"].is_null(), "LiteLLM computes nothing for {model}: {}", line["error"]);
        let provider = line["provider"].as_str().unwrap();
        let standard: Vec<_> = array(&line["costs"][0]).map(Json::as_f64).collect();
        for time in array(&line["times"]) {
            for (usage, theirs) in array(&head["usages"]).zip(array(&time["costs"])) {
                let mut call = call(usage, None);
                let models = [model];
                call.models = &models;
                call.provider = Some(provider);
                call.at = Some(time["at"].as_str().unwrap().parse().unwrap());
                let (ours, theirs) =
                    (usd(prices.cost(&call).unwrap().cost), theirs.as_f64().unwrap());
                compared += 1;
                if is_equal(ours, theirs, usage) {
                    equal += 1;
                } else {
                    unexplained.push(format!(
                        "{model} {} {usage}: {ours:e}, and LiteLLM's {theirs:e}",
                        time["at"]
                    ));
                }
            }
        }
        if let Some(theirs) = line["search"].as_f64() {
            let usage = &head["usages"][1];
            let searches =
                searches(&prices, model, provider, usage, head["searches"].as_u64().unwrap());
            compared += 1;
            if is_equal(searches, theirs, usage) {
                equal += 1;
            } else {
                unexplained.push(format!(
                    "{model} ({provider}): searches {searches:e}, and LiteLLM's {theirs:e}"
                ));
            }
        }
        for (tier, costs) in head["tiers"].as_array().unwrap().iter().zip(array(&line["costs"])) {
            let usages = head["usages"].as_array().unwrap().iter().zip(&standard);
            for ((usage, standard), theirs) in usages.zip(array(costs)) {
                let Some(theirs) = theirs.as_f64() else { continue };
                let mut call = call(usage, tier.as_str());
                let models = [model];
                call.models = &models;
                call.provider = Some(provider);
                let ours = prices.cost(&call);
                let ours_usd = match &ours {
                    Ok(ours) => usd(ours.cost),
                    Err(UnpricedReason::NoTokenPrice) => f64::NAN,
                    Err(other) => panic!("{model}: {other}"),
                };
                compared += 1;
                if is_equal(ours_usd, theirs, usage) {
                    equal += 1;
                    continue;
                }
                let tier_name = tier.as_str();
                let case = Case {
                    list: &list,
                    name,
                    entry,
                    provider,
                    usage,
                    tier: tier_name,
                    theirs,
                    standard: standard.unwrap(),
                };
                let text = || {
                    format!(
                        "{model} ({provider}) {tier} {usage}: {ours_usd:e}, and LiteLLM's {theirs:e}"
                    )
                };
                match explain(&case) {
                    Some(why) => explained.entry(why).or_insert_with(|| (0, text())).0 += 1,
                    None => unexplained.push(text()),
                }
            }
        }
    }
    println!("prices: {compared} costs compared with LiteLLM {}, {equal} equal", head["litellm"]);
    for (why, (count, example)) in &explained {
        println!("{count:>7} {why}\n        such as {example}");
    }
    for text in unexplained.iter().take(40) {
        println!("unexplained: {text}");
    }
    assert!(unexplained.is_empty(), "{} differences are unexplained", unexplained.len());
    assert!(compared > 100_000, "only {compared} costs were compared");
}

/// What a number of searches adds to the cost of a call.
fn searches(prices: &Prices, model: &str, provider: &str, usage: &Json, count: u64) -> f64 {
    let cost = |searches| {
        let mut call = call(usage, None);
        let models = [model];
        call.models = &models;
        call.provider = Some(provider);
        call.web_search_requests = searches;
        prices.cost(&call).map(|cost| cost.cost)
    };
    match (cost(count), cost(0)) {
        (Ok(with), Ok(without)) => usd(with.saturating_sub(without)),
        _ => f64::NAN,
    }
}

#[test]
fn recorded_calls_cost_what_litellm_says() {
    let path = std::env::var(FOLDER).map(|folder| Path::new(&folder).join("corpus.jsonl"));
    let Some(path) = path.ok().filter(|path| path.exists()) else {
        return println!(
            "skipped: the costs of recorded calls, since there is no corpus.jsonl in {FOLDER}"
        );
    };
    let prices = Prices::from_file(path.with_file_name("list.json")).unwrap();
    let (mut equal, mut seconded, mut subscriptions) = (0, 0, 0);
    let (mut ours_alone, mut unexplained) = (Vec::new(), Vec::new());
    for row in read(&path) {
        let models: Vec<_> = array(&row["models"]).map(|model| model.as_str().unwrap()).collect();
        let usage = &row["usage"];
        let mut call = call(usage, row["tier"].as_str());
        call.models = &models;
        call.provider = row["provider"].as_str();
        let ours = prices.cost(&call);
        let entry = prices.entry_name(&models, call.provider);
        let text = || {
            format!(
                "{} {models:?} {:?} {:?}: {entry:?} {:?}, LiteLLM's {} of {}, genai-prices' {}",
                row["id"],
                call.provider,
                call.service_tier,
                ours.as_ref().map(|ours| ours.cost.to_string()),
                row["litellm"],
                row["known"],
                row["genai"],
            )
        };
        let is = |theirs: f64| matches!(&ours, Ok(ours) if is_equal(usd(ours.cost), theirs, usage));
        seconded += usize::from(row["genai"].as_f64().is_some_and(is));
        match (row["litellm"].as_f64(), &ours) {
            (Some(theirs), _) if is(theirs) => equal += 1,
            // Subscriptions. LiteLLM takes a price that is not there for zero.
            (Some(0.0), Err(UnpricedReason::NoTokenPrice)) => subscriptions += 1,
            (Some(_), _) => unexplained.push(text()),
            (None, Ok(_)) => ours_alone.push(text()),
            (None, Err(_)) => {}
        }
    }
    println!(
        "prices: {equal} recorded calls cost what LiteLLM says, {seconded} what genai-prices says; \
         {subscriptions} have no price per token, and {} only this crate prices",
        ours_alone.len(),
    );
    for text in &ours_alone {
        println!("        LiteLLM does not know {text}");
    }
    for text in &unexplained {
        println!("unexplained: {text}");
    }
    assert!(unexplained.is_empty(), "{} differences are unexplained", unexplained.len());
    assert!(equal > 0, "no recorded call was compared");
}

fn call<'a>(usage: &Json, tier: Option<&'a str>) -> Call<'a> {
    let count = |name: &str| usage[name].as_u64();
    let mut tokens = TokenUsage::new(count("input").unwrap(), count("output").unwrap());
    tokens.cache_read_input_tokens = count("cache_read");
    tokens.cache_write_input_tokens = count("cache_write");
    tokens.reasoning_tokens = count("reasoning");
    let mut call = Call::default();
    call.usage = Some(tokens);
    call.cache_write_1h_input_tokens = count("cache_write_1h");
    call.service_tier = tier;
    call
}

/// Whether two costs differ by no more than the rounding of LiteLLM's floats, and of prices that have
/// more than fifteen decimals.
fn is_equal(ours: f64, theirs: f64, usage: &Json) -> bool {
    let tokens = usage["input"].as_f64().unwrap() + usage["output"].as_f64().unwrap();
    (ours - theirs).abs() <= 1e-12 * theirs.abs() + 0.51e-15 * tokens
}

#[expect(clippy::cast_precision_loss, reason = "as precise as LiteLLM's floats")]
fn usd(cost: tower_agent_status::status::Cost) -> f64 {
    cost.as_femto_usd() as f64 / 1e15
}

fn array(json: &Json) -> impl Iterator<Item = &Json> {
    json.as_array().into_iter().flatten()
}

/// The entry that has the prices of a name.
fn owner<'a>(list: &'a Json, name: &str) -> &'a Json {
    match list[name]["alias_of"].as_str() {
        Some(owner) => &list[owner],
        None => &list[name],
    }
}

fn read(path: &Path) -> Vec<Json> {
    let text = fs::read_to_string(path).unwrap();
    serde_json::Deserializer::from_str(&text).into_iter().map(Result::unwrap).collect()
}
