//! Deadlines: one queue per kind.
//!
//! Everything in one queue lasts equally long, so the order of arming is the order of expiry: arming, disarming and looking at
//! the next deadline are O(1) and allocate nothing. This module owns the queues and the engine's idea of now; what an expiry
//! means is the engine's business.

use super::delivery::{Listed, Phase, Turn};
use super::directory::{Client, Clients, Connections};
use crate::config::Config;
use crate::storage::Storage;
use crate::storage::slab::List;
use crate::time::{Instant, millis};

/// Names the queue that a client's `timer` is in.
#[derive(Debug)]
pub(super) enum OfClients {}

#[derive(Debug)]
pub(super) struct Deadlines {
    /// The latest time the caller told. Never steps back.
    now: Instant,
    heartbeat_after: Option<u64>,
    stalled_after: Option<u64>,
    dormant_after: u64,
    issued_for: u64,
    sweep: Sweep,
    ready: List<Turn>,
    heartbeats: List<Turn>,
    stalls: List<Turn>,
    dormant: List<OfClients>,
    issued: List<OfClients>,
}

/// Sweeps happen every `every` milliseconds from `anchor` on; a client goes at the first one that finds it too old.
#[derive(Debug)]
struct Sweep {
    anchor: Instant,
    every: u64,
    /// When the last one happened.
    last: Instant,
}

impl Deadlines {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            now: Instant::default(),
            heartbeat_after: config.heartbeat.map(millis),
            stalled_after: config.write_stall.map(millis),
            dormant_after: millis(config.dormant_after),
            issued_for: millis(config.issued_id_ttl),
            sweep: Sweep { anchor: Instant::default(), every: millis(config.sweep_every), last: Instant::default() },
            ready: List::new(),
            heartbeats: List::new(),
            stalls: List::new(),
            dormant: List::new(),
            issued: List::new(),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// It is `now`, unless a later time was told before.
    pub(super) fn advance(&mut self, now: Instant) {
        if now <= self.now {
            return;
        }
        self.now = now;
        let last = self.sweep.at_or_before(self.now);
        self.sweep.last = self.sweep.last.max(last);
    }

    /// Sweeps are counted from now on.
    pub(super) fn anchor_sweeps(&mut self) {
        self.sweep.anchor = self.now;
    }

    /// A sweep happens now.
    pub(super) fn sweep_now(&mut self) {
        self.sweep.last = self.now;
    }

    /// The earliest deadline, or now while something is ready.
    pub(super) fn next<S: Storage>(&self, connections: &Connections<S>, clients: &Clients<S>) -> Option<Instant> {
        if !self.ready.is_empty() {
            return Some(self.now);
        }
        let of_connection = |list: &List<Turn>| list.first().map(|slot| connections.at(slot).deadline);
        let issued = self.issued.first().map(|slot| later(clients.at(slot).since, self.issued_for));
        let dormant = self.dormant.first().map(|slot| self.swept_at(clients.at(slot).since));
        [of_connection(&self.heartbeats), of_connection(&self.stalls), issued, dormant].into_iter().flatten().min()
    }

    /// The connection that has been ready the longest.
    pub(super) fn ready(&self) -> Option<u32> {
        self.ready.first()
    }

    /// A connection that took nothing for too long.
    pub(super) fn stalled<S: Storage>(&self, connections: &Connections<S>) -> Option<u32> {
        self.stalls.first().filter(|&slot| connections.at(slot).deadline <= self.now)
    }

    /// A connection that was silent for too long.
    pub(super) fn silent<S: Storage>(&self, connections: &Connections<S>) -> Option<u32> {
        self.heartbeats.first().filter(|&slot| connections.at(slot).deadline <= self.now)
    }

    /// An id that nobody registered in time.
    pub(super) fn unused<S: Storage>(&self, clients: &Clients<S>) -> Option<u32> {
        self.issued.first().filter(|&slot| later(clients.at(slot).since, self.issued_for) <= self.now)
    }

    /// The id that was issued the longest ago.
    pub(super) fn oldest_issued(&self) -> Option<u32> {
        self.issued.first()
    }

    /// A client that the last sweep found too old.
    pub(super) fn dormant<S: Storage>(&self, clients: &Clients<S>) -> Option<u32> {
        self.dormant.first().filter(|&slot| self.swept_at(clients.at(slot).since) <= self.now)
    }

