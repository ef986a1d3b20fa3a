//! [`Route`]: which agent and which session a path names.

use std::borrow::Cow;

use http::{HeaderMap, StatusCode};
use percent_encoding::percent_decode_str;

use super::error::ErrorResponse;
use super::{MAX_SESSION_BYTES, SESSION_HEADER};
use crate::SessionId;

/// The segment below which the forwarder's own routes are. No agent has that name.
pub(super) const OWN_ROUTES: &str = "-";

/// What a path names, behind the token.
#[derive(Debug, PartialEq)]
pub(super) struct Route<'a> {
    /// The first segment: an agent, or [`OWN_ROUTES`].
    pub(super) first: Cow<'a, str>,
    /// What follows it, undecoded: empty, or with a slash at its beginning.
    pub(super) rest: &'a str,
}

impl<'a> Route<'a> {
    pub(super) fn parse(path: &'a str) -> Result<Self, ErrorResponse> {
        let Some(path) = path.strip_prefix('/') else {
            let message =
                "the path must begin with a slash and the name of an agent, as in `/{agent}/…`";
            return Err(ErrorResponse::bad_request(message));
        };
        let (first, rest) = first_segment(path);
        Ok(Self { first: decoded(first)?, rest })
    }

    /// The session of a request to an agent, and the path without it.
    pub(super) fn session(
        &self,
        headers: &HeaderMap,
    ) -> Result<(Option<SessionId>, &'a str), ErrorResponse> {
        let (in_path, rest) = self.session_in_path()?;
        let mut in_headers = headers.get_all(SESSION_HEADER).iter();
        let in_header =
            match (in_headers.next(), in_headers.next()) {
                (None, _) => None,
                (Some(value), None) => Some(value.to_str().map(str::trim).map_err(|_| {
                    invalid_session("the value of the header is not visible ASCII")
                })?),
                (Some(_), Some(_)) => {
                    let message = "there is more than one header `x-workflow-session-id`; send one";
                    return Err(ErrorResponse::bad_request(message));
                }
            };
        let named = match (in_path, in_header.filter(|value| !value.is_empty())) {
            (Some(path), Some(header)) if path != header => {
                let message = "the path and the header `x-workflow-session-id` name different \
                               sessions; send one of them";
                return Err(ErrorResponse::bad_request(message));
            }
            (Some(path), _) => path,
            (None, Some(header)) => Cow::Borrowed(header),
            (None, None) => return Ok((None, rest)),
        };
        Ok((Some(session_id(&named)?), rest))
    }

    fn session_in_path(&self) -> Result<(Option<Cow<'a, str>>, &'a str), ErrorResponse> {
        let Some(behind) = self.rest.strip_prefix('/') else { return Ok((None, self.rest)) };
        let (segment, rest) = first_segment(behind);
        // Some clients encode the tilde. What cannot be decoded is not a session.
        let Ok(decoded) = percent_decode_str(segment).decode_utf8() else {
            return Ok((None, self.rest));
        };
        Ok(match decoded {
            Cow::Borrowed(text) => match text.strip_prefix('~') {
                Some(session) => (Some(Cow::Borrowed(session)), rest),
                None => (None, self.rest),
            },
            Cow::Owned(text) => match text.strip_prefix('~') {
                Some(session) => (Some(Cow::Owned(session.to_owned())), rest),
                None => (None, self.rest),
            },
        })
    }
}

/// Checks the session that a request names.
pub(super) fn session_id(named: &str) -> Result<SessionId, ErrorResponse> {
    if named.len() > MAX_SESSION_BYTES {
        let bytes = named.len();
        return Err(invalid_session(&format!(
            "it has {bytes} bytes; the limit is {MAX_SESSION_BYTES}"
        )));
    }
    SessionId::new(named).map_err(|error| invalid_session(&error.to_string()))
}

fn invalid_session(why: &str) -> ErrorResponse {
    ErrorResponse::bad_request(format!("the session of the request is invalid: {why}"))
}

/// Refuses a path that an agent might resolve to one above its base URL.
///
/// Anything else is passed on as it is: what an encoded slash means is up to the agent.
pub(super) fn check_dots(rest: &str) -> Result<(), ErrorResponse> {
    let decoded: Vec<u8> = percent_decode_str(rest).collect();
    let segments = decoded.split(|byte| matches!(byte, b'/' | b'\\'));
    // Servers of Java remove the parameters of a segment, as in `..;x`, before they resolve it.
    let mut names = segments.map(|segment| segment.split(|byte| *byte == b';').next());
    if names.any(|name| matches!(name, Some(b"." | b".."))) {
        let message = "the path has a segment `.` or `..`; resolve it in the client";
        return Err(ErrorResponse::bad_request(message));
    }
    Ok(())
}

