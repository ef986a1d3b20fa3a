//! Response bytes in; token usage, an error reported inside the answer, and the end marker out.
//!
//! A [`UsageReader`] is made from a response's [`Head`] and fed the body as it passes, in
//! pieces cut anywhere. It keeps no part of the body but a name or a number that is cut,
//! and what an error says. It knows formats by what an answer *is*, not by who sent it:
//! the content type, how the bytes are framed, and which keys lie on which path.
//!
//! ```
//! use tower_agent_status::usage::{End, Head, PathHint, Progress, UsageReader};
//!
//! let header = |name: &str| (name == "content-type").then_some("text/event-stream");
//! let path = PathHint::new("/v1/chat/completions");
//! let mut reader = UsageReader::new(&Head { status: 200, path, header: &header });
//! reader.feed(b"data: {\"choices\":[],\"usage\":{\"prompt_to");
//! reader.feed(b"kens\":9,\"completion_tokens\":3}}\n\n");
//! assert_eq!(reader.usage().and_then(|usage| usage.total_tokens), Some(12));
//! assert_eq!(reader.feed(b"data: [DONE]\n\n"), Progress::Ended);
//! assert!(reader.finish(End::Dropped).complete);
//! ```

mod classify;
mod crc;
mod decompress;
mod extract;
mod formats;
mod framing;
mod json;
mod response_head;
mod skip;

use std::fmt;

pub(crate) use self::response_head::ResponseHead;

use self::decompress::Encoding;
use self::extract::{Extractor, TokenCounts};
use self::formats::{Accounting, CountOp, PathFlag, PathPattern, REQUEST_PATHS, TokenType};
use self::framing::Framing;
use crate::status::{Outcome, TokenUsage};

/// What the path of a request says of its answer.
///
/// A few answers look like usage and are not: those of endpoints that count tokens. The
/// path rules them out, and tells apart a few others that look alike. It never chooses a
/// provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathHint(u8);

impl PathHint {
    /// Looks at a request's path (the query may be on it or not).
    #[must_use]
    pub fn new(path: &str) -> Self {
        let end = memchr::memchr2(b'?', b'#', path.as_bytes());
        Self::of(&path[..end.unwrap_or(path.len())])
    }

    /// Looks at a request's path, without a query.
    pub(crate) fn of(path: &str) -> Self {
        let path = path.trim_end_matches('/').as_bytes();
        // Nearly all paths are told from these by a word of eight bytes, for less than a search
        // would take.
        let begins = |word: &[u8; 8]| {
            word[0] == b'/' && formats::CONTAINED_PREFIXES.contains(&u64::from_le_bytes(*word))
        };
        let may_contain = || match path.len() {
            // So few are looked at one by one before a search is under way.
            ..40 => path.array_windows().any(begins),
            _ => memchr::memchr_iter(b'/', path)
                .any(|at| path[at..].first_chunk().is_some_and(begins)),
        };
        let may_end = || match path.last_chunk() {
            Some(word) => formats::SUFFIX_TAILS.contains(&(u64::from_le_bytes(*word) >> 8)),
            None => path.len() == 7,
        };
        if may_end() || may_contain() { Self::compare(path) } else { Self::default() }
    }

    #[inline(never)]
    fn compare(path: &[u8]) -> Self {
        let mut hint = Self::default();
        for (pattern, flag) in REQUEST_PATHS {
            let applies = match pattern {
                PathPattern::Suffix(part) => path.ends_with(part.as_bytes()),
                PathPattern::Contains(part) => {
                    memchr::memmem::find(path, part.as_bytes()).is_some()
                }
            };
            if applies {
                hint.0 |= 1 << *flag as u8;
            }
        }
        hint
    }

    fn has(self, flag: PathFlag) -> bool {
        self.0 & 1 << flag as u8 != 0
    }
}

/// What is known of a response before its body.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// The status code.
    pub status: u16,
    /// The request's path.
    pub path: PathHint,
    /// Looks a response header up by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("status", &self.status)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Whether the answer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing that ends the answer was seen yet.
    More,
    /// The protocol's own end marker was seen: the answer is complete, whatever the transport does.
    Ended,
}

/// How the transport of a body ended.
#[derive(Clone, Copy)]
pub enum End<'a> {
    /// All of it was read.
    Complete,
    /// The transport failed.
    Failed(&'a dyn fmt::Display),
    /// Nobody read on.
    Dropped,
}

impl fmt::Debug for End<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("Complete"),
            Self::Failed(failure) => write!(f, "Failed({failure})"),
            Self::Dropped => f.write_str("Dropped"),
        }
    }
}

/// Everything a response said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reading {
    /// How the call ended.
    pub outcome: Outcome,
    /// The tokens it used, as far as they were reported.
    pub usage: Option<TokenUsage>,
    /// The name of the format that was recognised, for people: `anthropic.messages`,
    /// `openai.chat_completions` and so on. More may come.
    pub format: Option<&'static str>,
    /// Whether the answer came to its own end: an end marker, or a whole document.
    pub complete: bool,
    /// The provider's own code of the failure the answer reported.
    pub error_code: Option<Box<str>>,
}

