//! The naive model of the engine.
//!
//! Maps and vectors, everything searched from the front. Every connection has a queue of the whole frames it is to get; history
//! is kept for ever, and a plain list of byte ranges says how much of it a log of the configured size still holds. No cursor is
//! compared with a log, nothing is threaded through anything, and frames are put together with `format!`.

use std::collections::{BTreeMap, BTreeSet};

use sse_proto::wire::{Encode, Event};
use sse_proto::{
    Age, ClientKey, CloseReason, Config, ConnId, Dialect, Epoch, EventId, Full, GapReason,
    Greeting, IdError, Left, ListenError, MAX_EVENT_ID, Outcome, Output, Overrun, PublishError,
    RegisterError, Registration, Resume, Stale, Target, TaskError, TaskState, Usage, check_name,
    check_topic,
};

/// What the engine should be, by the book.
#[derive(Debug)]
pub struct Model {
    config: Config,
    epoch: Epoch,
    /// The latest time that was told.
    now: u64,
    /// Orders what happens at one time.
    turns: u64,
    last_sequence: u64,
    /// The highest sequence number that left the log.
    evicted: u64,
    /// Every frame there ever was.
    history: Vec<Frame>,
    /// Frames before this index left the log.
    kept_from: usize,
    /// Issued ids, registered clients and those that were given up but have streams, in the order they came.
    clients: Vec<Client>,
    connections: BTreeMap<ConnId, Connection>,
    sweep_anchor: u64,
    last_sweep: u64,
    draining: bool,
}

/// What a label is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Group,
    UserName,
    Topic,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    All,
    Label(Kind, String),
    Client(ClientKey),
    Connection(ConnId),
    Clients(Vec<ClientKey>),
}

#[derive(Clone, Debug)]
struct Frame {
    sequence: u64,
    scope: Scope,
    bytes: Vec<u8>,
    own_id: Option<String>,
    ends_task: bool,
    /// Where it stands in a log of bytes, its list of clients included.
    place: std::ops::Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Issued,
    Registered,
    Passing,
    Detached,
}

