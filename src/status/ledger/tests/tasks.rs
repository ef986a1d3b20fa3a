//! Agents that wait for tasks, within one process.

use super::*;
use WaitingFor::{Authorization, Input};

#[test]
fn an_agent_waits_until_a_call_of_any_agent_says_how_its_task_ended() {
    for poller in ["a", "b"] {
        for end in [done("t1", 7), failed("t1")] {
            let (mut table, mut process) = (Table::default(), Process::new("w", 0));
            process.post("a", &running("t1"), 10);
            process.save(&mut table, 10);
            assert_eq!(shown(&table.status(), "a"), waits_for("task", "t1"));
            assert_eq!(unfinished_tasks(&table.status()), ["t1"]);
            let agent = table.status().agent("a").unwrap().clone();
            assert_eq!((agent.started_at, agent.completed_at), (Some(at(10)), None));

            process.get(poller, &running("t1"), 20);
            process.save(&mut table, 20);
            assert_eq!(shown(&table.status(), "a"), waits_for("task", "t1"));
            process.get(poller, &end, 30);
            process.save(&mut table, 30);
            let status = table.status();
            let agent = status.agent("a").unwrap();
            let Outcome::Error(error) = &end.outcome else {
                assert_eq!(shown(&status, "a"), SUCCESS);
                assert_eq!(shown(&status, poller), SUCCESS);
                assert_eq!(input(&status, "a"), 7, "{poller}");
                assert_eq!((agent.started_at, agent.completed_at), (Some(at(10)), Some(at(30))));
                assert!(table.item.unwrap().get("unfinishedTasks").is_none());
                continue;
            };
            assert_eq!(agent.error.as_deref(), Some(error));
            assert_eq!(agent.completed_at, Some(at(30)));
            assert_eq!(shown(&status, poller), ERROR);
            assert_eq!(unfinished_tasks(&status), [""; 0]);
        }
    }
}

#[test]
fn a_call_without_the_task_ends_neither_its_agent_nor_another() {
    let mut process = Process::new("w", 0);
    process.post("a", &unfinished("t1", Authorization), 0);
    for agent in ["a", "b"] {
        process.start(agent, 1);
        process.end(agent, Outcome::Success, 1, 2);
        process.post(agent, &done("t2", 1), 3);
        assert_eq!(process.shown("a"), waits_for("authorization", "t1"), "{agent}");
    }
    assert_eq!(process.shown("b"), SUCCESS);
    process.post("a", &done("t1", 1), 4);
    assert_eq!(process.shown("a"), SUCCESS);
}

#[test]
fn what_an_agent_waits_for_is_what_the_last_answer_said() {
    let mut process = Process::new("w", 0);
    process.post("a", &running("t1"), 0);
    process.get("b", &unfinished("t1", Input), 1);
    assert_eq!(process.shown("a"), waits_for("input", "t1"));
    assert_eq!(process.shown("b"), SUCCESS, "it has only asked");
    // The input, in A2A with the id of the task.
    process.post("a", &running("t1"), 2);
    assert_eq!(process.shown("a"), waits_for("task", "t1"));
    process.post("a", &done("t1", 5), 3);
    assert_eq!(process.shown("a"), SUCCESS);
}

#[test]
fn a_waiting_agent_is_at_work_while_a_call_is_in_flight_but_not_while_it_is_polled() {
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.post("a", &unfinished("t1", Input), 0);
    process.save(&mut table, 0);
    let writes = table.writes;
    process.start_get("a", 1);
    process.save(&mut table, 1);
    assert_eq!((process.shown("a"), table.writes), (waits_for("input", "t1"), writes));
    process.answer("a", &unfinished("t1", Input), 0, true, 2);
    process.start("a", 3);
    process.save(&mut table, 3);
    assert_eq!(shown(&table.status(), "a"), IN_PROGRESS);
    process.end("a", failure("no"), 0, 4);
    assert_eq!(process.shown("a"), ERROR);
    // It has failed, so it starts afresh.
    process.start("a", 5);
    process.end("a", Outcome::Success, 0, 6);
    assert_eq!(process.shown("a"), SUCCESS);
}

