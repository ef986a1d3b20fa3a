//! The contract that every stored item satisfies, whatever happened to its workflow.
//!
//! This file uses no other, so that other tests can include it by its path.

use std::collections::BTreeMap;

use tower_agent_status::status::{Cost, Item, Timestamp, Value};

const STATES: [&str; 4] = ["pending", "in-progress", "success", "error"];
const OVERALL: [&str; 4] = ["initializing", "processing", "completed", "failed"];
const COUNTS: [&str; 8] = [
    "inputTokens",
    "outputTokens",
    "totalTokens",
    "cacheReadInputTokens",
    "cacheWriteInputTokens",
    "reasoningTokens",
    "cacheWrite5mInputTokens",
    "cacheWrite1hInputTokens",
];
const NINETY_DAYS: i64 = 90 * 24 * 60 * 60;
const LONGEST_ERROR: usize = 500;

/// Asserts that an item satisfies the contract with its readers, and lists all violations.
#[track_caller]
pub(crate) fn assert_contract(item: &Item) {
    let mut check = Check::default();
    check.item(item);
    assert!(check.faults.is_empty(), "{}\nin {item:#?}", check.faults.join("\n"));
}

#[derive(Default)]
struct Check {
    faults: Vec<String>,
}

impl Check {
    fn that(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(fault());
        }
    }

    fn item(&mut self, item: &Item) {
        self.text(item, "sessionId", true);
        self.text(item, "correlationId", false);
        self.error_text(item, "error");
        let overall = self.text(item, "overallStatus", true).unwrap_or_default().to_owned();
        self.that(OVERALL.contains(&&*overall), || format!("overallStatus is {overall:?}"));
        self.that(item.get("error").is_none() || overall == "failed", || {
            format!("an error in a workflow that is {overall}")
        });

        let created = self.time(item, "createdAt", true);
        let day = self.text(item, "createdDay", true);
        let expected = item.get("createdAt").and_then(Value::as_str).and_then(|at| at.get(..10));
        self.that(day == expected, || format!("createdDay is {day:?}, not {expected:?}"));
        let updated = self.time(item, "lastUpdated", true);
        self.that(created <= updated, || "lastUpdated is before createdAt".to_owned());
        let expires = self.whole(item, "expiresAt", true).and_then(|at| i64::try_from(at).ok());
        let expected = created.map(|at| at.as_secs() + NINETY_DAYS);
        self.that(expires == expected, || format!("expiresAt is {expires:?}, not {expected:?}"));

        let revision = self.whole(item, "revision", true);
        self.that(revision >= Some(1), || format!("revision is {revision:?}"));
        match item.get("writers") {
            Some(Value::Map(writers)) => {
                self.that(!writers.is_empty(), || "no writer".to_owned());
                for (writer, _) in writers.iter() {
                    self.whole(writers, writer, true);
                }
            }
            other => self.faults.push(format!("writers is {other:?}")),
        }
        let unfinished = item.get("unfinishedTasks").map(|ids| match ids {
            Value::List(ids) => ids.iter().map(Value::as_str).collect(),
            _ => vec![None],
        });
        self.that(
            unfinished
                .as_ref()
                .is_none_or(|ids| (1..=16).contains(&ids.len()) && ids.iter().all(Option::is_some)),
            || format!("unfinishedTasks is {unfinished:?}"),
        );
        self.agents(item, &overall);
        self.costs(item);
    }

    fn agents(&mut self, item: &Item, overall: &str) {
        // The totals are zero from the start; the parts appear once an agent reports them.
        let mut sum: BTreeMap<String, u64> =
            COUNTS[..3].iter().map(|name| ((*name).to_owned(), 0)).collect();
        for (name, value) in item.iter() {
            let Value::Map(agent) = value else { continue };
            if matches!(name, "writers" | "totalTokenUsage" | "previousRun") {
                continue;
            }
            // In a finished workflow, an agent in progress was called after the end.
            self.agent(name, agent, overall);
            if let Some(usage) = agent.get("tokenUsage") {
                for (figure, tokens) in self.usage(name, usage) {
                    *sum.entry(figure).or_default() += tokens;
                }
            }
        }
        let total = item.get("totalTokenUsage").cloned();
        let total = total.map(|total| self.usage("totalTokenUsage", &total)).unwrap_or_default();
        self.that(total == sum, || {
            format!("totalTokenUsage is {total:?}, and the agents' sum {sum:?}")
        });
    }

    fn agent(&mut self, name: &str, agent: &Item, overall: &str) {
        const KNOWN: [&str; 19] = [
            "status",
            "activity",
            "waitingFor",
            "taskId",
            "startedAt",
            "completedAt",
            "duration",
            "tokenUsage",
            "error",
            "errorType",
            "calls",
            "lastUpdated",
            "model",
            "finishReason",
            "timeToFirstChunk",
            "costUsd",
            "unpricedCalls",
            "models",
            "attempts",
        ];
        for (attribute, _) in agent.iter() {
            self.that(KNOWN.contains(&attribute), || format!("{name} has {attribute}"));
        }
        let state = self.text(agent, "status", true).unwrap_or_default().to_owned();
        self.that(STATES.contains(&&*state), || format!("{name} is {state:?}"));
        let activity = self.text(agent, "activity", true).unwrap_or_default().to_owned();
        self.that(!activity.is_empty(), || format!("{name} has no activity"));

        let is_running = state == "in-progress";
        let has_ended = matches!(&*state, "success" | "error");
        self.that(!(is_running && overall == "initializing"), || {
            format!("{name} runs in a workflow that is initializing")
        });

        let mut is_there = |attribute: &str, expected: bool| {
            self.that(agent.get(attribute).is_some() == expected, || {
                let there = if expected { "lacks" } else { "has" };
                format!("{name} is {state} and {there} {attribute}")
            });
        };
        is_there("startedAt", is_running || has_ended);
        is_there("completedAt", has_ended);
        is_there("duration", has_ended);
        is_there("error", state == "error");
        is_there("errorType", state == "error");

        let waiting_for = self.text(agent, "waitingFor", false);
        self.that(
            waiting_for.is_none_or(|what| {
                is_running && ["task", "input", "authorization"].contains(&what)
            }),
            || format!("{name} is {state} and waits for {waiting_for:?}"),
        );
        let task = self.text(agent, "taskId", false);
        self.that(task.is_none() || waiting_for.is_some(), || format!("{name} has {task:?}"));

        let started = self.time(agent, "startedAt", false);
        let completed = self.time(agent, "completedAt", false);
        let updated = self.time(agent, "lastUpdated", false);
        self.that(updated >= completed, || format!("{name} is not updated at its end"));
        if let (Some(started), Some(completed)) = (started, completed) {
            let millis = completed.as_millis() - started.as_millis();
            self.that(millis >= 0, || format!("{name} ended before it started"));
            let duration = number(agent.get("duration"));
            let holds = duration.is_some_and(|seconds| {
                // Exact, except that a binary fraction cannot represent every millisecond.
                (seconds * 1000.0 - millis as f64).abs() < 1e-6
            });
            self.that(holds, || format!("{name} took {millis} ms, and duration is {duration:?}"));
        }
        self.error_text(agent, "error");
        self.text(agent, "errorType", false);
        self.text(agent, "model", false);
        self.text(agent, "finishReason", false);
        self.attempts(name, agent);
        let calls = self.whole(agent, "calls", false);
        self.that(calls != Some(0), || format!("{name} has zero calls, which should be absent"));
    }

    /// The list of an agent's attempts: at most eight, and no more than it had calls.
    fn attempts(&mut self, name: &str, agent: &Item) {
        let Some(attempts) = agent.get("attempts") else { return };
        let list = attempts.as_list().unwrap_or_default();
        let calls = agent.get("calls").and_then(Value::as_u64).unwrap_or(0);
        let holds = (1..=8).contains(&list.len()) && list.len() as u64 <= calls;
        self.that(holds, || format!("{name} has {calls} calls and the attempts {attempts:?}"));
        for attempt in list {
            let Some(attempt) = attempt.as_map() else {
                self.faults.push(format!("an attempt of {name} is {attempt:?}"));
                continue;
            };
            self.time(attempt, "startedAt", true);
            let status = self.text(attempt, "status", true).unwrap_or_default().to_owned();
            let has_class = attempt.get("errorType").is_some();
            let holds = status == if has_class { "error" } else { "success" };
            self.that(holds, || format!("an attempt of {name} is {attempt:?}"));
            self.that(number(attempt.get("duration")) >= Some(0.0), || {
                format!("an attempt of {name} has no duration: {attempt:?}")
            });
        }
    }

    /// The costs of the agents add up to that of the item.
    fn costs(&mut self, item: &Item) {
        let (mut usd, mut unpriced) = (None, 0);
        for (name, value) in item.iter() {
            let (Value::Map(agent), false) = (value, name == "previousRun") else { continue };
            if let Some(cost) = agent.get("costUsd").and_then(Value::as_cost) {
                usd = Some(usd.unwrap_or(Cost::ZERO).saturating_add(cost));
            }
            unpriced += agent.get("unpricedCalls").and_then(Value::as_u64).unwrap_or(0);
        }
        let total = item.get("totalCostUsd").and_then(Value::as_cost);
        self.that(total == usd, || format!("totalCostUsd is {total:?}, and the sum {usd:?}"));
        let total = item.get("unpricedCalls").and_then(Value::as_u64).unwrap_or(0);
        self.that(total == unpriced, || {
            format!("unpricedCalls is {total}, and the sum {unpriced}")
        });
    }

    /// The counts of a usage map, which may only have known names and integers.
    fn usage(&mut self, whose: &str, usage: &Value) -> BTreeMap<String, u64> {
        let Value::Map(usage) = usage else {
            self.faults.push(format!("the usage of {whose} is {usage:?}"));
            return BTreeMap::new();
        };
        self.that(!usage.is_empty(), || format!("{whose} has a usage without counts"));
        let mut counts = BTreeMap::new();
        for (name, value) in usage.iter() {
            self.that(COUNTS.contains(&name), || format!("{whose} has {name}"));
            match value.as_u64() {
                Some(tokens) => _ = counts.insert(name.to_owned(), tokens),
                None => self.faults.push(format!("{name} of {whose} is {value:?}")),
            }
        }
        counts
    }

    fn text<'a>(&mut self, item: &'a Item, name: &str, required: bool) -> Option<&'a str> {
        let value = item.get(name);
        let text = value.and_then(Value::as_str);
        let holds = text.is_some() || value.is_none() && !required;
        self.that(holds, || format!("{name} is {value:?}"));
        text
    }

    fn error_text(&mut self, item: &Item, name: &str) {
        let length = self.text(item, name, false).map(str::len);
        self.that(length <= Some(LONGEST_ERROR), || format!("{name} has {length:?} bytes"));
    }

    fn whole(&mut self, item: &Item, name: &str, required: bool) -> Option<u64> {
        let value = item.get(name);
        let number = value.and_then(Value::as_u64);
        let holds = number.is_some() || value.is_none() && !required;
        self.that(holds, || format!("{name} is {value:?}"));
        number
    }

    /// Parses RFC 3339 in UTC, with milliseconds and a `Z`.
    fn time(&mut self, item: &Item, name: &str, required: bool) -> Option<Timestamp> {
        let text = self.text(item, name, required)?;
        let time = text.parse::<Timestamp>().ok();
        let is_spelt_so = time.is_some_and(|time| time.to_string() == text);
        let is_utc = text.len() == "2025-12-24T10:00:05.123Z".len()
            && text.ends_with('Z')
            && !text.contains('+');
        self.that(is_spelt_so && is_utc, || format!("{name} is {text:?}"));
        time
    }
}

fn number(value: Option<&Value>) -> Option<f64> {
    match value? {
        Value::Float(number) => Some(*number),
        Value::Integer(number) => Some(*number as f64),
        _ => None,
    }
}
