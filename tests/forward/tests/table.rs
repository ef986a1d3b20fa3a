//! The table of the ways a call can end, through the forwarder.
//!
//! Each cell makes the call without the forwarder and with it. The caller must see the same, but for
//! what HTTP demands of a proxy, and what is stored must be as the row expects.

#[path = "../../layer/stacks/agent.rs"]
mod agent;
#[path = "../../layer/stacks/clients.rs"]
#[allow(dead_code, reason = "the table of the layer uses all of it")]
mod clients;
#[path = "../../layer/stacks/reqwest.rs"]
#[allow(dead_code, reason = "the table of the layer uses all of it")]
mod reqwest;
#[path = "../../layer/stacks/rows.rs"]
#[allow(dead_code, reason = "the table of the layer uses all of it")]
mod rows;
#[path = "../../layer/stacks/sdk.rs"]
#[allow(dead_code, reason = "the table of the layer uses all of it")]
mod sdk;
#[path = "../../layer/stacks/seen.rs"]
#[allow(dead_code, reason = "the table of the layer uses all of it")]
mod seen;
#[path = "../../layer/support/mod.rs"]
#[allow(dead_code, reason = "the table of the layer uses all of it")]
mod support;

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use forward_clients::Forwarder;
use futures_util::FutureExt as _;
use http::{Method, Request, Version};
use http_body_util::Full;
use tower::{Service as _, ServiceExt as _};
use tower_agent_status::StatusMiddleware;
use tower_agent_status::status::TokenUsage;

use self::agent::ScriptedAgent;
use self::clients::{AnyClient, Hyper, Kind, Settings};
use self::reqwest::{Middleware, Tower};
use self::rows::{Caller, Ends, ROWS, Row};
use self::sdk::Sdk;
use self::seen::{By, Event, Reads, Seen};

#[tokio::test]
async fn hyper() {
    every_row(&Hyper).await;
}

#[tokio::test]
async fn reqwest_by_frames() {
    every_row(&Tower(By::Frames)).await;
}

#[tokio::test]
async fn reqwest_middleware_by_chunks() {
    every_row(&Middleware(By::Chunks)).await;
}

#[tokio::test]
async fn sdk_by_chunks() {
    every_row(&Sdk(By::Chunks)).await;
}

async fn every_row(kind: &dyn Kind) {
    let mut failed = Vec::new();
    for row in ROWS {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let cell = AssertUnwindSafe(cell(kind, row, version));
            if let Err(panic) = cell.catch_unwind().await {
                let message = panic.downcast_ref::<String>().map_or("", |message| message);
                failed.push(format!("{}, {version:?}: {message}", row.name));
            }
        }
    }
    assert!(failed.is_empty(), "these failed:\n{}", failed.join("\n\n"));
}

async fn cell(kind: &dyn Kind, row: &Row, version: Version) {
    let settings = Settings { version, gives_up: row.gives_up, retry: row.retry };
    let agent = ScriptedAgent::start(version, row.agent).await;
    let forwarder = Forwarder::start(&agent.url).await;
    let bare = call(kind.client(settings, None), &agent.url, &agent, row).await;
    // Its script begins anew.
    agent.take_asked();
    let forwarded = call(kind.client(settings, None), &forwarder.url(), &agent, row).await;
    assert_same(forwarded, bare, [&forwarder.url(), &agent.url]);

    let stored = forwarder.ended().await;
    let class = match row.stored.ends {
        Ends::Well => None,
        // To the forwarder, a client whose time-out has passed is one that has left.
        Ends::As("timeout") if row.gives_up => Some("cancelled"),
        Ends::As(class) => Some(class),
        Ends::AsClient(_) => Some("cancelled"),
    };
    let error = stored.error.as_ref();
    assert_eq!(error.map(|error| &*error.class), class, "{error:?}");
    let message = error.map_or("", |error| error.message.as_str());
    // The forwarder reads the text of an error even if the caller does not.
    let is_read = row.caller == Caller::Reads(Reads::All) && !row.gives_up;
    assert!(!is_read || message.contains(row.stored.message), "{message}");
    let tokens = row.stored.tokens.map(|(input, output)| TokenUsage::new(input, output));
    assert_eq!(stored.token_usage(), tokens);
    // The forwarder sees each attempt of a client.
    assert_eq!(stored.calls, if row.retry.is_some() { 3 } else { 1 });
}

/// Asserts that the caller has seen the same.
#[track_caller]
fn assert_same(forwarded: Seen, bare: Seen, urls: [&str; 2]) {
    match (forwarded, bare) {
        (Seen::Answer(head, events), Seen::Answer(bare_head, bare_events)) => {
            assert_eq!(head.status, bare_head.status);
            assert_eq!(head.version, bare_head.version);
            assert_eq!(head.headers, bare_head.headers);
            assert_eq!(comparable(events), comparable(bare_events));
        }
        // A proxy answers in place of an agent that does not.
        (Seen::Answer(head, _), Seen::Failure(_)) => {
            assert_eq!(head.status, 502);
            assert_eq!(head.headers["content-type"], "application/json");
        }
        (Seen::Failure(forwarded), Seen::Failure(bare)) => {
            let [forwarder, agent] = urls;
            let texts = forwarded.0.iter().map(|text| text.replace(forwarder, agent));
            assert_eq!(texts.collect::<Vec<_>>(), bare.0);
        }
        (forwarded, bare) => assert_eq!(forwarded, bare),
    }
}

/// What does not depend on how frames are cut: on HTTP/2, a body may end with its last frame or with
/// an empty one after it. Nor does the reason for the end of a connection pass.
fn comparable(events: Vec<Event>) -> Vec<String> {
    let events = events.into_iter().enumerate().filter_map(|(n, event)| match event {
        Event::Stands { hint, .. } if n == 0 => Some(format!("a length of {hint:?}")),
        Event::Stands { .. } => None,
        Event::Data(data) => Some(format!("data {data:?}")),
        Event::Trailers(trailers) => Some(format!("trailers {trailers:?}")),
        Event::Fails(_) => Some("fails".to_owned()),
        Event::Ends => Some("ends".to_owned()),
        Event::Elapsed => Some("elapsed".to_owned()),
    });
    events.collect()
}

/// Makes the call of a row.
async fn call(mut client: AnyClient, url: &str, agent: &ScriptedAgent, row: &Row) -> Seen {
    let request = Request::builder()
        .method(if row.is_head { Method::HEAD } else { Method::POST })
        .uri(format!("{url}/invocations?question=1"))
        .header("content-type", "application/json")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(b"{\"prompt\": 1}")))
        .unwrap();
    let call = async { client.ready().await?.call(request).await };
    let seen = match row.caller {
        Caller::Reads(reads) => match call.await {
            Ok(answer) => answer.read(reads, agent).await,
            Err(failure) => Seen::Failure(failure),
        },
        Caller::Leaves => tokio::select! {
            _ = call => panic!("the agent does not answer"),
            () = agent.is_asked() => Seen::Nothing,
        },
    };
    if row.gives_up {
        // The agent had paused the clock, so that it advanced to the client's timeout.
        tokio::time::resume();
    }
    seen
}
