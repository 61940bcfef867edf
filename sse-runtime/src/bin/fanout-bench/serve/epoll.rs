//! The machine's limit: an epoll loop that does nothing a fan-out over HTTP can do without.
//!
//! No timers, no resuming, no checks of what is published. An event is encoded once, into the log of its topic; a subscriber
//! is a socket and a position in it.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, sockopt};

use super::ring::Ring;

/// When subscribers are written to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    /// Once every publisher that has something to say was read: what came together leaves in one write.
    Coalescing,
    /// As soon as an event is read.
    EachEvent,
    /// As `Coalescing`, with all that a turn sends in one system call.
    Batched,
}

pub(super) fn serve(writing: Writing) -> io::Result<()> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let listener = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    rustix::net::bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    rustix::net::listen(&listener, BACKLOG)?;
    super::announce(rustix::net::getsockname(&listener)?.try_into()?)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(token(&listener)), EventFlags::IN)?;
    let server = Server {
        writing,
        epoll,
        listener,
        peers: Vec::new(),
        topics: Vec::new(),
        by_name: HashMap::new(),
        to_write: Vec::new(),
        to_answer: Vec::new(),
        ring: if writing == Writing::Batched { Some(Ring::new()?) } else { None },
        buffer: vec![0; BUFFER],
    };
    server.run()
}

struct Server {
    writing: Writing,
    epoll: OwnedFd,
    listener: OwnedFd,
    /// By descriptor.
    peers: Vec<Peer>,
    topics: Vec<Topic>,
    by_name: HashMap<Vec<u8>, usize>,
    /// Topics with something new.
    to_write: Vec<usize>,
    /// Publishers to answer, in the order of their events, when sends are batched.
    to_answer: Vec<usize>,
    ring: Option<Ring>,
    buffer: Vec<u8>,
}

enum Peer {
    Nobody,
    /// Asked for no stream, so far; what has come of its request.
    Publisher(OwnedFd, Vec<u8>),
    Subscriber {
        topic: usize,
        index: usize,
    },
}

#[derive(Default)]
struct Topic {
    subscribers: Vec<Subscriber>,
    log: Vec<u8>,
    /// The position of the log's first byte.
    begin: u64,
    /// Subscribers that the kernel takes nothing for.
    behind: usize,
    is_to_write: bool,
}

struct Subscriber {
    socket: OwnedFd,
    at: u64,
    is_behind: bool,
}

/// A request, as far as it matters.
struct Request<'a> {
    publishes: bool,
    topic: &'a [u8],
    body: &'a [u8],
    len: usize,
}

impl Server {
    fn run(mut self) -> io::Result<()> {
        let listener = token(&self.listener);
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let (token, flags) = (event.data.u64(), event.flags);
                if token == listener {
                    self.accept()?;
                } else {
                    self.ready(token as usize, flags);
                }
            }
            if let Some(mut ring) = self.ring.take() {
                self.write_batch(&mut ring);
                self.ring = Some(ring);
            }
            while let Some(topic) = self.to_write.pop() {
                self.topics[topic].is_to_write = false;
                self.write(topic);
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let socket = match rustix::net::accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => socket,
                Err(Errno::AGAIN | Errno::MFILE | Errno::NFILE) => return Ok(()),
                Err(Errno::CONNABORTED | Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            sockopt::set_tcp_nodelay(&socket, true)?;
            epoll::add(&self.epoll, &socket, EventData::new_u64(token(&socket)), EventFlags::IN)?;
            let number = token(&socket) as usize;
            if self.peers.len() <= number {
                self.peers.resize_with(number + 1, || Peer::Nobody);
            }
            self.peers[number] = Peer::Publisher(socket, Vec::new());
        }
    }

