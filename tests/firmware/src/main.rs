//! A house whose lamp and thermometer publish events, on a microcontroller with 16 KiB of memory and no allocator.
//!
//! The engine is a static; pages are clients of the same chip, as far as their bytes go: what the engine writes is decoded by the
//! client machine, which also remembers what to resume with. Time is simulated. Everything that goes over a wire is printed, and
//! `tests/run firmware` compares it with `wire.golden`.
#![no_std]
#![no_main]

mod shapes;
mod stack;

use core::fmt::{self, Display, Write as _};

use cortex_m as _;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, heprintln, hprintln};
use panic_semihosting as _;
use sse_proto::client::{self, EventSource, Head};
use sse_proto::storage::FixedScratch;
use sse_proto::wire::{Event, Item};
use sse_proto::{
    ClientId, Config, ConnId, Engine, Epoch, Instant, Limits, Memory, Outcome, Output, Registration, Resume, RowSizes, Storage,
    Target,
};

use crate::shapes::{House, Lamp, Room};

const CONFIG: Config = {
    let limits = Limits { issued_ids: 2, ..Lamp::CAPACITY };
    let config = Config { limits, ..Config::DEFAULT };
    assert!(config.check_for::<Lamp>().is_ok());
    config
};

#[entry]
fn main() -> ! {
    static mut MEMORY: Memory<Lamp> = Memory::new();
    // A device takes these from its generator of random numbers.
    let (epoch, hash_key) = (Epoch(0xC0FFEE), [0x1234, 0x5678]);
    match MEMORY.begin(CONFIG, epoch, hash_key) {
        Ok(engine) => day(&mut Hub { engine, now: 0 }),
        Err(error) => panic!("{error}"),
    }
    heprintln!("{} bytes of stack were used", stack::used());
    debug::exit(debug::EXIT_SUCCESS);
    unreachable!("the emulator has left");
}

/// What happens.
fn day(hub: &mut Hub) {
    let sizes = [size_of::<Engine<Lamp>>(), size_of::<Engine<Room>>(), size_of::<Engine<House>>()];
    hprintln!("bytes of an engine: {}, {}, {}", sizes[0], sizes[1], sizes[2]);
    let RowSizes { connection, client, label, subscription, task, log_entry } = Engine::<Lamp>::ROW_SIZES;
    hprintln!("bytes of a row: {}, {}, {}, {}, {}, {}", connection, client, label, subscription, task, log_entry);

    chapter("two pages connect, and hear of the lamp");
    let (mut hall, mut attic) = (Page::new("hall_1"), Page::new("attic_1"));
    hub.register(&mut hall, &["light"]);
    hub.register(&mut attic, &[]);
    hub.publish(Target::Topic("light"), &Event::data("on"));
    hub.publish(Target::All, &Event::data("21.5\n°C"));
    hub.drive(&mut [&mut hall, &mut attic]);

    chapter("the hall is cut off in the middle of a frame, and resumes behind the last whole one");
    hub.publish(Target::Topic("light"), &Event::data("dimmed"));
    hub.publish(Target::Topic("light"), &Event::data("off"));
    hall.takes = 40;
    hub.drive(&mut [&mut hall, &mut attic]);
    hub.cut(&mut hall);
    hub.publish(Target::Topic("light"), &Event::data("on again"));
    hub.register(&mut hall, &["light"]);
    hub.drive(&mut [&mut hall, &mut attic]);

    chapter("a task ends while its page is away");
    let key = hub.engine.find("", "hall_1").expect("the hall is known");
    hub.engine.submit(hub.now(), key, "descale").expect("there is room for a task");
    hub.cut(&mut hall);
    let outcome = Outcome::Completed(Some("{\"litres\":2}"));
    hub.engine.complete_at(hub.now(), 0, Some(key), "", "hall", "descale", outcome).expect("it is submitted");
    hub.register(&mut hall, &[]);
    hub.drive(&mut [&mut hall, &mut attic]);

    chapter("every connection is taken");
    let sheds = ["shed_1", "shed_2", "shed_3"].map(|name| hub.admit(name, &[], Resume::Live));
    for shed in sheds.into_iter().flatten() {
        let _ = hub.engine.handle_disconnect(hub.now(), shed);
    }

    chapter("the log passes the attic, which takes nothing");
    (attic.takes, hall.quiet) = (0, true);
    for _ in 0..40 {
        hub.publish(Target::All, &Event::data("a line of text, and soon the log is full of them"));
        hub.drive(&mut [&mut hall, &mut attic]);
    }
    (attic.takes, hall.quiet) = (usize::MAX, false);
    hub.write(&mut attic);
    hub.drive(&mut [&mut hall, &mut attic]);
    attic.quiet = true;
    hub.register(&mut attic, &[]);
    hub.drive(&mut [&mut hall, &mut attic]);
    attic.quiet = false;

    chapter("nothing happens for a while, then for more than an hour");
    hub.wait(15_000);
    hub.drive(&mut [&mut hall, &mut attic]);
    hub.cut(&mut attic);
    hub.cut(&mut hall);
    hub.wait(4_000_000);
    hub.drive(&mut []);
    let usage = hub.engine.usage();
    hprintln!("left are {} connections, {} clients, {} tasks", usage.connections, usage.clients, usage.tasks);
}

