//! Searches in a text. The tests count the bytes that they read.
//!
//! Redaction runs on the caller's thread, over a text that others wrote. All its searches are
//! here, so that a test can show that together they read each byte a few times at most.

/// Returns where the first of these characters is.
#[inline]
pub(super) fn find(text: &str, is_wanted: impl Fn(char) -> bool) -> Option<usize> {
    let found = text.find(is_wanted);
    count(found.map_or(text.len(), |at| at + 1));
    found
}

/// Returns where this is found first.
#[inline]
pub(super) fn find_str(text: &str, wanted: &str) -> Option<usize> {
    let found = text.find(wanted);
    count(found.map_or(text.len(), |at| at + wanted.len()));
    found
}

/// Returns where this is found last.
#[inline]
pub(super) fn rfind_str(text: &str, wanted: &str) -> Option<usize> {
    let found = text.rfind(wanted);
    count(text.len() - found.unwrap_or(0));
    found
}

/// Splits off the characters at the end that are of this kind.
#[inline]
pub(super) fn split_end(text: &str, is_kind: impl Fn(char) -> bool) -> (&str, &str) {
    let kept = text.trim_end_matches(is_kind);
    count(text.len() - kept.len() + 1);
    text.split_at(kept.len())
}

#[cfg(not(test))]
#[inline]
fn count(_bytes: usize) {}

#[cfg(test)]
use tests::count;

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    thread_local! {
        static READ: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count(bytes: usize) {
        READ.set(READ.get() + bytes);
    }

    /// Returns how many bytes the searches of this function read.
    pub(in crate::status::redact) fn bytes_read(run: impl FnOnce()) -> usize {
        let before = READ.get();
        run();
        READ.get() - before
    }
}
