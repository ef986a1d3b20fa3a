//! rmcp's `StreamableHttpClient`: tool calls go through the layer, all else past it.

// adapter
use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream::BoxStream};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use rmcp::model::{ClientJsonRpcMessage as Message, ClientRequest};
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError as Error,
    StreamableHttpPostResponse as Posted,
};
use sse_stream::{Sse, SseStream};
use tower::ServiceExt as _;
use tower_agent_status::StatusService;

#[derive(Clone, Debug)]
pub struct ToolCalls(pub StatusService<reqwest::Client>);

impl StreamableHttpClient for ToolCalls {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: Message,
        session: Option<Arc<str>>,
        token: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<Posted, Error<reqwest::Error>> {
        let client = self.0.get_ref();
        match &message {
            Message::Request(r) if matches!(r.request, ClientRequest::CallToolRequest(_)) => {}
            _ => return client.post_message(uri, message, session, token, headers).await,
        }
        let mut request = client.post(&*uri).headers(headers.into_iter().collect());
        request = request.header(ACCEPT, "text/event-stream, application/json").json(&message);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(session) = &session {
            request = request.header("mcp-session-id", &**session);
        }
        let response = self.0.clone().oneshot(request.build()?).await?;
        if session.is_some() && response.status() == http::StatusCode::NOT_FOUND {
            return Err(Error::SessionExpired);
        }
        let response = response.error_for_status()?;
        let content_type = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if content_type.is_some_and(|value| value.starts_with(b"text/event-stream")) {
            let events = SseStream::from_bytes_stream(response.bytes_stream());
            return Ok(Posted::Sse(events.boxed(), None));
        }
        Ok(Posted::Json(response.json().await?, None))
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        token: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Error<reqwest::Error>> {
        self.0.get_ref().delete_session(uri, session, token, headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        token: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Error<reqwest::Error>> {
        self.0.get_ref().get_stream(uri, session, last_event, token, headers).await
    }
}
// end
