//! [`ManualEnd`]: the end of a workflow that none of its processes will finish.

use std::collections::BTreeMap;

use super::cut::shorten;
use super::schema::{END_REASON, ENDED_BY};
use super::{
    Change, ErrorMessage, Item, Ledger, Precondition, SessionId, Timestamp, Value, WorkflowStatus,
    random_writer_id,
};

/// Ends workflows on behalf of their processes, and records who ended them and why.
///
/// Use it for sessions whose process has died. The write is the same as that of a process which resumes
/// the session and finishes it: agents in progress end as errors, and tokens stay as they are. A
/// process that comes back finds a finished session, and its calls still count. The item gets the
/// attributes [`endedBy`](super::schema::ENDED_BY) and [`endReason`](super::schema::END_REASON).
///
/// Check first that the session is not alive. For sessions with heartbeats, use
/// [`WorkflowStatus::is_stalled`].
///
/// # Examples
///
/// ```
/// # use tower_agent_status::SessionId;
/// use std::time::SystemTime;
/// use tower_agent_status::status::{ManualEnd, WorkflowStatus};
/// use tower_agent_status::store::{StatusReader, StatusStore, StoreError, WriteOutcome};
///
/// async fn fail<S: StatusStore + StatusReader>(store: &S, id: &SessionId) -> Result<(), StoreError> {
///     let end = ManualEnd::failed("clean-up job", "the host was replaced");
///     let mut found = store.get(id).await?;
///     while let Some(item) = found {
///         let now = SystemTime::now().into();
///         let status = WorkflowStatus::from_item(id, &item);
///         if !status.is_stalled(now, std::time::Duration::from_secs(30)) {
///             break;
///         }
///         let Some((change, precondition)) = end.write_for(id, &item, now) else { break };
///         found = match store.write(&change, precondition).await? {
///             // Another writer was faster, so the session may be alive.
///             WriteOutcome::Conflict(item) => item,
///             _ => break,
///         };
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ManualEnd {
    is_failure: bool,
    by: String,
    reason: ErrorMessage,
    /// The writer id under which the item notes the write.
    writer: String,
}

impl ManualEnd {
    /// The maximum length of `by`, in bytes.
    const MAX_BY_BYTES: usize = 128;

    /// Creates an end as [failed](super::OverallStatus::Failed). The
    /// [error](WorkflowStatus::error) of the workflow says who ended it (`by`) and why.
    ///
    /// Both texts are shortened and redacted like an [`ErrorMessage`]; `by` is cut to 128 bytes.
    #[must_use]
    pub fn failed(by: &str, reason: &str) -> Self {
        Self::new(true, by, reason)
    }

    /// Creates an end as [completed](super::OverallStatus::Completed).
    ///
    /// The texts are treated as in [`failed`](Self::failed).
    #[must_use]
    pub fn completed(by: &str, reason: &str) -> Self {
        Self::new(false, by, reason)
    }

    fn new(is_failure: bool, by: &str, reason: &str) -> Self {
        let mut by = ErrorMessage::new(by).as_str().to_owned();
        shorten(&mut by, Self::MAX_BY_BYTES);
        Self { is_failure, by, reason: ErrorMessage::new(reason), writer: random_writer_id() }
    }

    /// Returns the write that ends the workflow of this item, and its precondition: that the item has
    /// not changed. Returns `None` if the workflow has already finished.
    #[must_use]
    pub fn write_for(
        &self,
        session_id: &SessionId,
        item: &Item,
        now: Timestamp,
    ) -> Option<(Change, Precondition)> {
        // A process that resumes a session without a creation time sets one. An end must not, so the
        // ledger begins at zero, which stands for none.
        let mut ledger = Ledger::new(session_id.clone(), Timestamp::from_millis(0));
        // This ledger has written nothing yet, so the item lacks nothing of it.
        let _ = ledger.write_conflicted(Some(item), &self.writer, now);
        let Self { by, reason, .. } = self;
        let result = match self.is_failure {
            true => Err(ErrorMessage::new(format_args!("ended by {by}: {reason}"))),
            false => Ok(()),
        };
        if !ledger.finish(result, now) {
            return None;
        }
        let attributes = [(ENDED_BY, by.as_str()), (END_REASON, reason.as_str())];
        let attributes = attributes.map(|(name, text)| (name.to_owned(), Value::from(text)));
        ledger.set_attributes(None, BTreeMap::from(attributes), now);
        let seq = u64::try_from(now.as_millis()).unwrap_or(0) & !1;
        let write = ledger.prepare_write(&self.writer, seq, false, now)?;
        let change = write.change()?.change;
        Some((change, write.precondition))
    }

