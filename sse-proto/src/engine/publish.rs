//! Publishing: from a target to marked connections.

use core::fmt;

use super::directory::{Full, LabelKind, Names};
use super::log::{self, Scope};
use super::{Engine, Stale};
use crate::id::{ClientKey, ConnId, EventId, NameError, check_name, check_topic};
use crate::storage::Storage;
use crate::time::Instant;
use crate::wire::{Encode, id_line_len};

/// Who an event is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Every client.
    All,
    /// Every client of a group.
    Group(&'a str),
    /// Every client that listens to a topic.
    Topic(&'a str),
    /// Every client of a user name.
    UserName(&'a str),
    /// All connections of one client.
    Client(ClientKey),
    /// One connection. The event is not for a connection that resumes.
    Connection(ConnId),
    /// These clients, in any order.
    Clients(&'a [ClientKey]),
}

/// Why an event was not published. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The frame would be `len` bytes long.
    TooLarge {
        /// Length of the frame.
        len: usize,
        /// The limit `frame_bytes`, or what the log can hold beside the list of clients.
        limit: usize,
    },
    /// The event's own id is longer than [`MAX_EVENT_ID`] bytes.
    IdTooLong,
    /// The group, user name or topic cannot be one.
    Name(NameError),
    /// The group, user name or topic is longer than `limit` bytes.
    TooLong {
        /// The limit.
        limit: u32,
    },
    /// The client or the connection is not known.
    UnknownTarget,
    /// A table is full.
    Full(Full),
}

/// Bytes of an event id that an application sets itself.
pub const MAX_EVENT_ID: usize = 1024;

impl<S: Storage> Engine<S> {
    /// Publishes `frame` as the next event.
    ///
    /// An id that it brings is found before any number when a client resumes: one that reads like the number of another event hides what
    /// lies between the two from who has that one.
    ///
    /// O(clients it is for and their connections), for all of them O(the most connections there were at once), for a chosen set of n
    /// clients O(n log n), and O(frames that leave the log for it).
    ///
    /// # Errors
    ///
    /// [`PublishError`]; nothing was published.
    pub fn publish(&mut self, now: Instant, target: Target<'_>, frame: &impl Encode) -> Result<EventId, PublishError> {
        // A number that is not higher than any before stands for the next.
        self.publish_at(now, 0, target, frame)
    }

    /// Publishes `frame` under `sequence`, which someone who orders several engines gave out: higher than any before.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; nothing was published.
    pub fn publish_at(
        &mut self,
        now: Instant,
        sequence: u64,
        target: Target<'_>,
        frame: &impl Encode,
    ) -> Result<EventId, PublishError> {
        // First, though told of last: the row of a client that is in no cache is waited for together with that of the connection that
        // the event before was for. What lies between the two looks must be few instructions, fewer where two threads share a core.
        let known = self.known(target);
        self.deadlines.advance(now);
        let sequence = self.number(sequence).map_err(PublishError::Full)?;
        let members = match target {
            Target::Clients(members) => members,
            _ => &[],
        };
        let room = self.check_frame(sequence, frame, members.len())?;
        let scope = match known {
            Ok(Some(scope)) => scope,
            Ok(None) => self.scope(target)?,
            Err(Stale) => return Err(PublishError::UnknownTarget),
        };
        self.append(sequence, scope, members, frame, room, false);
        // Last, for the same reason.
        self.mark(scope, members, sequence);
        Ok(EventId { epoch: self.log.epoch(), sequence })
    }

    /// Sequence numbers up to `sequence` were given out by whoever orders several engines.
    pub fn observe_sequence(&mut self, sequence: u64) {
        self.log.observe(sequence);
    }

    /// The number of an event that was to have `sequence`: higher than any before. Cursors stand one behind, so the highest is for none.
    pub(super) fn number(&self, sequence: u64) -> Result<u64, Full> {
        let number = sequence.max(self.log.last_sequence() + 1);
        if number == u64::MAX { Err(Full::Sequence) } else { Ok(number) }
    }

    /// Appends `frame`, which takes at most `room` bytes, and lets go of as many of the oldest as it needs.
    pub(super) fn append(
        &mut self,
        sequence: u64,
        scope: Scope,
        members: &[ClientKey],
        frame: &dyn Encode,
        mut room: usize,
        completes_task: bool,
    ) {
        // It is measured where that saves a frame from going.
        if !self.log.has_ahead(room, members.len()) {
            room = self.log.frame_len(sequence, frame);
        }
        let room = loop {
            if let Some(room) = self.log.room(room, members.len()) {
                break room;
            }
            let Some(gone) = self.log.evict() else { return };
            self.let_go(gone);
        };
        self.log.append(sequence, scope, members, frame, room, completes_task);
    }

    /// Marks the connections that the frame `sequence` of that scope is for.
    pub(super) fn mark(&mut self, scope: Scope, members: &[ClientKey], sequence: u64) {
        match scope {
            Scope::All => {
                for slot in 0..self.directory.connections.used_slots() {
                    if self.directory.connections.get(slot).is_some_and(|connection| !connection.silent) {
                        self.directory.mark(slot, sequence);
                    }
                }
            }
            Scope::Label(label) => {
                let mut under = self.directory.under(label);
                while let Some(client) = under.next(&self.directory) {
                    self.mark_client(client, sequence);
                }
            }
            Scope::Client(client) => self.mark_client(client.slot, sequence),
            Scope::Connection(conn) => self.directory.mark(conn.slot, sequence),
            Scope::Clients { .. } => {
                for member in members {
                    if self.client(*member).is_ok() {
                        self.mark_client(member.slot, sequence);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn mark_client(&mut self, client: u32, sequence: u64) {
        let mut connections = self.directory.connections_of(client);
        while let Some(conn) = connections.next(&self.directory) {
            self.directory.mark(conn, sequence);
        }
    }

    /// How much room the frame takes at most, if it may be published.
    pub(super) fn check_frame(&self, sequence: u64, frame: &dyn Encode, members: usize) -> Result<usize, PublishError> {
        let (id, limit) = (frame.id(), self.log.room_beside(members).min(self.config.limits.frame_bytes as usize));
        if id.is_some_and(|id| id.as_str().len() > MAX_EVENT_ID) {
            return Err(PublishError::IdTooLong);
        }
        let most = frame.max_body_len().saturating_add(id.map_or(log::MAX_NUMBER_LINE, id_line_len));
        if most <= limit {
            return Ok(most);
        }
        let len = self.log.frame_len(sequence, frame);
        if len > limit { Err(PublishError::TooLarge { len, limit }) } else { Ok(len) }
    }

    /// The scope for a target; `None` where it names a label.
    #[inline]
    fn known(&self, target: Target<'_>) -> Result<Option<Scope>, Stale> {
        Ok(Some(match target {
            Target::All => Scope::All,
            Target::Client(key) => self.client(key).map(|_| Scope::Client(key))?,
            Target::Connection(conn) => self.connection(conn).map(|_| Scope::Connection(conn))?,
            Target::Clients(members) => Scope::Clients { members: members.len() as u32 },
            _ => return Ok(None),
        }))
    }

    /// The scope for a target; a label is held for the frame that will name it.
    pub(super) fn scope(&mut self, target: Target<'_>) -> Result<Scope, PublishError> {
        if let Some(scope) = self.known(target).map_err(|Stale| PublishError::UnknownTarget)? {
            return Ok(scope);
        }
        let limits = &self.config.limits;
        let (kind, text, limit) = match target {
            Target::Group(group) => (LabelKind::Group, group, limits.name_bytes),
            Target::UserName(name) => (LabelKind::UserName, name, limits.name_bytes),
            Target::Topic(topic) => (LabelKind::Topic, topic, limits.topic_bytes),
            _ => return Err(PublishError::UnknownTarget),
        };
        match kind {
            LabelKind::Group if text.is_empty() => {}
            LabelKind::UserName => check_name(text).map_err(PublishError::Name)?,
            LabelKind::Group | LabelKind::Topic => check_topic(text).map_err(PublishError::Name)?,
        }
        if text.len() > limit as usize {
            return Err(PublishError::TooLong { limit });
        }
        let names = match kind {
            LabelKind::Group => Names { group: Some(text), ..Names::default() },
            LabelKind::UserName => Names { user_name: Some(text), ..Names::default() },
            LabelKind::Topic => Names { topics: &[text], ..Names::default() },
        };
        self.make_room_for(&names).map_err(PublishError::Full)?;
        let label = self.directory.label(kind, text).map_err(PublishError::Full)?;
        self.directory.frame_added(label);
        Ok(Scope::Label(label))
    }

    /// Makes room for a label of each of these names. What only history names gives way to them: the oldest frames go, as many as
    /// it takes. Frames that share a number name none, so it never stops between them.
    ///
    /// # Errors
    ///
    /// [`Full`] when that would not help; then none goes.
    pub(super) fn make_room_for(&mut self, names: &Names<'_>) -> Result<(), Full> {
        while !self.directory.has_room(names)? {
            // Most frames are not the last to name something, and the names need not be looked at again.
            loop {
                let Some(gone) = self.log.evict() else { return Ok(()) };
                if self.let_go(gone) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// A frame of that scope left the log; whether a label went with it.
    fn let_go(&mut self, gone: Scope) -> bool {
        matches!(gone, Scope::Label(label) if self.directory.frame_removed(label))
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { len, limit } => {
                write!(f, "the event takes {len} bytes, the limit is {limit}")
            }
            Self::IdTooLong => write!(f, "the event's id is longer than {MAX_EVENT_ID} bytes"),
            Self::Name(error) => error.fmt(f),
            Self::TooLong { limit } => write!(f, "the name is longer than {limit} bytes"),
            Self::UnknownTarget => f.write_str("no client is registered under this id"),
            Self::Full(full) => full.fmt(f),
        }
    }
}

impl core::error::Error for PublishError {}
