//! Who receives events: ids, registration, topics, and looking around.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use sse_proto::{ClientId, ClientKey, Dialect, Greeting, IdForm, Registration, Resume};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::{Hub, Member, Said, conn_id, gap_reason, handle, instant};
use crate::error::{self, Failure};

/// Bits of what [`Hub::register`] takes as `how`.
const GREET_REGISTERED: u32 = 1;
const GREET_NOTHING: u32 = 2;
const GREET_SILENTLY: u32 = GREET_REGISTERED | GREET_NOTHING;
const DIALECT_MANAGER: u32 = 4;
const REPLACE: u32 = 8;
const PASSING: u32 = 16;

#[wasm_bindgen]
impl Hub {
    /// Reserves an id for `name` in `group`, made of 32 random bytes.
    ///
    /// # Errors
    ///
    /// The name cannot be one, or a limit is reached.
    #[wasm_bindgen(js_name = allocateId)]
    pub fn allocate_id(&mut self, now: f64, group: &str, name: &str, entropy: &[u8]) -> Result<String, JsValue> {
        let limit = self.engine.config().limits.name_bytes;
        error::name("name", name, limit)?;
        if !group.is_empty() {
            error::topic("group", group, limit)?;
        }
        let allocated = self.engine.allocate_id(instant(now), group, name, random(entropy)?);
        Ok(allocated.map_err(Failure::from)?.into())
    }

    /// An id for `name` that nobody else has: it cannot be guessed, so it need not be reserved. Without a name, one that
    /// nobody else has. `entropy` is 64 random bytes.
    ///
    /// # Errors
    ///
    /// The name cannot be one.
    #[wasm_bindgen(js_name = newId)]
    pub fn new_id(&self, name: Option<String>, entropy: &[u8]) -> Result<String, JsValue> {
        let (first, second) = entropy.split_at_checked(32).unwrap_or_default();
        let name = match name {
            Some(name) => name,
            None => id_for("anonymous", IdForm::Short, random(second)?).replace('_', "-"),
        };
        error::name("name", &name, self.engine.config().limits.name_bytes)?;
        Ok(id_for(&name, IdForm::Secure, random(first)?))
    }

    /// Opens a stream and returns its number. `resume` is a `Last-Event-ID`, or `earliest`; `how` is made of bits: 1 greets as
    /// system M, 2 greets with nothing but a position, both do not greet, 4 tells of tasks as system M, 8 ends the client's other
    /// streams, 16 forgets the client with its last stream. `saidReason` is why the stream does not start where it was asked to, or empty.
    ///
    /// # Errors
    ///
    /// A name cannot be one, a limit is reached, or the hub shuts down.
    #[expect(clippy::needless_pass_by_value, reason = "what wasm-bindgen converts to")]
    pub fn register(
        &mut self,
        now: f64,
        group: &str,
        id: &str,
        topics: Vec<String>,
        resume: Option<String>,
        how: u32,
    ) -> Result<f64, JsValue> {
        error::name("id", id, self.engine.config().limits.name_bytes)?;
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let registration = Registration {
            id: ClientId::new(id).map_err(|error| error::name_error("id", error))?,
            group,
            topics: &topics,
            resume: match resume.as_deref() {
                None => Resume::Live,
                Some("earliest") => Resume::Earliest,
                Some(id) => Resume::After(id),
            },
            greeting: match how & (GREET_REGISTERED | GREET_NOTHING) {
                GREET_REGISTERED => Greeting::Registered,
                GREET_NOTHING => Greeting::Position,
                GREET_SILENTLY => Greeting::Silent,
                _ => Greeting::Connected,
            },
            dialect: if how & DIALECT_MANAGER > 0 { Dialect::Manager } else { Dialect::Named },
            replace: how & REPLACE > 0,
            passing: how & PASSING > 0,
        };
        let registered = self.engine.register(instant(now), &registration).map_err(Failure::from)?;
        if !registered.returning {
            self.newcomers += 1;
            self.join(registered.client, self.newcomers, self.engine.last_event_id().sequence, group, id);
        }
        self.touch(registered.client);
        let conn = handle(registered.conn);
        let reason = registered.gap.map_or("", gap_reason);
        self.said = Said { conn, reason, returning: registered.returning, ..Said::default() };
        Ok(conn)
    }

