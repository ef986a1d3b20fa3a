//! The end of a workflow, a restart and a new run.

use super::*;

#[test]
fn a_finished_workflow_is_not_reopened_by_a_call_and_shows_its_agent_at_work() {
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.start("a", 0);
    assert!(process.ledger.finish(Ok(()), at(5)));
    process.save(&mut table, 5);
    let agent = process.ledger.status().agent("a").unwrap();
    assert_eq!(agent.state, AgentState::Error);
    assert_eq!(agent.error.as_ref().unwrap().class, "workflow_ended");

    process.end("a", Outcome::Success, 9, 10);
    process.start("b", 11);
    assert_eq!(process.shown("b"), IN_PROGRESS);
    process.save(&mut table, 11);
    assert_eq!(shown(&table.status(), "b"), IN_PROGRESS);
    assert_eq!(table.status().overall_status, OverallStatus::Completed);
    process.end("b", Outcome::Success, 1, 12);
    assert!(!process.ledger.finish(Err(ErrorMessage::new("late")), at(13)));
    assert!(!process.ledger.heartbeat(at(14)));
    process.save(&mut table, 15);
    let status = table.status();
    assert_eq!(status.overall_status, OverallStatus::Completed);
    assert_eq!(status.error, None);
    assert_eq!(status.agent("a").unwrap().state, AgentState::Success);
    let b = status.agent("b").unwrap();
    assert_eq!(
        (b.state, b.started_at, b.completed_at),
        (AgentState::Success, Some(at(11)), Some(at(12)))
    );
    assert_eq!(status.total_token_usage(), TokenUsage::new(10, 0));
}

#[test]
fn a_merge_does_not_end_a_call_in_a_finished_session() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
    one.start("died", 0);
    one.save(&mut table, 0);
    // Left in progress by a process that is gone, and ended by the one that ends the workflow.
    let mut three = Process::new("three", 1);
    three.start("a", 1);
    three.end("a", Outcome::Success, 1, 2);
    three.ledger.finish(Ok(()), at(3));
    three.save(&mut table, 3);
    assert_eq!(error_class(&table.status(), "died"), "workflow_ended");
    // A process that has not read the item, and those that know that it is finished.
    two.start("b", 10);
    two.save(&mut table, 11);
    assert_eq!(shown(&table.status(), "b"), IN_PROGRESS);
    three.start("a", 12);
    three.save(&mut table, 13);
    two.start("c", 14);
    two.save(&mut table, 15);
    one.end("died", Outcome::Success, 1, 16);
    one.save(&mut table, 17);
    let status = table.status();
    assert_eq!(status.overall_status, OverallStatus::Completed);
    for agent in ["a", "b", "c"] {
        assert_eq!(shown(&status, agent), IN_PROGRESS, "{agent}");
    }
    assert_eq!(shown(&status, "died"), SUCCESS);

    two.end("b", Outcome::Success, 1, 20);
    two.end("c", failure("no"), 1, 21);
    two.save(&mut table, 22);
    three.end("a", Outcome::Success, 1, 23);
    three.save(&mut table, 24);
    let status = table.status();
    assert_eq!(["a", "b", "c"].map(|agent| shown(&status, agent)), [SUCCESS, SUCCESS, ERROR]);
    assert_eq!(error_class(&status, "c"), "http_500");
    assert_eq!(status.overall_status, OverallStatus::Completed);
}

#[test]
fn a_call_in_flight_when_its_workflow_ends_elsewhere_is_ended_with_it() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
    one.start("a", 0);
    one.save(&mut table, 0);
    two.start("b", 1);
    two.save(&mut table, 1);
    two.ledger.finish(Ok(()), at(5));
    two.save(&mut table, 5);
    one.start("c", 6);
    one.save(&mut table, 6);
    let status = table.status();
    assert_eq!(["a", "b", "c"].map(|a| error_class(&status, a)), ["workflow_ended"; 3]);
    one.end("a", Outcome::Success, 1, 7);
    one.save(&mut table, 7);
    assert_eq!(shown(&table.status(), "a"), SUCCESS);
}

