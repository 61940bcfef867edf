//! Looking at many bytes at once, by vectors as wide as the processor has, and writing two digits at once. `portable.rs` says what each
//! of these does.
//!
//! The processor is asked what it has once, by the dependency. Where a call for each block would cost more than wider vectors save,
//! the instructions are those that every processor of the target has.

use alloc::vec::Vec;

use fearless_simd::{Level, dispatch, prelude::*, u8x16, u8x32, u8x64};

use crate::portable;

#[inline]
pub(crate) fn line_ends(block: &[u8; 64]) -> u64 {
    if Level::baseline().is_fallback() {
        return portable::line_ends(block);
    }
    dispatch!(Level::baseline(), simd => mask(simd, block))
}

#[inline]
pub(crate) fn line_ends_of_ends(first: &[u8; 32], last: &[u8; 32], len: usize) -> u64 {
    if Level::baseline().is_fallback() {
        return portable::line_ends_of_ends(first, last, len);
    }
    dispatch!(Level::baseline(), simd => {
        let [first, last] = [first, last].map(|half| {
            let half = u8x32::from_slice(simd, half);
            half.simd_eq(b'\n') | half.simd_eq(b'\r')
        });
        // One question for all of a long line.
        if (first | last).any_true() { first.to_bitmask() | last.to_bitmask() << (len - 32) } else { 0 }
    })
}

#[inline]
pub(crate) fn line_ends_of_part(part: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (part.first_chunk(), part.last_chunk()) {
        return line_ends_of_ends(first, last, part.len());
    }
    match (part.first_chunk(), part.last_chunk()) {
        (Some(first), Some(last)) => line_ends_of_quarter(first) | line_ends_of_quarter(last) << (part.len() - 16),
        _ => line_ends_of_few(part),
    }
}

#[inline]
fn line_ends_of_quarter(block: &[u8; 16]) -> u64 {
    if Level::baseline().is_fallback() {
        return portable::line_ends_of_part(block);
    }
    dispatch!(Level::baseline(), simd => {
        let block = u8x16::from_slice(simd, block);
        (block.simd_eq(b'\n') | block.simd_eq(b'\r')).to_bitmask()
    })
}

/// For less than 16 bytes.
#[inline(always)]
fn line_ends_of_few(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let ends = u128::from(u64::from_le_bytes(*first)) | u128::from(u64::from_le_bytes(*last)) << 64;
        let mask = line_ends_of_quarter(&ends.to_le_bytes());
        return mask & 0xFF | (mask >> 8) << (len - 8);
    }
    line_ends_of_word(match (bytes.first_chunk(), bytes.last_chunk(), bytes) {
        (Some(first), Some(last), _) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (len - 4))
        }
        (.., [first, .., last]) => {
            u64::from(*first) | u64::from(bytes[len / 2]) << (8 * (len / 2)) | u64::from(*last) << (8 * (len - 1))
        }
        (.., [only]) => u64::from(*only),
        _ => 0,
    })
}

/// One bit for each CR or LF among eight bytes. The highest bit of each byte is what is left of it when it is zero, whatever its
/// neighbors are; the product brings these bits together.
#[inline(always)]
fn line_ends_of_word(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const LOW: u64 = 0x7F * EACH;
    let zeros = |word: u64| !(((word & LOW) + LOW) | word | LOW);
    let ends = zeros(word ^ (EACH * b'\n' as u64)) | zeros(word ^ (EACH * b'\r' as u64));
    (ends >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
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
        // One decision is cheaper than two.
        let (regions, rest) = if bytes.len() < 2 * REGION { (&[][..], bytes) } else { bytes.as_chunks::<REGION>() };
        for (index, region) in regions.iter().enumerate() {
            if any_may_end_a_line(simd, region, u8x64::splat(simd, u8::MAX)) {
                return index * REGION;
            }
        }
        match bytes.last_chunk() {
            Some(last) if !any_may_end_a_line(simd, rest, distance(simd, last)) => bytes.len(),
            _ => bytes.len() - rest.len(),
        }
    })
}

