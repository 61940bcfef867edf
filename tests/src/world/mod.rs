//! Simulated worlds: a hub, a network that fails, and pages that are real decoders with the client's machine.
//!
//! Everything follows from a seed ([`Plan`]); time is simulated, so a day takes as long as its events. The hub's clock is not the
//! world's: it jumps and steps back. The application that publishes keeps a record of who should have what (`truth`), and the
//! driver follows the engine's contract to the letter, at a pace of its own. What holds after every step:
//!
//! - before `poll_output` and after, `poll_timeout` is due exactly when there is output;
//! - nobody takes nothing for the time of `write_stall`, is silent for the time of `heartbeat`, or is kept for longer than
//!   `dormant_after` and a sweep; nobody is closed for less;
//! - what is gone is stale, and the tables hold what is there and no more;
//! - an id that was made is reserved for its time, no longer and no shorter, whether or not the hub restarts;
//! - a connection that the application finishes brings what was published before, and nothing that was later;
//! - the heap is within [`Engine::memory_bounds`](sse_proto::Engine::memory_bounds), and work in a call is bounded;
//! - every event a page should have, it has once and in order, or it was told of a gap that covers it.
//!
//! At the end everything heals, and everybody has everything; then everybody leaves, and nothing is left.
//!
//! [`run`] says what went wrong, [`explain`] with how little it still goes wrong.

mod chance;
mod driver;
mod ending;
mod home;
mod network;
mod page;
mod plan;
mod shrink;
mod steps;
mod truth;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};

use sse_proto::client::{Head, Output, State};
use sse_proto::{ClientId, ClientKey, Epoch, Instant};

use self::chance::chance;
pub use self::home::{Bare, Home, SmallTables};
use self::network::Link;
use self::page::{Heard, Page};
pub use self::plan::{Plan, Step};
pub use self::shrink::{Failure, explain, run, tell};
use self::truth::Truth;

/// How much of everything happened, by name.
pub type Tally = BTreeMap<&'static str, u64>;

/// A world while it runs.
struct World<'p, H> {
    plan: &'p Plan,
    /// The world's time in milliseconds.
    now: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    /// Orders what happens at one time.
    ticket: u64,
    hub: Option<H>,
    /// How many hubs there were before.
    life: u32,
    /// Since when the hub says goodbye.
    draining: Option<u64>,
    /// What the hub's clock shows is the world's time and this.
    skew: i64,
    /// The latest time the hub was told.
    told: u64,
    /// When the hub's driver looks at its clock next.
    alarm: u64,
    paused_until: u64,
    links: Vec<Link>,
    /// Open connections of this hub, by slot.
    open: Vec<Option<u32>>,
    open_count: u32,
    /// Clients this hub knows, streams that were given up included, and how many connections each has.
    known: HashMap<ClientKey, Known>,
    pages: Vec<Page>,
    truth: Truth,
    /// Ids that the hub made and nobody registered, with the time it was told then: what the next hub is given.
    issued: VecDeque<(u64, String)>,
    /// How many requests pages made, and how many before the latest of those that arrived.
    requests: u64,
    arrived: u64,
    heard: Vec<Heard>,
    sink: Vec<u8>,
    tally: Tally,
    events: u64,
    happened: u64,
    /// What happened, in words, if anybody wants to know.
    trace: Option<&'p mut Vec<String>>,
    progress: Option<&'p mut dyn FnMut(u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    client: u32,
    connections: u32,
    /// By the hub's clock: when the last connection left.
    left: u64,
}

/// What is to happen.
#[derive(Debug)]
enum Due {
    Step(u32),
    Open {
        page: u32,
    },
    /// A request reaches the hub.
    Arrive {
        page: u32,
        attempt: u32,
        last_event_id: Box<str>,
        /// How many requests were made before it.
        before: u64,
    },
    /// Its answer reaches the page.
    Answer {
        page: u32,
        attempt: u32,
        answer: Answer,
    },
    /// Bytes reach the page.
    Read {
        link: u32,
    },
    /// The page notices that its stream broke.
    Breaks {
        page: u32,
        attempt: u32,
    },
    /// The hub notices that a connection is gone.
    Gone {
        link: u32,
    },
    PageAlarm {
        page: u32,
    },
    HubAlarm,
    /// The hub was drained, and is to go.
    Drained {
        since: u64,
        down: u32,
    },
    HubUp,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Stream { link: u32 },
    Busy,
    NoHub,
}

