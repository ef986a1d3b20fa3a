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

mod announced;
mod blocks;
mod crc;
mod decode;
mod errors;
mod figures;
mod findings;
mod formats;
mod framing;
mod gate;
mod outcome;
mod trie;
mod walker;

use std::fmt;

pub(crate) use self::announced::Announced;

use self::decode::Encoding;
use self::figures::Figures;
use self::findings::Findings;
use self::formats::{Field, Op, PATHS, PathMatch, PathSays};
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
            word[0] == b'/' && formats::BEGINNINGS.contains(&u64::from_le_bytes(*word))
        };
        let may_contain = || match path.len() {
            // So few are looked at one by one before a search is under way.
            ..40 => path.array_windows().any(begins),
            _ => memchr::memchr_iter(b'/', path)
                .any(|at| path[at..].first_chunk().is_some_and(begins)),
        };
        let may_end = || match path.last_chunk() {
            Some(word) => formats::ENDS.contains(&(u64::from_le_bytes(*word) >> 8)),
            None => path.len() == 7,
        };
        if may_end() || may_contain() { Self::compare(path) } else { Self::default() }
    }

    #[inline(never)]
    fn compare(path: &[u8]) -> Self {
        let mut hint = Self::default();
        for (pattern, says) in PATHS {
            let applies = match pattern {
                PathMatch::Ends(part) => path.ends_with(part.as_bytes()),
                PathMatch::Contains(part) => memchr::memmem::find(path, part.as_bytes()).is_some(),
            };
            if applies {
                hint.0 |= 1 << *says as u8;
            }
        }
        hint
    }

    fn says(self, says: PathSays) -> bool {
        self.0 & 1 << says as u8 != 0
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
    findings: Findings,
    /// Usage that the headers report.
    headers: Option<Box<Figures>>,
}

impl UsageReader {
    /// A reader for the body that belongs to this head.
    #[must_use]
    pub fn new(head: &Head<'_>) -> Self {
        let mut announced = Announced::new(head.status, head.path);
        if let Some(value) = (head.header)(announced::CONTENT_TYPE) {
            announced.content_type(value.as_bytes());
        }
        if let Some(value) = (head.header)(announced::CONTENT_ENCODING) {
            announced.content_encoding(value.as_bytes());
        }
        for (name, ..) in formats::HEADERS {
            if let Some(value) = (head.header)(name) {
                announced.figure(name, value.as_bytes());
            }
        }
        Self::of(announced)
    }

    /// A reader for the body that was announced so.
    #[inline(always)]
    pub(crate) fn of(announced: Announced) -> Self {
        let Announced { status, path, label, encoding, figures, .. } = announced;
        Self {
            status,
            path,
            encoding,
            framing: Framing::new(label, path),
            findings: Findings::new(status >= 400),
            headers: figures,
        }
    }

    /// Reads the next piece of the body, of any size.
    ///
    /// [`Progress::Ended`] means that the call is over and can be finished there and then.
    pub fn feed(&mut self, piece: &[u8]) -> Progress {
        let (framing, findings) = (&mut self.framing, &mut self.findings);
        match &mut self.encoding {
            Encoding::Plain => framing.feed(piece, findings),
            #[cfg(feature = "decompression")]
            Encoding::Compressed(decoder) => decoder.decode(piece, |decoded| {
                framing.feed(decoded, findings);
                true
            }),
            Encoding::Unknown => {}
        }
        if self.settled().ended { Progress::Ended } else { Progress::More }
    }

    /// Whether the answer comes in events, as far as its beginning tells.
    pub(crate) fn is_stream(&self) -> bool {
        self.framing.is_stream()
    }

    /// The rest of the body cannot be seen. What was read stands, and nothing follows from
    /// what is missing.
    pub fn skip_rest(&mut self) {
        self.encoding = Encoding::Unknown;
    }

    /// The tokens reported so far.
    #[must_use]
    #[inline(always)]
    pub fn usage(&self) -> Option<TokenUsage> {
        if self.path.says(PathSays::NoUsage) {
            return None;
        }
        let figures = self.settled().figures();
        if figures.is_empty() && self.headers.is_none() {
            return None;
        }
        let Some(headers) = &self.headers else { return figures.normalised() };
        // Headers fill in what the body leaves out.
        if figures.normalised().is_none() {
            return headers.normalised();
        }
        let mut filled = *figures;
        for field in [Field::Input, Field::Output] {
            if let (None, Some(value)) = (figures.get(field), headers.get(field)) {
                filled.take(field, Op::Set, formats::Kin::Beside, value);
            }
        }
        filled.normalised()
    }

    /// Judges the call, after the last piece. The reader is then done.
    pub fn finish(&mut self, end: End<'_>) -> Reading {
        let (outcome, complete) = self.judge(end);
        let findings = &self.findings;
        Reading {
            outcome,
            usage: self.usage(),
            format: findings.format(),
            complete,
            error_code: findings.fault().and_then(|fault| fault.code.clone()),
        }
    }

    /// Judges the call as [`finish`](Self::finish) does, for those who need no more: how it
    /// ended, and whether the answer came to its own end.
    #[inline(always)]
    pub(crate) fn judge(&mut self, end: End<'_>) -> (Outcome, bool) {
        self.framing.finish(&mut self.findings);
        let findings = &self.findings;
        let whole = self.framing.is_whole() && !findings.awaits_end;
        let complete = findings.ended || findings.finished || whole;
        let stops_short = self.framing.is_cut(findings) || findings.awaits_end && !complete;
        let cut = !findings.ended && !self.is_blind() && stops_short;
        let known = outcome::Known {
            status: self.status,
            fault: findings.fault(),
            complete,
            ended: findings.ended,
            cut,
        };
        (outcome::judge(&known, end), complete && !cut)
    }

    /// What was told for certain.
    fn settled(&self) -> &Findings {
        self.framing.settled(&self.findings)
    }

    /// Whether the body could not be decoded, so that nothing follows from what is missing.
    fn is_blind(&self) -> bool {
        match &self.encoding {
            Encoding::Plain => false,
            #[cfg(feature = "decompression")]
            Encoding::Compressed(decoder) => decoder.is_broken(),
            Encoding::Unknown => true,
        }
    }
}

impl fmt::Debug for UsageReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageReader")
            .field("status", &self.status)
            .field("usage", &self.usage())
            .field("format", &self.settled().format())
            .field("ended", &self.settled().ended)
            .finish_non_exhaustive()
    }
}
