//! Makes the pictures of the README from a run of the example:
//! `cargo run --manifest-path tests/browser/Cargo.toml --bin pictures`.
//!
//! Needs Chromium with its driver, and `script` for a terminal.

mod terminal;

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use browser_tests::Browser;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use terminal::{Terminal, WIDTH};

type Error = Box<dyn std::error::Error>;

/// Earlier workflows, so that the list is not empty.
const BEFORE: [&str; 9] = [
    "matched",
    "review",
    "matched",
    "error-in-200",
    "matched",
    "review",
    "agent-error",
    "matched",
    "abandoned",
];

const COMMAND: &str = "cargo run --example orchestrator -- --portal";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pictures = root.join("docs");
    let store = std::env::temp_dir().join(format!("pictures-{}.db", std::process::id()));
    let store = format!("--store=embedded:{}", store.display());
    let example = ["run", "--quiet", "--example", "orchestrator", "--"];
    for (n, scenario) in BEFORE.iter().enumerate() {
        let document = format!("FAB_{}", 26_933_650 + n);
        let run = Command::new("cargo")
            .args(example)
            .args([&document, "BANK", "--json", "--pace=0.7", &store, "--scenario", scenario])
            .current_dir(&root)
            .stdout(Stdio::null())
            .status();
        if !run.await?.success() {
            return Err(format!("the example failed in the scenario {scenario}").into());
        }
    }
    // A slow one, in a terminal.
    let run = format!(
        "stty cols {WIDTH} rows 40; cargo {} --portal --pace=3 --scenario=review {store}",
        example.join(" ")
    );
    let mut live = Command::new("script")
        .args(["--quiet", "--flush", "--return", "--command", &run, "/dev/null"])
        .current_dir(&root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let screen = Arc::new(Mutex::new(Terminal::new()));
    let mut output = live.stdout.take().ok_or("no output")?;
    let written = Arc::clone(&screen);
    tokio::spawn(async move {
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(size @ 1..) = output.read(&mut piece).await {
            bytes.extend_from_slice(&piece[..size]);
            // A chunk may end within a character.
            let whole = match std::str::from_utf8(&bytes) {
                Ok(_) => bytes.len(),
                Err(error) => error.valid_up_to(),
            };
            let text: Vec<u8> = bytes.drain(..whole).collect();
            let text = String::from_utf8_lossy(&text);
            written.lock().unwrap_or_else(PoisonError::into_inner).write(&text);
        }
    });
    let shown = || screen.lock().unwrap_or_else(PoisonError::into_inner);
    let url = loop {
        if let Some((_, rest)) = shown().text().split_once("The page is at ")
            && let Some((url, _)) = rest.split_once('\n')
        {
            break url.trim().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let browser = Browser::start().await?.ok_or("there is no chromedriver")?;
    browser.look((1280, 800), false).await?;
    browser.open(&url).await?;
    let matching = "document.querySelectorAll('#steps li')[2]?.dataset.state === 'in-progress'";
    browser.wait_for(matching).await?;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    browser.screenshot(&pictures.join("portal.png")).await?;
    browser.open(url.split('#').next().unwrap_or(&url)).await?;
    browser.wait_for("document.querySelector('#lanes li')").await?;
    browser.wait_for("document.querySelectorAll('#problems li').length > 1").await?;
    browser.screenshot(&pictures.join("board.png")).await?;
    let page = shown().page(COMMAND);
    let page = base64::engine::general_purpose::STANDARD.encode(page);
    browser.look((1000, 240), true).await?;
    browser.open(&format!("data:text/html;base64,{page}")).await?;
    browser.screenshot(&pictures.join("terminal.png")).await?;
    // Ctrl-C, once the workflow has ended.
    while !shown().text().contains("until Ctrl-C") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    live.stdin.take().ok_or("no input")?.write_all(b"\x03").await?;
    live.wait().await?;
    Ok(())
}
