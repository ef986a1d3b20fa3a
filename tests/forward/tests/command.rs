//! The command `tower-agent-status forward`.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use forward_clients::agent::RecordingAgent;
use forward_clients::command::{Running, binary, command};
use forward_clients::raw::{exchange, status};
use forward_clients::{ANY_PORT, SESSION};
use serde_json::Value as Json;

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 52\r\n\r\n\
    {\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3}}";

/// A file in a folder of its own, which is removed with it.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self) -> String {
        self.0.join("status.db").display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
}

/// A port on which nothing listens.
fn free_port() -> SocketAddr {
    TcpListener::bind(ANY_PORT).unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn calls_are_recorded_and_counted() {
    let agent = RecordingAgent::answering(ANSWER).await;
    let folder = Folder::new("recorded");
    let metrics = free_port();
    let running = Running::start(
        command()
            .args(["--embedded", &folder.file(), "--agent", &format!("pdfAdapter={}", agent.url())])
            .args(["--metrics-addr", &metrics.to_string()]),
    );
    let path = format!("/pdfAdapter/~{SESSION}/v1?key=hunter2");
    assert_eq!(status(&exchange(address(&running.url), get(&path)).await), 200);
    let exported = exchange(metrics, get("/metrics")).await;
    let counted = "agent_status_calls{gen_ai_agent_name=\"pdfAdapter\",outcome=\"success\"} 1";
    assert!(exported.contains(counted), "{exported}");
    let bucket = "gen_ai_client_operation_duration_bucket{";
    assert!(exported.contains(bucket), "{exported}");
    let (log, is_success) = running.stop();
    assert!(is_success, "{log}");
    assert!(log.contains("pdfAdapter -> http://") && !log.contains("hunter2"), "{log}");
    let shown = Command::new(binary())
        .args(["show", "--embedded", &folder.file(), "--json", SESSION])
        .output()
        .unwrap();
    let item: Json = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(item["pdfAdapter"]["status"], "success");
    assert_eq!(item["pdfAdapter"]["tokenUsage"]["totalTokens"], 15);
}

#[tokio::test]
async fn a_session_without_calls_completes() {
    let agent = RecordingAgent::answering(ANSWER).await;
    let folder = Folder::new("idle");
    let running = Running::start(
        command()
            .args(["--embedded", &folder.file(), "--agent", &format!("pdfAdapter={}", agent.url())])
            .args(["--idle-timeout", "1s"]),
    );
    let path = format!("/pdfAdapter/~{SESSION}");
    assert_eq!(status(&exchange(address(&running.url), get(&path)).await), 200);
    // It ends when the workflow does.
    let watched = Command::new(binary())
        .args(["watch", "--embedded", &folder.file(), SESSION])
        .output()
        .unwrap();
    assert_eq!(watched.status.code(), Some(0), "{watched:?}");
    assert!(running.stop().1);
}

#[test]
fn what_cannot_run_is_an_error_with_a_remedy() {
    let taken = TcpListener::bind(ANY_PORT).unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let agent = "a=http://127.0.0.1:9";
    let runtime = "a=arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/x";
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &["--agent"]),
        (&["--agent", "a"], &["NAME=URL"]),
        (&["--agent", "a=ftp://x"], &["`a`", "must be http or https"]),
        (&["--agent", "a=http://x/?key=hunter2"], &["must not have a query"]),
        (&["--agent=-=http://x"], &["rename it"]),
        (&["--agent", "sessionId=http://x"], &["sessionId"]),
        (&["--agent", agent, "--agent", agent], &["`a` was added twice"]),
        (&["--agent", "a=arn:aws:s3:::bucket"], &["ARN of a runtime"]),
        (&["--agent", runtime], &["AWS_ACCESS_KEY_ID"]),
        (&["--agent", agent, "--addr", "0.0.0.0:0"], &["--token-env"]),
        (&["--agent", agent, "--addr", &taken], &["cannot listen", "--addr"]),
        (&["--agent", agent, "--token-env", "NO_SUCH_TOKEN"], &["NO_SUCH_TOKEN is not set"]),
        (&["--agent", agent, "--metrics-addr", &taken], &["metrics", "--metrics-addr"]),
        (&["--agent", agent, "--prices", "/no/such/file"], &["/no/such/file"]),
        (&["--agent", agent, "--idle-timeout", "0s"], &["must not be zero"]),
        (&["--agent", agent, "--max-signed-body", "x"], &["--max-signed-body"]),
    ];
    for (n, (arguments, expected)) in cases.iter().enumerate() {
        let folder = Folder::new(&format!("errors-{n}"));
        let mut command = Command::new(binary());
        command.env_clear().env("HOME", &folder.0).env("AWS_EC2_METADATA_DISABLED", "true");
        command.args(["forward", "--embedded", &folder.file()]);
        if !arguments.contains(&"--addr") {
            command.args(["--addr", "127.0.0.1:0"]);
        }
        let output = command.args(*arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        for text in *expected {
            assert!(error.contains(text), "{arguments:?}: {error}");
        }
        assert!(!error.contains("hunter2"), "{error}");
    }
}
