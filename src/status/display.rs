//! Documents as a few lines of text, for logs and failed assertions.

use std::fmt;

use super::{AgentStatus, TokenUsage, WorkflowStatus};

/// One line for the workflow, and one for each agent:
///
/// ```text
/// session-corr_abc123: failed (an agent answered 500), 12653 tokens
///   pdfAdapter: success, 1 call, 12653 tokens
///   tradeExtraction: error (http_500: The model could not be loaded), 1 call
///   tradeMatching: pending
/// ```
impl fmt::Display for WorkflowStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.session_id, self.status_text())?;
        if let Some(error) = &self.error {
            write!(f, " ({error})")?;
        }
        tokens(&self.total_token_usage(), f)?;
        for (name, agent) in self.agents() {
            write!(f, "\n  {name}: {agent}")?;
        }
        Ok(())
    }
}

/// On one line: `error (http_500: The model could not be loaded), 1 call`.
impl fmt::Display for AgentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.state_text())?;
        if let Some(error) = &self.error {
            write!(f, " ({error})")?;
        }
        match self.calls {
            0 => {}
            1 => f.write_str(", 1 call")?,
            calls => write!(f, ", {calls} calls")?,
        }
        self.token_usage().as_ref().map_or(Ok(()), |usage| tokens(usage, f))
    }
}

fn tokens(usage: &TokenUsage, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    usage.total_tokens.map_or(Ok(()), |total| write!(f, ", {total} tokens"))
}
