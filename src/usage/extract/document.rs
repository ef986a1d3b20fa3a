//! Signs in the document at hand, which are classified at its end: alone, many of them mean nothing.

use super::Extracted;
use super::error_text::Saying;
use crate::usage::formats::{CodeField, ErrorPart, Format, KeySet, Marker, Merge, UsageSource};

/// Signs in the document at hand.
#[derive(Clone, Debug, Default)]
pub(super) struct Document {
    /// It reports a failure.
    pub(super) failed: bool,
    pub(super) ends_stream: bool,
    /// It carries nothing.
    pub(super) is_ping: bool,
    /// It is the data of an event that is an error.
    pub(super) is_error_event: bool,
    /// It is a list of answers.
    pub(super) is_list: bool,
    pub(super) is_rpc: bool,
    /// No event of its task follows.
    pub(super) is_final: bool,
    /// It is a part of another event to come.
    pub(super) is_partial: bool,
    /// It is about a step of the run, not about all of it.
    pub(super) is_step: bool,
    /// It says that there was no success.
    pub(super) has_no_success: bool,
    /// The value of `done`, and whether `created_at` is beside it: together they are Ollama's.
    pub(super) done: Option<bool>,
    pub(super) created_at: bool,
    /// The counts that stand outside of any usage object are usage of this format.
    pub(super) confirmed_format: Option<Format>,
    /// It has a result: `data` or `result` with a value.
    pub(super) has_result: bool,
    has_listed_error: bool,
    has_error_message: bool,
    /// How many errors the value at hand is in.
    error_depth: u8,
    /// The error at hand is one of a list.
    is_listed: bool,
    /// The markers that were found, as bits.
    markers: u8,
    /// The codes that are no zeros, as bits, and those of them that are numbers.
    codes: u8,
    numeric_codes: u8,
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
    /// Takes note of a text that says something; returns whether it tells of an error beside a
    /// status.
    pub(super) fn told(&mut self, of: Saying) -> bool {
        match of {
            Saying::Error => self.failed = true,
            Saying::ListedError => self.has_listed_error = true,
            Saying::Part(_) if self.error_depth > 0 => {
                if self.is_listed {
                    self.has_listed_error = true;
                } else {
                    self.failed = true;
                }
            }
            Saying::Part(ErrorPart::ErrorMessage) => self.has_error_message = true,
            Saying::Code(CodeField::HttpStatus) | Saying::Part(_) | Saying::Nothing => {
                return false;
            }
            Saying::Code(CodeField::InvokeError) => self.failed = true,
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
            self.is_listed = is_listed;
        }
        self.error_depth = self.error_depth.saturating_add(1);
    }

    pub(super) fn end_error(&mut self) {
        self.error_depth = self.error_depth.saturating_sub(1);
    }

    /// Ends an object that may be the result.
    pub(super) fn note_result(&mut self, key_sets: u8) {
        self.has_result |= key_sets & KeySet::Nothing as u8 == 0;
    }

    pub(super) fn mark(&mut self, marker: Marker) {
        self.markers |= marker_bit(marker);
    }

    fn has(&self, marker: Marker) -> bool {
        self.markers & marker_bit(marker) != 0
    }

    /// Whether it is an event of a call that names itself.
    pub(super) fn has_invocation(&self) -> bool {
        self.has(Marker::Author) && self.has(Marker::InvocationId)
    }

    /// Where the counts come from that stand outside of any usage object, if they are usage.
    #[inline]
    pub(super) fn confirmed_source(&self) -> Option<UsageSource> {
        let format = self.confirmed_format.filter(|_| !self.is_step)?;
        Some(UsageSource { rank: 18, merge: Merge::Replace, format })
    }

    /// Classifies codes and lists of errors, by what is beside them.
    #[inline]
    pub(super) fn classify_codes(&mut self, key_sets: u8) {
        if self.codes != 0 || self.has_error_message || self.has_listed_error {
            self.classify_with_keys(key_sets);
        }
    }

    #[cold]
    fn classify_with_keys(&mut self, key_sets: u8) {
        let has_only = |set: KeySet| key_sets & set as u8 != 0;
        let has_code = |field| self.codes & code_bit(field) != 0;
        let is_number = |field| self.numeric_codes & code_bit(field) != 0;
        let has_error_code = has_code(CodeField::ErrorCode) || has_code(CodeField::EventErrorCode);
        if self.is_list {
            // The codes of a list are those of its elements. Only events come as a list, too.
            self.failed |= has_code(CodeField::EventErrorCode) && self.has_invocation();
            return;
        }
        let failed = has_code(CodeField::StatusCode)
            || is_number(CodeField::ErrorCode) && self.has_error_message
            || (has_error_code || self.has_error_message) && has_only(KeySet::Error)
            || self.has_error_message && has_only(KeySet::Lambda)
            || has_code(CodeField::HttpStatus) && has_only(KeySet::Proxy)
            || has_code(CodeField::Code) && self.has(Marker::LogId)
            || has_code(CodeField::EventErrorCode) && self.has_invocation()
            || self.has_listed_error && !self.has_result && has_only(KeySet::Errors);
        self.failed |= failed;
    }

    /// Draws the conclusions for the stream.
    #[inline]
    pub(super) fn end_stream(&self, extracted: &mut Extracted) {
        if let (Some(done), true) = (self.done, self.created_at) {
            extracted.set_format(Format::Ollama);
            extracted.expects_end_marker = true;
            extracted.ended |= done;
        }
        extracted.ended |= self.ends_stream;
        extracted.has_content |= !self.is_ping;
    }
}

const fn marker_bit(marker: Marker) -> u8 {
    match marker {
        Marker::Author => 1,
        Marker::InvocationId => 2,
        Marker::LogId => 4,
        _ => 0,
    }
}
