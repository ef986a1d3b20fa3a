//! `demo`.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::support::{File, Finished};

#[test]
fn there_is_a_workflow_of_every_kind() {
    let file = File::new("demo");
    let output = file.run(["demo", "--pace", "0"]).assert_code(0);
    let serve = format!("tower-agent-status serve --embedded {}", file.path().display());
    assert!(output.out.contains(&serve), "{}", output.out);
    assert_eq!(output.out.matches("completed  demo-").count(), 3, "{}", output.out);
    assert_eq!(output.out.matches("failed     demo-").count(), 1, "{}", output.out);

    let list = file.run(["list", "--json"]).assert_code(0).json();
    let mut counts = BTreeMap::new();
    let mut sessions = Vec::new();
    for row in list.as_array().unwrap() {
        let is_stalled = row["stalled"] == true;
        let status = if is_stalled { "stalled" } else { row["status"].as_str().unwrap() };
        *counts.entry(status.to_owned()).or_insert(0) += 1;
        sessions.push(row["sessionId"].as_str().unwrap().to_owned());
    }
    let expected = [("completed", 8), ("failed", 4), ("stalled", 1)];
    assert_eq!(counts, expected.map(|(status, n)| (status.to_owned(), n)).into());
    assert!(sessions.iter().all(|session| session.starts_with("demo-")), "{sessions:?}");

    let items: Vec<Json> =
        sessions.iter().map(|id| file.run(["show", "--json", id]).assert_code(0).json()).collect();
    let mut errors: Vec<_> =
        items.iter().filter_map(|item| item["tradeExtraction"]["errorType"].as_str()).collect();
    errors.sort_unstable();
    assert_eq!(errors, ["agent", "cancelled", "http_500", "http_500"]);
    // The tokens of a complete stream, of a dropped one, and of one that stalled.
    for (status, total) in [("success", 4_494), ("error", 4_067), ("in-progress", 4_067)] {
        let has = items.iter().any(|item| {
            let agent = &item["tradeExtraction"];
            agent["status"] == status && agent["tokenUsage"]["totalTokens"] == total
        });
        assert!(has, "{status}");
    }
    assert!(items.iter().any(|item| item["totalTokenUsage"]["totalTokens"] == 24_428));
    // Past workflows have realistic durations.
    let took = |item: &Json| item["pdfAdapter"]["duration"].as_f64().unwrap();
    assert!(items.iter().any(|item| took(item) == 2.1));
}

#[cfg(unix)]
#[test]
fn a_demo_that_keeps_running_ends_on_ctrl_c_and_leaves_nothing_running() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    let file = File::new("demo-running");
    let arguments = ["demo", "--pace", "0", "--keep-running"];
    let mut demo =
        file.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    // More than one round.
    let ended = lines.by_ref().map(Result::unwrap).filter(|line| line.contains("  demo-")).take(6);
    assert_eq!(ended.count(), 6);
    let id = demo.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let rest = std::thread::spawn(move || lines.for_each(drop));
    let output = Finished::of(demo.wait_with_output().unwrap()).assert_code(0);
    rest.join().unwrap();
    assert!(!output.err.contains("ERROR"), "{}", output.err);
    let running = file.run(["list", "--json", "--status", "processing", "--limit", "100"]);
    let running = running.assert_code(0).json();
    assert_eq!(running.as_array().unwrap().len(), 1, "the stalled one: {running}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_at_any_time_loses_no_status() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    use tower_agent_status::store::StatusReader as _;

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // While the past is written, and while workflows run.
    for (name, waits_for_line) in [("demo-early", false), ("demo-late", true)] {
        let file = File::new(name);
        let mut demo = file
            .command(["demo", "--pace", "100"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
        if waits_for_line {
            lines.next().unwrap().unwrap();
        } else {
            // The first workflow of the past is saved.
            while runtime.block_on(file.store.recent(1)).unwrap().items.is_empty() {}
        }
        let id = demo.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        let rest = std::thread::spawn(move || lines.for_each(drop));
        let output = Finished::of(demo.wait_with_output().unwrap()).assert_code(130);
        rest.join().unwrap();
        assert!(!output.err.contains("ERROR"), "{}", output.err);
        let list = file.run(["list", "--json", "--limit", "100"]).assert_code(0).json();
        let list = list.as_array().unwrap();
        assert!(list.len() >= 9, "{list:?}");
        let running: Vec<_> = list.iter().filter(|row| row["status"] == "processing").collect();
        assert_eq!(running.len(), 1, "the stalled one: {running:?}");
        assert!(list.iter().all(|row| row["status"] != "initializing"), "{list:?}");
    }
}
