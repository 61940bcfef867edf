//! What went wrong, and with how little it still goes wrong.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use super::{Home, Plan, Tally, World};

/// A world in which a law was broken.
#[derive(Debug)]
pub struct Failure {
    /// What it takes.
    pub plan: Plan,
    /// Which law, and where it was found broken.
    pub what: String,
    /// What happened until then.
    pub trace: Vec<String>,
}

/// Lets a world happen. `progress` is told the simulated time and how many things happened, now and then.
///
/// # Errors
///
/// What went wrong.
pub fn run<'a, H: Home>(plan: &'a Plan, progress: Option<&'a mut dyn FnMut(u64, u64)>) -> Result<Tally, String> {
    quietly(|| {
        let mut world = World::<H>::new(plan);
        world.progress = progress;
        world.run_to_the_end()
    })
}

/// Leaves out of a plan that fails whatever it fails without, for at most `runs` runs, and tells what happens in the rest.
pub fn explain<H: Home>(plan: Plan, runs: usize) -> Failure {
    let mut left = runs;
    let mut fails = |plan: &Plan| {
        left = left.saturating_sub(1);
        left > 0 && run::<H>(plan, None).is_err()
    };
    let mut plan = plan;
    loop {
        let before = plan.steps.len();
        plan.steps = fewest(plan.steps.clone(), &mut |steps| fails(&Plan { steps: steps.to_vec(), ..plan.clone() }));
        plan = without_pages(plan, &mut fails);
        if plan.steps.len() == before {
            break;
        }
    }
    let (answer, trace) = traced::<H>(&plan);
    Failure { plan, what: answer.err().unwrap_or_else(|| "it does not fail again".into()), trace }
}

/// What happens in a world, in words.
pub fn tell<H: Home>(plan: &Plan) -> Vec<String> {
    traced::<H>(plan).1
}

fn traced<H: Home>(plan: &Plan) -> (Result<Tally, String>, Vec<String>) {
    let mut trace = Vec::new();
    let answer = quietly(|| {
        let mut world = World::<H>::new(plan);
        world.trace = Some(&mut trace);
        world.run_to_the_end()
    });
    (answer, trace)
}

/// The smallest part of `list` found that `fails`, by leaving out half of it, quarters, and so on.
fn fewest<T: Clone>(mut list: Vec<T>, fails: &mut impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut part = list.len().div_ceil(2);
    while part > 0 {
        let mut at = 0;
        while at < list.len() {
            let mut fewer = list[..at].to_vec();
            fewer.extend_from_slice(&list[(at + part).min(list.len())..]);
            if fails(&fewer) {
                list = fewer;
            } else {
                at += part;
            }
        }
        part = if part == 1 { 0 } else { part.div_ceil(2) };
    }
    list
}

/// Numbers in steps keep their meaning: a page that is left out is never opened.
fn without_pages(mut plan: Plan, fails: &mut impl FnMut(&Plan) -> bool) -> Plan {
    for number in 0..plan.pages.len() {
        let mut fewer = plan.clone();
        fewer.pages[number].at = None;
        if plan.pages[number].at.is_some() && fails(&fewer) {
            plan = fewer;
        }
    }
    plan
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A panic is an answer, with its place, and nothing is printed.
fn quietly<R>(run: impl FnOnce() -> R) -> Result<R, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if QUIET.get() {
                SAID.set(info.to_string());
            } else {
                before(info);
            }
        }));
    });
    QUIET.set(true);
    let answer = catch_unwind(AssertUnwindSafe(run));
    QUIET.set(false);
    answer.map_err(|_| SAID.take())
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, what, trace } = self;
        let pages = plan.pages.iter().enumerate().filter_map(|(number, page)| Some((number, page.client, page.at?)));
        let (count, steps) = (pages.clone().count(), plan.steps.len());
        writeln!(f, "{what}\n\nThe shortest that fails: pages {count}, steps {steps}")?;
        writeln!(f, "  {:?}", plan.config)?;
        writeln!(f, "  latency {} ms, window {} bytes", plan.latency, plan.window)?;
        for (number, client, at) in pages {
            writeln!(f, "  page {number}: opened after {at} ms, {:?}", plan.clients[client as usize])?;
        }
        for (at, step) in &plan.steps {
            writeln!(f, "  after {at} ms: {step:?}")?;
        }
        writeln!(f, "\nWhat happened:")?;
        let skip = trace.len().saturating_sub(MOST_LINES);
        if skip > 0 {
            writeln!(f, "  … {skip} lines before")?;
        }
        trace[skip..].iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

const MOST_LINES: usize = 300;
