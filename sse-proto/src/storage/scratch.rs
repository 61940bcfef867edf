//! The memory of a decoder: the bytes of the event that is not whole yet, its name, and two ids.
//!
//! An implementation stores and hands back; it knows nothing of lines or fields.

use core::ops::Range;

#[cfg(feature = "std")]
use crate::simd;
use crate::wire::utf8;
#[cfg(feature = "alloc")]
use crate::wire::{Decoder, Limits};

/// Memory a [`Decoder`](crate::wire::Decoder) assembles straddling events in. Sealed: [`FixedScratch`] always, `HeapScratch` with
/// the `alloc` feature.
pub trait Scratch: Buffers {}

/// A fixed piece of memory, for example `[u8; 1024]` or `&mut [u8]`, divided for good: five eighths for the unfinished event, one
/// eighth each for its name, its id and the last event id.
///
/// Nothing is ever allocated. What does not fit is a [`BufferFull`](crate::wire::DecodeError::BufferFull) error for that event.
/// Data of an event that lies whole in the input on one `data` line is borrowed from there and needs no room here.
#[derive(Clone, Debug)]
pub struct FixedScratch<B> {
    buffer: B,
    text_len: usize,
    slot_lens: [usize; 3],
    ids_swapped: bool,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> FixedScratch<B> {
    /// Takes `buffer` over; what is in it does not matter. O(1).
    pub const fn new(buffer: B) -> Self {
        Self { buffer, text_len: 0, slot_lens: [0; 3], ids_swapped: false }
    }

    /// Where the text may lie, and how long each slot is.
    fn layout(&self) -> (usize, usize) {
        let slot = self.buffer.as_ref().len() / 8;
        (self.buffer.as_ref().len() - 3 * slot, slot)
    }

    fn slot(&self, slot: Slot) -> (usize, Range<usize>) {
        let index = match slot {
            Slot::Name => 0,
            Slot::LastId => 1 + usize::from(self.ids_swapped),
            Slot::NextId => 2 - usize::from(self.ids_swapped),
        };
        let (text, len) = self.layout();
        (index, text + index * len..text + (index + 1) * len)
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Scratch for FixedScratch<B> {}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Buffers for FixedScratch<B> {
    fn text(&self) -> &[u8] {
        &self.buffer.as_ref()[..self.text_len]
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let (room, _) = self.layout();
        let end = self.text_len + bytes.len();
        if end > room {
            return Err(Full);
        }
        self.buffer.as_mut()[self.text_len..end].copy_from_slice(bytes);
        self.text_len = end;
        Ok(())
    }

    fn wants_text(&self) -> bool {
        false
    }

    fn push_text(&mut self, text: &str) -> Result<(), Full> {
        self.push(text.as_bytes())
    }

    fn truncate(&mut self, len: usize) {
        self.text_len = self.text_len.min(len);
    }

    fn join(&mut self, at: usize, from: usize) {
        let text = &mut self.buffer.as_mut()[..self.text_len];
        text[at] = b'\n';
        text.copy_within(from.., at + 1);
        self.text_len -= from - (at + 1);
    }

    fn get(&self, slot: Slot) -> &str {
        let (index, range) = self.slot(slot);
        core::str::from_utf8(&self.buffer.as_ref()[range][..self.slot_lens[index]]).unwrap_or_default()
    }

    fn set_str(&mut self, slot: Slot, value: &str) -> Result<(), Full> {
        let (index, range) = self.slot(slot);
        let target = self.buffer.as_mut()[range].get_mut(..value.len()).ok_or(Full)?;
        target.copy_from_slice(value.as_bytes());
        self.slot_lens[index] = value.len();
        Ok(())
    }

    fn set(&mut self, slot: Slot, value: &[u8]) -> Result<(), Full> {
        let (index, range) = self.slot(slot);
        self.slot_lens[index] = utf8::decode_into(value, &mut self.buffer.as_mut()[range])?;
        Ok(())
    }

    fn set_from_text(&mut self, slot: Slot, text: Range<usize>) -> Result<(), Full> {
        let (index, range) = self.slot(slot);
        let (before, slots) = self.buffer.as_mut().split_at_mut(range.start);
        self.slot_lens[index] = utf8::decode_into(&before[text], &mut slots[..range.len()])?;
        Ok(())
    }

    fn swap_ids(&mut self) {
        self.ids_swapped = !self.ids_swapped;
    }

    fn decode_text(&mut self, range: Range<usize>, ids_swapped: bool) -> Result<Texts<'_>, Full> {
        let (room, _) = self.layout();
        if core::str::from_utf8(&self.text()[range.clone()]).is_err() {
            let (text, spare) = self.buffer.as_mut()[..room].split_at_mut(self.text_len);
            let decoded = utf8::decode_into(&text[range], spare);
            return self.decoded(decoded, ids_swapped);
        }
        Ok(self.texts(range))
    }

    fn decode(&mut self, bytes: &[u8], ids_swapped: bool) -> Result<Texts<'_>, Full> {
        let (room, _) = self.layout();
        let decoded = utf8::decode_into(bytes, &mut self.buffer.as_mut()[self.text_len..room]);
        self.decoded(decoded, ids_swapped)
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> FixedScratch<B> {
    /// With what was decoded behind the text; when that was more than there is room for, the ids are as they were.
    fn decoded(&mut self, len: Result<usize, Full>, ids_swapped: bool) -> Result<Texts<'_>, Full> {
        match len {
            Ok(len) => Ok(self.texts(self.text_len..self.text_len + len)),
            Err(full) => {
                self.ids_swapped ^= ids_swapped;
                Err(full)
            }
        }
    }

    fn texts(&self, range: Range<usize>) -> Texts<'_> {
        Texts {
            text: core::str::from_utf8(&self.buffer.as_ref()[range]).unwrap_or_default(),
            name: self.get(Slot::Name),
            last_id: self.get(Slot::LastId),
        }
    }
}

/// Memory on the heap: it grows to what the longest straddling event took, bounded by the decoder's limits, and is used again for
/// every event after. It grows fourfold, so up to four times as much is reserved as was ever used.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, Default)]
pub struct HeapScratch {
    text: Text,
    name: alloc::string::String,
    last_id: alloc::string::String,
    next_id: alloc::string::String,
    /// What ill-formed UTF-8 was decoded to.
    replaced: alloc::string::String,
}

#[cfg(feature = "alloc")]
impl HeapScratch {
    /// Empty memory; nothing is allocated before something straddles two chunks.
    pub const fn new() -> Self {
        Self {
            text: Text::Checked(alloc::string::String::new()),
            name: alloc::string::String::new(),
            last_id: alloc::string::String::new(),
            next_id: alloc::string::String::new(),
            replaced: alloc::string::String::new(),
        }
    }

