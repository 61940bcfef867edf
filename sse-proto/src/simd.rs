//! Looking at many bytes at once, by vectors as wide as the processor has. `portable.rs` says what each of these does.
//!
//! The processor is asked what it has once, by the dependency. Where a call for each block would cost more than wider vectors save,
//! the instructions are those that every processor of the target has.

use fearless_simd::{Level, dispatch, prelude::*, u8x64};

use crate::portable;

#[inline]
pub(crate) fn line_ends(block: &[u8; 64]) -> u64 {
    if Level::baseline().is_fallback() {
        return portable::line_ends(block);
    }
    dispatch!(Level::baseline(), simd => mask(simd, block))
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
pub(crate) fn first_line_end_region(bytes: &[u8]) -> usize {
    let level = Level::new();
    if level.is_fallback() {
        return portable::first_line_end_region(bytes);
    }
    dispatch!(level, simd => {
        let (low, breadth) = (u8x64::splat(simd, b'\n'), u8x64::splat(simd, b'\r' - b'\n'));
        let mut passed = 0;
        for region in bytes.as_chunks::<{ portable::REGION }>().0 {
            let distance = region.as_chunks::<64>().0.iter().fold(u8x64::splat(simd, u8::MAX), #[inline(always)] |least, block| {
                least.min(u8x64::from_slice(simd, block) - low)
            });
            if distance.simd_le(breadth).any_true() {
                break;
            }
            passed += region.len();
        }
        passed
    })
}

#[inline(always)]
fn mask<S: Simd>(simd: S, block: &[u8; 64]) -> u64 {
    let block = u8x64::from_slice(simd, block);
    (block.simd_eq(b'\n') | block.simd_eq(b'\r')).to_bitmask()
}
