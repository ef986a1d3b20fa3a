//! Many errors reveal what failed only in their sources. Which sources are recorded, in every
//! kind of client; `reqwest` has a test for reqwest's.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};
use tokio::net::TcpSocket;
use tower::{BoxError, ServiceExt as _, service_fn};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{DefaultErrorDisplay, ErrorDisplay, Layer, StatusLayer, StatusTracker};

use crate::support::agent::{client, raw_agent};
use crate::support::{AGENT, SESSION, builder, id, of_session};

/// An error with a short text, and its source.
#[derive(Debug)]
struct Caused(&'static str, BoxError);

impl Caused {
    fn by(text: &'static str, source: impl Into<BoxError>) -> Self {
        Self(text, source.into())
    }
}

impl fmt::Display for Caused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl StdError for Caused {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.1)
    }
}

/// A time-out that is two sources down.
async fn late() -> Caused {
    let never = std::future::pending::<()>();
    let elapsed = tokio::time::timeout(std::time::Duration::ZERO, never).await.unwrap_err();
    Caused::by("client error (SendRequest)", Caused::by("connection error", elapsed))
}

const LATE: &str = "client error (SendRequest): connection error: deadline has elapsed";

/// A body that fails at once.
struct Fails<E>(Option<E>);

impl<E: Unpin> Body for Fails<E> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

/// A tracker and its layer.
fn layer() -> (StatusTracker, StatusLayer) {
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let layer = StatusLayer::new(&tracker, AGENT);
    (tracker, layer)
}

/// The class and the message of the last call.
fn recorded(tracker: &StatusTracker) -> (String, String) {
    let status = tracker.status(SESSION).unwrap();
    let error = status.agent(AGENT).unwrap().error.clone().unwrap();
    (error.class.into_owned(), error.message.to_string())
}

fn pair(class: &str, message: &str) -> (String, String) {
    (class.to_owned(), message.to_owned())
}

/// What is recorded of a service that fails so.
async fn of_future<D, E>(
    tracker: &StatusTracker,
    layer: StatusLayer<D>,
    error: E,
) -> (String, String)
where
    D: ErrorDisplay<E>,
    E: fmt::Debug,
{
    let mut error = Some(error);
    let fails = service_fn(move |_: Request<()>| {
        std::future::ready(Err::<Response<String>, _>(error.take().unwrap()))
    });
    layer.layer(fails).oneshot(of_session(SESSION, Request::new(()))).await.unwrap_err();
    recorded(tracker)
}

/// What is recorded of a body that fails so.
async fn of_body<D, E>(tracker: &StatusTracker, layer: StatusLayer<D>, error: E) -> (String, String)
where
    D: ErrorDisplay<E> + ErrorDisplay<std::convert::Infallible>,
    E: fmt::Debug + Unpin,
{
    let mut error = Some(error);
    let answers = service_fn(move |_: Request<()>| {
        std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(Fails(error.take()))))
    });
    let request = of_session(SESSION, Request::new(()));
    let body = layer.layer(answers).oneshot(request).await.unwrap().into_body();
    body.collect().await.unwrap_err();
    recorded(tracker)
}

/// An address at which nobody listens, as long as the socket is there.
fn nobody() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("http://{}/invocations?key=secret", socket.local_addr().unwrap());
    (socket, url)
}

#[tokio::test]
async fn a_refused_connection_of_hyper() {
    let (_socket, url) = nobody();
    let request =
        || of_session(SESSION, Request::post(&url).body(Full::<Bytes>::default()).unwrap());
    let (tracker, layer) = layer();
    layer.layer(client()).oneshot(request()).await.unwrap_err();
    assert_eq!(recorded(&tracker), pair("transport", "client error (Connect)"));

    layer.error_sources().layer(client()).oneshot(request()).await.unwrap_err();
    let (class, message) = recorded(&tracker);
    assert_eq!(class, "transport");
    assert!(message.starts_with("client error (Connect): "), "{message}");
    assert!(message.contains("Connection refused"), "{message}");
}

