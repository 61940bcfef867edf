//! What outlives a process.

use std::iter;
use std::time::Duration;

use sse_proto::wire::{Event, EventName, IdField, Lines};
use sse_proto::{
    Age, Audience, ClientId, ClientKey, CloseReason, Config, ConnId, Dialect, Engine, Epoch, Full, Heap, Instant, KeptClient,
    KeptFrame, KeptTask, Limits, ListenError, Outcome, Output, Overrun, PublishError, RegisterError, Registration, Resume,
    Target, TaskError, TaskState,
};

#[test]
fn what_is_kept_of_an_engine_is_what_another_goes_on_with() {
    let new = |key| Engine::<Heap>::new(Config { retry: None, ..Config::default() }, Epoch(1), [key, key]).unwrap();
    let (mut lost, now) = (new(7), Instant::from_millis(1_000));
    let bob = lost.register(now, &Registration::new(ClientId::new("bob_1").unwrap())).unwrap();
    lost.listen(now, bob.client, "news").unwrap();
    for task in ["told", "job"] {
        lost.submit(now, bob.client, task).unwrap();
    }
    lost.complete_at(now, 1, Some(bob.client), "", "bob", "told", Outcome::Completed(Some("7"))).unwrap();
    assert!(written(&mut lost, bob.conn).contains("event:completed\n"));
    let passing = Registration { passing: true, ..Registration::new(ClientId::new("passing_1").unwrap()) };
    let passing = lost.register(now, &passing).unwrap();
    assert!(lost.kept_client("", "passing_1").is_some_and(|kept| kept.passing), "it is forgotten with its stream");
    let own =
        Event { id: Some(IdField::new(" own").unwrap()), event: Some(EventName::new("e").unwrap()), ..Event::data("a\nb") };
    lost.publish(now, Target::Topic("news"), &own).unwrap();
    lost.publish(now, Target::Clients(&[bob.client]), &Event::comment("chosen")).unwrap();
    lost.publish(now, Target::Connection(bob.conn), &Event::data("for this connection")).unwrap();
    lost.handle_disconnect(now, passing.conn).unwrap();
    lost.handle_disconnect(Instant::from_millis(2_000), bob.conn).unwrap();

    let mut found = new(8);
    let kept = lost.kept_client("", "bob_1").unwrap();
    assert_eq!(kept.since, Some(Instant::from_millis(2_000)));
    let client = found.restore_client(Instant::from_millis(9_000), &kept).unwrap();
    assert_eq!(found.restore_client(now, &kept), Ok(client), "once is enough");
    for (topic, from) in lost.kept_topics(kept.key) {
        assert_eq!((topic, from), ("news", 1), "it listens from the next event on");
        found.restore_topic(client, topic, from).unwrap();
    }
    for task in lost.kept_tasks(kept.key) {
        found.restore_task(client, &task).unwrap();
    }
    found.restore_position(lost.evicted(), lost.last_event_id().sequence);
    for frame in lost.kept_frames(0) {
        let members: Vec<_> = lost.kept_members(frame.sequence).map(|_| client).collect();
        let audience = if let Audience::Client(_) = frame.audience { Audience::Client(client) } else { frame.audience };
        found.restore_frame(&KeptFrame { audience, ..frame }, &members).unwrap();
    }
    assert_eq!(found.last_event_id(), lost.last_event_id());
    assert_eq!(found.kept_frames(0).count(), 3, "what was for one connection is for nobody who comes back");
    assert_eq!(found.kept_tasks(client).collect::<Vec<_>>(), lost.kept_tasks(kept.key).collect::<Vec<_>>());
    assert_eq!(found.kept_tasks(client).map(|task| task.sent).collect::<Vec<_>>(), [true, false]);
    assert_eq!(found.kept_topics(client).collect::<Vec<_>>(), [("news", 1)]);
    let back = Registration { resume: Resume::Earliest, ..Registration::new(ClientId::new("bob_1").unwrap()) };
    let conn = found.register(Instant::from_millis(9_000), &back).unwrap().conn;
    let wire = written(&mut found, conn);
    assert!(wire.ends_with("id:  own\nevent:e\ndata:a\ndata:b\n\n:chosen\nid:00000001-3\n\n"), "{wire:?}");
}

