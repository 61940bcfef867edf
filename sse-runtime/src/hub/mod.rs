//! [`Hub`]: an application's handle on everything.
//!
//! A hub owns its shards and gives each call to the shard or shards concerned. It keeps no state of clients itself.

mod build;
pub(crate) mod error;
mod publish;
mod publish_from;
mod register;
mod work;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use sse_proto::{CloseReason, EventId, GapReason, Instant, Outcome, TaskState};
use tokio::sync::{Notify, Semaphore, broadcast, oneshot};
use tokio::task::AbortHandle;

pub(crate) use self::build::{Changes, no_shard};
pub use self::build::{HubBuilder, HubConfig, HubMemory};
pub use self::error::{EventError, HubError};
pub(crate) use self::publish::Publication;
pub(crate) use self::publish_from::{Answer, Answers, Published};
pub(crate) use self::register::{Entropy, random};
pub use self::register::{Register, StartAt, StreamAbort};
use crate::clock::Clock;
use crate::event::ClientRef;
use crate::metrics::Metrics;
use crate::sequencer::Sequencer;
use crate::serve::front::Door;
use crate::shard::{Command, Shard, ShardHandle};
use crate::tasks::Task;

/// A hub of Server-Sent Events. Cheap to clone; every clone is the same hub.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use sse_runtime::{Event, Hub, Register, Target};
///
/// let hub = Hub::builder().build()?;
/// let stream = hub.register(Register::new("bob_1").topic("news")).await?;
/// let id = hub.publish(Target::topic("news"), Event::data("hello")).await?;
/// # drop(stream);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    config: HubConfig,
    shards: Vec<ShardHandle>,
    sequencer: Sequencer,
    route: RandomState,
    clock: Clock,
    metrics: Arc<Metrics>,
    events: broadcast::Sender<HubEvent>,
    tasks: HashMap<String, Task>,
    running: Arc<Semaphore>,
    seats: Arc<Seats>,
    ordinals: AtomicU64,
    closed: AtomicBool,
    draining: AtomicBool,
    announcer: Option<AbortHandle>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(announcer) = &self.announcer {
            announcer.abort();
        }
    }
}

/// Places under the limit of connections.
#[derive(Debug, Default)]
struct Seats {
    taken: AtomicUsize,
    emptied: Notify,
}

/// One place under the limit of connections.
#[derive(Debug)]
pub(crate) struct Place(Arc<Seats>);

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.taken.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}

/// Something that happened in a hub.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HubEvent {
    /// A stream was opened.
    Connected {
        /// Whose.
        client: ClientRef,
        /// The client was registered before.
        returning: bool,
        /// Why the stream does not start where the client asked.
        gap: Option<GapReason>,
    },
    /// A stream ended.
    Left {
        /// Whose.
        client: ClientRef,
        /// It was the client's last one.
        last: bool,
        /// Why the hub ended it; `None` when the client left.
        reason: Option<CloseReason>,
    },
    /// A sweep dropped a client.
    Expired {
        /// Which.
        client: ClientRef,
    },
    /// A stream missed events, and is told so.
    Gap {
        /// Whose.
        client: ClientRef,
        /// Why.
        reason: GapReason,
    },
}

/// A registered client, as [`Hub::list`] tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registrant {
    /// The client.
    pub client: ClientRef,
    /// Its user name.
    pub user_name: String,
    /// The topics it listens to, in the order it began.
    pub topics: Vec<String>,
    /// When it registered last.
    pub registered: Instant,
    /// How many streams it has.
    pub streams: u32,
}

/// A task of a client, as [`Hub::tasks`] tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// Its name.
    pub name: String,
    /// How far it is.
    pub state: TaskState,
    /// JSON of its last progress or its result; for a failure the reason, as text.
    pub detail: Option<String>,
}

impl Hub {
    /// A hub with the default configuration, to be changed and built.
    pub fn builder() -> HubBuilder {
        HubBuilder::default()
    }

    /// The configuration.
    pub fn config(&self) -> &HubConfig {
        &self.inner.config
    }

