//! What outlives a process: clients and frames, told one by one, and taken in again by another engine of the same epoch.
//!
//! Where they are kept is the caller's business. Ids that nobody registered yet are not kept: who holds one comes back with it. An
//! engine that is restored goes on where the other one stopped: `Last-Event-ID`s mean what they meant. Connections end with their
//! engine, but for those that somebody else holds open: see [`Engine::restore_connection`].
//!
//! ```
//! use sse_proto::wire::Event;
//! use sse_proto::{ClientId, Config, Engine, Epoch, Heap, Instant, Registration, Target};
//!
//! let now = Instant::from_millis(1_000);
//! let mut lost = Engine::<Heap>::new(Config::default(), Epoch(1), [7, 7]).unwrap();
//! lost.register(now, &Registration::new(ClientId::new("bob_1").unwrap())).unwrap();
//! lost.publish(now, Target::All, &Event::data("hello")).unwrap();
//!
//! let mut found = Engine::<Heap>::new(Config::default(), Epoch(1), [8, 8]).unwrap();
//! found.restore_client(now, &lost.kept_client("", "bob_1").unwrap()).unwrap();
//! found.restore_position(lost.evicted(), lost.last_event_id().sequence);
//! for frame in lost.kept_frames(0) {
//!     found.restore_frame(&frame, &[]).unwrap();
//! }
//! found.restored(now);
//! assert_eq!(found.last_event_id(), lost.last_event_id());
//! assert!(found.find("", "bob_1").is_some());
//! ```

use super::delivery::{Connection, Due, Phase, Stream};
use super::directory::{Client, Full, LabelKind, Standing};
use super::log::{Entry, Scope};
use super::publish::{PublishError, Target};
use super::tasks::{TaskError, TaskState};
use super::{Dialect, Engine, ListenError, RegisterError, Stale};
use crate::config::Age;
use crate::id::{ClientId, ClientKey, ConnId};
use crate::storage::Storage;
use crate::storage::parts::Text;
use crate::time::Instant;
use crate::wire::{Encode, IdField, Lines};

/// A client as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptClient<'a> {
    /// Its key in the engine that it was kept from.
    pub key: ClientKey,
    /// Its group.
    pub group: &'a str,
    /// Its id.
    pub id: ClientId<'a>,
    /// How it wants to be told of tasks.
    pub dialect: Dialect,
    /// When it registered last.
    pub registered: Instant,
    /// From when its age counts; `None` while it does not.
    pub since: Option<Instant>,
    /// It is forgotten with its last connection, unless it waits for a task. It need not be kept where connections are not.
    pub passing: bool,
}

/// A task as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptTask<'a> {
    /// Its name.
    pub name: &'a str,
    /// How far it is.
    pub state: TaskState,
    /// What was told of it last.
    pub detail: Option<&'a str>,
    /// The sequence number of its completion; 0 before.
    pub sequence: u64,
    /// When it ended.
    pub ended: Instant,
    /// Its completion was handed to a connection whole.
    pub sent: bool,
}

/// A frame of the log as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptFrame<'a> {
    /// Its sequence number. Several frames may share one, and are kept together.
    pub sequence: u64,
    /// Who it is for.
    pub audience: Audience<'a>,
    /// The id that the application gave it.
    pub id: Option<IdField<'a>>,
    /// The lines of the frame but for the one with its id.
    pub lines: Lines<'a>,
    /// It tells a client that a task of its ended.
    pub completes_task: bool,
}

