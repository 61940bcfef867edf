//! Who is admitted: ids, registration, topics, giving up, and the end.

use core::fmt;

use super::delivery::{self, Connection, Due, Phase, Resumes, Stream, Walk};
use super::directory::{Full, Names, Standing};
use super::{CloseReason, Dialect, Engine, GapReason, Greeting, Stale};
use crate::config::Age;
use crate::id::{ClientId, ClientKey, ConnId, EventId, NameError, check_name, check_topic};
use crate::storage::Storage;
use crate::storage::parts::Text;
use crate::time::Instant;

/// A wish to receive events.
#[derive(Clone, Copy, Debug)]
pub struct Registration<'a> {
    /// Who it is for.
    pub id: ClientId<'a>,
    /// The namespace of the id; empty is the default group.
    pub group: &'a str,
    /// Topics to listen to from the start of the stream on, besides those the client listens to already: at most as many as one client
    /// may have, counted as they stand here.
    pub topics: &'a [&'a str],
    /// Where the stream starts.
    pub resume: Resume<'a>,
    /// The first frame.
    pub greeting: Greeting,
    /// How the client wants to be told of its tasks.
    pub dialect: Dialect,
    /// Close the client's other connections.
    pub replace: bool,
    /// Forget the client when its last connection leaves, unless it waits for a task.
    pub passing: bool,
}

impl<'a> Registration<'a> {
    /// A live stream for `id` in the default group, beside the client's other connections.
    pub const fn new(id: ClientId<'a>) -> Self {
        Self {
            id,
            group: "",
            topics: &[],
            resume: Resume::Live,
            greeting: Greeting::Connected,
            dialect: Dialect::Named,
            replace: false,
            passing: false,
        }
    }
}

/// Where a stream starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resume<'a> {
    /// With the next event.
    #[default]
    Live,
    /// With the oldest event in the log.
    Earliest,
    /// After the event with this id: a `Last-Event-ID`. Empty is [`Live`](Self::Live).
    After(&'a str),
}

/// A connection that was registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The connection.
    pub conn: ConnId,
    /// Its client.
    pub client: ClientKey,
    /// The client was registered before; its topics and tasks were kept.
    pub returning: bool,
    /// Why the stream does not start where the client asked; it is told in band.
    pub gap: Option<GapReason>,
}

/// Why an id was not allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdError {
    /// The user name cannot stand in an id.
    Name(NameError),
    /// The group cannot be one.
    Group(NameError),
    /// The id would be longer than `limit` bytes, or the group is.
    TooLong {
        /// The limit `name_bytes`.
        limit: u32,
    },
    /// The caller's entropy gave ids that exist, 256 times.
    Entropy,
    /// A table is full.
    Full(Full),
}

/// Why a connection was not registered. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterError {
    /// The group cannot be one.
    Group(NameError),
    /// The topic at `index` cannot be one.
    Topic {
        /// Which of the topics.
        index: usize,
        /// What is wrong with it.
        error: NameError,
    },
    /// A name is longer than `limit` bytes.
    TooLong {
        /// Which: `id`, `group` or `topic`.
        what: &'static str,
        /// The limit.
        limit: u32,
    },
    /// A table is full.
    Full(Full),
    /// The engine is being drained.
    Draining,
}

/// Why a client does not listen to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenError {
    /// The client is not registered.
    UnknownClient,
    /// The topic cannot be one.
    Topic(NameError),
    /// The topic is longer than `limit` bytes.
    TooLong {
        /// The limit `topic_bytes`.
        limit: u32,
    },
    /// A table is full.
    Full(Full),
}