/// As if they had been issued there: reserved, lapsing when they would have, the oldest giving way.
#[test]
fn ids_that_were_issued_are_taken_in() {
    let at = Instant::from_millis;
    let limits = Limits { issued_ids: 2, ..Limits::default() };
    let new = |key| {
        let config = Config { issued_id_ttl: Duration::from_secs(600), limits, ..Config::default() };
        Engine::<Heap>::new(config, Epoch(1), [key, key]).unwrap()
    };
    let mut lost = new(7);
    let ids = [1_000, 2_000, 3_000].map(|issued| lost.allocate_id(at(issued), "g", "bob", &[0; 32]).unwrap());

    let mut found = new(8);
    for (issued, id) in [1_000, 2_000, 3_000].into_iter().zip(&ids) {
        found.restore_id(at(issued), "g", ClientId::new(id).unwrap()).unwrap();
    }
    assert_eq!(found.usage().issued_ids, 2);
    assert_eq!(found.find("g", &ids[1]), None, "issued is not registered");
    found.restored(at(9_000));
    let registration = Registration { group: "g", ..Registration::new(ClientId::new(&ids[2]).unwrap()) };
    assert!(!found.register(at(9_000), &registration).unwrap().returning);
    // Of the same entropy: the first is free again, the second and the third are taken.
    let more = [9_000, 9_001].map(|now| found.allocate_id(at(now), "g", "bob", &[0; 32]).unwrap());
    assert_eq!(more[0], ids[0]);
    assert!(!ids.contains(&more[1]), "{more:?}");
    let mut unused = |now| {
        found.handle_timeout(at(now));
        iter::from_fn(|| found.poll_output()).filter(|output| matches!(output, Output::Unused { .. })).count()
    };
    assert_eq!([unused(608_999), unused(609_000), unused(609_001)], [0, 1, 1]);

    let mut found = new(8);
    for issued in [3_000, 4_000] {
        found.restore_id(at(issued), "g", ClientId::new(&ids[2]).unwrap()).unwrap();
    }
    assert_eq!(found.usage().issued_ids, 1, "once is enough");
    found.restored(at(9_000));
    assert_eq!(found.poll_timeout(), Some(at(603_000)), "it counts from when it was issued");
}

