//! Small worlds, many of them: see `sse_tests::world`.

use std::collections::BTreeMap;

use sse_tests::harness::Harness;
use sse_tests::world::{Bare, Home, Plan, Tally, explain, run};

#[test]
fn in_small_worlds_everybody_has_everything_once() {
    let tally = worlds::<Bare>(1..=600);
    let missing: Vec<_> = EVERYTHING.iter().filter(|what| !tally.contains_key(**what)).collect();
    assert!(missing.is_empty(), "never happens: {missing:?}");
    println!("{tally:?}");
}

#[test]
fn in_small_worlds_the_engine_is_what_the_model_says() {
    worlds::<Harness>(1_001..=1_030);
}

fn worlds<H: Home>(seeds: std::ops::RangeInclusive<u64>) -> Tally {
    let mut all = BTreeMap::new();
    for seed in seeds {
        match run::<H>(&Plan::small(seed), None) {
            Ok(tally) => tally.into_iter().for_each(|(what, count)| *all.entry(what).or_default() += count),
            Err(_) => {
                panic!("world {seed}: {}\nTo see it again: tests/run replay {seed}", explain::<H>(Plan::small(seed), 2_000))
            }
        }
    }
    all
}

/// What never happens proves nothing.
const EVERYTHING: [&str; 22] = [
    "clients expired",
    "closed: drained",
    "closed: expired",
    "closed: overrun",
    "closed: replaced",
    "closed: stalled",
    "closed: unregistered",
    "cut within a frame",
    "ends of tasks heard",
    "events heard",
    "gaps told to the application",
    "gaps: epoch",
    "gaps: evicted",
    "gaps: overrun",
    "gaps: unknown",
    "half open",
    "hubs that went",
    "ids unused",
    "requests refused",
    "stale connections",
    "streams found dead",
    "waits of pages",
];
