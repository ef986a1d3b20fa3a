//! [`View`]: workflows as the JSON that the portal's clients expect.
//!
//! The names, their order and their types are a contract with existing clients. Names may be
//! added at the end. Those of models, costs, attempts and budgets are there only where there is something
//! to say, so that the JSON of other items stays as it was.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::ser::{Serialize, SerializeMap, Serializer};
use sha2::{Digest as _, Sha256};

use super::attempts::{Attempts, SubStep, sub_steps};
use super::costs::{Models, OF_AGENT, OF_WORKFLOW, add_budget, add_cost};
use super::trace_url::TraceUrl;
use crate::agent::Agent;
use crate::status::schema::SUB_STEPS;
use crate::status::{
    AgentState, AgentStatus, Item, PreviousRun, TaskId, Timestamp, TokenUsage, Value, WaitingFor,
    WorkflowStatus,
};

/// The status of a workflow that is not in the store.
const UNKNOWN: &str = "pending";

/// How workflows are rendered.
#[derive(Debug)]
pub(super) struct View {
    /// The declared agents, in order.
    pub(super) agents: Vec<Agent>,
    /// A workflow that is silent for three times as long is stalled.
    pub(super) heartbeat: Duration,
    pub(super) trace_url: Option<TraceUrl>,
}

/// A workflow as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    pub(super) json: String,
    /// Whether the workflow has finished.
    pub(super) finished: bool,
}

impl View {
    /// Renders a workflow. Without a status it is pending, and so are the declared agents.
    pub(super) fn workflow(
        &self,
        session_id: &str,
        status: Option<&WorkflowStatus>,
        now: Timestamp,
    ) -> Rendered {
        let json = to_json(&WorkflowJson {
            session_id,
            status,
            agents: self.agents_of(status),
            stalled: status.is_some_and(|status| status.is_stalled(now, self.heartbeat)),
            trace_url: self.trace_url.as_ref(),
        });
        Rendered {
            json,
            finished: status.is_some_and(|status| status.overall_status.is_finished()),
        }
    }

    /// The declared agents in order, then those that only the item has, in the order in which
    /// they started.
    pub(super) fn agents_of<'a>(
        &'a self,
        status: Option<&'a WorkflowStatus>,
    ) -> Vec<AgentView<'a>> {
        let declared = self.agents.iter().map(|agent| AgentView {
            name: agent.name(),
            status: status.and_then(|status| status.agent(agent.name())),
            pending: &agent.activities().pending.activity,
        });
        let is_declared = |name: &str| self.agents.iter().any(|agent| agent.name() == name);
        let others = status
            .into_iter()
            .flat_map(WorkflowStatus::agents_by_start)
            .filter(|(name, _)| !is_declared(name))
            .map(|(name, status)| AgentView { name, status: Some(status), pending: "" });
        declared.chain(others).collect()
    }
}

pub(super) fn to_json(value: &impl Serialize) -> String {
    #[expect(clippy::expect_used, reason = "only a map whose keys are not strings fails")]
    serde_json::to_string(value).expect("all keys are strings")
}

/// A short hash of the JSON.
pub(super) fn etag(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(json)[..12])
}

struct WorkflowJson<'a> {
    session_id: &'a str,
    status: Option<&'a WorkflowStatus>,
    agents: Vec<AgentView<'a>>,
    stalled: bool,
    trace_url: Option<&'a TraceUrl>,
}