/// Splits off the first segment. The rest is empty or begins with a slash.
pub(super) fn first_segment(path: &str) -> (&str, &str) {
    path.split_at(path.find('/').unwrap_or(path.len()))
}

/// Decodes a segment, once.
pub(super) fn decoded(segment: &str) -> Result<Cow<'_, str>, ErrorResponse> {
    percent_decode_str(segment).decode_utf8().map_err(|_| {
        ErrorResponse::new(StatusCode::BAD_REQUEST, "a segment of the path is not UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(sessions: &[&str]) -> HeaderMap {
        sessions
            .iter()
            .map(|session| (SESSION_HEADER.parse().unwrap(), session.parse().unwrap()))
            .collect()
    }

    /// The session and the rest of a path, or `None` if it is refused.
    fn session(path: &str, headers_with: &[&str]) -> Option<(Option<String>, String)> {
        let route = Route::parse(path).ok()?;
        let (session, rest) = route.session(&headers(headers_with)).ok()?;
        Some((session.map(|id| id.to_string()), rest.to_owned()))
    }

    #[test]
    fn a_session_is_in_the_path_or_in_the_header() {
        let long = "s".repeat(MAX_SESSION_BYTES);
        for (path, in_headers, expected, rest) in [
            ("/a", &[][..], None, ""),
            ("/a/", &[], None, "/"),
            ("/a/v1/x", &["s"], Some("s"), "/v1/x"),
            ("/a/~s", &[], Some("s"), ""),
            ("/a/~s/v1/x", &[], Some("s"), "/v1/x"),
            ("/a/~s/~t", &[], Some("s"), "/~t"),
            ("/a/%7Es/x", &[], Some("s"), "/x"),
            ("/a/~s%2Ft%20u/x", &[], Some("s/t u"), "/x"),
            // Decoded once.
            ("/a/~s%2541/x", &[], Some("s%41"), "/x"),
            ("/a/~s/x", &["s"], Some("s"), "/x"),
            ("/a/~s/x", &[""], Some("s"), "/x"),
            ("/a/x", &[" "], None, "/x"),
            ("/a/%FF/x", &[], None, "/%FF/x"),
            ("/a//x", &[], None, "//x"),
            (&format!("/a/~{long}/x"), &[], Some(&long), "/x"),
        ] {
            let found = session(path, in_headers);
            assert_eq!(found, Some((expected.map(str::to_owned), rest.to_owned())), "{path}");
        }
        for (path, in_headers) in [
            ("/a/~s/x", &["t"][..]),
            ("/a/x", &["s", "s"]),
            ("/a/~/x", &[]),
            ("/a/~%0a/x", &[]),
            (&format!("/a/~{long}s/x"), &[]),
        ] {
            assert_eq!(session(path, in_headers), None, "{path}");
        }
    }

    #[test]
    fn the_first_segment_is_decoded_once() {
        for (path, first, rest) in [
            ("/a", "a", ""),
            ("/a%20b/x", "a b", "/x"),
            ("/%2561/x", "%61", "/x"),
            ("//x", "", "/x"),
            ("/..%2fa", "../a", ""),
        ] {
            let route = Route::parse(path).unwrap();
            assert_eq!((&*route.first, route.rest), (first, rest), "{path}");
        }
        Route::parse("*").unwrap_err();
        Route::parse("/%ff").unwrap_err();
    }

    #[test]
    fn a_path_may_not_leave_its_base() {
        for rest in [
            "",
            "/",
            "/v1/x",
            "/a..b/.x/x./...",
            "/%2F/x",
            "/a%2Fb",
            "/%252e%252e/x",
            "//",
            "/a;..;/;../x;b=..",
        ] {
            check_dots(rest).unwrap_or_else(|_| panic!("{rest}"));
        }
        for rest in [
            "/..",
            "/.",
            "/../x",
            "/x/..",
            "/%2e%2e/x",
            "/.%2E/x",
            "/x%2f..",
            "/..%2fx",
            "/x\\..\\y",
            "/x%5c%2e%2e",
            "/..;/x",
            "/x/..;a=b",
            "/x/%2e.%3b/y",
            "/.;/x",
        ] {
            check_dots(rest).expect_err(rest);
        }
    }
}