impl<S: Storage> Engine<S> {
    /// Reserves an id for `name`: the name, `_`, and a suffix made of `entropy`. No other id that is reserved or registered in
    /// the group is the same.
    ///
    /// # Errors
    ///
    /// [`IdError`]; nothing was reserved. Where as many ids are reserved as may be, the oldest may have given way all the same.
    pub fn allocate_id(&mut self, now: Instant, group: &str, name: &str, entropy: &[u8; 32]) -> Result<S::Text, IdError> {
        self.deadlines.advance(now);
        check_name(name).map_err(IdError::Name)?;
        if !group.is_empty() {
            check_topic(group).map_err(IdError::Group)?;
        }
        let limit = self.config.limits.name_bytes;
        if group.len() > limit as usize {
            return Err(IdError::TooLong { limit });
        }
        let suffix_len = self.config.id_form.suffix_len();
        let len = name.len() + 1 + suffix_len;
        let mut buffer = [0; 1024];
        let Some(out) = buffer.get_mut(..len).filter(|_| len <= limit as usize) else {
            return Err(IdError::TooLong { limit });
        };
        out[..name.len()].copy_from_slice(name.as_bytes());
        out[name.len()] = b'_';
        for attempt in 0..=u8::MAX {
            self.config.id_form.write_suffix(entropy, attempt, &mut out[name.len() + 1..]);
            let Some(id) = core::str::from_utf8(out).ok().and_then(|id| ClientId::new(id).ok()) else {
                continue;
            };
            if self.directory.find_client(group, id.as_str()).is_some() {
                continue;
            }
            let text = S::Text::copy_of(id.as_str()).ok_or(IdError::TooLong { limit })?;
            self.issue(group, id).map_err(IdError::Full)?;
            return Ok(text);
        }
        Err(IdError::Entropy)
    }

    /// Opens a connection for a client, which comes into being if it is not known.
    ///
    /// O(topics asked for × (those and the topics of the client) + tasks of the client), and O(frames that leave the log for the sake
    /// of names, where those that someone stands under have no room beside those that only frames name).
    /// A client of system M that comes back costs a look at the log besides: O(frames in it × topics of the client); `replace`, one at
    /// each of its connections.
    ///
    /// # Errors
    ///
    /// [`RegisterError`]; nothing was changed.
    pub fn register(&mut self, now: Instant, registration: &Registration<'_>) -> Result<Registered, RegisterError> {
        self.deadlines.advance(now);
        let &Registration { id, group, topics, resume, greeting, dialect, replace, passing } = registration;
        self.check_registration(registration)?;
        let known = self.directory.find_client(group, id.as_str());
        if self.directory.connections.free() == 0 {
            return Err(RegisterError::Full(Full::Connections));
        }
        let open = known.map_or(0, |slot| self.directory.profiles.at(slot).connection_count);
        if !replace && open >= self.config.limits.connections_per_client {
            return Err(RegisterError::Full(Full::ConnectionsOfClient));
        }
        self.directory.can_listen(known, topics).map_err(RegisterError::Full)?;
        let anybody = self.directory.clients.len() > self.directory.issued;
        let standing = if passing { Standing::Passing } else { Standing::Registered };
        let returning = known.is_some_and(|slot| self.directory.clients.at(slot).standing != Standing::Issued);
        let slot = match known {
            Some(slot) => {
                self.make_room_for(&Names { topics, ..Names::default() }).map_err(RegisterError::Full)?;
                self.readmit(slot, standing);
                slot
            }
            None => self.add_client(group, id, standing, topics).map_err(RegisterError::Full)?,
        };
        let Start { cursor, gap, shown } = self.start(resume);
        if !anybody {
            self.deadlines.anchor_sweeps();
        }
        for topic in topics {
            self.directory.listen(slot, topic, cursor).map_err(RegisterError::Full)?;
        }
        if replace {
            self.close_connections(slot, CloseReason::Replaced);
        }
        self.directory.clients.at_mut(slot).dialect = dialect;
        let client = self.directory.profiles.at_mut(slot);
        client.registered = self.deadlines.now();
        if let Some(sequence) = shown {
            self.tasks.arrived(client, sequence);
        }
        let is_greeted = greeting != Greeting::Silent;
        let due = Due::NOTHING
            .with(Due::GREETING, is_greeted)
            .with(Due::POSITION, is_greeted)
            .with(Due::TASKS, client.task_count > 0)
            .with(Due::TASKS_SENT_TOO, shown.is_some())
            .with(Due::GAP, gap.is_some());
        if self.config.age == Age::SinceRegistered {
            self.deadlines.arm_dormant(slot);
        }
        let connection = Connection { cursor, ..Connection::new(self.log.last_sequence()) };
        let stream = Stream { due, gap: gap.unwrap_or(GapReason::Unknown), greeting, ..Stream::new(slot, dialect) };
        let conn = self.add_connection(connection, stream).map_err(RegisterError::Full)?;
        let came_back = !matches!(resume, Resume::Live | Resume::Earliest | Resume::After(""));
        if greeting == Greeting::Registered && came_back {
            let mut from = cursor;
            let found = loop {
                match delivery::walk(&self.directory, &self.log, conn, from) {
                    (Walk::Unfinished, at) => from = at,
                    (found, _) => break found,
                }
            };
            let behind = found == Walk::Found && shown.is_some();
            self.directory.streams.at_mut(conn).resumes = if behind { Resumes::Behind } else { Resumes::CaughtUp };
        }
        self.enter(conn, Phase::Ready);
        let conn = self.directory.connection_id(conn);
        Ok(Registered { conn, client: self.directory.client_key(slot), returning, gap })
    }

