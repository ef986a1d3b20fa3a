//! Calls through reqwest-middleware: the cost that each middleware adds, over one that answers
//! in place of the client.

use async_trait::async_trait;
use http::Extensions;
use reqwest::{Body, Request, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next, Result};
use reqwest_tracing::TracingMiddleware;
use tokio::runtime::Runtime;
use tower_agent_status::{SessionId, StatusMiddleware};
use tracing::Dispatch;

use crate::calls::{chat, runtime, tracker};
use crate::peers::opentelemetry_for_reqwest;
use crate::{Row, Runner, Way};

const TRACING: &str = "reqwest-tracing, OpenTelemetry SDK";

pub fn rows() -> Vec<Row> {
    let session = || Some(SessionId::new("session-corr_abc123").expect("an id"));
    let status = move |name, has_session: bool| {
        Way::new(name, move || {
            let runtime = runtime();
            let tracker = tracker(&runtime);
            let client = client().with(StatusMiddleware::new(&tracker, "pdfAdapter"));
            runner(runtime, client, has_session.then(session).flatten(), None)
        })
    };
    let ways = vec![
        Way::new("bare", || runner(runtime(), client(), None, None)),
        status("StatusMiddleware", true),
        status("StatusMiddleware, no session", false),
        Way::new("a middleware that re-wraps the body", || {
            runner(runtime(), client().with(Rewrap), None, None)
        }),
        Way::new("reqwest-tracing", || {
            runner(runtime(), client().with(TracingMiddleware::default()), None, None)
        }),
        Way::new(TRACING, || {
            let client = client().with(TracingMiddleware::default());
            runner(runtime(), client, None, Some(opentelemetry_for_reqwest()))
        }),
    ];
    vec![Row {
        name: "reqwest-middleware, 2 KB with usage",
        unit: "call",
        units: 1,
        runs: 5_000,
        peer: TRACING,
        ways,
    }]
}

fn client() -> ClientBuilder {
    ClientBuilder::new(reqwest::Client::new())
}

fn runner(
    runtime: Runtime,
    client: ClientBuilder,
    session: Option<SessionId>,
    dispatch: Option<Dispatch>,
) -> Runner {
    let client: ClientWithMiddleware = client.with(Canned(chat())).build();
    let url: reqwest::Url = "https://agents.example/invocations".parse().expect("a URL");
    Box::new(move |times| {
        let _listening = dispatch.as_ref().map(tracing::dispatcher::set_default);
        let calls = async {
            for _ in 0..times {
                let response = client.post(url.clone()).send().await.expect("an answer");
                std::hint::black_box(response.bytes().await.expect("a body"));
            }
        };
        match &session {
            Some(session) => runtime.block_on(session.scope(calls)),
            None => runtime.block_on(calls),
        }
        None
    })
}

/// Answers in place of the client.
struct Canned(bytes::Bytes);

#[async_trait]
impl Middleware for Canned {
    async fn handle(&self, _: Request, _: &mut Extensions, _: Next<'_>) -> Result<Response> {
        let response = http::Response::builder().header("content-type", "application/json");
        Ok(response.body(Body::from(self.0.clone())).expect("a response").into())
    }
}

/// Takes the body out of the response and puts it back, as any middleware that observes it
/// must.
struct Rewrap;

#[async_trait]
impl Middleware for Rewrap {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let response = next.run(request, extensions).await?;
        Ok(http::Response::<Body>::from(response).map(Body::wrap).into())
    }
}
