//! What a limit says is allowed to the last byte, and nothing above it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sse_proto::wire::{Encode, Event, IdField, Lines};
use sse_proto::{
    Audience, ClientId, ClientKey, CloseReason, Config, ConnId, Engine, Epoch, Full, Greeting, Heap, IdError, IdForm, Instant,
    KeptFrame, Limits, ListenError, MAX_EVENT_ID, Outcome, Output, PublishError, RegisterError, Registration, Resume, Target,
    TaskError,
};
use sse_tests::harness::Harness;

const NAME: usize = 20;
const TOPIC: usize = 30;
const FRAME: usize = 510;

fn hub() -> Harness {
    let limits = Limits {
        name_bytes: NAME as u32,
        topic_bytes: TOPIC as u32,
        frame_bytes: FRAME as u32,
        log_bytes: 2 * FRAME as u32,
        ..Limits::default()
    };
    Harness::new(Config { limits, id_form: IdForm::Short, ..Config::default() })
}

#[test]
fn of_ids_that_are_allocated() {
    let (mut hub, limit) = (hub(), NAME as u32);
    let suffix = IdForm::Short.suffix_len();
    let longest = "n".repeat(NAME - 1 - suffix);
    let id = hub.allocate(&"g".repeat(NAME), &longest, [7; 32]).unwrap();
    assert_eq!(id, format!("{longest}_{}", "h".repeat(suffix)));
    assert_eq!(hub.allocate("", &format!("{longest}n"), [7; 32]), Err(IdError::TooLong { limit }));
    assert_eq!(hub.allocate(&"g".repeat(NAME + 1), "n", [7; 32]), Err(IdError::TooLong { limit }));
}

#[test]
fn of_names_at_registration() {
    let mut hub = hub();
    let mut register = |id: usize, group: usize, topic: usize| {
        let (id, group, topic) = ("i".repeat(id), "g".repeat(group), "t".repeat(topic));
        let wish = Registration { group: &group, topics: &[&topic], ..Registration::new(ClientId::new(&id).unwrap()) };
        hub.register(&wish).map(drop)
    };
    let refused = |what, limit: usize| Err(RegisterError::TooLong { what, limit: limit as u32 });
    assert_eq!(register(NAME, NAME, TOPIC), Ok(()));
    assert_eq!(register(NAME + 1, NAME, TOPIC), refused("id", NAME));
    assert_eq!(register(NAME, NAME + 1, TOPIC), refused("group", NAME));
    assert_eq!(register(NAME, NAME, TOPIC + 1), refused("topic", TOPIC));
}

#[test]
fn of_topics_and_tasks() {
    let mut hub = hub();
    let bob = hub.connect("bob_1").client;
    let (topic, task) = ("t".repeat(TOPIC), "t".repeat(NAME));
    assert_eq!(hub.listen(bob, &topic), Ok(true));
    assert_eq!(hub.listen(bob, &format!("{topic}t")), Err(ListenError::TooLong { limit: TOPIC as u32 }));
    assert_eq!(hub.submit(bob, &task), Ok(()));
    assert_eq!(hub.submit(bob, &format!("{task}t")), Err(TaskError::TooLong { limit: NAME as u32 }));
}

#[test]
fn of_targets() {
    let mut hub = hub();
    let mut publish = |target| hub.publish_at(0, target, &Event::data("x")).map(drop);
    let refused = |limit: usize| Err(PublishError::TooLong { limit: limit as u32 });
    let long = "x".repeat(TOPIC + 1);
    assert_eq!(publish(Target::Group(&long[..NAME])), Ok(()));
    assert_eq!(publish(Target::Group(&long[..=NAME])), refused(NAME));
    assert_eq!(publish(Target::UserName(&long[..NAME])), Ok(()));
    assert_eq!(publish(Target::UserName(&long[..=NAME])), refused(NAME));
    assert_eq!(publish(Target::Topic(&long[..TOPIC])), Ok(()));
    assert_eq!(publish(Target::Topic(&long)), refused(TOPIC));
}

#[test]
fn of_frames() {
    let mut hub = hub();
    hub.connect("bob_1");
    // Whose id is its own is not numbered.
    let id = Some(IdField::new("i").unwrap());
    let data = "x".repeat(FRAME);
    let of_len = |len: usize| {
        let around = Event { id, ..Event::data("") }.encoded_len();
        Event { id, ..Event::data(&data[..len - around]) }
    };
    assert!(hub.publish_at(0, Target::All, &of_len(FRAME)).is_ok());
    let refused = PublishError::TooLarge { len: FRAME + 1, limit: FRAME };
    assert_eq!(hub.publish_at(0, Target::All, &of_len(FRAME + 1)), Err(refused));
    // Half of the log is left for those it is for, eight bytes each.
    let nobody = [ClientKey::NONE; FRAME / 8 + 1];
    assert!(hub.publish_at(0, Target::Clients(&nobody[1..]), &of_len(FRAME)).is_ok());
    let refused = PublishError::TooLarge { len: FRAME, limit: 2 * FRAME - 8 * nobody.len() };
    assert_eq!(hub.publish_at(0, Target::Clients(&nobody), &of_len(FRAME)), Err(refused));
    let too_many = [ClientKey::NONE; 2 * FRAME / 8 + 1];
    let refused = PublishError::TooLarge { len: FRAME, limit: 0 };
    assert_eq!(hub.publish_at(0, Target::Clients(&too_many), &of_len(FRAME)), Err(refused));
}

