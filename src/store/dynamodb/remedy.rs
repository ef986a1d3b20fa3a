//! What to do about a failed request, by its kind.

use std::error::Error;
use std::io;

use super::error::{RequestErrorKind, sources};
use crate::status::ErrorChain;

/// Why there is no useful response now. It is worth asking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outage {
    /// The service, or something in front of it, reports trouble.
    Service,
    /// No response in time, or a connection that breaks off.
    NoResponse,
    /// The name of the host cannot be resolved.
    NameNotFound,
    /// Nothing listens there.
    Refused,
    /// The network or the host cannot be reached.
    NoRoute,
    /// The proxy opens no connection to the service.
    Proxy,
    /// TLS could not be established.
    Tls,
    /// The service finds the time of the signature wrong.
    ClockSkew,
    /// The session token has expired. Its provider may renew it.
    ExpiredToken,
    /// What provides the credentials, such as STS or the metadata of an instance, fails.
    CredentialsProvider,
}

/// What is wrong with the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    /// Nothing provides any.
    Missing,
    /// The configuration of the profiles cannot be read or used.
    Profile,
    /// The service does not accept the key or the token.
    Rejected,
    /// The service does not accept the signature.
    WrongSecret,
}

/// What to do about an error, for the end of its message. Kinds whose remedy names the table have
/// none here.
pub(super) fn remedy(kind: RequestErrorKind) -> &'static str {
    match kind {
        RequestErrorKind::Throttled => {
            "DynamoDB throttles the account's or the table's requests, and they are retried: raise \
             the capacity or the quota if this goes on"
        }
        RequestErrorKind::Unavailable(outage) => outage.remedy(),
        RequestErrorKind::Credentials(credentials) => credentials.remedy(),
        RequestErrorKind::ResourceInUse => "the table is being changed: it is tried again",
        _ => "",
    }
}

impl Outage {
    /// Why a connection or its response has failed.
    pub(super) fn of_connection(error: &(dyn Error + 'static)) -> Self {
        use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable};
        let kinds =
            || sources(error).filter_map(|source| source.downcast_ref()).map(io::Error::kind);
        // The connector has no types of its own for these.
        let text = ErrorChain(error).to_string().to_lowercase();
        if text.contains("dns error") {
            Self::NameNotFound
        } else if text.contains("tunnel error") {
            Self::Proxy
        } else if kinds().any(|kind| kind == ConnectionRefused) {
            Self::Refused
        } else if kinds()
            .any(|kind| matches!(kind, HostUnreachable | NetworkUnreachable | NetworkDown))
        {
            Self::NoRoute
        } else if ["tls handshake", "certificate", "corrupt message"]
            .iter()
            .any(|word| text.contains(word))
        {
            Self::Tls
        } else {
            Self::NoResponse
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Service => {
                "DynamoDB, or a proxy in front of it, reports trouble of its own, and it is tried \
                 again"
            }
            Self::NoResponse => {
                "check the network, a firewall or security group, HTTPS_PROXY, and the VPC endpoint"
            }
            Self::NameNotFound => {
                "the host has no address: check AWS_REGION (such as eu-west-1) and \
                 AWS_ENDPOINT_URL_DYNAMODB for typing errors, and the network's DNS"
            }
            Self::Refused => {
                "nothing listens there: start the emulator, or check AWS_ENDPOINT_URL_DYNAMODB and \
                 HTTPS_PROXY"
            }
            Self::NoRoute => {
                "there is no route: check the network, and the VPC endpoint or the NAT gateway of \
                 the subnet"
            }
            Self::Proxy => {
                "the proxy opens no connection: check HTTPS_PROXY, the user and password in it, and \
                 what the proxy allows, or except the host by NO_PROXY"
            }
            Self::Tls => {
                "TLS failed: check that the endpoint (AWS_ENDPOINT_URL_DYNAMODB) speaks https, and \
                 that its certificate, or that of a proxy which intercepts TLS, is among the \
                 system's trusted ones (SSL_CERT_FILE)"
            }
            Self::ClockSkew => {
                "the clock of this machine differs from that of AWS by minutes: check the clock, and \
                 synchronize it"
            }
            Self::ExpiredToken => {
                "the credentials are temporary and have expired: renew them, and set \
                 AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN together"
            }
            Self::CredentialsProvider => {
                "the source of the AWS credentials failed: check the role that AWS_PROFILE or \
                 AWS_ROLE_ARN names, and the network to STS or to the metadata service, which \
                 must not go through a proxy (NO_PROXY=169.254.169.254,169.254.170.2)"
            }
        }
    }
}

impl Credentials {
    fn remedy(self) -> &'static str {
        match self {
            Self::Missing => {
                "provide AWS credentials by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, by \
                 AWS_PROFILE, or by a role of the task, the function or the instance"
            }
            Self::Profile => {
                "correct ~/.aws/config and ~/.aws/credentials, or the files that AWS_CONFIG_FILE and \
                 AWS_SHARED_CREDENTIALS_FILE name; or provide AWS credentials by AWS_ACCESS_KEY_ID \
                 and AWS_SECRET_ACCESS_KEY, or by a role"
            }
            Self::Rejected => {
                "check AWS_ACCESS_KEY_ID, and AWS_SESSION_TOKEN, which temporary credentials need \
                 and others must not have; the key may have been deleted, or the region \
                 (AWS_REGION) may not be enabled for the account"
            }
            Self::WrongSecret => {
                "check AWS_SECRET_ACCESS_KEY: it does not belong to AWS_ACCESS_KEY_ID, or is \
                 incomplete"
            }
        }
    }
}
