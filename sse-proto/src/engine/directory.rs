//! Who is here: connections, clients, and the labels clients stand under (groups, user names, topics).
//!
//! It owns those tables, keeps their links consistent and enforces their limits. It sends nothing and reads no clock.

use core::fmt;
use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::delivery::{Connection, OfReady, Phase, Stream};
use crate::config::Limits;
use crate::id::{ClientId, ClientKey, ConnId};
use crate::storage::Storage;
use crate::storage::parts::{Index, Text};
use crate::storage::slab::{Column, Link, List, Slab, Slot, linked, next};
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

/// What of a client must be at hand to reach its connections.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) standing: Standing,
    pub(super) dialect: super::Dialect,
    pub(super) connections: List<OfClient>,
}

/// Everything else.
#[derive(Debug)]
pub(super) struct Profile {
    hash: u32,
    pub(super) group: u32,
    pub(super) user_name: u32,
    in_group: Link,
    of_name: Link,
    pub(super) connection_count: u32,
    pub(super) topics: List<TopicsOf>,
    pub(super) topic_count: u32,
    pub(super) tasks: List<super::tasks::OfClient>,
    pub(super) task_count: u32,
    pub(super) registered: Instant,
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

linked!(Profile, InGroup, in_group);
linked!(Profile, OfName, of_name);
linked!(Subscription, OfTopic, of_topic);
linked!(Subscription, TopicsOf, topics_of);

type Connections<S> = Slab<Connection, <S as Storage>::Connections<Slot<Connection>>>;
type Streams<S> = Column<Stream, <S as Storage>::Connections<Stream>>;
type Clients<S> = Slab<Client, <S as Storage>::Clients<Slot<Client>>>;
type Profiles<S> = Column<Profile, <S as Storage>::Clients<Profile>>;
type Ids<S> = Column<<S as Storage>::Text, <S as Storage>::Clients<<S as Storage>::Text>>;
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
    /// Tasks keep as many bytes of progress, results and reasons as they may.
    Details,
    /// The last sequence number that there is was given out.
    Sequence,
}

impl Full {
    /// The limit that was reached, by its name in [`Limits`] if it stands there.
    pub const fn limit(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsOfClient => "connections_per_client",
            Self::Clients => "clients",
            Self::Groups => "groups",
            Self::Topics => "topics",
            Self::Subscriptions => "topics_per_client or subscriptions",
            Self::Tasks => "tasks_per_client or tasks",
            Self::Details => "detail_bytes",
            Self::Sequence => "of sequence numbers",
        }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the limit {} is reached", self.limit())
    }
}

/// What someone is to stand under, or a frame is to name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Names<'a> {
    pub(super) group: Option<&'a str>,
    pub(super) user_name: Option<&'a str>,
    pub(super) topics: &'a [&'a str],
}

impl<'a> Names<'a> {
    fn each(&self) -> impl Iterator<Item = (LabelKind, &'a str)> {
        let topics = each_once(self.topics).map(|topic| (LabelKind::Topic, topic));
        let group = self.group.map(|group| (LabelKind::Group, group));
        let user_name = self.user_name.map(|name| (LabelKind::UserName, name));
        group.into_iter().chain(user_name).chain(topics)
    }
}

fn each_once<'a>(names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    names.iter().enumerate().filter(|&(index, name)| !names[..index].contains(name)).map(|(_, name)| *name)
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
            LabelKind::Group => (slot, next::<InGroup>(&directory.profiles, slot)),
            LabelKind::UserName => (slot, next::<OfName>(&directory.profiles, slot)),
            LabelKind::Topic => (directory.subscriptions.at(slot).client, next::<OfTopic>(&directory.subscriptions, slot)),
        };
        self.at = after;
        Some(client)
    }
}

/// A walk over the connections of a client. It holds no borrow, either; the connection it told last may be gone by the next step.
pub(super) struct ConnectionsOf {
    at: Option<u32>,
    last: u32,
}

impl ConnectionsOf {
    /// The next connection. Where there is but one, its stream is not looked at.
    pub(super) fn next<S: Storage>(&mut self, directory: &Directory<S>) -> Option<u32> {
        let slot = self.at?;
        self.at = if slot == self.last { None } else { next::<OfClient>(&directory.streams, slot) };
        Some(slot)
    }
}

