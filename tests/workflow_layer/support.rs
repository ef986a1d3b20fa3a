//! An orchestrator's server and its agents, on local sockets.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::{HeaderName, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tower::{BoxError, Layer as _, ServiceExt as _};
use tower_agent_status::status::WorkflowStatus;
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{Agent, StatusLayer, StatusService, StatusTracker, WorkflowLayer};

pub(crate) const AGENT: &str = "pdfAdapter";
pub(crate) const SESSION_HEADER: HeaderName = HeaderName::from_static("x-workflow-session-id");
pub(crate) const ASKED_SESSION: HeaderName = HeaderName::from_static("x-session");

pub(crate) type HttpClient = Client<HttpConnector, Full<Bytes>>;

pub(crate) fn http_client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build_http()
}

/// The tracker of a service that tracks itself, and its store.
#[derive(Clone)]
pub(crate) struct Tracking {
    pub(crate) tracker: StatusTracker,
    pub(crate) store: MemoryStore,
}

impl Tracking {
    pub(crate) fn start() -> Self {
        let store = MemoryStore::new();
        let builder = StatusTracker::builder(store.clone()).batch_delay(std::time::Duration::ZERO);
        Self { tracker: builder.agent(Agent::new(AGENT)).start().unwrap(), store }
    }

    pub(crate) fn layer(&self) -> WorkflowLayer {
        WorkflowLayer::new(&self.tracker).session_header(ASKED_SESSION)
    }

    /// The current status, whether saved or not.
    pub(crate) fn now(&self, session: &str) -> WorkflowStatus {
        self.tracker.status(session).unwrap_or_else(|| panic!("{session} is live"))
    }
}

/// Serves until the runtime ends.
pub(crate) async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// An agent over a socket, and the layer in the client that calls it.
#[derive(Clone)]
pub(crate) struct CalledAgent {
    client: StatusService<HttpClient>,
    address: SocketAddr,
}

impl CalledAgent {
    /// Starts an agent that echoes the request and reports 3 and 4 tokens.
    pub(crate) async fn start(tracking: &Tracking) -> Self {
        let answer = |text: String| async move {
            let usage = r#""token_usage": {"input_tokens": 3, "output_tokens": 4}"#;
            format!(r#"{{"success": true, "text": "{text}", {usage}}}"#)
        };
        let app = Router::new().route("/", axum::routing::post(answer));
        let client = StatusLayer::new(&tracking.tracker, AGENT).layer(http_client());
        Self { client, address: serve(app).await }
    }

    /// The same client for an agent at another address.
    pub(crate) fn at(self, address: SocketAddr) -> Self {
        Self { address, ..self }
    }

    /// Calls the agent as an orchestrator without any status code would.
    pub(crate) async fn ask(&self, text: &str) -> Result<Bytes, BoxError> {
        let request =
            Request::post(format!("http://{}/", self.address)).body(Full::from(text.to_owned()))?;
        let response = self.client.clone().oneshot(request).await?;
        Ok(response.into_body().collect().await?.to_bytes())
    }
}

/// Sends a request to the service, in a session if one is given.
pub(crate) async fn post(
    address: SocketAddr,
    path: &str,
    session: Option<&str>,
) -> Response<Incoming> {
    let mut request = Request::post(format!("http://{address}{path}"));
    if let Some(session) = session {
        request = request.header(ASKED_SESSION, session);
    }
    http_client().request(request.body(Full::default()).unwrap()).await.unwrap()
}

/// The session ID in the header of a response.
pub(crate) fn session_of<B>(response: &Response<B>) -> String {
    let id = response.headers().get(SESSION_HEADER).unwrap();
    id.to_str().unwrap().to_owned()
}

pub(crate) async fn read(response: Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A response body that a test sends in chunks. It ends when the sender is dropped.
pub(crate) fn piped() -> (tokio::sync::mpsc::Sender<&'static str>, Body) {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async {
        let piece: &str = receiver.recv().await?;
        Some((Ok::<_, Infallible>(piece), receiver))
    });
    (sender, Body::from_stream(pieces))
}
