//! [`Attempt`], one of several calls of an agent, and the list of the last ones.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Activities, AgentState, AgentStatus, CallDetails, Outcome, Timestamp, TokenUsage, is_reason,
};

/// One of several calls of an agent, or its only call if that failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// When the call started.
    pub started_at: Timestamp,
    /// When it ended: at the end of its body, or when it failed.
    pub completed_at: Timestamp,
    /// The error type; `None` if it succeeded. See [`CallError`](super::CallError).
    pub error_type: Option<Cow<'static, str>>,
    /// The model, if known.
    pub model: Option<Arc<str>>,
    /// The tokens that it used, as far as they were reported.
    pub token_usage: Option<TokenUsage>,
    /// The provider's id of the request.
    pub request_id: Option<Arc<str>>,
    /// How long the provider asked to wait before a retry.
    pub retry_after: Option<Duration>,
    pub(super) origin: Origin,
    /// Distinguishes calls of one process that ended in the same millisecond.
    pub(super) number: u32,
    /// The version of the ledger that recorded its end; zero for a call of another process.
    pub(super) version: u64,
}

/// Two are equal if their items are.
impl PartialEq for Attempt {
    fn eq(&self, other: &Self) -> bool {
        let one = (&self.model, &self.token_usage, &self.request_id, self.retry_after);
        self.order() == other.order()
            && (self.started_at, &self.error_type) == (other.started_at, &other.error_type)
            && one == (&other.model, &other.token_usage, &other.request_id, other.retry_after)
    }
}

/// Which process has made a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// Unknown: the call was the only one of its agent, and was not recorded as an attempt.
    Unknown,
    /// The process with this id among the writers of the item.
    Writer(Arc<str>),
    /// This process. The next write sets its id.
    This,
}

impl Attempt {
    /// The call of an agent that has ended after its only call, derived from what the agent shows.
    /// `own` is when the call started, and the version of the ledger that recorded its end, if this
    /// process made it.
    pub(super) fn only_call_of(agent: &AgentStatus, own: Option<(Timestamp, u64)>) -> Option<Self> {
        if agent.calls != 1 || !agent.attempts.is_empty() || !agent.has_ended() {
            return None;
        }
        let (started_at, completed_at) =
            own.map(|(at, _)| at).or(agent.started_at).zip(agent.completed_at)?;
        Some(Self {
            started_at,
            completed_at: completed_at.max(started_at),
            error_type: agent.error.as_ref().map(|error| error.class.clone()),
            model: agent.model.clone(),
            token_usage: agent.token_usage(),
            request_id: None,
            retry_after: None,
            origin: if own.is_some() { Origin::This } else { Origin::Unknown },
            number: 0,
            version: own.map_or(0, |(_, version)| version),
        })
    }

    /// Returns [`Success`](AgentState::Success) or [`Error`](AgentState::Error).
    #[must_use]
    pub fn state(&self) -> AgentState {
        if self.error_type.is_none() { AgentState::Success } else { AgentState::Error }
    }

    /// Returns the duration of the call.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.completed_at.duration_since(self.started_at)
    }

    /// The origin and the number as the item has them.
    pub(super) fn origin_text(&self) -> Option<String> {
        match (&self.origin, self.number) {
            (Origin::Writer(writer), 0) => Some(writer.to_string()),
            (Origin::Writer(writer), number) => Some(format!("{writer}.{number}")),
            // What this process has made is named before it is written.
            (Origin::Unknown | Origin::This, _) => None,
        }
    }

    /// The origin and the number from what the item has.
    pub(super) fn origin_of(text: Option<&str>) -> (Origin, u32) {
        let Some(text) = text else { return (Origin::Unknown, 0) };
        match text.rsplit_once('.') {
            Some((writer, number)) => (Origin::Writer(writer.into()), number.parse().unwrap_or(0)),
            None => (Origin::Writer(text.into()), 0),
        }
    }

    /// Whether this call, whose origin is not known, may be the other. It was read off an agent, which
    /// shows the tokens of a call in flight, too, and the model of that.
    fn may_include(&self, other: &Self) -> bool {
        let tokens = self.token_usage.unwrap_or_default();
        self.completed_at == other.completed_at
            && self.error_type == other.error_type
            && other.token_usage.is_none_or(|of_other| tokens.max(&of_other) == tokens)
    }

    /// Whether the agent itself shows all of this, so that no attempt is needed. Where it succeeded, its
    /// times may be those of an older writer, and they stand.
    #[cold]
    pub(super) fn is_shown_by(&self, agent: &AgentStatus) -> bool {
        Self::only_call_of(agent, None).is_some_and(|only| {
            let is_same_end = self.error_type.is_none() || self.completed_at == only.completed_at;
            is_same_end
                && self.state() == agent.state
                && self.error_type == only.error_type
                && self.model == only.model
                && self.token_usage == only.token_usage
        })
    }

    fn order(&self) -> (Timestamp, &Origin, u32) {
        (self.completed_at, &self.origin, self.number)
    }
}

