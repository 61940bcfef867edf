//! The engine and its naive model, driven in step on simulated time.
//!
//! Every method does one thing to both, compares what they answer, and checks the laws of DESIGN.md. Peers are simulated: what
//! a connection was sent is kept, and cut into frames the naive way. Where the limits allow it there is an engine in fixed memory
//! beside the one on the heap, in step with it.

mod both;
mod laws;
mod random;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use sse_proto::wire::Event;
use sse_proto::{
    ClientId, ClientKey, Config, ConnId, Engine, Epoch, EventId, Heap, IdError, Instant, Left, ListenError, Outcome, Output,
    PublishError, RegisterError, Registered, Registration, Resume, Stale, Target, TaskError,
};

use self::both::Both;
pub(crate) use self::both::boxed;
use self::wire::{Wire, text};
use crate::model::{Model, Next};

/// The epoch of every simulated hub.
pub const EPOCH: Epoch = Epoch(7);

/// An engine, its model, their clock and the peers of their connections.
pub struct Harness {
    engine: Both,
    model: Model,
    /// What the caller's clock shows. It may step back.
    clock: u64,
    /// What each connection was sent, those that are gone included.
    wires: BTreeMap<ConnId, Wire>,
    keys: BTreeSet<ClientKey>,
    /// What was polled and not asked for yet.
    outputs: Vec<Output<Box<str>>>,
    /// Many steps count as one: the laws are checked when it is over.
    in_burst: bool,
}

impl Harness {
    /// A new hub at time 1,000.
    pub fn new(config: Config) -> Self {
        let mut harness = Self::with_epoch(config, EPOCH);
        harness.at(1_000);
        harness
    }

