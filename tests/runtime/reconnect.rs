//! Streams that are cut, and come back.

use std::time::Duration;

use sse_runtime::proto::{Config, Limits, Overrun};
use sse_runtime::{Event, HubConfig, Target};
use sse_tests::net::{eventually, split_id, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::events::greeted;
use crate::site::{Site, builder};

/// A proxy that lets `limit` bytes of each answer pass, then cuts the connection both ways.
async fn cutting_proxy(to: std::net::SocketAddr, limit: usize) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(to).await.expect("connects");
                for socket in [&client, &server] {
                    socket.set_nodelay(true).expect("no delay");
                }
                let (mut from_client, mut to_client) = client.split();
                let (from_server, mut to_server) = server.split();
                let mut limited = from_server.take(limit as u64);
                tokio::select! {
                    _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                    _ = tokio::io::copy(&mut limited, &mut to_client) => {}
                }
            });
        }
    });
    address
}

/// What a client that follows the standard dispatches, and where it resumes from: the last id of a whole event.
#[derive(Default)]
struct Received {
    data: Vec<String>,
    last_event_id: String,
}

impl Received {
    fn take(&mut self, frame: &str) {
        let (bare, id) = split_id(frame);
        if let Some(id) = id {
            self.last_event_id = id;
        }
        let lines = bare.lines().filter_map(|line| line.strip_prefix("data:"));
        let data: Vec<&str> = lines.collect();
        if !data.is_empty() && !bare.contains("event:connected") && !bare.contains("registered^") {
            self.data.push(data.join("\n"));
        }
    }
}

#[tokio::test]
async fn a_stream_cut_in_mid_frame_loses_and_repeats_nothing() {
    const EVENTS: usize = 40;
    let expected: Vec<String> = (0..EVENTS).map(|n| format!("event {n}\nof {EVENTS}")).collect();
    for path in ["/sse/events?client=bob_1&topic=t", "/sse/register-listener/bob_1"] {
        let site = Site::start().await;
        let mut first = site.web.stream(path).await;
        let mut received = Received::default();
        received.take(&first.frame().await);
        site.web.put("/sse/listen/bob_1/t").await.is("ok");
        drop(first);
        let start = received.last_event_id.clone();
        for event in &expected {
            site.hub.publish(Target::topic("t"), Event::data(event.clone())).await.expect("published");
        }
        // Cut everywhere in a frame and its chunk, again and again, each time a little later or earlier.
        for step in [1, 3, 7] {
            let mut received = Received { last_event_id: start.clone(), ..Received::default() };
            let mut allowed = 330;
            let mut attempts = 0;
            while received.data.len() < EVENTS {
                attempts += 1;
                assert!(attempts < 2_000, "no headway: {:?}", received.data.last());
                let proxy = sse_tests::net::Web(cutting_proxy(site.web.0, allowed).await);
                allowed = 330 + (allowed - 330 + step) % 211;
                let mut stream = proxy.resume(path, &received.last_event_id).await;
                while received.data.len() < EVENTS {
                    let Some(frame) = stream.frame_or_end().await else {
                        break;
                    };
                    received.take(&frame);
                }
            }
            assert_eq!(received.data, expected, "{path}, step {step}");
        }
    }
}

#[tokio::test]
async fn nothing_is_lost_while_events_come_and_streams_are_cut() {
    const EVENTS: usize = 600;
    let site = Site::start().await;
    let path = "/sse/events?client=bob_1&topic=t";
    let mut received = Received::default();
    let mut first = site.web.stream(path).await;
    received.take(&first.frame().await);
    drop(first);
    let hub = site.hub.clone();
    let publishing = tokio::spawn(async move {
        for n in 0..EVENTS {
            hub.publish(Target::topic("t"), Event::data(n.to_string())).await.expect("published");
            tokio::task::yield_now().await;
        }
    });
    let mut limit = 400;
    while received.data.len() < EVENTS {
        limit = 400 + (limit * 31 + 17) % 3001;
        let proxy = sse_tests::net::Web(cutting_proxy(site.web.0, limit).await);
        let mut stream = proxy.resume(path, &received.last_event_id).await;
        while received.data.len() < EVENTS {
            let Some(frame) = stream.frame_or_end().await else {
                break;
            };
            received.take(&frame);
        }
    }
    publishing.await.expect("all published");
    let expected: Vec<String> = (0..EVENTS).map(|n| n.to_string()).collect();
    assert_eq!(received.data, expected);
}

