//! A receiver on a socket, and workflows to tell it about.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::Value as Json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tower_agent_status::SessionId;
use tower_agent_status::status::{
    Change, Item, ItemVersion, Precondition, Timestamp, WorkflowStatus,
};
use tower_agent_status::store::{MemoryStore, StatusStore, WriteOutcome};
use tower_agent_status::webhook::Webhook;

/// Nothing in a test takes as long.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// How the receiver responds.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Status(u16),
    Redirect(String),
    /// Never.
    Never,
}

/// A request that has arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn session(&self) -> String {
        self.json()["data"]["sessionId"].as_str().unwrap().to_owned()
    }
}

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    received: mpsc::UnboundedReceiver<Received>,
}

#[derive(Clone)]
struct Shared {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    received: mpsc::UnboundedSender<Received>,
}

impl Receiver {
    /// Responds in these ways, and then with 204.
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::new(Mutex::new(answers.into_iter().collect()));
        let (sender, received) = mpsc::unbounded_channel();
        let shared = Shared { answers, received: sender };
        let router = Router::new().fallback(respond).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, received }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// A webhook to this receiver, which reads all the time.
    pub(crate) fn webhook(&self) -> Webhook {
        Webhook::new(&self.url())
            .unwrap()
            .allow_private_addresses()
            .read_interval(Duration::from_millis(10))
    }

    pub(crate) async fn next(&mut self) -> Received {
        timeout(LONG, self.received.recv()).await.expect("a request arrives").unwrap()
    }

    /// Whether nothing has arrived that was not asked for.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.received.try_recv().is_err()
    }
}

async fn respond(
    State(shared): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = shared.answers.lock().unwrap().pop_front();
    let _ = shared.received.send(Received { path: uri.path().to_owned(), headers, body });
    match answer.unwrap_or(Answer::Status(204)) {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Redirect(to) => {
            (StatusCode::TEMPORARY_REDIRECT, [("location", to)]).into_response()
        }
        Answer::Never => std::future::pending().await,
    }
}

pub(crate) fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

pub(crate) fn ago(time: Duration) -> Timestamp {
    Timestamp::from(SystemTime::now()).saturating_sub(time)
}

/// An item with this status, which was created and last written so long ago.
pub(crate) fn item(status: &str, created: Duration, written: Duration) -> Item {
    let mut item = Item::new();
    item.insert("overallStatus", status);
    item.insert("createdAt", ago(created).to_string());
    item.insert("createdDay", ago(created).day());
    item.insert("lastUpdated", ago(written).to_string());
    if matches!(status, "failed" | "completed") {
        item.insert("completedAt", ago(written).to_string());
    }
    item
}

/// Writes an item, whatever there was before.
pub(crate) async fn put(store: &MemoryStore, name: &str, mut item: Item) {
    let before = store.item(name);
    let revision =
        before.as_ref().map_or(0, |item| WorkflowStatus::from_item(&id(name), item).revision);
    item.insert("revision", revision + 1);
    let precondition = match &before {
        None => Precondition::Absent,
        Some(item) => Precondition::Version(ItemVersion::of(item)),
    };
    let change = Change::new(id(name), item, Vec::new());
    assert_eq!(store.write(&change, precondition).await.unwrap(), WriteOutcome::Applied);
}
