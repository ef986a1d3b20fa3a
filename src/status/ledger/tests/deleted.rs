//! Items that are deleted while processes work on them, and made again by one of them or anew.

use super::*;

/// A call of one token, not saved yet.
fn call(process: &mut Process, agent: &str, now: i64) {
    process.start(agent, now);
    process.end(agent, Outcome::Success, 1, now);
}

fn calls(table: &Table, agent: &str) -> u64 {
    table.status().agent(agent).map_or(0, |agent| agent.calls)
}

#[test]
fn what_is_written_again_is_not_counted_twice() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
    call(&mut two, "worker", 0);
    two.save_and_lose_the_answer(&mut table, true, 0);
    // This process has read the item with the call of the other.
    call(&mut one, "worker", 1);
    one.save(&mut table, 1);
    table.item = None;
    call(&mut one, "worker", 2);
    one.save(&mut table, 2);
    assert_eq!(calls(&table, "worker"), 3);
    two.save(&mut table, 3);
    assert_eq!(calls(&table, "worker"), 3);
    assert_eq!((one.others, two.others), (0, 0));
}

#[test]
fn what_the_one_that_writes_it_again_did_not_know_is_missing_and_said_to_be() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
    call(&mut one, "worker", 0);
    one.save(&mut table, 0);
    call(&mut two, "worker", 1);
    two.save(&mut table, 1);
    table.item = None;
    call(&mut one, "worker", 2);
    one.save(&mut table, 2);
    call(&mut two, "worker", 3);
    two.save(&mut table, 3);
    assert_eq!(calls(&table, "worker"), 3, "the first call of the second is missing");
    assert_eq!((one.others, two.others), (0, 1));
    // It says so once, and not while nothing is missing.
    call(&mut one, "worker", 4);
    one.save(&mut table, 4);
    call(&mut two, "worker", 5);
    two.save(&mut table, 5);
    assert_eq!((one.others, two.others, calls(&table, "worker")), (0, 1, 5));
}

#[test]
fn an_item_that_was_made_anew_is_not_taken_for_the_one_before() {
    let mut table = Table::default();
    let mut one = Process::new("one", 0);
    call(&mut one, "worker", 0);
    one.save(&mut table, 0);
    table.item = None;
    // As many writes as the first one has seen.
    let mut two = Process::new("two", 10);
    call(&mut two, "worker", 10);
    two.save(&mut table, 10);
    call(&mut one, "other", 20);
    one.save(&mut table, 20);
    assert_eq!((calls(&table, "worker"), calls(&table, "other")), (1, 1));
    assert_eq!(table.status().created_at, at(10));
    assert_eq!(one.others, 1);
    two.save(&mut table, 30);
    assert_eq!(two.others, 0);
}

#[test]
fn a_workflow_that_ends_is_written_again_as_a_whole() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
    call(&mut two, "b", 0);
    two.save(&mut table, 0);
    call(&mut one, "a", 0);
    one.save(&mut table, 0);
    table.item = None;
    one.ledger.finish(Ok(()), at(1));
    one.save(&mut table, 1);
    let status = table.status();
    assert_eq!(status.overall_status, OverallStatus::Completed);
    assert_eq!((calls(&table, "a"), calls(&table, "b")), (1, 1));
    assert_eq!(status.writers.len(), 2);
}
