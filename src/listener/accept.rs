//! The loop that accepts connections.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower_service::Service;

use super::connection::Http;
use super::connections::Connections;
use super::{Settings, ShutdownSignal, descriptors};

/// The pause after a connection could not be accepted, which has most often to do with
/// descriptors. They become free as other connections end.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// How soon a silent client is asked whether it is still there, and how often it may fail to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_ALIVE_RETRIES: u32 = 3;

/// How often the same trouble is logged, at most.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// A bound address, whose connections are served by [`serve`](Self::serve).
#[derive(Debug)]
pub(crate) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds an address. Port 0 picks a free port.
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { address: listener.local_addr()?, listener })
    }

    /// The bound address, with the actual port.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the shutdown. `refuse` is the response to a connection for which there is no
    /// room.
    ///
    /// If the returned future is dropped, all connections are closed.
    pub(crate) async fn serve<S, B>(
        self,
        service: S,
        refuse: fn() -> Response<B>,
        settings: Settings,
        shutdown: ShutdownSignal,
    ) where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Self { listener, .. } = self;
        let max_connections =
            descriptors::leave_free(settings.max_connections, settings.descriptors_each());
        let connections = Connections::new(max_connections);
        let http = Http::new(service, refuse, settings, shutdown.clone());
        let name = settings.name;
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
                            "cannot accept connections to {name}; retrying. If there are too many \
                             open files, raise the limit (`ulimit -n`) or lower `max_connections`"
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
                    "all connections of {name} are in use: closing those that have waited longest \
                     for a request, or else refusing new ones with 503"
                );
            }
            set_options(&stream);
            match connections.enter().await {
                Some(connection) => drop(tasks.spawn(http.serve(stream, connection))),
                None => drop(http.refuse(stream).map(|refusal| tasks.spawn(refusal))),
            }
        }
        drop(listener);
        // The tasks that remain end as the set is dropped.
        let _ = timeout(settings.grace, async { while tasks.join_next().await.is_some() {} }).await;
    }
}

/// Sends each event at once, and asks a silent client from time to time whether it is still there: one
/// whose machine is gone would keep its place, and its call, as long as nothing is sent to it. Should
/// either fail, events are late but not lost, and such a client is found later.
fn set_options(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let keep_alive = TcpKeepalive::new()
        .with_time(KEEP_ALIVE)
        .with_interval(KEEP_ALIVE_INTERVAL)
        .with_retries(KEEP_ALIVE_RETRIES);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keep_alive);
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
