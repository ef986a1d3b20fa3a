//! A model of what the table must hold. It shares no code with what it checks.
//!
//! Each process observes calls. A write carries everything its process has observed by the
//! time the recorder asks the store for that write. So after each applied write, an agent's
//! tokens must be exactly the sum, over all processes, of what each had observed by its own
//! newest applied write. That one rule covers retries, lost and late answers, killed
//! processes, and any number of writers.

use std::collections::{BTreeMap, BTreeSet};

use tower_agent_status::SessionId;
use tower_agent_status::status::{
    AgentState, AgentStatus, Cost, Item, OverallStatus, TokenUsage, Value, WorkflowStatus,
};

use crate::attempts::{AllTried, Attempts, Tried};
use crate::crowd;
use crate::log::Said;
use crate::process::AGENTS;

pub(crate) type Agent = &'static str;

/// How many calls of an agent have ended, the tokens they used, and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    pub(crate) calls: u64,
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) femto_usd: u128,
    /// How many calls are missing from the cost.
    pub(crate) unpriced: u64,
}

impl Observed {
    fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            input: self.input + other.input,
            output: self.output + other.output,
            femto_usd: self.femto_usd + other.femto_usd,
            unpriced: self.unpriced + other.unpriced,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            calls: self.calls - other.calls,
            input: self.input - other.input,
            output: self.output - other.output,
            femto_usd: self.femto_usd - other.femto_usd,
            unpriced: self.unpriced - other.unpriced,
        }
    }
}

impl Observed {
    /// Whether this is what is expected, less some of what may be missing.
    fn lacks_at_most(self, missing: Self, expected: Self) -> bool {
        let within = |has: u64, missing: u64, expected: u64| {
            has <= expected && has.saturating_add(missing) >= expected
        };
        within(self.calls, missing.calls, expected.calls)
            && within(self.input, missing.input, expected.input)
            && within(self.output, missing.output, expected.output)
            && within(self.unpriced, missing.calls, expected.unpriced)
            && self.femto_usd <= expected.femto_usd
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Success,
    Failure,
    /// Its caller gave up.
    Cancelled,
}

type AllObserved = BTreeMap<Agent, Observed>;

/// The run of a session that a process believes is current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// It has not seen the table.
    Nothing,
    /// A run this process started: its n-th.
    Own(u64),
    /// The n-th run in the table.
    Table(u64),
}

/// One process's view of an agent.
#[derive(Clone, Debug)]
struct LocalAgent {
    state: AgentState,
    at: i64,
    in_flight: u32,
    /// How the calls of this overlapping group have ended so far.
    failed: bool,
    cancelled: bool,
    succeeded: bool,
    /// A call in flight started after the workflow had ended, as far as this process knew.
    after_end: bool,
    changes: u64,
    /// The agent is in error only because its workflow ended.
    ended_with_run: bool,
    /// Other states that are right too: neither process has seen the other's, and only clocks that
    /// disagree could tell which was later.
    or: BTreeSet<&'static str>,
    /// For each process, the newest of its changes that this one has seen in the table.
    seen: BTreeMap<usize, u64>,
    /// The state was taken from the item, and not changed here since.
    is_taken: bool,
}

impl LocalAgent {
    /// Whether another process has changed the agent since this one has seen the table.
    fn is_new(&self, had: &BTreeMap<(usize, Agent), u64>, me: usize, agent: Agent) -> bool {
        had.iter().any(|((process, name), changes)| {
            *process != me && *name == agent && self.seen.get(process) < Some(changes)
        })
    }

    /// This process has seen the table, or has written what it had.
    fn see(&mut self, had: &BTreeMap<(usize, Agent), u64>, me: usize, agent: Agent) {
        for ((process, name), changes) in had {
            if *process != me && *name == agent {
                self.seen.insert(*process, *changes);
            }
        }
    }

    /// Its state has changed here, after all that was seen.
    fn set(&mut self, state: AgentState, now: i64) {
        self.state = state;
        self.at = self.at.max(now);
        self.or.clear();
        self.is_taken = false;
    }
}

impl Default for LocalAgent {
    fn default() -> Self {
        Self {
            state: AgentState::Pending,
            at: i64::MIN,
            in_flight: 0,
            failed: false,
            cancelled: false,
            succeeded: false,
            after_end: false,
            changes: 0,
            ended_with_run: false,
            or: BTreeSet::new(),
            seen: BTreeMap::new(),
            is_taken: false,
        }
    }
}

/// One process's view of a session.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    /// How many new runs this process has started.
    pub(crate) run: u64,
    observed_before_run: AllObserved,
    observed: AllObserved,
    tried_before_run: AllTried,
    tried: AllTried,
    agents: BTreeMap<Agent, LocalAgent>,
    finish: Option<(OverallStatus, Known)>,
    learned_finished: bool,
    known: Known,
    /// The table's run when a write of this process was last applied, as long as the session
    /// has stayed in its memory.
    applied_run: Option<u64>,
    changes: u64,
    /// How many of them were known when the newest write was asked for.
    asked: u64,
    /// The writes whose answers were lost, with the revision each one made if it was applied.
    lost: Vec<std::sync::Arc<std::sync::Mutex<Lot>>>,
}

