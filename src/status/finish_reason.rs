//! Which finish reasons are normal.

/// The finish reasons, in lower case, of a model that was done or stopped to call a tool. Each is
/// documented by a provider's API or sent by an inference server.
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

/// Whether a reason is a name: not a text, nor what stands for one that is too long.
pub(crate) fn is_reason(word: &[u8]) -> bool {
    !word.is_empty() && word != b"?" && word.iter().all(u8::is_ascii_graphic)
}

/// Whether a model stopped because it was done, or to call a tool.
pub(super) fn is_normal(reason: &[u8]) -> bool {
    NORMAL.iter().any(|normal| normal.as_bytes().eq_ignore_ascii_case(reason))
}

/// The one of a response's reasons to show: the first that is not normal, or else the first.
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
