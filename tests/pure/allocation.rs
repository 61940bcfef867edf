//! What allocates nothing. Counted per thread, so that tests beside these do not disturb them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use sse_proto::wire::{Decoder, Item, Limits};

#[test]
fn an_event_whole_in_its_chunk_allocates_nothing() {
    let mut decoder = Decoder::new(Limits::default());
    let chunk = "data: {\"token\":\"…\"}\n\nevent: delta\r\ndata: x\r\n\r\n: keep-alive\n\n".repeat(100);
    let mut events = 0;
    let allocations = counted(|| {
        for _ in 0..3 {
            let mut feed = decoder.feed(chunk.as_bytes());
            while let Some(item) = feed.next_item().unwrap() {
                events += usize::from(matches!(item, Item::Event(_)));
            }
        }
    });
    assert_eq!((events, allocations), (600, 0));
}

#[test]
fn ids_joined_lines_and_straddling_events_use_their_memory_again() {
    let mut decoder = Decoder::new(Limits::default());
    let stream = "id: 1\ndata: a\ndata: b\n\nid: 2\nevent: e\nretry: 3\ndata: c\n\n".repeat(100);
    let mut decode = || {
        for chunk in stream.as_bytes().chunks(50) {
            let mut feed = decoder.feed(chunk);
            while feed.next_item().unwrap().is_some() {}
        }
    };
    assert!(counted(&mut decode) > 0, "the counter counts");
    assert_eq!(counted(decode), 0);
}

fn counted(run: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    run();
    ALLOCATIONS.get() - before
}

struct Counting;

// SAFETY: hands every call to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is the one asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
