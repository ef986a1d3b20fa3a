//! The same tracking in reqwest's clients: [`StatusMiddleware`] in one of
//! reqwest-middleware, and [`StatusService`] over any service of reqwest's own types.

use std::any::Any;
use std::error::Error;
use std::fmt::{self, Display};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};

use ::reqwest::{Body, Request, Response, ResponseBuilderExt, Url};
use ::reqwest_middleware::{Middleware, Next};
use http::Extensions;
use pin_project::pin_project;
use tower_service::Service;

use super::tracking::Tracking;
use crate::agent::InvalidName;
use crate::client::StatusLayer;
use crate::client::StatusService;
use crate::exchange::error_chain::{ChainBody, ErrorChain};
use crate::exchange::{Call, ResponseObserver, poll_tracked};
use crate::session::{RequestHead, SessionLocation};
use crate::tracker::StatusTracker;

/// Tracks every call of an agent's `reqwest_middleware` client.
///
/// It is to such a client what [`StatusLayer`](crate::StatusLayer) is to a tower stack,
/// with the same meaning of success, error and cancelled. The caller gets a
/// [`reqwest::Response`](::reqwest::Response) with its URL, extensions, version, remote
/// address and content length; of a body that fails, the error has one more
/// `reqwest::Error` among its causes. What a layer can be told, the middleware can be made from:
/// `StatusMiddleware::from(StatusLayer::new(..).session_header(..))`.
///
/// The session of a request is looked for in its extensions
/// (`.with_extension(session_id)`, or for all of a client's requests
/// `ClientBuilder::with_init(Extension(session_id))`), in the surrounding
/// [scope](crate::Workflow::scope), and where the layer was told to.
///
/// Middleware runs in the order it was attached: attached after a retry middleware, every
/// attempt is a call; attached before it, only the last answer is seen.
///
/// ```
/// # use tower_agent_status::{StatusMiddleware, StatusTracker};
/// # fn example(tracker: &StatusTracker) -> reqwest_middleware::ClientWithMiddleware {
/// reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
///     .with(StatusMiddleware::new(tracker, "pdfAdapter"))
///     .build()
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StatusMiddleware {
    tracking: Tracking,
}

impl StatusMiddleware {
    /// A middleware for the client of this agent. An agent that was not
    /// [declared](crate::StatusTrackerBuilder::agent) is added, with plain texts.
    ///
    /// # Panics
    ///
    /// If the name cannot be used; see [`try_new`](Self::try_new) and [`InvalidName`].
    #[must_use]
    pub fn new(tracker: &StatusTracker, agent: &str) -> Self {
        StatusLayer::new(tracker, agent).into()
    }

    /// A middleware for the client of this agent, like [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// If the name cannot be used.
    pub fn try_new(tracker: &StatusTracker, agent: &str) -> Result<Self, InvalidName> {
        StatusLayer::try_new(tracker, agent).map(Self::from)
    }
}

impl From<StatusLayer> for StatusMiddleware {
    fn from(layer: StatusLayer) -> Self {
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
        // A layer around the client can leave its mark only on the request itself.
        let mut own = extensions_of(&mut request);
        let seen = if own.is_empty() {
            &*extensions
        } else {
            own.extend(extensions.clone());
            &own
        };
        let named = self.tracking.look(seen);
        let call = named.and_then(|named| start(&self.tracking, named, &request, seen));
        let Some(call) = call else {
            return next.run(request, extensions).await;
        };
        let owned = OwnedExtensions::new(&self.tracking, extensions);
        let result = call.around(next.run(request, owned.extensions)).await;
        drop(owned);
        answered(call, result)
    }
}

/// The extensions of a request with the mark of this call in them, until this is dropped:
/// a retry middleware around this one gives the same extensions to each attempt.
struct OwnedExtensions<'a> {
    tracking: &'a Tracking,
    extensions: &'a mut Extensions,
}

impl<'a> OwnedExtensions<'a> {
    fn new(tracking: &'a Tracking, extensions: &'a mut Extensions) -> Self {
        tracking.mark(extensions);
        Self { tracking, extensions }
    }
}

impl Drop for OwnedExtensions<'_> {
    fn drop(&mut self) {
        self.tracking.unmark(self.extensions);
    }
}

