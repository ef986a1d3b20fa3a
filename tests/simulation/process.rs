//! Processes that start, call agents, and are killed or shut down.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use fastrand::Rng;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, Service, service_fn};
use tower_agent_status::pricing::Prices;
use tower_agent_status::status::{AgentReport, AgentState, OverallStatus, TokenUsage};
use tower_agent_status::{Agent, SessionId, StatusLayer, StatusTracker, Workflow, WorkflowError};

use crate::attempts::{self, MODELS, PRICES, Tried};
use crate::faults::{FaultyStore, Gauge};
use crate::log::PROCESS;
use crate::model::{self, End, Observed};
use crate::table::Table;
use crate::{Client, World};

/// What a clock that is right shows at the start of a run, in milliseconds.
pub(crate) const EPOCH: i64 = 1_766_570_400_000;

pub(crate) const AGENTS: [&str; 3] = ["pdfAdapter", "tradeExtraction", "tradeMatching"];

/// Runs all processes to their end, ends the faults, and waits until everything is saved.
pub(crate) async fn simulate(world: Arc<World>) {
    let mut rng = Rng::with_seed(world.seed.wrapping_mul(31) + 7);
    let mut slots = JoinSet::new();
    for _ in 0..rng.usize(1..4) {
        let (world, rng) = (Arc::clone(&world), rng.fork());
        slots.spawn(async move { Some(lives(world, rng).await) });
    }
    let engine = match &world.table {
        Table::Engine(engine) => {
            Some(tokio::spawn(engine.clone().live(world.sessions.clone(), rng.fork())))
        }
        Table::Memory(_) => None,
    };
    world.plan.crowd.join(&world, &mut rng, &mut slots).await;
    let mut survivors = Vec::new();
    while let Some(survivor) = slots.join_next().await {
        match survivor {
            Ok(survivor) => survivors.extend(survivor),
            Err(error) => world.model().fail(format!("a process failed: {error}")),
        }
    }
    survivors.sort_by_key(|survivor| survivor.number);
    if let Some(engine) = engine {
        let _ = engine.await;
    }
    world.heal();
    for survivor in &survivors {
        let mut tries = 0;
        while !survivor.flush().await {
            tries += 1;
            if tries > 20 {
                world.model().fail("nothing fails, but not everything is saved".to_owned());
                break;
            }
        }
    }
    // The next sweep evicts the sessions that nothing refers to.
    sleep(Duration::from_secs(30)).await;
    let one_process = survivors.len() == 1 && !world.plan.crowd.is_some();
    for survivor in survivors {
        survivor.settled(one_process).await;
        survivor.shutdown(Duration::from_secs(60), true).await;
        survivor.check_gauge();
    }
}

/// Runs one process after another on the same sessions; the last one survives.
async fn lives(world: Arc<World>, mut rng: Rng) -> Process {
    for _ in 0..rng.usize(..3) {
        sleep(Duration::from_millis(rng.u64(..5_000))).await;
        let process = Process::start(&world, &mut rng);
        let mut actors = process.actors(&mut rng);
        match rng.u8(..10) {
            0..5 => {
                sleep(Duration::from_millis(rng.u64(..40_000))).await;
                process.kill(actors).await;
            }
            5..7 => {
                // While its actors are still at work.
                sleep(Duration::from_millis(rng.u64(..40_000))).await;
                process.shutdown(Duration::from_millis(rng.u64(..20_000)), false).await;
                actors.shutdown().await;
            }
            7..9 => {
                while actors.join_next().await.is_some() {}
                process.shutdown(Duration::from_millis(rng.u64(..20_000)), false).await;
            }
            _ => {
                while actors.join_next().await.is_some() {}
                process.let_go().await;
            }
        }
    }
    let process = Process::start(&world, &mut rng);
    let mut actors = process.actors(&mut rng);
    while let Some(done) = actors.join_next().await {
        if let Err(error) = done {
            world.model().fail(format!("an actor failed: {error}"));
        }
    }
    process
}

