//! Heartbeats, sweeps, and what the clock does.

use core::time::Duration;

use sse_proto::wire::Event;
use sse_proto::{Age, CloseReason, Config, Engine, Epoch, Heap, Instant, Limits, Output, Target};
use sse_tests::harness::Harness;

use super::{quiet, wish};

#[test]
fn writing_when_there_is_nothing_does_not_postpone_the_heartbeat() {
    let heartbeat = Some(Duration::from_secs(15));
    let mut hub = Harness::new(Config { heartbeat, ..quiet() });
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.read(bob.conn);
    hub.wait(14_000);
    hub.write(bob.conn, usize::MAX, 1).unwrap();
    hub.wait(1_000);
    hub.drive();
    assert_eq!(hub.read(bob.conn), ":heartbeat\n\n");
}

#[test]
fn heartbeats_go_to_who_got_nothing_for_a_while() {
    let mut hub = Harness::new(Config { heartbeat: Some(Duration::from_secs(15)), ..quiet() });
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.wait(10_000);
    hub.publish(Target::All, "x");
    hub.drive();
    hub.read(bob.conn);
    hub.wait(14_999);
    hub.drive();
    assert_eq!(hub.read(bob.conn), "");
    hub.wait(1);
    hub.drive();
    assert_eq!(hub.read(bob.conn), ":heartbeat\n\n");
}

const HOUR: u64 = 3_600_000;

const SWEEP: u64 = 240_000;

/// Sweeps every 240 s, as system M, and counts age from registration too.
fn like_m(age: Age) -> Harness {
    Harness::new(Config { age, ..quiet() })
}

fn expired(hub: &mut Harness) -> Vec<String> {
    let expired = hub.outputs().into_iter().filter_map(|output| match output {
        Output::Expired { id, .. } => Some(String::from(id)),
        _ => None,
    });
    expired.collect()
}

/// M17: exactly 3,600,000 ms stays, 3,600,001 goes.
#[test]
fn a_sweep_drops_who_is_older_than_an_hour() {
    for age in [Age::SinceRegistered, Age::SinceLeft] {
        let mut hub = like_m(age);
        let start = 1_000;
        let away = |hub: &mut Harness, id| {
            let conn = hub.connect(id).conn;
            hub.drive();
            hub.disconnect(conn).unwrap();
        };
        // The first registration is where sweeps are counted from: at the fifteenth it is 3,600,000 ms old.
        away(&mut hub, "exact_1");
        hub.at(start + SWEEP - 1);
        away(&mut hub, "over_1");
        hub.at(start + HOUR);
        hub.drive();
        assert_eq!(expired(&mut hub), [""; 0], "{age:?}");
        hub.at(start + HOUR + SWEEP - 1);
        hub.drive();
        assert_eq!(expired(&mut hub), [""; 0], "between two sweeps");
        // `over_1` is 3,600,001 ms old now.
        hub.at(start + HOUR + SWEEP);
        hub.drive();
        assert_eq!(expired(&mut hub), ["exact_1", "over_1"], "{age:?}");
    }
}

#[test]
fn a_sweep_by_hand_has_the_same_boundary() {
    let mut hub = like_m(Age::SinceRegistered);
    hub.connect("bob_1");
    hub.drive();
    // Periodic sweeps happen at whole multiples of 240 s; these two are by hand.
    hub.wait(HOUR);
    hub.sweep();
    hub.drive();
    assert_eq!(expired(&mut hub), [""; 0]);
    hub.wait(1);
    hub.sweep();
    hub.drive();
    assert_eq!(expired(&mut hub), ["bob_1"]);
}

