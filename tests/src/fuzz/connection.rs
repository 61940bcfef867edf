//! The bytes of one connection, cut anywhere. A server, whose shards answer what is plain and leave the rest to hyper, makes of them
//! what hyper and the router alone make of all of them at once: it finds the same requests with the same bodies, answers and publishes
//! the same. Which of them shards answer is what a naive reading of all the bytes says.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use serde_json::Value;
use sse_proto::EventId;
use sse_proto::wire::{Decoder, Item, Limits};
use sse_runtime::auth::{Guard, Origins};
use sse_runtime::serve::{ServeOptions, serve};
use sse_runtime::{Event, EventStream, Hub, Register, RouterOptions, Target, site};
use tokio::runtime::Runtime;
use tokio::signal::unix::SignalKind;
use tower::ServiceExt as _;

use super::requests::read_until;
use super::{Choices, cuts};
use crate::net::{DEADLINE, Head, find};

/// Where to cut; what is sent, in ASCII and in words.
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let places = choices.places();
    let sent = spelled(choices.rest());
    let asked = Asked::of(&sent);
    // Two hubs for all: one input at a time.
    let mut sites = SITES.lock().unwrap_or_else(PoisonError::into_inner);
    let Sites { runtime, hubs, router, address, probe } = &mut *sites;
    let watchers = hubs.each_ref().map(|hub| runtime.block_on(Watcher::of(hub)));
    let answers = runtime.block_on(asked.answers(router));
    let is_whole = matches!(asked.end, End::Waits) && !asked.is_begun;
    let is_told = asked.left(&answers).is_none_or(|left| left + 1 == asked.requests.len() && is_whole);
    if is_told {
        let mut connection = Connection::open(*address);
        let mut from = 0;
        for to in cuts(&places, sent.len()).into_iter().chain([sent.len()]) {
            connection.send(&sent[from..to]);
            probe.ask();
            from = to;
        }
        asked.check(connection, &answers, &plain(&sent), &String::from_utf8_lossy(&sent));
    }
    let [of_router, of_server] = watchers.map(|watcher| runtime.block_on(watcher.all()));
    assert!(
        !is_told || of_router == of_server,
        "{of_server:#?} was published and not {of_router:#?}, of {:?}",
        String::from_utf8_lossy(&sent)
    );
}

struct Sites {
    runtime: Runtime,
    /// The router's, and the server's.
    hubs: [Hub; 2],
    router: Router,
    address: SocketAddr,
    probe: Probe,
}

static SITES: LazyLock<Mutex<Sites>> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let within = runtime.enter();
    // A write to a socket whose peer is gone ends no Rust program, but libFuzzer's is none.
    drop(tokio::signal::unix::signal(SignalKind::pipe()).expect("a handler"));
    // One shard: what comes first is read first.
    let hub = || Hub::builder().configure(|config| config.shards = 1).build().expect("a hub");
    let hubs = [hub(), hub()];
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket of tokio's");
    let address = listener.local_addr().expect("an address");
    let options = RouterOptions::new(Guard::new(address, None, Origins::any(), Vec::new(), None));
    let router = site(hubs[0].clone(), &options);
    let served = hubs[1].clone();
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    runtime.spawn(async move {
        // The probe says nothing while other targets run.
        let header_timeout = Duration::from_secs(3_600);
        let how = ServeOptions { max_connections: 10_000, header_timeout, write_timeout: None, io_uring: false };
        serve(listener, served, &options, how, pending(), async || {}, Duration::ZERO).await.expect("served");
    });
    drop(within);
    Mutex::new(Sites { runtime, hubs, router, address, probe: Probe(Connection::open(address)) })
});

/// Bytes at most: no head is so long that it depends on the pieces in which it comes how hyper refuses it.
const MOST: usize = 12 * 1024;