/// Tracks the calls of a [`reqwest::Client`](::reqwest::Client), of a
/// [`ClientWithMiddleware`](::reqwest_middleware::ClientWithMiddleware), or of a tower
/// stack around one. The caller gets a [`reqwest::Response`](::reqwest::Response) with its
/// URL, extensions, version, remote address and content length.
///
/// A `reqwest::Request` shows its extensions to nobody. One that is to carry a
/// [`SessionId`](crate::SessionId) is made from an `http::Request` that has it:
/// `reqwest::Request::try_from(http_request)`.
impl<S> Service<Request> for StatusService<S>
where
    S: Service<Request, Response = Response>,
    S::Error: Display + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = ReqwestResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let mut extensions = extensions_of(&mut request);
        let named = self.tracking.look(&extensions);
        let call = named.and_then(|named| start(&self.tracking, named, &request, &extensions));
        if call.is_some() {
            self.tracking.mark(&mut extensions);
            request = with_extensions(request, extensions);
        }
        let inner = {
            let _entered = call.as_ref().map(Call::enter);
            self.inner.call(request)
        };
        ReqwestResponseFuture { inner, call }
    }
}

/// The future of [`StatusService`] over a service of reqwest's types.
///
/// Dropped before the response is there, it leaves its agent `cancelled`.
#[pin_project]
pub struct ReqwestResponseFuture<F> {
    #[pin]
    inner: F,
    call: Option<Call>,
}

impl<F, E> Future for ReqwestResponseFuture<F>
where
    F: Future<Output = Result<Response, E>>,
    E: Display + 'static,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(poll_tracked(this.call, |call| {
            let _entered = call.map(Call::enter);
            this.inner.poll(cx)
        }));
        Poll::Ready(match this.call.take() {
            Some(call) => answered(call, result),
            None => result,
        })
    }
}

impl<F> fmt::Debug for ReqwestResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestResponseFuture").field("is_tracked", &self.call.is_some()).finish()
    }
}

fn start(
    tracking: &Tracking,
    named: SessionLocation,
    request: &Request,
    extensions: &Extensions,
) -> Option<Call> {
    let head = || RequestHead {
        method: request.method(),
        scheme: Some(request.url().scheme()),
        host: request.url().host_str(),
        port: request.url().port(),
        path: request.url().path(),
        headers: request.headers(),
        extensions,
    };
    tracking.start(named, extensions, request.method(), request.url().path(), &head)
}

/// The extensions of a request. It shows them only as the `http::Request` that it is made
/// into, and a copy is, without what is not needed for that: of a long URL the parsing alone
/// would be a third of all that a call costs.
fn extensions_of(request: &mut Request) -> Extensions {
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

/// The request with other extensions. It takes them only from an `http::Request`; all
/// else, such as the fragment of a URL, would get lost in one.
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

/// What the caller gets of a call that was answered or has failed.
fn answered<E: Display + 'static>(call: Call, result: Result<Response, E>) -> Result<Response, E> {
    match result {
        Ok(response) => Ok(match call.answered(response.status(), response.headers()) {
            Some(answer) => with_answer(response, answer),
            None => response,
        }),
        Err(error) => {
            match as_error(&error) {
                Some(error) => call.failed(&ErrorChain(error)),
                None => call.failed(&error),
            }
            Err(error)
        }
    }
}

/// The error of a stack, if its type is one that has causes to tell.
fn as_error<E: 'static>(error: &E) -> Option<&(dyn Error + 'static)> {
    let error: &dyn Any = error;
    if let Some(error) = error.downcast_ref::<::reqwest::Error>() {
        Some(error)
    } else if let Some(error) = error.downcast_ref::<reqwest_middleware::Error>() {
        Some(error)
    } else {
        // That of tower's layers which fail by themselves.
        error.downcast_ref::<Box<dyn Error + Send + Sync>>().map(|error| &**error as _)
    }
}

/// The response with its body looked at as it passes.
fn with_answer(response: Response, answer: ResponseObserver) -> Response {
    let url = response.url().clone();
    let mut response = http::Response::<Body>::from(response);
    // A `reqwest::Response` keeps its URL beside the parts of an `http::Response`, and
    // loses it on the way through one. It is taken up again from an extension, which only
    // the builder can make.
    if let Ok(with_url) = http::Response::builder().url(url).body(()) {
        let mut extensions = with_url.into_parts().0.extensions;
        extensions.extend(std::mem::take(response.extensions_mut()));
        *response.extensions_mut() = extensions;
    }
    response.map(|body| Body::wrap(ChainBody::new(body, answer, |error| error))).into()
}