    /// What the hub counts.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.inner.metrics
    }

    /// What happens from now on. A receiver that falls 1,024 events behind loses the oldest and is told how many.
    pub fn events(&self) -> broadcast::Receiver<HubEvent> {
        self.inner.events.subscribe()
    }

    /// Whether the hub takes registrations.
    pub fn is_open(&self) -> bool {
        self.check_open().is_ok() && !self.inner.shards.iter().any(|shard| shard.queue.is_closed())
    }

    /// The registered clients, in the order they first registered.
    ///
    /// # Errors
    ///
    /// [`HubError::Closed`].
    pub async fn list(&self) -> Result<Vec<Registrant>, HubError> {
        let mut all = Vec::new();
        for shard in self.all_shards() {
            let listed = move |shard: &mut Shard| {
                let clients = shard.engine.clients();
                let listed = clients.map(|info| {
                    let registrant = Registrant {
                        client: (info.group, info.id).into(),
                        user_name: info.user_name.to_owned(),
                        topics: shard.engine.topics(info.key).map(str::to_owned).collect(),
                        registered: info.registered,
                        streams: info.connections,
                    };
                    (shard.known(info.key).map_or(0, |(ordinal, _)| ordinal), registrant)
                });
                listed.collect::<Vec<_>>()
            };
            all.extend(self.call(shard, listed).await?);
        }
        all.sort_by_key(|&(ordinal, _)| ordinal);
        Ok(all.into_iter().map(|(_, registrant)| registrant).collect())
    }

    /// Gives up every client; their streams end, or stay open and silent. Once begun it is done for all.
    ///
    /// # Errors
    ///
    /// [`HubError::Closed`].
    pub async fn clear(&self, end_streams: bool) -> Result<(), HubError> {
        let hub = self.clone();
        to_its_end(async move {
            for shard in hub.all_shards() {
                hub.call(shard, move |shard| shard.clear(end_streams)).await?;
            }
            Ok(())
        })
        .await
    }

    /// Drops clients that are too old now, and not only at the next sweep.
    ///
    /// # Errors
    ///
    /// [`HubError::Closed`].
    pub async fn sweep(&self) -> Result<(), HubError> {
        for shard in self.all_shards() {
            self.call(shard, |shard| shard.engine.sweep(shard.now())).await?;
        }
        Ok(())
    }

    /// Ends all streams, each after what waits for it, and refuses registrations from now on with [`HubError::Closed`]: over HTTP
    /// that is 204, which tells a browser to stay away.
    pub async fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
        self.drain(0, 0).await;
    }

    /// Ends all streams, each after what waits for it and a `retry:` between `min_retry` and `max_retry`, and refuses
    /// registrations with [`HubError::ShuttingDown`]. Waits until all streams are gone, at most for `grace`; true if they are.
    pub async fn shut_down(&self, grace: Duration, min_retry: Duration, max_retry: Duration) -> bool {
        self.inner.draining.store(true, Ordering::Release);
        let millis = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        let gone = async {
            self.drain(millis(min_retry), millis(max_retry)).await;
            loop {
                let emptied = self.inner.seats.emptied.notified();
                if self.inner.seats.taken.load(Ordering::Acquire) == 0 {
                    return;
                }
                emptied.await;
            }
        };
        tokio::time::timeout(grace, gone).await.is_ok()
    }

    /// Publishes gauges and returns all metrics as text for Prometheus.
    pub fn render_metrics(&self) -> String {
        let gauges = |read: fn(&crate::shard::Gauges) -> &AtomicUsize| -> i64 {
            let total: usize = self.inner.shards.iter().map(|shard| read(&shard.gauges).load(Ordering::Relaxed)).sum();
            i64::try_from(total).unwrap_or(i64::MAX)
        };
        let metrics = &self.inner.metrics;
        metrics.connections.set(gauges(|gauges| &gauges.connections));
        metrics.clients.set(gauges(|gauges| &gauges.clients));
        metrics.issued_ids.set(gauges(|gauges| &gauges.issued_ids));
        metrics.log_entries.set(gauges(|gauges| &gauges.log_entries));
        metrics.log_bytes.set(gauges(|gauges| &gauges.log_bytes));
        let waiting = |shard: &ShardHandle| shard.queue.max_capacity() - shard.queue.capacity();
        let depth: usize = self.inner.shards.iter().map(waiting).sum();
        metrics.queue_depth.set(i64::try_from(depth).unwrap_or(i64::MAX));
        metrics.encode().unwrap_or_default()
    }

    async fn drain(&self, min_retry: u32, max_retry: u32) {
        for shard in self.all_shards() {
            let drained = self.call(shard, move |shard| shard.engine.drain(shard.now(), min_retry, max_retry));
            // A shard that is gone has no streams.
            let _ = drained.await;
        }
    }

    /// Runs `operation` on `shards` under the next `count` sequence numbers, of which it gets the first; every shard sees numbers
    /// rise.
    async fn sequenced<T, F>(&self, shards: Range<usize>, count: usize, operation: F) -> Result<(u64, Vec<T>), HubError>
    where
        T: Send + 'static,
        F: Fn(&mut Shard, u64) -> T + Clone + Send + 'static,
    {
        let handles = &self.inner.shards[shards];
        let mut places = Vec::with_capacity(handles.len());
        for shard in handles {
            places.push(shard.queue.reserve().await.map_err(|_| self.gone())?);
        }
        let mut answers = Vec::with_capacity(handles.len());
        let sequence = self.inner.sequencer.next(count, |sequence| {
            for place in places {
                let (answer, receiver) = oneshot::channel();
                let operation = operation.clone();
                let command: Command = Box::new(move |shard| {
                    // The caller may have lost interest.
                    let _ = answer.send(operation(shard, sequence));
                });
                place.send(command);
                answers.push(receiver);
            }
            sequence
        });
        handles.iter().for_each(ShardHandle::wake);
        let mut results = Vec::with_capacity(answers.len());
        for answer in answers {
            results.push(answer.await.map_err(|_| self.gone())?);
        }
        Ok((sequence, results))
    }

    async fn call_home<T, F>(&self, client: &ClientRef, operation: F) -> Result<T, HubError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Shard) -> T + Send + 'static,
    {
        self.call(self.shard_of(&client.group, &client.id), operation).await
    }

    async fn call<T, F>(&self, shard: usize, operation: F) -> Result<T, HubError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Shard) -> T + Send + 'static,
    {
        let handle = &self.inner.shards[shard];
        let (answer, receiver) = oneshot::channel();
        let command: Command = Box::new(move |shard| {
            // The caller may have lost interest.
            let _ = answer.send(operation(shard));
        });
        handle.queue.send(command).await.map_err(|_| self.gone())?;
        handle.wake();
        receiver.await.map_err(|_| self.gone())
    }

    /// How many shards there are.
    pub(crate) fn shard_count(&self) -> usize {
        self.inner.shards.len()
    }

    /// `shard` accepts connections from `door` from now on.
    pub(crate) async fn open_door(&self, shard: usize, door: Door) -> Result<(), HubError> {
        self.call(shard, move |shard| shard.new_doors.push(door)).await
    }

    /// Every shard looks around.
    pub(crate) fn wake_all(&self) {
        self.inner.shards.iter().for_each(ShardHandle::wake);
    }

    fn shard_of(&self, group: &str, id: &str) -> usize {
        match self.inner.shards.len() {
            1 => 0,
            shards => (self.inner.route.hash_one((group, id)) % shards as u64) as usize,
        }
    }

    fn all_shards(&self) -> Range<usize> {
        0..self.inner.shards.len()
    }

    pub(crate) fn event_id(&self, sequence: u64) -> EventId {
        EventId { epoch: self.inner.config.epoch, sequence }
    }

    fn check_open(&self) -> Result<(), HubError> {
        if self.inner.closed.load(Ordering::Acquire) {
            return Err(HubError::Closed);
        }
        if self.inner.draining.load(Ordering::Acquire) {
            return Err(HubError::ShuttingDown);
        }
        Ok(())
    }

    /// Why a shard does not answer.
    fn gone(&self) -> HubError {
        if self.inner.closed.load(Ordering::Acquire) { HubError::Closed } else { HubError::Broken }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("shards", &self.inner.shards.len()).finish_non_exhaustive()
    }
}

/// Goes on although the caller may not wait for it: what takes several steps is done whole.
pub(crate) async fn to_its_end<T: Send + 'static>(
    steps: impl Future<Output = Result<T, HubError>> + Send + 'static,
) -> Result<T, HubError> {
    tokio::spawn(steps).await.unwrap_or(Err(HubError::Closed))
}

fn single(shard: usize) -> Range<usize> {
    shard..shard + 1
}

/// How a task ended, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEnd {
    /// Well, with a result in JSON if it has one.
    Completed(Option<String>),
    /// Badly, and why: text for people.
    Failed(String),
}

impl TaskEnd {
    pub(crate) fn as_outcome(&self) -> Outcome<'_> {
        match self {
            Self::Completed(result) => Outcome::Completed(result.as_deref()),
            Self::Failed(reason) => Outcome::Failed(reason),
        }
    }
}
