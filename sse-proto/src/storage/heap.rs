//! Storage on the heap: tables grow on demand, never past their limit.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use hashbrown::HashTable;

use super::Storage;
use super::parts::{self, Buffer, Index, Queue, Sealed, Table};
use crate::config::Limits;
use crate::engine::{Engine, RowSizes};

/// Growable storage. Memory follows use; the limits of [`Limits`](crate::Limits) bound it.
#[derive(Debug)]
pub enum Heap {}

impl Sealed for Heap {}

impl Storage for Heap {
    const CAPACITY: Limits = Limits {
        connections: u32::MAX,
        clients: u32::MAX,
        issued_ids: u32::MAX,
        connections_per_client: u32::MAX,
        groups: u32::MAX,
        topics: u32::MAX,
        topics_per_client: u32::MAX,
        subscriptions: u32::MAX,
        tasks_per_client: u32::MAX,
        tasks: u32::MAX,
        detail_bytes: u32::MAX,
        name_bytes: u32::MAX,
        topic_bytes: u32::MAX,
        frame_bytes: u32::MAX,
        log_bytes: u32::MAX,
        log_entries: u32::MAX,
    };

    type Text = Text;
    type Detail = Box<str>;
    type Connections<T> = Rows<T>;
    type Clients<T> = Rows<T>;
    type ClientIndex = SlotIndex;
    type Labels<T> = Rows<T>;
    type LabelIndex = SlotIndex;
    type Subscriptions<T> = Rows<T>;
    type Tasks<T> = Rows<T>;
    type Entries<T> = Ring<T>;
    type EventIndex = SlotIndex;
    type Log = Vec<u8>;
    type Frame = Vec<u8>;
}

/// The most memory the parts of an engine take, in bytes, when each of their limits is reached at once. Nothing is taken before it
/// is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBounds {
    /// Frames and their headers, and the longest notice.
    pub log: u64,
    /// Open connections.
    pub connections: u64,
    /// Clients, their ids, groups and user names.
    pub clients: u64,
    /// Topics, and who listens to them.
    pub topics: u64,
    /// Tasks and their results.
    pub tasks: u64,
}

impl Engine<Heap> {
    /// The most memory an engine with these `limits` takes on the heap. An allocator's own loss is not counted.
    pub fn memory_bounds(limits: &Limits) -> MemoryBounds {
        let RowSizes { connection, client, label, subscription, task, log_entry } = Self::ROW_SIZES;
        let rows = |count: u32, size: usize| u64::from(count) * (GROWTH * size) as u64;
        let text = |count: u32, bytes: u32| u64::from(count) * u64::from(bytes);
        let labels = |count, bytes| rows(count, label + INDEXED) + text(count, bytes);
        let clients = limits.clients.saturating_add(limits.issued_ids);
        MemoryBounds {
            log: u64::from(limits.log_bytes) + rows(limits.log_entries, log_entry + INDEXED) + rows(limits.frame_bytes, 1),
            connections: rows(limits.connections, connection),
            clients: rows(clients, client + INDEXED)
                + text(clients, limits.name_bytes)
                + labels(clients, limits.name_bytes)
                + labels(limits.groups, limits.name_bytes),
            // A user name that only frames name may have the place of a topic.
            topics: labels(limits.topics, limits.topic_bytes.max(limits.name_bytes)) + rows(limits.subscriptions, subscription),
            tasks: rows(limits.tasks, task) + text(limits.tasks, limits.name_bytes) + u64::from(limits.detail_bytes),
        }
    }
}

/// A table that grows doubles: it may be twice as long as it need be.
const GROWTH: usize = 2;
/// What an index keeps for each row: a hash, a slot and a byte of its own, at most seven eighths full.
const INDEXED: usize = 11;

/// Rows that an empty table keeps room for.
const KEPT: usize = 64;

/// A string: a short one in place, so that it takes no allocation and who has the row has the text, a longer one on the heap.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Place);

#[derive(Clone, PartialEq, Eq)]
enum Place {
    Here(heapless::String<IN_PLACE, u8>),
    There(Box<str>),
}