    fn ready(&mut self, number: usize, flags: EventFlags) {
        match &mut self.peers[number] {
            Peer::Nobody => {}
            Peer::Publisher(socket, partial) => {
                let Some(read) = receive(socket, &mut self.buffer) else { return self.close(number) };
                // Requests come whole, as a rule.
                let mut partial = std::mem::take(partial);
                let buffer = std::mem::take(&mut self.buffer);
                let mut bytes = &buffer[..read];
                if !partial.is_empty() {
                    partial.extend_from_slice(bytes);
                    bytes = &partial;
                }
                let rest = self.take(number, bytes).map(|taken| bytes[taken..].to_vec());
                self.buffer = buffer;
                match (rest, &mut self.peers[number]) {
                    (Some(rest), Peer::Publisher(_, partial)) => *partial = rest,
                    (None, _) => self.close(number),
                    _ => {}
                }
            }
            &mut Peer::Subscriber { topic, index } => {
                let subscriber = &mut self.topics[topic].subscribers[index];
                if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR)
                    && receive(&subscriber.socket, &mut self.buffer).is_none()
                {
                    return self.close(number);
                }
                if flags.contains(EventFlags::OUT) && subscriber.is_behind {
                    self.catch_up(topic, index);
                }
            }
        }
    }

    /// Does what the requests in `bytes` ask for. How many bytes they were; `None` if they are none.
    fn take(&mut self, number: usize, bytes: &[u8]) -> Option<usize> {
        let mut taken = 0;
        while taken < bytes.len() {
            let Some(request) = Request::parse(&bytes[taken..])? else { break };
            taken += request.len;
            let topic = self.topic(request.topic);
            let Peer::Publisher(socket, _) = &self.peers[number] else { break };
            if !request.publishes {
                self.subscribe(number, topic);
                break;
            }
            if self.ring.is_some() {
                self.to_answer.push(number);
            } else if rustix::net::send(socket, ACCEPTED, SendFlags::NOSIGNAL).ok()? < ACCEPTED.len() {
                return None;
            }
            let log = &mut self.topics[topic].log;
            log.extend_from_slice(b"data:");
            log.extend_from_slice(request.body);
            log.extend_from_slice(b"\n\n");
            match self.writing {
                Writing::EachEvent => self.write(topic),
                _ if self.topics[topic].is_to_write => {}
                Writing::Coalescing | Writing::Batched => {
                    self.topics[topic].is_to_write = true;
                    self.to_write.push(topic);
                }
            }
        }
        Some(taken)
    }

    fn topic(&mut self, name: &[u8]) -> usize {
        if let Some(&topic) = self.by_name.get(name) {
            return topic;
        }
        self.topics.push(Topic::default());
        self.by_name.insert(name.to_vec(), self.topics.len() - 1);
        self.topics.len() - 1
    }

    fn subscribe(&mut self, number: usize, topic: usize) {
        let index = self.topics[topic].subscribers.len();
        let peer = std::mem::replace(&mut self.peers[number], Peer::Subscriber { topic, index });
        let Peer::Publisher(socket, _) = peer else { return };
        let _ = rustix::net::send(&socket, STREAM, SendFlags::NOSIGNAL);
        let topic = &mut self.topics[topic];
        let at = topic.begin + topic.log.len() as u64;
        topic.subscribers.push(Subscriber { socket, at, is_behind: false });
    }

    /// Writes to every subscriber what it lacks.
    fn write(&mut self, topic: usize) {
        let Topic { subscribers, log, begin, behind, .. } = &mut self.topics[topic];
        for subscriber in subscribers.iter_mut().filter(|subscriber| !subscriber.is_behind) {
            let rest = &log[(subscriber.at - *begin) as usize..];
            // What broke is told by epoll.
            let sent = rustix::net::send(&subscriber.socket, rest, SendFlags::NOSIGNAL).unwrap_or(0);
            if subscriber.took(sent, rest.len(), &self.epoll) {
                *behind += 1;
            }
        }
        self.trim(topic);
    }

    /// Writes every answer, and to every subscriber what it lacks.
    fn write_batch(&mut self, ring: &mut Ring) {
        let answers = self.to_answer.iter().filter_map(|&number| match &self.peers[number] {
            Peer::Publisher(socket, _) => Some((socket.as_fd(), ACCEPTED)),
            _ => None,
        });
        let (topics, to_write) = (&self.topics, &self.to_write);
        let events = to_write.iter().flat_map(|&topic| {
            let Topic { subscribers, log, begin, .. } = &topics[topic];
            let caught_up = subscribers.iter().filter(|subscriber| !subscriber.is_behind);
            caught_up.map(move |subscriber| (subscriber.socket.as_fd(), &log[(subscriber.at - begin) as usize..]))
        });
        let sent = ring.send(answers.chain(events));
        let mut sent = sent.iter().copied();
        for number in std::mem::take(&mut self.to_answer) {
            if matches!(self.peers[number], Peer::Publisher(..)) && sent.next().is_none_or(|sent| sent < ACCEPTED.len()) {
                self.close(number);
            }
        }
        for topic in std::mem::take(&mut self.to_write) {
            let Topic { subscribers, log, begin, behind, is_to_write } = &mut self.topics[topic];
            *is_to_write = false;
            for subscriber in subscribers.iter_mut().filter(|subscriber| !subscriber.is_behind) {
                let rest = &log[(subscriber.at - *begin) as usize..];
                if subscriber.took(sent.next().unwrap_or(0), rest.len(), &self.epoll) {
                    *behind += 1;
                }
            }
            self.trim(topic);
        }
    }

    fn catch_up(&mut self, topic: usize, index: usize) {
        let Topic { subscribers, log, begin, behind, .. } = &mut self.topics[topic];
        let subscriber = &mut subscribers[index];
        let rest = &log[(subscriber.at - *begin) as usize..];
        subscriber.at += rustix::net::send(&subscriber.socket, rest, SendFlags::NOSIGNAL).unwrap_or(0) as u64;
        if subscriber.at == *begin + log.len() as u64 {
            subscriber.is_behind = false;
            *behind -= 1;
            let data = EventData::new_u64(token(&subscriber.socket));
            let _ = epoll::modify(&self.epoll, &subscriber.socket, data, EventFlags::IN);
            self.trim(topic);
        }
    }

    /// Forgets what nobody lacks, and whoever lacks too much.
    fn trim(&mut self, number: usize) {
        let topic = &mut self.topics[number];
        if topic.log.len() > LOG && topic.behind > 0 {
            let end = topic.begin + topic.log.len() as u64;
            let slow = topic.subscribers.iter().filter(|subscriber| end - subscriber.at > LOG as u64 / 2);
            let slow: Vec<u64> = slow.map(|subscriber| token(&subscriber.socket)).collect();
            slow.into_iter().for_each(|subscriber| self.close(subscriber as usize));
        }
        let topic = &mut self.topics[number];
        let end = topic.begin + topic.log.len() as u64;
        if topic.behind == 0 {
            topic.log.clear();
            topic.begin = end;
        } else if topic.log.len() > LOG {
            let least = topic.subscribers.iter().map(|subscriber| subscriber.at).min().unwrap_or(end);
            topic.log.drain(..(least - topic.begin) as usize);
            topic.begin = least;
        }
    }

    /// Lets a peer go. Its descriptor closes with it, and so leaves epoll.
    fn close(&mut self, number: usize) {
        let Peer::Subscriber { topic, index } = std::mem::replace(&mut self.peers[number], Peer::Nobody) else { return };
        let topic = &mut self.topics[topic];
        let gone = topic.subscribers.swap_remove(index);
        topic.behind -= usize::from(gone.is_behind);
        if let Some(moved) = topic.subscribers.get(index)
            && let Peer::Subscriber { index: of_moved, .. } = &mut self.peers[token(&moved.socket) as usize]
        {
            *of_moved = index;
        }
    }
}