/// ASCII stands for itself, any other byte for one of these.
const WORDS: &[&[u8]] = &[
    b"POST /sse/publish HTTP/1.1\r\ncontent-length: 23\r\n\r\n{\"to\":\"all\",\"data\":\"1\"}\n",
    b"POST /sse/publish HTTP/1.1\r\ncontent-length: 25\r\n\r\n{\"to\":{\"topic\":\"t\"},\"id\":\"",
    b"POST /sse/publish HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive\r\ncontent-length: ",
    b"POST /sse/publish HTTP/1.1\r\n",
    b"POST /sse/publish?a=b HTTP/1.1\r\n",
    b"GET /sse/events?topic=t HTTP/1.1\r\n",
    b"GET /sse/register-listener/bob_1 HTTP/1.1\r\n",
    b"GET /healthz HTTP/1.1\r\n\r\n",
    b"POST http://localhost/sse/publish HTTP/1.1\r\n",
    b"POST /sse/publish HTTP/1.0\r\n",
    b"content-length: ",
    b"Content-Length:23\r\n",
    b"transfer-encoding: chunked\r\n",
    b"transfer-encoding: identity\r\n",
    b"17\r\n{\"to\":\"all\",\"data\":\"2\"}\n\r\n0\r\n\r\n",
    b"{\"to\":\"all\",\"data\":\"3\"}\n",
    b"{\"to\":{\"topic\":\"t\"},\"event\":\"e\",\"id\":\"i\",\"retry\":7}",
    b"[{\"to\":\"all\",\"data\":[1,\"x\"]},{\"to\":{\"client\":\"bob_1\"}}]",
    b"connection: close\r\n",
    b"connection: ",
    b"expect: 100-continue\r\n",
    b"upgrade: x\r\n",
    b"host: localhost\r\n",
    b"host: elsewhere\r\n",
    b"last-event-id: ",
    b"sec-fetch-site: cross-site\r\n",
    b"\r\n\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n ",
    b" :",
    b"\t",
    b"\0",
    b"\xFF",
    "\u{e9}".as_bytes(),
];

fn spelled(input: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for byte in input {
        match byte.checked_sub(0x80) {
            Some(word) => bytes.extend_from_slice(WORDS[usize::from(word) % WORDS.len()]),
            None => bytes.push(*byte),
        }
    }
    bytes.truncate(MOST);
    bytes
}

/// What hyper finds in all the bytes of a connection.
struct Asked {
    requests: Vec<(Parts, Bytes)>,
    /// A request has begun and is not whole, or its body is none.
    is_begun: bool,
    end: End,
}

enum End {
    /// There may be more.
    Waits,
    /// The connection ends, after the answer to what is no request, if there is one.
    Ends(Option<Answer>),
}

impl Asked {
    fn of(sent: &[u8]) -> Self {
        let (requests, begun, answered) = (&RefCell::new(Vec::new()), &Cell::new(0), &RefCell::new(Vec::new()));
        let service = service_fn(|request: Request<Incoming>| async {
            begun.set(begun.get() + 1);
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            requests.borrow_mut().push((parts, body));
            Ok::<_, hyper::Error>(Response::new(Body::empty()))
        });
        let is_over =
            is_over(pin!(Builder::new().header_read_timeout(None).serve_connection(Peer { sent, answered }, service)));
        let (requests, mut answered) = (requests.take(), answered.take());
        for (parts, _) in &requests {
            assert!(Answer::take(&mut answered, &parts.method).is_some(), "each has its answer");
        }
        let refused = Answer::take(&mut answered, &Method::GET).map(|(answer, _)| answer);
        Self { is_begun: begun.get() > requests.len(), requests, end: if is_over { End::Ends(refused) } else { End::Waits } }
    }

