//! A shard: a thread that owns one engine and the connections of its clients.
//!
//! It takes commands from a bounded queue, a batch at a time, then writes what they made ready: one chunk for each connection,
//! with everything that waits for it. It holds no lock and awaits nothing. Connections of a client are always on one shard.

mod mailbox;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use bytes::Bytes;
use sse_proto::wire::Encode;
use sse_proto::{
    ClientId, ClientKey, CloseReason, ConnId, Dialect, Engine, GapReason, Greeting, Heap, Output, RegisterError, Registration,
    Resume,
};
use tokio::sync::{Notify, broadcast, mpsc};

pub(crate) use self::mailbox::Mailbox;
use self::mailbox::Returns;
use crate::clock::Clock;
use crate::event::ClientRef;
use crate::hub::{HubEvent, Place, StartAt, StreamAbort};
use crate::metrics::{self, Metrics};
use crate::telemetry::short;

/// What a command does with the shard it was sent to.
pub(crate) type Command = Box<dyn FnOnce(&mut Shard) + Send>;

/// Commands executed before output is looked after.
const BATCH: usize = 256;
/// Outputs looked after before commands are.
const OUTPUTS: usize = 1024;
/// Bytes handed to a stream at once: small enough that a peer that takes nothing holds little, large enough for big runs.
const CHUNK: usize = 16 * 1024;
/// Runs of the log that one chunk is made of.
const RUNS: usize = 32;

/// How the rest of the program reaches a shard.
#[derive(Debug)]
pub(crate) struct ShardHandle {
    pub(crate) queue: mpsc::Sender<Command>,
    /// Behind the queue, so that the shard is woken once its queue is closed.
    wake: Wake,
    /// Bytes and frames of the log and rows of the tables, as of the last turn.
    pub(crate) gauges: Arc<Gauges>,
}

/// Wakes the shard when dropped.
#[derive(Debug)]
struct Wake(Thread);

impl Drop for Wake {
    fn drop(&mut self) {
        self.0.unpark();
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
    shared: Shared,
    seats: Vec<Option<Seat>>,
    members: Vec<Option<Member>>,
    returns: Arc<Returns>,
    returned: Vec<ConnId>,
    gauges: Arc<Gauges>,
    /// The chunk made last: streams that get the same bytes share it.
    last_chunk: Bytes,
    scratch: Vec<u8>,
}

/// An open connection.
struct Seat {
    conn: ConnId,
    mailbox: Arc<Mailbox>,
    /// The mailbox holds a chunk, or the stream took one and did not say so yet. The engine counts it as written.
    in_flight: bool,
    abort: Option<StreamAbort>,
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
    pub(crate) abort: Option<StreamAbort>,
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

impl ShardHandle {
    /// Starts a shard. It ends when the last sender of its queue is gone.
    pub(crate) fn start(name: String, engine: Engine<Heap>, queue_len: usize, shared: Shared) -> std::io::Result<Self> {
        let (queue, commands) = mpsc::channel(queue_len);
        let gauges = Arc::new(Gauges::default());
        let own_gauges = gauges.clone();
        let join = thread::Builder::new().name(name).spawn(move || {
            let shard = Shard {
                engine,
                shared,
                seats: Vec::new(),
                members: Vec::new(),
                returns: Arc::new(Returns::new(thread::current())),
                returned: Vec::new(),
                gauges: own_gauges,
                last_chunk: Bytes::new(),
                scratch: Vec::new(),
            };
            shard.run(commands);
        })?;
        Ok(Self { queue, wake: Wake(join.thread().clone()), gauges })
    }

