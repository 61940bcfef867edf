//! Who is here: connections, clients, and the labels clients stand under (groups, user names, topics).
//!
//! It owns those tables, keeps their links consistent and enforces their limits. It sends nothing and reads no clock.

use core::fmt;
use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::delivery::Connection;
use crate::config::Limits;
use crate::id::{ClientId, ClientKey, ConnId};
use crate::storage::Storage;
use crate::storage::parts::{Index, Text};
use crate::storage::slab::{Link, List, Slab, Slot, linked, next};
use crate::time::Instant;

/// What a label is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LabelKind {
    Group,
    UserName,
    Topic,
}

/// A group, a user name or a topic: lives while a client stands under it or a frame in the log names it.
#[derive(Debug)]
pub(super) struct Label<S: Storage> {
    pub(super) kind: LabelKind,
    pub(super) text: S::Text,
    hash: u32,
    /// Clients of a group, in the order they came.
    in_group: List<InGroup>,
    /// Clients of a user name, in the order they came.
    of_name: List<OfName>,
    /// Listeners of a topic, in the order they came.
    pub(super) listeners: List<OfTopic>,
    /// Frames in the log that name it.
    frames: u32,
}

impl<S: Storage> Label<S> {
    /// Nobody stands under it.
    fn is_deserted(&self) -> bool {
        self.in_group.is_empty() && self.of_name.is_empty() && self.listeners.is_empty()
    }
}

/// What a client record stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The id was allocated and nobody registered it yet.
    Issued,
    /// Known under its id.
    Registered,
    /// Registered, and forgotten when its last connection leaves.
    Passing,
    /// Its id was given up; its streams stay open, silent but for heartbeats.
    Detached,
}

#[derive(Debug)]
pub(super) struct Client<S: Storage> {
    pub(super) id: S::Text,
    hash: u32,
    pub(super) standing: Standing,
    pub(super) dialect: super::Dialect,
    pub(super) group: u32,
    pub(super) user_name: u32,
    in_group: Link,
    of_name: Link,
    pub(super) connections: List<OfClient>,
    pub(super) connection_count: u32,
    pub(super) topics: List<TopicsOf>,
    pub(super) topic_count: u32,
    pub(super) tasks: List<super::tasks::OfClient>,
    pub(super) task_count: u32,
    pub(super) registered: Instant,
    /// From when its deadline counts: for an issued id when it was issued, else what [`crate::Age`] says.
    pub(super) since: Instant,
    pub(super) timer: Link,
    pub(super) timed: bool,
}

/// One client listening to one topic.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) client: u32,
    pub(super) topic: u32,
    /// The first sequence number it is for.
    from: u64,
    of_topic: Link,
    topics_of: Link,
}

/// Kinds of lists.
#[derive(Debug)]
pub(super) enum InGroup {}
#[derive(Debug)]
pub(super) enum OfName {}
#[derive(Debug)]
pub(super) enum OfTopic {}
#[derive(Debug)]
pub(super) enum TopicsOf {}
#[derive(Debug)]
pub(super) enum OfClient {}

linked!(Client<S>, InGroup, in_group, S);
linked!(Client<S>, OfName, of_name, S);
linked!(Client<S>, super::deadlines::OfClients, timer, S);
linked!(Subscription, OfTopic, of_topic);
linked!(Subscription, TopicsOf, topics_of);

pub(super) type Connections<S> = Slab<Connection, <S as Storage>::Connections<Slot<Connection>>>;
pub(super) type Clients<S> = Slab<Client<S>, <S as Storage>::Clients<Slot<Client<S>>>>;
type Labels<S> = Slab<Label<S>, <S as Storage>::Labels<Slot<Label<S>>>>;
type Subscriptions<S> = Slab<Subscription, <S as Storage>::Subscriptions<Slot<Subscription>>>;

