//! `end`: ending sessions that nobody will finish.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value as Json, json};
use tower::{Service as _, ServiceBuilder, service_fn};
use tower_agent_status::status::{AgentState, Change, ManualEnd, OverallStatus, WorkflowStatus};
use tower_agent_status::store::{StatusReader as _, StatusStore as _, WriteOutcome};
use tower_agent_status::{StatusLayer, StatusTracker};

use crate::server::Server;
use crate::support::{File, Finished, HOUR, SECOND, agent, ago, id, item, put, with};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The arguments of an end as failed, by `ops`.
fn failed<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["end", "--failed", "--reason", "the host is gone", "--by", "ops"];
    all.extend(arguments);
    all
}

async fn read(file: &File, session: &str) -> WorkflowStatus {
    let id = id(session);
    WorkflowStatus::from_item(&id, &file.store.get(&id).await.unwrap().unwrap())
}

async fn overall(file: &File, session: &str) -> String {
    read(file, session).await.status_text().to_owned()
}

/// An item of an older writer, which keeps no revision.
fn old_item(status: &str, updated: Duration) -> Json {
    json!({ "overallStatus": status, "createdAt": ago(updated), "lastUpdated": ago(updated) })
}

fn waiting(updated: Duration) -> Json {
    let mut waits = agent("in-progress");
    waits["waitingFor"] = "task".into();
    waits["taskId"] = "task-1".into();
    with(item("processing", updated), "pdfAdapter", waits)
}

#[tokio::test]
async fn a_session_is_ended_with_who_and_why() {
    let file = File::new("end-one");
    let workflow = with(item("processing", HOUR), "pdfAdapter", agent("in-progress"));
    file.put("s", with(workflow, "tradeMatching", agent("success"))).await;
    let output = file.run(failed(&["s"])).assert_code(0);
    assert_eq!((&*output.out, &*output.err), ("1 session ended as failed\n", ""));
    let status = read(&file, "s").await;
    assert_eq!(status.overall_status, OverallStatus::Failed);
    assert!(status.revision > 1);
    let error = status.agent("pdfAdapter").unwrap().error.clone().unwrap();
    assert_eq!(error.class, "workflow_ended");
    assert_eq!(status.agent("tradeMatching").unwrap().state, AgentState::Success);
    assert_eq!(status.total_token_usage().total_tokens, Some(4_000));
    let output = file.run(["show", "s"]).assert_code(0);
    for line in [
        "  error           ended by ops: the host is gone\n",
        "  endReason       the host is gone\n",
        "  endedBy         ops\n",
    ] {
        assert!(output.out.contains(line), "no {line:?} in\n{}", output.out);
    }
    // A second time, it has the end that is asked for.
    file.run(failed(&["s"])).assert_code(0).assert_stderr(&["`s` is failed already."]);
    assert_eq!(read(&file, "s").await, status);

    file.put("t", item("initializing", HOUR)).await;
    let mut command = file.command(["end", "t", "--completed", "--reason", "done by hand"]);
    command.env("USER", "alice").env("HOSTNAME", "desk-7");
    let output = Finished::of(command.output().unwrap()).assert_code(0);
    assert_eq!(output.out, "1 session ended as completed\n");
    let shown = file.run(["show", "t", "--json"]).assert_code(0).json();
    assert_eq!(shown["overallStatus"], "completed");
    assert_eq!((&shown["endedBy"], &shown["error"]), (&json!("alice@desk-7"), &Json::Null));
}

