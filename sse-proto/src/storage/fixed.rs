//! Storage of fixed capacity: one piece of memory, no allocator.
//!
//! ```
//! use sse_proto::storage::fixed::{
//!     Clients, Connections, DetailBytes, Fixed, FrameBytes, Labels, LogBytes, LogEntries, Subscriptions, Tasks, TextBytes,
//! };
//! use sse_proto::{ClientId, Config, Engine, Epoch, Instant, Limits, Memory, Registration, Storage};
//!
//! /// What this program has room for, all of it in one place.
//! type Lamp = Fixed<
//!     Connections<4>,
//!     Clients<8>,
//!     Labels<24>,
//!     Subscriptions<16>,
//!     Tasks<4>,
//!     DetailBytes<64>,
//!     LogBytes<2048>,
//!     LogEntries<32>,
//!     FrameBytes<512>,
//!     TextBytes<40>,
//! >;
//!
//! /// It may use all of that, but for what issued ids reserve.
//! const LIMITS: Limits = Limits { issued_ids: 2, ..Lamp::CAPACITY };
//!
//! // On a microcontroller this is a static, by `cortex_m::singleton!`, `ConstStaticCell` or the like: it needs no stack.
//! let memory: &'static mut Memory<Lamp> = Box::leak(Box::new(Memory::new()));
//! let engine: &mut Engine<Lamp> = memory.begin(Config { limits: LIMITS, ..Config::default() }, Epoch(1), [7, 7]).unwrap();
//! engine.register(Instant::from_millis(0), &Registration::new(ClientId::new("hall_1").unwrap())).unwrap();
//! assert_eq!(size_of::<Engine<Lamp>>(), size_of::<Memory<Lamp>>());
//! ```

use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;

use heapless::{Deque, String, Vec};

use super::Storage;
use super::parts::{self, Buffer, Index, Queue, Sealed, Table};
use crate::config::Limits;

/// Storage whose every table has the capacity its parameters give, in this order. No parameter has a default: what a program has room
/// for stands where its alias is.
///
/// An engine on it is as large as [`size_of`] says, and never more: `docs/memory.md` has the figures for a few shapes. It is the same
/// engine as on the heap, and tells of a full table by the same errors. [`Config`](crate::Config)'s limits must lie within
/// [`Storage::CAPACITY`].
#[derive(Debug)]
pub struct Fixed<Connections, Clients, Labels, Subscriptions, Tasks, DetailBytes, LogBytes, LogEntries, FrameBytes, TextBytes> {
    #[expect(clippy::type_complexity, reason = "one for each capacity")]
    shape: PhantomData<(
        (Connections, Clients, Labels, Subscriptions, Tasks),
        (DetailBytes, LogBytes, LogEntries, FrameBytes, TextBytes),
    )>,
}

/// Open connections.
#[derive(Debug)]
pub enum Connections<const N: usize> {}
/// Clients, with a connection or without, and issued ids.
#[derive(Debug)]
pub enum Clients<const N: usize> {}
/// Groups, user names and topics together, the default group among them; with less than 2 it does not compile. `clients + groups + topics`
/// is enough for every limit to be reached. What only frames in the log name takes what is left, and gives way to who comes: the oldest
/// frames go until there is room.
#[derive(Debug)]
pub enum Labels<const N: usize> {}
/// Topics of all clients, counted for each client.
#[derive(Debug)]
pub enum Subscriptions<const N: usize> {}
/// Tasks of all clients; may be 0.
#[derive(Debug)]
pub enum Tasks<const N: usize> {}
/// Bytes of a task's progress, its result or why it failed. Longer ones are refused as [`TooLarge`](crate::TaskError::TooLarge).
#[derive(Debug)]
pub enum DetailBytes<const N: usize> {}
/// Bytes of the log: how much history there is.
#[derive(Debug)]
pub enum LogBytes<const N: usize> {}
/// Frames in the log.
#[derive(Debug)]
pub enum LogEntries<const N: usize> {}
/// Bytes of one frame, at least 256: there is room for one outside the log, where the engine's own are made.
#[derive(Debug)]
pub enum FrameBytes<const N: usize> {}
/// Bytes of a client's id, a group, a user name, a topic or a task's name.
#[derive(Debug)]
pub enum TextBytes<const N: usize> {}

impl<A, B, C, D, E, F, G, H, I, J> Sealed for Fixed<A, B, C, D, E, F, G, H, I, J> {}

