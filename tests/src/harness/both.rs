//! The engine on the heap and in fixed memory, in step: both are asked the same, and must answer the same.
//!
//! Tables in fixed memory are exactly as large as the limits of [`crate::ops::config`], so that errors for want of room come at the
//! same moment too, and a row that is not let go of is missed soon.

use std::ops::Deref;

use sse_proto::storage::fixed::{
    Clients, Connections, DetailBytes, Fixed, FrameBytes, Labels, LogBytes, LogEntries, Subscriptions, Tasks, TextBytes,
};
use sse_proto::wire::Encode;
use sse_proto::{
    ClientId, ClientKey, Config, ConnId, Engine, Epoch, EventId, Heap, IdError, Instant, Left, Limits, ListenError, Outcome,
    Output, PublishError, RegisterError, Registered, Registration, Stale, Storage, Target, TaskError,
};

/// Labels are the limits of clients, groups and topics added up. The longest task's detail is as long as the longest frame.
type Tables<
    const CONNECTIONS: usize,
    const CLIENTS: usize,
    const LABELS: usize,
    const SUBSCRIPTIONS: usize,
    const TASKS: usize,
> = Fixed<
    Connections<CONNECTIONS>,
    Clients<CLIENTS>,
    Labels<LABELS>,
    Subscriptions<SUBSCRIPTIONS>,
    Tasks<TASKS>,
    DetailBytes<1024>,
    LogBytes<{ 64 * 1024 }>,
    LogEntries<2_000>,
    FrameBytes<1024>,
    TextBytes<40>,
>;
type Roomy = Tables<16, 16, 34, 40, 16>;
type Small = Tables<4, 4, 9, 5, 3>;
type Single = Tables<1, 1, 3, 1, 1>;

/// An engine on the heap, and one in fixed memory where the limits are those of one of the shapes above.
pub(super) struct Both {
    heap: Engine<Heap>,
    fixed: Option<InFixed>,
}

enum InFixed {
    Roomy(Box<Engine<Roomy>>),
    Small(Box<Engine<Small>>),
    Single(Box<Engine<Single>>),
}

/// Asks both engines and compares their answers.
macro_rules! both {
    ($both:ident, $engine:ident => $answer:expr) => {{
        let $engine = &mut $both.heap;
        let answer = $answer;
        match &mut $both.fixed {
            None => {}
            Some(InFixed::Roomy($engine)) => assert_eq!($answer, answer, "in fixed memory, and on the heap"),
            Some(InFixed::Small($engine)) => assert_eq!($answer, answer, "in fixed memory, and on the heap"),
            Some(InFixed::Single($engine)) => assert_eq!($answer, answer, "in fixed memory, and on the heap"),
        }
        answer
    }};
}

impl Both {
    pub(super) fn new(config: Config, epoch: Epoch, hash_key: [u64; 2]) -> Self {
        let fixed = match config.limits.connections {
            16 if fits::<Roomy>(&config.limits) => Some(InFixed::Roomy(begin(&config, epoch, hash_key))),
            4 if fits::<Small>(&config.limits) => Some(InFixed::Small(begin(&config, epoch, hash_key))),
            1 if fits::<Single>(&config.limits) => Some(InFixed::Single(begin(&config, epoch, hash_key))),
            _ => None,
        };
        Self { heap: Engine::new(config, epoch, hash_key).expect("the limits fit each other"), fixed }
    }

    pub(super) fn heap(&self) -> &Engine<Heap> {
        &self.heap
    }

    /// Whether there is one in fixed memory, too.
    pub(super) fn are_two(&self) -> bool {
        self.fixed.is_some()
    }

