//! The orchestrator: sends a document through one agent after the other.
//!
//! It knows nothing about status tracking: it has four clients and calls them.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tower::{BoxError, Service, ServiceExt as _};

/// The most trades a confirmation can have. A document with more is a statement, which these
/// agents do not process.
const MAX_TRADES: usize = 2;

/// A document to process.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) id: String,
    pub(crate) source_type: String,
    pub(crate) correlation_id: String,
}

/// The outcome for a document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settlement {
    Matched,
    SentToReview,
}

/// An agent: its URL, and the client that calls it.
#[derive(Clone, Debug)]
pub(crate) struct Agent<C> {
    pub(crate) client: C,
    pub(crate) url: Uri,
}

/// Calls the four agents in turn.
#[derive(Clone, Debug)]
pub(crate) struct Orchestrator<C> {
    pub(crate) pdf_adapter: Agent<C>,
    pub(crate) trade_extraction: Agent<C>,
    pub(crate) trade_matching: Agent<C>,
    pub(crate) exception_management: Agent<C>,
}

impl<C, B> Orchestrator<C>
where
    C: Service<Request<Full<Bytes>>, Response = Response<B>, Error: Into<BoxError>> + Clone,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    pub(crate) async fn process(&self, document: &Document) -> Result<Settlement, BoxError> {
        let pdf = self.pdf_adapter.request(document, json!({})).await?;
        let trades = self.trade_extraction.extract(document, &pdf["output_location"]).await?;
        let matching = self.trade_matching.request(document, json!({ "trades": trades })).await?;
        if matching["classification"] == "MATCHED" {
            return Ok(Settlement::Matched);
        }
        self.exception_management.request(document, json!({ "matching": matching })).await?;
        Ok(Settlement::SentToReview)
    }
}

impl<C, B> Agent<C>
where
    C: Service<Request<Full<Bytes>>, Response = Response<B>, Error: Into<BoxError>> + Clone,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    /// Calls an agent that responds with JSON.
    async fn request(&self, document: &Document, input: Value) -> Result<Value, BoxError> {
        let response = self.send(document, input).await?;
        let body = response.into_body().collect().await.map_err(Into::into)?.to_bytes();
        successful(serde_json::from_slice(&body)?)
    }

    /// Calls an agent that streams. Each complete line of the model's text is a trade.
    async fn extract(&self, document: &Document, location: &Value) -> Result<Vec<Value>, BoxError> {
        let response = self.send(document, json!({ "canonical_output": location })).await?;
        let content_type = response.headers().get(header::CONTENT_TYPE);
        if content_type.is_none_or(|kind| kind != "text/event-stream") {
            let body = response.into_body().collect().await.map_err(Into::into)?.to_bytes();
            successful(serde_json::from_slice(&body)?)?;
            return Err("the agent did not stream".into());
        }
        let mut body = response.into_body();
        let (mut buffer, mut text) = (Vec::new(), String::new());
        while let Some(frame) = body.frame().await {
            if let Ok(chunk) = frame.map_err(Into::into)?.into_data() {
                buffer.extend_from_slice(&chunk);
            }
            while let Some(event) = next_event(&mut buffer) {
                let event: Value = serde_json::from_slice(&event)?;
                if let Some(delta) = event["event"]["contentBlockDelta"]["delta"]["text"].as_str() {
                    text.push_str(delta);
                }
            }
            // Returning drops the body and closes the connection, which cancels the call.
            let trades = text.matches('\n').count();
            if trades > MAX_TRADES {
                return Err(format!(
                    "{} has more than {MAX_TRADES} trades: a statement, not a confirmation",
                    document.id
                )
                .into());
            }
        }
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    async fn send(&self, document: &Document, mut input: Value) -> Result<Response<B>, BoxError> {
        input["document_id"] = document.id.as_str().into();
        input["source_type"] = document.source_type.as_str().into();
        input["correlation_id"] = document.correlation_id.as_str().into();
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(input.to_string()))?;
        let response = self.client.clone().oneshot(request).await.map_err(Into::into)?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let body = response.into_body().collect().await.map_err(Into::into)?.to_bytes();
        Err(format!("an agent responded with {status}: {}", String::from_utf8_lossy(&body)).into())
    }
}

/// Returns the response if it reports success: an agent may fail with status 200.
fn successful(response: Value) -> Result<Value, BoxError> {
    if response["success"] == true {
        return Ok(response);
    }
    Err(response["error"].as_str().unwrap_or("an agent reported a failure").into())
}

/// Removes the first complete event from the buffer and returns its data.
fn next_event(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = buffer.windows(2).position(|pair| pair == b"\n\n")?;
    let event: Vec<u8> = buffer.drain(..end + 2).collect();
    Some(event.strip_prefix(b"data: ").unwrap_or(&event).to_vec())
}
