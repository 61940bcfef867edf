//! The log: encoded frames in order, in one bounded ring of bytes.
//!
//! It owns the bytes and one small header per frame. It appends, evicts the oldest when room is needed, and finds a sequence
//! number. It knows nothing of connections. A frame is always in one piece: where it does not fit at the end of the ring it
//! starts at the front.

use core::num::NonZeroU16;
use core::ops::Range;

use crate::config::EventIds;
use crate::id::{ClientKey, ConnId, Epoch, EventId};
use crate::simd::digits;
use crate::storage::Storage;
use crate::storage::parts::{Buffer, Index, Queue};
use crate::wire::{Encode, id_line_len, line};

/// Who a frame in the log is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    All,
    /// Everyone under a group, a user name or a topic, by slot. The log's frames keep the label alive.
    Label(u32),
    Client(ClientKey),
    Connection(ConnId),
    /// `members` client keys, sorted, stand in the ring in front of the frame.
    Clients {
        members: u32,
    },
}

/// The header of one frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    /// Where the frame is in the ring.
    start: u32,
    pub(super) len: u32,
    pub(super) scope: Scope,
    /// Where in the frame the id ends that the application gave; `None` when the hub numbered the frame.
    own_id_end: Option<NonZeroU16>,
    /// The frame tells a client that a task of its ended.
    pub(super) completes_task: bool,
}

const MEMBER: usize = 8;

#[derive(Debug)]
pub(super) struct Log<S: Storage> {
    epoch: Epoch,
    /// How a line begins that numbers a frame.
    number_prefix: NumberPrefix,
    event_ids: EventIds,
    bytes: S::Log,
    capacity: usize,
    /// Where the next frame goes, if it fits there.
    write_at: usize,
    entries: S::Entries<Entry>,
    /// The sequence number of the oldest entry, and where in the ring begins what belongs to it; without one, none and the end.
    oldest: u64,
    tail: usize,
    /// How many entries were ever evicted: the number of the oldest one.
    evicted_entries: u32,
    own_ids: S::EventIndex,
    /// The last sequence number that was given out.
    last_sequence: u64,
    /// The highest sequence number that is gone; 0 when nothing is.
    evicted: u64,
    /// Bytes of all frames in the log.
    held: usize,
}

impl<S: Storage> Log<S> {
    pub(super) const EMPTY: Self = Self {
        epoch: Epoch(0),
        number_prefix: [0; _],
        event_ids: EventIds::Numbered,
        bytes: S::Log::EMPTY,
        capacity: 0,
        write_at: 0,
        entries: S::Entries::EMPTY,
        oldest: 0,
        tail: 0,
        evicted_entries: 0,
        own_ids: S::EventIndex::EMPTY,
        last_sequence: 0,
        evicted: 0,
        held: 0,
    };

    /// `event_ids` says whether frames carry their numbers.
    pub(super) fn begin(&mut self, epoch: Epoch, capacity: usize, max_entries: usize, event_ids: EventIds) {
        (self.epoch, self.event_ids) = (epoch, event_ids);
        self.number_prefix = number_prefix(epoch);
        self.capacity = if self.bytes.resize(capacity) { capacity } else { 0 };
        self.look_at_oldest();
        self.entries.limit_to(max_entries);
        self.own_ids.limit_to(max_entries);
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) fn number_prefix(&self) -> NumberPrefix {
        self.number_prefix
    }

