//! One table of the ways a call can end, run through every kind of client, over real
//! sockets, on HTTP/1.1 and HTTP/2.
//!
//! Each cell makes the call without the layer and with it. The agent must receive the same
//! request, the caller must see the same, and the item must be as the row expects.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Method, Request, Version};
use http_body_util::Full;
use tower::{Service as _, ServiceExt as _};
use tower_agent_status::status::{AgentState, TokenUsage};
use tower_agent_status::store::MemoryStore;

use super::agent::ScriptedAgent;
use super::clients::{AnyClient, Kind, Settings};
use super::rows::{Caller, Ends, ROWS, Row};
use super::seen::Seen;
use crate::support::{
    AGENT, SESSION, assert_contract_of_history, builder, of_session, ticking_clock,
};

/// Defines a test for each kind of client, which runs the table, and lists them in `kinds`.
macro_rules! kinds {
    ($($name:ident: $kind:expr,)*) => {
        $(#[tokio::test]
        async fn $name() {
            $crate::stacks::table::every_row(&$kind).await;
        })*

        fn kinds() -> Vec<(&'static str, Box<dyn $crate::stacks::clients::Kind>)> {
            vec![$((stringify!($name), Box::new($kind)),)*]
        }
    };
}

pub(crate) use kinds;

pub(crate) async fn every_row(kind: &dyn Kind) {
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
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).clock(ticking_clock()).start().unwrap();

    let bare = call(kind.client(settings, None), &agent, row).await;
    let asked_bare = agent.take_asked();
    let tracked = call(kind.client(settings, Some(&tracker)), &agent, row).await;
    assert_eq!(tracked, bare, "the caller sees the same with the layer and without");
    assert_eq!(
        agent.take_asked(),
        asked_bare,
        "the agent receives the same with the layer and without"
    );

    tracker.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_contract_of_history(&store);
    let status = store.status(SESSION).unwrap();
    let stored = status.agent(AGENT).unwrap();
    let class = match row.stored.ends {
        Ends::Well => None,
        Ends::As(class) => Some(class),
        Ends::AsClient(class) => Some(class(kind)),
    };
    let error = stored.error.as_ref();
    assert_eq!(error.map(|error| &*error.class), class, "{error:?}");
    let message = error.map_or("", |error| error.message.as_str());
    assert!(message.contains(row.stored.message), "{message}");
    let state = if class.is_some() { AgentState::Error } else { AgentState::Success };
    assert_eq!(stored.state, state);
    let tokens = row.stored.tokens.map(|(input, output)| TokenUsage::new(input, output));
    assert_eq!(stored.token_usage(), tokens);
    assert_eq!(stored.calls, row.stored.calls);
}

/// Makes the call of a row.
async fn call(mut client: AnyClient, agent: &ScriptedAgent, row: &Row) -> Seen {
    let request = Request::builder()
        .method(if row.is_head { Method::HEAD } else { Method::POST })
        .uri(format!("{}/invocations?question=1", agent.url))
        .header("content-type", "application/json")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(b"{\"prompt\": 1}")))
        .unwrap();
    let call = async { client.ready().await?.call(of_session(SESSION, request)).await };
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
