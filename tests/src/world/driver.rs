//! The hub's driver: requests to registrations, outputs to sockets, and the laws that hold around the engine.

use sse_proto::{
    ClientId, CloseReason, ConnId, Dialect, Full, Greeting, Instant, Left, Output, RegisterError, Registered, Registration,
    Resume, Stale,
};

use super::network::Link;
use super::{Answer, Due, Home, Known, World, instant};
use crate::world::chance::chance;

impl<H: Home> World<'_, H> {
    /// What the hub's clock shows, for a call that tells it.
    pub(super) fn clock(&mut self) -> Instant {
        let now = (self.now as i64 + self.skew) as u64;
        self.told = self.told.max(now);
        instant(now)
    }

    /// A request reaches the hub's machine.
    pub(super) fn arrive(&mut self, page: u32, attempt: u32, last_event_id: &str) {
        let client = self.pages[page as usize].client;
        let answer = self.admit(page, client, attempt, last_event_id);
        let latency = self.latency(u64::from(page), u64::from(attempt) << 32);
        if let Answer::Stream { link } = answer {
            self.links[link as usize].head_at = self.now + latency;
        }
        self.later(latency, Due::Answer { page, attempt, answer });
        self.turn();
    }

    fn admit(&mut self, page: u32, client: u32, attempt: u32, last_event_id: &str) -> Answer {
        let now = self.clock();
        let plan = &self.plan.clients[client as usize];
        let topics: Vec<String> = plan.topics.iter().map(|topic| format!("t{topic}")).collect();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let group = group(plan.group);
        let forms = [Greeting::Connected, Greeting::Registered, Greeting::Position];
        let wish = Registration {
            id: ClientId::new(&plan.id).expect("an id"),
            group: &group,
            topics: &topics,
            resume: if last_event_id.is_empty() { Resume::Live } else { Resume::After(last_event_id) },
            greeting: forms[(chance(self.plan.seed, u64::from(client), 7) % 3) as usize],
            dialect: if plan.manager { Dialect::Manager } else { Dialect::Named },
            replace: plan.replace,
            passing: plan.passing,
        };
        let Some(hub) = &mut self.hub else { return Answer::NoHub };
        let limits = self.plan.config.limits;
        let registered = match hub.register(now, &wish) {
            Ok(registered) => registered,
            Err(error) => {
                let key = self.truth.clients[client as usize].key;
                let has = key.and_then(|key| self.known.get(&key)).map_or(0, |known| known.connections);
                let usage = hub.usage();
                let just = match error {
                    RegisterError::Draining => self.draining.is_some(),
                    RegisterError::Full(Full::Connections) => self.open_count == limits.connections,
                    RegisterError::Full(Full::ConnectionsOfClient) => !plan.replace && has == limits.connections_per_client,
                    RegisterError::Full(Full::Clients) => {
                        self.known.len() as u32 + usage.issued_ids == limits.clients && key.is_none()
                    }
                    _ => false,
                };
                assert!(just, "client {client} was refused: {error}; it has {has} connections, and there are {usage:?}");
                self.note(|| format!("the hub refuses page {page}: {error}"));
                self.count("requests refused");
                return Answer::Busy;
            }
        };
        let Registered { conn, client: key, returning, gap } = registered;
        self.note(|| format!("the hub registers page {page} of client {client} as {conn:?}, gap {gap:?}"));
        assert!(!last_event_id.is_empty() || gap.is_none(), "a gap of who asked for nothing");
        let known = self.truth.clients[client as usize].key;
        assert_eq!(returning.then_some(key), known, "client {client} was known as {known:?}, and is {key:?}");
        self.truth.clients[client as usize].key = Some(key);
        if !last_event_id.is_empty() && !returning {
            self.count("ids taken up again");
        }
        if conn.slot() < self.open.len() {
            self.count("slots used again");
        }
        let link = self.links.len() as u32;
        self.known.entry(key).or_insert(Known { client, connections: 0, left: 0 }).connections += 1;
        self.open.resize(self.open.len().max(conn.slot() + 1), None);
        let before = self.open[conn.slot()].replace(link);
        assert_eq!(before, None, "the slot of {conn:?} is in use");
        self.open_count += 1;
        self.links.push(Link {
            page,
            client,
            attempt,
            conn,
            key,
            life: self.life,
            open: true,
            dead: false,
            done: false,
            finished: None,
            full: false,
            reading: false,
            head_at: 0,
            buffer: Vec::new(),
            last: [0; 2],
            since: self.told,
        });
        self.count("connections");
        Answer::Stream { link }
    }

    pub(super) fn hub_alarm(&mut self) {
        if self.alarm != self.now {
            return;
        }
        self.alarm = u64::MAX;
        let now = self.clock();
        if let Some(hub) = &mut self.hub {
            hub.handle_timeout(now);
        }
        self.turn();
    }

    /// A turn of the driver: what the engine wants is done, as far as the driver goes in one turn.
    pub(super) fn turn(&mut self) {
        if self.paused_until > self.now {
            return self.wake(self.paused_until);
        }
        let limits = self.plan.config.limits;
        let bound = 64 + 8 * (limits.connections + limits.clients) as usize * (2 + limits.log_entries as usize / 512);
        let mut drained = false;
        for asked in 0..self.plan.outputs_a_turn {
            assert!(asked < bound, "there is no end to the output");
            let Some(output) = self.poll() else {
                drained = true;
                break;
            };
            self.act(output);
        }
        let Some(hub) = &self.hub else { return };
        hub.check_memory();
        assert_eq!(hub.usage().connections, self.open_count, "connections");
        assert_eq!(hub.usage().issued_ids as usize, self.issued.len(), "ids that are reserved");
        let timeout = hub.poll_timeout().map(Instant::as_millis);
        let longest = [self.plan.config.heartbeat, self.plan.config.write_stall].into_iter().flatten().max();
        if self.open_count > 0
            && let Some(longest) = longest
        {
            let latest = self.told + longest.as_millis() as u64;
            assert!(timeout.is_some_and(|timeout| timeout <= latest), "next at {timeout:?}, and {latest} is the latest");
        }
        if drained && self.plan.thorough {
            self.check_deadlines();
        }
        if let Some(timeout) = timeout {
            let at = if timeout <= self.told { 0 } else { timeout as i64 - self.skew };
            self.wake(self.now.max(at.max(0) as u64));
        }
    }

    /// Law 1, before draining and after.
    pub(super) fn poll(&mut self) -> Option<Output<Box<str>>> {
        let hub = self.hub.as_mut()?;
        let timeout = hub.poll_timeout();
        let due = timeout.is_some_and(|timeout| timeout.as_millis() <= self.told);
        let output = hub.poll_output();
        assert_eq!(output.is_some(), due, "poll_timeout said {timeout:?} at {}, poll_output {output:?}", self.told);
        output
    }

    fn act(&mut self, output: Output<Box<str>>) {
        match output {
            Output::Write(conn) => {
                let link = self.open[conn.slot()].expect("it is open");
                self.links[link as usize].since = self.told;
                self.write(conn);
            }
            Output::Gap { conn, .. } => {
                let link = self.open[conn.slot()].expect("it is open");
                self.links[link as usize].since = self.told;
                self.count("gaps told to the application");
            }
            Output::Close { conn, client, reason, last } => {
                let number = self.open[conn.slot()].expect("it is open");
                self.note(|| format!("the hub closes {conn:?}: {reason:?}"));
                let link = &self.links[number as usize];
                let took_nothing_for = self.told - link.since;
                match reason {
                    CloseReason::Stalled => {
                        let stall = self.plan.config.write_stall.expect("it stalled").as_millis() as u64;
                        assert!(link.full || link.dead, "{conn:?} could have taken more");
                        assert!(took_nothing_for >= stall, "{conn:?} took something {took_nothing_for} ms ago");
                    }
                    CloseReason::Drained => {
                        assert!(self.draining.is_some() && link.last == *b"\n\n", "{conn:?} ends within a frame")
                    }
                    CloseReason::Unregistered if link.finished.is_some() => {
                        self.count("closed: finished");
                        let link = &self.links[number as usize];
                        assert!(self.is_given_up(link) || link.last == *b"\n\n", "{conn:?} ends within a frame");
                    }
                    // It need not have brought everything.
                    _ => self.links[number as usize].finished = None,
                }
                self.count(match reason {
                    CloseReason::Stalled => "closed: stalled",
                    CloseReason::Overrun => "closed: overrun",
                    CloseReason::Replaced => "closed: replaced",
                    CloseReason::Expired => "closed: expired",
                    CloseReason::Unregistered => "closed: unregistered",
                    CloseReason::Drained => "closed: drained",
                });
                self.closed(number, Left { client, last });
                let link = &mut self.links[number as usize];
                if !link.dead && !link.reading {
                    link.reading = true;
                    let after = link.head_at.saturating_sub(self.now).max(1);
                    self.later(after, Due::Read { link: number });
                }
            }
            Output::Expired { client, .. } => {
                self.count("clients expired");
                let known = self.known.remove(&client).expect("it was known");
                assert_eq!(known.connections, 0, "{client:?} expired with connections");
                self.note(|| format!("client {} expires", known.client));
                if self.truth.clients[known.client as usize].key == Some(client) {
                    self.truth.forget(known.client);
                }
            }
            Output::Unused { id } => {
                let (issued, oldest) = self.issued.pop_front().expect("one is reserved");
                let ttl = self.plan.config.issued_id_ttl.as_millis() as u64;
                assert!(*oldest == *id && self.told - issued >= ttl, "{id} lapses, and {oldest} was made at {issued}");
                self.count("ids unused");
            }
        }
    }

    /// Writes to a connection as far as its socket takes bytes.
    pub(super) fn write(&mut self, conn: ConnId) {
        let now = self.clock();
        let number = self.open[conn.slot()].expect("it is open");
        let Some(hub) = &mut self.hub else { return };
        let link = &mut self.links[number as usize];
        let mut sink = std::mem::take(&mut self.sink);
        let mut written = 0;
        loop {
            let room = self.plan.window.saturating_sub(link.buffer.len() + written);
            let pending = !hub.is_caught_up(conn);
            let taken = hub.write(now, conn, room, self.plan.slices, &mut sink).expect("it is open");
            if pending {
                let moved = taken > 0 || hub.is_caught_up(conn);
                link.since = if moved { self.told } else { link.since };
            }
            written += taken;
            if room == taken {
                link.full = true;
                break;
            }
            if taken == 0 {
                break;
            }
        }
        let wrote = !sink.is_empty();
        if wrote {
            for &byte in &sink[sink.len().saturating_sub(2)..] {
                link.last = [link.last[1], byte];
            }
            link.buffer.extend_from_slice(&sink);
        }
        sink.clear();
        self.sink = sink;
        if wrote && !link.reading && !link.dead {
            link.reading = true;
            let head_at = link.head_at;
            let latency = self.latency(u64::from(number), self.now);
            let after = latency.max(head_at.saturating_sub(self.now));
            self.later(after, Due::Read { link: number });
        }
    }

    /// The hub hears that a connection is gone, perhaps long after it closed it.
    pub(super) fn gone(&mut self, number: u32) {
        let link = &self.links[number as usize];
        let (conn, open) = (link.conn, link.open);
        if link.life != self.life || self.hub.is_none() {
            return;
        }
        let now = self.clock();
        let Some(hub) = &mut self.hub else { return };
        let answer = hub.handle_disconnect(now, conn);
        assert_eq!(answer.is_ok(), open, "{conn:?}: {answer:?}");
        match answer {
            Ok(left) => self.closed(number, left),
            Err(Stale) => self.count("stale connections"),
        }
        self.turn();
    }

    /// The hub let go of a connection.
    fn closed(&mut self, number: u32, left: Left) {
        let link = &mut self.links[number as usize];
        assert!(link.open && link.key == left.client, "{:?} was not open for {:?}", link.conn, left.client);
        link.open = false;
        let (client, key, conn) = (link.client, link.key, link.conn);
        self.open[conn.slot()] = None;
        self.open_count -= 1;
        self.truth.close_link(client, number);
        let known = self.known.get_mut(&key).expect("it was known");
        known.connections -= 1;
        known.left = self.told;
        assert_eq!(left.last, known.connections == 0, "the last connection of {key:?}");
        let hub = self.hub.as_ref().expect("there is a hub");
        if left.last && !hub.is_known(key) {
            self.known.remove(&key);
            if self.truth.clients[client as usize].key == Some(key) {
                self.truth.forget(client);
            }
        }
    }

    /// The application gave up the client as it was when the connection came.
    pub(super) fn is_given_up(&self, link: &Link) -> bool {
        self.truth.clients[link.client as usize].key != Some(link.key)
    }

    /// The driver looks again at `at`.
    pub(super) fn wake(&mut self, at: u64) {
        if at < self.alarm {
            self.alarm = at;
            let after = at - self.now;
            self.later(after, Due::HubAlarm);
        }
    }

    /// Nothing is overdue once everything due was done.
    fn check_deadlines(&self) {
        let Some(hub) = &self.hub else { return };
        let config = &self.plan.config;
        let millis = |time: Option<core::time::Duration>| time.map_or(u64::MAX, |time| time.as_millis() as u64);
        for &number in self.open.iter().flatten() {
            let link = &self.links[number as usize];
            let idle = hub.is_caught_up(link.conn);
            let limit = if idle { millis(config.heartbeat) } else { millis(config.write_stall) };
            let since = self.told - link.since;
            let what = if idle { "silent" } else { "stalled" };
            assert!(since < limit, "{:?} of page {} is {what} for {since} ms", link.conn, link.page);
        }
        for (issued, id) in &self.issued {
            let since = self.told - issued;
            assert!(since < millis(Some(config.issued_id_ttl)), "{id} is reserved for {since} ms");
        }
        let sweep = config.sweep_every.as_millis().max(1) as u64;
        let oldest = config.dormant_after.as_millis() as u64 + sweep + 1;
        for (key, known) in &self.known {
            let since = self.told - known.left.min(self.told);
            let kept = known.connections > 0 || since <= oldest;
            assert!(kept, "client {} ({key:?}) left {since} ms ago", known.client);
        }
    }
}

pub(super) fn group(group: u8) -> String {
    if group == 0 { String::new() } else { format!("g{group}") }
}
