//! Where the engine's tables live.
//!
//! One engine body runs over two kinds of storage: [`Heap`] grows on demand up to the configured limits, and [`fixed::Fixed`] is one
//! piece of memory of a size known beforehand. Everything the engine keeps goes through the traits below; nothing outside this
//! folder names a growable collection.

pub mod fixed;
#[cfg(feature = "alloc")]
mod heap;
#[cfg(feature = "alloc")]
mod put;
mod scratch;
pub(crate) mod slab;

use core::fmt::Debug;

#[cfg(feature = "alloc")]
pub use heap::{Heap, MemoryBounds};
#[cfg(feature = "alloc")]
pub use scratch::HeapScratch;
pub use scratch::{FixedScratch, Scratch};
pub(crate) use scratch::{Full, Slot};

use crate::config::Limits;

/// A kind of storage for an [`Engine`](crate::Engine). Sealed: the implementors are this crate's own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no storage of an engine",
    note = "there are `Heap` and `Fixed<Connections<_>, Clients<_>, Labels<_>, Subscriptions<_>, Tasks<_>, DetailBytes<_>, \
            LogBytes<_>, LogEntries<_>, FrameBytes<_>, TextBytes<_>>`, in this order"
)]
pub trait Storage: parts::Sealed {
    /// How large each of an engine's limits may be.
    const CAPACITY: Limits;

    /// A short string: an id, a topic, a task's name.
    type Text: parts::Text + AsRef<str> + Clone + Debug + Eq;
    /// What is kept with a task: its progress, its result, or why it failed.
    type Detail: parts::Text;
    /// Open connections.
    type Connections<T>: parts::Table<T>;
    /// Clients, issued ids included.
    type Clients<T>: parts::Table<T>;
    /// From a client's id to its slot.
    type ClientIndex: parts::Index;
    /// Groups, user names and topics.
    type Labels<T>: parts::Table<T>;
    /// From a label's text to its slot.
    type LabelIndex: parts::Index;
    /// One for each topic a client listens to.
    type Subscriptions<T>: parts::Table<T>;
    /// One for each task a client waits for.
    type Tasks<T>: parts::Table<T>;
    /// Headers of the log's frames, oldest first.
    type Entries<T>: parts::Queue<T>;
    /// From an application's event id to its frame.
    type EventIndex: parts::Index;
    /// The log.
    type Log: parts::Buffer;
    /// The place where the engine's own frames are made.
    type Frame: parts::Buffer;
}

/// What a storage is made of. Public because [`Storage`](super::Storage) names it, unreachable from outside.
pub(crate) mod parts {
    /// Keeps [`Storage`](super::Storage) closed.
    pub trait Sealed {}

    /// A string of bounded length. The default is none of it.
    pub trait Text: Default {
        /// A copy of `text`, or `None` when it is too long for this storage.
        fn copy_of(text: &str) -> Option<Self>;
        /// The string.
        fn as_str(&self) -> &str;
    }

    /// A table that grows at its end up to a limit.
    pub trait Table<T> {
        /// A table without rows, which may have none.
        const EMPTY: Self;
        /// From now on it may have `limit` rows (fewer, where the storage itself is smaller).
        fn limit_to(&mut self, limit: usize);
        /// Adds a row; `Err` gives it back when the table is full.
        fn push(&mut self, row: T) -> Result<(), T>;
        /// How many rows it may have.
        fn limit(&self) -> usize;
        /// Drops all rows to give their memory back, if there is much of it; whether it did.
        fn give_back(&mut self) -> bool;
        /// The rows.
        fn rows(&self) -> &[T];
        /// The rows, to change.
        fn rows_mut(&mut self) -> &mut [T];
    }

    /// A queue of bounded length that can be read anywhere.
    pub trait Queue<T> {
        /// A queue without items, which may have none.
        const EMPTY: Self;
        /// From now on it may have `limit` items (fewer, where the storage itself is smaller).
        fn limit_to(&mut self, limit: usize);
        /// Whether it holds as many items as it may.
        fn is_full(&self) -> bool;
        /// Number of items.
        fn len(&self) -> usize;
        /// Adds an item at the back; `Err` gives it back when the queue is full.
        fn push_back(&mut self, item: T) -> Result<(), T>;
        /// Takes the oldest item.
        fn pop_front(&mut self) -> Option<T>;
        /// The item at `index`, counted from the oldest.
        fn at(&self, index: usize) -> Option<&T>;
    }

    /// A hash table from a hash to slots.
    pub trait Index {
        /// An index without slots.
        const EMPTY: Self;
        /// The caller will keep to `limit` slots, and to what the storage holds.
        fn limit_to(&mut self, limit: usize);
        /// The slot stored under `hash` for which `is_it` holds.
        fn find(&self, hash: u32, is_it: impl FnMut(u32) -> bool) -> Option<u32>;
        /// Stores `slot` under `hash`. The caller keeps to the limit.
        fn insert(&mut self, hash: u32, slot: u32);
        /// Removes `slot` stored under `hash`.
        fn remove(&mut self, hash: u32, slot: u32);
        /// Removes all slots, and gives their memory back.
        fn clear(&mut self);
    }

    /// Bytes of a length chosen at run time, up to a limit.
    pub trait Buffer {
        /// A buffer of no bytes.
        const EMPTY: Self;
        /// Makes it `len` bytes long, new bytes zero; false when that is more than this storage has.
        fn resize(&mut self, len: usize) -> bool;
        /// The bytes.
        fn bytes(&self) -> &[u8];
        /// The bytes, to change.
        fn bytes_mut(&mut self) -> &mut [u8];
    }
}
