//! A run that is recorded while older writers, which keep no revision, write the same item: one replaces
//! the whole item, one sets the maps of agents, and one puts back a changed copy that it read earlier.
//! With its next write, a process restores what it knows: its calls, tokens and costs, its attributes, the
//! creation time and the expiry. What only the others have written stays. An agent that both have
//! written has the later state. The workflow ends as its owner says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use fastrand::Rng;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_agent_status::status::{
    AgentState, AgentStatus, Change, Item, ItemVersion, OverallStatus, Precondition, Timestamp,
    Value, WorkflowStatus,
};
use tower_agent_status::store::{
    MemoryStore, StatusReader as _, StatusStore as _, StoreError, WriteOutcome,
};
use tower_agent_status::{Prices, SessionId, StatusLayer, StatusTracker, Workflow};

use crate::Counts;
use crate::attempts::{self, MODELS, PRICES};
use crate::faults::{Director, Fate, Fault, FaultyStore, Reached};
use crate::model::Observed;

const SESSION: &str = "session-shared";
const AGENTS: [&str; 3] = ["pdfAdapter", "tradeExtraction", "tradeMatching"];
/// The agent that only the older writers call.
const THEIRS: &str = "exceptionManagement";

const PUT: &str = "other writers: an item put in its place";
const SET: &str = "other writers: an agent's map set";
const COPY: &str = "other writers: a copy put back";
const LATER: &str = "other writers: a later state of an agent of the process";
/// What must come up.
const EXPECTED: [&str; 9] = [
    PUT,
    SET,
    COPY,
    "other writers: a copy from before a write of the process",
    "other writers: while a write was in flight",
    "other writers: before the process had written",
    LATER,
    "other writers: calls that are written again",
    "other writers: a process that goes on where another has ended",
];

/// Calls of an agent, their tokens, and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Used {
    calls: u64,
    tokens: u64,
    femto_usd: u128,
    unpriced: u64,
}

impl Used {
    fn of(agent: Option<&AgentStatus>) -> Self {
        let Some(agent) = agent else { return Self::default() };
        Self {
            calls: agent.calls,
            tokens: agent.token_usage().and_then(|usage| usage.input_tokens).unwrap_or(0),
            femto_usd: agent.cost().usd.unwrap_or_default().as_femto_usd(),
            unpriced: agent.cost().unpriced_calls,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            tokens: self.tokens + other.tokens,
            femto_usd: self.femto_usd + other.femto_usd,
            unpriced: self.unpriced + other.unpriced,
        }
    }
}

/// What the process has seen of an agent.
#[derive(Clone, Debug, Default)]
struct Seen {
    used: Used,
    in_flight: u32,
    /// A call of those that overlap has failed.
    has_failed: bool,
    /// Its state, and since when.
    state: Option<(AgentState, Timestamp)>,
}

#[derive(Default)]
struct Model {
    seen: BTreeMap<&'static str, Seen>,
    /// What the item had when the process first wrote it.
    before: Option<BTreeMap<&'static str, Used>>,
    created_at: Option<Timestamp>,
    /// The process knows of a write of its own that was applied.
    is_acknowledged: bool,
    /// How many writes are in flight, and how many were applied.
    in_flight: usize,
    applied: usize,
    is_finished: bool,
    counts: Counts,
    wrong: Vec<String>,
}

impl Model {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// The process has read this, and knows of no write of its own. It knows what was before as well.
    fn knows(&mut self, item: BTreeMap<&'static str, Used>) {
        let known = self.before.get_or_insert_with(|| item.clone());
        for (name, used) in item {
            let known = known.entry(name).or_default();
            if used.calls > known.calls {
                *known = used;
            }
        }
    }

