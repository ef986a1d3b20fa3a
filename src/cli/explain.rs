//! Explains a reading in plain sentences: `inspect --explain`.
//!
//! The reader's [`Trace`] has what was found and the rules that decided. Here they only become
//! English. Texts of the body are escaped and cut.

use indicatif::HumanCount;
use tower_agent_status::status::{Outcome, TaskId, TokenUsage, WaitingFor};
use tower_agent_status::usage::{
    FailureEffect, FailureSign, Missing, NoAnswer, OutcomeRule, Reading, ReportedCounts,
    StatusPlace, Step, TokenRule, Trace, UsageEffect,
};

use super::lines;
use super::text::{escaped, truncated};

/// As much of a text of the body as is shown, in characters.
const MAX_TEXT: usize = 200;

/// Why a response was read as it was: lines under headings.
pub(crate) fn explain(trace: &Trace, reading: &Reading, cost: Option<&str>) -> String {
    let cost = cost.map(|cost| ("Cost", vec![shown(cost)]));
    let sections = [
        ("Outcome", outcome(trace, reading)),
        ("Tokens", tokens(trace, reading)),
        ("Ignored", ignored(trace)),
        ("Recorded", recorded(reading)),
    ]
    .into_iter()
    .chain(cost);
    let mut text = String::new();
    for (heading, lines) in sections {
        text.push_str(heading);
        text.push('\n');
        for line in lines {
            text.push_str("  ");
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

fn outcome(trace: &Trace, reading: &Reading) -> Vec<String> {
    let rule = trace.outcome_rule.map(|rule| outcome_rule(rule, reading.format));
    let rule = rule.unwrap_or_else(|| "the reading is not finished".to_owned());
    let mut lines = vec![match &reading.outcome {
        Outcome::Success => format!("Success: {rule}."),
        Outcome::Error(error) => format!("An error of class `{}`: {rule}.", error.class),
        _ => format!("Not known: {rule}."),
    }];
    for step in &trace.steps {
        match step {
            Step::Failure { signs, code, message, effect, .. } => match effect {
                FailureEffect::Reported => {
                    lines.extend(signs.iter().map(sign));
                    lines.extend(failure("The failure", code.as_deref(), message.as_deref()));
                }
                FailureEffect::Explains => {
                    let code = code.as_deref();
                    lines.extend(failure("The body explains it", code, message.as_deref()));
                }
                _ => {}
            },
            Step::Task { status, waiting_for, id, .. } => {
                lines.push(task(status.as_ref(), *waiting_for, id.as_ref()));
            }
            Step::End { path, word, .. } => {
                lines.extend(end_marker(path.as_deref(), word.as_deref()));
            }
            Step::CorruptFrame => {
                lines.push("A frame has a wrong checksum. Nothing in it counts.".to_owned());
            }
            _ => {}
        }
    }
    lines
}

/// What decided the outcome.
fn outcome_rule(rule: OutcomeRule, format: Option<&str>) -> String {
    match rule {
        OutcomeRule::EndMarker => "the end marker was read, and no failure",
        OutcomeRule::Complete => "the body was read to its end, and reports no failure",
        OutcomeRule::DroppedComplete => "the body was complete when it was dropped",
        OutcomeRule::ProtocolStatus => "the protocol says so at the end of the call",
        OutcomeRule::HttpStatus(status) => return format!("HTTP status {status}"),
        OutcomeRule::Reported => "the response reports a failure",
        OutcomeRule::NoAnswer(NoAnswer::Nothing) => {
            "nothing in a response that has to have an answer in it"
        }
        OutcomeRule::NoAnswer(NoAnswer::SignsOfLife) => {
            "only signs of life or an end marker in a response that has to have an answer in it"
        }
        OutcomeRule::NoAnswer(NoAnswer::NoChoices) => {
            "no choices in a response that has to have an answer in it"
        }
        OutcomeRule::NoAnswer(_) => {
            "a page for people in a response that has to have an answer in it"
        }
        OutcomeRule::Incomplete(Missing::EndMarker) => {
            let of = format.map(|format| format!(" of {format}")).unwrap_or_default();
            return format!("the stream broke off: there is no end marker{of}");
        }
        OutcomeRule::Incomplete(Missing::Rest) => {
            "the body broke off in the middle of a document or a frame"
        }
        OutcomeRule::Incomplete(_) => {
            "the call has no status: neither the head, the body nor the trailers say how it ended"
        }
        OutcomeRule::Dropped => "the body was dropped before its end",
        OutcomeRule::Failed => "the transport failed",
        OutcomeRule::TimedOut => "time ran out",
        _ => "a reason that this version cannot explain",
    }
    .to_owned()
}

/// By what a document reports a failure.
fn sign(sign: &FailureSign) -> String {
    match sign {
        FailureSign::Error(path) => format!("There is an error in {}.", place(path)),
        FailureSign::Word(path, word) => {
            format!("{} is {}, the word for a failure.", place(path), quoted(word))
        }
        FailureSign::TaskStatus(path, word) => {
            format!("{} is {}, the status word of a task.", place(path), quoted(word))
        }
        FailureSign::Status(path, word) => format!(
            "{} is {}, a status word beside the text of an error or beside nothing that is an \
             answer.",
            place(path),
            quoted(word)
        ),
        FailureSign::NoSuccess(path) => format!("{} is false.", place(path)),
        FailureSign::Flag(path) => format!("{} is true.", place(path)),
        FailureSign::Present(path) => format!("There is {}, as only in a failure.", place(path)),
        FailureSign::Code => {
            "There is a code or a text of an error, and nothing beside it that is an answer.".into()
        }
        FailureSign::Event => "The event is that of an error, or the frame an exception.".into(),
        FailureSign::Header => "The header `x-amz-function-error` says so.".into(),
        FailureSign::ProtocolStatus(place) => {
            let place = match place {
                StatusPlace::Head => "headers",
                StatusPlace::Trailers => "trailers",
                _ => "last frame of the body",
            };
            format!("The failure is in `grpc-status`, in the {place}.")
        }
        _ => "It says so in a way that this version cannot explain.".into(),
    }
}

/// What explains a failure, if anything does.
fn failure(what: &str, code: Option<&str>, message: Option<&str>) -> Option<String> {
    let text = match (code, message) {
        (Some(code), Some(message)) => format!("code {}, {}", quoted(code), quoted(message)),
        (Some(code), None) => format!("code {}", quoted(code)),
        (None, message) => quoted(message?),
    };
    Some(format!("{what}: {text}."))
}

fn task(
    status: Option<&(Box<str>, Box<str>)>,
    waiting_for: Option<WaitingFor>,
    id: Option<&TaskId>,
) -> String {
    let id = id.map(|id| format!(" {}", quoted(id.as_str()))).unwrap_or_default();
    let status = status.map(|(path, word)| format!(": {} is {}", place(path), quoted(word)));
    let waiting = match waiting_for {
        None => "",
        Some(WaitingFor::Task) => " The task goes on after this call.",
        Some(WaitingFor::Input) => " The task waits for input.",
        Some(WaitingFor::Authorization) => " The task waits for authorization.",
        Some(_) => " The task has not ended.",
    };
    format!("The response belongs to the task{id}{}.{waiting}", status.unwrap_or_default())
}

fn end_marker(path: Option<&str>, word: Option<&str>) -> Option<String> {
    Some(match (path, word) {
        (Some(path), Some(word)) => format!("The end marker: {} is {}.", place(path), quoted(word)),
        (Some(path), None) => format!("The end marker: there is {}.", place(path)),
        (None, word) => format!("The end marker: {}.", quoted(word?)),
    })
}

fn tokens(trace: &Trace, reading: &Reading) -> Vec<String> {
    let mut lines = Vec::new();
    let counted = || {
        trace.steps.iter().filter_map(|step| match step {
            Step::Usage { path, counts, effect, times, .. } if effect.counts() => {
                Some((path, counts, *effect, *times))
            }
            _ => None,
        })
    };
    if let Some(usage) = &reading.usage {
        let tokens = listed([
            (usage.input_tokens, "in"),
            (usage.output_tokens, "out"),
            (usage.total_tokens, "in all"),
        ]);
        let place = counted().next_back().map(|(path, ..)| format!(", from {}", usage_place(path)));
        let format = reading.format.map(|format| format!(" ({format})"));
        lines.push(format!("{tokens}{}{}.", place.unwrap_or_default(), format.unwrap_or_default()));
    }
    // One that counts as it is needs no more words.
    if counted().map(|(.., times)| times).sum::<u64>() > 1 {
        lines.extend(
            counted().map(|(path, counts, effect, times)| usage_step(path, counts, effect, times)),
        );
    }
    let usage = reading.usage.unwrap_or_default();
    lines.extend(trace.token_rules.iter().map(|rule| token_rule(*rule, &usage)));
    lines
}

/// A usage object and what became of it.
fn usage_step(path: &str, counts: &ReportedCounts, effect: UsageEffect, times: u64) -> String {
    let counts = listed([
        (counts.input, "in"),
        (counts.output, "out"),
        (counts.total, "in all"),
        (counts.cache_read, "from cache"),
        (counts.cache_write, "to cache"),
        (counts.reasoning, "reasoning"),
        (counts.tool_input, "of tools"),
        (counts.audio, "audio"),
    ]);
    let effect = match effect {
        UsageEffect::Counted => "It is the first that counts.",
        UsageEffect::Outranked => "It takes the place of what says less.",
        UsageEffect::Replaced => "It takes the place of the one before it.",
        UsageEffect::Merged => "Each count takes the place of the earlier one.",
        UsageEffect::Added => "It is added: there is one for each call of a model.",
        UsageEffect::IgnoredOutranked => "There are counts from a place that says more.",
        UsageEffect::IgnoredZeros => "It has only zeros, and earlier counts are not zero.",
        UsageEffect::IgnoredNotTokens => "It counts something other than tokens.",
        UsageEffect::IgnoredPartial => "Its event is a part of another one to come.",
        UsageEffect::Empty => "It has no count that is known.",
        _ => "This version cannot explain what became of it.",
    };
    let times = match times {
        0 | 1 => String::new(),
        times => format!(" So {} times; these are the last counts.", HumanCount(times)),
    };
    let colon = if counts.is_empty() { "" } else { ": " };
    format!("Usage in {}{colon}{counts}. {effect}{times}", usage_place(path))
}

/// A rule by which counts became these tokens, or why there are none.
fn token_rule(rule: TokenRule, usage: &TokenUsage) -> String {
    let some = |tokens: Option<u64>| tokens.filter(|tokens| *tokens > 0);
    let cached = listed([
        (some(usage.cache_read_input_tokens), "were read from a cache"),
        (some(usage.cache_write_input_tokens), "were written to a cache"),
    ]);
    let reasoning = HumanCount(usage.reasoning_tokens.unwrap_or(0));
    match rule {
        TokenRule::CacheInInputByTotal => format!(
            "{cached}: they are part of the input, since input and output add up to the total."
        ),
        TokenRule::CacheInInputByName => {
            format!("{cached}: they are part of the input, as their names say.")
        }
        TokenRule::CacheAddedByTotal => format!(
            "{cached}: they were added to the input, since only then do input and output add up \
             to the total."
        ),
        TokenRule::CacheAddedByName => {
            format!("{cached}: they were added to the input, beside which they are by their names.")
        }
        TokenRule::ReasoningInOutput => {
            format!("{reasoning} were reasoning: they are part of the output.")
        }
        TokenRule::ReasoningAddedByName => format!(
            "{reasoning} were reasoning: they were added to the output, beside which they are by \
             their name."
        ),
        TokenRule::ReasoningAddedByTotal => format!(
            "{reasoning} were reasoning: they were added to the output, since the total says so."
        ),
        TokenRule::ReasoningAddedToTotal => format!(
            "{reasoning} were reasoning: they were added to the output and to the total, since \
             this provider includes them in neither."
        ),
        rule => plain_token_rule(rule).to_owned(),
    }
}

/// The same for rules without a number of their own.
fn plain_token_rule(rule: TokenRule) -> &'static str {
    match rule {
        TokenRule::AudioAdded => "Audio was added to the input, since the total says so.",
        TokenRule::ToolInputAdded => {
            "The results of tools were added to the input, which never includes them."
        }
        TokenRule::InputFromTotal => "The input is what is left of the total.",
        TokenRule::OutputFromTotal => "The output is what is left of the total.",
        TokenRule::NoOutput => "No output was reported, nor a total: it is 0.",
        TokenRule::NoInput => "No input was reported, nor a total: it is 0.",
        TokenRule::TotalIsSum => "No total was reported: it is the sum of input and output.",
        TokenRule::TotalRaised => {
            "The reported total is less than input and output: it is their sum instead."
        }
        TokenRule::TotalIsInput => "The total is all input: nothing was generated.",
        TokenRule::OnlyTotal => "Only a total was reported: input and output are not known.",
        TokenRule::Summed => "Several calls of a model were added up, each by its own rules.",
        TokenRule::FromHeaders => "They are those of the response's headers: the body has none.",
        TokenRule::FilledInFromHeaders => {
            "The response's headers filled in what the body leaves out."
        }
        TokenRule::NoneFound => "None: there is no usage object at a known place.",
        TokenRule::NoneUsable => "None: what was found is no tokens of input or output.",
        TokenRule::NoneByPath => {
            "None: the path of the request says that nothing is generated, or that it was counted \
             before."
        }
        TokenRule::NoneInFile => "None: the path of the request says that the response is a file.",
        TokenRule::NoneDecoded => "None: the body could not be decoded.",
        TokenRule::NoneRead => "None: the body is not one of JSON documents, and was not read.",
        _ => "By a rule that this version cannot explain.",
    }
}

fn ignored(trace: &Trace) -> Vec<String> {
    let mut lines = Vec::new();
    for step in &trace.steps {
        match step {
            Step::Usage { path, counts, effect, times, .. } if !effect.counts() => {
                lines.push(usage_step(path, counts, *effect, *times));
            }
            Step::Failure { signs, code, message, effect, .. } => {
                let why = match effect {
                    FailureEffect::IgnoredLater => "An earlier failure stands.",
                    FailureEffect::IgnoredStep => {
                        "It is about a step of the run, which the run may have caught."
                    }
                    FailureEffect::IgnoredInList => {
                        "It is about an element of a list, which is the answer."
                    }
                    FailureEffect::IgnoredOfOthers => {
                        "The response is a file of answers: this is the failure of another call."
                    }
                    _ => continue,
                };
                lines.extend(signs.iter().map(sign));
                lines.extend(failure("The failure", code.as_deref(), message.as_deref()));
                lines.push(why.to_owned());
            }
            _ => {}
        }
    }
    if trace.omitted > 0 {
        lines.push(format!("And {} more.", HumanCount(trace.omitted)));
    }
    lines.push("Objects elsewhere are content, and are not read.".to_owned());
    lines
}

/// What the layer would record.
fn recorded(reading: &Reading) -> Vec<String> {
    let outcome = match (&reading.outcome, reading.waiting_for) {
        (Outcome::Error(error), _) => {
            format!("error, class `{}`: {}", error.class, shown(error.message.as_str()))
        }
        (Outcome::Success, Some(waiting_for)) => {
            format!("in progress, waitingFor `{}`", waiting_for.as_str())
        }
        (Outcome::Success, None) => "success".to_owned(),
        _ => "an outcome that is not known".to_owned(),
    };
    let tokens = match &reading.usage {
        None => "no tokens".to_owned(),
        Some(usage) => {
            let total = listed([(usage.total_tokens, "tokens")]);
            let parts = [total, lines::usage(usage)];
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
        }
    };
    vec![outcome, tokens]
}

/// The counts that are known, as in `120 in, 30 out`.
fn listed<const N: usize>(counts: [(Option<u64>, &str); N]) -> String {
    let known = counts.into_iter().filter_map(|(count, name)| Some((count?, name)));
    let texts: Vec<_> =
        known.map(|(count, name)| format!("{} {name}", HumanCount(count))).collect();
    texts.join(", ")
}

/// Where usage was found.
fn usage_place(path: &str) -> String {
    match path {
        "" => "counts without a usage object, which something beside them confirms".to_owned(),
        path => place(path),
    }
}

/// A path in the body.
fn place(path: &str) -> String {
    match path {
        "" => "the document itself".to_owned(),
        path => format!("`{path}`"),
    }
}

/// A text of the body.
fn quoted(text: &str) -> String {
    format!("`{}`", shown(text))
}

fn shown(text: &str) -> String {
    truncated(&escaped(text), MAX_TEXT).into_owned()
}
