//! [`Settings`]: what a store reads from the environment; and the client made from it.

use std::env::VarError;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryPartition;
use tokio::time::timeout;

use super::error::SetupError;
use super::index::Shards;
use super::layout::{AttributeNames, TableSettings};
use crate::status::schema;

pub(super) const TABLE_NAME: &str = "STATUS_TABLE_NAME";
const TABLE_KEY: &str = "STATUS_TABLE_KEY";
const TABLE_TTL: &str = "STATUS_TABLE_TTL";
const RECENT_SHARDS: &str = "STATUS_TABLE_RECENT_SHARDS";
const SEARCH: &str = "STATUS_TABLE_SEARCH";
/// The second applies only if the first is not set.
const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"];

/// What the SDK sends in headers, or signs them with. It panics at a character that a header
/// cannot hold.
const IN_HEADERS: [&str; 12] = [
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ACCOUNT_ID",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SDK_UA_APP_ID",
    "AWS_EXECUTION_ENV",
    "_X_AMZN_TRACE_ID",
];

/// What else the SDK reads and does not trim.
const UNTRIMMED: [&str; 9] = [
    "AWS_PROFILE",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
];

/// This crate's own settings. The AWS variables are the SDK's.
#[derive(Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) table: String,
    pub(super) assumed: TableSettings,
}

impl Settings {
    /// Reads the settings through a function like [`std::env::var`].
    pub(super) fn read(var: impl Fn(&str) -> Result<String, VarError>) -> Result<Self, SetupError> {
        // An empty variable counts as not set, as with the AWS variables.
        let read = |name: &str| match var(name) {
            Ok(value) => Ok(Some(value.trim().to_owned()).filter(|value| !value.is_empty())),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => {
                Err(SetupError::new(format!("{name} is not valid Unicode: set it again")))
            }
        };
        let table = read(TABLE_NAME)?.ok_or_else(|| {
            SetupError::new(format!(
                "{TABLE_NAME} is not set: set it to the name of the DynamoDB table that holds the \
                 status items"
            ))
        })?;
        check_table_name(&table)
            .map_err(|why| SetupError::new(format!("{TABLE_NAME} is `{table}`: {why}")))?;
        let names = AttributeNames {
            key: read(TABLE_KEY)?.unwrap_or_else(|| schema::SESSION_ID.to_owned()),
            ttl: read(TABLE_TTL)?.unwrap_or_else(|| schema::EXPIRES_AT.to_owned()),
        };
        let recent_shards = match read(RECENT_SHARDS)? {
            None => 1,
            // What is no number is as wrong as 0.
            Some(number) => number.parse().unwrap_or(0),
        };
        let search = read(SEARCH)?.unwrap_or_default();
        let search = search.split(',').map(str::trim).filter(|name| !name.is_empty());
        let search = search.map(str::to_owned).collect();
        let assumed = TableSettings { names, recent_shards, search };
        assumed.check()?;
        for name in ENDPOINTS {
            if let Some(url) = read(name)? {
                check_endpoint(&url)
                    .map_err(|why| SetupError::new(format!("{name} is `{url}`: {why}")))?;
            }
        }
        for name in IN_HEADERS {
            check_header(name, var(name))?;
        }
        for name in UNTRIMMED {
            if let Ok(value) = var(name) {
                check_ends(name, &value)?;
            }
        }
        Ok(Self { table, assumed })
    }
}

/// Checks that a header can hold the value of this variable. The error does not show it: it may
/// be a secret.
fn check_header(name: &str, value: Result<String, VarError>) -> Result<(), SetupError> {
    let value = match value {
        Ok(value) => value,
        Err(VarError::NotPresent) => return Ok(()),
        Err(VarError::NotUnicode(_)) => {
            return Err(SetupError::new(format!("{name} is not valid Unicode: set it again")));
        }
    };
    check_ends(name, &value)?;
    let is_allowed = |c: char| c.is_ascii_graphic() || c == ' ';
    let Some(other) = value.chars().find(|c| !is_allowed(*c)) else { return Ok(()) };
    let code = u32::from(other);
    Err(SetupError::new(format!(
        "{name} contains the character U+{code:04X}, which no HTTP header can hold: set it to \
         printable ASCII"
    )))
}