    fn applied(&mut self, asked: &Asked, before: Option<&Item>, after: &Item) {
        let read = |item: &Item| WorkflowStatus::from_item(&id(), item);
        let had = before.map(read);
        let has = read(after);
        let of_run = had.as_ref();
        let first = AGENTS.map(|name| (name, Used::of(of_run.and_then(|had| had.agent(name)))));
        if self.applied == 0 {
            self.knows(first.into());
        }
        if !self.is_acknowledged {
            self.created_at = None;
        }
        let first = self.before.clone().unwrap_or_default();
        for (name, seen) in &asked.seen {
            let agent = has.agent(name);
            let used = Used::of(agent);
            let first = first[name];
            let expected = first.plus(seen.used);
            let theirs = had.as_ref().and_then(|had| had.agent(name));
            // Tokens of an agent that only the others had called are of its latest state.
            let is_theirs = first.calls == 0
                && used.tokens >= seen.used.tokens
                && used == Used { tokens: used.tokens, ..expected };
            if used != expected && !is_theirs {
                self.wrong.push(format!("{name} has {used:?}, not {expected:?}"));
            }
            let kept = agent.map_or(0, |agent| agent.attempts().count() as u64);
            if seen.used.calls > 1 && kept < seen.used.calls.min(8) {
                self.wrong.push(format!("{name} has {kept} attempts of {:?}", seen.used));
            }
            if self.applied > 0 && Used::of(theirs).calls < first.calls {
                self.count("other writers: calls that are written again");
            }
            self.check_state(name, seen, agent, asked.is_finished);
        }
        if asked.is_finished != has.overall_status.is_finished() {
            self.wrong.push(format!("the workflow is {}", has.overall_status));
        }
        let created_at = *self.created_at.get_or_insert(has.created_at);
        if has.created_at != created_at {
            self.wrong.push(format!("it was created at {}, not {created_at}", has.created_at));
        }
        if has.expires_at.is_none() || has.attributes.get("documentId") != Some(&"d-1".into()) {
            self.wrong.push(format!("the item lacks something: {after:?}"));
        }
        let total = after.get("totalTokenUsage").and_then(Value::as_map);
        let total = total.and_then(|total| total.get("inputTokens")?.as_u64());
        if total != has.total_token_usage().input_tokens {
            self.wrong.push(format!("the sum is {total:?}"));
        }
        let theirs = before.into_iter().flat_map(Item::iter);
        for (name, value) in theirs.filter(|(name, _)| name.starts_with("other")) {
            if after.get(name) != Some(value) {
                self.wrong.push(format!("{name} is {:?}, and was {value:?}", after.get(name)));
            }
        }
        let agent = had.as_ref().and_then(|had| had.agent(THEIRS));
        if agent.is_some_and(|agent| {
            has.agent(THEIRS)
                .is_none_or(|has| Used::of(Some(has)).tokens < Used::of(Some(agent)).tokens)
        }) {
            self.wrong.push(format!("{THEIRS} was {agent:?}, and is {:?}", has.agent(THEIRS)));
        }
        self.applied += 1;
    }

    fn check_state(
        &mut self,
        name: &str,
        seen: &Seen,
        has: Option<&AgentStatus>,
        is_finished: bool,
    ) {
        let Some((mut state, _)) = seen.state else { return };
        if is_finished && state == AgentState::InProgress {
            state = AgentState::Error;
        }
        if has.map(|agent| agent.state) != Some(state) {
            self.wrong.push(format!("{name} is to be {state}, and is {has:?}"));
        }
    }
}

/// What the process had seen when it asked for a write.
struct Asked {
    seen: BTreeMap<&'static str, Seen>,
    is_finished: bool,
}

type Shared = Arc<Mutex<Model>>;

fn lock(model: &Shared) -> MutexGuard<'_, Model> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}

fn id() -> SessionId {
    SessionId::new(SESSION).unwrap()
}

/// Watches the writes of the process. Every third meets a fault.
struct Watch {
    model: Shared,
    rng: Mutex<Rng>,
}

impl Director for Watch {
    type Note = Asked;

    fn asked(&self, _: &Change, _: &Precondition) -> (Asked, Fate) {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let fate = Fate::of_three(&mut rng, &Fault::PASSING);
        let mut model = lock(&self.model);
        model.in_flight += 1;
        (Asked { seen: model.seen.clone(), is_finished: model.is_finished }, fate)
    }

    fn reached(&self, asked: &Asked, before: Option<&Item>, reached: &Reached) {
        if let Reached::Applied(after) = reached {
            lock(&self.model).applied(asked, before, after);
        }
    }

