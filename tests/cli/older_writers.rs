//! `show`, `list`, `watch` and `delete` of items that older writers leave: other words, and fewer
//! attributes.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::{Value as Json, json};

use crate::older_items::older_items;
use crate::server::Server;
use crate::support::{File, Finished, HOUR, SECOND, agent, ago, item, with};

const EARLY: &str = "2025-12-24T10:00:00.000Z";
const LATE: &str = "2025-12-24T11:00:00.000Z";

fn old_item(status: &str) -> Json {
    json!({ "overallStatus": status, "createdAt": EARLY, "lastUpdated": LATE })
}

#[tokio::test]
async fn an_item_of_each_kind_of_writer_is_shown() {
    let (file, items) = (File::new("old-kinds"), older_items());
    for place in [2, 0, 4, 1, 3] {
        file.put(items[place].session, items[place].item.clone()).await;
    }
    let found = file.run(["list", "--json"]).assert_code(0).json();
    let listed = found.as_array().unwrap().iter().map(|row| {
        let times = [&row["createdAt"], &row["stalled"]];
        (row["sessionId"].as_str().unwrap(), row["status"].as_str().unwrap(), times)
    });
    let created: Vec<_> = items.iter().map(|it| json!(it.created_at)).collect();
    let expected: Vec<_> = items
        .iter()
        .zip(&created)
        .map(|(it, created)| (it.session, it.status, [created, &Json::Bool(false)]))
        .collect();
    assert_eq!(listed.collect::<Vec<_>>(), expected, "the newest first");
    for older in &items {
        let session = older.session;
        let shown = file.run(["show", session]).assert_code(0).out;
        let code = if older.status == "completed" { 0 } else { 3 };
        let watched = file.run(["watch", session, "--timeout", "300ms"]).assert_code(code).out;
        let mut words: Vec<_> = watched
            .lines()
            .filter(|line| !line.starts_with("workflow"))
            .map(|line| {
                let mut words = line.split_whitespace();
                let word = words.next().unwrap();
                (words.next().unwrap(), word)
            })
            .collect();
        words.sort_unstable();
        let mut expected = older.agents;
        expected.sort_unstable();
        assert_eq!(words, expected, "{watched}");
        for (name, _) in older.agents {
            assert!(shown.contains(name), "no {name} in\n{shown}");
        }
        for text in [&shown, &watched] {
            assert!(text.contains(older.status), "{text}");
            assert!(!text.contains("stalled") && !text.contains("1970"), "{text}");
        }
        assert_eq!(shown.contains("createdAt"), older.created_at.is_some(), "{shown}");
    }
}

#[tokio::test]
async fn an_agent_is_shown_whatever_its_word() {
    let file = File::new("old-words");
    let mut workflow = old_item("processing");
    for word in ["loading", "completed", "warning", "info", "stopped"] {
        let mut map = agent(word);
        map["activity"] = format!("Reading {word}").into();
        workflow = with(workflow, &format!("agent-{word}"), map);
    }
    workflow["agent-warning"]["error"] = "a page is missing".into();
    file.put("s", workflow).await;
    let output = file.run(["show", "s"]).assert_code(0);
    let expected = [
        "✔ agent-completed     Reading completed",
        "? agent-warning       Reading warning",
        "  status: warning\n",
        "agent: a page is missing\n",
        "? agent-info          Reading info",
        "  status: info\n",
        "? agent-stopped       Reading stopped",
        "agent-loading       Reading loading",
        "10,000 tokens",
    ];
    for part in expected {
        assert!(output.out.contains(part), "no `{part}` in\n{}", output.out);
    }
    let output = Finished::of(file.command(["watch", "s", "--timeout", "300ms"]).output().unwrap());
    let words: Vec<_> =
        output.out.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    let mut sorted = words.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["in-progress", "info", "stopped", "success", "warning", "workflow"]);
}

#[tokio::test]
async fn a_workflow_without_a_heartbeat_has_not_stalled() {
    let file = File::new("old-heartbeats");
    file.put("theirs", old_item("processing")).await;
    file.put("to-do", old_item("pending")).await;
    file.put("ours", item("processing", HOUR)).await;
    let found = file.run(["list", "--json"]).assert_code(0).json();
    let rows: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["sessionId"].as_str(), row["status"].as_str(), row["stalled"].as_bool()))
        .map(|(id, status, stalled)| (id.unwrap(), status.unwrap(), stalled.unwrap()))
        .collect();
    let expected = [
        ("ours", "processing", true),
        ("theirs", "processing", false),
        ("to-do", "pending", false),
    ];
    assert_eq!(rows, expected);
    let pending = file.run(["list", "--json", "--status", "pending"]).assert_code(0).json();
    assert_eq!((pending.as_array().unwrap().len(), &pending[0]["sessionId"]), (1, &json!("to-do")));
    for id in ["theirs", "to-do"] {
        let output = file.run(["show", id]).assert_code(0);
        assert!(!output.out.contains("stalled"), "{}", output.out);
    }
}

