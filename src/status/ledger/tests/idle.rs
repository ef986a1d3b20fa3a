//! Sessions that end for idleness.

use super::*;

#[test]
fn an_end_for_idleness_is_taken_back_if_another_process_was_at_work() {
    for was_at_work in [false, true] {
        let mut table = Table::default();
        let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
        one.start("a", 0);
        one.end("a", Outcome::Success, 1, 1_000);
        one.save(&mut table, 1_000);
        if was_at_work {
            two.start("b", 5_000);
            two.save(&mut table, 5_000);
        }
        assert!(one.ledger.finish_idle(false, at(9_000)));
        one.save(&mut table, 9_000);
        let status = table.status();
        assert_eq!(status.overall_status.is_finished(), !was_at_work);
        let b = status.agent("b").map(|agent| agent.state);
        assert_eq!(b, was_at_work.then_some(AgentState::InProgress));
        assert_eq!(one.ledger.is_finished(), !was_at_work);
    }
}

#[test]
fn an_end_for_idleness_is_not_taken_back_for_its_own_lost_answer() {
    for lost_at in [1_000, 9_000] {
        let mut table = Table::default();
        let mut process = Process::new("one", 0);
        let mut save = |process: &mut Process, now| match now == lost_at {
            true => process.save_and_lose_the_answer(&mut table, true, now),
            false => process.save(&mut table, now),
        };
        process.start("a", 0);
        process.end("a", Outcome::Success, 1, 1_000);
        save(&mut process, 1_000);
        assert!(process.ledger.finish_idle(false, at(9_000)));
        save(&mut process, 9_000);
        process.save(&mut table, 9_001);
        assert_eq!(table.status().overall_status, OverallStatus::Completed, "{lost_at}");
        assert_eq!(input(&table.status(), "a"), 1);
    }
}

#[test]
fn a_workflow_is_not_idle_while_an_agent_is_in_progress_or_none_was_called() {
    let mut process = Process::new("one", 0);
    assert!(!process.ledger.finish_idle(false, at(1_000)));
    process.start("a", 1_000);
    assert!(!process.ledger.finish_idle(false, at(2_000)));
    process.end("a", Outcome::Success, 1, 3_000);
    assert!(process.ledger.finish_idle(false, at(4_000)));
    assert!(!process.ledger.finish_idle(false, at(5_000)));
}

#[test]
fn an_agent_that_waits_keeps_a_session_from_ending_until_it_has_waited_enough() {
    let (mut table, mut process) = (Table::default(), Process::new("one", 0));
    process.post("a", &unfinished("t1", WaitingFor::Input), 0);
    process.save(&mut table, 0);
    assert!(!process.ledger.finish_idle(false, at(1_000)));
    process.start("b", 2_000);
    assert!(!process.ledger.finish_idle(true, at(2_500)), "a call is in flight");
    process.end("b", Outcome::Success, 1, 3_000);
    assert!(process.ledger.finish_idle(true, at(9_000)));
    process.save(&mut table, 9_000);
    let status = table.status();
    assert_eq!(status.overall_status, OverallStatus::Completed);
    assert_eq!(error_class(&status, "a"), "unfinished");
}

#[test]
fn an_agent_waits_on_if_the_end_for_idleness_is_taken_back() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
    one.post("a", &running("t1"), 0);
    one.save(&mut table, 0);
    two.start("b", 5_000);
    two.end("b", Outcome::Success, 1, 5_000);
    two.save(&mut table, 5_000);
    assert!(one.ledger.finish_idle(true, at(9_000)));
    one.save(&mut table, 9_000);
    assert_eq!(table.status().overall_status, OverallStatus::Processing);
    assert_eq!(shown(&table.status(), "a"), waits_for("task", "t1"));
    two.get("b", &done("t1", 7), 9_500);
    two.save(&mut table, 9_500);
    assert_eq!(shown(&table.status(), "a"), SUCCESS);
}

#[test]
fn what_was_not_saved_yet_is_kept_if_the_end_for_idleness_is_taken_back() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
    one.start("a", 0);
    one.save(&mut table, 0);
    one.end("a", failure("no"), 1, 1_000);
    two.start("b", 5_000);
    two.save(&mut table, 5_000);
    assert!(one.ledger.finish_idle(false, at(9_000)));
    one.save(&mut table, 9_000);
    let status = table.status();
    assert_eq!(status.overall_status, OverallStatus::Processing);
    assert_eq!(["a", "b"].map(|agent| shown(&status, agent)), [ERROR, IN_PROGRESS]);
}

#[test]
fn an_end_for_idleness_that_was_confirmed_or_saved_is_final() {
    // Finished by hand before it is saved, saved, or saved with its answer lost.
    for round in 0..3 {
        let mut table = Table::default();
        let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
        one.start("a", 0);
        one.end("a", Outcome::Success, 1, 1_000);
        one.save(&mut table, 1_000);
        assert!(one.ledger.finish_idle(false, at(9_000)));
        match round {
            0 => assert!(!one.ledger.finish(Ok(()), at(9_001))),
            1 => one.save(&mut table, 9_001),
            _ => {
                one.save_and_lose_the_answer(&mut table, true, 9_001);
                one.ledger.heartbeat(at(9_002));
                one.save(&mut table, 9_002);
            }
        }
        two.start("b", 9_500);
        two.end("b", Outcome::Success, 1, 9_600);
        two.save(&mut table, 9_600);
        one.start("a", 10_000);
        one.save(&mut table, 10_000);
        let status = table.status();
        assert_eq!(status.overall_status, OverallStatus::Completed, "{round}");
        assert_eq!(shown(&status, "a"), IN_PROGRESS, "{round}: a call after the end");
    }
}

#[test]
fn a_call_after_an_end_for_idleness_whose_answer_was_lost_is_not_ended_by_it() {
    for applied in [true, false] {
        let (mut table, mut process) = (Table::default(), Process::new("one", 0));
        process.start("a", 0);
        process.end("a", Outcome::Success, 1, 1_000);
        process.save(&mut table, 1_000);
        assert!(process.ledger.finish_idle(false, at(9_000)));
        process.save_and_lose_the_answer(&mut table, applied, 9_000);
        process.start("a", 9_500);
        process.save(&mut table, 9_600);
        let status = table.status();
        assert_eq!(status.overall_status, OverallStatus::Completed);
        assert_eq!(shown(&status, "a"), IN_PROGRESS, "applied: {applied}");
    }
}
