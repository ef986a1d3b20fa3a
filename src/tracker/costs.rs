//! [`Costs`]: the costs of calls, by the tracker's price list; empty without the feature `prices`.

use crate::status::{Timestamp, TokenUsage, TotalCost};

#[cfg(feature = "prices")]
pub(crate) use self::list::Costs;

/// What the cost of a call depends on.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "prices"), expect(dead_code, reason = "nothing has a price"))]
pub(crate) struct PricedCall<'a> {
    /// The names of the model, the most specific first.
    pub(crate) models: &'a [&'a str],
    /// Whether the response itself names the model that answered.
    pub(crate) is_answered: bool,
    pub(crate) provider: Option<&'a str>,
    pub(crate) usage: Option<TokenUsage>,
    pub(crate) service_tier: Option<&'a str>,
    pub(crate) web_search_requests: u64,
    /// The cost that the response reports, in US dollars.
    pub(crate) reported_usd: Option<&'a str>,
    /// Whether it reports an impossible cost.
    pub(crate) has_impossible_cost: bool,
    pub(crate) at: Timestamp,
}

#[cfg(feature = "prices")]
mod list {
    use std::collections::HashSet;
    use std::sync::{Mutex, PoisonError};

    use super::{PricedCall, TotalCost};
    use crate::pricing::{Call, Prices, UnpricedReason};
    use crate::status::Cost;
    use crate::tracker::log_once::LogOnce;

    /// The maximum number of models without a price that are logged, each once.
    const MAX_WARNINGS: usize = 64;

    /// The tracker's price list, if it has one.
    #[derive(Default)]
    pub(crate) struct Costs {
        prices: Option<Prices>,
        /// The reasons and models that were logged.
        unpriced: Mutex<HashSet<Box<str>>>,
        ignored: LogOnce,
    }

    impl Costs {
        pub(crate) fn new(prices: Option<Prices>) -> Self {
            Self { prices, ..Self::default() }
        }

        /// Whether there is a price list.
        #[inline]
        pub(crate) fn are_known(&self) -> bool {
            self.prices.is_some()
        }

        /// The cost of a call. Its response may report it.
        pub(crate) fn of(&self, call: &PricedCall<'_>) -> TotalCost {
            let Some(prices) = &self.prices else { return TotalCost::default() };
            let reported = call.reported_usd.map(Cost::from_reported);
            if call.has_impossible_cost || matches!(reported, Some(Err(_))) {
                self.ignore();
            }
            let usage = call.usage;
            let priced = Call {
                models: call.models,
                provider: call.provider,
                usage,
                cache_write_5m_input_tokens: usage.and_then(|u| u.cache_write_5m_input_tokens),
                cache_write_1h_input_tokens: usage.and_then(|u| u.cache_write_1h_input_tokens),
                service_tier: call.service_tier,
                at: Some(call.at),
                web_search_requests: call.web_search_requests,
                reported_cost: reported.and_then(Result::ok),
                ..Call::default()
            };
            match prices.cost(&priced) {
                Ok(cost) => {
                    let mut total = TotalCost::new(cost.cost);
                    total.unpriced_calls = u64::from(!cost.complete);
                    total
                }
                // An agent that is not a model uses no tokens, and neither does a rejected request.
                Err(UnpricedReason::NoUsage) if !call.is_answered => TotalCost::default(),
                Err(why) => {
                    self.warn(why, call.models);
                    TotalCost::UNPRICED
                }
            }
        }

        /// Logs why a call has no cost, once for each model.
        #[cold]
        fn warn(&self, why: UnpricedReason, models: &[&str]) {
            let model = models.first().copied().unwrap_or_default();
            let mut logged = self.unpriced.lock().unwrap_or_else(PoisonError::into_inner);
            let key = format!("{} {model}", why.as_str());
            if logged.len() < MAX_WARNINGS && logged.insert(key.into()) {
                drop(logged);
                tracing::warn!(
                    model,
                    reason = why.as_str(),
                    "a call has no cost: {why}; the cost of its workflow is shown as a minimum; \
                     further occurrences are not logged"
                );
            }
        }

        /// Counts an impossible cost.
        #[cold]
        fn ignore(&self) {
            #[cfg(feature = "metrics")]
            crate::telemetry::metrics::ignored_cost();
            let what = "a response reports a cost that is negative or more than 10,000 USD";
            self.ignored.warn(&what, "ignored; the price list applies instead");
        }
    }
}

/// No price list, since the feature is off.
#[cfg(not(feature = "prices"))]
#[derive(Default)]
pub(crate) struct Costs;

#[cfg(not(feature = "prices"))]
impl Costs {
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn are_known(&self) -> bool {
        false
    }

    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn of(&self, _: &PricedCall<'_>) -> TotalCost {
        TotalCost::default()
    }
}
