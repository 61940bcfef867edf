//! The frames that the engine itself writes: greetings, gaps, heartbeats, farewells and what becomes of tasks. Which comes next for a
//! connection, and its bytes.

use super::delivery::{Due, Phase, Resumes, Sending, Stream};
use super::{CloseReason, Dialect, Engine, GapReason, Greeting, TaskState, log};
use crate::config::EventIds;
use crate::manager::Payload;
use crate::storage::Storage;
use crate::storage::parts::{Buffer, Text};
use crate::time::Instant;
use crate::wire::measure::{Draft, fill, measure};
use crate::wire::{Encode, IdField};

/// The notice that comes next.
pub(super) struct NoticeDue {
    notice: Sending,
    /// The position it carries.
    id: Option<u64>,
    /// The completion told last, this one included.
    told: u64,
    /// The position it carries is the connection's.
    places: bool,
}

impl<S: Storage> Engine<S> {
    /// The notice to be sent next, made in `self.notices`; its length.
    pub(super) fn next_notice(&mut self, slot: u32) -> Option<usize> {
        let stream = self.directory.streams.at(slot);
        if stream.notice.is_none() {
            if stream.offset > 0 {
                return None;
            }
            let NoticeDue { notice, id, told, places } = self.notice_due(slot)?;
            let id = id.filter(|_| self.config.event_ids == EventIds::Numbered);
            let stream = self.directory.streams.at_mut(slot);
            (stream.notice, stream.has_id, stream.id, stream.told) = (Some(notice), id.is_some(), id.unwrap_or(0), told);
            if places {
                stream.due.set(Due::POSITION, false);
            }
        }
        let len = self.make_notice(slot);
        match len {
            Some(len) => self.directory.streams.at_mut(slot).notice_len_or_rank = len as u32,
            None => self.enter(slot, Phase::Closing(CloseReason::Unregistered)),
        }
        len
    }

    /// Which notice comes next, if any is due.
    #[inline]
    pub(super) fn notice_due(&self, slot: u32) -> Option<NoticeDue> {
        if self.directory.streams.at(slot).due.any() { self.first_due(slot) } else { None }
    }

    /// The last notice before the log goes on carries the connection's position, those before it only what they stand for.
    fn first_due(&self, slot: u32) -> Option<NoticeDue> {
        let &Stream { due, told, .. } = self.directory.streams.at(slot);
        let connection = self.directory.connections.at(slot);
        let position = connection.cursor - 1;
        let task = self.completion_due(slot, told);
        if due.has(Due::GREETING) {
            let last = task.is_none() && !due.has(Due::GAP);
            return Some(NoticeDue { notice: Sending::Greeting, id: last.then_some(position), told, places: last });
        }
        // A completion carries an id that may lie behind the gap: who is cut off after it was told of the gap before.
        if due.has(Due::GAP) {
            return Some(NoticeDue {
                notice: Sending::Gap,
                id: task.is_none().then_some(position),
                told,
                places: task.is_none(),
            });
        }
        if let Some(sequence) = task {
            let last = self.completion_due(slot, sequence).is_none();
            let id = Some(if last { position } else { sequence });
            return Some(NoticeDue { notice: Sending::Task, id, told: sequence, places: last });
        }
        if due.has(Due::POSITION) {
            return Some(NoticeDue { notice: Sending::Position, id: Some(position), told, places: true });
        }
        if due.has(Due::HEARTBEAT) {
            return Some(NoticeDue { notice: Sending::Heartbeat, id: None, told, places: false });
        }
        let farewell = due.has(Due::FAREWELL) && connection.cursor > connection.until;
        farewell.then_some(NoticeDue { notice: Sending::Farewell, id: None, told, places: false })
    }

    /// The sequence number of the first completion after `told` that the connection must be told of and that it will not find in
    /// the log.
    fn completion_due(&self, slot: u32, told: u64) -> Option<u64> {
        let due = self.directory.streams.at(slot).due;
        if !due.has(Due::TASKS) {
            return None;
        }
        let connection = self.directory.connections.at(slot);
        let client = self.directory.profiles.at(self.directory.streams.at(slot).client);
        let task = self.tasks.completion(client, told, connection.cursor, due.has(Due::TASKS_SENT_TOO))?;
        Some(self.tasks.at(task).sequence)
    }

    /// Makes the notice that `slot` is in the middle of; `None` when what it tells of is gone.
    fn make_notice(&mut self, slot: u32) -> Option<usize> {
        let stream = self.directory.streams.at(slot);
        let client = stream.client;
        let notice = match stream.notice? {
            Sending::Greeting => Notice::Greeting {
                form: stream.greeting,
                resumes: stream.resumes,
                id: self.directory.id_of(client),
                retry: self.config.retry,
            },
            Sending::Task => {
                let task = self.tasks.at(self.tasks.completion_at(self.directory.profiles.at(client), stream.told)?);
                Notice::Task(TaskNotice {
                    dialect: stream.dialect,
                    state: task.state,
                    task: task.name.as_str(),
                    client: self.directory.id_of(client),
                    at: task.ended,
                    detail: task.detail(),
                })
            }
            Sending::Gap => Notice::Gap(stream.gap),
            Sending::Position => Notice::Greeting { form: Greeting::Position, resumes: Resumes::Nothing, id: "", retry: None },
            Sending::Heartbeat => Notice::Heartbeat(self.config.heartbeat_comment),
            Sending::Farewell => Notice::Farewell { retry: self.farewell_retry(slot) },
        };
        let id = stream.has_id.then_some(stream.id);
        loop {
            let len = log::encode_numbered(self.notices.bytes_mut(), &self.log.number_prefix(), id, &notice);
            if len <= self.notices.bytes().len() {
                return Some(len);
            }
            if !self.notices.resize(len) {
                return None;
            }
        }
    }

