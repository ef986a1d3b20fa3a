//! What the recorder says in its log that the item may lack.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

tokio::task_local! {
    /// The process whose recorder is running.
    pub(crate) static PROCESS: usize;
}

/// An error that the log has about one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) message: String,
    pub(crate) process: Option<usize>,
    pub(crate) session: String,
    pub(crate) calls: u64,
    pub(crate) tokens: u64,
}

/// Calls `hear` with each error that is logged on this thread, until the guard is dropped.
pub(crate) fn listen(hear: impl Fn(Said) + Send + Sync + 'static) -> DefaultGuard {
    let errors = Errors(hear).with_filter(LevelFilter::ERROR);
    tracing::subscriber::set_default(tracing_subscriber::registry().with(errors))
}

struct Errors<F>(F);

impl<S: Subscriber, F: Fn(Said) + 'static> Layer<S> for Errors<F> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = Said { process: PROCESS.try_get().ok(), ..Said::default() };
        event.record(&mut said);
        (self.0)(said);
    }
}

impl Visit for Said {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "calls" => self.calls = value,
            "tokens" => self.tokens = value,
            _ => {}
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record_u64(field, value.unsigned_abs());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            // It is displayed.
            "session_id" => self.session = format!("{value:?}"),
            _ => {}
        }
    }
}
