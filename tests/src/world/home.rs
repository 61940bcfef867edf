//! The hub of a world: the engine alone, on the heap, which is watched, or in fixed memory; or the engine with the naive model in step.

use sse_proto::storage::fixed::{
    Clients, Connections, DetailBytes, Fixed, FrameBytes, Labels, LogBytes, LogEntries, Subscriptions, Tasks, TextBytes,
};
use sse_proto::wire::Event;
use sse_proto::{
    ClientId, ClientKey, Config, ConnId, Engine, Epoch, EventId, Heap, IdError, Instant, Left, Limits, ListenError, Outcome,
    Output, PublishError, RegisterError, Registered, Registration, Stale, Storage, Target, TaskError, Usage,
};

use crate::harness::{Harness, boxed};
use crate::heap::live;

/// What a world asks of a hub: the verbs of the engine, and one that writes.
#[expect(missing_docs, reason = "each does what the method of that name of `Engine` does")]
pub trait Home: Sized {
    fn open(config: Config, epoch: Epoch) -> Self;
    fn usage(&self) -> Usage;
    fn poll_timeout(&self) -> Option<Instant>;
    fn last_event_id(&self) -> EventId;
    fn is_known(&self, client: ClientKey) -> bool;
    fn is_caught_up(&self, conn: ConnId) -> bool;
    fn handle_timeout(&mut self, now: Instant);
    fn poll_output(&mut self) -> Option<Output<Box<str>>>;
    fn register(&mut self, now: Instant, wish: &Registration<'_>) -> Result<Registered, RegisterError>;
    fn handle_disconnect(&mut self, now: Instant, conn: ConnId) -> Result<Left, Stale>;
    fn finish(&mut self, now: Instant, conn: ConnId) -> Result<(), Stale>;
    fn publish(&mut self, now: Instant, skip: u64, target: Target<'_>, event: &Event<'_>) -> Result<EventId, PublishError>;
    fn listen(&mut self, now: Instant, client: ClientKey, topic: &str) -> Result<bool, ListenError>;
    fn unlisten(&mut self, now: Instant, client: ClientKey, topic: &str) -> Result<bool, Stale>;
    fn unregister(&mut self, now: Instant, client: ClientKey, end_streams: bool) -> Result<(), Stale>;
    fn allocate(&mut self, now: Instant, name: &str, entropy: [u8; 32]) -> Result<String, IdError>;
    fn restore_id(&mut self, issued: Instant, id: ClientId<'_>) -> Result<(), RegisterError>;
    fn submit(&mut self, now: Instant, client: ClientKey, task: &str) -> Result<(), TaskError>;
    fn progress(&mut self, now: Instant, client: ClientKey, task: &str) -> Result<(), TaskError>;
    fn complete(&mut self, now: Instant, owner: ClientKey, task: &str, outcome: Outcome<'_>) -> Result<(), TaskError>;
    fn sweep(&mut self, now: Instant);
    fn drain(&mut self, now: Instant, min_retry: u32, max_retry: u32);

    /// Gives `conn` what is next for it; its peer takes up to `take` bytes, which go to `sink`. Returns how many it took.
    fn write(&mut self, now: Instant, conn: ConnId, take: usize, slices: usize, sink: &mut Vec<u8>) -> Result<usize, Stale>;

    /// What the engine holds of the heap is within what it says it may, if the heap is watched.
    fn check_memory(&self) {}
}

/// As large as the limits of small worlds ever are, but for those whose log is roomy.
pub type SmallTables = Fixed<
    Connections<32>,
    Clients<26>,
    Labels<34>,
    Subscriptions<130>,
    Tasks<120>,
    DetailBytes<16>,
    LogBytes<4_096>,
    LogEntries<64>,
    FrameBytes<512>,
    TextBytes<64>,
>;

/// Storage that says how much of the heap an engine on it may hold.
pub trait Bounded: Storage {
    /// In bytes, with these limits: from this, which it takes at once, to this.
    fn bounds(limits: &Limits) -> (u64, u64);
}

impl Bounded for Heap {
    fn bounds(limits: &Limits) -> (u64, u64) {
        let bounds = Engine::<Heap>::memory_bounds(limits);
        let most = bounds.log + bounds.connections + bounds.clients + bounds.topics + bounds.tasks;
        (u64::from(limits.log_bytes), most)
    }
}

impl Bounded for SmallTables {
    fn bounds(_: &Limits) -> (u64, u64) {
        let itself = size_of::<Engine<Self>>() as u64;
        (itself, itself)
    }
}

/// The engine alone, and how much of the heap it holds: only when [`Counting`](crate::heap::Counting) is installed.
pub struct Bare<S: Storage = Heap> {
    engine: Box<Engine<S>>,
    watched: bool,
    held: isize,
    most: u64,
}

impl<S: Storage> Bare<S> {
    fn within<R>(&mut self, call: impl FnOnce(&mut Engine<S>) -> R) -> R {
        let before = live();
        let answer = call(&mut self.engine);
        self.held += live() - before;
        answer
    }
}

impl<S: Bounded> Home for Bare<S> {
    fn open(config: Config, epoch: Epoch) -> Self {
        let (least, most) = S::bounds(&config.limits);
        let before = live();
        let engine = Box::new(Engine::new(config, epoch, [1, 2]).expect("the limits fit each other and the storage"));
        let held = live() - before;
        let watched = held > size_of::<Engine<Heap>>() as isize;
        assert!(!watched || held as u64 >= least, "an engine that takes {least} bytes at once takes {held}");
        Self { engine, watched, held, most: most + size_of::<Engine<Heap>>() as u64 }
    }

    fn usage(&self) -> Usage {
        self.engine.usage()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.engine.poll_timeout()
    }

    fn last_event_id(&self) -> EventId {
        self.engine.last_event_id()
    }

    fn is_known(&self, client: ClientKey) -> bool {
        self.engine.is_known(client)
    }

    fn is_caught_up(&self, conn: ConnId) -> bool {
        self.engine.is_caught_up(conn)
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.within(|engine| engine.handle_timeout(now));
    }

    fn poll_output(&mut self) -> Option<Output<Box<str>>> {
        let output = self.within(|engine| engine.poll_output().map(boxed));
        if let Some(Output::Expired { id, .. } | Output::Unused { id }) = &output {
            // The caller's from now on.
            self.held -= if self.watched { id.len() as isize } else { 0 };
        }
        output
    }

    fn register(&mut self, now: Instant, wish: &Registration<'_>) -> Result<Registered, RegisterError> {
        self.within(|engine| engine.register(now, wish))
    }

    fn handle_disconnect(&mut self, now: Instant, conn: ConnId) -> Result<Left, Stale> {
        self.within(|engine| engine.handle_disconnect(now, conn))
    }

    fn finish(&mut self, now: Instant, conn: ConnId) -> Result<(), Stale> {
        self.within(|engine| engine.finish(now, conn))
    }

    fn publish(&mut self, now: Instant, skip: u64, target: Target<'_>, event: &Event<'_>) -> Result<EventId, PublishError> {
        self.within(|engine| match skip {
            0 => engine.publish(now, target, event),
            _ => engine.publish_at(now, engine.last_event_id().sequence + 1 + skip, target, event),
        })
    }

    fn listen(&mut self, now: Instant, client: ClientKey, topic: &str) -> Result<bool, ListenError> {
        self.within(|engine| engine.listen(now, client, topic))
    }

    fn unlisten(&mut self, now: Instant, client: ClientKey, topic: &str) -> Result<bool, Stale> {
        self.within(|engine| engine.unlisten(now, client, topic))
    }

    fn unregister(&mut self, now: Instant, client: ClientKey, end_streams: bool) -> Result<(), Stale> {
        self.within(|engine| engine.unregister(now, client, end_streams))
    }

    fn allocate(&mut self, now: Instant, name: &str, entropy: [u8; 32]) -> Result<String, IdError> {
        let answer = self.within(|engine| engine.allocate_id(now, "", name, &entropy).map(|id| String::from(id.as_ref())));
        // The caller's from now on.
        self.held -= answer.as_ref().map_or(0, |id| if self.watched { id.len() as isize } else { 0 });
        answer
    }

    fn restore_id(&mut self, issued: Instant, id: ClientId<'_>) -> Result<(), RegisterError> {
        self.within(|engine| engine.restore_id(issued, "", id))
    }

    fn submit(&mut self, now: Instant, client: ClientKey, task: &str) -> Result<(), TaskError> {
        self.within(|engine| engine.submit(now, client, task))
    }

    fn progress(&mut self, now: Instant, client: ClientKey, task: &str) -> Result<(), TaskError> {
        self.within(|engine| engine.progress_at(now, 0, client, task, "{\"half\":1}"))
    }

    fn complete(&mut self, now: Instant, owner: ClientKey, task: &str, outcome: Outcome<'_>) -> Result<(), TaskError> {
        let Some(info) = self.engine.client_info(owner) else { return Err(TaskError::UnknownTask) };
        let (group, name) = (info.group.to_owned(), info.user_name.to_owned());
        self.within(|engine| engine.complete_at(now, 0, Some(owner), &group, &name, task, outcome))
    }

    fn sweep(&mut self, now: Instant) {
        self.within(|engine| engine.sweep(now));
    }

    fn drain(&mut self, now: Instant, min_retry: u32, max_retry: u32) {
        self.within(|engine| engine.drain(now, min_retry, max_retry));
    }

    fn write(&mut self, now: Instant, conn: ConnId, take: usize, slices: usize, sink: &mut Vec<u8>) -> Result<usize, Stale> {
        let before = live();
        let mut given = [&b""[..]; 8];
        let filled = self.engine.transmit(conn, &mut given[..slices])?;
        // The engine may have made room for a notice; the sink is the peer's.
        let made = live() - before;
        let mut left = take;
        for slice in &given[..filled] {
            assert!(!slice.is_empty(), "an empty slice for {conn:?}");
            let taken = slice.len().min(left);
            sink.extend_from_slice(&slice[..taken]);
            left -= taken;
        }
        let taken = take - left;
        let whole = self.within(|engine| engine.handle_written(now, conn, taken))?;
        self.held += made;
        assert!(whole <= 1024, "one write passes {whole} frames");
        Ok(taken)
    }

    fn check_memory(&self) {
        let (held, most) = (self.held, self.most);
        assert!(held <= most as isize, "the engine holds {held} bytes, and may hold {most}");
    }
}

impl Home for Harness {
    fn open(config: Config, epoch: Epoch) -> Self {
        Self::with_epoch(config, epoch)
    }

    fn usage(&self) -> Usage {
        self.engine().usage()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.engine().poll_timeout()
    }

    fn last_event_id(&self) -> EventId {
        self.engine().last_event_id()
    }

    fn is_known(&self, client: ClientKey) -> bool {
        self.engine().is_known(client)
    }

    fn is_caught_up(&self, conn: ConnId) -> bool {
        self.engine().is_caught_up(conn)
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.at(now.as_millis());
    }

    fn poll_output(&mut self) -> Option<Output<Box<str>>> {
        self.poll()
    }

    fn register(&mut self, now: Instant, wish: &Registration<'_>) -> Result<Registered, RegisterError> {
        self.clock(now.as_millis());
        Self::register(self, wish)
    }

    fn handle_disconnect(&mut self, now: Instant, conn: ConnId) -> Result<Left, Stale> {
        self.clock(now.as_millis());
        self.disconnect(conn)
    }

    fn finish(&mut self, now: Instant, conn: ConnId) -> Result<(), Stale> {
        self.clock(now.as_millis());
        Self::finish(self, conn)
    }

    fn publish(&mut self, now: Instant, skip: u64, target: Target<'_>, event: &Event<'_>) -> Result<EventId, PublishError> {
        self.clock(now.as_millis());
        let sequence = if skip == 0 { 0 } else { Self::engine(self).last_event_id().sequence + 1 + skip };
        self.publish_at(sequence, target, event)
    }

    fn listen(&mut self, now: Instant, client: ClientKey, topic: &str) -> Result<bool, ListenError> {
        self.clock(now.as_millis());
        Self::listen(self, client, topic)
    }

    fn unlisten(&mut self, now: Instant, client: ClientKey, topic: &str) -> Result<bool, Stale> {
        self.clock(now.as_millis());
        Self::unlisten(self, client, topic)
    }

    fn unregister(&mut self, now: Instant, client: ClientKey, end_streams: bool) -> Result<(), Stale> {
        self.clock(now.as_millis());
        Self::unregister(self, client, end_streams)
    }

    fn allocate(&mut self, now: Instant, name: &str, entropy: [u8; 32]) -> Result<String, IdError> {
        self.clock(now.as_millis());
        Self::allocate(self, "", name, entropy)
    }

    fn restore_id(&mut self, issued: Instant, id: ClientId<'_>) -> Result<(), RegisterError> {
        Self::restore_id(self, issued.as_millis(), "", id.as_str())
    }

    fn submit(&mut self, now: Instant, client: ClientKey, task: &str) -> Result<(), TaskError> {
        self.clock(now.as_millis());
        Self::submit(self, client, task)
    }

    fn progress(&mut self, now: Instant, client: ClientKey, task: &str) -> Result<(), TaskError> {
        self.clock(now.as_millis());
        self.progress_at(0, client, task, "{\"half\":1}")
    }

    fn complete(&mut self, now: Instant, owner: ClientKey, task: &str, outcome: Outcome<'_>) -> Result<(), TaskError> {
        self.clock(now.as_millis());
        let Some(info) = Self::engine(self).client_info(owner) else { return Err(TaskError::UnknownTask) };
        let (group, name) = (info.group.to_owned(), info.user_name.to_owned());
        self.complete_at(0, Some(owner), &group, &name, task, outcome)
    }

    fn sweep(&mut self, now: Instant) {
        self.clock(now.as_millis());
        Self::sweep(self);
    }

    fn drain(&mut self, now: Instant, min_retry: u32, max_retry: u32) {
        self.clock(now.as_millis());
        Self::drain(self, min_retry, max_retry);
    }

    fn write(&mut self, now: Instant, conn: ConnId, take: usize, slices: usize, sink: &mut Vec<u8>) -> Result<usize, Stale> {
        self.clock(now.as_millis());
        let taken = Self::write(self, conn, take, slices)?;
        sink.extend(self.read_bytes(conn));
        Ok(taken)
    }
}
