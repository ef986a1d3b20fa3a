//! [`Credentials`]: the AWS credentials that sign the calls of runtimes.

use std::env;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials as _, error::CredentialsError};
use tokio::sync::Mutex;

use super::super::failure::Failure;

/// How long before their expiry credentials are replaced.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// The usual AWS credentials, kept until they are about to expire. Clones share them.
#[derive(Clone)]
pub(super) struct Credentials {
    config: Arc<SdkConfig>,
    /// Held while they are loaded, so that calls which come meanwhile share the result.
    loaded: Arc<Mutex<Option<aws_credential_types::Credentials>>>,
}

impl Credentials {
    /// Loads the credentials once, so that missing ones are an error at startup.
    pub(super) async fn load() -> Result<Self, Failure> {
        let config = Arc::new(aws_config::load_defaults(BehaviorVersion::latest()).await);
        let credentials = Self { config, loaded: Arc::default() };
        credentials.get().await.map_err(|error| {
            let why = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string);
            Failure::Unusable(format!(
                "calls to AgentCore runtimes need AWS credentials: {why}; set AWS_ACCESS_KEY_ID \
                 and AWS_SECRET_ACCESS_KEY, a profile, or a role"
            ))
        })?;
        Ok(credentials)
    }

    pub(super) async fn get(&self) -> Result<aws_credential_types::Credentials, CredentialsError> {
        let mut loaded = self.loaded.lock().await;
        if let Some(credentials) = loaded.as_ref().filter(|credentials| is_fresh(credentials)) {
            return Ok(credentials.clone());
        }
        let provider = self
            .config
            .credentials_provider()
            .ok_or_else(|| CredentialsError::not_loaded("no credentials provider is configured"))?;
        let credentials = provider.provide_credentials().await?;
        *loaded = Some(credentials.clone());
        Ok(credentials)
    }

    /// The endpoint of the service, if another one than AWS's is set.
    pub(super) fn endpoint(&self) -> Option<String> {
        let of_service = env::var("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE").ok();
        of_service
            .filter(|url| !url.is_empty())
            .or_else(|| self.config.endpoint_url().map(str::to_owned))
    }
}

fn is_fresh(credentials: &aws_credential_types::Credentials) -> bool {
    credentials.expiry().is_none_or(|expiry| SystemTime::now() + EARLY < expiry)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}
