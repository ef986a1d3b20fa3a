//! Settings from the environment. Each case runs in its own process, since all tests share the
//! environment of this one.

use std::process::Command;

use tower_agent_status::store::DynamoDbStore;

use crate::warnings::Warnings;

/// The output of `from_env` in a process with these variables and no other AWS settings.
pub(crate) fn from_env(variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["environment::child", "--exact", "--ignored", "--nocapture"])
        .env_clear()
        // Neither this machine's settings nor those of an instance count.
        .env("HOME", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Run by the other tests, in a process of its own.
#[tokio::test]
#[ignore = "run by the other tests"]
async fn child() {
    let warnings = Warnings::watch();
    let outcome = DynamoDbStore::from_env().await;
    let warnings = warnings.take();
    match outcome {
        Ok(store) => println!("ok: {} {} {warnings:?}", store.table_name(), region(&store)),
        Err(error) => println!("error: {error} {warnings:?}"),
    }
}

fn region(store: &DynamoDbStore) -> &str {
    store.client().config().region().unwrap().as_ref()
}

pub(crate) const TABLE: (&str, &str) = ("STATUS_TABLE_NAME", "agent-status");
pub(crate) const REGION: (&str, &str) = ("AWS_REGION", "eu-west-1");
pub(crate) const KEY: (&str, &str) = ("AWS_ACCESS_KEY_ID", "test");
pub(crate) const SECRET: (&str, &str) = ("AWS_SECRET_ACCESS_KEY", "very-secret-indeed");
/// A reserved port, on which nothing listens.
const NOBODY: (&str, &str) = ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1");

#[test]
fn each_missing_setting_is_one_clear_error() {
    type Variables<'a> = &'a [(&'a str, &'a str)];
    let table: [(Variables<'_>, &[&str]); 4] = [
        (&[], &["STATUS_TABLE_NAME is not set"]),
        (&[TABLE], &["AWS_REGION", "AWS_PROFILE"]),
        (&[TABLE, REGION], &["`agent-status`", "no AWS credentials", "AWS_PROFILE"]),
        (&[TABLE, REGION, ("AWS_ENDPOINT_URL", "nowhere")], &["AWS_ENDPOINT_URL is `nowhere`"]),
    ];
    for (variables, expected) in table {
        let said = from_env(variables);
        for part in expected.iter().chain(&["error: "]) {
            assert!(said.contains(part), "{variables:?}: {said}");
        }
        assert!(said.contains("[]"), "no warning beside the error: {said}");
    }
}

#[test]
fn a_table_that_cannot_be_reached_is_a_warning() {
    let said = from_env(&[TABLE, REGION, KEY, SECRET, NOBODY]);
    assert!(said.contains("ok: agent-status eu-west-1"), "{said}");
    assert!(said.contains("asked again before the first request"), "{said}");
    assert!(said.to_lowercase().contains("refused"), "{said}");
    assert!(said.contains("nothing listens there"), "{said}");
    assert!(!said.contains(SECRET.1), "{said}");
}

#[test]
fn a_value_that_cannot_be_sent_is_an_error_that_names_the_variable() {
    let bad = [
        ("AWS_ACCESS_KEY_ID", "AKIA123\n"),
        ("AWS_SECRET_ACCESS_KEY", "very-secret-indeed\n"),
        ("AWS_SESSION_TOKEN", "tok\u{1}en"),
        ("AWS_REGION", "eu-west-1\n"),
        ("AWS_EXECUTION_ENV", "AWS_Lambda\u{7f}"),
        ("AWS_SDK_UA_APP_ID", "app\n"),
        ("_X_AMZN_TRACE_ID", "Root=1\n"),
        ("AWS_ROLE_SESSION_NAME", "é"),
        // Nor can a name or a signature have a blank at its end.
        ("AWS_REGION", "eu-west-1 "),
        ("AWS_REGION", " "),
        ("AWS_ACCESS_KEY_ID", " AKIA123"),
        ("AWS_SECRET_ACCESS_KEY", "very-secret-indeed\t"),
        ("AWS_PROFILE", "prod\n"),
        ("AWS_ENDPOINT_URL", "http://localhost:8000\r\n"),
    ];
    for (name, value) in bad {
        let said = from_env(&[TABLE, REGION, KEY, SECRET, NOBODY, (name, value)]);
        assert!(said.contains(&format!("error: {name} ")), "{name}: {said}");
        assert!(said.contains("set it"), "{name}: {said}");
        assert!(!said.contains(SECRET.1), "{said}");
    }
}
