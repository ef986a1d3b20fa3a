//! The document as the attributes of an item, and the change from one to the next.

use std::collections::BTreeSet;
use std::time::Duration;

use super::item_parts::Part;
use super::schema::{
    ACTIVITY, AGENT_STATUS, ATTEMPTS, CALLS, COMPLETED_AT, COST_USD, CREATED_AT, CREATED_DAY,
    DURATION, ERROR, ERROR_TYPE, FINISH_REASON, LAST_UPDATED, MODEL, MODELS, OVERALL_STATUS,
    REVISION, STARTED_AT, TASK_ID, TIME_TO_FIRST_CHUNK, TOKEN_COUNTS, TOKEN_USAGE, TOTAL_COST_USD,
    TOTAL_TOKEN_USAGE, WAITING_FOR, WRITERS,
};
use super::{AgentStatus, Change, Item, PreviousRun, Timestamp, TokenUsage, Value, WorkflowStatus};

/// A change of an item that is small enough to be saved.
#[derive(Debug)]
pub(crate) struct FittedChange {
    pub(crate) change: Change,
    /// The names of what was left out or cut.
    pub(crate) left_out: BTreeSet<String>,
}

impl WorkflowStatus {
    /// Returns the document as attributes, without the session id: the store adds it under
    /// the name of its table's key.
    #[must_use]
    pub fn to_item(&self) -> Item {
        let totals = self.totals();
        let own = self.own_parts(&totals).into_iter();
        let own = own.filter_map(|(name, part)| Some((name, part?)));
        let parts = self.named_parts().chain(own);
        parts.map(|(name, part)| (name.to_owned(), part.to_value())).collect()
    }

    /// Returns the write that turns the item of `before` (`None`: no item) into the item of
    /// `self`, or `None` if the two differ in revision and writers only. What does not fit into an
    /// item is left out. With `writes_derived`, the day of creation, its time and the sum of the tokens
    /// are written even if they are the same, since an older writer may have left them out.
    pub(crate) fn change_from(
        &self,
        before: Option<&Self>,
        writes_derived: bool,
    ) -> Option<FittedChange> {
        // An older writer sets no day, may format the time differently, and may have no sum.
        let bookkeeping = |name: &str| {
            matches!(name, REVISION | WRITERS)
                || (writes_derived && matches!(name, CREATED_AT | CREATED_DAY | TOTAL_TOKEN_USAGE))
        };
        let (set, remove, left_out) = if self.surely_fits() && before.is_none_or(Self::surely_fits)
        {
            let (set, remove) = self.unfitted_change_from(before, bookkeeping);
            (set, remove, BTreeSet::new())
        } else {
            self.fitted_change_from(before, bookkeeping)
        };
        if before.is_some() && remove.is_empty() && set.iter().all(|(name, _)| bookkeeping(name)) {
            return None;
        }
        let change = Change { session_id: self.session_id.clone(), set, remove };
        Some(FittedChange { change, left_out })
    }

    /// What to set and to remove.
    fn unfitted_change_from(
        &self,
        before: Option<&Self>,
        bookkeeping: impl Fn(&str) -> bool,
    ) -> (Item, Vec<String>) {
        let (mut set, mut remove) = (Item::new(), Vec::new());
        let mut change = |name: &str, part: Option<Part<'_>>, known: Option<Part<'_>>| {
            let value = match (part, known) {
                (Some(part), Some(known)) if !bookkeeping(name) => part.change_from(known),
                (Some(part), _) => Some(part.to_value()),
                (None, Some(_)) => {
                    remove.push(name.to_owned());
                    None
                }
                (None, None) => None,
            };
            if let Some(value) = value {
                set.insert(name, value);
            }
        };
        let totals = self.totals();
        let totals_before = before.map(Self::totals);
        let known = before.zip(totals_before.as_ref()).map(|(before, sums)| before.own_parts(sums));
        for (n, (name, part)) in self.own_parts(&totals).into_iter().enumerate() {
            change(name, part, known.as_ref().and_then(|known| known[n].1));
        }
        for (name, part) in self.named_parts() {
            change(name, Some(part), before.and_then(|before| before.named_part(name)));
        }
        for (name, known) in before.iter().flat_map(|before| before.named_parts()) {
            if self.named_part(name).is_none() {
                change(name, None, Some(known));
            }
        }
        remove.sort_unstable();
        (set, remove)
    }

