//! Looking at many bytes at once, in code that compilers turn into vector code or, without vectors, into arithmetic on words.

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

/// The same for a quarter of a block.
pub(crate) fn line_ends_of_quarter(quarter: &[u8; 16]) -> u64 {
    let [first, last] =
        [0, 8].map(|at| line_ends_of_word(u64::from_le_bytes(core::array::from_fn(|index| quarter[at + index]))));
    first | last << 8
}

/// The same for less than 16 bytes.
#[inline(always)]
pub(crate) fn line_ends_of_few(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return line_ends_of_word(u64::from_le_bytes(*first)) | line_ends_of_word(u64::from_le_bytes(*last)) << (len - 8);
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

pub(crate) const fn is_line_end(byte: u8) -> bool {
    (byte == b'\n') | (byte == b'\r')
}