#[tokio::test]
async fn a_body_of_hyper_that_breaks_off() {
    let url = raw_agent(|mut connection| async move {
        connection.request().await;
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").await;
    })
    .await;
    let request =
        || of_session(SESSION, Request::get(&url).body(Full::<Bytes>::default()).unwrap());
    let (tracker, layer) = layer();
    let response = layer.layer(client()).oneshot(request()).await.unwrap();
    let error = response.into_body().collect().await.unwrap_err();
    let by_itself = error.to_string();
    let source = error.source().unwrap().to_string();
    assert_eq!(recorded(&tracker), pair("transport", &by_itself));

    let response = layer.error_sources().layer(client()).oneshot(request()).await.unwrap();
    response.into_body().collect().await.unwrap_err();
    assert_eq!(recorded(&tracker), pair("transport", &format!("{by_itself}: {source}")));
}

#[tokio::test]
async fn a_time_out_among_the_sources_is_a_timeout() {
    let (tracker, layer) = layer();
    let by_itself = pair("transport", "client error (SendRequest)");
    assert_eq!(of_future(&tracker, layer.clone(), late().await).await, by_itself);
    assert_eq!(of_body(&tracker, layer.clone(), late().await).await, by_itself);

    let layer = layer.error_sources();
    assert_eq!(of_future(&tracker, layer.clone(), late().await).await, pair("timeout", LATE));
    assert_eq!(of_body(&tracker, layer, late().await).await, pair("timeout", LATE));
}

#[tokio::test]
async fn a_boxed_error_is_recorded_with_its_sources_without_asking() {
    let (tracker, layer) = layer();
    let boxed = async || BoxError::from(late().await);
    assert_eq!(of_future(&tracker, layer.clone(), boxed().await).await, pair("timeout", LATE));
    assert_eq!(of_body(&tracker, layer, boxed().await).await, pair("timeout", LATE));
}

/// A cause that says so far behind the end of the recorded message, and one that says so only by
/// its type.
#[tokio::test]
async fn a_time_out_counts_however_far_down_it_is() {
    let far = async || {
        let text: &str = Box::leak("a long text of another cause ".repeat(300).into_boxed_str());
        Caused::by(text, late().await)
    };
    let by_type = || Caused::by("no answer", io::Error::new(io::ErrorKind::TimedOut, "EOF"));
    let (tracker, layer) = layer();
    let sources = layer.clone().error_sources();
    for (class, message) in [
        of_future(&tracker, sources.clone(), far().await).await,
        of_body(&tracker, sources.clone(), far().await).await,
        of_future(&tracker, layer.clone(), BoxError::from(far().await)).await,
        of_body(&tracker, layer.clone(), BoxError::from(far().await)).await,
        of_future(&tracker, sources, by_type()).await,
        of_body(&tracker, layer.clone(), BoxError::from(by_type())).await,
        of_future(&tracker, layer, io::Error::new(io::ErrorKind::TimedOut, "EOF")).await,
    ] {
        assert_eq!(class, "timeout", "{message}");
        assert!(!message.contains("deadline"), "{message}");
    }
}

