//! Looking around: what the engine knows, without changing it.

use super::Engine;
use super::Stale;
use super::deadlines::{Timer, Turn};
use super::delivery::{Connection, Stream};
use super::directory::{Client, Label, LabelKind, Profile, Subscription};
use super::log::Entry;
use super::tasks::{Task, TaskState};
use crate::id::{ClientKey, ConnId};
use crate::storage::Storage;
use crate::storage::parts::Text;
use crate::storage::slab::Slot;
use crate::time::Instant;

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

/// Bytes of one row of each table: what an engine keeps for one of each, texts and results aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowSizes {
    /// An open connection.
    pub connection: usize,
    /// A client.
    pub client: usize,
    /// A group, a user name or a topic.
    pub label: usize,
    /// A client listening to a topic.
    pub subscription: usize,
    /// A task.
    pub task: usize,
    /// The header of a frame in the log.
    pub log_entry: usize,
}

impl<S: Storage> Engine<S> {
    /// How large the rows of its tables are.
    pub const ROW_SIZES: RowSizes = RowSizes {
        connection: size_of::<Slot<Connection>>() + size_of::<Stream>() + size_of::<Turn>(),
        client: size_of::<Slot<Client>>() + size_of::<Profile>() + size_of::<S::Text>() + size_of::<Timer>(),
        label: size_of::<Slot<Label<S>>>(),
        subscription: size_of::<Slot<Subscription>>(),
        task: size_of::<Slot<Task<S>>>(),
        log_entry: size_of::<Entry>(),
    };

    /// The registered client with that id. O(1).
    pub fn find(&self, group: &str, id: &str) -> Option<ClientKey> {
        let key = self.directory.client_key(self.directory.find_client(group, id)?);
        self.client(key).is_ok().then_some(key)
    }

    /// What is known of a client. O(1).
    pub fn client_info(&self, key: ClientKey) -> Option<ClientInfo<'_>> {
        let slot = self.client(key).ok()?;
        let client = self.directory.profiles.at(slot);
        Some(ClientInfo {
            key,
            id: self.directory.id_of(slot),
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
        Ok(self.directory.client_key(self.directory.streams.at(slot).client))
    }

    /// The registered clients, in no particular order that stays.
    pub fn clients(&self) -> impl Iterator<Item = ClientInfo<'_>> {
        self.directory.clients.iter().filter_map(|(slot, _)| self.client_info(self.directory.client_key(slot)))
    }

    /// The topics a client listens to, in the order it began.
    pub fn topics(&self, client: ClientKey) -> impl Iterator<Item = &str> {
        let client = self.client(client).ok().map(|slot| self.directory.profiles.at(slot));
        client.into_iter().flat_map(|client| self.directory.topics_of(client))
    }

    /// The clients that listen to `topic`, in the order they began.
    pub fn listeners(&self, topic: &str) -> impl Iterator<Item = ClientKey> {
        let label = self.directory.find_label(LabelKind::Topic, topic);
        let mut under = label.map(|label| self.directory.under(label));
        core::iter::from_fn(move || Some(self.directory.client_key(under.as_mut()?.next(&self.directory)?)))
    }

    /// The open connections of a client, in the order they came.
    pub fn connections(&self, client: ClientKey) -> impl Iterator<Item = ConnId> {
        let mut connections = self.client(client).ok().map(|slot| self.directory.connections_of(slot));
        core::iter::from_fn(move || Some(self.directory.connection_id(connections.as_mut()?.next(&self.directory)?)))
    }

    /// The tasks of a client, in the order they were submitted.
    pub fn tasks(&self, client: ClientKey) -> impl Iterator<Item = TaskInfo<'_>> {
        let client = self.client(client).ok().map(|slot| self.directory.profiles.at(slot));
        client.into_iter().flat_map(|client| self.tasks.of(client)).map(|slot| {
            let task = self.tasks.at(slot);
            TaskInfo { name: task.name.as_str(), state: task.state, detail: task.detail() }
        })
    }
}