    /// Something was put into the queue.
    pub(crate) fn wake(&self) {
        self.wake.0.unpark();
    }
}

impl Shard {
    fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let mut more = true;
            for _ in 0..BATCH {
                match commands.try_recv() {
                    Ok(command) => command(&mut self),
                    Err(mpsc::error::TryRecvError::Empty) => {
                        more = false;
                        break;
                    }
                    Err(mpsc::error::TryRecvError::Disconnected) => return,
                }
            }
            self.engine.handle_timeout(self.now());
            self.take_returns();
            more |= self.look_after_outputs();
            self.publish_gauges();
            if more || !self.returns.is_empty() {
                continue;
            }
            match self.engine.poll_timeout() {
                None => thread::park(),
                Some(deadline) => thread::park_timeout(deadline.since(self.now()).max(Duration::from_millis(1))),
            }
        }
    }

    pub(crate) fn now(&self) -> sse_proto::Instant {
        self.shared.clock.now()
    }

    pub(crate) fn register(&mut self, admission: Admission) -> Result<Admitted, RegisterError> {
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
        let registered = self.engine.register(now, &registration)?;
        let mailbox = Arc::new(Mailbox::new(registered.conn, self.returns.clone()));
        let seat = Seat {
            conn: registered.conn,
            mailbox: mailbox.clone(),
            in_flight: false,
            abort: admission.abort,
            _place: admission.place,
        };
        put(&mut self.seats, registered.conn.slot(), seat);
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
        Ok(Admitted { mailbox, conn: registered.conn, returning: registered.returning })
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
        let now = self.now();
        for conn in returned.drain(..) {
            let Some(seat) = self.seats.get_mut(conn.slot()).and_then(Option::as_mut).filter(|seat| seat.conn == conn) else {
                continue;
            };
            let progress = seat.mailbox.progress();
            if progress.taken > 0 {
                seat.in_flight = false;
                self.shared.metrics.bytes_written.inc_by(progress.taken as u64);
            }
            if progress.dropped {
                if let Ok(left) = self.engine.handle_disconnect(now, conn) {
                    self.leave(conn, left.client, left.last, None);
                }
            } else if progress.taken > 0 {
                self.fill(conn);
            }
        }
        self.returned = returned;
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

    /// Puts the next bytes for `conn` into its mailbox, if it is empty. To the engine they are written then: the mailbox is to a
    /// stream what its send buffer is to a socket. A peer that takes nothing is found by what waits behind it, a heartbeat if
    /// nothing else.
    fn fill(&mut self, conn: ConnId) {
        let Some(seat) = self.seats.get_mut(conn.slot()).and_then(Option::as_mut) else {
            return;
        };
        if seat.in_flight {
            return;
        }
        let now = self.shared.clock.now();
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
            let Some(whole) = self.engine.handle_written(now, conn, copied).ok().filter(|_| copied > 0) else {
                break;
            };
            self.shared.metrics.deliveries.inc_by(whole as u64);
        }
        if self.scratch.is_empty() {
            return;
        }
        if self.last_chunk != self.scratch {
            self.last_chunk = Bytes::copy_from_slice(&self.scratch);
        }
        seat.in_flight = true;
        seat.mailbox.put(self.last_chunk.clone());
    }

    fn close(&mut self, conn: ConnId, client: ClientKey, reason: CloseReason, last: bool) {
        let seat = self.seats.get(conn.slot()).and_then(Option::as_ref);
        if let Some(abort) = seat.and_then(|seat| seat.abort.as_ref()) {
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
        if let Some(seat) = self.seats.get_mut(conn.slot()).and_then(Option::take) {
            seat.mailbox.end();
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

    fn publish_gauges(&self) {
        let usage = self.engine.usage();
        let set = |gauge: &AtomicUsize, value: u32| gauge.store(value as usize, Ordering::Relaxed);
        set(&self.gauges.connections, usage.connections);
        set(&self.gauges.clients, usage.clients - usage.issued_ids);
        set(&self.gauges.issued_ids, usage.issued_ids);
        set(&self.gauges.log_entries, usage.log_entries);
        set(&self.gauges.log_bytes, usage.log_bytes);
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        for seat in self.seats.iter().flatten() {
            seat.mailbox.end();
        }
    }
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
