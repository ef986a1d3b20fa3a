//! Secrets in every place where a call can have one. None of them may be stored.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::ready;
use http::{Request, Response, Version};
use http_body_util::Full;
use serde_json::Value as Json;
use tower::{Layer, Service as _, ServiceExt as _, service_fn};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{StatusLayer, StatusTracker};

use super::agent::Framing::{Streamed, Whole};
use super::agent::Step::{Data, Reset, Stalls};
use super::agent::{Does, Framing, Reply, ScriptedAgent, Step};
use super::clients::{Kind, Settings};
use super::kinds;
use super::seen::Reads;
use crate::StatusMiddleware;
use crate::support::{AGENT, SESSION, builder, id, of_session};

/// Part of every secret, whatever its format.
const MARK: &str = "S3CR3T";
/// Part of every error that echoes a secret. The text around the secrets must survive.
const PLAIN: &str = "refused because";

/// The request headers, each with a secret. Agents may echo them.
const HEADERS: &[(&str, &str)] = &[
    ("authorization", "Bearer S3CR3T.in.a.bearer.token"),
    ("proxy-authorization", "Basic S3CR3Tuserandpassword=="),
    ("x-api-key", "sk-ant-api03-S3CR3T"),
    ("api-key", "S3CR3Tofnoknownshape"),
    ("x-goog-api-key", "AIzaS3CR3Tabcdefgh"),
    ("x-amz-security-token", "IQoJb3JpZ2luX2VjS3CR3T"),
    ("cookie", "sid=S3CR3T; other=S3CR3T"),
];

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const SSE: &[(&str, &str)] = &[("content-type", "text/event-stream")];
const LEAKY: &[(&str, &str)] = &[
    ("content-type", "application/json"),
    ("set-cookie", "sid=S3CR3T"),
    ("www-authenticate", "S3CR3T"),
];

const fn echo(
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    framing: Framing,
    steps: &'static [Step],
) -> Does {
    Does::Answers(Reply { status, headers, framing, steps })
}

/// Agents whose errors echo the request, and some that fail otherwise.
const AGENTS: &[(&str, Does)] = &[
    ("401 with the key", echo(401, JSON, Whole, &[Data(b"{\"error\": {\"message\": \"refused because of the API key provided: sk-proj-S3CR3T1234. See https://u:S3CR3T@host/docs?key=S3CR3T.\"}}")])),
    ("403 with an AWS key", echo(403, JSON, Whole, &[Data(b"{\"message\": \"refused because AKIAS3CR3TS3CR3T1 with aws_secret_access_key=S3CR3T/x+y is unknown\"}")])),
    ("400 with the headers", echo(400, JSON, Whole, &[Data(b"{\"error\": \"refused because of {\\\"authorization\\\": \\\"Bearer S3CR3T\\\", \\\"x-api-key\\\": \\\"S3CR3T\\\", \\\"cookie\\\": \\\"a=S3CR3T; b=S3CR3T\\\"}\"}")])),
    ("400 with a repr of the headers", echo(400, JSON, Whole, &[Data(b"{\"error\": \"refused because of {'Authorization': 'Bearer S3CR3T', 'Cookie': 'sid=S3CR3T'}\"}")])),
    ("502 with the request", echo(502, LEAKY, Whole, &[Data(b"{\"error\": \"refused because of POST /x?api_key=S3CR3T HTTP/1.1\\r\\nauthorization: Bearer S3CR3T\\r\\ncookie: sid=S3CR3T; b=S3CR3T\\r\\n\"}")])),
    ("500 with a signature", echo(500, JSON, Whole, &[Data(b"{\"error\": \"refused because of Authorization: AWS4-HMAC-SHA256 Credential=AKIAS3CR3TS3CR3T1/2025/us-east-1, SignedHeaders=host, Signature=S3CR3T\"}")])),
    ("500 with a connection string", echo(500, JSON, Whole, &[Data(b"{\"error\": \"refused because postgres://user:S3CR3T@db/x and Server=y;Password=S3CR3T; are down\"}")])),
    ("500 with a private key", echo(500, JSON, Whole, &[Data(b"{\"error\": \"refused because -----BEGIN PRIVATE KEY-----\\nS3CR3T\\nS3CR3T\\n-----END PRIVATE KEY----- is bad\"}")])),
    ("error in a 200", echo(200, JSON, Whole, &[Data(b"{\"success\": false, \"error\": \"refused because of Bearer eyJhbGciOiJIUzI1NiJ9.S3CR3T.c2ln and ghp_S3CR3T1234\"}")])),
    ("error in a stream", echo(200, SSE, Streamed, &[Data(b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"refused because of x-api-key: S3CR3T\"}}\n\n")])),
    ("success with secrets", echo(200, JSON, Whole, &[Data(b"{\"success\": true, \"api_key\": \"S3CR3T\", \"token_usage\": {\"input_tokens\": 1, \"output_tokens\": 2, \"total_tokens\": 3, \"S3CR3T\": 4}}")])),
    ("reset in the body", echo(200, LEAKY, Streamed, &[Data(b"S3CR3T"), Reset])),
    ("dropped early", echo(200, LEAKY, Streamed, &[Data(b"S3CR3T"), Stalls])),
    ("reset before the head", Does::Resets),
    ("connection refused", Does::RefusesConnections),
    ("late", Does::LetsTimePass),
];

