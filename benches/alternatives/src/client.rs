//! An application's calls of its agents, with hyper's client and with the AWS SDK.

use std::pin::pin;
use std::time::{Duration, Instant};

use aws_sdk_bedrockruntime as bedrock;
use bedrock::types::{ContentBlock, ContentBlockDelta, ConversationRole, ConverseStreamOutput};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use loopback::Result;
use loopback::openai::{PROMPT, TOKENS};
use tower::{BoxError, Service, ServiceExt as _};

use crate::answers::Case;
use crate::interceptor::tokens;

/// The agents of a workflow, which are called one after the other.
pub const AGENTS: [&str; 4] =
    ["pdfAdapter", "tradeExtraction", "tradeMatching", "exceptionManagement"];

/// From the start of a call until the application has the first byte of the response's body, or the
/// SDK's first output, and until it has all.
#[derive(Clone, Copy)]
pub struct Times {
    pub first: Duration,
    pub end: Duration,
}

pub trait Client: Send + Sync + 'static {
    /// Calls one of [`AGENTS`], reads its response to the end, and checks it.
    fn call(&self, agent: usize, case: &Case) -> impl Future<Output = Result<Times>> + Send;
}

/// Services of `http::Request`, one for each agent.
pub struct Http<S> {
    pub services: [S; AGENTS.len()],
    pub url: String,
}

impl<S, B> Client for Http<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + Sync + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send,
{
    async fn call(&self, agent: usize, case: &Case) -> Result<Times> {
        let request = Request::post(format!("{}/{}", self.url, case.name))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::from(PROMPT))?;
        let started = Instant::now();
        let service = self.services[agent].clone();
        let response = service.oneshot(request).await.map_err(Into::into)?;
        if !response.status().is_success() {
            return Err(format!("status {}", response.status()).into());
        }
        let mut body = pin!(response.into_body());
        let mut first = None;
        let mut rest = &case.body[..];
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(Into::into)?.into_data() else { continue };
            first.get_or_insert_with(|| started.elapsed());
            rest = rest.strip_prefix(&data[..]).ok_or("other bytes than the agent's")?;
        }
        let end = started.elapsed();
        match first {
            Some(first) if rest.is_empty() => Ok(Times { first, end }),
            _ => Err("fewer bytes than the agent's".into()),
        }
    }
}

/// Clients of Bedrock, one for each agent.
pub struct Bedrock(pub [bedrock::Client; AGENTS.len()]);

impl Client for Bedrock {
    async fn call(&self, agent: usize, case: &Case) -> Result<Times> {
        let prompt = bedrock::types::Message::builder()
            .role(ConversationRole::User)
            .content(ContentBlock::Text(PROMPT.to_owned()))
            .build()?;
        let client = &self.0[agent];
        let started = Instant::now();
        let (first, text, usage) = if case.is_stream {
            let stream = client.converse_stream().model_id(case.name).messages(prompt);
            read(started, stream.send().await?).await?
        } else {
            let output = client.converse().model_id(case.name).messages(prompt).send().await?;
            let first = started.elapsed();
            let message = output.output().and_then(|output| output.as_message().ok());
            let block = message.and_then(|message| message.content().first());
            let Some(ContentBlock::Text(text)) = block else { return Err("no text".into()) };
            (first, text.clone(), output.usage().map(tokens))
        };
        let end = started.elapsed();
        if text != case.text || usage != Some(TOKENS) {
            return Err(format!("another response than the agent's: {text}, {usage:?}").into());
        }
        Ok(Times { first, end })
    }
}

/// The time of the first event, the text and the tokens of a stream.
async fn read(
    started: Instant,
    mut output: bedrock::operation::converse_stream::ConverseStreamOutput,
) -> Result<(Duration, String, Option<[u64; 3]>)> {
    let mut first = None;
    let mut text = String::new();
    let mut usage = None;
    while let Some(event) = output.stream.recv().await? {
        first.get_or_insert_with(|| started.elapsed());
        match event {
            ConverseStreamOutput::ContentBlockDelta(event) => {
                if let Some(ContentBlockDelta::Text(part)) = event.delta() {
                    text.push_str(part);
                }
            }
            ConverseStreamOutput::Metadata(event) => usage = event.usage().map(tokens),
            _ => {}
        }
    }
    Ok((first.ok_or("no events")?, text, usage))
}