#[tokio::test]
async fn watch_ends_at_a_word_that_may_be_an_end() {
    let file = File::new("old-watch");
    file.put("odd", old_item("archived")).await;
    file.run(["watch", "odd"]).assert_code(3).assert_stderr(&[
        "`odd` has the status `archived`, of an older writer; whether that is an end is not known.",
    ]);
    let found = file.run(["list", "--json", "--status", "other"]).assert_code(0).json();
    assert_eq!((&found[0]["sessionId"], &found[0]["status"]), (&json!("odd"), &json!("archived")));
    let output = file.run(["show", "odd"]).assert_code(0);
    assert!(output.out.contains(" archived "), "{}", output.out);
    // One that has not begun may still.
    file.put("to-do", old_item("pending")).await;
    file.run(["watch", "to-do", "--timeout", "300ms"])
        .assert_code(3)
        .assert_stderr(&["`to-do` is still pending after"]);
}

#[tokio::test]
async fn a_time_that_is_not_there_is_not_made_up() {
    let file = File::new("old-times");
    file.put("none", json!({ "overallStatus": "completed", "lastUpdated": LATE })).await;
    file.put("other", json!({ "overallStatus": "completed", "created_at": EARLY })).await;
    let found = file.run(["list", "--json"]).assert_code(0).json();
    let times: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|row| [&row["sessionId"], &row["createdAt"], &row["lastUpdated"]])
        .collect();
    // What does not say when it was created is listed by its last change.
    let (none, other, early, late) = (json!("none"), json!("other"), json!(EARLY), json!(LATE));
    assert_eq!(times, [[&none, &Json::Null, &late], [&other, &early, &Json::Null]]);
    for (id, has, lacks) in [
        ("none", "lastUpdated     2025", "createdAt"),
        ("other", "createdAt       2025", "lastUpdated"),
    ] {
        let output = file.run(["show", id]).assert_code(0);
        assert!(output.out.contains(has) && !output.out.contains(lacks), "{}", output.out);
        assert!(
            !output.out.contains("1970") && !output.out.contains("created_at"),
            "{}",
            output.out
        );
        let output = file.run(["watch", id]).assert_code(0);
        assert!(!output.out.contains(" d "), "{}", output.out);
    }
    let older = ["delete", "--prefix", "o", "--older-than", "1d", "--yes"];
    file.run(older).assert_code(0);
    assert!(!file.has("other").await);
}

#[tokio::test]
async fn agents_whose_start_is_lost_are_ordered_by_their_end() {
    let file = File::new("old-order");
    let done = |seconds: u32| json!({ "status": "success", "completedAt": ago(seconds * SECOND), "duration": 2 });
    let workflow = with(old_item("completed"), "aLast", done(1));
    file.put("s", with(workflow, "zFirst", done(20))).await;
    for verb in ["show", "watch"] {
        let out = file.run([verb, "s"]).assert_code(0).out;
        assert!(out.find("zFirst").unwrap() < out.find("aLast").unwrap(), "{out}");
        assert!(out.contains("2.0 s"), "{out}");
    }
}

#[test]
fn a_failure_that_lasts_is_said_once_and_then_how_long_it_lasted() {
    let server = Server::start();
    let item = |status: &str| json!({ "Item": { "sessionId": { "S": "s" }, "overallStatus": { "S": status } } });
    server.respond("GetItem", item("processing"));
    let mut watch = server
        .command(&["watch", "s", "--interval", "50ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("processing"));
    let mut errors = BufReader::new(watch.stderr.take().unwrap()).lines();
    server.refuse("GetItem", "ThrottlingException", "slow down");
    let failed = errors.next().unwrap().unwrap();
    assert!(failed.contains("slow down") && failed.ends_with("; retrying"), "{failed}");
    let reads = server.requests("GetItem");
    while server.requests("GetItem") < reads + 5 {
        std::thread::yield_now();
    }
    server.respond("GetItem", item("completed"));
    let errors: Vec<_> = errors.map(Result::unwrap).collect();
    let [ended] = &errors[..] else { panic!("{errors:?}") };
    assert!(ended.starts_with("The table can be read again, after "), "{ended}");
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}

#[test]
fn the_command_that_is_suggested_is_for_the_same_store() {
    let file = File::new("old hint");
    let hint = format!("`tower-agent-status list --embedded '{}'`", file.path().display());
    file.run(["show", "nobody"]).assert_code(1).assert_stderr(&[&hint]);
}