/// Reads usage, failures and the end out of one response's body as it passes.
///
/// Its size is fixed. It allocates for compressed bodies, AWS event streams and texts of
/// errors, and never in proportion to a body. No input makes it panic, and its work is
/// linear in the bytes it is fed. How a body is cut into pieces makes no difference to what
/// is read, with one exception: of a compressed body that is corrupt, what is decoded before the
/// corruption is noticed.
pub struct UsageReader {
    status: u16,
    path: PathHint,
    encoding: Encoding,
    framing: Framing,
    extractor: Extractor,
    /// Usage that the headers report.
    header_usage: Option<Box<TokenCounts>>,
}

impl UsageReader {
    /// A reader for the body that belongs to this head.
    #[must_use]
    pub fn new(head: &Head<'_>) -> Self {
        let mut response_head = ResponseHead::new(head.status, head.path);
        if let Some(value) = (head.header)(response_head::CONTENT_TYPE) {
            response_head.content_type(value.as_bytes());
        }
        if let Some(value) = (head.header)(response_head::CONTENT_ENCODING) {
            response_head.content_encoding(value.as_bytes());
        }
        for (name, ..) in formats::USAGE_HEADERS {
            if let Some(value) = (head.header)(name) {
                response_head.usage_header(name, value.as_bytes());
            }
        }
        Self::of(response_head)
    }

    /// A reader for the body that was response_head so.
    #[inline(always)]
    pub(crate) fn of(response_head: ResponseHead) -> Self {
        let ResponseHead { status, path, media_type, encoding, usage, .. } = response_head;
        Self {
            status,
            path,
            encoding,
            framing: Framing::new(media_type, path),
            extractor: Extractor::new(status >= 400),
            header_usage: usage,
        }
    }

    /// Reads the next piece of the body, of any size.
    ///
    /// [`Progress::Ended`] means that the call is over and can be finished there and then.
    pub fn feed(&mut self, piece: &[u8]) -> Progress {
        let (framing, extractor) = (&mut self.framing, &mut self.extractor);
        match &mut self.encoding {
            Encoding::Identity => framing.feed(piece, extractor),
            #[cfg(feature = "decompression")]
            Encoding::Compressed(decoder) => decoder.decode(piece, |decoded| {
                framing.feed(decoded, extractor);
                true
            }),
            Encoding::Unsupported => {}
        }
        if self.committed().ended { Progress::Ended } else { Progress::More }
    }

    /// Whether the answer comes in events, as far as its beginning tells.
    pub(crate) fn is_stream(&self) -> bool {
        self.framing.is_stream()
    }

    /// The rest of the body cannot be seen. What was read stands, and nothing follows from
    /// what is missing.
    pub fn skip_rest(&mut self) {
        self.encoding = Encoding::Unsupported;
    }

    /// The tokens reported so far.
    #[must_use]
    #[inline(always)]
    pub fn usage(&self) -> Option<TokenUsage> {
        if self.path.has(PathFlag::NoUsage) {
            return None;
        }
        let counts = self.committed().counts();
        if counts.is_empty() && self.header_usage.is_none() {
            return None;
        }
        let Some(headers) = &self.header_usage else { return counts.normalized() };
        // Headers fill in what the body leaves out.
        if counts.normalized().is_none() {
            return headers.normalized();
        }
        let mut filled = *counts;
        for token in [TokenType::Input, TokenType::Output] {
            if let (None, Some(value)) = (counts.get(token), headers.get(token)) {
                filled.apply(token, CountOp::Set, Accounting::CacheBesideInput, value);
            }
        }
        filled.normalized()
    }

    /// Judges the call, after the last piece. The reader is then done.
    pub fn finish(&mut self, end: End<'_>) -> Reading {
        let (outcome, complete) = self.classify(end);
        let extractor = &self.extractor;
        Reading {
            outcome,
            usage: self.usage(),
            format: extractor.format(),
            complete,
            error_code: extractor.error().and_then(|error| error.code.clone()),
        }
    }

    /// Judges the call as [`finish`](Self::finish) does, for those who need no more: how it
    /// ended, and whether the answer came to its own end.
    #[inline(always)]
    pub(crate) fn classify(&mut self, end: End<'_>) -> (Outcome, bool) {
        self.framing.finish(&mut self.extractor);
        let extractor = &self.extractor;
        let whole = self.framing.is_whole() && !extractor.expects_end_marker;
        let complete = extractor.ended || extractor.model_finished || whole;
        let stops_short =
            self.framing.is_truncated(extractor) || extractor.expects_end_marker && !complete;
        let truncated = !extractor.ended && !self.is_unreadable() && stops_short;
        let evidence = classify::Evidence {
            status: self.status,
            error: extractor.error(),
            complete,
            ended: extractor.ended,
            truncated,
        };
        (classify::classify(&evidence, end), complete && !truncated)
    }

    /// What was told for certain.
    fn committed(&self) -> &Extractor {
        self.framing.committed(&self.extractor)
    }

    /// Whether the body could not be decoded, so that nothing follows from what is missing.
    fn is_unreadable(&self) -> bool {
        match &self.encoding {
            Encoding::Identity => false,
            #[cfg(feature = "decompression")]
            Encoding::Compressed(decoder) => decoder.has_failed(),
            Encoding::Unsupported => true,
        }
    }
}

impl fmt::Debug for UsageReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageReader")
            .field("status", &self.status)
            .field("usage", &self.usage())
            .field("format", &self.committed().format())
            .field("ended", &self.committed().ended)
            .finish_non_exhaustive()
    }
}
