//! Events to bytes.
//!
//! What can be constructed can be emitted: fields are proven values, `data` and comments are split at every line break a client
//! would split at (CR, LF, CRLF), a leading space survives, and an event that is named always carries `data`, because a client
//! drops one without.

use core::fmt;

use super::scan::line_ends_from;
use super::{EventName, IdField};
use crate::portable::is_line_end;
use crate::simd;

/// Something that encodes to one whole frame.
pub trait Encode {
    /// The id the frame brings itself; `None` leaves it to the sender.
    fn id(&self) -> Option<IdField<'_>>;

    /// Exact length in bytes of everything but the `id` line, the closing blank line included.
    fn body_len(&self) -> usize;

    /// Writes everything but the `id` line to the front of `out`.
    ///
    /// # Panics
    ///
    /// When `out` is shorter than [`body_len`](Self::body_len).
    fn encode_body(&self, out: &mut [u8]);

    /// Exact length in bytes of the frame, its own `id` line included.
    fn encoded_len(&self) -> usize {
        self.id().map_or(0, id_line_len) + self.body_len()
    }

    /// Writes the frame, its own `id` line included, to the front of `out` and returns its length.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`] with the length it takes; what `out` holds then is not to be sent.
    fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let needed = self.encoded_len();
        if out.len() < needed {
            return Err(BufferTooSmall { needed });
        }
        let mut at = 0;
        if let Some(id) = self.id() {
            at = line(out, 0, b"id:", id.as_str().as_bytes());
        }
        self.encode_body(&mut out[at..needed]);
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

    fn data_to_send(&self) -> Option<&'a str> {
        match (self.data, self.event) {
            (None, Some(_)) => Some(""),
            (data, _) => data,
        }
    }
}

impl Event<'_> {
    /// Hands out the frame piece by piece, in order, its own `id` line included: for a sink that is neither a slice nor a growing
    /// buffer. Looks through each value once; pieces are borrowed from the event or constant.
    #[inline]
    pub fn pieces(&self, mut put: impl FnMut(&[u8])) {
        self.id_piece(&mut put);
        self.field_pieces(&mut put);
        self.text_pieces(put);
    }

    #[inline(always)]
    fn id_piece(&self, put: &mut impl FnMut(&[u8])) {
        if let Some(id) = self.id {
            put_line(put, b"id:", id.as_str().as_bytes());
        }
    }

    #[inline(always)]
    fn field_pieces(&self, put: &mut impl FnMut(&[u8])) {
        if let Some(name) = self.event {
            put_line(put, b"event:", name.as_str().as_bytes());
        }
        if let Some(ms) = self.retry {
            let mut digits = [0; MAX_RETRY_LEN];
            let len = decimal(&mut digits, 0, u64::from(ms));
            put_line(put, b"retry:", &digits[..len]);
        }
    }

    #[inline(always)]
    fn text_pieces(&self, mut put: impl FnMut(&[u8])) {
        if let Some(data) = self.data_to_send() {
            put_lines(&mut put, b"data:", b"\ndata:", data);
            if self.comment.is_none() {
                return put(b"\n\n");
            }
            put(b"\n");
        }
        if let Some(comment) = self.comment {
            put_lines(&mut put, b":", b"\n:", comment);
            put(b"\n");
        }
        put(b"\n");
    }

    /// Length of what is one line each, and of the closing blank line.
    fn fields_len(&self) -> usize {
        self.id.map_or(0, id_line_len)
            + self.event.map_or(0, |name| "event:\n".len() + padded_len(name.as_str().as_bytes()))
            + self.retry.map_or(0, |ms| "retry:\n".len() + decimal_len(u64::from(ms)))
            + 1
    }

    /// Whether the frame fits in `len` bytes even if each byte of the values were a line.
    #[inline(always)]
    fn fits(&self, len: usize) -> bool {
        let values = self.data.map_or(0, str::len).saturating_add(self.comment.map_or(0, str::len));
        let fields = self.id.map_or(0, |id| id.as_str().len()).saturating_add(self.event.map_or(0, |name| name.as_str().len()));
        values.saturating_add(fields).saturating_add(MAX_FIXED) < len / MAX_LINE_PER_BYTE
    }

    /// Long data is most often one line: it is copied while it is looked through. `None` when it is not, or not long, or `out` is short.
    #[inline(always)]
    fn encode_as_one_line(&self, out: &mut [u8]) -> Option<usize> {
        let data = self.data.filter(|data| data.len() >= LONG && self.comment.is_none())?.as_bytes();
        let out = out.get_mut(..self.fields_len() + "data:\n".len() + padded_len(data))?;
        let mut at = 0;
        let mut put_piece = |piece: &[u8]| at = put(out, at, piece);
        self.id_piece(&mut put_piece);
        self.field_pieces(&mut put_piece);
        put_piece(if data[0] == b' ' { b"data: " } else { b"data:" });
        let end = at + data.len();
        simd::copied_without_line_end(data, &mut out[at..end]).then(|| put(out, end, b"\n\n"))
    }

    /// `encode` when `out` may be too short: looks for the lines first.
    #[inline(never)]
    fn encode_within(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let needed = self.encoded_len();
        let Some(out) = out.get_mut(..needed) else {
            return Err(BufferTooSmall { needed });
        };
        let mut at = 0;
        self.pieces(|piece| at = put(out, at, piece));
        Ok(at)
    }
}

