//! The client of each agent.
//!
//! ```text
//! runtime session   the AgentCore session that holds the agent's memory
//! StatusLayer       outside everything that can fail, so that it sees how the call ends
//! time limit
//! signature         last, over the request as it is sent
//! hyper client
//! ```

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt as _};
use tower_agent_status::{SessionId, StatusBody, StatusLayer, StatusTracker};
use tower_http::set_header::SetRequestHeaderLayer;

use crate::runtime::RuntimeArn;

/// The service name in a signature.
const SERVICE: &str = "bedrock-agentcore";

const RUNTIME_SESSION_ID: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-agentcore-runtime-session-id");

/// AgentCore rejects shorter runtime session IDs.
const RUNTIME_SESSION_ID_MIN: usize = 33;

/// AgentCore ends calls that take longer.
const TIME_LIMIT: Duration = Duration::from_secs(15 * 60);

pub(crate) type AgentClient =
    BoxCloneSyncService<Request<Full<Bytes>>, Response<StatusBody<Incoming>>, BoxError>;

type Https = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// What the clients of all agents share: connections and credentials.
pub(crate) struct Clients {
    https: Https,
    credentials: SharedCredentialsProvider,
    endpoint: Option<Uri>,
}

impl Clients {
    /// Creates the clients, with credentials from the AWS SDK's default chain.
    pub(crate) async fn new(endpoint: Option<Uri>) -> Result<Self, BoxError> {
        let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let credentials = config.credentials_provider().ok_or("there are no AWS credentials")?;
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()?
            // Plain HTTP is for endpoints on this machine, as in tests.
            .https_or_http()
            .enable_http1()
            .build();
        let https = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { https, credentials, endpoint })
    }

    /// The client of an agent, and the URI to call.
    pub(crate) fn agent(
        &self,
        tracker: &StatusTracker,
        name: &'static str,
        arn: &RuntimeArn,
    ) -> Result<(AgentClient, Uri), BoxError> {
        let signed = Signed {
            inner: self.https.clone(),
            credentials: self.credentials.clone(),
            region: arn.region().to_owned(),
        };
        let client = ServiceBuilder::new()
            .layer(SetRequestHeaderLayer::if_not_present(
                RUNTIME_SESSION_ID,
                move |_: &Request<Full<Bytes>>| runtime_session_id(name),
            ))
            .layer(StatusLayer::new(tracker, name))
            .timeout(TIME_LIMIT)
            .service(signed);
        Ok((BoxCloneSyncService::new(client), arn.url(self.endpoint.as_ref())?))
    }
}

/// The runtime session of an agent in a workflow. It is not the workflow's session: each agent
/// has its own, so that no agent sees another's data.
fn runtime_session_id(agent: &str) -> Option<HeaderValue> {
    let session = SessionId::current()?;
    let id = format!("{session}-{agent}");
    HeaderValue::from_str(&format!("{id:-<RUNTIME_SESSION_ID_MIN$}")).ok()
}

/// Signs each request with AWS Signature Version 4.
#[derive(Clone)]
struct Signed {
    inner: Https,
    credentials: SharedCredentialsProvider,
    region: String,
}

impl Service<Request<Full<Bytes>>> for Signed {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // hyper's client is always ready. The call polls it again once the request is signed.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let request = this.sign(request).await?;
            Ok(this.inner.oneshot(request).await?)
        })
    }
}

impl Signed {
    async fn sign(&self, request: Request<Full<Bytes>>) -> Result<Request<Full<Bytes>>, BoxError> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let authority = parts.uri.authority().ok_or("the request's URL has no host")?;
        parts.headers.insert(http::header::HOST, HeaderValue::from_str(authority.as_str())?);

        let identity = self.credentials.provide_credentials().await?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let headers = parts
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let url = parts.uri.to_string();
        let signable =
            SignableRequest::new(parts.method.as_str(), &url, headers, SignableBody::Bytes(&body))?;
        let (instructions, _) = sign(signable, &params)?.into_parts();
        let mut request = Request::from_parts(parts, Full::from(body));
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}
