//! Ends one session: reads it, decides, and writes if it has not changed since.

use tower_agent_status::SessionId;
use tower_agent_status::status::{ManualEnd, OverallStatus, Timestamp, WorkflowStatus};
use tower_agent_status::store::{StatusReader, StatusStore, StoreError, WriteOutcome};

use super::criteria::{Criteria, Decision};

/// The maximum number of attempts to end a session that changes before each write.
const ATTEMPTS: usize = 4;

#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    Ended,
    /// It has finished in the meantime, in another way.
    Finished(OverallStatus),
    Alive,
    Deleted,
    KeepsChanging,
}

pub(super) async fn end<S: StatusStore + StatusReader>(
    store: &S,
    id: &SessionId,
    end: &ManualEnd,
    criteria: &Criteria,
    now: impl Fn() -> Timestamp,
) -> Result<Outcome, StoreError> {
    let mut found = store.get(id).await?;
    for _ in 0..ATTEMPTS {
        let Some(item) = found else { return Ok(Outcome::Deleted) };
        let status = WorkflowStatus::from_item(id, &item);
        let now = now();
        match criteria.decide(&status, now) {
            // An earlier write was applied and its answer lost, here or in a retry of the SDK.
            Decision::Finished if end.is_in(&status) => return Ok(Outcome::Ended),
            Decision::Finished => return Ok(Outcome::Finished(status.overall_status)),
            Decision::Alive => return Ok(Outcome::Alive),
            Decision::End => {}
        }
        let Some((change, precondition)) = end.write_for(id, &item, now) else {
            return Ok(Outcome::Finished(status.overall_status));
        };
        found = match store.write(&change, precondition).await {
            Ok(WriteOutcome::Conflict(item)) => item,
            Ok(_) => return Ok(Outcome::Ended),
            Err(error) if error.may_have_been_applied() => match store.get(id).await {
                Ok(item) => item,
                Err(_) => return Err(error),
            },
            Err(error) => return Err(error),
        };
    }
    Ok(Outcome::KeepsChanging)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use tower_agent_status::status::{Change, Item, Precondition, Value};
    use tower_agent_status::store::{ListRequest, MemoryStore, RecentItems, StoreErrorKind};

    use super::*;

    const BY_ID: Criteria = Criteria { heartbeat: Duration::from_secs(30), stalled_for: None };
    const STALLED: Criteria = Criteria {
        stalled_for: Some(Duration::from_secs(3_600)),
        heartbeat: Duration::from_secs(30),
    };

    fn now() -> Timestamp {
        Timestamp::from_millis(1_766_570_400_000)
    }

    fn id() -> SessionId {
        SessionId::new("s").unwrap()
    }

    /// What happens to a write.
    enum Fate {
        /// Another writer is faster.
        After(Item),
        /// The session is deleted just before.
        AfterDeletion,
        /// It is applied, and the answer is lost.
        Lost,
        Refused,
    }

    /// A store in which these things happen to the first writes.
    struct Racing {
        store: MemoryStore,
        fates: Mutex<Vec<Fate>>,
        writes: Mutex<usize>,
    }

    impl StatusStore for Racing {
        async fn write(
            &self,
            change: &Change,
            on: Precondition,
        ) -> Result<WriteOutcome, StoreError> {
            *self.writes.lock().unwrap() += 1;
            let fate = {
                let mut fates = self.fates.lock().unwrap();
                (!fates.is_empty()).then(|| fates.remove(0))
            };
            match fate {
                Some(Fate::After(item)) => {
                    self.store.delete(&id()).await?;
                    put(&self.store, item).await;
                }
                Some(Fate::AfterDeletion) => _ = self.store.delete(&id()).await?,
                Some(Fate::Lost) => {
                    self.store.write(change, on).await?;
                    return Err(StoreError::new(StoreErrorKind::Unavailable, "lost").ambiguous());
                }
                Some(Fate::Refused) => {
                    return Err(StoreError::new(StoreErrorKind::Permanent, "not allowed"));
                }
                None => {}
            }
            self.store.write(change, on).await
        }
    }

    impl StatusReader for Racing {
        async fn get(&self, id: &SessionId) -> Result<Option<Item>, StoreError> {
            self.store.get(id).await
        }

        async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Item>>, StoreError> {
            self.store.get_many(ids).await
        }

        async fn list<T: Send>(
            &self,
            request: &ListRequest,
            map: impl Fn(&SessionId, Item) -> T + Send + Sync,
        ) -> Result<RecentItems<T>, StoreError> {
            self.store.list(request, map).await
        }

        async fn delete(&self, id: &SessionId) -> Result<bool, StoreError> {
            self.store.delete(id).await
        }
    }

    async fn put(store: &MemoryStore, item: Item) {
        let change = Change::new(id(), item, Vec::new());
        let written = store.write(&change, Precondition::Absent).await.unwrap();
        assert_eq!(written, WriteOutcome::Applied);
    }

    /// An item that was last updated so many seconds ago.
    fn item(status: &str, ago: u64, revision: u64) -> Item {
        let updated = now().saturating_sub(Duration::from_secs(ago)).to_string();
        let mut item = Item::new();
        item.insert("overallStatus", status);
        item.insert("createdAt", updated.as_str());
        item.insert("lastUpdated", updated);
        item.insert("revision", revision);
        item
    }

    /// The outcome, the status and the reason in the item, and how many writes there were.
    async fn run(
        criteria: &Criteria,
        fates: Vec<Fate>,
    ) -> (Result<Outcome, String>, String, usize) {
        let store =
            Racing { store: MemoryStore::new(), fates: Mutex::new(fates), writes: Mutex::new(0) };
        put(&store.store, item("processing", 7_200, 1)).await;
        let by_hand = ManualEnd::failed("alice", "gone");
        let outcome = end(&store, &id(), &by_hand, criteria, now).await;
        let item = store.store.item("s").unwrap_or_default();
        let text = |name| item.get(name).and_then(Value::as_str).unwrap_or("none");
        let left = format!("{} {}", text("overallStatus"), text("endReason"));
        let writes = *store.writes.lock().unwrap();
        (outcome.map_err(|error| error.to_string()), left, writes)
    }

    #[tokio::test]
    async fn a_session_that_changes_in_between_is_decided_on_again() {
        use Fate::{After, AfterDeletion, Lost, Refused};
        let silent = |revision| After(item("processing", 7_000, revision));
        let ended = |writes| (Ok(Outcome::Ended), "failed gone".to_owned(), writes);
        for criteria in [&BY_ID, &STALLED] {
            assert_eq!(run(criteria, vec![]).await, ended(1));
            assert_eq!(run(criteria, vec![silent(2), silent(3), silent(4)]).await, ended(4));
            let alive = run(criteria, vec![After(item("processing", 10, 2))]).await;
            assert_eq!(alive, (Ok(Outcome::Alive), "processing none".to_owned(), 1));
            let finished = run(criteria, vec![silent(2), After(item("completed", 10, 3))]).await;
            let outcome = Outcome::Finished(OverallStatus::Completed);
            assert_eq!(finished, (Ok(outcome), "completed none".to_owned(), 2));
            let deleted = run(criteria, vec![AfterDeletion]).await;
            assert_eq!(deleted, (Ok(Outcome::Deleted), "none none".to_owned(), 1));
            let busy = run(criteria, (2..10).map(silent).collect()).await;
            assert_eq!(busy, (Ok(Outcome::KeepsChanging), "processing none".to_owned(), 4));
            assert_eq!(run(criteria, vec![silent(2), Lost]).await, ended(2));
            let refused = run(criteria, vec![Refused]).await;
            assert_eq!(refused, (Err("not allowed".to_owned()), "processing none".to_owned(), 1));
        }
        // It was alive a while ago, and another heartbeat is missing.
        let younger = run(&STALLED, vec![After(item("processing", 600, 2))]).await;
        assert_eq!(younger, (Ok(Outcome::Alive), "processing none".to_owned(), 1));
        // An older writer has taken the session over. It may be alive, and sends no heartbeat.
        let mut theirs = item("processing", 7_000, 0);
        theirs.remove("revision");
        let taken_over = run(&STALLED, vec![After(theirs)]).await;
        assert_eq!(taken_over, (Ok(Outcome::Alive), "processing none".to_owned(), 1));
    }
}
