//! Calls and reports within one process.

use super::*;

#[test]
fn a_call_records_its_times_its_tokens_and_its_outcome() {
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.start("a", 10);
    process.save(&mut table, 11);
    let running = table.status();
    assert_eq!(running.overall_status, OverallStatus::Processing);
    let agent = running.agent("a").unwrap();
    assert_eq!(agent.state, AgentState::InProgress);
    assert_eq!((agent.started_at, agent.completed_at), (Some(at(10)), None));
    assert_eq!(agent.token_usage(), None);

    process.end("a", Outcome::Success, 7, 5_133);
    process.save(&mut table, 5_134);
    let ended = table.status();
    let agent = ended.agent("a").unwrap();
    assert_eq!(agent.state, AgentState::Success);
    assert_eq!((agent.started_at, agent.completed_at), (Some(at(10)), Some(at(5_133))));
    assert_eq!(agent.duration().unwrap().as_millis(), 5_123);
    assert_eq!(ended.total_token_usage(), TokenUsage::new(7, 0));
    let item = table.item.unwrap();
    let duration = item.get("a").unwrap().as_map().unwrap().get("duration").unwrap();
    assert_eq!(*duration, Value::Float(5.123));
    assert_eq!(item.get("expiresAt").unwrap().as_u64(), Some(1_766_570_400 + 90 * 86_400));
}

#[test]
fn a_retry_that_succeeds_ends_in_success_and_both_calls_count() {
    let mut process = Process::new("w", 0);
    process.start("a", 0);
    process.end("a", failure("no"), 5, 10);
    assert_eq!(process.ledger.status().agent("a").unwrap().state, AgentState::Error);
    process.start("a", 20);
    let agent = process.ledger.status().agent("a").unwrap();
    assert_eq!((agent.state, &agent.error), (AgentState::InProgress, &None));
    assert_eq!((agent.started_at, agent.completed_at), (Some(at(0)), None));
    process.end("a", Outcome::Success, 6, 30);
    let agent = process.ledger.status().agent("a").unwrap();
    assert_eq!((agent.state, agent.calls), (AgentState::Success, 2));
    assert_eq!((agent.started_at, agent.completed_at), (Some(at(0)), Some(at(30))));
    assert_eq!(input(process.ledger.status(), "a"), 11);
}

#[test]
fn overlapping_calls_end_in_error_if_any_failed() {
    let mut process = Process::new("w", 0);
    process.start("a", 0);
    process.start("a", 1);
    process.end("a", failure("first"), 1, 2);
    let agent = process.ledger.status().agent("a").unwrap();
    assert_eq!((agent.state, &agent.error), (AgentState::InProgress, &None));
    process.end("a", Outcome::Success, 1, 3);
    let agent = process.ledger.status().agent("a").unwrap();
    assert_eq!(agent.state, AgentState::Error);
    assert_eq!(agent.error.as_ref().unwrap().message.as_str(), "first");
    assert_eq!((agent.calls, agent.completed_at), (2, Some(at(3))));
}

#[test]
fn a_cancelled_call_does_not_fail_a_group_in_which_another_succeeded() {
    let cancelled = || Outcome::Error(CallError::new(CallError::CANCELLED, "the caller gave up"));
    let (ok, no) = (|| Outcome::Success, || failure("no"));
    // How the calls of a group end, one after the other, and how the agent does.
    let table = [
        (vec![ok(), cancelled()], ""),
        (vec![cancelled(), ok()], ""),
        (vec![cancelled(), ok(), cancelled()], ""),
        (vec![cancelled(), cancelled()], "cancelled"),
        (vec![cancelled()], "cancelled"),
        (vec![cancelled(), no(), ok()], "http_500"),
        (vec![no(), cancelled(), ok()], "http_500"),
        (vec![cancelled(), no()], "http_500"),
    ];
    for (outcomes, class) in table {
        let mut process = Process::new("w", 0);
        outcomes.iter().for_each(|_| process.start("a", 0));
        for outcome in outcomes.clone() {
            assert_eq!(process.shown("a"), IN_PROGRESS);
            process.end("a", outcome, 1, 1);
        }
        assert_eq!(error_class(process.ledger.status(), "a"), class, "{outcomes:?}");
        // A later call is no part of the group.
        process.start("a", 2);
        process.end("a", cancelled(), 1, 3);
        assert_eq!(error_class(process.ledger.status(), "a"), "cancelled", "{outcomes:?}");
    }
}