#[test]
fn connections_that_somebody_else_holds_open_go_on_with_another_engine() {
    let new = |key| Engine::<Heap>::new(Config { retry: None, ..Config::default() }, Epoch(1), [key, key]).unwrap();
    let (mut lost, now) = (new(7), Instant::from_millis(1_000));
    let bob = Registration { topics: &["news"], ..Registration::new(ClientId::new("bob_1").unwrap()) };
    let bob = lost.register(now, &bob).unwrap();
    written(&mut lost, bob.conn);
    let passing = |id| Registration { passing: true, ..Registration::new(ClientId::new(id).unwrap()) };
    let stays = lost.register(now, &passing("stays_1")).unwrap();
    written(&mut lost, stays.conn);
    lost.register(now, &passing("goes_1")).unwrap();
    lost.publish(now, Target::Topic("news"), &Event::data("seen")).unwrap();
    assert!(written(&mut lost, bob.conn).ends_with("data:seen\nid:00000001-1\n\n"));
    lost.publish(now, Target::Topic("other"), &Event::data("for nobody")).unwrap();
    assert!(lost.is_caught_up(bob.conn) && lost.is_caught_up(stays.conn));

    let (mut found, later) = (new(8), Instant::from_millis(9_000));
    let mut keys = Vec::new();
    for id in ["bob_1", "stays_1", "goes_1"] {
        let kept = lost.kept_client("", id).unwrap();
        assert_eq!(kept.since, None, "who has a connection does not age");
        keys.push(found.restore_client(later, &kept).unwrap());
        for (topic, from) in lost.kept_topics(kept.key) {
            found.restore_topic(*keys.last().unwrap(), topic, from).unwrap();
        }
    }
    found.restore_position(lost.evicted(), lost.last_event_id().sequence);
    for frame in lost.kept_frames(0) {
        found.restore_frame(&frame, &[]).unwrap();
    }
    let conn = found.restore_connection(later, keys[0], Dialect::Named).unwrap();
    let other = found.restore_connection(later, keys[1], Dialect::Named).unwrap();
    found.restored(later);
    assert_eq!(found.find("", "goes_1"), None, "its connection was not taken in");
    assert_eq!(found.restore_connection(later, keys[2], Dialect::Named), None);
    assert_eq!(found.kept_client("", "bob_1").unwrap().since, None);
    assert_eq!(found.kept_client("", "bob_1").unwrap().registered, now);

    assert_eq!(written(&mut found, conn), "", "what it had is not given again");
    let beat = found.poll_timeout().unwrap();
    assert_eq!(beat, Instant::from_millis(24_000), "its silence counts from now on");
    found.publish(later, Target::Topic("news"), &Event::data("new")).unwrap();
    assert_eq!(written(&mut found, conn), "data:new\nid:00000001-3\n\n");
    assert!(found.is_caught_up(other));
    found.handle_disconnect(later, other).unwrap();
    assert_eq!(found.find("", "stays_1"), None, "it was passing, and still is");
    assert!(found.handle_disconnect(later, conn).unwrap().last);
    assert_eq!(found.kept_client("", "bob_1").unwrap().since, Some(later));
}

/// A connection that goes on is told in the words it began with, whoever tells: here the table, for the log has lost the frame.
#[test]
fn a_connection_that_goes_on_keeps_its_dialect() {
    let limits = Limits { log_entries: 1, ..Limits::default() };
    let config = Config { limits, retry: None, overrun: Overrun::Skip, ..Config::default() };
    let new = || Engine::<Heap>::new(config.clone(), Epoch(1), [7, 7]).unwrap();
    let (mut lost, now) = (new(), Instant::from_millis(1_000));
    let bob = Registration { dialect: Dialect::Manager, ..Registration::new(ClientId::new("bob_1").unwrap()) };
    lost.register(now, &bob).unwrap();

    let mut found = new();
    let client = found.restore_client(now, &lost.kept_client("", "bob_1").unwrap()).unwrap();
    let conn = found.restore_connection(now, client, Dialect::Manager).unwrap();
    found.restored(now);
    found.submit(now, client, "k").unwrap();
    found.complete_at(now, 1, Some(client), "", "bob", "k", Outcome::Completed(None)).unwrap();
    found.publish(now, Target::All, &Event::data("x")).unwrap();
    let wire = written(&mut found, conn);
    assert!(wire.contains("data:\"completed^") && wire.contains("event:gap\n") && wire.contains("data:x\n"), "{wire}");
}

/// What is kept outlives the configuration that it was kept under: one that passed and waits for a task is swept, once.
#[test]
fn a_client_that_passed_is_swept_whatever_its_age_was_counted_from_before() {
    let new = |age| Engine::<Heap>::new(Config { age, ..Config::default() }, Epoch(1), [7, 7]).unwrap();
    let (now, much_later) = (Instant::from_millis(1_000), Instant::from_millis(100_000_000));
    let ages = [Age::SinceLeft, Age::SinceRegistered];
    for (before, after) in ages.into_iter().flat_map(|before| ages.map(|after| (before, after))) {
        let (mut lost, mut found) = (new(before), new(after));
        let passing = Registration { passing: true, ..Registration::new(ClientId::new("bob_1").unwrap()) };
        let bob = lost.register(now, &passing).unwrap().client;
        lost.submit(now, bob, "job").unwrap();

        let client = found.restore_client(now, &lost.kept_client("", "bob_1").unwrap()).unwrap();
        for task in lost.kept_tasks(bob) {
            found.restore_task(client, &task).unwrap();
        }
        found.restored(now);
        assert!(found.is_known(client), "it waits for a task");
        found.handle_timeout(much_later);
        let gone = iter::from_fn(|| found.poll_output()).take(9).map(|output| match output {
            Output::Expired { client, id } => (client, String::from(id)),
            other => panic!("{other:?}"),
        });
        assert_eq!(gone.collect::<Vec<_>>(), [(client, "bob_1".to_owned())], "{before:?}, then {after:?}");
        assert_eq!(found.poll_timeout(), None);
    }
}

