//! Those who listen, and throw away what they hear.

use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt as _;

/// A subscriber that keeps track of spans, and does nothing with them.
pub fn discarding() -> Dispatch {
    Dispatch::new(tracing_subscriber::registry())
}

/// Takes ended spans, and throws them away. Without a processor the SDK records nothing.
macro_rules! discarding_processor {
    ($name:ident, $api:ident, $sdk:ident) => {
        #[derive(Debug)]
        struct $name;

        impl $sdk::trace::SpanProcessor for $name {
            fn on_start(&self, _: &mut $sdk::trace::Span, _: &$api::Context) {}

            fn on_end(&self, span: $sdk::trace::SpanData) {
                std::hint::black_box(span);
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

/// The same, in the release that reqwest-tracing goes with.
pub fn opentelemetry_for_reqwest() -> Dispatch {
    use opentelemetry_of_reqwest::trace::TracerProvider as _;
    let provider = opentelemetry_sdk_of_reqwest::trace::SdkTracerProvider::builder()
        .with_span_processor(DiscardingOfReqwest)
        .build();
    let layer = tracing_opentelemetry_of_reqwest::layer().with_tracer(provider.tracer("bench"));
    Dispatch::new(tracing_subscriber::registry().with(layer))
}

/// Metrics go to the OpenTelemetry SDK, which aggregates them and exports them to memory
/// once an hour.
pub struct Meters(SdkMeterProvider);

impl Meters {
    pub fn new() -> Self {
        let reader = PeriodicReader::builder(InMemoryMetricExporter::default())
            .with_interval(std::time::Duration::from_secs(3600))
            .build();
        Self(SdkMeterProvider::builder().with_reader(reader).build())
    }

    pub fn meter(&self) -> Meter {
        self.0.meter("bench")
    }
}
