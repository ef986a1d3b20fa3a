//! The orchestrator: asks one agent after the other what becomes of a document.
//!
//! It knows nothing of status. It is given four clients and calls them.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tower::{BoxError, Service, ServiceExt as _};

/// How many trades a confirmation may have. One with more is a statement, which is not
/// for these agents.
const MAX_TRADES: usize = 2;

/// What is to be processed.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) id: String,
    pub(crate) source_type: String,
    pub(crate) correlation_id: String,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settlement {
    Matched,
    SentToReview,
}

/// An agent: where it is, and the client to call it by.
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
        let pdf = self.pdf_adapter.ask(document, json!({})).await?;
        let trades = self.trade_extraction.extract(document, &pdf["output_location"]).await?;
        let matching = self.trade_matching.ask(document, json!({ "trades": trades })).await?;
        if matching["classification"] == "MATCHED" {
            return Ok(Settlement::Matched);
        }
        self.exception_management.ask(document, json!({ "matching": matching })).await?;
        Ok(Settlement::SentToReview)
    }
}

impl<C, B> Agent<C>
where
    C: Service<Request<Full<Bytes>>, Response = Response<B>, Error: Into<BoxError>> + Clone,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    /// Asks an agent that answers in one piece.
    async fn ask(&self, document: &Document, input: Value) -> Result<Value, BoxError> {
        let response = self.call(document, input).await?;
        let body = response.into_body().collect().await.map_err(Into::into)?.to_bytes();
        answered_well(serde_json::from_slice(&body)?)
    }

    /// Asks an agent that streams: each complete line of the model's text is a trade.
    async fn extract(&self, document: &Document, text: &Value) -> Result<Vec<Value>, BoxError> {
        let response = self.call(document, json!({ "canonical_output": text })).await?;
        let content_type = response.headers().get(header::CONTENT_TYPE);
        if content_type.is_none_or(|kind| kind != "text/event-stream") {
            let body = response.into_body().collect().await.map_err(Into::into)?.to_bytes();
            answered_well(serde_json::from_slice(&body)?)?;
            return Err("the agent did not stream".into());
        }
        let mut body = response.into_body();
        let (mut received, mut written) = (Vec::new(), String::new());
        while let Some(frame) = body.frame().await {
            if let Ok(piece) = frame.map_err(Into::into)?.into_data() {
                received.extend_from_slice(&piece);
            }
            while let Some(event) = next_event(&mut received) {
                let event: Value = serde_json::from_slice(&event)?;
                if let Some(text) = event["event"]["contentBlockDelta"]["delta"]["text"].as_str() {
                    written.push_str(text);
                }
            }
            // Returning drops the body, and with it the connection: the agent need not
            // go on.
            let trades = written.matches('\n').count();
            if trades > MAX_TRADES {
                return Err(format!(
                    "{} has more than {MAX_TRADES} trades: a statement, not a confirmation",
                    document.id
                )
                .into());
            }
        }
        written.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    async fn call(&self, document: &Document, mut input: Value) -> Result<Response<B>, BoxError> {
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
        Err(format!("an agent answered {status}: {}", String::from_utf8_lossy(&body)).into())
    }
}

/// An agent may say in the answer itself that it failed.
fn answered_well(answer: Value) -> Result<Value, BoxError> {
    if answer["success"] == true {
        return Ok(answer);
    }
    Err(answer["error"].as_str().unwrap_or("an agent reported a failure").into())
}

/// Takes the data of the first event out of what was received, once all of it is there.
fn next_event(received: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = received.windows(2).position(|pair| pair == b"\n\n")?;
    let event: Vec<u8> = received.drain(..end + 2).collect();
    Some(event.strip_prefix(b"data: ").unwrap_or(&event).to_vec())
}
