//! What is known of a response before its body: its status, a few of its headers, and the method
//! and the path of the request.
//!
//! The headers decide how the body is read: `content-type` names the framing, and
//! `content-encoding` the decoder. Bedrock also reports token counts in headers, for models whose
//! bodies carry none. All of it is copied out in one pass, so a [`ResponseHead`] borrows nothing.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::decompress::Encoding;
use super::extract::TokenCounts;
use super::formats::{self, CountOp, RequestFlag, USAGE_HEADERS};
use super::framing::MediaType;

/// The parts of a response's head that decide how its body is read.
///
/// The response need not be at hand: nothing is borrowed after [`new`](Self::new) returns.
#[derive(Debug)]
pub struct ResponseHead {
    pub(super) status: StatusCode,
    pub(super) hint: RequestHint,
    pub(super) media_type: MediaType,
    pub(super) encoding: Encoding,
    /// The token counts in the headers, if any.
    pub(super) usage: Option<Box<TokenCounts>>,
}

impl ResponseHead {
    /// Reads the headers in one pass. Allocates only if they report token counts or announce a
    /// compressed body.
    ///
    /// Where a header is repeated, its first value counts. `content-encoding` is a list, and its
    /// lines make one.
    #[must_use]
    #[inline]
    pub fn new(status: StatusCode, headers: &HeaderMap, hint: RequestHint) -> Self {
        let (mut content_type, mut has_encoding, mut usage) = (None, false, None);
        for (name, value) in headers {
            if *name == header::CONTENT_TYPE {
                content_type.get_or_insert(value);
            } else if *name == header::CONTENT_ENCODING {
                has_encoding = true;
            } else if name.as_str().len() >= formats::MIN_USAGE_HEADER {
                // Few headers have names this long, so the table is rarely searched.
                read_usage_header(&mut usage, name.as_str(), value);
            }
        }
        let media_type = content_type.map_or(MediaType::Other, MediaType::new);
        let encoding = if has_encoding || media_type == MediaType::Other {
            read_encoding(headers, media_type, content_type)
        } else {
            Encoding::Undeclared
        };
        Self { status, hint, media_type, encoding, usage }
    }
}

/// The encoding of a body with an unusual head.
#[cold]
fn read_encoding(
    headers: &HeaderMap,
    media_type: MediaType,
    content_type: Option<&HeaderValue>,
) -> Encoding {
    // Anything else that is compressed and does not say so may be an archive.
    let is_text = |content_type: &HeaderValue| {
        let kind = content_type.as_bytes().get(..5);
        kind.is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/"))
    };
    let may_be_undeclared = media_type != MediaType::Other || content_type.is_none_or(is_text);
    Encoding::new(headers.get_all(header::CONTENT_ENCODING), may_be_undeclared)
}

/// Takes a count from a header, unless it is of no interest or the count is known.
#[cold]
fn read_usage_header(usage: &mut Option<Box<TokenCounts>>, name: &str, value: &HeaderValue) {
    let known = USAGE_HEADERS.iter().find(|(known, ..)| *known == name);
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    if let (Some((_, token, accounting)), Some(number)) = (known, number) {
        let counts = usage.get_or_insert_default();
        if counts.get(*token).is_none() {
            counts.apply(*token, CountOp::Set, *accounting, number);
        }
    }
}

/// What a request's method and path imply about the response.
///
/// Some responses carry objects that look like token usage and are not, such as those of endpoints
/// that count tokens. The path rules these out. It never selects a provider's format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestHint(u16);

impl RequestHint {
    /// Examines a request's method and path. A query or fragment after the path is ignored.
    #[must_use]
    pub fn new(method: &Method, path: &str) -> Self {
        let end = memchr::memchr2(b'?', b'#', path.as_bytes());
        Self::of(method, &path[..end.unwrap_or(path.len())])
    }

    /// The same for a path that is known to end before its query.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let by_method = match *method {
            Method::GET => RequestFlag::Get.bit(),
            Method::HEAD => RequestFlag::Head.bit(),
            _ => 0,
        };
        Self(formats::request_flags(path.trim_end_matches('/').as_bytes()) | by_method)
    }

    pub(super) fn has(self, flag: RequestFlag) -> bool {
        self.0 & flag.bit() != 0
    }
}
