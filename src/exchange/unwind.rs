//! Polling that may panic.

/// Polls what is observed. If that panics, `observed` is dropped at once and so ends as a
/// panic: whoever catches the panic may keep the future or body around, and dropping it later
/// would look as if the caller had given up.
#[inline]
pub(super) fn poll_guarded<T, P>(
    observed: &mut Option<T>,
    poll: impl FnOnce(Option<&T>) -> P,
) -> P {
    let guard = DropOnUnwind(observed);
    let polled = poll(guard.0.as_ref());
    std::mem::forget(guard);
    polled
}

/// Dropped by a panic only.
struct DropOnUnwind<'a, T>(&'a mut Option<T>);

impl<T> Drop for DropOnUnwind<'_, T> {
    fn drop(&mut self) {
        *self.0 = None;
    }
}