#[test]
fn a_report_during_a_call_is_one_more_of_those_that_overlap() {
    let mut process = Process::new("w", 0);
    process.start("a", 0);
    let slot = process.slot("a");
    process.ledger.report(slot, AgentReport::new(AgentState::Error).error("no"), at(1));
    assert_eq!(process.ledger.status().agent("a").unwrap().state, AgentState::InProgress);
    process.end("a", Outcome::Success, 1, 2);
    let agent = process.ledger.status().agent("a").unwrap();
    assert_eq!((agent.state, agent.calls), (AgentState::Error, 2));
    assert_eq!(agent.error.as_ref().unwrap().message.as_str(), "no");
    // Set back to pending by a clock that is behind: the newer state has the later time.
    process.ledger.report(slot, AgentReport::new(AgentState::Pending), at(-5));
    assert_eq!(process.ledger.status().agent("a").unwrap().last_updated, Some(at(3)));
}

#[test]
fn an_agent_reported_in_progress_stays_so_until_another_report() {
    let mut process = Process::new("one", 0);
    let slot = process.slot("a");
    let report = |process: &mut Process, state, now| {
        process.ledger.report(slot, AgentReport::new(state), at(now));
    };
    for ends in [AgentState::Success, AgentState::Error, AgentState::Pending] {
        report(&mut process, AgentState::InProgress, 2);
        assert!(process.ledger.is_active());
        report(&mut process, ends, 2);
        assert!(!process.ledger.is_active(), "{ends:?}");
    }
    // Another process reports the end.
    let mut table = Table::default();
    report(&mut process, AgentState::InProgress, 3);
    process.save(&mut table, 3);
    let mut other = Process::new("two", 4);
    let slot = other.slot("a");
    other.ledger.report(slot, AgentReport::new(AgentState::Success), at(5));
    other.save(&mut table, 5);
    process.ledger.heartbeat(at(6));
    process.save(&mut table, 6);
    assert!(!process.ledger.is_active());
    assert_eq!(table.status().agent("a").unwrap().state, AgentState::Success);
}

#[test]
fn a_call_in_flight_makes_a_session_active_and_a_heartbeat_renews_its_agent_alone() {
    let mut process = Process::new("w", 0);
    assert!(!process.ledger.is_active());
    process.start("a", 0);
    process.start("b", 0);
    process.end("b", Outcome::Success, 1, 1);
    assert!(process.ledger.is_active());
    assert!(process.ledger.heartbeat(at(30)));
    let status = process.ledger.status();
    let updated = |agent| status.agent(agent).unwrap().last_updated;
    assert_eq!((updated("a"), updated("b")), (Some(at(30)), Some(at(1))));
    assert_eq!(status.last_updated, at(30));
    process.end("a", Outcome::Success, 1, 31);
    assert!(!process.ledger.is_active());
}

#[test]
fn tokens_of_a_call_in_flight_renew_its_agent_unless_the_workflow_has_ended_it() {
    for is_finished in [false, true] {
        let mut process = Process::new("w", 0);
        process.start("a", 0);
        if is_finished {
            process.ledger.finish(Ok(()), at(5));
        }
        let slot = process.slot("a");
        let tokens = TokenUsage::new(7, 0).delta_from(&TokenUsage::default());
        process.ledger.call_progressed(slot, tokens, None, at(9));
        let updated = process.ledger.status().agent("a").unwrap().last_updated;
        assert_eq!(updated, Some(at(if is_finished { 5 } else { 9 })));
        assert_eq!(input(process.ledger.status(), "a"), 7);
    }
}

#[test]
fn an_agent_that_another_process_calls_keeps_no_session_active_here() {
    for state in [AgentState::Success, AgentState::Error, AgentState::Pending] {
        let mut table = Table::default();
        let mut process = Process::new("one", 0);
        let slot = process.slot("a");
        process.ledger.report(slot, AgentReport::new(state), at(1));
        process.save(&mut table, 1);
        let mut other = Process::new("two", 2);
        other.start("a", 2);
        other.save(&mut table, 2);
        process.start("b", 3);
        process.end("b", Outcome::Success, 1, 3);
        process.save(&mut table, 3);
        assert_eq!(process.shown("a"), IN_PROGRESS, "{state:?}");
        assert!(!process.ledger.is_active(), "{state:?}");
    }
}

#[test]
fn a_call_ends_no_earlier_than_it_began() {
    let (mut table, mut ahead) = (Table::default(), Process::new("ahead", 100));
    ahead.start("a", 100);
    ahead.save(&mut table, 100);
    let mut behind = Process::new("behind", 50);
    behind.start("b", 50);
    behind.save(&mut table, 50);
    behind.start("a", 51);
    behind.end("a", Outcome::Success, 1, 52);
    behind.save(&mut table, 53);
    let status = table.status();
    let agent = status.agent("a").unwrap();
    assert_eq!((agent.started_at, agent.completed_at), (Some(at(100)), Some(at(100))));
}
