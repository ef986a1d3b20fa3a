//! What the agent sends.

use std::time::Duration;

use bytes::Bytes;
use loopback::agent::{Answer, Answers, Pace};
use loopback::openai;

/// The events of `/stream`.
pub const EVENTS: usize = 5_000;
/// The bytes of `/large`.
pub const LARGE: u64 = 1 << 30;
const CHUNK: usize = 64 << 10;

/// All answers, by their paths.
pub fn answers() -> Answers {
    let large = Answer {
        content_type: "application/octet-stream",
        chunks: vec![Bytes::from(vec![b'x'; CHUNK]); LARGE as usize / CHUNK],
        pace: Pace::Whole,
    };
    let slow = Answer {
        content_type: "text/event-stream",
        chunks: vec![openai::event("a"), Bytes::from_static(b"data: [DONE]\n\n")],
        pace: Pace::Paused(Duration::from_millis(1)),
    };
    let open = Answer { chunks: vec![openai::event("a")], pace: Pace::Open, ..slow.clone() };
    [
        ("/small", openai::chat()),
        ("/stream", openai::stream(EVENTS, Pace::Fast)),
        ("/slow", slow),
        ("/open", open),
        ("/large", large),
    ]
    .map(|(path, answer)| (path.to_owned(), answer))
    .into()
}
