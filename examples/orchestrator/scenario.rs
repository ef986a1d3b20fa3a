//! The scenarios, and the item each must end with.

use clap::ValueEnum;
use serde_json::{Value, json};

/// What happens to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Three agents succeed, and exception management is not needed
    Matched,
    /// Matching requires a review, and all four agents succeed
    Review,
    /// Extraction responds with 500
    AgentError,
    /// Extraction responds with 200 and reports a failure in the body
    #[value(name = "error-in-200")]
    ErrorIn200,
    /// Extraction streams too much, and the orchestrator drops the response
    Abandoned,
}

/// How an agent must end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ended {
    Pending,
    Success(Tokens),
    /// The error class, and the tokens used, if known.
    Error(&'static str, Option<Tokens>),
}

/// Input and output tokens.
pub(crate) type Tokens = (u64, u64);

pub(crate) const PDF_ADAPTER: &str = "pdfAdapter";
pub(crate) const TRADE_EXTRACTION: &str = "tradeExtraction";
pub(crate) const TRADE_MATCHING: &str = "tradeMatching";
pub(crate) const EXCEPTION_MANAGEMENT: &str = "exceptionManagement";

/// The usage that the agents report. Extraction calls its model twice; the second time, 1,800
/// of the input tokens come from a cache.
pub(crate) const PDF_TOKENS: Tokens = (11_251, 1_402);
pub(crate) const EXTRACTION_TOKENS: [Tokens; 2] = [(2_100, 180), (2_650, 420)];
pub(crate) const CACHED_TOKENS: u64 = 1_800;
pub(crate) const MATCHING_TOKENS: Tokens = (3_120, 240);
pub(crate) const EXCEPTION_TOKENS: Tokens = (900, 310);

impl Scenario {
    /// The expected status of the workflow.
    pub(crate) fn overall_status(self) -> &'static str {
        match self {
            Self::Matched | Self::Review => "completed",
            Self::AgentError | Self::ErrorIn200 | Self::Abandoned => "failed",
        }
    }

    /// The expected end of each agent.
    pub(crate) fn agents(self) -> [(&'static str, Ended); 4] {
        let [first, second] = EXTRACTION_TOKENS;
        let extraction = match self {
            Self::Matched | Self::Review => {
                Ended::Success((first.0 + second.0, first.1 + second.1))
            }
            Self::AgentError => Ended::Error("http_500", None),
            Self::ErrorIn200 => Ended::Error("agent", None),
            Self::Abandoned => Ended::Error("cancelled", Some(first)),
        };
        let is_extracted = matches!(self, Self::Matched | Self::Review);
        let matching = if is_extracted { Ended::Success(MATCHING_TOKENS) } else { Ended::Pending };
        let exception =
            if self == Self::Review { Ended::Success(EXCEPTION_TOKENS) } else { Ended::Pending };
        [
            (PDF_ADAPTER, Ended::Success(PDF_TOKENS)),
            (TRADE_EXTRACTION, extraction),
            (TRADE_MATCHING, matching),
            (EXCEPTION_MANAGEMENT, exception),
        ]
    }

    /// Compares an item with what is expected, and returns one line per difference.
    pub(crate) fn differences(self, item: &Value) -> Vec<String> {
        let mut differences = Vec::new();
        let mut check = |what: String, expected: Value, found: &Value| {
            if *found != expected {
                differences.push(format!("{what} is {found}, expected {expected}"));
            }
        };
        check("overallStatus".to_owned(), json!(self.overall_status()), &item["overallStatus"]);
        let mut total = (0, 0);
        for (name, ended) in self.agents() {
            let (status, class, tokens) = match ended {
                Ended::Pending => ("pending", None, None),
                Ended::Success(tokens) => ("success", None, Some(tokens)),
                Ended::Error(class, tokens) => ("error", Some(class), tokens),
            };
            let agent = &item[name];
            check(format!("{name}.status"), json!(status), &agent["status"]);
            check(format!("{name}.errorType"), json!(class), &agent["errorType"]);
            let usage = &agent["tokenUsage"];
            let (input, output) = (&usage["inputTokens"], &usage["outputTokens"]);
            check(format!("{name}.tokenUsage.inputTokens"), json!(tokens.map(|t| t.0)), input);
            check(format!("{name}.tokenUsage.outputTokens"), json!(tokens.map(|t| t.1)), output);
            let (input, output) = tokens.unwrap_or_default();
            total = (total.0 + input, total.1 + output);
        }
        let sum = &item["totalTokenUsage"]["totalTokens"];
        check("totalTokenUsage.totalTokens".to_owned(), json!(total.0 + total.1), sum);
        differences
    }
}
