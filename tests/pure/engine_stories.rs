//! What the engine does, one story per behaviour. The harness checks every law after every step of them too.

use core::time::Duration;

use sse_proto::wire::{Event, EventName, IdField};
use sse_proto::{
    Age, Audience, ClientId, CloseReason, Config, ConnId, Dialect, Engine, Epoch, EventIds, Full, GapReason, Greeting, Heap,
    IdError, IdForm, Instant, KeptFrame, Limits, Outcome, Output, Overrun, PublishError, RegisterError, Registered,
    Registration, Resume, Stale, Target, TaskError,
};
use sse_tests::harness::Harness;

/// Small, and without what most stories are not about.
fn quiet() -> Config {
    Config {
        limits: Limits { frame_bytes: 1024, log_bytes: 8 * 1024, ..Limits::default() },
        heartbeat: None,
        write_stall: None,
        retry: None,
        ..Config::default()
    }
}

/// A log of so many frames.
fn log_of(log_entries: u32) -> Config {
    let limits = Limits { log_entries, ..quiet().limits };
    Config { limits, ..quiet() }
}

fn wish(id: &str) -> Registration<'_> {
    Registration::new(ClientId::new(id).unwrap())
}

#[test]
fn a_group_is_checked_when_an_id_is_allocated_too() {
    let mut hub = Harness::new(quiet());
    let answer = hub.allocate("no^group", "bob", [0; 32]);
    assert!(matches!(answer, Err(IdError::Group(_))));
    let answer = hub.allocate(&"g".repeat(129), "bob", [0; 32]);
    assert_eq!(answer, Err(IdError::TooLong { limit: 128 }));
}

#[test]
fn a_topic_asked_for_twice_counts_once() {
    let limits = Limits { topics: 1, topics_per_client: 1, subscriptions: 1, ..quiet().limits };
    let mut hub = Harness::new(Config { limits, ..quiet() });
    hub.register(&Registration { topics: &["t", "t"], ..wish("bob_1") }).unwrap();
}

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

/// `bob_1` was here, left, and meanwhile its task `k` was completed.
fn an_away_completion(config: Config) -> (Harness, Registered) {
    let mut hub = Harness::new(config);
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.submit(bob.client, "k").unwrap();
    hub.disconnect(bob.conn).unwrap();
    hub.complete(bob.client, "k", Some("1"));
    (hub, bob)
}

#[test]
fn a_notice_is_finished_in_the_dialect_it_was_begun_in() {
    let (mut hub, _) = an_away_completion(quiet());
    let first = hub.connect("bob_1");
    while hub.poll().is_some() {}
    hub.write(first.conn, usize::MAX, 1).unwrap();
    hub.write(first.conn, 20, 1).unwrap();
    let dialect = Dialect::Manager;
    hub.register(&Registration { dialect, ..wish("bob_1") }).unwrap();
    hub.flush(first.conn);
    assert!(hub.read(first.conn).contains(",\"result\":1}\nid:"));
}

#[test]
fn a_gap_is_told_before_the_completions_that_lie_in_it() {
    let mut hub = Harness::new(log_of(2));
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.disconnect(bob.conn).unwrap();
    hub.publish(Target::All, "lost");
    hub.complete(bob.client, "k", Some("1"));
    hub.publish(Target::All, "3");
    hub.publish(Target::All, "4");
    let bob = hub.resume("bob_1", "00000007-0");
    assert_eq!(bob.gap, Some(GapReason::Evicted));
    hub.drive();
    assert_eq!(
        hub.read(bob.conn),
        "event:connected\ndata:{\"client\":\"bob_1\"}\n\n\
         event:gap\ndata:{\"reason\":\"evicted\"}\n\n\
         event:completed\n\
         data:{\"task\":\"k\",\"client\":\"bob_1\",\"timestamp\":1000,\"result\":1}\nid:00000007-2\n\n\
         data:3\nid:00000007-3\n\n\
         data:4\nid:00000007-4\n\n"
    );
}

