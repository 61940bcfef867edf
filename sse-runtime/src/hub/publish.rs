//! Publishing: to a target, to a chosen set, and in the words of system M.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sse_proto::manager::Payload;
use sse_proto::{EventId, PublishError};

use super::{Hub, HubError, error, single};
use crate::event::{ClientRef, Event, SharedFrame, Target, notification, share};
use crate::metrics;
use crate::shard::{Metadata, Shard, fits};

impl Hub {
    /// Publishes an event. When this returns, every shard concerned has it in its log.
    ///
    /// # Errors
    ///
    /// [`HubError`]: the target is not known or cannot be one, the event is too large, or the hub is closed.
    pub async fn publish(&self, target: Target, event: Event) -> Result<EventId, HubError> {
        self.check_event(&target, &event)?;
        let kind = target_label(&target);
        let published = self.publish_frame(target, event.encode()?).await;
        if published.is_ok() {
            self.inner.metrics.published.of(kind).inc();
        }
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
