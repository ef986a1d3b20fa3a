//! [`Runtime`]: the paths of an agent runtime.

use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Either;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tower_agent_status::forward::{RequestBody, ResponseBody};
use tower_service::Service;

use super::target::RuntimeArn;

/// Sends requests to one runtime: `/invocations` becomes `/runtimes/{ARN}/invocations`. The AWS SDKs
/// put the ARN into the path themselves. A request to another runtime is refused.
#[derive(Clone, Debug)]
pub(super) struct Runtime<S> {
    inner: S,
    arn: RuntimeArn,
}

impl<S> Runtime<S> {
    pub(super) fn new(inner: S, arn: RuntimeArn) -> Self {
        Self { inner, arn }
    }
}

impl<S, B> Service<Request<RequestBody>> for Runtime<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<Either<B, ResponseBody>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        match path_of(&self.arn, request.uri()) {
            Some(uri) => {
                *request.uri_mut() = uri;
                let response = self.inner.call(request);
                Box::pin(async { Ok(response.await?.map(Either::Left)) })
            }
            None => {
                let body = r#"{"error":{"type":"not_found","message":"the path names a runtime other than that of the agent"}}"#;
                let body = ResponseBody::from(Bytes::from_static(body.as_bytes()));
                let mut response = Response::new(Either::Right(body));
                *response.status_mut() = StatusCode::NOT_FOUND;
                let json = http::HeaderValue::from_static("application/json");
                response.headers_mut().insert(http::header::CONTENT_TYPE, json);
                Box::pin(ready(Ok(response)))
            }
        }
    }
}

/// The URL of a request at the runtime; `None` if its path names another one.
fn path_of(arn: &RuntimeArn, uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    if let Some(named) = path.strip_prefix("/runtimes/") {
        let end = named.find('/').unwrap_or(named.len());
        // An ARN contains a slash, which some clients leave as it is.
        let is_same = percent_decode_str(&named[..end]).eq(arn.as_str().bytes())
            || named
                .strip_prefix(arn.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        return is_same.then(|| uri.clone());
    }
    let encoded = utf8_percent_encode(arn.as_str(), NON_ALPHANUMERIC);
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    let path = format!("/runtimes/{encoded}{path}{query}");
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::super::target::{Target, parse};
    use super::*;

    const ARN: &str = "arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/pdf-x1";
    const ENCODED: &str =
        "arn%3Aaws%3Abedrock%2Dagentcore%3Aeu%2Dwest%2D1%3A123456789012%3Aruntime%2Fpdf%2Dx1";

    #[test]
    fn a_path_is_that_of_the_runtime() {
        let Target::Runtime(arn) = parse(&format!("a={ARN}")).unwrap().target else { panic!() };
        let path = |path: &str| {
            let uri = format!("https://x{path}").parse().unwrap();
            path_of(&arn, &uri).map(|uri| uri.path_and_query().unwrap().to_string())
        };
        for (given, expected) in [
            ("/invocations?qualifier=v2", format!("/runtimes/{ENCODED}/invocations?qualifier=v2")),
            ("/ws", format!("/runtimes/{ENCODED}/ws")),
            ("/", format!("/runtimes/{ENCODED}/")),
        ] {
            assert_eq!(path(given), Some(expected));
        }
        let of_sdk = ARN.replace(':', "%3A").replace('/', "%2F");
        for named in [ENCODED, &of_sdk, &of_sdk.replace("%3A", "%3a"), ARN] {
            let given = format!("/runtimes/{named}/invocations?qualifier=v2");
            assert_eq!(path(&given), Some(given));
        }
        for named in
            [&*of_sdk.replace("pdf", "csv"), &format!("{of_sdk}2"), &format!("{ARN}2"), "", "x"]
        {
            assert_eq!(path(&format!("/runtimes/{named}/invocations")), None, "{named}");
        }
    }
}
