//! Whom events are for.

use sse_proto::wire::{Event, EventName, IdField};
use sse_proto::{Config, Full, Limits, PublishError, Registration, Target};
use sse_tests::harness::Harness;

use super::{quiet, wish};

#[test]
fn a_publish_that_fails_leaves_history_alone() {
    let limits = Limits { topics: 1, ..quiet().limits };
    let mut hub = Harness::new(Config { limits, ..quiet() });
    let bob = hub.connect("bob_1");
    hub.listen(bob.client, "t").unwrap();
    hub.publish(Target::All, "kept");
    let answer = hub.publish_at(0, Target::Topic("u"), &Event::data("x"));
    assert_eq!(answer, Err(PublishError::Full(Full::Topics)));
    assert_eq!(hub.engine().usage().log_entries, 1);
}

#[test]
fn a_user_name_is_matched_exactly() {
    let mut hub = Harness::new(quiet());
    let ids = ["bob_1", "bob_2", "bobby_1", "bob", "bob_x_1"];
    let conns = ids.map(|id| hub.connect(id).conn);
    hub.drive();
    let _ = conns.map(|conn| hub.read(conn));
    hub.publish(Target::UserName("bob"), "bob's");
    hub.drive();
    let got = conns.map(|conn| !hub.read(conn).is_empty());
    assert_eq!(got, [true, true, false, true, false]);
}

#[test]
fn groups_are_namespaces() {
    let mut hub = Harness::new(quiet());
    let groups = ["", "red", "blue"];
    let in_group = groups.map(|group| {
        let wish = Registration { group, ..wish("bob_1") };
        hub.register(&wish).unwrap()
    });
    hub.drive();
    let _ = in_group.map(|bob| hub.read(bob.conn));
    hub.publish(Target::Group("red"), "red");
    hub.publish(Target::Group(""), "default");
    hub.publish(Target::Group("nobody's"), "nobody");
    hub.drive();
    let got = in_group.map(|bob| hub.read(bob.conn));
    assert_eq!(got, ["data:default\nid:00000007-2\n\n", "data:red\nid:00000007-1\n\n", ""]);
}

#[test]
fn a_chosen_set_is_who_was_there_then() {
    let mut hub = Harness::new(quiet());
    let ids = ["a_1", "b_1", "c_1"];
    let clients = ids.map(|id| hub.connect(id));
    hub.drive();
    let _ = clients.map(|client| hub.read(client.conn));
    let (a, c) = (clients[0].client, clients[2].client);
    hub.publish(Target::Clients(&[c, a, c]), "x");
    hub.publish(Target::Clients(&[]), "nobody");
    hub.drive();
    let got = clients.map(|client| hub.read(client.conn).len());
    assert_eq!(got, [22, 0, 22]);
    // Another client of the same id is not in the set, not even when it reads history.
    hub.unregister(a, true).unwrap();
    hub.drive();
    let again = hub.resume("a_1", "00000007-0");
    hub.drive();
    assert!(!hub.read(again.conn).contains("data:x"));
}

#[test]
fn what_cannot_be_published_says_why() {
    let mut hub = Harness::new(quiet());
    let bob = hub.connect("bob_1");
    hub.unregister(bob.client, true).unwrap();
    hub.drive();
    let mut publish = |target, event: &Event<'_>| hub.publish_at(0, target, event).unwrap_err();
    let event = Event::data("x");
    let unknown = PublishError::UnknownTarget;
    assert_eq!(publish(Target::Client(bob.client), &event), unknown);
    assert_eq!(publish(Target::Connection(bob.conn), &event), unknown);
    let long = "x".repeat(1_100);
    assert_eq!(publish(Target::All, &Event::data(&long)), PublishError::TooLarge { len: 14 + 5 + 1_100 + 2, limit: 1024 });
    let id = Some(IdField::new(&long).unwrap());
    assert_eq!(publish(Target::All, &Event { id, ..event }), PublishError::IdTooLong);
    for target in [Target::Topic("a^b"), Target::Topic(""), Target::UserName("a/b")] {
        assert!(matches!(publish(target, &event), PublishError::Name(_)));
    }
    let tick = EventName::new("tick").unwrap();
    let fits = Event { event: Some(tick), ..event };
    assert!(hub.publish_at(0, Target::All, &fits).is_ok());
}
