//! No descriptors left.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::hub::Hub;

#[test]
fn a_hub_out_of_descriptors_serves_those_it_has_and_accepts_again() {
    /// Descriptors of the hub, some 20 of which it takes for itself.
    const DESCRIPTORS: usize = 64;
    const STREAMS: usize = 70;
    /// Served for certain while there are no more descriptors; and more than those that wait.
    const SERVED: usize = 35;
    let hub = Hub::command("127.0.0.1:0", &["http.header_timeout=60s"]);
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -n {DESCRIPTORS} && exec \"$0\" \"$@\"")]);
    limited.arg(hub.get_program()).args(hub.get_args()).args(["--shards", "2"]).env_clear();
    let hub = Hub::run(limited.env("PATH", "/usr/bin:/bin"));

    let mut publisher = hub.publisher();
    publisher.publish("t", "a connection that is there before");
    let mut streams: Vec<_> = (0..STREAMS).map(|_| hub.stream("?topic=t")).collect();
    let log = hub.until_logged("cannot accept connections");
    assert!(log.contains("ERROR") && log.contains("those that are open go on"), "{log}");
    for stream in &mut streams[..SERVED] {
        stream.greeting();
    }
    // For a second, in which it tries ten times a shard to accept more.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        publisher.publish("t", "one");
        for stream in &mut streams[..SERVED] {
            assert_eq!(stream.data().as_deref(), Some("one"));
        }
    }
    let complaints = hub.until_logged("cannot accept").matches("cannot accept").count() as u64;
    let tens = begun.elapsed().as_secs() / 10 + 1;
    assert!(complaints <= 2 * tens, "{complaints} of two shards, which complain every ten seconds");
    // Those that waited get the places of those that leave.
    streams.drain(..SERVED);
    for stream in &mut streams {
        stream.greeting();
    }
    publisher.publish("t", "two");
    for stream in &mut streams {
        while stream.data().expect("an event") != "two" {}
    }
}
