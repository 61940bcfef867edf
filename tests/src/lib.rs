//! What the test levels share: the naive model, the laws, the simulator, and plain HTTP over sockets.

pub mod decoding;
pub mod harness;
pub mod model;
pub mod net;
pub mod ops;
