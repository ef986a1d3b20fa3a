//! azure_core's `HttpClient`, around reqwest's client with the layer.

// adapter
use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request};
use futures_util::TryStreamExt as _;
use tower::ServiceExt as _;
use tower_agent_status::StatusService;

#[derive(Clone, Debug)]
pub struct TrackedClient(pub StatusService<reqwest::Client>);

#[async_trait]
impl HttpClient for TrackedClient {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let method =
            request.method().as_str().parse().map_err(|e| Error::new(ErrorKind::Other, e))?;
        let mut outgoing = reqwest::Request::new(method, request.url().clone());
        for (name, value) in request.headers().iter() {
            let name = name.as_str().parse::<http::HeaderName>();
            let name = name.map_err(|e| Error::new(ErrorKind::DataConversion, e))?;
            let value =
                value.as_str().parse().map_err(|e| Error::new(ErrorKind::DataConversion, e))?;
            outgoing.headers_mut().insert(name, value);
        }
        *outgoing.body_mut() = Some(match request.body().clone() {
            Body::Bytes(bytes) => bytes.into(),
            Body::SeekableStream(stream) => reqwest::Body::wrap_stream(stream),
        });
        let response = self.0.clone().oneshot(outgoing).await.map_err(|error| {
            let kind = if error.is_connect() { ErrorKind::Connection } else { ErrorKind::Io };
            Error::new(kind, error)
        })?;
        let mut headers = Headers::new();
        for (name, value) in response.headers() {
            if let Ok(value) = value.to_str() {
                headers.insert(name.as_str().to_owned(), value.to_owned());
            }
        }
        let status = response.status().as_u16().into();
        let body = response.bytes_stream().map_err(|error| Error::new(ErrorKind::Io, error));
        Ok(AsyncRawResponse::new(status, headers, Box::pin(body)))
    }
}
// end
