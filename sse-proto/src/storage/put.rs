//! Encoding into whatever `bytes` can write to: `Vec<u8>`, `BytesMut` and the like.

use bytes::BufMut;

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
