//! Who should have got what, and who did: the account of every delivery.
//!
//! A topic's messages have an order: that of sending where one publication is awaited before the next, else that in which its
//! first reader got them. Every reader must get them in it. A reader that is behind owns a counter; only one that skipped
//! something owns more.

use std::ops::Range;

use super::histogram::Histogram;

/// Every message of a run. 16 bytes each.
pub(crate) struct Ledger {
    messages: Vec<Message>,
    topics: Vec<Topic>,
    order: Order,
    /// Messages answered and with all their readers, or given up.
    finished: u32,
    totals: Totals,
    latency: Histogram,
}

/// What decides the order of a topic's messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    OfSending,
    OfFirstArrival,
}

/// What arrived, and how.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// First arrivals at a reader.
    pub(crate) received: u64,
    /// Arrivals of what the reader already had.
    pub(crate) duplicates: u64,
    /// Arrivals after one that comes later in the order.
    pub(crate) out_of_order: u64,
    /// Arrivals at a reader of another topic, or of no message of this run.
    pub(crate) strays: u64,
    /// Nanoseconds of the run at the last arrival.
    pub(crate) last_arrival: u64,
}

/// How far a reader is in its topic.
#[derive(Default)]
pub(crate) struct Place {
    next: u32,
    /// What comes before `next` and did not arrive. Sorted.
    skipped: Vec<Range<u32>>,
}

#[derive(Clone, Copy)]
struct Message {
    sent: u64,
    rank: u32,
    /// Readers who lack it, and its answer.
    open: u32,
}

#[derive(Clone, Default)]
struct Topic {
    readers: u32,
    /// Messages that have a rank.
    ranked: u32,
    published: u32,
}

impl Ledger {
    /// An account of topics with so many readers each.
    pub(crate) fn new(readers: &[u32], order: Order) -> Self {
        let topics = readers.iter().map(|&readers| Topic { readers, ..Topic::default() }).collect();
        Self { messages: Vec::new(), topics, order, finished: 0, totals: Totals::default(), latency: Histogram::new() }
    }

    /// A message is sent, in turn to each topic: its number. Latencies count from `now`, nanoseconds of the run.
    pub(crate) fn send(&mut self, now: u64) -> u32 {
        let number = self.sent();
        let topic = self.topic_of(number);
        let topic = &mut self.topics[topic];
        let rank = match self.order {
            Order::OfSending => topic.published,
            Order::OfFirstArrival => UNRANKED,
        };
        topic.published += 1;
        self.messages.push(Message { sent: now, rank, open: topic.readers + 1 });
        number
    }

    /// The server accepted a message.
    pub(crate) fn accepted(&mut self, number: u32) {
        let message = &mut self.messages[number as usize];
        message.open -= 1;
        self.finished += u32::from(message.open == 0);
    }

    /// The server refused a message, or nobody knows: it is not expected anywhere.
    pub(crate) fn refused(&mut self, number: u32) {
        self.messages[number as usize].open = 0;
        self.finished += 1;
    }

    /// A message reached a reader of `topic`, who is at `place`.
    pub(crate) fn received(&mut self, place: &mut Place, topic: u32, number: u32, now: u64) {
        let topics = self.topics.len();
        let Some(message) = self.messages.get_mut(number as usize).filter(|_| number as usize % topics == topic as usize)
        else {
            self.totals.strays += 1;
            return;
        };
        if message.rank == UNRANKED {
            let topic = &mut self.topics[topic as usize];
            message.rank = topic.ranked;
            topic.ranked += 1;
        }
        if message.rank == place.next {
            place.next += 1;
        } else if message.rank > place.next {
            place.skip_to(message.rank);
        } else if place.fill(message.rank) {
            self.totals.out_of_order += 1;
        } else {
            self.totals.duplicates += 1;
            return;
        }
        self.totals.received += 1;
        self.totals.last_arrival = now;
        self.latency.record(now.saturating_sub(message.sent));
        if message.open > 0 {
            message.open -= 1;
            self.finished += u32::from(message.open == 0);
        }
    }

    /// Messages sent so far.
    pub(crate) fn sent(&self) -> u32 {
        self.messages.len() as u32
    }

    /// Messages that are not answered yet, or not with all their readers.
    pub(crate) fn outstanding(&self) -> u32 {
        self.sent() - self.finished
    }

    /// The topic that a message is for.
    pub(crate) fn topic_of(&self, number: u32) -> usize {
        number as usize % self.topics.len()
    }