    pub(super) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held
    }

    /// Sequence numbers up to `sequence` were given out, if not here then by whoever orders several logs. The highest is no one's.
    pub(super) fn observe(&mut self, sequence: u64) {
        self.last_sequence = self.last_sequence.max(sequence.min(u64::MAX - 1));
    }

    /// Frames up to `evicted` had left a log that this one, which is empty, goes on for. What left this one stays gone.
    pub(super) fn restore_position(&mut self, evicted: u64) {
        self.evicted = self.evicted.max(evicted.min(self.last_sequence));
    }

    /// How long a frame can be that is held beside a list of `members` clients.
    pub(super) fn room_beside(&self, members: usize) -> usize {
        self.capacity.saturating_sub(members.saturating_mul(MEMBER))
    }

    /// Length of the frame that [`append`](Self::append) would make.
    pub(super) fn frame_len(&self, sequence: u64, frame: &dyn Encode) -> usize {
        frame.id().map_or_else(|| self.number_len(sequence), id_line_len) + frame.body_len()
    }

    /// Whether `len` bytes and `members` are free where the next frame goes if it fits.
    pub(super) fn has_ahead(&self, len: usize, members: usize) -> bool {
        len + members * MEMBER <= self.ahead()
    }

    /// Where there is room for one more frame of `len` bytes and `members`; `None` while the oldest frame has to leave for it.
    pub(super) fn room(&self, len: usize, members: usize) -> Option<Range<usize>> {
        // Frames that share a sequence number leave together.
        let halved = self.oldest <= self.evicted;
        if halved || self.entries.is_full() {
            return None;
        }
        let needed = len + members * MEMBER;
        let place = self.place(needed)?;
        Some(place..place + needed)
    }

    /// Removes the oldest frame, and says who it was for.
    pub(super) fn evict(&mut self) -> Option<Scope> {
        let entry = self.entries.pop_front()?;
        if entry.own_id_end.is_some() {
            self.forget_own_id(&entry);
        }
        self.evicted_entries = self.evicted_entries.wrapping_add(1);
        self.evicted = self.evicted.max(entry.sequence);
        self.held -= entry.len as usize;
        self.look_at_oldest();
        Some(entry.scope)
    }

    /// Appends `frame` under `sequence`, at least the last one given out here, in `room`: `members` first, and the frame takes at most the
    /// rest. There is one of it, whatever kind of frame: a call more, where every kind would bring all of this once more.
    pub(super) fn append(
        &mut self,
        sequence: u64,
        scope: Scope,
        members: &[ClientKey],
        frame: &dyn Encode,
        room: Range<usize>,
        completes_task: bool,
    ) {
        let start = room.start + members.len() * MEMBER;
        if !members.is_empty() {
            put_list(&mut self.bytes.bytes_mut()[room.start..start], members);
        }
        let number = (self.event_ids == EventIds::Numbered).then_some(sequence);
        let out = &mut self.bytes.bytes_mut()[start..room.end];
        let (len, own_id_end) = match frame.id() {
            None => (encode_numbered(out, &self.number_prefix, number, frame), None),
            Some(id) => {
                let body = line(out, 0, b"id:", id.as_str().as_bytes());
                (body + frame.encode_body(&mut out[body..]), NonZeroU16::new(body as u16 - 1))
            }
        };
        if start + len > room.end {
            return;
        }

        let entry = Entry { sequence, start: start as u32, len: len as u32, scope, own_id_end, completes_task };
        if own_id_end.is_some() {
            self.index_own_id(&entry);
        }
        if self.entries.push_back(entry).is_ok() {
            self.write_at = start + len;
            self.held += len;
            self.observe(sequence);
            if self.entries.len() == 1 {
                self.look_at_oldest();
            }
        }
    }

    /// Index of the first entry with at least `sequence`; the number of entries when there is none.
    ///
    /// O(1) where sequence numbers follow each other, else O(log n).
    pub(super) fn locate(&self, sequence: u64) -> usize {
        let len = self.entries.len();
        let sequence_at = |index: usize| self.entries.at(index).map_or(NOBODY, |entry| entry.sequence);
        let guess = sequence.saturating_sub(self.oldest).min(len as u64) as usize;
        if sequence_at(guess) >= sequence && (guess == 0 || sequence_at(guess - 1) < sequence) {
            return guess;
        }
        let (mut low, mut high) = (0, len);
        while low < high {
            let middle = low + (high - low) / 2;
            if sequence_at(middle) < sequence {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// How long the stretch of the ring is from the first entry with at least `sequence` to the end of the log.
    pub(super) fn bytes_from(&self, sequence: u64) -> usize {
        match self.entries.at(self.locate(sequence)).map(|entry| entry.start as usize) {
            None => 0,
            Some(start) if start < self.write_at => self.write_at - start,
            Some(start) => self.capacity - start + self.write_at,
        }
    }

    pub(super) fn entry(&self, index: usize) -> Option<&Entry> {
        self.entries.at(index)
    }

    /// The sequence number of the latest frame that the application gave the id `id`. O(1).
    pub(super) fn sequence_of(&self, id: &str) -> Option<u64> {
        let number = self.numbered(id.as_bytes())?;
        self.entries.at(number.wrapping_sub(self.evicted_entries) as usize).map(|entry| entry.sequence)
    }

    /// The bytes of frames `first` to `last` that stand side by side.
    pub(super) fn run(&self, first: &Entry, skip: usize, last: &Entry) -> &[u8] {
        &self.bytes.bytes()[first.start as usize + skip..last.start as usize + last.len as usize]
    }

    /// Whether `next` begins where `entry` ends.
    pub(super) fn adjoin(entry: &Entry, next: &Entry) -> bool {
        entry.start + entry.len == next.start
    }

    /// A frame's own id, and its lines but for the one with its id.
    pub(super) fn parts(&self, entry: &Entry) -> (Option<&[u8]>, &[u8]) {
        let frame = self.run(entry, 0, entry);
        let (start, number) = match entry.own_id_end {
            None => (0, self.number_len(entry.sequence)),
            Some(end) => (usize::from(end.get()) + 1, 0),
        };
        (self.own_id(entry), &frame[start..frame.len() - number - 1])
    }

    /// The clients in the list in front of a frame.
    pub(super) fn members(&self, entry: &Entry) -> impl Iterator<Item = ClientKey> {
        let members = if let Scope::Clients { members } = entry.scope { members as usize } else { 0 };
        let start = entry.start as usize;
        let (list, _) = self.bytes.bytes()[start - members * MEMBER..start].as_chunks::<MEMBER>();
        list.iter().map(|cell| ClientKey::from_bytes(*cell))
    }

    /// Whether `client` is in the list in front of the frame. O(log n).
    pub(super) fn lists(&self, entry: &Entry, members: u32, client: ClientKey) -> bool {
        let start = entry.start as usize;
        let (list, _) = self.bytes.bytes()[start - members as usize * MEMBER..start].as_chunks::<MEMBER>();
        list.binary_search(&client.to_bytes()).is_ok()
    }

    /// The id of a frame that is about to be the newest entry is found from now on.
    #[inline(never)]
    fn index_own_id(&mut self, entry: &Entry) {
        let Some(id) = self.own_id(entry).filter(|id| !id.is_empty()) else { return };
        let hash = own_id_hash(id);
        if let Some(earlier) = self.numbered(id) {
            self.own_ids.remove(hash, earlier);
        }
        self.own_ids.insert(hash, self.evicted_entries.wrapping_add(self.entries.len() as u32));
    }

    /// The id of a frame that was the oldest entry is not found any more. Its bytes are still there: nothing was written since.
    #[inline(never)]
    fn forget_own_id(&mut self, entry: &Entry) {
        if let Some(id) = self.own_id(entry) {
            self.own_ids.remove(own_id_hash(id), self.evicted_entries);
        }
    }

    /// The number of the latest entry with the application's id `id`.
    fn numbered(&self, id: &[u8]) -> Option<u32> {
        self.own_ids.find(own_id_hash(id), |number| {
            let entry = self.entries.at(number.wrapping_sub(self.evicted_entries) as usize);
            entry.and_then(|entry| self.own_id(entry)) == Some(id)
        })
    }

    /// The application's id, if it gave one: the frame begins with it.
    fn own_id(&self, entry: &Entry) -> Option<&[u8]> {
        let (start, end) = (entry.start as usize, usize::from(entry.own_id_end?.get()));
        let value = &self.bytes.bytes()[start + "id:".len()..start + end];
        Some(value.strip_prefix(b" ").unwrap_or(value))
    }

    /// Length of the `id` line of a frame that brings no id.
    fn number_len(&self, sequence: u64) -> usize {
        if self.event_ids == EventIds::Numbered { numbered_id_len(sequence) } else { 0 }
    }

    /// How many bytes are free in one piece where the next frame goes if it fits.
    fn ahead(&self) -> usize {
        (if self.tail < self.write_at { self.capacity } else { self.tail }) - self.write_at
    }

    /// Where `needed` bytes in one piece are free.
    fn place(&self, needed: usize) -> Option<usize> {
        if needed <= self.ahead() {
            return Some(self.write_at);
        }
        (needed <= self.tail && self.tail < self.write_at).then_some(0)
    }

    /// Another entry is the oldest, or none is.
    fn look_at_oldest(&mut self) {
        match self.entries.at(0) {
            Some(&Entry { sequence, start, scope, .. }) => {
                let list = if let Scope::Clients { members } = scope { members as usize * MEMBER } else { 0 };
                (self.oldest, self.tail) = (sequence, start as usize - list);
            }
            None => (self.oldest, self.tail, self.write_at) = (NOBODY, self.capacity, 0),
        }
    }
}

/// The sequence number of no entry.
const NOBODY: u64 = u64::MAX;

/// The list in front of a frame for `members`.
#[inline(never)]
fn put_list(list: &mut [u8], members: &[ClientKey]) {
    let (cells, _) = list.as_chunks_mut::<MEMBER>();
    for (cell, member) in cells.iter_mut().zip(members) {
        *cell = member.to_bytes();
    }
    sort(cells);
}

/// In order, by heapsort: the standard library's sort is more code than all the rest of the log, and not what takes the time there.
fn sort(cells: &mut [[u8; MEMBER]]) {
    let mut begin = cells.len() / 2;
    let mut end = cells.len();
    while end > 1 {
        if begin > 0 {
            begin -= 1;
        } else {
            end -= 1;
            cells.swap(0, end);
        }
        let mut at = begin;
        while 2 * at + 1 < end {
            let left = 2 * at + 1;
            let greater = if left + 1 < end && cells[left] < cells[left + 1] { left + 1 } else { left };
            if cells[at] >= cells[greater] {
                break;
            }
            cells.swap(at, greater);
            at = greater;
        }
    }
}

/// Writes `frame`, which brings no id, to the front of `out`, and returns its length; when that is more than `out` has, what is in it is
/// not to be sent. Its number comes last: clients exist that take an id as received when its line ends, and would miss the event if they
/// were cut off between the two.
#[inline]
pub(super) fn encode_numbered(out: &mut [u8], prefix: &NumberPrefix, sequence: Option<u64>, frame: &dyn Encode) -> usize {
    let body = frame.encode_body(out);
    sequence.map_or(body, |sequence| number(out, body, prefix, sequence))
}

/// Puts the number in place of the blank line that ends the `body` at the front of `out`, and another blank line behind it.
fn number(out: &mut [u8], body: usize, prefix: &NumberPrefix, sequence: u64) -> usize {
    let len = body + numbered_id_len(sequence);
    if let Some(line) = out.get_mut(body - 1..len)
        && let Some((first, [number @ .., end, blank])) = line.split_first_chunk_mut()
    {
        (*first, *end, *blank) = (*prefix, b'\n', b'\n');
        digits(number, sequence);
    }
    len
}

/// `id:`, the epoch and the dash.
pub(super) type NumberPrefix = [u8; 12];

fn number_prefix(epoch: Epoch) -> NumberPrefix {
    let [a, b, c, d, e, f, g, h] = epoch.hex();
    [b'i', b'd', b':', a, b, c, d, e, f, g, h, b'-']
}

/// The longest `id` line with a number of the hub's own.
pub(super) const MAX_NUMBER_LINE: usize = "id:\n".len() + EventId::MAX_LEN;

/// Length of the `id` line with a number of the hub's own.
pub(super) fn numbered_id_len(sequence: u64) -> usize {
    "id:\n".len() + EventId { epoch: Epoch(0), sequence }.len()
}

/// Ids come from publishers, who are trusted: an unkeyed hash serves.
fn own_id_hash(id: &[u8]) -> u32 {
    id.iter().fold(0x811C_9DC5, |hash: u32, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
