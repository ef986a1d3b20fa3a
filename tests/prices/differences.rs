//! Why a cost is another than LiteLLM's. Each rule computes what LiteLLM makes of the call, so that it
//! explains nothing else.

use serde_json::Value as Json;

use tower_agent_status::pricing::Prices;
use tower_agent_status::status::{TokenUsage, TotalCost};
use tower_agent_status::usage::ResponseInfo;

use crate::recorded::text_of;
use crate::rows::Row;
use crate::{is_equal, usd};

/// Providers whose costs LiteLLM computes without the service tier.
const WITHOUT_TIERS: [&str; 5] = ["fireworks_ai", "perplexity", "deepseek", "tencent", "xai"];

#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) list: &'a Json,
    /// The name of the entry, and the entry that has its prices.
    pub(crate) name: &'a str,
    pub(crate) entry: &'a Json,
    pub(crate) provider: &'a str,
    pub(crate) usage: &'a Json,
    pub(crate) tier: Option<&'a str>,
    /// LiteLLM's cost.
    pub(crate) theirs: f64,
    /// LiteLLM's cost without a service tier.
    pub(crate) standard: f64,
}

pub(crate) fn explain(case: &Case<'_>) -> Option<&'static str> {
    let rules = [
        (
            "the entry has no price per token: no cost, where LiteLLM's is zero",
            case.without_prices(),
        ),
        (
            "LiteLLM ignores `input_cost_per_request`, and length, with Perplexity",
            case.perplexity(),
        ),
        ("LiteLLM ignores the service tier with this provider", case.without_tier()),
        (
            "LiteLLM takes the price of shorter input for writes of an hour in a tier without its own",
            case.hour_in_tier(),
        ),
        ("LiteLLM cuts off a provider's prefix that is there twice", case.repeated_prefix()),
        (
            "LiteLLM has no cost of a batch for `tiered_pricing`, and where it looks for another name",
            case.free_batch(),
        ),
        (
            "LiteLLM's half price of a batch ignores the length and writes of an hour, and cached input \
             without a price is free",
            case.half_batch(),
        ),
        (
            "LiteLLM's batch has writes of an hour at the price of five minutes, and writes without a \
             price for batches at that of input",
            case.listed_batch(),
        ),
    ];
    let explains =
        |cost: Option<f64>| cost.is_some_and(|cost| is_equal(cost, case.theirs, case.usage));
    rules.into_iter().find(|(_, cost)| explains(*cost)).map(|(why, _)| why)
}

impl Case<'_> {
    fn price(&self, field: &str) -> Option<f64> {
        self.entry[field].as_f64()
    }

    fn count(&self, count: &str) -> f64 {
        self.usage[count].as_f64().unwrap()
    }

    fn is_batch(&self) -> bool {
        self.tier == Some("batch")
    }

    /// The field for the longest input that is exceeded.
    fn long(&self, field: &str, suffix: &str) -> Option<f64> {
        let mut best = (0.0, self.price(&format!("{field}{suffix}")));
        for (name, price) in self.entry.as_object().unwrap() {
            let above = name.strip_prefix(field).and_then(|rest| rest.strip_prefix("_above_"));
            let above = above.and_then(|rest| rest.strip_suffix(suffix)?.strip_suffix("k_tokens"));
            let Some(above) = above.and_then(|above| above.parse::<f64>().ok()) else { continue };
            if self.count("input") > above * 1000.0 && above > best.0 {
                best = (above, price.as_f64());
            }
        }
        best.1
    }

    fn sum(&self, input: f64, read: f64, write: f64, output: f64) -> f64 {
        let fresh = self.count("input") - self.count("cache_read") - self.count("cache_write");
        fresh * input
            + self.count("cache_read") * read
            + self.count("cache_write") * write
            + self.count("output") * output
    }

    fn without_prices(&self) -> Option<f64> {
        let fields = self.entry.as_object().unwrap();
        let has_price = |field: &str| {
            [
                "input_cost_per_token",
                "output_cost_per_token",
                "output_cost_per_image_token",
                "tiered_pricing",
            ]
            .into_iter()
            .any(|prefix| field.starts_with(prefix))
        };
        (!fields.keys().any(|field| has_price(field))).then_some(0.0)
    }

    fn perplexity(&self) -> Option<f64> {
        let input = self.price("input_cost_per_token")?;
        let read = self.price("cache_read_input_token_cost").unwrap_or(input);
        let cost = self.sum(input, read, input, self.price("output_cost_per_token")?);
        (self.provider == "perplexity" && !self.is_batch()).then_some(cost)
    }

    /// The only provider whose names have it is Perplexity.
    fn repeated_prefix(&self) -> Option<f64> {
        let name =
            self.name.strip_prefix("perplexity/").filter(|rest| rest.starts_with("perplexity/"))?;
        let other = Case { name, entry: &self.list[name], ..*self };
        other.perplexity().or_else(|| other.half_batch())
    }

    fn without_tier(&self) -> Option<f64> {
        let fields = self.entry.as_object().unwrap();
        let suffix = format!("_{}", self.tier?);
        (WITHOUT_TIERS.contains(&self.provider)
            && fields.keys().any(|field| field.ends_with(&suffix)))
        .then_some(self.standard)
    }

    fn hour_in_tier(&self) -> Option<f64> {
        let hour = "cache_creation_input_token_cost_above_1hr";
        let short = self.price(&format!("{hour}_{}", self.tier?)).or(self.price(hour))?;
        let difference = self.count("cache_write_1h") * (self.long(hour, "")? - short);
        // None of these entries has a price of its own for the tier.
        (!self.is_batch()).then_some(self.standard - difference)
    }

    fn free_batch(&self) -> Option<f64> {
        (self.is_batch() && self.standard > 0.0).then_some(0.0)
    }

    fn half_batch(&self) -> Option<f64> {
        let input = self.price("input_cost_per_token").unwrap_or(0.0);
        let read = self.price("cache_read_input_token_cost").unwrap_or(0.0);
        let write = self.price("cache_creation_input_token_cost").unwrap_or(input);
        let output = self.price("output_cost_per_token").unwrap_or(0.0);
        let cost = self.sum(input, read, write, output) / 2.0;
        (self.is_batch() && self.price("input_cost_per_token_batches").is_none()).then_some(cost)
    }

    fn listed_batch(&self) -> Option<f64> {
        let input = self.long("input_cost_per_token", "_batches")?;
        let read = self.long("cache_read_input_token_cost", "_batches");
        let read = read.or(self.long("cache_read_input_token_cost", "")).unwrap_or(input);
        let write = self.long("cache_creation_input_token_cost", "_batches").unwrap_or(input);
        let half = self.price("output_cost_per_token").unwrap_or(0.0) / 2.0;
        let output = self.long("output_cost_per_token", "_batches").unwrap_or(half);
        self.is_batch().then(|| self.sum(input, read, write, output))
    }
}

