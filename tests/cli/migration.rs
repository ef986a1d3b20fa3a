//! The migration page, command by command, against the endpoint in `STATUS_TEST_ENDPOINT`.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use tower_agent_status::status::{AgentReport, AgentState, TokenUsage};
use tower_agent_status::store::DynamoDbStore;
use tower_agent_status::{Agent, StatusTracker};

use crate::support::{HOUR, SECOND, ago};

/// The table of the page, which is its name in what the commands print.
const TABLE: &str = "workflow-status";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn the_page_on_migration_prints_what_the_commands_print() {
    let Ok(url) = std::env::var("STATUS_TEST_ENDPOINT") else {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: the page on migration, since STATUS_TEST_ENDPOINT is not set"
        );
        return;
    };
    let client = client(&url);
    create_table(&client).await;
    put_old_items(&client).await;
    let mut differences = Vec::new();
    let mut adds_indexes = true;
    for block in blocks(include_str!("../../docs/migration.md")) {
        if block.kind == "console,recorded" {
            record(&client).await;
        }
        for Step { command, expected } in block.steps {
            let printed = run(&command, &url);
            // One of the emulators adds no index to a table that is billed on demand.
            if command.contains("reshard") && printed.contains("provisionedThroughput") {
                adds_indexes = false;
            }
            if !matches(&expected, &printed) && adds_indexes {
                differences.push(format!("$ {command}\n{printed}"));
            }
        }
    }
    client.delete_table().table_name(TABLE).send().await.unwrap();
    assert!(differences.is_empty(), "the page should say:\n\n{}", differences.join("\n"));
}

struct Block {
    kind: String,
    steps: Vec<Step>,
}

/// A command, and the lines that it prints.
struct Step {
    command: String,
    expected: Vec<String>,
}

/// The blocks of commands on a page: lines after `$ `, each followed by what it prints.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```").filter(|kind| kind.starts_with("console")) else {
            continue;
        };
        let mut steps: Vec<Step> = Vec::new();
        for line in lines.by_ref().take_while(|line| *line != "```") {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => {
                    steps.push(Step { command: command.to_owned(), expected: Vec::new() });
                }
                (None, Some(step)) => step.expected.push(line.to_owned()),
                (None, None) => panic!("no command before `{line}`"),
            }
        }
        blocks.push(Block { kind: kind.to_owned(), steps });
    }
    assert!(blocks.len() > 4, "{}", blocks.len());
    blocks
}

