//! Building a hub.

use std::collections::HashMap;
use std::future::Future;
use std::hash::RandomState;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::Value;
use sse_proto::{Config, Engine, Epoch, Heap};
use tokio::sync::{Notify, Semaphore, broadcast};

use super::{Hub, Inner, Seats};
use crate::clock::Clock;
use crate::event::{SharedFrame, notification};
use crate::metrics::Metrics;
use crate::sequencer::Sequencer;
use crate::shard::{self, Shard, ShardHandle, Shared};
use crate::tasks::{Task, TaskRun, Upstream};

/// How a hub behaves.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// The engines' configuration; the limit of connections holds for the whole hub, every other one for
    /// one shard, which has tables and a log of its own.
    pub engine: Config,
    /// How many threads own connections. Default: as many as the machine runs at once.
    pub shards: usize,
    /// Commands that may wait for one shard; whoever wants to add another one waits. Default 4,096.
    pub queue: usize,
    /// The topic that is notified when clients come or go. Default `listeners-changed`.
    pub listeners_changed: Option<String>,
    /// Notifications are the bare key, as in the first version of system M. Default false.
    pub bare_payloads: bool,
    /// Tasks that may run at once, upstream requests included. Default 1,024.
    pub running_tasks: usize,
    /// Numbers this life of the hub. Default: random.
    pub epoch: Epoch,
}

impl Default for HubConfig {
    fn default() -> Self {
        let mut epoch = [0; 4];
        // Without entropy an epoch is still an epoch.
        let _ = getrandom::fill(&mut epoch);
        Self {
            engine: Config::default(),
            shards: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            queue: 4096,
            listeners_changed: Some("listeners-changed".to_owned()),
            bare_payloads: false,
            running_tasks: 1024,
            epoch: Epoch(u32::from_ne_bytes(epoch)),
        }
    }
}

/// The most memory a hub takes for each kind of thing, in bytes, when every limit is reached; see [`HubConfig::memory_bounds`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubMemory {
    /// The logs of all shards.
    pub logs: u64,
    /// Streams whose sockets the shards write: not those of an application's own server, which holds their sockets.
    pub streams: u64,
    /// Clients, connected or not.
    pub clients: u64,
    /// Topics, and who listens to them.
    pub topics: u64,
    /// Tasks and their results.
    pub tasks: u64,
}

impl HubConfig {
    /// The most memory the hub takes when every limit is reached at once. An allocator's own loss is not counted.
    pub fn memory_bounds(&self) -> HubMemory {
        let limits = &self.engine.limits;
        let shards = self.shards.max(1) as u64;
        let engine = Engine::<Heap>::memory_bounds(limits);
        let (stream, client) = shard::row_sizes(limits.name_bytes as usize);
        HubMemory {
            logs: shards * engine.log,
            // The limit holds for all shards together, so that their tables are as long as it together.
            streams: engine.connections + u64::from(limits.connections) * stream as u64,
            clients: shards * (engine.clients + u64::from(limits.clients) * client as u64),
            topics: shards * engine.topics,
            tasks: shards * engine.tasks,
        }
    }
}

/// Builds a [`Hub`].
#[derive(Default)]
pub struct HubBuilder {
    config: HubConfig,
    tasks: HashMap<String, Task>,
}

impl HubBuilder {
    /// Replaces the configuration.
    #[must_use]
    pub fn config(mut self, config: HubConfig) -> Self {
        self.config = config;
        self
    }

