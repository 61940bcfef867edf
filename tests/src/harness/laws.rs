//! The laws: what holds after every step, of what is gone, and at the end.

use std::collections::BTreeSet;

use sse_proto::wire::Event;
use sse_proto::{
    ClientId, EventIds, Instant, ListenError, Outcome, PublishError, Registered, Registration, Stale, Target, TaskError, Usage,
};

use super::Harness;
use crate::ops::TOPICS;

impl Harness {
    /// What must hold after every step.
    pub fn check(&self) {
        if self.in_burst {
            return;
        }
        self.engine.check();
        let (engine, model) = (&self.engine, &self.model);
        let usage = engine.usage();
        assert_eq!(usage, model.usage());
        let limits = engine.config().limits;
        assert!(
            usage.connections <= limits.connections
                && usage.clients <= limits.clients
                && usage.issued_ids <= limits.issued_ids
                && usage.groups <= limits.groups
                && usage.topics <= limits.topics
                && usage.tasks <= limits.tasks
                && usage.log_entries <= limits.log_entries
                && usage.log_bytes <= limits.log_bytes,
            "more than the limits allow: {usage:?}"
        );
        let now = model.now();
        let (timeout, expected) = (engine.poll_timeout(), model.timeout());
        match (timeout.map(Instant::as_millis), expected) {
            (Some(timeout), Some(expected)) if timeout <= now && expected <= now => {}
            (timeout, expected) => assert_eq!(timeout, expected, "at {now}"),
        }
        assert_eq!(engine.last_event_id(), model.last_event_id());
        let known = model.known();
        let mut infos: Vec<_> = engine.clients().collect();
        infos.sort_by_key(|info| info.key);
        assert_eq!(infos.len(), known.len());
        for (info, known) in infos.iter().zip(&known) {
            assert_eq!(
                (info.key, info.id, info.group, info.user_name, info.registered.as_millis()),
                (known.key, &*known.id, &*known.group, &*known.user_name, known.registered)
            );
            assert_eq!(engine.find(info.group, info.id), Some(info.key));
            assert_eq!(engine.client_info(info.key), Some(*info));
            let connections: Vec<_> = engine.connections(info.key).collect();
            assert_eq!(connections, known.connections);
            assert_eq!(info.connections as usize, connections.len());
            assert!(engine.topics(info.key).eq(known.topics.iter().map(String::as_str)));
            let tasks = engine.tasks(info.key);
            let tasks = tasks.map(|t| (t.name.into(), t.state.name(), t.detail.map(Into::into)));
            assert_eq!(tasks.collect::<Vec<_>>(), known.tasks);
        }
        for topic in TOPICS {
            assert!(engine.listeners(topic).eq(model.listeners(topic)));
        }
        assert_eq!(engine.backlog(), model.backlog());
        for &key in &self.keys {
            assert_eq!(engine.is_known(key), model.is_known(key), "{key:?}");
        }
        for conn in model.open() {
            assert_eq!(engine.client_of(conn), Ok(model.client_of(conn)));
            assert_eq!(engine.is_caught_up(conn), model.is_idle(conn), "{conn:?}");
            let wire = self.wires.get(&conn);
            let is_told = engine.config().event_ids == EventIds::Numbered && model.is_greeted(conn);
            let knows_where = !is_told || wire.is_some_and(|wire| wire.last_id.is_some());
            assert!(knows_where || !model.is_idle(conn), "{conn:?} has everything, and no id to resume with");
        }
    }