/// Checks that nothing blank is around the value of this variable, as around one that was read
/// from a file. The SDK would take it as part of the key, the region or the name.
fn check_ends(name: &str, value: &str) -> Result<(), SetupError> {
    let what = if value.ends_with(['\n', '\r']) {
        "ends with a line break"
    } else if value.ends_with(char::is_whitespace) {
        "ends with a blank"
    } else if value.starts_with(char::is_whitespace) {
        "begins with a blank"
    } else {
        return Ok(());
    };
    Err(SetupError::new(format!(
        "{name} {what}: set it without, as `printf %s` and `echo -n` write it"
    )))
}

impl AttributeNames {
    /// Checks that these can be the names of a table's key and time-to-live attribute.
    pub(super) fn check(&self) -> Result<(), SetupError> {
        let given =
            [("partition key", TABLE_KEY, &self.key), ("TTL attribute", TABLE_TTL, &self.ttl)];
        for ((what, variable, name), own) in
            given.into_iter().zip([schema::SESSION_ID, schema::EXPIRES_AT])
        {
            // The limit for keys; names of other attributes may be longer.
            let why = if name.is_empty() || name.len() > 255 {
                "the name of an attribute has 1 to 255 bytes"
            } else if name != own && schema::is_reserved(name) {
                "that attribute holds something else in a status item"
            } else {
                continue;
            };
            return Err(SetupError::new(format!(
                "`{name}` cannot be the table's {what} ({variable}): {why}"
            )));
        }
        if self.key == self.ttl {
            let name = &self.key;
            return Err(SetupError::new(format!(
                "`{name}` cannot be both the table's partition key ({TABLE_KEY}) and its TTL \
                 attribute ({TABLE_TTL})"
            )));
        }
        Ok(())
    }
}

impl TableSettings {
    /// Checks that a table can be like this.
    pub(super) fn check(&self) -> Result<(), SetupError> {
        self.names.check()?;
        if Shards::new(self.recent_shards).is_none() {
            return Err(SetupError::new(format!(
                "the index of the newest sessions cannot have this number of shards \
                 ({RECENT_SHARDS}): set it to a number from 1 to 256"
            )));
        }
        // DynamoDB allows 20 indexes. One is that of the newest sessions.
        const MAX_SEARCH: usize = 19;
        if self.search.len() > MAX_SEARCH {
            return Err(SetupError::new(format!(
                "{} attributes cannot have an index each ({SEARCH}): a table has {MAX_SEARCH} at \
                 most, beside that of the newest sessions",
                self.search.len()
            )));
        }
        for (n, name) in self.search.iter().enumerate() {
            let why = if self.search[..n].contains(name) {
                "it is given twice"
            } else if *name == self.names.key || *name == self.names.ttl {
                "the table uses it for its key or its expiry"
            } else if schema::is_reserved(name) {
                "that attribute holds something else in a status item"
            } else if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
                "the name of an attribute has 1 to 255 bytes, and no control characters"
            } else {
                continue;
            };
            return Err(SetupError::new(format!(
                "`{name}` cannot be an attribute to search for ({SEARCH}): {why}"
            )));
        }
        Ok(())
    }
}

/// DynamoDB's own rule, checked before any request.
fn check_table_name(name: &str) -> Result<(), &'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.starts_with("arn:") {
        return Ok(());
    }
    if (3..=255).contains(&name.len()) && name.chars().all(is_plain) {
        return Ok(());
    }
    Err("a table's name has 3 to 255 letters, digits, `_`, `-` and `.`")
}

