//! The engine in fixed memory: what it takes, what it refuses, and that nothing panics when it is full.

use sse_proto::storage::fixed::{
    Clients, Connections, DetailBytes, Fixed, FrameBytes, Labels, LogBytes, LogEntries, Subscriptions, Tasks, TextBytes,
};
use sse_proto::wire::{Event, IdField};
use sse_proto::{
    ClientId, ClientKey, Config, ConfigError, ConnId, Engine, Epoch, Full, GapReason, Heap, IdError, IdForm, Instant, Limits,
    ListenError, Memory, Outcome, PublishError, RegisterError, Registered, Registration, Resume, Storage, Target, TaskError,
};

#[path = "../firmware/src/shapes.rs"]
mod shapes;

use self::shapes::{House, Lamp, Room};

/// docs/memory.md says so; `cargo bench -p sse-proto --bench engine` prints it.
#[test]
#[cfg(target_pointer_width = "64")]
fn an_engine_is_as_large_as_the_documentation_says() {
    let sizes = [size_of::<Engine<Lamp>>(), size_of::<Engine<Room>>(), size_of::<Engine<House>>()];
    assert_eq!(row_of_the_documentation("| 64-bit |"), sizes);
    assert_eq!(size_of::<Memory<House>>(), sizes[2]);
}

/// What the firmware says, which is built for 32 bits, stands there too.
#[test]
fn an_engine_on_32_bits_is_as_large_as_the_documentation_says() {
    let golden = include_str!("../firmware/wire.golden");
    let told = golden.lines().find_map(|line| line.strip_prefix("bytes of an engine: ")).unwrap();
    let sizes: Vec<usize> = told.split(", ").map(|size| size.parse().unwrap()).collect();
    assert_eq!(row_of_the_documentation("| 32-bit |"), sizes);
}

fn row_of_the_documentation(name: &str) -> Vec<usize> {
    let docs = include_str!("../../docs/memory.md");
    let row = docs.lines().find(|line| line.starts_with(name)).expect("the table of docs/memory.md");
    row.split('|').filter_map(|cell| cell.trim().replace(',', "").parse().ok()).collect()
}

const NOW: Instant = Instant::from_millis(1_000);

/// Two of everything, but of what there is one.
type Tiny = Fixed<
    Connections<2>,
    Clients<2>,
    Labels<5>,
    Subscriptions<2>,
    Tasks<1>,
    DetailBytes<8>,
    LogBytes<600>,
    LogEntries<2>,
    FrameBytes<256>,
    TextBytes<12>,
>;

/// Labels for two clients of one group and two topics.
type Crowded = Fixed<
    Connections<2>,
    Clients<3>,
    Labels<5>,
    Subscriptions<4>,
    Tasks<0>,
    DetailBytes<0>,
    LogBytes<600>,
    LogEntries<8>,
    FrameBytes<256>,
    TextBytes<40>,
>;

fn tiny() -> Engine<Tiny> {
    tiny_with(Tiny::CAPACITY)
}

fn tiny_with(limits: Limits) -> Engine<Tiny> {
    Engine::new(Config { limits, ..Config::default() }, Epoch(1), [1, 2]).unwrap()
}

fn register(engine: &mut Engine<Tiny>, id: &str) -> Result<Registered, RegisterError> {
    engine.register(NOW, &Registration::new(ClientId::new(id).unwrap()))
}

fn client(engine: &mut Engine<Tiny>, id: &str) -> ClientKey {
    register(engine, id).unwrap().client
}

