//! Events to bytes.
//!
//! What can be constructed can be emitted: fields are proven values, `data` and comments are split at every line break a client
//! would split at (CR, LF, CRLF), a leading space survives, and an event that is named always carries `data`, because a client
//! drops one without.

use core::fmt;

use super::scan::line_ends_from;
use super::{EventName, IdField};
use crate::simd;

/// Something that encodes to one whole frame: lines that end with LF, of which the last one, and no other, is blank.
pub trait Encode {
    /// The id the frame brings itself; `None` leaves it to the sender.
    fn id(&self) -> Option<IdField<'_>>;

    /// Exact length in bytes of everything but the `id` line, the closing blank line included.
    fn body_len(&self) -> usize;

    /// Writes everything but the `id` line to the front of `out`, and returns its exact length. When `out` is shorter, what it holds then
    /// is not to be sent.
    fn encode_body(&self, out: &mut [u8]) -> usize;

    /// At least [`body_len`](Self::body_len), and known without a look through the values where that takes one.
    fn max_body_len(&self) -> usize {
        self.body_len()
    }

    /// Exact length in bytes of the frame, its own `id` line included.
    fn encoded_len(&self) -> usize
    where
        Self: Sized,
    {
        self.id().map_or(0, id_line_len) + self.body_len()
    }

    /// Writes the frame, its own `id` line included, to the front of `out` and returns its length.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`] with the length it takes; what `out` holds then is not to be sent.
    fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall>
    where
        Self: Sized,
    {
        let needed = self.encoded_len();
        let out = out.get_mut(..needed).ok_or(BufferTooSmall { needed })?;
        let at = self.id().map_or(0, |id| line(out, 0, b"id:", id.as_str().as_bytes()));
        self.encode_body(&mut out[at..]);
        Ok(needed)
    }
}

/// One event, by reference: what to send, each part left out when `None`.
///
/// ```
/// use sse_proto::wire::{Encode, Event, EventName};
///
/// let event = Event { event: Some(EventName::new("tick").unwrap()), data: Some("a\nb"), ..Event::default() };
/// let mut out = [0; 64];
/// let len = event.encode(&mut out).unwrap();
/// assert_eq!(&out[..len], b"event:tick\ndata:a\ndata:b\n\n");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `id` field. Left out, the hub numbers the event itself.
    pub id: Option<IdField<'a>>,
    /// The `event` field: which listener the client calls.
    pub event: Option<EventName<'a>>,
    /// The `retry` field, in milliseconds.
    pub retry: Option<u32>,
    /// The `data` field; each of its lines becomes one `data` line.
    pub data: Option<&'a str>,
    /// A comment; each of its lines becomes one comment line.
    pub comment: Option<&'a str>,
}

impl<'a> Event<'a> {
    /// An unnamed event with `data`.
    pub const fn data(data: &'a str) -> Self {
        Self { id: None, event: None, retry: None, data: Some(data), comment: None }
    }

    /// A comment: what a keep-alive is made of.
    pub const fn comment(comment: &'a str) -> Self {
        Self { id: None, event: None, retry: None, data: None, comment: Some(comment) }
    }

    /// A client drops an event without data, also a named one.
    const fn has_data_line(&self) -> bool {
        self.data.is_some() || self.event.is_some()
    }
}

impl Event<'_> {
    /// Hands out the frame piece by piece, in order, its own `id` line included: for a sink that is neither a slice nor a growing
    /// buffer. Looks through each value once; pieces are borrowed from the event or constant.
    #[inline]
    pub fn pieces(&self, mut put: impl FnMut(&[u8])) {
        self.write(&mut put);
    }

    #[inline(always)]
    pub(crate) fn write(&self, sink: &mut impl Sink) {
        if let Some(id) = self.id {
            sink.put(b"id:");
            put_padded(sink, id.as_str().as_bytes());
        }
        self.write_body(sink, self.id.is_some());
    }

    /// Everything but the id.
    #[inline(always)]
    fn write_body(&self, sink: &mut impl Sink, mut in_line: bool) {
        if let Some(name) = self.event {
            begin_line(sink, &mut in_line, b"event:");
            put_padded(sink, name.as_str().as_bytes());
        }
        if let Some(ms) = self.retry {
            begin_line(sink, &mut in_line, b"retry:");
            let mut digits = [0; MAX_RETRY_LEN];
            let len = decimal(&mut digits, 0, u64::from(ms));
            sink.put(&digits[..len]);
        }
        if self.has_data_line() {
            begin_line(sink, &mut in_line, b"data:");
            if let Some(data) = self.data {
                put_lines(sink, b"\ndata:", data.as_bytes());
            }
        }
        if let Some(comment) = self.comment {
            begin_line(sink, &mut in_line, b":");
            put_lines(sink, b"\n:", comment.as_bytes());
        }
        sink.end(in_line);
    }
}

