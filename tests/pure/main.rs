//! Pure tests: no socket, no clock, no sleep.
#![allow(clippy::unwrap_used)]
#![expect(clippy::unwrap_used, reason = "a test that unwraps too much fails")]

mod allocation;
mod decode;
mod encode;
mod engine;
mod engine_stories;