    fn answered(&self, _: &Asked, answer: &Result<WriteOutcome, StoreError>) {
        let mut model = lock(&self.model);
        model.in_flight -= 1;
        model.is_acknowledged |= matches!(answer, Ok(WriteOutcome::Applied));
        let Ok(WriteOutcome::Conflict(Some(found))) = answer else { return };
        let found = WorkflowStatus::from_item(&id(), found);
        if !model.is_acknowledged && model.applied == 0 {
            model.knows(AGENTS.map(|name| (name, Used::of(found.agent(name)))).into());
        }
        // What it has learned of their states it knows, too, whatever they write next.
        let mut later = 0;
        for (name, seen) in &mut model.seen {
            let Some(theirs) = found.agent(name) else { continue };
            let is_later = seen.state.is_some_and(|(_, at)| theirs.last_updated > Some(at));
            if let Some(at) = theirs.last_updated.filter(|_| is_later && seen.in_flight == 0) {
                seen.state = Some((theirs.state, at));
                later += 1;
            }
        }
        *model.counts.entry(LATER).or_default() += later;
    }
}

struct Run {
    rng: Rng,
    table: MemoryStore,
    begin: Instant,
    model: Shared,
    tracker: StatusTracker,
    recorder: JoinHandle<()>,
    workflow: Workflow,
    calls: Vec<JoinHandle<()>>,
    /// What the third of the older writers has read, and how many writes were applied then.
    copy: Option<(Item, usize)>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let (table, begin, model) = (MemoryStore::new(), Instant::now(), Shared::default());
        let (tracker, recorder) = start(&mut rng, &table, begin, &model);
        let workflow = open(&tracker);
        let (calls, copy) = (Vec::new(), None);
        Self { rng, table, begin, model, tracker, recorder, workflow, calls, copy }
    }

    fn now(&self) -> Timestamp {
        at(self.begin)
    }

    /// The process calls an agent, for a while.
    fn call(&mut self) {
        let name = AGENTS[self.rng.usize(..AGENTS.len())];
        let (tokens, takes) = (self.rng.u64(1..1_000), self.rng.u64(..3_000));
        let is_error = self.rng.u8(..4) == 0;
        let llm = MODELS[self.rng.usize(..MODELS.len())];
        let mut priced = Observed::default();
        attempts::price(&mut priced, llm, Some((tokens, 0)));
        let cost =
            Used { calls: 1, tokens, femto_usd: priced.femto_usd, unpriced: priced.unpriced };
        let (model, begin) = (Arc::clone(&self.model), self.begin);
        let agent = service_fn(move |_: Request<()>| async move {
            sleep(Duration::from_millis(takes)).await;
            let error = if is_error { r#""error":{"message":"busy"},"# } else { "" };
            let usage = format!(r#"{{"prompt_tokens":{tokens},"completion_tokens":0}}"#);
            let named = llm.map_or_else(String::new, |llm| format!(r#""model":"{llm}","#));
            let body = format!(r#"{{{error}{named}"usage":{usage}}}"#);
            let response = Response::builder().header("content-type", "application/json");
            let response = response.status(if is_error { 500 } else { 200 });
            Ok::<_, std::convert::Infallible>(response.body(Full::new(Bytes::from(body))).unwrap())
        });
        let service = StatusLayer::new(&self.tracker, name).layer(agent);
        let call = self.workflow.scope(async move {
            let request = Request::post("http://agent.example/v1/chat/completions").body(());
            let called = service.oneshot(request.unwrap());
            {
                let mut model = lock(&model);
                let seen = model.seen.entry(name).or_default();
                seen.in_flight += 1;
                seen.has_failed &= seen.in_flight > 1;
                if seen.state.is_none_or(|(state, _)| state != AgentState::InProgress) {
                    seen.state = Some((AgentState::InProgress, at(begin)));
                }
            }
            drop(called.await.unwrap().into_body().collect().await);
            let mut model = lock(&model);
            let seen = model.seen.entry(name).or_default();
            seen.in_flight -= 1;
            seen.used = seen.used.plus(cost);
            seen.has_failed |= is_error;
            if seen.in_flight == 0 {
                let state = if seen.has_failed { AgentState::Error } else { AgentState::Success };
                seen.state = Some((state, at(begin)));
            }
        });
        self.calls.push(tokio::spawn(call));
    }

    fn is_called(&self, name: &str) -> bool {
        lock(&self.model).seen.get(name).is_some_and(|seen| seen.in_flight > 0)
    }

    /// The time as an older writer formats it.
    fn their_time(&mut self) -> String {
        let time = self.now().to_string();
        let time = time.trim_end_matches('Z');
        match self.rng.u8(..3) {
            0 => format!("{time}000+00:00"),
            1 => format!("{time}+00:00Z"),
            _ => format!("{time}Z"),
        }
    }

    /// The map of an agent as an older writer leaves it.
    fn their_agent(&mut self, name: &str) -> Item {
        let mut agent = Item::new();
        let words = ["loading", "completed", "success", "error", "in-progress"];
        let word = words[self.rng.usize(..words.len())];
        agent.insert("status", word);
        agent.insert("activity", format!("It is {word}"));
        agent.insert("subSteps", Value::List(Vec::new()));
        let time = self.their_time();
        let has_ended = !matches!(word, "loading" | "in-progress");
        agent.insert(if has_ended { "completedAt" } else { "startedAt" }, time);
        // It counts what the process has counted, too.
        let is_saved = {
            let model = lock(&self.model);
            model.is_acknowledged && model.seen.get(name).is_some_and(|s| s.used.calls > 0)
        };
        if has_ended && (name == THEIRS || is_saved) {
            let mut usage = Item::new();
            let tokens = self.begin.elapsed().as_millis().try_into().unwrap();
            usage.insert("inputTokens", Value::Integer(tokens));
            agent.insert("tokenUsage", usage);
        }
        agent
    }

    fn other_attribute(&mut self, item: &mut Item) {
        let name = ["otherReviewer", "otherQueue"][self.rng.usize(..2)];
        item.insert(name, self.rng.u64(..1_000_000));
    }

    async fn put(&mut self) {
        let mut item = Item::new();
        item.insert("overallStatus", ["initializing", "pending"][self.rng.usize(..2)]);
        item.insert("lastUpdated", self.their_time());
        match self.rng.u8(..3) {
            0 => item.insert("createdAt", self.their_time()),
            1 => item.insert("created_at", self.their_time()),
            _ => {}
        }
        for name in AGENTS.into_iter().chain([THEIRS]) {
            let mut agent = Item::new();
            agent.insert("status", "pending");
            agent.insert("activity", "Waiting");
            item.insert(name, agent);
        }
        self.other_attribute(&mut item);
        self.replace(item).await;
        self.strikes(PUT);
    }

    async fn set(&mut self) {
        let Some(found) = self.table.item(SESSION) else { return };
        let name = *[&AGENTS[..], &[THEIRS]].concat().get(self.rng.usize(..4)).unwrap();
        // Nobody reports the end of a call that goes on.
        if self.is_called(name) {
            return;
        }
        let mut set = Item::new();
        set.insert(name, self.their_agent(name));
        set.insert("lastUpdated", self.their_time());
        if self.rng.bool() {
            set.insert("overallStatus", "processing");
        }
        self.other_attribute(&mut set);
        let version = Precondition::Version(ItemVersion::of(&found));
        self.table.write(&Change::new(id(), set, vec![]), version).await.unwrap();
        self.strikes(SET);
    }

    async fn put_copy(&mut self) {
        let Some((mut item, applied)) = self.copy.take() else { return };
        item.remove("sessionId");
        item.insert("lastUpdated", self.their_time());
        self.other_attribute(&mut item);
        let is_old = lock(&self.model).applied > applied;
        self.replace(item).await;
        self.strikes(COPY);
        if is_old {
            lock(&self.model).count("other writers: a copy from before a write of the process");
        }
    }

    async fn replace(&self, item: Item) {
        self.table.delete(&id()).await.unwrap();
        self.table.write(&Change::new(id(), item, vec![]), Precondition::Absent).await.unwrap();
    }

    fn strikes(&self, kind: &'static str) {
        let mut model = lock(&self.model);
        model.count(kind);
        if model.in_flight > 0 {
            model.count("other writers: while a write was in flight");
        }
        if model.applied == 0 {
            model.count("other writers: before the process had written");
        }
    }

    async fn step(&mut self) {
        // No two events are at the same time, as they are not elsewhere.
        sleep(Duration::from_millis(3)).await;
        match self.rng.u8(..16) {
            0..5 => self.call(),
            5 => self.put().await,
            6 | 7 => self.set().await,
            8 => {
                // What this process has never seen, it cannot know.
                let (applied, is_known) = {
                    let model = lock(&self.model);
                    (model.applied, model.is_acknowledged)
                };
                let item = self.table.item(SESSION).filter(|_| is_known);
                self.copy = item.map(|item| (item, applied));
            }
            9 => self.put_copy().await,
            10 => drop(self.tracker.flush().await),
            _ => {
                let pause = [10, 1_000, 40_000][self.rng.usize(..3)];
                sleep(Duration::from_millis(self.rng.u64(..pause))).await;
            }
        }
    }

    /// The process saves everything and ends. Another goes on with the run.
    async fn hand_over(&mut self) -> Result<(), String> {
        self.settle().await?;
        self.save().await?;
        let model = std::mem::take(&mut *lock(&self.model));
        if let Some(wrong) = model.wrong.first() {
            return Err(wrong.clone());
        }
        let next = Shared::default();
        lock(&next).counts = model.counts;
        lock(&next).count("other writers: a process that goes on where another has ended");
        self.model = next;
        let (tracker, recorder) = start(&mut self.rng, &self.table, self.begin, &self.model);
        let workflow = open(&tracker);
        std::mem::replace(&mut self.workflow, workflow).detach();
        let tracker = std::mem::replace(&mut self.tracker, tracker);
        let recorder = std::mem::replace(&mut self.recorder, recorder);
        // A copy from the time of another process is not one of this process's run.
        self.copy = None;
        end(tracker, recorder).await
    }

    async fn settle(&mut self) -> Result<(), String> {
        for call in std::mem::take(&mut self.calls) {
            call.await.map_err(|error| error.to_string())?;
        }
        // Writes that arrive late.
        sleep(Duration::from_secs(10)).await;
        Ok(())
    }

    async fn save(&self) -> Result<(), String> {
        for _ in 0..30 {
            match timeout(Duration::from_secs(61), self.tracker.flush()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(_)) => {}
                Err(_) => return Err("a flush does not return within a minute".to_owned()),
            }
        }
        Err("the process is stuck".to_owned())
    }

    /// Ends the workflow, maybe with calls in flight, and saves that.
    async fn end(mut self) -> Result<Counts, String> {
        if self.rng.bool() {
            self.settle().await?;
        }
        let calls = std::mem::take(&mut self.calls);
        for call in &calls {
            call.abort();
        }
        let is_settled = calls.is_empty();
        for call in calls {
            drop(call.await);
        }
        if !is_settled {
            // Its calls have ended as cancelled, and the model knows nothing of that.
            lock(&self.model).seen.clear();
        }
        lock(&self.model).is_finished = true;
        self.workflow.complete();
        self.save().await?;
        let status = self.table.status(SESSION).ok_or("there is no item")?;
        if status.overall_status != OverallStatus::Completed || status.revision == 0 {
            return Err(format!("in the end the workflow is {}", status.overall_status));
        }
        drop(self.workflow);
        end(self.tracker, self.recorder).await?;
        let mut model = lock(&self.model);
        match model.wrong.first() {
            Some(wrong) => Err(wrong.clone()),
            None => Ok(std::mem::take(&mut model.counts)),
        }
    }
}

fn at(begin: Instant) -> Timestamp {
    (SystemTime::UNIX_EPOCH + Duration::from_secs(1_766_570_400) + begin.elapsed()).into()
}

fn start(
    rng: &mut Rng,
    table: &MemoryStore,
    begin: Instant,
    model: &Shared,
) -> (StatusTracker, JoinHandle<()>) {
    let watch = Watch { model: Arc::clone(model), rng: Mutex::new(rng.fork()) };
    let store = FaultyStore::new(table.clone(), Arc::new(watch));
    let clock =
        move || SystemTime::UNIX_EPOCH + Duration::from_secs(1_766_570_400) + begin.elapsed();
    let builder = StatusTracker::builder(store).clock(clock);
    let builder = builder.prices(Prices::from_json(PRICES).unwrap());
    let (tracker, recorder) = builder.build().unwrap();
    (tracker, tokio::spawn(recorder))
}

fn open(tracker: &StatusTracker) -> Workflow {
    tracker.workflow(SESSION).attribute("documentId", "d-1").start().unwrap()
}

async fn end(tracker: StatusTracker, recorder: JoinHandle<()>) -> Result<(), String> {
    tracker.shutdown(Duration::from_secs(60)).await.map_err(|error| error.to_string())?;
    recorder.await.map_err(|error| error.to_string())
}

#[test]
fn what_a_process_knows_comes_back_whatever_older_writers_write() {
    let counts = crate::run_seeds(&EXPECTED, |seed| async move {
        let mut run = Run::new(seed);
        for _ in 0..run.rng.usize(1..60) {
            run.step().await;
            if run.rng.u8(..40) == 0 {
                run.hand_over().await?;
            }
        }
        run.end().await
    });
    crate::seeds::assert_common(&counts, &[PUT, SET, COPY]);
}
