//! The examples `mio` and `blocking`: two hubs with loops of their own, as `curl` sees them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const HUBS: [&str; 2] = ["mio", "blocking"];
/// Nothing takes so long but what will never come.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn each_is_read_in_one_sitting() {
    let sources = [include_str!("../../sse-proto/examples/mio.rs"), include_str!("../../sse-proto/examples/blocking.rs")];
    assert!(sources.iter().all(|source| source.lines().count() < 200), "an example has 200 lines or more");
}

#[test]
fn streams_have_their_topics_and_resume_where_they_were_cut_off() {
    for hub in HUBS.map(|name| Hub::start(name, 15_000)) {
        let mut news = hub.follow("events?topic=news&topic=more", "");
        let greeting = news.frame();
        assert!(greeting.contains("event:connected\n"), "{}: {greeting}", hub.name);
        let first = hub.publish("publish?topic=news", "one");
        assert_eq!(news.frame(), format!("data:one\nid:{first}\n"), "{}", hub.name);
        hub.publish("publish?topic=other", "not for it");
        let all = hub.publish("publish", "a\nb");
        assert_eq!(news.frame(), format!("data:a\ndata:b\nid:{all}\n"), "{}", hub.name);
        drop(news);

        let missed = [hub.publish("publish?topic=more", "two"), hub.publish("publish?topic=news", "three")];
        let mut news = hub.follow("events?topic=news&topic=more", &all);
        assert!(news.frame().ends_with(&format!("id:{all}\n")), "{}", hub.name);
        assert_eq!(news.frame(), format!("data:two\nid:{}\n", missed[0]), "{}", hub.name);
        assert_eq!(news.frame(), format!("data:three\nid:{}\n", missed[1]), "{}", hub.name);
        let live = hub.publish("publish?topic=news", "four");
        assert_eq!(news.frame(), format!("data:four\nid:{live}\n"), "{}", hub.name);

        let mut stranger = hub.follow("events?topic=news", "00000000-7");
        stranger.frame();
        let gap = stranger.frame();
        assert!(gap.starts_with("event:gap\ndata:{\"reason\":\"epoch\"}\n"), "{}: {gap}", hub.name);
    }
}

#[test]
fn silent_streams_have_heartbeats() {
    for hub in HUBS.map(|name| Hub::start(name, 100)) {
        let mut streams = [hub.follow("events?topic=a", ""), hub.follow("events?topic=b", "")];
        for stream in &mut streams {
            stream.frame();
            for _ in 0..3 {
                assert_eq!(stream.frame(), ":heartbeat\n", "{}", hub.name);
            }
        }
    }
}

#[test]
fn what_cannot_be_done_says_why() {
    for hub in HUBS.map(|name| Hub::start(name, 15_000)) {
        let too_long = "x".repeat(70_000);
        for (args, status, says) in [
            (&["nothing"][..], 404, "GET /events"),
            (&["events?topic=a%5Eb"], 400, "topic 1"),
            (&["publish?topic=a%22b", "-d", "x"], 400, "cannot stand in a name"),
            (&["publish", "-X", "POST"], 411, "Content-Length"),
            (&["publish", "-d", &too_long], 413, "64 KiB"),
        ] {
            let answer = hub.curl(args);
            let (body, code) = answer.rsplit_once('\n').unwrap();
            assert!(code == status.to_string() && body.contains(says), "{} {args:.50?}: {answer}", hub.name);
        }
        let mut raw = hub.connect("\0\r\n\r\n");
        let mut answer = String::new();
        raw.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{}: {answer}", hub.name);
    }
}

