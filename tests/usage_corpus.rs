//! Every recorded answer of the folder that `AGENT_STATUS_CORPUS` names is read as it says.

#![expect(clippy::unwrap_used, reason = "a row that cannot be read fails the test")]

use std::fs;
use std::path::Path;

use serde_json::Value;
use tower_agent_status::status::{Outcome, TokenUsage};
use tower_agent_status::usage::{End, Head, PathHint, Reading, UsageReader};

const FILES: [&str; 3] = ["recorded.jsonl", "agentcore.jsonl", "errors_in_200.jsonl"];
const PIECES: [usize; 4] = [1, 7, 1400, usize::MAX];

#[test]
fn recorded_answers_are_read_right() {
    let Ok(folder) = std::env::var("AGENT_STATUS_CORPUS") else {
        println!("SKIPPED: AGENT_STATUS_CORPUS names no folder of recorded answers");
        return;
    };
    let (mut rows, mut wrong) = (0, 0);
    for file in FILES {
        let path = Path::new(&folder).join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let row: Value = serde_json::from_str(line).unwrap();
            if row["content_encoding"].is_string() && cfg!(not(feature = "decompression")) {
                continue;
            }
            rows += 1;
            let faults = check(&row);
            if !faults.is_empty() {
                wrong += 1;
                println!("{} ({}): {}", row["id"], row["format"], faults.join("; "));
            }
        }
    }
    println!("corpus: {} of {rows} rows right", rows - wrong);
    assert!(rows > 0, "no rows in {folder}");
    assert_eq!(wrong, 0, "{wrong} of {rows} rows are wrong");
}

fn check(row: &Value) -> Vec<String> {
    let body = base64(row["body_b64"].as_str().unwrap());
    let mut faults = Vec::new();
    let whole = read(row, &body, usize::MAX);
    for piece in PIECES {
        let reading = read(row, &body, piece);
        if reading != whole {
            faults.push(format!("in pieces of {piece}: {reading:?} and whole: {whole:?}"));
        }
    }

    let expected = expected_usage(row);
    if whole.usage != expected {
        faults.push(format!("usage {:?}, not {expected:?}", whole.usage));
    }

    let status = row["status"].as_u64().unwrap();
    let class = match &whole.outcome {
        Outcome::Success => "success",
        Outcome::Error(error) => &error.class,
    };
    let expected = if status >= 400 {
        format!("http_{status}")
    } else if row["error"].is_object() {
        "agent".to_owned()
    } else if is_cut(row) {
        "incomplete".to_owned()
    } else {
        "success".to_owned()
    };
    if class != expected {
        faults.push(format!("outcome {:?}, not {expected}", whole.outcome));
    }
    if row["stream_complete"] == true && !whole.complete {
        faults.push("complete, and not seen as such".to_owned());
    }
    faults.extend(check_error(row, &whole));
    faults
}

/// The answer broke off, and is of a kind of which that can be told.
fn is_cut(row: &Value) -> bool {
    let notes = row["notes"].to_string();
    let recognisable = !(row["id"] == "openai/openai.chat_completions/s0905"
        || row["format"] == "openai.completions" && notes.contains("no_DONE"));
    (row["stream_complete"] == false && recognisable)
        || notes.contains("stream not complete")
        || notes.contains("ended early")
}

/// The message and code that the row names, which may be shortened.
fn check_error(row: &Value, reading: &Reading) -> Option<String> {
    let error = row["error"].as_object()?;
    let Outcome::Error(found) = &reading.outcome else { return None };
    if let Some(message) = error["message"].as_str() {
        let message: String = message.chars().take(100).collect();
        if !found.message.as_str().starts_with(&message) {
            return Some(format!("message {:?}, not {message:?}", found.message));
        }
    }
    let code = match &error["code"] {
        Value::Null => return None,
        Value::String(code) => code.clone(),
        other => other.to_string(),
    };
    (reading.error_code.as_deref() != Some(&code))
        .then(|| format!("code {:?}, not {code}", reading.error_code))
}

fn expected_usage(row: &Value) -> Option<TokenUsage> {
    let norm = row["expected_norm"].as_object()?;
    let raw = &row["expected_raw_usage"];
    let mut usage = TokenUsage::new(0, 0);
    usage.input_tokens = norm["input"].as_u64();
    usage.output_tokens = norm["output"].as_u64();
    usage.total_tokens = norm["total"].as_u64();
    usage.cache_read_input_tokens = raw["cache_read"].as_u64();
    usage.cache_write_input_tokens = raw["cache_write"].as_u64();
    usage.reasoning_tokens = raw["reasoning"].as_u64();
    Some(usage)
}

fn read(row: &Value, body: &[u8], piece: usize) -> Reading {
    let header = |name: &str| match name {
        "content-type" => row["content_type"].as_str(),
        "content-encoding" => row["content_encoding"].as_str(),
        name => row["headers"][name].as_str(),
    };
    let head = Head {
        status: u16::try_from(row["status"].as_u64().unwrap()).unwrap(),
        path: PathHint::new(row["request"]["path"].as_str().unwrap_or_default()),
        header: &header,
    };
    let mut reader = UsageReader::new(&head);
    for piece in body.chunks(piece) {
        reader.feed(piece);
    }
    reader.finish(End::Complete)
}

fn base64(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [0_u32; 256];
    for (value, byte) in (0..).zip(alphabet) {
        values[usize::from(*byte)] = value;
    }
    let (mut out, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        bits = bits << 6 | values[usize::from(byte)];
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}