fn check_endpoint(url: &str) -> Result<(), &'static str> {
    let parsed = url.parse::<http::Uri>().ok();
    let is_http = |uri: &http::Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    match parsed {
        Some(uri) if is_http(&uri) && uri.host().is_some_and(|host| !host.is_empty()) => Ok(()),
        _ => Err("an endpoint is a URL such as http://localhost:8000"),
    }
}

/// Creates a client from the usual AWS settings, with timeouts that suit a recorder.
pub(super) async fn client() -> Result<Client, SetupError> {
    // Without a region, the SDK asks the instance metadata service, which does not answer
    // outside of EC2.
    const LOAD_TIMEOUT: Duration = Duration::from_secs(10);
    let loading = aws_config::defaults(behavior_version()).load();
    let config = timeout(LOAD_TIMEOUT, loading).await.ok();
    let Some(config) = config.filter(|config| config.region().is_some()) else {
        return Err(SetupError::new(
            "no AWS region is set: set AWS_REGION, such as AWS_REGION=eu-west-1, or `region` in \
             the profile that AWS_PROFILE names",
        ));
    };
    let config = aws_sdk_dynamodb::config::Builder::from(&config)
        .retry_config(retries())
        .timeout_config(timeouts())
        // The SDK stops retrying when too many requests to a service have failed, counted over
        // all clients of the process. Status writes must not use up the retries of the
        // application's own requests to DynamoDB.
        .retry_partition(RetryPartition::new("tower-agent-status"))
        .build();
    Ok(Client::from_conf(config))
}

/// Pinned, so that an update of the SDK does not change its defaults here.
pub(in crate::store) fn behavior_version() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

fn retries() -> RetryConfig {
    // The recorder has its own backoff for outages, over all sessions. Retries here are for a
    // single failed request, which an immediate second attempt usually gets over: few of them,
    // and soon. The SDK's default first backoff of up to 1 s suits slower services. Not the
    // adaptive mode: one throttled request can hold up a new client for seconds.
    RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(50))
        .with_max_backoff(Duration::from_secs(1))
}

