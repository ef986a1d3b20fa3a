//! Data frames whose buffers have several slices, some of which may not be seen without consuming
//! them. The caller gets all bytes; what is recorded is right or nothing.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use tower::{Service as _, service_fn};
use tower_agent_status::status::{AgentState, AgentStatus, Outcome, TokenUsage};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::usage::{End, RequestHint, ResponseHead, UsageReader};
use tower_agent_status::{Layer as _, StatusLayer};

use crate::support::{AGENT, SESSION, builder, of_session, stored};

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";

/// Data that is scattered over several slices.
struct Scattered {
    slices: VecDeque<Bytes>,
    /// Whether `chunks_vectored` returns all slices, or only the first, as a `Buf` may.
    shows_all: bool,
}

impl Scattered {
    fn new(text: &str, slices: usize, shows_all: bool) -> Self {
        let size = text.len().div_ceil(slices);
        let slices = text.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
        Self { slices, shows_all }
    }
}

impl Buf for Scattered {
    fn remaining(&self) -> usize {
        self.slices.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.slices.front().map_or(&[], |slice| slice)
    }

    fn chunks_vectored<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        let shown = if self.shows_all { self.slices.len() } else { 1 };
        let pairs = out.iter_mut().zip(&self.slices).take(shown);
        pairs.map(|(out, slice)| *out = IoSlice::new(slice)).count()
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(first) = self.slices.front_mut()
            && count > 0
        {
            let step = count.min(first.len());
            first.advance(step);
            count -= step;
            if first.is_empty() {
                self.slices.pop_front();
            }
        }
    }
}

/// A body of these chunks.
struct Chunks<B>(VecDeque<B>);

impl<B: Buf + Unpin> Body for Chunks<B> {
    type Data = B;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|data| Ok(Frame::data(data))))
    }
}

/// Calls an agent that answers with these chunks, and reads them all. Returns the bytes that the
/// caller reads, and the agent's status.
async fn call<B: Buf + Unpin>(
    status: u16,
    content_type: &'static str,
    chunks: impl IntoIterator<Item = B>,
) -> (String, AgentStatus) {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    let mut body = Some(Chunks(chunks.into_iter().collect()));
    let mut service = StatusLayer::new(&tracker, AGENT).layer(service_fn(|_: Request<()>| {
        let response = Response::builder().status(status).header("content-type", content_type);
        std::future::ready(response.body(body.take().unwrap()))
    }));
    let response = service.call(of_session(SESSION, Request::new(()))).await.unwrap();
    let mut body = Box::pin(response.into_body());
    let mut cx = Context::from_waker(Waker::noop());
    let mut received = Vec::new();
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
        let mut data = frame.unwrap().into_data().ok().unwrap();
        received.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    drop(body);
    stored(&tracker, &store, SESSION).await;
    let agent = tracker.status(SESSION).unwrap().agent(AGENT).unwrap().clone();
    (String::from_utf8(received).unwrap(), agent)
}

const ANSWER: &str = "{\"success\": true, \"token_usage\": {\"input_tokens\": 1500, \"output_tokens\": 500, \"total_tokens\": 2000}}";

#[tokio::test]
async fn data_in_several_slices_is_read_across_them_and_passed_on_whole() {
    let figures = Some(TokenUsage::new(1500, 500));
    for slices in [1, 2, 5, 16, 17, 40, ANSWER.len()] {
        let (received, agent) = call(200, JSON, [Scattered::new(ANSWER, slices, true)]).await;
        assert_eq!(received, ANSWER);
        assert_eq!((agent.state, agent.token_usage()), (AgentState::Success, figures), "{slices}");
    }
    let (one, other) = ANSWER.split_at(30);
    let mut deque: VecDeque<u8> = other.bytes().collect();
    one.bytes().rev().for_each(|byte| deque.push_front(byte));
    assert!(!deque.as_slices().1.is_empty());
    let (received, agent) = call(200, JSON, [deque]).await;
    assert_eq!((received.as_str(), agent.token_usage()), (ANSWER, figures));
    let chain = Bytes::from(one).chain(Scattered::new(other, 40, true));
    let (received, agent) = call(200, JSON, [chain]).await;
    assert_eq!((received.as_str(), agent.token_usage()), (ANSWER, figures));
}

