//! [`Connector`]: connects to a host, at the addresses that are allowed.
//!
//! The address that is checked is the one that is connected to, so a host name that changes between
//! the two does not help. Connections are not kept, so every request is checked.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::address::{Refusal, refusal};

type Connecting<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// Resolves the name of a host to its addresses.
pub(super) type Resolver = dyn Fn(String) -> Connecting<Vec<IpAddr>> + Send + Sync;

#[derive(Clone)]
pub(super) struct Connector {
    /// `None` for the operating system's.
    pub(super) resolver: Option<Arc<Resolver>>,
    pub(super) allows_private: bool,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("allows_private", &self.allows_private)
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// Whether an address may be connected to.
    pub(super) fn check(&self, address: IpAddr) -> Result<(), RefusedAddress> {
        match refusal(address) {
            None => Ok(()),
            Some(Refusal::Private) if self.allows_private => Ok(()),
            Some(refusal) => Err(RefusedAddress { address, refusal }),
        }
    }

    async fn connect(self, host: String, port: u16) -> io::Result<TcpStream> {
        let addresses = match (literal(&host), &self.resolver) {
            (Some(address), _) => vec![address],
            (None, Some(resolver)) => resolver(host).await?,
            (None, None) => {
                tokio::net::lookup_host((host, port)).await?.map(|found| found.ip()).collect()
            }
        };
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in addresses {
            if let Err(refused) = self.check(address) {
                failed = io::Error::new(io::ErrorKind::PermissionDenied, refused);
                continue;
            }
            match TcpStream::connect(SocketAddr::new(address, port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

/// The address that a host is written as. In a URL, an IPv6 address is in brackets.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let host = uri.host().unwrap_or_default().to_owned();
        let default = if uri.scheme_str() == Some("http") { 80 } else { 443 };
        let port = uri.port_u16().unwrap_or(default);
        let connecting = self.clone().connect(host, port);
        Box::pin(async move { connecting.await.map(TokioIo::new) })
    }
}

/// The error of an address that may not be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RefusedAddress {
    address: IpAddr,
    refusal: Refusal,
}

impl fmt::Display for RefusedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, refusal } = self;
        match refusal {
            Refusal::Private => write!(
                f,
                "the address {address} is not public: use a public receiver, or allow private \
                 addresses (`--webhook-allow-private`, `Webhook::allow_private_addresses`)"
            ),
            Refusal::Metadata => write!(
                f,
                "the address {address} is one of a cloud's metadata service, which is never \
                 allowed: use another URL"
            ),
        }
    }
}

impl std::error::Error for RefusedAddress {}