impl Subscriber {
    /// The kernel took `sent` bytes of `offered`; whether the subscriber is behind from now on.
    fn took(&mut self, sent: usize, offered: usize, epoll: &OwnedFd) -> bool {
        self.at += sent as u64;
        self.is_behind = sent < offered;
        if self.is_behind {
            let data = EventData::new_u64(token(&self.socket));
            let _ = epoll::modify(epoll, &self.socket, data, EventFlags::IN | EventFlags::OUT);
        }
        self.is_behind
    }
}

impl<'a> Request<'a> {
    /// The request that `bytes` begin with; `Some(None)` while it is not whole.
    fn parse(bytes: &'a [u8]) -> Option<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(head) = request.parse(bytes).ok()? else { return Some(None) };
        let length = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let length: usize = match length {
            Some(length) => std::str::from_utf8(length.value).ok()?.parse().ok()?,
            None => 0,
        };
        let len = head.checked_add(length)?;
        let Some(body) = bytes.get(head..len) else { return Some(None) };
        let topic = request.path?.as_bytes();
        Some(Some(Self { publishes: request.method? == "POST", topic, body, len }))
    }
}

/// The bytes that have come, perhaps none; `None` at the end.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Option<usize> {
    match rustix::net::recv(socket, buffer, RecvFlags::empty()) {
        Ok((0, _)) => None,
        Ok((read, _)) => Some(read),
        Err(Errno::AGAIN | Errno::INTR) => Some(0),
        Err(_) => None,
    }
}

fn token(socket: &OwnedFd) -> u64 {
    socket.as_raw_fd() as u64
}

const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n\r\n";
const BACKLOG: i32 = 4_096;
const BUFFER: usize = 64 * 1024;
const EVENTS: usize = 1_024;
/// What a subscriber may lack.
const LOG: usize = 16 << 20;
