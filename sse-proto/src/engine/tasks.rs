//! What a client waits for.
//!
//! A task ends with one completion. The table keeps it until the client has shown that the completion arrived; the history in the
//! log may be gone long before that. It owns the tasks and sends nothing.

use core::fmt;

use super::Full;
use super::directory::Profile;
use crate::config::Limits;
use crate::id::NameError;
use crate::storage::Storage;
use crate::storage::parts::Text;
use crate::storage::slab::{Link, Slab, Slot, linked, next};
use crate::time::Instant;

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Submitted, nothing heard yet.
    Submitted,
    /// It reported progress.
    Progress,
    /// It ended well.
    Completed,
    /// It ended badly.
    Failed,
}

impl TaskState {
    /// The state's name in payloads and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Progress => "progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Whether the task has ended, well or badly.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a task was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskError {
    /// The client does not wait for a task of that name.
    UnknownTask,
    /// It waits for one of that name already, and it has not ended.
    AlreadySubmitted,
    /// The task has ended already.
    AlreadyEnded,
    /// The task's name cannot be one.
    Name(NameError),
    /// The task's name is longer than `limit` bytes.
    TooLong {
        /// The limit `name_bytes`.
        limit: u32,
    },
    /// The progress, result or reason does not fit into a frame.
    TooLarge,
    /// The client waits for as many tasks as it may.
    Full(Full),
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTask => f.write_str("the client does not wait for such a task"),
            Self::AlreadySubmitted => f.write_str("the client waits for a task of that name already"),
            Self::AlreadyEnded => f.write_str("the task has ended already"),
            Self::Name(error) => write!(f, "the task's name: {error}"),
            Self::TooLong { limit } => write!(f, "the task's name is longer than {limit} bytes"),
            Self::TooLarge => f.write_str("it does not fit into a frame"),
            Self::Full(full) => full.fmt(f),
        }
    }
}

impl core::error::Error for TaskError {}

#[derive(Debug)]
pub(super) struct Task<S: Storage> {
    of_client: Link,
    pub(super) name: S::Text,
    pub(super) state: TaskState,
    /// JSON of the last progress or of the result; for a failure the reason, as text.
    detail: Option<S::Detail>,
    /// Of the completion; 0 until there is one.
    pub(super) sequence: u64,
    pub(super) ended: Instant,
    /// The completion was handed to a connection whole.
    pub(super) sent: bool,
}

impl<S: Storage> Task<S> {
    pub(super) fn detail(&self) -> Option<&str> {
        self.detail.as_ref().map(Text::as_str)
    }
}

/// Names the list of a client's tasks.
#[derive(Debug)]
pub(super) enum OfClient {}

linked!(Task<S>, OfClient, of_client, S);

type Table<S> = Slab<Task<S>, <S as Storage>::Tasks<Slot<Task<S>>>>;

pub(super) struct Tasks<S: Storage> {
    table: Table<S>,
    per_client: u32,
    /// Bytes of all details.
    detail_bytes: usize,
    detail_limit: usize,
}

impl<S: Storage> Tasks<S> {
    pub(super) const EMPTY: Self = Self { table: Slab::EMPTY, per_client: 0, detail_bytes: 0, detail_limit: 0 };

    pub(super) fn begin(&mut self, limits: &Limits) {
        self.table.limit_to(limits.tasks as usize);
        self.per_client = limits.tasks_per_client;
        self.detail_limit = limits.detail_bytes as usize;
    }

    /// The client waits for `name` from now on. A task of that name that ended gives way to the new one; a table that is full
    /// lets go of the oldest completion that was sent.
    pub(super) fn submit(&mut self, client: &mut Profile, name: &str) -> Result<u32, TaskError> {
        if let Some(task) = self.find(client, name) {
            if !self.table.at(task).state.has_ended() {
                return Err(TaskError::AlreadySubmitted);
            }
            self.remove(client, task);
        }
        if let Some(oldest) = self.giving_way(client)? {
            self.remove(client, oldest);
        }
        let task = Task {
            of_client: Link::OUT,
            name: S::Text::copy_of(name).ok_or(TaskError::Full(Full::Tasks))?,
            state: TaskState::Submitted,
            detail: None,
            sequence: 0,
            ended: Instant::default(),
            sent: false,
        };
        let task = self.table.insert(task).ok_or(TaskError::Full(Full::Tasks))?;
        client.tasks.push_back(&mut self.table, task);
        client.task_count += 1;
        Ok(task)
    }

    pub(super) fn at(&self, task: u32) -> &Task<S> {
        self.table.at(task)
    }

    pub(super) fn at_mut(&mut self, task: u32) -> &mut Task<S> {
        self.table.at_mut(task)
    }

