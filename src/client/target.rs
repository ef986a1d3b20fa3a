//! [`Target`]: where a request goes, as a rule that chooses the agent.

use crate::session::RequestHead;

/// Where a request goes: a host, a path, or an agent runtime of `AgentCore`.
///
/// ```
/// use tower_agent_status::{StatusLayer, StatusTracker, Target};
///
/// # fn example(tracker: &StatusTracker) -> StatusLayer {
/// StatusLayer::per_request(tracker)
///     .agent_for(
///         Target::agent_runtime("arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/pdf_adapter-x1"),
///         "pdfAdapter",
///     )
///     .agent_for(Target::host("api.openai.com"), "tradeExtraction")
///     .agent_for(Target::path_prefix("/agents/matching"), "tradeMatching")
///     .agent_for(Target::host("gateway:8443").and_path_prefix("/exceptions"), "exceptionManagement")
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// In lower case, and the port if the rule has one.
    host: Option<(String, Option<u16>)>,
    path: Option<PathRule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PathRule {
    /// Decoded, without a trailing slash.
    Below(Vec<u8>),
    /// The ARN of a runtime.
    Runtime(String),
}

impl Target {
    /// Matches requests to this host: that of the URI, or of the `host` header if the URI has
    /// none. Case does not matter.
    ///
    /// With a port (`localhost:8081`), the request's port must be the same, or the default of its
    /// scheme. Without one, any port matches.
    ///
    /// # Panics
    ///
    /// If this is not a host, or a host and a port. A URL, for example, is not.
    #[must_use]
    pub fn host(host: &str) -> Self {
        let (name, port) = split_port(host);
        let is_host = !name.is_empty()
            && !name.contains(['/', '@', '?', '#', ' '])
            && (name.starts_with('[') || !name.contains(':'));
        assert!(
            is_host,
            "Target: `{host}` is not a host; use a name and optionally a port, without a scheme"
        );
        Self { host: Some((name.to_ascii_lowercase(), port)), path: None }
    }

    /// Matches requests to this path and to all paths below it: `/agents/pdf` matches
    /// `/agents/pdf/run` but not `/agents/pdf2`. Percent-encoding does not matter.
    ///
    /// # Panics
    ///
    /// If it does not begin with a slash, or has a query.
    #[must_use]
    pub fn path_prefix(path: &str) -> Self {
        Self { host: None, path: Some(PathRule::below(path)) }
    }

    /// Also requires this [path](Self::path_prefix), in place of an earlier path or runtime.
    ///
    /// # Panics
    ///
    /// Under the conditions of [`path_prefix`](Self::path_prefix).
    #[must_use]
    pub fn and_path_prefix(self, path: &str) -> Self {
        Self { path: Some(PathRule::below(path)), ..self }
    }

    /// Matches invocations of an agent runtime of Amazon Bedrock `AgentCore`, by the ARN in their
    /// path: `/runtimes/{url-encoded ARN}/invocations`.
    ///
    /// # Panics
    ///
    /// If this is not an ARN.
    #[must_use]
    pub fn agent_runtime(arn: &str) -> Self {
        let is_arn = arn.starts_with("arn:") && !arn.contains(['%', '?', ' ']);
        assert!(is_arn, "Target: `{arn}` is not an ARN; use it as it is, not URL-encoded");
        Self { host: None, path: Some(PathRule::Runtime(arn.to_owned())) }
    }

    /// Whether a request goes to this target.
    pub(super) fn matches(&self, head: RequestHead<'_>) -> bool {
        let host_fits = self.host.as_ref().is_none_or(|(name, port)| {
            let named = head.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
            let (host, at) = match head.host {
                // A URL may leave out the default port of its scheme.
                Some(host) => (host, head.port.or_else(|| port_of(head.scheme?))),
                None => split_port(named.unwrap_or_default()),
            };
            host.eq_ignore_ascii_case(name) && port.is_none_or(|port| at == Some(port))
        });
        host_fits && self.path.as_ref().is_none_or(|rule| rule.fits(head.path))
    }
}

impl PathRule {
    fn below(path: &str) -> Self {
        let is_path = path.starts_with('/') && !path.contains(['?', '#']);
        assert!(
            is_path,
            "Target: `{path}` is not a path; it must begin with `/` and have no query"
        );
        Self::Below(decoded(path.trim_end_matches('/')).collect())
    }

    fn fits(&self, path: &str) -> bool {
        match self {
            Self::Below(prefix) => {
                let mut path = decoded(path);
                let begins = prefix.iter().all(|byte| path.next() == Some(*byte));
                begins && matches!(path.next(), None | Some(b'/'))
            }
            Self::Runtime(arn) => path
                .strip_prefix("/runtimes/")
                .and_then(|rest| rest.strip_suffix("/invocations"))
                .is_some_and(|runtime| decoded(runtime).eq(arn.bytes())),
        }
    }
}

