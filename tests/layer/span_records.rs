//! How a subscriber is given the fields of a call's span: in which records, and as which types.

use std::fmt;
use std::sync::{Arc, Mutex};

use http::Method;
use tower_agent_status::store::MemoryStore;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use crate::support::model::{CHAT, Model, REFUSED};
use crate::support::{AGENT, SESSION, builder};

/// The fields of one record.
#[derive(Clone, Debug, Default)]
struct Fields {
    all: Vec<&'static str>,
    integers: Vec<&'static str>,
}

/// Notes the fields that the span starts with, and then those of each record.
#[derive(Clone, Default)]
struct Records(Arc<Mutex<Vec<Fields>>>);

impl<S: Subscriber> Layer<S> for Records {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        self.0.lock().unwrap().push(fields);
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        self.0.lock().unwrap().push(fields);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, _: &dyn fmt::Debug) {
        self.all.push(field.name());
    }

    fn record_i64(&mut self, field: &Field, _: i64) {
        self.all.push(field.name());
        self.integers.push(field.name());
    }
}

async fn records_of(model: Model) -> Vec<Fields> {
    let records = Records::default();
    let subscriber = tracing_subscriber::registry().with(records.clone());
    let _listening = tracing::subscriber::set_default(subscriber);
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let uri = "https://api.openai.com/v1/chat/completions";
    model.call(&tracker, AGENT, SESSION, (Method::POST, uri)).await;
    let records = records.0.lock().unwrap();
    records.clone()
}

// Each record has a cost of its own, in every layer of the subscriber.
#[tokio::test]
async fn what_is_known_only_at_the_end_comes_in_one_record() {
    let [_, head, end] = &records_of(CHAT).await[..] else { panic!("more or fewer records") };
    assert_eq!(head.all, ["http.response.status_code"]);
    let expected = [
        "gen_ai.response.model",
        "gen_ai.response.id",
        "gen_ai.response.finish_reasons",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "openai.response.service_tier",
    ];
    assert_eq!(end.all, expected);

    let [_, _, failure] = &records_of(REFUSED).await[..] else { panic!("more or fewer records") };
    assert_eq!(failure.all, ["otel.status_code", "otel.status_description", "error.type"]);

    let nothing = records_of(Model::json("{}")).await;
    assert_eq!(nothing.len(), 2, "{nothing:?}");
}

// OpenTelemetry has no others. A bridge to it makes text of an unsigned integer.
#[tokio::test]
async fn numbers_are_signed_integers() {
    let records = records_of(CHAT).await;
    let integers: Vec<_> = records.iter().flat_map(|fields| &fields.integers).copied().collect();
    let expected = [
        "server.port",
        "http.response.status_code",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
    ];
    assert_eq!(integers, expected);
}
