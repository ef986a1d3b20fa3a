//! Frames of an AWS event stream, as Bedrock sends them.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

/// The content type of such a stream.
pub const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// An event of a Converse stream.
pub fn event(kind: &str, payload: &Value) -> Bytes {
    let headers =
        [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
    frame(&headers, payload)
}

/// An event of the stream of InvokeModel: the model's own event, in base64.
pub fn chunk(event: &Value) -> Bytes {
    let text = STANDARD.encode(event.to_string());
    self::event("chunk", &json!({"bytes": text, "p": "abcdefgh"}))
}

/// An error of the service in the middle of a stream.
pub fn exception(kind: &str, message: &str) -> Bytes {
    let headers = [
        (":exception-type", kind),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    frame(&headers, &json!({"message": message}))
}

fn frame(headers: &[(&'static str, &str)], payload: &Value) -> Bytes {
    let mut message = Message::new(payload.to_string());
    for (name, value) in headers {
        let value = HeaderValue::String((*value).to_owned().into());
        message = message.add_header(Header::new(*name, value));
    }
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).unwrap();
    bytes.into()
}
