//! What calls cost, by a price list in the format of LiteLLM's.
//!
//! [`Prices`] is the list, and [`Prices::cost`] the cost of a [`Call`]. No list is part of this crate:
//! prices change. The most widely kept list is LiteLLM's
//! [`model_prices_and_context_window.json`](https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json),
//! to which you can add models and prices of your own. Nothing here uses a network or a clock.
//!
//! # What is computed
//!
//! A cost that a response [reports](Call::reported_cost) itself goes first. Otherwise each token has
//! one price:
//!
//! | tokens | field | if it is absent |
//! | --- | --- | --- |
//! | input without the next three rows | `input_cost_per_token` | incomplete |
//! | input read from a cache | `cache_read_input_token_cost` | as input |
//! | input written to a cache | `cache_creation_input_token_cost` | as input |
//! | input written to a cache for an hour | `cache_creation_input_token_cost_above_1hr` | as other writes, and incomplete |
//! | output without reasoning | `output_cost_per_token` | `output_cost_per_image_token`, or incomplete |
//! | reasoning | `output_cost_per_reasoning_token` | as output |
//!
//! - **Length.** A field may end in `_above_200k_tokens`, with any number. If the input of a request,
//!   cached tokens included, is longer than that, all of its tokens have that price. With
//!   `tiered_pricing`, a list of tables with a `range`, the table for the length has all prices.
//! - **Service tier.** A field may end in `_priority`, `_flex`, `_batches`, `_balanced` or
//!   `_ultrafast`, also after a length. If there is none for the tier, the field without it has the
//!   price. A batch without prices of its own costs half.
//! - **Time.** With `off_peak_pricing`, its prices replace all others at a [time](Call::at) that is in its
//!   hours, but not in a batch.
//! - **Requests.** `input_cost_per_request` is added once, and `search_context_cost_per_query` for each
//!   search of the web. With Gemini, searches of a call count once, unless `web_search_billing_unit` is
//!   `per_query`.
//! - **Others.** Tokens of images and audio cost as much as others: a [`TokenUsage`] does not tell them
//!   apart. Prices per second or per character are ignored.
//!
//! Prices are rounded half to even at 10⁻¹⁵ USD, and everything after that is exact.
//!
//! A call has no cost if its model has no entry, or if only the total of its tokens is known, and the
//! [reason](UnpricedReason) says why. A cost that lacks a part is not [complete](CallCost::complete):
//! a call that ended before it reported its output, tokens without a price, a search without one.
//!
//! # Names of models
//!
//! The [names](Call::models) of a model are matched in these steps. Within each, a provider's prefix is
//! put before a name (`azure/gpt-4o`, `vertex_ai/…`, and `bedrock/eu-central-1/…` if the name has a
//! region), and an entry without one is taken if its `litellm_provider` is that provider.
//!
//! 1. The name itself, if it has a prefix or no provider is known.
//! 2. At the [provider](Call::provider): the name itself, and without what says where or how the model
//!    is served. These parts are cut off:
//!    - a prefix of a provider, a gateway, or a vendor at a gateway: `openai/`, `bedrock/converse/`,
//!      `bedrock/us-east-1/`, `openrouter/anthropic/`, `models/`, `projects/…/models/`. A provider in
//!      the name counts as one, too.
//!    - all but the id of the ARN of a foundation model or an inference profile. An application
//!      inference profile does not name its model.
//!    - where Bedrock routes a request to: `us.`, `eu.`, `apac.`, `global.`, `jp.`, `au.`, `ca.`, `in.`
//!      and `sa.`, before the name of a vendor. `us-gov.` is not cut off, since its prices are others.
//!    - `:24k`, `:0` and `-v1:0` of Bedrock's ids.
//!    - the owner and the name of a tuned model: `ft:gpt-4o:acme::AbC1` is `ft:gpt-4o`.
//! 3. The same at any provider: the entry without a prefix.
//! 4. Steps 2 and 3 without a date or version at the end: `-2024-08-06`, `-20250514`, `@20250514`,
//!    `@default`, `-001`.
//!
//! Everything else must be equal, upper and lower case included. Another model's price is never taken
//! because its name begins alike.
//!
//! [`TokenUsage`]: crate::status::TokenUsage

mod call;
mod entry;
mod error;
mod fields;
mod find;
mod list;
mod names;
mod off_peak;
mod providers;
mod rates;
#[cfg(test)]
mod tests;

pub use call::{Call, CallCost, CostSource, UnpricedReason};
pub use error::PricesError;
pub use list::Prices;

/// How much of the results a search of the web reads, by which its price may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SearchContextSize {
    /// Little.
    Low,
    /// The default of most providers.
    Medium,
    /// Much.
    High,
}

impl SearchContextSize {
    /// Returns the spelling used by providers and price lists.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// Returns the size of this spelling.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Low, Self::Medium, Self::High].into_iter().find(|size| size.as_str() == name)
    }
}
