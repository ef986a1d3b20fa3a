//! [`TraceUrl`]: the URL of a workflow's trace.

use std::fmt::Write as _;

use http::Uri;

const PLACEHOLDER: &str = "{traceId}";

/// The URL of a trace, with a placeholder for its id.
#[derive(Clone, Debug)]
pub(super) struct TraceUrl {
    before: String,
    after: String,
}

/// The error returned when the URL of traces is invalid.
#[derive(Debug, thiserror::Error)]
#[error("`{url}` is not a URL of traces: {problem}")]
pub struct InvalidTraceUrl {
    url: String,
    problem: &'static str,
}

impl TraceUrl {
    pub(super) fn new(url: String) -> Result<Self, InvalidTraceUrl> {
        let problem = match url.split_once(PLACEHOLDER) {
            None => "put `{traceId}` where the id of the trace belongs",
            Some((_, after)) if after.contains(PLACEHOLDER) => "it has `{traceId}` more than once",
            // Otherwise an id could lead to another host.
            Some((before, after)) => match has_host(before) {
                true => return Ok(Self { before: before.to_owned(), after: after.to_owned() }),
                false => "it must begin with `https://` or `http://`, a host and a path",
            },
        };
        Err(InvalidTraceUrl { url, problem })
    }

    /// The URL of this trace.
    pub(super) fn of(&self, trace_id: &str) -> String {
        let mut url = self.before.clone();
        for byte in trace_id.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    url.push(char::from(byte));
                }
                // Writing to a string does not fail.
                _ => drop(write!(url, "%{byte:02X}")),
            }
        }
        url.push_str(&self.after);
        url
    }
}

/// Whether what comes before the placeholder has a host, and where it ends.
fn has_host(before: &str) -> bool {
    let Some((scheme, rest)) = before.split_once("://") else { return false };
    let Some(end) = rest.find(['/', '?', '#']) else { return false };
    let is_web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    let origin = before.get(..scheme.len() + "://".len() + end);
    is_web
        && origin.is_some_and(|origin| {
            origin.parse::<Uri>().is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_takes_the_place_of_its_name() {
        for (url, id, expected) in [
            (
                "https://grafana.example/explore?trace={traceId}&x=1",
                "0af7",
                "https://grafana.example/explore?trace=0af7&x=1",
            ),
            (
                "http://localhost:16686/trace/{traceId}",
                "a/../b?c#d",
                "http://localhost:16686/trace/a%2F..%2Fb%3Fc%23d",
            ),
            ("https://x.example/#trace={traceId}", "é\"<", "https://x.example/#trace=%C3%A9%22%3C"),
        ] {
            assert_eq!(TraceUrl::new(url.to_owned()).unwrap().of(id), expected);
        }
    }

    #[test]
    fn one_that_cannot_be_used_is_named_with_the_remedy() {
        for (url, problem) in [
            ("https://x.example/trace", "put `{traceId}` where the id of the trace belongs"),
            ("", "put `{traceId}` where the id of the trace belongs"),
            ("https://x.example/{traceId}/{traceId}", "it has `{traceId}` more than once"),
            (
                "javascript://x/{traceId}",
                "it must begin with `https://` or `http://`, a host and a path",
            ),
            (
                "https://{traceId}.example/",
                "it must begin with `https://` or `http://`, a host and a path",
            ),
            ("https:///{traceId}", "it must begin with `https://` or `http://`, a host and a path"),
            ("/traces/{traceId}", "it must begin with `https://` or `http://`, a host and a path"),
        ] {
            let error = TraceUrl::new(url.to_owned()).unwrap_err();
            assert_eq!(error.to_string(), format!("`{url}` is not a URL of traces: {problem}"));
        }
    }
}
