//! UTF-8 as the Encoding Standard decodes it: each maximal subpart of an ill-formed sequence becomes one U+FFFD.
//!
//! The decoder calls this on field values. Line ends, colons and field names are ASCII, which is never part of a longer sequence,
//! so decoding each value gives what decoding the stream would. A sequence split over chunks is put together before it comes here.

use crate::storage::Full;

/// `bytes` as text when they are well-formed: many bytes at a time where the processor can.
#[inline]
pub(crate) fn check(bytes: &[u8]) -> Option<&str> {
    // Below one of its blocks it would do the same. In wasm it is no faster, and a twentieth of the decoder.
    if bytes.len() < BLOCK || cfg!(target_arch = "wasm32") {
        return core::str::from_utf8(bytes).ok();
    }
    simdutf8::basic::from_utf8(bytes).ok()
}

/// The pieces that, one after another, are the decoded text. Linear; at most three bytes out for each one in.
pub(crate) fn decode(bytes: &[u8]) -> impl Iterator<Item = &str> {
    bytes.utf8_chunks().flat_map(|chunk| {
        let replacement = if chunk.invalid().is_empty() { "" } else { "\u{FFFD}" };
        [chunk.valid(), replacement]
    })
}

/// Decodes to the front of `out` and returns the length.
pub(crate) fn decode_into(bytes: &[u8], out: &mut [u8]) -> Result<usize, Full> {
    let mut len = 0;
    for text in decode(bytes) {
        let end = len + text.len();
        out.get_mut(len..end).ok_or(Full)?.copy_from_slice(text.as_bytes());
        len = end;
    }
    Ok(len)
}

/// A run of the input known to be well-formed, so that each value in it is text at the cost of two comparisons.
///
/// Checked around where it is asked: all of the chunk for short values, only the value itself for long ones. After the
/// first failure each value is checked by itself, so the whole stays linear.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked<'i> {
    text: &'i str,
    start: usize,
    ill_formed: bool,
}

impl<'i> Checked<'i> {
    pub(crate) const fn new() -> Self {
        Self { text: "", start: 0, ill_formed: false }
    }

    /// `input[start..end]` as text when it is well-formed.
    #[inline]
    pub(crate) fn get(&mut self, input: &'i [u8], start: usize, end: usize) -> Option<&'i str> {
        if start >= self.start && end <= self.start + self.text.len() {
            return self.text.get(start - self.start..end - self.start);
        }
        self.extend(input, start, end)
    }

    /// The same, if it has been checked.
    #[inline]
    pub(crate) fn known(&self, start: usize, end: usize) -> Option<&'i str> {
        self.text.get(start.checked_sub(self.start)?..end - self.start)
    }

    #[inline(never)]
    fn extend(&mut self, input: &'i [u8], start: usize, end: usize) -> Option<&'i str> {
        if !self.ill_formed {
            let is_long = end - start >= LONG;
            // From the beginning of the chunk: a length that is the same every time needs the fewest decisions.
            let from = if self.text.is_empty() && start < LONG && !is_long { first_boundary(input).min(start) } else { start };
            let ahead = if is_long { end } else { end + last_boundary(&input[end..]) };
            match check(&input[from..ahead]) {
                Some(text) => {
                    (self.text, self.start) = (text, from);
                    return text.get(start - from..end - from);
                }
                None => self.ill_formed = true,
            }
        }
        check(&input[start..end])
    }
}

/// Length of what a sequence that began before `bytes` has in them.
#[inline]
fn first_boundary(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(0x80..0xC0) => first_boundary_behind(bytes),
        _ => 0,
    }
}

#[cold]
fn first_boundary_behind(bytes: &[u8]) -> usize {
    bytes.iter().take(3).take_while(|byte| (0x80..0xC0).contains(*byte)).count()
}

/// Length of `bytes` without a sequence that its end cuts off.
#[inline]
pub(crate) fn last_boundary(bytes: &[u8]) -> usize {
    match bytes.last() {
        Some(0x80..) => last_boundary_of_long(bytes),
        _ => bytes.len(),
    }
}

#[cold]
fn last_boundary_of_long(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let needed = match bytes[bytes.len() - back] {
            0x80..=0xBF => continue,
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => 1,
        };
        return if back < needed { bytes.len() - back } else { bytes.len() };
    }
    bytes.len()
}

/// How many bytes are checked at once.
pub(crate) const BLOCK: usize = 64;

/// From this length on a value is checked alone: what follows it is probably not whole in the chunk.
const LONG: usize = 1024;
