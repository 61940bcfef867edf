//! A shard: a thread that owns one engine and the connections of its clients.
//!
//! One turn of its loop: take what waits in its bounded queue, a batch at a time; look after sockets; write what became ready,
//! some connections at a time. So a burst of events leaves in one write for each connection, and what comes in while many are
//! written still leaves with those that are not written yet. When nothing is left to do it sleeps in the kernel, until a socket,
//! another thread or a deadline wakes it. It holds no lock and awaits nothing. Connections of a client are always on one shard.

mod batch;
mod mailbox;
mod members;
mod outlet;
mod wake;
mod writing;

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use mio::{Events, Interest, Poll, Registry, Token, event};
use slab::Slab;
use sse_proto::wire::Encode;
use sse_proto::{ConnId, Engine, Heap};
use tokio::sync::{broadcast, mpsc};

pub(crate) use self::batch::Batch;
pub(crate) use self::mailbox::Mailbox;
use self::mailbox::Returns;
use self::members::Member;
pub(crate) use self::members::{Admission, Metadata};
use self::outlet::Outlet;
pub(crate) use self::outlet::Socket;
pub(crate) use self::wake::Wake;
use crate::clock::Clock;
use crate::hub::{Changes, HubEvent, Place};
use crate::metrics::Metrics;
use crate::serve::front::{Door, Front};

/// What a command does with the shard it was sent to.
pub(crate) type Command = Box<dyn FnOnce(&mut Shard) + Send>;

/// Commands executed before sockets and output are looked after.
const BATCH: usize = 256;
/// Events taken from the kernel at once.
const EVENTS: usize = 1024;
/// Rows that an empty table keeps.
const KEPT: usize = 64;
/// What of the log may wait for connections that take what they are given, before no more is accepted: one part in this many.
const BACKLOG: usize = 4;

/// How the rest of the program reaches a shard.
#[derive(Debug)]
pub(crate) struct ShardHandle {
    pub(crate) queue: mpsc::Sender<Command>,
    /// Behind the queue, so that the shard is woken once its queue is closed.
    wake: WakeAtEnd,
    /// Bytes and frames of the log and rows of the tables, as of the last turn.
    pub(crate) gauges: Arc<Gauges>,
}

/// Wakes the shard when dropped.
#[derive(Debug)]
struct WakeAtEnd(Arc<Wake>);

impl Drop for WakeAtEnd {
    fn drop(&mut self) {
        self.0.wake();
    }
}

/// What a shard tells of itself.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) connections: AtomicUsize,
    pub(crate) clients: AtomicUsize,
    pub(crate) issued_ids: AtomicUsize,
    pub(crate) log_entries: AtomicUsize,
    pub(crate) log_bytes: AtomicUsize,
}

/// What a shard shares with the hub it is part of.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) events: broadcast::Sender<HubEvent>,
    pub(crate) changes: Arc<Changes>,
}

pub(crate) struct Shard {
    pub(crate) engine: Engine<Heap>,
    /// Which one it is, counted from 0.
    pub(crate) index: usize,
    commands: mpsc::Receiver<Command>,
    shared: Shared,
    seats: Vec<Option<Seat>>,
    members: Vec<Option<Member>>,
    wake: Arc<Wake>,
    /// Where its sockets are registered with the kernel.
    pub(crate) registry: Registry,
    /// What each of them is, by the number that it is registered under.
    sources: Slab<Source>,
    /// Listeners that it shall accept from.
    pub(crate) new_doors: Vec<Door>,
    returns: Arc<Returns>,
    returned: Vec<ConnId>,
    /// Sockets that are to be written next.
    to_write: Vec<ConnId>,
    /// Sockets that had their turn and take more.
    unfinished: Vec<ConnId>,
    gauges: Arc<Gauges>,
    /// Sends of several sockets at once, if the kernel has a way to make them.
    pub(crate) batch: Option<Batch>,
    /// The time at the beginning of the turn: what is written in it is as of then.
    turn: sse_proto::Instant,
    counted: Counted,
    /// The chunk made last: streams that get the same bytes share it.
    last_chunk: Bytes,
    scratch: Vec<u8>,
}

/// What was written and is not in the metrics yet.
#[derive(Default)]
struct Counted {
    deliveries: u64,
    bytes: u64,
}

