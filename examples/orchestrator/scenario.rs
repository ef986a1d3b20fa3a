//! What may happen to a document, and what its item must say in the end.

use clap::ValueEnum;
use serde_json::{Value, json};

/// What the agents do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Three agents succeed; exception management is not needed
    Matched,
    /// Matching asks for a review, and all four agents succeed
    Review,
    /// Extraction answers 500
    AgentError,
    /// Extraction answers 200, and says in its answer that it failed
    #[value(name = "error-in-200")]
    ErrorIn200,
    /// Extraction streams too much, and the orchestrator hangs up half-way
    Abandoned,
}

/// What the item must say of an agent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ended {
    Pending,
    Success(Tokens),
    /// The error's class, and the tokens it cost, if that is known.
    Error(&'static str, Option<Tokens>),
}

/// Input and output.
pub(crate) type Tokens = (u64, u64);

pub(crate) const PDF_ADAPTER: &str = "pdfAdapter";
pub(crate) const TRADE_EXTRACTION: &str = "tradeExtraction";
pub(crate) const TRADE_MATCHING: &str = "tradeMatching";
pub(crate) const EXCEPTION_MANAGEMENT: &str = "exceptionManagement";

/// What the agents say they used. Extraction calls its model twice; the second time
/// 1,800 of the input tokens come from a cache.
pub(crate) const PDF_TOKENS: Tokens = (11_251, 1_402);
pub(crate) const EXTRACTION_TOKENS: [Tokens; 2] = [(2_100, 180), (2_650, 420)];
pub(crate) const CACHED_TOKENS: u64 = 1_800;
pub(crate) const MATCHING_TOKENS: Tokens = (3_120, 240);
pub(crate) const EXCEPTION_TOKENS: Tokens = (900, 310);

impl Scenario {
    /// How the workflow ends.
    pub(crate) fn overall_status(self) -> &'static str {
        match self {
            Self::Matched | Self::Review => "completed",
            Self::AgentError | Self::ErrorIn200 | Self::Abandoned => "failed",
        }
    }

    /// How each agent ends.
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
        let is_matched_or_not = matches!(self, Self::Matched | Self::Review);
        let matching =
            if is_matched_or_not { Ended::Success(MATCHING_TOKENS) } else { Ended::Pending };
        let exception =
            if self == Self::Review { Ended::Success(EXCEPTION_TOKENS) } else { Ended::Pending };
        [
            (PDF_ADAPTER, Ended::Success(PDF_TOKENS)),
            (TRADE_EXTRACTION, extraction),
            (TRADE_MATCHING, matching),
            (EXCEPTION_MANAGEMENT, exception),
        ]
    }

    /// In what an item is not as it must be: one line for each difference.
    pub(crate) fn differences(self, item: &Value) -> Vec<String> {
        let mut differences = Vec::new();
        let mut check = |what: String, expected: Value, found: &Value| {
            if *found != expected {
                differences.push(format!("{what} is {found}, and should be {expected}"));
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
