//! A page: the client's machine with its decoder, and what it makes of what it is told.

use core::time::Duration;

use sse_proto::client::{Config, EventSource};
use sse_proto::storage::HeapScratch;
use sse_proto::wire::Item;
use sse_proto::{EventId, Instant};

use super::plan::Plan;
use super::truth::Truth;

pub(super) type Source = EventSource<(), HeapScratch, [u64; 0]>;

pub(super) struct Page {
    pub(super) client: u32,
    /// `None` before it is opened and after it is closed.
    pub(super) source: Option<Source>,
    /// The request it made last, which its stream answers.
    pub(super) attempt: u32,
    /// Where its stream comes from.
    pub(super) link: Option<u32>,
    /// When it looks at its clock next.
    pub(super) alarm: u64,
    pub(super) clock_back: u64,
    /// Bytes it reads at a time, and the milliseconds between.
    pub(super) pace: (u32, u32),
    pub(super) stalled_until: u64,
    pub(super) memory: Memory,
}

/// What a page knows of the stream of events, from when it was opened.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The first event it should have; `None` before it was told where it stands.
    pub(super) start: Option<u32>,
    /// The first event it should not have yet.
    pub(super) next: u32,
    /// It was told of a gap, and of no event since.
    pub(super) gap: bool,
    /// No event came yet on the stream that told it where it stands.
    fresh: bool,
    /// How many events there were when it was told of a gap; of one that says that its id is worthless.
    pub(super) gap_at: u32,
    pub(super) lost_at: u32,
    pub(super) completions: Vec<u32>,
}

/// What came out of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Event {
        number: u32,
        id: Option<EventId>,
    },
    Gap {
        reason: Reason,
        id: Option<EventId>,
    },
    Completion {
        task: u32,
        id: Option<EventId>,
    },
    /// Something else that may say where it stands.
    Notice {
        id: Option<EventId>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Evicted,
    Epoch,
    Unknown,
    Overrun,
}

impl Page {
    pub(super) fn new(client: u32) -> Self {
        Self {
            client,
            source: None,
            attempt: 0,
            link: None,
            alarm: u64::MAX,
            clock_back: 0,
            pace: (u32::MAX, 0),
            stalled_until: 0,
            memory: Memory::default(),
        }
    }

    /// Opened anew, with nothing remembered.
    pub(super) fn open(&mut self, plan: &Plan, now: u64, entropy: u64) {
        let heartbeat = plan.config.heartbeat.unwrap_or(Duration::from_secs(3600));
        let liveness = Some(3 * heartbeat + Duration::from_millis(4 * plan.latency + 2_000));
        let config = Config { liveness, ..Config::default() };
        self.source = Some(Source::new(config, (), HeapScratch::new(), [], self.time(now), entropy));
        self.link = None;
        self.attempt += 1;
        self.memory = Memory::default();
    }

    /// What the page's clock shows.
    pub(super) fn time(&self, now: u64) -> Instant {
        Instant::from_millis(now - self.clock_back)
    }

    /// Bytes of its stream have come.
    pub(super) fn read(&mut self, now: u64, bytes: &[u8], heard: &mut Vec<Heard>) {
        let now = self.time(now);
        let Some(source) = &mut self.source else { return };
        let mut received = source.handle_bytes(now, bytes);
        loop {
            match received.next_item().expect("no event is over the limits") {
                None => return,
                Some(Item::Event(event)) => heard.push(hear(event.event, event.data, event.last_event_id)),
                Some(Item::IdChanged(id)) => heard.push(Heard::Notice { id: EventId::parse(id) }),
                Some(Item::Comment(_) | Item::Retry(_)) => {}
            }
        }
    }
}

impl Memory {
    /// Checks what was heard, and remembers it.
    pub(super) fn take(&mut self, truth: &Truth, client: u32, link: u32, heard: &Heard) {
        match *heard {
            Heard::Event { number, id } => {
                assert!(truth.is_for(client, link, number), "event {number} is not for client {client}");
                let after = id.map_or(Some(number + 1), |id| truth.after(id));
                assert_eq!(after, Some(number + 1), "event {number} came under the id {id:?}");
                let next = self.next;
                assert!(number >= next, "event {number} came although {next} is the next one: twice, or out of order");
                if !self.gap {
                    let lost = truth.owed(client, Some(link), next, number);
                    assert_eq!(lost, None, "lost before event {number}, and no gap was told");
                }
                (self.next, self.gap, self.fresh) = (number + 1, false, false);
            }
            Heard::Gap { reason, id } => {
                (self.gap, self.gap_at) = (true, truth.next());
                if matches!(reason, Reason::Epoch | Reason::Unknown) {
                    self.lost_at = truth.next();
                }
                self.place(truth, id);
            }
            Heard::Completion { task, id } => {
                let own = &truth.clients[client as usize].completions;
                assert!(own.iter().any(|completion| completion.task == task), "the end of task {task} is not for it");
                assert!(!self.completions.contains(&task), "the end of task {task} came twice");
                self.completions.push(task);
                self.place(truth, id);
            }
            Heard::Notice { id } => self.place(truth, id),
        }
    }

    /// The stream it read ended or broke.
    pub(super) fn cut(&mut self) {
        self.fresh &= self.start.is_none();
    }

    /// The end of a task that it should have heard of by now, if there is one.
    pub(super) fn missing(&self, truth: &Truth, client: u32) -> Option<u32> {
        let start = self.start?;
        let owner = &truth.clients[client as usize];
        // Another page may have shown the hub that it arrived.
        let excused_by = |own: bool| if own && owner.pages == 1 { self.lost_at } else { self.gap_at };
        let due = owner.completions.iter().filter(|completion| completion.must && completion.number >= start);
        let mut due = due.filter(|completion| completion.number >= excused_by(completion.own));
        due.find(|completion| !self.completions.contains(&completion.task)).map(|completion| completion.task)
    }

    /// It was told where it stands. On its first stream, before any event, that is where it begins.
    fn place(&mut self, truth: &Truth, id: Option<EventId>) {
        let Some(after) = id.and_then(|id| truth.after(id)) else { return };
        if self.start.is_none() {
            (self.start, self.next, self.fresh) = (Some(after), after, true);
        } else if self.fresh {
            (self.start, self.next) = (self.start.max(Some(after)), self.next.max(after));
        }
    }
}

fn hear(event: &str, data: &str, id: &str) -> Heard {
    let id = EventId::parse(id);
    let number = |after: &str| -> Option<u32> {
        let (_, rest) = data.split_once(after)?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    };
    match event {
        "message" => match number("") {
            Some(number) => Heard::Event { number, id },
            None if data.starts_with("\"registered^") => Heard::Notice { id },
            None => Heard::Completion { task: number("taskid\\\":\\\"k").expect("a task"), id },
        },
        "completed" | "failed" => Heard::Completion { task: number("\"task\":\"k").expect("a task"), id },
        "gap" => {
            let reasons = [
                ("evicted", Reason::Evicted),
                ("epoch", Reason::Epoch),
                ("unknown", Reason::Unknown),
                ("overrun", Reason::Overrun),
            ];
            let found = reasons.iter().find(|(name, _)| data == format!("{{\"reason\":\"{name}\"}}"));
            Heard::Gap { reason: found.expect("a reason").1, id }
        }
        "connected" | "progress" => Heard::Notice { id },
        other => panic!("an event named {other}"),
    }
}
