//! What all actors of a run share. They take turns on one thread.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;

use tokio::sync::watch;

use crate::ledger::{Ledger, Violation};

pub(crate) const READERS: u32 = 240;
pub(crate) const PUBLISHERS: u64 = 4;
pub(crate) const TOPICS: u8 = 24;
pub(crate) const GROUPS: u8 = 4;

pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) ledger: RefCell<Ledger>,
    pub(crate) counts: Counts,
    /// By reader: the client that it is, once the hub knows it, when it is in no group.
    clients: RefCell<Vec<Option<u32>>>,
    numbers: Cell<u64>,
    stage: watch::Sender<Stage>,
    violation: RefCell<Option<Violation>>,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stage {
    /// How many times all clients were restarted at once.
    pub(crate) storms: u64,
    pub(crate) is_stopping: bool,
    /// The last event: who has it is done.
    pub(crate) last: Option<u64>,
    pub(crate) has_failed: bool,
}

/// What was done, for the summary.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: Cell<u64>,
    pub(crate) connects: Cell<u64>,
    pub(crate) resumes: Cell<u64>,
    pub(crate) moves: Cell<u64>,
    pub(crate) stalls: Cell<u64>,
    pub(crate) cuts: Cell<u64>,
    pub(crate) resets: Cell<u64>,
    pub(crate) half_closes: Cell<u64>,
    /// Streams that the hub ended.
    pub(crate) ended: Cell<u64>,
    pub(crate) gaps: Cell<u64>,
}

impl World {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            ledger: RefCell::default(),
            counts: Counts::default(),
            clients: RefCell::new(vec![None; READERS as usize]),
            numbers: Cell::new(0),
            stage: watch::Sender::new(Stage::default()),
            violation: RefCell::default(),
        }
    }

    /// The first thing that must not be ends the run.
    pub(crate) fn fail(&self, violation: Violation) {
        self.violation.borrow_mut().get_or_insert(violation);
        self.change(|stage| stage.has_failed = true);
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        self.violation.borrow().clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Stage)) {
        self.stage.send_modify(change);
    }

    pub(crate) fn stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        let stage = self.stage.borrow();
        stage.is_stopping || stage.has_failed
    }

    /// A number for an event, given once.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.replace(self.numbers.get() + 1)
    }

    /// Who reader number `reader` is, if it can be published to.
    pub(crate) fn client_of(&self, reader: u32) -> Option<u32> {
        self.clients.borrow()[reader as usize]
    }

    pub(crate) fn set_client_of(&self, reader: u32, client: Option<u32>) {
        self.clients.borrow_mut()[reader as usize] = client;
    }
}

/// Counts one more.
pub(crate) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

/// The sequence number in an event id.
pub(crate) fn sequence_of(id: &str) -> Option<u64> {
    id.split_once('-')?.1.parse().ok()
}
