//! The formats, as data: where they keep usage, errors and tasks, and what ends them.
//!
//! | file | holds |
//! | --- | --- |
//! | `paths` | the paths of usage, errors, tasks, end markers and what else an answer tells, in each kind of object |
//! | `counts` | the keys of usage objects |
//! | `format` | the formats' names |
//! | `shapes` | the kinds of objects, which of them extend others, and sets of keys that say something only together |
//! | `words` | what certain values mean, such as `"type": "message_stop"` |
//! | `requests` | what the path of a request implies, and the headers that report usage |
//! | `compiled` | lookups over these tables, built by the compiler |
//!
//! A new provider takes a row or two in these tables, and an answer in the tests:
//!
//! | new is | takes |
//! | --- | --- |
//! | a place of usage | a row of `ROOT` in `paths`, or of `ENVELOPE` if the object may be wrapped |
//! | a key of a count, or of a cost | a row of `USAGE` in `counts` |
//! | a key that wraps whole answers | a row of `ENVELOPE` with [`Action::Envelope`]; its contents take none |
//! | the model, the id or the tier of an answer | a row of `ROOT` with [`Action::Info`] |
//! | a reason to stop | a row of `ROOT` with a [`WordField`] from `Finish` on |
//! | a word for an end, a failure or a task | a row of `WORDS`, and one in `paths` if its key is new |
//! | a text or code of an error | a row of `ERROR` (in the error) or `RESPONSE` (beside it) |
//! | an object that is an error only by all of its keys | a [`KeySet`], and what follows from it in `extract` |
//! | a path or a header | a row of `REQUEST_PATHS`, `USAGE_HEADERS` or `INFO_HEADERS` |
//!
//! A document is never assigned to a format before it is read: all rows apply to each, and keys decide.
//! The tables compile to lookups, and what these cannot hold fails to compile: a key of more than 32
//! bytes, a path that is there twice, the suffix of a request's path of fewer than five.

mod compiled;
mod counts;
mod format;
mod paths;
mod requests;
mod shapes;
mod words;

pub(super) use self::compiled::{Word, effects, request_flags};
pub(super) use self::format::Format;
use self::requests::REQUEST_PATHS;
pub(super) use self::requests::{
    HeadField, HeaderAction, MODEL_PATHS, RequestFlag, header_action, may_be_reporting_header,
};
pub(super) use self::shapes::{KEY_SETS, KeySet, SHAPES, Shape};
pub(super) use self::words::{EVENT_TYPES, WORDS};

use crate::status::WaitingFor;

/// A path, and what to do with the value at its end.
pub(super) type Row = (&'static str, Action);

/// What to do with the value at the end of a path.
// With a tag of its own, instead of one hidden in its parts, a chat answer takes 85 instructions fewer
// (1.8 %).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Action {
    /// Nothing: the path only leads to others.
    None,
    /// A usage object, with the keys of [`Shape::Usage`].
    Usage(UsageSource),
    /// A count in a usage object; or beside others at a place where something else has to say that
    /// they are usage, see [`Effect::ConfirmUsage`].
    Count(TokenType, CountOp, Accounting),
    /// A count outside of any usage object.
    StandaloneCount(TokenType, CountOp, UsageSource),
    /// A text that identifies the format or the event; see [`WORDS`].
    Word(WordField),
    /// A text that explains an error, with its rank: of several the highest stays.
    ErrorText(ErrorPart, u8),
    /// A code, as a number or a text.
    Code(CodeField),
    /// An error if it says something: an object with texts as in [`Shape::Error`], or a text.
    Error,
    /// One of a list of errors, which alone may be the answer.
    ListedError,
    /// A boolean.
    Flag(Flag),
    /// A key that means something if its value is not null.
    Marker(Marker),
    /// An object that may be a whole answer in itself, as far as its usage is concerned.
    Envelope,
    /// An envelope that may also say whether the agent failed.
    Response,
    /// An object that says something only if it is a task: of A2A, or an event of one, or an
    /// interaction of Gemini's.
    Task,
    /// The id of a task, perhaps, or of the answer.
    Id(IdField),
    /// Something that the answer says of itself, beside its usage.
    Info(InfoField),
    /// How many web searches are billed. The largest number stays.
    WebSearches,
    /// A part of a count, in a usage object.
    Part(UsagePart),
    /// What the call has cost, in a usage object: a number, in this unit.
    Cost(CostUnit),
    /// A document as a text in base64.
    Base64Document,
}

impl Action {
    /// Whether the beginning of an object here means something.
    pub(super) const fn has_begin(self) -> bool {
        self.has_end() || matches!(self, Self::Marker(_) | Self::Word(WordField::Status))
    }