pub(super) struct Directory<S: Storage> {
    limits: Limits,
    hash_key: [u64; 2],
    pub(super) connections: Connections<S>,
    /// Those that are ready, the longest first, and those that are closing.
    pub(super) ready: List<OfReady>,
    pub(super) streams: Streams<S>,
    pub(super) clients: Clients<S>,
    pub(super) profiles: Profiles<S>,
    ids: Ids<S>,
    /// Who is gone stays in it until the slot is used again or the same one comes back: looking for the cell is most of what an expiry
    /// would take, and one who comes is looked for anyway.
    client_index: S::ClientIndex,
    labels: Labels<S>,
    label_index: S::LabelIndex,
    /// Labels of each kind, and of those how many someone stands under.
    known: [u32; 3],
    present: [u32; 3],
    pub(super) issued: u32,
    subscriptions: Subscriptions<S>,
}

impl<S: Storage> Directory<S> {
    pub(super) const EMPTY: Self = Self {
        limits: Limits::NOTHING,
        hash_key: [0; 2],
        connections: Slab::EMPTY,
        ready: List::new(),
        streams: Column::EMPTY,
        clients: Slab::EMPTY,
        profiles: Column::EMPTY,
        ids: Column::EMPTY,
        client_index: S::ClientIndex::EMPTY,
        labels: Slab::EMPTY,
        label_index: S::LabelIndex::EMPTY,
        known: [0; 3],
        present: [0; 3],
        issued: 0,
        subscriptions: Slab::EMPTY,
    };

    pub(super) fn begin(&mut self, limits: Limits, hash_key: [u64; 2]) {
        (self.limits, self.hash_key) = (limits, hash_key);
        let clients = limits.clients as usize;
        // Every client may have a user name of its own.
        let labels = clients.saturating_add(limits.groups as usize).saturating_add(limits.topics as usize);
        self.connections.limit_to(limits.connections as usize);
        self.streams.limit_to(limits.connections as usize);
        self.clients.limit_to(clients);
        self.profiles.limit_to(clients);
        self.ids.limit_to(clients);
        self.client_index.limit_to(clients);
        self.labels.limit_to(labels);
        self.label_index.limit_to(labels);
        self.subscriptions.limit_to(limits.subscriptions as usize);
    }

    /// Finds a client by group and id, whatever its standing but detached. O(1).
    pub(super) fn find_client(&self, group: &str, id: &str) -> Option<u32> {
        let group = self.find_label(LabelKind::Group, group)?;
        let hash = self.hash(group as u8, id);
        self.client_index.find(hash, |slot| {
            let client = self.profiles.at(slot);
            self.is_known(slot) && client.group == group && self.id_of(slot) == id
        })
    }

    /// Adds a client under a group and an id that are not taken. Labels come into being as needed: there is room for them.
    pub(super) fn add_client(&mut self, group: &str, id: ClientId<'_>, standing: Standing, now: Instant) -> Result<u32, Full> {
        let text = S::Text::copy_of(id.as_str()).ok_or(Full::Clients)?;
        let group = self.label(LabelKind::Group, group)?;
        let user_name = self.label(LabelKind::UserName, id.user_name())?;
        let hash = self.hash(group as u8, id.as_str());
        // However often one comes and goes, the index has no more of a hash than were known at once.
        if let Some(gone) = self.client_index.find(hash, |slot| !self.is_known(slot)) {
            self.client_index.remove(hash, gone);
        }
        let client = Client { standing, dialect: super::Dialect::Named, connections: List::new() };
        let slot = self.clients.insert(client).ok_or(Full::Clients)?;
        let profile = Profile {
            hash,
            group,
            user_name,
            in_group: Link::OUT,
            of_name: Link::OUT,
            connection_count: 0,
            topics: List::new(),
            topic_count: 0,
            tasks: List::new(),
            task_count: 0,
            registered: now,
        };
        if let Some(before) = self.profiles.get(slot) {
            self.client_index.remove(before.hash, slot);
        }
        self.profiles.put(slot, profile);
        self.ids.put(slot, text);
        self.client_index.insert(hash, slot);
        for label in [group, user_name] {
            self.present[self.labels.at(label).kind as usize] += u32::from(self.labels.at(label).is_deserted());
        }
        self.labels.at_mut(group).in_group.push_back(&mut self.profiles, slot);
        self.labels.at_mut(user_name).of_name.push_back(&mut self.profiles, slot);
        self.issued += u32::from(standing == Standing::Issued);
        Ok(slot)
    }