    #[inline]
    fn slot_mut(&mut self, slot: Slot) -> (&mut alloc::string::String, &[u8]) {
        let target = match slot {
            Slot::Name => &mut self.name,
            Slot::LastId => &mut self.last_id,
            Slot::NextId => &mut self.next_id,
        };
        (target, self.text.as_bytes())
    }
}

#[cfg(feature = "alloc")]
impl Scratch for HeapScratch {}

#[cfg(feature = "alloc")]
impl Decoder<HeapScratch> {
    /// A decoder for a new stream that assembles what straddles chunks on the heap.
    pub const fn new(limits: Limits) -> Self {
        Self::with_scratch(limits, HeapScratch::new())
    }
}

#[cfg(feature = "alloc")]
impl Buffers for HeapScratch {
    #[inline]
    fn text(&self) -> &[u8] {
        self.text.as_bytes()
    }

    #[inline(always)]
    fn push(&mut self, bytes: &[u8]) -> Result<(), Full> {
        if let Text::Unchecked(text) = &mut self.text
            && bytes.len() <= text.capacity() - text.len()
        {
            // Lengths known beforehand are copied without a call.
            match (bytes, <&[u8; 64]>::try_from(bytes)) {
                (_, Ok(block)) => text.extend_from_slice(block),
                ([byte], _) => text.push(*byte),
                _ => bytes.chunks(PIECE).for_each(|piece| text.extend_from_slice(piece)),
            }
            return Ok(());
        }
        self.text.push_growing(bytes);
        Ok(())
    }