impl Encode for Event<'_> {
    fn id(&self) -> Option<IdField<'_>> {
        self.id
    }

    fn body_len(&self) -> usize {
        self.event.map_or(0, |name| "event:\n".len() + padded_len(name.as_str().as_bytes()))
            + self.retry.map_or(0, |ms| "retry:\n".len() + simd::decimal_len(u64::from(ms)))
            + if self.has_data_line() { lines_len("data:".len(), self.data.unwrap_or_default().as_bytes()) } else { 0 }
            + self.comment.map_or(0, |comment| lines_len(":".len(), comment.as_bytes()))
            + "\n".len()
    }

    fn encode_body(&self, out: &mut [u8]) -> usize {
        let len = out.len();
        let mut room = Room { rest: out, fits: true };
        self.write_body(&mut room, false);
        if room.fits { len - room.rest.len() } else { self.body_len() }
    }

    fn max_body_len(&self) -> usize {
        let len = |value: Option<&str>| value.map_or(0, str::len);
        // Each byte may end a line, and be followed by the beginning of the next.
        let lines = (len(self.data) + len(self.comment)).saturating_mul("\ndata:".len());
        lines.saturating_add(len(self.event.map(EventName::as_str)) + LINES_LEN)
    }

    #[inline]
    fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let len = out.len();
        let mut room = Room { rest: out, fits: true };
        self.write(&mut room);
        if room.fits { Ok(len - room.rest.len()) } else { Err(BufferTooSmall { needed: self.encoded_len() }) }
    }
}

/// What a frame is written to.
pub(crate) trait Sink {
    fn put(&mut self, piece: &[u8]);

    /// Ends the last line, if there is one, and the event.
    fn end(&mut self, in_line: bool);

    /// Takes of a value of at least [`MIDDLING`] bytes the front that is certainly one line, and says how much that was.
    #[inline(always)]
    fn put_ahead(&mut self, value: &[u8]) -> usize {
        if value.len() < LONG {
            return 0;
        }
        let len = simd::without_line_end(value);
        self.put(&value[..len]);
        len
    }
}

impl<F: FnMut(&[u8])> Sink for F {
    #[inline(always)]
    fn put(&mut self, piece: &[u8]) {
        self(piece);
    }

    /// One piece is cheaper than two, as long as its length is known beforehand: it is not if compilers make one call of both.
    #[inline(always)]
    fn end(&mut self, in_line: bool) {
        #[cold]
        #[inline(never)]
        fn end_of_nothing(put: &mut impl FnMut(&[u8])) {
            put(b"\n");
        }
        if in_line { self(b"\n\n") } else { end_of_nothing(self) }
    }
}

/// A slice, until something does not fit; from then on it takes nothing.
struct Room<'o> {
    rest: &'o mut [u8],
    fits: bool,
}

impl Sink for Room<'_> {
    #[inline(always)]
    fn put(&mut self, piece: &[u8]) {
        match core::mem::take(&mut self.rest).split_at_mut_checked(piece.len()) {
            Some((front, behind)) => {
                copy(piece, front);
                self.rest = behind;
            }
            None => self.fits = false,
        }
    }

    #[inline(always)]
    fn end(&mut self, in_line: bool) {
        if in_line { self.put(b"\n\n") } else { self.put(b"\n") }
    }

    /// A long value is most often one line: it is copied while it is looked through, and not taken if it is not one.
    #[inline(always)]
    fn put_ahead(&mut self, value: &[u8]) -> usize {
        let Some(front) = self.rest.get_mut(..value.len()) else { return 0 };
        if !simd::copied_without_line_end(value, front) {
            return 0;
        }
        self.rest = &mut core::mem::take(&mut self.rest)[value.len()..];
        value.len()
    }
}

/// Begins a line, and ends the one before, if there is one.
#[inline(always)]
fn begin_line(sink: &mut impl Sink, in_line: &mut bool, prefix: &[u8]) {
    if *in_line {
        sink.put(b"\n");
    }
    sink.put(prefix);
    *in_line = true;
}