impl Default for Local {
    fn default() -> Self {
        Self {
            run: 0,
            observed_before_run: BTreeMap::new(),
            observed: BTreeMap::new(),
            tried_before_run: BTreeMap::new(),
            tried: BTreeMap::new(),
            agents: BTreeMap::new(),
            finish: None,
            learned_finished: false,
            known: Known::Nothing,
            applied_run: None,
            changes: 0,
            asked: 0,
            lost: Vec::new(),
        }
    }
}

/// What happened to a write at the table.
#[derive(Debug, Default)]
pub(crate) struct Lot {
    /// The revision the write made.
    applied: Option<u64>,
    /// Whose changes of each agent the item had then.
    had: BTreeMap<(usize, Agent), u64>,
    /// The agents' states in that item, if the write was applied.
    written: BTreeMap<String, AgentState>,
    /// The item that made the table refuse the write.
    refused: Option<Refusal>,
    answered: bool,
}

/// The item found by a refused write: its run, creation, last update, end, and agents.
#[derive(Clone, Debug)]
struct Refusal {
    run: u64,
    created: i64,
    updated: i64,
    finished: bool,
    agents: Vec<(String, AgentState, i64)>,
}

/// One write, with everything its process knew when it asked for it.
#[derive(Debug)]
pub(crate) struct Note {
    process: usize,
    session: String,
    local: Local,
    lot: std::sync::Arc<std::sync::Mutex<Lot>>,
    expected_absent: bool,
}

#[derive(Default)]
struct Process {
    dead: bool,
    /// How far its clock has ever been ahead, in milliseconds.
    ahead: i64,
    sessions: BTreeMap<String, Local>,
}

/// One item.
#[derive(Default)]
struct Row {
    run: u64,
    /// For each process, the newest of its own runs that reached the table.
    runs_applied: BTreeMap<usize, u64>,
    /// The table's number for each run of each process.
    numbers: BTreeMap<(usize, u64), u64>,
    carried: BTreeMap<usize, AllObserved>,
    /// What each process had observed before the run.
    before_run: BTreeMap<usize, AllObserved>,
    attempts: Attempts,
    changes: BTreeMap<usize, u64>,
    agent_changes: BTreeMap<(usize, Agent), u64>,
    /// When each process last changed an agent, as its newest applied write has it.
    agent_times: BTreeMap<(usize, Agent), i64>,
    /// The agents that were explicitly reported as pending, so they start again.
    set_back: BTreeSet<Agent>,
    /// What the item may lack, as the log has said.
    may_lack: Observed,
    /// Another writer has filled it up, which some process may still believe.
    filled_up: bool,
}

/// The model, and the failures it has found.
#[derive(Default)]
pub(crate) struct Model {
    processes: Vec<Process>,
    rows: BTreeMap<String, Row>,
    pub(crate) failures: Vec<String>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// All processes share one clock, so that timestamps determine the order of events.
    one_clock: bool,
    pub(crate) digest: u64,
}

