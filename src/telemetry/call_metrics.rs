//! [`CallMetrics`]: the keys under which the calls of one agent are recorded, each made once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ::metrics::{Key, Label, Recorder, SharedString, with_recorder};

use super::agent_metrics::EndedCall;
use super::metrics::{
    AGENT_TIME_TO_FIRST_CHUNK, CACHE_READ_TOKENS, CACHE_WRITE_TOKENS, CALLS, COST,
    INFERENCE_DURATION, INPUT_TOKENS, INPUT_TOKENS_PER_CALL, MAX_MODELS, METADATA,
    OPERATION_DURATION, OTHER_AGENTS, OTHER_MODELS, OUTPUT_TOKENS, OUTPUT_TOKENS_PER_CALL,
    REASONING_TOKENS, TIME_TO_FIRST_CHUNK, TOKENS, UNPRICED_CALLS,
};
use super::operation::Operation;
use super::provider::ProviderName;
use crate::status::TokenUsage;

/// The metrics of one agent's calls. The handles of the keys are requested from the current recorder each
/// time, since a recorder may be installed at any time.
#[derive(Debug)]
pub(super) struct CallMetrics {
    agent: Arc<str>,
    /// Whether this is for all undeclared agents.
    is_other: bool,
    succeeded: Key,
    keys: Mutex<KeyCache>,
}

/// The keys by what their labels say.
#[derive(Debug, Default)]
struct KeyCache {
    /// The names of models that are labels.
    models: Vec<Arc<str>>,
    keys: HashMap<CallLabels, Arc<CallKeys>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct CallLabels {
    operation: Operation,
    provider: Option<ProviderName>,
    request_model: Option<Arc<str>>,
    response_model: Option<Arc<str>>,
}

#[derive(Debug)]
struct CallKeys {
    duration: Key,
    first_chunk: Key,
    /// For a model call, all counts are recorded; for any other, the known ones.
    is_of_model: bool,
    /// The counters, in the order of [`counts`].
    counters: Box<[Key]>,
    /// The histograms of input and output.
    per_call: Box<[Key]>,
    cost: Key,
    unpriced: Key,
}

impl CallMetrics {
    pub(super) fn new(agent: &Arc<str>) -> Self {
        let success = Label::from_static_parts("outcome", "success");
        Self {
            agent: Arc::clone(agent),
            is_other: false,
            succeeded: Key::from_parts(CALLS, vec![agent_label(agent), success]),
            keys: Mutex::default(),
        }
    }

    /// The metrics of all undeclared agents.
    pub(super) fn of_undeclared() -> Self {
        Self { is_other: true, ..Self::new(&OTHER_AGENTS.into()) }
    }

    pub(super) fn ended(&self, call: &EndedCall<'_>) {
        let keys = self.keys_of(call);
        let class = call.error.map(|error| {
            let class: SharedString = error.class.clone().into();
            Label::new("error.type", class)
        });
        with_recorder(|to| {
            let count = |key: &Key, number| to.register_counter(key, &METADATA).increment(number);
            match &class {
                None => count(&self.succeeded, 1),
                Some(class) => {
                    let outcome = Label::from_static_parts("outcome", "error");
                    let labels = vec![agent_label(&self.agent), outcome, class.clone()];
                    count(&Key::from_parts(CALLS, labels), 1);
                }
            }
            record(to, &keys.duration, class.as_ref(), call.elapsed.as_secs_f64());
            if let Some(first_chunk) = call.first_chunk {
                record(to, &keys.first_chunk, None, first_chunk.as_secs_f64());
            }
            if let Some(cost) = call.cost {
                if let Some(usd) = cost.usd {
                    record(to, &keys.cost, None, usd.to_f64());
                }
                if cost.unpriced_calls > 0 {
                    count(&keys.unpriced, cost.unpriced_calls);
                }
            }
            let counts = counts(call.usage);
            if !keys.is_of_model {
                for (key, tokens) in keys.counters.iter().zip(counts) {
                    if let Some(tokens) = tokens {
                        count(key, tokens);
                    }
                }
                return;
            }
            // A response that is fetched again reports the same counts again, which are not added.
            let counts = counts.map(Option::unwrap_or_default);
            if !call.operation.is_inference() && counts == [0; 5] {
                return;
            }
            for (key, tokens) in keys.counters.iter().zip(counts) {
                count(key, tokens);
            }
            for (key, tokens) in keys.per_call.iter().zip(counts) {
                // Above 2^53 a float is not exact, and no call uses as many.
                record(to, key, class.as_ref(), tokens as f64);
            }
        });
    }