/// A value behind its colon: with another space where a client takes one off.
#[inline(always)]
fn put_padded(sink: &mut impl Sink, value: &[u8]) {
    if value.first() == Some(&b' ') {
        sink.put(b" ");
    }
    sink.put(value);
}

/// The lines of a value, without the beginning of the first and the end of the last; `next` is what stands between two.
#[inline(always)]
fn put_lines(sink: &mut impl Sink, next: &[u8], value: &[u8]) {
    if value.first() == Some(&b' ') {
        sink.put(b" ");
    }
    let mut start = if value.len() >= MIDDLING { sink.put_ahead(value) } else { 0 };
    if start == value.len() {
        return;
    }
    if is_plainly_one_line(&value[start..]) {
        return sink.put(&value[start..]);
    }
    let mut breaks = Breaks::new(value, start);
    while let Some((at, behind)) = breaks.next() {
        sink.put(&value[start..at]);
        sink.put(next);
        if value.get(behind) == Some(&b' ') {
            sink.put(b" ");
        }
        start = behind;
    }
    sink.put(&value[start..]);
}

/// A frame encoded beforehand, for sending the same bytes more than once. Its id, if it brought one, is kept apart.
#[derive(Clone, Debug)]
pub struct Frame<B> {
    bytes: B,
    /// Length of the id at the front of `bytes`; the body follows it.
    id_len: Option<u32>,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Frame<B> {
    /// Encodes `event` into a buffer of exactly the length that `allocate` is asked for.
    ///
    /// # Panics
    ///
    /// When the buffer is of another length: all of it would be sent.
    pub fn new(event: &impl Encode, allocate: impl FnOnce(usize) -> B) -> Self {
        let id_len = event.id().map(|id| id.as_str().len());
        let start = id_len.unwrap_or(0);
        let len = start + event.body_len();
        let mut bytes = allocate(len);
        let out = bytes.as_mut();
        assert_eq!(out.len(), len, "the buffer has the length of the frame");
        if let Some(id) = event.id() {
            put(out, 0, id.as_str().as_bytes());
        }
        event.encode_body(&mut out[start..]);
        Self { bytes, id_len: id_len.map(|len| len as u32) }
    }
}

impl<B: AsRef<[u8]>> Frame<B> {
    /// Hands out the frame piece by piece, in order, its own `id` line included. Nothing is looked through.
    #[inline]
    pub fn pieces(&self, mut put: impl FnMut(&[u8])) {
        let (id, body) = self.bytes.as_ref().split_at(self.id_len.unwrap_or(0) as usize);
        if self.id_len.is_some() {
            put(b"id:");
            put_padded(&mut put, id);
            put(b"\n");
        }
        put(body);
    }
}

impl<B> Frame<B> {
    /// The same frame in another kind of buffer, for example one that can be shared.
    pub fn map<C>(self, convert: impl FnOnce(B) -> C) -> Frame<C> {
        Frame { bytes: convert(self.bytes), id_len: self.id_len }
    }
}

impl<B: AsRef<[u8]>> Encode for Frame<B> {
    fn id(&self) -> Option<IdField<'_>> {
        let id = &self.bytes.as_ref()[..self.id_len? as usize];
        core::str::from_utf8(id).ok().and_then(|id| IdField::new(id).ok())
    }

    fn body_len(&self) -> usize {
        self.bytes.as_ref().len() - self.id_len.unwrap_or(0) as usize
    }

    fn encode_body(&self, out: &mut [u8]) -> usize {
        put_whole(out, &self.bytes.as_ref()[self.id_len.unwrap_or(0) as usize..])
    }
}

/// The buffer does not hold the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferTooSmall {
    /// The length the frame takes, in bytes.
    pub needed: usize,
}

impl fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the frame takes {} bytes", self.needed)
    }
}

impl core::error::Error for BufferTooSmall {}

/// The breaks a client would see in a value, CR, LF and CRLF: where each begins, and where it ends.
struct Breaks<'v> {
    value: &'v [u8],
    /// Bit `n` stands for byte `base + n`.
    bits: u64,
    base: usize,
    /// First byte not looked at.
    next: usize,
}

impl<'v> Breaks<'v> {
    /// Those of the value that are not before `from`.
    #[inline(always)]
    fn new(value: &'v [u8], from: usize) -> Self {
        Self { value, bits: 0, base: 0, next: from }
    }

