//! Writes a [`Trace`] while a body is read.

use std::mem;

use super::{
    FailureEffect, FailureSign, OutcomeRule, ReportedCounts, Step, TokenRule, Trace, UsageEffect,
};
use crate::status::Task;
use crate::usage::extract::{ReportedError, TokenCounts};
use crate::usage::formats::{Format, Status, TokenType};

/// How many steps are listed.
const MAX_STEPS: usize = 64;
/// How many of them may be about usage, so that there is room for a failure behind them.
const MAX_USAGE_STEPS: usize = 48;
/// How many signs of failure, and words for a status, a document may have.
const MAX_SIGNS: usize = 8;
/// As much of a word as is shown, in bytes.
const MAX_WORD: usize = 64;

/// A trace that is being written, and what it has to know of the document at hand.
#[derive(Clone, Debug, Default)]
pub(in crate::usage) struct Tracer {
    trace: Trace,
    /// Where the value at hand is.
    path: Box<str>,
    /// Where the usage object is that ended last, and the one whose effect is not known yet.
    usage_path: Box<str>,
    pending_path: Box<str>,
    /// Where the text is that may be that of an error.
    text_path: Box<str>,
    signs: Vec<FailureSign>,
    /// The words for a status, each with its meaning and its place.
    statuses: Vec<(Status, Box<str>, Box<str>)>,
    /// How many steps there were before the document.
    steps_before: usize,
}

impl Tracer {
    fn push(&mut self, step: Step) {
        let max = match step {
            Step::Usage { .. } => MAX_USAGE_STEPS,
            _ => MAX_STEPS,
        };
        let steps = &mut self.trace.steps;
        if steps.iter_mut().any(|known| is_repeated(known, &step)) {
            return;
        }
        if steps.len() < max {
            steps.push(step);
        } else {
            self.trace.omitted = self.trace.omitted.saturating_add(1);
        }
    }

    /// The value at hand is here.
    pub(in crate::usage) fn at(&mut self, path: String) {
        self.path = path.into();
    }

    /// The value at hand is a count outside of any usage object.
    pub(in crate::usage) fn end_count(&mut self) {
        self.usage_path = self.path.clone();
    }

    /// A usage object ends here.
    pub(in crate::usage) fn end_usage(&mut self, path: String) {
        self.usage_path = path.into();
    }

    /// What became of the counts of the usage object that ended last.
    pub(in crate::usage) fn usage(
        &mut self,
        format: Format,
        counts: &TokenCounts,
        effect: UsageEffect,
    ) {
        let path = self.usage_path.clone();
        let format = format.name();
        let counts = reported(counts);
        self.push(Step::Usage { path, format, counts, effect, times: 1 });
    }

    /// The effect of the usage object that ended last is known at the end of its document.
    pub(in crate::usage) fn defer_usage(&mut self) {
        self.pending_path = mem::take(&mut self.usage_path);
    }

    /// The effect of the usage object is known that was deferred.
    pub(in crate::usage) fn resume_usage(&mut self) {
        mem::swap(&mut self.pending_path, &mut self.usage_path);
    }

    /// The rules by which counts are tokens that are added to others.
    pub(in crate::usage) fn note_rule(&mut self, rule: TokenRule) {
        if !self.trace.token_rules.contains(&rule) {
            self.trace.token_rules.push(rule);
        }
    }

    /// The value at hand is a text that may be that of an error.
    pub(in crate::usage) fn begin_text(&mut self) {
        self.text_path = self.path.clone();
    }

    /// The text that began last says that there was an error.
    pub(in crate::usage) fn text_is_error(&mut self) {
        self.sign(FailureSign::Error(self.text_path.clone()));
    }

    /// The document at hand reports a failure by this.
    pub(in crate::usage) fn sign(&mut self, sign: FailureSign) {
        if self.signs.len() < MAX_SIGNS && !self.signs.contains(&sign) {
            self.signs.push(sign);
        }
    }

    /// The document at hand reports a failure by the value at hand.
    pub(in crate::usage) fn sign_here(&mut self, sign: fn(Box<str>) -> FailureSign) {
        self.sign(sign(self.path.clone()));
    }

    /// The document at hand reports a failure by this word, which is the value at hand.
    pub(in crate::usage) fn word_is_failure(&mut self, word: &[u8]) {
        self.sign(FailureSign::Word(self.path.clone(), bounded(word)));
    }

