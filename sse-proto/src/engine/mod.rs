//! The engine: connections, clients, topics, tasks and one log, as a state machine without I/O.
//!
//! This file is the façade: it checks what callers pass and routes to the sub-machines. [`Engine`] explains how to drive it.

mod admission;
mod deadlines;
mod delivery;
mod directory;
mod inspect;
mod log;
mod memory;
mod notice;
mod publish;
mod restore;
mod tasks;
mod work;

use core::fmt;

pub use self::admission::{IdError, ListenError, RegisterError, Registered, Registration, Resume};
use self::deadlines::Deadlines;
use self::delivery::{Connection, Due, Phase, Stream, Walk};
pub use self::directory::Full;
use self::directory::{Directory, LabelKind, Standing};
pub use self::inspect::{ClientInfo, RowSizes, TaskInfo};
use self::log::Log;
pub use self::memory::Memory;
use self::memory::Settings;
pub use self::publish::{MAX_EVENT_ID, PublishError, Target};
pub use self::restore::{Audience, KeptClient, KeptFrame, KeptTask};
use self::tasks::Tasks;
pub use self::tasks::{TaskError, TaskState};
pub use self::work::Outcome;

use crate::config::{Age, Config, ConfigError, Overrun};
use crate::id::{ClientKey, ConnId, Epoch, EventId};
use crate::storage::Storage;
use crate::storage::parts::Buffer;
use crate::time::Instant;

/// A hub of Server-Sent Events as a state machine.
///
/// It has no clock, no randomness and does no I/O. The caller tells it what the application wants (verbs: `register`, `publish`,
/// …) and what happened (`handle_written`, `handle_disconnect`, `handle_timeout`), and does what it answers:
///
/// 1. Until [`poll_output`](Self::poll_output) returns `None`, or for as long as the caller cares to: for [`Output::Write`], call
///    [`transmit`](Self::transmit), write the slices, report with [`handle_written`](Self::handle_written) how much was taken, and
///    repeat until `transmit` returns 0 or the peer takes no more. A connection that takes no more is written again when it is
///    writable, without being asked to.
/// 2. Wait until something happens, at most until [`poll_timeout`](Self::poll_timeout).
/// 3. Tell it what happened, `handle_timeout` if it was time that passed, and go on with 1.
///
/// ```
/// use sse_proto::{ClientId, Config, Engine, Epoch, Heap, Instant, Output, Registration, Target};
/// use sse_proto::wire::Event;
///
/// let mut engine = Engine::<Heap>::new(Config { retry: None, ..Config::default() }, Epoch(1), [7, 7]).unwrap();
/// let now = Instant::from_millis(1_000);
/// engine.register(now, &Registration::new(ClientId::new("bob_1").unwrap())).unwrap();
/// engine.publish(now, Target::All, &Event::data("hello")).unwrap();
///
/// let mut wire = Vec::<u8>::new();
/// while let Some(output) = engine.poll_output() {
///     let Output::Write(conn) = output else { continue };
///     loop {
///         let mut slices = [&b""[..]; 4];
///         let filled = engine.transmit(conn, &mut slices).unwrap();
///         if filled == 0 {
///             break;
///         }
///         let written = slices[..filled].concat();
///         wire.extend_from_slice(&written);
///         engine.handle_written(now, conn, written.len()).unwrap();
///     }
/// }
/// let greeting = "event:connected\ndata:{\"client\":\"bob_1\"}\nid:00000001-0\n\n";
/// assert_eq!(String::from_utf8(wire).unwrap(), format!("{greeting}data:hello\nid:00000001-1\n\n"));
/// ```
pub struct Engine<S: Storage> {
    config: Settings,
    directory: Directory<S>,
    log: Log<S>,
    deadlines: Deadlines<S>,
    tasks: Tasks<S>,
    /// Where notices are made. What a connection has sent of one is known, so it can be made again for the rest.
    notices: S::Frame,
    /// The reconnection times that connections are told with the farewell, from and to, once there is one.
    draining: Option<(u32, u32)>,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<T> {
    /// The connection has something: call [`Engine::transmit`].
    Write(ConnId),
    /// End the response. The connection is gone and its id is stale.
    Close {
        /// Which connection.
        conn: ConnId,
        /// Whose it was.
        client: ClientKey,
        /// Why.
        reason: CloseReason,
        /// It was the client's last one.
        last: bool,
    },
    /// The connection missed frames and will be told so with its next bytes, or is about to be closed.
    Gap {
        /// Which connection.
        conn: ConnId,
        /// Why.
        reason: GapReason,
    },
    /// A sweep found the client too old: it is forgotten.
    Expired {
        /// Which client; the key is stale.
        client: ClientKey,
        /// Its id.
        id: T,
    },
    /// An allocated id was not registered in time: it is no longer reserved.
    Unused {
        /// The id.
        id: T,
    },
}

/// Why a connection was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// It took nothing for the time of [`Config::write_stall`].
    Stalled,
    /// Its next frame left the log before it was sent, or the frame it was in the middle of did.
    Overrun,
    /// Its client registered again.
    Replaced,
    /// Its client expired, or its id was given up long ago.
    Expired,
    /// The application unregistered the client, or finished the connection.
    Unregistered,
    /// The engine was drained.
    Drained,
}