#[test]
fn a_slow_reader_that_skips_is_told_the_completions_it_skipped() {
    let overrun = Overrun::Skip;
    let mut hub = Harness::new(Config { overrun, ..log_of(2) });
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.read(bob.conn);
    hub.complete(bob.client, "k", Some("1"));
    for data in ["2", "3", "4"] {
        hub.publish(Target::All, data);
    }
    hub.drive();
    assert_eq!(
        hub.read(bob.conn),
        "event:gap\ndata:{\"reason\":\"overrun\"}\n\n\
         event:completed\n\
         data:{\"task\":\"k\",\"client\":\"bob_1\",\"timestamp\":1000,\"result\":1}\nid:00000007-2\n\n\
         data:3\nid:00000007-3\n\n\
         data:4\nid:00000007-4\n\n"
    );
}

#[test]
fn a_stream_carries_an_id_even_if_the_completion_that_should_bring_it_is_gone() {
    let (mut hub, bob) = an_away_completion(quiet());
    let conn = hub.connect("bob_1").conn;
    while hub.poll().is_some() {}
    hub.write(conn, usize::MAX, 1).unwrap();
    hub.submit(bob.client, "k").unwrap();
    hub.flush(conn);
    assert_eq!(hub.read(conn), "event:connected\ndata:{\"client\":\"bob_1\"}\n\nid:00000007-1\n\n");
}

#[test]
fn a_publish_that_fails_leaves_history_alone() {
    let limits = Limits { topics: 1, ..quiet().limits };
    let mut hub = Harness::new(Config { limits, ..quiet() });
    let bob = hub.connect("bob_1");
    hub.listen(bob.client, "t").unwrap();
    hub.publish(Target::All, "kept");
    let answer = hub.publish_at(0, Target::Topic("u"), &Event::data("x"));
    assert_eq!(answer, Err(PublishError::Full(Full::Topics)));
    assert_eq!(hub.engine().usage().log_entries, 1);
}

/// A client was forgotten and comes back with two streams: what one asks for from early on, the other's later start takes nothing of.
#[test]
fn a_topic_asked_for_in_a_resume_starts_there_even_if_the_client_listens_from_later_on() {
    let mut hub = Harness::new(quiet());
    hub.publish(Target::Topic("t"), "1");
    hub.publish(Target::Topic("t"), "2");
    hub.register(&Registration { topics: &["t"], ..wish("bob_1") }).unwrap();
    let early = Registration { topics: &["t"], resume: Resume::After("00000007-1"), ..wish("bob_1") };
    let early = hub.register(&early).unwrap();
    hub.drive();
    assert!(hub.read(early.conn).ends_with("\n\ndata:2\nid:00000007-2\n\n"));
}

#[test]
fn a_topic_that_only_history_knows_gives_way() {
    let limits = Limits { topics: 1, ..quiet().limits };
    let mut hub = Harness::new(Config { limits, ..quiet() });
    hub.publish(Target::All, "gone");
    hub.publish(Target::Topic("t"), "gone");
    hub.publish(Target::All, "kept");
    hub.publish(Target::Topic("u"), "kept");
    assert_eq!(hub.engine().usage().log_entries, 2);
}

#[test]
fn progress_under_a_number_that_was_given_out_takes_the_next_one() {
    let mut hub = Harness::new(quiet());
    let bob = hub.connect("bob_1");
    hub.submit(bob.client, "k").unwrap();
    hub.publish(Target::All, "1");
    hub.publish(Target::All, "2");
    hub.progress_at(1, bob.client, "k", "50").unwrap();
    assert_eq!(hub.engine().last_event_id().sequence, 3);
}

#[test]
fn issued_ids_are_unique_whatever_the_entropy() {
    for id_form in [IdForm::Short, IdForm::Secure] {
        let mut hub = Harness::new(Config { id_form, ..quiet() });
        let mut ids = std::collections::BTreeSet::new();
        for _ in 0..256 {
            ids.insert(hub.allocate("", "bob", [0; 32]).unwrap());
        }
        assert_eq!(ids.len(), 256);
        assert_eq!(hub.allocate("", "bob", [0; 32]), Err(IdError::Entropy));
    }
}

