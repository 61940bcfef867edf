//! The laws of the engine, on random runs.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sse_proto::wire::{Event, Lines};
use sse_proto::{
    Audience, ClientId, Config, Engine, Epoch, EventId, Heap, Instant, KeptFrame, Limits, Outcome, Output, Overrun,
    Registration, Resume, Target,
};
use sse_tests::harness::Harness;
use sse_tests::ops;

fn cases() -> ProptestConfig {
    // Whatever was found is a story by itself.
    let default = ProptestConfig::default();
    let max_shrink_iters = default.max_shrink_iters.min(2_000);
    ProptestConfig { failure_persistence: None, max_shrink_iters, max_shrink_time: 20_000, ..default }
}

proptest! {
    #![proptest_config(cases())]

    /// Laws 1 to 7, after every step; all configurations of `ops` have tables that exist in fixed memory, too.
    #[test]
    fn the_engine_is_what_the_model_says((config, ops) in ops::runs(500)) {
        Harness::run(config, &ops);
    }
}

/// The same, where numbers wrap and leaks add up. Every kind of tables with every kind of log does as many steps in every run of the
/// test: what a step costs depends on both, and on how many came before it.
#[test]
fn long_runs_are_no_different() {
    let mut runner = TestRunner::new(cases());
    let cases = cases().cases as usize;
    let steps = LONG_RUN.min(8 * cases);
    for kind in (0..cases.div_ceil(256)).flat_map(|_| 0..TABLES * LOGS) {
        // A failure is looked for with less and less steps.
        let ops = proptest::collection::vec((proptest::bool::weighted(1.0), any::<[u8; 8]>()), steps);
        let run = (any::<[u8; 8]>(), any::<bool>(), ops).prop_map(move |([tables, _, c, d, e, f, g, h], rather_tasks, ops)| {
            let config = ops::config([tables / 4 * TABLES + kind % TABLES, kind / TABLES, c, d, e, f, g, h]);
            let ops = ops.into_iter().filter(|(is_done, _)| *is_done).map(|(_, bytes)| ops::op(bytes, rather_tasks));
            // After a drain nobody comes any more.
            (config, ops.filter(|op| !matches!(op, ops::Op::Drain { .. })).collect::<Vec<_>>())
        });
        let run = run.new_tree(&mut runner).unwrap();
        let done = runner.run_one(run, |(config, ops)| {
            Harness::run(config, &ops);
            Ok(())
        });
        done.unwrap();
    }
}

const LONG_RUN: usize = 1_600;

/// How many kinds of tables `ops::config` knows, by its first byte, and of logs, by its second.
const TABLES: u8 = 3;
const LOGS: u8 = 7;

proptest! {
    #![proptest_config(ProptestConfig { cases: 16 * cases().cases, ..cases() })]

    /// The promise to a client, without a model: whatever it is cut off at, it loses nothing untold and gets nothing twice.
    #[test]
    fn who_comes_back_loses_nothing_untold_and_gets_nothing_twice(life in life()) {
        life.run();
    }
}

/// Random runs come everywhere: a law that is never put to the test is none.
#[test]
fn random_runs_reach_everything() {
    let mut runner = TestRunner::deterministic();
    let mut missing: BTreeSet<String> = [
        "Stalled",
        "Replaced",
        "Expired",
        "Unregistered",
        "Drained",
        "Overrun }",
        "reason: Overrun, last",
        "Unused",
        "event:gap\ndata:{\"reason\":\"evicted\"}\n\n",
        "{\"reason\":\"epoch\"}",
        "{\"reason\":\"unknown\"}",
        "event:gap\ndata:{\"reason\":\"evicted\"}\nid:",
        ":heartbeat",
        "event:progress",
        "event:failed",
        "\n\nevent:completed",
        "completed^",
        "failed\\\"",
        "registered^",
        "retry:1000\nid:",
        "event:resume\n\n",
    ]
    .map(String::from)
    .into();
    for _ in 0..500 {
        let run = ops::runs(500).new_tree(&mut runner).unwrap();
        let (config, ops) = run.current();
        let mut harness = Harness::run(config, &ops);
        assert!(harness.has_fixed());
        let outputs = format!("{:?}", harness.outputs());
        let sent = harness.sent();
        missing.retain(|what| !outputs.contains(what) && !sent.iter().any(|s| s.contains(what)));
    }
    assert_eq!(missing, BTreeSet::new());
}

