//! Tasks that several processes know, and answers that come before the item is known.

use super::*;

/// A process has left a task unfinished, and is gone.
fn left_unfinished() -> Table {
    let (mut table, mut process) = (Table::default(), Process::new("gone", 0));
    process.post("a", &running("t1"), 0);
    process.save(&mut table, 0);
    table
}

#[test]
fn a_poll_before_the_item_is_known_counts_once_the_item_names_its_task() {
    for lost in [None, Some(false), Some(true)] {
        let mut table = left_unfinished();
        let mut process = Process::new("w", 10);
        assert_eq!(process.get("b", &done("t1", 7), 10), None);
        assert_eq!(process.ledger.status().total_token_usage(), TokenUsage::new(0, 0));
        if lost.is_some() {
            // The first write conflicts, and the answer of the second is lost.
            let write = process.prepare(11).unwrap();
            let found = table.write(&write).unwrap_err();
            process.conflict(found.as_ref(), 11);
            process.save_and_lose_the_answer(&mut table, lost == Some(true), 12);
        }
        process.get("b", &done("t1", 7), 20);
        process.save(&mut table, 20);
        let status = table.status();
        assert_eq!((input(&status, "a"), input(&status, "b")), (7, 0), "lost: {lost:?}");
        assert_eq!((shown(&status, "a"), shown(&status, "b")), (SUCCESS, SUCCESS));
        assert_eq!(status.agent("a").unwrap().completed_at, Some(at(10)));
        assert_eq!(unfinished_tasks(&status), [""; 0]);
        assert_eq!(status.agent("b").unwrap().calls, 2);
    }
}

#[test]
fn a_poll_that_the_item_does_not_name_does_not_count() {
    // There is no item, or one that names another task.
    for mut table in [Table::default(), left_unfinished()] {
        let mut process = Process::new("w", 10);
        process.get("b", &done("t2", 7), 10);
        process.save(&mut table, 10);
        process.get("b", &done("t2", 7), 20);
        process.save(&mut table, 20);
        assert_eq!(table.status().total_token_usage(), TokenUsage::new(0, 0));
        // Not even after the task is left unfinished: those answers came before.
        let mut other = Process::new("x", 30);
        other.post("a", &running("t2"), 30);
        other.save(&mut table, 30);
        process.start("b", 40);
        process.save(&mut table, 40);
        assert_eq!(table.status().total_token_usage(), TokenUsage::new(0, 0));
        process.get("b", &done("t2", 7), 50);
        process.save(&mut table, 50);
        assert_eq!(input(&table.status(), "a"), 7);
    }
}

#[test]
fn a_failure_before_the_item_is_known_ends_the_agent_that_waits() {
    let mut table = left_unfinished();
    let mut process = Process::new("w", 10);
    process.get("b", &failed("t1"), 10);
    process.save(&mut table, 10);
    assert_eq!(error_class(&table.status(), "a"), "agent");
}

#[test]
fn a_task_that_was_first_polled_belongs_to_the_agent_that_waits_in_the_item() {
    let mut table = left_unfinished();
    let mut process = Process::new("w", 10);
    process.get("b", &running("t1"), 10);
    assert_eq!(process.shown("b"), waits_for("task", "t1"), "as far as is known");
    process.save(&mut table, 10);
    assert_eq!(shown(&table.status(), "a"), waits_for("task", "t1"));
    assert_eq!(shown(&table.status(), "b"), SUCCESS);
    process.get("b", &done("t1", 7), 20);
    process.save(&mut table, 20);
    let status = table.status();
    assert_eq!((input(&status, "a"), input(&status, "b")), (7, 0));
    assert_eq!(shown(&status, "a"), SUCCESS);
}

#[test]
fn a_process_that_resumes_starts_afresh() {
    let mut table = left_unfinished();
    let mut process = Process::new("w", 10);
    process.post("a", &done("t2", 5), 10);
    process.save(&mut table, 10);
    assert_eq!(shown(&table.status(), "a"), SUCCESS);
    assert_eq!(unfinished_tasks(&table.status()), ["t1"]);
}

#[test]
fn the_unfinished_tasks_of_two_processes_are_merged() {
    let mut table = left_unfinished();
    let (mut one, mut two) = (Process::new("one", 1), Process::new("two", 1));
    for (process, agent) in [(&mut one, "b"), (&mut two, "c")] {
        process.start(agent, 2);
        process.save(&mut table, 2);
    }
    one.answer("b", &running("t2"), 0, false, 3);
    two.answer("c", &running("t3"), 0, false, 3);
    two.get("c", &done("t1", 7), 4);
    one.save(&mut table, 5);
    two.save(&mut table, 5);
    assert_eq!(unfinished_tasks(&table.status()), ["t2", "t3"]);
    one.get("b", &done("t2", 1), 6);
    one.save(&mut table, 6);
    assert_eq!(unfinished_tasks(&table.status()), ["t3"]);
    assert_eq!(input(&table.status(), "a"), 7);
}

