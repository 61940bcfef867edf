//! Looking at many bytes at once, by vectors as wide as the processor has. `portable.rs` says what each of these does.
//!
//! The processor is asked what it has once, by the dependency. Where a call for each block would cost more than wider vectors save,
//! the instructions are those that every processor of the target has.

use fearless_simd::{Level, dispatch, prelude::*, u8x32, u8x64};

use crate::portable;

#[inline]
pub(crate) fn line_ends(block: &[u8; 64]) -> u64 {
    if Level::baseline().is_fallback() {
        return portable::line_ends(block);
    }
    dispatch!(Level::baseline(), simd => mask(simd, block))
}

#[inline]
pub(crate) fn line_ends_of_half(block: &[u8; 32]) -> u64 {
    if Level::baseline().is_fallback() {
        return portable::line_ends_of_half(block);
    }
    dispatch!(Level::baseline(), simd => {
        let block = u8x32::from_slice(simd, block);
        (block.simd_eq(b'\n') | block.simd_eq(b'\r')).to_bitmask()
    })
}

#[inline]
pub(crate) fn line_ends_of_each(blocks: &[[u8; 64]], masks: &mut [u64]) -> u32 {
    let level = Level::new();
    if level.is_fallback() {
        return portable::line_ends_of_each(blocks, masks);
    }
    dispatch!(level, simd => portable::of_each(blocks, masks, #[inline(always)] |block| mask(simd, block)))
}

#[inline]
pub(crate) fn without_line_end(bytes: &[u8]) -> usize {
    let level = Level::new();
    if level.is_fallback() {
        return portable::without_line_end(bytes);
    }
    dispatch!(level, simd => {
        let (regions, rest) = bytes.as_chunks::<REGION>();
        for (index, region) in regions.iter().enumerate() {
            if may_end_a_line(simd, region, u8x64::splat(simd, u8::MAX)) {
                return index * REGION;
            }
        }
        match bytes.last_chunk() {
            Some(last) if !may_end_a_line(simd, rest, distance(simd, last)) => bytes.len(),
            _ => bytes.len() - rest.len(),
        }
    })
}

#[inline]
pub(crate) fn copied_without_line_end(from: &[u8], to: &mut [u8]) -> bool {
    let level = Level::new();
    if level.is_fallback() {
        return portable::copied_without_line_end(from, to);
    }
    dispatch!(level, simd => {
        let mut least = u8x64::splat(simd, u8::MAX);
        for (from, to) in from.as_chunks::<64>().0.iter().zip(to.as_chunks_mut::<64>().0) {
            let block = u8x64::from_slice(simd, from);
            block.store_slice(to);
            least = least.min(block - b'\n');
        }
        let (Some(from), Some(to)) = (from.last_chunk::<64>(), to.last_chunk_mut::<64>()) else {
            return portable::copied_without_line_end(from, to);
        };
        *to = *from;
        !may_end_a_line(simd, from, least)
    })
}

/// Whether there is a byte from LF to CR in the whole blocks of `bytes`, or was in what has the least `distance` so far. What lies
/// between the two is rare, and the search takes it as the nothing that it is.
#[inline(always)]
fn may_end_a_line<S: Simd>(simd: S, bytes: &[u8], mut least: u8x64<S>) -> bool {
    for block in bytes.as_chunks().0 {
        least = least.min(distance(simd, block));
    }
    least.simd_le(b'\r' - b'\n').any_true()
}

#[inline(always)]
fn distance<S: Simd>(simd: S, block: &[u8; 64]) -> u8x64<S> {
    u8x64::from_slice(simd, block) - b'\n'
}

/// What is decided on at once.
const REGION: usize = 256;

#[inline(always)]
fn mask<S: Simd>(simd: S, block: &[u8; 64]) -> u64 {
    let block = u8x64::from_slice(simd, block);
    (block.simd_eq(b'\n') | block.simd_eq(b'\r')).to_bitmask()
}
