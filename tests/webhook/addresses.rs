//! What a webhook does not connect to, and settings that cannot work.

use std::net::{IpAddr, TcpListener};
use std::time::Duration;

use tower_agent_status::store::MemoryStore;
use tower_agent_status::webhook::Webhook;

use crate::support::{LONG, Receiver, item, put};
use crate::{MINUTE, SECOND};

async fn one_failed() -> MemoryStore {
    let store = MemoryStore::new();
    put(&store, "s", item("failed", MINUTE, SECOND)).await;
    store
}

/// Addresses that a resolver returns.
fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_name_that_leads_to_this_host_is_not_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    for found in ["127.0.0.1", "::ffff:127.0.0.1", "169.254.169.254", "fd00:ec2::254", "10.0.0.1"] {
        let webhook = Webhook::new(&format!("https://alerts.example.com:{port}/")).unwrap();
        let webhook = webhook.resolver(move |host| {
            assert_eq!(host, "alerts.example.com");
            let found = addresses(&[found]);
            async { Ok(found) }
        });
        let webhook = webhook.read_interval(Duration::from_millis(10));
        let webhook = webhook.start(one_failed().await).unwrap();
        let failed = async {
            while webhook.counts().failed == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, failed).await.unwrap();
        let counts = webhook.counts();
        assert_eq!((counts.delivered, counts.pending), (0, 1), "{found}");
        let connected = listener.accept().map(drop).map_err(|error| error.kind());
        assert_eq!(connected, Err(std::io::ErrorKind::WouldBlock), "{found}");
    }
}

#[tokio::test]
async fn of_several_addresses_one_that_is_allowed_is_used() {
    let mut receiver = Receiver::start([]).await;
    let url = format!("http://alerts.example.com:{}/", receiver.address.port());
    let webhook = Webhook::new(&url).unwrap().allow_private_addresses();
    let webhook = webhook
        .resolver(|_| async { Ok(addresses(&["169.254.169.254", "fd00:ec2::254", "127.0.0.1"])) });
    let webhook = webhook.start(one_failed().await).unwrap();
    let received = receiver.next().await;
    assert_eq!(received.session(), "s");
    assert_eq!(received.header("host"), format!("alerts.example.com:{}", receiver.address.port()));
    assert_eq!(webhook.counts().failed, 0);
}

#[tokio::test]
async fn settings_that_cannot_work_are_errors_with_a_remedy() {
    for url in [
        "",
        "alerts",
        "/path",
        "ftp://alerts.example.com",
        "https://",
        "https://user:secret@alerts.example.com",
        "https://alerts.example.com/a secret",
    ] {
        let error = Webhook::new(url).unwrap_err().to_string();
        assert!(error.contains("https://alerts.example.com/workflows"), "{url}: {error}");
        assert!(!error.contains("secret@") && !error.contains("a secret:"), "{url}: {error}");
    }
    for (url, allows_private, part) in [
        ("http://alerts.example.com", false, "--webhook-allow-private"),
        ("https://127.0.0.1/", false, "127.0.0.1 is not public"),
        ("https://[::1]:8443/", false, "::1 is not public"),
        ("https://[::ffff:10.0.0.1]/", false, "--webhook-allow-private"),
        ("https://169.254.169.254/", false, "metadata"),
        ("http://169.254.169.254/", true, "metadata"),
        ("http://[fd00:ec2::254]/", true, "metadata"),
    ] {
        let webhook = Webhook::new(url).unwrap();
        let webhook = if allows_private { webhook.allow_private_addresses() } else { webhook };
        let error = webhook.start(MemoryStore::new()).unwrap_err().to_string();
        assert!(error.contains(part), "{url}: {error}");
    }
    let shown = format!("{:?}", Webhook::new("https://alerts.example.com/T0/s3cret").unwrap());
    assert!(shown.contains("alerts.example.com") && !shown.contains("s3cret"), "{shown}");
}
