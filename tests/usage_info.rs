//! What recorded answers in the folder `AGENT_STATUS_CORPUS` say of themselves, compared with what a
//! reader of whole bodies finds: `serde_json`, and rules of its own for each format that a row names.

#![expect(clippy::unwrap_used, reason = "a row that cannot be read fails the test")]

#[path = "corpus/rows.rs"]
mod rows;

use std::collections::BTreeMap;
use std::io::Read as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rows::Row;
use serde_json::Value;
use tower_agent_status::usage::{End, ResponseInfo};

/// Rows with the key of a model that name none which answered, and why.
const NAMES_NONE: &[(&str, &str)] = &[
    ("snowflake/openai.chat_completions/0005", "an empty name"),
    ("2/openrouter/negative.other_json/0001", "the stored record of another call"),
];

/// What an answer says of itself.
#[derive(Debug, Default, PartialEq)]
struct Facts {
    model: Option<String>,
    id: Option<String>,
    reasons: Vec<String>,
    cache_writes: [Option<u64>; 2],
}

#[test]
fn recorded_answers_say_what_a_reader_of_whole_bodies_finds() {
    let rows = match rows::all_rows() {
        Ok(rows) => rows,
        Err(why) => return println!("{why}"),
    };
    let (mut wrong, mut models, mut ids, mut with_reasons) = (Vec::new(), 0, 0, 0);
    let (mut without, mut unexplained) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
    for row in &rows {
        let (expected, found) = (facts(row), read(row));
        let (id, format) = (row.json["id"].as_str().unwrap(), format(row));
        if expected != found {
            wrong.push(format!("{id} ({format}): {found:?}, not {expected:?}"));
        }
        models += usize::from(expected.model.is_some());
        ids += usize::from(expected.id.is_some());
        with_reasons += usize::from(!expected.reasons.is_empty());
        if expected.model.is_none() {
            let other = NAMES_NONE.iter().find(|(row, _)| *row == id);
            let why = match other {
                Some((_, why)) => why,
                None if row.status() >= 400 => "an error status",
                None if row.json["error"].is_object() => "an error in the body",
                None if !documents(&decoded(row)).iter().any(names_model) => "no key for it",
                None => {
                    unexplained.push(format!("{id} ({format})"));
                    continue;
                }
            };
            without.entry(why).or_default().push(id);
        }
    }
    for (why, ids) in &without {
        println!("{} name no model, {why}: {}", ids.len(), ids.join(" "));
    }
    println!(
        "corpus: {} of {} rows right: {models} with a model, {ids} with an id, {with_reasons} with reasons",
        rows.len() - wrong.len(),
        rows.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(unexplained.is_empty(), "name a model somewhere: {}", unexplained.join("\n"));
}

fn format(row: &Row) -> &str {
    row.json["format"].as_str().unwrap_or_default()
}

fn read(row: &Row) -> Facts {
    let mut reader = row.reader();
    reader.feed(&row.body);
    let usage = reader.finish(End::Complete).usage.unwrap_or_default();
    let info: ResponseInfo = reader.info();
    Facts {
        model: info.model.map(Into::into),
        id: info.response_id.map(Into::into),
        reasons: info.finish_reasons.into_iter().map(Into::into).collect(),
        cache_writes: [usage.cache_write_5m_input_tokens, usage.cache_write_1h_input_tokens],
    }
}

/// What the whole body says, and the path of its request.
fn facts(row: &Row) -> Facts {
    let documents = documents(&decoded(row));
    let format = format(row);
    let mut facts = Facts::default();
    for document in &documents {
        let events = match document {
            Value::Array(events) if format.starts_with("gemini") || format.starts_with("tgi") => {
                &**events
            }
            document => std::slice::from_ref(document),
        };
        events.iter().for_each(|event| add(&mut facts, format, event));
    }
    if facts.model.is_none() {
        facts.model = model_in_path(row.json["request"]["path"].as_str().unwrap_or_default());
    }
    facts
}

/// Whether any key in the document may be that of a model.
fn names_model(document: &Value) -> bool {
    match document {
        Value::Object(members) => members.iter().any(|(key, value)| {
            key.to_lowercase().contains("model") && value.is_string() || names_model(value)
        }),
        Value::Array(values) => values.iter().any(names_model),
        _ => false,
    }
}

/// The first of these paths that has a text.
fn text<'a>(document: &'a Value, paths: &[&str]) -> Option<&'a str> {
    let mut texts = paths.iter().filter_map(|path| document.pointer(path)?.as_str());
    texts.find(|text| !text.is_empty())
}

/// Adds what one document says, by the rules of its format.
fn add(facts: &mut Facts, format: &str, document: &Value) {
    let (models, ids): (&[&str], &[&str]) = match format {
        "openai.responses" => (&["/response/model", "/model"], &["/response/id", "/id"]),
        // Bedrock passes on what the model's own API says.
        "anthropic.messages" | "bedrock.invoke_model" => {
            (&["/message/model", "/model"], &["/message/id", "/id", "/response/response_id"])
        }
        format if format.starts_with("gemini.interactions") => {
            (&["/interaction/model", "/model"], &["/interaction/id", "/id"])
        }
        format if format.starts_with("gemini") => (&["/modelVersion", "/model"], &["/responseId"]),
        format if format.starts_with("cohere.v1") => {
            (&["/model"], &["/response_id", "/id", "/response/response_id", "/response/id"])
        }
        format if format.starts_with("watsonx") => (&["/model_id"], &["/id"]),
        format if format.starts_with("aleph_alpha") => (&["/model_version"], &["/id"]),
        // AG-UI.
        "agentcore.sse" => (&["/model", "/usage/0/model"], &["/id"]),
        _ => (&["/model", "/model_id"], &["/id"]),
    };
    let is_rpc = document.get("jsonrpc").is_some();
    let model = text(document, models);
    let model = model.or_else(|| foundation_model(document));
    facts.model = facts.model.take().or(model.map(Into::into));
    let id = text(document, ids).filter(|_| !is_rpc);
    facts.id = facts.id.take().or(id.map(Into::into));
    // A stored record, and not an answer.
    if format == "negative.other_json" {
        return;
    }
    find_reasons(document, "", &mut |reason| {
        if !facts.reasons.contains(&reason) {
            facts.reasons.push(reason);
        }
    });
    for (place, name) in ["5m", "1h"].into_iter().enumerate() {
        if let Some(tokens) = cache_write(document, name) {
            facts.cache_writes[place] = Some(tokens);
        }
    }
}

