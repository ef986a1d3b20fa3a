//! Reads token usage, in-band errors, unfinished tasks and end markers out of response bodies.
//!
//! A [`UsageReader`] is created from a [`ResponseHead`] and fed the body as it passes, in pieces
//! cut anywhere, and its trailers. It buffers no more than a key, a number, an id or an error message
//! that a cut splits, and one event of up to 1 KiB. Formats are recognized by what the response *is*
//! (its content type, its framing, and which keys lie on which path), not by the host or provider that
//! sent it. The path of the request decides only what the body cannot show: whether its counts are of
//! this call, and whether it may be empty.
//!
//! ```text
//! bytes ▶ decompress ▶ framing ▶ skip ▶ json ▶ extract ▶ classify ▶ Outcome, TokenUsage, WaitingFor
//! ```
//!
//! | stage | turns | into |
//! | --- | --- | --- |
//! | `decompress` | gzip, deflate, br, zstd, one around another | the bytes of the body |
//! | `framing` | SSE, JSON lines, AWS event streams, gRPC-Web, Connect, a single document | JSON documents |
//! | `skip` | events that repeat an earlier one but for its text | nothing, without parsing them |
//! | `json` | a document | the values on the paths of `formats` |
//! | `extract` | those values | token counts, errors, tasks and where they stand, the end of the stream |
//! | `classify` | all of this, the status and the end of the transport | the outcome |
//! | `trace` | what a stage did, if somebody asks | a [`Trace`] |
//!
//! `reading` has what comes out, `response_info` what a response tells beside tokens and outcome,
//! `response_head` what the head tells, and `rpc_status` the statuses of gRPC and Connect, which
//! come in the head, in the body or in the trailers. The rules that a user can see are in the guide, in
//! [outcomes](crate::guide::outcomes).
//!
//! # Example
//!
//! ```
//! use http::Method;
//! use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
//! use tower_agent_status::usage::{End, RequestHint, Progress, ResponseHead, UsageReader};
//!
//! let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))]);
//! let request = RequestHint::new(&Method::POST, "/v1/chat/completions");
//! let mut reader = UsageReader::new(ResponseHead::new(http::StatusCode::OK, &headers, request));
//!
//! reader.feed(b"data: {\"choices\":[],\"usage\":{\"prompt_to");
//! reader.feed(b"kens\":9,\"completion_tokens\":3}}\n\n");
//! assert_eq!(reader.usage().and_then(|usage| usage.total_tokens), Some(12));
//! assert_eq!(reader.feed(b"data: [DONE]\n\n"), Progress::Ended);
//! assert!(reader.finish(End::Dropped).complete);
//! ```

mod classify;
mod decompress;
mod extract;
mod formats;
mod framing;
mod json;
mod reading;
mod response_head;
mod response_info;
mod rpc_status;
mod skip;
mod trace;

use std::fmt;

use http::{HeaderMap, StatusCode};

pub use self::reading::{End, Progress, Reading};
pub use self::response_head::{RequestHint, ResponseHead};
pub use self::response_info::{ModelSource, ResponseInfo};
pub use self::trace::{
    FailureEffect, FailureSign, Missing, NoAnswer, OutcomeRule, ReportedCounts, StatusPlace, Step,
    TokenRule, Trace, UsageEffect,
};

use self::decompress::Encoding;
use self::extract::{Extracted, Extractor, TokenCounts};
use self::formats::{Accounting, CountOp, RequestFlag, TokenType};
use self::framing::{Framing, MediaType};
use self::response_head::{HeadReport, RequestFlags};
use self::rpc_status::GrpcStatus;
use crate::status::{Outcome, Task, TokenUsage};

/// Reads usage, failures and the end out of one response's body as it passes.
///
/// The reader has a fixed size. It allocates for compressed bodies, streams, messages of remote
/// procedure calls, tasks, long ids and error texts, never in proportion to the body. It does not
/// panic on any input, and its work is linear in the bytes it is fed. The result does not depend on
/// how the body is cut into pieces, with one exception: how much a decoder yields of a compressed
/// body before it notices that the body is corrupt, or too large for its compressed size.
pub struct UsageReader {
    status: StatusCode,
    hint: RequestFlags,
    encoding: Encoding,
    framing: Framing,
    extractor: Extractor,
    /// What the response's headers report of its call, and the path of its request.
    reported: Option<Box<HeadReport>>,
}

