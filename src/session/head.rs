//! [`RequestHead`]: a request as closures see it.

use http::uri::Authority;
use http::{Extensions, HeaderMap, Method};

/// A request without its body, for closures that return its session or its agent.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RequestHead<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The scheme of the request's URI, if it has one.
    pub scheme: Option<&'a str>,
    /// The host of the request's URI, if it has one.
    pub host: Option<&'a str>,
    /// The port of the request's URI, if it has one.
    pub port: Option<u16>,
    /// The path of the request's URI, without the query.
    pub path: &'a str,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The request's extensions.
    pub extensions: &'a Extensions,
}

impl<'a> RequestHead<'a> {
    /// Borrows the head of a request.
    pub fn new<B>(request: &'a http::Request<B>) -> Self {
        let authority = request.uri().authority();
        let (host, port) = authority.map_or((None, None), host_and_port);
        Self {
            method: request.method(),
            scheme: request.uri().scheme_str(),
            host,
            port,
            path: request.uri().path(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }
}

/// The header of W3C Trace Context that has the trace id and the parent span id of a request.
const TRACEPARENT: &str = "traceparent";

impl RequestHead<'_> {
    /// The trace id in the header `traceparent`: the text between its first two dashes. It is not
    /// validated.
    pub(crate) fn trace_id(&self) -> Option<&str> {
        let mut parts = self.headers.get(TRACEPARENT)?.to_str().ok()?.trim().split('-');
        // Later versions may have more parts. Version ff is invalid.
        let (version, trace_id) = (parts.next()?, parts.next()?);
        (version.len() == 2 && version != "ff" && parts.count() >= 2).then_some(trace_id)
    }
}

/// Nearly every authority is only a host, and checking for that is faster than parsing it.
fn host_and_port(authority: &Authority) -> (Option<&str>, Option<u16>) {
    if authority.as_str().bytes().any(|byte| matches!(byte, b'@' | b':' | b'[')) {
        (Some(authority.host()), authority.port_u16())
    } else {
        (Some(authority.as_str()), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_trace_is_the_second_part_of_its_header() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (header, expected) in [
            (format!("00-{id}-00f067aa0ba902b7-01"), Some(id)),
            (format!("01-{id}-00f067aa0ba902b7-01-more"), Some(id)),
            (format!("ff-{id}-00f067aa0ba902b7-01"), None),
            (format!("00-{id}-00f067aa0ba902b7"), None),
            (id.to_owned(), None),
            (String::new(), None),
        ] {
            let request = http::Request::builder().header(TRACEPARENT, &header).body(()).unwrap();
            assert_eq!(RequestHead::new(&request).trace_id(), expected, "{header}");
        }
        assert_eq!(RequestHead::new(&http::Request::new(())).trace_id(), None);
    }
}
