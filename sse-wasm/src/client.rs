//! The client's machine, [`sse_proto::client`], driven from JavaScript, which decodes the stream itself: see `js/decoder.js`.

use alloc::boxed::Box;
use alloc::vec;
use core::time::Duration;

use sse_proto::Instant;
use sse_proto::client::{Closed, Config, EventSource, Head, Interruption, Output, retry_after};
use sse_proto::storage::FixedScratch;

use crate::record::Reader;

/// One event stream and its connections, one after another. Redirects are followed by `fetch`, so the machine knows no URL.
pub struct Source {
    machine: EventSource<(), FixedScratch<[u8; 0]>, Box<[u64]>>,
    delay: Duration,
}

impl Source {
    /// What is configured, as numbers in the order of `js/follower.js`; times are milliseconds, and a negative one means never.
    pub fn new(record: &mut Reader<'_>) -> Self {
        let options = [(); 13].map(|()| f64::from_bits(record.next_number().unwrap_or_default()));
        let option = |index: usize| options[index];
        let config = Config {
            retry: millis(option(0)),
            shortest_wait: millis(option(1)),
            backoff_ceiling: millis(option(2)),
            longest_wait: millis(option(3)),
            jitter_percent: option(4) as u8,
            answer_timeout: (option(5) >= 0.0).then(|| millis(option(5))),
            liveness: (option(6) >= 0.0).then(|| millis(option(6))),
            max_attempts: (option(7) >= 0.0).then(|| option(7) as u32),
            retry_statuses: option(8) != 0.0,
            reconnect: option(9) != 0.0,
            ..Config::default()
        };
        let seen = vec![0; option(10) as usize].into_boxed_slice();
        let machine = EventSource::new(config, (), FixedScratch::new([]), seen, at(option(11)), option(12).to_bits());
        Self { machine, delay: Duration::ZERO }
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
    /// negative for never.
    pub fn time(&self, which: u32) -> f64 {
        match which {
            0 => number(self.delay),
            _ => self.machine.poll_timeout().map_or(-1.0, |at| at.as_millis() as f64),
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

    /// Whether an event with this id of its own was not given before.
    pub fn is_new(&mut self, id: &str) -> bool {
        self.machine.is_new(id)
    }

    /// Something happened: 0 time passed, 1 the body came to its end, 2 there was no answer or no more of it, 3 the request cannot be
    /// made, 4 the caller closes, 5 some of the body came, 6 in which the reconnection time was set to `time`.
    pub fn tell(&mut self, now: f64, what: u32, time: f64) {
        match what {
            0 => self.machine.handle_timeout(at(now)),
            1 => self.machine.handle_end(at(now)),
            2 => self.machine.handle_failure(at(now)),
            3 => self.machine.handle_unsendable(),
            4 => self.machine.close(),
            5 => self.machine.handle_activity(at(now)),
            _ => self.machine.set_retry(time as u64),
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
