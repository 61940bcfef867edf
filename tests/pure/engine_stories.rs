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

#[test]
fn writing_when_there_is_nothing_does_not_postpone_the_heartbeat() {
    let heartbeat = Some(Duration::from_secs(15));
    let mut hub = Harness::new(Config {
        heartbeat,
        ..quiet()
    });
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.read(bob.conn);
    hub.wait(14_000);
    hub.write(bob.conn, usize::MAX, 1).unwrap();
    hub.wait(1_000);
    hub.drive();
    assert_eq!(hub.read(bob.conn), ":heartbeat\n\n");
}

/// `bob_1` was here, left, and meanwhile its task `k` was completed.
fn an_away_completion(config: Config) -> (Harness, Registered) {
    let mut hub = Harness::new(config);
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.submit(bob.client, "k").unwrap();
    hub.disconnect(bob.conn).unwrap();
    hub.complete(bob.client, "k", Some("1"));
    (hub, bob)
}

#[test]
fn a_notice_is_finished_in_the_dialect_it_was_begun_in() {
    let (mut hub, _) = an_away_completion(quiet());
    let first = hub.connect("bob_1");
    while hub.poll().is_some() {}
    hub.write(first.conn, usize::MAX, 1).unwrap();
    hub.write(first.conn, 20, 1).unwrap();
    let dialect = Dialect::Manager;
    hub.register(&Registration {
        dialect,
        ..wish("bob_1")
    })
    .unwrap();
    hub.flush(first.conn);
    assert!(hub.read(first.conn).ends_with(",\"result\":1}\n\n"));
}

#[test]
fn a_gap_is_told_before_the_completions_that_lie_in_it() {
    let mut hub = Harness::new(log_of(2));
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.disconnect(bob.conn).unwrap();
    hub.publish(Target::All, "lost");
    hub.complete(bob.client, "k", Some("1"));
    hub.publish(Target::All, "3");
    hub.publish(Target::All, "4");
    let bob = hub.resume("bob_1", "00000007-0");
    assert_eq!(bob.gap, Some(GapReason::Evicted));
    hub.drive();
    assert_eq!(
        hub.read(bob.conn),
        "event:connected\ndata:{\"client\":\"bob_1\"}\n\n\
         event:gap\ndata:{\"reason\":\"evicted\"}\n\n\
         id:00000007-2\nevent:completed\n\
         data:{\"task\":\"k\",\"client\":\"bob_1\",\"timestamp\":1000,\"result\":1}\n\n\
         id:00000007-3\ndata:3\n\n\
         id:00000007-4\ndata:4\n\n"
    );
}

#[test]
fn a_slow_reader_that_skips_is_told_the_completions_it_skipped() {
    let overrun = Overrun::Skip;
    let mut hub = Harness::new(Config {
        overrun,
        ..log_of(2)
    });
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.read(bob.conn);
    hub.complete(bob.client, "k", Some("1"));
    for data in ["2", "3", "4"] {
        hub.publish(Target::All, data);
    }
    hub.drive();
    assert_eq!(
        hub.read(bob.conn),
        "event:gap\ndata:{\"reason\":\"overrun\"}\n\n\
         id:00000007-2\nevent:completed\n\
         data:{\"task\":\"k\",\"client\":\"bob_1\",\"timestamp\":1000,\"result\":1}\n\n\
         id:00000007-3\ndata:3\n\n\
         id:00000007-4\ndata:4\n\n"
    );
}

#[test]
fn a_stream_carries_an_id_even_if_the_completion_that_should_bring_it_is_gone() {
    let (mut hub, bob) = an_away_completion(quiet());
    let conn = hub.connect("bob_1").conn;
    while hub.poll().is_some() {}
    hub.write(conn, usize::MAX, 1).unwrap();
    hub.submit(bob.client, "k").unwrap();
    hub.flush(conn);
    assert_eq!(
        hub.read(conn),
        "event:connected\ndata:{\"client\":\"bob_1\"}\n\nid:00000007-1\n\n"
    );
}

#[test]
fn a_publish_that_fails_leaves_history_alone() {
    let limits = Limits {
        topics: 1,
        ..quiet().limits
    };
    let mut hub = Harness::new(Config { limits, ..quiet() });
    let bob = hub.connect("bob_1");
    hub.listen(bob.client, "t").unwrap();
    hub.publish(Target::All, "kept");
    let answer = hub.publish_at(0, Target::Topic("u"), &Event::data("x"));
    assert_eq!(answer, Err(PublishError::Full(Full::Topics)));
    assert_eq!(hub.engine().usage().log_entries, 1);
}

#[test]
fn a_topic_that_only_history_knows_gives_way() {
    let limits = Limits {
        topics: 1,
        ..quiet().limits
    };
    let mut hub = Harness::new(Config { limits, ..quiet() });
    hub.publish(Target::All, "gone");
    hub.publish(Target::Topic("t"), "gone");
    hub.publish(Target::All, "kept");
    hub.publish(Target::Topic("u"), "kept");
    assert_eq!(hub.engine().usage().log_entries, 2);
}

#[test]
fn progress_under_a_number_that_was_given_out_takes_the_next_one() {
    let mut hub = Harness::new(quiet());
    let bob = hub.connect("bob_1");
    hub.submit(bob.client, "k").unwrap();
    hub.publish(Target::All, "1");
    hub.publish(Target::All, "2");
    hub.progress_at(1, bob.client, "k", "50").unwrap();
    assert_eq!(hub.engine().last_event_id().sequence, 3);
}

#[test]
fn issued_ids_are_unique_whatever_the_entropy() {
    for id_form in [IdForm::Short, IdForm::Secure] {
        let mut hub = Harness::new(Config { id_form, ..quiet() });
        let mut ids = std::collections::BTreeSet::new();
        for _ in 0..256 {
            ids.insert(hub.allocate("", "bob", [0; 32]).unwrap());
        }
        assert_eq!(ids.len(), 256);
        assert_eq!(hub.allocate("", "bob", [0; 32]), Err(IdError::Entropy));
    }
}

#[test]
fn what_could_not_work_is_no_configuration() {
    let refused = |config: Config| config.check().unwrap_err().limit;
    let limits = Limits {
        issued_ids: 0,
        ..Limits::default()
    };
    assert_eq!(refused(Config { limits, ..quiet() }), "issued_ids");
    let zero = Some(Duration::from_micros(999));
    assert_eq!(
        refused(Config {
            heartbeat: zero,
            ..quiet()
        }),
        "heartbeat"
    );
    assert_eq!(
        refused(Config {
            write_stall: zero,
            ..quiet()
        }),
        "write_stall"
    );
}