#[tokio::test]
async fn history_that_left_the_log_is_told_as_a_gap() {
    let site = Site::configured(|config| config.engine.limits.log_entries = 8).await;
    let path = "/sse/events?client=bob_1&topic=t";
    let mut stream = site.web.stream(path).await;
    let (_, start) = greeted(&mut stream).await;
    drop(stream);
    let mut ids = Vec::new();
    for n in 0..30 {
        ids.push(site.hub.publish(Target::topic("t"), Event::data(n.to_string())).await.expect("published").to_string());
    }
    for seen in [&start, &ids[0], &ids[20]] {
        let mut stream = site.web.resume(path, seen).await;
        assert!(stream.frame().await.contains("event:connected"));
        stream.expect("event:gap\ndata:{\"reason\":\"evicted\"}\n\n").await;
        for (n, id) in ids.iter().enumerate().skip(22) {
            assert_eq!(stream.expect(&format!("data:{n}\n\n")).await, *id, "after {seen}");
        }
    }
    // The last one that is just gone, and the first that is there: nothing is missing after them.
    for (seen, from) in [(21, 22), (22, 23), (29, 30)] {
        let mut stream = site.web.resume(path, &ids[seen]).await;
        greeted(&mut stream).await;
        for n in from..30 {
            stream.expect(&format!("data:{n}\n\n")).await;
        }
    }
}

