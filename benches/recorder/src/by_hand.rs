//! The same writes by direct calls of the AWS SDK.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;

use crate::agents::{AGENTS, Pace, SLOW};

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn map<const N: usize>(entries: [(&str, AttributeValue); N]) -> AttributeValue {
    AttributeValue::M(HashMap::from(entries.map(|(name, value)| (name.to_owned(), value))))
}

fn usage(calls: u64) -> AttributeValue {
    map([
        ("inputTokens", number(1500 * calls)),
        ("outputTokens", number(500 * calls)),
        ("totalTokens", number(2000 * calls)),
    ])
}

/// Updates one item five times, each time with the state of an agent.
pub async fn five_updates(client: &Client, table: &str, session_id: &str, pace: Pace) {
    for n in 0..5 {
        let agent = AGENTS[n % AGENTS.len()];
        let state = map([
            ("status", text("success")),
            ("activity", text("The work is done")),
            ("startedAt", text("2025-12-24T10:00:00.000Z")),
            ("completedAt", text("2025-12-24T10:00:05.123Z")),
            ("lastUpdated", text("2025-12-24T10:00:05.123Z")),
            ("duration", number(5.123)),
            ("tokenUsage", usage(1)),
        ]);
        client
            .update_item()
            .table_name(table)
            .key("sessionId", text(session_id))
            .update_expression("SET #a = :a, #u = :u, #o = :o, #t = :t")
            .expression_attribute_names("#a", agent)
            .expression_attribute_names("#u", "totalTokenUsage")
            .expression_attribute_names("#o", "overallStatus")
            .expression_attribute_names("#t", "lastUpdated")
            .expression_attribute_values(":a", state)
            .expression_attribute_values(":u", usage(n as u64))
            .expression_attribute_values(":o", text("processing"))
            .expression_attribute_values(":t", text("2025-12-24T10:00:05.123Z"))
            .send()
            .await
            .expect("an update");
        if pace == Pace::Slow {
            tokio::time::sleep(SLOW).await;
        }
    }
}