pub(crate) struct Process {
    world: Arc<World>,
    number: usize,
    tracker: StatusTracker,
    recorder: JoinHandle<()>,
    gauge: Gauge,
    /// How far the clock is off, in milliseconds.
    skew: Arc<AtomicI64>,
}

impl Process {
    pub(crate) fn start(world: &Arc<World>, rng: &mut Rng) -> Self {
        let number = world.model().add_process();
        world.model().count("processes");
        let client = Client::new(world, number);
        let store = FaultyStore::new(world.table.clone(), Arc::new(client));
        let gauge = store.gauge();
        let mut skew = if world.plan.one_clock { 0 } else { rng.i64(-20_000..20_000) };
        if world.plan.crowd.is_some() && skew != 0 && rng.u8(..8) == 0 {
            skew += [-10_800_000, 10_800_000][rng.usize(..2)];
            world.model().count("crowd: a clock that is hours off");
        }
        world.model().ahead(number, skew);
        let skew = Arc::new(AtomicI64::new(skew));
        let clock = {
            let (skew, begin) = (Arc::clone(&skew), world.begin);
            move || {
                let millis = i64::try_from(begin.elapsed().as_millis()).unwrap();
                let millis = EPOCH + millis + skew.load(Ordering::SeqCst);
                SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap())
            }
        };
        // The last agent is not declared: it is added by its first call.
        let (tracker, recorder) = StatusTracker::builder(store)
            .agent(Agent::new(AGENTS[0]))
            .agent(Agent::new(AGENTS[1]).in_progress("Extracting"))
            .batch_delay(Duration::from_millis([0, 5, 50][rng.usize(..3)]))
            .clock(clock)
            .prices(Prices::from_json(PRICES).unwrap())
            .build()
            .unwrap();
        let recorder = tokio::spawn(PROCESS.scope(number, recorder));
        Self { world: Arc::clone(world), number, tracker, recorder, gauge, skew }
    }

    fn actors(&self, rng: &mut Rng) -> JoinSet<()> {
        let mut actors = JoinSet::new();
        for _ in 0..rng.usize(1..4) {
            let session = &self.world.sessions[rng.usize(..self.world.sessions.len())];
            let actor = self.actor(session);
            let rng = rng.fork();
            actors.spawn(actor.act(rng));
        }
        actors
    }

    pub(crate) fn actor(&self, session: &str) -> Actor {
        Actor {
            world: Arc::clone(&self.world),
            process: self.number,
            tracker: self.tracker.clone(),
            skew: Arc::clone(&self.skew),
            session: session.to_owned(),
        }
    }

    /// Ends the process at once; everything in its memory is lost.
    pub(crate) async fn kill(self, mut actors: JoinSet<()>) {
        self.world.model().kill(self.number);
        self.world.model().count("processes killed");
        if self.gauge.in_flight() > 0 {
            self.world.model().count("processes killed in the middle of a write");
        }
        self.recorder.abort();
        actors.abort_all();
        while actors.join_next().await.is_some() {}
        self.check_gauge();
        // A killed process reports nothing, so its result is ignored.
        let _ = self.recorder.await;
    }

    pub(crate) async fn shutdown(&self, deadline: Duration, all: bool) {
        let mark = self.world.model().mark(self.number);
        let result = self.tracker.shutdown(deadline).await;
        self.world.model().count("shutdowns");
        self.judge("shutdown", &mark, result, all);
        self.world.model().kill(self.number);
        self.check_gauge();
    }

    async fn flush(&self) -> bool {
        flush(&self.world, self.number, &self.tracker).await
    }

    fn judge(
        &self,
        what: &str,
        mark: &BTreeMap<String, u64>,
        result: Result<(), tower_agent_status::UnsavedError>,
        all: bool,
    ) {
        judge(&self.world, self.number, what, mark, result, all);
    }

    /// Drops all handles: the recorder makes one last attempt and ends.
    pub(crate) async fn let_go(self) {
        let Self { world, number, tracker, recorder, gauge, .. } = self;
        drop(tracker);
        if timeout(Duration::from_secs(600), recorder).await.is_err() {
            world.model().fail("the recorder outlives its trackers".to_owned());
        }
        world.model().count("trackers dropped");
        let mark = world.model().mark(number);
        // The engine refuses items that another writer has filled up.
        if world.plan.faults == 0
            && world.plan.bad_times.is_empty()
            && matches!(world.table, Table::Memory(_))
            && !world.model().unsaved(number, &mark).is_empty()
        {
            world.model().fail("the last attempt did not save everything".to_owned());
        }
        world.model().kill(number);
        check_gauge(&world, &gauge);
    }

    /// Checks that everything is saved and that finished sessions have left memory.
    async fn settled(&self, one_process: bool) {
        let mark = self.world.model().mark(self.number);
        let unsaved = self.world.model().unsaved(self.number, &mark);
        if !unsaved.is_empty() {
            self.world.model().fail(format!("flushed, but {unsaved:?} is not saved"));
        }
        for session in &self.world.sessions {
            let item = self.world.table.status(session).await;
            let finished = item.is_some_and(|item| item.overall_status.is_finished());
            if one_process && !finished && self.world.model().is_finished(self.number, session) {
                self.world.model().fail(format!("{session} was finished, but is not any more"));
            }
            let status = self.tracker.status(session);
            if status.is_some_and(|status| status.overall_status.is_finished()) {
                self.world.model().fail(format!("{session} is finished, but still in memory"));
            }
        }
    }

    fn check_gauge(&self) {
        check_gauge(&self.world, &self.gauge);
    }
}

