//! What a hub leaves with its host, so that another one can go on: records of clients, and of frames.
//!
//! The host asks after every turn what changed, and writes that down before anything of it is sent. Records are bytes: what is in
//! them is nobody else's business.

mod record;

use alloc::string::String;
use alloc::vec::Vec;

use sse_proto::wire::IdField;
use sse_proto::{Audience, ClientId, ClientKey, Dialect, Full, Instant, KeptClient, KeptFrame, KeptTask, TaskState};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use self::record::{Broken, Reader, Writer};
use super::{Hub, handle, instant};
use crate::error::Failure;

/// Bytes of frames in one record, but for the last frame in it.
const RECORD: usize = 256 * 1024;

/// What was not written down yet.
#[derive(Default)]
pub(super) struct Unkept {
    /// The host asks.
    is_asked: bool,
    /// It holds streams open for the next hub, so that clients that pass are kept, too.
    with_passing: bool,
    /// Group and id of each.
    clients: Vec<String>,
    /// Their slots, where they have one.
    slots: Vec<usize>,
    /// Every client was given up, before those above changed.
    cleared: bool,
    /// Clients that were restored, and may have had a stream when they were kept.
    had_streams: Vec<ClientKey>,
    /// Frames up to here are kept.
    until: u64,
}

impl Unkept {
    /// Every client is gone.
    pub(super) fn clear(&mut self) {
        self.clients.clear();
        self.cleared = self.is_asked;
    }
}

#[wasm_bindgen]
impl Hub {
    /// From now on the host asks for changes; `with_passing`: also of clients that are forgotten with their last stream.
    pub fn keep(&mut self, with_passing: bool) {
        let until = self.engine.last_event_id().sequence;
        let had_streams = core::mem::take(&mut self.unkept.had_streams);
        self.unkept = Unkept { is_asked: true, with_passing, until, had_streams, ..Unkept::default() };
    }

    /// Whether there is something to write down.
    #[wasm_bindgen(js_name = hasChanges)]
    pub fn has_changes(&self) -> bool {
        let Unkept { is_asked, clients, cleared, until, .. } = &self.unkept;
        *is_asked && (*cleared || !clients.is_empty() || *until != self.engine.last_event_id().sequence)
    }

    /// Whether all records of clients are to be forgotten first; asked once.
    #[wasm_bindgen(js_name = takeCleared)]
    pub fn take_cleared(&mut self) -> bool {
        core::mem::take(&mut self.unkept.cleared)
    }

    /// Group and id of each client that changed; asked once.
    #[wasm_bindgen(js_name = takeClients)]
    pub fn take_clients(&mut self) -> Vec<String> {
        for slot in core::mem::take(&mut self.unkept.slots) {
            if let Some(Some(member)) = self.members.get_mut(slot) {
                member.is_unkept = false;
            }
        }
        core::mem::take(&mut self.unkept.clients)
    }

    /// The record of a client; none when there is nothing to keep of it.
    #[wasm_bindgen(js_name = clientRecord)]
    pub fn client_record(&self, group: &str, id: &str) -> Option<Vec<u8>> {
        let client = self.engine.kept_client(group, id)?;
        if client.passing && !self.unkept.with_passing && self.engine.kept_tasks(client.key).next().is_none() {
            return None;
        }
        let member = self.member(client.key)?;
        let mut record = Writer::default();
        record.number(member.ordinal);
        record.number(member.born);
        record.text(client.group);
        record.text(client.id.as_str());
        record.number(u64::from(client.dialect == Dialect::Manager) | u64::from(client.passing) << 1);
        record.number(client.registered.as_millis());
        record.option(client.since, |record, since| record.number(since.as_millis()));
        record.list(self.engine.kept_topics(client.key), |record, (topic, from)| {
            record.text(topic);
            record.number(from);
        });
        record.list(self.engine.kept_tasks(client.key), |record, task| {
            record.text(task.name);
            record.number(task.state as u64);
            record.option(task.detail, Writer::text);
            record.number(task.sequence);
            record.number(task.ended.as_millis());
            record.number(u64::from(task.sent));
        });
        Some(record.into_bytes())
    }

