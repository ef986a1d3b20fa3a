//! The metrics: names, units, labels and values.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use ::metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    set_default_local_recorder, with_local_recorder,
};
use http::Request;
use http_body_util::BodyExt as _;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tower::{ServiceBuilder, ServiceExt as _};
use tower_agent_status::metrics::{self, LOST, SESSIONS_DIRTY, WRITE_DURATION, WRITES};
use tower_agent_status::status::{Change, Precondition};
use tower_agent_status::store::{
    MemoryStore, StatusStore, StoreError, StoreErrorKind, WriteOutcome,
};
use tower_agent_status::{StatusLayer, StatusTracker};

use crate::support::timed::{FAILS, JSON, RESET, SSE, Timed};
use crate::support::{AGENT, SESSION, builder, of_session};

/// The values recorded since the last call, by name and labels: a count, the last value of a
/// gauge, or all values of a histogram. Times are in whole seconds.
fn taken(snapshotter: &Snapshotter) -> BTreeMap<String, Vec<f64>> {
    let mut taken = BTreeMap::new();
    for (key, unit, _, value) in snapshotter.snapshot().into_vec() {
        let mut values = match value {
            DebugValue::Counter(count) => vec![count as f64],
            DebugValue::Gauge(value) => vec![value.0],
            DebugValue::Histogram(values) => values.iter().map(|value| value.0).collect(),
        };
        if unit == Some(Unit::Seconds) {
            // A sleep may last a millisecond too long.
            values.iter_mut().for_each(|value| *value = value.floor());
        }
        if values.iter().any(|value| *value != 0.0) {
            taken.insert(named(key.key()), values);
        }
    }
    taken
}

/// A key as `name{label=value}`, without the labels that never change.
fn named(key: &Key) -> String {
    let same = [("gen_ai.operation.name", "invoke_agent"), ("gen_ai.agent.name", AGENT)];
    let labels = key.labels().map(|label| (label.key(), label.value()));
    let mut labels: Vec<_> = labels.filter(|label| !same.contains(label)).collect();
    labels.sort_unstable();
    let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{}{{{}}}", key.name(), labels.join(","))
}

fn of_calls(taken: BTreeMap<String, Vec<f64>>) -> Vec<(String, Vec<f64>)> {
    let is_of_call = |name: &str| name.starts_with("gen_ai.") || name.starts_with(metrics::CALLS);
    taken.into_iter().filter(|(name, _)| is_of_call(name)).collect()
}

fn expected(metrics: &[(&str, &[f64])]) -> Vec<(String, Vec<f64>)> {
    metrics.iter().map(|(name, values)| ((*name).to_owned(), values.to_vec())).collect()
}

async fn call(tracker: &StatusTracker, agent: Timed, request: Request<()>) {
    let layer = StatusLayer::new(tracker, AGENT);
    let service = ServiceBuilder::new().layer(layer).service(agent);
    if let Ok(response) = service.oneshot(request).await {
        response.into_body().collect().await.unwrap();
    }
}

fn request() -> Request<()> {
    of_session(SESSION, Request::new(()))
}

