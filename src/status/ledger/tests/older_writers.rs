//! Older writers, which keep no revision, write the item of a run in progress.

use super::*;

/// A process that has called two agents, and saved that.
fn running(table: &mut Table) -> Process {
    let mut p = Process::new("p", 0);
    describe(&mut p, 0);
    p.start("a", 0);
    p.end("a", Outcome::Success, 7, 1_000);
    p.start("b", 1_000);
    p.save(table, 1_000);
    p
}

#[test]
fn what_a_new_item_leaves_out_comes_back_and_what_it_has_stays() {
    let mut table = Table::default();
    let mut p = running(&mut table);
    let before = table.item.clone().unwrap();
    let mut theirs = texts(&[
        ("overallStatus", "initializing"),
        ("createdAt", &their_time(5_000)),
        ("lastUpdated", &their_time(5_000)),
        ("reviewer", "r"),
    ]);
    for agent in ["a", "b", "x"] {
        theirs.insert(agent, texts(&[("status", "pending"), ("activity", "Waiting")]));
    }
    table.item = Some(theirs);
    p.end("b", Outcome::Success, 5, 6_000);
    p.save(&mut table, 6_000);
    let item = table.item.clone().unwrap();
    for name in ["createdAt", "createdDay", "expiresAt", "correlationId", "documentId", "a"] {
        assert_eq!(item.get(name), before.get(name), "{name}");
    }
    let status = table.status();
    assert_eq!((input(&status, "a"), input(&status, "b")), (7, 5));
    assert_eq!((shown(&status, "b"), shown(&status, "x").0), (SUCCESS, "pending"));
    assert_eq!(status.attributes.get("reviewer"), Some(&"r".into()));
    assert_eq!(status.overall_status, OverallStatus::Processing);
    let sum = item.get("totalTokenUsage").and_then(Value::as_map).unwrap();
    assert_eq!(sum.get("inputTokens"), Some(&Value::Integer(12)));
    assert_eq!(p.others, 0, "nothing is missing");
    // Even if that write comes last.
    p.ledger.finish(Ok(()), at(7_000));
    table.item =
        Some(texts(&[("overallStatus", "initializing"), ("lastUpdated", &their_time(8_000))]));
    p.save(&mut table, 9_000);
    assert_eq!(table.status().overall_status, OverallStatus::Completed);
    assert_eq!(input(&table.status(), "b"), 5);
}

#[test]
fn an_agent_has_the_later_state_and_the_tokens_of_this_process() {
    // Its only call is an attempt only if the agent does not show that it succeeded.
    for (ended, theirs, state, attempts) in [
        (500, "error", "success", 0),
        (2_000, "error", "error", 1),
        (2_000, "success", "success", 0),
    ] {
        let mut table = Table::default();
        let mut p = running(&mut table);
        let mut theirs = texts(&[("status", theirs), ("completedAt", &their_time(ended))]);
        theirs.insert("tokenUsage", Item::from_iter([("inputTokens".into(), Value::Integer(99))]));
        theirs.insert("subSteps", Value::List(vec!["s".into()]));
        let item = table.item.as_mut().unwrap();
        item.insert("a", theirs);
        item.insert("lastUpdated", their_time(ended));
        // It changes something else, and could not know of it but by the time.
        p.end("b", Outcome::Success, 5, 3_000);
        p.save(&mut table, 3_000);
        let status = table.status();
        let agent = status.agent("a").unwrap();
        assert_eq!((agent.state.as_str(), input(&status, "a"), agent.calls), (state, 7, 1));
        assert_eq!(agent.attempts().count(), attempts, "{state} at {ended} ms");
        let map = table.item.as_ref().unwrap().get("a").and_then(Value::as_map).unwrap();
        assert_eq!(map.get("subSteps"), Some(&Value::List(vec!["s".into()])));
    }
}

#[test]
fn calls_that_are_not_saved_yet_are_not_counted_beside_what_others_count() {
    let mut table = Table::default();
    let mut p = running(&mut table);
    p.end("b", Outcome::Success, 5, 3_000);
    let mut theirs = texts(&[("status", "success"), ("completedAt", &their_time(3_010))]);
    theirs.insert("tokenUsage", Item::from_iter([("inputTokens".into(), Value::Integer(5))]));
    let item = table.item.as_mut().unwrap();
    item.insert("b", theirs);
    item.insert("lastUpdated", their_time(3_010));
    p.save(&mut table, 3_020);
    assert_eq!(input(&table.status(), "b"), 5, "the same call");
}

#[test]
fn a_copy_from_before_does_not_undo_what_was_written_since() {
    let mut table = Table::default();
    let mut p = running(&mut table);
    let mut copy = table.item.clone().unwrap();
    p.end("b", Outcome::Success, 5, 3_000);
    let attributes = BTreeMap::from([("documentId".to_owned(), Value::from("d-2"))]);
    p.ledger.set_attributes(None, attributes, at(3_000));
    p.save(&mut table, 3_000);
    copy.insert("reviewer", "r");
    copy.insert("lastUpdated", their_time(4_000));
    table.item = Some(copy);
    p.start("a", 5_000);
    p.save(&mut table, 5_000);
    let status = table.status();
    assert_eq!((input(&status, "b"), shown(&status, "b")), (5, SUCCESS));
    assert_eq!(status.attributes.get("documentId"), Some(&"d-2".into()));
    assert_eq!(status.attributes.get("reviewer"), Some(&"r".into()));
    assert_eq!(p.others, 0);
}

