//! Runs that begin, end and are joined while other processes and older writers write the item.

use super::*;

/// A process knows a run that goes on, and another has ended it since, at this time.
fn ended_elsewhere(table: &mut Table, ended: i64) -> Process {
    let mut one = Process::new("one", 0);
    open(&mut one, 0);
    call(&mut one, "a", 7, 10);
    one.save(table, 100);
    let mut two = Process::new("two", ended);
    two.ledger.finish(Ok(()), at(ended));
    two.ledger.set_attributes(None, BTreeMap::new(), at(ended));
    two.save(table, ended);
    one
}

#[test]
fn the_end_of_a_new_run_stands_if_it_comes_before_its_first_write() {
    for result in [Ok(()), Err(ErrorMessage::new("no"))] {
        let mut table = Table::default();
        let mut one = ended_elsewhere(&mut table, 200);
        open(&mut one, 90_000);
        call(&mut one, "a", 5, 90_010);
        one.start("b", 90_030);
        one.start("c", 90_030);
        one.end("c", Outcome::Success, 5, 90_040);
        let report = AgentReport::new(AgentState::InProgress);
        let slot = one.slot("r");
        one.ledger.report(slot, report, at(90_040));
        assert!(one.ledger.finish(result.clone(), at(90_050)));
        one.save(&mut table, 90_100);
        let status = table.status();
        assert!(status.overall_status.is_finished());
        assert_eq!(status.error, result.err());
        assert_eq!(status.completed_at, Some(at(90_050)));
        assert_eq!(shown(&status, "a"), SUCCESS);
        assert_eq!(shown(&status, "b"), ERROR);
        assert_eq!(shown(&status, "c"), SUCCESS);
        assert_eq!(shown(&status, "r"), ERROR);
        assert_eq!(input(&status, "a"), 5);
        assert!(status.previous_run.is_some());
    }
}

#[test]
fn the_end_of_a_run_that_joins_another_stands_if_it_comes_before_its_first_write() {
    let mut table = Table::default();
    // Both know the run that has ended.
    let mut one = Process::new("one", 0);
    open(&mut one, 0);
    call(&mut one, "a", 7, 10);
    one.ledger.finish(Ok(()), at(50));
    one.save(&mut table, 100);
    // Another begins a run later than this one, by its clock.
    open(&mut one, 90_000);
    let mut two = Process::new("two", 90_020);
    open(&mut two, 90_020);
    two.save(&mut table, 90_030);
    call(&mut one, "a", 5, 90_010);
    assert!(one.ledger.finish(Ok(()), at(90_050)));
    one.save(&mut table, 90_100);
    let status = table.status();
    assert_eq!(input(&status, "a"), 5);
    assert_eq!(shown(&status, "a"), SUCCESS);
    assert_eq!(status.overall_status, OverallStatus::Completed);
}

#[test]
fn the_retention_of_a_new_run_is_that_of_its_workflow() {
    let mut table = Table::default();
    let mut one = ended_elsewhere(&mut table, 200);
    one.ledger.begin_new_run_after(AGE, at(90_000));
    one.ledger.set_retention(Duration::from_secs(3_600));
    describe(&mut one, 90_000);
    one.save(&mut table, 90_100);
    let expires = table.status().expires_at.unwrap();
    assert_eq!(expires.as_secs(), at(90_000).as_secs() + 3_600);
}

#[test]
fn the_retention_of_a_run_that_joins_is_that_of_its_workflow() {
    let mut table = Table::default();
    let mut one = Process::new("one", 0);
    open(&mut one, 0);
    call(&mut one, "a", 7, 10);
    one.ledger.finish(Ok(()), at(50));
    one.save(&mut table, 100);
    one.ledger.begin_new_run_after(AGE, at(90_000));
    one.ledger.set_retention(Duration::from_secs(3_600));
    describe(&mut one, 90_000);
    let mut two = Process::new("two", 90_020);
    open(&mut two, 90_020);
    two.save(&mut table, 90_030);
    one.save(&mut table, 90_100);
    let expires = table.status().expires_at.unwrap();
    assert_eq!(expires.as_secs(), at(90_020).as_secs() + 3_600);
}

