//! The engine and its naive model, driven in step on simulated time.
//!
//! Every method does one thing to both, compares what they answer, and checks the laws of DESIGN.md. Peers are simulated: what
//! a connection was sent is kept, and cut into frames the naive way.

use std::collections::{BTreeMap, BTreeSet};

use sse_proto::wire::{Event, EventName, IdField};
use sse_proto::{
    ClientId, ClientKey, Config, ConnId, Engine, Epoch, EventId, Heap, IdError, Instant, Left,
    ListenError, Outcome, Output, PublishError, RegisterError, Registered, Registration, Resume,
    Stale, Target, TaskError,
};

use crate::model::{Model, Next};
use crate::ops::{From, Op, Register, TOPICS, To, What, Who};

/// The epoch of every simulated hub.
pub const EPOCH: Epoch = Epoch(7);

/// An engine, its model, their clock and the peers of their connections.
pub struct Harness {
    engine: Engine<Heap>,
    model: Model,
    /// What the caller's clock shows. It may step back.
    clock: u64,
    /// What each connection was sent, those that are gone included.
    wires: BTreeMap<ConnId, Wire>,
    keys: BTreeSet<ClientKey>,
    /// What was polled and not asked for yet.
    outputs: Vec<Output<Box<str>>>,
}

/// What a connection was sent.
#[derive(Debug, Default)]
struct Wire {
    bytes: Vec<u8>,
    /// Everything before was asked for.
    read: usize,
    /// Whole frames end here.
    whole: usize,
    last_id: Option<String>,
}

impl Harness {
    /// A new hub at time 1,000.
    pub fn new(config: Config) -> Self {
        let mut harness = Self {
            engine: Engine::new(config.clone(), EPOCH, [1, 2]).expect("the limits fit each other"),
            model: Model::new(config, EPOCH),
            clock: 0,
            wires: BTreeMap::new(),
            keys: BTreeSet::new(),
            outputs: Vec::new(),
        };
        harness.at(1_000);
        harness
    }

    /// Does a whole run, and at its end lets everyone go and everything expire, to find what was forgotten.
    pub fn run(config: Config, ops: &[Op]) -> Self {
        let mut harness = Self::new(config);
        for op in ops {
            harness.apply(op);
        }
        harness.everything_ends();
        harness
    }

    /// Does one step.
    pub fn apply(&mut self, op: &Op) {
        match *op {
            Op::Drive { take, slices } => self.drive_by(take, slices),
            Op::Write { conn, take, slices } => {
                if let Some(conn) = self.pick_connection(conn) {
                    let _ = self.write(conn, take, slices);
                }
            }
            Op::Poll { outputs } => {
                for _ in 0..outputs {
                    let _ = self.poll();
                }
            }
            Op::Wait { millis } => self.wait(millis),
            Op::StepBack { millis } => self.step_back(millis),
            Op::Register(ref register) => self.apply_register(register),
            Op::Disconnect { conn } => {
                if let Some(conn) = self.pick_connection(conn) {
                    let _ = self.disconnect(conn);
                }
            }
            Op::Publish {
                target,
                event,
                skip,
            } => self.apply_publish(target, event, skip),
            Op::Listen { client, topic } => {
                if let Some(client) = self.pick_client(client) {
                    let _ = self.listen(client, topic);
                }
            }
            Op::Unlisten { client, topic } => {
                if let Some(client) = self.pick_client(client) {
                    let _ = self.unlisten(client, topic);
                }
            }
            Op::Unregister {
                client,
                end_streams,
            } => {
                if let Some(client) = self.pick_client(client) {
                    let _ = self.unregister(client, end_streams);
                }
            }
            Op::Clear { end_streams } => self.clear(end_streams),
            Op::Allocate {
                group,
                name,
                entropy,
            } => {
                let _ = self.allocate(group, name, [entropy; 32]);
            }
            Op::Submit { client, task } => {
                if let Some(client) = self.pick_client(client) {
                    let _ = self.submit(client, task);
                }
            }
            Op::Withdraw { client, task } => {
                if let Some(client) = self.pick_client(client) {
                    self.withdraw(client, task);
                }
            }
            Op::Progress {
                client,
                task,
                detail,
                skip,
            } => {
                if let Some(client) = self.pick_client(client) {
                    let sequence = self.next_sequence(skip);
                    let _ = self.progress_at(sequence, client, task, detail);
                }
            }
            Op::Complete {
                client,
                owned,
                task,
                detail,
                failed,
                skip,
            } => {
                let Some(key) = self.pick_client(client) else {
                    return;
                };
                let known = self.model.known();
                let owner = known.iter().find(|known| known.key == key);
                let (group, name) = owner.map_or(("", "bob"), |c| (&c.group, &c.user_name));
                let outcome = match (failed, detail) {
                    (true, reason) => Outcome::Failed(reason.unwrap_or("")),
                    (false, result) => Outcome::Completed(result),
                };
                let sequence = self.next_sequence(skip);
                let owner = owned.then_some(key);
                let _ = self.complete_at(sequence, owner, group, name, task, outcome);
            }
            Op::Observe { skip } => self.observe(skip),
            Op::Sweep => self.sweep(),
            Op::Drain {
                min_retry,
                max_retry,
            } => self.drain(min_retry, max_retry),
        }
    }

