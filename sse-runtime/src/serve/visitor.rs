//! A socket whose request is awaited, read or answered.

use std::io::{self, Read as _, Write as _};
use std::mem::{self, MaybeUninit};
use std::net::Shutdown;
use std::sync::Arc;

use axum::http::StatusCode;
use mio::Interest;
use mio::event::Event;
use mio::net::TcpStream;
use sse_proto::Instant;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::error::TrySendError;

use super::head::{self, Date, NotPlain, RequestHead, StreamHeads};
use super::{Arrival, Phase, Service};
use crate::hub::{Answer, Answers, Entropy, Register};
use crate::router::direct::{Answered, Publishing, Wish};
use crate::router::publish::Request;
use crate::shard::{Batch, Shard, Socket, Source, Watch};

/// Answers collected before they are written.
const ANSWERS: usize = 64 * 1024;
/// Requests served before others have their turn.
const REQUESTS: usize = 32;
/// Memory that a visitor keeps while it waits for the next request.
const KEPT: usize = 4 * 1024;

/// A socket of someone who has not said yet what it wants, or who publishes.
pub(super) struct Visitor {
    socket: TcpStream,
    place: OwnedSemaphorePermit,
    service: Arc<Service>,
    /// What was read and not served.
    input: Vec<u8>,
    /// What was answered and not written.
    output: Vec<u8>,
    /// The head of the request before: one that is the same but for the length of the body asks for the same.
    known: Option<Box<Known>>,
    /// A publication that other shards are at.
    pending: Option<Box<(u64, Request)>>,
    /// When its request must be whole.
    deadline: Instant,
    /// The head of its request is whole, and the deadline the body's.
    has_head: bool,
    /// Nothing waits in the kernel, as far as known.
    is_drained: bool,
    /// The peer sends no more.
    is_at_end: bool,
    /// After what is to be written, the connection ends.
    is_last: bool,
}

/// A request to publish.
struct Known {
    /// Its head, up to the length of the body and behind it, if it tells one.
    head: Option<(Vec<u8>, Vec<u8>)>,
    is_last: bool,
    /// What the head of the answer begins with when it was published, and its header lines when it was not.
    published: Vec<u8>,
    refused: Vec<u8>,
}

impl Known {
    /// The lengths of head and body of the request that `input` begins with, if it has the same head.
    fn lengths(&self, input: &[u8]) -> Option<(usize, usize)> {
        let (before, after) = self.head.as_ref()?;
        let rest = input.strip_prefix(&before[..])?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (body_len, rest) = rest.split_at(digits);
        rest.starts_with(after).then_some(())?;
        Some((before.len() + digits + after.len(), head::decimal_value(body_len)?))
    }
}

/// How the kernel watches its socket, and for what.
#[derive(Clone, Copy)]
pub(super) struct Watched {
    pub(super) watch: Watch,
    interest: Interest,
}

/// What a turn is made with.
pub(super) struct Tools<'a> {
    pub(super) index: usize,
    pub(super) ticket: u64,
    pub(super) now: Instant,
    pub(super) watched: &'a mut Option<Watched>,
    pub(super) answers: &'a Arc<Answers>,
    pub(super) scratch: &'a mut [u8],
    pub(super) date: &'a mut Date,
    pub(super) heads: &'a mut StreamHeads,
    pub(super) entropy: &'a mut Entropy,
}

/// How a turn ended.
pub(super) enum Visit {
    /// The kernel, or another shard, will tell when there is more.
    Waits(Box<Visitor>),
    /// There is more now.
    Again(Box<Visitor>),
    /// It has answers, which are to be written together with those of others: see [`Visitor::wait`].
    Answers(Box<Visitor>),
    /// It is gone, or its socket is somewhere else.
    Over,
}

/// What became of one request.
enum Step {
    /// It was answered.
    Answered,
    /// It is not whole.
    Partial,
    /// Other shards are at it.
    Pending,
    /// It must be tried again.
    Later,
    /// It asks for a stream, whose head is this.
    Stream(Register, Arc<[u8]>),
    /// It asks for a stream, and answers are not written yet.
    Unwritten,
    /// It is for hyper.
    Leave,
}

