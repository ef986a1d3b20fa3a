//! Serves the portal next to the orchestrator.

use std::io;
use std::net::SocketAddr;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::BoxError;
use tower_agent_status::portal::Portal;
use tower_agent_status::store::StatusReader;

use super::tracking;

/// A portal that runs until [`stop`](Self::stop).
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) url: String,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
}

impl Page {
    pub(crate) async fn serve(
        store: impl StatusReader,
        address: SocketAddr,
    ) -> Result<Self, BoxError> {
        let (stop, stopped) = oneshot::channel::<()>();
        let portal = Portal::new(store).agents(tracking::agents());
        let server =
            portal.with_graceful_shutdown(async { drop(stopped.await) }).bind(address).await?;
        Ok(Self { url: server.url(), stop, serving: tokio::spawn(server.serve()) })
    }

    pub(crate) async fn stop(self) -> Result<(), BoxError> {
        drop(self.stop);
        Ok(self.serving.await??)
    }
}
