//! One order for everything that is published.
//!
//! Whoever publishes first reserves a place in the queue of every shard concerned, then takes a number and fills the places while
//! holding the lock, so that every shard sees numbers rise. Nothing waits while the lock is held.

use std::sync::{Mutex, PoisonError};

/// Gives out sequence numbers.
#[derive(Debug, Default)]
pub(crate) struct Sequencer {
    last: Mutex<u64>,
}

impl Sequencer {
    /// Takes the next number; `hand_over` gives it to the shards before anyone gets the one after.
    pub(crate) fn next<T>(&self, hand_over: impl FnOnce(u64) -> T) -> T {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        hand_over(*last)
    }

    /// The last number that was given out; the shards concerned have it in their queues.
    pub(crate) fn last(&self) -> u64 {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
