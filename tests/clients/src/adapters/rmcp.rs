//! rmcp's `StreamableHttpClient`: tool calls go through the layer, all else past it.

// adapter
use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream::BoxStream};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::RequestBuilder;
use rmcp::model::ClientRequest::CallToolRequest;
use rmcp::model::{ClientJsonRpcMessage as Message, JsonRpcRequest as Call};
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
        let Message::Request(Call { request: CallToolRequest(_), .. }) = &message else {
            return self.0.get_ref().post_message(uri, message, session, token, headers).await;
        };
        let request = self.0.get_ref().post(&*uri).headers(headers.into_iter().collect());
        let request = request.header(ACCEPT, "text/event-stream, application/json").json(&message);
        let request = token.iter().fold(request, RequestBuilder::bearer_auth);
        let request = session.iter().fold(request, |r, id| r.header("mcp-session-id", &**id));
        let response = self.0.clone().oneshot(request.build()?).await?;
        if session.is_some() && response.status() == http::StatusCode::NOT_FOUND {
            return Err(Error::SessionExpired);
        }
        let content_type = response.error_for_status_ref()?.headers().get(CONTENT_TYPE);
        if content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream")) {
            let events = SseStream::from_bytes_stream(response.bytes_stream()).boxed();
            return Ok(Posted::Sse(events, None));
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
