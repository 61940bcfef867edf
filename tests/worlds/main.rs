//! Simulated worlds for as long as there is time: see `sse_tests::world`.
//!
//! ```text
//! worlds                    a day of 100,000 pages, and a thousand small worlds
//! worlds small FIRST LAST   the small worlds with these seeds
//! worlds day SEED [PAGES]   a day of so many pages
//! worlds replay SEED        a small world again: if it fails, what it takes and what happens; else what happens
//! worlds replay day-SEED [PAGES]
//! ```
#![allow(clippy::print_stdout, reason = "a program")]

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use sse_tests::harness::Harness;
use sse_tests::heap::Counting;
use sse_tests::world::{Bare, Home, Plan, SmallTables, Tally, explain, run, tell};

#[global_allocator]
static HEAP: Counting = Counting;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse::<u64>().ok();
    let passed = match words[..] {
        [] => small(10_001, 11_000) && day(CROWD, 1),
        ["small", first, last] => match (number(first), number(last)) {
            (Some(first), Some(last)) => small(first, last),
            _ => return usage(),
        },
        ["day", seed] => match number(seed) {
            Some(seed) => day(CROWD, seed),
            None => return usage(),
        },
        ["day", seed, crowd] => match (number(seed), crowd.parse()) {
            (Some(seed), Ok(crowd)) => day(crowd, seed),
            _ => return usage(),
        },
        ["replay", seed] => match (number(seed), seed.strip_prefix("day-").and_then(number)) {
            (Some(seed), _) => replay(Plan::small(seed), 2_000),
            (None, Some(seed)) => replay(Plan::day(seed), 20),
            (None, None) => return usage(),
        },
        ["replay", seed, crowd] => match (seed.strip_prefix("day-").and_then(number), crowd.parse()) {
            (Some(seed), Ok(crowd)) => replay(Plan::day_of(seed, crowd), 200),
            _ => return usage(),
        },
        _ => return usage(),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> ExitCode {
    eprintln!("worlds [small FIRST LAST | day SEED [PAGES] | replay SEED | replay day-SEED [PAGES]]");
    ExitCode::from(2)
}

const CROWD: u32 = 100_000;

/// Small worlds, one in ten with the model in step, and every other one of those that fit there in fixed memory.
fn small(first: u64, last: u64) -> bool {
    let begun = Instant::now();
    let mut all = Tally::new();
    for seed in first..=last {
        let plan = Plan::small(seed);
        let answer = match seed % 10 {
            0 => run::<Harness>(&plan, None),
            1 | 3 | 5 | 7 | 9 if plan.config.check_for::<SmallTables>().is_ok() => run::<Bare<SmallTables>>(&plan, None),
            _ => run::<Bare>(&plan, None),
        };
        match answer {
            Ok(tally) => tally.into_iter().for_each(|(what, count)| *all.entry(what).or_default() += count),
            Err(_) => return replay(plan, 2_000),
        }
    }
    println!("worlds {first} to {last}: every law held, in {:.1} s", begun.elapsed().as_secs_f64());
    show(&all);
    true
}

fn day(crowd: u32, seed: u64) -> bool {
    let begun = Instant::now();
    let mut progress = |at: u64, happened: u64| {
        let (hours, minutes) = (at / 3_600_000, at / 60_000 % 60);
        println!("  {hours:>2}:{minutes:02} of a day, {happened} things happened, {:.1} s", begun.elapsed().as_secs_f64());
    };
    match run::<Bare>(&Plan::day_of(seed, crowd), Some(&mut progress)) {
        Ok(tally) => {
            println!("a day of {crowd} pages: every law held, in {:.1} s", begun.elapsed().as_secs_f64());
            show(&tally);
            true
        }
        Err(what) => {
            println!("the day of {crowd} pages with seed {seed}: {what}\nA shorter one: tests/run replay day-{seed} {crowd}");
            false
        }
    }
}

/// What happens in a world, or with how little it fails: on the heap or, if it does not there, in fixed memory or with the model.
fn replay(plan: Plan, runs: usize) -> bool {
    let fits = plan.config.check_for::<SmallTables>().is_ok();
    if run::<Bare>(&plan, None).is_err() {
        println!("{}", failure::<Bare>(plan, runs));
    } else if fits && run::<Bare<SmallTables>>(&plan, None).is_err() {
        println!("{}", failure::<Bare<SmallTables>>(plan, runs));
    } else if plan.thorough && run::<Harness>(&plan, None).is_err() {
        println!("{}", failure::<Harness>(plan, runs));
    } else {
        tell::<Bare>(&plan).iter().for_each(|line| println!("{line}"));
        println!("world {}: every law held", plan.seed);
        return true;
    }
    false
}

fn failure<H: Home>(plan: Plan, runs: usize) -> String {
    let seed = plan.seed;
    let again = if plan.thorough { format!("{seed}") } else { format!("day-{seed} {}", plan.pages.len()) };
    format!("world {seed}: {}\nTo see it again: tests/run replay {again}", explain::<H>(plan, runs))
}

fn show(tally: &Tally) {
    tally.iter().for_each(|(what, count)| println!("  {count:>9} {what}"));
}
