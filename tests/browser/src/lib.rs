//! A headless Chromium, driven through its WebDriver.
//!
//! It has only what the tests of one page need, over plain HTTP: a client for the whole
//! protocol would be larger than the tests.

use std::fmt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// An error of the browser or its driver.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// A key in WebDriver's encoding.
pub mod key {
    pub const TAB: &str = "\u{e004}";
    pub const SHIFT: &str = "\u{e008}";
    pub const ENTER: &str = "\u{e007}";
    pub const ESCAPE: &str = "\u{e00c}";
    pub const HOME: &str = "\u{e011}";
    pub const END: &str = "\u{e010}";
    pub const UP: &str = "\u{e013}";
    pub const DOWN: &str = "\u{e015}";
}

/// A browser with one window. Dropping it ends the browser.
#[derive(Debug)]
pub struct Browser {
    client: reqwest::Client,
    session: String,
    driver: Child,
}

impl Browser {
    /// Starts the driver and a browser. Returns `None` if this machine has none.
    pub async fn start() -> Result<Option<Self>, Error> {
        Self::start_with(None).await
    }

    /// The same, with a trace of what each page does. See [`trace`](Self::trace).
    pub async fn start_traced() -> Result<Option<Self>, Error> {
        Self::start_with(Some("devtools.timeline")).await
    }