#[test]
fn a_call_that_fails_ends_its_agent_whatever_it_waits_for() {
    let mut process = Process::new("w", 0);
    let broken = Outcome::Error(CallError::new(CallError::INCOMPLETE, "the stream broke off"));
    process.post("a", &TaskResponse { tokens: Some(3), outcome: broken, ..running("t1") }, 0);
    assert_eq!(process.shown("a"), ERROR);
    assert_eq!(error_class(process.ledger.status(), "a"), "incomplete");
    // The task itself goes on, and can be fetched.
    assert_eq!(unfinished_tasks(process.ledger.status()), ["t1"]);
    assert_eq!(process.get("a", &done("t1", 8), 1), Some(5));
    assert_eq!(process.shown("a"), SUCCESS);
    assert_eq!(input(process.ledger.status(), "a"), 8);
}

#[test]
fn a_poll_that_fails_says_nothing_about_the_task() {
    for class in [CallError::TIMEOUT, CallError::TRANSPORT, CallError::CANCELLED, "http_503"] {
        let mut process = Process::new("w", 0);
        process.post("a", &running("t1"), 0);
        process.start_get("b", 1);
        let error = || Outcome::Error(CallError::new(class, "no answer"));
        process.end("b", error(), 0, 2);
        assert_eq!(process.shown("a"), waits_for("task", "t1"), "{class}");
        assert_eq!(error_class(process.ledger.status(), "b"), class);
        // Even if the answer names the task.
        process.get("b", &TaskResponse { outcome: error(), ..done("t1", 1) }, 3);
        assert_eq!(process.shown("a"), waits_for("task", "t1"), "{class}");

        // The agent that waits has failed itself, until a poll succeeds.
        process.start_get("a", 4);
        process.end("a", error(), 0, 5);
        assert_eq!(error_class(process.ledger.status(), "a"), class);
        process.get("a", &running("t1"), 6);
        assert_eq!(process.shown("a"), waits_for("task", "t1"));
        process.get("a", &done("t1", 1), 7);
        assert_eq!(process.shown("a"), SUCCESS);
    }
}

#[test]
fn an_agent_waits_for_all_of_its_tasks() {
    let mut process = Process::new("w", 0);
    let both = |process: &mut Process| {
        process.post("a", &running("t1"), 0);
        process.post("a", &running("t2"), 1);
        assert_eq!(process.shown("a"), waits_for("task", "t2"));
    };
    both(&mut process);
    process.get("b", &done("t2", 1), 2);
    assert_eq!(process.shown("a"), waits_for("task", "t1"));
    process.get("a", &done("t1", 1), 3);
    assert_eq!(process.shown("a"), SUCCESS);
    assert_eq!(input(process.ledger.status(), "a"), 2);

    // One that fails ends the agent at once, also if the agent shows the other.
    let mut process = Process::new("w", 0);
    both(&mut process);
    process.get("b", &failed("t1"), 2);
    assert_eq!(process.shown("a"), ERROR);
    process.get("b", &done("t2", 1), 3);
    assert_eq!(process.shown("a"), ERROR);
}

#[test]
fn an_agent_waits_once_the_last_of_its_overlapping_calls_has_ended() {
    for ends in [Outcome::Success, failure("no")] {
        let mut process = Process::new("w", 0);
        process.start("a", 0);
        process.start("a", 0);
        process.answer("a", &running("t1"), 0, false, 1);
        assert_eq!(process.shown("a"), IN_PROGRESS);
        process.end("a", ends.clone(), 0, 2);
        let expected = if ends == Outcome::Success { waits_for("task", "t1") } else { ERROR };
        assert_eq!(process.shown("a"), expected);
    }
    // The task fails while another call of the agent is in flight.
    let mut process = Process::new("w", 0);
    process.post("a", &running("t1"), 0);
    process.start("a", 1);
    process.get("b", &failed("t1"), 2);
    assert_eq!(process.shown("a"), IN_PROGRESS);
    process.end("a", Outcome::Success, 0, 3);
    assert_eq!(error_class(process.ledger.status(), "a"), "agent");
}

