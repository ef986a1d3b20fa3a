//! Whether a write that failed may have been applied.
//!
//! The SDK makes several attempts for one request and reports the last error only. A first attempt that
//! timed out may have been applied although the second was throttled, so the outcome of every attempt
//! counts. An interceptor sees them all.
//!
//! The interceptor is part of the client and counts for the request of the current task: one that is
//! added to a request would have the SDK merge its configuration anew, which takes 10,000 instructions.

use std::cell::Cell;
use std::pin::Pin;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents, SharedInterceptor};

use super::error::{is_rejection, never_connected};

tokio::task_local! {
    /// How many attempts of this task's request were sent and not rejected.
    static UNRESOLVED: Cell<usize>;
}

/// The same client, whose requests can be [watched](watch).
pub(super) fn watchable(client: &Client) -> Client {
    let mut config = client.config().to_builder();
    config.push_interceptor(SharedInterceptor::new(CountAttempts));
    Client::from_conf(config.build())
}

/// Sends a request of a [watchable] client. Returns also whether any attempt may have been applied.
///
/// The request stays where it is. Copies of its future would take 170,000 instructions.
pub(super) async fn watch<T>(request: Pin<&mut impl Future<Output = T>>) -> (T, bool) {
    let watched = async {
        let result = request.await;
        (result, UNRESOLVED.with(Cell::get) > 0)
    };
    UNRESOLVED.scope(Cell::new(0), watched).await
}

/// Counts the attempts of a watched request that were sent and not rejected.
#[derive(Debug)]
struct CountAttempts;

impl CountAttempts {
    fn change(change: impl FnOnce(usize) -> usize) {
        // No other request is watched.
        let _ = UNRESOLVED.try_with(|count| count.set(change(count.get())));
    }
}

type InterceptResult = Result<(), aws_sdk_dynamodb::error::BoxError>;

impl Intercept for CountAttempts {
    fn name(&self) -> &'static str {
        "tower-agent-status attempts"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> InterceptResult {
        Self::change(|count| count + 1);
        Ok(())
    }

    /// Not called for an attempt that timed out, which stays unresolved.
    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> InterceptResult {
        let is_rejected = context.response().is_some_and(|r| is_rejection(r.status().as_u16()))
            && matches!(context.output_or_error(), Some(Err(error)) if error.is_operation_error());
        let was_not_sent = match context.output_or_error() {
            Some(Err(error)) => error.as_connector_error().is_some_and(|e| never_connected(e)),
            _ => false,
        };
        if is_rejected || was_not_sent {
            // Zero if the attempt failed before it was sent: then it was never counted.
            Self::change(|count| count.saturating_sub(1));
        }
        Ok(())
    }
}
