//! The recorder's loop around the hand-off, without a clock or a failure of the store.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};

use loom::sync::Notify;

use crate::handoff::{Content, Entry, Handoff, Mark, Batch};
use crate::flush_waiters::Waiters;

/// A session: its state is a number that grows.
pub(crate) type Session = Entry<&'static str, Doc>;
pub(crate) type Tracker = Handoff<&'static str, Doc, Command>;

#[derive(Default)]
pub(crate) struct Doc {
    version: u64,
    /// What the recorder knows the table to hold.
    saved: u64,
}

impl Doc {
    fn is_saved(&mut self, version: u64) {
        assert!(version > self.saved, "an older state is written over a newer one");
        self.saved = version;
    }
}

impl Content for Doc {
    fn is_dirty(&self) -> bool {
        self.version != self.saved
    }
}

pub(crate) enum Command {
    Flush(Reply),
    End,
}

/// Where a flush is answered. Dropped, it says that there will be no answer.
#[derive(Clone)]
pub(crate) struct Answer {
    answered: Arc<Mutex<Option<Option<u64>>>>,
    notify: Arc<Notify>,
}

pub(crate) struct Reply(Answer);

impl Answer {
    pub(crate) fn new() -> (Reply, Self) {
        let answer = Self { answered: Arc::default(), notify: Arc::new(Notify::new()) };
        (Reply(answer.clone()), answer)
    }

    /// Up to which version the session was saved when the recorder answered; `None` if it
    /// ended instead.
    pub(crate) fn wait(&self) -> Option<u64> {
        loop {
            if let Some(answered) = *self.answered.lock().unwrap() {
                return answered;
            }
            // It may come back for nothing.
            self.notify.wait();
        }
    }

    fn set(&self, answered: Option<u64>) {
        self.answered.lock().unwrap().get_or_insert(answered);
        self.notify.notify();
    }
}

impl Reply {
    fn send(self, saved: u64) {
        self.0.set(Some(saved));
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.0.answered.lock().unwrap().is_none() {
            self.0.set(None);
        }
    }
}

pub(crate) fn session(id: &'static str) -> Arc<Session> {
    Arc::new(Entry::new(id, Doc::default()))
}

/// What the table holds of a session.
pub(crate) fn saved(session: &Arc<Session>) -> u64 {
    session.lock().saved
}

/// Changes a session: the version it has by that, and whether that will be saved.
pub(crate) fn change(tracker: &Tracker, session: &Arc<Session>, mark: Mark) -> (u64, bool) {
    let mut version = 0;
    let taken_on = tracker.change(session, |doc| {
        doc.version += 1;
        version = doc.version;
        mark
    });
    (version, taken_on)
}

/// Saves until it is told to end, or until `is_done`: the versions that the sessions have
/// then, to each its number in the table.
pub(crate) fn run(
    tracker: &Tracker,
    sessions: &[Arc<Session>],
    is_done: impl Fn() -> bool,
) -> Vec<u64> {
    let mut news = Batch::default();
    let mut waiters = Waiters::<Session, (), Reply>::new();
    let mut due: Vec<Arc<Session>> = Vec::new();
    let mut write: Option<(Arc<Session>, u64)> = None;
    let (mut ends, mut usage_is_due) = (false, false);
    loop {
        tracker.take(&mut news, usage_is_due);
        // The time of those that wait has come by the next turn.
        usage_is_due = news.usage_is_waiting;
        for session in news.dirty.drain(..).chain(news.usage.drain(..)) {
            let in_hand = due.iter().chain(write.iter().map(|(session, _)| session));
            let is_here = in_hand.into_iter().any(|known| Arc::ptr_eq(known, &session));
            assert!(!is_here, "the session is in the recorder's hands twice");
            due.push(session);
        }
        for command in news.commands.drain(..) {
            match command {
                Command::End => ends = true,
                Command::Flush(reply) => {
                    let queued = sessions.iter().filter_map(|session| {
                        let state = session.lock();
                        state.is_queued().then(|| (Arc::clone(session), state.version))
                    });
                    waiters.add(queued, reply);
                }
            }
        }
        // A write takes two turns, and what has come is taken up in between.
        let tried = if let Some((session, version)) = write.take() {
            let again = session.acknowledge(|doc| doc.is_saved(version));
            due.extend(again.then(|| Arc::clone(&session)));
            Some(session)
        } else if let Some(session) = due.pop() {
            match session.take(|doc| doc.is_dirty().then_some(doc.version)) {
                Some(version) => {
                    write = Some((session, version));
                    None
                }
                None => Some(session),
            }
        } else {
            None
        };
        if let Some(session) = tried {
            let epoch = waiters.epoch();
            waiters.tried(&session, session.lock().saved, None, epoch);
        }
        for (reply, _) in waiters.take_answered() {
            reply.send(saved(&sessions[0]));
        }
        if is_done() || ends && due.is_empty() && write.is_none() {
            break;
        }
        if due.is_empty() && write.is_none() && !usage_is_due {
            loom::future::block_on(poll_fn(|cx| tracker.poll_changed(cx)));
        }
    }
    tracker.close();
    sessions.iter().map(|session| session.lock().version).collect()
}
