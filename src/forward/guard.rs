//! Access control: the host, the token, and no web pages.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Method, Request, StatusCode, Version};
use percent_encoding::percent_decode_str;

use super::TOKEN_HEADER;
use super::error::ErrorResponse;
use crate::listener::{HostError, Hosts, Token, check_host};

/// Set by browsers, to say where a request comes from. `none` is the user, in the address bar.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Refuses requests of web pages, to other hosts, and of clients that use the forwarder as a general
/// proxy.
pub(super) fn check<B>(request: &Request<B>, hosts: &Hosts) -> Result<(), ErrorResponse> {
    let headers = request.headers();
    let is_page = headers.contains_key(ORIGIN)
        || headers.get_all(SEC_FETCH_SITE).iter().any(|site| site != "none");
    if is_page {
        let message = "web pages are not allowed to call the forwarder";
        return Err(ErrorResponse::new(StatusCode::FORBIDDEN, message));
    }
    if request.method() == Method::CONNECT {
        let message =
            "the forwarder does not support CONNECT; use it as a base URL, as in `/{agent}/…`";
        return Err(ErrorResponse::new(StatusCode::METHOD_NOT_ALLOWED, message));
    }
    let is_absolute = request.version() < Version::HTTP_2 && request.uri().authority().is_some();
    if is_absolute {
        let message = "the forwarder is not a proxy for other hosts; use it as a base URL, as in `/{agent}/…`";
        return Err(ErrorResponse::bad_request(message));
    }
    check_host(request, hosts).map_err(|error| match error {
        HostError::NotOne => {
            ErrorResponse::bad_request("a request must have exactly one `Host` header")
        }
        HostError::NotAllowed => ErrorResponse::new(
            StatusCode::MISDIRECTED_REQUEST,
            "the host of the request is not allowed; allow it with `allow_host`, or with \
             `--allow-host` of the command",
        ),
    })?;
    // An HTTP/2 request may have both, and the agent might read the other one.
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    match (authority, host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            Err(ErrorResponse::bad_request("`:authority` and `Host` differ"))
        }
        _ => Ok(()),
    }
}

/// Checks the token, if one is set. Returns the rest of the path.
pub(super) fn check_token<'a>(
    token: Option<&Token>,
    headers: &HeaderMap,
    path: &'a str,
) -> Result<&'a str, ErrorResponse> {
    let Some(token) = token else { return Ok(path) };
    let mut given = headers.get_all(TOKEN_HEADER).iter();
    let behind = match (given.next(), given.next()) {
        (Some(given), None) => token.equals(given.as_bytes()).then_some(path),
        (Some(_), Some(_)) => None,
        (None, _) => {
            let path = path.strip_prefix('/').unwrap_or(path);
            let end = path.find('/').unwrap_or(path.len());
            let (first, behind) = path.split_at(end);
            let first: Vec<u8> = percent_decode_str(first).collect();
            token.equals(&first).then_some(behind)
        }
    };
    behind.ok_or_else(|| {
        let message = "the forwarder's token is missing or wrong; send it in the header \
                       `x-agent-status-token` or as the first segment of the path";
        ErrorResponse::new(StatusCode::UNAUTHORIZED, message)
    })
}
