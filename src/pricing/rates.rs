//! [`Rates`]: the prices of a request's tokens, by its length and service tier.

use super::entry::{Band, Entry, UnitPrice};
use super::fields::{Field, Kind, Tier};
use super::off_peak::OffPeak;
use crate::status::Timestamp;

/// The prices of the tokens of one request. `None` where the list has none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    pub(super) input: Option<UnitPrice>,
    pub(super) output: Option<UnitPrice>,
    pub(super) cache_read: Option<UnitPrice>,
    pub(super) cache_write: Option<UnitPrice>,
    pub(super) cache_write_hour: Option<UnitPrice>,
    pub(super) reasoning: Option<UnitPrice>,
}

impl Entry {
    /// Whether it has any price per token.
    pub(super) fn prices_tokens(&self) -> bool {
        !self.bands.is_empty()
            || self.prices.iter().any(|(field, _)| {
                matches!(field.kind, Kind::Input | Kind::Output | Kind::OutputImage)
            })
    }

    /// The prices for a request with this many tokens of input, cached ones included, which all of its
    /// tokens have.
    pub(super) fn rates(&self, tier: Tier, input: u64, at: Option<Timestamp>) -> Rates {
        let band = self.band(input);
        let off_peak =
            self.off_peak.as_ref().filter(|off_peak| at.is_some_and(|at| off_peak.holds(at)));
        if tier == Tier::Batch {
            let standard = match band {
                Some(band) => self.rates_of_band(band),
                None => self.rates_of_tier(Tier::Standard, input),
            };
            return self.rates_of_batch(&standard, input);
        }
        let rates = match band {
            // A list has no such table for another tier.
            Some(band) => self.rates_of_band(band),
            None => self.rates_of_tier(tier, input),
        };
        match off_peak {
            Some(off_peak) => self.rates_off_peak(rates, off_peak, input),
            None => rates,
        }
    }

    /// The prices in the hours that have their own, which replace those of lengths and tiers, too.
    fn rates_off_peak(&self, rates: Rates, off_peak: &OffPeak, length: u64) -> Rates {
        let input = off_peak.price(Kind::Input).or(rates.input);
        let output = off_peak.price(Kind::Output).or(rates.output);
        // What costs as much as other input or output still does.
        let or = |kind, listed: Option<UnitPrice>, other| {
            let is_listed =
                !self.bands.is_empty() || self.price(kind, Tier::Standard, length).is_some();
            off_peak.price(kind).or(if is_listed { listed } else { other })
        };
        Rates {
            input,
            output,
            cache_read: or(Kind::CacheRead, rates.cache_read, input),
            cache_write: or(Kind::CacheWrite, rates.cache_write, input),
            cache_write_hour: rates.cache_write_hour,
            reasoning: or(Kind::Reasoning, rates.reasoning, output),
        }
    }

    fn rates_of_tier(&self, tier: Tier, length: u64) -> Rates {
        let price = |kind| self.price(kind, tier, length);
        let input = price(Kind::Input);
        // A model that writes images alone has no other price of its output.
        let output = price(Kind::Output).or_else(|| price(Kind::OutputImage));
        let reasoning = match self.price_in(Kind::Reasoning, tier, length) {
            Some(price) => Some(price),
            // A tier's own price of output is for all of it.
            None if tier != Tier::Standard
                && self.price_in(Kind::Output, tier, length).is_some() =>
            {
                output
            }
            None => self.price_in(Kind::Reasoning, Tier::Standard, length).or(output),
        };
        // Fireworks halves the price of cached input. LiteLLM knows so, and its list does not say it.
        let unlisted_read = if &*self.provider == "fireworks_ai" { input.map(half) } else { input };
        let cache_write = price(Kind::CacheWrite).or(input);
        Rates {
            input,
            output,
            cache_read: price(Kind::CacheRead).or(unlisted_read),
            cache_write,
            cache_write_hour: price(Kind::CacheWriteHour),
            reasoning,
        }
    }

