//! Recorded answers of real agents, replayed by a mocked agent through the layer.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::Full;
use tower::{Layer, ServiceExt as _};
use tower_agent_status::StatusLayer;
use tower_agent_status::status::AgentStatus;
use tower_agent_status::store::MemoryStore;

use crate::rows::{Row, rows, without_cache_lifetimes};
use crate::support::agent::{
    AgentBody, HttpClient, MockAgent, Received, client, data, piped, receive, whole,
};
use crate::support::{AGENT, builder, of_session, stored};

/// The header with the row that the agent answers with; the path is the recorded one.
const ROW: &str = "x-row";

/// How the agent replays a row, and what the caller and the table should see.
impl Row {
    fn path(&self) -> String {
        let path = self.json["request"]["path"].as_str().unwrap_or("/invocations");
        // Recorded paths have placeholders in angle brackets in place of private names.
        let path = path.replace(['<', '>'], "");
        if path.starts_with('/') { path } else { format!("/{path}") }
    }

    /// The response as it was recorded, with the body whole or in chunks.
    fn response(&self) -> Response<AgentBody> {
        let mut response = Response::builder().status(self.status());
        for (name, value) in self.json["headers"].as_object().into_iter().flatten() {
            // The server decides how the body is framed.
            if !matches!(&**name, "transfer-encoding" | "content-length") {
                response = response.header(name, value.as_str().unwrap());
            }
        }
        for (name, field) in
            [("content-type", "content_type"), ("content-encoding", "content_encoding")]
        {
            if let Some(value) = self.json[field].as_str() {
                response = response.header(name, value);
            }
        }
        let is_chunked = self.json["headers"]["transfer-encoding"].is_string();
        let trailers = self.trailers();
        let body = if is_chunked || !trailers.is_empty() || self.json["streaming"] == true {
            in_pieces(self.body.clone().into(), trailers)
        } else {
            whole(self.body.clone())
        };
        response.body(body).unwrap()
    }

    /// The error classes that the outcome may have; `None` is success.
    fn classes(&self) -> Vec<Option<String>> {
        if self.status() >= 400 {
            vec![Some(format!("http_{}", self.status()))]
        } else if self.json["error_in_200"] == true || self.json["error"].is_object() {
            vec![Some("agent".to_owned())]
        } else if self.json["streaming"] == true && self.json["stream_complete"] != true {
            // Not every row records whether its stream was cut.
            vec![None, Some("incomplete".to_owned())]
        } else {
            vec![None]
        }
    }

    /// The differences between the call's result and what the row expects.
    fn faults(&self, received: &Received, agent: &AgentStatus) -> Vec<String> {
        let mut faults = Vec::new();
        if received.error.is_some() || received.body != self.body {
            let (got, sent) = (received.body.len(), self.body.len());
            faults.push(format!("received {got} bytes of {sent}, {:?}", received.error));
        }
        if received.status != self.status() {
            faults.push(format!("received status {}", received.status));
        }
        let usage = agent.token_usage().map(without_cache_lifetimes);
        if usage != self.usage() {
            faults.push(format!("usage {usage:?}, not {:?}", self.usage()));
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

/// A body that is sent in chunks of varying lengths, and trailers if there are any.
fn in_pieces(mut body: Bytes, trailers: HeaderMap) -> AgentBody {
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
        if !trailers.is_empty() {
            let _ = sender.send(Frame::trailers(trailers)).await;
        }
    });
    piped
}

/// Prints a line even where the output of passing tests is captured.
fn print_line(line: &str) {
    writeln!(std::io::stdout().lock(), "corpus: {line}").unwrap();
}

#[tokio::test]
async fn recorded_answers_pass_unchanged_and_are_told_right() {
    let rows = match rows() {
        Ok(rows) => Arc::new(rows),
        Err(why) => return print_line(&why),
    };
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
    print_line(&format!("{} rows", rows.len()));
    assert!(faulty.is_empty(), "{} rows:\n{}", faulty.len(), faulty.join("\n"));
}
