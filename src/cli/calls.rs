//! Formats what is known of an agent's calls: its model, its cost and its attempts.

use console::style;
use indicatif::HumanCount;
use tower_agent_status::status::{AgentState, AgentStatus, Attempt, Budget, ModelUsage, TotalCost};

use super::text::{escaped, time, tokens};

/// An exact cost, and how many calls it lacks: `≥ $0.5123456 (the cost of 1 call is not known in full)`.
pub(crate) fn exact_cost(cost: &TotalCost) -> String {
    let mut text = cost.to_string();
    match cost.unpriced_calls {
        0 => {}
        1 => text += " (the cost of 1 call is not known in full)",
        calls => {
            text += &format!(" (the costs of {} calls are not known in full)", HumanCount(calls));
        }
    }
    text
}

/// A budget: `$0.5, 10,000 tokens; exceeded at 2025-12-24T10:00:07.000Z`.
pub(crate) fn budget(budget: &Budget) -> String {
    let usd = budget.usd.map(|usd| TotalCost::new(usd).to_string());
    let tokens = budget.tokens.map(|tokens| format!("{} tokens", HumanCount(tokens)));
    let limits: Vec<_> = usd.into_iter().chain(tokens).collect();
    let mut text = limits.join(", ");
    if let Some(at) = budget.exceeded_at {
        text += &format!("; exceeded at {at}");
    }
    text
}

/// An agent's model, why it stopped if that is unusual, and when its first token arrived.
pub(crate) fn model(agent: &AgentStatus) -> Option<String> {
    let mut parts = Vec::new();
    parts.extend(agent.model.as_ref().map(|model| escaped(model).into_owned()));
    if let Some(reason) = &agent.finish_reason
        && !agent.stopped_normally()
    {
        parts.push(style(format!("stopped: {}", escaped(reason))).yellow().to_string());
    }
    if let Some(first) = agent.time_to_first_chunk {
        parts.push(format!("first token after {}", time(first)));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The models of an agent, if it has used several, and its attempts: a line for each.
pub(crate) fn lines(agent: &AgentStatus) -> Vec<String> {
    // Only the last attempts are kept.
    let kept = agent.attempts().count() as u64;
    let first = agent.calls.saturating_sub(kept) + 1;
    let attempts = agent.attempts().zip(first..).map(|(attempt, number)| line(attempt, number));
    agent.models().iter().map(model_line).chain(attempts).collect()
}

fn model_line(usage: &ModelUsage) -> String {
    let tokens = tokens(usage.token_usage.as_ref());
    let line = format!("{:<40} {tokens:>16} {:>#11}", escaped(&usage.model), usage.cost);
    style(line).dim().to_string()
}

/// `✘ attempt 1  2025-12-24T10:00:00.000Z  0.4 s  http_429, retry after 2.0 s, request req_1`.
fn line(attempt: &Attempt, number: u64) -> String {
    let symbol = match attempt.state() {
        AgentState::Success => style("✔").green(),
        _ => style("✘").red(),
    };
    let mut parts = Vec::new();
    parts.extend(attempt.error_type.as_deref().map(str::to_owned));
    parts.extend(attempt.model.as_deref().map(str::to_owned));
    parts.extend(Some(tokens(attempt.token_usage.as_ref())).filter(|text| !text.is_empty()));
    parts.extend(attempt.retry_after.map(|wait| format!("retry after {}", time(wait))));
    parts.extend(attempt.request_id.as_ref().map(|id| format!("request {id}")));
    let (start, took) = (attempt.started_at, time(attempt.duration()));
    let text = format!("attempt {number}  {start}  {took:>7}  {}", escaped(&parts.join(", ")));
    format!("{symbol} {}", text.trim_end())
}
