//! Workflows of four calls, and where they are recorded.

use futures_util::future::BoxFuture;
use loopback::Result;
use tower_agent_status::StatusTracker;
use tower_agent_status::store::MemoryStore;

use crate::answers::Case;
use crate::by_hand::{SESSION, Table};
use crate::client::{AGENTS, Client, Times};
use crate::store::SlowStore;

/// Workflows with some client, and recorded in some way.
pub trait Workflows: Send + Sync {
    /// Runs a workflow, whose agents all give the same answer.
    fn run<'a>(&'a self, session: &'a str, case: &'a Case) -> BoxFuture<'a, Result<Vec<Times>>>;

    /// Waits until everything is recorded.
    fn flush(&self) -> BoxFuture<'_, Result<()>>;

    /// The recorded tokens of a workflow that has completed.
    fn tokens(&self, session: &str) -> Option<[u64; 3]>;
}

/// Where workflows are recorded.
pub enum Records {
    Nowhere,
    Map(Table),
    Store(StatusTracker, Store),
}

pub enum Store {
    Memory(MemoryStore),
    Slow(SlowStore),
}

pub struct Recorded<C> {
    pub client: C,
    pub records: Records,
}

impl<C: Client> Workflows for Recorded<C> {
    fn run<'a>(&'a self, session: &'a str, case: &'a Case) -> BoxFuture<'a, Result<Vec<Times>>> {
        let calls = async move {
            let mut times = Vec::with_capacity(AGENTS.len());
            for agent in 0..AGENTS.len() {
                times.push(self.client.call(agent, case).await?);
            }
            Ok(times)
        };
        Box::pin(async move {
            match &self.records {
                Records::Nowhere => calls.await,
                Records::Map(table) => {
                    table.start(session);
                    let result = SESSION.scope(session.to_owned(), calls).await;
                    table.finish(session, &result);
                    result
                }
                Records::Store(tracker, _) => tracker.workflow(session).run(calls).await,
            }
        })
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            match &self.records {
                Records::Nowhere | Records::Map(_) => {}
                Records::Store(tracker, _) => tracker.flush().await?,
            }
            Ok(())
        })
    }

    fn tokens(&self, session: &str) -> Option<[u64; 3]> {
        match &self.records {
            Records::Nowhere => None,
            Records::Map(table) => table.tokens(session),
            Records::Store(_, Store::Memory(store)) => {
                let status = store.status(session)?;
                let usage = status.total_token_usage();
                let counts = [usage.input_tokens, usage.output_tokens, usage.total_tokens];
                status.overall_status.is_finished().then(|| counts.map(Option::unwrap_or_default))
            }
            Records::Store(_, Store::Slow(store)) => store.tokens(session),
        }
    }
}