    /// Whether the end of an object here means something.
    pub(super) const fn has_end(self) -> bool {
        matches!(
            self,
            Self::Usage(_) | Self::Response | Self::Task | Self::Error | Self::ListedError
        )
    }

    /// The keys that an object here has, besides those on longer paths.
    pub(super) const fn shape(self) -> Option<Shape> {
        match self {
            Self::Usage(_) => Some(Shape::Usage),
            Self::Error | Self::ListedError => Some(Shape::Error),
            Self::Envelope => Some(Shape::Envelope),
            Self::Response => Some(Shape::Response),
            Self::Task => Some(Shape::Task),
            _ => None,
        }
    }
}

/// The path at whose end this is done, for people. The first one, if there are several.
#[cold]
pub(super) fn path_of(action: Action) -> &'static str {
    let mut rows = SHAPES.iter().flat_map(|(_, rows, _)| *rows);
    rows.find(|row| row.1 == action).map_or("", |row| row.0)
}

/// What a count counts, in a provider's own terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenType {
    Input,
    Output,
    Total,
    CacheRead,
    CacheWrite,
    Reasoning,
    /// Tokens of tool results, which no provider includes in the input.
    ToolInput,
    /// Tokens of audio, which some providers include in the input.
    Audio,
}

/// A part of the tokens that were written to a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UsagePart {
    /// What is kept for five minutes.
    CacheWrite5m,
    /// What is kept for an hour.
    CacheWrite1h,
    /// What is kept for as long as another key beside it says, in a list of such parts.
    Listed,
}

/// How a number changes its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CountOp {
    /// It replaces the count, unless it is zero and the count is not.
    Set,
    /// It applies only if there is no count yet, or a zero: for other spellings and poorer sources.
    SetIfAbsent,
    /// It is added.
    Add,
    /// The larger of both stays.
    Max,
    /// Any value adds one.
    Increment,
}

/// What the name of a count implies about the counts beside it.
///
/// The values are bits, which [`TokenCounts`](super::extract::TokenCounts) collects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accounting {
    /// The count is included in the input or output that it is part of.
    Included = 0,
    /// An input that does not include the cached tokens, if these are reported beside it.
    InputExcludesCache = 1,
    /// Cached tokens that may or may not be included; the input's name and the total decide.
    CacheBesideInput = 2,
    /// Reasoning that is not included in the output.
    OutputExcludesReasoning = 4,
    /// Reasoning that is neither included in the output nor in the total.
    TotalExcludesReasoning = 32,
}

/// Where usage was found, and how it relates to usage found elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UsageSource {
    /// Usage of a higher rank replaces usage of a lower rank, before and after it.
    pub(super) rank: u8,
    /// How it joins earlier usage of the same rank.
    pub(super) merge: Merge,
    /// The format of the response, unless something else identifies it.
    pub(super) format: Format,
}

/// How a usage object joins earlier ones of the same rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merge {
    /// It replaces them: the latest has the running total.
    Replace,
    /// Each of its counts replaces the earlier one, and so do those of all that follow.
    PerField,
    /// They add up: there is one for each call of a model.
    Sum,
    /// They add up if their document is the event of a call (ADK), and replace each other if not.
    SumOfEvents,
}

/// What a text says about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorPart {
    Message,
    /// A message whose key says that there was an error, which a status beside it has to confirm.
    ErrorMessage,
    Code,
}

/// A code that means failure unless it is zero, if something beside it says so too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CodeField {
    /// `code`: of a failure where `detail.logid` is beside it (Coze).
    Code,
    /// `error_code`: a failure with a message of its own, with nothing else, or in an event of ADK.
    ErrorCode,
    /// `base_resp.status_code`: a failure by itself (MiniMax).
    StatusCode,
    /// `statusCode`: a failure from 400 on, where all is an HTTP response as a document (Lambda).
    HttpStatus,
    /// `ErrorCode` at the end of a Lambda function's stream: a failure by itself.
    InvokeError,
    /// `errorCode`: a failure with nothing else, or in an event of ADK.
    EventErrorCode,
}

/// What an answer says of itself, beside its usage. Of a text the first that is not empty stays, so that
/// the events of a stream, which repeat it, need not be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InfoField {
    /// The model that answered.
    Model,
    /// The id of the answer.
    ResponseId,
    /// The tier that served it. `auto`, which is what was asked for, gives way to any other.
    ServiceTier,
}

/// The unit in which an answer tells what it has cost: so many decimal places are added to the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CostUnit {
    Dollar = 0,
    /// 10⁻¹⁰ US dollars (xAI).
    Tick = 10,
}

/// What names a task, and the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum IdField {
    /// The answer's own, and the task's if it has none of the others.
    AnswerId,
    Id,
    RunId,
    TaskId,
}

