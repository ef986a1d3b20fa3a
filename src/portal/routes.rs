//! The routes, their handlers and the layers around them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::sync::Mutex;
use tower::ServiceBuilder;
use tower_http::compression::CompressionLayer;
use tower_http::limit::{self, RequestBodyLimitLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use super::board::Board;
use super::events::events;
use super::gauges::SignOfLife;
use super::listed::Listed;
use super::live::Live;
use super::recent::{MAX_LIMIT, RecentList};
use super::response::{ErrorResponse, json};
use super::search::search;
use super::state::{AppState, session_id};
use super::stream::stream;
use super::view::{View, etag};
use super::{Portal, Settings, board, entry, gauges, guard, page};
use crate::status::{SessionId, WorkflowStatus};
use crate::store::StatusReader;

const DEFAULT_LIMIT: usize = 10;

/// How long a request may take. Load balancers commonly give up after as long.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The largest request body, in bytes. No route reads one.
const MAX_BODY: usize = 1024;

/// Set if newer workflows may be missing from the list.
const TRUNCATED: HeaderName = HeaderName::from_static("x-truncated");
const UNINDEXED: HeaderName = HeaderName::from_static("x-unindexed");

pub(super) fn routes<R: StatusReader>(portal: Portal<R>) -> Router {
    let Portal { reader, settings } = portal;
    let Settings {
        agents,
        token,
        poll_interval,
        keep_alive,
        heartbeat,
        visible,
        trace_url,
        webhook,
        shutdown,
        ..
    } = settings;
    let reader = Arc::new(reader);
    let view = Arc::new(View { agents, heartbeat, trace_url });
    let is_same_for_all = visible.is_none();
    // Access to a workflow can depend on all of its attributes.
    let (listed, sign) = match is_same_for_all {
        true => (Listed::new as fn(&_, _) -> _, SignOfLife::of as fn(&_, _) -> _),
        false => (Listed::with_attributes as _, SignOfLife::with_attributes as _),
    };
    let lists = Arc::new(RecentList::new(Arc::clone(&reader), poll_interval, listed));
    let board = Board::new(
        Arc::clone(&reader),
        Arc::clone(&lists),
        Arc::clone(&view),
        poll_interval,
        is_same_for_all,
    );
    let shared = AppState {
        live: Live::new(Arc::clone(&reader), Arc::clone(&view), poll_interval, !is_same_for_all),
        board,
        recent: lists,
        searching: Mutex::default(),
        signs: RecentList::new(Arc::clone(&reader), poll_interval, sign),
        reader,
        view,
        visible,
        webhook,
        keep_alive,
        shutdown,
    };
    let ordinary = Router::new()
        .route("/api/workflow/recent", get(recent))
        .route("/api/workflow/overview", get(overview))
        .route("/api/workflow/search", get(search))
        .route("/api/workflow/metrics", get(metrics))
        .route("/api/workflow/{session_id}/status", get(status))
        .route_layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, TIMEOUT));
    // Outside the timeout: a stream lasts as long as its workflow.
    let mut api = ordinary
        .route("/api/workflow/{session_id}/events", get(events))
        .route("/api/workflow/events", get(stream))
        .with_state(Arc::new(shared));
    if let Some(token) = token {
        api = api.route_layer(from_fn_with_state(token, guard::require_token));
    }
    // The first layer listed is the outermost.
    let layers = ServiceBuilder::new()
        // A handler that fails logs the reason. A second error would only repeat it.
        .layer(TraceLayer::new_for_http().on_failure(()))
        .layer(default_header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(default_header(X_FRAME_OPTIONS, "DENY"))
        .layer(default_header(REFERRER_POLICY, "no-referrer"))
        // The page has a policy of its own.
        .layer(default_header(
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ))
        // Skips event streams by default; compressed, they would be delayed.
        .layer(CompressionLayer::new())
        .layer(map_response(explain))
        .layer(RequestBodyLimitLayer::new(MAX_BODY));
    api.route("/", get(page::page)).route_layer(layers)
}

fn default_header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

/// Turns the layers' own error responses, which are empty or plain text, into JSON.
async fn explain(response: http::Response<limit::ResponseBody<Body>>) -> Response {
    let error = match response.status() {
        StatusCode::GATEWAY_TIMEOUT => {
            tracing::error!(timeout = ?TIMEOUT, "a request to the portal timed out");
            ErrorResponse::new(
                StatusCode::GATEWAY_TIMEOUT,
                "the status store took too long to answer; try again later",
            )
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = "the request body is too large; no route needs one";
            ErrorResponse::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        }
        _ => return response.into_response(),
    };
    error.into_response()
}

