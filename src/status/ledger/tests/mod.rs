//! Guarantees of the document, each shown between ledgers and one item.

mod adopted_items;
mod calls;
mod clocks;
mod deleted;
mod description;
mod expiry;
mod idle;
mod many_writers;
mod merged_tasks;
mod merges;
mod new_runs;
mod older_writers;
mod random_runs;
mod run_conflicts;
mod runs;
mod several_tasks;
mod tasks;
mod values;

use std::time::Duration;

use super::*;
use crate::status::{
    AgentReport, CallDetails, CallError, ErrorMessage, Item, ItemVersion, NewTokens, Outcome,
    OverallStatus, Precondition, Task, TaskId, TokenUsage, WaitingFor,
};

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
        let expected = match &write.precondition {
            Precondition::Absent => None,
            Precondition::Version(version) => Some(version.clone()),
        };
        if self.item.as_ref().map(ItemVersion::of) != expected {
            return Err(self.item.clone());
        }
        write.change().unwrap().change.apply(self.item.get_or_insert_default());
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
    /// What conflicts said cannot be known.
    uncertain: Vec<UncertainUsage>,
    /// How often they said that the item is another.
    others: usize,
}

impl Process {
    fn new(writer: &'static str, now: i64) -> Self {
        let ledger = Ledger::new(id(), at(now));
        Self { ledger, writer, seq: 0, uncertain: Vec::new(), others: 0 }
    }

    fn slot(&mut self, agent: &str) -> usize {
        self.ledger.slot(&agent.into(), &Arc::default())
    }

    fn start(&mut self, agent: &str, now: i64) {
        let slot = self.slot(agent);
        self.ledger.call_started(slot, false, at(now));
    }

    fn end(&mut self, agent: &str, mut outcome: Outcome, tokens: u64, now: i64) {
        let slot = self.slot(agent);
        let used = TokenUsage::new(tokens, 0);
        let details = CallDetails { usage: Some(&used), ..CallDetails::none(at(now)) };
        self.ledger.call_ended(slot, &mut outcome, NewTokens::All(&used), &details, at(now));
    }

    /// A call starts and ends at once, with an answer that belongs to a task.
    fn post(&mut self, agent: &str, answer: &TaskResponse, now: i64) {
        self.start(agent, now);
        self.answer(agent, answer, 0, false, now);
    }

    fn start_get(&mut self, agent: &str, now: i64) {
        let slot = self.slot(agent);
        self.ledger.call_started(slot, true, at(now));
    }

    /// The same with a GET. Returns the input tokens that count.
    fn get(&mut self, agent: &str, answer: &TaskResponse, now: i64) -> Option<u64> {
        self.start_get(agent, now);
        self.answer(agent, answer, 0, true, now)
    }

    /// A call ends with an answer that belongs to a task, after it has recorded these tokens.
    fn answer(
        &mut self,
        agent: &str,
        answer: &TaskResponse,
        recorded: u64,
        is_get: bool,
        now: i64,
    ) -> Option<u64> {
        let slot = self.slot(agent);
        let usage = |tokens| TokenUsage::new(tokens, 0);
        let usage = TaskUsage {
            reported: answer.tokens.map(usage),
            recorded: if recorded > 0 { usage(recorded) } else { TokenUsage::default() },
            is_get,
        };
        let task = Task { id: TaskId::new(answer.id), waiting_for: answer.waiting_for };
        let outcome = answer.outcome.clone();
        let details = CallDetails::none(at(now));
        let ledger = &mut self.ledger;
        ledger
            .call_ended_with_task(slot, outcome, task, usage, &details, at(now))?
            .usage
            .input_tokens
    }

    /// What an agent is doing: its state, what it waits for, and its task.
    fn shown(&mut self, agent: &str) -> Shown {
        shown(self.ledger.status(), agent)
    }

    fn prepare(&mut self, now: i64) -> Option<PendingWrite> {
        let millis = u64::try_from(at(now).as_millis()).unwrap() & !1;
        self.seq = millis.max(self.seq + 2);
        let write = self.ledger.prepare_write(self.writer, self.seq, false, at(now))?;
        if write.change().is_none() {
            self.ledger.write_skipped(&write);
            return None;
        }
        Some(write)
    }