#[test]
fn a_restart_resumes_and_a_new_run_replaces() {
    let mut table = Table::default();
    let mut first = Process::new("first", 0);
    first.ledger.set_attributes(None, [("documentId".into(), "d".into())].into(), at(0));
    first.start("a", 0);
    first.end("a", Outcome::Success, 5, 1);
    first.start("b", 2);
    first.save(&mut table, 2);
    drop(first);

    let mut second = Process::new("second", 100);
    second.slot("a");
    second.start("b", 101);
    second.end("b", Outcome::Success, 7, 102);
    second.ledger.finish(Ok(()), at(103));
    second.save(&mut table, 103);
    let status = table.status();
    assert_eq!(status.overall_status, OverallStatus::Completed);
    assert_eq!(status.created_at, at(0));
    assert_eq!(status.agent("a").unwrap().state, AgentState::Success);
    assert_eq!(status.agent("b").unwrap().started_at, Some(at(2)));
    assert_eq!(status.total_token_usage(), TokenUsage::new(12, 0));
    assert!(status.attributes.contains_key("documentId"));

    let mut third = Process::new("third", 200);
    third.start("c", 201);
    third.save(&mut table, 202);
    assert_eq!(table.status().overall_status, OverallStatus::Completed, "finished stays finished");

    let mut fourth = Process::new("fourth", 300);
    fourth.ledger.begin_new_run(at(300));
    fourth.start("a", 301);
    fourth.save(&mut table, 302);
    let status = table.status();
    assert_eq!(status.overall_status, OverallStatus::Processing);
    assert_eq!(status.created_at, at(300));
    assert_eq!(status.total_token_usage(), TokenUsage::new(0, 0));
    assert!(status.agent("b").is_none() && status.attributes.is_empty());
}

#[test]
fn a_new_run_replaces_one_that_began_in_the_same_millisecond() {
    let mut table = Table::default();
    let mut old = Process::new("old", 0);
    old.start("a", 0);
    old.end("a", Outcome::Success, 5, 0);
    old.ledger.finish(Err(ErrorMessage::new("no cash")), at(0));
    old.save(&mut table, 0);
    let mut new = Process::new("new", 0);
    new.ledger.begin_new_run(at(0));
    new.start("b", 0);
    new.save(&mut table, 0);
    let status = table.status();
    assert_eq!((status.overall_status, status.agents.len()), (OverallStatus::Processing, 1));
    assert!(status.created_at > at(0));
}

#[test]
fn a_lost_first_write_of_a_new_run_is_not_undone_by_the_next() {
    let mut table = Table::default();
    let mut old = Process::new("old", 0);
    old.start("a", 0);
    old.end("a", Outcome::Success, 5, 1);
    old.save(&mut table, 1);
    let mut new = Process::new("new", 10);
    new.ledger.begin_new_run(at(10));
    // The first try meets the old item, the second is applied and its answer lost.
    let write = new.prepare(11).unwrap();
    let found = table.write(&write).unwrap_err();
    new.conflict(found.as_ref(), 11);
    new.save_and_lose_the_answer(&mut table, true, 12);
    let mut other = Process::new("other", 20);
    other.start("a", 20);
    other.end("a", Outcome::Success, 70, 21);
    other.save(&mut table, 21);
    new.start("b", 22);
    new.save(&mut table, 22);
    assert_eq!(input(&table.status(), "a"), 70);
    assert_eq!(table.status().agent("b").unwrap().state, AgentState::InProgress);
}

#[test]
fn an_error_from_the_end_of_a_run_does_not_move_to_the_next_run() {
    let mut table = Table::default();
    let mut old = Process::new("old", 0);
    let slot = old.slot("a");
    old.ledger.report(slot, AgentReport::new(AgentState::InProgress), at(0));
    old.save(&mut table, 0);

    let mut new = Process::new("new", 10);
    new.ledger.begin_new_run(at(10));
    new.start("a", 11);
    new.save(&mut table, 11);
    new.end("a", Outcome::Success, 5, 20);
    new.save(&mut table, 20);

    // The previous run ends only after the new run began, and so does its agent.
    old.ledger.finish(Ok(()), at(30));
    old.save(&mut table, 40);

    let status = table.status();
    assert_eq!(status.overall_status, OverallStatus::Processing);
    assert_eq!(status.agent("a").unwrap().state, AgentState::Success);
    assert_eq!(status.agent("a").unwrap().error, None);
}

