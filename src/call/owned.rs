//! [`Owned`]: of nested layers of one tracker the outermost owns the call. How those further in
//! know.
//!
//! A layer that has started a call leaves a mark on the request, which goes wherever the request
//! goes: through a buffer or a spawned task, to a redirect's next hop, into a retry. It costs three
//! allocations where the request has no other extensions, more than all else that is done for a
//! call. Whatever the thread or the scope could tell instead is cheaper and not the same: a task
//! that was given the scope is on another thread, and a request that is seen inside of a call may
//! be another one, which an agent in this process sends.

use http::Extensions;

/// Marks a request whose call a layer has started. Layers of several trackers may be nested
/// in any order.
#[derive(Clone)]
pub(crate) struct Owned {
    tracker: u64,
    around: Option<Box<Self>>,
}

impl Owned {
    /// Whether a layer of this tracker has marked the request.
    pub(super) fn is_on(extensions: &Extensions, tracker: u64) -> bool {
        let mark = extensions.get::<Self>();
        let mut marks = std::iter::successors(mark, |mark| mark.around.as_deref());
        marks.any(|mark| mark.tracker == tracker)
    }

    pub(super) fn put_on(extensions: &mut Extensions, tracker: u64) {
        let around = extensions.remove::<Self>().map(Box::new);
        extensions.insert(Self { tracker, around });
    }

    /// Takes the mark off that was put on last.
    #[cfg(feature = "reqwest")]
    pub(super) fn take_off(extensions: &mut Extensions) {
        if let Some(around) = extensions.remove::<Self>().and_then(|mark| mark.around) {
            extensions.insert(*around);
        }
    }
}
