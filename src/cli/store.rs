//! Which store a command works on.

use std::path::{Path, PathBuf};

use tower_agent_status::store::{DynamoDbStore, SetupError};

use super::failure::Failure;

/// Where the status is kept.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreArgs {
    /// A file of the embedded store, in place of the table that STATUS_TABLE_NAME,
    /// AWS_REGION and AWS_ENDPOINT_URL_DYNAMODB name
    #[arg(long, value_name = "FILE")]
    embedded: Option<PathBuf>,
}

impl StoreArgs {
    /// The store, which is there.
    pub(crate) async fn open(&self) -> Result<DynamoDbStore, Failure> {
        self.refuse_missing_file()?;
        match &self.embedded {
            Some(file) => Ok(DynamoDbStore::embedded(file)?),
            None => DynamoDbStore::from_env().await.map_err(|error| Self::or_a_file(&error)),
        }
    }

    /// An error if the file is missing. Opened, it would be made: a mistyped name would
    /// give an empty store.
    pub(crate) fn refuse_missing_file(&self) -> Result<(), Failure> {
        match &self.embedded {
            Some(file) if self.is_file_missing() => Err(Failure::Unusable(format!(
                "there is no file {}: name the one that the tracker writes, or make one with \
                 `tower-agent-status demo --embedded {}`",
                file.display(),
                quoted(file),
            ))),
            _ => Ok(()),
        }
    }

    /// Whether opening the store makes a file.
    pub(crate) fn is_file_missing(&self) -> bool {
        self.embedded.as_ref().is_some_and(|file| !file.exists())
    }

    /// The store, which may be yet to be made.
    pub(crate) async fn open_unasked(&self) -> Result<DynamoDbStore, Failure> {
        match &self.embedded {
            Some(file) => Ok(DynamoDbStore::embedded(file)?),
            None => DynamoDbStore::from_env_without_discovery()
                .await
                .map_err(|error| Self::or_a_file(&error)),
        }
    }

    /// Where it is, for people.
    pub(crate) fn name(&self, store: &DynamoDbStore) -> String {
        match &self.embedded {
            Some(file) => format!("the embedded store {}", file.display()),
            None => {
                let config = store.client().config();
                let region = config.region().map_or("no region", |region| region.as_ref());
                format!("DynamoDB table `{}` in {region}", store.table())
            }
        }
    }

    pub(crate) fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// Names the other way, where it is a missing setting that is to blame.
    fn or_a_file(error: &SetupError) -> Failure {
        let text = error.to_string();
        match text.starts_with("STATUS_TABLE_NAME is not set") {
            true => Failure::Unusable(format!(
                "{text}, or name a file of the embedded store by `--embedded FILE`"
            )),
            false => Failure::Unusable(text),
        }
    }
}

/// A path as a shell takes it.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