/// Why events could not be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// History does not reach back to the client's `Last-Event-ID`.
    Evicted,
    /// The `Last-Event-ID` is from another life of the hub.
    Epoch,
    /// The `Last-Event-ID` is none of the hub's.
    Unknown,
    /// The connection was too slow for the log.
    Overrun,
}

impl GapReason {
    /// The reason's name in payloads.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::Epoch => "epoch",
            Self::Unknown => "unknown",
            Self::Overrun => "overrun",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a client wants to be told of its tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Events named `progress`, `completed` and `failed` with JSON data.
    #[default]
    Named,
    /// The payloads of system M; no progress, which it does not know.
    Manager,
}

/// The first frame of a connection. Each form but the last carries the position in the `id` line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Greeting {
    /// `event:connected`, with the client's id as JSON data.
    #[default]
    Connected,
    /// `registered^ID`, as system M.
    Registered,
    /// Nothing that the client dispatches.
    Position,
    /// There is none: the first bytes are those of the first event.
    Silent,
}

/// The connection is not open (any more), or the client not known. Nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale;

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the id is stale: what it named is gone")
    }
}

impl core::error::Error for Stale {}

/// How much there is of everything, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Open connections.
    pub connections: u32,
    /// Known clients, issued ids included.
    pub clients: u32,
    /// Ids that are allocated and not registered.
    pub issued_ids: u32,
    /// Groups.
    pub groups: u32,
    /// Topics that someone listens to or that the log has frames for.
    pub topics: u32,
    /// Tasks.
    pub tasks: u32,
    /// Frames in the log.
    pub log_entries: u32,
    /// Bytes of those frames.
    pub log_bytes: u32,
}

/// A client that lost its last connection, or a connection that was not its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Whose connection it was.
    pub client: ClientKey,
    /// It was the client's last one.
    pub last: bool,
}

impl<S: Storage> Engine<S> {
    /// An engine with nothing in it. One of fixed capacity is large, and moved by this: see [`Memory`].
    ///
    /// `epoch` numbers its events: take another for each life of the hub, for example at random. `hash_key` is random too: names
    /// come from peers, who must not know it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the limits do not fit each other or the storage.
    pub fn new(config: Config, epoch: Epoch, hash_key: [u64; 2]) -> Result<Self, ConfigError> {
        let mut engine = Self::EMPTY;
        engine.begin(config, epoch, hash_key)?;
        Ok(engine)
    }

    /// The next thing to do, in the order things became due: connections that are ready, then deadlines.
    ///
    /// O(1) a call, but for a client that expires: O(its topics and tasks).
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output<S::Text>> {
        if let Some(slot) = self.directory.ready.first() {
            return Some(self.offer(slot));
        }
        if let Some(slot) = self.deadlines.stalled() {
            return Some(self.close(slot, CloseReason::Stalled));
        }
        if let Some(slot) = self.deadlines.silent() {
            self.directory.streams.at_mut(slot).due.set(Due::HEARTBEAT, true);
            self.enter(slot, Phase::Writing);
            return Some(Output::Write(self.directory.connection_id(slot)));
        }
        if let Some(slot) = self.deadlines.unused() {
            return Some(Output::Unused { id: self.forget(slot) });
        }
        let slot = self.deadlines.dormant()?;
        if let Some(conn) = self.directory.clients.at(slot).connections.first() {
            return Some(self.close(conn, CloseReason::Expired));
        }
        self.deadlines.disarm(slot, Standing::Registered);
        Some(Output::Expired { client: self.directory.client_key(slot), id: self.remove_client(slot) })
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if nothing else happens before; not later than now while output waits.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.directory.ready.is_empty() { self.deadlines.next() } else { Some(self.deadlines.now()) }
    }

