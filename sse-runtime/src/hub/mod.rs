//! [`Hub`]: an application's handle on everything.
//!
//! A hub owns its shards and gives each call to the shard or shards concerned. It keeps no state of clients itself.

mod build;
pub(crate) mod error;
mod work;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use sse_proto::manager::Payload;
use sse_proto::{CloseReason, Dialect, EventId, GapReason, Greeting, IdForm, Instant, Outcome, PublishError, Stale, TaskState};
use tokio::sync::{Notify, Semaphore, broadcast, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant as Deadline;

pub use self::build::{HubBuilder, HubConfig};
pub use self::error::{EventError, HubError};
use crate::clock::Clock;
use crate::event::{ClientRef, Event, SharedFrame, StreamId, Target, notification, share};
use crate::metrics::{self, Metrics};
use crate::sequencer::Sequencer;
use crate::shard::{Admission, Command, Metadata, Shard, ShardHandle, fits};
use crate::stream::EventStream;
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

/// A wish to receive events.
#[derive(Clone)]
pub struct Register {
    client: ClientRef,
    topics: Vec<String>,
    start: StartAt,
    greeting: Greeting,
    dialect: Dialect,
    replace: bool,
    passing: bool,
    metadata: Option<Metadata>,
    abort: Option<StreamAbort>,
}

/// Where a stream starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// With the next event.
    #[default]
    Live,
    /// With the oldest event that the log still has.
    Earliest,
    /// After the event with this id: a `Last-Event-ID`.
    After(String),
}

impl Register {
    /// A live stream for `client`, beside its other streams.
    pub fn new(client: impl Into<ClientRef>) -> Self {
        Self {
            client: client.into(),
            topics: Vec::new(),
            start: StartAt::Live,
            greeting: Greeting::Connected,
            dialect: Dialect::Named,
            replace: false,
            passing: false,
            metadata: None,
            abort: None,
        }
    }

    /// As system M registers: its acknowledgement, its payloads, and the client's other streams end.
    #[must_use]
    pub fn manager(mut self) -> Self {
        (self.greeting, self.dialect, self.replace) = (Greeting::Registered, Dialect::Manager, true);
        self
    }

    /// Listens to `topic` from the start of the stream on.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// Starts the stream at `start`.
    #[must_use]
    pub fn start_at(mut self, start: StartAt) -> Self {
        self.start = start;
        self
    }

    /// Ends the client's other streams.
    #[must_use]
    pub fn replace(mut self, replace: bool) -> Self {
        self.replace = replace;
        self
    }

    /// Forgets the client when its last stream ends, unless it waits for a task.
    #[must_use]
    pub fn passing(mut self, passing: bool) -> Self {
        self.passing = passing;
        self
    }

    /// What the application knows of the client, for [`Hub::publish_where`]. Kept from the first registration on.
    #[must_use]
    pub fn metadata<T: std::any::Any + Send + Sync>(mut self, metadata: T) -> Self {
        self.metadata = Some(Arc::new(metadata));
        self
    }

    /// How to end the connection when its peer takes nothing for the write-stall limit: ending the body would wait for the
    /// peer for ever.
    #[must_use]
    pub fn abort(mut self, abort: StreamAbort) -> Self {
        self.abort = Some(abort);
        self
    }
}

/// Ends a connection whose peer takes nothing.
#[derive(Clone, Debug)]
pub struct StreamAbort(Arc<watch::Sender<Option<Deadline>>>);

impl StreamAbort {
    /// Ends the connection.
    pub fn abort(&self) {
        self.abort_after(Duration::ZERO);
    }

    /// Ends the connection unless its stream is done within `patience`.
    pub(crate) fn abort_after(&self, patience: Duration) {
        // Longer than any connection lasts is as good as never.
        self.0.send_replace(Deadline::now().checked_add(patience));
    }

    /// The stream is done; the connection may serve another request.
    pub(crate) fn stream_done(&self) {
        self.0.send_replace(None);
    }

