//! Tasks, and how clients hear of them.

use sse_proto::{Config, Dialect, Full, GapReason, Limits, Outcome, Overrun, Registered, Registration, Target, TaskError};
use sse_tests::harness::Harness;

use super::{log_of, quiet, wish};

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

#[test]
fn details_have_room_together() {
    let limits = Limits { detail_bytes: 10, ..quiet().limits };
    let mut hub = Harness::new(Config { limits, ..quiet() });
    let (bob, eve) = (hub.connect("bob_1"), hub.connect("eve_1"));
    hub.drive();
    hub.submit(bob.client, "a").unwrap();
    hub.submit(eve.client, "b").unwrap();
    let full = Err(TaskError::Full(Full::Details));
    assert_eq!(hub.progress_at(0, bob.client, "a", "123456"), Ok(()));
    assert_eq!(hub.progress_at(0, eve.client, "b", "12345"), full);
    assert_eq!(hub.progress_at(0, bob.client, "a", "12345"), Ok(()), "it stands for what was there");
    assert_eq!(hub.complete_at(0, Some(eve.client), "", "eve", "b", Outcome::Completed(Some("123456"))), full);
    assert_eq!(hub.complete_at(0, Some(eve.client), "", "eve", "new", Outcome::Completed(Some("123456"))), full);
    assert_eq!(hub.complete_at(0, Some(eve.client), "", "eve", "b", Outcome::Completed(Some("12345"))), Ok(()));
    assert_eq!(hub.progress_at(0, bob.client, "a", "123456"), full);
    // Who is forgotten leaves room.
    assert!(hub.withdraw(bob.client, "a"));
    hub.submit(bob.client, "a").unwrap();
    assert_eq!(hub.progress_at(0, bob.client, "a", "12345"), Ok(()));
}
