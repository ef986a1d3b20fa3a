//! Reads every recorded answer in the folder `AGENT_STATUS_CORPUS` and compares the result
//! with what its row expects.

#![expect(clippy::unwrap_used, reason = "a row that cannot be read fails the test")]

#[path = "corpus/rows.rs"]
mod rows;

use rows::{Row, rows, without_cache_lifetimes};
use serde_json::Value;
use tower_agent_status::status::Outcome;
use tower_agent_status::usage::{End, Progress, Reading};

const PIECES: [usize; 4] = [1, 7, 1400, usize::MAX];

#[test]
fn recorded_answers_are_read_right() {
    let rows = match rows() {
        Ok(rows) => rows,
        Err(why) => return println!("{why}"),
    };
    let mut wrong = 0;
    for row in &rows {
        let faults = check(row);
        if !faults.is_empty() {
            wrong += 1;
            println!("{} ({}): {}", row.json["id"], row.json["format"], faults.join("; "));
        }
    }
    println!("corpus: {} of {} rows right", rows.len() - wrong, rows.len());
    assert_eq!(wrong, 0, "{wrong} of {} rows are wrong", rows.len());
}

fn check(row: &Row) -> Vec<String> {
    let mut faults = Vec::new();
    let whole = read(row, usize::MAX, Until::End);
    for piece in PIECES {
        let reading = read(row, piece, Until::End);
        if reading != whole {
            faults.push(format!("in pieces of {piece}: {reading:?} and whole: {whole:?}"));
        }
        // Reading up to the end marker misses what comes after it, but no usage before it.
        let reading = read(row, piece, Until::Marker);
        if reading.usage != whole.usage {
            faults.push(format!("up to the marker, in pieces of {piece}: {:?}", reading.usage));
        }
    }

    // `usage_info` checks how long what is cached is kept.
    let (found, expected) = (whole.usage.map(without_cache_lifetimes), row.usage());
    if found != expected {
        faults.push(format!("usage {found:?}, not {expected:?}"));
    }

    let status = row.status();
    let class = match &whole.outcome {
        Outcome::Success => "success",
        Outcome::Error(error) => &error.class,
        other => panic!("unknown outcome {other:?}"),
    };
    let expected = if status >= 400 {
        format!("http_{status}")
    } else if row.json["error"].is_object() {
        "agent".to_owned()
    } else if is_cut(row) {
        "incomplete".to_owned()
    } else {
        "success".to_owned()
    };
    if class != expected {
        faults.push(format!("outcome {:?}, not {expected}", whole.outcome));
    }
    if row.json["stream_complete"] == true && !whole.complete {
        faults.push("complete, but not recognized as such".to_owned());
    }
    faults.extend(check_error(row, &whole));
    faults
}

/// Whether the answer broke off and its format makes that recognizable.
fn is_cut(row: &Row) -> bool {
    let row = &row.json;
    let notes = row["notes"].to_string();
    let recognizable = !(row["id"] == "openai/openai.chat_completions/s0905"
        || row["format"] == "openai.completions" && notes.contains("no_DONE"));
    (row["stream_complete"] == false && recognizable)
        || notes.contains("stream not complete")
        || notes.contains("ended early")
}

/// Checks the message and the code of an error; the row may have a shortened message.
fn check_error(row: &Row, reading: &Reading) -> Option<String> {
    let error = row.json["error"].as_object()?;
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

/// How far a body is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    Marker,
    End,
}

fn read(row: &Row, piece: usize, until: Until) -> Reading {
    let mut reader = row.reader();
    for piece in row.body.chunks(piece) {
        if reader.feed(piece) == Progress::Ended && until == Until::Marker {
            break;
        }
    }
    reader.trailers(&row.trailers());
    reader.finish(End::Complete)
}
