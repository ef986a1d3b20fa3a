//! [`ResponseInfo`]: what a response says of its call beside its tokens and its outcome.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

use super::UsageReader;
use super::extract::UsageParts;
use super::formats::{HeadField, MODEL_PATHS, RequestFlag};
use crate::status::{CallDetails, HeadDetails, RawText};

/// A longer name in a path is none.
const MAX_MODEL: usize = 128;
const MAX_REQUEST_ID: usize = 128;
/// A longer wait is none that anybody means: a year.
const MAX_WAIT: u64 = 366 * 24 * 60 * 60;

/// Where the name of a model was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ModelSource {
    /// In the response: the model that answered.
    Response,
    /// In the path of the request, as in Bedrock, Gemini and Vertex: the model that was asked.
    Path,
    /// In the path of the request, as the name of an Azure deployment. Its maker chose
    /// the name, so it need not be that of a model.
    Deployment,
}

/// What a response says of its call, beside its tokens and its outcome.
///
/// What the response does not say is absent. A text with more than 128 bytes is left out, and not cut:
/// a part of it would name something else. So is one with control characters. Nothing is redacted,
/// since providers choose these texts from names and random ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseInfo {
    /// The model, as the response names it, or else the path of the request. An agent that calls several
    /// names the first one.
    pub model: Option<Box<str>>,
    /// Where [`model`](Self::model) was found.
    pub model_source: Option<ModelSource>,
    /// The model, or the deployment, that the path of the request names. For Bedrock, price lists have this
    /// name, and responses may have another.
    pub path_model: Option<Box<str>>,
    /// The id of the answer. The `id` of JSON-RPC is the request's and none of the answer's.
    pub response_id: Option<Box<str>>,
    /// Why the model stopped, as the provider spells it (`length`, `max_tokens`, `content_filter`), each
    /// reason once, in the order of the response. At most 8, of at most 40 printable ASCII
    /// characters each, without spaces; others are left out.
    pub finish_reasons: Vec<Box<str>>,
    /// The tier that served the request. It is `auto`, which only repeats the request, if nothing more is said.
    pub service_tier: Option<Box<str>>,
    /// How many web searches the provider bills.
    pub web_search_requests: Option<u64>,
    /// What the call has cost in US dollars, where the response says so, as an exact decimal number such
    /// as `0.00502`. OpenRouter's `cost` does not include what another provider bills to a key of one's own.
    pub cost_usd: Option<Box<str>>,
    /// Whether the response reports an impossible cost, such as a negative one.
    pub has_impossible_cost: bool,
    /// The provider's id of the request, from the headers.
    pub request_id: Option<Box<str>>,
    /// How long to wait before another try, from the headers. A date counts from the response's own
    /// `date`, and without that it is left out.
    pub retry_after: Option<Duration>,
    /// How many requests are left of the rate limit, from the headers.
    pub remaining_requests: Option<u64>,
    /// How many tokens are left of the rate limit, from the headers.
    pub remaining_tokens: Option<u64>,
}

impl UsageReader {
    /// Returns what the response has said so far about its call, besides tokens and outcome: its model, its
    /// id, why the model stopped. It can also be called after [`finish`](Self::finish).
    ///
    /// The rows of a file and the results of a batch are about other calls: of such a response only the
    /// head counts.
    #[must_use]
    #[cold]
    pub fn info(&self) -> ResponseInfo {
        let mut info = ResponseInfo::default();
        if !self.states_nothing() {
            let extracted = self.committed();
            let stated = self.extractor.stated_info(extracted);
            info.model_source = stated.model.as_ref().map(|_| ModelSource::Response);
            info.model = stated.model;
            info.response_id = stated.response_id;
            info.finish_reasons = stated.finish_reasons;
            info.service_tier = stated.service_tier;
            let parts = self.framing.committed_parts(&self.extractor);
            let parts = parts.filter(|_| !self.hint.has(RequestFlag::NoUsage));
            info.web_search_requests = parts.and_then(UsageParts::web_searches);
            let cost = parts.and_then(UsageParts::cost);
            info.has_impossible_cost = parts.is_some_and(UsageParts::has_impossible_cost);
            info.cost_usd = cost.map(|cost| cost.to_string().into());
        }
        if let Some(head) = &self.reported {
            head.info.tell(&mut info);
        }
        info
    }

    /// The model that the response names, or else the path of its request.
    #[inline]
    pub(crate) fn model(&self) -> Option<RawText<'_>> {
        let stated = match self.states_nothing() {
            true => None,
            false => self.extractor.stated_model(self.committed().stated()),
        };
        stated
            .or_else(|| self.reported.as_ref()?.info.model().map(|model| RawText(model.as_bytes())))
    }

    /// Adds what the response says of its call, and copies none of it.
    #[inline(always)]
    pub(crate) fn describe<'a>(&'a self, call: &mut CallDetails<'a>) {
        if !self.states_nothing() {
            let stated = self.committed().stated();
            call.model = self.extractor.stated_model(stated);
            call.finish_reason = self.extractor.stated_reason(stated);
        }
        if let Some(head) = &self.reported {
            Self::describe_head(&head.info, call);
        }
    }

    #[cold]
    fn describe_head<'a>(head: &'a HeadInfo, call: &mut CallDetails<'a>) {
        if call.model.is_none() {
            call.model = head.model().map(|model| RawText(model.as_bytes()));
        }
        call.head = Some(&head.details);
    }

    /// Whether what the body states is of other calls.
    #[inline]
    fn states_nothing(&self) -> bool {
        self.hint.has_any(&[RequestFlag::Download, RequestFlag::Results])
    }
}

