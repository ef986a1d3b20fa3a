//! The same tracking in a reqwest-middleware client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Extensions, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Extension, Middleware, Next};
use tower_agent_status::status::{AgentState, TokenUsage, WorkflowStatus};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{Agent, StatusLayer, StatusTracker};

use crate::StatusMiddleware;
use crate::support::agent::{AgentBody, MockAgent, data, piped, whole};
use crate::support::{builder, id};

const ANSWER: &str = r#"{"success": true, "token_usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}}"#;

struct Stack {
    tracker: StatusTracker,
    store: MemoryStore,
    client: ClientWithMiddleware,
}

fn stack() -> Stack {
    stack_with(|client, status| client.with(status))
}

fn stack_with(stack: impl FnOnce(ClientBuilder, StatusMiddleware) -> ClientBuilder) -> Stack {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    let status = StatusMiddleware::new(&tracker, "a");
    let client = stack(ClientBuilder::new(::reqwest::Client::new()), status).build();
    Stack { tracker, store, client }
}

fn stack_from(configure: impl FnOnce(StatusLayer) -> StatusLayer) -> Stack {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    let status = StatusMiddleware::from(configure(StatusLayer::new(&tracker, "a")));
    let client = ClientBuilder::new(::reqwest::Client::new()).with(status).build();
    Stack { tracker, store, client }
}

impl Stack {
    async fn stored(&self) -> WorkflowStatus {
        self.tracker.flush().await.unwrap();
        self.store.status("s").unwrap()
    }
}

fn answer(status: u16, body: AgentBody) -> Response<AgentBody> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

async fn agent(status: u16, body: &'static str) -> MockAgent {
    MockAgent::start(move |_| async move { answer(status, whole(body)) }).await
}

#[tokio::test]
async fn the_response_is_what_it_is_without_the_middleware() {
    let agent = agent(200, ANSWER).await;
    let stack = stack();
    let url = agent.url("/invocations?key=secret");
    let bare = ::reqwest::Client::new().get(&url).send().await.unwrap();
    let tracked = stack.client.get(&url).with_extension(id("s")).send().await.unwrap();
    assert_eq!(tracked.url(), bare.url());
    assert_eq!(tracked.url().as_str(), url);
    assert_eq!(tracked.status(), bare.status());
    assert_eq!(tracked.version(), bare.version());
    assert_eq!(tracked.remote_addr(), bare.remote_addr());
    assert_eq!(tracked.content_length(), bare.content_length());
    assert_eq!(tracked.content_length(), Some(u64::try_from(ANSWER.len()).unwrap()));
    assert_eq!(tracked.headers(), bare.headers());
    assert_eq!(tracked.bytes().await.unwrap(), bare.bytes().await.unwrap());

    let status = stack.stored().await;
    let agent = status.agent("a").unwrap();
    assert_eq!((agent.state, agent.calls), (AgentState::Success, 1));
    assert_eq!(agent.token_usage(), Some(TokenUsage::new(5, 2)));
}

#[tokio::test]
async fn a_call_without_a_session_is_untouched() {
    let agent = agent(200, ANSWER).await;
    let stack = stack();
    let response = stack.client.get(agent.url("/")).send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), ANSWER);
    stack.tracker.flush().await.unwrap();
    assert!(stack.store.history().is_empty());
}

#[tokio::test]
async fn session_and_agent_are_the_clients_unless_a_request_names_its_own() {
    let mock = agent(200, ANSWER).await;
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    let client = ClientBuilder::new(::reqwest::Client::new())
        .with_init(Extension(id("s")))
        .with_init(Extension(Agent::new("clients")))
        .with(StatusMiddleware::from(StatusLayer::per_request(&tracker)))
        .build();
    let ask = |request: reqwest_middleware::RequestBuilder| async {
        request.send().await.unwrap().bytes().await.unwrap();
    };
    ask(client.get(mock.url("/"))).await;
    ask(client.get(mock.url("/")).with_extension(Agent::new("requests"))).await;
    ask(client.get(mock.url("/")).with_extension(id("t"))).await;

    tracker.flush().await.unwrap();
    let calls = |session: &str| {
        let status = store.status(session).unwrap();
        ["clients", "requests"].map(|agent| status.agent(agent).map_or(0, |agent| agent.calls))
    };
    assert_eq!(calls("s"), [1, 1]);
    assert_eq!(calls("t"), [1, 0]);
}

