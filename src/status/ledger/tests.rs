//! Guarantees of the document, each shown between ledgers and one item.

use super::write::MAX_WRITERS;
use super::*;
use crate::status::{AgentReport, ErrorMessage, Item, Outcome, OverallStatus, Precondition};

fn id() -> SessionId {
    SessionId::new("s").unwrap()
}

/// A table of one item that answers as a store does.
#[derive(Default)]
struct Table {
    item: Option<Item>,
    writes: usize,
}

impl Table {
    fn write(&mut self, write: &PendingWrite) -> Result<(), Option<Item>> {
        let revision = self.item.as_ref().map(|item| item.get("revision").and_then(Value::as_u64));
        let expected = match write.precondition {
            Precondition::Absent => None,
            Precondition::NoRevision => Some(None),
            Precondition::Revision(revision) => Some(Some(revision)),
        };
        if revision != expected {
            return Err(self.item.clone());
        }
        write.change().unwrap().apply(self.item.get_or_insert_default());
        self.writes += 1;
        Ok(())
    }

    fn status(&self) -> WorkflowStatus {
        WorkflowStatus::from_item(&id(), self.item.as_ref().unwrap())
    }
}

struct Process {
    ledger: Ledger,
    writer: &'static str,
    seq: u64,
}

impl Process {
    fn new(writer: &'static str, now: i64) -> Self {
        Self { ledger: Ledger::new(id(), at(now)), writer, seq: 0 }
    }

    fn slot(&mut self, agent: &str) -> usize {
        self.ledger.slot(&agent.into(), &Arc::default())
    }

    fn start(&mut self, agent: &str, now: i64) {
        let slot = self.slot(agent);
        self.ledger.call_started(slot, at(now));
    }

    fn end(&mut self, agent: &str, outcome: Outcome, tokens: u64, now: i64) {
        let slot = self.slot(agent);
        let used = TokenUsage::new(tokens, 0).delta_from(&TokenUsage::default());
        self.ledger.call_ended(slot, outcome, Some(used), at(now));
    }

    fn prepare(&mut self, now: i64) -> Option<PendingWrite> {
        self.seq = u64::try_from(at(now).as_millis()).unwrap().max(self.seq + 1);
        let write = self.ledger.prepare_write(self.writer, self.seq)?;
        if write.change().is_none() {
            self.ledger.write_skipped(&write);
            return None;
        }
        Some(write)
    }

    /// Writes until there is nothing left to write.
    fn save(&mut self, table: &mut Table, now: i64) {
        for _ in 0..10 {
            let Some(write) = self.prepare(now) else { return };
            match table.write(&write) {
                Ok(()) => self.ledger.write_applied(write),
                Err(found) => self.ledger.write_conflicted(found.as_ref(), self.writer, at(now)),
            }
        }
        panic!("it never settles");
    }

    /// A write whose answer is lost, applied or not.
    fn save_and_lose_the_answer(&mut self, table: &mut Table, applied: bool, now: i64) {
        let write = self.prepare(now).unwrap();
        if applied {
            table.write(&write).unwrap();
        }
        self.ledger.write_failed(&write, true);
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_766_570_400_000 + millis)
}

fn failure(text: &str) -> Outcome {
    Outcome::Error(CallError::new("http_500", text))
}

fn input(status: &WorkflowStatus, agent: &str) -> u64 {
    status.agent(agent).unwrap().token_usage.unwrap().input_tokens.unwrap()
}

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
    assert_eq!(agent.token_usage, None);

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
fn a_finished_workflow_is_not_reopened_and_has_no_agent_in_progress() {
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.start("a", 0);
    assert!(process.ledger.finish(Ok(()), at(5)));
    process.save(&mut table, 5);
    let agent = process.ledger.status().agent("a").unwrap();
    assert_eq!(agent.state, AgentState::Error);
    assert_eq!(agent.error.as_ref().unwrap().class, "workflow_ended");

    process.end("a", Outcome::Success, 9, 10);
    process.start("b", 11);
    assert_eq!(process.ledger.status().agent("b").unwrap().state, AgentState::Pending);
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
fn two_processes_on_one_agent_count_every_token_once() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
    one.start("a", 0);
    one.save(&mut table, 1);
    two.start("a", 2);
    two.end("a", Outcome::Success, 10, 3);
    two.save(&mut table, 4);
    one.end("a", Outcome::Success, 100, 5);
    one.start("b", 6);
    one.save(&mut table, 6);
    two.start("c", 7);
    two.end("c", failure("no"), 1_000, 8);
    two.save(&mut table, 9);
    one.end("b", Outcome::Success, 10_000, 10);
    one.save(&mut table, 10);
    let status = table.status();
    assert_eq!(input(&status, "a"), 110);
    assert_eq!(status.total_token_usage(), TokenUsage::new(11_110, 0));
    assert_eq!(status.agent("a").unwrap().started_at, Some(at(0)));
    assert_eq!(status.agent("a").unwrap().calls, 2);
    assert_eq!(status.agent("c").unwrap().state, AgentState::Error);
    assert_eq!(status.writers.len(), 2);
}

