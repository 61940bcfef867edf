//! The publisher's side: requests over connections that are kept, one at a time on each.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;

use super::answer::{Body, Head};
use super::failure::Failure;
use super::ledger::Ledger;
use super::socket::{self, Poll};

/// Connections to publish over.
pub(crate) struct Publishers {
    address: SocketAddr,
    lines: Vec<Line>,
    idle: Vec<usize>,
    /// Messages that the server did not accept, or whose answer never came.
    pub(crate) refused: Vec<u32>,
    /// What the first refusal was.
    pub(crate) first_refusal: Option<String>,
    pub(crate) accepted: u32,
}

/// A connection, and what it is busy with.
struct Line {
    socket: Option<OwnedFd>,
    message: Option<u32>,
    request: Vec<u8>,
    written: usize,
    waits_for_room: bool,
    head: Vec<u8>,
    answer: Option<(Body, bool, u16)>,
}

impl Publishers {
    /// So many connections to publish over, none of them open yet.
    pub(crate) fn new(address: SocketAddr, count: u32) -> Self {
        let lines: Vec<Line> = (0..count).map(|_| Line::new()).collect();
        let idle = (0..lines.len()).rev().collect();
        Self { address, lines, idle, refused: Vec::new(), first_refusal: None, accepted: 0 }
    }

    /// Opens every connection, so that doing so is not part of what is measured.
    pub(crate) fn open(&mut self, poll: &mut Poll) -> Result<(), Failure> {
        for number in 0..self.lines.len() {
            let socket = connect(self.address)?;
            self.lines[number].attach(socket, number, poll)?;
        }
        Ok(())
    }

    /// Whether a request can be sent.
    pub(crate) fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Requests that are not answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.lines.len() - self.idle.len()
    }

    /// Sends the request that `fill` writes. The caller asked [`has_idle`](Self::has_idle).
    pub(crate) fn send(&mut self, message: u32, poll: &mut Poll, fill: impl FnOnce(&mut Vec<u8>)) -> Result<(), Failure> {
        let Some(number) = self.idle.pop() else { return Ok(()) };
        let line = &mut self.lines[number];
        if line.socket.is_none() {
            line.attach(connect(self.address)?, number, poll)?;
        }
        fill(&mut line.request);
        line.message = Some(message);
        line.written = 0;
        line.write(number, poll)
    }

    /// Goes on with a connection that epoll told of.
    pub(crate) fn ready(
        &mut self,
        number: usize,
        buffer: &mut [u8],
        poll: &mut Poll,
        ledger: &mut Ledger,
    ) -> Result<(), Failure> {
        let Some(line) = self.lines.get_mut(number) else { return Ok(()) };
        if line.waits_for_room {
            line.write(number, poll)?;
        }
        let Some(fd) = &line.socket else { return Ok(()) };
        let end = match socket::receive(fd, buffer) {
            Ok(None) => return Ok(()),
            Ok(Some(0)) => Some("the connection was closed before the answer".to_owned()),
            Ok(Some(read)) => match line.take(&buffer[..read]) {
                Ok(None) => return Ok(()),
                Ok(Some((status, keeps))) => {
                    if !keeps {
                        line.socket = None;
                    }
                    self.answered(number, status, ledger)?;
                    return Ok(());
                }
                Err(error) => Some(error),
            },
            Err(error) => Some(format!("the connection broke: {error}")),
        };
        if let Some(why) = end {
            line.socket = None;
            line.head.clear();
            // A connection that is closed between two requests is opened again for the next.
            if let Some(message) = line.message.take() {
                self.idle.push(number);
                self.refuse(message, why, ledger);
            }
        }
        Ok(())
    }

    /// Gives up what is not answered.
    pub(crate) fn give_up(&mut self, ledger: &mut Ledger) {
        let messages: Vec<u32> = self.lines.iter_mut().filter_map(|line| line.message.take()).collect();
        for message in messages {
            self.refuse(message, "no answer came in time".to_owned(), ledger);
        }
    }

    fn answered(&mut self, number: usize, status: u16, ledger: &mut Ledger) -> Result<(), Failure> {
        let Some(message) = self.lines[number].message.take() else { return Ok(()) };
        self.idle.push(number);
        match status {
            200..300 => {
                self.accepted += 1;
                ledger.accepted(message);
            }
            429 | 500.. => self.refuse(message, format!("the server answered {status}"), ledger),
            _ => {
                return Err(Failure::new(format!(
                    "publishing: the server answered {status}; are --publish, --method, --body and --publish-header what it takes?"
                )));
            }
        }
        Ok(())
    }

    fn refuse(&mut self, message: u32, why: String, ledger: &mut Ledger) {
        self.first_refusal.get_or_insert(why);
        self.refused.push(message);
        ledger.refused(message);
    }
}

