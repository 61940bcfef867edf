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
        self.pieces(|piece| out.put_slice(piece));
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
        self.pieces(|piece| out.put_slice(piece));
    }
}
