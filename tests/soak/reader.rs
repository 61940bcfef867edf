//! Clients: each connects, reads, stalls, is cut off in mid-frame or resets its connection, and comes back, after the last event it
//! has or as somebody else.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use sse_proto::storage::HeapScratch;
use sse_proto::wire::{Decoder, Item, Limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::ledger::{Listener, Step, Violation};
use crate::random::Random;
use crate::world::{GROUPS, READERS, Stage, TOPICS, World, count, sequence_of};

/// The longest a greeting or the end of a stream may take. Nothing waits this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes read at once.
const READ: usize = 16 * 1024;

/// A client, over all its connections.
pub(crate) struct Reader {
    world: Rc<World>,
    index: u32,
    random: Random,
    stage: watch::Receiver<Stage>,
    listener: Listener,
    decoder: Decoder<HeapScratch>,
    /// Up to where everything was received or told; `None` before the first greeting.
    position: Option<u64>,
}

/// What one connection will do, decided before it opens.
#[derive(Debug)]
struct Plan {
    restart: Restart,
    /// A small receive window, so that the hub is refused early.
    is_narrow: bool,
    /// The response's body is written by hyper.
    is_chunked: bool,
    reads_for: Duration,
    stalls_for: Option<Duration>,
    /// How many bytes are read before the connection is dropped.
    cut_at: Option<u64>,
    ending: Ending,
    pause: Duration,
}

/// Who comes back.
#[derive(Clone, Copy, Debug)]
enum Restart {
    /// The same client, after the last event it has.
    Resume,
    /// The same client, from now on.
    Live,
    /// The same client, which listens to one more topic.
    MoreTopics(u8),
    /// Another client, on other topics, after the last event that this one has.
    Move,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// With what was not read: the kernel may reset it.
    Close,
    Reset,
    /// The peer sends no more, and reads on.
    HalfClose,
}

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The plan says so.
    Planned,
    /// The stream ended.
    Ended,
    /// All clients restart.
    Storm,
    /// It has the last event, or the run failed.
    Done,
}

impl Reader {
    pub(crate) fn new(world: Rc<World>, index: u32, random: Random) -> Self {
        let stage = world.stage();
        let listener = Listener { client: index, group: None, topics: 0 };
        let decoder = Decoder::new(Limits::default());
        let mut reader = Self { world, index, random, stage, listener, decoder, position: None };
        reader.become_another();
        reader
    }

    /// Until it has the last event.
    pub(crate) async fn run(mut self) {
        loop {
            let plan = self.decide();
            match self.connect_and_read(&plan).await {
                Ok(Stop::Done) => return,
                Ok(_) => {}
                Err(violation) => return self.world.fail(violation),
            }
            if self.last().is_none() {
                tokio::time::sleep(plan.pause).await;
            }
        }
    }

    fn decide(&mut self) -> Plan {
        let random = &mut self.random;
        let restart = match random.between(0, 99) {
            0..70 => Restart::Resume,
            70..80 => Restart::Live,
            80..90 => Restart::MoreTopics(random.between(0, u64::from(TOPICS) - 1) as u8),
            _ => Restart::Move,
        };
        let stalls_for = random.percent(20).then(|| Duration::from_millis(random.between(200, 5_000)));
        let is_narrow = random.percent(25);
        let cut_at = random.percent(35).then(|| random.between(1, 60_000));
        Plan {
            restart,
            is_narrow,
            is_chunked: random.percent(12),
            reads_for: Duration::from_millis(random.between(50, 12_000)),
            stalls_for,
            cut_at,
            ending: match random.between(0, 2) {
                0 => Ending::Close,
                1 => Ending::Reset,
                // What the kernel holds for a narrow one would take too long.
                _ if is_narrow => Ending::Reset,
                _ => Ending::HalfClose,
            },
            pause: Duration::from_millis(random.between(0, 800)),
        }
    }

    /// One connection, from its opening to its end.
    async fn connect_and_read(&mut self, plan: &Plan) -> Result<Stop, Violation> {
        // What it still needs is what it resumes with.
        if self.last().is_none() {
            self.restart(plan.restart);
        }
        self.decoder.restart();
        let opened = timeout(PATIENCE, self.open(plan)).await;
        let mut connection = match opened {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(self.violation(format!("was not let in: {error}"))),
            Err(_) => return Err(self.violation(format!("got no answer within {PATIENCE:?}"))),
        };
        count(&self.world.counts.connects);
        let mut until = Instant::now() + plan.reads_for;
        if let Some(stall) = plan.stalls_for {
            let half = Instant::now() + plan.reads_for / 2;
            let stop = self.read(&mut connection, half, plan.cut_at).await?;
            if stop != Stop::Planned || plan.cut_at.is_some_and(|cut_at| connection.received >= cut_at) {
                return self.end(connection, stop, plan).await;
            }
            count(&self.world.counts.stalls);
            until = Instant::now() + stall + plan.reads_for / 2;
            let mut stage = self.stage.clone();
            tokio::select! {
                () = tokio::time::sleep(stall) => {}
                _ = stage.wait_for(|stage| stage.last.is_some() || stage.has_failed) => {}
            }
        }
        let stop = self.read(&mut connection, until, plan.cut_at).await?;
        self.end(connection, stop, plan).await
    }

