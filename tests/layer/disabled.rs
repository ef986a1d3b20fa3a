//! A layer that tracks nothing: the same stack with tracking and without.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderName, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use tower::util::option_layer;
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};
use tower_agent_status::status::AgentState;
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{
    Layer as _, StatusLayer, StatusMiddleware, StatusService, StatusTracker, Target, aws,
};

use crate::support::agent::{MockAgent, client, whole};
use crate::support::{AGENT, SESSION, builder, id, of_session};

const ANSWER: &str = r#"{"TableNames": ["t"], "usage": {"input_tokens": 5, "output_tokens": 2}}"#;

/// A disabled layer with every setting; none of its closures runs.
fn disabled() -> StatusLayer {
    let name = HeaderName::from_static("x-session");
    StatusLayer::disabled()
        // No agent can have that name.
        .agent_for(Target::host("127.0.0.1"), "")
        .try_agent_for(Target::path_prefix("/"), "sessionId")
        .unwrap()
        .agent_from(|_| panic!("a disabled layer asks for no agent"))
        .session_header(name.clone())
        .session_header_with(name, |_| panic!("a disabled layer asks for no session"))
        .session_from(|_| panic!("a disabled layer asks for no session"))
}

/// A request as the agent gets it.
type Asked = (Method, String, Version, BTreeMap<String, String>, Bytes);

/// A response as the caller gets it.
type Answered = (StatusCode, Version, HeaderMap, Bytes);

struct Agent {
    mock: MockAgent,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Agent {
    async fn start() -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let mock = MockAgent::start(move |request: Request<hyper::body::Incoming>| {
            let log = Arc::clone(&log);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let headers = head.headers.iter().map(|(name, value)| {
                    // These differ from request to request of the SDK.
                    let differs = ["authorization", "x-amz-date", "amz-sdk-invocation-id"];
                    let value = match differs.contains(&name.as_str()) {
                        true => String::new(),
                        false => value.to_str().unwrap().to_owned(),
                    };
                    (name.to_string(), value)
                });
                let asked =
                    (head.method, head.uri.to_string(), head.version, headers.collect(), body);
                log.lock().unwrap().push(asked);
                let response = Response::builder().header("content-type", "application/json");
                response.body(whole(ANSWER)).unwrap()
            }
        })
        .await;
        Self { mock, asked }
    }

    fn url(&self) -> String {
        self.mock.url("/invocations?question=1")
    }

    /// The one request since the last time.
    fn take(&self) -> Asked {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        assert_eq!(asked.len(), 1);
        asked.remove(0)
    }
}

/// Makes the same call without the layer, with a disabled one, and with one that tracks.
async fn assert_off_and_on<F>(call: impl Fn(Option<StatusLayer>, String) -> F)
where
    F: Future<Output = Answered>,
{
    let agent = Agent::start().await;
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    let in_session = |layer| id(SESSION).scope(call(layer, agent.url()));

    let bare = (in_session(None).await, agent.take());
    assert_eq!(bare.0.3, ANSWER);
    let off = (in_session(Some(disabled())).await, agent.take());
    assert_eq!(off, bare);
    tracker.flush().await.unwrap();
    assert!(store.history().is_empty(), "nothing is recorded");
    assert!(tracker.status(SESSION).is_none());

    let on = (in_session(Some(StatusLayer::new(&tracker, AGENT))).await, agent.take());
    assert_eq!(on, bare);
    assert_calls(&tracker, 1);
}

#[track_caller]
fn assert_calls(tracker: &StatusTracker, calls: u64) {
    let status = tracker.status(SESSION).unwrap();
    let agent = status.agent(AGENT).unwrap();
    assert_eq!((agent.state, agent.calls), (AgentState::Success, calls));
}

async fn answered(response: reqwest::Response) -> Answered {
    let (status, version) = (response.status(), response.version());
    let headers = response.headers().clone();
    (status, version, headers, response.bytes().await.unwrap())
}

fn of_reqwest(url: &str) -> reqwest::Request {
    let mut request = reqwest::Request::new(Method::POST, url.parse().unwrap());
    *request.body_mut() = Some("{\"prompt\": 1}".into());
    request
}

#[tokio::test]
async fn in_a_client_of_hyper() {
    async fn send<S, B>(service: S, url: String) -> Answered
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>, Error: std::fmt::Debug>,
        B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
    {
        let request = Request::post(url).body(Full::from("{\"prompt\": 1}")).unwrap();
        let (head, body) = service.oneshot(request).await.unwrap().into_parts();
        (head.status, head.version, head.headers, body.collect().await.unwrap().to_bytes())
    }
    assert_off_and_on(async |layer, url| match layer {
        Some(layer) => send(layer.layer(client()), url).await,
        None => send(client(), url).await,
    })
    .await;
}

#[tokio::test]
async fn in_a_client_of_reqwest() {
    assert_off_and_on(async |layer, url| {
        let (client, request) = (reqwest::Client::new(), of_reqwest(&url));
        let response = match layer {
            Some(layer) => layer.layer(client).oneshot(request).await,
            None => client.execute(request).await,
        };
        answered(response.unwrap()).await
    })
    .await;
}

