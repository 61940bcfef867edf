//! The client's machine, [`sse_proto::client`], driven from JavaScript; and, already open, the decoder of any stream.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use core::time::Duration;

use sse_proto::Instant;
use sse_proto::client::{Closed, Config, EventSource, Head, Interruption, Output, retry_after};
use sse_proto::storage::HeapScratch;
use sse_proto::wire::{DecodeError, IdField, Item, Limits};

use crate::batch::{Batch, MAX_TEXT, kind};
use crate::record::Reader;

/// One event stream and its connections, one after another. Redirects are followed by `fetch`, so the machine knows no URL.
pub struct Source {
    machine: EventSource<(), HeapScratch, Box<[u64]>>,
    /// The type of the last event that was told.
    event_type: String,
    /// The last event id that was told.
    id: String,
    delay: Duration,
}

impl Source {
    /// What is configured, as numbers in the order of `js/source.js`; times are milliseconds, and a negative one means never.
    pub fn new(record: &mut Reader<'_>) -> Self {
        let options = [(); 15].map(|()| f64::from_bits(record.next_number().unwrap_or_default()));
        let option = |index: usize| options[index];
        let limit = |index| (option(index) as u32).min(MAX_TEXT) as usize;
        let config = Config {
            limits: Limits { max_line: limit(0), max_event: limit(1) },
            retry: millis(option(2)),
            shortest_wait: millis(option(3)),
            backoff_ceiling: millis(option(4)),
            longest_wait: millis(option(5)),
            jitter_percent: option(6) as u8,
            answer_timeout: (option(7) >= 0.0).then(|| millis(option(7))),
            liveness: (option(8) >= 0.0).then(|| millis(option(8))),
            max_attempts: (option(9) >= 0.0).then(|| option(9) as u32),
            retry_statuses: option(10) != 0.0,
            reconnect: option(11) != 0.0,
            ..Config::default()
        };
        let seen = vec![0; option(12) as usize].into_boxed_slice();
        let machine = EventSource::new(config, (), HeapScratch::new(), seen, at(option(13)), option(14).to_bits());
        Self { machine, event_type: String::from("message"), id: String::new(), delay: Duration::ZERO }
    }

    /// Sets the last event id; false when it cannot be one.
    pub fn set_last_event_id(&mut self, id: &str) -> bool {
        let is_one = IdField::new(id).is_ok_and(|id| self.machine.set_last_event_id(id).is_ok());
        if is_one {
            self.id = String::from(id);
        }
        is_one
    }

    /// What to do now, as one number: what in the lowest four bits, of what is over why in the next four, what happened to the
    /// connection in the next four, and the status from bit 16 on. Zero for nothing.
    pub fn poll(&mut self) -> u32 {
        match self.machine.poll_output() {
            None => 0,
            Some(Output::Connect(_)) => 1,
            Some(Output::Opened) => 2,
            Some(Output::Waiting { delay, why }) => {
                self.delay = delay;
                3 | interruption(why)
            }
            Some(Output::Closed(why)) => 4 | closed(why),
        }
    }

    /// A time in milliseconds: 0 after which the next attempt comes, once waiting was told; 1 when to [`tell`](Self::tell) of the time,
    /// negative for never; 2 the reconnection time.
    pub fn time(&self, which: u32) -> f64 {
        match which {
            0 => number(self.delay),
            1 => self.machine.poll_timeout().map_or(-1.0, |at| at.as_millis() as f64),
            _ => number(self.machine.retry()),
        }
    }

    /// The answer to the request has begun, with its content type and `Retry-After`. `until` is how many milliseconds off a date in the
    /// latter is; negative for no date.
    pub fn respond(&mut self, now: f64, status: u16, record: &mut Reader<'_>, until: f64) {
        let (content_type, retry) = (record.next_text(), record.next_text());
        let asked = retry_after(retry).or_else(|| (until >= 0.0).then(|| millis(until)));
        let head = Head { status, content_type: Some(content_type), location: None, retry_after: asked };
        self.machine.handle_response(at(now), head);
    }

    /// Decodes bytes; the address of what the batch says of them, see [`Batch`].
    pub fn feed(&mut self, now: f64, bytes: &[u8], batch: &mut Batch) -> *const u32 {
        batch.begin();
        let mut received = self.machine.handle_bytes(at(now), bytes);
        loop {
            match received.next_item() {
                Ok(None) => break,
                Ok(Some(Item::Event(event))) => {
                    if *event.event != *self.event_type {
                        self.event_type.clear();
                        self.event_type.push_str(event.event);
                        batch.text(kind::TYPE, event.event);
                    }
                    if *event.last_event_id != *self.id {
                        self.id.clear();
                        self.id.push_str(event.last_event_id);
                        batch.text(kind::ID, event.last_event_id);
                    }
                    batch.text(kind::EVENT, event.data);
                }
                Ok(Some(Item::IdChanged(id))) => {
                    self.id.clear();
                    self.id.push_str(id);
                    batch.text(kind::ID, id);
                }
                Ok(Some(Item::Comment(comment))) => batch.text(kind::COMMENT, comment),
                Ok(Some(Item::Retry(millis))) => batch.number(kind::RETRY, u32::try_from(millis).unwrap_or(u32::MAX)),
                Err(error) => batch.lost(match error {
                    DecodeError::LineTooLong => 0,
                    DecodeError::EventTooLong => 1,
                    DecodeError::BufferFull => 2,
                }),
            }
        }
        batch.end()
    }

    /// Something happened: 0 time passed, 1 the body came to its end, 2 there was no answer or no more of it, 3 the request cannot be
    /// made, 4 the caller closes.
    pub fn tell(&mut self, now: f64, what: u32) {
        match what {
            0 => self.machine.handle_timeout(at(now)),
            1 => self.machine.handle_end(at(now)),
            2 => self.machine.handle_failure(at(now)),
            3 => self.machine.handle_unsendable(),
            _ => self.machine.close(),
        }
    }
}

fn at(now: f64) -> Instant {
    Instant::from_millis(now as u64)
}

fn number(time: Duration) -> f64 {
    (time.as_secs() * 1000 + u64::from(time.subsec_millis())) as f64
}

fn millis(number: f64) -> Duration {
    Duration::from_millis(number as u64)
}

fn interruption(why: Interruption) -> u32 {
    match why {
        Interruption::Ended => 0,
        Interruption::Failed => 1 << 8,
        Interruption::NoAnswer => 2 << 8,
        Interruption::Silent => 3 << 8,
        Interruption::Status(status) => 4 << 8 | u32::from(status) << 16,
    }
}

fn closed(why: Closed) -> u32 {
    match why {
        Closed::ByCaller => 0,
        Closed::Unsendable => 1 << 4,
        Closed::NoContent => 2 << 4,
        Closed::Status(status) => 3 << 4 | u32::from(status) << 16,
        Closed::ContentType => 4 << 4,
        Closed::Redirect(status) => 5 << 4 | u32::from(status) << 16,
        Closed::TooManyRedirects => 6 << 4,
        Closed::Attempts(why) => 7 << 4 | interruption(why),
        Closed::Over(why) => 8 << 4 | interruption(why),
    }
}