    /// Whoever looks around sees the same.
    pub(super) fn check(&self) {
        match &self.fixed {
            None => {}
            Some(InFixed::Roomy(fixed)) => check(&self.heap, fixed),
            Some(InFixed::Small(fixed)) => check(&self.heap, fixed),
            Some(InFixed::Single(fixed)) => check(&self.heap, fixed),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        both!(self, engine => engine.handle_timeout(now));
    }

    pub(super) fn poll_output(&mut self) -> Option<Output<Box<str>>> {
        both!(self, engine => engine.poll_output().map(boxed))
    }

    pub(super) fn transmit<'a>(&'a mut self, conn: ConnId, slices: &mut [&'a [u8]]) -> Result<usize, Stale> {
        let room = slices.len();
        let filled = self.heap.transmit(conn, slices);
        let given = filled.map(|filled| slices[..filled].to_vec());
        match &mut self.fixed {
            None => {}
            Some(InFixed::Roomy(fixed)) => assert_eq!(transmit(fixed, conn, room), given),
            Some(InFixed::Small(fixed)) => assert_eq!(transmit(fixed, conn, room), given),
            Some(InFixed::Single(fixed)) => assert_eq!(transmit(fixed, conn, room), given),
        }
        filled
    }

    pub(super) fn handle_written(&mut self, now: Instant, conn: ConnId, written: usize) -> Result<usize, Stale> {
        both!(self, engine => engine.handle_written(now, conn, written))
    }

    pub(super) fn handle_disconnect(&mut self, now: Instant, conn: ConnId) -> Result<Left, Stale> {
        both!(self, engine => engine.handle_disconnect(now, conn))
    }

    pub(super) fn register(&mut self, now: Instant, wish: &Registration<'_>) -> Result<Registered, RegisterError> {
        both!(self, engine => engine.register(now, wish))
    }

    pub(super) fn allocate_id(&mut self, now: Instant, group: &str, name: &str, entropy: &[u8; 32]) -> Result<String, IdError> {
        both!(self, engine => engine.allocate_id(now, group, name, entropy).map(|id| AsRef::<str>::as_ref(&id).to_owned()))
    }

    pub(super) fn restore_id(&mut self, issued: Instant, group: &str, id: ClientId<'_>) -> Result<(), RegisterError> {
        both!(self, engine => engine.restore_id(issued, group, id))
    }

    pub(super) fn unregister(&mut self, now: Instant, client: ClientKey, end_streams: bool) -> Result<(), Stale> {
        both!(self, engine => engine.unregister(now, client, end_streams))
    }

    pub(super) fn clear(&mut self, now: Instant, end_streams: bool) {
        both!(self, engine => engine.clear(now, end_streams));
    }

    pub(super) fn listen(&mut self, now: Instant, client: ClientKey, topic: &str) -> Result<bool, ListenError> {
        both!(self, engine => engine.listen(now, client, topic))
    }

    pub(super) fn finish(&mut self, now: Instant, conn: ConnId) -> Result<(), Stale> {
        both!(self, engine => engine.finish(now, conn))
    }

    pub(super) fn unlisten(&mut self, now: Instant, client: ClientKey, topic: &str) -> Result<bool, Stale> {
        both!(self, engine => engine.unlisten(now, client, topic))
    }

    pub(super) fn publish(&mut self, now: Instant, target: Target<'_>, frame: &impl Encode) -> Result<EventId, PublishError> {
        both!(self, engine => engine.publish(now, target, frame))
    }

    pub(super) fn publish_at(
        &mut self,
        now: Instant,
        sequence: u64,
        target: Target<'_>,
        frame: &impl Encode,
    ) -> Result<EventId, PublishError> {
        both!(self, engine => engine.publish_at(now, sequence, target, frame))
    }

    pub(super) fn observe_sequence(&mut self, sequence: u64) {
        both!(self, engine => engine.observe_sequence(sequence));
    }

    pub(super) fn submit(&mut self, now: Instant, client: ClientKey, task: &str) -> Result<(), TaskError> {
        both!(self, engine => engine.submit(now, client, task))
    }

    pub(super) fn withdraw(&mut self, client: ClientKey, task: &str) -> bool {
        both!(self, engine => engine.withdraw(client, task))
    }

    pub(super) fn progress_at(
        &mut self,
        now: Instant,
        sequence: u64,
        client: ClientKey,
        task: &str,
        progress: &str,
    ) -> Result<(), TaskError> {
        both!(self, engine => engine.progress_at(now, sequence, client, task, progress))
    }

    #[expect(clippy::too_many_arguments, reason = "those of the engine")]
    pub(super) fn complete_at(
        &mut self,
        now: Instant,
        sequence: u64,
        owner: Option<ClientKey>,
        group: &str,
        user_name: &str,
        task: &str,
        outcome: Outcome<'_>,
    ) -> Result<(), TaskError> {
        both!(self, engine => engine.complete_at(now, sequence, owner, group, user_name, task, outcome))
    }

    pub(super) fn sweep(&mut self, now: Instant) {
        both!(self, engine => engine.sweep(now));
    }

    pub(super) fn drain(&mut self, now: Instant, min_retry: u32, max_retry: u32) {
        both!(self, engine => engine.drain(now, min_retry, max_retry));
    }
}

/// Who only looks around looks at the one on the heap.
impl Deref for Both {
    type Target = Engine<Heap>;