fn check_gauge(world: &World, gauge: &Gauge) {
    if gauge.most_of_a_session() > 1 {
        world.model().fail("two writes of one session in flight".to_owned());
    }
}

async fn flush(world: &World, process: usize, tracker: &StatusTracker) -> bool {
    let mark = world.model().mark(process);
    let begin = Instant::now();
    let result = match timeout(Duration::from_secs(61), tracker.flush()).await {
        Ok(result) => result,
        Err(_) => {
            world.model().fail("a flush does not return within a minute".to_owned());
            return true;
        }
    };
    if begin.elapsed() > Duration::from_secs(10) {
        world.model().count("flushes that took over ten seconds");
    }
    let saved = result.is_ok();
    world.model().count(if saved { "flushes" } else { "flushes that failed" });
    judge(world, process, "flush", &mark, result, false);
    saved
}

fn judge(
    world: &World,
    process: usize,
    what: &str,
    mark: &BTreeMap<String, u64>,
    result: Result<(), tower_agent_status::UnsavedError>,
    all: bool,
) {
    let mut model = world.model();
    if model.is_dead(process) {
        return;
    }
    let mut unsaved = model.unsaved(process, mark);
    let named = result.err().map(|error| error.unsaved).unwrap_or_default();
    for named in &named {
        unsaved.remove(named.session_id.as_str());
    }
    if !unsaved.is_empty() {
        model.fail(format!("{what} of process {process} does not list {unsaved:?} as unsaved"));
    }
    if all && !named.is_empty() {
        model.fail(format!("{what} of process {process} failed though its store does not"));
    }
}

/// One sequence of actions in a process.
pub(crate) struct Actor {
    world: Arc<World>,
    process: usize,
    tracker: StatusTracker,
    skew: Arc<AtomicI64>,
    session: String,
}

impl Actor {
    async fn act(self, mut rng: Rng) {
        for _ in 0..rng.usize(1..6) {
            let pause = [0, 10, 1_000, 20_000][rng.usize(..4)];
            sleep(Duration::from_millis(rng.u64(..=pause))).await;
            if !self.world.plan.one_clock && rng.u8(..4) == 0 {
                let step = rng.i64(-10_000..10_000);
                let skew = self.skew.fetch_add(step, Ordering::SeqCst) + step;
                self.world.model().ahead(self.process, skew);
            }
            match rng.u8(..20) {
                0..9 => self.workflow(&mut rng).await,
                9..13 => self.calls(&mut rng).await,
                13..16 => self.report(&mut rng),
                16 => self.finalize(&mut rng),
                17 => drop(flush(&self.world, self.process, &self.tracker).await),
                18 => sleep(Duration::from_secs(rng.u64(..120))).await,
                _ => {
                    // Longer than an idle session stays in memory.
                    if rng.u8(..4) == 0 {
                        sleep(Duration::from_secs(700)).await;
                    }
                }
            }
        }
    }

