//! What is logged of failures, and how often.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tower_agent_status::StatusTracker;
use tower_agent_status::status::{AgentReport, AgentState};

use crate::support::{Answers, Scripted, name, one_call};
use crate::warnings::Warnings;

const SECOND: Duration = Duration::from_secs(1);

fn count(lines: &[String], text: &str) -> usize {
    lines.iter().filter(|line| line.contains(text)).count()
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_one_line_whatever_it_meets() {
    let warnings = Warnings::watch();
    let store = Scripted::new(Answers::TimesOut, Duration::from_millis(10));
    let tracker = StatusTracker::builder(store.clone()).start().unwrap();
    for outage in 0..2 {
        store.state().answers = Answers::TimesOut;
        for session in 0..10 {
            one_call(&tracker, &name(session));
        }
        sleep(30 * SECOND).await;
        let lines = warnings.take();
        assert_eq!(count(&lines, "status not saved; trying again"), 1, "{outage}: {lines:?}");
        assert_eq!(lines.len(), 1, "{outage}: {lines:?}");
        store.state().answers = Answers::Saves;
        tracker.flush().await.unwrap();
        assert_eq!(warnings.take(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_one_line_for_each_session() {
    let warnings = Warnings::watch();
    let store = Scripted::new(Answers::Refuses, Duration::from_millis(10));
    let tracker = StatusTracker::builder(store.clone()).start().unwrap();
    for session in 0..3 {
        one_call(&tracker, &name(session));
    }
    sleep(300 * SECOND).await;
    let lines = warnings.take();
    assert_eq!(count(&lines, "status cannot be saved"), 3, "{lines:?}");
    assert_eq!(lines.len(), 3, "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_is_stopped_says_what_it_leaves_unsaved() {
    for (answers, unsaved) in [(Answers::TimesOut, 1), (Answers::Saves, 0)] {
        let store = Scripted::new(answers, Duration::from_millis(10));
        let (tracker, recorder) = StatusTracker::builder(store).build().unwrap();
        let recorder = tokio::spawn(recorder);
        one_call(&tracker, &name(0));
        sleep(SECOND).await;
        let warnings = Warnings::watch();
        recorder.abort();
        assert!(recorder.await.unwrap_err().is_cancelled());
        let lines = warnings.take();
        assert_eq!(count(&lines, "the recorder has ended"), unsaved, "{lines:?}");
        assert_eq!(count(&lines, "session-0"), unsaved, "{lines:?}");
        // Nobody waits for it.
        let flushed = timeout(SECOND, tracker.flush()).await.unwrap();
        assert_eq!(flushed.map_or_else(|error| error.unsaved.len(), |()| 0), unsaved);
        let report = AgentReport::new(AgentState::Success);
        assert!(tracker.update_agent_status("late", "a", report).is_err());
        let lines = warnings.take();
        assert!(matches!(&*lines, [line] if line.contains("lost=1 ")), "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_first_session_that_leaves_before_its_idle_timeout_is_logged() {
    for (has_timeout, was_opened, expected) in
        [(true, false, 1), (true, true, 0), (false, false, 0), (false, true, 0)]
    {
        let warnings = Warnings::watch();
        let store = Scripted::new(Answers::Saves, Duration::from_millis(10));
        let builder = StatusTracker::builder(store).max_sessions(1);
        let builder = if has_timeout { builder.idle_timeout(60 * SECOND) } else { builder };
        let tracker = builder.start().unwrap();
        for session in 0..4 {
            if was_opened {
                tracker.workflow(name(session)).start().unwrap().detach();
            }
            one_call(&tracker, &name(session));
            tracker.flush().await.unwrap();
        }
        let lines = warnings.take();
        assert_eq!(count(&lines, "left memory to make room"), expected, "{lines:?}");
        assert_eq!(lines.len(), expected, "{has_timeout}, {was_opened}: {lines:?}");
        assert_eq!(tracker.lost(), 0);
    }
}
