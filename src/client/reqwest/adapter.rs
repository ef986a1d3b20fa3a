//! The layer in reqwest's clients: [`StatusMiddleware`] for reqwest-middleware, and
//! [`StatusService`] over any service of reqwest's own types.
//!
//! This file is compiled for each version of reqwest, which the module around it names: write here
//! only what all of them have, and what differs there.

use std::sync::LazyLock;
use std::task::{Context, Poll};

use http::{Extensions, Method};
use tower_service::Service;

use super::reqwest::{Body, Request, Response, ResponseBuilderExt, Url};
use super::reqwest_middleware::{self, Middleware, Next};
use crate::agent::InvalidName;
use crate::client::layer::StatusLayer;
use crate::client::request::OutgoingRequest;
use crate::client::service::{StatusFuture, StatusService};
use crate::client::tracking::Tracking;
use crate::exchange::{
    DefaultErrorDisplay, ErrorDisplay, ExchangeBody, ObservableResponse, Observer, Pending,
    WithSources,
};
use crate::session::RequestHead;
use crate::tracker::StatusTracker;

/// The equivalent of [`StatusLayer`](crate::StatusLayer) for reqwest-middleware, with the same
/// outcomes. The caller receives a [`reqwest::Response`](Response) with its URL, extensions, version, remote address
/// and content length; if its body fails, the error has one more `reqwest::Error` among its
/// sources. To set more options, convert a configured layer:
/// `StatusMiddleware::from(StatusLayer::new(..).session_header(..))`.
///
/// The session of a request comes from its extensions (`.with_extension(session_id)`, or
/// `ClientBuilder::with_init(Extension(session_id))` for all requests of a client), from the
/// surrounding [scope](crate::Workflow::scope), or from the layer's own session setting.
///
/// Middleware runs in the order in which it was attached. After a retry middleware, every
/// attempt is a call; before it, only the last response is seen.
#[derive(Clone, Debug)]
pub struct StatusMiddleware {
    tracking: Tracking,
}

impl StatusMiddleware {
    /// Creates a middleware for the client of one agent.
    ///
    /// An agent that was not [declared](crate::StatusTrackerBuilder::agent) is declared now, with
    /// default texts.
    ///
    /// # Panics
    ///
    /// If the agent cannot have that name; see [`InvalidName`]. [`try_new`](Self::try_new)
    /// returns the error instead.
    #[must_use]
    pub fn new(tracker: &StatusTracker, agent: &str) -> Self {
        StatusLayer::new(tracker, agent).into()
    }

    /// Creates a middleware for the client of one agent, like [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// If the agent cannot have that name.
    pub fn try_new(tracker: &StatusTracker, agent: &str) -> Result<Self, InvalidName> {
        StatusLayer::try_new(tracker, agent).map(Self::from)
    }
}

impl<D> From<StatusLayer<D>> for StatusMiddleware {
    fn from(layer: StatusLayer<D>) -> Self {
        Self { tracking: layer.into_tracking() }
    }
}

#[async_trait::async_trait]
impl Middleware for StatusMiddleware {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let mut outgoing = MiddlewareRequest::new(&mut request, extensions, &self.tracking);
        let call = self.tracking.begin(&mut outgoing);
        if call.is_none() {
            return next.run(request, extensions).await;
        }
        let marked = MarkedExtensions { tracking: &self.tracking, extensions };
        let next = next.run(request, marked.extensions);
        StatusFuture::<_, DefaultErrorDisplay>::start(call, || next).await
    }
}

/// A request as a middleware sees it. Its extensions are on the request itself or beside it; the
/// latter take precedence.
struct MiddlewareRequest<'a> {
    request: &'a Request,
    extensions: &'a mut Extensions,
    /// Both together, where the request has some of its own.
    merged: Option<Extensions>,
}

impl<'a> MiddlewareRequest<'a> {
    fn new(request: &'a mut Request, extensions: &'a mut Extensions, tracking: &Tracking) -> Self {
        // A layer around the client can leave its mark only on the request itself.
        let mut own = extensions_of(request, tracking);
        let merged = (!own.is_empty()).then(|| {
            own.extend(extensions.clone());
            own
        });
        Self { request, extensions, merged }
    }

    fn extensions(&self) -> &Extensions {
        self.merged.as_ref().unwrap_or(self.extensions)
    }
}

impl OutgoingRequest for MiddlewareRequest<'_> {
    fn has_no_extensions(&self) -> bool {
        self.extensions().is_empty()
    }

    fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<&T> {
        self.extensions().get()
    }

    fn insert_extension<T: Clone + Send + Sync + 'static>(&mut self, extension: T) {
        self.extensions.insert(extension);
    }

    fn method(&self) -> &Method {
        self.request.method()
    }

    fn path(&self) -> &str {
        self.request.url().path()
    }

    fn head(&self) -> RequestHead<'_> {
        head(self.request, self.extensions())
    }
}

/// Extensions that carry the mark of a call, until this is dropped: a retry middleware around
/// this one gives the same extensions to each attempt.
struct MarkedExtensions<'a> {
    tracking: &'a Tracking,
    extensions: &'a mut Extensions,
}

impl Drop for MarkedExtensions<'_> {
    fn drop(&mut self) {
        self.tracking.release(self.extensions);
    }
}

