//! [`PricesError`]: what is wrong with a price list.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::status::cut;

/// The longest excerpt of a value in a message, in bytes.
const MAX_EXCERPT_BYTES: usize = 40;

/// What is wrong with a price list: the file, and the entry and its field where one is wrong.
#[derive(Debug)]
pub struct PricesError {
    file: Option<PathBuf>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Read(io::Error),
    TooLarge,
    Json(Box<dyn std::error::Error + Send + Sync>),
    NotAMap,
    Price { entry: Box<str>, field: Box<str>, value: Box<str>, fault: &'static str },
}

impl PricesError {
    /// Returns the file, if the list was read from one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Returns the name of the entry that is wrong, which is the name of a model.
    #[must_use]
    pub fn entry(&self) -> Option<&str> {
        match &self.kind {
            Kind::Price { entry, .. } => Some(entry),
            _ => None,
        }
    }

    /// Returns the name of the field that is wrong. A field in another one has the path to it, such
    /// as `tiered_pricing[1].input_cost_per_token`.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match &self.kind {
            Kind::Price { field, .. } => Some(field),
            _ => None,
        }
    }

    pub(super) fn read(error: io::Error) -> Self {
        Kind::Read(error).into()
    }

    pub(super) fn too_large() -> Self {
        Kind::TooLarge.into()
    }

    pub(super) fn json(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Kind::Json(Box::new(error)).into()
    }

    pub(super) fn not_a_map() -> Self {
        Kind::NotAMap.into()
    }

    /// A price that is none, with the JSON text of its value.
    pub(super) fn price(entry: &str, field: String, value: &str, fault: &'static str) -> Self {
        let ellipsis = if value.len() > MAX_EXCERPT_BYTES { "…" } else { "" };
        let value = format!("{}{ellipsis}", cut(value, MAX_EXCERPT_BYTES));
        let (entry, field, value) = (entry.into(), field.into(), value.into());
        Kind::Price { entry, field, value, fault }.into()
    }

    pub(super) fn in_file(mut self, file: &Path) -> Self {
        self.file = Some(file.to_owned());
        self
    }
}

impl From<Kind> for PricesError {
    fn from(kind: Kind) -> Self {
        Self { file: None, kind }
    }
}

impl fmt::Display for PricesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the price list ")?;
        if let Some(file) = &self.file {
            write!(f, "{} ", file.display())?;
        }
        match &self.kind {
            Kind::Read(error) => write!(f, "cannot be read: {error}"),
            Kind::TooLarge => {
                write!(f, "is larger than {} MB", super::Prices::MAX_BYTES / 1_000_000)
            }
            Kind::Json(error) => write!(f, "is not JSON: {error}"),
            Kind::NotAMap => f.write_str("is not a JSON object that maps models to their prices"),
            Kind::Price { entry, field, value, fault } => {
                write!(f, "has a price that is {fault}: `{field}` of `{entry}` is {value}")
            }
        }
    }
}

impl std::error::Error for PricesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The message has the text of the cause already, so the chain goes on behind it.
        match &self.kind {
            Kind::Read(error) => error.source(),
            Kind::Json(error) => error.source(),
            Kind::TooLarge | Kind::NotAMap | Kind::Price { .. } => None,
        }
    }
}