    #[inline(always)]
    fn push_front(&mut self, bytes: &[u8], len: usize) -> Result<(), Full> {
        match (&mut self.text, bytes.first_chunk::<64>()) {
            // A length known beforehand again, and cut.
            (Text::Unchecked(text), Some(block)) if len <= 64 && 64 <= text.capacity() - text.len() => {
                let end = text.len() + len;
                text.extend_from_slice(block);
                text.truncate(end);
                Ok(())
            }
            _ => self.push(&bytes[..len]),
        }
    }

    /// All of a chunk has the length of the chunk before it more often than its part has.
    #[inline(always)]
    fn push_back(&mut self, bytes: &[u8], from: usize) -> Result<usize, Full> {
        let before = if self.text.as_bytes().is_empty() { from } else { 0 };
        self.push(&bytes[from - before..])?;
        Ok(before)
    }

    #[cfg(feature = "std")]
    fn push_ahead(&mut self, bytes: &[u8]) -> usize {
        let text = self.text.unchecked();
        if bytes.len() > text.capacity() - text.len() {
            text.reserve(growth(bytes.len(), text.len()));
        }
        simd::append_without_line_end(bytes, text)
    }

    #[cfg(feature = "std")]
    #[inline]
    fn is_long_text(&mut self, more: usize) -> bool {
        let beyond = match self.text.as_bytes().len().checked_sub(CACHED) {
            Some(beyond) if more >= PACKET => beyond,
            _ => return false,
        };
        // Not again for each piece, whatever is in them.
        if beyond < more {
            self.text.check_ascii();
        }
        matches!(self.text, Text::Checked(_))
    }

    #[inline]
    fn wants_text(&self) -> bool {
        match &self.text {
            Text::Checked(_) => true,
            Text::Unchecked(bytes) => bytes.is_empty(),
        }
    }

    #[inline(always)]
    fn push_text(&mut self, more: &str) -> Result<(), Full> {
        match &mut self.text {
            Text::Checked(text) if more.len() <= PIECE && more.len() <= text.capacity() - text.len() => text.push_str(more),
            _ => self.text.push_text_growing(more),
        }
        Ok(())
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        match &mut self.text {
            Text::Checked(text) if text.is_char_boundary(len) => text.truncate(len),
            Text::Checked(_) => self.text.unchecked().truncate(len),
            Text::Unchecked(bytes) => bytes.truncate(len),
        }
    }

    fn join(&mut self, at: usize, from: usize) {
        match &mut self.text {
            Text::Checked(text) if text.is_char_boundary(at) && text.is_char_boundary(from) => {
                text.replace_range(at..from, "\n")
            }
            _ => {
                let text = self.text.unchecked();
                text[at] = b'\n';
                text.copy_within(from.., at + 1);
                text.truncate(text.len() - (from - (at + 1)));
            }
        }
    }

    #[inline]
    fn get(&self, slot: Slot) -> &str {
        match slot {
            Slot::Name => &self.name,
            Slot::LastId => &self.last_id,
            Slot::NextId => &self.next_id,
        }
    }

    #[inline]
    fn set_str(&mut self, slot: Slot, value: &str) -> Result<(), Full> {
        let target = self.slot_mut(slot).0;
        target.clear();
        target.push_str(value);
        Ok(())
    }

    fn set(&mut self, slot: Slot, value: &[u8]) -> Result<(), Full> {
        decode_to_heap(value, 0..value.len(), self.slot_mut(slot).0);
        Ok(())
    }

    fn set_from_text(&mut self, slot: Slot, range: Range<usize>) -> Result<(), Full> {
        self.text.pad(range.len());
        let (target, text) = self.slot_mut(slot);
        decode_to_heap(text, range, target);
        Ok(())
    }

    #[inline]
    fn swap_ids(&mut self) {
        core::mem::swap(&mut self.last_id, &mut self.next_id);
    }

    #[inline]
    fn decode_text(&mut self, range: Range<usize>, _ids_swapped: bool) -> Result<Texts<'_>, Full> {
        self.text.pad(range.len());
        let checked = match &self.text {
            Text::Checked(text) => text.get(range.clone()),
            Text::Unchecked(bytes) => check(bytes, range.clone()),
        };
        let text = match checked {
            Some(text) => text,
            None => {
                decode_to_heap(self.text.as_bytes(), range, &mut self.replaced);
                &self.replaced
            }
        };
        Ok(Texts { text, name: &self.name, last_id: &self.last_id })
    }

