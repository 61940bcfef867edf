//! Time as the caller tells it.

use core::time::Duration;

/// A point on the caller's clock, in milliseconds.
///
/// The engine only compares and subtracts instants, and prints them in payloads that carry a timestamp; a driver that wants those
/// to read as wall-clock time counts from the Unix epoch.
///
/// The last instant, `u64::MAX`, is the end of time: ids that nobody has registered and clients that are away are over then, however long
/// they have left; heartbeats and stalls that would be due after it never are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The instant `millis` milliseconds after the start of the caller's clock.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the start of the caller's clock.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This instant `duration` later, at most the last one there is. Parts of a millisecond are left out.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

/// Whole milliseconds of `duration`, at most what an [`Instant`] can hold.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