#[tokio::test]
async fn a_session_that_is_alive_is_left_alone() {
    let file = File::new("end-alive");
    file.put("ours", item("processing", 80 * SECOND)).await;
    file.put("waits", waiting(80 * SECOND)).await;
    file.put("theirs", old_item("processing", 80 * SECOND)).await;
    let mut ahead = item("processing", HOUR);
    ahead["lastUpdated"] = "2999-01-01T00:00:00.000Z".into();
    file.put("ahead", ahead).await;
    for session in ["ours", "waits", "theirs"] {
        let alive =
            format!("`{session}` was not ended, since it is alive: it was last updated 1 m");
        let output = file.run(failed(&[session])).assert_code(1).assert_stderr(&[
            &alive,
            "silent for three heartbeats (1 m 30 s)",
            "Nothing to end.",
        ]);
        assert_eq!(output.out, "");
    }
    file.run(failed(&["ahead"])).assert_code(1).assert_stderr(&["`lastUpdated` is in the future"]);
    for session in ["ours", "waits", "theirs", "ahead"] {
        assert_eq!(overall(&file, session).await, "processing");
    }
    // Another interval of heartbeats.
    file.put("slow", item("processing", 2 * HOUR)).await;
    file.run(failed(&["slow", "--heartbeat", "1h"])).assert_code(1);
    assert_eq!(overall(&file, "slow").await, "processing");
    file.run(failed(&["ours", "--heartbeat", "10s"])).assert_code(0);
    assert_eq!(overall(&file, "ours").await, "failed");
}

#[tokio::test]
async fn a_session_that_has_another_end_or_is_missing_is_reported() {
    let file = File::new("end-reported");
    file.put("done", item("completed", HOUR)).await;
    file.put("open", item("processing", HOUR)).await;
    let before = read(&file, "done").await;
    let output = file.run(failed(&["done", "nobody", "open"])).assert_code(1);
    assert_eq!(output.out, "1 session ended as failed\n");
    output.assert_stderr(&["`done` is completed already.", "No session `nobody` in the embedded"]);
    assert_eq!(overall(&file, "open").await, "failed");
    for session in ["done", "nobody"] {
        file.run(failed(&[session])).assert_code(1).assert_stderr(&["Nothing to end."]);
    }
    assert_eq!(read(&file, "done").await, before);
}

#[tokio::test]
async fn what_sends_no_heartbeats_is_ended_by_id_only() {
    let file = File::new("end-silent");
    file.put("theirs", old_item("processing", 2 * DAY)).await;
    file.put("to-do", old_item("pending", 2 * DAY)).await;
    file.put("odd", old_item("archiving", 2 * DAY)).await;
    file.put("undated", json!({ "overallStatus": "processing" })).await;
    file.put("waits", waiting(2 * DAY)).await;
    let all = ["theirs", "to-do", "odd", "undated", "waits"];
    let output = file.run(failed(&["--stalled", "--yes"])).assert_code(0);
    assert_eq!((&*output.out, &*output.err), ("", "Nothing to end.\n"));
    for session in all {
        assert!(!read(&file, session).await.overall_status.is_finished(), "{session}");
    }
    let mut arguments = all.to_vec();
    arguments.push("--dry-run");
    let output = file.run(failed(&arguments)).assert_code(0);
    for line in [
        "theirs  processing, last updated 2 d 00 h ago, by a writer without heartbeats\n",
        "odd  archiving, last updated 2 d 00 h ago, by a writer without heartbeats\n",
        "undated  processing, last update unknown, by a writer without heartbeats\n",
        "waits  waiting, last updated 2 d 00 h ago\n",
        "5 sessions would be ended\n",
    ] {
        assert!(output.out.contains(line), "no {line:?} in\n{}", output.out);
    }
    for session in all {
        let output = file.run(failed(&[session])).assert_code(0);
        let is_warned = output.err.contains("nobody can tell whether it still runs");
        assert_eq!(is_warned, session != "waits", "{output:?}");
        assert_eq!(overall(&file, session).await, "failed");
    }
    let error = read(&file, "waits").await.agent("pdfAdapter").unwrap().error.clone().unwrap();
    assert_eq!(error.class, "unfinished");
}

