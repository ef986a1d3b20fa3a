//! The ways that a call can end, in the client of each recipe.

use std::time::Duration;

use clients::{ANSWER, Agent, Client as _, Recipe, Reply, Tracking, recipes};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tower::BoxError;

/// Longer than any call that is answered takes.
const LONG: Duration = Duration::from_secs(60);
/// Shorter than a call that is never answered.
const SHORT: Duration = Duration::from_millis(20);

async fn asks<R: Recipe>() {
    let (agent, tracking) = (Agent::start([Reply::Answer]).await, Tracking::start());
    let client = R::client(&tracking.tracker, agent.url(), LONG).await;
    let answer = tracking.scope(client.ask()).await.unwrap();
    assert!(answer.contains(ANSWER), "{answer}");
    tracking.assert_success(1).await;
}

async fn streams<R: Recipe>() {
    let (agent, tracking) = (Agent::start([Reply::Answer]).await, Tracking::start());
    let client = R::client(&tracking.tracker, agent.url(), LONG).await;
    let answer = async { client.stream().await?.try_collect::<String>().await };
    let answer = tracking.scope(answer).await.unwrap();
    assert!(answer.contains("It says") && answer.contains(": buy."), "{answer}");
    tracking.assert_success(1).await;
}

async fn retries<R: Recipe>() {
    let replies = [Reply::TooManyRequests, Reply::Answer];
    let (agent, tracking) = (Agent::start(replies).await, Tracking::start());
    let client = R::client(&tracking.tracker, agent.url(), LONG).await;
    let answer = tracking.scope(client.ask()).await.unwrap();
    assert!(answer.contains(ANSWER), "{answer}");
    tracking.assert_success(2).await;
    tracking.assert_attempts(&[Some("http_429"), None]).await;
}

async fn is_dropped_early<R: Recipe>() {
    let (agent, tracking) = (Agent::start([Reply::Unfinished]).await, Tracking::start());
    let client = R::client(&tracking.tracker, agent.url(), LONG).await;
    let first = async {
        let mut pieces = client.stream().await?;
        pieces.next().await.unwrap()?;
        tracking.started().await;
        // The rest, which never comes, is dropped.
        Ok::<_, BoxError>(())
    };
    tracking.scope(first).await.unwrap();
    tracking.assert_error(1, "cancelled").await;
}

async fn times_out<R: Recipe>() {
    let (agent, tracking) = (Agent::start([Reply::Silence]).await, Tracking::start());
    let client = R::client(&tracking.tracker, agent.url(), SHORT).await;
    tracking.scope(client.ask()).await.unwrap_err();
    tracking.assert_error(R::CALLS_UNTIL_TIMEOUT, "timeout").await;
}

macro_rules! recipes {
    ($($recipe:ident: $($call:ident)*;)*) => {$(
        #[allow(non_snake_case, reason = "the names of the recipes")]
        mod $recipe {
            $(
                #[tokio::test]
                async fn $call() {
                    super::$call::<super::recipes::$recipe>().await;
                }
            )*
        }
    )*};
}

recipes! {
    AsyncOpenAi: asks streams retries is_dropped_early times_out;
    Axum: asks streams retries is_dropped_early times_out;
    AzureCore: asks streams retries is_dropped_early times_out;
    Hyper: asks streams retries is_dropped_early times_out;
    HyperUtil: asks streams retries is_dropped_early times_out;
    Reqwest: asks streams retries is_dropped_early times_out;
    Reqwest012: asks streams retries is_dropped_early times_out;
    ReqwestMiddleware: asks streams retries is_dropped_early times_out;
    Rig: asks streams retries is_dropped_early times_out;
}

/// rig sends the request when a stream is polled for the first time.
#[tokio::test]
async fn a_stream_of_rig_belongs_to_the_scope_that_polls_it() {
    let (agent, tracking) = (Agent::start([Reply::Answer]).await, Tracking::start());
    let client = recipes::Rig::client(&tracking.tracker, agent.url(), LONG).await;
    let pieces = tracking.scope(client.stream()).await.unwrap();
    pieces.try_collect::<String>().await.unwrap();
    tracking.tracker.flush().await.unwrap();
    assert!(tracking.store.history().is_empty());
}

/// async-openai retries what failed to connect, if it receives the error of reqwest as such.
#[tokio::test(start_paused = true)]
async fn async_openai_retries_an_agent_that_cannot_be_reached() {
    let tracking = Tracking::start();
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}/v1");
    let client = recipes::AsyncOpenAi::client(&tracking.tracker, &url, LONG).await;
    tracking.scope(client.ask()).await.unwrap_err();
    tracking.assert_error(4, "transport").await;
}
