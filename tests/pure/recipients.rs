//! Who an event is for, where the log alone does not tell: lists in front of frames, frames that share a number, slots.

use std::collections::BTreeMap;

use sse_proto::wire::Event;
use sse_proto::{
    ClientId, Config, ConnId, Engine, Epoch, Greeting, Heap, Instant, Limits, Outcome, Output, PublishError, Registered,
    Registration, Resume, Target,
};
use sse_tests::harness::Harness;

fn hub() -> Harness {
    Harness::new(small(Limits::default().log_bytes))
}

fn small(log_bytes: u32) -> Config {
    let limits = Limits { name_bytes: 32, frame_bytes: 256, log_bytes, ..Limits::default() };
    Config { limits, heartbeat: None, write_stall: None, retry: None, ..Config::default() }
}

/// So many clients, caught up.
fn crowd(hub: &mut Harness, count: usize) -> Vec<Registered> {
    let crowd = (0..count).map(|n| hub.connect(&format!("bob_{n}"))).collect::<Vec<_>>();
    hub.drive();
    for one in &crowd {
        hub.read(one.conn);
    }
    crowd
}

#[test]
fn what_is_for_one_connection_is_passed_by_every_other_one() {
    let mut hub = hub();
    let [ann, bob] = crowd(&mut hub, 2)[..] else { panic!("there are two") };
    hub.publish(Target::All, "1");
    hub.publish(Target::Connection(ann.conn), "2");
    hub.publish(Target::Connection(bob.conn), "3");
    hub.publish(Target::All, "4");
    hub.drive();
    let frame = |n| format!("data:{n}\nid:00000007-{n}\n\n");
    assert_eq!(hub.read(ann.conn), [1, 2, 4].map(frame).concat());
    assert_eq!(hub.read(bob.conn), [1, 3, 4].map(frame).concat());
}

/// The end of a task is one frame for each client of the user name, under one number.
#[test]
fn of_frames_that_share_a_number_each_gets_its_own_however_little_it_takes() {
    for take in [1, 7, 50, 100] {
        let mut hub = hub();
        let crowd = crowd(&mut hub, 3);
        hub.complete(crowd[0].client, "k", None);
        hub.publish(Target::All, "next");
        hub.drive_by(take, 1);
        for (n, one) in crowd.iter().enumerate() {
            let expected = format!(
                "event:completed\ndata:{{\"task\":\"k\",\"client\":\"bob_{n}\",\"timestamp\":1000}}\nid:00000007-1\n\n\
                 data:next\nid:00000007-2\n\n"
            );
            assert_eq!(hub.read(one.conn), expected);
        }
    }
}

/// One look at the log passes 512 frames, but does not end between those that share a number: where it would, a cursor cannot stand.
#[test]
fn of_frames_that_share_a_number_each_gets_its_own_however_many_there_are() {
    const MANY: usize = 1_100;
    let now = Instant::from_millis(1_000);
    for is_behind in [false, true] {
        let mut engine = Engine::<Heap>::new(small(1 << 20), Epoch(7), [7, 7]).unwrap();
        let register = |n| engine.register(now, &Registration::new(ClientId::new(&format!("bob_{n}")).unwrap())).unwrap();
        let crowd = (0..MANY).map(register).collect::<Vec<_>>();
        sent(&mut engine, now);
        if is_behind {
            engine.publish(now, Target::All, &Event::data("before")).unwrap();
        }
        engine.complete_at(now, 0, Some(crowd[0].client), "", "bob", "k", Outcome::Completed(None)).unwrap();
        engine.publish(now, Target::All, &Event::data("next")).unwrap();
        let sent = sent(&mut engine, now);
        for (n, one) in crowd.iter().enumerate() {
            let told = &sent[&one.conn];
            assert!(told.contains(&format!("\"client\":\"bob_{n}\"")) && told.contains("data:next"), "{n}: {told}");
            assert_eq!(told.matches("event:completed").count(), 1, "{n}: {told}");
            assert!(engine.is_caught_up(one.conn));
        }
    }
}

/// What each connection is sent, all of which it takes.
fn sent(engine: &mut Engine<Heap>, now: Instant) -> BTreeMap<ConnId, String> {
    let mut sent = BTreeMap::<ConnId, String>::new();
    while let Some(output) = engine.poll_output() {
        let Output::Write(conn) = output else { panic!("{output:?}") };
        sent.entry(conn).or_default().push_str(&taken(engine, now, conn));
    }
    sent
}