#[test]
fn what_could_not_work_is_no_configuration() {
    let refused = |config: Config| config.check().unwrap_err().limit;
    let limits = Limits { issued_ids: 0, ..Limits::default() };
    assert_eq!(refused(Config { limits, ..quiet() }), "issued_ids");
    let zero = Some(Duration::from_micros(999));
    assert_eq!(refused(Config { heartbeat: zero, ..quiet() }), "heartbeat");
    assert_eq!(refused(Config { write_stall: zero, ..quiet() }), "write_stall");
}

// ---- streams

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

#[test]
fn registering_again_can_close_the_other_streams() {
    let mut hub = Harness::new(quiet());
    let old = hub.connect("bob_1");
    hub.listen(old.client, "t").unwrap();
    hub.drive();
    let new = hub.register(&Registration { replace: true, ..wish("bob_1") }).unwrap();
    assert!(new.returning);
    hub.drive();
    let close = Output::Close { conn: old.conn, client: old.client, reason: CloseReason::Replaced, last: false };
    assert_eq!(hub.outputs(), [close]);
    assert!(hub.engine().topics(new.client).eq(["t"]));
    assert_eq!(hub.disconnect(old.conn), Err(Stale));
}

#[test]
fn a_passing_client_is_forgotten_when_it_leaves_unless_it_waits_for_a_task() {
    let mut hub = Harness::new(quiet());
    let passing = |hub: &mut Harness| hub.register(&Registration { passing: true, ..wish("bob_1") }).unwrap();
    let bob = passing(&mut hub);
    hub.disconnect(bob.conn).unwrap();
    assert_eq!(hub.engine().find("", "bob_1"), None);
    let bob = passing(&mut hub);
    assert!(!bob.returning);
    hub.submit(bob.client, "k").unwrap();
    hub.disconnect(bob.conn).unwrap();
    assert_eq!(hub.engine().find("", "bob_1"), Some(bob.client));
}

// ---- targets

#[test]
fn a_user_name_is_matched_exactly() {
    let mut hub = Harness::new(quiet());
    let ids = ["bob_1", "bob_2", "bobby_1", "bob", "bob_x_1"];
    let conns = ids.map(|id| hub.connect(id).conn);
    hub.drive();
    let _ = conns.map(|conn| hub.read(conn));
    hub.publish(Target::UserName("bob"), "bob's");
    hub.drive();
    let got = conns.map(|conn| !hub.read(conn).is_empty());
    assert_eq!(got, [true, true, false, true, false]);
}

#[test]
fn groups_are_namespaces() {
    let mut hub = Harness::new(quiet());
    let groups = ["", "red", "blue"];
    let in_group = groups.map(|group| {
        let wish = Registration { group, ..wish("bob_1") };
        hub.register(&wish).unwrap()
    });
    hub.drive();
    let _ = in_group.map(|bob| hub.read(bob.conn));
    hub.publish(Target::Group("red"), "red");
    hub.publish(Target::Group(""), "default");
    hub.publish(Target::Group("nobody's"), "nobody");
    hub.drive();
    let got = in_group.map(|bob| hub.read(bob.conn));
    assert_eq!(got, ["data:default\nid:00000007-2\n\n", "data:red\nid:00000007-1\n\n", ""]);
}

#[test]
fn a_chosen_set_is_who_was_there_then() {
    let mut hub = Harness::new(quiet());
    let ids = ["a_1", "b_1", "c_1"];
    let clients = ids.map(|id| hub.connect(id));
    hub.drive();
    let _ = clients.map(|client| hub.read(client.conn));
    let (a, c) = (clients[0].client, clients[2].client);
    hub.publish(Target::Clients(&[c, a, c]), "x");
    hub.publish(Target::Clients(&[]), "nobody");
    hub.drive();
    let got = clients.map(|client| hub.read(client.conn).len());
    assert_eq!(got, [22, 0, 22]);
    // Another client of the same id is not in the set, not even when it reads history.
    hub.unregister(a, true).unwrap();
    hub.drive();
    let again = hub.resume("a_1", "00000007-0");
    hub.drive();
    assert!(!hub.read(again.conn).contains("data:x"));
}