#[test]
fn what_is_taken_in_keeps_to_the_limits() {
    let limits = Limits { name_bytes: 20, topic_bytes: 30, frame_bytes: 300, ..Limits::default() };
    let mut found = Engine::<Heap>::new(Config { limits, ..Config::default() }, Epoch(1), [7, 7]).unwrap();
    let (now, long) = (Instant::from_millis(1_000), "x".repeat(31));
    let too_long = |what| RegisterError::TooLong { what, limit: 20 };
    assert_eq!(found.restore_client(now, &kept("", &long[..21])), Err(too_long("id")));
    assert_eq!(found.restore_client(now, &kept(&long[..21], "bob_1")), Err(too_long("group")));
    assert!(matches!(found.restore_client(now, &kept("a^b", "bob_1")), Err(RegisterError::Group(_))));
    assert_eq!(found.restore_id(now, "", ClientId::new(&long[..21]).unwrap()), Err(too_long("id")));
    assert_eq!(found.usage().clients, 0);
    let bob = found.restore_client(now, &kept(&long[..20], &long[..20])).unwrap();

    assert_eq!(found.restore_topic(bob, &long, 1), Err(ListenError::TooLong { limit: 30 }));
    assert!(matches!(found.restore_topic(bob, "", 1), Err(ListenError::Topic(_))));
    assert_eq!(found.restore_topic(bob, &long[..30], 1), Ok(()));

    let task = |name, detail| KeptTask { name, state: TaskState::Progress, detail, sequence: 0, ended: now, sent: false };
    assert_eq!(found.restore_task(bob, &task(&long[..21], None)), Err(TaskError::TooLong { limit: 20 }));
    assert!(matches!(found.restore_task(bob, &task("a/b", None)), Err(TaskError::Name(_))));
    let detail = "1".repeat(101);
    assert_eq!(found.restore_task(bob, &task("a", Some(&detail))), Err(TaskError::TooLarge));
    assert_eq!(found.restore_task(bob, &task("a", Some(&detail[..100]))), Ok(()));
    assert_eq!((found.topics(bob).count(), found.tasks(bob).count()), (1, 1));
}

/// A completion is known by its number while it is being sent: of two with one number, the second would end what the first began.
#[test]
fn no_two_completions_of_a_client_have_one_number() {
    let mut found = Engine::<Heap>::new(Config::default(), Epoch(1), [7, 7]).unwrap();
    let now = Instant::from_millis(1_000);
    let bob = Registration::new(ClientId::new("bob_1").unwrap());
    let bob = found.register(now, &bob).unwrap().client;
    found.restore_position(9, 9);
    let ended = KeptTask { name: "a", state: TaskState::Failed, detail: None, sequence: 5, ended: now, sent: false };
    found.restore_task(bob, &ended).unwrap();
    assert_eq!(found.restore_task(bob, &KeptTask { name: "b", ..ended }), Err(TaskError::AlreadyEnded));
    assert_eq!(found.restore_task(bob, &KeptTask { name: "b", sequence: 6, ..ended }), Ok(()));
    // What has not ended has no number yet.
    for name in ["c", "d"] {
        assert_eq!(found.restore_task(bob, &KeptTask { name, state: TaskState::Progress, ..ended }), Ok(()));
    }
    assert_eq!(found.kept_tasks(bob).map(|task| task.sequence).collect::<Vec<_>>(), [5, 6, 0, 0]);
}