    /// What to set and to remove where one of the items may be too large, and what is left out of it.
    fn fitted_change_from(
        &self,
        before: Option<&Self>,
        bookkeeping: impl Fn(&str) -> bool,
    ) -> (Item, Vec<String>, BTreeSet<String>) {
        let mut set = self.to_item();
        let left_out = self.fit(&mut set);
        let Some(before) = before else { return (set, Vec::new(), left_out) };
        let known = before.to_item();
        let mut cut = left_out.clone();
        // The table lacks this: it is written as soon as there is room.
        cut.append(&mut before.fit(&mut known.clone()));
        let gone = known.iter().map(|(name, _)| name).filter(|name| set.get(name).is_none());
        let remove = gone.map(str::to_owned).collect();
        let differs = |name: &str, value: &Value| {
            bookkeeping(name) || cut.contains(name) || known.get(name) != Some(value)
        };
        let set = set.into_iter().filter(|(name, value)| differs(name, value)).collect();
        (set, remove, left_out)
    }
}

impl AgentStatus {
    /// The most bytes that its map takes in an item; `None` if it has anything of a size that is not
    /// easy to tell.
    pub(super) fn max_item_bytes(&self) -> Option<usize> {
        /// All names, numbers, times and the id of a task.
        const WITHOUT_TEXTS: usize = 1_500;
        let is_plain = self.attempts.is_empty() && self.models().is_empty() && self.extra.is_none();
        let texts = [self.other_state.as_ref(), self.model.as_ref(), self.finish_reason.as_ref()];
        let texts = texts.into_iter().flatten().map(|text| text.len()).sum::<usize>();
        let error = self.error.as_ref();
        let error = error.map_or(0, |error| error.class.len() + error.message.as_str().len());
        is_plain.then(|| WITHOUT_TEXTS + self.activity.len() + texts + error)
    }

    pub(super) fn to_item(&self) -> Item {
        let mut item = Item::new();
        item.insert(AGENT_STATUS, self.state_text());
        item.insert(ACTIVITY, &*self.activity);
        if let Some(waiting_for) = self.waiting_for {
            item.insert(WAITING_FOR, waiting_for.as_str());
            if let Some(id) = &self.task_id {
                item.insert(TASK_ID, id.as_str());
            }
        }
        let mut time = |name, time: Option<Timestamp>| {
            if let Some(time) = time {
                item.insert(name, time.to_string());
            }
        };
        time(STARTED_AT, self.started_at);
        time(COMPLETED_AT, self.completed_at);
        time(LAST_UPDATED, self.last_updated);
        if let Some(duration) = self.duration() {
            item.insert(DURATION, seconds(duration));
        }
        if let Some(model) = &self.model {
            item.insert(MODEL, &**model);
        }
        if let Some(reason) = &self.finish_reason {
            item.insert(FINISH_REASON, &**reason);
        }
        if let Some(time) = self.time_to_first_chunk {
            item.insert(TIME_TO_FIRST_CHUNK, seconds(time));
        }
        if let Some(usage) = self.token_usage() {
            item.insert(TOKEN_USAGE, usage.to_item());
        }
        self.cost().insert_into(&mut item, COST_USD);
        if !self.models().is_empty() {
            let models = self.models().iter();
            let models = models.map(|usage| (usage.model.to_string(), usage.to_item().into()));
            item.insert(MODELS, models.collect::<Item>());
        }
        if !self.attempts.is_empty() {
            let attempts = self.attempts().map(|attempt| attempt.to_item().into());
            item.insert(ATTEMPTS, attempts.collect::<Vec<Value>>());
        }
        if let Some(error) = &self.error {
            item.insert(ERROR, error.message.as_str());
            item.insert(ERROR_TYPE, &*error.class);
        }
        if self.calls > 0 {
            item.insert(CALLS, self.calls);
        }
        for (name, value) in self.extra.iter().flat_map(|extra| extra.iter()) {
            if item.get(name).is_none() {
                item.insert(name, value.clone());
            }
        }
        item
    }
}

impl PreviousRun {
    pub(super) fn to_item(&self) -> Item {
        let mut item = Item::new();
        item.insert(OVERALL_STATUS, self.status_text());
        if let Some(error) = &self.error {
            item.insert(ERROR, error.as_str());
        }
        if self.created_at.as_millis() != 0 {
            item.insert(CREATED_AT, self.created_at.to_string());
        }
        if let Some(at) = self.completed_at {
            item.insert(COMPLETED_AT, at.to_string());
        }
        item.insert(TOTAL_TOKEN_USAGE, self.total_token_usage.to_item());
        self.total_cost.insert_into(&mut item, TOTAL_COST_USD);
        item
    }
}

