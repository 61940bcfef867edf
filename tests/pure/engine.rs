//! The laws of the engine, on random runs beside the naive model.

use proptest::prelude::*;
use sse_tests::harness::Harness;
use sse_tests::ops;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_is_what_the_model_says((config, ops) in ops::runs(400)) {
        Harness::run(config, &ops);
    }
}
