//! An embedded store in a file, and runs of the command on it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::{Value as Json, json};
use tower_agent_status::SessionId;
use tower_agent_status::status::{Change, Item, Precondition, Timestamp, Value, schema};
use tower_agent_status::store::{DynamoDbStore, StatusReader, StatusStore, WriteOutcome};

/// The command, with an empty environment.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tower-agent-status"));
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").stdin(Stdio::null());
    // Some systems need these to start a process.
    for name in ["PATH", "SYSTEMROOT", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// The output and exit code of a command.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Finished {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn assert_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Asserts that standard error contains all of these.
    #[track_caller]
    pub(crate) fn assert_stderr(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.err.contains(part), "no `{part}` in {self:#?}");
        }
        self
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// An embedded store, whose file is removed at the end of the test.
pub(crate) struct File {
    path: PathBuf,
    pub(crate) store: DynamoDbStore,
}

impl File {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("cli-{name}-{}.db", std::process::id()));
        let store = DynamoDbStore::embedded(&path).unwrap();
        Self { path, store }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs the command on this file.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Finished {
        Finished::of(self.command(arguments).output().unwrap())
    }

    pub(crate) fn command<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = command();
        command.args(arguments).arg("--embedded").arg(&self.path);
        command
    }

    pub(crate) async fn put(&self, id: &str, attributes: Json) {
        put(&self.store, id, attributes).await;
    }

    pub(crate) async fn has(&self, id: &str) -> bool {
        self.store.get(&self::id(id)).await.unwrap().is_some()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Writes an item with any attributes.
pub(crate) async fn put(store: &DynamoDbStore, id: &str, attributes: Json) {
    let Value::Map(item) = value(&attributes) else { panic!("an item is an object") };
    let written =
        store.write(&Change::new(self::id(id), item, Vec::new()), Precondition::Absent).await;
    assert_eq!(written.unwrap(), WriteOutcome::Applied);
}

fn value(json: &Json) -> Value {
    match json {
        Json::String(text) => Value::String(text.clone()),
        Json::Number(number) => {
            number.as_u64().map_or_else(|| Value::Float(number.as_f64().unwrap()), Value::Integer)
        }
        Json::Array(list) => Value::List(list.iter().map(value).collect()),
        Json::Object(map) => {
            Value::Map(map.iter().map(|(name, json)| (name.clone(), value(json))).collect::<Item>())
        }
        other => panic!("{other} is no value of an item"),
    }
}

/// The time `time` ago, in the table's format.
pub(crate) fn ago(time: Duration) -> String {
    Timestamp::from(SystemTime::now()).saturating_sub(time).to_string()
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

/// An item with this status, created `created` ago and not changed since.
pub(crate) fn item(status: &str, created: Duration) -> Json {
    let created = ago(created);
    json!({
        (schema::OVERALL_STATUS): status,
        (schema::CREATED_AT): created,
        (schema::CREATED_DAY): created[..10],
        (schema::LAST_UPDATED): created,
        (schema::REVISION): 1,
    })
}

/// Adds an attribute to an item.
pub(crate) fn with(mut item: Json, name: &str, value: Json) -> Json {
    item[name] = value;
    item
}

pub(crate) fn agent(status: &str) -> Json {
    json!({
        "status": status,
        "activity": format!("It is {status}"),
        "startedAt": ago(5 * SECOND),
        "tokenUsage": { "inputTokens": 1500, "outputTokens": 500, "totalTokens": 2000 },
    })
}

/// A session id of a test.
pub(crate) fn id(text: &str) -> SessionId {
    SessionId::from_key(text).unwrap()
}
