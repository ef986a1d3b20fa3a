//! `table`.

use serde_json::json;

use crate::server::{Server, table};
use crate::support::File;

#[test]
fn an_embedded_table_is_made_and_is_well() {
    let file = File::new("table");
    let told = file.run(["table", "create"]).assert_code(0);
    assert!(told.out.contains("already exists"), "{}", told.out);
    let told = file.run(["table", "check", "--write"]).assert_code(0);
    assert_eq!(told.out.lines().count(), 8, "{}", told.out);
    assert!(told.out.lines().all(|line| line.starts_with("ok ")), "{}", told.out);
    assert_eq!(file.run(["list"]).out, "no workflows\n", "nothing is left behind");
}

#[test]
fn a_table_that_is_as_it_should_be_is_well() {
    let server = Server::start();
    let told = server.run(&["table", "check"]).assert_code(0);
    let expected = "ok       DynamoDB table `status` in eu-west-1 exists
ok       the partition key is `sessionId` of type S, and there is no sort key
ok       the table is billed on demand
ok       items expire by `expiresAt`
ok       the index `by-day` lists the newest sessions
";
    assert_eq!(told.out, expected);
}

#[test]
fn what_differs_is_said_with_its_remedy() {
    let server = Server::start();
    let mut described = table();
    let table = described["Table"].as_object_mut().unwrap();
    table.remove("BillingModeSummary");
    table.remove("GlobalSecondaryIndexes");
    table["KeySchema"][0]["AttributeName"] = "processing_id".into();
    table["AttributeDefinitions"][0]["AttributeName"] = "processing_id".into();
    server.tell("DescribeTable", described);
    let ttl = json!({ "TimeToLiveStatus": "DISABLED" });
    server.tell("DescribeTimeToLive", json!({ "TimeToLiveDescription": ttl }));
    let told = server.run(&["table", "check"]).assert_code(1);
    for part in [
        "ok       the partition key is `processing_id`",
        "differs  the table has provisioned capacity",
        "--billing-mode PAY_PER_REQUEST",
        "differs  items never expire",
        "update-time-to-live --table-name status --time-to-live-specification Enabled=true,AttributeName=expiresAt",
        "differs  there is no index of the newest sessions",
        r#"--global-secondary-index-updates '[{"Create":{"IndexName":"recent","KeySchema":[{"AttributeName":"createdDay","KeyType":"HASH"},{"AttributeName":"createdAt","KeyType":"RANGE"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}}]'"#,
    ] {
        assert!(told.out.contains(part), "no `{part}` in\n{}", told.out);
    }
    // Asked to create it, the same is said, and is no failure.
    server.run(&["table", "create"]).assert_code(0);
}

#[test]
fn what_the_role_may_not_do_is_said_step_by_step() {
    let denied = "AccessDeniedException";
    let said = "User: arn:aws:sts::1:assumed-role/reader is not authorized";
    let server = Server::start();
    server.refuse("DescribeTimeToLive", denied, said);
    server.refuse("UpdateItem", denied, said);
    let told = server.run(&["table", "check", "--write"]).assert_code(1);
    assert!(told.out.contains("allow `dynamodb:DescribeTimeToLive`"), "{}", told.out);
    assert!(told.out.contains("allow `dynamodb:UpdateItem`"), "{}", told.out);
    assert!(!told.out.contains("deleted the test session"), "nothing was written: {}", told.out);

    let server = Server::start();
    for operation in ["GetItem", "BatchGetItem", "Query", "Scan", "DeleteItem"] {
        server.refuse(operation, denied, said);
    }
    let told = server.run(&["table", "check", "--write"]).assert_code(1);
    for action in ["GetItem", "BatchGetItem", "Scan", "DeleteItem"] {
        assert!(told.out.contains(&format!("allow `dynamodb:{action}`")), "{}", told.out);
    }
    assert!(told.out.contains("was left behind, and expires within an hour"), "{}", told.out);

    // What was said to be written, and is not there.
    let server = Server::start();
    let told = server.run(&["table", "check", "--write"]).assert_code(1);
    assert!(told.out.contains("failed   it does not read back"), "{}", told.out);
}

#[test]
fn a_table_that_cannot_be_used_is_an_error_with_its_remedy() {
    let server = Server::start();
    server.refuse("DescribeTable", "AccessDeniedException", "no");
    server.run(&["table", "check"]).assert_code(2).assert_says(&["allow `dynamodb:DescribeTable`"]);

    server.refuse("DescribeTable", "ResourceNotFoundException", "no");
    let remedies = ["`status` does not exist in eu-west-1", "tower-agent-status table create"];
    for arguments in
        [&["table", "check"][..], &["list"], &["show", "s"], &["watch", "s"], &["serve"]]
    {
        server.run(arguments).assert_code(2).assert_says(&remedies);
    }
    server.refuse("CreateTable", "AccessDeniedException", "no");
    server.run(&["table", "create"]).assert_code(2).assert_says(&["allow `dynamodb:CreateTable`"]);

    let mut described = table();
    described["Table"]["AttributeDefinitions"][0]["AttributeType"] = "N".into();
    server.tell("DescribeTable", described);
    for command in ["check", "create"] {
        let told = server.run(&["table", command]).assert_code(2);
        told.assert_says(&["partition key `sessionId` of type N", "type S"]);
    }
}

/// `head -1` has seen enough before the test session is deleted.
#[cfg(unix)]
#[test]
fn what_a_check_finds_is_its_exit_code_though_nobody_reads() {
    let server = Server::start();
    let mut check = server.command(&["table", "check", "--write"]);
    check.stdout(std::io::pipe().unwrap().1).stderr(std::process::Stdio::null());
    assert_eq!(check.status().unwrap().code(), Some(1), "it does not read back");
}