struct Entry {
    at: u64,
    ticket: u64,
    due: Due,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.ticket == other.ticket
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.ticket).cmp(&(other.at, other.ticket))
    }
}

impl<'p, H: Home> World<'p, H> {
    fn new(plan: &'p Plan) -> Self {
        let mut world = Self {
            plan,
            now: plan::START,
            queue: BinaryHeap::new(),
            ticket: 0,
            hub: None,
            life: 0,
            draining: None,
            skew: 0,
            told: 0,
            alarm: u64::MAX,
            paused_until: 0,
            links: Vec::new(),
            open: Vec::new(),
            open_count: 0,
            known: HashMap::new(),
            pages: plan.pages.iter().map(|page| Page::new(page.client)).collect(),
            truth: Truth::new(plan),
            issued: VecDeque::new(),
            requests: 0,
            arrived: 0,
            heard: Vec::new(),
            sink: Vec::new(),
            tally: Tally::new(),
            events: 0,
            happened: 0,
            trace: None,
            progress: None,
        };
        world.hub_up();
        for (number, page) in plan.pages.iter().enumerate() {
            if let Some(at) = page.at {
                world.later(at, Due::Open { page: number as u32 });
            }
        }
        for (number, &(at, _)) in plan.steps.iter().enumerate() {
            world.later(at, Due::Step(number as u32));
        }
        world
    }