    /// Gives up the client's id, name, group and topics; its connections stay.
    pub(super) fn detach_client(&mut self, slot: u32) {
        let standing = core::mem::replace(&mut self.clients.at_mut(slot).standing, Standing::Detached);
        self.leave_labels(slot, standing);
    }

    /// A client that stood for `standing` is in no list of a group, a user name or a topic any more.
    #[cfg_attr(feature = "std", inline(always))]
    fn leave_labels(&mut self, slot: u32, standing: Standing) {
        if standing == Standing::Detached {
            return;
        }
        self.issued -= u32::from(standing == Standing::Issued);
        let &Profile { group, user_name, in_group, of_name, ref topics, .. } = self.profiles.at(slot);
        let mut topic = topics.first();
        let label = self.labels.at_mut(group);
        label.in_group.leave_out(&mut self.profiles, slot, in_group);
        if label.in_group.is_empty() {
            self.deserted(group);
        }
        let label = self.labels.at_mut(user_name);
        label.of_name.leave_out(&mut self.profiles, slot, of_name);
        if label.of_name.is_empty() {
            self.deserted(user_name);
        }
        while let Some(subscription) = topic {
            topic = next::<TopicsOf>(&self.subscriptions, subscription);
            self.remove_subscription(subscription);
        }
    }

    pub(super) fn id_of(&self, client: u32) -> &str {
        self.ids.at(client).as_str()
    }

    /// Removes a client that has no connections and no tasks. Its id is still to be taken.
    #[cfg_attr(feature = "std", inline(always))]
    pub(super) fn remove_client(&mut self, slot: u32) {
        let standing = self.clients.at(slot).standing;
        self.clients.remove(slot);
        self.leave_labels(slot, standing);
    }

    /// The id of a client that was removed.
    #[cfg_attr(feature = "std", inline(always))]
    pub(super) fn take_id(&mut self, slot: u32) -> S::Text {
        core::mem::take(self.ids.at_mut(slot))
    }

    /// The last client is gone, and the memory of their table.
    pub(super) fn give_back_clients(&mut self) {
        self.profiles.give_back();
        self.ids.give_back();
        self.client_index.clear();
    }

    pub(super) fn add_connection(&mut self, connection: Connection, stream: Stream) -> Result<u32, Full> {
        let client = stream.client;
        let slot = self.connections.insert(connection).ok_or(Full::Connections)?;
        self.streams.put(slot, stream);
        self.clients.at_mut(client).connections.push_back(&mut self.streams, slot);
        self.profiles.at_mut(client).connection_count += 1;
        Ok(slot)
    }

    /// Removes a connection of that client.
    pub(super) fn remove_connection(&mut self, slot: u32, client: u32) {
        self.ready.remove(&mut self.connections, slot);
        self.clients.at_mut(client).connections.remove(&mut self.streams, slot);
        self.profiles.at_mut(client).connection_count -= 1;
        self.connections.remove(slot);
        self.streams.follow(&self.connections);
    }

    /// Takes a connection to `phase`, where it is the last of those that are ready; the phase it was in.
    #[inline(always)]
    pub(super) fn enter(&mut self, slot: u32, phase: Phase) -> Phase {
        let before = core::mem::replace(&mut self.connections.at_mut(slot).phase, phase);
        self.ready.remove(&mut self.connections, slot);
        if phase.is_ready() {
            self.ready.push_back(&mut self.connections, slot);
        }
        before
    }

    /// The frame `sequence` is for the connection.
    #[inline(always)]
    pub(super) fn mark(&mut self, slot: u32, sequence: u64) {
        let connection = self.connections.at_mut(slot);
        if sequence < connection.cursor || connection.finishing {
            return;
        }
        if connection.cursor > connection.until {
            (connection.cursor, connection.found) = (sequence, !connection.silent);
        }
        connection.until = sequence;
        if connection.phase == Phase::Idle {
            connection.phase = Phase::Ready;
            self.ready.push_back(&mut self.connections, slot);
        }
    }

    /// The connections of a client, in the order they came.
    pub(super) fn connections_of(&self, client: u32) -> ConnectionsOf {
        let connections = &self.clients.at(client).connections;
        ConnectionsOf { at: connections.first(), last: connections.last().unwrap_or(0) }
    }