impl UsageReader {
    /// Creates a reader for the body that follows this head.
    #[must_use]
    #[inline(always)]
    pub fn new(head: ResponseHead) -> Self {
        let ResponseHead { status, hint, media_type, encoding, reported } = head;
        let function_error = reported.as_ref().is_some_and(|reported| reported.function_error);
        // Other framings show in the body whether they are streams.
        let is_stream = media_type == MediaType::EventStream;
        let is_error = classify::is_error(status) || function_error;
        Self {
            status,
            hint,
            encoding,
            framing: Framing::new(media_type, hint),
            extractor: Extractor::new(is_error, hint, is_stream),
            reported,
        }
    }

    /// Creates a reader that also tells what it does and why: end it by
    /// [`finish_traced`](Self::finish_traced).
    ///
    /// It reads the same, and takes longer. The trace is bounded, whatever the body is.
    #[must_use]
    pub fn traced(head: ResponseHead) -> Self {
        let mut reader = Self::new(head);
        reader.extractor.enable_trace();
        reader
    }

    /// Reads the next piece of the body, of any size.
    ///
    /// After [`Progress::Ended`] nothing in the body can change the outcome: the call can be
    /// finished at once.
    pub fn feed(&mut self, piece: &[u8]) -> Progress {
        let is_plain = matches!(self.encoding, Encoding::Identity);
        if is_plain || self.has_no_coding(piece) {
            self.framing.feed(piece, &mut self.extractor);
        } else {
            self.decode(piece);
        }
        if self.committed().ended { Progress::Ended } else { Progress::More }
    }

    /// Whether a body that announces no coding has none, as far as its first piece shows.
    #[inline]
    fn has_no_coding(&mut self, first_piece: &[u8]) -> bool {
        let Encoding::Undeclared = self.encoding else { return false };
        let Some(first) = first_piece.first() else { return true };
        let is_encoded = decompress::may_begin_coding(*first);
        self.encoding = if is_encoded { Encoding::undeclared() } else { Encoding::Identity };
        !is_encoded
    }

    #[inline(never)]
    fn decode(&mut self, piece: &[u8]) {
        if let Encoding::Encoded(decoder) = &mut self.encoding {
            decoder.decode(piece, |decoded| self.framing.feed(decoded, &mut self.extractor));
        }
    }

    /// Reads the trailers, which come after the last piece of the body.
    ///
    /// Those of a gRPC response tell how the call ended, in `grpc-status` and `grpc-message`. A gRPC
    /// response that ends without a status, here or in its head, is incomplete. Those of any other
    /// response mean nothing.
    #[cold]
    pub fn trailers(&mut self, trailers: &HeaderMap) {
        if self.framing.has_grpc_status()
            && let Some(status) = GrpcStatus::of(trailers)
        {
            self.extractor.end_call(status, StatusPlace::Trailers);
        }
    }

    /// Whether a status of gRPC's is to come, in the body or in the trailers.
    pub(crate) fn awaits_grpc_status(&self) -> bool {
        let in_head = |reported: &HeadReport| reported.grpc_status.is_some();
        self.framing.has_grpc_status()
            && !self.extractor.has_ended()
            && !self.reported.as_deref().is_some_and(in_head)
    }

    /// What the response says of the task that it belongs to.
    #[inline(always)]
    pub(crate) fn task(&self) -> Option<Box<Task>> {
        self.extractor.task().map(Box::new)
    }

