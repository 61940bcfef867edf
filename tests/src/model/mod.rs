//! The naive model of the engine.
//!
//! Maps and vectors, everything searched from the front. Every connection has a queue of the whole frames it is to get; history
//! is kept for ever, and a plain list of byte ranges says how much of it a log of the configured size still holds. Nothing is
//! threaded through anything, and frames are put together with `format!`. What each connection is told of where it stands is
//! part of the contract, so the model knows that too.

mod clients;
mod events;
mod tasks;
mod text;
mod writing;

use std::collections::BTreeMap;

use sse_proto::{
    ClientKey, CloseReason, Config, ConnId, Dialect, Epoch, EventId, GapReason, Greeting, Output, TaskState, Usage,
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
    /// What clears a client of system M that was cut off.
    preface: &'static str,
    phase: Phase,
    since: u64,
    turn: u64,
    silent: bool,
    /// It ends once it has what is for it by now.
    finishing: bool,
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
    /// Whole frames, but for the first, which may have been begun. Some of them suffice if there is no slice for more.
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
            of_phase.min_by_key(|(_, c)| c.turn).map(|(conn, c)| (*conn, c.since))
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
        if let Some(conn) = first(|phase| phase == Phase::Writing).and_then(|first| due(first, self.config.write_stall)) {
            return Some(self.close(conn, CloseReason::Stalled));
        }
        if let Some(conn) = first(|phase| phase == Phase::Idle).and_then(|first| due(first, self.config.heartbeat)) {
            self.connection(conn).heartbeat = true;
            self.enter(conn, Phase::Writing);
            return Some(Output::Write(conn));
        }
        let unused = self.clients.iter().position(|client| {
            client.standing == Standing::Issued && client.since + millis(self.config.issued_id_ttl) <= self.now
        });
        if let Some(at) = unused {
            let id = self.clients.remove(at).id.into();
            return Some(Output::Unused { id });
        }
        let dormant =
            (0..self.clients.len()).filter_map(|at| Some((self.clients[at].dormant?, at))).min_by_key(|((_, turn), _)| *turn);
        let ((since, _), at) = dormant?;
        if self.swept_at(since) > self.now {
            return None;
        }
        if let Some(&conn) = self.clients[at].connections.first() {
            return Some(self.close(conn, CloseReason::Expired));
        }
        let client = self.clients.remove(at);
        Some(Output::Expired { client: client.key.expect("it was registered"), id: client.id.into() })
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
        let dormant = self.clients.iter().filter_map(|client| Some(self.swept_at(client.dormant?.0)));
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
            log_bytes: self.kept().iter().map(|frame| frame.bytes.len()).sum::<usize>() as u32,
        }
    }

    /// The number of the newest event.
    pub fn last_event_id(&self) -> EventId {
        EventId { epoch: self.epoch, sequence: self.last_sequence }
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
                tasks: client.tasks.iter().map(|task| (task.name.clone(), task.state.name(), task.detail.clone())).collect(),
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

    /// Whether the connection begins with a greeting.
    pub fn is_greeted(&self, conn: ConnId) -> bool {
        self.connections[&conn].greeting_form != Greeting::Silent
    }

    /// Whether a connection was sent all it is to get.
    pub fn is_idle(&self, conn: ConnId) -> bool {
        self.connections[&conn].phase == Phase::Idle
    }

    /// Whose connection it is.
    pub fn client_of(&self, conn: ConnId) -> ClientKey {
        self.connections[&conn].client
    }

    /// Whether a client is registered, or was given up and has connections.
    pub fn is_known(&self, key: ClientKey) -> bool {
        self.clients.iter().any(|client| client.key == Some(key))
    }

    /// From where the connection that waits the longest stands, round the ring of bytes to the end of the newest frame.
    pub fn backlog(&self) -> usize {
        let ready = self.connections.values().filter(|c| matches!(c.phase, Phase::Ready | Phase::Closing(_)));
        let position = ready.min_by_key(|c| c.turn).map(|c| c.position);
        let next = position.and_then(|position| self.kept().iter().find(|frame| frame.sequence >= position));
        let (Some(next), Some(newest)) = (next, self.kept().last()) else { return 0 };
        let (start, end) = (next.place.end - next.bytes.len(), newest.place.end);
        if start < end { end - start } else { end + self.config.limits.log_bytes as usize - start }
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
        self.clients.iter().position(|client| client.key == Some(key) && client.is_registered())
    }

    fn by_id(&self, group: &str, id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.standing != Standing::Detached && client.group == group && client.id == id)
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

fn millis(duration: std::time::Duration) -> u64 {
    duration.as_millis() as u64
}