#[test]
fn an_item_shows_whether_a_lost_write_was_applied() {
    for applied in [true, false] {
        let mut table = Table::default();
        let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
        one.start("a", 0);
        one.end("a", Outcome::Success, 1, 1);
        one.save_and_lose_the_answer(&mut table, applied, 1);
        // Somebody else succeeds before the next try, and a further call ends.
        two.start("a", 2);
        two.end("a", Outcome::Success, 10, 2);
        two.save(&mut table, 2);
        one.start("a", 3);
        one.end("a", Outcome::Success, 100, 3);
        one.save(&mut table, 3);
        assert_eq!(input(&table.status(), "a"), 111, "applied: {applied}");
        assert_eq!(table.status().agent("a").unwrap().calls, 3);
    }
}

#[test]
fn several_lost_answers_in_a_row_are_resolved() {
    // Which of three tries was applied; none for 3.
    for applied in 0..=3 {
        let mut table = Table::default();
        let mut process = Process::new("w", 0);
        process.start("a", 0);
        process.save(&mut table, 0);
        for attempt in 0..3 {
            process.start("a", attempt);
            process.end(
                "a",
                Outcome::Success,
                10_u64.pow(u32::try_from(attempt).unwrap()),
                attempt,
            );
            process.save_and_lose_the_answer(&mut table, attempt == applied, attempt);
            if attempt == applied {
                break;
            }
        }
        process.save(&mut table, 9);
        let expected = [1, 11, 111, 111][usize::try_from(applied).unwrap()];
        assert_eq!(input(&table.status(), "a"), expected, "applied: {applied}");
    }
}

#[test]
fn a_write_that_surely_failed_is_carried_by_the_next() {
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.start("a", 0);
    process.end("a", Outcome::Success, 5, 1);
    let write = process.prepare(1).unwrap();
    process.ledger.write_failed(&write, false);
    let mut other = Process::new("x", 0);
    other.start("a", 0);
    other.end("a", Outcome::Success, 50, 1);
    other.save(&mut table, 1);
    process.save(&mut table, 2);
    assert_eq!(input(&table.status(), "a"), 55);
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
    new.ledger.write_conflicted(found.as_ref(), "new", at(11));
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

    // The run before ends only after the new run began, and so does its agent.
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
fn a_deleted_item_is_written_again() {
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.start("a", 0);
    process.save(&mut table, 0);
    table.item = None;
    process.end("a", Outcome::Success, 5, 1);
    process.save(&mut table, 1);
    assert_eq!(input(&table.status(), "a"), 5);
    assert_eq!(table.status().created_at, at(0));
}

#[test]
fn a_call_in_flight_here_keeps_its_agent_in_progress() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 0), Process::new("two", 0));
    one.start("a", 0);
    two.start("a", 1);
    two.end("a", Outcome::Success, 1, 2);
    two.save(&mut table, 2);
    one.save(&mut table, 3);
    assert_eq!(table.status().agent("a").unwrap().state, AgentState::InProgress);
    one.end("a", Outcome::Success, 1, 4);
    one.save(&mut table, 4);
    assert_eq!(table.status().agent("a").unwrap().state, AgentState::Success);
    assert_eq!(table.status().agent("a").unwrap().completed_at, Some(at(4)));
}

