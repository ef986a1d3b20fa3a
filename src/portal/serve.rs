//! [`Server`]: the portal served alone.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

use super::{Portal, Shutdown, guard};
use crate::store::StatusReader;

/// How long the connections that are open at shutdown have to end.
const GRACE: Duration = Duration::from_secs(5);

impl<R: StatusReader> Portal<R> {
    /// Listens at an address, to serve the portal alone. Port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// If the address is not a loopback address and there is no [token](Self::token), if
    /// the token cannot be sent in a header, or if the address cannot be listened at.
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

/// A portal that listens, and [serves](Self::serve) when told to.
#[derive(Debug)]
#[must_use = "it answers nobody until `serve`"]
pub struct Server {
    address: SocketAddr,
    listener: TcpListener,
    router: Router,
    shutdown: Shutdown,
}

impl Server {
    /// Where it listens, with the port it was given.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the page.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Serves until the portal's [shutdown](Portal::shutdown). Connections that are then
    /// still open have five seconds.
    ///
    /// # Errors
    ///
    /// If no connection can be taken any more.
    pub async fn serve(self) -> io::Result<()> {
        let listener = self.listener.tap_io(|stream| {
            // An event is worth a packet of its own. Without this it is late, not lost.
            let _ = stream.set_nodelay(true);
        });
        let shutdown = self.shutdown;
        let server = axum::serve(listener, self.router).with_graceful_shutdown(shutdown.clone());
        let too_long = async {
            shutdown.await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            ended = server.into_future() => ended,
            () = too_long => Ok(()),
        }
    }
}

/// Why a portal does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Others could read it.
    #[error(
        "at {0} everyone who can reach this machine could read the portal: give it a token, or \
         listen on 127.0.0.1"
    )]
    NoToken(SocketAddr),
    /// The token is empty, or cannot be sent in a header.
    #[error("the token must be 1 to 1,024 visible ASCII characters without spaces")]
    UnusableToken,
    /// The address is taken, or is none of this machine's.
    #[error("cannot listen at {address}: {error}")]
    Listen {
        /// Where it should have listened.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
}

fn is_sendable(token: &str) -> bool {
    (1..=1024).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
}
