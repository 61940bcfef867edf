//! Publishing: events are checked and encoded one by one, then published together.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use sse_proto::manager::Payload;
use sse_proto::wire::{Encode, Frame};
use sse_proto::{ClientKey, MAX_EVENT_ID, PublishError, Target};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::{Hub, conn_id, instant};
use crate::encode;
use crate::error::{self, Failure};

/// An event that was checked and encoded, and whom it is for.
pub(super) struct Publication {
    target: Audience,
    frame: Frame<Vec<u8>>,
}

enum Audience {
    All,
    Topic(String),
    Group(String),
    UserName(String),
    Client { group: String, id: String },
    Streams(Vec<f64>),
}

#[wasm_bindgen]
impl Hub {
    /// Checks an event and puts it to those that `publish` publishes. `kind` says what `name` is: `all`, `topic`, `group`, `name`
    /// or `client`, the last with its group; or, with `conns`, it is for the one stream, or for the clients of several.
    ///
    /// # Errors
    ///
    /// The event or its target cannot be.
    #[expect(
        clippy::too_many_arguments,
        clippy::needless_pass_by_value,
        reason = "one fact each, as wasm-bindgen converts them"
    )]
    pub fn prepare(
        &mut self,
        kind: &str,
        name: String,
        group: String,
        conns: Option<Vec<f64>>,
        event: Option<String>,
        data: Option<String>,
        id: Option<String>,
        retry: Option<u32>,
        comment: Option<String>,
    ) -> Result<(), JsValue> {
        let target = match conns {
            Some(conns) => Audience::Streams(conns),
            None => self.audience(kind, name, group)?,
        };
        Ok(self.check(target, encode::frame(event.as_deref(), data.as_deref(), id.as_deref(), retry, comment.as_deref())?)?)
    }

    /// Publishes what was prepared, in order and under consecutive numbers, the last of which it returns.
    ///
    /// # Errors
    ///
    /// A target is not known or a table is full: the field begins with the index of the event to blame, `[1].to.client`. The
    /// events before it were published, those after it were not.
    pub fn publish(&mut self, now: f64) -> Result<f64, JsValue> {
        for (index, publication) in core::mem::take(&mut self.batch).into_iter().enumerate() {
            self.publish_one(now, &publication).map_err(|failure| Failure { field: format!("{index}"), ..failure })?;
        }
        Ok(self.engine.last_event_id().sequence as f64)
    }

    /// Whether all clients that what was prepared is for by id are registered; else the index of the first that is not.
    #[wasm_bindgen(js_name = firstUnknown)]
    pub fn first_unknown(&self) -> i32 {
        let unknown = |publication: &Publication| match &publication.target {
            Audience::Client { group, id } => self.engine.find(group, id).is_none(),
            _ => false,
        };
        self.batch.iter().position(unknown).map_or(-1, |index| index as i32)
    }

    /// Forgets what was prepared.
    pub fn discard(&mut self) {
        self.batch.clear();
    }

    /// Tells all who listen to `key`, as system M does, or only those with one of these user names, or everybody; the event's number.
    ///
    /// # Errors
    ///
    /// The key cannot be one, or a limit is reached.
    pub fn notify(
        &mut self,
        now: f64,
        key: &str,
        user_names: Option<Vec<String>>,
        bare: bool,
        everybody: bool,
    ) -> Result<f64, JsValue> {
        error::topic("key", key, self.engine.config().limits.topic_bytes)?;
        let payload = if bare { Payload::Bare(key) } else { Payload::Notify(key) };
        let chosen: Vec<ClientKey>;
        let target = match user_names {
            None if everybody => Target::All,
            None => Target::Topic(key),
            Some(names) => {
                let named = |client: &ClientKey| {
                    self.engine.client_info(*client).is_some_and(|info| names.iter().any(|name| name == info.user_name))
                };
                chosen = self.engine.listeners(key).filter(named).collect();
                Target::Clients(&chosen)
            }
        };
        let published = self.engine.publish(instant(now), target, &framed(&payload)).map_err(Failure::from)?;
        Ok(published.sequence as f64)
    }

    /// Whether anybody listens to `topic`.
    #[wasm_bindgen(js_name = hasListeners)]
    pub fn has_listeners(&self, topic: &str) -> bool {
        self.engine.listeners(topic).next().is_some()
    }

    /// Sends the one frame of system M's `trigger-adhoc`; the event's number.
    ///
    /// # Errors
    ///
    /// `unknown-client`.
    #[wasm_bindgen(js_name = notifyAdHoc)]
    pub fn notify_ad_hoc(&mut self, now: f64, group: &str, id: &str, bare: bool) -> Result<f64, JsValue> {
        error::name("client", id, self.engine.config().limits.name_bytes)?;
        let (key, now) = (self.client(group, id)?, instant(now));
        let payload = match bare {
            true => Payload::Bare("ad-hoc"),
            false => Payload::Completed { timestamp: now, id, task: "ad-hoc", failure: None },
        };
        let published = self.engine.publish(now, Target::Client(key), &framed(&payload)).map_err(Failure::from)?;
        Ok(published.sequence as f64)
    }
}