    /// Waits until the connection must end.
    pub async fn aborted(&self) {
        let mut deadline = self.0.subscribe();
        loop {
            let until = *deadline.borrow_and_update();
            let passed = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = passed => return,
                // The sender lives as long as `self`.
                _ = deadline.changed() => {}
            }
        }
    }
}

impl Default for StreamAbort {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
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

    /// Reserves an id for `name` in the default group: `name_` and a random suffix.
    ///
    /// # Errors
    ///
    /// [`HubError`]: the name cannot be one, or a limit is reached.
    pub async fn allocate_id(&self, name: &str) -> Result<String, HubError> {
        self.allocate_id_in("", name).await
    }

    /// Reserves an id for `name` in `group`.
    ///
    /// # Errors
    ///
    /// As [`allocate_id`](Self::allocate_id).
    pub async fn allocate_id_in(&self, group: &str, name: &str) -> Result<String, HubError> {
        self.check_open()?;
        let limit = self.inner.config.engine.limits.name_bytes;
        error::name("name", name, limit)?;
        if !group.is_empty() {
            error::topic("group", group, limit)?;
        }
        loop {
            let mut entropy = [0; 32];
            getrandom::fill(&mut entropy).map_err(|_| HubError::NoEntropy)?;
            let wanted = id_for(name, self.inner.config.engine.id_form, &entropy);
            let shard = self.shard_of(&ClientRef::from((group, wanted.as_str())));
            let (group, name) = (group.to_owned(), name.to_owned());
            let id = self.call(shard, move |shard| shard.engine.allocate_id(shard.now(), &group, &name, &entropy)).await??;
            // Had it been taken, the shard would have made another one, which may belong elsewhere.
            if *id == *wanted {
                return Ok(wanted);
            }
        }
    }

