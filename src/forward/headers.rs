//! Hop-by-hop headers, which are not forwarded (RFC 9110, section 7.6.1).

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, Entry, HOST, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING,
    UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use super::{SESSION_HEADER, TOKEN_HEADER};

/// How a forwarder calls itself in the header `Via`.
const PSEUDONYM: &str = "tower-agent-status";

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Turns the headers that a client has sent into those that an agent receives. Returns whether the
/// client asks for another protocol.
pub(super) fn prepare_request(headers: &mut HeaderMap, version: Version) -> bool {
    let is_http2 = version == Version::HTTP_2;
    // A client of HTTP/1.0 does not know of upgrades, and must not get one (RFC 9110, section 7.8).
    let upgrade = if version == Version::HTTP_11 { requested_upgrade(headers) } else { None };
    let takes_trailers = tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    if headers.contains_key(TRANSFER_ENCODING) {
        // It decides where the body ends. A length beside it would allow request smuggling.
        headers.remove(CONTENT_LENGTH);
    }
    remove_hop_by_hop(headers);
    join_cookies(headers);
    for name in [&HOST, &PROXY_AUTHORIZATION, &HTTP2_SETTINGS] {
        headers.remove(name);
    }
    headers.remove(SESSION_HEADER);
    headers.remove(TOKEN_HEADER);
    add_via(headers, version);
    let mut connection = Vec::new();
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        connection.push("te");
    }
    let is_upgrade = upgrade.is_some();
    if let Some(protocol) = upgrade {
        headers.insert(UPGRADE, protocol);
        connection.push("upgrade");
    }
    if !is_http2 && !connection.is_empty() {
        let value = if connection.len() == 2 { "te, upgrade" } else { connection[0] };
        headers.insert(CONNECTION, HeaderValue::from_static(value));
    }
    is_upgrade
}

/// Turns the headers that an agent has sent into those that its client receives.
pub(super) fn prepare_response(headers: &mut HeaderMap, is_upgrade: bool) {
    let protocol = headers.remove(UPGRADE).filter(|_| is_upgrade);
    if headers.contains_key(TRANSFER_ENCODING) {
        // As in a request: a body that is longer would be cut off at this length.
        headers.remove(CONTENT_LENGTH);
    }
    remove_hop_by_hop(headers);
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// Whether a forwarder has passed the request on already: an agent's URL may lead back to it.
pub(super) fn is_loop(headers: &HeaderMap) -> bool {
    // A chain of a few forwarders makes sense, and a loop does not end.
    const MAX: usize = 8;
    tokens(headers, &VIA).filter(|via| via.ends_with(PSEUDONYM)).count() >= MAX
}

/// The protocol that a client asks for. HTTP/2 without TLS is none: requests that are made over it
/// would pass unseen.
fn requested_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let is_named = tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
    let mut protocols = headers.get_all(UPGRADE).iter();
    let protocol = protocols.next().filter(|_| is_named && protocols.next().is_none())?;
    let is_http = |name: &str| {
        let name = name.split('/').next().unwrap_or_default().trim();
        name.eq_ignore_ascii_case("h2c") || name.eq_ignore_ascii_case("http")
    };
    let names = protocol.to_str().ok()?;
    (!names.split(',').any(is_http)).then(|| protocol.clone())
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> =
        tokens(headers, &CONNECTION).filter_map(|name| name.parse().ok()).collect();
    for name in &named {
        headers.remove(name);
    }
    for name in [&CONNECTION, &KEEP_ALIVE, &PROXY_CONNECTION, &TE, &TRANSFER_ENCODING, &UPGRADE] {
        headers.remove(name);
    }
}

/// Joins what a client of HTTP/2 may send apart, since an agent over HTTP/1.1 expects one header (RFC 9113,
/// section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() < 2 {
        return;
    }
    if let Ok(mut cookie) = HeaderValue::from_bytes(&cookies.join(&b"; "[..])) {
        cookie.set_sensitive(true);
        headers.insert(COOKIE, cookie);
    }
}