impl TokenUsage {
    pub(super) fn to_item(self) -> Item {
        let counts = TOKEN_COUNTS.into_iter().zip(self.counts());
        counts.filter_map(|(name, count)| Some((name.to_owned(), Value::Integer(count?)))).collect()
    }
}

/// A duration in seconds, to the millisecond.
#[expect(clippy::cast_precision_loss, reason = "2^53 ms are 285,000 years")]
pub(super) fn seconds(duration: Duration) -> Value {
    // One division gives the float nearest to the milliseconds. `as_secs_f64` rounds twice, and turns
    // 1118 ms into 1.1179999999999999 s.
    Value::Float(duration.as_millis() as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::schema::{CORRELATION_ID, EXPIRES_AT, UNFINISHED_TASKS};
    use crate::status::{OverallStatus, SessionId, SharedAgent};

    #[test]
    fn an_item_of_another_writer_gets_its_day_with_the_first_change() {
        let mut theirs = Item::new();
        theirs.insert(CREATED_AT, "2025-12-25T00:30:00.123456+01:00");
        let before = WorkflowStatus::from_item(&SessionId::new("s").unwrap(), &theirs);
        let mut after = before.clone();
        after.revision = 1;
        after.overall_status = OverallStatus::Completed;
        let adopted = after.change_from(Some(&before), true).unwrap().change.set;
        assert_eq!(adopted.get(CREATED_AT), Some(&Value::from("2025-12-24T23:30:00.123Z")));
        assert_eq!(adopted.get(CREATED_DAY), Some(&Value::from("2025-12-24")));

        let mut later = after.clone();
        later.revision = 2;
        later.overall_status = OverallStatus::Failed;
        let change = later.change_from(Some(&after), false).unwrap().change.set;
        let names: Vec<_> = change.iter().map(|(name, _)| name).collect();
        assert_eq!(names, [OVERALL_STATUS, REVISION, WRITERS]);
    }

    #[test]
    fn a_duration_has_the_decimals_of_its_times() {
        let start = Timestamp::from_millis(1_766_570_400_000);
        let mut agent = AgentStatus::pending("".into());
        for millis in 0..10_000 {
            agent.started_at = Some(start);
            agent.completed_at = Some(start.saturating_add(Duration::from_millis(millis)));
            let item = agent.to_item();
            let Some(Value::Float(duration)) = item.get(DURATION) else {
                panic!("{item:?} has no duration");
            };
            let written = format!("{}.{:03}", millis / 1000, millis % 1000);
            assert_eq!(*duration, written.parse::<f64>().unwrap());
        }
    }

    #[test]
    fn what_is_missing_in_an_item_follows_from_the_rest() {
        let id = SessionId::new("s").unwrap();
        let (early, late) = ("2025-12-24T10:00:00.000Z", "2025-12-24T10:00:17.000Z");
        let read = |attributes: &[(&str, Value)]| {
            let attributes = attributes.iter().cloned();
            let item: Item = attributes.map(|(name, value)| (name.to_owned(), value)).collect();
            WorkflowStatus::from_item(&id, &item)
        };
        let times = |status: &WorkflowStatus| {
            (status.created_at.to_string(), status.last_updated.to_string())
        };
        // A time that is missing is not made up from another.
        let never = Timestamp::from_millis(0).to_string();
        let created = read(&[(CREATED_AT, early.into())]);
        assert_eq!(times(&created), (early.to_owned(), never.clone()));
        let updated = read(&[(LAST_UPDATED, late.into())]);
        assert_eq!(times(&updated), (never, late.to_owned()));
        let status = read(&[(CREATED_AT, early.into()), (LAST_UPDATED, late.into())]);
        assert_eq!(times(&status), (early.to_owned(), late.to_owned()));

        let status = read(&[
            (OVERALL_STATUS, "processing".into()),
            (REVISION, "7".into()),
            (EXPIRES_AT, u64::MAX.into()),
            ("pages", Value::List(vec!["1".into()])),
            ("documentId", "d".into()),
        ]);
        assert_eq!(status.overall_status, OverallStatus::Processing);
        assert_eq!(status.revision, 0);
        assert!(status.expires_at > Some(status.created_at), "{:?}", status.expires_at);
        let attributes: Vec<_> = status.attributes.keys().collect();
        assert_eq!(attributes, ["documentId"], "a list is none of a caller's");

        let tasks = (0..20).map(|n| Value::from(format!("task-{n}"))).collect();
        let status = read(&[(UNFINISHED_TASKS, Value::List(tasks))]);
        assert_eq!(status.unfinished_tasks.len(), WorkflowStatus::MAX_UNFINISHED_TASKS);
    }

    #[test]
    fn what_is_missing_in_an_agent_follows_from_the_rest() {
        let (early, late) = ("2025-12-24T10:00:00.000Z", "2025-12-24T10:00:17.000Z");
        let read = |attributes: &[(&str, Value)]| {
            let attributes = attributes.iter().cloned();
            let item: Item = attributes.map(|(name, value)| (name.to_owned(), value)).collect();
            AgentStatus::from_item(&item).unwrap()
        };
        let status = |text: &str| (AGENT_STATUS, Value::from(text));
        let (start, end) = ((STARTED_AT, early.into()), (COMPLETED_AT, late.into()));
        let last_updated = |agent: &AgentStatus| agent.last_updated.map(|time| time.to_string());
        let agent = read(&[status("success"), start.clone(), end.clone()]);
        assert_eq!(last_updated(&agent).as_deref(), Some(late));
        let agent = read(&[status("in-progress"), start.clone()]);
        assert_eq!(last_updated(&agent).as_deref(), Some(early));
        assert_eq!(read(&[status("pending")]).last_updated, None);

        let error = (ERROR, Value::from("no quota"));
        assert_eq!(read(&[status("success"), error.clone()]).error, None);
        let failed = read(&[status("error"), error]).error.unwrap();
        let class = crate::status::CallError::AGENT;
        assert_eq!((&*failed.class, failed.message.as_str()), (class, "no quota"));

        // What the times say of the duration counts.
        let agent = read(&[status("success"), start, end, (DURATION, Value::Integer(3))]);
        assert_eq!(agent.duration(), Some(Duration::from_secs(17)));
        assert_eq!(agent.recorded_duration, None);

        let agent = read(&[status("success"), (TOKEN_USAGE, Value::Map(Item::new()))]);
        assert_eq!(agent.token_usage(), None);
        let names: Vec<_> = agent.to_item().iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names, [ACTIVITY, AGENT_STATUS], "no calls are not written");
    }

    #[test]
    fn an_agent_outranks_an_attribute_and_a_time_before_the_epoch_is_none() {
        let id = SessionId::new("s").unwrap();
        let mut status = WorkflowStatus::new(id, Timestamp::from_millis(0));
        status.attributes.extend([("a".to_owned(), "text".into())]);
        status.agents = vec![("a".into(), SharedAgent::new(AgentStatus::pending("".into())))];
        status.expires_at = Some(Timestamp::from_millis(-5_000));
        let item = status.to_item();
        assert!(item.get("a").and_then(Value::as_map).is_some(), "{item:?}");
        assert_eq!(item.get(EXPIRES_AT), Some(&Value::Integer(0)));
    }

    #[test]
    fn a_change_that_only_removes_something_is_one() {
        let id = SessionId::new("s").unwrap();
        let mut before = WorkflowStatus::new(id, Timestamp::from_millis(0));
        before.revision = 1;
        before.correlation_id = Some("c".to_owned());
        let mut after = before.clone();
        after.revision = 2;
        assert!(after.change_from(Some(&before), false).is_none());
        after.correlation_id = None;
        let change = after.change_from(Some(&before), false).unwrap().change;
        assert_eq!(change.remove, [CORRELATION_ID]);
    }

    #[test]
    fn only_what_reads_differently_is_written() {
        let time = Timestamp::from_millis(1_766_570_400_000);
        let mut before = WorkflowStatus::new(SessionId::new("s").unwrap(), time);
        before.agents = vec![("a".into(), SharedAgent::new(AgentStatus::pending("".into())))];
        let mut after = before.clone();
        after.revision = 2;
        // Not in the map of an agent that does not wait.
        after.agents[0].1.task_id = crate::status::TaskId::new("t");
        assert_ne!(after.agents, before.agents);
        assert!(after.change_from(Some(&before), false).is_none());
        after.created_at = time.saturating_add(Duration::from_secs(1));
        after.agents[0].1.calls = 1;
        let change = after.change_from(Some(&before), false).unwrap().change;
        let names: Vec<_> = change.set.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", CREATED_AT, REVISION, WRITERS], "the day is the same");
    }
}