    /// What the router says to each, up to a stream.
    async fn answers(&self, router: &Router) -> Vec<Answer> {
        let mut answers = Vec::new();
        for (parts, body) in &self.requests {
            let request = Request::from_parts(parts.clone(), Body::from(body.clone()));
            let answer = router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
            let answer = Answer::of_router(answer, &parts.method).await;
            let is_stream = answer.is_stream;
            answers.push(answer);
            if is_stream {
                break;
            }
        }
        answers
    }

    /// The first request whose body is left unread. What comes of what follows depends on how much of that had come.
    fn left(&self, answers: &[Answer]) -> Option<usize> {
        self.requests.iter().zip(answers).position(|((parts, body), answer)| {
            let is_read = parts.uri.path() == PUBLISH && parts.method == Method::POST && !matches!(answer.status, 401 | 403);
            parts.method == Method::CONNECT || !is_read && !body.is_empty()
        })
    }

    /// Reads what is answered on `connection`, on which all was sent.
    fn check(&self, mut connection: Connection, answers: &[Answer], plain: &[Plain<'_>], sent: &str) {
        let mut is_hypers = false;
        for (index, ((parts, body), expected)) in self.requests.iter().zip(answers).enumerate() {
            let Some((answer, is_by_hyper)) = connection.answer(&parts.method) else {
                // Who sends more when the server has ended the connection loses what is on its way.
                assert!(connection.is_reset && matches!(self.end, End::Ends(_)), "request {index} is not answered: {sent:?}");
                return;
            };
            assert_eq!(&answer, expected, "request {index} of {sent:?}");
            let plain = plain.get(index).filter(|plain| !is_hypers && plain.is_for_a_shard(expected));
            is_hypers = plain.is_none();
            assert_eq!(is_by_hyper, is_hypers, "who answers request {index} of {sent:?}");
            assert!(plain.is_none_or(|plain| plain.body == body), "the body of request {index} of {sent:?}");
        }
        let is_stream = answers.last().is_some_and(|answer| answer.is_stream);
        match &self.end {
            _ if self.is_begun || is_stream || self.left(answers).is_some() => {}
            End::Waits => assert_eq!(connection.rest(), "", "nothing more is asked: {sent:?}"),
            End::Ends(refused) => {
                // What comes in pieces hyper refuses when it is a whole head.
                connection.send(b"\r\n\r\n");
                let answer = connection.answer(&Method::GET).map(|(answer, _)| answer);
                assert!(answer == *refused || connection.is_reset, "{answer:?} and not {refused:?} at the end of {sent:?}");
            }
        }
    }
}

/// A request that is plain, to a route that a shard knows.
struct Plain<'a> {
    method: &'a str,
    body: &'a [u8],
}

/// Those at the front of what is sent.
fn plain(mut sent: &[u8]) -> Vec<Plain<'_>> {
    let mut found = Vec::new();
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        let Ok(httparse::Status::Complete(head_len)) = request.parse(sent) else { return found };
        let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version) else { return found };
        let values = |name: &str| -> Vec<&[u8]> {
            request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value).collect()
        };
        let is_odd = |name| !values(name).is_empty();
        let is_target_plain =
            target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"#<>`".contains(&byte));
        let is_connection_plain = match values("connection")[..] {
            [] => true,
            [option] => option.eq_ignore_ascii_case(b"close") || option.eq_ignore_ascii_case(b"keep-alive"),
            _ => false,
        };
        let body_len = match values("content-length")[..] {
            [] => Some(0),
            [digits] if digits.iter().all(u8::is_ascii_digit) => String::from_utf8_lossy(digits).parse::<usize>().ok(),
            _ => None,
        };
        let is_known = match (method, target.split('?').next().unwrap_or_default()) {
            ("POST", path) => path == PUBLISH,
            ("GET", path) => {
                body_len == Some(0)
                    && (path == EVENTS || path.strip_prefix(LISTENER).is_some_and(|id| !id.contains(['%', '/'])))
            }
            _ => false,
        };
        let is_plain =
            is_target_plain && is_connection_plain && !["transfer-encoding", "expect", "upgrade"].into_iter().any(is_odd);
        let body = body_len.and_then(|len| sent[head_len..].get(..len));
        let Some(body) = body.filter(|_| is_plain && is_known) else { return found };
        found.push(Plain { method, body });
        sent = &sent[head_len + body.len()..];
    }
}