    async fn start_with(traced: Option<&str>) -> Result<Option<Self>, Error> {
        let spawned = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0)
            .spawn();
        let mut driver = match spawned {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            spawned => spawned?,
        };
        let stdout = driver.stdout.take().ok_or_else(|| Error("no output".into()))?;
        let mut lines = BufReader::new(stdout).lines();
        let port = loop {
            let line = lines.next_line().await?;
            let line = line.ok_or_else(|| Error("chromedriver ended".into()))?;
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
        let mut wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": [
                "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                "--hide-scrollbars", "--force-color-profile=srgb",
            ] },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        if let Some(categories) = traced {
            let wanted = &mut wanted["capabilities"]["alwaysMatch"];
            let categories = json!({ "traceCategories": categories });
            wanted["goog:chromeOptions"]["perfLoggingPrefs"] = categories;
            wanted["goog:loggingPrefs"]["performance"] = json!("ALL");
        }
        let url = format!("http://127.0.0.1:{port}/session");
        let answer = value(client.post(&url).json(&wanted).send().await?).await?;
        let session = format!("{url}/{}", answer["sessionId"].as_str().unwrap_or_default());
        Ok(Some(Self { client, session, driver }))
    }

    /// Opens an address.
    pub async fn open(&self, url: &str) -> Result<(), Error> {
        self.post("url", &json!({ "url": url })).await.map(drop)
    }

    /// Opens another window of the same browser at an address, and switches to it.
    pub async fn open_window(&self, url: &str) -> Result<String, Error> {
        let window = self.post("window/new", &json!({ "type": "window" })).await?;
        let handle = window["handle"].as_str().unwrap_or_default().to_owned();
        self.switch_to(&handle).await?;
        self.open(url).await?;
        Ok(handle)
    }

    /// Switches to a window.
    pub async fn switch_to(&self, handle: &str) -> Result<(), Error> {
        self.post("window", &json!({ "handle": handle })).await.map(drop)
    }

    /// The window that commands go to.
    pub async fn window(&self) -> Result<String, Error> {
        let answer = self.client.get(format!("{}/window", self.session)).send().await?;
        Ok(value(answer).await?.as_str().unwrap_or_default().to_owned())
    }

    /// Closes the window that commands go to.
    pub async fn close_window(&self) -> Result<(), Error> {
        let answer = self.client.delete(format!("{}/window", self.session)).send().await?;
        value(answer).await.map(drop)
    }

    /// Runs a function body in the page and returns its result.
    pub async fn run(&self, script: &str) -> Result<Value, Error> {
        self.post("execute/sync", &json!({ "script": script, "args": [] })).await
    }

    /// Waits until an expression in the page is true. Fails after half a minute.
    pub async fn wait_for(&self, expression: &str) -> Result<(), Error> {
        let end = Instant::now() + Duration::from_secs(30);
        while self.run(&format!("return Boolean({expression})")).await? != json!(true) {
            if Instant::now() > end {
                let page = self.run("return document.body.innerText").await?;
                return Err(Error(format!("{expression} is not so on the page: {page}")));
            }
            sleep(Duration::from_millis(25)).await;
        }
        Ok(())
    }

    /// Presses keys together, then releases them.
    pub async fn press(&self, keys: &[&str]) -> Result<(), Error> {
        let down = keys.iter().map(|key| json!({ "type": "keyDown", "value": key }));
        let up = keys.iter().rev().map(|key| json!({ "type": "keyUp", "value": key }));
        let actions: Vec<_> = down.chain(up).collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.post("actions", &json!({ "actions": [keyboard] })).await.map(drop)
    }

    /// Types a text into the focused element.
    pub async fn type_text(&self, text: &str) -> Result<(), Error> {
        for character in text.chars() {
            self.press(&[character.encode_utf8(&mut [0; 4])]).await?;
        }
        Ok(())
    }

    /// Sets the inner size of the window, and whether the reader prefers a dark scheme.
    pub async fn look(&self, (width, height): (u32, u32), dark: bool) -> Result<(), Error> {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &size).await?;
        let scheme = if dark { "dark" } else { "light" };
        let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", &scheme).await
    }

    /// Saves a screenshot of the window.
    pub async fn screenshot(&self, file: &Path) -> Result<(), Error> {
        let answer = self.client.get(format!("{}/screenshot", self.session)).send().await?;
        let picture = value(answer).await?;
        let picture = base64::engine::general_purpose::STANDARD
            .decode(picture.as_str().unwrap_or_default())
            .map_err(|error| Error(error.to_string()))?;
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(std::fs::write(file, picture)?)
    }

    /// The console's messages since the last call: level and text.
    pub async fn console(&self) -> Result<Vec<String>, Error> {
        let log = self.post("se/log", &json!({ "type": "browser" })).await?;
        let entries = log.as_array().into_iter().flatten();
        Ok(entries.map(|entry| format!("{}: {}", entry["level"], entry["message"])).collect())
    }

    /// The events of the trace since the start, as Chromium's trace viewer has them. Ends it.
    pub async fn trace(&self) -> Result<Vec<Value>, Error> {
        let log = self.post("se/log", &json!({ "type": "performance" })).await?;
        let messages = log
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|entry| serde_json::from_str::<Value>(entry["message"].as_str()?).ok());
        let events = messages.filter(|it| it["message"]["method"] == "Tracing.dataCollected");
        Ok(events.map(|mut event| event["message"]["params"].take()).collect())
    }

    /// Frees what the page does not use any more, so that its memory can be measured.
    pub async fn collect_garbage(&self) -> Result<(), Error> {
        self.devtools("HeapProfiler.collectGarbage", &json!({})).await
    }

    async fn devtools(&self, command: &str, parameters: &Value) -> Result<(), Error> {
        let command = json!({ "cmd": command, "params": parameters });
        self.post("goog/cdp/execute", &command).await.map(drop)
    }

    async fn post(&self, command: &str, parameters: &Value) -> Result<Value, Error> {
        let url = format!("{}/{command}", self.session);
        value(self.client.post(url).json(parameters).send().await?).await
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Killing the driver alone would leave its browser running, which is in its group.
        if let Some(driver) = self.driver.id() {
            let group = format!("-{driver}");
            let _ = std::process::Command::new("kill").args(["-KILL", "--", &group]).status();
        }
    }
}

async fn value(answer: reqwest::Response) -> Result<Value, Error> {
    let mut answer: Value = answer.json().await?;
    let value = answer["value"].take();
    match value.get("error") {
        Some(error) => Err(Error(format!("{error}: {}", value["message"]))),
        None => Ok(value),
    }
}
