//! [`Attempts`]: whether a request that failed may have been applied all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::config::interceptors::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};

use super::error::{is_refusal, never_connected};

/// Counts the attempts of one request that were sent and not answered.
///
/// The SDK tries several times within one call and reports the last error only. A first
/// attempt that timed out may have been applied although the second was throttled; so
/// every attempt has to be looked at, and the last error does not tell.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts {
    unanswered: Arc<AtomicUsize>,
}

impl Attempts {
    /// Whether any attempt may have been applied.
    pub(super) fn may_have_been_applied(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) > 0
    }
}

type Hooked = Result<(), aws_sdk_dynamodb::error::BoxError>;

impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "tower-agent-status attempts"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Hooked {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Not called when the attempt ran out of time, which leaves it unanswered.
    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Hooked {
        let is_refused = context.response().is_some_and(|r| is_refusal(r.status().as_u16()))
            && matches!(context.output_or_error(), Some(Err(error)) if error.is_operation_error());
        let was_not_sent = match context.output_or_error() {
            Some(Err(error)) => error.as_connector_error().is_some_and(|e| never_connected(e)),
            _ => false,
        };
        if is_refused || was_not_sent {
            // An attempt that failed before it was sent was never counted.
            let one_less = |count: usize| count.checked_sub(1);
            let _ = self.unanswered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        }
        Ok(())
    }
}