/// All there is for a connection, which takes it.
fn taken(engine: &mut Engine<Heap>, now: Instant, conn: ConnId) -> String {
    let mut taken = String::new();
    loop {
        let mut slices = [&b""[..]; 4];
        let filled = engine.transmit(conn, &mut slices).unwrap();
        let bytes = slices[..filled].concat();
        if bytes.is_empty() {
            return taken;
        }
        taken.push_str(std::str::from_utf8(&bytes).unwrap());
        engine.handle_written(now, conn, bytes.len()).unwrap();
    }
}

/// Nor does it matter to a notice that is being sent that the end of a task is told meanwhile.
#[test]
fn a_notice_is_whole_when_all_of_it_was_taken_whatever_is_told_meanwhile() {
    let now = Instant::from_millis(1_000);
    let mut engine = Engine::<Heap>::new(small(1 << 12), Epoch(7), [7, 7]).unwrap();
    let conn = engine.register(now, &Registration::new(ClientId::new("bob_1").unwrap())).unwrap().conn;
    let greeting = {
        let mut slices = [&b""[..]; 4];
        assert_eq!(engine.transmit(conn, &mut slices).unwrap(), 1);
        slices[0].len()
    };
    engine.complete_at(now, 0, None, "", "bob", "k", Outcome::Completed(None)).unwrap();
    assert_eq!(engine.handle_written(now, conn, greeting - 1).unwrap(), 0);
    let rest = taken(&mut engine, now, conn);
    assert!(rest.starts_with('\n') && rest.contains("event:completed"), "{rest:?}");
}

/// The log has room for six of seven frames under one number: the seventh follows them, whether or not its room is needed.
#[test]
fn frames_that_share_a_number_leave_together() {
    let mut hub = Harness::new(small(512));
    let crowd = crowd(&mut hub, 7);
    hub.complete(crowd[0].client, "k", None);
    assert_eq!((hub.engine().usage().log_entries, hub.engine().evicted()), (1, 1));
    hub.publish(Target::All, "next");
    assert_eq!(hub.engine().usage().log_entries, 1);
}

/// Round and round in a small log: the list in front of the oldest frame is not written over while the frame is there, and there is
/// room for the list in front of the newest.
#[test]
fn who_was_chosen_is_known_as_long_as_the_frame_is() {
    for members in [2, 9, 20] {
        let mut hub = Harness::new(small(1_000));
        let mut keys: Vec<_> = crowd(&mut hub, 22).iter().map(|one| one.client).collect();
        for n in 0..20 {
            keys.reverse();
            let first = n % (keys.len() - members);
            hub.publish(Target::Clients(&keys[first..first + members]), &"x".repeat(2 * n));
            let wish =
                Registration { resume: Resume::Earliest, replace: true, ..Registration::new(ClientId::new("bob_9").unwrap()) };
            hub.register(&wish).unwrap();
            hub.drive();
        }
    }
}

#[test]
fn a_number_that_was_given_out_is_not_given_out_again() {
    let mut hub = hub();
    let sequences = [5, 5, 3, 9].map(|at| hub.publish_at(at, Target::All, &Event::data("x")).unwrap().sequence);
    assert_eq!(sequences, [5, 6, 7, 9]);
}

#[test]
fn a_group_that_cannot_be_one_has_no_members() {
    let answer = hub().publish_at(0, Target::Group("no^group"), &Event::data("x"));
    assert!(matches!(answer, Err(PublishError::Name(_))));
}

#[test]
fn a_completion_is_told_without_a_greeting_before_it_too() {
    let mut hub = hub();
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.disconnect(bob.conn).unwrap();
    hub.complete(bob.client, "k", None);
    let wish = Registration { greeting: Greeting::Silent, ..Registration::new(ClientId::new("bob_1").unwrap()) };
    let bob = hub.register(&wish).unwrap();
    hub.drive();
    assert_eq!(
        hub.read(bob.conn),
        "event:completed\ndata:{\"task\":\"k\",\"client\":\"bob_1\",\"timestamp\":1000}\nid:00000007-1\n\n"
    );
}
