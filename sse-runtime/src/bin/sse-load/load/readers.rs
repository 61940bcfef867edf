//! The streams: opening them, reading them.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;

use super::answer::{Body, Head};
use super::failure::Failure;
use super::ledger::{Ledger, Place};
use super::mark::{Marks, Tail};
use super::options::Options;
use super::socket::{self, Poll};
use super::template::{Template, Values, header_lines};

/// Every stream of a run.
pub(crate) struct Readers {
    streams: Vec<Stream>,
    /// Streams that the server ended.
    pub(crate) ended: u32,
    /// Reads that brought something.
    pub(crate) reads: u64,
}

/// How the streams were opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    pub(crate) took: Duration,
}

struct Stream {
    /// `None` once it ended.
    socket: Option<OwnedFd>,
    topic: u32,
    stalled: bool,
    body: Body,
    tail: Tail,
    place: Place,
}

/// A stream in the making.
enum Opening {
    Connecting(OwnedFd),
    /// Asked for; what has come of the head.
    Asked(OwnedFd, Vec<u8>),
    Open,
}

impl Readers {
    /// Opens all streams, so many at a time, and waits for the head of each answer.
    pub(crate) fn open(options: &Options, poll: &mut Poll, marks: &Marks) -> Result<(Self, Opened), Failure> {
        let count = options.connections as usize;
        let path = Template::new(&format!("GET {} HTTP/1.1\r\n", options.url.path));
        let mut lines = header_lines(&options.url.authority, &options.headers);
        lines.extend_from_slice(b"accept: text/event-stream\r\n\r\n");
        let mut readers = Self { streams: Vec::with_capacity(count), ended: 0, reads: 0 };
        let mut opening: Vec<Opening> = Vec::with_capacity(count);
        let mut request = Vec::new();
        let mut buffer = vec![0; HEAD];
        let begun = Instant::now();
        let mut last = begun;
        let mut open = 0;
        while open < count {
            while opening.len() < count && opening.len() - open < options.connecting as usize {
                let number = opening.len();
                let socket = socket::connect(options.url.address, socket::source(options.url.address, number)?)
                    .map_err(|error| cannot_open(number, &error))?;
                poll.add(&socket, number as u64, EventFlags::OUT).map_err(|error| cannot_open(number, &error))?;
                opening.push(Opening::Connecting(socket));
                let stalled = is_stalled(number as u64, options.stalled.into(), options.connections.into());
                readers.streams.push(Stream::new(number as u32 % options.topics, stalled));
            }
            let events = poll.wait(options.open_timeout).map_err(|error| Failure::new(format!("epoll: {error}")))?;
            if events == 0 && last.elapsed() >= options.open_timeout {
                return Err(Failure::new(format!(
                    "{} streams are not answered within {:?}, {open} are: is this a server of streams?",
                    opening.len() - open,
                    options.open_timeout
                )));
            }
            last = Instant::now();
            for event in 0..events {
                let number = poll.token(event) as usize;
                let failed = |error: io::Error| cannot_open(number, &error);
                let (Some(stage), Some(stream)) = (opening.get_mut(number), readers.streams.get_mut(number)) else { continue };
                match std::mem::replace(stage, Opening::Open) {
                    Opening::Connecting(socket) => {
                        socket::connected(&socket).map_err(failed)?;
                        request.clear();
                        path.fill(Values { n: stream.topic as usize, seq: 0, time: 0, marks, size: 0 }, &mut request);
                        request.extend_from_slice(&lines);
                        let sent = socket::send(&socket, &request).map_err(failed)?;
                        if sent < request.len() {
                            return Err(Failure::new(format!("connection {number}: the request does not fit into the socket")));
                        }
                        poll.modify(&socket, number as u64, EventFlags::IN).map_err(failed)?;
                        *stage = Opening::Asked(socket, Vec::new());
                    }
                    Opening::Asked(socket, mut head) => {
                        let Some(read) = socket::receive(&socket, &mut buffer).map_err(failed)? else {
                            *stage = Opening::Asked(socket, head);
                            continue;
                        };
                        if read == 0 {
                            return Err(Failure::new(format!("connection {number}: closed by the server before it answered")));
                        }
                        head.extend_from_slice(&buffer[..read]);
                        let Some(answer) = Head::parse(&head).map_err(|error| cannot_open(number, &error))? else {
                            if head.len() > HEAD {
                                return Err(Failure::new(format!("connection {number}: the head of the answer does not end")));
                            }
                            *stage = Opening::Asked(socket, head);
                            continue;
                        };
                        if answer.status != 200 {
                            return Err(Failure::new(format!("connection {number}: the server answered {}", answer.status)));
                        }
                        stream.body = answer.body;
                        let rest = &head[answer.len..];
                        stream.body.feed(rest, |_| {}).map_err(|error| cannot_open(number, &error))?;
                        if stream.stalled {
                            poll.delete(&socket).map_err(failed)?;
                        }
                        stream.socket = Some(socket);
                        open += 1;
                    }
                    // A greeting: nothing is published yet. Were it left unread, epoll would tell of it again and again.
                    Opening::Open => {
                        let Some(socket) = &stream.socket else { continue };
                        let read = socket::receive(socket, &mut buffer).map_err(failed)?;
                        if read == Some(0) {
                            return Err(Failure::new(format!("connection {number}: closed by the server")));
                        }
                        let bytes = &buffer[..read.unwrap_or(0)];
                        stream.body.feed(bytes, |_| {}).map_err(|error| cannot_open(number, &error))?;
                    }
                }
            }
        }
        Ok((readers, Opened { took: begun.elapsed() }))
    }

