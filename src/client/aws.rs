//! The layer in AWS SDK clients, around the HTTP client of each.
//!
//! [`StatusLayer`](crate::StatusLayer) wraps any HTTP client of the SDK. One line in the
//! configuration of an SDK client tracks all its calls, such as Converse and InvokeModel of
//! `aws-sdk-bedrockruntime`, streamed or not, and InvokeAgentRuntime of
//! `aws-sdk-bedrockagentcore`.
//!
//! ```no_run
//! # // Any client of the SDK is configured so, and this one is at hand.
//! # extern crate aws_sdk_dynamodb as aws_sdk_bedrockruntime;
//! # use tower_agent_status::StatusTracker;
//! use aws_config::BehaviorVersion;
//! use tower_agent_status::{Layer, StatusLayer, aws};
//!
//! # async fn example(tracker: StatusTracker) {
//! let shared = aws_config::load_defaults(BehaviorVersion::latest()).await;
//! let config = aws_sdk_bedrockruntime::config::Builder::from(&shared)
//!     .http_client(StatusLayer::new(&tracker, "pdfAdapter").layer(aws::default_http_client()))
//!     .build();
//! let client = aws_sdk_bedrockruntime::Client::from_conf(config);
//! # }
//! ```
//!
//! To use another HTTP client, such as one of `aws_smithy_http_client::Builder`, pass it instead of
//! [`default_http_client`].
//!
//! # Retries and timeouts
//!
//! A call is one HTTP exchange, so each attempt of the SDK's own retries is a call. If the SDK
//! gives up an attempt because of its attempt or operation timeout, or its protection against
//! stalled streams, it drops the attempt, which ends as `cancelled`. Connect and read timeouts end
//! as `timeout`.
//!
//! The layer does not change what the SDK sends or receives: the request is already signed, and
//! the frames of an event stream, the trailers, the length of the body and the kind of a
//! `ConnectorError` are those of the inner client.
//!
//! # Sessions
//!
//! The SDK makes its calls on the task of its caller, so the surrounding
//! [scope](crate::Workflow::scope) applies, as do the layer's header and closure. Of the request's
//! extensions, a closure sees only those of this crate. To set the session of a single operation,
//! add its id to the request:
//!
//! ```ignore
//! let session = workflow.session_id().clone();
//! client
//!     .converse()
//!     .model_id("anthropic.claude-sonnet-4-20250514-v1:0")
//!     .customize()
//!     .mutate_request(move |request| request.add_extension(session.clone()))
//!     .send()
//!     .await?;
//! ```
//!
//! If one client calls several agents, add an [`Agent`] in the same way. For AgentCore runtimes,
//! [`Target::agent_runtime`](crate::Target::agent_runtime) matches on the ARN.
//!
//! # Which clients to configure
//!
//! Add the layer to the clients of the agents only. In the shared `SdkConfig` it would apply to
//! every client created from that, and to fetching credentials.
//! [`DynamoDbStore`](crate::store::DynamoDbStore) creates its own client. A client that you pass to
//! it must not have the layer, or each write to the table would be a call that causes a write.

use std::cell::OnceCell;
use std::fmt::Debug;

