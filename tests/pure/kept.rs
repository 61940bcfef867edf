//! What outlives a process: what is told to be kept, and what becomes of it in the engine after.

use core::time::Duration;
use std::collections::BTreeSet;

use proptest::prelude::*;
use sse_proto::wire::{Event, IdField, Lines};
use sse_proto::{
    Audience, ClientId, ClientKey, Config, ConnId, Dialect, Engine, Epoch, Heap, Instant, KeptClient, KeptFrame, KeptTask,
    Limits, Outcome, Output, Registration, Resume, Target, TaskState,
};

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

/// A clock that stepped back makes nobody older: who was connected has been away since the hub knows, not since before.
#[test]
fn who_was_connected_is_away_since_the_latest_time_that_was_told() {
    let mut lost = engine(Limits::default());
    lost.register(at_minute(1), &wish("here_1")).unwrap();
    let mut found = engine(Limits::default());
    found.handle_timeout(at_minute(5));
    found.restore_client(at_minute(2), &lost.kept_client("", "here_1").unwrap()).unwrap();
    assert_eq!(found.kept_client("", "here_1").unwrap().since, Some(at_minute(5)));
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

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is taken in, in whatever order and beside whatever else happens: a refusal leaves no trace, and what is taken in keeps to
    /// the limits, to one client for an id, to one completion for a number, and to the order of frames.
    #[test]
    fn what_is_not_taken_in_leaves_no_trace(steps in prop::collection::vec(any::<[u8; 6]>(), 1..200)) {
        let limits = Limits {
            connections: 4,
            clients: 4,
            issued_ids: 4,
            connections_per_client: 2,
            groups: 2,
            topics: 3,
            topics_per_client: 2,
            subscriptions: 5,
            tasks_per_client: 2,
            tasks: 3,
            detail_bytes: 8,
            log_entries: 4,
            ..Limits::default()
        };
        let mut engine = engine(limits);
        for step in steps {
            let (before, numbers) = (everything(&engine), (engine.evicted(), engine.last_event_id().sequence));
            let is_done = take_in(&mut engine, step);
            prop_assert!(is_done || everything(&engine) == before, "{step:?}");
            let (evicted, last) = (engine.evicted(), engine.last_event_id().sequence);
            prop_assert!(numbers.0 <= evicted && numbers.1 <= last && evicted <= last, "{step:?}: {evicted} of {last}");
            keeps_to(&limits, &engine);
        }
        while let Some(output) = engine.poll_output() {
            let Output::Write(conn) = output else { continue };
            for _ in 0..100 {
                write(&mut engine, conn, usize::MAX);
            }
        }
    }
}

