//! The models, each with a few threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use loom::model::Builder;
use loom::thread;

use crate::handoff::{Batch, Mark, RecorderState};
use crate::recorder::{Answer, Command, Session, Tracker, change, run, saved, session};

/// Runs a model in every interleaving with at most this many preemptions. Loom's
/// documentation recommends two or three, which expose most bugs.
pub(crate) fn check(switches: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound.get_or_insert(switches);
    builder.check(model);
}

/// Spawns the recorder, which runs until each session is saved at its version.
fn recorder_of(
    tracker: &Arc<Tracker>,
    sessions: Vec<Arc<Session>>,
    versions: &'static [u64],
) -> thread::JoinHandle<Vec<u64>> {
    let tracker = Arc::clone(tracker);
    thread::spawn(move || {
        run(&tracker, &sessions, || sessions.iter().map(saved).eq(versions.iter().copied()))
    })
}

/// Spawns a thread that changes a session once for each mark.
fn changer(
    tracker: &Arc<Tracker>,
    session: &Arc<Session>,
    marks: &'static [Mark],
) -> thread::JoinHandle<()> {
    let (tracker, session) = (Arc::clone(tracker), Arc::clone(session));
    thread::spawn(move || {
        for mark in marks {
            let recorder = change(&tracker, &session, *mark).1;
            assert_eq!(recorder, RecorderState::Running);
        }
    })
}

/// Only changes wake the recorder. If one wake-up is lost, it sleeps for ever, which loom
/// reports as a deadlock.
#[test]
fn every_change_wakes_the_recorder() {
    check(3, || {
        let tracker = Arc::new(Tracker::new());
        let sessions = [session("a"), session("b")];
        let recorder = recorder_of(&tracker, sessions.to_vec(), &[1, 2]);
        let other = changer(&tracker, &sessions[1], &[Mark::Dirty, Mark::Dirty]);
        change(&tracker, &sessions[0], Mark::Dirty);
        other.join().unwrap();
        recorder.join().unwrap();
    });
}

/// With a timer, a change that must be saved is taken when that fires. Everything else wakes the
/// recorder at once.
#[test]
fn a_timer_saves_the_wake_up_of_a_change_and_no_other() {
    #[derive(Default)]
    struct Woken(AtomicUsize);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    for (has_timer, mark, woken_by_change) in
        [(true, Mark::Dirty, 0), (true, Mark::Usage, 1), (false, Mark::Dirty, 1)]
    {
        check(1, move || {
            let (tracker, session) = (Tracker::new(), session("a"));
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(Arc::clone(&woken));
            let cx = Context::from_waker(&waker);
            assert!(tracker.poll_changed(&cx, has_timer).is_pending());
            change(&tracker, &session, mark);
            assert_eq!(woken.0.load(Ordering::Relaxed), woken_by_change);
            assert_eq!(tracker.poll_changed(&cx, has_timer).is_ready(), woken_by_change == 1);
            tracker.send(Command::End);
            assert_eq!(woken.0.load(Ordering::Relaxed), 1, "a command");
            let mut batch = Batch::default();
            tracker.take(&mut batch, true);
            assert_eq!(batch.dirty.len() + batch.usage.len(), 1);
            // The timer has been used up.
            assert!(tracker.poll_changed(&cx, false).is_pending());
            change(&tracker, &self::session("b"), Mark::Dirty);
            assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        });
    }
}

/// Changes arrive before, between and after the take and the acknowledgement of another.
#[test]
fn a_change_while_another_is_saved_is_saved_too() {
    check(3, || {
        let tracker = Arc::new(Tracker::new());
        let session = session("a");
        let recorder = recorder_of(&tracker, vec![Arc::clone(&session)], &[3]);
        let other = changer(&tracker, &session, &[Mark::Dirty]);
        change(&tracker, &session, Mark::Dirty);
        change(&tracker, &session, Mark::Dirty);
        other.join().unwrap();
        recorder.join().unwrap();
    });
}

/// A session can be on both lists, but is saved through only one of them.
#[test]
fn figures_and_changes_of_one_session_are_saved_once_each() {
    check(3, || {
        let tracker = Arc::new(Tracker::new());
        let session = session("a");
        let recorder = recorder_of(&tracker, vec![Arc::clone(&session)], &[4]);
        let other = changer(&tracker, &session, &[Mark::Usage, Mark::Usage]);
        change(&tracker, &session, Mark::Usage);
        change(&tracker, &session, Mark::Dirty);
        other.join().unwrap();
        recorder.join().unwrap();
    });
}

/// A flush answers once every change made before it is saved, whichever thread and mark it
/// came with.
#[test]
fn a_flush_answers_after_what_came_before_it() {
    for mark in [Mark::Dirty, Mark::Usage] {
        check(3, move || {
            let tracker = Arc::new(Tracker::new());
            let session = session("a");
            let recorder = {
                let (tracker, sessions) = (Arc::clone(&tracker), [Arc::clone(&session)]);
                thread::spawn(move || run(&tracker, &sessions, || false))
            };
            let other = changer(&tracker, &session, &[Mark::Dirty]);
            let (version, _) = change(&tracker, &session, mark);
            let (reply, answer) = Answer::new();
            tracker.send(Command::Flush(reply));
            let report = answer.wait().expect("the recorder is running");
            assert!(report.saved >= version, "the flush answered too early");
            other.join().unwrap();
            tracker.send(Command::End);
            recorder.join().unwrap();
        });
    }
}

/// A flush that comes while the recorder ends receives an answer, or learns that there is
/// none. An accepted change is saved, or is in the list of what is not.
#[test]
fn the_end_leaves_nobody_waiting_and_no_change_unseen() {
    check(3, || {
        let tracker = Arc::new(Tracker::new());
        let session = session("a");
        let recorder = {
            let (tracker, sessions) = (Arc::clone(&tracker), [Arc::clone(&session)]);
            thread::spawn(move || run(&tracker, &sessions, || false))
        };
        let ending = {
            let tracker = Arc::clone(&tracker);
            thread::spawn(move || tracker.send(Command::End))
        };
        let (version, recorder_then) = change(&tracker, &session, Mark::Dirty);
        let (reply, answer) = Answer::new();
        tracker.send(Command::Flush(reply));
        if let Some(report) = answer.wait() {
            assert!(report.saved >= version, "the flush answered too early");
        }
        ending.join().unwrap();
        let seen = recorder.join().unwrap();
        assert!(
            recorder_then == RecorderState::Ended || seen[0] >= version,
            "an accepted change is neither saved nor reported as unsaved"
        );
        assert_eq!(tracker.recorder(), RecorderState::Ended);
    });
}