impl Plain<'_> {
    /// Whether a shard gives this answer: it opens streams and refuses none, and does not know of every client of an array.
    fn is_for_a_shard(&self, answer: &Answer) -> bool {
        let is_for_a_client = |publishing: &Value| publishing["to"]["client"].is_string();
        let json: Value = serde_json::from_slice(self.body).unwrap_or_default();
        let asks_first = json.as_array().is_some_and(|all| all.iter().any(is_for_a_client));
        match answer.status {
            401 | 403 => false,
            200 | 404 if asks_first => false,
            _ => self.method == "POST" || answer.is_stream,
        }
    }
}

const PUBLISH: &str = "/sse/publish";
const EVENTS: &str = "/sse/events";
const LISTENER: &str = "/sse/register-listener/";

/// An answer without what differs each time.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    is_stream: bool,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn new(method: &Method, head: Head, body: &[u8]) -> Self {
        let is_stream = head.is_stream() && method == Method::GET;
        let of_connection = ["date", "connection", "transfer-encoding", "content-length"];
        let mut headers = head.headers;
        headers.retain(|(name, _)| !of_connection.contains(&name.as_str()));
        headers.sort();
        // What is told of a hub that is no error differs from one to the other, but for which event has an id of its own.
        let body = if head.status == 200 { own_ids(body) } else { String::from_utf8_lossy(body).into_owned() };
        Self { status: head.status, is_stream, headers, body }
    }

    async fn of_router(response: Response<Body>, method: &Method) -> Self {
        let (parts, body) = response.into_parts();
        let headers = parts.headers.iter();
        let headers = headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        let head = Head { status: parts.status.as_u16(), headers: headers.collect() };
        let is_left = head.is_stream() || method == Method::HEAD;
        let body = if is_left { Bytes::new() } else { body.collect().await.expect("a body in memory").to_bytes() };
        Self::new(method, head, &body)
    }

    /// Takes the one at the front of `bytes`, if it is whole; and whether hyper wrote it.
    fn take(bytes: &mut Vec<u8>, method: &Method) -> Option<(Self, bool)> {
        loop {
            let end = find(bytes, b"\r\n\r\n")?;
            let head = Head::parse(&String::from_utf8_lossy(&bytes[..end]));
            let body = end + 4;
            if head.status == 100 {
                bytes.drain(..body);
                continue;
            }
            let is_left = head.is_stream() || method == Method::HEAD;
            let len = head.header("content-length").filter(|_| !is_left).map_or(0, |len| len.parse().expect("a length"));
            // Hyper brings its own headers behind the route's, and the date last.
            let place = |name| head.headers.iter().position(|(known, _)| known == name);
            let is_by_hyper = match head.is_stream() {
                true => place("connection").is_none_or(|at| Some(at) > place("access-control-allow-origin")),
                false => place("date") > place("content-length"),
            };
            let answer = Self::new(method, head, bytes.get(body..body + len)?);
            bytes.drain(..body + len);
            return Some((answer, is_by_hyper));
        }
    }
}

/// The ids in the answer to a publication, but for those that the hub gave.
fn own_ids(body: &[u8]) -> String {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let all = json.as_array().cloned().unwrap_or(vec![json]);
    let ids = all.iter().map(|published| published["id"].as_str().map(own_id));
    format!("{:?}", ids.collect::<Vec<_>>())
}

fn own_id(id: &str) -> &str {
    if EventId::parse(id).is_some() { "of the hub" } else { id }
}

/// What a client sees of what is for all, and for a topic.
struct Watcher<'a> {
    hub: &'a Hub,
    stream: EventStream,
}

