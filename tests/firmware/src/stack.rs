//! How deep the stack has been.

use core::ptr::{addr_of, read_volatile};

/// What the start of the program fills the stack with: `paint-stack` of `cortex-m-rt`.
const PAINT: u32 = 0xCCCC_CCCC;

unsafe extern "C" {
    /// From the linker: the lowest word of the stack, and the word behind its highest.
    static _stack_end: u32;
    static _stack_start: u32;
}

/// Bytes between the top of the stack and the deepest word that was ever written.
pub(crate) fn used() -> usize {
    let (low, high) = (addr_of!(_stack_end), addr_of!(_stack_start));
    let mut at = low;
    // SAFETY: the linker puts both symbols at the bounds of one region of RAM, aligned to words, which nothing but the stack uses and
    // which was filled before `main`. Reading it as words, volatile since this function's own frame lies in it, changes nothing.
    while at < high && unsafe { read_volatile(at) } == PAINT {
        at = at.wrapping_add(1);
    }
    high.addr() - at.addr()
}
