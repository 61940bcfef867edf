//! Streams that were cut off and go on.

use sse_proto::wire::{Event, IdField};
use sse_proto::{Config, ConnId, GapReason, Greeting, Limits, Output, Registration, Resume, Target};
use sse_tests::harness::Harness;

use super::{log_of, quiet, wish};

#[test]
fn a_stream_cut_in_mid_frame_resumes_exactly() {
    let mut hub = Harness::new(quiet());
    let bob = hub.connect("bob_1");
    hub.drive();
    for data in ["one", "two", "three"] {
        hub.publish(Target::All, data);
    }
    assert_eq!(hub.poll(), Some(Output::Write(bob.conn)));
    hub.read(bob.conn);
    let cut = "data:one\nid:00000007-1\n\ndata:t";
    hub.write(bob.conn, cut.len(), 4).unwrap();
    assert_eq!(hub.read(bob.conn), cut);
    let last_id = hub.last_id(bob.conn).unwrap();
    hub.disconnect(bob.conn).unwrap();
    let bob = hub.resume("bob_1", &last_id);
    assert_eq!((bob.returning, bob.gap), (true, None));
    hub.drive();
    assert_eq!(
        hub.read(bob.conn),
        "event:connected\ndata:{\"client\":\"bob_1\"}\nid:00000007-1\n\n\
         data:two\nid:00000007-2\n\ndata:three\nid:00000007-3\n\n"
    );
}

/// What is told in band when `last_event_id` cannot be found; the log holds events 3 and 4 of 4.
fn told_of_a_gap(last_event_id: &str) -> (Harness, ConnId) {
    let mut hub = Harness::new(log_of(2));
    for data in ["1", "2", "3", "4"] {
        hub.publish(Target::All, data);
    }
    let bob = hub.resume("bob_1", last_event_id);
    assert!(bob.gap.is_some());
    (hub, bob.conn)
}

#[test]
fn a_gap_is_told_in_band_and_with_the_position_from_which_the_stream_goes_on() {
    for (last_event_id, reason) in [
        ("00000007-1", "evicted"),
        ("00000006-4", "epoch"),
        ("00000007-5", "unknown"),
        ("their-own", "unknown"),
        ("00000007-04", "unknown"),
    ] {
        let (mut hub, conn) = told_of_a_gap(last_event_id);
        hub.drive();
        let expected = format!(
            "event:connected\ndata:{{\"client\":\"bob_1\"}}\n\n\
             event:gap\ndata:{{\"reason\":\"{reason}\"}}\nid:00000007-2\n\n\
             data:3\nid:00000007-3\n\ndata:4\nid:00000007-4\n\n"
        );
        assert_eq!(hub.read(conn), expected);
    }
}

#[test]
fn a_cut_after_any_notice_of_a_gap_loses_and_repeats_nothing() {
    // Cut after the greeting: it carried no id, so the client comes back with what it had, and is told the same again.
    let (mut hub, conn) = told_of_a_gap("00000007-1");
    assert_eq!(hub.poll(), Some(Output::Write(conn)));
    hub.write(conn, usize::MAX, 1).unwrap();
    assert_eq!(hub.last_id(conn), None);

    // Cut after the notice: its id is where the stream goes on, without a gap.
    hub.write(conn, usize::MAX, 1).unwrap();
    let last_id = hub.last_id(conn).unwrap();
    hub.disconnect(conn).unwrap();
    let bob = hub.resume("bob_1", &last_id);
    assert_eq!(bob.gap, None);
    hub.drive();
    let sent = hub.read(bob.conn);
    assert!(sent.ends_with("\n\ndata:3\nid:00000007-3\n\ndata:4\nid:00000007-4\n\n"));
}

#[test]
fn the_id_just_before_the_log_is_no_gap() {
    let mut hub = Harness::new(log_of(2));
    for data in ["1", "2", "3", "4"] {
        hub.publish(Target::All, data);
    }
    assert_eq!(hub.resume("bob_1", "00000007-2").gap, None);
    assert_eq!(hub.resume("bob_1", "00000007-1").gap, Some(GapReason::Evicted));
}

#[test]
fn ids_of_the_applications_own_are_what_resume_finds() {
    let mut hub = Harness::new(quiet());
    let publish = |hub: &mut Harness, id, data| {
        let id = Some(IdField::new(id).unwrap());
        let event = Event { id, ..Event::data(data) };
        hub.publish_at(0, Target::All, &event).unwrap();
    };
    publish(&mut hub, "a", "1");
    publish(&mut hub, "b", "2");
    publish(&mut hub, " a", "3");
    publish(&mut hub, "b", "4");
    publish(&mut hub, "", "5");
    let tail = |hub: &mut Harness, id| {
        let bob = hub.resume("bob_1", id);
        assert_eq!(bob.gap, None, "after {id:?}");
        hub.drive();
        let sent = hub.read(bob.conn);
        let (_, tail) = sent.split_once("\n\n").unwrap();
        tail.to_owned()
    };
    let five = "id:\ndata:5\n\n";
    assert_eq!(tail(&mut hub, "a"), format!("id:b\ndata:2\n\nid:  a\ndata:3\n\nid:b\ndata:4\n\n{five}"));
    assert_eq!(tail(&mut hub, " a"), format!("id:b\ndata:4\n\n{five}"));
    assert_eq!(tail(&mut hub, "b"), five, "the latest of the same");
    assert_eq!(tail(&mut hub, ""), "", "the empty id means live");
    // The hub's own numbers find them too.
    assert_eq!(tail(&mut hub, "00000007-4"), five);
}

#[test]
fn numbers_given_out_elsewhere_are_no_gap() {
    let mut hub = Harness::new(quiet());
    hub.publish_at(5, Target::All, &Event::data("5")).unwrap();
    hub.publish_at(9, Target::All, &Event::data("9")).unwrap();
    hub.observe(3);
    assert_eq!(hub.engine().last_event_id().sequence, 12);
    let bob = hub.resume("bob_1", "00000007-7");
    hub.drive();
    assert!(hub.read(bob.conn).ends_with("\n\ndata:9\nid:00000007-9\n\n"));
    assert_eq!(hub.resume("bob_1", "00000007-11").gap, None);
}

#[test]
fn a_client_of_system_m_that_was_cut_off_in_mid_frame_lets_go_of_it_however_far_back_it_was() {
    let mut hub = Harness::new(Config { limits: Limits { log_bytes: 1024 * 1024, ..quiet().limits }, ..quiet() });
    let bob = hub.connect("bob_1");
    hub.drive();
    for _ in 0..600 {
        hub.publish(Target::Topic("others"), "x");
    }
    hub.publish(Target::All, "cut off in mid-frame");
    hub.disconnect(bob.conn).unwrap();
    let bob = hub
        .register(&Registration { resume: Resume::After("00000007-0"), greeting: Greeting::Registered, ..wish("bob_1") })
        .unwrap();
    hub.drive();
    assert!(hub.read(bob.conn).starts_with("event:resume\n\n"));
}
