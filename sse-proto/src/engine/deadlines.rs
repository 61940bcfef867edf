//! Deadlines: one queue per kind.
//!
//! Everything in one queue lasts equally long, so the order of arming is the order of expiry: arming, disarming and looking at
//! the next deadline are O(1) and allocate nothing. This module owns the queues, which are threaded through tables of their own, and the
//! engine's idea of now; what an expiry means is the engine's business.

use super::delivery::Phase;
use super::directory::{Directory, Standing};
use crate::config::Config;
use crate::storage::Storage;
use crate::storage::slab::{Column, Link, List, linked};
use crate::time::{Instant, millis};

/// A connection's place in a queue.
#[derive(Debug)]
pub(super) struct Turn {
    link: Link,
    /// When it is due.
    deadline: Instant,
}

/// A client's place in a queue.
#[derive(Debug)]
pub(super) struct Timer {
    link: Link,
    /// From when its deadline counts: for an issued id when it was issued, else what [`crate::Age`] says.
    since: Instant,
}

/// Name the queues' links.
#[derive(Debug)]
pub(super) enum OfConnections {}
#[derive(Debug)]
pub(super) enum OfClients {}

linked!(Turn, OfConnections, link);
linked!(Timer, OfClients, link);

pub(super) struct Deadlines<S: Storage> {
    /// The latest time the caller told. Never steps back.
    now: Instant,
    heartbeat_after: Option<u64>,
    stalled_after: Option<u64>,
    too_old_after: u64,
    issued_for: u64,
    sweep: Sweep,
    turns: Column<Turn, S::Connections<Turn>>,
    heartbeats: List<OfConnections>,
    stalls: List<OfConnections>,
    timers: Column<Timer, S::Clients<Timer>>,
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

impl<S: Storage> Deadlines<S> {
    pub(super) const EMPTY: Self = Self {
        now: Instant::from_millis(0),
        heartbeat_after: None,
        stalled_after: None,
        too_old_after: 0,
        issued_for: 0,
        sweep: Sweep { anchor: Instant::from_millis(0), every: 0, last: Instant::from_millis(0) },
        turns: Column::EMPTY,
        heartbeats: List::new(),
        stalls: List::new(),
        timers: Column::EMPTY,
        dormant: List::new(),
        issued: List::new(),
    };

