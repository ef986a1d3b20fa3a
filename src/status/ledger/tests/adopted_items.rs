//! Items of older writers that a process adopts: what it does not change stays as it is.

use super::*;

fn agent(status: &str) -> Value {
    let mut map = Item::new();
    map.insert("status", status);
    map.insert("activity", format!("It is {status}"));
    map.insert("startedAt", at(-5_000).to_string());
    Value::Map(map)
}

/// As the upload route leaves it, with a word of each kind.
fn old_item() -> Item {
    let mut item = Item::new();
    item.insert("overallStatus", "pending");
    item.insert("created_at", at(-9_000).to_string());
    item.insert("lastUpdated", at(-5_000).to_string());
    for word in ["loading", "completed", "warning", "stopped"] {
        item.insert(format!("agent-{word}"), agent(word));
    }
    item
}

#[test]
fn what_a_process_does_not_change_stays_as_it_is() {
    let mut table = Table { item: Some(old_item()), ..Table::default() };
    let mut p = Process::new("p", 0);
    p.start("a", 0);
    p.save(&mut table, 0);
    let item = table.item.as_ref().unwrap();
    for (name, value) in old_item().iter().filter(|(name, _)| name.starts_with("agent-")) {
        assert_eq!(item.get(name), Some(value), "{name}");
    }
    assert_eq!(item.get("created_at"), old_item().get("created_at"));
    assert_eq!(item.get("createdAt"), Some(&at(-9_000).to_string().into()));
    assert!(item.get("createdDay").is_some() && item.get("expiresAt").is_some());
    assert_eq!(item.get("overallStatus"), Some(&"processing".into()));
}

#[test]
fn an_agent_with_an_older_writers_word_can_be_called() {
    let mut table = Table { item: Some(old_item()), ..Table::default() };
    let mut p = Process::new("p", 0);
    p.start("a", 0);
    p.save(&mut table, 0);
    p.start("agent-warning", 1_000);
    assert_eq!(p.ledger.status().agent("agent-warning").unwrap().other_state, None);
    p.save(&mut table, 1_000);
    assert_eq!(shown(&table.status(), "agent-warning"), IN_PROGRESS);
    p.end("agent-warning", Outcome::Success, 1, 2_000);
    p.end("a", Outcome::Success, 1, 2_000);
    // A report has no such word, so it leaves the state as it is.
    let slot = p.slot("agent-stopped");
    p.ledger.report(slot, AgentReport::new(AgentState::Other), at(2_500));
    assert!(p.ledger.finish(Ok(()), at(3_000)));
    p.save(&mut table, 3_000);
    let status = table.status();
    assert_eq!(shown(&status, "agent-warning"), SUCCESS);
    // It was in progress.
    assert_eq!(error_class(&status, "agent-loading"), CallError::WORKFLOW_ENDED);
    // Whether it has ended is not known.
    assert_eq!(status.agent("agent-stopped").unwrap().state_text(), "stopped");
    assert_eq!(shown(&status, "agent-completed"), SUCCESS);
}

#[test]
fn a_write_without_a_time_of_creation_is_no_new_run() {
    let mut table = Table::default();
    let mut p = Process::new("p", 0);
    p.start("a", 0);
    p.end("a", Outcome::Success, 7, 1_000);
    p.save(&mut table, 1_000);
    // Another writer puts an item in its place that does not say when it was created.
    let mut theirs = old_item();
    theirs.remove("created_at");
    theirs.insert("lastUpdated", at(60_000).to_string());
    table.item = Some(theirs);
    p.start("b", 61_000);
    p.save(&mut table, 61_000);
    let status = table.status();
    assert_eq!(status.created_at, at(0));
    assert_eq!(shown(&status, "a"), SUCCESS);
}