    /// Deliveries of accepted messages that there should have been, and those of them that are missing, once all are answered.
    pub(crate) fn expected_and_lost(&self, refused: &[u32]) -> (u64, u64) {
        let readers = |number: usize| u64::from(self.topics[number % self.topics.len()].readers);
        let of_all: u64 = (0..self.messages.len()).map(readers).sum();
        let of_refused: u64 = refused.iter().map(|&number| readers(number as usize)).sum();
        (of_all - of_refused, self.messages.iter().map(|message| u64::from(message.open)).sum())
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    pub(crate) fn latency(&self) -> &Histogram {
        &self.latency
    }
}

impl Place {
    /// Takes what comes at `rank`, beyond the next.
    fn skip_to(&mut self, rank: u32) {
        self.skipped.push(self.next..rank);
        self.next = rank + 1;
    }

    /// Takes what was skipped; false if it was not.
    fn fill(&mut self, rank: u32) -> bool {
        let at = self.skipped.partition_point(|range| range.end <= rank);
        let Some(range) = self.skipped.get(at).filter(|range| range.contains(&rank)) else { return false };
        let (before, after) = (range.start..rank, rank + 1..range.end);
        self.skipped.splice(at..=at, [before, after].into_iter().filter(|range| !range.is_empty()));
        true
    }
}

const UNRANKED: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    /// What one reader of the only topic gets, of so many messages: received, duplicates, out of order, lost.
    fn check(sent: u32, arrivals: &[u32], expected: (u64, u64, u64, u64)) {
        let mut ledger = Ledger::new(&[1], Order::OfSending);
        let mut place = Place::default();
        for _ in 0..sent {
            let number = ledger.send(0);
            ledger.accepted(number);
        }
        arrivals.iter().for_each(|&number| ledger.received(&mut place, 0, number, 1));
        let totals = ledger.totals();
        let (of, lost) = ledger.expected_and_lost(&[]);
        assert_eq!((totals.received, totals.duplicates, totals.out_of_order, lost), expected, "{arrivals:?}");
        assert_eq!((of, u64::from(ledger.outstanding())), (sent.into(), lost));
    }

    #[test]
    fn what_is_lost_repeated_or_swapped_is_counted_once() {
        check(4, &[0, 1, 2, 3], (4, 0, 0, 0));
        check(4, &[0, 1, 3], (3, 0, 0, 1));
        check(4, &[0, 1, 1, 2, 3, 3], (4, 2, 0, 0));
        check(4, &[1, 0, 2, 3], (4, 0, 1, 0));
        check(4, &[3, 2, 1, 0], (4, 0, 3, 0));
        check(6, &[0, 5, 3, 3, 2, 1, 4, 4], (6, 2, 4, 0));
        check(6, &[], (0, 0, 0, 6));
        check(6, &[5, 5, 0], (2, 1, 1, 4));
    }

    #[test]
    fn concurrent_messages_may_come_in_any_order_but_in_the_same_to_all() {
        let mut ledger = Ledger::new(&[2], Order::OfFirstArrival);
        let (mut one, mut other) = (Place::default(), Place::default());
        (0..3).for_each(|_| {
            let number = ledger.send(0);
            ledger.accepted(number);
        });
        [2, 0, 1].into_iter().for_each(|number| ledger.received(&mut one, 0, number, 1));
        [2, 1, 0].into_iter().for_each(|number| ledger.received(&mut other, 0, number, 1));
        assert_eq!((ledger.totals().received, ledger.totals().out_of_order), (6, 1));
        assert_eq!(ledger.outstanding(), 0);
    }

    #[test]
    fn a_message_at_the_wrong_reader_or_of_nobody_is_a_stray() {
        let mut ledger = Ledger::new(&[1, 1], Order::OfSending);
        let mut place = Place::default();
        let first = ledger.send(0);
        ledger.received(&mut place, 1, first, 1);
        ledger.received(&mut place, 0, 9, 1);
        assert_eq!((ledger.totals().strays, ledger.totals().received), (2, 0));
    }

    #[test]
    fn what_was_refused_is_not_expected() {
        let mut ledger = Ledger::new(&[3], Order::OfSending);
        let number = ledger.send(0);
        ledger.refused(number);
        assert_eq!((ledger.expected_and_lost(&[number]), ledger.outstanding()), ((0, 0), 0));
    }
}