    // ---- time

    /// It is `now`, told by `handle_timeout`.
    pub fn at(&mut self, now: u64) {
        self.clock = now;
        self.engine.handle_timeout(self.now());
        self.model.time(now);
        self.check();
    }

    /// Time passes.
    pub fn wait(&mut self, millis: u64) {
        self.at(self.clock.max(self.model.now()) + millis);
    }

    /// The clock steps back: nothing may change by it.
    pub fn step_back(&mut self, millis: u64) {
        let before = (self.engine.usage(), self.engine.poll_timeout());
        self.at(self.clock.saturating_sub(millis));
        assert_eq!((self.engine.usage(), self.engine.poll_timeout()), before);
    }

    /// Sets the clock without telling anyone.
    pub fn set_clock(&mut self, now: u64) {
        self.clock = now;
    }

    // ---- driving

    /// Asks for output until there is none, and lets every peer take all it is given.
    pub fn drive(&mut self) {
        self.drive_by(usize::MAX, 4);
    }

    /// Like [`drive`](Self::drive), with peers that take `take` bytes at a time and a driver with so many slices.
    pub fn drive_by(&mut self, take: usize, slices: usize) {
        for _ in 0..10_000 {
            let Some(output) = self.poll() else {
                let timeout = self.engine.poll_timeout();
                let later = timeout.is_none_or(|at| at.as_millis() > self.model.now());
                assert!(later, "drained, and still due: {timeout:?}");
                return;
            };
            if let Output::Write(conn) = output {
                self.write_all(conn, take, slices);
            }
        }
        panic!("there is no end to the output");
    }

    /// One output.
    pub fn poll(&mut self) -> Option<Output<Box<str>>> {
        let due = self.is_due();
        let output = self.engine.poll_output();
        assert_eq!(
            output.is_some(),
            due,
            "{output:?} at {:?}",
            self.engine.poll_timeout()
        );
        assert_eq!(output, self.model.poll());
        self.outputs.extend(output.clone());
        self.check();
        output
    }

    /// Gives `conn` what is next for it, and its peer takes up to `take` bytes of it. Returns how many it took.
    pub fn write(&mut self, conn: ConnId, take: usize, slices: usize) -> Result<usize, Stale> {
        let mut given = [&b""[..]; 8];
        let filled = self.engine.transmit(conn, &mut given[..slices]);
        let given = filled.map(|filled| {
            let given = &given[..filled];
            assert!(
                given.iter().all(|slice| !slice.is_empty()),
                "an empty slice"
            );
            (filled, given.concat())
        });
        let expected = self.model.transmit(conn);
        let given = match (given, expected) {
            (Err(Stale), Err(Stale)) => Err(Stale),
            (Ok((filled, bytes)), Ok(next)) => {
                match next {
                    Next::Nothing => assert_eq!(text(&bytes), ""),
                    Next::Notice(notice) => {
                        assert_eq!((filled, text(&bytes)), (1, text(&notice)));
                    }
                    Next::Farewell(min, max) => {
                        let retry = text(&bytes);
                        let retry = retry.strip_prefix("retry:").map(str::trim_end);
                        let retry: Option<u32> = retry.and_then(|ms| ms.parse().ok());
                        assert!(
                            retry.is_some_and(|ms| (min..=max).contains(&ms)),
                            "{bytes:?}"
                        );
                        self.model.farewell(conn, &bytes);
                    }
                    Next::Frames(frames) => {
                        let mut rest = &bytes[..];
                        let mut whole = 0;
                        for frame in &frames {
                            let Some(after) = rest.strip_prefix(&frame[..]) else {
                                break;
                            };
                            (rest, whole) = (after, whole + 1);
                        }
                        let expected = frames.concat();
                        assert!(
                            rest.is_empty() && whole > 0,
                            "for {conn:?}: {:?}, expected {:?}",
                            text(&bytes),
                            text(&expected)
                        );
                        // A slice or more each, so what was left out had no slice.
                        assert!(whole == frames.len() || filled == slices || whole >= 100);
                    }
                }
                Ok(bytes)
            }
            (given, expected) => panic!("{given:?}, expected {expected:?}"),
        };
        let Ok(bytes) = given else {
            assert_eq!(self.engine.handle_written(self.now(), conn, 1), Err(Stale));
            assert_eq!(self.model.written(self.clock, conn, 1), Err(Stale));
            return Err(Stale);
        };
        self.check();
        let taken = bytes.len().min(take);
        let answer = self.engine.handle_written(self.now(), conn, taken);
        assert_eq!(answer, self.model.written(self.clock, conn, taken));
        self.wires.entry(conn).or_default().take(&bytes[..taken]);
        self.check();
        Ok(taken)
    }

