//! [`Client`]: the HTTP client that calls the agents.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Scheme;
use http::{Request, Response, Version};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Builder};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use tower_service::Service;

use super::{BoxError, RequestBody, ResponseBody};

/// How long it may take to connect to an agent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an idle connection to an agent is kept. Common servers close one that is idle for five
/// seconds, and a call that is sent at that moment fails.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// How soon a silent connection is asked whether the other side is still there, and how often. An agent
/// may think for minutes, and one whose machine is gone looks the same.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_ALIVE_RETRIES: u32 = 3;

/// How much of a response over HTTP/2 an agent may send before its client reads it.
const STREAM_WINDOW: u32 = 256 << 10;

/// The same for all responses on one connection. Clients that pause share it with all others, so there is
/// room for as many of them as agents allow streams.
const CONNECTION_WINDOW: u32 = 256 * STREAM_WINDOW;

/// The HTTP client that calls a forwarder's agents: hyper-util's client, with TLS by rustls and the
/// system's root certificates.
///
/// It uses the version of HTTP of the request, and so that of the forwarder's client: HTTP/1.1, or
/// HTTP/2. HTTP/2 is spoken with prior knowledge over `http`, and if the agent negotiates it over
/// `https`. The client never follows redirects, and ignores the proxy settings of the environment.
#[derive(Clone, Debug)]
pub struct Client {
    http1: Hyper,
    /// HTTP/2 with prior knowledge, without TLS.
    http2: Hyper,
    /// What the agent chooses during the handshake of TLS.
    negotiated: Hyper,
    response_timeout: Option<Duration>,
}

type Hyper = legacy::Client<HttpsConnector<HttpConnector>, RequestBody>;

impl Client {
    /// Creates a client.
    ///
    /// # Errors
    ///
    /// If the system's root certificates cannot be read.
    pub fn new() -> io::Result<Self> {
        Ok(Self::with(&tls()?.with_native_roots()?.with_no_client_auth()))
    }

    /// Creates a client for agents without TLS. It needs no root certificates, and trusts none.
    pub(super) fn without_tls() -> io::Result<Self> {
        let nobody = rustls::RootCertStore::empty();
        Ok(Self::with(&tls()?.with_root_certificates(nobody).with_no_client_auth()))
    }

    /// Sets how long an agent may take until its response begins. By default there is no limit.
    #[must_use]
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = Some(timeout);
        self
    }

    fn with(config: &ClientConfig) -> Self {
        let connector = || {
            let mut connector = HttpConnector::new();
            // Small chunks must not wait for acknowledgements.
            connector.set_nodelay(true);
            connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
            connector.set_keepalive(Some(KEEP_ALIVE));
            connector.set_keepalive_interval(Some(KEEP_ALIVE_INTERVAL));
            connector.set_keepalive_retries(Some(KEEP_ALIVE_RETRIES));
            connector.enforce_http(false);
            connector
        };
        let https = || hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(config.clone());
        let only_http1 = https().https_or_http().enable_http1().wrap_connector(connector());
        let any = https().https_or_http().enable_all_versions().wrap_connector(connector());
        Self {
            http1: builder().build(only_http1),
            http2: builder().http2_only(true).build(any.clone()),
            negotiated: builder().build(any),
            response_timeout: None,
        }
    }
}

fn tls() -> io::Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)
}

fn builder() -> Builder {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIMEOUT);
    builder
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

impl Service<Request<RequestBody>> for Client {
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        let is_http2 = request.version() == Version::HTTP_2;
        let is_https = request.uri().scheme() == Some(&Scheme::HTTPS);
        let client = match (is_http2, is_https) {
            (false, _) => &self.http1,
            (true, false) => &self.http2,
            (true, true) => {
                // What is negotiated may be HTTP/1.1 all the same.
                *request.version_mut() = Version::HTTP_11;
                &self.negotiated
            }
        };
        let response = client.request(request);
        let timeout = self.response_timeout;
        Box::pin(async move {
            let response = match timeout {
                None => response.await?,
                Some(limit) => tokio::time::timeout(limit, response).await.map_err(|_| {
                    let why = format!("the response did not begin within {limit:?}");
                    io::Error::new(io::ErrorKind::TimedOut, why)
                })??,
            };
            Ok(response.map(ResponseBody::incoming))
        })
    }
}
