//! What a connection is given, and what becomes of slow readers.

use core::time::Duration;

use sse_proto::wire::{Event, IdField};
use sse_proto::{
    CloseReason, Config, Dialect, Engine, Epoch, EventIds, GapReason, Greeting, Heap, Instant, Limits, Output, Overrun,
    Registered, Registration, Resume, Target,
};
use sse_tests::harness::Harness;

use super::{log_of, quiet, wish};

#[test]
fn every_greeting_says_where_the_stream_starts() {
    let retry = Some(1_000);
    let mut hub = Harness::new(Config { retry, ..quiet() });
    hub.publish(Target::All, "before");
    let mut greet = |greeting| {
        let wish = Registration { greeting, ..wish("bob_1") };
        let conn = hub.register(&wish).unwrap().conn;
        hub.drive();
        hub.read(conn)
    };
    assert_eq!(greet(Greeting::Connected), "retry:1000\nevent:connected\ndata:{\"client\":\"bob_1\"}\nid:00000007-1\n\n");
    assert_eq!(greet(Greeting::Registered), "retry:1000\ndata:\"registered^bob_1\"\nid:00000007-1\n\n");
    assert_eq!(greet(Greeting::Position), "retry:1000\nid:00000007-1\n\n");
}

#[test]
fn a_burst_of_broadcasts_goes_out_in_one_slice() {
    let mut hub = Harness::new(quiet());
    let bob = hub.connect("bob_1");
    hub.drive();
    let before = hub.read(bob.conn).len();
    for number in 0..100 {
        hub.publish(Target::All, &number.to_string());
    }
    assert_eq!(hub.poll(), Some(Output::Write(bob.conn)));
    let taken = hub.write(bob.conn, usize::MAX, 1).unwrap();
    assert!(taken > 100 * before / 10);
    assert_eq!(hub.read(bob.conn).matches("\n\n").count(), 100);
    assert_eq!(hub.poll(), None);
}

#[test]
fn a_walk_past_many_frames_of_others_comes_in_steps() {
    let mut hub = Harness::new(Config { limits: Limits { log_bytes: 1024 * 1024, ..quiet().limits }, ..quiet() });
    for _ in 0..1_500 {
        hub.publish(Target::Topic("others"), "x");
    }
    hub.publish(Target::All, "at last");
    let bob = hub.register(&Registration { resume: Resume::Earliest, ..wish("bob_1") }).unwrap();
    hub.drive();
    assert!(hub.read(bob.conn).ends_with("\n\ndata:at last\nid:00000007-1501\n\n"));
}

#[test]
fn a_client_has_several_connections_and_each_gets_everything() {
    let mut hub = Harness::new(quiet());
    let (one, two) = (hub.connect("bob_1"), hub.connect("bob_1"));
    assert_eq!(one.client, two.client);
    hub.drive();
    hub.publish(Target::Client(one.client), "both");
    hub.publish(Target::Connection(two.conn), "one");
    hub.drive();
    assert!(hub.read(one.conn).ends_with("data:both\nid:00000007-1\n\n"));
    assert!(hub.read(two.conn).ends_with("data:both\nid:00000007-1\n\ndata:one\nid:00000007-2\n\n"));
    assert!(!hub.disconnect(one.conn).unwrap().last);
    assert!(hub.disconnect(two.conn).unwrap().last);
}

/// `bob_1` took `taken` bytes of its first event, and the log went on by four.
fn overrun_after(taken: usize, overrun: Overrun) -> (Harness, Registered) {
    let mut hub = Harness::new(Config { overrun, ..log_of(3) });
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.read(bob.conn);
    hub.publish(Target::All, "1");
    assert_eq!(hub.poll(), Some(Output::Write(bob.conn)));
    hub.write(bob.conn, taken, 1).unwrap();
    for data in ["2", "3", "4", "5"] {
        hub.publish(Target::All, data);
    }
    hub.write(bob.conn, usize::MAX, 1).unwrap();
    hub.drive();
    (hub, bob)
}