#[test]
fn what_cannot_be_published_says_why() {
    let mut hub = Harness::new(quiet());
    let bob = hub.connect("bob_1");
    hub.unregister(bob.client, true).unwrap();
    hub.drive();
    let mut publish = |target, event: &Event<'_>| hub.publish_at(0, target, event).unwrap_err();
    let event = Event::data("x");
    let unknown = PublishError::UnknownTarget;
    assert_eq!(publish(Target::Client(bob.client), &event), unknown);
    assert_eq!(publish(Target::Connection(bob.conn), &event), unknown);
    let long = "x".repeat(1_100);
    assert_eq!(publish(Target::All, &Event::data(&long)), PublishError::TooLarge { len: 14 + 5 + 1_100 + 2, limit: 1024 });
    let id = Some(IdField::new(&long).unwrap());
    assert_eq!(publish(Target::All, &Event { id, ..event }), PublishError::IdTooLong);
    for target in [Target::Topic("a^b"), Target::Topic(""), Target::UserName("a/b")] {
        assert!(matches!(publish(target, &event), PublishError::Name(_)));
    }
    let tick = EventName::new("tick").unwrap();
    let fits = Event { event: Some(tick), ..event };
    assert!(hub.publish_at(0, Target::All, &fits).is_ok());
}

// ---- topics

#[test]
fn listening_starts_with_the_next_event_and_ends_with_what_was_not_sent() {
    let mut hub = Harness::new(quiet());
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.read(bob.conn);
    hub.publish(Target::Topic("t"), "before");
    assert_eq!(hub.listen(bob.client, "t"), Ok(true));
    assert_eq!(hub.listen(bob.client, "t"), Ok(false));
    hub.publish(Target::Topic("t"), "heard");
    hub.drive();
    hub.publish(Target::Topic("t"), "not sent");
    assert_eq!(hub.unlisten(bob.client, "t"), Ok(true));
    assert_eq!(hub.unlisten(bob.client, "t"), Ok(false));
    hub.drive();
    assert_eq!(hub.read(bob.conn), "data:heard\nid:00000007-2\n\n");
}

#[test]
fn a_topic_asked_for_at_registration_counts_from_where_the_stream_starts() {
    let mut hub = Harness::new(quiet());
    hub.publish(Target::Topic("t"), "1");
    hub.publish(Target::Topic("t"), "2");
    let wish = Registration { topics: &["t"], resume: Resume::After("00000007-1"), ..wish("bob_1") };
    let bob = hub.register(&wish).unwrap();
    hub.drive();
    assert!(hub.read(bob.conn).ends_with("\n\ndata:2\nid:00000007-2\n\n"));
}

/// `bob_1` listens to `t`; its peer took half of the frame of one event, and another waits.
fn in_mid_frame() -> (Harness, Registered) {
    let mut hub = Harness::new(quiet());
    let bob = hub.connect("bob_1");
    hub.listen(bob.client, "t").unwrap();
    hub.drive();
    hub.publish(Target::Topic("t"), "begun");
    hub.publish(Target::Topic("t"), "waiting");
    while hub.poll().is_some() {}
    hub.read(bob.conn);
    hub.write(bob.conn, 16, 1).unwrap();
    (hub, bob)
}

#[test]
fn unlistening_in_mid_frame_finishes_the_frame() {
    let (mut hub, bob) = in_mid_frame();
    hub.unlisten(bob.client, "t").unwrap();
    hub.flush(bob.conn);
    assert_eq!(hub.read(bob.conn), "data:begun\nid:00000007-1\n\n");
}

#[test]
fn giving_up_in_mid_frame_finishes_the_frame() {
    let (mut hub, bob) = in_mid_frame();
    hub.unregister(bob.client, false).unwrap();
    hub.flush(bob.conn);
    assert_eq!(hub.read(bob.conn), "data:begun\nid:00000007-1\n\n");
    hub.publish(Target::All, "not for it");
    hub.drive();
    assert_eq!(hub.read(bob.conn), "");
}

// ---- tasks

