//! A client of the agent, over any service of HTTP.

use bytes::Bytes;
use http::uri::PathAndQuery;
use tonic::body::Body;
use tonic::client::{Grpc, GrpcService};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Status, Streaming};
use tower::{BoxError, Service};
use tower_agent_status::SessionId;

use crate::{SESSION, Text};

/// The messages of a stream.
pub type Messages = Streaming<String>;

/// A client of the agent.
#[derive(Clone, Debug)]
pub struct AgentClient<T>(Grpc<T>);

impl<T> AgentClient<T>
where
    T: GrpcService<Body>,
    T::Error: Into<BoxError>,
    T::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<BoxError> + Send,
{
    pub fn new(service: T) -> Self {
        Self(Grpc::new(service))
    }

    /// A client that writes this before each path.
    pub fn with_origin(service: T, origin: http::Uri) -> Self {
        Self(Grpc::with_origin(service, origin))
    }

    /// A client that calls this before each request, with the bounds of generated clients.
    pub fn with_interceptor<F>(service: T, interceptor: F) -> AgentClient<InterceptedService<T, F>>
    where
        F: Interceptor,
        T::ResponseBody: Default,
        T: Service<
                http::Request<Body>,
                Response = http::Response<<T as GrpcService<Body>>::ResponseBody>,
            >,
        <T as Service<http::Request<Body>>>::Error: Into<BoxError> + Send + Sync,
    {
        AgentClient::new(InterceptedService::new(service, interceptor))
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.0.ready().await.map_err(|error| Status::unknown(error.into().to_string()))
    }

    /// Calls `Invoke`.
    ///
    /// # Errors
    ///
    /// The status of the call.
    pub async fn invoke(&mut self, request: Request<String>) -> Result<String, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/agents.v1.Agent/Invoke");
        Ok(self.0.unary(request, path, Text).await?.into_inner())
    }

    /// Calls a method that the agent does not have.
    ///
    /// # Errors
    ///
    /// The status of the call.
    pub async fn call_unknown(&mut self) -> Result<String, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/agents.v1.Agent/Nothing");
        Ok(self.0.unary(request(""), path, Text).await?.into_inner())
    }

    /// Calls `Watch`.
    ///
    /// # Errors
    ///
    /// The status of the call, if it fails before its first message.
    pub async fn watch(&mut self, request: Request<String>) -> Result<Messages, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/agents.v1.Agent/Watch");
        Ok(self.0.server_streaming(request, path, Text).await?.into_inner())
    }
}

/// A request in the session of the tests.
#[must_use]
pub fn request(text: &str) -> Request<String> {
    let mut request = Request::new(text.to_owned());
    request.extensions_mut().insert(SessionId::new(SESSION).unwrap());
    request
}