#[tokio::test(start_paused = true)]
async fn calls_are_counted_and_timed_with_their_tokens() {
    let recorder = DebuggingRecorder::new();
    let _listening = set_default_local_recorder(&recorder);
    let seen = recorder.snapshotter();
    let tracker = builder(MemoryStore::new()).start().unwrap();

    call(&tracker, JSON, request()).await;
    let values: &[(&str, &[f64])] = &[
        ("agent_status.calls{outcome=success}", &[1.0]),
        (
            "gen_ai.client.inference.duration{gen_ai.operation.name=chat,gen_ai.provider.name=anthropic}",
            &[4.0],
        ),
        (
            "gen_ai.client.inference.operation.input_tokens{gen_ai.operation.name=chat,gen_ai.provider.name=anthropic}",
            &[12.0],
        ),
        (
            "gen_ai.client.inference.operation.output_tokens{gen_ai.operation.name=chat,gen_ai.provider.name=anthropic}",
            &[2.0],
        ),
        (
            "gen_ai.client.inference.usage.cache_read.input_tokens{gen_ai.operation.name=chat,gen_ai.provider.name=anthropic,gen_ai.token.modality=unknown}",
            &[3.0],
        ),
        (
            "gen_ai.client.inference.usage.cache_write.input_tokens{gen_ai.operation.name=chat,gen_ai.provider.name=anthropic,gen_ai.token.modality=unknown}",
            &[4.0],
        ),
        (
            "gen_ai.client.inference.usage.input_tokens{gen_ai.operation.name=chat,gen_ai.provider.name=anthropic,gen_ai.token.modality=unknown}",
            &[12.0],
        ),
        (
            "gen_ai.client.inference.usage.output_tokens{gen_ai.operation.name=chat,gen_ai.provider.name=anthropic,gen_ai.token.modality=unknown}",
            &[2.0],
        ),
    ];
    assert_eq!(of_calls(taken(&seen)), expected(values));

    call(&tracker, SSE, request()).await;
    call(&tracker, SSE, request()).await;
    let values: &[(&str, &[f64])] = &[
        ("agent_status.calls{outcome=success}", &[2.0]),
        (
            "gen_ai.client.inference.duration{gen_ai.operation.name=chat,gen_ai.provider.name=openai}",
            &[5.0, 5.0],
        ),
        (
            "gen_ai.client.inference.operation.input_tokens{gen_ai.operation.name=chat,gen_ai.provider.name=openai}",
            &[9.0, 9.0],
        ),
        (
            "gen_ai.client.inference.operation.output_tokens{gen_ai.operation.name=chat,gen_ai.provider.name=openai}",
            &[3.0, 3.0],
        ),
        (
            "gen_ai.client.inference.time_to_first_chunk{gen_ai.operation.name=chat,gen_ai.provider.name=openai}",
            &[3.0, 3.0],
        ),
        (
            "gen_ai.client.inference.usage.input_tokens{gen_ai.operation.name=chat,gen_ai.provider.name=openai,gen_ai.token.modality=unknown}",
            &[18.0],
        ),
        (
            "gen_ai.client.inference.usage.output_tokens{gen_ai.operation.name=chat,gen_ai.provider.name=openai,gen_ai.token.modality=unknown}",
            &[6.0],
        ),
        (
            "gen_ai.client.inference.usage.reasoning.output_tokens{gen_ai.operation.name=chat,gen_ai.provider.name=openai,gen_ai.token.modality=unknown}",
            &[2.0],
        ),
    ];
    assert_eq!(of_calls(taken(&seen)), expected(values));

    call(&tracker, FAILS, request()).await;
    call(&tracker, RESET, request()).await;
    let values: &[(&str, &[f64])] = &[
        ("agent_status.calls{error.type=http_500,outcome=error}", &[1.0]),
        ("agent_status.calls{error.type=transport,outcome=error}", &[1.0]),
        ("gen_ai.client.operation.duration{error.type=http_500}", &[3.0]),
        ("gen_ai.client.operation.duration{error.type=transport}", &[2.0]),
    ];
    assert_eq!(of_calls(taken(&seen)), expected(values));

    call(&tracker, JSON, Request::new(())).await;
    assert_eq!(of_calls(taken(&seen)), [], "a call without a session is not tracked");
}

#[tokio::test(start_paused = true)]
async fn the_first_chunk_of_a_stream_may_be_its_last() {
    let recorder = DebuggingRecorder::new();
    let _listening = set_default_local_recorder(&recorder);
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let agent = tower::service_fn(|_: Request<()>| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        // A body of a known length, which is not polled again.
        let body = http_body_util::Full::new(bytes::Bytes::from_static(b"data: {}\n\n"));
        let response = http::Response::builder().header("content-type", "text/event-stream");
        Ok::<_, std::convert::Infallible>(response.body(body).unwrap())
    });
    let stack = ServiceBuilder::new().layer(StatusLayer::new(&tracker, AGENT)).service(agent);
    let mut body = stack.oneshot(request()).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    let values = taken(&recorder.snapshotter());
    assert_eq!(values["agent_status.time_to_first_chunk{}"], [2.0]);
}