    /// Everything that is to happen until `end` happens.
    fn run_until(&mut self, end: u64) {
        while self.queue.peek().is_some_and(|Reverse(entry)| entry.at <= end) {
            let Some(Reverse(Entry { at, due, .. })) = self.queue.pop() else { return };
            self.now = at;
            self.happened += 1;
            if self.happened.is_multiple_of(1 << 20)
                && let Some(progress) = &mut self.progress
            {
                progress(self.now - plan::START, self.happened);
            }
            self.happen(due);
        }
        self.now = end;
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Step(number) => self.step(self.plan.steps[number as usize].1),
            Due::Open { page } => self.open_page(page),
            Due::Arrive { page, attempt, last_event_id, before } => {
                if before < self.arrived {
                    self.count("requests overtaken");
                }
                self.arrived = self.arrived.max(before);
                self.arrive(page, attempt, &last_event_id);
            }
            Due::Answer { page, attempt, answer } => self.answer(page, attempt, answer),
            Due::Read { link } => self.read(link),
            Due::Breaks { page, attempt } => self.breaks(page, attempt),
            Due::Gone { link } => self.gone(link),
            Due::PageAlarm { page } => self.page_alarm(page),
            Due::HubAlarm => self.hub_alarm(),
            Due::Drained { since, down } => {
                self.check_drained(since);
                self.hub_down(down);
            }
            Due::HubUp => self.hub_up(),
        }
    }

    fn later(&mut self, after: u64, due: Due) {
        self.ticket += 1;
        self.queue.push(Reverse(Entry { at: self.now + after, ticket: self.ticket, due }));
    }

    fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        let at = self.now - plan::START;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>6}.{:03} s  {}", at / 1_000, at % 1_000, what()));
        }
    }

    /// How long something is under way.
    fn latency(&self, of: u64, what: u64) -> u64 {
        chance(self.plan.seed, of, what) % (self.plan.latency + 1)
    }

    // ---- the hub's machine

    fn hub_up(&mut self) {
        self.life += 1;
        let epoch = self.life;
        self.note(|| format!("a hub comes up, epoch {epoch}"));
        self.truth.begin(self.life);
        let mut hub = H::open(self.plan.config.clone(), Epoch(self.life));
        (self.told, self.alarm, self.draining) = (0, u64::MAX, None);
        for (issued, id) in &self.issued {
            self.told = *issued;
            hub.restore_id(instant(*issued), ClientId::new(id).expect("an id")).expect("there is room");
            *self.tally.entry("ids restored").or_default() += 1;
        }
        self.hub = Some(hub);
        self.turn();
    }

    fn hub_down(&mut self, down: u32) {
        if self.hub.take().is_none() {
            return;
        }
        self.note(|| "the hub is gone".into());
        self.count("hubs that went");
        self.truth.end();
        self.known.clear();
        for slot in 0..self.open.len() {
            let Some(number) = self.open[slot].take() else { continue };
            let link = &mut self.links[number as usize];
            link.open = false;
            let (page, attempt) = (link.page, link.attempt);
            if link.dead {
                continue;
            }
            // Some of the bytes that are under way still arrive.
            let arrive = chance(self.plan.seed, u64::from(number), 3) % (link.buffer.len() as u64 + 1);
            let bytes = link.buffer[..arrive as usize].to_vec();
            (link.dead, link.done) = (true, true);
            link.buffer = Vec::new();
            self.hear(number, &bytes);
            // One in four is not told: its machine went, not its program.
            if !chance(self.plan.seed, u64::from(number), 4).is_multiple_of(4) {
                let latency = self.latency(u64::from(number), 5);
                self.later(latency, Due::Breaks { page, attempt });
            }
        }
        self.open_count = 0;
        self.later(u64::from(down), Due::HubUp);
    }

    /// Whoever took what it was given has heard the farewell.
    fn check_drained(&self, since: u64) {
        if self.draining != Some(since) || self.paused_until > self.now {
            return;
        }
        let mut open = self.open.iter().flatten().map(|&link| &self.links[link as usize]);
        let left = open.find(|link| !link.full && !link.dead);
        assert!(left.is_none(), "drained, and still open: {left:?}");
    }

    // ---- pages

    fn open_page(&mut self, number: u32) {
        let entropy = chance(self.plan.seed, u64::from(number), self.now);
        self.note(|| format!("page {number} is opened"));
        self.pages[number as usize].open(self.plan, self.now, entropy);
        self.drive_page(number);
    }

    /// What the page's machine wants is done.
    fn drive_page(&mut self, number: u32) {
        loop {
            let page = &mut self.pages[number as usize];
            let client = page.client;
            let now = page.time(self.now);
            let Some(source) = &mut page.source else { return };
            match source.poll_output() {
                None => break,
                Some(Output::Connect(request)) => {
                    let last_event_id: Box<str> = request.last_event_id.into();
                    page.attempt += 1;
                    page.link = None;
                    let attempt = page.attempt;
                    self.note(|| format!("page {number} of client {client} asks, Last-Event-ID {last_event_id:?}"));
                    let latency = self.latency(u64::from(number), u64::from(attempt));
                    let before = self.requests;
                    self.requests += 1;
                    self.later(latency, Due::Arrive { page: number, attempt, last_event_id, before });
                }
                Some(Output::Opened) => {}
                Some(Output::Waiting { delay, why }) => {
                    page.link = None;
                    page.memory.cut();
                    self.note(|| format!("page {number} waits {delay:?}: {why}"));
                    self.count("waits of pages");
                }
                Some(Output::Closed(why)) => panic!("page {number} gave up: {why} at {now:?}"),
            }
        }
        let page = &mut self.pages[number as usize];
        let now = page.time(self.now);
        let Some(source) = &page.source else { return };
        let Some(timeout) = source.poll_timeout() else { return };
        assert!(timeout > now || page.clock_back > 0 || source.state() != State::Closed, "page {number} forgot something");
        let at = self.now.max(timeout.as_millis() + page.clock_back);
        if at < page.alarm {
            page.alarm = at;
            let after = at - self.now;
            self.later(after, Due::PageAlarm { page: number });
        }
    }

    fn page_alarm(&mut self, number: u32) {
        let page = &mut self.pages[number as usize];
        if page.alarm != self.now {
            return;
        }
        page.alarm = u64::MAX;
        let now = page.time(self.now);
        let Some(source) = &mut page.source else { return };
        let was_open = source.state() == State::Open;
        source.handle_timeout(now);
        if was_open && source.state() != State::Open {
            self.count("streams found dead");
            self.abandon(number, 0);
        }
        self.drive_page(number);
    }

    fn answer(&mut self, number: u32, attempt: u32, answer: Answer) {
        let page = &mut self.pages[number as usize];
        let now = page.time(self.now);
        let waiting = page.attempt == attempt && page.source.as_ref().is_some_and(|source| source.state() == State::Connecting);
        if !waiting {
            if let Answer::Stream { link } = answer {
                self.hang_up(link, 0);
            }
            return;
        }
        let Some(source) = &mut page.source else { return };
        match answer {
            Answer::Stream { link } => {
                source.handle_response(now, Head { content_type: Some("text/event-stream"), ..Head::new(200) });
                page.link = Some(link);
            }
            Answer::Busy => source.handle_response(now, Head::new(503)),
            Answer::NoHub => source.handle_failure(now),
        }
        self.drive_page(number);
    }

    fn breaks(&mut self, number: u32, attempt: u32) {
        let page = &mut self.pages[number as usize];
        if page.attempt != attempt {
            return;
        }
        let now = page.time(self.now);
        let Some(source) = &mut page.source else { return };
        source.handle_failure(now);
        self.drive_page(number);
    }

    // ---- connections

    fn read(&mut self, number: u32) {
        let link = &mut self.links[number as usize];
        link.reading = false;
        if link.dead || link.done {
            return;
        }
        let page = &self.pages[link.page as usize];
        if page.stalled_until > self.now {
            let after = page.stalled_until - self.now;
            link.reading = true;
            return self.later(after, Due::Read { link: number });
        }
        let (most, every) = page.pace;
        let taken = link.buffer.len().min(most as usize);
        let mut bytes = std::mem::take(&mut link.buffer);
        if taken < bytes.len() {
            link.buffer = bytes.split_off(taken);
        }
        if most == 1 && bytes.len() == 1 {
            self.count("reads of one byte");
        }
        self.hear(number, &bytes);
        let link = &mut self.links[number as usize];
        let (page, attempt) = (link.page, link.attempt);
        if !link.buffer.is_empty() {
            link.reading = true;
            self.later(u64::from(every), Due::Read { link: number });
        } else if !link.open {
            link.done = true;
            self.check_finished(number);
            let page_now = self.pages[page as usize].time(self.now);
            if self.pages[page as usize].attempt == attempt
                && let Some(source) = &mut self.pages[page as usize].source
            {
                source.handle_end(page_now);
                self.drive_page(page);
            }
        }
        let link = &mut self.links[number as usize];
        if link.full && link.open {
            link.full = false;
            let conn = link.conn;
            self.write(conn);
            self.turn();
        }
    }

    /// A connection that the application ended has brought everything that was published before.
    fn check_finished(&self, number: u32) {
        let link = &self.links[number as usize];
        let (page, Some(finished)) = (&self.pages[link.page as usize], link.finished) else { return };
        if page.link == Some(number) && page.memory.start.is_some() && !page.memory.gap && !self.is_given_up(link) {
            let lost = self.truth.owed(link.client, None, page.memory.next, finished);
            assert_eq!(lost, None, "{:?} ended before an event that it was to bring", link.conn);
        }
    }

    /// Bytes reach the page, if it still listens.
    fn hear(&mut self, number: u32, bytes: &[u8]) {
        let link = &self.links[number as usize];
        let (page_number, client) = (link.page, link.client);
        let page = &mut self.pages[page_number as usize];
        if page.link != Some(number) || bytes.is_empty() {
            return;
        }
        let mut heard = std::mem::take(&mut self.heard);
        page.read(self.now, bytes, &mut heard);
        for what in &heard {
            if self.trace.is_some() {
                self.note(|| format!("page {page_number} hears {what:?}"));
            }
            match what {
                Heard::Event { number: event, .. } => {
                    self.events += 1;
                    let finished = self.links[number as usize].finished;
                    assert!(
                        finished.is_none_or(|end| *event < end),
                        "event {event} came on a connection that was to end before"
                    );
                }
                Heard::Gap { reason, .. } => {
                    assert!(!self.plan.calm, "a gap although nothing was lost: {reason:?}");
                    self.count(match reason {
                        page::Reason::Evicted => "gaps: evicted",
                        page::Reason::Epoch => "gaps: epoch",
                        page::Reason::Unknown => "gaps: unknown",
                        page::Reason::Overrun => "gaps: overrun",
                    });
                }
                Heard::Completion { .. } => self.count("ends of tasks heard"),
                Heard::Notice { .. } => {}
            }
            self.pages[page_number as usize].memory.take(&self.truth, client, number, what);
        }
        heard.clear();
        self.heard = heard;
        self.drive_page(page_number);
    }

    /// The page drops its stream; the hub notices after `after`, or when it is told.
    fn abandon(&mut self, page: u32, after: u64) {
        if let Some(link) = self.pages[page as usize].link.take() {
            self.hang_up(link, after);
        }
    }

    fn hang_up(&mut self, number: u32, after: u64) {
        let link = &mut self.links[number as usize];
        if link.dead || link.done {
            return;
        }
        (link.dead, link.done) = (true, true);
        link.buffer = Vec::new();
        self.later(after, Due::Gone { link: number });
    }
}

fn instant(millis: u64) -> Instant {
    Instant::from_millis(millis)
}
