//! [`ForwardService`]: one request, from the client to the agent and back.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::json;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;
use tower_service::Service;

use super::error::{AnyBody, ErrorResponse, empty, json_response};
use super::route::{OWN_ROUTES, Route, check_dots};
use super::upgrade::{self, Asked};
use super::upstream::Upstream;
use super::workflows::Workflows;
use super::{BoxError, RequestBody, guard, headers};
use crate::listener::{Hosts, Token, UpgradeSlot};

/// Whether the forwarder runs, for load balancers. It needs no token.
const HEALTH: &str = "/-/health";

/// The Tower stack of an agent.
pub(super) type Stack = BoxCloneSyncService<Request<RequestBody>, Response<AnyBody>, BoxError>;

/// Gives any stack one type.
pub(super) fn boxed<S, B>(stack: S) -> Stack
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    BoxCloneSyncService::new(
        stack
            .map_response(|response: Response<B>| {
                response.map(|body| body.map_err(Into::into).boxed_unsync())
            })
            .map_err(Into::into),
    )
}

/// Forwards requests to agents.
#[derive(Clone)]
pub(super) struct ForwardService(Arc<Shared>);

pub(super) struct Shared {
    pub(super) agents: HashMap<String, Agent>,
    pub(super) token: Option<Token>,
    pub(super) hosts: Hosts,
    pub(super) workflows: Arc<Workflows>,
}

/// Where an agent is, and the stack through which it is called.
pub(super) struct Agent {
    pub(super) upstream: Upstream,
    pub(super) stack: Stack,
}

impl ForwardService {
    pub(super) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl Service<Request<Incoming>> for ForwardService {
    type Response = Response<AnyBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            Ok(shared.respond(request).await.unwrap_or_else(ErrorResponse::into_response))
        })
    }
}

impl Shared {
    async fn respond(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<AnyBody>, ErrorResponse> {
        guard::check(&request, &self.hosts)?;
        let (path, headers) = (request.uri().path(), request.headers());
        if path == HEALTH {
            return Ok(json_response(StatusCode::OK, &json!({ "status": "ok" })));
        }
        let path = guard::check_token(self.token.as_ref(), headers, path)?;
        let route = Route::parse(path)?;
        if route.first == OWN_ROUTES {
            let rest = route.rest.to_owned();
            return self.workflows.respond(&rest, self.token.is_some(), request).await;
        }
        let (name, agent) = self.agents.get_key_value(&*route.first).ok_or_else(|| {
            let message = "there is no agent of this name; the path must begin with the name of \
                           one, as in `/{agent}/…`";
            ErrorResponse::new(StatusCode::NOT_FOUND, message)
        })?;
        let (session, rest) = route.session(headers)?;
        check_dots(rest)?;
        let uri = agent.upstream.uri(rest, request.uri().query());
        let uri = uri.ok_or_else(|| {
            ErrorResponse::bad_request("the path with its query is too long or not valid in a URL")
        })?;
        if headers::is_loop(headers) {
            let message = "the request came back to the forwarder: an agent's URL leads to it";
            return Err(ErrorResponse::new(StatusCode::LOOP_DETECTED, message));
        }
        let version = request.version();
        let is_head = request.method() == Method::HEAD;
        let (forwarded, asked) = prepare(request, uri, session);
        let response = agent.stack.clone().oneshot(forwarded).await;
        let mut response = response.map_err(|error| ErrorResponse::of_call(name, &error))?;
        let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        headers::prepare_response(response.headers_mut(), is_upgrade);
        if is_upgrade {
            response = upgrade::accept(asked, response)?;
        }
        if is_head {
            // Some servers send a body over HTTP/2 all the same, which is an error of the stream.
            response = response.map(|_| empty());
        }
        // Of the connection to the agent. The client has its own.
        *response.version_mut() = version;
        Ok(response)
    }
}

/// The request to the agent.
fn prepare(
    mut request: Request<Incoming>,
    uri: http::Uri,
    session: Option<crate::SessionId>,
) -> (Request<RequestBody>, Option<Asked>) {
    let is_http2 = request.version() == Version::HTTP_2;
    let version = if is_http2 { Version::HTTP_2 } else { Version::HTTP_11 };
    let received = request.version();
    let is_upgrade = headers::prepare_request(request.headers_mut(), received);
    let slot = request.extensions_mut().remove::<UpgradeSlot>();
    let asked = slot
        .filter(|_| is_upgrade)
        .map(|slot| Asked { client: hyper::upgrade::on(&mut request), slot });
    let (mut head, body) = request.into_parts();
    head.uri = uri;
    head.version = version;
    // Those of the server are for this connection.
    head.extensions = http::Extensions::new();
    if let Some(session) = session {
        head.extensions.insert(session);
    }
    (Request::from_parts(head, RequestBody::incoming(body)), asked)
}