/// Whatever is not above CR counts: one instruction less, and text has little of it but line ends.
#[inline]
pub(crate) fn may_end_a_line(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk::<32>() else {
        return bytes.iter().any(|byte| *byte <= b'\r');
    };
    if Level::baseline().is_fallback() {
        return portable::may_end_a_line(bytes);
    }
    dispatch!(Level::baseline(), simd => {
        let mut least = u8x32::from_slice(simd, last);
        for half in bytes.as_chunks::<32>().0 {
            least = least.min(u8x32::from_slice(simd, half));
        }
        least.simd_le(b'\r').any_true()
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
        if let (Some(from), Some(to)) = (from.first_chunk::<64>(), to.first_chunk_mut::<64>()) {
            *to = *from;
            least = u8x64::from_slice(simd, from);
        }
        // Vectors that are stored across two cache lines take twice as long, which few of them do not make up for.
        let skipped = if from.len() < LONG { 64 } else { to.as_ptr().align_offset(64) }.min(from.len());
        let (blocks, places) = (from[skipped..].as_chunks::<64>().0, to[skipped..].as_chunks_mut::<64>().0);
        for (from, to) in blocks.iter().zip(places) {
            let block = u8x64::from_slice(simd, from);
            block.store_slice(to);
            least = least.min(block);
        }
        let (Some(last), Some(to)) = (from.last_chunk::<64>(), to.last_chunk_mut::<64>()) else {
            return portable::copied_without_line_end(from, to);
        };
        *to = *last;
        !least.min(u8x64::from_slice(simd, last)).simd_le(b'\r').any_true() || memchr::memchr2(b'\r', b'\n', from).is_none()
    })
}

#[inline]
pub(crate) fn append_without_line_end(from: &[u8], to: &mut Vec<u8>) -> usize {
    let level = Level::new();
    if level.is_fallback() {
        return portable::append_without_line_end(from, to);
    }
    let Some(first) = from.first_chunk() else { return 0 };
    if line_ends(first) != 0 {
        return 0;
    }
    to.reserve(from.len());
    // Aligned for the same reason as above.
    let (head, rest) = from.split_at(to.spare_capacity_mut().as_ptr().align_offset(64).min(first.len()));
    to.extend_from_slice(head);
    dispatch!(level, _ => {
        let mut appended = head.len();
        for part in rest.as_chunks::<STEP>().0.chunks(STEPS).map(<[_]>::as_flattened) {
            // Compilers make vector code of it, which keeps the length in a register: what is put in piece by piece moves it each time.
            let mut least = u8::MAX;
            to.extend(part.iter().map(#[inline(always)] |byte| {
                least = least.min(*byte);
                *byte
            }));
            if least <= b'\r' && memchr::memchr2(b'\r', b'\n', part).is_some() {
                to.truncate(to.len() - part.len());
                break;
            }
            appended += part.len();
        }
        appended
    })
}

/// Whether there is a byte from LF to CR in the whole blocks of `bytes`, or was in what has the least `distance` so far. What lies
/// between the two is rare, and the search takes it as the nothing that it is.
#[inline(always)]
fn any_may_end_a_line<S: Simd>(simd: S, bytes: &[u8], mut least: u8x64<S>) -> bool {
    for block in bytes.as_chunks().0 {
        least = least.min(distance(simd, block));
    }
    least.simd_le(b'\r' - b'\n').any_true()
}

#[inline(always)]
fn distance<S: Simd>(simd: S, block: &[u8; 64]) -> u8x64<S> {
    u8x64::from_slice(simd, block) - b'\n'
}

/// The decimal digits of `value` into `out`, which is as long as they are.
pub(crate) fn digits(out: &mut [u8], mut value: u64) {
    let len = out.len();
    if let 4..=8 = len {
        let digits = eight_digits(value) >> (8 * (8 - len));
        if let Some(first) = out.first_chunk_mut() {
            *first = (digits as u32).to_le_bytes();
        }
        if let Some(last) = out.last_chunk_mut() {
            *last = ((digits >> (8 * (len - 4))) as u32).to_le_bytes();
        }
        return;
    }
    let (first, pairs) = out.as_rchunks_mut();
    for pair in pairs.iter_mut().rev() {
        *pair = PAIRS[(value % 100) as usize];
        value /= 100;
    }
    if let [first] = first {
        *first = b'0' + (value % 10) as u8;
    }
}

