//! [`Queue`]: requests that one thread executes, one after the other.
//!
//! The engine has one lock. With a thread for each request, all but one would wait for it, and each would
//! have to be woken. Here one thread goes on while there are requests: in a file, 1.4 times the workflows
//! per second.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

#[derive(Default)]
pub(super) struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Request>,
    /// Whether there is a [`Worker`], which will see what is added.
    has_worker: bool,
}

type Request = Box<dyn FnOnce() + Send>;

/// A request panicked, or was not executed, because the runtime has shut down.
#[derive(Debug, thiserror::Error)]
#[error("the embedded engine panicked, or the runtime has shut down")]
pub(super) struct Interrupted;

impl Queue {
    /// Executes a request on a thread that may block. It is executed even if this future is dropped.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        request: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Interrupted> {
        let (sender, receiver) = oneshot::channel();
        // Nobody may wait for the result any more.
        let request = move || drop(sender.send(request()));
        if let Some(worker) = self.add(Box::new(request)) {
            tokio::task::spawn_blocking(move || worker.work());
        }
        receiver.await.map_err(|_| Interrupted)
    }

    /// Returns a worker if the request needs one.
    fn add(self: &Arc<Self>, request: Request) -> Option<Worker> {
        let mut state = self.state();
        state.waiting.push_back(request);
        let had_worker = std::mem::replace(&mut state.has_worker, true);
        (!had_worker).then(|| Worker(Some(Arc::clone(self))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Executes the requests of its queue until there are none. Until then the queue has no other.
struct Worker(Option<Arc<Queue>>);

impl Worker {
    fn work(mut self) {
        while let Some(request) = self.next() {
            // The others are still to be executed.
            let _: Result<(), Box<dyn Any + Send>> = catch_unwind(AssertUnwindSafe(request));
        }
    }

    fn next(&mut self) -> Option<Request> {
        let queue = self.0.as_ref()?;
        let mut state = queue.state();
        let request = state.waiting.pop_front();
        if request.is_none() {
            // Under the same lock, since the next request needs another worker.
            state.has_worker = false;
            drop(state);
            self.0 = None;
        }
        request
    }
}

impl Drop for Worker {
    /// The runtime had shut down, and did not start it: nobody executes what waits.
    fn drop(&mut self) {
        let Some(queue) = self.0.take() else { return };
        let mut state = queue.state();
        state.has_worker = false;
        let interrupted = std::mem::take(&mut state.waiting);
        drop(state);
        // Wakes those who wait for them.
        drop(interrupted);
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn requests_are_executed_in_order_and_one_at_a_time() {
        let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let queue = Arc::new(Queue::default());
        let executed = Arc::new(Mutex::new(Vec::new()));
        runtime.block_on(async {
            for round in 0..50 {
                let requests = (0..20).map(|n| {
                    let executed = Arc::clone(&executed);
                    // Fails if another is being executed.
                    queue.run(move || executed.try_lock().unwrap().push((round, n)))
                });
                for result in futures_util::future::join_all(requests).await {
                    result.unwrap();
                }
            }
        });
        let expected: Vec<_> = (0..50).flat_map(|round| (0..20).map(move |n| (round, n))).collect();
        assert_eq!(*executed.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn a_request_that_panics_fails_alone() {
        let queue = Arc::new(Queue::default());
        let requests = [0, 1, 2].map(|n| queue.run(move || assert_ne!(n, 1, "as the test wants")));
        let ended = futures_util::future::join_all(requests).await;
        assert_eq!(ended.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn a_runtime_that_has_shut_down_interrupts_requests() {
        let queue = Arc::new(Queue::default());
        let runtime = Builder::new_multi_thread().build().unwrap();
        let gone = runtime.handle().clone();
        runtime.shutdown_background();
        let requests = [0, 1].map(|n| queue.run(move || n));
        let ended = gone.block_on(futures_util::future::join_all(requests));
        assert!(ended.iter().all(Result::is_err), "{ended:?}");

        let other = Builder::new_current_thread().build().unwrap();
        assert_eq!(other.block_on(queue.run(|| 7)).unwrap(), 7);
    }
}
