//! How long to wait before the next attempt.

use core::time::Duration;

use super::Config;

/// The reconnection time, the attempts that failed, and a source of jitter.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    /// What the stream set last, or the configuration.
    retry: Duration,
    /// Attempts that failed since a stream was open.
    failures: u32,
    random: u64,
}

impl Backoff {
    pub(super) fn new(config: &Config, entropy: u64) -> Self {
        Self { retry: config.retry, failures: 0, random: entropy }
    }

    pub(super) fn set_retry(&mut self, config: &Config, millis: u64) {
        self.retry = Duration::from_millis(millis).min(config.longest_wait);
    }

    pub(super) fn retry(&self) -> Duration {
        self.retry
    }

    /// An attempt failed; true when it was the last one allowed.
    pub(super) fn fail(&mut self, config: &Config) -> bool {
        self.failures = self.failures.saturating_add(1);
        config.max_attempts.is_some_and(|max| self.failures >= max)
    }

    /// A stream was opened.
    pub(super) fn succeed(&mut self) {
        self.failures = 0;
    }

    /// The next wait: the reconnection time, doubled for each failure after the first up to the ceiling, not less than what the
    /// server asked for, and some more by chance.
    pub(super) fn wait(&mut self, config: &Config, asked: Option<Duration>) -> Duration {
        let base = self.retry.max(config.shortest_wait);
        let doubled = base.saturating_mul(2u32.saturating_pow(self.failures.saturating_sub(1)));
        let wait = doubled.min(config.backoff_ceiling.max(base)).max(asked.unwrap_or_default().min(config.longest_wait));
        let most = wait.saturating_mul(u32::from(config.jitter_percent)) / 100;
        wait.saturating_add(self.below(most))
    }

    /// A duration of whole milliseconds between zero and `most`, both included.
    fn below(&mut self, most: Duration) -> Duration {
        // SplitMix64: any seed will do, and one word of state.
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let choices = u128::from(crate::time::millis(most)) + 1;
        // The high half of the product is below `choices`, so it fits.
        Duration::from_millis(((u128::from(mixed) * choices) >> 64) as u64)
    }
}