impl<
    const CONNECTIONS: usize,
    const CLIENTS: usize,
    const LABELS: usize,
    const SUBSCRIPTIONS: usize,
    const TASKS: usize,
    const DETAIL_BYTES: usize,
    const LOG_BYTES: usize,
    const LOG_ENTRIES: usize,
    const FRAME_BYTES: usize,
    const TEXT_BYTES: usize,
> Storage
    for Fixed<
        Connections<CONNECTIONS>,
        Clients<CLIENTS>,
        Labels<LABELS>,
        Subscriptions<SUBSCRIPTIONS>,
        Tasks<TASKS>,
        DetailBytes<DETAIL_BYTES>,
        LogBytes<LOG_BYTES>,
        LogEntries<LOG_ENTRIES>,
        FrameBytes<FRAME_BYTES>,
        TextBytes<TEXT_BYTES>,
    >
{
    const CAPACITY: Limits = Limits {
        connections: count(CONNECTIONS),
        clients: count(CLIENTS),
        issued_ids: count(CLIENTS),
        connections_per_client: count(CONNECTIONS),
        groups: labels(LABELS),
        topics: count(LABELS),
        topics_per_client: count(SUBSCRIPTIONS),
        subscriptions: count(SUBSCRIPTIONS),
        tasks_per_client: count(TASKS),
        tasks: count(TASKS),
        detail_bytes: count(TASKS.saturating_mul(DETAIL_BYTES)),
        name_bytes: count(if TEXT_BYTES < Limits::MAX_NAME_BYTES { TEXT_BYTES } else { Limits::MAX_NAME_BYTES }),
        topic_bytes: count(TEXT_BYTES),
        frame_bytes: count(FRAME_BYTES),
        log_bytes: count(LOG_BYTES),
        log_entries: count(LOG_ENTRIES),
    };

    type Text = Text<TEXT_BYTES>;
    type Detail = Text<DETAIL_BYTES>;
    type Connections<T> = Rows<T, CONNECTIONS>;
    type Clients<T> = Rows<T, CLIENTS>;
    type ClientIndex = SlotIndex<CLIENTS>;
    type Labels<T> = Rows<T, LABELS>;
    type LabelIndex = SlotIndex<LABELS>;
    type Subscriptions<T> = Rows<T, SUBSCRIPTIONS>;
    type Tasks<T> = Rows<T, TASKS>;
    type Entries<T> = Ring<T, LOG_ENTRIES>;
    type EventIndex = SlotIndex<LOG_ENTRIES>;
    type Log = Bytes<LOG_BYTES>;
    type Frame = Bytes<FRAME_BYTES>;
}

/// A capacity of labels as a limit. With fewer than two there is room for no client:
///
/// ```compile_fail,E0080
/// use sse_proto::storage::fixed::*;
/// use sse_proto::{Fixed, Limits, Storage};
///
/// type NoRoom = Fixed<
///     Connections<1>,
///     Clients<1>,
///     Labels<1>,
///     Subscriptions<1>,
///     Tasks<1>,
///     DetailBytes<1>,
///     LogBytes<512>,
///     LogEntries<1>,
///     FrameBytes<256>,
///     TextBytes<8>,
/// >;
/// const LIMITS: Limits = NoRoom::CAPACITY;
/// ```
const fn labels(capacity: usize) -> u32 {
    assert!(capacity >= 2, "a client takes two labels, its group and its user name: `Labels` must be at least 2");
    count(capacity)
}

/// A capacity as a limit: slots and offsets are 32 bits wide.
const fn count(capacity: usize) -> u32 {
    if capacity < u32::MAX as usize { capacity as u32 } else { u32::MAX }
}

/// A string of at most `N` bytes, in place.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Text<const N: usize>(String<N>);

impl<const N: usize> parts::Text for Text<N> {
    fn copy_of(text: &str) -> Option<Self> {
        String::try_from(text).ok().map(Self)
    }

    fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const N: usize> AsRef<str> for Text<N> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<const N: usize> Deref for Text<N> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

/// Rows in place.
#[derive(Debug)]
pub struct Rows<T, const N: usize> {
    rows: Vec<T, N>,
    limit: usize,
}

impl<T, const N: usize> Table<T> for Rows<T, N> {
    const EMPTY: Self = Self { rows: Vec::new(), limit: 0 };

    fn limit_to(&mut self, limit: usize) {
        self.limit = limit.min(N);
    }

    fn push(&mut self, row: T) -> Result<(), T> {
        if self.rows.len() >= self.limit {
            return Err(row);
        }
        self.rows.push(row)
    }

    fn limit(&self) -> usize {
        self.limit
    }

    fn give_back(&mut self) -> bool {
        false
    }

