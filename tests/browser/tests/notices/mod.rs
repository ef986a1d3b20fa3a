//! Notifications of the browser, and the tab's title and icon.

use browser_tests::Browser;
use serde_json::{Value, json};

use crate::scene::{self, Scene, ago};
use crate::sharing::{HIDE, SHOW};
use crate::{browser, console_is_quiet};

/// Records the notifications that the page shows.
const RECORD: &str = "
    window.shownNotices = [];
    window.Notification = class extends EventTarget {
      static permission = 'default';
      static async requestPermission() { window.asked = (window.asked ?? 0) + 1; return Notification.permission = 'granted'; }
      constructor(title, { body, tag }) { super(); window.shownNotices.push([title, body]); window.lastNotice = this; this.tag = tag; }
      close() {}
    };";

const PRESS: &str = "document.getElementById('notify').click()";

async fn shown(browser: &Browser) -> Value {
    browser.run("return window.shownNotices").await.unwrap()
}

fn failed(error: &str) -> Value {
    let mut item = scene::workflow("failed", 14.0, 0.0);
    item["tradeMatching"]["error"] = json!(error);
    item
}

#[tokio::test]
async fn failures_are_told_once_asked_for_even_if_all_tabs_are_hidden() {
    let scene = Scene::start().await;
    scene.fill(3).await;
    let Some(browser) = browser("failures_are_told", &scene.page("board")).await else { return };
    browser.run(RECORD).await.unwrap();
    browser.wait_for("overview").await.unwrap();
    // Off until somebody asks for them.
    scene.put("one", &failed("not told")).await;
    browser.wait_for("problems.has('one')").await.unwrap();
    assert_eq!(shown(&browser).await, json!([]));
    assert_eq!(browser.run("return window.asked ?? 0").await.unwrap(), 0);
    browser.run(PRESS).await.unwrap();
    browser.wait_for("notices && window.asked === 1 && known").await.unwrap();
    assert_eq!(shown(&browser).await, json!([]), "what has failed before is no news");
    scene.put("two", &failed("<b>no capacity</b>")).await;
    browser.wait_for("window.shownNotices.length === 1").await.unwrap();
    assert_eq!(
        shown(&browser).await[0],
        json!(["two failed", "tradeMatching: <b>no capacity</b>"])
    );
    // With a workflow in view, too.
    browser.run("location.hash = '#running'").await.unwrap();
    browser.wait_for("shown?.workflow.sessionId === 'running'").await.unwrap();
    scene.put("three", &failed("again")).await;
    browser.wait_for("window.shownNotices.length === 2").await.unwrap();

    // All tabs are hidden.
    browser.run(HIDE).await.unwrap();
    browser.wait_for("leading && read.stream === 'live'").await.unwrap();
    scene.put("four", &failed("while hidden")).await;
    browser.wait_for("window.shownNotices.length === 3").await.unwrap();
    assert_eq!(shown(&browser).await[2][0], "four failed");
    // Another tab that is shown takes over the reading, and the telling.
    let first = browser.window().await.unwrap();
    let second = browser.open_window(&scene.page("board")).await.unwrap();
    browser.run(RECORD).await.unwrap();
    browser.run("Notification.permission = 'granted'; setNotices(true)").await.unwrap();
    browser.wait_for("leading && known").await.unwrap();
    scene.put("five", &failed("in the other tab")).await;
    browser.wait_for("window.shownNotices.length === 1").await.unwrap();
    browser.close_window().await.unwrap();
    assert_ne!(first, second);
    browser.switch_to(&first).await.unwrap();
    assert_eq!(shown(&browser).await.as_array().unwrap().len(), 3, "one for all tabs");
    browser.wait_for("leading").await.unwrap();
    browser.run(SHOW).await.unwrap();
    browser
        .wait_for("leading && document.getElementById('link').dataset.link === 'live'")
        .await
        .unwrap();
    // Many at once are one notification.
    for n in 0..6 {
        scene.put(&format!("many-{n}"), &failed("all of them")).await;
    }
    browser.wait_for("window.shownNotices.length > 3").await.unwrap();
    browser
        .wait_for("[...known.keys()].filter((key) => key.startsWith('many-')).length === 6")
        .await
        .unwrap();
    let told = shown(&browser).await;
    assert!(told.as_array().unwrap().len() <= 7, "{told}");
    // A click leads to the workflow.
    scene.put("last", &failed("here")).await;
    browser.wait_for("window.shownNotices.at(-1)[0] === 'last failed'").await.unwrap();
    browser.run("window.lastNotice.dispatchEvent(new Event('click'))").await.unwrap();
    browser.wait_for("shown?.workflow.sessionId === 'last'").await.unwrap();
    // They are turned off again.
    browser.run(PRESS).await.unwrap();
    assert_eq!(
        browser.run("return document.getElementById('notify').ariaPressed").await.unwrap(),
        "false"
    );
    browser.run(HIDE).await.unwrap();
    browser.wait_for("!leading && !place").await.unwrap();
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn a_browser_that_allows_none_says_so() {
    let scene = Scene::start().await;
    scene.fill(0).await;
    let Some(browser) = browser("a_browser_that_allows_none", &scene.page("board")).await else {
        return;
    };
    browser.run("window.Notification = { permission: 'default', requestPermission: async () => 'denied' }").await.unwrap();
    browser.run(PRESS).await.unwrap();
    browser.wait_for("document.getElementById('notify-trouble').textContent.startsWith('The browser blocks notifications')").await.unwrap();
    browser.run("delete window.Notification").await.unwrap();
    browser.run(PRESS).await.unwrap();
    browser.wait_for("document.getElementById('notify-trouble').textContent.startsWith('This browser does not support notifications')").await.unwrap();
    assert_eq!(browser.run("return notices").await.unwrap(), false);
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn the_title_and_the_icon_tell_what_runs_and_what_failed() {
    let scene = Scene::start().await;
    let live = |n: u32| json!({ "overallStatus": "processing", "createdAt": ago(f64::from(n)), "lastUpdated": ago(0.0), "revision": 1 });
    for n in 0..3 {
        scene.put(&format!("live-{n}"), &live(n)).await;
    }
    let Some(browser) = browser("the_title_and_the_icon", &scene.page("board")).await else {
        return;
    };
    let icon = "decodeURIComponent(document.getElementById('icon').href)";
    browser.wait_for("document.title === '3 running · Agent status'").await.unwrap();
    browser
        .wait_for(&format!("{icon}.includes('>3<') && !{icon}.includes('circle')"))
        .await
        .unwrap();
    scene.put("live-0", &failed("it failed")).await;
    browser.wait_for("document.title === '2 running, 1 failed · Agent status'").await.unwrap();
    browser
        .wait_for(&format!("{icon}.includes('>2<') && {icon}.includes('circle')"))
        .await
        .unwrap();
    scene.put("stalled", &scene::workflow("stalled", 224.0, 190.0)).await;
    browser
        .wait_for("document.title === '2 running, 1 failed, 1 stalled · Agent status'")
        .await
        .unwrap();
    browser.run("location.hash = '#live-0'").await.unwrap();
    browser.wait_for("document.title === '✗ live-0 · Agent status'").await.unwrap();
    browser.wait_for(&format!("{icon}.includes('#bd2c26')")).await.unwrap();
    // The browser can draw it.
    browser.run("const image = new Image(); image.onload = () => { window.drawn = image.width; }; image.src = document.getElementById('icon').href").await.unwrap();
    browser.wait_for("window.drawn > 0").await.unwrap();
    console_is_quiet(&browser, &[]).await;
}