#[test]
fn sweeping_goes_on_after_it_emptied_the_map() {
    let mut hub = like_m(Age::SinceLeft);
    for id in ["first_1", "second_1"] {
        let conn = hub.connect(id).conn;
        hub.drive();
        hub.disconnect(conn).unwrap();
        let due = hub.engine().poll_timeout().unwrap().as_millis();
        assert_eq!(due, hub.now().as_millis() + HOUR + SWEEP);
        hub.at(due - 1);
        hub.drive();
        assert_eq!(expired(&mut hub), [""; 0]);
        hub.at(due);
        hub.drive();
        assert_eq!(expired(&mut hub), [id]);
        assert_eq!(hub.engine().poll_timeout(), None);
        hub.wait(777);
    }
}

#[test]
fn an_open_stream_keeps_a_client_or_does_not() {
    let mut hub = like_m(Age::SinceLeft);
    hub.connect("bob_1");
    hub.wait(10 * HOUR);
    hub.drive();
    assert_eq!(hub.outputs(), []);

    let mut hub = like_m(Age::SinceRegistered);
    let bob = hub.connect("bob_1");
    hub.wait(10 * HOUR);
    hub.drive();
    let close = Output::Close { conn: bob.conn, client: bob.client, reason: CloseReason::Expired, last: true };
    let gone = Output::Expired { client: bob.client, id: "bob_1".into() };
    assert_eq!(hub.outputs(), [close, gone]);
}

#[test]
fn a_detached_stream_is_silent_and_ends_with_a_sweep() {
    let mut hub = Harness::new(Config { heartbeat: Some(Duration::from_secs(15)), ..quiet() });
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.read(bob.conn);
    hub.unregister(bob.client, false).unwrap();
    assert_eq!(hub.engine().find("", "bob_1"), None);
    for target in [Target::All, Target::UserName("bob"), Target::Group("")] {
        hub.publish(target, "x");
    }
    hub.publish_at(0, Target::Connection(bob.conn), &Event::data("x")).unwrap();
    hub.drive();
    assert_eq!(hub.read(bob.conn), "");
    hub.wait(15_000);
    hub.drive();
    assert_eq!(hub.read(bob.conn), ":heartbeat\n\n");
    // The id is free, and whoever takes it is someone else.
    assert_ne!(hub.connect("bob_1").client, bob.client);
    hub.wait(HOUR + SWEEP);
    hub.drive();
    let close = Output::Close { conn: bob.conn, client: bob.client, reason: CloseReason::Expired, last: true };
    assert_eq!(hub.outputs(), [close]);
}

#[test]
fn an_issued_id_that_nobody_registers_expires() {
    let mut hub = Harness::new(quiet());
    let unused = hub.allocate("", "bob", [1; 32]).unwrap();
    let used = hub.allocate("", "bob", [1; 32]).unwrap();
    assert_ne!(unused, used);
    assert!(!hub.connect(&used).returning);
    hub.wait(600_000);
    hub.drive();
    let id = unused.into();
    assert_eq!(hub.outputs(), [Output::Unused { id }]);
    assert_eq!(hub.engine().usage().issued_ids, 0);
}

#[test]
fn the_oldest_issued_id_gives_way() {
    let limits = Limits { issued_ids: 2, ..quiet().limits };
    let mut hub = Harness::new(Config { limits, ..quiet() });
    let first = hub.allocate("", "bob", [0; 32]).unwrap();
    hub.allocate("", "bob", [0; 32]).unwrap();
    hub.allocate("", "bob", [0; 32]).unwrap();
    assert_eq!(hub.engine().usage().issued_ids, 2);
    assert_eq!(hub.allocate("", "bob", [0; 32]).unwrap(), first);
}

#[test]
fn a_clock_that_steps_back_changes_nothing() {
    let mut hub = Harness::new(Config { heartbeat: Some(Duration::from_secs(15)), ..quiet() });
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.read(bob.conn);
    hub.wait(10_000);
    hub.step_back(9_000);
    hub.publish(Target::All, "x");
    hub.drive();
    hub.read(bob.conn);
    let heartbeat = hub.engine().poll_timeout().unwrap().as_millis();
    assert_eq!(heartbeat, 1_000 + 10_000 + 15_000);
}