    /// The peer of `conn`, which was asked to be written before, takes all there is.
    pub fn flush(&mut self, conn: ConnId) {
        self.write_all(conn, usize::MAX, 4);
    }

    // ---- the verbs

    /// A stream for `id`, with everything at its default.
    pub fn connect(&mut self, id: &str) -> Registered {
        let id = ClientId::new(id).expect("a checked id");
        self.register(&Registration::new(id))
            .expect("there is room")
    }

    /// A stream for `id` that goes on after `last_event_id`.
    pub fn resume(&mut self, id: &str, last_event_id: &str) -> Registered {
        let id = ClientId::new(id).expect("a checked id");
        let resume = Resume::After(last_event_id);
        self.register(&Registration {
            resume,
            ..Registration::new(id)
        })
        .expect("there is room")
    }

    /// See [`Engine::register`].
    pub fn register(&mut self, wish: &Registration<'_>) -> Result<Registered, RegisterError> {
        let answer = self.engine.register(self.now(), wish);
        let expected = self.model.can_register(self.clock, wish);
        assert_eq!(answer.map(|_| ()), expected);
        if let Ok(registered) = answer {
            let Registered {
                conn,
                client,
                returning,
                gap,
            } = registered;
            let first = self.wires.insert(conn, Wire::default()).is_none();
            assert!(first, "{conn:?} was in use before");
            let expected = self.model.registered(wish, conn, client);
            assert_eq!((returning, gap), expected);
            let new = self.keys.insert(client);
            assert_eq!(new, !returning, "{client:?} stands for one client");
        }
        self.check();
        answer
    }

    /// See [`Engine::allocate_id`].
    pub fn allocate(
        &mut self,
        group: &str,
        name: &str,
        entropy: [u8; 32],
    ) -> Result<String, IdError> {
        let answer = self.engine.allocate_id(self.now(), group, name, &entropy);
        let answer = answer.map(String::from);
        let taken = self.model.issued_ids().len();
        let expected = self.model.allocate(self.clock, group, name);
        match (&answer, expected) {
            (Ok(id), Ok(())) => self.model.allocated(group, id),
            // The entropy of a run is poor.
            (Err(IdError::Entropy), Ok(())) => assert!(taken >= 256),
            (answer, expected) => {
                assert_eq!(answer.as_ref().map(|_| ()), expected.as_ref().map(|_| ()))
            }
        }
        self.check();
        answer
    }

    /// See [`Engine::unregister`].
    pub fn unregister(&mut self, client: ClientKey, end_streams: bool) -> Result<(), Stale> {
        let answer = self.engine.unregister(self.now(), client, end_streams);
        assert_eq!(
            answer,
            self.model.unregister(self.clock, client, end_streams)
        );
        self.check();
        answer
    }

    /// See [`Engine::clear`].
    pub fn clear(&mut self, end_streams: bool) {
        self.engine.clear(self.now(), end_streams);
        self.model.clear(self.clock, end_streams);
        self.check();
    }

    /// See [`Engine::handle_disconnect`].
    pub fn disconnect(&mut self, conn: ConnId) -> Result<Left, Stale> {
        let answer = self.engine.handle_disconnect(self.now(), conn);
        assert_eq!(answer, self.model.disconnect(self.clock, conn));
        self.check();
        answer
    }

