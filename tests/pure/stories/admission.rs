//! Who comes in: ids, registration, limits.

use core::time::Duration;

use sse_proto::wire::Event;
use sse_proto::{
    CloseReason, Config, ConnId, Dialect, Epoch, Full, Greeting, IdError, IdForm, Limits, Outcome, Output, PublishError,
    RegisterError, Registered, Registration, Stale, Target,
};
use sse_tests::harness::Harness;

use super::{quiet, wish};

#[test]
fn a_group_is_checked_when_an_id_is_allocated_too() {
    let mut hub = Harness::new(quiet());
    let answer = hub.allocate("no^group", "bob", [0; 32]);
    assert!(matches!(answer, Err(IdError::Group(_))));
    let answer = hub.allocate(&"g".repeat(129), "bob", [0; 32]);
    assert_eq!(answer, Err(IdError::TooLong { limit: 128 }));
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
    type Change = (&'static str, fn(&mut Limits));
    let changes: [Change; 13] = [
        ("connections", |limits| limits.connections = 0),
        ("clients", |limits| limits.clients = 0),
        ("issued_ids", |limits| limits.issued_ids = 0),
        ("connections_per_client", |limits| limits.connections_per_client = 0),
        ("groups", |limits| limits.groups = 0),
        ("topics", |limits| limits.topics = 0),
        ("subscriptions", |limits| limits.subscriptions = 0),
        ("name_bytes", |limits| limits.name_bytes = 0),
        ("name_bytes", |limits| limits.name_bytes = 1_025),
        ("topic_bytes", |limits| limits.topic_bytes = 0),
        ("frame_bytes", |limits| (limits.name_bytes, limits.frame_bytes) = (1, 255)),
        ("frame_bytes", |limits| limits.log_bytes = 2 * limits.frame_bytes - 1),
        ("log_entries", |limits| limits.log_entries = 0),
    ];
    for (limit, change) in changes {
        let mut limits = Limits::default();
        change(&mut limits);
        assert_eq!(refused(Config { limits, ..quiet() }), limit);
    }
    let zero = Some(Duration::from_micros(999));
    assert_eq!(refused(Config { heartbeat: zero, ..quiet() }), "heartbeat");
    assert_eq!(refused(Config { write_stall: zero, ..quiet() }), "write_stall");
}

/// The longest names, the latest time, the largest number: a task ends where the limits allow it at all.
#[test]
fn whatever_is_a_configuration_has_room_for_the_longest_notices() {
    for name_bytes in [1, 47, 48, 49, 79, 80, 81, 1_024] {
        let with = |frame_bytes| {
            let limits = Limits { name_bytes, frame_bytes, log_bytes: 8 * frame_bytes, ..Limits::default() };
            Config { limits, ..Config::default() }
        };
        let least = (1..).find(|&frame_bytes| with(frame_bytes).check().is_ok()).unwrap();
        assert_eq!(least, 256.max(2 * name_bytes + 160));
        for (dialect, greeting) in [(Dialect::Named, Greeting::Connected), (Dialect::Manager, Greeting::Registered)] {
            let mut hub = Harness::with_epoch(with(least), Epoch(u32::MAX));
            hub.at(u64::MAX - 10_000_000);
            hub.observe(u64::MAX - 10);
            let name = "n".repeat(name_bytes as usize);
            let wish = Registration { dialect, greeting, ..wish(&name) };
            let bob = hub.register(&wish).unwrap();
            let failed = hub.complete_at(0, Some(bob.client), "", &name, &name, Outcome::Failed(""));
            assert_eq!(failed, Ok(()), "{name_bytes} in {least}");
            hub.drive();
            assert!(hub.read(bob.conn).contains("failed"), "{name_bytes} in {least}");
        }
    }
}

#[test]
fn registering_again_can_close_the_other_streams() {
    let mut hub = Harness::new(quiet());
    let old = hub.connect("bob_1");
    hub.listen(old.client, "t").unwrap();
    hub.drive();
    let new = hub.register(&Registration { replace: true, ..wish("bob_1") }).unwrap();
    assert!(new.returning);
    hub.drive();
    let close = Output::Close { conn: old.conn, client: old.client, reason: CloseReason::Replaced, last: false };
    assert_eq!(hub.outputs(), [close]);
    assert!(hub.engine().topics(new.client).eq(["t"]));
    assert_eq!(hub.disconnect(old.conn), Err(Stale));
}

#[test]
fn a_passing_client_is_forgotten_when_it_leaves_unless_it_waits_for_a_task() {
    let mut hub = Harness::new(quiet());
    let passing = |hub: &mut Harness| hub.register(&Registration { passing: true, ..wish("bob_1") }).unwrap();
    let bob = passing(&mut hub);
    hub.disconnect(bob.conn).unwrap();
    assert_eq!(hub.engine().find("", "bob_1"), None);
    let bob = passing(&mut hub);
    assert!(!bob.returning);
    hub.submit(bob.client, "k").unwrap();
    hub.disconnect(bob.conn).unwrap();
    assert_eq!(hub.engine().find("", "bob_1"), Some(bob.client));
}

#[test]
fn every_limit_has_its_error() {
    let limits = Limits {
        connections: 4,
        clients: 3,
        connections_per_client: 2,
        groups: 2,
        topics: 3,
        topics_per_client: 2,
        subscriptions: 3,
        ..quiet().limits
    };
    let mut hub = Harness::new(Config { limits, ..quiet() });
    let refused = |hub: &mut Harness, wish: Registration<'_>| match hub.register(&wish) {
        Err(RegisterError::Full(full)) => full,
        other => panic!("{other:?}"),
    };
    let topics = &["a", "b", "c"];
    let wish_for = |id, group, count| Registration { group, topics: &topics[..count], ..wish(id) };
    let full = refused(&mut hub, wish_for("a_1", "", 3));
    assert_eq!(full, Full::Subscriptions, "of one client");
    hub.register(&wish_for("a_1", "", 2)).unwrap();
    let full = refused(&mut hub, wish_for("b_1", "", 2));
    assert_eq!(full, Full::Subscriptions, "of all clients");
    hub.register(&wish_for("a_1", "", 0)).unwrap();
    let full = refused(&mut hub, wish_for("a_1", "", 0));
    assert_eq!(full, Full::ConnectionsOfClient);
    hub.publish(Target::Group("red"), "history gives way");
    hub.register(&wish_for("b_1", "blue", 0)).unwrap();
    let full = refused(&mut hub, wish_for("c_1", "red", 0));
    assert_eq!(full, Full::Groups);
    hub.publish(Target::Topic("d"), "history gives way");
    let blue = hub.engine().find("blue", "b_1").unwrap();
    assert_eq!(hub.listen(blue, "c"), Ok(true));
    let refused_event = hub.publish_at(0, Target::Topic("d"), &Event::data("x"));
    assert_eq!(refused_event, Err(PublishError::Full(Full::Topics)));
    hub.register(&wish_for("c_1", "", 0)).unwrap();
    let full = refused(&mut hub, wish_for("d_1", "", 0));
    assert_eq!(full, Full::Connections);
    let c = hub.engine().find("", "c_1").unwrap();
    let conn = hub.engine().connections(c).next().unwrap();
    hub.disconnect(conn).unwrap();
    let full = refused(&mut hub, wish_for("d_1", "", 0));
    assert_eq!(full, Full::Clients);
}