    /// The keys for a call, made if there are none yet.
    fn keys_of(&self, call: &EndedCall<'_>) -> Arc<CallKeys> {
        let mut cache = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let provider = call.provider.map(|provider| match provider {
            ProviderName::Other(_) if self.is_other => ProviderName::Other(OTHER_MODELS.into()),
            provider => provider.clone(),
        });
        let labels = CallLabels {
            operation: call.operation,
            provider,
            request_model: call.request_model.map(|model| cache.model(model)),
            response_model: call.response_model.map(|model| cache.model(model)),
        };
        if let Some(keys) = cache.keys.get(&labels) {
            return Arc::clone(keys);
        }
        let keys = Arc::new(CallKeys::new(&self.agent, &labels));
        cache.keys.insert(labels, Arc::clone(&keys));
        keys
    }
}

impl KeyCache {
    /// The name of a model as a label: as it is, unless there are too many.
    fn model(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.models.iter().find(|known| &***known == name) {
            return Arc::clone(known);
        }
        if self.models.len() >= MAX_MODELS {
            return OTHER_MODELS.into();
        }
        let name: Arc<str> = name.into();
        self.models.push(Arc::clone(&name));
        name
    }
}

impl CallKeys {
    fn new(agent: &Arc<str>, labels: &CallLabels) -> Self {
        let operation = labels.operation;
        let operation_label =
            || Label::from_static_parts("gen_ai.operation.name", operation.name());
        let mut common = vec![operation_label(), agent_label(agent)];
        common.extend(labels.provider.as_ref().map(|provider| match provider {
            ProviderName::Known(provider) => {
                Label::from_static_parts("gen_ai.provider.name", provider.name())
            }
            ProviderName::Other(name) => Label::new("gen_ai.provider.name", shared(name)),
        }));
        let model = |name, model: &Option<Arc<str>>| {
            model.as_ref().map(|model| Label::new(name, shared(model)))
        };
        common.extend(model("gen_ai.request.model", &labels.request_model));
        common.extend(model("gen_ai.response.model", &labels.response_model));
        let key = |name| Key::from_parts(name, common.clone());
        let (duration, first_chunk) = match operation.is_inference() {
            true => (INFERENCE_DURATION, TIME_TO_FIRST_CHUNK),
            false => (OPERATION_DURATION, AGENT_TIME_TO_FIRST_CHUNK),
        };
        let is_of_model = operation.is_inference() || operation == Operation::FetchResponse;
        let (counters, per_call): (Vec<_>, &[_]) = if is_of_model {
            let modality = Label::from_static_parts("gen_ai.token.modality", "unknown");
            let counter = |name| key(name).with_extra_labels(vec![modality.clone()]);
            (USAGE_COUNTERS.map(counter).into(), &[INPUT_TOKENS_PER_CALL, OUTPUT_TOKENS_PER_CALL])
        } else {
            let counter = |kind| {
                let kind = Label::from_static_parts("token_type", kind);
                Key::from_parts(TOKENS, vec![operation_label(), agent_label(agent), kind])
            };
            (["input", "output"].map(counter).into(), &[])
        };
        Self {
            duration: key(duration),
            first_chunk: key(first_chunk),
            is_of_model,
            counters: counters.into(),
            per_call: per_call.iter().copied().map(key).collect(),
            cost: key(COST),
            unpriced: key(UNPRICED_CALLS),
        }
    }
}

/// The counters of a model call.
const USAGE_COUNTERS: [&str; 5] =
    [INPUT_TOKENS, OUTPUT_TOKENS, CACHE_READ_TOKENS, CACHE_WRITE_TOKENS, REASONING_TOKENS];

/// Input, output, and the parts of both.
fn counts(usage: Option<&TokenUsage>) -> [Option<u64>; 5] {
    usage.map_or([None; 5], |usage| {
        [
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_input_tokens,
            usage.cache_write_input_tokens,
            usage.reasoning_tokens,
        ]
    })
}

fn record(to: &dyn Recorder, key: &Key, class: Option<&Label>, value: f64) {
    match class {
        None => to.register_histogram(key, &METADATA).record(value),
        Some(class) => {
            let key = key.with_extra_labels(vec![class.clone()]);
            to.register_histogram(&key, &METADATA).record(value);
        }
    }
}

fn shared(text: &Arc<str>) -> SharedString {
    SharedString::from(Arc::clone(text))
}

fn agent_label(agent: &Arc<str>) -> Label {
    Label::new("gen_ai.agent.name", shared(agent))
}
