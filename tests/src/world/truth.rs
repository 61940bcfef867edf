//! What was published and who should have it: kept beside the hub, by the application that publishes.
//!
//! Events are numbered from 0 over all lives of the hub. Most are for a scope that a client stands under for good; what is for
//! single clients, or for a topic that they take up and leave, is listed with each client.

use std::collections::BTreeSet;

use sse_proto::{ClientKey, EventId};

use super::plan::{LOOSE, Plan};

/// What an event is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Scope(u32),
    Listed,
}

/// Scopes: everybody, then groups, user names, topics.
pub(super) const ALL: u32 = 0;

#[derive(Debug)]
pub(super) struct Truth {
    events: Vec<For>,
    scopes: Vec<Vec<u32>>,
    groups: u32,
    names: u32,
    pub(super) clients: Vec<Client>,
    lives: Vec<Life>,
    /// The number each task's end has among the events, and whose it is.
    pub(super) tasks: Vec<(u32, u32)>,
}

/// One life of the hub.
#[derive(Debug)]
struct Life {
    epoch: u32,
    first: u32,
    /// Of its events, in order.
    sequences: Vec<u64>,
}

/// A client, as the application knows it.
#[derive(Debug)]
pub(super) struct Client {
    /// While the hub knows it.
    pub(super) key: Option<ClientKey>,
    pub(super) scopes: Vec<u32>,
    pub(super) pages: u32,
    listed: Vec<Listed>,
    /// Topics it listens to and may leave.
    pub(super) loose: BTreeSet<u8>,
    /// Tasks it waits for.
    pub(super) tasks: Vec<u32>,
    /// Ends of tasks it should hear of.
    pub(super) completions: Vec<Completion>,
}

/// The end of a task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) task: u32,
    /// Its number among the events.
    pub(super) number: u32,
    pub(super) must: bool,
    /// The client's own, which its table keeps.
    pub(super) own: bool,
}

#[derive(Clone, Copy, Debug)]
struct Listed {
    number: u32,
    must: bool,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Key,
    Loose(u8),
    Link(u32),
}

impl Truth {
    pub(super) fn new(plan: &Plan) -> Self {
        let groups = 1 + plan.clients.iter().map(|client| u32::from(client.group)).max().unwrap_or(0).max(1);
        let names = 1 + plan.clients.iter().map(|client| client.name).max().unwrap_or(0);
        let topics = 1 + plan.clients.iter().flat_map(|client| &client.topics).max().copied().unwrap_or(0);
        let mut truth = Self {
            events: Vec::new(),
            scopes: vec![Vec::new(); (1 + groups + names + topics.max(super::plan::TOPICS)) as usize],
            groups,
            names,
            clients: Vec::new(),
            lives: Vec::new(),
            tasks: Vec::new(),
        };
        for (number, client) in plan.clients.iter().enumerate() {
            let mut scopes = vec![ALL, truth.group(client.group), truth.name(client.name)];
            scopes.extend(client.topics.iter().map(|&topic| truth.topic(topic)));
            let pages = plan.pages.iter().filter(|page| page.client as usize == number).count();
            // In a large world that would take long, and there it is one each.
            let pages = if plan.thorough { pages as u32 } else { 1 };
            truth.clients.push(Client {
                key: None,
                scopes,
                pages,
                listed: Vec::new(),
                loose: BTreeSet::new(),
                tasks: Vec::new(),
                completions: Vec::new(),
            });
        }
        truth
    }

    pub(super) fn group(&self, group: u8) -> u32 {
        1 + u32::from(group)
    }

    pub(super) fn name(&self, name: u32) -> u32 {
        1 + self.groups + name
    }

    pub(super) fn topic(&self, topic: u32) -> u32 {
        1 + self.groups + self.names + topic
    }

    /// The number that the next event has.
    pub(super) fn next(&self) -> u32 {
        self.events.len() as u32
    }

    /// A hub begins a life.
    pub(super) fn begin(&mut self, epoch: u32) {
        let first = self.next();
        self.lives.push(Life { epoch, first, sequences: Vec::new() });
    }

    /// A hub is gone, and what it knew.
    pub(super) fn end(&mut self) {
        for client in 0..self.clients.len() {
            self.forget(client as u32);
        }
    }

    /// The next event was published for a scope.
    pub(super) fn publish(&mut self, id: EventId, scope: u32) {
        let number = self.push(id, For::Scope(scope));
        self.scopes[scope as usize].push(number);
    }

    /// It was published for clients.
    pub(super) fn publish_to_clients(&mut self, id: EventId, clients: &[u32]) {
        let number = self.push(id, For::Listed);
        for &client in clients {
            self.list(client, Listed { number, must: true, why: Why::Key });
        }
    }

