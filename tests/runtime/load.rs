//! Many at once, and one that stops reading.

use std::time::{Duration, Instant};

use sse_runtime::proto::CloseReason;
use sse_runtime::{Event, HubConfig, HubEvent, Target};
use sse_tests::net::{Stream, within};
use tokio::io::AsyncWriteExt as _;

use crate::direct::{connect, read_to};
use crate::events::greeted;
use crate::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_receive_all_events_in_order() {
    for site in Site::both_ways(|_| {}).await {
        all_receive_all_events_in_order(site).await;
    }
}

async fn all_receive_all_events_in_order(site: Site) {
    const CONNECTIONS: usize = 1_000;
    const EVENTS: usize = 20;
    let web = site.web;
    let opening: Vec<_> = (0..CONNECTIONS)
        .map(|n| {
            tokio::spawn(async move {
                let path =
                    if n % 2 == 0 { format!("/sse/register-listener/bob_{n}") } else { format!("/sse/events?client=bob_{n}") };
                let mut stream = web.stream(&path).await;
                stream.event().await;
                stream
            })
        })
        .collect();
    let mut streams: Vec<Stream> = Vec::new();
    for stream in opening {
        streams.push(stream.await.expect("opened"));
    }
    assert_eq!(site.hub.list().await.expect("a list").len(), CONNECTIONS);
    let mut ids = Vec::new();
    for n in 0..EVENTS {
        ids.push(site.hub.publish(Target::All, Event::data(format!("event {n}"))).await.expect("published").to_string());
    }
    let reading: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            let ids = ids.clone();
            tokio::spawn(async move {
                for (n, id) in ids.iter().enumerate() {
                    assert_eq!(&stream.expect(&format!("data:event {n}\n\n")).await, id);
                }
            })
        })
        .collect();
    for reader in reading {
        within("all events", reader).await.expect("in order");
    }
}

/// They are more pieces for each reader than one write is made of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_alternate_with_those_of_others_come_at_once() {
    for site in Site::both_ways(|config| config.shards = 1).await {
        come_at_once(site).await;
    }
}

async fn come_at_once(site: Site) {
    const EVENTS: usize = 200;
    let topics = ["even", "odd"];
    let mut readers = Vec::new();
    for topic in topics.into_iter().cycle().take(6) {
        let mut reader = site.web.stream(&format!("/sse/events?topic={topic}")).await;
        greeted(&mut reader).await;
        readers.push(reader);
    }
    let events = (0..EVENTS).map(|n| (Target::topic(topics[n % 2]), Event::data(n.to_string())));
    site.hub.publish_all(events).await.expect("published");
    for (parity, reader) in [0, 1].into_iter().cycle().zip(&mut readers) {
        for n in (parity..EVENTS).step_by(2) {
            reader.expect(&format!("data:{n}\n\n")).await;
        }
    }
}

/// The kernel holds some megabytes for each of them, and refuses the rest until they read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_pause_together_lose_nothing() {
    let patient = |config: &mut HubConfig| {
        config.shards = 1;
        config.engine.limits.log_bytes = 32 << 20;
    };
    for site in Site::both_ways(patient).await {
        lose_nothing(site).await;
    }
}

async fn lose_nothing(site: Site) {
    const READERS: usize = 8;
    const EVENTS: usize = 4_000;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut reader = connect(&site).await;
        reader.write_all(b"GET /sse/events?topic=t HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
        read_to(&mut reader, "\n\n").await;
        readers.push(reader);
    }
    // One of them reads, so that each event is on its way to all before the next.
    let mut paced = readers.pop().expect("readers");
    let mut frames = String::new();
    for n in 0..EVENTS {
        let data = format!("{n} {}", "x".repeat(3_000));
        let id = site.hub.publish(Target::topic("t"), Event::data(&data)).await.expect("published");
        let frame = format!("data:{data}\nid:{id}\n\n");
        assert!(read_to(&mut paced, &frame).await == frame, "event {n}");
        frames.push_str(&frame);
    }
    let (_, last) = frames.split_at(frames.len() - 3_000);
    for mut reader in readers {
        let received = read_to(&mut reader, last).await;
        assert!(received == frames, "{} bytes of {}", received.len(), frames.len());
    }
}

