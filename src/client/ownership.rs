//! The mark by which nested layers of one tracker know that the outermost owns the call.
//!
//! A layer that has started a call leaves a mark on the request, which goes wherever the request
//! goes: through a buffer or a spawned task, to a redirect's next hop, into a retry. Whatever the
//! thread or the scope could tell instead is cheaper and not the same: a task that was given the
//! scope is on another thread, and a request that is seen inside of a call may be another one,
//! which an agent in this process sends.
//!
//! Layers of several trackers may be nested in any order, so each tracker has a mark of its own.
//! Those of the first few trackers of a process are types that hold nothing, for which nothing is
//! allocated but the place for extensions, if the request has no others. All further trackers,
//! which hardly any process has, share one type that holds their numbers, and is allocated.

#[cfg(feature = "reqwest")]
use http::Extensions;

use super::request::OutgoingRequest;

/// The mark of the tracker of that number.
#[derive(Clone)]
struct Mark<const TRACKER: u64>;

/// The mark of a further tracker, and those of others around it.
#[derive(Clone)]
struct Further {
    tracker: u64,
    around: Option<Box<Self>>,
}

impl Further {
    /// The trackers whose marks these are.
    fn trackers(marks: Option<&Self>) -> impl Iterator<Item = u64> {
        std::iter::successors(marks, |mark| mark.around.as_deref()).map(|mark| mark.tracker)
    }
}

/// Whether a layer of this tracker has marked the request.
pub(super) fn is_owned(request: &impl OutgoingRequest, tracker: u64) -> bool {
    match tracker {
        1 => request.extension::<Mark<1>>().is_some(),
        2 => request.extension::<Mark<2>>().is_some(),
        3 => request.extension::<Mark<3>>().is_some(),
        _ => Further::trackers(request.extension()).any(|marked| marked == tracker),
    }
}

/// Marks the request as that of a call that a layer of this tracker has started.
pub(super) fn own(request: &mut impl OutgoingRequest, tracker: u64) {
    match tracker {
        1 => request.insert_extension(Mark::<1>),
        2 => request.insert_extension(Mark::<2>),
        3 => request.insert_extension(Mark::<3>),
        _ => {
            let around = request.extension().cloned().map(Box::new);
            request.insert_extension(Further { tracker, around });
        }
    }
}

/// Takes the mark of this tracker off again.
#[cfg(feature = "reqwest")]
pub(super) fn release(extensions: &mut Extensions, tracker: u64) {
    match tracker {
        1 => drop(extensions.remove::<Mark<1>>()),
        2 => drop(extensions.remove::<Mark<2>>()),
        3 => drop(extensions.remove::<Mark<3>>()),
        _ => {
            let Some(marks) = extensions.remove::<Further>() else { return };
            // The outermost comes last: each further one is put around those before it.
            let others: Vec<_> =
                Further::trackers(Some(&marks)).filter(|&marked| marked != tracker).collect();
            let around = others.into_iter().rev().fold(None, |around, tracker| {
                Some(Further { tracker, around: around.map(Box::new) })
            });
            if let Some(marks) = around {
                extensions.insert(marks);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tracker_has_a_mark_of_its_own() {
        let mut request = http::Request::new(());
        for tracker in 1..=6 {
            assert!(!is_owned(&request, tracker), "{tracker}");
            own(&mut request, tracker);
            let owned = (1..=7).map(|other| is_owned(&request, other));
            assert!(owned.eq((1..=7).map(|other| other <= tracker)), "{tracker}");
        }
    }

    #[cfg(feature = "reqwest")]
    #[test]
    fn taken_off_is_the_mark_of_that_tracker_alone() {
        let mut request = http::Request::new(());
        (1..=6).for_each(|tracker| own(&mut request, tracker));
        for tracker in 1..=6 {
            release(request.extensions_mut(), tracker);
            let owned = (1..=6).map(|other| is_owned(&request, other));
            assert!(owned.eq((1..=6).map(|other| other > tracker)), "{tracker}");
        }
    }
}
