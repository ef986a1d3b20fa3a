//! [`Sign`]: signs the calls of agent runtimes with `SigV4`.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tower_agent_status::forward::{Client, RequestBody, ResponseBody};
use tower_service::Service;

use super::credentials::Credentials;

type BoxError = Box<dyn Error + Send + Sync>;

/// The name under which requests to `AgentCore` are signed.
const SERVICE: &str = "bedrock-agentcore";

/// Signs requests, and sends them. The signature of the client names another host, so it is replaced.
/// A signature covers the body, so that is read as a whole.
#[derive(Clone, Debug)]
pub(super) struct Sign {
    client: Client,
    credentials: Credentials,
    region: String,
    max_body: usize,
}

impl Sign {
    pub(super) fn new(
        client: Client,
        credentials: Credentials,
        region: String,
        max_body: usize,
    ) -> Self {
        Self { client, credentials, region, max_body }
    }

    async fn send(
        mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, BoxError> {
        let (mut head, body) = request.into_parts();
        let body = match Limited::new(body, self.max_body).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Ok(too_large(self.max_body)),
            Err(error) => return Err(error),
        };
        remove_signature(&mut head.headers);
        // The body is whole now: its length is known, and there are no trailers.
        head.headers.remove(http::header::TRAILER);
        head.headers.remove(http::header::EXPECT);
        if !body.is_empty() || head.headers.contains_key(http::header::CONTENT_LENGTH) {
            head.headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let mut request = Request::from_parts(head, ());
        let identity = self.credentials.get().await?.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?;
        let signed = signed_headers(request.headers());
        let uri = request.uri().to_string();
        let signable = SignableRequest::new(
            request.method().as_str(),
            &uri,
            signed,
            SignableBody::Bytes(&body),
        )?;
        let (instructions, _) = sign(signable, &parameters.into())?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        self.client.call(request.map(|()| RequestBody::from(body))).await
    }
}

impl Service<Request<RequestBody>> for Sign {
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.client.poll_ready(cx)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

/// Removes what a client has signed its request with.
fn remove_signature(headers: &mut HeaderMap) {
    let of_client: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("x-amz-")).cloned().collect();
    for name in of_client.iter().chain([&AUTHORIZATION]) {
        headers.remove(name);
    }
}

/// What is signed besides the host: the headers that the service reads. Others may change on the way.
fn signed_headers(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .iter()
        .filter(|(name, _)| **name == CONTENT_TYPE || name.as_str().starts_with("x-amzn-"))
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
}

fn too_large(limit: usize) -> Response<ResponseBody> {
    let message = format!(
        r#"{{"error":{{"type":"invalid_request","message":"the body is larger than {limit} bytes, the limit for signed calls; raise `--max-signed-body`"}}}}"#
    );
    let mut response = Response::new(ResponseBody::from(Bytes::from(message)));
    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
