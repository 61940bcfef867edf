//! What the application wants of an [`Engine`]: ids, registration, topics, publishing, tasks, and looking around.

use core::fmt;

use super::delivery::{self, Connection, Due, Listed, Phase, Resumes, Walk};
use super::directory::{Full, LabelKind, OfClient, Standing};
use super::log::{Entry, Scope};
use super::notice::{Notice, TaskNotice};
use super::tasks::{TaskError, TaskState};
use super::{CloseReason, Dialect, Engine, GapReason, Greeting, Stale};
use crate::config::Age;
use crate::id::{ClientId, ClientKey, ConnId, EventId, NameError, check_name};
use crate::storage::Storage;
use crate::storage::parts::Text;
use crate::storage::slab::{Link, next};
use crate::time::Instant;
use crate::wire::Encode;

/// A wish to receive events.
#[derive(Clone, Copy, Debug)]
pub struct Registration<'a> {
    /// Who it is for.
    pub id: ClientId<'a>,
    /// The namespace of the id; empty is the default group.
    pub group: &'a str,
    /// Topics to listen to from the start of the stream on, besides those the client listens to already.
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

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// Well, with a result in JSON if it has one.
    Completed(Option<&'a str>),
    /// Badly, and why: text for people.
    Failed(&'a str),
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

/// What the engine knows of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientInfo<'a> {
    /// Its key.
    pub key: ClientKey,
    /// Its id.
    pub id: &'a str,
    /// Its group.
    pub group: &'a str,
    /// Its user name.
    pub user_name: &'a str,
    /// When it registered last.
    pub registered: Instant,
    /// How many connections it has.
    pub connections: u32,
}

/// What the engine knows of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskInfo<'a> {
    /// The task's name.
    pub name: &'a str,
    /// How far it is.
    pub state: TaskState,
    /// JSON of its last progress or its result; for a failure the reason, as text.
    pub detail: Option<&'a str>,
}