#[test]
fn a_task_without_an_id_is_waited_for_until_the_next_call() {
    let mut process = Process::new("w", 0);
    let nameless = TaskResponse { id: "", tokens: Some(4), ..unfinished("", Input) };
    process.post("a", &nameless, 0);
    assert_eq!(process.shown("a"), ("in-progress", Some("input"), None));
    assert_eq!(unfinished_tasks(process.ledger.status()), [""; 0]);
    process.start("b", 1);
    process.end("b", Outcome::Success, 0, 1);
    assert_eq!(process.shown("a"), ("in-progress", Some("input"), None));
    process.start("a", 2);
    process.end("a", Outcome::Success, 1, 3);
    assert_eq!(process.shown("a"), SUCCESS);
    assert_eq!(input(process.ledger.status(), "a"), 5);

    process.post("a", &nameless, 4);
    process.ledger.finish(Ok(()), at(5));
    let error = process.ledger.status().agent("a").unwrap().error.clone().unwrap();
    assert_eq!(
        error.to_string(),
        "unfinished: the workflow ended while a task was waiting for input"
    );
}

#[test]
fn a_workflow_that_ends_ends_the_agents_that_wait() {
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.post("a", &unfinished("t1", Input), 0);
    process.post("b", &running("t2"), 0);
    process.start("b", 1);
    process.post("d", &running("t3"), 0);
    process.start_get("d", 1);
    process.save(&mut table, 1);
    process.ledger.finish(Ok(()), at(2));
    process.save(&mut table, 2);
    let status = table.status();
    let error = status.agent("a").unwrap().error.as_ref().unwrap();
    let message = "the workflow ended while task t1 was waiting for input";
    assert_eq!((&*error.class, error.message.as_str()), ("unfinished", message));
    assert_eq!(shown(&status, "a"), ERROR);
    assert_eq!(error_class(&status, "b"), "workflow_ended", "it had a call in flight");
    assert_eq!(error_class(&status, "d"), "workflow_ended", "it was being polled");
    assert_eq!(unfinished_tasks(&status), ["t1", "t2", "t3"]);
    // A later call may still say how the task ended.
    process.get("c", &done("t1", 5), 3);
    process.save(&mut table, 3);
    let status = table.status();
    assert_eq!((shown(&status, "a"), input(&status, "a")), (SUCCESS, 5));
    assert_eq!(status.overall_status, OverallStatus::Completed);
}

#[test]
fn a_task_of_a_call_in_a_finished_session_is_waited_for() {
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.ledger.finish(Ok(()), at(0));
    process.save(&mut table, 0);
    process.post("a", &running("t1"), 1);
    let mut other = Process::new("x", 2);
    other.start("b", 2);
    other.end("b", Outcome::Success, 1, 2);
    other.save(&mut table, 2);
    process.save(&mut table, 3);
    assert_eq!(shown(&table.status(), "a"), waits_for("task", "t1"));
    process.get("a", &done("t1", 1), 4);
    process.save(&mut table, 4);
    assert_eq!(shown(&table.status(), "a"), SUCCESS);
    assert_eq!(table.status().overall_status, OverallStatus::Completed);
}

#[test]
fn a_report_ends_what_the_agent_waits_for() {
    for (state, expected) in [
        (AgentState::Success, SUCCESS),
        (AgentState::Error, ERROR),
        (AgentState::InProgress, IN_PROGRESS),
    ] {
        let mut process = Process::new("w", 0);
        process.post("a", &running("t1"), 0);
        let slot = process.slot("a");
        process.ledger.report(slot, AgentReport::new(state), at(1));
        assert_eq!(process.shown("a"), expected);
        if state != AgentState::InProgress {
            process.start("a", 1);
            process.end("a", Outcome::Success, 0, 1);
            assert_eq!(process.shown("a"), SUCCESS, "it starts afresh");
            process.ledger.report(slot, AgentReport::new(state), at(1));
        }
        process.get("b", &done("t1", 5), 2);
        assert_eq!(process.shown("a"), expected);
        assert_eq!(input(process.ledger.status(), "a"), 5);
    }
}

#[test]
fn a_late_answer_does_not_reopen_a_task_that_has_ended() {
    let mut process = Process::new("w", 0);
    process.post("a", &running("t1"), 0);
    process.start_get("a", 1);
    process.start_get("b", 1);
    process.answer("b", &done("t1", 5), 0, true, 2);
    process.answer("a", &running("t1"), 0, true, 3);
    assert_eq!(process.shown("a"), SUCCESS);
    assert_eq!(unfinished_tasks(process.ledger.status()), [""; 0]);
    // A call that is no GET has set it going again.
    process.post("a", &running("t1"), 4);
    assert_eq!(process.shown("a"), waits_for("task", "t1"));
}

