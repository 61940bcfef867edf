//! A shard: a thread that owns one engine and the connections of its clients.
//!
//! One turn of its loop: take what waits in its bounded queue, a batch at a time; look after sockets; write what became ready,
//! some connections at a time. So a burst of events leaves in one write for each connection, and what comes in while many are
//! written still leaves with those that are not written yet. When nothing is left to do it sleeps in the kernel, until a socket,
//! another thread or a deadline wakes it. It holds no lock and awaits nothing. Connections of a client are always on one shard.

mod mailbox;
mod outlet;
mod wake;

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use mio::event::Event;
use mio::{Events, Poll, Registry, Token};
use sse_proto::wire::Encode;
use sse_proto::{
    ClientId, ClientKey, CloseReason, ConnId, Dialect, Engine, GapReason, Greeting, Heap, Output, RegisterError, Registered,
    Registration, Resume,
};
use tokio::sync::{Notify, broadcast, mpsc};

pub(crate) use self::mailbox::Mailbox;
use self::mailbox::Returns;
pub(crate) use self::outlet::Socket;
use self::outlet::{Body, Outlet};
pub(crate) use self::wake::Wake;
use crate::clock::Clock;
use crate::event::ClientRef;
use crate::hub::{HubEvent, Place, StartAt, StreamAbort};
use crate::metrics::{self, Metrics};
use crate::serve::front::{Door, Front};
use crate::telemetry::short;

/// What a command does with the shard it was sent to.
pub(crate) type Command = Box<dyn FnOnce(&mut Shard) + Send>;

/// Commands executed before sockets and output are looked after.
const BATCH: usize = 256;
/// Connections written before commands and sockets are looked after: few, so that what is published meanwhile joins the frames
/// of those that wait; many enough that looking costs next to nothing.
const OUTPUTS: usize = 64;
/// Bytes handed to a stream at once: small enough that a peer that takes nothing holds little, large enough for big runs.
const CHUNK: usize = 16 * 1024;
/// Bytes written to one socket before the others have their turn.
const BURST: usize = 256 * 1024;
/// Runs of the log that one write is made of.
const RUNS: usize = 16;
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
    /// Clients came or went.
    pub(crate) changed: Arc<Notify>,
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
    /// Listeners that it shall accept from.
    pub(crate) new_doors: Vec<Door>,
    returns: Arc<Returns>,
    returned: Vec<ConnId>,
    /// Sockets that had their turn and take more.
    unfinished: Vec<ConnId>,
    gauges: Arc<Gauges>,
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

/// What the engine does not know of a client.
struct Member {
    key: ClientKey,
    client: ClientRef,
    ordinal: u64,
    metadata: Option<Metadata>,
}

/// What an application knows of a client.
pub(crate) type Metadata = Arc<dyn Any + Send + Sync>;

/// A registration as the hub passes it on.
pub(crate) struct Admission {
    /// Under the limit of connections; given back when the connection is gone from the engine.
    pub(crate) place: Place,
    pub(crate) client: ClientRef,
    pub(crate) topics: Vec<String>,
    pub(crate) start: StartAt,
    pub(crate) greeting: Greeting,
    pub(crate) dialect: Dialect,
    pub(crate) replace: bool,
    pub(crate) passing: bool,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) ordinal: u64,
    /// The last sequence number the hub gave out.
    pub(crate) sequence: u64,
}

/// What came of it.
pub(crate) struct Admitted {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) conn: ConnId,
    pub(crate) returning: bool,
}

