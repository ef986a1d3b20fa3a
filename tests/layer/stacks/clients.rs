//! The kinds of client. Each implements `Kind`.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpInfo;
use tower::layer::util::Identity;
use tower::retry::{Policy, Retry};
use tower::timeout::Timeout;
use tower::util::BoxCloneService;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt as _};
use tower_agent_status::{StatusLayer, StatusTracker};
use tower_http::decompression::DecompressionLayer;
use tower_http::follow_redirect::{FollowRedirectLayer, RequestUri};

use super::agent::PATIENCE;
use super::seen::{Answer, Failure, Head};
use crate::support::AGENT;
use crate::support::agent::{HttpClient, client, http2_client};

/// A client of any kind: all take the same request type and return the same answer type.
pub(crate) type AnyClient = BoxCloneService<Request<Full<Bytes>>, Answer, Failure>;

/// A kind of client.
pub(crate) trait Kind {
    /// Builds a client of this kind, with the layer if there is a tracker.
    fn client(&self, settings: Settings, tracker: Option<&StatusTracker>) -> AnyClient;

    /// The error class of a call whose head takes longer than the client waits.
    fn late_head(&self) -> &'static str {
        "timeout"
    }

    /// The error class of a call whose body takes longer than its caller waits.
    fn late_body(&self) -> &'static str {
        "cancelled"
    }
}

/// The settings of a client.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    /// `HTTP_11` or `HTTP_2`, with prior knowledge.
    pub(crate) version: Version,
    /// Whether the client times out after [`PATIENCE`].
    pub(crate) gives_up: bool,
    /// Whether the client retries a 503, and where the layer is in relation to the retry.
    pub(crate) retry: Option<Place>,
}

/// Where the layer is in relation to its neighbour.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Place {
    Inside,
    Outside,
}

/// Builds a client with the layer if there is a tracker, else without. The two stacks have
/// different types, so a macro expands the stack twice.
macro_rules! stack {
    ($settings:expr, $tracker:expr, |$status:ident| $stack:expr) => {
        match $tracker {
            Some(tracker) => {
                let $status = StatusLayer::new(tracker, AGENT);
                any($settings, $stack)
            }
            None => {
                let $status = Identity::new();
                any($settings, $stack)
            }
        }
    };
}

/// hyper's client with only the layer around it.
pub(crate) struct Hyper;

impl Kind for Hyper {
    fn client(&self, settings: Settings, tracker: Option<&StatusTracker>) -> AnyClient {
        let hyper = hyper(settings.version);
        match settings {
            Settings { gives_up: false, retry: None | Some(Place::Inside), .. } => {
                stack!(settings, tracker, |status| status.layer(hyper))
            }
            _ => stack!(settings, tracker, |status| status.layer(base(settings))),
        }
    }
}

/// A tower stack around hyper's client, in which the layer has a neighbour.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Neighbour {
    Buffer,
    ConcurrencyLimit,
    Decompression,
    FollowRedirect,
    Timeout,
    /// Another layer of the same tracker.
    Status,
    /// All of them at once.
    All,
}

/// The layer outside or inside its neighbour.
pub(crate) struct Beside(pub(crate) Place, pub(crate) Neighbour);

impl Kind for Beside {
    fn client(&self, settings: Settings, tracker: Option<&StatusTracker>) -> AnyClient {
        use Neighbour as N;
        use Place::{Inside, Outside};
        let stack = ServiceBuilder::new();
        let redirect = FollowRedirectLayer::new();
        let unpack = DecompressionLayer::new();
        // In a `ServiceBuilder` the first layer is the outermost.
        match (self.0, self.1) {
            (Inside, N::Buffer) => stack!(settings, tracker, |status| stack
                .buffer(4)
                .layer(status)
                .service(base(settings))),
            (Outside, N::Buffer) => stack!(settings, tracker, |status| stack
                .layer(status)
                .buffer(4)
                .service(base(settings))),
            (Inside, N::ConcurrencyLimit) => stack!(settings, tracker, |status| stack
                .concurrency_limit(1)
                .layer(status)
                .service(base(settings))),
            (Outside, N::ConcurrencyLimit) => stack!(settings, tracker, |status| stack
                .layer(status)
                .concurrency_limit(1)
                .service(base(settings))),
            (Inside, N::Decompression) => stack!(settings, tracker, |status| stack
                .layer(unpack)
                .layer(status)
                .service(base(settings))),
            (Outside, N::Decompression) => stack!(settings, tracker, |status| stack
                .layer(status)
                .layer(unpack)
                .service(base(settings))),
            (Inside, N::FollowRedirect) => stack!(settings, tracker, |status| stack
                .layer(redirect)
                .layer(status)
                .service(base(settings))),
            (Outside, N::FollowRedirect) => stack!(settings, tracker, |status| stack
                .layer(status)
                .layer(redirect)
                .service(base(settings))),
            // Here the timeout is around the layer; in `Hyper` it is inside.
            (_, N::Timeout) => stack!(settings, tracker, |status| stack
                .timeout(PATIENCE)
                .layer(status)
                .service(base(Settings { gives_up: false, ..settings }))),
            (_, N::Status) => stack!(settings, tracker, |status| stack
                .layer(status.clone())
                .layer(status.clone())
                .layer(status)
                .service(base(settings))),
            (Inside, N::All) => stack!(settings, tracker, |status| stack
                .buffer(4)
                .concurrency_limit(1)
                .layer(redirect)
                .layer(unpack)
                .layer(status)
                .service(base(settings))),
            (Outside, N::All) => stack!(settings, tracker, |status| stack
                .layer(status)
                .buffer(4)
                .concurrency_limit(1)
                .layer(redirect)
                .layer(unpack)
                .service(base(settings))),
        }
    }

