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
fn grow(pages: usize) -> Option<*mut u8> {
    let page = core::arch::wasm32::memory_grow::<0>(pages);
    (page != usize::MAX).then(|| (page * PAGE) as *mut u8)
}
