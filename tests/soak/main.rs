//! A long run against `sse-hub`: clients that come, stall, are cut off and come back, publishers of every kind, and an account of
//! every delivery. `tests/run soak` starts it.
//!
//! Every event that a client should have received was received, once and in order, or lies in a gap that the hub told of. The same
//! seed gives each actor the same decisions; when they take effect is up to the machine.

mod hub;
mod ledger;
mod publisher;
mod random;
mod reader;
mod world;

use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

use self::hub::Program;
use self::random::Random;
use self::reader::Reader;
use self::world::{PUBLISHERS, READERS, World};

/// What the hub is started with: a log that readers who stall or stay away are overtaken by, and timers short enough for many of
/// them to run out. Clients are forgotten soon, so that memory is level after the first quarter.
const SETTINGS: &[&str] = &[
    "limits.log_bytes=512KiB",
    "limits.log_entries=1024",
    "timers.write_stall=2s",
    "timers.heartbeat=1s",
    "timers.dormant_after=20s",
    "timers.sweep_every=2s",
];
/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(250);
/// How often progress is told.
const REPORT: Duration = Duration::from_secs(5);
/// How long clients may take to get what is left when publishing has stopped.
const SETTLE: Duration = Duration::from_secs(60);
/// How much more memory the last quarter may take than the second: this many KiB, or a tenth.
const GROWTH_KIB: u64 = 8 << 10;

struct Options {
    duration: Duration,
    seed: u64,
    program: PathBuf,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => return refuse(&format!("{problem}; usage: soak [SECONDS] [--seed N] [--hub PROGRAM]")),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error),
    };
    match LocalSet::new().block_on(&runtime, soak(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(io::stderr(), "soak: {problem} (seed {})", options.seed);
            ExitCode::FAILURE
        }
    }
}

fn refuse(problem: &dyn fmt::Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "soak: {problem}");
    ExitCode::from(2)
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let beside = std::env::current_exe().map_err(|error| error.to_string())?.with_file_name("sse-hub");
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = clock.map_or(0, |since| since.as_secs());
    let mut options = Options { duration: Duration::from_secs(600), seed, program: beside };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} wants a value"));
        match arg.as_str() {
            "--seed" => options.seed = value()?.parse().map_err(|error| format!("--seed: {error}"))?,
            "--hub" => options.program = value()?.into(),
            seconds => {
                let seconds: u64 = seconds.parse().map_err(|error| format!("{seconds:?} are no seconds: {error}"))?;
                options.duration = Duration::from_secs(seconds);
            }
        }
    }
    if options.duration < Duration::from_secs(20) {
        return Err("shorter than 20 seconds, it would not come to everything".to_owned());
    }
    Ok(options)
}

async fn soak(options: &Options) -> Result<(), String> {
    let mut hub =
        Program::start(&options.program, SETTINGS).map_err(|error| format!("{}: {error}", options.program.display()))?;
    let world = Rc::new(World::new(hub.address));
    say(format_args!("soak for {:?}, seed {}, {READERS} clients, {PUBLISHERS} publishers", options.duration, options.seed));

    let mut random = Random::new(options.seed, 0);
    let readers: Vec<_> = (0..READERS)
        .map(|index| {
            let reader = Reader::new(world.clone(), index, Random::new(options.seed, 1_000 + u64::from(index)));
            tokio::task::spawn_local(reader.run())
        })
        .collect();
    let publishers: Vec<_> = (1..=PUBLISHERS)
        .map(|actor| tokio::task::spawn_local(publisher::run(world.clone(), Random::new(options.seed, actor))))
        .collect();

    let begun = Instant::now();
    let mut resident = Vec::new();
    let mut next_storm = begun + Duration::from_secs(8);
    let mut next_report = begun + REPORT;
    while begun.elapsed() < options.duration {
        sleep(SAMPLE).await;
        check(&world, &mut hub)?;
        resident.push(hub.resident_kib().map_err(|error| error.to_string())?);
        if Instant::now() >= next_storm {
            world.change(|stage| stage.storms += 1);
            next_storm += Duration::from_millis(random.between(6_000, 14_000));
        }
        if Instant::now() >= next_report {
            next_report += REPORT;
            progress(&world, begun, resident.last().copied().unwrap_or(0));
        }
    }

    world.change(|stage| stage.is_stopping = true);
    for publisher in publishers {
        publisher.await.map_err(|error| error.to_string())?;
    }
    let last = publisher::publish_last(&world).await;
    world.change(|stage| stage.last = last);
    let done = async {
        for reader in readers {
            reader.await.map_err(|error| error.to_string())?;
        }
        Ok::<(), String>(())
    };
    let settled = timeout(SETTLE, done).await;
    check(&world, &mut hub)?;
    settled.map_err(|_| format!("not every client had the last event within {SETTLE:?}"))??;
    nobody_is_left(&world).await?;
    progress(&world, begun, hub.resident_kib().map_err(|error| error.to_string())?);
    summary(&world, &resident)
}