#[test]
fn attributes_of_a_new_run_are_there_after_a_lost_answer() {
    let mut table = Table::default();
    let mut one = Process::new("one", 0);
    open(&mut one, 0);
    call(&mut one, "a", 7, 10);
    one.save_and_lose_the_answer(&mut table, true, 100);
    let mut two = Process::new("two", 200);
    two.ledger.finish(Ok(()), at(200));
    two.ledger.set_attributes(None, BTreeMap::new(), at(200));
    two.save(&mut table, 200);
    open(&mut one, 90_000);
    call(&mut one, "a", 5, 90_010);
    one.save(&mut table, 90_100);
    let status = table.status();
    assert!(status.previous_run.is_some());
    assert_eq!(input(&status, "a"), 5);
    assert_eq!(status.attributes.get("documentId"), Some(&"d".into()));
    assert_eq!(status.correlation_id.as_deref(), Some("c"));
}

#[test]
fn a_repeated_message_joins_its_run_though_its_first_write_is_late() {
    let mut table = Table::default();
    let mut one = Process::new("one", 0);
    open(&mut one, 0);
    call(&mut one, "a", 7, 10);
    one.ledger.finish(Ok(()), at(1_000));
    one.save(&mut table, 1_000);
    // 30 s after the end.
    let mut two = Process::new("two", 31_000);
    open(&mut two, 31_000);
    call(&mut two, "a", 5, 31_010);
    // The table was away for a while.
    two.save(&mut table, 90_000);
    let status = table.status();
    assert_eq!(status.previous_run, None);
    assert_eq!(input(&status, "a"), 12);
}

#[test]
fn a_run_that_went_on_when_this_one_was_opened_is_joined() {
    let mut table = Table::default();
    let mut one = Process::new("one", 0);
    open(&mut one, 0);
    call(&mut one, "a", 7, 10);
    one.save(&mut table, 100);
    let mut two = Process::new("two", 500);
    open(&mut two, 500);
    call(&mut two, "b", 5, 510);
    // The table is away for this process only.
    one.ledger.finish(Ok(()), at(1_000));
    one.save(&mut table, 1_000);
    two.save(&mut table, 62_000);
    let status = table.status();
    assert_eq!(status.previous_run, None);
    assert_eq!((input(&status, "a"), input(&status, "b")), (7, 5));
    assert_eq!(status.overall_status, OverallStatus::Completed);
}

#[test]
fn a_call_at_the_moment_of_the_opening_is_of_the_new_run() {
    let mut table = Table::default();
    let mut one = ended_elsewhere(&mut table, 200);
    open(&mut one, 90_000);
    one.start("a", 90_000);
    one.end("a", Outcome::Success, 5, 90_000);
    one.save(&mut table, 90_100);
    let status = table.status();
    assert!(status.previous_run.is_some());
    assert_eq!((input(&status, "a"), shown(&status, "a")), (5, SUCCESS));
}

#[test]
fn an_end_that_was_saved_stands_whatever_an_older_writer_says() {
    let mut table = Table::default();
    let mut one = Process::new("one", 0);
    open(&mut one, 0);
    call(&mut one, "a", 7, 10);
    one.ledger.finish(Err(ErrorMessage::new("no")), at(1_000));
    one.save(&mut table, 1_000);
    let item = table.item.as_mut().unwrap();
    item.insert("overallStatus", "completed");
    item.insert("lastUpdated", their_time(1_100));
    call(&mut one, "b", 7, 2_000);
    one.save(&mut table, 3_000);
    let status = table.status();
    assert_eq!(status.overall_status, OverallStatus::Failed);
    assert_eq!(status.completed_at, Some(at(1_000)));
}

#[test]
fn tokens_of_a_run_before_the_one_before_are_not_lost() {
    let mut table = Table::default();
    let mut one = Process::new("one", 0);
    open(&mut one, 0);
    call(&mut one, "a", 1, 10);
    one.save(&mut table, 100);
    // The table is away.
    call(&mut one, "a", 10, 200);
    one.ledger.finish(Ok(()), at(300));
    open(&mut one, 90_000);
    call(&mut one, "a", 100, 90_010);
    one.ledger.finish(Ok(()), at(90_100));
    open(&mut one, 180_000);
    call(&mut one, "a", 1_000, 180_010);
    // Another goes on with the first.
    let mut two = Process::new("two", 180_020);
    call(&mut two, "b", 1, 180_020);
    two.save(&mut table, 180_030);
    one.save(&mut table, 180_100);
    let status = table.status();
    eprintln!("{status:#?}");
    let all = status.total_token_usage().input_tokens.unwrap();
    let before = status.previous_run.map_or(0, |run| run.total_token_usage.input_tokens.unwrap());
    eprintln!("{all} {before}");
}

