//! Runs that begin if the previous one ended long enough ago.

use super::*;

/// A run that has called one agent, with this many tokens, and has ended at this time.
fn ended(table: &mut Table, writer: &'static str, tokens: u64, at_millis: i64) {
    let mut p = Process::new(writer, 0);
    p.start("a", 0);
    p.end("a", failure("busy"), tokens, 1_000);
    p.save(table, 1_000);
    p.ledger.finish(Err(ErrorMessage::new("a is busy")), at(at_millis));
    p.save(table, at_millis);
}

/// A process that opens a workflow at this time.
fn opened(writer: &'static str, now: i64) -> Process {
    let mut p = Process::new(writer, now);
    open(&mut p, now);
    p
}

fn previous(table: &Table) -> (String, Option<i64>, u64) {
    let run = table.status().previous_run.unwrap();
    let ended = run.completed_at.map(|time| time.as_millis() - at(0).as_millis());
    (run.status_text().to_owned(), ended, run.total_token_usage.input_tokens.unwrap())
}

#[test]
fn a_run_replaces_one_that_ended_long_ago() {
    let mut table = Table::default();
    ended(&mut table, "one", 7, 2_000);
    let mut two = opened("two", 62_000);
    two.start("b", 62_010);
    two.save(&mut table, 62_020);
    let status = table.status();
    assert_eq!(status.overall_status, OverallStatus::Processing);
    assert_eq!(status.created_at, at(62_000));
    assert_eq!((status.error.is_none(), status.completed_at), (true, None));
    assert!(status.agent("a").is_none());
    assert_eq!(shown(&status, "b"), IN_PROGRESS);
    assert_eq!(previous(&table), ("failed".to_owned(), Some(2_000), 7));
    let run = status.previous_run.unwrap();
    assert_eq!((run.created_at, run.error.unwrap().as_str()), (at(0), "a is busy"));
    // What the item says of it stays.
    two.end("b", Outcome::Success, 1, 63_000);
    two.ledger.finish(Ok(()), at(63_000));
    two.save(&mut table, 63_000);
    assert_eq!(previous(&table).2, 7);
    assert_eq!(table.status().completed_at, Some(at(63_000)));
}

#[test]
fn a_run_joins_one_that_has_just_ended() {
    let mut table = Table::default();
    ended(&mut table, "one", 7, 2_000);
    let mut two = opened("two", 61_999);
    two.start("a", 61_999);
    two.save(&mut table, 61_999);
    let status = table.status();
    assert_eq!(status.overall_status, OverallStatus::Failed);
    assert_eq!(status.completed_at, Some(at(2_000)));
    assert_eq!(shown(&status, "a"), IN_PROGRESS);
    two.end("a", Outcome::Success, 5, 90_000);
    assert!(!two.ledger.finish(Ok(()), at(90_000)), "its end is not recorded");
    two.save(&mut table, 90_000);
    let status = table.status();
    assert_eq!((status.overall_status, input(&status, "a")), (OverallStatus::Failed, 12));
    assert_eq!((shown(&status, "a"), status.previous_run), (SUCCESS, None));
    // Its calls have ended just now, the run has not.
    let mut three = opened("three", 90_010);
    call(&mut three, "b", 1, 90_010);
    three.save(&mut table, 90_030);
    assert_eq!(previous(&table), ("failed".to_owned(), Some(2_000), 12));
}

#[test]
fn a_run_that_goes_on_is_resumed() {
    let mut table = Table::default();
    let mut one = Process::new("one", 0);
    call(&mut one, "a", 7, 0);
    one.save(&mut table, 1_000);
    let mut two = opened("two", 500_000);
    call(&mut two, "a", 5, 500_000);
    two.save(&mut table, 500_020);
    let status = table.status();
    assert_eq!((status.created_at, input(&status, "a")), (at(0), 12));
    assert_eq!(status.previous_run, None);
    // It has seen the run go on, so it does not begin another when that ends.
    one.ledger.finish(Ok(()), at(500_030));
    one.save(&mut table, 500_030);
    call(&mut two, "a", 1, 900_000);
    two.save(&mut table, 900_020);
    assert_eq!(input(&table.status(), "a"), 13);
}

#[test]
fn of_two_that_begin_at_once_the_second_joins_the_first() {
    for is_lost in [false, true] {
        let mut table = Table::default();
        ended(&mut table, "one", 7, 2_000);
        let (mut two, mut three) = (opened("two", 90_000), opened("three", 90_001));
        for p in [&mut two, &mut three] {
            call(p, "a", 10, 90_010);
            // Both have seen the run that has ended.
            let write = p.prepare(90_030).unwrap();
            let found = table.write(&write).unwrap_err();
            p.conflict(found.as_ref(), 90_030);
        }
        if is_lost {
            two.save_and_lose_the_answer(&mut table, true, 90_040);
        }
        two.save(&mut table, 90_050);
        three.save(&mut table, 90_060);
        let status = table.status();
        assert_eq!((input(&status, "a"), status.agent("a").unwrap().calls), (20, 2));
        assert_eq!(previous(&table), ("failed".to_owned(), Some(2_000), 7));
    }
}

