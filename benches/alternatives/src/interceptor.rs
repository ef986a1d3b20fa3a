//! Tracking with an interceptor of the AWS SDK, which writes into the same map as by hand.

use aws_sdk_bedrockruntime::config::interceptors::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_sdk_bedrockruntime::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_bedrockruntime::error::BoxError;
use aws_sdk_bedrockruntime::operation::converse::ConverseOutput;
use aws_sdk_bedrockruntime::types::TokenUsage;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;

use crate::by_hand::Table;

/// Records the start, the end and the tokens of each attempt.
#[derive(Debug)]
pub struct Recording {
    pub table: Table,
    pub agent: &'static str,
}

#[dyn_dispatch_hint]
impl Intercept for Recording {
    fn name(&self) -> &'static str {
        "Recording"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.table.call_started(self.agent);
        Ok(())
    }

    /// Also for an attempt that has failed, unlike `read_after_deserialization`. The output of a stream
    /// is its head, so that neither its tokens nor its end are seen.
    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let result = match context.output_or_error() {
            Some(Ok(output)) => {
                let usage = output.downcast_ref().and_then(ConverseOutput::usage);
                Ok(usage.map(tokens).unwrap_or_default())
            }
            Some(Err(error)) => Err(format!("{error:?}")),
            None => Err("no response".to_owned()),
        };
        self.table.call_ended(self.agent, result);
        Ok(())
    }
}

pub fn tokens(usage: &TokenUsage) -> [u64; 3] {
    [usage.input_tokens, usage.output_tokens, usage.total_tokens]
        .map(i32::cast_unsigned)
        .map(u64::from)
}