fn timeouts() -> TimeoutConfig {
    // DynamoDB responds in milliseconds. Without limits, a lost packet would block a session's
    // writes for ever. The operation's limit includes retries; after it the recorder takes
    // over.
    TimeoutConfig::builder()
        // Leaves time for one lost SYN, which is retransmitted after a second.
        .connect_timeout(Duration::from_millis(1_500))
        .read_timeout(Duration::from_secs(3))
        // Connecting and reading, and some time for TLS.
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(10))
        .build()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Settings, String> {
        let var = |name: &str| {
            let found = vars.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned()).ok_or(VarError::NotPresent)
        };
        Settings::read(var).map_err(|error| error.to_string())
    }

    #[test]
    fn only_the_table_name_is_required() {
        let settings = read(&[(TABLE_NAME, "status"), (TABLE_KEY, "")]).unwrap();
        assert_eq!(
            settings,
            Settings { table: "status".into(), assumed: TableSettings::default() }
        );
        let vars = [(TABLE_NAME, "status"), (TABLE_KEY, "processing_id"), (TABLE_TTL, "ttl")];
        let names = AttributeNames { key: "processing_id".into(), ttl: "ttl".into() };
        assert_eq!(read(&vars).unwrap().assumed.names, names);
        let vars =
            [(TABLE_NAME, "status"), (RECENT_SHARDS, " 16 "), (SEARCH, "documentId, sourceType,")];
        let assumed = read(&vars).unwrap().assumed;
        assert_eq!(assumed.recent_shards, 16);
        assert_eq!(assumed.search, ["documentId", "sourceType"]);
        assert!(read(&[(TABLE_NAME, "arn:aws:dynamodb:eu-west-1:1:table/status")]).is_ok());
        for url in ["http://localhost:8000", "https://dynamodb.eu-west-1.amazonaws.com/"] {
            let vars = [(TABLE_NAME, "status"), ("AWS_ENDPOINT_URL", url)];
            assert!(read(&vars).is_ok(), "{url}");
        }
    }

    #[test]
    fn names_have_a_length() {
        for (variable, min, max) in [(TABLE_NAME, 3, 255), (TABLE_KEY, 1, 255), (TABLE_TTL, 1, 255)]
        {
            for (len, is_valid) in [(min, true), (max, true), (max + 1, false)] {
                let name = "n".repeat(len);
                let vars = [(variable, &*name), (TABLE_NAME, "status")];
                assert_eq!(read(&vars).is_ok(), is_valid, "{variable} of {len}");
            }
        }
    }

    #[test]
    fn each_error_names_the_variable_and_the_remedy() {
        type Vars<'a> = &'a [(&'a str, &'a str)];
        let status = (TABLE_NAME, "status");
        let table: [(Vars<'_>, &[&str]); 16] = [
            (&[], &["STATUS_TABLE_NAME is not set", "set it to the name"]),
            (&[(TABLE_NAME, " ")], &["STATUS_TABLE_NAME is not set"]),
            (&[status, (RECENT_SHARDS, "0")], &["STATUS_TABLE_RECENT_SHARDS", "1 to 256"]),
            (&[status, (RECENT_SHARDS, "x")], &["STATUS_TABLE_RECENT_SHARDS", "1 to 256"]),
            (&[status, (RECENT_SHARDS, "257")], &["STATUS_TABLE_RECENT_SHARDS", "1 to 256"]),
            (&[status, (SEARCH, "a,a")], &["`a`", "STATUS_TABLE_SEARCH", "twice"]),
            (&[status, (SEARCH, "createdAt")], &["`createdAt`", "STATUS_TABLE_SEARCH"]),
            (&[status, (SEARCH, "sessionId")], &["`sessionId`", "key"]),
            (&[(TABLE_NAME, "ab")], &["STATUS_TABLE_NAME is `ab`", "3 to 255"]),
            (&[(TABLE_NAME, "my table")], &["STATUS_TABLE_NAME is `my table`", "letters"]),
            (&[status, (TABLE_KEY, "createdAt")], &["`createdAt`", "STATUS_TABLE_KEY"]),
            (&[status, (TABLE_TTL, "sessionId")], &["`sessionId`", "STATUS_TABLE_TTL"]),
            (&[status, (TABLE_KEY, "k"), (TABLE_TTL, "k")], &["both", "`k`"]),
            (
                &[status, ("AWS_ENDPOINT_URL", "localhost:8000")],
                &["AWS_ENDPOINT_URL is", "http://"],
            ),
            (
                &[status, ("AWS_ENDPOINT_URL_DYNAMODB", "ftp://x")],
                &["AWS_ENDPOINT_URL_DYNAMODB is"],
            ),
            (&[status, ("AWS_ENDPOINT_URL", "http://")], &["AWS_ENDPOINT_URL is"]),
        ];
        for (vars, expected) in table {
            let error = read(vars).unwrap_err();
            for part in expected {
                assert!(error.contains(part), "{vars:?}: {error}");
            }
        }
        let table = [
            ("AWS_ACCESS_KEY_ID", "AKIA\n", "AWS_ACCESS_KEY_ID ends with a line break"),
            ("AWS_SESSION_TOKEN", "a\r\n", "AWS_SESSION_TOKEN ends with a line break"),
            (
                "AWS_SECRET_ACCESS_KEY",
                "a\nb",
                "AWS_SECRET_ACCESS_KEY contains the character U+000A",
            ),
            ("AWS_REGION", "eu-wést-1", "AWS_REGION contains the character U+00E9"),
            ("AWS_EXECUTION_ENV", "\u{7f}", "AWS_EXECUTION_ENV contains the character U+007F"),
        ];
        for (name, value, expected) in table {
            let error = read(&[status, (name, value)]).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
            assert!(error.contains("set it"), "{error}");
        }
        let garbled = |_: &str| Err(VarError::NotUnicode(OsString::new()));
        let error = Settings::read(garbled).unwrap_err().to_string();
        assert!(error.contains("STATUS_TABLE_NAME is not valid Unicode"), "{error}");
    }
}
