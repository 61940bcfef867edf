//! Pure tests: no socket, no clock, no sleep.
#![allow(clippy::unwrap_used)]

mod allocation;
mod client;
mod decode;
mod encode;
mod engine;
mod fixed;
mod fuzz;
mod interpreted;
mod limits;
mod stories;
mod worlds;
