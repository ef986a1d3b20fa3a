//! The same tests against an endpoint: an emulator, or DynamoDB itself.

use std::io::Write as _;
use std::sync::Once;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use tower_agent_status::store::DynamoDbStore;

/// A table of its own at the endpoint in `STATUS_TEST_ENDPOINT`.
pub(crate) struct Endpoint {
    store: DynamoDbStore,
}

impl Endpoint {
    /// `None`, with a printed line, if no endpoint is set.
    ///
    /// Credentials and region come from the environment if it has any.
    pub(crate) async fn from_env(case: &str, shards: u16) -> Option<Self> {
        let Ok(url) = std::env::var("STATUS_TEST_ENDPOINT") else {
            static SAID: Once = Once::new();
            // Not by a macro, whose output is shown of failed tests only.
            SAID.call_once(|| {
                let _ = writeln!(
                    std::io::stderr(),
                    "skipped: the contract over HTTP, since STATUS_TEST_ENDPOINT is not set"
                );
            });
            return None;
        };
        let mut config = aws_config::defaults(BehaviorVersion::v2026_01_12()).endpoint_url(url);
        if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
            let any = Credentials::new("test", "test", None, None, "test");
            config = config.credentials_provider(any).region(Region::from_static("us-east-1"));
        }
        let client = Client::new(&config.load().await);
        let table = format!("store-test-{case}-{shards}-{}", std::process::id());
        let mut store = DynamoDbStore::new(client.clone(), &*table).recent_shards(shards);
        if shards > 1 {
            store = store.search_attribute("documentId");
        }
        store.create_table().await.unwrap();
        // It finds out by itself.
        let store = DynamoDbStore::new(client, table);
        Some(Self { store })
    }

    pub(crate) fn store(&self) -> &DynamoDbStore {
        &self.store
    }

    pub(crate) async fn close(self) {
        self.store
            .client()
            .delete_table()
            .table_name(self.store.table_name())
            .send()
            .await
            .unwrap();
    }
}