    /// The name of the response's format, if it is recognized, as [`Reading::format`] has it.
    pub(crate) fn format(&self) -> Option<&'static str> {
        self.committed().format()
    }

    /// Whether the response is a stream of events, as far as its beginning shows.
    #[inline]
    pub(crate) fn is_stream(&self) -> bool {
        self.framing.is_stream()
    }

    /// Stops reading, because the rest of the body cannot be fed.
    ///
    /// Behind the end marker nothing is missing. Anywhere else, what was read so far may be half
    /// of something, or be replaced by what is missing. So only a failure that a whole document
    /// reported stands, and usage that headers reported. The response does not count as truncated.
    pub fn skip_rest(&mut self) {
        if !self.committed().ended {
            self.framing.reset();
            self.extractor.keep_only_error();
        }
        self.encoding = Encoding::Unsupported;
    }

    /// Returns the tokens reported so far.
    #[must_use]
    #[inline(always)]
    pub fn usage(&self) -> Option<TokenUsage> {
        let extracted = self.committed();
        // One place for all of it: the counts take 128 bytes, which would be copied.
        let mut usage = self.usage_by_rules(extracted, &mut |_| {});
        // Nearly all have none, whatever is committed.
        if self.extractor.parts().is_some()
            && let Some(usage) = &mut usage
            && let Some(parts) = self.framing.committed_parts(&self.extractor)
        {
            parts.complete(usage);
        }
        usage
    }

    /// The same, and each rule by which the counts became tokens.
    #[inline(always)]
    fn usage_by_rules(
        &self,
        extracted: &Extracted,
        note: &mut impl FnMut(TokenRule),
    ) -> Option<TokenUsage> {
        if self.hint.has_any(&[RequestFlag::NoUsage, RequestFlag::Download]) {
            return None;
        }
        let counts = extracted.counts();
        let total_is_input = || extracted.has_input_only() || self.hint.has(RequestFlag::InputOnly);
        if counts.is_empty() && self.reported.is_none() {
            return None;
        }
        match self.reported.as_deref() {
            Some(HeadReport { counts: headers, .. }) if !headers.is_empty() => {
                Self::filled_in_from(headers, counts, total_is_input(), note)
            }
            _ => counts.normalized_by(total_is_input, note),
        }
    }

    /// The headers fill in what the body leaves out.
    #[cold]
    fn filled_in_from(
        headers: &TokenCounts,
        counts: &TokenCounts,
        total_is_input: bool,
        note: &mut impl FnMut(TokenRule),
    ) -> Option<TokenUsage> {
        let total_is_input = || total_is_input;
        if counts.normalized(total_is_input).is_none() {
            note(TokenRule::FromHeaders);
            return headers.normalized_by(|| false, note);
        }
        let mut filled = *counts;
        for token in [TokenType::Input, TokenType::Output] {
            if let (None, Some(value)) = (counts.get(token), headers.get(token)) {
                note(TokenRule::FilledInFromHeaders);
                filled.apply(token, CountOp::Set, Accounting::CacheBesideInput, value);
            }
        }
        filled.normalized_by(total_is_input, note)
    }

    /// Ends the reading after the last piece, and returns everything read.
    ///
    /// The reader is spent afterwards: feed it no more pieces.
    pub fn finish(&mut self, end: End<'_>) -> Reading {
        let (outcome, complete) = self.classify(end);
        let extractor = &self.extractor;
        let task = extractor.task();
        let has_succeeded = outcome == Outcome::Success;
        Reading {
            outcome,
            usage: self.usage(),
            format: extractor.extracted().format(),
            complete,
            error_code: extractor.error().and_then(|error| error.code.clone()),
            waiting_for: task.as_ref().and_then(|task| task.waiting_for).filter(|_| has_succeeded),
            task_id: task.and_then(|task| task.id),
        }
    }

    /// Ends the reading as [`finish`](Self::finish) does, and also returns what a
    /// [`traced`](Self::traced) reader did and why. The trace of any other reader is empty.
    pub fn finish_traced(&mut self, end: End<'_>) -> (Reading, Trace) {
        let reading = self.finish(end);
        (reading, self.conclude_trace(end).unwrap_or_default())
    }

    /// Ends the reading as [`finish`](Self::finish) does, and returns only the outcome and whether
    /// the response came to its own end.
    #[inline(always)]
    pub(crate) fn classify(&mut self, end: End<'_>) -> (Outcome, bool) {
        if let Encoding::Encoded(decoder) = &mut self.encoding {
            decoder.finish(|decoded| self.framing.feed(decoded, &mut self.extractor));
        }
        self.framing.finish(&mut self.extractor);
        if self.reported.is_some() {
            self.conclude_head();
        }
        // Nearly every response is like this. Collecting all the evidence would take 60 instructions more.
        if matches!(end, End::Complete) && self.is_plain_answer() {
            // The rules are those of `classify`, and all tests hold this against them.
            debug_assert_eq!(classify::classify(&self.evidence(), end), Outcome::Success);
            debug_assert!(self.evidence().complete && !self.evidence().truncated);
            return (Outcome::Success, true);
        }
        let evidence = self.evidence();
        (classify::classify(&evidence, end), evidence.complete && !evidence.truncated)
    }

    /// Whether the response is a whole document, and nothing in it or in its head speaks against
    /// success. Others may be successes, too.
    #[inline(always)]
    fn is_plain_answer(&self) -> bool {
        !classify::is_error(self.status) && self.framing.is_plain() && self.extractor.is_plain()
    }

    /// Everything that bears on the outcome, after the last piece.
    #[inline(always)]
    fn evidence(&self) -> classify::Evidence<'_> {
        let (extractor, extracted) = (&self.extractor, self.extractor.extracted());
        let whole = self.framing.is_whole() && !extracted.expects_end_marker;
        let mut complete = extracted.ended || extracted.model_finished || whole;
        let stops_short =
            self.framing.is_truncated(extracted) || extracted.expects_end_marker && !complete;
        let mut truncated = !extracted.ended && !self.is_unreadable() && stops_short;
        if self.framing.is_rpc() {
            (complete, truncated) = self.end_of_rpc();
        }
        classify::Evidence {
            status: self.status,
            error: extractor.error().filter(|error| !(error.reported && self.is_of_others())),
            is_empty: self.is_empty(),
            complete,
            ended: extracted.ended,
            truncated,
        }
    }

    /// Whether the failures in the body are those of other calls, as in the rows of a file.
    fn is_of_others(&self) -> bool {
        let is_file = self.hint.has_any(&[RequestFlag::Download, RequestFlag::Results]);
        is_file && !classify::is_error(self.status)
    }

    /// What a response that stops short lacks.
    #[cold]
    fn missing(&self) -> Missing {
        if self.framing.is_rpc() {
            Missing::ProtocolStatus
        } else if self.framing.is_truncated(self.extractor.extracted()) {
            Missing::Rest
        } else {
            Missing::EndMarker
        }
    }

    /// The trace, with what decided the outcome and how the counts became tokens.
    #[cold]
    fn conclude_trace(&mut self, end: End<'_>) -> Option<Trace> {
        let no_answer = self.framing.no_answer(self.extractor.extracted());
        let outcome = classify::rule(&self.evidence(), end, self.missing(), no_answer);
        let mut rules = Vec::new();
        let usage = self.usage_by_rules(self.committed(), &mut |rule| rules.push(rule));
        let (is_unreadable, is_read) = (self.is_unreadable(), self.framing.is_read());
        let (hint, is_of_others) = (self.hint, self.is_of_others());
        let tracer = self.extractor.tracer()?;
        if usage.is_none() {
            rules = vec![match tracer.has_counts() {
                _ if hint.has(RequestFlag::NoUsage) => TokenRule::NoneByPath,
                _ if hint.has(RequestFlag::Download) => TokenRule::NoneInFile,
                _ if is_unreadable => TokenRule::NoneDecoded,
                true => TokenRule::NoneUsable,
                false if !is_read => TokenRule::NoneRead,
                false => TokenRule::NoneFound,
            }];
        }
        rules.into_iter().for_each(|rule| tracer.note_rule(rule));
        if is_of_others {
            tracer.ignore_failures();
        }
        Some(tracer.conclude(outcome))
    }

    /// Draws the conclusions from what the head reports of the call. Trailers outrank its status.
    #[cold]
    fn conclude_head(&mut self) {
        let Some(reported) = &mut self.reported else { return };
        if let Some(status) = reported.grpc_status.take()
            && !self.extractor.has_ended()
        {
            self.extractor.end_call(status, StatusPlace::Head);
        }
        if reported.function_error {
            self.extractor.fail_call();
        }
    }

    /// Whether a remote procedure call is complete, and whether it stops short. Its protocol has an
    /// end that nothing takes the place of, and gRPC's need not be decoded.
    #[cold]
    fn end_of_rpc(&self) -> (bool, bool) {
        let Extracted { ended, model_finished, .. } = *self.extractor.extracted();
        let is_known = (!self.is_unreadable() || self.framing.ends_by_trailers())
            && !self.hint.has(RequestFlag::Head);
        (ended || model_finished, !ended && is_known)
    }

    /// What was extracted and cannot be revoked by a wrong checksum.
    fn committed(&self) -> &Extracted {
        self.framing.committed(&self.extractor)
    }

    /// Whether the response should have had content, and has none.
    #[inline]
    fn is_empty(&self) -> bool {
        self.framing.may_be_empty(self.committed()) && self.is_empty_after_all()
    }

    #[cold]
    fn is_empty_after_all(&self) -> bool {
        let without_body = matches!(
            self.status,
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT
        );
        self.status.is_success()
            && !without_body
            && !self.hint.has(RequestFlag::Head)
            && !self.is_unreadable()
            && self.framing.has_no_answer(self.committed())
    }

    /// Whether the body could not be decoded, so that nothing follows from what is missing.
    fn is_unreadable(&self) -> bool {
        match &self.encoding {
            Encoding::Identity | Encoding::Undeclared => false,
            Encoding::Encoded(decoder) => decoder.has_failed(),
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
