//! Random runs: which connection or client a step means, and what it does.

use sse_proto::wire::{Event, EventName, IdField};
use sse_proto::{ClientId, ClientKey, Config, ConnId, Epoch, EventId, Outcome, Registration, Resume, Target};

use super::Harness;
use crate::ops::{From, Op, Register, To, What, Who};

impl Harness {
    /// Does a whole run, and at its end lets everyone go and everything expire, to find what was forgotten.
    pub fn run(config: Config, ops: &[Op]) -> Self {
        let mut harness = Self::new(config);
        for op in ops {
            harness.apply(op);
        }
        harness.everything_ends();
        harness
    }

    /// Does one step.
    pub fn apply(&mut self, op: &Op) {
        match *op {
            Op::Drive { take, slices } => self.drive_by(take, slices),
            Op::Write { conn, take, slices } => {
                if let Some(conn) = self.pick_connection(conn) {
                    let _ = self.write(conn, take, slices);
                }
            }
            Op::Poll { outputs } => {
                for _ in 0..outputs {
                    let _ = self.poll();
                }
            }
            Op::Wait { millis } => self.wait(millis),
            Op::Later { millis } => self.later(millis),
            Op::StepBack { millis } => self.step_back(millis),
            Op::Register(ref register) => self.apply_register(register),
            Op::Disconnect { conn } => {
                if let Some(conn) = self.pick_connection(conn) {
                    let _ = self.disconnect(conn);
                }
            }
            Op::Finish { conn } => {
                if let Some(conn) = self.pick_connection(conn) {
                    let _ = self.finish(conn);
                }
            }
            Op::Publish { target, event, skip } => self.apply_publish(target, event, skip),
            Op::Burst { target } if self.engine.config().limits.log_entries > BURST => {
                let event = What { data: Some("x"), ..What::default() };
                self.in_burst = true;
                (0..BURST).for_each(|_| self.apply_publish(target, event, 0));
                self.in_burst = false;
                self.check();
            }
            Op::Burst { .. } => {}
            Op::Listen { client, topic } => {
                if let Some(client) = self.pick_client(client) {
                    let _ = self.listen(client, topic);
                }
            }
            Op::Unlisten { client, topic } => {
                if let Some(client) = self.pick_client(client) {
                    let _ = self.unlisten(client, topic);
                }
            }
            Op::Unregister { client, end_streams } => {
                if let Some(client) = self.pick_client(client) {
                    let _ = self.unregister(client, end_streams);
                }
            }
            Op::Clear { end_streams } => self.clear(end_streams),
            Op::Allocate { group, name, entropy } => {
                let _ = self.allocate(group, name, [entropy; 32]);
            }
            Op::RestoreId { group, id, age } => {
                let _ = self.restore_id(self.clock.saturating_sub(age), group, id);
            }
            Op::Submit { client, task } => {
                if let Some(client) = self.pick_client(client) {
                    let _ = self.submit(client, task);
                }
            }
            Op::Withdraw { client, task } => {
                if let Some(client) = self.pick_client(client) {
                    self.withdraw(client, task);
                }
            }
            Op::Progress { client, task, detail, skip } => {
                if let Some(client) = self.pick_client(client) {
                    let sequence = self.next_sequence(skip);
                    let _ = self.progress_at(sequence, client, task, detail);
                }
            }
            Op::Complete { client, owned, task, detail, failed, skip } => {
                let Some(key) = self.pick_client(client) else {
                    return;
                };
                let known = self.model.known();
                let owner = known.iter().find(|known| known.key == key);
                let (group, name) = owner.map_or(("", "bob"), |c| (&c.group, &c.user_name));
                let outcome = match (failed, detail) {
                    (true, reason) => Outcome::Failed(reason.unwrap_or("")),
                    (false, result) => Outcome::Completed(result),
                };
                let sequence = self.next_sequence(skip);
                let owner = owned.then_some(key);
                let _ = self.complete_at(sequence, owner, group, name, task, outcome);
            }
            Op::Observe { skip } => self.observe(skip),
            Op::Sweep => self.sweep(),
            Op::Drain { min_retry, max_retry } => self.drain(min_retry, max_retry),
        }
    }

