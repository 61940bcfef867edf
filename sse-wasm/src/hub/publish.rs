//! Publishing: events are checked and encoded one by one, then published together.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use sse_proto::manager::Payload;
use sse_proto::wire::Encode;
use sse_proto::{ClientKey, Instant, MAX_EVENT_ID, PublishError, Target};

use super::{Hub, conn_id};
use crate::encode::Encoded;
use crate::error::{self, Failure, What};
use crate::record::Reader;

/// An event that was checked and encoded, and whom it is for.
pub(super) struct Publication {
    to: u32,
    name: String,
    group: String,
    conns: Vec<f64>,
    event: Encoded,
}

/// Whom a publication is for, in the order of `KINDS` in `js/engine.js`.
const ALL: u32 = 0;
const TOPIC: u32 = 1;
const GROUP: u32 = 2;
const USER_NAME: u32 = 3;
const CLIENT: u32 = 4;
const STREAMS: u32 = 5;

impl Hub {
    /// The kind of target, name, group, streams, and the event. Of the name it is said by the kind what it is; a client has a group, too.
    pub(super) fn prepare(&mut self, record: &mut Reader<'_>) -> Result<(), Failure> {
        let (to, name, group) = (record.float()? as u32, record.text()?, record.text()?);
        let mut conns = Vec::new();
        for _ in 0..record.number()? {
            conns.push(record.float()?);
        }
        let limits = &self.engine.config().limits;
        match to {
            ALL | STREAMS => {}
            TOPIC => error::topic("topic", name, limits.topic_bytes)?,
            GROUP if name.is_empty() => {}
            GROUP => error::topic("group", name, limits.name_bytes)?,
            _ => error::name(if to == USER_NAME { "name" } else { "client" }, name, limits.name_bytes)?,
        }
        let event = Encoded::read(record)?;
        if event.id().is_some_and(|id| id.as_str().len() > MAX_EVENT_ID) {
            return Err(PublishError::IdTooLong.into());
        }
        let limit = limits.frame_bytes as usize;
        // The longest number of the hub's own takes 34 bytes.
        if event.encoded_len() + 34 > limit {
            return Err(error::too_large(limit));
        }
        self.batch.push(Publication { to, name: name.into(), group: group.into(), conns, event });
        Ok(())
    }

    /// A failure names the index of the event to blame: those before it were published, those after it were not.
    pub(super) fn publish(&mut self, now: Instant) -> Result<f64, Failure> {
        for (index, publication) in core::mem::take(&mut self.batch).iter().enumerate() {
            self.publish_one(now, publication).map_err(|failure| failure.at(index))?;
        }
        Ok(self.engine.last_event_id().sequence as f64)
    }

    pub(super) fn first_unknown(&self) -> f64 {
        let unknown = |event: &Publication| event.to == CLIENT && self.engine.find(&event.group, &event.name).is_none();
        self.batch.iter().position(unknown).map_or(-1.0, |index| index as f64)
    }

    /// Tells all who listen to a key, as system M does, or only those with some user names, or everybody: whether everybody, the key,
    /// and the names or none; the event's number.
    pub(super) fn notify(&mut self, now: Instant, bare: bool, record: &mut Reader<'_>) -> Result<f64, Failure> {
        let (everybody, key) = (record.float()? != 0.0, record.text()?);
        error::topic("key", key, self.engine.config().limits.topic_bytes)?;
        let names = record.texts_or_none()?;
        let payload = if bare { Payload::Bare(key) } else { Payload::Notify(key) };
        let chosen: Vec<ClientKey>;
        let target = match names {
            None if everybody => Target::All,
            None => Target::Topic(key),
            Some(names) => {
                let named =
                    |client: &ClientKey| self.engine.client_info(*client).is_some_and(|info| names.contains(&info.user_name));
                chosen = self.engine.listeners(key).filter(named).collect();
                Target::Clients(&chosen)
            }
        };
        self.publish_payload(now, target, &payload)
    }

    pub(super) fn notify_ad_hoc(&mut self, now: Instant, bare: bool, record: &mut Reader<'_>) -> Result<f64, Failure> {
        let (group, id) = (record.text()?, record.text()?);
        error::name("client", id, self.engine.config().limits.name_bytes)?;
        let key = self.client(group, id)?;
        let payload = match bare {
            true => Payload::Bare("ad-hoc"),
            false => Payload::Completed { timestamp: now, id, task: "ad-hoc", failure: None },
        };
        self.publish_payload(now, Target::Client(key), &payload)
    }

    fn publish_one(&mut self, now: Instant, publication: &Publication) -> Result<(), Failure> {
        let Publication { to, name, group, conns, event } = publication;
        let chosen: Vec<ClientKey>;
        let target = match *to {
            ALL => Target::All,
            TOPIC => Target::Topic(name),
            GROUP => Target::Group(name),
            USER_NAME => Target::UserName(name),
            CLIENT => Target::Client(self.client(group, name)?),
            _ => match conns.as_slice() {
                &[conn] => Target::Connection(conn_id(conn)),
                conns => {
                    chosen = conns.iter().filter_map(|conn| self.engine.client_of(conn_id(*conn)).ok()).collect();
                    Target::Clients(&chosen)
                }
            },
        };
        self.publish_to(now, target, event).map(drop).map_err(|error| match error {
            PublishError::UnknownTarget => Failure::new(What::UnknownStream),
            other => other.into(),
        })
    }

    fn publish_payload(&mut self, now: Instant, target: Target<'_>, payload: &Payload<'_>) -> Result<f64, Failure> {
        let mut body = vec![0; payload.body_len()];
        payload.encode_body(&mut body);
        Ok(self.publish_to(now, target, &Encoded::of(body))?)
    }

    /// All publications are of one type, so that publishing exists once.
    fn publish_to(&mut self, now: Instant, target: Target<'_>, event: &Encoded) -> Result<f64, PublishError> {
        self.engine.publish(now, target, event).map(|id| id.sequence as f64)
    }
}
