//! The memory of a module: blocks of powers of two, each size with a list of those that are free.
//!
//! As little code as will do, because clients load it: blocks are neither split nor joined. What it costs is at most half of each block,
//! and that memory once used for one size is kept for it. Both calls take the same time whatever there is.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr;

/// The smallest block, and what every block is aligned to: more is not to be had.
const SMALLEST: usize = 16;

const PAGE: usize = 64 * 1024;

/// An allocator for one thread.
pub struct Allocator(UnsafeCell<Blocks>);

struct Blocks {
    /// By the logarithm of their size.
    free: [*mut Free; usize::BITS as usize],
    /// Memory that no block was made of yet.
    rest: *mut u8,
    rest_len: usize,
}

/// What stands in a block that is free.
struct Free {
    next: *mut Free,
}

impl Allocator {
    /// Without any memory so far.
    pub const fn new() -> Self {
        let free = [ptr::null_mut(); usize::BITS as usize];
        Self(UnsafeCell::new(Blocks { free, rest: ptr::null_mut(), rest_len: 0 }))
    }
}

impl Default for Allocator {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: there is one thread in wasm without atomics, which is what this crate is built for.
unsafe impl Sync for Allocator {}

// SAFETY: a block is of at least the size asked for and aligned to `SMALLEST`, and it is on no list while it is in use. Nothing in here
// calls anything that allocates.
unsafe impl GlobalAlloc for Allocator {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: nobody else has a reference to the blocks for as long as this one lives.
        let blocks = unsafe { &mut *self.0.get() };
        let Some(size) = size_of(layout) else { return ptr::null_mut() };
        let free = &mut blocks.free[size.ilog2() as usize];
        if !free.is_null() {
            let block = *free;
            // SAFETY: what is on a list was put there by `dealloc`, and is nobody else's.
            *free = unsafe { (*block).next };
            return block.cast();
        }
        blocks.make(size)
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        let blocks = unsafe { &mut *self.0.get() };
        let Some(size) = size_of(layout) else { return };
        let free = &mut blocks.free[size.ilog2() as usize];
        let block = block.cast::<Free>();
        // SAFETY: the block came from `alloc` for this layout, so it has room for a pointer, aligned.
        unsafe { block.write(Free { next: *free }) };
        *free = block;
    }
}

impl Blocks {
    /// A new block, from memory that the host gives.
    fn make(&mut self, size: usize) -> *mut u8 {
        if self.rest_len < size {
            let pages = size.div_ceil(PAGE);
            let Some(more) = grow(pages) else { return ptr::null_mut() };
            // Nobody else grows the memory, so it follows on what is left. If not, that is given up.
            if self.rest.wrapping_add(self.rest_len) != more {
                (self.rest, self.rest_len) = (more, 0);
            }
            self.rest_len += pages * PAGE;
        }
        let block = self.rest;
        self.rest = block.wrapping_add(size);
        self.rest_len -= size;
        block
    }
}

/// The size of the block that a layout takes.
fn size_of(layout: Layout) -> Option<usize> {
    (layout.align() <= SMALLEST).then(|| layout.size().max(SMALLEST).checked_next_power_of_two())?
}

/// So many pages more.
#[cfg(not(test))]
fn grow(pages: usize) -> Option<*mut u8> {
    let page = core::arch::wasm32::memory_grow::<0>(pages);
    (page != usize::MAX).then(|| (page * PAGE) as *mut u8)
}

#[cfg(test)]
use tests::grow;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const PAGES: usize = 16;

    #[repr(align(16))]
    struct Memory(UnsafeCell<[u8; PAGES * PAGE]>);

    // SAFETY: each page is given away once.
    unsafe impl Sync for Memory {}

    static MEMORY: Memory = Memory(UnsafeCell::new([0; PAGES * PAGE]));
    static GIVEN: AtomicUsize = AtomicUsize::new(0);

    pub(super) fn grow(pages: usize) -> Option<*mut u8> {
        let first = GIVEN
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |given| Some(given + pages).filter(|given| *given <= PAGES));
        first.ok().map(|page| MEMORY.0.get().cast::<u8>().wrapping_add(page * PAGE))
    }

    struct Block {
        at: *mut u8,
        layout: Layout,
        mark: u8,
    }

    fn take(allocator: &Allocator, size: usize, mark: u8) -> Option<Block> {
        let layout = Layout::from_size_align(size, 1 << (size % 5)).unwrap();
        // SAFETY: the size is not zero.
        let at = unsafe { allocator.alloc(layout) };
        if at.is_null() {
            return None;
        }
        assert_eq!(at as usize % layout.align(), 0);
        let end = MEMORY.0.get() as usize + GIVEN.load(Ordering::Relaxed) * PAGE;
        assert!(at as usize + size <= end, "more than there is");
        // SAFETY: so many bytes were given.
        unsafe { at.write_bytes(mark, size) };
        Some(Block { at, layout, mark })
    }

    fn give(allocator: &Allocator, Block { at, layout, mark }: Block) {
        // SAFETY: nobody else was given these bytes, which `take` has written.
        let bytes = unsafe { core::slice::from_raw_parts(at, layout.size()) };
        assert!(bytes == vec![mark; bytes.len()], "someone else has written to them");
        // SAFETY: it came from there, for this layout.
        unsafe { allocator.dealloc(at, layout) };
    }

    /// Under miri, too.
    #[test]
    fn blocks_are_nobody_elses_until_they_are_given_back() {
        let allocator = Allocator::new();
        let mut random = 0x5EED_u64;
        let mut below = |end: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % end as u64) as usize
        };
        let mut blocks = Vec::new();
        for round in 0..400 {
            if blocks.len() > 20 || below(3) == 0 && !blocks.is_empty() {
                let at = below(blocks.len());
                give(&allocator, blocks.swap_remove(at));
            } else {
                let most = [16, 100, 700, 3_000][below(4)];
                blocks.push(take(&allocator, 1 + below(most), round as u8).expect("there is room for twenty"));
            }
        }
        blocks.drain(..).for_each(|block| give(&allocator, block));

        // What was given back is given again, and nothing else is needed for it.
        let pages = GIVEN.load(Ordering::Relaxed);
        for _ in 0..10 {
            let all: Vec<Block> = [16, 100, 700, 3_000].map(|size| take(&allocator, size, 1).unwrap()).into();
            all.into_iter().for_each(|block| give(&allocator, block));
        }
        assert_eq!(GIVEN.load(Ordering::Relaxed), pages);

        // More than a page, and more than there is.
        let large = take(&allocator, 2 * PAGE - 1, 7).unwrap();
        assert!(take(&allocator, PAGES * PAGE, 8).is_none());
        assert!(take(&allocator, usize::MAX / 4, 8).is_none());
        give(&allocator, large);
        while take(&allocator, 5_000, 9).is_some() {}
        // SAFETY: the size is not zero.
        assert!(unsafe { allocator.alloc(Layout::new::<Aligned>()) }.is_null(), "no block is aligned to more than 16");
    }

    #[repr(align(32))]
    struct Aligned(#[expect(dead_code, reason = "it is never made")] u8);
}