/// Cursors stand between 0 and the highest number: no connection could be told of a completion or a frame outside.
#[test]
fn what_has_a_number_that_none_can_have_is_not_taken_in() {
    let (mut hub, now) = (Engine::<Heap>::new(Config::default(), Epoch(1), [7, 7]).unwrap(), Instant::from_millis(1_000));
    let bob = hub.restore_client(now, &kept("", "bob_1")).unwrap();
    for sequence in [0, u64::MAX] {
        let task = KeptTask { name: "a", state: TaskState::Completed, detail: None, sequence, ended: now, sent: false };
        assert_eq!(hub.restore_task(bob, &task), Err(TaskError::Full(Full::Sequence)), "{sequence}");
        let frame = KeptFrame {
            sequence,
            audience: Audience::All,
            id: None,
            lines: Lines::new(b"data:x\n").unwrap(),
            completes_task: false,
        };
        assert_eq!(hub.restore_frame(&frame, &[]), Err(PublishError::Full(Full::Sequence)), "{sequence}");
    }
    assert_eq!((hub.last_event_id().sequence, hub.usage().tasks, hub.usage().log_entries), (0, 0, 0));
    let ended = KeptTask { name: "a", state: TaskState::Failed, detail: None, sequence: 1, ended: now, sent: false };
    assert_eq!(hub.restore_task(bob, &ended), Ok(()));
    assert_eq!(hub.restore_task(bob, &KeptTask { name: "b", sequence: u64::MAX - 1, ..ended }), Ok(()));
}

/// What was sent gives way to what is new: a task that somebody works on is none of it, whatever was stored.
#[test]
fn a_task_that_has_not_ended_was_not_sent() {
    let limits = Limits { tasks_per_client: 1, ..Limits::default() };
    let (config, now) = (Config { limits, ..Config::default() }, Instant::from_millis(1_000));
    let mut hub = Engine::<Heap>::new(config, Epoch(1), [7, 7]).unwrap();
    let bob = hub.restore_client(now, &kept("", "bob_1")).unwrap();
    let at_work = KeptTask { name: "a", state: TaskState::Progress, detail: None, sequence: 0, ended: now, sent: true };
    hub.restore_task(bob, &at_work).unwrap();
    assert_eq!(hub.submit(now, bob, "b"), Err(TaskError::Full(Full::Tasks)));
    assert_eq!(hub.kept_tasks(bob).map(|task| (task.name, task.sent)).collect::<Vec<_>>(), [("a", false)]);
}

/// Who is told to come back is told when, however late the hub learns of the connection.
#[test]
fn a_connection_that_goes_on_with_a_hub_that_shuts_down_is_told_farewell() {
    let (mut hub, now) = (Engine::<Heap>::new(Config::default(), Epoch(1), [7, 7]).unwrap(), Instant::from_millis(1_000));
    let bob = hub.restore_client(now, &kept("", "bob_1")).unwrap();
    hub.drain(now, 2_000, 2_000);
    let conn = hub.restore_connection(now, bob, Dialect::Named).unwrap();
    assert_eq!(hub.poll_timeout(), Some(now));
    assert_eq!(hub.poll_output(), Some(Output::Write(conn)));
    let mut slices = [&b""[..]; 4];
    assert_eq!(hub.transmit(conn, &mut slices), Ok(1));
    let written = slices[0].len();
    assert_eq!(slices[0], b"retry:2000\n\n");
    hub.handle_written(now, conn, written).unwrap();
    assert!(matches!(hub.poll_output(), Some(Output::Close { reason: CloseReason::Drained, last: true, .. })));
}

