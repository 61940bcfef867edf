//! The part of a shard's thread that speaks HTTP: listeners, and sockets that have not become streams.
//!
//! Each shard accepts for itself. A **visitor** is a socket whose request is awaited, read or answered. What it asks for decides
//! where it goes: a stream's socket to the shard of its client; a publication is carried out here, and the socket stays for the
//! next one; everything else goes to hyper, with what was already read.
//!
//! ```text
//!              ┌─▶ stream: shard of the client
//!   accept ─▶ visitor ─▶ published, answered ─┐
//!              ▲ └─▶ anything else: hyper     │
//!              └──────────────────────────────┘
//! ```

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use mio::Interest;
use mio::event::Event;
use mio::net::TcpListener;
use slab::Slab;
use sse_proto::Instant;

use super::head::{Date, StreamHeads};
use super::visitor::{Tools, Visit, Visitor, Watched};
use super::{Phase, Service};
use crate::hub::{Answers, Entropy};
use crate::shard::{Shard, Source, Wake, Watch};

/// Connections accepted, and visitors looked after, before streams are.
const TURN: usize = 64;
/// Bytes read from a visitor at once.
const READ: usize = 16 * 1024;
/// Entries that room is kept for.
const KEPT: usize = 256;
/// How long to wait for a place among all sockets.
const FULL: Duration = Duration::from_millis(20);
/// How long to wait when the process is out of descriptors.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);
/// How often that is said.
const COMPLAINT: Duration = Duration::from_secs(10);

/// Listeners and visitors of one shard.
pub(crate) struct Front {
    entries: Slab<Entry>,
    doors: Vec<usize>,
    /// Entries with something to do. One that is gone may still be named, and another may be in its place by then, which is looked at
    /// in vain.
    ready: VecDeque<usize>,
    /// Visitors whose answers are written at the end of the turn: what is answered together leaves together, so that whoever sent it
    /// all wakes up once.
    answering: Vec<usize>,
    /// When to look at visitors that bring nothing, the earliest first. What is due no more still stands there, until it is more than
    /// what is.
    deadlines: BinaryHeap<Reverse<(Instant, usize)>>,
    answers: Arc<Answers>,
    tickets: u32,
    scratch: Vec<u8>,
    date: Date,
    heads: StreamHeads,
    entropy: Entropy,
}

/// A listener, as one shard sees it.
pub(crate) struct Door {
    pub(super) service: Arc<Service>,
    /// Gone once the server stops.
    pub(super) listener: Option<TcpListener>,
    watch: Option<Watch>,
    /// Until when nobody is accepted.
    paused: Option<Instant>,
    /// Until when a complaint is not repeated.
    complained: Option<Instant>,
}

enum Entry {
    Door(Door),
    Visitor {
        visitor: Box<Visitor>,
        is_ready: bool,
        deadline: Option<Instant>,
        watched: Option<Watched>,
    },
    /// It has its turn.
    Away,
}

impl Entry {
    /// Whether it is to be looked at because of this deadline.
    fn is_due(&self, deadline: Instant) -> bool {
        matches!(self, Self::Visitor { deadline: Some(set), .. } if *set == deadline)
    }
}

impl Door {
    pub(super) fn new(service: Arc<Service>, listener: std::net::TcpListener) -> Self {
        Self { service, listener: Some(TcpListener::from_std(listener)), watch: None, paused: None, complained: None }
    }
}

impl Front {
    pub(crate) fn new(wake: Arc<Wake>) -> Self {
        Self {
            entries: Slab::new(),
            doors: Vec::new(),
            ready: VecDeque::new(),
            answering: Vec::new(),
            deadlines: BinaryHeap::new(),
            answers: Arc::new(Answers::new(wake)),
            tickets: 0,
            scratch: Vec::new(),
            date: Date::default(),
            heads: StreamHeads::default(),
            entropy: Entropy::default(),
        }
    }

    /// The kernel told of entry `index`.
    pub(crate) fn event(&mut self, index: usize, event: &Event) {
        match self.entries.get_mut(index) {
            Some(Entry::Visitor { visitor, is_ready, .. }) => {
                visitor.event(event);
                if !mem::replace(is_ready, true) {
                    self.ready.push_back(index);
                }
            }
            Some(Entry::Door(_)) => self.ready.push_back(index),
            _ => {}
        }
    }

    /// Someone else's thread left something here, or asked for a change.
    pub(crate) fn is_woken(&self) -> bool {
        !self.answers.is_empty() || !self.ready.is_empty() || self.doors.iter().any(|door| self.has_news(*door))
    }

