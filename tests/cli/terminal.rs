//! What differs on a terminal: colours, redrawn lines, prompts. Uses `script` of util-linux,
//! which runs a program in a terminal.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use tower_agent_status::StatusTracker;
use tower_agent_status::status::{AgentReport, AgentState, OverallStatus, WorkflowStatus};
use tower_agent_status::store::StatusReader as _;

use crate::support::{File, HOUR, SECOND, agent, command, id, item, with};

/// Starts the command on a terminal. Returns `None`, after printing a line, if there is no `script`.
fn start(file: &File, arguments: &str, no_color: bool) -> Option<Child> {
    let inner = command();
    let program = inner.get_program().to_str().unwrap();
    let line = format!("'{program}' {arguments} --embedded '{}'", file.path().display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env_remove("NO_COLOR");
    script.env("TERM", "xterm-256color").env("COLUMNS", "160").env("LINES", "40");
    if no_color {
        script.env("NO_COLOR", "1");
    }
    let spawned = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    if spawned.is_err() {
        let _ = writeln!(std::io::stderr(), "skipped: a terminal, since there is no `script`");
    }
    spawned.ok()
}

/// Runs the command on a terminal with this input, and returns what it shows and its exit
/// code, or `None` if there is no terminal.
fn on_a_terminal(
    file: &File,
    arguments: &str,
    typed: &str,
    no_color: bool,
) -> Option<(String, i32)> {
    let mut script = start(file, arguments, no_color)?;
    let mut stdin = script.stdin.take().unwrap();
    stdin.write_all(typed.as_bytes()).unwrap();
    let reader = std::thread::spawn(move || {
        let output = script.wait_with_output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap())
    });
    // Stays open, since closing it would send an end of file.
    let output = reader.join().unwrap();
    drop(stdin);
    Some(output)
}

#[tokio::test]
async fn colours_are_used_on_a_terminal_unless_disabled() {
    let file = File::new("colours");
    file.put("s", with(item("completed", HOUR), "pdfAdapter", agent("success"))).await;
    for arguments in ["list", "show s", "table check"] {
        let Some((shown, code)) = on_a_terminal(&file, arguments, "", false) else { return };
        assert_eq!(code, 0, "{shown}");
        assert!(shown.contains("\u{1b}[32m"), "{arguments}: {shown:?}");
        let (shown, _) = on_a_terminal(&file, arguments, "", true).unwrap();
        assert!(!shown.contains("\u{1b}["), "{arguments}: {shown:?}");
    }
}

#[tokio::test]
async fn a_watched_workflow_is_redrawn_and_its_end_stays() {
    let file = File::new("drawn");
    let workflow = with(item("failed", HOUR), "pdfAdapter", agent("success"));
    let mut bad = agent("error");
    bad["error"] = "x\u{1b}[2J".into();
    file.put("s", with(workflow, "tradeExtraction", bad)).await;
    let Some((shown, code)) = on_a_terminal(&file, "watch s", "", false) else { return };
    assert_eq!(code, 1, "{shown}");
    for part in ["✔", "pdfAdapter", "✘", "tradeExtraction", "2,000 tokens", "failed"] {
        assert!(shown.contains(part), "no `{part}` in {shown:?}");
    }
    assert!(!shown.contains("\u{1b}[2J"), "{shown:?}");

    file.put("t", with(item("processing", SECOND), "pdfAdapter", agent("in-progress"))).await;
    let (shown, code) = on_a_terminal(&file, "watch t --timeout 500ms", "", false).unwrap();
    assert_eq!(code, 3, "{shown}");
    assert!(shown.matches("It is in-progress").count() > 1, "it is redrawn: {shown:?}");
}

