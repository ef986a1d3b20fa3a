//! The AWS SDK as a kind of client: the layer is around its `HttpClient`, and the caller
//! calls a connector of that client, as the SDK does for each attempt.
//!
//! Every row applies here. This kind does not expose the HTTP version of an answer nor, to
//! readers of a `ByteStream`, its trailers.

use std::pin::Pin;
use std::time::Duration;

use aws_smithy_runtime::client::auth::no_auth::{NO_AUTH_SCHEME_ID, NoAuthScheme};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::identity::no_auth::NoAuthIdentityResolver;
use aws_smithy_runtime::client::orchestrator::endpoints::StaticUriEndpointResolver;
use aws_smithy_runtime::client::retries::strategy::NeverRetryStrategy;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{
    RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::retry::ErrorKind;
use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt as _, Full};
use tower::Layer as _;
use tower_agent_status::{StatusLayer, StatusTracker, aws};

use super::agent::PATIENCE;
use super::clients::{AnyClient, Kind, Place, Settings, from_fn, of_extensions, retried};
use super::seen::{Answer, By, Event, Failure, Head, Reading};
use crate::support::AGENT;
use crate::support::agent::{HttpClient as HyperClient, http2_client};

/// The SDK's default HTTP client on HTTP/1.1. That client negotiates HTTP/2 through TLS only,
/// so HTTP/2 in clear text uses a custom client.
pub(crate) struct Sdk(pub(crate) By);

impl Kind for Sdk {
    fn client(&self, settings: Settings, tracker: Option<&StatusTracker>) -> AnyClient {
        let by = self.0;
        let mut client = match settings.version {
            Version::HTTP_2 => http2(),
            _ => aws::default_http_client(),
        };
        if settings.retry == Some(Place::Outside) {
            client = retrying(client);
        }
        if let Some(tracker) = tracker {
            client = SharedHttpClient::new(StatusLayer::new(tracker, AGENT).layer(client));
        }
        let mut told = HttpConnectorSettings::builder();
        told.set_read_timeout(settings.gives_up.then_some(PATIENCE));
        let connector = client.http_connector(&told.build(), &components());
        let any = from_fn(move |request| send(connector.clone(), request, by));
        if settings.retry == Some(Place::Inside) { retried(any) } else { any }
    }
}

async fn send(
    connector: SharedHttpConnector,
    request: Request<Full<Bytes>>,
    by: By,
) -> Result<Answer, Failure> {
    let (head, body) = request.into_parts();
    let body = SdkBody::from(body.collect().await.unwrap().to_bytes());
    let mut request = HttpRequest::try_from(Request::from_parts(head, body)).unwrap();
    let connection = CaptureSmithyConnection::new();
    request.add_extension(connection.clone());
    match connector.call(request).await {
        Ok(response) => Ok(answer(response, &connection, by)),
        Err(error) => Err(Failure::of(&error)),
    }
}

/// What a caller sees of an SDK response.
fn answer(response: HttpResponse, connection: &CaptureSmithyConnection, by: By) -> Answer {
    let (head, body) = response.try_into_http1x().unwrap().into_parts();
    let mut more = of_extensions(&head.extensions);
    let peer = connection.get().map(|connection| connection.remote_addr());
    more.insert("connection", format!("{peer:?}"));
    more.insert("body", format!("{body:?}"));
    more.insert("bytes", format!("{:?}", body.bytes()));
    more.insert("content length", format!("{:?}", body.content_length()));
    let head = Head { status: head.status, version: None, headers: head.headers, more };
    let body: Box<dyn Reading> = match by {
        By::Chunks => Box::new(Chunks(ByteStream::new(body))),
        By::Frames => Box::new(body),
    };
    Answer { head, body }
}

/// A body that is read with `ByteStream::next`.
struct Chunks(ByteStream);

impl Reading for Chunks {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Event>> + Send + '_>> {
        Box::pin(async {
            match self.0.next().await? {
                Ok(data) => Some(Event::Data(data)),
                Err(error) => Some(Event::Fails(Failure::of(&error))),
            }
        })
    }

    fn stands(&self) -> Event {
        Event::Stands { hint: Some(self.0.size_hint()), is_end: None }
    }
}

/// A custom HTTP client, over hyper's client.
fn http2() -> SharedHttpClient {
    let client = http2_client();
    http_client_fn(move |settings, _| {
        let patience = settings.read_timeout().unwrap_or(Duration::MAX);
        SharedHttpConnector::new(Http2 { client: client.clone(), patience })
    })
}

#[derive(Debug)]
struct Http2 {
    client: HyperClient,
    patience: Duration,
}

impl HttpConnector for Http2 {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (client, patience) = (self.client.clone(), self.patience);
        HttpConnectorFuture::new(async move {
            let request =
                request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(ConnectorError::user)?.to_bytes();
            let call = client.request(Request::from_parts(head, Full::new(body)));
            let response = match tokio::time::timeout(patience, call).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) if error.is_connect() => {
                    return Err(ConnectorError::io(error.into()));
                }
                Ok(Err(error)) => {
                    let kind = Some(ErrorKind::TransientError);
                    return Err(ConnectorError::other(error.into(), kind));
                }
                Err(elapsed) => return Err(ConnectorError::timeout(elapsed.into())),
            };
            HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// An HTTP client that retries a 503, up to three attempts in all.
fn retrying(client: SharedHttpClient) -> SharedHttpClient {
    http_client_fn(move |settings, components| {
        SharedHttpConnector::new(Retrying(client.http_connector(settings, components)))
    })
}

#[derive(Debug)]
struct Retrying(SharedHttpConnector);

impl HttpConnector for Retrying {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let inner = self.0.clone();
        HttpConnectorFuture::new(async move {
            for _ in 0..2 {
                let response = inner.call(request.try_clone().unwrap()).await?;
                if response.status().as_u16() != 503 {
                    return Ok(response);
                }
            }
            inner.call(request).await
        })
    }
}

/// The components of an operation. HTTP clients use only the clock, if anything.
fn components() -> RuntimeComponents {
    RuntimeComponentsBuilder::new("tests")
        .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![
            NO_AUTH_SCHEME_ID,
        ])))
        .with_auth_scheme(NoAuthScheme::default())
        .with_identity_cache(Some(IdentityCache::no_cache()))
        .with_identity_resolver(NO_AUTH_SCHEME_ID, NoAuthIdentityResolver::new())
        .with_endpoint_resolver(Some(StaticUriEndpointResolver::uri("http://unused")))
        .with_retry_strategy(Some(NeverRetryStrategy::new()))
        .build()
        .unwrap()
}