/// The class of the agent's error, or `success`.
fn class(agent: &AgentStatus) -> &str {
    agent.error.as_ref().map_or("success", |error| &error.class)
}

#[tokio::test]
async fn data_that_cannot_be_seen_in_full_leaves_the_outcome_to_the_status() {
    let failure = "{\"success\": false, \"error\": \"no quota\", \"more\": \"of it\"}";
    for (status, class_by_status) in [(200, "success"), (500, "http_500")] {
        for text in [ANSWER, failure, "{\"half of\": \"a document"] {
            for slices in [2, 3, 40] {
                let (received, agent) =
                    call(status, JSON, [Scattered::new(text, slices, false)]).await;
                assert_eq!(received, text);
                assert_eq!(class(&agent), class_by_status, "{text} in {slices}");
                assert_eq!(agent.token_usage(), None, "{text} in {slices}");
            }
        }
    }
}

/// The slices of such a chain are no neighbours: with what is between them, the text says something
/// else.
#[tokio::test]
async fn what_is_behind_a_gap_is_not_joined_to_what_is_before_it() {
    let before = "{\"answer\": {\"quoted\": ";
    let hidden = Scattered::new(&format!("{before}\"{}\"}}, ", " ".repeat(before.len())), 2, false);
    let chain = hidden.chain(Bytes::from("{\"success\": false}, \"success\": false}"));
    let (_, agent) = call(200, JSON, [chain]).await;
    assert_eq!((class(&agent), agent.token_usage()), ("success", None));
}

#[tokio::test]
async fn what_was_whole_before_a_gap_stands_if_nothing_can_revoke_it() {
    let usage =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\n";
    let failed = "data: {\"error\":{\"message\":\"no quota\"}}\n\n";
    let half_failed = "data: {\"error\":{\"message\":\"no quota\"}";
    let done = "data: [DONE]\n\n";
    let gap = || Scattered::new("  \n\n", 2, false);
    let seen = |text| Scattered::new(text, 1, true);
    let figures = Some(TokenUsage::new(9, 3));

    // Behind the end marker nothing is missing.
    let (_, agent) = call(200, SSE, [seen(usage), seen(done), gap()]).await;
    assert_eq!((class(&agent), agent.token_usage()), ("success", figures));
    // A failure stays one.
    let (_, agent) = call(200, SSE, [seen(failed), gap(), seen(done)]).await;
    assert_eq!(class(&agent), "agent");
    assert_eq!(agent.error.unwrap().message.as_str(), "no quota");
    // Half of one is none, and neither is what comes behind a gap.
    for chunks in [[seen(half_failed), gap(), seen(done)], [gap(), seen(failed), seen(done)]] {
        let (_, agent) = call(200, SSE, chunks).await;
        assert_eq!((class(&agent), agent.token_usage()), ("success", None));
    }
    // Without its own end, it has not been cut off either.
    let (_, agent) = call(200, SSE, [gap()]).await;
    assert_eq!(class(&agent), "success");
}

/// The layer of a client is done at the end marker. A reader that goes on keeps what it has.
#[test]
fn a_reader_that_skips_the_rest_keeps_what_ended() {
    let usage =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\n";
    for (end, kept) in [("data: [DONE]\n\n", Some(TokenUsage::new(9, 3))), ("", None)] {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(SSE))]);
        let head = ResponseHead::new(StatusCode::OK, &headers, RequestHint::default());
        let mut reader = UsageReader::new(head);
        reader.feed(usage.as_bytes());
        reader.feed(end.as_bytes());
        reader.skip_rest();
        reader.feed(b"data: {\"error\":\"behind the gap\"}\n\n");
        let reading = reader.finish(End::Complete);
        assert_eq!((reading.usage, reading.complete), (kept, kept.is_some()));
        assert_eq!(reading.outcome, Outcome::Success);
    }
}