#[test]
fn what_is_written_again_counts_once_whatever_becomes_of_the_answers() {
    for is_applied in [false, true] {
        let mut table = Table::default();
        let mut p = running(&mut table);
        table.item =
            Some(texts(&[("overallStatus", "pending"), ("lastUpdated", &their_time(2_000))]));
        p.end("b", Outcome::Success, 5, 3_000);
        let write = p.prepare(3_000).unwrap();
        let found = table.write(&write).unwrap_err();
        p.conflict(found.as_ref(), 3_000);
        p.save_and_lose_the_answer(&mut table, is_applied, 3_100);
        // Another one meanwhile.
        let item = table.item.as_mut().unwrap();
        item.insert("lastUpdated", their_time(3_200));
        p.start("a", 4_000);
        p.save(&mut table, 4_000);
        let status = table.status();
        assert_eq!((input(&status, "a"), input(&status, "b")), (7, 5), "{is_applied}");
        assert_eq!(status.agent("a").unwrap().calls, 1);
    }
}

#[test]
fn another_process_writes_what_only_it_knows() {
    let mut table = Table::default();
    let mut p = running(&mut table);
    let mut q = Process::new("q", 1_500);
    q.start("a", 1_500);
    q.end("a", Outcome::Success, 100, 1_600);
    q.save(&mut table, 1_600);
    // The first one knows nothing of that.
    table.item = Some(texts(&[("overallStatus", "pending"), ("lastUpdated", &their_time(2_000))]));
    p.end("b", Outcome::Success, 5, 3_000);
    p.save(&mut table, 3_000);
    q.start("c", 4_000);
    q.save(&mut table, 4_000);
    let status = table.status();
    // What both have added to one agent cannot be told apart, so the log says that it lacks some.
    assert_eq!((input(&status, "a"), input(&status, "b")), (7, 5));
    assert_eq!((p.others, q.others), (0, 1));
}

#[test]
fn an_item_put_in_the_place_of_a_finished_one_is_another_run() {
    let mut table = Table::default();
    let mut p = running(&mut table);
    p.end("b", Outcome::Success, 5, 3_000);
    p.ledger.finish(Ok(()), at(3_000));
    p.save(&mut table, 3_000);
    let theirs = [("overallStatus", "initializing"), ("createdAt", &*their_time(5_000))];
    table.item = Some(texts(&[&theirs[..], &[("lastUpdated", &their_time(5_000))]].concat()));
    p.start("a", 6_000);
    p.save(&mut table, 6_000);
    let status = table.status();
    assert_eq!(status.overall_status, OverallStatus::Processing);
    assert_eq!((status.agent("a").unwrap().calls, status.agent("b").is_some()), (0, true));
}

#[test]
fn the_end_that_an_older_writer_has_written_first_stands_and_has_its_time() {
    let mut table = Table::default();
    let mut p = running(&mut table);
    let item = table.item.as_mut().unwrap();
    item.insert("overallStatus", "completed");
    item.insert("lastUpdated", their_time(4_000));
    p.end("b", Outcome::Success, 5, 4_010);
    p.ledger.finish(Err(ErrorMessage::new("late")), at(4_020));
    p.save(&mut table, 4_100);
    let status = table.status();
    assert_eq!((status.overall_status, status.error), (OverallStatus::Completed, None));
    assert_eq!(status.completed_at, Some(at(4_000)));
    assert_eq!(shown(&table.status(), "b"), SUCCESS);
}

#[test]
fn a_copy_from_before_a_task_does_not_end_it() {
    let mut table = Table::default();
    let mut p = running(&mut table);
    let mut copy = table.item.clone().unwrap();
    p.post("a", &super::running("t-1"), 2_000);
    p.save(&mut table, 2_000);
    copy.insert("lastUpdated", their_time(3_000));
    table.item = Some(copy);
    p.start("c", 4_000);
    p.save(&mut table, 4_000);
    let status = table.status();
    assert_eq!(unfinished_tasks(&status), ["t-1"]);
    assert_eq!(shown(&status, "a"), waits_for("task", "t-1"));
    assert_eq!(p.get("a", &done("t-1", 9), 5_000), Some(9));
    p.save(&mut table, 5_000);
    assert_eq!((input(&table.status(), "a"), shown(&table.status(), "a")), (16, SUCCESS));
}

#[test]
fn an_older_writer_after_a_repeated_write_whose_answer_was_lost_is_noticed() {
    let mut table = Table::default();
    let mut p = running(&mut table);
    assert!(p.ledger.heartbeat(at(31_000)));
    // The first of two writes that carry the same is not applied.
    p.save_and_lose_the_answer(&mut table, false, 31_000);
    p.save_and_lose_the_answer(&mut table, true, 31_100);
    let item = table.item.as_mut().unwrap();
    item.insert("a", texts(&[("status", "in-progress"), ("startedAt", &their_time(32_000))]));
    item.insert("lastUpdated", their_time(32_000));
    p.start("c", 33_000);
    p.save(&mut table, 33_000);
    let status = table.status();
    assert_eq!((input(&status, "a"), status.agent("a").unwrap().calls), (7, 1));
}
