//! The hub as a program of its own, and peers that are under control to the byte.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use memchr::memmem;
use rustix::process::{Pid, Signal, kill_process};

/// The longest anything may take. Nothing waits this long unless it is broken.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A running `sse-hub`, which ends with this.
pub(crate) struct Hub {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Log>,
}

/// What a program logged so far.
#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grown: Condvar,
}

impl Hub {
    /// Starts one with these settings, on a free port.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::run(&mut Self::command("127.0.0.1:0", settings))
    }

    pub(crate) fn command(listen: &str, settings: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sse-hub"));
        command.args(["--listen", listen]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        for setting in settings {
            command.args(["--set", setting]);
        }
        command
    }

    /// Runs `command`, which becomes a hub.
    pub(crate) fn run(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().expect("piped");
        let of_thread = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut text = of_thread.text.lock().expect("not poisoned");
                text.push_str(&line);
                text.push('\n');
                of_thread.grown.notify_all();
            }
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let address = line
            .strip_prefix("listening on http://")
            .and_then(|rest| rest.strip_suffix("/\n")?.parse().ok())
            .unwrap_or_else(|| panic!("the first line: {line:?}, {}", log.text.lock().expect("not poisoned")));
        Self { child, address, log }
    }

    /// Waits until it has logged `text`; all it logged.
    pub(crate) fn until_logged(&self, text: &str) -> String {
        let begun = Instant::now();
        let mut log = self.log.text.lock().expect("not poisoned");
        while !log.contains(text) {
            let left = DEADLINE.checked_sub(begun.elapsed()).unwrap_or_else(|| panic!("it did not log {text:?}, but {log}"));
            log = self.log.grown.wait_timeout(log, left).expect("not poisoned").0;
        }
        log.clone()
    }

    /// The most memory it says it takes, beside what it takes when it has nothing to do.
    pub(crate) fn stated_bound(&self) -> usize {
        let log = self.until_logged("memory at most");
        let line = log.lines().find(|line| line.contains("memory at most")).unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let size = |pair: &[&str]| {
            let number = pair[0].split_once('=')?.1.trim_matches('"').parse::<usize>().ok()?;
            let unit = match pair[1].trim_matches('"') {
                "KiB" => 1 << 10,
                "MiB" => 1 << 20,
                "GiB" => 1 << 30,
                _ => return None,
            };
            Some(number * unit)
        };
        let sizes: Vec<usize> = words.windows(2).filter_map(size).collect();
        assert_eq!(sizes.len(), 5, "{line}");
        sizes.iter().sum()
    }

    /// Its resident memory in bytes.
    pub(crate) fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux, and it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
        kib.expect("a number") * 1024
    }

    /// Does `work` while the program stands still: it finds all of it done at once.
    pub(crate) fn while_it_stands_still<T>(&self, work: impl FnOnce() -> T) -> T {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("it runs");
        kill_process(pid, Signal::STOP).expect("it stops");
        let done = work();
        kill_process(pid, Signal::CONT).expect("it goes on");
        done
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).expect("connects");
        patient(&socket);
        socket
    }

    /// One line of its metrics.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let mut socket = self.connect();
        write!(socket, "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        let value = answer.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {answer}"))
    }

    /// Waits until there are as many streams as this.
    pub(crate) fn until_streams(&self, count: u64) {
        eventually(&format!("{count} streams"), || self.metric("sse_hub_connections ") == count);
    }

    pub(crate) fn stream(&self, query: &str) -> Stream {
        Stream::ask(self.connect(), query)
    }

    /// A stream whose greeting has come.
    pub(crate) fn greeted(&self, query: &str) -> Stream {
        let mut stream = self.stream(query);
        stream.greeting();
        stream
    }

    pub(crate) fn publisher(&self) -> Publisher {
        Publisher { socket: BufReader::new(self.connect()) }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks `probe` until it says `true`.
pub(crate) fn eventually(what: &str, mut probe: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !probe() {
        assert!(begun.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Nothing that `socket` does takes longer than the deadline.
pub(crate) fn patient(socket: &TcpStream) {
    socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    socket.set_write_timeout(Some(DEADLINE)).expect("a deadline");
}

/// Tells the other threads of a test when one is done, or has failed.
pub(crate) struct AtEnd<'a>(pub(crate) &'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A stream of events.
pub(crate) struct Stream {
    pub(crate) socket: TcpStream,
    text: Vec<u8>,
    /// Up to where frames were given out.
    at: usize,
    /// How it ended, when that was not in order.
    error: Option<io::Error>,
}

impl Stream {
    /// Asks for a stream on `socket`.
    pub(crate) fn ask(socket: TcpStream, query: &str) -> Self {
        Self::try_ask(socket, query).expect("sent")
    }

    pub(crate) fn try_ask(mut socket: TcpStream, query: &str) -> io::Result<Self> {
        // In one piece: what is written to a socket that is still connecting waits for that.
        socket.write_all(format!("GET /sse/events{query} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())?;
        Ok(Self { socket, text: Vec::new(), at: 0, error: None })
    }

    /// Takes the response's head and the greeting, unless the connection is reset without a byte.
    pub(crate) fn is_reset_before_greeting(&mut self) -> bool {
        let mut first = [0];
        let peeked = self.socket.peek(&mut first);
        let is_reset = peeked.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
        if !is_reset {
            self.greeting();
        }
        is_reset
    }

    /// Takes the response's head and the greeting.
    pub(crate) fn greeting(&mut self) {
        let Some(greeting) = self.frame() else {
            panic!("no greeting, but {:?}, then {:?}", String::from_utf8_lossy(&self.text), self.error);
        };
        assert!(greeting.starts_with("HTTP/1.1 200 OK\r\n") && greeting.contains("event:connected\n"), "{greeting}");
    }

    /// The next frame with its empty line, the response's head before it; `None` when the stream has ended.
    pub(crate) fn frame(&mut self) -> Option<String> {
        loop {
            let rest = &self.text[self.at..];
            if let Some(end) = memmem::find(rest, b"\n\n") {
                let frame = String::from_utf8_lossy(&rest[..end + 2]).into_owned();
                self.at += end + 2;
                return Some(frame);
            }
            self.text.drain(..self.at);
            self.at = 0;
            let mut buffer = [0; 16 * 1024];
            match self.socket.read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => self.text.extend_from_slice(&buffer[..read]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    panic!("no frame within {DEADLINE:?}")
                }
                Err(error) => {
                    self.error = Some(error);
                    return None;
                }
            }
        }
    }

    /// The data of the next event; heartbeats are passed over.
    pub(crate) fn data(&mut self) -> Option<String> {
        loop {
            let frame = self.frame()?;
            if let Some(data) = frame.strip_prefix("data:") {
                return Some(data.split('\n').next().unwrap_or_default().to_owned());
            }
            assert!(frame.starts_with(':'), "{frame}");
        }
    }

    /// Leaves with a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.socket).set_linger(Some(Duration::ZERO)).expect("no lingering");
    }
}

/// Who publishes on one connection, which is kept.
pub(crate) struct Publisher {
    socket: BufReader<TcpStream>,
}

impl Publisher {
    /// Publishes `data` to a topic.
    pub(crate) fn publish(&mut self, topic: &str, data: &str) {
        let request = request(topic, data);
        self.socket.get_mut().write_all(request.as_bytes()).expect("sent");
        let (status, body) = self.answer();
        assert_eq!(status, 200, "{body}");
    }

    /// Sends what may be anything.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.get_mut().write_all(bytes)
    }

    /// The same connection for someone who sends.
    pub(crate) fn sender(&self) -> TcpStream {
        self.socket.get_ref().try_clone().expect("another handle")
    }

    pub(crate) fn shut_down(&self) {
        let _ = self.socket.get_ref().shutdown(Shutdown::Both);
    }

    /// The next answer: its status and body.
    pub(crate) fn answer(&mut self) -> (u16, String) {
        self.try_answer().expect("an answer")
    }

    pub(crate) fn try_answer(&mut self) -> io::Result<(u16, String)> {
        let (mut status, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            if self.socket.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            match (status, line.strip_prefix("content-length: ")) {
                (None, _) => status = line.split(' ').nth(1).and_then(|status| status.parse().ok()),
                (_, Some(value)) => length = value.parse().map_err(io::Error::other)?,
                _ if line.is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body)?;
        Ok((status.unwrap_or(0), String::from_utf8_lossy(&body).into_owned()))
    }
}

/// A request that publishes `data` to a topic.
pub(crate) fn request(topic: &str, data: &str) -> String {
    let body = format!(r#"{{"to":{{"topic":"{topic}"}},"data":"{data}"}}"#);
    format!("POST /sse/publish HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// What `tick` took `count` times, from the shortest to the longest.
pub(crate) fn measure(count: usize, mut tick: impl FnMut(usize)) -> Vec<Duration> {
    let mut taken: Vec<Duration> = (0..count)
        .map(|n| {
            let begun = Instant::now();
            tick(n);
            begun.elapsed()
        })
        .collect();
    taken.sort_unstable();
    taken
}

/// Median, 99th percentile and longest, for printing.
pub(crate) fn figures(taken: &[Duration]) -> String {
    let at = |part: usize| taken.get(taken.len() * part / 100).or(taken.last()).copied().unwrap_or_default();
    format!("p50 {:?}, p99 {:?}, max {:?}", at(50), at(99), taken.last().copied().unwrap_or_default())
}
