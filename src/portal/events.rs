//! `GET /api/workflow/{sessionId}/events`: a workflow as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{HeaderName, StatusCode};
use tokio::sync::watch;
use tokio::time::sleep;

use super::ShutdownSignal;
use super::live::{self, Snapshot};
use super::response::ErrorResponse;
use super::state::{AppState, session_id};
use super::view::View;
use super::visible::Viewer;
use crate::status::SessionId;
use crate::store::StatusReader;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The detail of a response when no more workflows can be watched.
pub(super) const TOO_MANY: &str = "too many workflows are being watched; try again later";

/// The headers of an event stream, beside its type.
pub(super) const STREAM_HEADERS: [(HeaderName, &str); 2] = [
    (CACHE_CONTROL, "no-store"),
    // nginx would buffer the events.
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

pub(super) async fn events<R: StatusReader>(
    State(shared): State<Arc<AppState<R>>>,
    path: Result<Path<String>, PathRejection>,
    parts: Parts,
) -> Result<Response, ErrorResponse> {
    let session_id = SessionId::from_key(session_id(path)?)
        .map_err(|error| ErrorResponse::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let mut states = shared.live.watch(&session_id).map_err(|live::TooManySessions| {
        tracing::warn!(?session_id, "too many sessions are being watched; refused another");
        ErrorResponse::new(StatusCode::SERVICE_UNAVAILABLE, TOO_MANY)
    })?;
    let last = parts.headers.get(LAST_EVENT_ID).cloned();
    let viewer = shared.viewer(parts);
    if let Some(last) = last {
        let is_known = |state: &live::State| state.snapshot.is_some() || state.is_stale;
        let state = states.wait_for(is_known).await;
        let snapshot = state.ok().and_then(|state| state.snapshot.clone());
        let snapshot =
            snapshot.map(|snapshot| snapshot.seen_by(&viewer, &session_id, &shared.view));
        let id = snapshot.and_then(|snapshot| snapshot.id);
        // The client has seen the end, and nothing has changed since. A browser does not
        // reconnect after 204.
        if id.is_some_and(|id| last == *id) {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
    let watcher = Watcher {
        session_id,
        states,
        viewer,
        view: Arc::clone(&shared.view),
        is_closed: false,
        last: None,
        is_stale: false,
        is_open: false,
        keep_alive: shared.keep_alive,
        shutdown: shared.shutdown.clone(),
    };
    let events = stream::unfold(watcher, |mut watcher| async {
        let event = watcher.next().await?;
        Some((Ok::<_, Infallible>(event), watcher))
    });
    Ok((STREAM_HEADERS, Sse::new(events)).into_response())
}

/// The state of one client's event stream.
struct Watcher {
    session_id: SessionId,
    states: watch::Receiver<live::State>,
    viewer: Viewer,
    view: Arc<View>,
    /// Whether there will be no other state.
    is_closed: bool,
    /// What the client was sent last.
    last: Option<Snapshot>,
    is_stale: bool,
    /// Whether the first comment was sent. It makes intermediaries pass on the head.
    is_open: bool,
    keep_alive: Duration,
    shutdown: ShutdownSignal,
}

impl Watcher {
    /// Waits for the next event; `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        if !std::mem::replace(&mut self.is_open, true) {
            return Some(self.comment());
        }
        if self.last.as_ref().is_some_and(|last| last.id.is_some()) {
            return None;
        }
        // axum's `KeepAlive` repeats one fixed event. Ours tells whether the store is
        // answering, which can change while the stream is silent.
        let keep_alive = sleep(self.keep_alive);
        tokio::pin!(keep_alive);
        loop {
            let live::State { snapshot, is_stale } = self.states.borrow_and_update().clone();
            if is_stale != self.is_stale {
                self.is_stale = is_stale;
                return Some(self.comment());
            }
            let is_end = snapshot.as_ref().is_some_and(|snapshot| snapshot.id.is_some());
            let snapshot = snapshot
                .map(|snapshot| snapshot.seen_by(&self.viewer, &self.session_id, &self.view));
            if let Some(snapshot) = snapshot
                && self.last.as_ref() != Some(&snapshot)
            {
                let event = event(&snapshot);
                self.last = Some(snapshot);
                return Some(event);
            }
            tokio::select! {
                changed = self.states.changed(), if !self.is_closed => match changed {
                    Ok(()) => {}
                    // The end of a workflow that the client may not see is not shown either.
                    Err(_) if is_end => self.is_closed = true,
                    Err(_) => return None,
                },
                () = &mut keep_alive => return Some(self.comment()),
                () = self.shutdown.clone() => return None,
            }
        }
    }

    /// A comment line, which tells whether the store is answering.
    fn comment(&self) -> Event {
        Event::default().comment(if self.is_stale { "stale" } else { "live" })
    }
}

fn event(snapshot: &Snapshot) -> Event {
    let event = match &snapshot.id {
        Some(id) => Event::default().id(id),
        None => Event::default(),
    };
    event.data(&snapshot.json)
}
