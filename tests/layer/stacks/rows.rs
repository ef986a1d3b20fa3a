//! The table: the ways a call can end, and what is stored.

use super::agent::Does::{
    Answers, LetsTimePass, NeverAnswers, RefusesConnections as Refuses, Resets,
};
use super::agent::Framing::{Sized, Streamed, Whole};
use super::agent::Step::{self, Data, Trailers};
use super::agent::{Does, Framing, Reply};
use super::clients::{Kind, Place};
use super::seen::Reads;

/// One way a call can end.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Whether the request is a HEAD rather than a POST.
    pub(crate) is_head: bool,
    pub(crate) agent: &'static [Does],
    pub(crate) caller: Caller,
    /// Whether the client has a timeout.
    pub(crate) gives_up: bool,
    pub(crate) retry: Option<Place>,
    pub(crate) stored: Stored,
}

/// What the caller does.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Caller {
    Reads(Reads),
    /// Drops the call once the agent has received the request.
    Leaves,
}

/// What is stored for the agent in the end.
#[derive(Clone, Copy)]
pub(crate) struct Stored {
    pub(crate) ends: Ends,
    /// Part of the error's message.
    pub(crate) message: &'static str,
    /// Input and output tokens.
    pub(crate) tokens: Option<(u64, u64)>,
    pub(crate) calls: u64,
}