    /// Law 4: what is gone is gone, and nothing happens by it.
    pub fn check_stale(&mut self) {
        // What is called below tells the time, too.
        self.at(self.clock);
        let before = (self.engine.usage(), self.engine.poll_timeout(), self.engine.last_event_id());
        let now = self.now();
        let open = self.model.open();
        let engine = &mut self.engine;
        let event = Event::data("x");
        for &conn in self.wires.keys().filter(|conn| !open.contains(conn)) {
            assert_eq!(engine.transmit(conn, &mut [b""]), Err(Stale));
            assert_eq!(engine.client_of(conn), Err(Stale));
            assert!(!engine.is_caught_up(conn));
            assert_eq!(engine.handle_written(now, conn, 1), Err(Stale));
            assert_eq!(engine.handle_disconnect(now, conn), Err(Stale));
            let published = engine.publish(now, Target::Connection(conn), &event);
            assert_eq!(published, Err(PublishError::UnknownTarget));
        }
        let known: BTreeSet<_> = self.model.known().iter().map(|known| known.key).collect();
        for &key in self.keys.difference(&known) {
            assert_eq!(engine.client_info(key), None);
            assert_eq!(engine.unregister(now, key, true), Err(Stale));
            assert_eq!(engine.listen(now, key, "t0"), Err(ListenError::UnknownClient));
            assert_eq!(engine.unlisten(now, key, "t0"), Err(Stale));
            assert_eq!(engine.submit(now, key, "k0"), Err(TaskError::UnknownTask));
            assert!(!engine.withdraw(key, "k0"));
            let progress = engine.progress_at(now, 0, key, "k0", "1");
            assert_eq!(progress, Err(TaskError::UnknownTask));
            let outcome = Outcome::Completed(None);
            let completed = engine.complete_at(now, 0, Some(key), "", "bob", "k0", outcome);
            assert_eq!(completed, Err(TaskError::UnknownTask));
            let published = engine.publish(now, Target::Client(key), &event);
            assert_eq!(published, Err(PublishError::UnknownTarget));
            assert_eq!(engine.topics(key).count(), 0);
            assert_eq!(engine.connections(key).count(), 0);
            assert_eq!(engine.tasks(key).count(), 0);
        }
        let after = (self.engine.usage(), self.engine.poll_timeout(), self.engine.last_event_id());
        assert_eq!(before, after);
    }

    /// Everyone leaves, everything expires, the log is written over; then the tables are empty, and can be filled to the brim.
    pub fn everything_ends(&mut self) {
        self.drive();
        self.check_stale();
        for conn in self.model.open() {
            let _ = self.disconnect(conn);
        }
        self.wait(1_000_000);
        self.sweep();
        self.drive();
        self.check_stale();
        let limits = self.engine.config().limits;
        let filler = "x".repeat(100);
        for _ in 0..(limits.log_entries.min(limits.log_bytes / 100) + 2) {
            self.publish(Target::All, &filler);
        }
        let usage = self.engine.usage();
        let expected = Usage { log_entries: usage.log_entries, log_bytes: usage.log_bytes, ..Default::default() };
        assert_eq!(usage, expected, "something was not let go of");

        let before = usage.log_entries;
        for index in 0..limits.clients {
            let answer = self.allocate("", &format!("u{index}"), [0; 32]);
            if index < limits.issued_ids {
                assert!(answer.is_ok());
            }
        }
        self.clear(true);
        if self.register(&Registration::new(ClientId::new("last_1").expect("a name"))).is_err() {
            return; // drained
        }
        self.clear(true);
        self.drive();
        let mut subscriptions = limits.subscriptions;
        for index in 0..limits.clients {
            let id = format!("u{index}_1");
            let group = match index % limits.groups {
                0 => String::new(),
                group => format!("g{group}"),
            };
            let topics: Vec<_> = (0..limits.topics.min(limits.topics_per_client))
                .map(|topic| format!("t{}", (index + topic) % limits.topics))
                .take(subscriptions as usize)
                .collect();
            subscriptions -= topics.len() as u32;
            let topics: Vec<_> = topics.iter().map(String::as_str).collect();
            let wish =
                Registration { group: &group, topics: &topics, ..Registration::new(ClientId::new(&id).expect("a name")) };
            let Registered { conn, .. } = self.register(&wish).expect("everything is free");
            if self.engine.usage().connections == limits.connections {
                let _ = self.disconnect(conn);
            }
        }
        let usage = self.engine.usage();
        assert_eq!(usage.clients, limits.clients);
        assert_eq!(usage.log_entries, before);
    }
}
