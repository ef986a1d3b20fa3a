//! A webhook in a program that has several providers of TLS.

use std::time::Duration;

use tower_agent_status::store::MemoryStore;
use tower_agent_status::webhook::Webhook;

#[tokio::test]
async fn a_webhook_starts_beside_other_users_of_tls() {
    // Some client here enables another provider of rustls, and nobody has chosen one for the process.
    let webhook = Webhook::new("https://alerts.example.com/").unwrap();
    let webhook = webhook.resolver(|_| async { Ok(Vec::new()) }).timeout(Duration::from_secs(1));
    drop(webhook.start(MemoryStore::new()).unwrap());
}
