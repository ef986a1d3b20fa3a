//! The hand-off: how a change on the request path reaches the recorder.
//!
//! ```text
//!   request path                                      recorder
//!   change(entry):                                    loop:
//!     lock the entry                                    take(): swap the lists for empty ones
//!     change its content                                for each entry: propose a write,
//!     if it must be saved and is not queued:              save it, acknowledge it
//!       lock the lists, push the entry                  poll_changed(): nothing new? leave a
//!       no timer: take the waker                          waker under the lock of the lists, and
//!     unlock both, wake                                   say whether a timer is set
//! ```
//!
//! **Invariant.** An entry with unsaved changes is in exactly one place: on a list, or in the
//! recorder's hands. `queued` says so, and is read and written under the entry's own lock, the
//! one under which its content changes. A change of a queued entry leaves it where it is: the
//! recorder looks at the newest content when it proposes a write, and again when that write is
//! acknowledged. So no change is lost, and none waits for a second one to be seen.
//!
//! **No lost wake-up.** The recorder looks for news and leaves its waker under the lock of the
//! lists, under which the request path pushes and takes that waker. A command is pushed under
//! the same lock, so it comes with everything that was marked before it.
//!
//! **Timer.** While the recorder has a timer that fires before an entry pushed now is due, such a
//! push does not wake it: it takes the lists when the timer fires. Each entry comes with the time
//! of its push, from which its delay counts. Token usage and commands wake it in any case.
//!
//! **No recorder.** A recorder that is stopped before its end, because its runtime has ended, puts
//! everything in its hands back on the list `dirty`, so the invariant holds without one. Anyone who
//! changes an entry then learns that there is no recorder, and starts another, which takes the lists.
//!
//! **Cost.** A change takes the entry's lock, which only calls of the same session share, and the
//! lock of the lists only if the entry was not queued yet: for a push and, at most, one wake-up.
//! Under load there is a timer most of the time, which matters more than the wake-up itself: on a
//! runtime with several threads, another one would run the recorder, and often the call's task next.
//! The lists are swapped, not copied, so that they allocate nothing once they are large enough.
//!
//! Locks are always taken in the order entry, lists. This file uses nothing of the crate but
//! `sync`: the package in `tests/handoff` gives it to a model checker, which runs it in every
//! order of its threads.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use super::sync::{AtomicU8, Mutex, MutexGuard, Ordering};

/// What an entry holds.
pub(crate) trait Content {
    /// Whether it has unsaved changes.
    fn is_dirty(&self) -> bool;
}

/// What a change means for the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// There is nothing to save.
    Nothing,
    /// Only token usage has changed, which is worth a write of its own now and then only.
    Usage,
    /// It must be saved.
    Dirty,
}

/// Whether a recorder takes what is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecorderState {
    /// It does.
    Running,
    /// There is none: it was stopped before its end. Another one can go on.
    Stopped,
    /// There will be none: it has ended.
    Ended,
}

/// Something that the request path changes and the recorder saves.
pub(crate) struct Entry<I, C> {
    pub(crate) id: I,
    state: Mutex<EntryState<C>>,
}

/// What is under the lock of an entry.
pub(crate) struct EntryState<C> {
    content: C,
    /// The entry is on the list `dirty`, or in the recorder's hands.
    queued: bool,
    /// The entry is on the list `usage`.
    has_usage: bool,
}

impl<C> EntryState<C> {
    /// Whether the entry is on its way to be saved.
    pub(crate) fn is_queued(&self) -> bool {
        self.queued
    }
}

impl<C> Deref for EntryState<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.content
    }
}

impl<C> DerefMut for EntryState<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.content
    }
}

impl<I, C: Content> Entry<I, C> {
    pub(crate) fn new(id: I, content: C) -> Self {
        let state = EntryState { content, queued: false, has_usage: false };
        Self { id, state: Mutex::new(state) }
    }

    /// Locks the entry, to read it or to change what is not saved.
    pub(crate) fn lock(&self) -> MutexGuard<'_, EntryState<C>> {
        // A poisoned lock is fine: the methods of a content do not panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the recorder: proposes a write of an entry in its hands. If there is nothing to
    /// write, the entry leaves its hands.
    pub(crate) fn take<P>(&self, propose: impl FnOnce(&mut C) -> Option<P>) -> Option<P> {
        let mut state = self.lock();
        let proposal = propose(&mut state.content);
        // From here on, a change puts the entry on the list again.
        state.queued = proposal.is_some();
        proposal
    }