#[tokio::test(start_paused = true)]
async fn only_a_stream_has_a_first_chunk() {
    let recorder = DebuggingRecorder::new();
    let _listening = set_default_local_recorder(&recorder);
    let seen = recorder.snapshotter();
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let event = crate::frames::frame(&[(":event-type", "messageStart")], b"{}");
    let message = b"\0\0\0\0\x02{}".to_vec();
    for (content_type, body, is_stream) in [
        ("application/json", b"{}".to_vec(), false),
        ("application/x-ndjson", b"{}\n".to_vec(), true),
        ("application/json", b"data: {}\n\n".to_vec(), true),
        ("application/vnd.amazon.eventstream", event.clone(), true),
        ("application/octet-stream", event, true),
        ("application/octet-stream", b"film".to_vec(), false),
        // A single message looks like the first of several.
        ("application/grpc", message.clone(), false),
        ("application/grpc-web+proto", message.clone(), false),
        ("application/connect+proto", message, true),
    ] {
        let agent = tower::service_fn(|_: Request<()>| {
            let body = http_body_util::Full::new(bytes::Bytes::from(body.clone()));
            let response = http::Response::builder().header("content-type", content_type);
            std::future::ready(Ok::<_, std::convert::Infallible>(response.body(body).unwrap()))
        });
        let stack = ServiceBuilder::new().layer(StatusLayer::new(&tracker, AGENT)).service(agent);
        stack.oneshot(request()).await.unwrap().into_body().collect().await.unwrap();
        // The times are zero, which `taken` leaves out.
        let is_timed = seen.snapshot().into_vec().into_iter().any(|(key, _, _, value)| {
            let names = [metrics::AGENT_TIME_TO_FIRST_CHUNK, metrics::TIME_TO_FIRST_CHUNK];
            names.contains(&key.key().name()) && value != DebugValue::Histogram(Vec::new())
        });
        assert_eq!(is_timed, is_stream, "{content_type}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_is_installed_after_the_tracker_sees_all_from_then_on() {
    let tracker = builder(MemoryStore::new()).start().unwrap();
    call(&tracker, JSON, request()).await;
    let recorder = DebuggingRecorder::new();
    let _listening = set_default_local_recorder(&recorder);
    call(&tracker, JSON, request()).await;
    tracker.flush().await.unwrap();
    let values = taken(&recorder.snapshotter());
    assert_eq!(values["agent_status.calls{outcome=success}"], [1.0]);
    assert!(values.contains_key("agent_status.writes{result=applied}"), "{values:?}");
}

/// A store that returns scripted results, then those of the inner store. A write takes a
/// second.
struct ScriptedStore {
    results: Mutex<VecDeque<Option<StoreErrorKind>>>,
    inner: MemoryStore,
}

impl StatusStore for ScriptedStore {
    async fn write(
        &self,
        change: &Change,
        expected: Precondition,
    ) -> Result<WriteOutcome, StoreError> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let result = self.results.lock().unwrap().pop_front();
        match result {
            Some(Some(kind)) => Err(StoreError::new(kind, "scripted failure")),
            Some(None) => Ok(WriteOutcome::Conflict(None)),
            None => self.inner.write(change, expected).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn writes_are_counted_and_timed() {
    use StoreErrorKind::{Permanent, Throttled, Unavailable};

    let recorder = DebuggingRecorder::new();
    let _listening = set_default_local_recorder(&recorder);
    let seen = recorder.snapshotter();
    let results = [None, Some(Throttled), Some(Unavailable), Some(Permanent)];
    let store = ScriptedStore { results: Mutex::new(results.into()), inner: MemoryStore::new() };
    // No heartbeat is to add writes.
    let tracker = builder(store).heartbeat_interval(Duration::from_secs(3_600)).start().unwrap();
    let workflow = tracker.workflow(SESSION).start().unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(taken(&seen)[&format!("{SESSIONS_DIRTY}{{}}")], [1.0]);
    tokio::time::sleep(Duration::from_secs(120)).await;
    let values: &[(&str, &[f64])] = &[
        ("agent_status.write.duration{result=applied}", &[1.0]),
        ("agent_status.write.duration{result=conflict}", &[1.0]),
        ("agent_status.write.duration{result=permanent}", &[1.0]),
        ("agent_status.write.duration{result=throttled}", &[1.0]),
        ("agent_status.write.duration{result=unavailable}", &[1.0]),
        ("agent_status.write.retries{}", &[4.0]),
        ("agent_status.writes{result=applied}", &[1.0]),
        ("agent_status.writes{result=conflict}", &[1.0]),
        ("agent_status.writes{result=permanent}", &[1.0]),
        ("agent_status.writes{result=throttled}", &[1.0]),
        ("agent_status.writes{result=unavailable}", &[1.0]),
    ];
    // The gauge is at zero again, which `taken` leaves out.
    assert_eq!(taken(&seen).into_iter().collect::<Vec<_>>(), expected(values));
    workflow.complete();
}

#[tokio::test(start_paused = true)]
async fn a_write_of_what_changed_during_a_write_is_no_retry() {
    let recorder = DebuggingRecorder::new();
    let _listening = set_default_local_recorder(&recorder);
    let seen = recorder.snapshotter();
    let store = ScriptedStore { results: Mutex::default(), inner: MemoryStore::new() };
    let tracker = builder(store).start().unwrap();
    let workflow = tracker.workflow(SESSION).start().unwrap();
    for waiting in 0..2_usize {
        // One is being written, and others wait for the delay of their batch.
        tokio::time::sleep(Duration::from_millis(500)).await;
        workflow.set_attribute("documentId", waiting.to_string()).unwrap();
        for session in ["second", "third"].iter().take(waiting) {
            tracker.workflow(*session).start().unwrap().detach();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        let dirty = taken(&seen)[&format!("{SESSIONS_DIRTY}{{}}")].clone();
        assert_eq!(dirty, [(1 + waiting) as f64]);
    }
    tracker.flush().await.unwrap();
    let values = taken(&seen);
    assert!(!values.contains_key("agent_status.write.retries{}"), "{values:?}");
    assert_eq!(values["agent_status.writes{result=applied}"], [3.0]);
}

#[tokio::test(start_paused = true)]
async fn each_write_after_a_failure_is_a_retry() {
    let recorder = DebuggingRecorder::new();
    let _listening = set_default_local_recorder(&recorder);
    let seen = recorder.snapshotter();
    let results = [StoreErrorKind::Permanent, StoreErrorKind::Unavailable].map(Some);
    let store = ScriptedStore { results: Mutex::new(results.into()), inner: MemoryStore::new() };
    let tracker = builder(store).start().unwrap();
    tracker.workflow(SESSION).start().unwrap().complete();
    tokio::time::sleep(Duration::from_secs(10)).await;
    // None is being written, and one waits.
    assert_eq!(taken(&seen)[&format!("{SESSIONS_DIRTY}{{}}")], [1.0]);
    tokio::time::sleep(Duration::from_secs(110)).await;
    let values = taken(&seen);
    assert_eq!(values["agent_status.write.retries{}"], [2.0]);
    assert_eq!(values["agent_status.writes{result=applied}"], [1.0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_is_counted_by_reason() {
    let recorder = DebuggingRecorder::new();
    let _listening = set_default_local_recorder(&recorder);
    let seen = recorder.snapshotter();
    let results = [Some(StoreErrorKind::Permanent)];
    let store = ScriptedStore { results: Mutex::new(results.into()), inner: MemoryStore::new() };
    let tracker = builder(store).max_sessions(1).start().unwrap();
    let _workflow = tracker.workflow(SESSION).start().unwrap();
    call(&tracker, JSON, of_session("another", Request::new(()))).await;
    call(&tracker, JSON, of_session("third", Request::new(()))).await;
    assert_eq!(taken(&seen)[&format!("{LOST}{{reason=full}}")], [2.0]);
    tracker.shutdown(Duration::ZERO).await.unwrap_err();
    assert_eq!(taken(&seen)[&format!("{LOST}{{reason=unsaved}}")], [1.0]);
    call(&tracker, JSON, request()).await;
    let values = taken(&seen);
    assert_eq!(values[&format!("{LOST}{{reason=closed}}")], [1.0]);
    assert!(
        !values.keys().any(|name| name.starts_with(WRITES) || name.starts_with(WRITE_DURATION))
    );
}

/// Records the descriptions: name, kind, unit and text.
#[derive(Default)]
struct Described(Mutex<Vec<Description>>);

type Description = (String, &'static str, Option<Unit>, String);

impl Described {
    fn hear(&self, name: KeyName, kind: &'static str, unit: Option<Unit>, text: SharedString) {
        let described = (name.as_str().to_owned(), kind, unit, text.into_owned());
        self.0.lock().unwrap().push(described);
    }
}

impl Recorder for Described {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.hear(name, "counter", unit, text);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.hear(name, "gauge", unit, text);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.hear(name, "histogram", unit, text);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn a_tracker_describes_the_metrics_as_the_table_of_the_docs_does() {
    let cells = |row: &'static str| -> Vec<&str> {
        row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect()
    };
    let rows = include_str!("../../src/telemetry/metrics.rs").lines().filter_map(|line| {
        line.strip_prefix("//! ").filter(|line| line.starts_with("| `")).map(cells)
    });
    // Those of the labels have fewer columns.
    let rows = rows.filter(|row| row.len() == 5);
    let mut documented: Vec<_> = rows
        .map(|row| {
            let unit = match row[2] {
                "seconds" => Some(Unit::Seconds),
                // The facade has no unit for money.
                "US dollars" => None,
                _ => Some(Unit::Count),
            };
            (row[0].to_owned(), row[1].to_owned(), unit)
        })
        .collect();
    documented.sort_unstable_by(|a, b| a.0.cmp(&b.0));

    let recorder = Described::default();
    with_local_recorder(&recorder, || builder(MemoryStore::new()).start().unwrap());
    let described = recorder.0.into_inner().unwrap().into_iter();
    let mut described: Vec<_> = described
        .map(|(name, kind, unit, text)| {
            assert!(!text.is_empty(), "{name}");
            (name, kind.to_owned(), unit)
        })
        .collect();
    described.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(described, documented);

    let recorder = Described::default();
    with_local_recorder(&recorder, metrics::describe);
    assert_eq!(recorder.0.into_inner().unwrap().len(), documented.len());
}

#[test]
fn the_buckets_are_those_of_the_conventions() {
    let are = |buckets: &[f64], first: f64, factor: f64, last: f64| {
        let expected = std::iter::successors(Some(first), |bound| Some(bound * factor));
        let expected: Vec<_> = expected.take(buckets.len()).collect();
        assert_eq!(buckets.last(), Some(&last));
        for (bound, expected) in buckets.iter().zip(expected) {
            assert!((bound / expected - 1.0).abs() < 1e-9, "{bound}, not {expected}");
        }
    };
    are(&metrics::DURATION_BUCKETS, 0.01, 2.0, 81.92);
    are(&metrics::TOKEN_BUCKETS, 1.0, 4.0, 67_108_864.0);
    are(&metrics::WORKFLOW_DURATION_BUCKETS, 0.1, 2.0, 409.6);
}
