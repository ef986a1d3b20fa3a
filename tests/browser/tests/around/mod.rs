//! What there is around a workflow: its id, its JSON, its trace and the workflows that belong to it.

use serde_json::{Value, json};

use crate::scene::{self, Scene, ago, artefact};
use crate::{DESKTOP, PHONE, browser, console_is_quiet};

fn run(correlation: &str, document: &str, began: f64) -> Value {
    let mut item = scene::workflow("completed", began, began - 12.0);
    item["correlationId"] = json!(correlation);
    item["documentId"] = json!(document);
    item
}

async fn fill(scene: &Scene) {
    let mut chosen = run("corr_1", "FAB_1", 100.0);
    chosen["traceId"] = json!("0af7651916cd43dd8448eb211c80319c");
    scene.put("chosen", &chosen).await;
    scene.put("sibling", &run("corr_1", "FAB_2", 90.0)).await;
    scene.put("before", &run("corr_2", "FAB_1", 500.0)).await;
    scene.put("long-before", &run("corr_3", "FAB_1", 900.0)).await;
    scene.put("after", &run("corr_4", "FAB_1", 50.0)).await;
    scene.put("other", &run("corr_5", "FAB_3", 40.0)).await;
}

#[tokio::test]
async fn related_runs_are_listed_and_searched_for() {
    let scene = Scene::start().await;
    fill(&scene).await;
    let Some(browser) = browser("related_runs", &scene.page("chosen")).await else { return };
    browser.wait_for("document.querySelectorAll('#related-of li').length === 2").await.unwrap();
    let related = "return [...document.querySelectorAll('#related-of li')].map((item) => [item.querySelector('.name').textContent, item.querySelector('.how').textContent])";
    assert_eq!(
        browser.run(related).await.unwrap(),
        json!([["before", "previous, same document"], ["sibling", "same correlation id"]])
    );
    for (name, size) in [("1280x800", DESKTOP), ("390x844", PHONE)] {
        browser.look(size, false).await.unwrap();
        browser.run("document.getElementById('related').scrollIntoView()").await.unwrap();
        browser.screenshot(&artefact(&format!("related-{name}"))).await.unwrap();
    }
    browser.look(DESKTOP, false).await.unwrap();
    // The table has more than the list.
    browser.run("document.getElementById('search-related').click()").await.unwrap();
    browser.wait_for("document.querySelectorAll('#found li').length === 2").await.unwrap();
    let found =
        "return [...document.querySelectorAll('#found .name')].map((name) => name.textContent)";
    assert_eq!(browser.run(found).await.unwrap(), json!(["sibling", "chosen"]));
    let how_far = "return document.getElementById('further-result').textContent";
    let how_far = browser.run(how_far).await.unwrap();
    assert_eq!(how_far, "2 in the table's index of this attribute.");
    assert_eq!(browser.run("return location.search").await.unwrap(), "?q=correlationId%3Acorr_1");
    // One is chosen, and the other way round.
    browser.run("document.querySelector('#found a').click()").await.unwrap();
    browser.wait_for("document.getElementById('session').textContent === 'sibling'").await.unwrap();
    browser
        .wait_for("document.querySelector('#related-of .name').textContent === 'chosen'")
        .await
        .unwrap();
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn the_id_is_copied_and_the_json_downloaded() {
    let scene = Scene::start().await;
    fill(&scene).await;
    let Some(browser) = browser("the_id_is_copied", &scene.page("chosen")).await else { return };
    browser.wait_for("shown").await.unwrap();
    // What the system's clipboard and its disk would get.
    browser
        .run(
            "Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (text) => { window.copied = text; } } });
             const make = URL.createObjectURL;
             URL.createObjectURL = (blob) => { blob.text().then((text) => { window.json = text; }); return make(blob); };
             HTMLAnchorElement.prototype.click = function () { window.file = this.download; };",
        )
        .await
        .unwrap();
    browser.run("document.getElementById('copy').click()").await.unwrap();
    browser.wait_for("window.copied === 'chosen'").await.unwrap();
    browser
        .wait_for("document.getElementById('around-result').textContent === 'Copied.'")
        .await
        .unwrap();
    browser.run("document.getElementById('download').click()").await.unwrap();
    browser.wait_for("window.json").await.unwrap();
    let saved = "const { sessionId, attributes } = JSON.parse(window.json); return [window.file, sessionId, attributes.documentId]";
    let saved = browser.run(saved).await.unwrap();
    assert_eq!(saved, json!(["chosen.json", "chosen", "FAB_1"]));
    console_is_quiet(&browser, &[]).await;
}

#[tokio::test]
async fn a_trace_is_linked_where_the_host_says_where_it_is() {
    let scene = Scene::start_with(|portal| {
        portal.trace_url("https://traces.example/t/{traceId}?x=1").unwrap()
    })
    .await;
    fill(&scene).await;
    let hostile = {
        let mut item = run("corr_9", "FAB_9", 30.0);
        item["traceId"] = json!("\"><img src=x onerror=alert(1)>/../");
        item
    };
    scene.put("hostile", &hostile).await;
    scene.put("running", &json!({ "overallStatus": "processing", "createdAt": ago(3.0), "lastUpdated": ago(0.0), "revision": 1 })).await;
    let Some(browser) = browser("a_trace_is_linked", &scene.page("chosen")).await else { return };
    let trace =
        "const trace = document.getElementById('trace'); return trace.hidden ? null : trace.href";
    for (session, expected) in [
        ("chosen", json!("https://traces.example/t/0af7651916cd43dd8448eb211c80319c?x=1")),
        (
            "hostile",
            json!(
                "https://traces.example/t/%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E%2F..%2F?x=1"
            ),
        ),
        ("running", Value::Null),
    ] {
        browser.open(&scene.page(session)).await.unwrap();
        browser.wait_for(&format!("shown?.workflow.sessionId === '{session}'")).await.unwrap();
        assert_eq!(browser.run(trace).await.unwrap(), expected, "{session}");
    }
    console_is_quiet(&browser, &[]).await;
}