    fn late_head(&self) -> &'static str {
        if let Neighbour::Timeout = self.1 { "cancelled" } else { "timeout" }
    }
}

fn hyper(version: Version) -> HttpClient {
    if version == Version::HTTP_2 { http2_client() } else { client() }
}

/// hyper's client with what the settings put inside the layer: a timeout, a retry.
fn base(settings: Settings) -> BoxCloneService<Request<Full<Bytes>>, Response<Incoming>, BoxError> {
    let patience = if settings.gives_up { PATIENCE } else { Duration::MAX };
    let client = BoxCloneService::new(Timeout::new(hyper(settings.version), patience));
    match settings.retry {
        Some(Place::Outside) => BoxCloneService::new(Retry::new(UNLESS_BUSY, client)),
        Some(Place::Inside) | None => client,
    }
}

/// Turns a tower client into an [`AnyClient`], with a retry around it if the settings ask for
/// one.
fn any<S, B>(settings: Settings, service: S) -> AnyClient
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let client = service
        .map_response(|response| {
            let (head, body) = response.into_parts();
            let mut more = of_extensions(&head.extensions);
            if let Some(RequestUri(uri)) = head.extensions.get() {
                more.insert("request uri", uri.to_string());
            }
            let head = Head {
                status: head.status,
                version: Some(head.version),
                headers: head.headers,
                more,
            };
            Answer { head, body: Box::new(Box::pin(body)) }
        })
        .map_err(|error| Failure::of(&*error.into()));
    match settings.retry {
        Some(Place::Inside) => retried(client),
        Some(Place::Outside) | None => BoxCloneService::new(client),
    }
}

/// Wraps a client of any kind in a retry.
pub(crate) fn retried<S>(client: S) -> AnyClient
where
    S: Service<Request<Full<Bytes>>, Response = Answer, Error = Failure> + Clone + Send + 'static,
    S::Future: Send,
{
    BoxCloneService::new(Retry::new(UNLESS_BUSY, client))
}

/// What the test compares of a response's extensions.
pub(crate) fn of_extensions(
    extensions: &http::Extensions,
) -> std::collections::BTreeMap<&'static str, String> {
    let mut more = std::collections::BTreeMap::new();
    more.insert("extensions", extensions.len().to_string());
    if let Some(info) = extensions.get::<HttpInfo>() {
        more.insert("remote address", info.remote_addr().to_string());
    }
    more
}

/// Retries a 503, up to three attempts in all.
const UNLESS_BUSY: UnlessBusy = UnlessBusy { left: 2 };

#[derive(Clone, Copy)]
struct UnlessBusy {
    left: usize,
}

impl<R: HasStatus, E> Policy<Request<Full<Bytes>>, R, E> for UnlessBusy {
    type Future = std::future::Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<Full<Bytes>>,
        result: &mut Result<R, E>,
    ) -> Option<Self::Future> {
        let is_busy = result.as_ref().is_ok_and(|response| response.status() == 503);
        (is_busy && self.left > 0).then(|| {
            self.left -= 1;
            std::future::ready(())
        })
    }

    fn clone_request(&mut self, request: &Request<Full<Bytes>>) -> Option<Request<Full<Bytes>>> {
        Some(request.clone())
    }
}

trait HasStatus {
    fn status(&self) -> http::StatusCode;
}

impl<B> HasStatus for Response<B> {
    fn status(&self) -> http::StatusCode {
        self.status()
    }
}

impl HasStatus for Answer {
    fn status(&self) -> http::StatusCode {
        self.head.status
    }
}

/// Turns a function of requests into an [`AnyClient`].
pub(crate) fn from_fn<F, R>(call: F) -> AnyClient
where
    F: Fn(Request<Full<Bytes>>) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Answer, Failure>> + Send + 'static,
{
    BoxCloneService::new(tower::service_fn(call))
}
