//! Errors: [`SetupError`], and [`RequestError`], which classifies an error of the SDK and turns
//! it into a [`StoreError`] with a remedy.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use super::remedy::{Credentials, Outage, remedy};
use crate::status::{ErrorChain, ErrorMessage};
use crate::store::{StoreError, StoreErrorKind};

/// The error returned when a store cannot be used as it is set up: a setting or the table is
/// missing, or the table has the wrong kind of key.
///
/// Its message is one sentence with the cause and the remedy.
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

    /// Returns `true` if the table does not exist:
    /// [`create_table`](super::DynamoDbStore::create_table) would help.
    #[must_use]
    pub fn is_table_not_found(&self) -> bool {
        self.cause == Cause::MissingTable
    }

    /// Returns `true` if the role lacks a permission.
    #[must_use]
    pub fn is_access_denied(&self) -> bool {
        self.cause == Cause::Denied
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for SetupError {}

/// The kind of an error of the SDK, by what it means for the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum RequestErrorKind {
    /// Too many requests for the table, the account or the partition.
    Throttled,
    /// No response, or one that reports trouble which may pass.
    Unavailable(Outage),
    /// The role lacks the permission.
    AccessDenied,
    /// The service does not know the table.
    TableNotFound,
    /// There are no credentials to sign with, or the service rejects them.
    Credentials(Credentials),
    /// The endpoint does not implement the operation, as with some emulators.
    UnsupportedOperation,
    /// The table exists already, or is being changed.
    ResourceInUse,
    /// The item would be larger than 400 KB.
    ItemTooLarge,
    /// The key of the request is not the key of the table.
    KeyMismatch,
    /// Any other rejection: the same request would be rejected again.
    Rejected,
}

/// A failed request, classified.
#[derive(Debug)]
pub(in crate::store) struct RequestError {
    pub(super) kind: RequestErrorKind,
    /// The message of the service or the connection, shortened: some echo the whole request.
    pub(super) message: ErrorMessage,
}

impl RequestError {
    /// An error that the service returned with this status.
    pub(in crate::store) fn of_service(code: &str, text: &str, status: Option<u16>) -> Self {
        let message = match status {
            // From something between here and DynamoDB.
            Some(status) if code.is_empty() => {
                ErrorMessage::new(format_args!("status {status} without an error of DynamoDB"))
            }
            _ => ErrorMessage::new(format_args!("{code}: {text}")),
        };
        Self { kind: classify(code, text, status), message }
    }

    pub(super) fn from_sdk<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        if let Some(error) = error.as_service_error() {
            let code = error.code().unwrap_or_default();
            return Self::of_service(code, error.message().unwrap_or("no message"), status);
        }
        // The SDK's own message is only "dispatch failure".
        let message = ErrorMessage::new(ErrorChain(error));
        let kind = match (credentials_error(error), error) {
            // The SDK's own message lists every provider and why it does not apply.
            (Some(CredentialsError::CredentialsNotLoaded(_)), _) => {
                // The SDK skips a file that it cannot read.
                if let Some(message) = unreadable_profiles() {
                    return Self {
                        kind: RequestErrorKind::Credentials(Credentials::Profile),
                        message,
                    };
                }
                let kind = RequestErrorKind::Credentials(Credentials::Missing);
                // Unless the profile has no part in it, as with a client of the application.
                let asked = ErrorChain(error).to_string().contains("rofile");
                let profile = asked.then(named_profile).flatten();
                return Self { kind, message: missing_credentials(profile.as_deref()) };
            }
            // A profile that cannot be read, or that refers to itself.
            (Some(CredentialsError::InvalidConfiguration(_)), _) => {
                RequestErrorKind::Credentials(Credentials::Profile)
            }
            (Some(_), _) => RequestErrorKind::Unavailable(Outage::CredentialsProvider),
            // The request could not be built, and could not be next time.
            (None, SdkError::ConstructionFailure(_)) => RequestErrorKind::Rejected,
            _ => RequestErrorKind::Unavailable(Outage::of_connection(error)),
        };
        Self { kind, message }
    }

    /// Turns it into the error of a store, with what was attempted and the remedy.
    pub(super) fn into_store_error(self, request: RequestContext<'_>) -> StoreError {
        let Self { kind, message } = self;
        let RequestContext { operation, permission, table, key } = request;
        let store_kind = match kind {
            RequestErrorKind::Throttled => StoreErrorKind::Throttled,
            // Credentials may appear later: a role is attached, or its provider recovers.
            RequestErrorKind::Unavailable(_)
            | RequestErrorKind::ResourceInUse
            | RequestErrorKind::Credentials(_) => StoreErrorKind::Unavailable,
            RequestErrorKind::AccessDenied
            | RequestErrorKind::TableNotFound
            | RequestErrorKind::UnsupportedOperation
            | RequestErrorKind::ItemTooLarge
            | RequestErrorKind::KeyMismatch
            | RequestErrorKind::Rejected => StoreErrorKind::Permanent,
        };
        let remedy = match kind {
            RequestErrorKind::AccessDenied => format!("; allow `{permission}` on the table"),
            RequestErrorKind::TableNotFound => {
                "; create the table, or check its name, the region and the account".to_owned()
            }
            RequestErrorKind::ItemTooLarge => {
                "; the limit is 400 KB: set fewer or shorter attributes".into()
            }
            RequestErrorKind::KeyMismatch => format!(
                "; the table's partition key was assumed to be `{key}`: set STATUS_TABLE_KEY to \
                 the right one, or allow `dynamodb:DescribeTable` so that it can be discovered"
            ),
            kind => and(remedy(kind)),
        };
        let text = format!("cannot {operation} DynamoDB table `{table}`: {message}{remedy}");
        StoreError::new(store_kind, text)
    }
}