impl<S: Storage> Engine<S> {
    /// Reserves an id for `name`: the name, `_`, and a suffix made of `entropy`. No other id that is reserved or registered in
    /// the group is the same.
    ///
    /// # Errors
    ///
    /// [`IdError`]; nothing was reserved.
    pub fn allocate_id(
        &mut self,
        now: Instant,
        group: &str,
        name: &str,
        entropy: &[u8; 32],
    ) -> Result<S::Text, IdError> {
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
            self.config
                .id_form
                .write_suffix(entropy, attempt, &mut out[name.len() + 1..]);
            let Some(id) = core::str::from_utf8(out)
                .ok()
                .and_then(|id| ClientId::new(id).ok())
            else {
                continue;
            };
            if self.directory.find_client(group, id.as_str()).is_some() {
                continue;
            }
            if self.directory.issued >= self.config.limits.issued_ids
                && let Some(oldest) = self.deadlines.oldest_issued()
            {
                self.forget(oldest);
            }
            let text = S::Text::copy_of(id.as_str()).ok_or(IdError::TooLong { limit })?;
            let slot = self
                .directory
                .add_client(group, id, Standing::Issued, self.deadlines.now())
                .map_err(IdError::Full)?;
            self.deadlines.arm_issued(&mut self.directory.clients, slot);
            return Ok(text);
        }
        Err(IdError::Entropy)
    }

    /// Opens a connection for a client, which comes into being if it is not known.
    ///
    /// O(topics asked for × (those and the topics of the client) + tasks of the client).
    ///
    /// # Errors
    ///
    /// [`RegisterError`]; nothing was changed.
    pub fn register(
        &mut self,
        now: Instant,
        registration: &Registration<'_>,
    ) -> Result<Registered, RegisterError> {
        self.deadlines.advance(now);
        let &Registration {
            id,
            group,
            topics,
            resume,
            greeting,
            dialect,
            replace,
            passing,
        } = registration;
        self.check_registration(registration)?;
        let known = self.directory.find_client(group, id.as_str());
        if self.directory.connections.free() == 0 {
            return Err(RegisterError::Full(Full::Connections));
        }
        let open = known.map_or(0, |slot| self.directory.clients.at(slot).connection_count);
        if !replace && open >= self.config.limits.connections_per_client {
            return Err(RegisterError::Full(Full::ConnectionsOfClient));
        }
        self.directory
            .can_listen(known, topics)
            .map_err(RegisterError::Full)?;
        let Start { cursor, gap, shown } = self.start(resume);

        let anybody = self.directory.clients.len() > self.directory.issued;
        let standing = if passing {
            Standing::Passing
        } else {
            Standing::Registered
        };
        let returning =
            known.is_some_and(|slot| self.directory.clients.at(slot).standing != Standing::Issued);
        let slot = match known {
            Some(slot) => {
                self.readmit(slot, standing);
                slot
            }
            None => self
                .directory
                .add_client(group, id, standing, self.deadlines.now())
                .map_err(RegisterError::Full)?,
        };
        if !anybody {
            self.deadlines.anchor_sweeps();
        }
        for topic in topics {
            if let Err(full) = self.directory.listen(slot, topic, cursor) {
                if known.is_none() {
                    self.forget(slot);
                }
                return Err(RegisterError::Full(full));
            }
        }
        if replace {
            self.close_connections(slot, CloseReason::Replaced);
        }
        let client = self.directory.clients.at_mut(slot);
        (client.dialect, client.registered) = (dialect, self.deadlines.now());
        if let Some(sequence) = shown {
            self.tasks.arrived(client, sequence);
        }
        let due = Due {
            greeting: true,
            tasks: client.task_count > 0,
            tasks_sent_too: shown.is_some(),
            gap: gap.is_some(),
            position: true,
            ..Due::default()
        };
        if self.config.age == Age::SinceRegistered {
            self.deadlines
                .arm_dormant(&mut self.directory.clients, slot);
        }
        let connection = Connection {
            client: slot,
            of_client: Link::OUT,
            turn: Link::OUT,
            deadline: self.deadlines.now(),
            phase: Phase::Idle,
            listed: Listed::Nowhere,
            silent: false,
            due,
            notice: None,
            offset: 0,
            cursor,
            until: self.log.last_sequence(),
            told: shown.unwrap_or(0),
            notice_id: None,
            gap: gap.unwrap_or(GapReason::Unknown),
            greeting,
            resumes: Resumes::Nothing,
            dialect,
            farewell_retry: 0,
        };
        let conn = self
            .directory
            .add_connection(slot, connection)
            .map_err(RegisterError::Full)?;
        let came_back = !matches!(resume, Resume::Live | Resume::Earliest | Resume::After(""));
        if greeting == Greeting::Registered && came_back {
            let (found, _) = delivery::walk(&self.directory, &self.log, conn);
            let behind = found == Walk::Found && shown.is_some();
            self.directory.connections.at_mut(conn).resumes = if behind {
                Resumes::Behind
            } else {
                Resumes::CaughtUp
            };
        }
        self.enter(conn, Phase::Ready);
        let conn = self.directory.connection_id(conn);
        Ok(Registered {
            conn,
            client: self.directory.client_key(slot),
            returning,
            gap,
        })
    }

    /// Gives up a client: its id, topics and tasks are forgotten. `end_streams` closes its connections; else they stay open,
    /// silent but for heartbeats, until a sweep finds them.
    ///
    /// # Errors
    ///
    /// [`Stale`] when the client is not registered.
    pub fn unregister(
        &mut self,
        now: Instant,
        client: ClientKey,
        end_streams: bool,
    ) -> Result<(), Stale> {
        self.deadlines.advance(now);
        let slot = self.client(client)?;
        self.give_up(slot, end_streams);
        Ok(())
    }

    /// Gives up every client and every issued id. O(clients).
    pub fn clear(&mut self, now: Instant, end_streams: bool) {
        self.deadlines.advance(now);
        for slot in 0..self.directory.clients.used_slots() {
            if self
                .directory
                .clients
                .get(slot)
                .is_some_and(|client| client.standing != Standing::Detached)
            {
                self.give_up(slot, end_streams);
            }
        }
    }

    /// `client` listens to `topic` from the next event on. True unless it did already.
    ///
    /// # Errors
    ///
    /// [`ListenError`]; nothing was changed.
    pub fn listen(
        &mut self,
        now: Instant,
        client: ClientKey,
        topic: &str,
    ) -> Result<bool, ListenError> {
        self.deadlines.advance(now);
        let slot = self
            .client(client)
            .map_err(|Stale| ListenError::UnknownClient)?;
        check_topic(topic).map_err(ListenError::Topic)?;
        let limit = self.config.limits.topic_bytes;
        if topic.len() > limit as usize {
            return Err(ListenError::TooLong { limit });
        }
        self.directory
            .listen(slot, topic, self.log.last_sequence() + 1)
            .map_err(ListenError::Full)
    }

    /// `client` listens to `topic` no longer; events of it that were not sent yet are not sent. True if it did listen.
    ///
    /// # Errors
    ///
    /// [`Stale`] when the client is not registered.
    pub fn unlisten(
        &mut self,
        now: Instant,
        client: ClientKey,
        topic: &str,
    ) -> Result<bool, Stale> {
        self.deadlines.advance(now);
        let slot = self.client(client)?;
        Ok(self.directory.unlisten(slot, topic))
    }

    /// Publishes `frame` as the next event.
    ///
    /// O(connections it is for), and O(frames that leave the log for it).
    ///
    /// # Errors
    ///
    /// [`PublishError`]; nothing was published.
    pub fn publish(
        &mut self,
        now: Instant,
        target: Target<'_>,
        frame: &impl Encode,
    ) -> Result<EventId, PublishError> {
        self.publish_at(now, self.log.last_sequence() + 1, target, frame)
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
        self.deadlines.advance(now);
        let sequence = sequence.max(self.log.last_sequence() + 1);
        let members = match target {
            Target::Clients(members) => members,
            _ => &[],
        };
        self.check_frame(sequence, frame, members.len())?;
        let scope = self.scope(target)?;
        self.append(sequence, scope, members, frame, false);
        match target {
            Target::All => {
                for slot in 0..self.directory.connections.used_slots() {
                    if self
                        .directory
                        .connections
                        .get(slot)
                        .is_some_and(|connection| !connection.silent)
                    {
                        self.mark(slot, sequence);
                    }
                }
            }
            Target::Connection(conn) => self.mark(conn.slot, sequence),
            Target::Client(client) => self.mark_client(client.slot, sequence),
            Target::Clients(members) => {
                for member in members {
                    if self.client(*member).is_ok() {
                        self.mark_client(member.slot, sequence);
                    }
                }
            }
            Target::Group(_) | Target::Topic(_) | Target::UserName(_) => {
                if let Scope::Label(label) = scope {
                    let mut under = self.directory.under(label);
                    while let Some(client) = under.next(&self.directory) {
                        self.mark_client(client, sequence);
                    }
                }
            }
        }
        Ok(EventId {
            epoch: self.log.epoch(),
            sequence,
        })
    }

    /// Sequence numbers up to `sequence` were given out by whoever orders several engines.
    pub fn observe_sequence(&mut self, sequence: u64) {
        self.log.observe(sequence);
    }

    /// `client` waits for `task` from now on. A task of that name that has ended gives way.
    ///
    /// # Errors
    ///
    /// [`TaskError`]: [`UnknownTask`](TaskError::UnknownTask) stands for a client that is not registered.
    pub fn submit(&mut self, now: Instant, client: ClientKey, task: &str) -> Result<(), TaskError> {
        self.deadlines.advance(now);
        let slot = self
            .client(client)
            .map_err(|Stale| TaskError::UnknownTask)?;
        self.check_task(task)?;
        self.tasks
            .submit(self.directory.clients.at_mut(slot), task)?;
        Ok(())
    }

    /// Forgets a task that was submitted and that nobody took on. True if there was one.
    pub fn withdraw(&mut self, client: ClientKey, task: &str) -> bool {
        let Ok(slot) = self.client(client) else {
            return false;
        };
        let client = self.directory.clients.at_mut(slot);
        self.tasks.withdraw(client, task)
    }

    /// `task` of `client` came along: `progress` is JSON. Kept for [`tasks`](Self::tasks), and told to the client if its dialect has
    /// a word for it.
    ///
    /// # Errors
    ///
    /// [`TaskError`]; nothing was changed.
    pub fn progress_at(
        &mut self,
        now: Instant,
        sequence: u64,
        client: ClientKey,
        task: &str,
        progress: &str,
    ) -> Result<(), TaskError> {
        self.deadlines.advance(now);
        let sequence = sequence.max(self.log.last_sequence() + 1);
        let slot = self
            .client(client)
            .map_err(|Stale| TaskError::UnknownTask)?;
        self.check_detail(progress)?;
        let owner = self.directory.clients.at(slot);
        let found = self.tasks.find(owner, task).ok_or(TaskError::UnknownTask)?;
        if self.tasks.at(found).state.has_ended() {
            return Err(TaskError::AlreadyEnded);
        }
        let detail = S::Value::copy_of(progress).ok_or(TaskError::TooLarge)?;
        let row = self.tasks.at_mut(found);
        (row.state, row.detail) = (TaskState::Progress, Some(detail));
        if owner.dialect == Dialect::Named {
            self.tell(sequence, slot, task, TaskState::Progress, Some(progress));
        }
        Ok(())
    }

    /// `task` ended: every client of the owner's user name in its group is told. The owner's table keeps the completion until
    /// it arrived.
    ///
    /// `owner` is the client that submitted it, or `None` when it lives in another engine; `group` and `user_name` are its.
    /// O(clients of that name).
    ///
    /// # Errors
    ///
    /// [`TaskError`]; nothing was changed.
    #[expect(
        clippy::too_many_arguments,
        reason = "one fact each, and all of them needed"
    )]
    pub fn complete_at(
        &mut self,
        now: Instant,
        sequence: u64,
        owner: Option<ClientKey>,
        group: &str,
        user_name: &str,
        task: &str,
        outcome: Outcome<'_>,
    ) -> Result<(), TaskError> {
        self.deadlines.advance(now);
        let sequence = sequence.max(self.log.last_sequence() + 1);
        let (state, detail) = match outcome {
            Outcome::Completed(result) => (TaskState::Completed, result),
            Outcome::Failed(reason) => (TaskState::Failed, Some(reason)),
        };
        self.check_task(task)?;
        self.check_detail(detail.unwrap_or(""))?;
        if let Some(owner) = owner {
            self.end_task(sequence, owner, task, state, detail)?;
        }
        let label = self.directory.find_label(LabelKind::UserName, user_name);
        let group = self.directory.find_label(LabelKind::Group, group);
        let mut under = label.map(|label| self.directory.under(label));
        while let Some(slot) = under.as_mut().and_then(|under| under.next(&self.directory)) {
            let client = self.directory.clients.at(slot);
            if client.standing != Standing::Issued && Some(client.group) == group {
                self.tell(sequence, slot, task, state, detail);
            }
        }
        self.log.observe(sequence);
        Ok(())
    }

    /// Every connection is told to come back after `min_retry` to `max_retry` milliseconds, spread evenly, and is closed once it
    /// has everything. Nobody can register any more. O(connections).
    pub fn drain(&mut self, now: Instant, min_retry: u32, max_retry: u32) {
        self.deadlines.advance(now);
        self.draining = true;
        let spread = max_retry.saturating_sub(min_retry);
        for slot in 0..self.directory.connections.used_slots() {
            let Some(connection) = self.directory.connections.get(slot) else {
                continue;
            };
            if matches!(connection.phase, Phase::Closing(_)) || connection.due.farewell {
                continue;
            }
            let idle = connection.phase == Phase::Idle;
            // Multiples of the golden ratio spread any number of slots evenly.
            let part = (u64::from(slot.wrapping_mul(0x9E37_79B9)) * (u64::from(spread) + 1)) >> 32;
            let connection = self.directory.connections.at_mut(slot);
            connection.due.farewell = true;
            connection.farewell_retry = min_retry + part as u32;
            if idle {
                self.enter(slot, Phase::Ready);
            }
        }
    }

    /// A sweep happens now: clients that are too old are told by [`poll_output`](Self::poll_output).
    pub fn sweep(&mut self, now: Instant) {
        self.deadlines.advance(now);
        self.deadlines.sweep_now();
    }

    /// The registered client with that id. O(1).
    pub fn find(&self, group: &str, id: &str) -> Option<ClientKey> {
        let key = self
            .directory
            .client_key(self.directory.find_client(group, id)?);
        self.client(key).is_ok().then_some(key)
    }

    /// What is known of a client. O(1).
    pub fn client_info(&self, key: ClientKey) -> Option<ClientInfo<'_>> {
        let client = self.directory.clients.at(self.client(key).ok()?);
        Some(ClientInfo {
            key,
            id: client.id.as_str(),
            group: self.directory.label_text(client.group),
            user_name: self.directory.label_text(client.user_name),
            registered: client.registered,
            connections: client.connection_count,
        })
    }

    /// Whether the key is not stale: the client is registered, or was given up and has connections still. O(1).
    pub fn is_known(&self, key: ClientKey) -> bool {
        self.directory.clients.holds(key.slot, key.generation)
    }

    /// Whose connection `conn` is. O(1).
    ///
    /// # Errors
    ///
    /// [`Stale`] when the connection is gone.
    pub fn client_of(&self, conn: ConnId) -> Result<ClientKey, Stale> {
        let slot = self.connection(conn)?;
        Ok(self
            .directory
            .client_key(self.directory.connections.at(slot).client))
    }

    /// The registered clients, in no particular order that stays.
    pub fn clients(&self) -> impl Iterator<Item = ClientInfo<'_>> {
        self.directory
            .clients
            .iter()
            .filter_map(|(slot, _)| self.client_info(self.directory.client_key(slot)))
    }

    /// The topics a client listens to, in the order it began.
    pub fn topics(&self, client: ClientKey) -> impl Iterator<Item = &str> {
        let client = self
            .client(client)
            .ok()
            .map(|slot| self.directory.clients.at(slot));
        client
            .into_iter()
            .flat_map(|client| self.directory.topics_of(client))
    }

    /// The clients that listen to `topic`, in the order they began.
    pub fn listeners(&self, topic: &str) -> impl Iterator<Item = ClientKey> {
        let label = self.directory.find_label(LabelKind::Topic, topic);
        let mut under = label.map(|label| self.directory.under(label));
        core::iter::from_fn(move || {
            Some(
                self.directory
                    .client_key(under.as_mut()?.next(&self.directory)?),
            )
        })
    }

    /// The open connections of a client, in the order they came.
    pub fn connections(&self, client: ClientKey) -> impl Iterator<Item = ConnId> {
        let mut at = self
            .client(client)
            .ok()
            .and_then(|slot| self.directory.clients.at(slot).connections.first());
        core::iter::from_fn(move || {
            let slot = at?;
            at = next::<OfClient, _, _>(&self.directory.connections, slot);
            Some(self.directory.connection_id(slot))
        })
    }

    /// The tasks of a client, in the order they were submitted.
    pub fn tasks(&self, client: ClientKey) -> impl Iterator<Item = TaskInfo<'_>> {
        let client = self
            .client(client)
            .ok()
            .map(|slot| self.directory.clients.at(slot));
        client
            .into_iter()
            .flat_map(|client| self.tasks.of(client))
            .map(|slot| {
                let task = self.tasks.at(slot);
                TaskInfo {
                    name: task.name.as_str(),
                    state: task.state,
                    detail: task.detail.as_ref().map(Text::as_str),
                }
            })
    }

    fn check_registration(&self, registration: &Registration<'_>) -> Result<(), RegisterError> {
        let limits = &self.config.limits;
        if self.draining {
            return Err(RegisterError::Draining);
        }
        let too_long = |what, text: &str, limit: u32| {
            if text.len() > limit as usize {
                Err(RegisterError::TooLong { what, limit })
            } else {
                Ok(())
            }
        };
        too_long("id", registration.id.as_str(), limits.name_bytes)?;
        too_long("group", registration.group, limits.name_bytes)?;
        if !registration.group.is_empty() {
            check_topic(registration.group).map_err(RegisterError::Group)?;
        }
        for (index, topic) in registration.topics.iter().enumerate() {
            check_topic(topic).map_err(|error| RegisterError::Topic { index, error })?;
            too_long("topic", topic, limits.topic_bytes)?;
        }
        Ok(())
    }

    /// Where a stream starts, and what the client has shown to have.
    fn start(&self, resume: Resume<'_>) -> Start {
        let (last, evicted) = (self.log.last_sequence(), self.log.evicted());
        let from_oldest = |gap, shown| Start {
            cursor: evicted + 1,
            gap,
            shown,
        };
        let id = match resume {
            Resume::Live | Resume::After("") => {
                return Start {
                    cursor: last + 1,
                    gap: None,
                    shown: None,
                };
            }
            Resume::Earliest => return from_oldest(None, None),
            Resume::After(id) => id,
        };
        if let Some(sequence) = self.log.sequence_of(id) {
            return Start {
                cursor: sequence + 1,
                gap: None,
                shown: Some(sequence),
            };
        }
        match EventId::parse(id) {
            Some(id) if id.epoch != self.log.epoch() => from_oldest(Some(GapReason::Epoch), None),
            Some(EventId { sequence, .. }) if sequence > last => {
                from_oldest(Some(GapReason::Unknown), None)
            }
            Some(EventId { sequence, .. }) if sequence < evicted => {
                from_oldest(Some(GapReason::Evicted), Some(sequence))
            }
            Some(EventId { sequence, .. }) => Start {
                cursor: sequence + 1,
                gap: None,
                shown: Some(sequence),
            },
            None => from_oldest(Some(GapReason::Unknown), None),
        }
    }

    /// A known client registers: whatever it was waiting for to expire is off.
    fn readmit(&mut self, slot: u32, standing: Standing) {
        let issued = self.directory.clients.at(slot).standing == Standing::Issued;
        self.deadlines
            .disarm(&mut self.directory.clients, slot, issued);
        let client = self.directory.clients.at_mut(slot);
        if issued || standing == Standing::Registered {
            client.standing = standing;
        }
        self.directory.issued -= u32::from(issued);
    }

    fn give_up(&mut self, slot: u32, end_streams: bool) {
        let client = self.directory.clients.at(slot);
        let issued = client.standing == Standing::Issued;
        if client.connection_count == 0 {
            self.forget(slot);
            return;
        }
        self.deadlines
            .disarm(&mut self.directory.clients, slot, issued);
        self.tasks.clear(self.directory.clients.at_mut(slot));
        self.directory.detach_client(slot);
        self.deadlines
            .arm_dormant(&mut self.directory.clients, slot);
        let mut at = self.directory.clients.at(slot).connections.first();
        while let Some(conn) = at {
            at = next::<OfClient, _, _>(&self.directory.connections, conn);
            self.directory.connections.at_mut(conn).silent = true;
        }
        if end_streams {
            self.close_connections(slot, CloseReason::Unregistered);
        }
    }

    fn close_connections(&mut self, client: u32, reason: CloseReason) {
        let mut at = self.directory.clients.at(client).connections.first();
        while let Some(conn) = at {
            at = next::<OfClient, _, _>(&self.directory.connections, conn);
            if !matches!(self.directory.connections.at(conn).phase, Phase::Closing(_)) {
                self.enter(conn, Phase::Closing(reason));
            }
        }
    }

    fn check_frame(
        &self,
        sequence: u64,
        frame: &impl Encode,
        members: usize,
    ) -> Result<(), PublishError> {
        if frame
            .id()
            .is_some_and(|id| id.as_str().len() > MAX_EVENT_ID)
        {
            return Err(PublishError::IdTooLong);
        }
        let (len, limit) = (
            self.log.frame_len(sequence, frame),
            self.config.limits.frame_bytes as usize,
        );
        if len > limit || !self.log.fits(len, members) {
            return Err(PublishError::TooLarge { len, limit });
        }
        Ok(())
    }

    /// The scope for a target; a label is held for the frame that will name it.
    fn scope(&mut self, target: Target<'_>) -> Result<Scope, PublishError> {
        let limits = &self.config.limits;
        let (kind, text, limit) = match target {
            Target::All => return Ok(Scope::All),
            Target::Client(key) => {
                return self
                    .client(key)
                    .map(|_| Scope::Client(key))
                    .map_err(|Stale| PublishError::UnknownTarget);
            }
            Target::Connection(conn) => {
                return self
                    .connection(conn)
                    .map(|_| Scope::Connection(conn))
                    .map_err(|Stale| PublishError::UnknownTarget);
            }
            Target::Clients(members) => {
                return Ok(Scope::Clients {
                    members: members.len() as u32,
                });
            }
            Target::Group(group) => (LabelKind::Group, group, limits.name_bytes),
            Target::UserName(name) => (LabelKind::UserName, name, limits.name_bytes),
            Target::Topic(topic) => (LabelKind::Topic, topic, limits.topic_bytes),
        };
        match kind {
            LabelKind::Group if text.is_empty() => {}
            LabelKind::UserName => check_name(text).map_err(PublishError::Name)?,
            LabelKind::Group | LabelKind::Topic => check_topic(text).map_err(PublishError::Name)?,
        }
        if text.len() > limit as usize {
            return Err(PublishError::TooLong { limit });
        }
        loop {
            match self.directory.label(kind, text) {
                Ok(label) => {
                    self.directory.frame_added(label);
                    return Ok(Scope::Label(label));
                }
                // Labels that only history knows give way to the present.
                Err(full) if self.directory.history_can_give_way(kind) => match self.log.evict() {
                    Some(entry) => self.let_go(entry),
                    None => return Err(PublishError::Full(full)),
                },
                Err(full) => return Err(PublishError::Full(full)),
            }
        }
    }

    fn append(
        &mut self,
        sequence: u64,
        scope: Scope,
        members: &[ClientKey],
        frame: &impl Encode,
        completes_task: bool,
    ) {
        let len = self.log.frame_len(sequence, frame);
        while let Some(entry) = self.log.make_room(len, members.len()) {
            self.let_go(entry);
        }
        self.log
            .append(sequence, scope, members, frame, completes_task);
    }

    fn let_go(&mut self, entry: Entry) {
        if let Scope::Label(label) = entry.scope {
            self.directory.frame_removed(label);
        }
    }

    fn mark_client(&mut self, client: u32, sequence: u64) {
        let mut at = self.directory.clients.at(client).connections.first();
        while let Some(conn) = at {
            at = next::<OfClient, _, _>(&self.directory.connections, conn);
            self.mark(conn, sequence);
        }
    }

    /// The frame `sequence` is for `conn`.
    fn mark(&mut self, conn: u32, sequence: u64) {
        let connection = self.directory.connections.at_mut(conn);
        if sequence < connection.cursor {
            return;
        }
        if connection.cursor > connection.until {
            connection.cursor = sequence;
        }
        connection.until = sequence;
        if connection.phase == Phase::Idle {
            self.enter(conn, Phase::Ready);
        }
    }

    fn check_task(&self, task: &str) -> Result<(), TaskError> {
        check_name(task).map_err(TaskError::Name)?;
        let limit = self.config.limits.name_bytes;
        if task.len() > limit as usize {
            Err(TaskError::TooLong { limit })
        } else {
            Ok(())
        }
    }

    /// A frame with `detail`, two names and what stands around them must fit; escaping may take six bytes for one.
    fn check_detail(&self, detail: &str) -> Result<(), TaskError> {
        let escaped: usize = detail
            .bytes()
            .map(|byte| {
                if byte < 0x20 || byte == b'"' || byte == b'\\' {
                    6
                } else {
                    1
                }
            })
            .sum();
        let around = 2 * self.config.limits.name_bytes as usize + 160;
        if escaped + around > self.config.limits.frame_bytes as usize {
            Err(TaskError::TooLarge)
        } else {
            Ok(())
        }
    }

    /// Writes the end of a task into its owner's table.
    fn end_task(
        &mut self,
        sequence: u64,
        owner: ClientKey,
        task: &str,
        state: TaskState,
        detail: Option<&str>,
    ) -> Result<(), TaskError> {
        let slot = self.client(owner).map_err(|Stale| TaskError::UnknownTask)?;
        let detail = match detail {
            Some(detail) => Some(S::Value::copy_of(detail).ok_or(TaskError::TooLarge)?),
            None => None,
        };
        let client = self.directory.clients.at_mut(slot);
        let row = match self.tasks.find(client, task) {
            Some(row) if self.tasks.at(row).state.has_ended() => {
                return Err(TaskError::AlreadyEnded);
            }
            Some(row) => row,
            None => self.tasks.submit(client, task)?,
        };
        let row = self.tasks.at_mut(row);
        (row.state, row.detail, row.sequence, row.ended) =
            (state, detail, sequence, self.deadlines.now());
        Ok(())
    }

    /// Appends a frame that tells the client in `slot` of a task.
    fn tell(
        &mut self,
        sequence: u64,
        slot: u32,
        task: &str,
        state: TaskState,
        detail: Option<&str>,
    ) {
        let client = self.directory.clients.at(slot);
        let Some(id) = S::Text::copy_of(client.id.as_str()) else {
            return;
        };
        let notice = Notice::Task(TaskNotice {
            dialect: client.dialect,
            state,
            task,
            client: id.as_str(),
            at: self.deadlines.now(),
            detail,
        });
        let scope = Scope::Client(self.directory.client_key(slot));
        self.append(sequence, scope, &[], &notice, state.has_ended());
        self.mark_client(slot, sequence);
    }
}

/// Where a stream starts.
struct Start {
    cursor: u64,
    gap: Option<GapReason>,
    /// Everything up to here has arrived.
    shown: Option<u64>,
}

/// Checks a topic or a group: not empty, no control character, none of `^ " \`, which system M's payloads cannot carry.
///
/// # Errors
///
/// [`NameError`]: empty, or which character cannot stand in it and where.
pub fn check_topic(topic: &str) -> Result<(), NameError> {
    if topic.is_empty() {
        return Err(NameError::Empty);
    }
    let refused = |character: char| character.is_control() || matches!(character, '^' | '"' | '\\');
    match topic
        .char_indices()
        .find(|&(_, character)| refused(character))
    {
        Some((position, character)) => Err(NameError::Character {
            character,
            position,
        }),
        None => Ok(()),
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the limit {} is reached", self.limit())
    }
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Group(error) => write!(f, "the group: {error}"),
            Self::TooLong { limit } => write!(
                f,
                "the id or the group would be longer than {limit} bytes; take a shorter name"
            ),
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

impl core::error::Error for IdError {}
impl core::error::Error for RegisterError {}
impl core::error::Error for ListenError {}
impl core::error::Error for PublishError {}