    /// Returns `true` if the item that was read has this end. If the answer to a write was lost, this
    /// tells whether the write was applied.
    #[must_use]
    pub fn is_in(&self, status: &WorkflowStatus) -> bool {
        status.writers.last_write(&self.writer).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::status::{
        Activities, AgentState, AgentStatus, CallError, OverallStatus, SharedAgent, TaskId,
        WaitingFor,
    };

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn start() -> Timestamp {
        Timestamp::from_millis(1_766_570_400_001)
    }

    fn now() -> Timestamp {
        start().saturating_add(2 * DAY)
    }

    fn id() -> SessionId {
        SessionId::new("s").unwrap()
    }

    fn agent(state: AgentState, waiting_for: Option<WaitingFor>) -> AgentStatus {
        let mut agent = AgentStatus::pending("At work".into());
        agent.state = state;
        agent.waiting_for = waiting_for;
        agent.task_id = TaskId::new("task-1").filter(|_| waiting_for.is_some());
        agent.started_at = (state != AgentState::Pending).then(start);
        agent.last_updated = agent.started_at;
        agent.usage = Some(crate::status::TokenUsage::new(10, 5)).into();
        agent
    }

    /// The item that a process has left behind.
    fn left_behind() -> Item {
        let mut status = WorkflowStatus::new(id(), start());
        status.overall_status = OverallStatus::Processing;
        status.expires_at = Some(start().saturating_add(90 * DAY));
        status.correlation_id = Some("c".to_owned());
        status.attributes.extend([("documentId".to_owned(), "d".into())]);
        status.agents = [
            ("called".into(), agent(AgentState::InProgress, None)),
            ("done".into(), agent(AgentState::Success, None)),
            ("later".into(), agent(AgentState::Pending, None)),
            ("waits".into(), agent(AgentState::InProgress, Some(WaitingFor::Task))),
        ]
        .map(|(name, agent): (Arc<str>, _)| (name, SharedAgent::new(agent)))
        .into();
        let seq = status.writers.note("process0", 1_766_570_400_002, false);
        status.revision = seq * 1_000;
        status.to_item()
    }

    /// The item after this end.
    #[track_caller]
    fn ended(end: &ManualEnd, mut item: Item) -> Item {
        let (change, _) = end.write_for(&id(), &item, now()).unwrap();
        change.apply(&mut item);
        item
    }

    fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
        item.get(name).and_then(Value::as_str)
    }

    #[test]
    fn it_is_the_end_that_a_process_would_write() {
        let before = left_behind();
        let read = WorkflowStatus::from_item(&id(), &before);
        let end = ManualEnd::failed("alice@host", "the host is gone");
        assert!(!end.is_in(&read));
        let item = ended(&end, before.clone());
        let status = WorkflowStatus::from_item(&id(), &item);
        assert_eq!(status.overall_status, OverallStatus::Failed);
        let error = status.error.as_ref().map(ErrorMessage::as_str);
        assert_eq!(error, Some("ended by alice@host: the host is gone"));
        assert_eq!(text(&item, ENDED_BY), Some("alice@host"));
        assert_eq!(text(&item, END_REASON), Some("the host is gone"));
        assert_eq!(status.last_updated, now());
        assert!(status.revision > read.revision);
        assert!(end.is_in(&status) && status.writers.last_write("process0").is_some());

        let error = |name: &str| status.agent(name).unwrap().error.as_ref().unwrap();
        assert_eq!(error("called").class, CallError::WORKFLOW_ENDED);
        assert_eq!(error("waits").class, CallError::UNFINISHED);
        assert!(error("waits").message.as_str().contains("task-1"));
        for name in ["done", "later"] {
            assert_eq!(status.agent(name), read.agent(name), "{name}");
        }
        assert_eq!(status.total_token_usage(), read.total_token_usage());
        for name in ["createdAt", "createdDay", "expiresAt", "correlationId", "documentId"] {
            assert_eq!(item.get(name), before.get(name), "{name}");
        }

        let item = ended(&ManualEnd::completed("alice", "by hand"), before);
        assert_eq!(text(&item, "overallStatus"), Some("completed"));
        assert_eq!((text(&item, "error"), text(&item, END_REASON)), (None, Some("by hand")));
    }

    #[test]
    fn a_finished_workflow_is_not_ended_again() {
        let item = ended(&ManualEnd::completed("alice", "done by hand"), left_behind());
        let again = ManualEnd::failed("bob", "no");
        assert_eq!(again.write_for(&id(), &item, now()), None);
        assert!(!again.is_in(&WorkflowStatus::from_item(&id(), &item)));
    }