    fn now(&self) -> i64 {
        let millis = i64::try_from(self.world.begin.elapsed().as_millis()).unwrap();
        EPOCH + millis + self.skew.load(Ordering::SeqCst)
    }

    fn touch(&self) {
        let in_memory = self.tracker.status(&self.session).is_some();
        self.world.model().touch(self.process, &self.session, in_memory);
    }

    async fn workflow(&self, rng: &mut Rng) {
        self.touch();
        let new_run = rng.u8(..3) == 0;
        let mut builder = self.tracker.workflow(&self.session).attribute("documentId", "d");
        if new_run {
            builder = builder.new_run();
        }
        // A process that is shutting down rejects new workflows.
        let workflow = match builder.start() {
            Err(WorkflowError::ShutDown) => return,
            started => started.unwrap(),
        };
        let run = self.world.model().opened(self.process, &self.session, new_run);
        let calls = rng.usize(..5);
        for _ in 0..calls {
            self.calls(rng).await;
        }
        let hedged = (rng.u8(..4) == 0).then(|| self.call(rng.fork()));
        let mut hedged = hedged.map(Box::pin);
        if let Some(hedged) = &mut hedged {
            // This call outlives its workflow.
            let _ = timeout(Duration::from_millis(rng.u64(..500)), hedged).await;
        }
        self.end(workflow, run, rng);
        // The call may be over, and a finished future must not be polled again.
        if let Some(hedged) = hedged {
            drop(hedged);
        }
    }

    fn end(&self, workflow: Workflow, run: u64, rng: &mut Rng) {
        let status = match rng.u8(..6) {
            0..3 => {
                workflow.complete();
                OverallStatus::Completed
            }
            3 => {
                workflow.fail("scripted failure");
                OverallStatus::Failed
            }
            4 => OverallStatus::Failed,
            _ => {
                workflow.detach();
                return;
            }
        };
        drop(workflow);
        let now = self.now();
        self.world.model().finished(self.process, &self.session, Some(run), status, now);
    }

    fn finalize(&self, rng: &mut Rng) {
        self.touch();
        let (result, status) = match rng.bool() {
            true => (Ok(()), OverallStatus::Completed),
            false => (Err(&"scripted failure" as &dyn std::fmt::Display), OverallStatus::Failed),
        };
        match self.tracker.finalize_status(&self.session, result) {
            Err(WorkflowError::ShutDown) => return,
            result => result.unwrap(),
        }
        self.world.model().finished(self.process, &self.session, None, status, self.now());
    }

    fn report(&self, rng: &mut Rng) {
        self.touch();
        let agent = AGENTS[rng.usize(..AGENTS.len())];
        let state = match rng.u8(..8) {
            0 => AgentState::Pending,
            1..4 => AgentState::InProgress,
            4..7 => AgentState::Success,
            _ => AgentState::Error,
        };
        let mut report = AgentReport::new(state);
        let mut observed = Observed::default();
        if rng.bool() {
            let (input, output) = (rng.u64(..100), rng.u64(..10));
            observed = Observed { input, output, ..Observed::default() };
            report = report.token_usage(TokenUsage::new(input, output));
            let model = MODELS[rng.usize(..MODELS.len())];
            if let Some(model) = model {
                report = report.model(model);
            }
            attempts::price(&mut observed, model, Some((input, output)));
        }
        match self.tracker.update_agent_status(&self.session, agent, report) {
            Err(WorkflowError::ShutDown) => return,
            result => result.unwrap(),
        }
        self.world.model().reported(
            self.process,
            &self.session,
            agent,
            state,
            observed,
            self.now(),
        );
    }

    /// Makes one call, or several that overlap.
    pub(crate) async fn calls(&self, rng: &mut Rng) {
        let calls = if rng.u8(..3) == 0 { rng.usize(2..4) } else { 1 };
        join_all((0..calls).map(|_| self.call(rng.fork()))).await;
    }

