//! The end of a world: everything heals, everybody has everything, everybody leaves, nothing is left.

use sse_proto::Target;
use sse_proto::Usage;
use sse_proto::client::State;
use sse_proto::wire::Event;

use super::steps::GIVES_UP;
use super::{Due, Home, Tally, World};

impl<H: Home> World<'_, H> {
    pub(super) fn run_to_the_end(mut self) -> Tally {
        let last = self.plan.steps.iter().map(|&(at, _)| at).chain(self.plan.pages.iter().filter_map(|page| page.at)).max();
        self.run_until(self.now + last.unwrap_or(0));
        self.heal();
        // Long enough for a hub to find out who is gone, and for a page to try again.
        self.run_until(self.now + GIVES_UP + 100_000);
        self.everybody_has_everything("once everything healed", false);
        for page in 0..self.pages.len() as u32 {
            self.abandon(page, 0);
            let attempt = self.pages[page as usize].attempt;
            self.breaks(page, attempt);
        }
        self.run_until(self.now + 120_000);
        self.everybody_has_everything("once everybody came back", true);
        self.everybody_leaves();
        let (happened, events) = (self.happened, self.events);
        self.tally.insert("things that happened", happened);
        self.tally.insert("events heard", events);
        self.tally
    }

    fn heal(&mut self) {
        self.note(|| "everything heals".into());
        self.skew = self.skew.max(self.told as i64 - self.now as i64);
        (self.paused_until, self.alarm) = (0, u64::MAX);
        for page in &mut self.pages {
            (page.pace, page.stalled_until) = ((u32::MAX, 0), 0);
        }
        // Who read slowly or not at all reads now.
        for link in 0..self.links.len() as u32 {
            if self.links[link as usize].reading {
                self.later(self.plan.latency, Due::Read { link });
            }
        }
        self.turn();
    }

    /// Nothing was published for long, so what a page should have, it has.
    fn everybody_has_everything(&mut self, when: &str, everybody: bool) {
        for number in 0..self.pages.len() {
            let page = &self.pages[number];
            let client = page.client;
            if page.source.is_none() {
                continue;
            }
            let open = page.source.as_ref().is_some_and(|source| source.state() == State::Open);
            let link = page.link.filter(|_| open);
            let live = link.map(|link| &self.links[link as usize]).filter(|link| link.open && !link.dead);
            let admitted = live.is_some_and(|link| self.truth.clients[client as usize].key == Some(link.key));
            if !admitted {
                // Who was given up is silent until it comes back; a client that ages with a stream open is about to.
                assert!(!everybody || self.ages(), "page {number} of client {client} is not in {when}");
                self.count("pages given up");
                continue;
            }
            let memory = &page.memory;
            let Some(_) = memory.start else {
                panic!("page {number} was never told where it stands {when}");
            };
            if !memory.gap {
                let lost = self.truth.owed(client, link, memory.next, self.truth.next());
                assert_eq!(lost, None, "page {number} of client {client} has not got an event {when}");
            }
            let missing = memory.missing(&self.truth, client);
            assert_eq!(missing, None, "page {number} of client {client} has not heard of the end of a task {when}");
        }
    }

    fn ages(&self) -> bool {
        self.plan.config.age == sse_proto::Age::SinceRegistered
    }

    fn everybody_leaves(&mut self) {
        self.note(|| "everybody leaves".into());
        for page in 0..self.pages.len() as u32 {
            self.abandon(page, 0);
            self.pages[page as usize].source = None;
        }
        let config = &self.plan.config;
        let longest = config.dormant_after + 2 * config.sweep_every + config.issued_id_ttl;
        self.run_until(self.now + 40_000);
        self.skew += longest.as_millis() as i64 + 1_000;
        self.alarm = u64::MAX;
        self.later(0, Due::HubAlarm);
        self.alarm = self.now;
        self.run_until(self.now + 2 * GIVES_UP);
        let hub = self.hub.as_ref().expect("there is a hub");
        let usage = hub.usage();
        let gone = Usage { log_entries: 0, log_bytes: 0, topics: 0, groups: 0, ..usage };
        assert_eq!(gone, Usage::default(), "something is left when everybody has left");
        // What the log still names goes with it.
        let limits = self.plan.config.limits;
        if limits.log_bytes > 64 << 10 {
            return;
        }
        let now = self.clock();
        let hub = self.hub.as_mut().expect("there is a hub");
        for _ in 0..limits.log_entries + 1 {
            hub.publish(now, 0, Target::All, &Event::data(&"x".repeat(100))).expect("it can be published");
        }
        let usage = hub.usage();
        assert_eq!((usage.groups, usage.topics), (0, 0), "a name is kept that nothing names");
    }
}