#[tokio::test]
async fn a_host_whose_name_has_the_word_is_no_time_out() {
    let (_socket, url) = nobody();
    let host = url.replace("127.0.0.1", "timeout.localhost").replace("/invocations", "/deadline");
    let refused = || {
        let error = io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
        Caused::by("error sending request for url (https://timeout-service/deadline)", error)
    };
    let (tracker, layer) = layer();
    let sources = layer.clone().error_sources();
    assert_eq!(of_future(&tracker, sources, refused()).await.0, "transport");
    assert_eq!(of_body(&tracker, layer.clone(), BoxError::from(refused())).await.0, "transport");
    let request = reqwest::Request::new(http::Method::GET, host.parse().unwrap());
    let client = reqwest::Client::builder()
        .resolve("timeout.localhost", ([127, 0, 0, 1], 0).into())
        .build()
        .unwrap();
    id(SESSION).scope(layer.layer(client).oneshot(request)).await.unwrap_err();
    let (class, message) = recorded(&tracker);
    assert!(message.contains("timeout.localhost"), "{message}");
    assert_eq!(class, "transport", "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_time_out_of_tower_is_one() {
    let slow =
        service_fn(|_: Request<()>| std::future::pending::<Result<Response<String>, BoxError>>());
    let slow = tower::timeout::Timeout::new(slow, std::time::Duration::from_secs(1));
    let (tracker, layer) = layer();
    layer.layer(slow).oneshot(of_session(SESSION, Request::new(()))).await.unwrap_err();
    assert_eq!(recorded(&tracker), pair("timeout", "request timed out"));
}

#[tokio::test]
async fn error_sources_changes_no_other_setting() {
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let layer = StatusLayer::per_request(&tracker)
        .agent_from(|_| Some(AGENT.to_owned()))
        .error_sources()
        .session_from(|_| Some(SESSION.to_owned()));
    let late = late().await;
    let mut late = Some(late);
    let fails = service_fn(move |_: Request<()>| {
        std::future::ready(Err::<Response<String>, _>(late.take().unwrap()))
    });
    layer.layer(fails).oneshot(Request::new(())).await.unwrap_err();
    assert_eq!(recorded(&tracker), pair("timeout", LATE));
}

#[tokio::test]
async fn sources_are_redacted_too() {
    let error = || {
        let url = "for url (https://user:password@agents.example/invocations?key=hush)";
        Caused::by("transport error", Caused::by("no answer", io::Error::other(url)))
    };
    let (tracker, layer) = layer();
    let sources = layer.clone().error_sources();
    for (class, message) in [
        of_future(&tracker, sources.clone(), error()).await,
        of_body(&tracker, sources, error()).await,
        of_future(&tracker, layer.clone(), BoxError::from(error())).await,
        of_body(&tracker, layer, BoxError::from(error())).await,
    ] {
        assert_eq!(class, "transport");
        assert!(message.starts_with("transport error: no answer: for url (https://"), "{message}");
        assert!(message.contains("agents.example/invocations"), "{message}");
        for secret in ["user", "password", "key=", "hush"] {
            assert!(!message.contains(secret), "{message}");
        }
    }
}

/// The connector of an SDK client whose calls end so.
struct Connector<F>(F);

impl<F> fmt::Debug for Connector<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl<F> HttpConnector for Connector<F>
where
    F: Fn() -> Result<HttpResponse, ConnectorError> + Send + Sync,
{
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready((self.0)())
    }
}

/// What is recorded of a client of the AWS SDK whose connector ends so.
async fn of_connector<D>(
    tracker: &StatusTracker,
    layer: StatusLayer<D>,
    ends: impl Fn() -> Result<HttpResponse, ConnectorError> + Clone + Send + Sync + 'static,
) -> (String, String)
where
    D: fmt::Debug + 'static,
{
    let inner = http_client_fn(move |_, _| SharedHttpConnector::new(Connector(ends.clone())));
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("x", "x", None, None, "tests"))
        .endpoint_url("http://agents.example")
        .retry_config(RetryConfig::disabled())
        .http_client(layer.layer(inner));
    let client = Client::from_conf(config.build());
    id(SESSION).scope(client.list_tables().send()).await.unwrap_err();
    recorded(tracker)
}

#[tokio::test]
async fn clients_of_the_aws_sdk_record_them_either_way() {
    let late = || Caused::by("dispatch", io::Error::other("deadline has elapsed"));
    let in_body = move || {
        let body = SdkBody::from_body_1_x(Fails(Some(BoxError::from(late()))));
        Ok(HttpResponse::new(200.try_into().unwrap(), body))
    };
    let (tracker, layer) = layer();
    let refused = || {
        let error =
            Caused::by("tcp connect error", io::Error::from(io::ErrorKind::ConnectionRefused));
        Err(ConnectorError::io(error.into()))
    };
    let slow = move || Err(ConnectorError::other(late().into(), None));
    let expected = [
        pair("transport", "io error: tcp connect error: connection refused"),
        pair("timeout", "other: dispatch: deadline has elapsed"),
        pair("timeout", "dispatch: deadline has elapsed"),
    ];
    let recorded = [
        of_connector(&tracker, layer.clone(), refused).await,
        of_connector(&tracker, layer.clone(), slow).await,
        of_connector(&tracker, layer.clone(), in_body).await,
    ];
    assert_eq!(recorded, expected);
    let layer = layer.error_sources();
    let recorded = [
        of_connector(&tracker, layer.clone(), refused).await,
        of_connector(&tracker, layer.clone(), slow).await,
        of_connector(&tracker, layer, in_body).await,
    ];
    assert_eq!(recorded, expected);
}

/// Errors that have nothing but a text need no more.
#[tokio::test]
async fn an_error_that_is_only_a_text_is_that() {
    fn check<D: ErrorDisplay<&'static str>>() {}
    check::<DefaultErrorDisplay>();
    let (tracker, layer) = layer();
    let recorded = of_future(&tracker, layer, "connection reset").await;
    assert_eq!(recorded, pair("transport", "connection reset"));
}
