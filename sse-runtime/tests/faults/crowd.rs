//! Ten thousand at once.

use std::net::{SocketAddr, TcpStream};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use crate::hub::{Hub, Stream, patient};

/// Lets this process, and what it starts, open as many descriptors as this.
fn allow_descriptors(count: u64) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    assert!(
        maximum.is_none_or(|maximum| maximum >= count),
        "this test needs {count} file descriptors in each of two processes; the hard limit is {maximum:?}: raise it (ulimit -Hn)"
    );
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("the soft limit is raised");
}

/// A connection to `to` that is under way, from the loopback address that ends with `host`.
fn begin_connect(to: SocketAddr, host: u8) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, host], 0)).into()).expect("a loopback address");
    socket.set_nonblocking(true).expect("non-blocking");
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        connected => connected.expect("connects"),
    }
    socket
}

#[test]
fn ten_thousand_come_at_once_and_leave_at_once() {
    const COUNT: usize = 10_000;
    allow_descriptors(COUNT as u64 + 500);
    let hub = Hub::start(&["timers.heartbeat=off", "http.header_timeout=120s"]);
    let mut publisher = hub.publisher();
    // One first, so that what is there once for all is not counted.
    hub.greeted("").reset();
    hub.until_streams(0);
    let before = hub.resident();

    let mut streams = Vec::new();
    let mut refused = 0;
    while streams.len() < COUNT {
        let missing = COUNT - streams.len();
        let begun: Vec<Socket> = (0..missing).map(|n| begin_connect(hub.address, 2 + (n % 4) as u8)).collect();
        let asked: Vec<Option<Stream>> = begun
            .into_iter()
            .map(|socket| {
                socket.set_nonblocking(false).expect("blocking");
                let socket = TcpStream::from(socket);
                patient(&socket);
                Stream::try_ask(socket, "?topic=t").ok()
            })
            .collect();
        // What the kernel's queue of connections has no room for, the kernel may reset (SYN cookies); such a client comes again.
        streams.extend(asked.into_iter().flatten().filter_map(|mut stream| {
            let is_reset = stream.is_reset_before_greeting();
            (!is_reset).then_some(stream)
        }));
        refused += COUNT - streams.len();
        assert!(refused < COUNT, "{refused} were reset");
    }
    assert_eq!(hub.metric("sse_hub_connections "), COUNT as u64);
    let idle = hub.resident();
    publisher.publish("t", "one");
    publisher.publish("t", "two");
    for stream in &mut streams {
        assert_eq!((stream.data().as_deref(), stream.data().as_deref()), (Some("one"), Some("two")));
    }
    let busy = hub.resident();
    streams.into_iter().for_each(Stream::reset);
    hub.until_streams(0);
    let after = hub.resident();
    eprintln!(
        "{COUNT} streams, {refused} times the kernel's queue was too short: resident {} KiB before, {} KiB idle ({} bytes each), {} KiB after two events, {} KiB when all have left",
        before >> 10,
        idle >> 10,
        idle.saturating_sub(before) / COUNT,
        busy >> 10,
        after >> 10,
    );
    // Tables keep their length for those who come next: some 600 bytes a row for connection, client, seat and place. The rest is
    // the allocator's.
    assert!(after < before + COUNT * 1024, "{} KiB are kept", (after - before) >> 10);
    // Places were given back.
    hub.greeted("");
}