/// The last calls of an agent, in the order in which they ended.
///
/// Each has an id that is unique across processes, so that merging two lists is their union. A list keeps
/// the last [`KEPT`](Self::KEPT) calls. Merging such lists gives the last calls of both.
///
/// Adding a call is on its caller's path. So a full list is a ring buffer: a call replaces the oldest.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts(
    /// Most agents have none.
    Option<Box<Ring>>,
);

#[derive(Clone, Debug, Default)]
struct Ring {
    list: Vec<Attempt>,
    /// The index of the oldest; zero unless the list is full.
    oldest: usize,
    /// When the newest ended, and its number, if this process made it.
    newest_own: Option<(Timestamp, u32)>,
}

impl Ring {
    /// The list, the oldest first.
    fn ordered(&mut self) -> &mut Vec<Attempt> {
        self.newest_own = None;
        self.list.rotate_left(std::mem::take(&mut self.oldest));
        &mut self.list
    }
}

impl Attempts {
    pub(super) const KEPT: usize = 8;

    pub(super) fn is_empty(&self) -> bool {
        self.list().is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.list().len()
    }

    /// The list, in the order of the ring.
    fn list(&self) -> &[Attempt] {
        self.0.as_ref().map_or(&[], |ring| &ring.list)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Attempt> {
        let oldest = self.0.as_ref().map_or(0, |ring| ring.oldest);
        let (newer, older) = self.list().split_at(oldest);
        older.iter().chain(newer)
    }

    /// Adds a call of this process that has ended.
    #[inline(always)]
    pub(super) fn push(
        &mut self,
        outcome: &Outcome,
        details: &CallDetails<'_>,
        model: Option<&Arc<str>>,
        (now, version): (Timestamp, u64),
    ) {
        // The clock may have been set back. An item has the start and the duration.
        let now = now.max(details.started_at);
        // The common case: the list is full, and its newest is of this process.
        let Some(ring) = &mut self.0 else {
            return self.push_other(outcome, details, model, (now, version));
        };
        let number = match ring.newest_own {
            Some((newest, _)) if newest < now => 0,
            Some((newest, number)) if newest == now => number.saturating_add(1),
            _ => return self.push_other(outcome, details, model, (now, version)),
        };
        let is_full = ring.list.len() == Self::KEPT;
        let Some(place) = ring.list.get_mut(ring.oldest).filter(|_| is_full) else {
            return self.push_other(outcome, details, model, (now, version));
        };
        ring.newest_own = Some((now, number));
        ring.oldest = (ring.oldest + 1) % Self::KEPT;
        place.started_at = details.started_at;
        place.completed_at = now;
        if place.error_type.is_some() || outcome.error().is_some() {
            place.error_type = class_of(outcome);
        }
        if place.model.as_ref().map(Arc::as_ptr) != model.map(Arc::as_ptr) {
            place.model = model.cloned();
        }
        // Nothing is copied where there is none.
        match details.usage {
            Some(usage) => place.token_usage = Some(*usage),
            None => place.token_usage = None,
        }
        if place.request_id.is_some() || place.retry_after.is_some() || details.head.is_some() {
            (place.request_id, place.retry_after) = details.of_head();
        }
        place.origin = Origin::This;
        place.number = number;
        place.version = version;
    }

    #[cold]
    #[inline(never)]
    fn push_other(
        &mut self,
        outcome: &Outcome,
        details: &CallDetails<'_>,
        model: Option<&Arc<str>>,
        (now, version): (Timestamp, u64),
    ) {
        let list = self.0.get_or_insert_default().ordered();
        // One that has ended before another is put in its place.
        let same = list.iter().filter(|known| known.completed_at == now);
        let number = same.map(|known| known.number).max().map_or(0, |last| last.saturating_add(1));
        let (request_id, retry_after) = details.of_head();
        let attempt = Attempt {
            started_at: details.started_at,
            completed_at: now,
            error_type: class_of(outcome),
            model: model.cloned(),
            token_usage: details.usage.copied(),
            request_id,
            retry_after,
            origin: Origin::This,
            number,
            version,
        };
        let is_newest = list.last().is_none_or(|last| last.order() < attempt.order());
        self.place(attempt).newest_own = is_newest.then_some((now, number));
    }

    /// Adds a call at its place, unless it is known.
    #[cold]
    pub(super) fn insert(&mut self, attempt: Attempt) {
        let is_same = |known: &Attempt| {
            known.order() == attempt.order()
                || known.origin == Origin::Unknown && known.may_include(&attempt)
                || attempt.origin == Origin::Unknown && attempt.may_include(known)
        };
        let mut known = self.0.iter_mut().flat_map(|ring| &mut ring.list);
        if let Some(known) = known.find(|known| is_same(known)) {
            if known.origin == Origin::Unknown {
                *known = attempt;
            }
            return;
        }
        self.place(attempt);
    }

    #[cold]
    fn place(&mut self, attempt: Attempt) -> &mut Ring {
        let ring = self.0.get_or_insert_default();
        let list = ring.ordered();
        let at = list.partition_point(|known| known.order() < attempt.order());
        if list.len() == list.capacity() {
            // One, two, four, eight: a vector would begin with four, and most agents have fewer.
            list.reserve_exact(list.len().max(1));
        }
        list.insert(at, attempt);
        if list.len() > Self::KEPT {
            list.remove(0);
        }
        ring
    }

    /// Adds the calls of another list.
    pub(super) fn merge(&mut self, other: &Self) {
        for attempt in other.iter() {
            self.insert(attempt.clone());
        }
    }

    /// Keeps the calls whose end was recorded after this version of the ledger.
    pub(super) fn keep_newer(&mut self, version: u64) {
        if let Some(ring) = &mut self.0 {
            ring.ordered().retain(|attempt| attempt.version > version);
            self.0.take_if(|ring| ring.list.is_empty());
        }
    }

    /// Sets this process's id as the origin of its own calls.
    pub(super) fn name_origin(&mut self, writer: &Arc<str>) {
        let Some(ring) = &mut self.0 else { return };
        let list = ring.ordered();
        for attempt in &mut *list {
            if attempt.origin == Origin::This {
                attempt.origin = Origin::Writer(Arc::clone(writer));
            }
        }
        // The order of calls in one millisecond may have changed.
        list.sort_by(|a, b| a.order().cmp(&b.order()));
        // The item may have had one before this process knew of it again.
        list.dedup_by(|a, b| a.order() == b.order());
    }

    pub(super) fn has_unnamed(&self) -> bool {
        self.list().iter().any(|attempt| attempt.origin == Origin::This)
    }
}

impl PartialEq for Attempts {
    fn eq(&self, other: &Self) -> bool {
        self.list().len() == other.list().len() && self.iter().eq(other.iter())
    }
}

/// The class of a failure.
fn class_of(outcome: &Outcome) -> Option<Cow<'static, str>> {
    match outcome {
        Outcome::Success => None,
        Outcome::Error(error) => Some(error.class.clone()),
    }
}