    fn rows(&self) -> &[T] {
        &self.rows
    }

    fn rows_mut(&mut self) -> &mut [T] {
        &mut self.rows
    }
}

/// A double-ended queue in place.
#[derive(Debug)]
pub struct Ring<T, const N: usize> {
    items: Deque<T, N>,
    limit: usize,
}

impl<T, const N: usize> Queue<T> for Ring<T, N> {
    const EMPTY: Self = Self { items: Deque::new(), limit: 0 };

    fn limit_to(&mut self, limit: usize) {
        self.limit = limit.min(N);
    }

    fn is_full(&self) -> bool {
        self.items.len() >= self.limit
    }

    fn len(&self) -> usize {
        self.items.len()
    }

    fn push_back(&mut self, item: T) -> Result<(), T> {
        if self.is_full() {
            return Err(item);
        }
        self.items.push_back(item)
    }

    fn pop_front(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    fn at(&self, index: usize) -> Option<&T> {
        self.items.get(index)
    }
}

/// A hash table of slots in place: open addressing, twice as many cells as it may hold slots, so that a search ends after a few.
///
/// A slot stands in the first cell that was free from its home on; removing one moves those behind it up, so that no cell between a
/// slot and its home is ever empty and nothing is left behind by what is gone.
#[derive(Debug)]
pub struct SlotIndex<const N: usize> {
    cells: [[Cell; 2]; N],
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    /// 0 is an empty cell.
    tag: u32,
    slot: u32,
}

impl Cell {
    const EMPTY: Self = Self { tag: 0, slot: 0 };
}

impl<const N: usize> Index for SlotIndex<N> {
    const EMPTY: Self = Self { cells: [[Cell::EMPTY; 2]; N] };

    fn limit_to(&mut self, _: usize) {}

    fn find(&self, hash: u32, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let at = self.position(tag(hash), is_it)?;
        Some(self.cells.as_flattened()[at].slot)
    }

    fn insert(&mut self, hash: u32, slot: u32) {
        let tag = tag(hash);
        let free = self.places_for(tag).find(|&at| self.cells.as_flattened()[at].tag == 0);
        debug_assert!(free.is_some(), "something was not removed");
        if let Some(at) = free {
            self.cells.as_flattened_mut()[at] = Cell { tag, slot };
        }
    }

    fn remove(&mut self, hash: u32, slot: u32) {
        let Some(mut hole) = self.position(tag(hash), |other| other == slot) else { return };
        let cells = self.cells.as_flattened_mut();
        let len = cells.len();
        let behind = |from: usize, to: usize| (to + len - from) % len;
        let mut at = hole;
        loop {
            at = (at + 1) % len;
            let cell = cells[at];
            if cell.tag == 0 || at == hole {
                break;
            }
            // It may move up if its home does not lie behind the hole.
            if behind(home(cell.tag, len), at) >= behind(hole, at) {
                cells[hole] = cell;
                hole = at;
            }
        }
        cells[hole] = Cell::EMPTY;
    }

    fn clear(&mut self) {
        self.cells = Self::EMPTY.cells;
    }
}

impl<const N: usize> SlotIndex<N> {
    /// Every cell once, from the home of `tag` on.
    fn places_for(&self, tag: u32) -> impl Iterator<Item = usize> + use<N> {
        let len = 2 * N;
        let home = home(tag, len);
        (home..len).chain(0..home)
    }

    fn position(&self, tag: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<usize> {
        let cells = self.cells.as_flattened();
        for at in self.places_for(tag) {
            let cell = cells[at];
            if cell.tag == 0 {
                return None;
            }
            if cell.tag == tag && is_it(cell.slot) {
                return Some(at);
            }
        }
        None
    }
}

/// What a cell keeps of a hash: all of it, but that 0 stands for an empty cell.
const fn tag(hash: u32) -> u32 {
    if hash == 0 { 1 } else { hash }
}

/// Where a search for `tag` begins among `len` cells. Every bit of the tag counts.
const fn home(tag: u32, len: usize) -> usize {
    ((tag.wrapping_mul(0x9E37_79B9) as u64 * len as u64) >> 32) as usize
}

/// Bytes in place.
#[derive(Debug)]
pub struct Bytes<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Buffer for Bytes<N> {
    const EMPTY: Self = Self { bytes: [0; N], len: 0 };

    fn resize(&mut self, len: usize) -> bool {
        if len > N {
            return false;
        }
        if let Some(new) = self.bytes.get_mut(self.len..len) {
            new.fill(0);
        }
        self.len = len;
        true
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const N: usize = 7;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Insert { hash: u32, slot: u32 },
        Remove { slot: u32 },
    }