#[test]
fn connections_that_are_taken_in_keep_to_the_limit_of_their_client() {
    let limits = Limits { connections_per_client: 2, ..Limits::default() };
    let mut hub = Engine::<Heap>::new(Config { limits, ..Config::default() }, Epoch(1), [7, 7]).unwrap();
    let now = Instant::from_millis(1_000);
    let [bob, ann] = ["bob_1", "ann_1"].map(|id| hub.restore_client(now, &kept("", id)).unwrap());
    let taken_in = [bob, bob, bob, ann].map(|client| hub.restore_connection(now, client, Dialect::Named).is_some());
    assert_eq!(taken_in, [true, true, false, true]);
    assert_eq!(hub.usage().connections, 3);
}

/// An id that is reserved here and was registered there is one client, not two.
#[test]
fn a_client_is_taken_in_under_the_id_that_was_reserved_for_it() {
    let (mut hub, now) = (Engine::<Heap>::new(Config::default(), Epoch(1), [7, 7]).unwrap(), Instant::from_millis(1_000));
    hub.restore_id(now, "", ClientId::new("bob_1").unwrap()).unwrap();
    let bob = hub.restore_client(now, &kept("", "bob_1")).unwrap();
    assert_eq!((hub.usage().clients, hub.usage().issued_ids), (1, 0));
    assert_eq!(hub.find("", "bob_1"), Some(bob));
    let registered = hub.register(now, &Registration::new(ClientId::new("bob_1").unwrap())).unwrap();
    assert_eq!((registered.client, registered.returning), (bob, true));
    hub.handle_timeout(Instant::from_millis(1_000_000));
    assert!(!iter::from_fn(|| hub.poll_output()).any(|output| matches!(output, Output::Unused { .. })));
}

/// A completion gives way to a task of its name, and to nothing else what another one keeps.
#[test]
fn a_task_that_is_taken_in_twice_keeps_to_the_bytes_there_are() {
    let limits = Limits { tasks_per_client: 2, detail_bytes: 10, ..Limits::default() };
    let mut hub = Engine::<Heap>::new(Config { limits, ..Config::default() }, Epoch(1), [7, 7]).unwrap();
    let now = Instant::from_millis(1_000);
    let bob = hub.restore_client(now, &kept("", "bob_1")).unwrap();
    let task = |name, detail, sequence, sent| {
        let (state, detail) = (TaskState::Completed, Some(detail));
        KeptTask { name, state, detail, sequence, ended: now, sent }
    };
    hub.restore_task(bob, &task("sent", "12345678", 1, true)).unwrap();
    hub.restore_task(bob, &task("twice", "1", 2, false)).unwrap();
    let refused = hub.restore_task(bob, &task("twice", "12345678", 3, false));
    assert_eq!(refused, Err(TaskError::Full(Full::Details)));
    assert_eq!(hub.tasks(bob).filter_map(|task| task.detail).collect::<Vec<_>>(), ["12345678", "1"]);
    hub.restore_task(bob, &task("twice", "12", 3, false)).unwrap();
    assert_eq!(hub.kept_tasks(bob).map(|task| (task.name, task.sequence)).collect::<Vec<_>>(), [("sent", 1), ("twice", 3)]);
}

/// The number of a completion was given out, whatever else was lost: no other gets it.
#[test]
fn numbers_of_completions_that_are_taken_in_were_given_out() {
    let (mut hub, now) = (Engine::<Heap>::new(Config::default(), Epoch(1), [7, 7]).unwrap(), Instant::from_millis(1_000));
    let bob = hub.restore_client(now, &kept("", "bob_1")).unwrap();
    let ended = KeptTask { name: "a", state: TaskState::Completed, detail: None, sequence: 5, ended: now, sent: false };
    hub.restore_task(bob, &ended).unwrap();
    hub.complete_at(now, 5, Some(bob), "", "bob", "b", Outcome::Completed(None)).unwrap();
    assert_eq!(hub.kept_tasks(bob).map(|task| task.sequence).collect::<Vec<_>>(), [5, 6]);
}