/// The life of one client that comes back with the id it saw last, whenever it is cut off.
#[derive(Clone, Debug)]
struct Life {
    log_entries: u32,
    overrun: Overrun,
    /// Of the events, so many are for it.
    mine_in: u8,
    moments: Vec<Moment>,
}

#[derive(Clone, Copy, Debug)]
enum Moment {
    Publish,
    Complete,
    /// Its peer takes so many bytes.
    Take(usize),
    Cut,
    /// The engine ends, and another one goes on with what was kept of it.
    Restart,
}

fn life() -> impl Strategy<Value = Life> {
    let moment = prop_oneof![
        3 => Just(Moment::Publish),
        2 => Just(Moment::Complete),
        6 => (0_usize..120).prop_map(Moment::Take),
        2 => Just(Moment::Cut),
        1 => Just(Moment::Restart),
    ];
    (
        prop_oneof![1_u32..6, Just(64)],
        prop_oneof![Just(Overrun::Close), Just(Overrun::Skip)],
        1_u8..4,
        proptest::collection::vec(moment, 1..300),
    )
        .prop_map(|(log_entries, overrun, mine_in, moments)| Life { log_entries, overrun, mine_in, moments })
}

impl Life {
    fn run(&self) {
        let limits = Limits {
            log_entries: self.log_entries,
            frame_bytes: 1024,
            log_bytes: 64 * 1024,
            tasks_per_client: 1_000,
            ..Limits::default()
        };
        let config = Config { limits, heartbeat: None, write_stall: None, overrun: self.overrun, ..Config::default() };
        let mut engine = Engine::<Heap>::new(config, Epoch(7), [1, 2]).unwrap();
        let now = Instant::from_millis(1_000);
        let mut page = Page::default();
        let mut client = page.connect(&mut engine);
        // The first acknowledgement arrives: from here on there is an id to come back with.
        page.take(&mut engine, usize::MAX);
        let (mut published, mut mine, mut completed) = (0_u32, Vec::new(), Vec::new());
        for moment in &self.moments {
            match *moment {
                Moment::Publish => {
                    published += 1;
                    let is_mine = published % u32::from(self.mine_in) == 0;
                    let target = if is_mine { Target::All } else { Target::Topic("other") };
                    let data = published.to_string();
                    engine.publish(now, target, &Event::data(&data)).unwrap();
                    if is_mine {
                        mine.push(published);
                    }
                }
                Moment::Complete => {
                    let task = format!("k{}", completed.len());
                    let outcome = Outcome::Completed(None);
                    engine.complete_at(now, 0, Some(client), "", "bob", &task, outcome).unwrap();
                    completed.push(task);
                }
                Moment::Take(bytes) => page.take(&mut engine, bytes),
                Moment::Cut => {
                    if let Some(conn) = page.conn.take() {
                        engine.handle_disconnect(now, conn).unwrap();
                    }
                    page.connect(&mut engine);
                }
                Moment::Restart => {
                    engine = restored(&engine);
                    client = page.connect(&mut engine);
                }
            }
        }
        // At last it is given all there is.
        for _ in 0..3 {
            page.take(&mut engine, usize::MAX);
        }
        page.check(&mine, &completed);
    }
}

