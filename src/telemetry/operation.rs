//! [`Operation`]: the values of `gen_ai.operation.name`.

use http::Method;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Chat,
    Embeddings,
    FetchResponse,
    GenerateContent,
    /// A call to an agent, or to anything that is not known to be a model's API.
    InvokeAgent,
    TextCompletion,
}

impl Operation {
    /// Its `gen_ai.operation.name`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embeddings => "embeddings",
            Self::FetchResponse => "fetch_response",
            Self::GenerateContent => "generate_content",
            Self::InvokeAgent => "invoke_agent",
            Self::TextCompletion => "text_completion",
        }
    }

    /// Whether a model is called to generate something.
    pub(super) const fn is_inference(self) -> bool {
        matches!(self, Self::Chat | Self::GenerateContent | Self::TextCompletion)
    }

    /// The operation of a request, if its path leaves no doubt. The path has no query.
    pub(super) fn of_request(method: &Method, path: &str) -> Option<Self> {
        let path = path.trim_end_matches('/');
        let (before, last) = path.rsplit_once('/')?;
        if method == Method::GET {
            let is_stored = ["/responses", "/interactions"].iter().any(|end| before.ends_with(end));
            return is_stored.then_some(Self::FetchResponse);
        }
        if let Some((_, operation)) = last.rsplit_once(':') {
            return Some(match operation {
                "generateContent" | "streamGenerateContent" => Self::GenerateContent,
                // Other vendors' models at Vertex.
                "rawPredict" | "streamRawPredict" if before.contains("/publishers/") => Self::Chat,
                "embedContent" | "batchEmbedContents" => Self::Embeddings,
                _ => return None,
            });
        }
        Some(match last {
            "completions" if before.ends_with("/chat") => Self::Chat,
            "completions" => Self::TextCompletion,
            "messages" if before.ends_with("/v1") => Self::Chat,
            "responses" => Self::Chat,
            "interactions" => Self::GenerateContent,
            "embeddings" => Self::Embeddings,
            "converse" | "converse-stream" if before.contains("/model/") => Self::Chat,
            "invoke" | "invoke-with-response-stream" if before.contains("/model/") => {
                if before.contains("embed") { Self::Embeddings } else { Self::Chat }
            }
            "generations" | "edits" if before.ends_with("/images") => Self::GenerateContent,
            "speech" | "transcriptions" if before.ends_with("/audio") => Self::GenerateContent,
            "invocations" => Self::InvokeAgent,
            _ => return None,
        })
    }

    /// The operation whose answers have a format, by its name in
    /// [`Reading::format`](crate::usage::Reading::format).
    pub(super) fn of_format(format: &str) -> Self {
        match format {
            "openai.chat_completions"
            | "openai.responses"
            | "anthropic.messages"
            | "bedrock.converse"
            | "bedrock.invoke_model"
            | "bedrock.nova_sonic"
            | "cohere.v1"
            | "cohere.v2.chat"
            | "ollama.native"
            | "dashscope"
            | "mistral.conversations" => Self::Chat,
            "openai.completions"
            | "watsonx.text"
            | "tgi.generate"
            | "aleph_alpha.complete"
            | "koboldcpp"
            | "llama_cpp"
            | "sglang.generate" => Self::TextCompletion,
            "gemini.generate_content" | "gemini.interactions" | "openai.images" => {
                Self::GenerateContent
            }
            "openai.embeddings" => Self::Embeddings,
            _ => Self::InvokeAgent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_the_operation() {
        for (path, operation) in [
            ("/v1/chat/completions", "chat"),
            ("/openai/deployments/gpt/chat/completions/", "chat"),
            ("/v1/messages", "chat"),
            ("/v1/responses", "chat"),
            ("/model/anthropic.claude/converse-stream", "chat"),
            ("/model/anthropic.claude/invoke", "chat"),
            ("/model/amazon.titan-embed-text-v2:0/invoke", "embeddings"),
            ("/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict", "chat"),
            ("/v1/completions", "text_completion"),
            ("/v1beta/models/gemini-2.5-pro:streamGenerateContent", "generate_content"),
            ("/v1/images/generations", "generate_content"),
            ("/v1/embeddings", "embeddings"),
            ("/v1beta/models/e:batchEmbedContents", "embeddings"),
            ("/invocations", "invoke_agent"),
            ("/runtimes/arn/invocations", "invoke_agent"),
        ] {
            let known = Operation::of_request(&Method::POST, path);
            assert_eq!(known.map(Operation::name), Some(operation), "{path}");
        }
        for path in
            ["", "/", "/chat", "/converse", "/threads/t/messages", "/a:b", "/v1/rerank", "x"]
        {
            assert_eq!(Operation::of_request(&Method::POST, path), None, "{path}");
        }
    }

    #[test]
    fn a_stored_response_is_fetched() {
        let get = |path| Operation::of_request(&Method::GET, path);
        assert_eq!(get("/v1/responses/resp_1"), Some(Operation::FetchResponse));
        assert_eq!(get("/v1beta/interactions/i1"), Some(Operation::FetchResponse));
        for path in ["/v1/responses", "/v1/chat/completions/c", "/tasks/1", ""] {
            assert_eq!(get(path), None, "{path}");
        }
    }

    #[test]
    fn a_format_names_the_operation_where_the_path_does_not() {
        assert_eq!(Operation::of_format("anthropic.messages"), Operation::Chat);
        assert_eq!(Operation::of_format("gemini.generate_content"), Operation::GenerateContent);
        for format in ["a2a", "agentcore", "openai.assistants_run", "bedrock.invoke_agent", ""] {
            assert_eq!(Operation::of_format(format), Operation::InvokeAgent, "{format}");
        }
    }
}
