//! What a hub leaves with its host, so that another one can go on: records of clients, and of frames.
//!
//! The host asks after every turn what changed, and writes that down before anything of it is sent. Records are bytes: what is in
//! them is nobody else's business.

use alloc::string::String;
use alloc::vec::Vec;

use sse_proto::wire::{IdField, Lines};
use sse_proto::{Audience, ClientId, ClientKey, Dialect, Full, Instant, KeptClient, KeptFrame, KeptTask, TaskState};

use super::{Hub, handle, truth};
use crate::error::{self, Failure};
use crate::hub::record::Writer;
use crate::record::Reader;

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

impl Hub {
    pub(super) fn keep(&mut self, with_passing: bool) {
        let until = self.engine.last_event_id().sequence;
        let had_streams = core::mem::take(&mut self.unkept.had_streams);
        self.unkept = Unkept { is_asked: true, with_passing, until, had_streams, ..Unkept::default() };
    }

    pub(super) fn has_changes(&self) -> bool {
        let Unkept { is_asked, clients, cleared, until, .. } = &self.unkept;
        *is_asked && (*cleared || !clients.is_empty() || *until != self.engine.last_event_id().sequence)
    }

    pub(super) fn take_cleared(&mut self) -> bool {
        core::mem::take(&mut self.unkept.cleared)
    }

    /// How many texts, and the texts.
    pub(super) fn take_clients(&mut self, answer: &mut Writer) -> f64 {
        for slot in core::mem::take(&mut self.unkept.slots) {
            if let Some(Some(member)) = self.members.get_mut(slot) {
                member.is_unkept = false;
            }
        }
        let clients = core::mem::take(&mut self.unkept.clients);
        for text in &clients {
            answer.text(text);
        }
        clients.len() as f64
    }

    pub(super) fn client_record(&self, request: &mut Reader<'_>, record: &mut Writer) -> Result<f64, Failure> {
        let client = self.engine.kept_client(request.text()?, request.text()?);
        let Some((client, member)) = client.and_then(|client| Some((client, self.member(client.key)?))) else {
            return Ok(0.0);
        };
        if client.passing && !self.unkept.with_passing && self.engine.kept_tasks(client.key).next().is_none() {
            return Ok(0.0);
        }
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
        Ok(1.0)
    }

    pub(super) fn ages_since(&self, record: &mut Reader<'_>) -> Result<f64, Failure> {
        let since = self.engine.kept_client(record.text()?, record.text()?).and_then(|client| client.since);
        Ok(since.map_or(f64::MAX, |since| since.as_millis() as f64))
    }

    pub(super) fn take_frames(&mut self, record: &mut Writer) -> f64 {
        let mut until = self.unkept.until;
        for frame in self.engine.kept_frames(until) {
            // Frames that share a number are kept together.
            if record.as_bytes().len() > RECORD && frame.sequence != until {
                self.unkept.until = until;
                return 1.0;
            }
            until = frame.sequence;
            self.write_frame(record, &frame);
        }
        self.unkept.until = self.engine.last_event_id().sequence;
        truth(!record.as_bytes().is_empty())
    }

    pub(super) const fn kept_until(&self) -> f64 {
        self.unkept.until as f64
    }

    pub(super) fn ordinal(&self, group: &str, id: &str) -> f64 {
        let member = self.engine.find(group, id).and_then(|client| self.member(client));
        member.map_or(0.0, |member| member.ordinal as f64)
    }

    pub(super) fn restore_stream(&mut self, now: Instant, manager: bool, record: &mut Reader<'_>) -> Result<f64, Failure> {
        let (group, id, ordinal) = (record.text()?, record.text()?, record.float()?);
        // The number of a client that a stream remembers is nobody else's.
        self.newcomers = self.newcomers.max(ordinal as u64);
        let Some(client) = self.engine.find(group, id).filter(|_| self.ordinal(group, id) == ordinal) else {
            return Ok(-1.0);
        };
        let dialect = if manager { Dialect::Manager } else { Dialect::Named };
        let conn = self.engine.restore_connection(now, client, dialect);
        conn.map(|conn| handle(conn) as f64).ok_or_else(|| Full::Connections.into())
    }

    /// Who had a stream that was not taken in has left, and goes if it was passing.
    pub(super) fn restored(&mut self, now: Instant) {
        for client in core::mem::take(&mut self.unkept.had_streams) {
            if self.engine.client_info(client).is_some_and(|info| info.connections == 0) {
                self.touch(client);
            }
        }
        self.engine.restored(now);
    }

    pub(super) fn restore_id(&mut self, issued: Instant, record: &mut Reader<'_>) -> Result<(), Failure> {
        let (group, id) = (record.text()?, record.text()?);
        Ok(self.engine.restore_id(issued, group, ClientId::new(id).map_err(|_| error::broken())?)?)
    }

    pub(super) fn restore_frames(&mut self, record: &[u8]) -> Result<(), Failure> {
        let mut record = Reader::new(record);
        while !record.is_empty() {
            self.read_frame(&mut record)?;
        }
        Ok(())
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
        record.bytes(frame.lines.as_bytes());
        record.number(u64::from(frame.completes_task));
    }

    pub(super) fn read_client(&mut self, now: Instant, record: &mut Reader<'_>) -> Result<(), Failure> {
        let (ordinal, born) = (record.number()?, record.number()?);
        let (group, id) = (record.text()?, record.text()?);
        let bits = record.number()?;
        let (dialect, passing) = (if bits & 1 == 1 { Dialect::Manager } else { Dialect::Named }, bits & 2 == 2);
        let registered = Instant::from_millis(record.number()?);
        let since = record.option(Reader::number)?.map(Instant::from_millis);
        let id_of = ClientId::new(id).map_err(|_| error::broken())?;
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
            self.engine.restore_task(client, &kept).map_err(|_| error::broken())?;
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
        let id = record.option(Reader::text)?.map(IdField::new).transpose().map_err(|_| error::broken())?;
        let (lines, completes_task) = (Lines::new(record.bytes()?).ok_or_else(error::broken)?, record.number()? == 1);
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
