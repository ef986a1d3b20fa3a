//! Missing and invalid settings, and stores that do not respond.

use crate::server::Server;
use crate::support::{File, Finished, command};

#[test]
fn without_a_table_both_ways_to_set_one_are_named() {
    for arguments in [&["list"][..], &["table", "check"], &["table", "create"]] {
        let output = Finished::of(command().args(arguments).output().unwrap()).assert_code(2);
        assert_eq!(output.out, "");
        output.assert_stderr(&["STATUS_TABLE_NAME is not set", "--embedded FILE"]);
    }
    let output = command().arg("list").env("STATUS_TABLE_NAME", "status").output().unwrap();
    Finished::of(output).assert_code(2).assert_stderr(&["AWS_REGION"]);
}

#[test]
fn a_missing_file_is_not_created() {
    let file = File::new("settings");
    let missing = file.path().with_extension("missing");
    let run = |arguments: &[&str]| {
        let output = command().args(arguments).arg("--embedded").arg(&missing).output().unwrap();
        Finished::of(output)
    };
    for arguments in [
        &["list"][..],
        &["show", "s"],
        &["watch", "s"],
        &["serve"],
        &["delete", "s", "-y"],
        &["table", "check"],
    ] {
        run(arguments)
            .assert_code(2)
            .assert_stderr(&["there is no file", "tower-agent-status demo"]);
        assert!(!missing.exists(), "{arguments:?}");
    }
    let created = run(&["table", "create"]).assert_code(0);
    assert!(created.out.contains("created"), "{}", created.out);
    let existing = run(&["table", "create"]).assert_code(0);
    assert!(existing.out.contains("already exists"), "{}", existing.out);
    std::fs::remove_file(&missing).unwrap();
    let output = command().args(["list", "--embedded", "/"]).output().unwrap();
    Finished::of(output).assert_code(2).assert_stderr(&["cannot open the embedded store `/`"]);
}

#[test]
fn a_denied_operation_names_the_permission() {
    let denied = "AccessDeniedException";
    let table: [(&'static str, &[&str]); 5] = [
        ("GetItem", &["show", "s"]),
        ("GetItem", &["watch", "s"]),
        ("GetItem", &["delete", "s", "--yes"]),
        ("Scan", &["list"]),
        ("Scan", &["delete", "--prefix", "s", "--yes"]),
    ];
    for (operation, arguments) in table {
        let server = Server::start();
        server.refuse(operation, denied, "not authorized");
        let action = format!("allow `dynamodb:{operation}`");
        server.run(arguments).assert_code(2).assert_stderr(&["`status`", &action]);
    }
    let server = Server::start();
    let found = serde_json::json!({ "Item": { "sessionId": { "S": "s" } } });
    server.respond("GetItem", found);
    server.refuse("DeleteItem", denied, "not authorized");
    let output = server.run(&["delete", "s", "--yes"]).assert_code(1);
    assert_eq!(output.out, "0 sessions deleted\n");
    output.assert_stderr(&["`s` was not deleted", "allow `dynamodb:DeleteItem`"]);
}

#[test]
fn a_table_that_does_not_respond_is_an_error_and_not_a_hang() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let output = command()
        .arg("list")
        .env("STATUS_TABLE_NAME", "status")
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_ENDPOINT_URL_DYNAMODB", format!("http://{address}"))
        .output()
        .unwrap();
    let remedies = ["`status` in eu-west-1", "nothing listens there", "AWS_ENDPOINT_URL_DYNAMODB"];
    Finished::of(output).assert_code(2).assert_stderr(&remedies);
}

#[test]
fn a_missing_profile_is_named() {
    let list = |profile: &str, files: &str| {
        let output = command()
            .arg("list")
            .env("STATUS_TABLE_NAME", "status")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_CONFIG_FILE", files)
            .env("AWS_SHARED_CREDENTIALS_FILE", "none")
            .env("AWS_PROFILE", profile)
            .output()
            .unwrap();
        Finished::of(output).assert_code(2)
    };
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("profiles");
    std::fs::write(&file, "[profile known]\nregion = eu-west-1\n").unwrap();
    for files in ["none", file.to_str().unwrap()] {
        let missing = list("unknown", files);
        missing.assert_stderr(&["the profile `unknown`", "AWS_PROFILE", "does not exist"]);
    }
    list("known", file.to_str().unwrap()).assert_stderr(&["`known`", "has no credentials"]);
    // None is named.
    list("", "none").assert_stderr(&["no AWS credentials were found", "by AWS_PROFILE"]);
}

#[test]
fn the_usual_proxy_variables_are_obeyed() {
    // It answers as the table, and can be reached as a proxy only.
    let server = Server::start();
    let list = |variables: &[(&str, &str)]| {
        let mut list = server.command(&["list"]);
        list.env("AWS_ENDPOINT_URL_DYNAMODB", "http://table.invalid:8000");
        Finished::of(list.envs(variables.iter().copied()).output().unwrap())
    };
    let proxy = server.url();
    list(&[]).assert_code(2);
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        list(&[(variable, &proxy)]).assert_code(0);
    }
    list(&[("HTTP_PROXY", &proxy), ("NO_PROXY", "table.invalid")]).assert_code(2);
    list(&[("HTTPS_PROXY", &proxy)]).assert_code(2);
}

#[test]
fn each_command_has_an_example() {
    let commands: [&[&str]; 11] = [
        &[],
        &["table"],
        &["table", "create"],
        &["table", "check"],
        &["list"],
        &["show"],
        &["watch"],
        &["serve"],
        &["delete"],
        &["demo"],
        &["inspect"],
    ];
    for arguments in commands {
        let output =
            Finished::of(command().args(arguments).arg("--help").output().unwrap()).assert_code(0);
        let example = output.out.split_once("Example").map(|(_, example)| example);
        let example =
            example.unwrap_or_else(|| panic!("{arguments:?} has no example:\n{}", output.out));
        let shown = format!("tower-agent-status {}", arguments.join(" "));
        assert!(example.contains(shown.trim_end()), "{arguments:?}: {example}");
    }
    let output = Finished::of(command().output().unwrap()).assert_code(2);
    assert!(output.err.contains("Usage"), "{}", output.err);
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    use std::process::Stdio;
    let file = File::new("pipe");
    let mut list =
        file.command(["list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(list.stdout.take());
    let output = Finished::of(list.wait_with_output().unwrap()).assert_code(0);
    assert_eq!(output.err, "");
}

/// A pipe whose other end is closed.
#[cfg(unix)]
fn nobody() -> std::process::Stdio {
    std::io::pipe().unwrap().1.into()
}

#[cfg(unix)]
#[tokio::test]
async fn with_closed_outputs_the_exit_code_is_the_same() {
    let file = File::new("nobody");
    file.put("s", serde_json::json!({ "overallStatus": "processing" })).await;
    let code = |arguments: &[&str]| {
        let mut command = file.command(arguments);
        command.stdout(nobody()).stderr(nobody()).status().unwrap().code()
    };
    assert_eq!(code(&["show", "unknown"]), Some(1));
    assert_eq!(code(&["list", "--status", "failed"]), Some(0));
    // The workflow has not finished.
    assert_eq!(code(&["watch", "s"]), Some(3));
    assert_eq!(code(&["watch", "s", "--json"]), Some(3));
    // One of the two does not exist.
    assert_eq!(code(&["delete", "s", "unknown", "--yes"]), Some(1));
}
