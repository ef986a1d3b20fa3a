//! What the caller of an agent sees, whatever its client: the same type for all of them,
//! so that two clients can be compared.

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

/// All that a caller sees of a call.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    Answer(Head, Vec<Event>),
    Failure(Failure),
    /// The caller went away before there was something to see.
    Nothing,
}

/// The head of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    /// Nothing where the kind of client does not tell it.
    pub(crate) version: Option<Version>,
    pub(crate) headers: HeaderMap,
    /// What else a kind of client tells of it: URL, extensions, the agent's address.
    pub(crate) more: BTreeMap<&'static str, String>,
}

/// Something of a body that is seen.
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    /// The body, before it is polled for the first time and after each frame.
    Stands {
        hint: Option<(u64, Option<u64>)>,
        is_end: Option<bool>,
    },
    Data(Bytes),
    Trailers(HeaderMap),
    Fails(Failure),
    Ends,
    /// The caller would not wait any longer.
    Elapsed,
}

/// An error with its causes, each with what its type tells of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure(pub(crate) Vec<String>);

impl Failure {
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut levels = Vec::new();
        let mut next = Some(error);
        while let Some(error) = next {
            // A body of reqwest that goes through another one has that among the causes of
            // its failure. All else of them is the same.
            let is_wrapper = error.downcast_ref().is_some_and(reqwest::Error::is_body);
            if !is_wrapper || levels.is_empty() {
                levels.push(format!("{error} {:?}", traits(error)));
            }
            next = error.source();
        }
        Self(levels)
    }
}

/// What can be asked of an error, where that is so.
fn traits(error: &(dyn Error + 'static)) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut say = |name, holds: bool| {
        if holds {
            found.push(name);
        }
    };
    if let Some(error) = error.downcast_ref::<legacy::Error>() {
        say("legacy::Error", true);
        say("connect", error.is_connect());
    } else if let Some(error) = error.downcast_ref::<hyper::Error>() {
        say("hyper::Error", true);
        say("canceled", error.is_canceled());
        say("closed", error.is_closed());
        say("incomplete", error.is_incomplete_message());
        say("parse", error.is_parse());
        say("timeout", error.is_timeout());
        say("user", error.is_user());
    } else if let Some(error) = error.downcast_ref::<io::Error>() {
        say("io::Error", true);
        say("reset", error.kind() == io::ErrorKind::ConnectionReset);
        say("refused", error.kind() == io::ErrorKind::ConnectionRefused);
    } else if error.is::<Elapsed>() {
        say("Elapsed", true);
    } else if let Some(error) = error.downcast_ref::<ConnectorError>() {
        say("ConnectorError", true);
        say("timeout", error.is_timeout());
        say("io", error.is_io());
        say("user", error.is_user());
        say("other", error.is_other());
        say("transient", error.as_other() == Some(ErrorKind::TransientError));
        say("connection", error.connection_metadata().is_some());
    } else if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        say("reqwest::Error", true);
        say("body", error.is_body());
        say("builder", error.is_builder());
        say("connect", error.is_connect());
        say("decode", error.is_decode());
        say("redirect", error.is_redirect());
        say("request", error.is_request());
        say("status", error.is_status() || error.status().is_some());
        say("timeout", error.is_timeout());
        say("url", error.url().is_some());
    } else if let Some(error) = error.downcast_ref::<reqwest_middleware::Error>() {
        say("reqwest_middleware::Error", true);
        say("body", error.is_body());
        say("builder", error.is_builder());
        say("connect", error.is_connect());
        say("decode", error.is_decode());
        say("middleware", error.is_middleware());
        say("redirect", error.is_redirect());
        say("request", error.is_request());
        say("status", error.is_status() || error.status().is_some());
        say("timeout", error.is_timeout());
        say("url", error.url().is_some());
    }
    found
}

/// An answer whose body is still to be read.
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Box<dyn Reading>,
}

/// A body, as a kind of client gives it.
pub(crate) trait Reading: Send {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Event>> + Send + '_>>;

    /// What it says of itself before it is read on.
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

/// How the caller of a client reads an answer, where there are two ways.
#[derive(Clone, Copy)]
pub(crate) enum By {
    /// The client's own: `Response::chunk` of reqwest, `ByteStream::next` of the SDK.
    Chunks,
    /// As an `http_body::Body`, frame by frame.
    Frames,
}

/// What a caller does with an answer.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Reads {
    /// All of the body, to its end.
    All,
    /// As many pieces of it; the body is dropped then.
    Pieces(usize),
    /// The length that was announced; the body is dropped then.
    Length(usize),
}

/// Longer than any client waits that is told to give up. It is not waited for.
const FOR_EVER: Duration = Duration::from_secs(3600);

impl Answer {
    /// Reads the answer so, and tells the agent how far it is.
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
