//! One stream for all tabs of a browser, and a stream that a proxy holds back.

use std::net::SocketAddr;

use browser_tests::Browser;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::scene::Scene;
use crate::{browser, console_is_quiet};

/// More than the six connections that a browser opens to a host over HTTP/1.1.
const TABS: usize = 8;

const IS_LIVE: &str = "document.getElementById('link').dataset.link === 'live'";

/// What a browser does when a tab is hidden, and when it is shown again.
pub const HIDE: &str =
    "Object.defineProperty(document, 'hidden', { value: true, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'))";
pub const SHOW: &str =
    "delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))";

async fn leads(browser: &Browser) -> bool {
    browser.run("return leading").await.unwrap() == true
}

#[tokio::test]
async fn any_number_of_tabs_are_live() {
    let scene = Scene::start().await;
    scene.fill(TABS as u64).await;
    for tab in 0..TABS {
        scene.put(&format!("tab-{tab}"), &crate::scene::workflow("processing", 20.0, 0.0)).await;
    }
    let Some(browser) = browser("any_number_of_tabs", &scene.page("tab-0")).await else { return };
    let mut windows = vec![browser.window().await.unwrap()];
    for tab in 1..TABS {
        windows.push(browser.open_window(&scene.page(&format!("tab-{tab}"))).await.unwrap());
    }
    let mut leading = Vec::new();
    for window in &windows {
        browser.switch_to(window).await.unwrap();
        assert_eq!(browser.run("return document.hidden").await.unwrap(), false);
        browser.wait_for(IS_LIVE).await.unwrap();
        // The routes have connections left.
        browser.run("window.answered = 0; fetch('api/workflow/recent').then((answer) => { window.answered = answer.status; })").await.unwrap();
        browser.wait_for("window.answered === 200").await.unwrap();
        if leads(&browser).await {
            leading.push(window.clone());
        }
    }
    assert_eq!(leading.len(), 1, "one of the tabs reads for all");

    // Each sees its own workflow end.
    for tab in 0..TABS - 1 {
        scene.finish(&format!("tab-{tab}")).await;
    }
    let ended = "document.getElementById('overall').dataset.state === 'completed'";
    for window in &windows[..TABS - 1] {
        browser.switch_to(window).await.unwrap();
        browser.wait_for(ended).await.unwrap();
        browser.wait_for("document.getElementById('link').dataset.link === 'ended'").await.unwrap();
        console_is_quiet(&browser, &[]).await;
    }

    // Another tab takes over.
    browser.switch_to(&leading[0]).await.unwrap();
    browser.close_window().await.unwrap();
    let left: Vec<_> = windows.iter().filter(|window| **window != leading[0]).collect();
    browser.switch_to(left.last().unwrap()).await.unwrap();
    browser.wait_for(IS_LIVE).await.unwrap();
    scene.finish(&format!("tab-{}", TABS - 1)).await;
    browser.wait_for(ended).await.unwrap();
    // And so does one that is opened later.
    browser.open_window(&scene.page("running")).await.unwrap();
    browser.wait_for(IS_LIVE).await.unwrap();
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn a_hidden_tab_lets_another_one_read() {
    let scene = Scene::start().await;
    scene.fill(2).await;
    let Some(browser) = browser("a_hidden_tab", &scene.page("running")).await else { return };
    let first = browser.window().await.unwrap();
    browser.wait_for(IS_LIVE).await.unwrap();
    assert!(leads(&browser).await);
    browser.run(HIDE).await.unwrap();
    browser.wait_for("!leading").await.unwrap();
    let held = "navigator.locks.query().then(({ held, pending }) => { window.locks = held.length + pending.length; })";
    browser.run(held).await.unwrap();
    browser.wait_for("window.locks === 0").await.unwrap();
    browser.open_window(&scene.page("running")).await.unwrap();
    browser.wait_for(IS_LIVE).await.unwrap();
    assert!(leads(&browser).await);
    // The first is shown again: it has what the second reads.
    scene.finish("running").await;
    browser.switch_to(&first).await.unwrap();
    browser.run(SHOW).await.unwrap();
    browser
        .wait_for("document.getElementById('overall').dataset.state === 'completed'")
        .await
        .unwrap();
    assert!(!leads(&browser).await);
    console_is_quiet(&browser, &[]).await;
}

/// A proxy that passes a response on only once it has ended, unless its length is known.
async fn buffering_proxy(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = client.read_u8().await else { return };
                    head.push(byte);
                }
                let head = String::from_utf8(head).unwrap();
                // One request for each connection.
                let head = head.replace("keep-alive", "close");
                server.write_all(head.as_bytes()).await.unwrap();
                let mut answer = Vec::new();
                let _ = server.read_to_end(&mut answer).await;
                let _ = client.write_all(&answer).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_proxy_that_holds_back_events_is_noticed() {
    let scene = Scene::start().await;
    scene.fill(1).await;
    let proxy = buffering_proxy(scene.address).await;
    let page = format!("http://{proxy}/#running");
    let Some(browser) = browser("a_proxy_that_holds_back_events", &page).await else { return };
    browser.wait_for("document.getElementById('link').dataset.link === 'polled'").await.unwrap();
    let running = "document.getElementById('overall').dataset.state === 'processing'";
    assert_eq!(browser.run(&format!("return {running}")).await.unwrap(), json!(true));
    scene.finish("running").await;
    browser
        .wait_for("document.getElementById('overall').dataset.state === 'completed'")
        .await
        .unwrap();
    console_is_quiet(&browser, &[]).await;
}
