//! One client for many agents: selecting the agent that a call is for.

use std::collections::BTreeMap;
use std::convert::Infallible;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use metrics_util::debugging::DebuggingRecorder;
use reqwest_middleware::ClientBuilder;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_agent_status::status::AgentState;
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{
    Agent, InvalidName, StatusLayer, StatusMiddleware, StatusTracker, Target,
};

use crate::support::agent::{MockAgent, client, whole};
use crate::support::{AGENT, builder, id, of_session, stored, ticking_clock};
use crate::warnings::Warnings;

const ARN: &str = "arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/matching_agent-x1";

fn tracker() -> (StatusTracker, MemoryStore) {
    let store = MemoryStore::new();
    (builder(store.clone()).clock(ticking_clock()).start().unwrap(), store)
}

/// Sends a request in the session `s`.
async fn call(layer: &StatusLayer, request: Request<()>) {
    let agent = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new("{\"success\":true}".to_owned()))
    });
    let response = layer.layer(agent).oneshot(of_session("s", request)).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{\"success\":true}");
}

fn to(uri: &str) -> Request<()> {
    Request::builder().uri(uri).body(()).unwrap()
}

fn of_agent(agent: Agent) -> Request<()> {
    let mut request = to("http://x/");
    request.extensions_mut().insert(agent);
    request
}

/// How often each agent was called in the session `s`.
async fn calls(tracker: &StatusTracker, store: &MemoryStore) -> BTreeMap<String, u64> {
    stored(tracker, store, "s").await;
    let status = store.status("s").unwrap();
    status.agents().map(|(name, agent)| (name.to_owned(), agent.calls)).collect()
}

fn counts<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.map(|(name, calls)| (name.to_owned(), calls)).into()
}

#[tokio::test]
async fn the_first_that_answers_names_the_agent() {
    let (tracker, store) = tracker();
    let layer = StatusLayer::new(&tracker, "otherwise")
        .agent_for(Target::host("a.example"), "byHost")
        .agent_for(Target::path_prefix("/v1"), "byPath")
        .agent_for(Target::agent_runtime(ARN), "byRuntime")
        .agent_from(|head| Some(head.path.strip_prefix("/named/")?.to_owned()));
    call(&layer, to("http://a.example/v1")).await;
    call(&layer, to("http://b.example/v1/messages")).await;
    let arn = ARN.replace(':', "%3A").replace('/', "%2F");
    call(&layer, to(&format!("http://b.example/runtimes/{arn}/invocations"))).await;
    call(&layer, to("http://b.example/named/byClosure")).await;
    call(&layer, to("http://b.example/v2")).await;
    let mut request = of_agent(Agent::new("byExtension"));
    *request.uri_mut() = "http://a.example/v1".parse().unwrap();
    call(&layer, request).await;
    let expected = [
        (AGENT, 0),
        ("byHost", 1),
        ("byPath", 1),
        ("byRuntime", 1),
        ("byClosure", 1),
        ("otherwise", 1),
        ("byExtension", 1),
    ];
    assert_eq!(calls(&tracker, &store).await, counts(expected));
}

#[tokio::test]
async fn a_call_of_no_agent_passes_untouched_and_a_layer_further_in_may_know_it() {
    let (tracker, store) = tracker();
    let layer = StatusLayer::per_request(&tracker).agent_for(Target::path_prefix("/pdf"), AGENT);
    call(&layer, to("http://x/else")).await;
    tracker.flush().await.unwrap();
    assert_eq!(store.history(), []);

    let inner = StatusLayer::new(&tracker, "inner");
    let agent =
        service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(String::new())) });
    let both = layer.layer(inner.layer(agent));
    both.clone().oneshot(of_session("s", to("http://x/else"))).await.unwrap();
    both.oneshot(of_session("s", to("http://x/pdf"))).await.unwrap();
    assert_eq!(calls(&tracker, &store).await, counts([(AGENT, 1), ("inner", 1)]));
}

#[tokio::test]
async fn rules_declare_their_agents_and_extensions_do_not() {
    let (tracker, store) = tracker();
    let layer = StatusLayer::per_request(&tracker)
        .agent_for(Target::host("a.example"), "ruled")
        .agent_from(|head| Some(head.path.strip_prefix("/named/")?.to_owned()));
    for n in 0..50 {
        call(&layer, of_agent(Agent::new(format!("agent{n}")))).await;
        call(&layer, to(&format!("http://x/named/closure{n}"))).await;
    }
    assert_eq!(calls(&tracker, &store).await.len(), 102);
    tracker.workflow("later").start().unwrap().complete();
    let later = stored(&tracker, &store, "later").await;
    let later = tower_agent_status::status::WorkflowStatus::from_item(&id("later"), &later);
    let names: Vec<_> = later.agents().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, [AGENT, "ruled"]);
}

#[tokio::test]
async fn an_extension_brings_texts_where_the_agent_was_not_declared() {
    let (tracker, store) = tracker();
    let layer = StatusLayer::per_request(&tracker);
    call(&layer, of_agent(Agent::new("new").success("Well done"))).await;
    call(&layer, of_agent(Agent::new(AGENT).success("Well done"))).await;
    stored(&tracker, &store, "s").await;
    let status = store.status("s").unwrap();
    assert_eq!(&*status.agent("new").unwrap().activity, "Well done");
    assert_eq!(&*status.agent(AGENT).unwrap().activity, "Text extraction complete");
}