/// Another engine, with all that can be kept of `lost`.
fn restored(lost: &Engine<Heap>) -> Engine<Heap> {
    let now = Instant::from_millis(1_000);
    let EventId { epoch, sequence } = lost.last_event_id();
    let mut engine = Engine::<Heap>::new(lost.config().clone(), epoch, [3, 4]).unwrap();
    let mut keys = BTreeMap::new();
    for info in lost.clients() {
        let kept = lost.kept_client(info.group, info.id).unwrap();
        let key = engine.restore_client(now, &kept).unwrap();
        keys.insert(kept.key, key);
        for (topic, from) in lost.kept_topics(kept.key) {
            engine.restore_topic(key, topic, from).unwrap();
        }
        for task in lost.kept_tasks(kept.key) {
            engine.restore_task(key, &task).unwrap();
        }
    }
    engine.restore_position(lost.evicted(), sequence);
    for kept in lost.kept_frames(0) {
        let members: Vec<_> = lost.kept_members(kept.sequence).filter_map(|key| keys.get(&key).copied()).collect();
        let audience = match kept.audience {
            Audience::Client(key) => match keys.get(&key) {
                Some(&key) => Audience::Client(key),
                None => continue,
            },
            other => other,
        };
        let lines = Lines::new(kept.lines.as_bytes()).expect("what was encoded is whole lines");
        engine.restore_frame(&KeptFrame { audience, lines, ..kept }, &members).unwrap();
    }
    engine.restored(now);
    assert_eq!(engine.last_event_id(), lost.last_event_id());
    let frames = |engine: &Engine<Heap>| {
        let told = engine.kept_frames(0).map(|kept| (kept.sequence, kept.lines.as_bytes().to_vec(), kept.completes_task));
        told.collect::<Vec<_>>()
    };
    assert_eq!(frames(&engine), frames(lost));
    engine
}

/// What an EventSource makes of its streams.
#[derive(Default)]
struct Page {
    conn: Option<sse_proto::ConnId>,
    last_id: String,
    partial: String,
    /// Data of the events, and `None` for each gap that was told.
    events: Vec<Option<u32>>,
    completions: BTreeMap<String, u32>,
}

impl Page {
    fn connect(&mut self, engine: &mut Engine<Heap>) -> sse_proto::ClientKey {
        let resume = Resume::After(&self.last_id);
        let wish = Registration { resume, ..Registration::new(ClientId::new("bob_1").unwrap()) };
        let registered = engine.register(Instant::from_millis(1_000), &wish).unwrap();
        self.conn = Some(registered.conn);
        self.partial.clear();
        registered.client
    }

    fn take(&mut self, engine: &mut Engine<Heap>, mut bytes: usize) {
        let now = Instant::from_millis(1_000);
        let mut idle = 0;
        for _ in 0..10_000 {
            if bytes == 0 || idle == 2 {
                return;
            }
            while let Some(output) = engine.poll_output() {
                if matches!(output, Output::Close { .. }) {
                    self.conn = None;
                }
            }
            let Some(conn) = self.conn else {
                self.connect(engine);
                continue;
            };
            let mut slices = [&b""[..]; 3];
            let filled = engine.transmit(conn, &mut slices).unwrap();
            let mut given = slices[..filled].concat();
            given.truncate(bytes);
            idle = if given.is_empty() { idle + 1 } else { 0 };
            bytes -= given.len();
            engine.handle_written(now, conn, given.len()).unwrap();
            self.partial += std::str::from_utf8(&given).unwrap();
            while let Some((frame, rest)) = self.partial.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.partial = rest;
                self.dispatch(&frame);
            }
        }
        panic!("there is no end to what it is sent");
    }

    fn dispatch(&mut self, frame: &str) {
        let field = |name: &str| {
            let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(':')?.to_owned());
            frame.lines().find_map(value)
        };
        if let Some(id) = field("id") {
            self.last_id = id;
        }
        let data = field("data").unwrap_or_default();
        match field("event").as_deref() {
            None => self.events.push(Some(data.parse().unwrap())),
            Some("gap") => self.events.push(None),
            Some("completed") => {
                let data: serde_json::Value = serde_json::from_str(&data).unwrap();
                let task = data["task"].as_str().unwrap().to_owned();
                *self.completions.entry(task).or_default() += 1;
            }
            Some(other) => assert_eq!(other, "connected"),
        }
    }

    fn check(&self, mine: &[u32], completed: &[String]) {
        let mut next = 0;
        let mut may_skip = false;
        for event in &self.events {
            let Some(number) = event else {
                may_skip = true;
                continue;
            };
            let at = mine.iter().position(|n| n == number).unwrap();
            assert!(at >= next, "{number} came twice: {:?}", self.events);
            assert!(at == next || may_skip, "silently lost before {number}: {:?}", self.events);
            (next, may_skip) = (at + 1, false);
        }
        assert!(next == mine.len() || may_skip, "silently lost at the end: {:?}", self.events);
        let told: Vec<_> = completed.iter().map(|task| self.completions.get(task)).collect();
        let once = told.iter().all(|&count| count == Some(&1));
        assert!(once, "completions: {told:?}");
    }
}
