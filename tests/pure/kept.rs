//! What outlives a process: what is told to be kept, and what becomes of it in the engine after.

use core::time::Duration;

use sse_proto::wire::{Event, IdField};
use sse_proto::{ClientId, Config, Engine, Epoch, Heap, Instant, Limits, Output, Registration, Target};

fn engine(limits: Limits) -> Engine<Heap> {
    let limits = Limits { frame_bytes: 512, log_bytes: 1024, ..limits };
    let (minute, heartbeat) = (Duration::from_secs(60), None);
    let config = Config { limits, dormant_after: 10 * minute, sweep_every: minute, heartbeat, ..Config::default() };
    Engine::new(config, Epoch(1), [7, 7]).unwrap()
}

fn at_minute(minute: u64) -> Instant {
    Instant::from_millis(60_000 * minute)
}

fn wish(id: &str) -> Registration<'_> {
    Registration::new(ClientId::new(id).unwrap())
}

#[test]
fn who_passes_is_kept_as_one_who_does() {
    let mut engine = engine(Limits::default());
    engine.register(at_minute(1), &wish("stays_1")).unwrap();
    engine.register(at_minute(1), &Registration { passing: true, ..wish("passes_1") }).unwrap();
    let kept = ["stays_1", "passes_1"].map(|id| engine.kept_client("", id).unwrap().passing);
    assert_eq!(kept, [false, true]);
}

#[test]
fn frames_are_kept_from_a_number_on_and_what_left_is_counted() {
    let mut engine = engine(Limits { log_entries: 3, ..Limits::default() });
    assert_eq!(engine.evicted(), 0);
    for n in 1..=5 {
        engine.publish(at_minute(1), Target::All, &Event::data("x")).unwrap();
        assert_eq!(engine.evicted(), u64::saturating_sub(n, 3));
    }
    let kept = |after| engine.kept_frames(after).map(|frame| frame.sequence).collect::<Vec<_>>();
    assert_eq!([kept(0), kept(2), kept(3), kept(4), kept(5)], [vec![3, 4, 5], vec![3, 4, 5], vec![4, 5], vec![5], vec![]]);
}

/// It expires when it would have: age is counted from where it was, never from later than now, and in the order they are restored.
#[test]
fn a_client_ages_on() {
    let mut lost = engine(Limits::default());
    for (id, minute) in [("first_1", 1), ("second_1", 3)] {
        let conn = lost.register(at_minute(minute), &wish(id)).unwrap().conn;
        lost.handle_disconnect(at_minute(minute), conn).unwrap();
    }
    lost.register(at_minute(4), &wish("here_1")).unwrap();

    let mut found = engine(Limits::default());
    for id in ["first_1", "second_1", "here_1"] {
        found.restore_client(at_minute(5), &lost.kept_client("", id).unwrap()).unwrap();
    }
    let mut expired = Vec::new();
    for minute in 5..30 {
        found.handle_timeout(at_minute(minute));
        while let Some(output) = found.poll_output() {
            let Output::Expired { id, .. } = output else { panic!("{output:?}") };
            expired.push((id.to_string(), minute));
        }
    }
    let expected = [("first_1", 12), ("second_1", 14), ("here_1", 16)];
    assert_eq!(expired, expected.map(|(id, minute)| (id.to_owned(), minute)));
}

/// Of two that are restored in another order than they left in, the earlier counts from when the later does.
#[test]
fn who_is_restored_after_another_is_no_older() {
    let mut lost = engine(Limits::default());
    for (id, minute) in [("first_1", 1), ("second_1", 3)] {
        let conn = lost.register(at_minute(minute), &wish(id)).unwrap().conn;
        lost.handle_disconnect(at_minute(minute), conn).unwrap();
    }
    let mut found = engine(Limits::default());
    let since = ["second_1", "first_1"].map(|id| {
        found.restore_client(at_minute(5), &lost.kept_client("", id).unwrap()).unwrap();
        found.kept_client("", id).unwrap().since
    });
    assert_eq!(since, [Some(at_minute(3)); 2]);
}

/// A log that is full to the last byte is all before who has seen nothing of it.
#[test]
fn a_backlog_of_the_whole_log_is_not_none() {
    let mut engine = engine(Limits::default());
    let bob = engine.register(at_minute(1), &wish("bob_1")).unwrap();
    assert_eq!(engine.backlog(), 0);
    let (id, data) = (Some(IdField::new("i").unwrap()), "x".repeat(512 - "id:i\ndata:\n\n".len()));
    // The third stands where the first was, and ends where the second begins.
    for _ in 0..3 {
        engine.publish(at_minute(1), Target::Client(bob.client), &Event { id, ..Event::data(&data) }).unwrap();
    }
    assert_eq!(engine.usage().log_bytes, 1024);
    assert_eq!(engine.backlog(), 1024);
}
