//! Pure tests: no socket, no clock, no sleep.
#![allow(clippy::unwrap_used)]

mod allocation;
mod client;
mod collisions;
mod decode;
mod encode;
mod engine;
mod fixed;
mod fuzz;
mod interpreted;
mod limits;
mod messages;
mod short_streams;
mod stories;
mod worlds;
