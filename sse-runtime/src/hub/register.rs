//! Who receives events: ids, registration, topics, what the application knows of a client.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sse_proto::{Dialect, Greeting, IdForm, Stale};
use tokio::sync::watch;
use tokio::time::Instant as Deadline;

use super::{Hub, HubError, Place, error};
use crate::event::{ClientRef, StreamId};
use crate::shard::{Admission, Metadata, Shard, Socket};
use crate::stream::EventStream;

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

    pub(crate) fn topics(mut self, topics: Vec<String>) -> Self {
        self.topics = topics;
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

impl Hub {
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
            random(&mut entropy)?;
            let wanted = id_for(name, self.inner.config.engine.id_form, &entropy);
            let shard = self.shard_of(group, &wanted);
            let (group, name) = (group.to_owned(), name.to_owned());
            let id = self.call(shard, move |shard| shard.engine.allocate_id(shard.now(), &group, &name, &entropy)).await??;
            // Had it been taken, the shard would have made another one, which may belong elsewhere.
            if *id == *wanted {
                return Ok(wanted);
            }
        }
    }

    /// An id for `name` that nobody else has: it cannot be guessed, so it need not be reserved.
    pub(crate) fn new_id(
        &self,
        name: &str,
        mut random: impl FnMut(&mut [u8]) -> Result<(), HubError>,
    ) -> Result<String, HubError> {
        error::name("name", name, self.inner.config.engine.limits.name_bytes)?;
        let mut entropy = [0; 32];
        random(&mut entropy)?;
        Ok(id_for(name, IdForm::Secure, &entropy))
    }

    /// An id for someone who gave no name, with a user name that nobody else has.
    pub(crate) fn new_nameless_id(mut random: impl FnMut(&mut [u8]) -> Result<(), HubError>) -> Result<Arc<str>, HubError> {
        const NAME: usize = "anonymous-".len();
        const SUFFIX: usize = NAME + IdForm::Short.suffix_len() + "_".len();
        let mut id = *b"anonymous-########_##########################";
        let mut entropy = [0; 32];
        random(&mut entropy[..IdForm::Short.suffix_len()])?;
        IdForm::Short.write_suffix(&entropy, 0, &mut id[NAME..SUFFIX - 1]);
        random(&mut entropy[..IdForm::Secure.suffix_len()])?;
        IdForm::Secure.write_suffix(&entropy, 0, &mut id[SUFFIX..]);
        // All of it is ASCII.
        Ok(str::from_utf8(&id).unwrap_or_default().into())
    }

    /// Opens a stream of events.
    ///
    /// The client is registered when this returns: what is published from then on is in the stream.
    ///
    /// # Errors
    ///
    /// [`HubError`]: a name cannot be one, a limit is reached, or the hub is closed.
    pub async fn register(&self, register: Register) -> Result<EventStream, HubError> {
        error::name("id", &register.client.id, self.inner.config.engine.limits.name_bytes)?;
        let abort = register.abort.clone();
        let admission = self.admission(register)?;
        let client = admission.client.clone();
        let shard = self.shard_of(&client.group, &client.id);
        // The stream is made on the shard: should the caller lose interest, dropping it tells the shard.
        let made = move |state: &mut Shard| {
            let admitted = state.register(admission, abort.clone())?;
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

    /// Registers a connection whose bytes the shard writes into `socket` itself. It is called on the thread of `shard`, which
    /// need not be the client's home. Who is not registered comes back through `refused`, on the thread of any shard.
    pub(crate) fn register_socket(
        &self,
        shard: &mut Shard,
        register: Register,
        mut socket: Socket,
        refused: impl FnOnce(Socket) + Send + 'static,
    ) {
        let Ok(admission) = self.admission(register) else {
            shard.unwatch(&mut socket);
            return refused(socket);
        };
        let home = self.shard_of(&admission.client.group, &admission.client.id);
        if home == shard.index && shard.queue_is_empty() {
            if let Err(socket) = shard.register_socket(admission, socket) {
                refused(socket);
            }
            return;
        }
        shard.unwatch(&mut socket);
        let handle = &self.inner.shards[home];
        let Ok(place) = handle.queue.try_reserve() else {
            return refused(socket);
        };
        place.send(Box::new(move |shard| {
            if let Err(socket) = shard.register_socket(admission, socket) {
                refused(socket);
            }
        }));
        handle.wake();
    }

    /// What a shard is told of a registration that may be.
    fn admission(&self, register: Register) -> Result<Admission, HubError> {
        self.check_open()?;
        Ok(Admission {
            place: self.take_place()?,
            client: register.client,
            topics: register.topics,
            start: register.start,
            greeting: register.greeting,
            dialect: register.dialect,
            replace: register.replace,
            passing: register.passing,
            metadata: register.metadata,
            ordinal: self.inner.ordinals.fetch_add(1, Ordering::Relaxed),
            // Read before it is asked whether the shard's queue is empty: what has these numbers is in it, or in its log.
            sequence: self.inner.sequencer.last(),
        })
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
            let is_new = shard.engine.listen(shard.now(), key, &topic)?;
            shard.listened(&topic);
            Ok(is_new)
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

fn id_for(name: &str, form: IdForm, entropy: &[u8; 32]) -> String {
    let mut suffix = [0; IdForm::Secure.suffix_len()];
    let suffix = &mut suffix[..form.suffix_len()];
    form.write_suffix(entropy, 0, suffix);
    let mut id = String::with_capacity(name.len() + "_".len() + suffix.len());
    id.push_str(name);
    id.push('_');
    // A suffix is ASCII.
    id.push_str(str::from_utf8(suffix).unwrap_or_default());
    id
}

/// Random bytes of the operating system's.
pub(crate) fn random(bytes: &mut [u8]) -> Result<(), HubError> {
    getrandom::fill(bytes).map_err(|_| HubError::NoEntropy)
}

/// The same, fetched ahead: one system call for many. It is for one thread, which a process that forks does not pass on; what was
/// given is wiped.
pub(crate) struct Entropy {
    bytes: [u8; 2048],
    left: usize,
}

impl Default for Entropy {
    fn default() -> Self {
        Self { bytes: [0; _], left: 0 }
    }
}

impl Entropy {
    /// Fills `out`, which is no longer than what is fetched at once.
    pub(crate) fn fill(&mut self, out: &mut [u8]) -> Result<(), HubError> {
        if self.left < out.len() {
            random(&mut self.bytes)?;
            self.left = self.bytes.len();
        }
        let rest = self.left - out.len();
        let given = &mut self.bytes[rest..self.left];
        out.copy_from_slice(given);
        given.fill(0);
        self.left = rest;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_random_byte_is_given_twice_or_kept() {
        let mut entropy = Entropy::default();
        let mut given = HashSet::new();
        // It is fetched anew several times, and never at the end of a piece.
        for _ in 0..500 {
            let mut bytes = [0; 26];
            entropy.fill(&mut bytes).unwrap();
            assert!(given.insert(bytes), "{bytes:?} were given twice");
            assert!(entropy.bytes[entropy.left..].iter().all(|byte| *byte == 0), "what was given is still there");
        }
    }

    #[test]
    fn an_id_for_nobody_is_one_with_a_user_name_of_its_own() {
        let [one, other] = [(); 2].map(|()| Hub::new_nameless_id(random).unwrap());
        let names = [&one, &other].map(|id| sse_proto::ClientId::new(id).unwrap().user_name());
        assert_ne!(names[0], names[1]);
        for name in names {
            let suffix = name.strip_prefix("anonymous-").unwrap();
            assert!(suffix.len() == 8 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{name}");
        }
        assert_eq!(one.len(), names[0].len() + "_".len() + IdForm::Secure.suffix_len());
    }
}
