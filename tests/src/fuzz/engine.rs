//! Any run of the engine's verbs, with the model beside it: they agree, and every law holds after every step.

use crate::harness::Harness;
use crate::ops::decode_run;

/// A configuration and steps, eight bytes each.
pub fn run(data: &[u8]) {
    let (config, ops) = decode_run(data);
    Harness::run(config, &ops);
}
