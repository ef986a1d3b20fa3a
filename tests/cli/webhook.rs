//! `serve --webhook`: what it posts, also after a restart, and settings that cannot work.

use crate::support::{File, HOUR, SECOND, item, with};

#[cfg(unix)]
#[tokio::test]
async fn a_failed_workflow_is_posted_with_the_same_id_after_a_restart() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;

    use axum::Router;
    use axum::body::Bytes;
    use axum::extract::State;
    use axum::http::HeaderMap;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    let (sender, mut received) = unbounded_channel();
    let note = async |State(sender): State<UnboundedSender<(HeaderMap, Bytes)>>,
                      headers: HeaderMap,
                      body: Bytes| sender.send((headers, body)).unwrap();
    let router = Router::new().fallback(note).with_state(sender);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });

    let file = File::new("serve-webhook");
    let failed = with(item("failed", 60 * SECOND), "documentId", "FAB_1".into());
    file.put("bad", with(failed, "error", "no answer".into())).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut serve = file
            .command(["serve", "--addr", "127.0.0.1:0", "--webhook", &url])
            .args(["--webhook-allow-private", "--webhook-attribute", "documentId"])
            .args(["--webhook-secret-env", "SECRET"])
            .env("SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut portal = String::new();
        BufReader::new(serve.stdout.take().unwrap()).read_line(&mut portal).unwrap();
        let (headers, body) = received.recv().await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["data"]["sessionId"], "bad");
        assert_eq!(body["data"]["attributes"]["documentId"], "FAB_1");
        assert!(headers["webhook-signature"].to_str().unwrap().starts_with("v1,"));
        ids.push(headers["webhook-id"].clone());
        let address = portal.trim().strip_prefix("http://").unwrap().trim_end_matches('/');
        let metrics = crate::serve::get(address, "/api/workflow/metrics");
        assert!(metrics.contains("agent_status_webhook_dropped{reason=\"full\"} 0\n"), "{metrics}");
        assert_eq!(crate::serve::end(serve, "-TERM"), Some(0));
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn settings_that_cannot_work_are_named() {
    let file = File::new("serve-webhook-usage");
    file.put("s", item("completed", HOUR)).await;
    let https = "https://alerts.example.com/secret-path";
    for (arguments, parts) in [
        (vec!["--webhook", "alerts"], vec!["https://alerts.example.com/workflows"]),
        (vec!["--webhook", "http://alerts.example.com"], vec!["https", "--webhook-allow-private"]),
        (vec!["--webhook", "https://127.0.0.1/"], vec!["127.0.0.1", "--webhook-allow-private"]),
        (
            vec!["--webhook", https, "--webhook-secret-env", "NONE"],
            vec!["NONE is not set", "openssl"],
        ),
        (vec!["--webhook", https, "--webhook-secret-env", "SHORT"], vec!["6 bytes", "openssl"]),
        (
            vec!["--webhook", https, "--webhook-look-back", "25h"],
            vec!["--webhook-look-back", "24h"],
        ),
        (vec!["--webhook-attribute", "documentId"], vec!["--webhook <URL>"]),
    ] {
        let serve = ["serve", "--addr", "127.0.0.1:0"].iter().copied().chain(arguments);
        let output = file.command(serve).env("SHORT", "c2VjcmV0").output().unwrap();
        let finished = crate::support::Finished::of(output).assert_code(2).assert_stderr(&parts);
        assert!(!finished.err.contains("secret-path"), "{}", finished.err);
    }
}
