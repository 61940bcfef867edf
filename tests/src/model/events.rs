//! Topics, events, and the log that keeps some of them.

use sse_proto::wire::Event;
use sse_proto::{
    ClientKey, CloseReason, ConnId, EventId, Full, ListenError, MAX_EVENT_ID, PublishError, Stale, Target, check_name,
    check_topic,
};

use super::{Frame, Kind, Model, Phase, Scope, WALK};

impl Model {
    /// A client listens.
    pub fn listen(&mut self, now: u64, key: ClientKey, topic: &str) -> Result<bool, ListenError> {
        self.time(now);
        let at = self.client(key).ok_or(ListenError::UnknownClient)?;
        check_topic(topic).map_err(ListenError::Topic)?;
        let limits = self.config.limits;
        if topic.len() > limits.topic_bytes as usize {
            return Err(ListenError::TooLong { limit: limits.topic_bytes });
        }
        if self.clients[at].topics.iter().any(|s| s.topic == topic) {
            return Ok(false);
        }
        if self.clients[at].topics.len() >= limits.topics_per_client as usize
            || self.subscriptions() >= limits.subscriptions as usize
        {
            return Err(ListenError::Full(Full::Subscriptions));
        }
        self.room_for_labels(&[(Kind::Topic, topic.into())]).map_err(ListenError::Full)?;
        self.subscribe(at, topic, self.last_sequence + 1);
        Ok(true)
    }

    /// A connection ends after what was published for it.
    pub fn finish(&mut self, now: u64, conn: ConnId) -> Result<(), Stale> {
        self.time(now);
        let connection = self.connections.get_mut(&conn).ok_or(Stale)?;
        connection.finishing = true;
        if connection.phase == Phase::Idle {
            self.enter(conn, Phase::Closing(CloseReason::Unregistered));
        }
        Ok(())
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
            self.take_back(conn, |frame| frame.scope == Scope::Label(Kind::Topic, topic.into()));
        }
        Ok(did)
    }

    /// An event is published under `sequence` or, when that was given out, the next one.
    pub fn publish(&mut self, now: u64, sequence: u64, target: Target<'_>, event: &Event<'_>) -> Result<EventId, PublishError> {
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
        let beside = (limits.log_bytes as usize).saturating_sub(8 * members.len());
        let (len, limit) = (bytes.len(), beside.min(limits.frame_bytes as usize));
        if len > limit {
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
                open.then_some(Scope::Connection(conn)).ok_or(PublishError::UnknownTarget)?
            }
            Target::Clients(members) => Scope::Clients(members.to_vec()),
            Target::Group(group) => label(Kind::Group, group, limits.name_bytes)?,
            Target::UserName(name) => label(Kind::UserName, name, limits.name_bytes)?,
            Target::Topic(topic) => label(Kind::Topic, topic, limits.topic_bytes)?,
        };
        if let Scope::Label(kind, text) = &scope {
            self.room_for_labels(&[(*kind, text.clone())]).map_err(PublishError::Full)?;
        }
        self.append(sequence, scope, bytes, own_id, false);
        self.deliver(self.history.len() - 1, target);
        Ok(self.last_event_id())
    }

    /// Sequence numbers up to `sequence` are given out.
    pub fn observe(&mut self, sequence: u64) {
        self.last_sequence = self.last_sequence.max(sequence);
    }

    pub(super) fn matches(&self, frame: &Frame, key: ClientKey, conn: ConnId) -> bool {
        let Some(at) = self.client(key) else {
            return false;
        };
        let client = &self.clients[at];
        match &frame.scope {
            Scope::All => true,
            Scope::Label(Kind::Group, group) => client.group == *group,
            Scope::Label(Kind::UserName, name) => client.name == *name,
            Scope::Label(Kind::Topic, topic) => client.topics.iter().any(|s| s.topic == *topic && frame.sequence >= s.from),
            Scope::Client(other) => *other == key,
            Scope::Connection(other) => *other == conn,
            Scope::Clients(members) => members.contains(&key),
        }
    }

    /// The client listens from `from` on to `topics` that it did not listen to: a connection that is behind finds their frames
    /// on its way.
    pub(super) fn look_back(&mut self, conn: ConnId, topics: &[&str], from: u64) {
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
            if topics.contains(&topic.as_str()) && frame.sequence >= position.max(from) && self.matches(frame, key, conn) {
                self.connection(conn).queue.insert(index, true);
            }
        }
    }

    /// What was not begun of these frames is not for the connection any more.
    pub(super) fn take_back(&mut self, conn: ConnId, unwanted: impl Fn(&Frame) -> bool) {
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
    pub(super) fn append(&mut self, sequence: u64, scope: Scope, bytes: Vec<u8>, own_id: Option<String>, ends_task: bool) {
        let list = match &scope {
            Scope::Clients(members) => 8 * members.len(),
            _ => 0,
        };
        let needed = list + bytes.len();
        let start = loop {
            let halved = self.kept().first().is_some_and(|f| f.sequence <= self.evicted);
            let full = self.kept().len() >= self.config.limits.log_entries as usize;
            if let (false, false, Some(start)) = (halved, full, self.place(needed)) {
                break start;
            }
            self.evict();
        };
        let own_id = own_id.filter(|id| !id.is_empty());
        self.history.push(Frame { sequence, scope, bytes, own_id, ends_task, place: start..start + needed });
        self.observe(sequence);
    }

    pub(super) fn evict(&mut self) {
        self.evicted = self.kept()[0].sequence;
        self.kept_from += 1;
    }

    /// After the newest frame, or at the front: where nothing stands.
    pub(super) fn place(&self, needed: usize) -> Option<usize> {
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
    pub(super) fn deliver(&mut self, index: usize, target: Target<'_>) {
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

    pub(super) fn enqueue(&mut self, conn: ConnId, index: usize) {
        let sequence = self.history[index].sequence;
        let connection = self.connection(conn);
        if sequence < connection.position || connection.finishing {
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
    pub(super) fn frames(&self, conn: ConnId) -> (Option<u64>, bool, u64) {
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
            // Not between frames that share a number: no position lies there.
            if looked >= WALK && frame.sequence > at {
                return (None, false, at);
            }
            if connection.queue.get(&index) == Some(&true) {
                return (Some(frame.sequence), true, at);
            }
            looked += 1;
            at = frame.sequence;
        }
        (None, true, at)
    }
}
