//! What follows from the values of known fields, and from the types of event-stream frames.
//!
//! A value may match several rows, and all of them apply, in this order. The rows of a field stand
//! together.

use super::Pattern::{Exact, Not, Prefix};
use super::{Effect, Format, Pattern, WordField};

/// The values of each [`WordField`], and what follows from them.
#[rustfmt::skip]
pub(in crate::usage) const WORDS: &[(WordField, Pattern, Effect)] = &[
    (WordField::Type, Exact("message"),                    Effect::SetFormat(Format::Anthropic)),
    (WordField::Type, Exact("message_start"),              Effect::StartStream(Format::Anthropic)),
    (WordField::Type, Exact("message_stop"),               Effect::EndStream),
    (WordField::Type, Prefix("response."),                 Effect::StartStream(Format::OpenAiResponses)),
    (WordField::Type, Exact("response.completed"),         Effect::EndStream),
    (WordField::Type, Exact("response.incomplete"),        Effect::EndStream),
    (WordField::Type, Exact("response.failed"),            Effect::FailStream("failed")),
    (WordField::Type, Prefix("image_generation."),         Effect::SetFormat(Format::OpenAiImages)),
    (WordField::Type, Prefix("image_edit."),               Effect::SetFormat(Format::OpenAiImages)),
    (WordField::Type, Exact("transcript.text.done"),       Effect::FinishModel),
    (WordField::Type, Exact("message-start"),              Effect::StartStream(Format::CohereV2)),
    (WordField::Type, Exact("message-end"),                Effect::EndStream),
    (WordField::Type, Exact("RUN_STARTED"),                Effect::StartStream(Format::AgUi)),
    (WordField::Type, Exact("RUN_FINISHED"),               Effect::EndStream),
    (WordField::Type, Exact("RUN_ERROR"),                  Effect::FailStream("RUN_ERROR")),
    (WordField::Type, Exact("error"),                      Effect::Fail("error")),
    (WordField::Object, Prefix("chat.completion"),         Effect::SetFormat(Format::OpenAiChat)),
    (WordField::Object, Exact("text_completion"),          Effect::SetFormat(Format::OpenAiCompletions)),
    (WordField::Object, Exact("response"),                 Effect::SetFormat(Format::OpenAiResponses)),
    (WordField::Object, Prefix("thread.run"),              Effect::SetFormat(Format::OpenAiAssistants)),
    (WordField::Object, Exact("interaction"),              Effect::SetFormat(Format::GeminiInteractions)),
    (WordField::Object, Exact("list"),                     Effect::SuggestFormat(Format::OpenAiEmbeddings)),
    (WordField::Status, Exact("failed"),                   Effect::FailIfRecognized),
    (WordField::ResponseStatus, Exact("failed"),           Effect::FailIfRecognized),
    (WordField::EventType, Exact("stream-start"),          Effect::StartStream(Format::CohereV1)),
    (WordField::EventType, Exact("stream-end"),            Effect::EndStream),
    (WordField::EventType, Exact("interaction.created"),   Effect::StartStream(Format::GeminiInteractions)),
    (WordField::EventType, Exact("interaction.completed"), Effect::FinishModel),
    (WordField::CohereFinish, Prefix("ERROR"),             Effect::Fail("finish_reason=ERROR")),
    (WordField::ChatFinish, Prefix(""),                    Effect::FinishModel),
    (WordField::ChatFinish, Exact("error"),                Effect::Fail("finish_reason=error")),
    (WordField::WatsonxStop, Prefix(""),                   Effect::StartStream(Format::Watsonx)),
    (WordField::WatsonxStop, Not("not_finished"),          Effect::FinishModel),
    (WordField::ConverseStop, Prefix(""),                  Effect::SetFormat(Format::BedrockConverse)),
    (WordField::TaskState, Exact("failed"),                Effect::Fail("failed")),
    (WordField::TaskState, Exact("rejected"),              Effect::Fail("rejected")),
    (WordField::TaskState, Prefix(""),                     Effect::SetFormat(Format::A2a)),
    // Seconds of audio are not tokens, whatever else is in the object.
    (WordField::UsageType, Exact("duration"),              Effect::DiscardUsage),
];

/// The types of frames in AWS event streams. The framing itself knows `metadata` and `chunk`.
#[rustfmt::skip]
pub(in crate::usage) const EVENT_TYPES: &[(&str, Effect)] = &[
    ("messageStart",      Effect::StartStream(Format::BedrockConverse)),
    ("contentBlockDelta", Effect::StartStream(Format::BedrockConverse)),
    ("messageStop",       Effect::FinishModel),
    ("trace",             Effect::SetFormat(Format::BedrockAgent)),
];