impl Line {
    fn new() -> Self {
        Self {
            socket: None,
            message: None,
            request: Vec::new(),
            written: 0,
            waits_for_room: false,
            head: Vec::new(),
            answer: None,
        }
    }

    fn attach(&mut self, socket: OwnedFd, number: usize, poll: &mut Poll) -> Result<(), Failure> {
        poll.add(&socket, token(number), EventFlags::IN).map_err(|error| Failure::new(format!("epoll: {error}")))?;
        self.socket = Some(socket);
        self.waits_for_room = false;
        Ok(())
    }

    /// Writes what the kernel takes; the rest when epoll tells of room.
    fn write(&mut self, number: usize, poll: &mut Poll) -> Result<(), Failure> {
        let Some(fd) = &self.socket else { return Ok(()) };
        // What broke is told by reading.
        self.written += socket::send(fd, &self.request[self.written..]).unwrap_or(0);
        let waits = self.written < self.request.len();
        if waits != self.waits_for_room {
            let flags = if waits { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            poll.modify(fd, token(number), flags).map_err(|error| Failure::new(format!("epoll: {error}")))?;
            self.waits_for_room = waits;
        }
        Ok(())
    }

    /// Takes bytes of an answer. When it is whole: its status, and whether the connection can be kept.
    fn take(&mut self, mut bytes: &[u8]) -> Result<Option<(u16, bool)>, String> {
        if self.answer.is_none() {
            let before = self.head.len();
            self.head.extend_from_slice(bytes);
            let Some(head) = Head::parse(&self.head).map_err(|error| error.to_string())? else {
                return if self.head.len() > MAX_HEAD {
                    Err("the head of the answer does not end".to_owned())
                } else {
                    Ok(None)
                };
            };
            bytes = &bytes[head.len - before..];
            self.head.clear();
            if (100..200).contains(&head.status) {
                return self.take(bytes);
            }
            self.answer = Some((head.body, head.keeps, head.status));
        }
        let Some((body, keeps, status)) = &mut self.answer else { return Ok(None) };
        body.feed(bytes, |_| {}).map_err(|error| error.to_string())?;
        let whole = match body {
            Body::Done => Some((*status, *keeps)),
            // Its status is all there is to know; the rest is cut off.
            Body::UntilClose => Some((*status, false)),
            _ => None,
        };
        if whole.is_some() {
            self.answer = None;
        }
        Ok(whole)
    }
}

/// Whose event it is: a publisher's, or else that of the stream with this number.
pub(crate) fn publisher(token: u64) -> Option<usize> {
    (token & PUBLISHER != 0).then_some((token & !PUBLISHER) as usize)
}

fn token(number: usize) -> u64 {
    PUBLISHER | number as u64
}

/// Connects and waits until it stands: there are few of these.
fn connect(address: SocketAddr) -> Result<OwnedFd, Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("publishing: {address} does not accept connections: {error}"));
    let stream = std::net::TcpStream::connect(address).map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    stream.set_nonblocking(true).map_err(failed)?;
    Ok(stream.into())
}

const PUBLISHER: u64 = 1 << 63;
const MAX_HEAD: usize = 16 * 1024;
