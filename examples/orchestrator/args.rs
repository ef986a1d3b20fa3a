//! Parsers for command-line arguments.

use std::path::PathBuf;
use std::str::FromStr;

/// The store to use.
#[derive(Clone, Debug)]
pub(crate) enum StoreChoice {
    Embedded(Option<PathBuf>),
    Memory,
    DynamoDb,
}

impl FromStr for StoreChoice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "embedded" => Ok(Self::Embedded(None)),
            None if text == "memory" => Ok(Self::Memory),
            None if text == "dynamodb" => Ok(Self::DynamoDb),
            Some(("embedded", file)) if !file.is_empty() => Ok(Self::Embedded(Some(file.into()))),
            _ => Err("expected `embedded`, `embedded:FILE`, `memory` or `dynamodb`"),
        }
    }
}

/// Parses the factor for the agents' response times.
pub(crate) fn pace(text: &str) -> Result<f64, &'static str> {
    let factor = text.parse().ok().filter(|factor| (0.0..=100.0).contains(factor));
    factor.ok_or("expected a number from 0 to 100")
}
