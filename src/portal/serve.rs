//! [`Server`]: the portal's own HTTP server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

use super::{Portal, ShutdownSignal, guard};
use crate::store::StatusReader;

/// How long open connections may take to finish at shutdown.
const GRACE: Duration = Duration::from_secs(5);

impl<R: StatusReader> Portal<R> {
    /// Binds an address, to serve the portal on its own. Port 0 picks a free port.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is not a loopback address and no
    /// [token](Self::token) is set, if the token cannot be sent in a header, or if the
    /// address cannot be bound.
    pub async fn bind(self, address: SocketAddr) -> Result<Server, ServeError> {
        match &self.settings.token {
            Some(token) if !is_sendable(token) => return Err(ServeError::UnusableToken),
            None if !address.ip().is_loopback() => return Err(ServeError::NoToken(address)),
            _ => {}
        }
        let bind = async {
            let listener = TcpListener::bind(address).await?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) =
            bind.await.map_err(|error| ServeError::Listen { address, error })?;
        let shutdown = self.settings.shutdown.clone();
        let is_open = self.settings.token.is_none();
        let mut router = self.router();
        if is_open {
            router = router.layer(from_fn(guard::require_loopback_name));
        }
        Ok(Server { address, listener, router, shutdown })
    }
}

/// A portal bound to an address. Call [`serve`](Self::serve) to run it.
#[derive(Debug)]
#[must_use = "a server accepts no connections until `serve` is called"]
pub struct Server {
    address: SocketAddr,
    listener: TcpListener,
    router: Router,
    shutdown: ShutdownSignal,
}

impl Server {
    /// Returns the bound address, with the actual port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL of the page.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Serves until the portal's [shutdown](Portal::with_graceful_shutdown). Open connections then have
    /// five seconds to finish.
    ///
    /// # Errors
    ///
    /// Returns an error if the listener fails and no more connections can be accepted.
    pub async fn serve(self) -> io::Result<()> {
        let listener = self.listener.tap_io(|stream| {
            // Sends each event at once. Should it fail, events are late but not lost.
            let _ = stream.set_nodelay(true);
        });
        let shutdown = self.shutdown;
        let server = axum::serve(listener, self.router).with_graceful_shutdown(shutdown.clone());
        let grace_over = async {
            shutdown.await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            ended = server.into_future() => ended,
            () = grace_over => Ok(()),
        }
    }
}

/// Why a portal could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is not a loopback address, and there is no token.
    #[error("anyone who can reach {0} could read the portal: set a token, or listen on 127.0.0.1")]
    NoToken(SocketAddr),
    /// The token is empty, too long, or cannot be sent in a header.
    #[error("the portal's token must be 1 to 1,024 visible ASCII characters without spaces")]
    UnusableToken,
    /// The address is in use, or does not belong to this machine.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address to bind.
        address: SocketAddr,
        /// The operating system's error.
        error: io::Error,
    },
}

fn is_sendable(token: &str) -> bool {
    (1..=1024).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
}
