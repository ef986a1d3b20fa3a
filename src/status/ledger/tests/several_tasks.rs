//! Several agents, tasks and processes: what one says of a task is said of no other.

use super::*;

fn tokens(answer: TaskResponse, tokens: u64) -> TaskResponse {
    TaskResponse { tokens: Some(tokens), ..answer }
}

fn broken(answer: &TaskResponse) -> TaskResponse {
    let error = CallError::new(CallError::INCOMPLETE, "the stream broke off");
    TaskResponse { outcome: Outcome::Error(error), ..answer.clone() }
}

/// An item whose writer knows neither revisions nor tasks.
fn of_another_writer() -> Item {
    let mut item = Item::new();
    item.insert("overallStatus", "processing");
    item
}

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[test]
fn how_a_task_ends_is_nothing_to_those_who_do_not_wait_for_it() {
    for end in [done("t1", 7), failed("t1")] {
        let mut process = Process::new("w", 0);
        process.post("a", &running("t1"), 0);
        process.post("waits", &running("t2"), 0);
        process.start("called", 0);
        process.start("ended", 0);
        process.end("ended", Outcome::Success, 0, 0);
        process.get("b", &end, 1);
        assert_eq!(process.shown("waits"), waits_for("task", "t2"));
        assert_eq!(process.shown("called"), IN_PROGRESS);
        assert_eq!(process.shown("ended"), SUCCESS);
        process.end("called", Outcome::Success, 0, 2);
        assert_eq!(process.shown("called"), SUCCESS);
    }
}

#[test]
fn what_a_task_waits_for_is_nothing_to_those_who_do_not_wait_for_it() {
    let mut process = Process::new("w", 0);
    process.post("a", &running("t1"), 0);
    process.post("waits", &running("t2"), 0);
    process.start("ended", 0);
    process.end("ended", Outcome::Success, 0, 0);
    process.get("b", &unfinished("t1", WaitingFor::Input), 1);
    assert_eq!(process.shown("a"), waits_for("input", "t1"));
    assert_eq!(process.shown("waits"), waits_for("task", "t2"));
    assert_eq!([process.shown("ended"), process.shown("b")], [SUCCESS, SUCCESS]);
}

#[test]
fn a_poll_that_finds_nothing_new_is_no_change_of_the_agent_that_waits() {
    let mut process = Process::new("w", 0);
    process.post("a", &running("t1"), 0);
    for (what, now, updated) in
        [(WaitingFor::Task, 1, 0), (WaitingFor::Input, 2, 2), (WaitingFor::Input, 3, 2)]
    {
        process.get("b", &unfinished("t1", what), now);
        let agent = process.ledger.status().agent("a").unwrap();
        assert_eq!((agent.waiting_for, agent.last_updated), (Some(what), Some(at(updated))));
    }
}

#[test]
fn of_two_agents_that_ended_with_their_workflow_only_the_one_whose_task_has_ended_is_done() {
    let mut process = Process::new("w", 0);
    process.post("a", &running("t1"), 0);
    process.post("c", &running("t2"), 0);
    process.ledger.finish(Ok(()), at(1));
    process.get("b", &done("t1", 7), 2);
    assert_eq!(process.shown("a"), SUCCESS);
    assert_eq!(error_class(process.ledger.status(), "c"), "unfinished");
}

#[test]
fn an_agent_that_has_failed_waits_for_its_task_no_more_whoever_polls_it() {
    let mut process = Process::new("w", 0);
    process.post("a", &broken(&running("t1")), 0);
    process.get("b", &running("t1"), 1);
    assert_eq!(process.shown("a"), ERROR);
    process.get("b", &done("t1", 7), 2);
    assert_eq!((process.shown("a"), input(process.ledger.status(), "a")), (ERROR, 7));

    process.post("a", &broken(&running("t2")), 3);
    process.get("b", &running("t2"), 4);
    process.start("a", 5);
    process.end("a", Outcome::Success, 0, 6);
    assert_eq!(process.shown("a"), SUCCESS, "it starts afresh");
}

#[test]
fn each_agent_waits_for_its_own_task_without_an_id() {
    for is_reported in [false, true] {
        let mut process = Process::new("w", 0);
        let nameless = TaskResponse { id: "", ..unfinished("", WaitingFor::Input) };
        process.start("b", 0);
        process.start("b", 0);
        process.answer("b", &nameless, 0, false, 1);
        process.post("a", &nameless, 2);
        assert_eq!(process.shown("a"), ("in-progress", Some("input"), None));
        if is_reported {
            let slot = process.slot("a");
            process.ledger.report(slot, AgentReport::new(AgentState::Success), at(3));
        }
        process.end("b", Outcome::Success, 0, 4);
        assert_eq!(process.shown("b"), ("in-progress", Some("input"), None), "{is_reported}");
        // Once.
        for agent in ["a", "b"] {
            process.start(agent, 5);
            process.end(agent, Outcome::Success, 0, 6);
            assert_eq!(process.shown(agent), SUCCESS);
        }
    }
}

