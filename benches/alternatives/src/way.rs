//! The ways to call agents, with or without recording what they do.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use aws_sdk_bedrockruntime as bedrock;
use aws_smithy_runtime_api::client::http::{HttpClient, SharedHttpClient};
use bedrock::config::{BehaviorVersion, Credentials, Region};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use loopback::openai::TOKENS;
use loopback::process::Process;
use loopback::{Result, nginx};
use tower::{BoxError, Service, service_fn};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{Layer as _, StatusLayer, StatusTracker};

use crate::by_hand::{self, Table};
use crate::client::{AGENTS, Bedrock, Http};
use crate::interceptor::Recording;
use crate::store::SlowStore;
use crate::transport::{Transport, sockets};
use crate::workflows::{Recorded, Records, Store, Workflows};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// hyper's client alone.
    Bare,
    ByHand,
    Nginx,
    /// The layer around hyper's client, with a store in memory.
    Layer,
    /// The same, with a store that takes 5 ms.
    LayerSlowStore,
    /// A client of the AWS SDK alone.
    Sdk,
    Interceptor,
    /// The layer in a client of the AWS SDK, with a store that takes 5 ms.
    SdkLayer,
}

pub const KINDS: [Kind; 8] = [
    Kind::Bare,
    Kind::ByHand,
    Kind::Nginx,
    Kind::Layer,
    Kind::LayerSlowStore,
    Kind::Sdk,
    Kind::Interceptor,
    Kind::SdkLayer,
];

impl Kind {
    pub fn from_name(name: &str) -> Result<Self> {
        let kind = KINDS.into_iter().find(|kind| format!("{kind:?}") == name);
        kind.ok_or_else(|| format!("there is no way `{name}`").into())
    }

    /// What the way is compared with.
    pub fn base(self) -> Self {
        match self {
            Self::Sdk | Self::Interceptor | Self::SdkLayer => Self::Sdk,
            _ => Self::Bare,
        }
    }

    /// What the way records of a workflow of whole responses, or of streams: its tokens, if anything.
    pub fn recorded_tokens(self, is_stream: bool) -> Option<[u64; 3]> {
        match self {
            Self::Bare | Self::Nginx | Self::Sdk => None,
            Self::Interceptor if is_stream => Some([0; 3]),
            _ => Some(TOKENS.map(|tokens| tokens * AGENTS.len() as u64)),
        }
    }
}

pub struct Way {
    pub kind: Kind,
    pub workflows: Box<dyn Workflows>,
    /// What is between the client and the agent.
    pub proxy: Option<Process>,
}

impl Way {
    pub async fn start(kind: Kind, agent: SocketAddr) -> Result<Self> {
        let (proxy, address) = match kind {
            Kind::Nginx => {
                let (proxy, address) = nginx::start(agent).await?;
                (Some(proxy), address)
            }
            _ => (None, agent),
        };
        let workflows = workflows(kind, sockets(), format!("http://{address}"), BATCH_DELAY)?;
        Ok(Self { kind, workflows, proxy })
    }
}

/// How long a change waits for others to share its write, by default.
pub const BATCH_DELAY: Duration = Duration::from_millis(5);

/// Makes the clients of a way, and what it records to.
pub fn workflows<S, B>(
    kind: Kind,
    transport: Transport<S>,
    url: String,
    batch_delay: Duration,
) -> Result<Box<dyn Workflows>>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + Sync + 'static,
    S::Error: Display,
    B: Body<Data = Bytes, Error: Into<BoxError> + Display> + Send + 'static,
{
    let records = records(kind, batch_delay)?;
    Ok(match kind.base() {
        Kind::Sdk => bedrock_workflows(records, &transport.sdk, &url),
        _ => http_workflows(records, transport.http, url),
    })
}

fn records(kind: Kind, batch_delay: Duration) -> Result<Records> {
    Ok(match kind {
        Kind::Bare | Kind::Nginx | Kind::Sdk => Records::Nowhere,
        Kind::ByHand | Kind::Interceptor => Records::Map(Table::default()),
        Kind::Layer => {
            let store = MemoryStore::new();
            let tracker = StatusTracker::builder(store.clone()).batch_delay(batch_delay).start()?;
            Records::Store(tracker, Store::Memory(store))
        }
        Kind::LayerSlowStore | Kind::SdkLayer => {
            let store = SlowStore::default();
            let tracker = StatusTracker::builder(store.clone()).batch_delay(batch_delay).start()?;
            Records::Store(tracker, Store::Slow(store))
        }
    })
}

fn http_workflows<S, B>(records: Records, service: S, url: String) -> Box<dyn Workflows>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + Sync + 'static,
    S::Error: Display,
    B: Body<Data = Bytes, Error: Into<BoxError> + Display> + Send + 'static,
{
    match &records {
        Records::Nowhere => {
            let services = AGENTS.map(|_| service.clone());
            Box::new(Recorded { client: Http { services, url }, records })
        }
        Records::Map(table) => {
            let services = AGENTS.map(|agent| {
                let (service, table) = (service.clone(), table.clone());
                service_fn(move |request| {
                    by_hand::call(service.clone(), table.clone(), agent, request)
                })
            });
            Box::new(Recorded { client: Http { services, url }, records })
        }
        Records::Store(tracker, _) => {
            let layered = |agent| StatusLayer::new(tracker, agent).layer(service.clone());
            let services = AGENTS.map(layered);
            Box::new(Recorded { client: Http { services, url }, records })
        }
    }
}

fn bedrock_workflows(
    records: Records,
    http_client: &SharedHttpClient,
    url: &str,
) -> Box<dyn Workflows> {
    let clients = AGENTS.map(|agent| {
        let http_client = http_client.clone();
        let config = match &records {
            Records::Nowhere => config(url, http_client),
            Records::Map(table) => {
                config(url, http_client).interceptor(Recording { table: table.clone(), agent })
            }
            Records::Store(tracker, _) => {
                config(url, StatusLayer::new(tracker, agent).layer(http_client))
            }
        };
        bedrock::Client::from_conf(config.build())
    });
    Box::new(Recorded { client: Bedrock(clients), records })
}

/// The configuration of a client of Bedrock, over this HTTP client.
fn config(url: &str, http_client: impl HttpClient + 'static) -> bedrock::config::Builder {
    bedrock::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("AKIDEXAMPLE", "secret", None, None, "bench"))
        .endpoint_url(url)
        .http_client(http_client)
}