    /// The value at hand is a word for a status.
    pub(in crate::usage) fn status(&mut self, status: Status, word: &[u8]) {
        if self.statuses.len() < MAX_SIGNS {
            self.statuses.push((status, self.path.clone(), bounded(word)));
        }
    }

    /// The document at hand reports a failure by its status, which has this code.
    pub(in crate::usage) fn status_is_failure(&mut self, code: &str, of_task: bool) {
        let of_code = |(status, ..): &&(Status, _, _)| status.code() == Some(code);
        if let Some((_, path, word)) = self.statuses.iter().rev().find(of_code) {
            let (path, word) = (path.clone(), word.clone());
            self.sign(match of_task {
                true => FailureSign::TaskStatus(path, word),
                false => FailureSign::Status(path, word),
            });
        }
    }

    /// Ends a document that reports a failure, or explains an error status.
    pub(in crate::usage) fn failure(
        &mut self,
        error: Option<&ReportedError>,
        effect: FailureEffect,
    ) {
        let signs = mem::take(&mut self.signs);
        let code = error.and_then(|error| error.code.clone());
        let message = error.and_then(|error| error.message.clone());
        self.push(Step::Failure { signs, code, message, effect });
    }

    /// What looks like a failure of the document at hand is none.
    pub(in crate::usage) fn ignore_signs(&mut self, effect: FailureEffect) {
        if !self.signs.is_empty() {
            self.failure(None, effect);
        }
    }

    /// The document at hand belongs to this task.
    pub(in crate::usage) fn task(&mut self, status: Option<Status>, task: Option<Task>) {
        let of_task = |(known, ..): &&(Status, _, _)| Some(*known) == status;
        let found = self.statuses.iter().rev().find(of_task);
        let status = found.map(|(_, path, word)| (path.clone(), word.clone()));
        let (waiting_for, id) = task.map_or((None, None), |task| (task.waiting_for, task.id));
        self.push(Step::Task { status, waiting_for, id });
    }

    /// The value at hand is the end marker of the stream.
    pub(in crate::usage) fn end_marker_here(&mut self, word: Option<&[u8]>) {
        self.push(Step::End { path: Some(self.path.clone()), word: word.map(bounded) });
    }

    /// The end marker of the stream is here.
    pub(in crate::usage) fn end_marker(&mut self, path: Option<String>, word: Option<&[u8]>) {
        let (path, word) = (path.map(Into::into), word.map(bounded));
        self.push(Step::End { path, word });
    }

    /// Ends the document at hand. If it looks like a failure and is none, it is about a step.
    pub(in crate::usage) fn end_document(&mut self) {
        self.ignore_signs(FailureEffect::IgnoredStep);
        self.statuses.clear();
        self.steps_before = self.trace.steps.len();
    }

    /// Nothing in the document at hand counts.
    pub(in crate::usage) fn roll_back(&mut self) {
        self.trace.steps.truncate(self.steps_before);
        self.signs.clear();
        self.statuses.clear();
        self.push(Step::CorruptFrame);
    }

    /// Nothing that was read counts but a failure.
    pub(in crate::usage) fn keep_only_failures(&mut self) {
        self.trace.steps.retain(|step| matches!(step, Step::Failure { .. }));
        self.trace.token_rules.clear();
        self.steps_before = self.trace.steps.len();
    }

    /// Whether any counts were found that count.
    pub(in crate::usage) fn has_counts(&self) -> bool {
        let counts = |step: &Step| matches!(step, Step::Usage { effect, .. } if effect.counts());
        self.trace.steps.iter().any(counts)
    }

    /// The failures are those of other calls.
    pub(in crate::usage) fn ignore_failures(&mut self) {
        for step in &mut self.trace.steps {
            if let Step::Failure { effect: effect @ FailureEffect::Reported, .. } = step {
                *effect = FailureEffect::IgnoredOfOthers;
            }
        }
    }

    /// Draws the conclusions.
    pub(in crate::usage) fn conclude(&mut self, rule: OutcomeRule) -> Trace {
        self.trace.outcome_rule = Some(rule);
        mem::take(&mut self.trace)
    }

    /// Takes over what the reader of a text found, which is a document in the one at hand; returns
    /// where its usage is.
    pub(in crate::usage) fn take_over(&mut self, inner: Self, has_failed: bool) -> Box<str> {
        let mut usage_path = Box::default();
        for step in inner.trace.steps {
            match step {
                Step::Usage { path, effect, .. } if effect.counts() => usage_path = path,
                Step::Failure { signs, .. } if has_failed => self.signs.extend(signs),
                _ => {}
            }
        }
        usage_path
    }
}