/// Which table is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// As many connections are open as may be.
    Connections,
    /// The client has as many connections as it may.
    ConnectionsOfClient,
    /// As many clients are known as may be.
    Clients,
    /// As many groups are known as may be.
    Groups,
    /// As many topics are known as may be.
    Topics,
    /// The client listens to as many topics as it may, or all clients together do.
    Subscriptions,
    /// The client waits for as many tasks as it may, or all clients together do.
    Tasks,
}

impl Full {
    /// The limit that was reached, by its name in [`Limits`].
    pub const fn limit(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsOfClient => "connections_per_client",
            Self::Clients => "clients",
            Self::Groups => "groups",
            Self::Topics => "topics",
            Self::Subscriptions => "topics_per_client or subscriptions",
            Self::Tasks => "tasks_per_client or tasks",
        }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the limit {} is reached", self.limit())
    }
}

/// A walk over the clients under a label. It holds no borrow: clients may be changed, but not moved, between two steps.
pub(super) struct Under {
    kind: LabelKind,
    at: Option<u32>,
}

impl Under {
    /// The next client.
    pub(super) fn next<S: Storage>(&mut self, directory: &Directory<S>) -> Option<u32> {
        let slot = self.at?;
        let (client, after) = match self.kind {
            LabelKind::Group => (slot, next::<InGroup, _, _>(&directory.clients, slot)),
            LabelKind::UserName => (slot, next::<OfName, _, _>(&directory.clients, slot)),
            LabelKind::Topic => {
                (directory.subscriptions.at(slot).client, next::<OfTopic, _, _>(&directory.subscriptions, slot))
            }
        };
        self.at = after;
        Some(client)
    }
}

pub(super) struct Directory<S: Storage> {
    limits: Limits,
    hash_key: [u64; 2],
    pub(super) connections: Connections<S>,
    pub(super) clients: Clients<S>,
    client_index: S::ClientIndex,
    labels: Labels<S>,
    label_index: S::LabelIndex,
    groups: u32,
    topics: u32,
    /// Labels of each kind that someone stands under.
    present: [u32; 3],
    pub(super) issued: u32,
    subscriptions: Subscriptions<S>,
}

impl<S: Storage> Directory<S> {
    pub(super) fn new(limits: Limits, hash_key: [u64; 2]) -> Self {
        let clients = limits.clients as usize;
        // Every client may have a user name of its own.
        let labels = clients.saturating_add(limits.groups as usize).saturating_add(limits.topics as usize);
        Self {
            limits,
            hash_key,
            connections: Slab::with_limit(limits.connections as usize),
            clients: Slab::with_limit(clients),
            client_index: S::ClientIndex::with_limit(clients),
            labels: Slab::with_limit(labels),
            label_index: S::LabelIndex::with_limit(labels),
            groups: 0,
            topics: 0,
            present: [0; 3],
            issued: 0,
            subscriptions: Slab::with_limit(limits.subscriptions as usize),
        }
    }

    /// Finds a client by group and id, whatever its standing but detached. O(1).
    pub(super) fn find_client(&self, group: &str, id: &str) -> Option<u32> {
        let group = self.find_label(LabelKind::Group, group)?;
        let hash = self.hash(group as u8, id);
        self.client_index.find(hash, |slot| {
            let client = self.clients.at(slot);
            client.group == group && client.id.as_str() == id
        })
    }

