//! What happens in a world, step by step.

use sse_proto::wire::{Event, IdField};
use sse_proto::{ClientKey, EventId, Outcome, Target};

use super::chance::chance;
use super::driver::group;
use super::network::Link;
use super::plan::What;
use super::truth::loose;
use super::{Due, Home, Step, World};

impl<H: Home> World<'_, H> {
    pub(super) fn step(&mut self, step: Step) {
        self.note(|| format!("{step:?}"));
        match step {
            Step::Cut { page, hub_notices } => self.cut(page, hub_notices),
            Step::HalfOpen { page } => self.half_open(page),
            Step::Stall { page, millis } => self.pages[page as usize].stalled_until = self.now + u64::from(millis),
            Step::Pace { page, bytes, every } => self.pages[page as usize].pace = (bytes, every),
            Step::Reload { page } if self.pages[page as usize].source.is_none() => {}
            Step::Reload { page } => {
                let after = chance(self.plan.seed, u64::from(page), self.now) % 2_000;
                self.abandon(page, after);
                self.open_page(page);
            }
            Step::PageClockBack { page, millis } => {
                self.count("clocks of pages step back");
                self.pages[page as usize].clock_back += millis;
            }
            Step::ClockJump { millis } => {
                self.count("clock jumps");
                self.move_clock(millis as i64);
            }
            Step::ClockBack { millis } => {
                self.count("clock steps back");
                self.move_clock(-(millis as i64));
            }
            Step::Pause { millis } => self.paused_until = self.now + u64::from(millis),
            Step::Crash { down } => self.hub_down(down),
            _ if self.hub.is_none() => {}
            Step::Drain { spread, down } => {
                let now = self.clock();
                self.draining = Some(self.now);
                self.hub().drain(now, 0, spread);
                self.later(10_000, Due::Drained { since: self.now, down });
            }
            Step::All(what) => self.publish_for(0, Target::All, what),
            Step::Group(number, what) => self.publish_for(self.truth.group(number), Target::Group(&group(number)), what),
            Step::Name(number, what) => {
                self.publish_for(self.truth.name(number), Target::UserName(&format!("{}{number}", self.prefix())), what);
            }
            Step::Topic(number, what) => {
                self.publish_for(self.truth.topic(number), Target::Topic(&format!("t{number}")), what);
            }
            Step::Loose(number, what) => {
                if let Some(id) = self.publish(Target::Topic(&loose(number)), what) {
                    self.truth.publish_loose(id, number);
                }
            }
            Step::Client(client, what) => {
                let Some(key) = self.truth.clients[client as usize].key else { return };
                if let Some(id) = self.publish(Target::Client(key), what) {
                    self.truth.publish_to_clients(id, &[client]);
                }
            }
            Step::Clients(clients, what) => {
                let known = clients.iter().filter(|&&client| self.truth.clients[client as usize].key.is_some());
                let clients: Vec<u32> = known.copied().collect();
                let keys: Vec<ClientKey> =
                    clients.iter().filter_map(|&client| self.truth.clients[client as usize].key).collect();
                if let Some(id) = self.publish(Target::Clients(&keys), what) {
                    self.truth.publish_to_clients(id, &clients);
                }
            }
            Step::Connection(page, what) => {
                let Some(number) = self.pages[page as usize].link else { return };
                let link = &self.links[number as usize];
                let (client, conn) = (link.client, link.conn);
                // What was given up hears nothing any more, nor does what is to end.
                if !link.open || self.is_given_up(link) || link.finished.is_some() {
                    return;
                }
                if let Some(id) = self.publish(Target::Connection(conn), what) {
                    self.truth.publish_to_link(id, client, number);
                }
            }
            Step::Comment => {
                let now = self.clock();
                let event = Event { comment: Some("nothing"), ..Event::default() };
                self.hub().publish(now, 0, Target::All, &event).expect("it can be published");
            }
            Step::Burst { count } => {
                let event = Event { comment: Some("nothing"), ..Event::default() };
                for _ in 0..count {
                    let now = self.clock();
                    self.hub().publish(now, 0, Target::Clients(&[]), &event).expect("it can be published");
                }
            }
            Step::Finish { page } => {
                let Some(number) = self.pages[page as usize].link else { return };
                let Link { conn, open, .. } = self.links[number as usize];
                if !open {
                    return;
                }
                let (now, next) = (self.clock(), self.truth.next());
                self.hub().finish(now, conn).expect("it is open");
                self.links[number as usize].finished.get_or_insert(next);
            }
            Step::Allocate => {
                let now = self.clock();
                // Of little entropy, so that ids would come twice.
                let entropy = [(chance(self.plan.seed, now.as_millis(), 9) % 2) as u8; 32];
                let name = format!("{}0", self.prefix());
                let answer = self.hub().allocate(now, &name, entropy);
                if self.issued.len() == self.plan.config.limits.issued_ids as usize {
                    self.issued.pop_front();
                }
                if let Ok(id) = answer {
                    assert!(self.issued.iter().all(|(_, other)| *other != id), "{id} is reserved, and is given out again");
                    self.issued.push_back((self.told, id));
                }
            }
            Step::Sweep => {
                let now = self.clock();
                self.hub().sweep(now);
            }
            Step::Listen { client, .. }
            | Step::Unlisten { client, .. }
            | Step::Submit { client }
            | Step::Progress { client }
            | Step::Complete { client, .. }
            | Step::Unregister { client, .. } => {
                if let Some(key) = self.truth.clients[client as usize].key {
                    self.step_of(client, key, step);
                }
            }
        }
        self.turn();
    }

    /// A step of a client that the hub knows.
    fn step_of(&mut self, client: u32, key: ClientKey, step: Step) {
        match step {
            Step::Listen { loose: number, .. } => {
                let now = self.clock();
                let new = self.hub().listen(now, key, &loose(number)).expect("there is room");
                assert_eq!(new, self.truth.clients[client as usize].loose.insert(number), "listening");
            }
            Step::Unlisten { loose: number, .. } => {
                let now = self.clock();
                let did = self.hub().unlisten(now, key, &loose(number)).expect("it is known");
                assert_eq!(did, self.truth.clients[client as usize].loose.contains(&number), "listening");
                self.truth.unlisten(client, number);
            }
            Step::Submit { .. } => {
                self.submit(client, key);
            }
            Step::Progress { .. } => {
                if let Some(task) = self.truth.clients[client as usize].tasks.first().copied() {
                    let now = self.clock();
                    let task = format!("k{task}");
                    self.hub().progress(now, key, &task).expect("it waits for it");
                }
            }
            Step::Complete { failed, .. } => {
                let now = self.clock();
                let oldest = self.truth.clients[client as usize].tasks.first().copied();
                let task = oldest.unwrap_or_else(|| self.submit(client, key));
                let outcome = if failed { Outcome::Failed("no ^ reason") } else { Outcome::Completed(Some("{\"all\":1}")) };
                self.hub().complete(now, key, &format!("k{task}"), outcome).expect("it waits for it");
                let id = self.hub().last_event_id();
                self.truth.complete(id, task, client);
            }
            Step::Unregister { end_streams, .. } => {
                let now = self.clock();
                self.hub().unregister(now, key, end_streams).expect("it is known");
                self.truth.forget(client);
                if !self.hub().is_known(key) {
                    self.known.remove(&key);
                }
            }
            _ => {}
        }
    }

    fn submit(&mut self, client: u32, key: ClientKey) -> u32 {
        let now = self.clock();
        let task = self.truth.tasks.len() as u32;
        self.hub().submit(now, key, &format!("k{task}")).expect("there is room");
        self.truth.tasks.push((u32::MAX, client));
        self.truth.clients[client as usize].tasks.push(task);
        task
    }

    fn publish_for(&mut self, scope: u32, target: Target<'_>, what: What) {
        if let Some(id) = self.publish(target, what) {
            self.truth.publish(id, scope);
        }
    }

    /// Publishes the next event: its number and some text.
    fn publish(&mut self, target: Target<'_>, what: What) -> Option<EventId> {
        let now = self.clock();
        let number = self.truth.next();
        let data = format!("{number} {}", &TEXT[..usize::from(what.len)]);
        let own_id = format!("own-{number}");
        let id = what.own_id.then(|| IdField::new(&own_id).expect("an id"));
        let event = Event { id, data: Some(&data), ..Event::default() };
        let answer = self.hub().publish(now, u64::from(what.skip), target, &event);
        self.count("events published");
        Some(answer.unwrap_or_else(|error| panic!("{target:?} was refused: {error}")))
    }

    fn hub(&mut self) -> &mut H {
        self.hub.as_mut().expect("there is a hub")
    }

    /// What user names begin with.
    fn prefix(&self) -> &'static str {
        if self.plan.thorough { "n" } else { "u" }
    }

    fn cut(&mut self, page: u32, hub_notices: u32) {
        let Some(number) = self.pages[page as usize].link else { return };
        let link = &mut self.links[number as usize];
        if link.done || link.dead {
            return;
        }
        // Some of what is under way still arrives.
        let arrive = chance(self.plan.seed, u64::from(number), 1) % (link.buffer.len() as u64 + 1);
        let bytes = link.buffer[..arrive as usize].to_vec();
        (link.dead, link.done) = (true, true);
        link.buffer = Vec::new();
        let attempt = link.attempt;
        self.hear(number, &bytes);
        if !bytes.is_empty() && !bytes.ends_with(b"\n\n") {
            self.count("cut within a frame");
        }
        self.later(u64::from(hub_notices), Due::Gone { link: number });
        self.breaks(page, attempt);
    }

    fn half_open(&mut self, page: u32) {
        let Some(number) = self.pages[page as usize].link else { return };
        let link = &mut self.links[number as usize];
        if link.done || link.dead {
            return;
        }
        (link.dead, link.done) = (true, true);
        self.count("half open");
        // The hub's machine gives up sending.
        self.later(GIVES_UP, Due::Gone { link: number });
    }

    fn move_clock(&mut self, by: i64) {
        self.skew += by;
        self.alarm = u64::MAX;
    }
}

/// After how many milliseconds a machine gives up sending to one that does not answer.
pub(super) const GIVES_UP: u64 = 120_000;

const TEXT: &str = "three hundred bytes of text, so that some events are long and do not fit beside others into a log that is \
                    small, or into what a socket takes, or into one chunk of what a page reads. three hundred bytes of text, so \
                    that some events are long and do not fit beside others into a log that is small, or into what a socket takes.";
