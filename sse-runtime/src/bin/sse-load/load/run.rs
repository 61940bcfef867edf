//! A run from its first connection to its report, on one thread.

use std::time::{Duration, Instant};

use super::failure::Failure;
use super::ledger::{Ledger, Order};
use super::mark::Marks;
use super::options::{Options, Pace};
use super::process::{self, Cpu, Server};
use super::publishers::{self, Publishers};
use super::readers::Readers;
use super::report::{self, Report};
use super::socket::Poll;
use super::template::{Publication, Values};

/// Opens the streams, publishes, waits for what was published, and reports.
pub(crate) fn run(options: &Options) -> Result<Report, Failure> {
    let server = options.server_pid.map(Server::new).transpose()?;
    if let Some(cpu) = options.cpu {
        process::pin(cpu)?;
    }
    let publication = match &options.publish {
        None => None,
        Some(url) => {
            let headers = &options.publish_headers;
            Some((url.address, Publication::new(&options.method, &url.path, &url.authority, headers, &options.body)?))
        }
    };
    let pace = options.pace();
    process::raise_descriptors(u64::from(options.connections) + u64::from(lines(pace)) + SPARE_DESCRIPTORS)?;
    let marks = Marks::new(std::process::id() as u16);
    let mut poll = Poll::new().map_err(|error| Failure::new(format!("epoll: {error}")))?;

    let before = Sample::take(server)?;
    let (readers, opened) = Readers::open(options, &mut poll, &marks)?;
    let after = Sample::take(server)?;
    std::thread::sleep(SETTLE);
    let opening = report::Opening {
        connections: options.connections,
        took: opened.took,
        server_cpu: after.server_cpu.zip(before.server_cpu).map(|(after, before)| after.saturating_sub(before)),
        resident_before: before.resident,
        resident_after: server.map(Server::resident),
    };

    let order = if lines(pace) == 1 { Order::OfSending } else { Order::OfFirstArrival };
    let ledger = Ledger::new(&readers.by_topic(options.topics), order);
    let address = publication.as_ref().map_or(options.url.address, |(address, _)| *address);
    let mut publishers = Publishers::new(address, if publication.is_some() { lines(pace) } else { 0 });
    publishers.open(&mut poll)?;
    let mut run = Run {
        options,
        pace,
        publication: publication.map(|(_, publication)| publication),
        marks,
        poll,
        readers,
        publishers,
        ledger,
        server,
        begun: Instant::now(),
        scratch: Vec::new(),
        peak: 0,
        next_sample: Duration::ZERO,
    };
    let before = Sample::take(server)?;
    run.begun = Instant::now();
    run.publish_and_read()?;
    let after = Sample::take(server)?;
    run.publishers.give_up(&mut run.ledger);
    Ok(run.report(opening, before, after))
}

struct Run<'a> {
    options: &'a Options,
    pace: Pace,
    publication: Option<Publication>,
    marks: Marks,
    poll: Poll,
    readers: Readers,
    publishers: Publishers,
    ledger: Ledger,
    server: Option<Server>,
    begun: Instant,
    scratch: Vec<u8>,
    /// The most resident bytes the server was seen with.
    peak: u64,
    next_sample: Duration,
}