#[tokio::test]
async fn all_that_are_stalled_for_long_enough_are_ended() {
    let file = File::new("end-stalled");
    let called = with(item("processing", 30 * HOUR), "pdfAdapter", agent("in-progress"));
    let sessions = [
        ("month", item("processing", 30 * DAY), true),
        ("called", called, true),
        ("begun", item("initializing", 25 * HOUR), true),
        ("today", item("processing", 23 * HOUR), false),
        ("alive", item("processing", SECOND), false),
        ("waits", waiting(30 * DAY), false),
        ("theirs", old_item("processing", 30 * DAY), false),
        ("to-do", old_item("pending", 30 * DAY), false),
        ("done", item("completed", 30 * DAY), false),
    ];
    for (session, item, _) in &sessions {
        file.put(session, item.clone()).await;
    }
    let mut before = Vec::new();
    for (session, ..) in &sessions {
        before.push(read(&file, session).await);
    }
    let output = file.run(failed(&["--stalled", "--dry-run"])).assert_code(0);
    let mut lines: Vec<_> = output.out.lines().collect();
    assert_eq!(lines.pop(), Some("3 sessions would be ended"));
    lines.sort_unstable();
    let expected = [
        "begun  initializing, no heartbeat for 1 d 01 h",
        "called  processing, no heartbeat for 1 d 06 h",
        "month  processing, no heartbeat for 30 d 00 h",
    ];
    assert_eq!(lines, expected);
    // Nobody can be asked.
    let output = file.run(failed(&["--stalled"])).assert_code(2);
    output.assert_stderr(&[
        "whether to end 3 sessions",
        "not a terminal",
        "`--dry-run`",
        "`--yes`",
    ]);
    for ((session, ..), before) in sessions.iter().zip(&before) {
        assert_eq!(&read(&file, session).await, before, "{session}");
    }
    let output = file.run(failed(&["--stalled", "--yes"])).assert_code(0);
    assert_eq!(output.out, "3 sessions ended as failed\n");
    for ((session, _, is_ended), before) in sessions.iter().zip(&before) {
        let status = read(&file, session).await;
        match is_ended {
            true => assert_eq!(status.overall_status, OverallStatus::Failed, "{session}"),
            false => assert_eq!(&status, before, "{session}"),
        }
    }
    // One alone needs no answer.
    let output = file.run(failed(&["--stalled", "--older-than", "2h"])).assert_code(0);
    assert_eq!(output.out, "1 session ended as failed\n");
    assert_eq!(overall(&file, "today").await, "failed");
}

#[tokio::test]
async fn a_table_that_is_larger_than_the_scan_is_mentioned() {
    let file = File::new("end-large");
    for n in 0..4 {
        let large = with(item("completed", HOUR), "text", "x".repeat(380_000).into());
        file.put(&format!("large-{n}"), large).await;
    }
    let arguments = failed(&["--stalled", "--max-pages", "1", "--dry-run"]);
    file.run(arguments).assert_code(0).assert_stderr(&[
        "Only the first 1 MB of the table were scanned, so there may be more stalled sessions",
        "raise `--max-pages`",
    ]);
    let output = file.run(failed(&["--stalled", "--dry-run"])).assert_code(0);
    assert_eq!(output.err, "Nothing to end.\n");
}

#[tokio::test]
async fn several_by_id_need_a_confirmation() {
    let file = File::new("end-several");
    for session in ["a", "b", "c"] {
        file.put(session, item("processing", HOUR)).await;
    }
    let output = file.run(failed(&["a", "b"])).assert_code(2);
    output.assert_stderr(&["whether to end 2 sessions", "`--yes`"]);
    assert_eq!(overall(&file, "a").await, "processing");
    // The same one twice is one.
    let output = file.run(failed(&["a", "a"])).assert_code(0);
    assert_eq!(output.out, "1 session ended as failed\n");
    let output = file.run(failed(&["b", "c", "--yes"])).assert_code(0);
    assert_eq!(output.out, "2 sessions ended as failed\n");
}

