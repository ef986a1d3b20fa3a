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

/// Nearly every authority is only a host, and checking for that is faster than parsing it.
fn host_and_port(authority: &Authority) -> (Option<&str>, Option<u16>) {
    if authority.as_str().bytes().any(|byte| matches!(byte, b'@' | b':' | b'[')) {
        (Some(authority.host()), authority.port_u16())
    } else {
        (Some(authority.as_str()), None)
    }
}