    pub(super) fn begin(&mut self, config: &Config) {
        self.heartbeat_after = config.heartbeat.map(millis);
        self.stalled_after = config.write_stall.map(millis);
        self.too_old_after = millis(config.dormant_after).saturating_add(1);
        self.issued_for = millis(config.issued_id_ttl);
        self.sweep.every = millis(config.sweep_every);
        self.turns.limit_to(config.limits.connections as usize);
        self.timers.limit_to(config.limits.clients as usize);
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

    /// Sweeps are counted from now on, and the first happens now.
    pub(super) fn anchor_sweeps(&mut self) {
        (self.sweep.anchor, self.sweep.last) = (self.now, self.now);
    }

    /// A sweep happens now.
    pub(super) fn sweep_now(&mut self) {
        self.sweep.last = self.now;
    }

    /// The earliest deadline, while no connection is ready.
    pub(super) fn next(&self) -> Option<Instant> {
        let of_connection = |list: &List<_>| list.first().map(|slot| self.turns.at(slot).deadline);
        let issued = self.issued.first().map(|slot| self.unused_at(slot));
        let dormant = self.dormant.first().and_then(|slot| self.swept_at(slot));
        earlier(earlier(of_connection(&self.heartbeats), of_connection(&self.stalls)), earlier(issued, dormant))
    }

    /// A connection that took nothing for too long.
    pub(super) fn stalled(&self) -> Option<u32> {
        self.due(&self.stalls)
    }

    /// A connection that was silent for too long, while none is ready.
    pub(super) fn silent(&self) -> Option<u32> {
        self.due(&self.heartbeats)
    }

    /// An id that nobody registered in time.
    pub(super) fn unused(&self) -> Option<u32> {
        let slot = self.issued.first()?;
        (self.unused_at(slot) <= self.now).then_some(slot)
    }

    /// The id that was issued the longest ago.
    pub(super) fn oldest_issued(&self) -> Option<u32> {
        self.issued.first()
    }

    /// A client that the last sweep found too old.
    pub(super) fn dormant(&self) -> Option<u32> {
        let slot = self.dormant.first()?;
        (self.too_old_at(slot) <= self.sweep.last).then_some(slot)
    }

    /// A connection came into being: it is in no queue.
    pub(super) fn add_connection(&mut self, slot: u32) {
        self.turns.put(slot, Turn { link: Link::OUT, deadline: self.now });
    }

    /// Moves a connection from the queue of one phase to the end of another's. Who was idle and is ready stays where it is until it is
    /// something else: its neighbors there may be in no cache, and nobody looks at the queues while someone is ready.
    #[inline(always)]
    pub(super) fn enter(&mut self, slot: u32, before: Phase, phase: Phase) {
        if before != Phase::Writing && phase.is_ready() {
            return;
        }
        self.leave(slot, before);
        let (queue, after) = match phase {
            Phase::Ready | Phase::Closing(_) => return,
            Phase::Idle => (&mut self.heartbeats, self.heartbeat_after),
            Phase::Writing => (&mut self.stalls, self.stalled_after),
        };
        // What lies beyond the end of time is never due.
        if let Some(deadline) = after.and_then(|after| self.now.as_millis().checked_add(after)) {
            self.turns.at_mut(slot).deadline = Instant::from_millis(deadline);
            queue.push_back(&mut self.turns, slot);
        }
    }

    /// A connection of that phase is gone.
    pub(super) fn remove_connection(&mut self, slot: u32, phase: Phase, directory: &Directory<S>) {
        self.leave(slot, phase);
        self.turns.follow(&directory.connections);
    }

    /// Takes a connection out of the queue of its phase, if it is in it.
    #[inline]
    fn leave(&mut self, slot: u32, phase: Phase) {
        let queue = if phase == Phase::Writing { &mut self.stalls } else { &mut self.heartbeats };
        queue.remove(&mut self.turns, slot);
    }

    /// A client came into being: nothing counts for it.
    pub(super) fn add_client(&mut self, slot: u32) {
        self.timers.put(slot, Timer { link: Link::OUT, since: self.now });
    }

    /// Starts counting a client's age from now.
    pub(super) fn arm_dormant(&mut self, slot: u32) {
        self.timers.at_mut(slot).since = self.now;
        self.dormant.push_back(&mut self.timers, slot);
    }

    /// A client's age counts from `since`, or from when that of the one before counts, if that is later.
    pub(super) fn arm_dormant_since(&mut self, slot: u32, since: Instant) {
        let before = self.dormant.last().map_or(since, |last| self.timers.at(last).since);
        self.arm_dormant(slot);
        self.timers.at_mut(slot).since = since.max(before).min(self.now);
    }

    /// From when the client's age counts, if it does.
    pub(super) fn dormant_since(&self, slot: u32) -> Option<Instant> {
        self.dormant.holds(&self.timers, slot).then(|| self.timers.at(slot).since)
    }

    /// Starts counting how long an issued id has been unused.
    pub(super) fn arm_issued(&mut self, slot: u32) {
        self.timers.at_mut(slot).since = self.now;
        self.issued.push_back(&mut self.timers, slot);
    }

    /// Stops counting for a client of that standing.
    #[cfg_attr(feature = "std", inline(always))]
    pub(super) fn disarm(&mut self, slot: u32, standing: Standing) {
        let queue = if standing == Standing::Issued { &mut self.issued } else { &mut self.dormant };
        queue.remove(&mut self.timers, slot);
    }

    /// The last client is gone, and the memory of their table.
    pub(super) fn give_back_clients(&mut self) {
        self.timers.give_back();
    }

    /// The first of a queue, if it is due.
    fn due(&self, queue: &List<OfConnections>) -> Option<u32> {
        let slot = queue.first()?;
        (self.turns.at(slot).deadline <= self.now).then_some(slot)
    }

    fn unused_at(&self, slot: u32) -> Instant {
        later(self.timers.at(slot).since, self.issued_for)
    }

    /// From when on a sweep drops a client whose age counts.
    fn too_old_at(&self, slot: u32) -> Instant {
        later(self.timers.at(slot).since, self.too_old_after)
    }

    /// When a client whose age counts is dropped; `None` when no sweep before the end of time does it.
    fn swept_at(&self, slot: u32) -> Option<Instant> {
        let too_old = self.too_old_at(slot);
        if self.sweep.last >= too_old {
            return Some(self.sweep.last);
        }
        Some(self.sweep.at_or_after(too_old)).filter(|at| at.as_millis() < u64::MAX)
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

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => one.or(other),
    }
}
