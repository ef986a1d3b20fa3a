//! Costs, models, attempts and budgets on the page.

use browser_tests::Browser;
use serde_json::{Value, json};

use crate::scene::{self, Scene, artefact};
use crate::{DESKTOP, PHONE, browser, console_is_quiet};

/// A workflow whose first agent was called three times, of two models, and which is over its budget.
fn expensive() -> Value {
    json!({
        "overallStatus": "completed", "createdAt": scene::ago(20.0), "completedAt": scene::ago(10.0),
        "lastUpdated": scene::ago(10.0), "revision": 6, "documentId": "FAB_26933659",
        "totalCostUsd": 0.512_345_6, "unpricedCalls": 1, "traceId": "0af7651916cd43dd8448eb211c80319c",
        "budgetUsd": 0.5, "budgetTokens": 10_000, "budgetExceededAt": scene::ago(12.0),
        "previousRun": { "overallStatus": "completed", "createdAt": scene::ago(70.0),
                         "completedAt": scene::ago(60.0), "totalCostUsd": 0.012_345 },
        "pdfAdapter": {
            "status": "success", "activity": "Text extraction complete", "calls": 12,
            "startedAt": scene::ago(20.0), "completedAt": scene::ago(15.0),
            "model": "gpt-4o-mini", "finishReason": "length", "timeToFirstChunk": 1.0,
            "costUsd": 0.5, "unpricedCalls": 1,
            "tokenUsage": {
                "inputTokens": 11_251, "outputTokens": 1_402, "totalTokens": 12_653,
                "cacheReadInputTokens": 1_800, "cacheWriteInputTokens": 1_200,
                "cacheWrite5mInputTokens": 1_000, "cacheWrite1hInputTokens": 200,
            },
            "models": {
                "gpt-4o": { "totalTokens": 600, "unpricedCalls": 1 },
                "gpt-4o-mini": { "totalTokens": 12_053, "costUsd": 0.5 },
            },
            "attempts": [
                { "by": "a", "startedAt": scene::ago(20.0), "duration": 0.4, "status": "error",
                  "errorType": "http_429", "requestId": "req_<b>1</b>", "retryAfter": 2.0 },
                { "by": "a", "startedAt": scene::ago(18.0), "duration": 3.0, "status": "success",
                  "model": "gpt-4o-mini", "tokenUsage": { "totalTokens": 1_204 } },
            ],
        },
        "tradeExtraction": {
            "status": "success", "activity": "Trade data extracted", "calls": 1,
            "startedAt": scene::ago(15.0), "completedAt": scene::ago(10.0),
            "model": "claude-sonnet-4-5", "finishReason": "end_turn",
            "costUsd": 0.012_345_6, "tokenUsage": { "totalTokens": 9 },
        },
    })
}

async fn shown(browser: &Browser, expression: &str) -> Value {
    browser.run(&format!("return {expression}")).await.unwrap()
}

async fn open(test: &str) -> Option<(Scene, Browser)> {
    let scene = Scene::start().await;
    scene.put("expensive", &expensive()).await;
    let browser = browser(test, &scene.page("expensive")).await?;
    browser.wait_for("document.querySelectorAll('#steps > li').length === 4").await.unwrap();
    browser.wait_for("document.querySelector('#list li')").await.unwrap();
    Some((scene, browser))
}

