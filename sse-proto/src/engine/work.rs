//! Tasks: submitted, coming along, ended.

use super::directory::LabelKind;
use super::directory::Standing;
use super::log::Scope;
use super::notice::{Notice, TaskNotice};
use super::tasks::{TaskError, TaskState};
use super::{Dialect, Engine, Stale};
use crate::config::AROUND_NAMES;
use crate::id::{ClientKey, check_name};
use crate::storage::Storage;
use crate::storage::parts::Text;
use crate::time::Instant;

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// Well, with a result in JSON if it has one.
    Completed(Option<&'a str>),
    /// Badly, and why: text for people.
    Failed(&'a str),
}

impl<S: Storage> Engine<S> {
    /// `client` waits for `task` from now on. A task of that name that has ended gives way.
    ///
    /// # Errors
    ///
    /// [`TaskError`]: [`UnknownTask`](TaskError::UnknownTask) stands for a client that is not registered.
    pub fn submit(&mut self, now: Instant, client: ClientKey, task: &str) -> Result<(), TaskError> {
        self.deadlines.advance(now);
        let slot = self.client(client).map_err(|Stale| TaskError::UnknownTask)?;
        self.check_task(task)?;
        self.tasks.submit(self.directory.profiles.at_mut(slot), task)?;
        Ok(())
    }

    /// Forgets a task that was submitted and that nobody took on. True if there was one.
    pub fn withdraw(&mut self, client: ClientKey, task: &str) -> bool {
        let Ok(slot) = self.client(client) else {
            return false;
        };
        let client = self.directory.profiles.at_mut(slot);
        self.tasks.withdraw(client, task)
    }

    /// `task` of `client` came along: `progress` is JSON. Kept for [`tasks`](Self::tasks), and told to the client if its dialect has
    /// a word for it.
    ///
    /// # Errors
    ///
    /// [`TaskError`]; nothing was changed.
    pub fn progress_at(
        &mut self,
        now: Instant,
        sequence: u64,
        client: ClientKey,
        task: &str,
        progress: &str,
    ) -> Result<(), TaskError> {
        self.deadlines.advance(now);
        let sequence = self.number(sequence).map_err(TaskError::Full)?;
        let slot = self.client(client).map_err(|Stale| TaskError::UnknownTask)?;
        self.check_detail(progress)?;
        let owner = self.directory.profiles.at(slot);
        let found = self.tasks.find(owner, task).ok_or(TaskError::UnknownTask)?;
        if self.tasks.at(found).state.has_ended() {
            return Err(TaskError::AlreadyEnded);
        }
        let detail = self.tasks.copy_detail(Some(found), progress)?;
        self.tasks.set_state(found, TaskState::Progress, Some(detail));
        if self.directory.clients.at(slot).dialect == Dialect::Named {
            self.tell(sequence, slot, task, TaskState::Progress, Some(progress));
        }
        Ok(())
    }

    /// `task` ended: every client of the owner's user name in its group is told that, and the owner also with what result
    /// or why. The owner's table keeps the completion until it arrived; once it was sent, it is told again only to who shows by
    /// `Last-Event-ID` not to have it: where that cannot be placed, the gap stands for it.
    ///
    /// `owner` is the client that submitted it, or `None` when it lives in another engine; `group` and `user_name` are its.
    /// O(clients of that name + tasks of the owner), and O(frames that leave the log for it).
    ///
    /// # Errors
    ///
    /// [`TaskError`]; nothing was changed.
    #[expect(clippy::too_many_arguments, reason = "one fact each, and all of them needed")]
    pub fn complete_at(
        &mut self,
        now: Instant,
        sequence: u64,
        owner: Option<ClientKey>,
        group: &str,
        user_name: &str,
        task: &str,
        outcome: Outcome<'_>,
    ) -> Result<(), TaskError> {
        self.deadlines.advance(now);
        let sequence = self.number(sequence).map_err(TaskError::Full)?;
        let (state, detail) = match outcome {
            Outcome::Completed(result) => (TaskState::Completed, result),
            Outcome::Failed(reason) => (TaskState::Failed, Some(reason)),
        };
        self.check_task(task)?;
        self.check_detail(detail.unwrap_or(""))?;
        if let Some(owner) = owner {
            self.end_task(sequence, owner, task, state, detail)?;
        }
        let label = self.directory.find_label(LabelKind::UserName, user_name);
        let group = self.directory.find_label(LabelKind::Group, group);
        let mut under = label.map(|label| self.directory.under(label));
        let mut rank = 0;
        while let Some(slot) = under.as_mut().and_then(|under| under.next(&self.directory)) {
            let is_issued = self.directory.clients.at(slot).standing == Standing::Issued;
            if !is_issued && Some(self.directory.profiles.at(slot).group) == group {
                // A user name is no secret: what came of the task is for who submitted it.
                let detail = detail.filter(|_| owner.is_some_and(|owner| owner.slot == slot));
                self.tell(sequence, slot, task, state, detail);
                if cfg!(feature = "std") {
                    self.note_rank(slot, rank);
                    rank += 1;
                }
            }
        }
        self.log.observe(sequence);
        Ok(())
    }

    pub(super) fn check_task(&self, task: &str) -> Result<(), TaskError> {
        check_name(task).map_err(TaskError::Name)?;
        let limit = self.config.limits.name_bytes;
        if task.len() > limit as usize { Err(TaskError::TooLong { limit }) } else { Ok(()) }
    }

    /// A frame with `detail`, two names and what stands around them must fit; escaping may take six bytes for one.
    pub(super) fn check_detail(&self, detail: &str) -> Result<(), TaskError> {
        let escaped: usize = detail.bytes().map(|byte| if byte < 0x20 || byte == b'"' || byte == b'\\' { 6 } else { 1 }).sum();
        let around = (2 * self.config.limits.name_bytes + AROUND_NAMES) as usize;
        if escaped + around > self.config.limits.frame_bytes as usize { Err(TaskError::TooLarge) } else { Ok(()) }
    }

    /// Writes the end of a task into its owner's table.
    fn end_task(
        &mut self,
        sequence: u64,
        owner: ClientKey,
        task: &str,
        state: TaskState,
        detail: Option<&str>,
    ) -> Result<(), TaskError> {
        let slot = self.client(owner).map_err(|Stale| TaskError::UnknownTask)?;
        let client = self.directory.profiles.at_mut(slot);
        let found = self.tasks.find(client, task);
        if found.is_some_and(|row| self.tasks.at(row).state.has_ended()) {
            return Err(TaskError::AlreadyEnded);
        }
        let replaced = self.tasks.replaced(client, task)?;
        let detail = detail.map(|detail| self.tasks.copy_detail(replaced, detail)).transpose()?;
        let row = match found {
            Some(row) => row,
            None => self.tasks.submit(client, task)?,
        };
        self.tasks.set_state(row, state, detail);
        let row = self.tasks.at_mut(row);
        (row.sequence, row.ended) = (sequence, self.deadlines.now());
        Ok(())
    }

    /// Appends a frame that tells the client in `slot` of a task.
    fn tell(&mut self, sequence: u64, slot: u32, task: &str, state: TaskState, detail: Option<&str>) {
        let Some(id) = S::Text::copy_of(self.directory.id_of(slot)) else {
            return;
        };
        let notice = Notice::Task(TaskNotice {
            dialect: self.directory.clients.at(slot).dialect,
            state,
            task,
            client: id.as_str(),
            at: self.deadlines.now(),
            detail,
        });
        let scope = Scope::Client(self.directory.client_key(slot));
        // Whoever calls saw to it that it fits.
        let room = self.config.limits.frame_bytes as usize;
        self.append(sequence, scope, &[], &notice, room, state.has_ended());
        self.mark(scope, &[], sequence);
    }

    /// Of the frames under one number, this one is for the client: its connections need not look through the others.
    fn note_rank(&mut self, client: u32, rank: u32) {
        let mut connections = self.directory.connections_of(client);
        while let Some(conn) = connections.next(&self.directory) {
            let stream = self.directory.streams.at_mut(conn);
            if stream.notice.is_none() {
                stream.notice_len_or_rank = rank;
            }
        }
    }
}
