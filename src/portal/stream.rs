//! `GET /api/workflow/events`: several workflows and the overview in one stream of server-sent
//! events, for a browser with several tabs.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, BoxStream, SelectAll, StreamExt as _};
use http::StatusCode;
use http::request::Parts;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;

use super::ShutdownSignal;
use super::events::{STREAM_HEADERS, TOO_MANY};
use super::response::ErrorResponse;
use super::state::AppState;
use super::view::View;
use super::visible::Viewer;
use super::{board, live};
use crate::status::SessionId;
use crate::store::StatusReader;

/// How many workflows one stream has at most.
const MAX_SESSIONS: usize = 100;

pub(super) async fn stream<R: StatusReader>(
    State(shared): State<Arc<AppState<R>>>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    parts: Parts,
) -> Result<Response, ErrorResponse> {
    let wanted = Wanted::of(query)?;
    let mut updates = SelectAll::new();
    let mut waiting = Vec::new();
    let mut sources = Vec::new();
    for name in wanted.sessions {
        let watched = SessionId::from_key(&name)
            .map_err(|error| error.to_string())
            .and_then(|id| {
                let states = shared.live.watch(&id).map_err(|live::TooManySessions| {
                    tracing::warn!(session_id = ?id, "too many sessions are being watched; refused another");
                    TOO_MANY.to_owned()
                })?;
                Ok((id, states))
            });
        match watched {
            Ok((id, states)) => {
                let place = sources.len();
                updates.push(each(states, move |state| Update::Workflow(place, state)));
                sources.push(Source { id, last: None, is_stale: false });
            }
            // One that cannot be shown does not end the stream of the others.
            Err(detail) => {
                let data = json!({ "sessionId": name, "detail": detail });
                waiting.push(Event::default().event("refused").data(data.to_string()));
            }
        }
    }
    if wanted.overview {
        let states = each(shared.board.watch(), Update::Overview);
        // Only a failure ends it.
        updates.push(states.chain(stream::iter([Update::OverviewEnded])).boxed());
    }
    let watcher = Watcher {
        updates,
        waiting,
        sources,
        overview: None,
        is_overview_stale: false,
        is_stale: false,
        is_open: false,
        viewer: shared.viewer(parts),
        view: Arc::clone(&shared.view),
        keep_alive: shared.keep_alive,
        shutdown: shared.shutdown.clone(),
    };
    let events = stream::unfold(watcher, |mut watcher| async {
        let event = watcher.next().await?;
        Some((Ok::<_, Infallible>(event), watcher))
    });
    Ok((STREAM_HEADERS, Sse::new(events)).into_response())
}

/// What a client wants to watch.
struct Wanted {
    sessions: Vec<String>,
    overview: bool,
}

impl Wanted {
    fn of(
        query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    ) -> Result<Self, ErrorResponse> {
        let refuse = |detail: String| ErrorResponse::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
        let Ok(Query(query)) = query else {
            return Err(refuse("the query must be percent-encoded UTF-8".into()));
        };
        let mut wanted = Self { sessions: Vec::new(), overview: false };
        for (name, value) in query {
            match (&*name, &*value) {
                ("session", _) if !wanted.sessions.contains(&value) => wanted.sessions.push(value),
                ("overview", "" | "true") => wanted.overview = true,
                ("overview", "false") | ("session", _) => {}
                ("overview", _) => {
                    return Err(refuse("`overview` must be `true` or `false`".into()));
                }
                _ => {}
            }
        }
        if wanted.sessions.len() > MAX_SESSIONS {
            return Err(refuse(format!("a stream has at most {MAX_SESSIONS} sessions")));
        }
        if wanted.sessions.is_empty() && !wanted.overview {
            return Err(refuse("name what to watch: `session=…`, or `overview=true`".into()));
        }
        Ok(wanted)
    }
}

/// The current state of a channel, and each one after it.
fn each<S: Clone + Send + Sync + 'static>(
    states: watch::Receiver<S>,
    update: impl Fn(S) -> Update + Send + 'static,
) -> BoxStream<'static, Update> {
    let states = stream::unfold((states, true), |(mut states, is_first)| async move {
        if !is_first {
            states.changed().await.ok()?;
        }
        let state = states.borrow_and_update().clone();
        Some((state, (states, false)))
    });
    states.map(update).boxed()
}

enum Update {
    /// Of the source at this place.
    Workflow(usize, live::State),
    Overview(board::State),
    OverviewEnded,
}

/// A workflow of the stream.
struct Source {
    id: SessionId,
    /// What the client was sent last.
    last: Option<live::Snapshot>,
    is_stale: bool,
}

/// The state of one client's event stream.
struct Watcher {
    updates: SelectAll<BoxStream<'static, Update>>,
    /// Events that can be sent at once.
    waiting: Vec<Event>,
    sources: Vec<Source>,
    /// The overview that the client was sent last.
    overview: Option<Arc<str>>,
    is_overview_stale: bool,
    /// Whether the store did not answer, in the last comment that the client was sent.
    is_stale: bool,
    is_open: bool,
    viewer: Viewer,
    view: Arc<View>,
    keep_alive: Duration,
    shutdown: ShutdownSignal,
}

impl Watcher {
    /// Waits for the next event; `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        if !std::mem::replace(&mut self.is_open, true) {
            return Some(self.comment());
        }
        let keep_alive = sleep(self.keep_alive);
        tokio::pin!(keep_alive);
        loop {
            if let Some(event) = self.waiting.pop() {
                return Some(event);
            }
            tokio::select! {
                Some(update) = self.updates.next() => self.take(update)?,
                () = &mut keep_alive => return Some(self.comment()),
                () = self.shutdown.clone() => return None,
            }
        }
    }

    /// Makes the events of an update. `None` ends the stream.
    fn take(&mut self, update: Update) -> Option<()> {
        let event = match update {
            Update::Workflow(place, state) => {
                let source = self.sources.get_mut(place)?;
                source.is_stale = state.is_stale;
                let snapshot = state
                    .snapshot
                    .map(|snapshot| snapshot.seen_by(&self.viewer, &source.id, &self.view))
                    .filter(|snapshot| source.last.as_ref() != Some(snapshot));
                snapshot.map(|snapshot| {
                    let event = Event::default().event("workflow").data(&snapshot.json);
                    source.last = Some(snapshot);
                    event
                })
            }
            Update::Overview(state) => {
                self.is_overview_stale = state.is_stale;
                let json = state.reading.map(|reading| match &reading.json {
                    Some(json) => Arc::clone(json),
                    None => {
                        let sees = |listed: &_| self.viewer.sees_listed(listed);
                        reading.overview(sees, &self.view).into()
                    }
                });
                json.filter(|json| self.overview.as_ref() != Some(json)).map(|json| {
                    let event = Event::default().event("overview").data(&json);
                    self.overview = Some(json);
                    event
                })
            }
            Update::OverviewEnded => return None,
        };
        self.waiting.extend(event);
        let is_stale = self.is_overview_stale || self.sources.iter().any(|source| source.is_stale);
        if std::mem::replace(&mut self.is_stale, is_stale) != is_stale {
            // The last one is sent first.
            self.waiting.push(self.comment());
        }
        Some(())
    }

    /// A comment line, which tells whether the store is answering.
    fn comment(&self) -> Event {
        Event::default().comment(if self.is_stale { "stale" } else { "live" })
    }
}