/// With its length and the mark which of both it is, 40 bytes. A user name of 11 bytes has room beside the 27 of an allocated id.
const IN_PLACE: usize = 38;

impl parts::Text for Text {
    fn copy_of(text: &str) -> Option<Self> {
        Some(Self(heapless::String::try_from(text).map_or_else(|_| Place::There(text.into()), Place::Here)))
    }

    fn as_str(&self) -> &str {
        self
    }
}

impl parts::Text for Box<str> {
    fn copy_of(text: &str) -> Option<Self> {
        Some(text.into())
    }

    fn as_str(&self) -> &str {
        self
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Place::Here(text) => text,
            Place::There(text) => text,
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Self(Place::Here(heapless::String::new()))
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl From<Text> for alloc::string::String {
    fn from(text: Text) -> Self {
        match text.0 {
            Place::Here(text) => Self::from(text.as_str()),
            Place::There(text) => text.into(),
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

/// Rows on the heap.
#[derive(Debug)]
pub struct Rows<T> {
    rows: Vec<T>,
    limit: usize,
}

impl<T> Table<T> for Rows<T> {
    const EMPTY: Self = Self { rows: Vec::new(), limit: 0 };

    fn limit_to(&mut self, limit: usize) {
        self.limit = limit;
    }

    fn push(&mut self, row: T) -> Result<(), T> {
        if self.rows.len() == self.limit {
            return Err(row);
        }
        self.rows.push(row);
        Ok(())
    }

    fn limit(&self) -> usize {
        self.limit
    }

    #[cold]
    fn give_back(&mut self) -> bool {
        if self.rows.len() <= KEPT {
            return false;
        }
        self.rows = Vec::new();
        true
    }

    fn rows(&self) -> &[T] {
        &self.rows
    }

    fn rows_mut(&mut self) -> &mut [T] {
        &mut self.rows
    }
}

/// A double-ended queue on the heap.
#[derive(Debug)]
pub struct Ring<T> {
    items: VecDeque<T>,
    limit: usize,
}

impl<T> Queue<T> for Ring<T> {
    const EMPTY: Self = Self { items: VecDeque::new(), limit: 0 };

    fn limit_to(&mut self, limit: usize) {
        self.limit = limit;
    }

    fn is_full(&self) -> bool {
        self.items.len() == self.limit
    }

    fn len(&self) -> usize {
        self.items.len()
    }

    fn push_back(&mut self, item: T) -> Result<(), T> {
        if self.is_full() {
            return Err(item);
        }
        self.items.push_back(item);
        Ok(())
    }

    fn pop_front(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    fn at(&self, index: usize) -> Option<&T> {
        self.items.get(index)
    }
}

/// A hash table of slots. It keeps 32 bits of each hash, so that growing it needs no look at what the slots hold.
#[derive(Debug)]
pub struct SlotIndex {
    table: HashTable<(u32, u32)>,
    limit: usize,
}

impl Index for SlotIndex {
    const EMPTY: Self = Self { table: HashTable::new(), limit: 0 };

    fn limit_to(&mut self, limit: usize) {
        self.limit = limit;
    }

    fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let found = self.table.find(spread(hash), |&(other, slot)| other == hash && is_it(slot));
        found.map(|&(_, slot)| slot)
    }

    fn insert(&mut self, hash: u32, slot: u32) {
        debug_assert!(self.table.len() < self.limit, "something was not removed");
        self.table.insert_unique(spread(hash), (hash, slot), |&(hash, _)| spread(hash));
    }

    fn remove(&mut self, hash: u32, slot: u32) {
        if let Ok(entry) = self.table.find_entry(spread(hash), |&(_, other)| other == slot) {
            entry.remove();
        }
        if self.table.is_empty() && self.table.capacity() > KEPT {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.table = HashTable::new();
    }
}

/// The table looks at the lowest and at the highest bits.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Buffer for Vec<u8> {
    const EMPTY: Self = Vec::new();

    fn resize(&mut self, len: usize) -> bool {
        if self.is_empty() {
            *self = vec![0; len];
        } else {
            Vec::resize(self, len, 0);
        }
        true
    }

    fn bytes(&self) -> &[u8] {
        self
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}
