//! Encoding into `Vec<u8>`, and into whatever else `bytes` can write to: `BytesMut` and the like.

use alloc::vec::Vec;

use bytes::BufMut;

use crate::simd;
use crate::wire::encode::Sink;
use crate::wire::{Event, Frame};

impl Event<'_> {
    /// Appends the frame to `out`, its own `id` line included.
    ///
    /// Looks through each value once; allocates only as `out` grows.
    ///
    /// # Panics
    ///
    /// When `out` cannot grow and does not hold the frame: see [`BufMut::put_slice`].
    #[inline]
    pub fn encode_to(&self, out: &mut impl BufMut) {
        self.pieces(|piece| put(out, piece));
    }

    /// The same for a `Vec`, which takes a long value in one pass instead of two.
    #[inline]
    pub fn encode_to_vec(&self, out: &mut Vec<u8>) {
        self.write(out);
    }
}

impl<B: AsRef<[u8]>> Frame<B> {
    /// Appends the frame to `out`, its own `id` line included.
    ///
    /// # Panics
    ///
    /// When `out` cannot grow and does not hold the frame: see [`BufMut::put_slice`].
    #[inline]
    pub fn encode_to(&self, out: &mut impl BufMut) {
        self.pieces(|piece| put(out, piece));
    }
}

impl Sink for Vec<u8> {
    #[inline(always)]
    fn put(&mut self, piece: &[u8]) {
        put(self, piece);
    }

    #[inline(always)]
    fn end(&mut self, in_line: bool) {
        (|piece: &[u8]| put(self, piece)).end(in_line);
    }

    #[inline(always)]
    fn put_ahead(&mut self, value: &[u8]) -> usize {
        if value.len() < LONG {
            return (|piece: &[u8]| put(self, piece)).put_ahead(value);
        }
        simd::append_without_line_end(value, self)
    }
}

#[inline(always)]
fn put(out: &mut impl BufMut, piece: &[u8]) {
    if piece.len() <= PART {
        return out.put_slice(piece);
    }
    piece.chunks(PART).for_each(|part| out.put_slice(part));
}

/// What is copied at once. There are processors on which a larger copy takes thirty times as long when source and target lie at
/// unlucky distances; parts of this length are copied in another way.
const PART: usize = 2048;

/// From this length on, copying while looking is quicker than one after the other.
const LONG: usize = 2048;
