//! [`Waiters`]: the flushes in progress, and what each still waits for.
//!
//! Like the hand-off, this file uses nothing of the crate: `tests/handoff` checks the two
//! together.

use std::collections::HashMap;
use std::sync::Arc;

/// Identifies an entry by its address. An entry in the recorder's hands cannot be freed, so no
/// other can have that address.
pub(super) fn key<E>(entry: &Arc<E>) -> usize {
    Arc::as_ptr(entry).addr()
}

/// Flushes that wait until entries of type `E` are saved, or an attempt has failed with an `F`.
pub(super) struct Waiters<E, F, R> {
    waiters: Vec<Waiter<E, F, R>>,
    epoch: u64,
}

/// A flush that waits until these entries are saved up to these versions.
struct Waiter<E, F, R> {
    epoch: u64,
    waiting_for: HashMap<usize, (Arc<E>, u64)>,
    failed: Vec<F>,
    reply: R,
}

impl<E, F: Clone, R> Waiters<E, F, R> {
    pub(super) fn new() -> Self {
        Self { waiters: Vec::new(), epoch: 0 }
    }

    /// The reply of the flush that waits for longest.
    pub(super) fn first(&self) -> Option<&R> {
        self.waiters.first().map(|waiter| &waiter.reply)
    }

    /// How many flushes there were so far. An attempt that starts now counts for all of them.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Adds a flush that waits until these entries are saved up to these versions.
    pub(super) fn add(&mut self, entries: impl Iterator<Item = (Arc<E>, u64)>, reply: R) {
        self.epoch += 1;
        let waiting_for = entries.map(|(entry, version)| (key(&entry), (entry, version)));
        self.waiters.push(Waiter {
            epoch: self.epoch,
            waiting_for: waiting_for.collect(),
            failed: Vec::new(),
            reply,
        });
    }

    /// Whether a flush waits for the entry.
    pub(super) fn wait_for(&self, entry: &Arc<E>) -> bool {
        self.waiters.iter().any(|waiter| waiter.waiting_for.contains_key(&key(entry)))
    }

    /// Notes that an attempt of this epoch has ended: up to which version the entry is saved now,
    /// and how the attempt failed, if it did.
    pub(super) fn tried(&mut self, entry: &Arc<E>, saved: u64, failed: Option<&F>, epoch: u64) {
        for waiter in &mut self.waiters {
            let Some((_, version)) = waiter.waiting_for.get(&key(entry)) else { continue };
            if saved >= *version {
                waiter.waiting_for.remove(&key(entry));
            } else if let Some(failed) = failed
                && epoch >= waiter.epoch
            {
                waiter.waiting_for.remove(&key(entry));
                waiter.failed.push(failed.clone());
            }
        }
    }

    /// Removes the flushes that are complete, each with what failed.
    pub(super) fn take_answered(&mut self) -> impl Iterator<Item = (R, Vec<F>)> + use<E, F, R> {
        let answered: Vec<_> =
            self.waiters.extract_if(.., |waiter| waiter.waiting_for.is_empty()).collect();
        answered.into_iter().map(|waiter| (waiter.reply, waiter.failed))
    }

    /// Removes the flushes that have waited for long enough, each with what failed, and with
    /// what `give_up` makes of each entry that it still waited for.
    pub(super) fn take_expired(
        &mut self,
        is_expired: impl Fn(&R) -> bool,
        give_up: impl Fn(&Arc<E>) -> F,
    ) -> Vec<(R, Vec<F>)> {
        let expired = self.waiters.extract_if(.., |waiter| is_expired(&waiter.reply));
        let give_up = |mut waiter: Waiter<E, F, R>| {
            waiter.failed.extend(waiter.waiting_for.values().map(|(entry, _)| give_up(entry)));
            (waiter.reply, waiter.failed)
        };
        expired.map(give_up).collect()
    }
}
