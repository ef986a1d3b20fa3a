//! `--prices` of `inspect` and `demo`.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{File, Finished, command};

const BODY: &str = r#"{"model":"gpt-4o-mini","choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}}"#;
/// Writes to a cache for an hour, for which the list has no price.
const LEAST: &str = r#"{"type":"message","model":"gpt-4o-mini","content":[{"type":"text","text":"x"}],"usage":{"input_tokens":10,"output_tokens":5,"cache_creation_input_tokens":200,"cache_creation":{"ephemeral_1h_input_tokens":200}}}"#;
const LIST: &str = r#"{"gpt-4o-mini":{"input_cost_per_token":1.5e-07,"output_cost_per_token":6e-07,"litellm_provider":"openai"}}"#;

/// A file that is removed at the end of the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("{name}-{}.json", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn inspect(arguments: &[&str], body: &str, variable: Option<&str>) -> Finished {
    let file = Temporary::new(&format!("body-{}", fastrand::u64(..)), body);
    let mut command = command();
    command.args(["inspect", "--content-type", "application/json"]).args(arguments);
    if let Some(prices) = variable {
        command.env("STATUS_PRICES", prices);
    }
    Finished::of(command.arg(file.path()).output().unwrap())
}

#[test]
fn a_cost_is_printed_with_what_it_lacks() {
    let list = Temporary::new("prices", LIST);
    let cost = |body: &str| -> (Value, Value) {
        let mut report = inspect(&["--prices", list.path()], body, None).assert_code(0).json();
        (report["costUsd"].take(), report["costNote"].take())
    };
    assert_eq!(cost(BODY), (json!(0.000_21), Value::Null));
    let other = BODY.replace("gpt-4o-mini", "gpt-9");
    let why = "unknown: the price list has no entry for the model (gpt-9)";
    assert_eq!(cost(&other), (Value::Null, json!(why)));
    let (_, why) = cost(r#"{"model":"gpt-4o-mini","usage":{"total_tokens":5}}"#);
    assert_eq!(why, "unknown: the response reports only the total of its tokens (gpt-4o-mini)");
    let (least, why) = cost(LEAST);
    assert_eq!(
        (least, why),
        (json!(0.000_034_5), json!("a minimum: the list lacks a price for a part of the call"))
    );
    let (_, why) = cost(r#"{"usage":{"prompt_tokens":1000,"completion_tokens":1}}"#);
    assert_eq!(why, "unknown: neither the response nor the request names a model");
    // Without a list there is nothing to say.
    let report = inspect(&[], BODY, None).assert_code(0).json();
    assert_eq!((report.get("costUsd"), report.get("costNote")), (None, None));
}

#[test]
fn the_text_has_the_cost_too() {
    let list = Temporary::new("prices-text", LIST);
    let text = |body: &str| {
        inspect(&["--explain", "--prices", list.path()], body, None).assert_code(0).out
    };
    assert!(text(BODY).ends_with("Cost\n  $0.00021, by the price list.\n"), "{}", text(BODY));
    let least = text(LEAST);
    let expected = "Cost\n  At least $0.0000345, by the price list: the list lacks a price for a part of the call.\n";
    assert!(least.ends_with(expected), "{least}");
    let unknown = text(&BODY.replace("gpt-4o-mini", "\u{9b}31m"));
    assert!(unknown.contains("Cost\n  Not known: "), "{unknown}");
    assert!(!unknown.contains('\u{9b}'), "{unknown}");
    let reported =
        text(&BODY.replace("\"total_tokens\":1100", "\"total_tokens\":1100,\"cost\":0.0042"));
    assert!(reported.ends_with("Cost\n  $0.0042, as the response reports.\n"), "{reported}");
    assert!(!inspect(&["--explain"], BODY, None).out.contains("Cost"));
}

#[test]
fn the_variable_names_the_list_and_the_option_goes_first() {
    let list = Temporary::new("prices-variable", LIST);
    let report = inspect(&[], BODY, Some(list.path())).assert_code(0).json();
    assert_eq!(report["costUsd"], json!(0.000_21));
    let none = inspect(&[], BODY, Some("")).assert_code(0).json();
    assert_eq!(none.get("costUsd"), None);
    let dear = Temporary::new("prices-option", &LIST.replace("1.5e-07", "1"));
    let report = inspect(&["--prices", dear.path()], BODY, Some(list.path())).assert_code(0).json();
    assert_eq!(report["costUsd"], json!(1_000.000_06));
}

#[test]
fn a_bad_list_is_one_error_at_the_start() {
    let bad = |text: &str| Temporary::new(&format!("bad-{}", fastrand::u64(..)), text);
    let lists = [
        (bad("{nonsense"), "is not JSON"),
        (bad("[]"), "is not a JSON object that maps models to their prices"),
        (
            bad(&LIST.replace("1.5e-07", "-1.5e-07")),
            "has a price that is negative: `input_cost_per_token` of `gpt-4o-mini` is -1.5e-07",
        ),
        (bad(&LIST.replace("6e-07", "\"free\"")), "`output_cost_per_token` of `gpt-4o-mini`"),
    ];
    let missing = Temporary::new("missing", "");
    std::fs::remove_file(&missing.0).unwrap();
    let lists = lists.iter().map(|(list, why)| (list.path(), *why));
    for (list, why) in lists.chain([(missing.path(), "cannot be read")]) {
        let file = File::new(&format!("bad-prices-{}", fastrand::u64(..)));
        let demo = file.run(["demo", "--pace", "0", "--prices", list]);
        for output in [inspect(&["--prices", list], BODY, None), demo] {
            let output = output.assert_code(2).assert_stderr(&[list, why]);
            assert_eq!((output.out.as_str(), output.err.lines().count()), ("", 1), "{output:#?}");
        }
    }
}

#[test]
fn the_demo_shows_costs_and_attempts() {
    let file = File::new("demo-costs");
    file.run(["demo", "--pace", "0"]).assert_code(0);
    let list = file.run(["list", "--json", "--status", "completed"]).assert_code(0).json();
    for row in list.as_array().unwrap() {
        assert!(row["totalCostUsd"].as_f64().unwrap() > 0.01, "{row}");
        assert_eq!(row.get("unpricedCalls"), None, "{row}");
    }
    let items = list.as_array().unwrap().iter().map(|row| {
        let id = row["sessionId"].as_str().unwrap();
        file.run(["show", "--json", id]).assert_code(0).json()
    });
    let retried = items.into_iter().find(|item| item["exceptionManagement"]["calls"] == 2).unwrap();
    let agent = &retried["exceptionManagement"];
    let attempts: Vec<_> = agent["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| attempt["status"].clone())
        .collect();
    assert_eq!(
        (agent["status"].as_str(), attempts),
        (Some("success"), vec![json!("error"), json!("success")])
    );
    assert_eq!(
        (&agent["attempts"][0]["errorType"], &agent["attempts"][0]["retryAfter"]),
        (&json!("http_429"), &json!(2))
    );
    assert_eq!(retried["tradeMatching"]["finishReason"], "length");
    assert_eq!(retried["tradeExtraction"]["model"], "claude-sonnet-4-5-20250929");
    assert_eq!(retried["tradeExtraction"]["finishReason"], "end_turn");

    // By a list that lacks the models, the costs are not known.
    let (file, list) = (File::new("demo-prices"), Temporary::new("demo-prices", LIST));
    file.run(["demo", "--pace", "0", "--prices", list.path()]).assert_code(0);
    let found = file.run(["list", "--json", "--status", "completed"]).assert_code(0).json();
    assert!(found[0]["unpricedCalls"].as_u64().unwrap() > 0, "{found}");
    assert!(found[0]["totalCostUsd"].as_f64().unwrap() > 0.0, "{found}");
}
