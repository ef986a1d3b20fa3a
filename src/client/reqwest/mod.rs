//! The layer in the clients of reqwest 0.13 and reqwest-middleware 0.5.
//!
//! The types of reqwest 0.12 and 0.13 are different types with the same methods, and no trait covers
//! both. So `adapter.rs` is compiled once for each version whose feature is on: here, and in
//! [`reqwest012`](super::reqwest012). It takes the two crates from the module around it.

mod adapter;

use ::{reqwest, reqwest_middleware};

/// Tracks every call of an agent's client of reqwest-middleware 0.5, which is for reqwest 0.13.
///
/// ```
/// # use tower_agent_status::{StatusMiddleware, StatusTracker};
/// # fn example(tracker: &StatusTracker) -> reqwest_middleware::ClientWithMiddleware {
/// reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
///     .with(StatusMiddleware::new(tracker, "pdfAdapter"))
///     .build()
/// # }
/// ```
pub use self::adapter::StatusMiddleware;
