//! The board of all workflows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use browser_tests::{Browser, key};
use serde_json::{Value, json};

use crate::scene::{self, Scene, ago, artefact};
use crate::{A_SECOND, DESKTOP, PHONE, browser, console_is_quiet};
use tower_agent_status::StatusTracker;
use tower_agent_status::status::{AgentReport, AgentState, TokenUsage};

/// A screen on a wall.
pub const WALL: (u32, u32) = (1920, 1080);

fn agent(status: &str, from: f64, to: Option<f64>) -> Value {
    let mut agent = json!({ "status": status, "activity": "Working on it", "startedAt": ago(from), "calls": 1 });
    if let Some(to) = to {
        agent["completedAt"] = ago(to).into();
        agent["tokenUsage"] =
            json!({ "inputTokens": 3_000, "outputTokens": 400, "totalTokens": 3_400 });
        agent["costUsd"] = json!(0.0125);
        agent["model"] = json!("gpt-4o-mini");
    }
    agent
}

/// A workflow that began so many seconds ago.
fn workflow(status: &str, began: f64, agents: &[(&str, Value)]) -> Value {
    let ended = status == "completed" || status == "failed";
    let updated = if ended { began - 12.0 } else { 1.0 };
    let mut workflow = json!({
        "overallStatus": status, "createdAt": ago(began), "lastUpdated": ago(updated.max(0.0)), "revision": 3,
        "documentId": format!("FAB_{}", 26_930_000 + began as u64 % 50), "sourceType": if (began as u64).is_multiple_of(2) { "BANK" } else { "COUNTERPARTY" },
        "correlationId": format!("corr_{:06}", began as u64 / 60),
    });
    for (name, agent) in agents {
        workflow[*name] = agent.clone();
    }
    workflow
}

/// A day of a team: many have ended, some are running.
pub async fn fill(scene: &Scene, ended: u32, running: u32) {
    for n in 0..ended {
        let began = 700.0 + f64::from(n) * 151.0;
        let (extracted, matched) = (4.0 + f64::from(n % 7), 3.0 + f64::from(n % 6));
        let extracted = if n % 15 == 3 { 45.0 } else { extracted };
        let matched = if n % 15 == 4 { 40.0 } else { matched };
        let mut agents = vec![
            ("pdfAdapter", agent("success", began - 0.2, Some(began - 2.0))),
            ("tradeExtraction", agent("success", began - 2.0, Some(began - 2.0 - extracted))),
        ];
        let failed = n % 23 == 7;
        let mut matching = agent(
            if failed { "error" } else { "success" },
            began - 2.0 - extracted,
            Some(began - 2.0 - extracted - matched),
        );
        if failed {
            matching["error"] =
                json!("The matching model could not be loaded: no capacity, try again later");
            matching["errorType"] = json!("http_500");
        }
        agents.push(("tradeMatching", matching));
        let status = if failed { "failed" } else { "completed" };
        scene
            .put(
                &format!("session-{:012x}", 0x1f3a_5b7c_9d01_u64 + u64::from(n) * 7_919),
                &workflow(status, began, &agents),
            )
            .await;
    }
    for n in 0..running {
        let began = 4.0 + f64::from(n * 37 % 60);
        let mut agents = vec![("pdfAdapter", agent("success", began - 0.2, Some(began * 0.8)))];
        match n % 5 {
            0 => agents.push(("tradeExtraction", agent("in-progress", began * 0.8, None))),
            1 | 2 => {
                agents.push(("tradeExtraction", agent("success", began * 0.8, Some(began * 0.3))));
                agents.push(("tradeMatching", agent("in-progress", began * 0.3, None)));
            }
            3 => {
                agents.push(("tradeExtraction", agent("in-progress", began * 0.7, None)));
                agents.push(("tradeMatching", agent("in-progress", began * 0.5, None)));
            }
            _ => {
                let mut waits = agent("in-progress", began * 0.8, None);
                waits["waitingFor"] = json!("input");
                agents.push(("exceptionManagement", waits));
            }
        }
        scene.put(&browser_session(n), &workflow("processing", began, &agents)).await;
    }
    let mut stalled =
        workflow("processing", 400.0, &[("pdfAdapter", agent("in-progress", 399.0, None))]);
    stalled["lastUpdated"] = ago(300.0).into();
    scene.put("stalled-4c1b", &stalled).await;
}

