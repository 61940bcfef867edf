//! Pure tests: no socket, no clock, no sleep.
#![allow(clippy::unwrap_used)]

mod allocation;
mod client;
mod codec;
mod collisions;
mod decode;
mod draining;
mod encode;
mod engine;
mod fixed;
mod full_tables;
mod fuzz;
mod interpreted;
mod kept;
mod limits;
mod messages;
mod recipients;
mod short_streams;
mod stories;
mod worlds;
