//! [`Sessions`]: the sessions in memory, and which of them leaves when room is needed.
//!
//! A session that is saved and idle takes part in nothing: its item has all that it knows, and its
//! next call resumes it from there. Such a session stays in memory for a while only to save that
//! call a conflict. So it is the first to leave when there is no room for another.
//!
//! # Cost
//!
//! The recorder lists a session when it finds it idle, and the request path takes the first from
//! that list. Nothing scans all sessions for that: each step over an entry that does not count any
//! more is paid for by the listing of that entry.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Session;
use crate::status::SessionId;

/// How many sessions that were used since they were listed, or are held by someone just now, go to
/// the end of the list instead, before one has to leave. So the list is nearly in the order of use.
const SECOND_CHANCES: usize = 16;

/// The sessions in memory.
#[derive(Default)]
pub(super) struct Sessions {
    by_id: HashMap<SessionId, Arc<Session>>,
    /// The sessions that were found idle, the first to be found in front. Some have been used
    /// since, or are gone.
    idle: VecDeque<Listed>,
    /// The ticket of the last entry of `idle`.
    last_ticket: u64,
}

/// An entry of the list of idle sessions. It counts while the session has its ticket.
struct Listed {
    id: SessionId,
    ticket: u64,
    /// The version of the session's ledger.
    version: u64,
}

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn get(&self, id: &SessionId) -> Option<&Arc<Session>> {
        self.by_id.get(id)
    }

    pub(super) fn get_by_name(&self, id: &str) -> Option<&Arc<Session>> {
        self.by_id.get(id)
    }

    pub(super) fn ids(&self) -> Vec<SessionId> {
        self.by_id.keys().cloned().collect()
    }

    pub(super) fn insert(&mut self, session: Arc<Session>) {
        self.by_id.insert(session.id.clone(), session);
    }

    pub(super) fn remove(&mut self, id: &SessionId) {
        self.by_id.remove(id);
    }

    /// Lists a session that is saved and idle. Returns the ticket to keep with it.
    pub(super) fn list_idle(&mut self, id: &SessionId, version: u64) -> u64 {
        // What finished while it was listed leaves its entry behind.
        if self.idle.len() > 2 * self.by_id.len() {
            let by_id = &self.by_id;
            self.idle.retain(|listed| {
                let session = by_id.get(&listed.id);
                // The session that is being listed is locked, and has no entry yet.
                listed.id != *id
                    && session.is_some_and(|session| session.lock().ticket == Some(listed.ticket))
            });
        }
        self.last_ticket += 1;
        self.idle.push_back(Listed { id: id.clone(), ticket: self.last_ticket, version });
        self.last_ticket
    }

    /// Removes a session that is saved, idle and in nobody's hands, one that was not used for long
    /// if there is one. Returns it.
    pub(super) fn remove_idle(&mut self) -> Option<Arc<Session>> {
        let mut chances = SECOND_CHANCES;
        while let Some(listed) = self.idle.pop_front() {
            let Some(session) = self.by_id.get(&listed.id) else { continue };
            // Further clones come from the map, which is locked, or from another clone.
            let is_free = Arc::strong_count(session) == 1;
            let mut state = session.lock();
            if state.ticket != Some(listed.ticket) {
                continue;
            }
            let version = state.ledger.version();
            if state.is_idle() && (!is_free || version != listed.version) && chances > 0 {
                chances -= 1;
                self.idle.push_back(Listed { version, ..listed });
                continue;
            }
            state.ticket = None;
            let leaves = state.is_idle() && is_free;
            drop(state);
            // One that stays is listed again when the recorder next finds it idle.
            if leaves {
                return self.by_id.remove(&listed.id);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Ledger, Timestamp};
    use crate::tracker::session::SessionState;

    fn add(sessions: &mut Sessions, name: &str) -> SessionId {
        let id = SessionId::new(name).unwrap();
        let ledger = Ledger::new(id.clone(), Timestamp::from_millis(0));
        sessions.insert(Arc::new(Session::new(id.clone(), SessionState::new(ledger))));
        id
    }

    fn list(sessions: &mut Sessions, id: &SessionId) {
        let session = Arc::clone(sessions.get(id).unwrap());
        session.lock().ticket = Some(sessions.list_idle(id, 0));
    }

    #[test]
    fn the_list_is_bounded_by_the_sessions() {
        let mut sessions = Sessions::default();
        let stays = add(&mut sessions, "stays");
        list(&mut sessions, &stays);
        for round in 0..1_000 {
            // The same again and again, and ever new ones.
            let name = if round % 2 == 0 { "again".to_owned() } else { round.to_string() };
            let id = add(&mut sessions, &name);
            list(&mut sessions, &id);
            sessions.remove(&id);
            assert!(sessions.idle.len() <= 5, "{} entries", sessions.idle.len());
        }
        assert_eq!(sessions.remove_idle().map(|session| session.id.clone()), Some(stays));
        assert!(sessions.remove_idle().is_none() && sessions.len() == 0);
    }

    #[test]
    fn what_was_used_since_it_was_listed_has_the_place_of_its_last_entry() {
        let mut sessions = Sessions::default();
        let [again, other] = ["again", "other"].map(|name| {
            let id = add(&mut sessions, name);
            list(&mut sessions, &id);
            id
        });
        list(&mut sessions, &again);
        let mut next = || sessions.remove_idle().map(|session| session.id.clone());
        assert_eq!([next(), next(), next()], [Some(other), Some(again), None]);
    }

    #[test]
    fn what_is_held_is_passed_over_and_what_was_used_has_a_second_chance() {
        let mut sessions = Sessions::default();
        let [held, used, unused] = ["held", "used", "unused"].map(|name| {
            let id = add(&mut sessions, name);
            list(&mut sessions, &id);
            id
        });
        let handle = Arc::clone(sessions.get(&held).unwrap());
        // As far as the list knows, the session was listed at another version.
        sessions.idle[1].version = 1;
        let mut next = || sessions.remove_idle().map(|session| session.id.clone());
        assert_eq!(next(), Some(unused));
        assert_eq!(next(), Some(used));
        assert_eq!(next(), None);
        drop(handle);
        // It has to be listed again.
        assert_eq!(next(), None);
        list(&mut sessions, &held);
        assert_eq!(sessions.remove_idle().map(|session| session.id.clone()), Some(held));
    }
}