    fn restart(&mut self, restart: Restart) {
        match restart {
            Restart::Resume => {}
            Restart::Live => {
                self.decoder = Decoder::new(Limits::default());
                self.position = None;
            }
            Restart::MoreTopics(topic) => {
                count(&self.world.counts.moves);
                self.listener.topics |= 1 << topic;
            }
            Restart::Move => {
                count(&self.world.counts.moves);
                self.become_another();
            }
        }
    }

    fn become_another(&mut self) {
        self.world.set_client_of(self.index, None);
        let random = &mut self.random;
        self.listener = Listener {
            client: self.listener.client + READERS,
            group: random.percent(50).then(|| random.between(0, u64::from(GROUPS) - 1) as u8),
            topics: (0..3).fold(0, |topics, _| topics | 1 << random.between(0, u64::from(TOPICS) - 1)),
        };
    }

    async fn open(&mut self, plan: &Plan) -> io::Result<Connection> {
        let socket = TcpSocket::new_v4()?;
        if plan.is_narrow {
            socket.set_recv_buffer_size(4 * 1024)?;
        }
        let mut socket = socket.connect(self.world.address).await?;
        let Listener { client, group, topics } = self.listener;
        let mut request = format!("GET /sse/events?client=c_{client}");
        if let Some(group) = group {
            request.push_str(&format!("&group=g{group}"));
        }
        for topic in (0..TOPICS).filter(|topic| topics >> topic & 1 == 1) {
            request.push_str(&format!("&topic=t{topic}"));
        }
        request.push_str(" HTTP/1.1\r\nhost: localhost\r\n");
        if self.position.is_some() {
            count(&self.world.counts.resumes);
            request.push_str(&format!("last-event-id: {}\r\n", self.decoder.last_event_id()));
        }
        if plan.is_chunked {
            request.push_str("connection: close\r\n");
        }
        request.push_str("\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut connection = Connection { socket, input: Vec::new(), chunk: None, received: 0 };
        let head = connection.head().await?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(io::Error::other(head));
        }
        if head.contains("transfer-encoding: chunked") {
            connection.chunk = Some(0);
        }
        Ok(connection)
    }

    /// Reads and accounts for what comes.
    async fn read(&mut self, connection: &mut Connection, until: Instant, cut_at: Option<u64>) -> Result<Stop, Violation> {
        let storms = self.stage.borrow().storms;
        let mut stage = self.stage.clone();
        loop {
            while let Some(body) = connection.take() {
                self.account(&body)?;
            }
            let is_last = self.last().is_some();
            if self.is_done() {
                return Ok(Stop::Done);
            }
            let has_enough = cut_at.is_some_and(|cut_at| connection.received >= cut_at);
            if !is_last && (has_enough || Instant::now() >= until) {
                return Ok(Stop::Planned);
            }
            tokio::select! {
                read = connection.fill() => match read {
                    Ok(true) => {}
                    Ok(false) | Err(_) => return Ok(Stop::Ended),
                },
                () = sleep_until(until), if !is_last => return Ok(Stop::Planned),
                _ = stage.wait_for(|stage| stage.storms != storms || stage.last.is_some() || stage.has_failed), if !is_last => {
                    if self.stage.borrow().storms != storms {
                        return Ok(Stop::Storm);
                    }
                }
            }
        }
    }