#[test]
fn the_end_of_time_is_only_a_time() {
    let mut engine = Engine::<Heap>::new(Config::default(), Epoch(7), [1, 2]).unwrap();
    let end = Instant::from_millis(u64::MAX);
    engine.allocate_id(end, "", "ann", &[0; 32]).unwrap();
    for id in ["bob_1", "bob_2"] {
        engine.register(end, &wish(id)).unwrap();
    }
    let outputs = std::iter::from_fn(|| {
        let output = engine.poll_output()?;
        if let Output::Write(conn) = output {
            let mut slices = [&b""[..]; 4];
            let filled = engine.transmit(conn, &mut slices).unwrap();
            let taken = slices[..filled].concat().len();
            engine.handle_written(end, conn, taken).unwrap();
        }
        Some(())
    });
    assert!(outputs.take(100).count() < 100);
}

/// Whatever lasts how long and wherever the clock begins: what is due is asked for, and what is asked for is due.
#[test]
fn at_the_end_of_time_too_output_is_due_exactly_when_there_is_some() {
    const END: u64 = u64::MAX;
    let lasts = [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(240), Duration::from_secs(3_600), Duration::MAX];
    let clocks = [0, 1, END / 2, END - 1, END];
    let mut expired = 0;
    for (sweep_every, dormant_after) in lasts.iter().flat_map(|every| lasts.iter().map(move |after| (*every, *after))) {
        for (from, to) in clocks.iter().flat_map(|from| clocks.iter().map(move |to| (*from, *to))) {
            for (age, swept) in [Age::SinceLeft, Age::SinceRegistered].into_iter().flat_map(|age| [(age, false), (age, true)]) {
                let config = Config { sweep_every, dormant_after, issued_id_ttl: dormant_after, age, ..quiet() };
                let mut hub = Engine::<Heap>::new(config, Epoch(1), [1, 2]).unwrap();
                let what = format!("every {sweep_every:?}, after {dormant_after:?}, {age:?}, {from} to {to}, swept {swept}");
                let mut now = Instant::from_millis(from);
                let mut drain = |hub: &mut Engine<Heap>, now: Instant| {
                    for _ in 0..50 {
                        let due = hub.poll_timeout().is_some_and(|at| at <= now);
                        let output = hub.poll_output();
                        assert_eq!(output.is_some(), due, "{output:?}, {what}");
                        match output {
                            None => return,
                            Some(Output::Write(conn)) => {
                                let len = hub.transmit(conn, &mut [b""]).map(|_| usize::MAX).unwrap();
                                hub.handle_written(now, conn, len).unwrap();
                            }
                            Some(Output::Expired { .. }) => expired += 1,
                            Some(_) => {}
                        }
                    }
                    panic!("there is no end to the output, {what}");
                };
                hub.allocate_id(now, "", "ann", &[1; 32]).unwrap();
                let leaves = hub.register(now, &wish("bob_1")).unwrap().conn;
                let given_up = hub.register(now, &wish("bob_2")).unwrap().client;
                drain(&mut hub, now);
                let _ = hub.handle_disconnect(now, leaves);
                drain(&mut hub, now);
                now = now.max(Instant::from_millis(to));
                if swept {
                    hub.sweep(now)
                } else {
                    hub.handle_timeout(now)
                }
                drain(&mut hub, now);
                let _ = hub.unregister(now, given_up, false);
                drain(&mut hub, now);
            }
        }
    }
    assert!(expired > 100, "{expired}");
}

#[test]
fn who_is_never_too_old_is_waited_for_by_nobody() {
    let mut engine = Engine::<Heap>::new(Config { dormant_after: Duration::MAX, ..quiet() }, Epoch(7), [1, 2]).unwrap();
    let now = Instant::from_millis(1_000);
    let bob = engine.register(now, &wish("bob_1")).unwrap();
    engine.handle_disconnect(now, bob.conn).unwrap();
    assert_eq!((engine.poll_output(), engine.poll_timeout()), (None, None));
}
