//! The layer in the clients of reqwest 0.12 and reqwest-middleware 0.4.
//!
//! For programs that have not moved to reqwest 0.13, which has the feature `reqwest`. Usage is the
//! same: [`StatusLayer`](crate::StatusLayer) wraps a `reqwest::Client` or any other service of its
//! requests, and [`StatusMiddleware`] is for reqwest-middleware. With both features, one program can
//! track clients of both versions with the same [`StatusTracker`](crate::StatusTracker).
//!
//! ```toml
//! tower-agent-status = { version = "0.1", features = ["reqwest012"] }
//! reqwest = "0.12"
//! reqwest-middleware = "0.4"
//! ```

#[allow(clippy::duplicate_mod, reason = "compiled for each version: `reqwest/mod.rs` says why")]
#[path = "reqwest/adapter.rs"]
mod adapter;

use ::{reqwest_middleware04 as reqwest_middleware, reqwest012 as reqwest};

/// Middleware for reqwest-middleware 0.4 and reqwest 0.12 that tracks every call of an agent's client.
///
/// ```
/// # // The program has the crates under their own names.
/// # use {reqwest_middleware04 as reqwest_middleware, reqwest012 as reqwest};
/// # use tower_agent_status::StatusTracker;
/// use tower_agent_status::reqwest012::StatusMiddleware;
///
/// # fn example(tracker: &StatusTracker) -> reqwest_middleware::ClientWithMiddleware {
/// reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
///     .with(StatusMiddleware::new(tracker, "pdfAdapter"))
///     .build()
/// # }
/// ```
pub use self::adapter::StatusMiddleware;