    /// Gives up a client: its id, topics and tasks are forgotten. `end_streams` closes its connections; else they stay open,
    /// silent but for heartbeats, until a sweep finds them.
    ///
    /// # Errors
    ///
    /// [`Stale`] when the client is not registered.
    pub fn unregister(&mut self, now: Instant, client: ClientKey, end_streams: bool) -> Result<(), Stale> {
        self.deadlines.advance(now);
        let slot = self.client(client)?;
        self.give_up(slot, end_streams);
        Ok(())
    }

    /// Gives up every client and every issued id. `end_streams` closes all connections, those of clients given up before included.
    /// O(the most clients there were at once).
    pub fn clear(&mut self, now: Instant, end_streams: bool) {
        self.deadlines.advance(now);
        for slot in 0..self.directory.clients.used_slots() {
            match self.directory.clients.get(slot).map(|client| client.standing) {
                Some(Standing::Detached) if end_streams => self.close_connections(slot, CloseReason::Unregistered),
                Some(Standing::Detached) | None => {}
                Some(_) => self.give_up(slot, end_streams),
            }
        }
    }

    /// Ends one connection, once it was given what was published until now; nothing that comes later is for it. O(1).
    ///
    /// # Errors
    ///
    /// [`Stale`] when the connection is gone.
    pub fn finish(&mut self, now: Instant, conn: ConnId) -> Result<(), Stale> {
        self.deadlines.advance(now);
        let slot = self.connection(conn)?;
        let connection = self.directory.connections.at_mut(slot);
        connection.finishing = true;
        if connection.phase == Phase::Idle {
            self.enter(slot, Phase::Closing(CloseReason::Unregistered));
        }
        Ok(())
    }

    /// `client` listens to `topic` from the next event on. True unless it did already.
    ///
    /// # Errors
    ///
    /// [`ListenError`]; nothing was changed.
    pub fn listen(&mut self, now: Instant, client: ClientKey, topic: &str) -> Result<bool, ListenError> {
        self.deadlines.advance(now);
        self.listen_from(client, topic, self.log.last_sequence() + 1)
    }

    /// `client` listens to `topic` no longer; events of it that were not sent yet are not sent. True if it did listen.
    ///
    /// # Errors
    ///
    /// [`Stale`] when the client is not registered.
    pub fn unlisten(&mut self, now: Instant, client: ClientKey, topic: &str) -> Result<bool, Stale> {
        self.deadlines.advance(now);
        let slot = self.client(client)?;
        Ok(self.directory.unlisten(slot, topic))
    }

