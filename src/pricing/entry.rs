//! [`Entry`]: the prices of one model, as a list has them.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::fields::{Field, Kind, Tier};
use super::off_peak::OffPeak;
use super::{PricesError, SearchContextSize};
use crate::status::{Cost, ParseCostError};

/// A price of one unit, in 10⁻¹⁵ USD. At most 10,000 USD, which 64 bits hold.
pub(super) type UnitPrice = u64;

/// The fields of an entry, or of a part of one, with their JSON texts.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// The prices of one model.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// LiteLLM's name of who serves the model, such as `bedrock_converse`.
    pub(super) provider: Box<str>,
    /// Whether the model writes no tokens, as one for embeddings.
    pub(super) no_output: bool,
    /// Prices per token.
    pub(super) prices: Box<[(Field, UnitPrice)]>,
    /// Prices by length of the input in which each length has a table of its own, in the order of the
    /// lengths.
    pub(super) bands: Box<[Band]>,
    /// Prices for some hours of the week.
    pub(super) off_peak: Option<OffPeak>,
    /// The price of a web search by [`SearchContextSize`].
    pub(super) search: [Option<UnitPrice>; 3],
    /// Whether each search is paid for, where otherwise a request with any pays once.
    pub(super) pays_per_search: bool,
    /// The price of a request, beside its tokens.
    pub(super) request: Option<UnitPrice>,
}

/// The prices for input longer than a number of tokens.
#[derive(Debug)]
pub(super) struct Band {
    pub(super) above: u64,
    pub(super) prices: Box<[(Kind, UnitPrice)]>,
}

impl Band {
    pub(super) fn price(&self, kind: Kind) -> Option<UnitPrice> {
        self.prices.iter().find(|(of, _)| *of == kind).map(|(_, price)| *price)
    }
}

/// An entry as it is read, with the other names that it has.
pub(super) struct Parsed {
    pub(super) entry: Entry,
    /// The entry that has its prices.
    pub(super) alias_of: Option<String>,
    pub(super) aliases: Vec<String>,
}

/// Reads an entry from the text of a JSON object.
pub(super) fn parse(name: &str, object: &str) -> Result<Parsed, PricesError> {
    let fields: Fields<'_> = serde_json::from_str(object).map_err(PricesError::json)?;
    let text =
        |field: &str| -> Option<String> { serde_json::from_str(fields.get(field)?.get()).ok() };
    let mut prices = Vec::new();
    for (field, value) in &fields {
        if let Some(of) = Field::of(field)
            && let Some(price) = price(name, || field.clone(), value)?
        {
            prices.push((of, price));
        }
    }
    let request = match fields.get("input_cost_per_request") {
        Some(value) => price(name, || "input_cost_per_request".to_owned(), value)?,
        None => None,
    };
    let entry = Entry {
        provider: text("litellm_provider").unwrap_or_default().into(),
        no_output: text("mode")
            .is_some_and(|mode| matches!(&*mode, "embedding" | "rerank" | "moderation")),
        prices: prices.into(),
        bands: bands(name, &fields)?,
        off_peak: off_peak(name, &fields)?,
        search: search(name, &fields)?,
        pays_per_search: text("web_search_billing_unit").is_some_and(|unit| unit == "per_query"),
        request,
    };
    let aliases = fields.get("aliases").and_then(|names| serde_json::from_str(names.get()).ok());
    Ok(Parsed { entry, alias_of: text("alias_of"), aliases: aliases.unwrap_or_default() })
}

/// The price that a JSON value is. `null` is as good as absent.
fn price(
    entry: &str,
    field: impl FnOnce() -> String,
    value: &RawValue,
) -> Result<Option<UnitPrice>, PricesError> {
    let text = value.get();
    if text == "null" {
        return Ok(None);
    }
    let fault = match Cost::from_reported(text) {
        Ok(cost) => match UnitPrice::try_from(cost.as_femto_usd()) {
            Ok(price) => return Ok(Some(price)),
            Err(_) => "more than 10,000 USD",
        },
        Err(ParseCostError::Negative) => "negative",
        Err(ParseCostError::TooLarge) => "more than 10,000 USD",
        Err(ParseCostError::NotANumber) => "not a number",
    };
    Err(PricesError::price(entry, field(), text, fault))
}

/// `tiered_pricing`: a list of tables, each with the `range` of lengths that it is for. One without a
/// range, or without a price of input, is for something else.
fn bands(entry: &str, fields: &Fields<'_>) -> Result<Box<[Band]>, PricesError> {
    const FIELD: &str = "tiered_pricing";
    let list = fields.get(FIELD).and_then(|list| serde_json::from_str(list.get()).ok());
    let list: Vec<&RawValue> = list.unwrap_or_default();
    let mut bands = Vec::new();
    for (n, tier) in list.into_iter().enumerate() {
        let Ok(tier) = serde_json::from_str::<Fields<'_>>(tier.get()) else { continue };
        let range = tier.get("range").and_then(|range| serde_json::from_str(range.get()).ok());
        // A list writes them as floats.
        let Some([start, _]) = range.map(|range: [f64; 2]| range) else { continue };
        let prices = flat_prices(entry, &tier, || format!("{FIELD}[{n}]"))?;
        if prices.iter().any(|(kind, _)| *kind == Kind::Input) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates"
            )]
            bands.push(Band { above: start as u64, prices });
        }
    }
    bands.sort_by_key(|band| band.above);
    Ok(bands.into())
}

/// `off_peak_pricing`: prices, and the hours in which they hold.
fn off_peak(entry: &str, fields: &Fields<'_>) -> Result<Option<OffPeak>, PricesError> {
    const FIELD: &str = "off_peak_pricing";
    let Some(value) = fields.get(FIELD) else { return Ok(None) };
    let Ok(part) = serde_json::from_str::<Fields<'_>>(value.get()) else { return Ok(None) };
    let prices = flat_prices(entry, &part, || FIELD.to_owned())?;
    let object = serde_json::from_str(value.get()).map_err(PricesError::json)?;
    Ok(Some(OffPeak::new(&object, prices)))
}

/// The prices of a part of an entry that are for any length and tier.
fn flat_prices(
    entry: &str,
    part: &Fields<'_>,
    path: impl Fn() -> String,
) -> Result<Box<[(Kind, UnitPrice)]>, PricesError> {
    let mut prices = Vec::new();
    for (field, value) in part {
        if let Some(Field { kind, above: 0, tier: Tier::Standard }) = Field::of(field)
            && let Some(price) = price(entry, || format!("{}.{field}", path()), value)?
        {
            prices.push((kind, price));
        }
    }
    Ok(prices.into())
}

/// `search_context_cost_per_query`: one price, or one for each size.
fn search(entry: &str, fields: &Fields<'_>) -> Result<[Option<UnitPrice>; 3], PricesError> {
    const FIELD: &str = "search_context_cost_per_query";
    let Some(value) = fields.get(FIELD) else { return Ok([None; 3]) };
    let Ok(sizes) = serde_json::from_str::<Fields<'_>>(value.get()) else {
        return Ok([price(entry, || FIELD.to_owned(), value)?; 3]);
    };
    let mut prices = [None; 3];
    for size in [SearchContextSize::Low, SearchContextSize::Medium, SearchContextSize::High] {
        let field = format!("search_context_size_{}", size.as_str());
        if let Some(value) = sizes.get(&field) {
            prices[size as usize] = price(entry, || format!("{FIELD}.{field}"), value)?;
        }
    }
    Ok(prices)
}
