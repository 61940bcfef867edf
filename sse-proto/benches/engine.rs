//! What the engine takes: memory for one of each, and time for one of each, beside a plain pass over as many rows as large.
//!
//! ```text
//! cargo bench -p sse-proto --bench engine [-- --rounds N]
//! ```
//!
//! `-- --once` measures nothing: what `tests/run instructions` counts is done once.
//!
//! Every round does everything once, with a log that is full; the figures are medians over the rounds, of time on the processor. A
//! plain pass reads and writes one word of each row, in the order in which the engine comes by them; no engine can do less. A plain
//! chase does so in an order that each row tells of the next, as lists do. Whoever is anyone of a crowd is drawn from it in one order
//! that is none, and stands in the engine's lists in another. Memory is what a process of its own grew by. Linux only.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../../tests/firmware/src/shapes.rs"]
mod shapes;

use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sse_proto::wire::Event;
use sse_proto::{
    ClientId, ClientKey, Config, Engine, Epoch, Heap, Instant, Limits, Output, Registration, RowSizes, Storage, Target,
};

use self::shapes::{House, Lamp, Room};

const CROWD: usize = 100_000;
const NEWS: &str = "news";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let rounds = match words[..] {
        [] => 21,
        ["--rounds", rounds] => rounds.parse().expect("--rounds takes a number"),
        ["--once"] => return once(),
        [GROWN, each, ref topics @ ..] => return println!("{}", grown_by(each.parse().unwrap(), topics)),
        _ => panic!("only --rounds N and --once are known"),
    };
    memory();
    time(rounds);
}

// ---- memory

fn memory() {
    println!("bytes of a row              connection     client      label subscription       task  log entry");
    row_sizes("on the heap", Engine::<Heap>::ROW_SIZES);
    row_sizes("Lamp", Engine::<Lamp>::ROW_SIZES);
    row_sizes("Room", Engine::<Room>::ROW_SIZES);
    row_sizes("House", Engine::<House>::ROW_SIZES);
    let sizes = [size_of::<Engine<Lamp>>(), size_of::<Engine<Room>>(), size_of::<Engine<House>>()];
    println!("bytes of an engine          Lamp {}, Room {}, House {}", sizes[0], sizes[1], sizes[2]);

    let (of_one, of_many, listening) = (grown(1, &[]), grown(16, &[]), grown(1, &[NEWS]));
    println!("bytes of an idle connection {of_many:.0} beside 15 of its client, {of_one:.0} with a client of its own, ",);
    println!("                            {listening:.0} with a client that listens to a topic; target 256");
}

fn row_sizes(storage: &str, sizes: RowSizes) {
    let RowSizes { connection, client, label, subscription, task, log_entry } = sizes;
    println!("{storage:28}{connection:>10} {client:>10} {label:>10} {subscription:>12} {task:>10} {log_entry:>10}");
}

/// Asks this program for [`grown_by`].
const GROWN: &str = "--grown";

/// By how much a process of its own grows, for each of a crowd.
fn grown(each: usize, topics: &[&str]) -> f64 {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).args([GROWN, &each.to_string()]).args(topics).output().unwrap();
    str::from_utf8(&output.stdout).unwrap().trim().parse().unwrap()
}

/// By how much this process grows.
fn grown_by(each: usize, topics: &[&str]) -> f64 {
    let before = resident();
    let made = crowd(each, topics);
    let bytes = resident() - before;
    drop(black_box(made));
    bytes as f64 / CROWD as f64
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() * 1024
}

// ---- time

/// Nanoseconds for one of `CROWD`, round by round, and what it is a ratio to.
struct Figure {
    name: &'static str,
    pass: usize,
    target: Option<f64>,
    samples: Vec<f64>,
}

const IN_ORDER: usize = 0;
const CHASE: usize = 1;
const CLIENTS: usize = 2;
const TO_ALL: usize = 3;
const TO_ALL_AGAIN: usize = 4;
const TO_TOPIC: usize = 5;
const DELIVERY: usize = 6;
const TO_ONE: usize = 7;
const DELIVERY_TO_ONE: usize = 8;
const HEARTBEAT: usize = 9;
const EXPIRY: usize = 10;
const LAST: usize = 11;
const EXPIRY_OF_ANY: usize = 12;
const ARRIVAL: usize = 13;

