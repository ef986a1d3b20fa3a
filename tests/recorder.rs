//! The recorder under paused time: how often it writes, how it handles failures, and that
//! callers never wait for it.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};
use tower_agent_status::status::{
    AgentReport, AgentState, Change, Item, OverallStatus, Precondition, TokenUsage, WorkflowStatus,
};
use tower_agent_status::store::{
    ListRequest, MemoryStore, StatusReader, StatusStore, StoreError, StoreErrorKind, WriteOutcome,
};
use tower_agent_status::{
    Agent, SessionId, StatusLayer, StatusTracker, StatusTrackerBuilder, Workflow,
};

/// A clock that follows tokio's paused time.
fn paused_clock() -> impl Fn() -> SystemTime + Send + Sync + 'static {
    let begin = Instant::now();
    move || SystemTime::UNIX_EPOCH + Duration::from_secs(1_766_570_400) + begin.elapsed()
}

fn builder<S: StatusStore>(store: S) -> StatusTrackerBuilder<S> {
    StatusTracker::builder(store).clock(paused_clock())
}

const AGENTS: [&str; 4] = ["pdfAdapter", "tradeExtraction", "tradeMatching", "exceptionManagement"];

/// An agent that answers with usage after `takes`.
fn agent(
    tracker: &StatusTracker,
    name: &str,
    takes: Duration,
) -> BoxCloneService<Request<()>, Response<UnsyncBoxBody<bytes::Bytes, Infallible>>, Infallible> {
    let tracked = StatusLayer::new(tracker, name).layer(service_fn(move |_: Request<()>| async move {
        if !takes.is_zero() {
            sleep(takes).await;
        }
        let body = r#"{"success": true, "token_usage": {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}}"#;
        Ok::<_, Infallible>(
            Response::builder()
                .header("content-type", "application/json")
                .body(body.to_owned())
                .unwrap(),
        )
    }));
    tracked
        .map_response(|response| response.map(http_body_util::BodyExt::boxed_unsync))
        .boxed_clone()
}

/// Calls the agents in turn and reads each answer to its end.
async fn four_agents(tracker: &StatusTracker, takes: Duration) -> Result<(), Infallible> {
    for name in AGENTS {
        let response = agent(tracker, name, takes).oneshot(Request::new(())).await?;
        http_body_util::BodyExt::collect(response.into_body()).await?;
    }
    Ok(())
}

async fn run_four(tracker: &StatusTracker, session: &str, takes: Duration) {
    tracker.workflow(session).run(four_agents(tracker, takes)).await.unwrap();
}

/// A slow store that counts its writes and fails the first ones on request.
#[derive(Clone)]
struct Slow {
    inner: MemoryStore,
    takes: Duration,
    begun: Arc<AtomicUsize>,
    failures: Arc<AtomicUsize>,
    kind: StoreErrorKind,
}

impl Slow {
    fn new(takes: Duration) -> Self {
        Self {
            inner: MemoryStore::new(),
            takes,
            begun: Arc::default(),
            failures: Arc::default(),
            kind: StoreErrorKind::Unavailable,
        }
    }

    fn failing(failures: usize, kind: StoreErrorKind) -> Self {
        Self { failures: Arc::new(failures.into()), kind, ..Self::new(Duration::from_millis(1)) }
    }
}

impl StatusStore for Slow {
    async fn write(
        &self,
        change: &Change,
        expected: Precondition,
    ) -> Result<WriteOutcome, StoreError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        sleep(self.takes).await;
        let fails =
            self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if fails.is_ok() {
            return Err(StoreError::new(self.kind, "scripted failure"));
        }
        self.inner.write(change, expected).await
    }
}

fn assert_four_succeeded(status: &WorkflowStatus) {
    assert_eq!(status.overall_status, OverallStatus::Completed);
    for name in AGENTS {
        let agent = status.agent(name).unwrap();
        assert_eq!(agent.state, AgentState::Success, "{name}");
        assert_eq!(agent.token_usage(), Some(TokenUsage::new(100, 10)), "{name}");
    }
    assert_eq!(status.total_token_usage(), TokenUsage::new(400, 40));
}

