//! A store with workflows, and a portal that shows them.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::{Value as Json, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower_agent_status::Agent;
use tower_agent_status::SessionId;
use tower_agent_status::portal::Portal;
use tower_agent_status::status::{Change, Item, Precondition, Timestamp, Value};
use tower_agent_status::store::{MemoryStore, StatusReader as _, StatusStore as _};

pub const AGENTS: [(&str, &str); 4] = [
    ("pdfAdapter", "Waiting for upload"),
    ("tradeExtraction", "Waiting for PDF processing"),
    ("tradeMatching", "Waiting for extraction"),
    ("exceptionManagement", "No exceptions"),
];

pub struct Scene {
    pub store: MemoryStore,
    pub address: SocketAddr,
    server: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Scene {
    pub async fn start() -> Self {
        Self::with_token(None).await
    }

    pub async fn with_token(token: Option<&str>) -> Self {
        let mut scene = Self::new();
        scene.serve(token).await;
        scene
    }

    /// Serves with other settings.
    pub async fn start_with(
        settings: impl FnOnce(Portal<MemoryStore>) -> Portal<MemoryStore>,
    ) -> Self {
        let mut scene = Self::new();
        scene.serve_with(settings).await;
        scene
    }

    fn new() -> Self {
        let address = ([127, 0, 0, 1], 0).into();
        Self { store: MemoryStore::new(), address, server: None }
    }

    /// Serves the store at the address; the first time, at a free one.
    pub async fn serve(&mut self, token: Option<&str>) {
        self.serve_with(|portal| match token {
            Some(token) => portal.token(token),
            None => portal,
        })
        .await;
    }

    async fn serve_with(
        &mut self,
        settings: impl FnOnce(Portal<MemoryStore>) -> Portal<MemoryStore>,
    ) {
        let (stop, stopped) = oneshot::channel::<()>();
        let portal = Portal::new(self.store.clone())
            .agents(AGENTS.map(|(name, text)| Agent::new(name).pending(text)))
            .with_graceful_shutdown(async { drop(stopped.await) });
        let server = settings(portal).bind(self.address).await.unwrap();
        self.address = server.local_addr();
        let serving = tokio::spawn(async { server.serve().await.unwrap() });
        self.server = Some((stop, serving));
    }

    pub async fn stop(&mut self) {
        let (stop, serving) = self.server.take().unwrap();
        drop(stop);
        serving.await.unwrap();
    }

    /// The address of the page with a session selected.
    pub fn page(&self, session: &str) -> String {
        format!("http://{}/#{session}", self.address)
    }

    /// Writes an item, replacing any earlier one.
    pub async fn put(&self, session: &str, item: &Json) {
        let session = SessionId::new(session).unwrap();
        self.store.delete(&session).await.unwrap();
        let Value::Map(item) = value(item) else { panic!("an item is an object") };
        let change = Change::new(session, item, Vec::new());
        self.store.write(&change, Precondition::Absent).await.unwrap();
    }

    /// Adds four workflows of every kind, and this many others.
    pub async fn fill(&self, others: u64) {
        self.put("running", &workflow("processing", 14.2, 0.0)).await;
        self.put("stalled", &workflow("stalled", 224.0, 190.0)).await;
        self.put("completed", &workflow("completed", 45.0, 31.2)).await;
        self.put("failed", &workflow("failed", 3_614.0, 3_600.2)).await;
        for n in 0..others {
            let status = ["completed", "completed", "completed", "failed"][n as usize % 4];
            let ended = 60.0 + 97.0 * n as f64;
            let session = format!("session-corr_{:012x}", n * 0x9e37_79b9_7f4a % (1 << 48));
            self.put(&session, &workflow(status, ended + 13.8, ended)).await;
        }
    }
}

impl Scene {
    /// Completes a workflow.
    pub async fn finish(&self, session: &str) {
        self.put(session, &workflow("completed", 13.8, 0.0)).await;
    }
}

/// A workflow that started and ended the given seconds ago, or is still running.
pub fn workflow(status: &str, started: f64, ended: f64) -> Json {
    let agent = |text: &str, from: f64, to: f64| {
        json!({
            "status": "success", "activity": text, "calls": 1,
            "startedAt": ago(started - from), "completedAt": ago(started - to),
        })
    };
    let mut pdf = agent("Text extraction complete", 0.2, 1.6);
    pdf["tokenUsage"] = usage(11_251, 0, 1_402, 0);
    let mut extraction = agent("Trade data extracted", 1.6, 9.1);
    extraction["tokenUsage"] = usage(4_750, 1_800, 600, 220);
    extraction["calls"] = json!(2);
    let mut matching = agent("Matching complete", 9.1, 13.8);
    let mut workflow = json!({
        "correlationId": "corr_934d727cc469", "documentId": "FAB_26933659", "sourceType": "BANK",
        "overallStatus": if status == "stalled" { "processing" } else { status },
        "createdAt": ago(started), "lastUpdated": ago(ended), "revision": 4,
        "pdfAdapter": pdf, "tradeExtraction": extraction,
    });
    match status {
        "completed" => matching["tokenUsage"] = usage(3_120, 0, 240, 0),
        "failed" => {
            workflow["error"] = json!("tradeMatching answered 500");
            matching["status"] = json!("error");
            matching["activity"] = json!("Matching failed");
            matching["errorType"] = json!("http_500");
            let error = "The matching model could not be loaded: no capacity, try again later";
            matching["error"] = json!(error);
        }
        _ => {
            matching["status"] = json!("in-progress");
            matching["activity"] = json!("Matching trades across systems");
            matching.as_object_mut().unwrap().remove("completedAt");
        }
    }
    workflow["tradeMatching"] = matching;
    workflow
}

fn usage(input: u64, cached: u64, output: u64, reasoning: u64) -> Json {
    json!({
        "inputTokens": input, "cacheReadInputTokens": cached, "outputTokens": output,
        "reasoningTokens": reasoning, "totalTokens": input + output,
    })
}

/// The time this many seconds ago.
pub fn ago(seconds: f64) -> String {
    let now = SystemTime::now() - Duration::from_secs_f64(seconds);
    Timestamp::from(now).to_string()
}

fn value(json: &Json) -> Value {
    match json {
        Json::String(text) => Value::String(text.clone()),
        Json::Number(number) => match number.as_u64() {
            Some(whole) => Value::Integer(whole),
            None => Value::Float(number.as_f64().unwrap()),
        },
        Json::Array(list) => Value::List(list.iter().map(value).collect()),
        Json::Object(map) => {
            Value::Map(map.iter().map(|(name, json)| (name.clone(), value(json))).collect::<Item>())
        }
        _ => panic!("{json} is not of the document's kinds"),
    }
}

/// The folder of the screenshots.
pub fn artefact(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("portal").join(format!("{name}.png"))
}

/// Prints a line even where the output of passing tests is captured.
pub fn print(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
