//! Readers that stop, and readers that all leave in the same moment.

use std::io::Write as _;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::hub::{AtEnd, Hub, Stream, figures, measure};

/// What one reader who reads received.
#[derive(Debug, PartialEq, Eq)]
enum Received {
    All,
    /// Its stream was ended: the log had overtaken it, and it would be told of the gap when it comes back.
    Overtaken,
}

/// Reads numbered events up to `count`. Each is the next one.
fn read_all(mut stream: Stream, count: usize) -> Received {
    for n in 0..count {
        let Some(data) = stream.data() else {
            return Received::Overtaken;
        };
        assert_eq!(data.split(' ').next(), Some(n.to_string().as_str()));
    }
    Received::All
}

#[test]
fn readers_that_stop_cost_a_bounded_memory_and_delay_nobody() {
    const READERS: usize = 40;
    const BULK: usize = 1_500;
    const TICKS: usize = 300;
    let hub = Hub::start(&[
        "shards=2",
        "limits.log_bytes=4MiB",
        "limits.connections=200",
        "limits.clients=400",
        "limits.issued_ids=200",
        "limits.topics=100",
        "limits.topics_per_client=2",
        "limits.groups=2",
        "limits.name_len=64",
        "limits.key_len=32",
        "limits.tasks_per_client=1",
        "timers.heartbeat=500ms",
        "timers.write_stall=1s",
    ]);
    let bound = hub.stated_bound();
    hub.publisher().publish("nobody", "warm");
    let start = hub.resident();
    let filling = "x".repeat(32 << 10);
    let mut ticks = hub.greeted("?topic=ticks");
    let mut ticker = hub.publisher();
    for stopped in [0, READERS / 2, READERS] {
        // Each round has a topic of its own: what the one before left in the log is not for it.
        let topic = format!("bulk-{stopped}");
        let mut streams: Vec<Stream> = (0..READERS).map(|_| hub.greeted(&format!("?topic={topic}"))).collect();
        let reading = streams.split_off(stopped);
        let is_over = AtomicBool::new(false);
        let most = AtomicUsize::new(0);
        let (taken, received) = thread::scope(|scope| {
            let readers: Vec<_> = reading.into_iter().map(|stream| scope.spawn(move || read_all(stream, BULK))).collect();
            let publishing = scope.spawn(|| {
                let _ending = AtEnd(&is_over);
                let mut publisher = hub.publisher();
                for n in 0..BULK {
                    publisher.publish(&topic, &format!("{n} {filling}"));
                    most.fetch_max(hub.resident(), Ordering::AcqRel);
                }
            });
            let mut taken = Vec::new();
            while !is_over.load(Ordering::Acquire) || taken.len() < TICKS {
                taken.extend(measure(1, |_| {
                    let n = taken.len().to_string();
                    ticker.publish("ticks", &n);
                    assert_eq!(ticks.data(), Some(n));
                }));
            }
            taken.sort_unstable();
            publishing.join().expect("published");
            let received: Vec<Received> = readers.into_iter().map(|reader| reader.join().expect("in order")).collect();
            (taken, received)
        });
        let most = most.into_inner();
        let overtaken = received.iter().filter(|received| **received == Received::Overtaken).count();
        eprintln!(
            "{stopped} of {READERS} readers stopped: {overtaken} of the others overtaken; ticks {}; resident {} KiB at the start, {} KiB at most, \
             stated bound {} KiB",
            figures(&taken),
            start >> 10,
            most >> 10,
            bound >> 10,
        );
        // The bound, and room for requests that are under way and for what the allocator keeps between them.
        assert!(most < start + bound + (8 << 20), "{} KiB more, the bound is {} KiB", (most - start) >> 10, bound >> 10);
        // Those that stopped are ended though they still hold their sockets, and so does the kernel what was sent.
        hub.until_streams(1);
        drop(streams);
    }
}

#[test]
fn all_readers_reset_in_the_same_moment_while_publishing_goes_on() {
    const READERS: usize = 500;
    const ROUNDS: usize = 3;
    let hub = Hub::start(&["shards=2", &format!("limits.connections={}", READERS + 1)]);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let ending = AtEnd(&is_over);
        let publishing = scope.spawn(|| {
            let mut publisher = hub.publisher();
            let mut published = 0;
            while !is_over.load(Ordering::Acquire) {
                publisher.publish("t", &published.to_string());
                published += 1;
            }
            publisher.publish("t", "the last");
            published
        });
        let mut witness = hub.greeted("?topic=t");
        let witnessing = scope.spawn(move || {
            let mut received: Vec<usize> = Vec::new();
            while let Some(data) = witness.data().filter(|data| data != "the last") {
                received.push(data.parse().expect("a number"));
            }
            received
        });
        for _ in 0..ROUNDS {
            // All places but one are taken, and are there again in the next round.
            let mut streams: Vec<Stream> = (0..READERS).map(|_| hub.greeted("?topic=t")).collect();
            for stream in &mut streams {
                assert!(stream.data().is_some());
            }
            streams.into_iter().for_each(Stream::reset);
            hub.until_streams(1);
        }
        drop(ending);
        let published = publishing.join().expect("published");
        let received = witnessing.join().expect("received");
        let first = received.first().copied().unwrap_or(published);
        assert!(received.iter().copied().eq(first..published), "{} of {published} from {first} on", received.len());
        eprintln!("{published} events while {READERS} readers were reset {ROUNDS} times");
    });
    hub.until_streams(0);
}

#[test]
fn a_reader_that_was_refused_goes_on_when_it_reads_again() {
    const EVENTS: usize = 400;
    // One socket at a time is refused in the middle of frames, and must be written again when it reads.
    let hub = Hub::start(&["limits.log_bytes=32MiB", "timers.write_stall=50s"]);
    let stream = hub.greeted("?topic=t");
    let mut publisher = hub.publisher();
    let filling = "x".repeat(60 << 10);
    for n in 0..EVENTS {
        publisher.publish("t", &format!("{n} {filling}"));
    }
    let written = hub.metric("sse_hub_written_bytes_total ");
    assert!(written < (EVENTS * filling.len()) as u64, "the kernel took everything: {written} bytes");
    stream.socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a deadline");
    assert_eq!(read_all(stream, EVENTS), Received::All);
}

#[test]
fn who_had_left_when_the_request_was_read_has_no_stream() {
    let hub = Hub::start(&["timers.heartbeat=off"]);
    for behind_the_request in [0, 20_000] {
        let streams: Vec<Stream> = hub.while_it_stands_still(|| {
            let leaving = (0..20).map(|_| {
                let mut stream = hub.stream("");
                stream.socket.write_all(&vec![b'x'; behind_the_request]).expect("sent");
                stream.socket.shutdown(Shutdown::Write).expect("half closed");
                stream
            });
            leaving.collect()
        });
        for mut stream in streams {
            while stream.frame().is_some() {}
        }
    }
    hub.until_streams(0);
}