#[tokio::test]
async fn invalid_arguments_are_rejected() {
    let file = File::new("end-usage");
    file.put("s", item("processing", 2 * DAY)).await;
    let wrong: [&[&str]; 12] = [
        &["s", "--by=ops", "--reason=x"],
        &["s", "--by=ops", "--failed"],
        &["s", "--by=ops", "--failed", "--completed", "--reason=x"],
        &["s", "--by=ops", "--failed", "--reason= "],
        &["s", "--by= ", "--failed", "--reason=x"],
        &["--by=ops", "--failed", "--reason=x"],
        &["s", "--by=ops", "--failed", "--reason=x", "--stalled"],
        &["s", "--by=ops", "--failed", "--reason=x", "--older-than=1d"],
        &["s", "--by=ops", "--failed", "--reason=x", "--max-pages=9"],
        &["--stalled", "--by=ops", "--failed", "--reason=x", "--older-than=89s"],
        &["--stalled", "--by=ops", "--failed", "--reason=x", "--older-than=2h", "--heartbeat=1h"],
        // Nobody is named.
        &["s", "--failed", "--reason=x"],
    ];
    for arguments in wrong {
        let all = ["end"].iter().chain(arguments).copied();
        file.run(all).assert_code(2);
        assert_eq!(overall(&file, "s").await, "processing", "{arguments:?}");
    }
    let short = failed(&["--stalled", "--older-than=89s"]);
    file.run(short).assert_code(2).assert_stderr(&["three heartbeats (1 m 30 s)", "--heartbeat"]);
    let nameless = ["end", "s", "--failed", "--reason=x"];
    file.run(nameless).assert_code(2).assert_stderr(&["--by NAME"]);
    file.run([&nameless[..], &["--dry-run"]].concat()).assert_code(0);
    assert_eq!(overall(&file, "s").await, "processing");
}

#[test]
fn a_write_that_is_not_allowed_is_reported() {
    let server = Server::start();
    let text = |text: &str| json!({ "S": text });
    let number = |number: u32| json!({ "N": number.to_string() });
    server.respond(
        "GetItem",
        json!({ "Item": {
            "sessionId": text("s"), "overallStatus": text("processing"), "revision": number(1),
            "lastUpdated": text("2025-12-24T10:00:00.000Z"),
        } }),
    );
    server.refuse("UpdateItem", "AccessDeniedException", "no");
    let output = server.run(&failed(&["s", "t", "--yes"])).assert_code(1);
    assert_eq!(output.out, "0 sessions ended as failed\n");
    output.assert_stderr(&["`s` was not ended: ", "dynamodb:UpdateItem"]);
    // It would be the same for the other.
    assert_eq!(server.requests("UpdateItem"), 1);
    server.respond("UpdateItem", json!({}));
    server.run(&failed(&["s", "t", "--yes"])).assert_code(0);
}

/// An older writer has written in between, without a revision to show it.
#[tokio::test]
async fn an_item_without_a_revision_that_changes_in_between_is_a_conflict() {
    let file = File::new("end-no-revision");
    file.put("s", old_item("processing", 2 * DAY)).await;
    let item = file.store.get(&id("s")).await.unwrap().unwrap();
    let end = ManualEnd::failed("ops", "gone");
    let now = SystemTime::now().into();
    let (change, precondition) = end.write_for(&id("s"), &item, now).unwrap();
    assert!(file.store.delete(&id("s")).await.unwrap());
    put(&file.store, "s", old_item("processing", SECOND)).await;
    let outcome = file.store.write(&change, precondition).await.unwrap();
    assert!(matches!(outcome, WriteOutcome::Conflict(Some(_))), "{outcome:?}");
    assert_eq!(overall(&file, "s").await, "processing");
}

