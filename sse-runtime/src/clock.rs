//! The engine's clock: milliseconds since the Unix epoch that never step back.

use std::time::{Instant as Monotonic, SystemTime, UNIX_EPOCH};

use sse_proto::Instant;

/// Wall-clock time at the start, monotonic time from there on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Monotonic,
    unix_millis: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Monotonic::now(), unix_millis: u64::try_from(since_epoch.as_millis()).unwrap_or(0) }
    }

    pub(crate) fn now(&self) -> Instant {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Instant::from_millis(self.unix_millis.saturating_add(elapsed))
    }
}