#[tokio::test]
async fn an_error_status_counts_though_its_body_is_not_read() {
    let agent = agent(500, r#"{"error": "no model"}"#).await;
    let stack = stack();
    let response = stack.client.get(agent.url("/")).with_extension(id("s")).send().await.unwrap();
    assert!(response.error_for_status().is_err());
    let status = stack.stored().await;
    let error = status.agent("a").unwrap().error.clone().unwrap();
    assert_eq!(error.class, "http_500");
}

#[tokio::test]
async fn a_body_dropped_half_way_is_cancelled() {
    let (pipe, body) = piped();
    let body = std::sync::Mutex::new(Some(body));
    let agent = MockAgent::start(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async move { answer(200, body) }
    })
    .await;
    let stack = stack();
    pipe.send(data("{\"success\":")).await.unwrap();
    let mut response =
        stack.client.get(agent.url("/")).with_extension(id("s")).send().await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "{\"success\":");
    drop(response);
    let status = stack.stored().await;
    assert_eq!(status.agent("a").unwrap().error.clone().unwrap().class, "cancelled");
}

#[tokio::test]
async fn a_failure_says_its_cause_and_no_secret() {
    let stack = stack();
    // Nothing listens on port 1 of this machine.
    let url = "http://user:password@127.0.0.1:1/invocations?key=secret";
    let request = stack.client.get(url).with_extension(id("s"));
    let error = request.send().await.unwrap_err();
    assert!(error.is_connect());
    let status = stack.stored().await;
    let error = status.agent("a").unwrap().error.clone().unwrap();
    assert_eq!(error.class, "transport");
    let message = error.message.as_str();
    assert!(message.contains("refused"), "{message}");
    for secret in ["secret", "password", "user", "key="] {
        assert!(!message.contains(secret), "{message}");
    }
}

#[tokio::test]
async fn a_time_out_of_the_client_is_a_timeout_for_both() {
    let agent = MockAgent::start(|_| std::future::pending::<Response<AgentBody>>()).await;
    let stack = stack();
    let request = stack.client.get(agent.url("/")).with_extension(id("s"));
    let error = request.timeout(Duration::from_millis(1)).send().await.unwrap_err();
    assert!(error.is_timeout());
    let status = stack.stored().await;
    assert_eq!(status.agent("a").unwrap().error.clone().unwrap().class, "timeout");
}

#[tokio::test]
async fn a_time_out_in_the_body_is_a_timeout_too() {
    let (pipe, body) = piped();
    let body = std::sync::Mutex::new(Some(body));
    let agent = MockAgent::start(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async move { answer(200, body) }
    })
    .await;
    let stack = stack();
    pipe.send(data("{\"success\":")).await.unwrap();
    let request = stack.client.get(agent.url("/")).with_extension(id("s"));
    // Longer than the head takes on loopback. The body never ends.
    let response = request.timeout(Duration::from_secs(1)).send().await.unwrap();
    assert!(response.bytes().await.unwrap_err().is_timeout());
    let status = stack.stored().await;
    assert_eq!(status.agent("a").unwrap().error.clone().unwrap().class, "timeout");
}

#[tokio::test]
async fn a_middleware_is_made_from_a_layer_with_all_that_it_was_told() {
    let agent = agent(200, ANSWER).await;
    let name = http::HeaderName::from_static("x-correlation-id");
    let stack = stack_from(|layer| layer.session_header_with(name, |_| "s".to_owned()));
    let request = stack.client.get(agent.url("/")).header("x-correlation-id", "c");
    request.send().await.unwrap().bytes().await.unwrap();
    assert_eq!(stack.stored().await.agent("a").unwrap().calls, 1);
}

/// Retries a request until it succeeds.
struct Again;

