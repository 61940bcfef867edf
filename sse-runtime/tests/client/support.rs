//! Servers and programs that tests start, and end with themselves.

use std::collections::HashMap;
use std::future::Future;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use sse_runtime::client::{Builder, Config, EventSource, Item};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A server that a test scripts: `answer` gets the number of the connection, the request, and the socket.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Reads one; `None` when the peer leaves before it is whole.
    pub(crate) async fn read(socket: &mut TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        let head_len = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if socket.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8(bytes[..head_len].to_vec()).ok()?;
        let mut lines = head.lines();
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let headers: HashMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let body_len: usize = headers.get("content-length").map_or(0, |len| len.parse().unwrap());
        while bytes.len() < head_len + body_len {
            if socket.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
        let body = String::from_utf8(bytes[head_len..].to_vec()).ok()?;
        Some(Self { method, target, headers, body })
    }
}

impl Server {
    pub(crate) async fn start<F>(answer: impl Fn(usize, Request, TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let task = tokio::spawn(async move {
            for number in 0.. {
                let (mut socket, _) = listener.accept().await.unwrap();
                // A client has one connection at a time, so requests are in order.
                let Some(request) = Request::read(&mut socket).await else { continue };
                seen.lock().unwrap().push(request.clone());
                tokio::spawn(answer(number, request, socket));
            }
        });
        Self { address, requests, task }
    }

    /// Answers each connection with the next text, and the last one for ever.
    pub(crate) async fn answers(answers: &[&str]) -> Self {
        let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        Self::start(move |number, _, mut socket| {
            let answer = answers[number.min(answers.len() - 1)].clone();
            async move {
                let _ = socket.write_all(answer.as_bytes()).await;
                let _ = socket.shutdown().await;
            }
        })
        .await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The head of a stream whose end is the end of the connection.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// A whole stream that says it is over.
pub(crate) const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// A client that does not let a test wait.
pub(crate) fn hasty(url: &str) -> Builder {
    EventSource::builder(url).config(Config {
        retry: Duration::from_millis(1),
        shortest_wait: Duration::from_millis(1),
        backoff_ceiling: Duration::from_millis(20),
        longest_wait: Duration::from_millis(5),
        ..Config::default()
    })
}

/// The next item, which has to come.
pub(crate) async fn next(source: &mut EventSource) -> Item {
    within(source.next()).await.expect("the stream goes on")
}

/// The data of the next event, whatever becomes of the connection before it.
pub(crate) async fn data(source: &mut EventSource) -> String {
    loop {
        match next(source).await {
            Item::Event(event) => return event.data,
            Item::Closed(why) => panic!("closed: {why}"),
            _ => {}
        }
    }
}

/// Everything to the end, each item in one word or two.
pub(crate) async fn story(mut source: EventSource) -> Vec<String> {
    let mut story = Vec::new();
    while let Some(item) = within(source.next()).await {
        assert!(story.len() < 1_000, "it has no end: {:?}", &story[..10]);
        story.push(match item {
            Item::Opened => "opened".to_owned(),
            Item::Event(event) => event.data,
            Item::Skipped(error) => format!("{error:?}"),
            Item::Reconnecting { why, .. } => format!("{:?}", why.reason),
            Item::Closed(why) => format!("closed {:?}", why.reason),
            other => format!("{other:?}"),
        });
    }
    story
}

/// What has to happen, and does not take a minute on the slowest machine.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it takes no minute")
}

/// Numbers from a seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// `sse-hub` as a program.
pub(crate) struct Hub {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Hub {
    pub(crate) fn start() -> Self {
        Self::start_on("127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn start_on(address: SocketAddr) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sse-hub"))
            .args(["--listen", &address.to_string(), "--log", "error"])
            .env_clear()
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").and_then(|rest| rest.trim_end_matches('/').parse().ok());
        let address = address.unwrap_or_else(|| panic!("not where it listens: {line:?}"));
        Self { child, address }
    }

    pub(crate) fn kill(mut self) -> SocketAddr {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.address
    }

    /// As an operator ends it: with a word to every client.
    pub(crate) async fn stop(mut self) -> SocketAddr {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        let address = self.address;
        within(tokio::task::spawn_blocking(move || self.child.wait().unwrap())).await.unwrap();
        address
    }

    pub(crate) fn url(&self, topic: &str) -> String {
        stream_url(self.address, topic)
    }

    /// Publishes these numbers, padded to a length, in order.
    pub(crate) async fn publish(&self, topic: &str, numbers: std::ops::Range<usize>, padding: usize) {
        for start in numbers.clone().step_by(200) {
            let events: Vec<_> = (start..numbers.end.min(start + 200))
                .map(|number| json!({ "to": { "topic": topic }, "event": "number", "data": format!("{number}\n{}", "x".repeat(padding)) }))
                .collect();
            let body = serde_json::Value::Array(events).to_string();
            let mut socket = TcpStream::connect(self.address).await.unwrap();
            let head = format!(
                "POST /sse/publish HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                self.address,
                body.len()
            );
            socket.write_all(head.as_bytes()).await.unwrap();
            socket.write_all(body.as_bytes()).await.unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn stream_url(address: SocketAddr, topic: &str) -> String {
    format!("http://{address}/sse/events?topic={topic}&client=reader_1")
}

/// The numbers of the hub's events as they come, until there are so many; and how often the connection was opened.
pub(crate) async fn numbers(source: &mut EventSource, count: usize) -> (Vec<usize>, usize) {
    let (mut numbers, mut opened) = (Vec::new(), 0);
    while numbers.len() < count {
        match next(source).await {
            Item::Event(event) if event.event == "number" => {
                numbers.push(event.data.lines().next().unwrap().parse().unwrap());
            }
            Item::Event(event) => assert_eq!(event.event, "connected", "{event:?}"),
            Item::Opened => opened += 1,
            Item::Reconnecting { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    (numbers, opened)
}

/// A program a test needs, which the package installs.
pub(crate) fn program(path: &str, package: &str) -> Command {
    assert!(Path::new(path).exists(), "{path} is missing: install the Debian package {package}, as tests/run does");
    Command::new(path)
}