    /// Adds a client under a group and an id that are not taken. Labels come into being as needed.
    pub(super) fn add_client(&mut self, group: &str, id: ClientId<'_>, standing: Standing, now: Instant) -> Result<u32, Full> {
        if self.clients.free() == 0 {
            return Err(Full::Clients);
        }
        let text = S::Text::copy_of(id.as_str()).ok_or(Full::Clients)?;
        let group = self.label(LabelKind::Group, group)?;
        let user_name = match self.label(LabelKind::UserName, id.user_name()) {
            Ok(label) => label,
            Err(full) => {
                self.release_label(group);
                return Err(full);
            }
        };
        let hash = self.hash(group as u8, id.as_str());
        let client = Client {
            id: text,
            hash,
            standing,
            dialect: super::Dialect::Named,
            group,
            user_name,
            in_group: Link::OUT,
            of_name: Link::OUT,
            connections: List::new(),
            connection_count: 0,
            topics: List::new(),
            topic_count: 0,
            tasks: List::new(),
            task_count: 0,
            registered: now,
            since: now,
            timer: Link::OUT,
            timed: false,
        };
        let slot = self.clients.insert(client).ok_or(Full::Clients)?;
        self.client_index.insert(hash, slot);
        for label in [group, user_name] {
            self.present[self.labels.at(label).kind as usize] += u32::from(self.labels.at(label).is_deserted());
        }
        self.labels.at_mut(group).in_group.push_back(&mut self.clients, slot);
        self.labels.at_mut(user_name).of_name.push_back(&mut self.clients, slot);
        self.issued += u32::from(standing == Standing::Issued);
        Ok(slot)
    }

    /// Gives up the client's id, name, group and topics; its connections stay.
    pub(super) fn detach_client(&mut self, slot: u32) {
        let client = self.clients.at_mut(slot);
        if client.standing == Standing::Detached {
            return;
        }
        self.issued -= u32::from(client.standing == Standing::Issued);
        client.standing = Standing::Detached;
        let (hash, group, user_name) = (client.hash, client.group, client.user_name);
        self.client_index.remove(hash, slot);
        self.labels.at_mut(group).in_group.remove(&mut self.clients, slot);
        self.labels.at_mut(user_name).of_name.remove(&mut self.clients, slot);
        for label in [group, user_name] {
            self.present[self.labels.at(label).kind as usize] -= u32::from(self.labels.at(label).is_deserted());
        }
        self.release_label(group);
        self.release_label(user_name);
        while let Some(subscription) = self.clients.at(slot).topics.first() {
            self.remove_subscription(subscription);
        }
    }

    /// Removes a client that has no connections and no tasks.
    pub(super) fn remove_client(&mut self, slot: u32) -> Option<Client<S>> {
        self.detach_client(slot);
        self.clients.remove(slot)
    }

    pub(super) fn add_connection(&mut self, client: u32, connection: Connection) -> Result<u32, Full> {
        let slot = self.connections.insert(connection).ok_or(Full::Connections)?;
        let owner = self.clients.at_mut(client);
        owner.connections.push_back(&mut self.connections, slot);
        owner.connection_count += 1;
        Ok(slot)
    }

    /// Removes a connection that is on no list but its client's. Returns the client.
    pub(super) fn remove_connection(&mut self, slot: u32) -> u32 {
        let client = self.connections.at(slot).client;
        let owner = self.clients.at_mut(client);
        owner.connections.remove(&mut self.connections, slot);
        owner.connection_count -= 1;
        self.connections.remove(slot);
        client
    }

    /// Whether `client` can take on `topics` besides those it has. O(topics × (topics + topics of the client)).
    pub(super) fn can_listen(&self, client: Option<u32>, topics: &[&str]) -> Result<(), Full> {
        let (mut subscriptions, mut labels) = (0, 0);
        for (index, topic) in topics.iter().enumerate() {
            if topics[..index].contains(topic) {
                continue;
            }
            let label = self.find_label(LabelKind::Topic, topic);
            let known = label.zip(client).is_some_and(|(topic, client)| self.subscription(client, topic).is_some());
            subscriptions += u32::from(!known);
            labels += u32::from(label.is_none());
        }
        let has = client.map_or(0, |slot| self.clients.at(slot).topic_count);
        if has + subscriptions > self.limits.topics_per_client || subscriptions > self.subscriptions.free() {
            return Err(Full::Subscriptions);
        }
        if labels > self.limits.topics.saturating_sub(self.topics) || labels > self.labels.free() {
            return Err(Full::Topics);
        }
        Ok(())
    }

