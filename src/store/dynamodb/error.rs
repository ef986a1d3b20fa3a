//! What went wrong, in the terms of a store: [`SetupError`], and [`Fault`], by which an
//! error of the SDK becomes one or a [`StoreError`].

use std::error::Error;
use std::fmt;
use std::io;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::status::ErrorMessage;
use crate::store::{StoreError, StoreErrorKind};

/// A store cannot be used as it is set up: a setting is missing, or the table is, or the
/// table has a key that sessions do not fit.
///
/// Shows itself as one sentence that names the thing and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupError {
    message: String,
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    MissingTable,
    Denied,
    Other,
}

impl SetupError {
    pub(in crate::store) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), cause: Cause::Other }
    }

    pub(super) fn missing_table(message: String) -> Self {
        Self { message, cause: Cause::MissingTable }
    }

    pub(super) fn denied(message: String) -> Self {
        Self { message, cause: Cause::Denied }
    }

    /// Whether there is no such table, so that
    /// [`create_table`](super::DynamoDbStore::create_table) would help.
    #[must_use]
    pub fn is_missing_table(&self) -> bool {
        self.cause == Cause::MissingTable
    }

    /// Whether the role may not do what it takes to tell.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.cause == Cause::Denied
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for SetupError {}

/// What an error of the SDK means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Too many requests for the table, the account or the partition.
    Throttled,
    /// No answer, or one that says the service has trouble.
    Unavailable,
    /// The caller may not do this.
    Denied,
    /// The service does not know the table.
    NoTable,
    /// There are no credentials to sign with, or the service does not take them.
    NoCredentials,
    /// The endpoint does not know the operation, as some emulators do not.
    Unsupported,
    /// The table is there already, or is being changed.
    InUse,
    /// The item would be larger than 400 KB.
    TooLarge,
    /// The key of the request is not the key of the table.
    WrongKey,
    /// Any other refusal: the same request will be refused again.
    Refused,
}

/// An error of the SDK, understood.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) meaning: Meaning,
    /// What the service or the connection said, shortened: some refusals echo the
    /// request, items and all.
    pub(super) text: ErrorMessage,
}

impl Fault {
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        if let Some(refusal) = error.as_service_error() {
            let code = refusal.code().unwrap_or("no error code");
            let said = refusal.message().unwrap_or("no message");
            return Self {
                meaning: meaning_of(code, said, status),
                text: ErrorMessage::new(format_args!("{code}: {said}")),
            };
        }
        let text = ErrorMessage::new(Chain(error));
        let meaning = match (credentials_error(error), error) {
            // Every provider says at length that it is not in use here.
            (Some(CredentialsError::CredentialsNotLoaded(_)), _) => {
                let text = ErrorMessage::new("no AWS credentials were found");
                return Self { meaning: Meaning::NoCredentials, text };
            }
            // A profile that cannot be read, or that leads back to itself.
            (Some(CredentialsError::InvalidConfiguration(_)), _) => Meaning::NoCredentials,
            // The request could not be built: it will be no different next time.
            (None, SdkError::ConstructionFailure(_)) => Meaning::Refused,
            _ => Meaning::Unavailable,
        };
        Self { meaning, text }
    }

    /// Says it of a request to a table.
    pub(super) fn into_store_error(self, request: Request<'_>) -> StoreError {
        let Self { meaning, text } = self;
        let Request { doing, action, table, key } = request;
        let kind = match meaning {
            Meaning::Throttled => StoreErrorKind::Throttled,
            // Credentials come back: a role is attached, a provider answers again.
            Meaning::Unavailable | Meaning::InUse | Meaning::NoCredentials => {
                StoreErrorKind::Unavailable
            }
            Meaning::Denied
            | Meaning::NoTable
            | Meaning::Unsupported
            | Meaning::TooLarge
            | Meaning::WrongKey
            | Meaning::Refused => StoreErrorKind::Permanent,
        };
        let remedy = match meaning {
            Meaning::Denied => format!("; allow `{action}` on the table"),
            Meaning::NoTable => {
                "; create the table, or check its name, the region and the account".to_owned()
            }
            Meaning::NoCredentials => CREDENTIALS_REMEDY.to_owned(),
            Meaning::TooLarge => "; an item holds 400 KB: give fewer or shorter attributes".into(),
            Meaning::WrongKey => format!(
                "; the table's partition key was taken to be `{key}`: name the right one \
                 (STATUS_TABLE_KEY), or allow `dynamodb:DescribeTable` so that it is found"
            ),
            _ => String::new(),
        };
        StoreError::new(kind, format!("cannot {doing} DynamoDB table `{table}`: {text}{remedy}"))
    }
}

/// What the SDK was asked to do, to be said in an error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// As in "cannot … table": `write to`, `read from`.
    pub(super) doing: &'static str,
    /// The permission it takes.
    pub(super) action: &'static str,
    pub(super) table: &'a str,
    pub(super) key: &'a str,
}

pub(super) const CREDENTIALS_REMEDY: &str = "; give AWS credentials by AWS_ACCESS_KEY_ID and \
     AWS_SECRET_ACCESS_KEY, by AWS_PROFILE, or by a role of the task, the function or the instance";

fn meaning_of(code: &str, said: &str, status: Option<u16>) -> Meaning {
    match code {
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "SlowDown" => Meaning::Throttled,
        "AccessDeniedException" | "AccessDenied" => Meaning::Denied,
        "ResourceNotFoundException" => Meaning::NoTable,
        "ResourceInUseException" => Meaning::InUse,
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken" => Meaning::NoCredentials,
        "UnknownOperationException" | "UnsupportedOperation" | "NotImplemented" => {
            Meaning::Unsupported
        }
        // Expired credentials are renewed by their provider; the others pass.
        "ExpiredTokenException"
        | "ExpiredToken"
        | "TransactionInProgressException"
        | "TransactionConflictException"
        | "ReplicatedWriteConflictException"
        | "LimitExceededException" => Meaning::Unavailable,
        _ if status == Some(429) => Meaning::Throttled,
        // Trouble of the service, or an answer that is none: a page of some proxy, or a
        // success whose body broke off.
        _ if !status.is_some_and(is_refusal) => Meaning::Unavailable,
        "ValidationException" if said.contains("tem size") => Meaning::TooLarge,
        "ValidationException" if said.contains("does not match the schema") => Meaning::WrongKey,
        "ValidationException" if said.contains("Missing the key") => Meaning::WrongKey,
        _ => Meaning::Refused,
    }
}

/// Whether an answer of this status says that the request was looked at and nothing was
/// done. 408 is a proxy that did not wait for the service.
pub(super) fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status) && status != 408
}

fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    sources(error).find_map(|source| source.downcast_ref())
}

/// Whether the connection was refused or there was no way to the host, so that no
/// request was sent.
pub(super) fn never_connected(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    sources(error).filter_map(|source| source.downcast_ref::<io::Error>()).any(|error| {
        matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
    })
}

fn sources<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Shows an error with its sources, since the SDK's own text is only "dispatch failure".
struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, error) in sources(self.0).enumerate() {
            let separator = if depth == 0 { "" } else { ": " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}