    /// See [`Engine::listen`].
    pub fn listen(&mut self, client: ClientKey, topic: &str) -> Result<bool, ListenError> {
        let answer = self.engine.listen(self.now(), client, topic);
        assert_eq!(answer, self.model.listen(self.clock, client, topic));
        self.check();
        answer
    }

    /// See [`Engine::unlisten`].
    pub fn unlisten(&mut self, client: ClientKey, topic: &str) -> Result<bool, Stale> {
        let answer = self.engine.unlisten(self.now(), client, topic);
        assert_eq!(answer, self.model.unlisten(self.clock, client, topic));
        self.check();
        answer
    }

    /// An event with nothing but data. Returns its id.
    pub fn publish(&mut self, target: Target<'_>, data: &str) -> String {
        let id = self.publish_at(0, target, &Event::data(data));
        id.expect("it can be published").to_string()
    }

    /// See [`Engine::publish_at`].
    pub fn publish_at(
        &mut self,
        sequence: u64,
        target: Target<'_>,
        event: &Event<'_>,
    ) -> Result<EventId, PublishError> {
        let answer = match sequence {
            0 => self.engine.publish(self.now(), target, event),
            _ => self.engine.publish_at(self.now(), sequence, target, event),
        };
        assert_eq!(
            answer,
            self.model.publish(self.clock, sequence, target, event)
        );
        self.check();
        answer
    }

    /// See [`Engine::observe_sequence`]; `skip` above the last one.
    pub fn observe(&mut self, skip: u64) {
        let sequence = self.engine.last_event_id().sequence + skip;
        self.engine.observe_sequence(sequence);
        self.model.observe(sequence);
        self.check();
    }

    /// See [`Engine::submit`].
    pub fn submit(&mut self, client: ClientKey, task: &str) -> Result<(), TaskError> {
        let answer = self.engine.submit(self.now(), client, task);
        assert_eq!(answer, self.model.submit(self.clock, client, task));
        self.check();
        answer
    }

    /// See [`Engine::withdraw`].
    pub fn withdraw(&mut self, client: ClientKey, task: &str) -> bool {
        let answer = self.engine.withdraw(client, task);
        assert_eq!(answer, self.model.withdraw(client, task));
        self.check();
        answer
    }

    /// See [`Engine::progress_at`].
    pub fn progress_at(
        &mut self,
        sequence: u64,
        client: ClientKey,
        task: &str,
        detail: &str,
    ) -> Result<(), TaskError> {
        let answer = self
            .engine
            .progress_at(self.now(), sequence, client, task, detail);
        assert_eq!(
            answer,
            self.model
                .progress(self.clock, sequence, client, task, detail)
        );
        self.check();
        answer
    }

    /// `task` of `client` is completed, with `result`. Returns the event's id.
    pub fn complete(&mut self, client: ClientKey, task: &str, result: Option<&str>) -> String {
        let info = self.engine.client_info(client).expect("it is registered");
        let (group, name) = (info.group.to_owned(), info.user_name.to_owned());
        let outcome = Outcome::Completed(result);
        self.complete_at(0, Some(client), &group, &name, task, outcome)
            .expect("it can be completed");
        self.engine.last_event_id().to_string()
    }

    /// See [`Engine::complete_at`].
    pub fn complete_at(
        &mut self,
        sequence: u64,
        owner: Option<ClientKey>,
        group: &str,
        name: &str,
        task: &str,
        outcome: Outcome<'_>,
    ) -> Result<(), TaskError> {
        let (now, clock) = (self.now(), self.clock);
        let answer = self
            .engine
            .complete_at(now, sequence, owner, group, name, task, outcome);
        let expected = self
            .model
            .complete(clock, sequence, owner, group, name, task, outcome);
        assert_eq!(answer, expected);
        self.check();
        answer
    }

    /// See [`Engine::sweep`].
    pub fn sweep(&mut self) {
        self.engine.sweep(self.now());
        self.model.sweep(self.clock);
        self.check();
    }

    /// See [`Engine::drain`].
    pub fn drain(&mut self, min_retry: u32, max_retry: u32) {
        self.engine.drain(self.now(), min_retry, max_retry);
        self.model.drain(self.clock, min_retry, max_retry);
        self.check();
    }

    // ---- looking

