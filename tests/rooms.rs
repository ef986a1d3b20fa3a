//! The rooms of the crate and what each may know of the others. Data flows one way: from
//! the client's stack through the call and the tracker to the recorder and the store.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A room, the rooms it may know, and crates that it must not.
const ROOMS: &[(&str, &[&str], &[&str])] = &[
    // The document and the reader are pure: no clock, no network, no lock.
    ("status", &[], &["http", "http_body", "tokio", "tracing", "futures_util", "std::sync::Mutex"]),
    ("usage", &["status"], &["http_body", "tokio", "tracing", "futures_util", "std::sync::Mutex"]),
    (
        "pricing",
        &["status"],
        &[
            "http",
            "http_body",
            "tokio",
            "tracing",
            "futures_util",
            "std::net",
            "std::time",
            "std::sync::Mutex",
        ],
    ),
    ("agent", &["status"], &["http", "http_body", "tokio", "tracing"]),
    // From the request to the tracker.
    ("telemetry", &["agent", "status", "usage"], &["http_body"]),
    ("tracker", &["agent", "pricing", "status", "telemetry"], &["http", "http_body"]),
    ("session", &["status", "tracker"], &["http_body", "tokio", "tracing"]),
    ("workflow", &["agent", "status", "telemetry", "tracker"], &["http", "http_body", "tokio"]),
    ("exchange", &["status", "usage"], &["tokio", "tracing"]),
    (
        "client",
        &["agent", "exchange", "pricing", "session", "status", "telemetry", "tracker", "usage"],
        &["tokio", "http_body_util"],
    ),
    (
        "server",
        &["exchange", "session", "status", "tracker", "usage", "workflow"],
        &["tokio", "tracing"],
    ),
    // From the tracker to the table and its readers.
    ("store", &["status"], &[]),
    ("testing", &["status"], &["http", "http_body", "tokio", "tracing"]),
    (
        "recorder",
        &["agent", "pricing", "status", "store", "telemetry", "tracker"],
        &["http", "http_body"],
    ),
    // What serves, and how it does.
    ("listener", &[], &["axum"]),
    ("portal", &["agent", "listener", "status", "store", "webhook"], &["hyper"]),
    // The forwarder sees the layer from outside.
    ("forward", &["listener", "status"], &["axum"]),
    ("webhook", &["status", "store", "telemetry"], &["axum", "hyper"]),
    // The command sees the crate from outside.
    ("cli", &[], &["axum", "tower"]),
    // Documentation alone.
    ("guide", &[], &["http", "tokio", "tracing"]),
    ("lib", &["*"], &[]),
];

/// Only these files may name a crate that is somebody else's to change.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("::metrics", &["src/telemetry/metrics.rs", "src/telemetry/call_metrics.rs"]),
    ("reqwest", &["src/client/reqwest/", "src/exchange/error_display.rs"]),
    ("reqwest_middleware", &["src/client/reqwest/", "src/exchange/error_display.rs"]),
    ("reqwest012", &["src/client/reqwest012.rs", "src/exchange/error_display.rs"]),
    ("reqwest_middleware04", &["src/client/reqwest012.rs", "src/exchange/error_display.rs"]),
    ("hmac", &["src/webhook/signature.rs"]),
    ("hyper_rustls", &["src/forward/", "src/webhook/send.rs"]),
    ("dynoxide", &["src/store/embedded.rs", "src/store/embedded/"]),
    ("aws_sdk_dynamodb", &["src/store/"]),
    ("aws_smithy_runtime", &["src/client/aws.rs"]),
    ("aws_smithy_runtime_api", &["src/client/aws.rs", "src/store/"]),
    ("aws_smithy_types", &["src/client/aws.rs", "src/store/"]),
    ("compression_codecs", &["src/usage/decompress/codec.rs"]),
];

#[test]
fn every_room_knows_only_what_it_may() {
    let mut broken = Vec::new();
    let files = sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")));
    assert!(files.len() > 30, "the sources were found");
    for (file, text) in &files {
        let room = room_of(file);
        let (_, may, never) = ROOMS
            .iter()
            .find(|(name, ..)| *name == room)
            .unwrap_or_else(|| panic!("{file}: `{room}` is a new room; say here what it may know"));
        for known in rooms_named(text) {
            if known != room && !may.contains(&"*") && !may.contains(&known.as_str()) {
                broken.push(format!("{file}: `{room}` knows `{known}`"));
            }
        }
        for name in *never {
            if names_crate(text, name) {
                broken.push(format!("{file}: `{room}` knows `{name}`"));
            }
        }
        for (name, places) in ONLY_IN {
            if names_crate(text, name) && !places.iter().any(|place| file.starts_with(place)) {
                broken.push(format!("{file} names `{name}`, which only {places:?} may"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_check_sees_what_it_looks_for() {
    let text = "use crate::tracker::Shared;\nuse crate::{exchange::Call, store};\nlet x = crate::status::Item::new();\n// use crate::client;\n";
    let expected = ["exchange", "status", "store", "tracker"].map(str::to_owned);
    assert_eq!(rooms_named(text), BTreeSet::from(expected));
    assert!(names_crate("use tokio::time;", "tokio") && names_crate("x: http::Uri", "http"));
    assert!(!names_crate("use tokio_test::x; // tokio::x\n", "tokio"));
}

/// The sources below a folder, each with its path from the root and its text without
/// comments and without its unit tests, which may know more.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs")
                && path.file_stem().is_some_and(|name| name != "tests")
            {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
                let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
                found.push((name.to_str().unwrap().replace('\\', "/"), text));
            }
        }
    }
    found
}

/// `src/usage/gate.rs` is in the room `usage`, `src/call.rs` in `call`.
fn room_of(file: &str) -> String {
    let inside = file.strip_prefix("src/").unwrap();
    inside.split('/').next().unwrap().trim_end_matches(".rs").to_owned()
}

fn code(text: &str) -> String {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

fn rooms_named(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let code = code(text);
    for rest in code.split("crate::").skip(1) {
        let group = rest.strip_prefix('{').map_or(rest, |group| {
            // Only the heads of the group's members name rooms.
            group.split('}').next().unwrap_or(group)
        });
        let members: Vec<_> =
            if rest.starts_with('{') { group.split(',').collect() } else { vec![group] };
        for member in members {
            let name: String =
                member.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if name.starts_with(char::is_lowercase) {
                found.insert(name);
            }
        }
    }
    found
}

fn names_crate(text: &str, name: &str) -> bool {
    let code = code(text);
    code.match_indices(&format!("{name}::")).any(|(at, _)| {
        !code[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':'))
    })
}
