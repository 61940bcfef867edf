//! Ids, registration, and who is here.

use std::collections::BTreeSet;

use sse_proto::{
    Age, ClientId, ClientKey, CloseReason, ConnId, Dialect, EventId, Full, GapReason, Greeting, IdError, Left, Output,
    RegisterError, Registration, Resume, Stale, check_name, check_topic,
};

use super::{Client, Connection, Kind, Model, Phase, Scope, Standing, Subscription};

impl Model {
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
        self.room_for_id(group, name).map_err(IdError::Full)
    }

    /// An id was allocated.
    pub fn allocated(&mut self, group: &str, id: &str) {
        let taken = |c: &Client| c.standing != Standing::Detached && c.group == group && c.id == id;
        assert!(!self.clients.iter().any(taken), "{id} exists already");
        self.add_client(group, id, Standing::Issued);
    }

    /// An id that was allocated by another engine is taken in.
    pub fn restore_id(&mut self, issued: u64, group: &str, id: ClientId<'_>) -> Result<(), RegisterError> {
        self.time(issued);
        self.can_be(group, id)?;
        if self.by_id(group, id.as_str()).is_none() {
            self.room_for_id(group, id.user_name()).map_err(RegisterError::Full)?;
            self.add_client(group, id.as_str(), Standing::Issued);
        }
        Ok(())
    }

    /// Whether a client may have that group and that id.
    fn can_be(&self, group: &str, id: ClientId<'_>) -> Result<(), RegisterError> {
        short("id", id.as_str(), self.config.limits.name_bytes)?;
        short("group", group, self.config.limits.name_bytes)?;
        if group.is_empty() { Ok(()) } else { check_topic(group).map_err(RegisterError::Group) }
    }

    /// Whether a registration should succeed.
    pub fn can_register(&mut self, now: u64, wish: &Registration<'_>) -> Result<(), RegisterError> {
        self.time(now);
        let limits = self.config.limits;
        if self.draining {
            return Err(RegisterError::Draining);
        }
        self.can_be(wish.group, wish.id)?;
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
        let (listens, wanted): (BTreeSet<&str>, BTreeSet<&str>) = (
            known.into_iter().flat_map(|c| c.topics.iter().map(|s| s.topic.as_str())).collect(),
            wish.topics.iter().copied().collect(),
        );
        let more = wanted.difference(&listens).count();
        if wish.topics.len().max(listens.len() + more) > limits.topics_per_client as usize
            || self.subscriptions() + more > limits.subscriptions as usize
        {
            return Err(full(Full::Subscriptions));
        }
        match known {
            Some(_) => self.room_for_labels(&topics(wish.topics)).map_err(full),
            None => self.room_for_client(wish.group, wish.id.user_name(), wish.topics).map_err(full),
        }
    }

    /// The engine registered, and gave these ids. Returns what else it should have said: `returning` and `gap`.
    pub fn registered(&mut self, wish: &Registration<'_>, conn: ConnId, key: ClientKey) -> (bool, Option<GapReason>) {
        let (position, gap, shown) = self.start(wish.resume);
        let anybody = self.clients.iter().any(|c| c.standing != Standing::Issued);
        let standing = if wish.passing { Standing::Passing } else { Standing::Registered };
        let known = self.by_id(wish.group, wish.id.as_str()).is_some();
        let at = match known {
            true => self
                .clients
                .iter()
                .position(|c| c.standing != Standing::Detached && c.group == wish.group && c.id == wish.id.as_str())
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
            client.tasks.retain(|task| !task.has_ended() || task.sequence > shown);
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
            .collect::<std::collections::BTreeMap<_, _>>();
        let came_back = matches!(wish.resume, Resume::After(id) if !id.is_empty());
        let preface = match (wish.greeting, came_back, shown.is_some() && !queue.is_empty()) {
            (Greeting::Registered, true, true) => "event:resume\n\n",
            (Greeting::Registered, true, false) => "\n",
            _ => "",
        };
        let connection = Connection {
            client: key,
            dialect: wish.dialect,
            greeting_form: wish.greeting,
            preface,
            phase: Phase::Ready,
            since: now,
            turn: 0,
            silent: false,
            finishing: false,
            queue,
            position,
            until: self.last_sequence,
            greeting: wish.greeting != Greeting::Silent,
            owes_position: wish.greeting != Greeting::Silent,
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
        let mut keys: Vec<_> = self.clients.iter().filter_map(|c| c.key).collect();
        keys.sort_by_key(|key| key.slot());
        for key in keys {
            match self.client(key) {
                Some(at) => self.give_up(at, end_streams),
                None if end_streams => self.end_streams(key),
                None => {}
            }
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

    pub(super) fn add_client(&mut self, group: &str, id: &str, standing: Standing) -> usize {
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

    pub(super) fn subscribe(&mut self, at: usize, topic: &str, from: u64) {
        let turn = self.turn();
        let topics = &mut self.clients[at].topics;
        match topics.iter_mut().find(|s| s.topic == topic) {
            Some(subscription) => subscription.from = subscription.from.min(from),
            None => topics.push(Subscription { topic: topic.into(), from, turn }),
        }
    }

    pub(super) fn give_up(&mut self, at: usize, end_streams: bool) {
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
        let key = client.key.expect("who has connections has one");
        for conn in client.connections.clone() {
            self.take_back(conn, |_| true);
            self.connection(conn).silent = true;
        }
        if end_streams {
            self.end_streams(key);
        }
    }

    /// All connections of a client end.
    fn end_streams(&mut self, key: ClientKey) {
        let client = self.clients.iter().find(|client| client.key == Some(key)).expect("it is known");
        for conn in client.connections.clone() {
            if !matches!(self.connection(conn).phase, Phase::Closing(_)) {
                self.enter(conn, Phase::Closing(CloseReason::Unregistered));
            }
        }
    }

    pub(super) fn close(&mut self, conn: ConnId, reason: CloseReason) -> Output<Box<str>> {
        let Left { client, last } = self.leave(conn);
        Output::Close { conn, client, reason, last }
    }

    pub(super) fn leave(&mut self, conn: ConnId) -> Left {
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
    pub(super) fn start(&self, resume: Resume<'_>) -> (u64, Option<GapReason>, Option<u64>) {
        let oldest = self.evicted + 1;
        let id = match resume {
            Resume::Live | Resume::After("") => return (self.last_sequence + 1, None, None),
            Resume::Earliest => return (oldest, None, None),
            Resume::After(id) => id,
        };
        let own = self.kept().iter().rev().find(|f| f.own_id.as_deref() == Some(id));
        if let Some(frame) = own {
            return (frame.sequence + 1, None, Some(frame.sequence));
        }
        match EventId::parse(id) {
            Some(id) if id.epoch != self.epoch => (oldest, Some(GapReason::Epoch), None),
            Some(id) if id.sequence > self.last_sequence => (oldest, Some(GapReason::Unknown), None),
            Some(id) if id.sequence < self.evicted => (oldest, Some(GapReason::Evicted), Some(id.sequence)),
            Some(id) => (id.sequence + 1, None, Some(id.sequence)),
            None => (oldest, Some(GapReason::Unknown), None),
        }
    }

    /// Those that someone stands under.
    pub(super) fn labels_here(&self) -> BTreeSet<(Kind, &str)> {
        let here = self.clients.iter().filter(|c| c.standing != Standing::Detached);
        here.flat_map(|client| {
            let topics = client.topics.iter().map(|s| (Kind::Topic, &*s.topic));
            topics.chain([(Kind::Group, &*client.group), (Kind::UserName, &*client.name)])
        })
        .collect()
    }

    /// Those, and those that a frame in the log names.
    pub(super) fn labels(&self) -> BTreeSet<(Kind, &str)> {
        let mut labels = self.labels_here();
        labels.extend(self.kept().iter().filter_map(|frame| match &frame.scope {
            Scope::Label(kind, text) => Some((*kind, &**text)),
            _ => None,
        }));
        labels
    }

    pub(super) fn label_limit(&self) -> usize {
        let limits = self.config.limits;
        (limits.clients + limits.groups + limits.topics) as usize
    }

    pub(super) fn limit_of(&self, kind: Kind) -> (usize, Full) {
        match kind {
            Kind::Group => (self.config.limits.groups as usize, Full::Groups),
            Kind::Topic => (self.config.limits.topics as usize, Full::Topics),
            Kind::UserName => (usize::MAX, Full::Clients),
        }
    }

    /// Room for labels: if there is none, the oldest frames go until there is, but only if that helps.
    pub(super) fn room_for_labels(&mut self, wanted: &[(Kind, String)]) -> Result<(), Full> {
        while self.fit(self.labels(), wanted).is_err() {
            self.fit(self.labels_here(), wanted)?;
            self.evict();
        }
        Ok(())
    }

    fn fit<'a>(&self, mut labels: BTreeSet<(Kind, &'a str)>, wanted: &'a [(Kind, String)]) -> Result<(), Full> {
        for (kind, text) in wanted {
            if labels.insert((*kind, text)) {
                let of_kind = labels.iter().filter(|(other, _)| other == kind).count();
                let (limit, full) = self.limit_of(*kind);
                if of_kind > limit || labels.len() > self.label_limit() {
                    return Err(full);
                }
            }
        }
        Ok(())
    }

    fn room_for_id(&mut self, group: &str, name: &str) -> Result<(), Full> {
        if self.issued() as u32 >= self.config.limits.issued_ids.min(self.config.limits.clients) {
            let oldest = self.clients.iter().position(|c| c.standing == Standing::Issued);
            self.clients.remove(oldest.expect("one is issued"));
        }
        self.room_for_client(group, name, &[])
    }

    fn room_for_client(&mut self, group: &str, name: &str, wanted: &[&str]) -> Result<(), Full> {
        if self.clients.len() >= self.config.limits.clients as usize {
            return Err(Full::Clients);
        }
        let mut labels = vec![(Kind::Group, group.into()), (Kind::UserName, name.into())];
        labels.extend(topics(wanted));
        self.room_for_labels(&labels)
    }
}

fn topics(topics: &[&str]) -> Vec<(Kind, String)> {
    topics.iter().map(|topic| (Kind::Topic, (*topic).to_owned())).collect()
}

fn short(what: &'static str, text: &str, limit: u32) -> Result<(), RegisterError> {
    let fits = text.len() <= limit as usize;
    fits.then_some(()).ok_or(RegisterError::TooLong { what, limit })
}