/// Whether everything is as it must be so far.
fn check(world: &World, hub: &mut Program) -> Result<(), String> {
    match world.violation() {
        Some(violation) if hub.is_running() => Err(violation.to_string()),
        Some(violation) => Err(format!("the hub has ended; {violation}")),
        None if hub.is_running() => Ok(()),
        None => Err("the hub has ended".to_owned()),
    }
}

/// Every stream that is over is over for the hub too.
async fn nobody_is_left(world: &World) -> Result<(), String> {
    const NONE: &str = "sse_hub_connections 0";
    let gone = async {
        loop {
            let metrics = metrics(world).await.map_err(|error| format!("the hub's metrics: {error}"))?;
            if metrics.lines().any(|line| line.trim_end() == NONE) {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SETTLE, gone).await.map_err(|_| format!("all clients are gone, and the metrics do not say {NONE:?}"))?
}

async fn metrics(world: &World) -> io::Result<String> {
    let mut socket = TcpStream::connect(world.address).await?;
    socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn progress(world: &World, begun: Instant, resident_kib: u64) {
    let (counts, totals) = (&world.counts, world.ledger.borrow().totals());
    say(format_args!(
        "{:4} s  connects {}  published {}  deliveries {}  gaps {}  cuts {}  resident {:.1} MiB",
        begun.elapsed().as_secs(),
        counts.connects.get(),
        totals.published,
        totals.deliveries,
        counts.gaps.get(),
        counts.cuts.get() + counts.resets.get() + counts.half_closes.get(),
        resident_kib as f64 / 1024.0,
    ));
}

/// What was done, and whether that was everything this run is for.
fn summary(world: &World, resident: &[u64]) -> Result<(), String> {
    let (counts, totals) = (&world.counts, world.ledger.borrow().totals());
    let storms = world.stage().borrow().storms;
    let done = [
        ("requests to publish", counts.requests.get()),
        ("events published", totals.published),
        ("deliveries", totals.deliveries),
        ("connections", counts.connects.get()),
        ("of them resumed", counts.resumes.get()),
        ("moves to other topics", counts.moves.get()),
        ("stalls", counts.stalls.get()),
        ("closed in mid-stream", counts.cuts.get()),
        ("reset", counts.resets.get()),
        ("half closed", counts.half_closes.get()),
        ("ended by the hub", counts.ended.get()),
        ("restarts of all clients at once", storms),
        ("gaps told", counts.gaps.get()),
        ("events in gaps", totals.covered),
    ];
    for (what, number) in done {
        say(format_args!("{number:10}  {what}"));
    }
    let quarter = |index: usize| median(&resident[resident.len() * index / 4..resident.len() * (index + 1) / 4]);
    let (second, last) = (quarter(1), quarter(3));
    say(format_args!(
        "resident memory: {} KiB in the second quarter, {} KiB in the last (medians), {} KiB at most",
        second,
        last,
        resident.iter().max().copied().unwrap_or(0)
    ));
    if totals.unsettled > 0 {
        return Err(format!("{} deliveries are not accounted for", totals.unsettled));
    }
    if let Some((what, _)) = done.iter().find(|(_, number)| *number == 0) {
        return Err(format!("nothing was tried: {what} are none"));
    }
    if totals.covered > totals.deliveries / 4 {
        return Err(format!("{} events lay in gaps: too many to prove anything", totals.covered));
    }
    let allowed = second + GROWTH_KIB.max(second / 10);
    if last > allowed {
        return Err(format!("memory grew: the last quarter's median is {last} KiB, and at most {allowed} KiB were expected"));
    }
    say(format_args!("clean: every delivery is accounted for"));
    Ok(())
}

fn median(samples: &[u64]) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{line}");
}
