//! What is known of a response before its body: its status, a few of its headers, and the method
//! and the path of the request.
//!
//! The headers decide how the body is read: `content-type` names the framing, and
//! `content-encoding` the decoder. Bedrock also reports token counts in headers, for models whose
//! bodies carry none; gRPC the status of a call without a body; and Lambda that a function failed.
//! All of it is copied out in one pass, so a [`ResponseHead`] borrows nothing.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::decompress::Encoding;
use super::extract::TokenCounts;
use super::formats::{self, CountOp, HeaderAction, RequestFlag};
use super::framing::{MediaType, Protocol, RpcType};
use super::response_info::HeadInfo;
use super::rpc_status::GrpcStatus;

/// The parts of a response's head that decide how its body is read.
///
/// The response need not be at hand: nothing is borrowed after [`new`](Self::new) returns.
#[derive(Debug)]
pub struct ResponseHead {
    pub(super) status: StatusCode,
    pub(super) hint: RequestFlags,
    pub(super) media_type: MediaType,
    pub(super) encoding: Encoding,
    /// What the headers report of the call itself, and the path of its request.
    pub(super) reported: Option<Box<HeadReport>>,
}

/// What the headers of a response and the path of its request report of the call.
#[derive(Clone, Debug, Default)]
pub(super) struct HeadReport {
    pub(super) counts: TokenCounts,
    /// The status of a gRPC call whose response has no body.
    pub(super) grpc_status: Option<GrpcStatus>,
    /// The function failed whose answer this is.
    pub(super) function_error: bool,
    /// What they tell beside that.
    pub(super) info: HeadInfo,
}

impl ResponseHead {
    /// Reads the headers in one pass. Allocates only if they report token counts, an id of the request, a
    /// rate limit, a status of gRPC or the failure of a function, or announce a compressed body.
    ///
    /// Where a header is repeated, its first value counts. `content-encoding` is a list, and its
    /// lines make one.
    #[must_use]
    #[inline]
    pub fn new(status: StatusCode, headers: &HeaderMap, hint: RequestHint) -> Self {
        let RequestHint { flags: hint, mut reported } = hint;
        let (mut content_type, mut has_encoding) = (None, false);
        for (name, value) in headers {
            if *name == header::CONTENT_TYPE {
                content_type.get_or_insert(value);
            } else if *name == header::CONTENT_ENCODING {
                has_encoding = true;
            } else {
                let name = name.as_str();
                // Few headers have names of these lengths and first letters.
                if formats::may_be_reporting_header(name) {
                    read_header(&mut reported, name, value, headers);
                }
            }
        }
        let mut media_type = content_type.map_or(MediaType::Other, MediaType::new);
        let encoding = if has_encoding || media_type == MediaType::Other {
            read_encoding(headers, media_type, content_type)
        } else {
            Encoding::Undeclared
        };
        if let MediaType::Rpc(rpc) = media_type {
            media_type = MediaType::Rpc(read_rpc_headers(&mut reported, rpc, headers));
        }
        Self { status, hint, media_type, encoding, reported }
    }

    /// Whether the response is one of a remote procedure call.
    pub(crate) fn is_rpc(&self) -> bool {
        matches!(self.media_type, MediaType::Rpc(_))
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

/// Takes what a header tells. Most headers are of no interest.
#[cold]
fn read_header(
    reported: &mut Option<Box<HeadReport>>,
    name: &str,
    value: &HeaderValue,
    headers: &HeaderMap,
) {
    let Some(action) = formats::header_action(name) else { return };
    match action {
        HeaderAction::FunctionError => reported.get_or_insert_default().function_error = true,
        HeaderAction::Count(token, accounting) => {
            if let Some(number) = value.to_str().ok().and_then(|text| text.trim().parse().ok()) {
                let counts = &mut reported.get_or_insert_default().counts;
                if counts.get(token).is_none() {
                    counts.apply(token, CountOp::Set, accounting, number);
                }
            }
        }
        HeaderAction::Info(field, rank) => {
            reported.get_or_insert_default().info.read(field, rank, value, headers);
        }
    }
}

/// Reads what the head says of the messages of a remote procedure call, and of their end.
#[cold]
fn read_rpc_headers(
    reported: &mut Option<Box<HeadReport>>,
    rpc: RpcType,
    headers: &HeaderMap,
) -> RpcType {
    // In Connect this header means nothing.
    if rpc.protocol != Protocol::Connect
        && let Some(status) = GrpcStatus::of(headers)
    {
        reported.get_or_insert_default().grpc_status = Some(status);
    }
    rpc.with_compression(headers)
}

/// Reads the name of the model out of a path that has one.
#[cold]
fn read_path(path: &[u8]) -> Option<Box<HeadReport>> {
    Some(Box::new(HeadReport { info: HeadInfo::of_path(path)?, ..HeadReport::default() }))
}

#[cold]
fn without_final_slashes(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/');
    &path[..end.map_or(0, |last| last + 1)]
}

/// What a request's method and path imply about the response.
///
/// Some responses carry objects that look like token usage and are not, such as those of endpoints
/// that count tokens. The path rules these out. It never selects a provider's format. Some paths also
/// name the model, which the response may not do.
#[derive(Clone, Debug, Default)]
pub struct RequestHint {
    pub(super) flags: RequestFlags,
    /// What the path itself tells.
    reported: Option<Box<HeadReport>>,
}

/// What a request implies: a bit for each [`RequestFlag`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RequestFlags(u16);

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
            Method::CONNECT => RequestFlag::Connect.bit(),
            _ => 0,
        };
        let mut bytes = path.as_bytes();
        if bytes.last() == Some(&b'/') {
            bytes = without_final_slashes(bytes);
        }
        let flags = RequestFlags(formats::request_flags(bytes) | by_method);
        let names_model = flags.has(RequestFlag::NamesModel);
        Self { flags, reported: if names_model { read_path(bytes) } else { None } }
    }

    /// The hint for the response of a service of one's own: its path is unknown, and it may be empty.
    pub(crate) fn of_any_content(method: &Method) -> Self {
        let Self { flags: RequestFlags(flags), reported } = Self::of(method, "");
        Self { flags: RequestFlags(flags | RequestFlag::MayBeEmpty.bit()), reported }
    }

    /// The model that the path names, if it names one.
    pub(crate) fn path_model(&self) -> Option<&str> {
        self.reported.as_ref()?.info.model()
    }

    /// The same for the response, which comes once. What is left still knows the method.
    pub(crate) fn take(&mut self) -> Self {
        Self { flags: self.flags, reported: self.reported.take() }
    }

    /// Whether the response has no body, whatever its headers say.
    #[inline]
    pub(crate) fn is_head(&self) -> bool {
        self.flags.has(RequestFlag::Head)
    }

    /// Whether the method is one whose responses have no body like others.
    #[inline]
    pub(crate) fn is_head_or_connect(&self) -> bool {
        self.flags.has_any(&[RequestFlag::Head, RequestFlag::Connect])
    }

    /// Whether a response with a 2xx status opens a tunnel.
    #[inline]
    pub(crate) fn is_connect(&self) -> bool {
        self.flags.has(RequestFlag::Connect)
    }
}

impl RequestFlags {
    #[inline(always)]
    pub(super) fn has(self, flag: RequestFlag) -> bool {
        self.has_any(&[flag])
    }

    #[inline(always)]
    pub(super) fn has_any(self, flags: &[RequestFlag]) -> bool {
        self.0 & flags.iter().fold(0, |bits, flag| bits | flag.bit()) != 0
    }
}