/// How the agent ends.
#[derive(Clone, Copy)]
pub(crate) enum Ends {
    Well,
    /// With an error of this class.
    As(&'static str),
    /// With an error whose class depends on the kind of client.
    AsClient(fn(&dyn Kind) -> &'static str),
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json"), ("x-agent", "pdf")];
const SSE: &[(&str, &str)] = &[("content-type", "text/event-stream")];
const TEXT: &[(&str, &str)] = &[("content-type", "text/plain")];
const GZIP: &[(&str, &str)] = &[("content-type", "application/json"), ("content-encoding", "gzip")];
const WITH_TRAILERS: &[(&str, &str)] =
    &[("content-type", "application/json"), ("trailer", "x-checksum")];

const ANSWER: &[Step] = &[
    Data(b"{\"success\": true, \"document_id\": \"FAB_26933659\", "),
    Data(b"\"token_usage\": {\"input_tokens\": 1500, "),
    Data(b"\"output_tokens\": 500, \"total_tokens\": 2000}}"),
];
const ANSWER_AND_TRAILERS: &[Step] = &[ANSWER[0], ANSWER[1], ANSWER[2], Trailers];
const PLAIN: &[Step] = &[Data(b"fine, "), Data(b"thank you")];
const MESSAGE_START: Step = Data(b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"type\":\"message\",\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n");
const MESSAGE_DELTA: Step = Data(b"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":15}}\n\n");
const MESSAGE_STOP: Step = Data(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
const OVERLOADED: Step = Data(b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n");
const REFUSAL: &[Step] = &[Data(b"{\"success\": false, \"error\": \"max iterations\", \"token_usage\": {\"input_tokens\": 900, \"output_tokens\": 100, \"total_tokens\": 1000}}")];
const BUSY: Does = reply(503, JSON, Whole, &[Data(b"{\"error\": \"busy\"}")]);
/// `{"success": true, "token_usage": {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}}`
const PACKED: &[Step] = &[Data(PACKED_BYTES)];

const fn reply(
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    framing: Framing,
    steps: &'static [Step],
) -> Does {
    Answers(Reply { status, headers, framing, steps })
}

const fn row(name: &'static str, agent: &'static [Does], caller: Caller) -> Row {
    let stored = Stored { ends: Ends::Well, message: "", tokens: None, calls: 1 };
    Row { name, is_head: false, agent, caller, gives_up: false, retry: None, stored }
}

impl Row {
    const fn head(mut self) -> Self {
        self.is_head = true;
        self
    }

    const fn error(mut self, class: &'static str, message: &'static str) -> Self {
        self.stored.ends = Ends::As(class);
        self.stored.message = message;
        self
    }

    const fn client_decides(mut self, class: fn(&dyn Kind) -> &'static str) -> Self {
        self.stored.ends = Ends::AsClient(class);
        self
    }

    const fn gives_up(mut self) -> Self {
        self.gives_up = true;
        self
    }

    const fn tokens(mut self, input: u64, output: u64) -> Self {
        self.stored.tokens = Some((input, output));
        self
    }

    const fn retry(mut self, layer: Place, calls: u64) -> Self {
        self.retry = Some(layer);
        self.stored.calls = calls;
        self
    }
}

pub(crate) const ROWS: &[Row] = &[
    row("success", &[reply(200, JSON, Whole, ANSWER)], ALL).tokens(1500, 500),
    row("no content", &[reply(204, TEXT, Whole, &[])], UNREAD),
    row("not modified", &[reply(304, GZIP, Whole, &[])], UNREAD),
    row("an answer to HEAD", &[reply(200, GZIP, Whole, ANSWER)], UNREAD).head(),
    row("a length of zero, unread", &[reply(200, TEXT, Sized, &[])], UNREAD),
    row(
        "exact length, then dropped",
        &[reply(200, JSON, Sized, ANSWER)],
        Caller::Reads(Reads::Length(129)),
    )
    .tokens(1500, 500),
    row(
        "exact length of no known format, then dropped",
        &[reply(200, TEXT, Sized, PLAIN)],
        Caller::Reads(Reads::Length(15)),
    ),
    row("chunked", &[reply(200, JSON, Streamed, ANSWER)], ALL).tokens(1500, 500),
    row("trailers", &[reply(200, WITH_TRAILERS, Streamed, ANSWER_AND_TRAILERS)], ALL)
        .tokens(1500, 500),
    row("compressed", &[reply(200, GZIP, Whole, PACKED)], ALL).tokens(7, 2),
    row("stream", &[reply(200, SSE, Streamed, &[MESSAGE_START, MESSAGE_DELTA, MESSAGE_STOP])], ALL)
        .tokens(25, 15),
    row(
        "stream dropped after its end marker",
        &[reply(200, SSE, Streamed, &[MESSAGE_START, MESSAGE_DELTA, MESSAGE_STOP, Step::Stalls])],
        Caller::Reads(Reads::Pieces(3)),
    )
    .tokens(25, 15),
    row("stream without its end marker", &[reply(200, SSE, Streamed, &[MESSAGE_START])], ALL)
        .error("incomplete", "broke off")
        .tokens(25, 1),
    row(
        "dropped early",
        &[reply(200, SSE, Streamed, &[MESSAGE_START, Step::Stalls])],
        Caller::Reads(Reads::Pieces(1)),
    )
    .error("cancelled", "gave up")
    .tokens(25, 1),
    row("dropped unread", &[reply(200, JSON, Sized, ANSWER)], UNREAD).error("cancelled", "gave up"),
    row("4xx unread", &[reply(429, JSON, Whole, &[Data(b"{\"error\": \"slow\"}")])], UNREAD)
        .error("http_429", "Too Many Requests"),
    row(
        "5xx read",
        &[reply(500, JSON, Whole, &[Data(b"{\"error\": \"Model access denied\"}")])],
        ALL,
    )
    .error("http_500", "Model access denied"),
    row("error in a 200", &[reply(200, JSON, Whole, REFUSAL)], ALL)
        .error("agent", "max iterations")
        .tokens(900, 100),
    row("error in a stream", &[reply(200, SSE, Streamed, &[MESSAGE_START, OVERLOADED])], ALL)
        .error("agent", "Overloaded")
        .tokens(25, 1),
    row("reset in the body", &[reply(200, SSE, Streamed, &[MESSAGE_START, Step::Reset])], ALL)
        .error("transport", "")
        .tokens(25, 1),
    row("reset before the head", &[Resets], ALL).error("transport", ""),
    row("connection refused", &[Refuses], ALL).error("transport", ""),
    row("late head", &[LetsTimePass], ALL).gives_up().client_decides(|kind| kind.late_head()),
    row("late body", &[reply(200, SSE, Streamed, &[MESSAGE_START, Step::LetsTimePass])], ALL)
        .gives_up()
        .client_decides(|kind| kind.late_body())
        .tokens(25, 1),
    row("cancelled before the head", &[NeverAnswers], Caller::Leaves)
        .error("cancelled", "gave up before the agent answered"),
    row("retried, layer inside", &[BUSY, BUSY, reply(200, JSON, Whole, ANSWER)], ALL)
        .retry(Place::Inside, 3)
        .tokens(1500, 500),
    row("retried, layer outside", &[BUSY, BUSY, reply(200, JSON, Whole, ANSWER)], ALL)
        .retry(Place::Outside, 1)
        .tokens(1500, 500),
    row("retried in vain, layer inside", &[BUSY], ALL)
        .retry(Place::Inside, 3)
        .error("http_503", "busy"),
    row("retried in vain, layer outside", &[BUSY], ALL)
        .retry(Place::Outside, 1)
        .error("http_503", "busy"),
];

const ALL: Caller = Caller::Reads(Reads::All);
const UNREAD: Caller = Caller::Reads(Reads::Pieces(0));

const PACKED_BYTES: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xabV*.MNN-.V\xb2R()*M\xd5QP*\xc9\xcfN\xcd\x8b/-NLO\x05\x0aV+e\xe6\x15\x94\x96\xc4\x83EA\xaa\xcc\x81J\xf2KKP\xc4\x8c\xc0\xdaJ\x12s\x10B\x96\xb5\xb5\x00\xed\\\x07k\\\x00\x00\x00";
