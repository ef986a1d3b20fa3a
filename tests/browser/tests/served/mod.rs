//! Where the page is served: below a path, and to a laptop that sleeps.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::scene::Scene;
use crate::{browser, console_is_quiet};

const IS_LIVE: &str = "document.getElementById('link').dataset.link === 'live'";
const IS_COMPLETED: &str = "document.getElementById('overall').dataset.state === 'completed'";

const NOT_FOUND: &[u8] =
    b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A reverse proxy that serves the portal below `/team/status` and nothing else.
async fn below_a_path(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = client.read_u8().await else { return };
                    head.push(byte);
                }
                let head = String::from_utf8(head).unwrap().replace("keep-alive", "close");
                let below = head.strip_prefix("GET /team/status");
                let Some(rest) = below.filter(|rest| rest.starts_with(['/', '?', ' '])) else {
                    let _ = client.write_all(NOT_FOUND).await;
                    return;
                };
                let rest = rest.strip_prefix('/').unwrap_or(rest);
                let mut server = TcpStream::connect(to).await.unwrap();
                server.write_all(format!("GET /{rest}").as_bytes()).await.unwrap();
                let _ = tokio::io::copy(&mut server, &mut client).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn it_works_below_a_path() {
    let scene = Scene::start().await;
    scene.fill(2).await;
    let proxy = below_a_path(scene.address).await;
    // With and without a slash at the end.
    for path in ["/team/status/", "/team/status"] {
        let page = format!("http://{proxy}{path}?state=completed#board");
        let Some(browser) = browser("it_works_below_a_path", &page).await else { return };
        browser.wait_for(IS_LIVE).await.unwrap();
        browser.wait_for("overview && order.length === 6").await.unwrap();
        browser
            .run("document.querySelector('.count-tile[data-filter=all]').click()")
            .await
            .unwrap();
        browser.run("location.hash = '#running'").await.unwrap();
        browser.wait_for("shown?.workflow.sessionId === 'running'").await.unwrap();
        let at = browser
            .run("return location.pathname + location.search + location.hash")
            .await
            .unwrap();
        assert_eq!(at, format!("{path}#running"));
        // A missing icon of the proxy's own is not ours.
        console_is_quiet(&browser, &["favicon"]).await;
    }
}

/// A proxy whose connections can be cut off without an end, as those of a laptop that sleeps.
struct Sleeper {
    address: SocketAddr,
    is_asleep: Arc<AtomicBool>,
}

impl Sleeper {
    async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_asleep = Arc::new(AtomicBool::new(false));
        let sleeps = Arc::clone(&is_asleep);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A connection of before the sleep stays silent after it.
                let was_asleep = sleeps.load(Ordering::SeqCst);
                let sleeps = Arc::clone(&sleeps);
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) =
                    TcpStream::connect(to).await.unwrap().into_split();
                tokio::spawn(
                    async move { tokio::io::copy(&mut from_client, &mut to_server).await },
                );
                tokio::spawn(async move {
                    let mut bytes = [0; 8_192];
                    while let Ok(size @ 1..) = from_server.read(&mut bytes).await {
                        if sleeps.load(Ordering::SeqCst) && !was_asleep {
                            continue;
                        }
                        if to_client.write_all(&bytes[..size]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, is_asleep }
    }
}

#[tokio::test]
async fn a_laptop_that_slept_reconnects_at_once() {
    let scene = Scene::start().await;
    scene.fill(1).await;
    let proxy = Sleeper::start(scene.address).await;
    let page = format!("http://{}/#running", proxy.address);
    let Some(browser) = browser("a_laptop_that_slept", &page).await else { return };
    browser.wait_for(IS_LIVE).await.unwrap();
    browser.wait_for("shown").await.unwrap();
    // Only new connections work, and it ends meanwhile.
    proxy.is_asleep.store(true, Ordering::SeqCst);
    scene.finish("running").await;
    // The clock jumps.
    browser.run("const before = Date.now; Date.now = () => before() + 3600000").await.unwrap();
    let start = std::time::Instant::now();
    browser.wait_for(IS_COMPLETED).await.unwrap();
    // Not after the 40 s in which a silent connection is given up.
    let after = start.elapsed().as_secs_f64();
    crate::scene::print(&format!("a laptop that slept is up to date after {after:.1} s"));
    console_is_quiet(&browser, &[]).await;
}