    fn rates_of_band(&self, band: &Band) -> Rates {
        let input = band.price(Kind::Input);
        let output = band.price(Kind::Output);
        let flat = self.rates_of_tier(Tier::Standard, 0);
        Rates {
            input,
            output: output.or(flat.output),
            cache_read: band.price(Kind::CacheRead).or(input),
            cache_write: band.price(Kind::CacheWrite).or(input),
            cache_write_hour: band.price(Kind::CacheWriteHour),
            reasoning: band.price(Kind::Reasoning).or(output).or(flat.reasoning),
        }
    }

    /// The prices of a batch: its own where the list has them, and otherwise half of the others, which
    /// is what batches cost everywhere. Cached input that has no price of its own costs as much as
    /// outside a batch: a provider that lists its prices of batches without it gives one discount, not
    /// both.
    fn rates_of_batch(&self, standard: &Rates, length: u64) -> Rates {
        let own = |kind| self.price_in(kind, Tier::Batch, length);
        let own_input = own(Kind::Input);
        let input = own_input.or(standard.input.map(half));
        let is_listed = |kind| self.price(kind, Tier::Standard, length).is_some();
        let output = own(Kind::Output).or_else(|| own(Kind::OutputImage));
        let cache_read = || match own_input {
            Some(_) if is_listed(Kind::CacheRead) => standard.cache_read,
            Some(input) => Some(input),
            None => standard.cache_read.map(half),
        };
        let cache_write = || match own_input {
            Some(input) if !is_listed(Kind::CacheWrite) => Some(input),
            _ => standard.cache_write.map(half),
        };
        Rates {
            input,
            output: output.or(standard.output.map(half)),
            cache_read: own(Kind::CacheRead).or_else(cache_read),
            cache_write: own(Kind::CacheWrite).or_else(cache_write),
            cache_write_hour: own(Kind::CacheWriteHour).or(standard.cache_write_hour.map(half)),
            reasoning: output.or(standard.reasoning.map(half)),
        }
    }

    /// The price in a tier or else outside of any, for the highest length that the input exceeds.
    fn price(&self, kind: Kind, tier: Tier, length: u64) -> Option<UnitPrice> {
        self.highest(length, |field| {
            field.kind == kind && (field.tier == tier || field.tier == Tier::Standard)
        })
    }

    /// The price in this tier alone.
    fn price_in(&self, kind: Kind, tier: Tier, length: u64) -> Option<UnitPrice> {
        self.highest(length, |field| field.kind == kind && field.tier == tier)
    }

    fn highest(&self, length: u64, is_meant: impl Fn(&Field) -> bool) -> Option<UnitPrice> {
        let meant =
            |(field, _): &&(Field, UnitPrice)| is_meant(field) && self.exceeds(length, field.above);
        let rank = |(field, _): &&(Field, UnitPrice)| (field.above, field.tier != Tier::Standard);
        self.prices.iter().filter(meant).max_by_key(rank).map(|(_, price)| *price)
    }

    fn band(&self, length: u64) -> Option<&Band> {
        self.bands.iter().rfind(|band| band.above == 0 || length > band.above)
    }

    /// Whether input of this length has the price for input above a length. That of xAI begins with
    /// the length itself, as in LiteLLM.
    fn exceeds(&self, length: u64, above: u64) -> bool {
        above == 0 || length > above || (length == above && self.is_from("xai"))
    }

    /// Whether this provider serves the model: `vertex_ai-language-models` is `vertex_ai`, too.
    pub(super) fn is_from(&self, provider: &str) -> bool {
        self.provider
            .strip_prefix(provider)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
    }
}

/// Half of a price, rounded half to even.
fn half(price: UnitPrice) -> UnitPrice {
    let half = price / 2;
    half + ((price % 2) & (half % 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_prices_are_rounded_to_even() {
        for (price, expected) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 2), (7, 4)] {
            assert_eq!(half(price), expected, "{price}");
        }
    }
}
