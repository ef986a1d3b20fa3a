//! Agents that several processes call, whose clocks disagree.

use super::*;

/// Five milliseconds, and a minute.
const SKEWS: [i64; 4] = [-60_000, -5, 5, 60_000];

#[test]
fn a_call_that_succeeds_stands_though_a_process_that_died_at_work_had_its_clock_ahead() {
    let mut table = Table::default();
    let (mut dead, mut process) = (Process::new("dead", 60_000), Process::new("one", 10));
    dead.start("a", 60_000);
    dead.save(&mut table, 60_000);
    drop(dead);
    process.start("a", 10);
    process.end("a", Outcome::Success, 1, 20);
    process.save(&mut table, 30);
    assert_eq!(shown(&table.status(), "a"), SUCCESS);
    // The times of an agent do not go back.
    assert_eq!(table.status().agent("a").unwrap().last_updated, Some(at(60_001)));
    assert!(process.ledger.finish(Ok(()), at(40)));
    process.save(&mut table, 40);
    assert_eq!(shown(&table.status(), "a"), SUCCESS);
}

#[test]
fn clocks_that_differ_a_little_order_the_states_of_two_processes() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 5));
    one.start("a", 0);
    one.end("a", Outcome::Success, 1, 10);
    // Its clock is 5 ms ahead, and its call began after the other had ended.
    two.start("a", 25);
    two.save(&mut table, 25);
    one.save(&mut table, 21);
    assert_eq!(shown(&table.status(), "a"), IN_PROGRESS);
}

#[test]
fn a_process_at_work_shows_so_again_whatever_the_clocks_say() {
    for skew in SKEWS {
        let mut table = Table::default();
        let (mut other, mut one) = (Process::new("other", skew), Process::new("one", 0));
        other.start("a", skew);
        other.save(&mut table, skew);
        one.start("a", 1);
        one.end("a", failure("no"), 1, 2);
        one.save(&mut table, 3);
        assert!(other.ledger.heartbeat(at(4 + skew)));
        other.save(&mut table, 4 + skew);
        assert_eq!(shown(&table.status(), "a"), IN_PROGRESS, "skew {skew}");
        other.end("a", Outcome::Success, 1, 5 + skew);
        other.save(&mut table, 5 + skew);
        assert_eq!(shown(&table.status(), "a"), SUCCESS, "skew {skew}");
    }
}

#[test]
fn a_state_that_follows_another_stands_whatever_the_clocks_say() {
    for skew in SKEWS {
        let mut table = Table::default();
        let (mut other, mut one) = (Process::new("other", skew), Process::new("one", 0));
        other.start("a", skew);
        other.end("a", failure("no"), 1, skew);
        other.save(&mut table, skew);
        // It has seen the error before it calls the agent again.
        one.start("b", 1);
        one.save(&mut table, 1);
        one.start("a", 2);
        one.end("a", Outcome::Success, 1, 3);
        other.start("c", 4 + skew);
        other.save(&mut table, 4 + skew);
        one.save(&mut table, 5);
        assert_eq!(shown(&table.status(), "a"), SUCCESS, "skew {skew}");
        other.start("d", 6 + skew);
        other.save(&mut table, 6 + skew);
        assert_eq!(shown(&table.status(), "a"), SUCCESS, "skew {skew}");
    }
}

#[test]
fn a_pending_agent_takes_the_state_of_a_process_whose_clock_is_ahead() {
    let mut table = Table::default();
    let (mut other, mut one) = (Process::new("other", 60_000), Process::new("one", 0));
    other.start("a", 60_000);
    other.end("a", Outcome::Success, 1, 60_000);
    other.save(&mut table, 60_000);
    one.slot("a");
    one.start("b", 1);
    one.save(&mut table, 2);
    assert_eq!(shown(&table.status(), "a"), SUCCESS);
}

#[test]
fn a_call_that_has_ended_elsewhere_did_not_end_with_its_workflow() {
    for skew in SKEWS {
        let mut table = Table::default();
        let (mut other, mut one) = (Process::new("other", skew), Process::new("one", 0));
        other.start("a", skew);
        other.save(&mut table, skew);
        one.start("b", 1);
        one.end("b", Outcome::Success, 1, 1);
        one.save(&mut table, 1);
        // At the end of the workflow, this is not known there.
        other.end("a", Outcome::Success, 1, 2 + skew);
        other.save(&mut table, 2 + skew);
        assert!(one.ledger.finish(Ok(()), at(3)));
        one.save(&mut table, 3);
        assert_eq!(shown(&table.status(), "a"), SUCCESS, "skew {skew}");
    }
}