impl Serialize for WorkflowJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let status = self.status;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("sessionId", self.session_id)?;
        let overall_status = status.map_or(UNKNOWN, WorkflowStatus::status_text);
        map.serialize_entry("overallStatus", overall_status)?;
        // Existing clients have a string here, also where nothing is known.
        let last_updated = status.and_then(|status| time(status.last_updated));
        map.serialize_entry("lastUpdated", &last_updated.unwrap_or_default())?;
        map.serialize_entry("agents", &Agents(&self.agents))?;
        let error = status.and_then(|status| status.error.as_ref()).map(|error| error.as_str());
        map.serialize_entry("error", &error)?;
        map.serialize_entry("createdAt", &status.and_then(|status| time(status.created_at)))?;
        let correlation_id = status.and_then(|status| status.correlation_id.as_ref());
        map.serialize_entry("correlationId", &correlation_id)?;
        let attributes = status.into_iter().flat_map(|status| &status.attributes);
        let attributes: Item =
            attributes.map(|(name, value)| (name.to_owned(), value.clone())).collect();
        map.serialize_entry("attributes", &attributes)?;
        let total = status.map_or(TokenUsage::new(0, 0), WorkflowStatus::total_token_usage);
        map.serialize_entry("totalTokenUsage", &total)?;
        map.serialize_entry("stalled", &self.stalled)?;
        map.serialize_entry("waiting", &status.is_some_and(WorkflowStatus::is_waiting))?;
        let unfinished = status.map_or(&[][..], |status| &status.unfinished_tasks);
        let unfinished: Vec<_> = unfinished.iter().map(TaskId::as_str).collect();
        map.serialize_entry("unfinishedTasks", &unfinished)?;
        map.serialize_entry("completedAt", &status.and_then(|status| time(status.completed_at?)))?;
        let previous_run = status.and_then(|status| status.previous_run.as_deref());
        map.serialize_entry("previousRun", &previous_run.map(PreviousRunJson))?;
        if let Some(status) = status {
            add_cost(&mut map, &status.total_cost(), OF_WORKFLOW)?;
            if let Some(id) = &status.trace_id {
                map.serialize_entry("traceId", &**id)?;
            }
            if let Some(budget) = &status.budget {
                add_budget(&mut map, budget)?;
            }
            if let (Some(url), Some(id)) = (self.trace_url, &status.trace_id) {
                map.serialize_entry("traceUrl", &url.of(id))?;
            }
        }
        map.end()
    }
}

/// What is kept of the run that this one replaced.
struct PreviousRunJson<'a>(&'a PreviousRun);

impl Serialize for PreviousRunJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let run = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("overallStatus", run.status_text())?;
        map.serialize_entry("createdAt", &time(run.created_at))?;
        map.serialize_entry("completedAt", &run.completed_at.and_then(time))?;
        map.serialize_entry("error", &run.error.as_ref().map(|error| error.as_str()))?;
        map.serialize_entry("totalTokenUsage", &run.total_token_usage)?;
        add_cost(&mut map, &run.total_cost, OF_WORKFLOW)?;
        map.end()
    }
}

struct Agents<'a>(&'a [AgentView<'a>]);

impl Serialize for Agents<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|agent| (agent.name, agent)))
    }
}

pub(super) struct AgentView<'a> {
    pub(super) name: &'a str,
    /// The agent's entry in the item.
    pub(super) status: Option<&'a AgentStatus>,
    /// The activity of a pending agent that has none.
    pending: &'a str,
}

impl AgentView<'_> {
    fn state(&self) -> AgentState {
        self.status.map_or(AgentState::Pending, |status| status.state)
    }

    pub(super) fn state_text(&self) -> &str {
        self.status.map_or(AgentState::Pending.as_str(), AgentStatus::state_text)
    }

    /// The token usage. Some writers store zeros for an agent that was never called, which is
    /// no usage.
    fn token_usage(&self) -> Option<TokenUsage> {
        let usage = self.status?.token_usage()?;
        let is_zero = usage == TokenUsage::new(0, 0);
        (self.state() != AgentState::Pending || !is_zero).then_some(usage)
    }

    /// The steps that an older writer has noted, or else the agent's calls. Clients expect objects, so
    /// anything else in the list of an older writer is left out.
    fn sub_steps(&self) -> SubSteps<'_> {
        let extra = self.status.and_then(|status| status.extra.as_deref());
        match extra.and_then(|extra| extra.get(SUB_STEPS)?.as_list()) {
            Some(noted @ [_, ..]) => SubSteps::Noted(noted),
            _ => SubSteps::Calls(self.status.map(sub_steps).unwrap_or_default()),
        }
    }

    fn activity(&self) -> String {
        let activity = self.status.map_or("", |status| &*status.activity);
        let is_waiting = activity.is_empty() && self.state() == AgentState::Pending;
        let text = if is_waiting { self.pending } else { activity };
        match self.token_usage().and_then(|usage| usage.total_tokens) {
            Some(tokens) if tokens > 0 => {
                let suffix = format!(" (Tokens: {})", with_commas(tokens));
                // Some writers have appended it already.
                format!("{}{suffix}", text.strip_suffix(&suffix).unwrap_or(text))
            }
            _ => text.to_owned(),
        }
    }
}