#[test]
fn of_ids_of_the_applications_own() {
    let limits = Limits { frame_bytes: 4 * 1024, log_bytes: 8 * 1024, ..Limits::default() };
    let mut hub = Harness::new(Config { limits, ..Config::default() });
    let long = "i".repeat(MAX_EVENT_ID + 1);
    let mut publish = |id| hub.publish_at(0, Target::All, &Event { id: Some(IdField::new(id).unwrap()), ..Event::data("x") });
    assert!(publish(&long[1..]).is_ok());
    assert_eq!(publish(&long), Err(PublishError::IdTooLong));
}

/// Two names and 160 bytes must fit besides; what is escaped may take six bytes for one.
#[test]
fn of_why_a_task_failed() {
    let mut hub = hub();
    let bob = hub.connect("bob_1").client;
    let room = FRAME - 2 * NAME - 160;
    for (task, escaped, plain) in [("a", "\"", "!"), ("b", "\\", "#"), ("c", "\u{1F}", " ")] {
        let fits = escaped.repeat(room / 6) + &plain.repeat(room % 6);
        let mut fail = |reason: &str| hub.complete_at(0, Some(bob), "", "bob", task, Outcome::Failed(reason));
        assert_eq!(fail(&format!("{fits}{plain}")), Err(TaskError::TooLarge), "{escaped:?}");
        assert_eq!(fail(&fits), Ok(()), "{escaped:?}");
    }
}

#[test]
fn of_sequence_numbers() {
    const LAST: u64 = u64::MAX - 1;
    let (mut hub, now) = (Engine::<Heap>::new(Config::default(), Epoch(1), [1, 2]).unwrap(), Instant::from_millis(1));
    let bob = hub.register(now, &Registration::new(ClientId::new("bob_1").unwrap())).unwrap();
    hub.submit(now, bob.client, "tea").unwrap();
    let lines = Lines::new(b"data: x\n").unwrap();
    let kept = KeptFrame { sequence: u64::MAX, audience: Audience::All, id: None, lines, completes_task: false };
    let event = Event::data("x");
    let done = Outcome::Completed(None);
    let full = PublishError::Full(Full::Sequence);

    assert_eq!(hub.publish_at(now, u64::MAX, Target::All, &event), Err(full));
    assert_eq!(hub.restore_frame(&kept, &[]), Err(full));
    assert_eq!(hub.publish_at(now, LAST, Target::All, &event).unwrap().sequence, LAST);

    hub.observe_sequence(u64::MAX);
    assert_eq!(hub.last_event_id().sequence, LAST);
    assert_eq!(hub.publish(now, Target::All, &event), Err(full));
    assert_eq!(hub.progress_at(now, 0, bob.client, "tea", "1"), Err(TaskError::Full(Full::Sequence)));
    assert_eq!(hub.complete_at(now, 0, Some(bob.client), "", "bob", "tea", done), Err(TaskError::Full(Full::Sequence)));

    // Who has it waits behind it, and may come back.
    while !hub.is_caught_up(bob.conn) {
        let mut slices = [&b""[..]; 4];
        let filled = hub.transmit(bob.conn, &mut slices).unwrap();
        let len = slices[..filled].iter().map(|slice| slice.len()).sum();
        hub.handle_written(now, bob.conn, len).unwrap();
    }
    let id = hub.last_event_id().to_string();
    let back = Registration { resume: Resume::After(&id), ..Registration::new(ClientId::new("bob_1").unwrap()) };
    assert_eq!(hub.register(now, &back).unwrap().gap, None);
}

#[test]
fn of_what_a_stored_position_may_be() {
    let (mut hub, now) = (Engine::<Heap>::new(Config::default(), Epoch(1), [1, 2]).unwrap(), Instant::from_millis(1));
    hub.restore_position(u64::MAX, 10);
    let bob =
        hub.register(now, &Registration { resume: Resume::Earliest, ..Registration::new(ClientId::new("bob_1").unwrap()) });
    let sequence = hub.publish(now, Target::All, &Event::data("x")).unwrap().sequence;
    assert_eq!((sequence, hub.kept_frames(u64::MAX).count(), hub.kept_frames(10).count()), (11, 0, 1));
    let (conn, mut text) = (bob.unwrap().conn, Vec::new());
    for _ in 0..3 {
        let mut slices = [&b""[..]; 4];
        let filled = hub.transmit(conn, &mut slices).unwrap();
        let bytes = slices[..filled].concat();
        text.extend_from_slice(&bytes);
        hub.handle_written(now, conn, bytes.len()).unwrap();
    }
    assert!(hub.is_caught_up(conn) && text.ends_with(b"data:x\nid:00000001-11\n\n"), "{}", String::from_utf8_lossy(&text));
}