#[test]
fn the_newest_unfinished_tasks_stay() {
    let mut process = Process::new("w", 0);
    let ids: Vec<&'static str> =
        (0..20).map(|n| &*Box::leak(format!("t{n}").into_boxed_str())).collect();
    for id in &ids {
        process.post("a", &running(id), 0);
    }
    process.get("a", &running("t10"), 1);
    assert_eq!(unfinished_tasks(process.ledger.status()), ids[4..]);
}

#[test]
fn an_answer_counts_once_and_by_the_largest_counts() {
    let mut process = Process::new("w", 0);
    process.post("a", &TaskResponse { tokens: Some(3), ..running("t1") }, 0);
    assert_eq!(process.get("a", &TaskResponse { tokens: Some(5), ..running("t1") }, 1), Some(2));
    assert_eq!(process.get("b", &TaskResponse { tokens: Some(4), ..running("t1") }, 2), None);
    assert_eq!(process.get("b", &done("t1", 9), 3), Some(4));
    for _ in 0..3 {
        assert_eq!(process.get("b", &done("t1", 9), 4), None);
    }
    let status = process.ledger.status();
    assert_eq!((input(status, "a"), input(status, "b")), (9, 0));
    assert_eq!(status.agent("b").unwrap().token_usage(), None, "it used none");
    assert_eq!((status.agent("a").unwrap().calls, status.agent("b").unwrap().calls), (2, 5));
    assert_eq!(status.total_token_usage(), TokenUsage::new(9, 0));
    // Nor does an answer that was complete at once.
    process.post("a", &done("t2", 10), 5);
    process.post("a", &done("t2", 10), 5);
    process.get("b", &done("t2", 11), 6);
    assert_eq!(process.ledger.status().total_token_usage(), TokenUsage::new(19, 0));
}

#[test]
fn the_tokens_recorded_during_a_call_are_corrected_at_its_end() {
    let mut process = Process::new("w", 0);
    let slot = process.slot("b");
    let stream = |process: &mut Process, answer: &TaskResponse| {
        process.start_get("b", 1);
        let recorded = TokenUsage::new(6, 0).delta_from(&TokenUsage::default());
        process.ledger.call_progressed(slot, recorded, None, at(1));
        process.answer("b", answer, 6, true, 2)
    };
    // Of something stored.
    assert_eq!(stream(&mut process, &done("t1", 9)), None);
    assert_eq!(input(process.ledger.status(), "b"), 0);
    // Of the task of another agent.
    process.post("a", &running("t2"), 3);
    assert_eq!(stream(&mut process, &done("t2", 9)), Some(9));
    assert_eq!((input(process.ledger.status(), "a"), input(process.ledger.status(), "b")), (9, 0));
    // Nothing was reported at the end: what was seen before counts.
    process.post("a", &running("t3"), 3);
    let broken = Outcome::Error(CallError::new(CallError::TRANSPORT, "reset"));
    let broken = TaskResponse { outcome: broken, ..running("t3") };
    assert_eq!(stream(&mut process, &broken), Some(6));
    assert_eq!((input(process.ledger.status(), "a"), input(process.ledger.status(), "b")), (15, 0));
}

#[test]
fn the_last_sixty_four_ids_are_remembered() {
    let mut process = Process::new("w", 0);
    process.post("a", &done("first", 1), 0);
    for n in 1..64 {
        process.post("a", &done(Box::leak(format!("t{n}").into_boxed_str()), 1), 0);
    }
    process.post("a", &done("first", 1), 1);
    assert_eq!(input(process.ledger.status(), "a"), 64);
}

#[test]
fn a_new_run_knows_no_tasks() {
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.post("a", &running("t1"), 0);
    process.save(&mut table, 0);
    process.ledger.begin_new_run(at(10));
    process.get("b", &done("t1", 5), 11);
    process.save(&mut table, 11);
    let status = table.status();
    assert_eq!(unfinished_tasks(&status), [""; 0]);
    assert_eq!(status.total_token_usage(), TokenUsage::new(0, 0));
    assert!(status.agent("a").is_none());
}
