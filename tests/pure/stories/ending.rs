//! How streams end that the application ends.

use sse_proto::wire::Event;
use sse_proto::{
    CloseReason, Config, Engine, Epoch, EventIds, Greeting, Heap, Instant, Output, RegisterError, Registered, Registration,
    Resume, Stale, Target, Usage,
};
use sse_tests::harness::Harness;

use super::{quiet, wish};

#[test]
fn a_connection_that_is_finished_gets_what_was_published_before() {
    let now = Instant::from_millis(1_000);
    let config = Config { event_ids: EventIds::Given, ..quiet() };
    let mut engine = Engine::<Heap>::new(config, Epoch(7), [1, 2]).unwrap();
    let silent = |engine: &mut Engine<Heap>, id| {
        engine.register(now, &Registration { greeting: Greeting::Silent, passing: true, ..wish(id) }).unwrap().conn
    };
    let (ann, bob) = (silent(&mut engine, "ann_1"), silent(&mut engine, "bob_1"));
    let drive = |engine: &mut Engine<Heap>| {
        let (mut sent, mut closed) = (Vec::new(), Vec::new());
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Close { conn, reason, last, .. } => closed.push((conn, reason, last)),
                Output::Write(conn) => {
                    let mut slices = [&b""[..]; 4];
                    let filled = engine.transmit(conn, &mut slices).unwrap();
                    let bytes = slices[..filled].concat();
                    engine.handle_written(now, conn, bytes.len()).unwrap();
                    sent.push((conn, String::from_utf8(bytes).unwrap()));
                }
                other => panic!("{other:?}"),
            }
        }
        sent.retain(|(_, bytes)| !bytes.is_empty());
        (sent, closed)
    };
    drive(&mut engine);
    engine.publish(now, Target::All, &Event::data("before")).unwrap();
    engine.finish(now, ann).unwrap();
    engine.publish(now, Target::All, &Event::data("after")).unwrap();
    let (sent, closed) = drive(&mut engine);
    let (before, both) = ("data:before\n\n".to_owned(), "data:before\n\ndata:after\n\n".to_owned());
    assert_eq!(sent, [(ann, before), (bob, both)]);
    assert_eq!(closed, [(ann, CloseReason::Unregistered, true)]);
    // One that has everything ends at once.
    engine.finish(now, bob).unwrap();
    assert_eq!(engine.poll_timeout(), Some(now));
    assert_eq!(drive(&mut engine).1, [(bob, CloseReason::Unregistered, true)]);
    assert_eq!(engine.finish(now, bob), Err(Stale));
    assert_eq!(engine.usage().clients, 0);
}

#[test]
fn draining_spreads_retry_and_closes_after_the_last_frame() {
    let mut hub = Harness::new(quiet());
    let conns: Vec<_> = (0..10).map(|n| hub.connect(&format!("u{n}_1")).conn).collect();
    hub.drive();
    for &conn in &conns {
        hub.read(conn);
    }
    hub.publish(Target::All, "last");
    hub.drain(1_000, 2_000);
    let refused = hub.register(&wish("late_1")).unwrap_err();
    assert_eq!(refused, RegisterError::Draining);
    hub.drive();
    let mut retries: Vec<u32> = conns
        .iter()
        .map(|&conn| {
            let sent = hub.read(conn);
            let farewell = sent.strip_prefix("data:last\nid:00000007-1\n\nretry:");
            farewell.unwrap().trim_end().parse().unwrap()
        })
        .collect();
    retries.sort_unstable();
    assert!((1_000..=2_000).contains(&retries[0]) && retries[9] <= 2_000);
    let widest = retries.windows(2).map(|two| two[1] - two[0]).max();
    assert!(widest < Some(400), "{retries:?} are not spread");
    let drained = |output: &Output<Box<str>>| {
        let reason = CloseReason::Drained;
        matches!(output, Output::Close { reason: r, last: true, .. } if *r == reason)
    };
    let outputs = hub.outputs();
    assert!(outputs.len() == 10 && outputs.iter().all(drained));
}

/// Numbers were given out for what is not here: who looks for it is told farewell as any other.
#[test]
fn who_looked_in_vain_is_drained_too() {
    let mut hub = Harness::new(quiet());
    hub.observe(5);
    let ann = hub.register(&Registration { resume: Resume::Earliest, ..wish("ann_1") }).unwrap();
    hub.drive();
    hub.read(ann.conn);
    hub.drain(1_000, 1_000);
    hub.drive();
    assert_eq!(hub.read(ann.conn), "retry:1000\n\n");
}

#[test]
fn clearing_lets_everyone_go() {
    let mut hub = Harness::new(quiet());
    hub.allocate("", "ann", [0; 32]).unwrap();
    let away = hub.connect("away_1");
    let here = hub.connect("here_1");
    hub.drive();
    hub.disconnect(away.conn).unwrap();
    hub.clear(false);
    assert_eq!(hub.engine().clients().count(), 0);
    assert_eq!(hub.engine().usage().issued_ids, 0);
    assert_eq!(hub.engine().usage().connections, 1);
    hub.check_stale();
    hub.disconnect(here.conn).unwrap();
    assert_eq!(hub.engine().usage().clients, 0);
}

/// Whoever is still there, and be it one who was given up before and kept a silent stream.
#[test]
fn clearing_ends_the_streams_of_those_given_up_before() {
    let mut hub = Harness::new(quiet());
    let gone = hub.connect("gone_1");
    let here = hub.connect("here_1");
    hub.drive();
    hub.unregister(gone.client, false).unwrap();
    hub.clear(false);
    hub.drive();
    assert_eq!(hub.outputs(), [], "they stay, silent");
    hub.clear(true);
    hub.drive();
    let close = |of: Registered| {
        let reason = CloseReason::Unregistered;
        Output::Close { conn: of.conn, client: of.client, reason, last: true }
    };
    assert_eq!(hub.outputs(), [close(gone), close(here)]);
    assert_eq!(hub.engine().usage(), Usage::default());
}
