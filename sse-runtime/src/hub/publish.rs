//! Publishing: to a target, to a chosen set, and in the words of system M.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sse_proto::manager::Payload;
use sse_proto::wire::{self, Encode, IdField};
use sse_proto::{EventId, Instant, PublishError};
use tokio::sync::mpsc;

use super::{Hub, HubError, error, single};
use crate::event::{ClientRef, Event, SharedFrame, Target, TargetRef, notification, share};
use crate::metrics;
use crate::shard::{Metadata, Shard, ShardHandle, fits};

impl Hub {
    /// Publishes an event. When this returns, every shard concerned has it in its log.
    ///
    /// # Errors
    ///
    /// [`HubError`]: the target is not known or cannot be one, the event is too large, or the hub is closed.
    pub async fn publish(&self, target: Target, event: Event) -> Result<EventId, HubError> {
        let publication = self.prepare(target, event.to_wire()?)?;
        let first = self.publish_batch([publication].into()).await.map_err(|(_, error)| error)?;
        Ok(self.event_id(first))
    }

    /// Publishes events in order, under consecutive numbers and with no other event between them; it costs each shard one command.
    /// Returns the number of each.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish), with the index of the event to blame. Nothing was published when it is an event that cannot
    /// be; when a target is not known or a table is full, the events before it were.
    pub async fn publish_all(
        &self,
        events: impl IntoIterator<Item = (Target, Event)>,
    ) -> Result<Vec<EventId>, (usize, HubError)> {
        let events = events.into_iter().enumerate();
        let prepare = |target, event: Event| self.prepare(target, event.to_wire()?);
        let prepared = events.map(|(index, (target, event))| prepare(target, event).map_err(|error| (index, error)));
        let batch: Arc<[Publication]> = prepared.collect::<Result<_, _>>()?;
        let count = batch.len() as u64;
        let first = self.publish_batch(batch).await?;
        Ok((first..first + count).map(|sequence| self.event_id(sequence)).collect())
    }

    /// Publishes an event without waiting for anybody: from a thread that must not block, or where an event is better left out than
    /// late. What only a shard can find out, such as that the client is not registered, is not told.
    ///
    /// # Errors
    ///
    /// [`HubError::Overloaded`] when the queue of a shard is full; else as [`publish`](Self::publish). Nothing was published.
    pub fn try_publish(&self, target: Target, event: Event) -> Result<EventId, HubError> {
        let batch: Arc<[Publication]> = [self.prepare(target, event.to_wire()?)?].into();
        let handles = &self.inner.shards[self.concerned(&batch)];
        let mut places = Vec::with_capacity(handles.len());
        for shard in handles {
            places.push(shard.queue.try_reserve().map_err(|error| match error {
                mpsc::error::TrySendError::Full(()) => HubError::Overloaded,
                mpsc::error::TrySendError::Closed(()) => self.gone(),
            })?);
        }
        let sequence = self.inner.sequencer.next(1, |sequence| {
            for place in places {
                let batch = batch.clone();
                // Nobody waits to be told.
                place.send(Box::new(move |shard| drop(shard.publish(sequence, &batch))));
            }
            sequence
        });
        handles.iter().for_each(ShardHandle::wake);
        self.count_published(&batch);
        Ok(self.event_id(sequence))
    }

    /// [Checks](Self::check) an event and encodes it.
    pub(crate) fn prepare(&self, target: Target, event: wire::Event<'_>) -> Result<Publication, HubError> {
        self.check(target.by_ref(), &event)?;
        let home = self.home(target.by_ref());
        Ok(Publication { target, home, frame: share(&event) })
    }

    /// Checks an event as far as can be told without asking the shards.
    pub(super) fn check(&self, target: TargetRef<'_>, event: &wire::Event<'_>) -> Result<(), HubError> {
        let limits = &self.inner.config.engine.limits;
        if self.inner.closed.load(Ordering::Acquire) {
            return Err(HubError::Closed);
        }
        match target {
            TargetRef::All | TargetRef::Stream(_) | TargetRef::Group("") => {}
            TargetRef::Group(group) => error::topic("group", group, limits.name_bytes)?,
            TargetRef::Topic(topic) => error::topic("topic", topic, limits.topic_bytes)?,
            TargetRef::UserName(name) => error::name("name", name, limits.name_bytes)?,
            TargetRef::Client { id, .. } => error::name("client", id, limits.name_bytes)?,
        }
        if event.id.is_some_and(|id| id.as_str().len() > sse_proto::MAX_EVENT_ID) {
            return Err(PublishError::IdTooLong.into());
        }
        if !fits(event, limits.frame_bytes) {
            return Err(HubError::TooLarge { limit: limits.frame_bytes as usize });
        }
        Ok(())
    }

