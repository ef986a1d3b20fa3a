//! Clients that send what they are given: services of `http::Request` and of `reqwest::Request`.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http_body_util::{BodyExt, BodyStream, Full};
use serde_json::{Value, json};
use tower::{BoxError, Service, ServiceExt as _};

use crate::{Client, MODEL, Pieces};

/// The body of a request to the agent.
pub(crate) fn question(stream: bool) -> Value {
    let mut question = json!({
        "model": MODEL,
        "messages": [{"role": "user", "content": "What does the trade say?"}],
        "stream": stream,
    });
    if stream {
        question["stream_options"] = json!({"include_usage": true});
    }
    question
}

/// The text of a piece of a body.
pub(crate) fn text(bytes: Bytes) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A client that is a service of `http::Request`.
#[derive(Clone, Debug)]
pub struct HttpClient<S> {
    service: S,
    url: String,
}

impl<S, B> HttpClient<S>
where
    S: Service<http::Request<Full<Bytes>>, Response = http::Response<B>> + Clone,
    S::Error: Into<BoxError>,
{
    /// The client asks the agent with this base URL.
    pub fn new(service: S, url: &str) -> Self {
        Self { service, url: url.to_owned() }
    }

    async fn send(&self, stream: bool) -> Result<B, BoxError> {
        let request = http::Request::post(format!("{}/chat/completions", self.url))
            .header("content-type", "application/json")
            .body(Full::from(question(stream).to_string()))?;
        let response = self.service.clone().oneshot(request).await.map_err(Into::into)?;
        match response.status() {
            status if status.is_success() => Ok(response.into_body()),
            status => Err(status.to_string().into()),
        }
    }
}

impl<S, B> Client for HttpClient<S>
where
    S: Service<http::Request<Full<Bytes>>, Response = http::Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: BodyExt<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    async fn ask(&self) -> Result<String, BoxError> {
        let body = self.send(false).await?.collect().await.map_err(Into::into)?;
        Ok(text(body.to_bytes()))
    }

    async fn stream(&self) -> Result<Pieces, BoxError> {
        let frames = BodyStream::new(self.send(true).await?);
        let pieces = frames.map_ok(|frame| text(frame.into_data().unwrap_or_default()));
        Ok(Box::pin(pieces.map_err(Into::into)))
    }
}

/// A client that is a service of `reqwest::Request`.
#[derive(Clone, Debug)]
pub struct ReqwestClient<S> {
    service: S,
    url: String,
}

impl<S> ReqwestClient<S>
where
    S: Service<reqwest::Request, Response = reqwest::Response> + Clone,
    S::Error: Into<BoxError>,
{
    /// The client asks the agent with this base URL.
    pub fn new(service: S, url: &str) -> Self {
        Self { service, url: url.to_owned() }
    }

    async fn send(&self, stream: bool) -> Result<reqwest::Response, BoxError> {
        let url = format!("{}/chat/completions", self.url);
        let request = reqwest::Client::new().post(url).json(&question(stream)).build()?;
        let response = self.service.clone().oneshot(request).await.map_err(Into::into)?;
        Ok(response.error_for_status()?)
    }
}

impl<S> Client for ReqwestClient<S>
where
    S: Service<reqwest::Request, Response = reqwest::Response> + Clone,
    S::Error: Into<BoxError>,
{
    async fn ask(&self) -> Result<String, BoxError> {
        Ok(self.send(false).await?.text().await?)
    }

    async fn stream(&self) -> Result<Pieces, BoxError> {
        let bytes = self.send(true).await?.bytes_stream();
        Ok(Box::pin(bytes.map_ok(text).map_err(Into::into)))
    }
}
