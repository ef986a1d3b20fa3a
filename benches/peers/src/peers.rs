//! Subscribers and exporters that discard what they receive, but count it.

use std::cell::Cell;

use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use tracing::span::{Attributes, Id};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// What the name of a way contains if it has a listener.
pub const LISTENERS: [&str; 2] = ["a subscriber", "OpenTelemetry SDK"];

thread_local! {
    static HEARD: Cell<u64> = const { Cell::new(0) };
}

/// The number of spans, events and measurements received so far on this thread.
pub fn heard() -> u64 {
    HEARD.get()
}

fn hear(more: u64) {
    HEARD.set(HEARD.get() + more);
}

/// A subscriber that tracks spans and discards them.
pub fn discarding() -> Dispatch {
    Dispatch::new(tracing_subscriber::registry().with(Ear))
}

/// Only counts.
struct Ear;

impl<S: Subscriber> Layer<S> for Ear {
    fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        hear(1);
    }

    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        hear(1);
    }
}

/// Discards ended spans. Without a processor the SDK would record nothing.
macro_rules! discarding_processor {
    ($name:ident, $api:ident, $sdk:ident) => {
        #[derive(Debug)]
        struct $name;

        impl $sdk::trace::SpanProcessor for $name {
            fn on_start(&self, _: &mut $sdk::trace::Span, _: &$api::Context) {}

            fn on_end(&self, span: $sdk::trace::SpanData) {
                std::hint::black_box(span);
                hear(1);
            }

            fn force_flush(&self) -> $sdk::error::OTelSdkResult {
                Ok(())
            }

            fn shutdown_with_timeout(&self, _: std::time::Duration) -> $sdk::error::OTelSdkResult {
                Ok(())
            }
        }
    };
}

discarding_processor!(Discarding, opentelemetry, opentelemetry_sdk);
discarding_processor!(DiscardingOfReqwest, opentelemetry_of_reqwest, opentelemetry_sdk_of_reqwest);

/// Spans go to the OpenTelemetry SDK, which records them and exports nothing.
pub fn opentelemetry() -> Dispatch {
    let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder()
        .with_span_processor(Discarding)
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
    Dispatch::new(tracing_subscriber::registry().with(layer))
}

/// The same, in the release that reqwest-tracing depends on.
pub fn opentelemetry_for_reqwest() -> Dispatch {
    use opentelemetry_of_reqwest::trace::TracerProvider as _;
    let provider = opentelemetry_sdk_of_reqwest::trace::SdkTracerProvider::builder()
        .with_span_processor(DiscardingOfReqwest)
        .build();
    let layer = tracing_opentelemetry_of_reqwest::layer().with_tracer(provider.tracer("bench"));
    Dispatch::new(tracing_subscriber::registry().with(layer))
}

/// Metrics go to the OpenTelemetry SDK, which aggregates them, and exports them to memory once
/// an hour and at the end.
pub struct Meters {
    provider: SdkMeterProvider,
    exported: InMemoryMetricExporter,
}

impl Meters {
    pub fn new() -> Self {
        let exported = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exported.clone())
            .with_interval(std::time::Duration::from_secs(3600))
            .build();
        Self { provider: SdkMeterProvider::builder().with_reader(reader).build(), exported }
    }

    pub fn meter(&self) -> Meter {
        self.provider.meter("bench")
    }
}

impl Drop for Meters {
    fn drop(&mut self) {
        self.provider.force_flush().expect("an export");
        for exported in self.exported.get_finished_metrics().expect("exported metrics") {
            let metrics = exported.scope_metrics().flat_map(|scope| scope.metrics());
            for metric in metrics.filter(|metric| metric.name().ends_with("request.duration")) {
                if let AggregatedMetrics::F64(MetricData::Histogram(durations)) = metric.data() {
                    hear(durations.data_points().map(|point| point.count()).sum());
                }
            }
        }
    }
}
