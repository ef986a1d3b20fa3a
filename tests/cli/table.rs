//! `table`.

use serde_json::json;

use crate::server::{Server, table};
use crate::support::File;

#[test]
fn an_embedded_table_is_created_in_order() {
    let file = File::new("table");
    let output = file.run(["table", "create"]).assert_code(0);
    assert!(output.out.contains("already exists"), "{}", output.out);
    let output = file.run(["table", "check", "--write"]).assert_code(0);
    assert_eq!(output.out.lines().count(), 9, "{}", output.out);
    assert!(output.out.lines().all(|line| line.starts_with("ok ")), "{}", output.out);
    assert_eq!(file.run(["list"]).out, "no workflows\n", "nothing was left behind");
}

#[test]
fn a_table_set_up_as_needed_is_in_order() {
    let server = Server::start();
    let output = server.run(&["table", "check"]).assert_code(0);
    let expected = "ok       DynamoDB table `status` in eu-west-1 exists
ok       the partition key is `sessionId` of type S, and there is no sort key
ok       the table is billed on demand
ok       items expire by `expiresAt`
ok       the index `by-day` lists the newest sessions
ok       there are no items yet
";
    assert_eq!(output.out, expected);
}

#[test]
fn what_an_embedded_store_does_not_have_is_refused() {
    let file = File::new("table-options");
    for arguments in [
        &["table", "create", "--recent-shards", "4"][..],
        &["table", "create", "--search", "documentId"],
        &["table", "reshard", "4"],
    ] {
        let output = file.run(arguments.iter().copied()).assert_code(2);
        assert!(output.err.contains("an embedded store has one"), "{}", output.err);
    }
    for shards in ["0", "257", "x"] {
        file.run(["table", "reshard", shards]).assert_code(2);
    }
}

#[test]
fn another_number_of_shards_and_a_missing_index_are_reported() {
    let server = Server::start();
    let create = ["table", "create", "--recent-shards", "4", "--search", "documentId"];
    let output = server.run(&create).assert_code(0);
    for part in [
        "differs  the index of the newest sessions has 1 shards, not 4",
        "tower-agent-status table reshard 4",
        "differs  there is no index of `documentId`",
        "AttributeName=documentId,AttributeType=S",
    ] {
        assert!(output.out.contains(part), "no `{part}` in\n{}", output.out);
    }
    // A reshard that was stopped.
    let mut described = table();
    let indexes = described["Table"]["GlobalSecondaryIndexes"].as_array_mut().unwrap();
    let mut another = indexes[0].clone();
    another["IndexName"] = "by-day-2".into();
    another["KeySchema"][0]["AttributeName"] = "createdShard4".into();
    indexes.push(another);
    server.respond("DescribeTable", described);
    let output = server.run(&["table", "check"]).assert_code(1);
    for part in [
        "differs  there is another index of the newest sessions, `by-day-2`",
        "tower-agent-status table reshard 4, which it was made for; or reshard 1 to delete it",
    ] {
        assert!(output.out.contains(part), "no `{part}` in\n{}", output.out);
    }
}

#[test]
fn differences_are_reported_with_remedies() {
    let server = Server::start();
    let mut described = table();
    let table = described["Table"].as_object_mut().unwrap();
    table.remove("BillingModeSummary");
    table.remove("GlobalSecondaryIndexes");
    table["KeySchema"][0]["AttributeName"] = "processing_id".into();
    table["AttributeDefinitions"][0]["AttributeName"] = "processing_id".into();
    server.respond("DescribeTable", described);
    let ttl = json!({ "TimeToLiveStatus": "DISABLED" });
    server.respond("DescribeTimeToLive", json!({ "TimeToLiveDescription": ttl }));
    let output = server.run(&["table", "check"]).assert_code(1);
    for part in [
        "ok       the partition key is `processing_id`",
        "differs  the table has provisioned capacity",
        "--billing-mode PAY_PER_REQUEST",
        "differs  items never expire",
        "update-time-to-live --table-name status --time-to-live-specification Enabled=true,AttributeName=expiresAt",
        "differs  there is no index of the newest sessions",
        r#"--global-secondary-index-updates '[{"Create":{"IndexName":"recent","KeySchema":[{"AttributeName":"createdDay","KeyType":"HASH"},{"AttributeName":"createdAt","KeyType":"RANGE"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}}]'"#,
    ] {
        assert!(output.out.contains(part), "no `{part}` in\n{}", output.out);
    }
    // `create` reports the same, without failing.
    server.run(&["table", "create"]).assert_code(0);
}

#[test]
fn missing_permissions_are_reported_one_by_one() {
    let denied = "AccessDeniedException";
    let message = "User: arn:aws:sts::1:assumed-role/reader is not authorized";
    let server = Server::start();
    server.refuse("DescribeTimeToLive", denied, message);
    server.refuse("UpdateItem", denied, message);
    let output = server.run(&["table", "check", "--write"]).assert_code(1);
    assert!(output.out.contains("allow `dynamodb:DescribeTimeToLive`"), "{}", output.out);
    assert!(output.out.contains("allow `dynamodb:UpdateItem`"), "{}", output.out);
    assert!(
        !output.out.contains("deleted the test session"),
        "nothing was written: {}",
        output.out
    );

    let server = Server::start();
    for operation in ["GetItem", "BatchGetItem", "Query", "Scan", "DeleteItem"] {
        server.refuse(operation, denied, message);
    }
    let output = server.run(&["table", "check", "--write"]).assert_code(1);
    for action in ["GetItem", "BatchGetItem", "Scan", "DeleteItem"] {
        assert!(output.out.contains(&format!("allow `dynamodb:{action}`")), "{}", output.out);
    }
    assert!(output.out.contains("was left behind, and expires within an hour"), "{}", output.out);

    // A write that succeeded but does not read back.
    let server = Server::start();
    let output = server.run(&["table", "check", "--write"]).assert_code(1);
    assert!(output.out.contains("failed   it does not read back"), "{}", output.out);
}

#[test]
fn an_unusable_table_is_an_error_with_a_remedy() {
    let server = Server::start();
    server.refuse("DescribeTable", "AccessDeniedException", "no");
    server
        .run(&["table", "check"])
        .assert_code(2)
        .assert_stderr(&["allow `dynamodb:DescribeTable`"]);

    server.refuse("DescribeTable", "ResourceNotFoundException", "no");
    let remedies = ["`status` does not exist in eu-west-1", "tower-agent-status table create"];
    for arguments in
        [&["table", "check"][..], &["list"], &["show", "s"], &["watch", "s"], &["serve"]]
    {
        server.run(arguments).assert_code(2).assert_stderr(&remedies);
    }
    server.refuse("CreateTable", "AccessDeniedException", "no");
    server
        .run(&["table", "create"])
        .assert_code(2)
        .assert_stderr(&["allow `dynamodb:CreateTable`"]);

    let mut described = table();
    described["Table"]["AttributeDefinitions"][0]["AttributeType"] = "N".into();
    server.respond("DescribeTable", described);
    for command in ["check", "create"] {
        let output = server.run(&["table", command]).assert_code(2);
        output.assert_stderr(&["partition key `sessionId` of type N", "type S"]);
    }
}

/// The reader, such as `head -1`, closes the pipe before the test session is deleted.
#[cfg(unix)]
#[test]
fn a_check_has_its_exit_code_even_if_nobody_reads() {
    let server = Server::start();
    let mut check = server.command(&["table", "check", "--write"]);
    check.stdout(std::io::pipe().unwrap().1).stderr(std::process::Stdio::null());
    assert_eq!(check.status().unwrap().code(), Some(1), "it does not read back");
}
