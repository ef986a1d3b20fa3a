//! Records, live in DynamoDB, what each LLM agent of a workflow is doing, how its calls end, how
//! many tokens they use, and what they cost.
//!
//! A service calls several agents over HTTP, each for seconds or minutes, and its users ask: What
//! is it doing now? Did it fail? What did it cost? This crate answers these questions with a
//! [layer](StatusLayer) in the HTTP clients of the agents. Each call marks its agent as in progress,
//! and then as success or error, with the tokens it used. The code that makes the calls does not
//! change and never waits for the table.
//!
//! ```text
//!    orchestrator code (unchanged)
//!         │ request                         ▲ response, byte for byte
//!  ┌──────▼─────────────────────────────────┴──────┐
//!  │ StatusLayer   one exchange, one outcome       │
//!  │   call started ── head ── body chunks ── end  │──────────────┐ never waits
//!  └──────┬─────────────────────────────────▲──────┘              ▼
//!         ▼ hyper, reqwest, the AWS SDK     │             StatusTracker   newest state of each session
//!       agent (any LLM API) ────────────────┘                     │ changed sessions
//!                                                                 ▼
//!                                                         Recorder        one task: batch, write, retry
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
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use tower::ServiceExt;
//! # use std::convert::Infallible;
//! # let request = http::Request::new(String::new());
//! # let client = tower::service_fn(async |_: http::Request<String>| Ok::<_, Infallible>(http::Response::new(String::new())));
//! // In production: `DynamoDbStore::from_env().await?`.
//! let store = MemoryStore::new();
//! let tracker = StatusTracker::builder(store.clone())
//!     .agent(Agent::new("pdfAdapter").in_progress("Extracting text from PDF document"))
//!     .agent(Agent::new("tradeExtraction"))
//!     .start()?;
//!
//! // Add a layer to the client of each agent.
//! let pdf_adapter = tower::ServiceBuilder::new()
//!     .layer(StatusLayer::new(&tracker, "pdfAdapter"))
//!     .service(client);
//!
//! // Run the orchestrator as a workflow: `Ok` completes it, `Err` fails it.
//! let result = tracker
//!     .workflow("session-corr_abc123")
//!     .run(async { pdf_adapter.oneshot(request).await })
//!     .await;
//!
//! // Before the process exits, flush pending writes.
//! tracker.shutdown(Duration::from_secs(5)).await?;
//! result?;
//! assert!(store.status("session-corr_abc123").is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # Guide
//!
//! - [Outcomes](crate::guide::outcomes): when a call is a success or an error, what is an error in a
//!   200, how overlapping calls, retries and unfinished tasks count, and how tokens add up.
//! - [Sessions](crate::guide::sessions): how the layer finds the session of a call, which
//!   [scopes](Workflow::scope) reach into tasks, and how sessions start and end.
//! - [Clients](crate::guide::clients): a recipe for each of Tower, reqwest, reqwest-middleware, the AWS
//!   and Azure SDKs, tonic, async-openai, rig and others; one client for several agents; error sources;
//!   turning tracking off.
//! - [The forwarder](crate::guide::forward): for clients in any language that accept only a base URL.
//! - [Layer order](crate::guide::stack): retries, timeouts, buffers, decompression. In short:
//!   inside `tower::retry`, outside `tower::timeout`, inside decompression.
//! - [Services](server): [`WorkflowLayer`] opens a workflow for each request to your own server.
//! - [Testing](testing): assert on what was recorded, with a [`MemoryStore`](store::MemoryStore).
//! - [The item](crate::guide::item): what is stored, and when it is written.
//!   [`status::schema`] lists its attributes.
//! - [The portal](crate::guide::portal) and [the command](crate::guide::command): watch workflows in
//!   a browser or a terminal.
//! - [Webhooks](crate::guide::webhook): be notified of workflows that fail or stall.
//! - [Traces and metrics](crate::guide::telemetry), with OpenTelemetry's names.
//! - [Models and costs](crate::guide::costs): price lists, budgets and attempts.
//! - [Limits](crate::guide::limits), [performance](crate::guide::performance), and
//!   [scale and cost](crate::guide::scale) from one workflow to 10,000 per second.
//! - [Troubleshooting](crate::guide::troubleshooting).
//!
//! # Crate features
//!
//! | feature | default | what it adds | crates |
//! | --- | --- | --- | --- |
//! | `dynamodb` | yes | [`store::DynamoDbStore`], with the AWS SDK | 155 |
//! | `decompression` | yes | token usage from gzip, deflate, br and zstd bodies | 52 |
//! | `reqwest` | | the layer for reqwest and reqwest-middleware ([`StatusMiddleware`]) | 84 |
//! | `reqwest012` | | the same for reqwest 0.12 and reqwest-middleware 0.4 ([`mod@reqwest012`]) | 91 |
//! | `aws` | | the layer for AWS SDK clients, such as Bedrock's and AgentCore's ([`aws`]) | 57 |
//! | `cli` | | the command `tower-agent-status` | 230 |
//! | `portal` | | [`portal`]: an axum router with the status as JSON, live events and a page | 80 |
//! | `embedded` | | an in-process DynamoDB engine, in memory or in one file | 180 |
//! | `forward` | | [`forward`]: an HTTP server that records the calls of clients that accept only a base URL; with `cli`, also as a command | 82 |
//! | `metrics` | | [metrics](mod@crate::metrics) of calls, tokens and writes, through the `metrics` facade | 37 |
//! | `prometheus` | | with `cli` and `forward`, the option `--metrics-addr` of the command | 78 |
//! | `prices` | | [`pricing`]: the cost of calls, from a price list in LiteLLM's format | 36 |
//! | `webhook` | | [`webhook`]: posts workflows that fail or stall to a URL | 86 |
//! | none | | the layer, the tracker and the store in memory | 34 |
//! | default | | | 168 |
//! | all | | | 261 |
//!
//! The last column is the number of crates compiled with that feature alone, on Linux, including
//! build dependencies. Most of `dynamodb` is the AWS SDK with its HTTP and TLS stack, which a
//! program that uses AWS has anyway. The SDK's default features are off: single sign-on, credentials
//! from other processes and an older HTTP stack. Without default features of this crate, no AWS
//! crate, SQLite or decoder is compiled.
//!
//! A C compiler is needed for `dynamodb` (TLS), `decompression` (zstd) and `embedded` (SQLite). A
//! clean build took 22 s without features, 82 s with the default ones and 110 s with all, on two
//! cores in November 2026.
//!
//! # Supported Rust versions
//!
//! The minimum is Rust 1.89, for the layer alone and with the features `dynamodb`, `decompression`,
//! `reqwest`, `portal`, `metrics` and `prices`. For a package whose `rust-version` is that low, Cargo
//! chooses the last AWS SDK that supports it. The newest SDK needs 1.94.1, and so do the features `aws`,
//! `embedded` and `cli` with any.
//!
//! The crate is tested with 1.95. Clippy checks that the standard library of 1.89 suffices, and a script
//! the versions that dependencies declare. A newer minimum is not a breaking change.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod agent;
mod client;
mod exchange;
#[cfg(feature = "forward")]
#[cfg_attr(docsrs, doc(cfg(feature = "forward")))]
pub mod forward;
#[cfg(any(doc, doctest))]
pub mod guide;
#[cfg(any(feature = "portal", feature = "forward"))]
mod listener;
#[cfg(feature = "portal")]
#[cfg_attr(docsrs, doc(cfg(feature = "portal")))]
pub mod portal;
#[cfg(feature = "prices")]
#[cfg_attr(docsrs, doc(cfg(feature = "prices")))]
pub mod pricing;
mod recorder;
pub mod server;
mod session;
pub mod status;
pub mod store;
mod telemetry;
pub mod testing;
mod tracker;
pub mod usage;
#[cfg(feature = "webhook")]
#[cfg_attr(docsrs, doc(cfg(feature = "webhook")))]
pub mod webhook;
mod workflow;

pub use agent::{Agent, InvalidName};
#[cfg(feature = "reqwest")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest")))]
pub use client::StatusMiddleware;
#[cfg(feature = "aws")]
#[cfg_attr(docsrs, doc(cfg(feature = "aws")))]
pub use client::aws;
#[cfg(feature = "reqwest012")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest012")))]
pub use client::reqwest012;
pub use client::{StatusBody, StatusFuture, StatusLayer, StatusService, Target};
pub use exchange::{DefaultErrorDisplay, ErrorDisplay, WithSources};
#[cfg(feature = "prices")]
#[cfg_attr(docsrs, doc(cfg(feature = "prices")))]
pub use pricing::Prices;
pub use recorder::{Recorder, StartError, StatusTrackerBuilder, UnsavedError};
pub use server::WorkflowLayer;
pub use session::RequestHead;
pub use status::{InvalidSessionId, SessionId};
pub use telemetry::GEN_AI_SCHEMA_URL;
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use telemetry::metrics;
pub use tower_layer::Layer;
pub use tracker::{StatusTracker, UnsavedSession};
pub use workflow::{Workflow, WorkflowBuilder, WorkflowError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