impl Model {
    pub(crate) fn new(one_clock: bool) -> Self {
        Self { one_clock, ..Self::default() }
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn fail(&mut self, what: String) {
        if self.failures.len() < 5 {
            self.failures.push(what);
        }
    }

    pub(crate) fn add_process(&mut self) -> usize {
        self.processes.push(Process::default());
        self.processes.len() - 1
    }

    /// The clock of a process is this far ahead now.
    pub(crate) fn ahead(&mut self, process: usize, millis: i64) {
        let ahead = &mut self.processes[process].ahead;
        *ahead = (*ahead).max(millis);
    }

    /// The process is gone: it observes nothing and writes nothing from here on.
    pub(crate) fn kill(&mut self, process: usize) {
        self.processes[process].dead = true;
    }

    pub(crate) fn is_dead(&self, process: usize) -> bool {
        self.processes[process].dead
    }

    fn local(&mut self, process: usize, session: &str) -> Option<&mut Local> {
        let process = &mut self.processes[process];
        (!process.dead).then(|| process.sessions.entry(session.to_owned()).or_default())
    }

    /// The log has an error. Calls that it says may be missing may be.
    pub(crate) fn heard(&mut self, said: &Said) {
        if said.message.starts_with("calls may be missing") {
            let row = self.rows.entry(said.session.clone()).or_default();
            let Said { calls, tokens, .. } = *said;
            let missing = Observed { calls, input: tokens, output: tokens, ..Observed::default() };
            row.may_lack = row.may_lack.plus(missing);
            // What the log says is missing is not unsaved any more.
            if let Some(process) = said.process
                && let Some(local) = self.processes[process].sessions.get(&said.session)
            {
                let changes = row.changes.entry(process).or_default();
                *changes = (*changes).max(local.asked);
            }
            self.count("crowd: a call that may be missing, as the log says");
        }
    }

    /// Called before each event of a session, with whether the process has it in memory.
    pub(crate) fn touch(&mut self, process: usize, session: &str, in_memory: bool) {
        let Some(local) = self.local(process, session) else { return };
        if in_memory {
            return;
        }
        let busy = local.agents.values().any(|agent| agent.in_flight > 0);
        let resumed = local.changes > 0;
        let changes: Vec<_> = local.agents.iter().map(|(name, a)| (*name, a.changes)).collect();
        local.agents.clear();
        for (name, changes) in changes {
            local.agents.insert(name, LocalAgent { changes, ..LocalAgent::default() });
        }
        local.finish = None;
        local.learned_finished = false;
        local.known = Known::Nothing;
        local.applied_run = None;
        local.lost.clear();
        if resumed {
            self.count("evicted, then loaded again by the same process");
        }
        if busy {
            self.fail(format!("{session}: evicted with a call in flight"));
        }
    }

    pub(crate) fn opened(&mut self, process: usize, session: &str, new_run: bool) -> u64 {
        let Some(local) = self.local(process, session) else { return 0 };
        if new_run {
            local.run += 1;
            local.observed_before_run = local.observed.clone();
            local.tried_before_run = local.tried.clone();
            local.finish = None;
            local.learned_finished = false;
            local.known = Known::Own(local.run);
            for agent in local.agents.values_mut() {
                *agent = LocalAgent { changes: agent.changes, ..LocalAgent::default() };
            }
            local.changes += 1;
        }
        local.run
    }

    /// A call starts. Returns the run it belongs to.
    pub(crate) fn started(&mut self, process: usize, session: &str, agent: Agent, now: i64) -> u64 {
        let Some(local) = self.local(process, session) else { return 0 };
        let finished = local.finish.is_some() || local.learned_finished;
        let known = local.agents.entry(agent).or_default();
        known.in_flight += 1;
        if known.in_flight == 1 {
            known.failed = false;
            known.cancelled = false;
            known.succeeded = false;
            known.after_end = false;
        }
        known.after_end |= finished;
        if known.state != AgentState::InProgress || !known.or.is_empty() {
            known.set(AgentState::InProgress, now);
            known.changes += 1;
        }
        local.run
    }

    pub(crate) fn observed(
        &mut self,
        process: usize,
        session: &str,
        agent: Agent,
        run: u64,
        observed: Observed,
        now: i64,
    ) {
        let Some(local) = self.local(process, session) else { return };
        if local.run != run {
            return;
        }
        if observed != Observed::default() {
            let sum = local.observed.entry(agent).or_default();
            *sum = sum.plus(observed);
        }
        local.changes += 1;
        let known = local.agents.entry(agent).or_default();
        known.changes += 1;
        if known.state == AgentState::InProgress {
            known.at = known.at.max(now);
        }
    }

    /// A call has ended, or was reported to have.
    fn tried(&mut self, process: usize, session: &str, agent: Agent, run: u64, tried: Tried) {
        let Some(local) = self.local(process, session) else { return };
        if local.run == run {
            local.tried.entry(agent).or_default().push(tried);
        }
    }

    pub(crate) fn ended(
        &mut self,
        process: usize,
        session: &str,
        agent: Agent,
        run: u64,
        (end, cost, tried): (End, Observed, Tried),
        now: i64,
    ) {
        self.observed(process, session, agent, run, Observed { calls: 1, ..cost }, now);
        self.tried(process, session, agent, run, tried);
        let Some(local) = self.local(process, session) else { return };
        if local.run != run {
            self.count("calls of an earlier run");
            return;
        }
        let known = local.agents.entry(agent).or_default();
        known.in_flight -= 1;
        known.failed |= end == End::Failure;
        known.cancelled |= end == End::Cancelled;
        known.succeeded |= end == End::Success;
        let (mut raced, mut at_work) = (false, false);
        if known.in_flight == 0 {
            raced = known.cancelled && known.succeeded && !known.failed;
            let failed = known.failed || known.cancelled && !known.succeeded;
            known.set(if failed { AgentState::Error } else { AgentState::Success }, now);
            at_work = known.after_end;
            known.ended_with_run = false;
        }
        let finished = local.finish.is_some() || local.learned_finished;
        self.count("calls");
        if raced {
            self.count("cancelled calls beside one that succeeded");
        }
        if at_work {
            self.count("calls that started after their workflow");
        }
        if end != End::Success {
            self.count("calls that failed");
        }
        if finished {
            self.count("calls that ended after their workflow");
        }
    }

    pub(crate) fn reported(
        &mut self,
        process: usize,
        session: &str,
        agent: Agent,
        state: AgentState,
        observed: Observed,
        now: i64,
    ) {
        let Some(local) = self.local(process, session) else { return };
        let run = local.run;
        let finished = local.finish.is_some() || local.learned_finished;
        let known = local.agents.entry(agent).or_default();
        let ends = matches!(state, AgentState::Success | AgentState::Error);
        if ends || !finished {
            known.at = known.at.max(now);
        }
        if known.in_flight > 0 && (!finished || known.after_end) {
            known.failed |= state == AgentState::Error;
            known.succeeded |= state == AgentState::Success;
        } else if ends || !finished {
            known.set(state, now);
            known.ended_with_run = false;
        }
        let observed = Observed { calls: u64::from(ends), ..observed };
        let changes = local.changes;
        let at = known.at;
        self.observed(process, session, agent, run, observed, now);
        if ends {
            let failed = state == AgentState::Error;
            let Observed { input, output, .. } = observed;
            self.tried(process, session, agent, run, Tried { failed, input, output });
        }
        let Some(local) = self.local(process, session) else { return };
        if finished && !ends {
            // It says nothing about the agent's state.
            local.agents.entry(agent).or_default().at = at;
        }
        if observed == Observed::default() {
            // The same state reported twice, within a millisecond or by a clock that was set
            // back, causes no write.
            local.changes = changes;
        }
        if state == AgentState::Pending {
            self.rows.entry(session.to_owned()).or_default().set_back.insert(agent);
        }
        self.count("explicit reports");
    }

    pub(crate) fn finished(
        &mut self,
        process: usize,
        session: &str,
        run: Option<u64>,
        status: OverallStatus,
        now: i64,
    ) {
        // The end or new run of another process may overtake this one, which is then never
        // written.
        let know = |process: &&Process| process.sessions.contains_key(session);
        let alone = self.processes.iter().filter(know).count() <= 1;
        let Some(local) = self.local(process, session) else { return };
        if run.is_some_and(|run| run != local.run) {
            self.count("ends of an earlier run");
            return;
        }
        if local.finish.is_some() || local.learned_finished {
            return;
        }
        local.finish = Some((status, local.known));
        if alone {
            local.changes += 1;
        }
        for agent in local.agents.values_mut() {
            if agent.state == AgentState::InProgress {
                agent.set(AgentState::Error, now);
                agent.changes += 1;
                agent.ended_with_run = true;
            }
        }
        self.count("workflows finished");
    }

    /// Whether a process considers a session finished, from its own events alone.
    pub(crate) fn is_finished(&self, process: usize, session: &str) -> bool {
        self.processes[process].sessions.get(session).is_some_and(|local| local.finish.is_some())
    }

    /// How many changes of each session a process knows, for [`unsaved`](Self::unsaved).
    pub(crate) fn mark(&self, process: usize) -> BTreeMap<String, u64> {
        let sessions = &self.processes[process].sessions;
        sessions.iter().map(|(id, local)| (id.clone(), local.changes)).collect()
    }

    /// The sessions that have changes before the mark that are not in the table.
    pub(crate) fn unsaved(&self, process: usize, mark: &BTreeMap<String, u64>) -> BTreeSet<String> {
        let applied = |id: &String| {
            let row = self.rows.get(id);
            row.and_then(|row| row.changes.get(&process)).copied().unwrap_or(0)
        };
        mark.iter().filter(|(id, known)| applied(id) < **known).map(|(id, _)| id.clone()).collect()
    }

    /// A process asks for a write.
    pub(crate) fn asked(&mut self, process: usize, session: &str, expected_absent: bool) -> Note {
        if self.processes[process].dead {
            self.fail(format!("{session}: written by a process that was killed"));
        }
        let sessions = &mut self.processes[process].sessions;
        let local = sessions.entry(session.to_owned()).or_default();
        local.asked = local.changes;
        Note {
            process,
            session: session.to_owned(),
            local: local.clone(),
            lot: std::sync::Arc::default(),
            expected_absent,
        }
    }

    /// The table refused a write because of the item it holds.
    pub(crate) fn refused(&mut self, note: &Note, found: Option<&Item>) {
        if let Some(row) = self.rows.get_mut(&note.session) {
            // The process goes on to believe what it has found.
            row.filled_up |= is_filled_up(found);
        }
        let row = self.rows.get(&note.session);
        let run = row.map_or(0, |row| row.run);
        let had = row.map(|row| row.agent_changes.clone()).unwrap_or_default();
        let found = found.map(|item| WorkflowStatus::from_item(&id(&note.session), item));
        let refused = found.map(|found| Refusal {
            run,
            created: found.created_at.as_millis(),
            updated: found.last_updated.as_millis(),
            finished: found.overall_status.is_finished(),
            agents: found
                .agents()
                .map(|(name, agent)| {
                    let at = agent.last_updated.map_or(i64::MIN, |at| at.as_millis());
                    (name.to_owned(), agent.state, at)
                })
                .collect(),
        });
        let mut lot = note.lot.lock().unwrap();
        lot.refused = refused;
        lot.had = had;
        if lot.answered {
            drop(lot);
            self.count("late write refused");
        }
    }

    /// A write was applied.
    pub(crate) fn applied(&mut self, note: &Note, before: Option<&Item>, after: &Item, now: u64) {
        let (process, session, local) = (note.process, &*note.session, &note.local);
        let was = before.map(|item| WorkflowStatus::from_item(&id(session), item));
        let is = WorkflowStatus::from_item(&id(session), after);
        let row = self.rows.entry(session.to_owned()).or_default();

        let run_applied = row.runs_applied.get(&process).copied().unwrap_or(0);
        let is_new_run = local.run > run_applied;
        if is_new_run {
            row.run += 1;
            row.runs_applied.insert(process, local.run);
            row.numbers.insert((process, local.run), row.run);
            row.before_run = row.carried.clone();
            row.before_run.insert(process, local.observed_before_run.clone());
            // What the log says is missing stays: calls of the previous run that no item had belong to this.
            row.attempts.begin_run(process, &local.tried_before_run);
        }
        row.attempts.carry(process, &local.tried);
        row.carried.insert(process, local.observed.clone());
        row.filled_up |= is_filled_up(before);
        let changes = row.changes.entry(process).or_default();
        *changes = (*changes).max(local.changes);

        let mut wrong = Vec::new();
        check_document(was.as_ref(), &is, after, is_new_run, &row.set_back, &mut wrong);
        if is.overall_status.is_finished() {
            // Only a call that started after the end has an agent in progress.
            let was = was.as_ref().filter(|was| !is_new_run && was.overall_status.is_finished());
            for (name, _) in is.agents().filter(|(_, agent)| agent.state == AgentState::InProgress)
            {
                let here = local.agents.iter().find(|(known, _)| **known == name);
                let is_called = here.is_some_and(|(_, a)| a.in_flight > 0 && a.after_end)
                    || was
                        .and_then(|was| was.agent(name))
                        .is_some_and(|agent| agent.state == AgentState::InProgress);
                if !is_called {
                    wrong.push(format!(
                        "{name} is in progress though the workflow is finished ({here:?}, was {:?})",
                        was.and_then(|was| was.agent(name))
                    ));
                }
            }
        }

        // Tokens and calls.
        let names: BTreeSet<Agent> =
            row.carried.values().flat_map(|observed| observed.keys().copied()).collect();
        for name in names {
            let expected =
                row.carried.iter().fold(Observed::default(), |sum, (process, observed)| {
                    let observed = observed.get(name).copied().unwrap_or_default();
                    let before =
                        row.before_run.get(process).and_then(|observed| observed.get(name));
                    sum.plus(observed.minus(before.copied().unwrap_or_default()))
                });
            let shown = is.agent(name).map(shown).unwrap_or_default();
            if shown != expected && !shown.lacks_at_most(row.may_lack, expected) {
                wrong.push(format!(
                    "{name} has {shown:?}, should have {expected:?}, and may lack {:?}",
                    row.may_lack
                ));
            }
            if let Some(agent) = is.agent(name).filter(|_| row.may_lack == Observed::default())
                && let Err(why) = row.attempts.check(name, agent, row.filled_up)
            {
                wrong.push(why);
            }
        }

        // The workflow's end.
        let number = match local.finish {
            Some((_, Known::Own(own))) => row.numbers.get(&(process, own)).copied(),
            Some((_, Known::Table(run))) => Some(run),
            Some((_, Known::Nothing)) | None => local.applied_run,
        };
        let finish = local.finish.filter(|_| number.is_none_or(|number| number == row.run));
        let was_finished =
            was.as_ref().filter(|was| !is_new_run && was.overall_status.is_finished());
        let expected = was_finished.map(|was| was.overall_status).or(finish.map(|f| f.0));
        let ended = is.overall_status.is_finished().then_some(is.overall_status);
        if ended != expected {
            wrong.push(format!("the status is {}, should be {expected:?}", is.overall_status));
        }

        // The agents' states.
        for (name, agent) in &local.agents {
            let dirty =
                agent.changes > row.agent_changes.get(&(process, name)).copied().unwrap_or(0);
            let was = was.as_ref().filter(|_| !is_new_run).and_then(|was| was.agent(name));
            let (old, old_at) = was.map_or((AgentState::Pending, i64::MIN), |was| {
                (was.state, was.last_updated.map_or(i64::MIN, |at| at.as_millis()))
            });
            let mut allowed = vec![];
            if ended.is_some() && agent.in_flight > 0 && agent.after_end {
                allowed.push(AgentState::InProgress);
            } else if ended.is_some() && (agent.in_flight > 0 || row.carried.len() > 1) {
                // With several processes, or calls still in flight, any of these states
                // is right after the end of the workflow.
                allowed.extend([AgentState::Pending, AgentState::Success, AgentState::Error]);
                // Another process may call it after the end; see above.
                allowed.extend((old == AgentState::InProgress).then_some(old));
            } else if ended.is_some() {
                allowed.extend([old, agent.state]);
                if allowed.contains(&AgentState::InProgress) {
                    allowed.push(AgentState::Error);
                }
            } else if agent.in_flight > 0 {
                allowed.push(AgentState::InProgress);
            } else if self.one_clock {
                if dirty && agent.at >= old_at {
                    allowed.push(agent.state);
                }
                if !dirty || agent.at <= old_at {
                    allowed.push(old);
                }
            } else {
                allowed.push(if dirty { agent.state } else { old });
            }
            let state = is.agent(name).map_or(AgentState::Pending, |agent| agent.state);
            if !allowed.contains(&state) && !agent.or.contains(state.as_str()) {
                wrong.push(format!(
                    "{name} is {state}, should be one of {allowed:?} ({agent:?}, was {old} at {old_at})"
                ));
            }
        }
        for (name, agent) in &local.agents {
            let changes = row.agent_changes.entry((process, name)).or_default();
            *changes = (*changes).max(agent.changes);
            row.agent_times.insert((process, name), agent.at);
        }
        let had = row.agent_changes.clone();

        let run = row.run;
        if let Some(local) = self.local(process, session) {
            local.applied_run = Some(run);
        }
        let mut lot = note.lot.lock().unwrap();
        lot.applied = Some(is.revision);
        lot.had = had;
        lot.written = is.agents().map(|(name, agent)| (name.to_owned(), agent.state)).collect();
        let late = lot.answered;
        drop(lot);
        if late {
            self.count("late write applied");
        }
        if is_new_run && was.is_some() {
            self.count("new run over an earlier one");
        }
        crowd::count(self, before, after);
        for wrong in wrong {
            self.fail(format!(
                "{session} at {now} ms, revision {}, by process {process}: {wrong}",
                is.revision
            ));
        }
        let mut item = after.clone();
        // These have the ids of processes, which are random.
        item.remove("writers");
        item.remove("revision");
        for name in AGENTS {
            // Attempts have them, too, and those of one millisecond are ordered by them.
            if let Some(Value::Map(mut agent)) = item.remove(name) {
                agent.remove("attempts");
                item.insert(name, agent);
            }
        }
        for byte in format!("{now} {process} {item:?}").bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The writer receives its answer: applied, refused, or an error, which may be ambiguous.
    pub(crate) fn answered(&mut self, note: &Note, answer: Answer, now: i64) {
        let (process, session) = (note.process, &*note.session);
        let mut lot = note.lot.lock().unwrap();
        lot.answered = true;
        let refused = lot.refused.clone();
        let had = lot.had.clone();
        let written = lot.written.clone();
        drop(lot);
        // No clock of this process shows more than this.
        let latest = now + self.processes[process].ahead;
        if let (Answer::Conflict { .. }, Some(found)) = (answer, &refused) {
            // The session's times go on from there.
            self.ahead(process, found.updated - now);
        }
        let one_clock = self.one_clock;
        let applied_run = self.rows.get(session).map(|row| {
            let own = row.runs_applied.get(&process).copied().unwrap_or(0);
            let number = |run| row.numbers.get(&(process, run)).copied();
            (own, number(own))
        });
        let changes = self.rows.get(session).map(|row| row.agent_changes.clone());
        let times = self.rows.get(session).map(|row| row.agent_times.clone());
        let carried = self.rows.get(session).and_then(|row| row.carried.get(&process)).cloned();
        let Some(local) = self.local(process, session) else { return };
        // Set if other writes superseded this process's changes and it has nothing to add.
        let mut overtaken = None;
        let mut counted = Vec::new();
        match answer {
            Answer::Applied => {
                local.lost.clear();
                for (name, agent) in &mut local.agents {
                    agent.see(&had, process, name);
                    let is_unchanged =
                        note.local.agents.get(name).is_some_and(|a| a.changes == agent.changes);
                    if is_unchanged && let Some(state) = written.get(*name) {
                        agent.state = *state;
                        agent.or.clear();
                    }
                }
                if local.run == note.local.run && local.known == note.local.known {
                    local.known = local.applied_run.map_or(local.known, Known::Table);
                    // If the workflow ended before the answer came, the end belongs to the
                    // same run.
                    if let Some((_, known)) = &mut local.finish
                        && *known == note.local.known
                    {
                        *known = local.known;
                    }
                }
            }
            Answer::Ambiguous => local.lost.push(std::sync::Arc::clone(&note.lot)),
            Answer::Failed => {}
            Answer::Conflict { found_revision } => {
                let lost = std::mem::take(&mut local.lost);
                let applied = lost.iter().filter_map(|lot| lot.lock().unwrap().applied).max();
                for lot in lost.iter().map(|lot| lot.lock().unwrap()) {
                    if lot.applied.is_some() {
                        local
                            .agents
                            .iter_mut()
                            .for_each(|(name, a)| a.see(&lot.had, process, name));
                    }
                }
                counted.push(match (lost.is_empty(), applied) {
                    (true, _) if note.expected_absent => "merge: the item already exists",
                    (true, _) => "merge: a write of another process",
                    (false, Some(revision)) if revision == found_revision => {
                        "merge: own write, its answer lost"
                    }
                    (false, Some(_)) => "merge: own write, its answer lost, then another process's",
                    (false, None) => "merge: a lost answer, not applied, then another process's",
                });
                let Some(Refusal { run, created, finished, agents, .. }) = refused else { return };
                let (own, own_number) = applied_run.unwrap_or((0, None));
                let was_unknown = local.known == Known::Nothing && local.applied_run.is_none();
                let busy = local.agents.values().any(|agent| agent.in_flight > 0);
                if local.run > own {
                    counted.push("merge: a new run meets an earlier one");
                } else {
                    let number = match local.known {
                        Known::Nothing => local.applied_run,
                        Known::Own(_) => own_number,
                        Known::Table(run) => Some(run),
                    };
                    if matches!(local.known, Known::Own(_)) && number == Some(run) {
                        counted.push("merge: a new run whose answer was lost");
                    }
                    let newer = number.is_some_and(|number| number != run);
                    if newer {
                        counted.push("merge: a new run by another process");
                        local.finish = None;
                        for (name, agent) in &mut local.agents {
                            agent.after_end = false;
                            let saved = changes
                                .as_ref()
                                .and_then(|changes| changes.get(&(process, *name)))
                                .copied()
                                .unwrap_or(0);
                            let saved_at = times
                                .as_ref()
                                .and_then(|times| times.get(&(process, *name)))
                                .copied()
                                .unwrap_or(i64::MIN);
                            // A call that is still in flight belongs to the new run.
                            if agent.in_flight > 0 {
                                continue;
                            }
                            // An error that came only from the end of the earlier run goes
                            // with that run, even if the end was observed or merged after the
                            // new run started.
                            if agent.ended_with_run {
                                *agent = LocalAgent { changes: saved, ..LocalAgent::default() };
                            } else {
                                // What the earlier run has saved stays with it.
                                let is_unsaved = agent.changes > saved
                                    && agent.at >= saved_at
                                    && !agent.is_taken;
                                // Clocks that disagree cannot tell to which of the runs the rest
                                // belongs.
                                let is_later = !one_clock || agent.at > created;
                                agent.changes = saved + u64::from(is_unsaved && is_later);
                                if !one_clock || agent.at == saved_at {
                                    agent.or.extend(
                                        [agent.state, AgentState::Pending].map(AgentState::as_str),
                                    );
                                }
                            }
                        }
                        local.learned_finished = finished;
                    }
                    // With no tokens to add, this process has nothing left to write.
                    if (newer || finished) && local.observed == carried.unwrap_or_default() {
                        overtaken = Some(local.changes);
                    }
                    local.known = Known::Table(run);
                    if let Some((_, known)) = &mut local.finish {
                        *known = local.known;
                    }
                    for (name, agent) in &mut local.agents {
                        let found = agents.iter().find(|(found, ..)| found == name);
                        let is_dirty =
                            agent.changes > had.get(&(process, *name)).copied().unwrap_or(0);
                        let is_concurrent = was_unknown || agent.is_new(&had, process, name);
                        agent.see(&had, process, name);
                        let Some((_, state, at)) = found.filter(|_| agent.in_flight == 0) else {
                            continue;
                        };
                        // If it is not known whose state this process has, it may have seen all
                        // of this one.
                        if !agent.or.is_empty() {
                            agent.or.insert(state.as_str());
                        }
                        if !one_clock && is_dirty {
                            // A clock that is certainly ahead decides nothing.
                            let is_ahead = *at > latest + 1_000 && agent.at > i64::MIN;
                            // A process at work shows so again, which is no change of its own.
                            let is_concurrent = is_concurrent || *at > agent.at;
                            if is_concurrent && (!is_ahead || agent.ended_with_run) {
                                agent.or.insert(state.as_str());
                            }
                            if is_concurrent && is_ahead {
                                counted.push("merge: an agent by a clock that is ahead");
                            }
                            agent.at = agent.at.max(*at);
                        } else if !one_clock || *at > agent.at {
                            agent.or.clear();
                            (agent.state, agent.at) = (*state, *at);
                            agent.is_taken = true;
                            // The end of the workflow in this process also ends agents that
                            // the item has in progress.
                            agent.ended_with_run =
                                *state == AgentState::InProgress && local.finish.is_some();
                        }
                    }
                    if finished && local.finish.is_none() {
                        local.learned_finished = true;
                        // What was reported to be in progress ends with its run.
                        for agent in local.agents.values_mut() {
                            if agent.in_flight == 0 && agent.state == AgentState::InProgress {
                                agent.state = AgentState::Error;
                                agent.ended_with_run = true;
                            }
                        }
                        if was_unknown {
                            for agent in local.agents.values_mut() {
                                agent.after_end = agent.in_flight > 0;
                            }
                        }
                        if busy {
                            counted.push("merge: finished elsewhere, calls in flight here");
                        } else {
                            counted.push("merge: finished elsewhere");
                        }
                    }
                }
            }
        }
        if let (Some(changes), Some(row)) = (overtaken, self.rows.get_mut(session)) {
            row.changes.insert(process, changes);
        }
        for what in counted {
            self.count(what);
        }
    }
}

/// The answer a writer receives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Applied,
    Ambiguous,
    Failed,
    Conflict { found_revision: u64 },
}

fn shown(agent: &AgentStatus) -> Observed {
    let usage = agent.token_usage().unwrap_or_default();
    Observed {
        calls: agent.calls,
        input: usage.input_tokens.unwrap_or(0),
        output: usage.output_tokens.unwrap_or(0),
        femto_usd: agent.cost().usd.unwrap_or_default().as_femto_usd(),
        unpriced: agent.cost().unpriced_calls,
    }
}

/// Whether another writer has filled the item up.
fn is_filled_up(item: Option<&Item>) -> bool {
    item.is_some_and(|item| item.get("notes").is_some())
}

/// Checks what holds for every item, whatever has happened.
fn check_document(
    was: Option<&WorkflowStatus>,
    is: &WorkflowStatus,
    item: &Item,
    is_new_run: bool,
    set_back: &BTreeSet<Agent>,
    wrong: &mut Vec<String>,
) {
    let total = item.get("totalTokenUsage").and_then(Value::as_map).cloned().unwrap_or_default();
    let count = |name: &str| total.get(name).and_then(Value::as_u64);
    let sum = is.agents().filter_map(|(_, agent)| agent.token_usage());
    let sum = sum.fold(TokenUsage::new(0, 0), |sum, usage| sum.saturating_add(&usage));
    let total = (count("inputTokens"), count("outputTokens"), count("totalTokens"));
    if total != (sum.input_tokens, sum.output_tokens, sum.total_tokens) {
        wrong.push(format!("the total is {total:?}, but the agents add up to {sum:?}"));
    }
    let costs = || is.agents().map(|(_, agent)| agent.cost());
    let usd = costs().filter_map(|cost| cost.usd).reduce(Cost::saturating_add);
    let unpriced = costs().map(|cost| cost.unpriced_calls).sum::<u64>();
    let total = (
        item.get("totalCostUsd").and_then(Value::as_cost),
        item.get("unpricedCalls").and_then(Value::as_u64).unwrap_or(0),
    );
    if total != (usd, unpriced) {
        wrong.push(format!("the total cost is {total:?}, of {usd:?} and {unpriced} unpriced"));
    }
    for (name, agent) in is.agents() {
        let running = agent.state == AgentState::InProgress;
        if running && is.overall_status == OverallStatus::Initializing {
            wrong.push(format!("{name} is in progress though the workflow is initializing"));
        }
        let ended = matches!(agent.state, AgentState::Success | AgentState::Error);
        let map = item.get(name).and_then(Value::as_map).cloned().unwrap_or_default();
        for (attribute, there) in [
            ("completedAt", ended),
            ("duration", ended),
            ("error", agent.state == AgentState::Error),
            ("errorType", agent.state == AgentState::Error),
            ("startedAt", ended || running),
        ] {
            if map.get(attribute).is_some() != there {
                wrong.push(format!("{name} is {}: {map:?} ({attribute})", agent.state));
            }
        }
        if agent.completed_at.is_some() && agent.completed_at < agent.started_at {
            wrong.push(format!("{name} ended before it started"));
        }
    }
    if is.expires_at.is_none_or(|at| at <= is.last_updated) {
        wrong.push(format!("it expires at {:?}, updated at {}", is.expires_at, is.last_updated));
    }
    let Some(was) = was else { return };
    // All processes have the same setting, and none lives for so long.
    let same_run = !is_new_run && is.created_at == was.created_at;
    if same_run && was.revision > 0 && is.expires_at != was.expires_at {
        wrong.push(format!("it expires at {:?} instead of {:?}", is.expires_at, was.expires_at));
    }
    if is.revision <= was.revision {
        wrong.push(format!("revision {} after {}", is.revision, was.revision));
    }
    if is.last_updated < was.last_updated {
        wrong.push(format!(
            "lastUpdated goes back from {} to {}",
            was.last_updated, is.last_updated
        ));
    }
    if is_new_run {
        return;
    }
    if is.created_at != was.created_at {
        wrong.push(format!("createdAt changes from {} to {}", was.created_at, is.created_at));
    }
    for (name, was) in was.agents() {
        let Some(is) = is.agent(name) else {
            // An item that is full has no agents that were not called.
            if item.get("notes").is_some() && was.state == AgentState::Pending && was.calls == 0 {
                continue;
            }
            wrong.push(format!("{name} has disappeared"));
            continue;
        };
        let (old, new) = (shown(was), shown(is));
        if new.calls < old.calls || new.input < old.input || new.output < old.output {
            wrong.push(format!("{name} shrinks from {old:?} to {new:?}"));
        }
        let started_later = was.started_at.is_some() && was.started_at < is.started_at;
        if started_later && !set_back.contains(name) {
            wrong.push(format!("{name} starts later than before"));
        }
    }
}

/// The session ID `name`.
fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}