// The recorder must run while this blocks on what is shown.
#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_the_run_before_go_when_a_new_one_begins() {
    let file = File::new("drawn-again");
    let tracker = StatusTracker::builder(file.store.clone()).start().unwrap();
    let report = |agent: &str, state| {
        tracker.update_agent_status("s", agent, AgentReport::new(state)).unwrap();
    };
    let before = tracker.workflow("s").start().unwrap();
    for agent in ["first", "second", "third"] {
        report(agent, AgentState::InProgress);
    }
    tracker.flush().await.unwrap();
    let Some(mut script) = start(&file, "watch s --interval 50ms", true) else { return };
    let (mut out, mut shown) = (script.stdout.take().unwrap(), String::new());
    let mut until = |part: &str| {
        let mut bytes = [0; 4096];
        while !shown.contains(part) {
            let read = out.read(&mut bytes).unwrap();
            assert_ne!(read, 0, "no `{part}` in {shown:?}");
            shown += &String::from_utf8_lossy(&bytes[..read]);
        }
        shown.clone()
    };
    until("third");
    let again = tracker.workflow("s").new_run().start().unwrap();
    report("only", AgentState::Success);
    drop(before);
    tracker.flush().await.unwrap();
    until("only");
    // Its error is on a line of its own, until the next call succeeds.
    let failed = AgentReport::new(AgentState::Error).error("no capacity");
    tracker.update_agent_status("s", "only", failed).unwrap();
    until("no capacity");
    report("only", AgentState::Success);
    again.complete();
    let mut all = until("completed");
    out.read_to_string(&mut all).unwrap();
    let after = &all[all.find("only").unwrap()..];
    for gone in ["first", "second", "third"] {
        assert!(!after.contains(gone), "`{gone}` is still there: {after:?}");
    }
    let end = &all[all.rfind("only").unwrap()..];
    assert_eq!(end.matches(" tokens").count(), 1, "one line for the workflow: {end:?}");
    assert_eq!(script.wait().unwrap().code(), Some(0));
    tracker.shutdown(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn deleting_asks_for_confirmation() {
    let file = File::new("asks");
    for n in 0..12 {
        file.put(&format!("s-{n:02}"), item("processing", SECOND)).await;
    }
    for refusal in ["n\n", "\n", "yess\n"] {
        let Some((shown, code)) = on_a_terminal(&file, "delete --prefix s-", refusal, true) else {
            return;
        };
        assert_eq!(code, 1, "{shown}");
        assert!(shown.contains("Delete 12 sessions from the embedded store"), "{shown}");
        assert!(shown.contains("(still running)") && shown.contains("and 2 more"), "{shown}");
        assert!(file.has("s-00").await && file.has("s-11").await);
    }
    // Whether one of a writer without heartbeats goes on is not known.
    file.put("theirs", json!({ "overallStatus": "processing" })).await;
    let (shown, _) = on_a_terminal(&file, "delete --prefix theirs", "n\n", true).unwrap();
    assert!(shown.contains("  theirs  (not finished)"), "{shown}");
    let (shown, code) = on_a_terminal(&file, "delete s-00", "y\n", true).unwrap();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("Delete 1 session from"), "{shown}");
    assert!(!file.has("s-00").await && file.has("s-01").await);
}

#[tokio::test]
async fn ending_more_than_one_asks_for_confirmation() {
    let file = File::new("asks-end");
    for n in 0..12 {
        file.put(&format!("s-{n:02}"), item("processing", 25 * HOUR)).await;
    }
    let all = "end --stalled --failed --reason gone --by ops";
    let status = async |session: &str| {
        let id = id(session);
        WorkflowStatus::from_item(&id, &file.store.get(&id).await.unwrap().unwrap()).overall_status
    };
    for refusal in ["n\n", "\n", "yess\n"] {
        let Some((shown, code)) = on_a_terminal(&file, all, refusal, true) else { return };
        assert_eq!(code, 1, "{shown}");
        assert!(shown.contains("End 12 sessions in the embedded store"), "{shown}");
        assert!(shown.contains("processing, no heartbeat for 1 d 01 h"), "{shown}");
        assert!(shown.contains("and 2 more; `--dry-run` lists all"), "{shown}");
        assert!(shown.contains("cancelled; nothing was ended"), "{shown}");
        for session in ["s-00", "s-11"] {
            assert_eq!(status(session).await, OverallStatus::Processing);
        }
    }
    // One is not asked for.
    let (shown, code) =
        on_a_terminal(&file, "end s-00 --failed --reason gone --by ops", "n\n", true).unwrap();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("1 session ended as failed") && !shown.contains("[y/N]"), "{shown}");
    let (shown, code) = on_a_terminal(&file, all, "y\n", true).unwrap();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("11 sessions ended as failed"), "{shown}");
    assert_eq!(status("s-11").await, OverallStatus::Failed);
}
