//! What the test levels share: the naive model, the laws, the simulator, and plain HTTP over sockets.

pub mod decoding;
pub mod encoding;
pub mod following;
pub mod fuzz;
pub mod harness;
pub mod heap;
pub mod model;
#[cfg(feature = "net")]
pub mod net;
pub mod ops;
pub mod vectors;
pub mod world;
