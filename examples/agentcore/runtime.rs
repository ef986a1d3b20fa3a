//! The address of an agent on Bedrock AgentCore.

use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, Scheme};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters that a URL's path may have unencoded (RFC 3986, unreserved).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The ARN of an agent's runtime:
/// `arn:aws:bedrock-agentcore:REGION:ACCOUNT:runtime/NAME-ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuntimeArn {
    arn: String,
    region: String,
    suffix: &'static str,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the ARN of an AgentCore runtime; it looks like \
     arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/my_agent-a1B2c3D4e5"
)]
pub(crate) struct NotARuntime(String);

impl FromStr for RuntimeArn {
    type Err = NotARuntime;

    fn from_str(arn: &str) -> Result<Self, NotARuntime> {
        let invalid = || NotARuntime(arn.to_owned());
        let parts: Vec<_> = arn.splitn(6, ':').collect();
        let ["arn", partition, "bedrock-agentcore", region, account, resource] = parts[..] else {
            return Err(invalid());
        };
        let suffix = match partition {
            "aws" | "aws-us-gov" => "amazonaws.com",
            "aws-cn" => "amazonaws.com.cn",
            _ => return Err(invalid()),
        };
        let is_word = |text: &str, more: &[u8]| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        let is_runtime = resource.strip_prefix("runtime/").is_some_and(|name| is_word(name, b"_-"));
        let account_is_number =
            account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        if !is_runtime || !account_is_number || !is_word(region, b"-") {
            return Err(invalid());
        }
        Ok(Self { arn: arn.to_owned(), region: region.to_owned(), suffix })
    }
}

impl RuntimeArn {
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// The URL to call the agent at. The ARN is one segment of the path, so its colons and its
    /// slash are encoded.
    pub(crate) fn url(&self, endpoint: Option<&Uri>) -> Result<Uri, http::Error> {
        let path = format!("/runtimes/{}/invocations", utf8_percent_encode(&self.arn, ENCODED));
        let (scheme, authority) = match endpoint {
            Some(endpoint) => (
                endpoint.scheme().cloned().unwrap_or(Scheme::HTTPS),
                endpoint.authority().cloned().map_or_else(|| self.authority(), Ok)?,
            ),
            None => (Scheme::HTTPS, self.authority()?),
        };
        Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build()
    }

    fn authority(&self) -> Result<Authority, http::uri::InvalidUri> {
        format!("bedrock-agentcore.{}.{}", self.region, self.suffix).parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str =
        "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/pdf_adapter-a1B2c3D4e5";

    #[test]
    fn the_url_holds_the_arn_as_one_segment() {
        let arn: RuntimeArn = ARN.parse().unwrap();
        assert_eq!(
            arn.url(None).unwrap().to_string(),
            "https://bedrock-agentcore.us-east-1.amazonaws.com/runtimes/\
             arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Aruntime%2F\
             pdf_adapter-a1B2c3D4e5/invocations"
        );
        let endpoint = Uri::from_static("http://127.0.0.1:8123");
        let url = arn.url(Some(&endpoint)).unwrap();
        assert_eq!((url.scheme_str(), url.port_u16()), (Some("http"), Some(8123)));
    }

    #[test]
    fn what_is_no_runtime_is_refused_by_name() {
        for text in [
            "",
            "pdf_adapter",
            "arn:aws:lambda:us-east-1:123456789012:function:x",
            "arn:aws:bedrock-agentcore:us-east-1:1234:runtime/x",
            "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/",
            "arn:aws:bedrock-agentcore:us-east-1:123456789012:gateway/x",
            "arn:aws:bedrock-agentcore:evil.example/:123456789012:runtime/x",
            "arn:elsewhere:bedrock-agentcore:us-east-1:123456789012:runtime/x",
        ] {
            let error = text.parse::<RuntimeArn>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}`")), "{error}");
        }
    }
}
