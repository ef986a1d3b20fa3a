//! `GET /health` of the portal's own server: whether it can read the store.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::response::json;
use crate::status::SessionId;
use crate::store::StatusReader;

/// How long an answer is repeated. Anyone may ask, and each look costs a read of the table.
const FRESH: Duration = Duration::from_secs(5);
/// How long the store may take. Load balancers give up after five seconds.
const TIMEOUT: Duration = Duration::from_secs(4);

struct Health<R> {
    reader: Arc<R>,
    /// When the store was last read, and whether that went well. Held while it is read, so that
    /// requests that arrive meanwhile share the result.
    last: Mutex<Option<(Instant, bool)>>,
}

/// The route. It needs no token, and says nothing of the store but whether it can be read.
pub(super) fn router<R: StatusReader>(reader: Arc<R>) -> Router {
    let health = Arc::new(Health { reader, last: Mutex::new(None) });
    Router::new().route("/health", get(health_of::<R>)).with_state(health)
}

async fn health_of<R: StatusReader>(State(health): State<Arc<Health<R>>>) -> Response {
    match health.can_read().await {
        true => json(r#"{"status":"ok"}"#.to_owned()),
        false => {
            let detail = "the status store cannot be read right now; the portal's log says why";
            let body = serde_json::json!({ "status": "unavailable", "detail": detail });
            let mut response = json(body.to_string()).into_response();
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        }
    }
}

impl<R: StatusReader> Health<R> {
    async fn can_read(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, can_read)) = *last
            && at.elapsed() < FRESH
        {
            return can_read;
        }
        // Any id will do: that there is no such session is an answer, too.
        let Ok(id) = SessionId::new("health") else { return false };
        let can_read = match timeout(TIMEOUT, self.reader.get(&id)).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the portal cannot read the store");
                false
            }
            Err(_) => {
                tracing::warn!(timeout = ?TIMEOUT, "the store does not answer the portal");
                false
            }
        };
        *last = Some((Instant::now(), can_read));
        can_read
    }
}