    async fn call(&self, mut rng: Rng) {
        sleep(Duration::from_millis(rng.u64(..50))).await;
        let agent = AGENTS[rng.usize(..AGENTS.len())];
        let script = Script::new(&mut rng);
        let (head, answer) = (script.head, Mutex::new(Some(script.answer)));
        let mut service = StatusLayer::new(&self.tracker, agent).layer(service_fn(move |_| {
            let answer = answer.lock().unwrap().take();
            async move {
                sleep(head).await;
                answer.unwrap()
            }
        }));
        let mut request = Request::new(());
        request.extensions_mut().insert(SessionId::new(&self.session).unwrap());

        self.touch();
        let response = service.call(request);
        let now = self.now();
        let run = self.world.model().started(self.process, &self.session, agent, now);
        let mut call = Call {
            actor: self,
            agent,
            run,
            model: None,
            has_usage: false,
            observed: Observed::default(),
            over: false,
            if_dropped: End::Cancelled,
        };
        let Ok(response) = timeout(script.patience, response).await else {
            self.world.model().count("cancelled");
            return call.ended(End::Cancelled);
        };
        let Ok(response) = response else { return call.ended(End::Failure) };
        if response.status().is_server_error() {
            call.if_dropped = End::Failure;
        }
        let end = if script.fails { End::Failure } else { End::Success };
        let mut body = response.into_body();
        for piece in script.pieces {
            sleep(piece.pause).await;
            if piece.drop_before {
                drop(body);
                call.ended(End::Cancelled);
                self.world.model().count("cancelled");
                return;
            }
            match body.frame().await {
                Some(Ok(_)) => {
                    call.model = call.model.or(piece.model);
                    call.has_usage |= piece.has_usage;
                    call.observed(piece.shows);
                    if script.fails {
                        // The first chunk says so.
                        call.if_dropped = End::Failure;
                    }
                }
                Some(Err(_)) => return call.ended(End::Failure),
                None => self.world.model().fail("a chunk of the body is missing".to_owned()),
            }
            if piece.ends {
                call.ended(end);
            }
        }
        if !call.over {
            // Every chunk has arrived. A JSON text is known to be complete by itself, so a
            // caller that drops the body here, before its end, has not cancelled the call.
            call.if_dropped = end;
            sleep(Duration::from_millis(rng.u64(..10))).await;
            assert!(body.frame().await.is_none());
            call.ended(end);
        }
    }
}

/// A call whose events go to the model.
struct Call<'a> {
    actor: &'a Actor,
    agent: model::Agent,
    run: u64,
    /// What the response has said so far.
    model: Option<&'static str>,
    has_usage: bool,
    observed: Observed,
    over: bool,
    /// How the call ends if it is dropped now.
    if_dropped: End,
}

impl Call<'_> {
    /// Passes the tokens counted so far to the model.
    fn observed(&mut self, shows: Observed) {
        let more = Observed {
            calls: 0,
            input: shows.input - self.observed.input,
            output: shows.output - self.observed.output,
            ..Observed::default()
        };
        if more == Observed::default() {
            return;
        }
        self.observed = shows;
        let Actor { world, process, session, .. } = self.actor;
        world.model().observed(*process, session, self.agent, self.run, more, self.actor.now());
        world.model().count("usage observed during a call");
    }

    fn ended(&mut self, end: End) {
        self.over = true;
        let Actor { world, process, session, .. } = self.actor;
        let Observed { input, output, .. } = self.observed;
        let mut cost = Observed::default();
        attempts::price(&mut cost, self.model, self.has_usage.then_some((input, output)));
        let tried = Tried { failed: end != End::Success, input, output };
        let now = self.actor.now();
        let ended = (end, cost, tried);
        world.model().ended(*process, session, self.agent, self.run, ended, now);
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        // The future of the call was dropped, with everything it holds.
        if !self.over {
            self.actor.world.model().count("cancelled");
            self.ended(self.if_dropped);
        }
    }
}

