//! [`Server`]: the portal's own HTTP server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use axum::response::{IntoResponse as _, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};

use super::response::ErrorResponse;
use super::{Portal, guard, health};
use crate::listener::{Listener, Settings, ShutdownSignal};
use crate::store::StatusReader;

/// How long open connections may take to finish at shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// How long a client may read nothing of a response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 32 << 10;

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
            Some(token) if !token.is_sendable() => return Err(ServeError::UnusableToken),
            None if !address.ip().is_loopback() => return Err(ServeError::NoToken(address)),
            _ => {}
        }
        let listener =
            Listener::bind(address).await.map_err(|error| ServeError::Listen { address, error })?;
        let shutdown = self.settings.shutdown.clone();
        let max_connections = self.settings.max_connections;
        let is_open = self.settings.token.is_none();
        let Self { reader, settings } = self;
        let reader = Arc::new(reader);
        let portal = Portal { reader: Arc::clone(&reader), settings };
        let mut router = portal.router().merge(health::router(reader));
        if is_open {
            router = router.layer(from_fn(guard::require_loopback_name));
        }
        Ok(Server { listener, router, max_connections, shutdown })
    }
}

/// A portal bound to an address. Call [`serve`](Self::serve) to run it.
#[derive(Debug)]
#[must_use = "a server accepts no connections until `serve` is called"]
pub struct Server {
    listener: Listener,
    router: Router,
    max_connections: usize,
    shutdown: ShutdownSignal,
}

impl Server {
    /// Returns the bound address, with the actual port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Returns the URL of the page.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.local_addr())
    }

    /// Serves HTTP/1.1 until the portal's [shutdown](Portal::with_graceful_shutdown). Open
    /// connections then have five seconds to finish.
    ///
    /// A connection is closed if a request's head does not arrive, or no other request follows,
    /// within 75 s, or if the client has not read anything of a response for 60 s. A head may
    /// have 32 KiB; a larger one gets 431.
    ///
    /// If [`max_connections`](Portal::max_connections) are open, the one that has waited longest
    /// for a request is closed for a new one. If each is being answered, as event streams are,
    /// the new one gets 503. Both are logged, at most once a minute.
    ///
    /// If the returned future is dropped, all connections are closed.
    ///
    /// # Errors
    ///
    /// Returns an error if the listener fails and no more connections can be accepted. Failures
    /// that may pass, such as a lack of descriptors, are logged, and the server goes on.
    pub async fn serve(self) -> io::Result<()> {
        let Self { listener, router, max_connections, shutdown } = self;
        let settings = Settings {
            name: "the portal",
            max_connections,
            max_head: MAX_HEAD,
            write_timeout: WRITE_TIMEOUT,
            grace: GRACE,
            is_proxy: false,
        };
        listener.serve(router, refuse, settings, shutdown).await;
        Ok(())
    }
}

/// The response to a connection for which there is no room.
fn refuse() -> Response {
    let detail = "the portal has too many connections; try again later";
    let mut response = ErrorResponse::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
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