/// An open connection.
struct Seat {
    conn: ConnId,
    outlet: Outlet,
    _place: Place,
}

/// Bytes a shard keeps for each stream and for each client beside what its engine keeps: seat, source and member, in tables that
/// double, and the client's id and group.
pub(crate) const fn row_sizes(name_bytes: usize) -> (usize, usize) {
    const SHARED: usize = 2 * size_of::<usize>();
    const SOURCE: usize = size_of::<(usize, Source)>();
    (2 * (size_of::<Option<Seat>>() + SOURCE), 2 * size_of::<Option<Member>>() + 2 * (SHARED + name_bytes))
}

impl ShardHandle {
    /// Starts a shard. It ends when the last sender of its queue is gone.
    pub(crate) fn start(index: usize, engine: Engine<Heap>, queue_len: usize, shared: Shared) -> io::Result<Self> {
        let (queue, commands) = mpsc::channel(queue_len);
        let gauges = Arc::new(Gauges::default());
        let poll = Poll::new()?;
        let wake = Arc::new(Wake::new(poll.registry(), WAKE)?);
        let shard = Shard {
            engine,
            index,
            commands,
            shared,
            seats: Vec::new(),
            members: Vec::new(),
            wake: wake.clone(),
            registry: poll.registry().try_clone()?,
            sources: Slab::new(),
            new_doors: Vec::new(),
            returns: Arc::new(Returns::new(wake.clone())),
            returned: Vec::new(),
            to_write: Vec::new(),
            unfinished: Vec::new(),
            gauges: gauges.clone(),
            batch: None,
            turn: sse_proto::Instant::default(),
            counted: Counted::default(),
            last_chunk: Bytes::new(),
            scratch: Vec::new(),
        };
        thread::Builder::new().name(format!("sse-shard-{index}")).spawn(move || shard.run(poll))?;
        Ok(Self { queue, wake: WakeAtEnd(wake), gauges })
    }

    /// Something was put where the shard looks.
    pub(crate) fn wake(&self) {
        self.wake.0.wake();
    }
}

/// What the kernel tells of.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// A connection, by its slot in the engine.
    Stream(u32),
    /// Something of the front's.
    Front(u32),
}

/// The number under which a socket is registered with the kernel. It stays the same when a visitor becomes a stream, so that the
/// kernel need not be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watch(NonZeroU32);

const WAKE: Token = Token(0);

impl Watch {
    fn at(index: usize) -> Self {
        Self(NonZeroU32::MIN.saturating_add(index as u32))
    }

    fn of(token: Token) -> Option<Self> {
        NonZeroU32::new(token.0 as u32).map(Self)
    }

    fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    pub(crate) fn token(self) -> Token {
        Token(self.0.get() as usize)
    }
}