    /// How many readers that read each topic has.
    pub(crate) fn by_topic(&self, topics: u32) -> Vec<u32> {
        let mut readers = vec![0; topics as usize];
        for stream in self.streams.iter().filter(|stream| !stream.stalled) {
            readers[stream.topic as usize] += 1;
        }
        readers
    }

    /// Reads what has come on a stream, once: epoll tells if there is more.
    pub(crate) fn read(&mut self, number: usize, buffer: &mut [u8], marks: &Marks, ledger: &mut Ledger, begun: Instant) {
        let Some(stream) = self.streams.get_mut(number) else { return };
        let Some(fd) = &stream.socket else { return };
        match socket::receive(fd, buffer) {
            Ok(None) => {}
            Ok(Some(read)) if read > 0 => {
                self.reads += 1;
                let now = begun.elapsed().as_nanos() as u64;
                let Stream { topic, body, tail, place, .. } = stream;
                let fed = body.feed(&buffer[..read], |part| {
                    marks.scan(tail, part, |message| ledger.received(place, *topic, message, now));
                });
                if fed.is_err() || *body == Body::Done {
                    stream.socket = None;
                    self.ended += 1;
                }
            }
            Ok(Some(_)) | Err(_) => {
                stream.socket = None;
                self.ended += 1;
            }
        }
    }
}

impl Stream {
    fn new(topic: u32, stalled: bool) -> Self {
        Self { socket: None, topic, stalled, body: Body::Done, tail: Tail::default(), place: Place::default() }
    }
}

/// Spreads `stalled` over all.
fn is_stalled(number: u64, stalled: u64, all: u64) -> bool {
    number * stalled / all != (number + 1) * stalled / all
}

fn cannot_open(number: usize, why: &impl std::fmt::Display) -> Failure {
    Failure::new(format!("connection {number}: {why}"))
}

/// Bytes of an answer's head, at most.
const HEAD: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stalled_are_as_many_as_asked_for() {
        for (stalled, all) in [(0, 10), (1, 10), (3, 10), (10, 10), (50, 1_000), (333, 1_000)] {
            assert_eq!((0..all).filter(|&number| is_stalled(number, stalled, all)).count() as u64, stalled);
        }
    }
}