#[test]
fn a_reader_that_the_log_has_passed_is_closed() {
    let (mut hub, bob) = overrun_after(0, Overrun::Close);
    let close = Output::Close { conn: bob.conn, client: bob.client, reason: CloseReason::Overrun, last: true };
    assert_eq!(hub.outputs(), [close]);
    assert_eq!(hub.read(bob.conn), "");
}

#[test]
fn a_reader_that_the_log_has_passed_skips() {
    let (mut hub, bob) = overrun_after(0, Overrun::Skip);
    let gap = Output::Gap { conn: bob.conn, reason: GapReason::Overrun };
    assert_eq!(hub.outputs(), [gap]);
    assert_eq!(
        hub.read(bob.conn),
        "event:gap\ndata:{\"reason\":\"overrun\"}\nid:00000007-2\n\n\
         data:3\nid:00000007-3\n\ndata:4\nid:00000007-4\n\ndata:5\nid:00000007-5\n\n"
    );
}

#[test]
fn a_frame_that_left_the_log_half_sent_is_never_followed_by_another() {
    let (mut hub, bob) = overrun_after(5, Overrun::Skip);
    assert_eq!(hub.read(bob.conn), "data:");
    assert!(matches!(hub.outputs()[..], [Output::Close { reason: CloseReason::Overrun, .. }]));
}

#[test]
fn who_takes_nothing_is_closed_and_who_takes_a_byte_is_not() {
    let mut hub = Harness::new(Config { write_stall: Some(Duration::from_secs(30)), ..quiet() });
    let slow = hub.connect("slow_1");
    let stuck = hub.connect("stuck_1");
    while hub.poll().is_some() {}
    for _ in 0..4 {
        hub.wait(10_000);
        hub.write(slow.conn, 1, 1).unwrap();
        hub.write(stuck.conn, 0, 1).ok();
        while hub.poll().is_some() {}
    }
    assert_eq!(hub.read(slow.conn), "even");
    let close = Output::Close { conn: stuck.conn, client: stuck.client, reason: CloseReason::Stalled, last: true };
    assert_eq!(hub.outputs(), [close]);
}

/// What a hub without numbers sends in answer to a registration, a broadcast and a completion.
#[test]
fn without_numbers_frames_are_what_the_application_gave() {
    let config = Config { event_ids: EventIds::Given, heartbeat: Some(Duration::from_secs(15)), ..quiet() };
    let mut hub = Harness::new(config);
    let wishes = [Greeting::Registered, Greeting::Position, Greeting::Silent];
    let conns = wishes.map(|greeting| {
        let id = format!("bob_{greeting:?}");
        hub.register(&Registration { greeting, dialect: Dialect::Manager, ..wish(&id) }).unwrap().conn
    });
    hub.drive();
    let greetings = conns.map(|conn| hub.read(conn));
    assert_eq!(greetings, ["data:\"registered^bob_Registered\"\n\n", "\n", ""]);
    hub.publish(Target::All, "x");
    let named = Event { id: Some(IdField::new("i1").unwrap()), ..Event::data("y") };
    hub.publish_at(0, Target::All, &named).unwrap();
    hub.drive();
    for conn in conns {
        assert_eq!(hub.read(conn), "data:x\n\nid:i1\ndata:y\n\n");
    }
    hub.wait(15_000);
    hub.drive();
    assert_eq!(hub.read(conns[2]), ":heartbeat\n\n");
    let back = hub.resume("bob_Silent", "i1");
    assert_eq!(back.gap, None, "ids of the application's own are found all the same");
}

