//! How a shard sleeps, and how others wake it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use mio::{Registry, Token, Waker};

/// Shared by a shard and by all who put something where it looks. Waking who is awake costs one atomic operation.
#[derive(Debug)]
pub(crate) struct Wake {
    waker: Waker,
    asleep: AtomicBool,
}

impl Wake {
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self { waker: Waker::new(registry, token)?, asleep: AtomicBool::new(false) })
    }

    /// Something was put where the shard looks.
    pub(crate) fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst) {
            // It fails when the shard is gone.
            let _ = self.waker.wake();
        }
    }

    /// Shard: whoever puts something in from now on wakes it. What was put in before must be looked for after this.
    pub(super) fn fall_asleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Shard: it looks by itself.
    pub(super) fn stay_awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }
}
