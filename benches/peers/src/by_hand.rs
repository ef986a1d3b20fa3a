//! The least that the span of a call costs: one with the fields of the layer's, which is entered where
//! the layer enters it, and records what it records of a response without token counts.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tower::Service;
use tracing::Span;
use tracing::field::Empty;

/// Puts each call in such a span.
pub struct InSpan<S>(pub S);

impl<S, B, R> Service<Request<B>> for InSpan<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Unpin,
{
    type Response = Response<BodyInSpan<R>>;
    type Error = S::Error;
    type Future = FutureInSpan<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let span = span();
        let inner = span.in_scope(|| self.0.call(request));
        FutureInSpan { inner, span }
    }
}

pub struct FutureInSpan<F> {
    inner: F,
    span: Span,
}

impl<F, R, E> Future for FutureInSpan<F>
where
    F: Future<Output = Result<Response<R>, E>> + Unpin,
{
    type Output = Result<Response<BodyInSpan<R>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { inner, span } = &mut *self;
        let polled = span.in_scope(|| Pin::new(inner).poll(cx));
        polled.map_ok(|response| {
            span.record("http.response.status_code", i64::from(response.status().as_u16()));
            response.map(|inner| BodyInSpan { inner, span: std::mem::replace(span, Span::none()) })
        })
    }
}

pub struct BodyInSpan<B> {
    inner: B,
    span: Span,
}

impl<B: Body + Unpin> Body for BodyInSpan<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Self { inner, span } = &mut *self;
        let polled = span.in_scope(|| Pin::new(&mut *inner).poll_frame(cx));
        if inner.is_end_stream() {
            *span = Span::none();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn span() -> Span {
    tracing::info_span!(
        "invoke_agent",
        http.response.status_code = Empty,
        otel.name = "invoke_agent pdfAdapter",
        gen_ai.operation.name = "invoke_agent",
        gen_ai.provider.name = Empty,
        gen_ai.response.model = Empty,
        gen_ai.response.id = Empty,
        gen_ai.response.finish_reasons = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        gen_ai.usage.cache_read.input_tokens = Empty,
        gen_ai.usage.cache_write.input_tokens = Empty,
        gen_ai.usage.reasoning.output_tokens = Empty,
        openai.response.service_tier = Empty,
        aws.request_id = Empty,
        agent_status.cost_usd = Empty,
        gen_ai.response.time_to_first_chunk = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
        "error.type" = Empty,
        otel.kind = "client",
        gen_ai.agent.name = "pdfAdapter",
        gen_ai.conversation.id = "session-corr_abc123",
        gen_ai.request.model = Empty,
        http.request.method = "POST",
        server.address = "agents.example",
        server.port = 443_i64,
    )
}