async fn status<R: StatusReader>(
    State(shared): State<Arc<AppState<R>>>,
    path: Result<Path<String>, PathRejection>,
    parts: Parts,
) -> Result<Response, ErrorResponse> {
    let session_id = session_id(path)?;
    // No table has a key of that length, so the workflow is unknown.
    let status = match SessionId::from_key(&session_id) {
        Ok(key) => {
            let item = shared.reader.get(&key).await.map_err(|error| {
                tracing::error!(%error, ?session_id, "cannot read the status of a workflow");
                ErrorResponse::unreadable()
            })?;
            item.map(|item| WorkflowStatus::from_item(&key, &item))
        }
        Err(_) => None,
    };
    let viewer = shared.viewer(parts);
    let status = status.filter(|status| viewer.sees(status));
    let workflow = shared.view.workflow(&session_id, status.as_ref(), SystemTime::now().into());
    Ok(json(workflow.json))
}

async fn recent<R: StatusReader>(
    State(shared): State<Arc<AppState<R>>>,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
    parts: Parts,
) -> Result<Response, ErrorResponse> {
    let has_attributes = requests_attributes(&query)?;
    let limit = requested_limit(query, DEFAULT_LIMIT, MAX_LIMIT)?;
    let known = parts.headers.get(IF_NONE_MATCH).cloned();
    let viewer = shared.viewer(parts);
    // Of those that somebody sees, any may be among the newest.
    let read = if shared.visible.is_some() { MAX_LIMIT } else { limit };
    let recent = shared.recent.read(read).await?;
    let seen = recent.items.iter().map(|(_, listed)| &**listed);
    let seen = seen.filter(|listed| viewer.sees_listed(listed)).take(limit);
    let list = entry::list(seen, has_attributes, &shared.view, SystemTime::now().into());
    // Clients poll the list, and it rarely changes between two polls. The tag is weak since
    // the compressed list has the same.
    let tag = format!("W/\"{}\"", etag(&list));
    let mut response = if known.is_some_and(|known| known == *tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        json(list)
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // A 304 has no body, so `CompressionLayer` does not add it.
    headers.insert(VARY, ACCEPT_ENCODING.into());
    if recent.truncated {
        headers.insert(TRUNCATED, HeaderValue::from_static("true"));
    }
    if recent.unindexed {
        headers.insert(UNINDEXED, HeaderValue::from_static("true"));
    }
    if let Ok(tag) = tag.try_into() {
        headers.insert(ETAG, tag);
    }
    Ok(response)
}

async fn overview<R: StatusReader>(
    State(shared): State<Arc<AppState<R>>>,
    parts: Parts,
) -> Result<Response, ErrorResponse> {
    let recent = shared.recent.read(MAX_LIMIT).await?;
    let viewer = shared.viewer(parts);
    let sees = |listed: &_| viewer.sees_listed(listed);
    Ok(json(board::render(&recent, sees, &shared.view, SystemTime::now().into())))
}

async fn metrics<R: StatusReader>(
    State(shared): State<Arc<AppState<R>>>,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
    parts: Parts,
) -> Result<Response, ErrorResponse> {
    let limit = requested_limit(query, gauges::DEFAULT_LIMIT, gauges::MAX_LIMIT)?;
    let recent = shared.signs.read(limit).await?;
    let now = SystemTime::now().into();
    let viewer = shared.viewer(parts);
    let mut text = gauges::exposition(&recent, limit, &viewer, shared.view.heartbeat, now);
    // They count the workflows of all.
    if viewer.sees_all() {
        text.push_str(shared.webhook.exposition().as_ref());
    }
    let headers =
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    Ok((headers, text).into_response())
}

/// The query parameter `attributes`: existing clients do not expect them in a list.
fn requests_attributes(
    query: &Result<Query<HashMap<String, String>>, QueryRejection>,
) -> Result<bool, ErrorResponse> {
    match query.as_ref().ok().and_then(|query| query.get("attributes")).map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("" | "true") => Ok(true),
        Some(_) => {
            let detail = "`attributes` must be `true` or `false`";
            Err(ErrorResponse::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
        }
    }
}

/// The query parameter `limit`.
fn requested_limit(
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
    default: usize,
    max: usize,
) -> Result<usize, ErrorResponse> {
    let limit = query.ok().map(|Query(mut query)| query.remove("limit"));
    let limit = match limit {
        Some(None) => Some(default),
        Some(Some(text)) => text.parse().ok().filter(|limit| (1..=max).contains(limit)),
        None => None,
    };
    limit.ok_or_else(|| {
        let detail = format!("`limit` must be a whole number from 1 to {max}");
        ErrorResponse::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    })
}
