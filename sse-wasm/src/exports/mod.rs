//! What JavaScript calls: functions of numbers. What is more than a number stands in memory: what is asked where `input` says, the
//! answer where the function says.
//!
//! What a call works with is taken out of its place for as long as it takes: after a trap the place stays empty, and whoever asks
//! for it again traps, too. Everything else goes on.

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "hub")]
pub mod hub;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::Cell;

use wasm_bindgen::prelude::wasm_bindgen;

/// A place that is empty while its value is in use.
struct Place<T>(Cell<T>);

// SAFETY: there is one thread in wasm without atomics, which is what this crate is built for.
unsafe impl<T> Sync for Place<T> {}

impl<T: Default> Place<T> {
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.0.take();
        let result = work(&mut value);
        self.0.set(value);
        result
    }
}

/// What JavaScript holds by number.
type Table<T> = Place<Vec<Slot<T>>>;

enum Slot<T> {
    Free,
    InUse,
    Holds(Box<T>),
}

impl<T> Table<T> {
    fn add(&self, value: T) -> usize {
        self.with(|slots| {
            let value = Slot::Holds(Box::new(value));
            match slots.iter().position(|slot| matches!(slot, Slot::Free)) {
                Some(free) => {
                    slots[free] = value;
                    free
                }
                None => {
                    slots.push(value);
                    slots.len() - 1
                }
            }
        })
    }

    fn take(&self, number: usize, instead: Slot<T>) -> Box<T> {
        let taken = self.with(|slots| match slots.get_mut(number) {
            Some(slot @ Slot::Holds(_)) => core::mem::replace(slot, instead),
            _ => Slot::InUse,
        });
        match taken {
            Slot::Holds(value) => value,
            _ => core::arch::wasm32::unreachable(),
        }
    }

    fn using<R>(&self, number: usize, work: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.take(number, Slot::InUse);
        let result = work(&mut value);
        self.with(|slots| slots[number] = Slot::Holds(value));
        result
    }
}

/// What is asked.
static INPUT: Place<Vec<u8>> = Place(Cell::new(Vec::new()));

/// Where to put as many bytes for the next call.
#[wasm_bindgen]
pub fn input(len: usize) -> *mut u8 {
    INPUT.with(|input| {
        if input.len() < len {
            input.resize(len, 0);
        }
        input.as_mut_ptr()
    })
}