#[test]
fn a_task_that_two_processes_poll_counts_once() {
    // Whether the second process has seen a part of the tokens before, and whether the answer to
    // a write of it is lost, applied or not.
    for (partly, lost) in
        [false, true].into_iter().flat_map(|p| [None, Some(false), Some(true)].map(|l| (p, l)))
    {
        let mut table = left_unfinished();
        let (mut one, mut two) = (Process::new("one", 1), Process::new("two", 1));
        for (process, agent) in [(&mut one, "b"), (&mut two, "c")] {
            process.start(agent, 2);
            process.end(agent, Outcome::Success, 1, 2);
            process.save(&mut table, 3);
        }
        if partly {
            two.get("c", &TaskResponse { tokens: Some(5), ..running("t1") }, 4);
        }
        if lost == Some(true) {
            // This process is the first to write the end.
            two.get("c", &done("t1", 7), 5);
            two.save(&mut table, 5);
            two.get("c", &done("t1", 7), 6);
            two.save_and_lose_the_answer(&mut table, true, 6);
        }
        one.get("b", &done("t1", 7), 7);
        one.save(&mut table, 7);
        two.get("c", &done("t1", 7), 8);
        if lost == Some(false) {
            two.save_and_lose_the_answer(&mut table, false, 8);
        }
        two.save(&mut table, 9);
        one.get("b", &done("t1", 7), 10);
        one.save(&mut table, 10);
        let status = table.status();
        assert_eq!(status.total_token_usage(), TokenUsage::new(9, 0), "{partly} {lost:?}");
        assert_eq!((shown(&status, "a"), input(&status, "a")), (SUCCESS, 7));
        assert_eq!(unfinished_tasks(&status), [""; 0]);
    }
}

#[test]
fn a_task_that_has_ended_is_not_revived_by_a_slow_poll_of_a_process_that_knows_no_item() {
    let mut table = left_unfinished();
    let (mut one, mut two) = (Process::new("one", 1), Process::new("two", 1));
    two.get("c", &running("t1"), 2);
    one.get("b", &done("t1", 7), 3);
    one.save(&mut table, 3);
    // Fetched once more before the first write of this process meets the item, and after it.
    two.get("c", &done("t1", 7), 4);
    two.save(&mut table, 5);
    two.get("c", &done("t1", 7), 6);
    two.save(&mut table, 6);
    let status = table.status();
    assert_eq!(status.total_token_usage(), TokenUsage::new(7, 0));
    assert_eq!(unfinished_tasks(&status), [""; 0]);
    assert_eq!((shown(&status, "a"), shown(&status, "c")), (SUCCESS, SUCCESS));
}

#[test]
fn a_task_that_no_other_process_knows_is_one_of_the_session_once_it_is_saved() {
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.get("b", &running("t1"), 0);
    assert_eq!(process.get("b", &done("t1", 7), 1), None, "the item may say that it has ended");
    process.save(&mut table, 2);
    assert_eq!(input(&table.status(), "b"), 7);
    assert_eq!(unfinished_tasks(&table.status()), [""; 0]);
}

#[test]
fn an_answer_that_is_newer_than_the_item_that_a_write_met_is_kept() {
    let mut table = left_unfinished();
    let (mut one, mut two) = (Process::new("one", 1), Process::new("two", 1));
    two.start("c", 2);
    let write = two.prepare(2).unwrap();
    let found = table.write(&write).unwrap_err();
    one.post("b", &running("t2"), 3);
    one.save(&mut table, 3);
    two.get("c", &done("t2", 7), 4);
    two.conflict(found.as_ref(), 5);
    two.save(&mut table, 5);
    assert_eq!(input(&table.status(), "b"), 7);
    assert_eq!(unfinished_tasks(&table.status()), ["t1"]);
}

#[test]
fn a_count_whose_answer_was_lost_is_not_taken_back() {
    let mut table = left_unfinished();
    let mut process = Process::new("w", 10);
    process.start("b", 10);
    process.save(&mut table, 10);
    process.get("b", &done("t1", 7), 11);
    process.save_and_lose_the_answer(&mut table, true, 12);
    process.start("b", 13);
    process.save(&mut table, 13);
    assert_eq!(input(&table.status(), "a"), 7);
}

#[test]
fn a_task_that_has_ended_here_is_not_unfinished_after_a_merge() {
    // The reply to a request for input comes before the item is known.
    let mut table = left_unfinished();
    let mut process = Process::new("w", 10);
    process.post("a", &done("t1", 7), 10);
    process.save(&mut table, 10);
    assert_eq!(unfinished_tasks(&table.status()), [""; 0]);

    // So many others are named that the end is forgotten before it is written.
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.post("a", &running("t1"), 0);
    process.save(&mut table, 0);
    process.post("a", &done("t1", 7), 1);
    for n in 0..64 {
        process.post("a", &done(Box::leak(format!("other-{n}").into_boxed_str()), 1), 1);
    }
    let mut other = Process::new("x", 2);
    other.start("b", 2);
    other.save(&mut table, 2);
    process.save(&mut table, 3);
    assert_eq!(unfinished_tasks(&table.status()), [""; 0]);
}