    /// Publishes what was prepared; the first number.
    pub(crate) async fn publish_batch(&self, batch: Arc<[Publication]>) -> Result<u64, (usize, HubError)> {
        let parts = batch.clone();
        let publish = move |shard: &mut Shard, first: u64| shard.publish(first, &parts);
        let published = self.sequenced(self.concerned(&batch), batch.len(), publish).await;
        let (first, results) = published.map_err(|error| (0, error))?;
        results.into_iter().collect::<Result<(), _>>()?;
        self.count_published(&batch);
        Ok(first)
    }

    /// Counts what was published.
    pub(crate) fn count_published(&self, batch: &[Publication]) {
        for publication in batch {
            self.inner.metrics.published.of(target_label(publication.target.by_ref())).inc();
        }
    }

    /// The shards that some of `batch` is for.
    pub(super) fn concerned(&self, batch: &[Publication]) -> Range<usize> {
        match batch {
            [Publication { home: Some(home), .. }] => single(*home),
            _ => self.all_shards(),
        }
    }

    pub(super) fn home(&self, target: TargetRef<'_>) -> Option<usize> {
        match target {
            TargetRef::Client { group, id } => Some(self.shard_of(group, id)),
            TargetRef::Stream(stream) => Some(stream.shard),
            _ => None,
        }
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
        let frame = self.prepare(Target::All, event.to_wire()?)?.frame;
        let chosen = Arc::new(chosen);
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
        let (sequence, results) = self.sequenced(self.all_shards(), 1, publish).await?;
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
        let (sequence, results) = self.sequenced(self.all_shards(), 1, publish).await?;
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

    async fn publish_frame(&self, target: Target, frame: SharedFrame) -> Result<EventId, HubError> {
        let home = self.home(target.by_ref());
        let batch = [Publication { target, home, frame }].into();
        let first = self.publish_batch(batch).await.map_err(|(_, error)| error)?;
        Ok(self.event_id(first))
    }
}

/// An event that was checked and encoded, and whom it is for.
pub(crate) struct Publication {
    target: Target,
    /// The only shard that it concerns, if it does not concern all.
    home: Option<usize>,
    frame: SharedFrame,
}

impl Publication {
    /// The id that the event brought itself.
    pub(crate) fn own_id(&self) -> Option<&str> {
        self.frame.id().map(IdField::as_str)
    }

    /// Whom it is for, when that is one client, who may not be registered.
    pub(crate) fn client(&self) -> Option<&ClientRef> {
        match &self.target {
            Target::Client(client) => Some(client),
            _ => None,
        }
    }
}

impl Shard {
    /// Publishes what of `batch` is for this shard, under numbers from `first` on; stops at the first event that cannot be.
    pub(super) fn publish(&mut self, first: u64, batch: &[Publication]) -> Result<(), (usize, HubError)> {
        let now = self.now();
        for (index, Publication { target, home, frame }) in batch.iter().enumerate() {
            if home.is_some_and(|home| home != self.index) {
                continue;
            }
            self.publish_one(now, first + index as u64, target.by_ref(), frame).map_err(|error| (index, error))?;
        }
        Ok(())
    }

    pub(super) fn publish_one(
        &mut self,
        now: Instant,
        number: u64,
        target: TargetRef<'_>,
        event: &impl Encode,
    ) -> Result<(), HubError> {
        let target = match target {
            TargetRef::All => sse_proto::Target::All,
            TargetRef::Topic(topic) => sse_proto::Target::Topic(topic),
            TargetRef::Group(group) => sse_proto::Target::Group(group),
            TargetRef::UserName(name) => sse_proto::Target::UserName(name),
            TargetRef::Stream(stream) => sse_proto::Target::Connection(stream.conn),
            TargetRef::Client { group, id } => {
                sse_proto::Target::Client(self.engine.find(group, id).ok_or(HubError::UnknownClient)?)
            }
        };
        self.engine.publish_at(now, number, target, event).map(drop).map_err(|error| match error {
            PublishError::UnknownTarget => HubError::UnknownStream,
            other => other.into(),
        })
    }
}

pub(super) fn target_label(target: TargetRef<'_>) -> metrics::TargetKind {
    match target {
        TargetRef::All => metrics::TargetKind::All,
        TargetRef::Topic(_) => metrics::TargetKind::Topic,
        TargetRef::Group(_) => metrics::TargetKind::Group,
        TargetRef::UserName(_) => metrics::TargetKind::Name,
        TargetRef::Client { .. } => metrics::TargetKind::Client,
        TargetRef::Stream(_) => metrics::TargetKind::Connection,
    }
}