impl FromIterator<Attempt> for Attempts {
    fn from_iter<I: IntoIterator<Item = Attempt>>(attempts: I) -> Self {
        let mut list = Self::default();
        for attempt in attempts {
            list.place(attempt);
        }
        list
    }
}

impl AgentStatus {
    /// Returns the last calls of the agent, at most 8, in the order in which they ended. There are
    /// none while the agent had only one call, unless that failed.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter()
    }

    /// Removes its attempts and its models, and keeps the sums.
    #[cfg_attr(not(feature = "portal"), allow(dead_code, reason = "only lists leave them out"))]
    pub(crate) fn drop_calls(&mut self) {
        self.attempts = Attempts::default();
        if let Some(spending) = &mut self.spending {
            spending.models = Vec::new();
        }
    }

    /// The agent gets another call, so its only one so far becomes an attempt. `own` is when that
    /// started, if this process made it.
    #[cold]
    pub(super) fn note_only_call(&mut self, own: Option<(Timestamp, u64)>) {
        if let Some(only) = Attempt::only_call_of(self, own) {
            self.attempts.insert(only);
        }
    }

    /// Records what the last call to end reports, except for its model, which is recorded with its
    /// tokens.
    #[inline]
    pub(super) fn describe_call(&mut self, details: &CallDetails<'_>, activities: &Activities) {
        match (&self.finish_reason, details.finish_reason) {
            (None, None) => {}
            (Some(known), Some(reason)) if reason.is(known) => {}
            (_, reason) => {
                let reason = reason.filter(|reason| is_reason(reason.0));
                self.finish_reason =
                    reason.and_then(|reason| activities.common_reason.share(reason));
            }
        }
        self.time_to_first_chunk = details.time_to_first_chunk;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(start: i64, origin: Origin) -> Attempt {
        Attempt {
            started_at: Timestamp::from_millis(start),
            completed_at: Timestamp::from_millis(start + 5),
            error_type: None,
            model: None,
            token_usage: None,
            request_id: None,
            retry_after: None,
            origin,
            number: 0,
            version: 0,
        }
    }

    fn starts(list: &Attempts) -> Vec<(i64, u32)> {
        list.iter().map(|a| (a.started_at.as_millis(), a.number)).collect()
    }

    #[test]
    fn the_last_calls_are_kept_in_the_order_of_their_ends() {
        let mut list = Attempts::default();
        let end = |list: &mut Attempts, start: i64| {
            let details = CallDetails::none(Timestamp::from_millis(start));
            list.push(&Outcome::Success, &details, None, (Timestamp::from_millis(start + 5), 1));
        };
        for start in [3, 1, 2, 2, 9, 8, 7, 6, 5, 4] {
            end(&mut list, start);
        }
        let kept = [(2, 1), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0)];
        assert_eq!(starts(&list), kept);
        // Around the ring, one millisecond included.
        for start in [10, 11, 11, 12] {
            end(&mut list, start);
        }
        let kept = [(6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (11, 0), (11, 1), (12, 0)];
        assert_eq!(starts(&list), kept);
        end(&mut list, 11);
        let kept = [(7, 0), (8, 0), (9, 0), (10, 0), (11, 0), (11, 1), (11, 2), (12, 0)];
        assert_eq!(starts(&list), kept);
    }

    #[test]
    fn two_lists_merge_into_their_union_in_any_order() {
        let of = |writer: &str, starts: &[i64]| -> Attempts {
            let origin = Origin::Writer(writer.into());
            starts.iter().map(|start| attempt(*start, origin.clone())).collect()
        };
        let (a, b) = (of("a", &[1, 3, 5, 7, 9]), of("b", &[2, 3, 6, 8, 10]));
        let (mut one, mut other) = (a.clone(), b.clone());
        one.merge(&b);
        other.merge(&a);
        assert_eq!(one, other);
        assert_eq!(one.iter().count(), Attempts::KEPT);
        let merged = one.clone();
        one.merge(&a);
        one.merge(&b);
        assert_eq!(one, merged, "each call counts once");
    }

    #[test]
    fn a_call_whose_caller_is_not_known_is_not_there_twice() {
        let mut list: Attempts = [attempt(1, Origin::Unknown)].into_iter().collect();
        list.merge(&[attempt(1, Origin::Writer("a".into()))].into_iter().collect());
        list.merge(&[attempt(1, Origin::Unknown)].into_iter().collect());
        let callers: Vec<_> = list.iter().map(|attempt| attempt.origin.clone()).collect();
        assert_eq!(callers, [Origin::Writer("a".into())]);
    }
    #[test]
    fn an_agent_shows_the_tokens_of_another_call_in_flight_too() {
        let with = |input, origin| Attempt {
            token_usage: Some(TokenUsage::new(input, 4)),
            ..attempt(1, origin)
        };
        let (read, known) = (with(90, Origin::Unknown), with(77, Origin::Writer("a".into())));
        let more = with(91, Origin::Writer("a".into()));
        for (calls, expected) in [
            ([&read, &known], vec![&known]),
            ([&known, &read], vec![&known]),
            ([&read, &more], vec![&read, &more]),
        ] {
            let mut list = Attempts::default();
            calls.into_iter().for_each(|call| list.insert(call.clone()));
            assert_eq!(list.iter().collect::<Vec<_>>(), expected);
        }
    }
}
