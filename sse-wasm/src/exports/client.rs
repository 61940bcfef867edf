//! The client's machine.

use alloc::vec::Vec;
use core::cell::Cell;

use wasm_bindgen::prelude::wasm_bindgen;

use super::{INPUT, Place, Slot, Table};
use crate::client::Source;
use crate::record::Reader;

static SOURCES: Table<Source> = Place(Cell::new(Vec::new()));

/// A new stream, with the options that stand in the input.
#[wasm_bindgen]
pub fn make() -> usize {
    SOURCES.add(INPUT.with(|input| Source::new(&mut Reader::new(input))))
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

/// See [`Source::is_new`]; the id stands in the input.
#[wasm_bindgen]
pub fn is_new(source: usize) -> bool {
    INPUT.with(|input| SOURCES.using(source, |source| source.is_new(Reader::new(input).next_text())))
}

/// See [`Source::tell`].
#[wasm_bindgen]
pub fn tell(source: usize, now: f64, what: u32, time: f64) {
    SOURCES.using(source, |source| source.tell(now, what, time));
}

/// Forgets a stream.
#[wasm_bindgen]
pub fn free(source: usize) {
    drop(SOURCES.take(source, Slot::Free));
}
