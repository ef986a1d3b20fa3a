//! Recorded answers of real agents, sent again by a mocked one, through the layer.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::Value as Json;
use tower::{Layer, ServiceExt as _};
use tower_agent_status::StatusLayer;
use tower_agent_status::status::{AgentStatus, TokenUsage};
use tower_agent_status::store::MemoryStore;

use crate::support::agent::{
    AgentBody, HttpClient, MockAgent, Received, client, data, piped, receive, whole,
};
use crate::support::{AGENT, builder, of_session, stored};

const FOLDER: &str = "AGENT_STATUS_CORPUS";
const FILES: [&str; 3] = ["recorded.jsonl", "agentcore.jsonl", "errors_in_200.jsonl"];
/// Names the row that the agent is to answer with: the path is the recorded one.
const ROW: &str = "x-row";

struct Row {
    json: Json,
    body: Bytes,
}

impl Row {
    fn text(&self, name: &str) -> Option<&str> {
        self.json[name].as_str()
    }

    fn status(&self) -> u16 {
        u16::try_from(self.json["status"].as_u64().unwrap()).unwrap()
    }

    fn path(&self) -> String {
        let path = self.json["request"]["path"].as_str().unwrap_or("/invocations");
        // Recorders put names in angle brackets in place of what is not for all eyes.
        let path = path.replace(['<', '>'], "");
        if path.starts_with('/') { path } else { format!("/{path}") }
    }

    /// The response as it was recorded, with the body whole or in pieces.
    fn response(&self) -> Response<AgentBody> {
        let mut response = Response::builder().status(self.status());
        for (name, value) in self.json["headers"].as_object().into_iter().flatten() {
            // How the body is framed is the server's.
            if !matches!(&**name, "transfer-encoding" | "content-length") {
                response = response.header(name, value.as_str().unwrap());
            }
        }
        for (name, field) in
            [("content-type", "content_type"), ("content-encoding", "content_encoding")]
        {
            if let Some(value) = self.text(field) {
                response = response.header(name, value);
            }
        }
        let is_chunked = self.json["headers"]["transfer-encoding"].is_string();
        let body = if is_chunked || self.json["streaming"] == true {
            in_pieces(self.body.clone())
        } else {
            whole(self.body.clone())
        };
        response.body(body).unwrap()
    }

    /// The usage that is to be stored.
    fn usage(&self) -> Option<TokenUsage> {
        let norm = self.json["expected_norm"].as_object()?;
        let raw = &self.json["expected_raw_usage"];
        let mut usage = TokenUsage::default();
        usage.input_tokens = norm["input"].as_u64();
        usage.output_tokens = norm["output"].as_u64();
        usage.total_tokens = norm["total"].as_u64();
        usage.cache_read_input_tokens = raw["cache_read"].as_u64();
        usage.cache_write_input_tokens = raw["cache_write"].as_u64();
        usage.reasoning_tokens = raw["reasoning"].as_u64();
        Some(usage)
    }

    /// The classes of errors that the outcome may have; `None` is success.
    fn classes(&self) -> Vec<Option<String>> {
        if self.status() >= 400 {
            vec![Some(format!("http_{}", self.status()))]
        } else if self.json["error_in_200"] == true || self.json["error"].is_object() {
            vec![Some("agent".to_owned())]
        } else if self.json["streaming"] == true && self.json["stream_complete"] != true {
            // Whether a stream was cut is not recorded for every row.
            vec![None, Some("incomplete".to_owned())]
        } else {
            vec![None]
        }
    }

    /// What is wrong with what became of the call.
    fn faults(&self, received: &Received, agent: &AgentStatus) -> Vec<String> {
        let mut faults = Vec::new();
        if received.error.is_some() || received.body != self.body {
            let (got, sent) = (received.body.len(), self.body.len());
            faults.push(format!("received {got} bytes of {sent}, {:?}", received.error));
        }
        if received.status != self.status() {
            faults.push(format!("received status {}", received.status));
        }
        if agent.token_usage != self.usage() {
            faults.push(format!("usage {:?}, not {:?}", agent.token_usage, self.usage()));
        }
        let class = agent.error.as_ref().map(|error| error.class.to_string());
        if !self.classes().contains(&class) {
            faults.push(format!("outcome {:?}, not one of {:?}", agent.error, self.classes()));
        }
        if agent.calls != 1 {
            faults.push(format!("{} calls", agent.calls));
        }
        faults
    }
}

/// A body that goes out in pieces of changing lengths.
fn in_pieces(mut body: Bytes) -> AgentBody {
    let (sender, piped) = piped();
    let longest = 4096.max(body.len() / 16);
    tokio::spawn(async move {
        let mut length = 1;
        while !body.is_empty() {
            let piece = body.split_to(length.min(body.len()));
            if sender.send(data(piece)).await.is_err() {
                return;
            }
            length = if length > longest { 7 } else { length * 3 + 1 };
        }
    });
    piped
}

fn rows(folder: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for file in FILES {
        let path = Path::new(folder).join(file);
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let json: Json = serde_json::from_str(line).unwrap();
            let body = BASE64_STANDARD.decode(json["body_b64"].as_str().unwrap()).unwrap().into();
            rows.push(Row { json, body });
        }
    }
    rows
}

/// Says a line though the output of tests that pass is not shown.
fn say(line: &str) {
    writeln!(std::io::stdout().lock(), "corpus: {line}").unwrap();
}

#[tokio::test]
async fn recorded_answers_pass_unchanged_and_are_told_right() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return say(&format!("skipped, {FOLDER} is not set"));
    };
    let rows = Arc::new(rows(&folder));
    let served = Arc::clone(&rows);
    let agent = MockAgent::start(move |request: Request<_>| {
        let row: usize = request.headers()[ROW].to_str().unwrap().parse().unwrap();
        let response = served[row].response();
        async { response }
    })
    .await;
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    let client: HttpClient = client();
    let client = StatusLayer::new(&tracker, AGENT).layer(client);

    let mut faulty = Vec::new();
    for (n, row) in rows.iter().enumerate() {
        let session = format!("row-{n}");
        let request = Request::post(agent.url(&row.path())).header(ROW, n);
        let request = of_session(&session, request.body(Full::default()).unwrap());
        let received = receive(client.clone().oneshot(request).await.unwrap()).await;
        assert_eq!(agent.take_sent(), row.body);

        let status = tracker.status(&session).unwrap();
        let faults = row.faults(&received, status.agent(AGENT).unwrap());
        if !faults.is_empty() {
            let (id, format) = (&row.json["id"], &row.json["format"]);
            faulty.push(format!("{id} ({format}): {}", faults.join("; ")));
        }
    }
    for n in 0..rows.len() {
        stored(&tracker, &store, &format!("row-{n}")).await;
    }
    say(&format!("{} rows", rows.len()));
    assert!(!rows.is_empty(), "no rows in {folder}");
    assert!(faulty.is_empty(), "{} rows:\n{}", faulty.len(), faulty.join("\n"));
}
