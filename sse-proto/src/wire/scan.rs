//! Where the lines of a chunk end.
//!
//! Short lines are found in a bit mask of 64 bytes, several at a time; a block without a line end means a long line, which is
//! left to `memchr`, as is the line after it, which is probably as long. Each byte is looked at once.

/// The positions of CR and LF in one chunk, in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineEnds {
    /// Line ends not yet taken: bit `n` stands for byte `base + n`.
    bits: u64,
    base: usize,
    /// First byte not looked at.
    next: usize,
    /// The last line was longer than a block.
    long_lines: bool,
}

impl LineEnds {
    /// `long_lines` tells how the chunk before ended; it is a hint.
    pub(super) const fn new(long_lines: bool) -> Self {
        Self { bits: 0, base: 0, next: 0, long_lines }
    }

    /// The next CR or LF.
    #[inline]
    pub(super) fn take(&mut self, input: &[u8]) -> Option<usize> {
        if self.bits == 0 {
            let at = self.next;
            match input.len() - at {
                0 => return None,
                1 => {
                    self.next += 1;
                    return is_line_end(input[at]).then_some(at);
                }
                _ => {
                    if !self.refill(input) {
                        return None;
                    }
                }
            }
        }
        let at = self.base + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(at)
    }

    /// The next line end, when another follows right behind it. Takes neither.
    #[inline(always)]
    pub(super) fn peek_pair(&mut self, input: &[u8]) -> Option<usize> {
        if self.bits == 0 {
            let left = input.len() - self.next;
            let found = match left {
                0 => false,
                1..=64 => self.refill(input),
                _ if self.long_lines => self.find_far(input),
                _ => self.refill(input),
            };
            if !found {
                return None;
            }
        }
        let offset = self.bits.trailing_zeros();
        (self.bits >> offset & 0b10 != 0).then_some(self.base + offset as usize)
    }

    /// Takes the two that [`peek_pair`](Self::peek_pair) saw.
    #[inline(always)]
    pub(super) fn take_pair(&mut self) {
        self.bits &= self.bits.wrapping_sub(1);
        self.bits &= self.bits.wrapping_sub(1);
    }

    /// There are no more in `input`, which was looked at to its end.
    #[inline]
    pub(super) const fn are_taken(&self, input: &[u8]) -> bool {
        self.bits == 0 && self.next == input.len()
    }

    pub(super) const fn long_lines(&self) -> bool {
        self.long_lines
    }

    /// Passes over what lies before `to`.
    #[inline]
    pub(super) fn skip_to(&mut self, to: usize) {
        self.bits &= match to.checked_sub(self.base) {
            Some(offset @ 0..64) => !0 << offset,
            Some(_) => 0,
            None => !0,
        };
        self.next = self.next.max(to);
    }

    #[inline(never)]
    fn refill(&mut self, input: &[u8]) -> bool {
        let rest = &input[self.next..];
        if rest.len() > 64 && self.long_lines {
            return self.find_far(input);
        }
        self.base = self.next;
        match rest.first_chunk() {
            Some(block) => {
                self.bits = mask(block);
                self.next += 64;
                self.bits != 0 || self.next < input.len() && self.find_far(input)
            }
            None => {
                self.bits = mask_of_few(rest);
                self.next = input.len();
                self.bits != 0
            }
        }
    }

    #[inline]
    fn find_far(&mut self, input: &[u8]) -> bool {
        let Some(distance) = memchr::memchr2(b'\r', b'\n', &input[self.next..]) else {
            self.next = input.len();
            return false;
        };
        self.long_lines = distance >= 64;
        self.base = self.next + distance;
        // The byte behind it often ends a line too, and then the event; the rest of the block is looked at when it is asked for.
        let pair = input.get(self.base + 1).is_some_and(|byte| is_line_end(*byte));
        self.bits = if pair { 0b11 } else { 0b1 };
        self.next = self.base + 1 + usize::from(pair);
        true
    }
}

/// Whether a line ends in `bytes`, which are few.
#[inline]
pub(super) fn any_line_end(bytes: &[u8]) -> bool {
    match bytes {
        [byte] => is_line_end(*byte),
        _ => match bytes.try_into() {
            Ok(block) => any_in_block(block),
            Err(_) => any_of_several(bytes),
        },
    }
}

// No early way out, and functions of their own: so compilers make vector code of them.

#[inline(never)]
fn any_in_block(block: &[u8; 64]) -> bool {
    block.iter().fold(0, |any, byte| any | u8::from(is_line_end(*byte))) != 0
}

#[inline(never)]
fn any_of_several(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |any, byte| any | u8::from(is_line_end(*byte))) != 0
}

/// One bit for each CR or LF, the first byte lowest.
///
/// Written so that compilers turn the first loop into vector code and the second into eight multiplications: within a word every
/// byte has at most the one bit that is its own, so the sum in the highest byte is their union.
#[inline(never)]
fn mask(block: &[u8; 64]) -> u64 {
    let mut own_bit = [0; 64];
    for (index, (out, byte)) in own_bit.iter_mut().zip(block).enumerate() {
        *out = if is_line_end(*byte) { 1u8 << (index % 8) } else { 0 };
    }
    own_bit.as_chunks::<8>().0.iter().rev().fold(0, |bits, word| {
        let gathered = u64::from_le_bytes(*word).wrapping_mul(0x0101_0101_0101_0101) >> 56;
        bits << 8 | gathered
    })
}

/// The same for less than a block.
fn mask_of_few(bytes: &[u8]) -> u64 {
    if bytes.len() < 16 {
        return bytes.iter().rev().fold(0, |bits, byte| bits << 1 | u64::from(is_line_end(*byte)));
    }
    let mut block = [0; 64];
    block[..bytes.len()].copy_from_slice(bytes);
    mask(&block)
}

const fn is_line_end(byte: u8) -> bool {
    (byte == b'\n') | (byte == b'\r')
}