/// Together they fill the log more than once before all readers are written to; the kernel takes all of it for each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_publishes_at_once_overtakes_no_reader() {
    let small_log = |config: &mut HubConfig| {
        config.shards = 1;
        config.engine.limits.log_bytes = 64 << 10;
        config.engine.limits.frame_bytes = 4 << 10;
    };
    for site in Site::both_ways(small_log).await {
        overtakes_no_reader(site).await;
    }
}

async fn overtakes_no_reader(site: Site) {
    const READERS: usize = 400;
    const PUBLISHERS: usize = 48;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut reader = site.web.stream("/sse/events?topic=t").await;
        greeted(&mut reader).await;
        readers.push(reader);
    }
    let data = "x".repeat(2_000);
    let publishing: Vec<_> = (0..PUBLISHERS)
        .map(|_| {
            let (hub, event) = (site.hub.clone(), Event::data(data.clone()));
            tokio::spawn(async move { hub.publish(Target::topic("t"), event).await })
        })
        .collect();
    for published in publishing {
        published.await.expect("no panic").expect("published");
    }
    for mut reader in readers {
        for _ in 0..PUBLISHERS {
            reader.expect(&format!("data:{data}\n\n")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_stop_cost_no_memory_and_are_ended() {
    let impatient = |config: &mut HubConfig| {
        config.shards = 1;
        config.engine.write_stall = Some(Duration::from_millis(1_500));
        config.engine.limits.log_bytes = 4 << 20;
    };
    for site in Site::both_ways(impatient).await {
        cost_no_memory_and_are_ended(site).await;
    }
}

async fn cost_no_memory_and_are_ended(site: Site) {
    const STOPPED: usize = 50;
    const PUBLISHED: usize = 192 << 20;
    const EVENT: usize = 64 << 10;
    let mut events = site.hub.events();
    // The log once full, so that it is not counted as the readers'.
    let event = Event::data("x".repeat(EVENT));
    for _ in 0..80 {
        site.hub.publish(Target::topic("nobody"), event.clone()).await.expect("published");
    }
    let mut stopped = Vec::new();
    for n in 0..STOPPED {
        let mut stream = site.web.stream(&format!("/sse/events?client=stopped_{n}&topic=bulk")).await;
        greeted(&mut stream).await;
        stopped.push(stream);
    }
    let mut reader = site.web.stream("/sse/events?client=reader_1&topic=ticks").await;
    greeted(&mut reader).await;
    let before = resident_bytes();
    let begun = Instant::now();
    let (mut most, mut slowest) = (before, Duration::ZERO);
    for n in 0..PUBLISHED / EVENT {
        site.hub.publish(Target::topic("bulk"), event.clone()).await.expect("published");
        if n % 32 == 0 {
            // Who reads is not delayed by those who do not.
            let told = Instant::now();
            site.hub.publish(Target::topic("ticks"), Event::data(n.to_string())).await.expect("published");
            reader.expect(&format!("data:{n}\n\n")).await;
            slowest = slowest.max(told.elapsed());
            most = most.max(resident_bytes());
        }
    }
    let took = begun.elapsed();
    let mut ended = 0;
    let all_ended = async {
        while ended < STOPPED {
            match events.recv().await {
                Ok(HubEvent::Left { reason, .. }) => {
                    assert!(matches!(reason, Some(CloseReason::Stalled | CloseReason::Overrun)), "{reason:?}");
                    ended += 1;
                }
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    within("the end of all that stopped", all_ended).await;
    let growth = most.saturating_sub(before);
    eprintln!(
        "{STOPPED} stopped readers, {} MiB for each of them in {took:?}: resident {} MiB before, {} MiB at most; slowest tick {slowest:?}",
        PUBLISHED >> 20,
        before >> 20,
        most >> 20,
    );
    // Buffering would cost 50 times 192 MiB. A chunk and hyper's buffer for each are 50 times some 64 KiB; the rest is room for the
    // other tests of this process, which run beside it.
    assert!(growth < 96 << 20, "{} MiB more", growth >> 20);
    drop(stopped);
}

/// Resident memory of this process.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.expect("a number") * 1024
}