#[test]
fn limits_above_the_capacity_are_refused_by_name() {
    let config = |change: fn(&mut Limits)| {
        let mut limits = Tiny::CAPACITY;
        change(&mut limits);
        Engine::<Tiny>::new(Config { limits, ..Config::default() }, Epoch(1), [1, 2]).map(|_| ())
    };
    assert_eq!(config(|_| {}), Ok(()));
    type Change = (&'static str, fn(&mut Limits));
    let changes: [Change; 16] = [
        ("connections", |l| l.connections += 1),
        ("clients", |l| l.clients += 1),
        ("issued_ids", |l| l.issued_ids += 1),
        ("connections_per_client", |l| l.connections_per_client += 1),
        ("groups", |l| l.groups += 1),
        ("topics", |l| l.topics += 1),
        ("topics_per_client", |l| l.topics_per_client += 1),
        ("subscriptions", |l| l.subscriptions += 1),
        ("tasks_per_client", |l| l.tasks_per_client += 1),
        ("tasks", |l| l.tasks += 1),
        ("detail_bytes", |l| l.detail_bytes += 1),
        ("name_bytes", |l| l.name_bytes += 1),
        ("topic_bytes", |l| l.topic_bytes += 1),
        ("frame_bytes", |l| l.frame_bytes += 1),
        ("log_bytes", |l| l.log_bytes += 1),
        ("log_entries", |l| l.log_entries += 1),
    ];
    for (limit, change) in changes {
        let must_be = "within the capacity of the storage";
        assert_eq!(config(change), Err(ConfigError { limit, must_be }));
    }
    let refused = Engine::<Tiny>::new(Config::default(), Epoch(1), [1, 2]).err().unwrap();
    assert_eq!(refused.to_string(), "the limit connections must be within the capacity of the storage");
}

#[test]
fn memory_begins_where_it_is() {
    // A constant, as in a static.
    const MEMORY: Memory<Tiny> = Memory::new();
    const CONFIG: Config = {
        let config = Config { limits: Tiny::CAPACITY, ..Config::DEFAULT };
        assert!(config.check_for::<Tiny>().is_ok());
        config
    };
    let memory = Box::leak(Box::new(MEMORY));
    let at = std::ptr::from_ref(memory).addr();
    let engine = memory.begin(CONFIG, Epoch(3), [1, 2]).unwrap();
    assert_eq!(std::ptr::from_ref(engine).addr(), at);
    assert_eq!(engine.config(), &CONFIG);
    let id = engine.publish(NOW, Target::All, &Event::data("x")).unwrap();
    assert_eq!(id.to_string(), "00000003-1");

    let memory = Box::leak(Box::new(MEMORY));
    let refused = memory.begin(Config::default(), Epoch(3), [1, 2]).err();
    assert_eq!(refused.map(|error| error.limit), Some("connections"));
}

/// However a storage keeps a text, it shows as it is.
#[test]
fn texts_show_as_they_are() {
    let config = Config { limits: Tiny::CAPACITY, id_form: IdForm::Short, ..Config::default() };
    let id = Engine::<Tiny>::new(config, Epoch(1), [1, 2]).unwrap().allocate_id(NOW, "", "b", &[0; 32]).unwrap();
    assert_eq!([id.to_string(), format!("{id:?}")], ["b_aaaaaaaa", "\"b_aaaaaaaa\""]);
    for name in ["b", &"b".repeat(40)] {
        let mut engine = Engine::<Heap>::new(Config::default(), Epoch(1), [1, 2]).unwrap();
        let id = engine.allocate_id(NOW, "", name, &[0; 32]).unwrap();
        let expected = format!("{name}_{}", "a".repeat(26));
        assert_eq!(
            [id.to_string(), format!("{id:?}"), String::from(id)],
            [expected.clone(), format!("{expected:?}"), expected]
        );
    }
}

#[test]
fn registering_says_which_table_is_full() {
    let mut engine = tiny();
    register(&mut engine, "a_1").unwrap();
    register(&mut engine, "a_1").unwrap();
    assert_eq!(register(&mut engine, "a_1").err(), Some(RegisterError::Full(Full::Connections)));
    assert_eq!(register(&mut engine, "b_1").err(), Some(RegisterError::Full(Full::Connections)));

    let mut engine = tiny_with(Limits { connections_per_client: 1, ..Tiny::CAPACITY });
    register(&mut engine, "a_1").unwrap();
    assert_eq!(register(&mut engine, "a_1").err(), Some(RegisterError::Full(Full::ConnectionsOfClient)));

    let mut engine = tiny();
    for id in ["a_1", "b_1"] {
        let Registered { conn, .. } = register(&mut engine, id).unwrap();
        engine.handle_disconnect(NOW, conn).unwrap();
    }
    assert_eq!(register(&mut engine, "c_1").err(), Some(RegisterError::Full(Full::Clients)));

    // The default group, two user names, two topics: no third one, nor a group.
    let mut engine = tiny();
    let wish = |id, topics| Registration { topics, ..Registration::new(ClientId::new(id).unwrap()) };
    engine.register(NOW, &wish("a_1", &["t1"])).unwrap();
    let full = engine.register(NOW, &wish("b_1", &["t2", "t3"])).err();
    assert_eq!(full, Some(RegisterError::Full(Full::Subscriptions)));
    let other_group = Registration { group: "red", ..wish("b_1", &["t2"]) };
    let full = engine.register(NOW, &other_group).err();
    assert_eq!(full, Some(RegisterError::Full(Full::Topics)));
    engine.register(NOW, &wish("b_1", &["t2"])).unwrap();
    assert_eq!(engine.usage().topics, 2);
}

#[test]
fn texts_that_are_too_long_are_refused() {
    let mut engine = tiny();
    let long = "a-name-of-more-than-twelve-bytes_1";
    assert_eq!(register(&mut engine, long).err(), Some(RegisterError::TooLong { what: "id", limit: 12 }));
    let wish = Registration { group: long, ..Registration::new(ClientId::new("a_1").unwrap()) };
    assert_eq!(engine.register(NOW, &wish).err(), Some(RegisterError::TooLong { what: "group", limit: 12 }));
    let wish = Registration { topics: &[long], ..Registration::new(ClientId::new("a_1").unwrap()) };
    assert_eq!(engine.register(NOW, &wish).err(), Some(RegisterError::TooLong { what: "topic", limit: 12 }));
    assert_eq!(engine.usage().clients, 0);

    let key = client(&mut engine, "exactly_12_1");
    assert_eq!(engine.listen(NOW, key, long), Err(ListenError::TooLong { limit: 12 }));
    assert_eq!(engine.listen(NOW, key, "exactly 12 b"), Ok(true));
    assert_eq!(engine.submit(NOW, key, long), Err(TaskError::TooLong { limit: 12 }));
    assert_eq!(engine.submit(NOW, key, "exactly-12-b"), Ok(()));
    let event = Event::data("x");
    for target in [Target::Topic(long), Target::Group(long), Target::UserName(long)] {
        assert_eq!(engine.publish(NOW, target, &event), Err(PublishError::TooLong { limit: 12 }));
    }
    assert_eq!(engine.allocate_id(NOW, "", "a", &[0; 32]), Err(IdError::TooLong { limit: 12 }));
}

#[test]
fn listening_says_which_table_is_full() {
    let mut engine = tiny();
    let key = client(&mut engine, "a_1");
    assert_eq!((engine.listen(NOW, key, "t1"), engine.listen(NOW, key, "t2")), (Ok(true), Ok(true)));
    assert_eq!(engine.listen(NOW, key, "t2"), Ok(false));
    assert_eq!(engine.listen(NOW, key, "t3"), Err(ListenError::Full(Full::Subscriptions)));
    assert_eq!(engine.unlisten(NOW, key, "t1"), Ok(true));
    assert_eq!(engine.listen(NOW, key, "t3"), Ok(true));

    let mut engine = tiny_with(Limits { topics: 1, ..Tiny::CAPACITY });
    let key = client(&mut engine, "a_1");
    engine.listen(NOW, key, "t1").unwrap();
    assert_eq!(engine.listen(NOW, key, "t2"), Err(ListenError::Full(Full::Topics)));
}

#[test]
fn ids_are_allocated_until_clients_are_full() {
    let short = |limits| Config { limits, id_form: IdForm::Short, ..Config::default() };
    let mut engine: Engine<Tiny> = Engine::new(short(Tiny::CAPACITY), Epoch(1), [1, 2]).unwrap();
    register(&mut engine, "a_1").unwrap();
    engine.allocate_id(NOW, "", "b", &[1; 32]).unwrap();
    assert_eq!(engine.allocate_id(NOW, "", "b", &[2; 32]), Err(IdError::Full(Full::Clients)));
    assert_eq!((engine.usage().clients, engine.usage().issued_ids), (2, 1));

    // Where few ids may be issued, the oldest one gives way.
    let limits = Limits { issued_ids: 1, ..Tiny::CAPACITY };
    let mut engine: Engine<Tiny> = Engine::new(short(limits), Epoch(1), [1, 2]).unwrap();
    register(&mut engine, "a_1").unwrap();
    for entropy in 0..100 {
        engine.allocate_id(NOW, "", "b", &[entropy; 32]).unwrap();
    }
    assert_eq!((engine.usage().clients, engine.usage().issued_ids), (2, 1));
}

#[test]
fn the_log_forgets_what_is_oldest_and_refuses_what_it_never_holds() {
    let mut engine = tiny();
    for index in 1..=100 {
        assert_eq!(engine.publish(NOW, Target::All, &Event::data("x")).unwrap().sequence, index);
        assert!(engine.usage().log_entries <= 2);
    }
    let long = "x".repeat(300);
    let refused = engine.publish(NOW, Target::All, &Event::data(&long)).err().unwrap();
    assert!(matches!(refused, PublishError::TooLarge { limit: 256, .. }), "{refused}");
    // Two frames of 200 bytes and a third one: bytes run out before entries do.
    let event = Event::data(&long[..200]);
    for _ in 0..10 {
        engine.publish(NOW, Target::All, &event).unwrap();
    }
    let Registered { client, .. } = register(&mut engine, "a_1").unwrap();
    let members = [client; 80];
    let refused = engine.publish(NOW, Target::Clients(&members), &Event::data("x")).err();
    assert!(matches!(refused, Some(PublishError::TooLarge { .. })), "{refused:?}");
    engine.publish(NOW, Target::Clients(&members[..60]), &Event::data("x")).unwrap();
    assert_eq!(engine.usage().log_entries, 1);
    let id = IdField::new("an id of the application's own").unwrap();
    for _ in 0..10 {
        engine.publish(NOW, Target::All, &Event { id: Some(id), ..Event::data("x") }).unwrap();
    }
}

#[test]
fn publishing_to_more_names_than_there_is_room_for_makes_history_give_way() {
    let mut engine = tiny_with(Limits { log_entries: 2, ..Tiny::CAPACITY });
    for index in 0..100 {
        let topic = format!("t{index}");
        engine.publish(NOW, Target::Topic(&topic), &Event::data("x")).unwrap();
        let name = format!("n{index}");
        engine.publish(NOW, Target::UserName(&name), &Event::data("x")).unwrap();
    }
    // Everything is taken by who is here: nobody else can be named.
    let mut engine = tiny();
    let (a, b) = (client(&mut engine, "a_1"), client(&mut engine, "b_1"));
    engine.listen(NOW, a, "t1").unwrap();
    engine.listen(NOW, b, "t2").unwrap();
    let full = engine.publish(NOW, Target::Topic("t3"), &Event::data("x"));
    assert_eq!(full, Err(PublishError::Full(Full::Topics)));
    let full = engine.publish(NOW, Target::UserName("c"), &Event::data("x"));
    assert_eq!(full, Err(PublishError::Full(Full::Clients)));
    let full = engine.publish(NOW, Target::Group("red"), &Event::data("x"));
    assert_eq!(full, Err(PublishError::Full(Full::Groups)));
    engine.publish(NOW, Target::Topic("t2"), &Event::data("x")).unwrap();
}

/// Names that only history knows give way to who comes: as many of the oldest frames go as it takes, and none when that does not help.
#[test]
fn history_gives_way_to_who_comes() {
    let history = |engine: &Engine<Crowded>| engine.usage().log_entries;
    let full_of_history = || {
        let mut engine =
            Engine::<Crowded>::new(Config { limits: Crowded::CAPACITY, ..Config::default() }, Epoch(1), [1, 2]).unwrap();
        for topic in ["t1", "t2", "t3", "t4", "t5"] {
            engine.publish(NOW, Target::Topic(topic), &Event::data("x")).unwrap();
        }
        assert_eq!((history(&engine), engine.usage().topics), (5, 5));
        engine
    };
    // The default group and a user name: the two oldest frames go. Another name: one more.
    let mut engine = full_of_history();
    let a = engine.register(NOW, &Registration::new(ClientId::new("a_1").unwrap())).unwrap().client;
    assert_eq!(history(&engine), 3);
    let id = engine.allocate_id(NOW, "", "b", &[0; 32]).unwrap();
    assert_eq!((history(&engine), &id[..2]), (2, "b_"));
    // What history has a name for costs nothing.
    engine.listen(NOW, a, "t5").unwrap();
    assert_eq!(history(&engine), 2);
    engine.listen(NOW, a, "t6").unwrap();
    assert_eq!(history(&engine), 1);
    // Five are here, and nothing but "t5" is in the log: there is nothing to give way.
    assert_eq!(engine.listen(NOW, a, "t7"), Err(ListenError::Full(Full::Topics)));
    let wish = |id, topics| Registration { topics, ..Registration::new(ClientId::new(id).unwrap()) };
    let refused = engine.register(NOW, &wish("c_1", &[])).err();
    assert_eq!(refused, Some(RegisterError::Full(Full::Clients)));
    assert_eq!(history(&engine), 1);

    // All at once, what is asked for twice counted once; who would not fit even without history leaves it alone.
    let mut engine = full_of_history();
    let refused = engine.register(NOW, &wish("a_1", &["u1", "u2", "u3", "u4"])).err();
    assert_eq!((refused, history(&engine)), (Some(RegisterError::Full(Full::Topics)), 5));
    let registered =
        engine.register(NOW, &Registration { resume: Resume::After("00000001-1"), ..wish("a_1", &["u1", "u1", "t5"]) });
    // The stream starts where history does by then.
    assert_eq!((registered.unwrap().gap, history(&engine)), (Some(GapReason::Evicted), 2));
}

#[test]
fn tasks_say_what_there_is_no_room_for() {
    let mut engine = tiny();
    let key = client(&mut engine, "a_1");
    engine.submit(NOW, key, "k1").unwrap();
    assert_eq!(engine.submit(NOW, key, "k2"), Err(TaskError::Full(Full::Tasks)));
    assert_eq!(engine.progress_at(NOW, 0, key, "k1", "123456789"), Err(TaskError::TooLarge));
    assert_eq!(engine.progress_at(NOW, 0, key, "k1", "12345678"), Ok(()));
    let complete = |engine: &mut Engine<Tiny>, task, result| {
        engine.complete_at(NOW, 0, Some(key), "", "a", task, Outcome::Completed(Some(result)))
    };
    assert_eq!(complete(&mut engine, "k1", "123456789"), Err(TaskError::TooLarge));
    assert_eq!(engine.tasks(key).next().unwrap().detail, Some("12345678"));
    assert_eq!(complete(&mut engine, "k2", "1"), Err(TaskError::Full(Full::Tasks)));
    assert_eq!(complete(&mut engine, "k1", "1"), Ok(()));
    // It was not sent yet: it stays.
    assert_eq!(engine.submit(NOW, key, "k2"), Err(TaskError::Full(Full::Tasks)));
}

/// A table that is full is as good as new when it was emptied.
#[test]
fn what_is_let_go_of_can_be_used_again() {
    let mut engine = tiny();
    for round in 0..1_000 {
        let ids = [format!("a{round}_1"), format!("b{round}_1")];
        let conns: Vec<ConnId> = ids.iter().map(|id| register(&mut engine, id).unwrap().conn).collect();
        assert!(register(&mut engine, "c_1").is_err());
        let key = engine.client_of(conns[0]).unwrap();
        engine.listen(NOW, key, &format!("t{round}")).unwrap();
        engine.submit(NOW, key, "k").unwrap();
        engine.clear(NOW, true);
        while engine.poll_output().is_some() {}
        assert_eq!((engine.usage().connections, engine.usage().clients, engine.usage().tasks), (0, 0, 0));
    }
}
