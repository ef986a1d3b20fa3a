//! Price lists that are right, and those that are not.

use super::*;

fn fault(json: &str) -> String {
    Prices::from_json(json).unwrap_err().to_string()
}

#[test]
fn a_price_that_is_none_is_named() {
    for (entry, expected) in [
        (
            r#"{"input_cost_per_token": -1e-9}"#,
            "negative: `input_cost_per_token` of `gpt-4o` is -1e-9",
        ),
        (
            r#"{"input_cost_per_token": "1e-9"}"#,
            "not a number: `input_cost_per_token` of `gpt-4o` is \"1e-9\"",
        ),
        (
            r#"{"output_cost_per_token_flex": true}"#,
            "not a number: `output_cost_per_token_flex` of `gpt-4o` is true",
        ),
        (
            r#"{"input_cost_per_token": [1]}"#,
            "not a number: `input_cost_per_token` of `gpt-4o` is [1]",
        ),
        (
            r#"{"input_cost_per_token": 1e4000}"#,
            "more than 10,000 USD: `input_cost_per_token` of `gpt-4o` is 1e4000",
        ),
        (
            r#"{"search_context_cost_per_query": {"search_context_size_low": -1}}"#,
            "negative: `search_context_cost_per_query.search_context_size_low` of `gpt-4o` is -1",
        ),
        (
            r#"{"search_context_cost_per_query": "free"}"#,
            "not a number: `search_context_cost_per_query` of `gpt-4o` is \"free\"",
        ),
        (
            r#"{"off_peak_pricing": {"input_cost_per_token": -1}}"#,
            "negative: `off_peak_pricing.input_cost_per_token` of `gpt-4o` is -1",
        ),
        (
            r#"{"tiered_pricing": [{"range": [0, 1], "output_cost_per_token": "?"}]}"#,
            "not a number: `tiered_pricing[0].output_cost_per_token` of `gpt-4o` is \"?\"",
        ),
    ] {
        let json = format!(r#"{{"gpt-4": {{"input_cost_per_token": 1}}, "gpt-4o": {entry}}}"#);
        assert_eq!(fault(&json), format!("the price list has a price that is {expected}"));
    }
    let json = format!(r#"{{"a": {{"input_cost_per_token": "{}"}}}}"#, "é".repeat(1000));
    assert!(fault(&json).len() < 200);
    let error = Prices::from_json(r#"{"a": {"input_cost_per_request": "?"}}"#).unwrap_err();
    assert_eq!((error.entry(), error.field()), (Some("a"), Some("input_cost_per_request")));
}

#[test]
fn what_is_not_used_may_be_anything() {
    for value in ["-1", "\"text\"", "null", "{}", "[[]]", "true", "1e999"] {
        let json = format!(
            r#"{{"a": {{"input_cost_per_token": 1, "output_cost_per_second": {value}, "x": {value},
                "aliases": {value}, "alias_of": {value}, "mode": {value}, "litellm_provider": {value},
                "tiered_pricing": {value}, "off_peak_pricing": {value}, "web_search_billing_unit": {value}}}, "b": {value}}}"#
        );
        let prices = Prices::from_json(&json).unwrap_or_else(|error| panic!("{value}: {error}"));
        assert_eq!(prices.entry_name(&["a"], None), Some("a"), "{value}");
    }
}

