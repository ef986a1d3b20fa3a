//! The recorded answers of real agents, in the folder that `AGENT_STATUS_CORPUS` names.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value as Json;
use tower_agent_status::status::TokenUsage;

const FOLDER: &str = "AGENT_STATUS_CORPUS";
const FILES: [&str; 3] = ["recorded.jsonl", "agentcore.jsonl", "errors_in_200.jsonl"];

/// A recorded answer, and what is known of it.
pub(crate) struct Row {
    pub(crate) json: Json,
    pub(crate) body: Vec<u8>,
}

impl Row {
    pub(crate) fn status(&self) -> u16 {
        u16::try_from(self.json["status"].as_u64().unwrap()).unwrap()
    }

    /// The usage that is in it.
    pub(crate) fn usage(&self) -> Option<TokenUsage> {
        let norm = self.json["expected_norm"].as_object()?;
        let raw = &self.json["expected_raw_usage"];
        let mut usage = TokenUsage::default();
        usage.input_tokens = norm["input"].as_u64();
        usage.output_tokens = norm["output"].as_u64();
        usage.total_tokens = norm["total"].as_u64();
        usage.cache_read_input_tokens = raw["cache_read"].as_u64();
        usage.cache_write_input_tokens = raw["cache_write"].as_u64();
        usage.reasoning_tokens = raw["reasoning"].as_u64();
        Some(usage)
    }
}

/// All rows, or why there are none.
pub(crate) fn rows() -> Result<Vec<Row>, String> {
    let folder = std::env::var(FOLDER).map_err(|_| format!("skipped, {FOLDER} is not set"))?;
    let mut rows = Vec::new();
    for file in FILES {
        let path = Path::new(&folder).join(file);
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let json: Json = serde_json::from_str(line).unwrap();
            let body = BASE64_STANDARD.decode(json["body_b64"].as_str().unwrap()).unwrap();
            rows.push(Row { json, body });
        }
    }
    assert!(!rows.is_empty(), "no rows in {folder}");
    Ok(rows)
}
