//! The recorded answers of real agents, in the folder that `AGENT_STATUS_CORPUS` names.

#![allow(dead_code, reason = "each test uses some of it")]

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use http::{Method, StatusCode};
use serde_json::Value as Json;
use tower_agent_status::status::TokenUsage;
use tower_agent_status::usage::{RequestHint, ResponseHead, UsageReader};

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

    /// A reader of its body.
    pub(crate) fn reader(&self) -> UsageReader {
        UsageReader::new(self.head())
    }

    /// What comes before its body.
    pub(crate) fn head(&self) -> ResponseHead {
        let json = &self.json;
        let method = json["request"]["method"].as_str().unwrap_or("POST").parse::<Method>();
        let path = json["request"]["path"].as_str().unwrap_or_default();
        let hint = RequestHint::new(&method.unwrap(), path);
        let status = StatusCode::from_u16(self.status()).unwrap();
        ResponseHead::new(status, &self.headers(), hint)
    }

    /// The headers of the response.
    pub(crate) fn headers(&self) -> HeaderMap {
        let json = &self.json;
        let mut headers = HeaderMap::new();
        let mut add = |name: HeaderName, value: &Json| {
            if let Some(value) = value.as_str() {
                headers.insert(name, value.parse().unwrap());
            }
        };
        for (name, value) in json["headers"].as_object().into_iter().flatten() {
            add(name.parse().unwrap(), value);
        }
        add(CONTENT_TYPE, &json["content_type"]);
        add(CONTENT_ENCODING, &json["content_encoding"]);
        headers
    }

    /// What comes after the body.
    pub(crate) fn trailers(&self) -> HeaderMap {
        let trailers = self.json["trailers"].as_object().into_iter().flatten();
        let entry = |(name, value): (&String, &Json)| {
            (HeaderName::try_from(name).unwrap(), value.as_str().unwrap().parse().unwrap())
        };
        trailers.map(entry).collect()
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

/// The same without how long what is cached is kept, which the rows do not say.
pub(crate) fn without_cache_lifetimes(mut usage: TokenUsage) -> TokenUsage {
    usage.cache_write_5m_input_tokens = None;
    usage.cache_write_1h_input_tokens = None;
    usage
}

/// All rows whose right reading is known, or why there are none.
pub(crate) fn rows() -> Result<Vec<Row>, String> {
    let folder = folder()?;
    Ok(read(FILES.map(|file| folder.join(file))))
}

/// The rows of all files of the folder, or why there are none.
pub(crate) fn all_rows() -> Result<Vec<Row>, String> {
    let files = fs::read_dir(folder()?).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|kind| kind == "jsonl")).collect();
    files.sort();
    Ok(read(files))
}

fn folder() -> Result<PathBuf, String> {
    let folder = std::env::var(FOLDER).map_err(|_| format!("skipped, {FOLDER} is not set"))?;
    Ok(Path::new(&folder).to_owned())
}

fn read(files: impl IntoIterator<Item = PathBuf>) -> Vec<Row> {
    let mut rows = Vec::new();
    for path in files {
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let json: Json = serde_json::from_str(line).unwrap();
            let body = BASE64_STANDARD.decode(json["body_b64"].as_str().unwrap()).unwrap();
            rows.push(Row { json, body });
        }
    }
    assert!(!rows.is_empty(), "no rows in the files");
    rows
}