#[async_trait::async_trait]
impl Middleware for Again {
    async fn handle(
        &self,
        request: ::reqwest::Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<::reqwest::Response> {
        loop {
            let attempt = request.try_clone().unwrap();
            let response = next.clone().run(attempt, extensions).await?;
            if response.status().is_success() {
                return Ok(response);
            }
        }
    }
}

#[tokio::test]
async fn inside_a_retry_every_attempt_is_a_call_and_outside_the_last_one() {
    for (inside, calls) in [(true, 3), (false, 1)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let agent = MockAgent::start(move |_| {
            let status = if count.fetch_add(1, Ordering::SeqCst) < 2 { 503 } else { 200 };
            async move { answer(status, whole(ANSWER)) }
        })
        .await;
        let stack = stack_with(|client, status| match inside {
            true => client.with(Again).with(status),
            false => client.with(status).with(Again),
        });
        let request = stack.client.get(agent.url("/")).with_extension(id("s"));
        assert_eq!(request.send().await.unwrap().text().await.unwrap(), ANSWER);
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        let status = stack.stored().await;
        let agent = status.agent("a").unwrap();
        assert_eq!((agent.state, agent.calls), (AgentState::Success, calls), "inside: {inside}");
    }
}

#[tokio::test]
async fn nested_middlewares_of_one_tracker_are_one_call() {
    let agent = agent(200, ANSWER).await;
    let stack = stack_with(|client, status| client.with(status.clone()).with(status));
    let request = stack.client.get(agent.url("/")).with_extension(id("s"));
    request.send().await.unwrap().bytes().await.unwrap();
    assert_eq!(stack.stored().await.agent("a").unwrap().calls, 1);
}

/// The layer in a tower stack around reqwest's client.
mod tower_stack {
    use ::reqwest::Request;
    use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt};
    use tower_agent_status::{SessionId, StatusService};

    use super::*;

    struct Tower {
        tracker: StatusTracker,
        store: MemoryStore,
    }

    fn tower() -> Tower {
        let store = MemoryStore::new();
        let tracker = builder(store.clone()).start().unwrap();
        Tower { tracker, store }
    }

    impl Tower {
        fn client(&self) -> StatusService<::reqwest::Client> {
            self.layer().layer(::reqwest::Client::new())
        }

        fn layer(&self) -> StatusLayer {
            StatusLayer::new(&self.tracker, "a")
        }

        async fn stored(&self) -> WorkflowStatus {
            self.tracker.flush().await.unwrap();
            self.store.status("s").unwrap()
        }
    }

    fn get(url: &str) -> Request {
        Request::new(http::Method::GET, url.parse().unwrap())
    }

    async fn of_s<S: Service<Request>>(
        client: S,
        request: Request,
    ) -> Result<S::Response, S::Error> {
        id("s").scope(client.oneshot(request)).await
    }