    /// `client` listens to `topic` for sequence numbers from `from` on; false when it did already.
    pub(super) fn listen(&mut self, client: u32, topic: &str, from: u64) -> Result<bool, Full> {
        if let Some(label) = self.find_label(LabelKind::Topic, topic)
            && self.subscription(client, label).is_some()
        {
            return Ok(false);
        }
        if self.clients.at(client).topic_count >= self.limits.topics_per_client || self.subscriptions.free() == 0 {
            return Err(Full::Subscriptions);
        }
        let topic = self.label(LabelKind::Topic, topic)?;
        let subscription = Subscription { client, topic, from, of_topic: Link::OUT, topics_of: Link::OUT };
        let slot = self.subscriptions.insert(subscription).ok_or(Full::Subscriptions)?;
        self.present[LabelKind::Topic as usize] += u32::from(self.labels.at(topic).is_deserted());
        self.labels.at_mut(topic).listeners.push_back(&mut self.subscriptions, slot);
        let client = self.clients.at_mut(client);
        client.topics.push_back(&mut self.subscriptions, slot);
        client.topic_count += 1;
        Ok(true)
    }

    /// False when `client` did not listen to `topic`.
    pub(super) fn unlisten(&mut self, client: u32, topic: &str) -> bool {
        let subscription = self.find_label(LabelKind::Topic, topic).and_then(|topic| self.subscription(client, topic));
        if let Some(slot) = subscription {
            self.remove_subscription(slot);
        }
        subscription.is_some()
    }

    /// Whether a frame under `label` with `sequence` is for `client`. O(topics of the client).
    pub(super) fn stands_under(&self, client: &Client<S>, label: u32, sequence: u64) -> bool {
        match self.labels.at(label).kind {
            LabelKind::Group => client.group == label,
            LabelKind::UserName => client.user_name == label,
            LabelKind::Topic => {
                let mut at = client.topics.first();
                while let Some(slot) = at {
                    let subscription = self.subscriptions.at(slot);
                    if subscription.topic == label {
                        return sequence >= subscription.from;
                    }
                    at = next::<TopicsOf, _, _>(&self.subscriptions, slot);
                }
                false
            }
        }
    }

    /// A walk over the clients under `label`, in the order they came.
    pub(super) fn under(&self, label: u32) -> Under {
        let label = self.labels.at(label);
        let at = match label.kind {
            LabelKind::Group => label.in_group.first(),
            LabelKind::UserName => label.of_name.first(),
            LabelKind::Topic => label.listeners.first(),
        };
        Under { kind: label.kind, at }
    }

    /// The texts of the topics `client` listens to, in the order it began.
    pub(super) fn topics_of(&self, client: &Client<S>) -> impl Iterator<Item = &str> {
        self.subscriptions_of(client).map(|(topic, _)| topic)
    }

    /// The topics of a client, and the first sequence number it listens to each from.
    pub(super) fn subscriptions_of(&self, client: &Client<S>) -> impl Iterator<Item = (&str, u64)> {
        let mut at = client.topics.first();
        core::iter::from_fn(move || {
            let slot = at?;
            at = next::<TopicsOf, _, _>(&self.subscriptions, slot);
            let subscription = self.subscriptions.at(slot);
            Some((self.label_text(subscription.topic), subscription.from))
        })
    }

    pub(super) fn find_label(&self, kind: LabelKind, text: &str) -> Option<u32> {
        self.label_index.find(self.hash(kind as u8, text), |slot| {
            let label = self.labels.at(slot);
            label.kind == kind && label.text.as_str() == text
        })
    }

    pub(super) fn label_text(&self, label: u32) -> &str {
        self.labels.at(label).text.as_str()
    }

    pub(super) fn label_at(&self, label: u32) -> (LabelKind, &str) {
        (self.labels.at(label).kind, self.label_text(label))
    }

