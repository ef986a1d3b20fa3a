//! [`Http`]: serves one connection, with a limit on how long each step of it may take.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::{self, Builder};
use hyper_util::service::TowerToHyperService;
use pin_project::pin_project;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tower::service_fn;
use tower_service::Service;

use super::connections::{Answering, Connection};
use super::upgrade::UpgradeSlot;
use super::{Settings, ShutdownSignal};

/// How long a client may take for the head of a request, and how long until it sends the next
/// one. A proxy must give up an idle connection earlier, or it would send a request as that is
/// closed: 60 s are common.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// How many connections may be refused at once. Others are closed without a response.
const MAX_REFUSALS: usize = 16;

/// How long a refusal may take. It includes reading the request: a connection that is closed
/// with something unread is reset, and the client might not see the response.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// How many requests a client may have in flight on one connection over HTTP/2.
#[cfg(feature = "forward")]
const MAX_STREAMS: u32 = 250;

/// How much of a request's body over HTTP/2 a client may send before it is read.
#[cfg(feature = "forward")]
const STREAM_WINDOW: u32 = 128 << 10;

/// The same for all requests on a connection. It has room for each of them: one whose body waits, as in
/// a stack with a limit, would otherwise hold up those that it waits for.
#[cfg(feature = "forward")]
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;

/// How often a silent client is asked over HTTP/2 whether it is still there, and how long it may
/// take for the answer.
#[cfg(feature = "forward")]
const PING_INTERVAL: Duration = Duration::from_secs(30);
#[cfg(feature = "forward")]
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves connections.
pub(super) struct Http<S, B> {
    service: S,
    refusal: fn() -> Response<B>,
    settings: Settings,
    shutdown: ShutdownSignal,
    builder: Builder<TokioExecutor>,
    refusals: Arc<Semaphore>,
}

impl<S, B> Http<S, B>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(super) fn new(
        service: S,
        refusal: fn() -> Response<B>,
        settings: Settings,
        shutdown: ShutdownSignal,
    ) -> Self {
        let builder = builder(&settings);
        let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
        Self { service, refusal, settings, shutdown, builder, refusals }
    }

    /// Serves the requests of a connection until it ends, or must make room for another one.
    pub(super) fn serve(
        &self,
        stream: TcpStream,
        connection: Arc<Connection>,
    ) -> impl Future<Output = ()> + Send + 'static + use<S, B> {
        let Settings { write_timeout, is_proxy, .. } = self.settings;
        let (mut service, builder, shutdown) =
            (self.service.clone(), self.builder.clone(), self.shutdown.clone());
        async move {
            // Dropped last, after the socket: until then its place is taken.
            let place = Arc::clone(&connection);
            let upgrade = is_proxy.then(UpgradeSlot::default);
            let slot = upgrade.clone();
            let answers = service_fn(move |mut request: Request<Incoming>| {
                let answering = connection.answer();
                if let Some(slot) = &slot {
                    request.extensions_mut().insert(slot.clone());
                }
                // Always ready: it has no state of its own.
                let response = service.call(request);
                async move {
                    Ok::<_, Infallible>(response.await?.map(|body| AnswerBody { body, answering }))
                }
            });
            let mut stream = TimeoutStream::new(stream);
            stream.set_write_timeout(Some(write_timeout));
            let io = TokioIo::new(Box::pin(stream));
            let answers = TowerToHyperService::new(answers);
            let Some(slot) = upgrade else {
                let served = builder.serve_connection(io, answers);
                let shut_down = |served: Pin<&mut Served<'_, _>>| served.graceful_shutdown();
                // Over HTTP/1.1, the time-out of the head is enough.
                return drive(served, shut_down, &place, std::future::pending(), shutdown).await;
            };
            let served = builder.serve_connection_with_upgrades(io, answers);
            let shut_down = |served: Pin<&mut Upgradeable<'_, _>>| served.graceful_shutdown();
            drive(served, shut_down, &place, place.idle(HEAD_TIMEOUT), shutdown).await;
            if let Some(upgraded) = slot.take() {
                let _answering = place.answer();
                // It may have been chosen to make room in the moment before.
                tokio::select! {
                    () = upgraded => {}
                    () = place.closed() => {}
                }
            }
        }
    }

    /// Responds with 503 to the one request of a connection. `None` if too many are being
    /// refused already.
    pub(super) fn refuse(
        &self,
        stream: TcpStream,
    ) -> Option<impl Future<Output = ()> + Send + 'static + use<S, B>> {
        let refusal = Arc::clone(&self.refusals).try_acquire_owned().ok()?;
        let response = self.refusal;
        let mut builder = self.builder.clone();
        builder.http1().keep_alive(false);
        Some(async move {
            let refuse = service_fn(move |_: Request<Incoming>| {
                std::future::ready(Ok::<_, Infallible>(response()))
            });
            let io = TokioIo::new(stream);
            let served = builder.serve_connection(io, TowerToHyperService::new(refuse));
            let _ = timeout(REFUSAL_TIMEOUT, served).await;
            drop(refusal);
        })
    }
}

type Io = TokioIo<Pin<Box<TimeoutStream<TcpStream>>>>;
type Served<'a, S> = auto::Connection<'a, Io, S, TokioExecutor>;
type Upgradeable<'a, S> = auto::UpgradeableConnection<'a, Io, S, TokioExecutor>;

/// Serves a connection until it ends, must make room for another one, or has finished what it does
/// after it was idle or the server shuts down.
async fn drive<C: Future>(
    served: C,
    shut_down: impl FnOnce(Pin<&mut C>),
    place: &Connection,
    idle: impl Future<Output = ()>,
    shutdown: ShutdownSignal,
) {
    let mut served = pin!(served);
    // An error is the client's: it has left, was too slow, or does not speak HTTP.
    tokio::select! {
        _ = &mut served => return,
        () = place.closed() => return,
        () = idle => {}
        () = shutdown => {}
    }
    shut_down(served.as_mut());
    tokio::select! {
        _ = served => {}
        () = place.closed() => {}
    }
}

fn builder(settings: &Settings) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(settings.max_head);
    if !settings.is_proxy {
        // Without HTTP/2, which a browser would only speak over TLS: nothing of it need be
        // bounded then, whatever features of hyper the program has.
        return builder.http1_only();
    }
    builder.http1().auto_date_header(false);
    #[cfg(feature = "forward")]
    builder
        .http2()
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(settings.max_head).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// The body of a response. While it exists, its connection is being answered.
#[pin_project]
struct AnswerBody<B> {
    #[pin]
    body: B,
    answering: Answering,
}

impl<B: Body> Body for AnswerBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
