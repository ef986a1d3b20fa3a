//! A model's API that answers at once.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, Service, ServiceExt as _};
use tower_agent_status::{StatusLayer, StatusTracker};

use super::of_session;

/// An answer with a status, headers and a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    pub(crate) status: u16,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) body: &'static str,
}

impl Service<Request<()>> for Model {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Ok(()).into()
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let response = Response::builder().status(self.status);
        let response = response.header("content-type", "application/json");
        let response =
            self.headers.iter().fold(response, |all, (name, value)| all.header(*name, *value));
        ready(Ok(response.body(Full::from(self.body)).unwrap()))
    }
}

impl Model {
    pub(crate) const fn json(body: &'static str) -> Self {
        Self { status: 200, headers: &[], body }
    }

    /// Calls it as this agent, in this session.
    pub(crate) async fn call(
        self,
        tracker: &StatusTracker,
        agent: &str,
        session: &str,
        request: (Method, &str),
    ) {
        let (method, uri) = request;
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        let service = StatusLayer::new(tracker, agent).layer(self);
        let response = service.oneshot(of_session(session, request)).await.unwrap();
        response.into_body().collect().await.unwrap();
    }
}

/// An answer of Chat Completions.
pub(crate) const CHAT: Model = Model::json(
    r#"{"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-2024-08-06", "service_tier": "default",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "length"},
    {"index": 1, "message": {"role": "assistant", "content": "b"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}}"#,
);

/// An answer of Anthropic's Messages.
pub(crate) const MESSAGE: Model = Model::json(
    r#"{"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
    "content": [], "stop_reason": "end_turn", "usage": {"input_tokens": 5, "output_tokens": 2}}"#,
);

/// An answer of Bedrock's Converse, which does not name the model.
pub(crate) const CONVERSE: Model = Model {
    status: 200,
    headers: &[("x-amzn-requestid", "req-1")],
    body: r#"{"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "end_turn",
    "usage": {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7}}"#,
};

/// An answer of Gemini's generateContent.
pub(crate) const GEMINI: Model = Model::json(
    r#"{"candidates": [{"content": {"parts": [{"text": "a"}], "role": "model"}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 1, "totalTokenCount": 5},
    "modelVersion": "gemini-2.5-pro", "responseId": "g1"}"#,
);

/// An answer of an agent.
pub(crate) const AGENT_ANSWER: Model = Model::json(
    r#"{"success": true, "text": "a", "token_usage": {"input_tokens": 3, "output_tokens": 4}}"#,
);

/// A stored response of OpenAI's Responses.
pub(crate) const STORED: Model = Model::json(
    r#"{"id": "resp_1", "object": "response", "status": "completed", "background": true, "model": "gpt-5",
    "output": [{"type": "message", "status": "completed", "content": []}],
    "usage": {"input_tokens": 8, "output_tokens": 6, "total_tokens": 14}}"#,
);

/// The same, while it is made.
pub(crate) const QUEUED: Model = Model::json(
    r#"{"id": "resp_1", "object": "response", "status": "queued", "background": true, "model": "gpt-5",
    "output": [], "usage": null}"#,
);

/// A refusal.
pub(crate) const REFUSED: Model =
    Model { status: 429, headers: &[], body: r#"{"error": {"message": "slow down"}}"# };
