//! [`UpgradeSlot`]: what a connection becomes once it no longer speaks HTTP.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;

/// Takes the future that goes on with a connection after its last response, in the extensions of
/// each request to a proxy. The connection keeps its place while that runs, and the future is
/// dropped when the server shuts down.
#[derive(Clone, Default)]
pub(crate) struct UpgradeSlot(Arc<Mutex<Option<BoxFuture<'static, ()>>>>);

impl UpgradeSlot {
    #[cfg(feature = "forward")]
    pub(crate) fn set(&self, upgraded: impl Future<Output = ()> + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(upgraded));
    }

    pub(super) fn take(&self) -> Option<BoxFuture<'static, ()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