use aws_smithy_runtime::client::defaults::default_http_client_plugin_v2;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::{
    RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_runtime_api::client::runtime_plugin::RuntimePlugin;
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

use super::request::OutgoingRequest;
use super::service::{StatusFuture, StatusService};
use super::tracking::Tracking;
use crate::agent::Agent;
use crate::exchange::{
    ExchangeBody, ObservableResponse, Observer, Pending, ResponseObserver, WithSources,
};
use crate::session::RequestHead;
use crate::status::SessionId;

/// Returns the HTTP client that an SDK client of the latest
/// [behavior version](BehaviorVersion) uses if it is given none.
///
/// Each has its own connections; a clone shares them.
///
/// # Panics
///
/// If none is compiled: neither the SDK nor anything else turns on the feature
/// `default-https-client` of an `aws-sdk-*` crate or of `aws-config`.
#[must_use]
pub fn default_http_client() -> SharedHttpClient {
    let plugin = default_http_client_plugin_v2(BehaviorVersion::latest());
    let nothing = RuntimeComponentsBuilder::new("tower-agent-status");
    let client = plugin.and_then(|plugin| plugin.runtime_components(&nothing).http_client());
    #[expect(clippy::panic, reason = "a build without a client is a mistake in the program")]
    client.unwrap_or_else(|| {
        panic!(
            "no HTTP client is compiled; turn on the feature `default-https-client` of the \
             aws-sdk crate, or wrap a client of your own"
        )
    })
}

/// Tracks the calls of an AWS SDK client. See [`aws`](self).
impl<C, D> HttpClient for StatusService<C, D>
where
    C: HttpClient,
    D: Debug + 'static,
{
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(StatusConnector { inner, tracking: self.tracking.clone() })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_base_client_config(components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

/// Tracks the calls over the connections of an SDK's HTTP client.
#[derive(Debug)]
struct StatusConnector {
    inner: SharedHttpConnector,
    tracking: Tracking,
}

impl HttpConnector for StatusConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut outgoing = SdkRequest::new(request);
        let call = self.tracking.begin(&mut outgoing);
        let future =
            StatusFuture::<_, WithSources>::start(call, || self.inner.call(outgoing.request));
        HttpConnectorFuture::new(future)
    }
}

/// A request of the SDK, which has types of its own for what `http` has types for.
struct SdkRequest {
    request: HttpRequest,
    /// The extensions that this crate knows: a request of the SDK gives its extensions only one
    /// by one, to those who know their types.
    extensions: Extensions,
    head: OnceCell<SdkHead>,
}

struct SdkHead {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl SdkRequest {
    fn new(request: HttpRequest) -> Self {
        let mut extensions = Extensions::new();
        copy_extension::<Agent>(&request, &mut extensions);
        copy_extension::<SessionId>(&request, &mut extensions);
        Self { request, extensions, head: OnceCell::new() }
    }

    fn converted(&self) -> &SdkHead {
        self.head.get_or_init(|| SdkHead {
            method: Method::from_bytes(self.request.method().as_bytes()).unwrap_or_default(),
            uri: self.request.uri().parse().unwrap_or_default(),
            headers: header_map(self.request.headers()),
        })
    }
}

impl OutgoingRequest for SdkRequest {
    fn has_no_extensions(&self) -> bool {
        // Whether a mark is among them cannot be seen without looking for it.
        false
    }

    fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<&T> {
        self.request.extension()
    }

    fn insert_extension<T: Clone + Send + Sync + 'static>(&mut self, extension: T) {
        self.request.add_extension(extension);
    }

    fn method(&self) -> &Method {
        &self.converted().method
    }

    fn path(&self) -> &str {
        self.converted().uri.path()
    }

    fn head(&self) -> RequestHead<'_> {
        let SdkHead { method, uri, headers } = self.converted();
        RequestHead {
            method,
            scheme: uri.scheme_str(),
            host: uri.host(),
            port: uri.port_u16(),
            path: uri.path(),
            headers,
            extensions: &self.extensions,
        }
    }
}

fn copy_extension<T: Clone + Send + Sync + 'static>(from: &HttpRequest, to: &mut Extensions) {
    if let Some(extension) = from.extension::<T>() {
        to.insert(extension.clone());
    }
}

impl<O, D> ObservableResponse<O, D> for HttpResponse
where
    O: Observer + Send + Sync + 'static,
{
    type Output = Self;

    fn observed(mut self, pending: Option<Pending<O>>) -> Self {
        if let Some(pending) = pending {
            // Both types of a status have three digits.
            let status = StatusCode::from_u16(self.status().as_u16()).unwrap_or_default();
            let observer = pending.answered(status, &mut header_map(self.headers()));
            let body = self.take_body();
            *self.body_mut() = observed(body, observer);
        }
        self
    }
}

fn observed<O: Observer + Send + Sync + 'static>(
    body: SdkBody,
    mut observer: ResponseObserver<O>,
) -> SdkBody {
    // A body that can be had again came over no connection: it is whole, and stays as it is.
    if body.try_clone().is_some() {
        match body.bytes() {
            Some(whole) => observer.data(&whole, true),
            // It comes into being as it is polled, here perhaps never.
            None => observer.skip_rest(),
        }
        observer.complete();
        return body;
    }
    SdkBody::from_body_1_x(ExchangeBody::<_, O>::new(body, Some(observer)))
}

fn header_map(headers: &Headers) -> HeaderMap {
    let named = |(name, value): (&str, &[u8])| {
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_bytes(value).ok()?))
    };
    headers.iter_bytes().filter_map(named).fold(HeaderMap::new(), |mut map, (name, value)| {
        map.append(name, value);
        map
    })
}
