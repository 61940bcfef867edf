//! Tables that are full: what gives way, what does not, and that a refusal changes nothing.

use sse_proto::{
    ClientId, Config, Full, Limits, ListenError, Outcome, RegisterError, Registered, Registration, Target, TaskError,
};
use sse_tests::harness::Harness;

fn hub(limits: Limits) -> Harness {
    let limits = Limits { frame_bytes: 1024, log_bytes: 8 * 1024, ..limits };
    Harness::new(Config { limits, heartbeat: None, write_stall: None, retry: None, ..Config::default() })
}

fn connected(limits: Limits) -> (Harness, Registered) {
    let mut hub = hub(limits);
    let bob = hub.connect("bob_1");
    hub.drive();
    (hub, bob)
}

fn register(hub: &mut Harness, topics: &[&str]) -> Result<Registered, RegisterError> {
    hub.register(&Registration { topics, ..Registration::new(ClientId::new("bob_1").unwrap()) })
}

#[test]
fn who_is_known_and_asks_for_too_much_listens_to_what_it_did() {
    for limits in [
        Limits { topics_per_client: 2, ..Limits::default() },
        Limits { subscriptions: 2, ..Limits::default() },
        Limits { topics: 2, ..Limits::default() },
    ] {
        let (mut hub, bob) = connected(limits);
        hub.listen(bob.client, "a").unwrap();
        assert!(matches!(register(&mut hub, &["a", "b", "c"]), Err(RegisterError::Full(_))));
        assert!(hub.engine().topics(bob.client).eq(["a"]), "{limits:?}");
        assert_eq!(hub.engine().usage().topics, 1);
        register(&mut hub, &["a", "b"]).unwrap();
    }
}

#[test]
fn names_that_only_history_knows_give_way_to_all_that_is_asked_for_and_no_more_of_them_than_that_takes() {
    // Labels: one group, two topics and a name for each client.
    let (mut hub, bob) = connected(Limits { clients: 2, issued_ids: 1, groups: 1, topics: 2, ..Limits::default() });
    for name in ["ann", "eve"] {
        hub.publish(Target::UserName(name), "x");
    }
    register(&mut hub, &["a", "b"]).unwrap();
    assert!(hub.engine().topics(bob.client).eq(["a", "b"]));
    assert_eq!(hub.engine().usage().log_entries, 1);
}

#[test]
fn a_topic_that_cannot_be_listened_to_is_not_kept() {
    for limits in [Limits { topics_per_client: 1, ..Limits::default() }, Limits { subscriptions: 1, ..Limits::default() }] {
        let (mut hub, bob) = connected(limits);
        assert_eq!(hub.listen(bob.client, "a"), Ok(true));
        assert_eq!(hub.listen(bob.client, "b"), Err(ListenError::Full(Full::Subscriptions)));
        assert_eq!(hub.listen(bob.client, "a"), Ok(false));
        assert_eq!(hub.engine().usage().topics, 1, "{limits:?}");
    }
}

#[test]
fn a_completion_that_was_sent_gives_way_where_all_clients_share_the_table() {
    let (mut hub, bob) = connected(Limits { tasks: 1, ..Limits::default() });
    hub.submit(bob.client, "a").unwrap();
    assert_eq!(hub.submit(bob.client, "b"), Err(TaskError::Full(Full::Tasks)));
    hub.complete(bob.client, "a", None);
    assert_eq!(hub.submit(bob.client, "b"), Err(TaskError::Full(Full::Tasks)), "it was not sent");
    hub.drive();
    assert_eq!(hub.submit(bob.client, "b"), Ok(()));
}

#[test]
fn what_is_withdrawn_makes_room_again_and_again() {
    let (mut hub, bob) = connected(Limits { tasks_per_client: 2, ..Limits::default() });
    for _ in 0..5 {
        hub.submit(bob.client, "a").unwrap();
        hub.submit(bob.client, "b").unwrap();
        assert_eq!(hub.submit(bob.client, "c"), Err(TaskError::Full(Full::Tasks)));
        assert!(hub.withdraw(bob.client, "a") && hub.withdraw(bob.client, "b"));
    }
}

#[test]
fn a_task_ends_once() {
    let (mut hub, bob) = connected(Limits::default());
    hub.complete(bob.client, "a", None);
    let again = hub.complete_at(0, Some(bob.client), "", "bob", "a", Outcome::Failed("late"));
    assert_eq!(again, Err(TaskError::AlreadyEnded));
}

/// A registration to stay makes a client stay; one in passing does not make it go.
#[test]
fn who_registers_once_to_stay_stays() {
    for order in [[true, false], [false, true]] {
        let mut hub = hub(Limits::default());
        for passing in order {
            let wish = Registration { passing, replace: true, ..Registration::new(ClientId::new("bob_1").unwrap()) };
            hub.register(&wish).unwrap();
            hub.drive();
        }
        let bob = hub.engine().find("", "bob_1").unwrap();
        let conn = hub.engine().connections(bob).next().unwrap();
        hub.disconnect(conn).unwrap();
        assert!(hub.engine().is_known(bob), "passing {order:?}");
    }
}