    #[tokio::test]
    async fn the_request_and_the_response_are_what_they_are_without_the_layer() {
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let agent = MockAgent::start(move |request: http::Request<hyper::body::Incoming>| {
            let log = Arc::clone(&log);
            async move {
                let (head, body) = request.into_parts();
                let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
                let seen = (head.method, head.uri, head.version, head.headers, body);
                log.lock().unwrap().push(seen);
                answer(200, whole(ANSWER))
            }
        })
        .await;
        let url = agent.url("/invocations?key=secret");
        let request = |body: Option<&'static str>| {
            let mut request = Request::new(http::Method::POST, url.parse().unwrap());
            // A URL's fragment is never sent, and reqwest's response does not have it.
            request.url_mut().set_fragment(Some("part"));
            request.headers_mut().insert("x-a", http::HeaderValue::from_static("1"));
            *request.timeout_mut() = Some(Duration::from_secs(60));
            if body.is_none() {
                *request.version_mut() = http::Version::HTTP_10;
            }
            *request.body_mut() = body.map(Into::into);
            request
        };
        let tower = tower();
        for body in [Some("{\"prompt\": \"?\"}"), None] {
            let bare = ::reqwest::Client::new().execute(request(body)).await.unwrap();
            let tracked = of_s(tower.client(), request(body)).await.unwrap();
            assert_eq!(tracked.url(), bare.url());
            assert_eq!(tracked.url().as_str(), url);
            assert_eq!(tracked.status(), bare.status());
            assert_eq!(tracked.version(), bare.version());
            assert_eq!(tracked.remote_addr(), bare.remote_addr());
            assert!(tracked.remote_addr().is_some());
            assert_eq!(tracked.extensions().len(), bare.extensions().len());
            assert_eq!(tracked.content_length(), bare.content_length());
            assert_eq!(tracked.content_length(), Some(u64::try_from(ANSWER.len()).unwrap()));
            assert_eq!(tracked.headers(), bare.headers());
            assert_eq!(tracked.bytes().await.unwrap(), bare.bytes().await.unwrap());
            let seen = std::mem::take(&mut *seen.lock().unwrap());
            assert_eq!(seen[0], seen[1]);
        }
        let status = tower.stored().await;
        let agent = status.agent("a").unwrap();
        assert_eq!((agent.state, agent.calls), (AgentState::Success, 2));
        assert_eq!(agent.token_usage(), Some(TokenUsage::new(10, 4)));
    }

    #[tokio::test]
    async fn a_request_names_its_session_where_it_was_made_from_one_that_does() {
        let agent = agent(200, ANSWER).await;
        let tower = tower();
        let mut request = http::Request::new("");
        *request.uri_mut() = agent.url("/").parse().unwrap();
        request.extensions_mut().insert(id("s"));
        let request = Request::try_from(request).unwrap();
        let other = SessionId::new("scope").unwrap();
        let response = other.scope(tower.client().oneshot(request)).await.unwrap();
        assert_eq!(response.text().await.unwrap(), ANSWER);
        assert_eq!(tower.stored().await.agent("a").unwrap().calls, 1);
        assert!(tower.store.status("scope").is_none());
    }

    #[tokio::test]
    async fn a_header_names_the_session() {
        let agent = agent(200, ANSWER).await;
        let tower = tower();
        let layer = tower.layer().session_header(http::HeaderName::from_static("x-session"));
        let mut request = get(&agent.url("/"));
        request.headers_mut().insert("x-session", http::HeaderValue::from_static("s"));
        let client = layer.layer(::reqwest::Client::new());
        client.oneshot(request).await.unwrap().text().await.unwrap();
        assert_eq!(tower.stored().await.agent("a").unwrap().calls, 1);
    }

    #[tokio::test]
    async fn without_a_session_nothing_is_recorded() {
        let agent = agent(200, ANSWER).await;
        let tower = tower();
        let response = tower.client().oneshot(get(&agent.url("/"))).await.unwrap();
        assert_eq!(response.text().await.unwrap(), ANSWER);
        tower.tracker.flush().await.unwrap();
        assert!(tower.store.history().is_empty());
    }

    #[tokio::test]
    async fn an_error_keeps_its_predicates_and_its_text() {
        let pending = MockAgent::start(|_| std::future::pending::<Response<AgentBody>>()).await;
        // Nothing listens on port 1 of this machine.
        let refused = "http://user:password@127.0.0.1:1/invocations?key=secret";
        for (url, class, cause) in [
            (refused, "transport", "refused"),
            (&pending.url("/invocations?key=secret"), "timeout", "timed out"),
        ] {
            let request = || {
                let mut request = get(url);
                *request.timeout_mut() = Some(Duration::from_millis(1));
                if class == "transport" {
                    *request.timeout_mut() = None;
                }
                request
            };
            let tower = tower();
            let bare = ::reqwest::Client::new().execute(request()).await.unwrap_err();
            // Fails the test if the request has lost its timeout.
            let minute = Duration::from_secs(60);
            let tracked = tokio::time::timeout(minute, of_s(tower.client(), request()));
            let tracked = tracked.await.unwrap().unwrap_err();
            assert_eq!(tracked.to_string(), bare.to_string());
            assert_eq!(tracked.is_timeout(), class == "timeout");
            assert_eq!(tracked.is_connect(), class == "transport");
            assert_eq!(tracked.is_request(), bare.is_request());
            assert_eq!(tracked.url(), bare.url());
            let status = tower.stored().await;
            let error = status.agent("a").unwrap().error.clone().unwrap();
            assert_eq!(error.class, class);
            let message = error.message.as_str();
            assert!(message.contains(cause), "{message}");
            for secret in ["secret", "password", "user", "key="] {
                assert!(!message.contains(secret), "{message}");
            }
        }
    }

    #[tokio::test]
    async fn a_future_that_is_dropped_is_cancelled() {
        let agent = MockAgent::start(|_| std::future::pending::<Response<AgentBody>>()).await;
        let tower = tower();
        let call = of_s(tower.client(), get(&agent.url("/")));
        let mut call = Box::pin(call);
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx)));
        assert!(polled.await.is_pending());
        drop(call);
        let status = tower.stored().await;
        assert_eq!(status.agent("a").unwrap().error.clone().unwrap().class, "cancelled");
    }

    #[tokio::test]
    async fn a_time_out_layer_inside_is_a_timeout_with_its_text() {
        let agent = MockAgent::start(|_| std::future::pending::<Response<AgentBody>>()).await;
        let tower = tower();
        let client = ServiceBuilder::new()
            .layer(tower.layer())
            .timeout(Duration::from_millis(1))
            .service(::reqwest::Client::new());
        let error: BoxError = of_s(client, get(&agent.url("/"))).await.unwrap_err();
        assert!(error.is::<tower::timeout::error::Elapsed>());
        let status = tower.stored().await;
        let error = status.agent("a").unwrap().error.clone().unwrap();
        assert_eq!((&*error.class, error.message.as_str()), ("timeout", "request timed out"));
    }

    #[tokio::test]
    async fn an_error_that_a_layer_inside_has_boxed_tells_its_causes_too() {
        let tower = tower();
        let client = ServiceBuilder::new()
            .layer(tower.layer())
            .timeout(Duration::from_secs(60))
            .service(::reqwest::Client::new());
        // Nothing listens on port 1 of this machine.
        let error: BoxError = of_s(client, get("http://127.0.0.1:1/")).await.unwrap_err();
        assert!(error.downcast::<::reqwest::Error>().unwrap().is_connect());
        let status = tower.stored().await;
        let error = status.agent("a").unwrap().error.clone().unwrap();
        assert!(error.message.as_str().contains("refused"), "{error}");
    }

    #[tokio::test]
    async fn errors_are_recorded_with_their_sources_either_way() {
        // Nothing listens on port 1 of this machine.
        let request = || get("http://127.0.0.1:1/invocations?key=secret");
        let tower = tower();
        let mut recorded = Vec::new();
        let mut record = async || {
            let status = tower.stored().await;
            let error = status.agent("a").unwrap().error.clone().unwrap();
            recorded.push((error.class.to_string(), error.message.as_str().to_owned()));
        };
        let inner = || ClientBuilder::new(::reqwest::Client::new());

        of_s(tower.client(), request()).await.unwrap_err();
        record().await;
        let asked_for = tower.layer().error_sources().layer(::reqwest::Client::new());
        of_s(asked_for, request()).await.unwrap_err();
        record().await;
        of_s(tower.layer().layer(inner().build()), request()).await.unwrap_err();
        record().await;
        for middleware in [
            StatusMiddleware::from(tower.layer()),
            StatusMiddleware::from(tower.layer().error_sources()),
        ] {
            of_s(inner().with(middleware).build(), request()).await.unwrap_err();
            record().await;
        }
        for (class, message) in &recorded {
            assert_eq!(class, "transport");
            assert!(message.contains("Connection refused"), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
        assert_eq!(recorded.len(), 5);
        recorded.dedup();
        assert_eq!(recorded.len(), 1, "{recorded:?}");
    }

    #[tokio::test]
    async fn nested_layers_of_one_tracker_are_one_call_whatever_the_client() {
        let agent = agent(200, ANSWER).await;
        let tower = tower();
        let nested = tower.layer().layer(tower.client());
        of_s(nested, get(&agent.url("/"))).await.unwrap().bytes().await.unwrap();
        assert_eq!(tower.stored().await.agent("a").unwrap().calls, 1);

        let inner = ClientBuilder::new(::reqwest::Client::new())
            .with(StatusMiddleware::new(&tower.tracker, "a"))
            .build();
        let nested = tower.layer().layer(inner);
        of_s(nested, get(&agent.url("/"))).await.unwrap().bytes().await.unwrap();
        assert_eq!(tower.stored().await.agent("a").unwrap().calls, 2);
    }
}