/// Bytes a shard keeps for each stream and for each client beside what its engine keeps: seat and member, in tables that double,
/// and the client's id and group.
pub(crate) const fn row_sizes(name_bytes: usize) -> (usize, usize) {
    const SHARED: usize = 2 * size_of::<usize>();
    (2 * size_of::<Option<Seat>>(), 2 * size_of::<Option<Member>>() + 2 * (SHARED + name_bytes))
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
            new_doors: Vec::new(),
            returns: Arc::new(Returns::new(wake.clone())),
            returned: Vec::new(),
            unfinished: Vec::new(),
            gauges: gauges.clone(),
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

/// What a token from the kernel stands for.
enum Source {
    Wake,
    /// A connection, by its slot in the engine.
    Stream(usize),
    /// Something of the front's.
    Front(usize),
}

const WAKE: Token = Token(0);

impl Source {
    fn of(token: Token) -> Self {
        match token.0 {
            0 => Self::Wake,
            odd if odd % 2 == 1 => Self::Stream(odd / 2),
            even => Self::Front(even / 2 - 1),
        }
    }

    fn token(&self) -> Token {
        Token(match self {
            Self::Wake => 0,
            Self::Stream(slot) => slot * 2 + 1,
            Self::Front(index) => index * 2 + 2,
        })
    }
}

/// The token under which the front registers its socket number `index`.
pub(crate) fn front_token(index: usize) -> Token {
    Source::Front(index).token()
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
                match Source::of(event.token()) {
                    Source::Wake => {}
                    Source::Stream(slot) => self.socket_event(slot, event),
                    Source::Front(index) => front.event(index, event),
                }
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

    /// Registers a connection whose bytes go into the mailbox of a body.
    pub(crate) fn register(&mut self, admission: Admission, abort: Option<StreamAbort>) -> Result<Admitted, RegisterError> {
        let registered = self.admit(&admission)?;
        let mailbox = Arc::new(Mailbox::new(registered.conn, self.returns.clone()));
        let outlet = Outlet::Body(Body { mailbox: mailbox.clone(), in_flight: false, abort });
        self.seat(&registered, admission, outlet);
        Ok(Admitted { mailbox, conn: registered.conn, returning: registered.returning })
    }

    /// Registers a connection whose bytes go into `socket`, or gives it back.
    pub(crate) fn register_socket(&mut self, admission: Admission, mut socket: Socket) -> Result<(), Socket> {
        let Ok(registered) = self.admit(&admission) else {
            return Err(socket);
        };
        let conn = registered.conn;
        let watched = socket.register(&self.registry, Source::Stream(conn.slot()).token());
        self.seat(&registered, admission, Outlet::Socket(socket));
        if let Err(error) = watched {
            tracing::error!(%error, "the kernel does not watch a socket; its connection ends");
            self.disconnect(conn);
        }
        Ok(())
    }

    fn admit(&mut self, admission: &Admission) -> Result<Registered, RegisterError> {
        let now = self.now();
        self.engine.observe_sequence(admission.sequence);
        let topics: Vec<&str> = admission.topics.iter().map(String::as_str).collect();
        let ClientRef { group, id } = &admission.client;
        let registration = Registration {
            id: ClientId::new(id).map_err(RegisterError::Group)?,
            group,
            topics: &topics,
            resume: match &admission.start {
                StartAt::Live => Resume::Live,
                StartAt::Earliest => Resume::Earliest,
                StartAt::After(id) => Resume::After(id),
            },
            greeting: admission.greeting,
            dialect: admission.dialect,
            replace: admission.replace,
            passing: admission.passing,
        };
        self.engine.register(now, &registration)
    }

    fn seat(&mut self, registered: &Registered, admission: Admission, outlet: Outlet) {
        put(&mut self.seats, registered.conn.slot(), Seat { conn: registered.conn, outlet, _place: admission.place });
        if !registered.returning {
            let member = Member {
                key: registered.client,
                client: admission.client.clone(),
                ordinal: admission.ordinal,
                metadata: admission.metadata,
            };
            put(&mut self.members, registered.client.slot(), member);
            self.shared.changed.notify_one();
        }
        if let Some(reason) = registered.gap {
            self.shared.metrics.gaps.of(gap_label(reason)).inc();
        }
        tracing::debug!(client = %short(&admission.client.id), returning = registered.returning, "registered");
        self.tell(HubEvent::Connected { client: admission.client, returning: registered.returning, gap: registered.gap });
    }

    /// Gives up a client's id.
    pub(crate) fn unregister(&mut self, client: &ClientRef, end_streams: bool) -> bool {
        let Some(key) = self.engine.find(&client.group, &client.id) else {
            return false;
        };
        let now = self.now();
        let known = self.engine.unregister(now, key, end_streams).is_ok();
        // It stays known for as long as it has streams.
        if !self.engine.is_known(key) {
            self.forget(key);
        }
        self.shared.changed.notify_one();
        known
    }

    pub(crate) fn clear(&mut self, end_streams: bool) {
        let now = self.now();
        self.engine.clear(now, end_streams);
        for member in &mut self.members {
            if member.as_ref().is_some_and(|member| !self.engine.is_known(member.key)) {
                *member = None;
            }
        }
        self.shared.changed.notify_one();
    }

    /// The clients for whom `chosen` holds.
    pub(crate) fn choose(&self, mut chosen: impl FnMut(&ClientRef, &str, Option<&Metadata>) -> bool) -> Vec<ClientKey> {
        let clients = self.engine.clients();
        let chosen = clients.filter(|info| match self.member(info.key) {
            Some(member) => chosen(&member.client, info.user_name, member.metadata.as_ref()),
            None => false,
        });
        chosen.map(|info| info.key).collect()
    }

    pub(crate) fn set_metadata(&mut self, client: &ClientRef, metadata: Metadata) -> bool {
        let key = self.engine.find(&client.group, &client.id);
        let member = key.and_then(|key| self.members.get_mut(key.slot())?.as_mut().filter(|member| member.key == key));
        if let Some(member) = member {
            member.metadata = Some(metadata);
            return true;
        }
        false
    }

    /// When a client first registered, among all clients of the hub, and what the application knows of it.
    pub(crate) fn known(&self, key: ClientKey) -> Option<(u64, Option<Metadata>)> {
        self.member(key).map(|member| (member.ordinal, member.metadata.clone()))
    }

    fn member(&self, key: ClientKey) -> Option<&Member> {
        self.members.get(key.slot())?.as_ref().filter(|member| member.key == key)
    }

    /// Streams that took their chunk get the next one; those that were dropped are gone.
    fn take_returns(&mut self) {
        let mut returned = std::mem::take(&mut self.returned);
        self.returns.take(&mut returned);
        for conn in returned.drain(..) {
            let Some(Seat { outlet: Outlet::Body(body), .. }) = seat_of(&mut self.seats, conn) else {
                continue;
            };
            let progress = body.mailbox.progress();
            if progress.taken > 0 {
                body.in_flight = false;
                self.counted.bytes += progress.taken as u64;
            }
            if progress.dropped {
                self.disconnect(conn);
            } else if progress.taken > 0 {
                self.fill(conn);
            }
        }
        self.returned = returned;
    }

    /// Sockets that had their turn get another one; whether some need one more.
    fn take_unfinished(&mut self) -> bool {
        for conn in std::mem::take(&mut self.unfinished) {
            self.fill(conn);
        }
        !self.unfinished.is_empty()
    }

    /// The kernel tells of the socket of the connection in `slot`. It may mean a connection that had the slot before: then nothing
    /// comes of it.
    fn socket_event(&mut self, slot: usize, event: &Event) {
        let Some(Seat { conn, outlet: Outlet::Socket(socket), .. }) = self.seats.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let conn = *conn;
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.scratch.resize(CHUNK, 0);
            if !socket.is_open(&mut self.scratch) || event.is_read_closed() {
                return self.disconnect(conn);
            }
        }
        if event.is_writable() {
            self.fill(conn);
        }
    }

    fn disconnect(&mut self, conn: ConnId) {
        if let Ok(left) = self.engine.handle_disconnect(self.now(), conn) {
            self.leave(conn, left.client, left.last, None);
        }
    }

    /// True when there may be more.
    fn look_after_outputs(&mut self) -> bool {
        for _ in 0..OUTPUTS {
            let Some(output) = self.engine.poll_output() else {
                return false;
            };
            match output {
                Output::Write(conn) => self.fill(conn),
                Output::Close { conn, client, reason, last } => self.close(conn, client, reason, last),
                Output::Gap { conn, reason } => {
                    self.shared.metrics.gaps.of(gap_label(reason)).inc();
                    tracing::info!(slot = conn.slot(), %reason, "a stream missed events and is told so");
                    if let Some(member) = self.owner(conn) {
                        let client = member.client.clone();
                        self.tell(HubEvent::Gap { client, reason });
                    }
                }
                Output::Expired { client, id } => {
                    tracing::debug!(client = %short(&id), "expired");
                    if let Some(member) = self.forget(client) {
                        self.tell(HubEvent::Expired { client: member.client });
                    }
                    self.shared.changed.notify_one();
                }
                Output::Unused { id } => {
                    tracing::trace!(client = %short(&id), "the id was not used in time")
                }
            }
        }
        true
    }

    /// Gives `conn` its next bytes.
    fn fill(&mut self, conn: ConnId) {
        match seat_of(&mut self.seats, conn) {
            Some(Seat { outlet: Outlet::Socket(_), .. }) => self.write(conn),
            Some(Seat { outlet: Outlet::Body(body), .. }) if !body.in_flight => self.hand_over(conn),
            _ => {}
        }
    }

    /// Writes what waits for `conn` into its socket, from the log, until the kernel refuses or others must have their turn.
    fn write(&mut self, conn: ConnId) {
        let Some(Seat { outlet: Outlet::Socket(socket), .. }) = seat_of(&mut self.seats, conn) else {
            return;
        };
        let mut burst = 0;
        while burst < BURST {
            let mut slices = [&b""[..]; RUNS];
            let filled = self.engine.transmit(conn, &mut slices).unwrap_or(0);
            if filled == 0 {
                return;
            }
            let offered: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
            let written = match socket.write(&slices[..filled]) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => return self.disconnect(conn),
            };
            self.counted.deliveries += self.engine.handle_written(self.turn, conn, written).unwrap_or(0) as u64;
            self.counted.bytes += written as u64;
            if written < offered {
                if socket.ask_writable(&self.registry, Source::Stream(conn.slot()).token()).is_err() {
                    self.disconnect(conn);
                }
                return;
            }
            if self.engine.is_caught_up(conn) {
                return;
            }
            burst += written;
        }
        self.unfinished.push(conn);
    }

    /// Puts the next bytes for `conn` into its mailbox, which is empty. To the engine they are written then: the mailbox is to a
    /// stream what its send buffer is to a socket. A peer that takes nothing is found by what waits behind it, a heartbeat if
    /// nothing else.
    fn hand_over(&mut self, conn: ConnId) {
        self.scratch.clear();
        while self.scratch.len() < CHUNK {
            let mut slices = [&b""[..]; RUNS];
            let filled = self.engine.transmit(conn, &mut slices).unwrap_or(0);
            let before = self.scratch.len();
            for slice in &slices[..filled] {
                let room = CHUNK - self.scratch.len();
                self.scratch.extend_from_slice(&slice[..slice.len().min(room)]);
            }
            let copied = self.scratch.len() - before;
            let Some(whole) = self.engine.handle_written(self.turn, conn, copied).ok().filter(|_| copied > 0) else {
                break;
            };
            self.counted.deliveries += whole as u64;
        }
        let Some(Seat { outlet: Outlet::Body(body), .. }) = seat_of(&mut self.seats, conn) else {
            return;
        };
        if self.scratch.is_empty() {
            return;
        }
        if self.last_chunk != self.scratch {
            self.last_chunk = Bytes::copy_from_slice(&self.scratch);
        }
        body.in_flight = true;
        body.mailbox.put(self.last_chunk.clone());
    }

    fn close(&mut self, conn: ConnId, client: ClientKey, reason: CloseReason, last: bool) {
        if let Some(Seat { outlet: Outlet::Body(Body { abort: Some(abort), .. }), .. }) = seat_of(&mut self.seats, conn) {
            // A peer that takes nothing would keep a stream that has ended for ever.
            match (reason, self.engine.config().write_stall) {
                (CloseReason::Stalled, _) => abort.abort(),
                (_, Some(patience)) => abort.abort_after(patience),
                (_, None) => {}
            }
        }
        tracing::debug!(slot = conn.slot(), ?reason, "a stream was ended");
        self.leave(conn, client, last, Some(reason));
    }

    /// The connection is gone from the engine.
    fn leave(&mut self, conn: ConnId, client: ClientKey, last: bool, reason: Option<CloseReason>) {
        match self.seats.get_mut(conn.slot()).and_then(Option::take).map(|seat| seat.outlet) {
            Some(Outlet::Body(body)) => body.mailbox.end(),
            Some(Outlet::Socket(socket)) => socket.end(),
            None => {}
        }
        self.shared.metrics.closed.of(reason.map_or(metrics::CloseReason::ClientLeft, close_label)).inc();
        let Some(member) = self.member(client) else {
            return;
        };
        let name = member.client.clone();
        self.tell(HubEvent::Left { client: name, last, reason });
        if self.engine.client_info(client).is_none() && last {
            self.forget(client);
            self.shared.changed.notify_one();
        }
    }

    fn forget(&mut self, client: ClientKey) -> Option<Member> {
        let member = self.members.get_mut(client.slot())?;
        if member.as_ref().is_some_and(|member| member.key == client) { member.take() } else { None }
    }

    fn owner(&self, conn: ConnId) -> Option<&Member> {
        self.member(self.engine.client_of(conn).ok()?)
    }

    fn tell(&self, event: HubEvent) {
        // Nobody may be listening.
        let _ = self.shared.events.send(event);
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

/// The seat of a connection that is still open.
fn seat_of(seats: &mut [Option<Seat>], conn: ConnId) -> Option<&mut Seat> {
    seats.get_mut(conn.slot())?.as_mut().filter(|seat| seat.conn == conn)
}

fn put<T>(table: &mut Vec<Option<T>>, slot: usize, value: T) {
    if table.len() <= slot {
        table.resize_with(slot + 1, || None);
    }
    table[slot] = Some(value);
}

fn gap_label(reason: GapReason) -> metrics::GapReason {
    match reason {
        GapReason::Evicted => metrics::GapReason::Evicted,
        GapReason::Epoch => metrics::GapReason::Epoch,
        GapReason::Unknown => metrics::GapReason::Unknown,
        GapReason::Overrun => metrics::GapReason::Overrun,
    }
}

fn close_label(reason: CloseReason) -> metrics::CloseReason {
    match reason {
        CloseReason::Stalled => metrics::CloseReason::WriteStall,
        CloseReason::Overrun => metrics::CloseReason::Overrun,
        CloseReason::Replaced => metrics::CloseReason::Replaced,
        CloseReason::Expired => metrics::CloseReason::Expired,
        CloseReason::Unregistered => metrics::CloseReason::Unregistered,
        CloseReason::Drained => metrics::CloseReason::Shutdown,
    }
}

/// Checks that a frame fits into what the engines accept.
pub(crate) fn fits(frame: &impl Encode, limit: u32) -> bool {
    // The longest number of the hub's own takes 34 bytes.
    frame.encoded_len() + 34 <= limit as usize
}