    /// An id for `name` that nobody else has: it cannot be guessed, so it need not be reserved.
    pub(crate) fn new_id(&self, name: &str) -> Result<String, HubError> {
        error::name("name", name, self.inner.config.engine.limits.name_bytes)?;
        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy).map_err(|_| HubError::NoEntropy)?;
        Ok(id_for(name, IdForm::Secure, &entropy))
    }

    /// An id for someone who gave no name, with a user name that nobody else has.
    pub(crate) fn new_nameless_id(&self) -> Result<String, HubError> {
        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy).map_err(|_| HubError::NoEntropy)?;
        let name = id_for("anonymous", IdForm::Short, &entropy).replace('_', "-");
        self.new_id(&name)
    }

    /// Opens a stream of events.
    ///
    /// The client is registered when this returns: what is published from then on is in the stream.
    ///
    /// # Errors
    ///
    /// [`HubError`]: a name cannot be one, a limit is reached, or the hub is closed.
    pub async fn register(&self, register: Register) -> Result<EventStream, HubError> {
        self.check_open()?;
        let limits = &self.inner.config.engine.limits;
        error::name("id", &register.client.id, limits.name_bytes)?;
        let place = self.take_place()?;
        let client = register.client.clone();
        let abort = register.abort.clone();
        let shard = self.shard_of(&client);
        let admission = Admission {
            client: register.client,
            topics: register.topics,
            start: register.start,
            greeting: register.greeting,
            dialect: register.dialect,
            replace: register.replace,
            passing: register.passing,
            metadata: register.metadata,
            abort: register.abort,
            place,
            ordinal: self.inner.ordinals.fetch_add(1, Ordering::Relaxed),
            sequence: self.inner.sequencer.last(),
        };
        // The stream is made on the shard: should the caller lose interest, dropping it tells the shard.
        let made = move |state: &mut Shard| {
            let admitted = state.register(admission)?;
            Ok::<_, sse_proto::RegisterError>(EventStream {
                mailbox: admitted.mailbox,
                client,
                id: StreamId { shard, conn: admitted.conn },
                returning: admitted.returning,
                abort,
            })
        };
        Ok(self.call(shard, made).await??)
    }

    /// Whether a client is registered.
    pub async fn is_registered(&self, client: impl Into<ClientRef>) -> bool {
        let client = client.into();
        let home = client.clone();
        let found = move |shard: &mut Shard| shard.engine.find(&client.group, &client.id).is_some();
        self.call_home(&home, found).await.unwrap_or(false)
    }

    /// Gives up a client's id, topics and tasks; true if it was registered. Its streams end, or stay open and silent until a
    /// sweep finds them.
    ///
    /// # Errors
    ///
    /// [`HubError::Closed`].
    pub async fn unregister(&self, client: impl Into<ClientRef>, end_streams: bool) -> Result<bool, HubError> {
        let client = client.into();
        let home = client.clone();
        self.call_home(&home, move |shard| shard.unregister(&client, end_streams)).await
    }

    /// Replaces what the application knows of a client; false when it is not registered.
    ///
    /// # Errors
    ///
    /// [`HubError::Closed`].
    pub async fn set_metadata<T: std::any::Any + Send + Sync>(
        &self,
        client: impl Into<ClientRef>,
        metadata: T,
    ) -> Result<bool, HubError> {
        let client = client.into();
        let home = client.clone();
        self.call_home(&home, move |shard| shard.set_metadata(&client, Arc::new(metadata))).await
    }

    /// A client listens to `topic` from the next event on. True unless it did already.
    ///
    /// # Errors
    ///
    /// [`HubError`]: the client is not registered, the topic cannot be one, or a limit is reached.
    pub async fn listen(&self, client: impl Into<ClientRef>, topic: &str) -> Result<bool, HubError> {
        let (client, topic) = (client.into(), topic.to_owned());
        let home = client.clone();
        let listen = move |shard: &mut Shard| {
            let key = shard.engine.find(&client.group, &client.id).ok_or(HubError::UnknownClient)?;
            Ok(shard.engine.listen(shard.now(), key, &topic)?)
        };
        self.call_home(&home, listen).await?
    }

    /// A client listens to `topic` no longer. True if it did.
    ///
    /// # Errors
    ///
    /// [`HubError::UnknownClient`] when it is not registered.
    pub async fn unlisten(&self, client: impl Into<ClientRef>, topic: &str) -> Result<bool, HubError> {
        let (client, topic) = (client.into(), topic.to_owned());
        let home = client.clone();
        let unlisten = move |shard: &mut Shard| {
            let key = shard.engine.find(&client.group, &client.id).ok_or(HubError::UnknownClient)?;
            let listened = shard.engine.unlisten(shard.now(), key, &topic);
            listened.map_err(|Stale| HubError::UnknownClient)
        };
        self.call_home(&home, unlisten).await?
    }

    /// Publishes an event. When this returns, every shard concerned has it in its log.
    ///
    /// # Errors
    ///
    /// [`HubError`]: the target is not known or cannot be one, the event is too large, or the hub is closed.
    pub async fn publish(&self, target: Target, event: Event) -> Result<EventId, HubError> {
        self.check_event(&target, &event)?;
        let kind = target_label(&target);
        let published = self.publish_frame(target, event.encode()?).await;
        match &published {
            Ok(_) => self.inner.metrics.published.of(kind).inc(),
            Err(error) => self.inner.metrics.publish_errors.of(error_label(error)).inc(),
        };
        published
    }

    /// Whether [`publish`](Self::publish) would take the event, as far as can be told without asking the shards.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    pub fn check_event(&self, target: &Target, event: &Event) -> Result<(), HubError> {
        let limits = &self.inner.config.engine.limits;
        if self.inner.closed.load(Ordering::Acquire) {
            return Err(HubError::Closed);
        }
        match target {
            Target::All | Target::Stream(_) => {}
            Target::Group(group) if group.is_empty() => {}
            Target::Group(group) => error::topic("group", group, limits.name_bytes)?,
            Target::Topic(topic) => error::topic("topic", topic, limits.topic_bytes)?,
            Target::UserName(name) => error::name("name", name, limits.name_bytes)?,
            Target::Client(client) => error::name("client", &client.id, limits.name_bytes)?,
        }
        if event.own_id().is_some_and(|id| id.len() > sse_proto::MAX_EVENT_ID) {
            return Err(PublishError::IdTooLong.into());
        }
        if !fits(&event.encode()?, limits.frame_bytes) {
            let limit = limits.frame_bytes as usize;
            return Err(HubError::TooLarge { limit });
        }
        Ok(())
    }

    /// Publishes an event to the clients for whom `chosen` holds, which is asked with the client, its user name and what the
    /// application knows of it. A `chosen` that panics does not choose.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    pub async fn publish_where<F>(&self, chosen: F, event: Event) -> Result<EventId, HubError>
    where
        F: Fn(&ClientRef, &str, Option<&Metadata>) -> bool + Send + Sync + 'static,
    {
        self.check_event(&Target::All, &event)?;
        let (chosen, frame) = (Arc::new(chosen), event.encode()?);
        let publish = move |shard: &mut Shard, sequence: u64| {
            let clients = shard.choose(|client, name, metadata| {
                catch_unwind(AssertUnwindSafe(|| chosen(client, name, metadata))).unwrap_or(false)
            });
            if clients.is_empty() {
                return Ok(());
            }
            let target = sse_proto::Target::Clients(&clients);
            shard.engine.publish_at(shard.now(), sequence, target, &frame).map(|_| ())
        };
        let (sequence, results) = self.sequenced(self.all_shards(), publish).await?;
        results.into_iter().collect::<Result<(), _>>()?;
        self.inner.metrics.published.of(metrics::TargetKind::Chosen).inc();
        Ok(self.event_id(sequence))
    }

    /// Tells all who listen to `key`, as system M does: `notify^KEY`.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    pub async fn notify_listeners(&self, key: &str) -> Result<EventId, HubError> {
        error::topic("key", key, self.inner.config.engine.limits.topic_bytes)?;
        let frame = notification(key, self.inner.config.bare_payloads);
        self.publish_frame(Target::topic(key), frame).await
    }

    /// Tells those who listen to `key` and have one of these user names.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    pub async fn notify_listeners_named(&self, key: &str, user_names: &[&str]) -> Result<EventId, HubError> {
        error::topic("key", key, self.inner.config.engine.limits.topic_bytes)?;
        let frame = notification(key, self.inner.config.bare_payloads);
        let key = key.to_owned();
        let names: Arc<[String]> = user_names.iter().map(|&name| name.to_owned()).collect();
        let publish = move |shard: &mut Shard, sequence: u64| {
            let engine = &shard.engine;
            let named = |key: &_| engine.client_info(*key).is_some_and(|info| names.iter().any(|name| name == info.user_name));
            let clients: Vec<_> = engine.listeners(&key).filter(named).collect();
            let target = sse_proto::Target::Clients(&clients);
            shard.engine.publish_at(shard.now(), sequence, target, &frame).map(|_| ())
        };
        let (sequence, results) = self.sequenced(self.all_shards(), publish).await?;
        results.into_iter().collect::<Result<(), _>>()?;
        Ok(self.event_id(sequence))
    }

    /// Sends the one frame of system M's `trigger-adhoc` to a client.
    ///
    /// # Errors
    ///
    /// [`HubError::UnknownClient`] when it is not registered.
    pub async fn notify_ad_hoc(&self, client: impl Into<ClientRef>) -> Result<EventId, HubError> {
        let client = client.into();
        let payload = Payload::Completed { timestamp: self.inner.clock.now(), id: &client.id, task: "ad-hoc", failure: None };
        let bare = self.inner.config.bare_payloads;
        let frame = if bare { share(&Payload::Bare("ad-hoc")) } else { share(&payload) };
        self.publish_frame(Target::Client(client), frame).await
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

    /// What the application knows of a client.
    pub async fn metadata(&self, client: impl Into<ClientRef>) -> Option<Metadata> {
        let client = client.into();
        let home = client.clone();
        let known = move |shard: &mut Shard| {
            let key = shard.engine.find(&client.group, &client.id)?;
            shard.known(key)?.1
        };
        self.call_home(&home, known).await.ok().flatten()
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

    async fn publish_frame(&self, target: Target, frame: SharedFrame) -> Result<EventId, HubError> {
        let shards = match &target {
            Target::Client(client) => single(self.shard_of(client)),
            Target::Stream(stream) => single(stream.shard),
            _ => self.all_shards(),
        };
        let unknown = if matches!(target, Target::Stream(_)) { HubError::UnknownStream } else { HubError::UnknownClient };
        let target = Arc::new(target);
        let publish = move |shard: &mut Shard, sequence: u64| {
            let target = match &*target {
                Target::All => sse_proto::Target::All,
                Target::Topic(topic) => sse_proto::Target::Topic(topic),
                Target::Group(group) => sse_proto::Target::Group(group),
                Target::UserName(name) => sse_proto::Target::UserName(name),
                Target::Stream(stream) => sse_proto::Target::Connection(stream.conn),
                Target::Client(client) => {
                    let found = shard.engine.find(&client.group, &client.id);
                    sse_proto::Target::Client(found.ok_or(PublishError::UnknownTarget)?)
                }
            };
            shard.engine.publish_at(shard.now(), sequence, target, &frame).map(|_| ())
        };
        let (sequence, results) = self.sequenced(shards, publish).await?;
        for result in results {
            result.map_err(|error| match error {
                PublishError::UnknownTarget => unknown.clone(),
                other => other.into(),
            })?;
        }
        Ok(self.event_id(sequence))
    }

    /// Runs `operation` on `shards` under the next sequence number; every shard sees numbers rise.
    async fn sequenced<T, F>(&self, shards: std::ops::Range<usize>, operation: F) -> Result<(u64, Vec<T>), HubError>
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
        let sequence = self.inner.sequencer.next(|sequence| {
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
        self.call(self.shard_of(client), operation).await
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

    fn shard_of(&self, client: &ClientRef) -> usize {
        (self.inner.route.hash_one(client) % self.inner.shards.len() as u64) as usize
    }

    fn all_shards(&self) -> std::ops::Range<usize> {
        0..self.inner.shards.len()
    }

    fn event_id(&self, sequence: u64) -> EventId {
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

    fn take_place(&self) -> Result<Place, HubError> {
        let limit = self.inner.config.engine.limits.connections as usize;
        let one_more = |taken| (taken < limit).then_some(taken + 1);
        let seats = &self.inner.seats;
        match seats.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more) {
            Ok(_) => Ok(Place(seats.clone())),
            Err(_) => Err(HubError::Full("connections")),
        }
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

fn single(shard: usize) -> std::ops::Range<usize> {
    shard..shard + 1
}

fn id_for(name: &str, form: IdForm, entropy: &[u8; 32]) -> String {
    let mut suffix = vec![0; form.suffix_len()];
    form.write_suffix(entropy, 0, &mut suffix);
    format!("{name}_{}", String::from_utf8_lossy(&suffix))
}

fn target_label(target: &Target) -> metrics::TargetKind {
    match target {
        Target::All => metrics::TargetKind::All,
        Target::Topic(_) => metrics::TargetKind::Topic,
        Target::Group(_) => metrics::TargetKind::Group,
        Target::UserName(_) => metrics::TargetKind::Name,
        Target::Client(_) => metrics::TargetKind::Client,
        Target::Stream(_) => metrics::TargetKind::Connection,
    }
}

fn error_label(error: &HubError) -> metrics::PublishError {
    match error {
        HubError::TooLarge { .. } | HubError::TooLong { .. } => metrics::PublishError::TooLarge,
        HubError::UnknownClient | HubError::UnknownStream => metrics::PublishError::UnknownTarget,
        HubError::Closed | HubError::ShuttingDown | HubError::Broken | HubError::Busy | HubError::Full(_) => {
            metrics::PublishError::Unavailable
        }
        _ => metrics::PublishError::Malformed,
    }
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
