//! [`Form`]: the spellings that are tried for the name of a model.

use super::providers::Provider;

/// Prefixes of Bedrock's inference profiles, which route a request within a part of the world.
/// `us-gov` is not one of them: its prices are others.
const GEOGRAPHIES: &[&str] = &["us", "eu", "apac", "global", "jp", "au", "ca", "in", "sa"];

/// How an id is called with, which LiteLLM's names for Bedrock's models may begin with.
const ROUTES: &[&str] = &["converse", "converse_like", "invoke"];

/// The most leading segments that are cut off a name.
const MAX_SEGMENTS: usize = 4;

/// A spelling of a model's name: a part of the name that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form<'a> {
    pub(super) text: &'a str,
    /// Who serves the model, if the name says so.
    pub(super) provider: Option<Provider<'static>>,
    /// The AWS region, if the name says so.
    pub(super) region: Option<&'a str>,
}

/// The spellings of a name without the parts that only say where and how the model is served. The
/// name itself is the first of them.
pub(super) fn forms(name: &str) -> Vec<Form<'_>> {
    let name = name.trim();
    let mut forms = vec![Form { text: name, provider: None, region: None }];
    let mut form = whole(name);
    push(&mut forms, form);
    for _ in 0..MAX_SEGMENTS {
        let Some((first, rest)) = form.text.split_once('/') else { break };
        let provider = Provider::known(first);
        if provider.is_some() {
            // The innermost is who made the model; the outermost, who serves it.
            form = Form { provider: form.provider.or(provider), text: rest, ..form };
        } else if form.provider == Provider::known("bedrock") && is_region(first) {
            form = Form { region: Some(first), text: rest, ..form };
        } else if ROUTES.contains(&first) {
            form.text = rest;
        } else {
            break;
        }
        // A gateway's model is its maker's, too.
        push(&mut forms, form);
        push(&mut forms, Form { provider, ..form });
    }
    for n in 0..forms.len() {
        let form = forms[n];
        let text = without_geography(form.text);
        let text = without_throughput(text);
        for text in
            [without_geography(form.text), text, without_revision(text), without_version(text)]
        {
            push(&mut forms, Form { text, ..form });
        }
        if let Some(base) = base_of_tuned(form.text) {
            push(&mut forms, Form { text: base, ..form });
        }
    }
    forms
}

/// The spelling without its date or version, if it has one.
pub(super) fn without_date(text: &str) -> Option<&str> {
    if let Some((model, _)) = text.split_once('@')
        && !model.is_empty()
    {
        return Some(model);
    }
    // `-2024-08-06`, `-20250514` and `-001`.
    ["-dddd-dd-dd", "-dddddddd", "-0dd"].into_iter().find_map(|shape| {
        let at = text.len().checked_sub(shape.len()).filter(|at| *at > 0)?;
        let (model, date) = text.split_at_checked(at)?;
        let fits = date.bytes().zip(shape.bytes()).all(|(byte, shape)| match shape {
            b'd' => byte.is_ascii_digit(),
            shape => byte == shape,
        });
        fits.then_some(model)
    })
}

/// What is left of an ARN or of the path of a resource.
fn whole(name: &str) -> Form<'_> {
    let other = Form { text: name, provider: None, region: None };
    if name.starts_with("arn:") {
        let mut parts = name.splitn(6, ':').skip(3);
        let (region, resource) = (parts.next(), parts.nth(1));
        return match resource.and_then(|resource| resource.split_once('/')) {
            Some(("foundation-model" | "inference-profile", id)) => Form {
                text: id,
                provider: Provider::known("bedrock"),
                region: region.filter(|region| is_region(region)),
            },
            // Any other resource has an id of its own, which does not name the model.
            _ => other,
        };
    }
    if let Some(id) = name.strip_prefix("models/") {
        return Form { text: id, provider: Provider::known("gemini"), ..other };
    }
    if name.starts_with("accounts/fireworks/") {
        return Form { provider: Provider::known("fireworks_ai"), ..other };
    }
    if name.starts_with("projects/") || name.starts_with("publishers/") {
        if let Some((_, id)) = name.rsplit_once("/models/") {
            return Form { text: id, provider: Provider::known("vertex_ai"), ..other };
        }
    } else if name.contains('@') && !name.contains('/') {
        // `claude-sonnet-4@20250514`: only Vertex AI writes versions so.
        return Form { provider: Provider::known("vertex_ai"), ..other };
    }
    other
}

fn push<'a>(forms: &mut Vec<Form<'a>>, form: Form<'a>) {
    if !form.text.is_empty() && !forms.contains(&form) {
        forms.push(form);
    }
}

