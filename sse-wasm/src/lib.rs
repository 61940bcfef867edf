//! `sse-proto` for JavaScript hosts.
//!
//! Conversions only: numbers and records in, copies out. Never a call to JavaScript: the module imports nothing. Times are
//! milliseconds, ids of connections are numbers. `js/` is what people import, and says what all of it is for.
//!
//! Two artifacts are built from this crate, one for each feature: `hub` is the engine and the encoder, `client` the machine that follows
//! a stream. What they export takes and returns numbers alone, so that next to nothing is generated around it: `js/engine.js` and
//! `js/follower.js` are the other ends.
#![cfg_attr(target_arch = "wasm32", no_std)]
// What calls everything is there in wasm only: it relies on there being one thread.
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]

#[cfg(any(feature = "client", feature = "hub"))]
extern crate alloc;

#[cfg(any(target_arch = "wasm32", test))]
pub mod allocator;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "hub")]
pub mod config;
#[cfg(feature = "hub")]
pub mod encode;
#[cfg(feature = "hub")]
pub mod error;
#[cfg(all(target_arch = "wasm32", any(feature = "client", feature = "hub")))]
pub mod exports;
#[cfg(feature = "hub")]
pub mod hub;
#[cfg(any(feature = "client", feature = "hub"))]
pub mod record;

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator::new();

/// The host rebuilds what panicked: a trap is all it needs to know.
#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
