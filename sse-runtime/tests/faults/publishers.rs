//! Publishers that send too much, too slowly, or do not read their answers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::hub::{AtEnd, Hub, Stream, eventually, figures, measure, patient, request};

/// What the resident memory of a hub that is flooded may grow by: buffers of a few requests, and the allocator's rest.
const FLAT: usize = 12 << 20;

/// How long ticks take, from publishing to receiving, when nothing else happens.
fn undisturbed(hub: &Hub) -> Vec<Duration> {
    let left = AtomicUsize::new(300);
    ticks_until(hub, || left.fetch_sub(1, Ordering::AcqRel) == 1)
}

/// How long ticks take, until `is_over`.
fn ticks_until(hub: &Hub, is_over: impl Fn() -> bool) -> Vec<Duration> {
    let mut stream = hub.greeted("?topic=ticks");
    let mut publisher = hub.publisher();
    let mut taken = Vec::new();
    for n in 0.. {
        // Once more after the end.
        let is_last = is_over();
        taken.extend(measure(1, |_| {
            publisher.publish("ticks", &n.to_string());
            assert_eq!(stream.data(), Some(n.to_string()));
        }));
        if is_last {
            break;
        }
    }
    taken.sort_unstable();
    taken
}

#[test]
fn heads_that_trickle_are_cut_and_delay_nobody() {
    const SOCKETS: usize = 200;
    const HEAD: &[u8] =
        b"GET /sse/events?topic=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let hub = Hub::start(&["http.header_timeout=1s"]);
    let before = undisturbed(&hub);
    let is_over = AtomicBool::new(false);
    let taken = thread::scope(|scope| {
        let ending = AtEnd(&is_over);
        let ticking = scope.spawn(|| ticks_until(&hub, || is_over.load(Ordering::Acquire)));
        let mut trickling: Vec<TcpStream> = (0..SOCKETS).map(|_| hub.connect()).collect();
        for socket in &trickling {
            socket.set_nonblocking(true).expect("non-blocking");
        }
        let mut sent = 0;
        eventually("the end of all heads", || {
            // A byte for each, then a look at who is cut: there is nothing to read from the others.
            let byte = &HEAD[sent % HEAD.len()..][..1];
            sent += 1;
            trickling.retain_mut(|socket| {
                let is_sent = socket.write_all(byte).is_ok();
                is_sent && socket.read(&mut [0; 64]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
            });
            trickling.is_empty()
        });
        assert!(sent > 10, "they were cut after {sent} bytes");
        drop(ending);
        ticking.join().expect("ticks")
    });
    eprintln!("ticks beside {SOCKETS} heads that trickle: {}; before: {}", figures(&taken), figures(&before));
    hub.until_streams(0);
}

/// Sends `first`, and then `more` again and again, until 100 MB are sent or the hub ends it; what it answered.
fn flood(hub: &Hub, first: &str, more: &[u8]) -> String {
    const FLOOD: usize = 100_000_000;
    let mut socket = hub.connect();
    let mut reader = socket.try_clone().expect("another handle");
    let reading = thread::spawn(move || {
        let mut answer = Vec::new();
        let _ = reader.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    });
    let mut sent = socket.write_all(first.as_bytes()).map_or(FLOOD, |()| first.len());
    while sent < FLOOD {
        sent = socket.write_all(more).map_or(FLOOD, |()| sent + more.len());
    }
    let _ = socket.shutdown(std::net::Shutdown::Write);
    reading.join().expect("an answer, or none")
}

#[test]
fn a_hundred_megabytes_are_refused_and_cost_no_memory() {
    let hub = Hub::start(&[]);
    let ticks_before = undisturbed(&hub);
    let before = hub.resident();
    let (is_over, most) = (AtomicBool::new(false), AtomicUsize::new(0));
    let zeros = vec![b'0'; 64 << 10];
    let chunk = [b"10000\r\n", &zeros[..], b"\r\n"].concat();
    let head = "POST /sse/publish HTTP/1.1\r\nhost: localhost\r\n";
    let taken = thread::scope(|scope| {
        let ending = AtEnd(&is_over);
        let ticking = scope.spawn(|| ticks_until(&hub, || is_over.load(Ordering::Acquire)));
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                most.fetch_max(hub.resident(), Ordering::AcqRel);
                thread::sleep(Duration::from_millis(1));
            }
        });
        let floods = [
            scope.spawn(|| flood(&hub, &format!("{head}content-length: 100000000\r\n\r\n"), &zeros)),
            scope.spawn(|| flood(&hub, &format!("{head}transfer-encoding: chunked\r\n\r\n"), &chunk)),
            // A head without end, and a body that lies about its type.
            scope.spawn(|| flood(&hub, &format!("{head}x-endless: "), &zeros)),
            scope.spawn(|| flood(&hub, &format!("{head}expect: 100-continue\r\ncontent-length: 100000000\r\n\r\n"), &zeros)),
        ];
        let answers = floods.map(|flood| flood.join().expect("ended"));
        drop(ending);
        for (answer, allowed) in answers.iter().zip([&["413"][..], &["413"], &["400", "431"], &["413"]]) {
            // The reset that follows a refusal may overtake it.
            let is_refused = answer.is_empty() || allowed.iter().any(|status| answer.contains(&format!("HTTP/1.1 {status} ")));
            assert!(is_refused, "{allowed:?}: {answer}");
            assert!(!answer.contains("HTTP/1.1 200 "), "{answer}");
        }
        ticking.join().expect("ticks")
    });
    let most = most.into_inner();
    eprintln!("four floods of 100 MB: resident {} KiB before, {} KiB at most", before >> 10, most >> 10);
    eprintln!("ticks beside them: {}; before: {}", figures(&taken), figures(&ticks_before));
    assert!(most < before + FLAT, "{} KiB more", (most - before) >> 10);
}

