//! An HTTP client without a socket, for tests that sockets do not allow.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{
    RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_types::config_bag::ConfigBag;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

type Answer = dyn Fn() -> Option<Result<HttpResponse, ConnectorError>> + Send + Sync;

/// A client that answers with the result of a closure, or never if that returns `None`.
#[derive(Clone)]
pub struct InMemory {
    answer: Arc<Answer>,
    /// How often the SDK asked the client to validate a configuration.
    pub validated: Arc<AtomicUsize>,
    /// The [`Marker`] among the extensions of each request.
    pub seen: Arc<Mutex<Vec<Option<Marker>>>>,
}

/// A request extension that the caller has set.
#[derive(Clone, Debug, PartialEq)]
pub struct Marker(pub &'static str);

impl InMemory {
    pub fn new(
        answer: impl Fn() -> Option<Result<HttpResponse, ConnectorError>> + Send + Sync + 'static,
    ) -> Self {
        Self { answer: Arc::new(answer), validated: Arc::default(), seen: Arc::default() }
    }
}

impl HttpClient for InMemory {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }

    fn validate_base_client_config(
        &self,
        _: &RuntimeComponentsBuilder,
        _: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.validated.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn validate_final_config(&self, _: &RuntimeComponents, _: &ConfigBag) -> Result<(), BoxError> {
        self.validated.fetch_add(1000, Ordering::SeqCst);
        Ok(())
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        Some(ConnectorMetadata::new("in-memory", None))
    }
}

impl HttpConnector for InMemory {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.seen.lock().unwrap().push(request.extension::<Marker>().cloned());
        match (self.answer)() {
            Some(answer) => HttpConnectorFuture::ready(answer),
            None => HttpConnectorFuture::new(std::future::pending()),
        }
    }
}

impl fmt::Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InMemory")
    }
}

/// A body of frames whose length may be known or not.
pub struct Frames {
    pub frames: std::collections::VecDeque<Result<Frame<Bytes>, &'static str>>,
    pub knows_length: bool,
}

impl Frames {
    fn left(&self) -> u64 {
        let data = |frame: &Result<Frame<Bytes>, _>| {
            frame
                .as_ref()
                .ok()
                .and_then(|frame| frame.data_ref())
                .map_or(0, |data| data.len() as u64)
        };
        self.frames.iter().map(data).sum()
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.frames.pop_front().map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.knows_length && self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.knows_length { SizeHint::with_exact(self.left()) } else { SizeHint::new() }
    }
}