#[test]
fn what_is_not_a_list_is_refused() {
    for json in ["", "{", "{\"a\"}", "nonsense", "{} {}"] {
        assert!(fault(json).starts_with("the price list is not JSON: "), "{json}");
    }
    for json in ["[]", "1", "null", "\"{}\""] {
        assert_eq!(
            fault(json),
            "the price list is not a JSON object that maps models to their prices"
        );
    }
    assert!(Prices::from_json(b"{\"a\xff\": {}}").unwrap_err().to_string().contains("not JSON"));
    let deep = "[".repeat(1_000_000);
    assert!(fault(&format!(r#"{{"a": {{"x": {deep}"#)).contains("not JSON"));
    let large = format!("{{}}{}", " ".repeat(32_000_000));
    assert_eq!(fault(&large), "the price list is larger than 32 MB");
    assert!(Prices::from_json(&large[..32_000_000]).unwrap().is_empty());
    assert_eq!(Prices::from_json("\u{feff}{\"a\": {}}").unwrap().len(), 1);
}

#[test]
fn a_file_is_named() {
    let folder = std::env::temp_dir().join(format!("prices-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("prices.json");
    let error = Prices::from_file(&path).unwrap_err();
    let name = path.display();
    assert!(
        error.to_string().starts_with(&format!("the price list {name} cannot be read: ")),
        "{error}"
    );
    assert_eq!(error.file(), Some(&*path));
    std::fs::write(&path, r#"{"a": {"input_cost_per_token": -1}}"#).unwrap();
    assert_eq!(
        Prices::from_file(&path).unwrap_err().to_string(),
        format!(
            "the price list {name} has a price that is negative: `input_cost_per_token` of `a` is -1"
        )
    );
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(40_000_000).unwrap();
    assert_eq!(
        Prices::from_file(&path).unwrap_err().to_string(),
        format!("the price list {name} is larger than 32 MB")
    );
    assert!(Prices::from_file(&folder).is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Run by the next test, in a process with variables of its own.
#[test]
#[ignore = "run by another test"]
fn from_the_environment() {
    match Prices::from_env() {
        Ok(prices) => println!("{:?}.", prices.map(|prices| prices.len())),
        Err(error) => println!("{error}"),
    }
}

#[test]
fn a_variable_names_the_file() {
    let path = std::env::temp_dir().join(format!("prices-variable-{}.json", std::process::id()));
    std::fs::write(&path, r#"{"a": {"input_cost_per_token": 1}}"#).unwrap();
    let read = |value: Option<&std::path::Path>| {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["pricing::tests::lists::from_the_environment", "--exact", "--ignored"]);
        child.arg("--nocapture").env_remove("STATUS_PRICES");
        if let Some(value) = value {
            child.env("STATUS_PRICES", value);
        }
        String::from_utf8(child.output().unwrap().stdout).unwrap()
    };
    assert!(read(Some(&path)).contains("Some(1)."));
    std::fs::remove_file(&path).unwrap();
    let missing = format!("the price list {} cannot be read: ", path.display());
    assert!(read(Some(&path)).contains(&missing));
    for none in [None, Some("".as_ref())] {
        assert!(read(none).contains("None."), "{none:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_list_or_refused(text in r#"(\{"a": ?)?([-{}\[\]",:0-9.eE ]|"(input_cost_per_token|range|tiered_pricing|hours_utc)"|null|true){0,40}|.*"#) {
        let _ = Prices::from_json(text);
    }

    #[test]
    fn any_value_of_a_field_is_read_or_named(
        field in "input_cost_per_token|tiered_pricing|off_peak_pricing|search_context_cost_per_query|aliases|alias_of",
        value in r#"null|-?[0-9]{1,3}(\.[0-9]{1,3})?(e-?[0-9]{1,2})?|"[a-z:0-9-]{0,8}"|\[[0-9]?\]|\{"range": ?\[[0-9]{1,3}, ?-?[0-9]{1,3}\], ?"input_cost_per_token": ?-?[0-9]\}"#,
        in_list in any::<bool>(),
    ) {
        let value = if in_list { format!("[{value}]") } else { value };
        // A number in JSON does not begin with a zero.
        let value = value.replace(['0'], "1");
        let json = format!(r#"{{"a": {{"{field}": {value}}}}}"#);
        if let Err(error) = Prices::from_json(&json) {
            prop_assert_eq!(error.entry(), Some("a"), "{}: {}", json, error);
            prop_assert!(error.field().is_some_and(|named| named.starts_with(&field)));
        }
    }
}