#[tokio::test]
async fn each_state_appears_within_a_second() {
    let scene = Scene::start().await;
    fill(&scene, 30, 2).await;
    // A wide screen shows the board first.
    let Some(browser) = browser("each_state_on_the_board", &scene.page("")).await else { return };
    browser.wait_for("document.querySelectorAll('#lanes > li').length === 2").await.unwrap();
    browser
        .run(
            "window.seen = {};
             const note = (what) => { window.seen[what] ??= Date.now(); };
             new MutationObserver(() => {
               const lane = [...lanes].find(([id]) => id === 'session-live')?.[1];
               if (lane) note('lane ' + lane.dataset.state);
               for (const bar of lane?.querySelectorAll('.track i') ?? []) note(bar.textContent + ' ' + bar.dataset.state);
               if (problems.has('session-live')) note('problem');
             }).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });",
        )
        .await
        .unwrap();
    let tracker = StatusTracker::builder(scene.store.clone()).start().unwrap();
    let workflow = tracker.workflow("session-live").start().unwrap();
    let mut late = Vec::new();
    let mut check = async |what: &str| {
        tracker.flush().await.unwrap();
        let saved = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        browser.wait_for(&format!("window.seen['{what}']")).await.unwrap();
        let seen = browser.run(&format!("return window.seen['{what}']")).await.unwrap();
        let seen = Duration::from_millis(seen.as_u64().unwrap());
        late.push((seen.saturating_sub(saved), what.to_owned()));
    };
    check("lane initializing").await;
    for name in ["pdfAdapter", "tradeExtraction"] {
        let report = AgentReport::new(AgentState::InProgress);
        tracker.update_agent_status("session-live", name, report).unwrap();
        check(&format!("{name} in-progress")).await;
        let report = AgentReport::new(AgentState::Success).token_usage(TokenUsage::new(1_000, 200));
        tracker.update_agent_status("session-live", name, report).unwrap();
        check(&format!("{name} success")).await;
    }
    let report = AgentReport::new(AgentState::Error).error("the model is gone");
    tracker.update_agent_status("session-live", "tradeMatching", report).unwrap();
    check("tradeMatching error").await;
    workflow.fail("no way out");
    check("problem").await;
    scene::print(&format!("on the board after {:?} at most", late.iter().max().unwrap()));
    for (after, what) in late {
        assert!(after <= A_SECOND, "{what} was seen after {after:?}");
    }
    // It has left the lanes, is named with its first error, and is announced.
    let problem = "return problems.get('session-live').textContent";
    let problem = browser.run(problem).await.unwrap();
    let problem = problem.as_str().unwrap();
    assert!(
        problem.contains("tradeMatching") && problem.contains("the model is gone"),
        "{problem}"
    );
    assert_eq!(browser.run("return lanes.has('session-live')").await.unwrap(), false);
    let spoken = "return document.getElementById('spoken').textContent";
    assert_eq!(browser.run(spoken).await.unwrap(), "session-live failed");
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn an_agent_that_is_slower_than_usual_is_marked() {
    let scene = Scene::start().await;
    fill(&scene, 40, 0).await;
    let slow = agent("in-progress", 100.0, None);
    scene.put("slow", &workflow("processing", 101.0, &[("tradeExtraction", slow)])).await;
    let usual = agent("in-progress", 3.0, None);
    scene.put("usual", &workflow("processing", 4.0, &[("tradeExtraction", usual)])).await;
    // Of an agent that has succeeded too rarely, nobody knows what is usual.
    let rare = agent("in-progress", 100.0, None);
    scene.put("rare", &workflow("processing", 101.0, &[("rareAgent", rare)])).await;
    let Some(browser) = browser("an_agent_that_is_slower", &scene.page("board")).await else {
        return;
    };
    browser.wait_for("lanes.size === 3").await.unwrap();
    browser.wait_for("lanes.get('slow').querySelector('.late')").await.unwrap();
    let marked = "return [...lanes].map(([id, lane]) => [id, lane.parts.slow.hidden ? null : lane.parts.slow.textContent, lane.querySelectorAll('.late').length]).sort()";
    let expected = json!([["rare", null, 0], ["slow", "slow", 1], ["usual", null, 0]]);
    assert_eq!(browser.run(marked).await.unwrap(), expected);
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn the_counts_are_filters_and_stand_in_the_address() {
    let scene = Scene::start().await;
    fill(&scene, 60, 4).await;
    let Some(browser) = browser("the_counts_are_filters", &scene.page("board")).await else {
        return;
    };
    browser.wait_for("document.querySelectorAll('#list li').length === 65").await.unwrap();
    browser.wait_for("document.querySelectorAll('#lanes > li').length === 4").await.unwrap();
    let numbers = "return Object.fromEntries([...document.querySelectorAll('.count-tile')].map((tile) => [tile.dataset.filter, Number(tile.querySelector('.number').textContent)]))";
    let numbers = browser.run(numbers).await.unwrap();
    assert_eq!(numbers["all"], 65);
    let listed = |name: &str| {
        format!("document.querySelectorAll('#list li:not([hidden])').length === {}", numbers[name])
    };
    for name in ["failed", "waiting", "stalled", "completed", "running", "all"] {
        browser
            .run(&format!("document.querySelector('.count-tile[data-filter={name}]').click()"))
            .await
            .unwrap();
        browser.wait_for(&listed(name)).await.unwrap();
        let search = browser.run("return location.search").await.unwrap();
        let expected = if name == "all" { String::new() } else { format!("?state={name}") };
        assert_eq!(search, expected.as_str());
    }
    // A link with a filter and a search shows the same.
    let url = format!("http://{}/?state=completed&q=sourceType%3Abank#board", scene.address);
    browser.open(&url).await.unwrap();
    browser.wait_for("document.querySelectorAll('#list li').length === 65").await.unwrap();
    let shown = "return [...entries.values()].filter(({ entry }) => !items.get(entry.sessionId).hidden).map(({ entry }) => entry.status + ' ' + entry.attributes.sourceType)";
    let shown = browser.run(shown).await.unwrap();
    let shown = shown.as_array().unwrap();
    assert!(!shown.is_empty() && shown.iter().all(|each| each == "completed BANK"), "{shown:?}");
    assert_eq!(
        browser.run("return document.getElementById('search').value").await.unwrap(),
        "sourceType:bank"
    );
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn it_can_be_used_with_the_keyboard_alone() {
    let scene = Scene::start().await;
    fill(&scene, 30, 3).await;
    let Some(browser) = browser("the keyboard on the board", &scene.page("board")).await else {
        return;
    };
    browser.wait_for("document.querySelectorAll('#list li').length === 34").await.unwrap();
    browser.wait_for("document.querySelectorAll('#lanes > li').length === 3").await.unwrap();
    let focus = async || {
        let here = "const at = document.activeElement;
                    return at.id || at.dataset.filter || at.title || at.querySelector('.name')?.title || at.tagName";
        browser.run(here).await.unwrap().as_str().unwrap().to_owned()
    };
    // Tab reaches the counts and the lanes after the list.
    let mut stops = Vec::new();
    for _ in 0..13 {
        browser.press(&[key::TAB]).await.unwrap();
        stops.push(focus().await);
    }
    let first = browser.run("return order[0]").await.unwrap();
    let lane = browser.run("return [...lanes.keys()][0]").await.unwrap();
    let expected = ["skip", "search", "to-board", "follow", "notify", first.as_str().unwrap()];
    assert_eq!(stops[..6], expected);
    assert_eq!(stops[6..12], ["all", "running", "waiting", "stalled", "failed", "completed"]);
    assert_eq!(stops[12], lane.as_str().unwrap());

    browser.press(&["?"]).await.unwrap();
    browser.wait_for("document.getElementById('help').open").await.unwrap();
    browser.press(&[key::ENTER]).await.unwrap();
    browser.wait_for("!document.getElementById('help').open").await.unwrap();
    browser.press(&["j"]).await.unwrap();
    assert_eq!(focus().await, first.as_str().unwrap());
    browser.press(&["j"]).await.unwrap();
    browser.press(&["j"]).await.unwrap();
    browser.press(&["k"]).await.unwrap();
    let second = browser.run("return order[1]").await.unwrap();
    assert_eq!(focus().await, second.as_str().unwrap());
    browser.press(&["/"]).await.unwrap();
    assert_eq!(focus().await, "search");
    browser.type_text("jk/?").await.unwrap();
    assert_eq!(
        browser.run("return document.getElementById('search').value").await.unwrap(),
        "jk/?"
    );
    browser.press(&[key::ESCAPE]).await.unwrap();
    assert_eq!(browser.run("return document.getElementById('search').value").await.unwrap(), "");
    browser.press(&["/"]).await.unwrap();
    let third = browser.run("return order[2]").await.unwrap();
    browser.type_text(third.as_str().unwrap()).await.unwrap();
    browser.press(&[key::ENTER]).await.unwrap();
    assert_eq!(focus().await, third.as_str().unwrap());
    browser.press(&[key::ENTER]).await.unwrap();
    let chosen = format!(
        "document.getElementById('session').textContent === {third} && view === 'workflow'"
    );
    browser.wait_for(&chosen).await.unwrap();
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn a_search_of_the_table_says_how_far_it_looked() {
    let scene = Scene::start().await;
    fill(&scene, 5, 1).await;
    let Some(browser) = browser("a search of the table", &scene.page("board")).await else {
        return;
    };
    browser.wait_for("order.length === 7").await.unwrap();
    // Enter searches the table if the list has nothing.
    browser.press(&["/"]).await.unwrap();
    browser.type_text("documentid:fab_0").await.unwrap();
    browser.wait_for("document.getElementById('none').hidden === false").await.unwrap();
    browser.press(&[key::ENTER]).await.unwrap();
    let result = "document.getElementById('further-result').textContent";
    browser
        .wait_for(&format!("{result} === \"None in the table's index of this attribute.\""))
        .await
        .unwrap();
    // As typed, with the name as the list spells it.
    let asked = "return document.querySelector('#further-by button').textContent";
    assert_eq!(browser.run(asked).await.unwrap(), "documentId = fab_0");
    for (answer, expected) in [
        (
            json!({ "workflows": [], "indexed": false, "searched": 40, "oldest": null, "complete": true, "readUnits": 20.25 }),
            "None among the 40 workflows of the table; it took 20.3 read units.",
        ),
        (
            json!({ "workflows": [1, 2], "indexed": false, "searched": 2_000, "oldest": null, "complete": false, "readUnits": null }),
            "2 among the 2,000 newest workflows.",
        ),
        (
            json!({ "workflows": [1], "indexed": true, "searched": 1, "oldest": null, "complete": true, "readUnits": 1.0 }),
            "1 in the table's index of this attribute; it took 1 read unit.",
        ),
        (
            json!({ "workflows": [1], "indexed": false, "searched": null, "oldest": null, "complete": true, "readUnits": null }),
            "1 among the workflows of the table.",
        ),
        (
            json!({ "workflows": [1], "indexed": false, "searched": null, "oldest": null, "complete": false, "readUnits": null }),
            "1 among the newest workflows.",
        ),
    ] {
        let text = browser.run(&format!("return howFar({answer})")).await.unwrap();
        assert_eq!(text, expected);
    }
    let answer = json!({ "workflows": [], "indexed": false, "searched": 2_000, "oldest": "2025-12-24T10:00:00.000Z", "complete": false, "readUnits": 1_000.0 });
    let text = browser.run(&format!("return howFar({answer})")).await.unwrap();
    let text = text.as_str().unwrap();
    assert!(
        text.contains(", back to ")
            && text.contains("2025")
            && text.ends_with("; it took 1,000 read units."),
        "{text}"
    );
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn the_list_is_read_less_often_while_nothing_happens() {
    let scene = Scene::start().await;
    scene.put("one", &workflow("completed", 60.0, &[])).await;
    let Some(browser) = browser("the_list_is_read_less_often", &scene.page("board")).await else {
        return;
    };
    browser.wait_for("overview && order.length === 1").await.unwrap();
    let reads =
        "performance.getEntriesByType('resource').filter(({ name }) => name.includes('/recent'))";
    // The first may have been before the overview came.
    browser.wait_for(&format!("{reads}.length >= 3")).await.unwrap();
    let pause = format!("const reads = {reads}; return reads[2].startTime - reads[1].startTime");
    let pause = browser.run(&pause).await.unwrap().as_f64().unwrap();
    assert!(pause > 10_000.0, "{pause} ms between two reads");
    // A workflow that begins is listed at once.
    let count = async || {
        let count = browser.run(&format!("return {reads}.length")).await.unwrap();
        count.as_u64().unwrap()
    };
    let before = count().await;
    scene.put("two", &workflow("processing", 1.0, &[])).await;
    browser.wait_for("order.length === 2").await.unwrap();
    // One read, or two if one was due anyway.
    let reads = count().await - before;
    assert!((1..=2).contains(&reads), "{reads} reads");
    console_is_quiet(&browser, &[]).await;
}

/// Five hundred workflows with fifty that run and twenty changes a second, for ten minutes. Of the
/// changes, two a second are ends, and two are new workflows.
#[tokio::test]
#[ignore = "a measurement of ten minutes"]
async fn a_busy_board_for_ten_minutes() {
    let seconds = std::env::var("SECONDS").map_or(600, |text| text.parse().unwrap());
    let scene = Scene::start().await;
    fill(&scene, 449, 50).await;
    let Some(browser) = Browser::start_traced().await.unwrap() else { return };
    browser.open(&scene.page("board")).await.unwrap();
    browser.look(WALL, false).await.unwrap();
    browser.wait_for("document.querySelectorAll('#lanes > li').length === 50").await.unwrap();
    browser.wait_for("document.querySelectorAll('#list li').length === 500").await.unwrap();
    browser
        .run(
            "window.long = []; window.frames = [];
             new PerformanceObserver((list) => { for (const task of list.getEntries()) window.long.push(Math.round(task.duration)); }).observe({ type: 'longtask' });
             let last = performance.now();
             const frame = (time) => { window.frames.push(time - last); last = time; requestAnimationFrame(frame); };
             requestAnimationFrame(frame);",
        )
        .await
        .unwrap();
    let memory = async || {
        browser.collect_garbage().await.unwrap();
        let memory = "return [Math.round(performance.memory.usedJSHeapSize / 1024), document.querySelectorAll('*').length]";
        browser.run(memory).await.unwrap()
    };
    let start = tokio::time::Instant::now();
    let mut slots: Vec<_> = (0..50).map(|n| (browser_session(n), start)).collect();
    let mut measured = Vec::new();
    let mut changes = 0_u32;
    for second in 0..seconds {
        if second % 60 == 0 {
            measured.push(memory().await);
        }
        for _ in 0..20 {
            let (session, since) = &mut slots[changes as usize % 50];
            let took = since.elapsed().as_secs_f64() + 1.0;
            changes += 1;
            let pdf = ("pdfAdapter", agent("success", took, Some(took * 0.8)));
            if changes.is_multiple_of(10) {
                let agents = [pdf, ("tradeExtraction", agent("success", took * 0.8, Some(0.0)))];
                let mut ended = workflow("completed", took, &agents);
                ended["lastUpdated"] = ago(0.0).into();
                scene.put(session, &ended).await;
                *session = format!("new-{changes:06}");
                *since = tokio::time::Instant::now();
                scene.put(session, &workflow("initializing", 0.0, &[])).await;
            } else {
                let mut working = agent("in-progress", took * 0.8, None);
                working["activity"] = json!(format!("Reading page {changes}"));
                let agents = [pdf, ("tradeExtraction", working)];
                scene.put(session, &workflow("processing", took, &agents)).await;
            }
        }
        tokio::time::sleep_until(start + Duration::from_secs(second + 1)).await;
    }
    measured.push(memory().await);
    let tasks = Tasks::of(&browser.trace().await.unwrap());
    let frames = browser
        .run("const sorted = window.frames.toSorted((a, b) => a - b), at = (part) => Math.round(10 * sorted[Math.floor(part * (sorted.length - 1))]) / 10;
              return { count: sorted.length, median: at(.5), p99: at(.99), longest: at(1), longTasks: window.long.length }")
        .await
        .unwrap();
    scene::print(&tasks.summary());
    scene::print(&format!(
        "{changes} changes; frames in ms: {frames}; KiB of heap and elements each minute: {measured:?}"
    ));
    console_is_quiet(&browser, &[]).await;
}

/// How long the tasks of a page kept its thread busy, in ms: other processes do not count.
#[derive(Default)]
struct Tasks {
    script: Vec<f64>,
    style_and_layout: Vec<f64>,
}

impl Tasks {
    fn of(trace: &[Value]) -> Self {
        let mut tasks = Self::default();
        for event in trace {
            let Some(busy) = event["tdur"].as_f64() else { continue };
            match event["name"].as_str().unwrap_or_default() {
                "FunctionCall" | "RunMicrotasks" | "EvaluateScript" => {
                    tasks.script.push(busy / 1_000.0);
                }
                "UpdateLayoutTree" | "Layout" => tasks.style_and_layout.push(busy / 1_000.0),
                _ => {}
            }
        }
        tasks
    }

    fn summary(self) -> String {
        let of = |mut times: Vec<f64>| {
            times.sort_by(f64::total_cmp);
            let at = |part: f64| times.get((part * times.len() as f64) as usize).or(times.last());
            let [median, p99, most] =
                [at(0.5), at(0.99), times.last()].map(|it| *it.unwrap_or(&0.0));
            format!("{} with a median of {median:.1}, p99 {p99:.1}, at most {most:.1}", times.len())
        };
        format!(
            "ms of the page's thread: script {}; style and layout {}",
            of(self.script),
            of(self.style_and_layout)
        )
    }
}

/// The name of a running session that [`fill`] has put there.
fn browser_session(n: u32) -> String {
    format!("running-{n:02}-{:08x}", 0x9d01_5b7c_u32.wrapping_mul(n + 1))
}

#[tokio::test]
async fn it_looks_as_its_pictures() {
    let scene = Scene::start().await;
    fill(&scene, 420, 14).await;
    let Some(browser) = browser("the board", &scene.page("board")).await else { return };
    for (name, size) in [("1280x800", DESKTOP), ("1920x1080", WALL), ("390x844", PHONE)] {
        for (scheme, dark) in [("light", false), ("dark", true)] {
            browser.look(size, dark).await.unwrap();
            browser.open(&scene.page("board")).await.unwrap();
            browser
                .wait_for("document.querySelectorAll('#lanes > li').length === 14")
                .await
                .unwrap();
            browser.wait_for("document.querySelectorAll('#list li').length === 435").await.unwrap();
            browser.screenshot(&artefact(&format!("board-{name}-{scheme}"))).await.unwrap();
        }
    }
    console_is_quiet(&browser, &[]).await;
}
