//! Runs the program against a stand-in for AgentCore.

mod standin;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use standin::{ACCESS_KEY, SECRET_KEY, StandIn};
use tower_agent_status::SessionId;
use tower_agent_status::store::{DynamoDbStore, StatusReader as _};

/// Nothing here takes a second, so after this time something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

struct Program {
    child: Child,
    file: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

fn program(standin: &StandIn, secret: &str, more: &[&str]) -> Program {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("status.db");
    let arn = |name: &str| {
        format!("arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/{name}-0123456789")
    };
    let child = Command::new(env!("CARGO_BIN_EXE_agentcore"))
        .env_clear()
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE", format!("http://{}", standin.addr))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", standin.addr))
        .env("PDF_ADAPTER_AGENT_ARN", arn("pdf_adapter"))
        .env("TRADE_EXTRACTION_AGENT_ARN", arn("trade_extraction"))
        .env("TRADE_MATCHING_AGENT_ARN", arn("trade_matching"))
        .env("EXCEPTION_MANAGEMENT_AGENT_ARN", arn("exception_management"))
        .arg("--embedded")
        .arg(&file)
        .args(more)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Program { child, file, _folder: folder }
}

impl Program {
    fn send(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for the program to end. Returns its exit code and its log.
    async fn end(&mut self) -> (Option<i32>, String) {
        drop(self.child.stdin.take());
        let mut stderr = self.child.stderr.take().unwrap();
        let log = tokio::task::spawn_blocking(move || {
            let mut log = String::new();
            stderr.read_to_string(&mut log).map(|_| log)
        });
        let log = tokio::time::timeout(PATIENCE, log).await.expect("it ends").unwrap().unwrap();
        (self.child.wait().unwrap().code(), log)
    }

    async fn item(&self, session: &str) -> Value {
        let store = DynamoDbStore::embedded(&self.file).unwrap();
        let item = store
            .get(&SessionId::new(session).unwrap())
            .await
            .unwrap()
            .expect("the session is in the table");
        serde_json::to_value(&item).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_go_through_the_signed_agents() {
    let standin = StandIn::start().await;
    let mut program = program(&standin, SECRET_KEY, &[]);
    program.send(r#"{"documentId":"FAB_1","sourceType":"BANK","correlationId":"one"}"#);
    program.send(r#"{"documentId":"FAB_2","sourceType":"COUNTERPARTY","correlationId":"two"}"#);
    let (code, log) = program.end().await;
    assert_eq!(code, Some(0), "{log}");

    for session in ["session-one", "session-two"] {
        let item = program.item(session).await;
        assert_eq!(item["overallStatus"], "completed", "{item:#}");
        for agent in ["pdfAdapter", "tradeExtraction", "tradeMatching", "exceptionManagement"] {
            assert_eq!(item[agent]["status"], "success", "{item:#}");
        }
        assert_eq!(item["totalTokenUsage"]["totalTokens"], 3 * 1200 + 370, "{item:#}");
    }
    let sessions = standin.seen.sessions.lock().unwrap().clone();
    assert_eq!(sessions.len(), 4);
    for (agent, mut ids) in sessions {
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 2, "each workflow has its own runtime session at {agent}");
    }
    let exports = standin.seen.exports.lock().unwrap();
    let exported = exports.concat();
    for name in [
        "gen_ai.agent.name",
        "invoke_agent pdfAdapter",
        "gen_ai.usage.input_tokens",
        "invoke_workflow",
        tower_agent_status::GEN_AI_SCHEMA_URL,
    ] {
        assert!(
            exported.windows(name.len()).any(|window| window == name.as_bytes()),
            "a span has {name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_an_error_of_the_agent() {
    let standin = StandIn::start().await;
    let mut program = program(&standin, "another secret", &[]);
    program.send(r#"{"documentId":"FAB_1","sourceType":"BANK","correlationId":"one"}"#);
    program.send("not a document");
    let (code, log) = program.end().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("not a document"), "{log}");
    let item = program.item("session-one").await;
    assert_eq!(item["overallStatus"], "failed", "{item:#}");
    assert_eq!(item["pdfAdapter"]["errorType"], "http_403", "{item:#}");
    assert!(standin.seen.sessions.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_in_a_stream_leaves_nothing_in_progress() {
    let standin = StandIn::start().await;
    let mut program = program(&standin, SECRET_KEY, &["--grace", "0"]);
    program.send(r#"{"documentId":"ENDLESS","sourceType":"BANK","correlationId":"one"}"#);
    tokio::time::timeout(PATIENCE, standin.seen.endless.notified()).await.unwrap();
    let kill = Command::new("kill").arg(program.child.id().to_string()).status().unwrap();
    assert!(kill.success());
    // Standard input stays open: the program must not wait for it to end.
    let stdin = program.child.stdin.take();
    let (code, log) = program.end().await;
    drop(stdin);
    assert_eq!(code, Some(1), "{log}");
    let item = program.item("session-one").await;
    assert_eq!(item["overallStatus"], "failed", "{item:#}");
    assert_eq!(item["pdfAdapter"]["status"], "success", "{item:#}");
    assert_eq!(item["tradeExtraction"]["errorType"], "cancelled", "{item:#}");
    assert_eq!(item["tradeMatching"]["status"], "pending", "{item:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_finds_the_metrics() {
    let standin = StandIn::start().await;
    // The exporter does not report its port, so this test chooses one that is free now.
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut program = program(&standin, SECRET_KEY, &["--metrics-addr", &addr.to_string()]);
    program.send(r#"{"documentId":"FAB_1","sourceType":"BANK","correlationId":"one"}"#);
    let stderr = program.child.stderr.as_mut().unwrap();
    let mut lines = BufReader::new(stderr).lines();
    assert!(lines.any(|line| line.unwrap().contains("processed")), "the document is processed");

    let mut connection = std::net::TcpStream::connect(addr).unwrap();
    write!(connection, "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    connection.read_to_string(&mut page).unwrap();
    for line in [
        "agent_status_tokens",
        "gen_ai_client_operation_duration_bucket",
        "gen_ai_invoke_agent_duration_bucket",
    ] {
        assert!(page.contains(line), "{page}");
    }
    let (code, _) = program.end().await;
    assert_eq!(code, Some(0));
}

#[test]
fn what_is_missing_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_agentcore"))
        .env_clear()
        .env("PDF_ADAPTER_AGENT_ARN", "pdf_adapter")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("`pdf_adapter` is not the ARN of an AgentCore runtime"), "{text}");
}