impl Shard {
    fn run(mut self, mut poll: Poll) {
        let mut events = Events::with_capacity(EVENTS);
        let mut front = Front::new(self.wake.clone());
        self.turn = self.now();
        loop {
            let mut more = self.is_throttled();
            if !more {
                match self.take_commands() {
                    Some(more_commands) => more |= more_commands,
                    None => return,
                }
                more |= front.turn(&mut self);
            }
            self.engine.handle_timeout(self.turn);
            self.take_returns();
            more |= self.take_unfinished();
            // Who reads its greeting is counted already.
            self.publish_figures();
            more |= self.look_after_outputs();
            self.publish_figures();
            self.give_back();
            let wait = if more { Some(Duration::ZERO) } else { self.may_sleep(&front) };
            match poll.poll(&mut events, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!(%error, "the kernel does not tell of sockets; a shard ends");
                    return;
                }
            }
            self.wake.stay_awake();
            self.turn = self.now();
            for event in &events {
                let Some(source) = Watch::of(event.token()).and_then(|watch| self.sources.get(watch.index())) else {
                    continue;
                };
                match *source {
                    Source::Stream(slot) => self.socket_event(slot as usize, event),
                    Source::Front(index) => front.event(index as usize, event),
                }
            }
        }
    }

    /// From now on, what goes to several sockets leaves in one system call, if the kernel has one for that.
    pub(crate) fn begin_batches(&mut self) {
        if self.batch.is_none() {
            match Batch::new() {
                Ok(batch) => self.batch = Some(batch),
                Err(error) => tracing::info!(shard = self.index, %error, "no io_uring: streams are written one by one"),
            }
        }
    }

    /// How long there is nothing to do; `None`: until someone wakes the shard.
    fn may_sleep(&self, front: &Front) -> Option<Duration> {
        self.wake.fall_asleep();
        let woken = !self.commands.is_empty() || self.commands.is_closed() || !self.returns.is_empty() || front.is_woken();
        if woken {
            return Some(Duration::ZERO);
        }
        let deadline = [self.engine.poll_timeout(), front.poll_timeout()].into_iter().flatten().min()?;
        Some(deadline.since(self.now()))
    }

    /// The kernel tells of `socket` from now on, and means `source`.
    pub(crate) fn watch(&mut self, socket: &mut impl event::Source, source: Source, wanted: Interest) -> io::Result<Watch> {
        let entry = self.sources.vacant_entry();
        let watch = Watch::at(entry.key());
        self.registry.register(socket, watch.token(), wanted)?;
        entry.insert(source);
        Ok(watch)
    }

    /// The kernel tells nothing of `socket` any more: another thread will have it.
    pub(crate) fn unwatch(&mut self, socket: &mut Socket) {
        if let Some(watch) = socket.watch.take() {
            // A number that the kernel still knew would not be another's.
            if self.registry.deregister(&mut socket.stream).is_ok() {
                self.watch_ends(watch);
            }
        }
    }

    /// The socket that was watched as `watch` is closed, or is about to be.
    pub(crate) fn watch_ends(&mut self, watch: Watch) {
        self.sources.remove(watch.index());
    }

    /// Connections that take what they are given must have it before more is accepted: they would be overtaken else. Asked after
    /// each publication, since a few of them may fill a small log.
    pub(crate) fn is_throttled(&self) -> bool {
        self.engine.backlog() > self.engine.config().limits.log_bytes as usize / BACKLOG
    }

    /// Executes what waits, a batch of it: whether there is more. `None` when nobody can send any.
    fn take_commands(&mut self) -> Option<bool> {
        for _ in 0..BATCH {
            if self.is_throttled() {
                return Some(true);
            }
            match self.commands.try_recv() {
                Ok(command) => command(self),
                Err(mpsc::error::TryRecvError::Empty) => return Some(false),
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
            }
        }
        Some(true)
    }

    /// Whether everything that was sent to this shard was executed. What was numbered before is in its log then.
    pub(crate) fn queue_is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(crate) fn now(&self) -> sse_proto::Instant {
        self.shared.clock.now()
    }

    fn publish_figures(&mut self) {
        let Counted { deliveries, bytes } = std::mem::take(&mut self.counted);
        self.shared.metrics.deliveries.inc_by(deliveries);
        self.shared.metrics.bytes_written.inc_by(bytes);
        let usage = self.engine.usage();
        let set = |gauge: &AtomicUsize, value: u32| gauge.store(value as usize, Ordering::Relaxed);
        set(&self.gauges.connections, usage.connections);
        set(&self.gauges.clients, usage.clients - usage.issued_ids);
        set(&self.gauges.issued_ids, usage.issued_ids);
        set(&self.gauges.log_entries, usage.log_entries);
        set(&self.gauges.log_bytes, usage.log_bytes);
    }

    /// Tables that nobody is in give their memory back.
    fn give_back(&mut self) {
        let usage = self.engine.usage();
        if usage.connections == 0 && self.seats.len() > KEPT {
            self.seats = Vec::new();
        }
        if self.sources.len() <= KEPT && self.sources.capacity() > KEPT {
            self.sources.shrink_to_fit();
        }
        if usage.clients == 0 && self.members.len() > KEPT {
            self.members = Vec::new();
        }
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        for seat in self.seats.iter().flatten() {
            if let Outlet::Body(body) = &seat.outlet {
                body.mailbox.end();
            }
        }
    }
}

/// Checks that a frame fits into what the engines accept.
pub(crate) fn fits(frame: &impl Encode, limit: u32) -> bool {
    // The longest number of the hub's own takes 34 bytes.
    let room = (limit as usize).saturating_sub(34);
    frame.id().is_none() && frame.max_body_len() <= room || frame.encoded_len() <= room
}