    /// Every connection is told to come back after `min_retry` to `max_retry` milliseconds, spread evenly, and is closed once it
    /// has everything. Nobody can register any more. A second call changes nothing: the first one's times stay. O(the most connections
    /// there were at once).
    pub fn drain(&mut self, now: Instant, min_retry: u32, max_retry: u32) {
        self.deadlines.advance(now);
        self.draining.get_or_insert((min_retry, max_retry));
        for slot in 0..self.directory.connections.used_slots() {
            let Some(&Connection { phase, .. }) = self.directory.connections.get(slot) else {
                continue;
            };
            self.directory.streams.at_mut(slot).due.set(Due::FAREWELL, true);
            if phase == Phase::Idle {
                self.enter(slot, Phase::Ready);
            }
        }
    }

    /// A sweep happens now: clients that are too old are told by [`poll_output`](Self::poll_output).
    pub fn sweep(&mut self, now: Instant) {
        self.deadlines.advance(now);
        self.deadlines.sweep_now();
    }

    fn check_registration(&self, registration: &Registration<'_>) -> Result<(), RegisterError> {
        if self.draining.is_some() {
            return Err(RegisterError::Draining);
        }
        self.check_client(registration.group, registration.id)?;
        for (index, topic) in registration.topics.iter().enumerate() {
            check_topic(topic).map_err(|error| RegisterError::Topic { index, error })?;
            within("topic", topic, self.config.limits.topic_bytes)?;
        }
        Ok(())
    }

    /// Whether a client may have that group and that id.
    pub(super) fn check_client(&self, group: &str, id: ClientId<'_>) -> Result<(), RegisterError> {
        let limit = self.config.limits.name_bytes;
        within("id", id.as_str(), limit)?;
        within("group", group, limit)?;
        if group.is_empty() { Ok(()) } else { check_topic(group).map_err(RegisterError::Group) }
    }

    /// Adds a client, who is to listen to `topics`, if there is room for it and all their names.
    pub(super) fn add_client(
        &mut self,
        group: &str,
        id: ClientId<'_>,
        standing: Standing,
        topics: &[&str],
    ) -> Result<u32, Full> {
        if self.directory.clients.free() == 0 {
            return Err(Full::Clients);
        }
        self.make_room_for(&Names { group: Some(group), user_name: Some(id.user_name()), topics })?;
        let slot = self.directory.add_client(group, id, standing, self.deadlines.now())?;
        self.deadlines.add_client(slot);
        Ok(slot)
    }

    pub(super) fn add_connection(&mut self, connection: Connection, stream: Stream) -> Result<u32, Full> {
        let slot = self.directory.add_connection(connection, stream)?;
        self.deadlines.add_connection(slot);
        Ok(slot)
    }

    /// `client` listens to `topic` for sequence numbers from `from` on, if there is room for it and its name.
    pub(super) fn listen_from(&mut self, client: ClientKey, topic: &str, from: u64) -> Result<bool, ListenError> {
        let slot = self.client(client).map_err(|Stale| ListenError::UnknownClient)?;
        check_topic(topic).map_err(ListenError::Topic)?;
        let limit = self.config.limits.topic_bytes;
        if topic.len() > limit as usize {
            return Err(ListenError::TooLong { limit });
        }
        let room = self.directory.can_listen(Some(slot), &[topic]);
        let room = room.and_then(|()| self.make_room_for(&Names { topics: &[topic], ..Names::default() }));
        room.and_then(|()| self.directory.listen(slot, topic, from)).map_err(ListenError::Full)
    }

    /// Where a stream starts, and what the client has shown to have.
    fn start(&self, resume: Resume<'_>) -> Start {
        let (last, evicted) = (self.log.last_sequence(), self.log.evicted());
        let from_oldest = |gap, shown| Start { cursor: evicted + 1, gap, shown };
        let id = match resume {
            Resume::Live | Resume::After("") => {
                return Start { cursor: last + 1, gap: None, shown: None };
            }
            Resume::Earliest => return from_oldest(None, None),
            Resume::After(id) => id,
        };
        if let Some(sequence) = self.log.sequence_of(id) {
            return Start { cursor: sequence + 1, gap: None, shown: Some(sequence) };
        }
        match EventId::parse(id) {
            Some(id) if id.epoch != self.log.epoch() => from_oldest(Some(GapReason::Epoch), None),
            Some(EventId { sequence, .. }) if sequence > last => from_oldest(Some(GapReason::Unknown), None),
            Some(EventId { sequence, .. }) if sequence < evicted => from_oldest(Some(GapReason::Evicted), Some(sequence)),
            Some(EventId { sequence, .. }) => Start { cursor: sequence + 1, gap: None, shown: Some(sequence) },
            None => from_oldest(Some(GapReason::Unknown), None),
        }
    }