#[test]
fn a_change_by_a_process_whose_clock_is_behind_counts() {
    let mut table = Table::default();
    let (mut one, mut two) = (Process::new("one", 100), Process::new("two", 50));
    one.start("a", 100);
    one.end("a", Outcome::Success, 1, 101);
    one.save(&mut table, 101);
    two.start("a", 50);
    two.save(&mut table, 51);
    two.end("a", failure("no"), 1, 52);
    two.save(&mut table, 52);
    one.start("b", 110);
    one.save(&mut table, 110);
    assert_eq!(table.status().agent("a").unwrap().state, AgentState::Error);
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
    // Set back to pending by a clock that is behind.
    process.ledger.report(slot, AgentReport::new(AgentState::Pending), at(-5));
    assert_eq!(process.ledger.status().agent("a").unwrap().last_updated, Some(at(2)));
}

#[test]
fn only_what_differs_from_the_base_is_written() {
    let (mut table, mut process) = (Table::default(), Process::new("w", 0));
    process.start("a", 0);
    process.save(&mut table, 0);
    process.end("a", Outcome::Success, 5, 1);
    let write = process.prepare(1).unwrap();
    let change = write.change().unwrap();
    let names: Vec<_> = change.set.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "lastUpdated", "revision", "totalTokenUsage", "writers"]);
    table.write(&write).unwrap();
    process.ledger.write_failed(&write, true);
    // The answer was lost, and the item shows that nothing is missing.
    process.save(&mut table, 2);
    assert_eq!(table.writes, 2);
    assert!(!process.ledger.is_dirty());
}

#[test]
fn an_item_of_another_writer_is_adopted() {
    let mut map = Item::new();
    map.insert("status", "success");
    map.insert("startedAt", "2025-12-24T10:00:00+00:00Z");
    let mut item = Item::new();
    item.insert("overallStatus", "processing");
    item.insert("pdfAdapter", map);
    item.insert("documentId", "d");
    let mut table = Table { item: Some(item), writes: 0 };
    let mut process = Process::new("w", 50);
    process.start("b", 50);
    process.save(&mut table, 50);
    let status = table.status();
    assert_eq!(status.agent("pdfAdapter").unwrap().state, AgentState::Success);
    assert_eq!(status.agent("pdfAdapter").unwrap().started_at, Some(at(0)));
    assert_eq!((status.revision, status.created_at), (1, at(50)));
}

#[test]
fn an_item_remembers_the_writers_that_wrote_last() {
    let mut table = Table::default();
    for n in 0..MAX_WRITERS + 5 {
        let mut process = Process::new(Box::leak(format!("w{n}").into_boxed_str()), 0);
        let now = i64::try_from(n).unwrap();
        process.start("a", now);
        process.end("a", Outcome::Success, 1, now);
        process.save(&mut table, now);
    }
    // A writer whose clock is behind is remembered too.
    let mut behind = Process::new("behind", -1_000);
    behind.start("b", -1_000);
    behind.save(&mut table, -1_000);
    assert!(table.status().writers.contains_key("behind"));
    let status = table.status();
    assert_eq!(status.writers.len(), MAX_WRITERS);
    assert!(!status.writers.contains_key("w5") && status.writers.contains_key("w6"));
    assert_eq!(input(&status, "a"), u64::try_from(MAX_WRITERS + 5).unwrap());
}

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
        assert!(one.ledger.finish_idle(at(9_000)));
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
        assert!(process.ledger.finish_idle(at(9_000)));
        save(&mut process, 9_000);
        process.save(&mut table, 9_001);
        assert_eq!(table.status().overall_status, OverallStatus::Completed, "{lost_at}");
        assert_eq!(input(&table.status(), "a"), 1);
    }
}

#[test]
fn a_workflow_is_not_idle_while_an_agent_is_in_progress_or_none_was_called() {
    let mut process = Process::new("one", 0);
    assert!(!process.ledger.finish_idle(at(1_000)));
    process.start("a", 1_000);
    assert!(!process.ledger.finish_idle(at(2_000)));
    process.end("a", Outcome::Success, 1, 3_000);
    assert!(process.ledger.finish_idle(at(4_000)));
    assert!(!process.ledger.finish_idle(at(5_000)));
}

#[test]
fn an_agent_reported_in_progress_stays_so_until_another_report() {
    let mut process = Process::new("one", 0);
    let slot = process.slot("a");
    let report = |process: &mut Process, state, now| {
        process.ledger.report(slot, AgentReport::new(state), at(now));
    };
    for ends in [AgentState::Success, AgentState::Error, AgentState::Pending] {
        report(&mut process, AgentState::InProgress, 1);
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