    /// Few hashes, so that they collide; near both ends, so that searches go round.
    fn hash() -> impl Strategy<Value = u32> {
        prop_oneof![0_u32..6, (u32::MAX - 3)..=u32::MAX, Just(0x9E37_79B9), any::<u32>()]
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let insert = (hash(), 0..3 * N as u32).prop_map(|(hash, slot)| Step::Insert { hash, slot });
        let remove = (0..3 * N as u32).prop_map(|slot| Step::Remove { slot });
        proptest::collection::vec(prop_oneof![insert, remove], 1..400)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// A map from slots to hashes knows the same, after every step; what is gone leaves nothing behind.
        #[test]
        fn an_index_is_a_map(steps in steps()) {
            let mut index = SlotIndex::<N>::EMPTY;
            let mut map = BTreeMap::<u32, u32>::new();
            for step in steps {
                match step {
                    Step::Insert { hash, slot } => {
                        if map.len() < N && !map.contains_key(&slot) {
                            map.insert(slot, hash);
                            index.insert(hash, slot);
                        }
                    }
                    Step::Remove { slot } => {
                        if let Some(hash) = map.remove(&slot) {
                            index.remove(hash, slot);
                        } else {
                            index.remove(slot, slot);
                        }
                    }
                }
                for slot in 0..3 * N as u32 {
                    let hash = map.get(&slot);
                    let found = hash.and_then(|&hash| index.find(hash, |other| other == slot));
                    prop_assert_eq!(found, hash.map(|_| slot));
                }
                let used = index.cells.as_flattened().iter().filter(|cell| cell.tag != 0).count();
                prop_assert_eq!(used, map.len());
                prop_assert_eq!(index.find(7, |_| true), map.iter().find(|(_, hash)| **hash == 7).map(|(slot, _)| *slot));
            }
        }
    }

    /// Half of the cells are free however full it is, so a search ends soon where hashes are spread.
    #[test]
    fn searches_are_short() {
        const MANY: usize = 10_000;
        let mut index = std::boxed::Box::new(SlotIndex::<MANY>::EMPTY);
        let hash = |slot: u32| slot.wrapping_mul(0x85EB_CA6B) ^ (slot >> 7);
        for slot in 0..MANY as u32 {
            index.insert(hash(slot), slot);
        }
        let cells = index.cells.as_flattened();
        let (mut looks, mut longest) = (0, 0);
        for slot in 0..MANY as u32 {
            let tag = tag(hash(slot));
            let found =
                index.places_for(tag).position(|at| cells[at].slot == slot && cells[at].tag != 0).map_or(0, |at| at + 1);
            (looks, longest) = (looks + found, longest.max(found));
        }
        assert!(looks < 2 * MANY && longest < 64, "{looks} looks, {longest} the longest");
    }

    #[test]
    fn a_table_holds_what_it_was_limited_to_and_gives_back_what_it_does_not() {
        let mut rows = Rows::<u8, 4>::EMPTY;
        assert_eq!(rows.push(1), Err(1));
        rows.limit_to(9);
        assert_eq!(rows.limit(), 4);
        rows.limit_to(2);
        assert_eq!((rows.push(1), rows.push(2), rows.push(3)), (Ok(()), Ok(()), Err(3)));
        let mut ring = Ring::<u8, 4>::EMPTY;
        assert_eq!(ring.push_back(1), Err(1));
        ring.limit_to(3);
        for item in 0..100 {
            assert_eq!(ring.push_back(item), Ok(()));
            if ring.is_full() {
                assert_eq!(ring.push_back(item), Err(item));
                assert_eq!((ring.at(0), ring.at(2), ring.at(3)), (Some(&(item - 2)), Some(&item), None));
                assert_eq!(ring.pop_front(), Some(item - 2));
            }
        }
        let mut bytes = Bytes::<4>::EMPTY;
        assert!(!bytes.resize(5) && bytes.resize(4));
        bytes.bytes_mut().fill(7);
        assert!(bytes.resize(1) && bytes.resize(3));
        assert_eq!(bytes.bytes(), [7, 0, 0]);
    }

    #[test]
    fn no_capacity_at_all_is_no_panic() {
        let mut index = SlotIndex::<0>::EMPTY;
        index.remove(1, 1);
        assert_eq!(index.find(1, |_| true), None);
        let mut rows = Rows::<u8, 0>::EMPTY;
        rows.limit_to(1);
        assert_eq!(rows.push(1), Err(1));
    }
}