    /// From when the age of a client counts, to sort records by; one that does not age yet comes last.
    #[wasm_bindgen(js_name = agesSince)]
    pub fn ages_since(&self, group: &str, id: &str) -> f64 {
        let since = self.engine.kept_client(group, id).and_then(|client| client.since);
        since.map_or(f64::MAX, |since| since.as_millis() as f64)
    }

    /// A record of the next frames; none when all are kept. `keptUntil` is the last sequence number in it.
    #[wasm_bindgen(js_name = takeFrames)]
    pub fn take_frames(&mut self) -> Option<Vec<u8>> {
        let mut record = Writer::default();
        let mut until = self.unkept.until;
        for frame in self.engine.kept_frames(self.unkept.until) {
            // Frames that share a number are kept together.
            if record.len() > RECORD && frame.sequence != until {
                self.unkept.until = until;
                return Some(record.into_bytes());
            }
            until = frame.sequence;
            self.write_frame(&mut record, &frame);
        }
        self.unkept.until = self.engine.last_event_id().sequence;
        (record.len() > 0).then(|| record.into_bytes())
    }

    /// Frames up to this sequence number are kept.
    #[wasm_bindgen(js_name = keptUntil)]
    pub fn kept_until(&self) -> f64 {
        self.unkept.until as f64
    }

    /// Frames up to this sequence number need not be kept any longer.
    pub fn evicted(&self) -> f64 {
        self.engine.evicted() as f64
    }

    /// Takes in a client, in the order of `agesSince`.
    ///
    /// # Errors
    ///
    /// `broken-record`, or a limit is reached.
    #[wasm_bindgen(js_name = restoreClient)]
    pub fn restore_client(&mut self, now: f64, record: &[u8]) -> Result<(), JsValue> {
        Ok(self.read_client(instant(now), &mut Reader::new(record))?)
    }

    /// Where the hub goes on, once its clients are restored.
    #[wasm_bindgen(js_name = restorePosition)]
    pub fn restore_position(&mut self, evicted: f64, last: f64) {
        self.engine.restore_position(evicted as u64, last as u64);
    }

    /// Takes in frames, oldest first.
    ///
    /// # Errors
    ///
    /// `broken-record`.
    #[wasm_bindgen(js_name = restoreFrames)]
    pub fn restore_frames(&mut self, record: &[u8]) -> Result<(), JsValue> {
        let mut record = Reader::new(record);
        while !record.is_empty() {
            self.read_frame(&mut record)?;
        }
        Ok(())
    }
}

#[wasm_bindgen]
impl Hub {
    /// The how-manieth client this is that registered; 0 for one that is not registered.
    pub fn ordinal(&self, group: &str, id: &str) -> f64 {
        let member = self.engine.find(group, id).and_then(|client| self.member(client));
        member.map_or(0.0, |member| member.ordinal as f64)
    }

    /// Opens a stream again, after all frames, that was caught up when the hub before this one ended: its number. Negative when
    /// its client was given up since then, whoever has the id now.
    ///
    /// # Errors
    ///
    /// A limit is reached.
    #[wasm_bindgen(js_name = restoreStream)]
    pub fn restore_stream(&mut self, now: f64, group: &str, id: &str, ordinal: f64, manager: bool) -> Result<f64, JsValue> {
        // The number of a client that a stream remembers is nobody else's.
        self.newcomers = self.newcomers.max(ordinal as u64);
        let Some(client) = self.engine.find(group, id).filter(|_| self.ordinal(group, id) == ordinal) else {
            return Ok(-1.0);
        };
        let dialect = if manager { Dialect::Manager } else { Dialect::Named };
        let conn = self.engine.restore_connection(instant(now), client, dialect);
        Ok(conn.map(handle).ok_or(Failure::from(Full::Connections))?)
    }

    /// Everything was taken in: who had a stream that was not has left, and goes if it was passing.
    pub fn restored(&mut self, now: f64) {
        for client in core::mem::take(&mut self.unkept.had_streams) {
            if self.engine.client_info(client).is_some_and(|info| info.connections == 0) {
                self.touch(client);
            }
        }
        self.engine.restored(instant(now));
    }
}

impl Hub {
    /// Something of this client changed, or it is gone.
    pub(super) fn touch(&mut self, client: ClientKey) {
        let member = self.members.get_mut(client.slot()).and_then(Option::as_mut);
        if let Some(member) = member.filter(|member| self.unkept.is_asked && member.key == client && !member.is_unkept) {
            member.is_unkept = true;
            self.unkept.slots.push(client.slot());
            self.unkept.clients.extend([member.group.clone(), member.id.clone()]);
        }
    }

