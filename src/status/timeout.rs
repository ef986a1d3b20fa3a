//! Whether a text says that time ran out.
//!
//! Errors of tower, tokio, hyper, tonic, the AWS SDK and the system say so in words of their own:
//! `request timed out`, `deadline has elapsed`, `Timeout expired`, `HTTP connect timeout occurred`.
//! Such words may also be part of a name in the text, such as the host in
//! `https://timeout-service/: connection refused`. So a word only counts if it is not part of a URL,
//! a path, a host name or an address.

/// Whether the text says so.
pub(super) fn is_named_in(text: &str) -> bool {
    let mut after_time = false;
    for word in text.split_whitespace() {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        if after_time && is("out") {
            return true;
        }
        after_time = is("timed") || is("time") || is("times");
        if names_timeout(word) {
            return true;
        }
    }
    false
}

/// Whether a word, without the punctuation around it, means a time-out: `timeout`, `time-out`,
/// `ReadTimeoutError`, `connect_timeout`, `ETIMEDOUT`, `deadline`, `DEADLINE_EXCEEDED`.
fn names_timeout(word: &str) -> bool {
    let word = word.to_ascii_lowercase().replace("time-out", "timeout");
    let has_name =
        |part: &str| ["timeout", "timedout", "deadline"].iter().any(|name| part.contains(name));
    // Few words get this far.
    has_name(&word)
        && !is_address(&word)
        && word.split([':', '=']).any(|part| match part.rsplit_once(['-', '_']) {
            // In `timeout-service` the name is that of a service, in `read-timeout` it is not.
            Some((first, "exceeded" | "elapsed" | "error" | "expired" | "reached")) => {
                has_name(first)
            }
            Some((_, last)) => has_name(last),
            None => has_name(part),
        })
}

/// Whether a word is a URL, a path, a dotted name or an address with a port.
fn is_address(word: &str) -> bool {
    let is_port = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    word.contains(['/', '\\', '.', '@', '?', '&']) || word.split(':').skip(1).any(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_timeout_are_recognized() {
        for text in [
            "request timed out",
            "Request Timed Out.",
            "deadline has elapsed",
            "Timeout expired",
            "timeout",
            "operation timed out",
            "Connection timed out (os error 110)",
            "HTTP connect timeout occurred after 3.1s",
            "client error: time out",
            "gateway time-out",
            "ReadTimeoutError: no data",
            "ETIMEDOUT",
            "status: DeadlineExceeded, message: \"context deadline exceeded\"",
            "error=timeout",
            "DEADLINE_EXCEEDED: no answer",
            "io error: \"connect_timeout\"",
            "connect ETIMEDOUT 10.0.0.1:443",
            "transport:timeout",
            "keep-alive timed out",
            "[timeout]",
        ] {
            assert!(is_named_in(text), "{text}");
        }
    }

    #[test]
    fn words_of_a_name_are_not() {
        for text in [
            "error sending request for url (https://timeout-service/invocations): connection refused",
            "error sending request for url (https://agents.internal/timeout): connection refused",
            "dns error: failed to look up timeout.svc.cluster.local",
            "tcp connect error: timeout:8080: connection refused",
            "failed to lookup address timeout-svc: no such host",
            "failed to lookup address timeout_service",
            "connection refused (host=deadline.internal)",
            "invalid URI /v1/agents/deadline?timeout=5",
            "user@timeout: permission denied",
            "the time was up, out of memory",
            "connection reset by peer",
            "",
        ] {
            assert!(!is_named_in(text), "{text}");
        }
    }
}