/// One step, and whether it was done.
fn take_in(engine: &mut Engine<Heap>, [kind, a, b, c, d, e]: [u8; 6]) -> bool {
    const NAMES: [&str; 5] = ["bob_1", "bob_2", "ann_1", "ann", "eve"];
    const GROUPS: [&str; 4] = ["", "", "red", "no^group"];
    const DETAILS: [Option<&str>; 4] = [None, Some("1"), Some("1234567"), Some("1234567890123")];
    let (now, last) = (at_minute(1), engine.last_event_id().sequence);
    let (name, group, detail) = (NAMES[a as usize % 5], GROUPS[b as usize % 4], DETAILS[c as usize % 4]);
    let id = ClientId::new(name).unwrap();
    let known: Vec<_> = engine.clients().map(|info| info.key).collect();
    let client = *known.get(a as usize % 5).unwrap_or(&ClientKey::NONE);
    let topic = ["a", "b", "c", "d", "no^topic"][b as usize % 5];
    let sequence = (last + u64::from(d % 5)).saturating_sub(2);
    match kind % 17 {
        0 => engine.restore_id(now, group, id).is_ok(),
        1 => {
            let (key, passing) = (ClientKey::NONE, c & 1 == 1);
            let kept = KeptClient { key, group, id, dialect: Dialect::Named, registered: now, since: None, passing };
            engine.restore_client(now, &kept).is_ok()
        }
        2 => engine.restore_topic(client, topic, sequence).is_ok(),
        3 | 4 => {
            let state = [TaskState::Submitted, TaskState::Progress, TaskState::Completed, TaskState::Failed][e as usize % 4];
            let kept = KeptTask { name: NAMES[b as usize % 3], state, detail, sequence, ended: now, sent: e & 4 == 4 };
            engine.restore_task(client, &kept).is_ok()
        }
        5 | 6 => {
            let audience = match b % 5 {
                0 => Audience::All,
                1 => Audience::Topic(topic),
                2 => Audience::Clients,
                _ => Audience::Client(client),
            };
            let id = (c == 0).then(|| IdField::new("own").unwrap());
            let lines = Lines::new([&b"data:x\n"[..], b":\n", b""][e as usize % 3]).unwrap();
            engine.restore_frame(&KeptFrame { sequence, audience, id, lines, completes_task: e & 4 == 4 }, &[client]).is_ok()
        }
        7 => engine.restore_connection(now, client, Dialect::Named).is_some(),
        8 => {
            let id_before = format!("00000001-{sequence}");
            let resume = Resume::After(&id_before);
            engine.register(now, &Registration { group, topics: &[topic], resume, ..Registration::new(id) }).is_ok()
        }
        9 => engine.publish(now, Target::Topic(topic), &Event::data("x")).is_ok(),
        10 => engine.complete_at(now, sequence, Some(client), "", "bob", name, Outcome::Completed(detail)).is_ok(),
        11 => engine.unregister(now, client, c & 1 == 1).is_ok(),
        12 => {
            engine.restore_position(sequence, last + u64::from(e % 2));
            true
        }
        13 => {
            engine.restored(now);
            true
        }
        14 if a < 16 => {
            engine.clear(now, b & 1 == 1);
            true
        }
        14 if a < 32 => {
            engine.drain(now, 0, u32::MAX);
            true
        }
        _ => {
            let is_due = engine.poll_timeout().is_some_and(|time| time <= now);
            let output = engine.poll_output();
            assert_eq!(output.is_some(), is_due, "{output:?}");
            if let Some(Output::Write(conn)) = output {
                write(engine, conn, usize::from(a % 64));
            }
            true
        }
    }
}

/// A peer takes so many bytes at most.
fn write(engine: &mut Engine<Heap>, conn: ConnId, most: usize) {
    let mut slices = [&b""[..]; 2];
    let filled = engine.transmit(conn, &mut slices).unwrap();
    let written = slices[..filled].concat().len().min(most);
    engine.handle_written(at_minute(1), conn, written).unwrap();
}

/// All that can be seen of an engine.
fn everything(engine: &Engine<Heap>) -> String {
    let clients = engine.clients().map(|info| {
        let tasks: Vec<_> = engine.kept_tasks(info.key).collect();
        let topics: Vec<_> = engine.kept_topics(info.key).collect();
        let connections: Vec<_> = engine.connections(info.key).map(|conn| (conn, engine.is_caught_up(conn))).collect();
        format!("{:?} {tasks:?} {topics:?} {connections:?}", engine.kept_client(info.group, info.id))
    });
    let frames =
        engine.kept_frames(0).map(|kept| (format!("{kept:?}"), engine.kept_members(kept.sequence).collect::<Vec<_>>()));
    let (clients, frames): (Vec<_>, Vec<_>) = (clients.collect(), frames.collect());
    let numbers = (engine.usage(), engine.last_event_id(), engine.evicted(), engine.poll_timeout(), engine.backlog());
    format!("{clients:?} {frames:?} {numbers:?}")
}

fn keeps_to(limits: &Limits, engine: &Engine<Heap>) {
    let (mut ids, mut details) = (BTreeSet::new(), 0);
    for info in engine.clients() {
        assert!(ids.insert((info.group, info.id)), "two clients are {}", info.id);
        assert!(info.connections <= limits.connections_per_client);
        let mut numbers = BTreeSet::new();
        for task in engine.kept_tasks(info.key) {
            assert!(
                !task.state.has_ended() || numbers.insert(task.sequence),
                "two completions have the number {}",
                task.sequence
            );
            assert!(task.sequence <= engine.last_event_id().sequence);
            details += task.detail.map_or(0, str::len);
        }
    }
    assert!(details <= limits.detail_bytes as usize, "{details} bytes of details");
    assert!(engine.kept_frames(0).map(|kept| kept.sequence).is_sorted());
}