/// The engine, with a clock that says what it is told.
struct Hub {
    engine: &'static mut Engine<Lamp>,
    now: u64,
}

impl Hub {
    fn now(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    fn wait(&mut self, millis: u64) {
        self.now += millis;
        hprintln!("-- {} s", self.now / 1_000);
        self.engine.handle_timeout(self.now());
    }

    fn register(&mut self, page: &mut Page, topics: &[&str]) {
        page.conn = self.admit(page.name, topics, Resume::After(page.source.last_event_id()));
        page.open(self.now());
    }

    fn admit(&mut self, name: &str, topics: &[&str], resume: Resume<'_>) -> Option<ConnId> {
        let id = ClientId::new(name).expect("a name");
        match self.engine.register(self.now(), &Registration { topics, resume, ..Registration::new(id) }) {
            Ok(registered) => {
                hprintln!("{} is admitted", name);
                Some(registered.conn)
            }
            Err(error) => {
                hprintln!("{} is refused: {}", name, error);
                None
            }
        }
    }

    fn publish(&mut self, target: Target<'_>, event: &Event<'_>) {
        if let Err(error) = self.engine.publish(self.now(), target, event) {
            panic!("{error}");
        }
    }

    /// The connection breaks.
    fn cut(&mut self, page: &mut Page) {
        if let Some(conn) = page.conn.take() {
            let _ = self.engine.handle_disconnect(self.now(), conn);
            hprintln!("{} is cut off", page.name);
        }
    }

    /// Does what the engine says, until it says nothing more.
    fn drive(&mut self, pages: &mut [&mut Page]) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Write(conn) => {
                    if let Some(page) = pages.iter_mut().find(|page| page.conn == Some(conn)) {
                        self.write(page);
                    }
                }
                Output::Close { conn, reason, .. } => {
                    if let Some(page) = pages.iter_mut().find(|page| page.conn == Some(conn)) {
                        page.conn = None;
                        hprintln!("{} is closed: {:?}", page.name, reason);
                    }
                }
                Output::Gap { reason, .. } => hprintln!("someone is told of a gap: {}", reason),
                Output::Expired { id, .. } => hprintln!("{} is forgotten", id),
                Output::Unused { id } => hprintln!("{} was never used", id),
            }
        }
    }

    /// Gives the page what there is, as far as it takes it.
    fn write(&mut self, page: &mut Page) {
        let (now, Some(conn)) = (self.now(), page.conn) else { return };
        while page.takes > 0 {
            let mut slices = [&b""[..]; 2];
            let Ok(1..) = self.engine.transmit(conn, &mut slices) else { return };
            let taken = &slices[0][..slices[0].len().min(page.takes)];
            page.receive(now, taken);
            let taken = taken.len();
            page.takes = page.takes.saturating_sub(if page.takes == usize::MAX { 0 } else { taken });
            let _ = self.engine.handle_written(now, conn, taken);
        }
    }
}

/// A peer: the client machine and its connection.
struct Page {
    name: &'static str,
    conn: Option<ConnId>,
    source: EventSource<&'static str, FixedScratch<[u8; 256]>, [u64; 4]>,
    /// How many bytes it takes until it is connected again.
    takes: usize,
    /// Its bytes are not printed, only counted.
    quiet: bool,
}

impl Page {
    fn new(name: &'static str) -> Self {
        let config = client::Config { jitter_percent: 0, ..client::Config::default() };
        let source = EventSource::new(config, "/events", FixedScratch::new([0; 256]), [0; 4], Instant::from_millis(0), 7);
        Self { name, conn: None, source, takes: usize::MAX, quiet: false }
    }

    /// Its request was answered; if it was waiting, it waits no longer.
    fn open(&mut self, now: Instant) {
        self.takes = usize::MAX;
        self.source.handle_failure(now);
        loop {
            match self.source.poll_output() {
                Some(client::Output::Connect(request)) => {
                    hprintln!("{} asks {} after \"{}\"", self.name, request.url, request.last_event_id);
                    break;
                }
                Some(_) => {}
                None => self.source.handle_timeout(self.source.poll_timeout().unwrap_or(now)),
            }
        }
        self.source.handle_response(now, Head { content_type: Some("text/event-stream"), ..Head::new(200) });
        let _ = self.source.poll_output();
    }

    fn receive(&mut self, now: Instant, bytes: &[u8]) {
        if !self.quiet {
            hprintln!("{} <- {}", self.name, Shown(bytes));
        }
        let mut received = self.source.handle_bytes(now, bytes);
        loop {
            match received.next_item() {
                Ok(Some(Item::Event(event))) if !self.quiet => {
                    hprintln!("{} has {}: {}", self.name, event.event, Shown(event.data.as_bytes()));
                }
                Ok(Some(Item::Event(event))) if event.event == "gap" => {
                    hprintln!("{} has {}: {}", self.name, event.event, event.data);
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) => hprintln!("{} cannot read this: {}", self.name, error),
            }
        }
    }
}

fn chapter(name: &str) {
    hprintln!("\n# {}", name);
}

/// Bytes of a stream on one line.
struct Shown<'a>(&'a [u8]);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\n' => f.write_str("\\n")?,
                    other => f.write_char(other)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}
