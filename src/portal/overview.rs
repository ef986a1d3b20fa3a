//! The overview: what all of the newest workflows are doing, as JSON.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::costs::{OF_WORKFLOW, add_cost};
use super::entry::Entry;
use super::listed::Listed;
use super::view::{View, time, to_json};
use crate::status::{AgentState, OverallStatus, Timestamp, TotalCost, WorkflowStatus};

/// How many hours the overview has figures of, and how long it shows what has failed.
const HOURS: usize = 24;
const HOUR: Duration = Duration::from_secs(60 * 60);

/// How many running workflows it lists, and how many that have failed or stalled.
const MAX_RUNNING: usize = 200;
const MAX_PROBLEMS: usize = 50;

/// Of how many durations a 95th percentile is given: of fewer, it is their maximum.
const ENOUGH_FOR_P95: usize = 20;

/// What was read of the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Whether there may be older workflows that were not read.
    pub(super) is_partial: bool,
    pub(super) truncated: bool,
    pub(super) unindexed: bool,
}

/// Renders the overview of workflows, the newest first.
pub(super) fn overview<'a>(
    workflows: impl IntoIterator<Item = &'a Listed>,
    extent: Extent,
    view: &View,
    now: Timestamp,
) -> String {
    let mut overview = Overview::new(extent, view, now);
    for listed in workflows {
        overview.add(listed);
    }
    to_json(&overview)
}

/// The states that workflows are counted by.
const STATES: [&str; 8] =
    ["pending", "initializing", "processing", "waiting", "stalled", "completed", "failed", "other"];

struct Overview<'a> {
    extent: Extent,
    view: &'a View,
    now: Timestamp,
    workflows: usize,
    counts: [usize; STATES.len()],
    /// The oldest first.
    running: VecDeque<&'a Listed>,
    /// The newest first.
    problems: Vec<&'a Listed>,
    problem_count: usize,
    hours: BTreeMap<i64, Hour>,
    agents: BTreeMap<&'a str, Agent>,
    oldest: Option<Timestamp>,
}

/// The workflows created in an hour.
#[derive(Clone, Default)]
struct Hour {
    workflows: usize,
    failed: usize,
    tokens: u64,
    cost: TotalCost,
}

#[derive(Default)]
struct Agent {
    running: usize,
    errors: usize,
    /// Of those that succeeded.
    durations: Vec<Duration>,
}

impl<'a> Overview<'a> {
    fn new(extent: Extent, view: &'a View, now: Timestamp) -> Self {
        Self {
            extent,
            view,
            now,
            workflows: 0,
            counts: [0; STATES.len()],
            running: VecDeque::new(),
            problems: Vec::new(),
            problem_count: 0,
            hours: BTreeMap::new(),
            agents: BTreeMap::new(),
            oldest: None,
        }
    }

    fn add(&mut self, listed: &'a Listed) {
        let status = &listed.status;
        let state = self.state(status);
        self.workflows += 1;
        if let Some(place) = STATES.iter().position(|known| *known == state) {
            self.counts[place] += 1;
        }
        if matches!(state, "initializing" | "processing" | "waiting") {
            // The newest come first, so these are the oldest so far.
            self.running.push_front(listed);
            if self.running.len() > MAX_RUNNING {
                self.running.pop_back();
            }
        }
        let is_problem = matches!(state, "failed" | "stalled");
        let ended_at = status.ended_at().unwrap_or(status.last_updated);
        if is_problem && self.now.duration_since(ended_at) < HOUR * 24 {
            self.problem_count += 1;
            self.problems.push(listed);
        }
        self.add_to_hour(status);
        for (name, agent) in status.agents() {
            let sums = self.agents.entry(name).or_default();
            match agent.state {
                AgentState::InProgress => sums.running += usize::from(state != "stalled"),
                AgentState::Error => sums.errors += 1,
                AgentState::Success => sums.durations.extend(agent.duration()),
                _ => {}
            }
        }
    }

    fn state(&self, status: &WorkflowStatus) -> &'static str {
        if status.is_stalled(self.now, self.view.heartbeat) {
            return "stalled";
        }
        match status.overall_status {
            _ if status.is_waiting() => "waiting",
            OverallStatus::Pending => "pending",
            OverallStatus::Initializing => "initializing",
            OverallStatus::Processing => "processing",
            OverallStatus::Completed => "completed",
            OverallStatus::Failed => "failed",
            OverallStatus::Other => "other",
        }
    }

    fn add_to_hour(&mut self, status: &WorkflowStatus) {
        let created_at = status.created_at;
        if created_at.as_millis() == 0 {
            return;
        }
        self.oldest = Some(self.oldest.map_or(created_at, |oldest| oldest.min(created_at)));
        let hour = self.hours.entry(hour_of(created_at)).or_default();
        hour.workflows += 1;
        hour.failed += usize::from(status.overall_status == OverallStatus::Failed);
        let tokens = status.total_token_usage().total_tokens.unwrap_or(0);
        hour.tokens = hour.tokens.saturating_add(tokens);
        hour.cost = hour.cost.saturating_add(&status.total_cost());
    }

    /// The last [`HOURS`], the oldest first, without those before the oldest workflow of a list
    /// that is cut off there.
    fn last_hours(&self) -> Vec<(i64, Hour)> {
        let newest = hour_of(self.now);
        let reaches_to = match self.oldest {
            Some(oldest) if self.extent.is_partial => hour_of(oldest),
            _ => i64::MIN,
        };
        let hours = (0..HOURS).rev().filter_map(|ago| newest.checked_sub(i64::try_from(ago).ok()?));
        let hours = hours.filter(|hour| *hour >= reaches_to);
        hours.map(|hour| (hour, self.hours.get(&hour).cloned().unwrap_or_default())).collect()
    }
}