#[tokio::test]
async fn a_bad_name_passes_the_call_and_is_said_once() {
    let warnings = Warnings::watch();
    let (tracker, store) = tracker();
    let layer = StatusLayer::per_request(&tracker).agent_from(|_| Some("overallStatus".into()));
    call(&layer, to("http://x/")).await;
    call(&layer, of_agent(Agent::new(""))).await;
    tracker.flush().await.unwrap();
    assert_eq!(store.history(), []);
    let [warning] = &warnings.take()[..] else { panic!("one warning is logged") };
    assert!(warning.contains("overallStatus"), "{warning}");
}

#[tokio::test]
async fn a_bad_name_in_a_rule_is_refused_where_it_is_declared() {
    let (tracker, _) = tracker();
    let layer = StatusLayer::per_request(&tracker);
    let error = layer.clone().try_agent_for(Target::path_prefix("/"), "error").unwrap_err();
    assert_eq!(error, InvalidName::Reserved("error".to_owned()));
    let declared = std::panic::AssertUnwindSafe(|| layer.agent_for(Target::path_prefix("/"), ""));
    let panic = std::panic::catch_unwind(declared).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("the name is empty"));
}

#[tokio::test]
async fn over_sockets_agents_on_one_host_are_told_apart_by_their_ports() {
    let (tracker, store) = tracker();
    let answer = |_| async { Response::new(whole("{\"success\":true}")) };
    let (one, two) = (MockAgent::start(answer).await, MockAgent::start(answer).await);
    let host = |agent: &MockAgent| {
        let uri: http::Uri = agent.url("/").parse().unwrap();
        Target::host(uri.authority().unwrap().as_str())
    };
    let layer = StatusLayer::per_request(&tracker)
        .agent_for(host(&one), "one")
        .agent_for(host(&two), "two");
    for agent in [&one, &two, &two] {
        let request = Request::get(agent.url("/")).body(http_body_util::Full::default()).unwrap();
        let response = layer.layer(client()).oneshot(of_session("s", request)).await.unwrap();
        response.into_body().collect().await.unwrap();
    }
    // The same rules hold in reqwest-middleware, which has its own extensions.
    let status = StatusMiddleware::from(layer);
    let client = ClientBuilder::new(::reqwest::Client::new()).with(status).build();
    let session = crate::support::id("s");
    let request = client.get(one.url("/")).with_extension(session.clone());
    request.send().await.unwrap().bytes().await.unwrap();
    let request = client.get(one.url("/")).with_extension(session);
    let request = request.with_extension(Agent::new("three"));
    request.send().await.unwrap().bytes().await.unwrap();
    let expected = counts([(AGENT, 0), ("one", 2), ("two", 2), ("three", 1)]);
    assert_eq!(calls(&tracker, &store).await, expected);
    assert_eq!(store.status("s").unwrap().agent("one").unwrap().state, AgentState::Success);
}

#[tokio::test]
async fn agents_that_were_not_declared_are_one_in_the_metrics() {
    let recorder = DebuggingRecorder::new();
    let _listening = ::metrics::set_default_local_recorder(&recorder);
    let (tracker, _) = tracker();
    let layer = StatusLayer::per_request(&tracker);
    for name in ["one", "two", AGENT] {
        call(&layer, of_agent(Agent::new(name))).await;
    }
    let snapshot = recorder.snapshotter().snapshot().into_vec();
    let mut agents: Vec<_> = snapshot
        .iter()
        .flat_map(|(key, ..)| key.key().labels())
        .filter(|label| label.key() == "gen_ai.agent.name")
        .map(|label| label.value().to_owned())
        .collect();
    agents.sort_unstable();
    agents.dedup();
    assert_eq!(agents, [tower_agent_status::metrics::OTHER_AGENTS, AGENT]);
}

#[tokio::test]
async fn a_session_has_room_for_so_many_agents_that_were_not_declared() {
    let warnings = Warnings::watch();
    let (tracker, store) = tracker();
    let layer = StatusLayer::per_request(&tracker)
        .agent_from(|head| Some(head.path.trim_start_matches('/').to_owned()));
    for n in 0..200 {
        call(&layer, to(&format!("/document-{n}"))).await;
    }
    // Agents that the session already has are still recorded.
    call(&layer, to("/document-1")).await;
    call(&layer, to(&format!("/{AGENT}"))).await;
    let calls = calls(&tracker, &store).await;
    assert_eq!(calls.len(), StatusTracker::MAX_AGENTS);
    assert_eq!((calls["document-1"], calls[AGENT]), (2, 1));
    assert_eq!(tracker.lost(), 200 - (StatusTracker::MAX_AGENTS as u64 - 1));
    let warnings = warnings.take();
    assert!(warnings.iter().any(|line| line.contains("too many agents")), "{warnings:?}");
}

/// reqwest's URL drops a port that is its scheme's default; other clients may retain it.
#[tokio::test]
async fn a_rule_may_name_the_port_that_a_scheme_has_anyway() {
    let (tracker, store) = tracker();
    let layer = StatusLayer::per_request(&tracker)
        .session_from(|_| Some("s".to_owned()))
        .agent_for(Target::host("gateway:443"), "tls")
        .agent_for(Target::host("gateway:80"), "plain");
    let client = layer.layer(service_fn(|_: ::reqwest::Request| async {
        Ok::<_, ::reqwest::Error>(::reqwest::Response::from(Response::new("")))
    }));
    let uris =
        ["https://gateway:443/", "https://gateway/", "http://gateway:80/", "http://gateway/"];
    for uri in uris {
        let request = ::reqwest::Request::new(::reqwest::Method::GET, uri.parse().unwrap());
        client.clone().oneshot(request).await.unwrap();
        call(&layer, to(uri)).await;
    }
    assert_eq!(calls(&tracker, &store).await, counts([(AGENT, 0), ("tls", 4), ("plain", 4)]));
}