fn add_via(headers: &mut HeaderMap, version: Version) {
    let version = match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    };
    let own = format!("{version} {PSEUDONYM}");
    if let Ok(own) = HeaderValue::from_str(&own) {
        match headers.entry(VIA) {
            Entry::Occupied(mut others) => others.append(own),
            Entry::Vacant(vacant) => _ = vacant.insert(own),
        }
    }
}

/// The elements of a header that is a list.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn names(headers: &HeaderMap) -> Vec<String> {
        let mut names: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_request_keeps_what_is_for_the_agent() {
        let mut headers = map(&[
            ("host", "localhost:1"),
            ("connection", "close, x-hop"),
            ("connection", "keep-alive"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("te", "gzip, trailers;q=1, trailers"),
            ("upgrade", "websocket"),
            ("x-hop", "1"),
            ("x-workflow-session-id", "s"),
            ("x-agent-status-token", "t"),
            ("authorization", "Bearer k"),
            ("expect", "100-continue"),
            ("trailer", "x-sum"),
            ("via", "1.0 other"),
        ]);
        assert!(!prepare_request(&mut headers, Version::HTTP_11));
        let expected = [
            "authorization: Bearer k",
            "connection: te",
            "expect: 100-continue",
            "te: trailers",
            "trailer: x-sum",
            "via: 1.0 other",
            "via: 1.1 tower-agent-status",
        ];
        assert_eq!(names(&headers), expected);
    }

    #[test]
    fn cookies_are_one_header() {
        let mut headers = map(&[("cookie", "a=b"), ("cookie", "c=d"), ("cookie", "e=f")]);
        prepare_request(&mut headers, Version::HTTP_2);
        assert_eq!(names(&headers), ["cookie: a=b; c=d; e=f", "via: 2 tower-agent-status"]);
    }

    #[test]
    fn an_upgrade_is_passed_on_unless_it_is_http() {
        for (connection, protocol, expected) in [
            ("Upgrade", "websocket", true),
            ("keep-alive, upgrade", "websocket", true),
            ("keep-alive", "websocket", false),
            ("upgrade", "h2c", false),
            ("upgrade", "websocket, H2C", false),
            ("upgrade", "HTTP/2.0", false),
        ] {
            let mut headers = map(&[("connection", connection), ("upgrade", protocol)]);
            assert_eq!(prepare_request(&mut headers, Version::HTTP_11), expected, "{protocol}");
            assert_eq!(headers.contains_key(UPGRADE), expected);
            assert_eq!(headers.contains_key(CONNECTION), expected);
            for version in [Version::HTTP_10, Version::HTTP_2] {
                let mut headers = map(&[("connection", connection), ("upgrade", protocol)]);
                assert!(!prepare_request(&mut headers, version));
                assert!(!headers.contains_key(UPGRADE));
            }
        }
        let mut headers = map(&[("connection", "upgrade"), ("upgrade", "x"), ("te", "trailers")]);
        assert!(prepare_request(&mut headers, Version::HTTP_11));
        assert_eq!(headers[CONNECTION], "te, upgrade");
    }

    #[test]
    fn a_response_keeps_what_is_for_the_client() {
        let all = [
            ("connection", "close, x-hop"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "websocket"),
            ("x-hop", "1"),
            ("content-length", "5"),
            ("location", "/x"),
        ];
        let mut headers = map(&all);
        prepare_response(&mut headers, false);
        assert_eq!(names(&headers), ["content-length: 5", "location: /x"]);
        let mut headers = map(&all);
        prepare_response(&mut headers, true);
        assert_eq!(
            names(&headers),
            ["connection: upgrade", "content-length: 5", "location: /x", "upgrade: websocket"]
        );
    }

    #[test]
    fn a_loop_ends() {
        let mut headers = HeaderMap::new();
        for _ in 0..8 {
            assert!(!is_loop(&headers));
            prepare_request(&mut headers, Version::HTTP_11);
        }
        assert!(is_loop(&headers));
    }
}