#[test]
fn a_run_that_another_began_is_not_ended_by_what_is_known_of_the_one_before() {
    let mut table = Table::default();
    let (mut old, mut new) = (Process::new("old", 0), Process::new("new", 0));
    old.start("a", 0);
    old.end("a", Outcome::Success, 5, 1);
    old.ledger.finish(Ok(()), at(2));
    old.save_and_lose_the_answer(&mut table, true, 2);
    // Its clock is behind.
    new.ledger.begin_new_run(at(1));
    new.start("b", 1);
    new.save(&mut table, 1);
    let created_at = table.status().created_at;
    old.save(&mut table, 10);
    old.start("a", 20);
    old.end("a", Outcome::Success, 70, 21);
    old.save(&mut table, 21);
    let status = table.status();
    assert_eq!(status.overall_status, OverallStatus::Processing);
    assert_eq!(status.created_at, created_at);
    assert_eq!(input(&status, "a"), 70);
    assert_eq!(status.agent("a").unwrap().calls, 1);
    assert_eq!(status.agent("b").unwrap().state, AgentState::InProgress);
}

#[test]
fn what_moves_to_a_run_that_another_began_has_times_within_it() {
    let mut table = Table::default();
    let (mut old, mut new) = (Process::new("old", 0), Process::new("new", 0));
    old.start("a", 0);
    old.save(&mut table, 0);
    new.ledger.begin_new_run(at(10));
    new.save(&mut table, 10);
    old.end("a", Outcome::Success, 5, 30);
    old.save(&mut table, 31);
    let status = table.status();
    let agent = status.agent("a").unwrap();
    assert_eq!((agent.started_at, agent.completed_at), (Some(at(10)), Some(at(30))));
    assert_eq!((status.created_at, status.last_updated), (at(10), at(30)));
}

#[test]
fn a_run_that_another_began_is_not_processing_for_the_idle_end_of_the_one_before() {
    let mut table = Table::default();
    let (mut old, mut new) = (Process::new("old", 0), Process::new("new", 0));
    old.start("a", 0);
    old.end("a", Outcome::Success, 5, 1);
    old.save(&mut table, 1);
    new.ledger.begin_new_run(at(10));
    new.save(&mut table, 10);
    assert!(old.ledger.finish_idle(false, at(11)));
    old.save(&mut table, 11);
    assert_eq!(table.status().overall_status, OverallStatus::Initializing);
    assert_eq!(old.ledger.status().overall_status, OverallStatus::Initializing);
}

#[test]
fn a_finished_item_of_another_writer_has_no_agent_at_work() {
    let agent = |state: &str| {
        let mut agent = Item::new();
        agent.insert("status", state);
        agent
    };
    let mut item = Item::new();
    item.insert("overallStatus", "completed");
    item.insert("pdfAdapter", agent("in-progress"));
    let mut table = Table { item: Some(item), writes: 0 };
    let mut process = Process::new("w", 50);
    process.start("b", 50);
    process.save(&mut table, 50);
    let status = table.status();
    assert_eq!(error_class(&status, "pdfAdapter"), "workflow_ended");
    assert_eq!(shown(&status, "b"), IN_PROGRESS);
}

#[test]
fn what_was_last_updated_as_another_run_began_is_of_the_run_before() {
    for (updated, state) in [(10, AgentState::Pending), (11, AgentState::Success)] {
        let mut table = Table::default();
        let (mut old, mut new) = (Process::new("old", 0), Process::new("new", 0));
        old.start("a", 0);
        old.save(&mut table, 0);
        new.ledger.begin_new_run(at(10));
        new.save(&mut table, 10);
        old.end("a", Outcome::Success, 5, updated);
        old.save(&mut table, 20);
        let status = table.status();
        assert_eq!(status.created_at, at(10));
        assert_eq!(status.agent("a").unwrap().state, state, "updated at {updated}");
        // No token is lost.
        assert_eq!(input(&status, "a"), 5);
    }
}

#[test]
fn a_run_that_began_during_a_write_replaces_what_others_add_to_the_one_before() {
    let mut table = Table::default();
    let (mut process, mut other) = (Process::new("w", 0), Process::new("x", 0));
    process.start("a", 0);
    let write = process.prepare(0).unwrap();
    process.ledger.begin_new_run(at(10));
    table.write(&write).unwrap();
    process.ledger.write_applied(write);
    other.start("b", 11);
    other.end("b", Outcome::Success, 5, 11);
    other.save(&mut table, 11);
    process.start("c", 12);
    process.save(&mut table, 12);
    let status = table.status();
    assert_eq!(status.agents.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["c"]);
    assert_eq!(status.created_at, at(10));
    assert_eq!(status.total_token_usage(), TokenUsage::new(0, 0));
}