/// What left the log is gone, whatever a position that is stored says: a frame that was begun ends with it.
#[test]
fn of_what_a_stored_position_says_of_a_log_in_use() {
    let limits = Limits { log_entries: 1, ..Limits::default() };
    let config = Config { limits, heartbeat: None, ..Config::default() };
    let (mut hub, now) = (Engine::<Heap>::new(config, Epoch(1), [1, 2]).unwrap(), Instant::from_millis(1));
    let registration = Registration { greeting: Greeting::Silent, ..Registration::new(ClientId::new("bob_1").unwrap()) };
    let bob = hub.register(now, &registration).unwrap().conn;
    hub.publish(now, Target::All, &Event::data(&"x".repeat(100))).unwrap();
    assert_eq!(hub.transmit(bob, &mut [b""]), Ok(1));
    assert_eq!(hub.handle_written(now, bob, 90), Ok(0));
    hub.publish(now, Target::All, &Event::data("y")).unwrap();
    hub.restore_position(0, 0);
    assert_eq!(hub.evicted(), 1);
    assert_eq!(hub.handle_written(now, bob, 1), Ok(0));
    assert!(matches!(hub.poll_output(), Some(Output::Close { reason: CloseReason::Overrun, .. })));
}

/// Nothing that a stored position says has left comes back while the log lets go of it.
#[test]
fn of_what_has_left_a_log_in_use() {
    let (mut hub, now) = (Engine::<Heap>::new(Config::default(), Epoch(1), [1, 2]).unwrap(), Instant::from_millis(1));
    for data in ["a", "b", "c"] {
        hub.publish(now, Target::All, &Event::data(data)).unwrap();
    }
    hub.restore_position(2, 3);
    hub.publish(now, Target::All, &Event::data("d")).unwrap();
    assert_eq!((hub.evicted(), hub.kept_frames(0).map(|frame| frame.sequence).collect::<Vec<_>>()), (2, vec![3, 4]));
}

/// Seconds of the processor when all names are looked at again after every frame, milliseconds when they are not: what is asked is only on
/// which side of seconds it is.
#[test]
fn names_are_looked_at_again_only_where_a_frame_made_room_for_them() {
    let now = Instant::from_millis(1);
    let limits = Limits { topics: 1000, topics_per_client: 128, ..Limits::DEFAULT };
    let mut engine = Engine::<Heap>::new(Config { limits, ..Config::DEFAULT }, Epoch(1), [7, 7]).unwrap();
    for _ in 0..60_000 {
        engine.publish(now, Target::All, &Event::data("x")).unwrap();
    }
    for index in 0..limits.topics {
        engine.publish(now, Target::Topic(&format!("history {index}")), &Event::data("x")).unwrap();
    }
    let names: Vec<String> = (0..128).map(|index| format!("{}{index:03}", "p".repeat(240))).collect();
    let topics: Vec<&str> = names.iter().map(String::as_str).collect();
    let start = processor_time();
    engine.register(now, &Registration { topics: &topics, ..Registration::new(ClientId::new("me_1").unwrap()) }).unwrap();
    let taken = processor_time() - start;
    assert_eq!(engine.usage().log_entries, limits.topics - 128, "the frames that had to go for the names");
    assert!(taken.as_secs() < 2, "{taken:?}");
}

/// Each of a crowd of one user name is told of the end of a task in a frame of its own, and all have one number: nobody looks through those
/// of the others, however many ends are told at once.
#[test]
fn a_crowd_of_one_user_name_finds_its_frames_at_once() {
    let now = Instant::from_millis(1);
    let limits = Limits { log_bytes: 32 << 20, log_entries: 1 << 17, ..Limits::DEFAULT };
    let mut engine = Engine::<Heap>::new(Config { limits, retry: None, ..Config::DEFAULT }, Epoch(1), [7, 7]).unwrap();
    let crowd: Vec<ConnId> = (0..20_000)
        .map(|n| engine.register(now, &Registration::new(ClientId::new(&format!("bob_{n}")).unwrap())).unwrap().conn)
        .collect();
    let frames_told = |engine: &mut Engine<Heap>| {
        let mut told = 0;
        while let Some(Output::Write(conn)) = engine.poll_output() {
            loop {
                let mut slices = [&b""[..]; 4];
                let filled = engine.transmit(conn, &mut slices).unwrap();
                if filled == 0 {
                    break;
                }
                let len = slices[..filled].concat().len();
                told += engine.handle_written(now, conn, len).unwrap();
            }
        }
        told
    };
    frames_told(&mut engine);
    let start = processor_time();
    for task in ["k", "l", "m"] {
        engine.complete_at(now, 0, None, "", "bob", task, Outcome::Completed(None)).unwrap();
    }
    assert_eq!(frames_told(&mut engine), 3 * crowd.len());
    let taken = processor_time() - start;
    assert!(crowd.iter().all(|conn| engine.is_caught_up(*conn)) && taken.as_secs() < 2, "{taken:?}");
}

fn processor_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}