/// A recorded answer whose cost is another than LiteLLM's.
pub(crate) struct Answer<'a> {
    pub(crate) list: &'a Json,
    pub(crate) prices: &'a Prices,
    pub(crate) row: &'a Row,
    /// What `.ci/prices.py` found in it, with LiteLLM's cost.
    pub(crate) line: &'a Json,
    /// What the crate recorded.
    pub(crate) cost: TotalCost,
    pub(crate) recorded_usage: Option<TokenUsage>,
    /// What the crate's reader found.
    pub(crate) usage: Option<TokenUsage>,
    pub(crate) info: &'a ResponseInfo,
}

pub(crate) fn explain_answer(answer: &Answer<'_>) -> Option<&'static str> {
    let rules = [
        ("the answer reports its cost, which goes first", answer.reports_its_cost()),
        ("searches of the web are paid beside the tokens", answer.searches()),
        (
            "a subscription has no price per token: no cost, where LiteLLM's is zero",
            answer.is_free(),
        ),
        ("a GET fetches a run that no call has begun: nothing of it counts", answer.is_fetched()),
    ];
    rules.into_iter().find(|(_, explains)| *explains).map(|(why, _)| why)
}

impl Answer<'_> {
    fn is(&self, cost: f64) -> bool {
        let ours = self.cost.usd.map(usd);
        ours.is_some_and(|ours| is_equal(ours, cost, &self.line["usage"]))
    }

    fn litellm(&self) -> f64 {
        self.line["litellm"].as_f64().unwrap()
    }

    fn reports_its_cost(&self) -> bool {
        let Some(reported) = self.info.cost_usd.as_deref() else { return false };
        let reported: f64 = reported.parse().unwrap();
        let text = text_of(self.row);
        // xAI counts in ticks.
        let keys = [("cost", 1.0), ("total_cost", 1.0), ("cost_in_usd_ticks", 1e-10)];
        let is_in_body = keys.into_iter().any(|(key, unit)| {
            let key = format!("\"{key}\":");
            text.split(&key).skip(1).any(|rest| {
                let number = rest.trim_start().split([',', '}', '\n']).next().unwrap();
                let number = number.trim().parse::<f64>();
                number.is_ok_and(|number| is_equal(number * unit, reported, &self.line["usage"]))
            })
        });
        is_in_body && self.is(reported)
    }

    fn searches(&self) -> bool {
        let Some(searches) = self.info.web_search_requests.filter(|count| *count > 0) else {
            return false;
        };
        let name = self.line["known"].as_str().unwrap();
        let price = &self.list[name]["search_context_cost_per_query"]["search_context_size_medium"];
        let searches = u32::try_from(searches).unwrap();
        price.as_f64().is_some_and(|price| self.is(self.litellm() + f64::from(searches) * price))
    }

    fn is_free(&self) -> bool {
        let models =
            self.line["models"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
        let models: Vec<_> = models.collect();
        let name = self.prices.entry_name(&models, self.line["provider"].as_str()).unwrap();
        let fields = self.list[name].as_object().unwrap();
        let has_price = fields.keys().any(|field| field.contains("cost_per_token"));
        self.litellm() == 0.0
            && !has_price
            && self.cost.usd.is_none()
            && self.cost.unpriced_calls == 1
    }

    fn is_fetched(&self) -> bool {
        self.row.json["request"]["method"] == "GET"
            && self.usage.is_some()
            && self.recorded_usage.is_none()
            && self.cost.is_empty()
    }
}
