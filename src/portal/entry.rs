//! [`Entry`]: a workflow in a list, as JSON.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::costs::{OF_WORKFLOW, add_cost};
use super::listed::{Listed, short_attributes};
use super::view::{AgentView, View, time, to_json};
use crate::status::{Item, Timestamp, WaitingFor};

/// Renders a list of workflows, with their attributes if they were asked for.
pub(super) fn list<'a>(
    workflows: impl IntoIterator<Item = &'a Listed>,
    has_attributes: bool,
    view: &View,
    now: Timestamp,
) -> String {
    let entry = |listed| Entry { has_attributes, ..Entry::new(listed, view, now) };
    let entries = workflows.into_iter().map(entry);
    to_json(&entries.collect::<Vec<_>>())
}

/// A workflow in a list.
pub(super) struct Entry<'a> {
    listed: &'a Listed,
    agents: Vec<AgentView<'a>>,
    stalled: bool,
    shows_work: bool,
    has_attributes: bool,
}

impl<'a> Entry<'a> {
    pub(super) fn new(listed: &'a Listed, view: &'a View, now: Timestamp) -> Self {
        let status = &listed.status;
        let stalled = status.is_stalled(now, view.heartbeat);
        let agents = view.agents_of(Some(status));
        Self { listed, agents, stalled, shows_work: false, has_attributes: true }
    }

    /// Shows of each agent when it worked and what it does, and not its state alone.
    pub(super) fn with_work(self) -> Self {
        Self { shows_work: true, ..self }
    }
}

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let status = &self.listed.status;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("sessionId", status.session_id.as_str())?;
        map.serialize_entry("status", status.status_text())?;
        map.serialize_entry("createdAt", &time(status.created_at))?;
        map.serialize_entry("lastUpdated", &time(status.last_updated))?;
        map.serialize_entry("correlationId", &status.correlation_id)?;
        map.serialize_entry("stalled", &self.stalled)?;
        map.serialize_entry("totalTokens", &status.total_token_usage().total_tokens)?;
        match self.shows_work {
            false => map.serialize_entry("agents", &States(&self.agents))?,
            true => map.serialize_entry("agents", &Work(&self.agents))?,
        }
        map.serialize_entry("waiting", &status.is_waiting())?;
        add_cost(&mut map, &status.total_cost(), OF_WORKFLOW)?;
        let attributes = short_attributes(&status.attributes);
        if self.has_attributes && !attributes.is_empty() {
            let shown = attributes.iter().map(|(name, value)| (name.to_owned(), value.clone()));
            map.serialize_entry("attributes", &shown.collect::<Item>())?;
        }
        map.end()
    }
}

/// The states of the agents.
struct States<'a>(&'a [AgentView<'a>]);

impl Serialize for States<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|agent| (agent.name, agent.state_text())))
    }
}

/// When the agents worked, and what they do.
struct Work<'a>(&'a [AgentView<'a>]);

impl Serialize for Work<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|agent| (agent.name, AgentWork(agent))))
    }
}

struct AgentWork<'a>(&'a AgentView<'a>);

impl Serialize for AgentWork<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let status = self.0.status;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("status", self.0.state_text())?;
        map.serialize_entry("startedAt", &status.and_then(|status| time(status.started_at?)))?;
        map.serialize_entry("completedAt", &status.and_then(|status| time(status.completed_at?)))?;
        let waiting_for = status.and_then(|status| status.waiting_for);
        map.serialize_entry("waitingFor", &waiting_for.map(WaitingFor::as_str))?;
        map.serialize_entry("activity", status.map_or("", |status| &*status.activity))?;
        map.end()
    }
}