#[tokio::test]
async fn in_a_client_of_reqwest_middleware() {
    assert_off_and_on(async |layer, url| {
        let mut client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new());
        if let Some(layer) = layer {
            client = client.with(StatusMiddleware::from(layer));
        }
        answered(client.build().execute(of_reqwest(&url)).await.unwrap()).await
    })
    .await;
}

#[tokio::test]
async fn in_a_client_of_the_aws_sdk() {
    assert_off_and_on(async |layer, url| {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("x", "x", None, None, "tests"))
            .endpoint_url(url.strip_suffix("/invocations?question=1").unwrap());
        let inner = aws::default_http_client();
        let config = match layer {
            Some(layer) => config.http_client(layer.layer(inner)),
            None => config.http_client(inner),
        };
        let tables = Client::from_conf(config.build()).list_tables().send().await.unwrap();
        assert_eq!(tables.table_names(), ["t"]);
        // What else the SDK gets is not shown; it has read the whole body.
        (StatusCode::OK, Version::HTTP_11, HeaderMap::new(), Bytes::from_static(ANSWER.as_bytes()))
    })
    .await;
}

/// Which extensions a request arrives with, whatever the client.
#[tokio::test]
async fn it_marks_no_request() {
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let layers = || [disabled(), StatusLayer::new(&tracker, AGENT)];

    // The session id, and the mark of a tracked call.
    let seen = layers().map(|layer| async move {
        let inner = service_fn(|request: Request<()>| async move {
            Ok::<_, Infallible>(Response::new(request.extensions().len().to_string()))
        });
        let request = of_session(SESSION, Request::new(()));
        layer.layer(inner).oneshot(request).await.unwrap().into_body().into_inner()
    });
    assert_eq!(futures_util::future::join_all(seen).await, ["1", "2"]);

    let seen = layers().map(|layer| async move {
        let inner = service_fn(|request: reqwest::Request| async move {
            let request = Request::<reqwest::Body>::try_from(request).unwrap();
            let seen = request.extensions().len().to_string();
            Ok::<_, Infallible>(reqwest::Response::from(Response::new(seen)))
        });
        let call = layer.layer(inner).oneshot(of_reqwest("http://agents.example/"));
        id(SESSION).scope(call).await.unwrap().text().await.unwrap()
    });
    let bare = Request::<reqwest::Body>::try_from(of_reqwest("http://agents.example/")).unwrap();
    let bare = bare.extensions().len();
    let seen = futures_util::future::join_all(seen).await;
    assert_eq!(seen, [bare.to_string(), (bare + 1).to_string()]);

    struct Answers;

    #[async_trait::async_trait]
    impl reqwest_middleware::Middleware for Answers {
        async fn handle(
            &self,
            _: reqwest::Request,
            extensions: &mut Extensions,
            _: reqwest_middleware::Next<'_>,
        ) -> reqwest_middleware::Result<reqwest::Response> {
            Ok(Response::new(extensions.len().to_string()).into())
        }
    }

    let seen = layers().map(|layer| async move {
        let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
            .with(StatusMiddleware::from(layer))
            .with(Answers)
            .build();
        let call = client.get("http://agents.example/").send();
        id(SESSION).scope(call).await.unwrap().text().await.unwrap()
    });
    assert_eq!(futures_util::future::join_all(seen).await, ["0", "1"]);
}

#[tokio::test]
async fn a_layer_that_tracks_may_be_inside_or_outside_of_it() {
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let tracks = StatusLayer::new(&tracker, AGENT);
    for (calls, layers) in [(1, [disabled(), tracks.clone()]), (2, [tracks, disabled()])] {
        let [outside, inside] = layers;
        let inner = service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new("{}".to_owned()))
        });
        let stack = ServiceBuilder::new().layer(outside).layer(inside).service(inner);
        let request = of_session(SESSION, Request::new(()));
        stack.oneshot(request).await.unwrap().collect().await.unwrap();
        assert_calls(&tracker, calls);
    }
}

/// One type, with tracking and without.
#[test]
fn a_stack_is_of_one_type() {
    fn stack(layer: StatusLayer) -> StatusService<reqwest::Client> {
        layer.layer(reqwest::Client::new())
    }
    stack(StatusLayer::disabled());
    let _with_sources = [StatusLayer::disabled().error_sources(), disabled().error_sources()];
}

/// reqwest's response is of one type, whether its body is observed or not.
#[tokio::test]
async fn an_optional_layer_around_reqwest_tracks_if_it_is_there() {
    let agent = Agent::start().await;
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let call = async |layer: Option<StatusLayer>| {
        let client =
            ServiceBuilder::new().layer(option_layer(layer)).service(reqwest::Client::new());
        let call = client.oneshot(of_reqwest(&agent.url()));
        answered(id(SESSION).scope(call).await.unwrap()).await
    };
    let without = (call(None).await, agent.take());
    assert!(tracker.status(SESSION).is_none());
    let with = (call(Some(StatusLayer::new(&tracker, AGENT))).await, agent.take());
    assert_eq!(with, without);
    assert_calls(&tracker, 1);
}
