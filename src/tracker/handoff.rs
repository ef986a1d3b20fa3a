//! The hand-off: how what the request path changes gets to the recorder.
//!
//! An entry is changed under its own lock, and under that same lock put on a list if it
//! has to be saved. From then on it is the recorder's, who takes the list, and stays so
//! until it is saved as it is: whatever changes it meanwhile finds it marked and only
//! changes it. So an entry is in one place, and no change is without somebody to save it.
//!
//! All lists are under one lock. An command comes with everything that was marked before it,
//! and a recorder that finds nothing leaves its waker under that lock, so that no call
//! falls between looking and sleeping.
//!
//! This file knows nothing of the crate but `sync`: the package in `tests/handoff` gives it
//! to a model checker, which runs it in every command of its threads.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use super::sync::{AtomicBool, Mutex, MutexGuard, Ordering};

/// What an entry holds.
pub(crate) trait Content {
    /// Whether some of it is not saved.
    fn is_dirty(&self) -> bool;
}

/// What a change means to the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// There is nothing new to save.
    Nothing,
    /// There are new figures, which alone are worth a write now and then only.
    Figures,
    /// It has to be saved.
    Dirty,
}

/// One of the things that are changed and saved.
pub(crate) struct Entry<I, C> {
    pub(crate) id: I,
    state: Mutex<State<C>>,
}

/// What is under the lock of an entry.
pub(crate) struct State<C> {
    content: C,
    /// The entry is on the list of the dirty ones or in the recorder's hands.
    queued: bool,
    /// The entry is on the list of those with new figures.
    has_figures: bool,
}

impl<C> State<C> {
    /// Whether the recorder is to save the entry.
    pub(crate) fn is_queued(&self) -> bool {
        self.queued
    }
}

impl<C> Deref for State<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.content
    }
}

impl<C> DerefMut for State<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.content
    }
}

impl<I, C: Content> Entry<I, C> {
    pub(crate) fn new(id: I, content: C) -> Self {
        let state = State { content, queued: false, has_figures: false };
        Self { id, state: Mutex::new(state) }
    }

    /// The entry, to look at, or to change in a way that is not saved.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<C>> {
        // Contents are never left half-changed: their methods do not panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the recorder: what of an entry in its hands is to be saved. If that is nothing,
    /// the entry is no longer its own.
    pub(crate) fn take<P>(&self, propose: impl FnOnce(&mut C) -> Option<P>) -> Option<P> {
        let mut state = self.lock();
        let proposal = propose(&mut state.content);
        // Whoever changes it now puts it on the list again.
        state.queued = proposal.is_some();
        proposal
    }

    /// For the recorder: what was taken has been saved, or has not. Whether the entry is
    /// to be saved again; if not, it is no longer its own.
    pub(crate) fn acknowledge(&self, note: impl FnOnce(&mut C)) -> bool {
        let mut state = self.lock();
        note(&mut state.content);
        state.queued = state.content.is_dirty();
        state.queued
    }

    /// Takes an entry off the list of those with new figures; whether it has come into the
    /// recorder's hands by that.
    fn claim(&self) -> bool {
        let mut state = self.lock();
        state.has_figures = false;
        let is_new = !state.queued && state.content.is_dirty();
        state.queued |= is_new;
        is_new
    }
}

/// Where the request path leaves what the recorder takes.
pub(crate) struct Handoff<I, C, O> {
    lists: Mutex<Lists<I, C, O>>,
    /// Changed under the lock of the lists only.
    closed: AtomicBool,
}

struct Lists<I, C, O> {
    dirty: Vec<Arc<Entry<I, C>>>,
    figures: Vec<Arc<Entry<I, C>>>,
    commands: Vec<O>,
    /// Something has come since the recorder last took.
    news: bool,
    /// Wakes the recorder; there while it waits.
    waker: Option<Waker>,
}

