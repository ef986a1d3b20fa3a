//! Two writers of one item, and answers that are lost.

use super::*;

#[test]
fn two_processes_on_one_agent_count_every_token_once() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
    one.start("a", 0);
    one.save(&mut table, 1);
    two.start("a", 2);
    two.end("a", Outcome::Success, 10, 3);
    two.save(&mut table, 4);
    one.end("a", Outcome::Success, 100, 5);
    one.start("b", 6);
    one.save(&mut table, 6);
    two.start("c", 7);
    two.end("c", failure("no"), 1_000, 8);
    two.save(&mut table, 9);
    one.end("b", Outcome::Success, 10_000, 10);
    one.save(&mut table, 10);
    let status = table.status();
    assert_eq!(input(&status, "a"), 110);
    assert_eq!(status.total_token_usage(), TokenUsage::new(11_110, 0));
    assert_eq!(status.agent("a").unwrap().started_at, Some(at(0)));
    assert_eq!(status.agent("a").unwrap().calls, 2);
    assert_eq!(status.agent("c").unwrap().state, AgentState::Error);
    assert_eq!(status.writers.len(), 2);
}

#[test]
fn an_item_shows_whether_a_lost_write_was_applied() {
    for applied in [true, false] {
        let mut table = Table::default();
        let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
        one.start("a", 0);
        one.end("a", Outcome::Success, 1, 1);
        one.save_and_lose_the_answer(&mut table, applied, 1);
        // Somebody else succeeds before the next try, and a further call ends.
        two.start("a", 2);
        two.end("a", Outcome::Success, 10, 2);
        two.save(&mut table, 2);
        one.start("a", 3);
        one.end("a", Outcome::Success, 100, 3);
        one.save(&mut table, 3);
        assert_eq!(input(&table.status(), "a"), 111, "applied: {applied}");
        assert_eq!(table.status().agent("a").unwrap().calls, 3);
    }
}

#[test]
fn several_lost_answers_in_a_row_are_resolved() {
    // Which of three tries was applied; none for 3.
    for applied in 0..=3 {
        let mut table = Table::default();
        let mut process = Process::new("w", 0);
        process.start("a", 0);
        process.save(&mut table, 0);
        for attempt in 0..3 {
            process.start("a", attempt);
            process.end(
                "a",
                Outcome::Success,
                10_u64.pow(u32::try_from(attempt).unwrap()),
                attempt,
            );
            process.save_and_lose_the_answer(&mut table, attempt == applied, attempt);
            if attempt == applied {
                break;
            }
        }
        process.save(&mut table, 9);
        let expected = [1, 11, 111, 111][usize::try_from(applied).unwrap()];
        assert_eq!(input(&table.status(), "a"), expected, "applied: {applied}");
    }
}

#[test]
fn a_write_that_surely_failed_is_carried_by_the_next() {
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.start("a", 0);
    process.end("a", Outcome::Success, 5, 1);
    let write = process.prepare(1).unwrap();
    process.ledger.write_failed(&write, false);
    let mut other = Process::new("x", 0);
    other.start("a", 0);
    other.end("a", Outcome::Success, 50, 1);
    other.save(&mut table, 1);
    process.save(&mut table, 2);
    assert_eq!(input(&table.status(), "a"), 55);
}

#[test]
fn a_deleted_item_is_written_again() {
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.start("a", 0);
    process.save(&mut table, 0);
    table.item = None;
    process.end("a", Outcome::Success, 5, 1);
    process.save(&mut table, 1);
    assert_eq!(input(&table.status(), "a"), 5);
    assert_eq!(table.status().created_at, at(0));
}

#[test]
fn a_call_in_flight_here_keeps_its_agent_in_progress() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
    one.start("a", 0);
    two.start("a", 1);
    two.end("a", Outcome::Success, 1, 2);
    two.save(&mut table, 2);
    one.save(&mut table, 3);
    assert_eq!(table.status().agent("a").unwrap().state, AgentState::InProgress);
    one.end("a", Outcome::Success, 1, 4);
    one.save(&mut table, 4);
    assert_eq!(table.status().agent("a").unwrap().state, AgentState::Success);
    assert_eq!(table.status().agent("a").unwrap().completed_at, Some(at(4)));
}

#[test]
fn a_change_by_a_process_whose_clock_is_behind_counts() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 100), Process::new("two", 50));
    one.start("a", 100);
    one.end("a", Outcome::Success, 1, 101);
    one.save(&mut table, 101);
    two.start("a", 50);
    two.save(&mut table, 51);
    two.end("a", failure("no"), 1, 52);
    two.save(&mut table, 52);
    one.start("b", 110);
    one.save(&mut table, 110);
    assert_eq!(table.status().agent("a").unwrap().state, AgentState::Error);
}

#[test]
fn only_what_differs_from_the_base_is_written() {
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.start("a", 0);
    process.save(&mut table, 0);
    process.end("a", Outcome::Success, 5, 1);
    let write = process.prepare(1).unwrap();
    let change = write.change().unwrap();
    let names: Vec<_> = change.change.set.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "lastUpdated", "revision", "totalTokenUsage", "writers"]);
    table.write(&write).unwrap();
    process.ledger.write_failed(&write, true);
    // The answer was lost, and the item shows that nothing is missing.
    process.save(&mut table, 2);
    assert_eq!(table.writes, 2);
    assert!(!process.ledger.is_dirty());
}

#[test]
fn a_saved_session_keeps_its_document_once_until_something_changes() {
    let mut table = Table::default();
    let mut process = Process::new("w", 0);
    process.start("a", 0);
    process.save(&mut table, 0);
    let changes: [fn(&mut Process); 4] = [
        |process| process.end("a", Outcome::Success, 5, 1),
        |process| process.start("b", 2),
        |process| process.ledger.set_attributes(Some("id".into()), BTreeMap::new(), at(3)),
        |process| assert!(process.ledger.heartbeat(at(4))),
    ];
    for (now, change) in (1..).zip(changes) {
        assert!(process.ledger.is_saved() && process.ledger.base.is_none(), "{now}");
        change(&mut process);
        assert_eq!(process.ledger.base.as_deref(), Some(&table.status()), "{now}");
        process.save(&mut table, now);
    }
    assert_eq!(process.ledger.snapshot().revision, 0, "only an item has one");
    // A call that ends while the write is in flight: the two differ.
    process.start("c", 6);
    let write = process.prepare(6).unwrap();
    process.end("c", Outcome::Success, 1, 7);
    table.write(&write).unwrap();
    process.ledger.write_applied(write);
    assert_eq!(process.ledger.base.as_deref(), Some(&table.status()));
}

#[test]
fn an_item_of_another_writer_is_adopted() {
    let mut map = Item::new();
    map.insert("status", "success");
    map.insert("startedAt", "2025-12-24T10:00:00+00:00Z");
    let mut item = Item::new();
    item.insert("overallStatus", "processing");
    item.insert("pdfAdapter", map);
    item.insert("documentId", "d");
    let mut table = Table { item: Some(item), writes: 0 };
    let mut process = Process::new("w", 50);
    process.start("b", 50);
    process.save(&mut table, 50);
    let status = table.status();
    assert_eq!(status.agent("pdfAdapter").unwrap().state, AgentState::Success);
    assert_eq!(status.agent("pdfAdapter").unwrap().started_at, Some(at(0)));
    assert!(status.revision > 0);
    assert_eq!(status.created_at, at(50));
}