    fn decode(&mut self, bytes: &[u8], _ids_swapped: bool) -> Result<Texts<'_>, Full> {
        decode_to_heap(bytes, 0..bytes.len(), &mut self.replaced);
        Ok(Texts { text: &self.replaced, name: &self.name, last_id: &self.last_id })
    }
}

/// What is assembled: text as long as nothing else was put in, so that it need not be checked again.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug)]
enum Text {
    Checked(alloc::string::String),
    Unchecked(alloc::vec::Vec<u8>),
}

#[cfg(feature = "alloc")]
impl Default for Text {
    fn default() -> Self {
        Self::Checked(alloc::string::String::new())
    }
}

#[cfg(feature = "alloc")]
impl Text {
    #[inline]
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Checked(text) => text.as_bytes(),
            Self::Unchecked(bytes) => bytes,
        }
    }

    /// The same memory, to put any bytes in.
    #[inline]
    fn unchecked(&mut self) -> &mut alloc::vec::Vec<u8> {
        if let Self::Checked(text) = self {
            *self = Self::Unchecked(core::mem::take(text).into_bytes());
        }
        match self {
            Self::Unchecked(bytes) => bytes,
            Self::Checked(_) => unreachable!("made unchecked above"),
        }
    }

    /// Makes checked text of what is ASCII, which takes little time; what is not stays as it is.
    #[cfg(feature = "std")]
    fn check_ascii(&mut self) {
        if let Self::Unchecked(bytes) = self
            && bytes.is_ascii()
        {
            *self = Self::Checked(alloc::string::String::from_utf8(core::mem::take(bytes)).unwrap_or_default());
        }
    }

    /// Puts behind the text what makes its last `len` bytes whole blocks to check; where it makes a difference.
    #[inline]
    fn pad(&mut self, len: usize) {
        if let Self::Unchecked(bytes) = self
            && (FEW..PIECE).contains(&len)
        {
            bytes.extend_from_slice(&[0; utf8::BLOCK]);
        }
    }

    #[inline(never)]
    fn push_text_growing(&mut self, more: &str) {
        if let Self::Unchecked(bytes) = self
            && bytes.is_empty()
        {
            *self = Self::Checked(alloc::string::String::from_utf8(core::mem::take(bytes)).unwrap_or_default());
        }
        let Self::Checked(text) = self else {
            return self.push_growing(more.as_bytes());
        };
        if more.len() > text.capacity() - text.len() {
            text.reserve(growth(more.len(), text.len()));
        }
        let mut rest = more;
        while let Some((piece, after)) = rest.split_at_checked(PIECE) {
            text.push_str(piece);
            rest = after;
        }
        text.push_str(rest);
    }

    #[inline(never)]
    fn push_growing(&mut self, bytes: &[u8]) {
        let text = self.unchecked();
        if bytes.len() > text.capacity() - text.len() {
            text.reserve(growth(bytes.len(), text.len()));
        }
        bytes.chunks(PIECE).for_each(|piece| text.extend_from_slice(piece));
    }
}

/// What is copied in one go: for more, C libraries turn to an instruction that is many times slower on some processors when the
/// addresses are unfortunate.
#[cfg(feature = "alloc")]
const PIECE: usize = 2048;

/// From this length of a text on, its beginning is no longer in the nearest cache when its end has come.
#[cfg(feature = "std")]
const CACHED: usize = 16 << 10;

/// From this length on, a piece is checked as quickly alone as with others.
#[cfg(feature = "std")]
const PACKET: usize = 1200;

/// By how much to grow. Fourfold: an event that has outgrown its chunk is often large, and moving it is most of the cost. And a
/// little more: payloads are often of a round size, and their line is just longer.
#[cfg(feature = "alloc")]
#[cold]
fn growth(more: usize, len: usize) -> usize {
    more.max(3 * len) + 64
}

