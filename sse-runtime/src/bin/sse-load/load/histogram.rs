//! How long deliveries took: counts in buckets that are exact to one part in 128, in constant memory.

/// Durations in nanoseconds.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; bucket(u64::MAX) + 1], total: 0, max: 0 }
    }

    pub(crate) fn record(&mut self, nanos: u64) {
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    /// The least duration that this share of all is not above; `None` if there are none.
    pub(crate) fn quantile(&self, share: f64) -> Option<u64> {
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(upper(found).min(self.max))
    }

    pub(crate) fn max(&self) -> Option<u64> {
        (self.total > 0).then_some(self.max)
    }
}

/// Small values have a bucket each; beyond, each power of two is cut into 128.
fn bucket(nanos: u64) -> usize {
    let shift = (u64::BITS - BITS).saturating_sub(nanos.leading_zeros() + 1);
    ((u64::from(shift) << BITS) + (nanos >> shift)) as usize
}

/// The largest value in a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket >> BITS).saturating_sub(1).min(u64::from(u64::BITS));
    let first = bucket - (shift << BITS);
    (((u128::from(first) + 1) << shift) - 1).min(u128::from(u64::MAX)) as u64
}

/// Bits of precision.
const BITS: u32 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_close_above_what_is_in_it() {
        for value in (0..64).flat_map(|bit| [0, 1, 3].map(|more| (1u64 << bit).wrapping_add(more << bit >> 3))) {
            let upper = upper(bucket(value));
            assert!(upper >= value && upper - value <= value / 128, "{value} is in a bucket up to {upper}");
        }
        assert!((1..5_000u64).all(|value| bucket(value) == bucket(value - 1) || bucket(value) == bucket(value - 1) + 1));
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_list() {
        let mut histogram = Histogram::new();
        assert_eq!((histogram.quantile(0.5), histogram.max()), (None, None));
        (1..=100).for_each(|value| histogram.record(value));
        assert_eq!([0.0, 0.5, 0.99, 0.999, 1.0].map(|share| histogram.quantile(share)), [1, 50, 99, 100, 100].map(Some));
    }
}