#[derive(Debug)]
struct Client {
    /// Known from the first registration on.
    key: Option<ClientKey>,
    id: String,
    group: String,
    name: String,
    standing: Standing,
    dialect: Dialect,
    since: u64,
    registered: u64,
    topics: Vec<Subscription>,
    tasks: Vec<Task>,
    connections: Vec<ConnId>,
    /// Since when it may be swept, and its turn.
    dormant: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Subscription {
    topic: String,
    from: u64,
    turn: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Task {
    name: String,
    state: TaskState,
    detail: Option<String>,
    sequence: u64,
    ended: u64,
    sent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Ready,
    Writing,
    Closing(CloseReason),
}

#[derive(Debug)]
struct Connection {
    client: ClientKey,
    dialect: Dialect,
    greeting_form: Greeting,
    phase: Phase,
    since: u64,
    turn: u64,
    silent: bool,
    /// What it is to get: an index into history, and whether it still is to get it.
    queue: BTreeMap<usize, bool>,
    /// Everything before this sequence number is done with.
    position: u64,
    /// Up to here there may be something for it.
    until: u64,
    greeting: bool,
    owes_position: bool,
    gap: Option<GapReason>,
    report_gap: Option<GapReason>,
    completions: bool,
    completions_sent_too: bool,
    told: u64,
    heartbeat: bool,
    farewell: Option<(u32, u32)>,
    sending: Option<Sending>,
    /// In the notice, or else in the frame at the front of the queue.
    offset: usize,
}

#[derive(Clone, Debug)]
struct Sending {
    notice: Notice,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notice {
    Greeting,
    Gap,
    Completion(u64),
    Position,
    Heartbeat,
    Farewell,
}

/// What a connection should be given next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A notice: all of this, in one slice.
    Notice(Vec<u8>),
    /// Whole frames, but for the first, which may have been begun. Some of them suffice.
    Frames(Vec<Vec<u8>>),
    /// A farewell to be written, with a reconnection time in this range.
    Farewell(u32, u32),
    /// Nothing now.
    Nothing,
}

/// A client as the engine should describe it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the fields are those of `ClientInfo`")]
pub struct Known {
    pub key: ClientKey,
    pub id: String,
    pub group: String,
    pub user_name: String,
    pub registered: u64,
    pub connections: Vec<ConnId>,
    pub topics: Vec<String>,
    pub tasks: Vec<(String, &'static str, Option<String>)>,
}

/// How many frames one look at the log passes.
const WALK: usize = 512;

impl Model {
    /// An empty hub.
    pub fn new(config: Config, epoch: Epoch) -> Self {
        Self {
            config,
            epoch,
            now: 0,
            turns: 0,
            last_sequence: 0,
            evicted: 0,
            history: Vec::new(),
            kept_from: 0,
            clients: Vec::new(),
            connections: BTreeMap::new(),
            sweep_anchor: 0,
            last_sweep: 0,
            draining: false,
        }
    }

    /// The latest time that was told.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// It is `now`, unless it is later.
    pub fn time(&mut self, now: u64) {
        self.now = self.now.max(now);
        let every = millis(self.config.sweep_every);
        let since_anchor = self.now - self.sweep_anchor.min(self.now);
        let sweeps = since_anchor.checked_div(every).map(|count| count * every);
        let last = self.sweep_anchor + sweeps.unwrap_or(since_anchor);
        self.last_sweep = self.last_sweep.max(last);
    }

    /// What `poll_output` should return.
    pub fn poll(&mut self) -> Option<Output<Box<str>>> {
        let first = |wanted: fn(Phase) -> bool| {
            let of_phase = self.connections.iter().filter(|(_, c)| wanted(c.phase));
            of_phase
                .min_by_key(|(_, c)| c.turn)
                .map(|(conn, c)| (*conn, c.since))
        };
        let due = |(conn, since): (ConnId, u64), after: Option<std::time::Duration>| {
            (since + millis(after?) <= self.now).then_some(conn)
        };
        if let Some((conn, _)) = first(|phase| matches!(phase, Phase::Ready | Phase::Closing(_))) {
            let connection = self.connection(conn);
            if let Phase::Closing(reason) = connection.phase {
                return Some(self.close(conn, reason));
            }
            if let Some(reason) = connection.report_gap.take() {
                return Some(Output::Gap { conn, reason });
            }
            self.enter(conn, Phase::Writing);
            return Some(Output::Write(conn));
        }
        if let Some(conn) = first(|phase| phase == Phase::Writing)
            .and_then(|first| due(first, self.config.write_stall))
        {
            return Some(self.close(conn, CloseReason::Stalled));
        }
        if let Some(conn) =
            first(|phase| phase == Phase::Idle).and_then(|first| due(first, self.config.heartbeat))
        {
            self.connection(conn).heartbeat = true;
            self.enter(conn, Phase::Writing);
            return Some(Output::Write(conn));
        }
        let unused = self.clients.iter().position(|client| {
            client.standing == Standing::Issued
                && client.since + millis(self.config.issued_id_ttl) <= self.now
        });
        if let Some(at) = unused {
            let id = self.clients.remove(at).id.into();
            return Some(Output::Unused { id });
        }
        let dormant = (0..self.clients.len())
            .filter_map(|at| Some((self.clients[at].dormant?, at)))
            .min_by_key(|((_, turn), _)| *turn);
        let ((since, _), at) = dormant?;
        if self.swept_at(since) > self.now {
            return None;
        }
        if let Some(&conn) = self.clients[at].connections.first() {
            return Some(self.close(conn, CloseReason::Expired));
        }
        let client = self.clients.remove(at);
        Some(Output::Expired {
            client: client.key.expect("it was registered"),
            id: client.id.into(),
        })
    }

    /// What `poll_timeout` should return; anything up to [`now`](Self::now) when it should not be later.
    pub fn timeout(&self) -> Option<u64> {
        let connections = self.connections.values().filter_map(|c| match c.phase {
            Phase::Ready | Phase::Closing(_) => Some(self.now),
            Phase::Idle => Some(c.since + millis(self.config.heartbeat?)),
            Phase::Writing => Some(c.since + millis(self.config.write_stall?)),
        });
        let issued = self
            .clients
            .iter()
            .filter(|client| client.standing == Standing::Issued)
            .map(|client| client.since + millis(self.config.issued_id_ttl));
        let dormant = self
            .clients
            .iter()
            .filter_map(|client| Some(self.swept_at(client.dormant?.0)));
        connections.chain(issued).chain(dormant).min()
    }

    /// What `usage` should return.
    pub fn usage(&self) -> Usage {
        let labels = self.labels();
        let count = |wanted| labels.iter().filter(|(kind, _)| *kind == wanted).count() as u32;
        Usage {
            connections: self.connections.len() as u32,
            clients: self.clients.len() as u32,
            issued_ids: self.issued() as u32,
            groups: count(Kind::Group),
            topics: count(Kind::Topic),
            tasks: self.tasks() as u32,
            log_entries: self.kept().len() as u32,
        }
    }

    /// The number of the newest event.
    pub fn last_event_id(&self) -> EventId {
        EventId {
            epoch: self.epoch,
            sequence: self.last_sequence,
        }
    }

    /// The registered clients, sorted.
    pub fn known(&self) -> Vec<Known> {
        let mut known: Vec<_> = self
            .clients
            .iter()
            .filter(|client| client.is_registered())
            .map(|client| Known {
                key: client.key.expect("it is registered"),
                id: client.id.clone(),
                group: client.group.clone(),
                user_name: client.name.clone(),
                registered: client.registered,
                connections: client.connections.clone(),
                topics: client.topics.iter().map(|s| s.topic.clone()).collect(),
                tasks: client
                    .tasks
                    .iter()
                    .map(|task| (task.name.clone(), task.state.name(), task.detail.clone()))
                    .collect(),
            })
            .collect();
        known.sort();
        known
    }

    /// The open connections.
    pub fn open(&self) -> Vec<ConnId> {
        self.connections.keys().copied().collect()
    }

    /// Ids that are issued.
    pub fn issued_ids(&self) -> Vec<(String, String)> {
        self.clients
            .iter()
            .filter(|client| client.standing == Standing::Issued)
            .map(|client| (client.group.clone(), client.id.clone()))
            .collect()
    }

    /// The listeners of a topic, in the order they began.
    pub fn listeners(&self, topic: &str) -> Vec<ClientKey> {
        let mut listeners: Vec<_> = self
            .clients
            .iter()
            .filter_map(|client| {
                let turn = client.topics.iter().find(|s| s.topic == topic)?.turn;
                Some((turn, client.key?))
            })
            .collect();
        listeners.sort();
        listeners.into_iter().map(|(_, key)| key).collect()
    }

    /// Whether a connection was sent all it is to get.
    pub fn is_idle(&self, conn: ConnId) -> bool {
        self.connections[&conn].phase == Phase::Idle
    }

    // ---- ids and registration

    /// Whether an id may be allocated. `taken` tells how many ids in a row exist already.
    pub fn allocate(&mut self, now: u64, group: &str, name: &str) -> Result<(), IdError> {
        self.time(now);
        check_name(name).map_err(IdError::Name)?;
        if !group.is_empty() {
            check_topic(group).map_err(IdError::Group)?;
        }
        let limit = self.config.limits.name_bytes;
        let len = name.len() + 1 + self.config.id_form.suffix_len();
        if len.max(group.len()) > limit as usize {
            return Err(IdError::TooLong { limit });
        }
        if self.issued() as u32 >= self.config.limits.issued_ids {
            let oldest = self
                .clients
                .iter()
                .position(|c| c.standing == Standing::Issued);
            self.clients.remove(oldest.expect("one is issued"));
        }
        self.room_for_client(group, name).map_err(IdError::Full)
    }

    /// An id was allocated.
    pub fn allocated(&mut self, group: &str, id: &str) {
        let taken = |c: &Client| c.standing != Standing::Detached && c.group == group && c.id == id;
        assert!(!self.clients.iter().any(taken), "{id} exists already");
        self.add_client(group, id, Standing::Issued);
    }

    /// Whether a registration should succeed.
    pub fn can_register(&mut self, now: u64, wish: &Registration<'_>) -> Result<(), RegisterError> {
        self.time(now);
        let limits = self.config.limits;
        if self.draining {
            return Err(RegisterError::Draining);
        }
        let short = |what, text: &str, limit: u32| {
            let fits = text.len() <= limit as usize;
            fits.then_some(())
                .ok_or(RegisterError::TooLong { what, limit })
        };
        short("id", wish.id.as_str(), limits.name_bytes)?;
        short("group", wish.group, limits.name_bytes)?;
        if !wish.group.is_empty() {
            check_topic(wish.group).map_err(RegisterError::Group)?;
        }
        for (index, topic) in wish.topics.iter().enumerate() {
            check_topic(topic).map_err(|error| RegisterError::Topic { index, error })?;
            short("topic", topic, limits.topic_bytes)?;
        }
        let full = RegisterError::Full;
        if self.connections.len() as u32 >= limits.connections {
            return Err(full(Full::Connections));
        }
        let known = self.by_id(wish.group, wish.id.as_str());
        let has = known.map_or(0, |client| client.connections.len());
        if !wish.replace && has as u32 >= limits.connections_per_client {
            return Err(full(Full::ConnectionsOfClient));
        }
        let mut labels = self.labels();
        let (listens, wanted): (BTreeSet<&str>, BTreeSet<&str>) = (
            known
                .into_iter()
                .flat_map(|c| c.topics.iter().map(|s| s.topic.as_str()))
                .collect(),
            wish.topics.iter().copied().collect(),
        );
        let more = wanted.difference(&listens).count();
        if listens.len() + more > limits.topics_per_client as usize
            || self.subscriptions() + more > limits.subscriptions as usize
        {
            return Err(full(Full::Subscriptions));
        }
        let new_topics = wanted
            .iter()
            .filter(|topic| !labels.contains(&(Kind::Topic, topic.to_string())))
            .count();
        let topics = labels
            .iter()
            .filter(|(kind, _)| *kind == Kind::Topic)
            .count();
        if topics + new_topics > limits.topics as usize
            || labels.len() + new_topics > self.label_limit()
        {
            return Err(full(Full::Topics));
        }
        if known.is_none() {
            self.room_for_client(wish.group, wish.id.user_name())
                .map_err(full)?;
            labels.insert((Kind::Group, wish.group.into()));
            labels.insert((Kind::UserName, wish.id.user_name().into()));
            if labels.len() + new_topics > self.label_limit() {
                return Err(full(Full::Topics));
            }
        }
        Ok(())
    }

    /// The engine registered, and gave these ids. Returns what else it should have said: `returning` and `gap`.
    pub fn registered(
        &mut self,
        wish: &Registration<'_>,
        conn: ConnId,
        key: ClientKey,
    ) -> (bool, Option<GapReason>) {
        let (position, gap, shown) = self.start(wish.resume);
        let anybody = self.clients.iter().any(|c| c.standing != Standing::Issued);
        let standing = if wish.passing {
            Standing::Passing
        } else {
            Standing::Registered
        };
        let known = self.by_id(wish.group, wish.id.as_str()).is_some();
        let at = match known {
            true => self
                .clients
                .iter()
                .position(|c| {
                    c.standing != Standing::Detached
                        && c.group == wish.group
                        && c.id == wish.id.as_str()
                })
                .expect("it is known"),
            false => self.add_client(wish.group, wish.id.as_str(), standing),
        };
        if !anybody {
            self.sweep_anchor = self.now;
        }
        let now = self.now;
        let turn = self.turn();
        let client = &mut self.clients[at];
        let returning = known && client.standing != Standing::Issued;
        if client.standing == Standing::Issued || standing == Standing::Registered {
            client.standing = standing;
        }
        match client.key {
            None => client.key = Some(key),
            Some(known) => assert_eq!(known, key, "a client has one key"),
        }
        (client.dialect, client.registered) = (wish.dialect, now);
        client.dormant = (self.config.age == Age::SinceRegistered).then_some((now, turn));
        if let Some(shown) = shown {
            client
                .tasks
                .retain(|task| !task.has_ended() || task.sequence > shown);
        }
        let completions = !client.tasks.is_empty();
        let others = client.connections.clone();
        for topic in wish.topics {
            self.subscribe(at, topic, position);
        }
        for &other in &others {
            if wish.replace && !matches!(self.connection(other).phase, Phase::Closing(_)) {
                self.enter(other, Phase::Closing(CloseReason::Replaced));
            }
            self.look_back(other, wish.topics, position);
        }
        let queue = (self.kept_from..self.history.len())
            .filter(|&index| {
                let frame = &self.history[index];
                frame.sequence >= position && self.matches(frame, key, conn)
            })
            .map(|index| (index, true))
            .collect();
        let connection = Connection {
            client: key,
            dialect: wish.dialect,
            greeting_form: wish.greeting,
            phase: Phase::Ready,
            since: now,
            turn: 0,
            silent: false,
            queue,
            position,
            until: self.last_sequence,
            greeting: true,
            owes_position: true,
            gap,
            report_gap: None,
            completions,
            completions_sent_too: shown.is_some(),
            told: shown.unwrap_or(0),
            heartbeat: false,
            farewell: None,
            sending: None,
            offset: 0,
        };
        let before = self.connections.insert(conn, connection);
        assert!(before.is_none(), "{conn:?} is in use");
        self.enter(conn, Phase::Ready);
        self.clients[at].connections.push(conn);
        (returning, gap)
    }

    /// The client is given up.
    pub fn unregister(&mut self, now: u64, key: ClientKey, end_streams: bool) -> Result<(), Stale> {
        self.time(now);
        let at = self.client(key).ok_or(Stale)?;
        self.give_up(at, end_streams);
        Ok(())
    }

    /// Every client and issued id is given up.
    pub fn clear(&mut self, now: u64, end_streams: bool) {
        self.time(now);
        self.clients.retain(|c| c.standing != Standing::Issued);
        let mut keys: Vec<_> = self
            .clients
            .iter()
            .filter(|c| c.standing != Standing::Detached)
            .filter_map(|c| c.key)
            .collect();
        keys.sort_by_key(|key| key.slot());
        for key in keys {
            let at = self.client(key).expect("it is registered");
            self.give_up(at, end_streams);
        }
    }

    /// The peer of a connection is gone.
    pub fn disconnect(&mut self, now: u64, conn: ConnId) -> Result<Left, Stale> {
        self.time(now);
        if !self.connections.contains_key(&conn) {
            return Err(Stale);
        }
        Ok(self.leave(conn))
    }

    // ---- topics and events

    /// A client listens.
    pub fn listen(&mut self, now: u64, key: ClientKey, topic: &str) -> Result<bool, ListenError> {
        self.time(now);
        let at = self.client(key).ok_or(ListenError::UnknownClient)?;
        check_topic(topic).map_err(ListenError::Topic)?;
        let limits = self.config.limits;
        if topic.len() > limits.topic_bytes as usize {
            return Err(ListenError::TooLong {
                limit: limits.topic_bytes,
            });
        }
        if self.clients[at].topics.iter().any(|s| s.topic == topic) {
            return Ok(false);
        }
        if self.clients[at].topics.len() >= limits.topics_per_client as usize
            || self.subscriptions() >= limits.subscriptions as usize
        {
            return Err(ListenError::Full(Full::Subscriptions));
        }
        self.room_for_label(Kind::Topic, topic)
            .map_err(ListenError::Full)?;
        self.subscribe(at, topic, self.last_sequence + 1);
        Ok(true)
    }

    /// A client listens no longer.
    pub fn unlisten(&mut self, now: u64, key: ClientKey, topic: &str) -> Result<bool, Stale> {
        self.time(now);
        let at = self.client(key).ok_or(Stale)?;
        let client = &mut self.clients[at];
        let before = client.topics.len();
        client.topics.retain(|s| s.topic != topic);
        let did = client.topics.len() < before;
        for conn in client.connections.clone() {
            self.take_back(conn, |frame| {
                frame.scope == Scope::Label(Kind::Topic, topic.into())
            });
        }
        Ok(did)
    }

    /// An event is published under `sequence` or, when that was given out, the next one.
    pub fn publish(
        &mut self,
        now: u64,
        sequence: u64,
        target: Target<'_>,
        event: &Event<'_>,
    ) -> Result<EventId, PublishError> {
        self.time(now);
        let sequence = sequence.max(self.last_sequence + 1);
        let limits = self.config.limits;
        let own_id = event.id.map(|id| id.as_str().to_owned());
        if own_id.as_ref().is_some_and(|id| id.len() > MAX_EVENT_ID) {
            return Err(PublishError::IdTooLong);
        }
        let members = match target {
            Target::Clients(members) => members,
            _ => &[],
        };
        let bytes = self.encode(sequence, event);
        let (len, limit) = (bytes.len(), limits.frame_bytes as usize);
        if len > limit || len + 8 * members.len() > limits.log_bytes as usize {
            return Err(PublishError::TooLarge { len, limit });
        }
        let label = |kind, text: &str, limit: u32| {
            match kind {
                Kind::Group if text.is_empty() => {}
                Kind::UserName => check_name(text).map_err(PublishError::Name)?,
                Kind::Group | Kind::Topic => check_topic(text).map_err(PublishError::Name)?,
            }
            if text.len() > limit as usize {
                return Err(PublishError::TooLong { limit });
            }
            Ok(Scope::Label(kind, text.into()))
        };
        let scope = match target {
            Target::All => Scope::All,
            Target::Client(key) => {
                self.client(key).ok_or(PublishError::UnknownTarget)?;
                Scope::Client(key)
            }
            Target::Connection(conn) => {
                let open = self.connections.contains_key(&conn);
                open.then_some(Scope::Connection(conn))
                    .ok_or(PublishError::UnknownTarget)?
            }
            Target::Clients(members) => Scope::Clients(members.to_vec()),
            Target::Group(group) => label(Kind::Group, group, limits.name_bytes)?,
            Target::UserName(name) => label(Kind::UserName, name, limits.name_bytes)?,
            Target::Topic(topic) => label(Kind::Topic, topic, limits.topic_bytes)?,
        };
        if let Scope::Label(kind, text) = &scope {
            let (kind, text) = (*kind, text.clone());
            let here = self.labels_here();
            let wanted = (kind, text.clone());
            // Labels that only history knows give way, if that helps.
            let of_kind = here.iter().filter(|(other, _)| *other == kind).count();
            let (limit, full) = self.limit_of(kind);
            if !self.labels().contains(&wanted)
                && (of_kind >= limit || here.len() >= self.label_limit())
            {
                return Err(PublishError::Full(full));
            }
            while self.room_for_label(kind, &text).is_err() {
                self.evict();
            }
        }
        self.append(sequence, scope, bytes, own_id, false);
        self.deliver(self.history.len() - 1, target);
        Ok(self.last_event_id())
    }

    /// Sequence numbers up to `sequence` are given out.
    pub fn observe(&mut self, sequence: u64) {
        self.last_sequence = self.last_sequence.max(sequence);
    }

    // ---- tasks

    /// A client waits for a task.
    pub fn submit(&mut self, now: u64, key: ClientKey, task: &str) -> Result<(), TaskError> {
        self.time(now);
        let at = self.client(key).ok_or(TaskError::UnknownTask)?;
        self.check_task(task)?;
        self.wait_for(at, task)
    }

    /// A task is forgotten.
    pub fn withdraw(&mut self, key: ClientKey, task: &str) -> bool {
        let Some(at) = self.client(key) else {
            return false;
        };
        let tasks = &mut self.clients[at].tasks;
        let before = tasks.len();
        tasks.retain(|t| t.name != task || t.has_ended());
        tasks.len() < before
    }

    /// A task came along.
    pub fn progress(
        &mut self,
        now: u64,
        sequence: u64,
        key: ClientKey,
        task: &str,
        detail: &str,
    ) -> Result<(), TaskError> {
        self.time(now);
        let sequence = sequence.max(self.last_sequence + 1);
        let at = self.client(key).ok_or(TaskError::UnknownTask)?;
        self.check_detail(detail)?;
        let client = &mut self.clients[at];
        let row = client.tasks.iter_mut().find(|t| t.name == task);
        let row = row.ok_or(TaskError::UnknownTask)?;
        if row.has_ended() {
            return Err(TaskError::AlreadyEnded);
        }
        (row.state, row.detail) = (TaskState::Progress, Some(detail.into()));
        if client.dialect == Dialect::Named {
            self.tell(sequence, at, task, TaskState::Progress, Some(detail));
        }
        Ok(())
    }

    /// A task ended.
    #[expect(clippy::too_many_arguments, reason = "as in the engine")]
    pub fn complete(
        &mut self,
        now: u64,
        sequence: u64,
        owner: Option<ClientKey>,
        group: &str,
        name: &str,
        task: &str,
        outcome: Outcome<'_>,
    ) -> Result<(), TaskError> {
        self.time(now);
        let sequence = sequence.max(self.last_sequence + 1);
        let (state, detail) = match outcome {
            Outcome::Completed(result) => (TaskState::Completed, result),
            Outcome::Failed(reason) => (TaskState::Failed, Some(reason)),
        };
        self.check_task(task)?;
        self.check_detail(detail.unwrap_or(""))?;
        if let Some(owner) = owner {
            let at = self.client(owner).ok_or(TaskError::UnknownTask)?;
            let row = self.clients[at].tasks.iter().find(|t| t.name == task);
            match row {
                Some(row) if row.has_ended() => return Err(TaskError::AlreadyEnded),
                Some(_) => {}
                None => self.wait_for(at, task)?,
            }
            let now = self.now;
            let row = self.clients[at].tasks.iter_mut().find(|t| t.name == task);
            let row = row.expect("it waits for the task");
            (row.state, row.detail) = (state, detail.map(Into::into));
            (row.sequence, row.ended) = (sequence, now);
        }
        for at in 0..self.clients.len() {
            let client = &self.clients[at];
            if client.is_registered() && client.name == name && client.group == group {
                self.tell(sequence, at, task, state, detail);
            }
        }
        self.observe(sequence);
        Ok(())
    }

    // ---- the end

    /// A sweep happens now.
    pub fn sweep(&mut self, now: u64) {
        self.time(now);
        self.last_sweep = self.now;
    }

    /// Everyone is told to come back later.
    pub fn drain(&mut self, now: u64, min_retry: u32, max_retry: u32) {
        self.time(now);
        self.draining = true;
        let mut open = self.open();
        open.sort_by_key(|conn| conn.slot());
        for conn in open {
            let connection = self.connection(conn);
            if matches!(connection.phase, Phase::Closing(_)) || connection.farewell.is_some() {
                continue;
            }
            connection.farewell = Some((min_retry, max_retry.max(min_retry)));
            if connection.phase == Phase::Idle {
                self.enter(conn, Phase::Ready);
            }
        }
    }

    // ---- writing

    /// What `transmit` should give.
    pub fn transmit(&mut self, conn: ConnId) -> Result<Next, Stale> {
        if !self.connections.contains_key(&conn) {
            return Err(Stale);
        }
        if matches!(self.connection(conn).phase, Phase::Closing(_)) {
            return Ok(Next::Nothing);
        }
        if let Some(next) = self.notice(conn) {
            return Ok(next);
        }
        let (evicted, policy) = (self.evicted, self.config.overrun);
        let has_tasks = {
            let key = self.connections[&conn].client;
            self.clients
                .iter()
                .any(|c| c.key == Some(key) && !c.tasks.is_empty())
        };
        let connection = self.connection(conn);
        connection.completions = false;
        if connection.position <= evicted && connection.position <= connection.until {
            if connection.offset > 0 || policy == Overrun::Close {
                self.enter(conn, Phase::Closing(CloseReason::Overrun));
                return Ok(Next::Nothing);
            }
            connection.gap = Some(GapReason::Overrun);
            connection.report_gap = Some(GapReason::Overrun);
            // What the log lost of completions, the client's table still has.
            connection.completions = has_tasks;
            connection.completions_sent_too = true;
            connection.told = connection.told.max(connection.position - 1);
            connection.position = evicted + 1;
            connection.owes_position = true;
            self.enter(conn, Phase::Ready);
            return Ok(Next::Nothing);
        }
        let frames = self.frames(conn);
        let (first, passed_all, looked_to) = frames;
        let connection = self.connection(conn);
        if connection.offset == 0 {
            match first {
                Some(sequence) => connection.position = sequence,
                None if !passed_all => {
                    connection.position = looked_to + 1;
                    self.enter(conn, Phase::Ready);
                    return Ok(Next::Nothing);
                }
                None => {
                    connection.position = connection.position.max(connection.until + 1);
                    connection.queue.clear();
                    if let Some(next) = self.notice(conn) {
                        return Ok(next);
                    }
                    if self.connection(conn).phase != Phase::Idle {
                        self.enter(conn, Phase::Idle);
                    }
                    return Ok(Next::Nothing);
                }
            }
        }
        let connection = &self.connections[&conn];
        let mut frames: Vec<_> = connection
            .queue
            .iter()
            .filter(|&(&index, &live)| live && self.history[index].sequence <= connection.until)
            .filter(|&(&index, _)| self.history[index].sequence >= connection.position)
            .map(|(&index, _)| self.history[index].bytes.clone())
            .collect();
        frames[0].drain(..connection.offset);
        Ok(Next::Frames(frames))
    }

    /// The engine gave this farewell.
    pub fn farewell(&mut self, conn: ConnId, bytes: &[u8]) {
        let sending = self.connection(conn).sending.as_mut();
        sending.expect("a farewell is being sent").bytes = bytes.to_vec();
    }

    /// The peer took `written` bytes of what it was given.
    pub fn written(&mut self, now: u64, conn: ConnId, mut written: usize) -> Result<(), Stale> {
        self.time(now);
        if !self.connections.contains_key(&conn) {
            return Err(Stale);
        }
        let connection = self.connections.get_mut(&conn).expect("it is open");
        if written == 0 || matches!(connection.phase, Phase::Closing(_)) {
            return Ok(());
        }
        let client = connection.client;
        let mut arrived = Vec::new();
        if let Some(sending) = connection.sending.take() {
            connection.offset += written;
            assert!(connection.offset <= sending.bytes.len());
            if connection.offset < sending.bytes.len() {
                connection.sending = Some(sending);
            } else {
                connection.offset = 0;
                match sending.notice {
                    Notice::Greeting => connection.greeting = false,
                    Notice::Gap => connection.gap = None,
                    Notice::Completion(sequence) => arrived.push(sequence),
                    Notice::Position => {}
                    Notice::Heartbeat => connection.heartbeat = false,
                    Notice::Farewell => {
                        self.enter(conn, Phase::Closing(CloseReason::Drained));
                        return Ok(());
                    }
                }
            }
        } else {
            while written > 0 {
                let (&index, &live) = connection.queue.iter().next().expect("it was given frames");
                let frame = &self.history[index];
                if !live || frame.sequence < connection.position {
                    connection.queue.remove(&index);
                    continue;
                }
                connection.position = frame.sequence;
                let rest = frame.bytes.len() - connection.offset;
                if written < rest {
                    connection.offset += written;
                    break;
                }
                written -= rest;
                connection.offset = 0;
                connection.position += 1;
                connection.queue.remove(&index);
                if frame.ends_task {
                    arrived.push(frame.sequence);
                }
            }
        }
        for client in self.clients.iter_mut().filter(|c| c.key == Some(client)) {
            for task in &mut client.tasks {
                task.sent |= task.has_ended() && arrived.contains(&task.sequence);
            }
        }
        let connection = &self.connections[&conn];
        let done = connection.sending.is_none()
            && connection.position > connection.until
            && self.choose(connection).is_none();
        self.enter(conn, if done { Phase::Idle } else { Phase::Writing });
        Ok(())
    }

    // ---- private

    fn turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    fn enter(&mut self, conn: ConnId, phase: Phase) {
        let (now, turn) = (self.now, self.turn());
        let connection = self.connection(conn);
        (connection.phase, connection.since, connection.turn) = (phase, now, turn);
    }

    fn connection(&mut self, conn: ConnId) -> &mut Connection {
        self.connections.get_mut(&conn).expect("it is open")
    }

    fn client(&self, key: ClientKey) -> Option<usize> {
        self.clients
            .iter()
            .position(|client| client.key == Some(key) && client.is_registered())
    }

    fn by_id(&self, group: &str, id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| {
            client.standing != Standing::Detached && client.group == group && client.id == id
        })
    }

    fn issued(&self) -> usize {
        let issued = |client: &&Client| client.standing == Standing::Issued;
        self.clients.iter().filter(issued).count()
    }

    fn tasks(&self) -> usize {
        self.clients.iter().map(|client| client.tasks.len()).sum()
    }

    fn subscriptions(&self) -> usize {
        self.clients.iter().map(|client| client.topics.len()).sum()
    }

    fn kept(&self) -> &[Frame] {
        &self.history[self.kept_from..]
    }

    /// When a client that may be swept since `since` is.
    fn swept_at(&self, since: u64) -> u64 {
        let too_old = since + millis(self.config.dormant_after) + 1;
        let every = millis(self.config.sweep_every);
        if self.last_sweep >= too_old {
            self.now
        } else if every == 0 {
            too_old
        } else {
            self.sweep_anchor + (too_old - self.sweep_anchor).div_ceil(every) * every
        }
    }

    // Groups, names and topics.

    /// Those that someone stands under.
    fn labels_here(&self) -> BTreeSet<(Kind, String)> {
        let here = self
            .clients
            .iter()
            .filter(|c| c.standing != Standing::Detached);
        here.flat_map(|client| {
            let topics = client.topics.iter().map(|s| (Kind::Topic, s.topic.clone()));
            topics.chain([
                (Kind::Group, client.group.clone()),
                (Kind::UserName, client.name.clone()),
            ])
        })
        .collect()
    }

    /// Those, and those that a frame in the log names.
    fn labels(&self) -> BTreeSet<(Kind, String)> {
        let mut labels = self.labels_here();
        labels.extend(self.kept().iter().filter_map(|frame| match &frame.scope {
            Scope::Label(kind, text) => Some((*kind, text.clone())),
            _ => None,
        }));
        labels
    }

    fn label_limit(&self) -> usize {
        let limits = self.config.limits;
        (limits.clients + limits.groups + limits.topics) as usize
    }

    fn limit_of(&self, kind: Kind) -> (usize, Full) {
        match kind {
            Kind::Group => (self.config.limits.groups as usize, Full::Groups),
            Kind::Topic => (self.config.limits.topics as usize, Full::Topics),
            Kind::UserName => (usize::MAX, Full::Clients),
        }
    }

    fn room_for_label(&self, kind: Kind, text: &str) -> Result<(), Full> {
        let labels = self.labels();
        let (limit, full) = self.limit_of(kind);
        let of_kind = labels.iter().filter(|(other, _)| *other == kind).count();
        if labels.contains(&(kind, text.into()))
            || (of_kind < limit && labels.len() < self.label_limit())
        {
            Ok(())
        } else {
            Err(full)
        }
    }

    fn room_for_client(&self, group: &str, name: &str) -> Result<(), Full> {
        if self.clients.len() >= self.config.limits.clients as usize {
            return Err(Full::Clients);
        }
        self.room_for_label(Kind::Group, group)?;
        let mut labels = self.labels();
        labels.insert((Kind::Group, group.into()));
        labels.insert((Kind::UserName, name.into()));
        if labels.len() > self.label_limit() {
            return Err(Full::Clients);
        }
        Ok(())
    }

    // Clients.

    fn add_client(&mut self, group: &str, id: &str, standing: Standing) -> usize {
        let name = match id.rfind('_') {
            Some(at) if at > 0 => &id[..at],
            _ => id,
        };
        self.clients.push(Client {
            key: None,
            id: id.into(),
            group: group.into(),
            name: name.into(),
            standing,
            dialect: Dialect::Named,
            since: self.now,
            registered: self.now,
            topics: Vec::new(),
            tasks: Vec::new(),
            connections: Vec::new(),
            dormant: None,
        });
        self.clients.len() - 1
    }

    fn subscribe(&mut self, at: usize, topic: &str, from: u64) {
        let turn = self.turn();
        let topics = &mut self.clients[at].topics;
        if topics.iter().all(|s| s.topic != topic) {
            let topic = topic.into();
            topics.push(Subscription { topic, from, turn });
        }
    }

    fn give_up(&mut self, at: usize, end_streams: bool) {
        if self.clients[at].connections.is_empty() {
            self.clients.remove(at);
            return;
        }
        let (now, turn) = (self.now, self.turn());
        let client = &mut self.clients[at];
        client.standing = Standing::Detached;
        client.tasks.clear();
        client.topics.clear();
        client.dormant = Some((now, turn));
        for conn in client.connections.clone() {
            self.take_back(conn, |_| true);
            self.connection(conn).silent = true;
            let closing = matches!(self.connection(conn).phase, Phase::Closing(_));
            if end_streams && !closing {
                self.enter(conn, Phase::Closing(CloseReason::Unregistered));
            }
        }
    }

    fn close(&mut self, conn: ConnId, reason: CloseReason) -> Output<Box<str>> {
        let Left { client, last } = self.leave(conn);
        Output::Close {
            conn,
            client,
            reason,
            last,
        }
    }

    fn leave(&mut self, conn: ConnId) -> Left {
        let key = self.connections.remove(&conn).expect("it is open").client;
        let at = self.clients.iter().position(|c| c.key == Some(key));
        let at = at.expect("a connection has a client");
        let (now, turn) = (self.now, self.turn());
        let client = &mut self.clients[at];
        client.connections.retain(|&other| other != conn);
        let last = client.connections.is_empty();
        if last {
            let stays = match client.standing {
                Standing::Passing => !client.tasks.is_empty(),
                Standing::Detached => false,
                Standing::Registered | Standing::Issued => true,
            };
            client.standing = Standing::Registered;
            if !stays {
                self.clients.remove(at);
            } else if self.config.age == Age::SinceLeft {
                client.dormant = Some((now, turn));
            }
        }
        Left { client: key, last }
    }

    /// Where a stream starts, whether it misses something, and what the client has shown to have.
    fn start(&self, resume: Resume<'_>) -> (u64, Option<GapReason>, Option<u64>) {
        let oldest = self.evicted + 1;
        let id = match resume {
            Resume::Live | Resume::After("") => return (self.last_sequence + 1, None, None),
            Resume::Earliest => return (oldest, None, None),
            Resume::After(id) => id,
        };
        let own = self
            .kept()
            .iter()
            .rev()
            .find(|f| f.own_id.as_deref() == Some(id));
        if let Some(frame) = own {
            return (frame.sequence + 1, None, Some(frame.sequence));
        }
        match EventId::parse(id) {
            Some(id) if id.epoch != self.epoch => (oldest, Some(GapReason::Epoch), None),
            Some(id) if id.sequence > self.last_sequence => {
                (oldest, Some(GapReason::Unknown), None)
            }
            Some(id) if id.sequence < self.evicted => {
                (oldest, Some(GapReason::Evicted), Some(id.sequence))
            }
            Some(id) => (id.sequence + 1, None, Some(id.sequence)),
            None => (oldest, Some(GapReason::Unknown), None),
        }
    }

    // Frames.

    fn matches(&self, frame: &Frame, key: ClientKey, conn: ConnId) -> bool {
        let Some(at) = self.client(key) else {
            return false;
        };
        let client = &self.clients[at];
        match &frame.scope {
            Scope::All => true,
            Scope::Label(Kind::Group, group) => client.group == *group,
            Scope::Label(Kind::UserName, name) => client.name == *name,
            Scope::Label(Kind::Topic, topic) => client
                .topics
                .iter()
                .any(|s| s.topic == *topic && frame.sequence >= s.from),
            Scope::Client(other) => *other == key,
            Scope::Connection(other) => *other == conn,
            Scope::Clients(members) => members.contains(&key),
        }
    }

    /// The client listens from `from` on to `topics` that it did not listen to: a connection that is behind finds their frames
    /// on its way.
    fn look_back(&mut self, conn: ConnId, topics: &[&str], from: u64) {
        let connection = &self.connections[&conn];
        let (key, position) = (connection.client, connection.position);
        if position > connection.until || connection.silent {
            return;
        }
        for index in self.kept_from..self.history.len() {
            let frame = &self.history[index];
            let Scope::Label(Kind::Topic, topic) = &frame.scope else {
                continue;
            };
            if topics.contains(&topic.as_str())
                && frame.sequence >= position.max(from)
                && self.matches(frame, key, conn)
            {
                self.connection(conn).queue.insert(index, true);
            }
        }
    }

    /// What was not begun of these frames is not for the connection any more.
    fn take_back(&mut self, conn: ConnId, unwanted: impl Fn(&Frame) -> bool) {
        let connection = self.connections.get_mut(&conn).expect("it is open");
        let begun = connection.offset > 0 && connection.sending.is_none();
        let begun = begun.then_some(connection.position);
        for (&index, live) in &mut connection.queue {
            let frame = &self.history[index];
            if begun != Some(frame.sequence) && unwanted(frame) {
                *live = false;
            }
        }
    }

    /// The log gets a frame, and loses what has no room beside it.
    fn append(
        &mut self,
        sequence: u64,
        scope: Scope,
        bytes: Vec<u8>,
        own_id: Option<String>,
        ends_task: bool,
    ) {
        let list = match &scope {
            Scope::Clients(members) => 8 * members.len(),
            _ => 0,
        };
        let needed = list + bytes.len();
        let start = loop {
            let halved = self
                .kept()
                .first()
                .is_some_and(|f| f.sequence <= self.evicted);
            let full = self.kept().len() >= self.config.limits.log_entries as usize;
            if let (false, false, Some(start)) = (halved, full, self.place(needed)) {
                break start;
            }
            self.evict();
        };
        let own_id = own_id.filter(|id| !id.is_empty());
        self.history.push(Frame {
            sequence,
            scope,
            bytes,
            own_id,
            ends_task,
            place: start..start + needed,
        });
        self.observe(sequence);
    }

    fn evict(&mut self) {
        self.evicted = self.kept()[0].sequence;
        self.kept_from += 1;
    }

    /// After the newest frame, or at the front: where nothing stands.
    fn place(&self, needed: usize) -> Option<usize> {
        let Some(newest) = self.kept().last() else {
            return Some(0);
        };
        let free = |&start: &usize| {
            let end = start + needed;
            let apart = |f: &Frame| f.place.end <= start || end <= f.place.start;
            end <= self.config.limits.log_bytes as usize && self.kept().iter().all(apart)
        };
        [newest.place.end, 0].into_iter().find(free)
    }

    /// The frame at `index` is put into the queues of those it is for.
    fn deliver(&mut self, index: usize, target: Target<'_>) {
        let scope = self.history[index].scope.clone();
        let mut to = Vec::new();
        match (&scope, target) {
            (Scope::All, _) => {
                to.extend(self.open());
                to.sort_by_key(|conn| conn.slot());
                to.retain(|conn| !self.connections[conn].silent);
            }
            (Scope::Connection(conn), _) => to.push(*conn),
            (Scope::Clients(_), Target::Clients(members)) => {
                for at in members.iter().filter_map(|&key| self.client(key)) {
                    to.extend(&self.clients[at].connections);
                }
            }
            (Scope::Label(Kind::Topic, topic), _) => {
                for key in self.listeners(topic) {
                    let at = self.client(key).expect("a listener is registered");
                    to.extend(&self.clients[at].connections);
                }
            }
            (scope, _) => {
                for client in self.clients.iter().filter(|c| c.is_registered()) {
                    let is_for = match scope {
                        Scope::Label(Kind::Group, group) => client.group == *group,
                        Scope::Label(Kind::UserName, name) => client.name == *name,
                        Scope::Client(key) => client.key == Some(*key),
                        _ => false,
                    };
                    if is_for {
                        to.extend(&client.connections);
                    }
                }
            }
        }
        for conn in to {
            self.enqueue(conn, index);
        }
    }

    fn enqueue(&mut self, conn: ConnId, index: usize) {
        let sequence = self.history[index].sequence;
        let connection = self.connection(conn);
        if sequence < connection.position {
            return;
        }
        if connection.position > connection.until {
            connection.position = sequence;
            connection.queue.clear();
        }
        connection.until = sequence;
        connection.queue.insert(index, !connection.silent);
        if connection.phase == Phase::Idle {
            self.enter(conn, Phase::Ready);
        }
    }

    /// The first frame for a connection as far as one look at the log finds it; whether it looked at all there is; where it
    /// stopped.
    fn frames(&self, conn: ConnId) -> (Option<u64>, bool, u64) {
        let connection = &self.connections[&conn];
        let mut looked = 0;
        let mut at = 0;
        for (index, frame) in self.history.iter().enumerate().skip(self.kept_from) {
            if frame.sequence < connection.position {
                continue;
            }
            if frame.sequence > connection.until {
                break;
            }
            if looked == WALK {
                return (None, false, at);
            }
            if connection.queue.get(&index) == Some(&true) {
                return (Some(frame.sequence), true, at);
            }
            looked += 1;
            at = frame.sequence;
        }
        // A look that stopped at the last frame does not know yet that it was the last.
        (None, looked < WALK, at)
    }

    // Tasks.

    fn check_task(&self, task: &str) -> Result<(), TaskError> {
        check_name(task).map_err(TaskError::Name)?;
        let limit = self.config.limits.name_bytes;
        if task.len() > limit as usize {
            return Err(TaskError::TooLong { limit });
        }
        Ok(())
    }

    fn check_detail(&self, detail: &str) -> Result<(), TaskError> {
        let costs = |c: char| match c {
            '"' | '\\' | '\0'..='\x1f' => 6,
            _ => c.len_utf8(),
        };
        let around = 2 * self.config.limits.name_bytes as usize + 160;
        let len = detail.chars().map(costs).sum::<usize>() + around;
        let fits = len <= self.config.limits.frame_bytes as usize;
        fits.then_some(()).ok_or(TaskError::TooLarge)
    }

    fn wait_for(&mut self, at: usize, task: &str) -> Result<(), TaskError> {
        let limits = self.config.limits;
        let total = self.tasks();
        let tasks = &mut self.clients[at].tasks;
        let same = tasks.iter().position(|t| t.name == task);
        let mut freed = 0;
        if let Some(same) = same {
            if !tasks[same].has_ended() {
                return Err(TaskError::AlreadySubmitted);
            }
            tasks.remove(same);
            freed = 1;
        }
        if tasks.len() >= limits.tasks_per_client as usize || total - freed >= limits.tasks as usize
        {
            let oldest = tasks.iter().position(|t| t.sent);
            tasks.remove(oldest.ok_or(TaskError::Full(Full::Tasks))?);
        }
        tasks.push(Task {
            name: task.into(),
            state: TaskState::Submitted,
            detail: None,
            sequence: 0,
            ended: 0,
            sent: false,
        });
        Ok(())
    }

    fn tell(
        &mut self,
        sequence: u64,
        at: usize,
        task: &str,
        state: TaskState,
        detail: Option<&str>,
    ) {
        let client = &self.clients[at];
        let key = client.key.expect("it is registered");
        let body = task_body(client.dialect, &client.id, task, state, self.now, detail);
        let bytes = format!("{}{body}", self.id_line(sequence)).into_bytes();
        let ends = matches!(state, TaskState::Completed | TaskState::Failed);
        self.append(sequence, Scope::Client(key), bytes, None, ends);
        self.deliver(self.history.len() - 1, Target::Client(key));
    }

    // Notices.

    /// The notice that is being sent, or the next one that is due.
    fn notice(&mut self, conn: ConnId) -> Option<Next> {
        let connection = &self.connections[&conn];
        if connection.sending.is_none() {
            if connection.offset > 0 {
                return None;
            }
            let (sending, last) = self.choose(connection)?;
            let connection = self.connection(conn);
            connection.owes_position &= !last;
            if let Notice::Completion(sequence) = sending.notice {
                connection.told = sequence;
            }
            connection.sending = Some(sending);
        }
        let connection = &self.connections[&conn];
        let sending = connection.sending.as_ref()?;
        if let Notice::Completion(sequence) = sending.notice {
            let mut owner = self
                .clients
                .iter()
                .filter(|c| c.key == Some(connection.client));
            let kept = |c: &Client| c.tasks.iter().any(|t| t.sequence == sequence);
            if !owner.any(kept) {
                self.enter(conn, Phase::Closing(CloseReason::Unregistered));
                return Some(Next::Nothing);
            }
        }
        Some(match (sending.notice, connection.farewell) {
            (Notice::Farewell, Some((min, max))) if sending.bytes.is_empty() => {
                Next::Farewell(min, max)
            }
            _ => Next::Notice(sending.bytes[connection.offset..].to_vec()),
        })
    }

    /// The next notice, and whether it carries the connection's position.
    fn choose(&self, connection: &Connection) -> Option<(Sending, bool)> {
        let position = connection.position - 1;
        let client = self
            .clients
            .iter()
            .find(|c| c.key == Some(connection.client));
        let client = client.expect("a connection has a client");
        let completion = self.completion(connection, client, connection.told);
        let make = |notice, id: Option<u64>, body: String, last| {
            let id = id.map_or(String::new(), |sequence| self.id_line(sequence));
            let bytes = (id + &body).into_bytes();
            Some((Sending { notice, bytes }, last))
        };
        if connection.greeting {
            let last = connection.gap.is_none() && completion.is_none();
            let retry = self.config.retry;
            let retry = retry.map_or(String::new(), |ms| format!("retry:{ms}\n"));
            let id = &client.id;
            let body = match connection.greeting_form {
                Greeting::Connected => {
                    format!("event:connected\ndata:{{\"client\":\"{id}\"}}\n\n")
                }
                Greeting::Registered => format!("data:\"registered^{id}\"\n\n"),
                Greeting::Position => "\n".into(),
            };
            return make(
                Notice::Greeting,
                last.then_some(position),
                retry + &body,
                last,
            );
        }
        if let Some(reason) = connection.gap {
            let last = completion.is_none();
            let body = format!("event:gap\ndata:{{\"reason\":\"{reason}\"}}\n\n");
            return make(Notice::Gap, last.then_some(position), body, last);
        }
        if let Some(task) = completion {
            let last = self.completion(connection, client, task.sequence).is_none();
            let id = if last { position } else { task.sequence };
            let body = task_body(
                connection.dialect,
                &client.id,
                &task.name,
                task.state,
                task.ended,
                task.detail.as_deref(),
            );
            return make(Notice::Completion(task.sequence), Some(id), body, last);
        }
        if connection.owes_position {
            return make(Notice::Position, Some(position), "\n".into(), true);
        }
        if connection.heartbeat {
            let body = format!(":{}\n\n", self.config.heartbeat_comment);
            return make(Notice::Heartbeat, None, body, false);
        }
        if connection.farewell.is_some() && connection.position > connection.until {
            return make(Notice::Farewell, None, String::new(), false);
        }
        None
    }

    /// The first completion after `told` that the connection will not find in the log.
    fn completion<'c>(
        &self,
        connection: &Connection,
        client: &'c Client,
        told: u64,
    ) -> Option<&'c Task> {
        let due = |task: &&Task| {
            connection.completions
                && task.has_ended()
                && task.sequence > told
                && task.sequence < connection.position
                && (connection.completions_sent_too || !task.sent)
        };
        client.tasks.iter().filter(due).min_by_key(|t| t.sequence)
    }