/// What the recorder has taken. It empties the lists, and gives them back with its next
/// [`take`](Handoff::take), so that the request path finds room in them.
pub(crate) struct Batch<I, C, O> {
    /// Entries that have to be saved.
    pub(crate) dirty: Vec<Arc<Entry<I, C>>>,
    /// Entries that have new figures and are to be saved for these alone.
    pub(crate) figures: Vec<Arc<Entry<I, C>>>,
    pub(crate) commands: Vec<O>,
    /// Some entries with new figures were left where they are.
    pub(crate) figures_wait: bool,
}

impl<I, C, O> Default for Batch<I, C, O> {
    fn default() -> Self {
        Self { dirty: Vec::new(), figures: Vec::new(), commands: Vec::new(), figures_wait: false }
    }
}

impl<I, C, O> Lists<I, C, O> {
    /// Says that something has come. Whom to wake, once nothing is locked any more.
    #[must_use]
    fn ring(&mut self) -> Option<Waker> {
        self.news = true;
        self.waker.take()
    }
}

impl<I, C: Content, O> Handoff<I, C, O> {
    pub(crate) fn new() -> Self {
        let lists = Lists {
            dirty: Vec::new(),
            figures: Vec::new(),
            commands: Vec::new(),
            news: false,
            waker: None,
        };
        Self { lists: Mutex::new(lists), closed: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, Lists<I, C, O>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes an entry, and has it saved if the change says so. `false` if it was to be
    /// saved, and nobody will, since the recorder has ended.
    #[inline]
    pub(crate) fn change(
        &self,
        entry: &Arc<Entry<I, C>>,
        change: impl FnOnce(&mut C) -> Mark,
    ) -> bool {
        let mut state = entry.lock();
        let mark = change(&mut state.content);
        let is_new = match mark {
            Mark::Nothing => false,
            Mark::Figures => !state.queued && !std::mem::replace(&mut state.has_figures, true),
            Mark::Dirty => !std::mem::replace(&mut state.queued, true),
        };
        if !is_new {
            return true;
        }
        let mut lists = self.lock();
        let list = if mark == Mark::Dirty { &mut lists.dirty } else { &mut lists.figures };
        list.push(Arc::clone(entry));
        let waker = lists.ring();
        let is_open = !self.is_closed();
        drop(lists);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        is_open
    }

    /// Asks the recorder for something. An command that nobody will take is dropped, which
    /// tells who waits for its answer.
    pub(crate) fn send(&self, command: O) {
        let mut lists = self.lock();
        if self.is_closed() {
            return;
        }
        lists.commands.push(command);
        let waker = lists.ring();
        drop(lists);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// For the recorder: waits until something has come since it last [took](Self::take).
    pub(crate) fn poll_news(&self, cx: &Context<'_>) -> Poll<()> {
        let mut lists = self.lock();
        if lists.news {
            return Poll::Ready(());
        }
        if !lists.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            lists.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// For the recorder: takes what has come. Entries that have new figures and nothing else
    /// are taken if they are due, or if anything was ordered.
    pub(crate) fn take(&self, taken: &mut Batch<I, C, O>, figures_are_due: bool) {
        let mut lists = self.lock();
        lists.news = false;
        std::mem::swap(&mut lists.dirty, &mut taken.dirty);
        std::mem::swap(&mut lists.commands, &mut taken.commands);
        if figures_are_due || !taken.commands.is_empty() {
            std::mem::swap(&mut lists.figures, &mut taken.figures);
        }
        taken.figures_wait = !lists.figures.is_empty();
        drop(lists);
        taken.figures.retain(|entry| entry.claim());
    }

    /// For the recorder: it has ended, and takes nothing any more.
    pub(crate) fn close(&self) {
        let mut lists = self.lock();
        self.closed.store(true, Ordering::Release);
        let commands = std::mem::take(&mut lists.commands);
        drop(lists);
        drop(commands);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}