/// The default port of a scheme.
pub(super) fn port_of(scheme: &str) -> Option<u16> {
    match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}

/// `localhost:8081` without its port, and the port. An IPv6 address is in brackets.
fn split_port(host: &str) -> (&str, Option<u16>) {
    match host.rsplit_once(':').map(|(name, port)| (name, port.parse())) {
        Some((name, Ok(port))) => (name, Some(port)),
        _ => (host, None),
    }
}

/// The bytes of a path, percent-decoded. Invalid escapes stay as they are.
fn decoded(path: &str) -> impl Iterator<Item = u8> {
    let mut rest = path.as_bytes();
    std::iter::from_fn(move || {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        if let [b'%', high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            rest = after;
            return u8::try_from(high * 16 + low).ok();
        }
        let (first, after) = rest.split_first()?;
        rest = after;
        Some(*first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/pdf-x1";

    fn fits(target: &Target, uri: &str) -> bool {
        let request = http::Request::builder().uri(uri).header("host", "header.example:81");
        target.matches(RequestHead::new(&request.body(()).unwrap()))
    }

    #[test]
    fn a_host_is_that_of_the_uri_or_else_of_the_header() {
        let host = Target::host("API.example");
        assert!(fits(&host, "https://api.Example/v1") && fits(&host, "https://api.example:8443/"));
        assert!(!fits(&host, "https://api.example.org/") && !fits(&host, "/v1"));
        assert!(fits(&Target::host("header.example"), "/v1"));
        assert!(fits(&Target::host("header.example:81"), "/v1"));
        assert!(!fits(&Target::host("header.example:82"), "/v1"));
        assert!(fits(&Target::host("localhost:8081"), "http://localhost:8081/"));
        assert!(!fits(&Target::host("localhost:8081"), "http://localhost:8082/"));
        assert!(!fits(&Target::host("localhost:8081"), "http://localhost/"));
        assert!(
            fits(&Target::host("[::1]:80"), "http://[::1]:80/")
                && fits(&Target::host("[::1]"), "http://[::1]/")
        );
    }

    #[test]
    fn a_path_means_what_is_below_it() {
        for rule in ["/agents/pdf", "/agents/pdf/", "/agents/p%64f"] {
            let path = Target::path_prefix(rule);
            for uri in
                ["/agents/pdf", "/agents/pdf/", "http://x/agents/pdf/run?q=1", "/agents/%70df"]
            {
                assert!(fits(&path, uri), "{rule} {uri}");
            }
            for uri in ["/agents/pdf2", "/agents", "/", "/x/agents/pdf"] {
                assert!(!fits(&path, uri), "{rule} {uri}");
            }
        }
        assert!(
            fits(&Target::path_prefix("/"), "/anything")
                && fits(&Target::path_prefix("/"), "http://x")
        );
        let both = Target::host("a.example").and_path_prefix("/b");
        assert!(fits(&both, "http://a.example/b/c"));
        assert!(!fits(&both, "http://a.example/c") && !fits(&both, "http://c.example/b"));
    }

    #[test]
    fn a_runtime_is_known_by_its_arn_however_it_is_encoded() {
        let runtime = Target::agent_runtime(ARN);
        let upper = ARN.replace(':', "%3A").replace('/', "%2F");
        for arn in [&*upper, &upper.replace("%3A", "%3a"), &ARN.replace('/', "%2F"), ARN] {
            assert!(fits(&runtime, &format!("https://x/runtimes/{arn}/invocations?qualifier=v2")));
        }
        for arn in [&*upper.replace("x1", "x12"), "pdf-x1", "", "%", "%zz"] {
            assert!(!fits(&runtime, &format!("/runtimes/{arn}/invocations")), "{arn}");
        }
        assert!(!fits(&runtime, &format!("/{upper}/invocations")));
    }

    #[test]
    fn what_is_no_target_is_refused() {
        let refused: [fn() -> Target; 9] = [
            || Target::host(""),
            || Target::host(":80"),
            || Target::host("https://api.example"),
            || Target::host("api.example/v1"),
            || Target::host("a:b:c"),
            || Target::path_prefix("agents"),
            || Target::path_prefix(""),
            || Target::path_prefix("/a?b=c"),
            || Target::agent_runtime("runtime/pdf"),
        ];
        for (n, target) in refused.into_iter().enumerate() {
            std::panic::catch_unwind(target).expect_err(&n.to_string());
        }
    }
}
