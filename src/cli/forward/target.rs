//! [`AgentTarget`]: an agent, and where it is.

use std::fmt;

/// An agent, and where it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AgentTarget {
    pub(super) agent: String,
    pub(super) target: Target,
}

/// Where an agent is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Target {
    Url(String),
    Runtime(RuntimeArn),
}

/// The ARN of an agent runtime of Amazon Bedrock `AgentCore`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RuntimeArn {
    arn: String,
    region: String,
    dns_suffix: &'static str,
}

pub(super) fn parse(text: &str) -> Result<AgentTarget, String> {
    const EXPECTED: &str =
        "expected NAME=URL or NAME=ARN, such as pdfAdapter=https://pdf.internal/v1";
    let (agent, target) = text.split_once('=').ok_or(EXPECTED)?;
    if agent.is_empty() || target.is_empty() {
        return Err(EXPECTED.to_owned());
    }
    let target = match target.starts_with("arn:") {
        true => Target::Runtime(RuntimeArn::parse(target)?),
        false => Target::Url(target.to_owned()),
    };
    Ok(AgentTarget { agent: agent.to_owned(), target })
}

impl RuntimeArn {
    fn parse(arn: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected the ARN of a runtime, such as \
            arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/pdf-x1";
        let parts: Vec<_> = arn.splitn(6, ':').collect();
        let [_, partition, "bedrock-agentcore", region, account, resource] = parts[..] else {
            return Err(EXPECTED.to_owned());
        };
        let is_word = |text: &str| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            !text.is_empty() && text.chars().all(is_part)
        };
        let is_runtime = resource.strip_prefix("runtime/").is_some_and(is_word);
        if !is_runtime || !is_word(region) || !is_word(account) {
            return Err(EXPECTED.to_owned());
        }
        let dns_suffix = match partition {
            "aws" | "aws-us-gov" => "amazonaws.com",
            "aws-cn" => "amazonaws.com.cn",
            _ => {
                return Err(format!(
                    "the partition `{partition}` is not supported; use aws, aws-cn or aws-us-gov"
                ));
            }
        };
        Ok(Self { arn: arn.to_owned(), region: region.to_owned(), dns_suffix })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.arn
    }

    pub(super) fn region(&self) -> &str {
        &self.region
    }

    /// The URL of the service.
    pub(super) fn endpoint(&self) -> String {
        format!("https://bedrock-agentcore.{}.{}", self.region, self.dns_suffix)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url(url) => url,
            Self::Runtime(arn) => arn.as_str(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_has_a_name_and_a_url_or_an_arn() {
        let parsed = parse("a=http://x/?b=c").unwrap();
        assert_eq!(parsed.agent, "a");
        assert_eq!(parsed.target, Target::Url("http://x/?b=c".to_owned()));
        for (arn, endpoint) in [
            (
                "arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/pdf_adapter-x1",
                "https://bedrock-agentcore.eu-west-1.amazonaws.com",
            ),
            (
                "arn:aws-cn:bedrock-agentcore:cn-north-1:123456789012:runtime/a",
                "https://bedrock-agentcore.cn-north-1.amazonaws.com.cn",
            ),
        ] {
            let Target::Runtime(parsed) = parse(&format!("a={arn}")).unwrap().target else {
                panic!("{arn}");
            };
            assert_eq!((parsed.as_str(), &*parsed.endpoint()), (arn, endpoint));
        }
        for text in [
            "",
            "a",
            "a=",
            "=http://x",
            "a=arn:aws:s3:::bucket",
            "a=arn:aws:bedrock-agentcore:eu-west-1:123456789012:memory/x",
            "a=arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/",
            "a=arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/x/y",
            "a=arn:aws:bedrock-agentcore:evil.example/:1:runtime/x",
            "a=arn:aws-iso:bedrock-agentcore:us-iso-east-1:123456789012:runtime/x",
        ] {
            parse(text).expect_err(text);
        }
    }
}
