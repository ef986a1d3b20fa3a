//! A minimal recorder loop around the hand-off, without a clock or store failures.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use loom::sync::Notify;

use crate::flush_waiters::Waiters;
use crate::handoff::{Batch, Content, Entry, Handoff, Mark, RecorderState};

/// A session whose state is just a version number.
pub(crate) type Session = Entry<&'static str, Doc>;
pub(crate) type Tracker = Handoff<&'static str, Doc, Command, ()>;

#[derive(Default)]
pub(crate) struct Doc {
    version: u64,
    /// The version that the recorder knows is in the table.
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
    /// Save everything, or what there is time for, then end.
    Shutdown {
        is_late: bool,
        reply: Reply,
    },
    End,
    /// The task of the recorder is dropped, wherever it is.
    Stop,
}

/// What the caller of a flush or a shutdown learns.
#[derive(Clone, Copy)]
pub(crate) struct Report {
    /// The version of the first session that is saved.
    pub(crate) saved: u64,
    /// How many sessions could not be saved.
    pub(crate) unsaved: usize,
}

impl Report {
    /// What is saved, and how many sessions are not.
    pub(crate) fn of(sessions: &[Arc<Session>]) -> Self {
        let unsaved = sessions.iter().filter(|session| session.lock().is_dirty()).count();
        Self { saved: saved(&sessions[0]), unsaved }
    }
}

/// The caller's end of a flush or a shutdown.
#[derive(Clone)]
pub(crate) struct Answer {
    answered: Arc<Mutex<Option<Option<Report>>>>,
    notify: Arc<Notify>,
}

/// The recorder's end of a flush or a shutdown. Dropping it without [`send`](Self::send) means that there
/// will be no answer.
pub(crate) struct Reply(Answer);

impl Answer {
    pub(crate) fn new() -> (Reply, Self) {
        let answer = Self { answered: Arc::default(), notify: Arc::new(Notify::new()) };
        (Reply(answer.clone()), answer)
    }

    /// Waits for the recorder's answer. Returns `None` if the recorder ended or was stopped instead.
    pub(crate) fn wait(&self) -> Option<Report> {
        loop {
            if let Some(answered) = *self.answered.lock().unwrap() {
                return answered;
            }
            // Wake-ups can be spurious, hence the loop.
            self.notify.wait();
        }
    }

    fn set(&self, answered: Option<Report>) {
        self.answered.lock().unwrap().get_or_insert(answered);
        self.notify.notify();
    }
}

impl Reply {
    fn send(self, report: Report) {
        self.0.set(Some(report));
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

/// The version of a session that is in the table.
pub(crate) fn saved(session: &Arc<Session>) -> u64 {
    session.lock().saved
}

/// Changes a session. Returns its new version, and what has become of the recorder that is to save it.
pub(crate) fn change(
    tracker: &Tracker,
    session: &Arc<Session>,
    mark: Mark,
) -> (u64, RecorderState) {
    let mut version = 0;
    let is_running = tracker.change(
        session,
        || (),
        |doc| {
            doc.version += 1;
            version = doc.version;
            mark
        },
    );
    let recorder = if is_running { RecorderState::Running } else { tracker.recorder() };
    (version, recorder)
}

/// Saves sessions until a command ends or stops it, or `is_done` returns true. Returns the version
/// that each session then has.
pub(crate) fn run(
    tracker: &Tracker,
    sessions: &[Arc<Session>],
    is_done: impl Fn() -> bool,
) -> Vec<u64> {
    let mut batch = Batch::default();
    let mut waiters = Waiters::<Session, (), Reply>::new();
    let mut due: Vec<Arc<Session>> = Vec::new();
    let mut write: Option<(Arc<Session>, u64)> = None;
    let mut shutdowns: Vec<Reply> = Vec::new();
    let (mut ends, mut is_late, mut stops, mut usage_is_due) = (false, false, false, false);
    loop {
        tracker.take(&mut batch, usage_is_due);
        // Usage that is waiting becomes due in the next iteration.
        usage_is_due = batch.usage_is_waiting;
        let dirty = batch.dirty.drain(..).map(|(session, ())| session);
        for session in dirty.chain(batch.usage.drain(..)) {
            let in_hand = due.iter().chain(write.iter().map(|(session, _)| session));
            let is_here = in_hand.into_iter().any(|known| Arc::ptr_eq(known, &session));
            assert!(!is_here, "the recorder holds the session twice");
            due.push(session);
        }
        for command in batch.commands.drain(..) {
            match command {
                Command::End => ends = true,
                Command::Shutdown { is_late: now, reply } => {
                    ends = true;
                    is_late |= now;
                    shutdowns.push(reply);
                }
                Command::Stop => stops = true,
                Command::Flush(reply) => {
                    let queued = sessions.iter().filter_map(|session| {
                        let state = session.lock();
                        state.is_queued().then(|| (Arc::clone(session), state.version))
                    });
                    waiters.add(queued, reply);
                }
            }
        }
        if stops {
            lose(tracker, write);
            tracker.stop(due.into_iter().map(|session| (session, ())));
            // The replies of flushes and shutdowns are dropped after that.
            return versions(sessions);
        }
        if is_late {
            break;
        }
        // A write takes two iterations, so that changes can arrive while it is in flight.
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
            reply.send(Report { saved: saved(&sessions[0]), unsaved: 0 });
        }
        if is_done() || ends && due.is_empty() && write.is_none() {
            break;
        }
        if due.is_empty() && write.is_none() && !usage_is_due {
            loom::future::block_on(poll_fn(|cx| tracker.poll_changed(cx, false)));
        } else {
            // With a timer, which fires whether it is woken or not.
            let _ = tracker.poll_changed(&Context::from_waker(Waker::noop()), true);
        }
    }
    lose(tracker, write);
    tracker.close();
    for reply in shutdowns {
        reply.send(Report::of(sessions));
    }
    versions(sessions)
}

/// Drops a write in flight. Its answer is lost: it may be in the table or not.
fn lose(tracker: &Tracker, write: Option<(Arc<Session>, u64)>) {
    if let Some((session, _)) = write
        && session.acknowledge(|_| ())
    {
        tracker.put_back(session, ());
    }
}

fn versions(sessions: &[Arc<Session>]) -> Vec<u64> {
    sessions.iter().map(|session| session.lock().version).collect()
}