    /// Whether `client` can take on `topics` besides those it has. O(topics × (topics + topics of the client)).
    pub(super) fn can_listen(&self, client: Option<u32>, topics: &[&str]) -> Result<(), Full> {
        // Looking for those that come twice would take too long.
        if topics.len() > self.limits.topics_per_client as usize {
            return Err(Full::Subscriptions);
        }
        let is_new = |topic: &&str| {
            let subscription = |client| self.subscription(client, self.find_label(LabelKind::Topic, topic)?);
            client.and_then(subscription).is_none()
        };
        let subscriptions = each_once(topics).filter(is_new).count() as u32;
        let has = client.map_or(0, |slot| self.profiles.at(slot).topic_count);
        if has + subscriptions > self.limits.topics_per_client || subscriptions > self.subscriptions.free() {
            return Err(Full::Subscriptions);
        }
        Ok(())
    }

    /// Whether there is room for a label of each of these names. If not, there will be once so many of the oldest frames are gone,
    /// with what only they name. O(names²).
    ///
    /// # Errors
    ///
    /// Which table is full even without what only frames name.
    pub(super) fn has_room(&self, names: &Names<'_>) -> Result<bool, Full> {
        let most = names.topics.len() as u32 + 2;
        let plenty = |kind: LabelKind| self.known[kind as usize].saturating_add(most) <= self.limit_of(kind).0;
        if most <= self.labels.free() && plenty(LabelKind::Group) && plenty(LabelKind::Topic) {
            return Ok(true);
        }
        match self.fit(names, true) {
            Ok(()) => Ok(true),
            Err(_) => self.fit(names, false).map(|()| false),
        }
    }

    /// Whether the names fit beside all labels, or beside those that someone stands under.
    fn fit(&self, names: &Names<'_>, all: bool) -> Result<(), Full> {
        let room = self.labels.len() + self.labels.free();
        let mut count = if all { self.known } else { self.present };
        for (kind, name) in names.each() {
            if self.find_label(kind, name).is_some_and(|label| all || !self.labels.at(label).is_deserted()) {
                continue;
            }
            count[kind as usize] += 1;
            let (limit, full) = self.limit_of(kind);
            if count[kind as usize] > limit || count.iter().sum::<u32>() > room {
                return Err(full);
            }
        }
        Ok(())
    }

    /// How many labels of a kind there may be, and what is full when there are as many.
    fn limit_of(&self, kind: LabelKind) -> (u32, Full) {
        match kind {
            LabelKind::Group => (self.limits.groups, Full::Groups),
            LabelKind::Topic => (self.limits.topics, Full::Topics),
            LabelKind::UserName => (u32::MAX, Full::Clients),
        }
    }

    /// `client`, who can, listens to `topic` for sequence numbers from `from` on, or from an earlier one on if it did already: then
    /// false.
    pub(super) fn listen(&mut self, client: u32, topic: &str, from: u64) -> Result<bool, Full> {
        let topic = self.label(LabelKind::Topic, topic)?;
        if let Some(slot) = self.subscription(client, topic) {
            let subscription = self.subscriptions.at_mut(slot);
            subscription.from = subscription.from.min(from);
            return Ok(false);
        }
        let subscription = Subscription { client, topic, from, of_topic: Link::OUT, topics_of: Link::OUT };
        let slot = self.subscriptions.insert(subscription).ok_or(Full::Subscriptions)?;
        self.present[LabelKind::Topic as usize] += u32::from(self.labels.at(topic).is_deserted());
        self.labels.at_mut(topic).listeners.push_back(&mut self.subscriptions, slot);
        let client = self.profiles.at_mut(client);
        client.topics.push_back(&mut self.subscriptions, slot);
        client.topic_count += 1;
        Ok(true)
    }

    /// False when `client` did not listen to `topic`. O(topics and connections of the client).
    pub(super) fn unlisten(&mut self, client: u32, topic: &str) -> bool {
        let subscription = self.find_label(LabelKind::Topic, topic).and_then(|topic| self.subscription(client, topic));
        let Some(subscription) = subscription else {
            return false;
        };
        self.remove_subscription(subscription);
        let mut connections = self.connections_of(client);
        while let Some(conn) = connections.next(self) {
            self.connections.at_mut(conn).found = false;
        }
        true
    }