#[test]
fn what_others_put_into_agents_does_not_keep_an_item_from_being_saved() {
    let mut table = Table::default();
    let mut one = Process::new("one", 0);
    call(&mut one, "a", 7, 10);
    call(&mut one, "b", 7, 30);
    one.save(&mut table, 100);
    for (n, name) in ["a", "b"].into_iter().enumerate() {
        // A new item each time.
        let n = i64::try_from(n).unwrap();
        let mut agent = texts(&[("status", "loading")]);
        agent.insert("subSteps", Value::List(vec!["x".repeat(300_000).into()]));
        let mut item =
            texts(&[("overallStatus", "processing"), ("lastUpdated", &their_time(1_000 + n))]);
        item.insert(name, agent);
        table.item = Some(item);
        call(&mut one, "c", 1, 2_000 + n * 100);
        one.save(&mut table, 2_100 + n * 100);
    }
    let size: usize = table.item.as_ref().unwrap().iter().map(|(_, v)| v.size()).sum();
    assert!(size < 400_000, "{size}");
}

#[test]
fn what_a_put_item_lacks_of_a_repeated_message() {
    let mut table = Table::default();
    let mut one = Process::new("one", 0);
    open(&mut one, 0);
    call(&mut one, "a", 7, 10);
    one.ledger.finish(Ok(()), at(1_000));
    one.save(&mut table, 1_000);
    // The route puts the item, and posts it 30 s after the end.
    table.item = Some(texts(&[
        ("overallStatus", "initializing"),
        ("createdAt", &their_time(31_000)),
        ("lastUpdated", &their_time(31_000)),
    ]));
    open(&mut one, 31_100);
    call(&mut one, "a", 5, 31_110);
    assert!(!one.ledger.finish(Ok(()), at(31_200)));
    one.save(&mut table, 31_300);
    let status = table.status();
    assert_eq!(status.attributes.get("documentId"), Some(&"d".into()));
    assert_eq!(status.overall_status, OverallStatus::Completed);
}

#[test]
fn the_end_of_a_call_stands_though_two_others_end_its_workflow() {
    let mut table = Table::default();
    let [mut one, mut two, mut three] = ["one", "two", "three"].map(|name| Process::new(name, 0));
    one.start("a", 10);
    one.save(&mut table, 20);
    for (p, millis) in [(&mut two, 30), (&mut three, 40)] {
        p.start("b", millis);
        p.save(&mut table, millis);
        p.end("b", Outcome::Success, 1, millis + 1);
        p.save(&mut table, millis + 1);
    }
    one.end("a", Outcome::Success, 7, 50);
    // Both end the workflow before they know of that, the third later.
    two.ledger.finish(Ok(()), at(60));
    three.ledger.finish(Ok(()), at(70));
    two.save(&mut table, 80);
    let write = one.prepare(90).unwrap();
    let found = table.write(&write).unwrap_err();
    one.conflict(found.as_ref(), 90);
    three.save(&mut table, 100);
    one.save(&mut table, 110);
    assert_eq!(shown(&table.status(), "a"), SUCCESS);
}

#[test]
fn the_state_that_a_call_has_left_is_there_if_its_run_goes_on() {
    let mut table = Table::default();
    let mut one = Process::new("one", 0);
    open(&mut one, 0);
    call(&mut one, "a", 7, 10);
    one.save(&mut table, 100);
    // The table is away for this process.
    call(&mut one, "b", 5, 500);
    one.ledger.finish(Ok(()), at(1_000));
    let mut two = Process::new("two", 89_990);
    two.ledger.finish(Ok(()), at(89_990));
    two.ledger.set_attributes(None, BTreeMap::new(), at(89_990));
    two.save(&mut table, 89_990);
    open(&mut one, 90_000);
    one.save(&mut table, 90_100);
    let status = table.status();
    assert_eq!(status.previous_run, None);
    assert_eq!((input(&status, "b"), shown(&status, "b")), (5, SUCCESS));
}
