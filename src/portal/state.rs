//! [`AppState`]: what the handlers of the routes share.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use http::StatusCode;
use http::request::Parts;
use tokio::sync::Mutex;

use super::ShutdownSignal;
use super::board::Board;
use super::gauges::SignOfLife;
use super::listed::Listed;
use super::live::Live;
use super::recent::RecentList;
use super::response::ErrorResponse;
use super::view::View;
use super::visible::{Viewer, Visible};
use super::webhook_metrics::WebhookMetrics;
use crate::store::{RecentItems, StatusReader};

#[derive(Debug)]
pub(super) struct AppState<R> {
    pub(super) reader: Arc<R>,
    pub(super) view: Arc<View>,
    pub(super) live: Live<R>,
    pub(super) board: Board<R>,
    /// For lists of workflows.
    pub(super) recent: Arc<RecentList<R, Arc<Listed>>>,
    /// For the gauges, which read more of them and show less of each.
    pub(super) signs: RecentList<R, SignOfLife>,
    /// Held by the search that reads the store.
    pub(super) searching: Mutex<()>,
    pub(super) visible: Option<Visible>,
    pub(super) webhook: WebhookMetrics,
    pub(super) keep_alive: Duration,
    pub(super) shutdown: ShutdownSignal,
}

impl<R> AppState<R> {
    pub(super) fn viewer(&self, parts: Parts) -> Viewer {
        Viewer::new(self.visible.as_ref(), parts)
    }
}

impl<R: StatusReader, T: Send> RecentList<R, T> {
    /// Returns the newest workflows: at least `limit`, if the store has that many.
    pub(super) async fn read(&self, limit: usize) -> Result<Arc<RecentItems<T>>, ErrorResponse> {
        self.get(limit).await.map_err(|error| {
            tracing::error!(%error, "cannot read the recent workflows");
            ErrorResponse::unreadable()
        })
    }
}

/// The session id in the path, whatever its characters.
pub(super) fn session_id(
    path: Result<Path<String>, PathRejection>,
) -> Result<String, ErrorResponse> {
    let refuse = |detail: &'static str| Err(ErrorResponse::new(StatusCode::BAD_REQUEST, detail));
    match path {
        Ok(Path(id)) if id.is_empty() => refuse("the path has no session id"),
        Ok(Path(id)) => Ok(id),
        Err(_) => refuse("the session id in the path must be percent-encoded UTF-8"),
    }
}
