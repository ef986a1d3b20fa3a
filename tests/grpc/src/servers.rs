//! Servers on local sockets.

use bytes::Bytes;
use http::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::server::Router;
use tonic::transport::{Channel, Endpoint};
use tower::{BoxError, Layer, Service};

/// tonic's own server. It keeps to the deadline that a request names.
#[derive(Debug)]
pub struct TonicServer {
    url: String,
    task: JoinHandle<()>,
}

impl TonicServer {
    pub async fn start<L, B>(router: Router<L>) -> Self
    where
        L: Layer<Routes> + Send + 'static,
        L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send,
        <L::Service as Service<Request<Body>>>::Error: Into<BoxError> + Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let incoming = TcpListenerStream::new(listener);
        let task = tokio::spawn(async move { router.serve_with_incoming(incoming).await.unwrap() });
        Self { url, task }
    }

    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.url.clone()).unwrap()
    }

    /// A channel that connects when it is first used.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.endpoint().connect_lazy()
    }
}

impl Drop for TonicServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A server of HTTP/1 and HTTP/2 that knows nothing of gRPC, and can be killed.
#[derive(Debug)]
pub struct HyperServer {
    url: String,
    task: JoinHandle<()>,
}

impl HyperServer {
    pub async fn start<S, B>(service: S) -> Self
    where
        S: Service<Request<hyper::body::Incoming>, Response = Response<B>>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            // Dropped with the task, which closes the connections.
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = TowerToHyperService::new(service.clone());
                connections.spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    // A client that goes away makes an error of it.
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, task }
    }

    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.url.clone()).unwrap()
    }

    /// A channel that connects when it is first used.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.endpoint().connect_lazy()
    }

    /// Closes all connections at once.
    pub fn kill(&self) {
        self.task.abort();
    }
}

impl Drop for HyperServer {
    fn drop(&mut self) {
        self.kill();
    }
}
