//! `watch`.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tower_agent_status::status::AgentState;
use tower_agent_status::{StatusTracker, store::StatusReader};

use crate::server::Server;
use crate::support::{File, Finished, HOUR, SECOND, agent, id, item, with};

#[tokio::test]
async fn the_exit_code_reflects_how_the_workflow_ended() {
    let file = File::new("watch-codes");
    file.put("good", item("completed", HOUR)).await;
    file.put("bad", item("failed", HOUR)).await;
    file.put("running", item("processing", SECOND)).await;
    let output = file.run(["watch", "good"]).assert_code(0);
    assert!(output.out.contains("completed"), "{}", output.out);
    file.run(["watch", "bad"]).assert_code(1);
    file.run(["watch", "running", "--timeout", "300ms"])
        .assert_code(3)
        .assert_stderr(&["`running` is still processing after"]);
    file.run(["watch", "nobody", "--timeout", "300ms"]).assert_code(3).assert_stderr(&[
        "No session `nobody`",
        "waiting",
        "`nobody` is not in the table",
    ]);
}

// The recorder must run while this blocks on lines.
#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_a_line_until_the_end() {
    let file = File::new("watch-lines");
    let mut watch = file
        .command(["watch", "s", "--interval", "50ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut waiting = String::new();
    BufReader::new(watch.stderr.as_mut().unwrap()).read_line(&mut waiting).unwrap();
    assert!(waiting.contains("waiting for it"), "{waiting}");

    let tracker = StatusTracker::builder(file.store.clone()).start().unwrap();
    let workflow = tracker.workflow("s").start().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(|line| {
        let line = line.unwrap();
        line.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
    });
    assert_eq!(lines.next().unwrap(), "workflow s initializing");
    for (state, name) in [(AgentState::InProgress, "in-progress"), (AgentState::Success, "success")]
    {
        let report = tower_agent_status::status::AgentReport::new(state);
        tracker.update_agent_status("s", "pdfAdapter", report).unwrap();
        let line = lines.next().unwrap();
        assert!(line.starts_with(&format!("{name} pdfAdapter")), "{line}");
        if state == AgentState::InProgress {
            assert_eq!(lines.next().unwrap(), "workflow s processing");
        }
    }
    workflow.complete();
    assert_eq!(lines.next().unwrap(), "workflow s completed");
    assert_eq!(lines.next(), None);
    assert_eq!(watch.wait().unwrap().code(), Some(0));
    tracker.shutdown(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn as_json_each_change_is_the_item_on_a_line() {
    let file = File::new("watch-json");
    file.put("s", with(item("completed", HOUR), "pdfAdapter", agent("success"))).await;
    let output = file.run(["watch", "s", "--json"]).assert_code(0);
    assert_eq!(output.out.lines().count(), 1);
    let item = file.store.get(&id("s")).await.unwrap().unwrap();
    let expected: Json = serde_json::to_value(&item).unwrap();
    assert_eq!(output.json(), expected);
}

#[tokio::test]
async fn a_stalled_workflow_is_reported_and_watched_further() {
    let file = File::new("watch-stalled");
    file.put("s", item("processing", HOUR)).await;
    let output = file.command(["watch", "s", "--timeout", "300ms"]).output().unwrap();
    let output = Finished::of(output).assert_code(3);
    assert!(output.out.contains("stalled"), "{}", output.out);
}

#[tokio::test]
async fn what_an_agent_waits_for_is_a_line() {
    let file = File::new("watch-waiting");
    let mut waits = agent("in-progress");
    waits["waitingFor"] = "input".into();
    waits["taskId"] = "t1".into();
    file.put("s", with(item("processing", HOUR), "pdfAdapter", waits)).await;
    let output = file.command(["watch", "s", "--timeout", "300ms"]).output().unwrap();
    let output = Finished::of(output).assert_code(3);
    let lines: Vec<_> = output.out.lines().collect();
    let [agent, workflow] = lines[..] else { panic!("{}", output.out) };
    assert!(agent.starts_with("in-progress  pdfAdapter"), "{agent}");
    assert!(agent.ends_with("  waiting for input, task t1"), "{agent}");
    assert!(workflow.contains(" waiting "), "{workflow}");
}

/// A run created and last changed at these seconds, with one agent.
fn run(status: &str, created: u32, changed: u32, name: &str, state: &str) -> Json {
    let at = |second: u32| format!("2025-12-24T10:00:{second:02}.000Z");
    let mut run = with(item(status, HOUR), name, agent(state));
    run["createdAt"] = at(created).into();
    run["lastUpdated"] = at(changed).into();
    run["revision"] = changed.into();
    run
}

/// A value as DynamoDB's API has it.
fn typed(json: &Json) -> Json {
    match json {
        Json::String(text) => json!({ "S": text }),
        Json::Object(map) => {
            let map = map.iter().map(|(name, value)| (name.clone(), typed(value)));
            json!({ "M": map.collect::<serde_json::Map<_, _>>() })
        }
        number => json!({ "N": number.to_string() }),
    }
}

#[test]
fn a_new_run_is_followed_and_the_run_before_is_not() {
    let server = Server::start();
    let put = |mut item: Json| {
        item["sessionId"] = "s".into();
        server.respond("GetItem", json!({ "Item": typed(&item)["M"] }));
    };
    put(run("pending", 1, 1, "pdfAdapter", "in-progress"));
    let watch = |json: &[&str]| {
        let arguments = [&["watch", "s", "--interval", "50ms", "--timeout", "30s"], json].concat();
        let mut watch = server.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
        (watch, lines)
    };
    let (mut printed, lines) = watch(&[]);
    let mut lines = lines.map(|line| {
        assert!(!line.contains("completed"), "{line}");
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["workflow", "s", "a", ..] => words[2..].join(" "),
            _ => words[..3].join(" "),
        }
    });
    let (mut as_json, mut items) = watch(&["--json"]);
    let mut next_item = || serde_json::from_str::<Json>(&items.next().unwrap()).unwrap();
    assert_eq!(lines.next().unwrap(), "in-progress pdfAdapter It");
    assert_eq!(lines.next().unwrap(), "workflow s pending");
    assert!(next_item().get("pdfAdapter").is_some());
    // The same states as before, of a new run.
    put(run("pending", 3, 3, "pdfAdapter", "in-progress"));
    assert_eq!(lines.next().unwrap(), "a new run has begun");
    assert_eq!(lines.next().unwrap(), "in-progress pdfAdapter It");
    assert_eq!(lines.next().unwrap(), "workflow s pending");
    assert_eq!(next_item()["lastUpdated"], "2025-12-24T10:00:03.000Z");
    // Another writer puts the run before in its place, at its end.
    put(run("completed", 1, 2, "pdfAdapter", "success"));
    // The two of them read it.
    let reads = server.requests("GetItem");
    while server.requests("GetItem") < reads + 6 {
        for watch in [&mut printed, &mut as_json] {
            assert_eq!(watch.try_wait().unwrap(), None, "it ends with the run before");
        }
        std::thread::yield_now();
    }
    put(run("failed", 3, 4, "pdfAdapter", "error"));
    assert_eq!(lines.next().unwrap(), "error pdfAdapter It");
    assert_eq!(lines.next().unwrap(), "workflow s failed");
    assert_eq!(lines.next(), None);
    assert_eq!(next_item()["overallStatus"], "failed");
    assert_eq!(items.next(), None);
    for watch in [&mut printed, &mut as_json] {
        assert_eq!(watch.wait().unwrap().code(), Some(1));
    }
}
