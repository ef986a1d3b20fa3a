//! Which reasons of a model to stop are normal.

/// Reasons in lower case that say that the model was done, or wants a tool to be called. Each is a value
/// that the API of a provider documents, or an inference server sends.
const NORMAL: &[&str] = &[
    "stop",
    "end_turn",
    "stop_sequence",
    "tool_use",
    "tool_calls",
    "tool_call",
    "tool-calls",
    "function_call",
    "completed",
    "complete",
    "finished",
    "finish",
    "end",
    "eos",
    "eos_token",
    "done",
    "unload",
    "load",
];

/// Whether a model has stopped because it was done, or to have a tool called.
pub(super) fn is_normal(reason: &[u8]) -> bool {
    NORMAL.iter().any(|normal| normal.as_bytes().eq_ignore_ascii_case(reason))
}

/// The reason to show of those that an answer has: the first that is not normal, or else the first.
pub(crate) fn most_telling<'a>(reasons: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let mut first = None;
    for reason in reasons {
        if !is_normal(reason) {
            return Some(reason);
        }
        first = first.or(Some(reason));
    }
    first
}
