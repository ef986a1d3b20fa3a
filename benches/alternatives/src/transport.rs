//! How requests reach the agent: over sockets, or in memory to count instructions.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use aws_smithy_runtime_api::client::http::{
    HttpClient as _, HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector,
    http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::rt::TokioExecutor;
use loopback::agent::{Answer, Answers};
use tower::Service;

/// hyper's client, and one for the AWS SDK.
pub struct Transport<S> {
    pub http: S,
    pub sdk: SharedHttpClient,
}

/// Over sockets, with the settings that applications start from.
pub fn sockets() -> Transport<Client<TcpConnector, Full<Bytes>>> {
    Transport {
        http: Client::builder(TokioExecutor::new()).build_http(),
        sdk: aws_smithy_http_client::Builder::new().build_http(),
    }
}

/// The number of bytes of bodies that have arrived.
pub type Arrived = Arc<AtomicUsize>;

impl<S> Transport<S> {
    /// Counts the bytes of bodies below whatever records calls, which may hold them back.
    pub fn counted<B>(
        self,
        arrived: &Arrived,
    ) -> Transport<
        impl Service<
            Request<Full<Bytes>>,
            Response = Response<Counted<B>>,
            Error = S::Error,
            Future: Send,
        > + Clone
        + Send
        + Sync
        + use<S, B>,
    >
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>, Future: Send>,
        S: Clone + Send + Sync,
    {
        let count = Arc::clone(arrived);
        let http = tower::util::MapResponse::new(self.http, move |response: Response<B>| {
            let arrived = Arc::clone(&count);
            response.map(|body| Counted { body, arrived })
        });
        let (client, arrived) = (self.sdk, Arc::clone(arrived));
        let sdk = http_client_fn(move |settings, components| {
            let inner = client.http_connector(settings, components);
            SharedHttpConnector::new(CountedConnector { inner, arrived: Arc::clone(&arrived) })
        });
        Transport { http, sdk }
    }
}

#[derive(Debug)]
struct CountedConnector {
    inner: SharedHttpConnector,
    arrived: Arrived,
}

impl HttpConnector for CountedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (response, arrived) = (self.inner.call(request), Arc::clone(&self.arrived));
        HttpConnectorFuture::new(async move {
            let arrived = || Arc::clone(&arrived);
            let count = |body| SdkBody::from_body_1_x(Counted { body, arrived: arrived() });
            Ok(response.await?.map(count))
        })
    }
}

pub struct Counted<B> {
    body: B,
    arrived: Arrived,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.arrived.fetch_add(bytes, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// In memory, with the agent in this task.
pub fn in_memory(answers: Answers) -> Transport<InMemory> {
    let answers = answers.into_iter().map(|(path, answer)| (path, Arc::new(answer))).collect();
    let agent = InMemory(Arc::new(answers));
    let http = agent.clone();
    let sdk = http_client_fn(move |_, _| SharedHttpConnector::new(agent.clone()));
    Transport { http, sdk }
}

#[derive(Clone, Debug)]
pub struct InMemory(Arc<std::collections::HashMap<String, Arc<Answer>>>);

impl InMemory {
    fn respond(&self, path: &str) -> Response<Chunks> {
        let answer = Arc::clone(&self.0[path]);
        let response = Response::builder().header("content-type", answer.content_type);
        response.body(Chunks { answer, sent: 0 }).expect("a response")
    }
}

impl Service<Request<Full<Bytes>>> for InMemory {
    type Response = Response<Chunks>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Ok(()).into()
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        std::future::ready(Ok(self.respond(request.uri().path())))
    }
}

impl HttpConnector for InMemory {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let uri: http::Uri = request.uri().parse().expect("a URI");
        let response = self.respond(uri.path()).map(SdkBody::from_body_1_x);
        HttpConnectorFuture::ready(Ok(HttpResponse::try_from(response).expect("a response")))
    }
}

pub struct Chunks {
    answer: Arc<Answer>,
    sent: usize,
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = self.answer.chunks.get(self.sent).cloned();
        self.sent += 1;
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}
