//! Programs as a user runs them.
#![allow(clippy::unwrap_used)]

mod decode;
mod hubs;
