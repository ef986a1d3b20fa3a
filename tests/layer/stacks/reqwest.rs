//! The kinds of client that reqwest has.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt as _, Full};
use reqwest::Response;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use reqwest_retry::policies::ExponentialBackoff;
use reqwest_retry::{Jitter, RetryTransientMiddleware};
use tower::{Layer as _, Service, ServiceExt as _};
use tower_agent_status::{SessionId, StatusLayer, StatusTracker};

use super::agent::PATIENCE;
use super::clients::{AnyClient, Kind, Place, Settings, from_fn, of_extensions, retried};
use super::seen::{Answer, By, Event, Failure, Head, Reading};
use crate::StatusMiddleware;
use crate::support::AGENT;

/// A client of reqwest-middleware.
pub(crate) struct Middleware(pub(crate) By);

impl Kind for Middleware {
    fn client(&self, settings: Settings, tracker: Option<&StatusTracker>) -> AnyClient {
        let by = self.0;
        let client = ClientBuilder::new(client(settings));
        let status = tracker.map(|tracker| StatusMiddleware::new(tracker, AGENT));
        // The middleware attached first is the outermost.
        let client = match settings.retry {
            Some(Place::Inside) => with(client.with(retry()), status),
            Some(Place::Outside) => with(client, status).with(retry()),
            None => with(client, status),
        };
        let client = client.build();
        from_fn(move |request| send(client.clone(), request, by))
    }

    fn late_body(&self) -> &'static str {
        "timeout"
    }
}

/// A client of reqwest, or of reqwest-middleware, as a tower service.
pub(crate) struct Tower(pub(crate) By);

impl Kind for Tower {
    fn client(&self, settings: Settings, tracker: Option<&StatusTracker>) -> AnyClient {
        let (by, client) = (self.0, client(settings));
        let retrying = || ClientBuilder::new(client.clone()).with(retry()).build();
        let status = tracker.map(|tracker| StatusLayer::new(tracker, AGENT));
        let any = match (settings.retry, status) {
            (Some(Place::Outside), Some(status)) => tower(status.layer(retrying()), by),
            (Some(Place::Outside), None) => tower(retrying(), by),
            (_, Some(status)) => tower(status.layer(client), by),
            (_, None) => tower(client, by),
        };
        if settings.retry == Some(Place::Inside) { retried(any) } else { any }
    }

    fn late_body(&self) -> &'static str {
        "timeout"
    }
}

fn tower<S>(service: S, by: By) -> AnyClient
where
    S: Service<reqwest::Request, Response = Response, Future: Send> + Clone + Send + 'static,
    S::Error: std::error::Error + Send + 'static,
{
    from_fn(move |request: Request<Full<Bytes>>| {
        let mut service = service.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let request = reqwest::Request::try_from(Request::from_parts(head, body)).unwrap();
            let response = match service.ready().await {
                Ok(service) => service.call(request).await,
                Err(error) => Err(error),
            };
            response.map(|response| answer(response, by)).map_err(|error| Failure::of(&error))
        }
    })
}

fn with(client: ClientBuilder, status: Option<StatusMiddleware>) -> ClientBuilder {
    match status {
        Some(status) => client.with(status),
        None => client,
    }
}

fn retry() -> RetryTransientMiddleware<ExponentialBackoff> {
    let soon = Duration::from_millis(1);
    let policy = ExponentialBackoff::builder().retry_bounds(soon, soon).jitter(Jitter::None);
    RetryTransientMiddleware::new_with_policy(policy.build_with_max_retries(2))
}

/// A client of reqwest.
pub(crate) fn client(settings: Settings) -> reqwest::Client {
    let mut client = reqwest::Client::builder();
    if settings.version == Version::HTTP_2 {
        client = client.http2_prior_knowledge();
    }
    if settings.gives_up {
        client = client.timeout(PATIENCE);
    }
    client.build().unwrap()
}

async fn send(
    client: ClientWithMiddleware,
    request: Request<Full<Bytes>>,
    by: By,
) -> Result<Answer, Failure> {
    let session = request.extensions().get::<SessionId>().cloned();
    let mut request = client
        .request(request.method().clone(), request.uri().to_string())
        .headers(request.headers().clone())
        .body(request.into_body().collect().await.unwrap().to_bytes());
    if let Some(session) = session {
        request = request.with_extension(session);
    }
    match request.send().await {
        Ok(response) => Ok(answer(response, by)),
        Err(error) => Err(Failure::of(&error)),
    }
}

/// What a caller sees of a reqwest response.
pub(crate) fn answer(response: Response, by: By) -> Answer {
    let mut more = of_extensions(response.extensions());
    more.insert("url", response.url().to_string());
    more.insert("address", format!("{:?}", response.remote_addr()));
    more.insert("content length", format!("{:?}", response.content_length()));
    let head = Head {
        status: response.status(),
        version: Some(response.version()),
        headers: response.headers().clone(),
        more,
    };
    let body: Box<dyn Reading> = match by {
        By::Chunks => Box::new(Chunks(response)),
        By::Frames => Box::new(reqwest::Body::from(response)),
    };
    Answer { head, body }
}

/// A body that is read with `Response::chunk`.
struct Chunks(Response);

impl Reading for Chunks {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Event>> + Send + '_>> {
        Box::pin(async {
            match self.0.chunk().await {
                Ok(data) => data.map(Event::Data),
                Err(error) => Some(Event::Fails(Failure::of(&error))),
            }
        })
    }

    fn stands(&self) -> Event {
        let hint = self.0.content_length().map(|length| (length, Some(length)));
        Event::Stands { hint, is_end: None }
    }
}
