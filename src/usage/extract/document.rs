//! Signs in the document at hand, which are classified at its end: alone, many of them mean nothing.

use super::Extracted;
use super::error_text::Saying;
use crate::usage::formats::{CodeField, ErrorPart, Format, KeySet, Merge, UsageSource};

/// Signs in the document at hand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Document {
    /// The [`Sign`]s, as bits.
    signs: u32,
    /// The counts that stand outside of any usage object are usage of this format.
    pub(super) confirmed_format: Option<Format>,
    /// How many errors the value at hand is in.
    error_depth: u8,
    /// The codes that are no zeros, as bits, and those of them that are numbers.
    codes: u8,
    numeric_codes: u8,
}

/// A sign in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// It reports a failure.
    Failed,
    /// It says that there was no success.
    NoSuccess,
    /// It ends the stream.
    EndsStream,
    /// It carries nothing.
    Ping,
    /// Its event is a failure.
    FailedEvent,
    /// It is the data of an event that is an error.
    ErrorEvent,
    /// It is a list of answers.
    List,
    /// It is of JSON-RPC.
    Rpc,
    /// No event of its task follows.
    Final,
    /// It is a part of another event to come.
    Partial,
    /// It is about a step of the run, not about all of it.
    Step,
    /// It has `done`, and whether that is true, and `created_at`: together they are Ollama's.
    HasDone,
    Done,
    CreatedAt,
    /// It has a result: `data` or `result` with a value.
    Result,
    /// It has a list of errors in which one says something.
    ListedError,
    /// It has a message whose key says that there was an error.
    ErrorMessage,
    /// Its error code is zero, so that the message beside it is of no error.
    NoErrorCode,
    /// The error at hand is one of a list.
    InList,
    /// Who wrote the event of a call that names itself (ADK), and what names it.
    Author,
    InvocationId,
    /// What makes a code an error (Coze).
    LogId,
}

const fn code_bit(field: CodeField) -> u8 {
    1 << field as u8
}

impl CodeField {
    /// The rank of the code as a text.
    pub(super) fn rank(self) -> u8 {
        match self {
            Self::Code | Self::HttpStatus => 1,
            Self::ErrorCode | Self::StatusCode | Self::EventErrorCode | Self::InvokeError => 2,
        }
    }
}

impl Document {
    #[inline]
    pub(super) fn set(&mut self, sign: Sign) {
        self.signs |= 1 << sign as u32;
    }

    #[inline]
    pub(super) fn set_to(&mut self, sign: Sign, value: bool) {
        self.signs = self.signs & !(1 << sign as u32) | u32::from(value) << sign as u32;
    }

    #[inline]
    pub(super) fn has(&self, sign: Sign) -> bool {
        self.signs & 1 << sign as u32 != 0
    }

