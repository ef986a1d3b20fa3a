//! The agent: `Invoke` answers once, `Watch` with a stream.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use http::{Request, Response};
use tonic::server::{Grpc, NamedService};
use tonic::{Code, Status, body::Body};
use tower::{BoxError, Service, service_fn};

use crate::Text;

/// The service. A request says what it does: `fail` fails with the status UNAVAILABLE, `hang` never
/// answers, and in a stream each word is a message, up to one of these.
#[derive(Clone, Copy, Debug)]
pub struct Agent;

impl NamedService for Agent {
    const NAME: &'static str = "agents.v1.Agent";
}

fn failure() -> Status {
    Status::new(Code::Unavailable, "no room for “this”: 100%")
}

async fn invoke(request: tonic::Request<String>) -> Result<tonic::Response<String>, Status> {
    match request.get_ref().as_str() {
        "fail" => Err(failure()),
        "late" => Err(Status::deadline_exceeded("the model is slow")),
        "hang" => pending().await,
        // What looks like a failure, in a message that nobody but the client can read.
        _ => Ok(tonic::Response::new(r#"{"success": false}"#.to_owned())),
    }
}

type Answers = BoxStream<'static, Result<String, Status>>;

async fn watch(request: tonic::Request<String>) -> Result<tonic::Response<Answers>, Status> {
    let words: Vec<String> = request.get_ref().split(' ').map(str::to_owned).collect();
    let answers = stream::iter(words).then(|word| async move {
        match word.as_str() {
            "fail" => Err(failure()),
            "hang" => pending().await,
            _ => Ok(word),
        }
    });
    Ok(tonic::Response::new(answers.boxed()))
}

impl<B> Service<Request<B>> for Agent
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<BoxError> + Send,
    B::Data: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut grpc = Grpc::new(Text);
        match request.uri().path() {
            "/agents.v1.Agent/Invoke" => {
                async move { Ok(grpc.unary(service_fn(invoke), request).await) }.boxed()
            }
            "/agents.v1.Agent/Watch" => {
                async move { Ok(grpc.server_streaming(service_fn(watch), request).await) }.boxed()
            }
            _ => async { Ok(Status::unimplemented("no such method").into_http()) }.boxed(),
        }
    }
}