    /// Puts a connection into `phase` and into the queue that belongs to it.
    pub(super) fn enter<S: Storage>(&mut self, connections: &mut Connections<S>, slot: u32, phase: Phase) {
        self.unlist::<S>(connections, slot);
        let (listed, deadline) = match phase {
            Phase::Ready | Phase::Closing(_) => (Listed::Ready, self.now),
            Phase::Idle => self.armed(Listed::Heartbeat, self.heartbeat_after),
            Phase::Writing => self.armed(Listed::Stall, self.stalled_after),
        };
        let connection = connections.at_mut(slot);
        (connection.phase, connection.listed, connection.deadline) = (phase, listed, deadline);
        match listed {
            Listed::Nowhere => {}
            Listed::Ready => self.ready.push_back(connections, slot),
            Listed::Heartbeat => self.heartbeats.push_back(connections, slot),
            Listed::Stall => self.stalls.push_back(connections, slot),
        }
    }

    /// Takes a connection out of its queue.
    pub(super) fn unlist<S: Storage>(&mut self, connections: &mut Connections<S>, slot: u32) {
        match core::mem::replace(&mut connections.at_mut(slot).listed, Listed::Nowhere) {
            Listed::Nowhere => {}
            Listed::Ready => self.ready.remove(connections, slot),
            Listed::Heartbeat => self.heartbeats.remove(connections, slot),
            Listed::Stall => self.stalls.remove(connections, slot),
        }
    }

    /// Starts counting a client's age from now.
    pub(super) fn arm_dormant<S: Storage>(&mut self, clients: &mut Clients<S>, slot: u32) {
        self.arm(clients, slot, |deadlines| &mut deadlines.dormant);
    }

    /// A client's age counts from `since`, or from when that of the one before counts, if that is later.
    pub(super) fn arm_dormant_since<S: Storage>(&mut self, clients: &mut Clients<S>, slot: u32, since: Instant) {
        let before = self.dormant.last().map_or(since, |last| clients.at(last).since);
        self.arm_dormant(clients, slot);
        clients.at_mut(slot).since = since.max(before).min(self.now);
    }

    /// Starts counting how long an issued id has been unused.
    pub(super) fn arm_issued<S: Storage>(&mut self, clients: &mut Clients<S>, slot: u32) {
        self.arm(clients, slot, |deadlines| &mut deadlines.issued);
    }

    /// Stops counting for a client; `issued` says whether it is an issued id.
    pub(super) fn disarm<S: Storage>(&mut self, clients: &mut Clients<S>, slot: u32, issued: bool) {
        if core::mem::replace(&mut clients.at_mut(slot).timed, false) {
            let queue = if issued { &mut self.issued } else { &mut self.dormant };
            queue.remove(clients, slot);
        }
    }

    fn arm<S: Storage>(&mut self, clients: &mut Clients<S>, slot: u32, queue: fn(&mut Self) -> &mut List<OfClients>) {
        let client: &mut Client<S> = clients.at_mut(slot);
        (client.timed, client.since) = (true, self.now);
        queue(self).push_back(clients, slot);
    }

    fn armed(&self, listed: Listed, after: Option<u64>) -> (Listed, Instant) {
        // What lies beyond the end of time is never due.
        let deadline = after.and_then(|after| self.now.as_millis().checked_add(after));
        deadline.map_or((Listed::Nowhere, self.now), |deadline| (listed, Instant::from_millis(deadline)))
    }

    /// When a client whose age counts from `since` is dropped.
    fn swept_at(&self, since: Instant) -> Instant {
        let too_old = later(since, self.dormant_after.saturating_add(1));
        if self.sweep.last >= too_old { self.sweep.last } else { self.sweep.at_or_after(too_old) }
    }
}

impl Sweep {
    fn at_or_before(&self, now: Instant) -> Instant {
        let elapsed = now.as_millis().saturating_sub(self.anchor.as_millis());
        later(self.anchor, elapsed - elapsed.checked_rem(self.every).unwrap_or(0))
    }

    fn at_or_after(&self, time: Instant) -> Instant {
        let before = self.at_or_before(time);
        if before >= time { before } else { later(before, self.every) }
    }
}

fn later(instant: Instant, millis: u64) -> Instant {
    Instant::from_millis(instant.as_millis().saturating_add(millis))
}