    /// For the recorder: notes how a write has ended. Returns whether the entry must be saved
    /// again; if not, it leaves the recorder's hands.
    pub(crate) fn acknowledge(&self, note: impl FnOnce(&mut C)) -> bool {
        let mut state = self.lock();
        note(&mut state.content);
        state.queued = state.content.is_dirty();
        state.queued
    }

    /// Takes an entry off the list `usage`. Returns whether that puts it into the recorder's
    /// hands: it may be there already, or have been saved meanwhile.
    fn claim(&self) -> bool {
        let mut state = self.lock();
        state.has_usage = false;
        let is_new = !state.queued && state.content.is_dirty();
        state.queued |= is_new;
        is_new
    }
}

/// The lists that the request path fills and the recorder empties.
pub(crate) struct Handoff<I, C, O, T> {
    lists: Mutex<Lists<I, C, O, T>>,
    /// A [`RecorderState`], written under the lock of the lists only.
    recorder: AtomicU8,
}

struct Lists<I, C, O, T> {
    /// With the time of each push.
    dirty: Vec<(Arc<Entry<I, C>>, T)>,
    usage: Vec<Arc<Entry<I, C>>>,
    commands: Vec<O>,
    /// The recorder is to take what was pushed, without waiting for its timer.
    has_changed: bool,
    /// The recorder has a timer that is early enough for an entry that must be saved.
    has_timer: bool,
    /// Wakes the recorder while it waits.
    waker: Option<Waker>,
}

/// What the recorder has taken. It drains the lists and gives them back with its next
/// [`take`](Handoff::take), so that the request path need not allocate.
pub(crate) struct Batch<I, C, O, T> {
    /// Entries that must be saved, each with the time of its push.
    pub(crate) dirty: Vec<(Arc<Entry<I, C>>, T)>,
    /// Entries to save for their token usage alone.
    pub(crate) usage: Vec<Arc<Entry<I, C>>>,
    pub(crate) commands: Vec<O>,
    /// Some entries with new token usage were left on their list.
    pub(crate) usage_is_waiting: bool,
}

impl<I, C, O, T> Default for Batch<I, C, O, T> {
    fn default() -> Self {
        Self { dirty: Vec::new(), usage: Vec::new(), commands: Vec::new(), usage_is_waiting: false }
    }
}

impl<I, C, O, T> Lists<I, C, O, T> {
    /// Notes that something was pushed. Returns the waker, to be woken once nothing is locked.
    #[must_use]
    fn notify(&mut self) -> Option<Waker> {
        self.has_changed = true;
        self.waker.take()
    }
}

impl<I, C: Content, O, T> Handoff<I, C, O, T> {
    pub(crate) fn new() -> Self {
        let lists = Lists {
            dirty: Vec::new(),
            usage: Vec::new(),
            commands: Vec::new(),
            has_changed: false,
            has_timer: false,
            waker: None,
        };
        Self { lists: Mutex::new(lists), recorder: AtomicU8::new(RecorderState::Running as u8) }
    }

    fn lock(&self) -> MutexGuard<'_, Lists<I, C, O, T>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes an entry, and queues it if the change must be saved. Returns whether the recorder that
    /// is to save it is running. If not, [`recorder`](Self::recorder) says what has become of it.
    #[inline]
    pub(crate) fn change(
        &self,
        entry: &Arc<Entry<I, C>>,
        now: impl FnOnce() -> T,
        change: impl FnOnce(&mut C) -> Mark,
    ) -> bool {
        let mut state = entry.lock();
        let mark = change(&mut state.content);
        let is_new = match mark {
            Mark::Nothing => return true,
            Mark::Usage => !state.queued && !std::mem::replace(&mut state.has_usage, true),
            Mark::Dirty => !std::mem::replace(&mut state.queued, true),
        };
        if !is_new {
            // Under the lock of the entry, so that a recorder that ends later sees the change.
            return self.is_running();
        }
        let pushed_at = (mark == Mark::Dirty).then(now);
        let mut lists = self.lock();
        let waker = if let Some(pushed_at) = pushed_at {
            lists.dirty.push((Arc::clone(entry), pushed_at));
            if lists.has_timer { None } else { lists.notify() }
        } else {
            lists.usage.push(Arc::clone(entry));
            lists.notify()
        };
        let is_running = self.is_running();
        drop(lists);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        is_running
    }

