//! `GET /api/workflow/search`: the workflows in which an attribute has a value, beyond those that
//! lists show.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use http::request::Parts;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::entry::Entry;
use super::listed::Listed;
use super::recent::MAX_LIMIT;
use super::response::{ErrorResponse, json};
use super::state::AppState;
use super::view::{View, time, to_json};
use super::visible::Viewer;
use crate::status::{Item, SessionId, Timestamp, schema};
use crate::store::{FindRequest, FoundItems, StatusReader, StoreError};

pub(super) async fn search<R: StatusReader>(
    State(shared): State<Arc<AppState<R>>>,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
    parts: Parts,
) -> Result<Response, ErrorResponse> {
    let Wanted { attribute, value } = Wanted::of(query)?;
    let viewer = shared.viewer(parts);
    // A search may read a lot, so there is one at a time.
    let searching = shared.searching.lock().await;
    let found = find(&*shared.reader, &attribute, &value, shared.recent.shown()).await;
    drop(searching);
    let found = found.map_err(|error| {
        tracing::error!(%error, "cannot search the store");
        ErrorResponse::unreadable()
    })?;
    let now = SystemTime::now().into();
    Ok(json(to_json(&SearchJson { attribute, value, found, viewer, view: &shared.view, now })))
}

/// What to search for.
struct Wanted {
    attribute: String,
    value: String,
}

impl Wanted {
    fn of(
        query: Result<Query<HashMap<String, String>>, QueryRejection>,
    ) -> Result<Self, ErrorResponse> {
        let refuse = |detail| Err(ErrorResponse::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
        let mut query = query.map(|Query(query)| query).unwrap_or_default();
        let mut parameter = |name| query.remove(name).filter(|text| !text.is_empty());
        match (parameter("attribute"), parameter("value")) {
            (Some(attribute), Some(value)) => Ok(Self { attribute, value }),
            (None, _) => refuse("name the attribute to search: `attribute=documentId`"),
            (_, None) => refuse("say which value to search for: `value=FAB_1`"),
        }
    }
}

/// Searches the store, or asks for the item with this key.
async fn find<R: StatusReader>(
    reader: &R,
    attribute: &str,
    value: &str,
    listed: fn(&SessionId, Item) -> Arc<Listed>,
) -> Result<FoundItems<Arc<Listed>>, StoreError> {
    if attribute != schema::SESSION_ID {
        return reader.find(&FindRequest::new(attribute, value).limit(MAX_LIMIT), listed).await;
    }
    // No table has other keys.
    let item = match SessionId::from_key(value) {
        Ok(id) => reader.get(&id).await?.map(|item| (id, item)),
        Err(_) => None,
    };
    let items: Vec<_> =
        item.map(|(id, item)| (id.clone(), listed(&id, item))).into_iter().collect();
    let searched = items.len();
    Ok(FoundItems { indexed: true, complete: true, ..FoundItems::new(items, searched) })
}

struct SearchJson<'a> {
    attribute: String,
    value: String,
    found: FoundItems<Arc<Listed>>,
    viewer: Viewer,
    view: &'a View,
    now: Timestamp,
}

impl Serialize for SearchJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let FoundItems { items, indexed, searched, reached, complete, read_units, .. } =
            &self.found;
        let found =
            items.iter().map(|(_, found)| found).filter(|found| self.viewer.sees_listed(found));
        let entries: Vec<_> = found.map(|found| Entry::new(found, self.view, self.now)).collect();
        // How many there are is only told to a user to whom all are shown.
        let sees_all = self.viewer.sees_all();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("attribute", &self.attribute)?;
        map.serialize_entry("value", &self.value)?;
        map.serialize_entry("indexed", indexed)?;
        map.serialize_entry("searched", &sees_all.then_some(searched))?;
        map.serialize_entry("oldest", &reached.filter(|_| sees_all).and_then(time))?;
        map.serialize_entry("complete", complete)?;
        map.serialize_entry("readUnits", &read_units.filter(|_| sees_all))?;
        map.serialize_entry("workflows", &entries)?;
        map.end()
    }
}