    fn write_frame(&self, record: &mut Writer, frame: &KeptFrame<'_>) {
        let named = |client: ClientKey| self.engine.client_info(client).map(|info| (info.group, info.id));
        let (kind, text, clients) = match frame.audience {
            Audience::All => (0, "", Vec::new()),
            Audience::Group(group) => (1, group, Vec::new()),
            Audience::Topic(topic) => (2, topic, Vec::new()),
            Audience::UserName(name) => (3, name, Vec::new()),
            Audience::Client(client) => (4, "", named(client).into_iter().collect()),
            Audience::Clients => (5, "", self.engine.kept_members(frame.sequence).filter_map(named).collect()),
        };
        record.number(frame.sequence);
        record.number(kind);
        record.text(text);
        record.list(clients.into_iter(), |record, (group, id)| {
            record.text(group);
            record.text(id);
        });
        record.option(frame.id, |record, id| record.text(id.as_str()));
        record.bytes(frame.lines);
        record.number(u64::from(frame.completes_task));
    }

    fn read_client(&mut self, now: Instant, record: &mut Reader<'_>) -> Result<(), Failure> {
        let (ordinal, born) = (record.number()?, record.number()?);
        let (group, id) = (record.text()?, record.text()?);
        let bits = record.number()?;
        let (dialect, passing) = (if bits & 1 == 1 { Dialect::Manager } else { Dialect::Named }, bits & 2 == 2);
        let registered = Instant::from_millis(record.number()?);
        let since = record.option(Reader::number)?.map(Instant::from_millis);
        let id_of = ClientId::new(id).map_err(|_| Broken)?;
        let kept = KeptClient { key: ClientKey::NONE, group, id: id_of, dialect, registered, since, passing };
        let client = self.engine.restore_client(now, &kept)?;
        self.newcomers = self.newcomers.max(ordinal);
        self.join(client, ordinal, born, group, id);
        if since.is_none() || passing {
            self.unkept.had_streams.push(client);
        }
        for _ in 0..record.number()? {
            let (topic, from) = (record.text()?, record.number()?);
            self.engine.restore_topic(client, topic, from)?;
        }
        for _ in 0..record.number()? {
            let (name, state) = (record.text()?, record.number()?);
            let detail = record.option(Reader::text)?;
            let (sequence, ended, sent) = (record.number()?, record.number()?, record.number()?);
            let state = match state {
                0 => TaskState::Submitted,
                1 => TaskState::Progress,
                2 => TaskState::Completed,
                _ => TaskState::Failed,
            };
            let kept = KeptTask { name, state, detail, sequence, ended: Instant::from_millis(ended), sent: sent == 1 };
            self.engine.restore_task(client, &kept).map_err(|_| Broken)?;
        }
        Ok(())
    }

    fn read_frame(&mut self, record: &mut Reader<'_>) -> Result<(), Failure> {
        let (sequence, kind, text) = (record.number()?, record.number()?, record.text()?);
        let mut members = Vec::new();
        for _ in 0..record.number()? {
            let (group, id) = (record.text()?, record.text()?);
            // Who gave the id up and registered it again since then is someone else.
            let found = self.engine.find(group, id);
            members.extend(found.filter(|&key| self.member(key).is_some_and(|member| member.born < sequence)));
        }
        let id = record.option(Reader::text)?.map(IdField::new).transpose().map_err(|_| Broken)?;
        let (lines, completes_task) = (record.bytes()?, record.number()? == 1);
        let audience = match (kind, members.as_slice()) {
            (0, _) => Audience::All,
            (1, _) => Audience::Group(text),
            (2, _) => Audience::Topic(text),
            (3, _) => Audience::UserName(text),
            (4, &[client]) => Audience::Client(client),
            // Whom it was for is gone.
            (4, _) => return Ok(()),
            _ => Audience::Clients,
        };
        let kept = KeptFrame { sequence, audience, id, lines, completes_task };
        let members = if audience == Audience::Clients { members.as_slice() } else { &[] };
        Ok(self.engine.restore_frame(&kept, members)?)
    }
}
