//! The option that selects the store.

use std::path::{Path, PathBuf};

use tower_agent_status::store::{DynamoDbStore, SetupError};

use super::failure::Failure;

/// The option `--embedded`.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreArgs {
    /// File of an embedded store, instead of the table configured by STATUS_TABLE_NAME,
    /// AWS_REGION and AWS_ENDPOINT_URL_DYNAMODB
    #[arg(long, value_name = "FILE")]
    embedded: Option<PathBuf>,
}

impl StoreArgs {
    /// Opens an existing store to read it.
    pub(crate) async fn open(&self) -> Result<DynamoDbStore, Failure> {
        self.refuse_missing_file()?;
        match &self.embedded {
            Some(file) => Ok(DynamoDbStore::embedded_read_only(file)?),
            None => self.open_to_write().await,
        }
    }

    /// Opens an existing store.
    pub(crate) async fn open_to_write(&self) -> Result<DynamoDbStore, Failure> {
        self.refuse_missing_file()?;
        match &self.embedded {
            Some(file) => Ok(DynamoDbStore::embedded(file)?),
            None => DynamoDbStore::from_env().await.map_err(|error| Self::suggest_embedded(&error)),
        }
    }

    /// Returns an error if the file does not exist. Opening would create it, so a mistyped name
    /// would show an empty store.
    pub(crate) fn refuse_missing_file(&self) -> Result<(), Failure> {
        match &self.embedded {
            Some(file) if self.is_file_missing() => Err(Failure::Unusable(format!(
                "there is no file {}: use the one that your tracker writes, or create one with \
                 `tower-agent-status demo --embedded {}`",
                file.display(),
                quoted(file),
            ))),
            _ => Ok(()),
        }
    }

    /// Whether opening the store would create a file.
    pub(crate) fn is_file_missing(&self) -> bool {
        self.embedded.as_ref().is_some_and(|file| !file.exists())
    }

    /// Opens a store whose table may not exist yet.
    pub(crate) async fn open_without_discovery(&self) -> Result<DynamoDbStore, Failure> {
        match &self.embedded {
            Some(file) => Ok(DynamoDbStore::embedded(file)?),
            None => DynamoDbStore::from_env_without_discovery()
                .await
                .map_err(|error| Self::suggest_embedded(&error)),
        }
    }

    /// Opens a store to read it, whose table may not exist yet.
    pub(crate) async fn open_to_check(&self) -> Result<DynamoDbStore, Failure> {
        match &self.embedded {
            Some(_) => self.open().await,
            None => self.open_without_discovery().await,
        }
    }

    /// A command on this store, for messages.
    pub(crate) fn command(&self, name: &str) -> String {
        match &self.embedded {
            Some(file) => format!("tower-agent-status {name} --embedded {}", quoted(file)),
            None => format!("tower-agent-status {name}"),
        }
    }

    /// Describes the store in messages.
    pub(crate) fn name(&self, store: &DynamoDbStore) -> String {
        match &self.embedded {
            Some(file) => format!("the embedded store {}", file.display()),
            None => {
                let config = store.client().config();
                let region = config.region().map_or("no region", |region| region.as_ref());
                format!("DynamoDB table `{}` in {region}", store.table_name())
            }
        }
    }

    pub(crate) fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// Mentions `--embedded` if the table's name is not set.
    fn suggest_embedded(error: &SetupError) -> Failure {
        let text = error.to_string();
        match text.starts_with("STATUS_TABLE_NAME is not set") {
            true => Failure::Unusable(format!(
                "{text}, or use an embedded store with `--embedded FILE`"
            )),
            false => Failure::Unusable(text),
        }
    }
}

/// Quotes a path for a shell.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
