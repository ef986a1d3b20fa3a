//! What a test does with a client, whatever its types are.

use std::time::Duration;

use futures_util::stream::BoxStream;
use tower::BoxError;
use tower_agent_status::StatusTracker;

/// The pieces of a streamed answer, as they arrive.
pub type Pieces = BoxStream<'static, Result<String, BoxError>>;

/// A client of the agent.
pub trait Client {
    /// Asks for an answer, and returns it.
    fn ask(&self) -> impl Future<Output = Result<String, BoxError>>;

    /// Asks for a stream.
    fn stream(&self) -> impl Future<Output = Result<Pieces, BoxError>>;
}

/// A way to put the layer into a client.
pub trait Recipe {
    /// How many calls there are if none is answered in time: more than one if the client's retries
    /// cover that.
    const CALLS_UNTIL_TIMEOUT: u64 = 1;

    /// Creates a client for the agent at a URL. It retries after the status 429.
    fn client(
        tracker: &StatusTracker,
        url: &str,
        timeout: Duration,
    ) -> impl Future<Output = impl Client>;
}
