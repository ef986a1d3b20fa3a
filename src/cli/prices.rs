//! The option `--prices`, and the cost of a response that `inspect` reads.

use std::ffi::OsString;

use serde_json::{Map, Value, json};
use tower_agent_status::pricing::{Call, CallCost, CostSource, Prices};
use tower_agent_status::status::{Cost, TotalCost};
use tower_agent_status::usage::{Reading, ResponseInfo};

use super::failure::Failure;

/// The option `--prices`.
#[derive(Debug, clap::Args)]
pub(crate) struct PricesArgs {
    /// Price list for the costs of calls, in the format of LiteLLM's
    /// `model_prices_and_context_window.json`
    // An empty variable counts as unset, which a `PathBuf` would not allow.
    #[arg(long, value_name = "FILE", env = "STATUS_PRICES")]
    prices: Option<OsString>,
}

impl PricesArgs {
    /// Reads the list, if there is one.
    pub(crate) fn read(&self) -> Result<Option<Prices>, Failure> {
        let file = self.prices.as_ref().filter(|file| !file.is_empty());
        let list = file.map(Prices::from_file).transpose();
        list.map_err(|error| Failure::Unusable(error.to_string()))
    }
}

/// The cost of a response, and why it is incomplete or unknown.
pub(crate) struct ResponseCost {
    cost: Option<CallCost>,
    /// Why it is unknown, or known only in part.
    note: Option<String>,
}

impl ResponseCost {
    pub(crate) fn of(reading: &Reading, info: &ResponseInfo, prices: &Prices) -> Self {
        let reported = info.cost_usd.as_deref().map(Cost::from_reported);
        let models = [&info.model, &info.path_model].map(|model| model.as_deref());
        let models: Vec<_> = models.into_iter().flatten().collect();
        let mut call = Call::default();
        call.models = &models;
        call.usage = reading.usage;
        if let Some(usage) = &reading.usage {
            call.cache_write_5m_input_tokens = usage.cache_write_5m_input_tokens;
            call.cache_write_1h_input_tokens = usage.cache_write_1h_input_tokens;
        }
        call.service_tier = info.service_tier.as_deref();
        call.web_search_requests = info.web_search_requests.unwrap_or(0);
        call.reported_cost = reported.and_then(Result::ok);
        match prices.cost(&call) {
            Ok(cost) if cost.complete => Self { cost: Some(cost), note: None },
            Ok(cost) => {
                let why = "the list lacks a price for a part of the call".to_owned();
                Self { cost: Some(cost), note: Some(why) }
            }
            Err(why) => {
                let model = info.model.as_deref().map(|model| format!(" ({model})"));
                Self { cost: None, note: Some(format!("{why}{}", model.unwrap_or_default())) }
            }
        }
    }

    /// Adds it to the JSON of a response.
    pub(crate) fn add_to(&self, report: &mut Map<String, Value>) {
        report.insert("costUsd".into(), json!(self.cost.map(|cost| cost.cost.to_f64())));
        let note = self.note.as_ref().map(|why| match self.cost {
            Some(_) => format!("a minimum: {why}"),
            None => format!("unknown: {why}"),
        });
        report.insert("costNote".into(), json!(note));
    }

    /// The cost as a sentence.
    pub(crate) fn explained(&self) -> String {
        let why = self.note.as_deref().unwrap_or_default();
        let Some(cost) = self.cost else { return format!("Not known: {why}.") };
        let usd = TotalCost::new(cost.cost);
        match (cost.complete, cost.source) {
            (false, _) => format!("At least {usd}, by the price list: {why}."),
            (true, CostSource::Reported) => format!("{usd}, as the response reports."),
            (true, _) => format!("{usd}, by the price list."),
        }
    }
}
