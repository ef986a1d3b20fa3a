//! The models: few threads, every order of them.

use std::sync::Arc;

use loom::model::Builder;
use loom::thread;

use crate::handoff::Mark;
use crate::recorder::{Answer, Command, Session, Tracker, change, run, saved, session};

/// Runs a model in every order of its threads with so many switches that no thread asked
/// for. Loom's authors found two or three to show nearly every mistake.
fn check(switches: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound.get_or_insert(switches);
    builder.check(model);
}

/// A thread that runs the recorder until every session has the version that it should.
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

fn changer(
    tracker: &Arc<Tracker>,
    session: &Arc<Session>,
    marks: &'static [Mark],
) -> thread::JoinHandle<()> {
    let (tracker, session) = (Arc::clone(tracker), Arc::clone(session));
    thread::spawn(move || {
        for mark in marks {
            assert!(change(&tracker, &session, *mark).1, "the recorder is at work");
        }
    })
}

/// Nobody but the changes wakes the recorder: one that is lost leaves it asleep for ever,
/// which loom takes for a deadlock.
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

/// Changes before, between and after the take and the acknowledgement of each other.
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

/// The two lists share their sessions, and each session is saved by way of one of them.
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

/// A flush answers when everything is saved that was changed before it was asked for, by
/// whomever it was marked.
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
            let saved = answer.wait().expect("the recorder is at work");
            assert!(saved >= version, "the flush answered before it was done");
            other.join().unwrap();
            tracker.send(Command::End);
            recorder.join().unwrap();
        });
    }
}

/// Whoever asks while the recorder ends is answered or told that there is no answer; and a
/// change that was taken on is saved, or seen by whoever lists what is not.
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
        let (version, taken_on) = change(&tracker, &session, Mark::Dirty);
        let (reply, answer) = Answer::new();
        tracker.send(Command::Flush(reply));
        if let Some(saved) = answer.wait() {
            assert!(saved >= version, "the flush answered before it was done");
        }
        ending.join().unwrap();
        let seen = recorder.join().unwrap();
        assert!(!taken_on || seen[0] >= version, "a change is neither saved nor known to be lost");
        assert!(tracker.is_closed());
    });
}
