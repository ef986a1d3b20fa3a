//! Stored texts with escape sequences that a terminal would interpret.

use serde_json::json;

use crate::support::{File, Finished, HOUR, SECOND, agent, item, with};

/// Sets a title, rings the bell, clears the screen, uses C1 controls, overwrites the line, and
/// reverses text.
const HOSTILE: &str = "x\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{7f}\r\n\u{202e}y\u{e0041}";

#[track_caller]
fn assert_harmless(output: &Finished) {
    for text in [&output.out, &output.err] {
        let harmful = text.chars().find(|c| {
            (c.is_control() && *c != '\n') || matches!(c, '\u{202e}' | '\u{e0041}' | '\u{9b}')
        });
        assert_eq!(harmful, None, "{output:#?}");
    }
}

#[tokio::test]
async fn stored_texts_are_escaped_on_the_terminal() {
    let file = File::new("hostile");
    let mut bad = agent("error");
    for name in ["activity", "error", "errorType"] {
        bad[name] = HOSTILE.into();
    }
    let mut workflow = with(item("failed", HOUR), HOSTILE, bad);
    for name in ["correlationId", "error", "documentId", "a\u{1b}[31m"] {
        workflow[name] = HOSTILE.into();
    }
    workflow["other"] = json!({ HOSTILE: HOSTILE });
    file.put(HOSTILE, workflow).await;
    file.put("running", with(item("processing", SECOND), HOSTILE, agent("in-progress"))).await;

    for arguments in [
        &["list"][..],
        &["list", "--json"],
        &["list", "--csv"],
        &["show", HOSTILE],
        &["show", HOSTILE, "--json"],
        &["watch", HOSTILE],
        &["watch", HOSTILE, "--json"],
        &["watch", "running", "--timeout", "200ms"],
        &["show", "\u{1b}[31mnobody"],
        &["watch", "\u{1b}[31mnobody", "--timeout", "200ms"],
        &["delete", "\u{1b}[31mnobody", "--yes"],
    ] {
        let mut output = file.run(arguments);
        if arguments.contains(&"--csv") {
            // Its lines end so. Three of them are all line breaks that there are.
            assert_eq!(output.out.matches("\r\n").count(), 3, "{output:#?}");
            output.out = output.out.replace("\r\n", "\n");
        }
        assert_harmless(&output);
        let is_known = arguments.contains(&"list") || output.code != Some(2);
        assert!(is_known, "{output:#?}");
    }
    // The JSON parses to the original text.
    let shown = file.run(["show", HOSTILE, "--json"]).assert_code(0).json();
    assert_eq!(shown["sessionId"], HOSTILE);
    assert_eq!(shown[HOSTILE]["activity"], HOSTILE);
    assert_eq!(file.run(["list", "--json"]).json()[1]["sessionId"], HOSTILE);
    file.run(["delete", HOSTILE, "--yes"]).assert_code(0);
    assert!(!file.has(HOSTILE).await);
}
