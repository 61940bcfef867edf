//! What the test levels share: the naive model, the laws, the simulator.

pub mod decoding;
pub mod harness;
pub mod model;
pub mod ops;