    fn conflict(&mut self, found: Option<&Item>, now: i64) {
        let Lack { uncertain, is_another } =
            self.ledger.write_conflicted(found, self.writer, at(now));
        self.uncertain.extend(uncertain);
        self.others += usize::from(is_another);
    }

    /// Writes until there is nothing left to write.
    fn save(&mut self, table: &mut Table, now: i64) {
        for _ in 0..10 {
            let Some(write) = self.prepare(now) else { return };
            match table.write(&write) {
                Ok(()) => self.ledger.write_applied(write),
                Err(found) => self.conflict(found.as_ref(), now),
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

/// How long ago a run must have ended for another to replace it.
const AGE: Duration = Duration::from_secs(60);

/// Opens a workflow that begins a new run after [`AGE`].
fn open(p: &mut Process, now: i64) {
    p.ledger.begin_new_run_after(AGE, at(now));
    describe(p, now);
}

fn describe(p: &mut Process, now: i64) {
    let attributes = BTreeMap::from([("documentId".to_owned(), Value::from("d"))]);
    p.ledger.set_attributes(Some("c".to_owned()), attributes, at(now));
}

/// A call of an agent that succeeds.
fn call(p: &mut Process, agent: &str, tokens: u64, now: i64) {
    p.start(agent, now);
    p.end(agent, Outcome::Success, tokens, now + 10);
}

/// A map of texts, as an older writer puts it.
fn texts(attributes: &[(&str, &str)]) -> Item {
    attributes.iter().map(|(name, text)| ((*name).to_owned(), Value::from(*text))).collect()
}

/// A time as an older writer formats it.
fn their_time(millis: i64) -> String {
    at(millis).to_string().replace('Z', "123+00:00")
}

/// An answer that belongs to a task.
#[derive(Clone)]
struct TaskResponse {
    id: &'static str,
    waiting_for: Option<WaitingFor>,
    tokens: Option<u64>,
    outcome: Outcome,
}

/// A task that goes on, or waits for this.
fn unfinished(id: &'static str, waiting_for: WaitingFor) -> TaskResponse {
    TaskResponse { id, waiting_for: Some(waiting_for), tokens: None, outcome: Outcome::Success }
}

fn running(id: &'static str) -> TaskResponse {
    unfinished(id, WaitingFor::Task)
}

/// A task that has ended well, and used these input tokens.
fn done(id: &'static str, tokens: u64) -> TaskResponse {
    TaskResponse { id, waiting_for: None, tokens: Some(tokens), outcome: Outcome::Success }
}

/// A task whose failure the answer reports.
fn failed(id: &'static str) -> TaskResponse {
    let outcome = Outcome::Error(CallError::new(CallError::AGENT, "no such document"));
    TaskResponse { id, waiting_for: None, tokens: None, outcome }
}

/// The state of an agent, what it waits for, and its task.
type Shown = (&'static str, Option<&'static str>, Option<String>);

fn shown(status: &WorkflowStatus, agent: &str) -> Shown {
    let agent = status.agent(agent).unwrap();
    let task = agent.task_id.as_ref().map(ToString::to_string);
    (agent.state.as_str(), agent.waiting_for.map(WaitingFor::as_str), task)
}

fn waits_for(what: &'static str, id: &str) -> Shown {
    ("in-progress", Some(what), Some(id.to_owned()))
}

const IN_PROGRESS: Shown = ("in-progress", None, None);
const SUCCESS: Shown = ("success", None, None);
const ERROR: Shown = ("error", None, None);

fn unfinished_tasks(status: &WorkflowStatus) -> Vec<&str> {
    status.unfinished_tasks.iter().map(TaskId::as_str).collect()
}

fn error_class<'a>(status: &'a WorkflowStatus, agent: &str) -> &'a str {
    status.agent(agent).unwrap().error.as_ref().map_or("", |error| &error.class)
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_766_570_400_000 + millis)
}

fn failure(text: &str) -> Outcome {
    Outcome::Error(CallError::new("http_500", text))
}

fn input(status: &WorkflowStatus, agent: &str) -> u64 {
    status.agent(agent).unwrap().token_usage().map_or(0, |usage| usage.input_tokens.unwrap())
}
