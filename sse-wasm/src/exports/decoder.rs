//! The decoder and the client's machine.

use alloc::vec::Vec;
use core::cell::Cell;

use wasm_bindgen::prelude::wasm_bindgen;

use super::{INPUT, Place, Slot, Table};
use crate::batch::Batch;
use crate::record::Reader;
use crate::source::Source;

static SOURCES: Table<Source> = Place(Cell::new(Vec::new()));
static BATCH: Place<Batch> = Place(Cell::new(Batch::new()));

/// A new stream, with the options that stand in the input.
#[wasm_bindgen]
pub fn make() -> usize {
    SOURCES.add(INPUT.with(|input| Source::new(&mut Reader::new(input))))
}

/// See [`Source::set_last_event_id`]; the id stands in the input.
#[wasm_bindgen]
pub fn resume(source: usize) -> bool {
    INPUT.with(|input| SOURCES.using(source, |source| source.set_last_event_id(Reader::new(input).next_text())))
}

/// See [`Source::poll`].
#[wasm_bindgen]
pub fn poll(source: usize) -> u32 {
    SOURCES.using(source, Source::poll)
}

/// See [`Source::time`].
#[wasm_bindgen]
pub fn time(source: usize, which: u32) -> f64 {
    SOURCES.using(source, |source| source.time(which))
}

/// See [`Source::respond`]; content type and `Retry-After` stand in the input.
#[wasm_bindgen]
pub fn respond(source: usize, now: f64, status: u32, until: f64) {
    INPUT.with(|input| SOURCES.using(source, |source| source.respond(now, status as u16, &mut Reader::new(input), until)));
}

/// See [`Source::feed`]; the bytes stand in the input. The next call overwrites what it says.
#[wasm_bindgen]
pub fn feed(source: usize, now: f64, len: usize) -> *const u32 {
    INPUT.with(|input| {
        BATCH.with(|batch| SOURCES.using(source, |source| source.feed(now, input.get(..len).unwrap_or_default(), batch)))
    })
}

/// See [`Source::tell`].
#[wasm_bindgen]
pub fn tell(source: usize, now: f64, what: u32) {
    SOURCES.using(source, |source| source.tell(now, what));
}

/// Forgets a stream.
#[wasm_bindgen]
pub fn free(source: usize) {
    drop(SOURCES.take(source, Slot::Free));
}
