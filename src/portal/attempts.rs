//! The last calls of an agent: as they are, and as the sub-steps that older clients show.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::view::with_commas;
use crate::status::{AgentStatus, Attempt};

/// An agent's calls, with the names of the item.
pub(super) struct Attempts<'a>(pub(super) &'a AgentStatus);

impl Serialize for Attempts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.attempts().map(AttemptJson))
    }
}

struct AttemptJson<'a>(&'a Attempt);

impl Serialize for AttemptJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let attempt = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("startedAt", &attempt.started_at.to_string())?;
        map.serialize_entry("duration", &attempt.duration().as_secs_f64())?;
        map.serialize_entry("status", attempt.state().as_str())?;
        if let Some(class) = &attempt.error_type {
            map.serialize_entry("errorType", class)?;
        }
        if let Some(model) = &attempt.model {
            map.serialize_entry("model", &**model)?;
        }
        if let Some(usage) = &attempt.token_usage {
            map.serialize_entry("tokenUsage", usage)?;
        }
        if let Some(id) = &attempt.request_id {
            map.serialize_entry("requestId", &**id)?;
        }
        if let Some(wait) = attempt.retry_after {
            map.serialize_entry("retryAfter", &wait.as_secs_f64())?;
        }
        map.end()
    }
}

/// A step of an agent's work, in the shape that older clients show.
pub(super) struct SubStep {
    title: String,
    status: &'static str,
    description: String,
}

impl Serialize for SubStep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("title", &self.title)?;
        map.serialize_entry("status", self.status)?;
        map.serialize_entry("description", &self.description)?;
        map.end()
    }
}

/// An agent's calls as the steps of its work. If earlier calls are no longer kept, the first step says how
/// many.
pub(super) fn sub_steps(agent: &AgentStatus) -> Vec<SubStep> {
    let kept = agent.attempts().count() as u64;
    let first = agent.calls.saturating_sub(kept) + 1;
    let steps = agent.attempts().zip(first..).map(|(attempt, number)| SubStep {
        title: format!("Attempt {number}"),
        status: attempt.state().as_str(),
        description: description(attempt),
    });
    steps.collect()
}

/// `http_429 after 0.4 s; retry after 2 s`, or `gpt-4o-mini, 1,204 tokens, 2.1 s`.
fn description(attempt: &Attempt) -> String {
    let took = format!("{:.1} s", attempt.duration().as_secs_f64());
    if let Some(class) = &attempt.error_type {
        let mut text = format!("{class} after {took}");
        if let Some(wait) = attempt.retry_after {
            text += &format!("; retry after {} s", wait.as_secs_f64());
        }
        return text;
    }
    let mut parts = Vec::new();
    parts.extend(attempt.model.as_ref().map(ToString::to_string));
    let tokens = attempt.token_usage.and_then(|usage| usage.total_tokens);
    parts.extend(tokens.map(|tokens| format!("{} tokens", with_commas(tokens))));
    parts.push(took);
    parts.join(", ")
}