impl Serialize for AgentView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let status = self.status;
        let error = status.and_then(|status| status.error.as_ref());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("status", self.state_text())?;
        map.serialize_entry("activity", &self.activity())?;
        map.serialize_entry("startedAt", &status.and_then(|status| time(status.started_at?)))?;
        map.serialize_entry("completedAt", &status.and_then(|status| time(status.completed_at?)))?;
        let duration = status.and_then(AgentStatus::duration);
        map.serialize_entry("duration", &duration.map(|duration| duration.as_secs()))?;
        map.serialize_entry("error", &error.map(|error| error.message.as_str()))?;
        map.serialize_entry("subSteps", &self.sub_steps())?;
        map.serialize_entry("errorType", &error.map(|error| &error.class))?;
        map.serialize_entry("tokenUsage", &self.token_usage())?;
        map.serialize_entry("calls", &status.map_or(0, |status| status.calls))?;
        map.serialize_entry("lastUpdated", &status.and_then(|status| time(status.last_updated?)))?;
        let waiting_for = status.and_then(|status| status.waiting_for);
        map.serialize_entry("waitingFor", &waiting_for.map(WaitingFor::as_str))?;
        let task_id = status.and_then(|status| status.task_id.as_ref());
        map.serialize_entry("taskId", &task_id.map(TaskId::as_str))?;
        if let Some(status) = status {
            add_details(&mut map, status)?;
        }
        map.end()
    }
}

/// Adds what is known of an agent's model and of its calls.
fn add_details<M: SerializeMap>(map: &mut M, agent: &AgentStatus) -> Result<(), M::Error> {
    if let Some(model) = &agent.model {
        map.serialize_entry("model", &**model)?;
    }
    if let Some(reason) = &agent.finish_reason {
        map.serialize_entry("finishReason", &**reason)?;
        map.serialize_entry("stoppedNormally", &agent.stopped_normally())?;
    }
    if let Some(time) = agent.time_to_first_chunk {
        map.serialize_entry("timeToFirstChunk", &time.as_secs_f64())?;
    }
    add_cost(map, &agent.cost(), OF_AGENT)?;
    if !agent.models().is_empty() {
        map.serialize_entry("models", &Models(agent.models()))?;
    }
    if agent.attempts().next().is_some() {
        map.serialize_entry("attempts", &Attempts(agent))?;
    }
    Ok(())
}

/// The steps of an agent's work.
enum SubSteps<'a> {
    /// As an older writer has noted them.
    Noted(&'a [Value]),
    Calls(Vec<SubStep>),
}

impl Serialize for SubSteps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Noted(steps) => serializer.collect_seq(steps.iter().filter_map(Value::as_map)),
            Self::Calls(steps) => steps.serialize(serializer),
        }
    }
}

/// Formats a time. The Unix epoch stands for a time that the item does not have.
pub(super) fn time(time: Timestamp) -> Option<String> {
    (time.as_millis() != 0).then(|| time.to_string())
}

/// Formats a number as `1,000,000`.
pub(super) fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::with_commas;

    #[test]
    fn thousands_are_separated() {
        let table = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (14_169, "14,169"),
            (100_000, "100,000"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ];
        for (number, expected) in table {
            assert_eq!(with_commas(number), expected);
        }
    }
}