fn time(rounds: usize) {
    let figure = |name, pass, target| Figure { name, pass, target, samples: Vec::new() };
    let mut figures = [
        figure("a plain pass over rows of connections", IN_ORDER, None),
        figure("a plain chase through them", CHASE, None),
        figure("a plain pass over rows of clients", CLIENTS, None),
        figure("publish to all, idle", IN_ORDER, Some(10.0)),
        figure("publish to all, not yet written", IN_ORDER, Some(10.0)),
        figure("publish to a topic of all, idle", IN_ORDER, None),
        figure("poll, transmit and written", IN_ORDER, None),
        figure("publish to one client, any of the crowd", CHASE, Some(200.0)),
        figure("poll, transmit and written, in that order", CHASE, None),
        figure("a heartbeat is due", IN_ORDER, Some(20.0)),
        figure("a client expires in a sweep", CLIENTS, Some(20.0)),
        figure("memory goes back with the last of them", CLIENTS, None),
        figure("a client expires, if they left in any order", CHASE, None),
        figure("a client comes where another was", CLIENTS, None),
    ];
    let mut passes = Passes::new();
    let (mut engine, keys) = crowd(1, &[NEWS]);
    let mut now = engine_now(&mut engine);
    fill_log(&mut engine, now);
    for _ in 0..rounds {
        let mut sample = |figure: usize, time: Duration| figures[figure].samples.push(time.as_nanos() as f64 / CROWD as f64);
        sample(IN_ORDER, passes.connections());
        sample(CHASE, passes.chase());
        sample(CLIENTS, passes.clients());
        let event = Event::data("a short event");
        sample(TO_ALL, timed(|| engine.publish(now, Target::All, &event).unwrap()));
        sample(TO_ALL_AGAIN, timed(|| engine.publish(now, Target::All, &event).unwrap()));
        sample(DELIVERY, timed(|| drive(&mut engine, now)));
        sample(TO_TOPIC, timed(|| engine.publish(now, Target::Topic(NEWS), &event).unwrap()));
        drive(&mut engine, now);
        now = now.plus(Config::DEFAULT.heartbeat.unwrap());
        engine.handle_timeout(now);
        sample(HEARTBEAT, timed(|| take_heartbeats(&mut engine)));
        drive_each(&mut engine, now, another_order().map(|at| keys[at]));
        let drawn: Vec<ClientKey> = passes.order.iter().map(|&slot| keys[slot as usize]).collect();
        sample(TO_ONE, timed(|| publish_to_each(&mut engine, now, &drawn, &event)));
        sample(DELIVERY_TO_ONE, timed(|| drive(&mut engine, now)));
        // In order again.
        engine.publish(now, Target::All, &event).unwrap();
        drive(&mut engine, now);

        let (all_but_one, last) = expiry(0..CROWD);
        sample(EXPIRY, all_but_one);
        sample(LAST, last);
        sample(EXPIRY_OF_ANY, expiry(another_order()).0);
        sample(ARRIVAL, arrival());
    }
    println!("\nnanoseconds for each of {CROWD}, medians of {rounds} rounds     ns   of a plain pass");
    let medians: Vec<f64> = figures.iter_mut().map(|figure| median(&mut figure.samples)).collect();
    for (figure, ns) in figures.iter().zip(&medians) {
        let verdict = match figure.target {
            None => String::new(),
            Some(target) if *ns < target => format!("   target {target}: met"),
            Some(target) => format!("   target {target}: MISSED"),
        };
        println!("{:52} {ns:>8.1} {:>8.1} x{verdict}", figure.name, ns / medians[figure.pass]);
    }
}

/// A whole crowd has left, in this order, and is forgotten: all but one of them, and the last, with which the memory goes back to the
/// allocator, and to the system if that likes.
fn expiry(order: impl Iterator<Item = usize>) -> (Duration, Duration) {
    let mut engine = deserted(order);
    let all_but_one = timed(|| expire_all_but_one(&mut engine));
    let last = timed(|| assert!(engine.poll_output().is_some()));
    assert!(engine.poll_output().is_none());
    (all_but_one, last)
}

/// An engine a whole crowd has left, in this order, when their time is over.
fn deserted(order: impl Iterator<Item = usize>) -> Engine<Heap> {
    let (mut engine, keys) = crowd(1, &[]);
    let then = engine_now(&mut engine);
    for at in order {
        let conn = engine.connections(keys[at]).next().unwrap();
        engine.handle_disconnect(then, conn).unwrap();
    }
    engine.handle_timeout(then.plus(Duration::from_secs(7200)));
    engine
}

fn fill_log(engine: &mut Engine<Heap>, now: Instant) {
    for _ in 0..LOG_ENTRIES {
        engine.publish(now, Target::Clients(&[]), &Event::data("a short event")).unwrap();
    }
}

fn once() {
    let (mut engine, keys) = crowd(1, &[NEWS]);
    let now = engine_now(&mut engine);
    fill_log(&mut engine, now);
    publish_to_each(&mut engine, now, &keys, &Event::data("a short event"));
    drive(&mut engine, now);
    engine.handle_timeout(now.plus(Config::DEFAULT.heartbeat.unwrap()));
    take_heartbeats(&mut engine);
    expire_all_but_one(&mut deserted(0..CROWD));
    println!("{CROWD}");
}

// What is counted is found by its name.

#[inline(never)]
fn take_heartbeats(engine: &mut Engine<Heap>) {
    while engine.poll_output().is_some() {}
}

#[inline(never)]
fn publish_to_each(engine: &mut Engine<Heap>, now: Instant, keys: &[ClientKey], event: &Event<'_>) {
    for &key in keys {
        engine.publish(now, Target::Client(key), event).unwrap();
    }
}

