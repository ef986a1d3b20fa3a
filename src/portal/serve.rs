//! [`Server`]: the portal's own HTTP server, which accepts connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::connection::Http;
use super::connections::Connections;
use super::{Portal, ShutdownSignal, descriptors, guard, health};
use crate::store::StatusReader;

/// How long open connections may take to finish at shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// The pause after a connection could not be accepted, which has most often to do with
/// descriptors. They become free as other connections end.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// How often the same trouble is logged, at most.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

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
        let max_connections = self.settings.max_connections;
        let is_open = self.settings.token.is_none();
        let Self { reader, settings } = self;
        let reader = Arc::new(reader);
        let portal = Portal { reader: Arc::clone(&reader), settings };
        let mut router = portal.router().merge(health::router(reader));
        if is_open {
            router = router.layer(from_fn(guard::require_loopback_name));
        }
        Ok(Server { address, listener, router, max_connections, shutdown })
    }
}

/// A portal bound to an address. Call [`serve`](Self::serve) to run it.
#[derive(Debug)]
#[must_use = "a server accepts no connections until `serve` is called"]
pub struct Server {
    address: SocketAddr,
    listener: TcpListener,
    router: Router,
    max_connections: usize,
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
        let Self { listener, router, max_connections, shutdown, .. } = self;
        let max_connections = descriptors::leave_free(max_connections);
        let connections = Connections::new(max_connections);
        let http = Http::new(router, shutdown.clone());
        let mut tasks = JoinSet::new();
        let (mut full, mut failed) = (LogInterval::default(), LogInterval::default());
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = tasks.join_next() => continue,
                () = shutdown.clone() => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) if concerns_one_connection(&error) => continue,
                Err(error) => {
                    if failed.is_due() {
                        tracing::error!(
                            %error, max_connections,
                            "cannot accept connections to the portal; retrying. If there are too \
                             many open files, raise the limit (`ulimit -n`) or lower \
                             `max_connections`"
                        );
                    }
                    connections.close_longest_waiting();
                    tokio::select! {
                        () = sleep(ACCEPT_PAUSE) => continue,
                        () = shutdown.clone() => break,
                    }
                }
            };
            if connections.is_full() && full.is_due() {
                tracing::warn!(
                    max_connections,
                    "all connections of the portal are in use: closing those that have waited \
                     longest for a request, or else refusing new ones with 503"
                );
            }
            send_at_once(&stream);
            match connections.enter().await {
                Some(connection) => drop(tasks.spawn(http.serve(stream, connection))),
                None => drop(http.refuse(stream).map(|refusal| tasks.spawn(refusal))),
            }
        }
        drop(listener);
        // The tasks that remain end as the set is dropped.
        let _ = timeout(GRACE, async { while tasks.join_next().await.is_some() {} }).await;
        Ok(())
    }
}

/// Sends each event at once. Should it fail, events are late but not lost.
fn send_at_once(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
}

/// Whether the client has given up before its connection was accepted.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Keeps trouble that lasts from filling the log.
#[derive(Debug, Default)]
struct LogInterval(Option<Instant>);

impl LogInterval {
    fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|last| last.elapsed() >= LOG_INTERVAL);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
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
