//! Small worlds, many of them: see `sse_tests::world`.

use std::collections::BTreeMap;

use sse_tests::harness::Harness;
use sse_tests::world::{Bare, Home, Plan, SmallTables, Tally, explain, run};

#[test]
fn in_small_worlds_everybody_has_everything_once() {
    let mut tally = worlds::<Bare>((1..=400).map(Plan::small));
    worlds::<Bare<SmallTables>>(in_fixed_memory(401))
        .into_iter()
        .for_each(|(what, count)| *tally.entry(what).or_default() += count);
    let missing: Vec<_> = EVERYTHING.iter().filter(|what| !tally.contains_key(**what)).collect();
    assert!(missing.is_empty(), "never happens: {missing:?}");
    println!("{tally:?}");
}

#[test]
fn in_small_worlds_the_engine_is_what_the_model_says() {
    worlds::<Harness>((1_001..=1_030).map(Plan::small));
}

/// Two hundred worlds from a seed on whose hubs fit there.
fn in_fixed_memory(first: u64) -> impl Iterator<Item = Plan> {
    (first..).map(Plan::small).filter(|plan| plan.config.check_for::<SmallTables>().is_ok()).take(200)
}

fn worlds<H: Home>(plans: impl Iterator<Item = Plan>) -> Tally {
    let mut all = BTreeMap::new();
    for plan in plans {
        match run::<H>(&plan, None) {
            Ok(tally) => tally.into_iter().for_each(|(what, count)| *all.entry(what).or_default() += count),
            Err(_) => {
                let seed = plan.seed;
                panic!("world {seed}: {}\nTo see it again: tests/run replay {seed}", explain::<H>(plan, 2_000))
            }
        }
    }
    all
}

/// What never happens proves nothing.
const EVERYTHING: [&str; 31] = [
    "clients expired",
    "clock jumps",
    "clock steps back",
    "clocks of pages step back",
    "closed: drained",
    "closed: expired",
    "closed: finished",
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
    "ids restored",
    "ids taken up again",
    "ids unused",
    "reads of one byte",
    "requests overtaken",
    "requests refused",
    "slots used again",
    "stale connections",
    "streams found dead",
    "waits of pages",
];