#[test]
fn an_agent_whose_task_has_ended_elsewhere_does_not_wait_again() {
    for has_heartbeat in [false, true] {
        let mut table = Table::default();
        let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
        one.post("a", &running("t1"), 0);
        one.save(&mut table, 0);
        two.get("b", &done("t1", 7), 10);
        two.save(&mut table, 10);
        // A slow answer to the first process, from before the end.
        one.get("a", &running("t1"), 20);
        if has_heartbeat {
            one.ledger.heartbeat(at(21));
        }
        one.save(&mut table, 20);
        assert_eq!(shown(&table.status(), "a"), SUCCESS);
        assert_eq!(unfinished_tasks(&table.status()), [""; 0]);
        one.start("a", 30);
        one.end("a", Outcome::Success, 1, 31);
        one.save(&mut table, 31);
        assert_eq!(shown(&table.status(), "a"), SUCCESS);
        assert_eq!(input(&table.status(), "a"), 8);
        assert_eq!(table.status().agent("a").unwrap().calls, 3);
        // The process that started the task fetches what another has counted.
        one.get("a", &done("t1", 7), 40);
        one.save(&mut table, 40);
        assert_eq!(input(&table.status(), "a"), 8);
    }
}

#[test]
fn an_agent_that_waits_ends_with_a_workflow_that_ended_elsewhere() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
    one.post("a", &running("t1"), 0);
    one.save(&mut table, 0);
    two.start("b", 1);
    two.save(&mut table, 1);
    two.ledger.finish(Ok(()), at(10));
    two.save(&mut table, 10);
    assert_eq!(error_class(&table.status(), "a"), "unfinished");
    one.get("a", &running("t1"), 20);
    one.save(&mut table, 20);
    assert_eq!(error_class(&table.status(), "a"), "unfinished");
    one.get("a", &done("t1", 3), 30);
    one.save(&mut table, 30);
    assert_eq!((shown(&table.status(), "a"), input(&table.status(), "a")), (SUCCESS, 3));
}

#[test]
fn an_error_of_an_unfinished_task_does_not_move_to_the_next_run() {
    let mut table = Table::default();
    let mut old = Process::new("old", 0);
    old.post("a", &running("t1"), 0);
    old.save(&mut table, 0);
    let mut new = Process::new("new", 10);
    new.ledger.begin_new_run(at(10));
    new.start("a", 11);
    new.end("a", Outcome::Success, 5, 20);
    new.save(&mut table, 20);
    old.ledger.finish(Ok(()), at(30));
    old.save(&mut table, 40);
    let status = table.status();
    assert_eq!((shown(&status, "a"), error_class(&status, "a")), (SUCCESS, ""));
    assert_eq!(unfinished_tasks(&status), [""; 0]);
}

#[test]
fn a_writer_that_knows_no_tasks_ends_none() {
    let mut table = Table::default();
    let mut process = Process::new("w", 0);
    process.post("a", &running("t1"), 0);
    process.save(&mut table, 0);
    let mut theirs = Item::new();
    theirs.insert("overallStatus", "processing");
    theirs.insert("documentId", "d");
    table.item = Some(theirs);
    process.ledger.heartbeat(at(10));
    process.save(&mut table, 10);
    assert_eq!(shown(&table.status(), "a"), waits_for("task", "t1"));
    assert_eq!(unfinished_tasks(&table.status()), ["t1"]);
}

#[test]
fn an_agent_that_waits_moves_to_the_run_that_another_began_with_its_task_alone() {
    let mut table = Table::default();
    let (mut old, mut new) = (Process::new("old", 0), Process::new("new", 0));
    old.post("a", &running("t0"), 0);
    old.post("b", &running("t1"), 0);
    old.save(&mut table, 0);
    new.ledger.begin_new_run(at(10));
    new.save(&mut table, 10);
    old.post("b", &running("t2"), 30);
    old.get("c", &done("t1", 7), 31);
    old.save(&mut table, 32);
    let status = table.status();
    assert_eq!(shown(&status, "a"), ("pending", None, None));
    assert_eq!(shown(&status, "b"), waits_for("task", "t2"));
    assert_eq!(unfinished_tasks(&status), ["t2"]);
    // No token is lost, of whatever run the task is.
    assert_eq!(input(&status, "b"), 7);
    old.get("c", &done("t2", 5), 40);
    old.save(&mut table, 40);
    assert_eq!(shown(&table.status(), "b"), SUCCESS);
    assert_eq!(unfinished_tasks(&table.status()), [""; 0]);
}