/// What the path of a request and the head of its response tell.
#[derive(Clone, Debug, Default)]
pub(super) struct HeadInfo {
    path_model: Option<(String, ModelSource)>,
    details: HeadDetails,
    /// The number of the row of the table that the request's id is from.
    request_id_row: u8,
    remaining_requests: Option<u64>,
    remaining_tokens: Option<u64>,
}

impl HeadInfo {
    /// What the path of a request tells that names a model.
    pub(super) fn of_path(path: &[u8]) -> Option<Self> {
        let path_model = MODEL_PATHS.iter().find_map(|(before, end, source)| {
            let before = before.as_bytes();
            let mut slashes = memchr::memrchr_iter(b'/', path);
            let at = slashes.find(|at| path[*at..].starts_with(before))?;
            let name = &path[at + before.len()..];
            // A deployment is one segment. The others end with the operation.
            let end = match source {
                ModelSource::Deployment => memchr::memchr(*end, name)?,
                _ => memchr::memrchr(*end, name)?,
            };
            Some((decoded(&name[..end])?, *source))
        });
        Some(Self { path_model: Some(path_model?), ..Self::default() })
    }

    /// Reads a header, which is in this row of the table.
    pub(super) fn read(
        &mut self,
        field: HeadField,
        row: u8,
        value: &HeaderValue,
        headers: &HeaderMap,
    ) {
        match field {
            HeadField::RequestId => {
                let outranks = self.details.request_id.is_none() || row < self.request_id_row;
                let id = value.to_str().map(str::trim).unwrap_or_default();
                if outranks && (1..=MAX_REQUEST_ID).contains(&id.len()) {
                    self.details.request_id = Some(id.into());
                    self.request_id_row = row;
                }
            }
            HeadField::RetryAfter => {
                let millis = headers.get("retry-after-ms").and_then(number);
                let wait = millis.map(Duration::from_millis).or_else(|| wait_of(value, headers));
                self.details.retry_after = wait.filter(|wait| wait.as_secs() <= MAX_WAIT);
            }
            HeadField::RemainingRequests => {
                self.remaining_requests = self.remaining_requests.or_else(|| number(value));
            }
            HeadField::RemainingTokens => {
                self.remaining_tokens = self.remaining_tokens.or_else(|| number(value));
            }
            HeadField::RetryAfterMillis | HeadField::Date => {}
        }
    }

    /// The model that the path of the request names.
    pub(super) fn model(&self) -> Option<&str> {
        self.path_model.as_ref().map(|(model, _)| &**model)
    }

    /// Adds what is known to `info`.
    pub(super) fn tell(&self, info: &mut ResponseInfo) {
        if let Some((model, source)) = &self.path_model {
            info.path_model = Some(model.as_str().into());
            if info.model.is_none() {
                info.model.clone_from(&info.path_model);
                info.model_source = Some(*source);
            }
        }
        info.request_id.clone_from(&self.details.request_id);
        info.retry_after = self.details.retry_after;
        info.remaining_requests = self.remaining_requests;
        info.remaining_tokens = self.remaining_tokens;
    }
}

/// A whole number. Azure writes -1 for what it does not know.
fn number(value: &HeaderValue) -> Option<u64> {
    let digits = value.as_bytes().trim_ascii();
    let add = |number: u64, byte: &u8| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        number.checked_mul(10)?.checked_add(digit.into())
    };
    digits.iter().try_fold(0, add).filter(|_| !digits.is_empty())
}

/// The wait that a `retry-after` header announces, in seconds or as a date.
fn wait_of(value: &HeaderValue, headers: &HeaderMap) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    // Some proxies write a fraction, which the standard does not have.
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = seconds_of(text)?;
    let now = seconds_of(headers.get(header::DATE)?.to_str().ok()?.trim())?;
    Some(Duration::from_secs(u64::try_from(until.saturating_sub(now)).unwrap_or(0)))
}

/// The seconds since the epoch of a date such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn seconds_of(date: &str) -> Option<i64> {
    Some(jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_second())
}

/// The name in a part of a path, without its percent-encoding.
fn decoded(part: &[u8]) -> Option<String> {
    let mut name = Vec::with_capacity(part.len().min(MAX_MODEL));
    let mut rest = part;
    while let Some(at) = memchr::memchr(b'%', rest) {
        let (plain, encoded) = rest.split_at(at);
        name.extend_from_slice(plain);
        // What is no escape stands for itself.
        let digits = encoded.get(1..3).and_then(|digits| str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        name.push(byte.unwrap_or(b'%'));
        rest = &encoded[if byte.is_some() { 3 } else { 1 }..];
        if name.len() > MAX_MODEL {
            return None;
        }
    }
    name.extend_from_slice(rest);
    let is_name = (1..=MAX_MODEL).contains(&name.len()) && !name.iter().any(u8::is_ascii_control);
    String::from_utf8(name).ok().filter(|_| is_name)
}
