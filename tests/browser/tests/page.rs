//! The portal's page as a browser shows it.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod around;
mod barriers;
mod board;
mod costs;
mod notices;
#[path = "../../older_items/mod.rs"]
mod older_items;
mod scene;
mod served;
mod sharing;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use browser_tests::{Browser, key};
use older_items::older_items;
use scene::{AGENTS, Scene, artefact};
use serde_json::{Value, json};
use tower_agent_status::status::{AgentReport, AgentState, TokenUsage};
use tower_agent_status::{Agent, StatusTracker};

const DESKTOP: (u32, u32) = (1280, 800);
const PHONE: (u32, u32) = (390, 844);
const NARROWEST: (u32, u32) = (360, 640);

/// The delay that the page promises.
const A_SECOND: Duration = Duration::from_secs(1);

/// A browser at an address. Prints a line if this machine has none.
async fn browser(test: &str, url: &str) -> Option<Browser> {
    let browser = Browser::start().await.unwrap();
    let Some(browser) = browser else {
        scene::print(&format!(
            "{test}: skipped, no chromedriver (apt-get install chromium-driver)"
        ));
        return None;
    };
    browser.look(DESKTOP, false).await.unwrap();
    browser.open(url).await.unwrap();
    Some(browser)
}

/// Asserts that the console has only messages with this prefix.
async fn console_is_quiet(browser: &Browser, but: &[&str]) {
    let lines = browser.console().await.unwrap();
    let lines: Vec<_> =
        lines.iter().filter(|line| !but.iter().any(|part| line.contains(part))).collect();
    assert!(lines.is_empty(), "{lines:#?}");
}

