//! Requests in a finished session: a message that is delivered twice, and one that is posted
//! again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use http::StatusCode;
use tower_agent_status::status::{AgentState, OverallStatus, WorkflowStatus};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{Agent, StatusTracker, WorkflowLayer};

use crate::support::{AGENT, CalledAgent, Tracking, post, read, serve};
use crate::warnings::Warnings;

/// A clock that stands still until a test sets it.
#[derive(Clone)]
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn start() -> Self {
        Self(Arc::new(AtomicU64::new(1_766_570_400)))
    }

    fn later(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

/// A process of the service. Each has a memory of its own.
fn process(store: &MemoryStore, clock: &Clock) -> Tracking {
    let clock = clock.clone();
    let now = move || SystemTime::UNIX_EPOCH + Duration::from_secs(clock.0.load(Ordering::Relaxed));
    let builder = StatusTracker::builder(store.clone()).batch_delay(Duration::ZERO).clock(now);
    let tracker = builder.agent(Agent::new(AGENT)).start().unwrap();
    Tracking { tracker, store: store.clone() }
}

/// Posts in one session, and returns what is then saved.
async fn posted(tracking: &Tracking, layer: WorkflowLayer, path: &str) -> WorkflowStatus {
    let agent = CalledAgent::start(tracking).await;
    let handler = async move |request: Request| {
        agent.ask("hello").await.unwrap();
        match request.uri().path() {
            "/fails" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::OK,
        }
    };
    let app = Router::new().fallback(any(handler)).layer(layer);
    read(post(serve(app).await, path, Some("s")).await).await;
    tracking.tracker.flush().await.unwrap();
    tracking.store.status("s").unwrap()
}

fn outcome(status: &WorkflowStatus) -> (OverallStatus, u64) {
    (status.overall_status, status.agent(AGENT).unwrap().calls)
}

fn assert_warned_once(log: &Warnings) {
    let lines = log.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("a workflow was started in a finished session"), "{lines:?}");
}

#[tokio::test]
async fn what_is_posted_again_is_a_new_run_and_what_is_delivered_again_is_not() {
    use OverallStatus::{Completed, Failed};
    for is_restarted in [false, true] {
        let (store, clock) = (MemoryStore::new(), Clock::start());
        let mut service = process(&store, &clock);
        let restart = |service: &mut Tracking| {
            if is_restarted {
                *service = process(&store, &clock);
            }
        };
        let first = posted(&service, service.layer(), "/fails").await;
        assert_eq!(outcome(&first), (Failed, 1));

        clock.later(59);
        restart(&mut service);
        let joined = posted(&service, service.layer(), "/").await;
        assert_eq!(outcome(&joined), (Failed, 2), "{is_restarted}");
        assert_eq!(joined.completed_at, first.completed_at);
        assert_eq!(joined.agent(AGENT).unwrap().state, AgentState::Success);

        // A minute after the end, though its last call has ended just now.
        clock.later(1);
        restart(&mut service);
        let second = posted(&service, service.layer(), "/").await;
        assert_eq!(outcome(&second), (Completed, 1), "{is_restarted}");
        assert!(second.error.is_none() && second.created_at > first.created_at);
        let before = second.previous_run.as_deref().unwrap();
        assert_eq!((before.overall_status, before.completed_at), (Failed, first.completed_at));
        assert_eq!(before.error, first.error);
        assert_eq!(before.total_token_usage, joined.total_token_usage());

        // A run that fails after one that was completed has failed.
        clock.later(60);
        restart(&mut service);
        let third = posted(&service, service.layer(), "/fails").await;
        assert_eq!(outcome(&third), (Failed, 1));
        assert_eq!(third.previous_run.unwrap().overall_status, Completed);
    }
}

#[tokio::test]
async fn the_time_can_be_set_and_the_session_stays_finished_without_one() {
    let (store, clock) = (MemoryStore::new(), Clock::start());
    let service = process(&store, &clock);
    posted(&service, service.layer(), "/fails").await;
    clock.later(3_600);
    let log = Warnings::watch();
    let resumed = posted(&service, service.layer().new_run_after(None), "/").await;
    assert_eq!(outcome(&resumed), (OverallStatus::Failed, 2));
    let hour = Duration::from_secs(3_600);
    let longer = service.layer().new_run_after(hour + Duration::from_secs(1));
    assert_eq!(outcome(&posted(&service, longer, "/").await), (OverallStatus::Failed, 3));
    let at_once = service.layer().new_run_after(hour);
    assert_eq!(outcome(&posted(&service, at_once, "/").await), (OverallStatus::Completed, 1));
    let now = service.layer().new_run_after(Duration::ZERO);
    assert_eq!(outcome(&posted(&service, now, "/fails").await), (OverallStatus::Failed, 1));
    assert_warned_once(&log);
}

#[tokio::test]
async fn a_workflow_in_a_finished_session_warns_once_and_shows_nothing_false() {
    for is_restarted in [false, true] {
        let (store, clock) = (MemoryStore::new(), Clock::start());
        let service = process(&store, &clock);
        service.tracker.workflow("s").run(async { Ok::<_, String>(()) }).await.unwrap();
        service.tracker.flush().await.unwrap();
        let service = if is_restarted { process(&store, &clock) } else { service };
        clock.later(3_600);
        let log = Warnings::watch();
        for _ in 0..2 {
            let agent = CalledAgent::start(&service).await;
            let workflow = service.tracker.workflow("s").start().unwrap();
            let seen = store.clone();
            let work = async {
                // While it works, its agent is at work, and no error.
                let asked = agent.ask("hello");
                tokio::pin!(asked);
                assert!(futures_util::poll!(&mut asked).is_pending());
                service.tracker.flush().await.unwrap();
                let status = seen.status("s").unwrap();
                assert_eq!(status.agent(AGENT).unwrap().state, AgentState::InProgress);
                assert_eq!(status.overall_status, OverallStatus::Completed);
                asked.await.unwrap();
                Err::<(), _>("it fails")
            };
            workflow.run(work).await.unwrap_err();
        }
        service.tracker.flush().await.unwrap();
        let status = store.status("s").unwrap();
        assert_eq!(outcome(&status), (OverallStatus::Completed, 2));
        assert_eq!(status.agent(AGENT).unwrap().state, AgentState::Success);
        assert_warned_once(&log);
    }
}

#[tokio::test]
async fn a_request_beside_another_in_a_session_joins_it() {
    let (store, clock) = (MemoryStore::new(), Clock::start());
    let service = process(&store, &clock);
    let builder = || service.tracker.workflow("s").new_run_after(Duration::ZERO);
    let first = builder().start().unwrap();
    let second = builder().start().unwrap();
    first.fail("it fails");
    assert_eq!(second.status().overall_status, OverallStatus::Failed);
    // Both handles are of a run that has ended.
    let third = builder().start().unwrap();
    assert_eq!(third.status().overall_status, OverallStatus::Initializing);
    drop((first, second));
    assert_eq!(third.status().overall_status, OverallStatus::Initializing);
    third.complete();
    service.tracker.flush().await.unwrap();
    let status = store.status("s").unwrap();
    assert_eq!(status.overall_status, OverallStatus::Completed);
    assert_eq!(status.previous_run.unwrap().overall_status, OverallStatus::Failed);
}