    /// Reserves an id that is not taken; where as many are reserved as may be, the oldest gives way.
    pub(super) fn issue(&mut self, group: &str, id: ClientId<'_>) -> Result<(), Full> {
        let limits = &self.config.limits;
        if self.directory.issued >= limits.issued_ids.min(limits.clients)
            && let Some(oldest) = self.deadlines.oldest_issued()
        {
            self.forget(oldest);
        }
        let slot = self.add_client(group, id, Standing::Issued, &[])?;
        self.deadlines.arm_issued(slot);
        Ok(())
    }

    /// A known client registers: whatever it was waiting for to expire is off.
    fn readmit(&mut self, slot: u32, standing: Standing) {
        let client = self.directory.clients.at_mut(slot);
        self.deadlines.disarm(slot, client.standing);
        let issued = client.standing == Standing::Issued;
        if issued || standing == Standing::Registered {
            client.standing = standing;
        }
        self.directory.issued -= u32::from(issued);
    }

    fn give_up(&mut self, slot: u32, end_streams: bool) {
        let client = self.directory.clients.at(slot);
        if client.connections.is_empty() {
            self.forget(slot);
            return;
        }
        self.deadlines.disarm(slot, client.standing);
        self.tasks.clear(self.directory.profiles.at_mut(slot));
        self.directory.detach_client(slot);
        self.deadlines.arm_dormant(slot);
        let mut connections = self.directory.connections_of(slot);
        while let Some(conn) = connections.next(&self.directory) {
            let connection = self.directory.connections.at_mut(conn);
            (connection.silent, connection.found) = (true, false);
        }
        if end_streams {
            self.close_connections(slot, CloseReason::Unregistered);
        }
    }

    fn close_connections(&mut self, client: u32, reason: CloseReason) {
        let mut connections = self.directory.connections_of(client);
        while let Some(conn) = connections.next(&self.directory) {
            if !matches!(self.directory.connections.at(conn).phase, Phase::Closing(_)) {
                self.enter(conn, Phase::Closing(reason));
            }
        }
    }
}

#[inline]
fn within(what: &'static str, text: &str, limit: u32) -> Result<(), RegisterError> {
    if text.len() > limit as usize { Err(RegisterError::TooLong { what, limit }) } else { Ok(()) }
}

/// Where a stream starts.
struct Start {
    cursor: u64,
    gap: Option<GapReason>,
    /// Everything up to here has arrived.
    shown: Option<u64>,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Group(error) => write!(f, "the group: {error}"),
            Self::TooLong { limit } => write!(f, "the id or the group would be longer than {limit} bytes; take a shorter name"),
            Self::Entropy => f.write_str("the entropy gives only ids that exist"),
            Self::Full(full) => full.fmt(f),
        }
    }
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(error) => write!(f, "the group: {error}"),
            Self::Topic { index, error } => write!(f, "topic {}: {error}", index + 1),
            Self::TooLong { what, limit } => write!(f, "the {what} is longer than {limit} bytes"),
            Self::Full(full) => full.fmt(f),
            Self::Draining => f.write_str("the hub is shutting down"),
        }
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownClient => f.write_str("no client is registered under this id"),
            Self::Topic(error) => write!(f, "the topic: {error}"),
            Self::TooLong { limit } => write!(f, "the topic is longer than {limit} bytes"),
            Self::Full(full) => full.fmt(f),
        }
    }
}

impl core::error::Error for IdError {}
impl core::error::Error for RegisterError {}
impl core::error::Error for ListenError {}
