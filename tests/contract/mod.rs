//! What readers of the table rely on, checked on an item as they see it: as JSON.

use std::time::Duration;

use serde_json::{Map, Value};
use tower_agent_status::status::Timestamp;

const EXPIRES_AFTER: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const FIGURES: [&str; 6] = [
    "inputTokens",
    "outputTokens",
    "totalTokens",
    "cacheReadInputTokens",
    "cacheWriteInputTokens",
    "reasoningTokens",
];

/// Checks an item, whose agents have these names.
#[track_caller]
pub(crate) fn check(item: &Value, agents: &[&str]) {
    let item = item.as_object().expect("an item is a map");
    assert!(!text(item, "sessionId").is_empty());
    let overall = text(item, "overallStatus");
    assert!(["initializing", "processing", "completed", "failed"].contains(&overall), "{overall}");
    let is_over = matches!(overall, "completed" | "failed");
    assert_eq!(item.contains_key("error"), overall == "failed", "an error says why it failed");

    let created = time(item, "createdAt").expect("when it was created");
    let updated = time(item, "lastUpdated").expect("when it was updated");
    assert!(updated >= created);
    let expires = item["expiresAt"].as_i64().expect("expiresAt is a whole number");
    assert_eq!(expires, created.plus(EXPIRES_AFTER).as_secs());

    let mut sums = [None; FIGURES.len()];
    for name in agents {
        let agent = item[*name].as_object().unwrap_or_else(|| panic!("{name} is a map"));
        check_agent(name, agent, is_over);
        if let Some(usage) = agent.get("tokenUsage") {
            let usage = usage.as_object().expect("tokenUsage is a map");
            assert!(!usage.is_empty(), "{name}: unknown usage is absent");
            for (name, figure) in usage {
                let place = FIGURES.iter().position(|known| known == name).expect("a known figure");
                let figure = figure.as_u64().expect("a figure is a whole number");
                sums[place] = Some(sums[place].unwrap_or(0) + figure);
            }
        }
    }
    let total = item["totalTokenUsage"].as_object().expect("totalTokenUsage is a map");
    for (name, sum) in FIGURES.iter().zip(sums) {
        // The three that are always there start at zero.
        let is_plain = FIGURES[..3].contains(name);
        let expected = if is_plain { Some(sum.unwrap_or(0)) } else { sum };
        assert_eq!(total.get(*name).and_then(Value::as_u64), expected, "the sum of {name}");
    }
}

#[track_caller]
fn check_agent(name: &str, agent: &Map<String, Value>, is_over: bool) {
    let status = text(agent, "status");
    text(agent, "activity");
    let (started, completed) = (time(agent, "startedAt"), time(agent, "completedAt"));
    match status {
        "pending" => assert!(started.is_none() && completed.is_none(), "{name} did not start"),
        "in-progress" => {
            assert!(!is_over, "{name} is in progress in a workflow that has ended");
            assert!(started.is_some() && completed.is_none(), "{name} is not complete");
        }
        "success" | "error" => {
            let started = started.unwrap_or_else(|| panic!("{name} keeps startedAt"));
            let completed = completed.unwrap_or_else(|| panic!("{name} has completedAt"));
            let duration = agent["duration"].as_f64().expect("duration is a number");
            assert!(completed >= started);
            let between = completed.since(started).as_millis() as f64 / 1000.0;
            assert_eq!(duration, between, "{name}: the seconds between the two");
        }
        other => panic!("{name} is {other}"),
    }
    assert_eq!(agent.contains_key("duration"), completed.is_some(), "{name}");
    for about_errors in ["error", "errorType"] {
        assert_eq!(agent.contains_key(about_errors), status == "error", "{name}: {about_errors}");
    }
}

#[track_caller]
fn text<'a>(map: &'a Map<String, Value>, name: &str) -> &'a str {
    map.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("{name} is a text"))
}

/// A time is RFC 3339 in UTC to the millisecond, with one `Z`.
#[track_caller]
fn time(map: &Map<String, Value>, name: &str) -> Option<Timestamp> {
    map.get(name)?;
    let written = text(map, name);
    let parsed: Timestamp = written.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
    // Read leniently, and written in one way only.
    assert_eq!(parsed.to_string(), written, "{name}");
    assert_eq!(written.matches('Z').count(), 1, "{name}: {written}");
    assert!(!written.contains('+'), "{name}: {written}");
    Some(parsed)
}