/// Where a connection stands is a number: of frames that are older, or of one number for the same clients, it would lose some.
#[test]
fn frames_are_taken_in_oldest_first_or_not_at_all() {
    let (mut hub, now) = (Engine::<Heap>::new(Config::default(), Epoch(1), [7, 7]).unwrap(), Instant::from_millis(1_000));
    let [bob, ann] = ["bob_1", "ann_1"].map(|id| hub.restore_client(now, &kept("", id)).unwrap());
    hub.restore_position(3, 9);
    let mut restore = |sequence, audience| {
        let frame = KeptFrame { sequence, audience, id: None, lines: Lines::new(b"data:x\n").unwrap(), completes_task: false };
        hub.restore_frame(&frame, &[])
    };
    let refused = Err(PublishError::Full(Full::Sequence));
    assert_eq!(restore(2, Audience::All), Ok(()), "it had left");
    assert_eq!(restore(5, Audience::Client(bob)), Ok(()));
    assert_eq!(restore(5, Audience::Client(bob)), refused);
    assert_eq!(restore(5, Audience::Client(ann)), Ok(()));
    assert_eq!(restore(5, Audience::All), refused);
    assert_eq!(restore(4, Audience::Client(ann)), refused);
    assert_eq!(restore(6, Audience::All), Ok(()));
    assert_eq!(restore(6, Audience::All), refused);
    assert_eq!(restore(6, Audience::Client(ann)), refused);
    assert_eq!(restore(5, Audience::Client(ann)), refused);
    assert_eq!(hub.kept_frames(0).map(|frame| frame.sequence).collect::<Vec<_>>(), [5, 5, 6]);
    assert_eq!(hub.evicted(), 3, "what had left did not come back to leave again");
}

/// What comes of a task is told to each client of a user under one number: where one of these frames has left, the others are kept.
#[test]
fn what_is_left_of_frames_with_one_number_is_taken_in() {
    let config = Config { limits: Limits { log_entries: 1, ..Limits::default() }, ..Config::default() };
    let now = Instant::from_millis(1_000);
    let [mut lost, mut found] = [(); 2].map(|()| Engine::<Heap>::new(config.clone(), Epoch(1), [7, 7]).unwrap());
    for hub in [&mut lost, &mut found] {
        for id in ["bob_1", "bob_2"] {
            hub.restore_client(now, &kept("", id)).unwrap();
        }
    }
    lost.complete_at(now, 5, None, "", "bob", "tea", Outcome::Completed(None)).unwrap();
    found.restore_position(lost.evicted(), lost.last_event_id().sequence);
    for frame in lost.kept_frames(0) {
        found.restore_frame(&frame, &[]).unwrap();
    }
    for hub in [lost, found] {
        assert_eq!((hub.evicted(), hub.kept_frames(0).map(|frame| frame.sequence).collect::<Vec<_>>()), (5, vec![5]));
    }
}

fn kept<'a>(group: &'a str, id: &'a str) -> KeptClient<'a> {
    KeptClient {
        key: ClientKey::NONE,
        group,
        id: ClientId::new(id).unwrap(),
        dialect: Dialect::Named,
        registered: Instant::from_millis(1_000),
        since: None,
        passing: false,
    }
}

/// Everything that waits for `conn`, taken at once.
fn written(engine: &mut Engine<Heap>, conn: ConnId) -> String {
    let mut wire = Vec::new();
    while engine.poll_output().is_some() {
        loop {
            let mut slices = [&b""[..]; 4];
            let filled = engine.transmit(conn, &mut slices).unwrap();
            let written = slices[..filled].concat();
            engine.handle_written(Instant::from_millis(1_000), conn, written.len()).unwrap();
            wire.extend_from_slice(&written);
            if written.is_empty() {
                break;
            }
        }
    }
    String::from_utf8(wire).unwrap()
}