    /// It was published for one connection.
    pub(super) fn publish_to_link(&mut self, id: EventId, client: u32, link: u32) {
        let number = self.push(id, For::Listed);
        self.list(client, Listed { number, must: true, why: Why::Link(link) });
    }

    /// It was published for a topic that clients take up and leave.
    pub(super) fn publish_loose(&mut self, id: EventId, loose: u8) {
        let number = self.push(id, For::Listed);
        for client in &mut self.clients {
            if client.loose.contains(&loose) {
                client.listed.push(Listed { number, must: true, why: Why::Loose(loose) });
            }
        }
    }

    /// A task of `client` ended: it, and who has its user name and is known, should hear of it.
    pub(super) fn complete(&mut self, id: EventId, task: u32, client: u32) {
        let number = self.push(id, For::Listed);
        self.tasks[task as usize].0 = number;
        let (group, name) = (self.clients[client as usize].scopes[1], self.clients[client as usize].scopes[2]);
        // Names are given to neighbors.
        let near = client.saturating_sub(8)..(client + 8).min(self.clients.len() as u32);
        for other in near {
            let one = &mut self.clients[other as usize];
            if one.key.is_some() && one.scopes[1] == group && one.scopes[2] == name {
                one.completions.push(Completion { task, number, must: true, own: other == client });
            }
        }
        self.clients[client as usize].tasks.retain(|&other| other != task);
    }

    /// The application gave the client's key up, or the hub did: what was for the key is not owed any more.
    pub(super) fn forget(&mut self, client: u32) {
        let client = &mut self.clients[client as usize];
        client.key = None;
        client.loose.clear();
        client.tasks.clear();
        client.listed.iter_mut().filter(|listed| !matches!(listed.why, Why::Link(_))).for_each(|listed| listed.must = false);
        client.completions.iter_mut().for_each(|completion| completion.must = false);
    }

    pub(super) fn unlisten(&mut self, client: u32, loose: u8) {
        let client = &mut self.clients[client as usize];
        client.loose.remove(&loose);
        client.listed.iter_mut().filter(|listed| listed.why == Why::Loose(loose)).for_each(|listed| listed.must = false);
    }

    /// A connection is gone, and with it what was for it alone.
    pub(super) fn close_link(&mut self, client: u32, link: u32) {
        let listed = &mut self.clients[client as usize].listed;
        listed.iter_mut().rev().filter(|listed| listed.why == Why::Link(link)).for_each(|listed| listed.must = false);
    }

    /// The number of the first event after `id`; `None` when no hub gave it out.
    pub(super) fn after(&self, id: EventId) -> Option<u32> {
        let life = self.lives.iter().rev().find(|life| life.epoch == id.epoch.0)?;
        Some(life.first + life.sequences.partition_point(|&sequence| sequence <= id.sequence) as u32)
    }

    /// Whether the event is for the client at all.
    pub(super) fn is_for(&self, client: u32, link: u32, number: u32) -> bool {
        let client = &self.clients[client as usize];
        match self.events.get(number as usize) {
            None => false,
            Some(For::Scope(scope)) => client.scopes.contains(scope),
            Some(For::Listed) => client.listed.binary_search_by_key(&number, |listed| listed.number).is_ok_and(|at| {
                let why = client.listed[at].why;
                !matches!(why, Why::Link(_)) || why == Why::Link(link)
            }),
        }
    }

    /// An event from `from` on and before `to` that the client should have, if there is one.
    pub(super) fn owed(&self, client: u32, link: Option<u32>, from: u32, to: u32) -> Option<u32> {
        if from >= to {
            return None;
        }
        let client = &self.clients[client as usize];
        let of_scope = |&scope: &u32| {
            let numbers = &self.scopes[scope as usize];
            numbers.get(numbers.partition_point(|&number| number < from)).copied()
        };
        let first = client.scopes.iter().filter_map(of_scope).min();
        let listed = &client.listed[client.listed.partition_point(|listed| listed.number < from)..];
        let is_owed = |listed: &&Listed| match listed.why {
            Why::Link(of) => listed.must && Some(of) == link,
            _ => listed.must,
        };
        let second = listed.iter().find(is_owed).map(|listed| listed.number);
        first.into_iter().chain(second).min().filter(|&number| number < to)
    }

    fn push(&mut self, id: EventId, is_for: For) -> u32 {
        let number = self.next();
        self.events.push(is_for);
        self.lives.last_mut().expect("a hub published it").sequences.push(id.sequence);
        number
    }

    fn list(&mut self, client: u32, listed: Listed) {
        let client = &mut self.clients[client as usize];
        // A list of clients may name one twice.
        if client.listed.last().is_none_or(|last| last.number != listed.number) {
            client.listed.push(listed);
        }
    }
}

/// The text of a topic that clients take up and leave.
pub(super) fn loose(topic: u8) -> String {
    assert!(topic < LOOSE);
    format!("loose{topic}")
}
