//! [`Http`]: serves one connection, with a limit on how long each step of it may take.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use pin_project::pin_project;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tower::{ServiceExt as _, service_fn};

use super::ShutdownSignal;
use super::connections::{Answering, Connection};
use super::response::ErrorResponse;

/// How long a client may take for the head of a request, and how long until it sends the next
/// one. A proxy must give up an idle connection earlier, or it would send a request as that is
/// closed: 60 s are common.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// How long a client may read nothing of a response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest head of a request, in bytes. Every connection may hold as much.
const MAX_HEAD: usize = 32 << 10;

/// How many connections may be refused at once. Others are closed without a response.
const MAX_REFUSALS: usize = 16;

/// How long a refusal may take. It includes reading the request: a connection that is closed
/// with something unread is reset, and the client might not see the response.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves connections.
pub(super) struct Http {
    router: Router,
    shutdown: ShutdownSignal,
    builder: Builder<TokioExecutor>,
    refusals: Arc<Semaphore>,
}

impl Http {
    pub(super) fn new(router: Router, shutdown: ShutdownSignal) -> Self {
        // Without HTTP/2, which a browser would only speak over TLS: nothing of it need be
        // bounded then, whatever features of hyper the program has.
        let mut builder = Builder::new(TokioExecutor::new()).http1_only();
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD);
        Self { router, shutdown, builder, refusals: Arc::new(Semaphore::new(MAX_REFUSALS)) }
    }

    /// Serves the requests of a connection until it ends, or must make room for another one.
    pub(super) fn serve(
        &self,
        stream: TcpStream,
        connection: Arc<Connection>,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (router, builder, shutdown) =
            (self.router.clone(), self.builder.clone(), self.shutdown.clone());
        async move {
            // Dropped last, after the socket: until then its place is taken.
            let place = Arc::clone(&connection);
            let answers = service_fn(move |request: Request<_>| {
                let answering = connection.answer();
                let response = router.clone().oneshot(request);
                async move {
                    let response: Response = response.await?;
                    Ok::<_, Infallible>(response.map(|body| AnswerBody { body, answering }))
                }
            });
            let mut stream = TimeoutStream::new(stream);
            stream.set_write_timeout(Some(WRITE_TIMEOUT));
            let io = TokioIo::new(Box::pin(stream));
            let mut served = pin!(builder.serve_connection(io, TowerToHyperService::new(answers)));
            // An error is the client's: it has left, was too slow, or does not speak HTTP.
            tokio::select! {
                _ = &mut served => return,
                () = place.closed() => return,
                () = shutdown => served.as_mut().graceful_shutdown(),
            }
            tokio::select! {
                _ = served => {}
                () = place.closed() => {}
            }
        }
    }

    /// Responds with 503 to the one request of a connection. `None` if too many are being
    /// refused already.
    pub(super) fn refuse(
        &self,
        stream: TcpStream,
    ) -> Option<impl Future<Output = ()> + Send + 'static + use<>> {
        let refusal = Arc::clone(&self.refusals).try_acquire_owned().ok()?;
        let mut builder = self.builder.clone();
        builder.http1().keep_alive(false);
        Some(async move {
            let refuse = service_fn(async |_: Request<_>| {
                let detail = "the portal has too many connections; try again later";
                let error = ErrorResponse::new(StatusCode::SERVICE_UNAVAILABLE, detail);
                let mut response = error.into_response();
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
                Ok::<_, Infallible>(response)
            });
            let io = TokioIo::new(stream);
            let served = builder.serve_connection(io, TowerToHyperService::new(refuse));
            let _ = timeout(REFUSAL_TIMEOUT, served).await;
            drop(refusal);
        })
    }
}

/// The body of a response. While it exists, its connection is being answered.
#[pin_project]
struct AnswerBody {
    #[pin]
    body: Body,
    answering: Answering,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