    /// Whether a client is registered.
    #[wasm_bindgen(js_name = isRegistered)]
    pub fn is_registered(&self, group: &str, id: &str) -> bool {
        self.engine.find(group, id).is_some()
    }

    /// Gives up a client; true if it was registered.
    pub fn unregister(&mut self, now: f64, group: &str, id: &str, end_streams: bool) -> bool {
        let Some(key) = self.engine.find(group, id) else {
            return false;
        };
        self.touch(key);
        self.engine.unregister(instant(now), key, end_streams).is_ok()
    }

    /// Gives up every client.
    pub fn clear(&mut self, now: f64, end_streams: bool) {
        self.engine.clear(instant(now), end_streams);
        self.unkept.clear();
    }

    /// A client listens to a topic; true unless it did already.
    ///
    /// # Errors
    ///
    /// The client is not registered, the topic cannot be one, or a limit is reached.
    pub fn listen(&mut self, now: f64, group: &str, id: &str, topic: &str) -> Result<bool, JsValue> {
        let key = self.client(group, id)?;
        self.touch(key);
        Ok(self.engine.listen(instant(now), key, topic).map_err(Failure::from)?)
    }

    /// A client listens to a topic no longer; true if it did.
    ///
    /// # Errors
    ///
    /// `unknown-client`.
    pub fn unlisten(&mut self, now: f64, group: &str, id: &str, topic: &str) -> Result<bool, JsValue> {
        let key = self.client(group, id)?;
        self.touch(key);
        Ok(self.engine.unlisten(instant(now), key, topic).map_err(|_| error::unknown_client())?)
    }

    /// The registered clients, in no particular order: group, id, user name, the how-manieth it was to register, time of the last
    /// registration, number of streams, number of topics, and the topics, of each.
    pub fn clients(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for info in self.engine.clients() {
            let ordinal = self.member(info.key).map_or(0, |member| member.ordinal);
            let topics: Vec<_> = self.engine.topics(info.key).map(String::from).collect();
            let numbers = [ordinal, info.registered.as_millis(), u64::from(info.connections), topics.len() as u64];
            rows.extend([info.group, info.id, info.user_name].map(String::from));
            rows.extend(numbers.map(|number| number.to_string()));
            rows.extend(topics);
        }
        rows
    }

    /// The open streams of a client, in the order they came.
    pub fn streams(&self, group: &str, id: &str) -> Vec<f64> {
        let key = self.engine.find(group, id);
        key.map_or_else(Vec::new, |key| self.engine.connections(key).map(handle).collect())
    }

    /// Whether a stream is open.
    #[wasm_bindgen(js_name = isOpen)]
    pub fn is_open(&self, conn: f64) -> bool {
        self.engine.client_of(conn_id(conn)).is_ok()
    }
}

impl Hub {
    pub(super) fn client(&self, group: &str, id: &str) -> Result<ClientKey, Failure> {
        self.engine.find(group, id).ok_or_else(error::unknown_client)
    }

    /// `client` is the `ordinal`th that came, after the event `born`.
    pub(super) fn join(&mut self, key: ClientKey, ordinal: u64, born: u64, group: &str, id: &str) {
        if self.members.len() <= key.slot() {
            self.members.resize_with(key.slot() + 1, || None);
        }
        self.members[key.slot()] = Some(Member { key, group: group.into(), id: id.into(), ordinal, born, is_unkept: false });
    }

    pub(super) fn member(&self, client: ClientKey) -> Option<&Member> {
        self.members.get(client.slot())?.as_ref().filter(|member| member.key == client)
    }
}

fn id_for(name: &str, form: IdForm, entropy: &[u8; 32]) -> String {
    let mut suffix = vec![0; form.suffix_len()];
    form.write_suffix(entropy, 0, &mut suffix);
    format!("{name}_{}", String::from_utf8_lossy(&suffix))
}

fn random(entropy: &[u8]) -> Result<&[u8; 32], Failure> {
    entropy.first_chunk().ok_or_else(|| Failure::new("no-entropy", "", "the host gave no random bytes"))
}