    /// Sends the recorder a command. Without a recorder it is dropped, and with it the sender of
    /// its reply.
    pub(crate) fn send(&self, command: O) {
        let mut lists = self.lock();
        if !self.is_running() {
            return;
        }
        lists.commands.push(command);
        let waker = lists.notify();
        drop(lists);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// For the recorder: waits until something was pushed since it last [took](Self::take). With a
    /// timer, it takes again when that has fired, and is not woken for entries that must be saved.
    pub(crate) fn poll_changed(&self, cx: &Context<'_>, has_timer: bool) -> Poll<()> {
        let mut lists = self.lock();
        if lists.has_changed {
            return Poll::Ready(());
        }
        lists.has_timer = has_timer;
        if !lists.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            lists.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// For the recorder: takes what was pushed. Entries that only have new token usage are taken
    /// if they are due, or if there is a command.
    pub(crate) fn take(&self, taken: &mut Batch<I, C, O, T>, usage_is_due: bool) {
        let mut lists = self.lock();
        lists.has_changed = false;
        lists.has_timer = false;
        std::mem::swap(&mut lists.dirty, &mut taken.dirty);
        std::mem::swap(&mut lists.commands, &mut taken.commands);
        if usage_is_due || !taken.commands.is_empty() {
            std::mem::swap(&mut lists.usage, &mut taken.usage);
        }
        taken.usage_is_waiting = !lists.usage.is_empty();
        drop(lists);
        taken.usage.retain(|entry| entry.claim());
    }

    /// For the recorder: it has ended and takes nothing any more.
    pub(crate) fn close(&self) {
        self.leave(RecorderState::Ended, std::iter::empty());
    }

    /// For the recorder: it was stopped before its end, with these entries in its hands. If it has
    /// ended already, this changes nothing.
    pub(crate) fn stop(&self, in_hand: impl IntoIterator<Item = (Arc<Entry<I, C>>, T)>) {
        if !self.has_ended() {
            self.leave(RecorderState::Stopped, in_hand);
        }
    }

    fn leave(
        &self,
        state: RecorderState,
        in_hand: impl IntoIterator<Item = (Arc<Entry<I, C>>, T)>,
    ) {
        let mut lists = self.lock();
        self.recorder.store(state as u8, Ordering::Release);
        lists.dirty.extend(in_hand);
        let commands = std::mem::take(&mut lists.commands);
        lists.has_timer = false;
        let waker = lists.waker.take();
        drop(lists);
        drop((commands, waker));
    }

    /// For the recorder: lets go of an entry that is not acknowledged as saved.
    pub(crate) fn put_back(&self, entry: Arc<Entry<I, C>>, now: T) {
        self.lock().dirty.push((entry, now));
    }

    /// Calls `start` if the recorder was stopped, so that another goes on. Of several threads that
    /// do this at once, one calls it. Returns whether there is a recorder then: one that starts may
    /// be stopped at once.
    pub(crate) fn restart(&self, start: impl FnOnce()) -> RecorderState {
        if self.claim_stopped() {
            start();
        }
        self.recorder()
    }

    /// Claims the place of a recorder that was stopped.
    fn claim_stopped(&self) -> bool {
        let _lists = self.lock();
        let is_stopped = self.recorder() == RecorderState::Stopped;
        if is_stopped {
            self.recorder.store(RecorderState::Running as u8, Ordering::Release);
        }
        is_stopped
    }

    fn is_running(&self) -> bool {
        self.recorder.load(Ordering::Acquire) == RecorderState::Running as u8
    }

    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.recorder.load(Ordering::Acquire) == RecorderState::Ended as u8
    }

    pub(crate) fn recorder(&self) -> RecorderState {
        const RUNNING: u8 = RecorderState::Running as u8;
        const STOPPED: u8 = RecorderState::Stopped as u8;
        match self.recorder.load(Ordering::Acquire) {
            RUNNING => RecorderState::Running,
            STOPPED => RecorderState::Stopped,
            _ => RecorderState::Ended,
        }
    }
}