#[test]
fn an_agent_that_waits_for_the_rest_of_its_tasks_ends_with_its_workflow() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
    one.post("a", &running("t1"), 0);
    one.post("a", &running("t2"), 0);
    one.save(&mut table, 1);
    two.start("c", 2);
    two.end("c", Outcome::Success, 1, 2);
    two.ledger.finish(Ok(()), at(3));
    two.save(&mut table, 3);
    one.get("b", &done("t2", 1), 4);
    assert_eq!(one.shown("a"), waits_for("task", "t1"));
    one.save(&mut table, 4);
    assert_eq!(error_class(&table.status(), "a"), "unfinished");
    assert_eq!(error_class(one.ledger.status(), "a"), "unfinished");
}

#[test]
fn a_text_that_was_reported_stays_while_the_agent_waits() {
    let mut process = Process::new("w", 0);
    let slot = process.slot("a");
    let report = AgentReport::new(AgentState::InProgress).activity("Extracting page 3");
    process.ledger.report(slot, report, at(0));
    process.get("a", &running("t1"), 1);
    assert_eq!(process.shown("a"), waits_for("task", "t1"));
    assert_eq!(&*process.ledger.status().agent("a").unwrap().activity, "Extracting page 3");
    #[cfg(feature = "metrics")]
    assert_eq!(process.ledger.waiting_agents(), 1);
    process.post("b", &running("t2"), 2);
    process.post("c", &done("t3", 1), 2);
    #[cfg(feature = "metrics")]
    assert_eq!(process.ledger.waiting_agents(), 2);
    assert!(process.ledger.is_waiting());
    process.get("b", &done("t2", 1), 3);
    process.get("a", &done("t1", 1), 3);
    assert!(!process.ledger.is_waiting());
}

#[test]
fn a_task_that_was_named_after_a_write_is_not_ended_by_what_became_of_it() {
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.start("b", 0);
    process.save(&mut table, 0);
    process.end("b", Outcome::Success, 1, 1);
    process.start("a", 1);
    process.save_and_lose_the_answer(&mut table, true, 1);
    process.answer("a", &running("t1"), 0, false, 2);
    process.save(&mut table, 3);
    assert_eq!(shown(&table.status(), "a"), waits_for("task", "t1"));
    assert_eq!(unfinished_tasks(&table.status()), ["t1"]);
}

#[test]
fn a_count_during_a_write_is_taken_back_if_another_process_has_it() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
    one.post("a", &running("t1"), 0);
    one.save(&mut table, 0);
    two.start("c", 1);
    two.save(&mut table, 1);
    one.ledger.heartbeat(at(2));
    one.save(&mut table, 2);
    one.start_get("b", 3);
    let write = one.prepare(3).unwrap();
    one.answer("b", &done("t1", 7), 0, true, 4);
    table.write(&write).unwrap();
    one.ledger.write_applied(write);
    two.get("c", &done("t1", 7), 5);
    two.save(&mut table, 5);
    one.save(&mut table, 6);
    assert_eq!(table.status().total_token_usage(), TokenUsage::new(7, 0));
}

#[test]
fn a_change_just_after_a_write_that_has_confirmed_a_task_is_saved() {
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.get("b", &running("t1"), 0);
    process.get("b", &done("t1", 7), 1);
    let write = process.prepare(2).unwrap();
    table.write(&write).unwrap();
    process.ledger.write_applied(write);
    assert!(process.ledger.is_dirty(), "the tokens count now");
    process.ledger.heartbeat(at(3));
    assert!(process.ledger.is_dirty());
    process.save(&mut table, 3);
    assert_eq!((input(&table.status(), "b"), table.status().last_updated), (7, at(3)));
}

#[test]
fn a_task_that_was_saved_counts_at_once() {
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.get("b", &running("t1"), 0);
    process.save(&mut table, 0);
    assert_eq!(process.get("b", &done("t1", 7), 1), Some(7));
}

#[test]
fn a_writer_that_knows_no_tasks_takes_no_tokens_of_theirs_back() {
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.post("a", &running("t1"), 0);
    process.save(&mut table, 0);
    process.post("a", &tokens(running("t1"), 5), 1);
    table.item = Some(of_another_writer());
    process.save(&mut table, 2);
    assert_eq!(input(&table.status(), "a"), 5);
    assert_eq!(unfinished_tasks(&table.status()), ["t1"]);
}