    async fn end(&mut self, mut connection: Connection, stop: Stop, plan: &Plan) -> Result<Stop, Violation> {
        let counts = &self.world.counts;
        match (stop, plan.ending) {
            (Stop::Done, _) => {}
            (Stop::Ended, _) => count(&counts.ended),
            (Stop::Storm, _) | (Stop::Planned, Ending::Reset) => {
                count(&counts.resets);
                let _ = socket2::SockRef::from(&connection.socket).set_linger(Some(Duration::ZERO));
            }
            (Stop::Planned, Ending::Close) => count(&counts.cuts),
            (Stop::Planned, Ending::HalfClose) => {
                count(&counts.half_closes);
                // It may be forgotten before it has read everything.
                self.world.set_client_of(self.index, None);
                // The peer may have ended it just now.
                let _ = connection.socket.shutdown().await;
                let reading = async {
                    while let Ok(true) = connection.fill().await {
                        while let Some(body) = connection.take() {
                            self.account(&body)?;
                        }
                    }
                    Ok(())
                };
                match timeout(PATIENCE, reading).await {
                    Ok(read) => read?,
                    Err(_) => return Err(self.violation(format!("sends no more, and its stream did not end in {PATIENCE:?}"))),
                }
            }
        }
        Ok(stop)
    }

    fn account(&mut self, body: &[u8]) -> Result<(), Violation> {
        let (listener, mut position) = (self.listener, self.position);
        let mut greeted = false;
        let accounted = {
            let world = &self.world;
            let mut step = |id: &str, event: Option<u64>, has_gap: bool| {
                let violation = |what: &str| Violation(format!("client {}: {what} {id:?}", listener.client));
                let at = sequence_of(id).ok_or_else(|| violation("no position in the id"))?;
                match position.replace(at) {
                    Some(after) => world.ledger.borrow_mut().step(Step { listener, after, at, event, has_gap }),
                    None if event.is_some() || has_gap => Err(violation("an event or a gap before the greeting's id")),
                    None => Ok(()),
                }
            };
            let mut feed = self.decoder.feed(body);
            loop {
                let item = match feed.next_item() {
                    Ok(Some(item)) => item,
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(Violation(format!("client {}: {error}", listener.client))),
                };
                let stepped = match item {
                    Item::Comment(_) | Item::Retry(_) => Ok(()),
                    Item::IdChanged(id) => step(id, None, false),
                    Item::Event(event) => match event.event {
                        "connected" => {
                            greeted = true;
                            step(event.last_event_id, None, false)
                        }
                        "gap" => {
                            count(&world.counts.gaps);
                            step(event.last_event_id, None, true)
                        }
                        "message" => match event.data.split([' ', '\n']).next().and_then(|number| number.parse().ok()) {
                            Some(number) => step(event.last_event_id, Some(number), false),
                            None => Err(Violation(format!("client {}: no number in its data", listener.client))),
                        },
                        other => Err(Violation(format!("client {}: an event {other:?}", listener.client))),
                    },
                };
                if stepped.is_err() {
                    break stepped;
                }
            }
        };
        self.position = position;
        if greeted && self.listener.group.is_none() {
            self.world.set_client_of(self.index, Some(self.listener.client));
        }
        accounted
    }

    /// The number of the last event of the run, once it was published.
    fn last(&self) -> Option<u64> {
        self.stage.borrow().last
    }

    fn is_done(&self) -> bool {
        let has_last = self.position.zip(self.last()).is_some_and(|(position, last)| position >= last);
        has_last || self.stage.borrow().has_failed
    }

    fn violation(&self, what: String) -> Violation {
        Violation(format!("client {} {what}", self.listener.client))
    }
}

/// An open response.
struct Connection {
    socket: TcpStream,
    /// What came and was not taken.
    input: Vec<u8>,
    /// In a chunked body: what is left of the chunk.
    chunk: Option<usize>,
    /// Bytes that came.
    received: u64,
}

impl Connection {
    async fn head(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.input.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.input.drain(..end + 4).collect();
                return String::from_utf8(head).map_err(io::Error::other);
            }
            if !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn fill(&mut self) -> io::Result<bool> {
        self.input.reserve(READ);
        let read = self.socket.read_buf(&mut self.input).await?;
        self.received += read as u64;
        Ok(read > 0)
    }

    /// What came of the body, without the framing.
    fn take(&mut self) -> Option<Vec<u8>> {
        let Some(left) = self.chunk else {
            return (!self.input.is_empty()).then(|| std::mem::take(&mut self.input));
        };
        if left > 2 {
            let taken = self.input.len().min(left - 2);
            if taken == 0 {
                return None;
            }
            self.chunk = Some(left - taken);
            return Some(self.input.drain(..taken).collect());
        }
        // The line end behind the chunk, and the next one's length.
        if self.input.len() < left {
            return None;
        }
        let line = self.input[left..].windows(2).position(|pair| pair == b"\r\n")?;
        let size = std::str::from_utf8(&self.input[left..left + line]).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        self.input.drain(..left + line + 2);
        self.chunk = Some(size + 2);
        if size == 0 { None } else { self.take() }
    }
}