/// A part of `bytes` as text when it is well-formed. What follows it is looked at too, where that makes whole blocks: the rest of a
/// block takes decisions that cannot be foreseen.
#[cfg(feature = "alloc")]
#[inline]
fn check(bytes: &[u8], part: Range<usize>) -> Option<&str> {
    let len = part.len();
    if len < FEW {
        return core::str::from_utf8(&bytes[part]).ok();
    }
    bytes
        .get(part.start..part.start + len.next_multiple_of(utf8::BLOCK))
        .and_then(|blocks| utf8::check(blocks)?.get(..len))
        .or_else(|| utf8::check(&bytes[part]))
}

/// Below this length it is quicker to look at one byte after the other.
#[cfg(feature = "alloc")]
const FEW: usize = 8;

#[cfg(feature = "alloc")]
fn decode_to_heap(bytes: &[u8], part: Range<usize>, target: &mut alloc::string::String) {
    target.clear();
    if let Some(text) = check(bytes, part.clone()) {
        return target.push_str(text);
    }
    for text in utf8::decode(&bytes[part]) {
        target.push_str(text);
    }
}

/// The memory does not hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The small texts a decoder remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The name of the event that is not whole yet.
    Name,
    /// The last event id.
    LastId,
    /// The id of the event that is not whole yet.
    NextId,
}

/// What an event is made of, borrowed from the memory.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a> {
    /// The text asked for.
    pub text: &'a str,
    /// See [`Slot::Name`].
    pub name: &'a str,
    /// See [`Slot::LastId`].
    pub last_id: &'a str,
}

/// What the decoder does with its memory. Public only in name: the module is private.
pub trait Buffers {
    /// The assembled bytes.
    fn text(&self) -> &[u8];
    /// Appends to the text.
    fn push(&mut self, bytes: &[u8]) -> Result<(), Full>;
    /// Appends the first `len` of `bytes` to the text.
    fn push_front(&mut self, bytes: &[u8], len: usize) -> Result<(), Full> {
        self.push(&bytes[..len])
    }
    /// Appends `bytes` from `from` on to the text, where it is quicker with some of those before them: returns how many.
    fn push_back(&mut self, bytes: &[u8], from: usize) -> Result<usize, Full> {
        self.push(&bytes[from..])?;
        Ok(0)
    }
    /// Appends to the text a front of `bytes` that has no line end, if that is quicker than looking first: returns how much.
    fn push_ahead(&mut self, _bytes: &[u8]) -> usize {
        0
    }
    /// Whether the text is so long that `more` is better checked while it is at hand than later with the rest; then the text has been
    /// checked, and wants more.
    fn is_long_text(&mut self, _more: usize) -> bool {
        false
    }
    /// Cuts the text.
    fn truncate(&mut self, len: usize);
    /// Puts a line feed at `at` and moves everything from `from` (behind `at`) to right after it.
    fn join(&mut self, at: usize, from: usize);
    /// Reads a slot.
    fn get(&self, slot: Slot) -> &str;
    /// Whether [`push_text`](Self::push_text) saves a check later.
    fn wants_text(&self) -> bool;
    /// Appends to the text what is known to be UTF-8.
    fn push_text(&mut self, text: &str) -> Result<(), Full>;
    /// Copies text into a slot.
    fn set_str(&mut self, slot: Slot, value: &str) -> Result<(), Full>;
    /// Decodes `value` into a slot.
    fn set(&mut self, slot: Slot, value: &[u8]) -> Result<(), Full>;
    /// Decodes a part of the text into a slot. May leave something behind the text, as `decode_text` may: cut it before going on.
    fn set_from_text(&mut self, slot: Slot, text: Range<usize>) -> Result<(), Full>;
    /// The next id becomes the last one.
    fn swap_ids(&mut self);
    /// A part of the text as UTF-8, with replacement characters where it is ill-formed. If the ids were swapped for it and it does not
    /// fit, they are swapped back.
    fn decode_text(&mut self, range: Range<usize>, ids_swapped: bool) -> Result<Texts<'_>, Full>;
    /// The same for bytes from elsewhere.
    fn decode(&mut self, bytes: &[u8], ids_swapped: bool) -> Result<Texts<'_>, Full>;
}