impl Run<'_> {
    /// Returns when all is delivered and the time is up, or when nothing happened for as long as one is patient.
    fn publish_and_read(&mut self) -> Result<(), Failure> {
        let mut buffer = vec![0; BUFFER];
        let mut last_event = Duration::ZERO;
        loop {
            let now = self.begun.elapsed();
            let publishes = self.is_publishing(now);
            if publishes {
                self.publish(now)?;
            }
            let quiet = now.saturating_sub(last_event);
            let waits = self.publishers.in_flight() > 0 || self.ledger.outstanding() > 0;
            if !publishes && (!waits || quiet >= self.options.patience) {
                return Ok(());
            }
            if waits && quiet >= self.options.patience && !matches!(self.pace, Pace::Rate(_)) {
                return Ok(());
            }
            self.sample(now);
            let events = self.poll.wait(self.timeout(now, publishes, waits, last_event)).map_err(epoll)?;
            if events > 0 {
                last_event = self.begun.elapsed();
            }
            for event in 0..events {
                let token = self.poll.token(event);
                match publishers::publisher(token) {
                    Some(number) => self.publishers.ready(number, &mut buffer, &mut self.poll, &mut self.ledger)?,
                    None => self.readers.read(token as usize, &mut buffer, &self.marks, &mut self.ledger, self.begun),
                }
            }
        }
    }

    fn is_publishing(&self, now: Duration) -> bool {
        let done = self.options.messages.is_some_and(|messages| self.ledger.sent() >= messages);
        !done && now < self.options.duration() && (self.ledger.sent() < MAX_MESSAGES)
    }

    /// Publishes what the pace allows now.
    fn publish(&mut self, now: Duration) -> Result<(), Failure> {
        let Some(publication) = &self.publication else { return Ok(()) };
        let most = self.options.messages.unwrap_or(MAX_MESSAGES);
        while self.publishers.has_idle() && self.ledger.sent() < most {
            let sent = self.ledger.sent();
            let time = match self.pace {
                Pace::Outstanding(most) if self.ledger.outstanding() >= most => break,
                Pace::Rate(distance) if distance.saturating_mul(sent) > now => break,
                Pace::Rate(distance) => distance.saturating_mul(sent),
                Pace::Outstanding(_) | Pace::Flood(_) => self.begun.elapsed(),
            };
            let time = time.as_nanos() as u64;
            let seq = self.ledger.send(time);
            let n = self.ledger.topic_of(seq);
            let values = Values { n, seq, time, marks: &self.marks, size: self.options.size as usize };
            let scratch = &mut self.scratch;
            self.publishers.send(seq, &mut self.poll, |request| publication.fill(values, scratch, request))?;
        }
        Ok(())
    }

    /// How long to wait for an event.
    fn timeout(&self, now: Duration, publishes: bool, waits: bool, last_event: Duration) -> Duration {
        let mut until = self.next_sample;
        if publishes {
            until = until.min(self.options.duration());
        }
        if waits {
            until = until.min(last_event.saturating_add(self.options.patience));
        }
        if let Pace::Rate(distance) = self.pace
            && publishes
            && self.publication.is_some()
            && self.publishers.has_idle()
        {
            until = until.min(distance.saturating_mul(self.ledger.sent()));
        }
        until.saturating_sub(now)
    }

    fn sample(&mut self, now: Duration) {
        if now < self.next_sample {
            return;
        }
        self.next_sample = now + SAMPLE_EVERY;
        if let Some(server) = self.server {
            self.peak = self.peak.max(server.resident_estimate());
        }
    }

    fn report(mut self, opening: report::Opening, before: Sample, after: Sample) -> Report {
        let took = self.begun.elapsed();
        let refused = std::mem::take(&mut self.publishers.refused);
        Report::new(
            opening,
            &self.ledger,
            report::Run {
                took,
                stalled: self.options.stalled,
                ended: self.readers.ended,
                reads: self.readers.reads,
                accepted: self.publishers.accepted,
                refused,
                first_refusal: self.publishers.first_refusal.take(),
                server_cpu: after.server_cpu.zip(before.server_cpu).map(|(after, before)| after.saturating_sub(before)),
                own: after.own.since(before.own),
                resident_before: before.resident,
                resident_after: after.resident,
                resident_peak: self.server.map(|_| self.peak),
            },
        )
    }
}

/// What things cost so far.
#[derive(Clone, Copy)]
struct Sample {
    server_cpu: Option<Duration>,
    own: Cpu,
    resident: Option<u64>,
}

impl Sample {
    fn take(server: Option<Server>) -> Result<Self, Failure> {
        let server_cpu = server.map(Server::cpu).transpose();
        let server_cpu =
            server_cpu.map_err(|error| Failure::new(format!("the server's processor time cannot be read: {error}")))?;
        Ok(Self { server_cpu, own: Cpu::own(), resident: server.map(Server::resident) })
    }
}

/// How many connections this pace publishes over.
fn lines(pace: Pace) -> u32 {
    match pace {
        Pace::Outstanding(most) | Pace::Flood(most) => most,
        Pace::Rate(_) => RATE_LINES,
    }
}

fn epoll(error: std::io::Error) -> Failure {
    Failure::new(format!("epoll: {error}"))
}

/// Enough that an answer that takes its time holds up nothing.
const RATE_LINES: u32 = 4;
/// Beside those of connections: epoll, the standard streams, files of `/proc`.
const SPARE_DESCRIPTORS: u64 = 32;
/// Until the server has done what it does after the last stream is opened.
const SETTLE: Duration = Duration::from_millis(200);
const SAMPLE_EVERY: Duration = Duration::from_millis(50);
/// A gigabyte of account.
const MAX_MESSAGES: u32 = 1 << 26;
/// Large enough for a burst of a hundred messages, small enough to stay in the cache.
const BUFFER: usize = 64 * 1024;