/// What was attempted, for the message of an error.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestContext<'a> {
    /// A verb for "cannot … DynamoDB table": `write to`, `read from`.
    pub(super) operation: &'static str,
    /// The permission it requires.
    pub(super) permission: &'static str,
    pub(super) table: &'a str,
    pub(super) key: &'a str,
}

/// A remedy as the end of a message.
pub(super) fn and(remedy: &str) -> String {
    if remedy.is_empty() { String::new() } else { format!("; {remedy}") }
}

fn classify(code: &str, message: &str, status: Option<u16>) -> RequestErrorKind {
    match code {
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "SlowDown" => RequestErrorKind::Throttled,
        "AccessDeniedException" | "AccessDenied" => RequestErrorKind::AccessDenied,
        "ResourceNotFoundException" => RequestErrorKind::TableNotFound,
        "ResourceInUseException" => RequestErrorKind::ResourceInUse,
        "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => {
            RequestErrorKind::Unavailable(Outage::ClockSkew)
        }
        // "Signature expired: 20261126T120000Z is now earlier than …", or "not yet current".
        "InvalidSignatureException" | "SignatureDoesNotMatch"
            if message.contains("Signature expired") || message.contains("not yet current") =>
        {
            RequestErrorKind::Unavailable(Outage::ClockSkew)
        }
        "InvalidSignatureException" | "SignatureDoesNotMatch" | "IncompleteSignatureException" => {
            RequestErrorKind::Credentials(Credentials::WrongSecret)
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "NotAuthorized"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken" => RequestErrorKind::Credentials(Credentials::Rejected),
        "UnknownOperationException" | "UnsupportedOperation" | "NotImplemented" => {
            RequestErrorKind::UnsupportedOperation
        }
        // Their provider renews expired credentials.
        "ExpiredTokenException" | "ExpiredToken" => {
            RequestErrorKind::Unavailable(Outage::ExpiredToken)
        }
        "TransactionInProgressException"
        | "TransactionConflictException"
        | "ReplicatedWriteConflictException"
        | "LimitExceededException" => RequestErrorKind::Unavailable(Outage::Service),
        _ if status == Some(429) => RequestErrorKind::Throttled,
        // Trouble of the service, or no response of DynamoDB at all: the page of a proxy, or a
        // success whose body broke off.
        _ if !status.is_some_and(is_rejection) => RequestErrorKind::Unavailable(Outage::Service),
        "ValidationException" if message.contains("tem size") => RequestErrorKind::ItemTooLarge,
        "ValidationException" if message.contains("does not match the schema") => {
            RequestErrorKind::KeyMismatch
        }
        "ValidationException" if message.contains("Missing the key") => {
            RequestErrorKind::KeyMismatch
        }
        _ => RequestErrorKind::Rejected,
    }
}

/// Whether a response of this status means that the request was rejected and changed nothing.
/// 408 comes from a proxy that did not wait for the service.
pub(in crate::store) fn is_rejection(status: u16) -> bool {
    (400..500).contains(&status) && status != 408
}

/// The profile that is to be used, if one is named.
fn named_profile() -> Option<String> {
    std::env::var("AWS_PROFILE").ok().filter(|profile| !profile.is_empty())
}

/// Names the file of profiles that exists and cannot be read, if there is one.
fn unreadable_profiles() -> Option<ErrorMessage> {
    let files = [("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ("AWS_CONFIG_FILE", "config")];
    files.into_iter().find_map(|(variable, name)| {
        let path = match std::env::var_os(variable).filter(|path| !path.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => std::env::home_dir()?.join(".aws").join(name),
        };
        let error = std::fs::read_to_string(&path).err()?;
        if error.kind() == io::ErrorKind::NotFound {
            return None;
        }
        let path = path.display();
        Some(ErrorMessage::new(format_args!(
            "no AWS credentials were found, and `{path}` ({variable}) cannot be read: {error}"
        )))
    })
}

/// Names the profile, since a misspelt one has credentials under another name.
fn missing_credentials(profile: Option<&str>) -> ErrorMessage {
    match profile {
        None => ErrorMessage::new("no AWS credentials were found"),
        Some(profile) => ErrorMessage::new(format_args!(
            "the profile `{profile}`, which AWS_PROFILE names, does not exist or has no \
             credentials, and nothing else provides any"
        )),
    }
}

fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    sources(error).find_map(|source| source.downcast_ref())
}

/// Whether the connection was refused or the host was unreachable, so that no request was
/// sent.
pub(super) fn never_connected(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    sources(error).filter_map(|source| source.downcast_ref::<io::Error>()).any(|error| {
        matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
    })
}

pub(super) fn sources<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
