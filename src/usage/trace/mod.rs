//! What a reader did with a response, and why, for people who ask.
//!
//! A [`Trace`] is plain data. It is written while the body is read, by the code that counts tokens
//! and finds failures, so that it cannot tell another story than the [`Reading`](super::Reading).
//! A reader that is not [`traced`](super::UsageReader::traced) has none.
//!
//! Only what lies on a known path is in it. Everything else in a body is content, is skipped
//! without being parsed, and is not known to the reader at all.
//!
//! The list of steps is bounded: a step that happens again is the same entry, and what has no room
//! is only counted.

mod tracer;

pub(super) use self::tracer::Tracer;

use crate::status::{TaskId, WaitingFor};

/// What a reader did with one response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trace {
    /// What was found and what became of it, in the order in which it was first found. 64 entries
    /// at most.
    pub steps: Vec<Step>,
    /// How many steps are not in the list, because it was full.
    pub omitted: u64,
    /// How the counts became tokens, or why there are none. Empty until the reading is finished.
    pub token_rules: Vec<TokenRule>,
    /// What decided the outcome. Nothing until the reading is finished.
    pub outcome_rule: Option<OutcomeRule>,
}

/// Something that a reader found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// A usage object, or a count that stands outside of any.
    #[non_exhaustive]
    Usage {
        /// Where it is, as in `result.message.usage`. `[]` is an element of an array.
        path: Box<str>,
        /// The name of the format that keeps its usage there, if only one does.
        format: Option<&'static str>,
        /// The counts, as they were reported last.
        counts: ReportedCounts,
        /// What became of them.
        effect: UsageEffect,
        /// How often this happened.
        times: u64,
    },
    /// A document that reports a failure, or that explains an error status.
    #[non_exhaustive]
    Failure {
        /// By what it reports one. Empty if it only explains the status.
        signs: Vec<FailureSign>,
        /// The provider's own code.
        code: Option<Box<str>>,
        /// The text that explains it.
        message: Option<Box<str>>,
        /// What became of it.
        effect: FailureEffect,
    },
    /// A document that belongs to a task.
    #[non_exhaustive]
    Task {
        /// Where its status is, and the word that stands there.
        status: Option<(Box<str>, Box<str>)>,
        /// What it waits for, if it has not ended.
        waiting_for: Option<WaitingFor>,
        /// Its id.
        id: Option<TaskId>,
    },
    /// The end marker of a stream.
    #[non_exhaustive]
    End {
        /// Where it is. Nothing if the framing has it.
        path: Option<Box<str>>,
        /// The word or text that it is.
        word: Option<Box<str>>,
    },
    /// A frame with a wrong checksum: nothing in it counts.
    CorruptFrame,
}

/// The counts of a usage object in its provider's own terms: whether one includes another is not
/// settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReportedCounts {
    /// Tokens of the request.
    pub input: Option<u64>,
    /// Tokens of the answer.
    pub output: Option<u64>,
    /// All tokens.
    pub total: Option<u64>,
    /// Tokens read from a cache.
    pub cache_read: Option<u64>,
    /// Tokens written to a cache.
    pub cache_write: Option<u64>,
    /// Tokens of reasoning.
    pub reasoning: Option<u64>,
    /// Tokens of the results of tools.
    pub tool_input: Option<u64>,
    /// Tokens of audio.
    pub audio: Option<u64>,
}

/// What became of the counts of a usage object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UsageEffect {
    /// They were the first, and count.
    Counted,
    /// They replaced those from a place that says less, such as one step's beside a sum.
    Outranked,
    /// They replaced earlier ones from as good a place: the latest has the running total.
    Replaced,
    /// Each of them replaced the earlier count of its kind.
    Merged,
    /// They were added: there is one object for each call of a model.
    Added,
    /// They are ignored: counts from a better place are known.
    IgnoredOutranked,
    /// They are ignored: all are zero, and earlier ones are not.
    IgnoredZeros,
    /// They are ignored: the object counts something other than tokens.
    IgnoredNotTokens,
    /// They are ignored: the event is a part of another one to come.
    IgnoredPartial,
    /// The object has no count that is known.
    Empty,
}

/// By what a document reports a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureSign {
    /// There is an error at this path, and it says something.
    Error(Box<str>),
    /// At this path is this word.
    Word(Box<str>, Box<str>),
    /// At this path is this word, which is the status of a task.
    TaskStatus(Box<str>, Box<str>),
    /// At this path is this word, which is a status beside the text of an error, or beside nothing
    /// that is an answer.
    Status(Box<str>, Box<str>),
    /// At this path is `false`, where `true` means success.
    NoSuccess(Box<str>),
    /// At this path is `true`, which means failure.
    Flag(Box<str>),
    /// There is something at this path, which only a failure has.
    Present(Box<str>),
    /// A code, or a text that tells of an error, where nothing else is an answer.
    Code,
    /// The event itself is that of an error, or the frame that of an exception.
    Event,
    /// A response header says so.
    Header,
    /// The status with which the protocol ends a call.
    ProtocolStatus(StatusPlace),
}