    /// The next bytes for `conn`: fills `slices` from the front and returns how many. The first may be a notice of the engine's
    /// own, which comes alone; the others are runs of the log.
    ///
    /// Returns 0 when there is nothing now; [`poll_output`](Self::poll_output) will tell when there is. Nothing moves until
    /// [`handle_written`](Self::handle_written). Looks at 1,024 frames of the log at most, but does not end between frames that share a
    /// number.
    ///
    /// # Errors
    ///
    /// [`Stale`] when the connection is gone.
    pub fn transmit<'a>(&'a mut self, conn: ConnId, slices: &mut [&'a [u8]]) -> Result<usize, Stale> {
        let slot = self.connection(conn)?;
        let connection = self.directory.connections.at(slot);
        if matches!(connection.phase, Phase::Closing(_)) || self.is_gap_untold(slot) || slices.is_empty() {
            return Ok(0);
        }
        if let Some(len) = self.next_notice(slot) {
            let offset = self.directory.streams.at(slot).offset as usize;
            slices[0] = &self.notices.bytes()[offset..len];
            return Ok(1);
        }
        if matches!(self.directory.connections.at(slot).phase, Phase::Closing(_)) || !self.find_frame(slot) {
            return Ok(0);
        }
        if let Some(len) = self.next_notice(slot) {
            slices[0] = &self.notices.bytes()[..len];
            return Ok(1);
        }
        Ok(delivery::collect(&self.directory, &self.log, slot, slices))
    }

    /// `written` bytes of what [`transmit`](Self::transmit) gave for `conn` were taken. Any number of them, 0 included.
    ///
    /// It follows its `transmit` with no other call in between, unless that is `transmit` or this for another connection: the next publish
    /// may evict what was given, and then the connection ends. A driver that writes later copies the bytes first, and to the engine they
    /// are written then.
    ///
    /// Returns how many frames are whole now, notices included. Looks at no more frames than `transmit` did.
    ///
    /// # Errors
    ///
    /// [`Stale`] when the connection is gone.
    pub fn handle_written(&mut self, now: Instant, conn: ConnId, written: usize) -> Result<usize, Stale> {
        self.deadlines.advance(now);
        let slot = self.connection(conn)?;
        if written == 0 || matches!(self.directory.connections.at(slot).phase, Phase::Closing(_)) {
            return Ok(0);
        }
        let whole = if self.directory.streams.at(slot).notice.is_some() {
            self.notice_written(slot, written)
        } else if self.directory.connections.at(slot).is_overrun(&self.log) || self.is_gap_untold(slot) {
            // Some other call came in between: nobody knows any more what of it the peer has.
            self.enter(slot, Phase::Closing(CloseReason::Overrun));
            0
        } else {
            self.frames_written(slot, written)
        };
        self.settle(slot);
        Ok(whole)
    }

    /// Whether `conn` was given everything there is for it: [`transmit`](Self::transmit) would give nothing. O(1).
    pub fn is_caught_up(&self, conn: ConnId) -> bool {
        self.connection(conn).is_ok_and(|slot| self.directory.connections.at(slot).phase == Phase::Idle)
    }

    /// The peer of `conn` is gone.
    ///
    /// # Errors
    ///
    /// [`Stale`] when the connection is gone already.
    pub fn handle_disconnect(&mut self, now: Instant, conn: ConnId) -> Result<Left, Stale> {
        self.deadlines.advance(now);
        let slot = self.connection(conn)?;
        Ok(self.drop_connection(slot))
    }

    /// It is `now`. What became due is told by [`poll_output`](Self::poll_output), a step a call. O(1).
    pub fn handle_timeout(&mut self, now: Instant) {
        self.deadlines.advance(now);
    }

    /// How much there is of everything. O(1).
    pub fn usage(&self) -> Usage {
        Usage {
            connections: self.directory.connections.len(),
            clients: self.directory.clients.len(),
            issued_ids: self.directory.issued,
            groups: self.directory.label_count(LabelKind::Group),
            topics: self.directory.label_count(LabelKind::Topic),
            tasks: self.tasks.len(),
            log_entries: self.log.len() as u32,
            log_bytes: self.log.held_bytes() as u32,
        }
    }

