//! [`Call`] and its [`CallCost`].

use std::fmt;

use super::entry::{Entry, UnitPrice};
use super::fields::Tier;
use super::{Prices, SearchContextSize};
use crate::status::{Cost, Timestamp, TokenUsage};

/// What the cost of a call follows from: what a response, its request and its usage say.
///
/// Start from the default, and set what is known.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Call<'a> {
    /// The names of the model, the most exact first: the one that the response has, then the one in the
    /// request or its path.
    pub models: &'a [&'a str],
    /// Who served the model, if known, by one of LiteLLM's names or of OpenTelemetry's
    /// `gen_ai.provider.name`: `openai`, `azure.ai.openai`, `aws.bedrock`, `vertex_ai`. Chooses between
    /// entries of one model.
    pub provider: Option<&'a str>,
    /// The tokens, or `None` if no count is known.
    pub usage: Option<TokenUsage>,
    /// The part of the tokens written to a cache that stays for five minutes, if told apart.
    pub cache_write_5m_input_tokens: Option<u64>,
    /// The part of the tokens written to a cache that stays for an hour, if told apart.
    pub cache_write_1h_input_tokens: Option<u64>,
    /// The service tier that the response names: `priority`, `flex`, `batch`. Names that are not known
    /// cost the standard price.
    pub service_tier: Option<&'a str>,
    /// When the call ended, for models that cost less in some hours. Without it, they cost as much as in
    /// the others.
    pub at: Option<Timestamp>,
    /// The number of searches of the web that the provider made for the call.
    pub web_search_requests: u64,
    /// How much of the results a search reads, if the response says so.
    pub search_context_size: Option<SearchContextSize>,
    /// The number of other requests that are paid for beside the tokens, such as searches of files. No
    /// list has their prices, so that the cost of a call with any is incomplete.
    pub other_paid_requests: u64,
    /// The cost that the response reports itself, which goes first. See [`Cost::from_reported`].
    pub reported_cost: Option<Cost>,
}

/// The cost of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallCost {
    /// The cost, or the least that it is.
    pub cost: Cost,
    /// Whether the cost is all of it. Otherwise a part of the call has no count or no price, and the
    /// call cost more: `≥ $0.12`.
    pub complete: bool,
    /// Where the cost is from.
    pub source: CostSource,
}

/// Where a cost is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CostSource {
    /// The response reports it.
    Reported,
    /// It is computed from the tokens and a price list.
    PriceList,
}

/// Why a call has no cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnpricedReason {
    /// No count of tokens is known.
    NoUsage,
    /// The total is known, and not how much of it is input.
    TotalOnly,
    /// No name of a model is known.
    NoModel,
    /// The list has no entry for the model.
    UnknownModel,
    /// The list has an entry for the model, with no price per token.
    NoTokenPrice,
}

impl UnpricedReason {
    /// Returns a short name for it, such as `unknown_model`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoUsage => "no_usage",
            Self::TotalOnly => "total_only",
            Self::NoModel => "no_model",
            Self::UnknownModel => "unknown_model",
            Self::NoTokenPrice => "no_token_price",
        }
    }
}

impl fmt::Display for UnpricedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoUsage => "the response reports no tokens",
            Self::TotalOnly => "the response reports only the total of its tokens",
            Self::NoModel => "neither the response nor the request names a model",
            Self::UnknownModel => "the price list has no entry for the model",
            Self::NoTokenPrice => "the price list has no price per token for the model",
        })
    }
}

impl std::error::Error for UnpricedReason {}

impl Prices {
    /// Returns the cost of a call, by the rules in the [module's docs](super).
    ///
    /// # Errors
    ///
    /// If the call has no cost, the reason. It is not zero then: it is not known.
    pub fn cost(&self, call: &Call<'_>) -> Result<CallCost, UnpricedReason> {
        if let Some(cost) = call.reported_cost {
            return Ok(CallCost { cost, complete: true, source: CostSource::Reported });
        }
        let usage = call.usage.unwrap_or_default();
        if usage.input_tokens.is_none() && usage.output_tokens.is_none() {
            let total = usage.total_tokens.is_some();
            return Err(if total { UnpricedReason::TotalOnly } else { UnpricedReason::NoUsage });
        }
        if call.models.iter().all(|model| model.trim().is_empty()) {
            return Err(UnpricedReason::NoModel);
        }
        let (_, entry) =
            self.find(call.models, call.provider).ok_or(UnpricedReason::UnknownModel)?;
        if !entry.prices_tokens() {
            return Err(UnpricedReason::NoTokenPrice);
        }
        let mut sum = Sum { cost: Cost::ZERO, complete: true };
        sum.add_tokens(entry, call, &usage);
        sum.add_requests(entry, call);
        Ok(CallCost { cost: sum.cost, complete: sum.complete, source: CostSource::PriceList })
    }
}

struct Sum {
    cost: Cost,
    complete: bool,
}

impl Sum {
    fn add_tokens(&mut self, entry: &Entry, call: &Call<'_>, usage: &TokenUsage) {
        let input = usage.input_tokens.unwrap_or(0);
        let output = usage.output_tokens.unwrap_or(0);
        // A response without output need not count it.
        let has_all_output = usage.output_tokens.is_some()
            || entry.no_output
            || usage.total_tokens.is_some_and(|total| total <= input);
        self.complete &= usage.input_tokens.is_some() && has_all_output;

        let five_minutes = call.cache_write_5m_input_tokens.unwrap_or(0);
        let hour = call.cache_write_1h_input_tokens.unwrap_or(0);
        let written = usage.cache_write_input_tokens.unwrap_or(five_minutes.saturating_add(hour));
        let hour = hour.min(written);
        let read = usage.cache_read_input_tokens.unwrap_or(0);
        let reasoning = usage.reasoning_tokens.unwrap_or(0).min(output);

        let rates = entry.rates(Tier::of(call.service_tier), input, call.at);
        self.add(input.saturating_sub(read).saturating_sub(written), rates.input);
        self.add(read, rates.cache_read);
        self.add(written - hour, rates.cache_write);
        self.add(hour, rates.cache_write_hour.or(rates.cache_write));
        // Five minutes cost less than an hour.
        self.complete &= hour == 0 || rates.cache_write_hour.is_some();
        self.add(output - reasoning, rates.output);
        self.add(reasoning, rates.reasoning);
    }

    fn add_requests(&mut self, entry: &Entry, call: &Call<'_>) {
        if let Some(request) = entry.request {
            self.add(1, Some(request));
        }
        let is_gemini = entry.is_from("gemini")
            || entry.is_from("vertex_ai") && !entry.is_from("vertex_ai-anthropic_models");
        let searches = if is_gemini && !entry.pays_per_search {
            call.web_search_requests.min(1)
        } else {
            call.web_search_requests
        };
        let size = call.search_context_size.unwrap_or(if entry.is_from("perplexity") {
            SearchContextSize::Low
        } else {
            SearchContextSize::Medium
        });
        self.add(searches, entry.search[size as usize]);
        self.complete &= call.other_paid_requests == 0;
    }

    fn add(&mut self, count: u64, price: Option<UnitPrice>) {
        match price {
            Some(price) => {
                let part = Cost::from_femto_usd(price.into()).saturating_mul(count);
                self.cost = self.cost.saturating_add(part);
            }
            None => self.complete &= count == 0,
        }
    }
}