#[tokio::test(start_paused = true)]
async fn four_agents_are_five_writes() {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    run_four(&tracker, "s", Duration::from_secs(2)).await;
    tracker.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_eq!(store.history().len(), 5);
    assert_four_succeeded(&store.status("s").unwrap());
}

/// Notes when each session is written.
struct Times(Instant, UnboundedSender<(String, Duration)>);

impl StatusStore for Times {
    async fn write(&self, change: &Change, _: Precondition) -> Result<WriteOutcome, StoreError> {
        self.1.send((change.session_id.to_string(), self.0.elapsed())).unwrap();
        Ok(WriteOutcome::Applied)
    }
}

/// Also of a session that opens while the recorder sleeps until another is due.
#[tokio::test(start_paused = true)]
async fn each_session_is_written_when_its_own_delay_is_over() {
    let (written, mut times) = tokio::sync::mpsc::unbounded_channel();
    let delay = Duration::from_millis(50);
    let tracker = builder(Times(Instant::now(), written)).batch_delay(delay).start().unwrap();
    let mut open = Vec::new();
    for (session, pause) in [("a", 20), ("b", 10), ("c", 0)] {
        open.push(tracker.workflow(session).start().unwrap());
        sleep(Duration::from_millis(pause)).await;
    }
    for expected in [("a", 50), ("b", 70), ("c", 80)] {
        let (session, at) = times.recv().await.unwrap();
        assert_eq!((&*session, at), (expected.0, Duration::from_millis(expected.1)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_delays_nothing_and_gets_one_write_more() {
    let store = Slow::new(Duration::from_secs(5));
    let tracker = builder(store.clone()).start().unwrap();
    let begin = Instant::now();
    run_four(&tracker, "s", Duration::from_millis(200)).await;
    // Paused time advances only while a task waits for it: here the agents' 200 ms.
    assert_eq!(begin.elapsed(), Duration::from_millis(800));
    assert!(store.inner.history().is_empty(), "the first write is still in flight");
    tracker.shutdown(Duration::from_secs(60)).await.unwrap();
    assert_eq!(store.begun.load(Ordering::SeqCst), 2);
    assert_four_succeeded(&store.inner.status("s").unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_given_up_at_the_deadline_and_named() {
    let store = Slow::new(Duration::from_secs(3600));
    let tracker = builder(store).start().unwrap();
    run_four(&tracker, "s", Duration::ZERO).await;
    let begin = Instant::now();
    let error = tracker.shutdown(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(begin.elapsed(), Duration::from_secs(5));
    assert_eq!(error.unsaved.len(), 1);
    assert_eq!(error.unsaved[0].session_id.as_str(), "s");
    assert!(error.to_string().contains('s'));
    // A flush after the end reports the unsaved session, too.
    assert_eq!(tracker.flush().await.unwrap_err().unsaved.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_until_saved() {
    for kind in [StoreErrorKind::Unavailable, StoreErrorKind::Throttled] {
        let store = Slow::failing(20, kind);
        let tracker = builder(store.clone()).start().unwrap();
        run_four(&tracker, "s", Duration::from_millis(10)).await;
        while store.inner.history().is_empty() {
            sleep(Duration::from_millis(100)).await;
        }
        tracker.shutdown(Duration::from_secs(60)).await.unwrap();
        assert_four_succeeded(&store.inner.status("s").unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_tries_once_and_says_what_failed() {
    let store = Slow::failing(1_000, StoreErrorKind::Unavailable);
    let tracker = builder(store.clone()).start().unwrap();
    run_four(&tracker, "s", Duration::ZERO).await;
    let error = tracker.flush().await.unwrap_err();
    assert_eq!(error.unsaved[0].error.as_ref().unwrap().as_str(), "scripted failure");
    store.failures.store(0, Ordering::SeqCst);
    tracker.flush().await.unwrap();
    assert_four_succeeded(&store.inner.status("s").unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_does_not_hold_up_the_end() {
    let store = Slow::failing(1_000, StoreErrorKind::Permanent);
    let tracker = builder(store.clone()).start().unwrap();
    run_four(&tracker, "s", Duration::ZERO).await;
    let begin = Instant::now();
    let error = tracker.shutdown(Duration::from_secs(60)).await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert_eq!(error.unsaved[0].error.as_ref().unwrap().as_str(), "scripted failure");
}

#[tokio::test(start_paused = true)]
async fn the_last_tracker_to_go_has_everything_saved() {
    let store = MemoryStore::new();
    let (tracker, recorder) = builder(store.clone()).build().unwrap();
    let recorder = tokio::spawn(recorder);
    run_four(&tracker, "s", Duration::ZERO).await;
    drop(tracker);
    recorder.await.unwrap();
    assert_four_succeeded(&store.status("s").unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_open_workflow_is_renewed_and_a_finished_one_leaves_memory() {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).agent(Agent::new("a")).start().unwrap();
    let workflow = tracker.workflow("s").start().unwrap();
    tracker.flush().await.unwrap();
    let mut last = store.status("s").unwrap().last_updated;
    for _ in 0..5 {
        sleep(Duration::from_secs(31)).await;
        let renewed = store.status("s").unwrap().last_updated;
        assert!(renewed > last);
        last = renewed;
    }
    workflow.complete();
    drop(workflow);
    tracker.flush().await.unwrap();
    assert!(tracker.status("s").is_none());
    let writes = store.history().len();
    sleep(Duration::from_secs(600)).await;
    assert_eq!(store.history().len(), writes, "a finished workflow has no heartbeat");
    assert_eq!(store.status("s").unwrap().agent("a").unwrap().state, AgentState::Pending);
}

#[tokio::test(start_paused = true)]
async fn two_trackers_on_one_session_do_not_lose_each_other() {
    let store = MemoryStore::new();
    let (one, two) =
        (builder(store.clone()).start().unwrap(), builder(store.clone()).start().unwrap());
    let (a, b) = (one.workflow("s").start().unwrap(), two.workflow("s").start().unwrap());
    let ten = Duration::from_millis(10);
    let (x, y) = tokio::join!(a.scope(four_agents(&one, ten)), b.scope(four_agents(&two, ten)),);
    x.unwrap();
    y.unwrap();
    a.complete();
    one.shutdown(Duration::from_secs(5)).await.unwrap();
    two.shutdown(Duration::from_secs(5)).await.unwrap();
    let status = store.status("s").unwrap();
    assert_eq!(status.total_token_usage(), TokenUsage::new(800, 80));
    assert_eq!(status.overall_status, OverallStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_calls_pass_untracked() {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).max_sessions(1).start().unwrap();
    let first = tracker.workflow("first").start().unwrap();
    assert!(tracker.workflow("second").start().is_err());
    run_four(&tracker, "third", Duration::ZERO).await;
    drop(first);
    tracker.flush().await.unwrap();
    run_four(&tracker, "fourth", Duration::ZERO).await;
    tracker.shutdown(Duration::from_secs(1)).await.unwrap();
    assert!(store.status("third").is_none());
    assert_four_succeeded(&store.status("fourth").unwrap());
}

/// An event of a stream that reports usage as it goes; the counts are cumulative.
fn anthropic_event(name: &str, output: u64) -> String {
    let usage = match name {
        "message_start" => {
            format!(r#""message":{{"usage":{{"input_tokens":50,"output_tokens":{output}}}}}"#)
        }
        _ => format!(r#""usage":{{"output_tokens":{output}}}"#),
    };
    format!("event: {name}\ndata: {{\"type\":\"{name}\",{usage}}}\n\n")
}

/// A call whose answer is a stream of the pieces that are sent.
async fn stream(
    tracker: &StatusTracker,
    workflow: &Workflow,
) -> (UnboundedSender<String>, UnsyncBoxBody<bytes::Bytes, Infallible>) {
    let (pieces, body) = tokio::sync::mpsc::unbounded_channel::<String>();
    let body = std::sync::Mutex::new(Some(body));
    let client = StatusLayer::new(tracker, "a").layer(service_fn(move |_: Request<()>| {
        let body = body.lock().unwrap().take().unwrap();
        let frames = futures_util::stream::unfold(body, |mut body| async {
            let piece = body.recv().await?;
            Some((Ok::<_, Infallible>(http_body::Frame::data(bytes::Bytes::from(piece))), body))
        });
        let response = Response::builder()
            .header("content-type", "text/event-stream")
            .body(http_body_util::StreamBody::new(frames))
            .unwrap();
        std::future::ready(Ok::<_, Infallible>(response))
    }));
    let response = workflow.scope(client.oneshot(Request::new(()))).await.unwrap();
    (pieces, http_body_util::BodyExt::boxed_unsync(response.into_body()))
}

#[tokio::test(start_paused = true)]
async fn tokens_grow_in_the_table_while_a_stream_runs() {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    let workflow = tracker.workflow("s").start().unwrap();
    let (pieces, mut body) = stream(&tracker, &workflow).await;
    let mut seen = Vec::new();
    for (name, output) in [("message_start", 1), ("message_delta", 20), ("message_delta", 300)] {
        pieces.send(anthropic_event(name, output)).unwrap();
        http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
        // Usage alone causes no write before its interval is over.
        let writes = store.history().len();
        sleep(Duration::from_millis(900)).await;
        assert!(store.history().len() <= writes + usize::from(writes == 0));
        sleep(Duration::from_millis(200)).await;
        let agent = store.status("s").unwrap().agent("a").unwrap().clone();
        assert_eq!((agent.state, agent.calls), (AgentState::InProgress, 0));
        seen.push(agent.token_usage().unwrap().total_tokens.unwrap());
    }
    assert_eq!(seen, [51, 70, 350]);
    let writes = store.history().len();
    // Many counts within the batch delay become one write.
    for output in 301..=400 {
        pieces.send(anthropic_event("message_delta", output)).unwrap();
        http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
    }
    pieces.send("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".to_owned()).unwrap();
    http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
    workflow.complete();
    tracker.flush().await.unwrap();
    assert_eq!(store.history().len(), writes + 1);
    let agent = store.status("s").unwrap().agent("a").unwrap().clone();
    assert_eq!((agent.state, agent.calls), (AgentState::Success, 1));
    assert_eq!(agent.token_usage(), Some(TokenUsage::new(50, 400)));
}

#[tokio::test(start_paused = true)]
async fn tokens_that_come_during_a_shutdown_are_saved() {
    let store = Slow::new(Duration::from_secs(1));
    let hour = Duration::from_secs(3600);
    let tracker = builder(store.clone()).live_usage_interval(hour).start().unwrap();
    let workflow = tracker.workflow("s").start().unwrap();
    let (pieces, mut body) = stream(&tracker, &workflow).await;
    pieces.send(anthropic_event("message_start", 1)).unwrap();
    http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
    tracker.flush().await.unwrap();
    one_call(&tracker, "other").await;
    let more = async {
        sleep(Duration::from_millis(500)).await;
        pieces.send(anthropic_event("message_delta", 20)).unwrap();
        http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
    };
    let (result, ()) = tokio::join!(tracker.shutdown(Duration::from_secs(60)), more);
    result.unwrap();
    let status = store.inner.status("s").unwrap();
    assert_eq!(status.agent("a").unwrap().token_usage(), Some(TokenUsage::new(50, 20)));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_leaves_a_session_that_is_seen_to_be_stalled() {
    let store = MemoryStore::new();
    let now = paused_clock();
    let (tracker, recorder) = builder(store.clone()).build().unwrap();
    let recorder = tokio::spawn(recorder);
    let workflow = tracker.workflow("s").start().unwrap();
    tracker.flush().await.unwrap();
    let heartbeat = Duration::from_secs(30);
    sleep(Duration::from_secs(300)).await;
    let is_stalled =
        |store: &MemoryStore| store.status("s").unwrap().is_stalled(now().into(), heartbeat);
    assert!(!is_stalled(&store));
    recorder.abort();
    sleep(heartbeat * 2).await;
    assert!(!is_stalled(&store));
    sleep(heartbeat * 2).await;
    assert!(is_stalled(&store));
    drop(workflow);
}

/// docs/scale.md calculates with this.
#[tokio::test(start_paused = true)]
async fn a_silent_workflow_is_written_once_in_each_heartbeat() {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    let workflow = tracker.workflow("s").start().unwrap();
    sleep(Duration::from_secs(601)).await;
    // Each heartbeat comes a sixteenth early: at the last check at which it is not late.
    assert_eq!(store.history().len(), 1 + 600 / 28);
    workflow.complete();
}

#[tokio::test(start_paused = true)]
async fn a_flush_comes_back_whatever_has_left_a_session_behind() {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    // An invalid name.
    let report = AgentReport::new(AgentState::Success);
    assert!(tracker.update_agent_status("bad", "", report).is_err());
    assert!(tracker.status("bad").is_none());
    // A late call of an agent that the finished workflow has not seen yet.
    tracker.workflow("s").start().unwrap().complete();
    let late = tracker.workflow("s").start().unwrap();
    let late = late.scope({
        let tracker = tracker.clone();
        async move {
            agent(&tracker, "late", Duration::from_secs(60)).oneshot(Request::new(())).await.is_ok()
        }
    });
    let call = tokio::spawn(late);
    sleep(Duration::from_secs(1)).await;
    let flushed = tokio::time::timeout(Duration::from_secs(10), tracker.flush()).await;
    flushed.expect("a flush does not wait for calls").unwrap();
    assert!(call.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_new_run_is_not_touched_by_the_calls_and_workflows_before_it() {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    let old = tracker.workflow("s").start().unwrap();
    let call = |takes| {
        let tracker = tracker.clone();
        let takes = Duration::from_secs(takes);
        async move { agent(&tracker, "a", takes).oneshot(Request::new(())).await.is_ok() }
    };
    let old_call = tokio::spawn(old.scope(call(5)));
    sleep(Duration::from_secs(1)).await;
    let new = tracker.workflow("s").new_run().start().unwrap();
    let new_call = tokio::spawn(new.scope(call(60)));
    assert!(old_call.await.unwrap());
    drop(old);
    let status = new.status();
    assert_eq!(status.overall_status, OverallStatus::Processing);
    let agent = status.agent("a").unwrap();
    assert_eq!((agent.state, agent.calls), (AgentState::InProgress, 0));
    assert!(new_call.await.unwrap());
    new.complete();
    assert_eq!(new.status().overall_status, OverallStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_new_run_does_not_wait_for_the_task_of_a_call_before_it() {
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let agent = StatusLayer::new(&tracker, "a").layer(service_fn(|_: Request<()>| async {
        sleep(Duration::from_secs(5)).await;
        let response = Response::builder().header("content-type", "application/json");
        let body = r#"{"id":"resp_1","object":"response","status":"queued","output":[]}"#;
        Ok::<_, Infallible>(response.body(body.to_owned()).unwrap())
    }));
    let old = tracker.workflow("s").start().unwrap();
    let request = || Request::post("/v1/responses").body(()).unwrap();
    let call = tokio::spawn(old.scope({
        let call = agent.clone().oneshot(request());
        async move { http_body_util::BodyExt::collect(call.await.unwrap().into_body()).await }
    }));
    sleep(Duration::from_secs(1)).await;
    let new = tracker.workflow("s").new_run().start().unwrap();
    call.await.unwrap().unwrap();
    let status = new.status();
    assert!(status.unfinished_tasks.is_empty(), "{status:?}");
    assert_eq!(status.agent("a").unwrap().calls, 0);
    // The same call in the new run is waited for.
    let response = new.scope(agent.oneshot(request())).await.unwrap();
    http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
    assert_eq!(new.status().unfinished_tasks.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_the_end_is_told_how_it_was() {
    let store = Slow::new(Duration::from_secs(5));
    let tracker = builder(store.clone()).start().unwrap();
    run_four(&tracker, "s", Duration::ZERO).await;
    let (first, second) = tokio::join!(
        tracker.shutdown(Duration::from_secs(60)),
        tracker.shutdown(Duration::from_secs(30))
    );
    assert_eq!((first, second), (Ok(()), Ok(())));
    assert_four_succeeded(&store.inner.status("s").unwrap());
}

#[tokio::test(start_paused = true)]
async fn settings_of_any_length_leave_the_recorder_at_work() {
    let store = MemoryStore::new();
    let far = Duration::MAX;
    let tracker = builder(store.clone())
        .heartbeat_interval(far)
        .live_usage_interval(far)
        .batch_delay(far)
        .start()
        .unwrap();
    run_four(&tracker, "s", Duration::from_millis(10)).await;
    tracker.shutdown(far).await.unwrap();
    assert_four_succeeded(&store.status("s").unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_keeps_the_recorder_at_work() {
    let store = MemoryStore::new();
    let (tracker, recorder) = builder(store.clone()).build().unwrap();
    let recorder = tokio::spawn(recorder);
    let client = agent(&tracker, "a", Duration::ZERO);
    let session = SessionId::new("s").unwrap();
    let response = session.scope(client.oneshot(Request::new(()))).await.unwrap();
    drop(tracker);
    // The recorder has had time for its last attempt.
    sleep(Duration::from_secs(10)).await;
    http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
    recorder.await.unwrap();
    let status = store.status("s").unwrap();
    assert_eq!(status.agent("a").unwrap().state, AgentState::Success);
    assert_eq!(status.total_token_usage(), TokenUsage::new(100, 10));
}

#[tokio::test(start_paused = true)]
async fn after_the_end_nothing_is_taken_on_and_what_is_lost_is_counted() {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    tracker.shutdown(Duration::from_secs(1)).await.unwrap();
    run_four(&tracker, "s", Duration::ZERO).await;
    assert!(tracker.workflow("s").start().is_err());
    assert!(tracker.status("s").is_none());
    // Lost are the workflow that ran untracked and the one that did not start.
    assert_eq!(tracker.lost(), 2);
    assert!(store.history().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_in_the_scope_of_a_workflow_is_lost_once_after_the_end() {
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let workflow = tracker.workflow("s").start().unwrap();
    let call = || workflow.scope(agent(&tracker, "a", Duration::ZERO).oneshot(Request::new(())));
    let calls = async || {
        http_body_util::BodyExt::collect(call().await.unwrap().into_body()).await.unwrap();
    };
    calls().await;
    tracker.shutdown(Duration::from_secs(1)).await.unwrap();
    assert_eq!(tracker.lost(), 0);
    for lost in 1..=3 {
        calls().await;
        assert_eq!(tracker.lost(), lost);
    }
}

/// A store whose item is changed between every attempt.
struct Restless;

impl StatusStore for Restless {
    async fn write(&self, _: &Change, _: Precondition) -> Result<WriteOutcome, StoreError> {
        Ok(WriteOutcome::Conflict(Some(Item::new())))
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_never_settles_does_not_hold_up_a_flush() {
    let tracker = builder(Restless).start().unwrap();
    run_four(&tracker, "s", Duration::ZERO).await;
    let error = tracker.flush().await.unwrap_err();
    assert!(error.to_string().contains("changed between every attempt"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_hangs_is_given_up_and_tried_again() {
    let store = Slow::new(Duration::from_secs(3600));
    let tracker = builder(store.clone()).start().unwrap();
    run_four(&tracker, "s", Duration::ZERO).await;
    let error = tracker.flush().await.unwrap_err();
    assert!(error.to_string().contains("within a minute"), "{error}");
    sleep(Duration::from_secs(70)).await;
    assert!(store.begun.load(Ordering::SeqCst) >= 2);
}

/// Makes one call in a session that nothing else has opened.
async fn one_call(tracker: &StatusTracker, session: &str) {
    let client = agent(tracker, "a", Duration::ZERO);
    let session = SessionId::new(session).unwrap();
    let response = session.scope(client.oneshot(Request::new(()))).await.unwrap();
    http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_saved_session_that_was_idle_for_ten_minutes_leaves_memory_and_is_resumed() {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    one_call(&tracker, "s").await;
    sleep(Duration::from_secs(590)).await;
    assert!(tracker.status("s").is_some());
    sleep(Duration::from_secs(30)).await;
    assert!(tracker.status("s").is_none());
    assert_eq!(store.status("s").unwrap().overall_status, OverallStatus::Processing);
    one_call(&tracker, "s").await;
    tracker.flush().await.unwrap();
    let agent = store.status("s").unwrap().agent("a").unwrap().clone();
    assert_eq!((agent.calls, agent.token_usage()), (2, Some(TokenUsage::new(200, 20))));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_saved_stays_in_memory_however_idle_it_is() {
    let store = Slow::failing(100_000, StoreErrorKind::Unavailable);
    let tracker = builder(store.clone()).start().unwrap();
    one_call(&tracker, "s").await;
    sleep(Duration::from_secs(3_600)).await;
    assert!(tracker.status("s").is_some());
    store.failures.store(0, Ordering::SeqCst);
    tracker.flush().await.unwrap();
    assert_eq!(store.inner.status("s").unwrap().total_token_usage(), TokenUsage::new(100, 10));
}

#[tokio::test(start_paused = true)]
async fn a_session_known_from_its_calls_is_completed_when_it_is_idle_if_that_is_asked_for() {
    for idle in [10, 60, 3_600] {
        let store = MemoryStore::new();
        let idle = Duration::from_secs(idle);
        let tracker = builder(store.clone()).idle_timeout(idle).start().unwrap();
        let opened = tracker.workflow("opened").start().unwrap();
        tracker.initialize_status("by-hand", None, &[]).unwrap();
        one_call(&tracker, "opened").await;
        one_call(&tracker, "by-hand").await;
        let is_finished = |session: &str| {
            store.status(session).is_some_and(|status| status.overall_status.is_finished())
        };
        one_call(&tracker, "s").await;
        sleep(idle * 9 / 10).await;
        one_call(&tracker, "s").await;
        sleep(idle * 9 / 10).await;
        assert!(!is_finished("s"), "a call came in between");
        sleep(idle * 6 / 10 + Duration::from_secs(1)).await;
        assert_eq!(store.status("s").unwrap().overall_status, OverallStatus::Completed);
        assert!(tracker.status("s").is_none(), "finished and saved, it leaves memory");
        sleep(idle * 2).await;
        assert!(!is_finished("opened") && !is_finished("by-hand"));
        // A late call counts, and reopens nothing.
        one_call(&tracker, "s").await;
        tracker.flush().await.unwrap();
        let status = store.status("s").unwrap();
        assert_eq!(status.overall_status, OverallStatus::Completed);
        assert_eq!(status.agent("a").unwrap().calls, 3);
        opened.complete();
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_call_is_not_idle() {
    let store = MemoryStore::new();
    let idle = Duration::from_secs(60);
    let tracker = builder(store.clone()).idle_timeout(idle).start().unwrap();
    let client = agent(&tracker, "a", idle * 5);
    let session = SessionId::new("s").unwrap();
    let call = tokio::spawn(session.scope(client.oneshot(Request::new(()))));
    sleep(idle * 4).await;
    assert_eq!(store.status("s").unwrap().overall_status, OverallStatus::Processing);
    let response = call.await.unwrap().unwrap();
    http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
    sleep(idle * 2).await;
    assert_eq!(store.status("s").unwrap().overall_status, OverallStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn what_is_opened_or_at_work_by_hand_is_renewed() {
    for heartbeat in [30, 2_000].map(Duration::from_secs) {
        let store = MemoryStore::new();
        let now = paused_clock();
        let tracker = builder(store.clone()).heartbeat_interval(heartbeat).start().unwrap();
        // Shifts the recorder's checks, so that they do not coincide with the due times.
        one_call(&tracker, "other").await;
        sleep(heartbeat / 20).await;
        tracker.initialize_status("opened", None, &[]).unwrap();
        let report = |state| {
            tracker.update_agent_status("reported", "a", AgentReport::new(state)).unwrap();
        };
        report(AgentState::InProgress);
        for _ in 0..5 {
            sleep(heartbeat + Duration::from_secs(1)).await;
            for session in ["opened", "reported"] {
                let last = store.status(session).unwrap().last_updated;
                let silent =
                    tower_agent_status::status::Timestamp::from(now()).duration_since(last);
                assert!(silent <= heartbeat, "{session}: {silent:?}");
            }
        }
        // A session whose only agent has ended needs no heartbeat; an open one does.
        report(AgentState::Success);
        sleep(heartbeat * 4).await;
        assert!(store.status("reported").unwrap().is_stalled(now().into(), heartbeat));
        assert!(!store.status("opened").unwrap().is_stalled(now().into(), heartbeat));
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_shared_is_a_store() {
    let store = Arc::new(MemoryStore::new());
    let tracker = builder(Arc::clone(&store)).start().unwrap();
    run_four(&tracker, "s", Duration::ZERO).await;
    tracker.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_four_succeeded(&store.status("s").unwrap());
    assert_eq!(StatusReader::get(&store, &id("s")).await.unwrap(), store.item("s"));
    let both = [id("t"), id("s")];
    let many = StatusReader::get_many(&store, &both).await.unwrap();
    assert_eq!(many, [None, store.item("s")]);
    let recent = StatusReader::recent(&store, 10).await.unwrap().items;
    assert_eq!(recent, [(id("s"), store.item("s").unwrap())]);
    let request = ListRequest::new(10);
    let name = |id: &SessionId, _: Item| id.to_string();
    let mapped = StatusReader::list(&store, &request, name).await.unwrap();
    assert_eq!(mapped.items, [(id("s"), "s".to_owned())]);
    let found = StatusReader::search(&store, "overallStatus", "completed", &request, name);
    assert_eq!(found.await.unwrap(), Some(mapped));
    let deleted = [id("t"), id("s")].map(|id| {
        let store = &store;
        async move { StatusReader::delete(store, &id).await.unwrap() }
    });
    assert_eq!(futures_util::future::join_all(deleted).await, [false, true]);
    assert_eq!(store.item("s"), None);
}

/// A store whose table has a use of its own for an attribute.
struct Reserving;

impl StatusStore for Reserving {
    async fn write(&self, _: &Change, _: Precondition) -> Result<WriteOutcome, StoreError> {
        Ok(WriteOutcome::Applied)
    }

    fn is_reserved(&self, attribute: &str) -> bool {
        attribute == "ttl"
    }

    fn is_index_key(&self, attribute: &str) -> bool {
        attribute == "documentId"
    }
}

#[tokio::test(start_paused = true)]
async fn an_attribute_that_a_shared_store_reserves_is_refused() {
    let tracker = builder(Arc::new(Reserving)).start().unwrap();
    assert!(tracker.workflow("s").attribute("ttl", "x").start().is_err());
    assert!(tracker.workflow("s").attribute("other", "x").start().is_ok());
    // An index can hold texts, and no agents.
    assert!(tracker.workflow("s").attribute("documentId", "x").start().is_ok());
    let report = AgentReport::new(AgentState::Success);
    assert!(tracker.update_agent_status("s", "documentId", report).is_err());
}

/// The session ID `name`.
fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}