/// Where the status is with which a protocol ends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatusPlace {
    /// In the headers of the response.
    Head,
    /// In the trailers.
    Trailers,
    /// In the last frame of the body.
    Body,
}

/// What became of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureEffect {
    /// It is the failure of the response.
    Reported,
    /// It explains the status of the response.
    Explains,
    /// It is ignored: a failure that was reported earlier stands.
    IgnoredLater,
    /// It is ignored: a step of the run failed, which the run may have caught.
    IgnoredStep,
    /// It is ignored: it is about an element of a list, which is the answer.
    IgnoredInList,
    /// It is ignored: the response is a file of answers, and the failure is that of another call.
    IgnoredOfOthers,
}

/// A rule by which counts became tokens, or why there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenRule {
    /// Cached tokens are part of the input: input and output add up to the total.
    CacheInInputByTotal,
    /// Cached tokens are part of the input: their names say so.
    CacheInInputByName,
    /// Cached tokens were added to the input: only then do input and output add up to the total.
    CacheAddedByTotal,
    /// Cached tokens were added to the input: their names say that they are beside it.
    CacheAddedByName,
    /// Reasoning is part of the output.
    ReasoningInOutput,
    /// Reasoning was added to the output: its name says that it is beside it.
    ReasoningAddedByName,
    /// Reasoning was added to the output: only then do input and output add up to the total.
    ReasoningAddedByTotal,
    /// Reasoning was added to the output and to the total: what is beside it says that neither has
    /// it.
    ReasoningAddedToTotal,
    /// Tokens of audio were added to the input: only then do input and output add up to the total.
    AudioAdded,
    /// Tokens of the results of tools were added to the input, which never includes them.
    ToolInputAdded,
    /// The input is what is left of the total.
    InputFromTotal,
    /// The output is what is left of the total.
    OutputFromTotal,
    /// There is no output: none was reported, nor a total.
    NoOutput,
    /// There is no input: none was reported, nor a total.
    NoInput,
    /// The total is the sum of input and output: none was reported.
    TotalIsSum,
    /// The total is the sum of input and output: the reported one is less.
    TotalRaised,
    /// The total is all input: nothing was generated.
    TotalIsInput,
    /// Input and output are not known: only a total was reported.
    OnlyTotal,
    /// The counts of several calls were added, each by its own rules.
    Summed,
    /// The counts are those of the response's headers: the body has none.
    FromHeaders,
    /// Headers of the response filled in what the body leaves out.
    FilledInFromHeaders,
    /// Nothing was counted: there is no usage on a known path.
    NoneFound,
    /// Nothing was counted: of what was found, nothing is tokens of input, of output, or of both.
    NoneUsable,
    /// Nothing was counted: the request asks for something that uses no tokens, by its path.
    NoneByPath,
    /// Nothing was counted: the response is a file, by the path of its request.
    NoneInFile,
    /// Nothing was counted: the body could not be decoded.
    NoneDecoded,
    /// Nothing was counted: the body is no documents, or announces something else, and was not
    /// read.
    NoneRead,
}

/// What decided the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutcomeRule {
    /// Success: the end marker was read, and no failure.
    EndMarker,
    /// Success: the body was read to its end, and reports no failure.
    Complete,
    /// Success: the body was dropped, but it was complete.
    DroppedComplete,
    /// The protocol has a status or a code of its own for the end of a call, which says so.
    ProtocolStatus,
    /// The status of HTTP is an error.
    HttpStatus(u16),
    /// The agent reported a failure.
    Reported,
    /// There is no answer in a response where there has to be one.
    NoAnswer(NoAnswer),
    /// The body stops where a response of its kind cannot stop.
    Incomplete(Missing),
    /// The body was dropped before its end.
    Dropped,
    /// The transport failed.
    Failed,
    /// Time ran out.
    TimedOut,
}

/// What a response has in place of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoAnswer {
    /// Nothing at all.
    Nothing,
    /// Signs of life, such as comments and pings, or an end marker.
    SignsOfLife,
    /// A list of choices that is empty.
    NoChoices,
    /// A page for people.
    Page,
}

/// What an incomplete response lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// The end marker of its stream.
    EndMarker,
    /// The rest of a document or a frame.
    Rest,
    /// The status with which its protocol ends a call.
    ProtocolStatus,
}
