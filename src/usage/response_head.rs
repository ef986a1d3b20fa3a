//! [`ResponseHead`]: what is known of a response's body before it comes.

use super::PathHint;
use super::decompress::Encoding;
use super::extract::TokenCounts;
use super::formats::{self, CountOp};
use super::framing::MediaType;

/// What is known of a response's body before it comes: the status, the path of the request,
/// and what the headers say, which are shown one after another.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(super) status: u16,
    pub(super) path: PathHint,
    pub(super) media_type: MediaType,
    pub(super) encoding: Encoding,
    /// Usage that the headers report.
    pub(super) usage: Option<Box<TokenCounts>>,
    /// The headers that were shown and count once.
    has_content_type: bool,
    has_content_encoding: bool,
}

pub(super) const CONTENT_TYPE: &str = "content-type";
pub(super) const CONTENT_ENCODING: &str = "content-encoding";

impl ResponseHead {
    #[inline]
    pub(crate) fn new(status: u16, path: PathHint) -> Self {
        Self {
            status,
            path,
            media_type: MediaType::Other,
            encoding: Encoding::Identity,
            usage: None,
            has_content_type: false,
            has_content_encoding: false,
        }
    }

    /// Shows a header, by its lower-case name. Of several of one name the first counts, of
    /// figures the first that is a number.
    #[inline]
    pub(crate) fn show(&mut self, name: &str, value: &[u8]) {
        // Few headers have names of these lengths, and fewer are these.
        match name.len() {
            12 if name == CONTENT_TYPE && !self.has_content_type => {
                self.has_content_type = true;
                self.content_type(value);
            }
            16 if name == CONTENT_ENCODING && !self.has_content_encoding => {
                self.has_content_encoding = true;
                self.content_encoding(value);
            }
            32.. => self.usage_header(name, value),
            _ => {}
        }
    }

    #[inline]
    pub(super) fn content_type(&mut self, value: &[u8]) {
        // That of nearly all documents is told without reading it.
        self.media_type = if value == b"application/json".as_slice() {
            MediaType::Json
        } else {
            MediaType::new(std::str::from_utf8(value).ok())
        };
    }

    pub(super) fn content_encoding(&mut self, value: &[u8]) {
        self.encoding = Encoding::new(std::str::from_utf8(value).ok());
    }

    #[cold]
    pub(super) fn usage_header(&mut self, name: &str, value: &[u8]) {
        let known = formats::USAGE_HEADERS.iter().find(|(known, ..)| *known == name);
        let number = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
        if let (Some((_, token, accounting)), Some(number)) = (known, number) {
            let counts = self.usage.get_or_insert_default();
            if counts.get(*token).is_none() {
                counts.apply(*token, CountOp::Set, *accounting, number);
            }
        }
    }
}