#[test]
fn what_was_published_before_another_request_is_answered_before_it() {
    let hub = Hub::start(&[]);
    for (then, status) in [("/sse/events?client=a%2Fb", 400), ("/sse/events?client=ok", 200), ("/nothing", 404)] {
        let mut socket = hub.connect();
        let then = format!("GET {then} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        socket.write_all([request("t", "1"), then].concat().as_bytes()).expect("sent");
        let mut answer = [0; 4096];
        let mut read = 0;
        let expected = format!("HTTP/1.1 {status} ");
        eventually("both answers", || {
            read += socket.read(&mut answer[read..]).expect("an answer");
            let answers = String::from_utf8_lossy(&answer[..read]);
            assert!(answers.starts_with("HTTP/1.1 200 OK\r\n"), "{answers}");
            answers["HTTP/1.1".len()..].contains(&expected)
        });
    }
}

#[test]
fn answers_that_are_read_late_all_come() {
    const REQUESTS: usize = 5_000;
    /// So many that their ids fill every buffer on the way back.
    const EVENTS: usize = 100;
    let hub = Hub::start(&["http.header_timeout=60s"]);
    let mut publisher = hub.publisher();
    let mut sender = publisher.sender();
    let sending = thread::spawn(move || {
        let events = [r#"{"to":{"topic":"t"}}"#; EVENTS].join(",");
        let len = events.len() + 2;
        let request = format!("POST /sse/publish HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len}\r\n\r\n[{events}]");
        (0..REQUESTS).for_each(|_| sender.write_all(request.as_bytes()).expect("sent"));
        sender.write_all(b"GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
    });
    // It stops reading requests when nobody takes the answers.
    let (mut before, mut unchanged) = (0, 0);
    eventually("a publisher that is held up", || {
        let now = hub.metric("sse_hub_published_total{target=\"topic\"} ");
        unchanged = if now == before { unchanged + 1 } else { 0 };
        before = now;
        unchanged > 20
    });
    assert!(before > 0 && before < (REQUESTS * EVENTS) as u64, "{before} were published before an answer was read");
    for n in 0..REQUESTS {
        let (status, body) = publisher.answer();
        assert_eq!(status, 200, "{n}: {body}");
    }
    assert_eq!(publisher.answer().0, 404);
    sending.join().expect("all sent");
}

#[test]
fn a_flood_does_not_overtake_readers_who_take_everything() {
    const READERS: usize = 400;
    // A few publishers of many events each, which a shard must stop between two events; many of one, between two publishers.
    let publishers = [[60].repeat(4), [1].repeat(64)].concat();
    let events: usize = publishers.iter().sum();
    // A log of a few dozen events, which all have to pass it; the kernel takes all of them for each reader.
    let hub = Hub::start(&["shards=1", "limits.log_bytes=64KiB", "limits.frame_bytes=4KiB"]);
    let mut streams: Vec<Stream> = (0..READERS)
        .map(|_| {
            let socket = hub.connect();
            socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20).expect("a large window");
            Stream::ask(socket, "?topic=t")
        })
        .collect();
    streams.iter_mut().for_each(Stream::greeting);
    let data = "x".repeat(2_000);
    let request = request("t", &data);
    let all_connected = Barrier::new(publishers.len());
    thread::scope(|scope| {
        for events in publishers {
            let (hub, request, all_connected) = (&hub, &request, &all_connected);
            scope.spawn(move || {
                let mut publisher = hub.publisher();
                all_connected.wait();
                publisher.send(request.repeat(events).as_bytes()).expect("sent");
                for _ in 0..events {
                    assert_eq!(publisher.answer().0, 200);
                }
                publisher.shut_down();
            });
        }
    });
    for stream in &mut streams {
        for n in 0..events {
            assert_eq!(stream.data().map(|data| data.len()), Some(data.len()), "event {n}");
        }
        patient(&stream.socket);
    }
    assert_eq!(hub.metric("sse_hub_gaps_total{reason=\"overrun\"} "), 0);
    assert_eq!(hub.metric("sse_hub_closed_total{reason=\"overrun\"} "), 0);
}
