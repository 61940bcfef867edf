//! Where the lines of a chunk end.
//!
//! Short lines are found in bit masks, made for a batch of blocks of 64 bytes at a time; a batch without a line end means a long
//! line, which is left to `memchr`, as is the line after it, which is probably as long. Each byte is looked at once.

use crate::portable::is_line_end;
use crate::simd;

/// The positions of CR and LF in one chunk, in order.
#[derive(Clone, Debug)]
pub(super) struct LineEnds {
    /// Line ends not yet taken: bit `n` stands for byte `base + n`.
    bits: u64,
    base: usize,
    /// Blocks of the batch with line ends not yet taken: bit `n` stands for `masks[n]`, the block at `batch + 64 * n`.
    blocks: u32,
    batch: usize,
    /// First byte not looked at.
    next: usize,
    /// The last line was longer than is worth a mask. A hint, so it outlives the chunk.
    long_lines: bool,
    masks: [u64; BATCH],
}

/// Where a line ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineEnd {
    pub(super) at: usize,
    /// The byte behind it ends a line too.
    pub(super) paired: bool,
}

impl LineEnds {
    pub(super) const fn new() -> Self {
        Self { bits: 0, base: 0, blocks: 0, batch: 0, next: 0, long_lines: false, masks: [0; BATCH] }
    }

    /// Begins with another chunk. A small one is looked at now.
    #[inline(always)]
    pub(super) fn restart(&mut self, input: &[u8]) {
        (self.blocks, self.base) = (0, 0);
        (self.bits, self.next) = match (input, input.first_chunk(), input.last_chunk()) {
            (_, Some(first), Some(last)) if input.len() <= 64 => {
                (simd::line_ends_of_ends(first, last, input.len()), input.len())
            }
            ([byte], ..) => (u64::from(is_line_end(*byte)), 1),
            _ => (0, 0),
        };
    }

    /// Passes over the front of a chunk just begun, which has none.
    pub(super) const fn skip(&mut self, len: usize) {
        self.next = len;
    }

    /// The next CR or LF.
    #[inline]
    pub(super) fn take(&mut self, input: &[u8]) -> Option<usize> {
        if !self.are_left(input) {
            return None;
        }
        let at = self.base + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(at)
    }

    /// The next CR or LF, and whether another follows right behind it. Takes neither.
    #[inline(always)]
    pub(super) fn peek(&mut self, input: &[u8]) -> Option<LineEnd> {
        if !self.are_left(input) {
            return None;
        }
        Some(self.lowest())
    }

    #[inline(always)]
    const fn lowest(&self) -> LineEnd {
        let offset = self.bits.trailing_zeros();
        LineEnd { at: self.base + offset as usize, paired: self.bits >> offset & 0b10 != 0 }
    }

    /// Takes the pair that [`peek`](Self::peek) saw.
    #[inline(always)]
    pub(super) fn take_pair(&mut self) {
        self.bits &= self.bits.wrapping_sub(1);
        self.bits &= self.bits.wrapping_sub(1);
    }

    /// Whether there is another; then the lowest of `bits` is it.
    #[inline(always)]
    fn are_left(&mut self, input: &[u8]) -> bool {
        if self.bits != 0 {
            return true;
        }
        if self.blocks != 0 {
            self.next_block();
            return true;
        }
        self.next < input.len() && self.look_on(input)
    }

    #[inline(always)]
    fn next_block(&mut self) {
        let index = self.blocks.trailing_zeros() as usize;
        self.blocks &= self.blocks - 1;
        self.bits = self.masks[index % BATCH];
        self.base = self.batch + 64 * index;
    }

    #[inline(never)]
    fn look_on(&mut self, input: &[u8]) -> bool {
        let rest = &input[self.next..];
        if rest.len() <= 64 {
            self.base = self.next;
            self.bits = line_ends_from(input, self.next);
            self.next = input.len();
            return self.bits != 0;
        }
        if self.long_lines {
            return self.find_far(input);
        }
        let blocks = rest.as_chunks().0;
        let blocks = &blocks[..blocks.len().min(BATCH)];
        self.blocks = simd::line_ends_of_each(blocks, &mut self.masks);
        self.batch = self.next;
        self.next += 64 * blocks.len();
        if let (Some(last), Some(block)) = (self.masks.get_mut(blocks.len()), input.last_chunk::<64>())
            && self.next < input.len()
        {
            // What is behind the whole blocks goes with them: looking once more at the end of a chunk would cost a decision.
            *last = simd::line_ends(block) >> (64 - (input.len() - self.next));
            self.blocks |= u32::from(*last != 0) << blocks.len();
            self.next = input.len();
        }
        if self.blocks == 0 {
            self.long_lines = self.next - self.batch >= FAR;
            return self.next < input.len() && self.find_far(input);
        }
        self.next_block();
        true
    }

    #[inline]
    fn find_far(&mut self, input: &[u8]) -> bool {
        let rest = &input[self.next..];
        let passed = simd::without_line_end(rest);
        if passed == rest.len() {
            self.next = input.len();
            return false;
        }
        let Some(distance) = memchr::memchr2(b'\r', b'\n', &rest[passed..]).map(|distance| passed + distance) else {
            self.next = input.len();
            return false;
        };
        self.long_lines = distance >= FAR;
        self.base = self.next + distance;
        // The byte behind it often ends a line too, and then the event; the rest of the block is looked at when it is asked for.
        let pair = input.get(self.base + 1).is_some_and(|byte| is_line_end(*byte));
        self.bits = if pair { 0b11 } else { 0b1 };
        self.next = self.base + 1 + usize::from(pair);
        true
    }
}

/// The line ends of the block at `base`, or of what there is of it.
#[inline]
pub(super) fn line_ends_from(input: &[u8], base: usize) -> u64 {
    let rest = &input[base..];
    rest.first_chunk().map_or_else(|| simd::line_ends_of_part(rest), simd::line_ends)
}

/// Blocks whose masks are made in one go: so many that choosing the widest vectors costs nothing beside it.
const BATCH: usize = 32;

/// A line as long as this is better searched for its end alone.
const FAR: usize = 1024;
