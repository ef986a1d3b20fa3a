//! Models of a recorder that is stopped with its runtime, and of the one that goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;

use crate::handoff::Mark;
use crate::models::check;
use crate::process::Process;
use crate::recorder::Command;

/// Spawns a thread that changes the session and flushes.
fn flusher(process: &Arc<Process>, mark: Mark) -> thread::JoinHandle<()> {
    let process = Arc::clone(process);
    thread::spawn(move || change_and_flush(&process, mark))
}

fn change_and_flush(process: &Arc<Process>, mark: Mark) {
    let version = process.change(mark);
    let saved = process.ask(Command::Flush).expect("nothing has ended the recorder");
    assert!(saved >= version, "the flush answered too early");
}

/// Two threads find at once that there is no recorder. They start one, which saves the changes of
/// both.
#[test]
fn two_that_find_no_recorder_start_one() {
    for mark in [Mark::Dirty, Mark::Usage] {
        check(2, move || {
            let process = Process::without_recorder();
            let other = flusher(&process, mark);
            change_and_flush(&process, Mark::Dirty);
            other.join().unwrap();
            assert_eq!(process.end(), 1, "recorders");
        });
    }
}

/// A recorder is stopped, perhaps with the session in its hands, while two threads change it and one
/// flushes. One other recorder goes on, and saves all there is.
#[test]
fn another_recorder_goes_on_where_one_was_stopped() {
    check(2, || {
        let process = Process::new();
        let other = {
            let process = Arc::clone(&process);
            thread::spawn(move || {
                process.tracker.send(Command::Stop);
                process.change(Mark::Dirty)
            })
        };
        change_and_flush(&process, Mark::Dirty);
        let version = other.join().unwrap();
        let shutdown = |reply| Command::Shutdown { is_late: false, reply };
        let saved = process.ask(shutdown).expect("there is time to save");
        assert!(saved >= version, "a change was lost");
        assert_eq!(process.end(), 2, "recorders");
    });
}

/// A thread shuts down, with or without time to save, while another changes the session and flushes.
/// One of them starts the recorder. Neither learns that everything is saved if it is not.
#[test]
fn neither_a_flush_nor_a_shutdown_claims_too_much() {
    for is_late in [false, true] {
        // How many learn that everything is saved, and how many that it is not.
        let learned = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let counts = Arc::clone(&learned);
        check(3, move || {
            let process = Process::without_recorder();
            let hear = |version, answer| match answer {
                Ok(saved) => {
                    assert!(saved >= version, "it is not saved");
                    counts[0].fetch_add(1, Ordering::Relaxed);
                }
                Err(_) => {
                    counts[1].fetch_add(1, Ordering::Relaxed);
                }
            };
            let other = {
                let process = Arc::clone(&process);
                thread::spawn(move || {
                    let version = process.change(Mark::Dirty);
                    (version, process.ask(Command::Flush))
                })
            };
            let version = process.change(Mark::Dirty);
            hear(version, process.ask(|reply| Command::Shutdown { is_late, reply }));
            let (version, answer) = other.join().unwrap();
            hear(version, answer);
            assert_eq!(process.end(), 1, "recorders");
        });
        let learned = [&learned[0], &learned[1]].map(|count| count.load(Ordering::Relaxed));
        assert!(!learned.contains(&0), "late: {is_late}, {learned:?}");
    }
}