#[tokio::test]
async fn another_life_of_the_hub_is_another_epoch() {
    let path = "/sse/register-listener/bob_1";
    let first = Site::start().await;
    let mut stream = first.web.stream(path).await;
    let (_, id) = stream.event().await;
    let second = Site::start().await;
    let mut stream = second.web.resume(path, &id).await;
    let greeting = stream.frame().await;
    assert!(greeting.contains("data:\"registered^bob_1\"\n"), "{greeting}");
    let id = stream.expect("event:gap\ndata:{\"reason\":\"epoch\"}\n\n").await;
    // From there on there is none.
    drop(stream);
    let mut stream = second.web.resume(path, &id).await;
    let (greeting, _) = stream.event().await;
    assert!(greeting.ends_with("retry:1000\ndata:\"registered^bob_1\"\n\n"), "{greeting:?}");
    second.web.post("/sse/publish", r#"{"to":"all","data":"fence"}"#).await;
    stream.expect("data:fence\n\n").await;
}

/// Publishes until a reader's socket takes nothing more.
pub(crate) async fn fill_its_socket(site: &Site, event: &Event) {
    let mut at_rest = 0;
    let mut before = String::new();
    eventually("a full socket", async || {
        for _ in 0..20 {
            site.hub.publish(Target::All, event.clone()).await.expect("published");
        }
        let metrics = site.hub.render_metrics();
        let written = metrics.lines().find(|line| line.starts_with("sse_hub_written_bytes_total"));
        at_rest = if written == Some(&before) { at_rest + 1 } else { 0 };
        before = written.unwrap_or("").to_owned();
        at_rest > 40
    })
    .await;
}

fn tiny_log(config: &mut HubConfig) {
    let limits = Limits { log_bytes: 64 * 1024, frame_bytes: 8 * 1024, ..Limits::default() };
    config.engine = Config { limits, ..Config::default() };
}

#[tokio::test]
async fn a_tiny_log_tells_a_slow_reader_of_its_gap_in_band() {
    for overrun in [Overrun::Close, Overrun::Skip] {
        let site = Site::configured(|config| {
            tiny_log(config);
            config.engine.overrun = overrun;
        })
        .await;
        let path = "/sse/events?client=bob_1&topic=t";
        let mut stream = site.web.stream(path).await;
        greeted(&mut stream).await;
        fill_its_socket(&site, &Event::data("x".repeat(7_000))).await;
        for n in 0..100 {
            site.hub.publish(Target::topic("t"), Event::data(n.to_string())).await.expect("published");
        }
        // What is in its socket is whole, then the gap comes: in this stream or in the one after it.
        let (mut last, mut gaps, mut streams) = (String::new(), 0, 1);
        let mut next = 0;
        while next < 100 {
            let Some(frame) = stream.frame_or_end().await else {
                streams += 1;
                assert!(streams < 4, "it comes back in vain");
                stream = site.web.resume(path, &last).await;
                continue;
            };
            let (bare, id) = split_id(&frame);
            last = id.unwrap_or(last);
            if bare.starts_with("event:gap\n") {
                gaps += 1;
            } else if let Some(number) = bare.strip_prefix("data:").and_then(|rest| rest.trim_end().parse::<i32>().ok()) {
                assert!(gaps > 0 && (next == 0 || number == next), "{next} was expected, not {number}; {gaps} gaps");
                next = number + 1;
            } else {
                assert!(
                    bare.contains("event:connected") || bare.len() == 7_007,
                    "{overrun:?}: a whole frame, not {} bytes: {bare:.40} … {}",
                    bare.len(),
                    &bare[bare.len().saturating_sub(60)..]
                );
            }
        }
        assert!(gaps > 0, "{overrun:?}");
    }
}

#[tokio::test]
async fn a_reader_that_the_log_passed_is_ended_and_comes_back() {
    let site = Site::configured(|config| {
        tiny_log(config);
        config.engine.limits.connections = 1;
        config.engine.write_stall = Some(Duration::from_millis(300));
    })
    .await;
    let path = "/sse/events?client=bob_1&topic=t";
    let mut stream = site.web.stream(path).await;
    let (_, id) = greeted(&mut stream).await;
    fill_its_socket(&site, &Event::data("x".repeat(7_000))).await;
    // It never reads again. Its place, the only one, is free all the same.
    eventually("a free place", async || site.web.ask("HEAD", path, &[], b"").await.status() == 200).await;
    drop(stream);
    let came_back = async {
        loop {
            let answer = site.web.try_stream(path, &[("last-event-id", &id)]).await;
            if let Ok(mut stream) = answer {
                let greeting = stream.frame().await;
                assert!(greeting.contains("event:connected"), "{greeting}");
                stream.expect("event:gap\ndata:{\"reason\":\"evicted\"}\n\n").await;
                return;
            }
        }
    };
    within("the gap", came_back).await;
}

#[tokio::test]
async fn a_stuck_stream_that_was_replaced_gives_its_place_back() {
    let hub = builder().configure(|config| {
        config.engine.limits.connections = 2;
        config.engine.write_stall = Some(Duration::from_secs(2));
    });
    // No other limit ends it.
    let site = Site::with(hub, |setup| setup.serve.header_timeout = Duration::from_secs(600)).await;
    let stuck = site.web.stream("/sse/register-listener/bob_1").await;
    fill_its_socket(&site, &Event::data("x".repeat(60_000))).await;
    let stalled = "sse_hub_closed_total{reason=\"write_stall\"} 0";
    assert!(site.hub.render_metrics().contains(stalled), "replaced before its time is up");
    let mut fresh = site.web.stream("/sse/register-listener/bob_1").await;
    fresh.event().await;
    eventually("a free place", async || site.web.ask("HEAD", "/sse/events", &[], b"").await.status() == 200).await;
    site.web.post("/sse/publish", r#"{"to":"all","data":"fence"}"#).await;
    fresh.expect("data:fence\n\n").await;
    drop(stuck);
}

#[tokio::test]
async fn a_peer_that_resets_is_gone_at_once() {
    let site = Site::start().await;
    let mut stream = site.web.stream("/sse/events?client=bob_1").await;
    greeted(&mut stream).await;
    drop(stream);
    let mut socket = TcpStream::connect(site.web.0).await.expect("connects");
    socket.write_all(b"GET /sse/events?client=bob_1 HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    let mut head = [0; 16];
    socket.read_exact(&mut head).await.expect("a head");
    // Unread bytes make this a reset and no orderly end.
    drop(socket);
    eventually("no stream is left", async || {
        site.hub.list().await.expect("a list").iter().all(|registrant| registrant.streams == 0)
    })
    .await;
}