    fn id_line(&self, sequence: u64) -> String {
        format!("id:{:08x}-{sequence}\n", self.epoch.0)
    }

    fn encode(&self, sequence: u64, event: &Event<'_>) -> Vec<u8> {
        let id = match event.id {
            Some(id) => field("id", id.as_str()),
            None => self.id_line(sequence),
        };
        let bytes = (id + &encode_body(event)).into_bytes();
        assert_eq!(bytes.len() - event.body_len(), {
            let own = event.id.map(|id| field("id", id.as_str()).len());
            own.unwrap_or_else(|| self.id_line(sequence).len())
        });
        bytes
    }
}

impl Client {
    fn is_registered(&self) -> bool {
        matches!(self.standing, Standing::Registered | Standing::Passing)
    }
}

impl Task {
    fn has_ended(&self) -> bool {
        matches!(self.state, TaskState::Completed | TaskState::Failed)
    }
}

/// The frame that tells of a task, without its id.
fn task_body(
    dialect: Dialect,
    client: &str,
    task: &str,
    state: TaskState,
    at: u64,
    detail: Option<&str>,
) -> String {
    if dialect == Dialect::Manager {
        let mut payload =
            format!("completed^{{\"timestamp\":{at},\"id\":\"{client}\",\"taskid\":\"{task}\"");
        if state == TaskState::Failed {
            let bad = |c: char| matches!(c, '^' | '"' | '\\') || c.is_control();
            let reason = detail.unwrap_or("").replace(bad, " ");
            payload += &format!(",\"status\":\"failed\",\"reason\":\"{reason}\"");
        }
        return format!("data:{}\n\n", json(&(payload + "}")));
    }
    let detail = match (state, detail) {
        (TaskState::Failed, reason) => format!(",\"reason\":{}", json(reason.unwrap_or(""))),
        (TaskState::Completed, Some(result)) => {
            format!(",\"result\":{}", result.replace(['\r', '\n'], " "))
        }
        (_, Some(progress)) => format!(",\"progress\":{}", progress.replace(['\r', '\n'], " ")),
        (_, None) => String::new(),
    };
    let name = state.name();
    let data =
        format!("{{\"task\":\"{task}\",\"client\":\"{client}\",\"timestamp\":{at}{detail}}}");
    serde_json::from_str::<serde_json::Value>(&data).expect("what is sent is JSON");
    format!("event:{name}\ndata:{data}\n\n")
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An event by the book, without its id.
fn encode_body(event: &Event<'_>) -> String {
    let lines = |text: &str| -> Vec<String> {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        text.split('\n').map(Into::into).collect()
    };
    let mut body = String::new();
    if let Some(name) = event.event {
        body += &field("event", name.as_str());
    }
    if let Some(retry) = event.retry {
        body += &format!("retry:{retry}\n");
    }
    let data = event.data.or(event.event.map(|_| ""));
    for line in data.into_iter().flat_map(lines) {
        body += &field("data", &line);
    }
    for line in event.comment.into_iter().flat_map(lines) {
        body += &field("", &line);
    }
    body + "\n"
}

fn field(name: &str, value: &str) -> String {
    let pad = if value.starts_with(' ') { " " } else { "" };
    format!("{name}:{pad}{value}\n")
}

fn millis(duration: std::time::Duration) -> u64 {
    duration.as_millis() as u64
}