/// The number of an hour since 1970.
fn hour_of(time: Timestamp) -> i64 {
    time.as_secs().div_euclid(3_600)
}

impl Serialize for Overview<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("workflows", &self.workflows)?;
        map.serialize_entry("oldest", &self.oldest.map(|oldest| oldest.to_string()))?;
        map.serialize_entry("partial", &self.extent.is_partial)?;
        map.serialize_entry("truncated", &self.extent.truncated)?;
        map.serialize_entry("unindexed", &self.extent.unindexed)?;
        let counts: BTreeMap<_, _> = STATES.iter().zip(&self.counts).collect();
        map.serialize_entry("counts", &counts)?;
        let entry = |listed| Entry::new(listed, self.view, self.now);
        let running: Vec<_> = self.running.iter().map(|listed| entry(listed).with_work()).collect();
        map.serialize_entry("running", &running)?;
        let problems = self.problems.iter().take(MAX_PROBLEMS);
        let problems: Vec<_> = problems.map(|listed| Problem(entry(listed), listed)).collect();
        map.serialize_entry("problems", &problems)?;
        map.serialize_entry("problemCount", &self.problem_count)?;
        let hours: Vec<_> = self.last_hours().into_iter().map(HourJson).collect();
        map.serialize_entry("hours", &hours)?;
        map.serialize_entry("agents", &Agents(self))?;
        map.end()
    }
}

/// A workflow that has failed or stalled, with its first error.
struct Problem<'a>(Entry<'a>, &'a Listed);

impl Serialize for Problem<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(entry, listed) = self;
        let error = listed.first_error.as_ref();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("workflow", entry)?;
        map.serialize_entry("agent", &error.and_then(|error| error.agent.as_deref()))?;
        map.serialize_entry("errorType", &error.and_then(|error| error.class.as_deref()))?;
        map.serialize_entry("error", &error.map(|error| &*error.message))?;
        map.serialize_entry("endedAt", &listed.status.ended_at().and_then(time))?;
        map.end()
    }
}

struct HourJson((i64, Hour));

impl Serialize for HourJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (number, hour) = &self.0;
        let mut map = serializer.serialize_map(None)?;
        let start = Timestamp::from_millis(number.saturating_mul(3_600_000));
        map.serialize_entry("start", &start.to_string())?;
        map.serialize_entry("workflows", &hour.workflows)?;
        map.serialize_entry("failed", &hour.failed)?;
        map.serialize_entry("totalTokens", &hour.tokens)?;
        add_cost(&mut map, &hour.cost, OF_WORKFLOW)?;
        map.end()
    }
}

struct Agents<'a>(&'a Overview<'a>);

impl Serialize for Agents<'_> {
    /// The declared agents first, in order.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(overview) = self;
        let declared = overview.view.agents.iter().map(crate::agent::Agent::name);
        let is_declared = |name: &str| overview.view.agents.iter().any(|a| a.name() == name);
        let others = overview.agents.keys().copied().filter(|name| !is_declared(name));
        let none = Agent::default();
        let all = declared.chain(others);
        let all = all.map(|name| (name, AgentJson(overview.agents.get(name).unwrap_or(&none))));
        serializer.collect_map(all)
    }
}

struct AgentJson<'a>(&'a Agent);

impl Serialize for AgentJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(agent) = self;
        let mut durations = agent.durations.clone();
        durations.sort_unstable();
        let seconds = |percent| percentile(&durations, percent).map(|time| time.as_secs_f64());
        let p95 = if durations.len() < ENOUGH_FOR_P95 { None } else { seconds(95) };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("running", &agent.running)?;
        map.serialize_entry("succeeded", &durations.len())?;
        map.serialize_entry("errors", &agent.errors)?;
        map.serialize_entry("medianDuration", &seconds(50))?;
        map.serialize_entry("p95Duration", &p95)?;
        map.end()
    }
}

/// The least of the sorted durations that so many percent of them do not exceed.
fn percentile(durations: &[Duration], percent: usize) -> Option<Duration> {
    let place = (durations.len() * percent).div_ceil(100);
    durations.get(place.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_durations_that_were_measured() {
        let seconds = |numbers: &[u64]| -> Vec<_> {
            numbers.iter().map(|seconds| Duration::from_secs(*seconds)).collect()
        };
        let twenty: Vec<_> = (1..=20).collect();
        for (durations, percent, expected) in [
            (&[][..], 50, None),
            (&[7], 50, Some(7)),
            (&[7], 95, Some(7)),
            (&[1, 2], 50, Some(1)),
            (&[1, 2, 3], 50, Some(2)),
            (&twenty, 50, Some(10)),
            (&twenty, 95, Some(19)),
            (&twenty[..19], 95, Some(19)),
        ] {
            let found = percentile(&seconds(durations), percent);
            assert_eq!(found, expected.map(Duration::from_secs), "{durations:?} {percent}");
        }
    }
}