/// Whether a step is the same as a known one, which then happened once more.
fn is_repeated(known: &mut Step, step: &Step) -> bool {
    match (known, step) {
        (
            Step::Usage { path, format, counts, effect, times },
            Step::Usage {
                path: new_path, format: new_format, counts: new, effect: new_effect, ..
            },
        ) if (&*path, &*format, &*effect) == (new_path, new_format, new_effect) => {
            *counts = *new;
            *times = times.saturating_add(1);
            true
        }
        (known, step) => known == step,
    }
}

impl UsageEffect {
    /// Whether the counts are among those that became tokens.
    #[must_use]
    pub fn counts(self) -> bool {
        matches!(
            self,
            Self::Counted | Self::Outranked | Self::Replaced | Self::Merged | Self::Added
        )
    }
}

fn reported(counts: &TokenCounts) -> ReportedCounts {
    ReportedCounts {
        input: counts.get(TokenType::Input),
        output: counts.get(TokenType::Output),
        total: counts.get(TokenType::Total),
        cache_read: counts.get(TokenType::CacheRead),
        cache_write: counts.get(TokenType::CacheWrite),
        reasoning: counts.get(TokenType::Reasoning),
        tool_input: counts.get(TokenType::ToolInput),
        audio: counts.get(TokenType::Audio),
    }
}

/// The beginning of a word.
fn bounded(word: &[u8]) -> Box<str> {
    String::from_utf8_lossy(&word[..word.len().min(MAX_WORD)]).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::formats::{Accounting, CountOp};

    fn counts(input: u64) -> TokenCounts {
        let mut counts = TokenCounts::NONE;
        counts.apply(TokenType::Input, CountOp::Set, Accounting::Included, input);
        counts
    }

    #[test]
    fn a_step_that_happens_again_is_the_same_entry() {
        let mut tracer = Tracer::default();
        for input in 1..=500 {
            tracer.end_usage("usage".to_owned());
            tracer.usage(Format::Unspecified, &counts(input), UsageEffect::Replaced);
        }
        let [Step::Usage { counts, times: 500, .. }] = &*tracer.trace.steps else {
            panic!("{:?}", tracer.trace)
        };
        assert_eq!(counts.input, Some(500));
        assert_eq!(tracer.trace.omitted, 0);
    }

    #[test]
    fn the_steps_are_bounded_and_a_failure_still_has_room() {
        let mut tracer = Tracer::default();
        for n in 0..100 {
            tracer.end_usage(format!("usage{n}"));
            tracer.usage(Format::Unspecified, &counts(n), UsageEffect::Counted);
        }
        assert_eq!((tracer.trace.steps.len(), tracer.trace.omitted), (MAX_USAGE_STEPS, 52));
        for n in 0..100 {
            tracer.sign(FailureSign::Error(format!("error{n}").into()));
            tracer.failure(None, FailureEffect::Reported);
        }
        assert!(tracer.trace.steps.iter().any(|step| matches!(step, Step::Failure { .. })));
        assert_eq!((tracer.trace.steps.len(), tracer.trace.omitted), (MAX_STEPS, 136));
    }

    #[test]
    fn signs_and_words_are_bounded() {
        let mut tracer = Tracer::default();
        for n in 0..100 {
            tracer.sign(FailureSign::Error(format!("error{n}").into()));
        }
        tracer.end_marker(None, Some(&[b'x'; 1000]));
        tracer.failure(None, FailureEffect::Reported);
        let [Step::End { word: Some(word), .. }, Step::Failure { signs, .. }] =
            &*tracer.trace.steps
        else {
            panic!("{:?}", tracer.trace)
        };
        assert_eq!((word.len(), signs.len()), (MAX_WORD, MAX_SIGNS));
    }

    #[test]
    fn what_a_corrupt_frame_said_is_taken_back() {
        let mut tracer = Tracer::default();
        tracer.usage(Format::Unspecified, &counts(1), UsageEffect::Counted);
        tracer.end_document();
        tracer.usage(Format::Unspecified, &counts(2), UsageEffect::Merged);
        tracer.sign(FailureSign::Event);
        tracer.roll_back();
        tracer.end_document();
        let [Step::Usage { effect: UsageEffect::Counted, .. }, Step::CorruptFrame] =
            &*tracer.trace.steps
        else {
            panic!("{:?}", tracer.trace)
        };
    }
}
