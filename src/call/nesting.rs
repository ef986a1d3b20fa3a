//! Of nested layers of one tracker the outermost owns the call. How those further in know.
//!
//! A layer that has started a call can leave a mark on the request. It goes wherever the
//! request goes, through a buffer to another task or into a retry, and costs three
//! allocations where the request has no other extensions, which is more than all else that
//! is done for a call.
//!
//! Where only a scope names the session there is a cheaper way, since a scope is seen by
//! what is polled inside of the layer and by nothing else: the thread knows that it is
//! inside of a call. That does not tell whether a request seen there is the same one, or
//! another one that an agent in this process sends to a further agent. So from the first
//! time that this happens in a tracker all its requests are marked, which tells. That first
//! time it is told by where the path is in memory, which is the same for a request that is
//! handed on, and by what the address is: memory is used again, and the path of a URI that
//! has none is in the same place for all.

use std::cell::Cell;

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

thread_local! {
    static INSIDE: Cell<Inside> = const { Cell::new(Inside::NONE) };
}

/// Where a request goes, as far as it takes to know it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Where the path is in memory.
    path: usize,
    /// What host, port and path are.
    digests: [u64; 2],
}

impl Address {
    #[inline]
    pub(super) fn new(authority: &str, path: &str) -> Self {
        Self { path: path.as_ptr().addr(), digests: [digest(authority), digest(path)] }
    }
}

/// A number that is another one for nearly every other text.
#[inline]
fn digest(text: &str) -> u64 {
    let (words, rest) = text.as_bytes().as_chunks();
    let rest = rest.iter().fold(rest.len() as u64, |word, byte| word << 8 | u64::from(*byte));
    let words = words.iter().map(|word| u64::from_le_bytes(*word)).chain([rest]);
    words.fold(0, |digest: u64, word| {
        (digest ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    })
}

/// The call that is being polled, if its request is not marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inside {
    /// The number of the tracker, or 0.
    tracker: u64,
    address: Address,
}

impl Inside {
    pub(super) const NONE: Self =
        Self { tracker: 0, address: Address { path: 0, digests: [0; 2] } };

    pub(super) fn of(tracker: u64, address: Address) -> Self {
        Self { tracker, address }
    }

    /// What this thread is inside of.
    #[inline]
    pub(super) fn current() -> Self {
        INSIDE.try_with(Cell::get).unwrap_or(Self::NONE)
    }

    #[inline]
    pub(super) fn is_any(self) -> bool {
        self.tracker != 0
    }

    /// Whether the request that goes there is that of the call, which a layer of this tracker
    /// has started.
    pub(super) fn is_of(self, tracker: u64, address: Address) -> bool {
        self == Self::of(tracker, address)
    }

    /// This thread is inside of the call until the guard is dropped.
    #[inline]
    pub(super) fn enter(self) -> Entered {
        let before = Self::current();
        // Of a call whose request is marked the thread need not know.
        if self.is_any() {
            Self::set(self);
        }
        Entered { before }
    }

    #[inline]
    fn set(inside: Self) {
        // A thread that ends is inside of nothing.
        let _ = INSIDE.try_with(|cell| cell.set(inside));
    }
}

/// What the thread was inside of before.
pub(super) struct Entered {
    before: Inside,
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        Inside::set(self.before);
    }
}