#[test]
fn a_completion_for_a_client_that_is_away_survives_the_log() {
    let (mut hub, bob) = an_away_completion(log_of(2));
    for _ in 0..10 {
        hub.publish(Target::All, "traffic");
    }
    let completed = "event:completed\ndata:{\"task\":\"k\",\"client\":\"bob_1\",\"timestamp\":1000,\"result\":1}\n";

    // It missed it: it is told.
    hub.wait(5);
    let conn = hub.resume("bob_1", "00000007-0").conn;
    hub.drive();
    assert!(hub.read(conn).contains(completed));
    hub.disconnect(conn).unwrap();

    // It shows that it did not arrive: it is told again.
    let conn = hub.resume("bob_1", "00000007-0").conn;
    hub.drive();
    assert!(hub.read(conn).contains(completed));
    let last_id = hub.last_id(conn).unwrap();
    hub.disconnect(conn).unwrap();

    // It shows nothing: what was sent is not told again.
    let conn = hub.connect("bob_1").conn;
    hub.drive();
    assert!(!hub.read(conn).contains(completed));
    hub.disconnect(conn).unwrap();

    // It shows that it did arrive: the table lets go of it.
    assert_eq!(hub.engine().tasks(bob.client).count(), 1);
    let conn = hub.resume("bob_1", &last_id).conn;
    hub.drive();
    assert!(!hub.read(conn).contains(completed));
    assert_eq!(hub.engine().tasks(bob.client).count(), 0);
}

#[test]
fn a_completion_is_sent_when_its_last_byte_is() {
    let (mut hub, bob) = an_away_completion(log_of(1));
    hub.publish(Target::All, "traffic");
    let conn = hub.connect("bob_1").conn;
    while hub.poll().is_some() {}
    hub.write(conn, usize::MAX, 1).unwrap();
    // All but the last byte.
    let len = "".len()
        + "event:completed\ndata:{\"task\":\"k\",\"client\":\"bob_1\",\"timestamp\":1000,\"result\":1}\nid:00000007-2\n\n"
            .len();
    hub.write(conn, len - 1, 1).unwrap();
    hub.disconnect(conn).unwrap();
    let conn = hub.connect("bob_1").conn;
    hub.drive();
    assert!(hub.read(conn).contains("event:completed"));
    hub.disconnect(conn).unwrap();
    let conn = hub.connect("bob_1").conn;
    hub.drive();
    assert!(!hub.read(conn).contains("event:completed"));
    assert_eq!(hub.engine().tasks(bob.client).count(), 1);
}

#[test]
fn every_client_of_the_user_name_is_told_under_its_own_id() {
    let mut hub = Harness::new(quiet());
    let dialect = Dialect::Manager;
    let register = |hub: &mut Harness, id, group| {
        let wish = Registration { dialect, group, ..wish(id) };
        hub.register(&wish).unwrap()
    };
    let one = register(&mut hub, "bob_1", "");
    let two = register(&mut hub, "bob_2", "");
    let elsewhere = register(&mut hub, "bob_2", "red");
    let bobby = register(&mut hub, "bobby_1", "");
    hub.drive();
    for bob in [one, two, elsewhere, bobby] {
        hub.read(bob.conn);
    }
    hub.submit(one.client, "t").unwrap();
    hub.complete(one.client, "t", None);
    hub.drive();
    let expected = |id| {
        format!(
            "data:\"completed^{{\\\"timestamp\\\":1000,\\\"id\\\":\\\"{id}\\\",\\\"taskid\\\":\\\"t\\\"}}\"\nid:00000007-1\n\n"
        )
    };
    assert_eq!(hub.read(one.conn), expected("bob_1"));
    assert_eq!(hub.read(two.conn), expected("bob_2"));
    assert_eq!(hub.read(elsewhere.conn) + &hub.read(bobby.conn), "");
}

#[test]
fn progress_and_failure_are_told() {
    let mut hub = Harness::new(quiet());
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.read(bob.conn);
    hub.submit(bob.client, "k").unwrap();
    hub.progress_at(0, bob.client, "k", "{\"percent\":\n50}").unwrap();
    let failed = Outcome::Failed("no \"luck\"");
    hub.complete_at(0, Some(bob.client), "", "bob", "k", failed).unwrap();
    let again = hub.progress_at(0, bob.client, "k", "1");
    assert_eq!(again, Err(TaskError::AlreadyEnded));
    hub.drive();
    assert_eq!(
        hub.read(bob.conn),
        "event:progress\ndata:{\"task\":\"k\",\"client\":\"bob_1\",\"timestamp\":1000,\"progress\":{\"percent\": 50}}\nid:00000007-1\n\n\
         event:failed\ndata:{\"task\":\"k\",\"client\":\"bob_1\",\"timestamp\":1000,\"reason\":\"no \\\"luck\\\"\"}\nid:00000007-2\n\n"
    );
}

