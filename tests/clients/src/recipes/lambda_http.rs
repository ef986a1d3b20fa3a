//! A Lambda function that opens a workflow for each event.

use bytes::Bytes;
use http::{HeaderName, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use lambda_http::Request;
use tower::{BoxError, Service, ServiceBuilder};
use tower_agent_status::{StatusTracker, WorkflowLayer};

/// The header that names the session of an event.
pub const SESSION_HEADER: HeaderName = HeaderName::from_static("x-session-id");

/// Creates the handler of a function, for `lambda_http::run`.
pub fn handler<F>(
    tracker: StatusTracker,
    orchestrate: impl FnMut(Request) -> F,
) -> impl Service<Request, Response = Response<Full<Bytes>>, Error = BoxError, Future: Send>
where
    F: Future<Output = Result<Response<String>, BoxError>> + Send,
{
    // recipe
    // Lambda freezes the process as soon as it has the response, so everything must be stored
    // before that. A workflow ends with the body of its response.
    async fn save<B>(
        tracker: StatusTracker,
        response: Response<B>,
    ) -> Result<Response<Full<Bytes>>, BoxError>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(Into::into)?.to_bytes();
        let _ = tracker.flush().await;
        Ok(Response::from_parts(head, Full::from(body)))
    }

    let layer = WorkflowLayer::new(&tracker).session_header(SESSION_HEADER);
    let handler = ServiceBuilder::new()
        .and_then(move |response| save(tracker.clone(), response))
        .layer(layer)
        .service_fn(orchestrate);
    // end
    handler
}
