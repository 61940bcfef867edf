//! The client over real sockets: servers that fail in every way, our own hub killed and cut off, nginx between, and `sse-cat`.
#![allow(clippy::unwrap_used)]

mod cat;
mod faults;
mod hub;
mod nginx;
mod support;