impl Visitor {
    pub(super) fn new(socket: TcpStream, place: OwnedSemaphorePermit, service: Arc<Service>, now: Instant) -> Self {
        let deadline = now.plus(service.header_timeout);
        Self {
            socket,
            place,
            service,
            input: Vec::new(),
            output: Vec::new(),
            known: None,
            pending: None,
            deadline,
            has_head: false,
            // The kernel tells when something comes: a request is seldom there when its connection is.
            is_drained: true,
            is_at_end: false,
            is_last: false,
        }
    }

    /// The kernel told of its socket.
    pub(super) fn event(&mut self, event: &Event) {
        self.is_drained = false;
        self.is_at_end |= event.is_read_closed() || event.is_error();
    }

    /// Another shard has answered; whether it was asked.
    pub(super) fn answered(&mut self, answer: Answer, now: Instant, date: &mut Date) -> bool {
        let Some(pending) = self.pending.take_if(|pending| pending.0 == answer.ticket) else {
            return false;
        };
        self.respond(self.service.direct.published(&pending.1, answer.result), now, date);
        true
    }

    pub(super) fn is_of(&self, service: &Arc<Service>) -> bool {
        Arc::ptr_eq(&self.service, service)
    }

    /// Whether it can be sent away without harm.
    pub(super) fn is_idle(&self) -> bool {
        self.input.is_empty() && self.output.is_empty() && self.pending.is_none()
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Reads, serves and answers as much as there is.
    pub(super) fn visit(mut self: Box<Self>, shard: &mut Shard, mut tools: Tools<'_>) -> Visit {
        for _ in 0..REQUESTS {
            if self.pending.is_some() || self.is_last || self.output.len() > ANSWERS {
                return self.rest(shard, &mut tools);
            }
            match self.serve(shard, &mut tools) {
                Step::Answered if shard.is_throttled() => break,
                Step::Answered => {}
                Step::Pending => return self.rest(shard, &mut tools),
                Step::Later => return Visit::Again(self),
                Step::Stream(register, head) => return self.become_stream(shard, register, head, tools.watched),
                Step::Leave if self.output.is_empty() => return self.leave(shard, *tools.watched),
                // What was answered leaves first: who answers from here on does not know of it.
                Step::Leave | Step::Unwritten => match self.flush() {
                    Ok(true) => {}
                    Ok(false) => return self.wait(shard, tools.index, tools.watched),
                    Err(_) => return Visit::Over,
                },
                Step::Partial => match self.read(tools.scratch) {
                    Ok(true) => {}
                    Ok(false) => return self.rest(shard, &mut tools),
                    Err(_) => return Visit::Over,
                },
            }
        }
        match self.flush() {
            Ok(_) => Visit::Again(self),
            Err(_) => Visit::Over,
        }
    }

    /// Its deadline has come, or one that it had before.
    pub(super) fn expire(mut self: Box<Self>, now: Instant, date: &mut Date) -> Visit {
        if self.pending.is_some() {
            self.deadline = now.plus(self.service.header_timeout);
        }
        if self.deadline > now {
            return Visit::Waits(self);
        }
        if self.known_lengths().is_some() && self.output.is_empty() {
            self.is_last = true;
            self.respond(Answered::Refused(self.service.direct.out_of_time()), now, date);
            let _ = self.flush();
        }
        Visit::Over
    }

    /// Nothing is left to do but to write what was answered, if anything was.
    fn rest(self: Box<Self>, shard: &mut Shard, tools: &mut Tools<'_>) -> Visit {
        if self.output.is_empty() { self.wait(shard, tools.index, tools.watched) } else { Visit::Answers(self) }
    }

    /// Writes what was answered, and waits for what comes next.
    pub(super) fn wait(mut self: Box<Self>, shard: &mut Shard, index: usize, watched: &mut Option<Watched>) -> Visit {
        let Ok(is_flushed) = self.flush() else {
            return Visit::Over;
        };
        let is_leaving = self.is_last || self.service.phase() != Phase::Open && self.is_idle();
        if is_flushed && is_leaving {
            let _ = self.socket.shutdown(Shutdown::Write);
            return Visit::Over;
        }
        if self.input.is_empty() && self.input.capacity() > KEPT {
            self.input = Vec::new();
        }
        if self.output.is_empty() && self.output.capacity() > KEPT {
            self.output = Vec::new();
        }
        let interest = if is_flushed { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        let is_watched = match watched {
            Some(watched) if watched.interest == interest => true,
            Some(watched) => {
                watched.interest = interest;
                shard.registry.reregister(&mut self.socket, watched.watch.token(), interest).is_ok()
            }
            None => {
                let watch = shard.watch(&mut self.socket, Source::Front(index as u32), interest).ok();
                *watched = watch.map(|watch| Watched { watch, interest });
                watched.is_some()
            }
        };
        if is_watched { Visit::Waits(self) } else { Visit::Over }
    }

    fn become_stream(mut self, shard: &mut Shard, register: Register, head: Arc<[u8]>, watched: &mut Option<Watched>) -> Visit {
        if let Some(Watched { watch, interest }) = *watched {
            // The kernel tells of what it did not tell yet; asked anew, of all there is.
            let is_told_of_all = self.is_drained && !self.is_at_end && interest == Interest::READABLE;
            if !is_told_of_all && shard.registry.reregister(&mut self.socket, watch.token(), Interest::READABLE).is_err() {
                return Visit::Over;
            }
        }
        let Self { socket, place, service, input, .. } = self;
        let other_way = service.clone();
        let socket = Socket::new(socket, head, place, watched.take().map(|watched| watched.watch));
        service.direct.open(shard, register, socket, move |socket| {
            let (socket, place) = socket.into_parts();
            let arrival = Arrival { socket: socket.into(), read: input.into(), _place: place };
            if let Err(TrySendError::Full(arrival)) = other_way.arrivals.try_send(arrival) {
                overloaded(&other_way, arrival);
            }
        });
        Visit::Over
    }

    /// Hyper takes over, with what was read and not served.
    fn leave(mut self, shard: &mut Shard, watched: Option<Watched>) -> Visit {
        if watched.is_some() && shard.registry.deregister(&mut self.socket).is_err() {
            return Visit::Over;
        }
        let Self { socket, place, service, input, .. } = self;
        let arrival = Arrival { socket: socket.into(), read: input.into(), _place: place };
        if let Err(TrySendError::Full(arrival)) = service.arrivals.try_send(arrival) {
            overloaded(&service, arrival);
        }
        Visit::Over
    }

    /// Serves the request at the front of the input.
    fn serve(&mut self, shard: &mut Shard, tools: &mut Tools<'_>) -> Step {
        let (head_len, body_len) = match self.known_lengths() {
            Some(lengths) => lengths,
            None if self.input.is_empty() => return Step::Partial,
            None => {
                let mut room = [MaybeUninit::uninit(); _];
                let head = match RequestHead::parse(&self.input, &mut room) {
                    Ok(Some(head)) => head,
                    Ok(None) => return Step::Partial,
                    Err(NotPlain) => return Step::Leave,
                };
                match self.service.direct.wish(&head.parts, tools.entropy) {
                    Some(Wish::Stream(_)) if !self.output.is_empty() => return Step::Unwritten,
                    Some(Wish::Stream(register)) => {
                        let cors = self.service.direct.stream_cors(&head.parts);
                        let date = tools.date.line(tools.now);
                        let head = tools.heads.head(&self.service.stream_head, cors.iter().flatten(), date);
                        return Step::Stream(register, head);
                    }
                    Some(Wish::Publish(heads)) if head.body_len <= self.service.max_body => {
                        let (mut published, mut refused) = (Vec::new(), Vec::new());
                        head::status_line(&mut published, StatusCode::OK);
                        head::header_lines(&mut published, &heads.published);
                        head::header_lines(&mut refused, &heads.refused);
                        let parts =
                            head.body_len_at.map(|at| (self.input[..at.start].to_vec(), self.input[at.end..head.len].to_vec()));
                        self.known = Some(Box::new(Known { head: parts, is_last: head.is_last, published, refused }));
                        (head.len, head.body_len)
                    }
                    _ => return Step::Leave,
                }
            }
        };
        if !mem::replace(&mut self.has_head, true) {
            self.deadline = tools.now.plus(self.service.request_timeout);
        }
        let whole = head_len + body_len;
        let Some(body) = self.input.get(head_len..whole) else {
            return Step::Partial;
        };
        let step = match self.service.direct.publish(shard, body, tools.answers, tools.ticket) {
            None => return Step::Leave,
            Some(Publishing::Later) => return Step::Later,
            Some(Publishing::Answered(answered)) => {
                self.respond(answered, tools.now, tools.date);
                Step::Answered
            }
            Some(Publishing::Elsewhere(request)) => {
                self.pending = Some(Box::new((tools.ticket, request)));
                Step::Pending
            }
        };
        self.input.drain(..whole);
        self.has_head = false;
        self.deadline = tools.now.plus(self.service.header_timeout);
        step
    }

    /// The lengths of head and body of the next request, if its head is known and the body not too long.
    fn known_lengths(&self) -> Option<(usize, usize)> {
        let lengths = self.known.as_ref()?.lengths(&self.input);
        lengths.filter(|&(_, body_len)| body_len <= self.service.max_body)
    }

    /// Reads what there is, or some of it; false when there is nothing now.
    fn read(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
        if self.is_drained && !self.is_at_end {
            return Ok(false);
        }
        match self.socket.read(scratch) {
            // Who sends no more may still read.
            Ok(0) if !self.output.is_empty() => {
                self.is_last = true;
                Ok(false)
            }
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                self.is_drained = read < scratch.len();
                self.input.extend_from_slice(&scratch[..read]);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.is_drained = true;
                Ok(false)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn respond(&mut self, answered: Answered, now: Instant, date: &mut Date) {
        let Some(known) = &self.known else {
            return;
        };
        self.is_last |= known.is_last || self.service.phase() != Phase::Open;
        let out = &mut self.output;
        let body = match &answered {
            Answered::Published(json) => {
                out.extend_from_slice(&known.published);
                json.as_bytes()
            }
            Answered::Refused(response) => {
                head::status_line(out, response.status());
                out.extend_from_slice(&known.refused);
                head::header_lines(out, response.headers());
                response.body()
            }
        };
        if self.is_last {
            head::header_line(out, "connection", b"close");
        }
        out.extend_from_slice(date.line(now));
        head::body(out, body);
    }

    /// Leaves what was answered to be sent with the answers of others; false if there is no room for it.
    pub(super) fn push(&self, batch: &mut Batch) -> bool {
        batch.push(&self.socket, &[&self.output])
    }

    /// What was left to be sent so was sent, as far as the kernel took it.
    pub(super) fn sent(&mut self, taken: io::Result<usize>) {
        match taken {
            Ok(taken) => drop(self.output.drain(..taken)),
            // What was sent of it is not known.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
                self.output.clear();
                self.is_last = true;
            }
            // The socket itself says it again.
            Err(_) => {}
        }
    }

    /// Writes what was answered; whether that was all.
    fn flush(&mut self) -> io::Result<bool> {
        while !self.output.is_empty() {
            match self.socket.write(&self.output) {
                Ok(written) => drop(self.output.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// As many requests wait for hyper as may: says so, and ends the connection.
#[cold]
fn overloaded(service: &Service, mut arrival: Arrival) {
    let refusal = service.direct.overloaded();
    let mut answer = Vec::new();
    head::status_line(&mut answer, refusal.status());
    head::header_lines(&mut answer, refusal.headers());
    head::header_line(&mut answer, "connection", b"close");
    head::body(&mut answer, refusal.body());
    let _ = arrival.socket.write_all(&answer);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_known_by_all_but_the_length_of_the_body() {
        let head = Some(("POST / HTTP/1.1\r\ncontent-length: ".into(), "\r\n\r\n".into()));
        let known = Known { head, is_last: false, published: Vec::new(), refused: Vec::new() };
        let lengths = |length: &str| known.lengths(format!("POST / HTTP/1.1\r\ncontent-length: {length}").as_bytes());
        assert_eq!(lengths("7\r\n\r\n{}"), Some((38, 7)));
        assert_eq!(lengths("0123\r\n\r\n"), Some((41, 123)));
        for unknown in
            ["", "7", "7\r\n\r", "\r\n\r\n", "+7\r\n\r\n", "7 \r\n\r\n", "7\r\nx: y\r\n\r\n", "99999999999999999999\r\n\r\n"]
        {
            assert_eq!(lengths(unknown), None, "{unknown:?}");
        }
    }
}