#[tokio::test]
async fn the_cost_is_a_card_a_column_and_a_cell() {
    let Some((_scene, browser)) = open("the_cost_is_a_card").await else { return };
    let card = shown(&browser, "['cost', 'cost-note'].map((id) => $(id).textContent).concat($('cost').title, $('cost-tile').hidden)").await;
    let exact = "≥ $0.5123456; the cost of 1 call is not fully known";
    let expected = json!(["≥ $0.51", "1 call not fully priced, budget $0.50", exact, false]);
    assert_eq!(card, expected);
    let column = "[...document.querySelectorAll('#list .cost')].map((node) => [node.textContent, node.title])";
    assert_eq!(shown(&browser, column).await, json!([["≥ $0.51", exact]]));
    let of_agents = "[...document.querySelectorAll('#steps .used .cost')].map((node) => node.hidden ? null : [node.textContent, node.title])";
    let first = "≥ $0.5; the cost of 1 call is not fully known";
    let expected = json!([["≥ $0.50", first], ["$0.0123", "$0.0123456"], null, null]);
    assert_eq!(shown(&browser, of_agents).await, expected);
    let cells = "[...document.querySelectorAll('#tokens tr')].map((row) => row.lastElementChild.textContent)";
    assert_eq!(shown(&browser, cells).await, json!(["Cost", "≥ $0.50", "$0.0123", "≥ $0.51"]));
    // Beside the tokens.
    assert_eq!(
        shown(&browser, "$('cost-tile').previousElementSibling.querySelector('.big').id").await,
        "total"
    );
    let facts = shown(&browser, "$('facts').textContent").await;
    assert!(facts.as_str().unwrap().contains("traceId0af7651916cd43dd8448eb211c80319c"), "{facts}");
    let run = "[$('previous-run').textContent.endsWith(', $0.0123'), $('previous-run').title]";
    assert_eq!(shown(&browser, run).await, json!([true, "$0.012345"]));
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn an_agent_has_its_model_and_why_it_stopped() {
    let Some((_scene, browser)) = open("an_agent_has_its_model").await else { return };
    let agents = "[...document.querySelectorAll('#steps > li')].map((step) => ['.model', '.finish', '.first-token'].map(
                    (part) => { const node = step.querySelector(part); return node.closest('[hidden]') ? null : node.textContent; }))";
    let expected = json!([
        ["gpt-4o-minifirst token after 1.0 s", "stopped: length", "first token after 1.0 s"],
        ["claude-sonnet-4-5", null, ""],
        [null, null, null],
        [null, null, null],
    ]);
    assert_eq!(shown(&browser, agents).await, expected);
    let models = "[...document.querySelectorAll('#steps .models:not([hidden]) tr')].map((row) => [...row.children].map((cell) => cell.textContent))";
    let expected = json!([
        ["Model", "Tokens", "Cost"],
        ["gpt-4o", "600", "unknown"],
        ["gpt-4o-mini", "12,053", "$0.50"],
    ]);
    assert_eq!(shown(&browser, models).await, expected);
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn attempts_are_a_list_and_marks_on_the_time_line() {
    let Some((scene, browser)) = open("attempts_are_a_list").await else { return };
    let list = "[...document.querySelectorAll('#steps .attempts:not([hidden])')].map((list) => [list.open, list.firstChild.textContent,
                  ...[...list.querySelectorAll('li')].map((li) => [...li.querySelectorAll('.fact')].map((fact) => fact.textContent.replace(/^.*:.*:.*$/, 'time')))])";
    let expected = json!([[
        false,
        "The last 2 of 12 calls, 1 failed",
        [
            "Attempt 11",
            "time",
            "0.4 s",
            "failed",
            "http_429",
            "retry after 2.0 s",
            "request req_<b>1</b>"
        ],
        ["Attempt 12", "time", "3.0 s", "done", "gpt-4o-mini", "1,204 tokens"],
    ]]);
    assert_eq!(shown(&browser, list).await, expected);
    // In the JSON they are also the agent's steps, which are not shown twice.
    let steps = "[shown.workflow.agents.pdfAdapter.subSteps.length, document.querySelectorAll('.sub-steps:not([hidden])').length]";
    assert_eq!(shown(&browser, steps).await, json!([2, 0]));
    // The keyboard opens the list.
    browser.run("document.querySelector('.attempts:not([hidden]) summary').focus()").await.unwrap();
    browser.press(&[browser_tests::key::ENTER]).await.unwrap();
    browser.wait_for("document.querySelector('.attempts').open").await.unwrap();
    browser.screenshot(&artefact("attempts")).await.unwrap();

    // The run took 10 s: its calls began at its start and 2 s later, and the first token came 1 s after
    // that. The times are those of several calls, a moment apart.
    let marks = "const near = (node, name) => Math.round(parseFloat(node.style[name]) / 2) * 2;
                 const lane = document.querySelector('.lane'), first = lane.querySelector('.first');
                 return [...[...lane.querySelectorAll('u')].map((mark) => [near(mark, 'left'), near(mark, 'width'), mark.dataset.state, mark.title]),
                   [near(first, 'left'), first.hidden, first.title]]";
    let expected = json!([
        [0, 4, "error", "Attempt 11: http_429 after 0.4 s"],
        [20, 30, "success", "Attempt 12: done after 3.0 s"],
        [30, false, "first token after 1.0 s"],
    ]);
    assert_eq!(browser.run(marks).await.unwrap(), expected);
    // Those of an older writer are.
    let mut noted = expensive();
    noted["pdfAdapter"]["subSteps"] = json!([{ "title": "Read" }, { "title": "Split" }]);
    scene.put("noted", &noted).await;
    browser.open(&scene.page("noted")).await.unwrap();
    browser
        .wait_for("document.querySelectorAll('.sub-steps:not([hidden]) li').length === 2")
        .await
        .unwrap();
    let others = "[...document.querySelectorAll('.lane')].slice(1).map((lane) => lane.querySelectorAll('u, .first:not([hidden])').length)";
    assert_eq!(shown(&browser, others).await, json!([0, 0, 0]));
    let legend = "['marks', 'marks-first', 'marks-tries'].map((id) => $(id).hidden)";
    assert_eq!(shown(&browser, legend).await, json!([false, false, false]));
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn a_budget_that_was_exceeded_is_a_note() {
    let Some((scene, browser)) = open("a_budget_that_was_exceeded").await else { return };
    let note = "[$('budget').hidden, $('budget').lastChild.textContent, $('budget').firstChild.textContent.startsWith('Over its budget since ')]";
    let expected =
        json!([false, "≥ $0.51 of at most $0.50; 12,662 of at most 10,000 tokens", true]);
    assert_eq!(shown(&browser, note).await, expected);
    // A budget that is kept is only beside the cost.
    let mut kept = expensive();
    kept.as_object_mut().unwrap().remove("budgetExceededAt");
    kept["overallStatus"] = json!("processing");
    scene.put("kept", &kept).await;
    browser.open(&scene.page("kept")).await.unwrap();
    browser.wait_for("$('session').textContent === 'kept'").await.unwrap();
    assert_eq!(shown(&browser, "$('budget').hidden").await, true);
    // It is said when it happens.
    kept["budgetExceededAt"] = json!(scene::ago(0.0));
    scene.put("kept", &kept).await;
    browser.wait_for("!$('budget').hidden").await.unwrap();
    browser.wait_for("$('spoken').textContent.includes('over its budget')").await.unwrap();
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn what_is_written_to_the_cache_is_shown_beside_what_is_read() {
    let Some((_scene, browser)) = open("what_is_written_to_the_cache").await else { return };
    let row = "[...document.querySelectorAll('#tokens-of tr')].map((row) => [...row.children].slice(3, 5).map((cell) => [cell.hidden, ...[...cell.childNodes].map((node) => node.textContent)]))";
    let expected = json!([
        [[false, "1,800"], [false, "1,200", "5 min 1,000", "1 h 200"]],
        [[false, "–"], [false, "–"]],
    ]);
    assert_eq!(shown(&browser, row).await, expected);
    assert_eq!(shown(&browser, "$('legend-stored').hidden").await, false);
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn an_item_without_any_of_it_looks_as_before() {
    let scene = Scene::start().await;
    scene.fill(0).await;
    let Some(browser) = browser("an_item_without_any_of_it", &scene.page("completed")).await else {
        return;
    };
    browser.wait_for("document.querySelectorAll('#steps > li').length === 4").await.unwrap();
    browser.wait_for("document.querySelectorAll('#list li').length === 4").await.unwrap();
    // Everything that is new is hidden.
    let new = "[...document.querySelectorAll('#cost-tile, #budget, #marks, #head-stored, #head-cost, #legend-stored, .cost, .finish, .model, .models, .attempts, .first')].filter((node) => !node.hidden).map((node) => node.className || node.id)";
    assert_eq!(shown(&browser, new).await, json!([]));
    let columns = "[...document.querySelectorAll('#tokens thead th:not([hidden])')].map((cell) => cell.textContent)";
    let expected = json!(["Agent", "Share", "Input", "Cached", "Output", "Reasoning", "Total"]);
    assert_eq!(shown(&browser, columns).await, expected);
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn it_fits_into_any_window() {
    let Some((scene, browser)) = open("it_fits_into_any_window").await else { return };
    let mut long = expensive();
    long["totalCostUsd"] = json!(1_234_567.899);
    let agent = &mut long["pdfAdapter"];
    for (name, text) in [("model", "m"), ("finishReason", "f")] {
        agent[name] = text.repeat(120).into();
    }
    agent["models"] = json!({ "m".repeat(120): { "totalTokens": 123_456_789, "costUsd": 1_234_567.899 }, "n": {} });
    agent["attempts"][0]["requestId"] = "r".repeat(128).into();
    scene.put("long", &long).await;
    for (width, height) in
        [(360, 640), PHONE, (800, 600), (900, 700), (1100, 800), DESKTOP, (2560, 1440)]
    {
        for dark in [false, true] {
            browser.look((width, height), dark).await.unwrap();
            for session in ["expensive", "long"] {
                browser.open(&scene.page(session)).await.unwrap();
                browser
                    .wait_for(&format!("$('session').textContent === '{session}'"))
                    .await
                    .unwrap();
                browser.run("document.querySelector('.attempts').open = true").await.unwrap();
                let beyond = "[...document.querySelectorAll('#workflow *:not(.spoken):not(.spoken *)')]
                    .filter((node) => node.getBoundingClientRect().right > innerWidth + 1 && !node.closest('.lane, .ticks'))
                    .map((node) => node.tagName + '.' + node.getAttribute('class'))";
                assert_eq!(shown(&browser, beyond).await, json!([]), "{width} {session}");
                // The head of the table is one line, and each agent's name two at most.
                let head = "$('tokens').querySelector('th').getBoundingClientRect().height < 45";
                assert_eq!(shown(&browser, head).await, true, "{width} {session}");
                // Within its tile, too.
                let tile = "[...document.querySelectorAll('.tile:not([hidden])')].filter((tile) => {
                    const range = document.createRange();
                    range.selectNodeContents(tile.querySelector('.big'));
                    return range.getBoundingClientRect().right > tile.getBoundingClientRect().right - 8;
                  }).map((tile) => tile.textContent)";
                assert_eq!(shown(&browser, tile).await, json!([]), "{width} {session}");
            }
        }
        for dark in [false, true] {
            browser.look((width, height), dark).await.unwrap();
            browser.open(&scene.page("expensive")).await.unwrap();
            browser.wait_for("$('session').textContent === 'expensive'").await.unwrap();
            let scheme = if dark { "dark" } else { "light" };
            browser.screenshot(&artefact(&format!("costs-{width}-{scheme}"))).await.unwrap();
        }
    }
    console_is_quiet(&browser, &[]).await;
}