/// How one call goes.
struct Script {
    head: Duration,
    patience: Duration,
    answer: Result<Response<Pieces>, String>,
    pieces: Vec<Piece>,
    fails: bool,
}

struct Piece {
    pause: Duration,
    drop_before: bool,
    /// The tokens counted once this chunk has passed.
    shows: Observed,
    /// The model that it names.
    model: Option<&'static str>,
    /// It has a usage, which may be zero.
    has_usage: bool,
    /// The call ends with this chunk.
    ends: bool,
}

impl Script {
    fn new(rng: &mut Rng) -> Self {
        let slow = [10, 1_000, 20_000][rng.usize(..3)];
        let head = Duration::from_millis(rng.u64(..slow));
        let patience = if rng.u8(..10) == 0 { head / 2 } else { head * 2 + Duration::from_secs(1) };
        let pause = |rng: &mut Rng| Duration::from_millis(rng.u64(..=slow));
        let (input, output) = (rng.u64(..1_000), rng.u64(..100));
        let all = Observed { input, output, ..Observed::default() };
        let model = MODELS[rng.usize(..MODELS.len())];
        let named = model.map_or_else(String::new, |model| format!(r#""model":"{model}","#));
        let mut bytes = Vec::new();
        let mut pieces = Vec::new();
        let mut add = |text: String, shows: Option<Observed>, ends: bool, pause: Duration| {
            let model = model.filter(|_| text.contains(&named));
            let (has_usage, shows) = (shows.is_some(), shows.unwrap_or_default());
            bytes.push(text);
            pieces.push(Piece { pause, drop_before: false, shows, model, has_usage, ends });
        };
        let mut response = Response::builder();
        let mut fails = false;
        match rng.u8(..10) {
            // A transport error.
            0 => {
                return Self {
                    head,
                    patience,
                    answer: Err("connection reset".to_owned()),
                    pieces,
                    fails,
                };
            }
            1 => {
                fails = true;
                response = response.status(503);
                add("unavailable".to_owned(), None, false, pause(rng));
            }
            2..6 => {
                fails = rng.u8(..5) == 0;
                response = response.header("content-type", "application/json");
                add(
                    format!(r#"{{{named} "success": {}, "token_usage": "#, !fails),
                    None,
                    false,
                    pause(rng),
                );
                let rest = format!(
                    r#"{{"input_tokens": {input}, "output_tokens": {output}, "total_tokens": {}}}}}"#,
                    input + output
                );
                add(rest, Some(all), false, pause(rng));
            }
            _ => {
                response = response.header("content-type", "text/event-stream");
                let begin = format!(
                    "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{{named}\"usage\":{{\"input_tokens\":{input},\"output_tokens\":0}}}}}}\n\n"
                );
                add(begin, Some(Observed { output: 0, ..all }), false, pause(rng));
                let mut written = 0;
                for _ in 0..rng.usize(..4) {
                    written = rng.u64(written..=output);
                    let delta = format!(
                        "event: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{}},\"usage\":{{\"output_tokens\":{written}}}}}\n\n"
                    );
                    add(delta, Some(Observed { output: written, ..all }), false, pause(rng));
                }
                let end = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".to_owned();
                add(end, Some(Observed { output: written, ..all }), true, pause(rng));
            }
        }
        let mut body: VecDeque<_> = bytes.into_iter().map(|text| Ok(Bytes::from(text))).collect();
        if !pieces.is_empty() && !fails {
            let at = rng.usize(..pieces.len());
            match rng.u8(..8) {
                0 => pieces[at].drop_before = true,
                1 => {
                    body.truncate(at);
                    body.push_back(Err("connection reset".to_owned()));
                }
                _ => {}
            }
        }
        let answer = Ok(response.body(Pieces(body)).unwrap());
        Self { head, patience, answer, pieces, fails }
    }
}

/// A body whose chunks are ready as soon as they are polled.
struct Pieces(VecDeque<Result<Bytes, String>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        Poll::Ready(self.0.pop_front().map(|piece| piece.map(Frame::data)))
    }
}