impl Hub {
    fn audience(&self, kind: &str, name: String, group: String) -> Result<Audience, Failure> {
        let limits = &self.engine.config().limits;
        Ok(match kind {
            "all" => Audience::All,
            "topic" => {
                error::topic("topic", &name, limits.topic_bytes)?;
                Audience::Topic(name)
            }
            "group" => {
                if !name.is_empty() {
                    error::topic("group", &name, limits.name_bytes)?;
                }
                Audience::Group(name)
            }
            "name" => {
                error::name("name", &name, limits.name_bytes)?;
                Audience::UserName(name)
            }
            "client" => {
                error::name("client", &name, limits.name_bytes)?;
                Audience::Client { group, id: name }
            }
            _ => {
                return Err(Failure::new("invalid-target", "to", "to must be \"all\", or have a topic, client, name or group"));
            }
        })
    }

    fn check(&mut self, target: Audience, frame: Frame<Vec<u8>>) -> Result<(), Failure> {
        if frame.id().is_some_and(|id| id.as_str().len() > MAX_EVENT_ID) {
            return Err(PublishError::IdTooLong.into());
        }
        let limit = self.engine.config().limits.frame_bytes as usize;
        // The longest number of the hub's own takes 34 bytes.
        if frame.encoded_len() + 34 > limit {
            return Err(error::too_large(limit));
        }
        self.batch.push(Publication { target, frame });
        Ok(())
    }

    fn publish_one(&mut self, now: f64, publication: &Publication) -> Result<(), Failure> {
        let chosen: Vec<ClientKey>;
        let target = match &publication.target {
            Audience::All => Target::All,
            Audience::Topic(topic) => Target::Topic(topic),
            Audience::Group(group) => Target::Group(group),
            Audience::UserName(name) => Target::UserName(name),
            Audience::Client { group, id } => Target::Client(self.client(group, id)?),
            Audience::Streams(conns) => match conns.as_slice() {
                &[conn] => Target::Connection(conn_id(conn)),
                conns => {
                    chosen = conns.iter().filter_map(|conn| self.engine.client_of(conn_id(*conn)).ok()).collect();
                    Target::Clients(&chosen)
                }
            },
        };
        let published = self.engine.publish(instant(now), target, &publication.frame);
        published.map(drop).map_err(|error| match error {
            PublishError::UnknownTarget => error::unknown_stream(),
            other => other.into(),
        })
    }
}

/// As all other publications, so that publishing exists once.
fn framed(payload: &Payload<'_>) -> Frame<Vec<u8>> {
    Frame::new(payload, |len| vec![0; len])
}