/// Who says that more was taken than was given is taken to mean all of it, of a notice and of a frame, begun or not.
#[test]
fn more_than_was_given_is_all_of_it() {
    for begun in [0, 5] {
        let now = Instant::from_millis(1);
        let mut hub = Engine::<Heap>::new(quiet(), Epoch(1), [1, 2]).unwrap();
        let conn = hub.register(now, &wish("bob_1")).unwrap().conn;
        for _ in 0..2 {
            assert_eq!(hub.transmit(conn, &mut [b""]), Ok(1));
            assert_eq!(hub.handle_written(now, conn, begun), Ok(0));
            assert_eq!(hub.transmit(conn, &mut [b""]), Ok(1));
            assert_eq!(hub.handle_written(now, conn, usize::MAX), Ok(1));
            assert!(hub.is_caught_up(conn));
            hub.publish(now, Target::All, &Event::data("hello")).unwrap();
        }
    }
}

/// What is said too late to have been taken, after its frame has left the log, ends the connection.
#[test]
fn bytes_of_a_frame_that_left_the_log_end_the_connection() {
    for (overrun, begun) in [(Overrun::Close, 0), (Overrun::Skip, 0), (Overrun::Skip, 9)] {
        let now = Instant::from_millis(1);
        let mut hub = Engine::<Heap>::new(Config { overrun, ..log_of(1) }, Epoch(1), [1, 2]).unwrap();
        let conn = hub.register(now, &Registration { greeting: Greeting::Silent, ..wish("bob_1") }).unwrap().conn;
        let long = "x".repeat(100);
        hub.publish(now, Target::All, &Event::data(&long)).unwrap();
        assert_eq!(hub.transmit(conn, &mut [b""]), Ok(1));
        hub.handle_written(now, conn, begun).unwrap();
        assert_eq!(hub.transmit(conn, &mut [b""]), Ok(1));
        hub.publish(now, Target::All, &Event::data("short")).unwrap();
        assert_eq!(hub.handle_written(now, conn, 80), Ok(0));
        assert_eq!(hub.transmit(conn, &mut [b""]), Ok(0));
        assert!(matches!(hub.poll_output(), Some(Output::Close { reason: CloseReason::Overrun, .. })), "{overrun:?}, {begun}");
    }
}

/// Whoever writes again without being asked to does not hide from the application what its connection lost.
#[test]
fn a_gap_is_told_to_the_application_before_it_is_sent() {
    let mut hub = Harness::new(Config { overrun: Overrun::Skip, ..log_of(1) });
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.publish(Target::All, "1");
    assert_eq!(hub.poll(), Some(Output::Write(bob.conn)));
    hub.publish(Target::All, "2");
    hub.publish(Target::All, "3");
    for _ in 0..3 {
        assert_eq!(hub.write(bob.conn, usize::MAX, 4), Ok(0));
    }
    assert_eq!(hub.poll(), Some(Output::Gap { conn: bob.conn, reason: GapReason::Overrun }));
    hub.drive();
    assert!(
        hub.read(bob.conn).ends_with("event:gap\ndata:{\"reason\":\"overrun\"}\nid:00000007-2\n\ndata:3\nid:00000007-3\n\n")
    );
}

/// Bytes of what was given before the gap are none of what comes behind it.
#[test]
fn bytes_told_of_after_a_gap_was_found_end_the_connection() {
    let config = Config { overrun: Overrun::Skip, ..log_of(1) };
    let (mut hub, now) = (Engine::<Heap>::new(config, Epoch(7), [1, 2]).unwrap(), Instant::from_millis(1_000));
    let conn = hub.register(now, &Registration { greeting: Greeting::Silent, ..wish("bob_1") }).unwrap().conn;
    for data in ["1", "2"] {
        hub.publish(now, Target::All, &Event::data(data)).unwrap();
        hub.transmit(conn, &mut [b""]).unwrap();
    }
    assert_eq!(hub.handle_written(now, conn, 5), Ok(0));
    assert!(matches!(hub.poll_output(), Some(Output::Close { reason: CloseReason::Overrun, .. })));
}