fn run(command: &str, url: &str) -> String {
    let bin = Path::new(env!("CARGO_BIN_EXE_tower-agent-status")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", &format!("{{ {command}\n}} 2>&1")])
        .env_clear()
        .env("PATH", path)
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .env("STATUS_TABLE_NAME", TABLE)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_ENDPOINT_URL_DYNAMODB", url)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Whether these lines were printed. `…` stands for any text within a line.
fn matches(expected: &[String], printed: &str) -> bool {
    let printed: Vec<_> = printed.lines().map(str::trim_end).collect();
    let is_same = |(expected, printed): (&String, &&str)| {
        let mut rest = *printed;
        let parts: Vec<_> = expected.trim_end().split('…').collect();
        let (last, parts) = parts.split_last().unwrap();
        for (n, part) in parts.iter().enumerate() {
            let at = match n {
                0 if rest.starts_with(part) => Some(0),
                0 => None,
                _ => rest.find(part),
            };
            let Some(at) = at else { return false };
            rest = &rest[at + part.len()..];
        }
        if parts.is_empty() { rest == *last } else { rest.ends_with(last) }
    };
    expected.len() == printed.len() && expected.iter().zip(&printed).all(is_same)
}

fn client(url: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(url);
    Client::from_conf(config.build())
}

/// A table as it was created by hand, with neither an index nor time to live.
async fn create_table(client: &Client) {
    let id = AttributeDefinition::builder()
        .attribute_name("sessionId")
        .attribute_type(ScalarAttributeType::S);
    let key = KeySchemaElement::builder().attribute_name("sessionId").key_type(KeyType::Hash);
    let create = client.create_table().table_name(TABLE).billing_mode(BillingMode::PayPerRequest);
    let create = create.attribute_definitions(id.build().unwrap());
    create.key_schema(key.build().unwrap()).send().await.unwrap();
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn map(attributes: &[(&str, AttributeValue)]) -> AttributeValue {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    AttributeValue::M(attributes.collect())
}

/// As older writers format it.
fn time(age: Duration) -> AttributeValue {
    text(&ago(age).replace('Z', "+00:00Z"))
}

fn usage(tokens: u64) -> AttributeValue {
    let (input, output) = (tokens * 3 / 4, tokens / 4);
    map(&[
        ("inputTokens", number(input)),
        ("outputTokens", number(output)),
        ("totalTokens", number(tokens)),
    ])
}

fn done(age: Duration, activity: &str, tokens: u64) -> AttributeValue {
    map(&[
        ("status", text("success")),
        ("activity", text(activity)),
        ("completedAt", time(age)),
        ("duration", number(9)),
        ("tokenUsage", usage(tokens)),
    ])
}

async fn put_old_items(client: &Client) {
    let put = |session: &str, status: &str, created: &str, age: Duration| {
        let put = client.put_item().table_name(TABLE).item("sessionId", text(session));
        let put = put.item("overallStatus", text(status)).item(created, time(age));
        put.item("lastUpdated", time(age.saturating_sub(60 * SECOND)))
            .item("totalTokenUsage", usage(0))
    };
    let pending =
        |activity: &str| map(&[("status", text("pending")), ("activity", text(activity))]);
    let age = 2 * DAY;
    put("session-corr_0001", "completed", "createdAt", age)
        .item(
            "pdfAdapter",
            done(age.saturating_sub(10 * SECOND), "Extracted text from PDF document", 14_168),
        )
        .item("tradeExtraction", done(age.saturating_sub(20 * SECOND), "Extracted 8 trades", 4_200))
        .item("tradeMatching", done(age.saturating_sub(30 * SECOND), "Matched 8 trades", 2_000))
        .item("exceptionManagement", pending("No exceptions"))
        .send()
        .await
        .unwrap();
    let loading = map(&[
        ("status", text("loading")),
        ("activity", text("Upload confirmed")),
        ("startedAt", time(DAY)),
    ]);
    put("session-corr_0002", "processing", "createdAt", DAY)
        .item("pdfAdapter", loading)
        .item("tradeExtraction", pending("Waiting for PDF processing"))
        .send()
        .await
        .unwrap();
    put("session-corr_0003", "failed", "created_at", 200 * DAY).send().await.unwrap();
}

/// A run that the service records while the helper goes on writing its item.
async fn record(client: &Client) {
    let store = DynamoDbStore::new(client.clone(), TABLE);
    let agents = [
        ("pdfAdapter", "Extracting text from PDF document", "Text extraction complete"),
        ("tradeExtraction", "Extracting trades", "Trades extracted"),
    ];
    let mut builder = StatusTracker::builder(store);
    for (name, in_progress, success) in agents {
        builder = builder.agent(Agent::new(name).in_progress(in_progress).success(success));
    }
    let tracker = builder.start().unwrap();
    // The helper puts the item, and sets the agents.
    let put = client.put_item().table_name(TABLE).item("sessionId", text("session-corr_0004"));
    let put = put.item("overallStatus", text("initializing")).item("documentId", text("FAB_1"));
    put.item("createdAt", time(HOUR)).item("lastUpdated", time(HOUR)).send().await.unwrap();
    let run = tracker.workflow("session-corr_0004").run(async {
        for (name, tokens) in [("pdfAdapter", 14_168), ("tradeExtraction", 4_200)] {
            let begins = AgentReport::new(AgentState::InProgress);
            tracker.update_agent_status("session-corr_0004", name, begins).unwrap();
            tracker.flush().await.unwrap();
            let report = AgentReport::new(AgentState::Success);
            let report = report.token_usage(TokenUsage::new(tokens * 3 / 4, tokens / 4));
            tracker.update_agent_status("session-corr_0004", name, report).unwrap();
            tracker.flush().await.unwrap();
            let set =
                client.update_item().table_name(TABLE).key("sessionId", text("session-corr_0004"));
            set.update_expression("SET #a = :a, lastUpdated = :now")
                .expression_attribute_names("#a", name)
                .expression_attribute_values(":a", done(Duration::ZERO, "By the helper", tokens))
                .expression_attribute_values(":now", time(Duration::ZERO))
                .send()
                .await
                .unwrap();
        }
        Ok::<_, String>(())
    });
    run.await.unwrap();
    tracker.shutdown(Duration::from_secs(10)).await.unwrap();
}
