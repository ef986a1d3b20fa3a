//! The client of a recipe for reqwest-middleware, compiled for each of its versions: the module that
//! includes this file names them.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use tower::BoxError;

use super::{reqwest, reqwest_middleware, reqwest_retry};
use crate::http_client::{question, text};
use crate::{Client, Pieces};

/// Retries once, almost at once.
pub(in crate::recipes) fn backoff() -> reqwest_retry::policies::ExponentialBackoff {
    let bounds = reqwest_retry::policies::ExponentialBackoff::builder()
        .retry_bounds(Duration::from_millis(1), Duration::from_millis(1));
    bounds.build_with_max_retries(1)
}

pub(super) struct Middleware {
    pub(super) client: reqwest_middleware::ClientWithMiddleware,
    pub(super) url: String,
}

impl Middleware {
    async fn send(&self, stream: bool) -> Result<reqwest::Response, BoxError> {
        let response = self.client.post(&self.url).json(&question(stream)).send().await?;
        Ok(response.error_for_status()?)
    }
}

impl Client for Middleware {
    async fn ask(&self) -> Result<String, BoxError> {
        Ok(self.send(false).await?.text().await?)
    }

    async fn stream(&self) -> Result<Pieces, BoxError> {
        let bytes = self.send(true).await?.bytes_stream();
        Ok(Box::pin(bytes.map_ok(text).map_err(Into::into)))
    }
}