    #[test]
    fn nothing_is_made_up_for_an_item_of_another_writer() {
        let mut item = Item::new();
        item.insert("overallStatus", "archiving");
        item.insert("note", Value::List(vec!["kept".into()]));
        let item = ended(&ManualEnd::failed("alice", "gone"), item);
        assert_eq!(text(&item, "overallStatus"), Some("failed"));
        for name in ["createdAt", "createdDay"] {
            assert_eq!(item.get(name), None, "{name}");
        }
        assert!(item.get("note").is_some());
        let status = WorkflowStatus::from_item(&id(), &item);
        assert_eq!(
            status.expires_at.map(Timestamp::as_secs),
            Some(now().saturating_add(90 * DAY).as_secs())
        );

        let mut item = Item::new();
        item.insert("overallStatus", "processing");
        item.insert("createdAt", "2025-12-24T10:00:00.000000+00:00");
        let item = ended(&ManualEnd::failed("alice", "gone"), item);
        assert_eq!(text(&item, "createdAt"), Some("2025-12-24T10:00:00.000Z"));
        assert_eq!(text(&item, "createdDay"), Some("2025-12-24"));
    }

    #[test]
    fn the_texts_are_bounded_and_redacted() {
        let end = ManualEnd::failed(&"a".repeat(1_000), "password=hunter2-hunter2, gave up");
        let item = ended(&end, left_behind());
        assert_eq!(text(&item, ENDED_BY).map(str::len), Some(128));
        for name in ["error", END_REASON] {
            let text = text(&item, name).unwrap();
            assert!(!text.contains("hunter2") && text.ends_with("gave up"), "{text}");
        }
        let end = ManualEnd::failed("alice@host.example", &"é".repeat(1_000));
        let item = ended(&end, left_behind());
        assert_eq!(text(&item, ENDED_BY), Some("alice@host.example"));
        for name in ["error", END_REASON] {
            assert!(text(&item, name).is_some_and(|text| text.len() <= ErrorMessage::MAX_BYTES));
        }
    }

    /// A process whose call is in flight, with its item in the table.
    fn at_work() -> (Ledger, Item) {
        let mut ledger = Ledger::new(id(), start());
        let slot = ledger.slot(&"pdf".into(), &std::sync::Arc::new(Activities::default()));
        ledger.call_started(slot, false, start());
        let write = ledger.prepare_write("process1", 1_766_570_400_002, true, start()).unwrap();
        let mut item = Item::new();
        write.change().unwrap().change.apply(&mut item);
        ledger.write_applied(write);
        (ledger, item)
    }

    #[test]
    fn the_tokens_of_a_process_that_comes_back_count() {
        for end in [ManualEnd::failed("alice", "gone"), ManualEnd::completed("alice", "gone")] {
            let (mut ledger, item) = at_work();
            let mut item = ended(&end, item);
            let at_end = WorkflowStatus::from_item(&id(), &item);
            let later = now().saturating_add(DAY);
            let tokens = crate::status::TokenUsage::new(100, 20);
            let details = crate::status::CallDetails::none(later);
            ledger.call_ended(
                0,
                &mut crate::status::Outcome::Success,
                crate::status::NewTokens::All(&tokens),
                &details,
                later,
            );
            ledger.finish(Ok(()), later);
            let _ = ledger.write_conflicted(Some(&item), "process1", later);
            let write = ledger.prepare_write("process1", 1_766_570_400_004, true, later).unwrap();
            write.change().unwrap().change.apply(&mut item);
            let status = WorkflowStatus::from_item(&id(), &item);
            assert_eq!(status.overall_status, at_end.overall_status);
            assert_eq!((&status.error, &status.attributes), (&at_end.error, &at_end.attributes));
            assert_eq!(status.total_token_usage().total_tokens, Some(120));
            assert_eq!(status.agent("pdf").unwrap().state, AgentState::Success);
        }
    }

    #[test]
    fn a_new_run_knows_nothing_of_the_end_before_it() {
        let mut item = ended(&ManualEnd::failed("alice", "gone"), left_behind());
        let mut ledger = Ledger::new(id(), now());
        ledger.begin_new_run(now());
        let _ = ledger.write_conflicted(Some(&item), "process2", now());
        let write = ledger.prepare_write("process2", 1_766_900_000_000, true, now()).unwrap();
        write.change().unwrap().change.apply(&mut item);
        assert_eq!(
            (item.get(ENDED_BY), item.get(END_REASON), item.get("error")),
            (None, None, None)
        );
        assert_eq!(text(&item, "overallStatus"), Some("initializing"));
    }
}