#[test]
fn a_call_that_has_ended_here_did_not_end_with_its_workflow_elsewhere() {
    for skew in SKEWS {
        let mut table = Table::default();
        let (mut one, mut other) = (Process::new("one", 0), Process::new("other", skew));
        one.start("a", 0);
        one.save(&mut table, 0);
        other.start("b", 1 + skew);
        other.save(&mut table, 1 + skew);
        one.end("a", Outcome::Success, 1, 2);
        assert!(other.ledger.finish(Ok(()), at(3 + skew)));
        other.save(&mut table, 3 + skew);
        assert_eq!(error_class(&table.status(), "a"), CallError::WORKFLOW_ENDED);
        one.save(&mut table, 4);
        assert_eq!(shown(&table.status(), "a"), SUCCESS, "skew {skew}");
    }
}

#[test]
fn a_state_that_was_saved_in_a_run_does_not_move_to_the_next() {
    // Five milliseconds ahead, the run seems to begin after the end of the call below.
    for skew in [-60_000, -5, 60_000] {
        let mut table = Table::default();
        let mut one = Process::new("one", 0);
        one.start("a", 0);
        one.end("a", Outcome::Success, 1, 1);
        one.start("b", 1);
        one.save(&mut table, 1);
        let mut other = Process::new("other", 2 + skew);
        other.ledger.begin_new_run(at(2 + skew));
        other.start("c", 2 + skew);
        other.save(&mut table, 2 + skew);
        // This call began before, and ends in the new run.
        one.end("b", Outcome::Success, 1, 3);
        one.save(&mut table, 4);
        assert_eq!(shown(&table.status(), "a").0, "pending", "skew {skew}");
        assert_eq!(shown(&table.status(), "b"), SUCCESS, "skew {skew}");
        assert_eq!(input(&table.status(), "b"), 1, "skew {skew}");
    }
}

#[test]
fn a_state_that_followed_a_lost_answer_stands_whatever_the_clocks_say() {
    for skew in SKEWS {
        let mut table = Table::default();
        let (mut one, mut other) = (Process::new("one", 0), Process::new("other", skew));
        one.start("a", 0);
        one.end("a", failure("no"), 1, 1);
        one.save_and_lose_the_answer(&mut table, true, 2);
        // It has seen that error.
        other.start("b", 3 + skew);
        other.save(&mut table, 3 + skew);
        other.start("a", 4 + skew);
        other.end("a", Outcome::Success, 1, 5 + skew);
        other.save(&mut table, 5 + skew);
        one.start("c", 6);
        one.save(&mut table, 6);
        assert_eq!(shown(&table.status(), "a"), SUCCESS, "skew {skew}");
    }
}

#[test]
fn a_call_of_another_process_in_an_earlier_run_does_not_move_to_the_next() {
    let mut table = Table::default();
    let (mut one, mut other) = (Process::new("one", 0), Process::new("other", 0));
    one.ledger.finish(Ok(()), at(0));
    one.save(&mut table, 0);
    // After the end, so that it is in progress there.
    other.start("b", 1);
    other.save(&mut table, 1);
    other.start("a", 2);
    other.save(&mut table, 2);
    one.start("c", 3);
    one.save(&mut table, 3);
    assert_eq!(shown(one.ledger.status(), "a"), IN_PROGRESS);
    let mut next = Process::new("next", 60_000);
    next.ledger.begin_new_run(at(60_000));
    next.start("d", 60_000);
    next.save(&mut table, 60_000);
    // Of the finished run, only the tokens count.
    let slot = one.slot("a");
    let report = AgentReport::new(AgentState::Pending).token_usage(TokenUsage::new(7, 0));
    one.ledger.report(slot, report, at(5));
    one.save(&mut table, 6);
    assert_eq!(shown(&table.status(), "a").0, "pending");
    assert_eq!(input(&table.status(), "a"), 7);
}

#[test]
fn an_end_for_idleness_is_taken_back_if_a_process_whose_clock_is_behind_was_at_work() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", -60_000));
    one.start("a", 0);
    one.end("a", Outcome::Success, 1, 1_000);
    one.save(&mut table, 1_000);
    two.start("b", -55_000);
    two.save(&mut table, -55_000);
    assert!(one.ledger.finish_idle(false, at(9_000)));
    one.save(&mut table, 9_000);
    assert!(!table.status().overall_status.is_finished());
    assert_eq!(shown(&table.status(), "b"), IN_PROGRESS);
}

#[test]
fn what_another_process_changed_after_a_lost_answer_stands() {
    let mut table = Table::default();
    let (mut one, mut other) = (Process::new("one", 0), Process::new("other", 0));
    let attribute = |value: &str| [("documentId".to_owned(), Value::from(value))].into();
    one.ledger.set_attributes(Some("first".to_owned()), attribute("first"), at(0));
    one.save_and_lose_the_answer(&mut table, true, 1);
    other.start("a", 2);
    other.save(&mut table, 2);
    other.ledger.set_attributes(Some("second".to_owned()), attribute("second"), at(3));
    other.save(&mut table, 3);
    one.start("b", 4);
    one.save(&mut table, 4);
    let status = table.status();
    assert_eq!(status.correlation_id.as_deref(), Some("second"));
    assert_eq!(status.attributes.get("documentId").and_then(Value::as_str), Some("second"));
}
