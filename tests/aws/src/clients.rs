//! The clients of the SDK, and what their callers see.

use std::error::Error;
use std::time::Duration;

use aws_sdk_bedrockagentcore as agentcore;
use aws_sdk_bedrockruntime as bedrock;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use bedrock::config::{BehaviorVersion, Credentials, Region};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{StatusLayer, StatusTracker};

/// The agent of every test.
pub const AGENT: &str = "pdfAdapter";
/// The session of every test.
pub const SESSION: &str = "session-corr_abc123";

/// A client for each service, over one HTTP client.
#[derive(Clone, Debug)]
pub struct Clients {
    pub bedrock: bedrock::Client,
    pub agentcore: agentcore::Client,
}

impl Clients {
    pub fn new(url: &str, http_client: &SharedHttpClient, timeouts: &TimeoutConfig) -> Self {
        let bedrock = bedrock_config(url, timeouts).http_client(http_client.clone());
        let agentcore = agentcore::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(credentials())
            .endpoint_url(url)
            .retry_config(retries())
            .timeout_config(timeouts.clone())
            .http_client(http_client.clone());
        Self {
            bedrock: bedrock::Client::from_conf(bedrock.build()),
            agentcore: agentcore::Client::from_conf(agentcore.build()),
        }
    }
}

/// The configuration of a client of Bedrock, without its HTTP client.
pub fn bedrock_config(url: &str, timeouts: &TimeoutConfig) -> bedrock::config::Builder {
    bedrock::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(credentials())
        .endpoint_url(url)
        .retry_config(retries())
        .timeout_config(timeouts.clone())
}

fn credentials() -> Credentials {
    Credentials::new("AKIDEXAMPLE", "secret", None, None, "tests")
}

/// Three attempts, without a pause between them.
fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(1))
}

/// The SDK's own HTTP client, without TLS.
pub fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_http()
}

/// A tracker that writes at once, and its store.
pub fn tracker() -> (StatusTracker, MemoryStore) {
    let store = MemoryStore::new();
    let tracker =
        StatusTracker::builder(store.clone()).batch_delay(Duration::ZERO).start().unwrap();
    (tracker, store)
}

/// The layer of every test.
pub fn layer(tracker: &StatusTracker) -> StatusLayer {
    StatusLayer::new(tracker, AGENT)
}

/// Everything that a caller can learn from an error.
pub fn describe<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> String {
    let mut text = match error {
        SdkError::ConstructionFailure(_) => "construction".to_owned(),
        SdkError::TimeoutError(_) => "time-out".to_owned(),
        SdkError::DispatchFailure(failure) => {
            let connector = failure.as_connector_error().unwrap();
            format!(
                "dispatch, timeout {}, io {}, user {}, other {:?}, connected {}",
                failure.is_timeout(),
                failure.is_io(),
                failure.is_user(),
                failure.as_other(),
                connector.connection_metadata().is_some(),
            )
        }
        SdkError::ResponseError(error) => format!("response {:?}", error.raw()),
        SdkError::ServiceError(error) => format!("service {:?} {:?}", error.err(), error.raw()),
        other => format!("{other:?}"),
    };
    let mut source: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
