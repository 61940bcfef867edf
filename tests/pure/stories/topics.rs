//! Topics: taken up, and left.

use sse_proto::{Config, Full, Limits, RegisterError, Registered, Registration, Resume, Target};
use sse_tests::harness::Harness;

use super::{quiet, wish};

#[test]
fn a_topic_asked_for_twice_counts_once() {
    let limits = Limits { topics: 1, topics_per_client: 2, subscriptions: 1, ..quiet().limits };
    let mut hub = Harness::new(Config { limits, ..quiet() });
    hub.register(&Registration { topics: &["t", "t"], ..wish("bob_1") }).unwrap();
}

/// However often each of them comes: whoever asks for thousands is not looked at any further.
#[test]
fn a_registration_asks_for_no_more_topics_than_a_client_may_have() {
    let limits = Limits { topics_per_client: 2, ..quiet().limits };
    let mut hub = Harness::new(Config { limits, ..quiet() });
    let ask = |hub: &mut Harness, topics: &[&str]| hub.register(&Registration { topics, ..wish("bob_1") }).map(drop);
    assert_eq!(ask(&mut hub, &["t", "t", "t"]), Err(RegisterError::Full(Full::Subscriptions)));
    assert_eq!(ask(&mut hub, &["t", "u"]), Ok(()));
    assert_eq!(ask(&mut hub, &["u", "t", "u"]), Err(RegisterError::Full(Full::Subscriptions)));
}

/// A client was forgotten and comes back with two streams: what one asks for from early on, the other's later start takes nothing of.
#[test]
fn a_topic_asked_for_in_a_resume_starts_there_even_if_the_client_listens_from_later_on() {
    let mut hub = Harness::new(quiet());
    hub.publish(Target::Topic("t"), "1");
    hub.publish(Target::Topic("t"), "2");
    hub.register(&Registration { topics: &["t"], ..wish("bob_1") }).unwrap();
    let early = Registration { topics: &["t"], resume: Resume::After("00000007-1"), ..wish("bob_1") };
    let early = hub.register(&early).unwrap();
    hub.drive();
    assert!(hub.read(early.conn).ends_with("\n\ndata:2\nid:00000007-2\n\n"));
}

#[test]
fn a_topic_that_only_history_knows_gives_way() {
    let limits = Limits { topics: 1, ..quiet().limits };
    let mut hub = Harness::new(Config { limits, ..quiet() });
    hub.publish(Target::All, "gone");
    hub.publish(Target::Topic("t"), "gone");
    hub.publish(Target::All, "kept");
    hub.publish(Target::Topic("u"), "kept");
    assert_eq!(hub.engine().usage().log_entries, 2);
}

#[test]
fn listening_starts_with_the_next_event_and_ends_with_what_was_not_sent() {
    let mut hub = Harness::new(quiet());
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.read(bob.conn);
    hub.publish(Target::Topic("t"), "before");
    assert_eq!(hub.listen(bob.client, "t"), Ok(true));
    assert_eq!(hub.listen(bob.client, "t"), Ok(false));
    hub.publish(Target::Topic("t"), "heard");
    hub.drive();
    hub.publish(Target::Topic("t"), "not sent");
    assert_eq!(hub.unlisten(bob.client, "t"), Ok(true));
    assert_eq!(hub.unlisten(bob.client, "t"), Ok(false));
    hub.drive();
    assert_eq!(hub.read(bob.conn), "data:heard\nid:00000007-2\n\n");
}

#[test]
fn a_topic_asked_for_at_registration_counts_from_where_the_stream_starts() {
    let mut hub = Harness::new(quiet());
    hub.publish(Target::Topic("t"), "1");
    hub.publish(Target::Topic("t"), "2");
    let wish = Registration { topics: &["t"], resume: Resume::After("00000007-1"), ..wish("bob_1") };
    let bob = hub.register(&wish).unwrap();
    hub.drive();
    assert!(hub.read(bob.conn).ends_with("\n\ndata:2\nid:00000007-2\n\n"));
}

/// `bob_1` listens to `t`; its peer took half of the frame of one event, and another waits.
fn in_mid_frame() -> (Harness, Registered) {
    let mut hub = Harness::new(quiet());
    let bob = hub.connect("bob_1");
    hub.listen(bob.client, "t").unwrap();
    hub.drive();
    hub.publish(Target::Topic("t"), "begun");
    hub.publish(Target::Topic("t"), "waiting");
    while hub.poll().is_some() {}
    hub.read(bob.conn);
    hub.write(bob.conn, 16, 1).unwrap();
    (hub, bob)
}

#[test]
fn unlistening_in_mid_frame_finishes_the_frame() {
    let (mut hub, bob) = in_mid_frame();
    hub.unlisten(bob.client, "t").unwrap();
    hub.flush(bob.conn);
    assert_eq!(hub.read(bob.conn), "data:begun\nid:00000007-1\n\n");
}

#[test]
fn giving_up_in_mid_frame_finishes_the_frame() {
    let (mut hub, bob) = in_mid_frame();
    hub.unregister(bob.client, false).unwrap();
    hub.flush(bob.conn);
    assert_eq!(hub.read(bob.conn), "data:begun\nid:00000007-1\n\n");
    hub.publish(Target::All, "not for it");
    hub.drive();
    assert_eq!(hub.read(bob.conn), "");
}