#[test]
fn who_knew_an_emptied_table_finds_nobody_new_in_it() {
    let mut hub = Harness::new(quiet());
    let crowd: Vec<String> = (0..100).map(|n| format!("bob_{n}")).collect();
    // Twice: the second crowd takes slots whose memory was given back.
    let mut gone: Vec<ConnId> = Vec::new();
    for _ in 0..2 {
        let here: Vec<Registered> =
            crowd.iter().map(|id| hub.register(&Registration { passing: true, topics: &["t"], ..wish(id) }).unwrap()).collect();
        for conn in &gone {
            assert_eq!(hub.disconnect(*conn), Err(Stale));
        }
        hub.check_stale();
        hub.publish(Target::Topic("t"), "x");
        hub.drive();
        for one in here {
            hub.disconnect(one.conn).unwrap();
            gone.push(one.conn);
        }
        assert_eq!(hub.engine().usage().clients, 0);
    }
}

/// More are never reserved, whatever the limit: the oldest gives way to the next there too.
#[test]
fn reserved_ids_are_counted_among_clients() {
    let limits = Limits { clients: 1, issued_ids: 9, groups: 1, topics: 1, ..quiet().limits };
    let mut hub = Harness::new(Config { limits, ..quiet() });
    for (group, name) in [("red", "ann"), ("blue", "eve"), ("", "bob")] {
        hub.allocate(group, name, [1; 32]).unwrap();
        assert_eq!(hub.engine().usage().issued_ids, 1);
    }
}