#[tokio::test]
async fn each_state_appears_within_a_second() {
    let scene = Scene::start().await;
    let Some(browser) = browser("each_state_appears_within_a_second", &scene.page("")).await else {
        return;
    };
    browser.wait_for("document.getElementById('welcome').hidden === false").await.unwrap();
    // Records when each text appears for the first time.
    browser
        .run(
            "window.seen = {};
             new MutationObserver(() => {
               for (const step of document.querySelectorAll('#steps > li')) {
                 const name = step.querySelector('.agent').textContent;
                 window.seen[name + ' ' + step.dataset.state] ??= Date.now();
               }
               const overall = document.querySelector('#overall').dataset.state;
               window.seen['workflow ' + overall] ??= Date.now();
             }).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });",
        )
        .await
        .unwrap();
    browser.open(&scene.page("session-live")).await.unwrap();
    browser.wait_for("document.querySelectorAll('#steps li').length === 4").await.unwrap();

    let agents = AGENTS.map(|(name, text)| Agent::new(name).pending(text));
    let tracker = agents
        .into_iter()
        .fold(StatusTracker::builder(scene.store.clone()), |builder, agent| builder.agent(agent))
        .start()
        .unwrap();
    let workflow = tracker.workflow("session-live").start().unwrap();
    let mut late = Vec::new();
    let mut check = async |what: String| {
        tracker.flush().await.unwrap();
        let saved = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        browser.wait_for(&format!("window.seen['{what}']")).await.unwrap();
        let seen = browser.run(&format!("return window.seen['{what}']")).await.unwrap();
        let seen = Duration::from_millis(seen.as_u64().unwrap());
        late.push((seen.saturating_sub(saved), what));
    };
    check("workflow initializing".into()).await;
    for (name, _) in &AGENTS[..3] {
        let report = AgentReport::new(AgentState::InProgress);
        tracker.update_agent_status("session-live", name, report).unwrap();
        check(format!("{name} in-progress")).await;
        let report = AgentReport::new(AgentState::Success).token_usage(TokenUsage::new(1_000, 200));
        tracker.update_agent_status("session-live", name, report).unwrap();
        check(format!("{name} success")).await;
    }
    let report = AgentReport::new(AgentState::Error).error("the model is gone");
    tracker.update_agent_status("session-live", AGENTS[3].0, report).unwrap();
    check("exceptionManagement error".into()).await;
    workflow.fail("no way out");
    check("workflow failed".into()).await;
    scene::print(&format!("seen after {:?} at most", late.iter().max().unwrap()));
    for (after, what) in late {
        assert!(after <= A_SECOND, "{what} was seen after {after:?}");
    }

    let text = |id: &str| format!("return document.getElementById('{id}').textContent");
    assert_eq!(browser.run(&text("total")).await.unwrap(), "3,600");
    assert_eq!(browser.run(&text("done")).await.unwrap(), "4 of 4");
    assert_eq!(browser.run(&text("alarm")).await.unwrap(), "The workflow failedno way out");
    let fault = "return document.querySelectorAll('#steps .fault')[3].textContent";
    assert!(browser.run(fault).await.unwrap().as_str().unwrap().ends_with("the model is gone"));
    let live = browser.run("return document.getElementById('spoken').textContent").await.unwrap();
    assert!(live.as_str().unwrap().contains("workflow failed"), "{live}");
    // The list was updated by itself.
    browser.wait_for("document.querySelector('#list .dot[data-state=failed]')").await.unwrap();
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn the_newest_is_shown_unless_one_is_chosen() {
    let scene = Scene::start().await;
    scene.fill(2).await;
    let Some(browser) = browser("the_newest_is_shown", &scene.page("newest")).await else { return };
    let shown = |id: &str| format!("document.getElementById('session').textContent === '{id}'");
    browser.wait_for(&shown("running")).await.unwrap();
    let mut newer = json!({ "overallStatus": "processing" });
    newer["createdAt"] = scene::ago(1.0).into();
    newer["lastUpdated"] = newer["createdAt"].clone();
    scene.put("newer", &newer).await;
    browser.wait_for(&shown("newer")).await.unwrap();
    browser.run("location.hash = 'failed'").await.unwrap();
    browser.wait_for(&shown("failed")).await.unwrap();
    newer["createdAt"] = scene::ago(0.0).into();
    scene.put("newest", &newer).await;
    browser.wait_for("document.querySelectorAll('#list li').length === 8").await.unwrap();
    assert_eq!(browser.run(&format!("return {}", shown("failed"))).await.unwrap(), true);
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn markup_from_the_store_stays_text() {
    const MARKUP: &str = "<img src=x onerror=\"broken=1\"><script>broken=1</script>";
    let scene = Scene::start().await;
    let agent = json!({
        "status": "error", "activity": MARKUP, "error": MARKUP, "errorType": MARKUP, "calls": 2,
        "tokenUsage": { "inputTokens": 1, "totalTokens": 1 }, "startedAt": scene::ago(2.0), "completedAt": scene::ago(1.0),
    });
    let item = json!({
        "overallStatus": "failed", "error": MARKUP, "correlationId": MARKUP, MARKUP: agent,
        "createdAt": scene::ago(3.0), "lastUpdated": scene::ago(1.0), "documentId": MARKUP, "<b>": MARKUP,
    });
    scene.put(MARKUP, &item).await;
    let mut running = item.clone();
    running["overallStatus"] = json!("processing");
    running["createdAt"] = json!(scene::ago(9.0));
    running["revision"] = json!(1);
    running[MARKUP] =
        json!({ "status": "in-progress", "activity": MARKUP, "startedAt": scene::ago(8.0) });
    let second = format!("{MARKUP}2");
    scene.put(&second, &running).await;
    let Some(browser) = browser("markup_from_the_store_stays_text", &scene.page("newest")).await
    else {
        return;
    };
    browser.wait_for("document.querySelectorAll('#steps li').length === 5").await.unwrap();
    let places = [
        "#session",
        "#steps li:last-child .agent",
        "#steps li:last-child .activity",
        "#steps li:last-child .fault span",
        "#steps li:last-child .fault b",
        "#alarm span",
        "#facts dd",
        "#tokens-of th",
        "#list .name",
    ];
    for place in places {
        let text = format!("return document.querySelector('{place}').textContent");
        assert_eq!(browser.run(&text).await.unwrap(), MARKUP, "{place}");
    }
    browser.wait_for("document.querySelector('#related-of .name')").await.unwrap();
    let related = "return document.querySelector('#related-of .name').textContent";
    assert_eq!(browser.run(related).await.unwrap(), second);
    assert!(browser.run("return document.title").await.unwrap().as_str().unwrap().contains(MARKUP));
    // The board, and what a search finds.
    browser.run("location.hash = '#board'").await.unwrap();
    browser.wait_for("document.querySelector('#lanes .name')").await.unwrap();
    browser
        .run("document.getElementById('search').value = 'onerror'; setSearch('onerror')")
        .await
        .unwrap();
    let search = json!(["documentId", MARKUP]);
    browser.run(&format!("searchTable(...{search})")).await.unwrap();
    browser.wait_for("document.querySelectorAll('#found .name').length === 2").await.unwrap();
    let working = format!("{MARKUP} · {MARKUP}");
    let twice = format!("{MARKUP} · {MARKUP}");
    for (place, expected) in [
        ("#lanes .name", second.as_str()),
        ("#lanes .now", &working),
        ("#lanes .track span", MARKUP),
        ("#problems .name", MARKUP),
        ("#problems .what b", &twice),
        ("#problems .what span", MARKUP),
        ("#paces-of tr:last-child th", MARKUP),
        ("#found .name", MARKUP),
    ] {
        let text = format!("return document.querySelector('{place}').textContent");
        assert_eq!(browser.run(&text).await.unwrap(), expected, "{place}");
    }
    let made = "return document.querySelectorAll('img, #workflow b b, #board-view b b, dt b, script').length";
    assert_eq!(browser.run(made).await.unwrap(), 1, "the page's own script alone");
    assert_eq!(browser.run("return window.broken === undefined").await.unwrap(), true);
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn a_script_that_is_not_the_pages_own_does_not_run() {
    let scene = Scene::start().await;
    let Some(browser) = browser("a_script_that_is_not_the_pages_own", &scene.page("")).await else {
        return;
    };
    let insert = "const script = document.createElement('script');
                  script.textContent = 'window.broken = 1';
                  document.body.append(script);
                  return window.broken === undefined";
    assert_eq!(browser.run(insert).await.unwrap(), true);
    let console = browser.console().await.unwrap();
    assert!(console.iter().any(|line| line.contains("Content Security Policy")), "{console:?}");
}

#[tokio::test]
async fn it_says_when_the_server_is_gone_and_recovers() {
    let mut scene = Scene::start().await;
    scene.fill(3).await;
    let Some(browser) = browser("it_says_when_the_server_is_gone", &scene.page("running")).await
    else {
        return;
    };
    let link = |state: &str| format!("document.getElementById('link').dataset.link === '{state}'");
    browser.wait_for(&link("live")).await.unwrap();
    browser.run("window.same = true").await.unwrap();
    scene.stop().await;
    browser.wait_for(&link("lost")).await.unwrap();
    let text = browser.run("return document.getElementById('link').textContent").await.unwrap();
    assert!(text.as_str().unwrap().starts_with("Connection lost."), "{text}");
    // The last known state is still shown, and the clock has stopped: in a browser, time is real.
    let elapsed = "return document.getElementById('elapsed').textContent";
    let before = browser.run(elapsed).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(browser.run(elapsed).await.unwrap(), before);
    scene.finish("running").await;
    scene.serve(None).await;
    browser.wait_for(&link("ended")).await.unwrap();
    let overall = "return document.getElementById('overall').dataset.state";
    assert_eq!(browser.run(overall).await.unwrap(), "completed");
    assert_eq!(browser.run("return window.same").await.unwrap(), true, "without a reload");
    console_is_quiet(&browser, &["net::ERR_"]).await;
}

/// A run that began this many seconds ago.
fn run(status: &str, created: f64, agents: &[(&str, Value)]) -> Value {
    let time = scene::ago(created);
    let mut run =
        json!({ "overallStatus": status, "createdAt": time, "lastUpdated": time, "revision": 9 });
    for (name, agent) in agents {
        run[*name] = agent.clone();
    }
    run
}

#[tokio::test]
async fn a_new_run_is_followed_after_the_end_of_the_one_before() {
    for address in ["newest", "again"] {
        let scene = Scene::start().await;
        let agent = json!({
            "status": "success", "startedAt": scene::ago(7_200.0), "completedAt": scene::ago(3_600.0),
            "tokenUsage": { "totalTokens": 5 }, "subSteps": [{ "title": "Read" }],
        });
        let before =
            run("completed", 7_200.0, &[("oldAgent", agent.clone()), ("pdfAdapter", agent)]);
        scene.put("again", &before).await;
        let Some(browser) = browser("a_new_run_is_followed", &scene.page(address)).await else {
            return;
        };
        browser.wait_for("document.getElementById('link').dataset.link === 'ended'").await.unwrap();
        // Two more lists change nothing of what is shown: it is not even drawn again.
        browser
            .run(
                "window.lists = window.hides = 0;
                 const real = showList;
                 showList = (list) => { window.lists++; real(list); };
                 new MutationObserver(() => { window.hides += document.getElementById('workflow').hidden; })
                   .observe(document.getElementById('workflow'), { attributes: true });",
            )
            .await
            .unwrap();
        browser.wait_for("window.lists >= 2").await.unwrap();
        assert_eq!(browser.run("return window.hides").await.unwrap(), 0, "{address}");

        let agent = json!({ "status": "in-progress", "startedAt": scene::ago(0.0) });
        scene.put("again", &run("processing", 1.0, &[("pdfAdapter", agent)])).await;
        let is_followed = "document.getElementById('overall').dataset.state === 'processing'";
        browser.wait_for(is_followed).await.unwrap();
        assert_new_run(&browser).await;
        browser
            .wait_for("document.querySelector('#list .status').textContent === 'running'")
            .await
            .unwrap();
        assert_eq!(browser.run("return window.hides").await.unwrap(), 0, "{address}");
        console_is_quiet(&browser, &[]).await;
    }
}

/// Asserts that nothing of the run before is left: an agent of its own, two hours, tokens.
async fn assert_new_run(browser: &Browser) {
    let shown = "const text = (id) => document.getElementById(id).textContent;
                 const bars = [...document.querySelectorAll('.lane i')].filter((bar) => !bar.hidden);
                 return { steps: document.querySelectorAll('#steps > li').length,
                   names: [...document.querySelectorAll('#steps .agent')].map((node) => node.textContent).includes('oldAgent'),
                   bars: bars.length, subSteps: document.querySelectorAll('.sub-steps li').length,
                   usage: document.getElementById('usage').hidden, done: text('done'), spoken: text('spoken'),
                   isShort: text('elapsed').endsWith(' s') && !text('elapsed').includes('min'),
                   hasHours: /min|h/.test(text('ticks')) }";
    let expected = json!({
        "steps": 4, "names": false, "bars": 1, "subSteps": 0, "usage": true, "done": "0 of 4",
        "spoken": "a new run has begun, pdfAdapter in progress", "isShort": true, "hasHours": false,
    });
    assert_eq!(browser.run(shown).await.unwrap(), expected);
}

#[tokio::test]
async fn a_new_run_over_one_that_is_not_finished_is_followed() {
    let scene = Scene::start().await;
    let agent = json!({
        "status": "in-progress", "startedAt": scene::ago(7_200.0), "tokenUsage": { "totalTokens": 5 },
        "subSteps": [{ "title": "Read" }],
    });
    // Without a revision it is never stalled.
    let mut before =
        run("processing", 7_200.0, &[("oldAgent", agent.clone()), ("pdfAdapter", agent)]);
    before["revision"] = json!("none");
    scene.put("again", &before).await;
    let Some(browser) = browser("a_new_run_over_one", &scene.page("again")).await else { return };
    browser.wait_for("document.querySelectorAll('#steps > li').length === 5").await.unwrap();
    let agent = json!({ "status": "in-progress", "startedAt": scene::ago(0.0) });
    scene.put("again", &run("processing", 1.0, &[("pdfAdapter", agent)])).await;
    browser.wait_for("document.querySelectorAll('#steps > li').length === 4").await.unwrap();
    assert_new_run(&browser).await;
    // An older list does not bring the run before back.
    let status = "const list = [...entries.values()].map(({ entry }) => ({ ...entry, status: 'failed', createdAt: '2025-12-24T10:00:00.000Z', lastUpdated: '2025-12-24T10:00:00.000Z' }));
                  showList(list);
                  return document.querySelector('#list .status').textContent";
    assert_eq!(browser.run(status).await.unwrap(), "running");
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn the_previous_run_is_a_line_if_there_was_one() {
    let scene = Scene::start().await;
    let usage = json!({ "inputTokens": 1_000, "outputTokens": 234, "totalTokens": 1_234 });
    let previous = json!({
        "overallStatus": "failed", "createdAt": scene::ago(70.0), "completedAt": scene::ago(57.5),
        "error": "<b>no model</b>", "totalTokenUsage": usage,
    });
    let mut again = run("processing", 30.0, &[]);
    again["previousRun"] = previous.clone();
    scene.put("again", &again).await;
    let Some(browser) = browser("the_previous_run_is_a_line", &scene.page("again")).await else {
        return;
    };
    let line = "const line = document.getElementById('previous-run');
                return line.hidden ? null : line.textContent.replace(/ (at|started) [^,]+,/, ' $1 …,')";
    browser.wait_for("!document.getElementById('previous-run').hidden").await.unwrap();
    let expected = "Previous run: failed at …, after 12.5 s, 1,234 tokens: <b>no model</b>";
    // The times are those of two calls, a moment apart.
    let shown = browser.run(line).await.unwrap();
    let shown = shown.as_str().unwrap().replace("12.4 s", "12.5 s").replace("12.6 s", "12.5 s");
    assert_eq!(shown, expected);

    let mut open = run("processing", 20.0, &[]);
    open["previousRun"] = json!({ "overallStatus": "processing", "createdAt": scene::ago(70.0), "totalTokenUsage": usage });
    scene.put("again", &open).await;
    browser
        .wait_for("document.getElementById('previous-run').textContent.includes('began')")
        .await
        .unwrap();
    let expected = "Previous run: running when this one began, started …, 1,234 tokens";
    assert_eq!(browser.run(line).await.unwrap(), expected);

    scene.put("again", &run("processing", 10.0, &[])).await;
    browser.wait_for("document.getElementById('previous-run').hidden").await.unwrap();
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn the_time_of_a_finished_workflow_ends_with_its_end() {
    let scene = Scene::start().await;
    let at = |second: u32| format!("2025-12-24T10:00:{second:02}.000Z");
    let agent = json!({ "status": "success", "startedAt": at(0), "completedAt": at(8) });
    let mut item = json!({
        "overallStatus": "completed", "createdAt": at(0), "completedAt": at(10),
        "lastUpdated": at(50), "revision": 9, "pdfAdapter": agent,
    });
    scene.put("late", &item).await;
    // An agent was called after the end: its bar has to fit, and the workflow took no longer.
    let mut called = item.clone();
    called["pdfAdapter"]["completedAt"] = at(20).into();
    scene.put("called", &called).await;
    // Another writer's item, which does not say when it ended.
    item.as_object_mut().unwrap().remove("completedAt");
    scene.put("theirs", &item).await;
    let Some(browser) = browser("the_time_of_a_finished_workflow", &scene.page("late")).await
    else {
        return;
    };
    let shown = "document.getElementById('elapsed').textContent + ' ' + document.querySelector('.lane i')?.style.width";
    browser.wait_for(&format!("{shown} === '10.0 s 80%'")).await.unwrap();
    browser.open(&scene.page("called")).await.unwrap();
    browser.wait_for(&format!("{shown} === '10.0 s 100%'")).await.unwrap();
    browser.open(&scene.page("theirs")).await.unwrap();
    browser.wait_for(&format!("{shown} === '50.0 s 16%'")).await.unwrap();
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn sub_steps_are_shown_under_their_agent() {
    let scene = Scene::start().await;
    let steps = json!([
        { "title": "Read", "status": "completed", "description": "3 pages" },
        { "title": "Split", "status": "loading" },
        { "title": "<b>Check</b>", "status": "constructor", "description": "<img src=x>" },
        { "title": { "a": 1 }, "status": 3 },
        {},
    ]);
    let agent = json!({ "status": "in-progress", "activity": "Reading", "subSteps": steps });
    let item = run(
        "processing",
        1.0,
        &[("pdfAdapter", agent), ("tradeMatching", json!({ "status": "pending" }))],
    );
    scene.put("steps", &item).await;
    let Some(browser) = browser("sub_steps_are_shown", &scene.page("steps")).await else { return };
    browser.wait_for("document.querySelector('.sub-steps li')").await.unwrap();
    let shown = "const step = (li) => [li.querySelector('use').getAttribute('href'), li.querySelector('.spoken').textContent, li.lastChild.textContent];
                 return [...document.querySelectorAll('#steps > li')].map((li) => [...li.querySelectorAll('.sub-steps:not([hidden]) li')].map(step))";
    let expected = json!([
        [
            ["#i-success", "done", "Read 3 pages"],
            ["#i-in-progress", "in progress", "Split"],
            ["#i-other", "constructor", "<b>Check</b> <img src=x>"],
            ["#i-other", "3", "{\"a\":1}"],
            ["#i-other", "", ""],
        ],
        [],
        [],
        [],
    ]);
    assert_eq!(browser.run(shown).await.unwrap(), expected);
    let made = "return document.querySelectorAll('#workflow img, #workflow .sub-steps b').length";
    assert_eq!(browser.run(made).await.unwrap(), 0);
    browser.screenshot(&artefact("sub-steps")).await.unwrap();
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn the_texts_of_the_tiles_stay_within_them() {
    let scene = Scene::start().await;
    scene.fill(0).await;
    let Some(browser) = browser("the_texts_of_the_tiles", &scene.page("running")).await else {
        return;
    };
    browser.wait_for("document.querySelector('#steps > li')").await.unwrap();
    // Every text has to keep half of the tile's padding free on either side. What is shown of the
    // smaller texts is cut after two lines, which is below.
    let measure = "const values = [
                     ['59 min 59 s', '14 min ago', '4 of 4', '1,234,567'],
                     ['11 h 59 min', '11 h 59 min ago', '1,000 of 1,000', '999,999,999,999'],
                     ['999 days 23 h', '59 min ago', '100 of 100', '18,446,744,073,709,551,615'],
                   ];
                   const bad = [];
                   for (const [elapsed, changed, done, total, cost] of values.flatMap((texts) => [texts, [...texts, '≥ $0.0123'], [...texts, '≥ $1,234,567.89']])) {
                     $('cost-tile').hidden = !cost;
                     $('tiles').classList.toggle('costs', Boolean(cost));
                     if (cost) { big('cost', cost); text($('cost-note'), '100 calls not fully priced, budget $1,234,567.89'); }
                     big('elapsed', elapsed); big('changed', changed); big('done', done); big('total', total);
                     text($('split'), total + ' in, ' + total + ' out');
                     text($('now'), 'running: ' + 'x'.repeat(80));
                     text($('changed-at'), 'Nov 26, 2026, 10:00:00 PM');
                     for (const tile of document.querySelectorAll('.tile:not([hidden])')) {
                       const outer = tile.getBoundingClientRect(), free = parseFloat(getComputedStyle(tile).paddingLeft) / 2;
                       for (const node of tile.children) {
                         const range = document.createRange();
                         range.selectNodeContents(node);
                         const inner = range.getBoundingClientRect(), size = parseFloat(getComputedStyle(node).fontSize);
                         const isBelow = !node.classList.contains('small') && inner.bottom > outer.bottom;
                         const isSmall = node.classList.contains('big') && node.textContent.length <= 15 && size < 11;
                         const isWrapped = node.classList.contains('big') && inner.height > 1.5 * 1.2 * size;
                         if (inner.left < outer.left + free || inner.right > outer.right - free || isBelow || isSmall || isWrapped)
                           bad.push([node.textContent, Math.round(inner.right - outer.right), size]);
                       }
                     }
                   }
                   return bad";
    let widths = [320, 360, 390, 480, 600, 700, 790, 820, 821, 900, 1000, 1100, 1200, 1300, 1400];
    for width in widths.into_iter().chain([1600, 1800, 1999, 2000, 2200, 2560, 2600]) {
        browser.look((width, 900), false).await.unwrap();
        assert_eq!(browser.run(measure).await.unwrap(), json!([]), "at {width}");
    }
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn an_agent_that_waits_says_what_for() {
    let scene = Scene::start().await;
    // Nothing was written for an hour: without an agent that waits, it would be stalled.
    let (created, written) = (scene::ago(3_700.0), scene::ago(3_600.0));
    let item = json!({
        "overallStatus": "processing", "createdAt": created, "lastUpdated": written, "revision": 3,
        "pdfAdapter": { "status": "success" },
        "tradeExtraction": {
            "status": "in-progress", "activity": "Extracting", "startedAt": created,
            "waitingFor": "input", "taskId": "task-7",
        },
    });
    scene.put("waits", &item).await;
    let Some(browser) = browser("an_agent_that_waits", &scene.page("waits")).await else {
        return;
    };
    browser
        .wait_for("document.getElementById('overall').dataset.state === 'waiting'")
        .await
        .unwrap();
    let step = "const step = document.querySelector('#steps li[data-state=\"waiting\"]');
                const activity = step.querySelector('.activity');
                return [step.querySelector('.agent').textContent, step.textContent, activity.textContent, activity.title]";
    let step = browser.run(step).await.unwrap();
    assert_eq!(step[0], "tradeExtraction");
    assert!(step[1].as_str().unwrap().contains("waiting for input"), "{step}");
    assert_eq!(step[2], "Extracting · waiting for input");
    assert_eq!(step[3], "task task-7");
    let listed = "return document.querySelector('#list li [data-state=\"waiting\"], #list li[data-state=\"waiting\"]') !== null";
    assert_eq!(browser.run(listed).await.unwrap(), true);

    let mut answered = item;
    answered["tradeExtraction"] = json!({ "status": "success" });
    answered["lastUpdated"] = json!(scene::ago(0.0));
    answered["revision"] = json!(4);
    scene.put("waits", &answered).await;
    browser
        .wait_for("document.querySelectorAll('#steps li[data-state=\"success\"]').length === 2")
        .await
        .unwrap();
    let waiting = "document.querySelectorAll('#workflow [data-state=\"waiting\"], #list [data-state=\"waiting\"]').length === 0";
    browser.wait_for(waiting).await.unwrap();
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn a_word_that_is_not_known_is_shown_as_it_is() {
    let scene = Scene::start().await;
    let agent = |word: &str| json!({ "status": word, "activity": "Reading", "duration": 4 });
    let item = json!({
        "overallStatus": "constructor", "lastUpdated": scene::ago(3_600.0), "error": "why",
        "pdfAdapter": agent("warning"), "tradeExtraction": agent("<b>toString</b>"),
        "tradeMatching": agent("loading"), "exceptionManagement": agent("completed"),
    });
    scene.put("theirs", &item).await;
    let Some(browser) = browser("a_word_that_is_not_known", &scene.page("theirs")).await else {
        return;
    };
    browser.wait_for("document.querySelectorAll('#steps li').length === 4").await.unwrap();
    let shown = "const step = (li) => [li.querySelector('.badge .spoken').textContent,
                   li.querySelector('.badge use').getAttribute('href'), li.querySelector('.took').textContent];
                 return [...document.querySelectorAll('#steps li')].map(step)";
    let expected = json!([
        ["warning", "#i-other", "4 s"],
        ["<b>toString</b>", "#i-other", "4 s"],
        ["in progress", "#i-in-progress", ""],
        ["done", "#i-success", "4 s"],
    ]);
    assert_eq!(browser.run(shown).await.unwrap(), expected);
    let texts = "return ['#overall', '#list .status', '#alarm strong', '#elapsed', '#since'].map(
                   (place) => document.querySelector(place)?.textContent.trim())";
    let expected = json!(["constructor", "constructor", "Error", "–", ""]);
    assert_eq!(browser.run(texts).await.unwrap(), expected);
    let stalled = "return document.querySelectorAll('#workflow [data-state=\"stalled\"]').length";
    assert_eq!(browser.run(stalled).await.unwrap(), 0);
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn an_item_of_each_kind_of_older_writer_is_shown() {
    let (scene, items) = (Scene::start().await, older_items());
    for place in [2, 0, 4, 1, 3] {
        scene.put(items[place].session, &items[place].item).await;
    }
    let Some(browser) = browser("an_item_of_each_kind", &scene.page("")).await else { return };
    browser.wait_for("document.querySelectorAll('#list li').length === 5").await.unwrap();
    let listed = "return [...document.querySelectorAll('#list li')].map((item) => [item.querySelector('.name').textContent, item.querySelector('.when').textContent !== ''])";
    let expected: Vec<_> = items.iter().map(|it| (it.session, it.created_at.is_some())).collect();
    assert_eq!(browser.run(listed).await.unwrap(), json!(expected), "the newest first");
    for older in &items {
        browser.open(&scene.page(older.session)).await.unwrap();
        let chosen =
            format!("document.getElementById('session').textContent === '{}'", older.session);
        browser.wait_for(&chosen).await.unwrap();
        browser.wait_for("document.querySelectorAll('#steps > li').length === 4").await.unwrap();
        let agents = "return [...document.querySelectorAll('#steps > li')].map((step) => [step.querySelector('.agent').textContent, step.dataset.state])";
        assert_eq!(browser.run(agents).await.unwrap(), json!(older.agents), "{}", older.session);
        let workflow = "return [document.getElementById('overall').dataset.state, document.getElementById('since').textContent !== '', document.querySelectorAll('#workflow [data-state=\"stalled\"], #list [data-state=\"stalled\"]').length]";
        let expected = json!([older.status, older.created_at.is_some(), 0]);
        assert_eq!(browser.run(workflow).await.unwrap(), expected, "{}", older.session);
    }
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn the_keyboard_reaches_everything() {
    let scene = Scene::start().await;
    scene.fill(20).await;
    let Some(browser) = browser("the_keyboard_reaches_everything", &scene.page("newest")).await
    else {
        return;
    };
    browser.wait_for("document.querySelectorAll('#list li').length === 24").await.unwrap();
    let focus = async || {
        let here = "const at = document.activeElement;
                    return at.id || at.dataset.filter || (at.closest('#list') ? 'item ' + at.title : at.tagName)";
        browser.run(here).await.unwrap().as_str().unwrap().to_owned()
    };
    let mut stops = Vec::new();
    for _ in 0..12 {
        browser.press(&[key::TAB]).await.unwrap();
        stops.push(focus().await);
    }
    let filters = ["all", "running", "waiting", "stalled", "failed", "completed"];
    assert_eq!(stops[..2], ["skip", "search"]);
    assert_eq!(stops[2..8], filters);
    assert_eq!(stops[8..], ["to-board", "follow", "notify", "item running"]);
    // Every element that takes the focus is visible.
    let outline = "return getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(browser.run(outline).await.unwrap(), "solid");
    browser.press(&[key::DOWN]).await.unwrap();
    browser.press(&[key::DOWN]).await.unwrap();
    let third = browser.run("return document.querySelectorAll('#list a')[2].title").await.unwrap();
    assert_eq!(focus().await, format!("item {}", third.as_str().unwrap()));
    browser.press(&[key::ENTER]).await.unwrap();
    let chosen = format!("document.getElementById('session').textContent === {third}");
    browser.wait_for(&chosen).await.unwrap();
    browser.press(&[key::END]).await.unwrap();
    let last =
        browser.run("return [...document.querySelectorAll('#list a')].at(-1).title").await.unwrap();
    assert_eq!(focus().await, format!("item {}", last.as_str().unwrap()));
    browser.press(&[key::HOME]).await.unwrap();
    browser.press(&[key::UP]).await.unwrap();
    assert_eq!(focus().await, "item running");
    // Reloading the list does not change the scroll position.
    scene.put("other", &json!({ "overallStatus": "failed", "createdAt": scene::ago(0.0) })).await;
    browser.wait_for("document.querySelectorAll('#list li').length === 25").await.unwrap();
    assert_eq!(focus().await, "item running");

    for _ in 0..5 {
        browser.press(&[key::SHIFT, key::TAB]).await.unwrap();
    }
    assert_eq!(focus().await, "failed");
    browser.press(&[key::ENTER]).await.unwrap();
    let visible = "return [...document.querySelectorAll('#list li:not([hidden]) .dot')].every((dot) => dot.dataset.state === 'failed')";
    assert_eq!(browser.run(visible).await.unwrap(), true);
    assert_eq!(browser.run("return document.activeElement.ariaPressed").await.unwrap(), "true");
    for _ in 0..5 {
        browser.press(&[key::SHIFT, key::TAB]).await.unwrap();
    }
    assert_eq!(focus().await, "search");
    browser.type_text("nothing has this id").await.unwrap();
    browser
        .wait_for("document.getElementById('none').textContent === 'No matching workflows.'")
        .await
        .unwrap();
    browser.press(&[key::SHIFT, key::TAB]).await.unwrap();
    browser.press(&[key::ENTER]).await.unwrap();
    assert_eq!(focus().await, "main");
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn five_hundred_workflows_are_quick() {
    let scene = Scene::start().await;
    scene.fill(600).await;
    let Some(browser) = browser("five_hundred_workflows_are_quick", &scene.page("")).await else {
        return;
    };
    browser.wait_for("document.querySelectorAll('#list li').length === 500").await.unwrap();
    // Measures how long the page is busy with a new list, and with the same list again.
    let times = browser
        .run(
            "const list = [...entries.values()].map(({ entry }) => ({ ...entry }));
             const time = (work) => { const start = performance.now(); work(); document.body.offsetHeight; return performance.now() - start; };
             const same = time(() => showList(list));
             const changed = time(() => showList(list.map((entry) => ({ ...entry, totalTokens: 1 + entry.totalTokens, lastUpdated: new Date().toISOString() }))));
             const search = time(() => { document.getElementById('search').value = '7'; document.getElementById('search').dispatchEvent(new Event('input')); });
             return { same, changed, search };",
        )
        .await
        .unwrap();
    scene::print(&format!("milliseconds with 500 workflows: {times}"));
    // This limit is an order of magnitude: a delay that readers do not notice is far below.
    for (what, time) in times.as_object().unwrap() {
        assert!(time.as_f64().unwrap() < 1_000.0, "{what}: {times}");
    }
    // Unchanged rows are not rebuilt.
    let touched = browser
        .run(
            "document.getElementById('search').value = '';
             wanted = '';
             renderList();
             let touched = 0;
             const observer = new MutationObserver(() => {});
             observer.observe(document.getElementById('list'), { subtree: true, childList: true, characterData: true });
             showList([...entries.values()].map(({ entry }) => ({ ...entry })));
             return observer.takeRecords().length;",
        )
        .await
        .unwrap();
    assert_eq!(touched, 0);
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn a_token_is_asked_for_and_kept() {
    let scene = Scene::with_token(Some("s3cret")).await;
    scene.fill(1).await;
    let Some(browser) = browser("a_token_is_asked_for_and_kept", &scene.page("running")).await
    else {
        return;
    };
    browser.wait_for("document.getElementById('door').open").await.unwrap();
    let field = "document.activeElement.id === 'token'";
    browser.wait_for(field).await.unwrap();
    browser.type_text("wrong").await.unwrap();
    browser.press(&[key::ENTER]).await.unwrap();
    browser.wait_for("!document.getElementById('wrong').hidden").await.unwrap();
    browser.wait_for(field).await.unwrap();
    browser.type_text("s3cret").await.unwrap();
    browser.press(&[key::ENTER]).await.unwrap();
    browser.wait_for("document.querySelectorAll('#steps li').length === 4").await.unwrap();
    browser.wait_for("document.getElementById('link').dataset.link === 'live'").await.unwrap();
    // The token is in no address, and survives a reload.
    browser.run("location.reload()").await.unwrap();
    browser.wait_for("document.querySelectorAll('#list li').length === 5").await.unwrap();
    assert_eq!(browser.run("return document.getElementById('door').open").await.unwrap(), false);
    // Another tab takes it from this one, also if this one is hidden and reads nothing.
    for hide in ["", sharing::HIDE] {
        browser.run(hide).await.unwrap();
        let first = browser.window().await.unwrap();
        browser.open_window(&scene.page("running")).await.unwrap();
        browser.wait_for("document.getElementById('link').dataset.link === 'live'").await.unwrap();
        browser.wait_for("shown && !document.getElementById('door').open").await.unwrap();
        browser.close_window().await.unwrap();
        browser.switch_to(&first).await.unwrap();
    }
    console_is_quiet(&browser, &["401 (Unauthorized)"]).await;
}

#[tokio::test]
async fn it_is_never_wider_than_the_window() {
    let scene = Scene::start().await;
    scene.fill(3).await;
    let long = format!("session-{}", "x".repeat(300));
    let mut item = json!({ "overallStatus": "failed", "error": "y".repeat(400), "createdAt": scene::ago(1.0) });
    item["z".repeat(200)] =
        json!({ "status": "error", "activity": "w".repeat(200), "error": "v".repeat(300) });
    item["documentId"] = Value::from("u".repeat(300));
    scene.put(&long, &item).await;
    let Some(browser) = browser("it_is_never_wider_than_the_window", &scene.page("")).await else {
        return;
    };
    for size in [NARROWEST, PHONE, (800, 600), DESKTOP, (2560, 1440)] {
        browser.look(size, false).await.unwrap();
        for session in ["completed", &long, "newest", "board", ""] {
            browser.open(&scene.page(session)).await.unwrap();
            browser.wait_for("document.querySelectorAll('#list li').length === 8").await.unwrap();
            browser.wait_for("document.querySelector('#steps li')").await.unwrap();
            let beyond = "return [...document.querySelectorAll('body *:not(.spoken):not(.spoken *)')]
                .filter((node) => node.getBoundingClientRect().right > innerWidth + 1 && !node.closest('.lane, .ticks, .name'))
                .map((node) => node.tagName + '.' + node.getAttribute('class'))";
            assert_eq!(browser.run(beyond).await.unwrap(), json!([]), "{size:?} {session}");
        }
    }
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn it_looks_as_its_pictures() {
    let scene = Scene::start().await;
    scene.fill(40).await;
    let Some(browser) = browser("it_looks_as_its_pictures", &scene.page("")).await else { return };
    for (name, size) in [("1280x800", DESKTOP), ("390x844", PHONE)] {
        for (scheme, dark) in [("light", false), ("dark", true)] {
            browser.look(size, dark).await.unwrap();
            for session in ["running", "failed", "stalled", "completed", ""] {
                browser.open(&scene.page(session)).await.unwrap();
                browser.wait_for("document.querySelector('#steps li')").await.unwrap();
                let all = "document.querySelectorAll('#list li').length === 44";
                browser.wait_for(all).await.unwrap();
                let view = if session.is_empty() { "list" } else { session };
                let file = artefact(&format!("{view}-{name}-{scheme}"));
                browser.screenshot(&file).await.unwrap();
                // The header of a PNG has its size.
                let picture = std::fs::read(&file).unwrap();
                let side = |at| u32::from_be_bytes(picture[at..at + 4].try_into().unwrap());
                assert_eq!((side(16), side(20)), size);
            }
        }
    }
    scene::print(&format!("pictures are in {}", artefact("x").parent().unwrap().display()));
    console_is_quiet(&browser, &[]).await;
}
