//! [`SentAttempts`]: whether a write that failed may have been applied.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::config::interceptors::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};

use super::error::{is_rejection, never_connected};

/// Counts the attempts of one request that were sent and not rejected.
///
/// The SDK makes several attempts for one request and reports the last error only. A first
/// attempt that timed out may have been applied although the second was throttled, so the
/// outcome of every attempt counts. An interceptor sees them all.
#[derive(Clone, Debug, Default)]
pub(super) struct SentAttempts {
    unresolved: Arc<AtomicUsize>,
}

impl SentAttempts {
    /// Returns `true` if any attempt may have been applied.
    pub(super) fn may_have_been_applied(&self) -> bool {
        self.unresolved.load(Ordering::Relaxed) > 0
    }
}

type InterceptResult = Result<(), aws_sdk_dynamodb::error::BoxError>;

impl Intercept for SentAttempts {
    fn name(&self) -> &'static str {
        "tower-agent-status attempts"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> InterceptResult {
        self.unresolved.fetch_add(1, Ordering::Relaxed);
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
            let decrement = |count: usize| count.checked_sub(1);
            let _ = self.unresolved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, decrement);
        }
        Ok(())
    }
}
