//! The kinds of objects that have the same keys wherever they are, and what is known of them.
//!
//! | shape | is |
//! | --- | --- |
//! | `Root` | a whole answer, or one event of a stream |
//! | `Response` | an object in the root that may be a whole answer, with its failure or its task: `result`, `data`, `response` |
//! | `Task` | an object that says something only if it is a task: of A2A, or an interaction of Gemini's |
//! | `Envelope` | an object that may hold a whole answer, as far as usage is concerned: at most three, one in another |
//! | `Usage`, `Error` | a usage object, an error |
//! | `Chunk`, `Metadata`, `Completion` | payloads of AWS event streams |
//!
//! A shape that extends another has all of its paths, except for the keys that it has itself: `Root`
//! extends `Response`, which extends `Envelope`. So what counts in a wrapper counts at the root, too,
//! and a wrapper needs one row, the one that says what it is. What holds content has no shape.

use super::Row;
use super::counts::USAGE;
use super::paths::{CHUNK, COMPLETION, ENVELOPE, ERROR, METADATA, RESPONSE, ROOT, TASK};

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::usage) enum Shape {
    Root = 1,
    Chunk,
    Metadata,
    Usage,
    Error,
    Envelope,
    Response,
    Task,
    Completion,
}

/// The paths of each shape, and the shape that it extends. In the order of their numbers.
pub(in crate::usage) const SHAPES: &[(Shape, &[Row], Option<Shape>)] = &[
    (Shape::Root, ROOT, Some(Shape::Response)),
    (Shape::Chunk, CHUNK, None),
    (Shape::Metadata, METADATA, None),
    (Shape::Usage, USAGE, None),
    (Shape::Error, ERROR, None),
    (Shape::Envelope, ENVELOPE, None),
    (Shape::Response, RESPONSE, Some(Shape::Envelope)),
    (Shape::Task, TASK, Some(Shape::Envelope)),
    (Shape::Completion, COMPLETION, None),
];

/// A set of keys. Whether an object has no others with a value may decide whether it is an error: words
/// such as `failed` also appear in the results of an agent's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::usage) enum KeySet {
    /// A status and what explains it.
    Status = 1,
    /// A code or message of an error, and what identifies the request.
    Error = 2,
    /// The error of a Lambda function.
    Lambda = 4,
    /// An HTTP response as a document, as a Lambda function returns it to a proxy.
    Proxy = 8,
    /// A list of errors, with no result (GraphQL).
    Errors = 16,
    /// None at all.
    Nothing = 32,
}

/// The keys of each set. They are those of [`Shape::Root`] and [`Shape::Response`].
#[rustfmt::skip]
pub(in crate::usage) const KEY_SETS: &[(KeySet, &[&str])] = &[
    (KeySet::Status, &[
        "status", "message", "detail", "code", "error", "id", "request_id", "requestId", "run_id",
        "task_id", "trace_id", "timestamp", "created_at", "createdAt",
    ]),
    (KeySet::Error, &[
        "error_code", "errorCode", "error_message", "errorMessage", "error_msg", "id", "request_id",
        "requestId", "trace_id", "log_id", "timestamp", "created_at", "createdAt",
    ]),
    (KeySet::Lambda, &[
        "errorMessage", "errorType", "requestId", "request_id", "stackTrace", "trace",
    ]),
    (KeySet::Proxy, &[
        "statusCode", "headers", "multiValueHeaders", "body", "cookies", "isBase64Encoded",
    ]),
    (KeySet::Errors, &[
        "errors", "error", "extensions", "status", "title", "type", "traceId", "data", "result",
    ]),
];
