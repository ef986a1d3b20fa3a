//! The fields of a price list's entry that hold a price per token.

/// What a price is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A token of the input that is neither read from nor written to a cache.
    Input,
    Output,
    CacheRead,
    CacheWrite,
    /// A token that is written to a cache for an hour.
    CacheWriteHour,
    Reasoning,
    /// A token of an image that is written.
    OutputImage,
}

impl Kind {
    const COUNT: usize = 7;
}

/// How a request is served, where that changes its price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Tier {
    Standard,
    Batch,
    Flex,
    Priority,
    Balanced,
    Ultrafast,
}

/// A field that holds a price per token: what for, for input above how many tokens, and in which
/// tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Field {
    pub(super) kind: Kind,
    pub(super) above: u64,
    pub(super) tier: Tier,
}

/// The names of the fields. One that begins with another comes before it.
const KINDS: [(&str, Kind); Kind::COUNT] = [
    ("input_cost_per_token", Kind::Input),
    ("output_cost_per_token", Kind::Output),
    ("cache_read_input_token_cost", Kind::CacheRead),
    ("cache_creation_input_token_cost_above_1hr", Kind::CacheWriteHour),
    ("cache_creation_input_token_cost", Kind::CacheWrite),
    ("output_cost_per_reasoning_token", Kind::Reasoning),
    ("output_cost_per_image_token", Kind::OutputImage),
];

impl Field {
    /// The field of this name, such as `input_cost_per_token_above_200k_tokens_priority`.
    pub(super) fn of(name: &str) -> Option<Self> {
        let (kind, rest) =
            KINDS.iter().find_map(|(prefix, kind)| Some((*kind, name.strip_prefix(prefix)?)))?;
        let (above, rest) = match rest.strip_prefix("_above_") {
            Some(rest) => {
                let (threshold, rest) = rest.split_once("_tokens")?;
                (tokens(threshold)?, rest)
            }
            None => (0, rest),
        };
        let tier = match rest {
            "" => Tier::Standard,
            "_batches" => Tier::Batch,
            "_flex" => Tier::Flex,
            "_priority" => Tier::Priority,
            "_balanced" => Tier::Balanced,
            "_ultrafast" => Tier::Ultrafast,
            _ => return None,
        };
        Some(Self { kind, above, tier })
    }
}

/// `200k` or `200000`.
fn tokens(text: &str) -> Option<u64> {
    let (digits, thousand) = match text.strip_suffix('k') {
        Some(digits) => (digits, 1000),
        None => (text, 1),
    };
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(thousand).filter(|threshold| *threshold > 0)
}

impl Tier {
    /// The tier that a response or a request names.
    ///
    /// `default`, `standard`, `auto`, `on_demand` and names that are not known cost the standard
    /// price, as in LiteLLM. `fast` is another name for `priority`. Google names the type of the
    /// traffic, as in `ON_DEMAND_PRIORITY`.
    pub(super) fn of(name: Option<&str>) -> Self {
        let name = name.map(str::to_ascii_lowercase);
        match name.as_deref().map(|name| name.strip_prefix("on_demand_").unwrap_or(name)) {
            Some("batch" | "batches") => Self::Batch,
            Some("flex") => Self::Flex,
            Some("priority" | "fast") => Self::Priority,
            Some("balanced") => Self::Balanced,
            Some("ultrafast") => Self::Ultrafast,
            _ => Self::Standard,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_fields_are_taken_apart() {
        let field = |kind, above, tier| Some(Field { kind, above, tier });
        for (name, expected) in [
            ("input_cost_per_token", field(Kind::Input, 0, Tier::Standard)),
            ("output_cost_per_token_batches", field(Kind::Output, 0, Tier::Batch)),
            (
                "input_cost_per_token_above_200k_tokens_priority",
                field(Kind::Input, 200_000, Tier::Priority),
            ),
            (
                "cache_read_input_token_cost_above_272000_tokens",
                field(Kind::CacheRead, 272_000, Tier::Standard),
            ),
            (
                "cache_creation_input_token_cost_above_1hr",
                field(Kind::CacheWriteHour, 0, Tier::Standard),
            ),
            (
                "cache_creation_input_token_cost_above_1hr_above_200k_tokens",
                field(Kind::CacheWriteHour, 200_000, Tier::Standard),
            ),
            ("cache_creation_input_token_cost_flex", field(Kind::CacheWrite, 0, Tier::Flex)),
            ("output_cost_per_reasoning_token", field(Kind::Reasoning, 0, Tier::Standard)),
        ] {
            assert_eq!(Field::of(name), expected, "{name}");
        }
    }

    #[test]
    fn other_fields_are_none() {
        for name in [
            "input_cost_per_audio_token",
            "input_cost_per_token_decisions",
            "input_cost_per_token_cache_hit",
            "input_cost_per_token_above_k_tokens",
            "input_cost_per_token_above_0_tokens",
            "input_cost_per_token_above_99999999999999999999_tokens",
            "input_cost_per_token_above_+1_tokens",
            "cache_creation_input_token_cost_above_12hr",
            "output_cost_per_second",
            "",
        ] {
            assert_eq!(Field::of(name), None, "{name}");
        }
    }

    #[test]
    fn tiers_have_several_names() {
        for (name, expected) in [
            (None, Tier::Standard),
            (Some("default"), Tier::Standard),
            (Some("standard"), Tier::Standard),
            (Some("auto"), Tier::Standard),
            (Some("ON_DEMAND"), Tier::Standard),
            (Some("unheard-of"), Tier::Standard),
            (Some("priority"), Tier::Priority),
            (Some("fast"), Tier::Priority),
            (Some("ON_DEMAND_PRIORITY"), Tier::Priority),
            (Some("flex"), Tier::Flex),
            (Some("ON_DEMAND_FLEX"), Tier::Flex),
            (Some("batch"), Tier::Batch),
            (Some("BATCH"), Tier::Batch),
        ] {
            assert_eq!(Tier::of(name), expected, "{name:?}");
        }
    }
}