#[test]
fn a_full_table_of_tasks_lets_go_of_what_was_sent() {
    let limits = Limits { tasks_per_client: 2, ..quiet().limits };
    let mut hub = Harness::new(Config { limits, ..quiet() });
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.submit(bob.client, "a").unwrap();
    hub.submit(bob.client, "b").unwrap();
    let full = Err(TaskError::Full(Full::Tasks));
    assert_eq!(hub.submit(bob.client, "c"), full);
    hub.complete(bob.client, "b", None);
    assert_eq!(hub.submit(bob.client, "c"), full, "it was not sent yet");
    hub.drive();
    assert_eq!(hub.submit(bob.client, "c"), Ok(()));
    assert!(hub.withdraw(bob.client, "a"));
    assert!(!hub.withdraw(bob.client, "a"));
}

// ---- slow readers

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

// ---- time

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

// ---- the end

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

#[test]
fn every_limit_has_its_error() {
    let limits = Limits {
        connections: 4,
        clients: 3,
        connections_per_client: 2,
        groups: 2,
        topics: 3,
        topics_per_client: 2,
        subscriptions: 3,
        ..quiet().limits
    };
    let mut hub = Harness::new(Config { limits, ..quiet() });
    let refused = |hub: &mut Harness, wish: Registration<'_>| match hub.register(&wish) {
        Err(RegisterError::Full(full)) => full,
        other => panic!("{other:?}"),
    };
    let topics = &["a", "b", "c"];
    let wish_for = |id, group, count| Registration { group, topics: &topics[..count], ..wish(id) };
    let full = refused(&mut hub, wish_for("a_1", "", 3));
    assert_eq!(full, Full::Subscriptions, "of one client");
    hub.register(&wish_for("a_1", "", 2)).unwrap();
    let full = refused(&mut hub, wish_for("b_1", "", 2));
    assert_eq!(full, Full::Subscriptions, "of all clients");
    hub.register(&wish_for("a_1", "", 0)).unwrap();
    let full = refused(&mut hub, wish_for("a_1", "", 0));
    assert_eq!(full, Full::ConnectionsOfClient);
    hub.publish(Target::Group("red"), "history counts");
    let full = refused(&mut hub, wish_for("b_1", "blue", 0));
    assert_eq!(full, Full::Groups);
    hub.publish(Target::Topic("d"), "history counts");
    hub.register(&wish_for("b_1", "red", 0)).unwrap();
    let red = hub.engine().find("red", "b_1").unwrap();
    let answer = hub.listen(red, "c");
    assert_eq!(answer, Err(sse_proto::ListenError::Full(Full::Topics)));
    hub.register(&wish_for("c_1", "", 0)).unwrap();
    let full = refused(&mut hub, wish_for("d_1", "", 0));
    assert_eq!(full, Full::Connections);
    let c = hub.engine().find("", "c_1").unwrap();
    let conn = hub.engine().connections(c).next().unwrap();
    hub.disconnect(conn).unwrap();
    let full = refused(&mut hub, wish_for("d_1", "", 0));
    assert_eq!(full, Full::Clients);
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

#[test]
fn who_knew_an_emptied_table_finds_nobody_new_in_it() {
    let mut hub = Harness::new(quiet());
    let crowd: Vec<String> = (0..100).map(|n| format!("bob_{n}")).collect();
    // Twice: the second crowd takes slots whose memory was given back.
    let mut gone: Vec<ConnId> = Vec::new();
    for _ in 0..2 {
        let here: Vec<Registered> =
            crowd.iter().map(|id| hub.register(&Registration { passing: true, topics: &["t"], ..wish(id) }).unwrap()).collect();
        for conn in &gone {
            assert_eq!(hub.disconnect(*conn), Err(Stale));
        }
        hub.check_stale();
        hub.publish(Target::Topic("t"), "x");
        hub.drive();
        for one in here {
            hub.disconnect(one.conn).unwrap();
            gone.push(one.conn);
        }
        assert_eq!(hub.engine().usage().clients, 0);
    }
}

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
