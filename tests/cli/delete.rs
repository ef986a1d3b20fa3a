//! `delete`.

use serde_json::json;

use crate::support::{File, HOUR, SECOND, ago, item};

#[tokio::test]
async fn without_a_terminal_nothing_is_deleted_unless_confirmed() {
    let file = File::new("delete-refuses");
    file.put("s", item("completed", HOUR)).await;
    for arguments in [["delete", "s"], ["delete", "--prefix=s"]] {
        let output =
            file.run(arguments).assert_code(2).assert_stderr(&["not a terminal", "`--yes`"]);
        assert_eq!(output.out, "");
    }
    assert!(file.has("s").await);
    let output = file.run(["delete", "s", "--yes"]).assert_code(0);
    assert_eq!(output.out, "1 session deleted\n");
    assert!(!file.has("s").await);
}

#[tokio::test]
async fn only_the_given_sessions_are_deleted() {
    let file = File::new("delete-named");
    let ids = ["a", "a-1", "a-2", "a%", "A-1", "b-a-1"];
    for id in ids {
        file.put(id, item("completed", HOUR)).await;
    }
    let output = file.run(["delete", "a", "nobody", "a", "--yes"]).assert_code(1);
    assert_eq!(output.out, "1 session deleted\n");
    output.assert_stderr(&["No session `nobody`"]);
    let output = file.run(["delete", "--prefix", "a-", "--yes"]).assert_code(0);
    assert_eq!(output.out, "2 sessions deleted\n");
    for (id, is_left) in ids.into_iter().zip([false, false, false, true, true, true]) {
        assert_eq!(file.has(id).await, is_left, "{id}");
    }
    let output = file.run(["delete", "--prefix", "zzz", "--yes"]).assert_code(0);
    output.assert_stderr(&["Nothing to delete"]);
}

#[tokio::test]
async fn sessions_of_unknown_age_stay() {
    let file = File::new("delete-old");
    file.put("x-old", item("completed", 8 * 24 * HOUR)).await;
    file.put("x-new", item("completed", 6 * 24 * HOUR)).await;
    file.put("x-undated", json!({ "overallStatus": "completed" })).await;
    file.put("x-garbled", json!({ "createdAt": "long ago", "lastUpdated": ago(99 * 24 * HOUR) }))
        .await;
    file.put("x-future", json!({ "createdAt": "2999-01-01T00:00:00.000Z" })).await;
    let output =
        file.run(["delete", "--prefix", "x-", "--older-than", "7d", "--yes"]).assert_code(0);
    assert_eq!(output.out, "1 session deleted\n");
    assert!(!file.has("x-old").await);
    for id in ["x-new", "x-undated", "x-garbled", "x-future"] {
        assert!(file.has(id).await, "{id}");
    }
}

#[tokio::test]
async fn many_are_deleted() {
    let file = File::new("delete-many");
    for n in 0..120_u32 {
        file.put(&format!("load-{n}"), item("completed", SECOND * n)).await;
    }
    file.put("kept", item("completed", HOUR)).await;
    let output = file.run(["delete", "--prefix", "load-", "-y"]).assert_code(0);
    assert_eq!(output.out, "120 sessions deleted\n");
    assert!(file.has("kept").await);
}

#[tokio::test]
async fn invalid_selections_are_rejected() {
    let file = File::new("delete-usage");
    file.put("s", item("completed", HOUR)).await;
    let wrong: [&[&str]; 7] = [
        &["delete", "--yes"],
        &["delete", "--yes", "--prefix", ""],
        &["delete", "--yes", ""],
        &["delete", "--yes", "s", "--prefix", "s"],
        &["delete", "--yes", "s", "--older-than", "7d"],
        &["delete", "--yes", "--prefix", "s", "--older-than", "7"],
        &["delete", "--yes", "--prefix", "s", "--max-pages", "0"],
    ];
    for arguments in wrong {
        file.run(arguments).assert_code(2);
        assert!(file.has("s").await, "{arguments:?}");
    }
}
