//! Looking at many bytes at once, in code that compilers turn into vector code or, without vectors, into arithmetic on words; and
//! numbers in decimal. Where a table would be faster, little code is preferred.

/// One bit for each CR or LF, the first byte lowest.
///
/// Within a word of the second loop every byte has at most the one bit that is its own, so the sum in the highest byte is their
/// union.
#[inline(never)]
pub(crate) fn line_ends(block: &[u8; 64]) -> u64 {
    let mut own_bit = [0; 64];
    for (index, (out, byte)) in own_bit.iter_mut().zip(block).enumerate() {
        *out = if is_line_end(*byte) { 1u8 << (index % 8) } else { 0 };
    }
    own_bit.as_chunks::<8>().0.iter().rev().fold(0, |bits, word| {
        let gathered = u64::from_le_bytes(*word).wrapping_mul(0x0101_0101_0101_0101) >> 56;
        bits << 8 | gathered
    })
}

/// The same for half a block to a whole one, given as its first and its last half, which may overlap.
#[inline(never)]
pub(crate) fn line_ends_of_ends(first: &[u8; 32], last: &[u8; 32], len: usize) -> u64 {
    let mut block = [0; 64];
    block[..32].copy_from_slice(first);
    block[len - 32..len].copy_from_slice(last);
    line_ends(&block)
}

/// The same for less than a block, byte by byte: little code, for where vectors are not.
pub(crate) fn line_ends_of_part(part: &[u8]) -> u64 {
    part.iter().rev().fold(0, |bits, byte| bits << 1 | u64::from(is_line_end(*byte)))
}

/// The same for several blocks. Returns one bit for each block that has any, the first block lowest.
pub(crate) fn line_ends_of_each(blocks: &[[u8; 64]], masks: &mut [u64]) -> u32 {
    of_each(blocks, masks, line_ends)
}

#[inline(always)]
pub(crate) fn of_each(blocks: &[[u8; 64]], masks: &mut [u64], mask: impl Fn(&[u8; 64]) -> u64) -> u32 {
    let mut any = 0;
    for (index, (block, out)) in blocks.iter().zip(masks).enumerate() {
        *out = mask(block);
        any |= u32::from(*out != 0) << index;
    }
    any
}

/// How many bytes at the front are certainly without a line end; some that follow them may be without too. A look ahead of a search,
/// for when vectors make it cheaper than the search.
pub(crate) const fn without_line_end(_: &[u8]) -> usize {
    0
}

/// Whether there may be a line end: false only where there certainly is none. A look ahead of a search, like the one above.
pub(crate) const fn may_end_a_line(_: &[u8]) -> bool {
    true
}

/// Copies, and says whether what it copied is certainly without a line end. Both are of one length.
pub(crate) fn copied_without_line_end(from: &[u8], to: &mut [u8]) -> bool {
    to.copy_from_slice(from);
    memchr::memchr2(b'\r', b'\n', from).is_none()
}

/// Appends a front that is certainly without a line end, and says how long it is: here it is quicker to search first.
#[cfg(feature = "alloc")]
pub(crate) const fn append_without_line_end(_: &[u8], _: &mut alloc::vec::Vec<u8>) -> usize {
    0
}

pub(crate) const fn is_line_end(byte: u8) -> bool {
    (byte == b'\n') | (byte == b'\r')
}

/// The decimal digits of `value` into `out`, which is as long as they are.
#[cfg(any(test, not(feature = "std")))]
pub(crate) fn digits(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// How many digits `value` has in decimal.
#[cfg(any(test, not(feature = "std")))]
pub(crate) const fn decimal_len(mut value: u64) -> usize {
    let mut len = 1;
    while value > 9 {
        value /= 10;
        len += 1;
    }
    len
}