    /// What `conn` was sent since this was asked last.
    pub fn read(&mut self, conn: ConnId) -> String {
        let wire = self.wires.entry(conn).or_default();
        let new = text(&wire.bytes[wire.read..]).to_owned();
        wire.read = wire.bytes.len();
        new
    }

    /// Everything that was ever sent, by connection.
    pub fn sent(&self) -> Vec<&str> {
        self.wires.values().map(|wire| text(&wire.bytes)).collect()
    }

    /// The id that the peer of `conn` saw last, in a whole frame.
    pub fn last_id(&self, conn: ConnId) -> Option<String> {
        self.wires.get(&conn)?.last_id.clone()
    }

    /// What was polled since this was asked last, writes left out.
    pub fn outputs(&mut self) -> Vec<Output<Box<str>>> {
        self.outputs
            .retain(|output| !matches!(output, Output::Write(_)));
        std::mem::take(&mut self.outputs)
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine<Heap> {
        &self.engine
    }

    /// The clock, as the engine takes it.
    pub fn now(&self) -> Instant {
        Instant::from_millis(self.clock)
    }

    // ---- the laws

    /// What must hold after every step.
    pub fn check(&self) {
        let (engine, model) = (&self.engine, &self.model);
        let usage = engine.usage();
        assert_eq!(usage, model.usage());
        let limits = engine.config().limits;
        assert!(
            usage.connections <= limits.connections
                && usage.clients <= limits.clients
                && usage.issued_ids <= limits.issued_ids
                && usage.groups <= limits.groups
                && usage.topics <= limits.topics
                && usage.tasks <= limits.tasks
                && usage.log_entries <= limits.log_entries,
            "more than the limits allow: {usage:?}"
        );
        let now = model.now();
        let (timeout, expected) = (engine.poll_timeout(), model.timeout());
        match (timeout.map(Instant::as_millis), expected) {
            (Some(timeout), Some(expected)) if timeout <= now && expected <= now => {}
            (timeout, expected) => assert_eq!(timeout, expected, "at {now}"),
        }
        assert_eq!(engine.last_event_id(), model.last_event_id());
        let known = model.known();
        let mut infos: Vec<_> = engine.clients().collect();
        infos.sort_by_key(|info| info.key);
        assert_eq!(infos.len(), known.len());
        for (info, known) in infos.iter().zip(&known) {
            assert_eq!(
                (
                    info.key,
                    info.id,
                    info.group,
                    info.user_name,
                    info.registered.as_millis()
                ),
                (
                    known.key,
                    &*known.id,
                    &*known.group,
                    &*known.user_name,
                    known.registered
                )
            );
            assert_eq!(engine.find(info.group, info.id), Some(info.key));
            assert_eq!(engine.client_info(info.key), Some(*info));
            let connections: Vec<_> = engine.connections(info.key).collect();
            assert_eq!(connections, known.connections);
            assert_eq!(info.connections as usize, connections.len());
            assert!(
                engine
                    .topics(info.key)
                    .eq(known.topics.iter().map(String::as_str))
            );
            let tasks = engine.tasks(info.key);
            let tasks = tasks.map(|t| (t.name.into(), t.state.name(), t.detail.map(Into::into)));
            assert_eq!(tasks.collect::<Vec<_>>(), known.tasks);
        }
        for topic in TOPICS {
            assert!(engine.listeners(topic).eq(model.listeners(topic)));
        }
        for conn in model.open() {
            let wire = self.wires.get(&conn);
            let knows_where = wire.is_some_and(|wire| wire.last_id.is_some());
            assert!(
                knows_where || !model.is_idle(conn),
                "{conn:?} has everything, and no id to resume with"
            );
        }
    }

    /// Law 4: what is gone is gone, and nothing happens by it.
    pub fn check_stale(&mut self) {
        let before = (
            self.engine.usage(),
            self.engine.poll_timeout(),
            self.engine.last_event_id(),
        );
        let now = self.now();
        let open = self.model.open();
        let engine = &mut self.engine;
        let event = Event::data("x");
        for &conn in self.wires.keys().filter(|conn| !open.contains(conn)) {
            assert_eq!(engine.transmit(conn, &mut [b""]), Err(Stale));
            assert_eq!(engine.handle_written(now, conn, 1), Err(Stale));
            assert_eq!(engine.handle_disconnect(now, conn), Err(Stale));
            let published = engine.publish(now, Target::Connection(conn), &event);
            assert_eq!(published, Err(PublishError::UnknownTarget));
        }
        let known: BTreeSet<_> = self.model.known().iter().map(|known| known.key).collect();
        for &key in self.keys.difference(&known) {
            assert_eq!(engine.client_info(key), None);
            assert_eq!(engine.unregister(now, key, true), Err(Stale));
            assert_eq!(
                engine.listen(now, key, "t0"),
                Err(ListenError::UnknownClient)
            );
            assert_eq!(engine.unlisten(now, key, "t0"), Err(Stale));
            assert_eq!(engine.submit(now, key, "k0"), Err(TaskError::UnknownTask));
            assert!(!engine.withdraw(key, "k0"));
            let progress = engine.progress_at(now, 0, key, "k0", "1");
            assert_eq!(progress, Err(TaskError::UnknownTask));
            let outcome = Outcome::Completed(None);
            let completed = engine.complete_at(now, 0, Some(key), "", "bob", "k0", outcome);
            assert_eq!(completed, Err(TaskError::UnknownTask));
            let published = engine.publish(now, Target::Client(key), &event);
            assert_eq!(published, Err(PublishError::UnknownTarget));
            assert_eq!(engine.topics(key).count(), 0);
            assert_eq!(engine.connections(key).count(), 0);
            assert_eq!(engine.tasks(key).count(), 0);
        }
        let after = (
            self.engine.usage(),
            self.engine.poll_timeout(),
            self.engine.last_event_id(),
        );
        assert_eq!(before, after);
    }

    /// Everyone leaves, everything expires, the log is written over; then the tables are empty, and can be filled to the brim.
    pub fn everything_ends(&mut self) {
        self.drive();
        self.check_stale();
        for conn in self.model.open() {
            let _ = self.disconnect(conn);
        }
        self.wait(1_000_000);
        self.sweep();
        self.drive();
        self.check_stale();
        let limits = self.engine.config().limits;
        let filler = "x".repeat(100);
        for _ in 0..(limits.log_entries.min(limits.log_bytes / 100) + 2) {
            self.publish(Target::All, &filler);
        }
        let usage = self.engine.usage();
        let expected = sse_proto::Usage {
            log_entries: usage.log_entries,
            ..Default::default()
        };
        assert_eq!(usage, expected, "something was not let go of");

        let before = usage.log_entries;
        for index in 0..limits.clients {
            let answer = self.allocate("", &format!("u{index}"), [0; 32]);
            if index < limits.issued_ids {
                assert!(answer.is_ok());
            }
        }
        self.clear(true);
        if self
            .register(&Registration::new(ClientId::new("last_1").expect("a name")))
            .is_err()
        {
            return; // drained
        }
        self.clear(true);
        self.drive();
        let mut subscriptions = limits.subscriptions;
        for index in 0..limits.clients {
            let id = format!("u{index}_1");
            let group = match index % limits.groups {
                0 => String::new(),
                group => format!("g{group}"),
            };
            let topics: Vec<_> = (0..limits.topics.min(limits.topics_per_client))
                .map(|topic| format!("t{}", (index + topic) % limits.topics))
                .take(subscriptions as usize)
                .collect();
            subscriptions -= topics.len() as u32;
            let topics: Vec<_> = topics.iter().map(String::as_str).collect();
            let wish = Registration {
                group: &group,
                topics: &topics,
                ..Registration::new(ClientId::new(&id).expect("a name"))
            };
            let Registered { conn, .. } = self.register(&wish).expect("everything is free");
            if self.engine.usage().connections == limits.connections {
                let _ = self.disconnect(conn);
            }
        }
        let usage = self.engine.usage();
        assert_eq!(usage.clients, limits.clients);
        assert_eq!(usage.log_entries, before);
    }

    // ---- private

    fn write_all(&mut self, conn: ConnId, take: usize, slices: usize) {
        for _ in 0..1_000_000 {
            let Ok(1..) = self.write(conn, take, slices) else {
                return;
            };
        }
        panic!("there is no end to what {conn:?} is sent");
    }

    fn is_due(&self) -> bool {
        let timeout = self.engine.poll_timeout();
        timeout.is_some_and(|at| at.as_millis() <= self.model.now())
    }

    fn next_sequence(&self, skip: u64) -> u64 {
        self.engine.last_event_id().sequence + 1 + skip
    }

    /// One that is open, or now and then one that is not.
    fn pick_connection(&self, number: u8) -> Option<ConnId> {
        let open = self.model.open();
        let pick =
            |conns: Vec<ConnId>| conns.get(usize::from(number) % conns.len().max(1)).copied();
        if number >= 250 {
            return pick(
                self.wires
                    .keys()
                    .copied()
                    .filter(|c| !open.contains(c))
                    .collect(),
            );
        }
        pick(open)
    }

    /// One that is registered, or now and then one that is not.
    fn pick_client(&self, number: u8) -> Option<ClientKey> {
        let known: Vec<_> = self.model.known().iter().map(|known| known.key).collect();
        let pick =
            |keys: Vec<ClientKey>| keys.get(usize::from(number) % keys.len().max(1)).copied();
        if number >= 250 {
            return pick(
                self.keys
                    .iter()
                    .copied()
                    .filter(|k| !known.contains(k))
                    .collect(),
            );
        }
        pick(known)
    }

    fn apply_register(&mut self, register: &Register) {
        let issued = self.model.issued_ids();
        let (group, id) = match register.id {
            Who::Id(id) => (register.group, id),
            Who::Issued(number) => match issued.get(usize::from(number) % issued.len().max(1)) {
                Some((group, id)) => (&**group, &**id),
                None => (register.group, "ann_2"),
            },
        };
        let last = self.engine.last_event_id();
        let at = |sequence| EventId { sequence, ..last }.to_string();
        let seen: Vec<_> = self
            .wires
            .values()
            .filter_map(|wire| wire.last_id.clone())
            .collect();
        let after = match register.resume {
            From::Live | From::Earliest => String::new(),
            From::Seen(number) => {
                let recent = usize::from(number) % seen.len().clamp(1, 8);
                seen.len()
                    .checked_sub(1 + recent)
                    .map_or(String::new(), |at| seen[at].clone())
            }
            From::Back(number) => at(last.sequence.saturating_sub(u64::from(number) % 16)),
            From::OtherEpoch => EventId {
                epoch: Epoch(6),
                ..last
            }
            .to_string(),
            From::Future => at(last.sequence + 1),
            From::Own(id) => id.into(),
        };
        let wish = Registration {
            id: ClientId::new(id).expect("a checked id"),
            group,
            topics: &register.topics,
            resume: match register.resume {
                From::Live => Resume::Live,
                From::Earliest => Resume::Earliest,
                _ => Resume::After(&after),
            },
            greeting: register.greeting,
            dialect: register.dialect,
            replace: register.replace,
            passing: register.passing,
        };
        let _ = self.register(&wish);
    }

    fn apply_publish(&mut self, target: To, what: What, skip: u64) {
        let event = Event {
            id: what.id.map(|id| IdField::new(id).expect("an id")),
            event: what.event.map(|name| EventName::new(name).expect("a name")),
            retry: what.retry,
            data: what.data,
            comment: what.comment,
        };
        let members: Vec<ClientKey>;
        let target = match target {
            To::All => Target::All,
            To::Group(group) => Target::Group(group),
            To::Topic(topic) => Target::Topic(topic),
            To::UserName(name) => Target::UserName(name),
            To::Client(number) => match self.pick_client(number) {
                Some(client) => Target::Client(client),
                None => return,
            },
            To::Connection(number) => match self.pick_connection(number) {
                Some(conn) => Target::Connection(conn),
                None => return,
            },
            To::Clients(numbers, count) => {
                let numbers = numbers.into_iter().take(count);
                members = numbers
                    .filter_map(|number| self.pick_client(number))
                    .collect();
                Target::Clients(&members)
            }
        };
        let sequence = if skip == 0 {
            0
        } else {
            self.next_sequence(skip)
        };
        let _ = self.publish_at(sequence, target, &event);
    }
}

impl Wire {
    /// What a peer does with bytes: cuts them into frames, and remembers the last id.
    fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let new = text(&self.bytes[self.whole..]);
        let Some(end) = new.rfind("\n\n") else {
            return;
        };
        let whole = &new[..end + 2];
        let mut ids = whole
            .lines()
            .rev()
            .filter_map(|line| line.strip_prefix("id:"));
        if let Some(id) = ids.next() {
            self.last_id = Some(id.strip_prefix(' ').unwrap_or(id).into());
        }
        self.whole += whole.len();
    }
}

fn text(bytes: &[u8]) -> &str {
    // A peer may have been given half a character.
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).expect("it is valid"),
    }
}