    fn deref(&self) -> &Engine<Heap> {
        &self.heap
    }
}

fn transmit<S: Storage>(engine: &mut Engine<S>, conn: ConnId, room: usize) -> Result<Vec<&[u8]>, Stale> {
    let mut slices = vec![&b""[..]; room];
    engine.transmit(conn, &mut slices).map(|filled| slices[..filled].to_vec())
}

fn check<S: Storage>(heap: &Engine<Heap>, fixed: &Engine<S>) {
    assert_eq!(fixed.usage(), heap.usage());
    assert_eq!(fixed.poll_timeout(), heap.poll_timeout());
    assert_eq!(fixed.last_event_id(), heap.last_event_id());
    assert_eq!(fixed.backlog(), heap.backlog());
    assert!(fixed.clients().eq(heap.clients()));
    for client in heap.clients() {
        assert!(fixed.topics(client.key).eq(heap.topics(client.key)));
        assert!(fixed.tasks(client.key).eq(heap.tasks(client.key)));
        assert!(fixed.connections(client.key).eq(heap.connections(client.key)));
        for conn in heap.connections(client.key) {
            assert_eq!(fixed.is_caught_up(conn), heap.is_caught_up(conn));
        }
    }
}

/// Whether its tables are exactly as large as the limits, and its log and texts large enough.
fn fits<S: Storage>(limits: &Limits) -> bool {
    let most = S::CAPACITY;
    let tables = |limits: &Limits| (limits.connections, limits.clients, limits.subscriptions, limits.tasks);
    let labels = limits.clients + limits.groups + limits.topics;
    tables(limits) == tables(&most)
        && labels == most.topics
        && limits.name_bytes <= most.name_bytes
        && limits.topic_bytes <= most.topic_bytes
        && limits.frame_bytes <= most.frame_bytes
        && limits.log_bytes <= most.log_bytes
        && limits.log_entries <= most.log_entries
}

fn begin<S: Storage>(config: &Config, epoch: Epoch, hash_key: [u64; 2]) -> Box<Engine<S>> {
    Box::new(Engine::new(config.clone(), epoch, hash_key).expect("the limits fit each other and the storage"))
}

/// The same, whatever the storage.
pub(crate) fn boxed<T: AsRef<str>>(output: Output<T>) -> Output<Box<str>> {
    match output {
        Output::Write(conn) => Output::Write(conn),
        Output::Close { conn, client, reason, last } => Output::Close { conn, client, reason, last },
        Output::Gap { conn, reason } => Output::Gap { conn, reason },
        Output::Expired { client, id } => Output::Expired { client, id: id.as_ref().into() },
        Output::Unused { id } => Output::Unused { id: id.as_ref().into() },
    }
}
