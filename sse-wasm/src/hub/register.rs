//! Who receives events: ids, registration, topics, and looking around.

use alloc::vec::Vec;

use sse_proto::{ClientId, ClientKey, Dialect, GapReason, Greeting, IdForm, Instant, Registration, Resume};

use super::{Hub, Member, handle, truth};
use crate::error::{self, Failure, What};
use crate::hub::record::Writer;
use crate::record::Reader;

/// Bits of what [`Hub::register`] takes as `how`.
const GREET_REGISTERED: u32 = 1;
const GREET_NOTHING: u32 = 2;
const GREET_SILENTLY: u32 = GREET_REGISTERED | GREET_NOTHING;
const DIALECT_MANAGER: u32 = 4;
const REPLACE: u32 = 8;
const PASSING: u32 = 16;

impl Hub {
    pub(super) fn allocate_id(&mut self, now: Instant, record: &mut Reader<'_>, answer: &mut Writer) -> Result<(), Failure> {
        let (group, name, entropy) = (record.text()?, record.text()?, record.bytes()?);
        let limit = self.engine.config().limits.name_bytes;
        if !group.is_empty() {
            error::topic("group", group, limit)?;
        }
        answer.text(&self.engine.allocate_id(now, group, name, random(entropy)?)?);
        Ok(())
    }

    /// It cannot be guessed, so it need not be reserved; without a name it is only unlike others.
    pub(super) fn new_id(&self, record: &mut Reader<'_>, answer: &mut Writer) -> Result<(), Failure> {
        let (name, entropy) = (record.text_or_none()?, record.bytes()?);
        let (first, second) = entropy.split_at_checked(32).unwrap_or_default();
        let mut id = Vec::new();
        match name {
            Some(name) => {
                error::name("name", name, self.engine.config().limits.name_bytes)?;
                id.extend_from_slice(name.as_bytes());
            }
            None => {
                id.extend_from_slice(b"anonymous-");
                push_suffix(&mut id, IdForm::Short, random(second)?);
            }
        }
        id.push(b'_');
        push_suffix(&mut id, IdForm::Secure, random(first)?);
        answer.bytes(&id);
        Ok(())
    }

    /// Group, id, a `Last-Event-ID` or `earliest` or none, how, and topics. `how` is made of bits: 1 greets as system M, 2 greets with
    /// nothing but a position, both do not greet, 4 tells of tasks as system M, 8 ends the client's other streams, 16 forgets the client
    /// with its last stream. The answer is why the stream does not start where it was asked to, or empty, and whether the client was known.
    pub(super) fn register(&mut self, now: Instant, record: &mut Reader<'_>, answer: &mut Writer) -> Result<f64, Failure> {
        let (group, id, resume, how) = (record.text()?, record.text()?, record.text_or_none()?, record.float()? as u32);
        let topics = record.texts_or_none()?.unwrap_or_default();
        let registration = Registration {
            id: ClientId::new(id).map_err(|error| error::name_error("id", error))?,
            group,
            topics: &topics,
            resume: match resume {
                None => Resume::Live,
                Some("earliest") => Resume::Earliest,
                Some(id) => Resume::After(id),
            },
            greeting: match how & GREET_SILENTLY {
                GREET_REGISTERED => Greeting::Registered,
                GREET_NOTHING => Greeting::Position,
                GREET_SILENTLY => Greeting::Silent,
                _ => Greeting::Connected,
            },
            dialect: if how & DIALECT_MANAGER > 0 { Dialect::Manager } else { Dialect::Named },
            replace: how & REPLACE > 0,
            passing: how & PASSING > 0,
        };
        let registered = self.engine.register(now, &registration)?;
        if !registered.returning {
            self.newcomers += 1;
            self.join(registered.client, self.newcomers, self.engine.last_event_id().sequence, group, id);
        }
        self.touch(registered.client);
        answer.text(registered.gap.map_or("", GapReason::name));
        answer.number(u64::from(registered.returning));
        Ok(handle(registered.conn) as f64)
    }

    pub(super) fn unregister(&mut self, now: Instant, end_streams: bool, record: &mut Reader<'_>) -> Result<f64, Failure> {
        let Some(key) = self.engine.find(record.text()?, record.text()?) else {
            return Ok(0.0);
        };
        self.touch(key);
        Ok(truth(self.engine.unregister(now, key, end_streams).is_ok()))
    }

    pub(super) fn clear(&mut self, now: Instant, end_streams: bool) {
        self.engine.clear(now, end_streams);
        self.unkept.clear();
    }

    pub(super) fn listen(&mut self, now: Instant, record: &mut Reader<'_>) -> Result<f64, Failure> {
        let key = self.client(record.text()?, record.text()?)?;
        self.touch(key);
        Ok(truth(self.engine.listen(now, key, record.text()?)?))
    }

    pub(super) fn unlisten(&mut self, now: Instant, record: &mut Reader<'_>) -> Result<f64, Failure> {
        let key = self.client(record.text()?, record.text()?)?;
        self.touch(key);
        Ok(truth(self.engine.unlisten(now, key, record.text()?).map_err(|_| error::unknown_client())?))
    }

    /// The registered clients, in no particular order: how many, and of each the group, id, user name, the how-manieth it was to register,
    /// time of the last registration, number of streams, and its topics.
    pub(super) fn clients(&self, answer: &mut Writer) -> f64 {
        let mut count = 0;
        for info in self.engine.clients() {
            count += 1;
            for text in [info.group, info.id, info.user_name] {
                answer.text(text);
            }
            let ordinal = self.member(info.key).map_or(0, |member| member.ordinal);
            for number in [ordinal, info.registered.as_millis(), u64::from(info.connections)] {
                answer.number(number);
            }
            answer.list(self.engine.topics(info.key), Writer::text);
        }
        f64::from(count)
    }

    pub(super) fn streams(&self, record: &mut Reader<'_>, answer: &mut Writer) -> Result<f64, Failure> {
        let mut count = 0;
        if let Some(key) = self.engine.find(record.text()?, record.text()?) {
            for conn in self.engine.connections(key) {
                count += 1;
                answer.number(handle(conn));
            }
        }
        Ok(f64::from(count))
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

fn push_suffix(id: &mut Vec<u8>, form: IdForm, entropy: &[u8; 32]) {
    let at = id.len();
    id.resize(at + form.suffix_len(), 0);
    form.write_suffix(entropy, 0, &mut id[at..]);
}

fn random(entropy: &[u8]) -> Result<&[u8; 32], Failure> {
    entropy.first_chunk().ok_or_else(|| Failure::new(What::NoEntropy))
}