/// A field whose values are looked up in [`WORDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordField {
    /// The type of the document or the event.
    Type,
    /// The type of an object in it that may be a whole answer.
    AnswerType,
    Object,
    /// The status of an answer or a task, in any case of letters, with `-` or `_`.
    Status,
    /// The kind of an A2A object.
    Kind,
    /// The member that names an event.
    Event,
    EventType,
    /// Whether there was success, as a text.
    Success,
    /// What a usage object counts.
    UsageType,
    /// How long a part of what was written to a cache is kept.
    CacheTtl,
    /// Why the model stopped, from here on: these words are also kept.
    Finish,
    CohereFinish,
    ChatFinish,
    GeminiFinish,
    DashScopeFinish,
    WatsonxStop,
    ConverseStop,
    SglangFinish,
    KoboldFinish,
}

impl WordField {
    pub(super) const COUNT: usize = Self::KoboldFinish as usize + 1;

    /// Whether its words say why the model stopped.
    #[inline]
    pub(super) const fn is_finish_reason(self) -> bool {
        self as u8 >= Self::Finish as u8
    }
}

/// What a boolean means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    Done,
    IsError,
    /// There was success.
    Ok,
    /// The event is a part of another one to come.
    Partial,
    /// No event follows in the stream of a task.
    Final,
}

/// What the presence of a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Choices,
    Choice,
    Candidates,
    Finish,
    CreatedAt,
    JsonRpc,
    /// Who wrote the event of a call that names itself (ADK), and what names it.
    Author,
    InvocationId,
    /// The figures at the root or in `data` are usage (Dify).
    WorkflowRunId,
    /// Scores, of a reranking.
    Score,
    /// Where a prediction is fetched (Replicate).
    UrlsGet,
    /// What makes a code an error (Coze).
    LogId,
    /// Reasoning is outside of all other figures (Vercel's gateway).
    MarketCost,
    /// A failure, by itself.
    Failure,
    /// One of the parts of what was written to a cache, each with its lifetime.
    CachePart,
}

/// What follows from a value of a [`WordField`], or from the type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The response is of this format.
    SetFormat(Format),
    /// The response is of this format if usage is found and nothing else identifies it.
    SuggestFormat(Format),
    /// The response is a stream of this format, which ends with a marker.
    StartStream(Format),
    /// The same, if it is framed as a stream.
    ExpectEnd(Format),
    /// The stream ends with this event.
    EndStream,
    /// The model has finished. Usage may follow.
    FinishModel,
    /// The agent failed, with this code unless the document has a better one.
    Fail(&'static str),
    /// There was no success.
    NoSuccess,
    /// The stream ends with this event, and the agent failed.
    FailStream(&'static str),
    /// The object is a task.
    Task,
    /// The object is a task if its status is an object (A2A).
    TaskOfA2a,
    /// The status of the object.
    Status(Status),
    /// The event carries nothing.
    Ping,
    /// The event is about a step of the run. One that fails may be caught.
    Step,
    /// The counts that stand outside of any usage object are usage of this format.
    ConfirmUsage(Format),
    /// The usage object at hand counts something other than tokens.
    DiscardUsage,
    /// The part of what was written to a cache that is at hand is this count.
    CachePart(UsagePart),
    /// Not a reason to stop, though in the place of one.
    NoReason,
}

/// What the status of a task says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It failed. What is no task may have failed as well, if more says so.
    Failed(FailureWord),
    /// It was stopped. Of what is no task this says nothing.
    Stopped(StopWord),
    /// It has not ended.
    Waiting(WaitingFor),
}

/// A word for failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureWord {
    Failed,
    Failure,
    Error,
    Errored,
    Aborted,
    TimedOut,
}

/// A word for the end of what did not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopWord {
    Cancelled,
    Canceled,
    Rejected,
    Expired,
}

impl Status {
    /// The code of the failure that it is.
    pub(super) const fn code(self) -> Option<&'static str> {
        Some(match self {
            Self::Failed(FailureWord::Failed) => "failed",
            Self::Failed(FailureWord::Failure) => "failure",
            Self::Failed(FailureWord::Error) => "error",
            Self::Failed(FailureWord::Errored) => "errored",
            Self::Failed(FailureWord::Aborted) => "aborted",
            Self::Failed(FailureWord::TimedOut) => "timed_out",
            Self::Stopped(StopWord::Cancelled) => "cancelled",
            Self::Stopped(StopWord::Canceled) => "canceled",
            Self::Stopped(StopWord::Rejected) => "rejected",
            Self::Stopped(StopWord::Expired) => "expired",
            Self::Waiting(_) => return None,
        })
    }
}

/// What a value is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Exact(&'static str),
    Not(&'static str),
    Prefix(&'static str),
}