    /// A new hub that knows no time yet.
    pub fn with_epoch(config: Config, epoch: Epoch) -> Self {
        Self {
            engine: Both::new(config.clone(), epoch, [1, 2]),
            model: Model::new(config, epoch),
            clock: 0,
            wires: BTreeMap::new(),
            keys: BTreeSet::new(),
            outputs: Vec::new(),
            in_burst: false,
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
        self.at(self.clock.min(self.model.now()).saturating_sub(millis));
        assert_eq!((self.engine.usage(), self.engine.poll_timeout()), before);
    }

    /// The clock shows `now`, and the next verb is the first to tell.
    pub fn clock(&mut self, now: u64) {
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
        assert_eq!(output.is_some(), due, "{output:?} at {:?}", self.engine.poll_timeout());
        assert_eq!(output, self.model.poll());
        self.outputs.extend(output.clone());
        self.check();
        output
    }

    /// Gives `conn` what is next for it, and its peer takes up to `take` bytes of it. Returns how many it took. Where it takes an even
    /// number, another is given its own before the engine is told, as by a driver that writes to many at once.
    pub fn write(&mut self, conn: ConnId, take: usize, slices: usize) -> Result<usize, Stale> {
        let Ok(bytes) = self.given(conn, slices) else {
            assert_eq!(self.engine.handle_written(self.now(), conn, 1), Err(Stale));
            assert_eq!(self.model.written(self.clock, conn, 1), Err(Stale));
            return Err(Stale);
        };
        self.check();
        let taken = bytes.len().min(take);
        let next = self.wires.range((Bound::Excluded(conn), Bound::Unbounded)).next();
        if let Some(other) = next.map(|(other, _)| *other).filter(|_| taken.is_multiple_of(2)) {
            // Gone, maybe.
            let _ = self.given(other, slices);
        }
        let answer = self.engine.handle_written(self.now(), conn, taken);
        assert_eq!(answer, self.model.written(self.clock, conn, taken));
        self.wires.entry(conn).or_default().take(&bytes[..taken]);
        self.check();
        Ok(taken)
    }

    /// What is next for `conn`: the same as in the model.
    fn given(&mut self, conn: ConnId, slices: usize) -> Result<Vec<u8>, Stale> {
        let mut given = [&b""[..]; 8];
        let filled = self.engine.transmit(conn, &mut given[..slices]);
        let given = filled.map(|filled| {
            let given = &given[..filled];
            assert!(given.iter().all(|slice| !slice.is_empty()), "an empty slice");
            (filled, given.concat())
        });
        let expected = self.model.transmit(conn);
        match (given, expected) {
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
                        assert!(retry.is_some_and(|ms| (min..=max).contains(&ms)), "{bytes:?}");
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
                        assert!(whole == frames.len() || filled == slices, "{whole} of {} frames", frames.len());
                    }
                }
                Ok(bytes)
            }
            (given, expected) => panic!("{given:?}, expected {expected:?}"),
        }
    }

    /// The peer of `conn`, which was asked to be written before, takes all there is.
    pub fn flush(&mut self, conn: ConnId) {
        self.write_all(conn, usize::MAX, 4);
    }

    // ---- the verbs

    /// A stream for `id`, with everything at its default.
    pub fn connect(&mut self, id: &str) -> Registered {
        let id = ClientId::new(id).expect("a checked id");
        self.register(&Registration::new(id)).expect("there is room")
    }

    /// A stream for `id` that goes on after `last_event_id`.
    pub fn resume(&mut self, id: &str, last_event_id: &str) -> Registered {
        let id = ClientId::new(id).expect("a checked id");
        let resume = Resume::After(last_event_id);
        self.register(&Registration { resume, ..Registration::new(id) }).expect("there is room")
    }

    /// See [`Engine::register`].
    pub fn register(&mut self, wish: &Registration<'_>) -> Result<Registered, RegisterError> {
        let answer = self.engine.register(self.now(), wish);
        let expected = self.model.can_register(self.clock, wish);
        assert_eq!(answer.map(|_| ()), expected);
        if let Ok(registered) = answer {
            let Registered { conn, client, returning, gap } = registered;
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
    pub fn allocate(&mut self, group: &str, name: &str, entropy: [u8; 32]) -> Result<String, IdError> {
        let answer = self.engine.allocate_id(self.now(), group, name, &entropy);
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

    /// See [`Engine::restore_id`].
    pub fn restore_id(&mut self, issued: u64, group: &str, id: &str) -> Result<(), RegisterError> {
        let id = ClientId::new(id).expect("a checked id");
        let answer = self.engine.restore_id(Instant::from_millis(issued), group, id);
        assert_eq!(answer, self.model.restore_id(issued, group, id));
        self.check();
        answer
    }

    /// See [`Engine::unregister`].
    pub fn unregister(&mut self, client: ClientKey, end_streams: bool) -> Result<(), Stale> {
        let answer = self.engine.unregister(self.now(), client, end_streams);
        assert_eq!(answer, self.model.unregister(self.clock, client, end_streams));
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

    /// See [`Engine::finish`].
    pub fn finish(&mut self, conn: ConnId) -> Result<(), Stale> {
        let answer = self.engine.finish(self.now(), conn);
        assert_eq!(answer, self.model.finish(self.clock, conn));
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
    pub fn publish_at(&mut self, sequence: u64, target: Target<'_>, event: &Event<'_>) -> Result<EventId, PublishError> {
        let answer = match sequence {
            0 => self.engine.publish(self.now(), target, event),
            _ => self.engine.publish_at(self.now(), sequence, target, event),
        };
        assert_eq!(answer, self.model.publish(self.clock, sequence, target, event));
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
    pub fn progress_at(&mut self, sequence: u64, client: ClientKey, task: &str, detail: &str) -> Result<(), TaskError> {
        let answer = self.engine.progress_at(self.now(), sequence, client, task, detail);
        assert_eq!(answer, self.model.progress(self.clock, sequence, client, task, detail));
        self.check();
        answer
    }

    /// `task` of `client` is completed, with `result`. Returns the event's id.
    pub fn complete(&mut self, client: ClientKey, task: &str, result: Option<&str>) -> String {
        let info = self.engine.client_info(client).expect("it is registered");
        let (group, name) = (info.group.to_owned(), info.user_name.to_owned());
        let outcome = Outcome::Completed(result);
        self.complete_at(0, Some(client), &group, &name, task, outcome).expect("it can be completed");
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
        let answer = self.engine.complete_at(now, sequence, owner, group, name, task, outcome);
        let expected = self.model.complete(clock, sequence, owner, group, name, task, outcome);
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

    /// The same as it is, half characters included.
    pub fn read_bytes(&mut self, conn: ConnId) -> Vec<u8> {
        let wire = self.wires.entry(conn).or_default();
        let new = wire.bytes[wire.read..].to_vec();
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
        self.outputs.retain(|output| !matches!(output, Output::Write(_)));
        std::mem::take(&mut self.outputs)
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine<Heap> {
        self.engine.heap()
    }

    /// Whether an engine in fixed memory does everything, too.
    pub fn has_fixed(&self) -> bool {
        self.engine.are_two()
    }

    /// The clock, as the engine takes it.
    pub fn now(&self) -> Instant {
        Instant::from_millis(self.clock)
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
}