    /// Counts `written` bytes of the notice; how many notices are whole now.
    pub(super) fn notice_written(&mut self, slot: u32, written: usize) -> usize {
        let stream = self.directory.streams.at_mut(slot);
        let offset = (stream.offset as usize).saturating_add(written);
        if offset < stream.notice_len_or_rank as usize {
            stream.offset = offset as u32;
            return 0;
        }
        stream.offset = 0;
        match stream.notice.take() {
            Some(Sending::Greeting) => stream.due.set(Due::GREETING, false),
            Some(Sending::Gap) => stream.due.set(Due::GAP, false),
            Some(Sending::Heartbeat) => stream.due.set(Due::HEARTBEAT, false),
            Some(Sending::Farewell) => self.enter(slot, Phase::Closing(CloseReason::Drained)),
            Some(Sending::Task) => {
                self.tasks.sent(self.directory.profiles.at(stream.client), stream.told);
            }
            Some(Sending::Position) | None => {}
        }
        1
    }

    /// The reconnection time that a connection is told with the farewell. Multiples of the golden ratio spread any number of slots
    /// evenly.
    fn farewell_retry(&self, slot: u32) -> u32 {
        let (least, most) = self.draining.unwrap_or_default();
        let spread = u64::from(most.saturating_sub(least));
        let part = (u64::from(slot.wrapping_mul(0x9E37_79B9)) * (spread + 1)) >> 32;
        least + part as u32
    }
}

/// One frame of the engine's own, by reference.
#[derive(Clone, Copy, Debug)]
pub(super) enum Notice<'a> {
    Greeting { form: Greeting, resumes: Resumes, id: &'a str, retry: Option<u32> },
    Gap(GapReason),
    Heartbeat(&'static str),
    Farewell { retry: u32 },
    Task(TaskNotice<'a>),
}

/// What became of a task, told to one client.
#[derive(Clone, Copy, Debug)]
pub(super) struct TaskNotice<'a> {
    pub(super) dialect: Dialect,
    pub(super) state: TaskState,
    pub(super) task: &'a str,
    pub(super) client: &'a str,
    pub(super) at: Instant,
    /// JSON: the progress or the result. For a failure: a text, the reason.
    pub(super) detail: Option<&'a str>,
}

impl Encode for Notice<'_> {
    fn id(&self) -> Option<IdField<'_>> {
        None
    }

    fn body_len(&self) -> usize {
        measure(|out| self.write(out))
    }

    fn encode_body(&self, out: &mut [u8]) -> usize {
        fill(out, |out| self.write(out))
    }
}

impl Notice<'_> {
    fn write(&self, out: &mut Draft<'_>) {
        match *self {
            Self::Greeting { form, resumes, id, retry } => {
                // A client of system M may still hold the data of a frame it was cut off in. If that frame comes again,
                // what it holds must go; if the cut was in the blank line, it must be dispatched. A client that follows
                // the standard holds nothing, and sees nothing of this.
                out.put(match resumes {
                    Resumes::Nothing => "",
                    Resumes::CaughtUp => "\n",
                    Resumes::Behind => "event:resume\n\n",
                });
                if let Some(retry) = retry {
                    out.put("retry:").number(u64::from(retry)).put("\n");
                }
                match form {
                    Greeting::Registered => Payload::Registered(id).write(out),
                    Greeting::Connected => {
                        // What stands in an id needs no escape.
                        out.put("event:connected\ndata:{\"client\":\"").put(id).put("\"}\n\n");
                    }
                    Greeting::Position => {
                        out.put("\n");
                    }
                    Greeting::Silent => {}
                }
            }
            Self::Gap(reason) => {
                out.put("event:gap\ndata:{\"reason\":\"").put(reason.name()).put("\"}\n\n");
            }
            Self::Heartbeat(comment) => {
                out.put(":").put(comment).put("\n\n");
            }
            Self::Farewell { retry } => {
                out.put("retry:").number(u64::from(retry)).put("\n\n");
            }
            Self::Task(notice) => notice.write(out),
        }
    }
}

impl TaskNotice<'_> {
    fn write(&self, out: &mut Draft<'_>) {
        let &Self { dialect, state, task, client, at, detail } = self;
        if dialect == Dialect::Manager {
            let failure = (state == TaskState::Failed).then(|| detail.unwrap_or(""));
            return Payload::Completed { timestamp: at, id: client, task, failure }.write(out);
        }
        out.put("event:").put(state.name()).put("\ndata:{\"task\":\"").json(task);
        out.put("\",\"client\":\"").put(client).put("\",\"timestamp\":").number(at.as_millis());
        match (state, detail) {
            (TaskState::Failed, reason) => out.put(",\"reason\":\"").json(reason.unwrap_or("")).put("\""),
            (TaskState::Completed, Some(result)) => out.put(",\"result\":").one_line(result),
            (_, Some(progress)) => out.put(",\"progress\":").one_line(progress),
            (_, None) => out,
        }
        .put("}\n\n");
    }
}
