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
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::address::{Refusal, refusal};

/// How long one of several addresses may take. Where a network drops what is sent to one of them, as one
/// without a way to IPv6 may do, the whole time of a request would pass before the next was tried.
const TRY_NEXT_AFTER: Duration = Duration::from_secs(2);

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
        let mut allowed = Vec::with_capacity(addresses.len());
        for address in addresses {
            match self.check(address) {
                Ok(()) => allowed.push(address),
                Err(refused) => failed = io::Error::new(io::ErrorKind::PermissionDenied, refused),
            }
        }
        let mut addresses = allowed.into_iter().peekable();
        while let Some(address) = addresses.next() {
            let connecting = TcpStream::connect(SocketAddr::new(address, port));
            let connected = match addresses.peek() {
                None => connecting.await,
                Some(_) => timeout(TRY_NEXT_AFTER, connecting)
                    .await
                    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
            };
            match connected {
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_leaves_time_for_the_next() {
        let answers = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = answers.local_addr().unwrap().port();
        let silent = SocketAddr::from(([127, 0, 0, 2], port));
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(silent).unwrap();
        // Nobody accepts: there is room for one, and what the next ones send is dropped.
        let _listener = socket.listen(0).unwrap();
        let _first = TcpStream::connect(silent).await.unwrap();
        let mut second = Box::pin(TcpStream::connect(silent));
        assert!(second.as_mut().now_or_never().is_none_or(|connected| connected.is_ok()));
        let resolver: Arc<Resolver> = Arc::new(move |_| {
            let found = [silent.ip(), [127, 0, 0, 1].into()];
            Box::pin(async move { Ok(found.to_vec()) })
        });
        let connector = Connector { resolver: Some(resolver), allows_private: true };
        let begin = Instant::now();
        let stream = connector.connect("alerts.example.com".to_owned(), port).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), answers.local_addr().unwrap());
        assert!(begin.elapsed() < TRY_NEXT_AFTER * 2, "{:?}", begin.elapsed());
    }
}
