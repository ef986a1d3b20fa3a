//! async-openai, with its feature `middleware`.

use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use async_openai::middleware::retry::OpenAIRetryLayer;
use async_openai::types::chat::{
    ChatCompletionRequestUserMessage, ChatCompletionStreamOptions, CreateChatCompletionRequest,
    CreateChatCompletionRequestArgs,
};
use futures_util::StreamExt as _;
use tower::{BoxError, ServiceBuilder, ServiceExt as _};
use tower_agent_status::{Layer as _, StatusLayer, StatusTracker};

use crate::{MODEL, Pieces, Recipe};

#[derive(Debug)]
pub struct AsyncOpenAi;

impl Recipe for AsyncOpenAi {
    async fn client(tracker: &StatusTracker, url: &str, timeout: Duration) -> impl crate::Client {
        let config = OpenAIConfig::new().with_api_key("secret").with_api_base(url);
        let client = reqwest::Client::builder().timeout(timeout).build().unwrap();
        // recipe
        let agent = StatusLayer::new(tracker, "pdfAdapter").layer(client);
        let service = ServiceBuilder::new().layer(OpenAIRetryLayer::default()).service_fn(
            move |request: HttpRequestFactory| {
                let agent = agent.clone();
                async move {
                    let request = request.build().await?;
                    agent.oneshot(request).await.map_err(OpenAIError::Reqwest)
                }
            },
        );
        let client = Client::with_config(config).with_http_service(service);
        // end
        client
    }
}

fn question() -> CreateChatCompletionRequestArgs {
    let mut question = CreateChatCompletionRequestArgs::default();
    let message = ChatCompletionRequestUserMessage::from("What does the trade say?");
    question.model(MODEL).messages([message.into()]);
    question
}

impl crate::Client for Client<OpenAIConfig> {
    async fn ask(&self) -> Result<String, BoxError> {
        let answer = self.chat().create(question().build()?).await?;
        Ok(answer.choices[0].message.content.clone().unwrap_or_default())
    }

    async fn stream(&self) -> Result<Pieces, BoxError> {
        let options =
            ChatCompletionStreamOptions { include_usage: Some(true), include_obfuscation: None };
        let question: CreateChatCompletionRequest =
            question().stream(true).stream_options(options).build()?;
        let chunks = self.chat().create_stream(question).await?;
        Ok(Box::pin(chunks.map(|chunk| {
            let choices = chunk?.choices.into_iter();
            Ok(choices.filter_map(|choice| choice.delta.content).collect())
        })))
    }
}
