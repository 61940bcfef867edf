//! Shutting down: everybody is told when to come back, spread over the time that was given.

use core::time::Duration;

use sse_proto::{Config, Output};
use sse_tests::harness::Harness;

fn hub() -> Harness {
    Harness::new(Config { heartbeat: Some(Duration::from_secs(15)), write_stall: None, retry: None, ..Config::default() })
}

/// What the `count` connections of a hub are told when it is drained, from the least on.
fn told(count: usize, drain: impl Fn(&mut Harness)) -> Vec<u32> {
    let mut hub = hub();
    let conns: Vec<_> = (0..count).map(|n| hub.connect(&format!("u{n}_1")).conn).collect();
    hub.drive();
    for &conn in &conns {
        hub.read(conn);
    }
    drain(&mut hub);
    hub.drive();
    let told = conns.iter().map(|&conn| hub.read(conn).strip_prefix("retry:").unwrap().trim_end().parse().unwrap());
    let mut told: Vec<_> = told.collect();
    told.sort_unstable();
    told
}

#[test]
fn reaches_from_the_least_to_the_most() {
    let told = told(100, |hub| hub.drain(1_000, 2_000));
    assert_eq!(told[0], 1_000);
    assert!((1_980..=2_000).contains(&told[99]), "{told:?}");
    let widest = told.windows(2).map(|two| two[1] - two[0]).max();
    assert!(widest <= Some(20), "{told:?} are not spread");
}

#[test]
fn the_most_is_told_too() {
    let told = told(100, |hub| hub.drain(7, 8));
    let least = told.iter().filter(|&&retry| retry == 7).count();
    assert!((45..=55).contains(&least) && told[99] == 8, "{told:?}");
}

#[test]
fn a_second_drain_changes_nothing() {
    let told = told(10, |hub| {
        hub.drain(1_000, 2_000);
        hub.drain(5_000, 6_000);
    });
    assert!(told[9] <= 2_000, "{told:?}");
}

#[test]
fn a_heartbeat_that_is_due_goes_before() {
    let mut hub = hub();
    let bob = hub.connect("bob_1");
    hub.drive();
    hub.read(bob.conn);
    hub.wait(15_000);
    assert_eq!(hub.poll(), Some(Output::Write(bob.conn)));
    hub.drain(1_000, 1_000);
    hub.flush(bob.conn);
    assert_eq!(hub.read(bob.conn), ":heartbeat\n\nretry:1000\n\n");
}