#[test]
fn a_task_that_has_no_room_in_the_item_keeps_its_tokens() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
    one.post("a", &running("t1"), 0);
    one.save(&mut table, 0);
    one.post("a", &tokens(running("t1"), 5), 1);
    for n in 0..WorkflowStatus::MAX_UNFINISHED_TASKS {
        two.post("c", &running(leaked(format!("newer-{n}"))), 2);
    }
    two.save(&mut table, 2);
    assert!(!unfinished_tasks(&table.status()).contains(&"t1"));
    one.save(&mut table, 3);
    assert_eq!(input(&table.status(), "a"), 5);
}

#[test]
fn a_poll_before_the_item_is_known_is_believed_unless_the_item_would_name_its_task() {
    let full = {
        let (mut table, mut other) = (Table::default(), Process::new("other", 0));
        for n in 0..WorkflowStatus::MAX_UNFINISHED_TASKS {
            other.post("c", &running(leaked(format!("newer-{n}"))), 0);
        }
        other.save(&mut table, 0);
        table.item.unwrap()
    };
    let knows_others = {
        let (mut table, mut other) = (Table::default(), Process::new("other", 0));
        other.post("c", &running("t5"), 0);
        other.save(&mut table, 0);
        table.item.unwrap()
    };
    for (item, is_believed) in [(of_another_writer(), true), (full, true), (knows_others, false)] {
        let mut table = Table { item: Some(item), writes: 0 };
        let mut process = Process::new("w", 10);
        process.post("a", &running("t2"), 10);
        process.get("b", &running("t1"), 10);
        process.save(&mut table, 11);
        let status = table.status();
        let has = |id| unfinished_tasks(&status).contains(&id);
        assert_eq!((has("t1"), has("t2")), (is_believed, true));
        assert_eq!(shown(&status, "a"), waits_for("task", "t2"));
        let expected = if is_believed { waits_for("task", "t1") } else { SUCCESS };
        assert_eq!(shown(&status, "b"), expected);
    }
}

#[test]
fn an_agent_that_has_failed_since_is_not_ended_by_the_task_that_it_has_polled() {
    let (mut table, mut other) = (Table::default(), Process::new("other", 0));
    other.post("c", &running("t5"), 0);
    other.save(&mut table, 0);
    let mut process = Process::new("w", 10);
    process.get("b", &running("t1"), 10);
    process.start("b", 11);
    process.end("b", failure("no"), 0, 12);
    process.save(&mut table, 13);
    assert_eq!(error_class(&table.status(), "b"), "http_500");
}

#[test]
fn a_task_that_was_first_polled_belongs_to_none_that_waits_for_another() {
    let (mut table, mut other) = (Table::default(), Process::new("other", 0));
    other.post("first", &running("t0"), 0);
    other.post("a", &running("t1"), 1);
    other.save(&mut table, 1);
    let mut process = Process::new("w", 10);
    process.get("b", &running("t1"), 10);
    process.save(&mut table, 10);
    process.get("b", &done("t1", 7), 20);
    process.save(&mut table, 20);
    let status = table.status();
    assert_eq!(["first", "a", "b"].map(|agent| input(&status, agent)), [0, 7, 0]);
    assert_eq!(shown(&status, "first"), waits_for("task", "t0"));
}

#[test]
fn an_answer_that_only_polls_have_named_does_not_count_if_the_item_knows_better() {
    let (mut table, mut other) = (Table::default(), Process::new("other", 0));
    other.post("c", &running("t5"), 0);
    other.save(&mut table, 0);
    let mut process = Process::new("w", 10);
    process.start("b", 10);
    let write = process.prepare(10).unwrap();
    let found = table.write(&write).unwrap_err();
    process.answer("b", &running("t1"), 0, true, 11);
    process.get("b", &done("t1", 7), 12);
    process.conflict(found.as_ref(), 13);
    process.save(&mut table, 13);
    assert_eq!(table.status().total_token_usage(), TokenUsage::new(0, 0));
    assert_eq!(unfinished_tasks(&table.status()), ["t5"]);
}

#[test]
fn an_answer_from_before_its_task_was_left_unfinished_does_not_count() {
    let (mut table, mut other) = (Table::default(), Process::new("other", 0));
    other.post("c", &running("t5"), 0);
    other.save(&mut table, 0);
    let mut process = Process::new("w", 10);
    process.get("b", &done("t2", 7), 10);
    let write = process.prepare(10).unwrap();
    let found = table.write(&write).unwrap_err();
    process.conflict(found.as_ref(), 11);
    other.post("c", &running("t2"), 12);
    other.save(&mut table, 12);
    process.save(&mut table, 13);
    assert_eq!(table.status().total_token_usage(), TokenUsage::new(0, 0));
}