/// Who a kept frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience<'a> {
    /// Every client.
    All,
    /// A group.
    Group(&'a str),
    /// Who listens to a topic.
    Topic(&'a str),
    /// A user name.
    UserName(&'a str),
    /// One client.
    Client(ClientKey),
    /// Those that [`Engine::kept_members`] tells.
    Clients,
}

impl<S: Storage> Engine<S> {
    /// A registered client, to be kept. O(1).
    pub fn kept_client(&self, group: &str, id: &str) -> Option<KeptClient<'_>> {
        let key = self.find(group, id)?;
        let &Client { standing, dialect, .. } = self.directory.clients.at(key.slot);
        let client = self.directory.profiles.at(key.slot);
        Some(KeptClient {
            key,
            group: self.directory.label_text(client.group),
            id: ClientId::new(self.directory.id_of(key.slot)).ok()?,
            dialect,
            registered: client.registered,
            since: self.deadlines.dormant_since(key.slot),
            passing: standing == Standing::Passing,
        })
    }

    /// The topics of a client, and the first sequence number that it listens to each from, in the order it began.
    pub fn kept_topics(&self, client: ClientKey) -> impl Iterator<Item = (&str, u64)> {
        let client = self.client(client).ok().map(|slot| self.directory.profiles.at(slot));
        client.into_iter().flat_map(|client| self.directory.subscriptions_of(client))
    }

    /// The tasks of a client, in the order they were submitted.
    pub fn kept_tasks(&self, client: ClientKey) -> impl Iterator<Item = KeptTask<'_>> {
        let client = self.client(client).ok().map(|slot| self.directory.profiles.at(slot));
        client.into_iter().flat_map(|client| self.tasks.of(client)).map(|slot| {
            let task = self.tasks.at(slot);
            KeptTask {
                name: task.name.as_str(),
                state: task.state,
                detail: task.detail(),
                sequence: task.sequence,
                ended: task.ended,
                sent: task.sent,
            }
        })
    }

    /// The frames with a sequence number above `after`, oldest first. Those for a single connection are not told: they are not for
    /// who comes back.
    pub fn kept_frames(&self, after: u64) -> impl Iterator<Item = KeptFrame<'_>> {
        let first = self.log.locate(after.saturating_add(1));
        (first..self.log.len()).filter_map(|index| {
            let entry = self.log.entry(index)?;
            let audience = match entry.scope {
                Scope::All => Audience::All,
                Scope::Label(label) => {
                    let (kind, text) = self.directory.label_at(label);
                    match kind {
                        LabelKind::Group => Audience::Group(text),
                        LabelKind::Topic => Audience::Topic(text),
                        LabelKind::UserName => Audience::UserName(text),
                    }
                }
                Scope::Client(key) => Audience::Client(key),
                Scope::Clients { .. } => Audience::Clients,
                Scope::Connection(_) => return None,
            };
            let (id, lines) = self.log.parts(entry);
            let id = id.and_then(|id| IdField::new(core::str::from_utf8(id).ok()?).ok());
            let lines = Lines::encoded(lines);
            Some(KeptFrame { sequence: entry.sequence, audience, id, lines, completes_task: entry.completes_task })
        })
    }

    /// The clients in the list of the frame with that sequence number.
    pub fn kept_members(&self, sequence: u64) -> impl Iterator<Item = ClientKey> {
        let entry = self.log.entry(self.log.locate(sequence)).filter(|entry| entry.sequence == sequence);
        entry.into_iter().flat_map(|entry| self.log.members(entry))
    }

    /// The highest sequence number whose frame has left the log; 0 when none has.
    pub fn evicted(&self) -> u64 {
        self.log.evicted()
    }

    /// Takes in an id that was [allocated](Self::allocate_id) at `issued` and not registered since; one that is known here stays as it
    /// is. Ids are restored oldest first, and before clients.
    ///
    /// # Errors
    ///
    /// [`RegisterError`]; nothing was changed, but for the oldest that gave way.
    pub fn restore_id(&mut self, issued: Instant, group: &str, id: ClientId<'_>) -> Result<(), RegisterError> {
        self.deadlines.advance(issued);
        self.check_client(group, id)?;
        if self.directory.find_client(group, id.as_str()).is_some() {
            return Ok(());
        }
        self.issue(group, id).map_err(RegisterError::Full)
    }

    /// Takes in a client; one that is known here stays as it is. Clients are restored in the order of `since`, those without one
    /// last.
    ///
    /// # Errors
    ///
    /// [`RegisterError`]; nothing was changed.
    pub fn restore_client(&mut self, now: Instant, kept: &KeptClient<'_>) -> Result<ClientKey, RegisterError> {
        self.deadlines.advance(now);
        if let Some(key) = self.find(kept.group, kept.id.as_str()) {
            return Ok(key);
        }
        self.check_client(kept.group, kept.id)?;
        // One that is only reserved here has a place for it.
        if let Some(issued) = self.directory.find_client(kept.group, kept.id.as_str()) {
            self.forget(issued);
        }
        let standing = if kept.passing { Standing::Passing } else { Standing::Registered };
        let slot = self.add_client(kept.group, kept.id, standing, &[]).map_err(RegisterError::Full)?;
        self.directory.clients.at_mut(slot).dialect = kept.dialect;
        self.directory.profiles.at_mut(slot).registered = kept.registered;
        // It may have been kept under another configuration. Of one that passes, the time since it left counts only once it stays.
        if !kept.passing || self.config.age == Age::SinceRegistered {
            self.deadlines.arm_dormant_since(slot, kept.since.unwrap_or(self.deadlines.now()));
        }
        Ok(self.directory.client_key(slot))
    }

    /// A client that was restored listens to `topic` for sequence numbers from `from` on.
    ///
    /// # Errors
    ///
    /// [`ListenError`]; nothing was changed.
    pub fn restore_topic(&mut self, client: ClientKey, topic: &str, from: u64) -> Result<(), ListenError> {
        self.listen_from(client, topic, from).map(drop)
    }

    /// A client that was restored waits for a task.
    ///
    /// # Errors
    ///
    /// [`TaskError`]; nothing was changed. [`AlreadyEnded`](TaskError::AlreadyEnded) stands for a completion whose number another has,
    /// [`Full::Sequence`] for one whose number none can have: 0, or the highest.
    pub fn restore_task(&mut self, client: ClientKey, kept: &KeptTask<'_>) -> Result<(), TaskError> {
        let slot = self.client(client).map_err(|Stale| TaskError::UnknownTask)?;
        self.check_task(kept.name)?;
        self.check_detail(kept.detail.unwrap_or(""))?;
        let client = self.directory.profiles.at_mut(slot);
        let has_ended = kept.state.has_ended();
        let sequence = if has_ended { kept.sequence } else { 0 };
        // A completion is known by its number while it is being sent.
        if has_ended && matches!(sequence, 0 | u64::MAX) {
            return Err(TaskError::Full(Full::Sequence));
        }
        if has_ended && self.tasks.completion_at(client, sequence).is_some() {
            return Err(TaskError::AlreadyEnded);
        }
        let replaced = self.tasks.replaced(client, kept.name)?;
        let detail = kept.detail.map(|detail| self.tasks.copy_detail(replaced, detail)).transpose()?;
        let row = self.tasks.submit(client, kept.name)?;
        self.tasks.set_state(row, kept.state, detail);
        let row = self.tasks.at_mut(row);
        (row.sequence, row.ended, row.sent) = (sequence, kept.ended, kept.sent && has_ended);
        self.log.observe(sequence);
        Ok(())
    }

    /// Where an empty log goes on: sequence numbers up to `last` were given out, and frames up to `evicted`, which is no higher, had left.
    pub fn restore_position(&mut self, evicted: u64, last: u64) {
        self.log.observe(last);
        self.log.restore_position(evicted);
    }

    /// Takes in a frame, oldest first; one that had left is passed over. `members` are those it lists, by their keys here, as is the
    /// client it is for. O(frames with its number), and O(frames that leave the log for it).
    ///
    /// # Errors
    ///
    /// [`PublishError`]; nothing was changed. [`Full::Sequence`] stands for a number that is not higher than all before it, too: only
    /// frames to single clients share one, each to a client of its own.
    pub fn restore_frame(&mut self, kept: &KeptFrame<'_>, members: &[ClientKey]) -> Result<(), PublishError> {
        let target = match kept.audience {
            Audience::All => Target::All,
            Audience::Group(group) => Target::Group(group),
            Audience::Topic(topic) => Target::Topic(topic),
            Audience::UserName(name) => Target::UserName(name),
            Audience::Client(client) => Target::Client(client),
            Audience::Clients => Target::Clients(members),
        };
        // Not at that number itself: frames may share it, and some of them have not left.
        if kept.sequence < self.log.evicted() {
            return Ok(());
        }
        let shares = |entry: &Entry| match (entry.scope, target) {
            (Scope::Client(one), Target::Client(other)) => entry.sequence == kept.sequence && one != other,
            _ => false,
        };
        let mut not_before = self.log.locate(kept.sequence)..self.log.len();
        if matches!(kept.sequence, 0 | u64::MAX) || !not_before.all(|index| self.log.entry(index).is_none_or(shares)) {
            return Err(PublishError::Full(Full::Sequence));
        }
        let room = self.check_frame(kept.sequence, kept, members.len())?;
        let scope = self.scope(target)?;
        self.append(kept.sequence, scope, members, kept, room, kept.completes_task);
        Ok(())
    }

    /// Takes in a connection of a client that was restored, after all frames: it goes on with the next event. It must have been
    /// [caught up](Self::is_caught_up); of one that was not, nobody knows what its peer has, and it is to be ended instead. `None`
    /// when the client is not registered, or there are as many connections as may be, of all or of the client. O(1).
    pub fn restore_connection(&mut self, now: Instant, client: ClientKey, dialect: Dialect) -> Option<ConnId> {
        self.deadlines.advance(now);
        let slot = self.client(client).ok()?;
        if self.directory.profiles.at(slot).connection_count >= self.config.limits.connections_per_client {
            return None;
        }
        let farewell = self.draining.is_some();
        let stream = Stream { due: Due::NOTHING.with(Due::FAREWELL, farewell), ..Stream::new(slot, dialect) };
        let conn = self.add_connection(Connection::new(self.log.last_sequence()), stream).ok()?;
        if self.config.age == Age::SinceLeft {
            self.deadlines.disarm(slot, self.directory.clients.at(slot).standing);
        }
        self.enter(conn, if farewell { Phase::Ready } else { Phase::Idle });
        Some(self.directory.connection_id(conn))
    }

    /// Everything was taken in: passing clients whose connections were not go. O(the most clients there were at once).
    pub fn restored(&mut self, now: Instant) {
        self.deadlines.advance(now);
        for slot in 0..self.directory.clients.used_slots() {
            let client = self.directory.clients.get(slot);
            if client.is_some_and(|client| client.standing == Standing::Passing && client.connections.is_empty()) {
                self.lost_last(slot);
            }
        }
    }
}

impl Encode for KeptFrame<'_> {
    fn id(&self) -> Option<IdField<'_>> {
        self.id
    }

    fn body_len(&self) -> usize {
        self.lines.as_bytes().len() + 1
    }

    fn encode_body(&self, out: &mut [u8]) -> usize {
        let kept = self.lines.as_bytes();
        if let Some((lines, [end, ..])) = out.split_at_mut_checked(kept.len()) {
            lines.copy_from_slice(kept);
            *end = b'\n';
        }
        self.body_len()
    }
}
