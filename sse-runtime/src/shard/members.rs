//! Who has a connection here, and what the application knows of whom.

use std::any::Any;
use std::sync::Arc;

use mio::Interest;
use sse_proto::{ClientId, ClientKey, ConnId, Dialect, Greeting, RegisterError, Registered, Registration, Resume};

use super::mailbox::Mailbox;
use super::outlet::{Body, Outlet, Socket};
use super::writing::gap_label;
use super::{Seat, Shard, Source};
use crate::event::ClientRef;
use crate::hub::{HubEvent, Place, StartAt, StreamAbort};
use crate::telemetry::short;

/// What the engine does not know of a client.
pub(super) struct Member {
    pub(super) key: ClientKey,
    pub(super) client: ClientRef,
    ordinal: u64,
    metadata: Option<Metadata>,
}

/// What an application knows of a client.
pub(crate) type Metadata = Arc<dyn Any + Send + Sync>;

/// A registration as the hub passes it on.
pub(crate) struct Admission {
    /// Under the limit of connections; given back when the connection is gone from the engine.
    pub(crate) place: Place,
    pub(crate) client: ClientRef,
    pub(crate) topics: Vec<String>,
    pub(crate) start: StartAt,
    pub(crate) greeting: Greeting,
    pub(crate) dialect: Dialect,
    pub(crate) replace: bool,
    pub(crate) passing: bool,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) ordinal: u64,
    /// The last sequence number the hub gave out.
    pub(crate) sequence: u64,
}

/// What came of it.
pub(crate) struct Admitted {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) conn: ConnId,
    pub(crate) returning: bool,
}

impl Shard {
    /// Registers a connection whose bytes go into the mailbox of a body.
    pub(crate) fn register(&mut self, admission: Admission, abort: Option<StreamAbort>) -> Result<Admitted, RegisterError> {
        let registered = self.admit(&admission)?;
        let mailbox = Arc::new(Mailbox::new(registered.conn, self.returns.clone()));
        let outlet = Outlet::Body(Body { mailbox: mailbox.clone(), in_flight: false, abort });
        self.seat(&registered, admission, outlet);
        Ok(Admitted { mailbox, conn: registered.conn, returning: registered.returning })
    }

    /// Registers a connection whose bytes go into `socket`, or gives it back.
    pub(crate) fn register_socket(&mut self, admission: Admission, mut socket: Socket) -> Result<(), Socket> {
        let Ok(registered) = self.admit(&admission) else {
            self.unwatch(&mut socket);
            return Err(socket);
        };
        let conn = registered.conn;
        let source = Source::Stream(conn.slot() as u32);
        let watched = match socket.watch {
            // What comes is told of as before, and means the stream.
            Some(watch) => {
                self.sources[watch.index()] = source;
                Ok(())
            }
            None => self.watch(&mut socket.stream, source, Interest::READABLE).map(|watch| socket.watch = Some(watch)),
        };
        self.seat(&registered, admission, Outlet::Socket(socket));
        if let Err(error) = watched {
            tracing::error!(%error, "the kernel does not watch a socket; its connection ends");
            self.disconnect(conn);
        }
        Ok(())
    }

    fn admit(&mut self, admission: &Admission) -> Result<Registered, RegisterError> {
        self.engine.observe_sequence(admission.sequence);
        let topics: Vec<&str> = admission.topics.iter().map(String::as_str).collect();
        let ClientRef { group, id } = &admission.client;
        let registration = Registration {
            id: ClientId::new(id).map_err(RegisterError::Group)?,
            group,
            topics: &topics,
            resume: match &admission.start {
                StartAt::Live => Resume::Live,
                StartAt::Earliest => Resume::Earliest,
                StartAt::After(id) => Resume::After(id),
            },
            greeting: admission.greeting,
            dialect: admission.dialect,
            replace: admission.replace,
            passing: admission.passing,
        };
        let registered = self.engine.register(self.turn, &registration)?;
        topics.iter().for_each(|topic| self.listened(topic));
        Ok(registered)
    }

    fn seat(&mut self, registered: &Registered, admission: Admission, outlet: Outlet) {
        put(&mut self.seats, registered.conn.slot(), Seat { conn: registered.conn, outlet, _place: admission.place });
        if !registered.returning {
            let member = Member {
                key: registered.client,
                client: admission.client.clone(),
                ordinal: admission.ordinal,
                metadata: admission.metadata,
            };
            put(&mut self.members, registered.client.slot(), member);
            self.shared.changes.happened();
        }
        if let Some(reason) = registered.gap {
            self.shared.metrics.gaps.of(gap_label(reason)).inc();
        }
        tracing::debug!(client = %short(&admission.client.id), returning = registered.returning, "registered");
        self.tell(HubEvent::Connected { client: admission.client, returning: registered.returning, gap: registered.gap });
    }

    /// Somebody listens to `topic` from now on.
    pub(crate) fn listened(&self, topic: &str) {
        self.shared.changes.listened(topic);
    }

    /// Gives up a client's id.
    pub(crate) fn unregister(&mut self, client: &ClientRef, end_streams: bool) -> bool {
        let Some(key) = self.engine.find(&client.group, &client.id) else {
            return false;
        };
        let now = self.now();
        let known = self.engine.unregister(now, key, end_streams).is_ok();
        // It stays known for as long as it has streams.
        if !self.engine.is_known(key) {
            self.forget(key);
        }
        self.shared.changes.happened();
        known
    }

    pub(crate) fn clear(&mut self, end_streams: bool) {
        let now = self.now();
        self.engine.clear(now, end_streams);
        for member in &mut self.members {
            if member.as_ref().is_some_and(|member| !self.engine.is_known(member.key)) {
                *member = None;
            }
        }
        self.shared.changes.happened();
    }

    /// The clients for whom `chosen` holds.
    pub(crate) fn choose(&self, mut chosen: impl FnMut(&ClientRef, &str, Option<&Metadata>) -> bool) -> Vec<ClientKey> {
        let clients = self.engine.clients();
        let chosen = clients.filter(|info| match self.member(info.key) {
            Some(member) => chosen(&member.client, info.user_name, member.metadata.as_ref()),
            None => false,
        });
        chosen.map(|info| info.key).collect()
    }

    pub(crate) fn set_metadata(&mut self, client: &ClientRef, metadata: Metadata) -> bool {
        let key = self.engine.find(&client.group, &client.id);
        let member = key.and_then(|key| self.members.get_mut(key.slot())?.as_mut().filter(|member| member.key == key));
        if let Some(member) = member {
            member.metadata = Some(metadata);
            return true;
        }
        false
    }

    /// When a client first registered, among all clients of the hub, and what the application knows of it.
    pub(crate) fn known(&self, key: ClientKey) -> Option<(u64, Option<Metadata>)> {
        self.member(key).map(|member| (member.ordinal, member.metadata.clone()))
    }

    pub(super) fn member(&self, key: ClientKey) -> Option<&Member> {
        self.members.get(key.slot())?.as_ref().filter(|member| member.key == key)
    }

    pub(super) fn forget(&mut self, client: ClientKey) -> Option<Member> {
        let member = self.members.get_mut(client.slot())?;
        if member.as_ref().is_some_and(|member| member.key == client) { member.take() } else { None }
    }
}

fn put<T>(table: &mut Vec<Option<T>>, slot: usize, value: T) {
    if table.len() <= slot {
        table.resize_with(slot + 1, || None);
    }
    table[slot] = Some(value);
}