#[tokio::test]
async fn an_item_that_changes_in_between_is_a_conflict() {
    let file = File::new("end-revision");
    file.put("s", item("processing", 2 * DAY)).await;
    let found = file.store.get(&id("s")).await.unwrap().unwrap();
    let end = ManualEnd::failed("ops", "gone");
    let now = SystemTime::now().into();
    let (change, precondition) = end.write_for(&id("s"), &found, now).unwrap();
    let mut newer = found.clone();
    newer.insert("revision", 2);
    let beat = Change::new(id("s"), newer, Vec::new());
    let (_, unchanged) = end.write_for(&id("s"), &found, now).unwrap();
    assert_eq!(file.store.write(&beat, unchanged).await.unwrap(), WriteOutcome::Applied);
    let outcome = file.store.write(&change, precondition).await.unwrap();
    assert!(matches!(outcome, WriteOutcome::Conflict(Some(_))), "{outcome:?}");
    assert_eq!(overall(&file, "s").await, "processing");
}

/// The process was paused: its clock shows when it was, and nothing runs until it comes back.
#[tokio::test]
async fn a_process_that_comes_back_finds_its_session_ended_and_its_tokens_count() {
    for (how, result) in [("--failed", "failed"), ("--completed", "completed")] {
        let file = File::new(&format!("end-paused-{result}"));
        let is_back = Arc::new(AtomicBool::new(false));
        let clock = {
            let is_back = Arc::clone(&is_back);
            move || match is_back.load(Ordering::Relaxed) {
                true => SystemTime::now(),
                false => SystemTime::now() - 2 * DAY,
            }
        };
        let tracker = StatusTracker::builder(file.store.clone()).clock(clock).start().unwrap();
        let workflow = tracker.workflow("s").attribute("documentId", "d").start().unwrap();
        let (respond, response) = tokio::sync::oneshot::channel::<Bytes>();
        let mut response = Some(response);
        let mut client = ServiceBuilder::new()
            .layer(StatusLayer::new(&tracker, "pdfAdapter"))
            .service(service_fn(move |_: Request<Full<Bytes>>| {
                let response = response.take().unwrap();
                async move {
                    let body = Full::new(response.await.unwrap());
                    let response = Response::builder().header("content-type", "application/json");
                    Ok::<_, std::convert::Infallible>(response.body(body).unwrap())
                }
            }));
        let request = Request::post("http://agent/invocations").body(Full::default()).unwrap();
        let call = tokio::spawn(workflow.scope(async move {
            let response = client.call(request).await.unwrap();
            response.into_body().collect().await.unwrap().to_bytes()
        }));
        while tracker
            .status("s")
            .unwrap()
            .agent("pdfAdapter")
            .is_none_or(|agent| agent.state != AgentState::InProgress)
        {
            tokio::task::yield_now().await;
        }
        tracker.flush().await.unwrap();
        assert_eq!(overall(&file, "s").await, "processing");

        let arguments = ["end", "s", how, "--reason", "the host is gone", "--by", "ops"];
        file.run(arguments).assert_code(0);
        let at_end = read(&file, "s").await;
        assert_eq!(at_end.overall_status.as_str(), result);
        let error = at_end.agent("pdfAdapter").unwrap().error.as_ref().unwrap();
        assert_eq!(error.class, "workflow_ended");

        is_back.store(true, Ordering::Relaxed);
        let answer = r#"{"text":"done","token_usage":{"input_tokens":1500,"output_tokens":500}}"#;
        respond.send(answer.into()).unwrap();
        assert_eq!(call.await.unwrap(), answer);
        workflow.fail("it fails as well");
        tracker.shutdown(10 * SECOND).await.unwrap();

        let status = read(&file, "s").await;
        assert_eq!(status.overall_status, at_end.overall_status, "{status:#?}");
        assert_eq!(status.error, at_end.error);
        let text = status.error.as_ref().map(tower_agent_status::status::ErrorMessage::as_str);
        assert_eq!(text, (result == "failed").then_some("ended by ops: the host is gone"));
        assert_eq!(status.attributes, at_end.attributes);
        assert_eq!(
            status.attributes.keys().collect::<Vec<_>>(),
            ["documentId", "endReason", "endedBy"]
        );
        assert_eq!(status.total_token_usage().total_tokens, Some(2_000));
        let agent = status.agent("pdfAdapter").unwrap();
        assert_eq!((agent.state, agent.calls), (AgentState::Success, 1));
    }
}