impl<'a> Watcher<'a> {
    async fn of(hub: &'a Hub) -> Self {
        // Its id is random: no request can end it.
        let id = hub.allocate_id("watcher").await.expect("there is room");
        let stream = hub.register(Register::new(&id).topic("t").passing(true)).await.expect("there is room");
        Self { hub, stream }
    }

    /// All that came. The hub is as it was in the beginning then.
    async fn all(mut self) -> Vec<String> {
        let mut all = Vec::new();
        self.hub.publish(Target::All, Event::data(MARK)).await.expect("it can be published");
        read_until(&mut self.stream, &mut Decoder::new(Limits::default()), MARK, |item| match item {
            Item::Event(event) if event.event == "connected" => {}
            Item::Event(event) => all.push(format!("{} {:?} {:?}", own_id(event.last_event_id), event.event, event.data)),
            Item::IdChanged(id) => all.push(own_id(id).to_owned()),
            Item::Retry(after) => all.push(after.to_string()),
            Item::Comment(_) => {}
        })
        .await;
        self.hub.clear(true).await.expect("it is open");
        all
    }
}

const MARK: &str = "the end of one input";

/// One of a client to the server.
struct Connection {
    socket: TcpStream,
    read: Vec<u8>,
    is_reset: bool,
}

impl Connection {
    fn open(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("connects");
        // It leaves no port behind that cannot be had for a while.
        socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("linger");
        socket.set_nodelay(true).expect("no delay");
        socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        Self { socket, read: Vec::new(), is_reset: false }
    }

    /// Who has ended the connection takes no more of it, which is told once.
    fn send(&mut self, bytes: &[u8]) {
        self.is_reset |= self.socket.write_all(bytes).is_err();
    }

    /// `None` when the connection ends before there is one.
    fn answer(&mut self, method: &Method) -> Option<(Answer, bool)> {
        loop {
            if let Some(answer) = Answer::take(&mut self.read, method) {
                return Some(answer);
            }
            if !self.more() {
                assert!(self.is_reset || self.read.is_empty(), "half an answer: {:?}", String::from_utf8_lossy(&self.read));
                return None;
            }
        }
    }

    /// What came and was not asked for.
    fn rest(&mut self) -> String {
        self.socket.set_nonblocking(true).expect("a socket");
        let _ = self.socket.read_to_end(&mut self.read);
        String::from_utf8_lossy(&self.read).into_owned()
    }

    fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(read) => {
                self.read.extend_from_slice(&buffer[..read]);
                read > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                self.is_reset = true;
                false
            }
            // Who runs it stopped it for a while.
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) => panic!("no more for {DEADLINE:?}: {error}"),
        }
    }
}

/// A publisher of its own: its answer comes after what was sent before has been read.
struct Probe(Connection);

impl Probe {
    fn ask(&mut self) {
        self.0.send(b"POST /sse/publish HTTP/1.1\r\ncontent-length: 26\r\n\r\n{\"to\":{\"topic\":\"a probe\"}}");
        assert!(self.0.answer(&Method::POST).is_some_and(|(answer, _)| answer.status == 200), "it publishes");
    }
}

/// Brings all the bytes at once, and no end of them.
struct Peer<'a> {
    sent: &'a [u8],
    answered: &'a RefCell<Vec<u8>>,
}

impl Read for Peer<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if self.sent.is_empty() {
            return Poll::Pending;
        }
        let (now, later) = self.sent.split_at(buffer.remaining().min(self.sent.len()));
        buffer.put_slice(now);
        self.sent = later;
        Poll::Ready(Ok(()))
    }
}

impl Write for Peer<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.answered.borrow_mut().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Whether a future ends without being woken by others.
fn is_over(mut future: Pin<&mut impl Future>) -> bool {
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    while woken.0.swap(false, Ordering::Relaxed) {
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            return true;
        }
    }
    false
}