    /// Whether a frame under `label` with `sequence` is for `client`. O(topics of the client).
    pub(super) fn stands_under(&self, client: &Profile, label: u32, sequence: u64) -> bool {
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
                    at = next::<TopicsOf>(&self.subscriptions, slot);
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
    pub(super) fn topics_of(&self, client: &Profile) -> impl Iterator<Item = &str> {
        self.subscriptions_of(client).map(|(topic, _)| topic)
    }

    /// The topics of a client, and the first sequence number it listens to each from.
    pub(super) fn subscriptions_of(&self, client: &Profile) -> impl Iterator<Item = (&str, u64)> {
        let mut at = client.topics.first();
        core::iter::from_fn(move || {
            let slot = at?;
            at = next::<TopicsOf>(&self.subscriptions, slot);
            let subscription = self.subscriptions.at(slot);
            Some((self.label_text(subscription.topic), subscription.from))
        })
    }

    pub(super) fn find_label(&self, kind: LabelKind, text: &str) -> Option<u32> {
        self.find_hashed(self.hash(kind as u8, text), kind, text)
    }

    fn find_hashed(&self, hash: u32, kind: LabelKind, text: &str) -> Option<u32> {
        self.label_index.find(hash, |slot| {
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

    /// The label of that kind and text, new if need be: for who saw to it that there is room. Nobody stands under a new one yet:
    /// whoever asked puts someone there, or a frame, or releases it.
    pub(super) fn label(&mut self, kind: LabelKind, text: &str) -> Result<u32, Full> {
        let hash = self.hash(kind as u8, text);
        if let Some(slot) = self.find_hashed(hash, kind, text) {
            return Ok(slot);
        }
        let (_, full) = self.limit_of(kind);
        let copy = S::Text::copy_of(text).ok_or(full)?;
        let label =
            Label { kind, text: copy, hash, in_group: List::new(), of_name: List::new(), listeners: List::new(), frames: 0 };
        let slot = self.labels.insert(label).ok_or(full)?;
        self.known[kind as usize] += 1;
        self.label_index.insert(hash, slot);
        Ok(slot)
    }

    /// A frame in the log names `label`.
    pub(super) fn frame_added(&mut self, label: u32) {
        self.labels.at_mut(label).frames += 1;
    }

    /// A frame that named `label` left the log; whether the label went with it.
    pub(super) fn frame_removed(&mut self, label: u32) -> bool {
        self.labels.at_mut(label).frames -= 1;
        self.release_label(label)
    }

    /// The last one who stood under a label left it.
    #[inline(never)]
    fn deserted(&mut self, slot: u32) {
        self.present[self.labels.at(slot).kind as usize] -= 1;
        self.release_label(slot);
    }

    /// Lets go of a label if nothing refers to it any more; whether it did.
    fn release_label(&mut self, slot: u32) -> bool {
        let &Label { kind, hash, frames, .. } = self.labels.at(slot);
        let unused = frames == 0 && self.labels.at(slot).is_deserted();
        if unused {
            self.known[kind as usize] -= 1;
            self.label_index.remove(hash, slot);
            self.labels.remove(slot);
        }
        unused
    }

    /// How many labels of a kind there are.
    pub(super) fn label_count(&self, kind: LabelKind) -> u32 {
        self.known[kind as usize]
    }

    pub(super) fn connection_id(&self, slot: u32) -> ConnId {
        ConnId { slot, generation: self.connections.generation(slot) }
    }

    pub(super) fn client_key(&self, slot: u32) -> ClientKey {
        ClientKey { slot, generation: self.clients.generation(slot) }
    }

    /// Whether someone has the slot, and their id.
    fn is_known(&self, slot: u32) -> bool {
        self.clients.get(slot).is_some_and(|client| client.standing != Standing::Detached)
    }

    fn subscription(&self, client: u32, topic: u32) -> Option<u32> {
        let mut at = self.profiles.at(client).topics.first();
        while let Some(slot) = at {
            if self.subscriptions.at(slot).topic == topic {
                return Some(slot);
            }
            at = next::<TopicsOf>(&self.subscriptions, slot);
        }
        None
    }

    #[inline(never)]
    fn remove_subscription(&mut self, slot: u32) {
        let &Subscription { client, topic, .. } = self.subscriptions.at(slot);
        let client = self.profiles.at_mut(client);
        client.topics.remove(&mut self.subscriptions, slot);
        client.topic_count -= 1;
        let label = self.labels.at_mut(topic);
        label.listeners.remove(&mut self.subscriptions, slot);
        if label.is_deserted() {
            self.deserted(topic);
        }
        self.subscriptions.remove(slot);
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
