//! Barriers for people who use a screen reader or a keyboard, as far as axe-core finds them.

use std::path::Path;

use serde_json::{Value, json};

use crate::scene::{Scene, print};
use crate::{DESKTOP, PHONE, board, browser, console_is_quiet};

/// axe-core from npm, if it is installed: `npm install --prefix tests/browser`.
fn axe() -> Option<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(file).ok()
}

#[tokio::test]
async fn axe_finds_none() {
    let Some(axe) = axe() else {
        print("axe_finds_none: skipped, no axe-core (npm install --prefix tests/browser)");
        return;
    };
    let scene = Scene::start().await;
    board::fill(&scene, 40, 6).await;
    scene.fill(2).await;
    let Some(browser) = browser("axe_finds_none", &scene.page("board")).await else { return };
    for (size, dark) in [(DESKTOP, false), (DESKTOP, true), (PHONE, false)] {
        browser.look(size, dark).await.unwrap();
        for (session, is_shown) in [
            ("board", "view === 'board' && lanes.size === 7"),
            ("running", "shown?.workflow.sessionId === 'running'"),
            ("failed", "shown?.workflow.sessionId === 'failed'"),
            ("stalled", "shown?.workflow.sessionId === 'stalled'"),
            ("", "order.length > 0"),
            ("", "order.length > 0 && ($('search').value = 'FAB', setSearch('FAB'), true)"),
            (
                "",
                "order.length > 0 && ($('search').value = '', setSearch(''), $('help').open || $('help').showModal(), true)",
            ),
        ] {
            browser.open(&scene.page(session)).await.unwrap();
            browser.wait_for(is_shown).await.unwrap();
            browser.run(&format!("{axe}; window.barriers = null; axe.run().then((result) => {{ window.barriers = result; }})")).await.unwrap();
            browser.wait_for("window.barriers").await.unwrap();
            let found = "return window.barriers.violations.map(({ id, nodes }) => [id, ...nodes.slice(0, 3).map((node) => node.html.slice(0, 160) + ' | ' + node.failureSummary)])";
            let found: Value = browser.run(found).await.unwrap();
            assert_eq!(found, json!([]), "{session} at {size:?}");
        }
        browser.run("$('help').close()").await.unwrap();
    }
    console_is_quiet(&browser, &[]).await;
}
