//! A process around the hand-off. It does what the tracker does when there is no recorder: see
//! `src/tracker/recorder.rs`, and `ask` in `src/recorder/mod.rs`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use loom::thread::{self, JoinHandle};

use crate::handoff::{Mark, RecorderState};
use crate::recorder::{Answer, Command, Reply, Report, Session, Tracker, change, run, session};

pub(crate) struct Process {
    pub(crate) tracker: Tracker,
    sessions: [Arc<Session>; 1],
    /// Changes that came after the recorder had ended.
    lost: AtomicUsize,
    recorders: Mutex<Vec<JoinHandle<Vec<u64>>>>,
}

impl Process {
    /// One whose recorder is running.
    pub(crate) fn new() -> Arc<Self> {
        let process = Arc::new(Self {
            tracker: Tracker::new(),
            sessions: [session("a")],
            lost: AtomicUsize::new(0),
            recorders: Mutex::default(),
        });
        process.start();
        process
    }

    /// One whose recorder was stopped.
    pub(crate) fn without_recorder() -> Arc<Self> {
        let process = Self {
            tracker: Tracker::new(),
            sessions: [session("a")],
            lost: AtomicUsize::new(0),
            recorders: Mutex::default(),
        };
        process.tracker.stop([]);
        Arc::new(process)
    }

    fn start(self: &Arc<Self>) {
        let process = Arc::clone(self);
        let recorder = thread::spawn(move || run(&process.tracker, &process.sessions, || false));
        self.recorders.lock().unwrap().push(recorder);
    }

    fn require_recorder(self: &Arc<Self>) -> RecorderState {
        match self.tracker.recorder() {
            RecorderState::Stopped => self.tracker.restart(|| self.start()),
            recorder => recorder,
        }
    }

    /// Changes the session. Returns its new version.
    pub(crate) fn change(self: &Arc<Self>, mark: Mark) -> u64 {
        let (version, recorder) = change(&self.tracker, &self.sessions[0], mark);
        match recorder {
            RecorderState::Running => {}
            RecorderState::Stopped => {
                self.require_recorder();
            }
            RecorderState::Ended => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        version
    }

    /// Flushes or shuts down. Returns the version that is saved, or an error if something is not.
    pub(crate) fn ask(
        self: &Arc<Self>,
        command: impl Fn(Reply) -> Command,
    ) -> Result<u64, Unsaved> {
        let report = loop {
            if self.require_recorder() == RecorderState::Ended {
                break Report::of(&self.sessions);
            }
            let (reply, answer) = Answer::new();
            self.tracker.send(command(reply));
            if let Some(report) = answer.wait() {
                break report;
            }
        };
        let has_lost = self.lost.load(Ordering::Relaxed) > 0;
        if report.unsaved > 0 || has_lost { Err(Unsaved) } else { Ok(report.saved) }
    }

    /// Ends the recorder if it has not ended, and waits for all that there were. Returns their number.
    pub(crate) fn end(&self) -> usize {
        self.tracker.send(Command::End);
        let recorders = std::mem::take(&mut *self.recorders.lock().unwrap());
        let number = recorders.len();
        for recorder in recorders {
            recorder.join().unwrap();
        }
        number
    }
}

#[derive(Debug)]
pub(crate) struct Unsaved;
