//! An item of each kind of older writer, and what every reader has to show of it.

use std::time::{Duration, SystemTime};

use serde_json::{Value as Json, json};
use tower_agent_status::status::Timestamp;

const HOUR: Duration = Duration::from_secs(60 * 60);

pub(crate) struct OlderItem {
    /// The session, whose name is that of the writer.
    pub(crate) session: &'static str,
    pub(crate) item: Json,
    /// The status of the workflow.
    pub(crate) status: &'static str,
    /// The agents with their statuses, in the order in which they are declared.
    pub(crate) agents: [(&'static str, &'static str); 4],
    /// When it was created, if the item says so.
    pub(crate) created_at: Option<String>,
}

/// All of them, the newest first.
pub(crate) fn older_items() -> Vec<OlderItem> {
    vec![upload_route(), backend(), helper(), simulation(), seed_script()]
}

/// The time so many hours ago, as it is shown.
fn shown(hours: u32) -> String {
    Timestamp::from(SystemTime::now()).saturating_sub(HOUR * hours).to_string()
}

/// The same time, as most older writers format it: in microseconds, and with two offsets.
fn spelled(time: &str) -> String {
    format!("{}000+00:00Z", time.trim_end_matches('Z'))
}

fn pending(activity: &str) -> Json {
    json!({ "status": "pending", "activity": activity })
}

/// A route that confirms an upload, and leaves the rest to others.
fn upload_route() -> OlderItem {
    let time = shown(1);
    OlderItem {
        session: "upload-route",
        item: json!({
            "overallStatus": "pending", "created_at": spelled(&time), "lastUpdated": spelled(&time),
            "pdfAdapter": { "status": "loading", "activity": "Upload confirmed", "startedAt": spelled(&time) },
            "tradeExtraction": pending("Waiting for PDF processing"),
            "tradeMatching": pending("Waiting for extraction"),
            "exceptionManagement": pending("No exceptions"),
        }),
        status: "pending",
        agents: [
            ("pdfAdapter", "in-progress"),
            ("tradeExtraction", "pending"),
            ("tradeMatching", "pending"),
            ("exceptionManagement", "pending"),
        ],
        created_at: Some(time),
    }
}

/// A backend that puts the item before a run.
fn backend() -> OlderItem {
    let time = shown(2);
    OlderItem {
        session: "backend",
        item: json!({
            "overallStatus": "initializing", "createdAt": spelled(&time), "lastUpdated": spelled(&time),
            "pdfAdapter": pending("Waiting for upload"),
            "tradeExtraction": pending("Waiting for PDF processing"),
            "tradeMatching": pending("Waiting for extraction"),
            "exceptionManagement": pending("No exceptions"),
            "totalTokenUsage": { "inputTokens": 0, "outputTokens": 0, "totalTokens": 0 },
        }),
        status: "initializing",
        agents: [
            ("pdfAdapter", "pending"),
            ("tradeExtraction", "pending"),
            ("tradeMatching", "pending"),
            ("exceptionManagement", "pending"),
        ],
        created_at: Some(time),
    }
}

/// A helper around the calls, whose last write of an agent drops its start.
fn helper() -> OlderItem {
    let time = shown(3);
    OlderItem {
        session: "helper",
        item: json!({
            "overallStatus": "processing", "createdAt": spelled(&time), "lastUpdated": spelled(&time),
            "pdfAdapter": {
                "status": "success", "activity": "Extracted text", "completedAt": spelled(&time), "duration": 17,
                "tokenUsage": { "inputTokens": 12_000, "outputTokens": 2_169, "totalTokens": 14_169 },
            },
            "tradeExtraction": { "status": "in-progress", "activity": "Extracting", "startedAt": spelled(&time) },
            "tradeMatching": pending("Waiting for extraction"),
            "exceptionManagement": pending("No exceptions"),
            "totalTokenUsage": { "inputTokens": 0, "outputTokens": 0, "totalTokens": 0 },
        }),
        status: "processing",
        agents: [
            ("pdfAdapter", "success"),
            ("tradeExtraction", "in-progress"),
            ("tradeMatching", "pending"),
            ("exceptionManagement", "pending"),
        ],
        created_at: Some(time),
    }
}

/// A simulation of a run, which has its own word for success, and no times but the last.
fn simulation() -> OlderItem {
    let done = |activity: &str| json!({ "status": "completed", "activity": activity });
    OlderItem {
        session: "simulation",
        item: json!({
            "overallStatus": "completed", "lastUpdated": spelled(&shown(4)),
            "pdfAdapter": done("Extracted text"), "tradeExtraction": done("Extracted trades"),
            "tradeMatching": done("Matched trades"), "exceptionManagement": done("No exceptions"),
        }),
        status: "completed",
        agents: [
            ("pdfAdapter", "success"),
            ("tradeExtraction", "success"),
            ("tradeMatching", "success"),
            ("exceptionManagement", "success"),
        ],
        created_at: None,
    }
}

/// A script that seeds a table with every word that a page knows.
fn seed_script() -> OlderItem {
    let time = shown(5);
    let of = |word: &str| json!({ "status": word, "activity": format!("It is {word}") });
    let mut warning = of("warning");
    warning["subSteps"] =
        json!([{ "title": "Page 3", "status": "warning", "description": "blank" }]);
    let mut failed = of("error");
    failed["error"] = "no such trade".into();
    OlderItem {
        session: "seed-script",
        item: json!({
            "overallStatus": "processing", "createdAt": time,
            "pdfAdapter": warning, "tradeExtraction": of("info"), "tradeMatching": of("stopped"),
            "exceptionManagement": failed,
        }),
        status: "processing",
        agents: [
            ("pdfAdapter", "warning"),
            ("tradeExtraction", "info"),
            ("tradeMatching", "stopped"),
            ("exceptionManagement", "error"),
        ],
        created_at: Some(time),
    }
}
