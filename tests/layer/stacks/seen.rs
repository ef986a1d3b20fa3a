//! What the caller of an agent sees, in one type for all clients, so that they can be
//! compared.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::retry::ErrorKind;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy;
use tower::BoxError;
use tower::timeout::error::Elapsed;

use super::agent::ScriptedAgent;

/// Everything that a caller sees of a call.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    Answer(Head, Vec<Event>),
    Failure(Failure),
    /// The caller went away before there was anything to see.
    Nothing,
}

/// The head of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    /// `None` if this kind of client does not expose it.
    pub(crate) version: Option<Version>,
    pub(crate) headers: HeaderMap,
    /// What else a kind of client exposes: URL, extensions, the agent's address.
    pub(crate) more: BTreeMap<&'static str, String>,
}

/// Something that a caller sees of a body.
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    /// The state of the body, before the first poll and after each frame.
    Stands {
        hint: Option<(u64, Option<u64>)>,
        is_end: Option<bool>,
    },
    Data(Bytes),
    Trailers(HeaderMap),
    Fails(Failure),
    Ends,
    /// The caller stopped waiting.
    Elapsed,
}

/// An error with its causes, each with the properties that its type exposes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure(pub(crate) Vec<String>);

impl Failure {
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut levels = Vec::new();
        let mut next = Some(error);
        while let Some(error) = next {
            // A reqwest body that wraps another one adds an error to the causes. Everything
            // else is the same.
            let is_wrapper = error.downcast_ref().is_some_and(reqwest::Error::is_body);
            if !is_wrapper || levels.is_empty() {
                levels.push(format!("{error} {:?}", traits(error)));
            }
            next = error.source();
        }
        Self(levels)
    }
}

/// The predicates that hold for an error, such as `is_timeout`.
fn traits(error: &(dyn Error + 'static)) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut add = |name, holds: bool| {
        if holds {
            found.push(name);
        }
    };
    if let Some(error) = error.downcast_ref::<legacy::Error>() {
        add("legacy::Error", true);
        add("connect", error.is_connect());
    } else if let Some(error) = error.downcast_ref::<hyper::Error>() {
        add("hyper::Error", true);
        add("canceled", error.is_canceled());
        add("closed", error.is_closed());
        add("incomplete", error.is_incomplete_message());
        add("parse", error.is_parse());
        add("timeout", error.is_timeout());
        add("user", error.is_user());
    } else if let Some(error) = error.downcast_ref::<io::Error>() {
        add("io::Error", true);
        add("reset", error.kind() == io::ErrorKind::ConnectionReset);
        add("refused", error.kind() == io::ErrorKind::ConnectionRefused);
    } else if error.is::<Elapsed>() {
        add("Elapsed", true);
    } else if let Some(error) = error.downcast_ref::<ConnectorError>() {
        add("ConnectorError", true);
        add("timeout", error.is_timeout());
        add("io", error.is_io());
        add("user", error.is_user());
        add("other", error.is_other());
        add("transient", error.as_other() == Some(ErrorKind::TransientError));
        add("connection", error.connection_metadata().is_some());
    } else if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        add("reqwest::Error", true);
        add("body", error.is_body());
        add("builder", error.is_builder());
        add("connect", error.is_connect());
        add("decode", error.is_decode());
        add("redirect", error.is_redirect());
        add("request", error.is_request());
        add("status", error.is_status() || error.status().is_some());
        add("timeout", error.is_timeout());
        add("url", error.url().is_some());
    } else if let Some(error) = error.downcast_ref::<reqwest_middleware::Error>() {
        add("reqwest_middleware::Error", true);
        add("body", error.is_body());
        add("builder", error.is_builder());
        add("connect", error.is_connect());
        add("decode", error.is_decode());
        add("middleware", error.is_middleware());
        add("redirect", error.is_redirect());
        add("request", error.is_request());
        add("status", error.is_status() || error.status().is_some());
        add("timeout", error.is_timeout());
        add("url", error.url().is_some());
    }
    found
}

/// An answer whose body is still to be read.
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Box<dyn Reading>,
}

/// A body as a kind of client returns it.
pub(crate) trait Reading: Send {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Event>> + Send + '_>>;

    /// The state of the body before the next poll.
    fn stands(&self) -> Event;
}

impl<B> Reading for B
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + Send,
{
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Event>> + Send + '_>> {
        Box::pin(async {
            let frame = self.frame().await?.map(Frame::into_data);
            Some(match frame {
                Ok(Ok(data)) => Event::Data(data),
                Ok(Err(frame)) => Event::Trailers(frame.into_trailers().ok()?),
                Err(error) => Event::Fails(Failure::of(&*error.into())),
            })
        })
    }

    fn stands(&self) -> Event {
        let hint = self.size_hint();
        let hint = Some((hint.lower(), hint.upper()));
        Event::Stands { hint, is_end: Some(self.is_end_stream()) }
    }
}

/// How the caller reads an answer, where a client offers two ways.
#[derive(Clone, Copy)]
pub(crate) enum By {
    /// With the client's method: `Response::chunk` of reqwest, `ByteStream::next` of the SDK.
    Chunks,
    /// As an `http_body::Body`, frame by frame.
    Frames,
}

/// What a caller does with an answer.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Reads {
    /// Reads the whole body, to its end.
    All,
    /// Reads this many chunks, then drops the body.
    Pieces(usize),
    /// Reads this many bytes, the announced length, then drops the body.
    Length(usize),
}

/// Longer than the timeout of any client. The clock is paused, so no test waits for it.
const FOR_EVER: Duration = Duration::from_secs(3600);

impl Answer {
    /// Reads the answer as requested, and reports the progress to the agent.
    pub(crate) async fn read(mut self, reads: Reads, agent: &ScriptedAgent) -> Seen {
        let mut events = vec![self.body.stands()];
        let (mut pieces, mut bytes) = (0, 0);
        let is_done = |pieces, bytes| match reads {
            Reads::All => false,
            Reads::Pieces(enough) => pieces >= enough,
            Reads::Length(enough) => bytes >= enough,
        };
        while !is_done(pieces, bytes) {
            let event = tokio::time::timeout(FOR_EVER, self.body.next()).await;
            let event = event.unwrap_or(Some(Event::Elapsed)).unwrap_or(Event::Ends);
            let read = if let Event::Data(data) = &event { data.len() } else { 0 };
            let is_over = matches!(event, Event::Fails(_) | Event::Ends | Event::Elapsed);
            events.push(event);
            if is_over {
                break;
            }
            events.push(self.body.stands());
            (pieces, bytes) = (pieces + 1, bytes + read);
            agent.was_read(read);
        }
        Seen::Answer(self.head, events)
    }
}
