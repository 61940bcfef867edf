//! The engine and the encoder.

use alloc::vec::Vec;
use core::cell::Cell;

use wasm_bindgen::prelude::wasm_bindgen;

use super::{INPUT, Place, Slot, Table};
use crate::hub::record::Writer;
use crate::hub::{Hub, verb};
use crate::record::Reader;

static HUBS: Table<Hub> = Place(Cell::new(Vec::new()));

/// What was answered last.
static ANSWER: Place<Writer> = Place(Cell::new(Writer::new()));

/// Has a hub do something: the number that comes of it, or NaN for a failure that stands in the answer.
#[wasm_bindgen]
pub fn call(hub: usize, verb: u32, now: f64, number: f64) -> f64 {
    INPUT.with(|input| {
        ANSWER.with(|answer| {
            answer.clear();
            let mut record = Reader::new(input);
            let done = match verb {
                verb::MAKE => Hub::new(&mut record).map(|hub| HUBS.add(hub) as f64),
                verb::FREE => {
                    drop(HUBS.take(hub, Slot::Free));
                    Ok(0.0)
                }
                verb::ENCODE => crate::encode::encode(&mut record, answer),
                _ => HUBS.using(hub, |hub| hub.call(verb, now, number, &mut record, answer)),
            };
            done.unwrap_or_else(|failure| {
                answer.clear();
                failure.write(answer);
                f64::NAN
            })
        })
    })
}

/// Where the answer to the last call stands.
#[wasm_bindgen]
pub fn answer() -> *const u8 {
    ANSWER.with(|answer| answer.as_bytes().as_ptr())
}

/// How long it is.
#[wasm_bindgen]
pub fn answered() -> usize {
    ANSWER.with(|answer| answer.as_bytes().len())
}
