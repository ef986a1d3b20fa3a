//! The orchestrator's own server: a layer that opens a workflow for each request.
//!
//! [`StatusLayer`](crate::StatusLayer) is for the way out, to the agents.
//! [`WorkflowLayer`] is for the way in: it opens the workflow of a request, has the handler
//! run in its scope, and finishes it by the response. A service with both tracks itself,
//! and no line of what lies between them changes.
//!
//! ```
//! use axum::{Router, routing::{get, post}};
//! use tower_agent_status::{WorkflowLayer, StatusTracker};
//!
//! # async fn invoke() -> String { String::new() }
//! # async fn ping() -> &'static str { "" }
//! fn service(tracker: &StatusTracker) -> Router {
//!     Router::new()
//!         .route("/invocations", post(invoke))
//!         .route("/ping", get(ping))
//!         .route_layer(WorkflowLayer::new(tracker))
//! }
//! ```
//!
//! and with the session id and some attributes taken from the request:
//!
//! ```
//! use http::HeaderName;
//! use tower_agent_status::{StatusTracker, WorkflowLayer};
//!
//! fn layer(tracker: &StatusTracker) -> WorkflowLayer {
//!     let correlation_id = HeaderName::from_static("x-correlation-id");
//!     WorkflowLayer::new(tracker)
//!         .session_header_with(correlation_id.clone(), |id| format!("session-{id}"))
//!         .correlation_header(correlation_id)
//!         .attribute_header("sourceType", HeaderName::from_static("x-source-type"))
//!         .filter(|head| head.path.starts_with("/runs/"))
//! }
//! ```
//!
//! It goes into any tower stack: axum, hyper's server, Lambda's `service_fn`. Put it inside
//! of what turns requests away (authentication, routing; `route_layer` in axum), since each
//! request that passes it is an item in the table.
//!
//! # Which requests open a workflow
//!
//! Those whose method is not safe (in the sense of HTTP: GET, HEAD, OPTIONS and TRACE only
//! ask): POST, PUT, PATCH, DELETE. Health checks, pages and preflights open none.
//! [`filter`](WorkflowLayer::filter) says otherwise. Of two layers of one tracker the outer
//! one opens the workflow.
//!
//! # Which session it is
//!
//! The first that answers: a [`SessionId`](crate::SessionId) among the request's extensions;
//! the header or the closure that the layer was given; or else
//! [a new one](crate::SessionId::random). Who may name a session may write to it: take it
//! from a header only where you trust those who call. An id that cannot be one is left out,
//! which is logged once, and a new one is made.
//!
//! An id that was used before is resumed. One that is finished stays finished: calls and
//! tokens are still added to it. With [`new_run`](WorkflowLayer::new_run) each request begins
//! its session anew instead. Of two requests that are in one session at a time, the first to
//! end finishes it.
//!
//! The response tells the session id in the header `x-workflow-session-id`
//! ([another](WorkflowLayer::response_header), or none).
//!
//! **The runtime session of `AgentCore` is something else.** It names a microVM that serves
//! one user, possibly many requests, and its header
//! (`X-Amzn-Bedrock-AgentCore-Runtime-Session-Id`, 33 characters at least) belongs to the
//! platform; a workflow is one run, and its id is your own. One can be stored beside the
//! other: `.attribute_header("runtimeSessionId", …)`. An id made here is long enough to be
//! passed on as a runtime session id where an orchestrator calls its agents.
//!
//! # How the workflow ends
//!
//! At the end of the response's body, since a handler may stream while it works. Body and
//! head are read as a [call's](crate#when-a-call-is-success-error-or-cancelled) are.
//!
//! | what happens | workflow |
//! | --- | --- |
//! | the body ends, or its announced length is sent | completed |
//! | status 4xx or 5xx | failed, with the message in the body |
//! | an error reported inside a 200 | failed, with that message |
//! | a stream of a known format ends without its end marker | failed |
//! | the inner service or the body fails | failed |
//! | the caller goes away before the response, or before the end of its body | failed |
//! | the handler panics | failed |
//! | status 202 (Accepted) or 101 (Switching Protocols), or 2xx to CONNECT | left to the handler |
//! | the handler has called [`Workflow::detach`](crate::Workflow::detach) | left to the handler |
//! | the handler has finished the workflow itself | as it has |
//!
//! A handler finds the [`Workflow`](crate::Workflow) among the request's extensions
//! (`Extension<Workflow>` in axum). After a 202 it stays open until a clone finishes it, or
//! until the last clone is dropped, which fails it:
//!
//! ```
//! # use axum::{Extension, http::StatusCode};
//! # use tower_agent_status::Workflow;
//! # async fn process() -> Result<(), std::io::Error> { Ok(()) }
//! async fn start(Extension(workflow): Extension<Workflow>) -> StatusCode {
//!     tokio::spawn(workflow.run(process()));
//!     StatusCode::ACCEPTED
//! }
//! ```
//!
//! A handler that answers otherwise and works on takes a clone to work with, and calls
//! `detach` on its own.
//!
//! # What it does to the response
//!
//! It adds one header. The body's frames, trailers, length and errors are the handler's. The
//! scope is entered for each poll of the handler and of the body, so that a stream finds
//! its session when it calls an agent.

mod config;
mod layer;
mod service;
mod workflow;

pub use layer::WorkflowLayer;
pub use service::{WorkflowBody, WorkflowFuture, WorkflowService};
