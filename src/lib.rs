//! Records what each LLM agent is doing, live, from a layer in its HTTP client.
//!
//! A service calls several agents in turn, each over HTTP, each for seconds or minutes,
//! and people ask: what is it doing now, did it fail, what did it cost? This crate answers
//! from where the calls pass. Every call marks its agent in progress, then success or
//! error, with the tokens it used, in a DynamoDB table that a portal can show; the code
//! that makes the calls does not change, and never waits.
//!
//! ```text
//!    orchestrator code (unchanged)
//!         │ request                         ▲ response, byte for byte
//!  ┌──────▼─────────────────────────────────┴──────┐
//!  │ StatusLayer   one call = one guard            │
//!  │   call started ── head ── body chunks ── end  │──────────────┐ never waits
//!  └──────┬─────────────────────────────────▲──────┘              ▼
//!         ▼ hyper, or any tower client      │             StatusTracker   newest state of each session
//!       agent (any LLM API) ────────────────┘                     │ dirty sessions
//!                                                                 ▼
//!                                                         Recorder        one task: gather, write, retry
//!                                                                 │
//!                                                                 ▼
//!                                                         StatusStore     DynamoDB, embedded, memory
//! ```
//!
//! # Quick start
//!
//! ```
//! use std::time::Duration;
//! use tower_agent_status::{Agent, StatusLayer, StatusTracker, store::MemoryStore};
//!
//! # #[derive(Clone)] struct Client;
//! # impl tower::Service<http::Request<String>> for Client {
//! #     type Response = http::Response<String>;
//! #     type Error = std::convert::Infallible;
//! #     type Future = std::future::Ready<Result<Self::Response, Self::Error>>;
//! #     fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> { Ok(()).into() }
//! #     fn call(&mut self, _: http::Request<String>) -> Self::Future { std::future::ready(Ok(http::Response::new(String::new()))) }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let hyper_client = Client;
//! // `DynamoDbStore::from_env().await?` saves to a table.
//! let store = MemoryStore::new();
//! let tracker = StatusTracker::builder(store.clone())
//!     .agent(Agent::new("pdfAdapter").in_progress("Extracting text from PDF document"))
//!     .agent(Agent::new("tradeExtraction"))
//!     .start()?;
//!
//! // One layer in each agent's client.
//! let pdf_adapter = tower::ServiceBuilder::new()
//!     .layer(StatusLayer::new(&tracker, "pdfAdapter"))
//!     .service(hyper_client);
//!
//! // One workflow around each run of the orchestrator.
//! let outcome = tracker
//!     .workflow("session-corr_abc123")
//!     .correlation_id("corr_abc123")
//!     .run(async {
//!         use tower::ServiceExt;
//!         pdf_adapter.oneshot(http::Request::new(String::new())).await?;
//!         Ok::<_, std::convert::Infallible>(())
//!     })
//!     .await;
//!
//! // However it went: what is not saved yet is saved now.
//! tracker.shutdown(Duration::from_secs(5)).await?;
//! outcome?;
//! assert!(store.status("session-corr_abc123").is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # What happens to a call
//!
//! Nothing that the caller could see. The layer awaits nothing but the inner service; it
//! changes no byte, frame, trailer, size hint or error; and no failure of the table
//! reaches the caller. It marks the request with an extension, so that of several layers of
//! one tracker in one stack the outermost owns the call, and looks at the body's bytes as
//! they pass.
//!
//! # When a call is success, error or cancelled
//!
//! | how the call ends | agent | `errorType` |
//! | --- | --- | --- |
//! | the body is read to its end, or up to the stream's own end marker (`[DONE]`, `message_stop`) | success | |
//! | the body's announced length is read, and the body dropped | success | |
//! | status 4xx or 5xx, whether the body is read or not | error | `http_404`, `http_500`, … |
//! | an error reported inside a 200, in the body or the stream | error | `agent` |
//! | a stream of a known format ends without its end marker | error | `incomplete` |
//! | the transport fails, before the head or in the body | error | `transport`, or `timeout` if it says so |
//! | the response future or the body is dropped before the end | error | `cancelled` |
//! | the inner service panics | error | `panic` |
//! | the workflow ends while the call is in flight | error | `workflow_ended` |
//!
//! Whatever the end, the tokens seen by then count. While any call of an agent is in
//! flight the agent is in progress; when the last one ends it is an error if any of those
//! that overlapped failed. A later call starts afresh, so a retry that succeeds ends in
//! success. Tokens add up over all calls: failed attempts were paid for too.
//!
//! # Which session a call is for
//!
//! The first that answers: a [`SessionId`] among the request's extensions; the
//! surrounding [`Workflow::run`] or [`Workflow::scope`]; the header or the closure that the
//! layer was given ([`StatusLayer::session_header`], [`StatusLayer::session_from`]). If
//! none does, the call passes untouched.
//!
//! A scope belongs to the task:
//!
//! | where calls are made | the scope | what helps |
//! | --- | --- | --- |
//! | `join!`, `select!`, `FuturesUnordered`, any future awaited in the run | is there | |
//! | `tokio::spawn`, `JoinSet`, `spawn_blocking` | is lost | [`SessionId::scope`] or [`Workflow::scope`] around the task's future; an extension |
//! | inside of a `tower::buffer`, which calls on a task of its own | is lost | the layer outside of the buffer; an extension |
//! | a stream that calls when it is polled, after [`Workflow::run`] returned | is over | polling it in [`SessionId::scope`] |
//!
//! A call keeps the session that it started with, wherever its body is read. Of a body that
//! is read after the run, the agent ends twice: as `workflow_ended` with the run, and by the
//! body's own end, with all its tokens, when that comes. The workflow stays as it ended.
//!
//! A session that is known only from its calls begins with the first and stays `processing`
//! until [`StatusTracker::finalize_status`]; or, where
//! [that is set](StatusTrackerBuilder::idle_timeout), until nothing was heard of it for
//! some time. Saved and idle for ten minutes it leaves memory, and its next call resumes it.
//!
//! A [`WorkflowBuilder::run`] that could not be started runs its future in no session, also
//! inside another workflow's scope.
//!
//! # Workflows and agents by hand
//!
//! Where no one future is the run, [`WorkflowBuilder::start`] gives a [`Workflow`] to
//! [complete](Workflow::complete), [fail](Workflow::fail) or [detach](Workflow::detach);
//! [`StatusTracker::initialize_status`] and [`StatusTracker::finalize_status`] do with the
//! session's id alone. A session that was used before is resumed, and one that is finished
//! stays finished, unless it is begun anew by [`new_run`](WorkflowBuilder::new_run). The
//! state of an agent whose calls pass through no layer is set by
//! [`StatusTracker::update_agent_status`].
//!
//! # One client for many agents
//!
//! [`StatusLayer::per_request`] takes the agent from each request: from an [`Agent`] among
//! its extensions, from rules over where it goes ([`Target`]: host, path, the ARN of an
//! `AgentCore` runtime), or from a closure.
//!
//! # Order of layers
//!
//! Inside of `tower::retry`, so that every attempt is a call and its tokens count; outside of
//! `tower::timeout`, so that a call that takes too long ends as `timeout` and not as
//! `cancelled`; inside of decompression, since the layer reads compressed bodies itself.
//! [The page on stacks](crate::guide::stack) says what it means to be inside or outside of
//! each neighbour.
//!
//! # In other clients
//!
//! One layer goes into every kind of client, with the same meaning in each. What
//! [`StatusLayer`] wraps, by tower's `ServiceBuilder` or by [`Layer::layer`], stays what it is:
//!
//! | around | it is | feature |
//! | --- | --- | --- |
//! | a service of `http::Request`, such as hyper-util's client | a service; the body is a [`StatusBody`] | |
//! | a service of `reqwest::Request`, such as `reqwest::Client` | a service; the answer is a `reqwest::Response` | `reqwest` |
//! | an HTTP client of the AWS SDK | an HTTP client, for the `http_client` of an SDK client's configuration; see [`aws`] | `aws` |
//!
//! A client of reqwest-middleware takes a [`StatusMiddleware`], which is made from a layer.
//! Its requests carry a [`SessionId`] by `.with_extension(session_id)`, and a client's all by
//! `.with_init(Extension(session_id))`; those of the SDK by `.customize().mutate_request(…)`.
//!
//! # A service that tracks itself
//!
//! [`WorkflowLayer`] is the other end: on the orchestrator's own server it opens a workflow
//! for each request and finishes it by the response, at the end of its body. With
//! [`StatusLayer`] on the way out, nothing in between has to change:
//!
//! ```
//! # use axum::{Router, routing::post};
//! # use tower_agent_status::{StatusTracker, WorkflowLayer};
//! # async fn invoke() -> String { String::new() }
//! # fn app(tracker: &StatusTracker) -> Router {
//! Router::new()
//!     .route("/invocations", post(invoke))
//!     .route_layer(WorkflowLayer::new(tracker))
//! # }
//! ```
//!
//! The module [`server`] says which requests, in which session, and how they end.
//!
//! # Testing your orchestrator
//!
//! Put a [`MemoryStore`](store::MemoryStore) behind the tracker, run the orchestrator
//! against mocked agents, wait for [`finished`](store::MemoryStore::wait_until_finished), and assert
//! what people would see: the module [`testing`] shows how.
//!
//! # What is stored
//!
//! One item for each session; [`status::schema`] names its attributes. Error messages are
//! at most 500 bytes and pass one redaction ([`status::ErrorMessage`]); nothing else of a
//! request or a response is stored. A workflow of four agents, one after the other, is
//! five writes, since the end of one agent and the start of the next travel together where
//! they follow within [the gathering time](StatusTrackerBuilder::batch_delay). A stream that tells
//! its tokens before its end adds [a write a second](StatusTrackerBuilder::live_usage_interval).
//!
//! What is not saved yet is tried again until it is, in memory bounded by the number of
//! live and unsaved sessions. [`StatusTracker::flush`] and [`StatusTracker::shutdown`] say
//! what could not be saved.
//!
//! # Traces and metrics
//!
//! Each tracked call is a span of [`tracing`], with the names of OpenTelemetry's semantic
//! conventions 1.41 for generative AI: `invoke_agent`, at the level `info`, with the target
//! `tower_agent_status`. It begins with the call and ends with the body, inside the span
//! that is current at the call, and the client's own spans are inside of it. Where nobody
//! listens it costs the look at a flag.
//!
//! | field | when | what |
//! | --- | --- | --- |
//! | `gen_ai.operation.name` | start | `invoke_agent` |
//! | `gen_ai.agent.name` | start | the agent |
//! | `gen_ai.conversation.id` | start | the session |
//! | `http.request.method`, `server.address` | start | of the request |
//! | `http.response.status_code` | head | of the response |
//! | `gen_ai.response.time_to_first_chunk` | first piece | of a stream, in seconds |
//! | `gen_ai.usage.input_tokens`, `gen_ai.usage.output_tokens`, `gen_ai.usage.cache_read.input_tokens`, `gen_ai.usage.cache_creation.input_tokens`, `gen_ai.usage.reasoning.output_tokens` | end | as far as reported |
//! | `error.type` | end | the `errorType` of the table, where the call failed |
//! | `otel.kind`, `otel.status_code`, `otel.status_description` | | `client`; `ERROR` and the message, where the call failed |
//!
//! With the feature `metrics`, calls and writes are counted and timed too: see the table of
//! [`metrics`](mod@crate::metrics). A call without a session is not tracked; it has no span, and is not counted.
//!
//! # Crate features
//!
//! | feature | default | what it adds | crates |
//! | --- | --- | --- | --- |
//! | `dynamodb` | yes | [`store::DynamoDbStore`], through the AWS SDK | 154 |
//! | `decompression` | yes | token usage out of gzip, deflate, br and zstd bodies | 53 |
//! | `reqwest` | | the layer in clients of reqwest and reqwest-middleware ([`StatusMiddleware`]) | 84 |
//! | `aws` | | the layer in clients of the AWS SDK, such as Bedrock's and AgentCore's ([`aws`]) | 56 |
//! | `cli` | | the command `tower-agent-status`: lists, shows, watches, serves, deletes; makes and checks the table | 227 |
//! | `portal` | | [`portal`]: an axum router with the status as JSON, as live events and as a page | 78 |
//! | `embedded` | | a DynamoDB engine inside the process, in memory or in one file | 179 |
//! | `metrics` | | counts and times of calls, tokens and writes, through the `metrics` facade | 37 |
//! | none | | the layer, the tracker and the store in memory | 34 |
//! | default | | | 168 |
//! | all | | | 235 |
//!
//! The last column is how many crates are compiled with that feature alone (on Linux, those
//! that only build others among them), counted by `.ci/feature-cost`. Most of `dynamodb` is the
//! AWS SDK with its HTTP and TLS stack, which a program that uses AWS has anyway; it is taken
//! without its default features, and so without single sign-on, credentials of other processes
//! and an older HTTP stack.
//!
//! Without default features no AWS crate, no SQLite and no decoder is compiled. A C compiler is
//! needed for the TLS of `dynamodb`, the zstd of `decompression` and the SQLite of `embedded`.
//! A build from nothing took 22 s without features, 82 s with the default ones and 110 s with
//! all, on two cores in November 2026.
//!
//! # Further pages
//!
//! - [The item](crate::guide::item), attribute by attribute.
//! - [Where in the stack](crate::guide::stack): beside retries, time-outs, buffers, decompression.
//! - [Limits](crate::guide::limits): what the layer cannot see, how long texts may be, what is
//!   lost when.
//! - [When something is not as expected](crate::guide::troubleshooting), by what you see: not in
//!   the table, no tokens, writes failing, stuck in progress, `cancelled` instead of success.
//! - [Scale](crate::guide::scale): writes, capacity, limits and cost, from one workflow to 10,000
//!   a second.
//!
//! It needs Rust 1.94.1, which is what the AWS SDK asks for. It is tested with 1.95; for the
//! stated version, clippy looks for what its standard library lacks. A newer minimum is no
//! breaking change.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod agent;
mod client;
mod exchange;
#[cfg(doc)]
pub mod guide;
#[cfg(feature = "portal")]
#[cfg_attr(docsrs, doc(cfg(feature = "portal")))]
pub mod portal;
mod recorder;
pub mod server;
mod session;
pub mod status;
pub mod store;
mod telemetry;
pub mod testing;
mod tracker;
pub mod usage;
mod workflow;

pub use agent::{Agent, InvalidName};
#[cfg(feature = "reqwest")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest")))]
pub use client::StatusMiddleware;
#[cfg(feature = "aws")]
#[cfg_attr(docsrs, doc(cfg(feature = "aws")))]
pub use client::aws;
pub use client::{StatusBody, StatusFuture, StatusLayer, StatusService, Target};
pub use exchange::{DisplayOnly, ErrorDisplay, WithSources};
pub use recorder::{Recorder, StartError, StatusTrackerBuilder, UnsavedError};
pub use server::WorkflowLayer;
pub use session::RequestHead;
pub use status::{InvalidSessionId, SessionId};
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use telemetry::metrics;
pub use tower_layer::Layer;
pub use tracker::{StatusTracker, Unsaved};
pub use workflow::{Workflow, WorkflowBuilder, WorkflowError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
