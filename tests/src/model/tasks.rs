//! Tasks.

use sse_proto::{ClientKey, Dialect, Full, Outcome, Target, TaskError, TaskState, check_name};

use super::text::task_body;
use super::{Model, Scope, Task};

impl Model {
    /// A client waits for a task.
    pub fn submit(&mut self, now: u64, key: ClientKey, task: &str) -> Result<(), TaskError> {
        self.time(now);
        let at = self.client(key).ok_or(TaskError::UnknownTask)?;
        self.check_task(task)?;
        self.wait_for(at, task)
    }

    /// A task is forgotten.
    pub fn withdraw(&mut self, key: ClientKey, task: &str) -> bool {
        let Some(at) = self.client(key) else {
            return false;
        };
        let tasks = &mut self.clients[at].tasks;
        let before = tasks.len();
        tasks.retain(|t| t.name != task || t.has_ended());
        tasks.len() < before
    }

    /// A task came along.
    pub fn progress(&mut self, now: u64, sequence: u64, key: ClientKey, task: &str, detail: &str) -> Result<(), TaskError> {
        self.time(now);
        let sequence = sequence.max(self.last_sequence + 1);
        let at = self.client(key).ok_or(TaskError::UnknownTask)?;
        self.check_detail(detail)?;
        let row = self.clients[at].tasks.iter().find(|t| t.name == task).ok_or(TaskError::UnknownTask)?;
        if row.has_ended() {
            return Err(TaskError::AlreadyEnded);
        }
        self.keep_detail(at, task, detail)?;
        let client = &mut self.clients[at];
        let row = client.tasks.iter_mut().find(|t| t.name == task).expect("it was found");
        (row.state, row.detail) = (TaskState::Progress, Some(detail.into()));
        if client.dialect == Dialect::Named {
            self.tell(sequence, at, task, TaskState::Progress, Some(detail));
        }
        Ok(())
    }

    /// A task ended.
    #[expect(clippy::too_many_arguments, reason = "as in the engine")]
    pub fn complete(
        &mut self,
        now: u64,
        sequence: u64,
        owner: Option<ClientKey>,
        group: &str,
        name: &str,
        task: &str,
        outcome: Outcome<'_>,
    ) -> Result<(), TaskError> {
        self.time(now);
        let sequence = sequence.max(self.last_sequence + 1);
        let (state, detail) = match outcome {
            Outcome::Completed(result) => (TaskState::Completed, result),
            Outcome::Failed(reason) => (TaskState::Failed, Some(reason)),
        };
        self.check_task(task)?;
        self.check_detail(detail.unwrap_or(""))?;
        if let Some(owner) = owner {
            let at = self.client(owner).ok_or(TaskError::UnknownTask)?;
            let row = self.clients[at].tasks.iter().find(|t| t.name == task);
            if row.is_some_and(Task::has_ended) {
                return Err(TaskError::AlreadyEnded);
            }
            let is_new = row.is_none();
            let before = self.clients[at].tasks.clone();
            if is_new {
                self.wait_for(at, task)?;
            }
            self.keep_detail(at, task, detail.unwrap_or("")).inspect_err(|_| self.clients[at].tasks = before)?;
            let now = self.now;
            let row = self.clients[at].tasks.iter_mut().find(|t| t.name == task);
            let row = row.expect("it waits for the task");
            (row.state, row.detail) = (state, detail.map(Into::into));
            (row.sequence, row.ended) = (sequence, now);
        }
        for at in 0..self.clients.len() {
            let client = &self.clients[at];
            if client.is_registered() && client.name == name && client.group == group {
                let detail = detail.filter(|_| owner.is_some() && client.key == owner);
                self.tell(sequence, at, task, state, detail);
            }
        }
        self.observe(sequence);
        Ok(())
    }

    pub(super) fn check_task(&self, task: &str) -> Result<(), TaskError> {
        check_name(task).map_err(TaskError::Name)?;
        let limit = self.config.limits.name_bytes;
        if task.len() > limit as usize {
            return Err(TaskError::TooLong { limit });
        }
        Ok(())
    }

    pub(super) fn check_detail(&self, detail: &str) -> Result<(), TaskError> {
        let costs = |c: char| match c {
            '"' | '\\' | '\0'..='\x1f' => 6,
            _ => c.len_utf8(),
        };
        let around = 2 * self.config.limits.name_bytes as usize + 160;
        let len = detail.chars().map(costs).sum::<usize>() + around;
        let fits = len <= self.config.limits.frame_bytes as usize;
        fits.then_some(()).ok_or(TaskError::TooLarge)
    }

    /// Whether a task of that name may keep `detail` instead of what it has.
    fn keep_detail(&self, at: usize, task: &str, detail: &str) -> Result<(), TaskError> {
        let len = |t: &Task| t.detail.as_ref().map_or(0, String::len);
        let all: usize = self.clients.iter().flat_map(|c| &c.tasks).map(len).sum();
        let its: usize = self.clients[at].tasks.iter().filter(|t| t.name == task).map(len).sum();
        let fits = all - its + detail.len() <= self.config.limits.detail_bytes as usize;
        fits.then_some(()).ok_or(TaskError::Full(Full::Details))
    }

    pub(super) fn wait_for(&mut self, at: usize, task: &str) -> Result<(), TaskError> {
        let limits = self.config.limits;
        let total = self.tasks();
        let tasks = &mut self.clients[at].tasks;
        let same = tasks.iter().position(|t| t.name == task);
        let mut freed = 0;
        if let Some(same) = same {
            if !tasks[same].has_ended() {
                return Err(TaskError::AlreadySubmitted);
            }
            tasks.remove(same);
            freed = 1;
        }
        if tasks.len() >= limits.tasks_per_client as usize || total - freed >= limits.tasks as usize {
            let oldest = tasks.iter().position(|t| t.sent);
            tasks.remove(oldest.ok_or(TaskError::Full(Full::Tasks))?);
        }
        tasks.push(Task { name: task.into(), state: TaskState::Submitted, detail: None, sequence: 0, ended: 0, sent: false });
        Ok(())
    }

    pub(super) fn tell(&mut self, sequence: u64, at: usize, task: &str, state: TaskState, detail: Option<&str>) {
        let client = &self.clients[at];
        let key = client.key.expect("it is registered");
        let body = task_body(client.dialect, &client.id, task, state, self.now, detail);
        let bytes = self.numbered(sequence, &body).into_bytes();
        let ends = matches!(state, TaskState::Completed | TaskState::Failed);
        self.append(sequence, Scope::Client(key), bytes, None, ends);
        self.deliver(self.history.len() - 1, Target::Client(key));
    }
}