    /// When there is something to do, if nothing happens before.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let paused = self.doors.iter().filter_map(|index| match self.entries.get(*index) {
            Some(Entry::Door(door)) => door.paused,
            _ => None,
        });
        self.deadlines.peek().map(|Reverse((deadline, _))| *deadline).into_iter().chain(paused).min()
    }

    /// Looks after what is ready, some of it; whether there is more.
    pub(crate) fn turn(&mut self, shard: &mut Shard) -> bool {
        let now = shard.now();
        self.look_after_doors(shard, now);
        for answer in self.answers.take() {
            let index = (answer.ticket as u32) as usize;
            if let Some(Entry::Visitor { visitor, is_ready, .. }) = self.entries.get_mut(index)
                && visitor.answered(answer, now, &mut self.date)
                && !mem::replace(is_ready, true)
            {
                self.ready.push_back(index);
            }
        }
        while let Some(Reverse((deadline, index))) = self.deadlines.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.deadlines.pop();
            if self.entries.get(index).is_some_and(|entry| entry.is_due(deadline)) {
                self.expire(shard, index, now);
            }
        }
        for _ in 0..self.ready.len().min(TURN) {
            if shard.is_throttled() {
                break;
            }
            let Some(index) = self.ready.pop_front() else {
                break;
            };
            match self.entries.get(index) {
                Some(Entry::Door(_)) => self.accept(shard, index, now),
                Some(Entry::Visitor { .. }) => self.visit(shard, index, now),
                _ => {}
            }
        }
        let mut answering = mem::take(&mut self.answering);
        self.send_answers(shard, &answering);
        for index in answering.drain(..) {
            self.with_visitor(shard, index, |_, shard, visitor, watched| visitor.wait(shard, index, watched));
        }
        self.answering = answering;
        !self.ready.is_empty()
    }

    /// Sends what those visitors are to be answered, in as few system calls as it takes. What is not sent so is left to
    /// [`Visitor::wait`].
    fn send_answers(&mut self, shard: &mut Shard, mut answering: &[usize]) {
        let Some(batch) = shard.batch.as_mut().filter(|_| answering.len() > 1) else {
            return;
        };
        while !answering.is_empty() {
            let push = |index: &&usize| self.visitor_at(**index).is_some_and(|visitor| visitor.push(batch));
            let pushed = answering.iter().take_while(push).count();
            for (index, sent) in answering.iter().zip(batch.send()) {
                if let Some(visitor) = self.visitor_at(*index) {
                    visitor.sent(sent.taken);
                }
            }
            answering = &answering[pushed.max(1)..];
        }
    }

    fn visitor_at(&mut self, index: usize) -> Option<&mut Visitor> {
        match self.entries.get_mut(index) {
            Some(Entry::Visitor { visitor, .. }) => Some(visitor),
            _ => None,
        }
    }

    fn look_after_doors(&mut self, shard: &mut Shard, now: Instant) {
        for mut door in mem::take(&mut shard.new_doors) {
            if door.service.io_uring {
                shard.begin_batches();
            }
            let entry = self.entries.vacant_entry();
            if let Some(listener) = &mut door.listener {
                match shard.watch(listener, Source::Front(entry.key() as u32), Interest::READABLE) {
                    Ok(watch) => door.watch = Some(watch),
                    Err(error) => {
                        tracing::error!(%error, "a shard cannot accept connections; others do");
                        continue;
                    }
                }
            }
            self.doors.push(entry.key());
            self.ready.push_back(entry.key());
            entry.insert(Entry::Door(door));
        }
        for at in (0..self.doors.len()).rev() {
            let index = self.doors[at];
            let has_news = self.has_news(index);
            let Some(Entry::Door(door)) = self.entries.get_mut(index) else {
                continue;
            };
            if door.paused.is_some_and(|until| until <= now) {
                door.paused = None;
                self.ready.push_back(index);
            }
            if !has_news {
                continue;
            }
            door.listener = None;
            door.paused = None;
            if let Some(watch) = door.watch.take() {
                shard.watch_ends(watch);
            }
            let service = door.service.clone();
            let is_closed = service.phase() == Phase::Closed;
            let leaving = |(index, entry): (usize, &Entry)| match entry {
                Entry::Visitor { visitor, .. } if visitor.is_of(&service) && (is_closed || visitor.is_idle()) => Some(index),
                _ => None,
            };
            let leaving: Vec<usize> = self.entries.iter().filter_map(leaving).collect();
            leaving.into_iter().for_each(|index| self.remove(shard, index));
            if is_closed {
                self.remove(shard, index);
                self.doors.remove(at);
            }
        }
    }

    /// The server behind a door stops, and the door does not know yet.
    fn has_news(&self, index: usize) -> bool {
        match self.entries.get(index) {
            Some(Entry::Door(door)) => match door.service.phase() {
                Phase::Open => false,
                Phase::Stopping => door.listener.is_some(),
                Phase::Closed => true,
            },
            _ => false,
        }
    }

    fn accept(&mut self, shard: &mut Shard, index: usize, now: Instant) {
        for _ in 0..TURN {
            let Some(Entry::Door(door)) = self.entries.get_mut(index) else {
                return;
            };
            let Some(listener) = door.listener.as_ref().filter(|_| door.paused.is_none()) else {
                return;
            };
            let Ok(place) = door.service.places.clone().try_acquire_owned() else {
                door.paused = Some(now.plus(FULL));
                return;
            };
            match listener.accept() {
                Ok((socket, _)) => {
                    let visitor = Box::new(Visitor::new(socket, place, door.service.clone(), now));
                    let index = self.entries.insert(Entry::Visitor { visitor, is_ready: false, deadline: None, watched: None });
                    self.visit(shard, index, now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if door.complained.is_none_or(|until| until <= now) {
                        tracing::error!(%error, "cannot accept connections; those that are open go on");
                        door.complained = Some(now.plus(COMPLAINT));
                    }
                    door.paused = Some(now.plus(OUT_OF_DESCRIPTORS));
                    return;
                }
            }
        }
        self.ready.push_back(index);
    }

    fn visit(&mut self, shard: &mut Shard, index: usize, now: Instant) {
        self.tickets = self.tickets.wrapping_add(1);
        let ticket = u64::from(self.tickets) << 32 | u64::from(index as u32);
        self.with_visitor(shard, index, |front, shard, visitor, watched| {
            front.scratch.resize(READ, 0);
            let tools = Tools {
                index,
                ticket,
                now,
                watched,
                answers: &front.answers,
                scratch: &mut front.scratch,
                date: &mut front.date,
                heads: &mut front.heads,
                entropy: &mut front.entropy,
            };
            visitor.visit(shard, tools)
        });
    }

    /// The deadline of a visitor has come, or the one it had when it was looked at last.
    fn expire(&mut self, shard: &mut Shard, index: usize, now: Instant) {
        if let Some(Entry::Visitor { deadline, .. }) = self.entries.get_mut(index) {
            *deadline = None;
        }
        self.with_visitor(shard, index, |front, _, visitor, _| visitor.expire(now, &mut front.date));
    }

    /// Gives a visitor its turn, and puts it where it belongs after that.
    fn with_visitor(
        &mut self,
        shard: &mut Shard,
        index: usize,
        turn: impl FnOnce(&mut Self, &mut Shard, Box<Visitor>, &mut Option<Watched>) -> Visit,
    ) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let Entry::Visitor { visitor, deadline, mut watched, .. } = mem::replace(entry, Entry::Away) else {
            return;
        };
        let (visitor, is_ready) = match turn(self, shard, visitor, &mut watched) {
            Visit::Waits(visitor) => (visitor, false),
            Visit::Again(visitor) => (visitor, true),
            Visit::Answers(visitor) => {
                self.answering.push(index);
                (visitor, false)
            }
            Visit::Over => return self.remove_at(shard, index, watched),
        };
        if is_ready {
            self.ready.push_back(index);
        }
        let due = visitor.deadline();
        let deadline = match deadline {
            // It was set for an earlier request: it is looked at in vain, once.
            Some(set) if set <= due => set,
            _ => {
                self.deadlines.push(Reverse((due, index)));
                due
            }
        };
        self.entries[index] = Entry::Visitor { visitor, is_ready, deadline: Some(deadline), watched };
        self.forget_deadlines();
    }

    fn remove(&mut self, shard: &mut Shard, index: usize) {
        let watched = match self.entries.get(index) {
            Some(&Entry::Visitor { watched, .. }) => watched,
            _ => None,
        };
        self.remove_at(shard, index, watched);
    }

    fn remove_at(&mut self, shard: &mut Shard, index: usize, watched: Option<Watched>) {
        if let Some(Watched { watch, .. }) = watched {
            shard.watch_ends(watch);
        }
        self.entries.remove(index);
        self.forget_deadlines();
        // No more are left than there are listeners.
        if self.entries.len() == self.doors.len() && self.entries.capacity() > KEPT {
            self.entries.shrink_to_fit();
            self.deadlines.shrink_to(KEPT);
        }
    }

    /// Forgets what is due no more, once that is most of it.
    fn forget_deadlines(&mut self) {
        if self.deadlines.len() > 2 * self.entries.len() + KEPT {
            let entries = &self.entries;
            self.deadlines.retain(|&Reverse((deadline, index))| entries.get(index).is_some_and(|entry| entry.is_due(deadline)));
        }
    }
}

/// Errors that concern the connection that was to be accepted, and no other.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