/// Tracks the calls of a [`reqwest::Client`](super::reqwest::Client), of a
/// [`ClientWithMiddleware`](reqwest_middleware::ClientWithMiddleware), or of a tower stack
/// around one. The caller receives a [`reqwest::Response`](Response) with its URL, extensions, version, remote address and content length.
///
/// A `reqwest::Request` has no public extensions. To give one a
/// [`SessionId`](crate::SessionId), convert it from an `http::Request` that has it, with
/// `reqwest::Request::try_from(http_request)`.
impl<S, D> Service<Request> for StatusService<S, D>
where
    S: Service<Request, Response = Response>,
    D: ErrorDisplay<S::Error>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = StatusFuture<S::Future, D>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let mut outgoing = ClientRequest::new(request, &self.tracking);
        let call = self.tracking.begin(&mut outgoing);
        StatusFuture::start(call, || self.inner.call(outgoing.into_inner()))
    }
}

/// A request with its extensions, which a `reqwest::Request` does not expose.
struct ClientRequest {
    request: Request,
    extensions: Extensions,
    is_changed: bool,
}

impl ClientRequest {
    fn new(mut request: Request, tracking: &Tracking) -> Self {
        let extensions = extensions_of(&mut request, tracking);
        Self { request, extensions, is_changed: false }
    }

    fn into_inner(self) -> Request {
        match self.is_changed {
            true => with_extensions(self.request, self.extensions),
            false => self.request,
        }
    }
}

impl OutgoingRequest for ClientRequest {
    fn has_no_extensions(&self) -> bool {
        self.extensions.is_empty()
    }

    fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<&T> {
        self.extensions.get()
    }

    fn insert_extension<T: Clone + Send + Sync + 'static>(&mut self, extension: T) {
        self.extensions.insert(extension);
        self.is_changed = true;
    }

    fn method(&self) -> &Method {
        self.request.method()
    }

    fn path(&self) -> &str {
        self.request.url().path()
    }

    fn head(&self) -> RequestHead<'_> {
        head(&self.request, &self.extensions)
    }
}

fn head<'a>(request: &'a Request, extensions: &'a Extensions) -> RequestHead<'a> {
    RequestHead {
        method: request.method(),
        scheme: Some(request.url().scheme()),
        host: request.url().host_str(),
        port: request.url().port(),
        path: request.url().path(),
        headers: request.headers(),
        extensions,
    }
}

/// The extensions of a request. reqwest exposes them only in an `http::Request` that the request
/// is converted into, so a copy is converted, without what that does not need: parsing a long
/// URL alone would be a third of what a call costs.
fn extensions_of(request: &mut Request, tracking: &Tracking) -> Extensions {
    // The copy costs more than anything else here, and a disabled layer asks for nothing.
    if !tracking.is_enabled() {
        return Extensions::new();
    }
    static SHORT: LazyLock<Option<Url>> = LazyLock::new(|| Url::parse("http://a").ok());
    let Some(short) = &*SHORT else { return Extensions::new() };
    let body = request.body_mut().take();
    let headers = std::mem::take(request.headers_mut());
    let url = std::mem::replace(request.url_mut(), short.clone());
    let copy = request.try_clone();
    *request.body_mut() = body;
    *request.headers_mut() = headers;
    *request.url_mut() = url;
    let copy = copy.and_then(|copy| http::Request::<Body>::try_from(copy).ok());
    copy.map(|mut copy| std::mem::take(copy.extensions_mut())).unwrap_or_default()
}

/// The request with other extensions. reqwest takes them only from an `http::Request`, in which
/// all else, such as the fragment of a URL, would get lost: so everything else is swapped back.
fn with_extensions(mut request: Request, extensions: Extensions) -> Request {
    let mut empty = http::Request::new(Body::default());
    *empty.uri_mut() = http::Uri::from_static("http://localhost/");
    *empty.extensions_mut() = extensions;
    let Ok(mut with) = Request::try_from(empty) else { return request };
    std::mem::swap(with.method_mut(), request.method_mut());
    std::mem::swap(with.url_mut(), request.url_mut());
    std::mem::swap(with.headers_mut(), request.headers_mut());
    std::mem::swap(with.body_mut(), request.body_mut());
    *with.version_mut() = request.version();
    with
}

impl<O, D> ObservableResponse<O, D> for Response
where
    O: Observer + Send + Sync + 'static,
{
    type Output = Self;

    fn observed(mut self, pending: Option<Pending<O>>) -> Self {
        let observer = pending.map(|pending| pending.answered(self.status(), self.headers_mut()));
        let Some(observer) = observer.filter(|observer| !observer.is_over()) else { return self };
        let url = self.url().clone();
        let mut response = http::Response::<Body>::from(self);
        // A `reqwest::Response` has its URL beside the parts of an `http::Response`, and loses it
        // in the conversion. It is restored from an extension, which only the builder can make.
        if let Ok(with_url) = http::Response::builder().url(url).body(()) {
            let mut extensions = with_url.into_parts().0.extensions;
            extensions.extend(std::mem::take(response.extensions_mut()));
            *response.extensions_mut() = extensions;
        }
        let observed = |body| ExchangeBody::<_, O, WithSources>::new(body, Some(observer));
        response.map(|body| Body::wrap(observed(body))).into()
    }
}