    /// Time passes, and nobody tells.
    fn later(&mut self, millis: u64) {
        self.clock(self.clock.max(self.model.now()) + millis);
    }

    fn next_sequence(&self, skip: u64) -> u64 {
        self.engine.last_event_id().sequence + 1 + skip
    }

    /// One that is open, or now and then one that is not.
    fn pick_connection(&self, number: u8) -> Option<ConnId> {
        let open = self.model.open();
        let pick = |conns: Vec<ConnId>| conns.get(usize::from(number) % conns.len().max(1)).copied();
        if number >= 250 {
            return pick(self.wires.keys().copied().filter(|c| !open.contains(c)).collect());
        }
        pick(open)
    }

    /// One that is registered, or now and then one that is not.
    fn pick_client(&self, number: u8) -> Option<ClientKey> {
        let known: Vec<_> = self.model.known().iter().map(|known| known.key).collect();
        let pick = |keys: Vec<ClientKey>| keys.get(usize::from(number) % keys.len().max(1)).copied();
        if number >= 250 {
            return pick(self.keys.iter().copied().filter(|k| !known.contains(k)).collect());
        }
        pick(known)
    }

    fn apply_register(&mut self, register: &Register) {
        let issued = self.model.issued_ids();
        let (group, id) = match register.id {
            Who::Id(id) => (register.group, id),
            Who::Issued(number) => match issued.get(usize::from(number) % issued.len().max(1)) {
                Some((group, id)) => (&**group, &**id),
                None => (register.group, "ann_2"),
            },
        };
        let last = self.engine.last_event_id();
        let at = |sequence| EventId { sequence, ..last }.to_string();
        let seen: Vec<_> = self.wires.values().filter_map(|wire| wire.last_id.clone()).collect();
        let after = match register.resume {
            From::Live | From::Earliest => String::new(),
            From::Seen(number) => {
                let recent = usize::from(number) % seen.len().clamp(1, 8);
                seen.len().checked_sub(1 + recent).map_or(String::new(), |at| seen[at].clone())
            }
            From::Back(number) => at(last.sequence.saturating_sub(u64::from(number) % 16)),
            From::OtherEpoch => EventId { epoch: Epoch(6), ..last }.to_string(),
            From::Future => at(last.sequence + 1),
            From::Own(id) => id.into(),
        };
        let wish = Registration {
            id: ClientId::new(id).expect("a checked id"),
            group,
            topics: &register.topics,
            resume: match register.resume {
                From::Live => Resume::Live,
                From::Earliest => Resume::Earliest,
                _ => Resume::After(&after),
            },
            greeting: register.greeting,
            dialect: register.dialect,
            replace: register.replace,
            passing: register.passing,
        };
        let _ = self.register(&wish);
    }

    fn apply_publish(&mut self, target: To, what: What, skip: u64) {
        let event = Event {
            id: what.id.map(|id| IdField::new(id).expect("an id")),
            event: what.event.map(|name| EventName::new(name).expect("a name")),
            retry: what.retry,
            data: what.data,
            comment: what.comment,
        };
        let members: Vec<ClientKey>;
        let target = match target {
            To::All => Target::All,
            To::Group(group) => Target::Group(group),
            To::Topic(topic) => Target::Topic(topic),
            To::UserName(name) => Target::UserName(name),
            To::Client(number) => match self.pick_client(number) {
                Some(client) => Target::Client(client),
                None => return,
            },
            To::Connection(number) => match self.pick_connection(number) {
                Some(conn) => Target::Connection(conn),
                None => return,
            },
            To::Clients(numbers, count) => {
                let numbers = numbers.into_iter().take(count);
                members = numbers.filter_map(|number| self.pick_client(number)).collect();
                Target::Clients(&members)
            }
        };
        let sequence = if skip == 0 { 0 } else { self.next_sequence(skip) };
        let _ = self.publish_at(sequence, target, &event);
    }
}

/// More frames than one look at the log passes.
const BURST: u32 = 600;