/// A reader that takes nothing costs the others nothing; when it takes again it is ended, and told of the gap when it resumes.
#[test]
fn a_reader_that_stops_holds_nobody_up() {
    for hub in HUBS.map(|name| Hub::start(name, 15_000)) {
        let request = |path: &str| format!("GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let slow = hub.connect(&request("events?topic=bulk"));
        let quick = hub.connect(&request("events?topic=bulk"));
        let mut lines = BufReader::new(&quick).lines();
        // Both are there.
        lines.find(|line| line.as_ref().unwrap().starts_with("id:")).unwrap().unwrap();
        let mut slow = BufReader::new(slow);
        let mut line = String::new();
        while !line.starts_with("id:") {
            line.clear();
            slow.read_line(&mut line).unwrap();
        }
        // More than the log and the buffers of a socket hold together.
        let bulk = "x".repeat(60_000);
        let rounds = 500;
        for _ in 0..rounds {
            let len = bulk.len();
            let head = format!("POST /publish?topic=bulk HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n\r\n");
            let mut answer = String::new();
            hub.connect(&(head + &bulk)).read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{}: {answer}", hub.name);
            let data = lines.next().unwrap().unwrap_or_default();
            let data = if data.is_empty() { lines.next().unwrap().unwrap() } else { data };
            assert_eq!(data.len(), "data:".len() + bulk.len(), "{}", hub.name);
            lines.next().unwrap().unwrap();
        }
        // The slow one is given what was on its way, and then the end.
        let (mut last, mut whole) = (String::new(), 0);
        line.clear();
        while slow.read_line(&mut line).is_ok_and(|len| len > 0) {
            if let Some(id) = line.strip_prefix("id:") {
                (last, whole) = (id.trim().to_owned(), whole + 1);
            }
            line.clear();
        }
        assert!((1..rounds).contains(&whole), "{}: {whole} frames came", hub.name);
        let mut again = hub.follow("events?topic=bulk", &last);
        again.frame();
        let gap = again.frame();
        assert!(gap.starts_with("event:gap\ndata:{\"reason\":\"evicted\"}\n"), "{}: {gap:.200}", hub.name);
    }
}

/// The program, and where it listens. It is ended with this.
struct Hub {
    name: &'static str,
    child: Child,
    address: String,
}

impl Hub {
    fn start(name: &'static str, heartbeat: u32) -> Self {
        let directory = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples");
        let program = directory.join(name);
        assert!(program.exists(), "{} is not built: run cargo build -p sse-proto --examples", program.display());
        let args = ["127.0.0.1:0", &heartbeat.to_string()];
        let mut child = Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").and_then(|url| url.strip_suffix('/'));
        let address = address.unwrap_or_else(|| panic!("{name} says {line:?}")).to_owned();
        Self { name, child, address }
    }

    /// A connection that has said this, and waits no longer than is sensible.
    fn connect(&self, request: &str) -> TcpStream {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        socket
    }

    /// Body and status.
    fn curl(&self, args: &[&str]) -> String {
        let url = format!("http://{}/{}", self.address, args[0]);
        let limits = ["-sS", "--max-time", "30", "-w", "%{http_code}"];
        let output = Command::new("curl").args(limits).arg(url).args(&args[1..]).output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", self.name);
        String::from_utf8(output.stdout).unwrap()
    }

    /// The event's id.
    fn publish(&self, path: &str, data: &str) -> String {
        let answer = self.curl(&[path, "--data-binary", data]);
        let id = answer.strip_suffix("\n200");
        id.unwrap_or_else(|| panic!("{} answers {answer:?}", self.name)).to_owned()
    }

    fn follow(&self, path: &str, last_event_id: &str) -> Stream {
        let url = format!("http://{}/{path}", self.address);
        let header = format!("Last-Event-ID: {last_event_id}");
        let args = ["-sS", "-N", "-f", "-H", &header, &url];
        let mut child = Command::new("curl").args(args).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || stdout.lines().try_for_each(|line| send.send(line.unwrap_or_default()).ok()));
        Stream { child, lines }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// `curl` that follows a stream. It is ended with this.
struct Stream {
    child: Child,
    lines: Receiver<String>,
}

impl Stream {
    /// The next frame, without the blank line behind it.
    fn frame(&mut self) -> String {
        let mut frame = String::new();
        let deadline = Instant::now() + LONG;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|why| panic!("{why} after {frame:?}"));
            if line.is_empty() {
                return frame;
            }
            frame = frame + &line + "\n";
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
