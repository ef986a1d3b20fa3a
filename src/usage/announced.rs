//! [`Announced`]: what is known of a response's body before it comes.

use super::PathHint;
use super::decode::Encoding;
use super::figures::Figures;
use super::formats::{self, Op};
use super::framing::Label;

/// What is known of a response's body before it comes: the status, the path of the request,
/// and what the headers say, which are shown one after another.
#[derive(Debug)]
pub(crate) struct Announced {
    pub(super) status: u16,
    pub(super) path: PathHint,
    pub(super) label: Label,
    pub(super) encoding: Encoding,
    /// Usage that the headers report.
    pub(super) figures: Option<Box<Figures>>,
    /// The headers that were shown and count once.
    has_label: bool,
    has_encoding: bool,
}

pub(super) const CONTENT_TYPE: &str = "content-type";
pub(super) const CONTENT_ENCODING: &str = "content-encoding";

impl Announced {
    #[inline]
    pub(crate) fn new(status: u16, path: PathHint) -> Self {
        Self {
            status,
            path,
            label: Label::Other,
            encoding: Encoding::Plain,
            figures: None,
            has_label: false,
            has_encoding: false,
        }
    }

    /// Shows a header, by its lower-case name. Of several of one name the first counts, of
    /// figures the first that is a number.
    #[inline]
    pub(crate) fn show(&mut self, name: &str, value: &[u8]) {
        // Few headers have names of these lengths, and fewer are these.
        match name.len() {
            12 if name == CONTENT_TYPE && !self.has_label => {
                self.has_label = true;
                self.content_type(value);
            }
            16 if name == CONTENT_ENCODING && !self.has_encoding => {
                self.has_encoding = true;
                self.content_encoding(value);
            }
            32.. => self.figure(name, value),
            _ => {}
        }
    }

    #[inline]
    pub(super) fn content_type(&mut self, value: &[u8]) {
        // That of nearly all documents is told without reading it.
        self.label = if value == b"application/json".as_slice() {
            Label::Json
        } else {
            Label::new(std::str::from_utf8(value).ok())
        };
    }

    pub(super) fn content_encoding(&mut self, value: &[u8]) {
        self.encoding = Encoding::new(std::str::from_utf8(value).ok());
    }

    #[cold]
    pub(super) fn figure(&mut self, name: &str, value: &[u8]) {
        let known = formats::HEADERS.iter().find(|(known, ..)| *known == name);
        let number = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
        if let (Some((_, field, kin)), Some(number)) = (known, number) {
            let figures = self.figures.get_or_insert_default();
            if figures.get(*field).is_none() {
                figures.take(*field, Op::Set, *kin, number);
            }
        }
    }
}
