//! The account of every delivery: what was published, and what each client ought to have received and did.
//!
//! A client tells each step of its stream: from one position to the next, with an event or without. What lies between the two
//! positions and is for it was lost, unless the hub told of a gap. Whether something does is known once every publication that was
//! under way at the time of the step is answered: then the step is settled.
//!
//! It reads no clock and no socket.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

/// Whom an event is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    All,
    Topic(u8),
    Group(u8),
    Client(u32),
}

/// Who receives, and what it listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) client: u32,
    pub(crate) group: Option<u8>,
    /// A bit for each topic.
    pub(crate) topics: u64,
}

impl Listener {
    fn receives(&self, to: To) -> bool {
        match to {
            To::All => true,
            To::Topic(topic) => self.topics >> topic & 1 == 1,
            To::Group(group) => self.group == Some(group),
            To::Client(client) => self.client == client,
        }
    }
}

/// A client's stream went from one position to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) listener: Listener,
    /// Up to where everything was received or told.
    pub(crate) after: u64,
    pub(crate) at: u64,
    /// The number that the publisher gave to the event at `at`; `None` when there was no event of a publisher.
    pub(crate) event: Option<u64>,
    /// The hub told of a gap in between.
    pub(crate) has_gap: bool,
}

/// A request to publish, until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) published: u64,
    pub(crate) deliveries: u64,
    /// Events that were not received and lay in a gap that the hub told of.
    pub(crate) covered: u64,
    /// Steps that are not settled.
    pub(crate) unsettled: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    requests: u64,
    /// Requests that are under way.
    open: BTreeSet<Ticket>,
    published: BTreeMap<u64, (u64, To)>,
    /// Steps, and the number of the first request that was begun after each.
    unsettled: VecDeque<(Ticket, Step)>,
    totals: Totals,
}

/// What must never be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ledger {
    /// A request is about to be sent.
    pub(crate) fn begin(&mut self) -> Ticket {
        let ticket = Ticket(self.requests);
        self.requests += 1;
        self.open.insert(ticket);
        ticket
    }

    /// The request was answered: its events have these sequence numbers, publishers' numbers and targets.
    pub(crate) fn answered(
        &mut self,
        ticket: Ticket,
        events: impl IntoIterator<Item = (u64, u64, To)>,
    ) -> Result<(), Violation> {
        for (sequence, number, to) in events {
            self.totals.published += 1;
            if let Some((other, _)) = self.published.insert(sequence, (number, to)) {
                return Err(Violation(format!("events {other} and {number} were both published as {sequence}")));
            }
        }
        self.open.remove(&ticket);
        self.settle()
    }

    /// A client's stream went on.
    pub(crate) fn step(&mut self, step: Step) -> Result<(), Violation> {
        let Step { listener, after, at, event, .. } = step;
        if at < after || (event.is_some() && at == after) {
            let what = if event.is_some() { "event" } else { "position" };
            return Err(Violation(format!("client {} received {what} {at} after {after}", listener.client)));
        }
        self.totals.deliveries += u64::from(event.is_some());
        self.unsettled.push_back((Ticket(self.requests), step));
        self.settle()
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals { unsettled: self.unsettled.len(), ..self.totals }
    }

    fn settle(&mut self) -> Result<(), Violation> {
        let first_open = self.open.first().copied().unwrap_or(Ticket(u64::MAX));
        while let Some((_, step)) = self.unsettled.front().copied().filter(|(begun, _)| *begun <= first_open) {
            self.unsettled.pop_front();
            self.settle_step(step)?;
        }
        Ok(())
    }

    fn settle_step(&mut self, step: Step) -> Result<(), Violation> {
        let Step { listener, after, at, event, has_gap } = step;
        let client = listener.client;
        let between = if event.is_some() { after + 1..at } else { after + 1..at + 1 };
        if !between.is_empty() {
            let missed = self.published.range(between).filter(|(_, (_, to))| listener.receives(*to));
            match (has_gap, missed.clone().next()) {
                (true, _) => self.totals.covered += missed.count() as u64,
                (false, Some((sequence, (number, to)))) => {
                    return Err(Violation(format!(
                        "client {client} went from {after} to {at} without event {sequence} (number {number}, to {to:?})"
                    )));
                }
                (false, None) => {}
            }
        }
        let Some(number) = event else {
            return Ok(());
        };
        match self.published.get(&at) {
            Some((published, to)) if *published == number && listener.receives(*to) => Ok(()),
            Some((published, to)) => Err(Violation(format!(
                "client {client} received number {number} as event {at}, which is number {published} to {to:?}; it is {listener:?}"
            ))),
            None => Err(Violation(format!("client {client} received number {number} as event {at}, which nobody published"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOB: Listener = Listener { client: 1, group: Some(2), topics: 0b1000 };

    fn step(after: u64, at: u64, event: Option<u64>, has_gap: bool) -> Step {
        Step { listener: BOB, after, at, event, has_gap }
    }

    /// Events 11 to 15, of which 13 is not for Bob.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        let ticket = ledger.begin();
        let to = [To::All, To::Topic(3), To::Topic(4), To::Group(2), To::Client(1)];
        let events = to.into_iter().enumerate().map(|(n, to)| (11 + n as u64, 101 + n as u64, to));
        ledger.answered(ticket, events).unwrap();
        ledger
    }

    #[test]
    fn everything_in_order_is_right() {
        let mut ledger = ledger();
        for (after, at) in [(10, 11), (11, 12), (12, 14), (14, 15)] {
            ledger.step(step(after, at, Some(at + 90), false)).unwrap();
        }
        ledger.step(step(15, 15, None, false)).unwrap();
        assert_eq!((ledger.totals().deliveries, ledger.totals().covered, ledger.totals().unsettled), (4, 0, 0));
    }

    #[test]
    fn what_is_lost_repeated_swapped_or_for_others_is_found() {
        let check = |step: Step, says: &str| {
            let found = ledger().step(step).expect_err(says).to_string();
            assert!(found.contains(says), "{found}");
        };
        check(step(11, 14, Some(104), false), "without event 12");
        check(step(11, 12, None, false), "without event 12");
        check(step(12, 12, Some(102), false), "event 12 after 12");
        check(step(14, 12, Some(102), true), "event 12 after 14");
        check(step(12, 13, Some(103), false), "to Topic(4)");
        check(step(10, 11, Some(105), false), "which is number 101");
        check(step(15, 16, Some(106), false), "nobody published");
    }

    #[test]
    fn a_gap_covers_what_lies_in_it() {
        let mut ledger = ledger();
        ledger.step(step(11, 15, Some(105), true)).unwrap();
        assert_eq!(ledger.totals().covered, 2);
    }

    #[test]
    fn a_step_waits_for_what_is_under_way() {
        let mut ledger = Ledger::default();
        let (first, second) = (ledger.begin(), ledger.begin());
        ledger.step(step(10, 12, Some(2), false)).unwrap();
        let later = ledger.begin();
        ledger.answered(second, [(12, 2, To::All)]).unwrap();
        assert_eq!(ledger.totals().unsettled, 1);
        let lost = ledger.answered(first, [(11, 1, To::All)]);
        assert!(lost.is_err_and(|violation| violation.0.contains("without event 11")));
        ledger.answered(later, []).unwrap();
    }
}