impl Encode for Event<'_> {
    fn id(&self) -> Option<IdField<'_>> {
        self.id
    }

    fn body_len(&self) -> usize {
        self.fields_len() - self.id.map_or(0, id_line_len)
            + self.data_to_send().map_or(0, |data| lines_len("data:".len(), data))
            + self.comment.map_or(0, |comment| lines_len(":".len(), comment))
    }

    fn encode_body(&self, out: &mut [u8]) {
        let mut at = 0;
        let mut put_piece = |piece: &[u8]| at = put(out, at, piece);
        self.field_pieces(&mut put_piece);
        self.text_pieces(put_piece);
    }

    #[inline(always)]
    fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        if let Some(len) = self.encode_as_one_line(out) {
            return Ok(len);
        }
        if !self.fits(out.len()) {
            return self.encode_within(out);
        }
        let len = out.len();
        let mut rest = out;
        self.pieces(|piece| {
            let (front, behind) = core::mem::take(&mut rest).split_at_mut(piece.len());
            copy(piece, front);
            rest = behind;
        });
        Ok(len - rest.len())
    }
}

/// One line: its name, another space where a client takes one off, the value.
#[inline(always)]
fn put_line(put: &mut impl FnMut(&[u8]), prefix: &[u8], value: &[u8]) {
    put(prefix);
    if value.first() == Some(&b' ') {
        put(b" ");
    }
    put(value);
    put(b"\n");
}

/// The lines of a value, without the end of the last: the first begins with `prefix`, each other with `next`, which ends the one before.
#[inline(always)]
fn put_lines(put: &mut impl FnMut(&[u8]), prefix: &[u8], next: &[u8], value: &str) {
    let value = value.as_bytes();
    put(prefix);
    if value.first() == Some(&b' ') {
        put(b" ");
    }
    let mut start = 0;
    for_each_break(value, |at, behind| {
        put(&value[start..at]);
        put(next);
        if value.get(behind) == Some(&b' ') {
            put(b" ");
        }
        start = behind;
    });
    if start < value.len() {
        put(&value[start..]);
    }
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
    pub fn new(event: &impl Encode, allocate: impl FnOnce(usize) -> B) -> Self {
        let id_len = event.id().map(|id| id.as_str().len());
        let start = id_len.unwrap_or(0);
        let mut bytes = allocate(start + event.body_len());
        let out = bytes.as_mut();
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
            put_line(&mut put, b"id:", id);
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

    fn encode_body(&self, out: &mut [u8]) {
        put(out, 0, &self.bytes.as_ref()[self.id_len.unwrap_or(0) as usize..]);
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
#[inline(always)]
fn for_each_break(value: &[u8], mut at_break: impl FnMut(usize, usize)) {
    let mut behind = 0;
    let mut at_break = |at: usize| {
        // Else it is the LF of a CRLF.
        if at >= behind {
            behind = if value[at..].starts_with(b"\r\n") { at + 2 } else { at + 1 };
            at_break(at, behind);
        }
    };
    if value.len() < FEW {
        value.iter().enumerate().filter(|(_, byte)| is_line_end(**byte)).for_each(|(at, _)| at_break(at));
    } else if value.len() < 32 {
        memchr::memchr2_iter(b'\r', b'\n', value).for_each(at_break);
    } else if !(LOOK_AHEAD..LONG).contains(&value.len()) || simd::may_end_a_line(value) {
        let mut base = if value.len() < LONG { 0 } else { simd::without_line_end(value) };
        while base < value.len() {
            let mut bits = line_ends_from(value, base);
            while bits != 0 {
                at_break(base + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
            base += 64;
        }
    }
}

fn lines_len(prefix: usize, value: &str) -> usize {
    let value = value.as_bytes();
    let mut len = prefix + padded_len(value) + 1;
    for_each_break(value, |at, behind| {
        len = len + 1 + prefix + usize::from(value.get(behind) == Some(&b' ')) - (behind - at);
    });
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

pub(crate) fn put(out: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    let end = at + bytes.len();
    out[at..end].copy_from_slice(bytes);
    end
}

pub(crate) fn decimal(out: &mut [u8], at: usize, mut value: u64) -> usize {
    let end = at + decimal_len(value);
    let mut digits = &mut out[at..end];
    while let [rest @ .., tens, ones] = digits {
        let pair = (value % 100) as usize * 2;
        (*tens, *ones) = (PAIRS[pair], PAIRS[pair + 1]);
        value /= 100;
        digits = rest;
    }
    if let [ones] = digits {
        *ones = b'0' + (value % 10) as u8;
    }
    end
}

pub(crate) const fn decimal_len(value: u64) -> usize {
    match value.checked_ilog10() {
        None => 1,
        Some(log) => log as usize + 1,
    }
}

/// Below this length a loop is done before a search has begun.
const FEW: usize = 8;

/// From this length on, a look whether there is any break is cheaper than the search, and most often the answer is no.
const LOOK_AHEAD: usize = 80;

/// From this length on, looking at the whole pays before looking at its parts.
const LONG: usize = 256;

/// What a byte of a value becomes at most: an empty line of its own, or one space and another. A power of two, to divide by.
const MAX_LINE_PER_BYTE: usize = "data: x\n".len();

/// What there is at most beside the values, in bytes of a value.
const MAX_FIXED: usize = ("id: \nevent: \nretry:\ndata: \n: \n\n".len() + MAX_RETRY_LEN).div_ceil(MAX_LINE_PER_BYTE);

/// Digits of the longest retry.
const MAX_RETRY_LEN: usize = decimal_len(u32::MAX as u64);

/// `00` to `99`.
const PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut value = 0;
    while value < 100 {
        pairs[value * 2] = b'0' + (value / 10) as u8;
        pairs[value * 2 + 1] = b'0' + (value % 10) as u8;
        value += 1;
    }
    pairs
};