/// The model that the trace of a Bedrock agent names.
fn foundation_model(document: &Value) -> Option<&str> {
    let traces = document.get("trace")?.as_object()?;
    traces
        .values()
        .find_map(|trace| trace.pointer("/modelInvocationInput/foundationModel")?.as_str())
}

/// What was written to the cache for this long, by a usage object.
fn cache_write(document: &Value, lifetime: &str) -> Option<u64> {
    let usage = ["/usage", "/message/usage"].into_iter().find_map(|path| document.pointer(path))?;
    let key = format!("ephemeral_{lifetime}_input_tokens");
    if let Some(tokens) = usage.get("cache_creation").and_then(|parts| parts.get(&key)) {
        return tokens.as_u64();
    }
    let parts = usage.get("cacheDetails")?.as_array()?;
    let parts = parts.iter().filter(|part| part["ttl"] == lifetime);
    parts.map(|part| part["inputTokens"].as_u64()).reduce(|a, b| Some(a? + b?))?
}

/// Finds the reasons to stop, wherever they are but in what the model wrote.
fn find_reasons(value: &Value, path: &str, add: &mut impl FnMut(String)) {
    const CONTENT: [&str; 9] = [
        "content",
        "content_block",
        "message/",
        "delta/content",
        "logprobs",
        "documents",
        "parts",
        "tool_calls",
        "input",
    ];
    const REASONS: [&str; 9] = [
        "finish_reason",
        "finishReason",
        "stop_reason",
        "stopReason",
        "done_reason",
        "completionReason",
        "incomplete_details/reason",
        "finish_reason/type",
        "finishReason/reason",
    ];
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let path = format!("{path}/{key}");
                let is_reason = REASONS.iter().any(|reason| path.ends_with(&format!("/{reason}")));
                match value {
                    Value::String(reason) if is_reason => {
                        let is_one = !matches!(&**reason, "" | "null" | "not_finished");
                        is_one.then(|| add(reason.clone()));
                    }
                    Value::Number(reason) if is_reason && !path.contains("choices") => {
                        add(reason.to_string());
                    }
                    value if !CONTENT.contains(&&**key) => find_reasons(value, &path, add),
                    _ => {}
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| find_reasons(value, path, add)),
        _ => {}
    }
}

/// The model that a path names.
fn model_in_path(path: &str) -> Option<String> {
    let path = path.split(['?', '#']).next().unwrap();
    let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let after = |name: &str| segments.iter().position(|segment| *segment == name).map(|at| at + 1);
    let name = if let Some(at) = after("model") {
        segments[at..segments.len() - 1].join("/")
    } else if let (Some(at), true) = (after("models"), segments.last()?.contains(':')) {
        segments[at..].join("/").rsplit_once(':')?.0.to_owned()
    } else {
        (*segments.get(after("deployments")?)?).to_owned()
    };
    Some(name.replace("%3A", ":").replace("%2F", "/"))
}

fn decoded(row: &Row) -> Vec<u8> {
    let mut body = Vec::new();
    match row.body.starts_with(&[0x1f, 0x8b]) {
        true => _ = flate2::read::MultiGzDecoder::new(&*row.body).read_to_end(&mut body).unwrap(),
        false => body.clone_from(&row.body),
    }
    body
}

/// The documents of a body that was read whole.
fn documents(body: &[u8]) -> Vec<Value> {
    if let Ok(document) = serde_json::from_slice(body) {
        return vec![document];
    }
    if let Some(documents) = frames(body) {
        return documents;
    }
    let text = String::from_utf8_lossy(body).replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<_> = text.lines().collect();
    if lines.iter().any(|line| line.starts_with("data:")) {
        let mut documents = Vec::new();
        let mut data = Vec::new();
        for line in lines.into_iter().chain([""]) {
            if let Some(value) = line.strip_prefix("data:") {
                data.push(value.strip_prefix(' ').unwrap_or(value));
            } else if line.is_empty() {
                documents.extend(serde_json::from_str(&data.join("\n")));
                data.clear();
            }
        }
        return documents;
    }
    let stream = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let documents: Vec<_> = stream.map_while(Result::ok).collect();
    if documents.is_empty() {
        return lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    }
    documents
}

/// The payloads of an AWS event stream; those in base64 decoded.
fn frames(mut body: &[u8]) -> Option<Vec<Value>> {
    let mut documents = Vec::new();
    while body.len() > 16 {
        let number = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap()) as usize;
        let (total, headers) = (number(0), number(4));
        if total < 16 + headers || total > body.len() {
            break;
        }
        let payload = &body[12 + headers..total - 4];
        body = &body[total..];
        let Ok(document) = serde_json::from_slice::<Value>(payload) else { continue };
        let inner = document["bytes"].as_str().and_then(|text| BASE64_STANDARD.decode(text).ok());
        let inner = inner.and_then(|inner| serde_json::from_slice(&inner).ok());
        documents.push(inner.unwrap_or(document));
    }
    (!documents.is_empty()).then_some(documents)
}