    /// What `name` takes the place of, if anything: the client's task of that name, or else what gives way to it.
    pub(super) fn replaced(&self, client: &Profile, name: &str) -> Result<Option<u32>, TaskError> {
        self.find(client, name).map_or_else(|| self.giving_way(client), |task| Ok(Some(task)))
    }

    /// What gives way to one more task of the client, if something must: the oldest completion that was sent.
    fn giving_way(&self, client: &Profile) -> Result<Option<u32>, TaskError> {
        if client.task_count < self.per_client && self.table.free() > 0 {
            return Ok(None);
        }
        let oldest = self.of(client).find(|&slot| self.table.at(slot).sent);
        oldest.map(Some).ok_or(TaskError::Full(Full::Tasks))
    }

    /// A copy of `detail`, if it may be kept where `replaced` goes.
    pub(super) fn copy_detail(&self, replaced: Option<u32>, detail: &str) -> Result<S::Detail, TaskError> {
        let copy = S::Detail::copy_of(detail).ok_or(TaskError::TooLarge)?;
        let others = self.detail_bytes - replaced.map_or(0, |task| self.detail_len(task));
        if others + detail.len() > self.detail_limit { Err(TaskError::Full(Full::Details)) } else { Ok(copy) }
    }

    /// The task is in `state` from now on. `detail` is of [`copy_detail`](Self::copy_detail).
    pub(super) fn set_state(&mut self, task: u32, state: TaskState, detail: Option<S::Detail>) {
        self.detail_bytes -= self.detail_len(task);
        let row = self.table.at_mut(task);
        (row.state, row.detail) = (state, detail);
        self.detail_bytes += self.detail_len(task);
    }

    fn detail_len(&self, task: u32) -> usize {
        self.table.at(task).detail().map_or(0, str::len)
    }

    pub(super) fn len(&self) -> u32 {
        self.table.len()
    }

    /// O(tasks of the client), as everything below.
    pub(super) fn find(&self, client: &Profile, name: &str) -> Option<u32> {
        self.of(client).find(|&task| self.table.at(task).name.as_str() == name)
    }

    /// The first completion with a sequence number above `after` and below `before`; those that were sent count only when
    /// `sent_too`.
    pub(super) fn completion(&self, client: &Profile, after: u64, before: u64, sent_too: bool) -> Option<u32> {
        let due = |task: &&Task<S>| {
            task.state.has_ended() && task.sequence > after && task.sequence < before && (sent_too || !task.sent)
        };
        let tasks = self.of(client).map(|slot| (slot, self.table.at(slot))).filter(|(_, task)| due(task));
        tasks.min_by_key(|(_, task)| task.sequence).map(|(slot, _)| slot)
    }

    /// The completion with exactly that sequence number.
    pub(super) fn completion_at(&self, client: &Profile, sequence: u64) -> Option<u32> {
        self.of(client).find(|&slot| self.table.at(slot).sequence == sequence)
    }

    /// The client has shown that it has everything up to `sequence`.
    pub(super) fn arrived(&mut self, client: &mut Profile, sequence: u64) {
        let mut at = client.tasks.first();
        while let Some(slot) = at {
            at = next::<OfClient>(&self.table, slot);
            let task = self.table.at(slot);
            if task.state.has_ended() && task.sequence <= sequence {
                self.remove(client, slot);
            }
        }
    }

    /// The completion with that sequence number was handed to a connection whole.
    pub(super) fn sent(&mut self, client: &Profile, sequence: u64) {
        if let Some(slot) = self.completion_at(client, sequence) {
            self.table.at_mut(slot).sent = true;
        }
    }

    /// Forgets a task that has not ended; false when there is none.
    pub(super) fn withdraw(&mut self, client: &mut Profile, name: &str) -> bool {
        let found = self.find(client, name).filter(|&slot| !self.table.at(slot).state.has_ended());
        if let Some(slot) = found {
            self.remove(client, slot);
        }
        found.is_some()
    }

    pub(super) fn clear(&mut self, client: &mut Profile) {
        while let Some(slot) = client.tasks.first() {
            self.remove(client, slot);
        }
    }

    /// The client's tasks, in the order they were submitted.
    pub(super) fn of(&self, client: &Profile) -> impl Iterator<Item = u32> {
        let mut at = client.tasks.first();
        core::iter::from_fn(move || {
            let slot = at?;
            at = next::<OfClient>(&self.table, slot);
            Some(slot)
        })
    }

    #[inline(never)]
    fn remove(&mut self, client: &mut Profile, slot: u32) {
        client.tasks.remove(&mut self.table, slot);
        client.task_count -= 1;
        self.detail_bytes -= self.detail_len(slot);
        self.table.remove(slot);
    }
}
