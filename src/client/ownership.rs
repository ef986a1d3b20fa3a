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

use http::Extensions;

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

/// What has extensions, by which it can be marked.
pub(crate) trait CarriesOwner {
    fn get<T: Send + Sync + 'static>(&self) -> Option<&T>;
    fn put<T: Clone + Send + Sync + 'static>(&mut self, extension: T);

    /// Whether a layer of this tracker has marked it.
    fn is_marked(&self, tracker: u64) -> bool {
        match tracker {
            1 => self.get::<Mark<1>>().is_some(),
            2 => self.get::<Mark<2>>().is_some(),
            3 => self.get::<Mark<3>>().is_some(),
            _ => Further::trackers(self.get()).any(|marked| marked == tracker),
        }
    }

    /// Marks it as that of a call that a layer of this tracker has started.
    fn mark(&mut self, tracker: u64) {
        match tracker {
            1 => self.put(Mark::<1>),
            2 => self.put(Mark::<2>),
            3 => self.put(Mark::<3>),
            _ => {
                let around = self.get().cloned().map(Box::new);
                self.put(Further { tracker, around });
            }
        }
    }
}

impl CarriesOwner for Extensions {
    fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.get()
    }

    fn put<T: Clone + Send + Sync + 'static>(&mut self, extension: T) {
        self.insert(extension);
    }
}

/// Takes the mark of this tracker off again.
#[cfg(feature = "reqwest")]
pub(super) fn unmark(extensions: &mut Extensions, tracker: u64) {
    match tracker {
        1 => drop(extensions.remove::<Mark<1>>()),
        2 => drop(extensions.remove::<Mark<2>>()),
        3 => drop(extensions.remove::<Mark<3>>()),
        _ => {
            let marks = extensions.remove();
            let others = Further::trackers(marks.as_ref()).filter(|&marked| marked != tracker);
            others.for_each(|other| extensions.mark(other));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tracker_has_a_mark_of_its_own() {
        let mut extensions = Extensions::new();
        for tracker in 1..=6 {
            assert!(!extensions.is_marked(tracker), "{tracker}");
            extensions.mark(tracker);
            let is_marked = (1..=7).map(|other| extensions.is_marked(other));
            assert!(is_marked.eq((1..=7).map(|other| other <= tracker)), "{tracker}");
        }
    }

    #[cfg(feature = "reqwest")]
    #[test]
    fn taken_off_is_the_mark_of_that_tracker_alone() {
        let mut extensions = Extensions::new();
        (1..=6).for_each(|tracker| extensions.mark(tracker));
        for tracker in 1..=6 {
            unmark(&mut extensions, tracker);
            let is_marked = (1..=6).map(|other| extensions.is_marked(other));
            assert!(is_marked.eq((1..=6).map(|other| other > tracker)), "{tracker}");
        }
    }
}
