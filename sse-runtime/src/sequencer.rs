//! One order for everything that is published.
//!
//! Whoever publishes first reserves a place in the queue of every shard concerned, then takes numbers and fills the places while
//! holding the lock, so that every shard sees numbers rise. A shard that publishes itself need not queue what is for its own
//! engine, if its queue is empty while it holds the lock. Nothing waits while the lock is held.

use std::sync::{Mutex, PoisonError};

/// Gives out sequence numbers.
#[derive(Debug, Default)]
pub(crate) struct Sequencer {
    last: Mutex<u64>,
}

impl Sequencer {
    /// Takes the next `count` numbers; `hand_over` gives them to the shards before anyone gets those after. A shard may keep them for
    /// itself, when nothing waits in its queue, and publish next of all.
    pub(crate) fn next<T>(&self, count: usize, hand_over: impl FnOnce(u64) -> T) -> T {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *last + 1;
        *last += count as u64;
        hand_over(first)
    }

    /// The last number that was given out; the shards concerned have it in their queues, are about to publish it, or never will.
    pub(crate) fn last(&self) -> u64 {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