    /// Whether nothing in it means anything.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.signs == 0 && self.codes == 0 && self.confirmed_format.is_none()
    }

    /// Takes note of a text that says something; returns whether it tells of an error beside a
    /// status.
    pub(super) fn told(&mut self, of: Saying) -> bool {
        match of {
            Saying::Error => self.set(Sign::Failed),
            Saying::ListedError => self.set(Sign::ListedError),
            Saying::Part(_) if self.error_depth > 0 => {
                if self.has(Sign::InList) {
                    self.set(Sign::ListedError);
                } else {
                    self.set(Sign::Failed);
                }
            }
            Saying::Part(ErrorPart::ErrorMessage) => self.set(Sign::ErrorMessage),
            Saying::Code(CodeField::HttpStatus) | Saying::Part(_) | Saying::Nothing => {
                return false;
            }
            Saying::NoErrorCode => {
                self.set(Sign::NoErrorCode);
                return false;
            }
            Saying::Code(CodeField::InvokeError) => self.set(Sign::Failed),
            Saying::Code(field) => {
                self.codes |= code_bit(field);
                return false;
            }
        }
        !matches!(of, Saying::ListedError)
    }

    /// Takes the number that a code is.
    pub(super) fn numeric_code(&mut self, field: CodeField, value: Option<u64>) {
        let is_failure = match field {
            CodeField::HttpStatus => value.is_some_and(|status| status >= 400),
            // One without a value is negative.
            _ => value != Some(0),
        };
        if is_failure {
            self.codes |= code_bit(field);
            self.numeric_codes |= code_bit(field);
        }
    }

    pub(super) fn begin_error(&mut self, is_listed: bool) {
        if self.error_depth == 0 {
            self.set_to(Sign::InList, is_listed);
        }
        self.error_depth = self.error_depth.saturating_add(1);
    }

    pub(super) fn end_error(&mut self) {
        self.error_depth = self.error_depth.saturating_sub(1);
    }

    /// Ends an object that may be the result.
    pub(super) fn note_result(&mut self, key_sets: u8) {
        if key_sets & KeySet::Nothing as u8 == 0 {
            self.set(Sign::Result);
        }
    }

    /// Whether it is an event of a call that names itself.
    pub(super) fn has_invocation(&self) -> bool {
        self.has(Sign::Author) && self.has(Sign::InvocationId)
    }

    /// Where the counts come from that stand outside of any usage object, if they are usage.
    #[inline]
    pub(super) fn confirmed_source(&self) -> Option<UsageSource> {
        let format = self.confirmed_format.filter(|_| !self.has(Sign::Step))?;
        Some(UsageSource { rank: 18, merge: Merge::Replace, format })
    }

    /// Classifies codes and lists of errors, by what is beside them.
    #[inline]
    pub(super) fn classify_codes(&mut self, key_sets: u8) {
        if self.codes != 0 || self.has(Sign::ErrorMessage) || self.has(Sign::ListedError) {
            self.classify_with_keys(key_sets);
        }
    }

    #[cold]
    fn classify_with_keys(&mut self, key_sets: u8) {
        let has_only = |set: KeySet| key_sets & set as u8 != 0;
        let has_code = |field| self.codes & code_bit(field) != 0;
        let is_number = |field| self.numeric_codes & code_bit(field) != 0;
        let has_error_code = has_code(CodeField::ErrorCode) || has_code(CodeField::EventErrorCode);
        if self.has(Sign::List) {
            // The codes of a list are those of its elements. Only events come as a list, too.
            let failed = has_error_code && self.has_invocation();
            self.set_to(Sign::Failed, self.has(Sign::Failed) || failed);
            return;
        }
        let tells_of_error = self.has(Sign::ErrorMessage) && !self.has(Sign::NoErrorCode);
        let failed = has_code(CodeField::StatusCode)
            || is_number(CodeField::ErrorCode) && self.has(Sign::ErrorMessage)
            || (has_error_code || tells_of_error) && has_only(KeySet::Error)
            || self.has(Sign::ErrorMessage) && has_only(KeySet::Lambda)
            || has_code(CodeField::HttpStatus) && has_only(KeySet::Proxy)
            || has_code(CodeField::Code) && self.has(Sign::LogId)
            || has_error_code && self.has_invocation()
            || self.has(Sign::ListedError) && !self.has(Sign::Result) && has_only(KeySet::Errors);
        self.set_to(Sign::Failed, self.has(Sign::Failed) || failed);
    }

    /// Whether it is the last one of a stream of Ollama's.
    pub(super) fn ends_by_done(&self) -> bool {
        self.has(Sign::Done) && self.has(Sign::CreatedAt)
    }

    /// Draws the conclusions for the stream.
    #[inline]
    pub(super) fn end_stream(&self, extracted: &mut Extracted) {
        if self.has(Sign::HasDone) && self.has(Sign::CreatedAt) {
            extracted.set_format(Format::Ollama);
            extracted.expects_end_marker = true;
            extracted.ended |= self.has(Sign::Done);
        }
        extracted.ended |= self.has(Sign::EndsStream);
        extracted.has_content |= !self.has(Sign::Ping);
    }
}