    /// How many bytes of the log lie between where the connection stands that has been ready the longest and the end, whoever they are
    /// for; 0 when none is ready. Connections that take no more do not count. O(log of the log's entries).
    pub fn backlog(&self) -> usize {
        self.directory.ready.first().map_or(0, |slot| self.log.bytes_from(self.directory.connections.at(slot).cursor))
    }

    /// The number of the newest event.
    pub fn last_event_id(&self) -> EventId {
        EventId { epoch: self.log.epoch(), sequence: self.log.last_sequence() }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Tells the driver what a ready connection needs.
    fn offer(&mut self, slot: u32) -> Output<S::Text> {
        if let Phase::Closing(reason) = self.directory.connections.at(slot).phase {
            return self.close(slot, reason);
        }
        let stream = self.directory.streams.at_mut(slot);
        if stream.due.has(Due::REPORT_GAP) {
            stream.due.set(Due::REPORT_GAP, false);
            let reason = stream.gap;
            return Output::Gap { conn: self.directory.connection_id(slot), reason };
        }
        self.enter(slot, Phase::Writing);
        Output::Write(self.directory.connection_id(slot))
    }

    fn close(&mut self, slot: u32, reason: CloseReason) -> Output<S::Text> {
        let conn = self.directory.connection_id(slot);
        let Left { client, last } = self.drop_connection(slot);
        Output::Close { conn, client, reason, last }
    }

    fn drop_connection(&mut self, slot: u32) -> Left {
        let phase = self.directory.connections.at(slot).phase;
        let client_slot = self.directory.streams.at(slot).client;
        let client = self.directory.client_key(client_slot);
        self.directory.remove_connection(slot, client_slot);
        self.deadlines.remove_connection(slot, phase, &self.directory);
        let last = self.directory.clients.at(client_slot).connections.is_empty();
        if last {
            self.lost_last(client_slot);
        }
        Left { client, last }
    }

    /// A client has no connection any more.
    fn lost_last(&mut self, slot: u32) {
        match self.directory.clients.at(slot).standing {
            Standing::Passing if self.directory.profiles.at(slot).task_count > 0 => self.stay(slot),
            Standing::Detached | Standing::Passing => drop(self.forget(slot)),
            Standing::Registered | Standing::Issued => self.stay(slot),
        }
    }

    /// A client that has no connections is kept.
    fn stay(&mut self, slot: u32) {
        self.directory.clients.at_mut(slot).standing = Standing::Registered;
        if self.config.age == Age::SinceLeft {
            self.deadlines.arm_dormant(slot);
        }
    }

    /// Removes a client that has no connections, with its tasks; its id.
    #[inline(never)]
    fn forget(&mut self, slot: u32) -> S::Text {
        self.deadlines.disarm(slot, self.directory.clients.at(slot).standing);
        self.remove_client(slot)
    }

    /// As [`forget`](Self::forget), of one that no deadline counts for.
    #[cfg_attr(feature = "std", inline(always))]
    fn remove_client(&mut self, slot: u32) -> S::Text {
        self.tasks.clear(self.directory.profiles.at_mut(slot));
        self.directory.remove_client(slot);
        if self.directory.clients.used_slots() == 0 {
            return self.give_back_clients(slot);
        }
        self.directory.take_id(slot)
    }

    /// The last client is gone, and the memory of their table; the id it had.
    #[cold]
    fn give_back_clients(&mut self, slot: u32) -> S::Text {
        let id = self.directory.take_id(slot);
        self.directory.give_back_clients();
        self.deadlines.give_back_clients();
        id
    }

    /// Moves the cursor over `written` bytes of frames; how many frames are whole now.
    fn frames_written(&mut self, slot: u32, mut written: usize) -> usize {
        let mut whole = 0;
        let &Connection { mut cursor, until, .. } = self.directory.connections.at(slot);
        let &Stream { client, offset, .. } = self.directory.streams.at(slot);
        let mut offset = offset as usize;
        let mut index = delivery::first_for(&self.directory, &self.log, slot, cursor);
        while written > 0 {
            let Some(&entry) = self.log.entry(index).filter(|entry| entry.sequence <= until) else {
                break;
            };
            index += 1;
            let is_found = delivery::is_found(self.directory.connections.at(slot), &entry);
            if !is_found && !delivery::is_for(&self.directory, &self.log, &entry, slot) {
                continue;
            }
            let rest = entry.len as usize - offset;
            if written < rest {
                (cursor, offset) = (entry.sequence, offset + written);
                break;
            }
            written -= rest;
            whole += 1;
            (cursor, offset) = (entry.sequence + 1, 0);
            if entry.completes_task {
                self.tasks.sent(self.directory.profiles.at(client), entry.sequence);
            }
        }
        let connection = self.directory.connections.at_mut(slot);
        (connection.cursor, connection.found) = (cursor, offset > 0);
        self.directory.streams.at_mut(slot).offset = offset as u32;
        whole
    }

    /// After bytes were taken: idle if that was all, else time for the next ones starts anew.
    fn settle(&mut self, slot: u32) {
        let connection = self.directory.connections.at(slot);
        if matches!(connection.phase, Phase::Closing(_)) {
            return;
        }
        let phase = if self.has_nothing(slot) { self.rest(slot) } else { Phase::Writing };
        self.enter(slot, phase);
    }

    /// What a connection does that has nothing to send.
    fn rest(&self, slot: u32) -> Phase {
        if self.directory.connections.at(slot).finishing { Phase::Closing(CloseReason::Unregistered) } else { Phase::Idle }
    }

    fn has_nothing(&self, slot: u32) -> bool {
        let connection = self.directory.connections.at(slot);
        connection.cursor > connection.until
            && self.directory.streams.at(slot).notice.is_none()
            && self.notice_due(slot).is_none()
    }

    /// Puts the cursor on the next frame for the connection; false when there is none now.
    fn find_frame(&mut self, slot: u32) -> bool {
        let stream = self.directory.streams.at_mut(slot);
        // Completions from here on come with the log.
        stream.due.set(Due::TASKS, false);
        let is_begun = stream.offset > 0;
        let connection = self.directory.connections.at(slot);
        if connection.is_overrun(&self.log) {
            self.overrun(slot);
            return false;
        }
        if is_begun {
            return true;
        }
        let cursor = connection.cursor;
        let (found, cursor) = delivery::walk(&self.directory, &self.log, slot, cursor);
        let connection = self.directory.connections.at_mut(slot);
        (connection.cursor, connection.found) = (cursor, found == Walk::Found);
        match found {
            Walk::Found => return true,
            Walk::Unfinished => self.enter(slot, Phase::Ready),
            Walk::CaughtUp => {
                if self.notice_due(slot).is_some() {
                    return true;
                }
                // Who looks in vain does not postpone a heartbeat.
                if self.directory.connections.at(slot).phase != Phase::Idle {
                    self.enter(slot, self.rest(slot));
                }
            }
        }
        false
    }

    /// Whether the application has yet to hear that frames for the connection have left the log: nothing is given before.
    fn is_gap_untold(&self, slot: u32) -> bool {
        self.directory.streams.at(slot).due.has(Due::REPORT_GAP)
    }

    /// The frame at the cursor has left the log.
    fn overrun(&mut self, slot: u32) {
        let stream = self.directory.streams.at_mut(slot);
        if stream.offset > 0 || self.config.overrun == Overrun::Close {
            return self.enter(slot, Phase::Closing(CloseReason::Overrun));
        }
        let connection = self.directory.connections.at_mut(slot);
        (stream.gap, stream.told) = (GapReason::Overrun, connection.cursor - 1);
        // Completions among what the log lost are still in the client's table.
        for due in [Due::TASKS, Due::TASKS_SENT_TOO, Due::GAP, Due::REPORT_GAP, Due::POSITION] {
            stream.due.set(due, true);
        }
        (connection.cursor, connection.found) = (self.log.evicted() + 1, false);
        self.enter(slot, Phase::Ready);
    }

    fn enter(&mut self, slot: u32, phase: Phase) {
        let before = self.directory.enter(slot, phase);
        self.deadlines.enter(slot, before, phase);
    }

    fn connection(&self, conn: ConnId) -> Result<u32, Stale> {
        self.directory.connections.holds(conn.slot, conn.generation).then_some(conn.slot).ok_or(Stale)
    }

    fn client(&self, key: ClientKey) -> Result<u32, Stale> {
        let known = self.directory.clients.holds(key.slot, key.generation);
        let registered =
            known && matches!(self.directory.clients.at(key.slot).standing, Standing::Registered | Standing::Passing);
        registered.then_some(key.slot).ok_or(Stale)
    }
}
