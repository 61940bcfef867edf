//! Our own hub: killed, stopped, and behind a line that breaks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sse_runtime::client::{Interruption, Item};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::support::{Hub, Random, hasty, next, numbers, stream_url, within};

#[tokio::test]
async fn the_hub_is_killed_and_comes_back() {
    let hub = Hub::start();
    let mut source = hasty(&hub.url("t")).build().unwrap();
    assert_eq!(next(&mut source).await, Item::Opened);
    hub.publish("t", 0..50, 10).await;
    assert_eq!(numbers(&mut source, 50).await.0, (0..50).collect::<Vec<_>>());

    let address = hub.kill();
    match next(&mut source).await {
        Item::Reconnecting { why, .. } => assert!(matches!(why.reason, Interruption::Failed | Interruption::Ended), "{why}"),
        other => panic!("{other:?}"),
    }
    match next(&mut source).await {
        Item::Reconnecting { why, .. } => assert_eq!(why.reason, Interruption::Failed),
        other => panic!("{other:?}"),
    }

    let hub = Hub::start_on(address);
    // The log died with the hub, and the new one says so: nothing is missed in silence.
    let gap = loop {
        match next(&mut source).await {
            Item::Event(event) if event.event == "gap" => break event.data,
            Item::Event(event) => assert_eq!(event.event, "connected"),
            Item::Opened | Item::Reconnecting { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(gap.contains("epoch"), "{gap}");
    hub.publish("t", 50..100, 10).await;
    assert_eq!(numbers(&mut source, 50).await.0, (50..100).collect::<Vec<_>>());

    hub.publish("t", 100..110, 10).await;
    hub.stop().await;
    assert_eq!(
        numbers(&mut source, 10).await.0,
        (100..110).collect::<Vec<_>>(),
        "what was published before the end still comes"
    );
}

#[tokio::test]
async fn cut_a_hundred_times_every_event_comes_once() {
    for seed in [1, 2] {
        let hub = Hub::start();
        let line = Line::start(hub.address, seed, 100).await;
        let mut source = hasty(&stream_url(line.address, "t")).build().unwrap();
        assert_eq!(next_opened(&mut source).await, 1);
        // Half of it is history by the time it is read, half is published while the line breaks.
        hub.publish("t", 0..1_000, 60).await;
        let live = async {
            for start in (1_000..2_000).step_by(50) {
                hub.publish("t", start..start + 50, 60).await;
            }
        };
        let (got, ()) = tokio::join!(numbers(&mut source, 2_000), live);
        assert_eq!(got.0, (0..2_000).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(line.cuts.load(Ordering::SeqCst), 100, "seed {seed}: the line was to break a hundred times");
        // Nothing comes behind the last one.
        hub.publish("t", 2_000..2_001, 0).await;
        assert_eq!(numbers(&mut source, 1).await.0, [2_000]);
    }
}

/// The stream is open once, however often that takes.
async fn next_opened(source: &mut sse_runtime::client::EventSource) -> usize {
    loop {
        match next(source).await {
            Item::Opened => return 1,
            Item::Reconnecting { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A line to a server that breaks so many times, each time at another byte of the answer, its head included.
struct Line {
    address: SocketAddr,
    cuts: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Line {
    async fn start(server: SocketAddr, seed: u64, times: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(AtomicUsize::new(0));
        let count = cuts.clone();
        let task = tokio::spawn(async move {
            let mut random = Random(seed);
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let upstream = TcpStream::connect(server).await.unwrap();
                if count.load(Ordering::SeqCst) < times {
                    // Sometimes within the head, mostly behind it, seldom between two frames.
                    let range = if random.below(10) == 0 { 300 } else { 4_000 };
                    let after = random.below(range);
                    carry(client, upstream, Some(after), random.below(2) == 0).await;
                    count.fetch_add(1, Ordering::SeqCst);
                } else {
                    tokio::spawn(carry(client, upstream, None, false));
                }
            }
        });
        Self { address, cuts, task }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries the request up and so many bytes of the answer down, and breaks: in order, or with a reset.
async fn carry(mut client: TcpStream, mut server: TcpStream, mut left: Option<usize>, reset: bool) {
    let mut up = [0; 4096];
    let mut down = [0; 1024];
    while left != Some(0) {
        let most = left.map_or(down.len(), |left| left.min(down.len()));
        tokio::select! {
            Ok(len) = client.read(&mut up) => {
                if len == 0 {
                    return;
                }
                server.write_all(&up[..len]).await.unwrap();
            }
            Ok(len) = server.read(&mut down[..most]) => {
                if len == 0 || client.write_all(&down[..len]).await.is_err() {
                    return;
                }
                left = left.map(|left| left - len);
            }
            else => return,
        }
    }
    if reset {
        let _ = within(client.flush()).await;
        let _ = client.set_zero_linger();
    }
}