#[inline(never)]
fn expire_all_but_one(engine: &mut Engine<Heap>) {
    for _ in 1..CROWD {
        assert!(engine.poll_output().is_some());
    }
}

/// Another crowd comes where one was: who was there before goes from the index with it.
fn arrival() -> Duration {
    let (mut engine, now) = (engine(), Instant::from_millis(1));
    // One stays, so that the tables do.
    engine.register(now, &Registration::new(ClientId::new("stays").unwrap())).unwrap();
    let arrive = |engine: &mut Engine<Heap>, name: &str| {
        let ids: Vec<String> = (1..CROWD).map(|index| format!("{name}_{index:026}")).collect();
        let mut conns = Vec::with_capacity(CROWD);
        let time = timed(|| {
            for id in &ids {
                let wish = Registration { passing: true, ..Registration::new(ClientId::new(id).unwrap()) };
                conns.push(engine.register(now, &wish).unwrap().conn);
            }
        });
        (time, conns)
    };
    for conn in arrive(&mut engine, "anonymous").1 {
        engine.handle_disconnect(now, conn).unwrap();
    }
    arrive(&mut engine, "anybody").0
}

/// Everyone of a crowd, in an order that is none, and not that of [`Passes`].
fn another_order() -> impl Iterator<Item = usize> {
    (0..CROWD).map(|at| at * 38_197 % CROWD)
}

/// Rows as large as the engine's, and an order that is none.
struct Passes {
    /// The first word of a row is the next one in an order that is none.
    connections: Vec<[u64; Engine::<Heap>::ROW_SIZES.connection / 8]>,
    clients: Vec<[u64; Engine::<Heap>::ROW_SIZES.client / 8]>,
    order: Vec<u32>,
}

impl Passes {
    fn new() -> Self {
        let mut order: Vec<u32> = (0..CROWD as u32).collect();
        let mut state = 0x5EED_u64;
        for at in (1..order.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            order.swap(at, (state >> 33) as usize % (at + 1));
        }
        let mut connections = vec![[1; _]; CROWD];
        for (at, &slot) in order.iter().enumerate() {
            connections[slot as usize][0] = order[(at + 1) % CROWD].into();
        }
        Self { connections, clients: vec![[1; _]; CROWD], order }
    }

    fn connections(&mut self) -> Duration {
        timed(|| black_box(&mut self.connections).iter_mut().for_each(|row| row[3] += 1))
    }

    fn chase(&mut self) -> Duration {
        let rows = black_box(&mut self.connections);
        timed(|| {
            let mut at = 0;
            for _ in 0..CROWD {
                rows[at][3] += 1;
                at = rows[at][0] as usize;
            }
            at
        })
    }

    fn clients(&mut self) -> Duration {
        timed(|| black_box(&mut self.clients).iter_mut().for_each(|row| row[3] += 1))
    }
}

/// More than are published before everybody has them.
const LOG_ENTRIES: u32 = 1 << 18;

/// Connections that have their greeting, of clients with `each` of them.
fn crowd(each: usize, topics: &[&str]) -> (Engine<Heap>, Vec<ClientKey>) {
    let (mut engine, now) = (engine(), Instant::from_millis(1));
    let keys = (0..CROWD).map(|index| {
        let id = format!("anonymous_{:026}", index / each);
        engine.register(now, &Registration { topics, ..Registration::new(ClientId::new(&id).unwrap()) }).unwrap().client
    });
    let keys = keys.collect();
    drive(&mut engine, now);
    (engine, keys)
}

fn engine() -> Engine<Heap> {
    let limits = Limits { log_entries: LOG_ENTRIES, ..Limits::DEFAULT };
    let config = Config { limits, retry: None, write_stall: None, ..Config::DEFAULT };
    Engine::new(config, Epoch(1), [1, 2]).unwrap()
}

fn engine_now(engine: &mut Engine<Heap>) -> Instant {
    let now = Instant::from_millis(2);
    engine.handle_timeout(now);
    now
}

/// Every peer takes all there is for it.
fn drive<S: Storage>(engine: &mut Engine<S>, now: Instant) {
    while let Some(output) = engine.poll_output() {
        if let Output::Write(conn) = output {
            write(engine, now, conn);
        }
    }
}

/// Every peer takes all there is for it, whether the engine says so or has said so.
fn drive_each(engine: &mut Engine<Heap>, now: Instant, keys: impl Iterator<Item = ClientKey>) {
    for key in keys {
        let conn = engine.connections(key).next().unwrap();
        write(engine, now, conn);
    }
}

fn write<S: Storage>(engine: &mut Engine<S>, now: Instant, conn: sse_proto::ConnId) {
    loop {
        let mut slices = [&b""[..]; 4];
        let filled = engine.transmit(conn, &mut slices).unwrap();
        if filled == 0 {
            return;
        }
        let len = slices[..filled].iter().map(|slice| slice.len()).sum();
        engine.handle_written(now, conn, len).unwrap();
    }
}

fn timed<T>(run: impl FnOnce() -> T) -> Duration {
    let clock = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let start = clock();
    black_box(run());
    clock() - start
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
