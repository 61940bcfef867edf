//! What the engine does, one story per behaviour. The harness checks every law after every step of them too.

use core::time::Duration;

use sse_proto::wire::{Event, EventName, IdField};
use sse_proto::{
    Age, ClientId, CloseReason, Config, ConnId, Dialect, Engine, Epoch, Full, GapReason, Greeting,
    Heap, IdError, IdForm, Instant, Limits, Outcome, Output, Overrun, PublishError, RegisterError,
    Registered, Registration, Resume, Stale, Target, TaskError,
};
use sse_tests::harness::Harness;

/// Small, and without what most stories are not about.
fn quiet() -> Config {
    Config {
        limits: Limits {
            frame_bytes: 1024,
            log_bytes: 8 * 1024,
            ..Limits::default()
        },
        heartbeat: None,
        write_stall: None,
        retry: None,
        ..Config::default()
    }
}

/// A log of so many frames.
fn log_of(log_entries: u32) -> Config {
    let limits = Limits {
        log_entries,
        ..quiet().limits
    };
    Config { limits, ..quiet() }
}

fn wish(id: &str) -> Registration<'_> {
    Registration::new(ClientId::new(id).unwrap())
}

#[test]
fn a_group_is_checked_when_an_id_is_allocated_too() {
    let mut hub = Harness::new(quiet());
    let answer = hub.allocate("no^group", "bob", [0; 32]);
    assert!(matches!(answer, Err(IdError::Group(_))));
    let answer = hub.allocate(&"g".repeat(129), "bob", [0; 32]);
    assert_eq!(answer, Err(IdError::TooLong { limit: 128 }));
}

#[test]
fn a_topic_asked_for_twice_counts_once() {
    let limits = Limits {
        topics: 1,
        topics_per_client: 1,
        subscriptions: 1,
        ..quiet().limits
    };
    let mut hub = Harness::new(Config { limits, ..quiet() });
    hub.register(&Registration {
        topics: &["t", "t"],
        ..wish("bob_1")
    })
    .unwrap();
}
