//! The status with which a gRPC call ends, and what the codes of gRPC and Connect mean.
//!
//! gRPC answers with HTTP status 200 whatever happens. How the call ended is in `grpc-status` and
//! `grpc-message`: in the trailers, in the head of an answer that has no body, or in the last frame
//! of gRPC-Web. Connect spells the same codes as words, in the last envelope of a stream.

use std::fmt::Write as _;

use http::HeaderMap;

use super::extract::ReportedError;
use crate::status::CallError;

/// How much of a message is kept, in bytes before it is decoded.
pub(super) const MAX_MESSAGE: usize = 2048;

/// A code's name, and the class of the error that it makes.
type Code = (&'static str, &'static str);

/// The codes from 1 on; 0 is `OK`.
#[rustfmt::skip]
const CODES: [Code; 16] = [
    ("CANCELLED",           CallError::CANCELLED),
    UNKNOWN,
    ("INVALID_ARGUMENT",    "grpc_invalid_argument"),
    ("DEADLINE_EXCEEDED",   CallError::TIMEOUT),
    ("NOT_FOUND",           "grpc_not_found"),
    ("ALREADY_EXISTS",      "grpc_already_exists"),
    ("PERMISSION_DENIED",   "grpc_permission_denied"),
    ("RESOURCE_EXHAUSTED",  "grpc_resource_exhausted"),
    ("FAILED_PRECONDITION", "grpc_failed_precondition"),
    ("ABORTED",             "grpc_aborted"),
    ("OUT_OF_RANGE",        "grpc_out_of_range"),
    ("UNIMPLEMENTED",       "grpc_unimplemented"),
    ("INTERNAL",            "grpc_internal"),
    ("UNAVAILABLE",         "grpc_unavailable"),
    ("DATA_LOSS",           "grpc_data_loss"),
    ("UNAUTHENTICATED",     "grpc_unauthenticated"),
];

/// Also what gRPC makes of a code that it does not know.
const UNKNOWN: Code = ("UNKNOWN", "grpc_unknown");

/// The status of a gRPC call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GrpcStatus {
    Ok,
    Error { class: &'static str, message: Box<str> },
}

impl GrpcStatus {
    /// The status in a head or in trailers, if they have one.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let code = headers.get("grpc-status")?.as_bytes();
        let message = headers.get("grpc-message").map(|message| message.as_bytes());
        Some(Self::new(code, message.unwrap_or_default()))
    }

    /// The status of this code, with a message as gRPC encodes it.
    pub(super) fn new(code: &[u8], message: &[u8]) -> Self {
        let number = str::from_utf8(code).ok().and_then(|text| text.trim().parse::<usize>().ok());
        if number == Some(0) {
            return Self::Ok;
        }
        let known = number.and_then(|number| CODES.get(number.checked_sub(1)?));
        let (name, class) = known.unwrap_or(&UNKNOWN);
        let mut message = decode(&message[..message.len().min(MAX_MESSAGE)]);
        if message.trim().is_empty() {
            message = format!("gRPC status {name}");
            if known.is_none() {
                // Writing to a text does not fail.
                let _ = write!(message, " ({})", code.escape_ascii());
            }
        }
        Self::Error { class, message: message.into() }
    }

    /// The failure that it stands for.
    pub(super) fn into_error(self) -> Option<ReportedError> {
        let Self::Error { class, message } = self else { return None };
        let message = Some(message);
        Some(ReportedError { code: None, message, reported: true, class: Some(class) })
    }
}

/// The class of an error with this code of Connect's, unless it is that of any error that an agent
/// reports.
pub(super) fn connect_class(code: &str) -> Option<&'static str> {
    match code {
        "canceled" => Some(CallError::CANCELLED),
        "deadline_exceeded" => Some(CallError::TIMEOUT),
        _ => None,
    }
}

/// Decodes `%` and two hexadecimal digits. Anything else stands for itself, as gRPC has it.
fn decode(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        let escaped = if *byte == b'%' { digit(0).zip(digit(1)) } else { None };
        let (byte, after) = match escaped {
            Some((high, low)) => ((high << 4 | low) as u8, &after[2..]),
            None => (*byte, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: &str, message: &str) -> (&'static str, String) {
        match GrpcStatus::new(code.as_bytes(), message.as_bytes()) {
            GrpcStatus::Ok => panic!("{code} is no error"),
            GrpcStatus::Error { class, message } => (class, message.into()),
        }
    }

    #[test]
    fn each_code_has_its_class() {
        assert_eq!(GrpcStatus::new(b"0", b"fine"), GrpcStatus::Ok);
        assert_eq!(error("1", "").0, "cancelled");
        assert_eq!(error("4", "").0, "timeout");
        for (n, (name, class)) in CODES.iter().enumerate() {
            assert_eq!(error(&(n + 1).to_string(), ""), (*class, format!("gRPC status {name}")));
            if !matches!(n + 1, 1 | 4) {
                assert_eq!(*class, format!("grpc_{}", name.to_ascii_lowercase()));
            }
        }
        assert_eq!(error("16", "who?"), ("grpc_unauthenticated", "who?".to_owned()));
    }

    #[test]
    fn a_code_that_grpc_does_not_know_is_unknown() {
        for code in ["17", "-1", "", "x", "99999999999999999999"] {
            let message = format!("gRPC status UNKNOWN ({code})");
            assert_eq!(error(code, ""), ("grpc_unknown", message));
        }
        let odd = GrpcStatus::new(b"\xff\n", b"");
        assert!(format!("{odd:?}").contains(r"UNKNOWN (\\xff\\n)"), "{odd:?}");
    }

    #[test]
    fn messages_are_decoded_and_bounded() {
        for (encoded, message) in [
            ("no%20room%2C caf%C3%A9", "no room, café"),
            ("100%", "100%"),
            ("100%2", "100%2"),
            ("%zz %2g", "%zz %2g"),
            ("%c3", "\u{fffd}"),
        ] {
            assert_eq!(error("2", encoded).1, message);
        }
        assert_eq!(error("2", &"x".repeat(100_000)).1.len(), MAX_MESSAGE);
        assert_eq!(error("2", " ").1, "gRPC status UNKNOWN");
    }
}