    /// The label of that kind and text, new if need be. Nobody stands under a new one yet: whoever asked puts someone there, or
    /// a frame, or releases it.
    pub(super) fn label(&mut self, kind: LabelKind, text: &str) -> Result<u32, Full> {
        if let Some(slot) = self.find_label(kind, text) {
            return Ok(slot);
        }
        let (count, limit, full) = match kind {
            LabelKind::Group => (self.groups, self.limits.groups, Full::Groups),
            LabelKind::Topic => (self.topics, self.limits.topics, Full::Topics),
            LabelKind::UserName => (0, u32::MAX, Full::Clients),
        };
        if count >= limit {
            return Err(full);
        }
        let copy = S::Text::copy_of(text).ok_or(full)?;
        let hash = hash(self.hash_key, kind as u8, text);
        let label =
            Label { kind, text: copy, hash, in_group: List::new(), of_name: List::new(), listeners: List::new(), frames: 0 };
        let slot = self.labels.insert(label).ok_or(full)?;
        match kind {
            LabelKind::Group => self.groups += 1,
            LabelKind::Topic => self.topics += 1,
            LabelKind::UserName => {}
        }
        self.label_index.insert(hash, slot);
        Ok(slot)
    }

    /// Whether there would be room for one more label of that kind if no frame in the log named any.
    pub(super) fn history_can_give_way(&self, kind: LabelKind) -> bool {
        let limit = match kind {
            LabelKind::Group => self.limits.groups,
            LabelKind::Topic => self.limits.topics,
            LabelKind::UserName => u32::MAX,
        };
        let here = self.present.iter().sum::<u32>();
        self.present[kind as usize] < limit && here < self.labels.len() + self.labels.free()
    }

    /// A frame in the log names `label`.
    pub(super) fn frame_added(&mut self, label: u32) {
        self.labels.at_mut(label).frames += 1;
    }

    /// A frame that named `label` left the log.
    pub(super) fn frame_removed(&mut self, label: u32) {
        self.labels.at_mut(label).frames -= 1;
        self.release_label(label);
    }

    /// Lets go of `label` if nothing refers to it any more.
    pub(super) fn release_label(&mut self, slot: u32) {
        let label = self.labels.at(slot);
        if label.frames > 0 || !label.is_deserted() {
            return;
        }
        let (kind, hash) = (label.kind, label.hash);
        match kind {
            LabelKind::Group => self.groups -= 1,
            LabelKind::Topic => self.topics -= 1,
            LabelKind::UserName => {}
        }
        self.label_index.remove(hash, slot);
        self.labels.remove(slot);
    }

    pub(super) fn topic_count(&self) -> u32 {
        self.topics
    }

    pub(super) fn group_count(&self) -> u32 {
        self.groups
    }

    pub(super) fn connection_id(&self, slot: u32) -> ConnId {
        ConnId { slot, generation: self.connections.generation(slot) }
    }

    pub(super) fn client_key(&self, slot: u32) -> ClientKey {
        ClientKey { slot, generation: self.clients.generation(slot) }
    }

    fn subscription(&self, client: u32, topic: u32) -> Option<u32> {
        let mut at = self.clients.at(client).topics.first();
        while let Some(slot) = at {
            if self.subscriptions.at(slot).topic == topic {
                return Some(slot);
            }
            at = next::<TopicsOf, _, _>(&self.subscriptions, slot);
        }
        None
    }

    fn remove_subscription(&mut self, slot: u32) {
        let &Subscription { client, topic, .. } = self.subscriptions.at(slot);
        self.labels.at_mut(topic).listeners.remove(&mut self.subscriptions, slot);
        self.present[LabelKind::Topic as usize] -= u32::from(self.labels.at(topic).is_deserted());
        let client = self.clients.at_mut(client);
        client.topics.remove(&mut self.subscriptions, slot);
        client.topic_count -= 1;
        self.subscriptions.remove(slot);
        self.release_label(topic);
    }

    fn hash(&self, salt: u8, text: &str) -> u32 {
        hash(self.hash_key, salt, text)
    }
}

/// Keyed, because peers choose names.
fn hash(key: [u64; 2], salt: u8, text: &str) -> u32 {
    let mut hasher = SipHasher13::new_with_keys(key[0], key[1]);
    hasher.write(text.as_bytes());
    hasher.write_u8(salt);
    hasher.finish() as u32
}
