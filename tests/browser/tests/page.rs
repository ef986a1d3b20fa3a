//! The portal's page, as a browser shows it.
#![allow(clippy::unwrap_used, dead_code, reason = "helpers of tests fail like tests")]

mod scene;

use browser_tests::Browser;
use scene::{Scene, artefact};

const DESKTOP: (u32, u32) = (1280, 800);
const PHONE: (u32, u32) = (390, 844);

/// A browser, or a line that says that there is none.
async fn browser(test: &str) -> Option<Browser> {
    let browser = Browser::start().await.unwrap();
    if browser.is_none() {
        scene::say(&format!("{test}: skipped, no chromedriver (apt-get install chromium-driver)"));
    }
    browser
}

#[tokio::test]
async fn it_looks_as_its_pictures() {
    let Some(browser) = browser("it_looks_as_its_pictures").await else { return };
    let scene = Scene::start().await;
    scene.fill(40).await;
    for (name, size) in [("1280x800", DESKTOP), ("390x844", PHONE)] {
        for (scheme, dark) in [("light", false), ("dark", true)] {
            browser.look(size, dark).await.unwrap();
            for session in ["running", "failed", "stalled", "completed"] {
                browser.open(&scene.page(session)).await.unwrap();
                browser.wait_for("document.querySelector('#steps li')").await.unwrap();
                browser.wait_for("document.querySelectorAll('#list li').length === 44").await.unwrap();
                browser.screenshot(&artefact(&format!("{session}-{name}-{scheme}"))).await.unwrap();
            }
            browser.open(&scene.page("")).await.unwrap();
            browser.wait_for("document.querySelectorAll('#list li').length === 44").await.unwrap();
            browser.screenshot(&artefact(&format!("list-{name}-{scheme}"))).await.unwrap();
        }
    }
    assert_eq!(browser.console().await.unwrap(), Vec::<String>::new());
}