/// `eu-central-1`.
fn is_region(text: &str) -> bool {
    text.rsplit_once('-').is_some_and(|(area, number)| {
        area.contains('-')
            && area.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
            && number.len() == 1
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// `us.amazon.nova-pro-v1:0` without `us.`.
fn without_geography(text: &str) -> &str {
    match text.split_once('.') {
        Some((geography, rest)) if GEOGRAPHIES.contains(&geography) && is_of_vendor(rest) => rest,
        _ => text,
    }
}

/// `amazon.nova-pro-v1:0`, where `nova-pro-1.5` is no name of a vendor with a model.
fn is_of_vendor(text: &str) -> bool {
    text.split_once('.').is_some_and(|(vendor, model)| {
        !model.is_empty()
            && vendor.starts_with(|first: char| first.is_ascii_lowercase())
            && vendor.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// `amazon.nova-pro-v1:0:24k` without `:24k`, which is how much of the context is bought.
fn without_throughput(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((model, size))
            if is_of_vendor(model)
                && model.contains(':')
                && is_number(size.trim_end_matches('k')) =>
        {
            model
        }
        _ => text,
    }
}

/// `anthropic.claude-v2:1` without `:1`.
fn without_revision(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((model, revision)) if is_of_vendor(model) && is_number(revision) => model,
        _ => text,
    }
}

/// `amazon.nova-pro-v1:0` without `-v1:0`. A second version is another model.
fn without_version(text: &str) -> &str {
    let model = without_revision(text);
    if model.len() < text.len() { model.strip_suffix("-v1").unwrap_or(model) } else { text }
}

/// `ft:gpt-4o-2024-08-06:acme::AbC1` is billed as `ft:gpt-4o-2024-08-06`.
fn base_of_tuned(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("ft:")?;
    let end = rest.find(':')?;
    text.get(.."ft:".len() + end)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(name: &str) -> Vec<&str> {
        let mut texts = Vec::new();
        for form in forms(name) {
            if !texts.contains(&form.text) {
                texts.push(form.text);
            }
        }
        texts
    }

    #[test]
    fn what_says_where_a_model_runs_is_cut_off() {
        for (name, expected) in [
            ("gpt-4o", &["gpt-4o"][..]),
            (
                "us.amazon.nova-pro-v1:0",
                &[
                    "us.amazon.nova-pro-v1:0",
                    "amazon.nova-pro-v1:0",
                    "amazon.nova-pro-v1",
                    "amazon.nova-pro",
                ],
            ),
            (
                "bedrock/eu-central-1/anthropic.claude-v2:1",
                &[
                    "bedrock/eu-central-1/anthropic.claude-v2:1",
                    "eu-central-1/anthropic.claude-v2:1",
                    "anthropic.claude-v2:1",
                    "anthropic.claude-v2",
                ],
            ),
            (
                "bedrock/converse/amazon.nova-pro-v1:0:24k",
                &[
                    "bedrock/converse/amazon.nova-pro-v1:0:24k",
                    "converse/amazon.nova-pro-v1:0:24k",
                    "amazon.nova-pro-v1:0:24k",
                    "amazon.nova-pro-v1:0",
                    "amazon.nova-pro-v1",
                    "amazon.nova-pro",
                ],
            ),
            (
                "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0",
                &[
                    "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0",
                    "amazon.nova-pro-v1:0",
                    "amazon.nova-pro-v1",
                    "amazon.nova-pro",
                ],
            ),
            (
                "arn:aws:bedrock:us-east-1:123:application-inference-profile/a1b2",
                &["arn:aws:bedrock:us-east-1:123:application-inference-profile/a1b2"],
            ),
            ("models/gemini-2.0-flash", &["models/gemini-2.0-flash", "gemini-2.0-flash"]),
            (
                "projects/p/locations/l/publishers/google/models/gemini-2.5-pro",
                &[
                    "projects/p/locations/l/publishers/google/models/gemini-2.5-pro",
                    "gemini-2.5-pro",
                ],
            ),
            (
                "openrouter/anthropic/claude-sonnet-4.5",
                &[
                    "openrouter/anthropic/claude-sonnet-4.5",
                    "anthropic/claude-sonnet-4.5",
                    "claude-sonnet-4.5",
                ],
            ),
            (
                "ft:gpt-4o-2024-08-06:acme::AbC1",
                &["ft:gpt-4o-2024-08-06:acme::AbC1", "ft:gpt-4o-2024-08-06"],
            ),
        ] {
            assert_eq!(texts(name), expected, "{name}");
        }
    }

    #[test]
    fn what_is_part_of_a_name_stays() {
        for name in [
            "google.gemini",
            "us-gov.anthropic.claude-haiku-4-5",
            "someone/gpt-4o",
            "gpt-oss:20b",
            "llama3:8",
            "gemini-2.0-flash-exp:free",
            "us.2.5",
            "mistral.voxtral-mini-3b-2507",
            "arn:aws:bedrock",
            "arn:::::",
            "@",
            "",
        ] {
            assert_eq!(texts(name), [name], "{name}");
        }
    }

    #[test]
    fn dates_and_versions_are_cut_off() {
        for (text, expected) in [
            ("gpt-4o-2024-08-06", Some("gpt-4o")),
            ("claude-sonnet-4-20250514", Some("claude-sonnet-4")),
            ("claude-sonnet-4@20250514", Some("claude-sonnet-4")),
            ("claude-opus-4-6@default", Some("claude-opus-4-6")),
            ("gemini-2.0-flash-001", Some("gemini-2.0-flash")),
            ("gpt-4-0613", None),
            ("mistral-small-2506", None),
            ("llama-3-100", None),
            ("gpt-4o", None),
            ("-20250514", None),
            ("@20250514", None),
            ("modèle-2024-08-06", Some("modèle")),
            ("é-0dd", None),
        ] {
            assert_eq!(without_date(text), expected, "{text}");
        }
    }

    #[test]
    fn a_name_says_who_serves_the_model() {
        let provider =
            |name: &str| forms(name).last().and_then(|form| form.provider).map(|of| of.owner);
        assert_eq!(provider("claude-sonnet-4@20250514"), Some("vertex_ai"));
        assert_eq!(provider("accounts/fireworks/models/kimi-k2"), Some("fireworks_ai"));
        assert_eq!(provider("x-ai/grok-4"), Some("xai"));
        assert_eq!(provider("gpt-4o"), None);
        let arn = "arn:aws:bedrock:eu-west-1:123:inference-profile/eu.amazon.nova-pro-v1:0";
        assert_eq!(forms(arn).last().and_then(|form| form.region), Some("eu-west-1"));
    }
}