#[tokio::test]
async fn no_secret_of_a_call_is_stored() {
    for (kind_name, kind) in kinds() {
        for (name, does) in AGENTS {
            let settings = Settings {
                version: Version::HTTP_11,
                gives_up: matches!(does, Does::LetsTimePass),
                retry: None,
            };
            let store = MemoryStore::new();
            let tracker = builder(store.clone()).start().unwrap();
            call(&*kind, settings, &tracker, std::slice::from_ref(does)).await;
            tracker.shutdown(Duration::from_secs(5)).await.unwrap();
            let echoes = matches!(does, Does::Answers(reply) if reply.steps.iter().any(
                |step| matches!(step, Data(data) if data.windows(PLAIN.len()).any(|w| w == PLAIN.as_bytes()))
            ));
            assert_no_secret(&store, echoes, &format!("{kind_name}: {name}"));
        }
    }
}

async fn call(
    kind: &dyn Kind,
    settings: Settings,
    tracker: &StatusTracker,
    script: &'static [Does],
) {
    let agent = ScriptedAgent::start(settings.version, script).await;
    let host = agent.url.strip_prefix("http://").unwrap();
    let uri =
        format!("http://user:S3CR3T@{host}/invocations?api_key=S3CR3T&X-Amz-Signature=S3CR3T");
    let mut request = Request::post(uri);
    for (name, value) in HEADERS {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::from("{\"password\": \"S3CR3T\"}")).unwrap();
    let mut client = kind.client(settings, Some(tracker));
    let answer = client.ready().await.unwrap().call(of_session(SESSION, request)).await;
    if let Ok(answer) = answer {
        let stalls = matches!(&script[0], Does::Answers(reply)
            if reply.steps.iter().any(|step| matches!(step, Stalls)));
        answer.read(if stalls { Reads::Pieces(1) } else { Reads::All }, &agent).await;
    }
    if settings.gives_up {
        tokio::time::resume();
    }
}

/// Asserts that no write contains a secret, and that there were writes to search.
#[track_caller]
fn assert_no_secret(store: &MemoryStore, echoes: bool, name: &str) {
    let history = store.history();
    let mut texts: Vec<String> = Vec::new();
    for change in &history {
        texts.push(change.session_id.to_string());
        texts.extend(change.remove.iter().cloned());
        for (attribute, value) in change.set.iter() {
            texts.push(attribute.to_owned());
            collect(&serde_json::to_value(value).unwrap(), &mut texts);
        }
    }
    assert!(texts.iter().any(|text| text == AGENT), "{name}: the call is stored");
    let is_echoed = texts.iter().any(|text| text.contains(PLAIN));
    assert_eq!(is_echoed, echoes, "{name}: the plain text survives, {texts:?}");
    for text in &texts {
        let found = text.to_ascii_uppercase().contains(MARK);
        assert!(!found, "{name}: {text}");
    }
}

/// Collects every name and every text in a value.
fn collect(value: &Json, texts: &mut Vec<String>) {
    match value {
        Json::Array(values) => values.iter().for_each(|value| collect(value, texts)),
        Json::Object(map) => {
            for (name, value) in map {
                texts.push(name.clone());
                collect(value, texts);
            }
        }
        Json::String(text) => texts.push(text.clone()),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// An error whose message has secrets, like that of its cause.
#[derive(Debug)]
struct Talkative(Option<Box<Self>>);

impl fmt::Display for Talkative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused because of https://u:S3CR3T@host/p?sig=S3CR3T with ")?;
        write!(f, "{:?}", HEADERS.iter().copied().collect::<std::collections::BTreeMap<_, _>>())?;
        write!(f, "{HEADERS:?}")
    }
}

impl Error for Talkative {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.as_deref().map(|cause| cause as _)
    }
}

fn talkative() -> Talkative {
    Talkative(Some(Box::new(Talkative(None))))
}

#[tokio::test]
async fn no_secret_of_an_error_is_stored() {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    let failing = service_fn(|_: Request<()>| ready(Err::<Response<Full<Bytes>>, _>(talkative())));
    let request = of_session(SESSION, Request::new(()));
    let layered = StatusLayer::new(&tracker, AGENT).layer(failing);
    assert!(layered.oneshot(request).await.is_err());
    tracker.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_no_secret(&store, true, "tower");
}

/// A middleware that fails.
struct Fails;

#[async_trait::async_trait]
impl reqwest_middleware::Middleware for Fails {
    async fn handle(
        &self,
        _: reqwest::Request,
        _: &mut http::Extensions,
        _: reqwest_middleware::Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        Err(reqwest_middleware::Error::middleware(talkative()))
    }
}

#[tokio::test]
async fn no_secret_of_an_error_of_a_middleware_and_its_causes_is_stored() {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(StatusMiddleware::new(&tracker, AGENT))
        .with(Fails)
        .build();
    let call = client.get("http://127.0.0.1/?key=S3CR3T").with_extension(id(SESSION)).send();
    assert!(call.await.is_err());
    tracker.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_no_secret(&store, true, "reqwest-middleware");
}

#[tokio::test]
async fn no_secret_of_a_workflows_error_is_stored() {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    let workflow = tracker.workflow(SESSION).start().unwrap();
    workflow
        .scope(
            StatusLayer::new(&tracker, AGENT)
                .layer(service_fn(|_: Request<()>| {
                    ready(Ok::<_, Talkative>(Response::new(Full::<Bytes>::default())))
                }))
                .oneshot(Request::new(())),
        )
        .await
        .unwrap();
    workflow.fail(talkative());
    tracker.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_no_secret(&store, true, "workflow");
}