#[test]
fn what_was_not_saved_of_the_run_before_is_kept_in_sum() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
    call(&mut one, "a", 1, 0);
    one.save(&mut table, 100);
    call(&mut two, "a", 10, 100);
    two.save(&mut table, 200);
    // The table is away: neither this call nor the end is saved.
    call(&mut one, "a", 100, 300);
    one.ledger.finish(Ok(()), at(1_000));
    one.save_and_lose_the_answer(&mut table, false, 1_000);
    open(&mut one, 70_000);
    assert_eq!(one.ledger.status().overall_status, OverallStatus::Initializing);
    call(&mut one, "b", 1_000, 70_000);
    one.save(&mut table, 71_000);
    assert_eq!(previous(&table), ("completed".to_owned(), Some(1_000), 111));
    let status = table.status();
    assert_eq!((status.agents().count(), input(&status, "b")), (1, 1_000));
    assert_eq!(status.attributes.get("documentId"), Some(&"d".into()));
}

#[test]
fn a_run_that_another_process_has_ended_is_replaced_by_one_that_knew_it() {
    let mut table = Table::default();
    let mut one = Process::new("one", 0);
    open(&mut one, 0);
    call(&mut one, "a", 7, 10);
    one.save(&mut table, 100);
    let mut two = Process::new("two", 200);
    two.ledger.finish(Ok(()), at(200));
    two.ledger.set_attributes(None, BTreeMap::new(), at(200));
    two.save(&mut table, 200);
    // To this process, the run goes on.
    open(&mut one, 90_000);
    call(&mut one, "a", 5, 90_010);
    one.save(&mut table, 90_100);
    let status = table.status();
    assert_eq!((input(&status, "a"), status.agent("a").unwrap().calls), (5, 1));
    assert_eq!(status.overall_status, OverallStatus::Processing);
    assert_eq!(previous(&table), ("completed".to_owned(), Some(200), 7));
    assert_eq!(status.correlation_id.as_deref(), Some("c"));
    assert_eq!(status.attributes.get("documentId"), Some(&"d".into()));
    assert_eq!(status.agent("a").unwrap().started_at, Some(at(90_000)), "in this run");
}

#[test]
fn an_item_that_does_not_say_when_it_ended_was_last_updated_then() {
    for (now, is_new) in [(60_000, false), (62_000, true)] {
        let mut item = Item::new();
        item.insert("overallStatus", "completed");
        item.insert("lastUpdated", at(1_000).to_string().replace('Z', "000+00:00"));
        let mut table = Table { item: Some(item), ..Table::default() };
        let mut p = opened("p", now);
        call(&mut p, "a", 1, now);
        p.save(&mut table, now + 10);
        assert_eq!(table.status().previous_run.is_some(), is_new);
        assert_eq!(table.status().overall_status.is_finished(), !is_new);
    }
}

#[test]
fn a_run_begins_anew_if_its_item_was_deleted() {
    let mut table = Table::default();
    ended(&mut table, "one", 7, 2_000);
    let mut two = opened("two", 90_000);
    call(&mut two, "a", 1, 90_000);
    let write = two.prepare(90_020).unwrap();
    let found = table.write(&write).unwrap_err();
    two.conflict(found.as_ref(), 90_020);
    table.item = None;
    two.save(&mut table, 90_030);
    let status = table.status();
    assert_eq!((input(&status, "a"), status.overall_status), (1, OverallStatus::Processing));
}

#[test]
fn a_run_that_was_ended_by_hand_is_replaced_at_once() {
    let mut table = Table::default();
    let mut one = Process::new("one", 0);
    call(&mut one, "a", 7, 0);
    one.save(&mut table, 100);
    let end = crate::status::ManualEnd::failed("ops", "its process has died");
    let item = table.item.clone().unwrap();
    let (change, _) = end.write_for(&id(), &item, at(100_000)).unwrap();
    change.apply(table.item.as_mut().unwrap());
    let mut two = opened("two", 101_000);
    call(&mut two, "a", 5, 101_000);
    two.save(&mut table, 101_100);
    let status = table.status();
    assert_eq!((input(&status, "a"), status.overall_status), (5, OverallStatus::Processing));
    assert_eq!(previous(&table), ("failed".to_owned(), Some(100_000), 7));
    assert!(!status.attributes.contains_key("endedBy"), "{status:?}");
}