    #[inline(always)]
    fn next(&mut self) -> Option<(usize, usize)> {
        while self.bits == 0 {
            if self.next >= self.value.len() {
                return None;
            }
            self.base = self.next;
            self.bits = line_ends_from(self.value, self.base);
            self.next += 64;
        }
        let at = self.base + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        if self.value[at..].starts_with(b"\r\n") {
            // Its LF is the next bit, in this block or the one to come.
            match self.bits {
                0 => self.next = self.next.max(at + 2),
                bits => self.bits = bits & (bits - 1),
            }
            return Some((at, at + 2));
        }
        Some((at, at + 1))
    }
}

/// Whether there certainly is no break, where a look is cheaper than the search.
#[inline(always)]
fn is_plainly_one_line(value: &[u8]) -> bool {
    matches!(value.len(), 0..FEW | LOOK_AHEAD..LONG) && !simd::may_end_a_line(value)
}

fn lines_len(prefix: usize, value: &[u8]) -> usize {
    let mut len = prefix + padded_len(value) + 1;
    if is_plainly_one_line(value) {
        return len;
    }
    let mut breaks = Breaks::new(value, if value.len() >= LONG { simd::without_line_end(value) } else { 0 });
    while let Some((at, behind)) = breaks.next() {
        len = len + 1 + prefix + usize::from(value.get(behind) == Some(&b' ')) - (behind - at);
    }
    len
}

/// A client strips one space after the colon: a value that starts with one is sent with another before it.
fn padded_len(value: &[u8]) -> usize {
    value.len() + usize::from(value.first() == Some(&b' '))
}

pub(crate) fn id_line_len(id: IdField<'_>) -> usize {
    "id:\n".len() + padded_len(id.as_str().as_bytes())
}

pub(crate) fn line(out: &mut [u8], mut at: usize, prefix: &[u8], value: &[u8]) -> usize {
    at = put(out, at, prefix);
    if value.first() == Some(&b' ') {
        at = put(out, at, b" ");
    }
    at = put(out, at, value);
    put(out, at, b"\n")
}

/// What `copy_from_slice` does, without a call where the bytes are few: their two ends are copied, and overlap.
#[inline]
fn copy(from: &[u8], to: &mut [u8]) {
    match from.len() {
        1 => to[0] = from[0],
        2..4 => copy_ends::<2>(from, to),
        4..8 => copy_ends::<4>(from, to),
        8..16 => copy_ends::<8>(from, to),
        16..32 => copy_ends::<16>(from, to),
        32..=64 => copy_ends::<32>(from, to),
        65..=128 => copy_ends::<64>(from, to),
        _ => to.copy_from_slice(from),
    }
}

#[inline(always)]
fn copy_ends<const N: usize>(from: &[u8], to: &mut [u8]) {
    if let (Some(from), Some(to)) = (from.first_chunk::<N>(), to.first_chunk_mut()) {
        *to = *from;
    }
    if let (Some(from), Some(to)) = (from.last_chunk::<N>(), to.last_chunk_mut()) {
        *to = *from;
    }
}

/// To the front, if it fits there; its length.
fn put_whole(out: &mut [u8], bytes: &[u8]) -> usize {
    if let Some(out) = out.get_mut(..bytes.len()) {
        out.copy_from_slice(bytes);
    }
    bytes.len()
}

pub(crate) fn put(out: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    let end = at + bytes.len();
    out[at..end].copy_from_slice(bytes);
    end
}

pub(crate) fn decimal(out: &mut [u8], at: usize, value: u64) -> usize {
    let end = at + simd::decimal_len(value);
    simd::digits(&mut out[at..end], value);
    end
}

/// Below this length a look at each byte is done before a search has begun.
const FEW: usize = 8;

/// From this length on, a look whether there is any break is cheaper than the search, and most often the answer is no.
const LOOK_AHEAD: usize = 80;

/// From this length on, copying while looking is quicker than one after the other.
const MIDDLING: usize = 256;

/// From this length on, looking at the whole pays before looking at its parts.
const LONG: usize = 1024;

/// What a body takes besides its values, each of which may need a space in front.
const LINES_LEN: usize = "event: \nretry:\ndata: \n: \n\n".len() + MAX_RETRY_LEN;

/// Digits of the longest retry.
const MAX_RETRY_LEN: usize = simd::decimal_len(u32::MAX as u64);
