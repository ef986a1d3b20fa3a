//! [`Prices`]: a price list, and how it is read.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::PricesError;
use super::entry::{Entry, Parsed, parse};

/// LiteLLM's entry that explains the fields of the others.
const SAMPLE: &str = "sample_spec";

/// Prices of models, in the format of LiteLLM's [`model_prices_and_context_window.json`]: a JSON
/// object that maps names of models to their prices in US dollars.
///
/// A clone shares the list. The fields that are used are listed in the [module's docs](super). Others
/// are ignored, whatever their type, and so is what is not an object, and the entry `sample_spec`. A
/// price of `null` is none. An entry may be an `alias_of` another, and have other names in `aliases`.
///
/// ```
/// use tower_agent_status::pricing::{Call, Prices};
/// use tower_agent_status::status::TokenUsage;
///
/// let prices = Prices::from_json(r#"{
///     "gpt-4o": {
///         "input_cost_per_token": 2.5e-06,
///         "output_cost_per_token": 1e-05,
///         "cache_read_input_token_cost": 1.25e-06,
///         "litellm_provider": "openai"
///     }
/// }"#)?;
/// let mut usage = TokenUsage::new(1000, 100);
/// usage.cache_read_input_tokens = Some(800);
///
/// let mut call = Call::default();
/// call.models = &["gpt-4o-2024-08-06"];
/// call.usage = Some(usage);
/// // 200 tokens of input, 800 cached ones, and 100 of output.
/// assert_eq!(prices.cost(&call).unwrap().cost.to_string(), "0.0025");
/// # Ok::<(), tower_agent_status::pricing::PricesError>(())
/// ```
///
/// [`model_prices_and_context_window.json`]:
///     https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json
#[derive(Clone, Default)]
pub struct Prices {
    list: Arc<List>,
}

#[derive(Default)]
struct List {
    /// The place of each name's entry in `entries`.
    names: HashMap<Box<str>, usize>,
    entries: Vec<Entry>,
}

impl Prices {
    /// The largest price list, in bytes. LiteLLM's had 3.5 MB in November 2026.
    pub const MAX_BYTES: u64 = 32_000_000;

    /// Reads a list from a file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is larger than [`MAX_BYTES`](Self::MAX_BYTES), and those of
    /// [`from_json`](Self::from_json). The error names the file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, PricesError> {
        let path = path.as_ref();
        let read = || -> Result<Self, PricesError> {
            let file = File::open(path).map_err(PricesError::read)?;
            let mut json = Vec::new();
            // The size that the system reports may be another, as that of a pipe.
            file.take(Self::MAX_BYTES + 1).read_to_end(&mut json).map_err(PricesError::read)?;
            Self::from_json(json)
        };
        read().map_err(|error| error.in_file(path))
    }

    /// Reads the list whose file the environment variable `STATUS_PRICES` names; `None` if that is unset or
    /// empty.
    ///
    /// # Errors
    ///
    /// Those of [`from_file`](Self::from_file).
    pub fn from_env() -> Result<Option<Self>, PricesError> {
        let path = std::env::var_os("STATUS_PRICES").filter(|path| !path.is_empty());
        path.map(Self::from_file).transpose()
    }

    /// Reads a list from JSON text.
    ///
    /// # Errors
    ///
    /// If it is larger than [`MAX_BYTES`](Self::MAX_BYTES), is not a JSON object, or if a price in a
    /// field that is used is not a number, negative or more than 10,000 USD. The error names the entry
    /// and the field.
    pub fn from_json(json: impl AsRef<[u8]>) -> Result<Self, PricesError> {
        let json = json.as_ref();
        if json.len() as u64 > Self::MAX_BYTES {
            return Err(PricesError::too_large());
        }
        // Editors on Windows begin files with a mark of their encoding.
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let json: &RawValue = serde_json::from_slice(json).map_err(PricesError::json)?;
        if !json.get().starts_with('{') {
            return Err(PricesError::not_a_map());
        }
        let models: BTreeMap<String, &RawValue> =
            serde_json::from_str(json.get()).map_err(PricesError::json)?;
        let mut list = List::default();
        let mut aliases = Vec::new();
        for (name, value) in models {
            if name == SAMPLE || !value.get().starts_with('{') {
                continue;
            }
            let Parsed { entry, alias_of, aliases: others } = parse(&name, value.get())?;
            aliases.extend(alias_of.map(|owner| (name.clone(), owner)));
            aliases.extend(others.into_iter().map(|alias| (alias, name.clone())));
            list.names.insert(name.into(), list.entries.len());
            list.entries.push(entry);
        }
        list.resolve(aliases);
        Ok(Self { list: list.into() })
    }

    /// Returns the number of names that have an entry, aliases included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.names.len()
    }

    /// Returns `true` if the list has no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.names.is_empty()
    }

    /// The entry of a name, as the list spells it.
    pub(super) fn entry(&self, name: &str) -> Option<(&str, &Entry)> {
        let (name, place) = self.list.names.get_key_value(name)?;
        Some((name, self.list.entries.get(*place)?))
    }
}

impl List {
    /// Gives aliases the entries of their owners. One with prices of its own keeps them, unless it
    /// says that it is an alias.
    fn resolve(&mut self, aliases: Vec<(String, String)>) {
        for (alias, owner) in aliases {
            let Some(place) = self.names.get(&*owner).copied() else { continue };
            let own = self.names.get(&*alias).and_then(|place| self.entries.get(*place));
            if own.is_none_or(|own| !own.prices_tokens()) {
                self.names.insert(alias.into(), place);
            }
        }
    }
}

impl fmt::Debug for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prices").field("len", &self.len()).finish_non_exhaustive()
    }
}