    /// Changes the configuration.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut HubConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Clients may submit `name`, and `handler` does it: what it returns is the result, or the reason why it failed.
    #[must_use]
    pub fn task<F, R>(mut self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(TaskRun) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Value, String>> + Send + 'static,
    {
        let handler = Arc::new(move |run: TaskRun| -> crate::tasks::Work { Box::pin(handler(run)) });
        self.tasks.insert(name.into(), Task::Handler(handler));
        self
    }

    /// Clients may submit `name`, and each submission is POSTed to `upstream`, which reports the end over HTTP.
    #[must_use]
    pub fn upstream(mut self, name: impl Into<String>, upstream: Upstream) -> Self {
        self.tasks.insert(name.into(), Task::Upstream(Arc::new(upstream)));
        self
    }

    /// Clients may submit `name`; someone who knows of it reports the end with [`Hub::complete`] or over HTTP.
    #[must_use]
    pub fn worker(mut self, name: impl Into<String>) -> Self {
        self.tasks.insert(name.into(), Task::Worker);
        self
    }

    /// Starts the hub's threads. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When limits do not fit each other, the operating system gives no random bytes, or a thread cannot be started.
    pub fn build(self) -> io::Result<Hub> {
        let Self { config, tasks } = self;
        let invalid = |error: &dyn std::error::Error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
        let metrics = Arc::new(Metrics::new());
        let changes = Arc::new(Changes::new(config.listeners_changed.clone()));
        let clock = Clock::start();
        let (events, _) = broadcast::channel(1024);
        let shared = Shared { clock, metrics: metrics.clone(), events: events.clone(), changes: changes.clone() };
        let mut shards = Vec::new();
        for index in 0..config.shards.max(1) {
            let mut key = [0; 16];
            getrandom::fill(&mut key).map_err(|error| invalid(&error))?;
            let (halves, _) = key.as_chunks::<8>();
            let key = [u64::from_ne_bytes(halves[0]), u64::from_ne_bytes(halves[1])];
            let engine = Engine::<Heap>::new(config.engine.clone(), config.epoch, key).map_err(|error| invalid(&error))?;
            let started = ShardHandle::start(index, engine, config.queue.max(1), shared.clone());
            shards.push(started.map_err(|error| no_shard(index, &error))?);
        }
        let inner = Arc::new_cyclic(|inner: &Weak<Inner>| Inner {
            announcer: config.listeners_changed.clone().map(|key| {
                let frame = notification(&key, config.bare_payloads);
                tokio::spawn(announce(inner.clone(), changes, key, frame)).abort_handle()
            }),
            shards,
            sequencer: Sequencer::default(),
            route: RandomState::new(),
            clock,
            metrics,
            events,
            tasks,
            running: Arc::new(Semaphore::new(config.running_tasks.min(Semaphore::MAX_PERMITS))),
            seats: Arc::new(Seats::default()),
            ordinals: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            config,
        });
        Ok(Hub { inner })
    }
}

/// What a shard needs of the operating system was not to be had.
pub(crate) fn no_shard(index: usize, error: &io::Error) -> io::Error {
    let hint = "allow more threads and open files (ulimit -n), or set fewer shards";
    io::Error::new(error.kind(), format!("shard {index} cannot start: {error}; {hint}"))
}

/// Whether clients came or went, for as long as somebody wants to hear of it.
pub(crate) struct Changes {
    /// The topic that tells of it.
    key: Option<String>,
    /// How often somebody began to listen to it.
    listens: AtomicU64,
    /// How often that was when all shards were asked last and nobody did any more.
    unheard: AtomicU64,
    notified: Notify,
}

impl Changes {
    fn new(key: Option<String>) -> Self {
        Self { key, listens: AtomicU64::new(0), unheard: AtomicU64::new(0), notified: Notify::new() }
    }

    /// Somebody listens to `topic` from now on.
    pub(crate) fn listened(&self, topic: &str) {
        if self.key.as_deref() == Some(topic) {
            self.listens.fetch_add(1, Ordering::Release);
        }
    }

    /// A client came or went.
    pub(crate) fn happened(&self) {
        if self.is_heard() {
            self.notified.notify_one();
        }
    }

    fn is_heard(&self) -> bool {
        self.listens.load(Ordering::Acquire) != self.unheard.load(Ordering::Acquire)
    }
}

/// Changes within this time are told as one.
const COALESCE: Duration = Duration::from_millis(20);

/// Notifies `key` whenever clients came or went, if anybody listens to it.
async fn announce(inner: Weak<Inner>, changes: Arc<Changes>, key: String, frame: SharedFrame) {
    loop {
        changes.notified.notified().await;
        let Some(hub) = inner.upgrade().map(|inner| Hub { inner }) else {
            return;
        };
        let (key, frame) = (key.clone(), frame.clone());
        let tell = move |shard: &mut Shard, sequence: u64| {
            let is_heard = shard.engine.listeners(&key).next().is_some();
            if is_heard {
                let target = sse_proto::Target::Topic(&key);
                // The frame and the topic were checked when the hub was configured.
                let _ = shard.engine.publish_at(shard.now(), sequence, target, &frame);
            }
            is_heard
        };
        let listens = changes.listens.load(Ordering::Acquire);
        match hub.sequenced(hub.all_shards(), 1, tell).await {
            // Who began to listen after a shard was asked is counted after `listens` was read.
            Ok((_, heard)) if !heard.contains(&true) => changes.unheard.store(listens, Ordering::Release),
            Ok(_) => {}
            Err(_) => return,
        }
        drop(hub);
        tokio::time::sleep(COALESCE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_while_somebody_listens() {
        let changes = Changes::new(Some("changes".to_owned()));
        changes.listened("something else");
        assert!(!changes.is_heard());
        let asked = changes.listens.load(Ordering::Acquire);
        changes.listened("changes");
        assert!(changes.is_heard());
        changes.unheard.store(asked, Ordering::Release);
        assert!(changes.is_heard(), "who began to listen since then is not overlooked");
        changes.unheard.store(asked + 1, Ordering::Release);
        assert!(!changes.is_heard());
        changes.listened("changes");
        assert!(changes.is_heard());
    }
}