/// All eight digits of a number below 10⁸, the first in the lowest byte: halves of four, then of two, then of one, each time side by
/// side. A quotient by 100 or 10 is a product with a fraction that is exact for so few digits.
#[inline(always)]
fn eight_digits(value: u64) -> u64 {
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007F_0000_007F;
    let pairs = hundreds | ((fours - 100 * hundreds) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000F_000F_000F_000F;
    let digits = tens | ((pairs - 10 * tens) << 8);
    digits | u64::from_le_bytes([b'0'; 8])
}

/// How many digits `value` has in decimal: as many as its bits say, or one less.
#[inline]
pub(crate) const fn decimal_len(value: u64) -> usize {
    let most = ((64 - (value | 1).leading_zeros() as usize) * 1233) >> 12;
    most + (value >= POWERS[most]) as usize
}

/// From this length on, aligning what is stored pays.
const LONG: usize = 1024;

/// What compilers append in a step of the loop they make; the rest would be appended byte by byte.
const STEP: usize = 128;

/// How many steps are decided on at once.
const STEPS: usize = 32;

/// What is decided on at once.
const REGION: usize = 256;

#[inline(always)]
fn mask<S: Simd>(simd: S, block: &[u8; 64]) -> u64 {
    let block = u8x64::from_slice(simd, block);
    (block.simd_eq(b'\n') | block.simd_eq(b'\r')).to_bitmask()
}

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut value = 0;
    while value < 100 {
        pairs[value] = [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        value += 1;
    }
    pairs
};

/// `POWERS[n]` is the least number with `n + 1` digits.
const POWERS: [u64; 20] = {
    let mut powers = [0; 20];
    let mut digits = 1;
    while digits < 20 {
        powers[digits] = 10_u64.pow(digits as u32);
        digits += 1;
    }
    powers
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways agree with each other and with looking at one byte after the other.
    #[test]
    fn digits_are_those_of_plain_code() {
        let bounds = (0..20).flat_map(|digits| [10_u64.pow(digits) - 1, 10_u64.pow(digits), 10_u64.pow(digits) / 3]);
        for value in bounds.chain((0..10_000).map(|half| half * 10_001)) {
            let len = decimal_len(value);
            assert_eq!(len, portable::decimal_len(value));
            let (mut out, mut same) = ([0; 20], [0; 20]);
            digits(&mut out[..len], value);
            portable::digits(&mut same[..len], value);
            assert_eq!(out, same);
        }
    }

    #[test]
    fn both_ways_see_the_same() {
        let mut state = 0x5EED_u64;
        for round in 0..2000_usize {
            let bytes: [u8; 1024] = core::array::from_fn(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                match (state >> 33) % (1 << (round % 12)) {
                    0 => b'\n',
                    1 => b'\r',
                    byte => (byte as u8) | 0x10,
                }
            });
            let blocks = bytes.as_chunks().0;
            let naive =
                |block: &[u8]| block.iter().rev().fold(0, |bits, byte| bits << 1 | u64::from(portable::is_line_end(*byte)));
            for block in blocks {
                assert_eq!((line_ends(block), portable::line_ends(block)), (naive(block), naive(block)));
                let long = &block[..32 + round % 33];
                let (first, last) = (long.first_chunk().unwrap(), long.last_chunk().unwrap());
                assert_eq!(line_ends_of_ends(first, last, long.len()), naive(long));
                assert_eq!(portable::line_ends_of_ends(first, last, long.len()), naive(long));
                let part = &block[..round % 64];
                assert_eq!((line_ends_of_part(part), portable::line_ends_of_part(part)), (naive(part), naive(part)));
            }
            let (mut masks, mut same) = ([0; 16], [0; 16]);
            assert_eq!(line_ends_of_each(blocks, &mut masks), portable::line_ends_of_each(blocks, &mut same));
            assert_eq!(masks, same);

            let part = &bytes[round % 7..1024 - round % 129];
            let first = memchr::memchr2(b'\r', b'\n', part);
            assert!(without_line_end(part) <= first.unwrap_or(part.len()));
            for part in part.chunks(1 + round % 261) {
                assert_eq!(may_end_a_line(part), part.iter().any(|byte| *byte <= b'\r'));
            }
            let mut copy = [0; 1024];
            let copy = &mut copy[..part.len()];
            assert_eq!(copied_without_line_end(part, copy), first.is_none());
            assert_eq!(copy, part);
            let mut text = Vec::with_capacity(2048);
            text.resize(round % 67, b'\n');
            let before = text.clone();
            let appended = append_without_line_end(part, &mut text);
            assert!(first.map_or(appended + STEP > part.len(), |first| appended <= first));
            assert_eq!(text, [&before, &part[..appended]].concat());
            assert_eq!(portable::append_without_line_end(part, &mut text), 0);
        }
    }
}
